//! Which tokens were used, and by whom: a token that one visitor used is refused to every other until it ends. In memory,
//! bounded, one for all workers of a process; another process does not know of it.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use foldhash::quality::RandomState;

use crate::domain::time::Timestamp;

/// Tokens remembered, at least, before the oldest are forgotten early: half of what is kept at most.
pub const REMEMBERED: usize = SHARDS * EACH;
const SHARDS: usize = 32;
const EACH: usize = 8_192;

/// The memory.
pub struct Replay {
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
    forgotten: AtomicU64,
}

/// Two generations: when the young one is full it becomes the old one, and what was old is forgotten.
#[derive(Default)]
struct Shard {
    young: HashMap<u64, Used, RandomState>,
    old: HashMap<u64, Used, RandomState>,
}

#[derive(Clone, Copy)]
struct Used {
    visitor: u128,
    until: Timestamp,
}

impl Default for Replay {
    fn default() -> Self {
        Replay { hasher: RandomState::default(), shards: Default::default(), forgotten: AtomicU64::new(0) }
    }
}

impl Replay {
    /// Whether this visitor may use the token of this key and nonce, which ends at `until`: nobody did, or they did before.
    pub fn admits(&self, key: &str, nonce: &str, visitor: u128, now: Timestamp, until: Timestamp) -> bool {
        let mark = self.hasher.hash_one((key, nonce));
        let Some(shard) = self.shards.get(mark as usize % SHARDS) else { return false };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let shard = &mut *shard;
        if let Some(used) = shard.young.get(&mark).or_else(|| shard.old.get(&mark))
            && used.until > now
        {
            return used.visitor == visitor;
        }
        if shard.young.len() >= EACH {
            let early = shard.old.values().filter(|used| used.until > now).count();
            self.forgotten.fetch_add(early as u64, Ordering::Relaxed);
            std::mem::swap(&mut shard.young, &mut shard.old);
            shard.young.clear();
        }
        shard.young.insert(mark, Used { visitor, until });
        true
    }

    /// Tokens forgotten before their end, because there were too many: each could be used by one more visitor.
    pub fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_visitors_until_it_ends() {
        let memory = Replay::default();
        let at = |second: i64| Timestamp::from_millis(second * 1_000);
        assert!(memory.admits("k", "nonce-01", 7, at(0), at(60)));
        assert!(memory.admits("k", "nonce-01", 7, at(1), at(60)), "a second tap of the same visitor");
        assert!(!memory.admits("k", "nonce-01", 8, at(2), at(60)), "another visitor");
        assert!(memory.admits("other", "nonce-01", 8, at(2), at(60)), "another key");
        assert!(memory.admits("k", "nonce-01", 8, at(60), at(120)), "its time is over");
    }

    #[test]
    fn the_memory_is_bounded_and_says_what_it_forgot() {
        let memory = Replay::default();
        let (now, until) = (Timestamp::from_millis(0), Timestamp::from_millis(60_000));
        for number in 0..4 * REMEMBERED {
            assert!(memory.admits("k", &number.to_string(), 1, now, until));
        }
        assert!(memory.forgotten() > 0);
        let kept: usize = memory
            .shards
            .iter()
            .map(|shard| {
                let shard = shard.lock().unwrap();
                shard.young.len() + shard.old.len()
            })
            .sum();
        assert!(kept <= 2 * REMEMBERED, "{kept}");
        assert!(!memory.admits("k", &(4 * REMEMBERED - 1).to_string(), 2, now, until), "the last is known");
    }
}
