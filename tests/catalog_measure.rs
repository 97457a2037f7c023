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
    seed(&file, count).await;
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

async fn load(file: &Path, count: u64) {
    let before = rss();
    let start = Instant::now();
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
    let took = start.elapsed();
    println!(
        "load: {took:.1?}, {:.0} links/s; slowest fetch meanwhile {slowest:.1?}",
        count as f64 / took.as_secs_f64()
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
            let start = Instant::now();
            let mut sum = 0;
            for code in &codes {
                if let Lookup::Found(length) =
                    catalog.with(black_box(code.as_str()), |view| view.url.len() + view.item.len())
                {
                    sum += length;
                }
            }
            let each = start.elapsed().as_nanos() as f64 / codes.len() as f64;
            println!("with, {name}: {each:.0} ns ({})", black_box(sum));
        }
    }
}
