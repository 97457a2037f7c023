//! The landings of a link with alternates, each with what the policy says of it alone. Asks the policy; never chooses.

use serde::Serialize;

use super::decision::{Aim, Case, LandingView, mode};
use super::sent::SentView;
use crate::domain::hop::Outcome;
use crate::domain::policy::{Facts, PolicySet, Reason, decide, valid_until};
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::{LandingMode, Vocabulary};

/// One landing of a link with alternates, and what the policy says of it alone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LandingDecided {
    /// 0 for the link's own, n for its n-th alternate.
    pub alternate: u8,
    /// Whether a click asks for it: the ones behind the one that is taken are not tried.
    pub tried: bool,
    /// Allow or deny.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// The agreement that decided, or came nearest to allowing.
    pub agreement: Option<String>,
    /// Until when that holds; none for good.
    pub valid_until: Option<Timestamp>,
    /// Where it leads.
    pub landing: LandingView,
    /// What the agreement asks for; none for a refusal.
    #[serde(skip)]
    pub mode: Option<LandingMode>,
    /// How the visitor the question names would be sent on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<SentView>,
}

/// Each landing of `case` with its own decision, the link's own first.
pub(super) fn landings(
    policy: &PolicySet,
    words: &Vocabulary,
    case: &Case,
    own: &Facts<'_>,
    at: Timestamp,
) -> Vec<LandingDecided> {
    let decided = |(alternate, facts, landing): (u8, Facts<'_>, Aim)| {
        let decision = decide(policy, &facts, at);
        let allowed = decision.is_allow();
        LandingDecided {
            alternate,
            tried: false,
            outcome: if allowed { Outcome::Allow } else { Outcome::Deny },
            reason: decision.reason(),
            agreement: decision.rule_id().map(str::to_owned),
            valid_until: case.bounded(valid_until(policy, &facts, at), allowed),
            landing: LandingView::new(&landing, facts.shop_type, facts.link_kind, words),
            mode: mode(&decision),
            sent: None,
        }
    };
    let others = (1..=u8::MAX).zip(&case.alternates);
    let others = others.map(|(place, other)| (place, own.at_landing(&other.view()), other.landing.clone().into()));
    std::iter::once((0, *own, case.landing.clone())).chain(others).map(decided).collect()
}
