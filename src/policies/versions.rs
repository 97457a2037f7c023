//! Kept policy versions, read once and compiled once, for threads that meet them in recorded hops. A version that is not
//! kept, or was altered, is said so; never replaced by another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::canonical;
use super::store::StoreError;
use crate::domain::policy::PolicySet;
use crate::domain::vocabulary::Vocabulary;

/// A version ready for deciding, with the names it speaks in.
#[derive(Debug)]
pub struct Kept {
    /// The version.
    pub policy: PolicySet,
    /// The names of the settings, and those the version alone knows: one that was since taken from the settings still
    /// decides as it did.
    pub words: Vocabulary,
}

/// Why hops of a version cannot be decided again.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoVersion {
    /// It was never kept, or the database is another one.
    #[error("policy version {0} is not in the database: was another one restored?")]
    Unknown(String),
    /// Its text does not have its hash, or cannot be read.
    #[error("{0}")]
    Unusable(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Asks a store for the canonical JSON of a version by its 16 hex digits; blocks.
pub type Ask<'s> = dyn Fn(&str) -> Result<Option<String>, StoreError> + Send + Sync + 's;

/// Versions by the number a hop records.
pub struct Versions<'s> {
    ask: Box<Ask<'s>>,
    words: Vocabulary,
    found: Mutex<HashMap<u64, Result<Arc<Kept>, NoVersion>>>,
}

impl<'s> Versions<'s> {
    /// Versions a store keeps, in the words of the settings.
    pub fn new(words: Vocabulary, ask: Box<Ask<'s>>) -> Self {
        Versions { ask, words, found: Mutex::default() }
    }

    /// The version with this number. Threads that ask for one at the same time wait for one look at the store.
    ///
    /// # Errors
    /// [`NoVersion`], the same each time.
    pub fn get(&self, number: u64) -> Result<Arc<Kept>, NoVersion> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.entry(number).or_insert_with(|| self.load(number).map(Arc::new)).clone()
    }

    fn load(&self, number: u64) -> Result<Kept, NoVersion> {
        let name = format!("{number:016x}");
        let text = (self.ask)(&name)?.ok_or_else(|| NoVersion::Unknown(name.clone()))?;
        read(&name, &text, &self.words)
    }
}

/// Compiles the kept text of a version.
///
/// # Errors
/// [`NoVersion::Unusable`], in one line.
pub fn read(name: &str, text: &str, words: &Vocabulary) -> Result<Kept, NoVersion> {
    let mut words = words.clone();
    if let Ok(value) = serde_json::from_str(text) {
        learn(&value, &mut words);
    }
    let policy = canonical::read(name, text, &words).map_err(|faults| {
        let first = faults.first().map(|fault| format!("{} {}", fault.field, fault.problem)).unwrap_or_default();
        let more = if faults.len() > 1 { format!(" (and {} more)", faults.len() - 1) } else { String::new() };
        NoVersion::Unusable(format!("policy version {name} cannot be used: {}{more}", first.trim()))
    })?;
    Ok(Kept { policy, words })
}

/// Adds the platforms and marketplaces a version names. What is no name is left for the reading to refuse.
fn learn(value: &Value, words: &mut Vocabulary) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let listed = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
                for name in listed.iter().filter_map(Value::as_str) {
                    match key.as_str() {
                        "platform" => drop(words.add_platform(name)),
                        "marketplace" => drop(words.add_marketplace(name)),
                        _ => {}
                    }
                }
                learn(value, words);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| learn(value, words)),
        _ => {}
    }
}
