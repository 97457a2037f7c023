//! A lane: how one worker thread hands its hops to the writer and waits for them, without a lock or an allocation per hop.
//!
//! `append` encodes into the lane's buffer; the pump, one local task per lane, hands the whole buffer over once per turn
//! of the event loop, and the writer takes what was handed over while it wrote and rested: a group commit, which costs at
//! most one wake-up each way. Never writes a file and never numbers a record.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::time::{Interval, MissedTickBehavior};

use super::segment::{Kind, open_frame};
use super::shared::{BUFFER, LaneShared, Shared, lock};
use super::stats::{self, State};
use super::{Mode, wire};
use crate::domain::hop::Hop;

/// How a hop was recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// As the mode promises.
    Kept,
    /// Not, or not yet: the deadline passed, the backlog is full, or the journal has failed or was closed.
    Unsafe,
}

/// What became of an appended hop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Committed {
    /// How it was recorded.
    pub durability: Durability,
    /// When that was known. Read once for all hops of a batch (in mode `queued` once per turn of the event loop, so it
    /// may lie a little before the append; `Instant` subtraction then gives zero).
    pub at: Instant,
    /// From the beginning of the turn of the event loop that appended the hop until `at`: how long it took, read from
    /// one clock look a turn instead of one a hop.
    pub took: Duration,
}

/// Keeps an answer back until its hop is recorded; see [`Commit::hold`].
pub trait Held {
    /// The hop is recorded, or will not be in time: let the answer go. `mark` is what [`Commit::hold`] was given.
    fn release(&self, committed: Committed, mark: bool);
}

/// Who waits for a ticket.
enum Waiter {
    Task(Waker),
    Held { held: Rc<dyn Held>, mark: bool, begun: Instant },
}

/// One worker's way into the journal. Cheap to clone, bound to its thread.
#[derive(Clone)]
pub struct Lane(Rc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    own: Arc<LaneShared>,
    queued: bool,
    backlog: usize,
    buffer: RefCell<Vec<u8>>,
    /// The last ticket given.
    ticket: Cell<u64>,
    /// The last ticket handed over.
    out_upto: Cell<u64>,
    /// Bytes handed over in all, and how many of them were recorded when last looked.
    out_bytes: Cell<u64>,
    done_bytes: Cell<u64>,
    /// The last ticket recorded, and when that was seen.
    done: Cell<u64>,
    done_at: Cell<Instant>,
    /// The last ticket released unrecorded, and when.
    released: Cell<u64>,
    released_at: Cell<Instant>,
    /// When the first hop of this turn was appended.
    turn_at: Cell<Option<Instant>>,
    waiters: RefCell<Vec<(u64, Waiter)>>,
    spare_waiters: RefCell<Vec<(u64, Waiter)>>,
    pump: RefCell<Option<Waker>>,
    /// The pump has been woken and has not run yet.
    pump_due: Cell<bool>,
}

impl Lane {
    pub(super) fn new(shared: Arc<Shared>) -> Lane {
        let own = shared.add_lane();
        let now = Instant::now();
        Lane(Rc::new(Inner {
            own,
            queued: shared.config.mode == Mode::Queued,
            backlog: shared.config.backlog_bytes,
            shared,
            buffer: RefCell::new(Vec::with_capacity(BUFFER)),
            ticket: Cell::new(0),
            out_upto: Cell::new(0),
            out_bytes: Cell::new(0),
            done_bytes: Cell::new(0),
            done: Cell::new(0),
            done_at: Cell::new(now),
            released: Cell::new(0),
            released_at: Cell::new(now),
            turn_at: Cell::new(None),
            waiters: RefCell::default(),
            spare_waiters: RefCell::default(),
            pump: RefCell::default(),
            pump_due: Cell::new(false),
        }))
    }

    /// Takes a hop in. The future resolves when it is recorded as the mode promises, or `Unsafe` when that takes longer
    /// than the deadline (at most half of it more) or cannot happen. Dropping the future does not take the hop back.
    /// Nothing is handed over unless [`Lane::pump`] is running on this thread.
    pub fn append(&self, hop: &Hop<'_>) -> Commit {
        let inner = &*self.0;
        let now = inner.turn_at.get().unwrap_or_else(|| {
            let now = Instant::now();
            inner.turn_at.set(Some(now));
            now
        });
        let mut buffer = inner.buffer.borrow_mut();
        let unrecorded = (inner.out_bytes.get() - inner.done_bytes.get()) as usize;
        let full = buffer.len() + unrecorded + wire::most(hop) > inner.backlog;
        if full || matches!(inner.shared.stats.state(), State::Failed | State::Closed) {
            drop(buffer);
            // The pump clears the turn's instant.
            inner.wake_pump();
            stats::add(&inner.shared.stats.lost_total, 1);
            stats::add(&inner.shared.stats.unsafe_total, 1);
            return Commit(Wait::Over(Committed { durability: Durability::Unsafe, at: now, took: Duration::ZERO }));
        }
        open_frame(&mut buffer, Kind::Hop, wire::schema_of(hop), |out| wire::encode(hop, out));
        drop(buffer);
        let ticket = inner.ticket.get() + 1;
        inner.ticket.set(ticket);
        inner.own.appended.store(ticket, Ordering::Release);
        inner.wake_pump();
        if inner.queued {
            return Commit(Wait::Over(Committed { durability: Durability::Kept, at: now, took: now.elapsed() }));
        }
        Commit(Wait::For { lane: Rc::clone(&self.0), ticket, begun: now, waits: false, counts: true })
    }

