//! Order reports as the networks write them, read into one vocabulary. Pure but for `take`, which hands rows to the store:
//! what a row says never depends on another row.
//!
//! - [`taobao`], [`jd`], [`pinduoduo`], [`direct`]: one file a network, its own field names;
//! - [`envelope`]: answers of the networks' APIs; [`mod@file`]: files of rows in whichever form; [`mod@text`]: JSON as it
//!   was written, names that stand there twice and all;
//! - [`fault`]: what can be wrong with a row.

pub mod direct;
pub mod envelope;
pub mod fault;
pub mod file;
pub mod jd;
pub mod pinduoduo;
mod row;
mod take;
pub mod taobao;
pub mod text;

use serde_json::Value;

pub use take::{SHOWN, Source, Taken, Taker, is_account};

use crate::domain::attribution::Network;
use crate::domain::attribution::order::OrderLine;
use crate::domain::time::Timestamp;
use fault::{BadRow, Reason};
use row::Row;

/// What is known of a row beside the row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Given {
    /// Our account at the network.
    pub account: Box<str>,
    /// The order scene that was asked for, where the rows do not say it (Taobao: 1 ordinary, 2 channel, 3 member).
    pub scene: Option<u32>,
    /// The time; what lies ahead of it has not happened.
    pub now: Timestamp,
}

/// What stands before a shop in the name of the account its merchant reports under. What a merchant may say of amounts is
/// the account's, so that a row which is read again, whoever asks for that, is held to the same.
pub const MERCHANT: &str = "merchant:";

/// The account of whoever has one only.
pub const USUAL_ACCOUNT: &str = "default";

/// Reads a row of a network.
///
/// # Errors
/// Every fault of the row.
pub fn read(network: Network, row: &Value, given: &Given) -> Result<OrderLine, BadRow> {
    match network {
        Network::Taobao => taobao::read(row, given),
        Network::Jd => jd::read(row, given),
        Network::Pinduoduo => pinduoduo::read(row, given),
        Network::Direct => direct::read(row, given),
    }
}

/// The line, if its row had no fault.
fn made(mut row: Row<'_>, line: OrderLine) -> Result<OrderLine, BadRow> {
    // Not known is not read: what mends this row will say another state.
    if row.bad.faults.iter().any(|fault| fault.reason == Reason::UnknownStatus) {
        row.bad.raw_state = "".into();
    }
    if row.bad.faults.is_empty() { Ok(line) } else { Err(row.bad) }
}

#[cfg(test)]
mod tests;
