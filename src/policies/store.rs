//! Every policy version that was ever in force, kept for good: a hop names the version that decided it, and here is what
//! that version said. Never on the click path, never what decides.

use async_trait::async_trait;

use crate::domain::policy::Version;
use crate::domain::time::Timestamp;

/// Why the store could not do what it was asked.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum StoreError {
    /// The database failed or cannot be reached.
    #[error("policy store: {0}. Check its disk or server; clicks go on under the version in memory")]
    Unavailable(String),
}

/// A version as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredPolicy {
    /// Its identity.
    pub version: String,
    /// Its canonical JSON, whose SHA-256 is its identity.
    pub canonical: String,
    /// When it first came into force.
    pub since: Timestamp,
}

/// A change of the version in force.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Switch {
    /// The version that came into force.
    pub version: String,
    /// When.
    pub at: Timestamp,
}

/// Where policy versions are kept. An answered write is durable.
#[async_trait]
pub trait PolicyStore: Send + Sync {
    /// Keeps a version and notes that it is in force from `at` on. Keeping the one in force again changes nothing.
    async fn put_in_force(&self, version: Version, canonical: &str, at: Timestamp) -> Result<(), StoreError>;

    /// The version in force, if there ever was one.
    async fn in_force(&self) -> Result<Option<Switch>, StoreError>;

    /// A version by the 16 hex digits a hop records.
    async fn get(&self, version: &str) -> Result<Option<StoredPolicy>, StoreError>;

    /// Every change of the version in force, oldest first.
    async fn switches(&self) -> Result<Vec<Switch>, StoreError>;
}

/// What every policy store must do, whatever database is behind it. `open` opens it anew over the same, empty data.
#[cfg(test)]
pub async fn every_store<S: PolicyStore>(open: impl Fn() -> S) {
    let (first, other) = (open(), open());
    let at = Timestamp::from_millis;
    let (one, two) = (Version([1; 32]), Version([2; 32]));
    assert_eq!(first.in_force().await.unwrap(), None);
    first.put_in_force(one, "{\"one\":\"一\"}", at(10)).await.unwrap();
    first.put_in_force(one, "{\"one\":\"一\"}", at(20)).await.unwrap();
    other.put_in_force(two, "{}", at(30)).await.unwrap();
    first.put_in_force(one, "{\"one\":\"一\"}", at(40)).await.unwrap();

    let switch = |version: Version, millis| Switch { version: version.to_string(), at: at(millis) };
    let expected = vec![switch(one, 10), switch(two, 30), switch(one, 40)];
    assert_eq!(open().switches().await.unwrap(), expected, "a version may come back, and is in force but once a time");
    assert_eq!(open().in_force().await.unwrap(), expected.last().cloned());
    let stored = other.get(&one.to_string()).await.unwrap().unwrap();
    assert_eq!((stored.canonical.as_str(), stored.since), ("{\"one\":\"一\"}", at(10)));
    assert_eq!(other.get("0000000000000000").await.unwrap(), None);
}
