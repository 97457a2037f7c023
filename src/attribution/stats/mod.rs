//! Figures and touches: what follows from hops alone, kept up in one SQLite file.
//!
//! A batch of hops is counted in one transaction with the mark of how far was read, so that a kill, a second reader or a
//! second process changes nothing. Everything here can be made anew from the hops ([`Stats::rebuild`]). Never on the path of
//! a click; never changes or removes a hop.
//!
//! - `source`: where hops come from; `batch`, `words`: hops as they wait; `apply`: counting them; `seen`: what is remembered
//!   of a visitor for a day;
//! - [`follow`]: keeping up; [`figures`]: questions; `touches`: clicks as attribution looks them up;
//! - [`forget`]: what is erased by age and by a purge; [`rebuild`]: making it all anew; [`walk`]: the same figures under other rules.

mod apply;
mod batch;
mod clicks;
#[cfg(test)]
mod erasing;
pub mod figures;
pub mod follow;
pub mod forget;
#[cfg(test)]
mod model;
#[cfg(test)]
mod properties;
pub mod rebuild;
mod schema;
mod seen;
mod source;
mod touches;
pub mod walk;
mod words;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;
use crate::domain::attribution::touch::Marks;
use crate::domain::attribution::validity::Rules;
use crate::domain::time::Timestamp;
use crate::sqlite::{self, SqliteError};
use apply::{Own, fact, note_fact};
use words::Words;

/// Page cache of the connection that writes, in KiB.
const WRITER_CACHE: u32 = 64 << 10;
/// Page cache of each that reads.
const READER_CACHE: u32 = 8 << 10;
/// Connections that read.
const READERS: usize = 3;
/// Sightings of creators that are remembered so as not to be noted twice.
const MOST_OWNS: usize = 100_000;

/// Figures and touches of a data folder. Cheap to clone.
#[derive(Clone)]
pub struct Stats(Arc<Inner>);

struct Inner {
    path: PathBuf,
    writer: Mutex<Writer>,
    readers: Vec<Mutex<Connection>>,
    owns: Mutex<Owns>,
    /// The rules the figures in the file were made by; beside the writer, who may be busy for long.
    rules: Mutex<Rules>,
}

struct Writer {
    connection: Connection,
    words: Words,
    /// Changes when the file was made anew: numbers of names are others then.
    generation: String,
    /// Marks of clicks that can no longer be found out, by node and number; only while the file is made anew.
    carried: HashMap<(Box<str>, u64), Marks>,
}

/// Creators that were seen using their keys.
#[derive(Default)]
struct Owns {
    /// The hour in which each was noted last: once an hour, because a purge may have erased it meanwhile.
    known: HashMap<(i64, Box<str>, u128), i64>,
    waiting: Vec<Own>,
}

fn unavailable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

impl Stats {
    /// Opens the file, creating it when missing. A new one counts by `rules`; one that is there goes on with its own, so that
    /// its figures are all of one sort: see [`Stats::rules`].
    ///
    /// # Errors
    /// [`SqliteError`] naming the file.
    pub fn open(path: &Path, rules: &Rules) -> Result<Stats, SqliteError> {
        let mut connection = sqlite::open(path, &schema::SCHEMA, WRITER_CACHE)?;
        let failed = |source| SqliteError::Open { path: path.to_owned(), source };
        // What is erased is overwritten: most of it is of visitors.
        connection.pragma_update(None, "secure_delete", true).map_err(failed)?;
        let (rules, generation) = begin(&mut connection, rules).map_err(failed)?;
        if let Err(error) = rebuild::clear(path) {
            tracing::error!(file = %path.display(), %error, "what a killed rebuild left beside the figures cannot be removed");
        }
        let readers = (0..READERS)
            .map(|_| sqlite::open_read_only(path, READER_CACHE).map(Mutex::new))
            .collect::<Result<_, _>>()?;
        let writer = Writer { connection, words: Words::default(), generation, carried: HashMap::new() };
        Ok(Stats(Arc::new(Inner {
            path: path.to_owned(),
            writer: Mutex::new(writer),
            readers,
            owns: Mutex::default(),
            rules: Mutex::new(rules),
        })))
    }

    /// The rules by which this file's figures and marks were made.
    pub fn rules(&self) -> Rules {
        self.0.rules.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What names them in reports.
    pub fn rules_version(&self) -> String {
        self.rules().version()
    }

    fn now_by(&self, rules: Rules) {
        *self.0.rules.lock().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Notes that a creator was seen using its own key, with the hash a click of the same visitor would have that day. Kept
    /// with the next batch of hops; nothing waits for it.
    pub fn note_own(&self, creator: &str, visitor: u128, at: Timestamp) {
        if creator.is_empty() || visitor == 0 {
            return;
        }
        let mut owns = self.0.owns.lock().unwrap_or_else(PoisonError::into_inner);
        if owns.known.len() >= MOST_OWNS {
            owns.known.clear();
        }
        let hour = at.micros().div_euclid(apply::HOUR);
        if owns.known.insert((at.beijing_day(), creator.into(), visitor), hour) != Some(hour) {
            owns.waiting.push(Own { creator: creator.into(), visitor, at });
        }
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.0.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that reads; one that is free, if any is.
    fn reader(&self) -> MutexGuard<'_, Connection> {
        let free = self.0.readers.iter().find_map(|reader| reader.try_lock().ok());
        free.unwrap_or_else(|| self.0.readers[0].lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads on a thread that may wait for the disk.
    async fn ask<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, StoreError> {
        let stats = self.clone();
        let task = tokio::task::spawn_blocking(move || work(&mut stats.reader()));
        task.await.map_err(unavailable)?.map_err(unavailable)
    }
}

/// The rules and the generation of a file, noted at its first opening.
fn begin(connection: &mut Connection, rules: &Rules) -> rusqlite::Result<(Rules, String)> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let kept = fact(&transaction, "rules")?;
    // Rules of a newer build cannot be read: then those of the settings are noted, and a rebuild is asked for by the version.
    let kept = kept.as_deref().and_then(Rules::of_canonical);
    if kept.is_none() {
        note_fact(&transaction, "rules", &rules.canonical())?;
    }
    let generation = fact(&transaction, "generation")?;
    if generation.is_none() {
        note_fact(&transaction, "generation", "1")?;
    }
    transaction.commit()?;
    Ok((kept.unwrap_or_else(|| rules.clone()), generation.unwrap_or_else(|| "1".to_owned())))
}
