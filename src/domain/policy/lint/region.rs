//! Sets of clicks at one instant, as products of what each condition lets through, and how an agreement cuts them. Exact,
//! and never larger than it must be.
//!
//! Three simplifications lose nothing. A category, creator, shop or item no agreement names is met by none that names
//! some, so it stands for every other; not knowing one helps only the denies. And a fact that nobody asks for among those
//! who are to match is best known to be absent.

use std::collections::HashMap;

use crate::domain::policy::agreement::{Agreement, Effect, StickTo};
use crate::domain::policy::rollout::BUCKETS;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::{LinkKind, ShopType, Surface};

/// Category, creator, shop, item.
pub(super) const TEXTS: usize = 4;
/// The bit of an unknown surface.
pub(super) const NO_SURFACE: u16 = 1 << Surface::ALL.len();

/// The place of what a rollout sticks to, among the texts first.
pub(super) const fn stick(by: StickTo) -> usize {
    match by {
        StickTo::Creator => 1,
        StickTo::Shop => 2,
        StickTo::Link => TEXTS,
        StickTo::Visitor => TEXTS + 1,
    }
}

/// Texts as small numbers.
#[derive(Default)]
pub(super) struct Names<'p> {
    ids: HashMap<&'p str, u32>,
    texts: Vec<&'p str>,
}

impl<'p> Names<'p> {
    pub(super) fn id(&mut self, text: &'p str) -> u32 {
        let next = self.texts.len() as u32;
        *self.ids.entry(text).or_insert_with(|| {
            self.texts.push(text);
            next
        })
    }

    pub(super) fn text(&self, id: u32) -> &'p str {
        self.texts[id as usize]
    }

    pub(super) fn knows(&self, text: &str) -> bool {
        self.ids.contains_key(text)
    }

    fn all(&mut self, texts: &'p [Box<str>]) -> Vec<u32> {
        let mut ids: Vec<u32> = texts.iter().map(|text| self.id(text)).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

/// What an agreement lets through, in a form that can be cut.
pub(super) struct Shape<'p> {
    pub(super) agreement: &'p Agreement,
    /// Its window and effect once more: a look at another agreement is most of the work.
    from: Timestamp,
    until: Timestamp,
    pub(super) effect: Effect,
    surfaces: u16,
    shop_types: u8,
    link_kinds: u8,
    /// Named values by number, rising; none: any.
    texts: [Option<Vec<u32>>; TEXTS],
    requires: Vec<u32>,
    /// What the rollout sticks to, and its salt.
    rollout: Option<(usize, u32)>,
}

impl<'p> Shape<'p> {
    pub(super) fn new(agreement: &'p Agreement, names: &mut Names<'p>) -> Self {
        let deny = agreement.effect == Effect::Deny;
        let when = &agreement.when;
        let surfaces = when.surfaces.iter().fold(0, |bits, value| bits | 1u16 << *value as usize);
        let shop_types = when.shop_types.iter().fold(0, |bits, value| bits | 1u8 << *value as usize);
        let link_kinds = when.link_kinds.iter().fold(0, |bits, value| bits | 1u8 << *value as usize);
        // What is not known never meets a condition of an allow and always one of a deny.
        let unknown = |bit: u8| if deny { bit } else { 0 };
        let mut named = |texts: &'p [Box<str>]| (!texts.is_empty()).then(|| names.all(texts));
        Shape {
            agreement,
            from: agreement.from,
            until: agreement.until,
            effect: agreement.effect,
            surfaces: if surfaces == 0 { u16::MAX } else { surfaces | if deny { NO_SURFACE } else { 0 } },
            shop_types: if shop_types == 0 { u8::MAX } else { shop_types | unknown(1 << ShopType::Unknown as usize) },
            link_kinds: if link_kinds == 0 { u8::MAX } else { link_kinds | unknown(1 << LinkKind::Unknown as usize) },
            texts: [named(&when.categories), named(&when.creators), named(&when.shops), named(&when.items)],
            requires: names.all(&when.requires),
            rollout: agreement.rollout.as_ref().map(|rollout| (stick(rollout.by), names.id(&rollout.salt))),
        }
    }

