//! SQLite files as every embedded store opens them: durable settings, ordered migrations, errors that name the file.
//!
//! Never knows what a table holds: the stores above bring their own schema and SQL.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rusqlite::config::DbConfig;
use rusqlite::types::Type;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, TransactionBehavior};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tokio::task::JoinError;

/// How long a writer waits for another process before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the end of a process waits for others before it leaves the log to them.
const FOLD_TIMEOUT: Duration = Duration::from_millis(500);

/// Pages in the write-ahead log before a commit copies them back (64 MiB): bulk imports touch random index pages, and
/// a small log would write each of them many times over.
const CHECKPOINT_PAGES: i64 = 16_384;

/// The tables of one store and how they came to be: step *n* leads from version *n* to *n + 1*. Steps are only appended.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// The store's name in the version table; several stores may share a file.
    pub name: &'static str,
    /// SQL of each step, oldest first; each runs in a transaction with its version.
    pub steps: &'static [&'static str],
}

/// Why a database file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SqliteError {
    /// The file cannot be opened or set up.
    #[error("cannot open database `{path}`: {source}. Check that its folder exists, is writable and has free space",
        path = .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// A migration step failed; the file is as it was before that step.
    #[error("cannot bring `{schema}` in `{path}` to version {step}: {source}. Nothing was changed by this step; free \
        space or restore a backup, then start again", path = .path.display())]
    Migrate {
        /// The file.
        path: PathBuf,
        /// The store.
        schema: &'static str,
        /// The version it was to reach.
        step: usize,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The file was written by a newer hopgate.
    #[error("`{schema}` in `{path}` has version {found}, this hopgate knows up to {known}: run the newer hopgate, or \
        restore a backup from before the upgrade", path = .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The store.
        schema: &'static str,
        /// The version found.
        found: i64,
        /// The newest version known here.
        known: usize,
    },
}

/// Opens a file for reading and writing, creating it when missing, and brings `schema` up to date.
///
/// Write-ahead log, `synchronous=FULL` (a commit survives a power cut), foreign keys, a busy timeout, and a page cache
/// of `cache_kib`. Memory mapping is off on purpose: a read error of a mapped file kills the process with SIGBUS instead
/// of failing one statement, and the mapped pages count as resident memory.
///
/// # Errors
/// [`SqliteError`] naming the file.
pub fn open(path: &Path, schema: &Schema, cache_kib: u32) -> Result<Connection, SqliteError> {
    let failed = |source| SqliteError::Open { path: path.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    // First of all, so that switching to the write-ahead log waits for a process that does the same.
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES).map_err(failed)?;
    connection.pragma_update(None, "journal_size_limit", CHECKPOINT_PAGES * 4_096).map_err(failed)?;
    common(&connection, cache_kib).map_err(failed)?;
    migrate(&mut connection, path, schema)?;
    Ok(connection)
}

/// Writes what the log beside a file holds into the file, so that the file alone is complete, and empties the log. Does as
/// much of it as whoever has the file open leaves room for; there is nothing to do for a file that is not there.
///
/// # Errors
/// What SQLite says.
pub fn fold(path: &Path) -> rusqlite::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(FOLD_TIMEOUT)?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// One connection that tasks take turns at, each on a thread that may wait for the disk. Cheap to clone.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<Connection>>);

impl Shared {
    /// Opens a file as [`open`] does.
    ///
    /// # Errors
    /// [`SqliteError`] naming the file.
    pub fn open(path: &Path, schema: &Schema, cache_kib: u32) -> Result<Shared, SqliteError> {
        open(path, schema, cache_kib).map(Shared::of)
    }

    /// A connection that was opened before.
    pub fn of(connection: Connection) -> Shared {
        Shared(Arc::new(Mutex::new(connection)))
    }

    /// Does `work` when it is its turn; what it says.
    ///
    /// # Errors
    /// [`JoinError`] when it panicked, or the runtime ends.
    pub async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> R + Send + 'static,
    ) -> Result<R, JoinError> {
        let connection = Arc::clone(&self.0);
        let task =
            tokio::task::spawn_blocking(move || work(&mut connection.lock().unwrap_or_else(PoisonError::into_inner)));
        task.await
    }
}

