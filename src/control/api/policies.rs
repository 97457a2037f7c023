//! Policies over HTTP: what is in force, every version, publishing, and the kill switch. Never decides a click, and never
//! shows a platform's key another platform's part; notes and authors speak of all platforms, so it is not shown those.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use serde_json::{Value, json};

use super::Api;
use super::body::{JsonBody, Named};
use super::query;
use crate::control::fields::FieldFault;
use crate::control::guard::Caller;
use crate::control::kill::KillDraft;
use crate::control::policy::PolicyDraft;
use crate::control::problem::ApiError;
use crate::domain::time::Timestamp;
use crate::policies::canonical;
use crate::policies::diff::Diff;
use crate::policies::publish::{Prepared, PublishError, Request};
use crate::policies::store::{Cursor, StoreError, Switch, VersionInfo};

/// Versions of a page unless the caller says otherwise, and at most.
const USUAL: usize = 50;
const MOST: usize = 500;

/// The policy in force.
pub(super) async fn show(State(api): State<Arc<Api>>, Extension(caller): Extension<Caller>) -> Response {
    let state = &api.state;
    let policy = state.policies.current();
    let version = policy.version();
    // Read after the set: where a switch comes in between, the two do not fit and the set's own story is left out.
    let switch = state.publisher.in_force().filter(|switch| switch.version == version.to_string());
    let switch = switch.map(|switch| told(switch, &caller));
    let agreements: Vec<Value> = policy
        .agreements()
        .iter()
        .filter(|agreement| caller.may_read_agreements(agreement.platform, &state.words))
        .map(|agreement| canonical::describe(agreement, &state.words))
        .collect();
    let mut rest = canonical::value(&[], policy.defaults(), policy.kills(), &state.words);
    narrow(&mut rest, &caller);
    let body = json!({
        "version": version.to_string(),
        "hash": version.full(),
        "epoch": state.policies.epoch(),
        "loaded_at": state.policies.loaded_at(),
        "switch": switch,
        "agreements": agreements,
        "defaults": rest["defaults"],
        "kills": rest.get("kills").cloned().unwrap_or_else(|| json!([])),
    });
    tagged(StatusCode::OK, &body, &version.to_string())
}

/// Publishes: a whole policy, or a kept version.
pub(super) async fn publish(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    let state = &api.state;
    let if_match = if_match(&headers)?;
    let draft = PolicyDraft::read(&body, &state.words).map_err(ApiError::BadPolicy)?;
    if draft.note.trim().is_empty() {
        let problem = "say what this is for: it is kept with the version";
        return Err(ApiError::BadPolicy(vec![FieldFault::new("note", &draft.note, "missing", problem)]));
    }
    let at = state.clock.now();
    let prepared = state.publisher.prepare(draft.proposal, at).await?;
    let mut answer = described(&prepared);
    let version = prepared.candidate.policy.version().to_string();
    let request = Request { by: caller.by, note: draft.note, if_match, allow_findings: draft.allow_findings, at };
    let published = state.publisher.publish(prepared, request).await?;
    answer["switched"] = json!(published.switched);
    answer["previous"] = json!(published.previous);
    answer["switch"] = json!(published.switch);
    Ok(tagged(StatusCode::OK, &answer, &version))
}

/// Says what publishing would do. Changes nothing.
pub(super) async fn check(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, ApiError> {
    let state = &api.state;
    let draft = PolicyDraft::read(&body, &state.words).map_err(ApiError::BadPolicy)?;
    let prepared = state.publisher.prepare(draft.proposal, state.clock.now()).await?;
    let mut answer = described(&prepared);
    if caller.part_of_policies().is_some() {
        let mut sides = [Value::Null, serde_json::from_str(&prepared.candidate.canonical).unwrap_or_default()];
        if prepared.current.is_some() {
            let policy = state.policies.current();
            sides[0] = serde_json::from_str(&canonical::of(&policy, &state.words)).unwrap_or_default();
        }
        sides.iter_mut().for_each(|side| narrow(side, &caller));
        answer["diff"] = json!(Diff::between(&sides[0], &sides[1]).named(prepared.diff.from, prepared.diff.to));
        let agreements = prepared.candidate.policy.agreements().iter();
        let own: HashSet<&str> = agreements
            .filter(|agreement| caller.may_read_agreements(agreement.platform, &state.words))
            .map(|agreement| &*agreement.id)
            .collect();
        // What names no agreement and is not about the whole counts what was found on every platform.
        let shown = prepared.findings.iter().filter(|finding| match &finding.agreements[..] {
            [] => finding.kind == "closes_everything",
            named => named.iter().all(|id| own.contains(&**id)),
        });
        answer["findings"] = json!(shown.collect::<Vec<_>>());
    }
    Ok(Json(answer))
}

/// What is known of a proposal before it is published.
fn described(prepared: &Prepared) -> Value {
    let version = prepared.candidate.policy.version();
    json!({
        "version": version.to_string(),
        "hash": version.full(),
        "diff": prepared.diff,
        "findings": prepared.findings,
    })
}

/// Every version, the last kept first.
pub(super) async fn versions(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    RawQuery(raw): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let (after, limit) = page(raw.as_deref().unwrap_or_default())?;
    let store = api.state.publisher.store();
    // One more tells whether there is another page.
    let mut found = store.list(after, limit + 1).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|last| format!("{}.{}", last.created_at.micros(), last.version));
    let in_force = store.in_force().await?.map(|switch| switch.version);
    let versions: Vec<Value> = found.iter().map(|info| info_json(info, in_force.as_deref(), &caller)).collect();
    Ok(Json(json!({ "versions": versions, "next_cursor": next })))
}

