//! Who makes reports out of the stores of a data folder, and what is counted of events told.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use prometheus::proto::{MetricFamily, MetricType};

use crate::attribution::StoreError;
use crate::attribution::events::{EventStore, Kept, Tally};
use crate::attribution::ledger::settle::Settler;
use crate::attribution::stats::Stats;
use crate::domain::policy::PolicySet;
use crate::domain::vocabulary::Vocabulary;
use crate::policies::store::PolicyStore;
use crate::report::asked::{Asked, Kind, ReportError, Reporter};
use crate::report::funnel::{self, Sources};
use crate::report::sheet::Sheet;
use crate::report::{links, settlement};
use crate::telemetry::metrics::{counter, family};

/// The stores that reports are made of.
pub struct Desk {
    /// Front and back events.
    pub events: Arc<dyn EventStore>,
    /// Policy versions.
    pub policies: Arc<dyn PolicyStore>,
    /// The policy in force.
    pub in_force: Box<dyn Fn() -> Arc<PolicySet> + Send + Sync>,
    /// Names.
    pub words: Arc<Vocabulary>,
    /// Figures and touches.
    pub stats: Stats,
    /// Where hops are, for figures under other rules.
    pub data_dir: PathBuf,
    /// The ledger, and what it is made of.
    pub settler: Settler,
}

#[async_trait]
impl Reporter for Desk {
    async fn report(&self, kind: Kind, asked: &Asked) -> Result<Sheet, ReportError> {
        match kind {
            Kind::Funnel => {
                let in_force = (self.in_force)();
                let sources = Sources {
                    events: &*self.events,
                    clicks: &self.stats,
                    touches: &self.stats,
                    policies: &*self.policies,
                    in_force: &in_force,
                    words: &self.words,
                };
                funnel::sheet(sources, asked).await
            }
            Kind::Links => {
                let (stats, data_dir, asked) = (self.stats.clone(), self.data_dir.clone(), asked.clone());
                let counting = tokio::task::spawn_blocking(move || links::sheet(&stats, &data_dir, &asked, |_| {}));
                counting.await.map_err(|error| StoreError::Unavailable(error.to_string()))?
            }
            Kind::Settlement => settlement::sheet(&*self.settler.ledger, &self.settler.key, asked).await,
        }
    }
}

/// What became of events that were told.
pub(super) fn families(tally: &Tally) -> Vec<MetricFamily> {
    let results =
        Kept::ALL.iter().map(|kept| counter(tally.count(*kept) as f64, &[("result", kept.as_str().to_owned())]));
    vec![family(
        "hopgate_events_total",
        "Rows of front and back events told over the API since start, by what became of them.",
        MetricType::COUNTER,
        results.collect(),
    )]
}
