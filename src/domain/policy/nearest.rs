//! Why a click was refused: which agreement came nearest to allowing it, and on what it failed. Also the trace of an
//! explanation. Off the path of an allowed click.

use std::cmp::Reverse;

use serde::Serialize;

use super::Reason;
use super::agreement::{Agreement, Effect};
use super::compile::PolicySet;
use super::decide::{Facts, Matching, Refusal, in_rollout, requirements_met};
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::{LinkKind, ShopType};

/// The conditions of an agreement, in the order in which they are asked: failing later is being nearer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// The spot inside the platform.
    Surface,
    /// The window.
    Window,
    /// The sort of link.
    LinkKind,
    /// The sort of shop.
    ShopType,
    /// The category.
    Category,
    /// The creator.
    Creator,
    /// The shop.
    Shop,
    /// The item.
    Item,
    /// Facts asked for.
    Requirement,
    /// The staged opening.
    Rollout,
}

impl Dimension {
    /// Every dimension, in asking order.
    pub const ALL: [Dimension; 10] = [
        Dimension::Surface,
        Dimension::Window,
        Dimension::LinkKind,
        Dimension::ShopType,
        Dimension::Category,
        Dimension::Creator,
        Dimension::Shop,
        Dimension::Item,
        Dimension::Requirement,
        Dimension::Rollout,
    ];

    fn reason(self, agreement: &Agreement, at: Timestamp) -> Reason {
        match self {
            Dimension::Surface => Reason::SurfaceNotCovered,
            Dimension::Window if at < agreement.from => Reason::NotYetOpen,
            Dimension::Window => Reason::WindowEnded,
            Dimension::LinkKind => Reason::LinkKindNotCovered,
            Dimension::ShopType => Reason::ShopTypeNotCovered,
            Dimension::Category => Reason::CategoryNotCovered,
            Dimension::Creator | Dimension::Shop | Dimension::Item => Reason::CreatorNotCovered,
            Dimension::Requirement => Reason::RequirementMissing,
            Dimension::Rollout => Reason::NotInRollout,
        }
    }
}

/// Whether one condition of an agreement holds for a click.
pub fn holds(dimension: Dimension, agreement: &Agreement, facts: &Facts<'_>, at: Timestamp) -> bool {
    let deny = agreement.effect == Effect::Deny;
    let text = |wanted: &[Box<str>], found: &str| {
        wanted.is_empty() || if found.is_empty() { deny } else { wanted.iter().any(|value| **value == *found) }
    };
    let when = &agreement.when;
    match dimension {
        Dimension::Surface => {
            when.surfaces.is_empty() || facts.surface.map_or(deny, |found| when.surfaces.contains(&found))
        }
        Dimension::Window => agreement.in_force(at),
        Dimension::LinkKind => {
            when.link_kinds.is_empty()
                || if facts.link_kind == LinkKind::Unknown { deny } else { when.link_kinds.contains(&facts.link_kind) }
        }
        Dimension::ShopType => {
            when.shop_types.is_empty()
                || if facts.shop_type == ShopType::Unknown { deny } else { when.shop_types.contains(&facts.shop_type) }
        }
        Dimension::Category => text(&when.categories, facts.category),
        Dimension::Creator => text(&when.creators, facts.creator),
        Dimension::Shop => text(&when.shops, facts.shop),
        Dimension::Item => text(&when.items, facts.item),
        Dimension::Requirement => requirements_met(agreement, facts.carried, agreement.effect),
        // Outside its window there is no stage to be in: only the window is to blame.
        Dimension::Rollout => !agreement.in_force(at) || in_rollout(agreement, facts, at).0,
    }
}

/// How far an allow was from matching; smaller is nearer: fewer failed conditions, then failing later in the order of
/// asking, then the nearer instant where the window is what failed first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Distance {
    failed: u32,
    first: Reverse<usize>,
    away: u64,
}

const SURFACE: usize = Dimension::Surface as usize;
const WINDOW: usize = Dimension::Window as usize;
const REQUIREMENT: usize = Dimension::Requirement as usize;

/// The refusal of a click that no agreement matched.
pub(super) fn refusal<'p>(
    policy: &'p PolicySet,
    matching: &Matching<'p>,
    facts: &Facts<'_>,
    at: Timestamp,
) -> Refusal<'p> {
    // Among many there is nearly always one that fails a single condition; then no other need be counted.
    let single = matching.pair.allows.words.len() > 1;
    let single = if single { nearest_of_pair(policy, matching, facts, at, true) } else { None };
    let nearest = single
        .filter(|(distance, _)| distance.failed == 1)
        .or_else(|| nearest_of_pair(policy, matching, facts, at, false));
    let Some((distance, rule)) = nearest else {
        return Refusal { reason: Reason::NoAgreement, agreement: None, bucket: None, kill: None };
    };
    let (dimension, agreement) = (Dimension::ALL[distance.first.0], policy.agreement(matching.pair.rules[rule]));
    Refusal {
        reason: dimension.reason(agreement, at),
        agreement: Some(agreement),
        bucket: if dimension == Dimension::Rollout { in_rollout(agreement, facts, at).1 } else { None },
        kill: None,
    }
}

