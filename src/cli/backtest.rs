//! `hopgate policy backtest`: what a candidate policy would have made of recorded clicks.

use std::path::Path;

use serde::Serialize;

use super::args::ask::Backtest;
use super::data::with_hops;
use super::progress::{grouped, per_second, rate, shown};
use super::verify::{period, told};
use super::{CliError, settings_of};
use crate::app::DataDir;
use crate::audit::Period;
use crate::audit::backtest::matrix::{Matrix, Row};
use crate::audit::backtest::sample::Sample;
use crate::audit::backtest::{MOST_SAMPLES, Question, Report, backtest};
use crate::audit::sweep::{Progress, Spread};
use crate::clock::Clock;
use crate::config::settings::Settings;
use crate::control::backtests::note;
use crate::domain::hop::Outcome;
use crate::domain::policy::Reason;
use crate::policies::folder;
use crate::policies::sqlite::{KeptTexts, SqlitePolicyStore};
use crate::policies::versions::{Kept, read};

#[derive(Serialize)]
struct Told<'a> {
    source: &'a str,
    agreements: usize,
    #[serde(flatten)]
    report: &'a Report,
    seconds: f64,
    hops_per_second: u64,
    threads: usize,
}

/// Runs the command.
pub fn run(asked: Backtest) -> Result<(), CliError> {
    let settings = settings_of(&asked.place)?;
    let period = period(asked.from, asked.to)?;
    if asked.samples > MOST_SAMPLES {
        return Err(CliError::Usage(format!("--samples: {} is too many: at most {MOST_SAMPLES}", asked.samples)));
    }
    let data = with_hops(&settings)?;
    let (kept, source) = match &asked.version {
        Some(version) => (stored(version, &data, &settings)?, format!("kept version {version}")),
        None => from_files(asked.policies.as_deref().unwrap_or(&settings.policies), &settings)?,
    };
    let key = data.click_key()?;
    let question = Question {
        policy: &kept.policy,
        words: &kept.words,
        period,
        shift: asked.shift,
        platform: None,
        include_machines: asked.include_machines,
        samples: asked.samples,
        seed: asked.seed,
    };
    let (progress, spread) = (Progress::default(), Spread::all_cores());
    let (report, took) = shown("backtest", &progress, || backtest(&data.hops(), &question, &key, spread, &progress));
    // Only the API cancels.
    let Some(report) = report.map_err(CliError::failed)? else { return Ok(()) };
    let agreements = kept.policy.agreements().len();
    if asked.json {
        let told = Told {
            source: &source,
            agreements,
            report: &report,
            seconds: took.as_secs_f64(),
            hops_per_second: per_second(progress.hops(), took),
            threads: spread.threads,
        };
        say!("{}", serde_json::to_string(&told).map_err(CliError::failed)?);
    }
    noted(&kept, &report, period, &data);
    if report.hops == 0 {
        let journal = data.journal();
        return Err(CliError::Failed(format!(
            "no hops were recorded {} in {}: there is nothing to test the candidate on",
            told(period),
            journal.display()
        )));
    }
    if !asked.json {
        say!("candidate {} ({agreements} agreements) from {source}", report.candidate);
        show(&report);
        say!("{:.1} s, {} on {} thread(s)", took.as_secs_f64(), rate(progress.hops(), took), spread.threads);
    }
    Ok(())
}

/// A version that must be run over hops before it is published has been: that is kept beside it. A store that fails takes
/// nothing from the result.
fn noted(kept: &Kept, report: &Report, period: Period, data: &DataDir) {
    let version = kept.policy.version().full();
    let result = SqlitePolicyStore::open(&data.database()).map_err(|error| error.to_string()).and_then(|store| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|error| error.to_string())?;
        runtime.block_on(note(&store, &version, report, period, Clock::System.now())).map_err(|error| error.to_string())
    });
    if let Err(problem) = result {
        eprintln!("hopgate: this run is not noted beside the version: {problem}");
    }
}

fn stored(version: &str, data: &DataDir, settings: &Settings) -> Result<Kept, CliError> {
    let texts = KeptTexts::open(&data.database()).map_err(CliError::failed)?;
    let mut found = texts.find(version).map_err(CliError::failed)?;
    match (found.pop(), found.is_empty()) {
        (Some((name, text)), true) => read(&name, &text, &settings.words).map_err(CliError::failed),
        (Some(_), false) => {
            Err(CliError::Usage(format!("--version: several versions begin with `{version}`: give more digits")))
        }
        (None, _) => Err(CliError::Usage(format!(
            "--version: no kept version begins with `{version}`: give at least 8 of its hex digits"
        ))),
    }
}

fn from_files(path: &Path, settings: &Settings) -> Result<(Kept, String), CliError> {
    let loaded = folder::load(path, &settings.words).map_err(CliError::Config)?;
    Ok((Kept { policy: loaded.policy, words: settings.words.clone() }, path.display().to_string()))
}

