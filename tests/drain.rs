//! Draining under load: nobody who was let in gets half an answer, nobody who got an answer is missing in the journal.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hopgate::app::App;
use hopgate::clock::Clock;
use support::{Client, Exchange, Gateway, JD, at, eventually};

const KEPT: usize = 8;
const FRESH: usize = 4;
const ROUNDS: usize = 6;
const NOW: &str = "2022-11-15 12:00:00";

#[derive(Default, Debug)]
struct Seen {
    ids: Vec<String>,
    closed: usize,
    reset: usize,
    broken: Vec<String>,
}

impl Seen {
    /// Notes an exchange; whether it brought an answer.
    fn note(&mut self, exchange: Exchange) -> bool {
        match exchange {
            Exchange::Whole(answer) => {
                if answer.status != 302 || answer.header("location") != JD {
                    self.broken.push(format!("{answer:?}"));
                }
                self.ids.push(answer.header("hop-id").to_owned());
                return true;
            }
            Exchange::Closed => self.closed += 1,
            Exchange::Reset => self.reset += 1,
            Exchange::Broken(what) => self.broken.push(what),
        }
        false
    }
}

fn gateway() -> Gateway {
    Gateway::start_with(NOW, |settings| {
        // Patient: every answer of this test must be backed by a record.
        settings.journal.deadline = Duration::from_secs(10);
        settings.limits.drain_deadline = Duration::from_secs(10);
    })
}

/// Clicks on one connection until it ends.
fn kept(address: SocketAddr, path: &str, answered: &AtomicUsize) -> Seen {
    let mut seen = Seen::default();
    let Ok(mut client) = Client::try_connect(address) else { return seen };
    while seen.note(client.exchange(path)) {
        answered.fetch_add(1, Ordering::Relaxed);
    }
    seen
}

/// Clicks on a new connection each time until nobody listens.
fn fresh(address: SocketAddr, path: &str, answered: &AtomicUsize, over: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    while !over.load(Ordering::Relaxed) {
        // Whoever got a connection was let in, even if no worker has looked at it yet.
        let Ok(mut client) = Client::try_connect(address) else { break };
        if seen.note(client.exchange(path)) {
            answered.fetch_add(1, Ordering::Relaxed);
        }
    }
    seen
}

#[test]
fn whoever_was_let_in_is_answered_and_recorded() {
    let (mut ids, mut closed) = (0, 0);
    for round in 0..ROUNDS {
        let mut gateway = gateway();
        let path = format!("/{}", gateway.link(JD, "kuaishou/live_cart", "self_operated"));
        let address = gateway.click_address();
        let (answered, over) = (AtomicUsize::new(0), AtomicBool::new(false));
        let (kept, fresh) = std::thread::scope(|scope| {
            let kept: Vec<_> = (0..KEPT).map(|_| scope.spawn(|| kept(address, &path, &answered))).collect();
            let fresh: Vec<_> = (0..FRESH).map(|_| scope.spawn(|| fresh(address, &path, &answered, &over))).collect();
            eventually("clicks are answered", || answered.load(Ordering::Relaxed) > 200 + round * 17);
            gateway.app.take().unwrap().stop().expect("an orderly end");
            over.store(true, Ordering::Relaxed);
            let join = |all: Vec<std::thread::ScopedJoinHandle<'_, Seen>>| {
                all.into_iter().map(|one| one.join().unwrap()).collect::<Vec<Seen>>()
            };
            (join(kept), join(fresh))
        });
        let all: Vec<&Seen> = kept.iter().chain(&fresh).collect();
        let broken: Vec<&String> = all.iter().flat_map(|seen| &seen.broken).collect();
        assert!(broken.is_empty(), "round {round}: half answers: {broken:?}");
        let resets = |seen: &[Seen]| seen.iter().map(|seen| seen.reset).sum::<usize>();
        assert_eq!(resets(&fresh), 0, "round {round}: reset after being let in");
        assert_eq!(resets(&kept), 0, "round {round}: a kept connection was reset under a request");
        closed += all.iter().map(|seen| seen.closed).sum::<usize>();

        let recorded: HashSet<String> =
            gateway.hops().iter().map(|hop| hop["click_id"].as_str().unwrap().to_owned()).collect();
        let told: Vec<&String> = all.iter().flat_map(|seen| &seen.ids).collect();
        let missing = told.iter().filter(|id| !recorded.contains(**id)).count();
        assert_eq!(missing, 0, "round {round}: answered and not recorded, of {}", told.len());
        ids += told.len();

        // The folder is free and whole at once.
        let mut settings = support::settings(gateway.folder.path());
        settings.limits.drain_deadline = Duration::from_secs(2);
        let again = App::start(settings, Clock::manual(at(NOW))).expect("a second start");
        again.block_on(again.gateway().catalog.wait_loaded());
        assert_eq!(Client::connect(again.addresses().click).get(&path).status, 302);
        again.stop().unwrap();
    }
    println!("{ROUNDS} drains, {ids} clicks answered and recorded, {closed} connections closed before an answer");
}

