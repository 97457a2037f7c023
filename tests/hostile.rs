//! What the open internet sends: oversize, slow, broken and smuggled requests. None of it gets a redirect it should not,
//! none of it costs memory, none of it stops honest visitors.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use support::{Client, Exchange, Gateway, JD, Place, bytes_of, eventually, shed};

const NOW: &str = "2022-11-15 12:00:00";
const MIB: u64 = 1 << 20;

fn linked(change: impl FnOnce(&mut hopgate::config::settings::Settings)) -> (Gateway, String) {
    let gateway = Gateway::start_with(NOW, change);
    let path = format!("/{}", gateway.link(JD, "kuaishou/live_cart", "self_operated"));
    (gateway, path)
}

fn ops(gateway: &Gateway) -> SocketAddr {
    gateway.app().addresses().ops
}

fn honest(gateway: &Gateway, path: &str) {
    let answer = gateway.get(path);
    assert_eq!((answer.status, answer.header("location")), (302, JD), "honest visitors are served");
}

#[test]
fn a_head_that_never_ends_is_refused_in_bounded_memory() {
    let place = Place::new("[limits]\nheader_bytes = 16384\n");
    place.import(1);
    let server = place.serve(&[]);
    server.get("/load0000");
    let before = server.resident();
    // Each would send 64 MiB; all are kept open until the end.
    let mut kept = Vec::new();
    for _ in 0..20 {
        let mut client = Client::connect(server.click);
        client.send(b"GET /load0000 HTTP/1.1\r\nHost: go.example\r\nX: ").unwrap();
        let block = [b'a'; 65_536];
        let mut sent = 0;
        while sent < 64 * MIB && client.send(&block).is_ok() {
            sent += block.len() as u64;
        }
        assert!(sent < 16 * MIB, "{sent} bytes of a head were taken");
        kept.push(client);
    }
    for (number, client) in kept.iter_mut().enumerate() {
        match client.outcome() {
            Exchange::Whole(answer) => assert_eq!(answer.status, 431, "{number}"),
            Exchange::Closed | Exchange::Reset => {}
            Exchange::Broken(what) => panic!("{number}: {what}"),
        }
    }
    let grown = server.resident().saturating_sub(before);
    assert!(grown < 8 * MIB, "memory grew by {grown} bytes");

    // A head a little too large, sent whole: told, not only closed. One that just fits is served.
    let head =
        |length: usize| format!("GET /load0000 HTTP/1.1\r\nHost: go.example\r\nX: {}\r\n\r\n", "a".repeat(length));
    let mut client = Client::connect(server.click);
    client.send(head(17_000).as_bytes()).unwrap();
    assert_eq!(client.read(false).unwrap().status, 431);
    // Closing on what it never read would reset the connection, and elsewhere than on Linux the reset eats the answer.
    assert_eq!(client.socket().read(&mut [0; 64]).unwrap(), 0, "the end of the answers");
    client.send(b"more").expect("no reset before the client has had time to read");
    assert!(client.closed_within(Duration::from_secs(5)));
    let mut client = Client::connect(server.click);
    client.send(head(15_000).as_bytes()).unwrap();
    assert_eq!(client.read(false).unwrap().status, 302);
    drop(kept);
    eventually("all are counted", || shed(server.ops, "bad_request") >= 21.0);
}

#[test]
fn header_fields_are_counted() {
    let (gateway, path) = linked(|settings| settings.limits.headers = 16);
    let send = |fields: usize| {
        let more: String = (0..fields - 1).map(|number| format!("X-{number}: 1\r\n")).collect();
        let mut client = Client::connect(gateway.click_address());
        client.send(format!("GET {path} HTTP/1.1\r\nHost: go.example\r\n{more}\r\n").as_bytes()).unwrap();
        client.read(false).unwrap().status
    };
    assert_eq!((send(16), send(17), send(500)), (302, 431, 431));
    eventually("both are counted", || shed(ops(&gateway), "bad_request") == 2.0);
    assert_eq!(gateway.hops().len(), 1);
}

