//! The catalog over a store: cold start, races between the load and writes, other processes, bounds.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at the first surprise")]

#[path = "catalog_support.rs"]
mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use hopgate::catalog::sqlite::SqliteLinkStore;
use hopgate::catalog::store::{
    Changes, InsertOutcome, LinkChange, LinkQuery, LinkStore, Page, StoreError, UpdateOutcome,
};
use hopgate::catalog::{Catalog, Created, FetchError, LoadOptions, Lookup};
use hopgate::domain::code::Code;
use hopgate::domain::link::{Link, LinkState};
use support::{code, link, named, new_link, words};
use tokio::sync::Semaphore;

/// A store whose reads can be held up and counted.
struct Held {
    inner: SqliteLinkStore,
    feed: Semaphore,
    gets: Semaphore,
    asked: AtomicUsize,
    failing: AtomicBool,
}

impl Held {
    fn new(file: &Path) -> Arc<Self> {
        Arc::new(Held {
            inner: SqliteLinkStore::open(file, words()).unwrap(),
            feed: Semaphore::new(0),
            gets: Semaphore::new(1_000),
            asked: AtomicUsize::new(0),
            failing: AtomicBool::new(false),
        })
    }

    fn release(&self) {
        self.feed.add_permits(Semaphore::MAX_PERMITS - self.feed.available_permits());
    }
}

#[async_trait]
impl LinkStore for Held {
    async fn insert(&self, links: Vec<Link>) -> Result<Vec<InsertOutcome>, StoreError> {
        self.inner.insert(links).await
    }

    async fn update(
        &self,
        code: &str,
        expected_revision: Option<i64>,
        change: LinkChange,
    ) -> Result<UpdateOutcome, StoreError> {
        self.inner.update(code, expected_revision, change).await
    }

    async fn get(&self, code: &str) -> Result<Option<Link>, StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let _permit = self.gets.acquire().await.map_err(|_| StoreError::Closed)?;
        self.inner.get(code).await
    }

    async fn list(&self, query: &LinkQuery, after: Option<&str>, limit: usize) -> Result<Page, StoreError> {
        self.inner.list(query, after, limit).await
    }

    async fn latest(&self, query: &LinkQuery, limit: usize) -> Result<Page, StoreError> {
        self.inner.latest(query, limit).await
    }

    async fn changed_since(&self, revision: i64, until: Option<i64>, limit: usize) -> Result<Changes, StoreError> {
        if self.failing.swap(false, Ordering::SeqCst) {
            return Err(StoreError::Unavailable { what: "pulled the plug".into() });
        }
        // Read first, delivered later: what comes out is old by then.
        let changes = self.inner.changed_since(revision, until, limit).await;
        self.feed.acquire().await.map_err(|_| StoreError::Closed)?.forget();
        changes
    }

    async fn count(&self) -> Result<u64, StoreError> {
        self.inner.count().await
    }

    async fn latest_revision(&self) -> Result<i64, StoreError> {
        self.inner.latest_revision().await
    }
}

const SMALL: LoadOptions = LoadOptions { tasks: 3, page: 10 };

/// Waits for something another task does; the test's own time-out ends a wait in vain.
async fn until(done: impl Fn() -> bool) {
    let wait = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("did not come about in a minute");
}

fn state(catalog: &Catalog, code: &Code) -> Lookup<LinkState> {
    catalog.with(code.as_str(), |view| view.state)
}

