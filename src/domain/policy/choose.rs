//! Which of a link's landings a click takes: the first the policy allows, all asked of one policy at one instant. Pure and
//! without allocation, like the decision of each.

use super::compile::PolicySet;
use super::decide::{Decision, Facts, decide};
use crate::domain::alternates::AlternateView;
use crate::domain::time::Timestamp;

/// What was chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice<'a, 'p> {
    /// 0 for the link's own landing, n for its n-th alternate.
    pub alternate: u8,
    /// What was known of that landing.
    pub facts: Facts<'a>,
    /// What was decided of it.
    pub decision: Decision<'p>,
    /// Its address, where an alternate was taken.
    pub url: Option<&'a str>,
}

impl<'a> Facts<'a> {
    /// The facts of the same click on another landing: creator, code, visitor, placement and carried facts stay.
    #[must_use]
    pub fn at_landing(&self, landing: &AlternateView<'a>) -> Facts<'a> {
        Facts {
            marketplace: landing.marketplace,
            shop_type: landing.shop_type,
            link_kind: landing.link_kind,
            category: landing.category,
            shop: landing.shop,
            item: landing.item,
            ..*self
        }
    }
}

/// Takes the first landing that is allowed at `at`: the link's `own`, else its `others` in order. When none is, the
/// choice is the refusal of the own one. `fell` hears of every refused landing in order, the own one first; it hears
/// nothing where there is no other.
#[inline]
pub fn choose<'a, 'p>(
    policy: &'p PolicySet,
    own: &Facts<'a>,
    others: impl Iterator<Item = AlternateView<'a>>,
    at: Timestamp,
    mut fell: impl FnMut(&Choice<'a, 'p>),
) -> Choice<'a, 'p> {
    let first = Choice { alternate: 0, facts: *own, decision: decide(policy, own, at), url: None };
    if first.decision.is_allow() {
        return first;
    }
    let mut before = first;
    for (place, landing) in (1..=u8::MAX).zip(others) {
        fell(&before);
        let facts = own.at_landing(&landing);
        let decision = decide(policy, &facts, at);
        let choice = Choice { alternate: place, facts, decision, url: Some(landing.url) };
        if decision.is_allow() {
            return choice;
        }
        before = choice;
    }
    if before.alternate > 0 {
        fell(&before);
    }
    first
}

/// The next instant at which another landing is taken, none any more, or another agreement's terms apply to the one
/// taken; `None` when that never comes under this policy.
pub fn choice_until<'a>(
    policy: &PolicySet,
    own: &Facts<'a>,
    others: &[AlternateView<'a>],
    at: Timestamp,
) -> Option<Timestamp> {
    let taken = |at| {
        let choice = choose(policy, own, others.iter().copied(), at, |_| {});
        choice
            .decision
            .is_allow()
            .then(|| (choice.alternate, choice.decision.agreement().map(|agreement| &agreement.id)))
    };
    let platform = own.platform?;
    let now = taken(at);
    let marketplaces = std::iter::once(own.marketplace).chain(others.iter().map(|other| other.marketplace));
    let mut boundaries: Vec<Timestamp> = marketplaces
        .filter_map(|marketplace| policy.pair(platform, marketplace))
        .flat_map(|pair| pair.boundaries.iter().copied())
        .filter(|boundary| *boundary > at)
        .collect();
    boundaries.sort_unstable();
    boundaries.dedup();
    boundaries.into_iter().find(|boundary| taken(*boundary) != now)
}
