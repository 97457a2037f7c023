//! The form of a marketplace's data: its domains, its URL shapes, its affiliate tags and its noise.
//!
//! A new marketplace is one more constant of type [`Marketplace`] in a file of its own, listed in [`ALL`]. Everything
//! here is plain text and closed lists, so that the tables can move into files unchanged. Never holds a rule: the
//! rules are in [`super::host`] (who is trusted) and [`super::shape`] (what a URL identifies).

use super::{jd, kuaishou, taobao, tmall, xiaohongshu};
use crate::domain::vocabulary::{LinkKind, MarketplaceId, ShopType};

/// Every marketplace a click may land on.
pub(super) const ALL: [&Marketplace; 5] =
    [&taobao::MARKETPLACE, &tmall::MARKETPLACE, &jd::MARKETPLACE, &kuaishou::MARKETPLACE, &xiaohongshu::MARKETPLACE];

/// One marketplace.
pub(super) struct Marketplace {
    /// Its id in the vocabulary.
    pub id: MarketplaceId,
    /// Who shares its number space: the first part of a product key.
    pub family: &'static str,
    /// Its domains; every host below one is trusted.
    pub domains: &'static [&'static str],
    /// What its hosts suggest of the shop. A hint only.
    pub shop_hint: ShopType,
    /// Host labels which look like a shop's name and are not.
    pub services: &'static [&'static str],
    /// Its URL shapes; the first that fits decides.
    pub shapes: &'static [Shape],
    /// Query names that name a variant of an item.
    pub variant: &'static [&'static str],
    /// Lists of query names that never tell two products apart. They are dropped from keys, never from a destination.
    pub noise: &'static [&'static [&'static str]],
}

/// One family of URLs that mean the same sort of thing.
///
/// In `hosts` and `paths`, `{id}` stands for a run of `[A-Za-z0-9_-]` and `*` for anything.
pub(super) struct Shape {
    /// Patterns of the host.
    pub hosts: &'static [&'static str],
    /// Patterns of the path.
    pub paths: &'static [&'static str],
    /// Query names that hold the id; empty when it stands at `{id}`.
    pub query: &'static [&'static str],
    /// What the id is. A URL whose id does not have that form does not fit.
    pub id: Id,
    /// What such a URL leads to.
    pub kind: LinkKind,
    /// Any of these makes it an alliance link.
    pub tags: &'static [Tag],
}

/// What an id is, hence its form and where it is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Id {
    /// There is none.
    Nothing,
    /// Present and not empty, kept nowhere (an encrypted parameter).
    Opaque,
    /// A code of 5 to 64 of `[A-Za-z0-9_-]`, kept nowhere (a short link, a campaign).
    Code,
    /// An item number of 6 to 15 digits.
    ItemNumber,
    /// A stock-keeping number of 5 to 15 digits.
    Sku,
    /// An item as alliances name it: 5 to 64 of `[A-Za-z0-9_-]`.
    AllianceItem,
    /// A shop's number.
    ShopNumber,
    /// A shop's host label.
    ShopName,
    /// A seller's number, which is another number than its shop's.
    SellerNumber,
}

/// A mark that commission travels in a URL.
pub(super) enum Tag {
    /// The parameter is there and not empty.
    Present(&'static str),
    /// The parameter's value starts with this text and then a digit.
    Numbered(&'static str, &'static str),
}
