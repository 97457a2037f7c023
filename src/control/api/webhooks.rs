//! `GET /v1/webhooks/deliveries`: what was told to whom, and what could not be.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Json;
use serde_json::{Value, json};

use super::Api;
use super::query::{Walked, limit, walk};
use crate::control::fields::FieldFault;
use crate::control::problem::ApiError;
use crate::notify::outbox::{DeliveryQuery, DeliveryState};

/// Deliveries of a page unless the caller says otherwise, and at most.
const USUAL: usize = 100;
const MOST: usize = 500;

/// Reads which deliveries are asked for; `who` is what receivers are called: `webhook`, `postback`.
pub(super) fn read(raw: &str, who: &str) -> Result<(DeliveryQuery, usize), Vec<FieldFault>> {
    let (mut query, mut asked) = (DeliveryQuery::default(), USUAL);
    let Walked { faults, .. } = walk(raw, usize::MAX, |name, value, fault| match name {
        name if name == who => query.webhook = Some(value.to_owned()),
        "state" => match DeliveryState::parse(value) {
            Some(state) => query.state = Some(state),
            None => {
                let known = DeliveryState::names().join(", ");
                fault("unknown_name", format!("this name is not known: use one of {known}"));
            }
        },
        "cursor" => match value.parse() {
            Ok(number) => query.before = Some(number),
            Err(_) => fault("not_a_cursor", "must be what next_cursor of the last page said".to_owned()),
        },
        "limit" => match limit(value, MOST) {
            Ok(number) => asked = number,
            Err(problem) => fault("out_of_range", problem),
        },
        _ => fault("unknown_field", format!("not known: use {who}, state, cursor, limit")),
    });
    if faults.is_empty() { Ok((query, asked)) } else { Err(faults) }
}

pub(super) async fn deliveries(State(api): State<Arc<Api>>, RawQuery(raw): RawQuery) -> Result<Json<Value>, ApiError> {
    let (query, limit) = read(raw.as_deref().unwrap_or_default(), "webhook")?;
    let found = api.state.outbox.list(&query, limit).await?;
    let next = found.last().filter(|_| found.len() == limit).map(|last| last.number.to_string());
    Ok(Json(json!({ "deliveries": found, "next_cursor": next })))
}
