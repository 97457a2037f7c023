//! Erasing what is personal in recorded hops: the visitor's network and the visitor's hash of the day. Files are written
//! anew beside the old ones and then take their names, so that a purge that was killed is finished by the next; segments of
//! the journal in the period are archived and removed. Whoever keeps what follows from hops is asked to forget too. In the
//! end everything is read again, and what was found is part of the record. Never changes anything else in a hop.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};
use serde::Serialize;

use super::files::{self, Archived};
use super::keeper::{Keeper, Tally, Turn};
use super::raw;
use super::rows::Rows;
use super::seal::{SealError, Unfinished, told};
use super::write::Writer;
use crate::domain::hop::Hop;
use crate::domain::time::Timestamp;
use crate::journal::read::{self, Entry};
use crate::journal::sealed;
use crate::journal::{JournalConfig, OpenError};

/// Which hops are to be forgotten.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct What {
    /// Those decided before this instant …
    pub before: Timestamp,
    /// … on links of this creator only …
    pub creator: Option<String>,
    /// … or on this link only.
    pub code: Option<String>,
}

impl What {
    /// Whether a hop is meant.
    pub fn has(&self, at: Timestamp, creator: &str, code: &str) -> bool {
        at < self.before
            && self.creator.as_ref().is_none_or(|wanted| wanted == creator)
            && self.code.as_ref().is_none_or(|wanted| wanted == code)
    }
}

/// What a store kept of these hops, and erased unless it was a dry run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Forgotten {
    /// The store.
    pub store: String,
    /// What of it.
    pub table: String,
    /// How many rows.
    pub rows: u64,
}

/// A file that was written anew.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct FileRecord {
    /// Its name, which stays.
    pub file: String,
    /// Hops in it, before and after.
    pub rows_before: u64,
    /// The same afterwards; 0 in a dry run.
    pub rows_after: u64,
    /// Addresses erased.
    pub addresses: u64,
    /// Visitors erased.
    pub visitors: u64,
    /// SHA-256 of the file as it was.
    pub sha256_before: String,
    /// SHA-256 of the file as it is; none in a dry run.
    pub sha256_after: Option<String>,
}

/// What a purge did, and what was found after it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Record {
    /// When it was done.
    pub at: Timestamp,
    /// Which hops.
    #[serde(flatten)]
    pub what: What,
    /// Nothing was changed: this is what would be.
    pub dry_run: bool,
    /// Fields that are erased.
    pub fields: [&'static str; 2],
    /// Files written anew.
    pub files: Vec<FileRecord>,
    /// Segments of the journal that were archived and removed.
    pub segments_removed: Vec<String>,
    /// Lines of the raw log that were removed.
    pub raw_lines: u64,
    /// What stores erased.
    pub stores: Vec<Forgotten>,
    /// Addresses and visitors of these hops that are still there, after reading everything again.
    pub found_after: u64,
    /// Where they are, and why.
    pub left: Vec<String>,
}

impl Record {
    /// Whether anything was erased.
    pub fn did_something(&self) -> bool {
        !self.files.is_empty()
            || !self.segments_removed.is_empty()
            || self.raw_lines > 0
            || self.stores.iter().any(|store| store.rows > 0)
    }
}

/// Why a purge was not done, or not to its end. The next one finishes it.
#[derive(Debug, thiserror::Error)]
pub enum PurgeError {
    /// The archive could not be read or written.
    #[error(transparent)]
    Archive(#[from] SealError),
    /// A store could not forget.
    #[error("{store}: {error}; purge again when that is mended")]
    Store {
        /// Which.
        store: &'static str,
        /// Why.
        error: String,
    },
    /// Another process archives or purges.
    #[error("another process is at work on {}: try again in a minute", .0.display())]
    Busy(PathBuf),
    /// The record could not be kept.
    #[error("the record of the purge cannot be kept in {}: {source}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl From<read::ReadError> for PurgeError {
    fn from(error: read::ReadError) -> Self {
        PurgeError::Archive(error.into())
    }
}

/// How a purge is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct How {
    /// Change nothing, only say what would be.
    pub dry_run: bool,
    /// In the end read every file of the period again, not only those that were written anew; stores leave nothing of what
    /// they erased in their files, now or earlier.
    pub thorough: bool,
    /// Whether segments of the journal in the period are archived and removed before their reserve has passed.
    pub journal: bool,
    /// Whether stores forget single clicks too, which no visitor can be told from, but orders are matched with.
    pub clicks: bool,
}

