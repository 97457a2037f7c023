//! Starts what tells ad platforms of orders: a courier for each postback, and who keeps what they are told.

use std::sync::Arc;
use std::time::Duration;

use prometheus::proto::{MetricFamily, MetricType};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, watch as signal};

use super::DataDir;
use crate::clock::Clock;
use crate::config::settings::Settings;
use crate::domain::click_id::ClickKey;
use crate::notify::courier::{Courier, Receiver, Tally};
use crate::notify::outbox::Outbox;
use crate::notify::postback::macros::RecordedMacros;
use crate::notify::postback::teller::{Passed, Teller};
use crate::notify::sqlite::SqliteOutbox;
use crate::sqlite::SqliteError;
use crate::telemetry::metrics::{counter, family, gauge};

/// How often what need not be remembered is forgotten.
const EVERY: Duration = Duration::from_secs(600);

/// What keeps and delivers postbacks.
#[derive(Clone)]
pub struct Postbacks {
    /// Where events wait.
    pub outbox: Arc<dyn Outbox>,
    /// Who is told by the ledger, and keeps what postbacks are told.
    pub teller: Arc<Teller>,
    /// What was delivered.
    pub tally: Arc<Tally>,
}

impl Postbacks {
    /// The outbox of a data folder, and a teller that puts into it. For a running gateway and for commands beside one.
    ///
    /// # Errors
    /// [`SqliteError`].
    pub fn open(settings: &Settings, click_key: ClickKey, clock: Clock) -> Result<Self, SqliteError> {
        let data = DataDir::new(&settings.data_dir);
        let outbox: Arc<dyn Outbox> = Arc::new(SqliteOutbox::open_postbacks(&data.database())?);
        let teller = Teller {
            // A rehearsal tells nobody: its midnight has not come.
            postbacks: if matches!(clock, Clock::Shifted(_)) { Vec::new() } else { settings.postbacks.clone() },
            outbox: Arc::clone(&outbox),
            macros: Arc::new(RecordedMacros::new(data.hops())),
            click_key,
            clock,
            posted: Arc::new(Notify::new()),
            passed: Arc::new(Passed::default()),
        };
        Ok(Postbacks { outbox, teller: Arc::new(teller), tally: Arc::default() })
    }

    /// Delivers to these receivers until `drained` says that it is over.
    pub(super) fn start(&self, runtime: &Runtime, receivers: Vec<Box<dyn Receiver>>, drained: &signal::Receiver<bool>) {
        let clock = &self.teller.clock;
        if receivers.is_empty() || matches!(clock, Clock::Shifted(_)) {
            return;
        }
        for receiver in receivers {
            let settings = self.teller.postbacks.iter().find(|one| one.receiver.name == receiver.name());
            let kinds = settings.map(|one| one.receiver.events.clone()).unwrap_or_default();
            self.tally.begin(receiver.name(), &kinds);
            let courier = Courier {
                receiver,
                outbox: Arc::clone(&self.outbox),
                clock: clock.clone(),
                posted: Arc::clone(&self.teller.posted),
                tally: Arc::clone(&self.tally),
            };
            runtime.spawn(courier.run(drained.clone()));
        }
        let (outbox, clock, mut drained) = (Arc::clone(&self.outbox), clock.clone(), drained.clone());
        runtime.spawn(async move {
            let forget = async {
                loop {
                    if let Err(error) = outbox.forget(clock.now()).await {
                        tracing::error!(%error, "postbacks that are over are not forgotten");
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

    /// What was told, and what was not.
    pub(super) fn families(&self) -> Vec<MetricFamily> {
        if self.teller.postbacks.is_empty() {
            return Vec::new();
        }
        let sent = self.tally.sent().into_iter().map(|((postback, kind, sent), count)| {
            let labels = [("postback", postback), ("event", kind.to_string()), ("result", sent.to_string())];
            counter(count as f64, &labels)
        });
        let pending = self.tally.pending().into_iter();
        let pending = pending.map(|(postback, count)| gauge(count as f64, &[("postback", postback)]));
        let passed = self.teller.passed.counts().into_iter();
        let passed = passed.map(|(cause, count)| counter(count as f64, &[("cause", cause.to_string())]));
        vec![
            family(
                "hopgate_postback_deliveries_total",
                "Attempts to tell a platform of an order, by how they ended.",
                MetricType::COUNTER,
                sent.collect(),
            ),
            family("hopgate_postback_pending", "Events that wait to be told.", MetricType::GAUGE, pending.collect()),
            family(
                "hopgate_postback_passed_over_total",
                "Matched orders a platform asked for and was not told of, by cause.",
                MetricType::COUNTER,
                passed.collect(),
            ),
        ]
    }
}
