//! Front and back events, only ever added: what a store of them must do, and the counts a funnel is made of.
//!
//! Of one source and id there is one event; telling it again changes nothing, so that files may come twice, split and
//! shuffled. A row that cannot be used is kept as it came, with what is wrong with it, and does not hold up the others.
//!
//! - [`read`]: rows into events, with every fault of a row at once;
//! - [`sqlite`]: the embedded store.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use serde::Serialize;

use super::StoreError;
use crate::domain::attribution::event::Event;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::closed_list;

#[cfg(test)]
pub(super) mod conformance;
pub mod read;
pub mod sqlite;

/// One thing wrong with one field of a row.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RowFault {
    /// The field; empty for the row as a whole.
    pub field: String,
    /// The stable name of the problem.
    pub code: &'static str,
    /// What is wrong, and the mend.
    pub problem: String,
}

/// A row of an import, as it came and as it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// As it came.
    pub raw: String,
    /// Who told it.
    pub source: Box<str>,
    /// Its id, where it has one.
    pub id: Box<str>,
    /// The event, or everything that is wrong with it.
    pub read: Result<Event, Vec<RowFault>>,
}

closed_list! {
    /// What became of a row.
    Kept {
        /// It is new, and kept.
        Kept = "kept",
        /// It was kept before, just like this.
        Known = "known",
        /// It cannot be used: kept as it came, with the reason.
        Quarantined = "quarantined",
    }
}

/// A row that cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Quarantined {
    /// Its number.
    pub number: i64,
    /// Who told it.
    pub source: String,
    /// Its id, where it has one.
    pub id: String,
    /// What is wrong with it: the stable names of its problems, with commas between them.
    pub reasons: String,
    /// The same for people.
    pub detail: String,
    /// The row as it came.
    pub raw: String,
    /// When it came first.
    pub first_at: Timestamp,
    /// How often it came.
    pub times: i64,
    /// When the same row, or one of its id, was kept after all.
    pub mended_at: Option<Timestamp>,
}

/// Where events are kept. An answered write is durable.
#[async_trait]
pub trait EventStore: Send + Sync {
    /// Keeps a batch in one transaction; what became of each row, in order. A row of an id that is kept already but says
    /// something else is quarantined: events are never changed.
    async fn keep(&self, rows: Vec<Row>, now: Timestamp) -> Result<Vec<(Kept, Vec<RowFault>)>, StoreError>;

    /// Events at or after `from` and before `to` with a number over `after`, in the order of their numbers, with the number
    /// each has, at most `limit`.
    async fn between(
        &self,
        from: Timestamp,
        to: Timestamp,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, Event)>, StoreError>;

    /// Rows that cannot be used, the last first, with a number under `before`; those that were mended since only when `all`.
    async fn quarantined(&self, before: Option<i64>, limit: usize, all: bool) -> Result<Vec<Quarantined>, StoreError>;

    /// How many rows wait to be mended.
    async fn waiting(&self) -> Result<u64, StoreError>;
}

closed_list! {
    /// What events and clicks can be counted by.
    Dim {
        /// The note or video.
        Note = "note",
        /// The creator.
        Creator = "creator",
        /// The merchant's shop.
        Shop = "shop",
        /// The agreement.
        Agreement = "agreement",
        /// The content platform.
        Platform = "platform",
        /// The marketplace.
        Marketplace = "marketplace",
        /// The Beijing day, as its number counted from 1970-01-01.
        Day = "day",
    }
}

/// Whose clicks or events are counted; what is left out is not asked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct Filter {
    pub note: Option<Box<str>>,
    pub creator: Option<Box<str>>,
    pub code: Option<Box<str>>,
    pub shop: Option<Box<str>>,
    pub agreement: Option<Box<str>>,
    pub platform: Option<Box<str>>,
    pub marketplace: Option<Box<str>>,
}

/// Clicks of people that count and were let through, for the funnel.
#[async_trait]
pub trait ClickCounts: Send + Sync {
    /// Those at or after `from` and before `to` that pass `filter`, by these sorts: a text for each of `by`, empty where it is
    /// not known, and how many.
    async fn clicks(
        &self,
        from: Timestamp,
        to: Timestamp,
        filter: &Filter,
        by: &[Dim],
    ) -> Result<Vec<(Vec<Box<str>>, u64)>, StoreError>;
}

/// What became of rows since start, for metrics.
#[derive(Debug, Default)]
pub struct Tally([AtomicU64; Kept::ALL.len()]);

impl Tally {
    /// Counts rows.
    pub fn note(&self, kept: Kept, rows: u64) {
        self.0[kept as usize].fetch_add(rows, Ordering::Relaxed);
    }

    /// How many rows this became of.
    pub fn count(&self, kept: Kept) -> u64 {
        self.0[kept as usize].load(Ordering::Relaxed)
    }
}
