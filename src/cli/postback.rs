//! `hopgate postback`: which platform was told of which order, and telling again what could not be told.

use serde_json::Value;

use super::CliError;
use super::args::Place;
use super::args::deliveries::{Postback, Which};
use super::data::runtime;
use super::deliveries::{counted, found, opened, states};
use crate::clock::Clock;
use crate::control::api::postbacks::shown;
use crate::notify::outbox::Outbox as _;
use crate::notify::sqlite::SqliteOutbox;
use crate::notify::target::shown as address;

/// Runs `hopgate postback`.
pub fn run(asked: Postback) -> Result<(), CliError> {
    match asked {
        Postback::List { place, postback, which, json } => list(&place, postback.as_deref(), &which, json),
        Postback::Retry { place, id, postback } => retry(&place, &id, postback.as_deref()),
    }
}

fn list(place: &Place, postback: Option<&str>, which: &Which, json: bool) -> Result<(), CliError> {
    let states = states(which)?;
    let (settings, outbox) = opened(place, SqliteOutbox::open_postbacks)?;
    let runtime = runtime()?;
    let found = found(&runtime, &outbox, postback, states, which.limit)?;
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
        let [delivered, pending, dead] = counted(&counts, name);
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
    let (_, outbox) = opened(place, SqliteOutbox::open_postbacks)?;
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
