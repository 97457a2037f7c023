//! Attribution: what an order was worth, which click it came from, and who is credited. Pure: clicks, orders, rules and
//! instants come in as arguments, so that a figure can be computed again years later and come out the same.
//!
//! - [`event`]: what happens around a click, and what it is worth under the terms of its reading;
//! - [`estimate`]: figures reckoned from a sample, with their interval;
//! - [`money`]: amounts in integer fen;
//! - [`order`]: one line of an order report, in one vocabulary for every network;
//! - [`touch`]: a recorded click as attribution sees it;
//! - [`matching`]: which click a line is credited to;
//! - [`terms`]: what was agreed for a click;
//! - [`entries`], [`period`]: what the ledger should say of a line, and in which month;
//! - [`validity`]: which clicks count.

pub mod entries;
pub mod estimate;
pub mod event;
pub mod matching;
pub mod money;
pub mod order;
pub mod period;
pub mod terms;
pub mod touch;
pub mod validity;

use super::vocabulary::closed_list;

/// Marketplaces of one alliance and one app: a click on a link of the one may end in an order of the other.
const ALIBABA: [&str; 2] = ["taobao", "tmall"];

/// Whether a click that led to `clicked` may end in something at `happened`.
pub fn same_marketplace(clicked: &str, happened: &str) -> bool {
    clicked == happened || (ALIBABA.contains(&clicked) && ALIBABA.contains(&happened))
}

closed_list! {
    /// Whose order report a line comes from.
    Network {
        /// Taobao Alliance (淘宝联盟): Taobao and Tmall orders.
        Taobao = "taobao",
        /// JD Union (京东联盟).
        Jd = "jd",
        /// Pinduoduo's Duoduo Jinbao (多多进宝).
        Pinduoduo = "pinduoduo",
        /// Told by a merchant or a network without an importer of its own, in our own field names.
        Direct = "direct",
    }
}
