//! What a gateway does beside serving: notices changed policies and certificates, follows the catalog's feed, changes the
//! visitors' key at midnight. A reload that fails keeps the last good state and says so.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch as signal;
use tokio::time::{MissedTickBehavior, interval};

use super::App;
use crate::click::Gateway;
use crate::config::looks::{Looks, look};
use crate::config::settings::Settings;
use crate::domain::time::Timestamp;
use crate::edge::tls::Certificates;
use crate::policies::folder::Folder;
use crate::policies::store::PolicyStore;
use crate::policies::{Policies, Reload};

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often the store of links is asked for changes of other processes.
const FOLLOW: Duration = Duration::from_millis(500);

impl App {
    pub(super) fn start_upkeep(&self, mut drained: signal::Receiver<bool>) {
        let Some(runtime) = &self.runtime else { return };
        let gateway = Arc::clone(&self.gateway);
        let settings = Arc::clone(&self.settings);
        let certificates = self.certificates.clone();
        let store = Arc::clone(&self.policy_store);
        let mut folder = Folder::new(&settings.policies);
        folder.taken();
        runtime.spawn(async move {
            let mut seen = certificates.as_deref().map(looks);
            let mut ticks = interval(LOOK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = ticks.tick() => {}
                    () = async { drop(drained.wait_for(|draining| *draining).await) } => return,
                }
                if let Err(error) = gateway.visitors.rotate(gateway.clock.now()) {
                    tracing::error!(%error, "the visitors' key of the day cannot be kept");
                }
                if settings.watch_policies && folder.changed() {
                    reload_policies(&folder, &gateway, &settings, &*store).await;
                }
                if let Some(certificates) = &certificates {
                    let now = looks(certificates);
                    if seen.as_ref() != Some(&now) {
                        seen = Some(now);
                        reload_certificates(certificates);
                    }
                }
            }
        });
        let catalog = self.gateway.catalog.clone();
        runtime.spawn(async move { catalog.follow(FOLLOW).await });
    }

    /// Reads policies and certificates again, as SIGHUP asks. Returns when that is done.
    pub async fn reload(&self) {
        let folder = Folder::new(&self.settings.policies);
        reload_policies(&folder, &self.gateway, &self.settings, &*self.policy_store).await;
        if let Some(certificates) = &self.certificates {
            reload_certificates(certificates);
        }
    }
}

async fn reload_policies(folder: &Folder, gateway: &Gateway, settings: &Settings, store: &dyn PolicyStore) {
    let policies = &gateway.policies;
    let (reload, canonical) = folder.reload(policies, &settings.words, gateway.clock.now());
    let switched = reload == Reload::Switched;
    report(reload, policies);
    if let (true, Some(canonical)) = (switched, canonical) {
        keep_version(policies, store, &canonical, gateway.clock.now()).await;
    }
}

/// Keeps the version that came into force. A store that fails is no reason not to serve under it.
pub(super) async fn keep_version(policies: &Policies, store: &dyn PolicyStore, canonical: &str, now: Timestamp) {
    let version = policies.current().version();
    if let Err(error) = store.put_in_force(version, canonical, now).await {
        policies.note_unkept();
        tracing::error!(%error, %version, "the policy version in force could not be kept");
    }
}

fn report(reload: Reload, policies: &Policies) {
    match reload {
        Reload::Switched => {
            let version = policies.current().version();
            tracing::info!(%version, epoch = policies.epoch(), "policy switched");
        }
        Reload::Unchanged => tracing::info!("policy read again: nothing changed"),
        Reload::Kept(faults) => {
            let version = policies.current().version();
            for fault in &faults {
                tracing::error!("{fault}");
            }
            tracing::error!(faults = faults.len(), %version, "policy not switched: the last good version stays in force");
        }
    }
}

fn reload_certificates(certificates: &Certificates) {
    match certificates.reload() {
        Ok(()) => tracing::info!(certificates = certificates.in_use().len(), "certificates read again"),
        Err(error) => tracing::error!(%error, "certificates not switched: the last good ones stay in use"),
    }
}

/// What the certificate files look like: a change of any of these means they were written.
fn looks(certificates: &Certificates) -> Looks {
    look(certificates.paths().map(Path::to_path_buf))
}
