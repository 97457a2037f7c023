use proptest::prelude::*;

use super::*;
use crate::domain::attribution::Network;
use crate::domain::attribution::money::Fen;
use crate::domain::attribution::order::{LineKey, OrderState, Promotion};
use crate::domain::attribution::touch::Marks;
use crate::domain::hop::HopFlags;
use crate::domain::vocabulary::{LinkKind, ShopType};

const HOUR: i64 = 3_600_000_000;

/// An instant so many hours after a beginning.
fn hour(hour: i64) -> Timestamp {
    Timestamp::from_millis(1_790_000_000_000).plus_micros(hour * HOUR)
}

fn line(created: Timestamp, clicked: Option<Timestamp>, promotion: Promotion) -> OrderLine {
    OrderLine {
        key: LineKey { network: Network::Taobao, account: "default".into(), line: "1".into() },
        order: "1".into(),
        parent: "".into(),
        state: OrderState::Paid,
        raw_state: "12".into(),
        refunded: false,
        created_at: created,
        paid_at: None,
        completed_at: None,
        settled_at: None,
        modified_at: created,
        clicked_at: clicked,
        marketplace: "taobao".into(),
        item: "".into(),
        title: "".into(),
        shop: "".into(),
        shop_name: "".into(),
        quantity: 1,
        returned: 0,
        paid: Some(Fen(100)),
        estimated: Fen(10),
        confirmed: None,
        promotion,
    }
}

fn candidate(number: u8, at: Timestamp, window_days: u16, counts: bool) -> Candidate {
    let touch = Touch {
        click: ClickId([number; 16]),
        at,
        node: "n1".into(),
        seq: u64::from(number),
        code: "abc".into(),
        creator: "c1".into(),
        platform: "kuaishou".into(),
        surface: "note".into(),
        marketplace: "taobao".into(),
        shop_type: ShopType::Unknown,
        link_kind: LinkKind::Item,
        category: "".into(),
        facts: "".into(),
        item: "".into(),
        shop: "".into(),
        agreement: "a1".into(),
        policy_version: 1,
        flags: HopFlags::default(),
        marks: Marks::default(),
        note: "".into(),
    };
    Candidate { touch, terms: Terms { window_days, ..Terms::default() }, counts }
}

fn rules() -> Rules {
    Rules { version: RULES, validity: "usual".into() }
}

fn by_pid() -> Promotion {
    Promotion { pid: "mm_1_2_3".into(), position: "3".into(), ..Promotion::default() }
}

fn numbers(matched: &Match) -> (Method, Option<u8>, Option<u8>, Option<Reason>) {
    let number = |credited: &Option<Credited>| credited.as_ref().map(|credited| credited.click.0[0]);
    (matched.method, number(&matched.click), number(&matched.runner_up), matched.reason)
}

fn decided(line: &OrderLine, found_by: Option<Method>, candidates: Vec<Candidate>) -> Match {
    decide(line, &Evidence { named: None, found_by, candidates }, &rules())
}

#[test]
fn the_window_is_half_open_to_the_microsecond() {
    let (upper, day) = (hour(0), 24 * HOUR);
    for (at, inside) in [
        (upper, false),
        (upper.plus_micros(-1), true),
        (upper.plus_micros(-day), true),
        (upper.plus_micros(-day - 1), false),
    ] {
        assert_eq!(in_window(at, upper, 1), inside, "{at}");
    }
}

#[test]
fn the_last_click_that_counts_is_credited_and_the_next_is_the_runner_up() {
    let line = line(hour(100), None, by_pid());
    let candidates = vec![
        candidate(9, hour(99), 15, false),
        candidate(8, hour(90), 15, true),
        candidate(7, hour(80), 15, false),
        candidate(6, hour(70), 15, true),
        candidate(5, hour(60), 15, true),
    ];
    assert!(enough(&line, &candidates[..4]) && !enough(&line, &candidates[..3]));
    let matched = decided(&line, Some(Method::Pid), candidates.clone());
    assert_eq!(numbers(&matched), (Method::Pid, Some(8), Some(6), None));
    assert_eq!((matched.creator(), &matched.rules), (Some("c1"), &rules()));
    let one = decided(&line, Some(Method::Relation), candidates[4..].to_vec());
    assert_eq!(numbers(&one), (Method::Relation, Some(5), None, None));
}

#[test]
fn what_the_network_tells_of_the_click_bounds_it() {
    // The network saw the click it credits at 80: later ones of ours are not it, but for a clock's slack of a minute.
    let line = line(hour(100), Some(hour(80)), by_pid());
    let near = hour(80).plus_micros(59_000_000);
    let candidates =
        vec![candidate(3, hour(90), 15, true), candidate(2, near, 15, true), candidate(1, hour(79), 15, true)];
    assert_eq!(numbers(&decided(&line, Some(Method::Pid), candidates)), (Method::Pid, Some(2), Some(1), None));
    // A click told of after the order changes nothing.
    let late = self::line(hour(100), Some(hour(200)), by_pid());
    assert_eq!(upper(&late), hour(100));
}

