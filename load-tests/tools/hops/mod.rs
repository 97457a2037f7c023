//! Makes a data folder as a gateway leaves it after a day of clicks: policy versions in the database, hops in the journal,
//! every one decided by the real function under the version in force at its instant. Repeatable from its seed. For load
//! tests and tests; it serves nobody.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod links;

use std::path::{Path, PathBuf};
use std::time::Duration;

use hopgate::app::DataDir;
use hopgate::domain::click_id::ClickMint;
use hopgate::domain::device::{HostApp, Os};
use hopgate::domain::hop::{Hop, HopFlags, Outcome, PlacementSource};
use hopgate::domain::landing::Way;
use hopgate::domain::policy::{Decision, Facts, PolicySet, Reason, decide};
use hopgate::domain::time::Timestamp;
use hopgate::domain::tried::{Fallen, Tried};
use hopgate::domain::vocabulary::{Surface, Vocabulary};
use hopgate::journal::{ChunkLimits, Journal, JournalConfig, Mode};
use hopgate::policies::folder;
use hopgate::policies::sqlite::SqlitePolicyStore;
use hopgate::policies::store::PolicyStore;
use links::{Landing, Link, Links};

/// What to make.
pub struct Recipe {
    /// The data folder; it must not have a journal yet.
    pub data: PathBuf,
    /// The folder of the first version's agreements.
    pub policies: PathBuf,
    pub hops: u64,
    pub seed: u64,
    /// The first instant; the hops are spread over 24 hours from here.
    pub from: Timestamp,
}

/// When a day begins unless told: the windows of 2022-11-30 end within it.
pub const USUAL_FROM: &str = "2022-11-30T10:00:00+08:00";

/// What the second version adds at the middle of the day: a staged opening and a refusal.
const SECOND: &str = "agreements:
  - id: generated-kuaishou-vipshop-trial
    title: a staged opening
    platform: kuaishou
    marketplace: [vipshop, taobao]
    effect: allow
    from: 2022-11-01
    until: 2030-01-01
    when: {surfaces: [live_cart, short_video_cart]}
    rollout: {by: creator, steps: [{at: 2022-11-01, percent: 30}]}
    landing: web
  - id: generated-kuaishou-gift
    title: gifts stay inside
    platform: kuaishou
    marketplace: jd
    effect: deny
    from: 2022-11-01
    when: {requires: [gift]}
";

/// A small generator: good enough to mix clicks, and repeatable.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, sides: usize) -> usize {
        (self.next() % sides as u64) as usize
    }

    pub fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A place in 0..count by Zipf's law: the second is asked half as often as the first.
    pub fn zipf(&mut self, count: usize) -> usize {
        let place = ((count as f64 + 1.0).ln() * self.share()).exp() - 1.0;
        (place as usize).min(count - 1)
    }

    /// One of a list of (weight, value).
    pub fn pick<T: Copy>(&mut self, weighted: &[(u32, T)]) -> T {
        let all: u32 = weighted.iter().map(|(weight, _)| weight).sum();
        let mut left = (self.next() % u64::from(all)) as u32;
        for (weight, value) in weighted {
            if left < *weight {
                return *value;
            }
            left -= weight;
        }
        weighted[0].1
    }
}

/// The two versions of the day, the second in force from the middle on.
fn versions(recipe: &Recipe, words: &Vocabulary) -> [folder::Loaded; 2] {
    let first = folder::load(&recipe.policies, words).expect("the first version's agreements are sound");
    let both = tempfile_in(&recipe.data);
    std::fs::create_dir_all(&both).unwrap();
    std::fs::write(both.join("second.yaml"), SECOND).unwrap();
    let before = std::fs::canonicalize(&recipe.policies).unwrap();
    std::os::unix::fs::symlink(before, both.join("first")).unwrap();
    let second = folder::load(&both, words).expect("the second version's agreements are sound");
    std::fs::remove_dir_all(&both).unwrap();
    [first, second]
}

