//! The candidate beside the live policy, over the API: set, looked at, taken away.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Json;
use serde_json::{Value, json};

use super::Api;
use super::body::JsonBody;
use crate::click::shadow::{Kept, Shadow};
use crate::control::candidate::candidate;
use crate::control::fields::{FieldFault, Fields};
use crate::control::problem::ApiError;
use crate::domain::time::Timestamp;
use crate::journal::export;

/// The fields of a request.
pub(super) const FIELDS: [&str; 5] = ["version", "agreements", "defaults", "share", "until"];

pub(super) async fn set(
    State(api): State<Arc<Api>>,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let now = api.state.clock.now();
    let mut fields = Fields::new(&body, &FIELDS);
    let until = fields.text("until");
    let mut faults = std::mem::take(&mut fields.faults);
    let until = until.and_then(|text| {
        let problem = match text.parse::<Timestamp>() {
            Ok(until) if until > now => return Some(until),
            Ok(_) => format!("is over: it is {now} now"),
            Err(problem) => problem.to_string(),
        };
        faults.push(FieldFault::new("until", &text, "not_usable", problem));
        None
    });
    let share = body.get("share").and_then(Value::as_f64).filter(|share| *share > 0.0 && *share <= 1.0);
    if share.is_none() {
        let given = body.get("share").map(Value::to_string).unwrap_or_default();
        let problem = "say which share of clicks: a number over 0 and at most 1";
        faults.push(FieldFault::new("share", &given, "out_of_range", problem));
    }
    let candidate = match candidate(&body, &api.state.words, &*api.state.policy_store).await {
        Ok(candidate) => Some(candidate),
        Err(ApiError::Invalid(more)) => {
            faults.extend(more);
            None
        }
        Err(error) => return Err(error),
    };
    let (Some(candidate), Some(share), true) = (candidate, share, faults.is_empty()) else {
        return Err(faults.into());
    };
    // Ids are the gateway's: a platform or marketplace that only the candidate knows has no clicks here.
    let shadow = api.state.shadow.set(Shadow::new(candidate.policy, share, now, until));
    tracing::info!(version = %shadow.policy().version(), share, "a candidate is evaluated beside the live policy");
    Ok((StatusCode::CREATED, Json(view(&api, &shadow))))
}

pub(super) async fn show(State(api): State<Arc<Api>>) -> Result<Json<Value>, ApiError> {
    let shadow = api.state.shadow.current().ok_or(ApiError::NoShadow)?;
    Ok(Json(view(&api, &shadow)))
}

pub(super) async fn clear(State(api): State<Arc<Api>>) -> Result<StatusCode, ApiError> {
    api.state.shadow.clear().map(|_| StatusCode::NO_CONTENT).ok_or(ApiError::NoShadow)
}

fn view(api: &Api, shadow: &Shadow) -> Value {
    let figures = shadow.figures();
    let state = &api.state;
    let live = state.policies.current();
    json!({
        "candidate": shadow.policy().version().to_string(),
        "agreements": shadow.policy().agreements().len(),
        "live": live.version().to_string(),
        "share": shadow.share(),
        "since": shadow.since(),
        "until": (shadow.until() != Timestamp::MAX).then(|| shadow.until()),
        "over": state.clock.now() >= shadow.until(),
        "clicks": figures.allow_allow + figures.allow_deny + figures.deny_allow + figures.deny_deny,
        "allow_allow": figures.allow_allow,
        "allow_deny": figures.allow_deny,
        "deny_allow": figures.deny_allow,
        "deny_deny": figures.deny_deny,
        "moved": figures.moved,
        "last": figures.last.iter().filter_map(|kept| sample(api, kept)).collect::<Vec<_>>(),
    })
}

/// A differing click as an export writes it, with what the candidate decides.
fn sample(api: &Api, kept: &Kept) -> Option<Value> {
    let hop = kept.hop().ok()?;
    let text = api.state.click_key.text(hop.id);
    let mut row = export::row_json(0, &hop, &String::from_utf8_lossy(&text)).ok()?;
    let fields = row.as_object_mut()?;
    // It has no number before it is written.
    fields.remove("seq");
    let (reason, agreement, alternate) = kept.candidate();
    let allows =
        matches!(reason, crate::domain::policy::Reason::Allowed | crate::domain::policy::Reason::AllowedByDefault);
    fields.insert(
        "candidate".to_owned(),
        json!({
            "outcome": if allows { "allow" } else { "deny" },
            "reason": reason,
            "agreement": (!agreement.is_empty()).then_some(agreement),
            "alternate": allows.then_some(alternate),
        }),
    );
    Some(row)
}
