//! What lanes, the writer thread and the sync thread share: the inbox, the lanes' counters and the sync requests.
//!
//! Each lock is held for a few moves of pointers, or the copy of what one turn of an event loop brought; never across a file
//! operation or a wake-up.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

use super::JournalConfig;
use super::files::{Files, SegmentFile};
use super::stats::{JournalStats, State};

/// Locks; a thread that panicked cannot have left these simple states half-changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Room of a lane's buffers from the start: a hundred hops, so that none grows under an ordinary load.
pub(super) const BUFFER: usize = 32 * 1024;
/// A buffer that grew over this many bytes in an incident is given back to the system.
const KEPT_BUFFER: usize = 1024 * 1024;

/// Hops a lane hands over: frames without numbers and sums.
pub(super) struct Batch {
    pub frames: Vec<u8>,
    pub hops: u64,
    /// The ticket of its last hop.
    pub upto: u64,
}

impl Batch {
    /// Nothing, with room for an ordinary turn.
    pub(super) fn new() -> Self {
        Batch { frames: Vec::with_capacity(BUFFER), hops: 0, upto: 0 }
    }

    /// Empties it for reuse.
    pub(super) fn clear(&mut self) {
        self.frames.clear();
        if self.frames.capacity() > KEPT_BUFFER {
            self.frames.shrink_to(BUFFER);
        }
        (self.hops, self.upto) = (0, 0);
    }
}

/// The part of a lane the writer sees. Tickets count the lane's hops from 1.
pub(super) struct LaneShared {
    /// The last ticket given. Stored by the lane only.
    pub appended: AtomicU64,
    /// The last ticket recorded as the mode promises. Stored by the writer only.
    pub committed: AtomicU64,
    /// Bytes recorded in all. Stored by the writer only, before the ticket.
    pub committed_bytes: AtomicU64,
    /// Handed over and not yet taken by the writer. Whoever puts something into an empty one puts the lane into the inbox;
    /// the writer takes it after it has taken the lane out.
    handed: Mutex<Batch>,
    /// The lane's pump.
    pub waker: Mutex<Option<Waker>>,
    /// The pump will not look again by itself.
    pub asleep: AtomicBool,
}

impl LaneShared {
    fn new() -> Self {
        LaneShared {
            appended: AtomicU64::new(0),
            committed: AtomicU64::new(0),
            committed_bytes: AtomicU64::new(0),
            handed: Mutex::new(Batch::new()),
            waker: Mutex::default(),
            asleep: AtomicBool::new(false),
        }
    }

