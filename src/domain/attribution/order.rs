//! One line of an order report, in one vocabulary for every network. Reading a network's own rows into it is the
//! importers' work; what it means for the ledger is the ledger's.

use serde::{Deserialize, Serialize};

use super::Network;
use super::money::Fen;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::closed_list;

closed_list! {
    /// Where an order line stands. Declared in the order of their rank: of two reports of one line with the same change
    /// time, the later state here counts.
    OrderState {
        /// Ordered or a deposit paid; nothing is earned yet.
        Pending = "pending",
        /// Paid: a commission is estimated.
        Paid = "paid",
        /// Received or completed: the commission is confirmed.
        Completed = "completed",
        /// Settled by the network: the commission is what it paid or will pay out.
        Settled = "settled",
        /// Closed, cancelled, split into others or not counted by the network: nothing is earned.
        Invalid = "invalid",
    }
}

impl<'de> Deserialize<'de> for OrderState {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        OrderState::parse(&name).ok_or_else(|| serde::de::Error::custom(format!("`{name}` is no state of an order")))
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Network::parse(&name).ok_or_else(|| serde::de::Error::custom(format!("`{name}` is no network")))
    }
}

/// What tells one line of an order report from every other, for good.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct LineKey {
    /// Whose report.
    pub network: Network,
    /// Our account there, as named in the settings or the import; `default` unless there are several.
    pub account: Box<str>,
    /// The network's own key of the line. Taobao: `trade_id:tk_order_role:order_scene`; JD: `id`; Pinduoduo: `order_sn`.
    pub line: Box<str>,
}

/// What the network says of whose promotion led to the order. An empty text means that it said nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Promotion {
    /// The whole placement id: Taobao `mm_<member>_<site>_<adzone>`, JD `<union>_<site>_<position>`, Pinduoduo `p_id`.
    pub pid: Box<str>,
    /// The site within it: Taobao `site_id`, JD `siteId`.
    pub site: Box<str>,
    /// The position within it: Taobao `adzone_id`, JD `positionId`.
    pub position: Box<str>,
    /// The promoter below us: Taobao `relation_id`, JD `channelId`.
    pub relation: Box<str>,
    /// What was put in per click: JD `subUnionId` or `ext1`, Pinduoduo `custom_parameters`, `click_id` of a direct report.
    /// A click id of ours, if its MAC says so; anything else otherwise.
    pub sub_id: Box<str>,
}

/// One line of an order report at one moment of its life, as it was reported.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OrderLine {
    /// Which line.
    pub key: LineKey,
    /// The order it belongs to, by the number its buyer sees.
    pub order: Box<str>,
    /// The order or line it was split from; empty when from none.
    #[serde(default)]
    pub parent: Box<str>,
    /// Where it stands.
    pub state: OrderState,
    /// The network's own number or word for that.
    pub raw_state: Box<str>,
    /// Whether a claim or return stands against it (Taobao `refund_tag`, JD `skuReturnNum`).
    #[serde(default)]
    pub refunded: bool,
    /// When it was ordered.
    pub created_at: Timestamp,
    /// When it was paid.
    #[serde(default)]
    pub paid_at: Option<Timestamp>,
    /// When it was received or completed.
    #[serde(default)]
    pub completed_at: Option<Timestamp>,
    /// When it was settled.
    #[serde(default)]
    pub settled_at: Option<Timestamp>,
    /// When the network last changed it.
    pub modified_at: Timestamp,
    /// When the network saw the click it credits.
    #[serde(default)]
    pub clicked_at: Option<Timestamp>,
    /// The marketplace by its id in the vocabulary: `taobao`, `tmall`, `jd` …
    pub marketplace: Box<str>,
    /// The goods' id there.
    #[serde(default)]
    pub item: Box<str>,
    /// Their title.
    #[serde(default)]
    pub title: Box<str>,
    /// The shop by its id, as links and hops have it: `shop:ID` or `seller:ID`. Empty where the network tells none.
    #[serde(default)]
    pub shop: Box<str>,
    /// The shop's name, where the network tells one.
    #[serde(default, skip_serializing_if = "no_text")]
    pub shop_name: Box<str>,
    /// Pieces ordered.
    pub quantity: u32,
    /// Pieces returned.
    #[serde(default)]
    pub returned: u32,
    /// What the buyer paid for the line; `None` where nobody said.
    #[serde(default)]
    pub paid: Option<Fen>,
    /// The commission as estimated when it was paid for.
    pub estimated: Fen,
    /// The commission as confirmed at receipt or settlement; `None` before.
    #[serde(default)]
    pub confirmed: Option<Fen>,
    /// Whose promotion it was.
    #[serde(default)]
    pub promotion: Promotion,
}

fn no_text(text: &str) -> bool {
    text.is_empty()
}

/// A shop's id as links and hops have it, from what a report tells. JD and Pinduoduo tell a shop's number, Taobao only its
/// title, which is no id.
pub fn shop_id(network: Network, told: &str) -> Box<str> {
    let named = told.starts_with("shop:") || told.starts_with("seller:");
    match network {
        _ if named || told.is_empty() => told.into(),
        Network::Jd | Network::Pinduoduo => format!("shop:{told}").into(),
        Network::Taobao => "".into(),
        Network::Direct => told.into(),
    }
}

impl OrderLine {
    /// A line that was kept before shops had ids here, as it would be kept now: the number alone stood for JD's and
    /// Pinduoduo's, the title for Taobao's.
    #[must_use]
    pub fn as_now(mut self) -> Self {
        let id = shop_id(self.key.network, &self.shop);
        if id.is_empty() && self.shop_name.is_empty() {
            self.shop_name = std::mem::take(&mut self.shop);
        }
        self.shop = id;
        self
    }

    /// Whether a claim or return stands against all of it, or against nobody knows how much: nothing is due then.
    pub fn given_back(&self) -> bool {
        self.refunded && !(self.returned > 0 && self.returned < self.quantity)
    }
}

/// A line as it was kept: reports of one line are only ever added.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderEvent {
    /// Its number in the order of being kept, from 1. Says nothing about which report of a line counts.
    pub seq: i64,
    /// SHA-256 of the normalised line as canonical JSON: the same report kept twice is one.
    pub hash: [u8; 32],
    /// The line.
    pub line: OrderLine,
}

impl OrderEvent {
    /// What decides which of two reports of a line came later in its life: the network's change time, then the state's rank,
    /// then the hash. Never the order of importing, so that batches may come twice, shuffled and split.
    pub fn age(&self) -> (Timestamp, OrderState, [u8; 32]) {
        (self.line.modified_at, self.line.state, self.hash)
    }
}
