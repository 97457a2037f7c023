//! Kills a process in mode `written` with SIGKILL at random moments, again and again on one folder, and checks that
//! nothing it acknowledged is missing, nothing is there twice, and chunk ids do not change by reopening.
//!
//! `HOPGATE_KILL_ROUNDS` sets the number of kills (default 20), `HOPGATE_KILL_SEED` repeats a run.

// Helpers of a test are a test too.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hopgate::domain::click_id::{ClickKey, ClickMint};
use hopgate::domain::device::{HostApp, Os};
use hopgate::domain::hop::{Hop, HopFlags, Outcome, PlacementSource};
use hopgate::domain::landing::Way;
use hopgate::domain::policy::Reason;
use hopgate::domain::time::Timestamp;
use hopgate::domain::tried::Tried;
use hopgate::domain::vocabulary::{LandingMode, LinkKind, ShopType, Surface};
use hopgate::journal::export::{Format, export};
use hopgate::journal::read::{Entry, Reader, verify};
use hopgate::journal::{ChunkLimits, Cut, Durability, Journal, JournalConfig, Mode};

const FOLDER: &str = "HOPGATE_TEST_JOURNAL";
const SEED: &str = "HOPGATE_TEST_JOURNAL_SEED";
const KEY: [u8; 16] = [9; 16];

fn config(dir: &Path) -> JournalConfig {
    let mut config = JournalConfig::new(dir, "gw-1");
    config.mode = Mode::Written;
    // Small, so that kills fall into rotations and between cuts too.
    config.segment_bytes = 256 * 1024;
    // Patient: a busy test disk would otherwise release most hops unrecorded, and they prove nothing.
    config.deadline = Duration::from_secs(10);
    config.chunk = ChunkLimits { hops: 100, bytes: 12 * 1024, age: Duration::from_millis(3) };
    config
}

fn now() -> Timestamp {
    Timestamp::from_micros(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as i64)
}

/// A small generator: the test needs no good randomness, only repeatable one.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }
}

/// The child: appends from two lanes until it is killed, and prints every click id once it is acknowledged.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(FOLDER) else { return };
    let seed: u64 = std::env::var(SEED).unwrap().parse().unwrap();
    let journal = Journal::open(config(Path::new(&dir))).unwrap();
    std::thread::scope(|scope| {
        for worker in 0..2u64 {
            let lanes = journal.lanes();
            scope.spawn(move || {
                let mut dice = Dice(seed ^ (worker << 32));
                let mut bytes = [0; 24];
                bytes.fill_with(|| dice.roll(256) as u8);
                let mut mint = ClickMint::new(bytes);
                let key = ClickKey::new(&KEY);
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                tokio::task::LocalSet::new().block_on(&runtime, async {
                    let lane = lanes.lane();
                    tokio::task::spawn_local(lane.pump());
                    loop {
                        let turn: Vec<_> = (0..1 + dice.roll(60))
                            .map(|_| {
                                let id = mint.mint(now());
                                (id, lane.append(&hop(id)))
                            })
                            .collect();
                        let mut acknowledged = String::new();
                        for (id, commit) in turn {
                            if commit.await.durability == Durability::Kept {
                                acknowledged += &format!("kept {}\n", std::str::from_utf8(&key.text(id)).unwrap());
                            }
                        }
                        std::io::stdout().lock().write_all(acknowledged.as_bytes()).unwrap();
                    }
                });
            });
        }
    });
}

fn hop(id: hopgate::domain::click_id::ClickId) -> Hop<'static> {
    Hop {
        id,
        at: now(),
        code: "k3Xw9Qa",
        creator: "c1024",
        platform: "kuaishou",
        surface: Some(Surface::LiveCart),
        placement_source: PlacementSource::Link,
        marketplace: "taobao",
        shop_type: ShopType::Flagship,
        link_kind: LinkKind::Item,
        category: "",
        item: "681234567890",
        shop: "",
        facts: "",
        outcome: Outcome::Allow,
        reason: Reason::Allowed,
        agreement: "ks-tb-2022",
        policy_version: 1,
        bucket: None,
        landing: Some(LandingMode::App),
        app: HostApp::Kuaishou,
        os: Os::Android,
        flags: HopFlags::default(),
        address: [0; 8],
        visitor: 0,
        node: "gw-1",
        alternate: 0,
        tried: Tried::NONE,
        way: Some(Way::Redirect),
        macros: "",
    }
}

#[test]
fn a_killed_process_loses_nothing_it_acknowledged() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let rounds = number("HOPGATE_KILL_ROUNDS").unwrap_or(20);
    let seed = number("HOPGATE_KILL_SEED").unwrap_or_else(|| now().micros() as u64);
    println!("HOPGATE_KILL_SEED={seed}");
    let mut dice = Dice(seed);
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = HashSet::new();
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(FOLDER, dir.path())
            .env(SEED, dice.roll(u64::MAX).to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut read = |wanted: u64| {
            let (mut line, mut count) = (String::new(), 0);
            while count < wanted && lines.read_line(&mut line).unwrap() > 0 {
                // A line without its end was being written when the kill came.
                if let Some(id) = line.strip_prefix("kept ").and_then(|rest| rest.strip_suffix('\n')) {
                    assert!(acknowledged.insert(id.to_owned()), "{id} was acknowledged twice");
                    count += 1;
                }
                line.clear();
            }
        };
        read(dice.roll(1_500));
        // Anywhere between two acknowledgements: nothing is waited for here.
        std::thread::sleep(Duration::from_micros(dice.roll(2_000)));
        child.kill().unwrap();
        read(u64::MAX);
        child.wait().unwrap();

        let (before, _) = everything(dir.path());
        Journal::open(config(dir.path())).unwrap().close(Duration::from_secs(20)).unwrap();
        let (after, stored) = everything(dir.path());
        assert_eq!(after[..before.len()], before[..], "round {round}: chunks changed by reopening");
        assert!(after.len() <= before.len() + 1);
        let missing = acknowledged.difference(&stored).count();
        assert_eq!(missing, 0, "round {round}: of {} acknowledged", acknowledged.len());
    }
    // Checks every sum and that numbers are consecutive, once more and in its own way.
    let verified = verify(dir.path()).unwrap();
    assert_eq!(verified.last_seq, verified.hops + verified.chunks);
    let mut out = Vec::new();
    export(dir.path(), Format::Csv, None, None, &ClickKey::new(&KEY), &mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    let exported: HashSet<&str> = out.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
    assert_eq!(exported.len() as u64, verified.hops);
    assert!(acknowledged.iter().all(|id| exported.contains(id.as_str())));
    println!("{rounds} kills, {} hops acknowledged, none missing", acknowledged.len());
}

/// The cuts and the click ids of a folder; no id twice, numbers from 1 without a gap.
fn everything(dir: &Path) -> (Vec<Cut>, HashSet<String>) {
    let mut reader = Reader::open(dir).unwrap();
    let key = ClickKey::new(&KEY);
    let (mut cuts, mut ids, mut last) = (Vec::new(), HashSet::new(), 0);
    while let Some(entry) = reader.next().unwrap() {
        last += 1;
        match entry {
            Entry::Cut(cut) => {
                assert_eq!(cut.last_seq + 1, last);
                cuts.push(cut);
            }
            Entry::Hop(seq, hop) => {
                assert_eq!(seq, last);
                assert!(ids.insert(String::from_utf8(key.text(hop.id).to_vec()).unwrap()), "{} is there twice", hop.id);
            }
        }
    }
    (cuts, ids)
}
