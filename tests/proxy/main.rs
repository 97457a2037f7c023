//! Proxied landings over real sockets: what is streamed, what is rewritten, what fails and how, and that no other click
//! notices any of it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/mod.rs"]
mod support;
mod upstream;
mod visitor;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hopgate::config::proxy::{Origin, UpstreamSettings};
use hopgate::config::settings::Settings;
use support::{Gateway, JD, KUAISHOU_AGENT, Place, eventually};
use upstream::{BIG, Upstream, byte_at};
use url::{Host, Url};
use visitor::{Got, Visitor, request};

const NOW: &str = "2022-11-15 12:00:00";
const MOUNT: &str = "jd.in.example.com";

fn agreement(landing: &str) -> String {
    support::window("stay-inside", "2022-01-01", "2023-01-01").replace("landing: app", &format!("landing: {landing}"))
}

fn origin(text: &str) -> Origin {
    let url = Url::parse(text).unwrap();
    let host = match url.host().unwrap() {
        Host::Domain(name) => Host::Domain(name.to_owned()),
        Host::Ipv4(address) => Host::Ipv4(address),
        Host::Ipv6(address) => Host::Ipv6(address),
    };
    let port = url.port_or_known_default().unwrap();
    Origin { shown: text.to_owned(), tls: url.scheme() == "https", host, port }
}

fn settings_of(origins: &[String]) -> UpstreamSettings {
    UpstreamSettings {
        name: "jd".to_owned(),
        landing_hosts: vec!["item.m.jd.com".to_owned()],
        origins: origins.iter().map(|text| origin(text)).collect(),
        server_name: None,
        ca: None,
        mount: None,
        paths: Vec::new(),
        connect_timeout: Duration::from_secs(2),
        head_timeout: Duration::from_secs(20),
        idle_timeout: Duration::from_secs(20),
        max_connections: 64,
        max_request_bytes: 64 << 10,
        max_response_bytes: 32 << 20,
        retries: 0,
        max_failures: 100,
        rest: Duration::from_secs(60),
    }
}

/// A gateway whose agreement says `proxy`, with one upstream.
struct Deal {
    gateway: Gateway,
    upstream: Upstream,
    _policies: tempfile::TempDir,
}

impl Deal {
    fn start(change: impl FnOnce(&mut UpstreamSettings)) -> Self {
        Self::with(change, |_| {})
    }

    fn mounted(change: impl FnOnce(&mut UpstreamSettings)) -> Self {
        Self::start(|settings| {
            settings.mount = Some(MOUNT.to_owned());
            change(settings);
        })
    }

    fn with(change: impl FnOnce(&mut UpstreamSettings), more: impl FnOnce(&mut Settings)) -> Self {
        let upstream = Upstream::start();
        let policies = tempfile::tempdir().unwrap();
        std::fs::write(policies.path().join("deal.yaml"), agreement("proxy")).unwrap();
        let mut proxied = settings_of(&[upstream.origin()]);
        change(&mut proxied);
        let folder = policies.path().to_path_buf();
        let gateway = Gateway::start_with(NOW, |settings| {
            settings.policies = folder;
            settings.journal.deadline = Duration::from_secs(10);
            settings.proxy.upstreams = vec![proxied];
            more(settings);
        });
        Deal { gateway, upstream, _policies: policies }
    }

    /// A link to a page of the upstream's; its path here.
    fn link(&self, target: &str) -> String {
        let landing = format!("https://item.m.jd.com{target}");
        format!("/{}", self.gateway.link(&landing, "kuaishou/live_cart", "self_operated"))
    }

    fn visitor(&self) -> Visitor {
        Visitor::connect(self.gateway.click_address())
    }

    fn get(&self, host: &str, path: &str, more: &[(&str, &str)]) -> Got {
        self.visitor().ask("GET", host, path, &[&[("User-Agent", KUAISHOU_AGENT)], more].concat())
    }

    /// Clicks on a link to a page of the upstream's.
    fn click(&self, target: &str, more: &[(&str, &str)]) -> Got {
        let path = self.link(target);
        self.get("go.example", &path, more)
    }

