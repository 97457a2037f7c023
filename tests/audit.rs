//! `hops verify`: a record that is true is proved, and any byte of a decision that was changed is found. The journal is
//! one the generator of the load tests made: real decisions under two policy versions, some links with alternates.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "../load-tests/tools/hops/mod.rs"]
mod hops;
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use hopgate::journal::wire;
use hops::{Recipe, USUAL_FROM, generate};
use serde_json::Value;
use support::{Client, JD, KUAISHOU_AGENT, Place, Ran, at, eventually, shipped};
use tempfile::TempDir;

/// Hops of the whole proof, and of the folder whose copies are tampered with.
const MANY: u64 = 200_000;
const HOPS: u64 = 20_000;

fn make(data: &Path, hops: u64) {
    generate(&Recipe { data: data.to_owned(), policies: shipped(), hops, seed: 7, from: at(USUAL_FROM) }, |_| {});
}

/// A place whose data folder is a copy of one generated for all tests here.
fn place() -> Place {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        make(&folder.path().join("data"), HOPS);
        folder
    });
    let place = Place::new("");
    copy(&made.path().join("data"), &place.path("data"));
    place
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

fn verify(place: &Place, more: &[&str]) -> (Ran, Value) {
    let ran = place.run(&[&["hops", "verify", "--json"], more].concat());
    let found = serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    (ran, found)
}

fn segment(place: &Place) -> PathBuf {
    let mut files: Vec<PathBuf> = fs::read_dir(place.path("data/journal"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "hop"))
        .collect();
    files.sort();
    files.swap_remove(0)
}

