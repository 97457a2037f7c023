//! The policy in force: an immutable compiled version, swapped whole, never replaced by a bad one.
//!
//! Every click reads it through [`Reader`], without a lock. Never decides (that is [`crate::domain::policy`]) and never
//! lets half a change through: a set with any fault changes nothing.
//!
//! - [`yaml`], [`folder`]: what people write; [`canonical`]: its one form, whose hash is its version; [`emit`]: back again;
//! - [`store`], [`sqlite`]: every version, and the pointer; [`versions`]: kept ones, compiled once each; [`diff`]: what
//!   differs between two;
//! - [`publish`]: from what is written to what is in force, kills included.

pub mod canonical;
#[cfg(test)]
mod conformance;
pub mod diff;
pub mod emit;
pub mod folder;
pub mod lints;
pub mod publish;
pub mod shipped;
pub mod sqlite;
pub mod store;
pub mod versions;
pub mod yaml;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use arc_swap::{ArcSwap, Cache};

use crate::config::tree::Fault;
use crate::domain::policy::PolicySet;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::closed_list;

closed_list! {
    /// What became of a publish.
    PublishResult {
        /// Another version is in force.
        Switched = "switched",
        /// It was in force already.
        Unchanged = "unchanged",
        /// Something else was in force than thought.
        Stale = "stale",
        /// It was found wanting.
        Refused = "refused",
        /// The store failed.
        Failed = "failed",
        /// Another process switched, and this one followed.
        Noticed = "noticed",
    }
}

/// The handle on the policy in force. Cheap to share.
#[derive(Debug)]
pub struct Policies {
    current: ArcSwap<PolicySet>,
    epoch: AtomicU64,
    loaded_at: AtomicI64,
    failures: AtomicU64,
    unkept: AtomicU64,
    publishes: [AtomicU64; PublishResult::ALL.len()],
}

/// What a reload did.
#[derive(Debug, PartialEq, Eq)]
pub enum Reload {
    /// Another version is in force now.
    Switched,
    /// The same version as before.
    Unchanged,
    /// The new set has faults; the last good one stays in force.
    Kept(Vec<Fault>),
}

impl Policies {
    /// A handle that starts with `policy`, loaded at `now`.
    pub fn new(policy: PolicySet, now: Timestamp) -> Self {
        Policies {
            current: ArcSwap::from_pointee(policy),
            epoch: AtomicU64::new(1),
            loaded_at: AtomicI64::new(now.micros()),
            failures: AtomicU64::new(0),
            unkept: AtomicU64::new(0),
            publishes: Default::default(),
        }
    }

    /// The policy in force.
    pub fn current(&self) -> Arc<PolicySet> {
        self.current.load_full()
    }

    /// A reader for one worker: the cheapest look at the policy in force.
    pub fn reader(self: &Arc<Self>) -> Reader {
        Reader(Cache::new(PolicySource(Arc::clone(self))))
    }

    /// Puts another version in force, at once for every click that begins from here on.
    pub fn publish(&self, policy: PolicySet, now: Timestamp) -> Reload {
        self.loaded_at.store(now.micros(), Ordering::Relaxed);
        if self.current.load().version() == policy.version() {
            return Reload::Unchanged;
        }
        self.current.store(Arc::new(policy));
        self.epoch.fetch_add(1, Ordering::Relaxed);
        Reload::Switched
    }

    /// Notes that a new set had faults and the last good one was kept.
    pub fn keep(&self, faults: Vec<Fault>) -> Reload {
        self.failures.fetch_add(1, Ordering::Relaxed);
        Reload::Kept(faults)
    }

    /// Notes that a version came into force which its store could not keep: its hops name a version nobody can show.
    pub fn note_unkept(&self) {
        self.unkept.fetch_add(1, Ordering::Relaxed);
    }

    /// How many versions the store could not keep.
    pub fn unkept(&self) -> u64 {
        self.unkept.load(Ordering::Relaxed)
    }

    /// Counts a publish.
    pub fn count(&self, result: PublishResult) {
        self.publishes[result as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many publishes ended so.
    pub fn publishes(&self, result: PublishResult) -> u64 {
        self.publishes[result as usize].load(Ordering::Relaxed)
    }

    /// How many versions this process has put in force.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// When the set was last read and found good.
    pub fn loaded_at(&self) -> Timestamp {
        Timestamp::from_micros(self.loaded_at.load(Ordering::Relaxed))
    }

    /// How many reloads failed and kept the last good set.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
struct PolicySource(Arc<Policies>);

impl std::ops::Deref for PolicySource {
    type Target = ArcSwap<PolicySet>;
    fn deref(&self) -> &Self::Target {
        &self.0.current
    }
}

/// One worker's look at the policy in force: a pointer compare when nothing changed.
pub struct Reader(Cache<PolicySource, Arc<PolicySet>>);

impl Reader {
    /// The policy in force now; one click uses one of these throughout.
    pub fn load(&mut self) -> &Arc<PolicySet> {
        self.0.load()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::policy::Version;

    #[test]
    fn a_reader_sees_a_switch_at_once_and_a_failure_keeps_the_last_good_one() {
        let policies = Arc::new(Policies::new(PolicySet::empty(), Timestamp::from_millis(0)));
        let mut reader = policies.reader();
        assert_eq!(reader.load().version(), Version([0; 32]));
        let next = || PolicySet::compile(Version([1; 32]), Vec::new(), &[]);
        assert_eq!(policies.publish(next(), Timestamp::from_millis(5)), Reload::Switched);
        assert_eq!(reader.load().version(), Version([1; 32]));
        assert_eq!(policies.publish(next(), Timestamp::from_millis(9)), Reload::Unchanged);
        assert_eq!((policies.epoch(), policies.loaded_at()), (2, Timestamp::from_millis(9)));
        policies.keep(Vec::new());
        assert_eq!((reader.load().version(), policies.failures()), (Version([1; 32]), 1));
    }
}
