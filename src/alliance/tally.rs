//! What was pulled, for metrics.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::store::Stream;
use crate::domain::attribution::Network;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::closed_list;

closed_list! {
    /// How a request to a network ended.
    Outcome {
        /// With a page whose rows are kept.
        Ok = "ok",
        /// Too many calls.
        Limited = "limited",
        /// No answer in time.
        TimedOut = "timed_out",
        /// The network's own trouble, 5xx among it.
        Busy = "busy",
        /// Not connected to, or the connection broke off.
        Unreachable = "unreachable",
        /// An answer that is not readable.
        Unreadable = "unreadable",
        /// The stretch asked for was too long.
        WindowTooLong = "window_too_long",
        /// The clock, the signature or the right to ask was not believed, or the request was not liked.
        Refused = "refused",
        /// The rows could not be kept.
        NotKept = "not_kept",
        /// A stretch that is too old to be asked for: it is lost to the pull; import it from a file.
        TooOld = "too_old",
    }
}

/// What pulling has done, for metrics.
#[derive(Debug, Default)]
pub struct Tally {
    requests: Mutex<BTreeMap<(Network, Outcome), u64>>,
    read: Mutex<BTreeMap<Stream, Timestamp>>,
}

impl Tally {
    /// Begins every count of a network at zero: an increase from nothing is none to Prometheus.
    pub fn begin(&self, network: Network) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        for outcome in Outcome::ALL {
            requests.entry((network, *outcome)).or_default();
        }
    }

    /// Counts a request.
    pub fn count(&self, network: Network, outcome: Outcome) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((network, outcome)).or_default() += 1;
    }

    /// Notes up to where a stream of changes was read.
    pub fn note(&self, stream: &Stream, until: Timestamp) {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let known = read.entry(stream.clone()).or_insert(until);
        *known = until.max(*known);
    }

    /// Requests by network and how they ended.
    pub fn requests(&self) -> Vec<((Network, Outcome), u64)> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.iter().map(|(key, count)| (*key, *count)).collect()
    }

    /// Up to where the changes of each account were read, its slowest stream.
    pub fn read_until(&self) -> Vec<((Network, Box<str>), Timestamp)> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let mut slowest: BTreeMap<(Network, Box<str>), Timestamp> = BTreeMap::new();
        for (stream, until) in read.iter() {
            let known = slowest.entry((stream.network, stream.account.clone())).or_insert(*until);
            *known = (*until).min(*known);
        }
        slowest.into_iter().collect()
    }
}
