//! What becomes of a stored link under one policy: at each placement it may be clicked at, until when it works and why it
//! stops. Links are many and the facts that decide them few, so verdicts are remembered by those facts. Never reads a
//! store.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use serde::Serialize;

use crate::domain::hop::Outcome;
use crate::domain::link::{Link, LinkState, facts_text};
use crate::domain::marketplace::Landing;
use crate::domain::policy::ending::{Cause, Ending, Fate, Then, fate};
use crate::domain::policy::rollout::BUCKETS;
use crate::domain::policy::{Agreement, Facts, PolicySet, Reason, StickTo};
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::{LinkKind, MarketplaceId, PlatformId, ShopType, Surface, Vocabulary};

/// Verdicts that are remembered at once; then all are forgotten. Reached only where every link has facts of its own.
const MOST_REMEMBERED: usize = 100_000;

/// A landing that stops, at one platform: what all links with the same facts have in common.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct Stop {
    /// The first instant at which it does not work.
    pub until: Timestamp,
    /// Why.
    pub cause: Cause,
    /// The agreement that ends or denies; none when the link itself expires or no agreement spoke.
    pub agreement: Option<Box<str>>,
    /// The platform of the click; none for a link that is bound to none and expires.
    pub platform: Option<Box<str>>,
    /// The spots there, `unknown` for a click that does not tell.
    pub surfaces: Vec<&'static str>,
    /// The marketplace of the landing that stops.
    pub marketplace: Box<str>,
    /// What a click gets from then on.
    pub then: Next,
}

/// What a click gets when a landing has stopped.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct Next {
    /// `allow` when another landing of the link takes over.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// The agreement that allows, denies, or comes nearest to allowing.
    pub agreement: Option<Box<str>>,
    /// Which landing takes over: 0 the main one, then its alternates.
    pub alternate: Option<usize>,
    /// The marketplace of the landing that takes over.
    pub marketplace: Option<Box<str>>,
    /// When the link works again at these spots, if it ever does.
    pub works_again_at: Option<Timestamp>,
}

/// A link that does not work at any placement.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct Dead {
    /// Why.
    pub reason: Reason,
    /// The agreement that denies, or comes nearest to allowing.
    pub agreement: Option<Box<str>>,
    /// The platform it is refused at; none for a link bound to none.
    pub platform: Option<Box<str>>,
    /// When it works again, if it ever does.
    pub works_again_at: Option<Timestamp>,
}

/// What becomes of one link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It works somewhere; where it stops within the horizon. Empty when nowhere.
    Works(Vec<Arc<Stop>>),
    /// It works nowhere.
    Dead(Arc<Dead>),
}

/// What is remembered: a verdict without the link's own end.
struct Known {
    /// Where it works, by platform and by what becomes of it.
    stands: Vec<Stand>,
    /// When it works nowhere.
    dead: Option<Arc<Dead>>,
}

struct Stand {
    platform: PlatformId,
    surfaces: Vec<&'static str>,
    marketplace: MarketplaceId,
    /// Whether it lands on the link's own short link, which the marketplace lets die.
    dying: bool,
    stop: Option<Arc<Stop>>,
}

/// What spots of one platform have in common: how they end, and whether they land on a short link that dies.
type Alike<'p> = (Option<Ending<'p>>, bool);

/// Which facts of a link can make a difference between one platform, or any, and one marketplace.
#[derive(Clone, Copy, Default)]
struct Matters {
    category: bool,
    creator: bool,
    shop: bool,
    item: bool,
    carried: bool,
    link: bool,
}

/// The facts of one landing of a link.
struct LandingFacts<'l> {
    marketplace: MarketplaceId,
    shop_type: ShopType,
    link_kind: LinkKind,
    category: &'l str,
    shop: &'l str,
    item: &'l str,
}

/// The landings of a link in the order in which a click tries them. An alternate has a category of its own.
fn landings(link: &Link) -> Vec<LandingFacts<'_>> {
    let own = landing_facts(&link.landing, link.shop_type, link.category.as_deref());
    let others = link.alternates.iter();
    let others = others.map(|other| landing_facts(&other.landing, other.shop_type, other.category.as_deref()));
    std::iter::once(own).chain(others).collect()
}