    fn ways(&self) -> Vec<String> {
        self.gateway.hops().iter().map(|hop| hop["way"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The figure of requests that ended in a way.
    fn ended(&self, result: &str) -> f64 {
        let text = support::Client::connect(self.gateway.app().addresses().ops).get("/metrics").body;
        let figure = |line: &str| line.rsplit(' ').next()?.parse::<f64>().ok();
        text.lines()
            .filter(|line| {
                line.starts_with("hopgate_proxy_requests_total{") && line.contains(&format!("result=\"{result}\""))
            })
            .filter_map(figure)
            .sum()
    }
}

#[test]
fn a_click_is_answered_with_the_page_itself() {
    let deal = Deal::start(|_| {});
    let got = deal.click(
        "/product/100012043978.html?utm_source=u&p='",
        &[("If-None-Match", "\"a\""), ("Authorization", "Bearer x"), ("Cookie", "c=1"), ("Forwarded", "for=6.6.6.6")],
    );
    assert_eq!((got.status, got.whole), (200, true));
    assert_eq!(got.text(), "GET /product/100012043978.html?utm_source=u&p='\n");
    assert_eq!((got.header("cache-control"), got.header("content-type")), ("no-store", "text/html"));
    let hops = deal.gateway.hops();
    assert_eq!(hops.len(), 1);
    assert_eq!(
        (&hops[0]["outcome"], &hops[0]["landing"], &hops[0]["way"]),
        (&"allow".into(), &"proxy".into(), &"proxy".into())
    );
    assert_eq!(hops[0]["click_id"], got.header("hop-id"));
    assert_eq!(deal.gateway.metric("hopgate_clicks_total"), 1.0);

    let seen = deal.upstream.last();
    assert_eq!(seen.header("host"), deal.upstream.address.to_string());
    assert_eq!(seen.header("user-agent"), KUAISHOU_AGENT);
    assert_eq!(seen.header("forwarded"), "for=127.0.0.1;host=\"go.example\";proto=http");
    assert_eq!(seen.header("x-forwarded-prefix"), "/_p/jd");
    assert_eq!(seen.header("hop-id"), got.header("hop-id"));
    for dropped in ["authorization", "cookie", "if-none-match", "connection", "content-length"] {
        assert_eq!(seen.header(dropped), "", "{dropped}");
    }
    let head = deal.visitor().ask("HEAD", "go.example", &deal.link("/product/1.html"), &[]);
    assert_eq!((head.status, head.header("content-length")), (200, "21"));
    assert_eq!(deal.upstream.last().method, "HEAD");
    eventually("both are counted", || deal.ended("passed") == 2.0);
    // What the page asks for afterwards.
    let got = deal.get("go.example", "/_p/jd/static/a.js?v=1", &[("Cookie", "c=1; hopgate_k=2")]);
    assert_eq!((got.status, got.text().as_str()), (200, "GET /static/a.js?v=1\n"));
    assert_eq!((got.header("cache-control"), got.header("hop-id")), ("max-age=99", ""));
    assert_eq!(deal.upstream.last().header("cookie"), "c=1");
    assert_eq!(deal.gateway.hops().len(), 2, "no click");
    assert_eq!(deal.get("go.example", "/_p/other/a.js", &[]).status, 404);
    assert_eq!(deal.get("go.example", "/_p/jdx/a.js", &[]).status, 404);
    assert!(deal.upstream.state.accepted.load(Ordering::SeqCst) <= 3, "connections are kept");
}

#[test]
fn a_refusal_and_a_landing_without_an_upstream_ask_nobody() {
    let deal = Deal::start(|settings| settings.paths = vec!["/product/*".to_owned()]);
    for landing in [JD, "https://item.m.jd.com/other/1.html"] {
        let path = format!("/{}", deal.gateway.link(landing, "kuaishou/live_cart", "self_operated"));
        let got = deal.get("go.example", &path, &[]);
        assert_eq!((got.status, got.header("location")), (302, landing));
    }
    assert_eq!(deal.gateway.metric("hopgate_proxy_unserved_total"), 2.0);
    deal.gateway.clock.set(support::at("2023-01-01"));
    assert_eq!(deal.click("/product/1.html", &[]).status, 403);
    assert_eq!(deal.ways(), ["redirect", "redirect", ""]);
    assert!(deal.upstream.seen().is_empty());
}

#[test]
fn an_upstream_that_fails_is_told_and_recorded() {
    let deal = Deal::start(|settings| {
        settings.head_timeout = Duration::from_millis(300);
        settings.max_response_bytes = 1 << 20;
    });
    let pages = [
        ("/hang-up", 502, "no_answer"),
        ("/nonsense", 502, "no_answer"),
        ("/error", 502, "server_error"),
        ("/switch", 502, "bad_answer"),
        ("/huge", 502, "bad_answer"),
        ("/redirect?to=https://evil.test/", 502, "bad_answer"),
        ("/redirect?to=//evil.test/", 502, "bad_answer"),
        ("/slow", 504, "timeout"),
    ];
    for (target, status, cause) in pages {
        let got = deal.click(target, &[("Accept", "application/json")]);
        let value: serde_json::Value = serde_json::from_slice(&got.body).unwrap_or_default();
        assert_eq!((got.status, value["cause"].as_str()), (status, Some(cause)), "{target}: {got:?}");
        assert_eq!((&value["reason"], &value["hop_id"]), (&"upstream_failed".into(), &got.header("hop-id").into()));
        assert_eq!(value["landing"], format!("https://item.m.jd.com{target}"), "{value}");
        assert_eq!(got.header("location"), "");
    }
    let page = deal.click("/hang-up", &[]);
    assert_eq!((page.status, page.header("content-language")), (502, "zh-CN"));
    assert!(
        page.text().contains("href=\"https://item.m.jd.com/hang-up\"") && page.text().contains("合作方"),
        "{}",
        page.text()
    );
    let english = deal.click("/slow", &[("Accept-Language", "en")]);
    assert!(english.text().contains("did not answer in time"), "{}", english.text());
    let hops = deal.gateway.hops();
    assert_eq!(hops.len(), pages.len() + 2);
    for hop in &hops {
        let told = (hop["outcome"].as_str(), hop["reason"].as_str(), hop["way"].as_str(), hop["landing"].as_str());
        assert_eq!(told, (Some("allow"), Some("allowed"), Some("upstream_failed"), Some("proxy")), "{hop}");
    }
    eventually("the slow requests are taken back", || deal.upstream.state.left.load(Ordering::SeqCst) == 2);
    assert_eq!((deal.ended("timeout"), deal.ended("bad_answer")), (2.0, 4.0));

    // Nobody listens.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let deal = Deal::start(|settings| settings.origins = vec![origin(&format!("http://{free}"))]);
    let got = deal.click("/product/1.html", &[]);
    assert_eq!((got.status, deal.ways()), (502, vec!["upstream_failed".to_owned()]));
    assert_eq!(deal.ended("connect"), 1.0);
}

#[test]
fn a_name_that_leads_nowhere_is_a_failed_upstream() {
    let deal = Deal::start(|settings| settings.origins = vec![origin("https://nowhere.invalid")]);
    let got = deal.click("/product/1.html", &[]);
    assert_eq!((got.status, deal.ways()), (502, vec!["upstream_failed".to_owned()]));
    assert_eq!(deal.gateway.metric("hopgate_proxy_origin_up"), 0.0);
}

#[test]
fn an_answer_that_breaks_off_is_cut_and_never_looks_whole() {
    let deal = Deal::start(|settings| {
        settings.idle_timeout = Duration::from_millis(300);
        settings.max_response_bytes = 1 << 20;
    });
    for target in ["/broken", "/broken-chunks", "/silent", "/endless"] {
        let got = deal.click(target, &[]);
        assert_eq!((got.status, got.whole), (200, false), "{target}");
        assert!(got.body.len() <= 1 << 20, "{target}: {}", got.body.len());
    }
    eventually("all are counted", || deal.ended("broken") == 4.0);
    assert_eq!(deal.ways(), ["proxy"; 4], "the answer had begun");
    eventually("the endless one is stopped", || deal.upstream.state.left.load(Ordering::SeqCst) == 1);
}

#[test]
fn twenty_megabytes_are_streamed_as_they_come_and_never_held() {
    let upstream = Upstream::start();
    let place = Place::new(&format!(
        "[[proxy.upstreams]]\nname = \"jd\"\nlanding_hosts = [\"item.m.jd.com\"]\norigin = \"{}\"\nhead_timeout = \"20s\"\n",
        upstream.origin()
    ));
    let wide = support::window("wide", "2020-01-01", "2090-01-01").replace("landing: app", "landing: proxy");
    std::fs::write(place.path("policies/wide.yaml"), wide).unwrap();
    let lines: String = ["gated-big", "big"]
        .map(|page| {
            format!(
                "{{\"url\":\"https://item.m.jd.com/{page}\",\"platform\":\"kuaishou\",\"surface\":\"live_cart\",\
                 \"code\":\"{}\"}}\n",
                page.replace('-', "")
            )
        })
        .concat();
    std::fs::write(place.path("links.ndjson"), lines).unwrap();
    assert_eq!(place.run(&["link", "import", "links.ndjson"]).code, 0);
    let server = place.serve(&[]);
    assert_eq!(server.get("/nosuchcode").status, 404);
    let before = server.resident();

    // The first byte is here before the last was sent.
    let mut visitor = Visitor::connect(server.click);
    visitor.send(&request("GET", "go.example", "/gatedbig", &[]));
    let head = visitor.head();
    assert_eq!((head.status, head.header("content-length")), (200, BIG.to_string().as_str()));
    let first = visitor.take(1_000);
    assert!(first.iter().enumerate().all(|(place, byte)| *byte == byte_at(place)));
    // Counted after it was sent, and nothing more is: the gate is shut.
    eventually("what was sent is counted", || upstream.state.written.load(Ordering::SeqCst) == 65_536);
    upstream.open_gate();
    // A visitor who does not read slows the upstream down: what lies between is the kernel's buffers.
    let mut last = 0;
    eventually("the upstream is held up", || {
        std::thread::sleep(Duration::from_millis(200));
        let now = upstream.state.written.load(Ordering::SeqCst);
        std::mem::replace(&mut last, now) == now
    });
    assert!(last < BIG, "all {last} bytes were taken in");
    let rest = visitor.take(BIG - 1_000);
    assert!(rest.iter().enumerate().all(|(place, byte)| *byte == byte_at(place + 1_000)), "nothing lost or doubled");

    // Several at once.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let got = Visitor::connect(server.click).ask("GET", "go.example", "/big", &[]);
                assert!(got.whole && got.body.len() == BIG);
            });
        }
    });
    let grown = server.resident().saturating_sub(before);
    println!("{} KiB more after {} MiB", grown >> 10, (5 * BIG) >> 20);
    assert!(grown < 12 << 20, "memory grew by {grown} bytes");
    assert_eq!(server.metric("hopgate_proxy_bytes_total"), 5.0 * BIG as f64);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_stale_connection_costs_a_get_nothing_and_a_post_is_never_sent_twice() {
    let deal = Deal::mounted(|_| {});
    let mut visitor = deal.visitor();
    assert_eq!(visitor.ask("GET", MOUNT, "/a", &[]).status, 200);
    // Two workers have their own connections: the same visitor stays at one.
    let got = visitor.ask("GET", MOUNT, "/b?stale=1", &[]);
    assert_eq!((got.status, got.text().as_str()), (200, "GET /b?stale=1\n"));
    let seen: Vec<(String, usize)> =
        deal.upstream.seen().iter().map(|seen| (seen.target.clone(), seen.before)).collect();
    let expected = [("/a", 0), ("/b?stale=1", 1), ("/b?stale=1", 0)];
    assert_eq!(seen, expected.map(|(target, before)| (target.to_owned(), before)), "once more, on a fresh connection");
    assert_eq!(deal.gateway.metric("hopgate_proxy_retries_total"), 1.0);
    assert_eq!(deal.gateway.metric("hopgate_proxy_origin_up"), 1.0);

    // A POST takes no kept connection, so that it cannot be lost on one; and where it is lost it stays lost.
    visitor.send(&(request("POST", MOUNT, "/c?stale=1", &[("Content-Length", "3")]) + "a=b"));
    let got = visitor.read(false);
    assert_eq!((got.status, got.text().as_str()), (200, "POST /c?stale=1\na=b"));
    visitor.send(&(request("POST", MOUNT, "/hang-up", &[("Content-Length", "3")]) + "a=b"));
    assert_eq!(visitor.read(false).status, 502);
    let posts = deal.upstream.seen().iter().filter(|seen| seen.method == "POST").count();
    assert_eq!(posts, 2, "each once");
}

