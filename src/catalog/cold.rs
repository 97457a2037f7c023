//! Asking the store for one link while the start-up load runs, so that the first click need not wait for the last link.
//!
//! Bounded on both sides: so many questions at once, so many codes remembered as missing. Never used once loaded.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::Catalog;
use super::store::StoreError;
use crate::domain::code::Code;
use crate::domain::link::Link;

/// Most questions to the store at once.
const AT_ONCE: usize = 64;
/// Most codes remembered as missing; the oldest is forgotten first.
const MISSING: usize = 4_096;

/// Why a link could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// As many questions as may be are under way.
    #[error("the link catalog is still loading and busy: try again in a second")]
    Busy,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub(super) struct Cold {
    asking: Semaphore,
    missing: Mutex<Missing>,
}

#[derive(Default)]
struct Missing {
    codes: HashSet<Arc<str>>,
    oldest_first: VecDeque<Arc<str>>,
}

impl Default for Cold {
    fn default() -> Self {
        Cold { asking: Semaphore::new(AT_ONCE), missing: Mutex::default() }
    }
}

impl Cold {
    fn missing(&self) -> std::sync::MutexGuard<'_, Missing> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets everything: the load is done.
    pub(super) fn clear(&self) {
        *self.missing() = Missing::default();
    }
}

impl Missing {
    fn add(&mut self, code: &str) {
        let code: Arc<str> = code.into();
        if !self.codes.insert(Arc::clone(&code)) {
            return;
        }
        self.oldest_first.push_back(code);
        if self.oldest_first.len() > MISSING
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.codes.remove(&oldest);
        }
    }
}

impl Catalog {
    /// Asks the store for one link and puts it into memory, where the next [`Catalog::with`] finds it. For
    /// [`super::Lookup::NotLoaded`] only.
    ///
    /// # Errors
    /// [`FetchError::Busy`] at once when 64 questions are under way; [`FetchError::Store`] when the store fails.
    pub async fn fetch(&self, code: &str) -> Result<Option<Link>, FetchError> {
        if Code::parse(code).is_err() {
            return Ok(None);
        }
        // What is in memory cannot be missing: it was created after the store was asked.
        if !self.is_loaded() && self.0.cold.missing().codes.contains(code) && !self.0.map.contains(code) {
            return Ok(None);
        }
        let _permit = self.0.cold.asking.try_acquire().map_err(|_| FetchError::Busy)?;
        let found = self.0.store.get(code).await?;
        match &found {
            Some(link) => self.put_all(std::slice::from_ref(link)),
            None if !self.is_loaded() => self.0.cold.missing().add(code),
            None => {}
        }
        Ok(found)
    }

    /// How many codes are remembered as missing; at most 4,096, and none once loaded.
    pub fn remembered_missing(&self) -> usize {
        self.0.cold.missing().oldest_first.len()
    }
}
