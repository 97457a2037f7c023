//! Which origin is asked next. One that failed several times in a row rests, longer each time it fails again; when all
//! rest, the one whose rest ends first is asked all the same. Learns from visitors' requests only; probes nobody.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use url::Host;

use crate::config::proxy::{Origin, UpstreamSettings};

/// The longest rest.
const LONGEST_REST: Duration = Duration::from_secs(60);
/// A name leads to so many addresses at most.
const MOST_ADDRESSES: usize = 8;

/// What is known of one origin. Shared by all workers.
pub struct OriginState {
    /// Where it is, from the settings.
    pub origin: Origin,
    addresses: ArcSwap<Vec<SocketAddr>>,
    failures: AtomicU32,
    rests: AtomicU32,
    /// Milliseconds after `begun` until which it rests.
    until: AtomicU64,
}

impl OriginState {
    fn new(origin: Origin) -> Self {
        let literal = match &origin.host {
            Host::Ipv4(address) => Some(IpAddr::V4(*address)),
            Host::Ipv6(address) => Some(IpAddr::V6(*address)),
            Host::Domain(_) => None,
        };
        let addresses = literal.map(|address| SocketAddr::new(address, origin.port)).into_iter().collect();
        OriginState {
            origin,
            addresses: ArcSwap::from_pointee(addresses),
            failures: AtomicU32::new(0),
            rests: AtomicU32::new(0),
            until: AtomicU64::new(0),
        }
    }

    /// Its addresses as last resolved.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses.load().to_vec()
    }

    /// The name that has to be resolved, if it is one.
    pub fn name(&self) -> Option<(&str, u16)> {
        match &self.origin.host {
            Host::Domain(name) => Some((name, self.origin.port)),
            Host::Ipv4(_) | Host::Ipv6(_) => None,
        }
    }

    /// Takes what its name leads to now. Nothing is taken for a hiccup: the last addresses stay.
    pub fn resolved(&self, mut addresses: Vec<SocketAddr>) {
        addresses.truncate(MOST_ADDRESSES);
        if !addresses.is_empty() && **self.addresses.load() != addresses {
            self.addresses.store(addresses.into());
        }
    }
}

/// The origins of one upstream.
pub struct Health {
    /// The upstream's name, for the log.
    upstream: String,
    origins: Vec<OriginState>,
    next: AtomicUsize,
    begun: Instant,
    max_failures: u32,
    rest: Duration,
}

impl Health {
    /// All well.
    pub fn new(settings: &UpstreamSettings) -> Self {
        Health {
            upstream: settings.name.clone(),
            origins: settings.origins.iter().cloned().map(OriginState::new).collect(),
            next: AtomicUsize::new(0),
            begun: Instant::now(),
            max_failures: settings.max_failures,
            rest: settings.rest,
        }
    }

