//! `hopgate stats`: figures and touches, kept up or made anew by hand. A gateway that runs does the first by itself.

use std::io::IsTerminal as _;

use super::args::{Place, Stats as Asked};
use super::{CliError, settings_of};
use crate::app::DataDir;
use crate::app::archive::age;
use crate::attribution::stats::Stats;
use crate::clock::Clock;
use crate::config::settings::Settings;
use crate::domain::time::Timestamp;

/// How often a terminal is told how far the work is, in hops.
const TOLD_EVERY: u64 = 100_000;

/// Runs `hopgate stats`.
pub fn run(asked: &Asked) -> Result<(), CliError> {
    match asked {
        Asked::Follow { place } => {
            let settings = settings_of(place)?;
            let stats = open(&settings)?;
            let counted = told(|told| stats.catch_up(&settings.data_dir, None, told).map_err(CliError::failed))?;
            say!("{counted} hops counted");
            shown(&stats)
        }
        Asked::Rebuild { place } => rebuild(place),
    }
}

fn rebuild(place: &Place) -> Result<(), CliError> {
    let settings = settings_of(place)?;
    let stats = open(&settings)?;
    let rules = &settings.attribution.validity;
    let rebuilt = told(|told| stats.rebuild(&settings.data_dir, rules, told).map_err(CliError::failed))?;
    say!("{} hops counted anew", rebuilt.hops);
    if !rebuilt.kept.is_empty() {
        say!(
            "{} kept the figures they had: visitors are erased from their hops, and doubles among them cannot be told again",
            days(&rebuilt.kept)
        );
    }
    if !rebuilt.bare.is_empty() {
        say!(
            "{} counted without visitors: those are erased from their hops, and the figures there were are not of the same hops",
            days(&rebuilt.bare)
        );
    }
    if rebuilt.without_visitor > 0 {
        say!("{} clicks have no visitor: doubles among them count as clicks", rebuilt.without_visitor);
    }
    // The same as a gateway does: hops say longer who tapped than figures may.
    let before = age(Clock::System.now(), settings.attribution.keep_visitors);
    stats.forget_visitors_before(before).map_err(CliError::failed)?;
    shown(&stats)
}

/// Days as `3 day(s) from 2026-11-01 to 2026-11-05`.
fn days(days: &[i64]) -> String {
    let name = |day: Option<&i64>| {
        let begins = day.map(|day| Timestamp::of_beijing_day(*day).to_string());
        begins.map_or(String::new(), |begins| begins.chars().take(10).collect())
    };
    format!("{} day(s) from {} to {}", days.len(), name(days.first()), name(days.last()))
}

/// The figures of a data folder that has a journal.
pub(super) fn open(settings: &Settings) -> Result<Stats, CliError> {
    let data = DataDir::new(&settings.data_dir);
    if !data.journal().exists() {
        let problem = format!("{}: no such journal; name the data folder with --data-dir", data.journal().display());
        return Err(CliError::Failed(problem));
    }
    figures(settings)
}

/// The figures of a data folder, whatever else is there.
pub(super) fn figures(settings: &Settings) -> Result<Stats, CliError> {
    let data = DataDir::new(&settings.data_dir);
    Stats::open(&data.stats(), &settings.attribution.validity).map_err(CliError::failed)
}

fn shown(stats: &Stats) -> Result<(), CliError> {
    say!("rules {}  {}", stats.rules_version(), stats.rules().canonical());
    for mark in stats.marks().map_err(CliError::failed)? {
        say!("node {}  up to record {}, latest hop {}", mark.node, mark.seq, mark.at);
    }
    Ok(())
}

/// Does long work that says how many hops it has seen.
pub(super) fn told<R>(work: impl FnOnce(&mut dyn FnMut(u64)) -> Result<R, CliError>) -> Result<R, CliError> {
    let terminal = std::io::stderr().is_terminal();
    let mut said = 0;
    let mut tell = |hops: u64| {
        if terminal && hops >= said + TOLD_EVERY {
            said = hops;
            eprint!("\r{hops} hops");
        }
    };
    let done = work(&mut tell);
    if said > 0 {
        eprint!("\r\x1b[K");
    }
    done
}