fn tempfile_in(data: &Path) -> PathBuf {
    data.join("generated-policies")
}

/// Makes the folder; `told` hears how many hops there are, now and then.
pub fn generate(recipe: &Recipe, told: impl Fn(u64)) {
    let words = Vocabulary::default();
    let data = DataDir::new(&recipe.data);
    data.create().unwrap();
    assert!(!data.journal().exists(), "{} has a journal already", recipe.data.display());
    data.click_key().unwrap();
    let versions = versions(recipe, &words);
    let day = 86_400_000_000;
    let middle = recipe.from.plus_micros(day / 2);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = SqlitePolicyStore::open(&data.database()).unwrap();
    for (version, since) in versions.iter().zip([recipe.from, middle]) {
        let keeping = store.put_in_force(version.policy.version(), &version.canonical, since);
        runtime.block_on(keeping).unwrap();
    }
    let mut config = JournalConfig::new(data.journal(), "node-1");
    config.mode = Mode::Queued;
    config.backlog_bytes = 256 << 20;
    config.deadline = Duration::from_secs(600);
    config.sync_every = Duration::from_secs(10);
    config.chunk = ChunkLimits { age: Duration::from_secs(60), ..ChunkLimits::default() };
    let journal = Journal::open(config).unwrap();
    let local = tokio::task::LocalSet::new();
    let lane = journal.lane();
    local.spawn_local(lane.pump());
    local.block_on(&runtime, async {
        let mut day_of_clicks = Clicks::new(recipe, &words, &versions[0].policy);
        for number in 0..recipe.hops {
            let at = recipe.from.plus_micros((day as u128 * u128::from(number) / u128::from(recipe.hops)) as i64);
            let version = &versions[usize::from(at >= middle)].policy;
            day_of_clicks.click(at, version, |hop| drop(lane.append(hop)));
            if number % 20_000 == 19_999 {
                lane.flush().await;
                told(number + 1);
            }
        }
        lane.flush().await;
    });
    told(recipe.hops);
    drop((local, lane));
    journal.close(Duration::from_secs(600)).unwrap();
}

/// Clicks one after the other.
struct Clicks<'w> {
    words: &'w Vocabulary,
    links: Links,
    dice: Dice,
    mint: ClickMint,
    tried: Vec<u8>,
}

impl<'w> Clicks<'w> {
    fn new(recipe: &Recipe, words: &'w Vocabulary, first: &PolicySet) -> Self {
        let mut dice = Dice::new(recipe.seed);
        let works = |link: &Link| ask(words, first, link, link.surface, &link.landings[0], 1, recipe.from).is_allow();
        let links = Links::new(&mut dice, (recipe.hops / 20).clamp(500, 100_000) as usize, works);
        let mut seed = [0; 24];
        seed.iter_mut().for_each(|byte| *byte = dice.next() as u8);
        Clicks { words, links, dice, mint: ClickMint::new(seed), tried: Vec::new() }
    }

