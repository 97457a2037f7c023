//! Which policy was in force when, for terms of long ago: the version that the last switch before an instant put in force.
//! What was read before the first switch is answered by the first version: its agreements are dated as well.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::attribution::event::{Event, Worth};
use crate::domain::policy::PolicySet;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::Vocabulary;
use crate::policies::canonical;
use crate::policies::store::PolicyStore;
use crate::report::asked::ReportError;

/// Versions by the instants from which they were in force.
pub(super) struct Timeline<'w> {
    since: Vec<(Timestamp, Arc<PolicySet>)>,
    latest: String,
    words: &'w Vocabulary,
}

impl<'w> Timeline<'w> {
    /// Every switch there was; `in_force` where there was none.
    pub(super) async fn load(
        store: &dyn PolicyStore,
        in_force: &Arc<PolicySet>,
        words: &'w Vocabulary,
    ) -> Result<Timeline<'w>, ReportError> {
        let failed = |error: &dyn std::fmt::Display| ReportError::Policies(error.to_string());
        let switches = store.switches().await.map_err(|error| failed(&error))?;
        let mut known: HashMap<&str, Arc<PolicySet>> = HashMap::new();
        let mut since = Vec::with_capacity(switches.len());
        for switch in &switches {
            let version = &*switch.version;
            if !known.contains_key(version) {
                let stored = store.get(version).await.map_err(|error| failed(&error))?;
                let stored = stored.ok_or_else(|| failed(&format!("version {version} is not kept any more")))?;
                let policy = canonical::read(version, &stored.canonical, words).map_err(|faults| {
                    let first = faults.first().map(ToString::to_string).unwrap_or_default();
                    failed(&format!("version {version} cannot be used: {first}"))
                })?;
                known.insert(version, Arc::new(policy));
            }
            since.extend(known.get(version).map(|policy| (switch.at, Arc::clone(policy))));
        }
        let latest = switches.last().map_or_else(|| in_force.version().to_string(), |switch| switch.version.clone());
        if since.is_empty() {
            since.push((Timestamp::MIN, Arc::clone(in_force)));
        }
        Ok(Timeline { since, latest, words })
    }

    /// The version in force now.
    pub(super) fn latest(&self) -> &str {
        &self.latest
    }

    /// What an event is worth under the policy in force when it was read.
    pub(super) fn worth(&self, event: &Event) -> Worth<'_> {
        let read = event.reading().unwrap_or(event.at);
        let after = self.since.partition_point(|(since, _)| *since <= read);
        match self.since.get(after.saturating_sub(1)) {
            Some((_, policy)) => event.worth(policy, self.words),
            None if event.kind.is_back() => Worth::NoTerms,
            None => Worth::Whole { agreement: None },
        }
    }
}
