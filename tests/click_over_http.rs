//! Clicks over real sockets: what a visitor gets, what is recorded, what the window says to the millisecond.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::io::Read;

use hopgate::config::settings::PolicySource;
use support::{Client, Gateway, JD, KUAISHOU_AGENT, at, window};

#[test]
fn an_allowed_click_is_redirected_and_recorded() {
    let gateway = Gateway::start("2022-11-15 12:00:00");
    let url = "https://union-click.jd.com/jdc?e=618%7Cpc%7C&p=JF8BAMIJK1olXg8EUVVVCkkQA18IGlsWWAUDV1xcCU8nFw";
    let code = gateway.link(url, "kuaishou/live_cart", "self_operated");
    let answer = gateway.get(&format!("/{code}"));
    assert_eq!(answer.status, 302, "{answer:?}");
    assert_eq!(answer.header("location"), url, "byte for byte");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("hop-id").len(), 32);

    let hops = gateway.hops();
    assert_eq!(hops.len(), 1, "the record is there before the redirect");
    let hop = &hops[0];
    assert_eq!(hop["click_id"], answer.header("hop-id"));
    for (field, value) in [
        ("code", code.as_str()),
        ("platform", "kuaishou"),
        ("surface", "live_cart"),
        ("placement_source", "link"),
        ("marketplace", "jd"),
        ("shop_type", "self_operated"),
        ("link_kind", "alliance"),
        ("outcome", "allow"),
        ("reason", "allowed"),
        ("agreement", "kuaishou-jd-double11-2022"),
        ("landing", "app"),
        ("app", "kuaishou"),
        ("os", "ios"),
        ("address", "127.0.0.0/24"),
        ("time", "2022-11-15T12:00:00+08:00"),
    ] {
        assert_eq!(hop[field], value, "{field} of {hop}");
    }
    assert_eq!(hop["policy_version"], gateway.app().gateway().policies.current().version().to_string());
    assert!(gateway.metric("hopgate_clicks_total") == 1.0 && gateway.metric("hopgate_journal_appended_total") == 1.0);
}

#[test]
fn requests_in_one_piece_are_answered_in_order_and_the_last_may_close() {
    let gateway = Gateway::start("2022-11-15 12:00:00");
    let code = gateway.link(JD, "kuaishou/live_cart", "self_operated");
    let mut client = Client::connect(gateway.click_address());
    let ask = |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nHost: go.example.com\r\n{more}\r\n");
    // Refusals are long, unknown codes have no hop to wait for: what is said first must still arrive first.
    let mut all = String::new();
    for _ in 0..200 {
        all += &ask(&format!("/{code}"), "");
        all += &ask("/nobody00", "");
    }
    all += &ask(&format!("/{code}"), "Connection: close\r\n");
    client.send(all.as_bytes()).unwrap();
    let mut ids = std::collections::HashSet::new();
    for turn in 0..401 {
        let answer = client.read(false).unwrap();
        assert_eq!(answer.status, if turn % 2 == 0 { 302 } else { 404 }, "answer {turn}");
        if turn % 2 == 0 {
            assert!(ids.insert(answer.header("hop-id").to_owned()), "each its own hop");
        }
    }
    assert!(client.closed_within(std::time::Duration::from_secs(5)));
    let hops = gateway.hops();
    assert_eq!(hops.len(), 201);
    assert!(hops.iter().all(|hop| ids.contains(hop["click_id"].as_str().unwrap())));
}

/// One answer as it came, but for what differs each time; asked `more` to go the long way.
fn raw(client: &mut Client, path: &str, headers: &[(&str, &str)]) -> String {
    let fields: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: go.example\r\n{fields}\r\n").as_bytes()).unwrap();
    let mut seen = Vec::new();
    loop {
        let mut bytes = [0; 16_384];
        let read = client.socket().read(&mut bytes).unwrap();
        assert!(read > 0, "an answer to {path}");
        seen.extend_from_slice(&bytes[..read]);
        let text = String::from_utf8_lossy(&seen);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        if body.len() < field("content-length: ").unwrap().parse().unwrap() {
            continue;
        }
        let date = field("date: ").expect("every answer has a date");
        assert!(date.len() == 29 && date.ends_with(" GMT"), "{date}");
        let id = field("hop-id: ").unwrap_or_else(|| "no id".into());
        return text.replace(&date, "DATE").replace(&id, "ID");
    }
}