#[test]
fn a_click_id_of_ours_goes_before_positions_within_its_window() {
    let line = line(hour(100), Some(hour(20)), by_pid());
    let evidence = |named: Candidate| Evidence {
        named: Some(named),
        found_by: Some(Method::Pid),
        candidates: vec![candidate(4, hour(20), 15, true), candidate(3, hour(10), 15, true)],
    };
    let matched = decide(&line, &evidence(candidate(9, hour(60), 2, false)), &rules());
    assert_eq!(numbers(&matched), (Method::ClickId, Some(9), Some(4), None), "whoever it was: the order says so");
    let own = decide(&line, &evidence(candidate(4, hour(20), 15, true)), &rules());
    assert_eq!(numbers(&own), (Method::ClickId, Some(4), Some(3), None), "nobody is the runner-up of itself");
    let old = decide(&line, &evidence(candidate(9, hour(50), 2, true)), &rules());
    assert_eq!(numbers(&old), (Method::Pid, Some(4), Some(3), None), "out of its window");
    let alone = Evidence { named: Some(candidate(9, hour(100), 2, true)), ..Evidence::default() };
    let plain = self::line(hour(100), None, Promotion::default());
    assert_eq!(numbers(&decide(&plain, &alone, &rules())), (Method::None, None, None, Some(Reason::NoPosition)));
}

#[test]
fn nobody_is_credited_for_a_reason() {
    let line = line(hour(1_000), None, by_pid());
    let told = |found_by, candidates| numbers(&decided(&line, found_by, candidates)).3;
    assert_eq!(told(None, vec![]), Some(Reason::UnknownPosition));
    assert_eq!(told(Some(Method::Pid), vec![]), Some(Reason::NoTouch));
    let old = candidate(1, hour(10), 1, true);
    assert_eq!(told(Some(Method::Pid), vec![old.clone()]), Some(Reason::NoTouch));
    assert_eq!(told(Some(Method::Pid), vec![candidate(2, hour(999), 1, false), old]), Some(Reason::NotCounted));
    let mut paused = candidate(3, hour(999), 15, true);
    paused.terms.paused = true;
    let earlier = candidate(2, hour(900), 15, true);
    let matched = decided(&line, Some(Method::Pid), vec![paused, earlier]);
    assert_eq!(numbers(&matched), (Method::None, Some(3), Some(2), Some(Reason::Paused)));
    assert_eq!((matched.creator(), matched.sampling()), (None, ALL));
}

/// The rule once more, by looking at every click for every question.
fn slowly(line: &OrderLine, evidence: &Evidence) -> (Method, Option<u8>, Option<u8>, Option<Reason>) {
    let day = 24 * HOUR;
    let inside = |one: &Candidate, upper: i64| {
        let at = one.touch.at.micros();
        at < upper && at >= upper - i64::from(one.terms.window_days) * day
    };
    let created = line.created_at.micros();
    let upper = line.clicked_at.map_or(created, |clicked| created.min(clicked.micros() + 60_000_000));
    let mut good: Vec<&Candidate> = Vec::new();
    for one in &evidence.candidates {
        if one.counts && inside(one, upper) {
            good.push(one);
        }
    }
    good.sort_by_key(|one| std::cmp::Reverse((one.touch.at, one.touch.seq)));
    let id = |one: &Candidate| one.touch.click.0[0];
    let (method, winner) = match &evidence.named {
        Some(named) if inside(named, created) => (Method::ClickId, named),
        _ => match (evidence.found_by, good.first()) {
            (None, _) if line.promotion == Promotion::default() => {
                return (Method::None, None, None, Some(Reason::NoPosition));
            }
            (None, _) => return (Method::None, None, None, Some(Reason::UnknownPosition)),
            (Some(method), Some(first)) => (method, *first),
            (Some(_), None) => {
                let any = evidence.candidates.iter().any(|one| inside(one, upper));
                let reason = if any { Reason::NotCounted } else { Reason::NoTouch };
                return (Method::None, None, None, Some(reason));
            }
        },
    };
    let second = good.iter().find(|one| id(one) != id(winner)).map(|one| id(one));
    match winner.terms.paused {
        true => (Method::None, Some(id(winner)), second, Some(Reason::Paused)),
        false => (method, Some(id(winner)), second, None),
    }
}

fn some_candidate() -> impl Strategy<Value = (i64, u16, bool, bool)> {
    (0..200i64, 1..6u16, any::<bool>(), proptest::bool::weighted(0.1))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn the_rule_is_what_a_slow_reading_of_it_says(
        clicks in proptest::collection::vec(some_candidate(), 0..12),
        named in proptest::option::of(some_candidate()),
        known in proptest::option::of(any::<prop::sample::Index>()),
        created in 0..200i64,
        clicked in proptest::option::of(0..220i64),
        found_by in prop_oneof![Just(None), Just(Some(Method::Pid)), Just(Some(Method::Relation))],
        told in any::<bool>(),
    ) {
        let make = |(number, (at, window, counts, paused)): (usize, (i64, u16, bool, bool))| {
            let mut made = candidate(number as u8 + 1, hour(at), window, counts);
            made.terms.paused = paused;
            made
        };
        let mut candidates: Vec<Candidate> = if found_by.is_some() { clicks.into_iter().enumerate().map(make).collect() } else { vec![] };
        candidates.sort_by_key(|one| std::cmp::Reverse((one.touch.at, one.touch.seq)));
        // The click an id names is often one of the candidates.
        let named = match known.filter(|_| !candidates.is_empty()) {
            Some(index) => Some(candidates[index.index(candidates.len())].clone()),
            None => named.map(|one| make((99, one))),
        };
        let promotion = if told || found_by.is_some() { by_pid() } else { Promotion::default() };
        let line = line(hour(created), clicked.map(hour), promotion);
        let evidence = Evidence { named, found_by, candidates };
        prop_assert_eq!(numbers(&decide(&line, &evidence, &rules())), slowly(&line, &evidence));
    }
}
