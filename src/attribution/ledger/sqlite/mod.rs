//! The ledger in an embedded SQLite file, which it shares with order reports. The SQL is plain enough for any database.
//! Matches and entries are only ever inserted; lines, balances and marks say what they add up to.

mod keep;
mod rows;
mod schema;

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use rusqlite::{Connection, Row, TransactionBehavior, params};

use self::keep::{Numbers, greatest, keep_line, number_of, set_mark};
use self::rows::{
    ENTRY, MATCH, STANDING, closed, entry, held, key, list_balances, marks, matched, named, standing, text,
};
use self::schema::SCHEMA;
use super::record::Credit;
use super::{Balance, Batch, Book, Closed, Closing, Entry, EntryQuery, Held, Ledger, Marks, Sum, Untold};
use crate::attribution::{StoreError, run};
use crate::domain::attribution::entries::{Account, Kind};
use crate::domain::attribution::matching::{Method, Reason};
use crate::domain::attribution::money::Fen;
use crate::domain::attribution::order::{LineKey, OrderState};
use crate::domain::attribution::period::Month;
use crate::domain::click_id::ClickId;
use crate::domain::time::{BEIJING_AHEAD, DAY, Timestamp};
use crate::sqlite::{Shared, SqliteError};

/// The page cache, in KiB.
const CACHE: u32 = 16_384;

/// The embedded ledger.
pub struct SqliteLedger(Shared);

impl SqliteLedger {
    /// Opens the file, creating it when missing.
    ///
    /// # Errors
    /// [`SqliteError`] naming the file.
    pub fn open(path: &Path) -> Result<Self, SqliteError> {
        Shared::open(path, &SCHEMA, CACHE).map(SqliteLedger)
    }

    async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, StoreError> {
        run(&self.0, work).await
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn marks(&self) -> Result<Marks, StoreError> {
        self.run(|connection| marks(connection)).await
    }

    async fn held(&self, keys: &[LineKey]) -> Result<Vec<Option<Held>>, StoreError> {
        let keys = keys.to_vec();
        self.run(move |connection| {
            // One snapshot for all of them.
            let transaction = connection.transaction()?;
            keys.iter().map(|key| held(&transaction, key)).collect()
        })
        .await
    }

    async fn keep(&self, batch: Batch, now: Timestamp) -> Result<bool, StoreError> {
        self.run(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let before = marks(&transaction)?;
            if before.revision != batch.revision {
                return Ok(false);
            }
            let mut numbers = Numbers::read(&transaction)?;
            let mut sums = BTreeMap::new();
            for line in &batch.lines {
                keep_line(&transaction, &mut numbers, &mut sums, line, batch.trigger, now)?;
            }
            for ((period, account, kind), amount) in sums {
                let sql = "INSERT INTO ledger_balances (period, account, kind, amount) VALUES (?1, ?2, ?3, ?4) \
                           ON CONFLICT (period, account, kind) DO UPDATE SET \
                           amount = ledger_balances.amount + excluded.amount";
                transaction.prepare_cached(sql)?.execute(params![period, account, kind, amount])?;
            }
            for (name, value) in [("events", batch.events), ("touches", batch.touches)] {
                if let Some(value) = value {
                    set_mark(&transaction, name, value)?;
                }
            }
            set_mark(&transaction, "revision", before.revision + 1)?;
            transaction.commit()?;
            Ok(true)
        })
        .await
    }

    async fn lines(&self, after: i64, limit: usize) -> Result<Vec<(i64, LineKey)>, StoreError> {
        self.run(move |connection| {
            let sql = "SELECT id, network, account, line FROM ledger_lines WHERE id > ?1 ORDER BY id LIMIT ?2";
            let mut statement = connection.prepare_cached(sql)?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            statement.query_map([after, limit], |row| Ok((row.get(0)?, key(row, 1)?)))?.collect()
        })
        .await
    }

