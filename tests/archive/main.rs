//! The archive as its users meet it: Parquet that other programs read, hops that are read on when their segments are gone,
//! purges that prove what they erased, and kills anywhere in between.
//!
//! `HOPGATE_DUCKDB` names a Python with the `duckdb` package (`test.sh` makes one); `HOPGATE_KILL_ROUNDS` the kills.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod erased;
mod privacy;
#[path = "../support/mod.rs"]
mod support;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use support::{Client, Dice, JD, KUAISHOU_AGENT, Place, Served, eventually};

const LINKS: u64 = 8;
/// Small segments, and no reserve to speak of.
const SMALL: &str = "[journal]\nsegment_bytes = 65536\ndeadline = \"10s\"\n[archive]\nreserve = \"1s\"\n";

/// Links `link0` and so on: every other one of another creator, the last two where no agreement is.
fn import(place: &Place) {
    let lines: String = (0..LINKS)
        .map(|number| {
            let platform = if number < LINKS - 2 { "kuaishou" } else { "douyin" };
            format!(
                "{{\"url\":\"{JD}\",\"platform\":\"{platform}\",\"surface\":\"live_cart\",\
                 \"creator\":\"creator-{}\",\"code\":\"link{number}\"}}\n",
                number % 2
            )
        })
        .collect();
    std::fs::write(place.path("links.ndjson"), lines).unwrap();
    assert_eq!(place.run(&["link", "import", "links.ndjson"]).code, 0);
}

/// Clicks as different visitors, one in ten a crawler; the ids that were given.
fn click(server: &Served, count: u64, dice: &mut Dice) -> Vec<String> {
    let mut client = Client::connect(server.click);
    (0..count)
        .map(|_| {
            let agent = match dice.roll(10) {
                0 => "Googlebot/2.1".to_owned(),
                other => format!("{KUAISHOU_AGENT} v/{other}"),
            };
            let answer = client.ask("GET", &format!("/link{}?cid=7", dice.roll(LINKS)), &[("User-Agent", &agent)]);
            assert!(matches!(answer.status, 302 | 403), "{answer:?}");
            answer.header("hop-id").to_owned()
        })
        .collect()
}

/// Every hop as the export gives it.
fn exported(place: &Place, more: &[&str]) -> Vec<Value> {
    let ran = place.run(&[&["hops", "export"], more, &["-"]].concat());
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{more:?}");
    ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn names(folder: &Path, ending: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(ending)).collect();
    names.sort();
    names
}

