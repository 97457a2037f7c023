//! `POST /v1/events`: front and back events, as one object, an array, NDJSON or CSV. Each row has its own result; a bad one
//! holds up no other.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{RawQuery, Request, State};
use axum::http::header;
use axum::response::Json;
use serde_json::{Value, json};

use super::Api;
use super::body::bytes;
use super::query::{Walked, limit, walk};
use crate::attribution::events::read::Reader;
use crate::attribution::events::{Kept, Row};
use crate::control::fields::FieldFault;
use crate::control::guard::Caller;
use crate::control::problem::ApiError;

/// Rows of a page unless the caller says otherwise, and at most.
const USUAL: usize = 100;
const MOST: usize = 500;

pub(super) async fn tell(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let state = &api.state;
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_csv = kind.starts_with("text/csv");
    let body = bytes(request).await?;
    let now = state.clock.now();
    let rows = caller.reads_events(&state.words, &state.click_key, now, |reader| match is_csv {
        true => records(&reader, &body),
        false => values(&reader, &body),
    })?;
    let ids: Vec<Box<str>> = rows.iter().map(|row| row.id.clone()).collect();
    let told = state.events.keep(rows, now).await?;
    let count = |wanted: Kept| told.iter().filter(|(kept, _)| *kept == wanted).count();
    for kept in Kept::ALL {
        state.event_tally.note(*kept, count(*kept) as u64);
    }
    let results: Vec<Value> = ids
        .iter()
        .zip(&told)
        .enumerate()
        .map(|(place, (id, (kept, faults)))| match faults.as_slice() {
            [] => json!({ "row": place + 1, "id": id, "result": kept }),
            faults => json!({ "row": place + 1, "id": id, "result": kept, "faults": faults }),
        })
        .collect();
    Ok(Json(json!({
        "kept": count(Kept::Kept),
        "known": count(Kept::Known),
        "quarantined": count(Kept::Quarantined),
        "results": results,
    })))
}

/// One object, an array, or an object a line.
fn values(reader: &Reader<'_>, body: &[u8]) -> Result<Vec<Row>, ApiError> {
    match serde_json::from_slice(body) {
        Ok(Value::Array(values)) => Ok(values.iter().map(|value| reader.value(value)).collect()),
        Ok(value) => Ok(vec![reader.value(&value)]),
        Err(error) => {
            let text = std::str::from_utf8(body).unwrap_or_default();
            let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
            // An array that breaks off is one body with a fault, not many rows with one each.
            if text.trim_start().starts_with('{') && lines().nth(1).is_some() {
                return Ok(lines().map(|line| reader.line(line)).collect());
            }
            let (line, column) = (error.line(), error.column());
            let what = error.to_string();
            let what = what.split(" at line ").next().unwrap_or_default().to_owned();
            Err(ApiError::BadJson { line, column, what })
        }
    }
}

fn records(reader: &Reader<'_>, body: &[u8]) -> Result<Vec<Row>, ApiError> {
    let mut table = csv::ReaderBuilder::new().flexible(true).from_reader(body);
    let broken = |error: csv::Error| ApiError::from(vec![FieldFault::new("", "", "not_csv", error.to_string())]);
    let names = table.headers().map_err(broken)?.clone();
    table.records().map(|record| Ok(reader.record(&names, &record.map_err(broken)?))).collect()
}

pub(super) async fn quarantine(State(api): State<Arc<Api>>, RawQuery(raw): RawQuery) -> Result<Json<Value>, ApiError> {
    let (mut all, mut before, mut most) = (false, None, USUAL);
    let Walked { faults, .. } = walk(raw.as_deref().unwrap_or_default(), 64, |name, value, fault| match name {
        "all" => match value {
            "true" => all = true,
            "false" => all = false,
            _ => fault("not_a_flag", "must be true or false".to_owned()),
        },
        "cursor" => match value.parse() {
            Ok(number) => before = Some(number),
            Err(_) => fault("not_a_cursor", "must be what next_cursor of the last page said".to_owned()),
        },
        "limit" => match limit(value, MOST) {
            Ok(number) => most = number,
            Err(problem) => fault("out_of_range", problem),
        },
        _ => fault("unknown_field", "not known: use all, cursor, limit".to_owned()),
    });
    if !faults.is_empty() {
        return Err(faults.into());
    }
    let rows = api.state.events.quarantined(before, most, all).await?;
    let next = rows.last().filter(|_| rows.len() == most).map(|last| last.number.to_string());
    Ok(Json(json!({ "rows": rows, "next_cursor": next })))
}