#[test]
fn retries_go_to_another_origin_while_nothing_was_answered() {
    let second = Upstream::start();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let other = second.origin();
    let deal = Deal::mounted(|settings| {
        settings.origins = vec![origin(&format!("http://{free}")), origin(&other)];
        settings.retries = 1;
        settings.max_failures = 3;
    });
    let path = deal.link("/product/1.html");
    for _ in 0..10 {
        assert_eq!(deal.get(MOUNT, &path, &[]).status, 200);
    }
    assert_eq!(deal.ways(), ["proxy"; 10]);
    assert_eq!(deal.gateway.metric("hopgate_proxy_retries_total"), 3.0, "then it rests");
    assert_eq!(deal.gateway.metric("hopgate_proxy_origin_up"), 1.0);
    // An answer is an answer: no second try.
    assert_eq!(deal.get(MOUNT, "/error", &[]).status, 503);
    assert_eq!(second.seen().iter().filter(|seen| seen.target == "/error").count(), 1);
}

#[test]
fn a_question_is_told_the_way_of_the_click() {
    let deal = Deal::start(|settings| settings.paths = vec!["/product/*".to_owned()]);
    let key = std::fs::read_to_string(deal.gateway.folder.path().join("data/admin.key")).unwrap();
    let sent = |subject: &str| {
        let body = format!("{{{subject},\"app\":\"kuaishou\",\"os\":\"android\"}}");
        let bearer = format!("Bearer {}", key.trim());
        let length = body.len().to_string();
        let more =
            [("Authorization", bearer.as_str()), ("Content-Type", "application/json"), ("Content-Length", &length)];
        let mut visitor = Visitor::connect(deal.gateway.app().addresses().control);
        visitor.send(&(request("POST", "go.example", "/v1/decide", &more) + &body));
        let told: serde_json::Value = serde_json::from_slice(&visitor.read(false).body).unwrap();
        assert_eq!(told["outcome"], "allow", "{told}");
        let sent = &told["sent"];
        let text = |name: &str| sent[name].as_str().unwrap_or_default().to_owned();
        (sent["status"].as_u64().unwrap_or_default(), text("way"), text("address"))
    };
    let served = "https://item.m.jd.com/product/1.html";
    let at = "\"platform\":\"kuaishou\",\"surface\":\"live_cart\",\"shop_type\":\"self_operated\"";
    let expected = |status, way: &str, url: &str| (status, way.to_owned(), url.to_owned());
    assert_eq!(sent(&format!("\"url\":\"{served}\",{at}")), expected(200, "proxy", served));
    assert_eq!(sent(&format!("\"url\":\"{JD}\",{at}")), expected(302, "redirect", JD), "no upstream serves it");
    let code = |share_code: Option<&str>| {
        let link = deal.gateway.link_with(served, "kuaishou/live_cart", "self_operated", |link| {
            link.share_code = share_code.map(Into::into);
        });
        let told = sent(&format!("\"code\":\"{link}\""));
        deal.get("go.example", &format!("/{link}"), &[]);
        assert_eq!(deal.ways().last(), Some(&told.1), "a click goes the same way");
        told
    };
    assert_eq!(code(None), expected(200, "proxy", served));
    assert_eq!(code(Some("￥AbCdEf12345￥")), expected(200, "copy_code", served));

    // The command line reads the same settings.
    let upstream =
        "[[proxy.upstreams]]\nname = \"jd\"\nlanding_hosts = [\"item.m.jd.com\"]\norigins = [\"http://127.0.0.1:9\"]\n";
    let place = Place::new(upstream);
    let landing = |place: &Place| {
        let ran = place.run(&["landing", "--url", served, "--mode", "proxy", "--app", "kuaishou", "--os", "ios"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.out
    };
    assert!(landing(&place).contains(&format!("200 proxy  {served}")), "{}", landing(&place));
    let at = ["--platform", "kuaishou", "--surface", "live_cart", "--shop-type", "self_operated"];
    let visitor = ["--app", "kuaishou", "--os", "ios", "--at", NOW, "--json"];
    std::fs::write(place.path("policies").join("deal.yaml"), agreement("proxy")).unwrap();
    let explain = |place: &Place| {
        let ran = place.run(&[&["explain", "--url", served], &at[..], &visitor[..]].concat());
        let told: serde_json::Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
        told["sent"]["way"].clone()
    };
    assert_eq!(explain(&place), "proxy");
    place.settings("");
    assert!(landing(&place).contains(&format!("302 redirect  {served}")), "{}", landing(&place));
    assert_eq!(explain(&place), "redirect");
}

#[test]
fn what_was_never_sent_goes_to_another_origin_whatever_it_is() {
    let second = Upstream::start();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let other = second.origin();
    let deal = Deal::mounted(|settings| {
        settings.origins = vec![origin(&format!("http://{free}")), origin(&other)];
        settings.retries = 1;
    });
    let mut visitor = deal.visitor();
    for body in ["a=1", "a=2", "a=3", "a=4"] {
        visitor.send(&(request("POST", MOUNT, "/c", &[("Content-Length", "3")]) + body));
        assert_eq!(visitor.read(false).text(), format!("POST /c\n{body}"));
    }
    assert_eq!(second.seen().len(), 4, "each once");
    assert_eq!(deal.gateway.metric("hopgate_proxy_retries_total"), 4.0, "the one that is not there came first");
}

#[test]
fn a_click_is_no_place_for_passwords_or_news_of_a_page() {
    let deal = Deal::start(|_| {});
    for (number, status) in ["304", "401", "407"].into_iter().enumerate() {
        let got = deal.click(&format!("/status?code={status}"), &[]);
        assert_eq!((got.status, got.header("www-authenticate"), got.header("proxy-authenticate")), (502, "", ""));
        assert!(!got.text().contains("own words"), "{}", got.text());
        assert_eq!(deal.ways()[number], "upstream_failed", "{status}");
    }
    assert_eq!(deal.ended("bad_answer"), 3.0);
    assert_eq!(deal.click("/status?code=404", &[]).status, 404, "the upstream's own page");
    let got = deal.get("go.example", "/_p/jd/status?code=401", &[]);
    assert_eq!((got.status, got.header("www-authenticate"), got.header("proxy-authenticate")), (401, "", ""));
}

#[test]
fn an_origin_that_fails_is_named_with_the_reason() {
    let place = Place::new("");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let plain = Upstream::start();
    let told = |origin: &str, reason: &str| {
        place.settings(&format!(
            "[[proxy.upstreams]]\nname = \"shop\"\nlanding_hosts = [\"item.m.jd.com\"]\norigins = [\"{origin}\"]\n\
             max_failures = 1\nretries = 0\n"
        ));
        let served = place.serve(&[]);
        assert_eq!(served.get("/_p/shop/a").status, 502);
        eventually("it is told", || served.log().contains("the origin fails"));
        let log = served.log();
        let line = log.lines().find(|line| line.contains("the origin fails")).unwrap();
        let words = ["WARN", "shop", origin, reason];
        assert!(words.iter().all(|word| line.contains(word)), "{line}");
    };
    told(&format!("http://{free}"), "refused");
    told(&format!("https://{}", plain.address), "TLS: ");
}

#[test]
fn an_origin_rests_and_comes_back() {
    let deal = Deal::mounted(|settings| {
        settings.max_failures = 2;
        settings.rest = Duration::from_millis(300);
    });
    let up = || deal.gateway.metric("hopgate_proxy_origin_up");
    assert_eq!((deal.get(MOUNT, "/hang-up", &[]).status, up()), (502, 1.0));
    assert_eq!((deal.get(MOUNT, "/hang-up", &[]).status, up()), (502, 0.0));
    // Nobody else is there: it is asked all the same, and an answer ends its rest.
    assert_eq!((deal.get(MOUNT, "/a", &[]).status, up()), (200, 1.0));
    deal.get(MOUNT, "/hang-up", &[]);
    deal.get(MOUNT, "/hang-up", &[]);
    assert_eq!(up(), 0.0);
    eventually("the rest is over", || up() == 1.0);
}

#[test]
fn redirects_and_cookies_stay_at_the_gateway() {
    let below = Deal::start(|_| {});
    let origin = below.upstream.origin();
    let to = |deal: &Deal, host: &str, path: &str, target: &str| {
        let got = deal.get(host, &format!("{path}/redirect?to={target}"), &[]);
        (got.status, got.header("location").to_owned())
    };
    for (target, expected) in [
        ("/login", "/_p/jd/login"),
        ("b.html", "/_p/jd/b.html"),
        ("https://item.m.jd.com/x?y%3Dz", "/_p/jd/x?y=z"),
        (&format!("{origin}/x"), "/_p/jd/x"),
        ("https://item.jd.com/1.html", "https://item.jd.com/1.html"),
    ] {
        assert_eq!(to(&below, "go.example", "/_p/jd", target), (302, expected.to_owned()), "{target}");
    }
    for target in
        ["https://evil.test/", "//evil.test/", "/%5Cevil.test", "https://item.m.jd.com@evil.test/", "javascript:1"]
    {
        let got = to(&below, "go.example", "/_p/jd", target);
        assert!(got.0 == 502 && got.1.is_empty() || got.1.starts_with("/_p/jd/"), "{target}: {got:?}");
    }
    let got = below.click("/redirect?to=/login", &[]);
    assert_eq!((got.status, got.header("location"), got.header("cache-control")), (302, "/_p/jd/login", "no-store"));
    let got = below.get("go.example", "/_p/jd/cookies", &[]);
    assert_eq!(got.all("set-cookie"), ["sid=1; Secure; HttpOnly; Path=/_p/jd/", "b=2; Path=/_p/jd/"]);
    for dropped in
        ["strict-transport-security", "clear-site-data", "alt-svc", "service-worker-allowed", "x-own", "hop-id"]
    {
        assert_eq!(got.header(dropped), "", "{dropped}");
    }
    assert_eq!(got.header("x-kept"), "1");

    let mounted = Deal::mounted(|_| {});
    assert_eq!(to(&mounted, MOUNT, "", "https://item.m.jd.com/x"), (302, "/x".to_owned()));
    assert_eq!(to(&mounted, MOUNT, "", "/%5Cevil.test").0, 502, "two slashes begin another host");
    assert_eq!(to(&mounted, MOUNT, "", "https://item.m.jd.com//evil.test/").0, 502);
    let got = mounted.get(MOUNT, "/cookies", &[]);
    assert_eq!(got.all("set-cookie"), ["sid=1; Path=/; Secure; HttpOnly", "b=2"]);
}

#[test]
fn a_mount_passes_everything_but_clicks() {
    let deal = Deal::mounted(|_| {});
    let path = deal.link("/product/1.html");
    let got = deal.get(MOUNT, &path, &[("Cookie", "sid=1")]);
    assert_eq!((got.text().as_str(), got.header("hop-id").is_empty()), ("GET /product/1.html\n", false));
    assert_eq!(deal.upstream.last().header("cookie"), "sid=1");
    assert_eq!(deal.upstream.last().header("x-forwarded-prefix"), "");
    assert_eq!(deal.gateway.hops().len(), 1);
    for host in [MOUNT, "JD.in.example.com:8080"] {
        for target in ["/nosuch01", "/", "/go", "/a/b?c=d", "/.well-known/x", "/favicon.ico"] {
            let got = deal.get(host, target, &[]);
            assert_eq!((got.status, got.text()), (200, format!("GET {target}\n")), "{host} {target}");
        }
    }
    assert_eq!(deal.gateway.hops().len(), 1, "none of these is a click");
    assert_eq!(deal.get("go.example", "/a/b", &[]).status, 404);
    assert_eq!(deal.get("go.example", "/_p/jd/a", &[]).status, 404, "an upstream with a mount is there only");
    // A click elsewhere is answered at the mount, where the page finds what it asks for; it is decided and counted there.
    let got = deal.get("go.example", &format!("{path}?a=b"), &[]);
    assert_eq!((got.status, got.header("location")), (302, format!("//{MOUNT}{path}?a=b").as_str()));
    assert_eq!((got.header("cache-control"), got.header("hop-id")), ("no-store", ""));
    assert_eq!((deal.gateway.hops().len(), deal.gateway.metric("hopgate_clicks_total")), (1, 1.0));
    assert_eq!(deal.get(MOUNT, &format!("{path}?a=b"), &[]).status, 200);
    assert_eq!((deal.gateway.hops().len(), deal.gateway.metric("hopgate_clicks_total")), (2, 2.0));
    // Behind a trusted proxy the visitor's own address counts; here there is none.
    deal.get(MOUNT, "/a", &[("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-Proto", "https")]);
    let seen = deal.upstream.last();
    assert_eq!((seen.header("x-forwarded-for"), seen.header("x-forwarded-proto")), ("127.0.0.1", "http"));
}

#[test]
fn what_may_not_be_asked_is_refused_clearly() {
    let deal = Deal::mounted(|settings| settings.paths = vec!["/product/*".to_owned(), "/cart".to_owned()]);
    for (target, status) in [
        ("/product/1.html", 200),
        ("/cart?x=1", 200),
        ("/cart/x", 404),
        ("/admin", 404),
        ("/product/../admin", 404),
        ("/product/%2e%2e/admin", 404),
        ("/product/..;/admin", 404),
        ("/product/%2Fadmin", 404),
        ("/product/%5cadmin", 404),
        ("//product/1.html", 404),
    ] {
        assert_eq!(deal.get(MOUNT, target, &[]).status, status, "{target}");
    }
    let ws = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Key", "x"),
        ("Sec-WebSocket-Version", "13"),
    ];
    let got = deal.get(MOUNT, "/product/chat", &ws);
    assert_eq!(got.status, 501);
    assert!(got.text().contains("WebSocket"), "{}", got.text());
    for method in ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"] {
        let got = deal.visitor().ask(method, MOUNT, "/product/1.html", &[]);
        assert_eq!((got.status, got.header("allow")), (405, "GET, HEAD, POST"), "{method}");
    }
    let got = deal.get(MOUNT, "/product/1.html", &[("CDN-Loop", "cdn, hopgate")]);
    assert_eq!(got.status, 508, "an upstream that leads back here");
    assert_eq!(deal.upstream.seen().len(), 2);
    assert!(deal.ended("not_allowed") >= 13.0 && deal.ended("websocket") == 1.0);

    // A click is refused for the same: it is recorded, and the upstream is not asked.
    let path = deal.link("/product/1.html");
    let asked = deal.upstream.seen().len();
    assert_eq!(deal.get(MOUNT, &path, &ws).status, 501);
    assert_eq!(deal.get(MOUNT, &path, &[("CDN-Loop", "hopgate")]).status, 508);
    assert_eq!((deal.upstream.seen().len(), deal.ended("websocket")), (asked, 2.0));
    assert_eq!(deal.ways(), ["upstream_failed"; 2]);

    let below = Deal::start(|_| {});
    let mut visitor = below.visitor();
    visitor.send(&(request("POST", "go.example", "/_p/jd/a", &[("Content-Length", "1")]) + "a"));
    assert_eq!(visitor.read(false).status, 405, "POST needs a mount");
    // Smuggling: a body where none belongs, two hosts.
    let mut visitor = below.visitor();
    visitor.send(&(request("GET", "go.example", "/_p/jd/a", &[("Content-Length", "1")]) + "a"));
    assert_eq!(visitor.read(false).status, 400);
    assert_eq!(below.get("go.example", "/_p/jd/a", &[("Host", "other")]).status, 400);
    assert!(below.upstream.seen().is_empty());
}

