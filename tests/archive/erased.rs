//! What a purge leaves in the figures: nothing of a visitor, in no file, and the figures as they were.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::support::{Client, Dice, KUAISHOU_AGENT, Place, eventually};
use super::{SMALL, click, exported, import};

/// The visitors of hops, as the bytes stores keep.
fn visitors(hops: &[Value]) -> BTreeSet<[u8; 16]> {
    let hashes = hops.iter().filter_map(|hop| hop["visitor"].as_str());
    hashes.map(|text| u128::from_str_radix(text, 16).unwrap().to_be_bytes()).collect()
}

/// Files below a folder that hold any of these, in either order of bytes or as text, with how many.
fn holding(folder: &Path, hashes: &BTreeSet<[u8; 16]>) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, hashes));
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        // Most places are ruled out by their first byte or their last.
        let ends: BTreeSet<u8> = hashes.iter().flat_map(|hash| [hash[0], hash[15]]).collect();
        let mut may = [false; 256];
        ends.iter().for_each(|end| may[usize::from(*end)] = true);
        let held: BTreeSet<&[u8]> = bytes
            .windows(16)
            .filter(|window| may[usize::from(window[0])] && may[usize::from(window[15])])
            .filter(|window| {
                let mut turned: [u8; 16] = (*window).try_into().unwrap();
                turned.reverse();
                hashes.contains(*window) || hashes.contains(&turned)
            })
            .collect();
        if !held.is_empty() {
            found.push((path.display().to_string(), held.len()));
        }
    }
    found
}

fn purge(place: &Place, more: &[&str]) -> (i32, Value) {
    let ran = place.run(&[&["purge", "--json"], more].concat());
    (ran.code, serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}")))
}

fn rows(record: &Value, table: &str) -> u64 {
    let stores = record["stores"].as_array().unwrap();
    stores.iter().filter(|store| store["table"] == table).map(|store| store["rows"].as_u64().unwrap()).sum()
}

