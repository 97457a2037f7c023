//! `policy backtest` and its job in the API: the matrix against a slow recount from an export, the same on any number of
//! threads, shifted by a year, and what it says when there is nothing to say.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "../load-tests/tools/hops/mod.rs"]
mod hops;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;

use hopgate::app::DataDir;
use hopgate::audit::Period;
use hopgate::audit::backtest::{Question, backtest};
use hopgate::audit::sweep::{Progress, Spread};
use hopgate::domain::policy::{Facts, PolicySet, decide};
use hopgate::domain::vocabulary::{LinkKind, ShopType, Surface, Vocabulary};
use hopgate::policies::folder;
use hops::{Recipe, USUAL_FROM, generate};
use serde_json::{Value, json};
use support::{Answer, Client, Gateway, JD, Place, at, hops as exported, shipped, window};

fn made(place: &Place, count: u64) {
    let recipe = Recipe { data: place.path("data"), policies: shipped(), hops: count, seed: 3, from: at(USUAL_FROM) };
    generate(&recipe, |_| {});
}

/// A candidate: the shipped agreements but for one, and one that opens more.
fn candidate(place: &Place) {
    let folder = place.path("candidate");
    fs::create_dir(&folder).unwrap();
    for entry in fs::read_dir(shipped().join("history")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap().replace("2022-12-01", "2022-11-30T20:00:00+08:00");
        fs::write(folder.join(path.file_name().unwrap()), text).unwrap();
    }
    let open = window("candidate-open", "2022-01-01", "2023-01-01")
        .replace("marketplace: jd", "marketplace: [pinduoduo, youzan]")
        .replace("    landing", "    rollout: {by: visitor, steps: [{at: 2022-01-01, percent: 40}]}\n    landing");
    fs::write(folder.join("open.yaml"), open).unwrap();
}

/// Decides one exported row as a reader of the file would: its landings in order, the first allowed.
fn allowed(policy: &PolicySet, words: &Vocabulary, row: &Value) -> bool {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let facts_text = text(&row["facts"]);
    let (creator, code) = (text(&row["creator"]), text(&row["code"]));
    let visitor = u128::from_str_radix(row["visitor"].as_str().unwrap_or("0"), 16).unwrap();
    let own = std::iter::once(row);
    let tried = row["tried"].as_array().unwrap().iter();
    // The order does not matter for whether any is allowed.
    own.chain(tried).any(|landing| {
        let (category, item, shop) = (text(&landing["category"]), text(&landing["item"]), text(&landing["shop"]));
        let facts = Facts {
            platform: words.platform(&text(&row["platform"])),
            surface: row["surface"].as_str().and_then(Surface::parse),
            marketplace: words.marketplace(&text(&landing["marketplace"])).unwrap(),
            shop_type: landing["shop_type"].as_str().and_then(ShopType::parse).unwrap_or(ShopType::Unknown),
            link_kind: landing["link_kind"].as_str().and_then(LinkKind::parse).unwrap_or(LinkKind::Unknown),
            category: &category,
            creator: &creator,
            shop: &shop,
            item: &item,
            carried: &facts_text,
            link: &code,
            visitor,
        };
        decide(policy, &facts, at(row["time"].as_str().unwrap())).is_allow()
    })
}

type Counts = BTreeMap<String, [u64; 4]>;

fn counts(rows: &Value) -> Counts {
    let cells = ["allow_allow", "allow_deny", "deny_allow", "deny_deny"];
    let row = |row: &Value| (row["name"].as_str().unwrap().to_owned(), cells.map(|cell| row[cell].as_u64().unwrap()));
    rows.as_array().unwrap().iter().map(row).collect()
}