/// Where in a segment the frame of the `n`-th hop that `wanted` takes begins, with its length.
fn frame(bytes: &[u8], n: usize, wanted: impl Fn(&hopgate::domain::hop::Hop<'_>) -> bool) -> (usize, usize) {
    let (mut at, mut left) = (100, n);
    loop {
        let len = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize + 8;
        let is_hop = bytes[at + 16] == 0;
        if is_hop && wanted(&wire::decode(bytes[at + 17], &bytes[at + 18..at + len]).unwrap()) {
            if left == 0 {
                return (at, len);
            }
            left -= 1;
        }
        at += len;
    }
}

/// Changes one byte of a frame's body, its sum with it if asked to.
fn change(
    place: &Place,
    n: usize,
    wanted: impl Fn(&hopgate::domain::hop::Hop<'_>) -> bool,
    byte: impl Fn(&mut [u8]),
    mend: bool,
) -> u64 {
    let path = segment(place);
    let mut bytes = fs::read(&path).unwrap();
    let (at, len) = frame(&bytes, n, wanted);
    byte(&mut bytes[at + 18..at + len]);
    if mend {
        let sum = crc32c::crc32c(&bytes[at + 8..at + len]);
        bytes[at + 4..at + 8].copy_from_slice(&sum.to_le_bytes());
    }
    let seq = u64::from_le_bytes(bytes[at + 8..at + 16].try_into().unwrap());
    fs::write(&path, bytes).unwrap();
    seq
}

#[test]
fn a_true_record_is_proved_whole() {
    let place = Place::new("");
    make(&place.path("data"), MANY);
    let (ran, found) = verify(&place, &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!((&found["equal"], &found["hops"], &found["differences"]), (&true.into(), &MANY.into(), &0.into()));
    let versions = found["versions"].as_array().unwrap();
    assert_eq!(versions.iter().map(|seen| seen["hops"].as_u64().unwrap()).collect::<Vec<_>>(), [MANY / 2, MANY / 2]);
    let count = |field: &str| found[field].as_u64().unwrap();
    assert_eq!(count("judged") + count("link_disabled") + count("link_expired"), MANY);
    assert!(count("link_disabled") > 0 && count("link_expired") > 0 && count("chunks") >= MANY / 1_000, "{found}");

    let text = place.run(&["hops", "verify"]);
    assert!(text.out.starts_with("all equal: 200,000 hops"), "{text:?}");
    // A part of the day: the second version alone, and nothing at all.
    let (_, evening) = verify(&place, &["--from", "2022-11-30 22:00:00", "--to", "2022-11-30 23:00:00"]);
    assert_eq!((evening["versions"].as_array().unwrap().len(), &evening["equal"]), (1, &true.into()), "{evening}");
    assert!((8_332..=8_334).contains(&evening["hops"].as_u64().unwrap()), "{evening}");
    let none = place.run(&["hops", "verify", "--from", "2030-01-01"]);
    assert_eq!(none.code, 1);
    assert!(none.err.contains("no hops were recorded from 2030-01-01"), "{none:?}");
    assert_eq!(place.run(&["hops", "verify", "--from", "2022-12-01", "--to", "2022-11-01"]).code, 2);
}

#[test]
fn one_changed_byte_of_a_decision_is_found_though_its_sum_fits() {
    // What is changed, in which hop, and the field that is named.
    type Case = (&'static str, fn(&hopgate::domain::hop::Hop<'_>) -> bool, fn(&mut [u8]));
    let cases: [Case; 6] = [
        ("outcome", |hop| hop.landing.is_some(), |body| body[64] ^= 1),
        ("reason", |hop| hop.reason.as_str() == "window_ended", |body| body[65] ^= 1),
        ("landing", |hop| hop.landing.is_some() && hop.tried.is_empty(), |body| body[66] ^= 1),
        ("bucket", |hop| hop.bucket.is_some() && hop.landing.is_some(), |body| body[58] ^= 1),
        (
            "agreement",
            |hop| hop.agreement.len() > 8 && hop.tried.is_empty(),
            |body| {
                // The texts end with the agreement and the node, `node-1` after its length.
                let end = body.len() - 7;
                body[end - 1] ^= 1;
            },
        ),
        (
            "tried[0].reason",
            |hop| hop.landing.is_some() && hop.tried.len() == 1,
            |body| {
                let start = body.windows(7).rposition(|window| window == b"\x06node-1").unwrap() + 7;
                // Alternate, then of the first that fell: which, shop type, link kind, reason.
                body[start + 4] ^= 1;
            },
        ),
    ];
    let whole = place();
    for (field, wanted, byte) in cases {
        let place = Place::new("");
        copy(&whole.path("data"), &place.path("data"));
        let seq = change(&place, 20, wanted, byte, true);
        let (ran, found) = verify(&place, &[]);
        assert_eq!(ran.code, 1, "{field}: {ran:?}");
        assert_eq!(
            (&found["equal"], &found["differences"], &found["damaged"]),
            (&false.into(), &1.into(), &0.into()),
            "{field}: {found}"
        );
        let first = &found["first"];
        assert_eq!((&first["field"], &first["seq"]), (&field.into(), &seq.into()), "{found}");
        assert_eq!(first["segment"], "00000000000000000001.hop");
        assert_ne!(first["recorded"], first["redecided"]);
        let hop = place.run(&["hops", "export", "-"]);
        assert!(hop.out.contains(first["click_id"].as_str().unwrap()), "the click is named as an export names it");
        assert!(ran.err.contains("1 hop(s) differ, 0 damaged spot(s)"), "{ran:?}");
    }
}

#[test]
fn the_first_difference_is_named_and_all_are_counted() {
    let place = place();
    let late = change(&place, 4_000, |hop| hop.landing.is_some(), |body| body[66] ^= 1, true);
    let early = change(&place, 70, |hop| hop.landing.is_some(), |body| body[66] ^= 1, true);
    assert!(early < late);
    let (_, found) = verify(&place, &[]);
    assert_eq!((&found["differences"], &found["first"]["seq"]), (&2.into(), &early.into()));
    let text = place.run(&["hops", "verify"]).out;
    assert!(
        text.contains("NOT EQUAL") && text.contains(&format!("number {early} in 00000000000000000001.hop")),
        "{text}"
    );
    assert!(text.contains("landing: recorded `"), "{text}");
}

#[test]
fn a_damaged_record_is_named_and_the_rest_is_proved() {
    let place = place();
    let seq = change(&place, 2_000, |hop| hop.landing.is_some(), |body| body[64] ^= 1, false);
    let (ran, found) = verify(&place, &[]);
    assert_eq!((ran.code, &found["damaged"], &found["differences"]), (1, &1.into(), &0.into()), "{found}");
    let line = found["damage"][0].as_str().unwrap();
    assert!(line.contains("00000000000000000001.hop is damaged at byte") && line.contains("checksum"), "{line}");
    let unread = found["unread"].as_u64().unwrap();
    assert!((1..=1_000).contains(&unread), "no more than its chunk, {seq}: {found}");
    assert_eq!(found["hops"].as_u64().unwrap() + unread, HOPS);

    // A backtest does not pass half a record for a whole one.
    let backtest = place.run(&["policy", "backtest"]);
    assert_eq!(backtest.code, 1);
    assert!(backtest.err.contains("is damaged at byte"), "{backtest:?}");
}

#[test]
fn records_behind_a_broken_header_are_not_taken_for_none() {
    let place = place();
    let path = segment(&place);
    for at in [0, 10, 20, 40, 97] {
        let whole = fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        let (ran, found) = verify(&place, &[]);
        assert_eq!((ran.code, &found["damaged"]), (1, &1.into()), "byte {at}: {found}");
        let out = place.path("out.ndjson");
        let exported = place.run(&["hops", "export", out.to_str().unwrap()]);
        assert!(exported.code == 1 && exported.err.contains("no whole header"), "byte {at}: {exported:?}");
        drop(fs::remove_file(out));
        fs::write(&path, whole).unwrap();
    }
}

#[test]
fn a_cut_that_lies_of_its_chunk_is_found() {
    let place = place();
    let path = segment(&place);
    let mut bytes = fs::read(&path).unwrap();
    let mut at = 100;
    while bytes[at + 16] != 1 {
        at += u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize + 8;
    }
    let len = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize + 8;
    // The earliest time in the chunk, in the cut's body.
    bytes[at + 18 + 20] ^= 1;
    let sum = crc32c::crc32c(&bytes[at + 8..at + len]);
    bytes[at + 4..at + 8].copy_from_slice(&sum.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let (ran, found) = verify(&place, &[]);
    assert_eq!((ran.code, &found["hops"]), (1, &HOPS.into()), "{found}");
    assert!(found["damage"].to_string().contains("does not fit its chunk"), "{found}");
}

#[test]
fn a_version_that_is_missing_or_was_altered_is_named() {
    let place = place();
    let (_, whole) = verify(&place, &[]);
    let version = |n: usize| whole["versions"][n]["version"].as_str().unwrap().to_owned();
    let database = rusqlite::Connection::open(place.path("data/hopgate.sqlite")).unwrap();
    let sql = |text: &str| assert_eq!(database.execute(text, []).unwrap(), 1);
    sql(&format!("DELETE FROM policy_versions WHERE version = '{}'", version(0)));
    sql(&format!(
        "UPDATE policy_versions SET canonical = replace(canonical, '2022', '2021') WHERE version = '{}'",
        version(1)
    ));
    let (ran, found) = verify(&place, &[]);
    assert_eq!((ran.code, &found["judged"], &found["differences"]), (1, &0.into(), &0.into()), "{found}");
    let judged = whole["judged"].as_u64().unwrap();
    assert_eq!(found["without_version"], judged);
    let faults: Vec<&str> = (0..2).map(|n| found["versions"][n]["fault"].as_str().unwrap()).collect();
    assert!(faults[0].contains(&version(0)) && faults[0].contains("is not in the database"), "{faults:?}");
    assert!(faults[1].contains(&version(1)) && faults[1].contains("was altered"), "{faults:?}");
    assert!(faults.iter().all(|fault| !fault.contains('\n')), "one line each: {faults:?}");
}

#[test]
fn it_runs_beside_a_live_gateway() {
    let place = Place::new("");
    place.import(50);
    let server = place.serve(&[]);
    let mut client = Client::connect(server.click);
    for round in 0..300 {
        let answer = client.ask("GET", &format!("/load{:04}", round % 50), &[("User-Agent", KUAISHOU_AGENT)]);
        assert_eq!(answer.status, 302);
        if round == 150 {
            // Nothing to do with the clicks: another version comes into force between them.
            fs::write(place.path("policies/more.yaml"), support::window("more", "2020-01-01", "2090-01-01")).unwrap();
            let published = place.run(&["policy", "publish", "--note", "more", "--yes"]);
            assert_eq!(published.code, 0, "{published:?}");
            eventually("the second version is in force", || server.metric("hopgate_policy_epoch") >= 2.0);
        }
    }
    let (ran, found) = verify(&place, &[]);
    assert_eq!((ran.code, &found["hops"]), (0, &300.into()), "{ran:?}");
    assert_eq!(found["versions"].as_array().unwrap().len(), 2, "{found}");
    assert_eq!(client.get("/load0000").status, 302, "{JD}");
    assert_eq!(server.stop(), Some(0));
    assert_eq!(verify(&place, &[]).1["hops"], 301);
}
