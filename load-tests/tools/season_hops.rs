//! `season_hops DATA_DIR PLAN META`: writes the hops of a generated season (`load-tests/season`) into a data folder's journal,
//! through the journal's own writer, with the click ids and instants of the plan. Every click is decided by the real function
//! under the policy version in force at its instant; the first that is decided otherwise than the plan says ends it. May be run
//! again with another plan: its hops come after those that are there.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use hopgate::app::DataDir;
use hopgate::domain::click_id::ClickId;
use hopgate::domain::device::{HostApp, Os};
use hopgate::domain::hop::{Hop, HopFlags, Outcome, PlacementSource};
use hopgate::domain::landing::Way;
use hopgate::domain::policy::{Decision, Facts, PolicySet, decide};
use hopgate::domain::time::Timestamp;
use hopgate::domain::tried::Tried;
use hopgate::domain::vocabulary::{LinkKind, ShopType, Surface, Vocabulary};
use hopgate::journal::{ChunkLimits, Journal, JournalConfig, Mode};
use hopgate::policies::folder;
use hopgate::policies::sqlite::SqlitePolicyStore;
use hopgate::policies::store::PolicyStore;
use serde::Deserialize;

/// What the plan's numbers stand for.
#[derive(Deserialize)]
struct Meta {
    versions: Vec<Version>,
    segment_bytes: u64,
    verdicts: Vec<Verdict>,
    links: Vec<Link>,
}

#[derive(Deserialize)]
struct Version {
    folder: String,
    since: i64,
}

#[derive(Deserialize)]
struct Verdict {
    outcome: String,
    reason: String,
    agreement: String,
}

#[derive(Deserialize)]
struct Link {
    code: String,
    creator: String,
    platform: String,
    surface: String,
    marketplace: String,
    shop_type: String,
    link_kind: String,
    item: String,
}

/// One hop of the plan.
struct Planned {
    at: i64,
    number: u32,
    visitor: u32,
    link: u32,
    flags: u16,
    verdict: u8,
    version: u8,
}

impl Planned {
    fn read(bytes: &[u8; 24]) -> Self {
        let word = |from: usize| u32::from_le_bytes(bytes[from..from + 4].try_into().unwrap());
        Planned {
            at: i64::from_le_bytes(bytes[..8].try_into().unwrap()),
            number: word(8),
            visitor: word(12),
            link: word(16),
            flags: u16::from_le_bytes([bytes[20], bytes[21]]),
            verdict: bytes[22],
            version: bytes[23],
        }
    }

    /// The UUIDv7 that the plan means: its milliseconds, and its number spread over the rest.
    fn id(&self) -> ClickId {
        let tail = u64::from(self.number).wrapping_mul(0x9E37_79B9_7F4A_7C15) & ((1 << 62) - 1);
        let millis = u128::from((self.at / 1_000) as u64);
        ClickId(((millis << 80) | (7 << 76) | (2 << 62) | u128::from(tail)).to_be_bytes())
    }

    /// As a daily keyed hash is: another number each Beijing day, the same all day.
    fn visitor(&self) -> u128 {
        let day = Timestamp::from_micros(self.at).beijing_day() as u64;
        let of = (day << 32) | u64::from(self.visitor);
        (u128::from(mix(of)) << 64) | u128::from(mix(!of))
    }
}

