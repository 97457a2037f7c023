//! Order reports over the real command line and over HTTP: every form of a file, rows that are set aside and mended, positions
//! told by links, imports that are killed; and the property that no order of importing changes anything.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use hopgate::attribution::orders::OrderStore as _;
use hopgate::attribution::orders::import::{Source, Taker};
use hopgate::attribution::orders::intake::{OrderIntake as _, QuarantineQuery};
use hopgate::attribution::orders::sqlite::SqliteOrderStore;
use hopgate::domain::attribution::Network;
use hopgate::domain::click_id::ClickKey;
use proptest::prelude::*;
use proptest::test_runner::Config;
use serde_json::{Value, json};
use support::{Dice, Place, Ran, eventually};

fn data(name: &str) -> String {
    format!("{}/tests/data/orders/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn json_of(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{ran:?}");
    serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

/// added, unchanged, quarantined
fn counts(value: &Value) -> (u64, u64, u64) {
    let count = |name: &str| value[name].as_u64().unwrap();
    (count("added"), count("unchanged"), count("quarantined"))
}

fn sold(id: u64, code: u64, fee: &str) -> Value {
    json!({"id": id.to_string(), "orderId": id / 2, "validCode": code, "orderTime": "2022-11-01 00:00:00",
        "modifyTime": format!("2022-11-{:02} 00:00:00", code), "skuNum": 2, "estimateFee": fee, "actualFee": fee})
}

#[test]
fn a_report_is_imported_once_however_often_and_in_whatever_form_it_comes() {
    let place = Place::new("");
    let import =
        |network: &str, file: &str| json_of(&place.run(&["orders", "import", "--network", network, "--json", file]));
    for (network, positions, rows) in [
        ("taobao", ["mm_123456_45678_901234", "901235"], 2),
        ("jd", ["3100222", "1000123456_4000111_3100223"], 3),
        ("pinduoduo", ["9724806_314941670", "1"], 1),
    ] {
        for position in positions {
            let ran = place.run(&["orders", "position", "add", "--network", network, position, "--creator", "c1"]);
            assert_eq!((ran.code, ran.out.as_str()), (0, "registered 1\n"), "{ran:?}");
        }
        let file = data(&format!("{network}.json"));
        assert_eq!(counts(&import(network, &file)), (rows, 0, 0), "{network}");
        assert_eq!(counts(&import(network, &file)), (0, rows, 0), "{network}");
    }
    // The same rows as CSV with the same names.
    let text = "\u{feff}id,orderId,validCode,orderTime,modifyTime,skuNum,estimateFee,actualFee\r\n\
                9,4,16,2022-11-01 00:00:00,2022-11-16 00:00:00,2,1.50,1.50\r\n";
    std::fs::write(place.path("jd.csv"), text).unwrap();
    assert_eq!(counts(&import("jd", "jd.csv")), (1, 0, 0));
    std::fs::write(place.path("jd.ndjson"), format!("{}\n", sold(9, 16, "1.50"))).unwrap();
    assert_eq!(counts(&import("jd", "jd.ndjson")), (0, 1, 0));

    let listed = json_of(&place.run(&["orders", "list", "--json"]));
    assert_eq!(listed.as_array().unwrap().len(), 7);
    let shown = json_of(&place.run(&["orders", "show", "--json", "2938471650013345678:2:1"]));
    assert_eq!((&shown[0]["estimated_fen"], &shown[0]["pid"]), (&json!(2_322), &json!("mm_123456_45678_901234")));
    let ran = place.run(&["orders", "list", "--network", "jd", "--state", "settled"]);
    assert!(
        ran.out.contains("2311170002") && ran.out.contains("8.40") && !ran.out.contains("2311170001"),
        "{}",
        ran.out
    );
    let batches = json_of(&place.run(&["orders", "batches", "--json"]));
    assert_eq!(batches.as_array().unwrap().len(), 8);
    assert!(
        batches.as_array().unwrap().iter().all(|batch| batch["ended_at"].is_string() && batch["file_hash"].is_string())
    );
}

#[test]
fn bad_rows_are_set_aside_and_mended_by_a_fixed_file() {
    let place = Place::new("");
    let rows = [
        sold(1, 16, "1.50"),
        sold(2, 16, "1,50"),
        sold(3, 99, "1.50"),
        json!({"id": "4", "validCode": 16, "orderTime": "2199-11-01 00:00:00", "estimateFee": 1}),
        json!({"validCode": 16}),
        json!(["no", "row"]),
        sold(1, 16, "1.60"),
        json!({"id": "5", "validCode": 16, "orderTime": "2022-11-01 00:00:00", "estimateFee": 1, "positionId": 77}),
    ];
    let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    std::fs::write(place.path("bad.ndjson"), format!("{}\n{{\"broken\n", lines.join("\n"))).unwrap();
    let import = |more: &[&str]| place.run(&[&["orders", "import", "--network", "jd"], more].concat());
    let dry = json_of(&import(&["--dry-run", "--json", "bad.ndjson"]));
    assert_eq!((counts(&dry), &dry["batch"]), ((1, 0, 8), &Value::Null));
    assert_eq!(json_of(&place.run(&["orders", "list", "--json"])), json!([]), "a dry run keeps nothing");

    let ran = import(&["bad.ndjson"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    for part in [
        "malformed_amount: estimateFee `1,50`: `1,50` is not an amount",
        "row 3 #",
        "unknown_status: validCode `99`",
        "future_time: orderTime `2199-11-01 00:00:00`",
        "missing_key: id",
        "not_an_object",
        "duplicate_key",
        "estimated 1",
        "unknown_position: position `77`",
        "orders position add --network jd 77 --creator",
        "not_a_row",
    ] {
        assert!(ran.out.contains(part), "`{part}` not in {}", ran.out);
    }
    let again = json_of(&import(&["--json", "bad.ndjson"]));
    let reasons = json!({"malformed_amount": 1, "unknown_status": 1, "future_time": 1, "missing_key": 1, "not_an_object": 1,
        "duplicate_key": 1, "unknown_position": 1, "not_a_row": 1});
    assert_eq!((counts(&again), &again["reasons"]), ((0, 1, 8), &reasons), "the same again");
    let aside = json_of(&place.run(&["orders", "quarantine", "list", "--json"]));
    assert_eq!(aside.as_array().unwrap().len(), 8, "none is there twice");
    assert!(aside.as_array().unwrap().iter().all(|row| row["faults"][0]["problem"].is_string()));

    // The file is mended; the position is given to somebody; what cannot be mended stays.
    let fixed = [sold(2, 16, "1.50"), sold(3, 17, "1.50"), sold(1, 17, "1.60")].map(|row| row.to_string()).join("\n");
    std::fs::write(place.path("good.ndjson"), fixed).unwrap();
    assert_eq!(counts(&json_of(&import(&["--json", "good.ndjson"]))), (3, 0, 0));
    let ran = place.run(&["orders", "position", "add", "--network", "jd", "77", "--creator", "c1"]);
    assert!(ran.out.contains("registered 1\n") && ran.out.contains("read again: 1"), "{ran:?}");
    assert_eq!(json_of(&place.run(&["orders", "show", "--json", "5"])).as_array().unwrap().len(), 1);
    let aside = json_of(&place.run(&["orders", "quarantine", "list", "--json"]));
    let mut left: Vec<&str> = aside.as_array().unwrap().iter().map(|row| row["reason"].as_str().unwrap()).collect();
    left.sort_unstable();
    assert_eq!(left, ["future_time", "missing_key", "not_a_row", "not_an_object"]);
    assert_eq!(json_of(&place.run(&["orders", "quarantine", "retry", "--json"])), json!({"read": 4, "mended": 0}));
    let id = aside[0]["id"].to_string();
    let one = json_of(&place.run(&["orders", "quarantine", "show", "--json", &id]));
    assert_eq!(one["raw"], aside[0]["raw"]);
}

#[test]
fn what_cannot_be_read_at_all_says_so() {
    let place = Place::new("");
    let import = |text: &str| {
        std::fs::write(place.path("file"), text).unwrap();
        place.run(&["orders", "import", "--network", "taobao", "file"])
    };
    for (text, told) in [
        ("", "empty"),
        ("订单编号,付款金额\n1,2\n", "no column `trade_id`"),
        ("[", "line 1"),
        ("{\"error_response\":{\"code\":27,\"msg\":\"Invalid session\"}}", "taobao refused: code 27: Invalid session"),
    ] {
        let ran = import(text);
        assert!(ran.code == 1 && ran.err.contains(told), "{text}: {ran:?}");
    }
    // A list that breaks off: what came before is kept, and it is said.
    let ran = import("[{\"trade_id\":\"1\",\"tk_status\":13,\"tk_create_time\":\"2022-11-01 00:00:00\"},");
    assert!(ran.code == 1 && ran.err.contains("nothing is doubled") && ran.out.contains("added"), "{ran:?}");
    assert_eq!(json_of(&place.run(&["orders", "list", "--json"])).as_array().unwrap().len(), 1);
    let last = json_of(&place.run(&["orders", "batches", "--json"]))[0].clone();
    assert_eq!((&last["ended_at"], &last["added"]), (&Value::Null, &json!(1)), "it is to be imported again");
    for (arguments, told) in [
        (&["--network", "ebay", "file"][..], "use one of taobao, jd, pinduoduo, direct"),
        (&["--network", "jd", "--account", "a b", "file"], "--account"),
    ] {
        let ran = place.run(&[&["orders", "import"], arguments].concat());
        assert!(ran.code == 2 && ran.err.contains(told), "{ran:?}");
    }
    let ran = place.run(&["orders", "import", "--network", "jd", "missing.json"]);
    assert!(ran.code == 1 && ran.err.contains("missing.json"), "{ran:?}");
    let give = |more: &[&str]| place.run(&[&["orders", "position", "add", "--network", "jd", "1_2_3"], more].concat());
    assert_eq!(give(&["--creator", "li"]).code, 0);
    let ran = give(&["--creator", "wang"]);
    assert!(ran.code == 1 && ran.err.contains("creator li has it already") && ran.err.contains("--shared"), "{ran:?}");
    let ran = give(&["--creator", "wang", "--shared"]);
    assert!(ran.code == 0 && ran.out.contains("registered 1\n") && ran.out.contains("is creator li's too"), "{ran:?}");
    let ran = place.run(&["orders", "position", "add", "--network", "jd", "a b", "--creator", "c"]);
    assert!(ran.code == 2 && ran.err.contains("--position"), "{ran:?}");
}

#[test]
fn links_tell_whose_their_pid_is_and_release_what_waited() {
    let place = Place::new("");
    let row = json!({"trade_id": "1", "tk_status": 12, "tk_create_time": "2022-11-01 00:00:00", "pub_share_pre_fee": "1.00",
        "pub_id": 1, "site_id": 22, "adzone_id": 333});
    std::fs::write(place.path("rows.ndjson"), row.to_string()).unwrap();
    let import = || json_of(&place.run(&["orders", "import", "--network", "taobao", "--json", "rows.ndjson"]));
    assert_eq!(counts(&import()), (0, 0, 1));
    let url = "https://uland.taobao.com/coupon/edetail?activityId=a&itemId=41879347901&pid=mm_1_22_333";
    let ran = place.run(&["link", "create", "--url", url, "--creator", "li", "--slug", "lis-link", "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(counts(&import()), (0, 1, 0), "it was released before");
    let told = json_of(&place.run(&["orders", "position", "list", "--json"]));
    let wanted = |position: &str, kind: &str| json!({"network": "taobao", "position": position, "kind": kind, "creator": "li", "from_link": "lis-link"});
    assert_eq!(told, json!([wanted("333", "position"), wanted("mm_1_22_333", "pid")]));
    assert_eq!(json_of(&place.run(&["orders", "quarantine", "list", "--json"])), json!([]));
    let ran = place.run(&["orders", "position", "remove", "--network", "taobao", "333"]);
    assert!(ran.code == 1 && ran.err.contains("is not registered"), "{ran:?}");

    std::fs::write(
        place.path("positions.csv"),
        "network,position,kind,creator,code\njd,1_2_3,,c1,\njd,9,relation,,lis-link\n",
    )
    .unwrap();
    let ran = place.run(&["orders", "position", "import", "positions.csv"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "registered 2\n"), "{ran:?}");
    std::fs::write(
        place.path("positions.ndjson"),
        "{\"network\":\"jd\",\"position\":\"8\",\"creator\":\"c\"}\n{\"network\":\"x\"}\n",
    )
    .unwrap();
    let ran = place.run(&["orders", "position", "import", "positions.ndjson"]);
    assert!(
        ran.code == 1 && ran.err.contains("line 2: network") && ran.err.contains("nothing was registered"),
        "{ran:?}"
    );
}

/// A running gateway releases by itself what waited, counts what other processes import, and takes rows over HTTP.
#[test]
fn a_running_gateway_takes_rows_releases_and_counts() {
    let place = Place::new("");
    let served = place.serve(&[]);
    let admin = std::fs::read_to_string(place.path("data/admin.key")).unwrap();
    let call = |method: &str, path: &str, body: &str| -> (u16, Value) {
        let mut stream = std::net::TcpStream::connect(served.control).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\nContent-Length: {length}\r\n\r\n{body}",
            admin.trim()
        )
        .unwrap();
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap_or_default())
    };
    let row = json!({"line": "o1", "state": "paid", "created_at": "2022-11-01", "estimated": "5.00", "pid": "p1"});
    let (status, told) = call(
        "POST",
        "/v1/orders",
        &format!("{row}\n{}\n", json!({"line": "o2", "state": "invalid", "created_at": "2022-11-01"})),
    );
    assert_eq!((status, counts(&told)), (200, (1, 0, 1)), "{told}");
    assert_eq!(
        (&told["results"][0]["reason"], &told["results"][1]["result"]),
        (&json!("unknown_position"), &json!("added"))
    );
    eventually("what is set aside is counted", || {
        served.metric("hopgate_orders_quarantined{reason=\"unknown_position\"}") == 1.0
    });
    // Another process says whose it is.
    let ran = place.run(&["orders", "position", "add", "--network", "direct", "--kind", "pid", "p1", "--creator", "c"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    eventually("it is taken in", || served.metric("hopgate_orders_quarantined{reason=\"unknown_position\"}") == 0.0);
    let (status, line) = call("GET", "/v1/orders/direct/o1", "");
    assert_eq!(
        (status, &line["estimated_fen"], line["events"].as_array().unwrap().len()),
        (200, &json!(500), 1),
        "{line}"
    );
    std::fs::write(place.path("jd.ndjson"), sold(1, 16, "1.50").to_string()).unwrap();
    assert_eq!(place.run(&["orders", "import", "--network", "jd", "jd.ndjson"]).code, 0);
    eventually("what others import is counted", || {
        served.metric("hopgate_orders_imported_total{network=\"jd\",result=\"added\"}") == 1.0
    });
    assert_eq!(served.stop(), Some(0));
}

/// SIGKILL while rows are taken, several times, then one import to the end: nothing is lost, nothing is there twice.
#[test]
fn a_killed_import_is_completed_by_the_next() {
    const ROWS: u64 = 6_000;
    let place = Place::new("");
    let mut text = String::new();
    for id in 0..ROWS {
        text.push_str(
            &sold(id / 2, if id % 2 == 0 { 16 } else { 17 }, if id % 50 == 7 { "x" } else { "1.25" }).to_string(),
        );
        text.push('\n');
    }
    std::fs::write(place.path("rows.ndjson"), text).unwrap();
    let mut dice = Dice(42);
    let mut killed = 0;
    for _ in 0..6 {
        let mut child = place
            .command(&["orders", "import", "--network", "jd", "rows.ndjson"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_millis(50 + dice.roll(600));
        // Ends by itself, or is killed at an instant nobody chose.
        while Instant::now() < until && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        killed += u32::from(child.try_wait().unwrap().is_none());
        drop(child.kill());
        child.wait().unwrap();
    }
    assert!(killed > 0, "no kill met an import: give it more rows");
    let told = json_of(&place.run(&["orders", "import", "--network", "jd", "--json", "rows.ndjson"]));
    let bad = ROWS / 50;
    assert_eq!(told["quarantined"], json!(bad));
    assert_eq!(counts(&told).0 + counts(&told).1, ROWS - bad);
    let store = SqliteOrderStore::open(&place.path("data/orders.sqlite"), ClickKey::new(&[0; 16])).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let events = runtime.block_on(store.after(0, usize::MAX)).unwrap();
    assert_eq!(events.len() as u64, ROWS - bad);
    assert_eq!(
        events
            .iter()
            .map(|event| (event.line.key.clone(), event.hash))
            .collect::<std::collections::BTreeSet<_>>()
            .len(),
        events.len()
    );
    let aside = runtime.block_on(store.quarantined(&QuarantineQuery::default(), usize::MAX)).unwrap();
    // A line whose later report is good has taken the place of its bad earlier one.
    assert!(aside.iter().all(|row| row.seen >= 1) && aside.len() as u64 <= bad);
}

/// What a store holds: the reports of each line in the order of its life, and the rows that are set aside.
type Held = (BTreeMap<String, Vec<([u8; 32], String)>>, Vec<String>);

fn held(rows: &[(u8, Value)], batches: &[Vec<usize>]) -> Held {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteOrderStore::open(&folder.path().join("o.sqlite"), ClickKey::new(&[7; 16])).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        for batch in batches {
            let source = Source {
                network: Network::Jd,
                account: "default".into(),
                scene: None,
                name: "t".to_owned(),
                dry: false,
            };
            let mut taker = Taker::begin(&store, source, "2023-01-01".parse().unwrap()).await.unwrap();
            for place in batch {
                taker.push(&rows[*place].1);
            }
            taker.finish(None).await.unwrap();
        }
        let mut lines = BTreeMap::<String, Vec<_>>::new();
        for event in store.after(0, usize::MAX).await.unwrap() {
            let events = store.of_line(&event.line.key).await.unwrap();
            let youngest = store.lines(&Default::default(), usize::MAX).await.unwrap();
            let stands = youngest.into_iter().find(|(_, line)| line.key == event.line.key).unwrap().1;
            assert_eq!(stands, events.last().unwrap().line, "a line stands as its youngest report says");
            let told = events.into_iter().map(|event| (event.hash, format!("{:?}", event.line))).collect();
            lines.insert(event.line.key.line.into(), told);
        }
        let mut aside: Vec<String> = store
            .quarantined(&QuarantineQuery::default(), usize::MAX)
            .await
            .unwrap()
            .into_iter()
            .map(|row| format!("{} {}", row.reason, row.raw))
            .collect();
        aside.sort();
        (lines, aside)
    })
}

fn reports() -> impl Strategy<Value = Vec<(u8, Value)>> {
    let code = prop_oneof![Just(15u64), Just(16), Just(17), Just(3), Just(2), Just(77)];
    let fee = prop_oneof![Just("1.00"), Just("2.00"), Just("1,0")];
    let row = (0..4u64, code, fee, 1..4u32).prop_map(|(id, code, fee, day)| {
        let mut row = sold(id, code, fee);
        row["modifyTime"] = json!(format!("2022-11-{day:02} 00:00:00"));
        (0, row)
    });
    proptest::collection::vec(row, 1..14)
}

proptest! {
    #![proptest_config(Config { cases: 40, ..Config::default() })]

    #[test]
    fn twice_shuffled_and_split_is_the_same(rows in reports(), seed in any::<u64>(), cuts in 1..5usize) {
        let straight = held(&rows, &[(0..rows.len()).collect()]);
        // Every row twice, in any order, cut into batches anywhere.
        let mut places: Vec<usize> = (0..rows.len()).chain(0..rows.len()).collect();
        let mut dice = Dice(seed | 1);
        for place in (1..places.len()).rev() {
            places.swap(place, dice.roll(place as u64 + 1) as usize);
        }
        let batches: Vec<Vec<usize>> = places.chunks(places.len().div_ceil(cuts)).map(<[usize]>::to_vec).collect();
        let shuffled = held(&rows, &batches);
        prop_assert_eq!(straight.0, shuffled.0);
        prop_assert_eq!(straight.1, shuffled.1);
    }
}
