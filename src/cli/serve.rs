//! `hopgate serve`: runs a gateway until it is told to stop. SIGHUP reads policies and certificates again; SIGTERM and
//! SIGINT drain and end.

use std::io::Write;

use tokio::signal::unix::{SignalKind, signal};

use super::args::Serve;
use super::{CliError, settings_of};
use crate::app::App;
use crate::clock::Clock;
use crate::telemetry::start_logging;

/// Runs the command.
pub fn run(serve: Serve) -> Result<(), CliError> {
    let mut settings = settings_of(&serve.place)?;
    let listen = &mut settings.listen;
    listen.click = serve.click.unwrap_or(listen.click);
    listen.control = serve.control.unwrap_or(listen.control);
    listen.ops = serve.ops.unwrap_or(listen.ops);
    listen.tls = serve.tls.or(listen.tls);
    settings.resolve.enabled.get_or_insert(true);
    start_logging(settings.log_format, &settings.log_level);
    let clock = match serve.rehearse_at {
        Some(at) if at.millis() < 0 => {
            return Err(CliError::Usage("--rehearse-at: click ids count from 1970: name a later time".to_owned()));
        }
        Some(at) => {
            tracing::warn!(%at, "REHEARSAL: the clock starts at another time; every hop is flagged");
            Clock::starting_at(at)
        }
        None => Clock::System,
    };
    let (node, mode) = (settings.node.clone(), settings.journal.mode);
    let app = App::start(settings, clock)?;
    let policy = app.gateway().policies.current();
    tracing::info!(
        %node,
        journal = %mode,
        policy = %policy.version(),
        agreements = policy.agreements().len(),
        addresses = %app.addresses(),
        "started"
    );
    until_told(app, true)
}

/// Says that the gateway is ready, and serves until a signal ends it.
pub fn until_told(app: App, announce: bool) -> Result<(), CliError> {
    let ended = app.block_on(async {
        let mut hangup = signal(SignalKind::hangup())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        // Only now: whoever has read the line may send a signal at once, and it must not end the process unheard.
        if announce {
            say!("{}", app.addresses());
            // Whoever waits for the line reads a pipe; nobody reading is no reason to end.
            drop(std::io::stdout().flush());
        }
        loop {
            tokio::select! {
                _ = hangup.recv() => app.reload().await,
                _ = terminate.recv() => return Ok("SIGTERM"),
                _ = interrupt.recv() => return Ok("SIGINT"),
            }
        }
    });
    let signal = ended.map_err(|error: std::io::Error| CliError::failed(error))?;
    tracing::info!(signal, "draining");
    let stats = std::sync::Arc::clone(app.journal());
    app.stop().map_err(CliError::Failed)?;
    tracing::info!(hops = stats.appended_total(), lost = stats.lost_total(), "ended");
    Ok(())
}
