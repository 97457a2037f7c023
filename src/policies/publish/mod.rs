//! Publishing: from what somebody wrote to the version in force. One way for the API, the command line and a watched folder:
//! check → look for what reads badly → show what differs → keep → switch the pointer → switch memory.
//!
//! The store's pointer is the truth; memory follows it, in the order of its switches and never back. Never edits a
//! version: a change is another version, and so is a kill.
//!
//! - `start`: what is in force when a process begins; `prepare`: a proposal before it is published; `kills`: what is
//!   switched off for the moment. Here: switching, and following the pointer.

mod kills;
mod prepare;
mod start;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::Mutex as Turn;

pub use self::kills::MOST_KILLS;
use self::kills::live;
pub use self::prepare::{Prepared, Proposal};
pub use self::start::StartFault;
use super::canonical;
use super::folder::{self, Loaded};
use super::lints::Finding;
use super::store::{Expected, NewSwitch, NewVersion, Pointed, PolicyStore, StoreError, StoredPolicy, Switch};
use super::{Policies, PublishResult, Reload};
use crate::config::settings::PolicySource;
use crate::config::tree::{Fault, Faults};
use crate::domain::policy::lint::HeavyTraffic;
use crate::domain::policy::{Agreement, PolicySet};
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::Vocabulary;

/// How often a kill or a folder is tried again when somebody else switched in between.
const TRIES: usize = 32;

/// How publishing is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Who is right when the folder and the store differ.
    pub source: PolicySource,
    /// The folder of agreement files.
    pub folder: PathBuf,
    /// Whether a version must have been run over recorded hops.
    pub require_backtest: bool,
    /// When traffic is heavy: no window should end then.
    pub traffic: HeavyTraffic,
    /// The clock is not now: nothing is switched in the store, where it would count for those whose clock is.
    pub rehearsal: bool,
}

/// Why a version did not come into force. Nothing was changed, but for versions that were kept.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PublishError {
    /// Another version is in force than the caller thinks.
    #[error("another version is in force: {}. Look at what differs, then publish against that one",
        .current.as_ref().map_or("none", |switch| &switch.version))]
    Stale {
        /// What is in force.
        current: Option<Switch>,
    },
    /// Findings that weigh as errors.
    #[error("{} finding(s) stop this publish: mend them, or let them through with allow_lint_errors", .0.len())]
    Findings(Vec<Finding>),
    /// The version must be run over recorded hops first.
    #[error(
        "version {0} is kept, and must be run over recorded hops before it is published ([policies] \
        require_backtest): run `hopgate policy backtest --version {0}`, then publish that version"
    )]
    NotBacktested(String),
    /// A kill that is not in force came with a policy.
    #[error(
        "`kills` names `{0}`, which is not in force as it is written there: a policy can only keep kills or leave them out; \
        make one with `hopgate policy kill` or POST /v1/policies/kills"
    )]
    StrangeKill(Box<str>),
    /// The clock is not now.
    #[error(
        "this gateway rehearses another time (--rehearse-at): what it switched would count for gateways whose clock is \
        now. Publish and kill where there is no rehearsal"
    )]
    Rehearsal,
    /// The folder decides.
    #[error("the settings say [policies] source = \"folder\": change the files there, or set source = \"store\"")]
    FolderDecides,
    /// No policy was ever put in force.
    #[error("no policy is in force yet: start `hopgate serve` once, or publish one")]
    NothingInForce,
    /// No such kill.
    #[error("no kill has the id `{0}`: see `hopgate policy kills`")]
    UnknownKill(String),
    /// Over [`MOST_KILLS`].
    #[error(
        "{MOST_KILLS} kills are in force, and that is the most: lift some, or name a platform or marketplace as a whole"
    )]
    TooManyKills,
    /// A kept version that this build cannot read.
    #[error("version {version} cannot be read: {}", .faults.iter().map(|fault| &*fault.problem).collect::<Vec<_>>().join("; "))]
    Unreadable {
        /// Which.
        version: String,
        /// Why.
        faults: Vec<Fault>,
    },
    /// Others switched in between, again and again.
    #[error("others are publishing without pause: try again")]
    Busy,
    /// A fault of this program.
    #[error("publishing broke off: {0}")]
    Broken(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A publish as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who.
    pub by: String,
    /// What for.
    pub note: String,
    /// The version that must be in force; none: the one it was prepared against.
    pub if_match: Option<String>,
    /// Let findings that weigh as errors through.
    pub allow_findings: bool,
    /// When.
    pub at: Timestamp,
}

