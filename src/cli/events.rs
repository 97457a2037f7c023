//! `hopgate events`: front and back events from files, and what is kept of them. Works on a data folder, beside a running
//! gateway or without one.

use std::fs::File;
use std::io::{BufRead, BufReader};

use serde_json::json;

use super::args::events::{EventFormat, Events, EventsImport, EventsList};
use super::data::runtime;
use super::{CliError, settings_of};
use crate::app::DataDir;
use crate::attribution::events::read::Reader;
use crate::attribution::events::sqlite::SqliteEventStore;
use crate::attribution::events::{EventStore, Kept, Row, RowFault};
use crate::clock::Clock;
use crate::domain::time::Timestamp;

/// Rows kept in one transaction.
const BATCH: usize = 2_000;
/// Bad rows that are shown; the rest is counted.
const SHOWN: u64 = 100;

/// Runs `hopgate events`.
pub fn run(asked: Events) -> Result<(), CliError> {
    match asked {
        Events::Import(asked) => import(&asked),
        Events::List(asked) => list(&asked),
    }
}

/// What an import has done so far.
#[derive(Default)]
struct Done {
    rows: u64,
    counts: [u64; Kept::ALL.len()],
}

impl Done {
    fn note(&mut self, kept: Kept, faults: &[RowFault]) {
        self.rows += 1;
        self.counts[kept as usize] += 1;
        if kept == Kept::Quarantined && self.counts[kept as usize] <= SHOWN {
            let told: Vec<String> = faults.iter().map(|fault| format!("{}: {}", fault.field, fault.problem)).collect();
            eprintln!("row {}: {}", self.rows, told.join("; ").trim_start_matches(": "));
        }
    }
}

fn import(asked: &EventsImport) -> Result<(), CliError> {
    let settings = settings_of(&asked.place)?;
    let data = DataDir::new(&settings.data_dir);
    data.create()?;
    let key = data.click_key()?;
    let store = SqliteEventStore::open(&data.orders()).map_err(CliError::failed)?;
    let now = Clock::System.now();
    let reader = Reader {
        words: &settings.words,
        key: &key,
        now,
        source: &asked.source,
        may_name_source: true,
        platform: None,
        shop: None,
    };
    let failed = |error: &dyn std::fmt::Display| CliError::Failed(format!("{}: {error}", asked.file.display()));
    let file = BufReader::with_capacity(1 << 20, File::open(&asked.file).map_err(|error| failed(&error))?);
    let (runtime, mut done, mut batch) = (runtime()?, Done::default(), Vec::with_capacity(BATCH));
    let flush = |batch: &mut Vec<Row>, done: &mut Done| -> Result<(), CliError> {
        let rows = std::mem::replace(batch, Vec::with_capacity(BATCH));
        if asked.dry_run {
            for row in rows {
                match row.read {
                    Ok(_) => done.note(Kept::Kept, &[]),
                    Err(faults) => done.note(Kept::Quarantined, &faults),
                }
            }
            return Ok(());
        }
        let told = runtime.block_on(store.keep(rows, now)).map_err(CliError::failed)?;
        told.iter().for_each(|(kept, faults)| done.note(*kept, faults));
        super::data::progress("read", usize::try_from(done.rows).unwrap_or(usize::MAX));
        Ok(())
    };
    let is_csv = match asked.format {
        Some(EventFormat::Csv) => true,
        Some(EventFormat::Ndjson) => false,
        None => asked.file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv")),
    };
    if is_csv {
        let mut table = csv::ReaderBuilder::new().flexible(true).from_reader(file);
        let names = table.headers().map_err(|error| failed(&error))?.clone();
        for record in table.records() {
            batch.push(match record {
                Ok(record) => reader.record(&names, &record),
                // Another reading could not go on either.
                Err(error) if error.is_io_error() => return Err(failed(&error)),
                Err(error) => reader.unfit(String::new(), "not_csv", error.to_string()),
            });
            if batch.len() == BATCH {
                flush(&mut batch, &mut done)?;
            }
        }
    } else {
        for line in file.split(b'\n') {
            let line = line.map_err(|error| failed(&error))?;
            let line = String::from_utf8_lossy(&line);
            if line.trim().is_empty() {
                continue;
            }
            batch.push(reader.line(line.trim()));
            if batch.len() == BATCH {
                flush(&mut batch, &mut done)?;
            }
        }
    }
    flush(&mut batch, &mut done)?;
    let [kept, known, quarantined] = done.counts;
    if quarantined > SHOWN {
        eprintln!("… and {} more", quarantined - SHOWN);
    }
    if asked.json {
        say!("{}", json!({ "dry_run": asked.dry_run, "kept": kept, "known": known, "quarantined": quarantined }));
    } else {
        let mode = if asked.dry_run { "（试运行，未保存 / dry run, nothing kept）" } else { "" };
        say!(
            "新增 {kept}，已有 {known}，隔离 {quarantined} / {kept} kept, {known} known, {quarantined} quarantined{mode}"
        );
    }
    Ok(())
}

fn list(asked: &EventsList) -> Result<(), CliError> {
    let settings = settings_of(&asked.place)?;
    let path = DataDir::new(&settings.data_dir).orders();
    if !path.exists() {
        let problem = format!("{}: no such database; name the data folder with --data-dir", path.display());
        return Err(CliError::Failed(problem));
    }
    let store = SqliteEventStore::open(&path).map_err(CliError::failed)?;
    let runtime = runtime()?;
    if asked.quarantined {
        let rows = runtime.block_on(store.quarantined(None, asked.limit, asked.all)).map_err(CliError::failed)?;
        if asked.json {
            say!("{}", json!(rows));
            return Ok(());
        }
        for row in &rows {
            let mended = row.mended_at.map(|at| format!("  已修正 / mended {at}")).unwrap_or_default();
            say!(
                "{} {} {} ×{}  {}{mended}\n    {}\n    {}",
                row.number,
                row.source,
                row.id,
                row.times,
                row.reasons,
                row.detail,
                row.raw
            );
        }
        return Ok(());
    }
    let (from, to) = (asked.from.unwrap_or(Timestamp::MIN), asked.to.unwrap_or(Timestamp::MAX));
    let events = runtime.block_on(store.between(from, to, 0, asked.limit)).map_err(CliError::failed)?;
    if asked.json {
        let rows = events.iter().map(|(number, event)| {
            json!({
                "number": number, "source": event.source, "id": event.id, "kind": event.kind, "at": event.at,
                "platform": event.platform, "surface": event.surface, "marketplace": event.marketplace,
                "shop_type": event.shop_type, "category": event.category, "note": event.note, "creator": event.creator,
                "shop": event.shop, "item": event.item, "agreement": event.agreement, "read_at": event.read_at,
                "count": event.count, "sampled": event.sampled,
            })
        });
        say!("{}", json!(rows.collect::<Vec<_>>()));
        return Ok(());
    }
    for (_, event) in &events {
        let read = event.read_at.map(|at| format!("  阅读 / read {at}")).unwrap_or_default();
        say!(
            "{} {:<12} {:<12} {:<10} ×{} {} {}/{}{read}",
            event.at,
            event.kind.as_str(),
            event.platform,
            event.marketplace,
            event.count,
            event.note,
            event.source,
            event.id
        );
    }
    Ok(())
}
