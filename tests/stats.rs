//! What creators see of their clicks: real clicks on a running gateway, counted in the background, asked for over the API and
//! on the command line.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops where it fails")]

mod support;

use hopgate::app::DataDir;
use hopgate::control::keys::sqlite::SqliteKeyStore;
use hopgate::control::keys::{KeyStore as _, NewKey, Role};
use serde_json::{Value, json};
use support::{Client, Gateway, Place, eventually};

const JD: &str = "https://item.jd.com/100012043978.html";
const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Kwai/11.2";

fn key(gateway: &Gateway, role: Role, scope: &str) -> String {
    let data = DataDir::new(&gateway.folder.path().join("data"));
    let keys = SqliteKeyStore::open(&data.database()).unwrap();
    let (text, key) = NewKey::draw(role, Some(scope), "test", hopgate::clock::Clock::System.now()).unwrap();
    gateway.app().block_on(keys.create(key)).unwrap();
    text.reveal().to_owned()
}

fn admin(gateway: &Gateway) -> String {
    std::fs::read_to_string(gateway.folder.path().join("data/admin.key")).unwrap().trim().to_owned()
}

fn ask(gateway: &Gateway, key: &str, agent: &str, path: &str) -> (u16, Value) {
    let mut client = Client::connect(gateway.app().addresses().control);
    let bearer = format!("Bearer {key}");
    let answer = client.ask("GET", path, &[("Authorization", &bearer), ("User-Agent", agent)]);
    (answer.status, serde_json::from_str(&answer.body).unwrap())
}

fn click(gateway: &Gateway, method: &str, code: &str, agent: &str) -> u16 {
    let mut client = Client::connect(gateway.click_address());
    client.ask(method, &format!("/{code}"), &[("User-Agent", agent)]).status
}

#[test]
fn clicks_are_counted_by_sort_and_each_creator_sees_its_own() {
    let gateway = Gateway::start("2022-11-15 12:00:00");
    let (own, other) = (key(&gateway, Role::Creator, "creator-1"), key(&gateway, Role::Creator, "creator-2"));
    let code = gateway.link(JD, "kuaishou/live_cart", "self_operated");
    let refused = gateway.link(JD, "xiaohongshu/comment", "self_operated");
    let stats = |by: &str| ask(&gateway, &own, "creator's browser", &format!("/v1/links/{code}/stats?by={by}"));
    assert_eq!(stats("day").0, 200, "before any click");

    for agent in ["one Kwai/11.2", "two Kwai/11.2", "one Kwai/11.2", PHONE] {
        assert_eq!(click(&gateway, "GET", &code, agent), 302);
    }
    click(&gateway, "HEAD", &code, "one Kwai/11.2");
    click(&gateway, "GET", &code, "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)");
    // The one who asked for figures above, with its own key.
    assert_eq!(click(&gateway, "GET", &code, "creator's browser"), 302);
    assert_eq!(click(&gateway, "GET", &refused, PHONE), 403);
    eventually("every click is counted", || stats("day").1["total"]["clicks"] == 7);

    let (_, by_day) = stats("day");
    let expected = json!({
        "clicks": 7, "people": 3, "allowed": 3, "refused": 0, "machines": 2, "duplicates": 1, "self_clicks": 1,
        "excessive": 0, "rehearsal": 0, "without_visitor": 0, "visitors": 3,
    });
    assert_eq!(by_day["total"], expected, "{by_day}");
    assert_eq!(by_day["rows"][0]["day"], "2022-11-15T00:00:00+08:00");
    assert_eq!(by_day["rows"].as_array().unwrap().len(), 1);
    assert_eq!(stats("hour").1["rows"][0]["hour"], "2022-11-15T12:00:00+08:00");
    assert_eq!(stats("placement").1["rows"][0]["placement"], "kuaishou/live_cart");
    assert_eq!(stats("reason").1["rows"][0]["reason"], "allowed");
    let path = format!("/v1/links/{refused}/stats?by=reason");
    let (_, by_reason) = ask(&gateway, &own, "a script", &path);
    assert_eq!((&by_reason["rows"][0]["refused"], &by_reason["total"]["allowed"]), (&json!(1), &json!(0)));

    assert_eq!(ask(&gateway, &other, "x", &format!("/v1/links/{code}/stats")).0, 403);
    assert_eq!(ask(&gateway, &own, "x", "/v1/links/nobody/stats").0, 404);
    assert_eq!(ask(&gateway, &own, "x", &format!("/v1/links/{code}/stats?by=code&from=soon")).0, 422);
    assert_eq!(gateway.metric("hopgate_stats_hops_total"), 8.0);
    assert_eq!(gateway.metric("hopgate_stats_failures_total"), 0.0);

    // The same hops, page by page.
    assert_eq!(ask(&gateway, &own, "x", "/v1/hops").0, 403, "hops are for ops");
    let admin = admin(&gateway);
    let mut path = "/v1/hops?limit=3&from=2022-11-15".to_owned();
    let (mut all, mut pages) = (Vec::new(), 0);
    loop {
        let (status, page) = ask(&gateway, &admin, "x", &path);
        assert_eq!(status, 200, "{page}");
        all.extend(page["hops"].as_array().unwrap().clone());
        pages += 1;
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/hops?limit=3&from=2022-11-15&cursor={cursor}");
    }
    assert_eq!((all.len(), pages), (8, 3));
    assert_eq!(all, gateway.hops());
    let (_, denied) = ask(&gateway, &admin, "x", "/v1/hops?outcome=deny&creator=creator-1");
    assert_eq!(denied["hops"].as_array().unwrap().len(), 1);
    let (_, none) = ask(&gateway, &admin, "x", "/v1/hops?to=2022-11-15");
    assert_eq!(none, json!({"hops": [], "next_cursor": null}));
}

#[test]
fn figures_survive_a_kill_and_are_made_anew_by_hand() {
    let place = Place::new("");
    place.import(1);
    let mut served = place.serve(&[]);
    for _ in 0..5 {
        assert_eq!(served.get("/load0000").status, 302);
    }
    served.kill();
    let ran = place.run(&["stats", "follow"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("node node-1  up to record") || ran.out.contains("node node-1"), "{ran:?}");
    assert_eq!(place.run(&["stats", "follow"]).out.lines().next(), Some("0 hops counted"), "once only");
    let ran = place.run(&["stats", "rebuild"]);
    assert_eq!((ran.code, ran.out.lines().next()), (0, Some("5 hops counted anew")), "{ran:?}");

    place.settings("[attribution.validity]\nduplicate_within = \"0s\"\n");
    let before = place.run(&["stats", "follow"]).out;
    let after = place.run(&["stats", "rebuild"]).out;
    let rules = |out: &str| out.lines().find(|line| line.starts_with("rules")).unwrap().to_owned();
    assert!(rules(&before).contains("duplicate_within_us=30000000"), "kept until it is made anew: {before}");
    assert!(rules(&after).contains("duplicate_within_us=0"), "{after}");
    place.settings("[attribution]\nkeep_touches = \"soon\"\n[attribution.validity]\nexclude = [\"robots\"]\n");
    let ran = place.run(&["check"]);
    assert_eq!(ran.code, 78);
    for part in ["attribution.keep_touches", "attribution.validity.exclude[0]"] {
        assert!(ran.err.contains(part), "{}", ran.err);
    }
}
