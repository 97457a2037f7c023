//! The journal: every decided click on the local disk, before its redirect leaves.
//!
//! It is the durability boundary of a gateway: whatever lies behind it (Parquet, rollups, PostgreSQL, JetStream) replays
//! its numbered chunks. Never talks to the network, never rewrites a record, never deletes a segment.
//!
//! ```text
//! worker ── Lane::append ──┐ (one buffer per worker, handed over once per turn of its event loop)
//! worker ── Lane::append ──┼─→ writer thread ── one write(2) per batch ──→ {first_seq:020}.hop
//!                          └── sync thread ── fdatasync about every second
//! ```
//!
//! Why not a crate: `open-wal` 0.2.1 was measured beside this on one busy 2-core machine (batches of 60 records of 128 and
//! 144 bytes, three runs in turn, November 2026). With a sync per batch both only wait for the disk: 640 to 2,980 µs a
//! batch there, 850 to 1,870 µs here. But its `commit` always syncs, so mode `written` cannot be had (330 to 780 ns of
//! wall time a hop here, 10,700 ns and more there); its reader borrows the writer, so nothing is read while writing; a
//! full disk poisons it for good; and lanes, cuts and the deadline would be ours in any case.
//!
//! Files: `wire` the body of a hop; `segment` headers, frames, cuts; `lane` the workers' side; `writer` the thread;
//! `shared` what lies between; `recover` opening after a crash; `read` and `export` the way out; `spans` the log in
//! stretches that can be read side by side; `sealed` the segments that are finished.

pub mod address;
mod chunk;
pub mod export;
#[cfg(test)]
pub(crate) mod faults;
pub mod files;
mod lane;
pub mod read;
mod recover;
mod scan;
pub mod sealed;
mod segment;
mod shared;
pub mod spans;
mod stats;
pub mod wire;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

pub use chunk::ChunkLimits;
pub use lane::{Commit, Committed, Durability, Held, Lane};
pub use recover::OpenError;
pub use segment::{Cut, Header, MAX_NODE};
pub use stats::{JournalStats, State};

pub use crate::config::settings::JournalMode as Mode;
use files::{Files, OsFiles};
use recover::{Tail, unusable};
use shared::Shared;
use writer::Writer;

/// How a journal is kept.
#[derive(Clone, Debug)]
pub struct JournalConfig {
    /// The folder; created if absent. One process at a time.
    pub dir: PathBuf,
    /// The name of this gateway, 1 to 64 bytes; part of every chunk's id.
    pub node: String,
    /// When a redirect may leave. Default `written`.
    pub mode: Mode,
    /// How long a hop may take to be recorded before its waiter is released as `Unsafe`. Default 20 ms, at least 2 ms;
    /// kept by a coarse tick, so a release comes up to half of it later.
    pub deadline: Duration,
    /// Bytes one lane keeps while the disk does not take them. Default 32 MiB.
    pub backlog_bytes: usize,
    /// A segment is ended at this many bytes (one batch or an eighth more, at most). Default 128 MiB.
    pub segment_bytes: u64,
    /// A segment with hops is ended at this age. Default 1 h.
    pub segment_age: Duration,
    /// When a chunk is cut.
    pub chunk: ChunkLimits,
    /// How often the sync thread syncs. Default 1 s.
    pub sync_every: Duration,
    /// How often a full disk is tried again. Default 1 s.
    pub retry_every: Duration,
}

impl JournalConfig {
    /// The defaults for a folder and a node.
    pub fn new(dir: impl Into<PathBuf>, node: impl Into<String>) -> Self {
        JournalConfig {
            dir: dir.into(),
            node: node.into(),
            mode: Mode::Written,
            deadline: Duration::from_millis(20),
            backlog_bytes: 32 * 1024 * 1024,
            segment_bytes: 128 * 1024 * 1024,
            segment_age: Duration::from_secs(3600),
            chunk: ChunkLimits::default(),
            sync_every: Duration::from_secs(1),
            retry_every: Duration::from_secs(1),
        }
    }
}

/// Why closing was not clean.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CloseError {
    /// The disk did not take everything in time. What was not written is lost with the process.
    #[error("the journal was not on disk in full within {0:?}: the disk is full or slow, or a lane was not served")]
    Late(Duration),
    /// It had failed before, or failed now; the log says why.
    #[error("the journal has failed: see the error logged when it did")]
    Failed,
}

