//! `hopgate policy calendar`: which windows are open when, and which end soon.

use std::fs::OpenOptions;
use std::io::Write as _;

use super::args::ask::{Calendar, CalendarFormat};
use super::data::told;
use super::{CliError, settings_of};
use crate::clock::Clock;
use crate::control::calendar::{self, CalendarRequest, html, svg, text};

/// Runs the command.
pub fn run(asked: Calendar) -> Result<(), CliError> {
    let settings = settings_of(&asked.place)?;
    let policy = super::policy::in_force(&settings)?;
    let now = asked.at.unwrap_or_else(|| Clock::System.now());
    let request = CalendarRequest {
        from: asked.from.map(|at| at.to_string()),
        to: asked.to.map(|at| at.to_string()),
        platform: asked.platform,
        marketplace: asked.marketplace,
    };
    let span = request.check(&settings.words, now).map_err(|faults| CliError::Usage(told(&faults)))?;
    let calendar = calendar::Calendar::new(&policy, &settings.words, span, now, |_| true);
    let rendered = match asked.format {
        CalendarFormat::Text => text::render(&calendar),
        CalendarFormat::Svg => svg::render(&calendar),
        CalendarFormat::Html => html::render(&calendar),
        CalendarFormat::Json => serde_json::to_string(&calendar).map_err(CliError::failed)?,
    };
    match asked.out {
        None => say!("{}", rendered.trim_end()),
        Some(path) => {
            let failed = |error: std::io::Error| match error.kind() {
                std::io::ErrorKind::AlreadyExists => {
                    CliError::Failed(format!("{}: is there already; name another file", path.display()))
                }
                _ => CliError::Failed(format!("{}: {error}", path.display())),
            };
            let mut file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(failed)?;
            file.write_all(rendered.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
            eprintln!("{}: {} bytes", path.display(), rendered.len());
        }
    }
    Ok(())
}
