//! What can be typed after `hopgate events`. Only names and meanings.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Place;
use crate::domain::time::Timestamp;

/// `hopgate events`.
#[derive(Subcommand, Debug)]
pub enum Events {
    /// Keep the events of a file. Telling one twice changes nothing; a bad row is kept apart and holds up no other.
    Import(EventsImport),
    /// What is kept, or what waits to be mended.
    List(EventsList),
}

/// `hopgate events import`.
#[derive(Args, Debug)]
pub struct EventsImport {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// NDJSON or CSV with the fields of POST /v1/events.
    pub file: PathBuf,
    /// What it is [default: by the end of its name, NDJSON but for .csv].
    #[arg(long, value_enum)]
    pub format: Option<EventFormat>,
    /// Who tells rows that do not say so: of one source and id there is one event.
    #[arg(long, default_value = "file")]
    pub source: String,
    /// Read everything and keep nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// One JSON object of counts.
    #[arg(long)]
    pub json: bool,
}

/// Forms of an event file.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventFormat {
    /// One object a line.
    Ndjson,
    /// Comma-separated values with a head line.
    Csv,
}

/// `hopgate events list`.
#[derive(Args, Debug)]
pub struct EventsList {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// From this time on.
    #[arg(long, value_name = "TIME")]
    pub from: Option<Timestamp>,
    /// Before this time.
    #[arg(long, value_name = "TIME")]
    pub to: Option<Timestamp>,
    /// Rows that cannot be used instead.
    #[arg(long, conflicts_with_all = ["from", "to"])]
    pub quarantined: bool,
    /// Those that were mended since, too.
    #[arg(long, requires = "quarantined")]
    pub all: bool,
    /// At most so many.
    #[arg(long, default_value_t = 100)]
    pub limit: usize,
    /// One JSON array.
    #[arg(long)]
    pub json: bool,
}