impl Keeper {
    /// Erases what is personal in these hops. `now` is the machine's time; `raw` the folder of the raw log.
    ///
    /// # Errors
    /// [`PurgeError`]; whatever was erased until then stays erased.
    pub fn purge(&self, what: &What, how: How, raw: &Path, now: Timestamp) -> Result<Record, PurgeError> {
        let Some(_held) = self.lock()? else { return Err(PurgeError::Busy(self.hops.archive().to_owned())) };
        let mut record = Record {
            at: now,
            what: what.clone(),
            dry_run: how.dry_run,
            fields: ["address", "visitor"],
            files: Vec::new(),
            segments_removed: Vec::new(),
            raw_lines: 0,
            stores: Vec::new(),
            found_after: 0,
            left: Vec::new(),
        };
        let result = self.purge_held(what, how, raw, now, &mut record);
        let clean = result.is_ok() && record.found_after == 0;
        if !matches!(result, Err(PurgeError::Archive(SealError::Ended))) {
            Tally::add(if clean { &self.tally().purges } else { &self.tally().purge_failures }, 1);
        }
        Tally::add(&self.tally().erased, record.files.iter().map(|file| file.visitors.max(file.addresses)).sum());
        result.map(|()| record)
    }

    fn purge_held(
        &self,
        what: &What,
        how: How,
        raw: &Path,
        now: Timestamp,
        record: &mut Record,
    ) -> Result<(), PurgeError> {
        let mut held = Vec::new();
        for follower in self.followers.iter().filter(|_| !how.dry_run) {
            held.push(follower.hold().map_err(|error| PurgeError::Store { store: follower.name(), error })?);
        }
        let mut turn = Turn::default();
        if how.journal && !how.dry_run {
            self.seal_all(&mut turn, now)?;
        }
        for file in files::list(self.hops.archive())? {
            record.files.extend(self.rewrite(&file, what, how.dry_run)?);
        }
        for follower in &self.followers {
            let store = follower.name();
            let failed = |error| PurgeError::Store { store, error };
            record.stores.extend(follower.found(what, how).map_err(failed)?);
            if !how.dry_run {
                follower.forget(what, how).map_err(failed)?;
            }
        }
        record.raw_lines = raw::forget(raw, what, how.dry_run).map_err(|source| unwritable(raw, source))?;
        if how.dry_run {
            return self.would_go(what, record);
        }
        if how.journal {
            let last =
                self.segments()?.0.iter().filter(|segment| segment.earliest < what.before).map(|s| s.first_seq).max();
            self.remove(&mut turn, |segment| {
                last.is_some_and(|last| segment.first_seq <= last) && self.followers_passed(segment).is_ok()
            })?;
            record.segments_removed = turn.removed;
        }
        self.prove(what, how, raw, record)
    }

