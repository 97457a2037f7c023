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
    use super::*;

    /// Published values of the hash with seed 0. Unleash's are in tests/rollout.rs.
    #[test]
    fn the_hash_is_murmur3() {
        let hash = |text: &str| murmur3_32(text.bytes());
        assert_eq!(hash(""), 0);
        assert_eq!(hash("test"), 0xba6b_d213);
        assert_eq!(hash("hello, world"), 0x149b_bb7f);
        assert_eq!(hash("Hello, world!"), 0xc036_3e43);
        assert_eq!(hash("The quick brown fox jumps over the lazy dog"), 0x2e4f_f723);
    }
}
