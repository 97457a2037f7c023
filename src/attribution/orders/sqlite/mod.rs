//! Order reports in an embedded SQLite file, which may be shared with other stores. The SQL is plain enough for any database.

mod admit;
mod positions;
mod quarantine;
mod read;

use std::path::Path;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};

use super::OrderStore;
use super::intake::{
    Batch, Counts, Kept, LineQuery, NewBatch, OrderIntake, Outcome, Position, QuarantineQuery, Quarantined, Reading,
    Registered,
};
use crate::attribution::touches::Subject;
use crate::attribution::{StoreError, run};
use crate::domain::attribution::Network;
use crate::domain::attribution::order::{LineKey, OrderEvent, OrderLine};
use crate::domain::click_id::ClickKey;
use crate::domain::time::Timestamp;
use crate::sqlite::{self, Schema, Shared, SqliteError};

const SCHEMA: Schema = Schema {
    name: "orders",
    steps: &[
        "
        CREATE TABLE order_batches (
            id BIGINT PRIMARY KEY NOT NULL,
            network TEXT NOT NULL,
            account TEXT NOT NULL,
            source TEXT NOT NULL,
            file_hash TEXT,
            begun_at BIGINT NOT NULL,
            ended_at BIGINT,
            added BIGINT NOT NULL,
            unchanged BIGINT NOT NULL,
            quarantined BIGINT NOT NULL
        );
        CREATE TABLE order_counts (
            network TEXT NOT NULL,
            outcome TEXT NOT NULL,
            total BIGINT NOT NULL,
            PRIMARY KEY (network, outcome)
        );
        CREATE TABLE order_events (
            seq BIGINT PRIMARY KEY NOT NULL,
            network TEXT NOT NULL,
            account TEXT NOT NULL,
            line TEXT NOT NULL,
            hash BLOB NOT NULL,
            modified_at BIGINT NOT NULL,
            state TEXT NOT NULL,
            body TEXT NOT NULL,
            raw TEXT NOT NULL,
            batch BIGINT NOT NULL,
            UNIQUE (network, account, line, hash)
        );
        CREATE TABLE order_lines (
            number BIGINT PRIMARY KEY NOT NULL,
            network TEXT NOT NULL,
            account TEXT NOT NULL,
            line TEXT NOT NULL,
            order_number TEXT NOT NULL,
            created_at BIGINT NOT NULL,
            modified_at BIGINT NOT NULL,
            state TEXT NOT NULL,
            state_rank BIGINT NOT NULL,
            raw_state TEXT NOT NULL,
            hash BLOB NOT NULL,
            event BIGINT NOT NULL REFERENCES order_events (seq),
            UNIQUE (network, account, line)
        );
        CREATE INDEX order_lines_created ON order_lines (created_at);
        CREATE INDEX order_lines_order ON order_lines (order_number);
        CREATE TABLE order_quarantine (
            id BIGINT PRIMARY KEY NOT NULL,
            network TEXT NOT NULL,
            account TEXT NOT NULL,
            scene BIGINT,
            raw_hash BLOB NOT NULL,
            raw TEXT NOT NULL,
            reason TEXT NOT NULL,
            faults TEXT NOT NULL,
            line TEXT NOT NULL,
            raw_state TEXT NOT NULL,
            modified_at BIGINT,
            batch BIGINT NOT NULL,
            row_number BIGINT NOT NULL,
            first_at BIGINT NOT NULL,
            last_at BIGINT NOT NULL,
            seen BIGINT NOT NULL,
            mended_at BIGINT,
            UNIQUE (network, account, raw_hash)
        );
        CREATE INDEX order_quarantine_line ON order_quarantine (network, account, line, mended_at);
        CREATE INDEX order_quarantine_open ON order_quarantine (mended_at, reason);
        CREATE TABLE order_waiting (
            id BIGINT NOT NULL REFERENCES order_quarantine (id),
            network TEXT NOT NULL,
            position TEXT NOT NULL,
            PRIMARY KEY (network, position, id)
        );
        CREATE INDEX order_waiting_id ON order_waiting (id);
        CREATE TABLE order_positions (
            network TEXT NOT NULL,
            position TEXT NOT NULL,
            kind TEXT NOT NULL,
            subject_kind TEXT NOT NULL,
            subject TEXT NOT NULL,
            link TEXT NOT NULL,
            PRIMARY KEY (network, position, link, subject_kind, subject)
        );
        CREATE INDEX order_positions_link ON order_positions (link);
        CREATE TABLE order_marks (
            name TEXT PRIMARY KEY NOT NULL,
            value BIGINT NOT NULL
        );
    ",
        // Its place in its batch; 0 of what was kept before.
        "ALTER TABLE order_events ADD COLUMN row_number BIGINT NOT NULL DEFAULT 0;",
    ],
};

