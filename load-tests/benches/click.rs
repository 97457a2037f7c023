//! The parts of a click in isolation: deciding under 200 and 10,000 agreements, compiling them, looking a code up among
//! 10,000 and 1,000,000 links. `cargo bench`.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use hopgate::catalog::sqlite::SqliteLinkStore;
use hopgate::catalog::{Catalog, LoadOptions, Lookup, NewLink};
use hopgate::domain::code::Code;
use hopgate::domain::device::detect;
use hopgate::domain::link::Placement;
use hopgate::domain::marketplace::{Destination, recognise};
use hopgate::domain::policy::{Agreement, Conditions, Effect, Facts, PolicySet, Version, decide};
use hopgate::domain::time::Timestamp;
use hopgate::domain::vocabulary::{LandingMode, LinkKind, MarketplaceId, PlatformId, ShopType, Surface, Vocabulary};

const DAY: i64 = 86_400_000;

/// `count` agreements over 7 platforms and 11 marketplaces, or all on one pair; a tenth of them deny.
fn agreements(count: usize, pairs: usize) -> Vec<Agreement> {
    (0..count)
        .map(|number| {
            let from = Timestamp::from_millis((number as i64 % 400) * DAY);
            Agreement {
                id: format!("agreement-{number}").into(),
                title: "".into(),
                platform: PlatformId((number % pairs % 7) as u8),
                marketplaces: vec![MarketplaceId((number % pairs / 7) as u8)],
                effect: if number % 10 == 9 { Effect::Deny } else { Effect::Allow },
                from,
                until: from.plus_micros(30 * DAY * 1_000),
                when: Conditions {
                    surfaces: vec![Surface::ALL[number % 12], Surface::ALL[(number + 3) % 12]],
                    shop_types: if number % 2 == 0 { vec![ShopType::SelfOperated] } else { Vec::new() },
                    link_kinds: vec![LinkKind::Item, LinkKind::Alliance],
                    ..Conditions::default()
                },
                rollout: None,
                landing: LandingMode::App,
                attribution: None,
                priority: 0,
                evidence: "".into(),
            }
        })
        .collect()
}

fn facts(number: usize, pairs: usize) -> Facts<'static> {
    Facts {
        platform: Some(PlatformId((number % pairs % 7) as u8)),
        surface: Some(Surface::ALL[number % 12]),
        marketplace: MarketplaceId((number % pairs / 7) as u8),
        shop_type: ShopType::SelfOperated,
        link_kind: LinkKind::Item,
        category: "",
        creator: "creator-1",
        shop: "",
        item: "100012043978",
        carried: "",
        link: "AbCd1234",
        visitor: 1,
    }
}

fn deciding(c: &mut Criterion) {
    for (name, count, pairs) in
        [("200 agreements", 200, 77), ("200 on one pair", 200, 1), ("10,000 agreements", 10_000, 77)]
    {
        let policy = PolicySet::compile(Version([0; 32]), agreements(count, pairs), &[]);
        // Only clicks that some agreement allows: refusals look for the nearest reason and are measured apart.
        let asked: Vec<_> = (0..4_000)
            .map(|number| (facts(number, pairs), Timestamp::from_millis((number as i64 * 7 % 400) * DAY + 5)))
            .collect();
        let (allowed, refused): (Vec<_>, Vec<_>) =
            asked.into_iter().partition(|(facts, at)| decide(&policy, facts, *at).is_allow());
        for (outcome, clicks) in [("allow", allowed), ("deny", refused)] {
            if clicks.is_empty() {
                continue;
            }
            let mut next = 0;
            c.bench_function(&format!("decide/{name}/{outcome}"), |b| {
                b.iter(|| {
                    let (facts, at) = &clicks[next % clicks.len()];
                    next += 1;
                    black_box(decide(black_box(&policy), facts, *at).is_allow())
                });
            });
        }
    }
    c.bench_function("compile/10,000 agreements", |b| {
        b.iter_batched(
            || agreements(10_000, 77),
            |agreements| PolicySet::compile(Version([0; 32]), agreements, &[]),
            BatchSize::LargeInput,
        );
    });
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
        let landing = recognise("https://item.jd.com/100012043978.html").unwrap();
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
    detect("");
    c.bench_function("detect a User-Agent of 180 bytes", |b| b.iter(|| detect(black_box(agent))));
    let url = "https://item.jd.com/100012043978.html?utm_campaign=t_335139774&ShareTm=x";
    c.bench_function("recognise a URL", |b| b.iter(|| recognise(black_box(url)).is_ok()));
    c.bench_function("take a stored address back", |b| b.iter(|| Destination::from_stored(black_box(url)).is_ok()));
}

criterion_group!(benches, deciding, looking_up, reading_requests);
criterion_main!(benches);
