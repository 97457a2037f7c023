//! For tests: whatever happens between two hops, the figures are those of a plain count.

use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::prelude::*;
use rusqlite::TransactionBehavior;

use super::apply::apply;
use super::batch::Row;
use super::figures::{Dimension, Figures, Key, Question};
use super::model::write_journal;
use super::{Stats, Writer};
use crate::archive::purge::What;
use crate::attribution::touches_conformance::{MIDNIGHT, hop};
use crate::domain::attribution::validity::Rules;
use crate::domain::hop::{Hop, HopFlags, Outcome};
use crate::domain::policy::Reason;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::Surface;

const CODES: [&str; 3] = ["aa", "bb", "cc"];
const CREATORS: [&str; 3] = ["c1", "", "c1"];
const PLATFORMS: [&str; 2] = ["kuaishou", "xiaohongshu"];
const FLAGS: [HopFlags; 6] =
    [HopFlags(0), HopFlags(0), HopFlags::DATACENTER, HopFlags::BOT, HopFlags::HEAD, HopFlags::REHEARSAL];

/// A click: how many seconds after the one before, link, visitor, platform, flags, let through or not.
type Drawn = (i64, usize, u128, usize, usize, bool);

fn drawn() -> impl Strategy<Value = Vec<Drawn>> {
    let click = (prop_oneof![0..40i64, 0..9_000i64], 0..3usize, 0..5u128, 0..2usize, 0..6usize, any::<bool>());
    proptest::collection::vec(click, 1..160)
}

fn hops(drawn: &[Drawn]) -> Vec<Hop<'static>> {
    let mut seconds = 0;
    let hops = drawn.iter().enumerate().map(|(number, (pause, link, visitor, platform, flags, allowed))| {
        seconds += pause;
        let (outcome, reason) =
            if *allowed { (Outcome::Allow, Reason::Allowed) } else { (Outcome::Deny, Reason::WindowEnded) };
        Hop {
            code: CODES[*link],
            creator: CREATORS[*link],
            platform: PLATFORMS[*platform],
            surface: (*platform == 0).then_some(Surface::LiveCart),
            visitor: *visitor,
            flags: FLAGS[*flags],
            outcome,
            reason,
            ..hop(number as u64, seconds)
        }
    });
    hops.collect()
}

fn rules() -> Rules {
    Rules { clicks_an_hour: 4, ..Rules::default() }
}

/// What a line is named in the plain count.
fn named(hop: &Hop<'_>, by: Dimension) -> Key {
    const HOUR: i64 = 3_600_000_000;
    let beijing = hop.at.micros() + 8 * HOUR;
    let begins = |length: i64| Key::Time(Timestamp::from_micros(beijing / length * length - 8 * HOUR));
    let text = |text: &str| Key::Text(text.to_owned());
    match by {
        Dimension::Code => text(hop.code),
        Dimension::Creator => text(hop.creator),
        Dimension::Placement => Key::Text(format!("{}/{}", hop.platform, hop.surface.map_or("", |it| it.as_str()))),
        Dimension::Marketplace => text(hop.marketplace),
        Dimension::Outcome => text(hop.outcome.as_str()),
        Dimension::Hour => begins(HOUR),
        Dimension::Day => begins(24 * HOUR),
        other => panic!("{other} is not counted here"),
    }
}

/// The plain count: every click is compared with all before it.
fn plain(hops: &[Hop<'_>], by: Dimension) -> BTreeMap<Key, (Figures, Option<u64>)> {
    let rules = rules();
    let mut lines: BTreeMap<Key, Figures> = BTreeMap::new();
    let mut visitors: HashMap<Key, HashSet<(i64, u128)>> = HashMap::new();
    let is_person = |hop: &Hop<'_>| hop.flags == HopFlags(0) || hop.flags == HopFlags::DATACENTER;
    for (place, hop) in hops.iter().enumerate() {
        let key = named(hop, by);
        let line = lines.entry(key.clone()).or_default();
        if hop.flags == HopFlags::REHEARSAL {
            line.rehearsal += 1;
            continue;
        }
        line.without_visitor += u64::from(hop.visitor == 0);
        if !is_person(hop) {
            line.machines += 1;
            continue;
        }
        let same = |other: &&Hop<'_>| {
            is_person(other)
                && (other.visitor, other.code, other.at.beijing_day()) == (hop.visitor, hop.code, hop.at.beijing_day())
        };
        let before: Vec<_> = hops[..place].iter().filter(same).filter(|_| hop.visitor != 0).collect();
        let hour = |hop: &Hop<'_>| hop.at.micros() / 3_600_000_000;
        if before.iter().filter(|other| hour(other) == hour(hop)).count() >= rules.clicks_an_hour as usize {
            line.excessive += 1;
        } else if before
            .iter()
            .any(|other| other.outcome == hop.outcome && hop.at.micros() - other.at.micros() < rules.duplicate_within)
        {
            line.duplicates += 1;
        } else {
            line.people += 1;
            *(if hop.outcome == Outcome::Allow { &mut line.allowed } else { &mut line.refused }) += 1;
            if hop.visitor != 0 {
                visitors.entry(key).or_default().insert((hop.at.beijing_day(), hop.visitor));
            }
        }
    }
    let count = |key: &Key| visitors.get(key).map_or(0, |seen| seen.len() as u64);
    let known = |figures: &Figures| figures.without_visitor == 0;
    lines.iter().map(|(key, figures)| (key.clone(), (*figures, known(figures).then(|| count(key))))).collect()
}