#[test]
fn a_slow_head_is_cut_off_and_so_is_an_idle_connection() {
    let (gateway, path) = linked(|settings| {
        settings.limits.header_timeout = Duration::from_secs(1);
        settings.limits.idle_timeout = Duration::from_secs(2);
    });
    let head = format!("GET {path} HTTP/1.1\r\nHost: go.example\r\nX: {}\r\n\r\n", "a".repeat(1_000));
    let mut idle = Client::connect(gateway.click_address());
    assert_eq!(idle.get(&path).status, 302);
    let rested = Instant::now();

    let mut slow = Client::connect(gateway.click_address());
    // On a connection that has been good before, the same.
    let mut second = Client::connect(gateway.click_address());
    assert_eq!(second.get(&path).status, 302);
    // And one that never says a word.
    let mut silent = Client::connect(gateway.click_address());
    let begun = Instant::now();
    let dripping = |client: &mut Client| {
        client.socket().set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        for byte in head.as_bytes() {
            if client.send(&[*byte]).is_err() {
                return begun.elapsed();
            }
            match client.socket().read(&mut [0; 64]) {
                Ok(0) => return begun.elapsed(),
                Ok(_) => panic!("an answer to half a head"),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return begun.elapsed(),
                Err(_) => {}
            }
        }
        panic!("a head of {:?} was taken whole", begun.elapsed());
    };
    let (one, two) = std::thread::scope(|scope| {
        let one = scope.spawn(|| dripping(&mut slow));
        let two = scope.spawn(|| dripping(&mut second));
        (one.join().unwrap(), two.join().unwrap())
    });
    for took in [one, two] {
        assert!(took >= Duration::from_millis(900) && took < Duration::from_secs(2), "cut off after {took:?}");
    }
    assert!(silent.closed_within(Duration::from_secs(2)));
    assert_eq!(shed(ops(&gateway), "slow_head"), 3.0);

    assert!(idle.closed_within(Duration::from_secs(4)));
    let rested = rested.elapsed();
    assert!(rested >= Duration::from_millis(1_900) && rested < Duration::from_millis(3_500), "closed after {rested:?}");
    assert_eq!(shed(ops(&gateway), "idle"), 1.0);
    honest(&gateway, &path);
}

#[test]
fn who_never_reads_is_cut_off() {
    let (gateway, path) = linked(|settings| settings.limits.write_timeout = Duration::from_secs(1));
    // Out of its window: a page of some kilobytes each time.
    gateway.clock.set(support::at("2023-01-01 00:00:00"));
    let mut greedy = Client::connect(gateway.click_address());
    let socket = greedy.socket();
    socket.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    let requests = format!("GET {path} HTTP/1.1\r\nHost: go.example\r\n\r\n").repeat(500);
    let begun = Instant::now();
    let mut cut = None;
    while begun.elapsed() < Duration::from_secs(15) {
        // Stands still once the gateway reads no further; fails once it has hung up.
        match socket.write(requests.as_bytes()) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => {
                cut = Some(begun.elapsed());
                break;
            }
        }
        if shed(ops(&gateway), "slow_read") > 0.0 {
            cut = Some(begun.elapsed());
            break;
        }
    }
    assert!(cut.is_some(), "still connected after {:?}", begun.elapsed());
    assert_eq!(shed(ops(&gateway), "slow_read"), 1.0);
    eventually("its connection is gone", || gateway.metric("hopgate_connections") == 0.0);
    assert_eq!(gateway.get(&path).status, 403);
}

/// What may come back: a whole 4xx, a redirect to the link's own URL where `also` says so, or nothing.
fn provoke(address: SocketAddr, name: &str, bytes: &[u8], also: bool) {
    let mut client = Client::connect(address);
    client.socket().set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    // It may hang up before all is sent.
    drop(client.send(bytes));
    drop(client.socket().shutdown(std::net::Shutdown::Write));
    let mut text = Vec::new();
    let mut buffer = [0; 4_096];
    loop {
        match client.socket().read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => text.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{name}: neither answered nor closed: {error}"),
        }
    }
    let text = String::from_utf8_lossy(&text);
    // Each answer of it, as a smuggled second request would show as a second answer.
    for status in text.split("HTTP/1.").skip(1).map(|answer| answer.split(' ').nth(1).unwrap_or("?")) {
        assert!(status.starts_with('4') || (also && status == "302"), "{name}: {text}");
    }
    for line in text.lines().filter(|line| line.to_ascii_lowercase().starts_with("location:")) {
        assert_eq!(&line["location:".len()..].trim(), &JD, "{name}");
    }
    assert!(!text.to_ascii_lowercase().contains("\nset-cookie"), "{name}: {text}");
}

