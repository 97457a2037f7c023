//! Order reports over HTTP: taking rows in, lines as they stand, rows that were set aside, positions.
//!
//! An ops key reports for every network. A merchant's key reports for its own shop, in our own field names, under an account
//! of its own: it can neither touch nor read what a network or another merchant reported.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::StatusCode;
use axum::response::Json;
use serde_json::{Value, json};

use super::Api;
use super::body::{JsonBody, bytes};
use super::merchant::{self, own_account};
use super::query::{Walked, limit, walk};
use crate::attribution::ledger::chain::chain_of_line;
use crate::attribution::orders::import::fault::Reason;
use crate::attribution::orders::import::file::{FileFault, Item, rows};
use crate::attribution::orders::import::{Source, Taker, USUAL_ACCOUNT, is_account};
use crate::attribution::orders::intake::{Kept, LineQuery, QuarantineQuery, Registered, release_all};
use crate::attribution::touches::Subject;
use crate::control::fields::FieldFault;
use crate::control::guard::Caller;
use crate::control::keys::Role;
use crate::control::orders as view;
use crate::control::problem::ApiError;
use crate::domain::attribution::Network;
use crate::domain::attribution::order::{LineKey, OrderState};

/// Rows of a page unless the caller says otherwise, and at most.
const USUAL: usize = 100;
const MOST: usize = 500;
/// The longest text of a parameter, in bytes.
const LONGEST: usize = 255;

fn parsed<T>(known: Option<T>, names: Vec<&'static str>) -> Result<T, String> {
    known.ok_or_else(|| format!("this name is not known: use one of {}", names.join(", ")))
}

struct Asked {
    network: Network,
    account: Box<str>,
    scene: Option<u32>,
}

fn asked(raw: &str) -> Result<Asked, Vec<FieldFault>> {
    let mut asked = Asked { network: Network::Direct, account: USUAL_ACCOUNT.into(), scene: None };
    let Walked { faults, .. } = walk(raw, LONGEST, |name, value, fault| match name {
        "network" => match parsed(Network::parse(value), Network::names()) {
            Ok(network) => asked.network = network,
            Err(problem) => fault("unknown_name", problem),
        },
        "account" if is_account(value) => asked.account = value.into(),
        "account" => fault("out_of_range", "1 to 64 letters, digits and _ - . : belong here".to_owned()),
        "scene" => match value.parse() {
            Ok(scene) => asked.scene = Some(scene),
            Err(_) => fault("out_of_range", "must be 1, 2 or 3".to_owned()),
        },
        _ => fault("unknown_field", "not known: use network, account, scene".to_owned()),
    });
    if faults.is_empty() { Ok(asked) } else { Err(faults) }
}

pub(super) async fn report(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    RawQuery(raw): RawQuery,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let own = own_account(&caller)?;
    let mut asked = asked(raw.as_deref().unwrap_or_default())?;
    let body = bytes(request).await?;
    // All of it is read before anything is kept: a body that breaks off leaves nothing behind.
    let mut items = Vec::new();
    rows(asked.network, body.as_slice(), false, |item| {
        items.push(item);
        Ok(())
    })
    .map_err(|fault| match fault {
        FileFault::Json { line, column, what } => ApiError::BadJson { line, column, what },
        FileFault::NotJson | FileFault::Empty | FileFault::Head(_) | FileFault::Io(_) => {
            let what = "send one object, a list, or one object a line".to_owned();
            ApiError::BadJson { line: 1, column: 1, what }
        }
        FileFault::Envelope(error) => {
            ApiError::Invalid(vec![FieldFault::new("", "", "not_an_answer", error.to_string())])
        }
    })?;
    let mut foreign = HashMap::new();
    if let Some(account) = own {
        let shop = caller.scope.as_deref().unwrap_or_default();
        merchant::only_own(shop, asked.network, &mut items)?;
        foreign = merchant::foreign_clicks(&api.state, shop, &items).await?;
        asked.account = account;
    }
    let (store, now) = (&*api.state.orders, api.state.clock.now());
    let Asked { network, account, scene } = asked;
    let source = Source { network, account, scene, name: "api".to_owned(), dry: false };
    let mut taker = Taker::begin(store, source, now).await?;
    taker.remember();
    for (place, item) in items.into_iter().enumerate() {
        let full = match (item, foreign.remove(&place)) {
            (Item::Row(row), None) => taker.push(&row),
            (Item::Row(row), Some(fault)) => taker.push_faulty(&row, fault),
            (Item::Broken { raw, problem }, _) => taker.push_broken(raw, problem),
        };
        if full {
            taker.flush().await?;
        }
    }
    let (taken, each) = taker.finish(None).await?;
    let results = each.iter().map(|(row, kept)| {
        let line = match &row.read {
            Ok(line) => &line.key.line,
            Err(bad) => &bad.line,
        };
        let mut told = json!({
            "row": row.number, "result": kept.outcome(), "network": row.network, "account": row.account, "line": line
        });
        if let Kept::Quarantined { id, faults } = kept {
            told["quarantine"] = json!(id);
            told["reason"] = json!(faults.first().map(|fault| fault.reason));
            told["errors"] = faults.iter().map(view::fault).collect();
        }
        told
    });
    Ok(Json(json!({
        "batch": taken.batch,
        "rows": taken.rows,
        "added": taken.added,
        "unchanged": taken.unchanged,
        "quarantined": taken.set_aside(),
        "results": results.collect::<Vec<_>>(),
    })))
}

