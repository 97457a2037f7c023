//! Marketplaces: which URLs are theirs, what they identify, and where a click may land.

use super::vocabulary::{LinkKind, MarketplaceId, ShopType};

/// A landing address that has passed the allow-list. Only this module builds one.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Destination(Box<str>);

impl Destination {
    /// The absolute https URL, visible ASCII only.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a pasted URL leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Landing {
    /// The marketplace.
    pub marketplace: MarketplaceId,
    /// What the URL leads to.
    pub link_kind: LinkKind,
    /// What the host suggests of the shop; a hint, never a ground for an allow.
    pub shop_hint: ShopType,
    /// The product's id as text (JD alliance ids are opaque strings).
    pub item: Option<Box<str>>,
    /// The variant, where the URL names one.
    pub variant: Option<Box<str>>,
    /// The shop's id, with its kind where a marketplace has two: `shop:123`, `seller:456`.
    pub shop: Option<Box<str>>,
    /// The address as the alliance issued it.
    pub destination: Destination,
}
