//! `GET /v1/policies/calendar`: data, page or picture, as the caller accepts. Each platform sees its own.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Json, Response};

use super::Api;
use crate::control::calendar::{Calendar, CalendarRequest, html, svg};
use crate::control::guard::Caller;
use crate::control::problem::ApiError;

/// A page or picture of ours needs its own style and nothing else.
const POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");

pub(super) async fn calendar(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let state = &api.state;
    let now = state.clock.now();
    let span = CalendarRequest::query(query.as_deref().unwrap_or_default())?.check(&state.words, now)?;
    let may_see =
        |agreement: &crate::domain::policy::Agreement| caller.may_read_agreements(agreement.platform, &state.words);
    let calendar = Calendar::new(&state.policies.current(), &state.words, span, now, may_see);
    let (kind, text) = match preferred(&headers) {
        Form::Json => return Ok(Json(calendar).into_response()),
        Form::Html => ("text/html; charset=utf-8", html::render(&calendar)),
        Form::Svg => ("image/svg+xml", svg::render(&calendar)),
    };
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static(kind)), (header::CONTENT_SECURITY_POLICY, POLICY)], text)
        .into_response())
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Json,
    Html,
    Svg,
}

/// The first form the caller names that there is; data for whoever names none.
fn preferred(headers: &HeaderMap) -> Form {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types = accepted.flat_map(|value| value.split(',')).map(|one| one.split(';').next().unwrap_or(one).trim());
    types
        .find_map(|one| match one {
            "application/json" => Some(Form::Json),
            "text/html" => Some(Form::Html),
            "image/svg+xml" => Some(Form::Svg),
            _ => None,
        })
        .unwrap_or(Form::Json)
}
