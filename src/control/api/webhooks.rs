//! `GET /v1/webhooks/deliveries`: what was told to whom, and what could not be.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Json;
use serde_json::{Value, json};

use super::Api;
use crate::control::fields::FieldFault;
use crate::control::problem::ApiError;
use crate::notify::outbox::{DeliveryQuery, DeliveryState};

/// Deliveries of a page unless the caller says otherwise, and at most.
const USUAL: usize = 100;
const MOST: usize = 500;

const KNOWN: [&str; 4] = ["webhook", "state", "cursor", "limit"];

fn read(raw: &str) -> Result<(DeliveryQuery, usize), Vec<FieldFault>> {
    let (mut query, mut limit) = (DeliveryQuery::default(), USUAL);
    let (mut faults, mut given) = (Vec::new(), Vec::<String>::new());
    for (name, value) in url::form_urlencoded::parse(raw.as_bytes()) {
        let mut fault = |code, problem: String| {
            let field: String = name.chars().take(80).collect();
            faults.push(FieldFault::new(field, &value, code, problem));
        };
        if given.iter().any(|seen| **seen == *name) {
            fault("repeated", "is given twice: give it once".to_owned());
            continue;
        }
        given.push(name.clone().into_owned());
        match &*name {
            "webhook" => query.webhook = Some(value.clone().into_owned()),
            "state" => match DeliveryState::parse(&value) {
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
            "limit" => match value.parse::<usize>() {
                Ok(number) if (1..=MOST).contains(&number) => limit = number,
                _ => fault("out_of_range", format!("must be a whole number from 1 to {MOST}")),
            },
            _ => fault("unknown_field", format!("not known: use {}", KNOWN.join(", "))),
        }
    }
    if faults.is_empty() { Ok((query, limit)) } else { Err(faults) }
}

pub(super) async fn deliveries(State(api): State<Arc<Api>>, RawQuery(raw): RawQuery) -> Result<Json<Value>, ApiError> {
    let (query, limit) = read(raw.as_deref().unwrap_or_default())?;
    let found = api.state.outbox.list(&query, limit).await?;
    let next = found.last().filter(|_| found.len() == limit).map(|last| last.number.to_string());
    Ok(Json(json!({ "deliveries": found, "next_cursor": next })))
}
