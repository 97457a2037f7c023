//! `hopgate archive` and `hopgate purge`: Parquet files of hops, and erasing what is personal in them. Work on a data folder,
//! beside a running gateway or without one.

use std::sync::Arc;

use serde_json::json;

use super::args::Place;
use super::args::hops::{Archive, Purge};
use super::data::{empty, with_hops};
use super::progress::grouped;
use super::{CliError, settings_of};
use crate::app::DataDir;
use crate::app::archive::{Figures, age, keeper};
use crate::archive::files;
use crate::archive::keeper::Follower;
use crate::archive::purge::{How, Record, What, end_segment, note};
use crate::archive::rows::Rows;
use crate::attribution::stats::Stats;
use crate::clock::Clock;
use crate::config::settings::Settings;
use crate::domain::time::Timestamp;
use crate::journal::{JournalConfig, sealed};

/// Runs `hopgate archive`.
pub fn run(asked: Archive) -> Result<(), CliError> {
    match asked {
        Archive::Run { place, json } => turn(&place, json),
        Archive::List { place, json } => list(&place, json),
    }
}

fn turn(place: &Place, json: bool) -> Result<(), CliError> {
    let settings = settings_of(place)?;
    let data = with_hops(&settings)?;
    let keeper = keeper(&settings, &data, data.click_key()?, followers(&settings, &data)?);
    let done = keeper.turn(Clock::System.now()).map_err(CliError::failed)?;
    if done.busy {
        let problem = format!("{}: another process is at work on it", data.hops().archive().display());
        return Err(CliError::Failed(problem));
    }
    if json {
        say!("{}", json!({ "sealed": done.sealed, "removed": done.removed }));
        return Ok(());
    }
    done.sealed.iter().for_each(|file| say!("archived  {file}"));
    done.removed.iter().for_each(|segment| say!("removed   {segment}"));
    say!("{} segment(s) archived, {} removed", done.sealed.len(), done.removed.len());
    Ok(())
}