    /// The share that is in at `at`: of 10,000; 0 where it is not in force.
    pub(super) fn share(&self, at: Timestamp) -> u32 {
        if at < self.from || self.until <= at {
            return 0;
        }
        match &self.agreement.rollout {
            Some(rollout) => u32::from(rollout.basis_points(at)),
            None => BUCKETS,
        }
    }

    /// Whether some click could meet both, were they in force together and open to all.
    pub(super) fn meets(&self, other: &Shape<'_>) -> bool {
        self.surfaces & other.surfaces != 0
            && self.shop_types & other.shop_types != 0
            && self.link_kinds & other.link_kinds != 0
            && self.texts.iter().zip(&other.texts).all(|texts| match texts {
                (Some(ours), Some(theirs)) => common(ours, theirs),
                _ => true,
            })
    }

    /// Whether their windows have an instant in common, at `since` or later.
    pub(super) fn meets_in_time(&self, other: &Shape<'_>, since: Timestamp) -> bool {
        self.from.max(other.from).max(since) < self.until.min(other.until)
    }

    /// Whether every click that meets `other` meets this one too, all the time.
    pub(super) fn covers(&self, other: &Shape<'_>) -> bool {
        self.from <= other.from
            && other.until <= self.until
            && self.share(other.from) == BUCKETS
            && other.surfaces & !self.surfaces & ALL_SURFACES == 0
            && other.shop_types & !self.shop_types & ALL_SHOPS == 0
            && other.link_kinds & !self.link_kinds & ALL_KINDS == 0
            && self.texts.iter().zip(&other.texts).all(|texts| match texts {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(ours), Some(theirs)) => theirs.iter().all(|id| ours.binary_search(id).is_ok()),
            })
            && self.requires.iter().all(|name| other.requires.contains(name))
    }

    /// Whether a click whose id is not known may meet it where none of its listed ids does: a deny in stages. That case
    /// is not looked into, so nothing may be concluded from not finding a click.
    pub(super) fn has_blind_spot(&self) -> bool {
        let listed = |(stick, _): (usize, u32)| self.texts.get(stick).is_some_and(Option::is_some);
        self.agreement.effect == Effect::Deny && self.rollout.is_some_and(listed)
    }
}

const ALL_SURFACES: u16 = (NO_SURFACE << 1) - 1;
const ALL_SHOPS: u8 = (1 << ShopType::ALL.len()) - 1;
const ALL_KINDS: u8 = (1 << LinkKind::ALL.len()) - 1;

fn common(ours: &[u32], theirs: &[u32]) -> bool {
    let (few, many) = if ours.len() < theirs.len() { (ours, theirs) } else { (theirs, ours) };
    few.iter().any(|id| many.binary_search(id).is_ok())
}

/// Buckets `low..high` of whoever `stick` names, under a salt.
#[derive(Clone)]
pub(super) struct Buckets {
    pub(super) stick: usize,
    pub(super) salt: u32,
    pub(super) low: u32,
    pub(super) high: u32,
}

/// A set of clicks at one instant.
#[derive(Clone)]
pub(super) struct Region {
    pub(super) surfaces: u16,
    pub(super) shop_types: u8,
    pub(super) link_kinds: u8,
    /// One of these; none: one that nobody names.
    pub(super) texts: [Option<Vec<u32>>; TEXTS],
    /// Facts that are carried; every other one is known to be absent.
    pub(super) carried: Vec<u32>,
    pub(super) buckets: Vec<Buckets>,
}

impl Region {
    /// Every click that carries no fact.
    pub(super) fn whole() -> Self {
        Region {
            surfaces: ALL_SURFACES,
            shop_types: ALL_SHOPS,
            link_kinds: ALL_KINDS,
            texts: [const { None }; TEXTS],
            carried: Vec::new(),
            buckets: Vec::new(),
        }
    }

