//! Which metrics a gateway shows, and where each is read. Nothing here is on the click path.

use std::sync::Arc;

use prometheus::proto::{MetricFamily, MetricType};

use crate::click::Gateway;
use crate::config::settings::JournalMode;
use crate::edge::proxy::upstream::Upstreams;
use crate::edge::tls::Certificates;
use crate::journal::{JournalStats, State};
use crate::notify::courier::Tally;
use crate::policies::PublishResult;
use crate::telemetry::metrics::{
    Labels, Metrics, WorkerCounters, click_families, counter, counter_family, family, gauge, gauge_family,
};

use crate::telemetry::proxy::proxy_families;
use crate::telemetry::shadow::shadow_families;

/// What is observed.
pub struct Observed {
    /// Catalog, policies, clock.
    pub gateway: Arc<Gateway>,
    /// Journal figures.
    pub journal: Arc<JournalStats>,
    /// Certificates, where there is a TLS listener.
    pub certificates: Option<Arc<Certificates>>,
    /// Every worker's counters.
    pub counters: Vec<Arc<WorkerCounters>>,
    /// The names of their labels.
    pub labels: Labels,
    /// The journal's mode.
    pub mode: JournalMode,
    /// What was told to webhooks.
    pub webhooks: Arc<Tally>,
    /// What settling did.
    pub books: Arc<super::ledger::Tally>,
    /// What is in the store of orders.
    pub orders: Arc<super::orders::Tally>,
    /// What became of events that were told.
    pub events: Arc<crate::attribution::events::Tally>,
    /// What was told to ad platforms.
    pub postbacks: super::postbacks::Postbacks,
    /// What was pulled of order reports.
    pub pulls: Arc<crate::alliance::tally::Tally>,
    /// What became of short links, where they are resolved.
    pub resolve: Option<Arc<crate::resolve::tally::Tally>>,
    /// What counting hops has done.
    pub(super) following: Arc<super::stats::Tally>,
    /// Upstreams of proxied landings.
    pub upstreams: Upstreams,
    /// The archive's figures, where there is one.
    pub archive: Option<Arc<crate::archive::keeper::Tally>>,
}

/// Makes everything observed part of `/metrics`.
pub fn register(metrics: &Metrics, observed: Observed) {
    metrics.on_scrape(move || {
        let mut families = click_families(&observed.counters, &observed.labels);
        families.extend(shadow_families(&observed.counters, &observed.labels));
        families.extend(policy_families(&observed.gateway));
        families.extend(catalog_families(&observed.gateway));
        families.push(counter_family(
            "hopgate_landing_reload_failures_total",
            "Reloads of the landing matrix that had faults and kept the last good one.",
            observed.gateway.landings.failures() as f64,
        ));
        families.extend(journal_families(&observed.journal, observed.mode));
        families.extend(signal_families(&observed.gateway));
        families.extend(certificate_families(observed.certificates.as_deref()));
        families.extend(proxy_families(&observed.upstreams.iter().map(|each| each.shown()).collect::<Vec<_>>()));
        families.extend(super::notify::families(&observed.webhooks));
        families.extend(observed.postbacks.families());
        families.extend(super::alliance::families(&observed.pulls, observed.gateway.clock.now()));
        families.extend(super::orders::families(&observed.orders));
        families.extend(super::ledger::families(&observed.books));
        families.extend(super::stats::families(&observed.following));
        families.extend(super::reports::families(&observed.events));
        families.extend(observed.archive.iter().flat_map(|tally| super::archive::families(tally)));
        families.extend(super::archive::raw_families(&observed.gateway.raw));
        families.extend(observed.resolve.iter().flat_map(|tally| super::resolve::families(tally)));
        families
    });
}

