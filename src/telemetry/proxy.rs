//! Figures of proxied landings, one set an upstream, shared by all workers: what is counted here has crossed the network,
//! so a locked instruction more is nothing. Never touched by any other click.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use prometheus::proto::{Metric, MetricFamily, MetricType};

use super::metrics::{counter, family, gauge, histogram};

/// Upper bounds in seconds of the time until an upstream's answer begins.
const BOUNDS: [f64; 12] = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

/// How one request to an upstream ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProxyResult {
    /// Its answer was passed on whole.
    Passed,
    /// No origin could be connected to.
    Connect,
    /// No answer in time.
    Timeout,
    /// The connection ended before an answer.
    NoAnswer,
    /// An answer that may not be passed on: a redirect out of bounds, too large, not HTTP.
    BadAnswer,
    /// A server error, shown to the visitor as a page of ours.
    ServerError,
    /// The answer broke off, stalled or outgrew its bound on the way.
    Broken,
    /// The visitor left first.
    VisitorLeft,
    /// A path outside the allow-list, or a method.
    NotAllowed,
    /// The request's body was too large, too slow or broken.
    BadUpload,
    /// A WebSocket was asked for.
    WebSocket,
    /// Too many requests under way.
    Busy,
}

impl ProxyResult {
    /// Every result, by number.
    pub const ALL: [ProxyResult; 12] = [
        ProxyResult::Passed,
        ProxyResult::Connect,
        ProxyResult::Timeout,
        ProxyResult::NoAnswer,
        ProxyResult::BadAnswer,
        ProxyResult::ServerError,
        ProxyResult::Broken,
        ProxyResult::VisitorLeft,
        ProxyResult::NotAllowed,
        ProxyResult::BadUpload,
        ProxyResult::WebSocket,
        ProxyResult::Busy,
    ];

    /// The value of the `result` label.
    pub const fn as_str(self) -> &'static str {
        match self {
            ProxyResult::Passed => "passed",
            ProxyResult::Connect => "connect",
            ProxyResult::Timeout => "timeout",
            ProxyResult::NoAnswer => "no_answer",
            ProxyResult::BadAnswer => "bad_answer",
            ProxyResult::ServerError => "server_error",
            ProxyResult::Broken => "broken",
            ProxyResult::VisitorLeft => "visitor_left",
            ProxyResult::NotAllowed => "not_allowed",
            ProxyResult::BadUpload => "bad_upload",
            ProxyResult::WebSocket => "websocket",
            ProxyResult::Busy => "busy",
        }
    }
}

/// One upstream's figures.
#[derive(Default, Debug)]
pub struct ProxyFigures {
    results: [AtomicU64; ProxyResult::ALL.len()],
    retries: AtomicU64,
    bytes: AtomicU64,
    open: AtomicI64,
    under_way: AtomicI64,
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanos: AtomicU64,
}

impl ProxyFigures {
    /// Counts one request's end.
    pub fn ended(&self, result: ProxyResult) {
        self.results[result as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one more attempt of a request.
    pub fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts bytes of answers passed on.
    pub fn passed(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Connections opened or closed.
    pub fn opened(&self, by: i64) {
        self.open.fetch_add(by, Ordering::Relaxed);
    }

    /// Requests begun or ended.
    pub fn begun(&self, by: i64) {
        self.under_way.fetch_add(by, Ordering::Relaxed);
    }

    /// Notes how long the head of an answer took.
    pub fn took(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// What `/metrics` shows of one upstream.
pub struct ProxyShown<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its figures.
    pub figures: &'a ProxyFigures,
    /// Its origins, and whether each is up.
    pub origins: Vec<(&'a str, bool)>,
}

/// The label that names an upstream.
type Named = [(&'static str, String); 1];

/// The metric families of proxied landings.
pub fn proxy_families(upstreams: &[ProxyShown<'_>]) -> Vec<MetricFamily> {
    let each = |read: &dyn Fn(&ProxyFigures, Named) -> Metric| {
        upstreams.iter().map(|shown| read(shown.figures, [("upstream", shown.name.to_owned())])).collect::<Vec<_>>()
    };
    let (mut requests, mut up) = (Vec::new(), Vec::new());
    for shown in upstreams {
        for result in ProxyResult::ALL {
            let count = shown.figures.results[result as usize].load(Ordering::Relaxed);
            let labels = [("upstream", shown.name.to_owned()), ("result", result.as_str().to_owned())];
            requests.push(counter(count as f64, &labels));
        }
        for (origin, is_up) in &shown.origins {
            let labels = [("upstream", shown.name.to_owned()), ("origin", (*origin).to_owned())];
            up.push(gauge(f64::from(*is_up), &labels));
        }
    }
    let read = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
    vec![
        family(
            "hopgate_proxy_requests_total",
            "Requests of visitors to upstreams, by how they ended.",
            MetricType::COUNTER,
            requests,
        ),
        family(
            "hopgate_proxy_retries_total",
            "Further attempts of them.",
            MetricType::COUNTER,
            each(&|figures, labels| counter(read(&figures.retries) as f64, &labels)),
        ),
        family(
            "hopgate_proxy_bytes_total",
            "Bytes of answers' bodies passed on.",
            MetricType::COUNTER,
            each(&|figures, labels| counter(read(&figures.bytes) as f64, &labels)),
        ),
        family(
            "hopgate_proxy_seconds",
            "From a request to the head of its upstream's answer.",
            MetricType::HISTOGRAM,
            each(&|figures, labels| {
                let counts: Vec<u64> = figures.buckets.iter().map(read).collect();
                histogram(&BOUNDS, &counts, read(&figures.nanos) as f64 / 1e9, &labels)
            }),
        ),
        family(
            "hopgate_proxy_connections",
            "Open connections to upstreams.",
            MetricType::GAUGE,
            each(&|figures, labels| gauge(figures.open.load(Ordering::Relaxed) as f64, &labels)),
        ),
        family(
            "hopgate_proxy_requests_under_way",
            "Requests to upstreams whose answer has not ended.",
            MetricType::GAUGE,
            each(&|figures, labels| gauge(figures.under_way.load(Ordering::Relaxed) as f64, &labels)),
        ),
        family(
            "hopgate_proxy_origin_up",
            "1 while an origin is asked; 0 while it rests, or its name leads nowhere.",
            MetricType::GAUGE,
            up,
        ),
    ]
}