fn landing_facts<'l>(landing: &'l Landing, shop_type: ShopType, category: Option<&'l str>) -> LandingFacts<'l> {
    LandingFacts {
        marketplace: landing.marketplace,
        shop_type,
        link_kind: landing.link_kind,
        category: category.unwrap_or_default(),
        shop: landing.shop.as_deref().unwrap_or_default(),
        item: landing.item.as_deref().unwrap_or_default(),
    }
}

/// Judges stored links under one policy, at one instant.
pub struct Judge {
    policy: Arc<PolicySet>,
    words: Arc<Vocabulary>,
    at: Timestamp,
    horizon: Timestamp,
    only: Option<PlatformId>,
    matters: HashMap<(Option<PlatformId>, MarketplaceId), Matters>,
    known: HashMap<Box<[u8]>, Arc<Known>, RandomState>,
    key: Vec<u8>,
}

impl Judge {
    /// A judge who looks from `at` up to `horizon`, at clicks on one platform only where `only` names it.
    pub fn new(
        policy: Arc<PolicySet>,
        words: Arc<Vocabulary>,
        at: Timestamp,
        horizon: Timestamp,
        only: Option<PlatformId>,
    ) -> Self {
        let known = HashMap::default();
        Judge { policy, words, at, horizon, only, matters: HashMap::new(), known, key: Vec::new() }
    }

    /// What becomes of a link; `None` when it cannot be clicked on the one platform asked about.
    pub fn verdict(&mut self, link: &Link) -> Option<Verdict> {
        if let (Some(bound), Some(only)) = (link.placement.platform, self.only)
            && bound != only
        {
            return None;
        }
        let off = match link.state {
            LinkState::Disabled => Some(Reason::LinkDisabled),
            LinkState::Active if link.expires_at.is_some_and(|end| self.at >= end) => Some(Reason::LinkExpired),
            LinkState::Active => None,
        };
        if let Some(reason) = off {
            let platform = link.placement.platform.map(|id| self.words.platform_name(id).into());
            return Some(Verdict::Dead(Arc::new(Dead { reason, agreement: None, platform, works_again_at: None })));
        }
        let known = self.known(link);
        if let Some(dead) = &known.dead {
            return Some(Verdict::Dead(match link.expires_at {
                // It opens again only after its own end: never.
                Some(end) if dead.works_again_at.is_some_and(|again| again >= end) => {
                    Arc::new(Dead { works_again_at: None, ..(**dead).clone() })
                }
                _ => Arc::clone(dead),
            }));
        }
        Some(Verdict::Works(known.stands.iter().filter_map(|stand| self.stop(stand, link)).collect()))
    }

    /// Where a stand stops, the link's own end and that of its short link taken into account. A short link that has died
    /// already is told too.
    fn stop(&self, stand: &Stand, link: &Link) -> Option<Arc<Stop>> {
        let stop = stand.stop.as_ref();
        if let Some(dies) = link.short_link_dies(self.words.markets()).filter(|_| stand.dying)
            && stop.is_none_or(|stop| stop.until >= dies)
        {
            return (dies <= self.horizon).then(|| Arc::new(self.dying(stand, dies)));
        }
        let Some(end) = link.expires_at else { return stop.cloned() };
        match stop {
            Some(stop) if stop.until < end => {
                let again = stop.then.works_again_at;
                if again.is_none_or(|again| again < end) {
                    return Some(Arc::clone(stop));
                }
                let then = Next { works_again_at: None, ..stop.then.clone() };
                Some(Arc::new(Stop { then, ..(**stop).clone() }))
            }
            _ if end > self.horizon => None,
            _ => Some(Arc::new(Stop {
                until: end,
                cause: Cause::LinkExpires,
                agreement: None,
                platform: Some(self.words.platform_name(stand.platform).into()),
                surfaces: stand.surfaces.clone(),
                marketplace: self.words.marketplace_name(stand.marketplace).into(),
                then: Next {
                    outcome: Outcome::Deny,
                    reason: Reason::LinkExpired,
                    agreement: None,
                    alternate: None,
                    marketplace: None,
                    works_again_at: None,
                },
            })),
        }
    }