#[test]
fn the_matrix_is_what_a_slow_recount_says() {
    let place = Place::new("");
    made(&place, 20_000);
    candidate(&place);
    let ran =
        place.run(&["policy", "backtest", "--policies", "candidate", "--json", "--include-machines", "--samples", "7"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let report: Value = serde_json::from_str(&ran.out).unwrap();

    let words = Vocabulary::default();
    let policy = folder::load(&place.path("candidate"), &words).unwrap().policy;
    assert_eq!(report["candidate"], policy.version().to_string());
    let (mut placements, mut marketplaces, mut shops) = (Counts::new(), Counts::new(), Counts::new());
    let (mut creators, mut people, mut machines, mut ended) = (Counts::new(), [0; 4], [0; 4], 0);
    let mut cells: BTreeMap<String, usize> = BTreeMap::new();
    for row in exported(&place.path("data")) {
        if ["link_disabled", "link_expired"].contains(&row["reason"].as_str().unwrap()) {
            ended += 1;
            continue;
        }
        let then = row["outcome"] == "allow";
        let cell = usize::from(!then) * 2 + usize::from(!allowed(&policy, &words, &row));
        let name = |value: &Value| value.as_str().unwrap_or("unknown").to_owned();
        let machine = row["flags"].as_array().unwrap().iter().any(|flag| flag != "no_agent");
        (if machine { &mut machines } else { &mut people })[cell] += 1;
        placements.entry(format!("{}/{}", name(&row["platform"]), name(&row["surface"]))).or_default()[cell] += 1;
        marketplaces.entry(name(&row["marketplace"])).or_default()[cell] += 1;
        shops.entry(name(&row["shop_type"])).or_default()[cell] += 1;
        creators.entry(name(&row["creator"])).or_default()[cell] += 1;
        cells.insert(row["click_id"].as_str().unwrap().to_owned(), cell);
    }
    assert_eq!(report["judged"].as_u64().unwrap() + ended, 20_000);
    let matrix = |value: &Value| {
        ["allow_allow", "allow_deny", "deny_allow", "deny_deny"].map(|cell| value[cell].as_u64().unwrap())
    };
    assert_eq!((matrix(&report["people"]), matrix(&report["machines"])), (people, machines));
    assert!(people.iter().all(|count| *count > 100), "every cell is tried: {people:?}");
    assert_eq!(counts(&report["by"]["placement"]), placements);
    assert_eq!(counts(&report["by"]["marketplace"]), marketplaces);
    assert_eq!(counts(&report["by"]["shop_type"]), shops);
    let top = counts(&report["by"]["creator"]["top"]);
    assert_eq!(top.len(), 20);
    let least = top.values().map(|counts| counts[1] + counts[2]).min().unwrap();
    let mut rest = [0; 4];
    for (name, counts) in &creators {
        match top.get(name) {
            Some(told) => assert_eq!(told, counts, "{name}"),
            None => {
                assert!(counts[1] + counts[2] <= least, "{name} has more change than one that is shown");
                (0..4).for_each(|cell| rest[cell] += counts[cell]);
            }
        }
    }
    assert_eq!(matrix(&report["by"]["creator"]["others"]), rest);
    let refused: u64 = report["newly_refused"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(refused, people[1] + machines[1]);
    for (place, cell) in ["allow_allow", "allow_deny", "deny_allow", "deny_deny"].into_iter().enumerate() {
        let samples = report["samples"][cell].as_array().unwrap();
        assert_eq!(samples.len(), 7);
        assert!(samples.iter().all(|sample| cells[sample["click_id"].as_str().unwrap()] == place), "{cell}");
    }
    assert_eq!(report["orders"], Value::Null);

    let text = place.run(&["policy", "backtest", "--policies", "candidate"]).out;
    for part in
        ["newly refused", "by placement", "kuaishou/live_cart", "samples, newly allowed (seed 1)", "no order data"]
    {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}

#[test]
fn under_the_version_that_decided_nothing_changes() {
    let place = Place::new("");
    made(&place, 5_000);
    let report = |more: &[&str]| -> Value {
        let ran = place.run(&[&["policy", "backtest", "--json"], more].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
        serde_json::from_str(&ran.out).unwrap()
    };
    let version = |half: &str| {
        exported(&place.path("data"))[if half == "first" { 0 } else { 4_999 }]["policy_version"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let (first, second) = (version("first"), version("second"));
    assert_ne!(first, second);
    let morning = report(&["--version", &first, "--to", "2022-11-30 22:00:00"]);
    let night = report(&["--version", &second[..8], "--from", "2022-11-30 22:00:00"]);
    for half in [&morning, &night] {
        assert_eq!(
            (&half["people"]["allow_deny"], &half["people"]["deny_allow"], &half["moved"]),
            (&0.into(), &0.into(), &0.into())
        );
        assert_eq!(half["hops"], 2_500);
    }
    // A year on, the windows of 2022 are over: what was open stays refused but for what has no end.
    let later = report(&["--version", &first, "--to", "2022-11-30 22:00:00", "--shift", "1y"]);
    assert_eq!(later["shift"], "1y");
    let ended = later["newly_refused"]["window_ended"].as_u64().unwrap();
    assert!(ended > 500, "{}", later["newly_refused"]);
    let sample = &later["samples"]["allow_deny"][0];
    assert!(
        sample["time"].as_str().unwrap().starts_with("2022-11-30T")
            && sample["candidate_at"].as_str().unwrap().starts_with("2023-11-30T"),
        "{sample}"
    );

    let unknown = place.run(&["policy", "backtest", "--version", "0123456789abcdef"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.err.contains("no kept version begins with"), "{unknown:?}");
    let faulty = place.run(&["policy", "backtest", "--policies", "hopgate.toml"]);
    assert_eq!(faulty.code, 78, "{faulty:?}");
}

#[test]
fn a_period_without_hops_says_so() {
    let place = Place::new("");
    made(&place, 1_000);
    let ran = place.run(&["policy", "backtest", "--from", "2031-01-01", "--to", "2031-02-01"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(
        ran.err.contains("no hops were recorded from 2031-01-01") && ran.err.contains("nothing to test"),
        "{ran:?}"
    );
    let ran = place.run(&["policy", "backtest", "--from", "2031-01-01", "--json"]);
    assert_eq!(ran.code, 1);
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap()["hops"], 0);
    let nowhere = place.run(&["policy", "backtest", "--data-dir", "nowhere"]);
    assert!(nowhere.err.contains("no journal; name the data folder"), "{nowhere:?}");
}

#[test]
fn any_number_of_threads_gives_the_same_result() {
    let place = Place::new("");
    made(&place, 60_000);
    candidate(&place);
    let words = Vocabulary::default();
    let policy = folder::load(&place.path("candidate"), &words).unwrap().policy;
    let data = DataDir::new(&place.path("data"));
    let question = Question {
        policy: &policy,
        words: &words,
        period: Period::ALL,
        shift: Some("12h".parse().unwrap()),
        platform: None,
        include_machines: false,
        samples: 50,
        seed: 42,
    };
    let run = |threads, yields| {
        let spread = Spread { threads, yields };
        let report = backtest(&data.hops(), &question, &data.click_key().unwrap(), spread, &Progress::default());
        serde_json::to_value(report.unwrap().unwrap()).unwrap()
    };
    let one = run(1, false);
    assert_eq!(one["hops"], 60_000);
    assert!([2, 5].into_iter().all(|threads| run(threads, threads == 5) == one));
    let cancelled = Progress::default();
    cancelled.cancel();
    let none = backtest(&data.hops(), &question, &data.click_key().unwrap(), Spread::all_cores(), &cancelled);
    assert!(none.unwrap().is_none());
}

/// One request with a JSON body to the control listener.
fn ask(address: SocketAddr, key: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
    let body = body.map_or(String::new(), |body| body.to_string());
    let mut client = Client::connect(address);
    write!(
        client.socket(),
        "{method} {path} HTTP/1.1\r\nHost: c\r\nAuthorization: Bearer {key}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    client.read(false).unwrap()
}

fn parsed(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

fn agreements(text: &str) -> Value {
    let from = |key: &str| text.lines().find_map(|line| line.trim().strip_prefix(key)).unwrap().trim().to_owned();
    json!([{
        "id": from("- id:"), "title": "t", "platform": "kuaishou", "marketplace": "jd", "effect": "allow",
        "from": from("from:"), "until": from("until:"), "when": {"shop_types": ["pop"]}, "landing": "app",
    }])
}

#[test]
fn the_api_runs_one_at_a_time_and_shows_each_its_own() {
    let gateway = Gateway::start("2022-11-15 12:00:00");
    let control = gateway.app().addresses().control;
    let admin = fs::read_to_string(gateway.folder.path().join("data/admin.key")).unwrap().trim().to_owned();
    let code = gateway.link(JD, "kuaishou/live_cart", "self_operated");
    let pop = gateway.link(JD, "kuaishou/live_cart", "pop");
    for _ in 0..30 {
        assert_eq!(gateway.get(&format!("/{code}")).status, 302);
        assert_eq!(gateway.get(&format!("/{pop}")).status, 403);
    }
    // Faults of the candidate and of the rest come in one answer.
    let bad = json!({"agreements": [{"id": "x", "platform": "kuaishuo"}], "from": "yesterday", "samples": -1, "colour": 1, "shift": "1w"});
    let answer = ask(control, &admin, "POST", "/v1/policies/backtest", Some(bad));
    assert_eq!(answer.status, 422, "{answer:?}");
    for part in
        ["colour", "\"from\"", "\"samples\"", "\"shift\"", "agreements[0].id", "agreements[0].platform", "did you mean"]
    {
        assert!(answer.body.contains(part), "{part} is missing in {}", answer.body);
    }

    let body = json!({"agreements": agreements(&window("only-pop", "2022-11-01", "2022-12-01")), "samples": 3});
    let begun = ask(control, &admin, "POST", "/v1/policies/backtest", Some(body.clone()));
    assert_eq!(begun.status, 202, "{begun:?}");
    let location = begun.header("location").to_owned();
    assert!(location.starts_with("/v1/policies/backtests/bt-"), "{location}");
    let mut job = Value::Null;
    support::eventually("the backtest ends", || {
        job = parsed(&ask(control, &admin, "GET", &location, None));
        job["state"] != "running"
    });
    assert_eq!((&job["state"], &job["progress"]), (&"done".into(), &1.0.into()), "{job}");
    let people = &job["result"]["people"];
    assert_eq!((&people["allow_deny"], &people["deny_allow"]), (&30.into(), &30.into()), "{job}");
    assert_eq!(job["result"]["newly_refused"], json!({"shop_type_not_covered": 30}));

    // A key of one platform gets the hops of its own, and sees no other's jobs.
    let key = |scope: &str| {
        let folder = gateway.folder.path().join("data");
        let place = Place::new("");
        let ran = place.run(&[
            "key",
            "create",
            "--role",
            "platform",
            "--scope",
            scope,
            "--data-dir",
            folder.to_str().unwrap(),
        ]);
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.out.trim().to_owned()
    };
    let (own, other) = (key("kuaishou"), key("xiaohongshu"));
    assert_eq!(ask(control, &own, "GET", &location, None).status, 404);
    let begun = ask(control, &other, "POST", "/v1/policies/backtest", Some(body));
    assert_eq!(begun.status, 202, "{begun:?}");
    let location = begun.header("location").to_owned();
    support::eventually("the platform's backtest ends", || {
        job = parsed(&ask(control, &other, "GET", &location, None));
        job["state"] == "done"
    });
    assert_eq!((&job["result"]["hops"], &job["result"]["platform"]), (&0.into(), &"xiaohongshu".into()));
    assert!(job["problem"].as_str().unwrap().contains("no hops were recorded"), "{job}");
    assert_eq!(ask(control, &own, "DELETE", &location, None).status, 404);
    assert_eq!(ask(control, &other, "DELETE", &location, None).status, 204);
    assert_eq!(ask(control, &other, "GET", &location, None).status, 404);
    assert_eq!(ask(control, &admin, "GET", "/v1/policies/backtests/bt-0", None).status, 404);
}

#[test]
fn a_running_backtest_refuses_another_and_can_be_ended() {
    let place = Place::new("");
    made(&place, 60_000);
    let server = place.serve(&[]);
    let admin = fs::read_to_string(place.path("data/admin.key")).unwrap().trim().to_owned();
    let body = || Some(json!({"agreements": agreements(&window("only-pop", "2022-11-01", "2022-12-01"))}));
    let begun = ask(server.control, &admin, "POST", "/v1/policies/backtest", body());
    assert_eq!(begun.status, 202, "{begun:?}");
    let location = begun.header("location").to_owned();
    let second = ask(server.control, &admin, "POST", "/v1/policies/backtest", body());
    assert_eq!(second.status, 409, "60,000 hops take a debug build longer than one request: {second:?}");
    assert!(
        second.body.contains("backtest_running") && second.body.contains(parsed(&begun)["id"].as_str().unwrap()),
        "{second:?}"
    );
    assert_eq!(ask(server.control, &admin, "DELETE", &location, None).status, 204);
    let mut job = Value::Null;
    support::eventually("it ends", || {
        job = parsed(&ask(server.control, &admin, "GET", &location, None));
        job["state"] != "running"
    });
    // It may have been done the moment before.
    assert!(job["state"] == "cancelled" || job["state"] == "done", "{job}");
    assert_eq!(ask(server.control, &admin, "DELETE", &location, None).status, 204);
    assert_eq!(ask(server.control, &admin, "GET", &location, None).status, 404);
    assert_eq!(server.stop(), Some(0));
}