fn list(place: &Place, json: bool) -> Result<(), CliError> {
    let data = with_hops(&settings_of(place)?)?;
    let hops = data.hops();
    let begins = sealed::begins(hops.journal()).map_err(CliError::failed)?;
    let mut rows = Vec::new();
    for file in files::list(hops.archive()).map_err(CliError::failed)? {
        let open = Rows::open(&file.path).map_err(CliError::failed)?;
        let groups = open.groups().map_err(CliError::failed)?;
        let from = groups.iter().map(|group| group.earliest).min();
        let to = groups.iter().map(|group| group.latest).max();
        let personal = groups.iter().any(|group| open.may_be_personal(group.place));
        let bytes = std::fs::metadata(&file.path).map_or(0, |metadata| metadata.len());
        rows.push(json!({
            "file": file.file_name(),
            "node": file.node,
            "first_seq": file.first_seq,
            "last_seq": file.last_seq,
            "hops": open.count(),
            "from": from,
            "to": to,
            "bytes": bytes,
            "visitors": personal,
            "in_journal": begins.is_some_and(|begins| file.first_seq >= begins),
        }));
    }
    if json {
        say!("{}", serde_json::to_string(&rows).map_err(CliError::failed)?);
        return Ok(());
    }
    let text = |row: &serde_json::Value, name: &str| match &row[name] {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    for row in &rows {
        let visitors = if row["visitors"] == true { "" } else { "  visitors purged" };
        let journal = if row["in_journal"] == true { "  in the journal too" } else { "" };
        say!("{}", text(row, "file"));
        say!(
            "  {} hops  {} bytes  {} … {}{visitors}{journal}",
            grouped(row["hops"].as_u64().unwrap_or(0)),
            grouped(row["bytes"].as_u64().unwrap_or(0)),
            text(row, "from"),
            text(row, "to")
        );
    }
    say!("{} file(s)", rows.len());
    Ok(())
}

/// Runs `hopgate purge`.
pub fn purge(asked: Purge) -> Result<(), CliError> {
    let settings = settings_of(&asked.place)?;
    let data = with_hops(&settings)?;
    let now = Clock::System.now();
    let before = match (asked.before, asked.older_than.or(settings.privacy.keep_visitors)) {
        (Some(before), _) => before,
        (None, Some(keep)) => age(now, keep),
        (None, None) => {
            let problem = "say --before TIME or --older-than SPAN: [privacy] keep_visitors is `forever`";
            return Err(CliError::Usage(problem.to_owned()));
        }
    };
    if before > now && !asked.dry_run {
        return Err(CliError::Usage(format!("--before: {before} is still to come: a purge is of what was")));
    }
    let empty = empty(&[("creator", &asked.creator), ("code", &asked.code)]);
    if !empty.is_empty() {
        return Err(CliError::Usage(empty.join("\n")));
    }
    let what = What { before, creator: asked.creator, code: asked.code };
    let hops = data.hops();
    if !asked.dry_run {
        let config = JournalConfig::new(hops.journal(), node(hops.journal(), &settings.node)?);
        end_segment(config, before).map_err(CliError::Failed)?;
    }
    let keeper = keeper(&settings, &data, data.click_key()?, followers(&settings, &data)?);
    let how = How { dry_run: asked.dry_run, thorough: true, journal: true, clicks: asked.clicks };
    let record = keeper.purge(&what, how, &data.raw(), now).map_err(CliError::failed)?;
    if !record.dry_run {
        note(&data.purges(), &record).map_err(CliError::failed)?;
    }
    if asked.json {
        say!("{}", serde_json::to_string(&record).map_err(CliError::failed)?);
    } else {
        show(&record, before);
    }
    match record.found_after {
        0 => Ok(()),
        left => Err(CliError::Failed(format!("{left} address(es) and visitor(s) are still there: see `left`"))),
    }
}

/// Who keeps what follows from hops, read on to the end of the log before it is asked.
fn followers(settings: &Settings, data: &DataDir) -> Result<Vec<Arc<dyn Follower>>, CliError> {
    let stats = Stats::open(&data.stats(), &settings.attribution.validity).map_err(CliError::failed)?;
    if data.journal().is_dir() {
        stats.catch_up(&settings.data_dir, None, |_| {}).map_err(CliError::failed)?;
    }
    Ok(vec![Arc::new(Figures::new(stats))])
}

/// The node that wrote the journal; settings may name another.
fn node(journal: &std::path::Path, usual: &str) -> Result<String, CliError> {
    let found = if journal.is_dir() { sealed::node(journal).map_err(CliError::failed)? } else { None };
    Ok(found.unwrap_or_else(|| usual.to_owned()))
}

fn show(record: &Record, before: Timestamp) {
    let whose = match (&record.what.creator, &record.what.code) {
        (None, None) => String::new(),
        (creator, code) => [("creator", creator), ("link", code)]
            .into_iter()
            .filter_map(|(name, value)| value.as_ref().map(|value| format!(" of {name} {value}")))
            .collect(),
    };
    let (verb, done) = if record.dry_run { ("would erase", "would remove") } else { ("erased", "removed") };
    say!("hops decided before {before}{whose}: {verb} {}", record.fields.join(" and "));
    for file in &record.files {
        say!("{}", file.file);
        let (addresses, visitors) = (grouped(file.addresses), grouped(file.visitors));
        match &file.sha256_after {
            Some(after) => {
                let (rows_before, rows_after) = (grouped(file.rows_before), grouped(file.rows_after));
                say!("  rows {rows_before} before, {rows_after} after; {addresses} addresses, {visitors} visitors");
                say!("  sha256 before {}", file.sha256_before);
                say!("  sha256 after  {after}");
            }
            None => say!("  {addresses} addresses, {visitors} visitors of {} rows", grouped(file.rows_before)),
        }
    }
    record.segments_removed.iter().for_each(|segment| say!("journal: {done} {segment}"));
    for store in record.stores.iter().filter(|store| store.rows > 0) {
        say!("{}: {verb} {} rows of {}", store.store, grouped(store.rows), store.table);
    }
    if record.raw_lines > 0 {
        say!("raw log: {done} {} lines", grouped(record.raw_lines));
    }
    if !record.dry_run {
        say!("read again; found after: {}", grouped(record.found_after));
        record.left.iter().for_each(|left| say!("  left: {left}"));
    }
}
