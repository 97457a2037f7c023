//! Clicks as attribution looks them up. What a store of them must do, whatever database is behind it.

use async_trait::async_trait;

use super::StoreError;
use crate::domain::attribution::touch::Touch;
use crate::domain::click_id::ClickId;
use crate::domain::time::Timestamp;

/// Whose clicks are looked for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Subject {
    /// Those on links of a creator.
    Creator(Box<str>),
    /// Those on one link.
    Link(Box<str>),
}

/// Clicks that were redirected, found by what an order report can name.
#[async_trait]
pub trait TouchStore: Send + Sync {
    /// The click with this id, if it was redirected and is remembered still.
    async fn of_click(&self, click: ClickId) -> Result<Option<Touch>, StoreError>;

    /// Clicks of any of these subjects that led to any of these marketplaces (to any at all where none is named), at or after `since` and before `before`, the
    /// latest first, at most `limit`. Those of one instant come in the order of node and number, the highest first.
    async fn latest(
        &self,
        subjects: &[Subject],
        marketplaces: &[Box<str>],
        since: Timestamp,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<Touch>, StoreError>;

    /// The number of the last change: grows whenever clicks are added or their marks change.
    async fn changed(&self) -> Result<i64, StoreError>;

    /// The earliest and latest instants of clicks added after this change, with what the last change is now; `None` when
    /// none were. Who matched orders before looks again at those whose window touches this.
    async fn added_since(&self, change: i64) -> Result<Option<(Timestamp, Timestamp, i64)>, StoreError>;
}
