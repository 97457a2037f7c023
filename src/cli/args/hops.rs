//! What can be typed about recorded hops, and to erase what is personal in them. Only names and meanings.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Place;
use crate::domain::span::Span;
use crate::domain::time::Timestamp;

/// `hopgate hops`.
#[derive(Subcommand, Debug)]
pub enum Hops {
    /// Write recorded hops to a file; `-` for standard output.
    Export {
        #[command(flatten)]
        #[allow(missing_docs)]
        place: Place,
        /// From this time …
        #[arg(long, value_name = "TIME")]
        from: Option<Timestamp>,
        /// … until just before this one.
        #[arg(long, value_name = "TIME")]
        to: Option<Timestamp>,
        /// Only of this link.
        #[arg(long)]
        code: Option<String>,
        /// Only of this creator.
        #[arg(long)]
        creator: Option<String>,
        /// The file's format.
        #[arg(long, value_enum, default_value_t = ExportFormat::Ndjson)]
        format: ExportFormat,
        /// The file; it must not exist yet.
        out: PathBuf,
    },
    /// Decide every recorded hop again under the version it names; exit 1 unless all are equal.
    Verify {
        #[command(flatten)]
        #[allow(missing_docs)]
        place: Place,
        /// From this time …
        #[arg(long, value_name = "TIME")]
        from: Option<Timestamp>,
        /// … until just before this one.
        #[arg(long, value_name = "TIME")]
        to: Option<Timestamp>,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// Formats of hop files.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// One JSON object a line.
    Ndjson,
    /// Comma-separated values with a head line.
    Csv,
    /// Columns with types, as the archive has them.
    Parquet,
}

/// `hopgate archive`.
#[derive(Subcommand, Debug)]
pub enum Archive {
    /// Archive finished segments now, and remove those that may go. A gateway that serves does so by itself.
    Run {
        #[command(flatten)]
        #[allow(missing_docs)]
        place: Place,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// What is in the archive, and what of it is in the journal too.
    List {
        #[command(flatten)]
        #[allow(missing_docs)]
        place: Place,
        /// A JSON list.
        #[arg(long)]
        json: bool,
    },
}

/// `hopgate purge`.
#[derive(Args, Debug)]
pub struct Purge {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// Hops decided before this instant; `[privacy] keep_visitors` ago without this and --older-than.
    #[arg(long, value_name = "TIME", conflicts_with = "older_than")]
    pub before: Option<Timestamp>,
    /// Hops decided longer ago than this: 30d, 12h.
    #[arg(long, value_name = "SPAN")]
    pub older_than: Option<Span>,
    /// Only on links of this creator.
    #[arg(long)]
    pub creator: Option<String>,
    /// Only on this link.
    #[arg(long)]
    pub code: Option<String>,
    /// Also the clicks that orders are matched with: no visitor can be told from them, but orders that are reported or
    /// change later stay without a match.
    #[arg(long, conflicts_with_all = ["creator", "code"])]
    pub clicks: bool,
    /// Change nothing, say what would be erased.
    #[arg(long)]
    pub dry_run: bool,
    /// The record as one JSON object.
    #[arg(long)]
    pub json: bool,
}