/// Notices cheaply that nobody, of whatever process, can have committed to a file: its write-ahead log would be newer. For who
/// asks hundreds of times a second for a while and keeps a connection open, as the last one to close takes the log away; a
/// look at two numbers costs a thirtieth of a statement. Never opens a file: closing it again would give up the locks that
/// SQLite holds on it.
pub struct LogMark {
    path: PathBuf,
    /// The log at the last look; none before the first, when that failed, and after [`LogMark::forget`].
    seen: Option<(SystemTime, u64)>,
    /// Looks since the last that was not sure.
    quiet: u32,
    /// Rings when the log is written to, where the kernel does that (`inotify`).
    bell: Option<OwnedFd>,
}

impl LogMark {
    /// A commit counts some time after the log was written, and clocks of files are coarse: so long nothing is sure.
    const SETTLES: Duration = Duration::from_secs(2);
    /// After so many sure looks the next is not: a disk that takes longer than that to settle is found out.
    const LOOKS: u32 = 20;

    /// Of the database at `path`, which exists.
    pub fn of(path: &Path) -> LogMark {
        // SQLite keeps the log beside the file that a link leads to.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let mut log = path.into_os_string();
        log.push("-wal");
        LogMark { path: log.into(), seen: None, quiet: 0, bell: None }
    }

    /// Whether there may have been a commit since this was asked last; of every commit it says so, at the latest at the 21st
    /// look after it.
    pub fn may_have_moved(&mut self) -> bool {
        let now = self.now();
        let settled = now.is_some_and(|(at, _)| at.elapsed().is_ok_and(|age| age >= Self::SETTLES));
        let sure = settled && now == self.seen && self.quiet < Self::LOOKS;
        self.seen = now;
        self.quiet = if sure { self.quiet + 1 } else { 0 };
        !sure
    }