/// Archives what is finished and removes what may go, until one segment is left.
fn archive_all(place: &Place) {
    eventually("all but one segment are archived and removed", || {
        let ran = place.run(&["archive", "run"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        names(&place.path("data/journal"), ".hop").len() == 1
    });
}

#[test]
fn other_programs_read_the_same_hops_from_parquet() {
    let place = Place::new(SMALL);
    import(&place);
    let server = place.serve(&[]);
    let told = click(&server, 2_500, &mut Dice(7));
    assert_eq!(server.stop(), Some(0));
    archive_all(&place);
    let files = names(&place.path("data/archive"), ".parquet");
    assert!(files.len() >= 4, "{files:?}");
    let listed: Value = serde_json::from_str(&place.run(&["archive", "list", "--json"]).out).unwrap();
    let last = listed.as_array().unwrap().iter().map(|file| file["last_seq"].as_u64().unwrap()).max().unwrap();

    let hops = exported(&place, &[]);
    assert_eq!(hops.len(), told.len());
    let ran = place.run(&["hops", "export", "--format", "parquet", "--creator", "creator-1", "one.parquet"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let of_one = exported(&place, &["--creator", "creator-1"]);
    assert!(of_one.iter().all(|hop| hop["creator"] == "creator-1") && of_one.len() > 1_000);
    let of_code = exported(&place, &["--creator", "creator-1", "--code", "link3"]);
    assert_eq!(of_code.len(), of_one.iter().filter(|hop| hop["code"] == "link3").count());

    let Ok(python) = std::env::var("HOPGATE_DUCKDB") else {
        eprintln!(
            "SKIPPED, NOT SHOWN: HOPGATE_DUCKDB is not set, so no DuckDB has read the Parquet files (./test.sh sets it)"
        );
        return;
    };
    let ran = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/archive/read.py"))
        .args([place.path("data/archive/*.parquet"), place.path("one.parquet")])
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let read: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let archived: Vec<&Value> = hops.iter().filter(|hop| hop["seq"].as_u64().unwrap() <= last).collect();
    assert_eq!(read["rows"], archived.len());
    assert_eq!(read["one"], of_one.len());
    assert_eq!(read["seqs"], archived.iter().map(|hop| hop["seq"].as_u64().unwrap()).sum::<u64>());
    let mut groups: BTreeMap<String, u64> = BTreeMap::new();
    for hop in &archived {
        let text = |name: &str| hop[name].as_str().unwrap_or("-").to_owned();
        *groups.entry([text("outcome"), text("reason"), text("creator"), text("os")].join("|")).or_default() += 1;
    }
    assert!(groups.len() > 3, "{groups:?}");
    assert_eq!(read["groups"], serde_json::to_value(&groups).unwrap());
    let visitors: HashSet<&Value> = archived.iter().map(|hop| &hop["visitor"]).collect();
    assert_eq!(read["visitors"], visitors.len());
    let bots = archived.iter().filter(|hop| hop["flags"].as_array().unwrap().contains(&"bot".into())).count();
    assert_eq!((&read["bots"], bots > 100), (&Value::from(bots), true));
    let instant =
        |hop: &Value| hop["time"].as_str().unwrap().parse::<hopgate::domain::time::Timestamp>().unwrap().micros();
    assert_eq!(read["first"], instant(archived[0]));
    assert_eq!(read["time_type"], "TIMESTAMP WITH TIME ZONE");
    // Every field of every hop, as text.
    let rows: BTreeMap<String, Value> = serde_json::from_value(read["all"].clone()).unwrap();
    for hop in archived.iter().step_by(97) {
        let row = &rows[hop["click_id"].as_str().unwrap()];
        for name in hopgate::journal::export::FIELDS {
            match name {
                "time" => assert_eq!(row[name], instant(hop)),
                "flags" => {
                    let flags: Vec<&str> =
                        hop[name].as_array().unwrap().iter().map(|flag| flag.as_str().unwrap()).collect();
                    assert_eq!(row[name], flags.join("|"));
                }
                "tried" => assert_eq!(row[name], Value::Null),
                _ => assert_eq!(row[name], hop[name], "{name} of {hop}"),
            }
        }
    }
}

#[test]
fn a_gateway_archives_by_itself_and_reads_on_when_segments_are_gone() {
    let place = Place::new(SMALL);
    import(&place);
    let server = place.serve(&[]);
    let mut told = click(&server, 2_500, &mut Dice(3));
    eventually("finished segments are archived and removed", || server.metric("hopgate_archive_removed_total") >= 3.0);
    assert!(server.metric("hopgate_archive_segments_total") >= 3.0);
    assert!(server.metric("hopgate_archive_bytes_total") > 1_000.0);
    assert_eq!(
        (server.metric("hopgate_archive_failures_total"), server.metric("hopgate_archive_lag_seconds")),
        (0.0, 0.0)
    );
    assert!(!names(&place.path("data/journal"), ".hop").contains(&format!("{:020}.hop", 1)));

    // The first hop is in the archive alone; the API tells it as the export does.
    let key = std::fs::read_to_string(place.path("data/admin.key")).unwrap();
    let bearer = format!("Bearer {}", key.trim());
    let ask = |id: &str| {
        let answer =
            Client::connect(server.control).ask("GET", &format!("/v1/hops/{id}"), &[("Authorization", &bearer)]);
        assert_eq!(answer.status, 200, "{answer:?}");
        let mut hop = serde_json::from_str::<Value>(&answer.body).unwrap();
        // What orders made of it is no field of an export.
        assert_eq!(hop.as_object_mut().unwrap().remove("orders"), Some(serde_json::json!([])));
        hop
    };
    told.extend(click(&server, 100, &mut Dice(4)));
    let hops = exported(&place, &[]);
    assert_eq!(hops.iter().map(|hop| hop["click_id"].as_str().unwrap()).collect::<Vec<_>>(), told);
    for number in [0, 700, told.len() - 1] {
        assert_eq!(ask(&told[number]), hops[number]);
    }
    let verified = place.run(&["hops", "verify", "--json"]);
    let found: Value = serde_json::from_str(&verified.out).unwrap();
    assert_eq!((verified.code, found["hops"].as_u64()), (0, Some(told.len() as u64)), "{verified:?}");
    let backtest = place.run(&["policy", "backtest", "--policies", "policies", "--json"]);
    let report: Value = serde_json::from_str(&backtest.out).unwrap();
    assert_eq!(report["hops"], told.len(), "{backtest:?}");
    let middle = hops[800]["time"].as_str().unwrap();
    assert_eq!(exported(&place, &["--to", middle]).len(), 800);
    assert_eq!(exported(&place, &["--from", middle]).len(), told.len() - 800);
    assert_eq!(server.stop(), Some(0));

    // It starts, numbers on, and nothing is there twice.
    let server = place.serve(&[]);
    told.extend(click(&server, 50, &mut Dice(5)));
    assert_eq!(server.stop(), Some(0));
    assert_eq!(exported(&place, &[]).len(), told.len());
    // A file that is gone is said, never left out.
    let files = names(&place.path("data/archive"), ".parquet");
    std::fs::remove_file(place.path("data/archive").join(&files[1])).unwrap();
    let ran = place.run(&["hops", "export", "-"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("neither in the archive nor in the journal"), "{ran:?}");
    let ran = place.run(&["hops", "verify"]);
    assert_eq!(ran.code, 1, "{ran:?}");
}

#[test]
fn kills_while_archiving_removing_and_purging_lose_and_double_nothing() {
    let rounds = std::env::var("HOPGATE_KILL_ROUNDS").map_or(8, |text| text.parse().unwrap());
    let seed = std::env::var("HOPGATE_SEED").map_or(11, |text| text.parse().unwrap());
    println!("HOPGATE_SEED={seed}");
    let mut dice = Dice(seed);
    let place = Place::new(SMALL);
    import(&place);
    let mut told = Vec::new();
    let mut interrupted = 0;
    for round in 0..rounds {
        let mut server = place.serve(&[]);
        told.extend(click(&server, 250 + dice.roll(400), &mut dice));
        // The gateway archives on its own thread; here and there it is killed in the middle of that.
        std::thread::sleep(Duration::from_millis(dice.roll(30)));
        server.kill();
        // As if the reserve had passed.
        for name in names(&place.path("data/journal"), ".hop") {
            let file = std::fs::File::options().write(true).open(place.path("data/journal").join(name)).unwrap();
            file.set_modified(std::time::SystemTime::now() - Duration::from_secs(60)).unwrap();
        }
        for _ in 0..3 {
            let work: &[&str] = if dice.roll(2) == 0 { &["archive", "run"] } else { &["purge", "--older-than", "1s"] };
            let mut keeper = place.command(work).stdout(Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_micros(dice.roll(60_000)));
            drop(keeper.kill());
            interrupted += usize::from(!keeper.wait().unwrap().success());
        }
        let hops = exported(&place, &[]);
        let ids: Vec<&str> = hops.iter().map(|hop| hop["click_id"].as_str().unwrap()).collect();
        let once: HashSet<&str> = ids.iter().copied().collect();
        assert_eq!(once.len(), ids.len(), "round {round}: a hop is there twice");
        assert!(told.iter().all(|id| once.contains(id.as_str())), "round {round}: a hop is gone");
        let seqs: Vec<u64> = hops.iter().map(|hop| hop["seq"].as_u64().unwrap()).collect();
        assert!(seqs.is_sorted(), "round {round}");
    }
    archive_all(&place);
    assert!(names(&place.path("data/archive"), ".part").is_empty());
    // A purge that was killed is finished by the next.
    eventually("everything is older than a second", || {
        assert_eq!(place.run(&["purge", "--older-than", "1s"]).code, 0);
        exported(&place, &[]).iter().all(|hop| hop["visitor"].is_null() && hop["address"].is_null())
    });
    assert_eq!(place.run(&["hops", "verify"]).code, 0);
    println!("{rounds} kills of gateways, {interrupted} of keepers, {} clicks", told.len());
    assert!(interrupted > 0, "no keeper was killed in the middle");
}
