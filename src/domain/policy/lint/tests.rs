//! Findings against small policies by hand, and against every click of a grid for random ones.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;
use crate::domain::policy::nearest::{Dimension, holds};
use crate::domain::policy::{Agreement, Attribution, Conditions, Effect, Rollout, Step, StickTo, Version, terms};
use crate::domain::vocabulary::LandingMode;

const KUAISHOU: PlatformId = PlatformId(0);

fn at(tick: i64) -> Timestamp {
    Timestamp::from_micros(tick)
}

fn agreement(id: &str, effect: Effect, from: i64, until: Option<i64>, when: Conditions) -> Agreement {
    Agreement {
        id: id.into(),
        title: "".into(),
        platform: KUAISHOU,
        marketplaces: vec![MarketplaceId::JD],
        effect,
        from: at(from),
        until: until.map_or(Timestamp::MAX, at),
        when,
        rollout: None,
        landing: LandingMode::App,
        attribution: None,
        priority: 0,
        evidence: "".into(),
    }
}

fn on(surfaces: &[Surface]) -> Conditions {
    Conditions { surfaces: surfaces.to_vec(), ..Conditions::default() }
}

fn compile(agreements: Vec<Agreement>) -> PolicySet {
    PolicySet::compile(Version([0; 32]), agreements, &[])
}

fn look(policy: &PolicySet, now: i64, links: &dyn Fn(&str) -> Option<u64>) -> Vec<Lint> {
    let traffic = HeavyTraffic { hours: vec![], sales: vec![] };
    let found =
        lint(policy, &LintContext { now: at(now), links_depending: links, traffic: &traffic, most: usize::MAX });
    found.iter().for_each(|lint| is_shown(policy, lint));
    found
}

/// Whether the example of a finding shows what the finding says.
fn is_shown(policy: &PolicySet, lint: &Lint) {
    let Some(click) = &lint.example else {
        let needs_none = [Kind::Unsettled, Kind::HeavyMinute, Kind::RolloutIncomplete, Kind::FarEnd, Kind::DeadRule];
        assert!(needs_none.contains(&lint.kind), "{lint:?} shows nothing");
        return;
    };
    let facts = click.facts();
    let found = decide(policy, &facts, click.at);
    let decided = found.agreement().map(|agreement| &agreement.id);
    let first = policy.agreements().iter().find(|agreement| agreement.id == lint.agreements[0]).unwrap();
    let meets = |when| Dimension::ALL.into_iter().all(|dimension| holds(dimension, first, &facts, when));
    match lint.kind {
        Kind::Contradiction => {
            assert!(meets(click.at) && found.reason() == super::super::Reason::DeniedByAgreement, "{lint:?} {found:?}");
        }
        Kind::DeadRule => assert!(meets(click.at) && decided != Some(&first.id), "{lint:?} {found:?}"),
        Kind::Overlap if first.effect == Effect::DataReturn => {
            let terms = terms::terms(policy, &facts, click.at).unwrap();
            assert!(meets(click.at) && *terms.agreement == *lint.agreements[1], "{lint:?} {terms:?}");
        }
        Kind::Overlap => {
            assert!(meets(click.at) && found.is_allow() && decided == Some(&lint.agreements[1]), "{lint:?} {found:?}");
        }
        Kind::Gap => {
            let before = decide(policy, &facts, click.at.plus_micros(-1));
            let by = before.agreement().map(|agreement| &agreement.id);
            assert!(before.is_allow() && by == Some(&first.id) && !found.is_allow(), "{lint:?} {found:?}");
        }
        other => panic!("{other} needs no example"),
    }
}

fn told(found: &[Lint]) -> Vec<(Severity, Kind, String)> {
    found.iter().map(|lint| (lint.severity, lint.kind, lint.agreements.join(" "))).collect()
}

use Effect::{Allow, DataReturn, Deny};
use Surface::{Comment, LiveCart, Note};

