//! Which links depend on an agreement: those it may let through, if only their window were open. Never looks at the clock.

use crate::domain::link::{LinkState, LinkView};
use crate::domain::policy::nearest::{Dimension, holds};
use crate::domain::policy::{Agreement, Facts};

/// What an agreement asks of a link, whatever the instant and the visitor.
const ASKED: [Dimension; 7] = [
    Dimension::LinkKind,
    Dimension::ShopType,
    Dimension::Category,
    Dimension::Creator,
    Dimension::Shop,
    Dimension::Item,
    Dimension::Requirement,
];

/// Whether one of a link's landings is what `agreement` covers, where the link may be clicked and longer than the agreement
/// is in force. A link bound to no platform or spot may be clicked on any.
pub fn depends(link: &LinkView<'_>, agreement: &Agreement) -> bool {
    let off = link.state == LinkState::Disabled || link.expires_at <= agreement.until;
    if off || link.placement.platform.is_some_and(|platform| platform != agreement.platform) {
        return false;
    }
    let own = Facts {
        platform: Some(agreement.platform),
        surface: link.placement.surface,
        marketplace: link.marketplace,
        shop_type: link.shop_type,
        link_kind: link.link_kind,
        category: link.category,
        creator: link.creator,
        shop: link.shop,
        item: link.item,
        carried: link.facts,
        link: "",
        visitor: 0,
    };
    let covers = |facts: &Facts<'_>| {
        let asked = |dimension: Dimension| holds(dimension, agreement, facts, agreement.from);
        agreement.marketplaces.contains(&facts.marketplace)
            && (facts.surface.is_none() || asked(Dimension::Surface))
            && ASKED.into_iter().all(asked)
    };
    covers(&own) || link.alternates.iter().any(|other| covers(&own.at_landing(&other)))
}