#[test]
fn uploads_are_streamed_within_their_bound() {
    let deal = Deal::mounted(|settings| {
        settings.max_request_bytes = 100_000;
        settings.head_timeout = Duration::from_millis(500);
    });
    let mut visitor = deal.visitor();
    let body = "a".repeat(100_000);
    visitor.send(&(request("POST", MOUNT, "/a", &[("Content-Length", "100000"), ("Expect", "100-continue")]) + &body));
    assert_eq!(visitor.head().status, 100);
    assert_eq!(visitor.read(false).status, 200);
    assert_eq!((deal.upstream.last().body.len(), deal.upstream.last().header("expect")), (100_000, ""));
    // In chunks, slower as a whole than head_timeout, but always moving.
    let mut visitor = deal.visitor();
    visitor.send(&request("POST", MOUNT, "/a", &[("Transfer-Encoding", "chunked")]));
    for _ in 0..8 {
        std::thread::sleep(Duration::from_millis(100));
        visitor.send("3\r\nabc\r\n");
    }
    visitor.send("0\r\n\r\n");
    let got = visitor.read(false);
    assert_eq!((got.status, got.text().len()), (200, "POST /a\n".len() + 24));

    let mut visitor = deal.visitor();
    visitor.send(&request("POST", MOUNT, "/a", &[("Content-Length", "100001")]));
    assert_eq!(visitor.read(false).status, 413, "told before it is sent");
    let mut visitor = deal.visitor();
    visitor.send(&request("POST", MOUNT, "/a", &[("Transfer-Encoding", "chunked")]));
    for _ in 0..3 {
        visitor.send(&format!("{:x}\r\n{}\r\n", 40_000, "a".repeat(40_000)));
    }
    assert_eq!(visitor.read(false).status, 413);
    let mut visitor = deal.visitor();
    visitor.send(&request("POST", MOUNT, "/a", &[("Content-Length", "10")]));
    assert_eq!(visitor.read(false).status, 408, "it never comes");
    assert_eq!(deal.upstream.seen().len(), 2, "nothing cut short was taken for whole");
    assert_eq!(deal.ended("bad_upload"), 3.0);
    let mut visitor = deal.visitor();
    visitor.send(&(request("POST", MOUNT, "/early", &[("Content-Length", "5000")]) + "a"));
    assert_eq!(visitor.read(false).text(), "early");
}