#[test]
fn an_allow_that_denies_leave_nothing_of_is_an_error_and_a_narrowed_one_a_warning() {
    let both = on(&[LiveCart, Note]);
    let allow = agreement("allow", Allow, 10, Some(20), both);
    let none = |_: &str| Some(0);
    let narrowed = compile(vec![allow.clone(), agreement("deny-a", Deny, 0, None, on(&[LiveCart]))]);
    let found = look(&narrowed, 0, &none);
    assert_eq!(told(&found), [(Severity::Warning, Kind::Contradiction, "allow deny-a".to_owned())]);
    assert!(found[0].message.contains("is narrowed by `deny-a`"), "{}", found[0].message);

    // Two denies together leave nothing, though neither does alone, and only from the middle of the window on one of them.
    let (a, b) =
        (agreement("deny-a", Deny, 0, None, on(&[LiveCart])), agreement("deny-b", Deny, 10, None, on(&[Note])));
    let gone = compile(vec![allow.clone(), a.clone(), b.clone()]);
    let found = look(&gone, 0, &none);
    assert_eq!(told(&found)[0], (Severity::Error, Kind::Contradiction, "allow deny-b deny-a".to_owned()));
    let said = &found[0].message;
    assert!(said.contains("`deny-b`, `deny-a` deny all of it; narrow the denies,"), "{said}");
    let alone = look(&compile(vec![allow.clone(), agreement("deny", Deny, 0, None, on(&[]))]), 0, &none);
    assert!(alone[0].message.contains("`deny` denies all of it; narrow the deny,"), "{}", alone[0].message);
    let later = Agreement { from: at(11), ..b };
    let found = look(&compile(vec![allow, a, later]), 0, &none);
    assert_eq!(found[0].severity, Severity::Warning, "it allowed for one tick: {found:?}");
}

#[test]
fn equal_weight_and_other_terms_is_an_overlap() {
    let (mut a, mut b) =
        (agreement("a", Allow, 0, None, on(&[LiveCart])), agreement("b", Allow, 0, None, on(&[LiveCart, Note])));
    let none = |_: &str| Some(0);
    assert!(told(&look(&compile(vec![a.clone(), b.clone()]), 5, &none)).iter().all(|found| found.1 != Kind::Overlap));
    b.landing = LandingMode::Web;
    let found = look(&compile(vec![a.clone(), b.clone()]), 5, &none);
    // `b` wins by its id, and leaves nothing of `a`.
    assert_eq!(told(&found), [(Severity::Warning, Kind::DeadRule, "a b".to_owned())]);
    assert!(found[0].message.contains("`b` always comes first;"), "{}", found[0].message);
    a.when.surfaces.push(Comment);
    let found = look(&compile(vec![a.clone(), b.clone()]), 5, &none);
    assert_eq!(told(&found), [(Severity::Warning, Kind::Overlap, "a b".to_owned())]);
    assert!(found[0].message.contains("greater id"), "{}", found[0].message);
    a.priority = 1;
    assert_eq!(told(&look(&compile(vec![a, b]), 5, &none)), []);

    let terms = |window_days| Some(Attribution { window_days, sampling: 1.0, events: vec![] });
    let one = Agreement { attribution: terms(15), ..agreement("one", DataReturn, 0, None, on(&[])) };
    let two = Agreement { attribution: terms(30), ..agreement("two", DataReturn, 3, None, on(&[])) };
    let found = look(&compile(vec![one, two]), 5, &none);
    assert_eq!(told(&found), [(Severity::Warning, Kind::Overlap, "one two".to_owned())]);
}