const ASKED: [Dimension; 7] = [
    Dimension::Code,
    Dimension::Creator,
    Dimension::Placement,
    Dimension::Marketplace,
    Dimension::Outcome,
    Dimension::Hour,
    Dimension::Day,
];

fn question(by: Dimension) -> Question {
    let day = 86_400_000_000;
    let (from, to) = (Timestamp::from_micros(MIDNIGHT - day), Timestamp::from_micros(MIDNIGHT + 40 * day));
    Question { from, to, code: None, creator: None, platform: None, marketplace: None, by: vec![by] }
}

fn agree(answer: &super::figures::Answer, hops: &[Hop<'_>], by: Dimension) {
    let expected = plain(hops, by);
    let kept = !matches!(by, Dimension::Outcome | Dimension::Hour);
    let found: BTreeMap<Key, (Figures, Option<u64>)> = answer
        .lines
        .iter()
        .map(|line| {
            let (_, plain) = expected.get(&line.key[0]).copied().unwrap_or_default();
            (line.key[0].clone(), (line.figures, if kept { line.visitors } else { plain }))
        })
        .collect();
    assert_eq!(found, expected, "by {by}");
}

/// What happens to the next hops.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// They are counted.
    Count(usize),
    /// They are counted, and the process is killed before the transaction ends.
    Kill(usize),
    /// Some of those before are read again with them.
    Again(usize, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (1..30usize).prop_map(Step::Count),
        (1..30usize).prop_map(Step::Kill),
        ((1..30usize), (1..30usize)).prop_map(|(back, count)| Step::Again(back, count)),
    ];
    proptest::collection::vec(step, 1..20)
}

