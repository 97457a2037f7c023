//! Links in an embedded SQLite file: one writer thread with group commit, readers beside it.
//!
//! An answered write is on disk (`synchronous=FULL`, one sync a group). Several processes may use one file: revisions
//! come from a counter row read under the write lock. Never holds a link in memory.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, ToSql, Transaction, TransactionBehavior, params_from_iter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::rows;
use super::store::{
    Changes, InsertOutcome, LinkChange, LinkQuery, LinkStore, Page, StoreError, UnreadableRow, UpdateOutcome,
};
use crate::domain::link::Link;
use crate::domain::vocabulary::Vocabulary;
use crate::sqlite::{self, SqliteError};

/// Most operations in one commit.
const GROUP: usize = 512;
/// Most links in one commit, unless a single insert brings more.
const GROUP_LINKS: usize = 20_000;
/// Operations waiting before callers wait too.
const QUEUE: usize = 1_024;
/// Without work for so long, the writer gives its page cache back.
const IDLE: Duration = Duration::from_secs(1);
/// Page caches, in KiB. The writer's is filled by large imports only and given back when idle; the readers' are small:
/// the click path reads memory, and the file is in the kernel's cache anyway.
const WRITER_CACHE: u32 = 128 * 1_024;
const READER_CACHE: u32 = 2 * 1_024;
/// Readers for single links and lists, and readers for scans and the change feed, which may not crowd out the former.
const POINT_READERS: usize = 4;
const SCAN_READERS: usize = 4;

/// The embedded link store.
pub struct SqliteLinkStore {
    writer: mpsc::Sender<(Write, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
    points: Arc<Readers>,
    scans: Arc<Readers>,
    words: Arc<Vocabulary>,
}

enum Write {
    Insert(Vec<Link>, oneshot::Sender<Result<Vec<InsertOutcome>, StoreError>>),
    Update(String, Option<i64>, LinkChange, oneshot::Sender<Result<UpdateOutcome, StoreError>>),
}

enum Answer {
    Insert(Vec<InsertOutcome>),
    Update(UpdateOutcome),
}

impl SqliteLinkStore {
    /// Opens the file, creating it when missing. The writer thread ends when the store is dropped.
    ///
    /// # Errors
    /// [`SqliteError`] naming the file.
    pub fn open(path: &Path, words: Arc<Vocabulary>) -> Result<Self, SqliteError> {
        let connection = sqlite::open(path, &rows::SCHEMA, WRITER_CACHE)?;
        let (writer, queue) = mpsc::channel();
        let writer_words = Arc::clone(&words);
        std::thread::Builder::new()
            .name("links-writer".into())
            .spawn(move || Writer { connection, words: writer_words }.run(&queue))
            .map_err(|error| SqliteError::Open {
                path: path.to_owned(),
                source: rusqlite::Error::ToSqlConversionFailure(Box::new(error)),
            })?;
        let readers = |most| Arc::new(Readers::new(path, most));
        Ok(SqliteLinkStore {
            writer,
            room: Arc::new(Semaphore::new(QUEUE)),
            points: readers(POINT_READERS),
            scans: readers(SCAN_READERS),
            words,
        })
    }

    async fn ask<R>(
        &self,
        write: impl FnOnce(oneshot::Sender<Result<R, StoreError>>) -> Write,
    ) -> Result<R, StoreError> {
        let (reply, answer) = oneshot::channel();
        let place = Arc::clone(&self.room).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        self.writer.send((write(reply), place)).map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

fn unavailable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable { what: error.to_string() }
}

#[async_trait]
impl LinkStore for SqliteLinkStore {
    async fn insert(&self, links: Vec<Link>) -> Result<Vec<InsertOutcome>, StoreError> {
        if links.is_empty() {
            return Ok(Vec::new());
        }
        self.ask(|reply| Write::Insert(links, reply)).await
    }

    async fn update(
        &self,
        code: &str,
        expected_revision: Option<i64>,
        change: LinkChange,
    ) -> Result<UpdateOutcome, StoreError> {
        self.ask(|reply| Write::Update(code.to_owned(), expected_revision, change, reply)).await
    }

    async fn get(&self, code: &str) -> Result<Option<Link>, StoreError> {
        let (code, words) = (code.to_owned(), Arc::clone(&self.words));
        self.points.run(move |connection| find(connection, &code, &words)).await
    }

    async fn list(&self, query: &LinkQuery, after: Option<&str>, limit: usize) -> Result<Page, StoreError> {
        let (query, after, words) = (query.clone(), after.map(str::to_owned), Arc::clone(&self.words));
        self.points.run(move |connection| list(connection, &query, after, limit, &words)).await
    }

