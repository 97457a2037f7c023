//! Backtests over the API: asked for, watched, taken back.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use serde_json::Value;

use super::Api;
use super::body::{JsonBody, Named};
use crate::audit::Period;
use crate::audit::backtest::{MOST_SAMPLES, USUAL_SAMPLES};
use crate::audit::shift::Shift;
use crate::control::backtests::{JobView, NotBegun, Order};
use crate::control::candidate::candidate;
use crate::control::fields::{FieldFault, Fields};
use crate::control::guard::Caller;
use crate::control::keys::Role;
use crate::control::problem::ApiError;
use crate::domain::time::Timestamp;

/// The fields of a request.
pub(super) const FIELDS: [&str; 9] =
    ["version", "agreements", "defaults", "from", "to", "shift", "samples", "seed", "include_machines"];

/// The platform a caller alone speaks for.
fn platform_of(caller: &Caller) -> Option<&str> {
    if caller.role == Role::Platform { caller.scope.as_deref() } else { None }
}

pub(super) async fn begin(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    let mut fields = Fields::new(&body, &FIELDS);
    let mut asked = Vec::new();
    let texts = ["from", "to", "shift"].map(|field| fields.text(field).map(|text| (field, text)));
    let [from, to, shift] = texts;
    let from = parsed::<Timestamp>(from, &mut asked);
    let to = parsed::<Timestamp>(to, &mut asked);
    let shift = parsed::<Shift>(shift, &mut asked);
    let samples = number(&body, "samples", MOST_SAMPLES as u64, &mut asked).unwrap_or(USUAL_SAMPLES as u64);
    let seed = number(&body, "seed", u64::MAX, &mut asked).unwrap_or(1);
    let include_machines = match body.get("include_machines") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(include)) => *include,
        Some(other) => {
            let problem = "must be true or false";
            asked.push(FieldFault::new("include_machines", &other.to_string(), "wrong_type", problem));
            false
        }
    };
    let period = Period { from: from.unwrap_or(Timestamp::MIN), to: to.unwrap_or(Timestamp::MAX) };
    if period.to <= period.from {
        let problem = format!("is not after `from` {}", period.from);
        asked.push(FieldFault::new("to", &period.to.to_string(), "out_of_order", problem));
    }
    let mut faults = std::mem::take(&mut fields.faults);
    faults.append(&mut asked);
    // The candidate's faults come in the same answer.
    let candidate = match candidate(&body, &api.state.words, &*api.state.policy_store).await {
        Ok(candidate) if faults.is_empty() => candidate,
        Ok(_) => return Err(faults.into()),
        Err(ApiError::Invalid(more)) => {
            faults.extend(more);
            return Err(faults.into());
        }
        Err(error) => return Err(error),
    };
    let order = Order {
        candidate,
        period,
        shift,
        platform: platform_of(&caller).map(str::to_owned),
        include_machines,
        samples: samples as usize,
        seed,
    };
    let job = api.backtests.begin(order).map_err(|fault| match fault {
        NotBegun::Running(id) => ApiError::BacktestRunning(id),
        NotBegun::NoThread(error) => ApiError::Internal(format!("backtest: {error}")),
    })?;
    let location = format!("/v1/policies/backtests/{}", job.id);
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(job)).into_response())
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    text: Option<(&str, String)>,
    faults: &mut Vec<FieldFault>,
) -> Option<T> {
    let (field, text) = text?;
    match text.parse() {
        Ok(value) => Some(value),
        Err(problem) => {
            faults.push(FieldFault::new(field, &text, "not_readable", problem.to_string()));
            None
        }
    }
}

fn number(body: &Value, field: &str, most: u64, faults: &mut Vec<FieldFault>) -> Option<u64> {
    let value = body.get(field).filter(|value| !value.is_null())?;
    let number = value.as_u64().filter(|number| *number <= most);
    if number.is_none() {
        let problem = format!("must be a whole number from 0 to {most}");
        faults.push(FieldFault::new(field, &value.to_string(), "out_of_range", problem));
    }
    number
}

pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Named(id): Named,
) -> Result<Json<JobView>, ApiError> {
    api.backtests.get(&id, platform_of(&caller)).map(Json).ok_or(ApiError::UnknownBacktest)
}

pub(super) async fn remove(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Named(id): Named,
) -> Result<StatusCode, ApiError> {
    let found = api.backtests.remove(&id, platform_of(&caller));
    if found { Ok(StatusCode::NO_CONTENT) } else { Err(ApiError::UnknownBacktest) }
}
