//! What a store of order lines takes in, what it sets aside, and whose a position is. Whatever database is behind it.

use async_trait::async_trait;
use serde::Serialize;

use super::OrderStore;
use super::import::fault::{BadRow, Reason, RowFault};
use crate::attribution::StoreError;
use crate::attribution::touches::Subject;
use crate::domain::attribution::Network;
use crate::domain::attribution::order::{OrderLine, OrderState};
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::closed_list;

/// A row as it came, and what was made of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Reading {
    /// Whose report.
    pub network: Network,
    /// Our account there.
    pub account: Box<str>,
    /// The order scene that was asked for.
    pub scene: Option<u32>,
    /// Its place in the file or body, from 1.
    pub number: u64,
    /// The row as it came: JSON, or whatever stood in its place.
    pub raw: String,
    /// The line, or its faults.
    pub read: Result<OrderLine, BadRow>,
}

/// What became of a row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kept {
    /// It said something new.
    Added,
    /// It was known.
    Unchanged,
    /// It was set aside.
    Quarantined {
        /// Its number there; 0 when nothing was kept, in a dry run.
        id: i64,
        /// What is wrong with it.
        faults: Vec<RowFault>,
    },
}

closed_list! {
    /// What became of rows, as counted.
    Outcome {
        /// They said something new.
        Added = "added",
        /// They were known.
        Unchanged = "unchanged",
        /// They were set aside.
        Quarantined = "quarantined",
    }
}

impl Kept {
    /// As it is counted.
    pub const fn outcome(&self) -> Outcome {
        match self {
            Kept::Added => Outcome::Added,
            Kept::Unchanged => Outcome::Unchanged,
            Kept::Quarantined { .. } => Outcome::Quarantined,
        }
    }
}

/// A batch to be begun.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewBatch {
    /// Whose report.
    pub network: Network,
    /// Our account there.
    pub account: Box<str>,
    /// Where it comes from: a file's name, `api`, `pull`.
    pub source: String,
}

/// A batch that was begun.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Batch {
    /// Its number.
    pub id: i64,
    /// Whose report.
    pub network: Network,
    /// Our account there.
    pub account: Box<str>,
    /// Where it came from.
    pub source: String,
    /// SHA-256 of the file or body, once it was read to its end.
    pub file_hash: Option<String>,
    /// When it was begun.
    pub begun_at: Timestamp,
    /// When it was done; none while it goes on, and when it was killed: import it again.
    pub ended_at: Option<Timestamp>,
    /// Rows that said something new.
    pub added: u64,
    /// Rows that were known.
    pub unchanged: u64,
    /// Rows that were set aside.
    pub quarantined: u64,
}

/// Which quarantined rows. Every field given must fit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct QuarantineQuery {
    /// Of this network.
    pub network: Option<Network>,
    /// Set aside for this.
    pub reason: Option<Reason>,
    /// Those that were mended since, too.
    pub mended: bool,
    /// With a number below this one.
    pub before: Option<i64>,
}

/// A row that was set aside.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Quarantined {
    /// Its number.
    pub id: i64,
    /// Whose report.
    pub network: Network,
    /// Our account there.
    pub account: Box<str>,
    /// What it is counted under.
    pub reason: Reason,
    /// Everything that is wrong with it.
    pub faults: Vec<RowFault>,
    /// The line it is about, where that could be read.
    pub line: Box<str>,
    /// The batch it came with first.
    pub batch: i64,
    /// Its place there, from 1; none where that was not noted.
    pub row: Option<u64>,
    /// When it came first.
    pub first_at: Timestamp,
    /// When it came last.
    pub last_at: Timestamp,
    /// How often it came.
    pub seen: u64,
    /// When a good report of the same line took its place.
    pub mended_at: Option<Timestamp>,
    /// The row as it came.
    pub raw: String,
}

/// Which lines. Every field given must fit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LineQuery {
    /// Of this network.
    pub network: Option<Network>,
    /// Of this account.
    pub account: Option<Box<str>>,
    /// In this state now.
    pub state: Option<OrderState>,
    /// Of this order.
    pub order: Option<Box<str>>,
    /// Ordered at or after.
    pub from: Option<Timestamp>,
    /// Ordered before.
    pub to: Option<Timestamp>,
    /// First seen before the line of this number.
    pub before: Option<i64>,
}