    /// Writes a file anew without what is personal in these hops; `None` where there is nothing of it.
    fn rewrite(&self, file: &Archived, what: &What, dry_run: bool) -> Result<Option<FileRecord>, PurgeError> {
        let (addresses, visitors) = personal(&file.path, what)?;
        if addresses + visitors == 0 {
            return Ok(None);
        }
        let rows = Rows::open(&file.path)?;
        let sha256_before = sha256(&file.path).map_err(|source| unwritable(&file.path, source))?;
        let mut record = FileRecord {
            file: file.file_name().to_owned(),
            rows_before: rows.count(),
            rows_after: 0,
            addresses,
            visitors,
            sha256_before,
            sha256_after: None,
        };
        if dry_run {
            return Ok(Some(record));
        }
        let unfinished = Unfinished::new(file.path.clone());
        let bad = |error: parquet::errors::ParquetError| unfinished.fail(io::Error::other(error));
        let out = unfinished.create()?;
        let mut writer = Writer::new(out, told(&file.node, file.first_seq, file.last_seq)).map_err(bad)?;
        for group in rows.groups()? {
            let mut reader = rows.read(group.place)?;
            while let Some((seq, ..)) = reader.step()? {
                writer.put(seq, &without(&reader.hop()?, what), &self.key).map_err(bad)?;
                self.end.check()?;
            }
        }
        let (out, _) = writer.finish().map_err(bad)?;
        unfinished.sync(out)?;
        record.rows_after = same_but_erased(&rows, &file.path, unfinished.part(), what)?;
        let after = sha256(unfinished.part()).map_err(|error| unfinished.fail(error))?;
        record.sha256_after = Some(after);
        unfinished.keep()?;
        Ok(Some(record))
    }

    /// Segments a dry run would have archived and removed.
    fn would_go(&self, what: &What, record: &mut Record) -> Result<(), PurgeError> {
        let meant = self.segments()?.0.into_iter().filter(|segment| segment.earliest < what.before);
        record.segments_removed =
            meant.map(|segment| segment.path.file_name().unwrap_or_default().to_string_lossy().into_owned()).collect();
        Ok(())
    }

    /// Reads everything again and says what of these hops is still there.
    fn prove(&self, what: &What, how: How, raw: &Path, record: &mut Record) -> Result<(), PurgeError> {
        for file in files::list(self.hops.archive())? {
            let rewritten = record.files.iter().any(|written| written.file == file.file_name());
            if how.thorough || rewritten {
                let (addresses, visitors) = personal(&file.path, what)?;
                record.leave(addresses + visitors, || format!("{}: was not erased", file.file_name()));
            }
        }
        if how.journal && self.hops.journal().is_dir() {
            self.prove_journal(what, record)?;
        }
        for follower in &self.followers {
            let store = follower.name();
            let found = follower.found(what, how).map_err(|error| PurgeError::Store { store, error })?;
            for held in found {
                record.leave(held.rows, || format!("{}: {} was not erased", held.store, held.table));
            }
        }
        let lines = raw::forget(raw, what, true).map_err(|source| unwritable(raw, source))?;
        record.leave(lines, || format!("{}: lines of the raw log were not removed", raw.display()));
        Ok(())
    }

    fn prove_journal(&self, what: &What, record: &mut Record) -> Result<(), PurgeError> {
        let (segments, last) = self.segments()?;
        let mut found = 0;
        let mut reader = read::Reader::between(self.hops.journal(), Timestamp::MIN, what.before)?;
        while let Some(entry) = reader.next()? {
            if let Entry::Hop(_, hop) = entry
                && what.has(hop.at, hop.creator, hop.code)
            {
                found += u64::from(hop.address != [0; 8]) + u64::from(hop.visitor != 0);
            }
        }
        for segment in segments.iter().filter(|segment| segment.earliest < what.before) {
            let why =
                self.followers_passed(segment).err().unwrap_or_else(|| "a run over hops is reading it".to_owned());
            record.left.push(format!("{}: stays, for {why}", segment.path.display()));
        }
        let current = last.map(|first_seq| format!("{first_seq:020}.hop")).unwrap_or_default();
        record.leave(found, || {
            format!(
                "the journal: segment {current} is being written; it is ended after [journal] segment_age, or purge with \
                 the gateway stopped"
            )
        });
        Ok(())
    }
}

impl Record {
    fn leave(&mut self, found: u64, why: impl FnOnce() -> String) {
        if found > 0 {
            self.found_after += found;
            self.left.push(format!("{found} in {}", why()));
        }
    }
}

