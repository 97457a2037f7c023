//! What every store of touches must do, whatever database is behind it. Tests only.

use super::touches::{Subject, TouchStore};
use crate::domain::attribution::touch::{Marks, Touch};
use crate::domain::click_id::{ClickId, ClickMint};
use crate::domain::device::{HostApp, Os};
use crate::domain::hop::{Hop, HopFlags, Outcome, PlacementSource};
use crate::domain::landing::Way;
use crate::domain::policy::Reason;
use crate::domain::time::Timestamp;
use crate::domain::tried::Tried;
use crate::domain::vocabulary::{LandingMode, LinkKind, ShopType, Surface};

/// 2025-11-11 00:00 in Beijing.
pub(crate) const MIDNIGHT: i64 = 1_762_790_400_000_000;

/// A hop like most, clicked so many seconds after [`MIDNIGHT`].
pub(crate) fn hop(number: u64, seconds: i64) -> Hop<'static> {
    let at = Timestamp::from_micros(MIDNIGHT + seconds * 1_000_000);
    let mut seed = [7; 24];
    seed[..8].copy_from_slice(&number.to_le_bytes());
    Hop {
        id: ClickMint::new(seed).mint(at),
        at,
        code: "k3Xw9Qa",
        creator: "c1024",
        platform: "kuaishou",
        surface: Some(Surface::LiveCart),
        placement_source: PlacementSource::Link,
        marketplace: "taobao",
        shop_type: ShopType::CStore,
        link_kind: LinkKind::Alliance,
        category: "beauty",
        item: "681234567890",
        shop: "s9",
        facts: "official_card !stolen",
        outcome: Outcome::Allow,
        reason: Reason::Allowed,
        agreement: "ks-tb-2022",
        policy_version: 0xfedc_ba98_7654_3210,
        bucket: None,
        landing: Some(LandingMode::App),
        app: HostApp::Kuaishou,
        os: Os::Android,
        flags: HopFlags::default(),
        address: [0; 8],
        visitor: u128::from(number) + 1,
        node: "gw-1",
        alternate: 0,
        tried: Tried::NONE,
        way: Some(Way::Redirect),
        macros: "",
    }
}

fn refused(number: u64, seconds: i64) -> Hop<'static> {
    Hop { outcome: Outcome::Deny, reason: Reason::NoAgreement, landing: None, way: None, ..hop(number, seconds) }
}

/// The hops that are added in the first part, and in the second.
pub(crate) fn hops(part: usize) -> Vec<Hop<'static>> {
    if part == 0 {
        return vec![
            hop(1, 10),
            Hop { creator: "", macros: "account=7&note=n%2D1", ..hop(2, 20) },
            Hop { code: "other", marketplace: "jd", ..hop(3, 20) },
            Hop { code: "other", flags: HopFlags::BOT, ..hop(4, 30) },
            refused(5, 40),
            Hop { flags: HopFlags::REHEARSAL, ..hop(6, 50) },
            // The same visitor again, shortly after.
            Hop { visitor: 2, ..hop(7, 15) },
        ];
    }
    // A late one, whose id was minted when the clock had been ahead.
    vec![Hop { id: hop(8, 9_999).id, creator: "c7", ..hop(8, -100) }, refused(9, 3)]
}

fn codes(touches: &[Touch]) -> Vec<(&str, i64)> {
    touches.iter().map(|touch| (&*touch.code, (touch.at.micros() - MIDNIGHT) / 1_000_000)).collect()
}

