//! What somebody wants in force, checked and looked at before it is published: what differs, and what reads like a mistake.
//! Changes nothing.

use std::sync::Arc;

use serde_json::Value;

use super::kills::{kept, live};
use super::{Depending, PublishError, Publisher};
use crate::domain::policy::PolicySet;
use crate::domain::policy::lint::{HeavyTraffic, Severity};
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::Vocabulary;
use crate::policies::canonical;
use crate::policies::diff::Diff;
use crate::policies::folder::Loaded;
use crate::policies::lints::{self, Finding};
use crate::policies::store::{StoreError, StoredPolicy, Switch};
use crate::policies::yaml::Written;

/// What somebody wants in force.
#[derive(Debug)]
pub enum Proposal {
    /// What was written, checked. Kills in force stay unless it speaks of kills.
    Written(Written),
    /// A kept version, by its first digits: roll back. Kills in force stay unless it is to be taken exactly.
    Kept {
        /// Its first digits.
        version: String,
        /// With its own kills instead of those in force.
        exact: bool,
    },
}

/// A proposal with everything that is to be known before it is published.
#[derive(Debug)]
pub struct Prepared {
    /// What would come into force.
    pub candidate: Loaded,
    /// What differs from the version in force.
    pub diff: Diff,
    /// What reads like a mistake.
    pub findings: Vec<Finding>,
    /// What is in force now.
    pub current: Option<Switch>,
    /// The same without kills: what is kept and run over recorded hops.
    pub(super) base: Loaded,
    /// The kept version it was taken from.
    pub(super) origin: Option<StoredPolicy>,
}

impl Publisher {
    /// Checks a proposal against what is in force. Changes nothing.
    ///
    /// # Errors
    /// [`PublishError::Unreadable`] and [`PublishError::Store`].
    pub async fn prepare(&self, proposal: Proposal, now: Timestamp) -> Result<Prepared, PublishError> {
        self.sync(now).await?;
        let (last, set) = self.snapshot();
        let origin = match &proposal {
            Proposal::Written(_) => None,
            Proposal::Kept { version, .. } => {
                let found = self.store.get(version).await?;
                Some(found.ok_or_else(|| StoreError::Unknown(version.clone()))?)
            }
        };
        let (words, traffic) = (Arc::clone(&self.words), self.rules.traffic.clone());
        let depending = self.depending.get().cloned();
        let work = move || {
            let before = last.is_some().then(|| Arc::clone(&set));
            let mut prepared = prepare(proposal, origin, &set, last, &words, now)?;
            // Of the agreements alone: what is switched off for the moment hides nothing of them.
            let base = &prepared.base.policy;
            prepared.findings = findings(base, before.as_deref(), &words, &traffic, now, depending.as_ref());
            Ok(prepared)
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| PublishError::Broken(error.to_string()))?
    }
}

fn prepare(
    proposal: Proposal,
    origin: Option<StoredPolicy>,
    current: &PolicySet,
    last: Option<Switch>,
    words: &Vocabulary,
    now: Timestamp,
) -> Result<Prepared, PublishError> {
    let (agreements, defaults, kills) = match (proposal, &origin) {
        (Proposal::Kept { version, exact }, Some(stored)) => {
            let read = canonical::read(&stored.version, &stored.canonical, words);
            let set = read.map_err(|faults| PublishError::Unreadable { version, faults })?;
            // Its own kills where they come to the same: then what comes into force is that very version.
            let own = exact || live(&set, now) == live(current, now);
            let kills = if own { set.kills().to_vec() } else { live(current, now) };
            (set.agreements().to_vec(), set.defaults().to_vec(), kills)
        }
        (Proposal::Kept { version, .. }, None) => return Err(StoreError::Unknown(version).into()),
        (Proposal::Written(written), _) => {
            let kills = kept(written.kills, live(current, now)).map_err(PublishError::StrangeKill)?;
            (written.agreements, written.defaults, kills)
        }
    };
    let base = canonical::compile(agreements.clone(), &defaults, Vec::new(), words);
    let candidate = canonical::compile(agreements, &defaults, kills, words);
    let value = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let before = last.as_ref().map_or(Value::Null, |_| value(&canonical::of(current, words)));
    let diff = Diff::between(&before, &value(&candidate.canonical))
        .named(last.as_ref().map(|last| last.version.clone()), Some(candidate.policy.version().to_string()));
    Ok(Prepared { candidate, diff, findings: Vec::new(), current: last, base, origin })
}

/// Everything that reads like a mistake in a candidate: by itself, and beside the version in force.
pub(super) fn findings(
    candidate: &PolicySet,
    current: Option<&PolicySet>,
    words: &Vocabulary,
    traffic: &HeavyTraffic,
    now: Timestamp,
    depending: Option<&Depending>,
) -> Vec<Finding> {
    let mut found = Vec::new();
    if candidate.agreements().is_empty() && current.is_some_and(|current| !current.agreements().is_empty()) {
        found.push(Finding {
            severity: Severity::Error,
            kind: "closes_everything".to_owned(),
            agreements: Vec::new(),
            message: "has no agreement at all, which refuses every click: publish a kill where that is meant"
                .to_owned(),
            example: None,
        });
    }
    let count = |id: &str| {
        let agreement = candidate.agreements().iter().find(|agreement| &*agreement.id == id)?;
        depending.and_then(|count| count(agreement))
    };
    found.extend(lints::look(candidate, words, traffic, now, &count));
    found
}
