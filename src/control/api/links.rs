//! Issuing, reading, changing and switching off links. A link is never erased: hops refer to it.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};

use super::body::{JsonBody, Named};
use super::{Api, query};
use crate::catalog::store::{LinkChange, UpdateOutcome};
use crate::control::alternates::repeat_own;
use crate::control::answer::{self, LinkPage};
use crate::control::change;
use crate::control::draft::LinkDraft;
use crate::control::fields::FieldFault;
use crate::control::guard::Caller;
use crate::control::identify::identify_alternates;
use crate::control::issue::issue;
use crate::control::problem::ApiError;
use crate::control::warnings::Warning;
use crate::domain::code::Code;
use crate::domain::link::{Link, LinkState};

pub(super) async fn create(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    let state = &api.state;
    let now = state.clock.now();
    let (link, found) = issue(state, &caller, LinkDraft::read(&body), now).await?;
    let body = answer::issued(state, &state.policies.current(), &link, now, found);
    let mut response = (StatusCode::CREATED, Json(body)).into_response();
    tag(&mut response, &link);
    if let Ok(location) = HeaderValue::try_from(format!("/v1/links/{}", link.code)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

pub(super) async fn get(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Named(code): Named,
) -> Result<Response, ApiError> {
    let link = api.link(&code).await?;
    caller.may_see(&link, &api.state.words)?;
    Ok(whole(&api, &link, Vec::new()))
}

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    RawQuery(raw): RawQuery,
) -> Result<Json<LinkPage>, ApiError> {
    let state = &api.state;
    let mut listing = query::read(raw.as_deref().unwrap_or_default(), &state.words)?;
    caller.narrow(&mut listing.query, &state.words)?;
    let page = state.catalog.store().list(&listing.query, listing.after.as_deref(), listing.limit).await?;
    for row in &page.unreadable {
        tracing::warn!(code = %row.code, what = %row.what, "a stored link cannot be listed");
    }
    let (policy, now) = (state.policies.current(), state.clock.now());
    Ok(Json(LinkPage {
        links: page.links.iter().map(|link| answer::link(state, &policy, link, now)).collect(),
        next_cursor: page.next,
        unreadable: page.unreadable.into_iter().map(|row| row.code).collect(),
    }))
}

pub(super) async fn change(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Named(code): Named,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    let change = change::read(&body, &api.state.words, api.state.clock.now())?;
    let (link, found) = api.update(&caller, &code, &headers, change).await?;
    Ok(whole(&api, &link, found))
}

pub(super) async fn disable(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Named(code): Named,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let change = LinkChange { state: Some(LinkState::Disabled), ..LinkChange::default() };
    api.update(&caller, &code, &headers, change).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl Api {
    /// The stored link of a code, with its labels.
    pub(super) async fn link(&self, code: &str) -> Result<Link, ApiError> {
        // What cannot be a code is not asked for.
        Code::parse(code).map_err(|_| ApiError::UnknownLink)?;
        self.state.catalog.store().get(code).await?.ok_or(ApiError::UnknownLink)
    }

    /// Changes a link the caller may see. Nothing of the API changes a link's creator, so that the look before the
    /// change holds during it.
    async fn update(
        &self,
        caller: &Caller,
        code: &str,
        headers: &HeaderMap,
        mut change: LinkChange,
    ) -> Result<(Box<Link>, Vec<Warning>), ApiError> {
        let expected = if_match(headers)?;
        let link = self.link(code).await?;
        caller.may_see(&link, &self.state.words)?;
        // Nothing changes a link's own landing, so this holds during the change too.
        let markets = self.state.words.markets();
        let repeated = change.alternates.as_deref().map(|alternates| repeat_own(alternates, &link.landing, markets));
        if let Some(faults) = repeated.filter(|faults| !faults.is_empty()) {
            return Err(faults.into());
        }
        let found = match &mut change.alternates {
            Some(alternates) => {
                identify_alternates(self.state.resolver.as_ref(), &self.state.words, alternates).await?
            }
            None => Vec::new(),
        };
        match self.state.catalog.update(code, expected, change).await? {
            UpdateOutcome::Updated(link) => Ok((link, found)),
            UpdateOutcome::Stale { current } => Err(ApiError::Stale(current)),
            UpdateOutcome::NotFound => Err(ApiError::UnknownLink),
        }
    }
}

fn whole(api: &Api, link: &Link, found: Vec<Warning>) -> Response {
    let state = &api.state;
    let mut view = answer::link(state, &state.policies.current(), link, state.clock.now());
    view.issued.warnings.splice(0..0, found);
    let mut response = Json(view).into_response();
    tag(&mut response, link);
    response
}

/// The link's revision as its entity tag.
fn tag(response: &mut Response, link: &Link) {
    if let Ok(tag) = HeaderValue::try_from(format!("\"{}\"", link.revision)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
}

/// The revision a change is meant for; none when the caller does not mind.
fn if_match(headers: &HeaderMap) -> Result<Option<i64>, ApiError> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let revision = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).and_then(|text| text.parse().ok());
    match revision {
        Some(revision) => Ok(Some(revision)),
        None => {
            let problem = "must be one revision in double quotes, as ETag gives it: \"42\"";
            Err(vec![FieldFault::new("If-Match", text, "not_a_revision", problem)].into())
        }
    }
}