/// What became of a publish.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    /// Whether anything was switched: publishing what is in force changes nothing.
    pub switched: bool,
    /// What is in force.
    pub switch: Switch,
    /// What was in force before.
    pub previous: Option<String>,
}

/// The one who puts versions in force in this process.
pub struct Publisher {
    policies: Arc<Policies>,
    store: Arc<dyn PolicyStore>,
    words: Arc<Vocabulary>,
    rules: Rules,
    /// The number of the switch that memory follows; held while memory is switched.
    turn: Turn<i64>,
    last: Mutex<Option<Switch>>,
    depending: OnceLock<Depending>,
}

/// Counts the links that depend on an agreement; `None` when it cannot.
pub type Depending = Arc<dyn Fn(&Agreement) -> Option<u64> + Send + Sync>;

impl Publisher {
    /// One that follows a store without a policy in force: for the first publish.
    pub fn empty(store: Arc<dyn PolicyStore>, words: Arc<Vocabulary>, rules: Rules, now: Timestamp) -> Self {
        Self::following(Arc::new(Policies::new(PolicySet::empty(), now)), store, words, rules, None)
    }

    fn following(
        policies: Arc<Policies>,
        store: Arc<dyn PolicyStore>,
        words: Arc<Vocabulary>,
        rules: Rules,
        last: Option<Switch>,
    ) -> Self {
        let number = last.as_ref().map_or(0, |last| last.number);
        Publisher {
            policies,
            store,
            words,
            rules,
            turn: Turn::new(number),
            last: Mutex::new(last),
            depending: OnceLock::new(),
        }
    }

    /// The version in force, as clicks read it.
    pub fn policies(&self) -> &Arc<Policies> {
        &self.policies
    }

    /// The store of versions.
    pub fn store(&self) -> &Arc<dyn PolicyStore> {
        &self.store
    }

    /// How publishing is done.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The switch that memory follows.
    pub fn in_force(&self) -> Option<Switch> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The switch memory follows and its set. In this order: where a switch comes in between, the set is the newer one, and
    /// whoever then expects the older version in force is refused, instead of losing what the switch brought.
    fn snapshot(&self) -> (Option<Switch>, Arc<PolicySet>) {
        let last = self.in_force();
        (last, self.policies.current())
    }

    /// Follows the store's pointer, wherever it was moved from. What cannot be read changes nothing and is counted.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was changed.
    pub async fn sync(&self, now: Timestamp) -> Result<Reload, StoreError> {
        let mut number = self.turn.lock().await;
        let Some(last) = self.store.in_force().await?.filter(|last| last.number > *number) else {
            return Ok(Reload::Unchanged);
        };
        let stored = self.store.get(&last.version).await?;
        let (version, words) = (last.version.clone(), Arc::clone(&self.words));
        let read = move || match stored {
            Some(stored) => canonical::read(&version, &stored.canonical, &words),
            None => {
                let faults = Faults::default();
                faults.add(&format!("policy version {version}"), 0, "", "is in force but not in the store");
                Err(faults.into_found())
            }
        };
        match tokio::task::spawn_blocking(read).await {
            Ok(Ok(policy)) => {
                *number = last.number;
                let reload = self.policies.publish(policy, now);
                *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
                self.policies.count(PublishResult::Noticed);
                Ok(reload)
            }
            Ok(Err(faults)) => Ok(self.policies.keep(faults)),
            Err(error) => Err(StoreError::Unavailable(error.to_string())),
        }
    }

