//! A link: a code bound to a landing, a placement and the facts the policy asks for. Never says whether it works now;
//! that is the policy's to decide, at each click.

use super::code::Code;
use super::marketplace::Landing;
use super::time::Timestamp;
use super::vocabulary::{PlatformId, ShopType, Surface};

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
    /// Active or switched off.
    pub state: LinkState,
    /// When it was issued.
    pub created_at: Timestamp,
    /// Grows with every change in the store; 0 before it was stored.
    pub revision: i64,
}