/// Adds a record to those of earlier purges, one a line.
///
/// # Errors
/// [`PurgeError::Record`].
pub fn note(path: &Path, record: &Record) -> Result<(), PurgeError> {
    use std::os::unix::fs::OpenOptionsExt;
    let write = || -> io::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        file.write_all(&line)?;
        file.sync_all()
    };
    write().map_err(|source| PurgeError::Record { path: path.to_owned(), source })
}

fn unwritable(path: &Path, source: io::Error) -> PurgeError {
    PurgeError::Archive(SealError::Write { path: path.to_owned(), source })
}

/// A hop as it is kept after a purge.
fn without<'h>(hop: &Hop<'h>, what: &What) -> Hop<'h> {
    match what.has(hop.at, hop.creator, hop.code) {
        true => Hop { address: [0; 8], visitor: 0, ..*hop },
        false => *hop,
    }
}

/// How many addresses and visitors of these hops a file holds.
fn personal(path: &Path, what: &What) -> Result<(u64, u64), PurgeError> {
    let rows = Rows::open(path)?;
    let (mut addresses, mut visitors) = (0, 0);
    for group in rows.groups()? {
        if group.earliest >= what.before || !rows.may_be_personal(group.place) {
            continue;
        }
        let mut reader = rows.read_personal(group.place)?;
        while let Some(row) = reader.next_personal()? {
            if what.has(row.at, row.creator, row.code) {
                addresses += u64::from(row.address);
                visitors += u64::from(row.visitor);
            }
        }
    }
    Ok((addresses, visitors))
}

/// Reads the old file and the new one side by side: every hop must be the same but for what is erased. How many there are.
fn same_but_erased(old: &Rows, path: &Path, new: &Path, what: &What) -> Result<u64, PurgeError> {
    let differs = |found: String| {
        PurgeError::Archive(SealError::Differs { path: new.to_owned(), wanted: path.to_owned(), found })
    };
    let (new, mut count) = (Rows::open(new)?, 0);
    let (old_groups, new_groups) = (old.groups()?, new.groups()?);
    if old.count() != new.count() || old_groups.len() != new_groups.len() {
        return Err(differs(format!("{} rows instead of {}", new.count(), old.count())));
    }
    for (before, after) in old_groups.iter().zip(&new_groups) {
        let (mut before, mut after) = (old.read(before.place)?, new.read(after.place)?);
        while let Some((seq, ..)) = before.step()? {
            let same =
                after.step()?.is_some_and(|(found, ..)| found == seq) && after.hop()? == without(&before.hop()?, what);
            if !same {
                return Err(differs(format!("record {seq} is not what it was")));
            }
            count += 1;
        }
    }
    Ok(count)
}

fn sha256(path: &Path) -> io::Result<String> {
    let (mut file, mut context) = (File::open(path)?, Context::new(&SHA256));
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => context.update(&buffer[..read]),
        }
    }
    Ok(context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Ends the segment that is being written where no gateway runs and it holds a hop of before this instant, so that a purge
/// reaches it too. Whether it did.
///
/// # Errors
/// Why the journal cannot be read or opened.
pub fn end_segment(config: JournalConfig, before: Timestamp) -> Result<bool, String> {
    if !config.dir.is_dir() || !has_hop_before(&config.dir, before).map_err(|error| error.to_string())? {
        return Ok(false);
    }
    match sealed::end_segment(config) {
        Ok(()) => Ok(true),
        Err(OpenError::Locked(_)) => Ok(false),
        Err(error) => Err(error.to_string()),
    }
}

/// Whether the segment that is being written has a hop before this instant.
fn has_hop_before(journal: &Path, before: Timestamp) -> Result<bool, read::ReadError> {
    let (_, Some(first)) = sealed::sealed(journal)? else { return Ok(false) };
    let mut reader = read::Reader::within(journal, first.saturating_sub(1), Timestamp::MIN, before)?;
    while let Some(entry) = reader.next()? {
        if let Entry::Hop(..) = entry {
            return Ok(true);
        }
    }
    Ok(false)
}
