//! A set of agreements compiled for deciding: for each pair of platform and marketplace, one bit set a dimension and
//! value, saying which agreements accept it. Immutable once built; never decides by itself.

use std::collections::HashMap;
use std::ops::Range;

use foldhash::fast::FixedState;

use super::agreement::{Agreement, Default as PairDefault, Effect};
use super::kill::Kill;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::{LinkKind, MarketplaceId, PlatformId, ShopType, Surface, Vocabulary};

/// The identity of a policy: the SHA-256 of its canonical form.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Version(pub [u8; 32]);

impl Version {
    /// The part a hop records.
    pub fn short(self) -> u64 {
        let mut head = [0; 8];
        head.copy_from_slice(&self.0[..8]);
        u64::from_be_bytes(head)
    }
}

impl std::fmt::Display for Version {
    /// The first 16 hex digits: what a hop records and what people compare.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.short())
    }
}

impl Version {
    /// All 64 hex digits.
    pub fn full(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A compiled policy: one immutable version, swapped whole.
#[derive(Debug)]
pub struct PolicySet {
    version: Version,
    /// In winning order: the first that matches decides.
    agreements: Vec<Agreement>,
    defaults: Vec<PairDefault>,
    kills: Vec<Kill>,
    /// `platform × MOST + marketplace`.
    pairs: Vec<Option<Box<Pair>>>,
}

/// One row of bits for each value of a dimension, `words` words a row.
#[derive(Debug)]
pub(super) struct Rows {
    bits: Vec<u64>,
    words: usize,
}

impl Rows {
    fn new(rows: usize, words: usize) -> Self {
        Rows { bits: vec![0; rows * words], words }
    }

    /// As many rows, all alike.
    fn alike(rows: usize, row: &[u64]) -> Self {
        Rows { bits: row.repeat(rows), words: row.len() }
    }

    fn set(&mut self, row: usize, rule: usize) {
        self.bits[row * self.words + rule / 64] |= 1 << (rule % 64);
    }

    /// Sets `rule` in a run of rows once [`Self::accumulate`] is called: one mark at either end instead of one a row.
    fn mark(&mut self, run: Range<usize>, rule: usize) {
        for row in [run.start, run.end] {
            if let Some(word) = self.bits.get_mut(row * self.words + rule / 64) {
                *word ^= 1 << (rule % 64);
            }
        }
    }

    fn accumulate(&mut self) {
        for place in self.words..self.bits.len() {
            self.bits[place] ^= self.bits[place - self.words];
        }
    }

    pub(super) fn row(&self, row: usize) -> &[u64] {
        &self.bits[row * self.words..(row + 1) * self.words]
    }
}

/// A dimension whose values are texts: creators, categories, shops, items.
#[derive(Debug)]
pub(super) struct TextDimension {
    /// Its keys come from the policy, never from a click: the hash may be a fast one.
    values: HashMap<Box<str>, usize, FixedState>,
    rows: Rows,
}

/// The row of a text that is not known, and of one that no agreement of the pair names.
const ROW_UNKNOWN: usize = 0;
const ROW_UNLISTED: usize = 1;

impl TextDimension {
    /// `None` when no agreement of the pair sets this condition: then there is nothing to ask.
    fn build<'a>(rules: &[&'a Agreement], words: usize, of: impl Fn(&'a Agreement) -> &'a [Box<str>]) -> Option<Self> {
        if rules.iter().all(|rule| of(rule).is_empty()) {
            return None;
        }
        let mut values = HashMap::with_hasher(FixedState::default());
        for text in rules.iter().flat_map(|rule| of(rule)) {
            let next = values.len() + 2;
            values.entry(text.clone()).or_insert(next);
        }
        let any = bits_of(rules, words, |rule| of(rule).is_empty());
        let mut rows = Rows::alike(values.len() + 2, &any);
        for (place, rule) in rules.iter().enumerate() {
            let wanted = of(rule);
            if rule.effect == Effect::Deny {
                rows.set(ROW_UNKNOWN, place);
            }
            wanted.iter().for_each(|text| rows.set(values[text], place));
        }
        Some(TextDimension { values, rows })
    }

    pub(super) fn row(&self, text: &str) -> &[u64] {
        let row = if text.is_empty() { ROW_UNKNOWN } else { self.values.get(text).copied().unwrap_or(ROW_UNLISTED) };
        self.rows.row(row)
    }
}

/// Which agreements of a pair have one effect, and the words these lie in.
#[derive(Debug)]
pub(super) struct OfEffect {
    pub(super) bits: Vec<u64>,
    pub(super) words: Range<usize>,
}

impl OfEffect {
    fn build(rules: &[&Agreement], words: usize, effect: Effect) -> Self {
        let bits = bits_of(rules, words, |rule| rule.effect == effect);
        let first = bits.iter().position(|word| *word != 0).unwrap_or(words);
        let end = bits.iter().rposition(|word| *word != 0).map_or(first, |last| last + 1);
        OfEffect { bits, words: first..end }
    }
}

fn bits_of<'a>(rules: &[&'a Agreement], words: usize, fits: impl Fn(&'a Agreement) -> bool) -> Vec<u64> {
    let mut bits = vec![0; words];
    for (place, _) in rules.iter().enumerate().filter(|(_, rule)| fits(rule)) {
        bits[place / 64] |= 1 << (place % 64);
    }
    bits
}