fn policy_families(gateway: &Gateway) -> Vec<MetricFamily> {
    let policies = &gateway.policies;
    let version = policies.current().version().to_string();
    let now = gateway.clock.now();
    let kills = policies.current().kills().iter().filter(|kill| kill.in_force(now)).count();
    let age = (now.micros() - policies.loaded_at().micros()) as f64 / 1e6;
    vec![
        gauge_family("hopgate_policy_epoch", "Policy versions put in force since start.", policies.epoch() as f64),
        family(
            "hopgate_policy_publishes_total",
            "Attempts to publish, and switches of other processes that were followed, by result.",
            MetricType::COUNTER,
            PublishResult::ALL
                .iter()
                .map(|result| counter(policies.publishes(*result) as f64, &[("result", result.as_str().to_owned())]))
                .collect(),
        ),
        gauge_family("hopgate_policy_kills", "Kill switches in force.", kills as f64),
        family(
            "hopgate_policy_info",
            "The policy version in force.",
            MetricType::GAUGE,
            vec![gauge(1.0, &[("version", version)])],
        ),
        gauge_family("hopgate_policy_age_seconds", "Since the policy set was last read and found good.", age),
        counter_family(
            "hopgate_policy_reload_failures_total",
            "Reloads that had faults and kept the last good set.",
            policies.failures() as f64,
        ),
        counter_family(
            "hopgate_policy_versions_unkept_total",
            "Versions that came into force and could not be kept in the store.",
            policies.unkept() as f64,
        ),
        gauge_family(
            "hopgate_rehearsal_offset_seconds",
            "How far the clock is from the system's; 0 in production.",
            gateway.clock.offset_seconds(),
        ),
    ]
}

fn catalog_families(gateway: &Gateway) -> Vec<MetricFamily> {
    let catalog = &gateway.catalog;
    vec![
        gauge_family("hopgate_links", "Links in memory.", catalog.len() as f64),
        gauge_family("hopgate_links_bytes", "Estimated memory of the links.", catalog.bytes() as f64),
        gauge_family("hopgate_catalog_loaded", "1 once every link is in memory.", f64::from(catalog.is_loaded())),
        gauge_family(
            "hopgate_catalog_store_up",
            "1 while the catalog's store answers.",
            f64::from(catalog.fault().is_none()),
        ),
    ]
}

fn signal_families(gateway: &Gateway) -> Vec<MetricFamily> {
    let signals = gateway.signals.current();
    vec![
        gauge_family("hopgate_signing_keys", "Keys platforms may sign with.", signals.keys.len() as f64),
        gauge_family(
            "hopgate_datacenter_networks",
            "Ranges of addresses known as data centres.",
            signals.devices.datacenters.len() as f64,
        ),
        counter_family(
            "hopgate_signals_reload_failures_total",
            "Readings of device tables, networks and keys that had faults and kept the last good ones.",
            gateway.signals.failures() as f64,
        ),
        counter_family(
            "hopgate_replay_forgotten_total",
            "Tokens forgotten before their end: each could be used by one more visitor.",
            gateway.replay.forgotten() as f64,
        ),
    ]
}

fn journal_families(journal: &JournalStats, mode: JournalMode) -> Vec<MetricFamily> {
    let states = [State::Ready, State::Full, State::Failed, State::Closed];
    let state = states
        .into_iter()
        .map(|state| gauge(f64::from(journal.state() == state), &[("state", state.as_str().to_owned())]))
        .collect();
    vec![
        counter_family("hopgate_journal_appended_total", "Hops written.", journal.appended_total() as f64),
        counter_family("hopgate_journal_bytes_total", "Bytes written.", journal.appended_bytes() as f64),
        counter_family("hopgate_journal_batches_total", "Writes they came in.", journal.batches() as f64),
        counter_family(
            "hopgate_journal_unsafe_hops_total",
            "Hops not recorded as the mode promises before their deadline.",
            journal.unsafe_total() as f64,
        ),
        counter_family("hopgate_journal_lost_total", "Hops never recorded.", journal.lost_total() as f64),
        gauge_family(
            "hopgate_journal_durable_lag_seconds",
            "Age of the oldest hop a power cut would lose.",
            journal.durable_lag_seconds(),
        ),
        family("hopgate_journal_state", "1 for the state the journal is in.", MetricType::GAUGE, state),
        family(
            "hopgate_journal_info",
            "The journal's mode.",
            MetricType::GAUGE,
            vec![gauge(1.0, &[("mode", mode.as_str().to_owned())])],
        ),
    ]
}

fn certificate_families(certificates: Option<&Certificates>) -> Vec<MetricFamily> {
    let Some(certificates) = certificates else { return Vec::new() };
    let ends = certificates
        .in_use()
        .into_iter()
        .map(|certificate| gauge(certificate.not_after as f64, &[("name", certificate.name)]))
        .collect();
    vec![
        family(
            "hopgate_certificate_not_after_seconds",
            "When a certificate in use ends, Unix time.",
            MetricType::GAUGE,
            ends,
        ),
        counter_family(
            "hopgate_certificate_reload_failures_total",
            "Certificate reloads that had faults and kept the last good set.",
            certificates.failures() as f64,
        ),
    ]
}
