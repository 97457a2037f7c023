//! The shipped cooperation history, answered as it happened: one millisecond before, at and after every boundary. The
//! expectations are in `tests/data/policy_history.txt` and `policy_terms.txt`, written from the facts by hand.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use hopgate::domain::policy::lint::HeavyTraffic;
use hopgate::domain::policy::{Agreement, Decision, Effect, Facts, PolicySet, Reason, decide, explain, terms};
use hopgate::domain::time::Timestamp;
use hopgate::domain::vocabulary::{LandingMode, LinkKind, ShopType, Surface, Vocabulary};
use hopgate::policies::{folder, lints};
use support::Place;

fn shipped() -> PolicySet {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/policies");
    folder::load(&folder, &Vocabulary::default()).expect("the shipped policies are sound").policy
}

/// The rows of a table of `tests/data`, without its head line.
fn rows(name: &str) -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    lines.skip(1).map(cells).collect()
}

/// What a row says of `name` in its cell `with`.
fn stated<'r>(with: &'r str, name: &str) -> Option<&'r str> {
    with.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}

fn facts<'a>(placement: &str, goods: &str, link_kind: &str, with: &'a str) -> Facts<'a> {
    let words = Vocabulary::default();
    let (platform, surface) = placement.split_once('/').expect("platform/surface");
    let (marketplace, shop_type) = goods.split_once('/').expect("marketplace/shop_type");
    let text = |name: &str| stated(with, name).unwrap_or_default();
    Facts {
        platform: Some(words.platform(platform).expect("a platform")),
        surface: Surface::parse(surface),
        marketplace: words.marketplace(marketplace).expect("a marketplace"),
        shop_type: ShopType::parse(shop_type).expect("a shop type"),
        link_kind: LinkKind::parse(link_kind).expect("a link kind"),
        category: text("category"),
        creator: text("creator"),
        shop: "",
        item: text("item"),
        carried: text("fact"),
        link: "AbCd1234",
        visitor: 0,
    }
}

/// Everything a decision says, in the words of the table.
fn told(decision: &Decision<'_>) -> [String; 4] {
    let (outcome, landing) = match decision {
        Decision::Allow(permit) => ("allow", permit.landing().as_str()),
        Decision::Refuse(_) => ("deny", "-"),
    };
    let agreement = decision.agreement().map_or("-", |agreement| &agreement.id);
    [outcome, decision.reason().as_str(), agreement, landing].map(str::to_owned)
}