#[test]
fn a_gap_is_told_with_its_links_and_a_successor_closes_it() {
    let first = agreement("first", Allow, 0, Some(10), on(&[LiveCart, Note]));
    let next = |from, surfaces| agreement("next", Allow, from, None, on(surfaces));
    let some = |_: &str| Some(3);
    let gap = |found: &[Lint]| found.iter().find(|lint| lint.kind == Kind::Gap).map(|lint| lint.message.clone());
    let alone = look(&compile(vec![first.clone()]), 5, &some);
    assert!(gap(&alone).unwrap().contains("3 links depend on it"), "{alone:?}");
    assert_eq!(gap(&look(&compile(vec![first.clone()]), 5, &|_| Some(0))), None, "nothing depends on it");
    assert_eq!(gap(&look(&compile(vec![first.clone()]), 10, &some)), None, "it is over");
    assert!(gap(&look(&compile(vec![first.clone()]), 5, &|_| None)).is_some(), "nobody counted");
    assert_eq!(gap(&look(&compile(vec![first.clone(), next(10, &[LiveCart, Note])]), 5, &some)), None);
    assert!(gap(&look(&compile(vec![first.clone(), next(11, &[LiveCart, Note])]), 5, &some)).is_some(), "too late");
    let found = look(&compile(vec![first.clone(), next(4, &[LiveCart])]), 5, &some);
    let gap_at = found.iter().find(|lint| lint.kind == Kind::Gap).unwrap();
    assert_eq!(gap_at.example.as_ref().unwrap().surface, Some(Note));
    let denied = vec![first, next(10, &[LiveCart, Note]), agreement("stop", Deny, 10, None, on(&[Note]))];
    assert!(gap(&look(&compile(denied), 5, &some)).is_some(), "the successor is denied");
}

#[test]
fn what_is_over_is_not_complained_of() {
    let old = |id: &str| Agreement { landing: LandingMode::Web, ..agreement(id, Allow, 0, Some(5), on(&[LiveCart])) };
    let policy = compile(vec![old("a"), old("b"), agreement("stop", Deny, 0, Some(5), on(&[]))]);
    assert_eq!(told(&look(&policy, 5, &|_| None)), []);
    assert!(!look(&policy, 4, &|_| None).is_empty());
}

#[test]
fn stages_and_ends_of_one_agreement() {
    let day = |text: &str| text.parse::<Timestamp>().unwrap();
    let mut one = agreement("one", Allow, 0, None, on(&[]));
    one.until = day("2099-11-11T22:30:00");
    one.rollout = Some(Rollout {
        by: StickTo::Creator,
        salt: "one".into(),
        steps: vec![
            Step { at: at(0), basis_points: 1_000 },
            Step { at: day("2026-03-03T20:00:00"), basis_points: 5_000 },
        ],
    });
    let traffic = HeavyTraffic::default();
    let links = |_: &str| Some(0);
    let context = LintContext { now: day("2026-01-01"), links_depending: &links, traffic: &traffic, most: MOST };
    let found = lint(&compile(vec![one.clone()]), &context);
    let kinds: Vec<Kind> = found.iter().map(|lint| lint.kind).collect();
    assert_eq!(kinds, [Kind::HeavyMinute, Kind::RolloutIncomplete, Kind::FarEnd], "{found:?}");
    assert!(found[0].message.contains("widens at 2026-03-03T20:00:00+08:00, within the heavy hours 19:00-24:00"));
    one.rollout.as_mut().unwrap().steps.truncate(1);
    one.rollout.as_mut().unwrap().steps[0].basis_points = 0;
    let found = lint(&compile(vec![one]), &context);
    assert!(
        found.iter().any(|lint| lint.kind == Kind::DeadRule && lint.message.contains("lets anyone in")),
        "{found:?}"
    );
}

#[test]
fn a_long_list_of_findings_is_cut_and_counted() {
    let many = (0..30).map(|n| agreement(&format!("a-{n:02}"), Allow, 0, Some(10), on(&[LiveCart]))).collect();
    let traffic = HeavyTraffic::default();
    let links = |_: &str| None;
    let policy = compile(many);
    for (most, said) in [(5, "24 more of dead_rule are not listed:"), (28, "1 more of dead_rule is not listed:")] {
        let found = lint(&policy, &LintContext { now: at(0), links_depending: &links, traffic: &traffic, most });
        let dead: Vec<&Lint> = found.iter().filter(|lint| lint.kind == Kind::DeadRule).collect();
        assert_eq!(dead.len(), most + 1);
        assert!(dead[most].message.starts_with(said), "{}", dead[most].message);
    }
}

