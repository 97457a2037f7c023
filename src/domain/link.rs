//! A link: a code bound to a landing, a placement and the facts the policy asks for. Never says whether it works now;
//! that is the policy's to decide, at each click.

use super::alternates::{Alternate, Alternates};
use super::code::Code;
use super::marketplace::{Landing, Marketplaces};
use super::time::Timestamp;
use super::vocabulary::{LinkKind, MarketplaceId, PlatformId, ShopType, Surface};

/// The longest share code (口令) of a link, with the words around it, in bytes.
pub const LONGEST_SHARE_CODE: usize = 1_024;

/// Most alternates of a link.
pub const MOST_ALTERNATES: usize = 8;

/// Where a click happens. Either part may be unknown.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Placement {
    /// The content platform.
    pub platform: Option<PlatformId>,
    /// The spot inside it.
    pub surface: Option<Surface>,
}

/// A fact a link carries, or is known not to carry. What is not stated at all is unknown.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Fact {
    /// Its name, e.g. `xingtu_order`.
    pub name: String,
    /// Whether the link carries it.
    pub carried: bool,
}

/// Facts in the form of [`LinkView::facts`]. A name that would read as two, or as a denial, is left out: a fact that is
/// not there is unknown, and unknown never opens anything.
pub fn facts_text(facts: &[Fact]) -> String {
    let plain = |name: &str| !name.is_empty() && !name.starts_with('!') && !name.contains(char::is_whitespace);
    let mut facts = facts.iter().filter(|fact| plain(&fact.name)).collect::<Vec<_>>();
    facts.sort();
    let mut text = String::new();
    for fact in facts {
        if !text.is_empty() {
            text.push(' ');
        }
        if !fact.carried {
            text.push('!');
        }
        text.push_str(&fact.name);
    }
    text
}

/// Whether a link may be clicked at all.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum LinkState {
    /// Yes.
    #[default]
    Active,
    /// Switched off by its owner or by ops.
    Disabled,
}

/// A stored link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Link {
    /// The short code.
    pub code: Code,
    /// Where it leads; its destination has passed the allow-list.
    pub landing: Landing,
    /// Where a click goes when the policy refuses that, in the order of trying; at most [`MOST_ALTERNATES`].
    pub alternates: Vec<Alternate>,
    /// Who runs the shop, as stated by the issuer or the product table.
    pub shop_type: ShopType,
    /// The goods' category, if known.
    pub category: Option<Box<str>>,
    /// The creator who issued it.
    pub creator: Option<Box<str>>,
    /// The placement it is bound to.
    pub placement: Placement,
    /// Facts it carries, sorted by name.
    pub facts: Vec<Fact>,
    /// Free labels.
    pub tags: Vec<String>,
    /// From this instant on it answers 410.
    pub expires_at: Option<Timestamp>,
    /// The text a visitor copies into the marketplace's app, for a link made of a share code (口令) alone: nobody but that
    /// app knows what it stands for.
    pub share_code: Option<Box<str>>,
    /// Active or switched off.
    pub state: LinkState,
    /// When it was issued.
    pub created_at: Timestamp,
    /// Grows with every change in the store; 0 before it was stored.
    pub revision: i64,
}

impl Link {
    /// When the marketplace lets the link's own short link die, counted from when it was stored, as its issue is not known;
    /// `None` for others, and where the link itself ends before.
    pub fn short_link_dies(&self, markets: &Marketplaces) -> Option<Timestamp> {
        let dies = markets.short_life(&self.landing.destination)?.after(self.created_at);
        (self.share_code.is_none() && self.expires_at.is_none_or(|end| dies < end)).then_some(dies)
    }
}

/// A link as the click path sees it: borrowed from the catalog's packed form for the length of one decision.
/// An empty text means "not known" or "none".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkView<'a> {
    /// The placement it is bound to.
    pub placement: Placement,
    /// Where it leads.
    pub marketplace: MarketplaceId,
    /// Who runs the shop.
    pub shop_type: ShopType,
    /// What it leads to.
    pub link_kind: LinkKind,
    /// The goods' category.
    pub category: &'a str,
    /// The creator who issued it.
    pub creator: &'a str,
    /// The goods' id on the marketplace.
    pub item: &'a str,
    /// The shop's id on the marketplace.
    pub shop: &'a str,
    /// Facts, `name` or `!name` for one known to be absent, sorted, separated by one space (the form a hop records).
    pub facts: &'a str,
    /// The landing address, checked against the allow-list when it entered the catalog.
    pub url: &'a str,
    /// Where else it leads, in the order of trying.
    pub alternates: Alternates<'a>,
    /// The text a visitor copies into the marketplace's app; empty for a link that is an address. Written by whoever issued
    /// the link: a page must escape it.
    pub share_code: &'a str,
    /// From this instant on it answers 410; [`Timestamp::MAX`] for never.
    pub expires_at: Timestamp,
    /// Active or switched off.
    pub state: LinkState,
}