    /// When the log was written to, and its length. What cannot be told is not sure. Without a log there was no commit since
    /// the connection was opened.
    fn now(&self) -> Option<(SystemTime, u64)> {
        match std::fs::metadata(&self.path) {
            Ok(found) => found.modified().ok().map(|at| (at, found.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some((SystemTime::UNIX_EPOCH, 0)),
            Err(_) => None,
        }
    }

    /// Rests until it is worth asking again: for `soon` while nothing is sure or nobody tells of writes, else until there is
    /// one, `late` at most. After `late` the next look is not sure.
    pub fn rest(&mut self, soon: Duration, late: Duration) {
        let rung = if self.quiet == 0 { None } else { self.rung(late) };
        match rung {
            Some(true) => {}
            Some(false) => self.forget(),
            None => std::thread::sleep(soon),
        }
    }

    /// Waits for the bell; whether it rang in time, `None` without one.
    fn rung(&mut self, late: Duration) -> Option<bool> {
        if self.bell.is_none() {
            self.bell = bell().ok();
        }
        let bell = self.bell.as_ref()?;
        // Each time: the log may be another file by now. To ask again for the same one changes nothing.
        hang(bell, &self.path).ok()?;
        // Written to before the bell hung there.
        if self.now() != self.seen {
            return Some(true);
        }
        let late = Timespec { tv_sec: late.as_secs().try_into().ok()?, tv_nsec: late.subsec_nanos().into() };
        let rung = poll(&mut [PollFd::new(bell, PollFlags::IN)], Some(&late));
        // What rang is not asked for, and the bell stays: taking it down takes the kernel milliseconds.
        while rustix::io::read(bell, &mut [0; 4_096]).is_ok() {}
        match rung {
            Ok(rung) => Some(rung > 0),
            Err(Errno::INTR) => Some(true),
            Err(_) => None,
        }
    }

    /// The next look is not sure: what followed this one failed, or nobody told of anything for long.
    pub fn forget(&mut self) {
        self.seen = None;
    }
}

#[cfg(target_os = "linux")]
fn bell() -> rustix::io::Result<OwnedFd> {
    use rustix::fs::inotify::{CreateFlags, init};
    init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
}

#[cfg(target_os = "linux")]
fn hang(bell: &OwnedFd, log: &Path) -> rustix::io::Result<()> {
    use rustix::fs::inotify::{WatchFlags, add_watch};
    // A file that is removed changes its attributes.
    add_watch(bell, log, WatchFlags::MODIFY | WatchFlags::ATTRIB | WatchFlags::MOVE_SELF).map(drop)
}

#[cfg(not(target_os = "linux"))]
fn bell() -> rustix::io::Result<OwnedFd> {
    Err(Errno::NOSYS)
}

#[cfg(not(target_os = "linux"))]
fn hang(_: &OwnedFd, _: &Path) -> rustix::io::Result<()> {
    Err(Errno::NOSYS)
}

/// A value in a row that this process cannot read: written by a newer one. `what` names it: a name in backticks, or whose.
pub fn unknown(column: usize, what: &str) -> rusqlite::Error {
    let problem = format!("{what} is not known to this process");
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, problem.into())
}

/// Opens an existing file for reading only; it must have been opened with [`open`] once.
///
/// # Errors
/// [`SqliteError`] naming the file.
pub fn open_read_only(path: &Path, cache_kib: u32) -> Result<Connection, SqliteError> {
    let failed = |source| SqliteError::Open { path: path.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    common(&connection, cache_kib).map_err(failed)?;
    Ok(connection)
}

fn common(connection: &Connection, cache_kib: u32) -> rusqlite::Result<()> {
    // Else a statement is planned anew whenever its LIMIT is bound, as the plan may look at the value.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "cache_size", -i64::from(cache_kib))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn migrate(connection: &mut Connection, path: &Path, schema: &Schema) -> Result<(), SqliteError> {
    let failed = |step| move |source| SqliteError::Migrate { path: path.to_owned(), schema: schema.name, step, source };
    let known = schema.steps.len();
    loop {
        // One step a transaction; the version is read under the write lock, so two processes never run the same step.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed(0))?;
        transaction
            .execute_batch(
                "CREATE TABLE IF NOT EXISTS schema_versions (name TEXT PRIMARY KEY NOT NULL, version BIGINT NOT NULL)",
            )
            .map_err(failed(0))?;
        let found: i64 = transaction
            .query_row("SELECT version FROM schema_versions WHERE name = ?1", [schema.name], |row| row.get(0))
            .optional()
            .map_err(failed(0))?
            .unwrap_or(0);
        let at = usize::try_from(found).unwrap_or(usize::MAX);
        if at > known {
            return Err(SqliteError::Newer { path: path.to_owned(), schema: schema.name, found, known });
        }
        let Some(step) = schema.steps.get(at) else {
            return transaction.commit().map_err(failed(at));
        };
        transaction.execute_batch(step).map_err(failed(at + 1))?;
        transaction
            .execute(
                "INSERT INTO schema_versions (name, version) VALUES (?1, ?2) \
                 ON CONFLICT (name) DO UPDATE SET version = excluded.version",
                (schema.name, found + 1),
            )
            .map_err(failed(at + 1))?;
        transaction.commit().map_err(failed(at + 1))?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Schema = Schema { name: "things", steps: &["CREATE TABLE things (id BIGINT)"] };
    const TWO: Schema = Schema {
        name: "things",
        steps: &["CREATE TABLE things (id BIGINT)", "ALTER TABLE things ADD COLUMN name TEXT"],
    };

    #[test]
    fn steps_run_once_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sqlite");
        open(&path, &ONE, 1024).unwrap().execute("INSERT INTO things VALUES (1)", []).unwrap();
        for _ in 0..2 {
            let connection = open(&path, &TWO, 1024).unwrap();
            let count: i64 =
                connection.query_row("SELECT count(name) + count(id) FROM things", [], |r| r.get(0)).unwrap();
            assert_eq!(count, 1);
        }
        let mode: i64 = open(&path, &TWO, 1024).unwrap().pragma_query_value(None, "synchronous", |r| r.get(0)).unwrap();
        assert_eq!(mode, 2, "FULL");
        let newer = open(&path, &ONE, 1024).unwrap_err().to_string();
        assert!(newer.contains("a.sqlite") && newer.contains("newer hopgate"), "{newer}");
    }

    #[test]
    fn a_failing_step_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sqlite");
        let broken =
            Schema { name: "things", steps: &["CREATE TABLE things (id BIGINT); CREATE TABLE things (id BIGINT)"] };
        let error = open(&path, &broken, 1024).unwrap_err().to_string();
        assert!(error.contains("a.sqlite") && error.contains("version 1"), "{error}");
        open(&path, &ONE, 1024).unwrap();
    }

    #[test]
    fn two_openers_at_once_agree_and_a_reader_cannot_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sqlite");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| open(&path, &TWO, 1024).unwrap());
            }
        });
        let reader = open_read_only(&path, 1024).unwrap();
        assert!(reader.execute("INSERT INTO things VALUES (1, 'x')", []).is_err());
        let missing = open_read_only(&folder.path().join("none.sqlite"), 1024).unwrap_err().to_string();
        assert!(missing.contains("none.sqlite"), "{missing}");
    }

    #[test]
    fn a_log_that_was_written_long_ago_has_not_moved_for_twenty_looks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sqlite");
        std::fs::write(&path, "").unwrap();
        let linked = folder.path().join("b.sqlite");
        std::os::unix::fs::symlink(&path, &linked).unwrap();
        let mut mark = LogMark::of(&linked);
        assert!(mark.may_have_moved(), "nobody has looked yet");
        assert!(!mark.may_have_moved(), "there is no log");
        let connection = open(&linked, &ONE, 1024).unwrap();
        let log = std::fs::File::options().append(true).open(folder.path().join("a.sqlite-wal")).unwrap();
        let looks = |mark: &mut LogMark| (0..30).filter(|_| mark.may_have_moved()).count();
        assert_eq!(looks(&mut mark), 30, "just written: what was written in the same instant cannot be told");
        log.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
        assert_eq!(looks(&mut mark), 1 + 1, "it moved, and 21 looks later nothing is taken for granted");
        mark.forget();
        assert!(mark.may_have_moved() && !mark.may_have_moved());
        connection.execute("INSERT INTO things VALUES (1)", []).unwrap();
        assert!(mark.may_have_moved() && mark.may_have_moved());
        log.set_modified(SystemTime::now() + Duration::from_secs(60)).unwrap();
        assert_eq!(looks(&mut mark), 30, "a clock that was set back makes nothing sure");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn whoever_rests_is_woken_by_the_next_write() {
        // A rest that nobody ends is told by what it leaves behind: the next look is not sure, though nothing moved.
        const NEVER: Duration = Duration::from_secs(60);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sqlite");
        let log = folder.path().join("a.sqlite-wal");
        let mut mark = LogMark::of(&path);
        let age = |mark: &mut LogMark| {
            let file = std::fs::File::options().append(true).open(&log).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
            drop(file);
            assert!(mark.may_have_moved() && !mark.may_have_moved());
            // What rang for the change of its age.
            mark.rest(NEVER, Duration::ZERO);
            while mark.may_have_moved() {}
        };
        // The file is the same, then another one.
        for _ in 0..2 {
            let connection = open(&path, &TWO, 1024).unwrap();
            for round in 0..3 {
                age(&mut mark);
                std::thread::scope(|scope| {
                    scope.spawn(|| mark.rest(NEVER, NEVER));
                    connection.execute("INSERT INTO things VALUES (?1, '')", [round]).unwrap();
                });
                assert!(mark.seen.is_some() && mark.may_have_moved(), "it rang, before the rest or in it");
            }
            age(&mut mark);
            mark.rest(NEVER, Duration::from_millis(1));
            mark.rest(NEVER, Duration::from_millis(1));
            assert!(mark.seen.is_none() && mark.may_have_moved(), "nobody rang for long: that is looked into");
            // The last connection takes the log away.
            drop(connection);
            std::fs::remove_file(&path).unwrap();
        }
    }
}