const LINES: [&str; 8] = ["network", "account", "state", "order", "from", "to", "cursor", "limit"];

fn lines_asked(raw: &str) -> Result<(LineQuery, usize), Vec<FieldFault>> {
    let (mut query, mut most) = (LineQuery::default(), USUAL);
    let Walked { faults, .. } = walk(raw, LONGEST, |name, value, fault| match name {
        "network" => match parsed(Network::parse(value), Network::names()) {
            Ok(network) => query.network = Some(network),
            Err(problem) => fault("unknown_name", problem),
        },
        "state" => match parsed(OrderState::parse(value), OrderState::names()) {
            Ok(state) => query.state = Some(state),
            Err(problem) => fault("unknown_name", problem),
        },
        "account" => query.account = Some(value.into()),
        "order" => query.order = Some(value.into()),
        "from" | "to" => match value.parse() {
            Ok(at) if name == "from" => query.from = Some(at),
            Ok(at) => query.to = Some(at),
            Err(error) => fault("not_a_time", format!("{error}")),
        },
        "cursor" => match value.parse() {
            Ok(number) => query.before = Some(number),
            Err(_) => fault("not_a_cursor", "must be what next_cursor of the last page said".to_owned()),
        },
        "limit" => match limit(value, MOST) {
            Ok(number) => most = number,
            Err(problem) => fault("out_of_range", problem),
        },
        _ => fault("unknown_field", format!("not known: use {}", LINES.join(", "))),
    });
    if faults.is_empty() { Ok((query, most)) } else { Err(faults) }
}

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    RawQuery(raw): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let (mut query, most) = lines_asked(raw.as_deref().unwrap_or_default())?;
    if let Some(own) = own_account(&caller)? {
        (query.network, query.account) = (Some(Network::Direct), Some(own));
    }
    let found = api.state.orders.lines(&query, most).await?;
    let next = found.last().filter(|_| found.len() == most).map(|(number, _)| number.to_string());
    let lines: Vec<Value> = found.iter().map(|(_, line)| view::line(line)).collect();
    Ok(Json(json!({ "orders": lines, "next_cursor": next })))
}

pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<(String, String)>, axum::extract::rejection::PathRejection>,
    RawQuery(raw): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let Path((network, line)) = path.map_err(|_| ApiError::NoSuchRoute)?;
    let network = Network::parse(&network).ok_or(ApiError::UnknownOrder)?;
    let mut account: Box<str> = USUAL_ACCOUNT.into();
    let Walked { faults, .. } = walk(raw.as_deref().unwrap_or_default(), LONGEST, |name, value, fault| match name {
        "account" => account = value.into(),
        _ => fault("unknown_field", "not known: use account".to_owned()),
    });
    if !faults.is_empty() {
        return Err(faults.into());
    }
    if let Some(own) = own_account(&caller)? {
        if network != Network::Direct {
            return Err(ApiError::UnknownOrder);
        }
        account = own;
    }
    let key = LineKey { network, account, line: line.into() };
    let events = api.state.orders.of_line(&key).await?;
    let now = events.last().ok_or(ApiError::UnknownOrder)?;
    let settler = &api.state.settler;
    let chain = chain_of_line(&*settler.ledger, &*settler.orders, &key, &settler.key).await?;
    let matched = chain.as_ref().and_then(|chain| chain.matched.as_ref());
    if caller.role == Role::Creator {
        // A creator sees what it is credited with, and of nothing else that it is there.
        let credited = matched.and_then(|matched| matched.creator.as_deref());
        if caller.scope.is_some() && credited != caller.scope.as_deref() {
            return Err(ApiError::UnknownOrder);
        }
    }
    let mut told = view::line(&now.line);
    told["match"] = json!(matched);
    told["earlier_matches"] = json!(chain.as_ref().map(|chain| &chain.earlier_matches));
    told["entries"] = json!(chain.as_ref().map(|chain| &chain.entries));
    told["events"] = events.iter().map(view::event).collect();
    Ok(Json(told))
}

const QUARANTINE: [&str; 5] = ["network", "reason", "mended", "cursor", "limit"];

