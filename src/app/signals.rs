//! Reading what is known beside links and policies: device tables, networks, signing keys. A reading with a fault changes
//! nothing.

use super::App;
use crate::click::signals::Signals;
use crate::config::settings::Settings;
use crate::config::tree::Fault;
use crate::config::{devices, signing};

/// Reads what these settings name, with warnings.
///
/// # Errors
/// Every fault of every file.
pub fn read(settings: &Settings) -> Result<(Signals, Vec<String>), Vec<Fault>> {
    match (devices::load(&settings.devices, &settings.words), signing::load(&settings.signing)) {
        (Ok(devices), Ok((keys, warnings))) => Ok((Signals::new(devices, keys), warnings)),
        (devices, keys) => {
            let mut faults = devices.err().unwrap_or_default();
            faults.extend(keys.err().unwrap_or_default());
            Err(faults)
        }
    }
}

/// [`read`], with its warnings in the log.
pub(super) fn read_logged(settings: &Settings) -> Result<Signals, Vec<Fault>> {
    let (signals, warnings) = read(settings)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok(signals)
}

impl App {
    /// Reads `[devices]` and `[signing]` of the settings file again, and what they name; other sections wait for a restart.
    /// What has a fault keeps the last good reading.
    pub(super) fn reload_signals(&self) {
        let slot = &self.gateway.signals;
        let read = match &self.settings.source {
            // Whoever adds a key writes it there.
            Some(path) => Settings::load(path).and_then(|settings| {
                // Keys and tables name platforms by the numbers this process gave them.
                if settings.words.platforms().eq(self.settings.words.platforms()) {
                    read_logged(&settings)
                } else {
                    let file = path.display().to_string();
                    let problem = "has changed: that needs a restart".to_owned();
                    Err(vec![Fault { file, line: 0, field: "vocabulary.platforms".to_owned(), problem }])
                }
            }),
            None => read_logged(&self.settings),
        };
        match read {
            Ok(signals) => {
                let (keys, networks) = (signals.keys.len(), signals.devices.datacenters.len());
                slot.put(signals);
                tracing::info!(keys, networks, "device tables, networks and signing keys read again");
            }
            Err(faults) => {
                slot.keep();
                for fault in &faults {
                    tracing::error!("{fault}");
                }
                tracing::error!(
                    faults = faults.len(),
                    "device tables and keys not switched: the last good ones stay in use"
                );
            }
        }
    }
}
