//! Rows in our own field names: what a merchant, or a network without an importer, reports by `POST /v1/orders` or a file.
//! A name that is not known is a fault here, as a misspelt `confirmed` would cost somebody money.

use serde_json::Value;

use super::fault::{BadRow, Reason};
use super::row::{Row, Unit, latest};
use super::{Given, made};
use crate::domain::attribution::Network;
use crate::domain::attribution::money::Fen;
use crate::domain::attribution::order::{LineKey, OrderLine, OrderState, Promotion};

/// Every field a row may have.
pub const FIELDS: [&str; 32] = [
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
    row.bad.modified_at = modified_at;
    let paid = amount(&mut row, "paid", "paid_fen");
    let estimated = amount(&mut row, "estimated", "estimated_fen");
    let estimated = match state {
        Some(OrderState::Paid) if !row.faulty("estimated_fen") => row.needed("estimated", estimated),
        _ => estimated,
    };
    let confirmed = amount(&mut row, "confirmed", "confirmed_fen");
    let (click, sub) = (row.id("click_id"), row.id("sub_id"));
    let (order, raw_state) = (row.id("order"), row.id("raw_state"));
    let line = OrderLine {
        key: LineKey { network: Network::Direct, account: given.account.clone(), line: row.bad.line.clone() },
        order: if order.is_empty() { row.bad.line.clone() } else { order },
        parent: row.id("parent"),
        state: state.unwrap_or(OrderState::Pending),
        raw_state: if raw_state.is_empty() { word } else { raw_state },
        refunded: row.truth("refunded").unwrap_or(false),
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
        quantity: row.count("quantity").unwrap_or(1),
        returned: row.count("returned").unwrap_or(0),
        paid: paid.unwrap_or(Fen::ZERO),
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
