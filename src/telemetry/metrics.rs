//! Metrics: plain per-worker counters on the click path, summed when Prometheus asks. A click never takes a lock, hashes a
//! label or shares a cache line with another worker's counter.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, TextEncoder};

use super::shadow::ShadowCounters;
use crate::domain::hop::HopFlags;
use crate::domain::landing::Way;
use crate::domain::sign::{SignFault, Signed};

/// Upper bounds of the latency buckets in seconds, for `hopgate_click_seconds`.
pub const LATENCY_BOUNDS: [f64; 16] =
    [0.000_05, 0.000_1, 0.000_2, 0.000_4, 0.000_7, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0];

/// One worker's click counters. Written by that worker alone, read by anyone.
#[repr(align(128))]
#[derive(Debug)]
pub struct WorkerCounters {
    /// `platform × marketplace × reason`; the last row of the first two stands for "unknown".
    clicks: Box<[AtomicU64]>,
    /// `way × marketplace` of permitted clicks; the last marketplace stands for "unknown".
    landings: Box<[AtomicU64]>,
    shape: Shape,
    latency: [AtomicU64; LATENCY_BOUNDS.len() + 1],
    latency_nanos: AtomicU64,
    /// Decided clicks that were not a person's: bots, prefetch, HEAD.
    pub machines: AtomicU64,
    /// Redirects that left before their hop was kept as the mode promises.
    pub unsafe_redirects: AtomicU64,
    /// Clicks that landed on an alternate.
    pub alternates: AtomicU64,
    /// Clicks that should have been proxied and were redirected, as no upstream serves their landing.
    pub unproxied: AtomicU64,
    /// Connections this worker has open.
    pub connections: AtomicU64,
    /// Connections accepted since start.
    pub accepted: AtomicU64,
    /// A candidate policy beside the live one.
    pub shadow: ShadowCounters,
    /// Decided clicks, of people and machines, by flag.
    flags: [AtomicU64; HopFlags::NAMES.len()],
    /// What came signed and was not believed, by what it was and why.
    bad_signatures: [[AtomicU64; SignFault::ALL.len()]; Signed::ALL.len()],
    /// Outbound clicks that were well signed and could not be served.
    unfit_go: AtomicU64,
    /// What was turned away, by [`Shed`].
    pub shed: [AtomicU64; Shed::ALL.len()],
}

/// Why a connection or request was turned away unserved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shed {
    /// Too many connections.
    Connections,
    /// The request's head came too slowly.
    SlowHead,
    /// The peer read its answer too slowly.
    SlowRead,
    /// Nothing was asked for too long.
    Idle,
    /// Not HTTP, or too large a head.
    BadRequest,
    /// The TLS handshake failed or took too long.
    Handshake,
    /// The catalog was still loading and its store busy.
    Cold,
    /// The hop could not be recorded in time and the configuration says to refuse.
    Journal,
    /// The drain deadline passed.
    Drain,
    /// More looks at links without a click than a worker has time for.
    Preview,
}

impl Shed {
    /// Every class, by number.
    pub const ALL: [Shed; 10] = [
        Shed::Connections,
        Shed::SlowHead,
        Shed::SlowRead,
        Shed::Idle,
        Shed::BadRequest,
        Shed::Handshake,
        Shed::Cold,
        Shed::Journal,
        Shed::Drain,
        Shed::Preview,
    ];

    /// The value of the `class` label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Shed::Connections => "connections",
            Shed::SlowHead => "slow_head",
            Shed::SlowRead => "slow_read",
            Shed::Idle => "idle",
            Shed::BadRequest => "bad_request",
            Shed::Handshake => "handshake",
            Shed::Cold => "cold",
            Shed::Journal => "journal",
            Shed::Drain => "drain",
            Shed::Preview => "preview",
        }
    }
}

/// How many rows each label of the click counter has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// Platforms known, without "unknown".
    pub platforms: usize,
    /// Marketplaces known, without "unknown".
    pub marketplaces: usize,
    /// Reasons.
    pub reasons: usize,
}

impl WorkerCounters {
    /// Counters of the given shape, all zero.
    pub fn new(shape: Shape) -> Self {
        let cells = (shape.platforms + 1) * (shape.marketplaces + 1) * shape.reasons;
        WorkerCounters {
            clicks: (0..cells).map(|_| AtomicU64::new(0)).collect(),
            landings: (0..Way::ALL.len() * (shape.marketplaces + 1)).map(|_| AtomicU64::new(0)).collect(),
            shape,
            latency: Default::default(),
            latency_nanos: AtomicU64::new(0),
            machines: AtomicU64::new(0),
            unsafe_redirects: AtomicU64::new(0),
            alternates: AtomicU64::new(0),
            unproxied: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            shadow: ShadowCounters::new(shape),
            flags: Default::default(),
            bad_signatures: Default::default(),
            unfit_go: AtomicU64::new(0),
            shed: Default::default(),
        }
    }

