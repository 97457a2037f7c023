//! Starts what pulls order reports, where the settings name accounts.

use std::sync::Arc;
use std::time::Duration;

use prometheus::proto::{MetricFamily, MetricType};
use tokio::runtime::Runtime;
use tokio::sync::watch as signal;

use crate::alliance::account::Account;
use crate::alliance::plan::before;
use crate::alliance::puller::{Puller, Tools};
use crate::alliance::request::queries;
use crate::alliance::tally::Tally;
use crate::clock::Clock;
use crate::domain::span::Span;
use crate::domain::time::Timestamp;
use crate::telemetry::metrics::{counter, family, gauge};

/// How often old responses are forgotten.
const EVERY: Duration = Duration::from_secs(600);

/// Pulls every stream of every account until `drained` says that it is over.
pub(super) fn start(
    runtime: &Runtime,
    accounts: Vec<Account>,
    tools: &Tools,
    keep_responses: Span,
    drained: &signal::Receiver<bool>,
) {
    if accounts.is_empty() {
        return;
    }
    if matches!(tools.clock, Clock::Shifted(_)) {
        // Cursors are moved by the clock: a rehearsal would move them to a day that has not come.
        tracing::warn!(accounts = accounts.len(), "rehearsal: no orders are pulled");
        return;
    }
    for account in accounts {
        let account = Arc::new(account);
        tools.tally.begin(account.settings.network);
        for query in queries(account.settings.network, &account.settings.order_scenes) {
            let puller = Puller::new(Arc::clone(&account), query, tools.clone());
            runtime.spawn(puller.run(drained.clone()));
        }
    }
    let (tools, mut drained) = (tools.clone(), drained.clone());
    runtime.spawn(async move {
        let forget = async {
            loop {
                let until = before(tools.clock.now(), Duration::from_secs(keep_responses.seconds().unsigned_abs()));
                if let Err(error) = tools.store.forget(until).await {
                    tracing::error!(%error, "old responses of the networks are not forgotten");
                }
                tokio::time::sleep(EVERY).await;
            }
        };
        tokio::select! {
            () = forget => {}
            () = async { drop(drained.wait_for(|draining| *draining).await) } => {}
        }
    });
}

/// What was pulled.
pub(super) fn families(tally: &Tally, now: Timestamp) -> Vec<MetricFamily> {
    let requests = tally.requests().into_iter().map(|((network, outcome), count)| {
        counter(count as f64, &[("network", network.to_string()), ("result", outcome.to_string())])
    });
    let lag = tally.read_until().into_iter().map(|((network, account), until)| {
        let seconds = (now.micros() - until.micros()) as f64 / 1e6;
        gauge(seconds, &[("network", network.to_string()), ("account", account.into())])
    });
    vec![
        family(
            "hopgate_orders_pull_total",
            "Requests for order reports, by how they ended.",
            MetricType::COUNTER,
            requests.collect(),
        ),
        family(
            "hopgate_orders_pull_lag_seconds",
            "Since the instant up to which an account's changes were read.",
            MetricType::GAUGE,
            lag.collect(),
        ),
    ]
}
