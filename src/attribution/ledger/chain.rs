//! From an order line to its click and its entries, and from a click to the lines it is credited with: what every figure is
//! traced by. Never changes anything.

use serde::Serialize;

use super::{Book, Entry, Ledger, Matched, Trigger};
use crate::attribution::StoreError;
use crate::attribution::orders::OrderStore;
use crate::domain::attribution::entries::{Account, Kind, youngest};
use crate::domain::attribution::matching::{Credited, Method, Reason};
use crate::domain::attribution::money::Fen;
use crate::domain::attribution::order::{LineKey, OrderLine};
use crate::domain::attribution::period::Month;
use crate::domain::click_id::{ClickId, ClickKey};
use crate::domain::time::Timestamp;

use super::record::{Standing, hex};

/// An order line with its match and its entries.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Chain {
    /// Where it stands.
    #[serde(flatten)]
    pub line: Standing,
    /// What it is worth, as its youngest report tells it.
    pub amounts: Amounts,
    /// Whom it is credited to; none before it is settled.
    #[serde(rename = "match")]
    pub matched: Option<MatchView>,
    /// Matches it had before, the first first.
    pub earlier_matches: Vec<MatchView>,
    /// What was posted for it, the first first.
    pub entries: Vec<EntryView>,
}

/// The amounts of a report.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Amounts {
    pub paid_fen: Fen,
    pub estimated_fen: Fen,
    pub confirmed_fen: Option<Fen>,
    pub refunded: bool,
    pub quantity: u32,
    pub returned: u32,
}

/// A match as it is shown.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct MatchView {
    /// Its number: 1 is the line's first.
    pub version: u32,
    /// When it was made.
    pub made_at: Timestamp,
    /// What made it.
    pub made_by: Trigger,
    /// By what the click was found.
    pub method: Method,
    /// Why nobody is credited.
    pub reason: Option<Reason>,
    /// The creator who is credited.
    pub creator: Option<String>,
    /// The click.
    pub click: Option<ClickView>,
    /// The click that would have been credited without it.
    pub runner_up: Option<ClickView>,
    /// The version of the rules of matching.
    pub rules: u32,
    /// The version of the rules that say which clicks count.
    pub validity: String,
}

/// A click of a match, with what was agreed for it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ClickView {
    /// The click id: `GET /v1/hops/{click_id}` shows its hop.
    pub click_id: String,
    /// When it was decided.
    pub at: Timestamp,
    /// The node that recorded it.
    pub node: String,
    /// Its number there.
    pub seq: u64,
    /// The link's code.
    pub code: String,
    /// The link's creator.
    pub creator: String,
    /// Where it happened.
    pub platform: String,
    /// The note it came from.
    pub note: String,
    /// The policy version that decided it.
    pub policy_version: String,
    /// The agreement that gave its terms.
    pub agreement: String,
    /// Days after the click within which an order counts.
    pub window_days: u16,
    /// The share of orders that is returned.
    pub sampling: f64,
    /// Whether data return was paused then.
    pub paused: bool,
}

/// An entry as it is shown.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[allow(missing_docs)]
pub struct EntryView {
    pub number: i64,
    pub transaction: i64,
    pub account: Account,
    pub kind: Kind,
    /// A debit is above zero, a credit below.
    pub amount_fen: Fen,
    pub period: Month,
    /// Whether its own month was closed when it was posted.
    pub late: bool,
    pub changed_at: Timestamp,
    pub posted_at: Timestamp,
    /// What made it: a report of the line, a click, or a recompute.
    pub made_by: Trigger,
    /// The hash of the report it is about.
    pub report: String,
    pub match_version: u32,
}

impl EntryView {
    /// An entry, shown.
    pub fn of(entry: &Entry) -> Self {
        EntryView {
            number: entry.number,
            transaction: entry.transaction,
            account: entry.slot.account.clone(),
            kind: entry.slot.kind,
            amount_fen: entry.amount,
            period: entry.period,
            late: entry.late,
            changed_at: entry.changed_at,
            posted_at: entry.posted_at,
            made_by: entry.trigger,
            report: hex(&entry.slot.cause),
            match_version: entry.slot.booked,
        }
    }
}

/// The external form of a click id.
pub fn click_text(key: &ClickKey, click: ClickId) -> String {
    String::from_utf8_lossy(&key.text(click)).into_owned()
}

impl ClickView {
    /// A click of a match, shown.
    pub fn of(credited: &Credited, key: &ClickKey) -> Self {
        ClickView {
            click_id: click_text(key, credited.click),
            at: credited.at,
            node: credited.node.to_string(),
            seq: credited.seq,
            code: credited.code.to_string(),
            creator: credited.creator.to_string(),
            platform: credited.platform.to_string(),
            note: credited.note.to_string(),
            policy_version: format!("{:016x}", credited.policy_version),
            agreement: credited.terms.agreement.to_string(),
            window_days: credited.terms.window_days,
            sampling: f64::from(credited.terms.sampling) / 1e6,
            paused: credited.terms.paused,
        }
    }
}

impl MatchView {
    /// A match, shown.
    pub fn of(kept: &Matched, key: &ClickKey) -> Self {
        let matched = &kept.matched;
        MatchView {
            version: kept.version,
            made_at: kept.made_at,
            made_by: kept.trigger,
            method: matched.method,
            reason: matched.reason,
            creator: matched.creator().map(str::to_owned),
            click: matched.click.as_ref().map(|click| ClickView::of(click, key)),
            runner_up: matched.runner_up.as_ref().map(|click| ClickView::of(click, key)),
            rules: matched.rules.version,
            validity: matched.rules.validity.to_string(),
        }
    }
}

impl Chain {
    fn new(book: Book, youngest: &OrderLine, key: &ClickKey) -> Self {
        let mut matches: Vec<MatchView> = book.matches.iter().map(|kept| MatchView::of(kept, key)).collect();
        let matched = matches.pop();
        Chain {
            line: book.line,
            amounts: Amounts {
                paid_fen: youngest.paid.unwrap_or_default(),
                estimated_fen: youngest.estimated,
                confirmed_fen: youngest.confirmed,
                refunded: youngest.refunded,
                quantity: youngest.quantity,
                returned: youngest.returned,
            },
            matched,
            earlier_matches: matches,
            entries: book.entries.iter().map(EntryView::of).collect(),
        }
    }
}

/// Everything of one line, from its report to its entries; `None` when it was never reported. One that was reported and is
/// not settled yet has no match and no entries.
///
/// # Errors
/// [`StoreError`].
pub async fn chain_of_line(
    ledger: &dyn Ledger,
    orders: &dyn OrderStore,
    line: &LineKey,
    key: &ClickKey,
) -> Result<Option<Chain>, StoreError> {
    let events = orders.of_line(line).await?;
    let Some(last) = youngest(&events) else { return Ok(None) };
    let book = ledger.book(line).await?;
    let book =
        book.unwrap_or_else(|| Book { line: Standing::of(&last.line), matches: Vec::new(), entries: Vec::new() });
    Ok(Some(Chain::new(book, &last.line, key)))
}

/// Every line a click is credited with.
///
/// # Errors
/// [`StoreError`].
pub async fn chains_of_click(
    ledger: &dyn Ledger,
    orders: &dyn OrderStore,
    click: ClickId,
    key: &ClickKey,
) -> Result<Vec<Chain>, StoreError> {
    let mut chains = Vec::new();
    for line in ledger.of_click(click).await? {
        chains.extend(chain_of_line(ledger, orders, &line, key).await?);
    }
    Ok(chains)
}