closed_list! {
    /// What a position is.
    PositionKind {
        /// A whole placement id, like `mm_1_2_3`.
        Pid = "pid",
        /// The position in it, like the `adzone_id`.
        Position = "position",
        /// A promoter below us.
        Relation = "relation",
    }
}

/// A position and whose it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Position {
    /// Whose position.
    pub network: Network,
    /// As it stands in reports.
    pub position: Box<str>,
    /// What it is.
    pub kind: PositionKind,
    /// Whose clicks lead to its orders.
    pub subject: Subject,
    /// The link whose address told it; `None` when it was registered.
    pub link: Option<Box<str>>,
}

/// What became of positions that were to be registered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Registered {
    /// They are.
    New {
        /// How many of them were new.
        new: u64,
        /// Who else has them, by their places.
        others: Vec<(usize, Subject)>,
    },
    /// None is: these, by their places, are somebody else's.
    Taken(Vec<(usize, Subject)>),
}

/// What is in a store, counted. From the store itself, so that what other processes did is in it too.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Rows that are set aside and not mended, by reason.
    pub quarantined: Vec<(Reason, u64)>,
    /// Rows ever imported, by what became of them.
    pub imported: Vec<(Network, Outcome, u64)>,
}

/// Takes rows in. An answer says that what it tells of is durable.
#[async_trait]
pub trait OrderIntake: OrderStore {
    /// Begins a batch; its number.
    async fn begin(&self, batch: NewBatch, now: Timestamp) -> Result<i64, StoreError>;

    /// Takes rows of a batch in one transaction; what became of each, in order. Without a batch nothing is kept: a dry run.
    async fn append(&self, batch: Option<i64>, rows: Vec<Reading>, now: Timestamp) -> Result<Vec<Kept>, StoreError>;

    /// Notes that a batch was read to its end, and the SHA-256 of what was read.
    async fn finish(&self, batch: i64, file_hash: Option<[u8; 32]>, now: Timestamp) -> Result<(), StoreError>;

    /// At most `limit` batches, the last first.
    async fn batches(&self, limit: usize) -> Result<Vec<Batch>, StoreError>;

    /// At most `limit` lines as they stand now, with their numbers, the last first seen first.
    async fn lines(&self, query: &LineQuery, limit: usize) -> Result<Vec<(i64, OrderLine)>, StoreError>;

    /// At most `limit` rows that were set aside, the last first.
    async fn quarantined(&self, query: &QuarantineQuery, limit: usize) -> Result<Vec<Quarantined>, StoreError>;

    /// A row that was set aside.
    async fn quarantined_row(&self, id: i64) -> Result<Option<Quarantined>, StoreError>;

    /// Reads rows that were set aside once more; how many of them are good now. Those of them that are mended are left out.
    async fn retry(&self, ids: Vec<i64>, now: Timestamp) -> Result<u64, StoreError>;

    /// Takes in at most some hundred rows that waited for a position which is known by now; how many were looked at, 0 when
    /// none waits any more.
    async fn release(&self, now: Timestamp) -> Result<u64, StoreError>;

    /// Positions in order, registered ones and those told by links.
    async fn positions(&self, network: Option<Network>, limit: usize) -> Result<Vec<Position>, StoreError>;

    /// Registers positions. One that is registered for somebody else, or named for two, keeps all of them out, unless they
    /// are to be `shared`.
    async fn register(&self, positions: Vec<Position>, shared: bool) -> Result<Registered, StoreError>;

    /// Takes back what was registered of a position; how many rows that were. What links tell stays.
    async fn unregister(&self, network: Network, position: &str) -> Result<u64, StoreError>;

    /// The revision up to which links were looked at for positions.
    async fn links_seen(&self) -> Result<i64, StoreError>;

    /// Replaces what links tell of positions, each link by its code, together with the revision up to which they were looked at.
    async fn derive(&self, links: Vec<(Box<str>, Vec<Position>)>, through: i64) -> Result<(), StoreError>;

    /// What is in it.
    async fn counts(&self) -> Result<Counts, StoreError>;
}

/// Releases every row that waits for a position which is known by now; how many were looked at.
///
/// # Errors
/// [`StoreError`].
pub async fn release_all(store: &dyn OrderIntake, now: Timestamp) -> Result<u64, StoreError> {
    let mut all = 0;
    loop {
        match store.release(now).await? {
            0 => return Ok(all),
            some => all += some,
        }
    }
}