/// Many agreements of one pair, in the shapes that cost most; `HOPGATE_LINT_MANY` sets how many. Findings are real here too.
#[test]
fn many_agreements_are_looked_at_in_seconds() {
    let many = std::env::var("HOPGATE_LINT_MANY").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000);
    type Make = fn(usize) -> Agreement;
    let shapes: [(&str, Make); 5] = [
        ("alike", |n| agreement(&format!("a-{n}"), Allow, 0, Some(10), on(&[LiveCart]))),
        ("one creator each", |n| {
            let when = Conditions { creators: vec![format!("c{n}").into()], ..Conditions::default() };
            agreement(&format!("a-{n}"), Allow, 0, Some(10), when)
        }),
        ("one after another", |n| agreement(&format!("a-{n}"), Allow, n as i64, Some(n as i64 + 1), on(&[LiveCart]))),
        ("growing", |n| {
            agreement(&format!("a-{n}"), Allow, 20_000 - n as i64, Some(20_001 + n as i64), on(&[LiveCart]))
        }),
        ("of all sorts", |n| {
            let when = Conditions {
                surfaces: vec![Surface::ALL[n % 12], Surface::ALL[n / 7 % 12]],
                shop_types: vec![ShopType::ALL[n / 3 % 4]],
                categories: (0..n % 3).map(|k| format!("g{}", (n * 7 + k) % 50).into()).collect(),
                creators: (0..n % 2).map(|k| format!("c{}", (n * 13 + k) % 400).into()).collect(),
                ..Conditions::default()
            };
            let from = (n * 37 % 5_000) as i64;
            let effect = if n % 20 == 0 { Deny } else { Allow };
            agreement(&format!("a-{n}"), effect, from, Some(from + 1 + (n % 900) as i64), when)
        }),
    ];
    let traffic = HeavyTraffic::default();
    let links = |_: &str| None;
    let context = LintContext { now: at(0), links_depending: &links, traffic: &traffic, most: MOST };
    for (name, make) in shapes {
        let policy = compile((0..many).map(make).collect());
        let began = std::time::Instant::now();
        let found = lint(&policy, &context);
        println!("{name}: {} findings in {:?}", found.len(), began.elapsed());
        found.iter().filter(|lint| !lint.agreements.is_empty()).for_each(|lint| is_shown(&policy, lint));
        assert!(began.elapsed().as_secs() < 60, "{name} took {:?}", began.elapsed());
    }
}

const WORDS: [&str; 2] = ["red", "blue"];
const SHARES: [u16; 4] = [0, 3_000, 6_000, 10_000];

prop_compose! {
    fn any_agreement()(
        marketplaces in subsequence(vec![MarketplaceId::TAOBAO, MarketplaceId::JD], 1..=2),
        effect in prop_oneof![5 => Just(Allow), 2 => Just(Deny), 1 => Just(DataReturn)],
        from in 0i64..8,
        length in prop::option::of(1i64..8),
        surfaces in prop_oneof![Just(vec![]), subsequence(vec![LiveCart, Note], 1..=2)],
        shop_types in prop_oneof![2 => Just(vec![]), 1 => subsequence(vec![ShopType::Flagship, ShopType::Pop], 1..=2)],
        categories in prop_oneof![2 => Just(vec![]), 1 => subsequence(WORDS.map(Box::<str>::from).to_vec(), 1..=2)],
        creators in prop_oneof![3 => Just(vec![]), 1 => subsequence(WORDS.map(Box::<str>::from).to_vec(), 1..=2)],
        requires in prop_oneof![3 => Just(vec![]), 1 => Just(vec![Box::<str>::from("red")])],
        rollout in prop::option::weighted(0.3, (any::<bool>(), 0usize..4, 0usize..4, 1i64..4, select(vec!["s", "t"]))),
        landing in select(vec![LandingMode::App, LandingMode::Web]),
        priority in 0i32..2,
    ) -> Agreement {
        let conditions = Conditions { surfaces, shop_types, categories, creators, requires, ..Conditions::default() };
        let base = agreement("", effect, from, length.map(|length| from + length), conditions);
        let rollout = rollout.filter(|_| effect != DataReturn).map(|(by_creator, one, other, later, salt)| Rollout {
            by: if by_creator { StickTo::Creator } else { StickTo::Visitor },
            salt: salt.into(),
            steps: vec![
                Step { at: at(from), basis_points: SHARES[one.min(other)] },
                Step { at: at(from + later), basis_points: SHARES[one.max(other)] },
            ],
        });
        let attribution = (effect == DataReturn)
            .then(|| Attribution { window_days: priority as u16 + 1, sampling: 1.0, events: vec![] });
        Agreement { marketplaces, rollout, landing, priority, attribution, ..base }
    }
}

