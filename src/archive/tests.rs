//! The archive over real journals: in and out of Parquet, sealing, removing, reading on, purging.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;

use super::export::{Form, Wanted, export};
use super::hops::{Reader, find};
use super::keeper::{Follower, Keeper};
use super::purge::{Forgotten, How, What};
use super::rows::Rows;
use super::spans::Plan;
use super::write::Writer;
use super::*;
use crate::domain::click_id::{ClickId, ClickKey};
use crate::domain::device::{HostApp, Os};
use crate::domain::hop::{Hop, HopFlags, Outcome, PlacementSource};
use crate::domain::landing::Way;
use crate::domain::policy::Reason;
use crate::domain::span::Span;
use crate::domain::tried::{Fallen, Tried};
use crate::domain::vocabulary::{LandingMode, LinkKind, ShopType, Surface};
use crate::journal::address;
use crate::journal::export::Format;
use crate::journal::faults::{fill, sample};
use crate::journal::read::ReadError;
use crate::journal::sealed::sealed;
use crate::journal::spans::Found;
use crate::journal::{ChunkLimits, Journal, JournalConfig};

const LATER: Timestamp = Timestamp::from_millis(32_503_680_000_000);
const EVERYTHING: What = What { before: Timestamp::MAX, creator: None, code: None };
const THOROUGH: How = How { dry_run: false, thorough: true, journal: true, clicks: true };

fn key() -> ClickKey {
    ClickKey::new(&[7; 16])
}

fn config(hops: &Recorded) -> JournalConfig {
    let mut config = JournalConfig::new(hops.journal(), "gw-1");
    config.segment_bytes = 4_000;
    config.chunk = ChunkLimits { hops: 7, ..ChunkLimits::default() };
    config.deadline = Duration::from_secs(20);
    config
}

fn write(hops: &Recorded, numbers: std::ops::Range<u64>) {
    let journal = Journal::open(config(hops)).unwrap();
    for number in numbers.step_by(10) {
        fill(&journal, number..number + 10);
    }
    journal.close(Duration::from_secs(20)).unwrap();
}

fn keeper(hops: &Recorded, followers: Vec<Arc<dyn Follower>>) -> Keeper {
    Keeper::new(hops.clone(), key(), Span::ONE_HOUR, followers)
}

/// Every hop by number and click, as the reader gives them.
fn read_all(hops: &Recorded) -> Vec<(u64, ClickId)> {
    let mut reader = Reader::after(hops, 0).unwrap();
    let mut all = Vec::new();
    while let Some((seq, hop)) = reader.next().unwrap() {
        assert_eq!(reader_hop(&hop), reader_hop(&sample(all.len() as u64)));
        all.push((seq, hop.id));
    }
    all
}

/// What no purge changes.
fn reader_hop<'h>(hop: &Hop<'h>) -> Hop<'h> {
    Hop { address: [0; 8], visitor: 0, ..*hop }
}

fn names(dir: &Path, ending: &str) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(ending))
        .collect();
    names.sort();
    names
}

