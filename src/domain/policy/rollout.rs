//! Who is in a staged opening: 10,000 buckets by murmur3 of `salt:id`, as Unleash buckets its gradual rollouts, so every
//! node agrees and widening never removes anyone. Never draws at random.

use super::agreement::Rollout;
use crate::domain::time::Timestamp;

/// Buckets of a rollout.
pub const BUCKETS: u32 = 10_000;

/// The bucket of `id` under `salt`: 0 to 9,999.
pub fn bucket(salt: &str, id: &str) -> u16 {
    (murmur3_32(salt.bytes().chain([b':']).chain(id.bytes())) % BUCKETS) as u16
}

impl Rollout {
    /// The share that is in at `at`, in basis points; 0 before the first step.
    pub fn basis_points(&self, at: Timestamp) -> u16 {
        self.steps.iter().take_while(|step| step.at <= at).last().map_or(0, |step| step.basis_points)
    }
}

/// MurmurHash3 x86 32-bit, seed 0 (Austin Appleby, public domain). A hash for spreading, not for secrets.
fn murmur3_32(bytes: impl Iterator<Item = u8>) -> u32 {
    const C1: u32 = 0xcc9e_2d51;
    const C2: u32 = 0x1b87_3593;
    let mix = |k: u32| k.wrapping_mul(C1).rotate_left(15).wrapping_mul(C2);
    let (mut hash, mut block, mut length) = (0u32, 0u32, 0u32);
    for byte in bytes {
        block |= u32::from(byte) << (8 * (length % 4));
        length += 1;
        if length % 4 == 0 {
            hash = (hash ^ mix(block)).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
            block = 0;
        }
    }
    if length % 4 != 0 {
        hash ^= mix(block);
    }
    hash ^= length;
    hash ^= hash >> 16;
    hash = hash.wrapping_mul(0x85eb_ca6b);
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::policy::{Step, StickTo};

    /// Published vectors: Unleash's client specification normalises `murmur3("gr1:123") % 100 + 1` to 73 and
    /// `murmur3("groupX:999") % 100 + 1` to 25.
    #[test]
    fn unleash_vectors_hold() {
        let normalised = |group: &str, id: &str| murmur3_32(format!("{group}:{id}").bytes()) % 100 + 1;
        assert_eq!(normalised("gr1", "123"), 73);
        assert_eq!(normalised("groupX", "999"), 25);
        assert_eq!(murmur3_32(b"".iter().copied()), 0);
        assert_eq!(murmur3_32(b"hello, world".iter().copied()), 0x149b_bb7f);
    }

    #[test]
    fn two_salts_are_uncorrelated() {
        let both = (0..20_000)
            .filter(|n| {
                let id = format!("creator-{n}");
                bucket("summer", &id) < 5_000 && bucket("autumn", &id) < 5_000
            })
            .count();
        assert!((4_700..5_300).contains(&both), "{both} of 20,000 in both halves; a quarter is 5,000");
    }

    proptest! {
        #[test]
        fn widening_never_removes_anyone(shares in proptest::collection::vec(0u16..=10_000, 1..6), id in "[a-z0-9]{1,12}") {
            let mut shares = shares;
            shares.sort_unstable();
            let steps = shares.iter().enumerate()
                .map(|(hour, share)| Step { at: Timestamp::from_millis(hour as i64 * 3_600_000), basis_points: *share })
                .collect();
            let rollout = Rollout { by: StickTo::Creator, salt: "s".into(), steps };
            let mut was_in = false;
            for hour in 0..shares.len() as i64 {
                let is_in = bucket("s", &id) < rollout.basis_points(Timestamp::from_millis(hour * 3_600_000));
                prop_assert!(is_in || !was_in);
                was_in = is_in;
            }
        }
    }
}
