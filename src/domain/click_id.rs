//! Click ids: a UUIDv7 (RFC 9562) plus a short keyed MAC, 32 characters of `[A-Za-z0-9_-]`.
//!
//! The id travels through third-party order reports as a sub-id (JD `ext1` carries up to 40 characters), so it must be
//! unforgeable and sort by time. Never reads a clock: the instant comes in.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use siphasher::sip::SipHasher24;

use super::time::Timestamp;

/// The 16 bytes of a click's UUIDv7.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClickId(pub [u8; 16]);

/// The node's secret for click ids. 128 bits.
#[derive(Clone)]
pub struct ClickKey(SipHasher24);

/// Why a text is not a click id of ours.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadClickId {
    /// Not 32 characters of `[A-Za-z0-9_-]`.
    #[error("a click id has 32 characters of A-Z a-z 0-9 _ -")]
    Shape,
    /// The MAC does not fit: not issued by this gateway, or altered.
    #[error("this click id was not issued here, or was altered")]
    Mac,
}

impl ClickKey {
    /// A key from secret bytes.
    pub fn new(secret: &[u8; 16]) -> Self {
        ClickKey(SipHasher24::new_with_key(secret))
    }

    fn mac(&self, id: ClickId) -> [u8; 8] {
        // SipHash-2-4 is a keyed PRF with a 64-bit tag: 2⁻⁶⁴ a forgery, and some 15 ns a click.
        self.0.hash(&id.0).to_le_bytes()
    }

    /// The external form: 32 characters.
    pub fn text(&self, id: ClickId) -> [u8; ClickId::TEXT_LEN] {
        let mut raw = [0; 24];
        raw[..16].copy_from_slice(&id.0);
        raw[16..].copy_from_slice(&self.mac(id));
        let mut text = [b'0'; ClickId::TEXT_LEN];
        let written = URL_SAFE_NO_PAD.encode_slice(raw, &mut text);
        debug_assert_eq!(written.ok(), Some(ClickId::TEXT_LEN), "24 bytes are 32 characters");
        text
    }

    /// Reads an external form and checks its MAC.
    ///
    /// # Errors
    /// [`BadClickId`].
    pub fn parse(&self, text: &str) -> Result<ClickId, BadClickId> {
        if text.len() != ClickId::TEXT_LEN {
            return Err(BadClickId::Shape);
        }
        let mut raw = [0; 24];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut raw) {
            Ok(24) => {}
            _ => return Err(BadClickId::Shape),
        }
        let mut id = [0; 16];
        id.copy_from_slice(&raw[..16]);
        let id = ClickId(id);
        // Constant time: every byte is compared whatever came before.
        let difference = self.mac(id).iter().zip(&raw[16..]).fold(0, |all, (a, b)| all | (a ^ b));
        if difference == 0 { Ok(id) } else { Err(BadClickId::Mac) }
    }
}

impl ClickId {
    /// Characters of the external form.
    pub const TEXT_LEN: usize = 32;

    /// The instant the id was minted, to the millisecond.
    pub fn minted_at(self) -> Timestamp {
        let mut millis = [0; 8];
        millis[2..].copy_from_slice(&self.0[..6]);
        Timestamp::from_millis(i64::from_be_bytes(millis))
    }
}

impl fmt::Display for ClickId {
    /// The UUID form, for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, byte) in self.0.iter().enumerate() {
            if matches!(place, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// Mints click ids for one worker: strictly increasing, unique across workers by their random start (RFC 9562 §6.2,
/// method 2: a 74-bit random value, counted up within a millisecond and drawn anew for each).
pub struct ClickMint {
    millis: i64,
    tail: u128,
    random: u64,
}

/// The 74 bits under the timestamp, without version and variant.
const TAIL_BITS: u32 = 74;

impl ClickMint {
    /// A mint from 24 random bytes of the operating system; every worker needs bytes of its own.
    pub fn new(seed: [u8; 24]) -> Self {
        let mut tail = [0; 16];
        tail.copy_from_slice(&seed[..16]);
        let mut random = [0; 8];
        random.copy_from_slice(&seed[16..]);
        ClickMint { millis: 0, tail: u128::from_le_bytes(tail), random: u64::from_le_bytes(random) | 1 }
    }

    /// The next id at `now`. A clock that runs backwards keeps the last millisecond.
    pub fn mint(&mut self, now: Timestamp) -> ClickId {
        let mask = (1u128 << TAIL_BITS) - 1;
        if now.millis() > self.millis {
            self.millis = now.millis();
            // xorshift64*: spreads ids, keeps no secret (the MAC does); the top bit stays clear as room to count.
            self.random ^= self.random >> 12;
            self.random ^= self.random << 25;
            self.random ^= self.random >> 27;
            let fresh = u128::from(self.random.wrapping_mul(0x2545_F491_4F6C_DD1D));
            self.tail = (self.tail.rotate_left(29) ^ (fresh << 9) ^ fresh) & (mask >> 1);
        } else {
            self.tail = (self.tail + 1) & mask;
        }
        let millis = (self.millis as u64) & 0xFFFF_FFFF_FFFF;
        let high = (millis << 16) | 0x7000 | ((self.tail >> 62) as u64 & 0x0FFF);
        let low = 0x8000_0000_0000_0000 | (self.tail as u64 & 0x3FFF_FFFF_FFFF_FFFF);
        let mut id = [0; 16];
        id[..8].copy_from_slice(&high.to_be_bytes());
        id[8..].copy_from_slice(&low.to_be_bytes());
        ClickId(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_increase_round_trip_and_resist_change() {
        let key = ClickKey::new(&[7; 16]);
        let mut mint = ClickMint::new([3; 24]);
        let mut last = ClickId([0; 16]);
        for step in 0..10_000i64 {
            // Every third call the clock steps back by 5 ms.
            let now = Timestamp::from_millis(1_700_000_000_000 + step / 4 - 5 * i64::from(step % 3 == 0));
            let id = mint.mint(now);
            assert!(id > last, "{id} after {last}");
            last = id;
            let text = String::from_utf8(key.text(id).to_vec()).unwrap();
            assert_eq!(key.parse(&text), Ok(id));
            assert_eq!(id.0[6] >> 4, 7);
            assert_eq!(id.0[8] >> 6, 2);
        }
        let text = String::from_utf8(key.text(last).to_vec()).unwrap();
        let altered = format!("{}{}", &text[..31], if text.ends_with('A') { "B" } else { "A" });
        assert_eq!(key.parse(&altered), Err(BadClickId::Mac));
        assert_eq!(ClickKey::new(&[8; 16]).parse(&text), Err(BadClickId::Mac));
        assert_eq!(key.parse("short"), Err(BadClickId::Shape));
    }

    #[test]
    fn the_mac_is_siphash_2_4() {
        // From the test vectors of its authors: ids that are out there stay valid.
        let counting: [u8; 16] = core::array::from_fn(|place| place as u8);
        let mac = ClickKey::new(&counting).mac(ClickId(counting));
        assert_eq!(mac, [0xdb, 0x9b, 0xc2, 0x57, 0x7f, 0xcc, 0x2a, 0x3f]);
    }

    #[test]
    fn the_instant_can_be_read_back() {
        let now = Timestamp::from_millis(1_669_823_999_999);
        assert_eq!(ClickMint::new([1; 24]).mint(now).minted_at(), now);
    }
}
