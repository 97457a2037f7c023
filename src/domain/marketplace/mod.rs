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

/// Why an address is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlFault {
    /// Not an https address of a known marketplace.
    #[error("`{0}` is not an https address of a known marketplace")]
    NotAllowed(String),
}

impl Destination {
    /// An address that comes back from a store, checked against the allow-list again. A stand-in until the marketplace
    /// room brings its own.
    ///
    /// # Errors
    /// [`UrlFault`] naming the address.
    pub fn from_stored(text: &str) -> Result<(Destination, MarketplaceId), UrlFault> {
        const FAMILIES: [(&str, MarketplaceId); 5] = [
            ("taobao.com", MarketplaceId::TAOBAO),
            ("tb.cn", MarketplaceId::TAOBAO),
            ("tmall.com", MarketplaceId::TMALL),
            ("jd.com", MarketplaceId::JD),
            ("3.cn", MarketplaceId::JD),
        ];
        let fault = || UrlFault::NotAllowed(text.chars().take(80).collect());
        let rest = text.strip_prefix("https://").ok_or_else(fault)?;
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(fault());
        }
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let family = FAMILIES.iter().find(|(family, _)| {
            host.strip_suffix(family).is_some_and(|front| front.is_empty() || front.ends_with('.'))
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
        });
        family.map(|(_, marketplace)| (Destination(text.into()), *marketplace)).ok_or_else(fault)
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