fn any_of<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
    proptest::sample::select(all)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_hop_comes_back_from_parquet_as_it_was(
        numbers in any::<(u128, i64, u64, u128, u16)>(),
        visitor in any::<[u8; 16]>(),
        bucket in proptest::option::of(0u16..10_000),
        surface in proptest::option::of(any_of(Surface::ALL)),
        lists in (any_of(PlacementSource::ALL), any_of(ShopType::ALL), any_of(LinkKind::ALL), any_of(Outcome::ALL)),
        more in (any_of(Reason::ALL), proptest::option::of(any_of(LandingMode::ALL)), any_of(HostApp::ALL), any_of(Os::ALL)),
        texts in proptest::collection::vec("\\PC{0,40}", 15),
        fallen in proptest::collection::vec((any::<u8>(), any_of(Reason::ALL), proptest::option::of(0u16..10_000)), 0..4),
        (alternate, way) in (any::<u8>(), proptest::option::of(any_of(Way::ALL))),
    ) {
        let mut bytes = Vec::new();
        for (alternate, reason, bucket) in fallen {
            Fallen {
                alternate, marketplace: &texts[10], shop_type: lists.1, link_kind: lists.2, category: &texts[11],
                item: &texts[12], shop: "", reason, agreement: &texts[13], bucket,
            }.put(&mut bytes);
        }
        let hop = Hop {
            id: ClickId(numbers.0.to_be_bytes()), at: Timestamp::from_micros(numbers.1), policy_version: numbers.2,
            visitor: numbers.3, address: address::truncate(std::net::Ipv6Addr::from(visitor).into()),
            flags: HopFlags(numbers.4), bucket, surface,
            placement_source: lists.0, shop_type: lists.1, link_kind: lists.2, outcome: lists.3,
            reason: more.0, landing: more.1, app: more.2, os: more.3,
            code: &texts[0], creator: &texts[1], platform: &texts[2], marketplace: &texts[3], category: &texts[4],
            item: &texts[5], shop: &texts[6], facts: &texts[7], agreement: &texts[8], node: &texts[9],
            alternate, tried: Tried::read(&bytes).unwrap(), way, macros: &texts[14],
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hops");
        let mut writer = Writer::new(File::create(&path).unwrap(), vec![("schema", "1".to_owned())]).unwrap();
        let plain = sample(1);
        for (seq, hop) in [(3, &plain), (4, &hop), (9, &hop)] {
            writer.put(seq, hop, &key()).unwrap();
        }
        writer.finish().unwrap();
        let rows = Rows::open(&path).unwrap();
        let groups = rows.groups().unwrap();
        prop_assert_eq!((rows.count(), groups.len(), groups[0].first_seq, groups[0].last_seq), (3, 1, 3, 9));
        let mut group = rows.read(0).unwrap();
        for (seq, hop) in [(3, &plain), (4, &hop), (9, &hop)] {
            prop_assert_eq!(group.step().unwrap(), Some((seq, hop.at, hop.id)));
            prop_assert_eq!(group.hop().unwrap(), *hop);
        }
        prop_assert_eq!(group.step().unwrap(), None);
    }
}

#[test]
fn the_same_segment_gives_the_same_bytes_and_what_was_half_written_is_done_again() {
    let folder = tempfile::tempdir().unwrap();
    let hops = Recorded::of(folder.path());
    write(&hops, 0..200);
    let keeper = keeper(&hops, Vec::new());
    let (segments, current) = sealed(hops.journal()).unwrap();
    let turn = keeper.turn(Timestamp::default()).unwrap();
    assert_eq!((turn.sealed.len(), turn.removed.len()), (segments.len(), 0));
    assert!(segments.len() > 5 && segments.last().unwrap().last_seq + 1 == current.unwrap());
    let files = names(hops.archive(), ".parquet");
    assert_eq!(files, turn.sealed);
    assert_eq!(keeper.turn(Timestamp::default()).unwrap(), keeper::Turn::default(), "nothing is left to do");
    let bytes: Vec<_> = files.iter().map(|name| fs::read(hops.archive().join(name)).unwrap()).collect();

    // As a kill leaves it: one not begun, one half written under its other name.
    fs::remove_file(hops.archive().join(&files[0])).unwrap();
    fs::remove_file(hops.archive().join(&files[1])).unwrap();
    fs::write(hops.archive().join(format!("{}.part", files[1])), &bytes[1][..100]).unwrap();
    assert_eq!(keeper.turn(Timestamp::default()).unwrap().sealed, files[..2]);
    let again: Vec<_> = files.iter().map(|name| fs::read(hops.archive().join(name)).unwrap()).collect();
    assert_eq!(again, bytes);
    assert!(names(hops.archive(), ".part").is_empty());
    assert_eq!(keeper.tally().segments.load(Ordering::Relaxed), segments.len() as u64 + 2);

    // Another keeper is at work.
    let lock = hops.lock_file("archive.lock").unwrap();
    lock.lock().unwrap();
    assert!(keeper.turn(LATER).unwrap().busy);
}

struct Slow {
    passed: AtomicU64,
    broken: AtomicBool,
}

