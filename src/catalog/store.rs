//! What the catalog asks of a link store, in terms every SQL database can keep. Never says how a link is kept in memory.
//!
//! Two orders matter and hold for every backend:
//! * **code**: by the bytes of the code (`COLLATE "C"` in PostgreSQL), used for paging;
//! * **revision**: every insert and every update takes a new one, strictly growing in commit order, so whoever has seen
//!   revision *n* has seen every change up to *n*. The change feed is in this order, and the start-up load is nothing
//!   but the feed from its beginning, in several parts at once.

use async_trait::async_trait;

use crate::domain::alternates::Alternate;
use crate::domain::link::{Fact, Link, LinkState};
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::{MarketplaceId, PlatformId, ShopType, Surface};

/// Why a store could not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database failed or cannot be reached. Nothing of this call was stored, unless `what` says otherwise.
    #[error("link store: {what}. Check its disk or server; clicks go on from memory")]
    Unavailable {
        /// What the database says.
        what: String,
    },
    /// A stored row cannot be read as a link: a name this process does not know, or an address off the allow-list.
    #[error("link `{code}` in the store cannot be used: {what}. Mend the row, or add the name to the configuration")]
    Unreadable {
        /// The row's code.
        code: String,
        /// What is wrong with it.
        what: String,
    },
    /// The store is shutting down.
    #[error("the link store is closing: try again after the restart")]
    Closed,
}

/// What became of one link of an insert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsertOutcome {
    /// Stored, durably.
    Stored {
        /// The revision it got.
        revision: i64,
    },
    /// Another link has this code; that one is unchanged.
    CodeTaken,
}

/// What became of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpdateOutcome {
    /// Stored, durably: the link as it now is.
    Updated(Box<Link>),
    /// Someone changed the link since the caller read it; nothing was changed.
    Stale {
        /// The revision it has now.
        current: i64,
    },
    /// No link has this code.
    NotFound,
}

/// A change to a link. `None` leaves a field as it is; `Some(None)` clears it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkChange {
    /// Switch on or off.
    pub state: Option<LinkState>,
    /// Set or lift the expiry.
    pub expires_at: Option<Option<Timestamp>>,
    /// Replace the labels.
    pub tags: Option<Vec<String>>,
    /// Set or clear the category.
    pub category: Option<Option<Box<str>>>,
    /// Set the shop type.
    pub shop_type: Option<ShopType>,
    /// Replace the facts.
    pub facts: Option<Vec<Fact>>,
    /// Bind to a platform, or unbind.
    pub platform: Option<Option<PlatformId>>,
    /// Bind to a surface, or unbind.
    pub surface: Option<Option<Surface>>,
    /// Set or clear the creator.
    pub creator: Option<Option<Box<str>>>,
    /// Replace the alternates.
    pub alternates: Option<Vec<Alternate>>,
}

impl LinkChange {
    /// Writes the change into `link`; its code, landing, creation time and revision stay.
    pub fn apply(self, link: &mut Link) {
        fn set<T>(field: &mut T, change: Option<T>) {
            if let Some(value) = change {
                *field = value;
            }
        }
        set(&mut link.state, self.state);
        set(&mut link.expires_at, self.expires_at);
        set(&mut link.tags, self.tags);
        set(&mut link.category, self.category);
        set(&mut link.shop_type, self.shop_type);
        set(&mut link.facts, self.facts);
        tidy_facts(&mut link.facts);
        set(&mut link.placement.platform, self.platform);
        set(&mut link.placement.surface, self.surface);
        set(&mut link.creator, self.creator);
        set(&mut link.alternates, self.alternates);
    }
}

/// Sorts facts by name, one per name. Of two that contradict each other the denial stays: doubt never opens anything.
pub(super) fn tidy_facts(facts: &mut Vec<Fact>) {
    facts.sort();
    facts.dedup_by(|next, kept| next.name == kept.name);
}

/// Which links to list. Every field given must fit; an empty query fits all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkQuery {
    /// Issued by this creator.
    pub creator: Option<String>,
    /// Bound to this platform.
    pub platform: Option<PlatformId>,
    /// Leading to this marketplace.
    pub marketplace: Option<MarketplaceId>,
    /// In this state.
    pub state: Option<LinkState>,
    /// Carrying this label.
    pub tag: Option<String>,
}

/// A row that is there and cannot be used; see [`StoreError::Unreadable`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableRow {
    /// The row's code.
    pub code: String,
    /// What is wrong with it.
    pub what: String,
}

/// One page of a listing, in code order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The links.
    pub links: Vec<Link>,
    /// Rows of this page that cannot be used.
    pub unreadable: Vec<UnreadableRow>,
    /// The code to go on after; `None` on the last page.
    pub next: Option<String>,
}

/// A stretch of the change feed, in revision order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The links as they are now; one changed several times appears once, at its latest revision.
    pub links: Vec<Link>,
    /// Changed rows that cannot be used.
    pub unreadable: Vec<UnreadableRow>,
    /// Every change up to and including this revision has been delivered.
    pub through: i64,
    /// There may be more after `through`.
    pub more: bool,
}

/// Where links are kept. Every call that answers `Ok` for a write has made it durable first.
#[async_trait]
pub trait LinkStore: Send + Sync {
    /// Stores links in one transaction; one answer per link, in order. A taken code fails neither its neighbours nor
    /// the call. A link's own `revision` is ignored; those of one call follow each other without a gap.
    async fn insert(&self, links: Vec<Link>) -> Result<Vec<InsertOutcome>, StoreError>;

    /// Changes one link; with `expected_revision`, only if it still has that one.
    async fn update(
        &self,
        code: &str,
        expected_revision: Option<i64>,
        change: LinkChange,
    ) -> Result<UpdateOutcome, StoreError>;

    /// The link of a code.
    async fn get(&self, code: &str) -> Result<Option<Link>, StoreError>;

    /// At most `limit` links that fit, in code order, after the code `after`.
    async fn list(&self, query: &LinkQuery, after: Option<&str>, limit: usize) -> Result<Page, StoreError>;

    /// At most `limit` links that fit, the one last made or changed first; a page without a next.
    async fn latest(&self, query: &LinkQuery, limit: usize) -> Result<Page, StoreError>;

    /// At most `limit` links whose latest revision is over `revision` and, if given, not over `until`; in revision order.
    /// Reads beside [`LinkStore::get`], never in its way.
    async fn changed_since(&self, revision: i64, until: Option<i64>, limit: usize) -> Result<Changes, StoreError>;

    /// How many links there are. Cheap: kept, not counted.
    async fn count(&self) -> Result<u64, StoreError>;

    /// The revision of the latest change, 0 when there is none. Cheap.
    async fn latest_revision(&self) -> Result<i64, StoreError>;
}
