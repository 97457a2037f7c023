//! What can be typed after `hopgate report`. Only names and meanings.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Place;
use crate::domain::span::Span;
use crate::domain::time::Timestamp;
use crate::report::show::Form;

/// `hopgate report`.
#[derive(Subcommand, Debug)]
pub enum Report {
    /// Which links, of which creators, stop working when, and why.
    Expiring(ReportExpiring),
    /// Clicks by link, creator, placement, marketplace, outcome and time.
    Links(Box<ReportSheet>),
    /// From the note to the order, with rates; what came through samples as estimates.
    Funnel(Box<ReportSheet>),
    /// What orders brought to whom.
    Settlement(Box<ReportSheet>),
}

/// `hopgate report links`, `funnel` and `settlement`.
#[derive(Args, Debug)]
pub struct ReportSheet {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// From this time on [default: 30 days before --to].
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Before this time [default: the end of today, Beijing time].
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Of this creator only.
    #[arg(long)]
    pub creator: Option<String>,
    /// Of this link only.
    #[arg(long)]
    pub code: Option<String>,
    /// On this platform only.
    #[arg(long)]
    pub platform: Option<String>,
    /// To this marketplace only.
    #[arg(long)]
    pub marketplace: Option<String>,
    /// To this shop only: shop:ID or seller:ID.
    #[arg(long)]
    pub shop: Option<String>,
    /// Under this agreement only.
    #[arg(long)]
    pub agreement: Option<String>,
    /// Of this note only.
    #[arg(long)]
    pub note: Option<String>,
    /// Of this order only.
    #[arg(long)]
    pub order: Option<String>,
    /// What rows are grouped by, with commas between: a wrong one tells which there are.
    #[arg(long, value_name = "NAMES")]
    pub by: Option<String>,
    /// At most so many rows; totals are of all.
    #[arg(long, value_name = "N")]
    pub limit: Option<String>,
    /// Other rules than the usual ones, to settle a dispute.
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// How to show it.
    #[arg(long, value_enum, default_value_t = SheetFormat::Text)]
    pub format: SheetFormat,
    /// Into this new file.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Forms of a report of attribution.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum SheetFormat {
    /// For people.
    Text,
    /// Comma-separated values with a head line; money in fen.
    Csv,
    /// One JSON object; money in fen.
    Json,
    /// A page with charts.
    Html,
}

impl SheetFormat {
    /// The form.
    pub const fn form(self) -> Form {
        match self {
            SheetFormat::Text => Form::Text,
            SheetFormat::Csv => Form::Csv,
            SheetFormat::Json => Form::Json,
            SheetFormat::Html => Form::Html,
        }
    }
}

/// `hopgate report expiring`.
#[derive(Args, Debug)]
pub struct ReportExpiring {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// How far to look ahead: 45m, 12h, 30d, 2w.
    #[arg(long, value_name = "SPAN", default_value = "30d")]
    pub within: Span,
    /// From when [default: now].
    #[arg(long, value_name = "TIME")]
    pub at: Option<Timestamp>,
    /// Links of this creator only.
    #[arg(long)]
    pub creator: Option<String>,
    /// Clicks on this platform only; links bound to none count.
    #[arg(long)]
    pub platform: Option<String>,
    /// Links that work nowhere, too, in a list of their own.
    #[arg(long)]
    pub include_dead: bool,
    /// Counts by instant and agreement only.
    #[arg(long)]
    pub summary: bool,
    /// How to print it; CSV has the rows, not the counts.
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub format: ReportFormat,
}

/// Formats of reports.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportFormat {
    /// For people.
    Text,
    /// Comma-separated values with a head line.
    Csv,
    /// One JSON object.
    Json,
}