/// The nearest of all allows, or of those that fail at most one condition of those that rows answer; the first of equals.
fn nearest_of_pair(
    policy: &PolicySet,
    matching: &Matching<'_>,
    facts: &Facts<'_>,
    at: Timestamp,
    one_at_most: bool,
) -> Option<(Distance, usize)> {
    let mut nearest: Option<(Distance, usize)> = None;
    for place in matching.pair.allows.words.clone() {
        let mut among = could_be_nearer(matching, at, place, nearest);
        if one_at_most && among != 0 {
            among &= fail_one_at_most(matching, place);
        }
        if among == 0 {
            continue;
        }
        let Nearest { failed, first, who } = nearest_of_word(policy, matching, facts, at, place, among);
        // One that fails nothing would have allowed the click.
        if failed == 0 || nearest.is_some_and(|(best, _)| (best.failed, best.first) < (failed, first)) {
            continue;
        }
        for rule in bits(who).map(|bit| place * 64 + bit) {
            let away = if first.0 == WINDOW { away(matching.pair.windows[rule], at) } else { 0 };
            let distance = Distance { failed, first, away };
            if nearest.is_none_or(|(best, _)| distance < best) {
                nearest = Some((distance, rule));
            }
            if away == 0 {
                break;
            }
        }
    }
    nearest
}

/// The allows of a word that may be nearer than the nearest so far. When that one fails a single condition, another
/// must hold in all that come before it, and in that one too unless a window of the word is nearer than a window.
fn could_be_nearer(matching: &Matching<'_>, at: Timestamp, place: usize, nearest: Option<(Distance, usize)>) -> u64 {
    let held = match nearest {
        Some((best, _)) if best.failed == 1 => {
            let Reverse(first) = best.first;
            if first == WINDOW && away(matching.pair.spans[place], at) < best.away { SURFACE + 1 } else { first + 1 }
        }
        _ => 0,
    };
    matching.fixed.iter().take(held).fold(matching.pair.allows.bits[place], |among, row| among & row[place])
}

/// The agreements of a word that fail no condition, or one, of those that rows answer.
fn fail_one_at_most(matching: &Matching<'_>, place: usize) -> u64 {
    let (mut none, mut one_at_most) = (u64::MAX, u64::MAX);
    for row in matching.fixed.iter().chain(matching.texts.iter().flatten()) {
        one_at_most &= none | row[place];
        none &= row[place];
    }
    one_at_most
}

/// For each condition in the order of asking, which agreements of a word fail it.
type Failing = [u64; Dimension::ALL.len()];

/// The nearest agreements of a word: equally many conditions failed, the same one failed first.
struct Nearest {
    failed: u32,
    first: Reverse<usize>,
    who: u64,
}

/// The nearest of `among` in a word. Requirements and staged openings, which no row answers, count as met until one that
/// has them would be the nearest; only then is it asked.
fn nearest_of_word(
    policy: &PolicySet,
    matching: &Matching<'_>,
    facts: &Facts<'_>,
    at: Timestamp,
    place: usize,
    among: u64,
) -> Nearest {
    let pair = matching.pair;
    let mut failing: Failing = [0; Dimension::ALL.len()];
    for (failing, row) in failing.iter_mut().zip(&matching.fixed) {
        *failing = !row[place];
    }
    for (failing, row) in failing[matching.fixed.len()..REQUIREMENT].iter_mut().zip(&matching.texts) {
        *failing = row.map_or(0, |row| !row[place]);
    }
    let mut unasked = pair.conditional[place];
    loop {
        let nearest = nearest_of(&failing, among);
        if nearest.who & unasked == 0 {
            return nearest;
        }
        for bit in bits(nearest.who & unasked) {
            let agreement = policy.agreement(pair.rules[place * 64 + bit]);
            for dimension in [Dimension::Requirement, Dimension::Rollout] {
                failing[dimension as usize] |= u64::from(!holds(dimension, agreement, facts, at)) << bit;
            }
        }
        unasked &= !nearest.who;
    }
}

/// Of `among`, those that fail the fewest conditions, and of these those whose first failed condition comes last.
fn nearest_of(failing: &Failing, among: u64) -> Nearest {
    // Each agreement's number of failures in binary, one digit a word: 64 are counted at once.
    let mut digits = [0u64; 4];
    for fails in failing {
        let mut carry = *fails;
        for digit in &mut digits {
            (*digit, carry) = (*digit ^ carry, *digit & carry);
        }
    }
    let (mut who, mut failed) = (among, 0);
    for (power, digit) in digits.iter().enumerate().rev() {
        match who & !digit {
            0 => failed |= 1 << power,
            fewer => who = fewer,
        }
    }
    let mut first = 0;
    for fails in failing {
        match who & !fails {
            0 => break,
            holding => who = holding,
        }
        first += 1;
    }
    Nearest { failed, first: Reverse(first), who }
}

fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
        word &= word - 1;
        Some(bit)
    })
}

/// How far an instant is from a window; 0 inside.
fn away((from, until): (Timestamp, Timestamp), at: Timestamp) -> u64 {
    if at < from {
        from.micros().abs_diff(at.micros())
    } else if at >= until {
        at.micros().abs_diff(until.micros())
    } else {
        0
    }
}
