//! The parts of a click in isolation: deciding under 200 and 10,000 agreements, spread over the pairs and all on one;
//! compiling them; looking a code up among 10,000 and 1,000,000 links. `cargo bench`.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use hopgate::catalog::sqlite::SqliteLinkStore;
use hopgate::catalog::{Catalog, LoadOptions, Lookup, NewLink};
use hopgate::config::devices::{self, DeviceSettings};
use hopgate::config::marketplaces::shipped;
use hopgate::domain::code::Code;
use hopgate::domain::link::Placement;
use hopgate::domain::marketplace::Destination;
use hopgate::domain::policy::{
    Agreement, Conditions, Effect, Facts, PolicySet, Rollout, Step, StickTo, Version, decide,
};
use hopgate::domain::time::Timestamp;
use hopgate::domain::vocabulary::{LandingMode, LinkKind, MarketplaceId, PlatformId, ShopType, Surface, Vocabulary};

const DAY: i64 = 86_400_000;
const CREATORS: [&str; 8] = ["ann", "bo", "chen", "dai", "fei", "gu", "hong", "lin"];
const CATEGORIES: [&str; 4] = ["beauty", "food", "books", ""];

/// Repeatable draws; a benchmark needs no good randomness.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.roll(all.len())]
    }
}

/// `count` agreements over so many pairs, of every sort: windows of a month to half a year within two years, a tenth
/// deny, and some list categories or creators, ask for a fact, or open in stages.
fn agreements(count: usize, pairs: usize) -> Vec<Agreement> {
    let mut dice = Dice(1);
    (0..count)
        .map(|number| {
            let from = Timestamp::from_millis(dice.roll(730) as i64 * DAY);
            let deny = number % 10 == 9;
            let texts = |wanted: bool, all: &[&str]| all.iter().filter(|_| wanted).map(|text| (*text).into()).collect();
            Agreement {
                id: format!("agreement-{number}").into(),
                title: "".into(),
                platform: PlatformId((number % pairs % 7) as u8),
                marketplaces: vec![MarketplaceId((number % pairs / 7) as u8)],
                effect: if deny { Effect::Deny } else { Effect::Allow },
                from,
                until: from.plus_micros((30 + dice.roll(150) as i64) * DAY * 1_000),
                when: Conditions {
                    surfaces: (0..1 + dice.roll(4)).map(|_| dice.of(Surface::ALL)).collect(),
                    shop_types: if number % 2 == 0 { vec![ShopType::SelfOperated] } else { Vec::new() },
                    link_kinds: vec![LinkKind::Item, LinkKind::Alliance],
                    categories: texts(dice.roll(5) == 0, &CATEGORIES[..2]),
                    creators: texts(deny || dice.roll(8) == 0, &CREATORS[..2]),
                    requires: texts(dice.roll(16) == 0, &["xingtu_order"]),
                    ..Conditions::default()
                },
                rollout: (dice.roll(7) == 0).then(|| Rollout {
                    by: StickTo::Creator,
                    salt: format!("agreement-{number}").into(),
                    steps: vec![Step { at: from, basis_points: 5_000 }],
                }),
                landing: LandingMode::App,
                attribution: None,
                priority: 0,
                evidence: "".into(),
            }
        })
        .collect()
}

fn click(dice: &mut Dice, pairs: usize) -> (Facts<'static>, Timestamp) {
    let pair = dice.roll(pairs);
    let facts = Facts {
        platform: Some(PlatformId((pair % 7) as u8)),
        surface: Some(dice.of(Surface::ALL)),
        marketplace: MarketplaceId((pair / 7) as u8),
        shop_type: dice.of(ShopType::ALL),
        link_kind: dice.of(&[LinkKind::Item, LinkKind::Item, LinkKind::Alliance, LinkKind::Shop]),
        category: dice.of(&CATEGORIES),
        creator: dice.of(&CREATORS),
        shop: "",
        item: "100012043978",
        carried: dice.of(&["", "", "xingtu_order"]),
        link: "AbCd1234",
        visitor: 1,
    };
    (facts, Timestamp::from_millis(dice.roll(800) as i64 * DAY + dice.roll(DAY as usize) as i64))
}

/// Clicks asked one after the other, so many that no branch of theirs is learnt by heart.
const CLICKS: usize = 8_192;