/// The report by link, and its notes.
fn links(place: &Place, more: &[&str]) -> (Value, String) {
    let ran = place.run(&[&["report", "links", "--by", "code", "--format", "json"], more].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    (report["total"].clone(), report["notes"].to_string())
}

#[test]
fn a_purge_of_today_leaves_no_visitor_in_any_file_and_figures_stay() {
    let place = Place::new(SMALL);
    import(&place);
    let server = place.serve(&[]);
    let key = place.run(&["key", "create", "--role", "creator", "--scope", "creator-0"]).out;
    let key = key.split_whitespace().find(|word| word.starts_with("hg")).unwrap_or(key.trim()).to_owned();
    let agent = format!("{KUAISHOU_AGENT} v/7");
    let bearer = format!("Bearer {key}");
    let headers = [("Authorization", bearer.as_str()), ("User-Agent", agent.as_str())];
    assert_eq!(Client::connect(server.control).ask("GET", "/v1/links/link0", &headers).status, 200);
    click(&server, 900, &mut Dice(3));
    assert_eq!(server.stop(), Some(0));
    assert_eq!(place.run(&["stats", "follow"]).code, 0);

    let hops = exported(&place, &[]);
    let hashes = visitors(&hops);
    assert!(hashes.len() >= 9, "{}", hashes.len());
    let held = holding(&place.path("data"), &hashes);
    assert!(held.iter().any(|(file, _)| file.contains("stats.sqlite")), "{held:?}");
    let (before, notes) = links(&place, &[]);
    assert!(before["duplicates"].as_u64().unwrap() > 0 && before["self_clicks"].as_u64().unwrap() > 0, "{before}");
    assert!(before["visitors"].as_u64().unwrap() > 0 && !notes.contains("no visitor"), "{before} {notes}");

    // One creator's: others keep theirs. Then all of it.
    let last = hops.last().unwrap()["time"].as_str().unwrap().parse::<hopgate::domain::time::Timestamp>().unwrap();
    eventually("the last click is two seconds old", || {
        last.plus_micros(2_000_000) < hopgate::clock::Clock::System.now()
    });
    let (code, dry) = purge(&place, &["--older-than", "1s", "--creator", "creator-0", "--dry-run"]);
    // All but the crawler.
    assert_eq!((code, rows(&dry, "visitors")), (0, hashes.len() as u64 - 1), "{dry}");
    let (code, record) = purge(&place, &["--older-than", "1s", "--creator", "creator-0"]);
    assert_eq!((code, &record["found_after"]), (0, &Value::from(0)), "{record}");
    assert!(rows(&record, "visitors") > 0 && rows(&record, "creators seen") == 1, "{record}");
    assert_eq!(visitors(&exported(&place, &["--creator", "creator-0"])).len(), 0);
    assert!(!visitors(&exported(&place, &["--creator", "creator-1"])).is_empty());
    let (code, record) = purge(&place, &["--older-than", "1s"]);
    assert_eq!((code, &record["found_after"]), (0, &Value::from(0)), "{record}");
    assert!(rows(&record, "visitors") > 0, "{record}");
    assert_eq!(holding(&place.path("data"), &hashes), []);
    let (code, record) = purge(&place, &["--older-than", "1s"]);
    assert_eq!((code, rows(&record, "visitors")), (0, 0), "{record}");

    // Figures stay, also when they are made anew; other rules say what they cannot tell.
    assert_eq!(links(&place, &[]).0, before);
    let ran = place.run(&["stats", "rebuild"]);
    assert!(ran.code == 0 && ran.out.contains("1 day(s) from") && ran.out.contains("kept the figures"), "{ran:?}");
    assert_eq!(links(&place, &[]).0, before);
    assert_eq!(holding(&place.path("data"), &hashes), []);
    place.settings(&format!("{SMALL}[attribution.validity]\nduplicate_within = \"1s\"\n"));
    assert_eq!(place.run(&["stats", "rebuild"]).code, 0);
    let (total, notes) = links(&place, &[]);
    assert!(total == before && notes.contains("1 days keep figures by earlier rules"), "{total} {notes}");
    place.settings(SMALL);
    std::fs::write(place.path("usual.toml"), "duplicate_within = \"30s\"\n").unwrap();
    let (total, notes) = links(&place, &["--rules", "usual.toml"]);
    let people = total["people"].as_u64().unwrap();
    assert!(people > before["people"].as_u64().unwrap() && total["visitors"].is_null(), "{total}");
    assert!(notes.contains("have no visitor, erased or never known"), "{notes}");
    assert_eq!(total["without_visitor"], total["clicks"], "{total}");
    let text = place.run(&["report", "links", "--rules", "usual.toml"]).out;
    assert!(text.contains("没有访客标识"), "{text}");

    // A file that is counted for the first time has nothing to keep, and says so as well.
    for file in ["stats.sqlite", "stats.sqlite-wal", "stats.sqlite-shm"] {
        drop(std::fs::remove_file(place.path("data").join(file)));
    }
    assert_eq!(place.run(&["stats", "follow"]).code, 0);
    let (total, notes) = links(&place, &[]);
    assert!(total["visitors"].is_null() && notes.contains("have no visitor"), "{total} {notes}");
}

#[test]
fn what_a_killed_rebuild_left_goes_unless_one_is_under_way() {
    let place = Place::new(SMALL);
    import(&place);
    let server = place.serve(&[]);
    click(&server, 60, &mut Dice(5));
    assert_eq!(server.stop(), Some(0));
    assert_eq!(place.run(&["stats", "follow"]).code, 0);
    let hashes = visitors(&exported(&place, &[]));
    let left = place.path("data/stats.sqlite.stats.new");
    let leave = || {
        std::fs::copy(place.path("data/stats.sqlite"), &left).unwrap();
        std::fs::write(place.path("data/stats.sqlite.stats.new-wal"), hashes.first().unwrap()).unwrap();
    };
    leave();
    let held = holding(&place.path("data"), &hashes);
    assert!(held.iter().any(|(file, _)| file.contains(".stats.new")), "{held:?}");
    assert_eq!(place.run(&["stats", "follow"]).code, 0);
    assert!(!left.exists() && !place.path("data/stats.sqlite.stats.new-wal").exists());

    leave();
    let server = place.serve(&[]);
    assert!(!left.exists(), "at the start of a gateway");
    assert_eq!(server.stop(), Some(0));

    // One that is under way holds the lock: nobody touches its file, and nothing is purged beside it.
    leave();
    let lock = std::fs::File::create(place.path("data/stats.sqlite.rebuild.lock")).unwrap();
    lock.lock().unwrap();
    assert_eq!(place.run(&["stats", "follow"]).code, 0);
    assert!(left.exists());
    for command in [&["stats", "rebuild"][..], &["purge"]] {
        let ran = place.run(command);
        assert!(ran.code == 1 && ran.err.contains("rebuild") && ran.err.contains("purge"), "{ran:?}");
    }
    drop(lock);
    eventually("the last click is a second old", || {
        assert_eq!(place.run(&["purge", "--older-than", "1s"]).code, 0);
        holding(&place.path("data"), &hashes).is_empty()
    });
    assert!(!left.exists());
}

#[test]
fn an_export_of_nothing_is_refused_or_says_so() {
    let place = Place::new(SMALL);
    import(&place);
    let server = place.serve(&[]);
    click(&server, 3, &mut Dice(5));
    assert_eq!(server.stop(), Some(0));
    let export = |arguments: &[&str]| place.run(&[&["hops", "export"], arguments, &["out.ndjson"]].concat());
    let ran = export(&["--from", "2026-11-23", "--to", "2026-11-22", "--code", "", "--creator", ""]);
    assert_eq!(ran.code, 2, "{ran:?}");
    for wanted in ["--to: 2026-11-22", "must be later than --from", "--code: may not be empty", "--creator: may not be"]
    {
        assert!(ran.err.contains(wanted), "{wanted}: {}", ran.err);
    }
    assert_eq!(export(&["--from", "2026-11-22", "--to", "2026-11-22"]).code, 2);
    assert!(!place.path("out.ndjson").exists());
    for (arguments, wanted) in [
        (&["--code", "nope"][..], "0 hops: none has the code `nope`"),
        (&["--creator", "nobody"], "0 hops: none has the creator `nobody`"),
        (&["--to", "2001-01-01"], "0 hops: none was recorded in this time"),
    ] {
        let ran = export(arguments);
        assert!(ran.code == 0 && ran.err.contains(wanted), "{wanted}: {ran:?}");
        assert_eq!(std::fs::read(place.path("out.ndjson")).unwrap(), b"");
        std::fs::remove_file(place.path("out.ndjson")).unwrap();
    }
    let ran = export(&[]);
    assert!(ran.code == 0 && ran.err.contains("3 hops exported") && !ran.err.contains("0 hops"), "{ran:?}");
    assert_eq!(place.run(&["purge", "--creator", ""]).code, 2, "that would not be nobody's");
}
