//! Questions that change nothing: decisions, hops, and the description of the API itself.

use std::path::Path;
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Json, Response};
use serde_json::Value;

use super::Api;
use super::body::{JsonBody, Named};
use crate::control::decision::{Case, DecideRequest, Explained, Subject, explain};
use crate::control::fields::FieldFault;
use crate::control::guard::Caller;
use crate::control::keys::Role;
use crate::control::problem::ApiError;
use crate::control::sent::Roads;
use crate::domain::click_id::{BadClickId, ClickId};
use crate::journal::export;
use crate::journal::read;

/// The description of the API, OpenAPI 3.1.
pub(super) const DESCRIPTION: &str = include_str!("../openapi.json");

pub(super) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DESCRIPTION).into_response()
}

pub(super) async fn decide(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    JsonBody(body): JsonBody,
) -> Result<Json<Explained>, ApiError> {
    let state = &api.state;
    let question = DecideRequest::read(&body).check(&state.words, state.clock.now())?;
    let case = match &question.subject {
        Subject::Landing(landing) => Case::of_landing((**landing).clone()),
        Subject::Marketplace(aim) => Case::of_aim(aim.clone()),
        Subject::Code(code) => {
            let link = api.link(code).await?;
            if caller.role == Role::Creator {
                caller.may_see(&link, &state.words)?;
            }
            Case::of_link(&link)
        }
    };
    let mut case = question.over(case);
    caller.may_ask(&mut case, &state.words)?;
    let mut explained = explain(&state.policies.current(), &state.words, &case, question.at);
    if let Some(device) = question.device {
        let matrix = state.landings.current();
        explained.send_on(device, Roads { matrix: &matrix, proxy: &state.proxy, words: &state.words });
    }
    // Who switched something off, and why, is between the platform and ops.
    if matches!(caller.role, Role::Creator | Role::Merchant)
        && let Some(kill) = explained.kill.as_mut().and_then(Value::as_object_mut)
    {
        kill.remove("by");
        kill.remove("why");
    }
    Ok(Json(explained))
}

pub(super) async fn hop(State(api): State<Arc<Api>>, Named(text): Named) -> Result<Json<Value>, ApiError> {
    let key = api.state.click_key.clone();
    let id = key.parse(&text).map_err(|bad| match bad {
        BadClickId::Shape => vec![FieldFault::new("click_id", &text, "not_a_click_id", bad.to_string())].into(),
        BadClickId::Mac => ApiError::ForeignClick,
    })?;
    let permit = Arc::clone(&api.lookups).try_acquire_owned().map_err(|_| ApiError::Busy)?;
    let dir = api.state.journal_dir.clone();
    let looking = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        look_up(&dir, id, &text)
    });
    let found = looking.await.map_err(|error| ApiError::Internal(error.to_string()))??;
    found.map(Json).ok_or(ApiError::UnknownHop)
}

/// The hop of a click as the journal's own export writes it, so that the two can never say different things.
fn look_up(dir: &Path, id: ClickId, text: &str) -> Result<Option<Value>, ApiError> {
    let Some(record) = read::find(dir, id, id.minted_at())? else { return Ok(None) };
    let unreadable = |error: &dyn std::fmt::Display| ApiError::Internal(format!("hop {id}: {error}"));
    let hop = record.hop().map_err(|error| unreadable(&error))?;
    export::row_json(record.seq, &hop, text).map(Some).map_err(|error| unreadable(&error))
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::attribution::orders::sqlite::SqliteOrderStore;
    use crate::catalog::sqlite::SqliteLinkStore;
    use crate::catalog::{Catalog, LoadOptions};
    use crate::click::landings::Landings;
    use crate::clock::Clock;
    use crate::config::settings::PolicySource;
    use crate::control::ControlState;
    use crate::control::backtests::Backtests;
    use crate::control::keys::sqlite::SqliteKeyStore;
    use crate::domain::click_id::ClickKey;
    use crate::domain::policy::lint::HeavyTraffic;
    use crate::domain::time::Timestamp;
    use crate::domain::vocabulary::Vocabulary;
    use crate::notify::sqlite::SqliteOutbox;
    use crate::policies::publish::{Publisher, Rules};
    use crate::policies::sqlite::SqlitePolicyStore;

    #[tokio::test]
    async fn one_look_up_too_many_is_told_to_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.sqlite");
        let words = Arc::new(Vocabulary::default());
        let store = Arc::new(SqliteLinkStore::open(&file, Arc::clone(&words)).unwrap());
        let versions = Arc::new(SqlitePolicyStore::open(&file).unwrap());
        let rules = Rules {
            source: PolicySource::Store,
            folder: folder.path().to_path_buf(),
            require_backtest: false,
            traffic: HeavyTraffic::default(),
            rehearsal: false,
        };
        let publisher = Publisher::empty(versions, Arc::clone(&words), rules, Timestamp::default());
        let state = ControlState {
            catalog: Catalog::open(store, LoadOptions::default()),
            policies: Arc::clone(publisher.policies()),
            publisher: Arc::new(publisher),
            policy_store: Arc::new(SqlitePolicyStore::open(&file).unwrap()),
            landings: Arc::new(Landings::shipped(&words).unwrap()),
            proxy: Arc::default(),
            shadow: Arc::default(),
            keys: Arc::new(SqliteKeyStore::open(&file).unwrap()),
            outbox: Arc::new(SqliteOutbox::open(&file).unwrap()),
            postbacks: Arc::new(SqliteOutbox::open_postbacks(&file).unwrap()),
            orders: Arc::new(SqliteOrderStore::open(&file, ClickKey::new(&[7; 16])).unwrap()),
            resolver: None,
            clock: Clock::System,
            words,
            click_key: ClickKey::new(&[1; 16]),
            journal_dir: folder.path().join("journal"),
            public_url: String::new(),
            node: "n1".into(),
        };
        let text = String::from_utf8(state.click_key.text(ClickId([7; 16])).to_vec()).unwrap();
        let lookups = Arc::new(Semaphore::new(1));
        let store = Arc::clone(&state.policy_store);
        let backtests = Backtests::new(state.journal_dir.clone(), state.click_key.clone(), Clock::System, store);
        let summaries = Arc::new(Semaphore::new(1));
        let api = Arc::new(Api { state, backtests, lookups: Arc::clone(&lookups), summaries });
        let ask = || hop(State(Arc::clone(&api)), Named(text.clone()));

        let held = Arc::clone(&lookups).try_acquire_owned().unwrap();
        let busy = ask().await.unwrap_err().into_response();
        assert_eq!(busy.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(busy.headers()[header::RETRY_AFTER], "1");
        drop(held);
        let broken = ask().await.unwrap_err();
        assert!(matches!(broken, ApiError::Journal(_)), "no such folder: {broken:?}");
        assert_eq!(lookups.available_permits(), 1, "given back after a failure");
    }
}
