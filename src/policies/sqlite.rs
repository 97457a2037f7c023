//! Policy versions in an embedded SQLite file, which may be shared with other stores. The SQL is plain enough for any
//! database; what is not is how another process' switch is noticed.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior};

use super::canonical;
use super::store::{
    Cursor, LATE, NewSwitch, NewVersion, Pointed, PolicyStore, SOON, StoreError, StoredPolicy, Switch, VersionInfo,
    count_agreements, prefix,
};
use crate::domain::time::Timestamp;
use crate::sqlite::{self, LogMark, Schema, Shared, SqliteError};

const SCHEMA: Schema = Schema {
    name: "policies",
    steps: &[
        "
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
        ",
        // Versions that are not in force, who wrote and who switched. The hash is filled in after this step.
        "
        ALTER TABLE policy_versions RENAME TO policy_versions_before;
        CREATE TABLE policy_versions (
            version TEXT PRIMARY KEY NOT NULL,
            hash TEXT NOT NULL,
            canonical TEXT NOT NULL,
            author TEXT NOT NULL,
            note TEXT NOT NULL,
            created_at BIGINT NOT NULL,
            agreements BIGINT NOT NULL,
            backtested_at BIGINT,
            backtest TEXT
        );
        INSERT INTO policy_versions (version, hash, canonical, author, note, created_at, agreements)
            SELECT version, '', canonical, 'folder', '', since, 0 FROM policy_versions_before;
        DROP TABLE policy_versions_before;
        CREATE INDEX policy_versions_by_age ON policy_versions (created_at, version);
        ALTER TABLE policy_switches ADD COLUMN made_by TEXT NOT NULL DEFAULT 'folder';
        ALTER TABLE policy_switches ADD COLUMN note TEXT NOT NULL DEFAULT '';
        CREATE INDEX policy_switches_by_version ON policy_switches (version, at);
        ",
    ],
};

/// The page cache, in KiB: versions are few.
const CACHE: u32 = 512;

/// The embedded policy store.
pub struct SqlitePolicyStore {
    connection: Shared,
    watch: Mutex<Watch>,
}

/// A connection of its own for noticing switches: SQLite's `data_version` moves when any other connection has committed
/// to the file. It is asked for when the log may have moved, and only when it has moved too, the last switch.
struct Watch {
    log: LogMark,
    connection: Connection,
    data_version: Option<i64>,
    number: Option<i64>,
}

impl Watch {
    fn look(&mut self) -> rusqlite::Result<bool> {
        let look = |sql: &str| self.connection.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(0));
        let now = look("PRAGMA data_version")?;
        if self.data_version == Some(now) {
            return Ok(false);
        }
        let last = look("SELECT COALESCE(MAX(number), 0) FROM policy_switches")?;
        // Both only after both are known: a failed look is looked at again.
        self.data_version = Some(now);
        Ok(self.number.replace(last) != Some(last))
    }
}

impl SqlitePolicyStore {
    /// Opens the file, creating it when missing.
    ///
    /// # Errors
    /// [`SqliteError`] naming the file.
    pub fn open(path: &Path) -> Result<Self, SqliteError> {
        let mut connection = sqlite::open(path, &SCHEMA, CACHE)?;
        complete(&mut connection).map_err(|source| SqliteError::Open { path: path.to_owned(), source })?;
        let reader = sqlite::open_read_only(path, 64)?;
        let watch = Watch { log: LogMark::of(path), connection: reader, data_version: None, number: None };
        Ok(SqlitePolicyStore { connection: Shared::of(connection), watch: Mutex::new(watch) })
    }

    async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<R, Failed> + Send + 'static,
    ) -> Result<R, StoreError> {
        self.connection.run(work).await.map_err(unavailable)?.map_err(|failed| match failed {
            Failed::Sqlite(error) => unavailable(error),
            Failed::Store(error) => error,
        })
    }
}

enum Failed {
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Failed::Sqlite(error)
    }
}

fn unavailable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

