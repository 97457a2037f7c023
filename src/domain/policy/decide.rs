//! Deciding a click: a pure function of the policy, the facts and the instant. Takes no lock, allocates nothing, and
//! never lets a click through without a [`Permit`], which only this module can make.

use super::Reason;
use super::agreement::{Agreement, Effect, StickTo};
use super::compile::{OfEffect, Pair, PolicySet, SURFACE_UNKNOWN};
use super::kill::Kill;
use super::nearest;
use super::rollout;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::{LandingMode, LinkKind, MarketplaceId, PlatformId, ShopType, Surface};

/// What is known of a click. An empty text means "not known".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facts<'a> {
    /// Where it happens.
    pub platform: Option<PlatformId>,
    /// The spot there.
    pub surface: Option<Surface>,
    /// Where it leads.
    pub marketplace: MarketplaceId,
    /// Who runs the shop.
    pub shop_type: ShopType,
    /// What the link leads to.
    pub link_kind: LinkKind,
    /// The goods' category.
    pub category: &'a str,
    /// The creator of the link.
    pub creator: &'a str,
    /// The shop, `shop:ID` or `seller:ID`.
    pub shop: &'a str,
    /// The item's id.
    pub item: &'a str,
    /// Carried facts, `name` or `!name` for one known to be absent, separated by spaces.
    pub carried: &'a str,
    /// The link's code.
    pub link: &'a str,
    /// The visitor's hash of the day; 0 when not known.
    pub visitor: u128,
}

/// Leave to land: proof that a policy allowed the click. Only [`decide`] makes one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Permit<'p> {
    agreement: Option<&'p Agreement>,
    bucket: Option<u16>,
}

impl<'p> Permit<'p> {
    /// The agreement whose terms apply; `None` when the pair's default allowed.
    pub fn agreement(&self) -> Option<&'p Agreement> {
        self.agreement
    }

    /// How to land.
    pub fn landing(&self) -> LandingMode {
        self.agreement.map_or(LandingMode::Web, |agreement| agreement.landing)
    }

    /// The rollout bucket, where the agreement opens in stages.
    pub fn bucket(&self) -> Option<u16> {
        self.bucket
    }
}

/// A refusal with its nearest reason.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Refusal<'p> {
    /// Why.
    pub reason: Reason,
    /// The agreement that denied, or came nearest to allowing.
    pub agreement: Option<&'p Agreement>,
    /// The rollout bucket, where that agreement opens in stages.
    pub bucket: Option<u16>,
    /// The kill, where one stopped the click; no agreement was asked then.
    pub kill: Option<&'p Kill>,
}

impl<'p> Refusal<'p> {
    /// The id of the agreement that denied or came nearest, or of the kill.
    pub fn rule_id(&self) -> Option<&'p str> {
        self.kill.map(|kill| &*kill.id).or(self.agreement.map(|agreement| &*agreement.id))
    }
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decision<'p> {
    /// Let through.
    Allow(Permit<'p>),
    /// Refused.
    Refuse(Refusal<'p>),
}

impl<'p> Decision<'p> {
    /// The reason, of either outcome.
    pub fn reason(&self) -> Reason {
        match self {
            Decision::Allow(permit) if permit.agreement.is_none() => Reason::AllowedByDefault,
            Decision::Allow(_) => Reason::Allowed,
            Decision::Refuse(refusal) => refusal.reason,
        }
    }

    /// The agreement that decided, or came nearest.
    pub fn agreement(&self) -> Option<&'p Agreement> {
        match self {
            Decision::Allow(permit) => permit.agreement,
            Decision::Refuse(refusal) => refusal.agreement,
        }
    }

    /// The kill that stopped it.
    pub fn kill(&self) -> Option<&'p Kill> {
        match self {
            Decision::Allow(_) => None,
            Decision::Refuse(refusal) => refusal.kill,
        }
    }

    /// What a hop records as its agreement: the id of the agreement that decided or came nearest, or of the kill.
    pub fn rule_id(&self) -> Option<&'p str> {
        self.kill().map(|kill| &*kill.id).or(self.agreement().map(|agreement| &*agreement.id))
    }

    /// The rollout bucket, where one was asked.
    pub fn bucket(&self) -> Option<u16> {
        match self {
            Decision::Allow(permit) => permit.bucket,
            Decision::Refuse(refusal) => refusal.bucket,
        }
    }

    /// Whether the click goes through.
    pub fn is_allow(&self) -> bool {
        matches!(self, Decision::Allow(_))
    }
}

/// Decides a click at `at`.
///
/// A kill in force that names what is known of the click refuses first. Only agreements in force count; any matching deny refuses; else the matching allow with the highest (priority, number
/// of conditions, later `from`, id) decides; else the pair's default, which is to refuse.
pub fn decide<'p>(policy: &'p PolicySet, facts: &Facts<'_>, at: Timestamp) -> Decision<'p> {
    if let Some(kill) = policy.kills().iter().find(|kill| kill.stops(facts, at)) {
        return Decision::Refuse(Refusal {
            reason: Reason::KillSwitch,
            agreement: None,
            bucket: None,
            kill: Some(kill),
        });
    }
    let Some(pair) = facts.platform.and_then(|platform| policy.pair(platform, facts.marketplace)) else {
        return Decision::Refuse(Refusal { reason: Reason::NoAgreement, agreement: None, bucket: None, kill: None });
    };
    let matching = Matching::new(pair, facts, at);
    if let Some((agreement, bucket)) = matching.first(policy, &pair.denies, facts, at) {
        let reason = Reason::DeniedByAgreement;
        return Decision::Refuse(Refusal { reason, agreement: Some(agreement), bucket, kill: None });
    }
    if let Some((agreement, bucket)) = matching.first(policy, &pair.allows, facts, at) {
        return Decision::Allow(Permit { agreement: Some(agreement), bucket });
    }
    if pair.allow_by_default {
        return Decision::Allow(Permit { agreement: None, bucket: None });
    }
    Decision::Refuse(nearest::refusal(policy, &matching, facts, at))
}

