//! Telling others that a click led to an order. What the ledger says when it has matched a line; who is told, and how, is
//! not its matter.

use async_trait::async_trait;

use super::StoreError;
use crate::domain::attribution::order::OrderLine;
use crate::domain::attribution::touch::Touch;

/// A line of an order that was matched to a click, as it stands now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Matched {
    /// The line, as its youngest report has it.
    pub line: OrderLine,
    /// The click it is credited to.
    pub touch: Touch,
    /// How it was matched: `click_id`, `pid` …
    pub method: Box<str>,
}

/// Tells of matched lines.
///
/// Whoever matches calls this with every line whose match or state is new, **before** it commits the mark of what it has
/// read: a kill in between tells the same again, and the same told twice is told once. What is told is a pure function of
/// the line and its click, so that nothing needs to be remembered on the side that tells.
#[async_trait]
pub trait Announcer: Send + Sync {
    /// Keeps what is to be told of these lines. When it answers, that is durable; nothing was sent yet.
    async fn announce(&self, matched: &[Matched]) -> Result<(), StoreError>;
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

#[async_trait]
impl Announcer for Nobody {
    async fn announce(&self, _matched: &[Matched]) -> Result<(), StoreError> {
        Ok(())
    }
}