    /// Counts the flags of one decided click; most have none.
    pub fn flags(&self, flags: HopFlags) {
        if flags != HopFlags::default() {
            self.flags
                .iter()
                .enumerate()
                .filter(|(bit, _)| flags.0 & 1 << bit != 0)
                .for_each(|(_, cell)| bump(cell, 1));
        }
    }

    /// Counts an outbound click that was well signed and could not be served.
    pub fn unfit_go(&self) {
        bump(&self.unfit_go, 1);
    }

    /// Counts something signed that was not believed.
    pub fn bad_signature(&self, what: Signed, fault: SignFault) {
        bump(&self.bad_signatures[what as usize][fault as usize], 1);
    }

    fn cell(&self, platform: Option<u8>, marketplace: Option<u8>, reason: usize) -> usize {
        let row = |id: Option<u8>, known: usize| id.map_or(known, |id| usize::from(id).min(known));
        let platform = row(platform, self.shape.platforms);
        let marketplace = row(marketplace, self.shape.marketplaces);
        (platform * (self.shape.marketplaces + 1) + marketplace) * self.shape.reasons + reason
    }

    /// Counts one decided click.
    pub fn click(&self, platform: Option<u8>, marketplace: Option<u8>, reason: usize) {
        if let Some(cell) = self.clicks.get(self.cell(platform, marketplace, reason)) {
            bump(cell, 1);
        }
    }

    fn landing_cell(&self, way: Way, marketplace: u8) -> Option<&AtomicU64> {
        let marketplace = usize::from(marketplace).min(self.shape.marketplaces);
        self.landings.get(way as usize * (self.shape.marketplaces + 1) + marketplace)
    }

    /// Counts one permitted click by the way it was sent on.
    pub fn landing(&self, way: Way, marketplace: u8) {
        if let Some(cell) = self.landing_cell(way, marketplace) {
            bump(cell, 1);
        }
    }

