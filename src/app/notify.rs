//! Starts what tells webhooks: a courier for each, and who notices what is to be told.

use std::sync::Arc;

use prometheus::proto::{MetricFamily, MetricType};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, watch as signal};

use crate::click::Gateway;
use crate::clock::Clock;
use crate::config::settings::Settings;
use crate::notify::client::Client;
use crate::notify::courier::{Courier, Tally};
use crate::notify::expiring::Warner;
use crate::notify::herald::{Herald, Subscriptions};
use crate::notify::outbox::Outbox;
use crate::policies::store::PolicyStore;
use crate::telemetry::metrics::{counter, counter_family, family, gauge};

/// What telling webhooks needs.
pub(super) struct Parts {
    pub(super) clients: Vec<Client>,
    pub(super) gateway: Arc<Gateway>,
    pub(super) settings: Arc<Settings>,
    pub(super) policy_store: Arc<dyn PolicyStore>,
    pub(super) outbox: Arc<dyn Outbox>,
    pub(super) tally: Arc<Tally>,
}

/// Starts telling webhooks, if there are any, until `drained` says that it is over.
pub(super) fn start(runtime: &Runtime, parts: Parts, drained: &signal::Receiver<bool>) {
    let Parts { clients, gateway, settings, policy_store, outbox, tally } = parts;
    if clients.is_empty() {
        return;
    }
    let clock = gateway.clock.clone();
    if matches!(clock, Clock::Shifted(_)) {
        // Receivers act on what they are told: a rehearsal must not tell them of a midnight that has not come.
        tracing::warn!(webhooks = clients.len(), "rehearsal: webhooks are told nothing");
        return;
    }
    let asked = clients.iter().map(|client| {
        let settings = &client.target().settings;
        (settings.name.clone(), settings.events.clone())
    });
    let subscriptions = Subscriptions::new(asked.collect());
    let posted = Arc::new(Notify::new());
    for client in clients {
        tally.begin(&client.target().settings.name, &client.target().settings.events);
        let courier = Courier {
            receiver: Box::new(client),
            outbox: Arc::clone(&outbox),
            clock: clock.clone(),
            posted: Arc::clone(&posted),
            tally: Arc::clone(&tally),
        };
        runtime.spawn(courier.run(drained.clone()));
    }
    let herald = Herald {
        policies: Arc::clone(&gateway.policies),
        store: policy_store,
        outbox: Arc::clone(&outbox),
        subscriptions: subscriptions.clone(),
        words: Arc::clone(&gateway.words),
        clock: clock.clone(),
        posted: Arc::clone(&posted),
        tally: Arc::clone(&tally),
    };
    runtime.spawn(herald.run(drained.clone()));
    let warner = Warner {
        links: Arc::clone(gateway.catalog.store()),
        policies: Arc::clone(&gateway.policies),
        outbox,
        subscriptions,
        words: Arc::clone(&gateway.words),
        clock,
        ahead: settings.warn_ahead,
        posted,
        tally,
    };
    runtime.spawn(warner.run(drained.clone()));
}

/// What couriers have done.
pub(super) fn families(tally: &Tally) -> Vec<MetricFamily> {
    let sent = tally.sent().into_iter().map(|((webhook, kind, sent), count)| {
        let labels = [("webhook", webhook), ("event", kind.to_string()), ("result", sent.to_string())];
        counter(count as f64, &labels)
    });
    let pending = tally.pending().into_iter().map(|(webhook, count)| gauge(count as f64, &[("webhook", webhook)]));
    vec![
        family(
            "hopgate_webhook_deliveries_total",
            "Attempts to deliver an event, by how they ended.",
            MetricType::COUNTER,
            sent.collect(),
        ),
        family("hopgate_webhook_pending", "Events that wait for their delivery.", MetricType::GAUGE, pending.collect()),
        counter_family(
            "hopgate_webhook_store_failures_total",
            "Times a store that events come from or go to did not answer.",
            tally.store_failures() as f64,
        ),
    ]
}
