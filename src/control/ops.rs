//! The ops listener's routes: metrics, liveness, readiness, and what is running. Reads figures only; needs no key, and
//! must not be reachable from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde_json::{Value, json};

use super::problem::ApiError;
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::domain::time::Timestamp;
use crate::journal::{JournalStats, Mode, State as JournalState};
use crate::policies::Policies;
use crate::telemetry::metrics::Metrics;

/// What the ops listener looks at.
#[derive(Clone)]
pub struct OpsState {
    /// The links.
    pub catalog: Catalog,
    /// The journal's figures.
    pub journal: Arc<JournalStats>,
    /// When a redirect may leave.
    pub mode: Mode,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// Set when the process has begun to stop.
    pub draining: Arc<AtomicBool>,
    /// The policy in force.
    pub policies: Arc<Policies>,
    /// Time.
    pub clock: Clock,
    /// When the process began.
    pub started_at: Timestamp,
    /// This gateway's name.
    pub node: String,
}

/// The routes of the ops listener.
pub fn ops_router(state: OpsState) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(|| async { Json(json!({ "live": true })) }))
        .route("/readyz", get(readyz))
        .route("/buildinfo", get(buildinfo))
        .fallback(|| async { ApiError::NoSuchRoute })
        .method_not_allowed_fallback(|| async { ApiError::WrongMethod })
        .with_state(Arc::new(state))
}

async fn metrics(State(state): State<Arc<OpsState>>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], state.metrics.text()).into_response()
}

async fn readyz(State(state): State<Arc<OpsState>>) -> Response {
    let (ready, parts) = readiness(&state);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(parts)).into_response()
}

fn readiness(state: &OpsState) -> (bool, Value) {
    let draining = state.draining.load(Ordering::Acquire);
    let loaded = state.catalog.is_loaded();
    let journal = state.journal.state();
    let mut not_ready = Vec::new();
    for (name, bad) in [("draining", draining), ("catalog", !loaded), ("journal", journal != JournalState::Ready)] {
        if bad {
            not_ready.push(name);
        }
    }
    let progress = state.catalog.progress();
    let parts = json!({
        "ready": not_ready.is_empty(),
        "not_ready": not_ready,
        "draining": draining,
        "catalog": {
            "loaded": loaded,
            "rows_read": progress.loaded,
            "rows_total": progress.total,
            "fault": state.catalog.fault().map(|fault| fault.to_string()),
        },
        "journal": journal.as_str(),
    });
    (not_ready.is_empty(), parts)
}

async fn buildinfo(State(state): State<Arc<OpsState>>) -> Json<Value> {
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "node": state.node,
        "mode": state.mode.as_str(),
        "started_at": state.started_at,
        "now": state.clock.now(),
        "policy_version": state.policies.current().version().to_string(),
        "policy_epoch": state.policies.epoch(),
        "rehearsal_offset_seconds": state.clock.offset_seconds(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::LoadOptions;
    use crate::catalog::sqlite::SqliteLinkStore;
    use crate::domain::policy::PolicySet;
    use crate::domain::vocabulary::Vocabulary;
    use crate::journal::{Journal, JournalConfig};

    #[tokio::test]
    async fn a_catalog_that_is_loading_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let words = Arc::new(Vocabulary::default());
        let store = Arc::new(SqliteLinkStore::open(&folder.path().join("a.sqlite"), words).unwrap());
        let journal = Journal::open(JournalConfig::new(folder.path().join("journal"), "n1")).unwrap();
        let state = OpsState {
            // The load runs on this very thread, so it has not begun.
            catalog: Catalog::open(store, LoadOptions::default()),
            journal: journal.stats(),
            mode: Mode::Written,
            metrics: Metrics::default(),
            draining: Arc::default(),
            policies: Arc::new(Policies::new(PolicySet::empty(), Timestamp::default())),
            clock: Clock::System,
            started_at: Timestamp::default(),
            node: "n1".into(),
        };
        let (ready, parts) = readiness(&state);
        assert!(!ready);
        assert_eq!((&parts["not_ready"], &parts["catalog"]["loaded"]), (&json!(["catalog"]), &json!(false)));
        assert_eq!(parts["catalog"]["rows_read"], 0);
        state.catalog.wait_loaded().await;
        assert!(readiness(&state).0);
    }
}
