//! What can be typed after `hopgate policy` to ask what a policy means. Only names and meanings.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Place;
use crate::audit::backtest::USUAL_SAMPLES;
use crate::audit::shift::Shift;
use crate::domain::time::Timestamp;

/// `hopgate policy backtest`.
#[derive(Args, Debug)]
pub struct Backtest {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// The candidate: a kept version, by its first digits.
    #[arg(long, value_name = "VERSION")]
    pub version: Option<String>,
    /// The candidate: agreement files in a folder, or one file [default: the policies of the settings].
    #[arg(long, value_name = "PATH", conflicts_with = "version")]
    pub policies: Option<PathBuf>,
    /// Clicks from this time …
    #[arg(long, value_name = "TIME")]
    pub from: Option<Timestamp>,
    /// … until just before this one.
    #[arg(long, value_name = "TIME")]
    pub to: Option<Timestamp>,
    /// Decide as if each click came so much later, e.g. 1y, 364d, 12h: last year's traffic under this year's windows.
    #[arg(long, value_name = "SPAN", allow_hyphen_values = true)]
    pub shift: Option<Shift>,
    /// Count bots, prefetch and HEAD in the breakdowns too.
    #[arg(long)]
    pub include_machines: bool,
    /// Sample clicks of each cell, at most 1000.
    #[arg(long, value_name = "COUNT", default_value_t = USUAL_SAMPLES)]
    pub samples: usize,
    /// Picks the samples: the same number picks the same clicks.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// One JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `hopgate policy calendar`.
#[derive(Args, Debug)]
pub struct Calendar {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// From this time [default: half a year ago] …
    #[arg(long, value_name = "TIME")]
    pub from: Option<Timestamp>,
    /// … until just before this one [default: half a year from now].
    #[arg(long, value_name = "TIME")]
    pub to: Option<Timestamp>,
    /// As if it were this time [default: now].
    #[arg(long, value_name = "TIME")]
    pub at: Option<Timestamp>,
    /// One platform only.
    #[arg(long)]
    pub platform: Option<String>,
    /// One marketplace only.
    #[arg(long)]
    pub marketplace: Option<String>,
    /// The form.
    #[arg(long, value_enum, default_value_t = CalendarFormat::Text)]
    pub format: CalendarFormat,
    /// A file instead of standard output; it must not exist yet.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Forms of the calendar.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalendarFormat {
    /// For a terminal, 100 columns.
    Text,
    /// A picture.
    Svg,
    /// A page.
    Html,
    /// One JSON object.
    Json,
}

/// `hopgate policy terms`. What is left out is not known, and a condition on it is not met.
#[derive(Args, Debug)]
pub struct Terms {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// Where the note is, e.g. xiaohongshu.
    #[arg(long)]
    pub platform: String,
    /// Where its readers buy, e.g. taobao.
    #[arg(long)]
    pub marketplace: String,
    /// The instant of reading [default: now].
    #[arg(long, value_name = "TIME")]
    pub at: Option<Timestamp>,
    /// The spot on the platform, e.g. ad_note.
    #[arg(long)]
    pub surface: Option<String>,
    /// Who runs the shop.
    #[arg(long)]
    pub shop_type: Option<String>,
    /// What a link leads to.
    #[arg(long)]
    pub link_kind: Option<String>,
    /// The goods' category.
    #[arg(long)]
    pub category: Option<String>,
    /// The creator.
    #[arg(long)]
    pub creator: Option<String>,
    /// One JSON object.
    #[arg(long)]
    pub json: bool,
}
