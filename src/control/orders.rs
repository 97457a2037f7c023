//! What is said of order lines, positions and rows that were set aside, and what is asked of positions: for the API and the
//! command line alike. Amounts leave in integer fen, under names that say so.

use serde_json::{Map, Value, json};

use super::fields::FieldFault;
use crate::attribution::orders::import::fault::RowFault;
use crate::attribution::orders::intake::{Position, PositionKind, Quarantined};
use crate::attribution::touches::Subject;
use crate::domain::attribution::Network;
use crate::domain::attribution::order::{OrderEvent, OrderLine};

/// The longest position, in bytes.
const LONGEST: usize = 200;

/// A line as it stands, or as it was reported once.
pub fn line(line: &OrderLine) -> Value {
    let promotion = &line.promotion;
    json!({
        "network": line.key.network,
        "account": line.key.account,
        "line": line.key.line,
        "order": line.order,
        "parent": line.parent,
        "state": line.state,
        "raw_state": line.raw_state,
        "refunded": line.refunded,
        "created_at": line.created_at,
        "paid_at": line.paid_at,
        "completed_at": line.completed_at,
        "settled_at": line.settled_at,
        "modified_at": line.modified_at,
        "clicked_at": line.clicked_at,
        "marketplace": line.marketplace,
        "item": line.item,
        "title": line.title,
        "shop": line.shop,
        "shop_name": line.shop_name,
        "quantity": line.quantity,
        "returned": line.returned,
        "paid_fen": line.paid,
        "estimated_fen": line.estimated,
        "confirmed_fen": line.confirmed,
        "pid": promotion.pid,
        "site": promotion.site,
        "position": promotion.position,
        "relation": promotion.relation,
        "sub_id": promotion.sub_id,
    })
}

/// A report of a line.
pub fn event(event: &OrderEvent) -> Value {
    let mut told = line(&event.line);
    told["seq"] = json!(event.seq);
    told["hash"] = json!(event.hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    told
}

/// A row that was set aside; the row itself as JSON where it is that.
pub fn quarantined(row: &Quarantined) -> Value {
    let mut told = json!(row);
    if let Ok(raw) = serde_json::from_str::<Value>(&row.raw) {
        told["raw"] = raw;
    }
    told
}

/// A position.
pub fn position(position: &Position) -> Value {
    let (name, subject) = match &position.subject {
        Subject::Creator(creator) => ("creator", creator),
        Subject::Link(code) => ("code", code),
    };
    json!({
        "network": position.network,
        "position": position.position,
        "kind": position.kind.as_str(),
        name: subject,
        "from_link": position.link,
    })
}

/// Whom a position was given to.
pub fn whose(subject: &Subject) -> String {
    match subject {
        Subject::Creator(creator) => format!("creator {creator}"),
        Subject::Link(code) => format!("link {code}"),
    }
}

/// The fault of a row, as faults of requests are told.
pub fn fault(fault: &RowFault) -> Value {
    json!(FieldFault::new(&*fault.field, &fault.value, fault.reason.as_str(), &*fault.problem))
}

/// The fields of a position to be registered.
pub const POSITION_FIELDS: [&str; 5] = ["network", "position", "kind", "creator", "code"];

/// Reads a position to be registered.
///
/// # Errors
/// Every fault of it.
pub fn read_position(value: &Value) -> Result<Position, Vec<FieldFault>> {
    let empty = Map::new();
    let map = value.as_object().unwrap_or(&empty);
    let mut faults = Vec::new();
    if !value.is_object() {
        faults.push(FieldFault::new("", "", "not_an_object", "send one JSON object: {…}"));
    }
    for (name, value) in map.iter().filter(|(name, _)| !POSITION_FIELDS.contains(&name.as_str())) {
        let problem = format!("this field is not known: use {}", POSITION_FIELDS.join(", "));
        faults.push(FieldFault::new(name.as_str(), &super::fields::rendered(value), "unknown_field", problem));
    }
    let text = |name: &'static str| match map.get(name) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text.trim().is_empty() => None,
        Some(Value::String(text)) => Some(text.trim().to_owned()),
        Some(Value::Number(number)) if !number.is_f64() => Some(number.to_string()),
        Some(other) => {
            faults.push(FieldFault::new(name, &super::fields::rendered(other), "wrong_type", "must be a text"));
            None
        }
    };
    let [network, position, kind, creator, code] = POSITION_FIELDS.map(text);
    let mut fault = |field: &'static str, value: &str, code, problem: String| {
        faults.push(FieldFault::new(field, value, code, problem));
    };
    let known = network.as_deref().map(Network::parse);
    match (&network, known) {
        (Some(_), Some(Some(_))) => {}
        (named, _) => {
            let problem = format!("use one of {}", Network::names().join(", "));
            fault("network", named.as_deref().unwrap_or_default(), "unknown_name", problem);
        }
    }
    let place = position.unwrap_or_default();
    if place.is_empty() || place.len() > LONGEST || place.chars().any(|c| c.is_whitespace() || c.is_control()) {
        let problem = format!("1 to {LONGEST} bytes without a blank belong here, as it stands in reports");
        fault("position", &place, "out_of_range", problem);
    }
    let sort = match kind.as_deref() {
        None if place.contains('_') => Some(PositionKind::Pid),
        None => Some(PositionKind::Position),
        Some(name) => PositionKind::parse(name),
    };
    if sort.is_none() {
        let problem = format!("use one of {}", PositionKind::names().join(", "));
        fault("kind", kind.as_deref().unwrap_or_default(), "unknown_name", problem);
    }
    let subject = match (creator, code) {
        (Some(creator), None) => Some(Subject::Creator(creator.into())),
        (None, Some(code)) => Some(Subject::Link(code.into())),
        _ => {
            fault("creator", "", "one_of", "give a `creator` or a `code`, and not both".to_owned());
            None
        }
    };
    match (known.flatten(), sort, subject) {
        (Some(network), Some(kind), Some(subject)) if faults.is_empty() => {
            Ok(Position { network, position: place.into(), kind, subject, link: None })
        }
        _ => Err(faults),
    }
}
