//! The ledger: whom each order line is credited to, and what follows in money. Everything is derived from order reports,
//! clicks and rules by the pure functions of [`crate::domain::attribution`], and only ever added to: a match is followed by
//! another, an entry by its reversal.
//!
//! - [`settle`]: brings the ledger up to what orders and clicks say now; [`terms`]: what was agreed for a click;
//! - [`sqlite`]: the tables; [`record`]: rows as they are stored;
//! - [`check`]: whether the books are whole; [`close`]: the end of a period;
//! - [`chain`]: from an order line to its hop and its entries.

pub mod chain;
pub mod check;
pub mod close;
#[cfg(test)]
mod conformance;
#[cfg(test)]
pub mod memory;
pub mod record;
pub mod settle;
pub mod sqlite;
pub mod terms;

use async_trait::async_trait;

use super::StoreError;
use crate::domain::attribution::entries::{Account, Kind, Postings, Slot};
use crate::domain::attribution::matching::Match;
use crate::domain::attribution::money::Fen;
use crate::domain::attribution::order::{LineKey, OrderLine, OrderState};
use crate::domain::attribution::period::Month;
use crate::domain::click_id::ClickId;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::closed_list;

closed_list! {
    /// What made a match or entry.
    Trigger {
        /// A report of the line.
        Order = "order",
        /// A click that came late, or whose marks changed.
        Click = "click",
        /// Somebody asked for other rules, or for all to be matched again.
        Recompute = "recompute",
    }
}

/// How far the ledger has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Marks {
    /// The number of the last order report that is settled.
    pub events: i64,
    /// The last change of clicks that was looked at; `None` before the first settling.
    pub touches: Option<i64>,
    /// Grows with everything that is kept: who read before must read again.
    pub revision: i64,
    /// The last month that is closed, and with it all before.
    pub closed: Option<Month>,
}

/// What the ledger has of a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    /// The number of its current match: 1 is the first.
    pub version: u32,
    /// That match.
    pub matched: Match,
    /// The match its entries are booked under: the first of those with the same credit.
    pub booked: u32,
    /// What the match was made of, as [`settle::inputs`] sums it up.
    pub inputs: [u8; 32],
    /// What is posted.
    pub posted: Postings,
}

/// An entry to be posted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewEntry {
    /// What it is about.
    pub slot: Slot,
    /// How much; a debit is above zero, a credit below.
    pub amount: Fen,
    /// When the order changed.
    pub changed_at: Timestamp,
    /// The period it goes to.
    pub period: Month,
    /// Whether its own month was closed.
    pub late: bool,
}

/// A line to be kept: where it stands, and what is new.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// Its youngest report.
    pub line: OrderLine,
    /// What its match was made of.
    pub inputs: [u8; 32],
    /// Its match, where that is another than before.
    pub matched: Option<Match>,
    /// The match its entries are booked under from now on.
    pub booked: u32,
    /// Entries to be posted.
    pub entries: Vec<NewEntry>,
    /// States it reached while credited to a creator, to be announced once each.
    pub reached: Vec<OrderState>,
}

/// Lines and marks that are kept together or not at all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// [`Marks::revision`] when all of this was computed.
    pub revision: i64,
    /// What made it.
    pub trigger: Trigger,
    /// The new [`Marks::events`].
    pub events: Option<i64>,
    /// The new [`Marks::touches`].
    pub touches: Option<i64>,
    /// Lines.
    pub lines: Vec<Line>,
}

/// An entry as it is posted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its number; grows with every entry.
    pub number: i64,
    /// The transaction it is part of, which sums to zero.
    pub transaction: i64,
    /// The line.
    pub key: LineKey,
    /// What it is about.
    pub slot: Slot,
    /// How much; a debit is above zero, a credit below.
    pub amount: Fen,
    /// When the order changed.
    pub changed_at: Timestamp,
    /// The period it is in.
    pub period: Month,
    /// Whether its own month was closed when it was posted.
    pub late: bool,
    /// What made it.
    pub trigger: Trigger,
    /// When it was posted.
    pub posted_at: Timestamp,
}

/// A match as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Matched {
    /// Its number: 1 is the line's first.
    pub version: u32,
    /// When it was made.
    pub made_at: Timestamp,
    /// What made it.
    pub trigger: Trigger,
    /// The match.
    pub matched: Match,
    /// The match its entries are booked under: itself, or an earlier one with the same credit.
    pub booked: u32,
}

/// Everything the ledger has of a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Book {
    /// Its youngest report that is settled.
    pub line: record::Standing,
    /// Its matches, the current one last.
    pub matches: Vec<Matched>,
    /// Its entries, the first first.
    pub entries: Vec<Entry>,
}

