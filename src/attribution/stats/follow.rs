//! Keeps the figures up with the log.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rusqlite::{TransactionBehavior, params};

use super::apply::{Applied, apply, fact, keep_owns};
use super::batch::Row;
use super::source::Source;
use super::{Own, Stats, StoreError, Writer, unavailable};
use crate::domain::attribution::validity::Rules;
use crate::domain::time::Timestamp;
use crate::journal::read::ReadError;

/// Hops of one transaction, at most.
const BATCH: usize = 50_000;

/// Why figures could not be kept up. What was counted before stays, and the next attempt goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The hops cannot be read.
    #[error(transparent)]
    Hops(#[from] ReadError),
    /// The figures cannot be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The end of the log could not be brought to the disk.
    #[error("cannot sync the journal in {0}: {1}")]
    Sync(String, #[source] io::Error),
    /// Two cannot make the file anew at once, nor while a purge erases.
    #[error("another rebuild, or a purge, is at work on {0}: try again when it has ended")]
    Busy(String),
    /// The log ends before what was counted: another journal, or one from before.
    #[error(
        "stats.sqlite has counted hops up to number {counted} of node `{node}`, but the journal ends at {ends}: it is another \
         journal, or an older copy. `hopgate stats rebuild` counts what there is"
    )]
    Ahead {
        /// The node.
        node: String,
        /// How far was counted.
        counted: u64,
        /// Where the log ends.
        ends: u64,
    },
}

/// How far was counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    /// The node.
    pub node: String,
    /// The last record of its log that was passed.
    pub seq: u64,
    /// The latest instant of a hop that was counted.
    pub at: Timestamp,
}

impl Stats {
    /// Counts every hop of a data folder that was not counted yet; how many there were. `durable` is the last record known to be
    /// on disk, where somebody knows: the rest is left for later. Otherwise the end of the log is brought to the disk first,
    /// so that a power cut cannot take back what was counted. `told` hears how many there are so far.
    ///
    /// # Errors
    /// [`FollowError`].
    pub fn catch_up(
        &self,
        data_dir: &Path,
        durable: Option<u64>,
        mut told: impl FnMut(u64),
    ) -> Result<u64, FollowError> {
        self.catch_up_while(data_dir, durable, |so_far| {
            told(so_far);
            true
        })
    }

    /// The same, until `going` says no: it is asked after each batch.
    ///
    /// # Errors
    /// [`FollowError`].
    pub fn catch_up_while(
        &self,
        data_dir: &Path,
        durable: Option<u64>,
        mut going: impl FnMut(u64) -> bool,
    ) -> Result<u64, FollowError> {
        let mut writer = self.writer();
        let before = marks(&writer.connection).map_err(unavailable)?;
        let first = before.iter().map(|mark| mark.seq).min().unwrap_or(0);
        let limit = durable.unwrap_or(u64::MAX);
        // The last record that was counted is passed once more: a log that ends before it is another one.
        let mut source = Source::after(data_dir, first.saturating_sub(1), limit)?;
        let mut all = 0;
        loop {
            if writer.words.is_full() {
                writer.words = Default::default();
            }
            let mut rows = Vec::new();
            let words = &mut writer.words;
            let read = source.read(BATCH, |seq, hop| rows.push(Row::of(words, seq, hop)))?;
            // After the hops: who was seen before one of them was clicked is among these.
            let owns = std::mem::take(&mut self.owns().waiting);
            if rows.iter().all(|row| row.seq <= first) && owns.is_empty() {
                break;
            }
            if durable.is_none() {
                sync_end(&data_dir.join("journal"))?;
            }
            match self.keep(&mut writer, &rows, source.passed(), &owns) {
                Ok(applied) => all += applied.hops,
                Err(error) => {
                    writer.words.unkeep();
                    self.owns().waiting.extend(owns);
                    return Err(unavailable(error).into());
                }
            }
            if !going(all) {
                return Ok(all);
            }
            if read < BATCH {
                break;
            }
        }
        let ends = source.passed();
        if let Some(mark) = before.iter().find(|mark| mark.seq > ends && ends < limit) {
            let (node, counted) = (mark.node.clone(), mark.seq);
            return Err(FollowError::Ahead { node, counted, ends });
        }
        // Ends of chunks have numbers too: who waits for a segment to be counted waits for its last record.
        if let [mark] = before.as_slice()
            && mark.seq < ends
        {
            // Unless the file was made anew meanwhile, with a mark of its own.
            let sql = "UPDATE stats_marks SET seq = ?2 WHERE node = ?1 AND seq < ?2 AND EXISTS \
                       (SELECT 1 FROM stats_facts WHERE name = 'generation' AND value = ?3)";
            let values = params![mark.node, ends as i64, writer.generation];
            writer.connection.execute(sql, values).map_err(unavailable)?;
        }
        Ok(all)
    }

    /// Counts a batch, in one transaction with its mark.
    fn keep(&self, writer: &mut Writer, rows: &[Row], passed: u64, owns: &[Own]) -> rusqlite::Result<Applied> {
        let transaction = writer.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let generation = fact(&transaction, "generation")?.unwrap_or_default();
        if generation != writer.generation {
            // Another process made the file anew.
            writer.words.unkeep();
            writer.generation = generation;
            if let Some(rules) = fact(&transaction, "rules")?.as_deref().and_then(Rules::of_canonical) {
                self.now_by(rules);
            }
        }
        keep_owns(&transaction, owns)?;
        let applied = apply(&transaction, &mut writer.words, &self.rules(), rows, passed, &writer.carried)?;
        transaction.commit()?;
        Ok(applied)
    }

    fn owns(&self) -> std::sync::MutexGuard<'_, super::Owns> {
        self.0.owns.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// How far was counted, by node.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn marks(&self) -> Result<Vec<Mark>, StoreError> {
        marks(&self.reader()).map_err(unavailable)
    }
}

pub(super) fn marks(connection: &rusqlite::Connection) -> rusqlite::Result<Vec<Mark>> {
    let mut found = connection.prepare_cached("SELECT node, seq, at FROM stats_marks ORDER BY node")?;
    let read = |row: &rusqlite::Row<'_>| {
        let seq: i64 = row.get(1)?;
        Ok(Mark { node: row.get(0)?, seq: seq as u64, at: Timestamp::from_micros(row.get(2)?) })
    };
    found.query_map([], read)?.collect()
}

/// Brings the segment that is being written to the disk: finished ones are there already.
fn sync_end(journal: &Path) -> Result<(), FollowError> {
    let sync = || -> io::Result<()> {
        let mut last = None;
        for entry in fs::read_dir(journal)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "hop") && last.as_ref() < Some(&path) {
                last = Some(path);
            }
        }
        last.map_or(Ok(()), |path| File::open(path)?.sync_data())
    };
    sync().map_err(|source| FollowError::Sync(journal.display().to_string(), source))
}
