//! Keeps figures and touches up with the journal while a gateway runs, on a thread of its own.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use prometheus::proto::MetricFamily;
use tokio::sync::watch as signal;

use crate::attribution::stats::Stats;
use crate::attribution::stats::follow::Mark;
use crate::clock::Clock;
use crate::config::attribution::AttributionSettings;
use crate::domain::time::Timestamp;
use crate::journal::JournalStats;
use crate::telemetry::metrics::{counter_family, gauge_family};

/// How often the log is looked at.
const FOLLOW: Duration = Duration::from_secs(1);
/// How long the end of the process waits for what was recorded last.
const LAST: Duration = Duration::from_secs(5);
/// How often the end of the process is looked for.
const LOOK: Duration = Duration::from_millis(50);
/// How often what is too old is erased.
const FORGET: Duration = Duration::from_secs(600);

/// What following has done.
#[derive(Default)]
pub(super) struct Tally {
    hops: AtomicU64,
    failures: AtomicU64,
    /// When the log was last counted to its end, or counting began, in microseconds.
    caught_up: AtomicI64,
}

/// What following needs.
pub(super) struct Parts {
    pub(super) stats: Stats,
    pub(super) data_dir: PathBuf,
    pub(super) journal: Arc<JournalStats>,
    pub(super) settings: AttributionSettings,
    /// The gateway's: what is too old is so by the clock that clicks are recorded by.
    pub(super) clock: Clock,
    pub(super) tally: Arc<Tally>,
}

/// Begins to follow, until `ended` says that it is over; then once more to the end of the log.
pub(super) fn start(parts: Parts, ended: signal::Receiver<bool>) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("stats".to_owned()).spawn(move || {
        // Clicks come first; failing to step back is no reason not to count.
        let _ = rustix::process::setpriority_process(None, 10);
        follow(&parts, &ended);
    })
}

fn follow(parts: &Parts, ended: &signal::Receiver<bool>) {
    let Parts { stats, data_dir, journal, settings, clock, tally } = parts;
    let (mut failing, mut forgotten) = (false, None::<Instant>);
    tally.caught_up.store(Clock::System.now().micros(), Ordering::Relaxed);
    loop {
        // Asked before, so that what was recorded until then is counted.
        let last = is_over(ended);
        let durable = journal.durable_seq();
        let (mut before, begun) = (0, Instant::now());
        let followed = stats.catch_up_while(data_dir, Some(durable), |so_far| {
            tally.hops.fetch_add(so_far - before, Ordering::Relaxed);
            before = so_far;
            // What is left is counted after the next start.
            !is_over(ended) || (last && begun.elapsed() < LAST)
        });
        match followed {
            Ok(_) => {
                tally.caught_up.store(Clock::System.now().micros(), Ordering::Relaxed);
                failing = false;
                // Only when nothing waits: what is forgotten cannot be told apart any more.
                if forgotten.is_none_or(|at| at.elapsed() >= FORGET) {
                    forgotten = Some(Instant::now());
                    forget(stats, settings, clock.now());
                }
            }
            Err(error) => {
                tally.failures.fetch_add(1, Ordering::Relaxed);
                // Said once, not every second.
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!(%error, "figures cannot be kept up; clicks go on, and they are counted later");
                }
            }
        }
        if last {
            return;
        }
        let begun = Instant::now();
        while begun.elapsed() < FOLLOW && !is_over(ended) {
            std::thread::sleep(LOOK);
        }
    }
}

fn is_over(ended: &signal::Receiver<bool>) -> bool {
    // Its owner is gone: so is the gateway.
    *ended.borrow() || ended.has_changed().is_err()
}

fn forget(stats: &Stats, settings: &AttributionSettings, now: Timestamp) {
    let before = |at: Timestamp, seconds: i64| at.plus_micros(-seconds * 1_000_000);
    // Touches are as old as the latest of them makes them: a data folder of a season long past keeps its own.
    let latest = |marks: Vec<Mark>| marks.iter().map(|mark| mark.at).max().map_or(now, |at| at.min(now));
    let erased = stats
        .forget_visitors_before(before(now, settings.keep_visitors.seconds()))
        .and_then(|_| stats.marks())
        .and_then(|marks| stats.forget_touches_before(before(latest(marks), settings.keep_touches.seconds())))
        .and_then(|_| stats.tidy());
    if let Err(error) = erased {
        tracing::error!(%error, "what is too old cannot be erased from the figures");
    }
}

/// What following has done, for Prometheus.
pub(super) fn families(tally: &Tally) -> Vec<MetricFamily> {
    let caught_up = tally.caught_up.load(Ordering::Relaxed);
    let lag = match caught_up {
        0 => 0.0,
        at => (Clock::System.now().micros() - at) as f64 / 1e6,
    };
    vec![
        gauge_family("hopgate_stats_lag_seconds", "Since the log was last counted to its end.", lag.max(0.0)),
        counter_family("hopgate_stats_hops_total", "Hops counted.", tally.hops.load(Ordering::Relaxed) as f64),
        counter_family(
            "hopgate_stats_failures_total",
            "Times the log could not be counted; it is tried again.",
            tally.failures.load(Ordering::Relaxed) as f64,
        ),
    ]
}
