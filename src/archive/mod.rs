//! What becomes of sealed segments of the journal: Parquet files, one row a hop, for DuckDB, pandas and ClickHouse, and for
//! reading hops whose segments are gone. Never on the path of a click; never writes into the journal, and removes a segment
//! only when everything in it is durable elsewhere and everyone who reads it is past it.
//!
//! - [`hops`]: every recorded hop in order, wherever it is kept; [`spans`] the same in stretches for several threads;
//! - [`export`]: hops as NDJSON, CSV or Parquet;
//! - [`keeper`]: sealing and removing, again and again; [`seal`] one segment;
//! - [`schema`]: the columns, for other programs; [`mod@write`] and [`rows`] in and out of them; [`files`] names;
//! - [`purge`]: erasing what is personal, and the proof of it; [`raw`] the short-lived log of what hops never hold.

pub mod export;
pub mod files;
pub mod hops;
pub mod keeper;
pub mod purge;
pub mod raw;
pub mod rows;
pub mod schema;
pub mod seal;
pub mod spans;
#[cfg(test)]
mod tests;
pub mod write;

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::time::Timestamp;
use files::Archived;

/// Where a gateway's hops are kept: the journal, and the Parquet files of its finished segments. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Recorded {
    journal: PathBuf,
    archive: PathBuf,
    /// The earliest and latest instants of files that were looked into. A file of one name always has the same.
    times: Arc<Mutex<HashMap<String, (Timestamp, Timestamp)>>>,
}

impl Recorded {
    /// The hops of a data folder.
    pub fn of(data_dir: &Path) -> Self {
        Self::at(data_dir.join("journal"), data_dir.join("archive"))
    }

    /// The hops of a journal and an archive; neither need exist.
    pub fn at(journal: PathBuf, archive: PathBuf) -> Self {
        Recorded { journal, archive, times: Arc::default() }
    }

    /// The folder of the journal.
    pub fn journal(&self) -> &Path {
        &self.journal
    }

    /// The folder of the Parquet files.
    pub fn archive(&self) -> &Path {
        &self.archive
    }

    fn known_times(&self, file: &Archived) -> Option<(Timestamp, Timestamp)> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner).get(file.file_name()).copied()
    }

    fn note_times(&self, file: &Archived, times: (Timestamp, Timestamp)) {
        self.times.lock().unwrap_or_else(PoisonError::into_inner).insert(file.file_name().to_owned(), times);
    }

    /// The folder of the Parquet files, made for its owner alone where it is not there.
    fn make_archive(&self) -> io::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.archive)
    }

    /// A lock file of the archive, opened; it is held as long as the file is open once it is locked, and dies with the
    /// process.
    fn lock_file(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().create(true).truncate(false).write(true).open(self.archive.join(name))
    }

    /// Keeps segments from being removed while it is held; nothing where there is no archive that could.
    fn hold_segments(&self) -> Option<File> {
        let file = self.lock_file("reading.lock").ok()?;
        file.try_lock_shared().ok()?;
        Some(file)
    }
}
