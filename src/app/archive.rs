//! The archive of a running gateway: one thread that turns finished segments into files, removes what may go, and erases
//! what is personal when its time is over. Last in line for the processor; never waited for by a click.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use prometheus::proto::MetricFamily;

use super::DataDir;
use crate::archive::keeper::{Follower, Keeper, Tally};
use crate::archive::purge::{Forgotten, How, PurgeError, What, note};
use crate::archive::raw::RawLog;
use crate::archive::seal::{End, SealError};
use crate::attribution::stats::Stats;
use crate::clock::Clock;
use crate::config::settings::Settings;
use crate::domain::click_id::ClickKey;
use crate::domain::span::Span;
use crate::domain::time::Timestamp;
use crate::telemetry::metrics::{counter_family, gauge_family};

/// How often finished segments are looked for.
const TURN: Duration = Duration::from_secs(5);
/// How often what is personal is looked for, from a minute after the start on.
const PURGE: Duration = Duration::from_secs(24 * 3_600);
/// When it is looked for first, and again after a failure.
const PURGE_SOON: Duration = Duration::from_secs(60);

/// The keeper of a data folder's archive, for a gateway and for the command line alike.
/// Whoever follows hops into a store of its own is among the followers: segments wait for it, and a purge asks it.
pub fn keeper(settings: &Settings, data: &DataDir, key: ClickKey, followers: Vec<Arc<dyn Follower>>) -> Keeper {
    Keeper::new(data.hops(), key, settings.archive.reserve, followers)
}

/// Figures and touches as a follower.
pub struct Figures(Stats);

impl Figures {
    /// Of a store that somebody keeps up.
    pub fn new(stats: Stats) -> Self {
        Figures(stats)
    }
}

impl Follower for Figures {
    fn name(&self) -> &'static str {
        "stats.sqlite"
    }

    fn passed(&self, node: &str, seq: u64) -> Result<bool, String> {
        let marks = self.0.marks().map_err(|error| error.to_string())?;
        Ok(marks.iter().any(|mark| mark.node == node && mark.seq >= seq))
    }

    fn hold(&self) -> Result<Option<File>, String> {
        match self.0.hold_rebuilds().map_err(|error| error.to_string())? {
            Some(held) => Ok(Some(held)),
            None => Err("`hopgate stats rebuild` is at work, or another purge".to_owned()),
        }
    }

    fn forget(&self, what: &What, how: How) -> Result<(), String> {
        self.0.clear_leftovers().map_err(|error| error.to_string())?;
        self.0.erase(what, all_clicks(what, how)).map_err(|error| error.to_string())?;
        // Too much work for every day: there, what is erased is overwritten as it goes.
        if how.thorough { self.0.overwrite().map_err(|error| error.to_string()) } else { Ok(()) }
    }

    fn found(&self, what: &What, how: How) -> Result<Vec<Forgotten>, String> {
        let all = all_clicks(what, how);
        let held = self.0.held(what, all).map_err(|error| error.to_string())?;
        let of = |table: &str, rows| Forgotten { store: self.name().to_owned(), table: table.to_owned(), rows };
        let touches = all.then(|| of("touches", held.touches));
        let leftovers = Some(self.0.leftovers().len() as u64).filter(|files| *files > 0);
        let leftovers = leftovers.map(|files| of("files of a rebuild that was killed", files));
        let tables = [of("visitors", held.visitors), of("creators seen", held.selves)];
        Ok(tables.into_iter().chain(touches).chain(leftovers).collect())
    }
}

/// A click that orders may name goes only with all others of its time.
fn all_clicks(what: &What, how: How) -> bool {
    how.clicks && what.creator.is_none() && what.code.is_none()
}

/// The raw log, where the operator wants one.
pub(super) fn raw_log(settings: &Settings, data: &DataDir, clock: &Clock) -> io::Result<RawLog> {
    match settings.privacy.raw {
        true => RawLog::start(data.raw(), settings.privacy.keep_raw, clock.clone()),
        false => Ok(RawLog::off()),
    }
}

/// The thread.
pub(super) struct Archiving {
    end: Sender<()>,
    work: Arc<End>,
    thread: JoinHandle<()>,
}