    /// Puts what was just switched to in memory, unless memory is further already.
    async fn apply(&self, switch: &Switch, policy: PolicySet, now: Timestamp) -> Reload {
        let mut number = self.turn.lock().await;
        if switch.number <= *number {
            return Reload::Unchanged;
        }
        *number = switch.number;
        let reload = self.policies.publish(policy, now);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(switch.clone());
        reload
    }

    /// Where the links that depend on an agreement are counted: what a publish would leave without a successor is told
    /// with their number. Once.
    pub fn count_with(&self, depending: Depending) {
        // A second one would be a fault of whoever builds the parts; the first stays.
        drop(self.depending.set(depending));
    }

    /// Publishes what was prepared: keeps it, then switches.
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn publish(&self, prepared: Prepared, request: Request) -> Result<Published, PublishError> {
        let published = self.try_publish(prepared, request).await;
        self.policies.count(match &published {
            Ok(Published { switched: true, .. }) => PublishResult::Switched,
            Ok(_) => PublishResult::Unchanged,
            Err(PublishError::Stale { .. } | PublishError::Busy) => PublishResult::Stale,
            Err(PublishError::Store(_) | PublishError::Broken(_)) => PublishResult::Failed,
            Err(_) => PublishResult::Refused,
        });
        published
    }

    async fn try_publish(&self, prepared: Prepared, request: Request) -> Result<Published, PublishError> {
        if self.rules.rehearsal {
            return Err(PublishError::Rehearsal);
        }
        if self.rules.source == PolicySource::Folder {
            return Err(PublishError::FolderDecides);
        }
        let current = prepared.current.clone();
        if let Some(wanted) = &request.if_match
            && !current.as_ref().is_some_and(|switch| names(wanted, &switch.version, &self.policies.current()))
        {
            return Err(PublishError::Stale { current });
        }
        let grave: Vec<Finding> = prepared.findings.iter().filter(|finding| finding.is_error()).cloned().collect();
        if !grave.is_empty() && !request.allow_findings {
            return Err(PublishError::Findings(grave));
        }
        if self.rules.require_backtest {
            self.backtested(&prepared, &request).await?;
        }
        let expected = current.as_ref().map_or(Expected::Nothing, |switch| Expected::Version(switch.version.clone()));
        let candidate = prepared.candidate;
        let Request { by, note, at, .. } = request;
        let (switch, switched) = match put(&*self.store, &candidate, expected, &by, &note, at).await? {
            Pointed::Switched(switch) => (switch, true),
            Pointed::Unchanged(switch) => (switch, false),
            Pointed::Conflict { current } => return Err(PublishError::Stale { current }),
        };
        self.apply(&switch, candidate.policy, at).await;
        if switched {
            tracing::info!(version = %switch.version, number = switch.number, by = %switch.by, "policy published");
        }
        Ok(Published { switched, switch, previous: current.map(|switch| switch.version) })
    }

    /// Whether the version was run over recorded hops, or was in force before: rolling back does not wait. Otherwise it
    /// is kept, so that it can be run.
    async fn backtested(&self, prepared: &Prepared, request: &Request) -> Result<(), PublishError> {
        let base = prepared.base.policy.version();
        let mut known: Vec<StoredPolicy> = prepared.origin.iter().cloned().collect();
        for version in [prepared.candidate.policy.version(), base] {
            known.extend(self.store.get(&version.full()).await?);
        }
        if known.iter().any(|stored| stored.info.backtested_at.is_some() || stored.info.since.is_some()) {
            return Ok(());
        }
        self.store.keep(new_version(&prepared.base, &request.by, &request.note, request.at)).await?;
        Err(PublishError::NotBacktested(base.to_string()))
    }

