//! What an order line is worth at each moment of its life, and the ledger entries that follow. Pure, double entry, in fen: what
//! a line's entries should add up to is a function of its reports and its match; what is posted is the difference to what was.
//!
//! The network owes (a debit, above zero) what a creator is credited with, or nobody yet (a credit, below zero):
//!
//! | from a report to the next | entries |
//! |---|---|
//! | paid | `estimated` rises |
//! | completed or settled, with an amount that is confirmed | `estimated` is taken back, `confirmed` rises |
//! | returned, closed, or told lower | `reversed`, below what was posted |

use std::collections::BTreeMap;
use std::fmt;

use super::Network;
use super::matching::Match;
use super::money::Fen;
use super::order::{OrderEvent, OrderLine, OrderState};
use super::period::Month;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::closed_list;

closed_list! {
    /// What sort of entry it is.
    Kind {
        /// A commission is estimated, or the estimate gives way to what is confirmed.
        Estimated = "estimated",
        /// A commission is confirmed.
        Confirmed = "confirmed",
        /// What was posted is taken back: a return, a closure, an amount told lower.
        Reversed = "reversed",
    }
}

closed_list! {
    /// The two balances of everyone.
    Side {
        /// Expected.
        Estimated = "estimated",
        /// Earned.
        Confirmed = "confirmed",
    }
}

/// Who owes or is owed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Party {
    /// The network whose report it is.
    Network(Network),
    /// A creator.
    Creator(Box<str>),
    /// Nobody yet, of a network.
    Unmatched(Network),
}

/// An account: a party and one of its two balances. Written `creator:<id>:confirmed`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Account {
    /// Whose.
    pub party: Party,
    /// Which balance.
    pub side: Side,
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.party {
            Party::Network(network) => write!(f, "network:{network}:{}", self.side),
            Party::Creator(id) => write!(f, "creator:{id}:{}", self.side),
            Party::Unmatched(network) => write!(f, "unmatched:{network}:{}", self.side),
        }
    }
}

impl Account {
    /// Reads what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Account> {
        // A creator's id may hold colons: the ends are what is known.
        let (sort, rest) = text.split_once(':')?;
        let (who, side) = rest.rsplit_once(':')?;
        let party = match sort {
            "network" => Party::Network(Network::parse(who)?),
            "creator" => Party::Creator(who.into()),
            "unmatched" => Party::Unmatched(Network::parse(who)?),
            _ => return None,
        };
        Some(Account { party, side: Side::parse(side)? })
    }
}

impl serde::Serialize for Account {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What the youngest report of a line makes it worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Worth {
    /// Expected.
    pub estimated: Fen,
    /// Earned.
    pub confirmed: Fen,
}

/// What a report makes its line worth.
pub fn worth(line: &OrderLine) -> Worth {
    if line.given_back() {
        return Worth::default();
    }
    let expected = Worth { estimated: line.estimated, confirmed: Fen::ZERO };
    match (line.state, line.confirmed) {
        (OrderState::Pending | OrderState::Invalid, _) => Worth::default(),
        (OrderState::Paid, _) => expected,
        (OrderState::Completed | OrderState::Settled, Some(confirmed)) => Worth { estimated: Fen::ZERO, confirmed },
        // Received, and not reckoned yet: an estimate stays one until somebody confirms an amount.
        (OrderState::Completed | OrderState::Settled, None) => expected,
    }
}

/// What an entry is about: a report of the line, the sort of entry, the account, and the match it is booked under.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Slot {
    /// The hash of the report.
    pub cause: [u8; 32],
    /// What sort.
    pub kind: Kind,
    /// The account.
    pub account: Account,
    /// The number of the match it is booked under. Another click takes back what was booked under the one before, so that what a
    /// report of a closed month says of a click stays as it was.
    pub booked: u32,
}

/// Amounts by what they are about. Nothing is never kept.
pub type Postings = BTreeMap<Slot, Fen>;

/// Everything that should be posted for a line: its reports in the order of its life, credited as `matched` says and booked
/// under its number. Every cause sums to zero.
pub fn desired(events: &[OrderEvent], matched: &Match, booked: u32) -> Postings {
    let mut postings = Postings::new();
    let mut before = Worth::default();
    for event in in_order(events) {
        let now = worth(&event.line);
        let network = event.line.key.network;
        let party = matched.creator().map_or(Party::Unmatched(network), |creator| Party::Creator(creator.into()));
        let mut post = |kind, side, amount: Fen| {
            for (party, amount) in [(Party::Network(network), amount), (party.clone(), -amount)] {
                let account = Account { party, side };
                add(&mut postings, Slot { cause: event.hash, kind, account, booked }, amount);
            }
        };
        let (estimated, confirmed) = (now.estimated - before.estimated, now.confirmed - before.confirmed);
        // An estimate that gives way to what was earned is no loss; any other fall is.
        let gives_way = now.confirmed > before.confirmed;
        let kind = if estimated >= Fen::ZERO || gives_way { Kind::Estimated } else { Kind::Reversed };
        post(kind, Side::Estimated, estimated);
        let kind = if confirmed >= Fen::ZERO { Kind::Confirmed } else { Kind::Reversed };
        post(kind, Side::Confirmed, confirmed);
        before = now;
    }
    postings
}

/// Reports of one line in the order of its life, each once.
pub fn in_order(events: &[OrderEvent]) -> Vec<&OrderEvent> {
    let mut events: Vec<&OrderEvent> = events.iter().collect();
    events.sort_by_key(|event| event.age());
    events.dedup_by_key(|event| event.hash);
    events
}

/// The report that says where a line stands.
pub fn youngest(events: &[OrderEvent]) -> Option<&OrderEvent> {
    events.iter().max_by_key(|event| event.age())
}

/// What is to be posted so that `posted` becomes `desired`.
pub fn difference(desired: &Postings, posted: &Postings) -> Postings {
    let mut difference = desired.clone();
    for (slot, amount) in posted {
        add(&mut difference, slot.clone(), -*amount);
    }
    difference
}

/// Adds to one slot.
pub fn add(postings: &mut Postings, slot: Slot, amount: Fen) {
    if amount.is_zero() {
        return;
    }
    match postings.entry(slot) {
        std::collections::btree_map::Entry::Vacant(slot) => drop(slot.insert(amount)),
        std::collections::btree_map::Entry::Occupied(mut slot) => {
            *slot.get_mut() += amount;
            if slot.get().is_zero() {
                slot.remove();
            }
        }
    }
}

/// The period an entry goes to, and whether it is late: the month of the change, or the first that is open when that month
/// is closed. Months close one after the other, so `closed` says them all.
pub fn period_of(changed: Timestamp, closed: Option<Month>) -> (Month, bool) {
    let own = Month::of(changed);
    match closed {
        Some(closed) if own <= closed => (closed.next(), true),
        _ => (own, false),
    }
}

#[cfg(test)]
#[path = "entries_tests.rs"]
mod tests;