fn deciding(c: &mut Criterion) {
    for (name, count, pairs) in [
        ("200 agreements", 200, 77),
        ("200 on one pair", 200, 1),
        ("10,000 agreements", 10_000, 77),
        ("10,000 on one pair", 10_000, 1),
    ] {
        let policy = PolicySet::compile(Version([0; 32]), agreements(count, pairs), &[]);
        let mut dice = Dice(2);
        for (outcome, allowed) in [("70 % allowed", CLICKS * 7 / 10), ("allowed", CLICKS), ("refused", 0)] {
            let mut clicks = Vec::new();
            let (mut allows, mut refusals) = (allowed, CLICKS - allowed);
            while clicks.len() < CLICKS {
                let (facts, at) = click(&mut dice, pairs);
                let wanted = if decide(&policy, &facts, at).is_allow() { &mut allows } else { &mut refusals };
                if *wanted > 0 {
                    *wanted -= 1;
                    clicks.push((facts, at));
                }
            }
            // Whichever outcome was filled first leaves the other at the end: mix them.
            (1..CLICKS).rev().for_each(|last| clicks.swap(last, dice.roll(last + 1)));
            let mut next = 0;
            c.bench_function(&format!("decide/{name}/{outcome}"), |b| {
                b.iter(|| {
                    let (facts, at) = &clicks[next % CLICKS];
                    next += 1;
                    black_box(decide(black_box(&policy), facts, *at).is_allow())
                });
            });
        }
    }
    for (name, pairs) in [("10,000 agreements", 77), ("10,000 on one pair", 1)] {
        c.bench_function(&format!("compile/{name}"), |b| {
            b.iter_batched(
                || agreements(10_000, pairs),
                |agreements| PolicySet::compile(Version([0; 32]), agreements, &[]),
                BatchSize::LargeInput,
            );
        });
    }
}

fn code(number: usize) -> Code {
    let mut random = [0; 24];
    let mut seed = number as u64 ^ 0x9E37_79B9_7F4A_7C15;
    for byte in &mut random {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *byte = ((seed >> 33) % 248) as u8;
    }
    Code::generate(&random).unwrap()
}

fn looking_up(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for count in [10_000usize, 1_000_000] {
        let folder = tempfile::tempdir().unwrap();
        let store =
            SqliteLinkStore::open(&folder.path().join("links.sqlite"), Arc::new(Vocabulary::default())).unwrap();
        let catalog = runtime.block_on(async { Catalog::open(Arc::new(store), LoadOptions::default()) });
        let landing = shipped().markets().recognise("https://item.jd.com/100012043978.html").unwrap();
        for first in (0..count).step_by(50_000) {
            let batch = (first..count.min(first + 50_000))
                .map(|number| NewLink {
                    slug: Some(code(number)),
                    landing: landing.clone(),
                    alternates: Vec::new(),
                    shop_type: ShopType::SelfOperated,
                    category: None,
                    creator: Some("creator-12".into()),
                    placement: Placement { platform: Some(PlatformId(0)), surface: Some(Surface::LiveCart) },
                    facts: Vec::new(),
                    tags: Vec::new(),
                    expires_at: None,
                    share_code: None,
                    created_at: Timestamp::from_millis(0),
                })
                .collect();
            runtime.block_on(catalog.create(batch, || code(0))).unwrap();
        }
        let codes: Vec<Code> = (0..65_536).map(|number| code(number * 7_919 % count)).collect();
        let mut next = 0;
        c.bench_function(&format!("look-up/{count} links"), |b| {
            b.iter(|| {
                next += 1;
                match catalog.with(codes[next % codes.len()].as_str(), |link| link.url.len()) {
                    Lookup::Found(length) => length,
                    _ => 0,
                }
            });
        });
        c.bench_function(&format!("look-up/{count} links, unknown code"), |b| {
            b.iter(|| matches!(catalog.with(black_box("zzzzzzzz"), |link| link.url.len()), Lookup::Unknown));
        });
    }
}

fn reading_requests(c: &mut Criterion) {
    let agent = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                 Mobile/15E148 Safari/604.1 Kwai/12.3.10.6789 Yoda/2.1.3 NetType/WIFI Language/zh_CN";
    let devices = devices::load(&DeviceSettings::default(), shipped()).unwrap();
    let detector = &devices.detector;
    c.bench_function("detect a User-Agent of 180 bytes", |b| b.iter(|| detector.detect(black_box(agent.as_bytes()))));
    let corpus: Vec<&str> = include_str!("../../tests/data/user_agents.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split('\t').next())
        .collect();
    let mut next = 0;
    c.bench_function("detect a User-Agent of the corpus", |b| {
        b.iter(|| {
            next = (next + 1) % corpus.len();
            detector.detect(black_box(corpus[next].as_bytes()))
        });
    });
    let mut dice = Dice(3);
    c.bench_function("look an address up among networks", |b| {
        b.iter(|| devices.datacenters.contains_v4(black_box(dice.roll(1 << 32) as u32)));
    });
    let query = "aid=123&cid=456&callback=DHAJASALKFyk1uCKBYCyXp-iIDS-uHDd&ts=1668441600123&os=0&oaid=1fe9a970";
    let mut out = String::new();
    c.bench_function("normalise an ad platform's query", |b| {
        b.iter(|| devices.macros.normalise(Some(PlatformId(0)), black_box(query), "", &mut out));
    });
    let url = "https://item.jd.com/100012043978.html?utm_campaign=t_335139774&ShareTm=x";
    c.bench_function("recognise a URL", |b| b.iter(|| shipped().markets().recognise(black_box(url)).is_ok()));
    c.bench_function("take a stored address back", |b| {
        b.iter(|| Destination::from_stored(black_box(url), shipped().markets()).is_ok())
    });
}

criterion_group!(benches, deciding, looking_up, reading_requests);
criterion_main!(benches);
