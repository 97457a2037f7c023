//! Events in SQLite, beside orders. A batch is one transaction; a row that is told again finds itself by source and id.

use std::path::Path;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::{EventStore, Kept, Quarantined, Row, RowFault};
use crate::attribution::{StoreError, run};
use crate::domain::attribution::event::{Event, EventKind};
use crate::domain::click_id::ClickId;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::{ShopType, Surface};
use crate::sqlite::{Schema, Shared, SqliteError, unknown};

/// Page cache, in KiB.
const CACHE: u32 = 8 << 10;

const SCHEMA: Schema = Schema {
    name: "events",
    steps: &["
        CREATE TABLE events (
            number INTEGER PRIMARY KEY,
            source TEXT NOT NULL,
            id TEXT NOT NULL,
            kind TEXT NOT NULL,
            at BIGINT NOT NULL,
            platform TEXT NOT NULL,
            surface TEXT NOT NULL,
            marketplace TEXT NOT NULL,
            shop_type TEXT NOT NULL,
            category TEXT NOT NULL,
            note TEXT NOT NULL,
            creator TEXT NOT NULL,
            shop TEXT NOT NULL,
            item TEXT NOT NULL,
            agreement TEXT NOT NULL,
            click BLOB,
            read_at BIGINT,
            count BIGINT NOT NULL,
            sampled BIGINT,
            kept_at BIGINT NOT NULL,
            UNIQUE (source, id)
        );
        CREATE INDEX events_at ON events (at);
        -- Rows that cannot be used, as they came. Never removed: what was mended says when.
        CREATE TABLE event_quarantine (
            number INTEGER PRIMARY KEY,
            hash BLOB NOT NULL UNIQUE,
            source TEXT NOT NULL,
            id TEXT NOT NULL,
            reasons TEXT NOT NULL,
            detail TEXT NOT NULL,
            raw TEXT NOT NULL,
            first_at BIGINT NOT NULL,
            times BIGINT NOT NULL,
            mended_at BIGINT
        );
        CREATE INDEX event_quarantine_id ON event_quarantine (source, id);
    "],
};

const COLUMNS: &str = "number, source, id, kind, at, platform, surface, marketplace, shop_type, category, note, creator, \
     shop, item, agreement, click, read_at, count, sampled";

/// Events in a SQLite file.
#[derive(Clone)]
pub struct SqliteEventStore(Shared);

impl SqliteEventStore {
    /// Opens the file, creating it when missing.
    ///
    /// # Errors
    /// [`SqliteError`] naming the file.
    pub fn open(path: &Path) -> Result<Self, SqliteError> {
        Shared::open(path, &SCHEMA, CACHE).map(SqliteEventStore)
    }

    async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, StoreError> {
        run(&self.0, work).await
    }
}

fn named<T>(row: &rusqlite::Row<'_>, column: usize, find: impl Fn(&str) -> Option<T>) -> rusqlite::Result<T> {
    let name: String = row.get(column)?;
    find(&name).ok_or_else(|| unknown(column, &format!("`{name}`")))
}

fn event(row: &rusqlite::Row<'_>) -> rusqlite::Result<(i64, Event)> {
    let event = Event {
        source: row.get(1)?,
        id: row.get(2)?,
        kind: named(row, 3, EventKind::parse)?,
        at: Timestamp::from_micros(row.get(4)?),
        platform: row.get(5)?,
        surface: named(row, 6, |name| if name.is_empty() { Some(None) } else { Surface::parse(name).map(Some) })?,
        marketplace: row.get(7)?,
        shop_type: named(row, 8, ShopType::parse)?,
        category: row.get(9)?,
        note: row.get(10)?,
        creator: row.get(11)?,
        shop: row.get(12)?,
        item: row.get(13)?,
        agreement: row.get(14)?,
        click: row.get::<_, Option<[u8; 16]>>(15)?.map(ClickId),
        read_at: row.get::<_, Option<i64>>(16)?.map(Timestamp::from_micros),
        count: row.get(17)?,
        sampled: row.get(18)?,
    };
    Ok((row.get(0)?, event))
}

/// Keeps one event; whether it was new, or what is wrong with keeping it.
fn keep_one(transaction: &Connection, event: &Event, now: Timestamp) -> rusqlite::Result<Result<bool, RowFault>> {
    let added = transaction
        .prepare_cached(
            "INSERT INTO events (source, id, kind, at, platform, surface, marketplace, shop_type, category, note, creator, \
             shop, item, agreement, click, read_at, count, sampled, kept_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19) \
             ON CONFLICT (source, id) DO NOTHING",
        )?
        .execute(params![
            event.source,
            event.id,
            event.kind.as_str(),
            event.at.micros(),
            event.platform,
            event.surface.map_or("", Surface::as_str),
            event.marketplace,
            event.shop_type.as_str(),
            event.category,
            event.note,
            event.creator,
            event.shop,
            event.item,
            event.agreement,
            event.click.map(|click| click.0),
            event.read_at.map(Timestamp::micros),
            event.count,
            event.sampled,
            now.micros(),
        ])?;
    if added > 0 {
        return Ok(Ok(true));
    }
    let sql = format!("SELECT {COLUMNS} FROM events WHERE source = ?1 AND id = ?2");
    let known = transaction.prepare_cached(&sql)?.query_row((&event.source, &event.id), self::event).optional()?;
    if known.is_some_and(|(_, known)| known == *event) {
        return Ok(Ok(false));
    }
    let problem = "an event of this source and id is kept already and says something else: events are never changed, give \
                   another one another id";
    Ok(Err(RowFault { field: "id".to_owned(), code: "duplicate_key", problem: problem.to_owned() }))
}

fn hash(row: &Row) -> [u8; 32] {
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    digest.update(row.source.as_bytes());
    digest.update(&[0]);
    digest.update(row.raw.as_bytes());
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.finish().as_ref());
    hash
}

