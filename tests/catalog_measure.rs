//! Figures of the catalog, printed: memory a link, look-up, insert and load rates. Not a check; run by hand:
//! `LINKS=1000000 cargo test --release --test catalog_measure -- --ignored --nocapture`
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at the first surprise")]

#[path = "catalog_support.rs"]
mod support;

use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hopgate::catalog::sqlite::SqliteLinkStore;
use hopgate::catalog::store::{LinkChange, LinkStore};
use hopgate::catalog::{Catalog, LoadOptions, Lookup};
use hopgate::domain::link::LinkState;
use hopgate::domain::vocabulary::Vocabulary;
use support::{code, link, splitmix};

const FILE: &str = "HOPGATE_MEASURE_FILE";

fn links() -> u64 {
    std::env::var("LINKS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000)
}

fn rss() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Processor time of this process so far: what a rate would be on a machine without other work.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace().collect::<Vec<_>>();
    // utime and stime, in ticks of 10 ms.
    Duration::from_millis(10 * (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, run by hand in release"]
async fn measure() {
    let count = links();
    if let Ok(file) = std::env::var(FILE) {
        return load(Path::new(&file), count).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("links.sqlite");
    if std::env::var_os("FAST").is_some() {
        seed_unsafely(&file, count);
    } else {
        seed(&file, count).await;
    }
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["measure", "--exact", "--ignored", "--nocapture"])
        .env(FILE, &file)
        .status()
        .unwrap();
    assert!(status.success());
}

async fn seed(file: &Path, count: u64) {
    let store = Arc::new(SqliteLinkStore::open(file, Arc::new(Vocabulary::default())).unwrap());
    let batch = std::env::var("BATCH").ok().and_then(|text| text.parse().ok()).unwrap_or(50_000u64);
    let (mut spent, mut spent_cpu, mut next) = (Duration::ZERO, Duration::ZERO, 0);
    while next < count {
        let upto = (next + batch).min(count);
        let batch = (next..upto).map(link).collect();
        let (start, start_cpu) = (Instant::now(), cpu());
        store.insert(batch).await.unwrap();
        spent += start.elapsed();
        spent_cpu += cpu() - start_cpu;
        next = upto;
        if next % 1_000_000 == 0 {
            println!("  {next} stored after {spent:.1?}");
        }
    }
    let rate = |time: Duration| count as f64 / time.as_secs_f64();
    println!("insert: {:.0} links/s; {:.0} by processor time", rate(spent), rate(spent_cpu));

    let start = Instant::now();
    let singles = (0..2_000).map(|i| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.insert(vec![link(count + i)]).await.unwrap() })
    });
    for single in singles.collect::<Vec<_>>() {
        single.await.unwrap();
    }
    println!("2,000 single inserts at once: {:.1?}", start.elapsed());
    let start = Instant::now();
    let change = LinkChange { state: Some(LinkState::Disabled), ..LinkChange::default() };
    for i in 0..50 {
        store.update(code(i).as_str(), None, change.clone()).await.unwrap();
    }
    println!("one update alone: {:.1?}", start.elapsed() / 50);
}

/// Fills the file past the store, in code order and without syncs, where only the load is to be measured.
fn seed_unsafely(file: &Path, count: u64) {
    drop(SqliteLinkStore::open(file, Arc::new(Vocabulary::default())).unwrap());
    let mut order =
        (0..count).map(|i| (*code(i).as_str().as_bytes().first_chunk::<8>().unwrap(), i)).collect::<Vec<_>>();
    order.sort_unstable();
    let mut database = rusqlite::Connection::open(file).unwrap();
    database
        .execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -200000; DROP INDEX links_by_creator")
        .unwrap();
    let all = database.transaction().unwrap();
    let mut insert = all
        .prepare(
            "INSERT INTO links (revision, code, state, marketplace, link_kind, shop_hint, item, url, shop_type, creator, \
             platform, surface, created_at) VALUES (?1, ?2, 'active', 'jd', 'item', 'unknown', ?3, ?4, 'self_operated', \
             ?5, 'kuaishou', 'live_cart', 1)",
        )
        .unwrap();
    for (revision, (_, i)) in order.iter().enumerate() {
        let link = link(*i);
        let url = link.landing.destination.as_str();
        insert.execute((revision as i64 + 1, link.code.as_str(), &link.landing.item, url, &link.creator)).unwrap();
    }
    drop(insert);
    all.execute("UPDATE catalog_state SET revision = ?1, links = ?1", [count as i64]).unwrap();
    all.execute_batch("CREATE INDEX links_by_creator ON links (creator, code) WHERE creator IS NOT NULL").unwrap();
    all.commit().unwrap();
}

async fn load(file: &Path, count: u64) {
    let before = rss();
    let (start, start_cpu) = (Instant::now(), cpu());
    let store = Arc::new(SqliteLinkStore::open(file, Arc::new(Vocabulary::default())).unwrap());
    let catalog = Catalog::open(store, LoadOptions::default());
    let last = code(count - 1);
    let found = catalog.fetch(last.as_str()).await.unwrap();
    println!("first fetch: {:.1?} after open, found: {}", start.elapsed(), found.is_some());
    let mut slowest = Duration::ZERO;
    while !catalog.is_loaded() {
        let asked = Instant::now();
        catalog.fetch(code(splitmix(asked.elapsed().as_nanos() as u64) % count).as_str()).await.unwrap();
        slowest = slowest.max(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (took, took_cpu) = (start.elapsed(), cpu() - start_cpu);
    let rate = |time: Duration| count as f64 / time.as_secs_f64();
    println!(
        "load: {took:.1?}, {:.0} links/s; {:.0} a core by processor time; slowest fetch meanwhile {slowest:.1?}",
        rate(took),
        rate(took_cpu),
    );
    println!(
        "memory: {:.1} bytes a link resident, {:.1} by its own estimate, {} links",
        (rss() - before) as f64 / catalog.len() as f64,
        catalog.bytes() as f64 / catalog.len() as f64,
        catalog.len(),
    );
    for (name, offset) in [("found", 0), ("unknown", 1 << 40)] {
        let codes = (0..1_000_000).map(|i| code(offset + splitmix(i) % count)).collect::<Vec<_>>();
        for _ in 0..2 {
            let (start, start_cpu) = (Instant::now(), cpu());
            let mut sum = 0;
            for code in &codes {
                if let Lookup::Found(length) =
                    catalog.with(black_box(code.as_str()), |view| view.url.len() + view.item.len())
                {
                    sum += length;
                }
            }
            let each = |time: Duration| time.as_nanos() as f64 / codes.len() as f64;
            println!(
                "with, {name}: {:.0} ns, {:.0} of processor time ({sum})",
                each(start.elapsed()),
                each(cpu() - start_cpu)
            );
        }
    }
}
