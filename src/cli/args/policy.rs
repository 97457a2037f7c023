//! What can be typed after `hopgate policy` to look at versions, publish them and switch things off. Only names and
//! meanings.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Place;
use super::ask::{Backtest, Calendar, Terms};

/// `hopgate policy`.
#[derive(Subcommand, Debug)]
pub enum Policy {
    /// List versions, the last kept first.
    List(List),
    /// Show a version.
    Show(Show),
    /// List which version came into force when, by whom and why: the last first.
    Log(Log),
    /// Say what differs between two versions, folders or files.
    Diff(Diff),
    /// Publish: check, show what differs, switch. With --version: roll back.
    Publish(Box<Publish>),
    /// Switch a pair, a platform, a marketplace, a creator or a shop off, at once.
    Kill(Box<Kill>),
    /// Lift a kill before its end.
    Unkill(Unkill),
    /// List what is switched off.
    Kills(Kills),
    /// Say what a candidate policy would have made of recorded clicks.
    Backtest(Box<Backtest>),
    /// Show which windows are open when, by pair, and which end soon.
    Calendar(Calendar),
    /// Say on which terms data of a note is returned, at the instant it is read.
    Terms(Terms),
}

/// `hopgate policy list`.
#[derive(Args, Debug)]
pub struct List {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// At most so many.
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    pub limit: usize,
    /// One JSON array.
    #[arg(long)]
    pub json: bool,
}

/// `hopgate policy log`.
#[derive(Args, Debug)]
pub struct Log {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// At most so many.
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    pub limit: usize,
    /// One JSON array.
    #[arg(long)]
    pub json: bool,
}

/// `hopgate policy show`.
#[derive(Args, Debug)]
pub struct Show {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// A version by its first 8 to 64 digits [default: the one in force].
    pub version: Option<String>,
    /// One JSON object.
    #[arg(long, conflicts_with = "yaml")]
    pub json: bool,
    /// An agreements file that loads back to the same version.
    #[arg(long)]
    pub yaml: bool,
}

/// `hopgate policy diff`.
#[derive(Args, Debug)]
pub struct Diff {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// A version, a folder or a file [default: the version in force].
    pub from: Option<String>,
    /// Another [default: the policy folder of the settings].
    pub to: Option<String>,
    /// One JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `hopgate policy publish`.
#[derive(Args, Debug)]
pub struct Publish {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// A folder of agreement files, or one file [default: the policy folder of the settings].
    #[arg(conflicts_with = "version")]
    pub path: Option<PathBuf>,
    /// A kept version instead, by its first 8 to 64 digits: roll back.
    #[arg(long, value_name = "VERSION")]
    pub version: Option<String>,
    /// With --version: with that version's own kills instead of those in force.
    #[arg(long, requires = "version")]
    pub exact: bool,
    /// What for.
    #[arg(long, value_name = "TEXT")]
    pub note: String,
    /// Who [default: $USER].
    #[arg(long, value_name = "NAME")]
    pub author: Option<String>,
    /// Only if this version is in force.
    #[arg(long, value_name = "VERSION")]
    pub if_match: Option<String>,
    /// Let findings that weigh as errors through.
    #[arg(long)]
    pub allow_lint_errors: bool,
    /// Do not ask.
    #[arg(long, conflicts_with = "dry_run")]
    pub yes: bool,
    /// Show what would differ, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// One JSON object; never asks, so --yes or --dry-run goes with it.
    #[arg(long)]
    pub json: bool,
}

/// `hopgate policy kill`: what is named and known is refused at once, before any agreement. A kill of a creator does not
/// stop links without one.
#[derive(Args, Debug)]
pub struct Kill {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// Clicks on this platform; with --marketplace: of the pair.
    #[arg(long)]
    pub platform: Option<String>,
    /// Clicks that lead to this marketplace.
    #[arg(long)]
    pub marketplace: Option<String>,
    /// Links of this creator.
    #[arg(long)]
    pub creator: Option<String>,
    /// Links to this shop, shop:ID or seller:ID.
    #[arg(long)]
    pub shop: Option<String>,
    /// Why, for whoever finds it off.
    #[arg(long, value_name = "TEXT")]
    pub why: String,
    /// For how long: 30m, 2h, 7d; at most 30d [default: 24h].
    #[arg(long = "for", value_name = "SPAN", conflicts_with = "until")]
    pub span: Option<String>,
    /// Until when.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Who [default: $USER].
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// One JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `hopgate policy unkill`.
#[derive(Args, Debug)]
pub struct Unkill {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// The kill's id, as `policy kills` shows it.
    pub id: String,
    /// Who [default: $USER].
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
}

/// `hopgate policy kills`.
#[derive(Args, Debug)]
pub struct Kills {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// One JSON array.
    #[arg(long)]
    pub json: bool,
}
