//! The resolver of a gateway, where its settings want one, and what it shows of itself.

use std::sync::Arc;

use prometheus::proto::{MetricFamily, MetricType};

use crate::config::settings::Settings;
use crate::config::tree::Fault;
use crate::resolve::Resolver;
use crate::resolve::tally::{BOUNDS, Outcome, Tally};
use crate::telemetry::metrics::{counter, family, histogram};

/// The resolver these settings want; none where it is off. `usually` says what is done where they do not say.
///
/// # Errors
/// What is wrong with its certificates.
pub fn resolver(settings: &Settings, usually: bool) -> Result<Option<Resolver>, Fault> {
    if !settings.resolve.enabled.unwrap_or(usually) {
        return Ok(None);
    }
    Resolver::new(settings.resolve.clone(), Arc::new(settings.words.clone())).map(Some).map_err(|error| Fault {
        file: "resolve".to_owned(),
        line: 1,
        field: "ca".to_owned(),
        problem: error.to_string(),
    })
}

/// What became of short links.
pub(super) fn families(tally: &Tally) -> Vec<MetricFamily> {
    let results = Outcome::ALL
        .iter()
        .map(|outcome| counter(tally.counted(*outcome) as f64, &[("result", outcome.as_str().to_owned())]));
    let (counts, seconds) = tally.times();
    vec![
        family(
            "hopgate_resolve_total",
            "Short links that were asked what they lead to when a link was made, by what became of it.",
            MetricType::COUNTER,
            results.collect(),
        ),
        family(
            "hopgate_resolve_seconds",
            "How long that took; answers that were remembered are left out.",
            MetricType::HISTOGRAM,
            vec![histogram(&BOUNDS, &counts, seconds, &[])],
        ),
    ]
}
