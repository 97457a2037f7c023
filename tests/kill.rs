//! SIGKILL of the real binary under load, again and again on one data folder: what a visitor was told is in the journal,
//! once.
//!
//! `HOPGATE_KILL_ROUNDS` sets the number of kills (default 15), `HOPGATE_SEED` repeats a run.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use support::{Client, Dice, Exchange, Place};

const CLIENTS: usize = 8;
const LINKS: u64 = 20;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn a_killed_gateway_has_recorded_every_answered_click() {
    // Patient: on a busy machine redirects would otherwise leave unrecorded, counted as such, and prove nothing.
    rounds("written", number("HOPGATE_KILL_ROUNDS").unwrap_or(15));
}

#[test]
fn a_killed_gateway_in_mode_synced_too() {
    rounds("synced", 3);
}

fn rounds(mode: &str, rounds: u64) {
    let fresh = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
    let seed = number("HOPGATE_SEED").unwrap_or(fresh);
    println!("HOPGATE_SEED={seed}");
    let mut dice = Dice(seed);
    let place = Place::new(&format!("[journal]\nmode = \"{mode}\"\ndeadline = \"10s\"\nsegment_bytes = 131072\n"));
    import(&place);
    let mut told: HashSet<String> = HashSet::new();
    for round in 0..rounds {
        let mut server = place.serve(&[]);
        let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
        let address = server.click;
        // Some kills come before the first click is answered.
        let wanted = dice.roll(400) as usize;
        let more = Duration::from_micros(dice.roll(3_000));
        let seeds: Vec<u64> = (0..CLIENTS).map(|_| dice.roll(u64::MAX)).collect();
        let ids = std::thread::scope(|scope| {
            let clients: Vec<_> = seeds
                .into_iter()
                .map(|seed| {
                    let (stop, answered) = (&stop, &answered);
                    scope.spawn(move || click(address, Dice(seed), stop, answered))
                })
                .collect();
            support::eventually("clicks are answered", || answered.load(Ordering::Relaxed) >= wanted);
            // Anywhere between two answers: nothing is waited for here.
            std::thread::sleep(more);
            server.kill();
            stop.store(true, Ordering::Relaxed);
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<String>>()
        });
        for id in ids {
            assert_eq!(id.len(), 32, "round {round}");
            assert!(told.insert(id), "round {round}: an id was given twice");
        }
    }
    let ran = place.run(&["hops", "export", "-"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let (mut exported, mut last) = (HashSet::new(), 0);
    for line in ran.out.lines() {
        let hop: serde_json::Value = serde_json::from_str(line).unwrap();
        let seq = hop["seq"].as_u64().unwrap();
        assert!(seq > last, "seq {seq} after {last}");
        last = seq;
        assert!(exported.insert(hop["click_id"].as_str().unwrap().to_owned()), "there twice: {hop}");
        // Every other link lands on its alternate: records with and without a tail lie side by side.
        let odd = u64::from(hop["code"].as_str().unwrap().ends_with(['1', '3', '5', '7', '9']));
        assert_eq!(
            (hop["alternate"].as_u64(), hop["tried"].as_array().unwrap().len() as u64),
            (Some(odd), odd),
            "{hop}"
        );
    }
    let missing: Vec<_> = told.iter().filter(|id| !exported.contains(*id)).collect();
    assert!(missing.is_empty(), "{} of {} answered clicks are not there: {missing:?}", missing.len(), told.len());
    assert!(told.len() as u64 > rounds * 20, "only {} clicks were answered", told.len());
    println!("{mode}: {rounds} kills, {} clicks answered, {} hops exported", told.len(), exported.len());
}

/// Links `load0000` and so on, all landing at JD: the even ones by themselves, the odd ones on their alternate.
fn import(place: &Place) {
    let lines: String = (0..LINKS)
        .map(|number| {
            let jd = support::JD;
            let landing = match number % 2 {
                0 => format!("\"url\":\"{jd}\""),
                _ => format!("\"url\":\"https://item.taobao.com/item.htm?id=41879347901\",\"alternates\":[\"{jd}\"]"),
            };
            format!("{{{landing},\"platform\":\"kuaishou\",\"surface\":\"live_cart\",\"code\":\"load{number:04}\"}}\n")
        })
        .collect();
    std::fs::write(place.path("links.ndjson"), lines).unwrap();
    let ran = place.run(&["link", "import", "links.ndjson"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, format!("imported {LINKS} links\n").as_str()), "{ran:?}");
}

/// Clicks until the gateway is gone; the ids it was given.
fn click(address: std::net::SocketAddr, mut dice: Dice, stop: &AtomicBool, answered: &AtomicUsize) -> Vec<String> {
    let mut ids = Vec::new();
    let Ok(mut client) = Client::try_connect(address) else { return ids };
    while !stop.load(Ordering::Relaxed) {
        match client.exchange(&format!("/load{:04}", dice.roll(LINKS))) {
            Exchange::Whole(answer) => {
                assert_eq!(answer.status, 302, "{answer:?}");
                assert_eq!(answer.header("location"), support::JD);
                ids.push(answer.header("hop-id").to_owned());
                answered.fetch_add(1, Ordering::Relaxed);
            }
            _ => break,
        }
    }
    ids
}
