//! What became of short links, counted. Never on the path of a click.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::domain::vocabulary::closed_list;

closed_list! {
    /// What became of one short link.
    Outcome {
        /// Its target is known.
        Resolved = "resolved",
        /// Its target was known already.
        Cached = "cached",
        /// It leads off the list of marketplaces.
        OffList = "off_list",
        /// It leads to a marketplace of another family.
        Elsewhere = "elsewhere",
        /// A page named several targets, one of them off the list.
        Ambiguous = "ambiguous",
        /// A page asked to log in.
        Login = "login",
        /// A page only opened an app.
        OpensApp = "opens_app",
        /// A page could not be reached.
        Unreachable = "unreachable",
        /// A host has an address that is not public.
        NotPublic = "not_public",
        /// It took too long.
        TimedOut = "timed_out",
        /// Too many were under way.
        Busy = "busy",
        /// A page answered with an error.
        Status = "status",
        /// A page came compressed.
        Encoded = "encoded",
        /// A page did not say where it leads.
        NoTarget = "no_target",
        /// Pages led in a circle.
        Loop = "loop",
        /// More pages than are asked.
        TooManyHops = "too_many_hops",
    }
}

/// Upper bounds of the buckets of `hopgate_resolve_seconds`.
pub const BOUNDS: [f64; 9] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0];

/// Counts of one resolver.
#[derive(Debug, Default)]
pub struct Tally {
    outcomes: [AtomicU64; Outcome::ALL.len()],
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Tally {
    /// Counts one.
    pub fn count(&self, outcome: Outcome) {
        self.outcomes[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Notes how long one took.
    pub fn took(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How many ended so.
    pub fn counted(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize].load(Ordering::Relaxed)
    }

    /// Those in each bucket, the last one without a bound, and the seconds of all.
    pub fn times(&self) -> ([u64; BOUNDS.len() + 1], f64) {
        let counts = std::array::from_fn(|place| self.buckets[place].load(Ordering::Relaxed));
        (counts, self.micros.load(Ordering::Relaxed) as f64 / 1e6)
    }
}