/// Fills in what a row from before the second step lacks. A text that was altered keeps the name its hops know; reading
/// it says that it was altered.
fn complete(connection: &mut Connection) -> rusqlite::Result<()> {
    let lacking = "SELECT EXISTS (SELECT 1 FROM policy_versions WHERE hash = '')";
    if !connection.query_row(lacking, [], |row| row.get::<_, bool>(0))? {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let rows: Vec<(String, String)> = {
        let mut statement = transaction.prepare("SELECT version, canonical FROM policy_versions WHERE hash = ''")?;
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?
    };
    for (version, text) in rows {
        let found = canonical::version(&text);
        let hash = if found.to_string() == version { found.full() } else { version.clone() };
        let agreements = i64::try_from(count_agreements(&text)).unwrap_or(i64::MAX);
        let sql = "UPDATE policy_versions SET hash = ?2, agreements = ?3 WHERE version = ?1";
        transaction.execute(sql, (version, hash, agreements))?;
    }
    transaction.commit()
}

const SWITCH: &str = "SELECT number, version, at, made_by, note FROM policy_switches";

fn switch(row: &Row<'_>) -> rusqlite::Result<Switch> {
    Ok(Switch {
        number: row.get(0)?,
        version: row.get(1)?,
        at: Timestamp::from_micros(row.get(2)?),
        by: row.get(3)?,
        note: row.get(4)?,
    })
}

fn last(connection: &Connection) -> rusqlite::Result<Option<Switch>> {
    connection.query_row(&format!("{SWITCH} ORDER BY number DESC LIMIT 1"), [], switch).optional()
}

const INFO: &str = "version, hash, author, note, created_at, agreements, backtested_at, \
                    (SELECT MIN(at) FROM policy_switches s WHERE s.version = v.version)";

fn info(row: &Row<'_>) -> rusqlite::Result<VersionInfo> {
    Ok(VersionInfo {
        version: row.get(0)?,
        hash: row.get(1)?,
        author: row.get(2)?,
        note: row.get(3)?,
        created_at: Timestamp::from_micros(row.get(4)?),
        agreements: u64::try_from(row.get::<_, i64>(5)?).unwrap_or(0),
        backtested_at: row.get::<_, Option<i64>>(6)?.map(Timestamp::from_micros),
        since: row.get::<_, Option<i64>>(7)?.map(Timestamp::from_micros),
    })
}

fn whole(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

#[async_trait]
impl PolicyStore for SqlitePolicyStore {
    async fn keep(&self, new: NewVersion) -> Result<bool, StoreError> {
        self.run(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let (short, hash) = (new.version.to_string(), new.version.full());
            let kept = "SELECT hash FROM policy_versions WHERE version = ?1";
            let known: Option<String> = transaction.query_row(kept, [&short], |row| row.get(0)).optional()?;
            match known {
                Some(known) if known == hash => return Ok(false),
                Some(_) => return Err(Failed::Store(StoreError::ShortTaken(short))),
                None => {}
            }
            let sql = "INSERT INTO policy_versions (version, hash, canonical, author, note, created_at, agreements) \
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            let agreements = whole(new.agreements);
            let values = (short, hash, new.canonical, new.author, new.note, new.at.micros(), agreements);
            transaction.execute(sql, values)?;
            transaction.commit()?;
            Ok(true)
        })
        .await
    }

    async fn point_to(&self, new: NewSwitch) -> Result<Pointed, StoreError> {
        self.run(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let version = new.version.to_string();
            let hash = "SELECT hash FROM policy_versions WHERE version = ?1";
            let hash_of =
                |version: &str| transaction.query_row(hash, [version], |row| row.get::<_, String>(0)).optional();
            if hash_of(&version)?.is_none() {
                return Err(Failed::Store(StoreError::Unknown(version)));
            }
            let last = last(&transaction)?;
            let current = match &last {
                Some(last) => Some(hash_of(&last.version)?.unwrap_or_else(|| last.version.clone())),
                None => None,
            };
            if !new.expected.is_met(current.as_deref()) {
                return Ok(Pointed::Conflict { current: last });
            }
            if let Some(last) = &last
                && last.version == version
            {
                return Ok(Pointed::Unchanged(last.clone()));
            }
            let number = last.map_or(1, |last| last.number + 1);
            let made = Switch { number, version, at: new.at, by: new.by, note: new.note };
            let sql = "INSERT INTO policy_switches (number, version, at, made_by, note) VALUES (?1, ?2, ?3, ?4, ?5)";
            transaction.execute(sql, (made.number, &made.version, made.at.micros(), &made.by, &made.note))?;
            transaction.commit()?;
            Ok(Pointed::Switched(made))
        })
        .await
    }

    async fn in_force(&self) -> Result<Option<Switch>, StoreError> {
        self.run(|connection| Ok(last(connection)?)).await
    }

    async fn get(&self, text: &str) -> Result<Option<StoredPolicy>, StoreError> {
        let prefix = prefix(text)?;
        self.run(move |connection| {
            let short = &prefix[..prefix.len().min(16)];
            // `g` comes after every hex digit: a range the primary key answers.
            let sql = format!(
                "SELECT {INFO}, canonical, backtest FROM policy_versions v WHERE version >= ?1 AND version < ?2 LIMIT 2"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let read = |row: &Row<'_>| {
                let info = info(row)?;
                let version = info.version.clone();
                Ok(StoredPolicy { info, version, canonical: row.get(8)?, backtest: row.get(9)? })
            };
            let found = statement.query_map((short, format!("{short}g")), read)?;
            let mut found: Vec<StoredPolicy> = found.collect::<Result<_, _>>()?;
            match found.len() {
                0 | 1 => Ok(found.pop().filter(|one| prefix.len() <= 16 || one.info.hash.starts_with(&prefix))),
                _ => Err(Failed::Store(StoreError::Ambiguous(prefix))),
            }
        })
        .await
    }

    async fn list(&self, after: Option<Cursor>, limit: usize) -> Result<Vec<VersionInfo>, StoreError> {
        self.run(move |connection| {
            let (at, version) = after.map_or((i64::MAX, String::new()), |at| (at.created_at.micros(), at.version));
            let sql = format!(
                "SELECT {INFO} FROM policy_versions v WHERE created_at < ?1 OR (created_at = ?1 AND version < ?2) \
                 ORDER BY created_at DESC, version DESC LIMIT ?3"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            Ok(statement.query_map((at, version, whole(limit)), info)?.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn switches_since(&self, number: i64, limit: usize) -> Result<Vec<Switch>, StoreError> {
        self.run(move |connection| {
            let sql = format!("{SWITCH} WHERE number > ?1 ORDER BY number LIMIT ?2");
            let mut statement = connection.prepare_cached(&sql)?;
            Ok(statement.query_map((number, whole(limit)), switch)?.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn note_backtest(&self, version: &str, summary: &str, at: Timestamp) -> Result<bool, StoreError> {
        let Some(known) = self.get(version).await? else { return Ok(false) };
        let summary = summary.to_owned();
        self.run(move |connection| {
            let sql = "UPDATE policy_versions SET backtested_at = ?2, backtest = ?3 WHERE version = ?1";
            Ok(connection.execute(sql, (known.version, at.micros(), summary))? == 1)
        })
        .await
    }

    fn changed(&self) -> Result<bool, StoreError> {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if !watch.log.may_have_moved() {
            return Ok(false);
        }
        let changed = watch.look();
        if changed.is_err() {
            watch.log.forget();
        }
        changed.map_err(unavailable)
    }

    fn rest(&self) {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner).log.rest(SOON, LATE);
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
    use super::super::conformance::every_store;
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn sqlite_keeps_versions_as_every_store_must() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policies.sqlite");
        every_store(|| SqlitePolicyStore::open(&path).unwrap()).await;
    }

    #[tokio::test]
    async fn kept_texts_are_found_by_their_first_digits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policies.sqlite");
        let text = "{\"agreements\":[],\"defaults\":[]}".to_owned();
        let version = canonical::version(&text);
        let store = SqlitePolicyStore::open(&path).unwrap();
        let new = NewVersion {
            version,
            canonical: text.clone(),
            author: "a".to_owned(),
            note: String::new(),
            at: Timestamp::from_micros(1),
            agreements: 0,
        };
        store.keep(new).await.unwrap();
        let texts = KeptTexts::open(&path).unwrap();
        let full = version.full();
        for prefix in [&full[..8], &full[..16], &full] {
            let found = texts.find(prefix).unwrap();
            assert!(matches!(&found[..], [(_, kept)] if *kept == text), "{prefix}: {found:?}");
        }
        for prefix in ["0101010", "", &full[..7], "0101' OR 1=1"] {
            assert_eq!(texts.find(prefix).unwrap(), [], "{prefix}");
        }
    }

    #[tokio::test]
    async fn a_database_of_the_first_schema_is_brought_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policies.sqlite");
        let text = "{\"agreements\":[],\"defaults\":[]}";
        let version = canonical::version(text);
        {
            let old = Schema { name: "policies", steps: &SCHEMA.steps[..1] };
            let connection = sqlite::open(&path, &old, CACHE).unwrap();
            let insert = "INSERT INTO policy_versions (version, canonical, since) VALUES (?1, ?2, ?3)";
            connection.execute(insert, (version.to_string(), text, 5_000)).unwrap();
            connection.execute(insert, ("0123456789abcdef", "{\"agreements\":[1]}", 6_000)).unwrap();
            let insert = "INSERT INTO policy_switches (number, version, at) VALUES (?1, ?2, ?3)";
            connection.execute(insert, (1, version.to_string(), 5_000)).unwrap();
        }
        for _ in 0..2 {
            let store = SqlitePolicyStore::open(&path).unwrap();
            let stored = store.get(&version.full()).await.unwrap().unwrap();
            assert_eq!((stored.info.hash, &*stored.info.author), (version.full(), "folder"));
            assert_eq!(stored.info.since, Some(Timestamp::from_micros(5_000)));
            let altered = store.get("0123456789abcdef").await.unwrap().unwrap();
            assert_eq!((altered.info.hash.as_str(), altered.info.agreements), ("0123456789abcdef", 1));
            let last = store.in_force().await.unwrap().unwrap();
            assert_eq!((last.number, last.version, &*last.by), (1, version.to_string(), "folder"));
        }
    }
}