    /// Notes how long a click took, from its request to its answer.
    pub fn took(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        let bucket = LATENCY_BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(LATENCY_BOUNDS.len());
        bump(&self.latency[bucket], 1);
        bump(&self.latency_nanos, u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Counts something turned away.
    pub fn shed(&self, class: Shed) {
        bump(&self.shed[class as usize], 1);
    }
}

/// Adds to a counter only this thread writes: a plain load and store instead of a locked instruction.
pub fn bump(cell: &AtomicU64, by: u64) {
    cell.store(cell.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

/// The names behind the label numbers of [`WorkerCounters`].
#[derive(Clone, Debug)]
pub struct Labels {
    /// Platform names by id.
    pub platforms: Vec<String>,
    /// Marketplace names by id.
    pub marketplaces: Vec<String>,
    /// Reasons by number, with the outcome each belongs to.
    pub reasons: Vec<(&'static str, &'static str)>,
}

impl Labels {
    /// The shape counters need for these names.
    pub fn shape(&self) -> Shape {
        Shape { platforms: self.platforms.len(), marketplaces: self.marketplaces.len(), reasons: self.reasons.len() }
    }
}

/// The metric families of click workers.
pub fn click_families(workers: &[Arc<WorkerCounters>], labels: &Labels) -> Vec<MetricFamily> {
    let sum = |read: &dyn Fn(&WorkerCounters) -> u64| workers.iter().map(|worker| read(worker)).sum::<u64>();
    let name = |names: &[String], row: usize| names.get(row).map_or("unknown", |name| name).to_owned();
    let mut clicks = Vec::new();
    for platform in 0..=labels.platforms.len() {
        for marketplace in 0..=labels.marketplaces.len() {
            for (reason, (outcome, text)) in labels.reasons.iter().enumerate() {
                let cell = |worker: &WorkerCounters| {
                    let cell = worker.cell(Some(platform as u8), Some(marketplace as u8), reason);
                    worker.clicks.get(cell).map_or(0, |cell| cell.load(Ordering::Relaxed))
                };
                let count = sum(&cell);
                if count > 0 {
                    let pairs = [
                        ("platform", name(&labels.platforms, platform)),
                        ("marketplace", name(&labels.marketplaces, marketplace)),
                        ("outcome", (*outcome).to_owned()),
                        ("reason", (*text).to_owned()),
                    ];
                    clicks.push(counter(count as f64, &pairs));
                }
            }
        }
    }
    let mut landings = Vec::new();
    for way in Way::ALL {
        for marketplace in 0..=labels.marketplaces.len() {
            let cell = |worker: &WorkerCounters| {
                worker.landing_cell(*way, marketplace as u8).map_or(0, |cell| cell.load(Ordering::Relaxed))
            };
            let count = sum(&cell);
            if count > 0 {
                let pairs =
                    [("way", way.as_str().to_owned()), ("marketplace", name(&labels.marketplaces, marketplace))];
                landings.push(counter(count as f64, &pairs));
            }
        }
    }
    let counts: Vec<u64> =
        (0..=LATENCY_BOUNDS.len()).map(|place| sum(&|worker| worker.latency[place].load(Ordering::Relaxed))).collect();
    let nanos = sum(&|worker| worker.latency_nanos.load(Ordering::Relaxed));
    let latency = histogram(&LATENCY_BOUNDS, &counts, nanos as f64 / 1e9, &[]);

    let shed = Shed::ALL
        .iter()
        .map(|class| {
            let count = sum(&|worker| worker.shed[*class as usize].load(Ordering::Relaxed));
            counter(count as f64, &[("class", class.as_str().to_owned())])
        })
        .collect();
    let flags = HopFlags::NAMES.iter().enumerate().map(|(bit, name)| {
        let count = sum(&|worker| worker.flags[bit].load(Ordering::Relaxed));
        counter(count as f64, &[("flag", (*name).to_owned())])
    });
    let bad_signatures = Signed::ALL.iter().flat_map(|what| SignFault::ALL.iter().map(|fault| (*what, *fault)));
    let bad_signatures = bad_signatures.map(|(what, fault)| {
        let count = sum(&|worker| worker.bad_signatures[what as usize][fault as usize].load(Ordering::Relaxed));
        let pairs = [("what", what.as_str().to_owned()), ("why", fault.as_str().to_owned())];
        counter(count as f64, &pairs)
    });
    let connections = sum(&|worker| worker.connections.load(Ordering::Relaxed)) as f64;
    let accepted = sum(&|worker| worker.accepted.load(Ordering::Relaxed)) as f64;
    let machines = sum(&|worker| worker.machines.load(Ordering::Relaxed)) as f64;
    let unsafe_redirects = sum(&|worker| worker.unsafe_redirects.load(Ordering::Relaxed)) as f64;
    let alternates = sum(&|worker| worker.alternates.load(Ordering::Relaxed)) as f64;
    let unproxied = sum(&|worker| worker.unproxied.load(Ordering::Relaxed)) as f64;
    vec![
        counter_family(
            "hopgate_machine_clicks_total",
            "Decided clicks of bots, prefetch and HEAD; not in hopgate_clicks_total.",
            machines,
        ),
        counter_family(
            "hopgate_journal_unsafe_redirects_total",
            "Redirects that left before their hop was kept as the journal's mode promises.",
            unsafe_redirects,
        ),
        counter_family(
            "hopgate_alternate_landings_total",
            "Clicks, of people and machines, that landed on an alternate of their link.",
            alternates,
        ),
        family(
            "hopgate_flagged_clicks_total",
            "Decided clicks, of people and machines, by flag; one with several counts under each.",
            MetricType::COUNTER,
            flags.collect(),
        ),
        family(
            "hopgate_bad_signatures_total",
            "Signed clicks and tokens that were refused, by why.",
            MetricType::COUNTER,
            bad_signatures.collect(),
        ),
        counter_family(
            "hopgate_unfit_go_total",
            "Outbound clicks that were well signed and led nowhere the allow-list takes, or said something not understood.",
            sum(&|worker| worker.unfit_go.load(Ordering::Relaxed)) as f64,
        ),
        counter_family(
            "hopgate_proxy_unserved_total",
            "Clicks of agreements with `landing: proxy` that were redirected, as no upstream serves their landing.",
            unproxied,
        ),
        family("hopgate_clicks_total", "Decided clicks of people.", MetricType::COUNTER, clicks),
        family(
            "hopgate_landings_total",
            "Permitted clicks, of people and machines, by how they were sent on.",
            MetricType::COUNTER,
            landings,
        ),
        family("hopgate_click_seconds", "From request to answer.", MetricType::HISTOGRAM, vec![latency]),
        family("hopgate_shed_total", "Turned away unserved, by class.", MetricType::COUNTER, shed),
        gauge_family("hopgate_connections", "Open connections of the click listeners.", connections),
        family(
            "hopgate_connections_accepted_total",
            "Connections accepted by the click listeners.",
            MetricType::COUNTER,
            vec![counter(accepted, &[])],
        ),
    ]
}

/// One family.
pub fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

/// One counter with labels.
pub fn counter(value: f64, labels: &[(&str, String)]) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value);
    let mut metric = labelled(labels);
    metric.set_counter(counter);
    metric
}

/// One gauge with labels.
pub fn gauge(value: f64, labels: &[(&str, String)]) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = labelled(labels);
    metric.set_gauge(gauge);
    metric
}

/// A family of one gauge without labels.
pub fn gauge_family(name: &str, help: &str, value: f64) -> MetricFamily {
    family(name, help, MetricType::GAUGE, vec![gauge(value, &[])])
}

/// A family of one counter without labels.
pub fn counter_family(name: &str, help: &str, value: f64) -> MetricFamily {
    family(name, help, MetricType::COUNTER, vec![counter(value, &[])])
}

/// One histogram with labels: how many fell into each bucket, the last without a bound.
pub fn histogram(bounds: &[f64], counts: &[u64], sum: f64, labels: &[(&str, String)]) -> Metric {
    let mut histogram = Histogram::default();
    let mut total = 0;
    let mut buckets = Vec::with_capacity(bounds.len());
    for (bound, count) in bounds.iter().zip(counts) {
        total += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(total);
        buckets.push(bucket);
    }
    histogram.set_bucket(buckets);
    histogram.set_sample_count(total + counts.get(bounds.len()..).unwrap_or_default().iter().sum::<u64>());
    histogram.set_sample_sum(sum);
    let mut metric = labelled(labels);
    metric.set_histogram(histogram);
    metric
}

fn labelled(labels: &[(&str, String)]) -> Metric {
    let pairs: Vec<LabelPair> = labels
        .iter()
        .map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value(value.clone());
            pair
        })
        .collect();
    let mut metric = Metric::default();
    metric.set_label(pairs);
    metric
}

