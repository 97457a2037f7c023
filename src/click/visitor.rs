//! Who tapped, as little as is needed: a truncated address, and a hash under a key that lives for one Beijing day. The
//! full address never leaves this module.

use std::cell::RefCell;
use std::fmt;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use foldhash::quality::FixedState;
use siphasher::sip128::{Hasher128, SipHasher13};

use super::signals::Signals;
use crate::domain::device::Device;
use crate::domain::time::Timestamp;
use crate::journal::address::truncate;

/// The secret of one Beijing day.
#[derive(Clone, Copy, PartialEq, Eq)]
struct DayKey {
    day: i64,
    secret: [u8; 16],
}

/// The keys of today and tomorrow. Kept in a file of the data folder so that a restart keeps the day's visitors apart
/// from nobody; a key is destroyed when its day is over.
pub struct DayKeys {
    path: PathBuf,
    keys: ArcSwap<[DayKey; 2]>,
    /// The file does not have these keys yet: it may still hold one of a day that is over.
    unkept: AtomicBool,
}

impl DayKeys {
    /// Reads the keys, or makes them, for the day of `now`.
    ///
    /// # Errors
    /// When the file cannot be read or written, or there is no randomness to be had.
    pub fn open(path: &Path, now: Timestamp) -> io::Result<Self> {
        let stored: Vec<DayKey> = match fs::read(path) {
            Ok(bytes) => bytes.chunks_exact(24).filter_map(decode).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let keys = DayKeys {
            path: path.to_path_buf(),
            keys: ArcSwap::from_pointee(days(&stored, now)?),
            unkept: AtomicBool::new(true),
        };
        keys.store()?;
        Ok(keys)
    }

    /// Destroys the key of a day that is over and makes tomorrow's. Call it at least once a day.
    ///
    /// # Errors
    /// As [`DayKeys::open`].
    pub fn rotate(&self, now: Timestamp) -> io::Result<()> {
        let current = self.keys.load_full();
        let next = days(&current[..], now)?;
        if next != *current {
            self.keys.store(std::sync::Arc::new(next));
            self.unkept.store(true, Ordering::Release);
        }
        // Until the file has been written, a key that should be gone is still in it.
        if self.unkept.load(Ordering::Acquire) { self.store() } else { Ok(()) }
    }

    fn store(&self) -> io::Result<()> {
        let mut bytes = Vec::new();
        for key in self.keys.load().iter() {
            bytes.extend_from_slice(&key.day.to_le_bytes());
            bytes.extend_from_slice(&key.secret);
        }
        let old = fs::OpenOptions::new().write(true).open(&self.path);
        super::write_private(&self.path, &bytes)?;
        self.unkept.store(false, Ordering::Release);
        // The file that had the name is gone; its blocks are overwritten as well, where the file system allows that.
        if let Ok(old) = old {
            let length = usize::try_from(old.metadata()?.len()).unwrap_or(0);
            old.write_all_at(&vec![0; length.min(4_096)], 0)?;
            old.sync_all()?;
        }
        Ok(())
    }

    /// The hash that a click from this address with this User-Agent has at `now`; `None` without a key for the day.
    pub fn hash(&self, now: Timestamp, address: IpAddr, agent: &[u8]) -> Option<u128> {
        self.secret(now).map(|secret| visitor_hash(&secret, address, digest(&secret, agent)))
    }

    fn secret(&self, now: Timestamp) -> Option<[u8; 16]> {
        let day = now.beijing_day();
        self.keys.load().iter().find(|key| key.day == day).map(|key| key.secret)
    }
}

fn decode(bytes: &[u8]) -> Option<DayKey> {
    let (day, secret) = bytes.split_at_checked(8)?;
    Some(DayKey { day: i64::from_le_bytes(day.try_into().ok()?), secret: secret.try_into().ok()? })
}

fn days(known: &[DayKey], now: Timestamp) -> io::Result<[DayKey; 2]> {
    let key = |day: i64| match known.iter().find(|key| key.day == day) {
        Some(key) => Ok(*key),
        None => {
            let mut secret = [0; 16];
            getrandom::fill(&mut secret).map_err(io::Error::other)?;
            Ok::<_, io::Error>(DayKey { day, secret })
        }
    };
    let today = now.beijing_day();
    Ok([key(today)?, key(today + 1)?])
}

/// A User-Agent as 128 bits, alike in every worker for a day. Fast and keyed, but no secret rests on it: the visitor's
/// hash puts SipHash over it, and a wrongly remembered device would mislead nothing but a placement hint.
fn digest(secret: &[u8; 16], agent: &[u8]) -> u128 {
    let half = |bytes: &[u8]| bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
    let hash = |seed| FixedState::with_seed(seed).hash_one(agent);
    u128::from(hash(half(&secret[..8]))) << 64 | u128::from(hash(half(&secret[8..])))
}

fn visitor_hash(secret: &[u8; 16], address: IpAddr, agent: u128) -> u128 {
    let mut hasher = SipHasher13::new_with_key(secret);
    match address.to_canonical() {
        IpAddr::V4(address) => hasher.write(&address.octets()),
        IpAddr::V6(address) => hasher.write(&address.octets()),
    }
    hasher.write_u128(agent);
    hasher.finish128().as_u128()
}

/// What a hop keeps of a visitor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Visitor {
    /// The address cut to /24 (IPv4) or /48 (IPv6).
    pub address: [u8; 8],
    /// The hash of the day; 0 when there is no key for it.
    pub hash: u128,
    /// What the User-Agent says.
    pub device: Device,
    /// Whether the address belongs to a data centre.
    pub datacenter: bool,
}

