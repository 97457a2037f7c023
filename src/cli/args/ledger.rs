//! What can be typed after `hopgate ledger`. Only names and meanings.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Place;
use crate::domain::attribution::period::Month;

/// `hopgate ledger`.
#[derive(Subcommand, Debug)]
pub enum Ledger {
    /// Match and book what is new, as a running gateway does every few seconds.
    Settle {
        #[command(flatten)]
        #[allow(missing_docs)]
        place: Place,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Close a month for good: what changes later goes to the first open one.
    Close {
        #[command(flatten)]
        #[allow(missing_docs)]
        place: Place,
        /// The month, e.g. 2026-11; it must be over, and earlier ones closed.
        #[arg(value_name = "YYYY-MM")]
        month: Month,
        /// Who closes it.
        #[arg(long, default_value = "command line")]
        by: String,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Show how far the ledger has come, its periods and what they add up to.
    Show {
        #[command(flatten)]
        #[allow(missing_docs)]
        place: Place,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// List entries.
    Entries(Entries),
    /// Show what everyone is owed.
    Balance(Balance),
    /// Show one order line: its reports' worth, its match, its click and its entries.
    Line {
        #[command(flatten)]
        #[allow(missing_docs)]
        place: Place,
        /// Whose report: taobao, jd, pinduoduo or direct.
        network: String,
        /// The line, as the network names it.
        line: String,
        /// Our account there.
        #[arg(long, default_value = "default")]
        account: String,
    },
    /// Check the books: every transaction, balance, closed month and line; exit 1 when anything is wrong.
    Verify {
        #[command(flatten)]
        #[allow(missing_docs)]
        place: Place,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Match every line again and book the differences.
    Recompute {
        #[command(flatten)]
        #[allow(missing_docs)]
        place: Place,
        /// Other rules of which clicks count: a file with the keys of [attribution.validity]. Doubles, excess and own clicks
        /// stay marked as they are; such a rule set to nothing leaves the mark out of account.
        #[arg(long, value_name = "FILE")]
        rules: Option<PathBuf>,
        /// Change nothing: only say what would be.
        #[arg(long)]
        dry_run: bool,
        /// One JSON object a line that changes, and one of the sum.
        #[arg(long)]
        json: bool,
    },
}

/// `hopgate ledger entries`.
#[derive(Args, Debug)]
pub struct Entries {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// Of this month only.
    #[arg(long, value_name = "YYYY-MM")]
    pub period: Option<Month>,
    /// On the accounts of this creator only.
    #[arg(long)]
    pub creator: Option<String>,
    /// With a number over this one.
    #[arg(long, default_value_t = 0)]
    pub after: i64,
    /// At most so many.
    #[arg(long, default_value_t = 1_000)]
    pub limit: usize,
    /// How to print them.
    #[arg(long, value_enum, default_value_t = LedgerFormat::Text)]
    pub format: LedgerFormat,
}

/// `hopgate ledger balance`.
#[derive(Args, Debug)]
pub struct Balance {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// Of this month only.
    #[arg(long, value_name = "YYYY-MM")]
    pub period: Option<Month>,
    /// Of this creator only.
    #[arg(long)]
    pub creator: Option<String>,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = LedgerFormat::Text)]
    pub format: LedgerFormat,
}

/// Forms of ledger lists.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LedgerFormat {
    /// For people.
    Text,
    /// Comma-separated values with a head line.
    Csv,
    /// One JSON array.
    Json,
}
