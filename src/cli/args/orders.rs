//! What can be typed behind `hopgate orders`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Place;
use crate::cli::pull::Pull;
use crate::domain::time::Timestamp;

/// `hopgate orders`.
#[derive(Subcommand, Debug)]
pub enum Orders {
    /// Import an order report: JSON, one row a line, answers of the API as they came, or CSV with the same field names.
    Import(Import),
    /// Pull order reports from a network under [alliances], from where the last pull ended.
    Pull(Pull),
    /// List order lines as they stand, the last first seen first.
    List(List),
    /// Show every report of a line, in the order of its life.
    Show(Show),
    /// List what was imported, the last first.
    Batches(Batches),
    /// Whose a position is.
    #[command(subcommand)]
    Position(Position),
    /// Rows that were set aside.
    #[command(subcommand)]
    Quarantine(Quarantine),
}

/// `hopgate orders import`.
#[derive(Args, Debug)]
pub struct Import {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// Whose report: taobao, jd, pinduoduo, or direct for our own field names.
    #[arg(long)]
    pub network: String,
    /// Our account there.
    #[arg(long, default_value = "default")]
    pub account: String,
    /// Taobao: the order scene that was asked for, where rows do not say it (1 ordinary, 2 channel, 3 member).
    #[arg(long)]
    pub scene: Option<u32>,
    /// Say what would become of the rows, and keep nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// One JSON object.
    #[arg(long)]
    pub json: bool,
    /// The file; `-` for standard input.
    pub file: PathBuf,
}

/// `hopgate orders list`.
#[derive(Args, Debug)]
pub struct List {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// Of this network only.
    #[arg(long)]
    pub network: Option<String>,
    /// Of this account only.
    #[arg(long)]
    pub account: Option<String>,
    /// In this state only: pending, paid, completed, settled, invalid.
    #[arg(long)]
    pub state: Option<String>,
    /// Of this order only, by the number its buyer sees.
    #[arg(long, value_name = "NUMBER")]
    pub order: Option<String>,
    /// Ordered from this time …
    #[arg(long, value_name = "TIME")]
    pub from: Option<Timestamp>,
    /// … until just before this one.
    #[arg(long, value_name = "TIME")]
    pub to: Option<Timestamp>,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    pub limit: usize,
    /// One JSON array.
    #[arg(long)]
    pub json: bool,
}

/// `hopgate orders show`.
#[derive(Args, Debug)]
pub struct Show {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// Of this network only [default: any].
    #[arg(long)]
    pub network: Option<String>,
    /// Our account there.
    #[arg(long, default_value = "default")]
    pub account: String,
    /// One JSON array.
    #[arg(long)]
    pub json: bool,
    /// The line's key, as `orders list` shows it.
    pub line: String,
}

/// `hopgate orders batches`.
#[derive(Args, Debug)]
pub struct Batches {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// At most so many.
    #[arg(long, default_value_t = 20)]
    pub limit: usize,
    /// One JSON array.
    #[arg(long)]
    pub json: bool,
}

/// `hopgate orders position`.
#[derive(Subcommand, Debug)]
pub enum Position {
    /// Say whose a position is; rows that waited for it are taken in.
    Add {
        #[command(flatten)]
        #[allow(missing_docs)]
        place: Place,
        /// Whose position: taobao, jd, pinduoduo, direct.
        #[arg(long)]
        network: String,
        /// What it is: pid, position or relation [default: pid where it has a `_`, else position].
        #[arg(long)]
        kind: Option<String>,
        /// The creator it was given to.
        #[arg(long, required_unless_present = "code")]
        creator: Option<String>,
        /// The link it was given to.
        #[arg(long, conflicts_with = "creator")]
        code: Option<String>,
        /// Let somebody else who has it keep it: the last click of either counts.
        #[arg(long)]
        shared: bool,
        /// As it stands in reports, e.g. mm_1_2_3.
        position: String,
    },
    /// List positions: registered ones, and those told by the addresses of links.
    List {
        #[command(flatten)]
        #[allow(missing_docs)]
        place: Place,
        /// Of this network only.
        #[arg(long)]
        network: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 1000)]
        limit: usize,
        /// One JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Register many: all of them, or none when any has a fault.
    Import {
        #[command(flatten)]
        #[allow(missing_docs)]
        place: Place,
        /// Let somebody else who has one keep it: the last click of either counts.
        #[arg(long)]
        shared: bool,
        /// One JSON object a line, or CSV: network, position, kind, creator or code.
        file: PathBuf,
    },
    /// Take back what was registered of a position; what links tell of it stays.
    Remove {
        #[command(flatten)]
        #[allow(missing_docs)]
        place: Place,
        /// Whose position.
        #[arg(long)]
        network: String,
        /// The position.
        position: String,
    },
}

/// `hopgate orders quarantine`.
#[derive(Subcommand, Debug)]
pub enum Quarantine {
    /// List rows that were set aside, the last first.
    List {
        #[command(flatten)]
        #[allow(missing_docs)]
        place: Place,
        /// Of this network only.
        #[arg(long)]
        network: Option<String>,
        /// Set aside for this only, e.g. malformed_amount.
        #[arg(long)]
        reason: Option<String>,
        /// Those that were mended since, too.
        #[arg(long)]
        all: bool,
        /// At most so many.
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// One JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Show a row with everything that is wrong with it.
    Show {
        #[command(flatten)]
        #[allow(missing_docs)]
        place: Place,
        /// One JSON object.
        #[arg(long)]
        json: bool,
        /// Its number, as `quarantine list` shows it.
        id: i64,
    },
    /// Read rows once more: after a time has come, or with a newer hopgate.
    Retry {
        #[command(flatten)]
        #[allow(missing_docs)]
        place: Place,
        /// One JSON object.
        #[arg(long)]
        json: bool,
        /// Their numbers [default: every row that was set aside].
        ids: Vec<i64>,
    },
}
