//! One dated cooperation rule, as its two parties would read it. Never decides; see [`mod@super::decide`].

use serde::Serialize;

use crate::domain::time::Timestamp;
use crate::domain::vocabulary::{LandingMode, LinkKind, MarketplaceId, PlatformId, ShopType, Surface, closed_list};

closed_list! {
    /// What an agreement does to the clicks it covers.
    Effect {
        /// Lets them through.
        Allow = "allow",
        /// Refuses them, whatever else allows them.
        Deny = "deny",
        /// Neither: only data of them is returned. Deciding knows nothing of it; see [`super::terms`].
        DataReturn = "data_return",
    }
}

closed_list! {
    /// Whose id picks the bucket in a staged opening.
    StickTo {
        /// The creator of the link.
        Creator = "creator",
        /// The shop it leads to.
        Shop = "shop",
        /// The link.
        Link = "link",
        /// The visitor, by the hash of the day: a visitor may change buckets at midnight.
        Visitor = "visitor",
    }
}

/// The conditions of an agreement. An empty list is no condition: any value will do.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Conditions {
    /// Spots inside the platform.
    pub surfaces: Vec<Surface>,
    /// Sorts of shop.
    pub shop_types: Vec<ShopType>,
    /// Sorts of link.
    pub link_kinds: Vec<LinkKind>,
    /// Categories of goods.
    pub categories: Vec<Box<str>>,
    /// Creators by id.
    pub creators: Vec<Box<str>>,
    /// Shops, as `shop:ID` or `seller:ID`.
    pub shops: Vec<Box<str>>,
    /// Items by id.
    pub items: Vec<Box<str>>,
    /// Facts the link must carry, all of them.
    pub requires: Vec<Box<str>>,
}

impl Conditions {
    /// How many conditions are set; the more specific of two allows decides.
    pub fn count(&self) -> usize {
        usize::from(!self.surfaces.is_empty())
            + usize::from(!self.shop_types.is_empty())
            + usize::from(!self.link_kinds.is_empty())
            + usize::from(!self.categories.is_empty())
            + usize::from(!self.creators.is_empty())
            + usize::from(!self.shops.is_empty())
            + usize::from(!self.items.is_empty())
            + usize::from(!self.requires.is_empty())
    }
}

/// One step of a staged opening.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Step {
    /// From this instant on …
    pub at: Timestamp,
    /// … this share is in, in hundredths of a percent: 0 to 10,000.
    pub basis_points: u16,
}

/// A staged opening (灰度). Before the first step nobody is in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Rollout {
    /// Whose id picks the bucket.
    pub by: StickTo,
    /// Keeps two rollouts from picking the same people; the agreement's id unless set.
    pub salt: Box<str>,
    /// Steps by rising instant, shares never falling.
    pub steps: Vec<Step>,
}

/// The terms under which data of a hop is returned and orders are credited.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Attribution {
    /// Days after the click within which an order counts.
    pub window_days: u16,
    /// Share of the data that is returned, above 0 and at most 1.
    pub sampling: f64,
    /// Names of the returned events.
    pub events: Vec<Box<str>>,
}

/// A dated cooperation rule between one platform and one or more marketplaces.
#[derive(Clone, PartialEq, Debug)]
pub struct Agreement {
    /// Unique in its policy: `[a-z0-9-]`, 3 to 64 characters.
    pub id: Box<str>,
    /// For people.
    pub title: Box<str>,
    /// Where the click happens.
    pub platform: PlatformId,
    /// Where it lands; at least one.
    pub marketplaces: Vec<MarketplaceId>,
    /// Allow, deny, or data return without a jump.
    pub effect: Effect,
    /// In force from this instant …
    pub from: Timestamp,
    /// … until just before this one; [`Timestamp::MAX`] when open-ended.
    pub until: Timestamp,
    /// What it covers.
    pub when: Conditions,
    /// Staged opening, if any.
    pub rollout: Option<Rollout>,
    /// How an allowed click lands.
    pub landing: LandingMode,
    /// Terms of data return.
    pub attribution: Option<Attribution>,
    /// A higher one decides over a lower one.
    pub priority: i32,
    /// What the agreement was taken from.
    pub evidence: Box<str>,
}

impl Agreement {
    /// Whether it is in force at `at`: `from <= at < until`.
    pub fn in_force(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.until
    }
}

/// What happens between a platform and a marketplace when no agreement speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Default {
    /// Where the click happens.
    pub platform: PlatformId,
    /// Where it lands.
    pub marketplace: MarketplaceId,
    /// Allow or deny; a pair without a default of its own is denied.
    pub outcome: Effect,
}
