//! What time it is. The only room that asks the operating system; everything else is handed a [`Timestamp`].

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::domain::time::Timestamp;

/// A source of the present instant. Cheap to clone; clones agree.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The system's clock.
    #[default]
    System,
    /// The system's clock, moved by so many microseconds: a rehearsal of another hour.
    Shifted(i64),
    /// Stands still until a test moves it.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that reads `at` now and runs on from there.
    pub fn starting_at(at: Timestamp) -> Self {
        Clock::Shifted(at.micros() - system_micros())
    }

    /// A clock for tests that stands at `at`.
    pub fn manual(at: Timestamp) -> Self {
        Clock::Manual(Arc::new(AtomicI64::new(at.micros())))
    }

    /// Moves a manual clock; any other is left alone.
    pub fn set(&self, at: Timestamp) {
        if let Clock::Manual(micros) = self {
            micros.store(at.micros(), Ordering::SeqCst);
        }
    }

    /// The present instant.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_micros(match self {
            Clock::System => system_micros(),
            Clock::Shifted(offset) => system_micros().saturating_add(*offset),
            Clock::Manual(micros) => micros.load(Ordering::SeqCst),
        })
    }

    /// How far this clock is from the system's, in seconds; 0 in production.
    pub fn offset_seconds(&self) -> f64 {
        match self {
            Clock::System => 0.0,
            Clock::Shifted(offset) => *offset as f64 / 1e6,
            Clock::Manual(_) => (self.now().micros() - system_micros()) as f64 / 1e6,
        }
    }
}

fn system_micros() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros),
    }
}