/// Clicks of every sort the random agreements can tell apart, at every tick.
fn grid(visit: &mut dyn FnMut(&Facts<'_>, Timestamp)) {
    let creators = ["red", "blue", "c1", "c2", "c3", ""];
    for marketplace in [MarketplaceId::TAOBAO, MarketplaceId::JD] {
        for surface in [Some(LiveCart), Some(Note), Some(Comment), None] {
            for shop_type in [ShopType::Flagship, ShopType::Pop, ShopType::CStore, ShopType::Unknown] {
                for category in ["red", "blue", "other", ""] {
                    for creator in creators {
                        for carried in ["", "red", "!red"] {
                            for visitor in [0, 1, 2] {
                                let facts = Facts {
                                    platform: Some(KUAISHOU),
                                    surface,
                                    marketplace,
                                    shop_type,
                                    link_kind: LinkKind::Item,
                                    category,
                                    creator,
                                    shop: "",
                                    item: "",
                                    carried,
                                    link: "",
                                    visitor,
                                };
                                (0..16).for_each(|tick| visit(&facts, at(tick)));
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Random policies that are held against the grid; `HOPGATE_LINT_CASES` sets another number.
fn cases() -> u32 {
    std::env::var("HOPGATE_LINT_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn findings_are_what_every_click_says(agreements in prop::collection::vec(any_agreement(), 1..7), now in 0i64..4) {
        let mut agreements = agreements;
        for (place, agreement) in agreements.iter_mut().enumerate() {
            agreement.id = format!("rule-{place}").into();
        }
        let policy = compile(agreements);
        // Each example is asked of the policy there; the clicks of living agreements are asserted within.
        let found = look(&policy, now, &|_| None);
        let named = |kind: Kind, severity: Severity| -> BTreeSet<&str> {
            let fits = |lint: &&Lint| (lint.kind, lint.severity) == (kind, severity);
            found.iter().filter(fits).map(|lint| &*lint.agreements[0]).collect()
        };
        let unsettled: BTreeSet<&str> =
            found.iter().filter(|lint| lint.kind == Kind::Unsettled).flat_map(|lint| &lint.agreements).map(|id| &**id).collect();
        let dead = &named(Kind::DeadRule, Severity::Warning) | &named(Kind::Contradiction, Severity::Error);
        let narrowed = &named(Kind::Contradiction, Severity::Warning) | &named(Kind::Contradiction, Severity::Error);
        let gaps = named(Kind::Gap, Severity::Warning);
        let mut wrong = None;
        grid(&mut |facts, when| {
            let decision = decide(&policy, facts, when);
            let decided = decision.agreement().map_or("", |agreement| &agreement.id);
            let decides = decision.is_allow() || decision.reason() == super::super::Reason::DeniedByAgreement;
            if decides && dead.contains(decided) {
                wrong = Some(format!("{decided} is dead and decides {facts:?} at {when}"));
            }
            for agreement in policy.agreements().iter().filter(|agreement| agreement.effect == Allow && agreement.until > at(now)) {
                let id = &*agreement.id;
                let settled = !unsettled.contains(id) && !dead.contains(id);
                let meets = || agreement.marketplaces.contains(&facts.marketplace) && Dimension::ALL.into_iter().all(|dimension| holds(dimension, agreement, facts, when));
                if settled && when >= at(now) && !decision.is_allow() && meets() && !narrowed.contains(id) {
                    wrong = Some(format!("{id} is denied {facts:?} at {when} and nobody says so"));
                }
                if settled && when == agreement.until && !decision.is_allow() && !gaps.contains(id) {
                    let before = decide(&policy, facts, when.plus_micros(-1));
                    if before.is_allow() && before.agreement().is_some_and(|before| before.id == agreement.id) {
                        wrong = Some(format!("{id} ends for {facts:?} at {when} and nobody says so"));
                    }
                }
            }
        });
        prop_assert!(wrong.is_none(), "{}\n{found:#?}", wrong.unwrap_or_default());
    }
}