#[test]
fn a_plain_click_is_answered_as_any_other() {
    let gateway = Gateway::start("2022-11-15 12:00:00");
    let link = |url: &str, expires| {
        let code =
            gateway.link_with(url, "kuaishou/live_cart", "self_operated", |link| link.expires_at = Some(at(expires)));
        format!("/{code}")
    };
    let (open, short) = (link(JD, "2030-01-01 00:00:00"), link(JD, "2022-11-15 12:30:00"));
    let opened = link("https://item.taobao.com/item.htm?id=41879347901", "2030-01-01 00:00:00");
    let tagged = format!("{open}?platform=kuaishou&clickid=a%20b");
    let (mut quick, mut long) = (Client::connect(gateway.click_address()), Client::connect(gateway.click_address()));
    let safari = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                  Version/17.1.2 Mobile/15E148 Safari/604.1";
    let (agent, page) = (("User-Agent", KUAISHOU_AGENT), ("Accept", "text/html,*/*"));
    let english = ("Accept-Language", "en-GB,en;q=0.9");
    let visitors: [&[(&str, &str)]; 8] = [
        &[agent],
        &[agent, page, english, ("Connection", "keep-alive"), ("Cookie", "a=b")],
        &[("user-agent", KUAISHOU_AGENT), ("ACCEPT", "application/json"), english],
        &[("User-Agent", safari), page],
        &[("User-Agent", "facebookexternalhit/1.1"), page],
        &[("User-Agent", "Mozilla/5.0 (compatible; Baiduspider/2.0)")],
        &[agent, ("X-Requested-With", "com.smile.gifmaker"), ("Sec-Purpose", "prefetch")],
        &[],
    ];
    let mut statuses = std::collections::BTreeSet::new();
    for now in ["2022-11-15 12:00:00", "2022-11-15 13:00:00", "2023-01-01 00:00:00"] {
        gateway.clock.set(at(now));
        for path in [&*open, &short, &opened, &tagged, "/nobody00", "/go", "/", "/.well-known/x"] {
            for visitor in visitors {
                let one = raw(&mut quick, path, visitor);
                // What this field says is heard by nobody, but a head that has it is not plain.
                let other = raw(&mut long, path, &[visitor, &[("TE", "trailers")]].concat());
                assert_eq!(one, other, "{path} at {now} for {visitor:?}");
                statuses.insert(one[9..12].to_owned());
            }
        }
        // From here on it is hyper's; the next one begins anew.
        quick = Client::connect(gateway.click_address());
    }
    assert_eq!(statuses.into_iter().collect::<Vec<_>>(), ["200", "302", "403", "404", "410"]);
    // Nor does what is kept of them differ.
    let mut kept: Vec<_> = gateway.hops();
    for hop in &mut kept {
        for field in ["seq", "click_id"] {
            hop.as_object_mut().unwrap().remove(field);
        }
    }
    let ways: Vec<_> = kept.chunks(2).collect();
    assert_eq!(ways.len(), 3 * 4 * visitors.len());
    assert!(ways.iter().all(|pair| pair[0] == pair[1]), "{ways:?}");
}

#[test]
fn a_window_ends_to_the_millisecond() {
    let gateway = Gateway::start("2022-11-30 23:59:59.999");
    let code = gateway.link(JD, "kuaishou/live_cart", "self_operated");
    let mut client = Client::connect(gateway.click_address());
    let path = format!("/{code}");
    assert_eq!(client.get(&path).status, 302);
    gateway.clock.set(at("2022-11-30 23:59:59.999999"));
    assert_eq!(client.get(&path).status, 302, "the last microsecond is still inside");
    gateway.clock.set(at("2022-12-01 00:00:00"));
    let refused = client.get(&path);
    assert_eq!(refused.status, 403);
    assert_eq!(refused.header("location"), "");
    gateway.clock.set(at("2022-10-27 23:59:59.999"));
    assert_eq!(client.get(&path).status, 403);
    gateway.clock.set(at("2022-10-29 00:00:00"));
    assert_eq!(client.get(&path).status, 302);
    let reasons: Vec<String> = gateway.hops().iter().map(|hop| hop["reason"].as_str().unwrap().to_owned()).collect();
    assert_eq!(reasons, ["allowed", "allowed", "window_ended", "not_yet_open", "allowed"]);
}