fn span(rules: &[&Agreement]) -> (Timestamp, Timestamp) {
    rules
        .iter()
        .fold((Timestamp::MAX, Timestamp::MIN), |(first, last), rule| (first.min(rule.from), last.max(rule.until)))
}

/// Everything agreed between one platform and one marketplace.
#[derive(Debug)]
pub(super) struct Pair {
    /// Places in [`PolicySet::agreements`], in winning order, denies first; bit `n` of every row speaks of `rules[n]`.
    pub(super) rules: Vec<u32>,
    /// When each of `rules` is in force: together, so that looking for the nearest touches no agreement.
    pub(super) windows: Vec<(Timestamp, Timestamp)>,
    /// Of each word, from the first beginning to the last end.
    pub(super) spans: Vec<(Timestamp, Timestamp)>,
    /// Instants at which something begins, ends or widens, rising.
    pub(super) boundaries: Vec<Timestamp>,
    /// Which are in force: row 0 before the first boundary, row n+1 from boundary n on.
    pub(super) in_force: Rows,
    pub(super) denies: OfEffect,
    pub(super) allows: OfEffect,
    /// Agreements with requirements or a staged opening, which no row answers.
    pub(super) conditional: Vec<u64>,
    pub(super) surface: Rows,
    pub(super) shop_type: Rows,
    pub(super) link_kind: Rows,
    pub(super) category: Option<TextDimension>,
    pub(super) creator: Option<TextDimension>,
    pub(super) shop: Option<TextDimension>,
    pub(super) item: Option<TextDimension>,
    pub(super) allow_by_default: bool,
}

/// The row of an unknown surface.
pub(super) const SURFACE_UNKNOWN: usize = Surface::ALL.len();

impl Pair {
    fn build(mut rules: Vec<u32>, all: &[Agreement], allow_by_default: bool) -> Self {
        rules.sort_by_key(|place| all[*place as usize].effect != Effect::Deny);
        let words = rules.len().div_ceil(64).max(1);
        let here: Vec<&Agreement> = rules.iter().map(|place| &all[*place as usize]).collect();

        let mut boundaries: Vec<Timestamp> = here
            .iter()
            .flat_map(|rule| {
                let steps = rule.rollout.iter().flat_map(|rollout| rollout.steps.iter().map(|step| step.at));
                [rule.from, rule.until].into_iter().chain(steps)
            })
            .filter(|at| *at != Timestamp::MIN && *at != Timestamp::MAX)
            .collect();
        boundaries.sort_unstable();
        boundaries.dedup();

        let mut in_force = Rows::new(boundaries.len() + 1, words);
        let mut surface = Rows::new(Surface::ALL.len() + 1, words);
        let mut shop_type = Rows::new(ShopType::ALL.len(), words);
        let mut link_kind = Rows::new(LinkKind::ALL.len(), words);
        for (place, rule) in here.iter().enumerate() {
            let deny = rule.effect == Effect::Deny;
            let first = boundaries.partition_point(|at| *at < rule.from);
            let first = if rule.from == Timestamp::MIN { 0 } else { first + 1 };
            let last = boundaries.partition_point(|at| *at < rule.until);
            if first <= last {
                in_force.mark(first..last + 1, place);
            }

            // A value that is not known never satisfies an allow's condition and always a deny's.
            let accepts = |listed: bool, any: bool, unknown: bool| any || if unknown { deny } else { listed };
            let when = &rule.when;
            for value in Surface::ALL {
                if accepts(when.surfaces.contains(value), when.surfaces.is_empty(), false) {
                    surface.set(*value as usize, place);
                }
            }
            if accepts(false, when.surfaces.is_empty(), true) {
                surface.set(SURFACE_UNKNOWN, place);
            }
            for value in ShopType::ALL {
                let unknown = *value == ShopType::Unknown;
                if accepts(when.shop_types.contains(value), when.shop_types.is_empty(), unknown) {
                    shop_type.set(*value as usize, place);
                }
            }
            for value in LinkKind::ALL {
                let unknown = *value == LinkKind::Unknown;
                if accepts(when.link_kinds.contains(value), when.link_kinds.is_empty(), unknown) {
                    link_kind.set(*value as usize, place);
                }
            }
        }
        in_force.accumulate();
        Pair {
            category: TextDimension::build(&here, words, |rule| &rule.when.categories),
            creator: TextDimension::build(&here, words, |rule| &rule.when.creators),
            shop: TextDimension::build(&here, words, |rule| &rule.when.shops),
            item: TextDimension::build(&here, words, |rule| &rule.when.items),
            spans: here.chunks(64).map(span).collect(),
            windows: here.iter().map(|rule| (rule.from, rule.until)).collect(),
            denies: OfEffect::build(&here, words, Effect::Deny),
            allows: OfEffect::build(&here, words, Effect::Allow),
            conditional: bits_of(&here, words, |rule| rule.rollout.is_some() || !rule.when.requires.is_empty()),
            rules,
            boundaries,
            in_force,
            surface,
            shop_type,
            link_kind,
            allow_by_default,
        }
    }
}

