//! Staged openings: the same hash as Unleash's, widening never puts anyone out, and who is in one opening says nothing of
//! who is in another.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use hopgate::domain::policy::rollout::bucket;
use hopgate::domain::policy::{
    Agreement, Conditions, Effect, Facts, PolicySet, Rollout, Step, StickTo, Version, decide,
};
use hopgate::domain::time::Timestamp;
use hopgate::domain::vocabulary::{LandingMode, LinkKind, MarketplaceId, PlatformId, ShopType, Surface};
use proptest::prelude::*;

/// Group, id, percent, whether in: every case of Unleash's client specification (github.com/Unleash/client-specification
/// at 931b695b) in which a rollout alone decides on an id: 03 by user, 04 by session, 10 flexible rollout, 12 custom
/// stickiness, and those of its variant cases (08, 12, 16) that say whether the feature is on.
const UNLEASH: [(&str, &str, u16, bool); 25] = [
    ("AB12A", "123", 100, true),
    ("AB12A", "122", 50, true),
    ("AB12A", "155", 50, false),
    ("AB12A", "122", 0, false),
    ("feature-variant-g", "0", 0, false),
    ("Feature.flexibleRollout.10", "174", 10, true),
    ("Feature.flexibleRollout.10", "499", 10, false),
    ("Feature.flexibleRollout.userId.55", "25", 55, true),
    ("Feature.flexibleRollout.sessionId.42", "147", 42, true),
    ("Feature.flexibleRollout.0", "12", 0, false),
    ("Feature.flexibleRollout.0", "147", 0, false),
    ("Feature.flexible.rollout.custom.stickiness_100", "any_value", 100, true),
    ("Feature.flexible.rollout.custom.stickiness_100", "616", 100, true),
    ("Feature.flexible.rollout.custom.stickiness_100", "503", 100, true),
    ("Feature.flexible.rollout.custom.stickiness_100", "438", 100, true),
    ("Feature.flexible.rollout.custom.stickiness_100", "44", 100, true),
    ("Feature.flexible.rollout.custom.stickiness_50", "402", 50, false),
    ("Feature.flexible.rollout.custom.stickiness_50", "388", 50, true),
    ("Feature.flexible.rollout.custom.stickiness_50", "39", 50, true),
    ("a", "0", 100, true),
    ("a", "1", 100, true),
    ("a", "2", 100, true),
    ("a", "5", 100, true),
    // The buckets its client libraries publish: 73 and 25.
    ("gr1", "123", 73, true),
    ("groupX", "999", 25, true),
];

#[test]
fn unleash_buckets_the_same() {
    // It counts a hundred buckets from 1, we ten thousand from 0: of the same hash, so its bucket is our last two digits.
    let of_a_hundred = |group: &str, id: &str| bucket(group, id) % 100 + 1;
    for (group, id, percent, is_in) in UNLEASH {
        let bucket = of_a_hundred(group, id);
        assert_eq!(bucket <= percent, is_in, "{group}:{id} has bucket {bucket}, at {percent} %");
    }
    assert_eq!((of_a_hundred("gr1", "123"), of_a_hundred("groupX", "999")), (73, 25));
}

/// Hours since some beginning.
fn hour(hours: usize) -> Timestamp {
    Timestamp::from_millis(1_667_000_000_000 + hours as i64 * 3_600_000)
}

/// A policy of one allow that opens by these shares, an hour each.
fn opening(by: StickTo, salt: &str, shares: &[u16]) -> PolicySet {
    let steps =
        shares.iter().enumerate().map(|(place, share)| Step { at: hour(place), basis_points: *share }).collect();
    let agreement = Agreement {
        id: "opening".into(),
        title: "".into(),
        platform: PlatformId(0),
        marketplaces: vec![MarketplaceId(0)],
        effect: Effect::Allow,
        from: hour(0),
        until: Timestamp::MAX,
        when: Conditions::default(),
        rollout: Some(Rollout { by, salt: salt.into(), steps }),
        landing: LandingMode::App,
        attribution: None,
        priority: 0,
        evidence: "".into(),
    };
    PolicySet::compile(Version([0; 32]), vec![agreement], &[])
}

fn is_in(policy: &PolicySet, by: StickTo, id: u128, at: Timestamp) -> bool {
    let text = format!("id-{id}");
    let of = |which: StickTo| if by == which && id != 0 { text.as_str() } else { "" };
    let facts = Facts {
        platform: Some(PlatformId(0)),
        surface: Some(Surface::LiveCart),
        marketplace: MarketplaceId(0),
        shop_type: ShopType::Unknown,
        link_kind: LinkKind::Item,
        category: "",
        creator: of(StickTo::Creator),
        shop: of(StickTo::Shop),
        item: "",
        carried: "",
        link: of(StickTo::Link),
        visitor: if by == StickTo::Visitor { id } else { 0 },
    };
    decide(policy, &facts, at).is_allow()
}

#[test]
fn who_is_not_known_is_in_only_once_it_is_open_to_all() {
    // As Unleash's flexible rollout (10 and 12): unknown at 50 and 55 percent is out, at 100 in.
    for by in StickTo::ALL {
        let policy = opening(*by, "s", &[0, 5_000, 5_500, 9_999, 10_000]);
        let ins: Vec<bool> = (0..5).map(|place| is_in(&policy, *by, 0, hour(place))).collect();
        assert_eq!(ins, [false, false, false, false, true], "{by}");
    }
}

