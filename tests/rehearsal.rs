//! The midnight of a sale, rehearsed: the real binary started some seconds before an agreement ends, under load from
//! kept-alive connections, switches at that instant and at no other, and drops nobody.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use hopgate::domain::time::Timestamp;
use support::{Client, Dice, Exchange, Place, at, window};

const CLIENTS: usize = 6;
const LINKS: u64 = 20;
/// Refusals after which a client has seen enough of the new day.
const ENOUGH: usize = 300;
const MIDNIGHT: &str = "2022-12-01T00:00:00+08:00";

#[test]
fn the_switch_at_midnight_is_at_midnight() {
    // A gateway that needs longer than that to start is given longer: what is looked at is the switch.
    let seen = [5, 20, 60].into_iter().any(rehearse);
    assert!(seen, "too few clicks came before midnight, even with a minute to start: this machine is too slow");
}

/// Rehearses from so many seconds before midnight; whether there was anything to see before it.
fn rehearse(seconds: i64) -> bool {
    let midnight = at(MIDNIGHT);
    let place = Place::new("[journal]\ndeadline = \"10s\"\n");
    std::fs::write(place.path("policies/wide.yaml"), window("double11", "2022-10-28", MIDNIGHT)).unwrap();
    place.import(LINKS as usize);
    let start = midnight.plus_micros(-seconds * 1_000_000);
    let server = place.serve(&["--rehearse-at", &start.to_string()]);
    assert!(server.log().contains("REHEARSAL"), "{}", server.log());

    let allowed = AtomicUsize::new(0);
    let address = server.click;
    let answers: Vec<Vec<(String, u16)>> = std::thread::scope(|scope| {
        let allowed = &allowed;
        let clients: Vec<_> =
            (0..CLIENTS).map(|number| scope.spawn(move || click(address, Dice(number as u64), allowed))).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    if allowed.load(Ordering::Relaxed) < CLIENTS * ENOUGH {
        return false;
    }
    assert!(server.metric("hopgate_rehearsal_offset_seconds") < -86_400.0, "the metric names the other time");
    let counted = |outcome: &str| {
        let text = Client::connect(server.ops).get("/metrics").body;
        let lines = text.lines().filter(|line| line.starts_with("hopgate_clicks_total{") && line.contains(outcome));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
    };
    let (allows, denies) = (counted("outcome=\"allow\""), counted("outcome=\"deny\""));
    assert_eq!(server.stop(), Some(0));

    let ran = place.run(&["hops", "export", "-"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let hops: HashMap<String, serde_json::Value> = ran
        .out
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|hop| (hop["click_id"].as_str().unwrap().to_owned(), hop))
        .collect();
    assert_eq!(hops.len(), answers.iter().map(Vec::len).sum::<usize>(), "every answer is a hop, every hop an answer");
    let (mut last_allowed, mut first_refused) = (Timestamp::MIN, Timestamp::MAX);
    for answers in &answers {
        let mut before = true;
        for (id, status) in answers {
            let hop = &hops[id];
            let when: Timestamp = at(hop["time"].as_str().unwrap());
            let told = (*status, hop["outcome"].as_str().unwrap(), hop["reason"].as_str().unwrap());
            if when < midnight {
                assert_eq!(told, (302, "allow", "allowed"), "{hop}");
                last_allowed = last_allowed.max(when);
            } else {
                assert_eq!(told, (403, "deny", "window_ended"), "{hop}");
                first_refused = first_refused.min(when);
            }
            assert!(before || when >= midnight, "one connection went back before midnight: {hop}");
            before = when < midnight;
            assert_eq!(hop["agreement"], "double11", "{hop}");
            assert!(hop["flags"].as_array().unwrap().iter().any(|flag| flag == "rehearsal"), "{hop}");
        }
    }
    let statuses = |wanted: u16| answers.iter().flatten().filter(|(_, status)| *status == wanted).count();
    assert_eq!((allows, denies), (statuses(302) as f64, statuses(403) as f64), "the counters agree");
    println!(
        "{} allowed until {last_allowed}, {} refused from {first_refused}, over {CLIENTS} kept connections",
        statuses(302),
        statuses(403)
    );
    true
}

/// Clicks on one connection until well after midnight: the ids and statuses it was given.
fn click(address: SocketAddr, mut dice: Dice, allowed: &AtomicUsize) -> Vec<(String, u16)> {
    let mut client = Client::connect(address);
    let (mut answers, mut refused) = (Vec::new(), 0);
    while refused < ENOUGH {
        match client.exchange(&format!("/load{:04}", dice.roll(LINKS))) {
            Exchange::Whole(answer) => {
                match answer.status {
                    302 => allowed.fetch_add(1, Ordering::Relaxed),
                    _ => {
                        refused += 1;
                        0
                    }
                };
                answers.push((answer.header("hop-id").to_owned(), answer.status));
            }
            other => panic!("after {} answers: {other:?}", answers.len()),
        }
    }
    answers
}
