//! Publishing, rolling back and switching off, over real sockets and with real SQLite: what is published counts for the
//! very next click, nobody publishes over another unseen, and no click is ever decided by two versions.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use hopgate::config::marketplaces::shipped;
use hopgate::config::settings::PolicySource;
use hopgate::control::keys::sqlite::SqliteKeyStore;
use hopgate::control::keys::{KeyStore as _, NewKey, Role};
use hopgate::policies::publish::{Proposal, Publisher, Request};
use hopgate::policies::sqlite::SqlitePolicyStore;
use hopgate::policies::yaml::Written;
use serde_json::{Value, json};
use support::{Answer, Client, Exchange, Gateway, JD, at, eventually};

const NOW: &str = "2022-11-15 12:00:00";
const TMALL: &str = "https://detail.tmall.com/item.htm?id=610947572360";

/// One request with a key and a body.
fn ask(
    to: std::net::SocketAddr,
    key: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> Answer {
    let mut client = Client::connect(to);
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n{text}", text.len()));
    client.send(head.as_bytes()).unwrap();
    client.read(false).unwrap()
}

fn parse(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

struct Api {
    control: std::net::SocketAddr,
    key: String,
}

impl Api {
    fn of(gateway: &Gateway) -> Self {
        let key = std::fs::read_to_string(gateway.folder.path().join("data/admin.key")).unwrap();
        Api { control: gateway.app().addresses().control, key: key.trim().to_owned() }
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        ask(self.control, &self.key, method, path, headers, body)
    }

    fn get(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, &[], &Value::Null);
        assert_eq!(answer.status, 200, "{answer:?}");
        parse(&answer)
    }

    /// Publishes; with a note of its own where the body has none.
    fn put(&self, if_match: &str, body: &Value) -> Answer {
        let mut body = body.clone();
        if body["note"].as_str().unwrap_or_default().is_empty() {
            body["note"] = json!("a test");
        }
        let body = &body;
        self.ask("PUT", "/v1/policies", &[("If-Match", if_match)], body)
    }

    fn kill(&self, body: &Value) -> String {
        let answer = self.ask("POST", "/v1/policies/kills", &[], body);
        assert_eq!(answer.status, 201, "{answer:?}");
        let kill = parse(&answer)["kill"]["id"].as_str().unwrap().to_owned();
        assert_eq!(answer.header("location"), format!("/v1/policies/kills/{kill}"));
        kill
    }
}

/// An agreement that lets Kuaishou through to JD between two instants.
fn open(id: &str, from: &str, until: &str) -> Value {
    json!({"id": id, "title": id, "platform": "kuaishou", "marketplace": ["jd", "tmall"], "effect": "allow",
        "from": from, "until": until, "landing": "app"})
}

fn policy(agreements: &[Value], note: &str) -> Value {
    json!({ "agreements": agreements, "note": note })
}

#[test]
fn what_is_published_counts_for_the_very_next_click_and_rolls_back() {
    let gateway = Gateway::start(NOW);
    let api = Api::of(&gateway);
    let path = format!("/{}", gateway.link(JD, "kuaishou/live_cart", "self_operated"));
    let mut click = Client::connect(gateway.click_address());
    assert_eq!(click.get(&path).status, 302);

    let shown = api.ask("GET", "/v1/policies", &[], &Value::Null);
    let (first, tag) = (parse(&shown), shown.header("etag").to_owned());
    let version = first["version"].as_str().unwrap().to_owned();
    assert_eq!(tag, format!("\"{version}\""));
    assert_eq!((&first["switch"]["by"], &first["switch"]["number"]), (&json!("import"), &json!(1)));
    assert!(first["hash"].as_str().unwrap().starts_with(&version) && first["hash"].as_str().unwrap().len() == 64);

    // Checking changes nothing.
    let closing = policy(&[open("closed", "2023-01-01", "2024-01-01")], "closes 双 11");
    let checked = api.ask("POST", "/v1/policies/check", &[], &closing);
    assert_eq!(checked.status, 200, "{checked:?}");
    let checked = parse(&checked);
    assert_eq!(checked["diff"]["agreements"]["added"][0]["id"], "closed");
    assert_eq!(click.get(&path).status, 302);
    assert_eq!(api.get("/v1/policies")["version"], first["version"]);

    let published = api.put(&tag, &closing);
    assert_eq!(published.status, 200, "{published:?}");
    assert_eq!(click.get(&path).status, 403, "the very next click, on a connection that was there before");
    let published = parse(&published);
    assert_eq!((&published["version"], &published["previous"]), (&checked["version"], &first["version"]));
    assert_eq!((&published["switched"], &published["switch"]["number"]), (&json!(true), &json!(2)));
    assert!(published["switch"]["by"].as_str().unwrap().starts_with("admin ("), "{published}");

    // Publishing what is in force changes nothing.
    let again = parse(&api.put("*", &closing));
    assert_eq!((&again["switched"], &again["switch"]["number"]), (&json!(false), &json!(2)));

    // Both are kept and listed, the last first.
    let listed = api.get("/v1/policies/versions?limit=1");
    assert_eq!(listed["versions"][0]["version"], published["version"]);
    assert_eq!(listed["versions"][0]["note"], "closes 双 11");
    assert_eq!(listed["versions"][0]["in_force"], true);
    let rest = api.get(&format!("/v1/policies/versions?cursor={}", listed["next_cursor"].as_str().unwrap()));
    assert_eq!((&rest["versions"][0]["version"], &rest["next_cursor"]), (&first["version"], &Value::Null));
    let kept = api.get(&format!("/v1/policies/versions/{}", &version[..8]));
    assert_eq!(kept["agreements"].as_array().unwrap().len(), first["agreements"].as_array().unwrap().len());
    assert_eq!(api.ask("GET", "/v1/policies/versions/0000000000000000", &[], &Value::Null).status, 404);
    assert_eq!(api.ask("GET", "/v1/policies/versions/zz", &[], &Value::Null).status, 422);
    let diff = api.get(&format!("/v1/policies/diff?from={version}"));
    assert_eq!((&diff["from"], &diff["to"]), (&first["version"], &published["version"]));
    assert_eq!(diff["agreements"]["added"].as_array().unwrap().len(), 1);

    // Rolling back is publishing an old version.
    let back = api.put("*", &json!({"version": version, "note": "back"}));
    assert_eq!(back.status, 200, "{back:?}");
    assert_eq!(back.header("etag"), tag);
    assert_eq!(click.get(&path).status, 302);
    assert_eq!(gateway.metric("hopgate_policy_publishes_total{result=\"switched\"}"), 2.0);
    assert_eq!(gateway.metric("hopgate_policy_publishes_total{result=\"unchanged\"}"), 1.0);
    // Who switched, and why, stays readable.
    let log = api.get("/v1/policies/switches");
    let told = |log: &Value| {
        let rows = log["switches"].as_array().unwrap().iter();
        rows.map(|row| (row["number"].as_i64().unwrap(), row["note"].as_str().unwrap().to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(told(&log)[1..], [(2, "closes 双 11".to_owned()), (3, "back".to_owned())]);
    assert_eq!((told(&log).len(), &log["switches"][0]["by"]), (3, &json!("import")));
    assert_eq!((&log["last"], &log["switches"][2]["version"]), (&json!(3), &first["version"]));
    assert!(log["switches"][2]["by"].as_str().unwrap().starts_with("admin ("), "{log}");
    let numbers = |query: &str| {
        let rows = told(&api.get(&format!("/v1/policies/switches{query}")));
        rows.into_iter().map(|row| row.0).collect::<Vec<_>>()
    };
    assert_eq!(numbers("?limit=2"), [2, 3], "the last ones");
    assert_eq!(numbers("?since=0&limit=2"), [1, 2]);
    assert_eq!(numbers("?since=2"), [3]);
    assert_eq!(numbers("?since=3"), [] as [i64; 0]);
    let bad = api.ask("GET", "/v1/policies/switches?since=-1&limit=0&colour=red", &[], &Value::Null);
    assert_eq!((bad.status, parse(&bad)["errors"].as_array().unwrap().len()), (422, 3), "{bad:?}");
    let versions: Vec<Value> = gateway.hops().into_iter().map(|hop| hop["policy_version"].clone()).collect();
    let (one, two) = (&first["version"], &published["version"]);
    assert_eq!(versions.iter().collect::<Vec<_>>(), [one, one, two, one]);
}

#[test]
fn a_publish_says_what_it_replaces_and_of_two_at_once_one_wins() {
    let gateway = Gateway::start(NOW);
    let api = Api::of(&gateway);
    let first = api.get("/v1/policies")["version"].as_str().unwrap().to_owned();
    let next = |id: &str| policy(&[open(id, "2022-01-01", "2023-01-01")], "");
    let missing = api.ask("PUT", "/v1/policies", &[], &next("one-more"));
    assert_eq!((missing.status, &parse(&missing)["type"]), (428, &json!("urn:hopgate:problem:if_match_required")));
    assert_eq!(api.put(&first, &next("one-more")).status, 422, "without quotes it is no entity tag");
    assert_eq!(api.put(&format!("\"{first}\""), &next("one-more")).status, 200);
    let now = api.get("/v1/policies")["version"].as_str().unwrap().to_owned();
    let stale = api.put(&format!("\"{first}\""), &next("two-more"));
    assert_eq!((stale.status, stale.header("etag")), (412, &*format!("\"{now}\"")));
    assert_eq!(parse(&stale)["current_version"], json!(now));

    for round in 0..8 {
        let tag = format!("\"{}\"", api.get("/v1/policies")["version"].as_str().unwrap());
        let barrier = Barrier::new(2);
        let race = |id: String| {
            barrier.wait();
            api.put(&tag, &next(&id)).status
        };
        let (a, b) = std::thread::scope(|scope| {
            let (race, other) = (&race, format!("race-{round}-b"));
            let b = scope.spawn(move || race(other));
            (race(format!("race-{round}-a")), b.join().unwrap())
        });
        let mut both = [a, b];
        both.sort_unstable();
        assert_eq!(both, [200, 412], "round {round}");
    }
    let key = SqliteKeyStore::open(&gateway.folder.path().join("data/hopgate.sqlite")).unwrap();
    let (platform, new) = NewKey::draw(Role::Platform, Some("xiaohongshu"), "xhs", at(NOW)).unwrap();
    gateway.app().block_on(key.create(new)).unwrap();
    let reader = Api { control: api.control, key: platform.reveal().to_owned() };
    assert_eq!(reader.put("*", &next("not-mine")).status, 403);
    assert_eq!(reader.ask("POST", "/v1/policies/kills", &[], &json!({})).status, 403);
    let part = reader.get(&format!("/v1/policies/versions/{first}"));
    let agreements = part["agreements"].as_array().unwrap();
    assert!(!agreements.is_empty() && agreements.iter().all(|agreement| agreement["platform"] == "xiaohongshu"));
    let diff = reader.get(&format!("/v1/policies/diff?from={first}"));
    assert_eq!(diff["agreements"]["added"], json!([]), "Kuaishou's part is not its own");
}

#[test]
fn a_platform_key_sees_nothing_of_other_platforms() {
    let gateway = Gateway::start(NOW);
    let api = Api::of(&gateway);
    let key = SqliteKeyStore::open(&gateway.folder.path().join("data/hopgate.sqlite")).unwrap();
    let (platform, new) = NewKey::draw(Role::Platform, Some("xiaohongshu"), "xhs", at(NOW)).unwrap();
    gateway.app().block_on(key.create(new)).unwrap();
    let reader = Api { control: api.control, key: platform.reveal().to_owned() };

    // Two agreements of each platform, of which one never decides.
    let dead = |platform: &str, id: &str| {
        let mut one = open(id, "2020-01-01", "2060-01-01");
        one["platform"] = json!(platform);
        one
    };
    let mut both = policy(
        &[
            dead("kuaishou", "ks-a"),
            dead("kuaishou", "ks-b"),
            dead("xiaohongshu", "xhs-a"),
            dead("xiaohongshu", "xhs-b"),
        ],
        "secret note of amy",
    );
    let findings = |api: &Api, body: &Value| {
        let checked = api.ask("POST", "/v1/policies/check", &[], body);
        assert_eq!(checked.status, 200, "{checked:?}");
        (checked.body.clone(), parse(&checked)["findings"].as_array().unwrap().len())
    };
    let (all, of_all) = findings(&api, &both);
    assert!(all.contains("ks-b") && all.contains("xhs-b"), "{all}");
    let (part, of_part) = findings(&reader, &both);
    assert!(part.contains("xhs-b") && !part.contains("ks-") && !part.contains("kuaishou"), "{part}");
    assert_eq!((of_all, of_part), (2, 1), "{all}");
    // More than are listed are counted, over all platforms.
    let many: Vec<Value> = (0..24).map(|number| dead("kuaishou", &format!("ks-{number}"))).collect();
    let (part, of_part) = findings(&reader, &policy(&many, ""));
    assert!(of_part == 0 && !part.contains("ks-"), "{part}");
    assert_eq!(findings(&reader, &policy(&[], "")).1, 1, "that all is closed is for everybody");

    both["allow_lint_errors"] = json!(true);
    assert_eq!(api.put("*", &both).status, 200);
    api.kill(&json!({"platform": "douyin", "why": "secret why"}));
    let version = api.get("/v1/policies")["version"].as_str().unwrap().to_owned();
    for path in [
        "/v1/policies".to_owned(),
        "/v1/policies/versions".to_owned(),
        format!("/v1/policies/versions/{version}"),
        "/v1/policies/kills".to_owned(),
        "/v1/policies/switches".to_owned(),
    ] {
        let seen = |api: &Api| api.ask("GET", &path, &[], &Value::Null).body;
        let (part, whole) = (seen(&reader), seen(&api));
        assert!(!part.contains("secret") && !part.contains("admin (") && !part.contains("ks-"), "{path}: {part}");
        assert!(whole.contains("secret") && whole.contains("admin ("), "{path}: {whole}");
    }
    let shown = reader.get("/v1/policies");
    assert_eq!((&shown["switch"]["by"], &shown["switch"]["note"]), (&json!(""), &json!("")));
    assert_eq!(shown["switch"]["version"], json!(version));
    let listed = reader.get("/v1/policies/versions");
    assert_eq!((&listed["versions"][0]["author"], &listed["versions"][0]["note"]), (&json!(""), &json!("")));
}

#[test]
fn a_window_without_a_successor_is_told_with_the_links_that_hang_on_it() {
    let gateway = Gateway::start(NOW);
    let api = Api::of(&gateway);
    let gaps = |until: &str| {
        let closing = policy(&[open("only", "2020-01-01", until)], "an end");
        let checked = parse(&api.ask("POST", "/v1/policies/check", &[], &closing));
        let findings = checked["findings"].as_array().unwrap().clone();
        findings.into_iter().filter(|finding| finding["kind"] == "gap").collect::<Vec<Value>>()
    };
    assert_eq!(gaps("2023-06-30"), [] as [Value; 0], "no link hangs on it");
    gateway.link(JD, "kuaishou/live_cart", "self_operated");
    gateway.link(JD, "/", "pop");
    gateway.link(JD, "xiaohongshu/note", "pop");
    gateway.link_with(JD, "kuaishou/live_cart", "pop", |link| link.expires_at = Some(at("2023-06-01")));
    let found = gaps("2023-06-30");
    let told = found[0]["message"].as_str().unwrap();
    assert!(!found.is_empty() && told.contains("2 links"), "{found:?}");
    assert_eq!(found[0]["severity"], "warning");
    assert!(found[0]["example"]["at"].as_str().unwrap().starts_with("2023-06-30"), "{found:?}");
}

#[test]
fn fifty_faults_are_fifty_and_nothing_changes() {
    let gateway = Gateway::start(NOW);
    let api = Api::of(&gateway);
    let before = api.get("/v1/policies")["version"].clone();
    let bad = |number: usize| match number % 5 {
        0 => json!({"id": format!("bad-{number}"), "title": "t", "platform": "kuaishuo", "marketplace": "jd",
            "effect": "allow", "from": "2022-01-01"}),
        1 => json!({"id": format!("bad-{number}"), "title": "t", "platform": "kuaishou", "marketplace": "jd",
            "effect": "maybe", "from": "2022-01-01"}),
        2 => json!({"id": format!("bad-{number}"), "title": "t", "platform": "kuaishou", "marketplace": "jd",
            "effect": "allow", "from": "2022-01-01", "until": "2021-01-01"}),
        3 => json!({"id": format!("bad-{number}"), "title": "t", "platform": "kuaishou", "marketplace": "jd",
            "effect": "allow", "from": "2022-01-01", "when": {"surfaces": ["moon"]}}),
        _ => json!({"id": "bad-0", "title": "t", "platform": "kuaishou", "marketplace": "jd", "effect": "allow",
            "from": "2022-01-01"}),
    };
    let body = policy(&(0..50).map(bad).collect::<Vec<_>>(), "");
    for answer in [api.put("*", &body), api.ask("POST", "/v1/policies/check", &[], &body)] {
        assert_eq!(answer.status, 422, "{answer:?}");
        let problem = parse(&answer);
        let errors = problem["errors"].as_array().unwrap();
        assert_eq!(errors.len(), 50, "{problem}");
        assert_eq!(
            (&errors[0]["pointer"], &errors[0]["value"]),
            (&json!("/agreements/0/platform"), &json!("kuaishuo"))
        );
        assert!(errors.iter().any(|error| error["pointer"] == "/agreements/48/when/surfaces/0"), "{problem}");
    }
    // What would refuse every click is stopped unless it is meant.
    let empty = api.put("*", &policy(&[], "oops"));
    assert_eq!((empty.status, &parse(&empty)["findings"][0]["kind"]), (422, &json!("closes_everything")));
    assert_eq!(api.get("/v1/policies")["version"], before);
    assert_eq!(gateway.metric("hopgate_policy_publishes_total{result=\"refused\"}"), 1.0);
    let mut meant = policy(&[], "meant");
    meant["allow_lint_errors"] = json!(true);
    assert_eq!(api.put("*", &meant).status, 200);
}

#[test]
fn a_kill_stops_its_subject_at_once_and_ends_at_its_end() {
    let gateway = Gateway::start(NOW);
    let api = Api::of(&gateway);
    let both = [open("wide", "2020-01-01", "2090-01-01")];
    assert_eq!(api.put("*", &policy(&both, "")).status, 200);
    let jd = gateway.link(JD, "kuaishou/live_cart", "self_operated");
    let tmall = gateway.link(TMALL, "kuaishou/live_cart", "flagship");
    let nobody = gateway.link_with(JD, "kuaishou/live_cart", "self_operated", |link| link.creator = None);
    let shop = gateway.link_with(JD, "kuaishou/live_cart", "self_operated", |link| {
        link.landing = shipped().markets().recognise("https://mall.jd.com/index-1000004123.html").unwrap();
    });
    let statuses =
        |gateway: &Gateway| [&jd, &tmall, &nobody, &shop].map(|code| gateway.get(&format!("/{code}")).status);
    assert_eq!(statuses(&gateway), [302; 4]);
    let shop_id = shipped().markets().recognise("https://mall.jd.com/index-1000004123.html").unwrap().shop.unwrap();
    let began = api.get("/v1/policies")["version"].clone();
    for (subject, expected) in [
        (json!({"platform": "kuaishou"}), [403; 4]),
        (json!({"platform": "douyin"}), [302; 4]),
        (json!({"marketplace": "jd"}), [403, 302, 403, 403]),
        (json!({"platform": "kuaishou", "marketplace": "tmall"}), [302, 403, 302, 302]),
        // Unlike a deny's condition, what is not known is not met.
        (json!({"creator": "creator-1"}), [403, 403, 302, 403]),
        (json!({"shop": shop_id}), [302, 302, 302, 403]),
    ] {
        let start = gateway.clock.now();
        let mut body = subject.clone();
        body["why"] = json!("wrong prices");
        body["for"] = json!("2h");
        let id = api.kill(&body);
        assert_eq!(statuses(&gateway), expected, "{subject}");
        let listed = api.get("/v1/policies/kills");
        assert_eq!((&listed["kills"][0]["id"], &listed["kills"][0]["why"]), (&json!(id), &json!("wrong prices")));
        assert_eq!(gateway.metric("hopgate_policy_kills"), 1.0);
        let end = start.plus_micros(2 * 3_600_000_000);
        gateway.clock.set(end.plus_micros(-1));
        assert_eq!(statuses(&gateway), expected, "{subject}: to its last microsecond");
        gateway.clock.set(end);
        assert_eq!(statuses(&gateway), [302; 4], "{subject}: it has ended");
        assert_eq!(api.get("/v1/policies/kills")["kills"], json!([]));
        assert_eq!(gateway.metric("hopgate_policy_kills"), 0.0);
    }

    // What a visitor and an asker are told, and what is recorded.
    let id = api.kill(&json!({"platform": "kuaishou", "marketplace": "jd", "why": "价格错误"}));
    let path = format!("/{jd}");
    let page = Client::connect(gateway.click_address()).ask("GET", &path, &[("Accept", "text/html")]);
    assert!(page.status == 403 && page.body.contains("跳转已临时关闭") && !page.body.contains("价格错误"), "{page:?}");
    let english = [("Accept", "text/html"), ("Accept-Language", "en")];
    let page = Client::connect(gateway.click_address()).ask("GET", &path, &english);
    assert!(page.body.contains("switched off for the moment"), "{page:?}");
    let told = Client::connect(gateway.click_address()).ask("GET", &path, &[("Accept", "application/json")]);
    assert_eq!(parse(&told)["reason"], "kill_switch");
    let hop = gateway.hops().pop().unwrap();
    assert_eq!((&hop["reason"], &hop["agreement"]), (&json!("kill_switch"), &json!(id)));
    let explained = parse(&api.ask("POST", "/v1/decide", &[], &json!({"code": jd})));
    assert_eq!((&explained["reason"], &explained["agreement"]), (&json!("kill_switch"), &json!(id)));
    assert_eq!(explained["kill"]["why"], "价格错误");
    assert_eq!(explained["valid_until"], explained["kill"]["until"]);
    assert!(explained["kill"]["by"].as_str().unwrap().starts_with("admin ("), "{explained}");

    // It survives a publish and a roll back, unless those speak of kills; lifting it ends it.
    let next = [open("wider", "2019-01-01", "2090-01-01")];
    assert_eq!(api.put("*", &policy(&next, "")).status, 200);
    assert_eq!(gateway.get(&path).status, 403);
    assert_eq!(api.put("*", &json!({"version": began, "note": "back"})).status, 200);
    assert_eq!(gateway.get(&path).status, 403);
    let mut lifting = policy(&next, "");
    lifting["kills"] = json!([]);
    assert_eq!(api.put("*", &lifting).status, 200);
    assert_eq!(gateway.get(&path).status, 302, "kills: [] says that none is meant");
    let id = api.kill(&json!({"platform": "kuaishou", "why": "again"}));
    assert_eq!(gateway.get(&path).status, 403);
    let lifted = api.ask("DELETE", &format!("/v1/policies/kills/{id}"), &[], &Value::Null);
    assert_eq!((lifted.status, gateway.get(&path).status), (200, 302), "{lifted:?}");
    assert_eq!(api.ask("DELETE", &format!("/v1/policies/kills/{id}"), &[], &Value::Null).status, 404);
    let bad = api.ask("POST", "/v1/policies/kills", &[], &json!({"platform": "x", "until": "2001-01-01"}));
    assert_eq!((bad.status, parse(&bad)["errors"].as_array().unwrap().len()), (422, 3), "{bad:?}");
}

#[test]
fn a_policy_makes_no_kill_and_a_rehearsal_switches_nothing() {
    let gateway = Gateway::start(NOW);
    let api = Api::of(&gateway);
    let before = api.get("/v1/policies");
    let forged = json!({"id": "kill-forged", "platform": "kuaishou", "from": "2020-01-01", "until": "2099-01-01",
        "by": "somebody else", "why": "forged"});
    let refused = api.put("*", &json!({"agreements": before["agreements"], "kills": [forged]}));
    assert_eq!((refused.status, &parse(&refused)["type"]), (422, &json!("urn:hopgate:problem:strange_kill")));
    assert!(refused.body.contains("kill-forged"), "{refused:?}");
    assert_eq!(api.get("/v1/policies")["version"], before["version"]);
    drop(gateway);

    let offset = at("2027-11-11").micros() - hopgate::clock::Clock::System.now().micros();
    let folder = tempfile::tempdir().unwrap();
    let app =
        hopgate::app::App::start(support::settings(folder.path()), hopgate::clock::Clock::Shifted(offset)).unwrap();
    let key = std::fs::read_to_string(folder.path().join("data/admin.key")).unwrap();
    let kill = json!({"platform": "kuaishou", "marketplace": "jd", "why": "drill"});
    let answer = ask(app.addresses().control, key.trim(), "POST", "/v1/policies/kills", &[], &kill);
    assert_eq!((answer.status, &parse(&answer)["type"]), (409, &json!("urn:hopgate:problem:rehearsal")));
    let publisher = app.publisher();
    assert_eq!(publisher.in_force().unwrap().number, 1);
}

#[test]
fn a_folder_with_a_contradiction_does_not_come_into_force() {
    let gateway = Gateway::start_with(NOW, |settings| {
        settings.policy_source = PolicySource::Folder;
        settings.policies = settings.data_dir.with_file_name("policies");
        std::fs::create_dir_all(&settings.policies).unwrap();
        let open = support::window("open", "2020-01-01", "2080-01-01");
        std::fs::write(settings.policies.join("all.yaml"), open).unwrap();
    });
    let api = Api::of(&gateway);
    let before = api.get("/v1/policies")["version"].clone();
    let file = gateway.folder.path().join("policies/deny.yaml");
    let deny = support::window("shut", "2020-01-01", "2080-01-01").replace("effect: allow", "effect: deny");
    assert!(deny.contains("effect: deny"), "{deny}");
    std::fs::write(&file, deny).unwrap();
    eventually("it is refused", || gateway.metric("hopgate_policy_reload_failures_total") >= 1.0);
    assert_eq!(api.get("/v1/policies")["version"], before);
    std::fs::write(gateway.folder.path().join("policies/all.yaml"), "agreements: []\n").unwrap();
    std::fs::remove_file(&file).unwrap();
    eventually("so is none at all", || gateway.metric("hopgate_policy_reload_failures_total") >= 2.0);
    assert_eq!(api.get("/v1/policies")["version"], before);
}

#[test]
fn kills_at_once_are_all_in_force() {
    let gateway = Gateway::start(NOW);
    let api = Api::of(&gateway);
    std::thread::scope(|scope| {
        for number in 0..12 {
            let api = &api;
            scope.spawn(move || api.kill(&json!({"creator": format!("c-{number}"), "why": "race"})));
        }
    });
    assert_eq!(api.get("/v1/policies/kills")["kills"].as_array().unwrap().len(), 12, "none undoes another");
}

#[test]
fn a_version_must_be_run_over_hops_where_the_settings_say_so() {
    let gateway = Gateway::start_with(NOW, |settings| settings.require_backtest = true);
    let api = Api::of(&gateway);
    let first = api.get("/v1/policies")["version"].as_str().unwrap().to_owned();
    let next = policy(&[open("next", "2020-01-01", "2090-01-01")], "wants a run");
    let refused = api.put("*", &next);
    let problem = parse(&refused);
    assert_eq!((refused.status, &problem["type"]), (409, &json!("urn:hopgate:problem:not_backtested")), "{problem}");
    let version = problem["version"].as_str().unwrap();
    assert!(problem["detail"].as_str().unwrap().contains(&format!("backtest --version {version}")), "{problem}");
    assert_eq!(api.get("/v1/policies")["version"], json!(first));
    // A kill does not wait, and does not undo the run.
    api.kill(&json!({"creator": "c-1", "why": "fraud"}));
    // Over a period without hops it is no run.
    let run = |period: Value| {
        let mut asked = json!({ "version": version });
        asked.as_object_mut().unwrap().extend(period.as_object().unwrap().clone());
        let job = parse(&api.ask("POST", "/v1/policies/backtest", &[], &asked));
        let path = format!("/v1/policies/backtests/{}", job["id"].as_str().unwrap());
        eventually("the run is over", || api.get(&path)["state"] == "done");
    };
    run(json!({"from": "2001-01-01", "to": "2001-01-02"}));
    assert_eq!(api.put("*", &json!({"version": version, "note": "not run"})).status, 409);
    let code = gateway.link(JD, "kuaishou/live_cart", "self_operated");
    (0..7).for_each(|_| assert_eq!(gateway.get(&format!("/{code}")).status, 302));
    run(json!({}));
    assert_eq!(api.put("*", &json!({"version": version, "note": "was run"})).status, 200);
    assert_eq!(api.get("/v1/policies")["kills"].as_array().unwrap().len(), 1);
    assert_eq!(api.get(&format!("/v1/policies/versions/{version}"))["backtest"]["hops"], json!(7));
    assert_eq!(api.put("*", &json!({"version": first, "note": "back"})).status, 200, "rolling back does not wait");
}

#[test]
fn a_folder_that_decides_takes_kills_and_no_publishes() {
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    let file = policies.join("window.yaml");
    std::fs::write(&file, support::window("one", "2020-01-01", "2090-01-01")).unwrap();
    let dir = policies.clone();
    let gateway = Gateway::start_with(NOW, |settings| {
        settings.policies = dir;
        settings.policy_source = PolicySource::Folder;
    });
    let api = Api::of(&gateway);
    let path = format!("/{}", gateway.link(JD, "kuaishou/live_cart", "self_operated"));
    let refused = api.put("*", &policy(&[open("next", "2020-01-01", "2090-01-01")], ""));
    assert_eq!((refused.status, &parse(&refused)["type"]), (409, &json!("urn:hopgate:problem:folder_decides")));
    assert!(refused.body.contains("source = "), "{refused:?}");
    assert_eq!(gateway.get(&path).status, 302);

    let id = api.kill(&json!({"platform": "kuaishou", "why": "test"}));
    assert_eq!(gateway.get(&path).status, 403);
    let killed = api.get("/v1/policies")["version"].clone();
    std::fs::write(&file, support::window("two", "2020-01-01", "2090-01-01")).unwrap();
    eventually("the folder is taken", || api.get("/v1/policies")["version"] != killed);
    let shown = api.get("/v1/policies");
    assert_eq!((&shown["agreements"][0]["id"], &shown["kills"][0]["id"]), (&json!("two"), &json!(id)));
    assert_eq!(shown["switch"]["by"], "folder");
    assert_eq!(gateway.get(&path).status, 403, "the kill survived it");
    assert_eq!(api.ask("DELETE", &format!("/v1/policies/kills/{id}"), &[], &Value::Null).status, 200);
    assert_eq!(gateway.get(&path).status, 302);
}

/// A second process on the same data folder, as the command line is one: its own connections, its own memory.
fn elsewhere(gateway: &Gateway) -> (tokio::runtime::Runtime, Publisher) {
    let store = SqlitePolicyStore::open(&gateway.folder.path().join("data/hopgate.sqlite")).unwrap();
    let words = Arc::clone(&gateway.app().gateway().words);
    let rules = gateway.app().publisher().rules().clone();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let publisher = runtime.block_on(Publisher::attach(Arc::new(store), words, rules, at(NOW))).unwrap().unwrap();
    (runtime, publisher)
}

fn written(agreements: &[Value], gateway: &Gateway) -> Proposal {
    let faults = hopgate::config::tree::Faults::default();
    let mut written = Written::default();
    let node = hopgate::config::tree::from_json(&json!({ "agreements": agreements }));
    written.read_node("test", &node, &gateway.app().gateway().words, &faults);
    assert_eq!(faults.count(), 0);
    Proposal::Written(written)
}

fn request() -> Request {
    Request { by: "elsewhere".into(), note: String::new(), if_match: None, allow_findings: false, at: at(NOW) }
}

#[test]
fn a_publish_by_another_process_is_seen_within_milliseconds() {
    const ROUNDS: usize = 40;
    let gateway = Gateway::start(NOW);
    let path = format!("/{}", gateway.link(JD, "kuaishou/live_cart", "self_operated"));
    let (runtime, other) = elsewhere(&gateway);
    let mut click = Client::connect(gateway.click_address());
    let mut took = Vec::new();
    for round in 0..ROUNDS {
        let (until, status) = if round % 2 == 0 { ("2021-01-01", 403) } else { ("2090-01-01", 302) };
        let proposal = written(&[open(&format!("round-{round}"), "2020-01-01", until)], &gateway);
        let prepared = runtime.block_on(other.prepare(proposal, at(NOW))).unwrap();
        runtime.block_on(other.publish(prepared, request())).unwrap();
        let begun = Instant::now();
        eventually("the switch is seen", || click.get(&path).status == status);
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    println!("seen after: median {:?}, longest {:?} of {ROUNDS}", took[ROUNDS / 2], took[ROUNDS - 1]);
    assert!(took[ROUNDS / 2] < Duration::from_secs(1), "{took:?}");
    assert_eq!(gateway.metric("hopgate_policy_publishes_total{result=\"noticed\"}"), ROUNDS as f64);
}

#[test]
fn a_thousand_versions_under_load_drop_and_mix_no_click() {
    let versions: usize = std::env::var("HOPGATE_VERSIONS").map_or(1_000, |text| text.parse().unwrap());
    let gateway = Gateway::start(NOW);
    let api = Api::of(&gateway);
    let wide = |id: &str| policy(&[open(id, "2020-01-01", "2090-01-01")], "under load");
    let first = parse(&api.put("*", &wide("version-first")));
    let path = format!("/{}", gateway.link(JD, "kuaishou/live_cart", "self_operated"));
    let address = gateway.click_address();
    let stop = AtomicBool::new(false);
    let mut decides = HashMap::from([(first["version"].as_str().unwrap().to_owned(), "version-first".to_owned())]);
    // Clicks made right after a publish was answered, with the version that must have decided them.
    let mut after: HashMap<String, String> = HashMap::new();
    let told = Mutex::new(Vec::new());
    let (mut took, mut clicks) = (Vec::new(), 0);
    std::thread::scope(|scope| {
        let clickers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = Client::connect(address);
                    let mut ids = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        match client.exchange(&path) {
                            Exchange::Whole(answer) if answer.status == 302 => {
                                ids.push(answer.header("hop-id").to_owned())
                            }
                            other => panic!("a dropped click: {other:?}"),
                        }
                    }
                    let count = ids.len();
                    told.lock().unwrap().extend(ids);
                    count
                })
            })
            .collect();
        let mut client = Client::connect(address);
        let mut current = first["version"].as_str().unwrap().to_owned();
        for number in 0..versions {
            let id = format!("version-{number}");
            let begun = Instant::now();
            let answer = api.put(&format!("\"{current}\""), &wide(&id));
            took.push(begun.elapsed());
            assert_eq!(answer.status, 200, "{answer:?}");
            current = parse(&answer)["version"].as_str().unwrap().to_owned();
            decides.insert(current.clone(), id);
            let seen = client.get(&path);
            assert_eq!(seen.status, 302);
            after.insert(seen.header("hop-id").to_owned(), current.clone());
        }
        stop.store(true, Ordering::Relaxed);
        clicks = clickers.into_iter().map(|clicker| clicker.join().unwrap()).sum::<usize>();
    });
    let mut recorded: HashMap<String, Value> = HashMap::new();
    for hop in gateway.hops() {
        let (version, agreement) = (hop["policy_version"].as_str().unwrap(), hop["agreement"].as_str().unwrap());
        assert_eq!(decides.get(version).map(String::as_str), Some(agreement), "a mixed click: {hop}");
        let id = hop["click_id"].as_str().unwrap().to_owned();
        if let Some(expected) = after.get(&id) {
            assert_eq!(version, expected, "a click after the publish was answered: {hop}");
        }
        assert!(recorded.insert(id, hop).is_none(), "recorded twice");
    }
    let told = told.into_inner().unwrap();
    assert!(told.iter().chain(after.keys()).all(|id| recorded.contains_key(id)), "an answered click is not recorded");
    assert_eq!(recorded.len(), clicks + after.len());
    assert!(clicks > versions / 10, "{clicks} clicks");
    took.sort_unstable();
    println!(
        "{versions} versions, {clicks} clicks beside them, none dropped, none mixed; a publish was answered, and seen by the \
         next click, after {:?} (median), {:?} (99 of 100), {:?} (longest)",
        took[took.len() / 2],
        took[took.len() * 99 / 100],
        took[took.len() - 1]
    );
    let epoch = gateway.metric("hopgate_policy_epoch");
    assert_eq!(epoch, versions as f64 + 2.0, "every one was in force");
}
