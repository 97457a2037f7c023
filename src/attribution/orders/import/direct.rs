//! Rows in our own field names: what a merchant, or a network without an importer, reports by `POST /v1/orders` or a file.
//! A name that is not known is a fault here, as a misspelt `confirmed` would cost somebody money.

use serde_json::Value;

use super::fault::{BadRow, Reason};
use super::row::{Row, Unit, latest};
use super::{Given, MERCHANT, made};
use crate::domain::attribution::Network;
use crate::domain::attribution::money::Fen;
use crate::domain::attribution::order::{LineKey, OrderLine, OrderState, Promotion};

/// Every field a row may have.
pub const FIELDS: [&str; 33] = [
    "network",
    "account",
    "line",
    "order",
    "parent",
    "state",
    "raw_state",
    "refunded",
    "created_at",
    "paid_at",
    "completed_at",
    "settled_at",
    "modified_at",
    "clicked_at",
    "marketplace",
    "item",
    "title",
    "shop",
    "shop_name",
    "quantity",
    "returned",
    "paid",
    "paid_fen",
    "estimated",
    "estimated_fen",
    "confirmed",
    "confirmed_fen",
    "click_id",
    "pid",
    "site",
    "position",
    "relation",
    "sub_id",
];

/// Reads a row. Its key is `line`.
///
/// # Errors
/// Every fault of the row.
pub fn read(row: &Value, given: &Given) -> Result<OrderLine, BadRow> {
    let mut row = Row::new(row, given.now)?;
    for name in row.names().filter(|name| !FIELDS.contains(name)) {
        row.fault(name, Reason::UnknownField, format!("this field is not known: use {}", FIELDS.join(", ")));
    }
    row.bad.line = row.key("line");
    let word = row.id("state");
    row.bad.raw_state.clone_from(&word);
    let state = match OrderState::parse(&word) {
        None if word.is_empty() => row.needed("state", None),
        None => {
            row.fault("state", Reason::UnknownStatus, format!("use one of {}", OrderState::names().join(", ")));
            None
        }
        state => state,
    };
    let mut time = |field| row.time(field, Unit::None);
    let (created, paid_at, completed_at) = (time("created_at"), time("paid_at"), time("completed_at"));
    let (settled_at, modified, clicked_at) = (time("settled_at"), time("modified_at"), time("clicked_at"));
    let created_at = row.needed("created_at", created);
    let known = [created_at, paid_at, completed_at, settled_at];
    let modified_at = modified.or(if row.faulty("modified_at") { None } else { latest(&known) });
    let modified_at = row.changed("modified_at", modified_at, created_at);
    let paid = amount(&mut row, "paid", "paid_fen");
    let estimated = amount(&mut row, "estimated", "estimated_fen");
    let confirmed = amount(&mut row, "confirmed", "confirmed_fen");
    let (quantity, returned) = (row.count("quantity").unwrap_or(1), row.count("returned").unwrap_or(0));
    let refunded = row.truth("refunded").unwrap_or(false);
    if !refunded || (returned > 0 && returned < quantity) {
        commission_due(&mut row, state, estimated, confirmed);
    }
    if given.account.starts_with(MERCHANT) {
        merchants_own(&mut row, paid, estimated, confirmed);
    }
    let (click, sub) = (row.id("click_id"), row.id("sub_id"));
    let (order, raw_state) = (row.id("order"), row.id("raw_state"));
    let line = OrderLine {
        key: LineKey { network: Network::Direct, account: given.account.clone(), line: row.bad.line.clone() },
        order: if order.is_empty() { row.bad.line.clone() } else { order },
        parent: row.id("parent"),
        state: state.unwrap_or(OrderState::Pending),
        raw_state: if raw_state.is_empty() { word } else { raw_state },
        refunded,
        created_at: created_at.unwrap_or_default(),
        paid_at,
        completed_at,
        settled_at,
        modified_at: modified_at.unwrap_or_default(),
        clicked_at,
        marketplace: row.id("marketplace"),
        item: row.id("item"),
        title: row.text("title"),
        shop: row.text("shop"),
        shop_name: row.text("shop_name"),
        quantity,
        returned,
        paid,
        estimated: estimated.unwrap_or(Fen::ZERO),
        confirmed,
        promotion: Promotion {
            pid: row.id("pid"),
            site: row.id("site"),
            position: row.id("position"),
            relation: row.id("relation"),
            sub_id: if click.is_empty() { sub } else { click },
        },
    };
    made(row, line)
}

/// What a row must tell of the commission in its state. What is settled was confirmed; an estimate does not stand for it.
fn commission_due(row: &mut Row<'_>, state: Option<OrderState>, estimated: Option<Fen>, confirmed: Option<Fen>) {
    let faulty = |row: &Row<'_>, name: &str| row.faulty(name) || row.faulty(&format!("{name}_fen"));
    let (field, told, problem) = match state {
        Some(OrderState::Paid) => {
            ("estimated", estimated.is_some(), "must be there in state paid: the commission, or estimated_fen")
        }
        Some(OrderState::Completed) => {
            let told = estimated.or(confirmed).is_some() || faulty(row, "estimated");
            let problem = "must be there in state completed: the commission, or confirmed_fen; \
                           `estimated` while it is not confirmed yet";
            ("confirmed", told, problem)
        }
        Some(OrderState::Settled) => {
            let problem = "must be there in state settled: the commission that was settled, or confirmed_fen";
            ("confirmed", confirmed.is_some(), problem)
        }
        _ => return,
    };
    row.due(field, told || faulty(row, field), problem);
}

/// What a merchant may say of its own orders: it owes a commission, and not more than it was paid.
fn merchants_own(row: &mut Row<'_>, paid: Option<Fen>, estimated: Option<Fen>, confirmed: Option<Fen>) {
    let least = |row: &mut Row<'_>, field: &str, amount: Option<Fen>| {
        let below = amount.is_some_and(|amount| amount < Fen::ZERO);
        if below {
            let problem =
                "may not be below 0: report the line as invalid or refunded, or with less, to take something back";
            row.fault(field, Reason::AmountOutOfRange, problem);
        }
        !below
    };
    let (paid_field, mut unsaid) = (row.named("paid", "paid_fen"), false);
    let sound = least(row, paid_field, paid);
    for (yuan, fen, amount) in [("estimated", "estimated_fen", estimated), ("confirmed", "confirmed_fen", confirmed)] {
        let field = row.named(yuan, fen);
        if !least(row, field, amount) || !sound {
            continue;
        }
        match (amount, paid) {
            (Some(amount), Some(paid)) if amount > paid => {
                let problem = format!("a commission may not be above what was paid, {paid}: mend the one or the other");
                row.fault(field, Reason::AmountOutOfRange, problem);
            }
            (Some(amount), None) => unsaid |= !amount.is_zero(),
            _ => {}
        }
    }
    if unsaid && !row.faulty("paid") && !row.faulty("paid_fen") {
        row.fault("paid", Reason::MissingField, "must be there: a commission is at most what was paid");
    }
}

/// Yuan under one name or fen under the other.
fn amount(row: &mut Row<'_>, yuan: &str, fen: &str) -> Option<Fen> {
    match (row.yuan(yuan), row.fen(fen)) {
        (Some(one), Some(other)) if one != other => {
            row.fault(fen, Reason::MalformedAmount, format!("`{yuan}` says another amount: give one of them"));
            None
        }
        (one, other) => one.or(other),
    }
}
