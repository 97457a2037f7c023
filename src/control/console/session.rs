//! Who is logged in: a bounded table in memory, and how often somebody tried in vain. A session knows its key by hash only
//! and the key is asked for at every request, so that revoking one ends its sessions at once. A restart ends all of them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::super::codes::NoRandomness;
use super::super::keys::KeyHash;
use crate::domain::time::Timestamp;

/// Sessions at the same time; the one that ends first makes room for another.
const MOST_SESSIONS: usize = 1_024;
/// How long a session lasts.
pub(super) const LASTS_SECONDS: i64 = 12 * 3_600;
/// Log-ins in vain from one address …
const MOST_FAILURES: u32 = 10;
/// … within so long.
const FAILURES_SECONDS: i64 = 600;
/// Addresses that are remembered; a full memory forgets the oldest.
const MOST_ADDRESSES: usize = 4_096;
const SECOND: i64 = 1_000_000;

/// Somebody who is logged in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::control) struct Session {
    /// The key.
    pub(in crate::control) key: KeyHash,
    /// What every form of this session carries.
    pub(super) token: String,
    until: Timestamp,
}

/// Every session, and the log-ins in vain.
#[derive(Default)]
pub(in crate::control) struct Sessions {
    // By the hash of their ids: what a look-up compares tells nothing about an id.
    table: Mutex<HashMap<[u8; 32], Session>>,
    failures: Mutex<HashMap<IpAddr, (Timestamp, u32)>>,
}

impl Sessions {
    /// Begins a session; its id, for the cookie.
    pub(super) fn begin(&self, key: KeyHash, now: Timestamp) -> Result<String, NoRandomness> {
        let (id, token) = (draw()?, draw()?);
        let mut table = lock(&self.table);
        table.retain(|_, session| session.until > now);
        if table.len() >= MOST_SESSIONS
            && let Some(first) = table.iter().min_by_key(|(_, session)| session.until).map(|(id, _)| *id)
        {
            table.remove(&first);
        }
        let until = now.plus_micros(LASTS_SECONDS * SECOND);
        table.insert(digest(&id), Session { key, token, until });
        Ok(id)
    }

    /// The session of an id, while it lasts.
    pub(in crate::control) fn find(&self, id: &str, now: Timestamp) -> Option<Session> {
        lock(&self.table).get(&digest(id)).filter(|session| session.until > now).cloned()
    }

    /// Ends a session.
    pub(super) fn end(&self, id: &str) {
        lock(&self.table).remove(&digest(id));
    }

    /// Whether an address may try now, or in how many seconds.
    pub(super) fn may_try(&self, address: IpAddr, now: Timestamp) -> Result<(), u64> {
        let failures = lock(&self.failures);
        match failures.get(&network(address)) {
            Some((since, count)) if *count >= MOST_FAILURES => {
                let left = since.plus_micros(FAILURES_SECONDS * SECOND).micros() - now.micros();
                if left > 0 { Err(u64::try_from(left / SECOND + 1).unwrap_or(1)) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    /// Notes a log-in in vain.
    pub(super) fn failed(&self, address: IpAddr, now: Timestamp) {
        let mut failures = lock(&self.failures);
        let over = |since: Timestamp| since.plus_micros(FAILURES_SECONDS * SECOND) <= now;
        if failures.len() >= MOST_ADDRESSES {
            failures.retain(|_, (since, _)| !over(*since));
        }
        if failures.len() >= MOST_ADDRESSES
            && let Some(oldest) = failures.iter().min_by_key(|(_, (since, _))| *since).map(|(address, _)| *address)
        {
            failures.remove(&oldest);
        }
        let entry = failures.entry(network(address)).or_insert((now, 0));
        if over(entry.0) {
            *entry = (now, 0);
        }
        entry.1 = entry.1.saturating_add(1);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whoever has one IPv6 address has 2⁶⁴ of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
        v4 => v4,
    }
}

/// 32 random bytes as hex digits.
fn draw() -> Result<String, NoRandomness> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| NoRandomness::new(&error))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The SHA-256 of a text; comparing two tells nothing about the texts.
pub(super) fn digest(text: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: KeyHash = KeyHash([7; 32]);

    fn after(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_669_823_999_999).plus_micros(seconds * SECOND)
    }

    #[test]
    fn a_session_lasts_its_time_and_ends_when_told() {
        let sessions = Sessions::default();
        let (one, two) = (sessions.begin(KEY, after(0)).unwrap(), sessions.begin(KEY, after(1)).unwrap());
        assert_ne!(one, two);
        assert_eq!(sessions.find(&one, after(LASTS_SECONDS - 1)).unwrap().key, KEY);
        assert_eq!(sessions.find(&one, after(LASTS_SECONDS)), None);
        sessions.end(&two);
        assert_eq!(sessions.find(&two, after(2)), None);
        assert_eq!(sessions.find("", after(2)), None);
    }

    #[test]
    fn the_table_is_bounded_and_the_first_to_end_makes_room() {
        let sessions = Sessions::default();
        let first = sessions.begin(KEY, after(0)).unwrap();
        let second = sessions.begin(KEY, after(1)).unwrap();
        for _ in 2..=MOST_SESSIONS {
            sessions.begin(KEY, after(2)).unwrap();
        }
        assert_eq!(lock(&sessions.table).len(), MOST_SESSIONS);
        assert!(sessions.find(&first, after(3)).is_none() && sessions.find(&second, after(3)).is_some());
    }

    #[test]
    fn trying_in_vain_is_bounded_for_each_network() {
        let sessions = Sessions::default();
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        for _ in 0..MOST_FAILURES {
            assert_eq!(sessions.may_try(address("2001:db8::1"), after(0)), Ok(()));
            sessions.failed(address("2001:db8::1"), after(0));
        }
        assert!(sessions.may_try(address("2001:db8::2"), after(1)).is_err(), "the same network");
        assert!(sessions.may_try(address("203.0.113.9"), after(1)).is_ok());
        assert!(sessions.may_try(address("2001:db8::1"), after(FAILURES_SECONDS + 1)).is_ok());
        for number in 0..=MOST_ADDRESSES as u32 {
            sessions.failed(IpAddr::from(number.to_be_bytes()), after(2));
        }
        assert!(lock(&sessions.failures).len() <= MOST_ADDRESSES);
    }
}
