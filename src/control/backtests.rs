//! Backtests that were asked for over the API: one at a time on a thread of its own that leaves the machine to clicks, and
//! the last few results. In memory only: they are gone with the process. Never holds a request up.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::{Value, json};

use crate::archive::Recorded;
use crate::audit::Period;
use crate::audit::backtest::{Question, Report, backtest};
use crate::audit::shift::Shift;
use crate::audit::sweep::{Progress, Spread};
use crate::clock::Clock;
use crate::domain::click_id::ClickKey;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::closed_list;
use crate::policies::store::{PolicyStore, StoreError};
use crate::policies::versions::Kept;

/// Backtests that have ended and are kept.
const KEPT: usize = 16;

closed_list! {
    /// How a backtest stands.
    JobState {
        /// It reads.
        Running = "running",
        /// It has a result.
        Done = "done",
        /// The journal could not be read; the log says why.
        Failed = "failed",
        /// It was told to end.
        Cancelled = "cancelled",
    }
}

/// What is asked of a job.
pub struct Order {
    /// The candidate.
    pub candidate: Kept,
    /// Which hops.
    pub period: Period,
    /// So much later.
    pub shift: Option<Shift>,
    /// Only hops of this platform; only whoever speaks for it, or for all, sees the job.
    pub platform: Option<String>,
    /// Machines count in the breakdowns too.
    pub include_machines: bool,
    /// Samples of each cell.
    pub samples: usize,
    /// Picks them.
    pub seed: u64,
}

/// A job as the API shows it.
#[derive(Clone, Debug, Serialize)]
pub struct JobView {
    /// Its id.
    pub id: String,
    /// How it stands.
    pub state: JobState,
    /// From 0 to 1.
    pub progress: f64,
    /// Hops read so far.
    pub hops_read: u64,
    /// The candidate's version.
    pub candidate: String,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// What went wrong, or why the result says nothing.
    pub problem: Option<String>,
    /// The report.
    pub result: Option<Value>,
}

struct Job {
    view: JobView,
    platform: Option<String>,
    progress: Arc<Progress>,
}

/// The backtests of this node.
#[derive(Clone)]
pub struct Backtests(Arc<Shared>);

struct Shared {
    jobs: Mutex<Vec<Job>>,
    hops: Recorded,
    key: ClickKey,
    clock: Clock,
    store: Arc<dyn PolicyStore>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        let jobs = self.jobs.get_mut().unwrap_or_else(PoisonError::into_inner);
        jobs.iter().for_each(|job| job.progress.cancel());
    }
}

impl Shared {
    fn jobs(&self) -> MutexGuard<'_, Vec<Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a job was not begun.
#[derive(Debug)]
pub enum NotBegun {
    /// Another one runs; its id.
    Running(String),
    /// The operating system gives no thread.
    NoThread(std::io::Error),
}

impl Backtests {
    /// None yet.
    pub fn new(hops: Recorded, key: ClickKey, clock: Clock, store: Arc<dyn PolicyStore>) -> Self {
        Backtests(Arc::new(Shared { jobs: Mutex::default(), hops, key, clock, store }))
    }

