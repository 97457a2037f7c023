//! `hopgate stats`: figures and touches, kept up or made anew by hand. A gateway that runs does the first by itself.

use std::io::IsTerminal as _;

use super::args::{Place, Stats as Asked};
use super::{CliError, settings_of};
use crate::app::DataDir;
use crate::attribution::stats::Stats;
use crate::config::settings::Settings;

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
    let counted = told(|told| stats.rebuild(&settings.data_dir, rules, told).map_err(CliError::failed))?;
    say!("{counted} hops counted anew");
    shown(&stats)
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
