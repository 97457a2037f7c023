//! Matches and lines as the ledger's rows hold them. Never decides anything.

use serde::{Deserialize, Serialize};

use crate::domain::attribution::matching::{Credited, Match, Method, Reason, Terms};
use crate::domain::attribution::money::Fen;
use crate::domain::attribution::order::{LineKey, OrderLine, OrderState};
use crate::domain::click_id::ClickId;
use crate::domain::time::Timestamp;

/// Where a line stands: what a report tells of its youngest order report.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Standing {
    /// The line.
    #[serde(flatten)]
    pub key: LineKey,
    /// The order it belongs to.
    pub order: Box<str>,
    /// Where it stands.
    pub state: OrderState,
    /// When it was ordered.
    pub created_at: Timestamp,
    /// When the network last changed it.
    pub modified_at: Timestamp,
    /// The marketplace.
    pub marketplace: Box<str>,
    /// The shop.
    pub shop: Box<str>,
    /// The goods.
    pub item: Box<str>,
    /// What the buyer paid for it.
    pub paid_fen: Fen,
}

impl Standing {
    /// What is kept of a report.
    pub fn of(line: &OrderLine) -> Self {
        Standing {
            key: line.key.clone(),
            order: line.order.clone(),
            state: line.state,
            created_at: line.created_at,
            modified_at: line.modified_at,
            marketplace: line.marketplace.clone(),
            shop: line.shop.clone(),
            item: line.item.clone(),
            paid_fen: line.paid.unwrap_or_default(),
        }
    }
}

/// What a report tells of a match.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credit {
    /// By what.
    pub method: Method,
    /// Why nobody is credited.
    pub reason: Option<Reason>,
    /// The click.
    pub click: Option<ClickId>,
    /// The link's code.
    pub code: Box<str>,
    /// Where the click happened.
    pub platform: Box<str>,
    /// The note it came from.
    pub note: Box<str>,
    /// The agreement that gave its terms.
    pub agreement: Box<str>,
    /// The share of orders like this one that is told, in millionths.
    pub sampling: u32,
}

/// The clicks of a match, as JSON.
#[derive(Serialize, Deserialize)]
pub(super) struct Clicks {
    click: Option<ClickRow>,
    runner_up: Option<ClickRow>,
}

#[derive(Serialize, Deserialize)]
struct ClickRow {
    click: String,
    at: i64,
    node: Box<str>,
    seq: u64,
    code: Box<str>,
    creator: Box<str>,
    platform: Box<str>,
    note: Box<str>,
    policy_version: u64,
    window_days: u16,
    sampling: u32,
    agreement: Box<str>,
    paused: bool,
}

impl Clicks {
    pub(super) fn of(matched: &Match) -> Self {
        Clicks { click: matched.click.as_ref().map(row), runner_up: matched.runner_up.as_ref().map(row) }
    }

    /// The clicks; `None` when an id is not one.
    pub(super) fn read(self) -> Option<(Option<Credited>, Option<Credited>)> {
        let read = |row: Option<ClickRow>| match row {
            Some(row) => credited(row).map(Some),
            None => Some(None),
        };
        Some((read(self.click)?, read(self.runner_up)?))
    }
}

fn row(credited: &Credited) -> ClickRow {
    ClickRow {
        click: hex(&credited.click.0),
        at: credited.at.micros(),
        node: credited.node.clone(),
        seq: credited.seq,
        code: credited.code.clone(),
        creator: credited.creator.clone(),
        platform: credited.platform.clone(),
        note: credited.note.clone(),
        policy_version: credited.policy_version,
        window_days: credited.terms.window_days,
        sampling: credited.terms.sampling,
        agreement: credited.terms.agreement.clone(),
        paused: credited.terms.paused,
    }
}

fn credited(row: ClickRow) -> Option<Credited> {
    let number = u128::from_str_radix(&row.click, 16).ok().filter(|_| row.click.len() == 32)?;
    Some(Credited {
        click: ClickId(number.to_be_bytes()),
        at: Timestamp::from_micros(row.at),
        node: row.node,
        seq: row.seq,
        code: row.code,
        creator: row.creator,
        platform: row.platform,
        note: row.note,
        policy_version: row.policy_version,
        terms: Terms {
            window_days: row.window_days,
            sampling: row.sampling,
            agreement: row.agreement,
            paused: row.paused,
        },
    })
}

/// Lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
