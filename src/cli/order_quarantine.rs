//! `hopgate orders quarantine`: rows that were set aside.

use serde_json::{Value, json};

use super::CliError;
use super::args::Place;
use super::args::orders::Quarantine;
use super::orders::{look, network_or_any, open};
use super::progress::grouped;
use crate::attribution::orders::import::fault::Reason;
use crate::attribution::orders::intake::{OrderIntake as _, QuarantineQuery};
use crate::clock::Clock;
use crate::control::orders as view;

/// Runs `hopgate orders quarantine`.
pub fn run(asked: Quarantine) -> Result<(), CliError> {
    match asked {
        Quarantine::List { place, network, reason, all, limit, json } => {
            let reason = match reason.as_deref() {
                Some(name) => Some(Reason::parse(name).ok_or_else(|| {
                    let known = Reason::names().join(", ");
                    CliError::Usage(format!("--reason: `{name}` is not known: use one of {known}"))
                })?),
                None => None,
            };
            let network = network_or_any(network.as_deref())?;
            let query = QuarantineQuery { network, reason, mended: all, before: None };
            let (runtime, store) = look(&place)?;
            let found = runtime.block_on(store.quarantined(&query, limit)).map_err(CliError::failed)?;
            if json {
                say!("{}", Value::Array(found.iter().map(view::quarantined).collect()));
                return Ok(());
            }
            let counts = runtime.block_on(store.counts()).map_err(CliError::failed)?;
            for (reason, count) in &counts.quarantined {
                say!("{reason:<20} {:>8}", grouped(*count));
            }
            if counts.quarantined.is_empty() {
                say!("没有被隔离的行 / nothing is set aside");
            }
            for row in &found {
                let mended = row.mended_at.map(|at| format!("  已修复 / mended {at}")).unwrap_or_default();
                let line = if row.line.is_empty() { "-" } else { &row.line };
                let place = row.row.map(|row| format!(" row {row}")).unwrap_or_default();
                say!("\n#{} {} {line}  batch {}{place}{mended}", row.id, row.network, row.batch);
                row.faults.iter().for_each(|fault| say!("  {fault}"));
            }
            Ok(())
        }
        Quarantine::Show { place, json, id } => {
            let (runtime, store) = look(&place)?;
            let row = runtime.block_on(store.quarantined_row(id)).map_err(CliError::failed)?;
            let row = row.ok_or_else(|| {
                CliError::Failed(format!("no row has the number {id}: see `hopgate orders quarantine list --all`"))
            })?;
            let told = view::quarantined(&row);
            if json {
                say!("{told}");
                return Ok(());
            }
            let place = row.row.map(|row| format!(" row {row}")).unwrap_or_default();
            say!("#{} {} {} batch {}{place}  seen {}", row.id, row.network, row.account, row.batch, row.seen);
            row.faults.iter().for_each(|fault| say!("  {fault}"));
            if let Some(at) = row.mended_at {
                say!("  已修复 / mended {at}");
            }
            say!("{}", serde_json::to_string_pretty(&told["raw"]).map_err(CliError::failed)?);
            Ok(())
        }
        Quarantine::Retry { place, json, ids } => retry(&place, json, ids),
    }
}

fn retry(place: &Place, as_json: bool, mut ids: Vec<i64>) -> Result<(), CliError> {
    let (runtime, store) = open(place, true)?;
    let all = ids.is_empty();
    let mut query = QuarantineQuery::default();
    let (mut asked, mut good) = (0, 0);
    loop {
        if all {
            let found = runtime.block_on(store.quarantined(&query, 1_000)).map_err(CliError::failed)?;
            query.before = found.last().map(|row| row.id);
            ids = found.iter().map(|row| row.id).collect();
        }
        asked += ids.len();
        if ids.is_empty() {
            break;
        }
        good +=
            runtime.block_on(store.retry(std::mem::take(&mut ids), Clock::System.now())).map_err(CliError::failed)?;
        if !all {
            break;
        }
    }
    match as_json {
        true => say!("{}", json!({ "read": asked, "mended": good })),
        false => say!("重新读取 / read again {asked}  已修复 / mended {good}"),
    }
    Ok(())
}