/// One version, whole.
pub(super) async fn version(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Named(name): Named,
) -> Result<Json<Value>, ApiError> {
    let store = api.state.publisher.store();
    let stored = store.get(&name).await?.ok_or(StoreError::Unknown(name))?;
    let in_force = store.in_force().await?.map(|switch| switch.version);
    let mut answer = info_json(&stored.info, in_force.as_deref(), &caller);
    let mut policy = text(&stored.canonical)?;
    narrow(&mut policy, &caller);
    for key in ["agreements", "defaults", "kills"] {
        answer[key] = policy.get(key).cloned().unwrap_or_else(|| json!([]));
    }
    let run = stored.backtest.as_deref().and_then(|sum| serde_json::from_str::<Value>(sum).ok());
    // A run counts hops of every platform.
    answer["backtest"] = if caller.part_of_policies().is_none() { json!(run) } else { Value::Null };
    Ok(Json(answer))
}

/// Which version came into force when, in that order: those after a number, or the last ones.
pub(super) async fn switches(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    RawQuery(raw): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let (since, limit) = stretch(raw.as_deref().unwrap_or_default())?;
    let store = api.state.publisher.store();
    let last = store.in_force().await?.map_or(0, |last| last.number);
    // None is left out in their numbers.
    let since = since.unwrap_or(last.saturating_sub_unsigned(limit as u64).max(0));
    let found = store.switches_since(since, limit).await?;
    let last = found.last().map_or(last, |newest| newest.number.max(last));
    let switches: Vec<Switch> = found.into_iter().map(|switch| told(switch, &caller)).collect();
    Ok(Json(json!({ "switches": switches, "last": last })))
}

/// What differs between two versions; what is left out is the one in force.
pub(super) async fn diff(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    RawQuery(raw): RawQuery,
) -> Result<Json<Diff>, ApiError> {
    let mut names = [None, None];
    let mut faults = Vec::new();
    for (name, value) in url::form_urlencoded::parse(raw.as_deref().unwrap_or_default().as_bytes()) {
        let slot = match &*name {
            "from" => &mut names[0],
            "to" => &mut names[1],
            _ => {
                faults.push(FieldFault::new(name, &value, "unknown_field", "not known: use from, to"));
                continue;
            }
        };
        if slot.replace(value.to_string()).is_some() {
            faults.push(FieldFault::new(name, &value, "repeated", "is given twice: give it once"));
        }
    }
    if !faults.is_empty() {
        return Err(faults.into());
    }
    let store = api.state.publisher.store();
    let mut sides = Vec::new();
    for name in names {
        let name = match name {
            Some(name) => name,
            None => store.in_force().await?.ok_or(PublishError::NothingInForce)?.version,
        };
        let stored = store.get(&name).await?.ok_or(StoreError::Unknown(name))?;
        let mut policy = text(&stored.canonical)?;
        narrow(&mut policy, &caller);
        sides.push((stored.version, policy));
    }
    let difference = Diff::between(&sides[0].1, &sides[1].1);
    Ok(Json(difference.named(Some(sides[0].0.clone()), Some(sides[1].0.clone()))))
}

/// What is switched off.
pub(super) async fn kills(State(api): State<Arc<Api>>, Extension(caller): Extension<Caller>) -> Json<Value> {
    let state = &api.state;
    let (policy, now) = (state.policies.current(), state.clock.now());
    let live: Vec<_> = policy.kills().iter().filter(|kill| kill.until > now).cloned().collect();
    let mut body = canonical::value(&[], &[], &live, &state.words);
    narrow(&mut body, &caller);
    let kills = body.get("kills").cloned().unwrap_or_else(|| json!([]));
    Json(json!({ "version": policy.version().to_string(), "kills": kills }))
}

