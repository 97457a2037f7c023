//! Hands pulled rows to the store of orders: a batch a page, which names its response by hash.

use std::sync::Arc;

use async_trait::async_trait;

use super::puller::{Kept, Pulled, RowSink};
use crate::attribution::StoreError;
use crate::attribution::orders::import::{Source, Taker};
use crate::attribution::orders::intake::OrderIntake;

/// The store of orders.
pub struct OrderSink(pub Arc<dyn OrderIntake>);

#[async_trait]
impl RowSink for OrderSink {
    async fn keep(&self, pulled: Pulled) -> Result<Kept, StoreError> {
        let Pulled { network, account, rows, scene, response, at } = pulled;
        let scene = (scene > 0).then_some(u32::from(scene));
        let source = Source { network, account, scene, name: "pull".to_owned(), dry: false };
        let mut taker = Taker::begin(&*self.0, source, at).await?;
        for row in &rows {
            if taker.push(row) {
                taker.flush().await?;
            }
        }
        let (taken, _) = taker.finish(Some(response)).await?;
        Ok(Kept { new: taken.added, known: taken.unchanged, quarantined: taken.set_aside() })
    }
}
