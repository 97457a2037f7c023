//! Keeps the ledger up with orders and clicks while a gateway runs, and counts what that does.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::proto::{MetricFamily, MetricType};
use tokio::runtime::Runtime;
use tokio::sync::watch as signal;
use tokio::time::{MissedTickBehavior, interval};

use crate::attribution::StoreError;
use crate::attribution::announce::Announcer;
use crate::attribution::ledger::Ledger;
use crate::attribution::ledger::settle::{BATCH, Counting, Settled, Settler};
use crate::attribution::ledger::terms::PolicyTerms;
use crate::attribution::orders::OrderStore;
use crate::attribution::touches::TouchStore;
use crate::clock::Clock;
use crate::domain::attribution::entries::Kind;
use crate::domain::attribution::matching::Method;
use crate::domain::click_id::ClickKey;
use crate::domain::vocabulary::Vocabulary;
use crate::policies::store::PolicyStore;
use crate::telemetry::metrics::{counter, counter_family, family, gauge_family};

/// How often what is new is settled.
const EVERY: Duration = Duration::from_secs(2);

/// A settler over these stores.
pub fn settler(
    ledger: Arc<dyn Ledger>,
    orders: Arc<dyn OrderStore>,
    touches: Arc<dyn TouchStore>,
    policies: Arc<dyn PolicyStore>,
    words: Vocabulary,
    counting: Counting,
    key: ClickKey,
) -> Settler {
    Settler { ledger, orders, touches, terms: Arc::new(PolicyTerms::new(policies, words)), counting, key }
}

/// Matches by method, and entries by kind.
type Sums = (BTreeMap<&'static str, u64>, BTreeMap<&'static str, u64>);

/// What settling did since the start.
#[derive(Default)]
pub struct Tally {
    settled: Mutex<Sums>,
    late: AtomicU64,
    lag: AtomicU64,
    failures: AtomicU64,
}

impl Tally {
    fn add(&self, settled: &Settled) {
        let mut sums = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, count) in &settled.matches {
            *sums.0.entry(name).or_default() += count;
        }
        for (name, count) in &settled.entries {
            *sums.1.entry(name).or_default() += count;
        }
        self.late.fetch_add(settled.late, Ordering::Relaxed);
    }
}

/// Settles every few seconds until `drained` says that it is over. A failure is told once, and tried again.
pub(super) fn start(
    runtime: &Runtime,
    settler: Settler,
    announcer: Arc<dyn Announcer>,
    clock: Clock,
    tally: Arc<Tally>,
    mut drained: signal::Receiver<bool>,
) {
    runtime.spawn(async move {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = async { drop(drained.wait_for(|draining| *draining).await) } => return,
            }
            // A batch is kept whole or not at all, so this may end anywhere.
            let worked = tokio::select! {
                worked = once(&settler, &*announcer, &clock, &tally) => worked,
                () = async { drop(drained.wait_for(|draining| *draining).await) } => return,
            };
            match worked {
                Ok(()) => failing = false,
                Err(error) => {
                    tally.failures.fetch_add(1, Ordering::Relaxed);
                    if !failing {
                        tracing::error!(%error, "orders are not settled; it is tried again every few seconds");
                    }
                    failing = true;
                }
            }
        }
    });
}

async fn once(settler: &Settler, announcer: &dyn Announcer, clock: &Clock, tally: &Tally) -> Result<(), StoreError> {
    tally.lag.store(waiting(settler).await?, Ordering::Relaxed);
    let settled = settler.settle(clock.now()).await?;
    tally.add(&settled);
    tally.lag.store(waiting(settler).await?, Ordering::Relaxed);
    settler.announce(announcer).await.map(drop)
}

/// Order reports that wait, as far as they are counted.
async fn waiting(settler: &Settler) -> Result<u64, StoreError> {
    let settled = settler.ledger.marks().await?.events;
    Ok(settler.orders.after(settled, BATCH).await?.len() as u64)
}

/// What the ledger shows.
pub(super) fn families(tally: &Tally) -> Vec<MetricFamily> {
    let sums = tally.settled.lock().unwrap_or_else(PoisonError::into_inner);
    let of = |sums: &BTreeMap<&'static str, u64>, name| sums.get(name).copied().unwrap_or_default() as f64;
    let matches = Method::ALL.iter().map(|method| method.as_str());
    let matches = matches.map(|name| counter(of(&sums.0, name), &[("method", name.to_owned())]));
    let entries = Kind::ALL.iter().map(|kind| kind.as_str());
    let entries = entries.map(|name| counter(of(&sums.1, name), &[("kind", name.to_owned())]));
    vec![
        family(
            "hopgate_matches_total",
            "Matches of order lines made, by method.",
            MetricType::COUNTER,
            matches.collect(),
        ),
        family(
            "hopgate_ledger_entries_total",
            "Ledger entries posted, by kind.",
            MetricType::COUNTER,
            entries.collect(),
        ),
        counter_family(
            "hopgate_ledger_late_entries_total",
            "Ledger entries that went to a later period, as their own was closed.",
            tally.late.load(Ordering::Relaxed) as f64,
        ),
        gauge_family(
            "hopgate_ledger_lag_events",
            "Order reports that are not settled yet; counted up to 1000.",
            tally.lag.load(Ordering::Relaxed) as f64,
        ),
        counter_family(
            "hopgate_ledger_failures_total",
            "Times a store did not answer while orders were being settled.",
            tally.failures.load(Ordering::Relaxed) as f64,
        ),
    ]
}
