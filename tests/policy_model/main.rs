//! The compiled policy against an independent slow evaluator written straight from the rules: the same outcome, reason
//! and agreement for every click, and an explanation that says the same.
//!
//! `HOPGATE_MODEL_CASES` sets the number of random (link, policy, instant, facts), 200,000 unless set; 10,000,000 are the
//! long campaign of load-tests/README.md. `HOPGATE_SEED` repeats a run.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod draw;
mod slow;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use draw::{Click, Policy};
use hopgate::domain::policy::{Decision, PolicySet, Reason, Version, decide, explain};
use hopgate::domain::time::Timestamp;
use support::Dice;

/// Clicks asked of one policy.
const CLICKS: u64 = 100;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.replace('_', "").parse().expect(name))
}

fn compile(policy: &Policy) -> PolicySet {
    PolicySet::compile(Version([0; 32]), policy.agreements.clone(), &policy.defaults)
}

fn answer(decision: &Decision<'_>) -> slow::Answer {
    (decision.reason(), decision.agreement().map(|agreement| agreement.id.clone()))
}

/// What was asked of one share of the campaign, by reason.
#[derive(Default)]
struct Asked {
    reasons: BTreeMap<&'static str, u64>,
    on_boundaries: u64,
    explained: u64,
}

#[test]
fn the_compiled_policy_decides_as_the_rules_say() {
    let cases = number("HOPGATE_MODEL_CASES").unwrap_or(200_000);
    let fresh = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
    let seed = number("HOPGATE_SEED").unwrap_or(fresh);
    println!("HOPGATE_SEED={seed}");
    let policies = cases.div_ceil(CLICKS);
    let shares = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let asked: Vec<Asked> = std::thread::scope(|scope| {
        let shares: Vec<_> = (0..shares)
            .map(|share| {
                scope.spawn(move || {
                    let mut asked = Asked::default();
                    (share..policies).step_by(shares as usize).for_each(|place| one_policy(seed, place, &mut asked));
                    asked
                })
            })
            .collect();
        shares.into_iter().map(|share| share.join().expect("the rules and the compiled policy differ")).collect()
    });
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for (reason, count) in asked.iter().flat_map(|asked| &asked.reasons) {
        *reasons.entry(*reason).or_default() += count;
    }
    let total: u64 = reasons.values().sum();
    let on_boundaries: u64 = asked.iter().map(|asked| asked.on_boundaries).sum();
    let explained: u64 = asked.iter().map(|asked| asked.explained).sum();
    println!(
        "{total} clicks of {policies} policies, {on_boundaries} beside a boundary, {explained} explained: {reasons:?}"
    );
    assert_eq!(total, policies * CLICKS);
    if cases >= 10_000 {
        // A campaign that never comes to an answer proves nothing of it.
        assert!(on_boundaries > total / 2, "{on_boundaries} of {total} beside a boundary");
        for reason in &Reason::ALL[..Reason::DeniedByAgreement as usize + 1] {
            let count = reasons.get(reason.as_str()).copied().unwrap_or_default();
            assert!(count > total / 500, "only {count} of {total} are {reason}");
        }
    }
}

fn one_policy(seed: u64, place: u64, asked: &mut Asked) {
    let mut dice = Dice(seed ^ place.wrapping_mul(0xD6E8_FEB8_6659_FD93));
    let policy = draw::policy(&mut dice);
    let (compiled, boundaries) = (compile(&policy), draw::boundaries(&policy));
    for _ in 0..CLICKS {
        let click = draw::click(&mut dice, &policy, &boundaries);
        let found = answer(&decide(&compiled, &click.facts(), click.at));
        if found != slow::decide(&policy.agreements, &policy.defaults, &click) {
            fail(seed, policy, &click);
        }
        *asked.reasons.entry(found.0.as_str()).or_default() += 1;
        let beside = |boundary: &Timestamp| boundary.micros().abs_diff(click.at.micros()) <= 1;
        asked.on_boundaries += u64::from(boundaries.iter().any(beside));
    }
    // An explanation decides at every later boundary, so it is asked less often.
    let click = draw::click(&mut dice, &policy, &boundaries);
    explained(&policy, &compiled, &boundaries, &click);
    asked.explained += 1;
}

/// Ends the test with as few of the agreements as still differ.
fn fail(seed: u64, mut policy: Policy, click: &Click) -> ! {
    let differ = |policy: &Policy| {
        let compiled = compile(policy);
        let found = answer(&decide(&compiled, &click.facts(), click.at));
        let right = slow::decide(&policy.agreements, &policy.defaults, click);
        (found != right).then_some((found, right))
    };
    for place in (0..policy.agreements.len()).rev() {
        let mut fewer = policy.clone();
        fewer.agreements.remove(place);
        if differ(&fewer).is_some() {
            policy = fewer;
        }
    }
    let (found, right) = differ(&policy).expect("it differed");
    panic!("HOPGATE_SEED={seed}: decided {found:?}, the rules say {right:?}: {click:#?} under {policy:#?}");
}

/// The trace names what the rules name, and until `valid_until` nothing changes, and there something does.
fn explained(policy: &Policy, compiled: &PolicySet, boundaries: &[Timestamp], click: &Click) {
    let explanation = explain(compiled, &click.facts(), click.at);
    let told = answer(&explanation.decision);
    assert_eq!(told, slow::decide(&policy.agreements, &policy.defaults, click), "{click:?}");
    for looked in &explanation.trace {
        let agreement = policy.agreements.iter().find(|one| *one.id == *looked.agreement).unwrap();
        let failed = slow::ask(agreement, click).iter().filter(|(_, holds)| !holds).count();
        assert_eq!((looked.failed.len(), looked.matched), (failed, failed == 0), "{looked:?} {click:?}");
    }
    let same = |at: Timestamp| {
        let then = slow::decide(&policy.agreements, &policy.defaults, &Click { at, ..click.clone() });
        let allowed = |reason| matches!(reason, Reason::Allowed | Reason::AllowedByDefault);
        allowed(then.0) == allowed(told.0) && (!allowed(told.0) || then.1 == told.1)
    };
    let until = explanation.valid_until;
    for boundary in boundaries.iter().filter(|boundary| **boundary > click.at) {
        if until.is_some_and(|until| *boundary >= until) {
            break;
        }
        assert!(same(*boundary), "changes at {boundary}, before {until:?}: {click:?} under {policy:#?}");
    }
    if let Some(until) = until {
        assert!(!same(until), "nothing changes at {until}: {click:?} under {policy:#?}");
        assert!(same(Timestamp::from_micros(until.micros() - 1)), "changed before {until}");
    }
}