/// The page cache, in KiB.
const CACHE: u32 = 32 * 1_024;

/// The embedded store of order reports.
pub struct SqliteOrderStore {
    connection: Shared,
    key: ClickKey,
}

impl SqliteOrderStore {
    /// Opens the file, creating it when missing. `key` tells click ids of ours from other sub-ids.
    ///
    /// # Errors
    /// [`SqliteError`] naming the file.
    pub fn open(path: &Path, key: ClickKey) -> Result<Self, SqliteError> {
        Ok(SqliteOrderStore { connection: Shared::open(path, &SCHEMA, CACHE)?, key })
    }

    async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, StoreError> {
        run(&self.connection, work).await
    }

    /// Work in a transaction that is kept when it went well.
    async fn write<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, StoreError> {
        self.run(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        })
        .await
    }
}

/// A value in a row that this process does not know: written by a newer one.
fn unknown(column: usize, what: &str, value: &str) -> rusqlite::Error {
    sqlite::unknown(column, &format!("{what} `{value}`"))
}

/// A name out of a closed list.
fn named<T>(row: &Row<'_>, column: usize, what: &str, parse: impl Fn(&str) -> Option<T>) -> rusqlite::Result<T> {
    let name = row.get_ref(column)?.as_str()?;
    parse(name).ok_or_else(|| unknown(column, what, name))
}

fn boxed(row: &Row<'_>, column: usize) -> rusqlite::Result<Box<str>> {
    Ok(row.get_ref(column)?.as_str()?.into())
}

/// JSON that this store wrote.
fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize, what: &str) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text).map_err(|error| {
        let problem = format!("{what} cannot be read: {error}");
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, problem.into())
    })
}

/// An order line, whichever version of this program kept it.
fn kept_line(row: &Row<'_>, column: usize) -> rusqlite::Result<OrderLine> {
    json::<OrderLine>(row, column, "a stored order line").map(OrderLine::as_now)
}

fn at(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_micros)
}

fn at_or_none(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_micros))
}

fn counted(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.unsigned_abs())
}

/// As a `LIMIT`.
fn most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The next number of a table, under the write lock.
fn next(transaction: &Connection, sql: &'static str) -> rusqlite::Result<i64> {
    transaction.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(0)).map(|last| last + 1)
}

#[async_trait]
impl OrderStore for SqliteOrderStore {
    async fn after(&self, seq: i64, limit: usize) -> Result<Vec<OrderEvent>, StoreError> {
        self.run(move |connection| read::after(connection, seq, limit)).await
    }

    async fn of_line(&self, key: &LineKey) -> Result<Vec<OrderEvent>, StoreError> {
        let key = key.clone();
        self.run(move |connection| read::of_line(connection, &key)).await
    }

    async fn created_between(&self, from: Timestamp, to: Timestamp) -> Result<Vec<LineKey>, StoreError> {
        self.run(move |connection| read::created_between(connection, from, to)).await
    }

    async fn subjects(&self, network: Network, position: &str) -> Result<Vec<Subject>, StoreError> {
        let position = position.to_owned();
        self.run(move |connection| positions::subjects(connection, network, &position)).await
    }
}

