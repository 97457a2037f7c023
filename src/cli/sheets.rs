//! `hopgate report links|funnel|settlement`: reports of attribution, in a terminal, as CSV, JSON or a page.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use super::args::report::ReportSheet;
use super::data::told;
use super::ledger::Books;
use super::{CliError, settings_of};
use crate::app::DataDir;
use crate::app::reports::Desk;
use crate::attribution::events::sqlite::SqliteEventStore;
use crate::clock::Clock;
use crate::config::settings::Settings;
use crate::control::fields::FieldFault;
use crate::policies::sqlite::SqlitePolicyStore;
use crate::report::asked::{Kind, OtherRules, Question, ReportError, Reporter as _};
use crate::report::show;

/// Runs the command.
pub fn run(kind: Kind, asked: ReportSheet) -> Result<(), CliError> {
    let settings = settings_of(&asked.place)?;
    there(&settings.data_dir)?;
    let question = Question {
        from: asked.from,
        to: asked.to,
        creator: asked.creator,
        code: asked.code,
        platform: asked.platform,
        marketplace: asked.marketplace,
        shop: asked.shop,
        agreement: asked.agreement,
        note: asked.note,
        order: asked.order,
        by: asked.by,
        limit: asked.limit,
    };
    let mut question = question.check(kind, &settings.words, Clock::System.now()).map_err(|faults| {
        let faults =
            faults.into_iter().map(|fault| FieldFault::new(fault.field, &fault.value, fault.code, fault.problem));
        CliError::Usage(told(&faults.collect::<Vec<_>>()))
    })?;
    if let Some(path) = &asked.rules {
        let text =
            std::fs::read_to_string(path).map_err(|error| CliError::Failed(format!("{}: {error}", path.display())))?;
        question.rules = Some(OtherRules { name: path.display().to_string(), text });
    }
    let books = Books::of(&settings)?;
    books.bring_up(Clock::System.now())?;
    let desk = desk(&settings, &books)?;
    let mut sheet = books.runtime.block_on(desk.report(kind, &question)).map_err(|error| match error {
        ReportError::Rules(what) => CliError::Usage(what),
        other => CliError::failed(other),
    })?;
    show::cut(&mut sheet, question.limit);
    match &asked.out {
        None => {
            let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
            match show::write(&sheet, asked.format.form(), &mut out).and_then(|()| out.flush()) {
                Ok(()) => Ok(()),
                // A reader that has gone (`| head`) has what it wanted.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                Err(error) => Err(CliError::Failed(format!("cannot write to standard output: {error}"))),
            }
        }
        Some(path) => {
            let failed = |error: io::Error| match error.kind() {
                io::ErrorKind::AlreadyExists => {
                    CliError::Failed(format!("{}: is there already; name another file", path.display()))
                }
                _ => CliError::Failed(format!("{}: {error}", path.display())),
            };
            let file = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
            let mut out = BufWriter::new(file);
            show::write(&sheet, asked.format.form(), &mut out).and_then(|()| out.flush()).map_err(failed)?;
            out.get_ref().sync_all().map_err(failed)?;
            eprintln!("{}: {} rows", path.display(), sheet.rows.len());
            Ok(())
        }
    }
}

fn there(path: &Path) -> Result<(), CliError> {
    match path.exists() {
        true => Ok(()),
        false => {
            let problem = format!("{}: no such data folder; name it with --data-dir", path.display());
            Err(CliError::Failed(problem))
        }
    }
}

/// The stores of a data folder, ready for reports.
fn desk(settings: &Settings, books: &Books) -> Result<Desk, CliError> {
    let data = DataDir::new(&settings.data_dir);
    let in_force = super::policy::in_force(settings)?;
    Ok(Desk {
        events: Arc::new(SqliteEventStore::open(&data.orders()).map_err(CliError::failed)?),
        policies: Arc::new(SqlitePolicyStore::open(&data.database()).map_err(CliError::failed)?),
        in_force: Box::new(move || Arc::clone(&in_force)),
        words: Arc::new(settings.words.clone()),
        stats: books.stats.clone(),
        data_dir: settings.data_dir.clone(),
        settler: books.settler.clone(),
    })
}
