//! What a store of events to be delivered must do, whatever database is behind it. Never sends anything itself.

use async_trait::async_trait;
use serde::Serialize;

use super::event::Event;
use crate::config::webhooks::EventKind;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::closed_list;

closed_list! {
    /// Where a delivery stands.
    DeliveryState {
        /// To be sent, for the first time or again.
        Pending = "pending",
        /// Answered with 2xx.
        Delivered = "delivered",
        /// Given up; `hopgate webhook retry` sends it again.
        Dead = "dead",
    }
}

closed_list! {
    /// Up to where a source has been read.
    Mark {
        /// The instant up to which windows were told of, in microseconds.
        Windows = "windows",
        /// The number of the last policy switch that was told of.
        Switches = "switches",
    }
}

/// Why an outbox could not do what it was asked.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum OutboxError {
    /// The database failed or cannot be reached. Nothing of this call was kept.
    #[error("outbox of events: {0}. Check its disk or server; events wait, clicks go on")]
    Unavailable(String),
}

/// A link that is told of, and the instant it stops.
pub type Warned = (Box<str>, Timestamp);

/// Events to be kept, and what is noted with them, all or nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Posting {
    /// Events, each with the names of the webhooks that are told.
    pub events: Vec<(Event, Vec<String>)>,
    /// Marks to be moved.
    pub marks: Vec<(Mark, i64)>,
    /// Links these events tell of.
    pub warned: Vec<Warned>,
}

/// A delivery that is due.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Due {
    /// The event.
    pub event: String,
    /// Its kind.
    pub kind: EventKind,
    /// The JSON to be sent.
    pub body: String,
    /// Attempts so far.
    pub attempts: u32,
    /// Since when it is tried.
    pub since: Timestamp,
}

/// How an attempt ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// When.
    pub at: Timestamp,
    /// The answer's status, if there was an answer.
    pub status: Option<u16>,
    /// What went wrong; empty when nothing did.
    pub error: String,
    /// Where the delivery stands now.
    pub state: DeliveryState,
    /// When it is due again, while it is pending.
    pub next_at: Timestamp,
}

/// A delivery as it is listed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Delivery {
    /// Its place in the list; grows with every delivery.
    #[serde(skip)]
    pub number: i64,
    /// The event.
    pub event: String,
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// Who is told.
    pub webhook: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// Attempts so far.
    pub attempts: u32,
    /// When it was kept.
    pub created_at: Timestamp,
    /// When it is due; none unless it is pending.
    pub next_at: Option<Timestamp>,
    /// When it was last tried.
    pub last_at: Option<Timestamp>,
    /// The last answer's status.
    pub last_status: Option<u16>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// The JSON that is sent.
    #[serde(skip)]
    pub body: String,
}

/// Which deliveries to list; every field given must fit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DeliveryQuery {
    /// To this webhook.
    pub webhook: Option<String>,
    /// In this state.
    pub state: Option<DeliveryState>,
    /// With a number under this one.
    pub before: Option<i64>,
}

/// How many deliveries of a webhook are in one state.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Count {
    /// The webhook.
    pub webhook: String,
    /// The state.
    pub state: DeliveryState,
    /// How many.
    pub deliveries: u64,
}

/// Where events wait for their delivery. An answered write is durable.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Keeps events, due at `now`, and notes marks and links told of, in one transaction. An event that is kept already is
    /// not kept again, and neither is its delivery to one webhook; how many deliveries are new.
    async fn post(&self, posting: Posting, now: Timestamp) -> Result<u64, OutboxError>;

    /// Up to where a source has been read, if it ever was.
    async fn mark(&self, mark: Mark) -> Result<Option<i64>, OutboxError>;

    /// Whether an event with this id is kept.
    async fn knows(&self, event: &str) -> Result<bool, OutboxError>;

    /// Those of these that were not told of yet.
    async fn not_warned(&self, links: Vec<Warned>) -> Result<Vec<Warned>, OutboxError>;

    /// At most `limit` deliveries to a webhook that are due at `now`, those due longest first.
    async fn due(&self, webhook: &str, now: Timestamp, limit: usize) -> Result<Vec<Due>, OutboxError>;

    /// When the next delivery to a webhook is due, if any is pending.
    async fn next_due(&self, webhook: &str) -> Result<Option<Timestamp>, OutboxError>;

    /// Notes how an attempt ended.
    async fn note(&self, event: &str, webhook: &str, attempt: Attempt) -> Result<(), OutboxError>;

    /// At most `limit` deliveries that fit, the newest first.
    async fn list(&self, query: &DeliveryQuery, limit: usize) -> Result<Vec<Delivery>, OutboxError>;

    /// Makes the deliveries of an event that are not delivered due at `now`, with all their attempts before them again;
    /// `None` when there is no such event, else how many.
    async fn retry(&self, event: &str, webhook: Option<&str>, now: Timestamp) -> Result<Option<u64>, OutboxError>;

    /// Deliveries by webhook and state.
    async fn counts(&self) -> Result<Vec<Count>, OutboxError>;

    /// Forgets events that need not be remembered at `now` any more and wait for nothing; how many.
    async fn forget(&self, now: Timestamp) -> Result<u64, OutboxError>;
}