    /// Begins one. Needs a tokio runtime around it.
    ///
    /// # Errors
    /// [`NotBegun`].
    pub fn begin(&self, order: Order) -> Result<JobView, NotBegun> {
        let now = self.0.clock.now();
        let progress = Arc::new(Progress::default());
        let mut jobs = self.0.jobs();
        if let Some(running) = jobs.iter().find(|job| job.view.state == JobState::Running) {
            return Err(NotBegun::Running(running.view.id.clone()));
        }
        let mut number = now.micros();
        while jobs.iter().any(|job| job.view.id == id(number)) {
            number += 1;
        }
        let view = JobView {
            id: id(number),
            state: JobState::Running,
            progress: 0.0,
            hops_read: 0,
            candidate: order.candidate.policy.version().to_string(),
            created_at: now,
            finished_at: None,
            problem: None,
            result: None,
        };
        // The thread must not keep the list alive: dropping that is what cancels it.
        let (shared, name) = (Arc::downgrade(&self.0), view.id.clone());
        let (hops, key) = (self.0.hops.clone(), self.0.key.clone());
        let (platform, watched) = (order.platform.clone(), Arc::clone(&progress));
        let runtime = tokio::runtime::Handle::current();
        let work = move || {
            let question = Question {
                policy: &order.candidate.policy,
                words: &order.candidate.words,
                period: order.period,
                shift: order.shift,
                platform: order.platform.as_deref(),
                include_machines: order.include_machines,
                samples: order.samples,
                seed: order.seed,
            };
            let result = backtest(&hops, &question, &key, Spread::background(), &watched);
            if let Some(shared) = shared.upgrade() {
                // Over one platform's hops alone it is no proof for all.
                if let (Ok(Some(report)), None) = (&result, question.platform) {
                    let version = question.policy.version().full();
                    let noted = note(&*shared.store, &version, report, question.period, shared.clock.now());
                    if let Err(error) = runtime.block_on(noted) {
                        tracing::error!(%error, "a backtest could not be noted beside its version");
                    }
                }
                let result = result.map_err(|error| {
                    tracing::error!(%error, "backtest");
                    "the hop log could not be read: ask ops, the log says why".to_owned()
                });
                shared.end(&name, result);
            }
        };
        std::thread::Builder::new().name("backtest".to_owned()).spawn(work).map_err(NotBegun::NoThread)?;
        jobs.push(Job { view: view.clone(), platform, progress });
        while jobs.len() > KEPT + 1 {
            jobs.remove(0);
        }
        Ok(view)
    }

    /// One that a caller may see: of its own platform, or any for who speaks for all.
    pub fn get(&self, id: &str, platform: Option<&str>) -> Option<JobView> {
        let jobs = self.0.jobs();
        let job = jobs.iter().find(|job| job.view.id == id && job.is_for(platform))?;
        let mut view = job.view.clone();
        view.hops_read = job.progress.hops();
        view.progress = if view.state == JobState::Done { 1.0 } else { job.progress.share() };
        Some(view)
    }

    /// Ends a running one, or forgets one that has ended; whether there is one.
    pub fn remove(&self, id: &str, platform: Option<&str>) -> bool {
        let mut jobs = self.0.jobs();
        let Some(place) = jobs.iter().position(|job| job.view.id == id && job.is_for(platform)) else { return false };
        if jobs[place].view.state == JobState::Running {
            jobs[place].progress.cancel();
        } else {
            jobs.remove(place);
        }
        true
    }
}

impl Job {
    fn is_for(&self, platform: Option<&str>) -> bool {
        platform.is_none_or(|platform| self.platform.as_deref() == Some(platform))
    }
}

impl Shared {
    fn end(&self, id: &str, result: Result<Option<Report>, String>) {
        let now = self.clock.now();
        let mut jobs = self.jobs();
        let Some(job) = jobs.iter_mut().find(|job| job.view.id == id) else { return };
        job.view.finished_at = Some(now);
        (job.view.state, job.view.problem) = match result {
            Ok(Some(report)) => {
                let problem = (report.hops == 0).then(|| "no hops were recorded in this period".to_owned());
                job.view.result = serde_json::to_value(report).ok();
                (JobState::Done, problem)
            }
            Ok(None) => (JobState::Cancelled, None),
            Err(problem) => (JobState::Failed, Some(problem)),
        };
    }
}

/// Notes beside a kept version that it was run over recorded hops. One that is not kept is not noted, nor is a run over
/// none, unless nothing was left out: where nothing is recorded yet there is nothing else to run it over.
///
/// # Errors
/// [`StoreError`].
pub async fn note(
    store: &dyn PolicyStore,
    version: &str,
    report: &Report,
    period: Period,
    now: Timestamp,
) -> Result<(), StoreError> {
    let whole = period.from == Timestamp::MIN && period.to == Timestamp::MAX;
    if report.hops == 0 && !whole {
        return Ok(());
    }
    let summary = json!({
        "hops": report.hops, "first": report.first, "last": report.last, "people": report.people,
        "machines": report.machines,
    });
    // `false`: it is not kept.
    store.note_backtest(version, &summary.to_string(), now).await.map(|_noted| ())
}

fn id(number: i64) -> String {
    format!("bt-{number:x}")
}
