//! API keys in an embedded SQLite file. The SQL is plain enough for any database; the file may be shared with other
//! stores. Never holds a key in memory, so that a revocation by another process counts at once.

use std::path::Path;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::{KeyError, KeyHash, KeyRecord, KeyStore, NewKey, Role};
use crate::domain::time::Timestamp;
use crate::sqlite::{Schema, Shared, SqliteError};

const SCHEMA: Schema = Schema {
    name: "keys",
    steps: &["
        CREATE TABLE api_keys (
            id TEXT PRIMARY KEY NOT NULL,
            hash TEXT NOT NULL UNIQUE,
            role TEXT NOT NULL,
            scope TEXT,
            name TEXT NOT NULL,
            created_at BIGINT NOT NULL,
            revoked_at BIGINT
        );
    "],
};

/// The page cache, in KiB: keys are few.
const CACHE: u32 = 512;

const COLUMNS: &str = "id, role, scope, name, created_at, revoked_at";

/// The embedded key store.
pub struct SqliteKeyStore(Shared);

impl SqliteKeyStore {
    /// Opens the file, creating it when missing.
    ///
    /// # Errors
    /// [`SqliteError`] naming the file.
    pub fn open(path: &Path) -> Result<Self, SqliteError> {
        Shared::open(path, &SCHEMA, CACHE).map(SqliteKeyStore)
    }

    async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<R, KeyError> + Send + 'static,
    ) -> Result<R, KeyError> {
        self.0.run(|connection| work(connection)).await.map_err(unavailable)?
    }
}

fn unavailable(error: impl std::fmt::Display) -> KeyError {
    KeyError::Unavailable(error.to_string())
}

fn read(row: &Row<'_>) -> rusqlite::Result<Result<KeyRecord, KeyError>> {
    let (id, role): (String, String) = (row.get(0)?, row.get(1)?);
    let Some(role) = Role::parse(&role) else {
        return Ok(Err(KeyError::Unreadable { id, what: format!("role `{role}` is not known to this process") }));
    };
    Ok(Ok(KeyRecord {
        id,
        role,
        scope: row.get(2)?,
        name: row.get(3)?,
        created_at: Timestamp::from_micros(row.get(4)?),
        revoked_at: row.get::<_, Option<i64>>(5)?.map(Timestamp::from_micros),
    }))
}

#[async_trait]
impl KeyStore for SqliteKeyStore {
    async fn create(&self, key: NewKey) -> Result<(), KeyError> {
        self.run(move |connection| {
            let NewKey { hash, record } = key;
            let sql = "INSERT INTO api_keys (id, hash, role, scope, name, created_at, revoked_at) \
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            let values = (
                record.id,
                hash.to_string(),
                record.role.as_str(),
                record.scope,
                record.name,
                record.created_at.micros(),
                record.revoked_at.map(Timestamp::micros),
            );
            connection.execute(sql, values).map(drop).map_err(unavailable)
        })
        .await
    }

    async fn list(&self) -> Result<Vec<KeyRecord>, KeyError> {
        self.run(|connection| {
            let sql = format!("SELECT {COLUMNS} FROM api_keys ORDER BY created_at, id");
            let mut statement = connection.prepare_cached(&sql).map_err(unavailable)?;
            let rows = statement.query_map([], read).map_err(unavailable)?;
            rows.map(|row| row.map_err(unavailable)?).collect()
        })
        .await
    }

    async fn revoke(&self, id: &str, at: Timestamp) -> Result<bool, KeyError> {
        let id = id.to_owned();
        self.run(move |connection| {
            let sql = "UPDATE api_keys SET revoked_at = COALESCE(revoked_at, ?2) WHERE id = ?1";
            connection.execute(sql, (id, at.micros())).map(|rows| rows == 1).map_err(unavailable)
        })
        .await
    }

    async fn find(&self, hash: KeyHash) -> Result<Option<KeyRecord>, KeyError> {
        self.run(move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM api_keys WHERE hash = ?1");
            let mut statement = connection.prepare_cached(&sql).map_err(unavailable)?;
            statement.query_row([hash.to_string()], read).optional().map_err(unavailable)?.transpose()
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::super::conformance;
    use super::*;

    #[tokio::test]
    async fn sqlite_keeps_keys_as_every_store_must() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.sqlite");
        conformance::every_store(|| SqliteKeyStore::open(&path).unwrap(), folder.path()).await;
        let raw = std::fs::read(&path).unwrap();
        assert!(!String::from_utf8_lossy(&raw).contains("hk_"), "no key's text is in the file");
    }
}
