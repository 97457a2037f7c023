//! For tests: what a purge within a day takes, and what a rebuild behind it keeps.

use rusqlite::params;

use super::Stats;
use super::figures::{Dimension, Figures, Question};
use super::model::write_journal;
use super::rebuild::Rebuilt;
use super::seen;
use crate::archive::purge::What;
use crate::attribution::touches_conformance::{MIDNIGHT, hop};
use crate::domain::attribution::touch::Marks;
use crate::domain::attribution::validity::{Rules, VisitorDay};
use crate::domain::hop::Hop;
use crate::domain::time::Timestamp;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(MIDNIGHT + seconds * 1_000_000)
}

fn total(stats: &Stats) -> (Figures, Option<u64>) {
    let (from, to) = (at(0), at(3 * 86_400));
    let by = vec![Dimension::Code];
    let question = Question { from, to, code: None, creator: None, platform: None, marketplace: None, by };
    let answer = stats.figures_now(&question).unwrap();
    (answer.total, answer.visitors)
}

fn remembered(stats: &Stats, visitor: u128) -> Option<VisitorDay> {
    let sql = "SELECT seen FROM stats_visitors WHERE day = ?1 AND visitor = ?2";
    let values = params![at(0).beijing_day(), visitor.to_be_bytes()];
    let found: rusqlite::Result<Vec<u8>> = stats.reader().query_row(sql, values, |row| row.get(0));
    found.ok().map(|bytes| seen::decode(&bytes).unwrap())
}

/// Visitor 1 taps `aa` of c1 and, later, `bb` of c2; visitor 2 taps `aa` only; visitor 3 comes later.
fn hops() -> Vec<Hop<'static>> {
    let click = |number: u64, seconds: i64, visitor: u128, code: &'static str, creator: &'static str| Hop {
        visitor,
        code,
        creator,
        ..hop(number, seconds)
    };
    vec![
        click(1, 10, 1, "aa", "c1"),
        click(2, 12, 1, "aa", "c1"),
        click(3, 20, 2, "aa", "c1"),
        click(4, 100, 1, "bb", "c2"),
        click(5, 110, 3, "aa", "c1"),
    ]
}

#[test]
fn within_a_day_what_was_tapped_before_the_instant_goes_and_the_rest_stays() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let stats = Stats::open(&data.join("stats.sqlite"), &Rules::default()).unwrap();
    for (creator, seconds) in [("c1", 5), ("c2", 6), ("c1", 90)] {
        stats.note_own(creator, 900 + seconds as u128, at(seconds));
    }
    write_journal(data, hops());
    stats.catch_up(data, None, |_| {}).unwrap();
    let before = total(&stats);
    let what = |creator: Option<&str>, code: Option<&str>| What {
        before: at(50),
        creator: creator.map(str::to_owned),
        code: code.map(str::to_owned),
    };
    // Nothing of these before the instant.
    for none in [what(Some("c2"), None), what(None, Some("bb")), what(None, Some("nope"))] {
        assert_eq!(stats.held(&none, false).unwrap().visitors, 0, "{none:?}");
    }
    assert_eq!(remembered(&stats, 1).unwrap().taps.len(), 2);

    let c1 = what(Some("c1"), None);
    let held = stats.held(&c1, false).unwrap();
    assert_eq!((held.visitors, held.selves, held.touches), (2, 1, 0));
    let erased = stats.erase(&c1, false).unwrap();
    assert_eq!((erased, stats.held(&c1, false).unwrap()), (held, Default::default()));
    let one = remembered(&stats, 1).unwrap();
    assert_eq!((one.taps.len(), one.taps.values().next().unwrap().allowed_at), (1, at(100).micros()));
    // The link's view and the creator's are gone with the tap; where the visitor still is, and all views, are not.
    assert_eq!(one.counted.len(), remembered(&stats, 3).unwrap().counted.len());
    assert!(remembered(&stats, 2).is_none() && remembered(&stats, 3).is_some());
    let all = what(None, None);
    assert_eq!((stats.held(&all, true).unwrap().selves, stats.held(&all, true).unwrap().touches), (1, 3));
    stats.erase(&all, true).unwrap();
    assert_eq!(stats.held(&all, true).unwrap(), Default::default());
    assert_eq!(total(&stats), before, "figures stay");
    // The day goes on: whoever is remembered is no other, whoever is not is counted as one more.
    write_journal(
        data,
        [Hop { visitor: 3, ..hops()[4] }, Hop { visitor: 2, ..hops()[4] }].map(|hop| Hop { at: at(120), ..hop }),
    );
    stats.catch_up(data, None, |_| {}).unwrap();
    let after = total(&stats);
    assert_eq!((after.0.duplicates, after.0.people), (before.0.duplicates + 1, before.0.people + 1));
    assert_eq!(after.1, before.1.map(|visitors| visitors + 1));
}

