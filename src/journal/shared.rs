//! What lanes, the writer thread and the sync thread share: the inbox, the lanes' counters and the sync requests.
//!
//! Each lock is held for a few moves of pointers, never across a file operation or a wake-up.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

use super::files::{Files, SegmentFile};
use super::stats::{JournalStats, State};
use super::{JournalConfig, stats};

/// Locks; a thread that panicked cannot have left these simple states half-changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hops a lane hands over: frames without numbers and sums.
pub(super) struct Batch {
    pub lane: Arc<LaneShared>,
    pub frames: Vec<u8>,
    pub hops: u64,
    /// The ticket of its last hop.
    pub upto: u64,
}

/// The part of a lane the writer sees. Tickets count the lane's hops from 1.
#[derive(Default)]
pub(super) struct LaneShared {
    /// The last ticket given. Stored by the lane only.
    pub appended: AtomicU64,
    /// The last ticket recorded as the mode promises. Stored by the writer only.
    pub committed: AtomicU64,
    /// An empty buffer on its way back to the lane.
    pub spare: Mutex<Vec<u8>>,
    /// The lane's pump.
    pub waker: Mutex<Option<Waker>>,
    /// The pump will not look again by itself.
    pub asleep: AtomicBool,
}

impl LaneShared {
    /// Wakes the pump unless it is about to look anyway: waking another thread's event loop costs a system call, and where
    /// both threads share a core the batch is mostly written before the pump has even returned from handing it over.
    pub(super) fn wake_if_asleep(&self) {
        if self.asleep.swap(false, Ordering::SeqCst) {
            self.wake();
        }
    }