    async fn book(&self, key: &LineKey) -> Result<Option<Book>, StoreError> {
        let key = key.clone();
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            let Some((id, _)) = number_of(&transaction, &key)? else { return Ok(None) };
            let sql = format!("SELECT {STANDING} FROM ledger_lines l WHERE l.id = ?1");
            let line = transaction.query_row(&sql, [id], |row| standing(row, 0))?;
            let sql = format!("SELECT {MATCH} FROM ledger_matches m WHERE m.line = ?1 ORDER BY m.version");
            let matches =
                transaction.prepare(&sql)?.query_map([id], |row| matched(row, 0))?.collect::<Result<_, _>>()?;
            let sql = format!(
                "SELECT {ENTRY} FROM ledger_entries e JOIN ledger_lines l ON l.id = e.line \
                 WHERE e.line = ?1 ORDER BY e.number"
            );
            let entries = transaction.prepare(&sql)?.query_map([id], entry)?.collect::<Result<_, _>>()?;
            Ok(Some(Book { line, matches, entries }))
        })
        .await
    }

    async fn of_click(&self, click: ClickId) -> Result<Vec<LineKey>, StoreError> {
        self.run(move |connection| {
            let sql = "SELECT l.network, l.account, l.line FROM ledger_matches m \
                       JOIN ledger_lines l ON l.id = m.line AND l.version = m.version \
                       WHERE m.click = ?1 AND m.method <> 'none' ORDER BY l.id";
            let mut statement = connection.prepare_cached(sql)?;
            statement.query_map([click.0.to_vec()], |row| key(row, 0))?.collect()
        })
        .await
    }

    async fn entries(&self, query: &EntryQuery, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let query = query.clone();
        self.run(move |connection| {
            let sql = format!(
                "SELECT {ENTRY} FROM ledger_entries e JOIN ledger_lines l ON l.id = e.line WHERE e.number > ?1 \
                 AND (?2 IS NULL OR e.period = ?2) AND (?3 IS NULL OR e.account IN (?3, ?4)) \
                 ORDER BY e.number LIMIT ?5"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let account = |side| query.creator.as_ref().map(|creator| format!("creator:{creator}:{side}"));
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let period = query.period.map(Month::number);
            let given = params![query.after, period, account("estimated"), account("confirmed"), limit];
            statement.query_map(given, entry)?.collect()
        })
        .await
    }

    async fn balances(&self, period: Option<Month>) -> Result<Vec<Balance>, StoreError> {
        self.run(move |connection| match period {
            Some(period) => {
                let sql = "SELECT period, account, kind, amount FROM ledger_balances WHERE period = ?1 AND amount <> 0";
                list_balances(connection, sql, &[period.number()])
            }
            None => {
                let sql = "SELECT period, account, kind, amount FROM ledger_balances WHERE amount <> 0";
                list_balances(connection, sql, &[])
            }
        })
        .await
    }

    async fn rebuilt(&self) -> Result<Vec<Balance>, StoreError> {
        self.run(move |connection| {
            let sql = "SELECT period, account, kind, SUM(amount) FROM ledger_entries \
                       GROUP BY period, account, kind HAVING SUM(amount) <> 0";
            list_balances(connection, sql, &[])
        })
        .await
    }

    async fn uneven(&self) -> Result<Vec<(i64, Fen)>, StoreError> {
        self.run(move |connection| {
            let sql = "SELECT txn, SUM(amount) FROM ledger_entries GROUP BY txn HAVING SUM(amount) <> 0 ORDER BY txn";
            let mut statement = connection.prepare_cached(sql)?;
            statement.query_map([], |row| Ok((row.get(0)?, Fen(row.get(1)?))))?.collect()
        })
        .await
    }

    async fn sums(&self, from: Timestamp, to: Timestamp, after: i64, span: i64) -> Result<(Vec<Sum>, i64), StoreError> {
        self.run(move |connection| {
            let sql = format!(
                "SELECT l.id, e.account, e.kind, SUM(e.amount), m.method, m.reason, m.click, m.code, m.platform, \
                 m.agreement, m.sampling, m.note, (e.effective_at + {BEIJING_AHEAD}) / {DAY} AS day, m.version, {STANDING} \
                 FROM ledger_lines l \
                 JOIN ledger_entries e ON e.line = l.id \
                 JOIN ledger_matches m ON m.line = l.id AND m.version = e.match_version \
                 WHERE l.id > ?1 AND l.id <= ?2 AND e.effective_at >= ?3 AND e.effective_at < ?4 \
                 AND e.account NOT LIKE 'network:%' GROUP BY l.id, m.version, day, e.account, e.kind \
                 ORDER BY l.id, m.version, day, e.account, e.kind"
            );
            let transaction = connection.transaction()?;
            let last = greatest(&transaction, "ledger_lines", "id")?;
            let mut statement = transaction.prepare_cached(&sql)?;
            let given = params![after, after.saturating_add(span), from.micros(), to.micros()];
            let read = |row: &Row<'_>| {
                let reason: Option<String> = row.get(5)?;
                let click: Option<Vec<u8>> = row.get(6)?;
                Ok(Sum {
                    number: row.get(0)?,
                    account: named(row, 1, Account::parse)?,
                    kind: named(row, 2, Kind::parse)?,
                    amount: Fen(row.get(3)?),
                    matched: Credit {
                        method: named(row, 4, Method::parse)?,
                        reason: reason.and_then(|name| Reason::parse(&name)),
                        click: click.and_then(|bytes| bytes.try_into().ok()).map(ClickId),
                        code: text(row, 7)?,
                        platform: text(row, 8)?,
                        agreement: text(row, 9)?,
                        sampling: row.get(10)?,
                        note: text(row, 11)?,
                    },
                    day: row.get(12)?,
                    booked: row.get(13)?,
                    line: standing(row, 14)?,
                })
            };
            let found = statement.query_map(given, read)?.collect::<rusqlite::Result<Vec<_>>>()?;
            Ok((found, last))
        })
        .await
    }

    async fn closed(&self) -> Result<Vec<Closed>, StoreError> {
        self.run(|connection| closed(&*connection.transaction()?, None)).await
    }

    async fn close(&self, period: Month, by: &str, revision: i64, now: Timestamp) -> Result<Closing, StoreError> {
        let by = by.to_owned();
        self.run(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if let Some(known) = closed(&transaction, Some(period))?.pop() {
                return Ok(Closing::Already(known));
            }
            let marks = marks(&transaction)?;
            if marks.revision != revision {
                return Ok(Closing::Stale);
            }
            if let Some(last) = marks.closed.filter(|last| *last >= period) {
                // It had no entries when a later one was closed, and can have got none since.
                return Ok(Closing::Already(Closed {
                    period,
                    closed_at: closed(&transaction, Some(last))?.pop().map_or(now, |last| last.closed_at),
                    closed_by: String::new(),
                    balances: Vec::new(),
                }));
            }
            let sql = "SELECT MIN(period) FROM ledger_entries WHERE period < ?1 AND period > ?2";
            let after = marks.closed.map_or(0, Month::number);
            let earlier: Option<i64> = transaction.query_row(sql, [period.number(), after], |row| row.get(0))?;
            if let Some(earlier) = earlier.and_then(Month::from_number) {
                return Ok(Closing::Earlier(earlier));
            }
            transaction.execute(
                "INSERT INTO ledger_periods (period, closed_at, closed_by) VALUES (?1, ?2, ?3)",
                params![period.number(), now.micros(), by],
            )?;
            transaction.execute(
                "INSERT INTO ledger_closing_balances (period, account, kind, amount) \
                 SELECT period, account, kind, amount FROM ledger_balances WHERE period = ?1 AND amount <> 0",
                [period.number()],
            )?;
            set_mark(&transaction, "closed", period.number())?;
            set_mark(&transaction, "revision", marks.revision + 1)?;
            let made = closed(&transaction, Some(period))?.pop();
            transaction.commit()?;
            Ok(made.map_or(Closing::Stale, Closing::Closed))
        })
        .await
    }

    async fn untold(&self, limit: usize) -> Result<Vec<Untold>, StoreError> {
        self.run(move |connection| {
            let sql = "SELECT a.number, a.state, l.network, l.account, l.line FROM ledger_announcements a \
                       JOIN ledger_lines l ON l.id = a.line WHERE a.told = 0 ORDER BY a.number LIMIT ?1";
            let mut statement = connection.prepare_cached(sql)?;
            let read = |row: &Row<'_>| {
                Ok(Untold { number: row.get(0)?, state: named(row, 1, OrderState::parse)?, key: key(row, 2)? })
            };
            statement.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], read)?.collect()
        })
        .await
    }

    async fn told(&self, numbers: &[i64]) -> Result<(), StoreError> {
        let numbers = numbers.to_vec();
        self.run(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for number in numbers {
                transaction
                    .prepare_cached("UPDATE ledger_announcements SET told = 1 WHERE number = ?1")?
                    .execute([number])?;
            }
            transaction.commit()
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribution::ledger::conformance;

    #[tokio::test]
    async fn the_embedded_ledger_conforms() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orders.sqlite");
        conformance::every_ledger(|| SqliteLedger::open(&path).unwrap()).await;
    }
}