fn show(report: &Report) {
    let (first, last) = (report.first.unwrap_or_default(), report.last.unwrap_or_default());
    say!("{} hops from {first} to {last}", grouped(report.hops));
    if let Some(shift) = report.shift {
        say!("  each decided as if {shift} later");
    }
    if report.link_disabled + report.link_expired > 0 {
        let (disabled, expired) = (grouped(report.link_disabled), grouped(report.link_expired));
        say!("  left out: {disabled} of links switched off, {expired} of links whose time was over");
    }
    if report.rehearsal > 0 {
        say!("  {} were clicks of a rehearsal", grouped(report.rehearsal));
    }
    say!("");
    let width = widest(report);
    say!(
        "{:width$} {:>14} {:>14} {:>14} {:>14}",
        "",
        "still allowed",
        "newly refused",
        "newly allowed",
        "still refused"
    );
    line("people", &report.people, width);
    line("machines", &report.machines, width);
    let machines = if report.machines_included { ", machines included" } else { "" };
    for (what, rows) in [
        ("placement", &report.by.placement),
        ("marketplace", &report.by.marketplace),
        ("shop type", &report.by.shop_type),
    ] {
        say!("by {what}{machines}");
        changed(rows, width);
    }
    let creator = &report.by.creator;
    let exact = if creator.exact { "" } else { "; those with the least change were summed on the way" };
    say!("by creator{machines}: {} of {} have a change{exact}", grouped(creator.changed), grouped(creator.creators));
    let hit = creator.top.iter().filter(|row| row.matrix.changed() > 0);
    hit.for_each(|row| line(&format!("  {}", row.name), &row.matrix, width));
    if creator.others != Matrix::default() {
        line("  (all others)", &creator.others, width);
    }
    say!("");
    let reasons: Vec<String> =
        report.newly_refused.iter().map(|(reason, count)| format!("{reason} {}", grouped(*count))).collect();
    if !reasons.is_empty() {
        say!("newly refused because: {}", reasons.join(", "));
    }
    if report.moved > 0 {
        say!("still allowed, but at another landing of the link: {}", grouped(report.moved));
    }
    if report.unknown_beyond > 0 {
        say!(
            "of the newly refused, {} had landed: alternates of their links behind that landing, if any, were never \
             tried and are not in the record",
            grouped(report.unknown_beyond)
        );
    }
    for (name, cell) in [("newly refused", "allow_deny"), ("newly allowed", "deny_allow")] {
        let samples = report.samples.get(cell).map_or(&[][..], Vec::as_slice);
        if !samples.is_empty() {
            say!("samples, {name} (seed {}):", report.seed);
            samples.iter().for_each(sample);
        }
    }
    say!("no order data: what the change is worth cannot be said");
}

/// The rows with a change; the others in one.
fn changed(rows: &[Row], width: usize) {
    let (changed, same): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.matrix.changed() > 0);
    changed.iter().for_each(|row| line(&format!("  {}", row.name), &row.matrix, width));
    if !same.is_empty() {
        let mut sum = Matrix::default();
        same.iter().for_each(|row| sum.add(&row.matrix));
        line(&format!("  ({} without change)", same.len()), &sum, width);
    }
}

fn widest(report: &Report) -> usize {
    let by = &report.by;
    let rows = by.placement.iter().chain(&by.marketplace).chain(&by.shop_type).chain(&by.creator.top);
    let rows = rows.filter(|row| row.matrix.changed() > 0);
    rows.map(|row: &Row| row.name.chars().count() + 2).max().unwrap_or(0).clamp(22, 40)
}

fn line(name: &str, matrix: &Matrix, width: usize) {
    let [a, b, c, d] = [matrix.allow_allow, matrix.allow_deny, matrix.deny_allow, matrix.deny_deny].map(grouped);
    say!("{name:width$} {a:>14} {b:>14} {c:>14} {d:>14}");
}

fn sample(sample: &Sample) {
    let decided = |decided: &crate::audit::backtest::sample::Decided| {
        let verb = if decided.outcome == Outcome::Allow { "allowed" } else { "refused" };
        let at = decided.alternate.filter(|number| *number > 0);
        let at = at.map_or(String::new(), |number| format!(" at alternate {number}"));
        match &decided.agreement {
            Some(agreement) if decided.reason == Reason::Allowed => format!("{verb} by {agreement}{at}"),
            Some(agreement) => format!("{verb}: {} ({agreement}){at}", decided.reason),
            None => format!("{verb}: {}{at}", decided.reason),
        }
    };
    let place = if sample.platform.is_empty() { "unknown" } else { &sample.platform };
    let surface = sample.surface.map_or("unknown", |surface| surface.as_str());
    let to = format!("{} {} {}", sample.marketplace, sample.shop_type, sample.link_kind);
    say!("  {}  {}", sample.click_id, sample.time);
    say!(
        "      {place}/{surface} → {to}, code {}, creator {}",
        sample.code,
        if sample.creator.is_empty() { "unknown" } else { &sample.creator }
    );
    say!("      then {}; candidate {}", decided(&sample.then), decided(&sample.candidate));
}