impl PolicySet {
    /// Compiles a checked set of agreements: ids unique, windows and rollouts in order (the loader sees to that).
    pub fn compile(version: Version, mut agreements: Vec<Agreement>, defaults: &[PairDefault]) -> Self {
        agreements.sort_by(|a, b| {
            (b.priority, b.when.count(), b.from, &b.id).cmp(&(a.priority, a.when.count(), a.from, &a.id))
        });
        let slot = |platform: PlatformId, marketplace: MarketplaceId| {
            usize::from(platform.0) * Vocabulary::MOST + usize::from(marketplace.0)
        };
        let slots = Vocabulary::MOST * Vocabulary::MOST;
        let mut rules: Vec<Vec<u32>> = vec![Vec::new(); slots];
        // A data return lets no click through and refuses none: it is in no pair, so a click never meets it.
        let deciding = |agreement: &Agreement| agreement.effect != Effect::DataReturn;
        for (place, agreement) in agreements.iter().enumerate().filter(|(_, agreement)| deciding(agreement)) {
            for marketplace in &agreement.marketplaces {
                rules[slot(agreement.platform, *marketplace)].push(place as u32);
            }
        }
        let mut allowed = vec![false; slots];
        for default in defaults {
            allowed[slot(default.platform, default.marketplace)] = default.outcome == Effect::Allow;
        }
        let pairs = rules
            .into_iter()
            .zip(allowed)
            .map(|(rules, allow_by_default)| {
                (!rules.is_empty() || allow_by_default)
                    .then(|| Box::new(Pair::build(rules, &agreements, allow_by_default)))
            })
            .collect();
        PolicySet { version, agreements, defaults: defaults.to_vec(), kills: Vec::new(), pairs }
    }

    /// The same set with these kills before every agreement.
    #[must_use]
    pub fn with_kills(mut self, kills: Vec<Kill>) -> Self {
        self.kills = kills;
        self
    }

    /// A policy without agreements: refuses everything.
    pub fn empty() -> Self {
        Self::compile(Version([0; 32]), Vec::new(), &[])
    }

    /// The identity of this policy.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Every agreement, in winning order.
    pub fn agreements(&self) -> &[Agreement] {
        &self.agreements
    }

    /// What happens where no agreement speaks, pair by pair.
    pub fn defaults(&self) -> &[PairDefault] {
        &self.defaults
    }

    /// What is switched off, ended kills included.
    pub fn kills(&self) -> &[Kill] {
        &self.kills
    }

    /// The first instant after `at` at which any agreement or kill begins, ends or widens.
    pub fn next_boundary(&self, at: Timestamp) -> Option<Timestamp> {
        self.pairs
            .iter()
            .flatten()
            .filter_map(|pair| pair.boundaries.get(pair.boundaries.partition_point(|b| *b <= at)).copied())
            .chain(self.kills.iter().flat_map(|kill| [kill.from, kill.until]).filter(|boundary| *boundary > at))
            .min()
    }

    pub(super) fn pair(&self, platform: PlatformId, marketplace: MarketplaceId) -> Option<&Pair> {
        self.pairs.get(usize::from(platform.0) * Vocabulary::MOST + usize::from(marketplace.0))?.as_deref()
    }

    pub(super) fn agreement(&self, place: u32) -> &Agreement {
        &self.agreements[place as usize]
    }
}
