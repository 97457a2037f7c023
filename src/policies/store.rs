//! Policy versions, kept for good: a hop names the version that decided it, and here is what that version said. One pointer
//! says which is in force: the last of the switches. Never on the click path, never what decides.

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::policy::Version;
use crate::domain::time::Timestamp;

/// The shortest beginning of a version that names it.
pub const SHORTEST_PREFIX: usize = 8;

/// Why the store could not do what it was asked.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum StoreError {
    /// The database failed or cannot be reached.
    #[error("policy store: {0}. Check its disk or server; clicks go on under the version in memory")]
    Unavailable(String),
    /// Not the name of a version.
    #[error("`{0}` is not a version: give 8 to 64 of the hex digits that `hopgate policy list` shows")]
    NotAVersion(String),
    /// Several versions begin so.
    #[error("`{0}` begins more than one version: give more of its digits")]
    Ambiguous(String),
    /// Nothing is kept under this name.
    #[error("no version `{0}` is kept: see `hopgate policy list`")]
    Unknown(String),
    /// Another version has the same first 16 digits, by which hops name it. Does not happen by chance.
    #[error("another version is kept as `{0}`, which is how hops would name this one: change a note of an agreement")]
    ShortTaken(String),
}

/// A version to be kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewVersion {
    /// Its identity.
    pub version: Version,
    /// Its canonical JSON, whose SHA-256 is its identity.
    pub canonical: String,
    /// Who wrote it.
    pub author: String,
    /// What for.
    pub note: String,
    /// When it was kept.
    pub at: Timestamp,
    /// How many agreements it has.
    pub agreements: usize,
}

/// What is known of a version, its text left out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VersionInfo {
    /// The 16 hex digits a hop records.
    pub version: String,
    /// All 64 hex digits.
    pub hash: String,
    /// Who wrote it.
    pub author: String,
    /// What for.
    pub note: String,
    /// When it was kept.
    pub created_at: Timestamp,
    /// How many agreements it has.
    pub agreements: u64,
    /// When it first came into force, if it did.
    pub since: Option<Timestamp>,
    /// When it was last run over recorded hops, if it was.
    pub backtested_at: Option<Timestamp>,
}

/// A version as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredPolicy {
    /// What is known of it.
    pub info: VersionInfo,
    /// The 16 hex digits a hop records.
    pub version: String,
    /// Its canonical JSON, whose SHA-256 is its identity.
    pub canonical: String,
    /// The sum of its last run over recorded hops, JSON.
    pub backtest: Option<String>,
}

/// A change of the version in force.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Switch {
    /// Its number: 1 is the first ever, and none is left out.
    pub number: i64,
    /// The version that came into force: 16 hex digits.
    pub version: String,
    /// When.
    pub at: Timestamp,
    /// Who switched.
    pub by: String,
    /// Why.
    pub note: String,
}

/// A switch as it is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewSwitch {
    /// The version that is to come into force; it must be kept.
    pub version: Version,
    /// What must be in force for the switch to be made.
    pub expected: Expected,
    /// Who switches.
    pub by: String,
    /// Why.
    pub note: String,
    /// When.
    pub at: Timestamp,
}

/// What must be in force for a switch to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Expected {
    /// Whatever there is.
    Anything,
    /// Nothing yet.
    Nothing,
    /// The version that begins so.
    Version(String),
}

impl Expected {
    /// Whether `hash`, the version in force, is what is expected.
    pub fn is_met(&self, hash: Option<&str>) -> bool {
        match (self, hash) {
            (Expected::Anything, _) | (Expected::Nothing, None) => true,
            (Expected::Version(prefix), Some(hash)) => prefix.len() >= SHORTEST_PREFIX && hash.starts_with(&**prefix),
            _ => false,
        }
    }
}

/// What became of a switch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Pointed {
    /// It was made.
    Switched(Switch),
    /// That version was in force already.
    Unchanged(Switch),
    /// Something else is in force than was expected; nothing was changed.
    Conflict {
        /// What is in force.
        current: Option<Switch>,
    },
}