/// What a visitor is told apart by.
#[derive(Clone, Copy, Debug)]
pub struct Traits<'a> {
    /// The full address.
    pub address: IpAddr,
    /// The User-Agent.
    pub agent: &'a [u8],
    /// What `X-Requested-With` says, or empty.
    pub package: &'a [u8],
}

/// A connection's memory of its visitor: whoever asks again over the same one is nearly always the same. It holds what the
/// connection has sent anyway, and no longer than the connection.
#[derive(Default)]
pub struct Memory(RefCell<Remembered>);

/// Bytes of headers a connection remembers at most.
const MOST_REMEMBERED: usize = 512;

#[derive(Default)]
struct Remembered {
    /// Asked before: most connections ask once, and are not worth remembering.
    again: bool,
    visitor: Option<Visitor>,
    address: Option<IpAddr>,
    agent: Vec<u8>,
    package: Vec<u8>,
    day: i64,
    epoch: u64,
}

impl fmt::Debug for Memory {
    /// Nothing: full addresses stay in here.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

impl Memory {
    /// The visitor of these traits on this day, by these signals; `read` where it is not remembered.
    pub fn visitor(&self, traits: Traits<'_>, day: i64, epoch: u64, read: impl FnOnce() -> Visitor) -> Visitor {
        let known = &mut *self.0.borrow_mut();
        if let Some(visitor) = known.visitor
            && (known.day, known.epoch, known.address) == (day, epoch, Some(traits.address))
            && (&*known.agent, &*known.package) == (traits.agent, traits.package)
        {
            return visitor;
        }
        let visitor = read();
        let again = std::mem::replace(&mut known.again, true);
        if again && traits.agent.len() + traits.package.len() <= MOST_REMEMBERED {
            (known.day, known.epoch, known.address) = (day, epoch, Some(traits.address));
            for (place, text) in [(&mut known.agent, traits.agent), (&mut known.package, traits.package)] {
                place.clear();
                place.extend_from_slice(text);
            }
            // A day whose key is still to be made is asked for again.
            known.visitor = (visitor.hash != 0).then_some(visitor);
        }
        visitor
    }
}

/// One worker's memory of User-Agents: most clicks bring one that was seen before, and recognising it again costs one
/// hash instead of a walk through every token. Direct-mapped, so it never grows.
pub struct Agents {
    secret: [u8; 16],
    /// The reading that what was seen rests on.
    epoch: u64,
    seen: Box<[(u128, Device)]>,
}

const AGENTS: usize = 1_024;

impl Agents {
    /// An empty memory; `secret` stands in on a day without a key.
    pub fn new(secret: [u8; 16]) -> Self {
        Agents { secret, epoch: 0, seen: vec![(0, Device::UNKNOWN); AGENTS].into() }
    }