#[test]
fn history_is_answered_as_it_happened() {
    let policy = shipped();
    let mut wrong = Vec::new();
    for row in rows("policy_history.txt") {
        let [at, placement, goods, kind, with, expected @ ..] = &row[..] else { panic!("{row:?}") };
        let found = told(&decide(&policy, &facts(placement, goods, kind, with), at.parse().unwrap()));
        if found[..] != *expected {
            wrong.push(format!("{}\n    found {}", row.join(" | "), found.join(" | ")));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn terms_are_those_of_the_instant_of_reading() {
    let policy = shipped();
    for row in rows("policy_terms.txt") {
        let [at, placement, goods, with, expected @ ..] = &row[..] else { panic!("{row:?}") };
        let found = match terms::terms(&policy, &facts(placement, goods, "item", with), at.parse().unwrap()) {
            Some(terms) => [
                terms.agreement.to_owned(),
                terms.window_days.to_string(),
                terms.sampling.to_string(),
                terms.events.join(" "),
            ],
            None => ["-", "-", "-", "-"].map(str::to_owned),
        };
        assert_eq!(found[..], *expected, "{}", row.join(" | "));
    }
}

/// Instants at which an agreement begins, ends or widens.
fn boundaries(agreement: &Agreement) -> BTreeSet<Timestamp> {
    let steps = agreement.rollout.iter().flat_map(|rollout| rollout.steps.iter().map(|step| step.at));
    let ends = [agreement.from, agreement.until].into_iter().chain(steps);
    ends.filter(|at| *at != Timestamp::MIN && *at != Timestamp::MAX).collect()
}

#[test]
fn every_boundary_has_its_rows() {
    let policy = shipped();
    let words = Vocabulary::default();
    let (decided, returned) = (rows("policy_history.txt"), rows("policy_terms.txt"));
    let mut missing = Vec::new();
    for agreement in policy.agreements() {
        let (table, named) = if agreement.effect == Effect::DataReturn { (&returned, 4) } else { (&decided, 7) };
        for boundary in boundaries(agreement) {
            for marketplace in &agreement.marketplaces {
                let here = |row: &&Vec<String>| {
                    row[1].split('/').next() == Some(words.platform_name(agreement.platform))
                        && row[2].split('/').next() == Some(words.marketplace_name(*marketplace))
                };
                for offset in [-1_000, 0, 1_000] {
                    let at = boundary.plus_micros(offset);
                    if !table.iter().filter(here).any(|row| row[0].parse() == Ok(at)) {
                        missing.push(format!("{}: {at} {}", agreement.id, words.marketplace_name(*marketplace)));
                    }
                }
            }
            // The agreement itself speaks on one side of each of its boundaries.
            let near = |row: &&Vec<String>| {
                let at: Timestamp = row[0].parse().unwrap();
                row[named] == *agreement.id && (at.micros() - boundary.micros()).abs() <= 1_000
            };
            if !table.iter().any(|row| near(&row)) {
                missing.push(format!("{}: no row at {boundary} names it", agreement.id));
            }
        }
        assert!(agreement.evidence.len() > 40, "{} says where it was taken from", agreement.id);
        assert!(agreement.title.contains(" / "), "{} has a title in both languages", agreement.id);
    }
    assert!(missing.is_empty(), "\n{}", missing.join("\n"));
}

#[test]
fn explain_answers_rows_of_the_table() {
    let place = Place::new("");
    let dir = support::shipped();
    std::fs::write(place.path("hopgate.toml"), format!("[policies]\ndir = {:?}\n", dir.to_str().unwrap())).unwrap();
    let all = rows("policy_history.txt");
    let mut asked = BTreeSet::new();
    // One row of every agreement, reason and marketplace.
    for row in &all {
        let [at, placement, goods, kind, with, outcome, reason, agreement, landing] = &row[..] else {
            panic!("{row:?}")
        };
        let (platform, surface) = placement.split_once('/').unwrap();
        let (marketplace, shop_type) = goods.split_once('/').unwrap();
        if stated(with, "fact").is_some_and(|fact| fact.starts_with('!'))
            || !asked.insert((agreement, reason, marketplace))
        {
            continue;
        }
        let mut arguments = vec!["explain", "--platform", platform, "--surface", surface, "--marketplace", marketplace];
        arguments.extend(["--shop-type", shop_type, "--link-kind", kind, "--at", at, "--json"]);
        for name in ["category", "creator", "item", "fact"] {
            let flag = ["--category", "--creator", "--item", "--fact"].into_iter().find(|flag| flag.ends_with(name));
            if let Some(value) = stated(with, name) {
                arguments.extend([flag.unwrap(), value]);
            }
        }
        let ran = place.run(&arguments);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{row:?} {ran:?}");
        let found: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        let text = |name: &str| found[name].as_str().unwrap_or("-").to_owned();
        assert_eq!([text("outcome"), text("reason"), text("agreement")], [&**outcome, reason, agreement], "{row:?}");
        assert_eq!(found["at"], at.parse::<Timestamp>().unwrap().to_string());
        let lands = &found["landing"];
        assert_eq!((&lands["marketplace"], &lands["url"]), (&marketplace.into(), &serde_json::Value::Null));
        assert_eq!(lands["item_id"].as_str(), stated(with, "item"), "{landing}");
    }
    assert!(asked.len() >= 70, "{} kinds of row were asked", asked.len());
}

#[test]
fn the_staged_opening_lets_in_half_of_the_creators_on_the_first_day() {
    let policy = shipped();
    let at: Timestamp = "2022-10-28T12:00:00".parse().unwrap();
    let mut is_in = 0;
    for number in 0..2_000 {
        let creator = format!("creator=creator-{number}");
        let facts = facts("kuaishou/live_cart", "jd/self_operated", "item", &creator);
        is_in += usize::from(decide(&policy, &facts, at).is_allow());
        assert!(decide(&policy, &facts, "2022-10-29".parse().unwrap()).is_allow(), "{creator} was put out by widening");
    }
    assert!((900..1_100).contains(&is_in), "{is_in} of 2,000");
    let unknown = facts("kuaishou/live_cart", "jd/self_operated", "item", "");
    assert_eq!(decide(&policy, &unknown, at).reason(), Reason::NotInRollout);
}

#[test]
fn an_explanation_names_every_agreement_and_until_when_it_holds() {
    let policy = shipped();
    let at: Timestamp = "2022-11-30T23:59:59.999+08:00".parse().unwrap();
    let facts = facts("kuaishou/live_cart", "jd/self_operated", "item", "creator=creator-1");
    let told = explain(&policy, &facts, at);
    assert!(told.decision.is_allow());
    assert_eq!(told.valid_until, Some("2022-12-01T00:00:00+08:00".parse().unwrap()));
    assert_eq!(told.trace.len(), 4);
    assert_eq!(told.decision.agreement().unwrap().landing, LandingMode::App);
    let later = explain(&policy, &facts, at.plus_micros(1_000));
    assert_eq!(later.decision.reason(), Reason::WindowEnded);
    assert_eq!(later.valid_until, None);
    let ended = later.trace.iter().find(|looked| &*looked.agreement == "kuaishou-jd-double11-2022").unwrap();
    assert_eq!(ended.failed.len(), 1);
}

#[test]
fn a_pause_says_what_lies_around_it() {
    let policy = shipped();
    let asked = facts("xiaohongshu/note", "tmall/flagship", "item", "category=beauty");
    let around = terms::around(&policy, &asked, "2023-12-01".parse().unwrap());
    assert_eq!(around.ended.map(|agreement| &*agreement.id), Some("xiaohongshu-xiaohongxing-1-2022"));
    assert_eq!(around.begins.map(|agreement| &*agreement.id), Some("xiaohongshu-xiaohongxing-2-first-2024"));
}

#[test]
fn the_lint_finds_no_error_at_any_time_and_nothing_of_today() {
    let (policy, words) = (shipped(), Vocabulary::default());
    let mut instants: BTreeSet<Timestamp> = policy.agreements().iter().flat_map(boundaries).collect();
    instants.insert("2018-01-01".parse().unwrap());
    let found = |now| lints::look(&policy, &words, &HeavyTraffic::default(), now, &|_| None);
    for now in instants {
        let errors: Vec<String> = found(now).iter().filter(|lint| lint.is_error()).map(ToString::to_string).collect();
        assert!(errors.is_empty(), "{now}: {errors:?}");
    }
    let today = found("2026-11-20".parse().unwrap());
    assert!(today.is_empty(), "{today:#?}");
    // The end that the press could not explain either.
    let told: Vec<String> = found("2022-11-15".parse().unwrap()).iter().map(ToString::to_string).collect();
    let gap = "warning: gap: `kuaishou-jd-double11-2022` ends at 2022-12-01T00:00:00+08:00 and nothing goes on";
    assert!(told.iter().any(|line| line.starts_with(gap) && line.contains("surface=live_cart")), "{told:#?}");
}