/// Where a list of versions goes on: after the version kept at this instant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cursor {
    /// When the last one shown was kept.
    pub created_at: Timestamp,
    /// The last one shown.
    pub version: String,
}

/// How soon a switch is looked for; it is to count for every click 10 ms after it was made.
pub(super) const SOON: Duration = Duration::from_millis(5);
/// How late, where writes are told of.
pub(super) const LATE: Duration = Duration::from_millis(50);

/// Where policy versions are kept. An answered write is durable, and seen by every later read of any process.
#[async_trait]
pub trait PolicyStore: Send + Sync {
    /// Keeps a version, in force or not; whether it was new. One that is kept already keeps its author, note and date.
    async fn keep(&self, version: NewVersion) -> Result<bool, StoreError>;

    /// Puts a kept version in force, unless something else is in force than expected. One transaction: of two that expect
    /// the same, one is made.
    async fn point_to(&self, switch: NewSwitch) -> Result<Pointed, StoreError>;

    /// The last switch, which says what is in force, if there ever was one.
    async fn in_force(&self) -> Result<Option<Switch>, StoreError>;

    /// The version that begins with these hex digits: at least 8, the 16 of a hop, or all 64.
    async fn get(&self, prefix: &str) -> Result<Option<StoredPolicy>, StoreError>;

    /// Versions, the last kept first.
    async fn list(&self, after: Option<Cursor>, limit: usize) -> Result<Vec<VersionInfo>, StoreError>;

    /// Every change of the version in force with a number over this one, oldest first, at most so many.
    async fn switches_since(&self, number: i64, limit: usize) -> Result<Vec<Switch>, StoreError>;

    /// Notes that a version was run over recorded hops, with the sum as JSON; `false` when it is not kept.
    async fn note_backtest(&self, version: &str, summary: &str, at: Timestamp) -> Result<bool, StoreError>;

    /// Whether there may have been a switch since the last time this was asked, by this process or another; the first time
    /// it says so anyway. Asked by a thread that may wait, hundreds of times a second after a write: cheap, not async. It may
    /// say so a tenth of a second later where nothing tells it at once.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn changed(&self) -> Result<bool, StoreError>;

    /// Rests until [`PolicyStore::changed`] is worth asking again: 5 ms, and up to 50 where the store is told of every
    /// write. Blocks the thread.
    fn rest(&self) {
        std::thread::sleep(SOON);
    }

    /// Every change of the version in force, oldest first.
    async fn switches(&self) -> Result<Vec<Switch>, StoreError> {
        self.switches_since(0, usize::MAX).await
    }

    /// Keeps a version and puts it in force, whatever was. Doing so with the one in force changes nothing.
    async fn put_in_force(&self, version: Version, canonical: &str, at: Timestamp) -> Result<(), StoreError> {
        let by = "folder".to_owned();
        let new = NewVersion {
            version,
            canonical: canonical.to_owned(),
            author: by.clone(),
            note: String::new(),
            at,
            agreements: count_agreements(canonical),
        };
        self.keep(new).await?;
        let switch = NewSwitch { version, expected: Expected::Anything, by, note: String::new(), at };
        self.point_to(switch).await.map(drop)
    }
}

/// How many agreements a canonical form has; 0 for what is none.
pub(super) fn count_agreements(canonical: &str) -> usize {
    let value: serde_json::Value = serde_json::from_str(canonical).unwrap_or_default();
    value["agreements"].as_array().map_or(0, Vec::len)
}

/// The lower-case form of a version's beginning.
///
/// # Errors
/// [`StoreError::NotAVersion`].
pub fn prefix(text: &str) -> Result<String, StoreError> {
    let lower = text.trim().to_ascii_lowercase();
    let sound = (SHORTEST_PREFIX..=64).contains(&lower.len()) && lower.bytes().all(|byte| byte.is_ascii_hexdigit());
    if sound { Ok(lower) } else { Err(StoreError::NotAVersion(text.chars().take(70).collect())) }
}