pub(super) async fn quarantine(State(api): State<Arc<Api>>, RawQuery(raw): RawQuery) -> Result<Json<Value>, ApiError> {
    let (mut query, mut most) = (QuarantineQuery::default(), USUAL);
    let Walked { faults, .. } = walk(raw.as_deref().unwrap_or_default(), LONGEST, |name, value, fault| match name {
        "network" => match parsed(Network::parse(value), Network::names()) {
            Ok(network) => query.network = Some(network),
            Err(problem) => fault("unknown_name", problem),
        },
        "reason" => match parsed(Reason::parse(value), Reason::names()) {
            Ok(reason) => query.reason = Some(reason),
            Err(problem) => fault("unknown_name", problem),
        },
        "mended" => match value {
            "true" => query.mended = true,
            "false" => query.mended = false,
            _ => fault("wrong_type", "must be true or false".to_owned()),
        },
        "cursor" => match value.parse() {
            Ok(number) => query.before = Some(number),
            Err(_) => fault("not_a_cursor", "must be what next_cursor of the last page said".to_owned()),
        },
        "limit" => match limit(value, MOST) {
            Ok(number) => most = number,
            Err(problem) => fault("out_of_range", problem),
        },
        _ => fault("unknown_field", format!("not known: use {}", QUARANTINE.join(", "))),
    });
    if !faults.is_empty() {
        return Err(faults.into());
    }
    let store = &api.state.orders;
    let (found, counts) = (store.quarantined(&query, most).await?, store.counts().await?);
    let next = found.last().filter(|_| found.len() == most).map(|row| row.id.to_string());
    let open = counts.quarantined.iter().map(|(reason, count)| (reason.to_string(), json!(count)));
    let rows: Vec<Value> = found.iter().map(view::quarantined).collect();
    Ok(Json(json!({ "rows": rows, "open": open.collect::<serde_json::Map<_, _>>(), "next_cursor": next })))
}

pub(super) async fn positions(State(api): State<Arc<Api>>, RawQuery(raw): RawQuery) -> Result<Json<Value>, ApiError> {
    let mut network = None;
    let Walked { faults, .. } = walk(raw.as_deref().unwrap_or_default(), LONGEST, |name, value, fault| match name {
        "network" => match parsed(Network::parse(value), Network::names()) {
            Ok(known) => network = Some(known),
            Err(problem) => fault("unknown_name", problem),
        },
        _ => fault("unknown_field", "not known: use network".to_owned()),
    });
    if !faults.is_empty() {
        return Err(faults.into());
    }
    let found = api.state.orders.positions(network, usize::MAX).await?;
    Ok(Json(json!({ "positions": found.iter().map(view::position).collect::<Vec<_>>() })))
}

pub(super) async fn register(
    State(api): State<Arc<Api>>,
    RawQuery(raw): RawQuery,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let mut shared = false;
    let Walked { faults, .. } =
        walk(raw.as_deref().unwrap_or_default(), LONGEST, |name, value, fault| match (name, value) {
            ("shared", "true" | "false") => shared = value == "true",
            ("shared", _) => fault("wrong_type", "must be true or false".to_owned()),
            _ => fault("unknown_field", "not known: use shared".to_owned()),
        });
    if !faults.is_empty() {
        return Err(faults.into());
    }
    let listed = match &body {
        Value::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    let (mut positions, mut faults) = (Vec::new(), Vec::new());
    let at = |place: usize, fault: FieldFault| match body.is_array() {
        true => FieldFault { field: format!("[{place}].{}", fault.field), ..fault },
        false => fault,
    };
    for (place, value) in listed.iter().enumerate() {
        match view::read_position(value) {
            Ok(position) => positions.push(position),
            Err(more) => faults.extend(more.into_iter().map(|fault| at(place, fault))),
        }
    }
    if !faults.is_empty() {
        return Err(faults.into());
    }
    let store = &*api.state.orders;
    let new = match store.register(positions.clone(), shared).await? {
        Registered::New { new, .. } => new,
        Registered::Taken(taken) => {
            let fault = |(place, other): (usize, Subject)| {
                let position = &positions[place];
                let problem = format!(
                    "{} has it already: DELETE /v1/orders/positions/{}/{} takes it back; with `?shared=true` both have it, \
                     and the last click of either counts",
                    view::whose(&other),
                    position.network,
                    position.position
                );
                at(place, FieldFault::new("position", &position.position, "taken", problem))
            };
            return Err(taken.into_iter().map(fault).collect::<Vec<_>>().into());
        }
    };
    let read_again = release_all(store, api.state.clock.now()).await?;
    Ok((StatusCode::CREATED, Json(json!({ "registered": new, "read_again": read_again }))))
}

pub(super) async fn unregister(
    State(api): State<Arc<Api>>,
    path: Result<Path<(String, String)>, axum::extract::rejection::PathRejection>,
) -> Result<StatusCode, ApiError> {
    let Path((network, position)) = path.map_err(|_| ApiError::NoSuchRoute)?;
    let network = Network::parse(&network).ok_or(ApiError::UnknownPosition)?;
    match api.state.orders.unregister(network, &position).await? {
        0 => Err(ApiError::UnknownPosition),
        _ => Ok(StatusCode::NO_CONTENT),
    }
}
