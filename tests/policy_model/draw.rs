//! Random policies and clicks, drawn to be awkward: few values so that things meet, instants on boundaries and a
//! microsecond beside them, facts that are not known, conditions from none to many, every sort of staged opening.

use hopgate::domain::policy::{Agreement, Conditions, Effect, Facts, PairDefault, Rollout, Step, StickTo};
use hopgate::domain::time::Timestamp;
use hopgate::domain::vocabulary::{LandingMode, LinkKind, MarketplaceId, PlatformId, ShopType, Surface};

use crate::support::Dice;

const WORDS: [&str; 5] = ["red", "blue", "green", "black", ""];
const IDS: [&str; 6] = ["ann", "bo", "chen", "dai", "fei", ""];
const CARRIED: [&str; 7] = ["", "red", "!red", "blue red", "!blue green", "black", "red blue green"];

/// A policy and what there is to know about it.
#[derive(Clone, Debug)]
pub struct Policy {
    pub agreements: Vec<Agreement>,
    pub defaults: Vec<PairDefault>,
}

#[derive(Clone, Debug)]
pub struct Click {
    pub platform: Option<u8>,
    pub marketplace: u8,
    pub surface: Option<Surface>,
    pub shop_type: ShopType,
    pub link_kind: LinkKind,
    pub category: &'static str,
    pub creator: Box<str>,
    pub shop: &'static str,
    pub item: &'static str,
    pub carried: &'static str,
    pub link: Box<str>,
    pub visitor: u128,
    pub at: Timestamp,
}

impl Click {
    pub fn facts(&self) -> Facts<'_> {
        Facts {
            platform: self.platform.map(PlatformId),
            surface: self.surface,
            marketplace: MarketplaceId(self.marketplace),
            shop_type: self.shop_type,
            link_kind: self.link_kind,
            category: self.category,
            creator: &self.creator,
            shop: self.shop,
            item: self.item,
            carried: self.carried,
            link: &self.link,
            visitor: self.visitor,
        }
    }
}

fn of<T: Clone>(dice: &mut Dice, all: &[T]) -> T {
    all[dice.roll(all.len() as u64) as usize].clone()
}

fn one_in(dice: &mut Dice, sides: u64) -> bool {
    dice.roll(sides) == 0
}

/// Some of `all`; none, which is no condition, as often as `none` in ten.
fn some<T: Clone>(dice: &mut Dice, all: &[T], none: u64) -> Vec<T> {
    if dice.roll(10) < none {
        return Vec::new();
    }
    let keep = 1 + dice.roll(3);
    let kept: Vec<T> = all.iter().filter(|_| dice.roll(4) < keep).cloned().collect();
    if kept.is_empty() { vec![of(dice, all)] } else { kept }
}

fn texts(dice: &mut Dice, all: &[&str], none: u64) -> Vec<Box<str>> {
    some(dice, &all[..all.len() - 1], none).into_iter().map(Box::from).collect()
}

/// A policy of mostly a few agreements, at times of hundreds, on one pair or on several.
pub fn policy(dice: &mut Dice) -> Policy {
    let count = match dice.roll(20) {
        0 => 0,
        1..10 => 1 + dice.roll(6),
        10..16 => dice.roll(25),
        16..18 => dice.roll(90),
        _ => 60 + dice.roll(240),
    };
    // Large ones are on one pair, which then fills several words of bits.
    let pairs = if count > 60 { 1 } else { 1 + dice.roll(3) as u8 };
    // Few instants and many agreements, so that windows meet; at times a fine grid, at times days.
    let grid = of(dice, &[1, 1_000, 86_400_000_000]);
    let origin = of(dice, &[0, 1_669_824_000_000_000, -5_000_000_000]);
    let instants: Vec<i64> = (0..2 + dice.roll(12)).map(|_| origin + dice.roll(20) as i64 * grid).collect();
    // How often a condition is left out: policies of broad and of narrow agreements.
    let none = of(dice, &[2, 5, 8, 9]);
    let agreements = (0..count).map(|number| agreement(dice, number, pairs, &instants, none)).collect();
    let defaults = [0, 1].map(|platform| PairDefault {
        platform: PlatformId(platform),
        marketplace: MarketplaceId(0),
        outcome: if one_in(dice, 4) { Effect::Allow } else { Effect::Deny },
    });
    Policy { agreements, defaults: defaults.to_vec() }
}

