//! What a gateway does beside serving: notices changed policies and certificates, follows the catalog's feed, changes the
//! visitors' key at midnight. A reload that fails keeps the last good state and says so.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch as signal;
use tokio::time::{MissedTickBehavior, interval};

use super::App;
use crate::click::Gateway;
use crate::clock::Clock;
use crate::config::looks::{Looks, look};
use crate::config::settings::PolicySource;
use crate::domain::time::Timestamp;
use crate::edge::tls::Certificates;
use crate::policies::folder::Folder;
use crate::policies::publish::Publisher;
use crate::policies::{Policies, Reload};

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often the store of links is asked for changes of other processes.
const FOLLOW: Duration = Duration::from_millis(500);

impl App {
    pub(super) fn start_upkeep(&mut self, mut drained: signal::Receiver<bool>) -> io::Result<()> {
        let Some(runtime) = &self.runtime else { return Ok(()) };
        let gateway = Arc::clone(&self.gateway);
        let settings = Arc::clone(&self.settings);
        let certificates = self.certificates.clone();
        let publisher = Arc::clone(&self.publisher);
        let differing = Arc::clone(&publisher);
        // Reading ten thousand agreements takes a while, and nothing waits for what this says.
        runtime.spawn_blocking(move || {
            if let Some(difference) = differing.folder_differs() {
                let version = differing.policies().current().version();
                tracing::warn!(
                    %version,
                    "{difference}; the published version counts: `hopgate policy diff` shows it, `hopgate policy publish` \
                     mends it"
                );
            }
        });
        {
            let (publisher, clock) = (Arc::clone(&self.publisher), self.gateway.clock.clone());
            let (runtime, ended) = (runtime.handle().clone(), drained.clone());
            let watch = std::thread::Builder::new().name("policy-watch".to_owned());
            self.policy_watch = Some(watch.spawn(move || follow_switches(&publisher, &clock, &runtime, &ended))?);
        }
        let watched = settings.watch_policies && settings.policy_source == PolicySource::Folder;
        let mut folder = Folder::new(&settings.policies);
        folder.taken();
        runtime.spawn(async move {
            let mut seen = certificates.as_deref().map(looks);
            let mut again = false;
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
                if watched && (folder.changed() || again) {
                    again = reload_policies(&publisher, gateway.clock.now()).await;
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
        Ok(())
    }

    /// Reads policies, the landing matrix, certificates, device tables and signing keys again, as SIGHUP asks. Returns when
    /// that is done.
    pub async fn reload(&self) {
        self.reload_signals();
        reload_landings(&self.gateway);
        reload_policies(&self.publisher, self.gateway.clock.now()).await;
        if let Some(certificates) = &self.certificates {
            reload_certificates(certificates);
        }
    }
}

/// Whether it must be tried again: the store did not keep what is in force.
async fn reload_policies(publisher: &Publisher, now: Timestamp) -> bool {
    let (reload, error) = publisher.reload(now).await;
    report(reload, publisher.policies());
    if let Some(error) = &error {
        tracing::error!(%error, "the policy store fails");
    }
    error.is_some()
}

/// Follows switches made by other processes: a publish or kill on the command line counts within milliseconds. On a thread
/// of its own, as resting and looking block it.
fn follow_switches(publisher: &Publisher, clock: &Clock, runtime: &Handle, ended: &signal::Receiver<bool>) {
    let (mut failing, mut pending) = (false, false);
    while !*ended.borrow() {
        publisher.store().rest();
        let looked = publisher.store().changed();
        pending |= looked.as_ref().is_ok_and(|changed| *changed);
        let followed = match looked {
            Ok(_) if pending => runtime.block_on(publisher.sync(clock.now())),
            Ok(_) => Ok(Reload::Unchanged),
            Err(error) => Err(error),
        };
        match followed {
            Ok(reload) => {
                (failing, pending) = (false, false);
                if reload != Reload::Unchanged {
                    report(reload, publisher.policies());
                }
            }
            // Said once, not two hundred times a second.
            Err(error) if !failing => {
                failing = true;
                tracing::error!(%error, "switches of the policy cannot be followed: the last good version stays in force");
            }
            Err(_) => {}
        }
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

fn reload_landings(gateway: &Gateway) {
    match gateway.landings.reload(&gateway.words) {
        Ok(true) => tracing::info!("landing matrix switched"),
        Ok(false) => tracing::info!("landing matrix read again: nothing changed"),
        Err(faults) => {
            for fault in &faults {
                tracing::error!("{fault}");
            }
            tracing::error!(faults = faults.len(), "landing matrix not switched: the last good one stays in force");
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
