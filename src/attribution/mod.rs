//! The fourth store: what follows from hops and order reports. Figures by hour, clicks as attribution looks them up, order
//! lines as they were reported, matches and the ledger.
//!
//! Everything derived from hops follows the journal's chunks behind a mark that is kept in the same transaction, so that a
//! kill or a second reader changes nothing. Never on the path of a click, and never changes a hop.
//!
//! - [`touches`]: clicks by what an order can name: themselves, a creator, a link;
//! - [`events`]: what happens around clicks, only ever added;
//! - [`orders`]: reports of order lines, only ever added;
//! - [`ledger`]: whom each line is credited to, and double entry from it;
//! - [`announce`]: telling others of matched lines;
//! - [`stats`]: figures and touches, kept up from hops.

pub mod announce;
pub mod events;
pub mod ledger;
pub mod orders;
pub mod stats;
pub mod touches;
#[cfg(test)]
pub(crate) mod touches_conformance;

use rusqlite::Connection;

use crate::sqlite::Shared;

/// Why a store of attribution could not do what it was asked.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum StoreError {
    /// The database failed or cannot be reached. Nothing of this call was kept.
    #[error("attribution store: {0}. Check its disk or server; clicks go on, and nothing recorded is lost")]
    Unavailable(String),
    /// A row that this build cannot read.
    #[error("attribution store: {0}: use the newer hopgate that wrote it, or restore a backup")]
    Unreadable(String),
}

/// Work on a store's connection, with its errors.
async fn run<R: Send + 'static>(
    connection: &Shared,
    work: impl FnOnce(&mut Connection) -> rusqlite::Result<R> + Send + 'static,
) -> Result<R, StoreError> {
    connection.run(work).await.map_err(unavailable)?.map_err(|error| match error {
        rusqlite::Error::FromSqlConversionFailure(_, _, what) => StoreError::Unreadable(what.to_string()),
        other => unavailable(other),
    })
}

fn unavailable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(error.to_string())
}