    /// Adds what a shape that is to match asks of the facts.
    pub(super) fn carry(&mut self, shape: &Shape<'_>) {
        for name in &shape.requires {
            if !self.carried.contains(name) {
                self.carried.push(*name);
            }
        }
    }

    /// The part of it that meets `shape` at `at`, facts apart. Only for shapes that are to match: until all of them were
    /// asked, "one that nobody names" may still become one of a list.
    pub(super) fn narrowed(mut self, shape: &Shape<'_>, at: Timestamp) -> Option<Region> {
        let share = shape.share(at);
        if share == 0 {
            return None;
        }
        self.surfaces &= shape.surfaces;
        self.shop_types &= shape.shop_types;
        self.link_kinds &= shape.link_kinds;
        if self.surfaces == 0 || self.shop_types == 0 || self.link_kinds == 0 {
            return None;
        }
        for (mine, wanted) in self.texts.iter_mut().zip(&shape.texts) {
            let Some(wanted) = wanted else { continue };
            match mine {
                None => *mine = Some(wanted.clone()),
                Some(mine) => {
                    mine.retain(|id| wanted.binary_search(id).is_ok());
                    if mine.is_empty() {
                        return None;
                    }
                }
            }
        }
        match shape.rollout {
            Some((stick, salt)) if share < BUCKETS => self.within(stick, salt, 0, share).then_some(self),
            _ => Some(self),
        }
    }

    fn within(&mut self, stick: usize, salt: u32, low: u32, high: u32) -> bool {
        match self.buckets.iter_mut().find(|known| (known.stick, known.salt) == (stick, salt)) {
            Some(known) => {
                (known.low, known.high) = (known.low.max(low), known.high.min(high));
                known.low < known.high
            }
            None => {
                self.buckets.push(Buckets { stick, salt, low, high });
                low < high
            }
        }
    }

    /// Pushes parts that together are all of it that does not meet `shape` at `at`; `false` when nothing of it meets it,
    /// and then nothing is pushed.
    pub(super) fn escape(&self, shape: &Shape<'_>, at: Timestamp, parts: &mut Vec<Region>) -> bool {
        let share = shape.share(at);
        let meets = share > 0
            && self.surfaces & shape.surfaces != 0
            && self.shop_types & shape.shop_types != 0
            && self.link_kinds & shape.link_kinds != 0
            && shape.requires.iter().all(|name| self.carried.contains(name))
            && self.texts.iter().zip(&shape.texts).all(|texts| match texts {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(mine), Some(theirs)) => common(mine, theirs),
            });
        if !meets {
            return false;
        }
        // Each part keeps what the ones before it gave up, so that no click is in two.
        let mut rest = self.clone();
        let others = rest.surfaces & !shape.surfaces;
        if others != 0 {
            parts.push(Region { surfaces: others, ..rest.clone() });
            rest.surfaces &= shape.surfaces;
        }
        let others = rest.shop_types & !shape.shop_types;
        if others != 0 {
            parts.push(Region { shop_types: others, ..rest.clone() });
            rest.shop_types &= shape.shop_types;
        }
        let others = rest.link_kinds & !shape.link_kinds;
        if others != 0 {
            parts.push(Region { link_kinds: others, ..rest.clone() });
            rest.link_kinds &= shape.link_kinds;
        }
        for place in 0..TEXTS {
            let (Some(mine), Some(theirs)) = (&rest.texts[place], &shape.texts[place]) else { continue };
            let (inside, outside): (Vec<u32>, Vec<u32>) = mine.iter().partition(|id| theirs.binary_search(id).is_ok());
            if !outside.is_empty() {
                let mut part = rest.clone();
                part.texts[place] = Some(outside);
                parts.push(part);
                rest.texts[place] = Some(inside);
            }
        }
        if let Some((stick, salt)) = shape.rollout
            && share < BUCKETS
        {
            let mut part = rest;
            if part.within(stick, salt, share, BUCKETS) {
                parts.push(part);
            }
        }
        true
    }
}