    /// What is kept of a visitor at `now`.
    pub fn visitor(&mut self, keys: &DayKeys, signals: &Signals, now: Timestamp, traits: Traits<'_>) -> Visitor {
        let Traits { address, agent, package } = traits;
        if self.epoch != signals.epoch() {
            self.epoch = signals.epoch();
            self.seen.fill((0, Device::UNKNOWN));
        }
        let detector = &signals.devices.detector;
        let secret = keys.secret(now);
        let agent_hash = digest(&secret.unwrap_or(self.secret), agent);
        let slot = agent_hash as usize % AGENTS;
        let device = match self.seen[slot] {
            (hash, device) if hash == agent_hash => device,
            _ => {
                let device = detector.detect(agent);
                self.seen[slot] = (agent_hash, device);
                device
            }
        };
        let device = if package.is_empty() { device } else { detector.with_package(device, agent, package) };
        let hash = secret.map_or(0, |secret| visitor_hash(&secret, address, agent_hash));
        Visitor { address: truncate(address), hash, device, datacenter: signals.is_datacenter(address) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::device::HostApp;

    fn signals() -> Signals {
        let words = crate::config::marketplaces::shipped();
        let devices = crate::config::devices::load(&Default::default(), words).unwrap();
        Signals::new(devices, Default::default())
    }

    const PHONE: &[u8] = b"Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Kwai/11.2";

    #[test]
    fn a_visitor_is_one_for_a_day_and_a_stranger_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("visitor.keys");
        let noon: Timestamp = "2026-11-11 12:00:00".parse().unwrap();
        let midnight: Timestamp = "2026-11-12 00:00:00".parse().unwrap();
        let signals = signals();
        let keys = DayKeys::open(&path, noon).unwrap();
        let address: IpAddr = "203.0.113.77".parse().unwrap();
        let (mut one, mut two) = (Agents::new([1; 16]), Agents::new([2; 16]));
        let of = |address| Traits { address, agent: PHONE, package: b"" };
        let seen = one.visitor(&keys, &signals, noon, of(address));
        assert_eq!(seen, one.visitor(&keys, &signals, noon, of(address)), "remembered");
        assert_eq!(keys.hash(noon, address, PHONE), Some(seen.hash), "the same wherever it is asked for");
        assert_eq!(seen, two.visitor(&keys, &signals, noon, of(address)), "workers agree");
        assert_eq!(seen.device.app, HostApp::Kuaishou);
        assert_ne!(seen.hash, one.visitor(&keys, &signals, noon, of("203.0.113.78".parse().unwrap())).hash);
        assert_ne!(seen.hash, one.visitor(&keys, &signals, midnight, of(address)).hash);

        let again = DayKeys::open(&path, noon).unwrap();
        assert_eq!(seen, one.visitor(&again, &signals, noon, of(address)), "a restart keeps the day's key");
        again.rotate(midnight).unwrap();
        assert_eq!(one.visitor(&again, &signals, noon, of(address)).hash, 0, "yesterday's key is gone");
    }

    #[test]
    fn a_connection_remembers_whoever_asks_twice_and_nobody_else() {
        let memory = Memory::default();
        let visitor = |hash| Visitor { address: [0; 8], hash, device: Device::UNKNOWN, datacenter: false };
        let traits = Traits { address: "203.0.113.77".parse().unwrap(), agent: PHONE, package: b"" };
        let other = Traits { address: "203.0.113.78".parse().unwrap(), ..traits };
        // Who asks, on which day, by which reading, what would be read then, and what is told.
        for (traits, day, epoch, read, told) in [
            (traits, 1, 0, 1, 1),
            (traits, 1, 0, 2, 2),
            (traits, 1, 0, 3, 2),
            (other, 1, 0, 4, 4),
            (traits, 1, 0, 5, 5),
            (traits, 2, 0, 6, 6),
            (traits, 2, 1, 7, 7),
            (Traits { agent: b"Kwai", ..traits }, 2, 1, 8, 8),
            (Traits { agent: b"", package: b"Kwai", ..traits }, 2, 1, 9, 9),
            (Traits { agent: b"", package: b"Kwai", ..traits }, 2, 1, 10, 9),
            (traits, 2, 1, 0, 0),
            (traits, 2, 1, 11, 11),
        ] {
            assert_eq!(memory.visitor(traits, day, epoch, || visitor(read)), visitor(told));
        }
    }

    #[test]
    fn the_key_of_a_day_that_is_over_is_in_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("visitor.keys");
        let day = |day: i64| Timestamp::from_millis(1_794_360_000_000 + day * 86_400_000);
        let keys = DayKeys::open(&path, day(0)).unwrap();
        let first = keys.secret(day(0)).unwrap();
        let held = |secret: [u8; 16]| {
            let files = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
            let holds =
                |path: PathBuf| path.is_file() && fs::read(path).unwrap().windows(16).any(|window| window == secret);
            files.filter(|path| holds(path.clone())).count()
        };
        assert_eq!(held(first), 1);
        // The disk refuses at midnight: it is tried again until the file has changed.
        fs::create_dir(path.with_extension("new")).unwrap();
        assert!(keys.rotate(day(1)).is_err());
        assert_eq!(held(first), 1);
        fs::remove_dir(path.with_extension("new")).unwrap();
        let linked = folder.path().join("linked");
        fs::hard_link(&path, &linked).unwrap();
        keys.rotate(day(1)).unwrap();
        assert_eq!(held(first), 0, "not even in the old file's blocks");
        let second = keys.secret(day(1)).unwrap();
        assert_eq!(held(second), 1);
        drop(keys);
        // After a restart days later as well.
        let later = DayKeys::open(&path, day(5)).unwrap();
        assert_eq!((held(second), later.secret(day(1))), (0, None));
    }
}