#[test]
fn a_refusal_is_told_in_the_visitors_language_and_form() {
    let gateway = Gateway::start("2023-01-01 00:00:00");
    let code = gateway.link(JD, "kuaishou/live_cart", "self_operated");
    let mut client = Client::connect(gateway.click_address());
    let path = format!("/{code}");
    let page = client.get(&path);
    assert_eq!((page.status, page.header("content-language")), (403, "zh-CN"));
    assert!(page.body.contains("快手到京东的链接合作已于 2022-12-01 00:00"), "{}", page.body);
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
    let english = client.ask("GET", &path, &[("Accept-Language", "en-GB,en;q=0.9")]);
    assert!(english.body.contains("ended on 2022-12-01 00:00"), "{}", english.body);
    let json = client.ask("GET", &path, &[("Accept", "application/json")]);
    let value: serde_json::Value = serde_json::from_str(&json.body).unwrap();
    assert_eq!((json.status, value["reason"].as_str()), (403, Some("window_ended")));
    assert_eq!(value["ended_at"], "2022-12-01T00:00:00+08:00");
    assert_eq!(value["hop_id"], json.header("hop-id"));
    assert_eq!(gateway.hops().len(), 3, "refusals are hops too");
}

#[test]
fn what_is_not_there_and_what_is_over() {
    let gateway = Gateway::start("2022-11-15 12:00:00");
    let code = gateway.link_with(JD, "kuaishou/live_cart", "self_operated", |link| {
        link.expires_at = Some(at("2022-11-15 13:00:00"));
    });
    let mut client = Client::connect(gateway.click_address());
    assert_eq!(client.get("/nosuch01").status, 404);
    assert_eq!(client.get("/").status, 404);
    assert_eq!(client.get("/a/b").status, 404);
    assert_eq!(client.get(&format!("/{code}?x=1")).status, 302);
    gateway.clock.set(at("2022-11-15 13:00:00"));
    let over = client.ask("GET", &format!("/{code}"), &[("Accept", "application/json")]);
    assert_eq!(over.status, 410);
    assert!(over.body.contains("link_expired"), "{}", over.body);
    let wrong = client.ask("DELETE", &format!("/{code}"), &[]);
    assert_eq!((wrong.status, wrong.header("allow")), (405, "GET, HEAD"));
    assert_eq!(gateway.hops().len(), 2, "unknown codes are counted, not recorded");
}

#[test]
fn machines_are_recorded_and_not_counted_as_people() {
    let gateway = Gateway::start("2022-11-15 12:00:00");
    let code = gateway.link(JD, "kuaishou/live_cart", "self_operated");
    let mut client = Client::connect(gateway.click_address());
    let path = format!("/{code}");
    assert_eq!(client.ask("HEAD", &path, &[("User-Agent", KUAISHOU_AGENT)]).status, 302);
    client.ask("GET", &path, &[("User-Agent", "Mozilla/5.0 (compatible; Baiduspider/2.0)")]);
    client.ask("GET", &path, &[("User-Agent", KUAISHOU_AGENT), ("Sec-Purpose", "prefetch;prerender")]);
    client.ask("GET", &path, &[]);
    let flags: Vec<String> = gateway.hops().iter().map(|hop| hop["flags"].to_string()).collect();
    assert_eq!(flags, ["[\"head\"]", "[\"bot\"]", "[\"prefetch\"]", "[\"no_agent\"]"]);
    assert_eq!(gateway.metric("hopgate_clicks_total"), 1.0);
    assert_eq!(gateway.metric("hopgate_machine_clicks_total"), 3.0);
}

#[test]
fn placement_comes_from_the_link_then_the_app_then_a_hint() {
    let gateway = Gateway::start("2022-11-15 12:00:00");
    let free = gateway.link(JD, "", "self_operated");
    let mut client = Client::connect(gateway.click_address());
    let answer = client.get(&format!("/{free}?surface=detail_page"));
    assert_eq!(answer.status, 302);
    client.ask("GET", &format!("/{free}?platform=kuaishou&surface=detail_page"), &[("User-Agent", "Mozilla/5.0")]);
    client.ask("GET", &format!("/{free}"), &[("User-Agent", "Mozilla/5.0")]);
    let hops = gateway.hops();
    let seen: Vec<_> = hops.iter().map(|hop| (hop["placement_source"].as_str(), hop["outcome"].as_str())).collect();
    assert_eq!(seen, [(Some("hint"), Some("allow")), (Some("hint"), Some("allow")), (None, Some("deny"))]);
}