/// splitmix64: one to one.
fn mix(of: u64) -> u64 {
    let mut mixed = of.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

fn main() {
    let [data, plan, meta] = &std::env::args().skip(1).collect::<Vec<_>>()[..] else {
        eprintln!("season_hops DATA_DIR PLAN META");
        std::process::exit(2);
    };
    let begun = Instant::now();
    let words = Vocabulary::default();
    let meta: Meta = serde_json::from_reader(BufReader::new(File::open(meta).unwrap())).unwrap();
    let data = DataDir::new(Path::new(data));
    data.create().unwrap();
    data.click_key().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = SqlitePolicyStore::open(&data.database()).unwrap();
    let versions: Vec<folder::Loaded> =
        meta.versions.iter().map(|version| folder::load(Path::new(&version.folder), &words).unwrap()).collect();
    for (loaded, version) in versions.iter().zip(&meta.versions) {
        let since = Timestamp::from_micros(version.since);
        runtime.block_on(store.put_in_force(loaded.policy.version(), &loaded.canonical, since)).unwrap();
    }
    let mut config = JournalConfig::new(data.journal(), "node-1");
    config.mode = Mode::Queued;
    config.backlog_bytes = 256 << 20;
    config.deadline = Duration::from_secs(600);
    config.sync_every = Duration::from_secs(10);
    config.segment_bytes = meta.segment_bytes;
    config.chunk = ChunkLimits { age: Duration::from_secs(60), ..ChunkLimits::default() };
    let journal = Journal::open(config).unwrap();
    let local = tokio::task::LocalSet::new();
    let lane = journal.lane();
    local.spawn_local(lane.pump());
    let mut plan = BufReader::with_capacity(1 << 20, File::open(plan).unwrap());
    let count = local.block_on(&runtime, async {
        let (mut count, mut bytes) = (0u64, [0; 24]);
        while plan.read_exact(&mut bytes).is_ok() {
            let planned = Planned::read(&bytes);
            let policy = &versions[usize::from(planned.version)].policy;
            with_hop(&words, policy, &meta, &planned, |hop| drop(lane.append(hop)));
            count += 1;
            // A segment ends between two batches only, so these are small.
            if count.is_multiple_of(500) {
                lane.flush().await;
            }
        }
        lane.flush().await;
        count
    });
    drop((local, lane));
    journal.close(Duration::from_secs(600)).unwrap();
    println!("{count} hops written in {:.1} s", begun.elapsed().as_secs_f64());
}

/// Decides a click of the plan and shows its hop.
fn with_hop(words: &Vocabulary, policy: &PolicySet, meta: &Meta, planned: &Planned, record: impl FnOnce(&Hop<'_>)) {
    let link = &meta.links[planned.link as usize];
    let at = Timestamp::from_micros(planned.at);
    let surface = Surface::parse(&link.surface);
    let shop_type = ShopType::parse(&link.shop_type).unwrap();
    let link_kind = LinkKind::parse(&link.link_kind).unwrap();
    let facts = Facts {
        platform: words.platform(&link.platform),
        surface,
        marketplace: words.marketplace(&link.marketplace).unwrap(),
        shop_type,
        link_kind,
        category: "",
        creator: &link.creator,
        shop: "",
        item: &link.item,
        carried: "",
        link: &link.code,
        visitor: planned.visitor(),
    };
    let decision = decide(policy, &facts, at);
    let agreement = decision.agreement().map_or("", |agreement| &agreement.id);
    let permit = match &decision {
        Decision::Allow(permit) => Some(permit),
        _ => None,
    };
    let verdict = &meta.verdicts[usize::from(planned.verdict)];
    let outcome = if permit.is_some() { "allow" } else { "deny" };
    let decided = (outcome, decision.reason().as_str(), agreement);
    let wanted = (&*verdict.outcome, &*verdict.reason, &*verdict.agreement);
    assert!(decided == wanted, "{} at {at}: the plan says {wanted:?}, the policy {decided:?}", link.code);
    record(&Hop {
        id: planned.id(),
        at,
        code: &link.code,
        creator: &link.creator,
        platform: &link.platform,
        surface,
        placement_source: PlacementSource::Link,
        marketplace: &link.marketplace,
        shop_type,
        link_kind,
        category: "",
        item: &link.item,
        shop: "",
        facts: "",
        outcome: if permit.is_some() { Outcome::Allow } else { Outcome::Deny },
        reason: decision.reason(),
        agreement,
        policy_version: policy.version().short(),
        bucket: decision.bucket(),
        landing: permit.map(|permit| permit.landing()),
        app: HostApp::Kuaishou,
        os: Os::Android,
        flags: HopFlags(planned.flags),
        address: [0, 0, 0xff, 0xff, 203, 0, 113, 0],
        visitor: planned.visitor(),
        node: "node-1",
        alternate: 0,
        tried: Tried::read(&[]).unwrap(),
        way: permit.map(|_| Way::Redirect),
        macros: "",
    });
}
