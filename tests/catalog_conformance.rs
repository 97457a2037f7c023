//! What every link store must do, run against each backend; and what must survive a killed process.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at the first surprise")]

#[path = "catalog_support.rs"]
mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use hopgate::catalog::sqlite::SqliteLinkStore;
use hopgate::catalog::store::{InsertOutcome, LinkChange, LinkQuery, LinkStore, StoreError, UpdateOutcome};
use hopgate::config::marketplaces::shipped;
use hopgate::domain::alternates::Alternate;
use hopgate::domain::code::Code;
use hopgate::domain::link::{Fact, Link, LinkState, Placement};
use hopgate::domain::time::Timestamp;
use hopgate::domain::vocabulary::{MarketplaceId, PlatformId, ShopType, Surface};
use support::{code, link, named, words};

type Store = Arc<dyn LinkStore>;

/// Every rule of [`LinkStore`]; `make` gives an empty store each time.
async fn links_conform(make: impl Fn() -> Store) {
    whole_links_come_back(make()).await;
    taken_codes_fail_alone(make()).await;
    one_of_two_gets_the_slug(make()).await;
    stale_updates_change_nothing(make()).await;
    lists_filter_and_pages_hold_still(make()).await;
    the_latest_come_first(make()).await;
    the_feed_is_ordered_and_complete(make()).await;
    mixed_writes_at_once(make()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let next = std::sync::atomic::AtomicUsize::new(0);
    links_conform(|| {
        let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        open(&folder.path().join(format!("{number}.sqlite")))
    })
    .await;
}

fn open(file: &Path) -> Store {
    Arc::new(SqliteLinkStore::open(file, words()).unwrap())
}

const JD: &str = "https://item.jd.com/100012043978.html";

fn alternate(url: &str) -> Alternate {
    Alternate { landing: shipped().markets().recognise(url).unwrap(), shop_type: ShopType::Flagship, category: None }
}

fn full() -> Link {
    let mut link = named("双".len().to_string().repeat(3).as_str());
    link.landing.shop = Some("shop:木葉の店'; DROP TABLE links".into());
    link.landing.variant = Some("红色 \"XL\" 🧣".into());
    link.category = Some("美妆/口红".into());
    link.creator = Some("李佳琦\u{0}🎤".into());
    link.facts =
        vec![Fact { name: "报备".into(), carried: false }, Fact { name: "xingtu_order".into(), carried: true }];
    link.facts.sort();
    link.tags = vec!["双十一".into(), "a\"b\\c%_".into()];
    link.expires_at = Some(Timestamp::from_micros(-1));
    link.state = LinkState::Disabled;
    link.placement = Placement { platform: None, surface: Some(Surface::AdNote) };
    link.alternates =
        vec![alternate("https://detail.tmall.com/item.htm?id=610947572360&skuId=4344210834141"), alternate(JD)];
    link.alternates[0].category = Some("美妆/\"口红\"".into());
    link.share_code = Some("8.0:/￥AbCdEf12345￥ 淘宝'\n🧣".into());
    link
}

async fn insert_one(store: &Store, link: Link) -> i64 {
    match store.insert(vec![link]).await.unwrap()[..] {
        [InsertOutcome::Stored { revision }] => revision,
        ref other => panic!("{other:?}"),
    }
}

async fn whole_links_come_back(store: Store) {
    assert_eq!(store.count().await.unwrap(), 0);
    assert_eq!(store.latest_revision().await.unwrap(), 0);
    assert_eq!(store.insert(Vec::new()).await.unwrap(), []);
    let mut rich = full();
    rich.revision = insert_one(&store, rich.clone()).await;
    let mut plain = named("plain-one");
    (plain.creator, plain.placement, plain.landing.item) = (None, Placement::default(), None);
    plain.revision = insert_one(&store, plain.clone()).await;
    assert_eq!(store.get(rich.code.as_str()).await.unwrap(), Some(rich));
    assert_eq!(store.get("plain-one").await.unwrap(), Some(plain));
    assert_eq!(store.get("PLAIN-ONE").await.unwrap(), None, "codes tell case apart");
    assert_eq!(store.count().await.unwrap(), 2);
}

async fn taken_codes_fail_alone(store: Store) {
    insert_one(&store, named("taken")).await;
    let other = Link { creator: Some("someone else".into()), ..named("taken") };
    let batch = vec![named("before"), other, named("twice"), named("twice"), named("after")];
    let outcomes = store.insert(batch).await.unwrap();
    let stored = outcomes.iter().map(|outcome| matches!(outcome, InsertOutcome::Stored { .. })).collect::<Vec<_>>();
    assert_eq!(stored, [true, false, true, false, true]);
    assert_eq!(store.get("taken").await.unwrap().unwrap().creator, named("taken").creator);
    assert_eq!(store.count().await.unwrap(), 4);
    assert_eq!(store.latest_revision().await.unwrap(), 4, "a taken code uses no revision");
    for outcome in outcomes {
        if let InsertOutcome::Stored { revision } = outcome {
            let found = store.changed_since(revision - 1, Some(revision), 9).await.unwrap().links;
            assert_eq!(found.len(), 1, "the revision answered is the one stored");
        }
    }
}

async fn one_of_two_gets_the_slug(store: Store) {
    for round in 0..50 {
        let slug = format!("slug-{round}");
        let tasks = ["left", "right"].map(|creator| {
            let (store, link) = (Arc::clone(&store), Link { creator: Some(creator.into()), ..named(&slug) });
            tokio::spawn(async move { (creator, store.insert(vec![link]).await.unwrap()[0]) })
        });
        let mut winners = Vec::new();
        for task in tasks {
            let (creator, outcome) = task.await.unwrap();
            if outcome != InsertOutcome::CodeTaken {
                winners.push(creator);
            }
        }
        assert_eq!(winners.len(), 1);
        assert_eq!(store.get(&slug).await.unwrap().unwrap().creator.as_deref(), Some(winners[0]));
    }
}

async fn stale_updates_change_nothing(store: Store) {
    let first = insert_one(&store, named("changing")).await;
    let change = LinkChange {
        state: Some(LinkState::Disabled),
        expires_at: Some(Some(Timestamp::from_micros(7))),
        tags: Some(vec!["new".into()]),
        category: Some(Some("服饰".into())),
        shop_type: Some(ShopType::Pop),
        facts: Some(vec![Fact { name: "z".into(), carried: true }, Fact { name: "a".into(), carried: false }]),
        platform: Some(Some(PlatformId(2))),
        surface: Some(None),
        creator: Some(None),
        alternates: Some(vec![alternate(JD)]),
    };
    let UpdateOutcome::Updated(updated) = store.update("changing", Some(first), change.clone()).await.unwrap() else {
        panic!("not updated");
    };
    let mut expected = named("changing");
    change.apply(&mut expected);
    expected.revision = updated.revision;
    assert_eq!(*updated, expected);
    assert!(updated.revision > first);
    assert_eq!(store.get("changing").await.unwrap(), Some(expected.clone()));
    let current = updated.revision;
    assert_eq!(updated.alternates.len(), 1);
    let lift = LinkChange { expires_at: Some(None), ..LinkChange::default() };
    let stale = store.update("changing", Some(first), lift.clone()).await.unwrap();
    assert_eq!(stale, UpdateOutcome::Stale { current });
    assert_eq!(store.get("changing").await.unwrap(), Some(expected));
    assert_eq!(store.update("no-such", None, lift.clone()).await.unwrap(), UpdateOutcome::NotFound);
    assert_eq!(store.latest_revision().await.unwrap(), current);
    assert!(matches!(store.update("changing", None, lift).await.unwrap(), UpdateOutcome::Updated(_)));
    let lifted = store.get("changing").await.unwrap().unwrap();
    assert_eq!((lifted.expires_at, lifted.alternates.len()), (None, 1), "what is not spoken of stays");
    let clear = LinkChange { alternates: Some(Vec::new()), ..LinkChange::default() };
    store.update("changing", None, clear).await.unwrap();
    assert_eq!(store.get("changing").await.unwrap().unwrap().alternates, []);
    let tagged = |tag: &str| LinkQuery { tag: Some(tag.into()), ..LinkQuery::default() };
    assert_eq!(store.list(&tagged("new"), None, 9).await.unwrap().links.len(), 1);
    let retag = LinkChange { tags: Some(vec!["newer".into()]), ..LinkChange::default() };
    store.update("changing", None, retag).await.unwrap();
    assert_eq!(store.list(&tagged("new"), None, 9).await.unwrap().links.len(), 0);
    assert_eq!(store.list(&tagged("newer"), None, 9).await.unwrap().links.len(), 1);
}

async fn lists_filter_and_pages_hold_still(store: Store) {
    let mut links = (0..300).map(link).collect::<Vec<_>>();
    for (place, link) in links.iter_mut().enumerate() {
        link.creator = (place % 3 != 0).then(|| format!("c{}", place % 3).into());
        link.placement.platform = (place % 2 == 0).then_some(PlatformId(1));
        link.state = if place % 5 == 0 { LinkState::Disabled } else { LinkState::Active };
        link.tags = if place % 7 == 0 { vec!["七".into(), "x%".into()] } else { Vec::new() };
    }
    store.insert(links.clone()).await.unwrap();
    let query = LinkQuery {
        creator: Some("c1".into()),
        platform: Some(PlatformId(1)),
        marketplace: Some(MarketplaceId::JD),
        state: Some(LinkState::Active),
        tag: Some("x%".into()),
    };
    let one_by_one = [
        LinkQuery { creator: query.creator.clone(), ..LinkQuery::default() },
        LinkQuery { platform: query.platform, ..LinkQuery::default() },
        LinkQuery { marketplace: query.marketplace, ..LinkQuery::default() },
        LinkQuery { marketplace: Some(MarketplaceId::TMALL), ..LinkQuery::default() },
        LinkQuery { state: query.state, ..LinkQuery::default() },
        LinkQuery { tag: query.tag.clone(), ..LinkQuery::default() },
        LinkQuery { tag: Some("X%".into()), ..LinkQuery::default() },
        LinkQuery::default(),
        query,
    ];
    for (round, query) in one_by_one.into_iter().enumerate() {
        let fits = |link: &&Link| {
            query.creator.as_deref().is_none_or(|creator| link.creator.as_deref() == Some(creator))
                && query.platform.is_none_or(|platform| link.placement.platform == Some(platform))
                && query.marketplace.is_none_or(|marketplace| link.landing.marketplace == marketplace)
                && query.state.is_none_or(|state| link.state == state)
                && query.tag.as_ref().is_none_or(|tag| link.tags.contains(tag))
        };
        let mut expected = links.iter().filter(fits).map(|link| link.code.clone()).collect::<Vec<_>>();
        expected.sort();
        let (mut seen, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = store.list(&query, after.as_deref(), 7).await.unwrap();
            assert!(page.links.len() <= 7);
            seen.extend(page.links.into_iter().map(|link| link.code));
            // Inserted while somebody pages: may appear, but displaces nothing.
            let newcomer =
                Link { creator: Some("newcomer".into()), ..link(10_000 + 1_000 * round as u64 + seen.len() as u64) };
            store.insert(vec![newcomer]).await.unwrap();
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert!(seen.is_sorted_by(|a, b| a < b), "in code order, none twice");
        seen.retain(|code| links.iter().any(|link| link.code == *code));
        assert_eq!(seen, expected);
    }
}

async fn the_latest_come_first(store: Store) {
    let of = |i: u64, creator: &str| Link { creator: Some(creator.into()), tags: vec!["t".into()], ..link(i) };
    for i in 0..20 {
        store.insert(vec![of(i, if i % 2 == 0 { "even" } else { "odd" })]).await.unwrap();
    }
    let change = LinkChange { state: Some(LinkState::Disabled), ..LinkChange::default() };
    store.update(code(2).as_str(), None, change).await.unwrap();
    let query = LinkQuery { creator: Some("even".into()), ..LinkQuery::default() };
    let codes = |page: hopgate::catalog::store::Page| {
        assert_eq!(page.next, None);
        page.links.into_iter().map(|link| link.code).collect::<Vec<_>>()
    };
    assert_eq!(codes(store.latest(&query, 3).await.unwrap()), [code(2), code(18), code(16)]);
    let all = LinkQuery::default();
    assert_eq!(codes(store.latest(&all, 2).await.unwrap()), [code(2), code(19)]);
    let tagged = LinkQuery { tag: Some("t".into()), state: Some(LinkState::Active), ..LinkQuery::default() };
    assert_eq!(codes(store.latest(&tagged, 1).await.unwrap()), [code(19)]);
    let nobody = LinkQuery { creator: Some("nobody".into()), ..LinkQuery::default() };
    assert!(codes(store.latest(&nobody, 5).await.unwrap()).is_empty());
}

async fn the_feed_is_ordered_and_complete(store: Store) {
    store.insert((0..100).map(link).collect()).await.unwrap();
    for i in (0..100).step_by(10) {
        let change = LinkChange { state: Some(LinkState::Disabled), ..LinkChange::default() };
        store.update(code(i).as_str(), None, change).await.unwrap();
    }
    let latest = store.latest_revision().await.unwrap();
    let (mut through, mut links) = (0, Vec::new());
    loop {
        let changes = store.changed_since(through, None, 9).await.unwrap();
        assert!(changes.through >= through && changes.unreadable.is_empty());
        through = changes.through;
        links.extend(changes.links);
        if !changes.more {
            break;
        }
    }
    assert_eq!(through, latest);
    assert!(links.is_sorted_by(|a, b| a.revision < b.revision));
    assert_eq!(links.len(), 100, "each once, at its latest revision");
    assert!(links[90..].iter().all(|link| link.state == LinkState::Disabled));
    let part = store.changed_since(95, Some(latest - 5), 1_000).await.unwrap();
    assert!(part.links.iter().all(|link| (96..=latest - 5).contains(&link.revision)));
    let end = store.changed_since(latest, None, 9).await.unwrap();
    assert_eq!((end.links.len(), end.through, end.more), (0, latest, false));
}

async fn mixed_writes_at_once(store: Store) {
    store.insert((0..100).map(link).collect()).await.unwrap();
    let tasks = (0..5_000u64).map(|i| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            match i % 5 {
                0 | 1 => drop(store.insert(vec![link(1_000 + i)]).await.unwrap()),
                2 => assert_eq!(store.insert(vec![link(i % 100)]).await.unwrap(), [InsertOutcome::CodeTaken]),
                _ => {
                    let change = LinkChange { category: Some(Some(i.to_string().into())), ..LinkChange::default() };
                    let outcome = store.update(code(i % 100).as_str(), None, change).await.unwrap();
                    assert!(matches!(outcome, UpdateOutcome::Updated(link) if link.category.as_deref() == Some(&*i.to_string())));
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(store.count().await.unwrap(), 2_100);
    assert_eq!(store.latest_revision().await.unwrap(), 100 + 4_000, "every change took one revision");
    assert_eq!(store.changed_since(0, None, 10_000).await.unwrap().links.len(), 2_100);
}

#[tokio::test]
async fn an_unusable_row_harms_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("links.sqlite");
    let store = open(&file);
    store.insert((0..10).map(link).collect()).await.unwrap();
    let other_hands = rusqlite::Connection::open(&file).unwrap();
    let mut change = other_hands.prepare("UPDATE links SET url = ?2, platform = ?3 WHERE code = ?1").unwrap();
    change.execute((code(3).as_str(), "https://evil.example/?item.jd.com", "kuaishou")).unwrap();
    change.execute((code(5).as_str(), "https://item.jd.com/1.html", "no_such_platform")).unwrap();
    other_hands.execute("UPDATE links SET expires_at = 'soon' WHERE code = ?1", [code(8).as_str()]).unwrap();
    let mut alternates = other_hands.prepare("UPDATE links SET alternates = ?2 WHERE code = ?1").unwrap();
    let stored = |url: &str, kind: &str| {
        format!(
            r#"[{{"url":"{url}","marketplace":"jd","link_kind":"{kind}","shop_hint":"unknown","shop_type":"pop"}}]"#
        )
    };
    alternates.execute((code(6).as_str(), stored("https://evil.test/1.html", "item"))).unwrap();
    alternates.execute((code(7).as_str(), stored(JD, "no_such_kind"))).unwrap();
    alternates.execute((code(9).as_str(), "{")).unwrap();
    for (i, word) in [
        (3, "evil.example"),
        (5, "no_such_platform"),
        (6, "evil.test"),
        (7, "no_such_kind"),
        (8, "type"),
        (9, "no list of landings"),
    ] {
        match store.get(code(i).as_str()).await {
            Err(StoreError::Unreadable { code: named, what }) => {
                assert!(named == code(i).as_str() && what.contains(word))
            }
            other => panic!("{other:?}"),
        }
    }
    let changes = store.changed_since(0, None, 100).await.unwrap();
    assert_eq!((changes.links.len(), changes.unreadable.len()), (4, 6));
    let mut through = 0;
    while let changes = store.changed_since(through, None, 1).await.unwrap()
        && changes.more
    {
        assert!(changes.through > through, "an unusable row does not hold up the feed");
        through = changes.through;
    }
    assert_eq!(through, 10);
}

const CHILD: &str = "HOPGATE_TEST_CRASH_FILE";

/// Runs only as the child of the next test: inserts for ever and names every code it was answered for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_child() {
    let Ok(file) = std::env::var(CHILD) else { return };
    let store = open(Path::new(&file));
    let from = store.latest_revision().await.unwrap() as u64 * 1_000;
    for lane in 0..4 {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for i in 0.. {
                let links = (0..5).map(|k| link(from + lane * 1_000_000_000 + i * 5 + k)).collect::<Vec<_>>();
                let codes = links.iter().map(|link| link.code.to_string()).collect::<Vec<_>>().join(" ");
                assert!(!store.insert(links).await.unwrap().contains(&InsertOutcome::CodeTaken));
                let mut out = std::io::stdout().lock();
                writeln!(out, "answered {codes}").unwrap();
                out.flush().unwrap();
            }
        });
    }
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn answered_inserts_survive_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("links.sqlite");
    let mut answered = Vec::new();
    for kill_after in [1, 60, 200] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["crash_child", "--exact", "--nocapture"])
            .env(CHILD, &file)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        for line in lines.map_while(Result::ok) {
            if let Some((_, codes)) = line.split_once("answered ") {
                answered.extend(codes.split(' ').map(str::to_owned));
                seen += 1;
                if seen == kill_after {
                    child.kill().unwrap();
                }
            }
        }
        child.wait().unwrap();
        assert!(seen >= kill_after);
        // A last line may be cut short by the kill.
        answered.retain(|code| code.len() == Code::GENERATED_LEN);
        let store = open(&file);
        for code in &answered {
            assert!(store.get(code).await.unwrap().is_some(), "{code} was answered and is gone");
        }
        let count = store.count().await.unwrap();
        assert_eq!(store.changed_since(0, None, usize::MAX).await.unwrap().links.len() as u64, count);
        assert_eq!(count % 5, 0, "a call is stored whole or not at all");
    }
}