    pub(super) fn wake(&self) {
        let waker = lock(&self.waker).clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[derive(Default)]
struct Inbox {
    batches: Vec<Batch>,
    /// The writer sleeps and must be woken; else it looks again by itself, and the wake-up's system call is saved.
    waiting: bool,
    closing: Option<Instant>,
    /// The writer is gone.
    ended: bool,
}

#[derive(Default)]
struct Syncs {
    current: Option<Arc<dyn SegmentFile>>,
    /// Something was written since the last sync.
    dirty: bool,
    /// The current file's name may not be on disk yet.
    unnamed: bool,
    asked: u64,
    done: u64,
    stop: bool,
}

pub(super) struct Shared {
    pub config: JournalConfig,
    pub stats: Arc<JournalStats>,
    inbox: Mutex<Inbox>,
    bell: Condvar,
    lanes: Mutex<Vec<Weak<LaneShared>>>,
    syncs: Mutex<Syncs>,
    sync_bell: Condvar,
}

/// Why the writer woke up.
pub(super) enum Wake {
    /// Batches were handed over.
    Batches,
    /// The instant it asked for has come.
    Timer,
    /// Everything was handed over and the journal is to be closed, or the time for that is over.
    Close,
}

impl Shared {
    pub(super) fn new(config: JournalConfig) -> Self {
        Shared {
            config,
            stats: Arc::new(JournalStats::new()),
            inbox: Mutex::default(),
            bell: Condvar::new(),
            lanes: Mutex::default(),
            syncs: Mutex::default(),
            sync_bell: Condvar::new(),
        }
    }

    pub(super) fn add_lane(&self) -> Arc<LaneShared> {
        let lane = Arc::new(LaneShared::default());
        let mut lanes = lock(&self.lanes);
        lanes.retain(|known| known.strong_count() > 0);
        lanes.push(Arc::downgrade(&lane));
        lane
    }

    /// Hands a batch to the writer; gives it back when there is no writer any more.
    pub(super) fn submit(&self, batch: Batch) -> Result<(), Batch> {
        let mut inbox = lock(&self.inbox);
        if inbox.ended {
            return Err(batch);
        }
        inbox.batches.push(batch);
        let asleep = std::mem::take(&mut inbox.waiting);
        // Rung after unlocking, so that the writer does not wake up only to wait for the lock.
        drop(inbox);
        if asleep {
            self.bell.notify_one();
        }
        Ok(())
    }

    /// The writer's sleep: until batches are there (moved into `taken`, which must be empty), `timer`, or closing time.
    pub(super) fn wait(&self, taken: &mut Vec<Batch>, timer: Option<Instant>) -> Wake {
        let mut inbox = lock(&self.inbox);
        loop {
            if !inbox.batches.is_empty() {
                std::mem::swap(&mut inbox.batches, taken);
                return Wake::Batches;
            }
            let now = Instant::now();
            let until = match inbox.closing {
                Some(deadline) if now >= deadline || self.lanes_are_idle() => return Wake::Close,
                // Lanes hand over by themselves, at the latest with their next tick.
                Some(deadline) => Some(deadline.min(now + Duration::from_millis(2))),
                None => timer,
            };
            if timer.is_some_and(|timer| now >= timer) {
                return Wake::Timer;
            }
            inbox.waiting = true;
            inbox = match until {
                None => self.bell.wait(inbox).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(now);
                    self.bell.wait_timeout(inbox, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
            inbox.waiting = false;
        }
    }

    /// Sleeps until a retry is due; `false` when closing time is over and there will be no other try.
    pub(super) fn wait_for_retry(&self, retry_at: Instant) -> bool {
        let mut inbox = lock(&self.inbox);
        loop {
            let now = Instant::now();
            if inbox.closing.is_some_and(|deadline| now >= deadline) {
                return false;
            }
            if now >= retry_at {
                return true;
            }
            let until = inbox.closing.map_or(retry_at, |deadline| deadline.min(retry_at));
            let left = until.saturating_duration_since(now);
            inbox = self.bell.wait_timeout(inbox, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lanes_are_idle(&self) -> bool {
        let failed = self.stats.state() == State::Failed;
        failed
            || lock(&self.lanes)
                .iter()
                .filter_map(Weak::upgrade)
                .all(|lane| lane.appended.load(Ordering::Acquire) == lane.committed.load(Ordering::Acquire))
    }

    /// Begins closing; the writer gives up at `deadline`.
    pub(super) fn close(&self, deadline: Instant) {
        lock(&self.inbox).closing = Some(deadline);
        self.bell.notify_all();
    }

    /// The writer's last word: nothing is handed over any more; what still was counts as lost.
    pub(super) fn end(&self) {
        let batches = {
            let mut inbox = lock(&self.inbox);
            inbox.ended = true;
            std::mem::take(&mut inbox.batches)
        };
        for batch in batches {
            stats::add(&self.stats.lost_total, batch.hops);
            batch.lane.wake();
        }
        lock(&self.syncs).stop = true;
        self.sync_bell.notify_all();
    }

    /// Fails for good. Says so once, loudly.
    pub(super) fn fail(&self, doing: &'static str, error: &io::Error) {
        if self.stats.move_to(State::Failed) {
            tracing::error!(
                dir = %self.config.dir.display(), doing, %error,
                "the journal has failed: no hop is recorded any more; mend the disk and start this node anew"
            );
        }
    }

    /// The file the sync thread looks after, and whether its header and name are on disk already.
    pub(super) fn set_current(&self, file: Arc<dyn SegmentFile>, synced: bool) {
        let mut syncs = lock(&self.syncs);
        syncs.current = Some(file);
        syncs.dirty = !synced;
        syncs.unnamed = !synced;
    }

    /// Syncs the current file now, and its name if that is still due.
    pub(super) fn sync_now(&self, file: &Arc<dyn SegmentFile>, files: &dyn Files) -> io::Result<()> {
        let unnamed = lock(&self.syncs).unnamed;
        let upto = self.stats.sync_begins();
        file.sync_data()?;
        if unnamed {
            files.sync_dir(&self.config.dir)?;
            let mut syncs = lock(&self.syncs);
            if syncs.current.as_ref().is_some_and(|current| Arc::ptr_eq(current, file)) {
                syncs.unnamed = false;
            }
        }
        self.stats.sync_done(upto);
        Ok(())
    }

    /// Something was written that no sync covers yet.
    pub(super) fn mark_dirty(&self) {
        lock(&self.syncs).dirty = true;
    }

    /// Asks for a sync now; answers what [`Shared::synced`] is asked with.
    pub(super) fn ask_sync(&self) -> u64 {
        let mut syncs = lock(&self.syncs);
        syncs.asked += 1;
        let asked = syncs.asked;
        drop(syncs);
        self.sync_bell.notify_one();
        asked
    }

    /// Whether a sync that began after that request is done.
    pub(super) fn synced(&self, asked: u64) -> bool {
        lock(&self.syncs).done >= asked
    }

    /// The sync thread: an fdatasync about every `sync_every`, or when asked. In mode `written` this bounds what a power
    /// cut can lose.
    pub(super) fn run_syncs(&self, files: &dyn Files) {
        let every = self.config.sync_every;
        loop {
            let begun = Instant::now();
            let mut syncs = lock(&self.syncs);
            while !syncs.stop && syncs.asked == syncs.done {
                let left = every.saturating_sub(begun.elapsed());
                if left.is_zero() {
                    break;
                }
                syncs = self.sync_bell.wait_timeout(syncs, left).unwrap_or_else(PoisonError::into_inner).0;
            }
            if syncs.stop {
                return;
            }
            let asked = syncs.asked;
            let file = syncs.current.clone().filter(|_| std::mem::take(&mut syncs.dirty));
            drop(syncs);
            if let Some(file) = file
                && let Err(error) = self.sync_now(&file, files)
            {
                return self.fail("fdatasync", &error);
            }
            lock(&self.syncs).done = asked;
        }
    }
}