#[test]
fn who_hangs_up_is_not_waited_for() {
    let deal = Deal::start(|_| {});
    let mut visitor = deal.visitor();
    let path = deal.link("/slow");
    visitor.send(&request("GET", "go.example", &path, &[]));
    eventually("it is asked", || deal.upstream.seen().len() == 1);
    assert!(deal.gateway.hops().is_empty(), "how it ends is not known yet");
    drop(visitor);
    eventually("the request is taken back", || deal.upstream.state.left.load(Ordering::SeqCst) == 1);
    eventually("the click is recorded", || deal.ways() == ["proxy"]);
    assert_eq!(deal.ended("visitor_left"), 1.0);
    // In the midst of an answer.
    let mut visitor = deal.visitor();
    let path = deal.link("/big");
    visitor.send(&request("GET", "go.example", &path, &[]));
    visitor.take(1_000);
    drop(visitor);
    eventually("the rest is not sent", || deal.upstream.state.left.load(Ordering::SeqCst) == 2);
    eventually("both are counted", || deal.ended("visitor_left") == 2.0);
    assert_eq!(deal.gateway.metric("hopgate_proxy_requests_under_way"), 0.0);
    eventually("its connections are closed", || deal.gateway.metric("hopgate_proxy_connections") == 0.0);
}