fn agreement(dice: &mut Dice, number: u64, pairs: u8, instants: &[i64], none: u64) -> Agreement {
    let (one, other) = (of(dice, instants), of(dice, instants));
    let from = if one_in(dice, 12) { Timestamp::MIN } else { Timestamp::from_micros(one.min(other)) };
    let until = match dice.roll(4) {
        0 => Timestamp::MAX,
        _ => Timestamp::from_micros(one.max(other) + i64::from(one == other)),
    };
    let id: Box<str> = format!("rule-{:03}", number * 7 % 1_000).into();
    let rollout = one_in(dice, 4).then(|| {
        let mut shares: Vec<u16> =
            (0..1 + dice.roll(4)).map(|_| of(dice, &[0, 1, 3_000, 5_000, 7_500, 9_999, 10_000])).collect();
        let mut steps: Vec<Timestamp> =
            (0..shares.len()).map(|_| Timestamp::from_micros(of(dice, instants) + dice.roll(2) as i64)).collect();
        shares.sort_unstable();
        steps.sort_unstable();
        let steps = steps.into_iter().zip(shares).map(|(at, basis_points)| Step { at, basis_points }).collect();
        let salt = if one_in(dice, 3) { "shared".into() } else { id.clone() };
        Rollout { by: of(dice, StickTo::ALL), salt, steps }
    });
    Agreement {
        id,
        title: "".into(),
        platform: PlatformId(dice.roll(u64::from(pairs)) as u8 % 2),
        marketplaces: match pairs {
            1 => vec![MarketplaceId(0)],
            _ => some(dice, &[MarketplaceId(0), MarketplaceId(1)], 0),
        },
        effect: if one_in(dice, 6) { Effect::Deny } else { Effect::Allow },
        from,
        until,
        when: Conditions {
            surfaces: some(dice, &Surface::ALL[..4], none),
            shop_types: some(dice, &ShopType::ALL[..3], none),
            link_kinds: some(dice, &LinkKind::ALL[..3], none),
            categories: texts(dice, &WORDS, none.max(6)),
            creators: texts(dice, &IDS, none.max(6)),
            shops: texts(dice, &WORDS, none.max(8)),
            items: texts(dice, &WORDS, none.max(8)),
            requires: texts(dice, &WORDS[..4], none.max(7)),
        },
        rollout,
        landing: LandingMode::App,
        attribution: None,
        priority: of(dice, &[0, 0, 0, 1, -1]),
        evidence: "".into(),
    }
}

/// The instants at which something begins, ends or widens.
pub fn boundaries(policy: &Policy) -> Vec<Timestamp> {
    let of_one = |agreement: &Agreement| {
        let steps: Vec<Timestamp> =
            agreement.rollout.iter().flat_map(|rollout| rollout.steps.iter().map(|step| step.at)).collect();
        [vec![agreement.from, agreement.until], steps].concat()
    };
    let mut all: Vec<Timestamp> = policy.agreements.iter().flat_map(of_one).collect();
    all.retain(|at| *at != Timestamp::MIN && *at != Timestamp::MAX);
    all.sort_unstable();
    all.dedup();
    all
}

/// A click, mostly between two that have agreements, in two of three cases on a boundary or a microsecond to one side.
pub fn click(dice: &mut Dice, policy: &Policy, boundaries: &[Timestamp]) -> Click {
    let (mut platform, mut marketplace) = (Some(dice.roll(2) as u8), dice.roll(3) as u8);
    if !policy.agreements.is_empty() && !one_in(dice, 8) {
        let spoken_of = &policy.agreements[dice.roll(policy.agreements.len() as u64) as usize];
        (platform, marketplace) = (Some(spoken_of.platform.0), of(dice, &spoken_of.marketplaces).0);
    }
    if one_in(dice, 40) {
        platform = None;
    }
    let at = match (boundaries.is_empty(), dice.roll(12)) {
        (true, _) | (_, 0) => of(dice, &[i64::MIN, i64::MAX - 1, 0].map(Timestamp::from_micros)),
        (_, 1..9) => Timestamp::from_micros(of(dice, boundaries).micros() + dice.roll(3) as i64 - 1),
        _ => {
            let (first, last) = (boundaries[0].micros() - 50, boundaries[boundaries.len() - 1].micros() + 50);
            Timestamp::from_micros(first + dice.roll((last - first) as u64) as i64)
        }
    };
    // Most ids are of nobody listed, and many, so that every bucket of a rollout is met.
    let stranger = format!("u{}", dice.roll(100_000));
    let known = |dice: &mut Dice, all: &[&str]| -> Box<str> {
        if one_in(dice, 3) { stranger.as_str().into() } else { of(dice, all).into() }
    };
    Click {
        platform,
        marketplace,
        surface: if one_in(dice, 8) { None } else { Some(of(dice, &Surface::ALL[..5])) },
        shop_type: if one_in(dice, 8) { ShopType::Unknown } else { of(dice, &ShopType::ALL[..4]) },
        link_kind: if one_in(dice, 8) { LinkKind::Unknown } else { of(dice, &LinkKind::ALL[..4]) },
        category: of(dice, &WORDS),
        creator: known(dice, &IDS),
        shop: of(dice, &WORDS),
        item: of(dice, &WORDS),
        carried: of(dice, &CARRIED),
        link: known(dice, &IDS),
        visitor: u128::from(dice.roll(4)) * u128::from(dice.roll(100_000)),
        at,
    }
}
