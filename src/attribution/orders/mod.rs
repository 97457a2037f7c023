//! Reports of order lines, only ever added. What a store of them must do, whatever database is behind it.

pub mod import;

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

    /// Whose promotion a position (any of pid, position, relation, as reported) is: creators and links it was given to.
    async fn subjects(&self, network: Network, position: &str) -> Result<Vec<Subject>, StoreError>;
}