/// `add` makes the store know the hops of a part.
pub(crate) async fn every_touch_store(store: &dyn TouchStore, add: impl Fn(usize)) {
    let at = |seconds: i64| Timestamp::from_micros(MIDNIGHT + seconds * 1_000_000);
    assert_eq!(store.changed().await, Ok(0));
    assert_eq!(store.added_since(0).await, Ok(None));
    add(0);
    let change = store.changed().await.unwrap();
    assert!(change > 0);
    assert_eq!(store.added_since(0).await, Ok(Some((at(10), at(30), change))));
    assert_eq!(store.added_since(change).await, Ok(None));

    let found = store.of_click(hop(2, 20).id).await.unwrap().unwrap();
    let expected = Touch {
        click: hop(2, 20).id,
        at: at(20),
        node: "gw-1".into(),
        seq: 2,
        code: "k3Xw9Qa".into(),
        creator: "".into(),
        platform: "kuaishou".into(),
        surface: "live_cart".into(),
        marketplace: "taobao".into(),
        shop_type: ShopType::CStore,
        link_kind: LinkKind::Alliance,
        category: "beauty".into(),
        facts: "official_card !stolen".into(),
        item: "681234567890".into(),
        shop: "s9".into(),
        agreement: "ks-tb-2022".into(),
        policy_version: 0xfedc_ba98_7654_3210,
        flags: HopFlags::default(),
        marks: Marks::default(),
        note: "n-1".into(),
    };
    assert_eq!(found, expected);
    for unknown in [refused(5, 40).id, hop(6, 50).id, ClickId([9; 16])] {
        assert_eq!(store.of_click(unknown).await, Ok(None), "refused, rehearsed or nobody's");
    }
    assert_eq!(store.of_click(hop(4, 30).id).await.unwrap().unwrap().flags, HopFlags::BOT, "kept, whoever it was");
    assert_eq!(store.of_click(hop(7, 15).id).await.unwrap().unwrap().marks, Marks::DUPLICATE);

    let creator = Subject::Creator("c1024".into());
    let (link, other) = (Subject::Link("k3Xw9Qa".into()), Subject::Link("other".into()));
    let latest = |subjects: &[Subject], since: i64, before: i64, limit: usize| {
        let subjects = subjects.to_vec();
        async move { store.latest(&subjects, &[], at(since), at(before), limit).await.unwrap() }
    };
    let found = latest(std::slice::from_ref(&creator), 0, 100, 9).await;
    assert_eq!(codes(&found), [("other", 30), ("other", 20), ("k3Xw9Qa", 15), ("k3Xw9Qa", 10)]);
    let found = latest(std::slice::from_ref(&link), 0, 100, 9).await;
    assert_eq!(codes(&found), [("k3Xw9Qa", 20), ("k3Xw9Qa", 15), ("k3Xw9Qa", 10)]);
    let found = latest(&[creator.clone(), link.clone(), other], 0, 100, 3).await;
    assert_eq!(codes(&found), [("other", 30), ("other", 20), ("k3Xw9Qa", 20)], "each once, the highest number first");
    assert_eq!(
        codes(&latest(std::slice::from_ref(&creator), 10, 20, 9).await),
        [("k3Xw9Qa", 15), ("k3Xw9Qa", 10)],
        "half-open"
    );
    for (marketplaces, expected) in [
        (&["jd"][..], &[("other", 20)][..]),
        (&["tmall", "taobao"], &[("other", 30), ("k3Xw9Qa", 15), ("k3Xw9Qa", 10)]),
        (&["tmall"], &[]),
    ] {
        let marketplaces: Vec<Box<str>> = marketplaces.iter().map(|name| (*name).into()).collect();
        let found = store.latest(std::slice::from_ref(&creator), &marketplaces, at(0), at(100), 9).await.unwrap();
        assert_eq!(codes(&found), expected, "{marketplaces:?}");
    }
    assert!(latest(&[], 0, 100, 9).await.is_empty());
    assert!(latest(&[Subject::Creator("".into()), Subject::Link("none".into())], 0, 100, 9).await.is_empty());

    add(1);
    let then = store.changed().await.unwrap();
    assert!(then > change);
    assert_eq!(store.added_since(change).await, Ok(Some((at(-100), at(-100), then))), "late ones count");
    assert_eq!(store.added_since(0).await, Ok(Some((at(-100), at(30), then))));
    let stray = store.of_click(hop(8, 9_999).id).await.unwrap().unwrap();
    assert_eq!((stray.at, &*stray.creator), (at(-100), "c7"));
}