impl Follower for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn passed(&self, node: &str, seq: u64) -> Result<bool, String> {
        assert_eq!(node, "gw-1");
        if self.broken.load(Ordering::Relaxed) {
            Err("broken".to_owned())
        } else {
            Ok(self.passed.load(Ordering::Relaxed) >= seq)
        }
    }

    fn forget(&self, _: &What, _: How) -> Result<(), String> {
        self.passed.store(0, Ordering::Relaxed);
        Ok(())
    }

    fn found(&self, _: &What, _: How) -> Result<Vec<Forgotten>, String> {
        let (store, table) = (self.name().to_owned(), "clicks".to_owned());
        Ok(vec![Forgotten { store, table, rows: self.passed.load(Ordering::Relaxed) }])
    }
}

#[test]
fn a_segment_goes_only_when_it_is_archived_whole_everyone_is_past_it_and_its_time_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let hops = Recorded::of(folder.path());
    write(&hops, 0..300);
    let slow = Arc::new(Slow { passed: AtomicU64::new(0), broken: AtomicBool::new(false) });
    let keeper = keeper(&hops, vec![Arc::clone(&slow) as Arc<dyn Follower>]);
    let (segments, current) = sealed(hops.journal()).unwrap();
    let before = read_all(&hops);
    assert_eq!(before.len(), 300);
    let removed = |now| keeper.turn(now).unwrap().removed.len();
    assert_eq!(removed(LATER), 0, "not read yet");
    slow.broken.store(true, Ordering::Relaxed);
    slow.passed.store(u64::MAX, Ordering::Relaxed);
    assert_eq!(removed(LATER), 0, "nobody knows");
    slow.broken.store(false, Ordering::Relaxed);
    assert_eq!(removed(segments[0].written), 0, "the reserve has not passed");
    slow.passed.store(segments[2].last_seq - 1, Ordering::Relaxed);
    {
        let _reading = Plan::of(&hops, Timestamp::MIN, Timestamp::MAX).unwrap();
        assert_eq!(removed(LATER), 0, "somebody reads in stretches");
    }
    assert_eq!(removed(LATER), 2);
    assert_eq!(read_all(&hops), before);

    // A file that does not hold its segment keeps it.
    slow.passed.store(u64::MAX, Ordering::Relaxed);
    let third = hops.archive().join(files::Archived::name("gw-1", segments[2].first_seq, segments[2].last_seq));
    let fourth = hops.archive().join(files::Archived::name("gw-1", segments[3].first_seq, segments[3].last_seq));
    let good = fs::read(&third).unwrap();
    fs::copy(&fourth, &third).unwrap();
    let error = keeper.turn(LATER).unwrap_err().to_string();
    assert!(error.contains("does not hold what"), "{error}");
    assert_eq!(keeper.tally().failures.load(Ordering::Relaxed), 1);
    assert!(segments[2].path.exists());
    fs::write(&third, good).unwrap();
    assert_eq!(removed(LATER), segments.len() - 2);

    // The journal starts, numbers on, and is read with its oldest segments gone.
    assert_eq!(names(hops.journal(), ".hop"), [format!("{:020}.hop", current.unwrap())]);
    assert_eq!(read_all(&hops), before);
    write(&hops, 300..400);
    let all = read_all(&hops);
    assert_eq!((&all[..300], all.len()), (&before[..], 400));
    assert!(all.windows(2).all(|pair| pair[0].0 < pair[1].0));
    for mark in [0, 1, segments[1].last_seq, segments[3].first_seq, all[299].0, all[305].0, all[399].0] {
        let mut reader = Reader::after(&hops, mark).unwrap();
        let mut rest = Vec::new();
        while let Some((seq, hop)) = reader.next().unwrap() {
            let id = hop.id;
            assert!(reader.passed() >= seq);
            rest.push((seq, id));
        }
        assert_eq!(rest, all.iter().copied().filter(|(seq, _)| *seq > mark).collect::<Vec<_>>(), "behind {mark}");
    }
    for number in [0, 33, 299, 399] {
        let hop = sample(number);
        let found = find(&hops, hop.id, hop.at, |seq, hop| (seq, hop.id, hop.at)).unwrap();
        assert_eq!(found, Some((all[number as usize].0, hop.id, hop.at)));
        assert_eq!(find(&hops, hop.id, hop.at.plus_micros(60_000_000), |seq, _| seq).unwrap(), None);
    }
    let plan = Plan::of(&hops, sample(50).at, sample(350).at).unwrap();
    assert!(plan.damage.is_empty() && plan.bytes > 0);
    let mut seen = Vec::new();
    for span in &plan.spans {
        let mut reader = span.open().unwrap();
        while let Some(found) = reader.next() {
            match found {
                Found::Hop(seq, hop) if (sample(50).at..sample(350).at).contains(&hop.at) => seen.push(seq),
                Found::Damage(error, _) => panic!("{error}"),
                _ => {}
            }
        }
    }
    assert_eq!(seen, all[50..350].iter().map(|(seq, _)| *seq).collect::<Vec<_>>());

    // A file that is gone is never left out silently, unless it was the first.
    fs::remove_file(&third).unwrap();
    let missing = Reader::after(&hops, 0).err().unwrap();
    assert!(matches!(missing, ReadError::Missing { .. }), "{missing}");
    let plan = Plan::of(&hops, Timestamp::MIN, Timestamp::MAX).unwrap();
    assert!(matches!(plan.damage[..], [ReadError::Missing { first, .. }] if first == segments[2].first_seq));
    for segment in &segments[..2] {
        fs::remove_file(hops.archive().join(files::Archived::name("gw-1", segment.first_seq, segment.last_seq)))
            .unwrap();
    }
    let reader = Reader::after(&hops, 0).unwrap();
    assert_eq!(reader.begins(), Some(segments[3].first_seq));
    assert!(Reader::after(&hops, 3).is_err(), "a mark behind which records are gone");
}

