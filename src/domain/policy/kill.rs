//! Kill switches: what ops has switched off for the moment, with who, why and an end. A kill comes before every agreement.
//!
//! Unlike a deny, a kill matches only what is known: one of a creator does not stop a link without a creator. Never
//! decides by itself; see [`mod@super::decide`].

use super::decide::Facts;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::{MarketplaceId, PlatformId};

/// Something switched off. Every subject that is named must be met; at least one is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kill {
    /// Names it in hops, lists and for lifting it.
    pub id: Box<str>,
    /// Clicks on this platform.
    pub platform: Option<PlatformId>,
    /// Clicks that lead to this marketplace.
    pub marketplace: Option<MarketplaceId>,
    /// Links of this creator.
    pub creator: Option<Box<str>>,
    /// Links to this shop, `shop:ID` or `seller:ID`.
    pub shop: Option<Box<str>>,
    /// From this instant …
    pub from: Timestamp,
    /// … until just before this one.
    pub until: Timestamp,
    /// Who switched it off.
    pub by: Box<str>,
    /// Why.
    pub why: Box<str>,
}

impl Kill {
    /// Whether it is in force at `at`: `from <= at < until`.
    pub fn in_force(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.until
    }

    /// Whether it stops a click with these facts at `at`.
    pub fn stops(&self, facts: &Facts<'_>, at: Timestamp) -> bool {
        let text = |wanted: &Option<Box<str>>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        self.in_force(at)
            && self.platform.is_none_or(|wanted| facts.platform == Some(wanted))
            && self.marketplace.is_none_or(|wanted| facts.marketplace == wanted)
            && text(&self.creator, facts.creator)
            && text(&self.shop, facts.shop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::policy::{
        Agreement, Conditions, Decision, Effect, PolicySet, Reason, Version, decide, explain, valid_until,
    };
    use crate::domain::vocabulary::{LandingMode, LinkKind, ShopType};

    fn at(tick: i64) -> Timestamp {
        Timestamp::from_micros(tick)
    }

    fn kill() -> Kill {
        Kill {
            id: "kill-1".into(),
            platform: None,
            marketplace: None,
            creator: None,
            shop: None,
            from: at(10),
            until: at(20),
            by: "ops".into(),
            why: "test".into(),
        }
    }

    fn set(kills: Vec<Kill>) -> PolicySet {
        let agreement = Agreement {
            id: "open".into(),
            title: "".into(),
            platform: PlatformId(0),
            marketplaces: vec![MarketplaceId::JD],
            effect: Effect::Allow,
            from: at(0),
            until: at(100),
            when: Conditions::default(),
            rollout: None,
            landing: LandingMode::App,
            attribution: None,
            priority: 1_000,
            evidence: "".into(),
        };
        PolicySet::compile(Version([1; 32]), vec![agreement], &[]).with_kills(kills)
    }

    fn facts<'a>(creator: &'a str, shop: &'a str) -> Facts<'a> {
        Facts {
            platform: Some(PlatformId(0)),
            surface: None,
            marketplace: MarketplaceId::JD,
            shop_type: ShopType::Unknown,
            link_kind: LinkKind::Item,
            category: "",
            creator,
            shop,
            item: "",
            carried: "",
            link: "",
            visitor: 0,
        }
    }

    #[test]
    fn a_kill_stops_what_it_names_and_knows_from_its_beginning_to_its_end() {
        let known = facts("c1", "shop:7");
        for (kill, stops) in [
            (Kill { platform: Some(PlatformId(0)), ..kill() }, true),
            (Kill { platform: Some(PlatformId(1)), ..kill() }, false),
            (Kill { marketplace: Some(MarketplaceId::JD), ..kill() }, true),
            (Kill { platform: Some(PlatformId(0)), marketplace: Some(MarketplaceId::TMALL), ..kill() }, false),
            (Kill { creator: Some("c1".into()), ..kill() }, true),
            (Kill { shop: Some("shop:7".into()), creator: Some("c2".into()), ..kill() }, false),
            (Kill { shop: Some("shop:7".into()), ..kill() }, true),
        ] {
            let policy = set(vec![kill]);
            for (tick, open) in [(9, true), (10, !stops), (19, !stops), (20, true)] {
                let decision = decide(&policy, &known, at(tick));
                assert_eq!(decision.is_allow(), open, "{:?} at {tick}", policy.kills());
                if !open {
                    assert_eq!((decision.reason(), decision.rule_id()), (Reason::KillSwitch, Some("kill-1")));
                    assert!(matches!(decision, Decision::Refuse(refusal) if refusal.agreement.is_none()));
                }
            }
            assert_eq!(valid_until(&policy, &known, at(0)), Some(if stops { at(10) } else { at(100) }));
            assert_eq!(valid_until(&policy, &known, at(10)), Some(if stops { at(20) } else { at(100) }));
            assert_eq!(explain(&policy, &known, at(10)).kill.is_some(), stops);
            assert_eq!(policy.next_boundary(at(0)), Some(at(10)));
        }
        let of_one = set(vec![Kill { creator: Some("c1".into()), ..kill() }]);
        assert!(decide(&of_one, &facts("", ""), at(15)).is_allow(), "what is not known is not killed");
    }

    #[test]
    fn a_platform_without_any_agreement_can_be_killed_too() {
        let policy = PolicySet::empty().with_kills(vec![Kill { platform: Some(PlatformId(3)), ..kill() }]);
        let strange = Facts { platform: Some(PlatformId(3)), ..facts("", "") };
        assert_eq!(decide(&policy, &strange, at(15)).reason(), Reason::KillSwitch);
        assert_eq!(decide(&policy, &Facts { platform: None, ..strange }, at(15)).reason(), Reason::NoAgreement);
    }
}