    /// Publishes the folder, in folder mode; otherwise follows the pointer. A set with a fault, or a version that cannot
    /// be read, changes nothing. A store that fails is no reason not to serve under a folder's version: it is put in
    /// force and counted as unkept, and the error comes with it so that the caller tries again.
    pub async fn reload(&self, now: Timestamp) -> (Reload, Option<StoreError>) {
        let followed = self.sync(now).await;
        if self.rules.source == PolicySource::Store {
            return match followed {
                Ok(reload) => (reload, None),
                Err(error) => (Reload::Unchanged, Some(error)),
            };
        }
        for _ in 0..TRIES {
            let (last, set) = self.snapshot();
            let (rules, words) = (self.rules.clone(), Arc::clone(&self.words));
            let work = move || start::of_folder(&rules, &words, live(&set, now), Some(&set), now);
            let loaded = match tokio::task::spawn_blocking(work).await {
                Ok(Ok(loaded)) => loaded,
                Ok(Err(faults)) => return (self.policies.keep(faults), None),
                Err(error) => return (Reload::Unchanged, Some(StoreError::Unavailable(error.to_string()))),
            };
            if self.rules.rehearsal {
                let kept = self.store.keep(new_version(&loaded, "folder", "", now)).await;
                return (self.policies.publish(loaded.policy, now), kept.err());
            }
            let expected = last.map_or(Expected::Nothing, |last| Expected::Version(last.version));
            match put(&*self.store, &loaded, expected, "folder", "", now).await {
                Ok(Pointed::Switched(switch)) => {
                    self.policies.count(PublishResult::Switched);
                    return (self.apply(&switch, loaded.policy, now).await, None);
                }
                // In the store already; memory may have gone its own way while the store failed.
                Ok(Pointed::Unchanged(_)) => return (self.policies.publish(loaded.policy, now), None),
                Ok(Pointed::Conflict { .. }) => drop(self.sync(now).await),
                Err(error) => {
                    self.policies.count(PublishResult::Failed);
                    let reload = self.policies.publish(loaded.policy, now);
                    if reload == Reload::Switched {
                        self.policies.note_unkept();
                    }
                    return (reload, Some(error));
                }
            }
        }
        (Reload::Unchanged, Some(StoreError::Unavailable(PublishError::Busy.to_string())))
    }

    /// In store mode: how the folder differs from what is in force, kills left out. Faults of the folder are a difference.
    pub fn folder_differs(&self) -> Option<String> {
        if self.rules.source == PolicySource::Folder {
            return None;
        }
        let path = self.rules.folder.display();
        match folder::load(&self.rules.folder, &self.words) {
            Err(faults) => Some(format!("{path} has {} fault(s): see `hopgate check`", faults.len())),
            Ok(loaded) => {
                let set = self.policies.current();
                let same = canonical::canonical(set.agreements(), set.defaults(), &self.words)
                    == canonical::canonical(loaded.policy.agreements(), loaded.policy.defaults(), &self.words);
                (!same).then(|| format!("{path} says something else than the version in force"))
            }
        }
    }
}

/// Whether `wanted`, as a caller gives it, names the version in force.
fn names(wanted: &str, short: &str, set: &PolicySet) -> bool {
    let full = set.version().full();
    let full = if full.starts_with(short) { &*full } else { short };
    Expected::Version(wanted.to_ascii_lowercase()).is_met(Some(full))
}

fn new_version(loaded: &Loaded, author: &str, note: &str, at: Timestamp) -> NewVersion {
    NewVersion {
        version: loaded.policy.version(),
        canonical: loaded.canonical.clone(),
        author: author.to_owned(),
        note: note.to_owned(),
        at,
        agreements: loaded.policy.agreements().len(),
    }
}

/// Keeps a version and switches to it.
async fn put(
    store: &dyn PolicyStore,
    loaded: &Loaded,
    expected: Expected,
    by: &str,
    note: &str,
    at: Timestamp,
) -> Result<Pointed, StoreError> {
    store.keep(new_version(loaded, by, note, at)).await?;
    let switch = NewSwitch { version: loaded.policy.version(), expected, by: by.to_owned(), note: note.to_owned(), at };
    store.point_to(switch).await
}
