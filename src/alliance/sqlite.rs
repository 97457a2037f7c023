//! Cursors and responses in an embedded SQLite file, which may be shared with other stores. The SQL is plain enough for any
//! database.

use std::path::Path;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, params};

use super::store::{Cursor, PullStore, PullStoreError, Response, Stream};
use crate::domain::attribution::Network;
use crate::domain::time::Timestamp;
use crate::sqlite::{Schema, Shared, SqliteError, unknown};

const SCHEMA: Schema = Schema {
    name: "pulls",
    steps: &["
        CREATE TABLE pull_cursors (
            network TEXT NOT NULL,
            account TEXT NOT NULL,
            query TEXT NOT NULL,
            settled BIGINT NOT NULL,
            read_until BIGINT NOT NULL,
            PRIMARY KEY (network, account, query)
        );
        CREATE TABLE pull_responses (
            hash BLOB PRIMARY KEY NOT NULL,
            network TEXT NOT NULL,
            account TEXT NOT NULL,
            query TEXT NOT NULL,
            window_from BIGINT NOT NULL,
            window_to BIGINT NOT NULL,
            page BIGINT NOT NULL,
            received_at BIGINT NOT NULL,
            last_at BIGINT NOT NULL,
            body BLOB NOT NULL
        );
        CREATE INDEX pull_responses_last ON pull_responses (last_at);
    "],
};

/// The page cache, in KiB.
const CACHE: u32 = 1_024;

/// The embedded store.
pub struct SqlitePullStore(Shared);

impl SqlitePullStore {
    /// Opens the file, creating it when missing.
    ///
    /// # Errors
    /// [`SqliteError`] naming the file.
    pub fn open(path: &Path) -> Result<Self, SqliteError> {
        Shared::open(path, &SCHEMA, CACHE).map(SqlitePullStore)
    }

    async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, PullStoreError> {
        self.0.run(work).await.map_err(unavailable)?.map_err(unavailable)
    }
}

fn unavailable(error: impl std::fmt::Display) -> PullStoreError {
    PullStoreError::Unavailable(error.to_string())
}

fn cursor(row: &Row<'_>, first: usize) -> rusqlite::Result<Cursor> {
    Ok(Cursor {
        settled: Timestamp::from_micros(row.get(first)?),
        read_until: Timestamp::from_micros(row.get(first + 1)?),
    })
}

const ONE: &str = "SELECT settled, read_until FROM pull_cursors WHERE network = ?1 AND account = ?2 AND query = ?3";

#[async_trait]
impl PullStore for SqlitePullStore {
    async fn cursor(&self, stream: &Stream) -> Result<Option<Cursor>, PullStoreError> {
        let stream = stream.clone();
        self.run(move |connection| {
            let names = params![stream.network.as_str(), stream.account, stream.query];
            connection.prepare_cached(ONE)?.query_row(names, |row| cursor(row, 0)).optional()
        })
        .await
    }

    async fn cursors(&self) -> Result<Vec<(Stream, Cursor)>, PullStoreError> {
        self.run(|connection| {
            let sql = "SELECT network, account, query, settled, read_until FROM pull_cursors \
                       ORDER BY network, account, query";
            let mut statement = connection.prepare_cached(sql)?;
            let read = |row: &Row<'_>| {
                let name: String = row.get(0)?;
                let network = Network::parse(&name).ok_or_else(|| unknown(0, &format!("`{name}`")))?;
                let text = |column| row.get::<_, String>(column).map(String::into_boxed_str);
                Ok((Stream { network, account: text(1)?, query: text(2)? }, cursor(row, 3)?))
            };
            statement.query_map([], read)?.collect()
        })
        .await
    }

    async fn advance(&self, stream: &Stream, from: Timestamp, to: Cursor) -> Result<bool, PullStoreError> {
        let stream = stream.clone();
        self.run(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let names = params![stream.network.as_str(), stream.account, stream.query];
            let known = transaction.query_row(ONE, names, |row| cursor(row, 0)).optional()?;
            if known.is_some_and(|known| known.read_until < from) {
                return Ok(false);
            }
            let moved = known.map_or(to, |known| Cursor {
                settled: known.settled.max(to.settled),
                read_until: known.read_until.max(to.read_until),
            });
            transaction.execute(
                "INSERT INTO pull_cursors (network, account, query, settled, read_until) VALUES (?1, ?2, ?3, ?4, ?5) \
                 ON CONFLICT (network, account, query) DO UPDATE SET settled = excluded.settled, \
                 read_until = excluded.read_until",
                params![
                    stream.network.as_str(),
                    stream.account,
                    stream.query,
                    moved.settled.micros(),
                    moved.read_until.micros()
                ],
            )?;
            transaction.commit()?;
            Ok(known != Some(moved))
        })
        .await
    }

    async fn keep(&self, response: Response) -> Result<(), PullStoreError> {
        self.run(move |connection| {
            let mut statement = connection.prepare_cached(
                "INSERT INTO pull_responses (hash, network, account, query, window_from, window_to, page, received_at, \
                 last_at, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9) \
                 ON CONFLICT (hash) DO UPDATE SET last_at = excluded.last_at",
            )?;
            let Response { stream, window, page, at, hash, body } = response;
            let (from, to) = (window.from.micros(), window.to.micros());
            let network = stream.network.as_str();
            let row = params![hash, network, stream.account, stream.query, from, to, page, at.micros(), body];
            statement.execute(row).map(drop)
        })
        .await
    }

    async fn forget(&self, before: Timestamp) -> Result<u64, PullStoreError> {
        self.run(move |connection| {
            let gone = connection.execute("DELETE FROM pull_responses WHERE last_at < ?1", [before.micros()])?;
            Ok(gone as u64)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::super::conformance::every_store;
    use super::*;

    #[tokio::test]
    async fn sqlite_keeps_cursors_as_every_store_must() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orders.sqlite");
        every_store(|| SqlitePullStore::open(&path).unwrap()).await;
    }
}
