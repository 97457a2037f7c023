//! API keys: who may use the control API, in which role, and for whom it speaks.
//!
//! A key is shown once, when it is made; only its SHA-256 is kept, and found again by it. Never keeps or logs the text
//! of a key, and never decides what a role may do; see [`super::guard`].

#[cfg(test)]
pub(super) mod conformance;
pub mod sqlite;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use serde::Serialize;

use crate::click::write_private;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::closed_list;

closed_list! {
    /// What a key is for.
    Role {
        /// Makes links and sees its own.
        Creator = "creator",
        /// Asks for decisions and sees the links of its platform.
        Platform = "platform",
        /// Asks for decisions.
        Merchant = "merchant",
        /// Everything.
        Ops = "ops",
    }
}

/// Random characters of a key: 190 bits.
const RANDOM: usize = 32;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// The longest name and scope, in characters.
const LONGEST: usize = 255;

/// The text of a key, `hk_<role>_<32 base62>`. Has no `Debug` and no `Display`, so that it cannot slip into a log.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyText(String);

impl KeyText {
    /// A new key out of the operating system's randomness.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`].
    pub fn draw(role: Role) -> Result<Self, KeyError> {
        let mut text = format!("hk_{role}_");
        let full = text.len() + RANDOM;
        while text.len() < full {
            let mut bytes = [0; 2 * RANDOM];
            getrandom::fill(&mut bytes).map_err(|error| KeyError::NoRandomness(error.to_string()))?;
            // 248 = 4 × 62: rejecting the rest keeps every character equally likely.
            let digits = bytes.iter().filter(|byte| **byte < 248).map(|byte| BASE62[usize::from(*byte) % 62]);
            text.extend(digits.take(full - text.len()).map(char::from));
        }
        Ok(KeyText(text))
    }

    /// A text somebody presents, if it has the form of a key.
    pub fn parse(text: &str) -> Option<Self> {
        let (role, random) = text.strip_prefix("hk_")?.split_once('_')?;
        Role::parse(role)?;
        let sound = random.len() == RANDOM && random.bytes().all(|byte| byte.is_ascii_alphanumeric());
        sound.then(|| KeyText(text.to_owned()))
    }

    /// The text, to be shown once.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub fn hash(&self) -> KeyHash {
        let digest = ring::digest::digest(&ring::digest::SHA256, self.0.as_bytes());
        let mut hash = [0; 32];
        hash.copy_from_slice(digest.as_ref());
        KeyHash(hash)
    }
}

/// The SHA-256 of a key's text. A random text of 190 bits needs no salt and no slow hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyHash(pub [u8; 32]);

impl fmt::Display for KeyHash {
    /// 64 hex digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A key as it is kept and listed: everything but its text.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct KeyRecord {
    /// Names the key in lists and for revoking: the first 16 hex digits of its hash.
    pub id: String,
    /// What it is for.
    pub role: Role,
    /// The creator, platform or shop it speaks for; none: it speaks for all of its sort.
    pub scope: Option<String>,
    /// For people.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stopped working, if it did.
    pub revoked_at: Option<Timestamp>,
}

/// A key to be kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewKey {
    /// The hash of its text.
    pub hash: KeyHash,
    /// The rest.
    pub record: KeyRecord,
}

impl NewKey {
    /// Draws a key: its text, to be shown once, and what is to be kept.
    ///
    /// # Errors
    /// [`KeyError::BadName`] and [`KeyError::NoRandomness`].
    pub fn draw(role: Role, scope: Option<&str>, name: &str, now: Timestamp) -> Result<(KeyText, NewKey), KeyError> {
        let name = name.trim();
        let sound = |text: &str| {
            let length = text.chars().count();
            (1..=LONGEST).contains(&length) && !text.chars().any(char::is_control)
        };
        if !sound(name) {
            return Err(KeyError::BadName("name"));
        }
        if scope.is_some_and(|scope| !sound(scope) || scope.contains(char::is_whitespace)) {
            return Err(KeyError::BadName("scope"));
        }
        let text = KeyText::draw(role)?;
        let hash = text.hash();
        let record = KeyRecord {
            id: hash.to_string()[..16].to_owned(),
            role,
            scope: scope.map(str::to_owned),
            name: name.to_owned(),
            created_at: now,
            revoked_at: None,
        };
        Ok((text, NewKey { hash, record }))
    }
}

/// Why a key could not be made, found or revoked.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// The database failed or cannot be reached.
    #[error("key store: {0}. Check its disk or server; links and clicks go on")]
    Unavailable(String),
    /// A row that is there and cannot be read.
    #[error("key `{id}` in the store cannot be used: {what}. Revoke it and make another")]
    Unreadable {
        /// The key.
        id: String,
        /// What is wrong with it.
        what: String,
    },
    /// The operating system gave no random bytes.
    #[error("no key could be drawn: {0}")]
    NoRandomness(String),
    /// A name or scope that will not do.
    #[error("the key's {0} must have 1 to 255 characters without control characters, a scope without white space too")]
    BadName(&'static str),
}

/// Where keys are kept. An answered write is durable, and seen by the next [`KeyStore::find`] of any process.
#[async_trait]
pub trait KeyStore: Send + Sync {
    /// Keeps a key.
    async fn create(&self, key: NewKey) -> Result<(), KeyError>;

    /// Every key, revoked ones included, oldest first.
    async fn list(&self) -> Result<Vec<KeyRecord>, KeyError>;

    /// Ends a key at `at`; `false` when no key has this id. One that is revoked already keeps its instant.
    async fn revoke(&self, id: &str, at: Timestamp) -> Result<bool, KeyError>;

    /// The key of a hash, revoked ones included.
    async fn find(&self, hash: KeyHash) -> Result<Option<KeyRecord>, KeyError>;
}

/// Why there is no first key.
#[derive(Debug, thiserror::Error)]
pub enum AdminKeyError {
    /// The store failed.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The file could not be written; no key was made.
    #[error("cannot write the first ops key to {}: {source}. Make the folder writable and start again", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Makes the first ops key and writes it to `path` (mode 0600) when the store has never held one; whether it did. A
/// store whose ops keys are all revoked gets none: making one is then a decision of whoever runs the machine.
///
/// # Errors
/// [`AdminKeyError`].
pub async fn ensure_admin_key(store: &dyn KeyStore, path: &Path, now: Timestamp) -> Result<bool, AdminKeyError> {
    if store.list().await?.iter().any(|key| key.role == Role::Ops) {
        return Ok(false);
    }
    let (text, key) = NewKey::draw(Role::Ops, None, "admin", now)?;
    // The file first: a crash in between leaves a text that opens nothing and is replaced at the next start.
    write_private(path, format!("{}\n", text.reveal()).as_bytes())
        .map_err(|source| AdminKeyError::File { path: path.to_owned(), source })?;
    store.create(key).await?;
    Ok(true)
}
