//! Reports of order lines, only ever added. What a store of them must do, whatever database is behind it.
//!
//! - [`import`]: rows as the networks write them, read into one vocabulary;
//! - [`intake`]: what a store takes in, what it sets aside, whose a position is;
//! - [`derived`]: positions told from the addresses of stored links;
//! - [`sqlite`]: the embedded store.
//!
//! Never says what an order is worth or whose it is: that is the ledger's.

#[cfg(test)]
mod conformance;
pub mod derived;
pub mod import;
pub mod intake;
pub mod sqlite;

use async_trait::async_trait;

use super::StoreError;
use crate::domain::attribution::order::{LineKey, OrderEvent};
use crate::domain::time::Timestamp;

use super::touches::Subject;
use crate::domain::attribution::Network;

/// Order lines as they were reported, and whose a position is.
#[async_trait]
pub trait OrderStore: Send + Sync {
    /// At most `limit` events with a number over `seq`, in rising order.
    async fn after(&self, seq: i64, limit: usize) -> Result<Vec<OrderEvent>, StoreError>;

    /// Every event of a line, the youngest of its life last ([`OrderEvent::age`]).
    async fn of_line(&self, key: &LineKey) -> Result<Vec<OrderEvent>, StoreError>;

    /// Lines ordered at or after `from` and before `to`: whom a late click may concern.
    async fn created_between(&self, from: Timestamp, to: Timestamp) -> Result<Vec<LineKey>, StoreError>;

    /// Whose promotion a position (any of pid, position, relation, as reported) is: creators and links it was given to. What
    /// was registered comes before what links tell: those count only where nobody registered it.
    async fn subjects(&self, network: Network, position: &str) -> Result<Vec<Subject>, StoreError>;
}