#[async_trait]
impl OrderIntake for SqliteOrderStore {
    async fn begin(&self, batch: NewBatch, now: Timestamp) -> Result<i64, StoreError> {
        self.write(move |transaction| {
            let id = next(transaction, "SELECT COALESCE(MAX(id), 0) FROM order_batches")?;
            transaction.execute(
                "INSERT INTO order_batches (id, network, account, source, begun_at, added, unchanged, quarantined) \
                 VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, 0)",
                params![id, batch.network.as_str(), batch.account, batch.source, now.micros()],
            )?;
            Ok(id)
        })
        .await
    }

    async fn append(&self, batch: Option<i64>, rows: Vec<Reading>, now: Timestamp) -> Result<Vec<Kept>, StoreError> {
        let key = self.key.clone();
        self.run(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let kept = admit::batch(&transaction, &key, batch.unwrap_or(0), rows, now)?;
            match batch {
                Some(_) => transaction.commit()?,
                None => transaction.rollback()?,
            }
            Ok(kept)
        })
        .await
    }

    async fn finish(&self, batch: i64, file_hash: Option<[u8; 32]>, now: Timestamp) -> Result<(), StoreError> {
        let hash = file_hash.map(|hash| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        self.write(move |transaction| {
            let sql = "UPDATE order_batches SET ended_at = ?2, file_hash = ?3 WHERE id = ?1";
            transaction.execute(sql, params![batch, now.micros(), hash]).map(drop)
        })
        .await
    }

    async fn batches(&self, limit: usize) -> Result<Vec<Batch>, StoreError> {
        self.run(move |connection| read::batches(connection, limit)).await
    }

    async fn lines(&self, query: &LineQuery, limit: usize) -> Result<Vec<(i64, OrderLine)>, StoreError> {
        let query = query.clone();
        self.run(move |connection| read::lines(connection, query, limit)).await
    }

    async fn quarantined(&self, query: &QuarantineQuery, limit: usize) -> Result<Vec<Quarantined>, StoreError> {
        let query = query.clone();
        self.run(move |connection| quarantine::list(connection, &query, limit)).await
    }

    async fn quarantined_row(&self, id: i64) -> Result<Option<Quarantined>, StoreError> {
        self.run(move |connection| {
            let sql = format!("SELECT {} FROM order_quarantine WHERE id = ?1", quarantine::COLUMNS);
            connection.query_row(&sql, [id], quarantine::read).optional()
        })
        .await
    }

    async fn retry(&self, ids: Vec<i64>, now: Timestamp) -> Result<u64, StoreError> {
        let key = self.key.clone();
        self.write(move |transaction| admit::again(transaction, &key, &ids, now)).await
    }

    async fn release(&self, now: Timestamp) -> Result<u64, StoreError> {
        let key = self.key.clone();
        self.write(move |transaction| {
            let ids = quarantine::waiting(transaction)?;
            admit::again(transaction, &key, &ids, now)?;
            Ok(ids.len() as u64)
        })
        .await
    }

    async fn positions(&self, network: Option<Network>, limit: usize) -> Result<Vec<Position>, StoreError> {
        self.run(move |connection| positions::list(connection, network, limit)).await
    }

    async fn register(&self, positions: Vec<Position>, shared: bool) -> Result<Registered, StoreError> {
        self.write(move |transaction| positions::register(transaction, &positions, shared)).await
    }

    async fn unregister(&self, network: Network, position: &str) -> Result<u64, StoreError> {
        let position = position.to_owned();
        self.write(move |transaction| {
            let sql = "DELETE FROM order_positions WHERE network = ?1 AND position = ?2 AND link = ''";
            transaction.execute(sql, params![network.as_str(), position]).map(|gone| gone as u64)
        })
        .await
    }

    async fn links_seen(&self) -> Result<i64, StoreError> {
        self.run(|connection| positions::mark(connection)).await
    }

    async fn derive(&self, links: Vec<(Box<str>, Vec<Position>)>, through: i64) -> Result<(), StoreError> {
        self.write(move |transaction| positions::derive(transaction, &links, through)).await
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        self.run(|connection| read::counts(connection)).await
    }
}

