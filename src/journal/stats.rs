//! Figures of a running journal, for metrics and readiness. Written by the journal's threads, read by anyone at any
//! time without a lock. Never decides anything.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Instant;

use crate::domain::vocabulary::closed_list;

closed_list! {
    /// Whether the journal takes records.
    State {
        /// All is well.
        Ready = "ready",
        /// The disk is full: records wait in memory and are tried again; the node is not ready.
        Full = "full",
        /// A write or a sync failed: nothing is recorded any more until the process is started anew.
        Failed = "failed",
        /// Closed in order.
        Closed = "closed",
    }
}

/// Figures of one journal. Counters start at zero with the process.
#[derive(Debug)]
pub struct JournalStats {
    begun: Instant,
    state: AtomicU8,
    pub(super) appended_total: AtomicU64,
    pub(super) appended_bytes: AtomicU64,
    pub(super) unsafe_total: AtomicU64,
    pub(super) lost_total: AtomicU64,
    pub(super) batches: AtomicU64,
    pub(super) segment: AtomicU64,
    pub(super) last_seq: AtomicU64,
    pub(super) durable_seq: AtomicU64,
    pub(super) truncated_at_open: AtomicU64,
    /// Nanoseconds after `begun`, plus one, of the oldest record that no sync has begun for; 0 when there is none.
    unsynced: AtomicU64,
    /// The same of the oldest record that a running sync covers.
    syncing: AtomicU64,
}

impl JournalStats {
    pub(super) fn new() -> Self {
        JournalStats {
            begun: Instant::now(),
            state: AtomicU8::new(State::Ready as u8),
            appended_total: AtomicU64::new(0),
            appended_bytes: AtomicU64::new(0),
            unsafe_total: AtomicU64::new(0),
            lost_total: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            segment: AtomicU64::new(0),
            last_seq: AtomicU64::new(0),
            durable_seq: AtomicU64::new(0),
            truncated_at_open: AtomicU64::new(0),
            unsynced: AtomicU64::new(0),
            syncing: AtomicU64::new(0),
        }
    }

    /// Whether records are taken.
    pub fn state(&self) -> State {
        let place = usize::from(self.state.load(Ordering::Acquire));
        State::ALL.get(place).copied().unwrap_or(State::Failed)
    }

    /// Hops written to the log.
    pub fn appended_total(&self) -> u64 {
        self.appended_total.load(Ordering::Relaxed)
    }

    /// Bytes written to the log, frame heads and cuts included.
    pub fn appended_bytes(&self) -> u64 {
        self.appended_bytes.load(Ordering::Relaxed)
    }

    /// Commits that resolved as `Unsafe`: redirects that left before their hop was recorded as the mode promises. Those
    /// of lost hops are among them.
    pub fn unsafe_total(&self) -> u64 {
        self.unsafe_total.load(Ordering::Relaxed)
    }

    /// Hops that will never be in the log: refused because the backlog was full or the journal had failed or was
    /// closed, or dropped by a failure.
    pub fn lost_total(&self) -> u64 {
        self.lost_total.load(Ordering::Relaxed)
    }

    /// Writes of hops; `appended_total / batches` is the size of a group commit.
    pub fn batches(&self) -> u64 {
        self.batches.load(Ordering::Relaxed)
    }

    /// First sequence number of the segment being written, which is also its name.
    pub fn segment(&self) -> u64 {
        self.segment.load(Ordering::Relaxed)
    }

    /// Sequence number of the last frame written; one less than the first segment's when there is none.
    pub fn last_seq(&self) -> u64 {
        self.last_seq.load(Ordering::Acquire)
    }

    /// Sequence number of the last frame known to be on disk. What ships chunks must not go past it: a power cut may
    /// take back what lies behind, and its numbers are then given again.
    pub fn durable_seq(&self) -> u64 {
        self.durable_seq.load(Ordering::Acquire)
    }

    /// Bytes of a torn tail that opening cut off.
    pub fn truncated_at_open(&self) -> u64 {
        self.truncated_at_open.load(Ordering::Relaxed)
    }

    /// Seconds since the oldest record was written that is not known to be on disk; 0 when all are.
    pub fn durable_lag_seconds(&self) -> f64 {
        let (unsynced, syncing) = (self.unsynced.load(Ordering::Acquire), self.syncing.load(Ordering::Acquire));
        let oldest = [unsynced, syncing].into_iter().filter(|mark| *mark != 0).min();
        oldest.map_or(0.0, |mark| self.mark().saturating_sub(mark) as f64 / 1e9)
    }

    /// Sets the state unless it has failed for good; whether it did.
    pub(super) fn move_to(&self, state: State) -> bool {
        let update = |now| (now != State::Failed as u8).then_some(state as u8);
        self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, update).is_ok()
    }

    fn mark(&self) -> u64 {
        self.begun.elapsed().as_nanos() as u64 + 1
    }

    /// Records were written. Called after the write, so that a sync begun earlier cannot be taken to cover them.
    pub(super) fn written(&self) {
        if self.unsynced.load(Ordering::Acquire) == 0 {
            // Only the writer sets the mark; a sync may clear it at the same time, which is fine: it covers the write.
            self.unsynced.store(self.mark(), Ordering::Release);
        }
    }

    /// A sync begins; answers up to which record it will hold. The order matters: the mark is never absent from both
    /// places, and only what was written before counts.
    pub(super) fn sync_begins(&self) -> u64 {
        let mark = self.unsynced.load(Ordering::Acquire);
        if mark != 0 {
            self.syncing.store(mark, Ordering::Release);
            self.unsynced.store(0, Ordering::Release);
        }
        self.last_seq.load(Ordering::Acquire)
    }

    /// The sync succeeded.
    pub(super) fn sync_done(&self, upto: u64) {
        self.syncing.store(0, Ordering::Release);
        self.durable_seq.fetch_max(upto, Ordering::AcqRel);
    }
}

/// Adds to a counter.
pub(super) fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}
