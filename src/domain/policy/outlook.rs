//! What a link does at each spot it may be clicked at: whether it works now, why not, and until when. For people who look
//! before a click: previews and the page of creators. Asks [`fate`] and [`decide`]; never a second opinion.

use serde::Serialize;

use super::decide::{Decision, Facts, decide};
use super::ending::{Fate, Then, fate};
use super::{Effect, PolicySet, Reason};
use crate::domain::hop::Outcome;
use crate::domain::link::Placement;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::{MarketplaceId, PlatformId, Surface};

/// What a link does at one spot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Outlook {
    /// Whether it works now.
    pub outcome: Outcome,
    /// Why: of the landing that is taken, of the link's own when none is.
    pub reason: Reason,
    /// Which landing is taken: 0 the link's own, n its n-th alternate; 0 when all are refused.
    pub alternate: u8,
    /// The first instant at which the landing taken is refused; none when that never comes, or it is refused now.
    pub works_until: Option<Timestamp>,
    /// What a click gets from then on.
    pub then: Option<Next>,
    /// When it works again, or for the first time; none when that never comes, or it works now.
    pub works_from: Option<Timestamp>,
    /// When the cooperation that allowed it ended, where that is why it is refused.
    pub ended_at: Option<Timestamp>,
    /// Each landing asked alone, the link's own first.
    pub landings: Vec<Asked>,
}

/// One landing asked alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Asked {
    /// Whether it is allowed now.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
}

/// What a click gets when the landing that was taken is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Next {
    /// The landing that takes over; none when all are refused.
    pub alternate: Option<u8>,
    /// Why all are refused, where they are.
    pub reason: Option<Reason>,
    /// When it works again, where all are refused and it ever does.
    pub works_from: Option<Timestamp>,
}

/// Spots of one platform that have the same outlook.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spots {
    /// The platform; none for a click nobody knows the platform of.
    pub platform: Option<PlatformId>,
    /// Spots by name.
    pub surfaces: Vec<Surface>,
    /// Every spot that no agreement names as well.
    pub others: bool,
    /// Clicks that do not tell their spot as well.
    pub untold: bool,
    /// Every spot of the platform: no agreement names one.
    pub whole: bool,
    /// What the link does there.
    pub outlook: Outlook,
}

