//! Whether the books are whole: every transaction even, balances what the entries add up to, closed periods as they were
//! closed, and every line's entries what its reports and its match say. Reads only; finds every fault there is.

use std::collections::BTreeMap;

use serde::Serialize;

use super::settle::{BATCH, Settler};
use super::{Balance, Marks};
use crate::attribution::StoreError;
use crate::domain::attribution::entries::{desired, difference, youngest};
use crate::domain::attribution::money::Fen;
use crate::domain::attribution::order::LineKey;

/// Faults that are told one by one; the rest is counted.
const TOLD: usize = 1_000;

/// What a check found.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Checked {
    /// Lines looked at.
    pub lines: u64,
    /// Order reports that wait to be settled.
    pub waiting: u64,
    /// How many faults there are.
    pub fault_count: u64,
    /// The first of them, in words.
    pub faults: Vec<String>,
}

impl Checked {
    fn fault(&mut self, fault: String) {
        self.fault_count += 1;
        if self.faults.len() < TOLD {
            self.faults.push(fault);
        }
    }
}

/// The name of a line for people.
pub fn name(key: &LineKey) -> String {
    format!("{} {} {}", key.network, key.account, key.line)
}

/// Checks everything. Beside a gateway that settles meanwhile, it begins again until nothing moved.
///
/// # Errors
/// [`StoreError`].
pub async fn check(settler: &Settler, mut progress: impl FnMut(u64)) -> Result<Checked, StoreError> {
    loop {
        let before = settler.ledger.marks().await?;
        let checked = once(settler, &before, &mut progress).await?;
        // What was read while something was written may look wrong, and is not.
        if checked.fault_count == 0 || settler.ledger.marks().await?.revision == before.revision {
            return Ok(checked);
        }
    }
}

async fn once(settler: &Settler, marks: &Marks, progress: &mut impl FnMut(u64)) -> Result<Checked, StoreError> {
    let mut checked = Checked::default();
    let ledger = &settler.ledger;
    for (transaction, sum) in ledger.uneven().await? {
        checked.fault(format!("transaction {transaction} is not even: its entries sum to {} fen, not 0", sum.0));
    }
    let (kept, rebuilt) = (ledger.balances(None).await?, ledger.rebuilt().await?);
    compare(&mut checked, "balances", &kept, &rebuilt);
    for closed in ledger.closed().await? {
        let now: Vec<Balance> = rebuilt.iter().filter(|balance| balance.period == closed.period).cloned().collect();
        compare(&mut checked, "the closing", &closed.balances, &now);
    }
    let mut after = 0;
    loop {
        let some = ledger.lines(after, BATCH).await?;
        let Some(last) = some.last().map(|(number, _)| *number) else { break };
        let keys: Vec<LineKey> = some.into_iter().map(|(_, key)| key).collect();
        for (key, held) in keys.iter().zip(ledger.held(&keys).await?) {
            let mut events = settler.orders.of_line(key).await?;
            // Reports that wait are not the ledger's yet.
            events.retain(|event| event.seq <= marks.events);
            let Some(held) = held else {
                checked.fault(format!("{}: has no match", name(key)));
                continue;
            };
            if youngest(&events).is_none() {
                checked.fault(format!("{}: is in the ledger, and no order report is", name(key)));
            }
            for (slot, amount) in difference(&desired(&events, &held.matched, held.booked), &held.posted) {
                checked.fault(format!(
                    "{}: {} {} is {} fen short of what its reports and its match say",
                    name(key),
                    slot.account,
                    slot.kind,
                    amount.0
                ));
            }
        }
        checked.lines += keys.len() as u64;
        progress(checked.lines);
        after = last;
    }
    let mut seq = marks.events;
    loop {
        let some = settler.orders.after(seq, BATCH).await?;
        let Some(last) = some.last() else { break };
        checked.waiting += some.len() as u64;
        seq = last.seq;
    }
    Ok(checked)
}

fn compare(checked: &mut Checked, what: &str, told: &[Balance], reckoned: &[Balance]) {
    let mut sums: BTreeMap<_, (Fen, Fen)> = BTreeMap::new();
    for balance in told {
        sums.entry((balance.period, &balance.account, balance.kind)).or_default().0 += balance.amount_fen;
    }
    for balance in reckoned {
        sums.entry((balance.period, &balance.account, balance.kind)).or_default().1 += balance.amount_fen;
    }
    for ((period, account, kind), (told, reckoned)) in sums {
        if told != reckoned {
            checked.fault(format!(
                "{period} {account} {kind}: {what} say {} fen, the entries add up to {} fen",
                told.0, reckoned.0
            ));
        }
    }
}
