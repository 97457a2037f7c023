//! What is known beside links and policies: tables of headers and parameters, networks, keys. Swapped whole; a click uses
//! one of them throughout. Never reads a file.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, Cache};

use crate::config::devices::Devices;
use crate::domain::sign::SigningKeys;

/// Everything known, as of one reading.
#[derive(Debug)]
pub struct Signals {
    /// Headers, parameters, networks.
    pub devices: Devices,
    /// Keys of platforms.
    pub keys: SigningKeys,
    /// Which reading: memories of what an earlier one said are void.
    epoch: u64,
}

impl Signals {
    /// What was read.
    pub fn new(devices: Devices, keys: SigningKeys) -> Self {
        Signals { devices, keys, epoch: 0 }
    }

    /// Which reading it is.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether an address belongs to a data centre.
    pub fn is_datacenter(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => self.devices.datacenters.contains_v4(address.to_bits()),
            IpAddr::V6(address) => self.devices.datacenters.contains_v6(address.to_bits()),
        }
    }
}

/// Where the last good reading is.
#[derive(Debug)]
pub struct SignalSlot {
    current: Arc<ArcSwap<Signals>>,
    epoch: AtomicU64,
    failures: AtomicU64,
}

impl SignalSlot {
    /// A slot with its first reading.
    pub fn new(signals: Signals) -> Self {
        SignalSlot {
            current: Arc::new(ArcSwap::from_pointee(signals)),
            epoch: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }
    }

    /// A handle for one worker.
    pub fn reader(&self) -> SignalReader {
        SignalReader(Cache::new(Arc::clone(&self.current)))
    }

    /// The last good reading.
    pub fn current(&self) -> Arc<Signals> {
        self.current.load_full()
    }

    /// Puts another reading in its place.
    pub fn put(&self, signals: Signals) {
        let epoch = self.epoch.fetch_add(1, Ordering::Relaxed) + 1;
        self.current.store(Arc::new(Signals { epoch, ..signals }));
    }

    /// Notes that a reading had faults and the last good one was kept.
    pub fn keep(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// How many readings had faults.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

/// One worker's view of the slot.
pub struct SignalReader(Cache<Arc<ArcSwap<Signals>>, Arc<Signals>>);

impl SignalReader {
    /// What is known now.
    pub fn load(&mut self) -> &Arc<Signals> {
        self.0.load()
    }
}
