//! What was agreed for a click: from the policy version that decided it, kept for good. Never from the version in force now,
//! and never decides a click anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::attribution::StoreError;
use crate::domain::attribution::matching::Terms;
use crate::domain::attribution::terms::Agreed;
use crate::domain::attribution::touch::Touch;
use crate::domain::vocabulary::Vocabulary;
use crate::policies::store::PolicyStore;
use crate::policies::versions::{Kept, read};

/// Says what was agreed for clicks.
#[async_trait]
pub trait TermsSource: Send + Sync {
    /// The terms of a click.
    ///
    /// # Errors
    /// When they cannot be looked up now; never because there are none.
    async fn of(&self, touch: &Touch) -> Result<Terms, StoreError>;
}

/// Terms out of kept policy versions. A version that is not kept, or cannot be read any more, gives the usual terms: its
/// clicks are credited as those of an agreement without terms.
pub struct PolicyTerms {
    store: Arc<dyn PolicyStore>,
    words: Vocabulary,
    known: Mutex<HashMap<u64, Option<Arc<Kept>>>>,
}

impl PolicyTerms {
    /// Terms out of this store, in the words of the settings.
    pub fn new(store: Arc<dyn PolicyStore>, words: Vocabulary) -> Self {
        PolicyTerms { store, words, known: Mutex::default() }
    }

    async fn version(&self, number: u64) -> Result<Option<Arc<Kept>>, StoreError> {
        if let Some(known) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&number) {
            return Ok(known.clone());
        }
        let name = format!("{number:016x}");
        let stored = self.store.get(&name).await.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let kept = match stored {
            Some(stored) => match read(&name, &stored.canonical, &self.words) {
                Ok(kept) => Some(Arc::new(kept)),
                Err(error) => {
                    tracing::warn!(%error, "clicks of this version are credited by the usual terms");
                    None
                }
            },
            None => {
                tracing::warn!(version = name, "this policy version is not kept: its clicks have the usual terms");
                None
            }
        };
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(number, kept.clone());
        Ok(kept)
    }
}

#[async_trait]
impl TermsSource for PolicyTerms {
    async fn of(&self, touch: &Touch) -> Result<Terms, StoreError> {
        let kept = self.version(touch.policy_version).await?;
        Ok(kept.map_or_else(|| usual(touch), |kept| agreed(&kept, touch)))
    }
}

fn usual(touch: &Touch) -> Terms {
    Terms { agreement: touch.agreement.clone(), ..Terms::default() }
}

fn agreed(kept: &Kept, touch: &Touch) -> Terms {
    match Agreed::of(&kept.policy, &kept.words, touch, touch.at) {
        Agreed::Terms(found) => Terms {
            window_days: found.window_days,
            sampling: millionths(found.sampling),
            agreement: found.agreement.into(),
            paused: false,
        },
        Agreed::Paused => Terms { paused: true, ..usual(touch) },
        Agreed::Nothing => usual(touch),
    }
}

fn millionths(share: f64) -> u32 {
    // A share is above 0 and at most 1: see how policies are read.
    (share * 1e6).round().clamp(1.0, 1e6) as u32
}
