//! Keeps what is known of positions up with the links, takes in order rows that waited for one, and counts what is in the
//! store of orders for `/metrics`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::proto::{MetricFamily, MetricType};
use tokio::runtime::Runtime;
use tokio::sync::watch as signal;
use tokio::time::{MissedTickBehavior, interval};

use crate::attribution::orders::derived::{Pace, follow};
use crate::attribution::orders::import::fault::Reason;
use crate::attribution::orders::intake::{Counts, OrderIntake};
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::telemetry::metrics::{counter, family, gauge};

/// How often links are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What was counted last.
pub(super) type Tally = Mutex<Counts>;

/// Follows the links until `drained` says that it is over.
pub(super) fn start(
    runtime: &Runtime,
    orders: Arc<dyn OrderIntake>,
    catalog: Catalog,
    clock: Clock,
    tally: Arc<Tally>,
    mut drained: signal::Receiver<bool>,
) {
    runtime.spawn(async move {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        // The links come first: clicks need them, and looking at millions of them for positions can wait.
        catalog.wait_loaded().await;
        let links = Arc::clone(catalog.store());
        loop {
            let done = async {
                ticks.tick().await;
                follow(&*orders, &*links, clock.now(), Pace::Gentle).await.map_err(|error| error.to_string())?;
                orders.counts().await.map_err(|error| error.to_string())
            };
            let done = tokio::select! {
                done = done => done,
                () = async { drop(drained.wait_for(|draining| *draining).await) } => return,
            };
            match done {
                Ok(counts) => {
                    failing = false;
                    *tally.lock().unwrap_or_else(PoisonError::into_inner) = counts;
                }
                // Said once, not every second.
                Err(error) if !failing => {
                    failing = true;
                    tracing::error!(%error, "positions cannot be followed: order rows that wait for one go on waiting");
                }
                Err(_) => {}
            }
        }
    });
}

/// What is in the store.
pub(super) fn families(tally: &Tally) -> Vec<MetricFamily> {
    let counts = tally.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let open =
        |reason: Reason| counts.quarantined.iter().find(|(found, _)| *found == reason).map_or(0, |(_, count)| *count);
    let quarantined =
        Reason::ALL.iter().map(|reason| gauge(open(*reason) as f64, &[("reason", reason.as_str().to_owned())]));
    let imported = counts.imported.iter().map(|(network, outcome, count)| {
        counter(*count as f64, &[("network", network.to_string()), ("result", outcome.to_string())])
    });
    vec![
        family(
            "hopgate_orders_quarantined",
            "Order rows that are set aside and not mended, by reason.",
            MetricType::GAUGE,
            quarantined.collect(),
        ),
        family(
            "hopgate_orders_imported_total",
            "Order rows that were imported, by whichever process, by what became of them.",
            MetricType::COUNTER,
            imported.collect(),
        ),
    ]
}