/// A balance of one period: what entries of one sort on one account add up to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize)]
pub struct Balance {
    /// The period.
    pub period: Month,
    /// The account.
    pub account: Account,
    /// The sort of entry.
    pub kind: Kind,
    /// The sum: a debit is above zero, a credit below.
    pub amount_fen: Fen,
}

/// A closed period.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Closed {
    /// The month.
    pub period: Month,
    /// When it was closed.
    pub closed_at: Timestamp,
    /// By whom.
    pub closed_by: String,
    /// Its balances at that moment.
    pub balances: Vec<Balance>,
}

/// Which entries to list; every field given must fit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EntryQuery {
    /// Of this period.
    pub period: Option<Month>,
    /// On the accounts of this creator.
    pub creator: Option<Box<str>>,
    /// With a number over this one.
    pub after: i64,
}

/// What entries of one line, account and sort that are booked under one match and take effect on one Beijing day add up to,
/// with what a report tells of the line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sum {
    /// The line, in the order of being kept.
    pub number: i64,
    /// Its youngest report.
    pub line: record::Standing,
    /// The match they are booked under.
    pub matched: record::Credit,
    /// Its number.
    pub booked: u32,
    /// The Beijing day, as [`Timestamp::beijing_day`] counts: a late entry's is the first of its period.
    pub day: i64,
    /// The account.
    pub account: Account,
    /// The sort of entry.
    pub kind: Kind,
    /// The sum.
    pub amount: Fen,
}

/// A line credited to a creator that reached a state, and was not announced yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Untold {
    /// Its number among announcements.
    pub number: i64,
    /// The line.
    pub key: LineKey,
    /// The state it reached.
    pub state: OrderState,
}

/// What became of a closing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Closing {
    /// The period is closed.
    Closed(Closed),
    /// It was closed before; nothing changed.
    Already(Closed),
    /// This earlier month is open and has entries.
    Earlier(Month),
    /// Something was kept since the revision named; nothing changed.
    Stale,
}

/// Matches, entries and periods. An answered write is durable, and seen by every later read of any process.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// How far it has come.
    async fn marks(&self) -> Result<Marks, StoreError>;

    /// What it has of these lines, one for one.
    async fn held(&self, keys: &[LineKey]) -> Result<Vec<Option<Held>>, StoreError>;

    /// Keeps a batch at `now`, in one transaction; `false`, and nothing, when something was kept since its revision.
    async fn keep(&self, batch: Batch, now: Timestamp) -> Result<bool, StoreError>;

    /// At most `limit` lines with a number over `after`, in rising order.
    async fn lines(&self, after: i64, limit: usize) -> Result<Vec<(i64, LineKey)>, StoreError>;

    /// Everything of one line.
    async fn book(&self, key: &LineKey) -> Result<Option<Book>, StoreError>;

    /// Lines whose current match credits this click.
    async fn of_click(&self, click: ClickId) -> Result<Vec<LineKey>, StoreError>;

    /// At most `limit` entries that fit, in rising order.
    async fn entries(&self, query: &EntryQuery, limit: usize) -> Result<Vec<Entry>, StoreError>;

    /// Balances, of one period or of all, in rising order.
    async fn balances(&self, period: Option<Month>) -> Result<Vec<Balance>, StoreError>;

    /// The balances that all entries add up to: what [`Ledger::balances`] should say.
    async fn rebuilt(&self) -> Result<Vec<Balance>, StoreError>;

    /// Transactions that do not sum to zero: none, ever.
    async fn uneven(&self) -> Result<Vec<(i64, Fen)>, StoreError>;

    /// Sums over entries that take effect at or after `from` and before `to`, of the accounts of creators and of nobody, for
    /// lines with a number over `after` and at most `after + span`; with the greatest number there is.
    async fn sums(&self, from: Timestamp, to: Timestamp, after: i64, span: i64) -> Result<(Vec<Sum>, i64), StoreError>;

    /// Closed periods, the first first.
    async fn closed(&self) -> Result<Vec<Closed>, StoreError>;

    /// Closes a month and all before it, unless something was kept since `revision`.
    async fn close(&self, month: Month, by: &str, revision: i64, now: Timestamp) -> Result<Closing, StoreError>;

    /// At most `limit` announcements that were not made yet, in rising order.
    async fn untold(&self, limit: usize) -> Result<Vec<Untold>, StoreError>;

    /// Notes that these were made.
    async fn told(&self, numbers: &[i64]) -> Result<(), StoreError>;
}
