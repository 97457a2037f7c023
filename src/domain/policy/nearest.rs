//! Why a click was refused: which agreement came nearest to allowing it, and on what it failed. Also the trace of an
//! explanation. Off the path of an allowed click.

use serde::Serialize;

use super::Reason;
use super::agreement::{Agreement, Effect};
use super::compile::{Pair, PolicySet};
use super::decide::{Facts, Refusal, in_rollout, requirements_met};
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
/// asking, then the nearer instant where a window is what failed.
fn distance(agreement: &Agreement, facts: &Facts<'_>, at: Timestamp) -> Option<(usize, i8, u64, Dimension)> {
    let mut failed = Dimension::ALL.into_iter().filter(|dimension| !holds(*dimension, agreement, facts, at));
    let first = failed.next()?;
    let away = if at < agreement.from {
        agreement.from.micros().abs_diff(at.micros())
    } else {
        at.micros().abs_diff(agreement.until.micros())
    };
    Some((1 + failed.count(), -(first as i8), if first == Dimension::Window { away } else { 0 }, first))
}

pub(super) fn refusal<'p>(policy: &'p PolicySet, pair: &Pair, facts: &Facts<'_>, at: Timestamp) -> Refusal<'p> {
    let nearest = pair
        .rules
        .iter()
        .map(|place| policy.agreement(*place))
        .filter(|agreement| agreement.effect == Effect::Allow)
        .filter_map(|agreement| distance(agreement, facts, at).map(|distance| (distance, agreement)))
        .min_by_key(|(distance, _)| *distance);
    match nearest {
        Some(((_, _, _, dimension), agreement)) => Refusal {
            reason: dimension.reason(agreement, at),
            agreement: Some(agreement),
            bucket: if dimension == Dimension::Rollout { in_rollout(agreement, facts, at).1 } else { None },
            kill: None,
        },
        None => Refusal { reason: Reason::NoAgreement, agreement: None, bucket: None, kill: None },
    }
}