#[test]
fn a_visitor_who_does_not_read_is_cut_off_and_a_slow_upstream_is_not_the_visitors_fault() {
    // Nothing moves for longer than an idle connection may be: the upstream has its own time-out.
    let deal = Deal::with(|_| {}, |settings| settings.limits.idle_timeout = Duration::from_millis(500));
    let mut visitor = deal.visitor();
    let path = deal.link("/gated-big");
    visitor.send(&request("GET", "go.example", &path, &[]));
    visitor.head();
    visitor.take(65_536);
    std::thread::sleep(Duration::from_millis(1_500));
    deal.upstream.open_gate();
    visitor.take(BIG - 65_536);
    eventually("and then it is idle", || deal.gateway.metric("hopgate_shed_total{class=\"idle\"}") >= 1.0);

    let deal = Deal::with(|_| {}, |settings| settings.limits.write_timeout = Duration::from_millis(500));
    let mut visitor = deal.visitor();
    let path = deal.link("/big");
    visitor.send(&request("GET", "go.example", &path, &[]));
    eventually("it is cut off", || deal.gateway.metric("hopgate_shed_total{class=\"slow_read\"}") == 1.0);
    eventually("so is the upstream", || deal.upstream.state.left.load(Ordering::SeqCst) == 1);
}

#[test]
fn too_many_at_once_are_told_so() {
    let deal = Deal::start(|settings| settings.max_connections = 2);
    let path = deal.link("/gated");
    let mut waiting = [deal.visitor(), deal.visitor()];
    waiting.iter_mut().for_each(|visitor| visitor.send(&request("GET", "go.example", &path, &[])));
    eventually("both are under way", || deal.upstream.seen().len() == 2);
    let got = deal.get("go.example", &path, &[]);
    assert_eq!((got.status, got.header("retry-after")), (503, "2"));
    deal.upstream.open_gate();
    assert!(waiting.iter_mut().all(|visitor| visitor.read(false).text() == "opened"));
    assert_eq!(deal.get("go.example", &path, &[]).status, 200);
    let mut ways = deal.ways();
    ways.sort_unstable();
    assert_eq!(ways, ["proxy", "proxy", "proxy", "upstream_failed"]);
}