#[test]
fn a_rebuild_keeps_days_that_cannot_be_counted_again_with_the_marks_of_their_clicks() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let stats = Stats::open(&data.join("stats.sqlite"), &Rules::default()).unwrap();
    let tomorrow = |number: u64, seconds: i64| Hop { visitor: 9, code: "bb", ..hop(number, 86_400 + seconds) };
    let all: Vec<Hop<'_>> = hops().into_iter().chain([tomorrow(6, 0), tomorrow(7, 3)]).collect();
    write_journal(data, all.clone());
    stats.catch_up(data, None, |_| {}).unwrap();
    let before = total(&stats);
    assert_eq!((before.0.people, before.0.duplicates, before.1), (5, 2, Some(4)));
    let marks = || -> Vec<(i64, i64)> {
        let reader = stats.reader();
        let mut found = reader.prepare("SELECT seq, marks FROM stats_touches ORDER BY at, seq").unwrap();
        found.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    };
    let marked = marks();
    assert_eq!(marked.iter().filter(|(_, marks)| *marks == i64::from(Marks::DUPLICATE.0)).count(), 2);

    // The same log, as a purge of the first day leaves it.
    std::fs::remove_dir_all(data.join("journal")).unwrap();
    let purged = all.iter().map(|hop| if hop.at < at(50) { Hop { visitor: 0, ..*hop } } else { *hop });
    write_journal(data, purged.collect::<Vec<_>>());
    let day = at(0).beijing_day();
    for _ in 0..2 {
        let rebuilt = stats.rebuild(data, &Rules::default(), |_| {}).unwrap();
        assert_eq!(rebuilt, Rebuilt { hops: 7, kept: vec![day], bare: Vec::new(), without_visitor: 0 });
        assert_eq!(total(&stats), before);
        assert_eq!(marks(), marked);
    }
    // Other rules count the day they can; the other one is named by its own.
    let lenient = Rules { duplicate_within: 0, ..Rules::default() };
    assert_eq!(stats.rebuild(data, &lenient, |_| {}).unwrap().kept, [day]);
    assert_eq!((total(&stats).0.people, total(&stats).0.duplicates), (6, 1));
    let kept: (i64, String) = stats
        .reader()
        .query_row("SELECT day, rules FROM stats_kept", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert_eq!(kept, (day, Rules::default().canonical()));
    // What was counted goes on behind it.
    write_journal(data, [Hop { visitor: 9, code: "bb", ..hop(8, 86_400 + 100) }]);
    assert_eq!(stats.catch_up(data, None, |_| {}).unwrap(), 1);
    assert_eq!(total(&stats).0.people, 7);

    // Old figures of other hops are not kept: the new ones say what they lack.
    std::fs::remove_dir_all(data.join("journal")).unwrap();
    write_journal(data, all[..4].iter().map(|hop| Hop { visitor: 0, ..*hop }).collect::<Vec<_>>());
    let rebuilt = stats.rebuild(data, &Rules::default(), |_| {}).unwrap();
    assert_eq!(rebuilt, Rebuilt { hops: 4, kept: Vec::new(), bare: vec![day], without_visitor: 4 });
    assert_eq!((total(&stats).0.people, total(&stats).0.without_visitor, total(&stats).1), (4, 4, None));
}