fn quarantine(transaction: &Connection, row: &Row, faults: &[RowFault], now: Timestamp) -> rusqlite::Result<()> {
    let mut reasons: Vec<&str> = faults.iter().map(|fault| fault.code).collect();
    reasons.sort_unstable();
    reasons.dedup();
    let detail: Vec<String> = faults.iter().map(|fault| format!("{}: {}", fault.field, fault.problem)).collect();
    transaction
        .prepare_cached(
            "INSERT INTO event_quarantine (hash, source, id, reasons, detail, raw, first_at, times) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1) \
             ON CONFLICT (hash) DO UPDATE SET times = event_quarantine.times + 1, reasons = excluded.reasons, \
             detail = excluded.detail, mended_at = NULL",
        )?
        .execute(params![hash(row), row.source, row.id, reasons.join(","), detail.join("; "), row.raw, now.micros()])
        .map(drop)
}

fn keep(connection: &mut Connection, rows: &[Row], now: Timestamp) -> rusqlite::Result<Vec<(Kept, Vec<RowFault>)>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut told = Vec::with_capacity(rows.len());
    for row in rows {
        let outcome = match &row.read {
            Ok(event) => keep_one(&transaction, event, now)?.map_err(|fault| vec![fault]),
            Err(faults) => Err(faults.clone()),
        };
        told.push(match outcome {
            Ok(new) => {
                // The same row may have been unusable before the settings knew its names; or it came mended under its id.
                transaction
                    .prepare_cached(
                        "UPDATE event_quarantine SET mended_at = ?1 WHERE mended_at IS NULL \
                         AND (hash = ?2 OR (source = ?3 AND id = ?4 AND id <> '' AND reasons <> 'duplicate_key'))",
                    )?
                    .execute(params![now.micros(), hash(row), row.source, row.id])?;
                (if new { Kept::Kept } else { Kept::Known }, Vec::new())
            }
            Err(faults) => {
                quarantine(&transaction, row, &faults, now)?;
                (Kept::Quarantined, faults)
            }
        });
    }
    transaction.commit()?;
    Ok(told)
}

#[async_trait]
impl EventStore for SqliteEventStore {
    async fn keep(&self, rows: Vec<Row>, now: Timestamp) -> Result<Vec<(Kept, Vec<RowFault>)>, StoreError> {
        self.run(move |connection| keep(connection, &rows, now)).await
    }

    async fn between(
        &self,
        from: Timestamp,
        to: Timestamp,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, Event)>, StoreError> {
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        self.run(move |connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM events WHERE number > ?1 AND at >= ?2 AND at < ?3 ORDER BY number LIMIT ?4"
            );
            let mut found = connection.prepare_cached(&sql)?;
            found.query_map((after, from.micros(), to.micros(), most), event)?.collect()
        })
        .await
    }

    async fn quarantined(&self, before: Option<i64>, limit: usize, all: bool) -> Result<Vec<Quarantined>, StoreError> {
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        self.run(move |connection| {
            let mut found = connection.prepare_cached(
                "SELECT number, source, id, reasons, detail, raw, first_at, times, mended_at FROM event_quarantine \
                 WHERE number < ?1 AND (?2 OR mended_at IS NULL) ORDER BY number DESC LIMIT ?3",
            )?;
            let row = |row: &rusqlite::Row<'_>| {
                Ok(Quarantined {
                    number: row.get(0)?,
                    source: row.get(1)?,
                    id: row.get(2)?,
                    reasons: row.get(3)?,
                    detail: row.get(4)?,
                    raw: row.get(5)?,
                    first_at: Timestamp::from_micros(row.get(6)?),
                    times: row.get(7)?,
                    mended_at: row.get::<_, Option<i64>>(8)?.map(Timestamp::from_micros),
                })
            };
            found.query_map((before.unwrap_or(i64::MAX), all, most), row)?.collect()
        })
        .await
    }

    async fn waiting(&self) -> Result<u64, StoreError> {
        let sql = "SELECT COUNT(*) FROM event_quarantine WHERE mended_at IS NULL";
        self.run(move |connection| connection.query_row(sql, [], |row| row.get::<_, i64>(0)))
            .await
            .map(|count| u64::try_from(count).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn sqlite_keeps_events_as_every_store_must() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orders.sqlite");
        super::super::conformance::every_event_store(&SqliteEventStore::open(&path).unwrap()).await;
        // All of it is there for the next process.
        let again = SqliteEventStore::open(&path).unwrap();
        assert_eq!(again.between(Timestamp::MIN, Timestamp::MAX, 0, 100).await.unwrap().len(), 3);
    }
}