/// The rows of one click: an agreement matches when its bit is set in all of them.
pub(super) struct Matching<'p> {
    pub(super) pair: &'p Pair,
    /// Surface, window, link kind, shop type, in the order of asking.
    pub(super) fixed: [&'p [u64]; 4],
    /// Category, creator, shop, item; `None` where no agreement of the pair asks.
    pub(super) texts: [Option<&'p [u64]>; 4],
}

impl<'p> Matching<'p> {
    fn new(pair: &'p Pair, facts: &Facts<'_>, at: Timestamp) -> Self {
        let interval = pair.boundaries.partition_point(|boundary| *boundary <= at);
        Matching {
            pair,
            fixed: [
                pair.surface.row(facts.surface.map_or(SURFACE_UNKNOWN, |surface| surface as usize)),
                pair.in_force.row(interval),
                pair.link_kind.row(facts.link_kind as usize),
                pair.shop_type.row(facts.shop_type as usize),
            ],
            texts: [
                pair.category.as_ref().map(|dimension| dimension.row(facts.category)),
                pair.creator.as_ref().map(|dimension| dimension.row(facts.creator)),
                pair.shop.as_ref().map(|dimension| dimension.row(facts.shop)),
                pair.item.as_ref().map(|dimension| dimension.row(facts.item)),
            ],
        }
    }

    /// The first matching agreement of one effect, with its rollout bucket.
    fn first(
        &self,
        policy: &'p PolicySet,
        of_effect: &OfEffect,
        facts: &Facts<'_>,
        at: Timestamp,
    ) -> Option<(&'p Agreement, Option<u16>)> {
        for place in of_effect.words.clone() {
            let mut word = self.fixed.iter().fold(of_effect.bits[place], |word, row| word & row[place]);
            if word == 0 {
                continue;
            }
            word = self.texts.iter().flatten().fold(word, |word, row| word & row[place]);
            let conditional = self.pair.conditional[place];
            while word != 0 {
                let bit = word.trailing_zeros() as usize;
                let agreement = policy.agreement(self.pair.rules[place * 64 + bit]);
                if conditional >> bit & 1 == 0 {
                    return Some((agreement, None));
                }
                if requirements_met(agreement, facts.carried, agreement.effect) {
                    let (is_in, bucket) = in_rollout(agreement, facts, at);
                    if is_in {
                        return Some((agreement, bucket));
                    }
                }
                word &= word - 1;
            }
        }
        None
    }
}

/// Whether the link carries what the agreement asks for. A fact not stated at all is unknown: that fails an allow and
/// satisfies a deny.
pub(super) fn requirements_met(agreement: &Agreement, carried: &str, effect: Effect) -> bool {
    agreement.when.requires.iter().all(|name| match stated(carried, name) {
        Some(carries) => carries,
        None => effect == Effect::Deny,
    })
}

/// Whether `carried` says the fact is there (`name`), is not there (`!name`), or says nothing.
fn stated(carried: &str, name: &str) -> Option<bool> {
    carried.split(' ').find_map(|word| match word.strip_prefix('!') {
        Some(absent) => (absent == name).then_some(false),
        None => (word == name).then_some(true),
    })
}

/// Whether this click is in the agreement's staged opening, and its bucket. An id that is not known has no bucket: it is
/// in an allow only once that is open to all, and in a deny as soon as it has begun.
pub(super) fn in_rollout(agreement: &Agreement, facts: &Facts<'_>, at: Timestamp) -> (bool, Option<u16>) {
    let Some(rollout) = &agreement.rollout else { return (true, None) };
    let mut hex = [0; 32];
    let id = match rollout.by {
        StickTo::Creator => facts.creator,
        StickTo::Shop => facts.shop,
        StickTo::Link => facts.link,
        StickTo::Visitor => visitor_text(facts.visitor, &mut hex),
    };
    let share = rollout.basis_points(at);
    if id.is_empty() {
        let is_in = if agreement.effect == Effect::Deny { share > 0 } else { u32::from(share) == rollout::BUCKETS };
        return (is_in, None);
    }
    let bucket = rollout::bucket(&rollout.salt, id);
    (bucket < share, Some(bucket))
}

/// A visitor's hash as 32 hex digits; empty when not known.
fn visitor_text(visitor: u128, hex: &mut [u8; 32]) -> &str {
    if visitor == 0 {
        return "";
    }
    for (place, digit) in hex.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(visitor >> (124 - 4 * place)) as usize & 0xF];
    }
    // Hex digits are ASCII.
    std::str::from_utf8(hex).unwrap_or_default()
}
