//! The end of a period. A closed month stays as it is for good: what is found out later goes to the first open one.

use super::settle::Settler;
use super::{Closed, Closing};
use crate::attribution::StoreError;
use crate::domain::attribution::period::Month;
use crate::domain::time::Timestamp;

/// Why a period was not closed. Nothing was changed.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotClosed {
    /// It is not over.
    #[error("{month} is not over: it can be closed from {} on", .month.ends())]
    NotOver {
        /// The month.
        month: Month,
    },
    /// It was closed before.
    #[error("{} was closed before, on {}{}", .0.period, .0.closed_at,
        if .0.closed_by.is_empty() { String::new() } else { format!(", by {}", .0.closed_by) })]
    Already(Box<Closed>),
    /// An earlier one is open.
    #[error("{0} is open and has entries: close it first")]
    Earlier(Month),
    /// Orders keep coming in.
    #[error("orders come in faster than they are settled: try again when the import is over")]
    Restless,
    /// A store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How often closing is tried when something is settled in between.
const TRIES: usize = 10;

/// Settles what there is and closes a month, with nothing in between.
///
/// # Errors
/// [`NotClosed`].
pub async fn close(settler: &Settler, month: Month, by: &str, now: Timestamp) -> Result<Closed, NotClosed> {
    if now < month.ends() {
        return Err(NotClosed::NotOver { month });
    }
    for _ in 0..TRIES {
        settler.settle(now).await?;
        let marks = settler.ledger.marks().await?;
        if !settler.orders.after(marks.events, 1).await?.is_empty() {
            continue;
        }
        match settler.ledger.close(month, by, marks.revision, now).await? {
            Closing::Closed(closed) => return Ok(closed),
            Closing::Already(closed) => return Err(NotClosed::Already(Box::new(closed))),
            Closing::Earlier(earlier) => return Err(NotClosed::Earlier(earlier)),
            Closing::Stale => {}
        }
    }
    Err(NotClosed::Restless)
}
