//! What every policy store must do, whatever database is behind it.

use std::sync::Arc;

use super::store::*;
use crate::domain::policy::Version;
use crate::domain::time::Timestamp;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn new(version: Version, millis: i64) -> NewVersion {
    NewVersion {
        version,
        canonical: format!("{{\"one\":\"一\",\"agreements\":[{}]}}", version.0[31]),
        author: "阿明".into(),
        note: "for 双 11".into(),
        at: at(millis),
        agreements: 1,
    }
}

fn switch(version: Version, expected: Expected, millis: i64) -> NewSwitch {
    NewSwitch { version, expected, by: "ops".into(), note: "go".into(), at: at(millis) }
}

fn made(number: i64, version: Version, millis: i64) -> Switch {
    Switch { number, version: version.to_string(), at: at(millis), by: "ops".into(), note: "go".into() }
}

/// `open` opens the store anew over the same, empty data.
pub async fn every_store<S: PolicyStore + 'static>(open: impl Fn() -> S) {
    let (first, other) = (open(), open());
    let (one, two, three) = (Version([1; 32]), Version([2; 32]), Version([3; 32]));
    assert_eq!(first.in_force().await.unwrap(), None);
    assert!(first.changed().unwrap(), "nobody has looked yet");
    assert!(!first.changed().unwrap());

    // Keeping is not putting in force.
    assert!(first.keep(new(one, 10)).await.unwrap());
    assert!(!other.keep(NewVersion { author: "another".into(), ..new(one, 20) }).await.unwrap(), "kept already");
    assert_eq!(first.in_force().await.unwrap(), None);
    assert!(!first.changed().unwrap());
    let stored = other.get(&one.to_string()).await.unwrap().unwrap();
    assert_eq!((&*stored.info.author, &*stored.info.note), ("阿明", "for 双 11"), "the first author stays");
    assert_eq!((stored.info.created_at, stored.info.since, stored.info.agreements), (at(10), None, 1));
    assert_eq!((&*stored.version, stored.info.hash), (&*one.to_string(), one.full()));
    assert_eq!(stored.canonical, new(one, 0).canonical);

    // Two versions that hops could not tell apart.
    let mut twin = [1; 32];
    twin[31] = 9;
    assert_eq!(first.keep(new(Version(twin), 11)).await, Err(StoreError::ShortTaken(one.to_string())));

    // One pointer, moved only from where it is thought to be.
    let unknown = first.point_to(switch(two, Expected::Anything, 20)).await;
    assert_eq!(unknown, Err(StoreError::Unknown(two.to_string())));
    let stale = first.point_to(switch(one, Expected::Version(two.to_string()), 20)).await.unwrap();
    assert_eq!(stale, Pointed::Conflict { current: None });
    let begun = first.point_to(switch(one, Expected::Nothing, 30)).await.unwrap();
    assert_eq!(begun, Pointed::Switched(made(1, one, 30)));
    assert!(other.changed().unwrap() && first.changed().unwrap() && !first.changed().unwrap());
    let again = other.point_to(switch(one, Expected::Version(one.full()), 40)).await.unwrap();
    assert_eq!(again, Pointed::Unchanged(made(1, one, 30)));
    assert!(!first.changed().unwrap(), "it was in force already");
    assert!(other.keep(new(two, 50)).await.unwrap());
    let stale = other.point_to(switch(two, Expected::Nothing, 60)).await.unwrap();
    assert_eq!(stale, Pointed::Conflict { current: Some(made(1, one, 30)) });
    let moved = other.point_to(switch(two, Expected::Version(one.to_string()), 60)).await.unwrap();
    assert_eq!(moved, Pointed::Switched(made(2, two, 60)));
    let back = first.point_to(switch(one, Expected::Version(two.full()[..8].to_owned()), 70)).await.unwrap();
    assert_eq!(back, Pointed::Switched(made(3, one, 70)), "a version may come back");
    let all = vec![made(1, one, 30), made(2, two, 60), made(3, one, 70)];
    assert_eq!(open().switches().await.unwrap(), all);
    assert_eq!(open().switches_since(1, 1).await.unwrap(), all[1..2]);
    assert_eq!(open().in_force().await.unwrap(), all.last().cloned());
    assert_eq!(first.get(&one.to_string()).await.unwrap().unwrap().info.since, Some(at(30)), "the first time counts");

    // Keeping and switching in one.
    first.put_in_force(three, "{\"agreements\":[1,2]}", at(80)).await.unwrap();
    other.put_in_force(three, "{\"agreements\":[1,2]}", at(90)).await.unwrap();
    let last = open().in_force().await.unwrap().unwrap();
    assert_eq!((last.number, last.at, &*last.by), (4, at(80), "folder"));
    assert_eq!(open().get(&three.to_string()).await.unwrap().unwrap().info.agreements, 2);

    // Looking up and listing.
    let found = |text: &str| {
        let (store, text) = (open(), text.to_owned());
        async move { store.get(&text).await.map(|found| found.map(|stored| stored.version)) }
    };
    for text in [&one.full()[..8], &one.full()[..16], &one.full()[..17], &one.full()] {
        assert_eq!(found(text).await, Ok(Some(one.to_string())), "{text}");
    }
    assert_eq!(found("0101010101010101ff").await, Ok(None), "what goes on otherwise is another");
    assert_eq!(found("0000000000000000").await, Ok(None));
    for text in ["", "0101010", "zzzzzzzz", "01010101%", &format!("{}0", one.full())] {
        assert!(matches!(found(text).await, Err(StoreError::NotAVersion(_))), "{text}");
    }
    let mut near = [1; 32];
    near[7] = 7;
    first.keep(new(Version(near), 85)).await.unwrap();
    assert!(matches!(found("01010101").await, Err(StoreError::Ambiguous(_))));
    let names = |page: Vec<VersionInfo>| page.into_iter().map(|info| info.version).collect::<Vec<_>>();
    let newest = [Version(near), three, two, one].map(|version| version.to_string());
    assert_eq!(names(first.list(None, 10).await.unwrap()), newest);
    let page = first.list(None, 2).await.unwrap();
    let cursor = Cursor { created_at: page[1].created_at, version: page[1].version.clone() };
    assert_eq!(names(first.list(Some(cursor), 10).await.unwrap()), newest[2..]);

    // Runs over recorded hops.
    assert!(first.note_backtest(&two.to_string(), "{\"hops\":5}", at(95)).await.unwrap());
    assert!(!first.note_backtest("0000000000000000", "{}", at(95)).await.unwrap());
    let run = other.get(&two.full()).await.unwrap().unwrap();
    assert_eq!((run.info.backtested_at, run.backtest.as_deref()), (Some(at(95)), Some("{\"hops\":5}")));

    race(&open).await;
}

