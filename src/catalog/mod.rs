//! The links: every one in memory for the click path, all of them in a [`LinkStore`] behind it.
//!
//! A click reads memory only ([`Catalog::with`]). Writes go to the store first and to memory before the caller is
//! answered. What another process writes arrives over the store's change feed. One rule settles every race between the
//! start-up load, the feed and own writes: the higher revision wins.
//!
//! Never decides whether a link may be clicked, and never lets a click wait for the store, with one bounded exception
//! while the start-up load runs ([`Catalog::fetch`]).

mod alternates;
mod cold;
mod create;
mod load;
mod map;
mod packed;
mod rows;
mod settled;
pub mod sqlite;
pub mod store;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

pub use cold::FetchError;
pub use create::{Created, NewLink, issue};
pub use load::{LoadOptions, LoadProgress};

use crate::domain::link::{Link, LinkView};
use map::LinkMap;
use store::{LinkChange, LinkStore, StoreError, UpdateOutcome};

/// What a look-up found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup<R> {
    /// The link is there; what the closure made of it.
    Found(R),
    /// No link has this code.
    Unknown,
    /// The start-up load is not done and the code is not in memory yet: ask [`Catalog::fetch`].
    NotLoaded,
}

/// A handle on the links. Cloning it is cheap.
#[derive(Clone)]
pub struct Catalog(Arc<Inner>);

struct Inner {
    store: Arc<dyn LinkStore>,
    map: LinkMap,
    loaded: AtomicBool,
    done: watch::Sender<bool>,
    rows_loaded: AtomicU64,
    rows_total: AtomicU64,
    cold: cold::Cold,
    seen: Mutex<load::Seen>,
    fault: Mutex<Option<StoreError>>,
}

impl Catalog {
    /// A catalog over a store. Returns at once; the links are loaded in the background.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open(store: Arc<dyn LinkStore>, options: LoadOptions) -> Self {
        let catalog = Catalog(Arc::new(Inner {
            store,
            map: LinkMap::new(),
            loaded: AtomicBool::new(false),
            done: watch::Sender::new(false),
            rows_loaded: AtomicU64::new(0),
            rows_total: AtomicU64::new(0),
            cold: cold::Cold::default(),
            seen: Mutex::default(),
            fault: Mutex::default(),
        }));
        tokio::spawn(catalog.clone().load(options));
        catalog
    }

    /// Looks a code up in memory and runs `read` on its link. No disk, no allocation, no await.
    ///
    /// `read` runs under the read guard of the link's shard, unless the link is as it was at the start: keep it short, and
    /// call nothing of this catalog from it.
    #[inline]
    pub fn with<R>(&self, code: &str, read: impl FnOnce(LinkView<'_>) -> R) -> Lookup<R> {
        // Asked before the map is: were it asked after, a load that ends in between would turn a link that has just
        // arrived into an unknown one.
        let loaded = self.is_loaded();
        match self.0.map.with(code, read) {
            Some(made) => Lookup::Found(made),
            None if loaded => Lookup::Unknown,
            None => Lookup::NotLoaded,
        }
    }

    /// Changes a link, in the store and then in memory; with `expected_revision`, only if it still has that one.
    ///
    /// # Errors
    /// [`StoreError`]; memory is then unchanged.
    pub async fn update(
        &self,
        code: &str,
        expected_revision: Option<i64>,
        change: LinkChange,
    ) -> Result<UpdateOutcome, StoreError> {
        let outcome = self.0.store.update(code, expected_revision, change).await?;
        if let UpdateOutcome::Updated(link) = &outcome {
            self.0.map.put(link, &mut Vec::new());
            self.seen().note(link.revision, link.revision);
        }
        Ok(outcome)
    }

    /// The store behind, for lists and for whole links with their labels.
    pub fn store(&self) -> &Arc<dyn LinkStore> {
        &self.0.store
    }

    /// How many links are `asked` for; `None` while they are being loaded. Walks them all: not for the path of a click.
    pub fn count(&self, asked: impl Fn(&LinkView<'_>) -> bool) -> Option<u64> {
        self.is_loaded().then(|| self.0.map.count(asked) as u64)
    }

    /// Links in memory.
    pub fn len(&self) -> usize {
        self.0.map.len()
    }

    /// Whether no link is in memory.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the start-up load is done.
    #[inline]
    pub fn is_loaded(&self) -> bool {
        self.0.loaded.load(Ordering::Acquire)
    }

    /// Waits for the start-up load.
    pub async fn wait_loaded(&self) {
        // Fails only when the sender is gone, and `self` holds it.
        let _ = self.0.done.subscribe().wait_for(|done| *done).await;
    }

    /// An estimate of the memory the links take.
    pub fn bytes(&self) -> usize {
        self.0.map.bytes()
    }

    /// The last failure of the load or of [`Catalog::follow`], until it goes well again. Clicks go on from memory.
    pub fn fault(&self) -> Option<StoreError> {
        self.0.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put_all(&self, links: &[Link]) {
        let mut scratch = Vec::with_capacity(256);
        for link in links {
            self.0.map.put(link, &mut scratch);
        }
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, load::Seen> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_fault(&self, fault: Option<StoreError>) {
        let mut held = self.0.fault.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*held, &fault) {
            (None, Some(error)) => tracing::warn!(%error, "links: the store does not answer"),
            (Some(_), None) => tracing::info!("links: the store answers again"),
            _ => {}
        }
        *held = fault;
    }
}