type Read = Box<dyn Fn() -> Vec<MetricFamily> + Send + Sync>;

/// Everything `/metrics` shows: families read from live state when Prometheus asks.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Mutex<Vec<Read>>>);

impl Metrics {
    /// Adds families that are read at each scrape.
    pub fn on_scrape(&self, read: impl Fn() -> Vec<MetricFamily> + Send + Sync + 'static) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(read));
    }

    /// The exposition text.
    pub fn text(&self) -> String {
        let reads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let families: Vec<MetricFamily> =
            reads.iter().flat_map(|read| read()).filter(|family| !family.get_metric().is_empty()).collect();
        let mut text = Vec::new();
        // Writing to memory fails only for a family without a metric, and those are left out.
        drop(TextEncoder::new().encode(&families, &mut text));
        String::from_utf8(text).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_summed_and_unknown_labels_bounded() {
        let labels = Labels {
            platforms: vec!["kuaishou".into()],
            marketplaces: vec!["taobao".into(), "jd".into()],
            reasons: vec![("allow", "allowed"), ("deny", "unknown_link")],
        };
        let workers: Vec<_> = (0..2).map(|_| Arc::new(WorkerCounters::new(labels.shape()))).collect();
        workers[0].click(Some(0), Some(1), 0);
        workers[1].click(Some(0), Some(1), 0);
        workers[1].click(None, None, 1);
        workers[1].click(Some(200), Some(200), 1);
        workers[0].took(Duration::from_micros(150));
        workers[0].shed(Shed::SlowHead);
        let metrics = Metrics::default();
        let shared = workers.clone();
        metrics.on_scrape(move || click_families(&shared, &labels));
        let text = metrics.text();
        for line in [
            "hopgate_clicks_total{marketplace=\"jd\",outcome=\"allow\",platform=\"kuaishou\",reason=\"allowed\"} 2",
            "hopgate_clicks_total{marketplace=\"unknown\",outcome=\"deny\",platform=\"unknown\",reason=\"unknown_link\"} 2",
            "hopgate_click_seconds_bucket{le=\"0.0002\"} 1",
            "hopgate_shed_total{class=\"slow_head\"} 1",
        ] {
            let sorted = |line: &str| {
                let mut letters: Vec<char> = line.chars().collect();
                letters.sort_unstable();
                letters
            };
            assert!(text.lines().any(|found| sorted(found) == sorted(line)), "{line}\nnot in\n{text}");
        }
    }
}
