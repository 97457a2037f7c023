//! Settings of resolving short links when a link is made. Reads and checks what is written; never resolves anything.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::tree::{Field, Table};
use crate::domain::marketplace::Marketplaces;

/// How short links are resolved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResolveSettings {
    /// Whether they are; `None` leaves it to the command: a gateway that serves does, a demo does not.
    pub enabled: Option<bool>,
    /// Hosts whose pages are asked what they lead to; `None` for all the marketplaces' tables name.
    pub hosts: Option<Vec<String>>,
    /// The longest one page may take, from the look-up of its host to the end of its answer.
    pub hop_timeout: Duration,
    /// The longest a whole short link may take.
    pub timeout: Duration,
    /// Hosts that are asked at an address of the operator's own, in place of what the name server says.
    pub via: BTreeMap<String, SocketAddr>,
    /// Certificates the pages may have been issued by, instead of the system's.
    pub ca: Option<PathBuf>,
}

impl Default for ResolveSettings {
    fn default() -> Self {
        ResolveSettings {
            enabled: None,
            hosts: None,
            hop_timeout: Duration::from_secs(3),
            timeout: Duration::from_secs(8),
            via: BTreeMap::new(),
            ca: None,
        }
    }
}

/// Reads `[resolve]`.
pub(super) fn read(
    table: &Table<'_>,
    base: &Path,
    markets: &Marketplaces,
    duration: impl Fn(&Field<'_>) -> Option<Duration>,
) -> ResolveSettings {
    let mut settings =
        ResolveSettings { enabled: table.get("enabled").and_then(|field| field.boolean()), ..Default::default() };
    if let Some(fields) = table.get("hosts").and_then(|field| field.list()) {
        settings.hosts = Some(fields.iter().filter_map(|field| field.parse(|text| host(text, markets))).collect());
    }
    for (key, target) in [("hop_timeout", &mut settings.hop_timeout), ("timeout", &mut settings.timeout)] {
        if let Some(field) = table.get(key)
            && let Some(time) = duration(&field)
        {
            // Whoever makes a link waits for it.
            if time > Duration::from_secs(60) {
                field.fault("is over 60s: whoever makes a link waits for so long");
            }
            *target = time;
        }
    }
    if let Some(via) = table.get("via").and_then(|field| field.table()) {
        for (name, field) in via.free_entries() {
            match host(name, markets) {
                Ok(name) => {
                    let address = |text: &str| {
                        text.parse::<SocketAddr>()
                            .map_err(|_| format!("`{text}` is not an address: write 10.0.0.8:8443"))
                    };
                    settings.via.extend(field.parse(address).map(|address| (name, address)));
                }
                Err(problem) => field.fault(problem),
            }
        }
    }
    settings.ca = table.get("ca").and_then(|field| field.text()).map(|file| base.join(file));
    settings
}

/// A host of a marketplace.
fn host(text: &str, markets: &Marketplaces) -> Result<String, String> {
    let host = text.trim_end_matches('.').to_ascii_lowercase();
    match markets.host_is_allowed(&host) {
        Some(_) => Ok(host),
        None => Err(format!(
            "`{text}` is not a host of a marketplace: only those are asked, such as {}",
            markets.short_hosts().join(", ")
        )),
    }
}
