//! Which policy was in force when, for terms of long ago: the version that the last switch before an instant put in force.
//! What was read before the first switch is answered by the first version: its agreements are dated as well.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::attribution::event::{Event, Worth};
use crate::domain::attribution::touch::Touch;
use crate::domain::policy::PolicySet;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::Vocabulary;
use crate::policies::store::PolicyStore;
use crate::policies::versions::{Kept, read};
use crate::report::asked::ReportError;

/// Versions by the instants from which they were in force.
pub(super) struct Timeline<'s> {
    since: Vec<(Timestamp, Arc<Kept>)>,
    /// What speaks where nothing was ever put in force.
    otherwise: (&'s PolicySet, &'s Vocabulary),
    latest: String,
}

impl<'s> Timeline<'s> {
    /// Every switch there was; `in_force` where there was none.
    pub(super) async fn load(
        store: &dyn PolicyStore,
        in_force: &'s PolicySet,
        words: &'s Vocabulary,
    ) -> Result<Timeline<'s>, ReportError> {
        let failed = |error: &dyn std::fmt::Display| ReportError::Policies(error.to_string());
        let switches = store.switches().await.map_err(|error| failed(&error))?;
        let mut known: HashMap<&str, Arc<Kept>> = HashMap::new();
        let mut since = Vec::with_capacity(switches.len());
        for switch in &switches {
            let version = &*switch.version;
            if !known.contains_key(version) {
                let stored = store.get(version).await.map_err(|error| failed(&error))?;
                let stored = stored.ok_or_else(|| failed(&format!("version {version} is not kept any more")))?;
                let kept = read(version, &stored.canonical, words).map_err(|error| failed(&error))?;
                known.insert(version, Arc::new(kept));
            }
            since.extend(known.get(version).map(|kept| (switch.at, Arc::clone(kept))));
        }
        let latest = switches.last().map_or_else(|| in_force.version().to_string(), |switch| switch.version.clone());
        Ok(Timeline { since, otherwise: (in_force, words), latest })
    }

    /// The version in force now.
    pub(super) fn latest(&self) -> &str {
        &self.latest
    }

    /// What an event, and the click it comes from, is worth under the policy in force when it was read.
    pub(super) fn worth<'t>(&'t self, event: &Event, click: Option<&'t Touch>) -> Worth<'t> {
        let read = event.reading().unwrap_or(event.at);
        let after = self.since.partition_point(|(since, _)| *since <= read);
        match self.since.get(after.saturating_sub(1)) {
            Some((_, kept)) => event.worth(&kept.policy, &kept.words, click),
            None => event.worth(self.otherwise.0, self.otherwise.1, click),
        }
    }
}
