//! Clicks of each cell as examples: those whose ids hash lowest under the seed, so that the same hops give the same
//! samples in any order and on any number of threads. Never draws at random.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::redecide::Fresh;
use super::matrix::Cell;
use crate::domain::click_id::{ClickId, ClickKey};
use crate::domain::hop::{Hop, Outcome};
use crate::domain::policy::Reason;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::{LinkKind, ShopType, Surface};

/// One click, then and under the candidate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Sample {
    /// The click; filled in for the report.
    pub click_id: String,
    /// Its number in the log.
    pub seq: u64,
    /// When it was decided.
    pub time: Timestamp,
    /// The instant the candidate was asked about.
    pub candidate_at: Timestamp,
    /// The link.
    pub code: String,
    /// Its creator; empty when not known.
    pub creator: String,
    /// Where it happened; empty when not known.
    pub platform: String,
    /// The spot there.
    pub surface: Option<Surface>,
    /// Where it led.
    pub marketplace: String,
    /// Who runs the shop.
    pub shop_type: ShopType,
    /// What the link leads to.
    pub link_kind: LinkKind,
    /// What was decided.
    pub then: Decided,
    /// What the candidate decides.
    pub candidate: Decided,
    #[serde(skip)]
    id: ClickId,
}

/// A decision in a sample.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Decided {
    /// Allow or deny.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// The agreement that decided, or came nearest.
    pub agreement: Option<String>,
    /// The landing taken: 0 the link's own, n its n-th alternate; none for a refusal.
    pub alternate: Option<u8>,
}

impl Sample {
    /// A hop and what became of it.
    pub fn new(seq: u64, hop: &Hop<'_>, fresh: &Fresh<'_>, at: Timestamp) -> Self {
        let decision = &fresh.decision;
        Sample {
            click_id: String::new(),
            seq,
            time: hop.at,
            candidate_at: at,
            code: hop.code.to_owned(),
            creator: hop.creator.to_owned(),
            platform: hop.platform.to_owned(),
            surface: hop.surface,
            marketplace: hop.marketplace.to_owned(),
            shop_type: hop.shop_type,
            link_kind: hop.link_kind,
            then: Decided {
                outcome: hop.outcome,
                reason: hop.reason,
                agreement: (!hop.agreement.is_empty()).then(|| hop.agreement.to_owned()),
                alternate: (hop.outcome == Outcome::Allow).then_some(hop.alternate),
            },
            candidate: Decided {
                outcome: if decision.is_allow() { Outcome::Allow } else { Outcome::Deny },
                reason: decision.reason(),
                agreement: decision.rule_id().map(str::to_owned),
                alternate: fresh.alternate,
            },
            id: hop.id,
        }
    }
}

/// The samples of every cell.
#[derive(Clone, Debug)]
pub struct Samples {
    most: usize,
    seed: u64,
    cells: [BTreeMap<(u64, ClickId), Sample>; Cell::ALL.len()],
}

impl Samples {
    /// Room for `most` of each cell.
    pub fn new(most: usize, seed: u64) -> Self {
        Samples { most, seed, cells: Default::default() }
    }

    /// Takes a click if it is among the first of its cell.
    pub fn offer(&mut self, cell: Cell, id: ClickId, sample: impl FnOnce() -> Sample) {
        let order = (spread(self.seed, id), id);
        let kept = &mut self.cells[cell as usize];
        if kept.len() >= self.most && kept.last_key_value().is_none_or(|(last, _)| *last <= order) {
            return;
        }
        kept.insert(order, sample());
        if kept.len() > self.most {
            kept.pop_last();
        }
    }

    /// Adds those of another stretch.
    pub fn add(&mut self, others: Samples) {
        for (kept, more) in self.cells.iter_mut().zip(others.cells) {
            kept.extend(more);
            while kept.len() > self.most {
                kept.pop_last();
            }
        }
    }

    /// Under the names of their cells, in log order.
    pub fn report(self, key: &ClickKey) -> SamplesReport {
        let named = |samples: BTreeMap<_, Sample>| {
            let mut samples: Vec<Sample> = samples.into_values().collect();
            samples.sort_by_key(|sample| sample.seq);
            for sample in &mut samples {
                sample.click_id = String::from_utf8_lossy(&key.text(sample.id)).into_owned();
            }
            samples
        };
        Cell::ALL.iter().map(|cell| cell.as_str()).zip(self.cells.map(named)).collect()
    }
}

/// Samples by cell.
pub type SamplesReport = BTreeMap<&'static str, Vec<Sample>>;

/// A number for an id that looks drawn, and is the same whenever it is asked (splitmix64).
fn spread(seed: u64, id: ClickId) -> u64 {
    let halves = u128::from_be_bytes(id.0);
    let mix = |mut word: u64| {
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    };
    mix(mix((halves >> 64) as u64 ^ seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)) ^ halves as u64)
}
