//! Policy versions in an embedded SQLite file, which may be shared with other stores. The SQL is plain enough for any
//! database.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::store::{PolicyStore, StoreError, StoredPolicy, Switch};
use crate::domain::policy::Version;
use crate::domain::time::Timestamp;
use crate::sqlite::{self, Schema, SqliteError};

const SCHEMA: Schema = Schema {
    name: "policies",
    steps: &["
        CREATE TABLE policy_versions (
            version TEXT PRIMARY KEY NOT NULL,
            canonical TEXT NOT NULL,
            since BIGINT NOT NULL
        );
        CREATE TABLE policy_switches (
            number BIGINT PRIMARY KEY NOT NULL,
            version TEXT NOT NULL,
            at BIGINT NOT NULL
        );
    "],
};

/// The page cache, in KiB: versions are few.
const CACHE: u32 = 512;

/// The embedded policy store.
pub struct SqlitePolicyStore(Arc<Mutex<Connection>>);

impl SqlitePolicyStore {
    /// Opens the file, creating it when missing.
    ///
    /// # Errors
    /// [`SqliteError`] naming the file.
    pub fn open(path: &Path) -> Result<Self, SqliteError> {
        Ok(SqlitePolicyStore(Arc::new(Mutex::new(sqlite::open(path, &SCHEMA, CACHE)?))))
    }

    async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, StoreError> {
        let connection = Arc::clone(&self.0);
        let task =
            tokio::task::spawn_blocking(move || work(&mut connection.lock().unwrap_or_else(PoisonError::into_inner)));
        task.await.map_err(unavailable)?.map_err(unavailable)
    }
}

fn unavailable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

fn switch(row: &Row<'_>) -> rusqlite::Result<Switch> {
    Ok(Switch { version: row.get(0)?, at: Timestamp::from_micros(row.get(1)?) })
}

const LAST: &str = "SELECT version, at, number FROM policy_switches ORDER BY number DESC LIMIT 1";

#[async_trait]
impl PolicyStore for SqlitePolicyStore {
    async fn put_in_force(&self, version: Version, canonical: &str, at: Timestamp) -> Result<(), StoreError> {
        let (version, canonical) = (version.to_string(), canonical.to_owned());
        self.run(move |connection| {
            let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let last: Option<(String, i64)> =
                transaction.query_row(LAST, [], |row| Ok((row.get(0)?, row.get(2)?))).optional()?;
            if last.as_ref().is_none_or(|(in_force, _)| *in_force != version) {
                let keep = "INSERT INTO policy_versions (version, canonical, since) VALUES (?1, ?2, ?3) \
                            ON CONFLICT (version) DO NOTHING";
                transaction.execute(keep, (&version, &canonical, at.micros()))?;
                let number = last.map_or(1, |(_, number)| number + 1);
                let note = "INSERT INTO policy_switches (number, version, at) VALUES (?1, ?2, ?3)";
                transaction.execute(note, (number, &version, at.micros()))?;
            }
            transaction.commit()
        })
        .await
    }

    async fn in_force(&self) -> Result<Option<Switch>, StoreError> {
        self.run(|connection| connection.query_row(LAST, [], switch).optional()).await
    }

    async fn get(&self, version: &str) -> Result<Option<StoredPolicy>, StoreError> {
        let version = version.to_owned();
        self.run(move |connection| {
            let sql = "SELECT version, canonical, since FROM policy_versions WHERE version = ?1";
            let read = |row: &Row<'_>| {
                let since = Timestamp::from_micros(row.get(2)?);
                Ok(StoredPolicy { version: row.get(0)?, canonical: row.get(1)?, since })
            };
            connection.query_row(sql, [version], read).optional()
        })
        .await
    }

    async fn switches(&self) -> Result<Vec<Switch>, StoreError> {
        self.run(|connection| {
            let mut statement = connection.prepare("SELECT version, at FROM policy_switches ORDER BY number")?;
            statement.query_map([], switch)?.collect()
        })
        .await
    }
}

/// The texts of kept versions, for commands that only read: beside a running gateway, without a migration.
pub struct KeptTexts(Mutex<Connection>);

impl KeptTexts {
    /// Opens an existing file for reading.
    ///
    /// # Errors
    /// [`SqliteError`] naming the file.
    pub fn open(path: &Path) -> Result<Self, SqliteError> {
        sqlite::open_read_only(path, CACHE).map(|connection| KeptTexts(Mutex::new(connection)))
    }

    /// The 16 hex digits and the canonical JSON of every version, at most two, that begins with `prefix`: 8 digits at
    /// least, of which 16 count.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn find(&self, prefix: &str) -> Result<Vec<(String, String)>, StoreError> {
        let prefix = prefix.get(..16).unwrap_or(prefix);
        if prefix.len() < 8 || !prefix.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(Vec::new());
        }
        let from = prefix.to_ascii_lowercase();
        // Hex digits end at f: this is behind all that begin so.
        let to = format!("{from}g");
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut statement = connection
            .prepare_cached(
                "SELECT version, canonical FROM policy_versions WHERE version >= ?1 AND version < ?2 \
                 ORDER BY version LIMIT 2",
            )
            .map_err(unavailable)?;
        let rows = statement.query_map([from, to], |row| Ok((row.get(0)?, row.get(1)?))).map_err(unavailable)?;
        rows.collect::<rusqlite::Result<_>>().map_err(unavailable)
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::every_store;
    use super::*;

    #[tokio::test]
    async fn sqlite_keeps_versions_as_every_store_must() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policies.sqlite");
        every_store(|| SqlitePolicyStore::open(&path).unwrap()).await;
        let texts = KeptTexts::open(&path).unwrap();
        let one = Version([1; 32]).to_string();
        for prefix in [&one[..8], &one, &format!("{one}{one}")] {
            assert_eq!(texts.find(prefix).unwrap(), [(one.clone(), "{\"one\":\"一\"}".to_owned())], "{prefix}");
        }
        for prefix in ["0101010", "", "01010102", "0101' OR 1=1"] {
            assert_eq!(texts.find(prefix).unwrap(), [], "{prefix}");
        }
    }
}