#[test]
fn a_share_is_that_share_and_grows_by_the_same_people() {
    let shares = [1, 100, 1_000, 3_333, 5_000, 9_000, 10_000];
    for by in StickTo::ALL {
        let policy = opening(*by, "double11-2022", &shares);
        let mut before: Vec<bool> = vec![false; 5_001];
        for (place, share) in shares.into_iter().enumerate() {
            let now: Vec<bool> = (0..=5_000).map(|id| is_in(&policy, *by, id, hour(place))).collect();
            let left = before.iter().zip(&now).filter(|(before, now)| **before && !**now).count();
            assert_eq!(left, 0, "by {by}: put out by widening to {share}");
            let (found, wanted) = (now.iter().filter(|is_in| **is_in).count() as f64, 0.5 * f64::from(share));
            // Four standard deviations of so many draws.
            let room = 4.0 * (wanted * (1.0 - f64::from(share) / 10_000.0)).sqrt() + 1.0;
            assert!((found - wanted).abs() <= room, "by {by}: {found} in at {share}, wanted {wanted} ± {room}");
            before = now;
        }
    }
}

proptest! {
    /// Within one version by its steps, and from a version to one that is further on: nobody is put out.
    #[test]
    fn widening_never_removes_anyone(
        mut shares in proptest::collection::vec(0u16..=10_000, 1..6),
        more in 0u16..=10_000,
        salt in "[a-z0-9-]{1,20}",
        by in proptest::sample::select(StickTo::ALL.to_vec()),
        ids in proptest::collection::vec(any::<u64>(), 50),
    ) {
        shares.sort_unstable();
        let policy = opening(by, &salt, &shares);
        let wider: Vec<u16> = shares.iter().map(|share| share.saturating_add(more).min(10_000)).collect();
        let wider = opening(by, &salt, &wider);
        for id in ids.into_iter().map(u128::from) {
            let mut was_in = false;
            for place in 0..shares.len() {
                for at in [hour(place), Timestamp::from_micros(hour(place + 1).micros() - 1)] {
                    let in_now = is_in(&policy, by, id, at);
                    prop_assert!(in_now || !was_in, "{by} {id} is out again at {at}");
                    prop_assert!(!in_now || is_in(&wider, by, id, at), "{by} {id} is out of the wider one at {at}");
                    was_in = in_now;
                }
            }
        }
    }
}

const IDS: u32 = 20_000;

/// In which tenth a salt puts each of so many ids.
fn tenths(salt: &str, id: fn(u32) -> String) -> Vec<usize> {
    (0..IDS).map(|number| usize::from(bucket(salt, &id(number)) / 1_000)).collect()
}

/// Chi-square of the 10 × 10 table of the tenths in which two salts put the same ids.
fn chi_square(one: &[usize], other: &[usize]) -> f64 {
    let mut table = [[0u32; 10]; 10];
    for (row, column) in one.iter().zip(other) {
        table[*row][*column] += 1;
    }
    let rows = table.map(|row| row.iter().sum::<u32>());
    let columns: [u32; 10] = std::array::from_fn(|column| table.iter().map(|row| row[column]).sum());
    let cell = |row: usize, column: usize| {
        let expected = f64::from(rows[row]) * f64::from(columns[column]) / f64::from(IDS);
        (f64::from(table[row][column]) - expected).powi(2) / expected
    };
    (0..100).map(|place| cell(place / 10, place % 10)).sum()
}

#[test]
fn two_salts_are_uncorrelated() {
    // Salts as alike as ids of agreements are: a last digit, a length, an order.
    let salts = [
        "kuaishou-jd-double11-2021",
        "kuaishou-jd-double11-2022",
        "kuaishou-jd-double11-2022-b",
        "xiaohongshu-taobao-pilot",
        "a",
        "b",
        "ab",
        "ba",
    ];
    let ids: [fn(u32) -> String; 3] = [
        |number| format!("creator-{number}"),
        |number| number.to_string(),
        |number| format!("{:032x}", u128::from(number) * 0x9E37_79B9_7F4A_7C15),
    ];
    // 81 degrees of freedom: above 150.3 once in 200,000 tables that are independent. 84 tables are looked at.
    let (limit, mut tables, mut highest) = (150.3, 0, 0f64);
    for id in ids {
        let tenths = salts.map(|salt| tenths(salt, id));
        for (place, one) in tenths.iter().enumerate() {
            for (more, other) in tenths[place + 1..].iter().enumerate() {
                let found = chi_square(one, other);
                let (one, other) = (salts[place], salts[place + 1 + more]);
                assert!(found < limit, "{one} and {other} go together: chi-square {found:.1}");
                (tables, highest) = (tables + 1, highest.max(found));
            }
        }
    }
    println!("highest chi-square of {tables} tables: {highest:.1}");
    // The measure sees what it looks for: a salt with itself.
    let same = tenths("a", ids[0]);
    assert!(chi_square(&same, &same) > 100_000.0);
}