    async fn latest(&self, query: &LinkQuery, limit: usize) -> Result<Page, StoreError> {
        let (query, words) = (query.clone(), Arc::clone(&self.words));
        self.scans.run(move |connection| latest(connection, &query, limit, &words)).await
    }

    async fn changed_since(&self, revision: i64, until: Option<i64>, limit: usize) -> Result<Changes, StoreError> {
        let words = Arc::clone(&self.words);
        let run = move |connection: &Connection| {
            let sql = format!(
                "SELECT {} FROM links l WHERE l.revision > ?1 AND l.revision <= ?2 ORDER BY l.revision LIMIT ?3",
                rows::COLUMNS
            );
            let read = read_all(connection, &sql, &[&revision, &until.unwrap_or(i64::MAX), &whole(limit)], &words)?;
            let through = read.last_revision.unwrap_or(revision);
            Ok(Changes { links: read.links, unreadable: read.unreadable, through, more: read.rows == limit })
        };
        self.scans.run(run).await
    }

    async fn count(&self) -> Result<u64, StoreError> {
        let count = self.points.run(|connection| one_number(connection, "SELECT links FROM catalog_state")).await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    async fn latest_revision(&self) -> Result<i64, StoreError> {
        self.points.run(|connection| one_number(connection, "SELECT revision FROM catalog_state")).await
    }
}

fn whole(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn one_number(connection: &Connection, sql: &str) -> Result<i64, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(unavailable)?;
    statement.query_row([], |row| row.get(0)).map_err(unavailable)
}

fn find(connection: &Connection, code: &str, words: &Vocabulary) -> Result<Option<Link>, StoreError> {
    let sql = format!("SELECT {} FROM links l WHERE l.code = ?1", rows::COLUMNS);
    let mut statement = connection.prepare_cached(&sql).map_err(unavailable)?;
    let row = statement.query_row([code], |row| rows::read(row, words)).optional().map_err(unavailable)?;
    row.map(|row| row.link).transpose().map_err(|UnreadableRow { code, what }| StoreError::Unreadable { code, what })
}

/// What a query asks for, as conditions on `links l` and its label `t`, with their values behind those already there.
fn conditions(query: &LinkQuery, words: &Vocabulary, values: &mut Vec<Box<dyn ToSql>>) -> Vec<String> {
    let mut conditions = Vec::new();
    let mut ask = |condition: &str, value: Box<dyn ToSql>| {
        values.push(value);
        conditions.push(format!("{condition} = ?{}", values.len()));
    };
    if let Some(creator) = &query.creator {
        ask("l.creator", Box::new(creator.clone()));
    }
    if let Some(platform) = query.platform {
        ask("l.platform", Box::new(words.platform_name(platform).to_owned()));
    }
    if let Some(marketplace) = query.marketplace {
        ask("l.marketplace", Box::new(words.marketplace_name(marketplace).to_owned()));
    }
    if let Some(state) = query.state {
        ask("l.state", Box::new(rows::state_text(state)));
    }
    if let Some(tag) = &query.tag {
        ask("t.tag", Box::new(tag.clone()));
    }
    conditions
}

const WITH_TAGS: &str = " JOIN link_tags t ON t.code = l.code";

fn list(
    connection: &Connection,
    query: &LinkQuery,
    after: Option<String>,
    limit: usize,
    words: &Vocabulary,
) -> Result<Page, StoreError> {
    let mut sql = format!("SELECT {} FROM links l", rows::COLUMNS);
    let mut values: Vec<Box<dyn ToSql>> = vec![Box::new(after.unwrap_or_default())];
    let conditions = conditions(query, words, &mut values);
    // Ordered by the table whose index is walked: a rare label must not walk every link.
    let order = if query.tag.is_some() { "t.code" } else { "l.code" };
    if query.tag.is_some() {
        sql.push_str(WITH_TAGS);
    }
    sql.push_str(&format!(" WHERE {order} > ?1"));
    for condition in conditions {
        sql.push_str(" AND ");
        sql.push_str(&condition);
    }
    values.push(Box::new(whole(limit)));
    sql.push_str(&format!(" ORDER BY {order} LIMIT ?{}", values.len()));
    let values = values.iter().map(|value| &**value).collect::<Vec<_>>();
    let read = read_all(connection, &sql, &values, words)?;
    let next = if read.rows < limit { None } else { read.last_code };
    Ok(Page { links: read.links, unreadable: read.unreadable, next })
}

fn latest(connection: &Connection, query: &LinkQuery, limit: usize, words: &Vocabulary) -> Result<Page, StoreError> {
    let mut sql = format!("SELECT {} FROM links l", rows::COLUMNS);
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    let conditions = conditions(query, words, &mut values);
    if query.tag.is_some() {
        sql.push_str(WITH_TAGS);
    }
    if !conditions.is_empty() {
        sql.push_str(&format!(" WHERE {}", conditions.join(" AND ")));
    }
    values.push(Box::new(whole(limit)));
    sql.push_str(&format!(" ORDER BY l.revision DESC LIMIT ?{}", values.len()));
    let values = values.iter().map(|value| &**value).collect::<Vec<_>>();
    let read = read_all(connection, &sql, &values, words)?;
    Ok(Page { links: read.links, unreadable: read.unreadable, next: None })
}

#[derive(Default)]
struct ReadAll {
    links: Vec<Link>,
    unreadable: Vec<UnreadableRow>,
    rows: usize,
    last_revision: Option<i64>,
    last_code: Option<String>,
}

fn read_all(
    connection: &Connection,
    sql: &str,
    values: &[&dyn ToSql],
    words: &Vocabulary,
) -> Result<ReadAll, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(unavailable)?;
    let mut found = statement.query(params_from_iter(values)).map_err(unavailable)?;
    let mut all = ReadAll::default();
    while let Some(row) = found.next().map_err(unavailable)? {
        let row = rows::read(row, words).map_err(unavailable)?;
        all.rows += 1;
        all.last_revision = Some(row.revision);
        match row.link {
            Ok(link) => all.links.push(link),
            Err(fault) => all.unreadable.push(fault),
        }
    }
    // The greater of the two last codes is the last row's.
    let (read, not) = (all.links.last().map(|link| link.code.as_str()), all.unreadable.last().map(|row| &*row.code));
    all.last_code = read.max(not).map(str::to_owned);
    Ok(all)
}

/// Connections that only read, each used by one blocking task at a time.
struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    fn new(path: &Path, most: usize) -> Self {
        Readers { path: path.to_owned(), idle: Mutex::default(), permits: Arc::new(Semaphore::new(most)) }
    }