    /// Resolves when everything appended so far is recorded; in mode `queued` too. For the end of a worker.
    pub fn flush(&self) -> Commit {
        let begun = Instant::now();
        Commit(Wait::For { lane: Rc::clone(&self.0), ticket: self.0.ticket.get(), begun, waits: false, counts: false })
    }

    /// The task that serves this lane: spawn it once, on this thread (`spawn_local`), in a runtime with time enabled. It
    /// ends when the journal is closed. A hop appended after the runtime is gone is handed over when the last clone of
    /// the lane is dropped.
    pub fn pump(&self) -> impl Future<Output = ()> + use<> {
        let mut pump = Pump { lane: Rc::clone(&self.0), tick: None, marks: [0; 2] };
        std::future::poll_fn(move |cx| pump.turn(cx))
    }
}

impl Inner {
    /// Sees to it that the pump runs once the tasks already queued have run. A wake-up on the own thread: no system call.
    fn wake_pump(&self) {
        if !self.pump_due.replace(true)
            && let Some(pump) = &*self.pump.borrow()
        {
            pump.wake_by_ref();
        }
    }

    /// Takes in what the writer has recorded.
    fn take_commits(&self) {
        let done = self.own.committed.load(Ordering::Acquire);
        if done > self.done.get() {
            self.done.set(done);
            self.done_at.set(Instant::now());
            self.done_bytes.set(self.own.committed_bytes.load(Ordering::Relaxed));
            self.wake_upto(done);
        }
    }

    /// Hands the buffer to the writer.
    fn hand_over(&self) {
        let upto = self.ticket.get();
        let hops = upto - self.out_upto.get();
        let mut frames = self.buffer.borrow_mut();
        self.out_upto.set(upto);
        self.out_bytes.set(self.out_bytes.get() + frames.len() as u64);
        if !self.shared.submit(&self.own, &mut frames, hops, upto) {
            drop(frames);
            stats::add(&self.shared.stats.lost_total, hops);
            self.release(upto, Instant::now());
        }
    }

    /// What became of a ticket, once that is known.
    fn committed(&self, ticket: u64, begun: Instant, counts: bool) -> Option<Committed> {
        let committed =
            |durability, at: Instant| Committed { durability, at, took: at.saturating_duration_since(begun) };
        if ticket <= self.done.get() {
            Some(committed(Durability::Kept, self.done_at.get()))
        } else if ticket <= self.released.get() {
            stats::add(&self.shared.stats.unsafe_total, counts.into());
            Some(committed(Durability::Unsafe, self.released_at.get()))
        } else {
            None
        }
    }

    /// Lets the waiters up to a ticket go unrecorded.
    fn release(&self, upto: u64, now: Instant) {
        if upto > self.released.get() {
            self.released.set(upto);
            self.released_at.set(now);
            self.wake_upto(upto);
        }
    }

    fn wake_upto(&self, upto: u64) {
        // Taken out first: a waker may do anything, even drop tasks that hold this lane.
        let mut waiters = self.waiters.replace(std::mem::take(&mut *self.spare_waiters.borrow_mut()));
        for (ticket, waiter) in waiters.drain(..) {
            match waiter {
                waiter if ticket > upto => self.waiters.borrow_mut().push((ticket, waiter)),
                Waiter::Task(waker) => waker.wake(),
                Waiter::Held { held, mark, begun } => {
                    if let Some(committed) = self.committed(ticket, begun, true) {
                        held.release(committed, mark);
                    }
                }
            }
        }
        *self.spare_waiters.borrow_mut() = waiters;
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.ticket.get() > self.out_upto.get() {
            self.hand_over();
        }
    }
}

/// Resolves to what became of an appended hop. Bound to its lane's thread.
#[must_use = "a redirect must not leave before its hop is recorded"]
pub struct Commit(Wait);

impl Commit {
    /// Leaves the waiting to `held`, which is told once, on this thread, by the lane's pump: cheaper than waking a task for
    /// every hop. Answers what became of the hop if that is known already; then `held` is not told.
    pub fn hold(self, held: Rc<dyn Held>, mark: bool) -> Option<Committed> {
        match self.0 {
            Wait::Over(committed) => Some(committed),
            Wait::For { lane, ticket, begun, counts, .. } => {
                let known = lane.committed(ticket, begun, counts);
                if known.is_none() {
                    lane.waiters.borrow_mut().push((ticket, Waiter::Held { held, mark, begun }));
                }
                known
            }
        }
    }
}