#[test]
fn who_is_in_the_kernels_queue_is_served() {
    // More connections at once than a worker takes in one turn, each with its request sent before draining begins.
    for _ in 0..5 {
        let mut gateway = gateway();
        let path = format!("/{}", gateway.link(JD, "kuaishou/live_cart", "self_operated"));
        let address = gateway.click_address();
        let head = format!("GET {path} HTTP/1.1\r\nHost: go.example\r\n\r\n");
        let mut queued: Vec<Client> = (0..300)
            .map(|_| {
                let mut client = Client::connect(address);
                client.send(head.as_bytes()).unwrap();
                client
            })
            .collect();
        gateway.app.take().unwrap().stop().unwrap();
        let mut answers = 0;
        for client in &mut queued {
            match client.outcome() {
                Exchange::Whole(answer) => {
                    assert_eq!(answer.status, 302);
                    answers += 1;
                }
                other => panic!("after {answers} answers: {other:?}"),
            }
        }
        assert_eq!(gateway.hops().len(), queued.len());
    }
}

#[test]
fn a_slow_one_holds_the_drain_until_its_deadline() {
    let mut gateway = Gateway::start_with(NOW, |settings| {
        settings.limits.drain_deadline = Duration::from_secs(2);
        settings.limits.header_timeout = Duration::from_secs(60);
    });
    let (click, ops) = (gateway.click_address(), gateway.app().addresses().ops);
    let ready = || Client::try_connect(ops).and_then(|mut client| client.try_ask("GET", "/readyz", &[]));
    assert_eq!(ready().unwrap().status, 200);
    let mut slow = Client::connect(click);
    slow.send(b"GET /slow HTTP/1.1\r\nHost: go.exa").unwrap();
    eventually("the slow one is let in", || gateway.metric("hopgate_connections") >= 1.0);

    let app = gateway.app.take().unwrap();
    let begun = Instant::now();
    let stopping = std::thread::spawn(move || app.stop());
    eventually("not ready while draining", || ready().is_ok_and(|answer| answer.status == 503));
    eventually("nobody new is let in", || Client::try_connect(click).is_err());
    assert!(begun.elapsed() < Duration::from_secs(2), "the drain was over before it was looked at");
    assert_eq!(ready().expect("operators are answered until the end").status, 503);
    assert!(slow.closed_within(Duration::from_secs(5)), "the deadline cuts the slow one off");
    let cut = begun.elapsed();
    assert!(cut >= Duration::from_millis(1_900), "cut off after {cut:?}, before the deadline");
    stopping.join().unwrap().expect("cutting off is an orderly end");
    assert!(begun.elapsed() < Duration::from_secs(5), "stop took {:?}", begun.elapsed());
}

#[test]
fn what_has_stopped_in_order_is_complete_without_its_logs() {
    let mut gateway = gateway();
    let code = gateway.link(JD, "kuaishou/live_cart", "self_operated");
    gateway.app.take().unwrap().stop().unwrap();
    let data = gateway.folder.path().join("data");
    for name in ["hopgate.sqlite", "stats.sqlite", "orders.sqlite"] {
        assert!(data.join(name).exists());
        let left = std::fs::metadata(data.join(format!("{name}-wal"))).map_or(0, |log| log.len());
        assert_eq!(left, 0, "{name}");
    }
    let copy = gateway.folder.path().join("copy.sqlite");
    std::fs::copy(data.join("hopgate.sqlite"), &copy).unwrap();
    let database = rusqlite::Connection::open(copy).unwrap();
    let found = database.query_row("SELECT COUNT(*) FROM links WHERE code = ?1", [&code], |row| row.get::<_, i64>(0));
    assert_eq!(found.unwrap(), 1);
}