    async fn run<R: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Connection) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, StoreError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let readers = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let idle = readers.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = match idle {
                Some(connection) => connection,
                None => sqlite::open_read_only(&readers.path, READER_CACHE).map_err(unavailable)?,
            };
            let result = read(&connection);
            readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            result
        });
        task.await.map_err(unavailable)?
    }
}

struct Writer {
    connection: Connection,
    words: Arc<Vocabulary>,
}

/// Why a group did not go through.
enum Failed {
    /// One operation failed and nothing was committed: the others may be tried alone.
    Operation(StoreError),
    /// The transaction itself failed: trying again could report as stored what a failing disk dropped.
    Transaction(StoreError),
}

/// The counter row, while a transaction holds the write lock.
struct Counters {
    revision: i64,
    links: i64,
}

impl Writer {
    fn run(mut self, queue: &mpsc::Receiver<(Write, OwnedSemaphorePermit)>) {
        loop {
            let (first, place) = match queue.recv_timeout(IDLE) {
                Ok(write) => write,
                Err(RecvTimeoutError::Timeout) => {
                    // Gives back what a large import filled. Failing costs memory only.
                    let _ = self.connection.release_memory();
                    match queue.recv() {
                        Ok(write) => write,
                        Err(_) => return,
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut weight = first.weight();
            let (mut group, mut places) = (vec![first], vec![place]);
            while group.len() < GROUP && weight < GROUP_LINKS {
                let Ok((next, place)) = queue.try_recv() else { break };
                weight += next.weight();
                group.push(next);
                places.push(place);
            }
            match self.commit(&group) {
                Ok(answers) => group.into_iter().zip(answers).for_each(|(write, answer)| write.answer(Ok(answer))),
                Err(Failed::Operation(_)) if group.len() > 1 => {
                    for write in group {
                        let answer = self.commit(std::slice::from_ref(&write));
                        write.answer(
                            answer.map_err(Failed::reason).and_then(|mut all| all.pop().ok_or(StoreError::Closed)),
                        );
                    }
                }
                Err(failed) => {
                    let reason = failed.reason();
                    tracing::error!(error = %reason, operations = group.len(), "links were not stored");
                    group.into_iter().for_each(|write| write.answer(Err(reason.clone())));
                }
            }
        }
    }

    fn commit(&mut self, group: &[Write]) -> Result<Vec<Answer>, Failed> {
        let whole = |error| Failed::Transaction(unavailable(error));
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(whole)?;
        let mut counters = transaction
            .prepare_cached("SELECT revision, links FROM catalog_state")
            .and_then(|mut counters| {
                counters.query_row([], |row| Ok(Counters { revision: row.get(0)?, links: row.get(1)? }))
            })
            .map_err(whole)?;
        let before = counters.revision;
        let answers = group
            .iter()
            .map(|write| match write {
                Write::Insert(links, _) => insert(&transaction, links, &mut counters, &self.words).map(Answer::Insert),
                Write::Update(code, expected, change, _) => {
                    update(&transaction, code, *expected, change, &mut counters, &self.words).map(Answer::Update)
                }
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(Failed::Operation)?;
        if counters.revision > before {
            transaction
                .prepare_cached("UPDATE catalog_state SET revision = ?1, links = ?2")
                .and_then(|mut update| update.execute([counters.revision, counters.links]))
                .map_err(whole)?;
        }
        transaction.commit().map_err(|error| {
            let what = format!("the commit failed, so whether this was stored is uncertain: {error}");
            Failed::Transaction(StoreError::Unavailable { what })
        })?;
        Ok(answers)
    }
}

impl Failed {
    fn reason(self) -> StoreError {
        match self {
            Failed::Operation(reason) | Failed::Transaction(reason) => reason,
        }
    }
}

impl Write {
    fn weight(&self) -> usize {
        match self {
            Write::Insert(links, _) => links.len(),
            Write::Update(..) => 1,
        }
    }

    /// Answers the caller, who may have gone away.
    fn answer(self, answer: Result<Answer, StoreError>) {
        match (self, answer) {
            (Write::Insert(_, reply), Ok(Answer::Insert(outcomes))) => drop(reply.send(Ok(outcomes))),
            (Write::Update(.., reply), Ok(Answer::Update(outcome))) => drop(reply.send(Ok(outcome))),
            (Write::Insert(_, reply), Err(error)) => drop(reply.send(Err(error))),
            (Write::Update(.., reply), Err(error)) => drop(reply.send(Err(error))),
            // Dropping the reply tells the caller `Closed`. Not reached: answers are made in the order of the group.
            (Write::Insert(..), Ok(Answer::Update(_))) | (Write::Update(..), Ok(Answer::Insert(_))) => {}
        }
    }
}

fn insert(
    transaction: &Transaction<'_>,
    links: &[Link],
    counters: &mut Counters,
    words: &Vocabulary,
) -> Result<Vec<InsertOutcome>, StoreError> {
    let mut statement = transaction.prepare_cached(rows::INSERT).map_err(unavailable)?;
    // In code order, so that a large insert walks the index instead of jumping about in it. The sort is stable: of two
    // links with one code the first wins.
    let mut order = (0..links.len()).collect::<Vec<_>>();
    order.sort_by_key(|place| &links[*place].code);
    let mut outcomes = vec![InsertOutcome::CodeTaken; links.len()];
    for place in order {
        let link = &links[place];
        let revision = counters.revision + 1;
        if rows::insert(&mut statement, link, revision, words).map_err(unavailable)? {
            *counters = Counters { revision, links: counters.links + 1 };
            add_tags(transaction, link)?;
            outcomes[place] = InsertOutcome::Stored { revision };
        }
    }
    Ok(outcomes)
}

fn add_tags(transaction: &Transaction<'_>, link: &Link) -> Result<(), StoreError> {
    for tag in &link.tags {
        let sql = "INSERT INTO link_tags (tag, code) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        let mut statement = transaction.prepare_cached(sql).map_err(unavailable)?;
        statement.execute([tag.as_str(), link.code.as_str()]).map_err(unavailable)?;
    }
    Ok(())
}

fn update(
    transaction: &Transaction<'_>,
    code: &str,
    expected: Option<i64>,
    change: &LinkChange,
    counters: &mut Counters,
    words: &Vocabulary,
) -> Result<UpdateOutcome, StoreError> {
    let Some(mut link) = find(transaction, code, words)? else { return Ok(UpdateOutcome::NotFound) };
    if expected.is_some_and(|expected| expected != link.revision) {
        return Ok(UpdateOutcome::Stale { current: link.revision });
    }
    if change.tags.is_some() {
        let sql = "DELETE FROM link_tags WHERE tag = ?1 AND code = ?2";
        let mut clear = transaction.prepare_cached(sql).map_err(unavailable)?;
        for tag in &link.tags {
            clear.execute([tag.as_str(), code]).map_err(unavailable)?;
        }
    }
    change.clone().apply(&mut link);
    link.revision = counters.revision + 1;
    let mut statement = transaction.prepare_cached(rows::UPDATE).map_err(unavailable)?;
    rows::update(&mut statement, &link, words).map_err(unavailable)?;
    if change.tags.is_some() {
        add_tags(transaction, &link)?;
    }
    counters.revision = link.revision;
    Ok(UpdateOutcome::Updated(Box::new(link)))
}