#[test]
fn a_reader_finds_in_the_archive_what_is_removed_from_the_journal_under_it() {
    let folder = tempfile::tempdir().unwrap();
    let hops = Recorded::of(folder.path());
    write(&hops, 0..300);
    let mut reader = Reader::after(&hops, 0).unwrap();
    let mut period = Reader::between(&hops, sample(20).at, sample(280).at).unwrap();
    let mut count = 0;
    for _ in 0..12 {
        assert_eq!(reader.next().unwrap().unwrap().1.id, sample(count).id);
        count += 1;
    }
    assert_eq!(period.next().unwrap().unwrap().1.id, sample(20).id);
    assert!(keeper(&hops, Vec::new()).turn(LATER).unwrap().removed.len() > 5);
    while let Some((_, hop)) = reader.next().unwrap() {
        assert_eq!(hop.id, sample(count).id);
        count += 1;
    }
    assert_eq!(count, 300);
    let mut left = 0;
    while period.next().unwrap().is_some() {
        left += 1;
    }
    assert_eq!(left, 259);
}

#[test]
fn an_export_has_what_is_asked_for_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let hops = Recorded::of(folder.path());
    write(&hops, 0..100);
    keeper(&hops, Vec::new()).turn(LATER).unwrap();
    let wanted = |creator: Option<&str>, code: Option<&str>| Wanted {
        from: sample(10).at,
        to: sample(90).at,
        code: code.map(str::to_owned),
        creator: creator.map(str::to_owned),
    };
    let count = |form, wanted: &Wanted| {
        let mut out = Vec::new();
        let exported = export(&hops, form, wanted, &key(), &mut out).unwrap();
        assert_eq!(exported.begins, Some(1));
        (exported.summary.hops, out)
    };
    let hop = sample(0);
    for (creator, code, hops) in
        [(None, None, 80), (Some(hop.creator), Some(hop.code), 80), (Some("nobody"), None, 0), (None, Some("x"), 0)]
    {
        let wanted = wanted(creator, code);
        let (lines, text) = count(Form::Lines(Format::Ndjson), &wanted);
        assert_eq!((lines, text.iter().filter(|byte| **byte == b'\n').count() as u64), (hops, hops));
        let (rows, csv) = count(Form::Lines(Format::Csv), &wanted);
        assert_eq!((rows, csv.iter().filter(|byte| **byte == b'\n').count() as u64), (hops, hops + 1));
        let (rows, parquet) = count(Form::Parquet, &wanted);
        let path = folder.path().join("out.parquet");
        fs::write(&path, parquet).unwrap();
        assert_eq!((rows, Rows::open(&path).unwrap().count()), (hops, hops));
    }
}

