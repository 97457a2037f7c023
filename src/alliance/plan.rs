//! Which stretch of time is asked for next. Pure: cursor and instant come in as arguments.
//!
//! A pass goes from what is settled to the present in stretches that join. A stretch that is read before its `overlap` has
//! passed may still get rows that the network noticed late, so the settled mark stops where that begins, and the next pass
//! begins there again.

use std::time::Duration;

use super::request::Window;
use crate::domain::time::Timestamp;

/// The shortest stretch that is asked for.
const SHORTEST: Duration = Duration::from_secs(60);
/// Stretches that must go well before a longer one is tried again.
const WELL: u32 = 10;

const fn micros(span: Duration) -> i64 {
    span.as_micros() as i64
}

/// The instant a span before another.
pub fn before(at: Timestamp, span: Duration) -> Timestamp {
    at.plus_micros(-micros(span))
}

/// The instant a span after another.
pub fn after(at: Timestamp, span: Duration) -> Timestamp {
    at.plus_micros(micros(span))
}

/// The networks' times are whole seconds.
pub fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_micros(at.micros() - at.micros().rem_euclid(1_000_000))
}

/// A pass over what is not settled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pass {
    /// Where the next stretch begins.
    pub next: Timestamp,
    settled: Timestamp,
    holds: bool,
}

impl Pass {
    /// A pass that begins at the settled mark.
    pub fn new(from: Timestamp) -> Self {
        Pass { next: from, settled: from, holds: true }
    }

    /// The next stretch, at most `size` long and up to `end`; none when the pass is over.
    pub fn window(&self, size: Duration, end: Timestamp) -> Option<Window> {
        (self.next < end).then(|| Window { from: self.next, to: after(self.next, size).min(end) })
    }

    /// Goes on behind a stretch whose reading began at `now`; up to where everything is settled then.
    pub fn went(&mut self, window: Window, now: Timestamp, overlap: Duration) -> Timestamp {
        self.next = window.to;
        if self.holds {
            let settled = before(now, overlap).min(window.to);
            self.settled = self.settled.max(settled);
            self.holds = settled == window.to;
        }
        self.settled
    }
}

/// How long a stretch is asked for: shorter after the network could not manage, longer again when all goes well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size {
    most: Duration,
    now: Duration,
    well: u32,
}

impl Size {
    /// Begins with the longest.
    pub fn new(most: Duration) -> Self {
        Size { most, now: most, well: 0 }
    }

    /// The length.
    pub fn get(&self) -> Duration {
        self.now
    }

    /// The last stretch was too long.
    pub fn halve(&mut self) {
        self.now = (self.now / 2).max(SHORTEST.min(self.most));
        self.well = 0;
    }

    /// The last stretch was read.
    pub fn went_well(&mut self) {
        self.well += 1;
        if self.well >= WELL {
            self.now = (self.now * 2).min(self.most);
            self.well = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1_000)
    }

    #[test]
    fn a_pass_joins_its_stretches_and_settles_only_what_is_old_enough() {
        let (size, overlap) = (Duration::from_secs(300), Duration::from_secs(600));
        let now = at(10_000);
        let mut pass = Pass::new(at(9_000));
        let mut settled = Vec::new();
        let mut edges = Vec::new();
        while let Some(window) = pass.window(size, now) {
            edges.push((window.from.millis() / 1_000, window.to.millis() / 1_000));
            // Each stretch takes a minute to read.
            let begun = now.plus_micros(60_000_000 * i64::try_from(settled.len()).unwrap());
            settled.push(pass.went(window, begun, overlap).millis() / 1_000);
        }
        assert_eq!(edges, [(9_000, 9_300), (9_300, 9_600), (9_600, 9_900), (9_900, 10_000)]);
        // The second was read at 10,060: what came up to 9,460 is settled. Later readings do not touch it again.
        assert_eq!(settled, [9_300, 9_460, 9_460, 9_460]);
    }

    #[test]
    fn stretches_shrink_and_grow_again() {
        let mut size = Size::new(Duration::from_secs(600));
        size.halve();
        assert_eq!(size.get(), Duration::from_secs(300));
        for _ in 0..9 {
            size.halve();
        }
        assert_eq!(size.get(), SHORTEST);
        for _ in 0..WELL {
            size.went_well();
        }
        assert_eq!(size.get(), Duration::from_secs(120));
        for _ in 0..WELL * 9 {
            size.went_well();
        }
        assert_eq!(size.get(), Duration::from_secs(600));
    }

    proptest! {
        /// Whatever the steps: every instant before the settled mark was read at least `overlap` after it.
        #[test]
        fn what_is_settled_was_read_late_enough(
            steps in proptest::collection::vec((1u64..900, 0i64..200), 1..40),
            overlap in 1u64..900,
        ) {
            let overlap = Duration::from_secs(overlap);
            let mut now = 5_000i64;
            let mut pass = Pass::new(at(1_000));
            let mut read: Vec<(Window, Timestamp)> = Vec::new();
            let mut settled = at(1_000);
            for (size, took) in steps {
                now += took;
                let Some(window) = pass.window(Duration::from_secs(size), at(now)) else { pass = Pass::new(settled); continue };
                read.push((window, at(now)));
                settled = settled.max(pass.went(window, at(now), overlap));
                for second in (1_000..settled.millis() / 1_000).step_by(61) {
                    let covered = read.iter().any(|(window, when)| {
                        window.from <= at(second) && at(second) < window.to && after(at(second), overlap) <= *when
                    });
                    prop_assert!(covered, "{second} is not settled");
                }
            }
        }
    }
}
