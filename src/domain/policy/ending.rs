//! Until when a link goes on working, why it stops then, and what its alternates do at that instant. Asks the decision of
//! a live click at the instants at which it can change; never a second opinion.

use super::decide::{Decision, Facts, Refusal, decide};
use super::explain::valid_until;
use super::{Agreement, PolicySet, Reason};
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::closed_list;

closed_list! {
    /// Why a link stops working.
    Cause {
        /// The window of the agreement that allows it ends.
        WindowEnds = "window_ends",
        /// Another agreement begins to deny it, or widens to it.
        Denied = "denied",
        /// It is switched off by ops.
        KillSwitch = "kill_switch",
        /// The link's own time ends.
        LinkExpires = "link_expires",
        /// The marketplace lets the short link it leads to die. Clicks go on to it, and find nothing there.
        ShortLinkDies = "short_link_dies",
    }
}

/// What becomes of a link under one policy, at one placement, from one instant on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate<'p> {
    /// No landing is allowed at that instant.
    Refused {
        /// Why its main landing is refused.
        refusal: Refusal<'p>,
        /// When one of its landings is allowed next, if ever.
        again: Option<Timestamp>,
    },
    /// One of its landings is allowed.
    Works {
        /// Which of them is taken at that instant.
        takes: usize,
        /// When a landing that was taken is refused for the first time; `None`: not up to the horizon.
        ends: Option<Ending<'p>>,
    },
}

/// A landing that is taken and then refused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ending<'p> {
    /// The first instant at which it is refused.
    pub at: Timestamp,
    /// Which of the landings.
    pub lost: usize,
    /// Why.
    pub cause: Cause,
    /// The agreement that ends or denies, or the kill, by its id.
    pub rule: Option<&'p str>,
    /// What a click gets from then on.
    pub then: Then<'p>,
}

/// What a click gets when the landing that was taken is refused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Then<'p> {
    /// Another landing of the link.
    Lands {
        /// Which of the landings.
        landing: usize,
        /// The agreement that allows it; `None` when the pair's default does.
        agreement: Option<&'p Agreement>,
    },
    /// A refusal.
    Refused {
        /// Why the main landing is refused.
        refusal: Refusal<'p>,
        /// When one of the landings is allowed again, if ever.
        again: Option<Timestamp>,
    },
}