#[test]
fn only_trusted_proxies_are_believed_about_addresses() {
    let trusting = Gateway::start_with("2022-11-15 12:00:00", |settings| {
        settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    });
    let code = trusting.link(JD, "kuaishou/live_cart", "self_operated");
    let forged = [("X-Forwarded-For", "198.51.100.9, 203.0.113.77")];
    Client::connect(trusting.click_address()).ask("GET", &format!("/{code}"), &forged);
    assert_eq!(trusting.hops()[0]["address"], "203.0.113.0/24");

    let plain = Gateway::start("2022-11-15 12:00:00");
    let code = plain.link(JD, "kuaishou/live_cart", "self_operated");
    Client::connect(plain.click_address()).ask("GET", &format!("/{code}"), &forged);
    assert_eq!(plain.hops()[0]["address"], "127.0.0.0/24");
}

#[test]
fn the_proxy_protocol_names_the_visitor() {
    let gateway = Gateway::start_with("2022-11-15 12:00:00", |settings| {
        settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        settings.proxy_protocol = true;
    });
    let code = gateway.link(JD, "kuaishou/live_cart", "self_operated");
    let mut client = Client::connect(gateway.click_address());
    client.send(b"PROXY TCP4 203.0.113.7 127.0.0.1 5000 80\r\n").unwrap();
    assert_eq!(client.get(&format!("/{code}")).status, 302);
    assert_eq!(gateway.hops()[0]["address"], "203.0.113.0/24");
    let mut stranger = Client::connect(gateway.click_address());
    stranger.send(format!("GET /{code} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
    assert!(stranger.read(false).is_err(), "without the header nothing is served");
}

#[test]
fn a_switch_under_load_never_mixes_versions() {
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    let write = |id: &str| {
        let next = policies.join("next.tmp");
        std::fs::write(&next, window(id, "2022-01-01", "2023-01-01")).unwrap();
        std::fs::rename(&next, policies.join("window.yaml")).unwrap();
    };
    write("version-a");
    let dir = policies.clone();
    let gateway = Gateway::start_with("2022-11-15 12:00:00", |settings| {
        settings.policies = dir;
        settings.policy_source = PolicySource::Folder;
        settings.watch_policies = false;
    });
    let path = format!("/{}", gateway.link(JD, "kuaishou/live_cart", "self_operated"));
    let address = gateway.click_address();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let mut versions = vec![(gateway.app().gateway().policies.current().version().to_string(), "version-a".to_owned())];
    std::thread::scope(|scope| {
        let clickers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = Client::connect(address);
                    let mut clicks = 0;
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        assert_eq!(client.get(&path).status, 302);
                        clicks += 1;
                    }
                    clicks
                })
            })
            .collect();
        for round in 0..30 {
            let id = format!("version-{round}");
            write(&id);
            gateway.app().block_on(gateway.app().reload());
            versions.push((gateway.app().gateway().policies.current().version().to_string(), id));
            // The next click of this thread already sees it.
            let mut client = Client::connect(address);
            client.get(&path);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let clicks: usize = clickers.into_iter().map(|clicker| clicker.join().unwrap()).sum();
        assert!(clicks > 100, "{clicks} clicks");
    });
    for hop in gateway.hops() {
        let pair = (hop["policy_version"].as_str().unwrap().to_owned(), hop["agreement"].as_str().unwrap().to_owned());
        assert!(versions.contains(&pair), "a mixed click: {hop}");
    }
}

#[test]
fn a_reload_that_fails_keeps_the_last_good_policy() {
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    let file = policies.join("window.yaml");
    std::fs::write(&file, window("good-one", "2022-01-01", "2023-01-01")).unwrap();
    let dir = policies.clone();
    let gateway = Gateway::start_with("2022-11-15 12:00:00", |settings| {
        settings.policies = dir;
        settings.policy_source = PolicySource::Folder;
    });
    let path = format!("/{}", gateway.link(JD, "kuaishou/live_cart", "self_operated"));
    let version = gateway.app().gateway().policies.current().version();

    std::fs::write(&file, window("bad-one", "2023-01-01", "2022-01-01")).unwrap();
    support::eventually("the bad set is noticed", || gateway.metric("hopgate_policy_reload_failures_total") >= 1.0);
    assert_eq!(gateway.app().gateway().policies.current().version(), version);
    assert_eq!(gateway.get(&path).status, 302);

    std::fs::write(&file, window("next-one", "2022-01-01", "2022-06-01")).unwrap();
    support::eventually("the good set is taken", || gateway.app().gateway().policies.current().version() != version);
    assert_eq!(gateway.get(&path).status, 403);
}
