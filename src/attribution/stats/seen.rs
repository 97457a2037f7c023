//! What is remembered of a visitor for a day, as it is kept: a short row of bytes, because there are as many as visitors.

use crate::domain::attribution::validity::{Tap, VisitorDay};

/// Why a row cannot be read: it is cut short, or a newer build wrote it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadSeen;

const FORMAT: u8 = 1;
/// No click of this sort.
pub(super) const NEVER: i64 = i64::MIN;

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Result<u64, BadSeen> {
    let (mut number, mut shift) = (0u64, 0);
    loop {
        let (byte, rest) = bytes.split_first().ok_or(BadSeen)?;
        *bytes = rest;
        number |= u64::from(byte & 0x7F).checked_shl(shift).ok_or(BadSeen)?;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
        shift += 7;
    }
}

/// Zigzag, so that a number a little under zero is short too.
fn folded(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

fn unfolded(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// Writes what is remembered.
pub(super) fn encode(day: &VisitorDay) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + day.taps.len() * 16 + day.counted.len() * 3);
    out.push(FORMAT);
    put(&mut out, day.counted.len() as u64);
    let mut before = 0;
    for view in &day.counted {
        put(&mut out, folded(view - before));
        before = *view;
    }
    let (mut link_before, mut at_before) = (0, 0);
    for (link, tap) in &day.taps {
        put(&mut out, folded(link - link_before));
        link_before = *link;
        // Which of the two instants there are, and whether more than one click is counted.
        let kinds = u8::from(tap.allowed_at != NEVER) | u8::from(tap.refused_at != NEVER) << 1;
        out.push(kinds);
        for at in [tap.allowed_at, tap.refused_at].into_iter().filter(|at| *at != NEVER) {
            put(&mut out, folded(at.wrapping_sub(at_before)));
            at_before = at;
        }
        put(&mut out, folded(tap.hour.wrapping_sub(at_before.div_euclid(3_600_000_000))));
        put(&mut out, u64::from(tap.clicks));
    }
    out
}

/// Reads what [`encode`] wrote.
pub(super) fn decode(mut bytes: &[u8]) -> Result<VisitorDay, BadSeen> {
    let bytes = &mut bytes;
    if bytes.split_off_first() != Some(&FORMAT) {
        return Err(BadSeen);
    }
    let mut day = VisitorDay::default();
    let mut before = 0;
    for _ in 0..take(bytes)? {
        before += unfolded(take(bytes)?);
        day.counted.push(before);
    }
    let (mut link, mut at_before) = (0, 0i64);
    while !bytes.is_empty() {
        link += unfolded(take(bytes)?);
        let kinds = *bytes.split_off_first().ok_or(BadSeen)?;
        let mut at = |present: bool| -> Result<i64, BadSeen> {
            if !present {
                return Ok(NEVER);
            }
            at_before = at_before.wrapping_add(unfolded(take(bytes)?));
            Ok(at_before)
        };
        let (allowed_at, refused_at) = (at(kinds & 1 != 0)?, at(kinds & 2 != 0)?);
        let hour = unfolded(take(bytes)?).wrapping_add(at_before.div_euclid(3_600_000_000));
        let clicks = u32::try_from(take(bytes)?).map_err(|_| BadSeen)?;
        day.taps.insert(link, Tap { allowed_at, refused_at, hour, clicks });
    }
    Ok(day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_remembered_comes_back(
            taps in proptest::collection::btree_map(0..i64::MAX / 4, (0..i64::MAX, any::<bool>(), any::<bool>(), -9_999_999..9_999_999i64, any::<u32>()), 0..9),
            counted in proptest::collection::btree_set(0..i64::MAX, 0..9),
        ) {
            let taps = taps.into_iter().map(|(link, (at, allowed, refused, hour, clicks))| {
                let (allowed_at, refused_at) = (if allowed { at } else { NEVER }, if refused { at / 2 } else { NEVER });
                (link, Tap { allowed_at, refused_at, hour, clicks })
            });
            let day = VisitorDay { taps: taps.collect(), counted: counted.into_iter().collect() };
            let bytes = encode(&day);
            prop_assert_eq!(decode(&bytes), Ok(day));
            prop_assert!(decode(&bytes[..0]).is_err());
        }
    }

    #[test]
    fn most_visitors_take_little() {
        let at = 1_763_000_000_000_000;
        let tap = Tap { allowed_at: at, refused_at: NEVER, hour: at / 3_600_000_000, clicks: 1 };
        let day = VisitorDay { taps: [(40_000, tap)].into(), counted: vec![7, 9, 12, 800, 40_000] };
        assert!(encode(&day).len() <= 32, "{}", encode(&day).len());
    }
}
