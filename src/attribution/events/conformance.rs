//! What every store of events must do, whatever database is behind it. Leaves three events in the store.

use serde_json::{Value, json};

use super::read::Reader;
use super::{EventStore, Kept, Row};
use crate::domain::click_id::ClickKey;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::Vocabulary;

fn now() -> Timestamp {
    "2025-11-11T20:00:00+08:00".parse().unwrap()
}

/// A row as an importer reads it.
pub fn row(value: &Value) -> Row {
    let (words, key) = (Vocabulary::default(), ClickKey::new(&[7; 16]));
    let reader = Reader {
        words: &words,
        key: &key,
        now: now(),
        source: "ops",
        may_name_source: true,
        platform: None,
        shop: None,
    };
    reader.value(value)
}

fn read(id: &str, note: &str, at: &str) -> Value {
    json!({"id": id, "kind": "read", "at": at, "platform": "xiaohongshu", "note": note})
}

pub async fn every_event_store(store: &dyn EventStore) {
    let entry = json!({
        "id": "e1", "source": "tmall", "kind": "store_entry", "at": "2025-11-02", "platform": "xiaohongshu", "surface": "note",
        "marketplace": "tmall", "shop_type": "flagship", "category": "health", "note": "n1", "creator": "c1",
        "shop": "shop:1", "item": "42", "agreement": "a-b-c", "read_at": "2025-11-01", "count": 7, "sampled": true
    });
    let wrong = read("r2", "n1", "2026-01-01");
    let batch = vec![row(&read("r1", "n1", "2025-11-01")), row(&wrong), row(&entry)];
    let outcomes = |told: Vec<(Kept, _)>| told.into_iter().map(|(kept, _): (Kept, Vec<_>)| kept).collect::<Vec<_>>();

    let told = store.keep(batch.clone(), now()).await.unwrap();
    assert_eq!(told[1].1[0].code, "future_time");
    assert_eq!(outcomes(told), [Kept::Kept, Kept::Quarantined, Kept::Kept]);
    // Again, in another order: nothing changes but how often the bad row came.
    let again: Vec<Row> = batch.iter().rev().cloned().collect();
    assert_eq!(outcomes(store.keep(again, now()).await.unwrap()), [Kept::Known, Kept::Quarantined, Kept::Known]);
    assert_eq!(store.waiting().await.unwrap(), 1);
    let bad = store.quarantined(None, 10, false).await.unwrap();
    assert_eq!((bad.len(), bad[0].times, bad[0].reasons.as_str(), bad[0].mended_at), (1, 2, "future_time", None));
    assert_eq!(serde_json::from_str::<Value>(&bad[0].raw).unwrap(), wrong, "kept as it came");

    // Mended under its own id.
    let later = now().plus_micros(1);
    assert_eq!(outcomes(store.keep(vec![row(&read("r2", "n2", "2025-11-03"))], later).await.unwrap()), [Kept::Kept]);
    assert_eq!(store.waiting().await.unwrap(), 0);
    assert_eq!(store.quarantined(None, 10, false).await.unwrap(), []);
    assert_eq!(store.quarantined(None, 10, true).await.unwrap()[0].mended_at, Some(later));

    // The same id with other words is no change of what was kept, and does not mend itself.
    let other = row(&read("r1", "n9", "2025-11-01"));
    let told = store.keep(vec![other.clone(), row(&read("r1", "n1", "2025-11-01"))], later).await.unwrap();
    assert_eq!(told[0].1[0].code, "duplicate_key");
    assert_eq!(outcomes(told), [Kept::Quarantined, Kept::Known]);
    assert_eq!(store.waiting().await.unwrap(), 1);
    assert_eq!(
        store
            .quarantined(store.quarantined(None, 1, true).await.unwrap().last().map(|row| row.number), 10, true)
            .await
            .unwrap()
            .len(),
        1
    );

    // Read back whole, by time, in pages.
    let all = store.between(Timestamp::MIN, Timestamp::MAX, 0, 100).await.unwrap();
    let whole: Vec<_> = batch.iter().filter_map(|row| row.read.clone().ok()).collect();
    assert_eq!(all.iter().map(|(_, event)| event.clone()).take(2).collect::<Vec<_>>(), whole);
    let (from, to) = ("2025-11-02".parse().unwrap(), "2025-11-03".parse().unwrap());
    let some = store.between(from, to, 0, 100).await.unwrap();
    assert_eq!(some.iter().map(|(_, event)| &*event.id).collect::<Vec<_>>(), ["e1"], "half-open");
    let page = store.between(Timestamp::MIN, Timestamp::MAX, all[0].0, 1).await.unwrap();
    assert_eq!(page, all[1..2]);
}