    /// Every origin.
    pub fn origins(&self) -> &[OriginState] {
        &self.origins
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether an origin is asked in its turn.
    pub fn is_up(&self, number: usize) -> bool {
        self.origins.get(number).is_some_and(|state| {
            state.until.load(Ordering::Relaxed) <= self.now() && !state.addresses.load().is_empty()
        })
    }

    /// The origin to ask: the next in turn that is up and was not tried; else the one that rests least of those not
    /// tried; else of all.
    pub fn pick(&self, tried: &[usize]) -> usize {
        let count = self.origins.len().max(1);
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let turn = || (0..count).map(|step| (start + step) % count);
        if let Some(number) = turn().find(|number| !tried.contains(number) && self.is_up(*number)) {
            return number;
        }
        let rest = |number: &usize| self.origins.get(*number).map(|state| state.until.load(Ordering::Relaxed));
        let untried = turn().filter(|number| !tried.contains(number)).min_by_key(rest);
        untried.or_else(|| turn().min_by_key(rest)).unwrap_or(0)
    }

    /// It answered.
    pub fn answered(&self, number: usize) {
        if let Some(state) = self.origins.get(number)
            && state.failures.load(Ordering::Relaxed) > 0
        {
            state.failures.store(0, Ordering::Relaxed);
            state.rests.store(0, Ordering::Relaxed);
            if state.until.swap(0, Ordering::Relaxed) > 0 {
                tracing::info!(origin = state.origin.shown, "the origin answers again");
            }
        }
    }

    /// It did not, for this reason.
    pub fn failed(&self, number: usize, reason: &dyn std::fmt::Display) {
        let Some(state) = self.origins.get(number) else { return };
        let failures = state.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if failures < self.max_failures || state.until.load(Ordering::Relaxed) > self.now() {
            return;
        }
        let rests = state.rests.fetch_add(1, Ordering::Relaxed).min(16);
        let rest = self.rest.saturating_mul(1 << rests).min(LONGEST_REST.max(self.rest));
        let until = self.now() + u64::try_from(rest.as_millis()).unwrap_or(u64::MAX / 2);
        state.until.store(until, Ordering::Relaxed);
        let (upstream, origin) = (&self.upstream, &state.origin.shown);
        tracing::warn!(upstream, origin, %reason, failures, ?rest, "the origin fails: it rests");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(origins: usize, rest: Duration) -> Health {
        let origin = |number: usize| Origin {
            shown: format!("http://127.0.0.1:{number}"),
            tls: false,
            host: Host::Ipv4([127, 0, 0, 1].into()),
            port: number as u16,
        };
        Health {
            upstream: "jd".into(),
            origins: (0..origins).map(origin).map(OriginState::new).collect(),
            next: AtomicUsize::new(0),
            begun: Instant::now(),
            max_failures: 2,
            rest,
        }
    }

    #[test]
    fn origins_take_turns_and_those_that_fail_rest() {
        let health = health(3, Duration::from_secs(600));
        let picks: Vec<usize> = (0..6).map(|_| health.pick(&[])).collect();
        assert_eq!(picks, [0, 1, 2, 0, 1, 2]);
        assert_eq!([health.pick(&[0]), health.pick(&[0, 1])], [1, 2], "another than those tried");
        health.failed(1, &"refused");
        assert!(health.is_up(1), "once is not often");
        health.failed(1, &"refused");
        assert!(!health.is_up(1));
        assert!((0..9).all(|_| health.pick(&[]) != 1));
        health.answered(1);
        assert!(health.is_up(1));
        for number in [2, 2, 0, 0, 1, 1] {
            health.failed(number, &"refused");
            std::thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(health.pick(&[]), 2, "all rest: the one whose rest ends first");
        assert_eq!(health.pick(&[2]), 0);
        assert_eq!(health.pick(&[0, 1, 2]), 2);
    }

    #[test]
    fn rests_grow_and_end() {
        let health = health(1, Duration::from_millis(20));
        let rest = |health: &Health| health.origins[0].until.load(Ordering::Relaxed).saturating_sub(health.now());
        health.failed(0, &"refused");
        health.failed(0, &"refused");
        assert!((1..=20).contains(&rest(&health)), "{}", rest(&health));
        while !health.is_up(0) {
            std::thread::yield_now();
        }
        health.failed(0, &"refused");
        assert!((21..=40).contains(&rest(&health)), "{}", rest(&health));
        health.answered(0);
        assert!(health.is_up(0));
    }

    #[test]
    fn a_name_without_addresses_is_down_and_a_hiccup_changes_nothing() {
        let mut settings = health(1, Duration::from_secs(1));
        settings.origins[0] = OriginState::new(Origin {
            shown: "https://a.example".into(),
            tls: true,
            host: Host::Domain("a.example".into()),
            port: 443,
        });
        assert!(!settings.is_up(0));
        settings.origins[0].resolved(vec!["10.0.0.1:443".parse().unwrap()]);
        assert!(settings.is_up(0));
        settings.origins[0].resolved(Vec::new());
        assert_eq!(settings.origins[0].addresses().len(), 1);
    }
}