/// What a link whose landings have these facts, the own one first, does at their spot at `at`. It ends at `expires`,
/// if it does. The visitor is not known, so an opening in stages by visitor counts only once it is open to all.
pub fn outlook(policy: &PolicySet, landings: &[Facts<'_>], at: Timestamp, expires: Option<Timestamp>) -> Outlook {
    let decided: Vec<Decision<'_>> = landings.iter().map(|facts| decide(policy, facts, at)).collect();
    let taken = decided.iter().position(Decision::is_allow);
    let ended_at = match decided.first() {
        Some(Decision::Refuse(refusal)) if taken.is_none() && refusal.reason == Reason::WindowEnded => {
            refusal.agreement.map(|agreement| agreement.until).filter(|until| *until <= at)
        }
        _ => None,
    };
    let place = |landing: usize| u8::try_from(landing).unwrap_or(u8::MAX);
    let mut told = Outlook {
        outcome: if taken.is_some() { Outcome::Allow } else { Outcome::Deny },
        reason: decided.get(taken.unwrap_or(0)).map_or(Reason::NoAgreement, Decision::reason),
        alternate: place(taken.unwrap_or(0)),
        works_until: None,
        then: None,
        works_from: None,
        ended_at,
        landings: decided
            .iter()
            .map(|decision| Asked {
                outcome: if decision.is_allow() { Outcome::Allow } else { Outcome::Deny },
                reason: decision.reason(),
            })
            .collect(),
    };
    match fate(policy, landings, at, Timestamp::MAX) {
        Fate::Refused { again, .. } => told.works_from = within(again, expires),
        Fate::Works { ends, .. } => {
            if let Some(ending) = ends.filter(|ending| expires.is_none_or(|end| ending.at < end)) {
                told.works_until = Some(ending.at);
                told.then = Some(match ending.then {
                    Then::Lands { landing, .. } => {
                        Next { alternate: Some(place(landing)), reason: None, works_from: None }
                    }
                    Then::Refused { refusal, again } => {
                        Next { alternate: None, reason: Some(refusal.reason), works_from: within(again, expires) }
                    }
                });
            } else if let Some(end) = expires {
                told.works_until = Some(end);
                told.then = Some(Next { alternate: None, reason: Some(Reason::LinkExpired), works_from: None });
            }
        }
    }
    told
}

/// An opening, if it comes before the link's own end.
fn within(opens: Option<Timestamp>, expires: Option<Timestamp>) -> Option<Timestamp> {
    opens.filter(|opens| expires.is_none_or(|end| *opens < end))
}

/// What a link bound to `bound` does wherever it may be clicked: on each of `platforms`, at each spot some agreement
/// names, at all the others, and where the spot is not told; and for a link bound to no platform, where that is not known.
/// Spots alike are told together, in the order of their names.
pub fn spots(
    policy: &PolicySet,
    platforms: impl Iterator<Item = PlatformId>,
    landings: &[Facts<'_>],
    bound: Placement,
    at: Timestamp,
    expires: Option<Timestamp>,
) -> Vec<Spots> {
    let mut all = Vec::new();
    let platforms: Vec<Option<PlatformId>> = match bound.platform {
        Some(platform) => vec![Some(platform)],
        None => platforms.map(Some).chain([None]).collect(),
    };
    for platform in platforms {
        let begun = all.len();
        for (surface, others) in candidates(policy, platform, landings, bound.surface) {
            let here: Vec<Facts<'_>> = landings.iter().map(|facts| Facts { platform, surface, ..*facts }).collect();
            let outlook = outlook(policy, &here, at, expires);
            let place = match all[begun..].iter().position(|known: &Spots| known.outlook == outlook) {
                Some(place) => begun + place,
                None => {
                    all.push(Spots {
                        platform,
                        surfaces: Vec::new(),
                        others: false,
                        untold: false,
                        whole: false,
                        outlook,
                    });
                    all.len() - 1
                }
            };
            let spots = &mut all[place];
            match surface {
                None => {
                    spots.untold = true;
                    spots.others |= others;
                    spots.whole = others;
                }
                Some(_) if others => spots.others = true,
                Some(surface) => spots.surfaces.push(surface),
            }
        }
    }
    all
}

/// The spots of a platform that can differ: those some agreement names, one that stands for all others, and the one that
/// is not told.
fn candidates(
    policy: &PolicySet,
    platform: Option<PlatformId>,
    landings: &[Facts<'_>],
    bound: Option<Surface>,
) -> Vec<(Option<Surface>, bool)> {
    if bound.is_some() {
        return vec![(bound, false)];
    }
    let concerns =
        |marketplaces: &[MarketplaceId]| landings.iter().any(|facts| marketplaces.contains(&facts.marketplace));
    let named = |surface: &Surface| {
        policy.agreements().iter().any(|agreement| {
            Some(agreement.platform) == platform
                && agreement.effect != Effect::DataReturn
                && concerns(&agreement.marketplaces)
                && agreement.when.surfaces.contains(surface)
        })
    };
    let (named, others): (Vec<Surface>, Vec<Surface>) = Surface::ALL.iter().partition(|surface| named(surface));
    if named.is_empty() {
        return vec![(None, true)];
    }
    let others = others.first().map(|surface| (Some(*surface), true));
    named.into_iter().map(|surface| (Some(surface), false)).chain(others).chain([(None, false)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::policy::compile::Version;
    use crate::domain::policy::{Agreement, Conditions};
    use crate::domain::vocabulary::{LandingMode, LinkKind, ShopType};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn agreement(id: &str, marketplace: MarketplaceId, surfaces: &[Surface], from: &str, until: &str) -> Agreement {
        Agreement {
            id: id.into(),
            title: id.into(),
            platform: PlatformId(0),
            marketplaces: vec![marketplace],
            effect: Effect::Allow,
            from: at(from),
            until: if until.is_empty() { Timestamp::MAX } else { at(until) },
            when: Conditions { surfaces: surfaces.to_vec(), ..Conditions::default() },
            rollout: None,
            landing: LandingMode::App,
            attribution: None,
            priority: 0,
            evidence: "".into(),
        }
    }

    fn facts(marketplace: MarketplaceId) -> Facts<'static> {
        Facts {
            platform: None,
            surface: None,
            marketplace,
            shop_type: ShopType::SelfOperated,
            link_kind: LinkKind::Item,
            category: "",
            creator: "",
            shop: "",
            item: "1",
            carried: "",
            link: "abc",
            visitor: 0,
        }
    }

    #[test]
    fn spots_alike_are_told_together_and_the_rest_summed_up() {
        let cart = [Surface::LiveCart, Surface::ShortVideoCart];
        let agreements = vec![
            agreement("now", MarketplaceId::JD, &cart, "2026-01-01", "2026-03-01"),
            agreement("after", MarketplaceId::TMALL, &cart[..1], "2026-02-01", ""),
        ];
        let policy = PolicySet::compile(Version([1; 32]), agreements, &[]);
        let landings = [facts(MarketplaceId::JD), facts(MarketplaceId::TMALL)];
        let ask = |bound, when: &str, expires| {
            let platforms = (0..2).map(PlatformId);
            spots(&policy, platforms, &landings, bound, at(when), expires)
        };
        let all = ask(Placement::default(), "2026-01-15", None);
        let shape: Vec<_> = all
            .iter()
            .map(|spots| (spots.platform.map(|id| id.0), spots.surfaces.len(), spots.others, spots.untold))
            .collect();
        let expected = [
            (Some(0), 1, false, false),
            (Some(0), 1, false, false),
            (Some(0), 0, true, true),
            (Some(1), 0, true, true),
            (None, 0, true, true),
        ];
        assert_eq!(shape, expected, "{all:#?}");
        let (live, short) = (&all[0].outlook, &all[1].outlook);
        assert_eq!((live.outcome, live.works_until), (Outcome::Allow, Some(at("2026-03-01"))));
        assert_eq!(live.then.unwrap().alternate, Some(1), "the alternate takes over there");
        assert_eq!(short.then.unwrap().reason, Some(Reason::WindowEnded));
        assert_eq!(
            live.landings.iter().map(|asked| asked.reason).collect::<Vec<_>>(),
            [Reason::Allowed, Reason::NotYetOpen]
        );
        assert!(all[3].whole && !all[2].whole);
        assert_eq!(all[3].outlook.reason, Reason::NoAgreement);

        let bound = Placement { platform: Some(PlatformId(0)), surface: Some(Surface::ShortVideoCart) };
        let [early] = &ask(bound, "2025-12-01", None)[..] else { panic!("one") };
        assert_eq!((early.outlook.reason, early.outlook.works_from), (Reason::NotYetOpen, Some(at("2026-01-01"))));
        let [late] = &ask(bound, "2026-04-01", None)[..] else { panic!("one") };
        assert_eq!((late.outlook.ended_at, late.outlook.works_from), (Some(at("2026-03-01")), None));
        let [ends] = &ask(bound, "2026-01-15", Some(at("2026-02-15")))[..] else { panic!("one") };
        assert_eq!(ends.outlook.works_until, Some(at("2026-02-15")), "the link's own end comes first");
        let [never] = &ask(bound, "2025-12-01", Some(at("2025-12-15")))[..] else { panic!("one") };
        assert_eq!(never.outlook.works_from, None, "it opens after the link's end");
    }
}
