//! On which terms data of a note or a click is returned: the attribution in force at the instant of reading. What a
//! funnel report asks. Never lets a click through, and never looks at data.
//!
//! Two sorts of agreement have terms: an allow with attribution, for the clicks it decides, and a data return, which has
//! nothing else. Where both speak, the one that would win as an agreement gives the terms: the more specific.

use serde::Serialize;

use super::agreement::{Agreement, Attribution, Effect};
use super::compile::PolicySet;
use super::decide::{Facts, decide};
use super::nearest::{Dimension, holds};
use crate::domain::time::Timestamp;

/// Terms in force.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Terms<'p> {
    /// The agreement that gives them.
    pub agreement: &'p str,
    /// Days after the reading within which an event counts.
    pub window_days: u16,
    /// Share of the data that is returned, above 0 and at most 1.
    pub sampling: f64,
    /// Names of the returned events.
    pub events: &'p [Box<str>],
}

impl<'p> Terms<'p> {
    /// The terms of an agreement, which are its attribution.
    pub fn of(agreement: &'p Agreement, attribution: &'p Attribution) -> Self {
        Terms {
            agreement: &agreement.id,
            window_days: attribution.window_days,
            sampling: attribution.sampling,
            events: &attribution.events,
        }
    }
}

/// What lies around an instant without terms: a pause has both.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Around<'p> {
    /// The agreement with terms that ended last before.
    pub ended: Option<&'p Agreement>,
    /// The one that begins next.
    pub begins: Option<&'p Agreement>,
}

impl Around<'_> {
    /// Whether the instant lies in a pause: there were terms before, and there will be.
    pub const fn is_pause(&self) -> bool {
        self.ended.is_some() && self.begins.is_some()
    }
}

/// The terms in force at `at`, the instant of reading, for what is known of the note or click. A condition that nothing
/// is known of is not met: data that may not be returned is not counted on.
pub fn terms<'p>(policy: &'p PolicySet, facts: &Facts<'_>, at: Timestamp) -> Option<Terms<'p>> {
    // A click that is refused has no terms of its own, and one that is allowed has those of the agreement that decided.
    let decided = Some(decide(policy, facts, at)).filter(|decision| decision.is_allow());
    let decided = decided.and_then(|decision| decision.agreement());
    speaking(policy, facts)
        .filter(|agreement| agreement.in_force(at))
        .filter(|agreement| {
            agreement.effect == Effect::DataReturn || decided.is_some_and(|other| other.id == agreement.id)
        })
        .find_map(|agreement| Some(Terms::of(agreement, agreement.attribution.as_ref()?)))
}

/// The ends of windows with terms nearest to `at`, for the same facts.
pub fn around<'p>(policy: &'p PolicySet, facts: &Facts<'_>, at: Timestamp) -> Around<'p> {
    Around {
        ended: speaking(policy, facts).filter(|agreement| agreement.until <= at).max_by_key(|a| (a.until, a.from)),
        begins: speaking(policy, facts).filter(|agreement| agreement.from > at).min_by_key(|a| a.from),
    }
}

/// Every agreement with terms that covers these facts at some instant, in winning order.
fn speaking<'p>(policy: &'p PolicySet, facts: &Facts<'_>) -> impl Iterator<Item = &'p Agreement> {
    policy.agreements().iter().filter(|agreement| {
        agreement.attribution.is_some()
            && agreement.effect != Effect::Deny
            && Some(agreement.platform) == facts.platform
            && agreement.marketplaces.contains(&facts.marketplace)
            && Dimension::ALL
                .into_iter()
                .filter(|dimension| !matches!(dimension, Dimension::Window | Dimension::Rollout))
                // The window is asked apart, so any instant will do here.
                .all(|dimension| holds(dimension, agreement, facts, agreement.from))
    })
}
