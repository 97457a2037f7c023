//! Getting links from the store into memory: all of them once at start, then whatever changes. Never writes the store.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use super::Catalog;
use super::map::Loading;
use super::store::{Changes, StoreError, UnreadableRow};

/// Changes taken from the feed at a time.
const FEED_PAGE: usize = 2_000;
/// Waiting after a failure: doubles from the first to the last.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LAST_WAIT: Duration = Duration::from_secs(5);

/// How the start-up load works.
#[derive(Debug, Clone, Copy)]
pub struct LoadOptions {
    /// Parts read at the same time.
    pub tasks: usize,
    /// Links read at a time by each.
    pub page: usize,
}

impl Default for LoadOptions {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        LoadOptions { tasks: cores.clamp(1, 4), page: 2_000 }
    }
}

/// How far the start-up load is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadProgress {
    /// Rows read.
    pub loaded: u64,
    /// Rows there were when it began; 0 until it has begun.
    pub total: u64,
}

/// Which revisions are in memory: all up to `through`, and stretches of own writes ahead of it. Without it every own
/// write would be read back from the feed.
#[derive(Default)]
pub(super) struct Seen {
    through: i64,
    ahead: BTreeMap<i64, i64>,
}

impl Seen {
    /// Most stretches remembered; what does not fit is read from the feed.
    const STRETCHES: usize = 4_096;

    /// Revisions `first..=last` are in memory.
    pub(super) fn note(&mut self, first: i64, last: i64) {
        if first <= self.through + 1 {
            self.advance(last);
        } else if self.ahead.len() < Self::STRETCHES {
            let held = self.ahead.entry(first).or_insert(last);
            *held = last.max(*held);
        }
    }

    /// Every revision up to `through` is in memory.
    fn advance(&mut self, through: i64) {
        self.through = self.through.max(through);
        while let Some(next) = self.ahead.first_entry()
            && *next.key() <= self.through + 1
        {
            self.through = self.through.max(next.remove());
        }
    }
}

impl Catalog {
    /// How far the start-up load is.
    pub fn progress(&self) -> LoadProgress {
        LoadProgress {
            loaded: self.0.rows_loaded.load(Ordering::Relaxed),
            total: self.0.rows_total.load(Ordering::Relaxed),
        }
    }

    /// Loads every link. Failures of the store are waited out; [`Catalog::fault`] shows them.
    pub(super) async fn load(self, options: LoadOptions) {
        // A link changed from here on gets a higher revision than `last`: if the parts below miss it, the end of the
        // feed, read after them, has it.
        let last = self.insist(|| self.0.store.latest_revision()).await;
        let total = self.insist(|| self.0.store.count()).await;
        self.0.rows_total.store(total, Ordering::Relaxed);
        self.off_thread(move |catalog| catalog.0.map.expect(usize::try_from(total).unwrap_or_default())).await;

        let page = options.page.max(1);
        let stride = i64::try_from(page * 16).unwrap_or(i64::MAX);
        let from = Arc::new(AtomicI64::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..options.tasks.max(1) {
            let (catalog, from) = (self.clone(), Arc::clone(&from));
            tasks.spawn(async move {
                let mut loading = Loading::default();
                loop {
                    let after = from.fetch_add(stride, Ordering::Relaxed);
                    if after >= last {
                        break;
                    }
                    catalog.load_range(after, after.saturating_add(stride).min(last), page, &mut loading).await;
                }
                catalog.settle(&mut loading).await;
            });
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                // Never seen; staying "not loaded" keeps every link reachable through `fetch`.
                tracing::error!(%error, "links: a part of the start-up load broke off; restart to load all links");
                return;
            }
        }
        self.seen().advance(last);
        self.insist(|| self.catch_up()).await;
        self.0.loaded.store(true, Ordering::Release);
        self.0.cold.clear();
        self.0.done.send_replace(true);
        tracing::info!(links = self.len(), bytes = self.bytes(), "links: all in memory");
    }

    async fn load_range(&self, after: i64, until: i64, page: usize, loading: &mut Loading) {
        let mut after = after;
        loop {
            let ask = || self.0.store.changed_since(after, Some(until), page);
            let changes = match ask().await {
                Ok(changes) => changes,
                Err(error) => {
                    self.set_fault(Some(error));
                    // What was read is found while the store fails.
                    self.settle(loading).await;
                    self.insist(ask).await
                }
            };
            let Changes { links, unreadable, through, more } = changes;
            let read = links.len() + unreadable.len();
            warn(&unreadable);
            let mut longer = std::mem::take(loading);
            *loading = self
                .off_thread(move |catalog| {
                    catalog.0.map.load(&links, &mut longer, &mut Vec::with_capacity(256));
                    longer
                })
                .await;
            if loading.is_due() {
                self.settle(loading).await;
            }
            self.0.rows_loaded.fetch_add(read as u64, Ordering::Relaxed);
            if !more {
                return;
            }
            after = through;
        }
    }

    async fn settle(&self, loading: &mut Loading) {
        let loading = std::mem::take(loading);
        self.off_thread(move |catalog| catalog.0.map.settle(loading)).await;
    }

    /// Packing two thousand links takes half a millisecond, and making a table for ten million many: too long for a thread that
    /// others wait for.
    async fn off_thread<R: Send + 'static>(&self, work: impl FnOnce(Catalog) -> R + Send + 'static) -> R {
        let catalog = self.clone();
        match tokio::task::spawn_blocking(move || work(catalog)).await {
            Ok(made) => made,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// Takes over what other processes write to the store, every `poll`, for ever. Drop the future to stop.
    pub async fn follow(&self, poll: Duration) {
        self.wait_loaded().await;
        loop {
            tokio::time::sleep(poll).await;
            let outcome = self.catch_up().await;
            self.set_fault(outcome.err());
        }
    }

    /// Reads the change feed to its end.
    async fn catch_up(&self) -> Result<(), StoreError> {
        // One row, where asking the feed itself walks an index; and nothing at all when every write was our own.
        let latest = self.0.store.latest_revision().await?;
        loop {
            let through = self.seen().through;
            if latest <= through {
                return Ok(());
            }
            let changes = self.0.store.changed_since(through, None, FEED_PAGE).await?;
            self.put_all(&changes.links);
            warn(&changes.unreadable);
            // What can no longer be checked must not be clicked.
            changes.unreadable.iter().for_each(|row| self.0.map.remove(&row.code));
            self.seen().advance(changes.through);
            if !changes.more {
                self.seen().advance(latest);
                return Ok(());
            }
        }
    }

    async fn insist<R, F>(&self, ask: impl Fn() -> F) -> R
    where
        F: Future<Output = Result<R, StoreError>>,
    {
        let mut wait = FIRST_WAIT;
        loop {
            match ask().await {
                Ok(answer) => {
                    self.set_fault(None);
                    return answer;
                }
                Err(error) => self.set_fault(Some(error)),
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LAST_WAIT);
        }
    }
}

fn warn(unreadable: &[UnreadableRow]) {
    if let Some(first) = unreadable.first() {
        tracing::warn!(count = unreadable.len(), code = first.code, what = first.what, "links: left out unusable rows");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seen_joins_stretches_and_never_skips_a_foreign_revision() {
        let mut seen = Seen::default();
        seen.note(1, 3);
        seen.note(6, 7);
        seen.note(5, 5);
        assert_eq!(seen.through, 3, "4 is not ours and not seen");
        seen.advance(4);
        assert_eq!(seen.through, 7);
        seen.advance(2);
        assert_eq!((seen.through, seen.ahead.len()), (7, 0));
    }
}
