//! What is erased by age: what is remembered of visitors after days, touches after months. Figures stay.

use rusqlite::{Connection, TransactionBehavior, params};

use super::apply::{fact, note_fact};
use super::{Stats, StoreError, unavailable};
use crate::domain::time::Timestamp;

/// Rows erased in one transaction, so that nobody waits long.
const SLICE: i64 = 50_000;
/// Changes that are told apart; older ones become one.
const CHANGES: i64 = 10_000;

/// What was erased.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Forgotten {
    /// What was remembered of visitors, each for one day.
    pub visitors: u64,
    /// Sightings of creators.
    pub selves: u64,
    /// Touches.
    pub touches: u64,
}

impl Stats {
    /// Erases what is remembered of visitors of Beijing days that ended at `before` or earlier, and which creators were seen
    /// then. Counts stay; a hop of such a day that comes later still is counted as a click, but can no longer be marked or
    /// told from another visitor's.
    ///
    /// # Errors
    /// [`StoreError`]; what was erased before stays erased.
    pub fn forget_visitors_before(&self, before: Timestamp) -> Result<Forgotten, StoreError> {
        let day = before.beijing_day();
        let mut writer = self.writer();
        let mut forgotten = Forgotten::default();
        let mut slice = || -> rusqlite::Result<u64> {
            let transaction = writer.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let last: Option<i64> =
                transaction.query_row("SELECT MAX(day) FROM stats_visitors WHERE day < ?1", [day], |row| row.get(0))?;
            // Only what was there can be missed later: old hops that are counted for the first time are counted exactly.
            if let Some(last) = last {
                let before: i64 = fact(&transaction, FORGOTTEN)?.and_then(|text| text.parse().ok()).unwrap_or(i64::MIN);
                note_fact(&transaction, FORGOTTEN, &before.max(last + 1).to_string())?;
            }
            let sql = "DELETE FROM stats_visitors WHERE (day, visitor) IN \
                       (SELECT day, visitor FROM stats_visitors WHERE day < ?1 LIMIT ?2)";
            let erased = transaction.prepare_cached(sql)?.execute(params![day, SLICE])?;
            transaction.commit()?;
            Ok(erased as u64)
        };
        loop {
            let erased = slice().map_err(unavailable)?;
            forgotten.visitors += erased;
            if erased < SLICE as u64 {
                break;
            }
        }
        let selves =
            writer.connection.execute("DELETE FROM stats_selves WHERE day < ?1", [day]).map_err(unavailable)?;
        forgotten.selves = selves as u64;
        Ok(forgotten)
    }

    /// Erases touches of instants before `before`.
    ///
    /// # Errors
    /// [`StoreError`]; what was erased before stays erased.
    pub fn forget_touches_before(&self, before: Timestamp) -> Result<Forgotten, StoreError> {
        let mut forgotten = Forgotten::default();
        loop {
            let mut writer = self.writer();
            let erased = erase_touches(&mut writer.connection, before.micros()).map_err(unavailable)?;
            forgotten.touches += erased;
            if erased < SLICE as u64 {
                return Ok(forgotten);
            }
        }
    }

    /// Erases what is remembered of visitors and creators as [`Stats::forget_visitors_before`] does, so that the file holds
    /// none of it afterwards: what is free is overwritten.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn erase_visitors_before(&self, before: Timestamp) -> Result<Forgotten, StoreError> {
        self.overwriting(|| self.forget_visitors_before(before))
    }

    /// Erases all of it, the same way: what is remembered of visitors and of creators, and touches.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn forget_before(&self, before: Timestamp) -> Result<Forgotten, StoreError> {
        self.overwriting(|| {
            let visitors = self.forget_visitors_before(before)?;
            let touches = self.forget_touches_before(before)?.touches;
            Ok(Forgotten { touches, ..visitors })
        })
    }

    fn overwriting(&self, erase: impl Fn() -> Result<Forgotten, StoreError>) -> Result<Forgotten, StoreError> {
        let secure = |on: bool| self.writer().connection.pragma_update(None, "secure_delete", on).map_err(unavailable);
        secure(true)?;
        let erased = erase();
        secure(false)?;
        // What was overwritten in the log is in the file now, and the log begins anew.
        let writer = self.writer();
        let checkpoint = writer.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        checkpoint.map_err(unavailable)?;
        erased
    }

    /// What [`Stats::forget_before`] would erase.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn held_before(&self, before: Timestamp) -> Result<Forgotten, StoreError> {
        let reader = self.reader();
        let count = |sql: &str, bound: i64| -> Result<u64, StoreError> {
            let found: i64 = reader.query_row(sql, [bound], |row| row.get(0)).map_err(unavailable)?;
            Ok(u64::try_from(found).unwrap_or(0))
        };
        Ok(Forgotten {
            visitors: count("SELECT COUNT(*) FROM stats_visitors WHERE day < ?1", before.beijing_day())?,
            selves: count("SELECT COUNT(*) FROM stats_selves WHERE day < ?1", before.beijing_day())?,
            touches: count("SELECT COUNT(*) FROM stats_touches WHERE at < ?1", before.micros())?,
        })
    }

    /// Makes old changes of touches one: whoever was not here since looks at everything.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn tidy(&self) -> Result<(), StoreError> {
        let mut writer = self.writer();
        tidy(&mut writer.connection).map_err(unavailable)
    }
}

/// Under which name is noted of which days nothing is remembered any more.
const FORGOTTEN: &str = "visitors_forgotten_before";

fn erase_touches(connection: &mut Connection, before: i64) -> rusqlite::Result<u64> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute("DELETE FROM stats_strays WHERE at < ?1", [before])?;
    let sql = "DELETE FROM stats_touches WHERE (at, node, seq) IN \
               (SELECT at, node, seq FROM stats_touches WHERE at < ?1 ORDER BY at LIMIT ?2)";
    let erased = transaction.prepare_cached(sql)?.execute(params![before, SLICE])?;
    transaction.commit()?;
    Ok(erased as u64)
}

fn tidy(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (count, last): (i64, Option<i64>) =
        transaction
            .query_row("SELECT COUNT(*), MAX(change) FROM stats_changes", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if let Some(last) = last.filter(|_| count > 2 * CHANGES) {
        let upto = last - CHANGES;
        transaction.execute(
            "UPDATE stats_changes SET earliest = (SELECT MIN(earliest) FROM stats_changes WHERE change <= ?1), \
             latest = (SELECT MAX(latest) FROM stats_changes WHERE change <= ?1) WHERE change = ?1",
            [upto],
        )?;
        transaction.execute("DELETE FROM stats_changes WHERE change < ?1", [upto])?;
    }
    transaction.commit()
}
