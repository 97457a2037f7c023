//! Many threads over the log, results in log order: whatever the number of threads, what is merged first was recorded
//! first. Bounded: no thread runs far ahead of the slowest. Never reads a record itself.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use crate::archive::spans::Span;

/// Results a thread may be ahead of the merging, for each thread.
const AHEAD: usize = 4;
/// Hops between two looks at whether the run was cancelled.
const LOOK_EVERY: u64 = 65_536;

/// How far a run is; read by anyone meanwhile.
#[derive(Debug, Default)]
pub struct Progress {
    total: AtomicU64,
    done: AtomicU64,
    hops: AtomicU64,
    cancelled: AtomicBool,
}

impl Progress {
    /// Says how much there is to read.
    pub fn begin(&self, bytes: u64) {
        self.total.store(bytes, Ordering::Relaxed);
    }

    /// From 0 to 1.
    pub fn share(&self) -> f64 {
        let (done, total) = (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
        if total == 0 { 0.0 } else { (done as f64 / total as f64).min(1.0) }
    }

    /// Hops read so far.
    pub fn hops(&self) -> u64 {
        self.hops.load(Ordering::Relaxed)
    }

    /// Asks the run to end soon, without a result.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked to.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Counts a hop read; `false` when the run was cancelled. Cheap: the shared count is touched once in a while.
    pub fn tick(&self, unsaid: &mut u64) -> bool {
        *unsaid += 1;
        if *unsaid < LOOK_EVERY {
            return true;
        }
        self.hops.fetch_add(std::mem::take(unsaid), Ordering::Relaxed);
        !self.is_cancelled()
    }

    fn end_span(&self, span: &Span, unsaid: u64) {
        self.hops.fetch_add(unsaid, Ordering::Relaxed);
        self.done.fetch_add(span.bytes(), Ordering::Relaxed);
    }
}

/// How a run is spread over the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spread {
    /// Threads; at least one works.
    pub threads: usize,
    /// Whether everything else on the machine goes first.
    pub yields: bool,
}

impl Spread {
    /// A thread for every core this process may use.
    pub fn all_cores() -> Self {
        Spread { threads: std::thread::available_parallelism().map_or(1, usize::from), yields: false }
    }

    /// One thread that leaves the machine to clicks.
    pub fn background() -> Self {
        Spread { threads: 1, yields: true }
    }
}

struct State<P, M> {
    /// The next stretch nobody has taken, and the next to be merged.
    next: usize,
    merged: usize,
    waiting: BTreeMap<usize, P>,
    merge: M,
    ended: bool,
}

/// Calls when its thread panics.
struct Wake<F: Fn()>(F);

impl<F: Fn()> Drop for Wake<F> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.0)();
        }
    }
}

/// Runs `work` over every span and hands its results to `merge` in the order of `spans`, until that breaks off. `work`
/// gets a count to pass to [`Progress::tick`].
pub fn sweep<P: Send>(
    spans: &[Span],
    spread: Spread,
    progress: &Progress,
    work: impl Fn(&Span, &mut u64) -> P + Sync,
    merge: impl FnMut(P) -> ControlFlow<()> + Send,
) {
    let threads = spread.threads.clamp(1, spans.len().max(1));
    let state = Mutex::new(State { next: 0, merged: 0, waiting: BTreeMap::new(), merge, ended: false });
    let moved = Condvar::new();
    let take = || {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if state.ended || state.next == spans.len() || progress.is_cancelled() {
                return None;
            }
            if state.next < state.merged + threads * AHEAD {
                state.next += 1;
                return Some(state.next - 1);
            }
            state = moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    };
    let give = |place: usize, result: P| {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { merged, waiting, merge, ended, .. } = &mut *state;
        waiting.insert(place, result);
        while let Some(result) = waiting.remove(merged) {
            *merged += 1;
            if !*ended && merge(result).is_break() {
                *ended = true;
            }
        }
        moved.notify_all();
    };
    let run = || {
        // A thread that panics must not leave the others waiting for its result.
        let _wake = Wake(|| {
            state.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
            moved.notify_all();
        });
        if spread.yields {
            // Failing to step back is no reason not to work.
            let _ = rustix::process::setpriority_process(None, 19);
        }
        while let Some(place) = take() {
            let mut unsaid = 0;
            let result = work(&spans[place], &mut unsaid);
            progress.end_span(&spans[place], unsaid);
            give(place, result);
        }
    };
    std::thread::scope(|scope| {
        for number in 0..threads {
            let named = std::thread::Builder::new().name(format!("audit-{number}")).spawn_scoped(scope, run);
            if named.is_err() && number == 0 {
                run();
            }
        }
    });
}
