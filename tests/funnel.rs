//! From the note to the order: events over HTTP and from files, weighed by the terms of their reading as the shipped history
//! has them (D1 to D5), shown as an object, CSV, a terminal's table and a page.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod control_support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use control_support::{Running, fits};
use hopgate::attribution::StoreError;
use hopgate::attribution::events::read::Reader;
use hopgate::attribution::events::sqlite::SqliteEventStore;
use hopgate::attribution::events::{ClickCounts, Dim, EventStore, Filter};
use hopgate::attribution::stats::Stats;
use hopgate::control::keys::Role;
use hopgate::domain::attribution::event::Worth;
use hopgate::domain::attribution::terms::Agreed;
use hopgate::domain::attribution::touch::{Marks, Touch};
use hopgate::domain::click_id::{ClickId, ClickKey};
use hopgate::domain::hop::HopFlags;
use hopgate::domain::policy::PolicySet;
use hopgate::domain::time::Timestamp;
use hopgate::domain::vocabulary::{LinkKind, ShopType, Vocabulary};
use hopgate::policies::folder;
use hopgate::policies::sqlite::SqlitePolicyStore;
use hopgate::report::asked::{Kind, Question};
use hopgate::report::funnel::{Sources, sheet};
use hopgate::report::show::{self, Form};
use proptest::prelude::*;
use serde_json::{Value, json};

fn shipped() -> PolicySet {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/policies");
    folder::load(&folder, &Vocabulary::default()).expect("the shipped policies are sound").policy
}

fn event(value: &Value) -> hopgate::domain::attribution::event::Event {
    let (words, key) = (Vocabulary::default(), ClickKey::new(&[7; 16]));
    let now = "2026-07-01".parse().unwrap();
    let reader =
        Reader { words: &words, key: &key, now, source: "test", may_name_source: true, platform: None, shop: None };
    reader.value(value).read.unwrap()
}

/// Read when, what happened when, at which marketplace, of which category: what it is worth.
const HISTORY: [(&str, &str, &str, &str, &str, &str); 22] = [
    // Before D1 there are no terms, and nothing ended yet: no pause.
    ("2022-09-30T23:59:59.999+08:00", "2022-10-02", "store_entry", "tmall", "", "no_terms"),
    // D1: a sample.
    ("2022-10-01", "2022-10-02", "store_entry", "tmall", "", "sampled 0.5 xiaohongshu-xiaohongxing-1-2022"),
    (
        "2022-10-01",
        "2022-10-15T23:59:59.999+08:00",
        "order",
        "taobao",
        "",
        "sampled 0.5 xiaohongshu-xiaohongxing-1-2022",
    ),
    ("2022-10-01", "2022-10-16", "order", "taobao", "", "outside_window"),
    // D2: paused; what was read before goes on to its window's end.
    (
        "2023-08-24T23:59:59.999+08:00",
        "2023-08-30",
        "search",
        "tmall",
        "",
        "sampled 0.5 xiaohongshu-xiaohongxing-1-2022",
    ),
    ("2023-08-25", "2023-08-26", "search", "tmall", "", "paused"),
    ("2024-02-26T23:59:59.999+08:00", "2024-02-28", "order", "tmall", "beauty", "paused"),
    // D3: half of it, four industries first, the others on 1 March.
    ("2024-02-27", "2024-02-28", "order", "tmall", "beauty", "sampled 0.5 xiaohongshu-xiaohongxing-2-first-2024"),
    ("2024-02-27", "2024-02-28", "order", "tmall", "digital", "paused"),
    ("2024-02-27", "2024-02-28", "order", "tmall", "", "paused"),
    ("2024-03-01", "2024-03-02", "order", "tmall", "digital", "sampled 0.5 xiaohongshu-xiaohongxing-2-2024"),
    (
        "2024-06-30T23:59:59.999+08:00",
        "2024-07-10",
        "order",
        "tmall",
        "",
        "sampled 0.5 xiaohongshu-xiaohongxing-2-2024",
    ),
    // D4: all of it, within 15 days.
    ("2024-07-01", "2024-07-15T23:59:59.999+08:00", "order", "tmall", "", "whole xiaohongshu-xiaohongxing-3-2024"),
    ("2024-07-01", "2024-07-16", "order", "tmall", "", "outside_window"),
    ("2024-07-01", "2024-07-02", "store_entry", "taobao", "", "whole xiaohongshu-xiaohongxing-3-2024"),
    ("2024-07-01", "2024-07-02", "search", "tmall", "", "whole xiaohongshu-xiaohongxing-3-2024"),
    // Not among the events that are returned.
    ("2024-07-01", "2024-07-02", "add_to_cart", "tmall", "", "no_terms"),
    // D5: JD and Vipshop alongside; nobody else.
    ("2024-07-01", "2024-07-02", "order", "jd", "", "whole xiaohongshu-xiaohongmeng-2024"),
    ("2024-06-30T23:59:59.999+08:00", "2024-07-02", "order", "jd", "", "no_terms"),
    ("2024-07-01", "2024-07-02", "order", "vipshop", "", "whole xiaohongshu-xiaohonglian-2024"),
    ("2024-07-01", "2024-07-02", "order", "pinduoduo", "", "no_terms"),
    // Front events are the platform's own: they count whatever the terms are.
    ("2023-09-01", "2023-09-01", "read", "", "", "whole"),
];