impl Archiving {
    pub(super) fn start(keeper: Keeper, settings: &Settings, data: &DataDir, clock: Clock) -> io::Result<Self> {
        let (end, ended) = channel();
        let asked = Arc::clone(keeper.end());
        let work = Work {
            keeper,
            keep_visitors: settings.privacy.keep_visitors,
            raw: data.raw(),
            purges: data.purges(),
            clock,
            failing: false,
        };
        let thread = std::thread::Builder::new().name("archive".to_owned()).spawn(move || {
            // Failing to step back is no reason not to work.
            let _ = rustix::process::setpriority_process(None, 19);
            let mut work = work;
            let mut purge = Instant::now() + PURGE_SOON;
            loop {
                work.turn();
                if Instant::now() >= purge {
                    purge = Instant::now() + if work.purge() { PURGE } else { PURGE_SOON };
                }
                if ended.recv_timeout(TURN) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        })?;
        Ok(Archiving { end, work: asked, thread })
    }

    /// Ends the thread; what it is at is done again at the next start.
    pub(super) fn end(self) -> std::thread::Result<()> {
        self.work.ask();
        drop(self.end);
        self.thread.join()
    }
}

struct Work {
    keeper: Keeper,
    keep_visitors: Option<Span>,
    raw: PathBuf,
    purges: PathBuf,
    clock: Clock,
    failing: bool,
}

impl Work {
    fn turn(&mut self) {
        match self.keeper.turn(Clock::System.now()) {
            Ok(turn) => {
                self.failing = false;
                for file in &turn.sealed {
                    tracing::info!(%file, "segment archived");
                }
                for segment in &turn.removed {
                    tracing::info!(%segment, "segment removed: it is archived, and its reserve has passed");
                }
            }
            Err(SealError::Ended) => {}
            // Said once; the metric goes on counting.
            Err(error) if !self.failing => {
                self.failing = true;
                tracing::error!(%error, "segments cannot be archived: they stay, and are tried again");
            }
            Err(_) => {}
        }
    }

    /// Erases what is personal and old enough; whether it was done.
    fn purge(&self) -> bool {
        let Some(keep) = self.keep_visitors else { return true };
        // A rehearsal of another year is no reason to erase, nor to keep.
        let now = Clock::System.now();
        let before = age(now.min(self.clock.now()), keep);
        let what = What { before, creator: None, code: None };
        let how = How { dry_run: false, thorough: false, journal: false, clicks: false };
        let done = self.keeper.purge(&what, how, &self.raw, now).and_then(|record| {
            if record.did_something() {
                note(&self.purges, &record)?;
            }
            Ok(record)
        });
        match done {
            Ok(record) if record.found_after == 0 => {
                if record.did_something() {
                    tracing::info!(%before, files = record.files.len(), "addresses and visitors of archived hops erased");
                }
                true
            }
            Ok(record) => {
                tracing::error!(%before, left = %record.left.join("; "), "what is personal could not all be erased");
                false
            }
            Err(PurgeError::Busy(_) | PurgeError::Archive(SealError::Ended)) => false,
            Err(error) => {
                tracing::error!(%error, "what is personal in archived hops could not be erased: it is tried again");
                false
            }
        }
    }
}

/// So long before an instant.
pub fn age(now: Timestamp, keep: Span) -> Timestamp {
    now.plus_micros(-keep.seconds().saturating_mul(1_000_000))
}

/// The archive's figures.
pub(super) fn families(tally: &Tally) -> Vec<MetricFamily> {
    let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
    vec![
        counter_family("hopgate_archive_segments_total", "Segments archived.", value(&tally.segments)),
        counter_family("hopgate_archive_bytes_total", "Bytes of the files they became.", value(&tally.bytes)),
        counter_family("hopgate_archive_removed_total", "Archived segments removed.", value(&tally.removed)),
        counter_family(
            "hopgate_archive_failures_total",
            "Attempts to archive or remove segments that failed; nothing was removed.",
            value(&tally.failures),
        ),
        gauge_family(
            "hopgate_archive_lag_seconds",
            "Since the oldest finished segment that could not be archived was written; 0 when all are.",
            value(&tally.lag),
        ),
        counter_family("hopgate_purges_total", "Purges that left nothing.", value(&tally.purges)),
        counter_family(
            "hopgate_purge_failures_total",
            "Purges that failed, or found something afterwards.",
            value(&tally.purge_failures),
        ),
        counter_family(
            "hopgate_purged_hops_total",
            "Hops whose address and visitor were erased.",
            value(&tally.erased),
        ),
    ]
}

/// The raw log's figures; none where it is off.
pub(super) fn raw_families(raw: &RawLog) -> Vec<MetricFamily> {
    if !raw.is_on() {
        return Vec::new();
    }
    vec![
        counter_family(
            "hopgate_raw_log_dropped_total",
            "Clicks the raw log did not take: too many waited.",
            raw.dropped() as f64,
        ),
        counter_family(
            "hopgate_raw_log_failures_total",
            "Lines of the raw log that could not be written, and old files that could not be deleted.",
            raw.failures() as f64,
        ),
    ]
}
