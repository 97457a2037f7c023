//! How many heap allocations a click costs us, hyper left out: the look-up, the decision, the record and the commit.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;

use hopgate::click::{Answer, Ask, Worker};
use hopgate::config::marketplaces::shipped;
use hopgate::domain::alternates::Alternate;
use hopgate::domain::hop::HopFlags;
use hopgate::domain::vocabulary::ShopType;
use hopgate::journal::{Journal, JournalConfig};
use hopgate::telemetry::metrics::{Shape, WorkerCounters};
use support::{Gateway, JD, KUAISHOU_AGENT};

#[test]
fn an_allowed_click_allocates_its_location_and_nothing_else() {
    const CLICKS: u64 = 500;
    let gateway = Gateway::start("2022-11-15 12:00:00");
    let code = gateway.link(JD, "kuaishou/live_cart", "self_operated");
    // The own landing falls, and the first alternate: the record is longer, and still nothing else is allocated.
    let smart = gateway.link_with(JD, "kuaishou/live_cart", "pop", |link| {
        let alternate = |url: &str, shop_type| Alternate {
            landing: shipped().markets().recognise(url).unwrap(),
            shop_type,
            category: None,
        };
        link.alternates = vec![
            alternate("https://item.taobao.com/item.htm?id=41879347901", ShopType::CStore),
            alternate("https://detail.tmall.com/item.htm?id=610947572360", ShopType::Flagship),
        ];
    });
    let folder = tempfile::tempdir().unwrap();
    let mut config = JournalConfig::new(folder.path(), "alloc");
    config.deadline = std::time::Duration::from_secs(20);
    let journal = Journal::open(config).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    let lane = journal.lane();
    local.spawn_local(lane.pump());
    let counters = Arc::new(WorkerCounters::new(Shape { platforms: 7, marketplaces: 11, reasons: 32 }));
    let worker = Worker::new(Arc::clone(gateway.app().gateway()), lane.clone(), counters).unwrap();
    let click = async |code: &str| {
        let ask = Ask {
            code,
            query: None,
            address: "203.0.113.7".parse().unwrap(),
            agent: KUAISHOU_AGENT.as_bytes(),
            package: b"",
            flags: HopFlags::default(),
            memory: None,
        };
        let clicked = worker.click(&ask);
        assert!(matches!(clicked.answer, Answer::Redirect(_)));
        clicked.commit.expect("a known link's click is recorded").await;
    };
    local.block_on(&runtime, async {
        // One after the other: both of the lane's buffers must have held the longer record.
        for code in [&code, &smart] {
            for _ in 0..50 {
                click(code).await;
            }
        }
    });
    // What entering the runtime costs once falls out of the difference.
    for code in [&code, &smart] {
        let counted = |clicks: u64| {
            let warm = Box::pin(async {
                for _ in 0..clicks {
                    click(code).await;
                }
            });
            allocation_counter::measure(|| local.block_on(&runtime, warm)).count_total
        };
        let (once, twice) = (counted(CLICKS), counted(2 * CLICKS));
        println!("{} allocations in {CLICKS} clicks", twice - once);
        assert_eq!(twice - once, CLICKS, "one each, for the Location: {once} and {twice}");
    }
    drop((local, worker, lane));
    journal.close(std::time::Duration::from_secs(20)).unwrap();
}