/// An open journal. Dropping it closes it, with at most 5 s of waiting.
pub struct Journal {
    shared: Arc<Shared>,
    closed: Option<Receiver<bool>>,
}

/// Hands out lanes; can be sent to the workers' threads.
#[derive(Clone)]
pub struct Lanes(Arc<Shared>);

impl Lanes {
    /// A lane for the calling thread.
    pub fn lane(&self) -> Lane {
        Lane::new(Arc::clone(&self.0))
    }
}

impl Journal {
    /// Opens the journal of a folder: takes its lock, checks it, mends what a crash left, and starts its two threads.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was changed then, except that the folder and the lock file may have been created.
    pub fn open(config: JournalConfig) -> Result<Journal, OpenError> {
        Self::open_with(config, Arc::new(OsFiles))
    }

    /// [`Journal::open`] with other file operations than the operating system's, for tests of failing disks.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_with(config: JournalConfig, files: Arc<dyn Files>) -> Result<Journal, OpenError> {
        if config.node.is_empty() || config.node.len() > MAX_NODE {
            return Err(OpenError::BadNode(config.node));
        }
        let lock = recover::lock(&config.dir)?;
        let found = recover::recover(&config.dir, &config.node, &*files, writer::wall_clock_micros())?;
        let shared = Arc::new(Shared::new(config));
        let dir = &shared.config.dir;
        let (tail, file) = match found {
            Some(tail) => {
                let path = segment::path(dir, tail.segment);
                let file = files.open(&path).map_err(|source| unusable(&path, source))?;
                (tail, file)
            }
            None => {
                let file = writer::create(&shared, &*files, 1).map_err(|source| unusable(dir, source))?;
                file.sync_data().and_then(|()| files.sync_dir(dir)).map_err(|source| unusable(dir, source))?;
                let len = segment::HEADER as u64;
                (Tail { segment: 1, len, next_seq: 1, chunk: chunk::OpenChunk::EMPTY, truncated: 0 }, file)
            }
        };
        let writer = Writer::new(Arc::clone(&shared), Arc::clone(&files), file, &tail, lock);
        let (say_closed, closed) = sync_channel(1);
        let start = |name: &str, work: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(|source| unusable(dir, source))
        };
        let syncs = Arc::clone(&shared);
        start("journal-sync", Box::new(move || syncs.run_syncs(&*files)))?;
        if let Err(error) = start("journal-write", Box::new(move || writer.run(&say_closed))) {
            shared.end();
            return Err(error);
        }
        Ok(Journal { shared, closed: Some(closed) })
    }

    /// A lane for the calling thread.
    pub fn lane(&self) -> Lane {
        Lane::new(Arc::clone(&self.shared))
    }

    /// Hands out lanes on other threads.
    pub fn lanes(&self) -> Lanes {
        Lanes(Arc::clone(&self.shared))
    }

    /// The figures; they stay readable after closing.
    pub fn stats(&self) -> Arc<JournalStats> {
        Arc::clone(&self.shared.stats)
    }

    /// Waits until every lane has handed over and all is written, cuts the last chunk, syncs, and releases the lock.
    /// Blocks: call it on a thread without lanes, while their pumps still run or after they are dropped. Hops appended
    /// later are lost, and counted.
    ///
    /// # Errors
    /// [`CloseError`], at the latest a moment after `deadline`. When late, the lock stays held until the process ends.
    pub fn close(mut self, deadline: Duration) -> Result<(), CloseError> {
        self.close_within(deadline)
    }

    fn close_within(&mut self, deadline: Duration) -> Result<(), CloseError> {
        let Some(closed) = self.closed.take() else { return Ok(()) };
        self.shared.close(Instant::now() + deadline);
        // The writer keeps the deadline itself, unless the disk holds it.
        match closed.recv_timeout(deadline + Duration::from_millis(200)) {
            Ok(true) => Ok(()),
            _ if self.shared.stats.state() == State::Failed => Err(CloseError::Failed),
            _ => Err(CloseError::Late(deadline)),
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if let Err(error) = self.close_within(Duration::from_secs(5)) {
            tracing::error!(%error, "closing the journal");
        }
    }
}
