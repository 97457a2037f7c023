//! `hopgate webhook`: what was told to whom, sending again what could not be delivered, and trying a receiver out.

use std::time::Instant;

use serde_json::json;

use super::args::Place;
use super::args::deliveries::{Webhook, Which};
use super::data::runtime;
use super::deliveries::{counted, found, opened, states};
use super::{CliError, settings_of};
use crate::clock::Clock;
use crate::config::webhooks::EventKind;
use crate::notify::client::clients;
use crate::notify::event::Event;
use crate::notify::outbox::Outbox as _;
use crate::notify::sqlite::SqliteOutbox;
use crate::notify::target::shown as address;

/// Runs `hopgate webhook`.
pub fn run(asked: Webhook) -> Result<(), CliError> {
    match asked {
        Webhook::List { place, webhook, which, json } => list(&place, webhook.as_deref(), &which, json),
        Webhook::Retry { place, id, webhook } => retry(&place, &id, webhook.as_deref()),
        Webhook::Test { place, name } => test(&place, &name),
    }
}

fn list(place: &Place, webhook: Option<&str>, which: &Which, json: bool) -> Result<(), CliError> {
    let states = states(which)?;
    let (settings, outbox) = opened(place, SqliteOutbox::open)?;
    let runtime = runtime()?;
    let found = found(&runtime, &outbox, webhook, states, which.limit)?;
    if json {
        say!("{}", serde_json::to_string(&found).map_err(CliError::failed)?);
        return Ok(());
    }
    let counts = runtime.block_on(outbox.counts()).map_err(CliError::failed)?;
    say!("{:<16} {:>9} {:>9} {:>9}  url", "webhook", "delivered", "pending", "dead");
    let configured = settings.webhooks.iter().map(|webhook| (webhook.name.as_str(), address(&webhook.url)));
    let mut names: Vec<(&str, String)> = configured.collect();
    for count in &counts {
        if !names.iter().any(|(name, _)| *name == count.webhook) {
            names.push((&count.webhook, "(not in the settings any more)".to_owned()));
        }
    }
    for (name, url) in names {
        let [delivered, pending, dead] = counted(&counts, name);
        say!("{name:<16} {delivered:>9} {pending:>9} {dead:>9}  {url}");
    }
    if found.is_empty() {
        return Ok(());
    }
    say!("\n{:<37} {:<20} {:<12} {:<9} {:>5} last", "id", "type", "webhook", "state", "tries");
    for delivery in found {
        let again = delivery.next_at.map(|at| format!(" → {at}")).unwrap_or_default();
        say!(
            "{:<37} {:<20} {:<12} {:<9} {:>5} {}{again}",
            delivery.event,
            delivery.kind,
            delivery.webhook,
            delivery.state.as_str(),
            delivery.attempts,
            delivery.last_error.as_deref().unwrap_or("-"),
        );
    }
    Ok(())
}

fn retry(place: &Place, id: &str, webhook: Option<&str>) -> Result<(), CliError> {
    let (_, outbox) = opened(place, SqliteOutbox::open)?;
    let now = Clock::System.now();
    match runtime()?.block_on(outbox.retry(id, webhook, now)).map_err(CliError::failed)? {
        None => Err(CliError::Failed(format!("no delivery has the id `{id}`: see `hopgate webhook list --all`"))),
        Some(0) => Err(CliError::Failed(format!("`{id}` is delivered already: nothing to send again"))),
        Some(count) => {
            say!("{count} to be sent again; a running gateway does so within seconds");
            Ok(())
        }
    }
}

/// Sends one event of its own kind, at once and past the outbox.
fn test(place: &Place, name: &str) -> Result<(), CliError> {
    let settings = settings_of(place)?;
    let Some(webhook) = settings.webhooks.iter().find(|webhook| webhook.name == name) else {
        let known: Vec<&str> = settings.webhooks.iter().map(|webhook| webhook.name.as_str()).collect();
        let known = if known.is_empty() { "none is".to_owned() } else { format!("there are {}", known.join(", ")) };
        return Err(CliError::Usage(format!("no webhook is called `{name}`: {known} in the settings")));
    };
    let clients = clients(std::slice::from_ref(webhook)).map_err(CliError::Config)?;
    let now = Clock::System.now();
    // A new id each time, or the receiver would take the second try for the first.
    let data = json!({ "webhook": name, "node": settings.node });
    let event = Event::new(EventKind::Test, &[name, &now.micros().to_string()], now, now, &data);
    let begun = Instant::now();
    for client in &clients {
        match runtime()?.block_on(client.send(&event.id, &event.body, now)) {
            Ok(answer) if answer.status.is_success() => {
                say!("{} answered {} after {} ms", webhook.url, answer.status, begun.elapsed().as_millis());
            }
            Ok(answer) if answer.status.is_redirection() => {
                let problem = format!("{} answered {}: redirects are not followed", webhook.url, answer.status);
                return Err(CliError::Failed(problem));
            }
            Ok(answer) => return Err(CliError::Failed(format!("{} answered {}", webhook.url, answer.status))),
            Err(error) => return Err(CliError::Failed(format!("{}: {error}", webhook.url))),
        }
    }
    Ok(())
}