#[test]
fn plain_clicks_notice_nothing_of_a_slow_upstream() {
    let patient = |settings: &mut UpstreamSettings| settings.head_timeout = Duration::from_secs(300);
    let deal = Deal::with(patient, |settings| settings.workers = 1);
    let slow = deal.link("/gated");
    let plain = format!("/{}", deal.gateway.link(JD, "kuaishou/live_cart", "self_operated"));
    let mut waiting: Vec<Visitor> = (0..50).map(|_| deal.visitor()).collect();
    waiting.iter_mut().for_each(|visitor| visitor.send(&request("GET", "go.example", &slow, &[])));
    eventually("all are under way", || deal.upstream.seen().len() == 50);
    let begun = Instant::now();
    let mut visitor = deal.visitor();
    let mut longest = Duration::ZERO;
    for _ in 0..1_000 {
        let asked = Instant::now();
        assert_eq!(visitor.ask("GET", "go.example", &plain, &[]).status, 302);
        longest = longest.max(asked.elapsed());
    }
    println!("1000 plain clicks beside 50 that wait: {:?}, the longest {longest:?}", begun.elapsed());
    deal.upstream.open_gate();
    assert!(waiting.iter_mut().all(|visitor| visitor.read(false).text() == "opened"));
    // Mixed, on the same worker.
    let proxied = deal.link("/product/1.html");
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (address, plain, proxied) = (deal.gateway.click_address(), &plain, &proxied);
            scope.spawn(move || {
                let mut visitor = Visitor::connect(address);
                for round in 0..250 {
                    let (path, status) = if (number + round) % 2 == 0 { (plain, 302) } else { (proxied, 200) };
                    let got = visitor.ask("GET", "go.example", path, &[]);
                    assert_eq!((got.status, got.whole), (status, true));
                }
            });
        }
    });
    let ways = deal.ways();
    let count = |way: &str| ways.iter().filter(|known| *known == way).count();
    assert_eq!((count("redirect"), count("proxy")), (1_500, 550));
}

#[test]
fn draining_lets_a_stream_end() {
    let mut deal = Deal::with(|_| {}, |settings| settings.limits.drain_deadline = Duration::from_secs(20));
    let path = deal.link("/gated-big");
    let mut visitor = deal.visitor();
    visitor.send(&request("GET", "go.example", &path, &[]));
    visitor.head();
    visitor.take(1_000);
    let app = deal.gateway.app.take().unwrap();
    let stopping = std::thread::spawn(move || app.stop());
    // Draining has begun when nobody is let in any more.
    let address: SocketAddr = visitor.stream.peer_addr().unwrap();
    eventually("the listener closes", || std::net::TcpStream::connect(address).is_err());
    deal.upstream.open_gate();
    visitor.take(BIG - 1_000);
    stopping.join().unwrap().unwrap();
    assert_eq!(deal.ways(), ["proxy"]);
}

