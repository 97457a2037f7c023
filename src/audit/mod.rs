//! Deciding recorded hops once more: under the version that decided them, as proof ([`verify`]), or under a candidate, as
//! a forecast ([`backtest`]).
//!
//! Reads archive, journal and kept versions, and decides with the function a live click is decided with. Never changes a
//! record, never takes the journal's lock, never touches the click path: it runs beside a live gateway.
//!
//! - [`redecide`]: a hop's landings as facts, decided again;
//! - [`sweep`]: many threads over the log, results in log order;
//! - [`shift`]: the same click, so much later.

pub mod backtest;
pub mod redecide;
pub mod shift;
pub mod sweep;
pub mod verify;

use crate::domain::time::Timestamp;

/// Which hops are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Period {
    /// Decided at or after this instant …
    pub from: Timestamp,
    /// … and before this one; [`Timestamp::MAX`] leaves the end open.
    pub to: Timestamp,
}

impl Period {
    /// Everything.
    pub const ALL: Period = Period { from: Timestamp::MIN, to: Timestamp::MAX };

    /// Whether an instant lies in it.
    pub fn has(&self, at: Timestamp) -> bool {
        at >= self.from && (at < self.to || self.to == Timestamp::MAX)
    }
}