/// Switches something off, at once.
pub(super) async fn kill(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    let state = &api.state;
    let now = state.clock.now();
    let kill = KillDraft::read(&body).check(&caller.by, &state.words, now)?;
    let switch = state.publisher.kill(&kill, now).await?;
    let body = json!({ "kill": canonical::describe_kill(&kill, &state.words), "switch": switch });
    let mut response = tagged(StatusCode::CREATED, &body, &switch.version);
    if let Ok(location) = HeaderValue::try_from(format!("/v1/policies/kills/{}", kill.id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Lifts a kill before its end.
pub(super) async fn lift(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Named(id): Named,
) -> Result<Response, ApiError> {
    let state = &api.state;
    let switch = state.publisher.lift(&id, &caller.by, state.clock.now()).await?;
    let body = json!({ "switch": switch });
    Ok(tagged(StatusCode::OK, &body, &switch.version))
}

fn text(canonical: &str) -> Result<Value, ApiError> {
    serde_json::from_str(canonical).map_err(|error| ApiError::Internal(format!("a kept policy is not JSON: {error}")))
}

/// A switch as the caller may see it.
fn told(mut switch: Switch, caller: &Caller) -> Switch {
    if caller.part_of_policies().is_some() {
        switch.by.clear();
        switch.note.clear();
    }
    switch
}

fn info_json(info: &VersionInfo, in_force: Option<&str>, caller: &Caller) -> Value {
    let of_all = |text: &str| if caller.part_of_policies().is_some() { String::new() } else { text.to_owned() };
    json!({
        "version": info.version,
        "hash": info.hash,
        "author": of_all(&info.author),
        "note": of_all(&info.note),
        "created_at": info.created_at,
        "agreement_count": info.agreements,
        "since": info.since,
        "backtested_at": info.backtested_at,
        "in_force": in_force == Some(info.version.as_str()),
    })
}

/// Leaves of a policy what the caller may see. A kill that names no platform concerns every platform.
fn narrow(policy: &mut Value, caller: &Caller) {
    let Some(own) = caller.part_of_policies() else { return };
    for (key, of_all) in [("agreements", false), ("defaults", false), ("kills", true)] {
        if let Some(entries) = policy.get_mut(key).and_then(Value::as_array_mut) {
            entries.retain(|entry| entry["platform"].as_str().map_or(of_all, |platform| platform == own));
        }
    }
}

fn tagged(status: StatusCode, body: &Value, version: &str) -> Response {
    let mut response = (status, Json(body)).into_response();
    if let Ok(tag) = HeaderValue::try_from(format!("\"{version}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// The version a publish is meant to replace; none for `*`, which is whatever is in force. Not saying it is refused:
/// whoever publishes over another's change must have meant to.
fn if_match(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Err(ApiError::NoIfMatch) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let version = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    match version.map(crate::policies::store::prefix) {
        Some(Ok(version)) => Ok(Some(version)),
        _ => {
            let problem = "must be one version in double quotes, as ETag gives it: \"6a7f3c0912de4b85\"";
            Err(vec![FieldFault::new("If-Match", text, "not_a_version", problem)].into())
        }
    }
}

fn page(raw: &str) -> Result<(Option<Cursor>, usize), Vec<FieldFault>> {
    let (mut after, mut limit, mut faults) = (None, USUAL, Vec::new());
    for (name, value) in url::form_urlencoded::parse(raw.as_bytes()) {
        match &*name {
            "cursor" => match cursor(&value) {
                Some(cursor) => after = Some(cursor),
                None => {
                    let problem = "is no cursor: send next_cursor of the page before, or leave it out";
                    faults.push(FieldFault::new("cursor", &value, "not_a_cursor", problem));
                }
            },
            "limit" => match query::limit(&value, MOST) {
                Ok(number) => limit = number,
                Err(problem) => faults.push(FieldFault::new("limit", &value, "out_of_range", problem)),
            },
            _ => faults.push(FieldFault::new(name, &value, "unknown_field", "not known: use cursor, limit")),
        }
    }
    if faults.is_empty() { Ok((after, limit)) } else { Err(faults) }
}

fn stretch(raw: &str) -> Result<(Option<i64>, usize), Vec<FieldFault>> {
    let (mut since, mut limit, mut faults) = (None, USUAL, Vec::new());
    for (name, value) in url::form_urlencoded::parse(raw.as_bytes()) {
        match &*name {
            "since" => match value.parse::<i64>() {
                Ok(number) if number >= 0 => since = Some(number),
                _ => {
                    let problem = "must be the number of a switch, or 0 for all from the first on";
                    faults.push(FieldFault::new("since", &value, "out_of_range", problem));
                }
            },
            "limit" => match query::limit(&value, MOST) {
                Ok(number) => limit = number,
                Err(problem) => faults.push(FieldFault::new("limit", &value, "out_of_range", problem)),
            },
            _ => faults.push(FieldFault::new(name, &value, "unknown_field", "not known: use since, limit")),
        }
    }
    if faults.is_empty() { Ok((since, limit)) } else { Err(faults) }
}

fn cursor(text: &str) -> Option<Cursor> {
    let (micros, version) = text.split_once('.')?;
    let sound = version.len() == 16 && version.bytes().all(|byte| byte.is_ascii_hexdigit());
    let created_at = Timestamp::from_micros(micros.parse().ok()?);
    sound.then(|| Cursor { created_at, version: version.to_owned() })
}
