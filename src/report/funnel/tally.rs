//! What one row of a funnel has counted. What came whole and what came through samples are never mixed.

use std::collections::BTreeMap;

use crate::domain::attribution::estimate::Estimate;
use crate::domain::attribution::event::{Event, EventKind, Worth};
use crate::report::sheet::{Cell, Column};

/// The steps at the marketplace.
const BACK: [EventKind; 4] = [EventKind::StoreEntry, EventKind::Search, EventKind::AddToCart, EventKind::Order];

/// Counts of one row.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Tally {
    pub(super) reads: u64,
    pub(super) likes: u64,
    pub(super) comments: u64,
    pub(super) clicks: u64,
    whole: [u64; BACK.len()],
    /// How many came of each share, by its bits: those of positive numbers have their order.
    sampled: [BTreeMap<u64, u64>; BACK.len()],
    pub(super) paused: u64,
    pub(super) outside: u64,
    pub(super) no_terms: u64,
    pub(super) contradicting: u64,
}

/// The columns of [`Tally::cells`].
pub(super) fn columns() -> impl Iterator<Item = Column> {
    [
        ("reads", "阅读", "reads"),
        ("likes", "点赞", "likes"),
        ("comments", "评论", "comments"),
        ("clicks", "点击", "clicks"),
        ("click_rate", "点击/阅读", "clicks/reads"),
        ("store_entries", "进店", "store entries"),
        ("entry_rate", "进店/点击", "entries/clicks"),
        ("searches", "搜索", "searches"),
        ("search_rate", "搜索/进店", "searches/entries"),
        ("add_to_carts", "加购", "carts"),
        ("orders", "下单", "orders"),
        ("order_rate", "下单/搜索", "orders/searches"),
        ("store_entries_est", "≈进店", "≈store entries"),
        ("entry_rate_est", "≈进店/点击", "≈entries/clicks"),
        ("searches_est", "≈搜索", "≈searches"),
        ("search_rate_est", "≈搜索/进店", "≈searches/entries"),
        ("add_to_carts_est", "≈加购", "≈carts"),
        ("orders_est", "≈下单", "≈orders"),
        ("order_rate_est", "≈下单/搜索", "≈orders/searches"),
        ("paused", "暂停期内", "paused"),
        ("outside_window", "窗口外", "outside window"),
        ("no_terms", "无条款", "no terms"),
        ("contradicting", "与点击不符", "contradicting"),
    ]
    .into_iter()
    .map(|(name, zh, en)| Column { name, zh, en })
}

impl Tally {
    /// Counts an event.
    pub(super) fn add(&mut self, event: &Event, worth: Worth<'_>) {
        let count = u64::from(event.count);
        let step = BACK.iter().position(|kind| *kind == event.kind);
        match (event.kind, worth, step) {
            (_, Worth::Contradicts, _) => self.contradicting += count,
            (EventKind::Read, ..) => self.reads += count,
            (EventKind::Like, ..) => self.likes += count,
            (EventKind::Comment, ..) => self.comments += count,
            (_, Worth::Whole { .. }, Some(step)) => self.whole[step] += count,
            (_, Worth::Sampled { share, .. }, Some(step)) => {
                *self.sampled[step].entry(share.to_bits()).or_default() += count;
            }
            (_, Worth::Paused, _) => self.paused += count,
            (_, Worth::OutsideWindow, _) => self.outside += count,
            (_, Worth::NoTerms, _) | (_, _, None) => self.no_terms += count,
        }
    }

    /// Adds another row's counts.
    pub(super) fn join(&mut self, other: &Tally) {
        for (mine, theirs) in [
            (&mut self.reads, other.reads),
            (&mut self.likes, other.likes),
            (&mut self.comments, other.comments),
            (&mut self.clicks, other.clicks),
            (&mut self.paused, other.paused),
            (&mut self.outside, other.outside),
            (&mut self.no_terms, other.no_terms),
            (&mut self.contradicting, other.contradicting),
        ] {
            *mine += theirs;
        }
        for step in 0..BACK.len() {
            self.whole[step] += other.whole[step];
            for (share, count) in &other.sampled[step] {
                *self.sampled[step].entry(*share).or_default() += count;
            }
        }
    }

    /// What rows are put in order by.
    pub(super) fn weight(&self) -> (u64, u64, u64) {
        (self.reads, self.clicks, self.whole.iter().sum())
    }

    /// Whether anything was returned whole.
    pub(super) fn has_whole(&self) -> bool {
        self.whole.iter().any(|count| *count > 0)
    }

    /// Whether anything came through a sample.
    pub(super) fn has_sampled(&self) -> bool {
        self.sampled.iter().any(|samples| !samples.is_empty())
    }

    fn reckoned(&self, step: usize) -> Option<Estimate> {
        let samples: Vec<(u64, f64)> =
            self.sampled[step].iter().map(|(share, count)| (*count, f64::from_bits(*share))).collect();
        (!samples.is_empty()).then(|| Estimate::together(&samples))
    }

    /// The row, in the order of [`columns`]; `comparable` says whether what was sampled came from these clicks at all.
    pub(super) fn cells(&self, comparable: bool) -> Vec<Cell> {
        let rate = |part: u64, of: u64| if of > 0 { Cell::Rate(part as f64 / of as f64) } else { Cell::None };
        let guess = |guess: Option<Estimate>| match guess {
            Some(Estimate { value, low, high }) => Cell::Estimate { value, low, high },
            None => Cell::None,
        };
        let [entries, searches, carts, orders] = self.whole;
        let reckoned: [Option<Estimate>; 4] = std::array::from_fn(|step| self.reckoned(step));
        let over =
            |part: Option<Estimate>, of: Option<Estimate>| guess(part.zip(of).and_then(|(part, of)| part.over(of)));
        vec![
            Cell::Count(self.reads),
            Cell::Count(self.likes),
            Cell::Count(self.comments),
            Cell::Count(self.clicks),
            rate(self.clicks, self.reads),
            Cell::Count(entries),
            rate(entries, self.clicks),
            Cell::Count(searches),
            rate(searches, entries),
            Cell::Count(carts),
            Cell::Count(orders),
            rate(orders, searches),
            guess(reckoned[0]),
            guess(reckoned[0].filter(|_| comparable).and_then(|entries| entries.per(self.clicks))),
            guess(reckoned[1]),
            over(reckoned[1], reckoned[0]),
            guess(reckoned[2]),
            guess(reckoned[3]),
            over(reckoned[3], reckoned[1]),
            Cell::Count(self.paused),
            Cell::Count(self.outside),
            Cell::Count(self.no_terms),
            Cell::Count(self.contradicting),
        ]
    }
}
