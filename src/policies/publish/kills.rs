//! Kills: versions of their own that switch something off, or on again, at once.

use std::sync::Arc;

use super::{PublishError, Publisher, TRIES, put};
use crate::domain::policy::{Kill, PolicySet};
use crate::domain::time::Timestamp;
use crate::policies::store::{Expected, Pointed, Switch};
use crate::policies::{PublishResult, canonical};

/// The most kills that can be in force at once: each costs every click a look.
pub const MOST_KILLS: usize = 100;

impl Publisher {
    /// Switches something off, at once: a version of its own that needs no more check than its fields.
    ///
    /// # Errors
    /// [`PublishError`]; nothing was changed then.
    pub async fn kill(&self, kill: &Kill, at: Timestamp) -> Result<Switch, PublishError> {
        let note = format!("kill {}: {}", kill.id, kill.why);
        self.change_kills(&kill.by, &note, at, |kills| {
            if kills.len() >= MOST_KILLS {
                return Err(PublishError::TooManyKills);
            }
            if !kills.iter().any(|known| known.id == kill.id) {
                kills.push(kill.clone());
            }
            Ok(())
        })
        .await
    }

    /// Lifts a kill before its end.
    ///
    /// # Errors
    /// [`PublishError`]; nothing was changed then.
    pub async fn lift(&self, id: &str, by: &str, at: Timestamp) -> Result<Switch, PublishError> {
        self.change_kills(by, &format!("lift {id}"), at, |kills| {
            let before = kills.len();
            kills.retain(|kill| &*kill.id != id);
            if kills.len() == before { Err(PublishError::UnknownKill(id.to_owned())) } else { Ok(()) }
        })
        .await
    }

    async fn change_kills(
        &self,
        by: &str,
        note: &str,
        at: Timestamp,
        change: impl Fn(&mut Vec<Kill>) -> Result<(), PublishError>,
    ) -> Result<Switch, PublishError> {
        if self.rules.rehearsal {
            return Err(PublishError::Rehearsal);
        }
        for _ in 0..TRIES {
            self.sync(at).await?;
            let (Some(last), set) = self.snapshot() else { return Err(PublishError::NothingInForce) };
            let mut kills = live(&set, at);
            if let Err(error) = change(&mut kills) {
                self.policies.count(PublishResult::Refused);
                return Err(error);
            }
            let words = Arc::clone(&self.words);
            let work = move || canonical::compile(set.agreements().to_vec(), set.defaults(), kills, &words);
            let loaded =
                tokio::task::spawn_blocking(work).await.map_err(|error| PublishError::Broken(error.to_string()))?;
            let expected = Expected::Version(last.version.clone());
            match put(&*self.store, &loaded, expected, by, note, at).await {
                Ok(Pointed::Switched(switch)) => {
                    self.apply(&switch, loaded.policy, at).await;
                    self.policies.count(PublishResult::Switched);
                    tracing::warn!(version = %switch.version, by = %switch.by, "{}", switch.note);
                    return Ok(switch);
                }
                Ok(Pointed::Unchanged(switch)) => {
                    self.policies.count(PublishResult::Unchanged);
                    return Ok(switch);
                }
                Ok(Pointed::Conflict { .. }) => {}
                Err(error) => {
                    self.policies.count(PublishResult::Failed);
                    return Err(error.into());
                }
            }
        }
        self.policies.count(PublishResult::Stale);
        Err(PublishError::Busy)
    }
}

/// Kills that have not ended.
pub(super) fn live(set: &PolicySet, now: Timestamp) -> Vec<Kill> {
    set.kills().iter().filter(|kill| kill.until > now).cloned().collect()
}

/// The kills of a policy that is to come into force: those it keeps of the `live` ones, or all of them where it does not
/// speak of kills.
///
/// # Errors
/// The id of one that is not in force as it is written: a kill is made by who says why, within its bounds, and not by a
/// policy.
pub(super) fn kept(written: Option<Vec<Kill>>, live: Vec<Kill>) -> Result<Vec<Kill>, Box<str>> {
    let Some(written) = written else { return Ok(live) };
    match written.iter().find(|kill| !live.contains(kill)) {
        Some(strange) => Err(strange.id.clone()),
        None => Ok(written),
    }
}