#[test]
fn an_event_is_worth_what_the_terms_of_its_reading_say() {
    let (policy, words) = (shipped(), Vocabulary::default());
    let mut wrong = Vec::new();
    for (read, at, kind, marketplace, category, expected) in HISTORY {
        let mut value = json!({
            "id": "1", "kind": kind, "at": at, "platform": "xiaohongshu", "surface": "note", "category": category,
            "marketplace": marketplace, "read_at": read,
        });
        value.as_object_mut().unwrap().retain(|_, value| *value != json!(""));
        let event = event(&value);
        let told = match event.worth(&policy, &words, None) {
            Worth::Whole { agreement } => format!("whole {}", agreement.unwrap_or_default()),
            Worth::Sampled { share, agreement } => format!("sampled {share} {agreement}"),
            Worth::Paused => "paused".to_owned(),
            Worth::OutsideWindow => "outside_window".to_owned(),
            Worth::NoTerms => "no_terms".to_owned(),
            Worth::Contradicts => "contradicts".to_owned(),
        };
        if told.trim() != expected {
            wrong.push(format!("read {read}, {kind} {at} {marketplace} {category}: {told}, expected {expected}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_source_may_say_whether_it_is_a_sample_and_under_which_agreement() {
    let (policy, words) = (shipped(), Vocabulary::default());
    let base = |more: Value| {
        let mut value = json!({
            "id": "1", "kind": "order", "at": "2024-07-02", "platform": "xiaohongshu", "marketplace": "tmall",
            "read_at": "2024-07-01",
        });
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event(&value)
    };
    // A sample of which nobody knows the share says nothing.
    assert_eq!(base(json!({"sampled": true})).worth(&policy, &words, None), Worth::NoTerms);
    let half = json!({"read_at": "2024-06-30", "sampled": false});
    assert!(matches!(base(half).worth(&policy, &words, None), Worth::Whole { .. }), "said to be all of it");
    let named = |name: &str, read: &str| base(json!({"agreement": name, "read_at": read}));
    let second = named("xiaohongshu-xiaohongxing-2-2024", "2024-06-30");
    assert!(matches!(second.worth(&policy, &words, None), Worth::Sampled { .. }));
    // One that was not in force, and one of another pair, give no terms.
    assert_eq!(named("xiaohongshu-xiaohongxing-2-2024", "2024-07-01").worth(&policy, &words, None), Worth::NoTerms);
    assert_eq!(named("xiaohongshu-xiaohongmeng-2024", "2024-07-01").worth(&policy, &words, None), Worth::NoTerms);
    assert_eq!(named("xiaohongshu-xiaohongxing-2-2024", "2023-09-01").worth(&policy, &words, None), Worth::Paused);
}

/// A click on a note's link.
fn click(at: &str, marketplace: &str, agreement: &str, category: &str) -> Touch {
    Touch {
        click: ClickId([7; 16]),
        at: at.parse().unwrap(),
        node: "n1".into(),
        seq: 1,
        code: "abc".into(),
        creator: "li".into(),
        platform: "xiaohongshu".into(),
        surface: "ad_note".into(),
        marketplace: marketplace.into(),
        shop_type: ShopType::Flagship,
        link_kind: LinkKind::Item,
        category: category.into(),
        facts: "".into(),
        item: "".into(),
        shop: "".into(),
        agreement: agreement.into(),
        policy_version: 1,
        flags: HopFlags::default(),
        marks: Marks::default(),
        note: "n1".into(),
    }
}

#[test]
fn an_event_with_a_click_is_of_the_agreement_that_let_it_through() {
    let (policy, words) = (shipped(), Vocabulary::default());
    let redcat = "xiaohongshu-tmall-redcat-2025";
    let told = |click: &Touch, at: &str, more: Value| {
        let mut value = json!({
            "id": "1", "kind": "store_entry", "at": at, "platform": "xiaohongshu", "marketplace": click.marketplace,
            "read_at": click.at.to_string(),
        });
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        match event(&value).worth(&policy, &words, Some(click)) {
            Worth::Whole { agreement } => format!("whole {}", agreement.unwrap_or_default()),
            other => format!("{other:?}"),
        }
    };
    let tapped = click("2026-06-01", "tmall", redcat, "health");
    assert_eq!(told(&tapped, "2026-06-02", json!({})), format!("whole {redcat}"));
    // One platform, marketplace and creator; Taobao and Tmall are one app.
    assert_eq!(told(&tapped, "2026-06-02", json!({"marketplace": "taobao"})), format!("whole {redcat}"));
    for other in [json!({"marketplace": "jd"}), json!({"platform": "kuaishou"}), json!({"creator": "wang"})] {
        assert_eq!(told(&tapped, "2026-06-02", other), "Contradicts");
    }
    // No terms of its own: the usual ones, as an order with that click has them.
    let plain = click("2022-11-15", "jd", "kuaishou-jd-alliance-2022", "");
    let plain = Touch { platform: "kuaishou".into(), ..plain };
    let of_kuaishou = json!({"platform": "kuaishou"});
    assert_eq!(told(&plain, "2022-11-29", of_kuaishou.clone()), "whole kuaishou-jd-alliance-2022");
    assert_eq!(told(&plain, "2022-11-30", of_kuaishou), "OutsideWindow");
}

#[test]
fn a_data_return_asks_what_a_click_is_of() {
    let (policy, words) = (shipped(), Vocabulary::default());
    // D3 began with four industries; the click itself was let through without terms.
    let agreed = |category| {
        Agreed::of(&policy, &words, &click("2024-02-28", "tmall", "", category), "2024-02-28".parse().unwrap())
    };
    assert!(matches!(agreed("beauty"), Agreed::Terms(terms) if terms.sampling == 0.5), "{:?}", agreed("beauty"));
    assert_eq!((agreed("digital"), agreed("")), (Agreed::Paused, Agreed::Paused));
}

/// Rows of two notes around the change from half to all, a pause and a late one.
fn rows() -> Vec<Value> {
    let mut rows = Vec::new();
    let mut tell = |id: &str, kind: &str, at: &str, read: &str, note: &str, count: u64| {
        let mut row = json!({
            "id": id, "kind": kind, "at": at, "platform": "xiaohongshu", "surface": "note", "note": note, "creator": "c1",
            "shop": "shop:7", "count": count,
        });
        if !read.is_empty() {
            row["marketplace"] = json!("tmall");
            row["read_at"] = json!(read);
        }
        rows.push(row);
    };
    tell("r1", "read", "2024-06-20", "", "n1", 1_000);
    tell("r2", "read", "2024-07-02", "", "n2", 500);
    tell("l1", "like", "2024-07-02", "", "n2", 50);
    tell("k1", "comment", "2024-07-02", "", "n2", 5);
    tell("e1", "store_entry", "2024-06-21", "2024-06-20", "n1", 100);
    tell("s1", "search", "2024-06-21", "2024-06-20", "n1", 40);
    tell("o1", "order", "2024-06-22", "2024-06-20", "n1", 10);
    tell("e2", "store_entry", "2024-07-03", "2024-07-02", "n2", 60);
    tell("s2", "search", "2024-07-03", "2024-07-02", "n2", 30);
    tell("o2", "order", "2024-07-04", "2024-07-02", "n2", 6);
    tell("o3", "order", "2024-07-20", "2024-07-02", "n2", 2);
    tell("o4", "order", "2024-07-04", "2024-01-01", "n2", 3);
    rows
}

const PERIOD: &str = "from=2024-06-01&to=2024-08-01";

#[tokio::test(flavor = "multi_thread")]
async fn over_http_the_funnel_is_counted_and_reckoned_apart() {
    let running = Running::start().await;
    running.clock.set("2024-08-15".parse().unwrap());
    let description = running.call("", "GET", "/openapi.json", &Value::Null).await.json();
    let schema = |name: &str| description["components"]["schemas"][name].clone();

    let mut told = rows();
    told.push(json!({"id": "b1", "kind": "teleport", "at": "2030-01-01", "platform": "moon"}));
    let answer = running.admin("POST", "/v1/events", &json!(told)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let body = answer.json();
    fits(&description, &schema("EventsTold"), &body, "told");
    assert_eq!((&body["kept"], &body["known"], &body["quarantined"]), (&json!(12), &json!(0), &json!(1)));
    let faults: Vec<_> = body["results"][12]["faults"].as_array().unwrap().iter().map(|f| f["code"].clone()).collect();
    assert_eq!(faults, ["unknown_name", "future_time", "unknown_name"]);
    // Again, as lines: nothing new.
    let lines: Vec<String> = rows().iter().map(Value::to_string).collect();
    let again = running.with(&running.admin, "POST", "/v1/events", &[], &lines.join("\n")).await.json();
    assert_eq!((&again["kept"], &again["known"]), (&json!(0), &json!(12)));

    let report = running.admin("GET", &format!("/v1/reports/funnel?{PERIOD}&by=note"), &Value::Null).await;
    assert_eq!(report.status, 200, "{}", report.text);
    let report = report.json();
    fits(&description, &schema("Sheet"), &report, "report");
    let row = |note: &str| report["rows"].as_array().unwrap().iter().find(|row| row["note"] == note).unwrap().clone();
    let (first, second) = (row("n1"), row("n2"));
    assert_eq!((&first["reads"], &first["store_entries"], &first["orders"]), (&json!(1_000), &json!(0), &json!(0)));
    assert_eq!(first["store_entries_est"]["value"], json!(200.0));
    assert_eq!(first["orders_est"]["value"], json!(20.0));
    let (low, high) = (first["orders_est"]["low"].as_f64().unwrap(), first["orders_est"]["high"].as_f64().unwrap());
    assert!(low > 10.0 && low < 20.0 && high > 20.0 && high < 35.0, "{low} {high}");
    assert_eq!(first["search_rate_est"]["value"], json!(0.4));
    assert_eq!((&second["likes"], &second["comments"]), (&json!(50), &json!(5)));
    assert_eq!((&second["store_entries"], &second["searches"], &second["orders"]), (&json!(60), &json!(30), &json!(6)));
    assert_eq!((&second["search_rate"], &second["order_rate"]), (&json!(0.5), &json!(0.2)));
    assert_eq!((&second["outside_window"], &second["paused"]), (&json!(2), &json!(3)));
    assert_eq!(second["orders_est"], Value::Null);
    // The estimate is in no total of counts.
    assert_eq!((&report["total"]["orders"], &report["total"]["orders_est"]["value"]), (&json!(6), &json!(20.0)));
    assert!(report["notes"].as_array().unwrap().iter().any(|note| note["en"].as_str().unwrap().contains("paused")));

    let waiting = running.admin("GET", "/v1/events/quarantine", &Value::Null).await.json();
    fits(&description, &schema("EventQuarantine"), &waiting, "quarantine");
    assert_eq!(waiting["rows"][0]["id"], "b1");
    // Mended, it counts.
    let mended = json!({"id": "b1", "kind": "read", "at": "2024-07-05", "platform": "xiaohongshu", "note": "n3"});
    assert_eq!(running.admin("POST", "/v1/events", &mended).await.json()["kept"], 1);
    assert_eq!(running.admin("GET", "/v1/events/quarantine", &Value::Null).await.json()["rows"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_key_tells_and_sees_its_own() {
    let running = Running::start().await;
    running.clock.set("2024-08-15".parse().unwrap());
    running.admin("POST", "/v1/events", &json!(rows())).await;
    let (platform, _) = running.key(Role::Platform, Some("douyin")).await;
    let (creator, _) = running.key(Role::Creator, Some("c2")).await;
    let (merchant, _) = running.key(Role::Merchant, Some("shop:7")).await;
    let read = |platform: &str| json!({"id": "x", "kind": "read", "at": "2024-07-05", "platform": platform});
    let told = running.call(&platform, "POST", "/v1/events", &read("xiaohongshu")).await.json();
    assert_eq!(told["results"][0]["faults"][0]["code"], "not_yours");
    assert_eq!(running.call(&platform, "POST", "/v1/events", &read("douyin")).await.json()["kept"], 1);
    assert_eq!(running.call(&creator, "POST", "/v1/events", &read("douyin")).await.status, 403);

    let ask = async |key: &str, more: &str| {
        running.call(key, "GET", &format!("/v1/reports/funnel?{PERIOD}&by=platform{more}"), &Value::Null).await
    };
    assert_eq!(ask(&platform, "").await.json()["total"]["reads"], 1);
    assert_eq!(ask(&platform, "&platform=xiaohongshu").await.status, 403);
    assert_eq!(ask(&merchant, "").await.json()["total"]["reads"], 1_500);
    assert_eq!(ask(&merchant, "&shop=shop:8").await.status, 403);
    assert_eq!(ask(&creator, "").await.json()["rows"], json!([]));
    assert_eq!(ask(&creator, "&creator=c1").await.status, 403);
    let faults = running.admin("GET", "/v1/reports/funnel?by=moon&from=x&limit=0&colour=red", &Value::Null).await;
    assert_eq!(faults.faults().len(), 4, "{}", faults.text);
    let faults = running.admin("GET", "/v1/reports/funnel?by=moon&from=x&limit=0", &Value::Null).await;
    let names: Vec<String> = faults.faults().into_iter().map(|(field, _)| field).collect();
    assert_eq!(names, ["from", "by", "limit"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_a_page_with_a_strict_policy_and_opens_with_a_session() {
    let running = Running::start().await;
    running.clock.set("2024-08-15".parse().unwrap());
    running.admin("POST", "/v1/events", &json!(rows())).await;
    let path = format!("/v1/reports/funnel?{PERIOD}&by=note");
    let page = running.with(&running.admin, "GET", &path, &[("Accept", "text/html,*/*;q=0.8")], "").await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && policy.contains("frame-ancestors 'none'"));
    assert!(page.text.contains("从笔记到订单") && page.text.contains("<svg") && !page.text.contains("<script"));
    let csv = running.with(&running.admin, "GET", &path, &[("Accept", "text/csv")], "").await;
    assert_eq!(csv.header("content-disposition"), Some("attachment; filename=\"funnel.csv\""));
    assert!(csv.text.starts_with("note,reads,likes,comments,clicks,"), "{}", csv.text);
    assert_eq!(csv.text.lines().count(), 3);

    // The page of creators leads here: its session opens reports, changes nothing, and ends with its key.
    assert_eq!(running.call("", "GET", &path, &Value::Null).await.status, 401);
    let (key, id) = running.key(Role::Creator, Some("c1")).await;
    let logged = running.with("", "POST", "/login", &[("Origin", "http://x")], &format!("key={key}")).await;
    let cookie = logged.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let home = running.with("", "GET", "/", &[("Cookie", &cookie)], "").await;
    assert!(home.text.contains("/v1/reports/funnel?format=html"), "{}", home.text);
    let opened = running.with("", "GET", &path, &[("Cookie", &cookie), ("Accept", "text/html")], "").await;
    assert_eq!(opened.status, 200, "{}", opened.text);
    assert!(opened.text.contains("创作者 / creator") && opened.text.contains("c1"));
    let event = json!({"id": "x", "kind": "read", "at": "2024-07-05", "platform": "douyin"}).to_string();
    assert_eq!(running.with("", "POST", "/v1/events", &[("Cookie", &cookie)], &event).await.status, 401);
    assert_eq!(running.with("", "GET", "/v1/links", &[("Cookie", &cookie)], "").await.status, 401);
    use hopgate::control::keys::KeyStore as _;
    running.keys.revoke(&id, running.clock.now()).await.unwrap();
    assert_eq!(running.with("", "GET", &path, &[("Cookie", &cookie)], "").await.status, 401);
}

struct Files(tempfile::TempDir);

impl Files {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name).display().to_string()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_hopgate"))
            .args(arguments)
            .args(["--data-dir", &self.path("data").display().to_string()])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env_remove("HOPGATE_CONFIG")
            .output()
            .unwrap()
    }
}

fn out(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn on_the_command_line_files_become_a_funnel_in_every_form() {
    let files = Files(tempfile::tempdir().unwrap());
    let mut lines: Vec<String> = rows().iter().map(Value::to_string).collect();
    lines.push("{\"id\":\"b1\",\"kind\":\"read\"}".to_owned());
    lines.push("nonsense".to_owned());
    let ndjson = files.write("events.ndjson", &lines.join("\n"));
    let dry = files.run(&["events", "import", &ndjson, "--dry-run", "--json"]);
    let told: Value = serde_json::from_str(&out(&dry)).unwrap();
    assert_eq!(told, json!({"dry_run": true, "kept": 12, "known": 0, "quarantined": 2}));
    let first = files.run(&["events", "import", &ndjson, "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&out(&first)).unwrap()["kept"], 12, "the dry run kept nothing");
    assert!(String::from_utf8_lossy(&first.stderr).contains("row 13: at: say when it happened"));
    let again = files.run(&["events", "import", &ndjson]);
    assert!(out(&again).contains("0 kept, 12 known, 2 quarantined"));
    // The mended row, as CSV.
    let csv = files.write("mended.csv", "id,kind,at,platform,note\nb1,read,2024-07-05,xiaohongshu,n3\n");
    assert!(out(&files.run(&["events", "import", &csv])).contains("1 kept"));
    let waiting = out(&files.run(&["events", "list", "--quarantined"]));
    assert!(waiting.contains("not_json") && waiting.contains("nonsense") && !waiting.contains("b1"), "{waiting}");
    let listed = out(&files.run(&["events", "list", "--json", "--from", "2024-07-20"]));
    assert_eq!(serde_json::from_str::<Value>(&listed).unwrap()[0]["id"], "o3");

    let period = ["report", "funnel", "--from", "2024-06-01", "--to", "2024-08-01", "--by", "note"];
    let shown = |more: &[&str]| out(&files.run(&[&period[..], more].concat()));
    let text = shown(&[]);
    assert!(text.contains("从笔记到订单") && text.contains("≈20 [") && text.contains("合计 total"), "{text}");
    let object: Value = serde_json::from_str(&shown(&["--format", "json"])).unwrap();
    assert_eq!(object["total"]["reads"], json!(1_501));
    assert_eq!(shown(&["--format", "csv"]).lines().count(), 4);
    assert_eq!(shown(&["--format", "csv", "--limit", "1"]).lines().count(), 2);
    let page = files.path("funnel.html").display().to_string();
    shown(&["--format", "html", "--out", &page]);
    assert!(std::fs::read_to_string(&page).unwrap().contains("<svg"));
    let twice = files.run(&[&period[..], &["--format", "html", "--out", &page]].concat());
    assert!(String::from_utf8_lossy(&twice.stderr).contains("name another file"));
    let wrong = files.run(&["report", "funnel", "--by", "moon", "--from", "x"]);
    assert_eq!(wrong.status.code(), Some(2));
    let told = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(told.contains("--from: `x`") && told.contains("--by: `report funnel` can be by note, creator"), "{told}");
}

/// Clicks for a funnel, as any store would count them.
struct Clicks;

#[async_trait::async_trait]
impl ClickCounts for Clicks {
    async fn clicks(
        &self,
        _: Timestamp,
        _: Timestamp,
        _: &Filter,
        by: &[Dim],
    ) -> Result<Vec<(Vec<Box<str>>, u64)>, StoreError> {
        Ok(vec![(by.iter().map(|_| "n1".into()).collect(), 300), (by.iter().map(|_| "n9".into()).collect(), 7)])
    }
}

/// The funnel of rows that were told in these batches, as CSV.
async fn funnel(batches: &[Vec<Value>]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (words, key) = (Vocabulary::default(), ClickKey::new(&[7; 16]));
    let store = SqliteEventStore::open(&folder.path().join("orders.sqlite")).unwrap();
    let now = "2026-01-01".parse().unwrap();
    let reader =
        Reader { words: &words, key: &key, now, source: "test", may_name_source: true, platform: None, shop: None };
    for batch in batches {
        store.keep(batch.iter().map(|row| reader.value(row)).collect(), now).await.unwrap();
    }
    let policies = SqlitePolicyStore::open(&folder.path().join("hopgate.sqlite")).unwrap();
    let in_force = Arc::new(shipped());
    let question = Question { from: Some("2024-06-01".into()), to: Some("2024-08-01".into()), ..Question::default() };
    let asked = question.check(Kind::Funnel, &words, now).unwrap();
    let stats = Stats::open(&folder.path().join("stats.sqlite"), &Default::default()).unwrap();
    let sources = Sources {
        events: &store,
        clicks: &Clicks,
        touches: &stats,
        policies: &policies,
        in_force: &in_force,
        words: &words,
    };
    let sheet = sheet(sources, &asked).await.unwrap();
    assert_eq!(sheet.faults(), Vec::<String>::new());
    let mut out = Vec::new();
    show::write(&sheet, Form::Csv, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn clicks_stand_beside_events_with_rates_between() {
    let csv = funnel(&[rows()]).await;
    let lines: Vec<&str> = csv.lines().collect();
    assert!(lines[1].starts_with("n1,1000,0,0,300,0.3,0,0,"), "{csv}");
    assert!(lines[2].starts_with("n2,500,50,5,0,0,60,,30,0.5,"), "{csv}");
    assert!(lines[3].starts_with("n9,0,0,0,7,,0,0,"), "{csv}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Told twice, shuffled and split, events make the same funnel.
    #[test]
    fn batches_in_any_order_make_the_same_funnel(
        order in Just((0..24usize).collect::<Vec<_>>()).prop_shuffle(),
        size in 1usize..9,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let rows = rows();
        let told: Vec<Value> = order.iter().map(|place| rows[place % rows.len()].clone()).collect();
        let batches: Vec<Vec<Value>> = told.chunks(size).map(<[Value]>::to_vec).collect();
        let (one, other) = runtime.block_on(async { (funnel(&[rows]).await, funnel(&batches).await) });
        prop_assert_eq!(one, other);
    }
}
