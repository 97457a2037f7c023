//! `GET /v1/postbacks`: which platform was told of which order, and what could not be told.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Json;
use serde_json::{Value, json};

use super::Api;
use super::webhooks::read;
use crate::control::problem::ApiError;
use crate::notify::outbox::Delivery;

/// A delivery with the order and click it is about.
pub(crate) fn shown(delivery: &Delivery) -> Value {
    let body: Value = serde_json::from_str(&delivery.body).unwrap_or_default();
    let told = |name: &str| body["data"].get(name).cloned().unwrap_or_default();
    json!({
        "event": delivery.event,
        "type": delivery.kind,
        "at": body["at"],
        "postback": delivery.webhook,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "network": told("network"),
        "account": told("account"),
        "line": told("line"),
        "order": told("order"),
        "click": told("click"),
        "created_at": delivery.created_at,
        "next_at": delivery.next_at,
        "last_at": delivery.last_at,
        "last_status": delivery.last_status,
        "last_error": delivery.last_error,
    })
}

pub(super) async fn postbacks(State(api): State<Arc<Api>>, RawQuery(raw): RawQuery) -> Result<Json<Value>, ApiError> {
    let (query, limit) = read(raw.as_deref().unwrap_or_default(), "postback")?;
    let found = api.state.postbacks.list(&query, limit).await?;
    let next = found.last().filter(|_| found.len() == limit).map(|last| last.number.to_string());
    let found: Vec<Value> = found.iter().map(shown).collect();
    Ok(Json(json!({ "postbacks": found, "next_cursor": next })))
}
