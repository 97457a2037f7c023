//! Questions that change nothing: decisions, hops, and the description of the API itself.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Json, Response};
use serde_json::{Value, json};

use super::Api;
use super::body::{JsonBody, Named};
use crate::archive::Recorded;
use crate::archive::hops::find;
use crate::attribution::ledger::chain::chains_of_click;
use crate::control::decision::{Case, DecideRequest, Explained, Subject, explain};
use crate::control::fields::FieldFault;
use crate::control::guard::Caller;
use crate::control::keys::Role;
use crate::control::problem::ApiError;
use crate::control::sent::Roads;
use crate::domain::click_id::{BadClickId, ClickId};
use crate::journal::export;

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

pub(super) async fn hop(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Named(text): Named,
) -> Result<Json<Value>, ApiError> {
    let key = api.state.click_key.clone();
    let id = key.parse(&text).map_err(|bad| match bad {
        BadClickId::Shape => vec![FieldFault::new("click_id", &text, "not_a_click_id", bad.to_string())].into(),
        BadClickId::Mac => ApiError::ForeignClick,
    })?;
    let permit = Arc::clone(&api.lookups).try_acquire_owned().map_err(|_| ApiError::Busy)?;
    let hops = api.state.hops.clone();
    let looking = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        look_up(&hops, id, &text)
    });
    let found = looking.await.map_err(|error| ApiError::Internal(error.to_string()))??;
    // Whose it is not is told nothing, not even that there is one.
    let mut found = found.filter(|hop| caller.may_see_hop(hop)).ok_or(ApiError::UnknownHop)?;
    if caller.role != Role::Ops {
        // Who clicked is for operations alone.
        for name in ["address", "visitor"] {
            found[name] = Value::Null;
        }
    }
    found["orders"] = match caller.role {
        Role::Ops | Role::Creator => {
            let settler = &api.state.settler;
            json!(chains_of_click(&*settler.ledger, &*settler.orders, id, &settler.key).await?)
        }
        // What was sold, and for how much, is not the platform's.
        Role::Platform | Role::Merchant => json!([]),
    };
    Ok(Json(found))
}

/// The hop of a click as an export writes it, so that the two can never say different things.
fn look_up(hops: &Recorded, id: ClickId, text: &str) -> Result<Option<Value>, ApiError> {
    let found = find(hops, id, id.minted_at(), |seq, hop| export::row_json(seq, hop, text))?;
    found.transpose().map_err(|error| ApiError::Internal(format!("hop {id}: {error}")))
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::app::reports::Desk;
    use crate::attribution::events::EventStore;
    use crate::attribution::events::sqlite::SqliteEventStore;
    use crate::attribution::ledger::settle::Counting;
    use crate::attribution::ledger::sqlite::SqliteLedger;
    use crate::attribution::orders::sqlite::SqliteOrderStore;
    use crate::attribution::stats::Stats;
    use crate::catalog::sqlite::SqliteLinkStore;
    use crate::catalog::{Catalog, LoadOptions};
    use crate::click::landings::Landings;
    use crate::clock::Clock;
    use crate::config::settings::PolicySource;
    use crate::control::ControlState;
    use crate::control::backtests::Backtests;
    use crate::control::keys::sqlite::SqliteKeyStore;
    use crate::control::sightings::Sightings;
    use crate::domain::attribution::validity::Rules;
    use crate::domain::click_id::ClickKey;
    use crate::domain::policy::lint::HeavyTraffic;
    use crate::domain::time::Timestamp;
    use crate::domain::vocabulary::Vocabulary;
    use crate::notify::sqlite::SqliteOutbox;
    use crate::policies::publish::{self, Publisher};
    use crate::policies::sqlite::SqlitePolicyStore;

    #[tokio::test]
    async fn one_look_up_too_many_is_told_to_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.sqlite");
        let words = Arc::new(Vocabulary::default());
        let store = Arc::new(SqliteLinkStore::open(&file, Arc::clone(&words)).unwrap());
        let versions = Arc::new(SqlitePolicyStore::open(&file).unwrap());
        let rules = publish::Rules {
            source: PolicySource::Store,
            folder: folder.path().to_path_buf(),
            require_backtest: false,
            traffic: HeavyTraffic::default(),
            rehearsal: false,
        };
        let publisher = Publisher::empty(versions, Arc::clone(&words), rules, Timestamp::default());
        let events: Arc<dyn EventStore> = Arc::new(SqliteEventStore::open(&file).unwrap());
        let current = Arc::clone(publisher.policies());
        let key = ClickKey::new(&[1; 16]);
        let stats = Stats::open(&folder.path().join("stats.sqlite"), &Rules::default()).unwrap();
        let settler = crate::app::ledger::settler(
            Arc::new(SqliteLedger::open(&file).unwrap()),
            Arc::new(SqliteOrderStore::open(&file, key.clone()).unwrap()),
            Arc::new(stats.clone()),
            Arc::new(SqlitePolicyStore::open(&file).unwrap()),
            (*words).clone(),
            Counting::of(&Rules::default()),
            key,
        );
        let desk = Desk {
            events: Arc::clone(&events),
            policies: Arc::new(SqlitePolicyStore::open(&file).unwrap()),
            in_force: Box::new(move || current.current()),
            words: Arc::clone(&words),
            stats: stats.clone(),
            data_dir: folder.path().to_path_buf(),
            settler: settler.clone(),
        };
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
            settler,
            stats,
            sightings: Sightings::untold(),
            events: Arc::clone(&events),
            event_tally: Arc::default(),
            reporter: Arc::new(desk),
            resolver: None,
            clock: Clock::System,
            words,
            click_key: ClickKey::new(&[1; 16]),
            hops: Recorded::of(folder.path()),
            public_url: String::new(),
            node: "n1".into(),
        };
        let text = String::from_utf8(state.click_key.text(ClickId([7; 16])).to_vec()).unwrap();
        let lookups = Arc::new(Semaphore::new(1));
        let store = Arc::clone(&state.policy_store);
        let backtests = Backtests::new(state.hops.clone(), state.click_key.clone(), Clock::System, store);
        let summaries = Arc::new(Semaphore::new(1));
        let api =
            Arc::new(Api { state, sessions: Arc::default(), backtests, lookups: Arc::clone(&lookups), summaries });
        let ops = || Extension(Caller { role: Role::Ops, scope: None, by: String::new() });
        let ask = || hop(State(Arc::clone(&api)), ops(), Named(text.clone()));

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