    /// A short link that dies: clicks go on to it, and find nothing there.
    fn dying(&self, stand: &Stand, dies: Timestamp) -> Stop {
        let marketplace: Box<str> = self.words.marketplace_name(stand.marketplace).into();
        Stop {
            until: dies,
            cause: Cause::ShortLinkDies,
            agreement: None,
            platform: Some(self.words.platform_name(stand.platform).into()),
            surfaces: stand.surfaces.clone(),
            marketplace: marketplace.clone(),
            then: Next {
                outcome: Outcome::Allow,
                reason: Reason::Allowed,
                agreement: None,
                alternate: Some(0),
                marketplace: Some(marketplace),
                works_again_at: None,
            },
        }
    }

    fn known(&mut self, link: &Link) -> Arc<Known> {
        let landings = landings(link);
        let carried = facts_text(&link.facts);
        self.write_key(link, &landings, &carried);
        if let Some(known) = self.known.get(&*self.key) {
            return Arc::clone(known);
        }
        let known = Arc::new(self.judge(link, &landings, &carried));
        if self.known.len() >= MOST_REMEMBERED {
            self.known.clear();
        }
        self.known.insert(self.key.as_slice().into(), Arc::clone(&known));
        known
    }

    /// Writes everything of a link that can make a difference into `self.key`.
    fn write_key(&mut self, link: &Link, landings: &[LandingFacts<'_>], carried: &str) {
        let platform = link.placement.platform.or(self.only);
        self.key.clear();
        self.key.push(platform.map_or(u8::MAX, |id| id.0));
        self.key.push(link.placement.surface.map_or(u8::MAX, |surface| surface as u8));
        self.key.push(u8::from(self.words.markets().short_life(&link.landing.destination).is_some()));
        let mut any = Matters::default();
        for landing in landings {
            let Judge { policy, matters, at, .. } = self;
            let matters = *matters
                .entry((platform, landing.marketplace))
                .or_insert_with(|| matters_between(policy, platform, landing.marketplace, *at));
            any.creator |= matters.creator;
            any.carried |= matters.carried;
            any.link |= matters.link;
            self.key.extend([landing.marketplace.0, landing.shop_type as u8, landing.link_kind as u8]);
            self.key_text(matters.category, landing.category);
            self.key_text(matters.shop, landing.shop);
            self.key_text(matters.item, landing.item);
        }
        self.key_text(any.creator, link.creator.as_deref().unwrap_or_default());
        self.key_text(any.carried, carried);
        self.key_text(any.link, link.code.as_str());
    }

    fn key_text(&mut self, matters: bool, text: &str) {
        if matters {
            // Lengths first: two texts must not read as one.
            self.key.extend((text.len() as u32).to_le_bytes());
            self.key.extend(text.as_bytes());
        }
    }

    fn judge(&self, link: &Link, landings: &[LandingFacts<'_>], carried: &str) -> Known {
        let bound = link.placement;
        let platforms: Vec<PlatformId> = match bound.platform.or(self.only) {
            Some(platform) => vec![platform],
            None => (0..self.words.platforms().len()).map(|id| PlatformId(id as u8)).collect(),
        };
        let surfaces: Vec<Option<Surface>> = match bound.surface {
            Some(surface) => vec![Some(surface)],
            // A click on a link that is bound to no spot may tell one or none.
            None => Surface::ALL.iter().copied().map(Some).chain([None]).collect(),
        };
        let (mut stands, mut refusals) = (Vec::new(), Vec::new());
        for platform in platforms {
            let mut here: Vec<(Alike<'_>, Vec<&'static str>)> = Vec::new();
            for surface in &surfaces {
                let facts: Vec<Facts<'_>> = landings
                    .iter()
                    .map(|landing| Facts {
                        platform: Some(platform),
                        surface: *surface,
                        marketplace: landing.marketplace,
                        shop_type: landing.shop_type,
                        link_kind: landing.link_kind,
                        category: landing.category,
                        creator: link.creator.as_deref().unwrap_or_default(),
                        shop: landing.shop,
                        item: landing.item,
                        carried,
                        link: link.code.as_str(),
                        visitor: 0,
                    })
                    .collect();
                match fate(&self.policy, &facts, self.at, self.horizon) {
                    Fate::Refused { refusal, again } => refusals.push((platform, refusal, again)),
                    Fate::Works { takes, ends } => {
                        let name = surface.map_or("unknown", Surface::as_str);
                        let alike =
                            (ends, takes == 0 && self.words.markets().short_life(&link.landing.destination).is_some());
                        match here.iter_mut().find(|(known, _)| *known == alike) {
                            Some((_, names)) => names.push(name),
                            None => here.push((alike, vec![name])),
                        }
                    }
                }
            }
            stands.extend(here.into_iter().map(|((ends, dying), surfaces)| {
                let lost = ends.as_ref().map_or(0, |ending| ending.lost);
                let marketplace = landings[lost].marketplace;
                let stop = ends.map(|ending| Arc::new(self.name(&ending, platform, &surfaces, landings)));
                Stand { platform, surfaces, marketplace, dying, stop }
            }));
        }
        let dead = stands.is_empty().then(|| {
            let again = refusals.iter().filter_map(|(.., again)| *again).min();
            // Of a link bound to no platform the most telling refusal: one that an agreement speaks of.
            let telling = refusals.iter().find(|(_, refusal, _)| refusal.agreement.is_some()).or(refusals.first());
            let refusal = telling.map(|(_, refusal, _)| refusal);
            let platform =
                bound.platform.or(telling.filter(|(_, refusal, _)| refusal.agreement.is_some()).map(|t| t.0));
            Arc::new(Dead {
                reason: refusal.map_or(Reason::NoAgreement, |refusal| refusal.reason),
                agreement: refusal.and_then(|refusal| refusal.rule_id()).map(Into::into),
                platform: platform.map(|id| self.words.platform_name(id).into()),
                works_again_at: again,
            })
        });
        Known { stands, dead }
    }

    fn name(
        &self,
        ending: &Ending<'_>,
        platform: PlatformId,
        surfaces: &[&'static str],
        landings: &[LandingFacts<'_>],
    ) -> Stop {
        let id = |agreement: Option<&Agreement>| agreement.map(|agreement| agreement.id.clone());
        let marketplace = |landing: usize| self.words.marketplace_name(landings[landing].marketplace).into();
        let then = match &ending.then {
            Then::Lands { landing, agreement } => Next {
                outcome: Outcome::Allow,
                reason: if agreement.is_some() { Reason::Allowed } else { Reason::AllowedByDefault },
                agreement: id(*agreement),
                alternate: Some(*landing),
                marketplace: Some(marketplace(*landing)),
                works_again_at: None,
            },
            Then::Refused { refusal, again } => Next {
                outcome: Outcome::Deny,
                reason: refusal.reason,
                agreement: refusal.rule_id().map(Into::into),
                alternate: None,
                marketplace: None,
                works_again_at: *again,
            },
        };
        Stop {
            until: ending.at,
            cause: ending.cause,
            agreement: ending.rule.map(Into::into),
            platform: Some(self.words.platform_name(platform).into()),
            surfaces: surfaces.to_vec(),
            marketplace: marketplace(ending.lost),
            then,
        }
    }
}

/// Which facts any agreement asks for between a platform, or any, and a marketplace. Agreements outside the horizon count
/// too: a refusal may name them as the nearest, and a link may open again long after. An opening in stages asks for an id only while it is not open to all.
fn matters_between(
    policy: &PolicySet,
    platform: Option<PlatformId>,
    marketplace: MarketplaceId,
    at: Timestamp,
) -> Matters {
    let mut matters = Matters::default();
    let between = |agreement: &&Agreement| {
        platform.is_none_or(|platform| platform == agreement.platform) && agreement.marketplaces.contains(&marketplace)
    };
    for agreement in policy.agreements().iter().filter(between) {
        let when = &agreement.when;
        matters.category |= !when.categories.is_empty();
        matters.creator |= !when.creators.is_empty();
        matters.shop |= !when.shops.is_empty();
        matters.item |= !when.items.is_empty();
        matters.carried |= !when.requires.is_empty();
        if let Some(rollout) = &agreement.rollout
            && agreement.until > at
            && u32::from(rollout.basis_points(at)) < BUCKETS
        {
            match rollout.by {
                StickTo::Creator => matters.creator = true,
                StickTo::Shop => matters.shop = true,
                StickTo::Link => matters.link = true,
                // The visitor is not known, so no link has one of its own.
                StickTo::Visitor => {}
            }
        }
    }
    matters
}