fn count(writer: &mut Writer, rows: &[Row], killed: bool) {
    let transaction = writer.connection.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    let passed = rows.last().map_or(0, |row| row.seq);
    apply(&transaction, &mut writer.words, &rules(), rows, passed, &writer.carried).unwrap();
    if killed {
        drop(transaction);
        writer.words.unkeep();
    } else {
        transaction.commit().unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn figures_are_a_plain_count_however_hops_come(drawn in drawn(), steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let stats = Stats::open(&folder.path().join("stats.sqlite"), &rules()).unwrap();
        let hops = hops(&drawn);
        {
            let mut writer = stats.writer();
            let words = &mut writer.words;
            let rows: Vec<Row> =
                hops.iter().enumerate().map(|(place, hop)| Row::of(words, place as u64 + 1, hop)).collect();
            let mut done = 0usize;
            for step in steps.into_iter().chain([Step::Count(usize::MAX)]) {
                let (from, to, killed) = match step {
                    Step::Count(count) => (done, done.saturating_add(count), false),
                    Step::Kill(count) => (done, done + count, true),
                    Step::Again(back, count) => (done.saturating_sub(back), done + count, false),
                };
                let to = to.min(rows.len());
                count(&mut writer, &rows[from.min(to)..to], killed);
                done = if killed { done } else { to };
            }
        }
        for by in ASKED {
            agree(&stats.figures_now(&question(by)).unwrap(), &hops, by);
        }
    }
}

#[test]
fn a_journal_is_counted_once_whoever_counts_it_and_anew_with_the_same_result() {
    let folder = tempfile::tempdir().unwrap();
    let (data, path) = (folder.path(), folder.path().join("stats.sqlite"));
    let draw = |number: u64| {
        let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let part = |shift: u32, sides: u64| ((mixed >> shift) % sides) as usize;
        ((mixed % 37) as i64 * 9, part(8, 3), part(16, 5) as u128, part(24, 2), part(32, 6), part(40, 2) == 0)
    };
    let hops = hops(&(0..3_000).map(draw).collect::<Vec<_>>());
    let stats = Stats::open(&path, &rules()).unwrap();
    let other = Stats::open(&path, &rules()).unwrap();
    write_journal(data, hops[..1_000].to_vec());
    assert_eq!(stats.catch_up(data, None, |_| {}).unwrap(), 1_000);
    write_journal(data, hops[1_000..].to_vec());
    assert_eq!(other.catch_up(data, Some(500), |_| {}).unwrap(), 0, "the rest may not be on disk yet");
    // Two at once, as a command line beside a gateway.
    let both = std::thread::scope(|scope| {
        let one = scope.spawn(|| stats.catch_up(data, None, |_| {}).unwrap());
        let two = scope.spawn(|| other.catch_up(data, None, |_| {}).unwrap());
        one.join().unwrap() + two.join().unwrap()
    });
    assert_eq!(both, 2_000);
    assert_eq!(stats.catch_up(data, None, |_| {}).unwrap(), 0);
    for by in ASKED {
        agree(&stats.figures_now(&question(by)).unwrap(), &hops, by);
        let walked = stats.figures_under(&rules(), data, &question(by), |_| {}).unwrap();
        agree(&walked, &hops, by);
    }

    let all = Rules { exclude: HopFlags(0), duplicate_within: 0, clicks_an_hour: 0, ..rules() };
    let walked = stats.figures_under(&all, data, &question(Dimension::Day), |_| {}).unwrap();
    let rehearsed = hops.iter().filter(|hop| hop.flags == HopFlags::REHEARSAL).count() as u64;
    assert_eq!((walked.total.people, walked.total.rehearsal), (3_000 - rehearsed, rehearsed));

    assert_eq!(stats.rebuild(data, &all, |_| {}).unwrap().hops, 3_000);
    let rebuilt = other.figures_now(&question(Dimension::Day)).unwrap();
    assert_eq!(rebuilt.total, walked.total, "whoever asks sees the new figures");
    assert_eq!(rebuilt.lines, walked.lines);
    assert_eq!(other.catch_up(data, None, |_| {}).unwrap(), 0);
    let more = Hop { code: "aa", ..hop(9, 999_999) };
    write_journal(data, [more]);
    assert_eq!(other.catch_up(data, None, |_| {}).unwrap(), 1, "one that ran before goes on with the new file");
    assert_eq!(other.rules(), all);
    assert_eq!(stats.figures_now(&question(Dimension::Code)).unwrap().total.people, walked.total.people + 1);

    std::fs::remove_dir_all(data.join("journal")).unwrap();
    write_journal(data, [hop(1, 1)]);
    let ahead = stats.catch_up(data, None, |_| {}).unwrap_err().to_string();
    assert!(ahead.contains("gw-1") && ahead.contains("stats rebuild"), "{ahead}");
}

#[test]
fn a_creators_own_clicks_are_told_and_stay_told() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let stats = Stats::open(&data.join("stats.sqlite"), &Rules::default()).unwrap();
    let at = |seconds: i64| Timestamp::from_micros(MIDNIGHT + seconds * 1_000_000);
    stats.note_own("c1024", 7, at(100));
    stats.note_own("c1024", 7, at(50));
    stats.note_own("other", 8, at(0));
    let click = |number: u64, seconds: i64, visitor: u128| Hop { visitor, ..hop(number, seconds) };
    write_journal(data, [click(1, 99, 7), click(2, 150, 7), click(3, 200, 8), click(4, 90_000, 7)]);
    stats.catch_up(data, None, |_| {}).unwrap();
    let figures = |stats: &Stats| stats.figures_now(&question(Dimension::Day)).unwrap().total;
    assert_eq!(
        (figures(&stats).people, figures(&stats).self_clicks),
        (3, 1),
        "before it, by others, the next day: none"
    );
    // What was noted is forgotten; what was found is not.
    let erased = stats.forget_visitors_before(at(200_000)).unwrap();
    assert_eq!((erased.visitors, erased.selves), (3, 2));
    stats.rebuild(data, &Rules::default(), |_| {}).unwrap();
    assert_eq!((figures(&stats).people, figures(&stats).self_clicks), (3, 1));
    let all = What { before: at(1_000_000), creator: None, code: None };
    let erased = stats.erase(&all, true).unwrap();
    assert_eq!((erased.visitors, erased.touches), (3, 4));
    assert_eq!(figures(&stats).people, 3, "counts stay");
    // A late click of a day of which nothing is remembered: counted, its visitor not.
    let before = stats.figures_now(&question(Dimension::Code)).unwrap().visitors;
    write_journal(data, [click(5, 300, 9)]);
    stats.catch_up(data, None, |_| {}).unwrap();
    let after = stats.figures_now(&question(Dimension::Code)).unwrap();
    assert_eq!((before, after.total.people, after.total.without_visitor, after.visitors), (Some(3), 4, 1, None));
}