/// The fate of a link whose landings, in the order in which they are tried, have these facts. Endings after `horizon` are
/// not looked for. An opening in stages by visitor counts only once it is open to all, as the visitor is not known.
pub fn fate<'p>(policy: &'p PolicySet, landings: &[Facts<'_>], at: Timestamp, horizon: Timestamp) -> Fate<'p> {
    let taken_at = |at: Timestamp| {
        let decided = landings.iter().map(|facts| decide(policy, facts, at)).enumerate();
        decided.into_iter().find(|(_, decision)| decision.is_allow())
    };
    let next_change = |at: Timestamp| landings.iter().filter_map(|facts| valid_until(policy, facts, at)).min();
    let refused = |at: Timestamp| {
        let main = landings.first().map(|facts| decide(policy, facts, at));
        match main {
            Some(Decision::Refuse(refusal)) => refusal,
            _ => Refusal { reason: Reason::NoAgreement, agreement: None, bucket: None, kill: None },
        }
    };
    let Some((mut taken, mut decision)) = taken_at(at) else {
        // All are refused, so the next change of any is an opening.
        return Fate::Refused { refusal: refused(at), again: next_change(at) };
    };
    let takes = taken;
    let mut now = at;
    loop {
        now = match next_change(now) {
            Some(next) if next <= horizon => next,
            _ => return Fate::Works { takes, ends: None },
        };
        let then = taken_at(now);
        if let Decision::Refuse(refusal) = decide(policy, &landings[taken], now) {
            let (cause, rule) = match refusal.reason {
                Reason::DeniedByAgreement => (Cause::Denied, refusal.rule_id()),
                Reason::KillSwitch => (Cause::KillSwitch, refusal.rule_id()),
                _ => (Cause::WindowEnds, decision.rule_id()),
            };
            let then = match then {
                Some((landing, decision)) => Then::Lands { landing, agreement: decision.agreement() },
                None => Then::Refused { refusal: refused(now), again: next_change(now) },
            };
            return Fate::Works { takes, ends: Some(Ending { at: now, lost: taken, cause, rule, then }) };
        }
        // Still allowed: a landing that is tried before it may have opened, or other terms apply.
        if let Some(other) = then {
            (taken, decision) = other;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::policy::agreement::{Conditions, Effect};
    use crate::domain::policy::compile::Version;
    use crate::domain::vocabulary::{LandingMode, LinkKind, MarketplaceId, PlatformId, ShopType, Surface};

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_millis(hour * 3_600_000)
    }

    fn agreement(id: &str, marketplace: MarketplaceId, effect: Effect, from: i64, until: Option<i64>) -> Agreement {
        Agreement {
            id: id.into(),
            title: id.into(),
            platform: PlatformId(0),
            marketplaces: vec![marketplace],
            effect,
            from: at(from),
            until: until.map_or(Timestamp::MAX, at),
            when: Conditions::default(),
            rollout: None,
            landing: LandingMode::App,
            attribution: None,
            priority: 0,
            evidence: "".into(),
        }
    }

    fn facts(marketplace: MarketplaceId) -> Facts<'static> {
        Facts {
            platform: Some(PlatformId(0)),
            surface: Some(Surface::Note),
            marketplace,
            shop_type: ShopType::Unknown,
            link_kind: LinkKind::Item,
            category: "",
            creator: "",
            shop: "",
            item: "",
            carried: "",
            link: "",
            visitor: 0,
        }
    }

    const JD: MarketplaceId = MarketplaceId::JD;
    const TAOBAO: MarketplaceId = MarketplaceId::TAOBAO;

    fn ending<'p>(policy: &'p PolicySet, landings: &[Facts<'_>], from: i64) -> Option<Ending<'p>> {
        match fate(policy, landings, at(from), Timestamp::MAX) {
            Fate::Works { ends, .. } => ends,
            refused => panic!("{refused:?}"),
        }
    }

    #[test]
    fn a_successor_is_no_end_and_a_gap_is_one() {
        let allow = |id, from, until| agreement(id, JD, Effect::Allow, from, until);
        let set = vec![allow("one", 0, Some(10)), allow("two", 10, Some(20)), allow("three", 30, Some(40))];
        let policy = PolicySet::compile(Version([1; 32]), set, &[]);
        let found = ending(&policy, &[facts(JD)], 5).unwrap();
        assert_eq!((found.at, found.cause), (at(20), Cause::WindowEnds));
        assert_eq!(found.rule.unwrap(), "two");
        let Then::Refused { refusal, again } = found.then else { panic!("{found:?}") };
        assert_eq!((refusal.reason, again), (Reason::WindowEnded, Some(at(30))));

        assert_eq!(
            fate(&policy, &[facts(JD)], at(5), at(19)),
            Fate::Works { takes: 0, ends: None },
            "after the horizon"
        );
        assert!(matches!(fate(&policy, &[facts(JD)], at(5), at(20)), Fate::Works { ends: Some(_), .. }));
        let Fate::Refused { refusal, again } = fate(&policy, &[facts(JD)], at(22), at(99)) else { panic!() };
        assert_eq!((refusal.reason, again), (Reason::WindowEnded, Some(at(30))));
        assert!(matches!(fate(&policy, &[facts(JD)], at(50), at(99)), Fate::Refused { again: None, .. }));
    }

    #[test]
    fn a_deny_that_begins_is_named() {
        let set =
            vec![agreement("open", JD, Effect::Allow, 0, Some(50)), agreement("shut", JD, Effect::Deny, 12, Some(14))];
        let policy = PolicySet::compile(Version([1; 32]), set, &[]);
        let found = ending(&policy, &[facts(JD)], 5).unwrap();
        assert_eq!((found.at, found.cause), (at(12), Cause::Denied));
        assert_eq!(found.rule.unwrap(), "shut");
        assert!(matches!(found.then, Then::Refused { again: Some(again), .. } if again == at(14)));
    }

    #[test]
    fn alternates_take_over_in_order() {
        let set = vec![
            agreement("jd", JD, Effect::Allow, 0, Some(10)),
            agreement("jd-again", JD, Effect::Allow, 20, Some(30)),
            agreement("taobao", TAOBAO, Effect::Allow, 5, Some(25)),
        ];
        let policy = PolicySet::compile(Version([1; 32]), set, &[]);
        let both = [facts(JD), facts(TAOBAO)];
        let found = ending(&policy, &both, 1).unwrap();
        assert_eq!((found.at, found.lost), (at(10), 0));
        assert!(matches!(found.then, Then::Lands { landing: 1, agreement: Some(by) } if &*by.id == "taobao"));
        // The alternate is taken, the main one comes back at 20 and ends at 30: the alternate's own end is no loss.
        let found = ending(&policy, &both, 15).unwrap();
        assert_eq!((found.at, found.lost), (at(30), 0));
        assert!(matches!(found.then, Then::Refused { again: None, .. }));
    }
}