fn disable() -> LinkChange {
    LinkChange { state: Some(LinkState::Disabled), ..LinkChange::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_during_the_load_wins_over_the_loaded_row() {
    let folder = tempfile::tempdir().unwrap();
    let store = Held::new(&folder.path().join("links.sqlite"));
    store.insert((0..500).map(link).collect()).await.unwrap();
    store.insert(vec![named("a-slug")]).await.unwrap();
    let other_process = SqliteLinkStore::open(&folder.path().join("links.sqlite"), words()).unwrap();
    let catalog = Catalog::open(Arc::clone(&store) as Arc<dyn LinkStore>, SMALL);
    assert_eq!(state(&catalog, &code(0)), Lookup::NotLoaded);
    assert_eq!(catalog.with("a-slug", |_| ()), Lookup::NotLoaded);

    let mut changers = Vec::new();
    for i in (0..500).step_by(2) {
        let catalog = catalog.clone();
        changers.push(tokio::spawn(async move { catalog.update(code(i).as_str(), None, disable()).await.unwrap() }));
        store.feed.add_permits(usize::from(i % 40 == 0));
    }
    for i in (1..500).step_by(10) {
        other_process.update(code(i).as_str(), None, disable()).await.unwrap();
    }
    catalog.update("a-slug", None, disable()).await.unwrap();
    other_process.insert(vec![named("written-by-the-other")]).await.unwrap();
    for changer in changers {
        changer.await.unwrap();
    }
    assert_eq!(
        state(&catalog, &code(0)),
        Lookup::Found(LinkState::Disabled),
        "own changes show before the load is done"
    );
    store.release();
    tokio::time::timeout(Duration::from_secs(60), catalog.wait_loaded()).await.unwrap();

    for i in 0..500 {
        let expected = if i % 2 == 0 || i % 10 == 1 { LinkState::Disabled } else { LinkState::Active };
        assert_eq!(state(&catalog, &code(i)), Lookup::Found(expected), "link {i}");
    }
    assert_eq!(state(&catalog, &Code::parse("a-slug").unwrap()), Lookup::Found(LinkState::Disabled));
    assert_eq!(catalog.with("written-by-the-other", |_| ()), Lookup::Found(()), "nothing slips between load and feed");
    assert_eq!(catalog.len(), 502);
    assert_eq!(state(&catalog, &code(9_999)), Lookup::Unknown);
    assert!(catalog.progress().loaded >= 500 - 300 && catalog.progress().total == 501);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cold_questions_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let store = Held::new(&folder.path().join("links.sqlite"));
    store.insert((0..20).map(link).collect()).await.unwrap();
    let catalog = Catalog::open(Arc::clone(&store) as Arc<dyn LinkStore>, SMALL);

    // One that is there: asked once, then in memory.
    assert_eq!(catalog.fetch(code(7).as_str()).await.unwrap().unwrap().code, code(7));
    assert_eq!(state(&catalog, &code(7)), Lookup::Found(LinkState::Active));
    // One that is not: asked once, and what cannot be a code never.
    let asked = || store.asked.load(Ordering::SeqCst);
    let before = asked();
    for _ in 0..10 {
        assert!(catalog.fetch("nothing-here").await.unwrap().is_none());
        assert!(catalog.fetch("no/code").await.unwrap().is_none());
        assert!(catalog.fetch(&"x".repeat(1_000)).await.unwrap().is_none());
    }
    assert_eq!(asked() - before, 1);
    // Created after it was remembered as missing.
    let created = catalog.create(vec![new_link(Some("nothing-here"))], || code(0)).await.unwrap();
    assert!(matches!(created[..], [Created::Stored(_)]));
    assert!(catalog.fetch("nothing-here").await.unwrap().is_some());
    // A scanner fills the memory of missing codes to its bound and no further.
    for i in 0..5_000 {
        catalog.fetch(code(100_000 + i).as_str()).await.unwrap();
    }
    assert_eq!(catalog.remembered_missing(), 4_096);

    // 64 at once, the next one is told at once.
    let holding = store.gets.acquire_many(store.gets.available_permits() as u32).await;
    let holding = match holding {
        Ok(permits) => permits,
        Err(error) => panic!("{error}"),
    };
    let before = asked();
    let waiting = (0..64)
        .map(|i| {
            let catalog = catalog.clone();
            tokio::spawn(async move { catalog.fetch(code(200_000 + i).as_str()).await.map(|found| found.is_some()) })
        })
        .collect::<Vec<_>>();
    until(|| asked() - before == 64).await;
    for i in 0..100 {
        assert!(matches!(catalog.fetch(code(300_000 + i).as_str()).await, Err(FetchError::Busy)));
    }
    assert_eq!(asked() - before, 64, "whoever is turned away has not reached the store");
    drop(holding);
    for task in waiting {
        assert!(!task.await.unwrap().unwrap());
    }
    store.release();
    catalog.wait_loaded().await;
    assert_eq!(catalog.remembered_missing(), 0, "nothing is remembered once everything is known");
    catalog.fetch("still-nothing").await.unwrap();
    assert_eq!(catalog.remembered_missing(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn codes_are_drawn_again_and_slugs_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn LinkStore> = Held::new(&folder.path().join("links.sqlite"));
    store.insert(vec![named("mine"), link(0), link(1)]).await.unwrap();
    let catalog = Catalog::open(Arc::clone(&store), SMALL);
    let mut draws = [0, 1, 0, 5, 5, 6].into_iter().map(code);
    let new =
        vec![new_link(None), new_link(Some("mine")), new_link(Some("fresh")), new_link(None), new_link(Some("fresh"))];
    let created = catalog.create(new, || draws.next().unwrap()).await.unwrap();
    let codes = created
        .iter()
        .map(|created| match created {
            Created::Stored(link) => link.code.as_str(),
            Created::CodeTaken(code) => code.as_str(),
            other => panic!("{other:?}"),
        })
        .collect::<Vec<_>>();
    assert_eq!(codes, [code(6).as_str(), "mine", "fresh", code(5).as_str(), "fresh"]);
    assert!(matches!(created[1], Created::CodeTaken(_)) && matches!(created[4], Created::CodeTaken(_)));
    for created in &created {
        if let Created::Stored(link) = created {
            let kept = store.get(link.code.as_str()).await.unwrap().unwrap();
            assert_eq!(kept, **link, "the answer is what was stored");
            assert_eq!(state(&catalog, &link.code), Lookup::Found(LinkState::Active));
        }
    }
    let mut drawn = 0;
    let stuck = catalog.create(vec![new_link(None)], || (drawn += 1, code(0)).1).await.unwrap();
    assert!(matches!(stuck[..], [Created::NoFreeCode]));
    assert!((8..=9).contains(&drawn));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_process_writes_appears_and_failures_pass() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("links.sqlite");
    let store = Held::new(&file);
    store.release();
    store.failing.store(true, Ordering::SeqCst);
    store.insert((0..30).map(link).collect()).await.unwrap();
    let catalog = Catalog::open(Arc::clone(&store) as Arc<dyn LinkStore>, SMALL);
    let follower = catalog.clone();
    let follow = tokio::spawn(async move { follower.follow(Duration::from_millis(1)).await });
    catalog.wait_loaded().await;
    assert_eq!(catalog.len(), 30, "a failure during the load is waited out");

    let other_process = SqliteLinkStore::open(&file, words()).unwrap();
    other_process.insert((100..5_100).map(link).collect()).await.unwrap();
    other_process.update(code(3).as_str(), None, disable()).await.unwrap();
    catalog.create(vec![new_link(Some("own-one"))], || code(0)).await.unwrap();
    until(|| catalog.len() == 5_031 && state(&catalog, &code(3)) == Lookup::Found(LinkState::Disabled)).await;

    // Links that may no longer be clicked go out of memory: one from the start, one that came later.
    store.failing.store(true, Ordering::SeqCst);
    let bytes = catalog.bytes();
    let other_hands = rusqlite::Connection::open(&file).unwrap();
    for number in [4, 104] {
        other_hands
            .execute_batch(&format!(
                "BEGIN; UPDATE catalog_state SET revision = revision + 1; UPDATE links SET url = 'https://evil.example/', \
                 revision = (SELECT revision FROM catalog_state) WHERE code = '{}'; COMMIT",
                code(number)
            ))
            .unwrap();
    }
    let gone = |number| state(&catalog, &code(number)) == Lookup::Unknown;
    until(|| gone(4) && gone(104) && catalog.fault().is_none()).await;
    assert_eq!(catalog.len(), 5_029);
    assert!(catalog.bytes() < bytes, "what came later gives its memory back");
    follow.abort();
}

#[tokio::test]
async fn a_look_up_allocates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn LinkStore> =
        Arc::new(SqliteLinkStore::open(&folder.path().join("links.sqlite"), words()).unwrap());
    store.insert(vec![link(0), named("a-slug")]).await.unwrap();
    let catalog = Catalog::open(store, SMALL);
    catalog.wait_loaded().await;
    let (there, not_there) = (code(0), code(1));
    let allocations = allocation_counter::measure(|| {
        for text in [there.as_str(), "a-slug"] {
            assert_eq!(catalog.with(text, |view| view.url.len()), Lookup::Found(40));
        }
        assert_eq!(catalog.with(not_there.as_str(), |_| ()), Lookup::Unknown);
    });
    assert_eq!(allocations.count_total, 0);
}