#[test]
fn broken_and_smuggled_requests_get_nothing() {
    let (gateway, path) = linked(|_| {});
    let address = gateway.click_address();
    let code = &path[1..];
    let noise: Vec<u8> = (0..4_096u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let hello = [&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03][..], &[7; 32][..]].concat();
    let get = |middle: &str| format!("GET {path} HTTP/1.1\r\n{middle}\r\n").into_bytes();
    let smuggled = format!("GET {path} HTTP/1.1\r\nHost: go.example\r\n\r\n");
    let nothing: Vec<(&str, Vec<u8>)> = vec![
        ("noise", noise),
        ("TLS hello", hello),
        ("a preface broken off", b"PRI * HTTP/2.0\r\n\r\nSM".to_vec()),
        ("a preface and noise", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnoise noise noise".to_vec()),
        ("half a preface, then HTTP/1.1", b"PRI * HTTP/1.1\r\nHost: go.example\r\n\r\n".to_vec()),
        ("NULs", vec![0; 512]),
        ("a NUL in the path", b"GET /a\0b HTTP/1.1\r\nHost: go.example\r\n\r\n".to_vec()),
        ("a NUL in a value", get("Host: go.example\r\nX: a\0b\r\n")),
        ("a bare CR in a value", get("Host: go.example\r\nX: a\rY: b\r\n")),
        ("folding", get("Host: go.example\r\nX: a\r\n b\r\n")),
        ("a blank before the colon", get("Host : go.example\r\n")),
        ("two Hosts", get("Host: go.example\r\nHost: evil.example\r\n")),
        ("no Host", get("")),
        ("HTTP/1.2", format!("GET {path} HTTP/1.2\r\nHost: go.example\r\n\r\n").into_bytes()),
        ("HTTP/0.9", format!("GET {path}\r\n").into_bytes()),
        ("CONNECT", b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_vec()),
        ("OPTIONS *", b"OPTIONS * HTTP/1.1\r\nHost: go.example\r\n\r\n".to_vec()),
        ("GET *", b"GET * HTTP/1.1\r\nHost: go.example\r\n\r\n".to_vec()),
        ("a target elsewhere", b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_vec()),
        ("a target without a slash", format!("GET {code} HTTP/1.1\r\nHost: go.example\r\n\r\n").into_bytes()),
        ("two slashes", b"GET //evil.example/ HTTP/1.1\r\nHost: go.example\r\n\r\n".to_vec()),
        ("a body", get("Host: go.example\r\nContent-Length: 5\r\n").into_iter().chain(*b"hello").collect()),
        (
            "a body that is a request",
            [
                get(&format!("Host: go.example\r\nContent-Length: {}\r\n", smuggled.len())),
                smuggled.clone().into_bytes(),
            ]
            .concat(),
        ),
        (
            "chunks",
            [get("Host: go.example\r\nTransfer-Encoding: chunked\r\n"), b"5\r\nhello\r\n0\r\n\r\n".to_vec()].concat(),
        ),
        (
            "length and chunks",
            [
                get("Host: go.example\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n"),
                format!("0\r\n\r\n{smuggled}").into_bytes(),
            ]
            .concat(),
        ),
        (
            "two lengths",
            [get("Host: go.example\r\nContent-Length: 1\r\nContent-Length: 2\r\n"), b"ab".to_vec()].concat(),
        ),
        ("a signed length", [get("Host: go.example\r\nContent-Length: +1\r\n"), b"a".to_vec()].concat()),
        ("an unknown coding", get("Host: go.example\r\nTransfer-Encoding: cow\r\n")),
        ("a body to wait for", get("Host: go.example\r\nExpect: 100-continue\r\nContent-Length: 5\r\n")),
        ("a body after POST", b"POST / HTTP/1.1\r\nHost: go.example\r\nContent-Length: 99\r\n\r\n".to_vec()),
    ];
    for (name, bytes) in &nothing {
        provoke(address, name, bytes, false);
    }
    assert_eq!(gateway.hops().len(), 0, "none of these is a click");
    // RFC 9112 lets a server take these; if it does, they lead where the link leads.
    for (name, bytes) in [
        ("a bare LF", format!("GET {path} HTTP/1.1\nHost: go.example\n\n")),
        ("the whole address", format!("GET http://go.example{path} HTTP/1.1\r\nHost: go.example\r\n\r\n")),
        ("another's address", format!("GET http://evil.example{path} HTTP/1.1\r\nHost: go.example\r\n\r\n")),
        ("an empty body", format!("GET {path} HTTP/1.1\r\nHost: go.example\r\nContent-Length: 0\r\n\r\n")),
        ("HTTP/1.0", format!("GET {path} HTTP/1.0\r\n\r\n")),
        ("a lying query", format!("GET {path}?url=http://evil.example/&to=//evil.example HTTP/1.1\r\nHost: x\r\n\r\n")),
    ] {
        provoke(address, name, bytes.as_bytes(), true);
    }
    honest(&gateway, &path);
    eventually("all connections are gone", || gateway.metric("hopgate_connections") == 0.0);
}

#[test]
fn line_breaks_never_reach_the_answers_head() {
    let (gateway, path) = linked(|_| {});
    let address = gateway.click_address();
    for middle in [
        "%0d%0aSet-Cookie:%20a=b",
        "%0D%0A%0D%0A<script>",
        "%E5%98%8A%E5%98%8DSet-Cookie:a=b",
        "\r\nSet-Cookie: a=b",
        "\nSet-Cookie: a=b",
        "\rSet-Cookie: a=b",
    ] {
        for target in [
            format!("/{middle}"),
            format!("{path}{middle}"),
            format!("{path}?platform={middle}"),
            format!("{path}?{middle}"),
        ] {
            let bytes = format!("GET {target} HTTP/1.1\r\nHost: go.example\r\nAccept: application/json\r\n\r\n");
            provoke(address, &target, bytes.as_bytes(), true);
        }
        for header in ["User-Agent", "Accept-Language", "X-Forwarded-For", "Sec-Purpose"] {
            let bytes = format!("GET {path} HTTP/1.1\r\nHost: go.example\r\n{header}: zh{middle}\r\n\r\n");
            provoke(address, header, bytes.as_bytes(), true);
        }
    }
    honest(&gateway, &path);
}

#[test]
fn the_connection_limit_sheds_and_recovers() {
    let (gateway, path) = linked(|settings| settings.limits.connections = 4);
    let address = gateway.click_address();
    let mut kept: Vec<Client> = (0..4).map(|_| Client::connect(address)).collect();
    for client in &mut kept {
        assert_eq!(client.get(&path).status, 302);
    }
    let mut fifth = Client::connect(address);
    assert!(!matches!(fifth.exchange(&path), Exchange::Whole(_)));
    assert_eq!(shed(ops(&gateway), "connections"), 1.0);
    for client in &mut kept {
        assert_eq!(client.get(&path).status, 302, "those who are in stay in");
    }
    drop(kept.pop());
    eventually("there is room again", || {
        Client::try_connect(address).is_ok_and(|mut client| matches!(client.exchange(&path), Exchange::Whole(_)))
    });
}

#[test]
fn unknown_codes_leave_no_trace() {
    const CODES: usize = 100_000;
    const AT_ONCE: usize = 100;
    let place = Place::new("");
    place.import(3);
    let server = place.serve(&[]);
    let clients = 4;
    let ask = |from: usize, to: usize| {
        let mut client = Client::connect(server.click);
        for first in (from..to).step_by(AT_ONCE) {
            let heads: String = (first..(first + AT_ONCE).min(to))
                .map(|number| format!("GET /guess{number:06} HTTP/1.1\r\nHost: go.example\r\n\r\n"))
                .collect();
            client.send(heads.as_bytes()).unwrap();
            for _ in first..(first + AT_ONCE).min(to) {
                assert_eq!(client.read(false).unwrap().status, 404);
            }
        }
    };
    // Buffers and caches grow once.
    ask(900_000, 902_000);
    let journal = place.path("data/journal");
    let size = || bytes_of(&journal).values().map(Vec::len).sum::<usize>();
    let (memory, recorded, links) = (server.resident(), size(), server.metric("hopgate_links"));
    std::thread::scope(|scope| {
        for client in 0..clients {
            scope.spawn(move || ask(client * CODES / clients, (client + 1) * CODES / clients));
        }
    });
    let grown = server.resident().saturating_sub(memory);
    assert!(grown < 8 * MIB, "memory grew by {grown} bytes");
    assert_eq!(size(), recorded, "the journal grew");
    assert_eq!((links, server.metric("hopgate_links")), (3.0, 3.0));
    println!("{CODES} unknown codes: memory grew by {} KiB", grown / 1_024);
    assert_eq!(server.get("/load0000").status, 302);
}

mod http2 {
    use super::*;
    use bytes::Bytes;
    use h2::client::{self, SendRequest};
    use http::Request;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    async fn connect(address: SocketAddr) -> (SendRequest<Bytes>, tokio::task::JoinHandle<Result<(), h2::Error>>) {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        // Claims to allow itself more than the gateway does: an attacker keeps no rules.
        let (send, connection) =
            client::Builder::new().initial_max_send_streams(10_000).handshake(stream).await.unwrap();
        (send, tokio::spawn(connection))
    }

    fn get(path: &str) -> Request<()> {
        Request::get(format!("http://go.example{path}")).body(()).unwrap()
    }

    #[test]
    fn streams_and_heads_are_bounded() {
        let (gateway, path) = linked(|settings| {
            settings.limits.streams = 8;
            settings.limits.headers = 20;
        });
        let address = gateway.click_address();
        runtime().block_on(async {
            let (mut send, _connection) = connect(address).await;
            // Before the settings of the gateway are known, and so beyond its limit.
            let mut waiting = Vec::new();
            for _ in 0..200 {
                match send.send_request(get(&path), true) {
                    Ok((answer, _)) => waiting.push(answer),
                    Err(_) => break,
                }
            }
            let (mut served, mut refused) = (0, 0);
            for answer in waiting {
                match tokio::time::timeout(Duration::from_secs(10), answer).await.expect("answered or refused") {
                    Ok(answer) => {
                        assert_eq!(
                            (answer.status().as_u16(), answer.headers()["location"].to_str().unwrap()),
                            (302, JD)
                        );
                        served += 1;
                    }
                    Err(_) => refused += 1,
                }
            }
            assert!(refused > 0, "{served} served, {refused} refused");

            // Too many bytes in the fields, and too many fields.
            let (send, _connection) = connect(address).await;
            let mut send = send.ready().await.unwrap();
            let mut large = get(&path);
            for number in 0..10 {
                let name = http::HeaderName::try_from(format!("x-{number}")).unwrap();
                large.headers_mut().insert(name, http::HeaderValue::try_from("a".repeat(4_000)).unwrap());
            }
            let answer = send.send_request(large, true).unwrap().0;
            let answer = tokio::time::timeout(Duration::from_secs(10), answer).await.expect("answered or refused");
            assert!(answer.is_err() || answer.unwrap().status() == 431);

            let (send, _connection) = connect(address).await;
            let mut send = send.ready().await.unwrap();
            let mut many = get(&path);
            for _ in 0..200 {
                many.headers_mut().append("cookie", http::HeaderValue::from_static("a"));
            }
            let answer = send.send_request(many, true).unwrap().0.await.unwrap();
            assert_eq!(answer.status(), 431);

            // A body, and a method nobody serves.
            let (answer, mut body) = send.send_request(get(&path), false).unwrap();
            body.send_data(Bytes::from_static(b"hello"), true).unwrap();
            assert_eq!(answer.await.unwrap().status(), 400);
            let post = Request::post("http://go.example/x").body(()).unwrap();
            assert_eq!(send.send_request(post, true).unwrap().0.await.unwrap().status(), 405);
        });
        honest(&gateway, &path);
    }

    #[test]
    fn rapid_resets_do_not_stop_honest_clients() {
        let place = Place::new("[limits]\nstreams = 64\n");
        place.import(1);
        let server = place.serve(&[]);
        assert_eq!(server.get("/load0000").status, 302);
        let memory = server.resident();
        let (sent, ended) = runtime().block_on(async {
            let (mut send, connection) = connect(server.click).await;
            let mut sent = 0;
            for _ in 0..5_000 {
                if std::future::poll_fn(|cx| send.poll_ready(cx)).await.is_err() {
                    break;
                }
                let Ok((answer, mut stream)) = send.send_request(get("/load0000"), true) else { break };
                stream.send_reset(h2::Reason::CANCEL);
                drop(answer);
                sent += 1;
                tokio::task::yield_now().await;
            }
            // An honest visitor meanwhile, on the same worker or the other.
            for _ in 0..4 {
                let (mut honest, _connection) = connect(server.click).await;
                let answer = honest.send_request(get("/load0000"), true).unwrap().0;
                let answer = tokio::time::timeout(Duration::from_secs(10), answer).await.unwrap().unwrap();
                assert_eq!(answer.status(), 302);
            }
            let ended = connection.is_finished();
            (sent, ended)
        });
        for _ in 0..4 {
            assert_eq!(server.get("/load0000").status, 302);
        }
        let grown = server.resident().saturating_sub(memory);
        assert!(grown < 8 * MIB, "memory grew by {grown} bytes");
        assert!(ended, "the gateway put up with {sent} resets");
        println!("{sent} streams reset before the gateway hung up, memory grew by {} KiB", grown / 1_024);
    }
}
