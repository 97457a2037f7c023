//! What is in force when a process begins, and who is right about it: the store's pointer, or the folder. Never takes
//! anything in place of what should be in force.

use std::sync::Arc;

use serde_json::Value;

use super::kills::kept;
use super::prepare::findings;
use super::{Publisher, Rules, new_version, put};
use crate::config::settings::PolicySource;
use crate::config::tree::{Fault, Faults, from_json};
use crate::domain::policy::{Kill, PolicySet};
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::Vocabulary;
use crate::policies::folder::Loaded;
use crate::policies::store::{Expected, Pointed, PolicyStore, StoreError, StoredPolicy};
use crate::policies::yaml::Written;
use crate::policies::{Policies, canonical, folder, lints};

/// Why there is no policy to start with.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StartFault {
    /// The agreement files, or the version in force, have faults.
    #[error("{} fault(s) in policies", .0.len())]
    Faults(Vec<Fault>),
    /// The version in force is not there, or is not what it was.
    #[error(
        "policy version {version} is in force but cannot be used: {what}. Restore the database from a backup, or set \
        [policies] source = \"folder\" to go by the files"
    )]
    Unusable {
        /// Which.
        version: String,
        /// Why.
        what: String,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Publisher {
    /// Finds out what is in force, and imports the folder into a store that never had a policy; in folder mode, publishes
    /// the folder.
    ///
    /// # Errors
    /// [`StartFault`]: nothing is ever taken in place of what should be in force.
    pub async fn start(
        store: Arc<dyn PolicyStore>,
        words: Arc<Vocabulary>,
        rules: Rules,
        now: Timestamp,
    ) -> Result<Self, StartFault> {
        match rules.source {
            PolicySource::Store => loop {
                if let Some(found) = Self::attach(Arc::clone(&store), Arc::clone(&words), rules.clone(), now).await? {
                    return Ok(found);
                }
                let loaded = of_folder(&rules, &words, Vec::new(), None, now).map_err(StartFault::Faults)?;
                let note = format!("imported from {}", rules.folder.display());
                // Another process may do the same at once: then its import counts.
                drop(put(&*store, &loaded, Expected::Nothing, "import", &note, now).await?);
            },
            PolicySource::Folder => Self::start_from_folder(store, words, rules, now).await,
        }
    }

    async fn start_from_folder(
        store: Arc<dyn PolicyStore>,
        words: Arc<Vocabulary>,
        rules: Rules,
        now: Timestamp,
    ) -> Result<Self, StartFault> {
        let last = store.in_force().await?;
        let mut live = Vec::new();
        if let Some(last) = &last
            && let Some(stored) = store.get(&last.version).await?
        {
            // Of what was in force only the kills matter here: its agreements may be such as this build cannot read.
            let unusable = |what: String| StartFault::Unusable { version: last.version.clone(), what };
            live = kills_of(&stored, &words, now).map_err(unusable)?;
        }
        let loaded = of_folder(&rules, &words, live, None, now).map_err(StartFault::Faults)?;
        let kept = if rules.rehearsal {
            // The pointer stays where it is; the version is kept, for the hops that will name it.
            let version = new_version(&loaded, "folder", "", now);
            store.keep(version).await.map(|_| Pointed::Conflict { current: last.clone() })
        } else {
            put(&*store, &loaded, Expected::Anything, "folder", "", now).await
        };
        let policies = Arc::new(Policies::new(loaded.policy, now));
        let last = match kept {
            Ok(Pointed::Switched(switch) | Pointed::Unchanged(switch)) => Some(switch),
            Ok(Pointed::Conflict { current }) => current,
            Err(error) => {
                policies.note_unkept();
                tracing::error!(%error, "the policy version in force could not be kept");
                last
            }
        };
        Ok(Self::following(policies, store, words, rules, last))
    }

    /// Finds out what is in force and changes nothing; `None` when nothing ever was.
    ///
    /// # Errors
    /// [`StartFault`].
    pub async fn attach(
        store: Arc<dyn PolicyStore>,
        words: Arc<Vocabulary>,
        rules: Rules,
        now: Timestamp,
    ) -> Result<Option<Self>, StartFault> {
        let Some(last) = store.in_force().await? else { return Ok(None) };
        let version = last.version.clone();
        let unusable = |what: String| StartFault::Unusable { version: version.clone(), what };
        let Some(stored) = store.get(&version).await? else {
            return Err(unusable("it is not in the store".to_owned()));
        };
        if !canonical::version(&stored.canonical).full().starts_with(&version) {
            return Err(unusable("its kept text was altered".to_owned()));
        }
        let policy = canonical::read(&version, &stored.canonical, &words).map_err(StartFault::Faults)?;
        let policies = Arc::new(Policies::new(policy, now));
        Ok(Some(Self::following(policies, store, words, rules, Some(last))))
    }
}

/// The kills of a kept version that have not ended, whatever its agreements look like.
fn kills_of(stored: &StoredPolicy, words: &Vocabulary, now: Timestamp) -> Result<Vec<Kill>, String> {
    let value: Value = serde_json::from_str(&stored.canonical).map_err(|error| error.to_string())?;
    let Some(kills) = value.get("kills") else { return Ok(Vec::new()) };
    let (faults, mut written) = (Faults::default(), Written::default());
    written.read_node("kills", &from_json(&serde_json::json!({ "kills": kills })), words, &faults);
    match faults.into_found().first() {
        Some(fault) => Err(format!("its kills have a fault: {fault}")),
        None => Ok(written.kills.unwrap_or_default().into_iter().filter(|kill| kill.until > now).collect()),
    }
}

/// What the folder says, as it would come into force: with the kills that are, or those of them it keeps. What reads like
/// a mistake is logged.
///
/// # Errors
/// Faults, findings that weigh as errors among them: nobody is asked here whether to let them through.
pub(super) fn of_folder(
    rules: &Rules,
    words: &Vocabulary,
    live: Vec<Kill>,
    current: Option<&PolicySet>,
    now: Timestamp,
) -> Result<Loaded, Vec<Fault>> {
    let name = rules.folder.display().to_string();
    let fault = |problem: String| Fault { file: name.clone(), line: 1, field: String::new(), problem };
    let Written { agreements, defaults, kills, .. } = folder::read(&rules.folder, words)?;
    let kills = kept(kills, live).map_err(|id| vec![fault(super::PublishError::StrangeKill(id).to_string())])?;
    let base = canonical::compile(agreements.clone(), &defaults, Vec::new(), words);
    let found = findings(&base.policy, current, words, &rules.traffic, now, None);
    let (grave, slight) = lints::weighed(&rules.folder, found);
    if !grave.is_empty() {
        return Err(grave);
    }
    slight.iter().for_each(|finding| tracing::warn!(folder = %name, "{finding}"));
    Ok(canonical::compile(agreements, &defaults, kills, words))
}