/// Writers that all expect the same: exactly one is right, round after round.
async fn race<S: PolicyStore + 'static>(open: &impl Fn() -> S) {
    let setup = open();
    let begun = setup.in_force().await.unwrap().unwrap();
    let mut current = begun.version;
    for round in 0..10u8 {
        let stores: Vec<Arc<S>> = (0..4).map(|_| Arc::new(open())).collect();
        let barrier = Arc::new(tokio::sync::Barrier::new(stores.len()));
        let mut tasks = Vec::new();
        for (number, store) in stores.into_iter().enumerate() {
            let mut hash = [100 + round; 32];
            hash[0] = number as u8;
            let version = Version(hash);
            setup.keep(new(version, 1_000 + i64::from(round))).await.unwrap();
            let (barrier, expected) = (Arc::clone(&barrier), Expected::Version(current.clone()));
            tasks.push(tokio::spawn(async move {
                barrier.wait().await;
                (version, store.point_to(switch(version, expected, 2_000)).await.unwrap())
            }));
        }
        let mut winners = Vec::new();
        for task in tasks {
            match task.await.unwrap() {
                (version, Pointed::Switched(_)) => winners.push(version),
                (_, Pointed::Conflict { current: Some(_) }) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(winners.len(), 1, "round {round}: one wins");
        current = setup.in_force().await.unwrap().unwrap().version;
        assert_eq!(current, winners[0].to_string());
    }
    let numbers: Vec<i64> = setup.switches_since(begun.number, 100).await.unwrap().iter().map(|s| s.number).collect();
    assert_eq!(numbers, (begun.number + 1..=begun.number + 10).collect::<Vec<_>>(), "no number is left out");
}