enum Wait {
    Over(Committed),
    For { lane: Rc<Inner>, ticket: u64, begun: Instant, waits: bool, counts: bool },
}

impl Future for Commit {
    type Output = Committed;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Committed> {
        let (lane, ticket, begun, waits, counts) = match &mut self.0 {
            Wait::Over(committed) => return Poll::Ready(*committed),
            Wait::For { lane, ticket, begun, waits, counts } => (lane, *ticket, *begun, waits, *counts),
        };
        let Some(committed) = lane.committed(ticket, begun, counts) else {
            let mut waiters = lane.waiters.borrow_mut();
            let known = if *waits { waiters.iter_mut().rev().find(|(other, _)| *other == ticket) } else { None };
            match known {
                Some((_, Waiter::Task(waker))) => waker.clone_from(cx.waker()),
                _ => waiters.push((ticket, Waiter::Task(cx.waker().clone()))),
            }
            *waits = true;
            return Poll::Pending;
        };
        self.0 = Wait::Over(committed);
        Poll::Ready(committed)
    }
}

/// The task of a lane; see [`Lane::pump`].
struct Pump {
    lane: Rc<Inner>,
    /// One interval for the life of the lane: a timer per batch would cost a system call each.
    tick: Option<Interval>,
    /// The last ticket at the last tick, and at the one before.
    marks: [u64; 2],
}

impl Pump {
    /// A ticket that is not recorded at the third tick after its append was late by then: two ticks are one deadline.
    fn keep_deadline(&mut self, cx: &mut Context<'_>) {
        let lane = &*self.lane;
        let period = (lane.shared.config.deadline / 2).max(Duration::from_millis(1));
        let tick = self.tick.get_or_insert_with(|| {
            let mut tick = tokio::time::interval(period);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            tick
        });
        // An idle lane does not tick.
        while lane.ticket.get() > lane.done.get().max(lane.released.get()) {
            let Poll::Ready(_) = tick.poll_tick(cx) else { return };
            let late = self.marks[1];
            self.marks = [lane.ticket.get(), self.marks[0]];
            if late > lane.done.get() {
                lane.release(late, Instant::now());
            }
        }
    }

    /// Ready when the journal is closed.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let lane = &*self.lane;
        lane.pump_due.set(false);
        lane.turn_at.set(None);
        for place in [&mut *lane.pump.borrow_mut(), &mut *lock(&lane.own.waker)] {
            if !place.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
                *place = Some(cx.waker().clone());
            }
        }
        lane.own.asleep.store(false, Ordering::SeqCst);
        loop {
            let state = lane.shared.stats.state();
            lane.take_commits();
            if matches!(state, State::Failed | State::Closed) {
                // What is still in the buffer will never be written; what is out, the writer counts.
                let buffered = lane.ticket.get() - lane.out_upto.get();
                if buffered > 0 {
                    stats::add(&lane.shared.stats.lost_total, buffered);
                    lane.buffer.take();
                    lane.out_upto.set(lane.ticket.get());
                }
                lane.release(lane.ticket.get(), Instant::now());
                return if state == State::Closed { Poll::Ready(()) } else { Poll::Pending };
            }
            if lane.ticket.get() > lane.out_upto.get() {
                lane.hand_over();
                continue;
            }
            // Said before the last look, so that a commit in between is either seen or wakes us.
            lane.own.asleep.store(true, Ordering::SeqCst);
            if lane.own.committed.load(Ordering::SeqCst) <= lane.done.get() {
                break;
            }
            lane.own.asleep.store(false, Ordering::SeqCst);
        }
        self.keep_deadline(cx);
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::tests::sample;
    use super::super::{Journal, JournalConfig};
    use super::*;

    async fn turns(lane: &Lane, count: u64) {
        for turn in 0..count {
            let mut commits = [const { None }; 60];
            for (place, commit) in commits.iter_mut().enumerate() {
                *commit = Some(lane.append(&sample(turn * 60 + place as u64)));
            }
            for commit in commits.into_iter().flatten() {
                assert_eq!(commit.await.durability, Durability::Kept);
            }
        }
    }

    #[test]
    fn a_warm_lane_allocates_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = JournalConfig::new(dir.path(), "gw-1");
        config.deadline = Duration::from_secs(20);
        let journal = Journal::open(config).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let local = tokio::task::LocalSet::new();
        let lane = journal.lane();
        local.spawn_local(lane.pump());
        local.block_on(&runtime, turns(&lane, 20));
        // Counts what this thread allocates: appends, commits, waiters and the pump. Boxed before, for tokio would box it;
        // what entering the runtime costs once falls out of the difference.
        let counted = |count| {
            let warm = Box::pin(turns(&lane, count));
            allocation_counter::measure(|| local.block_on(&runtime, warm))
        };
        let (once, twice) = (counted(50), counted(100));
        assert_eq!(twice.count_total, once.count_total, "{once:?} {twice:?}");
        drop((local, lane));
        journal.close(Duration::from_secs(20)).unwrap();
    }
}