    /// What was handed over, for an empty batch.
    pub(super) fn take(&self, empty: Batch) -> Batch {
        std::mem::replace(&mut *lock(&self.handed), empty)
    }

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
    /// Lanes that have handed something over.
    lanes: Vec<Arc<LaneShared>>,
    /// The writer sleeps and must be woken; else it looks again by itself, and the wake-up's system call is saved.
    waiting: bool,
    closing: Option<Instant>,
    /// The writer takes nothing any more.
    closed: bool,
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
        let lane = Arc::new(LaneShared::new());
        let mut lanes = lock(&self.lanes);
        lanes.retain(|known| known.strong_count() > 0);
        lanes.push(Arc::downgrade(&lane));
        lane
    }

    /// Hands the frames of `hops` hops, the last of them with ticket `upto`, to the writer; `frames` is empty afterwards.
    /// `false` when it takes nothing any more. Wakes the writer only if it sleeps: one that writes or rests looks by itself.
    pub(super) fn submit(&self, lane: &Arc<LaneShared>, frames: &mut Vec<u8>, hops: u64, upto: u64) -> bool {
        let mut handed = lock(&lane.handed);
        let first = handed.hops == 0;
        if first {
            std::mem::swap(&mut handed.frames, frames);
        } else {
            handed.frames.append(frames);
        }
        handed.hops += hops;
        handed.upto = upto;
        drop(handed);
        if first && !self.announce(lane) {
            lock(&lane.handed).clear();
            return false;
        }
        true
    }

    /// Puts a lane into the inbox, unless that is closed.
    fn announce(&self, lane: &Arc<LaneShared>) -> bool {
        let mut inbox = lock(&self.inbox);
        if inbox.closed {
            return false;
        }
        inbox.lanes.push(Arc::clone(lane));
        let asleep = std::mem::take(&mut inbox.waiting);
        // Rung after unlocking, so that the writer does not wake up only to wait for the lock.
        drop(inbox);
        if asleep {
            self.bell.notify_one();
        }
        true
    }

    /// The writer leaves lanes time to hand more over, without being woken for it. Not at closing time.
    pub(super) fn rest(&self, time: Duration) {
        if lock(&self.inbox).closing.is_none() {
            std::thread::sleep(time);
        }
    }

    /// The writer's sleep: until lanes have handed something over (moved into `taken`, which must be empty), `timer`, or
    /// closing time.
    pub(super) fn wait(&self, taken: &mut Vec<Arc<LaneShared>>, timer: Option<Instant>) -> Wake {
        let mut inbox = lock(&self.inbox);
        loop {
            // First of all: lanes may go on handing over for ever.
            if inbox.closing.is_some_and(|deadline| Instant::now() >= deadline) {
                return Wake::Close;
            }
            if !inbox.lanes.is_empty() {
                std::mem::swap(&mut inbox.lanes, taken);
                return Wake::Batches;
            }
            let now = Instant::now();
            let until = match inbox.closing {
                Some(_) if self.lanes_are_idle() => return Wake::Close,
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

    /// Whether everything that was appended is recorded, or never will be.
    pub(super) fn lanes_are_idle(&self) -> bool {
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

    /// The lanes whose hops are still to be recorded; from here on nothing is handed over.
    pub(super) fn close_inbox(&self) -> Vec<Arc<LaneShared>> {
        let mut inbox = lock(&self.inbox);
        inbox.closed = true;
        std::mem::take(&mut inbox.lanes)
    }

    /// The writer's last word: ends the sync thread.
    pub(super) fn end(&self) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_lane_hands_over_before_it_is_taken_is_one_batch_in_order() {
        let shared = Shared::new(JournalConfig::new("unused", "gw-1"));
        let (one, two) = (shared.add_lane(), shared.add_lane());
        let submit = |lane, bytes: &[u8], hops, upto| {
            let mut frames = bytes.to_vec();
            assert!(shared.submit(lane, &mut frames, hops, upto));
            assert!(frames.is_empty());
        };
        submit(&one, b"ab", 2, 2);
        submit(&two, b"x", 1, 1);
        submit(&one, b"cde", 3, 5);

        let mut lanes = Vec::new();
        assert!(matches!(shared.wait(&mut lanes, None), Wake::Batches));
        assert_eq!(lanes.len(), 2);
        submit(&one, b"f", 1, 6);
        let batch = lanes[0].take(Batch::new());
        assert_eq!((&*batch.frames, batch.hops, batch.upto), (&b"abcdef"[..], 6, 6));
        let batch = lanes[1].take(Batch::new());
        assert_eq!((&*batch.frames, batch.hops, batch.upto), (&b"x"[..], 1, 1));

        // Taken empty, a lane says again that there is something.
        submit(&two, b"y", 1, 2);
        lanes.clear();
        assert!(matches!(shared.wait(&mut lanes, None), Wake::Batches));
        assert_eq!(lanes.len(), 1);
    }

    #[test]
    fn a_closed_inbox_gives_what_it_has_and_takes_nothing() {
        let shared = Shared::new(JournalConfig::new("unused", "gw-1"));
        let lane = shared.add_lane();
        assert!(shared.submit(&lane, &mut b"ab".to_vec(), 2, 2));
        let last = shared.close_inbox();
        assert_eq!(last.len(), 1);
        // Handed over before the lane was taken: it is recorded with the rest.
        assert!(shared.submit(&lane, &mut b"c".to_vec(), 1, 3));
        assert_eq!(last[0].take(Batch::new()).hops, 3);
        for _ in 0..2 {
            assert!(!shared.submit(&lane, &mut b"d".to_vec(), 1, 4));
            assert_eq!(lane.take(Batch::new()).hops, 0);
        }
    }
}