#[test]
fn http2_visitors_get_the_same() {
    use http_body_util::{BodyExt as _, Empty};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let deal = Deal::mounted(|settings| settings.idle_timeout = Duration::from_secs(5));
    let paths = ["/big", "/product/1.html", "/slow"].map(|target| deal.link(target));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(deal.gateway.click_address()).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let ask = |target: &str| {
            http::Request::get(format!("http://{MOUNT}{target}"))
                .header("cookie", "a=1")
                .header("cookie", "b=2")
                .body(Empty::<bytes::Bytes>::new())
                .unwrap()
        };
        // One stream that is given up takes nothing else with it.
        let slow = tokio::spawn(sender.send_request(ask(&paths[2])));
        let big = sender.send_request(ask(&paths[0])).await.unwrap();
        assert_eq!(big.status(), 200);
        let small = sender.send_request(ask(&paths[1])).await.unwrap();
        assert!(small.headers().contains_key("hop-id"));
        assert_eq!(small.into_body().collect().await.unwrap().to_bytes(), "GET /product/1.html\n");
        slow.abort();
        let bytes = big.into_body().collect().await.unwrap().to_bytes();
        assert!(bytes.len() == BIG && bytes.iter().enumerate().all(|(place, byte)| *byte == byte_at(place)));
        let part = sender.send_request(ask("/static/a.js")).await.unwrap();
        assert_eq!(part.into_body().collect().await.unwrap().to_bytes(), "GET /static/a.js\n");
        assert_eq!(deal.upstream.last().header("cookie"), "a=1; b=2");
        let cut = sender.send_request(ask("/broken")).await.unwrap();
        assert!(cut.into_body().collect().await.is_err(), "the stream is reset");
    });
    eventually("the slow one is taken back", || deal.upstream.state.left.load(Ordering::SeqCst) == 1);
    let mut ways = deal.ways();
    ways.sort_unstable();
    assert_eq!(ways, ["proxy"; 3]);
}

/// A real nginx with TLS; killed when dropped.
struct Nginx {
    child: std::process::Child,
    port: u16,
}

impl Nginx {
    fn start(folder: &Path, certificate: &Path, key: &Path) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        std::fs::create_dir(folder.join("product")).unwrap();
        std::fs::write(folder.join("product/1.html"), "<h1>goods</h1>").unwrap();
        std::fs::write(folder.join("product/big.bin"), vec![b'x'; 3 << 20]).unwrap();
        let conf = format!(
            "daemon off;\nmaster_process off;\nworker_processes 1;\npid {0}/nginx.pid;\nerror_log {0}/error.log;\nevents {{}}\nhttp {{\n\
             access_log {0}/access.log;\nclient_body_temp_path {0}/b;\nproxy_temp_path {0}/p;\nfastcgi_temp_path {0}/f;\n\
             uwsgi_temp_path {0}/u;\nscgi_temp_path {0}/s;\ngzip on;\ngzip_types text/html;\ngzip_min_length 1;\n\
             server {{\nlisten 127.0.0.1:{port} ssl;\nserver_name item.m.jd.com;\nssl_certificate {1};\n\
             ssl_certificate_key {2};\nroot {0};\nlocation /go {{ return 302 https://item.m.jd.com/product/1.html; }}\n}}\n}}\n",
            folder.display(),
            certificate.display(),
            key.display(),
        );
        std::fs::write(folder.join("nginx.conf"), conf).unwrap();
        let child = std::process::Command::new("/usr/sbin/nginx")
            .args(["-p".as_ref(), folder.as_os_str(), "-c".as_ref(), folder.join("nginx.conf").as_os_str()])
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("nginx is installed");
        let nginx = Nginx { child, port };
        eventually("nginx listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        nginx
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_real_server_behind_tls_must_prove_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let files = hopgate::edge::tls::write_dev(folder.path(), &["item.m.jd.com".to_owned()]).unwrap();
    let nginx = Nginx::start(folder.path(), &files.chain, &files.key);
    let start = |name: &str, ca: &Path| {
        let (name, ca) = (name.to_owned(), ca.to_path_buf());
        let text = format!("https://127.0.0.1:{}", nginx.port);
        Deal::mounted(move |settings| {
            settings.origins = vec![origin(&text)];
            settings.server_name = Some(name);
            settings.ca = Some(ca);
        })
    };
    let deal = start("item.m.jd.com", &files.chain);
    let click = |deal: &Deal, target: &str| deal.get(MOUNT, &deal.link(target), &[]);
    let got = click(&deal, "/product/1.html");
    assert_eq!((got.status, got.text().as_str()), (200, "<h1>goods</h1>"));
    let got = deal.get(MOUNT, "/product/1.html", &[("Accept-Encoding", "gzip")]);
    assert_eq!((got.status, got.header("content-encoding"), got.whole), (200, "gzip", true));
    let got = deal.get(MOUNT, "/product/big.bin", &[("Range", "bytes=0-9")]);
    assert_eq!((got.status, got.body.len()), (206, 10));
    assert_eq!(deal.get(MOUNT, "/product/big.bin", &[]).body.len(), 3 << 20);
    let got = deal.get(MOUNT, "/go", &[]);
    assert_eq!((got.status, got.header("location")), (302, "/product/1.html"));
    let etag = deal.get(MOUNT, "/product/1.html", &[]).header("etag").to_owned();
    assert_eq!(deal.get(MOUNT, "/product/1.html", &[("If-None-Match", &etag)]).status, 304);
    assert_eq!(click(&deal, "/product/none.html").status, 404, "its own word passes");

    let other = start("other.example.com", &files.chain);
    assert_eq!(click(&other, "/product/1.html").status, 502, "another name than its certificate's");
    let strange = tempfile::tempdir().unwrap();
    let wrong = hopgate::edge::tls::write_dev(strange.path(), &["item.m.jd.com".to_owned()]).unwrap();
    let other = start("item.m.jd.com", &wrong.chain);
    assert_eq!(click(&other, "/product/1.html").status, 502, "an authority nobody named");
    assert_eq!(other.ways(), ["upstream_failed"]);
}