/// Addresses and visitors in the export of everything.
fn personal(hops: &Recorded) -> usize {
    let mut reader = Reader::after(hops, 0).unwrap();
    let mut count = 0;
    while let Some((_, hop)) = reader.next().unwrap() {
        count += usize::from(hop.address != [0; 8]) + usize::from(hop.visitor != 0);
    }
    count
}

#[test]
fn a_purge_erases_what_is_personal_before_an_instant_and_proves_it() {
    let folder = tempfile::tempdir().unwrap();
    let hops = Recorded::of(folder.path());
    write(&hops, 0..200);
    let raw = folder.path().join("raw");
    let keeper = keeper(&hops, Vec::new());
    keeper.turn(Timestamp::default()).unwrap();
    let all = read_all(&hops);
    let before = sample(105).at;
    let what = What { before, creator: None, code: None };

    let dry = keeper.purge(&what, How { dry_run: true, ..THOROUGH }, &raw, LATER).unwrap();
    assert!(dry.did_something() && dry.files.iter().all(|file| file.sha256_after.is_none()));
    assert_eq!(
        (personal(&hops), names(hops.journal(), ".hop").len()),
        (400, sealed(hops.journal()).unwrap().0.len() + 1)
    );

    // As a kill in between leaves it: some files done, one half written.
    let files = names(hops.archive(), ".parquet");
    fs::write(hops.archive().join(format!("{}.part", files[2])), b"half").unwrap();
    let record = keeper.purge(&what, THOROUGH, &raw, LATER).unwrap();
    assert_eq!((record.found_after, record.left.len()), (0, 0), "{record:?}");
    assert_eq!(record.files.iter().map(|file| file.visitors).sum::<u64>(), 105);
    assert!(record.files.iter().all(|file| file.rows_before == file.rows_after
        && file.sha256_after.as_ref().is_some_and(|after| *after != file.sha256_before)));
    assert_eq!(dry.files.len(), record.files.len());
    assert_eq!(dry.segments_removed, record.segments_removed);
    assert_eq!((names(hops.archive(), ".parquet"), read_all(&hops)), (files, all));
    assert_eq!(personal(&hops), 190, "younger ones keep theirs");
    let again = keeper.purge(&what, THOROUGH, &raw, LATER).unwrap();
    assert!(!again.did_something());

    // What is in the segment being written is left, and said.
    let left = keeper.purge(&EVERYTHING, THOROUGH, &raw, LATER).unwrap();
    assert!(left.found_after > 0 && left.left[0].contains("is being written"), "{left:?}");
    assert!(purge::end_segment(config(&hops), Timestamp::MAX).unwrap());
    assert!(!purge::end_segment(config(&hops), Timestamp::MAX).unwrap(), "nothing is in the new one");
    let done = keeper.purge(&EVERYTHING, THOROUGH, &raw, LATER).unwrap();
    assert_eq!((done.found_after, personal(&hops), read_all(&hops).len()), (0, 0, 200));
    write(&hops, 200..210);
    assert_eq!(read_all(&hops).len(), 210);
}

#[test]
fn a_purge_of_one_creator_leaves_the_others_alone() {
    let folder = tempfile::tempdir().unwrap();
    let hops = Recorded::of(folder.path());
    write(&hops, 0..50);
    let raw = folder.path().join("raw");
    let keeper = keeper(&hops, Vec::new());
    keeper.turn(Timestamp::default()).unwrap();
    let of = |creator: &str| What { before: Timestamp::MAX, creator: Some(creator.to_owned()), code: None };
    let how = How { dry_run: false, thorough: true, journal: false, clicks: false };
    let record = keeper.purge(&of("somebody else"), how, &raw, LATER).unwrap();
    assert!(record.files.is_empty() && personal(&hops) == 100);
    let record = keeper.purge(&of(sample(0).creator), how, &raw, LATER).unwrap();
    assert!(!record.files.is_empty() && record.found_after == 0);
}
