//! `/v1/ledger/…`: periods, and the end of one.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Json;
use serde_json::{Value, json};

use super::Api;
use super::body::Named;
use crate::attribution::ledger::Closed;
use crate::attribution::ledger::close::close as close_month;
use crate::control::fields::FieldFault;
use crate::control::guard::Caller;
use crate::control::problem::ApiError;
use crate::domain::attribution::period::Month;

pub(super) async fn periods(State(api): State<Arc<Api>>) -> Result<Json<Value>, ApiError> {
    let ledger = &api.state.settler.ledger;
    let (marks, closed, balances) = (ledger.marks().await?, ledger.closed().await?, ledger.balances(None).await?);
    let mut months: Vec<Month> = balances.iter().map(|balance| balance.period).collect();
    months.extend(closed.iter().map(|closed| closed.period));
    months.sort_unstable();
    months.dedup();
    let periods = months.iter().map(|month| {
        let done = closed.iter().find(|closed| closed.period == *month);
        let of: Vec<_> = balances.iter().filter(|balance| balance.period == *month).collect();
        json!({
            "period": month,
            "closed_at": done.map(|done| done.closed_at),
            "closed_by": done.map(|done| &done.closed_by),
            "balances": of,
        })
    });
    Ok(Json(json!({ "settled_reports": marks.events, "periods": periods.collect::<Vec<_>>() })))
}

pub(super) async fn close(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Named(text): Named,
) -> Result<Json<Closed>, ApiError> {
    let month: Month = text.parse().map_err(|error: crate::domain::attribution::period::BadMonth| {
        vec![FieldFault::new("month", &text, "not_a_month", error.to_string())]
    })?;
    let state = &api.state;
    Ok(Json(close_month(&state.settler, month, &caller.by, state.clock.now()).await?))
}
