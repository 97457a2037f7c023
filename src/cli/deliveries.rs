//! What `hopgate webhook` and `hopgate postback` share: opening their outbox, and finding and counting deliveries in it. Prints
//! nothing.

use std::path::Path;

use tokio::runtime::Runtime;

use super::args::Place;
use super::args::deliveries::Which;
use super::{CliError, settings_of};
use crate::app::DataDir;
use crate::config::settings::Settings;
use crate::notify::outbox::{Count, Delivery, DeliveryQuery, DeliveryState, Outbox as _};
use crate::notify::sqlite::SqliteOutbox;
use crate::sqlite::SqliteError;

/// The settings, and the outbox as `open` opens it in the database of the data folder, which must be there.
pub fn opened(
    place: &Place,
    open: impl FnOnce(&Path) -> Result<SqliteOutbox, SqliteError>,
) -> Result<(Settings, SqliteOutbox), CliError> {
    let settings = settings_of(place)?;
    let path = DataDir::new(&settings.data_dir).database();
    if !path.exists() {
        let problem = format!("{}: no such database; name the data folder with --data-dir", path.display());
        return Err(CliError::Failed(problem));
    }
    let outbox = open(&path).map_err(CliError::failed)?;
    Ok((settings, outbox))
}

/// The states that were asked for; none is each of them.
pub fn states(which: &Which) -> Result<Vec<Option<DeliveryState>>, CliError> {
    let Some(name) = &which.state else {
        // What needs somebody's eye: the rest is well.
        let open = vec![Some(DeliveryState::Dead), Some(DeliveryState::Pending)];
        return Ok(if which.all { vec![None] } else { open });
    };
    let state = DeliveryState::parse(name).ok_or_else(|| {
        let known = DeliveryState::names().join(", ");
        CliError::Usage(format!("--state: `{name}` is not known: use one of {known}"))
    })?;
    Ok(vec![Some(state)])
}

/// Deliveries in `states`, at most `limit` of each, to the receiver of a name if there is one.
pub fn found(
    runtime: &Runtime,
    outbox: &SqliteOutbox,
    receiver: Option<&str>,
    states: Vec<Option<DeliveryState>>,
    limit: usize,
) -> Result<Vec<Delivery>, CliError> {
    let mut found = Vec::new();
    for state in states {
        let query = DeliveryQuery { webhook: receiver.map(str::to_owned), state, before: None };
        found.extend(runtime.block_on(outbox.list(&query, limit)).map_err(CliError::failed)?);
    }
    Ok(found)
}

/// How many deliveries to one receiver were delivered, are pending and are dead.
pub fn counted(counts: &[Count], receiver: &str) -> [u64; 3] {
    [DeliveryState::Delivered, DeliveryState::Pending, DeliveryState::Dead].map(|state| {
        let found = counts.iter().find(|count| count.webhook == receiver && count.state == state);
        found.map_or(0, |count| count.deliveries)
    })
}
