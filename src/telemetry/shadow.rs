//! Counters of a candidate policy evaluated beside the live one: plain cells, one set a worker, summed when asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::proto::{MetricFamily, MetricType};

use super::metrics::{Labels, Shape, WorkerCounters, bump, counter, family};

/// The two outcomes as label values, by number.
const OUTCOMES: [&str; 2] = ["allow", "deny"];

/// One worker's counters of the shadow. Written by that worker alone.
#[derive(Debug)]
pub struct ShadowCounters {
    /// Live outcome × candidate's outcome.
    clicks: [AtomicU64; 4],
    /// `platform × marketplace × live outcome × the candidate's reason`.
    differences: Box<[AtomicU64]>,
    shape: Shape,
}

impl ShadowCounters {
    /// All zero.
    pub fn new(shape: Shape) -> Self {
        let cells = (shape.platforms + 1) * (shape.marketplaces + 1) * 2 * shape.reasons;
        ShadowCounters {
            clicks: Default::default(),
            differences: (0..cells).map(|_| AtomicU64::new(0)).collect(),
            shape,
        }
    }

    /// Counts one click that both were asked about.
    pub fn click(&self, live_allows: bool, candidate_allows: bool) {
        bump(&self.clicks[usize::from(!live_allows) * 2 + usize::from(!candidate_allows)], 1);
    }

    /// Counts one that they answer differently.
    pub fn difference(&self, platform: Option<u8>, marketplace: u8, live_allows: bool, reason: usize) {
        let platform = platform.map_or(self.shape.platforms, usize::from);
        if let Some(cell) = self.differences.get(self.cell(platform, usize::from(marketplace), live_allows, reason)) {
            bump(cell, 1);
        }
    }

    fn cell(&self, platform: usize, marketplace: usize, live_allows: bool, reason: usize) -> usize {
        let Shape { platforms, marketplaces, reasons } = self.shape;
        let row = platform.min(platforms) * (marketplaces + 1) + marketplace.min(marketplaces);
        (row * 2 + usize::from(!live_allows)) * reasons + reason
    }
}

/// The metric families of the shadow; without a metric as long as none was ever set.
pub fn shadow_families(workers: &[Arc<WorkerCounters>], labels: &Labels) -> Vec<MetricFamily> {
    let sum = |read: &dyn Fn(&ShadowCounters) -> Option<&AtomicU64>| {
        workers.iter().filter_map(|worker| read(&worker.shadow)).map(|cell| cell.load(Ordering::Relaxed)).sum::<u64>()
    };
    let mut clicks = Vec::new();
    for (place, (live, candidate)) in [(0, 0), (0, 1), (1, 0), (1, 1)].into_iter().enumerate() {
        let count = sum(&|shadow| shadow.clicks.get(place));
        if count > 0 {
            let pairs = [("live", OUTCOMES[live].to_owned()), ("candidate", OUTCOMES[candidate].to_owned())];
            clicks.push(counter(count as f64, &pairs));
        }
    }
    let name = |names: &[String], row: usize| names.get(row).map_or("unknown", |name| name).to_owned();
    let mut differences = Vec::new();
    for platform in 0..=labels.platforms.len() {
        for marketplace in 0..=labels.marketplaces.len() {
            for (live_allows, live) in [(true, OUTCOMES[0]), (false, OUTCOMES[1])] {
                for (reason, (candidate, text)) in labels.reasons.iter().enumerate() {
                    let cell = |shadow: &ShadowCounters| shadow.cell(platform, marketplace, live_allows, reason);
                    let count = sum(&|shadow| shadow.differences.get(cell(shadow)));
                    if count > 0 {
                        let pairs = [
                            ("platform", name(&labels.platforms, platform)),
                            ("marketplace", name(&labels.marketplaces, marketplace)),
                            ("live", live.to_owned()),
                            ("candidate", (*candidate).to_owned()),
                            ("reason", (*text).to_owned()),
                        ];
                        differences.push(counter(count as f64, &pairs));
                    }
                }
            }
        }
    }
    vec![
        family(
            "hopgate_shadow_clicks_total",
            "Clicks of people decided under the candidate too, beside the live policy.",
            MetricType::COUNTER,
            clicks,
        ),
        family(
            "hopgate_shadow_differences_total",
            "Those that the candidate answers otherwise, by its reason; allow and allow: at another landing.",
            MetricType::COUNTER,
            differences,
        ),
    ]
}