/// Adds to what was counted of a network.
fn count(transaction: &Connection, network: Network, outcome: Outcome, more: i64) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO order_counts (network, outcome, total) VALUES (?1, ?2, ?3) \
         ON CONFLICT (network, outcome) DO UPDATE SET total = order_counts.total + excluded.total",
    )?;
    statement.execute(params![network.as_str(), outcome.as_str(), more]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::conformance;
    use super::*;

    /// What a version before this one kept: a shop's number alone, Taobao's title as its id, an unknown price as none.
    #[tokio::test]
    async fn what_was_kept_before_reads_as_now_and_is_known_when_it_comes_again() {
        use crate::attribution::orders::import::{Source, Taker};
        use crate::domain::attribution::money::Fen;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orders.sqlite");
        let jd =
            serde_json::json!({"id": "1", "validCode": 16, "orderTime": "2022-11-01", "estimateFee": 1, "popId": 7});
        let taobao = serde_json::json!({"trade_id": "1", "tk_status": 12, "tk_create_time": "2022-11-01",
            "pub_share_pre_fee": "1", "seller_shop_title": "皂坊", "alipay_total_price": "9.90"});
        let take = async |store: &SqliteOrderStore, network, row: &serde_json::Value| {
            let source = Source { network, account: "default".into(), scene: None, name: "t".to_owned(), dry: false };
            let mut taker = Taker::begin(store, source, "2022-12-01".parse().unwrap()).await.unwrap();
            taker.push(row);
            let (taken, _) = taker.finish(None).await.unwrap();
            (taken.added, taken.unchanged, taken.set_aside())
        };
        let store = SqliteOrderStore::open(&path, conformance::key()).unwrap();
        for (network, row) in [(Network::Jd, &jd), (Network::Taobao, &taobao)] {
            assert_eq!(take(&store, network, row).await, (1, 0, 0));
        }
        let raw = Connection::open(&path).unwrap();
        let kept = |seq: i64| {
            raw.query_row("SELECT body FROM order_events WHERE seq = ?1", [seq], |row| row.get::<_, String>(0)).unwrap()
        };
        for (seq, changes) in [
            (1, [("\"shop\":\"shop:7\"", "\"shop\":\"7\""), ("\"paid\":null", "\"paid\":0")]),
            (2, [("\"shop\":\"\"", "\"shop\":\"皂坊\""), (",\"shop_name\":\"皂坊\"", "")]),
        ] {
            let before = changes.iter().fold(kept(seq), |body, (now, before)| {
                assert!(body.contains(now), "{now} in {body}");
                body.replace(now, before)
            });
            let sql = "UPDATE order_events SET body = ?2, hash = ?3 WHERE seq = ?1";
            raw.execute(sql, params![seq, before, admit::sha(&before)]).unwrap();
            let sql = "UPDATE order_lines SET hash = ?2 WHERE event = ?1";
            raw.execute(sql, params![seq, admit::sha(&before)]).unwrap();
        }
        let events = store.after(0, 9).await.unwrap();
        assert_eq!((&*events[0].line.shop, events[0].line.paid), ("shop:7", Some(Fen::ZERO)));
        assert_eq!((&*events[1].line.shop, &*events[1].line.shop_name), ("", "皂坊"));
        for (network, row) in [(Network::Jd, &jd), (Network::Taobao, &taobao)] {
            assert_eq!(take(&store, network, row).await, (0, 1, 0), "no contradiction of itself");
        }
        assert_eq!(store.after(0, 9).await.unwrap(), events);
    }

    #[tokio::test]
    async fn sqlite_keeps_orders_as_every_store_must() {
        let folder = tempfile::tempdir().unwrap();
        let number = std::cell::Cell::new(0);
        conformance::every_order_store(|again| {
            number.set(number.get() + i32::from(!again));
            let path = folder.path().join(format!("orders{}.sqlite", number.get()));
            SqliteOrderStore::open(&path, conformance::key()).unwrap()
        })
        .await;
    }
}
