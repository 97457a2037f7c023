//! What becomes of sealed segments of the journal: Parquet files, one row a hop, for DuckDB, pandas and ClickHouse, and for
//! reading hops whose segments are gone. Never on the path of a click; never writes into the journal, and removes a segment
//! only when everything in it is durable elsewhere and everyone who reads it is past it.
//!
//! - [`hops`]: every recorded hop in order, wherever it is kept.

pub mod hops;

use std::path::{Path, PathBuf};

/// Where a gateway's hops are kept: the journal, and the Parquet files of segments before it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recorded {
    journal: PathBuf,
    archive: PathBuf,
}

impl Recorded {
    /// The hops of a data folder.
    pub fn of(data_dir: &Path) -> Self {
        Recorded { journal: data_dir.join("journal"), archive: data_dir.join("archive") }
    }

    /// The folder of the journal.
    pub fn journal(&self) -> &Path {
        &self.journal
    }

    /// The folder of the Parquet files; need not exist.
    pub fn archive(&self) -> &Path {
        &self.archive
    }
}