#[test]
fn a_head_that_is_half_there_may_end_and_is_answered() {
    let mut gateway = gateway();
    let path = format!("/{}", gateway.link(JD, "kuaishou/live_cart", "self_operated"));
    let (click, ops) = (gateway.click_address(), gateway.app().addresses().ops);
    // One on its first request, one on its second, one that has said nothing yet.
    let (mut first, mut second, mut silent) = (Client::connect(click), Client::connect(click), Client::connect(click));
    assert_eq!(second.get(&path).status, 302);
    for client in [&mut first, &mut second] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: go.").as_bytes()).unwrap();
    }
    eventually("all are let in", || gateway.metric("hopgate_connections") >= 3.0);
    let app = gateway.app.take().unwrap();
    let stopping = std::thread::spawn(move || app.stop());
    eventually("draining", || {
        let ready = Client::try_connect(ops).and_then(|mut client| client.try_ask("GET", "/readyz", &[]));
        ready.is_ok_and(|answer| answer.status == 503)
    });
    eventually("nobody new is let in", || Client::try_connect(click).is_err());
    silent.send(format!("GET {path} HTTP/1.1\r\nHost: go.").as_bytes()).unwrap();
    for (name, client) in [("first", &mut first), ("second", &mut second), ("silent", &mut silent)] {
        client.send(b"example\r\n\r\n").unwrap();
        match client.outcome() {
            Exchange::Whole(answer) => assert_eq!(answer.status, 302, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
        assert!(client.closed_within(Duration::from_secs(5)), "{name}: one answer, then the end");
    }
    stopping.join().unwrap().unwrap();
    assert_eq!(gateway.hops().len(), 4);
}

#[test]
fn a_storm_of_newcomers_is_never_reset() {
    let mut answers = 0;
    for _ in 0..4 {
        let mut gateway = gateway();
        let path = format!("/{}", gateway.link(JD, "kuaishou/live_cart", "self_operated"));
        let address = gateway.click_address();
        let (answered, over) = (AtomicUsize::new(0), AtomicBool::new(false));
        let all: Vec<Seen> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..32).map(|_| scope.spawn(|| fresh(address, &path, &answered, &over))).collect();
            eventually("clicks are answered", || answered.load(Ordering::Relaxed) > 200);
            gateway.app.take().unwrap().stop().expect("an orderly end");
            over.store(true, Ordering::Relaxed);
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        for seen in &all {
            assert!(seen.broken.is_empty() && seen.reset == 0 && seen.closed == 0, "{seen:?}");
            answers += seen.ids.len();
        }
    }
    println!("{answers} newcomers answered, none reset");
}

#[test]
fn streams_under_way_end_and_the_connection_says_goodbye() {
    let mut gateway = gateway();
    let path = format!("/{}", gateway.link(JD, "kuaishou/live_cart", "self_operated"));
    let address = gateway.click_address();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ids = runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (send, connection) = h2::client::handshake(stream).await.unwrap();
        let driver = tokio::spawn(connection);
        let (mut send, mut ids, mut stopping) = (send.ready().await.unwrap(), Vec::new(), None);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(10) {
            let request = http::Request::get(format!("http://go.example{path}")).body(()).unwrap();
            let Ok((answer, _)) = send.send_request(request, true) else { break };
            match answer.await {
                Ok(answer) => {
                    assert_eq!(answer.status(), 302);
                    ids.push(answer.headers()["hop-id"].to_str().unwrap().to_owned());
                }
                // Told to go elsewhere, before anything was done for it.
                Err(error) => {
                    assert!(error.is_go_away(), "{error:?}");
                    break;
                }
            }
            if ids.len() == 50 {
                let app = gateway.app.take().unwrap();
                stopping = Some(std::thread::spawn(move || app.stop()));
            }
            if std::future::poll_fn(|cx| send.poll_ready(cx)).await.is_err() {
                break;
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "never told to go");
        drop(send);
        driver.await.unwrap().expect("an orderly goodbye");
        stopping.expect("it was told to stop").join().unwrap().unwrap();
        ids
    });
    assert_eq!(gateway.hops().len(), ids.len());
}
