//! `hopgate postback`: which platform was told of which order, and telling again what could not be told.

use serde_json::Value;

use super::args::Place;
use super::args::deliveries::Postback;
use super::data::runtime;
use super::{CliError, settings_of};
use crate::app::DataDir;
use crate::clock::Clock;
use crate::config::settings::Settings;
use crate::control::api::postbacks::shown;
use crate::notify::outbox::{Delivery, DeliveryQuery, DeliveryState, Outbox as _};
use crate::notify::sqlite::SqliteOutbox;
use crate::notify::target::shown as address;

/// Runs `hopgate postback`.
pub fn run(asked: Postback) -> Result<(), CliError> {
    match asked {
        Postback::List { place, postback, state, all, limit, json } => {
            list(&place, postback.as_deref(), state.as_deref(), all, limit, json)
        }
        Postback::Retry { place, id, postback } => retry(&place, &id, postback.as_deref()),
    }
}

fn open(place: &Place) -> Result<(Settings, SqliteOutbox), CliError> {
    let settings = settings_of(place)?;
    let path = DataDir::new(&settings.data_dir).database();
    if !path.exists() {
        let problem = format!("{}: no such database; name the data folder with --data-dir", path.display());
        return Err(CliError::Failed(problem));
    }
    let outbox = SqliteOutbox::open_postbacks(&path).map_err(CliError::failed)?;
    Ok((settings, outbox))
}

fn list(
    place: &Place,
    postback: Option<&str>,
    state: Option<&str>,
    all: bool,
    limit: usize,
    json: bool,
) -> Result<(), CliError> {
    let state = match state {
        Some(name) => Some(DeliveryState::parse(name).ok_or_else(|| {
            let known = DeliveryState::names().join(", ");
            CliError::Usage(format!("--state: `{name}` is not known: use one of {known}"))
        })?),
        None => None,
    };
    let (settings, outbox) = open(place)?;
    let runtime = runtime()?;
    let states = match (state, all) {
        (Some(state), _) => vec![Some(state)],
        (None, true) => vec![None],
        // What needs somebody's eye: the rest is well.
        (None, false) => vec![Some(DeliveryState::Dead), Some(DeliveryState::Pending)],
    };
    let mut found: Vec<Delivery> = Vec::new();
    for state in states {
        let query = DeliveryQuery { webhook: postback.map(str::to_owned), state, before: None };
        found.extend(runtime.block_on(outbox.list(&query, limit)).map_err(CliError::failed)?);
    }
    if json {
        let found: Vec<Value> = found.iter().map(shown).collect();
        say!("{}", Value::Array(found));
        return Ok(());
    }
    let counts = runtime.block_on(outbox.counts()).map_err(CliError::failed)?;
    say!("{:<16} {:<13} {:>9} {:>9} {:>9}  target", "postback", "platform", "delivered", "pending", "dead");
    let configured = settings.postbacks.iter();
    let mut names: Vec<(&str, &str, String)> =
        configured.map(|one| (&*one.receiver.name, one.platform.as_str(), address(&one.receiver.url))).collect();
    for count in &counts {
        if !names.iter().any(|(name, ..)| *name == count.webhook) {
            names.push((&count.webhook, "-", "(not in the settings any more)".to_owned()));
        }
    }
    for (name, platform, target) in names {
        let count = |state| {
            let found = counts.iter().find(|count| count.webhook == name && count.state == state);
            found.map_or(0, |count| count.deliveries)
        };
        let [delivered, pending, dead] =
            [DeliveryState::Delivered, DeliveryState::Pending, DeliveryState::Dead].map(count);
        say!("{name:<16} {platform:<13} {delivered:>9} {pending:>9} {dead:>9}  {target}");
    }
    if found.is_empty() {
        return Ok(());
    }
    say!("\n{:<36} {:<16} {:<12} {:<20} {:<9} {:>5} last", "id", "type", "postback", "order", "state", "tries");
    for delivery in found {
        let about = shown(&delivery);
        let again = delivery.next_at.map(|at| format!(" → {at}")).unwrap_or_default();
        say!(
            "{:<36} {:<16} {:<12} {:<20} {:<9} {:>5} {}{again}",
            delivery.event,
            delivery.kind,
            delivery.webhook,
            about["order"].as_str().unwrap_or("-"),
            delivery.state.as_str(),
            delivery.attempts,
            delivery.last_error.as_deref().unwrap_or("-"),
        );
    }
    Ok(())
}

fn retry(place: &Place, id: &str, postback: Option<&str>) -> Result<(), CliError> {
    let (_, outbox) = open(place)?;
    let now = Clock::System.now();
    match runtime()?.block_on(outbox.retry(id, postback, now)).map_err(CliError::failed)? {
        None => Err(CliError::Failed(format!("no postback has the id `{id}`: see `hopgate postback list --all`"))),
        Some(0) => Err(CliError::Failed(format!("`{id}` is delivered already: nothing to tell again"))),
        Some(count) => {
            say!("{count} to be told again; a running gateway does so within seconds");
            Ok(())
        }
    }
}
