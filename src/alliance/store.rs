//! How far each network has been read, and its responses as they came. What a store of that must do, whatever database is
//! behind it.

use async_trait::async_trait;

use super::request::Window;
use crate::domain::attribution::Network;
use crate::domain::time::Timestamp;

/// Why a store could not do what it was asked.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum PullStoreError {
    /// The database failed or cannot be reached. Nothing of this call was kept.
    #[error("store of pulls: {0}. Check its disk or server; what was not noted is read again")]
    Unavailable(String),
}

/// Whose cursor it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
pub struct Stream {
    /// The network.
    pub network: Network,
    /// Our account there.
    pub account: Box<str>,
    /// What is asked for.
    pub query: Box<str>,
}

/// How far a stream has been read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cursor {
    /// Nothing is expected to come before this any more: the next reading begins here.
    pub settled: Timestamp,
    /// Everything up to here was read at least once.
    pub read_until: Timestamp,
}

/// A response as it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    /// Which stream asked.
    pub stream: Stream,
    /// For which stretch.
    pub window: Window,
    /// Which page.
    pub page: u32,
    /// When it came.
    pub at: Timestamp,
    /// SHA-256 of the body.
    pub hash: [u8; 32],
    /// The body.
    pub body: Vec<u8>,
}

/// Cursors and responses. An answered write is durable.
#[async_trait]
pub trait PullStore: Send + Sync {
    /// How far a stream has been read, if it ever was.
    async fn cursor(&self, stream: &Stream) -> Result<Option<Cursor>, PullStoreError>;

    /// Every stream with its cursor, by name.
    async fn cursors(&self) -> Result<Vec<(Stream, Cursor)>, PullStoreError>;

    /// Notes that a stream was read on from `from` to `to`: moved only forward, and only when what is noted reaches up to
    /// `from`, so that two readers never make a gap. Whether it was moved.
    async fn advance(&self, stream: &Stream, from: Timestamp, to: Cursor) -> Result<bool, PullStoreError>;

    /// Keeps a response; the same body is kept once.
    async fn keep(&self, response: Response) -> Result<(), PullStoreError>;

    /// Forgets responses that came before this; how many.
    async fn forget(&self, before: Timestamp) -> Result<u64, PullStoreError>;
}
