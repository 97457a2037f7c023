//! The decision of a click with its trace: every agreement of the pair, what it asked and what it met, and until when
//! the decision holds. The same decision function as a live click; never a second opinion.

use serde::Serialize;

use super::agreement::{Agreement, Effect};
use super::choose::choice_until;
use super::compile::PolicySet;
use super::decide::{Decision, Facts, decide};
use super::nearest::{Dimension, holds};
use crate::domain::time::Timestamp;

/// One agreement of the pair as it looked at the click.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Looked {
    /// Its id.
    pub agreement: String,
    /// Its title.
    pub title: String,
    /// Allow or deny.
    pub effect: Effect,
    /// Whether every condition held.
    pub matched: bool,
    /// The conditions that did not hold, in the order of asking.
    pub failed: Vec<Failed>,
}

/// A condition that did not hold.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Failed {
    /// Which one.
    pub condition: Dimension,
    /// What the agreement asks for.
    pub wanted: String,
    /// What the click had; `unknown` when nothing was known.
    pub found: String,
}

/// A decision with its trace.
#[derive(Clone, PartialEq, Debug)]
pub struct Explanation<'p> {
    /// The decision.
    pub decision: Decision<'p>,
    /// Until when it holds for the same facts; `None` for good.
    pub valid_until: Option<Timestamp>,
    /// Every agreement between the two, in winning order.
    pub trace: Vec<Looked>,
}

/// Explains the decision of a click at `at`.
pub fn explain<'p>(policy: &'p PolicySet, facts: &Facts<'_>, at: Timestamp) -> Explanation<'p> {
    let rules = facts
        .platform
        .and_then(|platform| policy.pair(platform, facts.marketplace))
        .map_or(&[][..], |pair| &pair.rules);
    let trace = rules
        .iter()
        .map(|place| {
            let agreement = policy.agreement(*place);
            let failed: Vec<Failed> = Dimension::ALL
                .into_iter()
                .filter(|dimension| !holds(*dimension, agreement, facts, at))
                .map(|dimension| describe(dimension, agreement, facts, at))
                .collect();
            Looked {
                agreement: agreement.id.to_string(),
                title: agreement.title.to_string(),
                effect: agreement.effect,
                matched: failed.is_empty(),
                failed,
            }
        })
        .collect();
    Explanation { decision: decide(policy, facts, at), valid_until: valid_until(policy, facts, at), trace }
}

/// The next instant at which the outcome changes, or another agreement's terms apply, for the same facts; `None` when
/// it never does under this policy.
pub fn valid_until(policy: &PolicySet, facts: &Facts<'_>, at: Timestamp) -> Option<Timestamp> {
    choice_until(policy, facts, &[], at)
}

fn describe(dimension: Dimension, agreement: &Agreement, facts: &Facts<'_>, at: Timestamp) -> Failed {
    fn list<T: ToString>(values: &[T]) -> String {
        values.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
    }
    let known = |text: &str| if text.is_empty() { "unknown".to_owned() } else { text.to_owned() };
    let when = &agreement.when;
    let (wanted, found) = match dimension {
        Dimension::Surface => {
            (list(&when.surfaces), facts.surface.map_or("unknown".to_owned(), |surface| surface.to_string()))
        }
        Dimension::Window => {
            let until = if agreement.until == Timestamp::MAX { "…".to_owned() } else { agreement.until.to_string() };
            (format!("[{}, {until})", agreement.from), at.to_string())
        }
        Dimension::LinkKind => (list(&when.link_kinds), facts.link_kind.to_string()),
        Dimension::ShopType => (list(&when.shop_types), facts.shop_type.to_string()),
        Dimension::Category => (list(&when.categories), known(facts.category)),
        Dimension::Creator => (format!("one of {} listed creators", when.creators.len()), known(facts.creator)),
        Dimension::Shop => (format!("one of {} listed shops", when.shops.len()), known(facts.shop)),
        Dimension::Item => (format!("one of {} listed items", when.items.len()), known(facts.item)),
        Dimension::Requirement => (list(&when.requires), known(facts.carried)),
        Dimension::Rollout => {
            let share = agreement.rollout.as_ref().map_or(0, |rollout| rollout.basis_points(at));
            let bucket = super::decide::in_rollout(agreement, facts, at).1;
            (format!("bucket below {share} of 10000"), bucket.map_or("unknown".to_owned(), |b| b.to_string()))
        }
    };
    Failed { condition: dimension, wanted, found }
}