    /// One click, decided and told as a worker does it: the landings in order, the first allowed is taken.
    fn click(&mut self, at: Timestamp, policy: &PolicySet, record: impl FnOnce(&Hop<'_>)) {
        let Clicks { words, links, dice, mint, tried } = self;
        let link = links.any(dice);
        let hinted = link.surface.is_none() && dice.below(2) == 0;
        let surface = link.surface.or_else(|| hinted.then(|| Surface::ALL[dice.below(Surface::ALL.len())]));
        let visitor =
            u128::from(dice.zipf(2_000_000) as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        let ask = |landing: &Landing| ask(words, policy, link, surface, landing, visitor, at);
        let ended = link.ended;
        let (taken, decision) = if ended.is_some() { (0, None) } else { Self::take(link, ask, tried) };
        let landing = &link.landings[taken];
        let permit = match &decision {
            Some(Decision::Allow(permit)) => Some(permit),
            _ => None,
        };
        let fell = if ended.is_some() { &[][..] } else { &tried[..] };
        record(&Hop {
            id: mint.mint(at),
            at,
            code: &link.code,
            creator: &link.creator,
            platform: link.platform,
            surface,
            placement_source: if hinted { PlacementSource::Hint } else { PlacementSource::Link },
            marketplace: landing.marketplace,
            shop_type: landing.shop_type,
            link_kind: landing.link_kind,
            category: &landing.category,
            item: &landing.item,
            shop: &landing.shop,
            facts: link.facts,
            outcome: if permit.is_some() { Outcome::Allow } else { Outcome::Deny },
            reason: ended.or(decision.as_ref().map(Decision::reason)).unwrap_or(Reason::NoAgreement),
            agreement: decision.as_ref().and_then(Decision::agreement).map_or("", |agreement| &agreement.id),
            policy_version: policy.version().short(),
            bucket: decision.as_ref().and_then(Decision::bucket),
            landing: permit.map(|permit| permit.landing()),
            app: dice.pick(&[(6, HostApp::Kuaishou), (3, HostApp::Xiaohongshu), (2, HostApp::Browser)]),
            os: dice.pick(&[(6, Os::Android), (4, Os::Ios)]),
            flags: dice.pick(&[
                (920, HopFlags::default()),
                (50, HopFlags::BOT),
                (20, HopFlags::HEAD),
                (10, HopFlags::PREFETCH),
            ]),
            address: [0, 0, 0xff, 0xff, 203, 0, 113, 0],
            visitor,
            node: "node-1",
            alternate: taken as u8,
            tried: Tried::read(fell).unwrap(),
            way: permit.map(|_| Way::Redirect),
            macros: "",
        });
    }

    /// The landing taken with its decision, and into `tried` what fell before it; when all fall, the link's own.
    fn take<'p>(
        link: &Link,
        ask: impl Fn(&Landing) -> Decision<'p>,
        tried: &mut Vec<u8>,
    ) -> (usize, Option<Decision<'p>>) {
        let decisions = || link.landings.iter().enumerate().map(|(place, landing)| (place, landing, ask(landing)));
        let (taken, skipped) = match decisions().find(|(_, _, decision)| decision.is_allow()) {
            Some((place, _, decision)) => ((place, decision), None),
            None => ((0, ask(&link.landings[0])), Some(0)),
        };
        tried.clear();
        let before = if skipped.is_some() { link.landings.len() } else { taken.0 };
        for (place, landing, decision) in decisions().take(before).filter(|(place, ..)| Some(*place) != skipped) {
            let fallen = Fallen {
                alternate: place as u8,
                marketplace: landing.marketplace,
                shop_type: landing.shop_type,
                link_kind: landing.link_kind,
                category: &landing.category,
                item: &landing.item,
                shop: &landing.shop,
                reason: decision.reason(),
                agreement: decision.agreement().map_or("", |agreement| &agreement.id),
                bucket: decision.bucket(),
            };
            fallen.put(tried);
        }
        (taken.0, Some(taken.1))
    }
}

/// Decides a click on one landing of a link.
fn ask<'p>(
    words: &Vocabulary,
    policy: &'p PolicySet,
    link: &Link,
    surface: Option<Surface>,
    landing: &Landing,
    visitor: u128,
    at: Timestamp,
) -> Decision<'p> {
    let facts = Facts {
        platform: words.platform(link.platform),
        surface,
        marketplace: words.marketplace(landing.marketplace).unwrap(),
        shop_type: landing.shop_type,
        link_kind: landing.link_kind,
        category: &landing.category,
        creator: &link.creator,
        shop: &landing.shop,
        item: &landing.item,
        carried: link.facts,
        link: &link.code,
        visitor,
    };
    decide(policy, &facts, at)
}
