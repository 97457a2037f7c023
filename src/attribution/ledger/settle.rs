//! Settling: brings the ledger up to what orders and clicks say. Reads order reports behind a mark, and clicks that came
//! late behind another; writes what is new with the mark in one transaction. Killed anywhere, run twice or by two processes at
//! once, the ledger is the same.
//!
//! A line is matched when it is new, when what it is matched by has changed, and when a click came late that its window may
//! touch; else its match stands. A match whose click is forgotten by now stands too, unless a later click was found.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::terms::TermsSource;
use super::{Batch, Held, Ledger, Line, Marks as Progress, NewEntry, Trigger};
use crate::attribution::StoreError;
use crate::attribution::announce::{Announcer, Matched};
use crate::attribution::orders::OrderStore;
use crate::attribution::touches::{Subject, TouchStore};
use crate::domain::attribution::Network;
use crate::domain::attribution::entries::{Kind, Slot, desired, difference, in_order, period_of, youngest};
use crate::domain::attribution::matching::{
    Candidate, Evidence, Match, Method, RULES, Rules, decide, earliest, enough, marketplaces, positions, upper,
};
use crate::domain::attribution::money::Fen;
use crate::domain::attribution::order::{LineKey, OrderEvent, OrderLine, OrderState};
use crate::domain::attribution::period::Month;
use crate::domain::attribution::touch::{Marks, Touch};
use crate::domain::attribution::validity::Rules as Validity;
use crate::domain::click_id::ClickKey;
use crate::domain::time::Timestamp;

/// Order reports taken in one batch, and lines matched again in one.
pub const BATCH: usize = 1_000;
/// How many clicks are looked at first in the search for those that count, and how many times more each time after: most
/// lines need the last two, and one behind a flood of machines needs them all.
const FIRST_LOOK: usize = 4;
const WIDER: usize = 32;

/// Which clicks count, and the name of the rules that say so.
#[derive(Clone)]
pub struct Counting {
    /// The rules' own version.
    pub version: Box<str>,
    /// Whether a click counts.
    pub counts: Arc<dyn Fn(&Touch) -> bool + Send + Sync>,
}

impl Counting {
    /// By rules of validity. Marks of doubles, excess and own clicks are those that were noticed when the clicks were counted;
    /// of a rule that is set to nothing they do not matter.
    pub fn of(rules: &Validity) -> Self {
        let version = rules.version().into();
        let rules = rules.clone();
        let mut ignored = 0;
        for (mark, off) in [
            (Marks::DUPLICATE, rules.duplicate_within == 0),
            (Marks::EXCESSIVE, rules.clicks_an_hour == 0),
            (Marks::SELF_CLICK, !rules.self_clicks),
        ] {
            ignored |= if off { mark.0 } else { 0 };
        }
        let counts = move |touch: &Touch| rules.count(touch.flags, Marks(touch.marks.0 & !ignored));
        Counting { version, counts: Arc::new(counts) }
    }
}

/// What settling reads and writes.
#[derive(Clone)]
pub struct Settler {
    /// The ledger.
    pub ledger: Arc<dyn Ledger>,
    /// Order reports.
    pub orders: Arc<dyn OrderStore>,
    /// Clicks.
    pub touches: Arc<dyn TouchStore>,
    /// What was agreed for clicks.
    pub terms: Arc<dyn TermsSource>,
    /// Which clicks count.
    pub counting: Counting,
    /// Proves click ids.
    pub key: ClickKey,
}

/// What a settling did.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Settled {
    /// Order reports taken.
    pub events: u64,
    /// Lines looked at.
    pub lines: u64,
    /// Matches made, by method.
    pub matches: HashMap<&'static str, u64>,
    /// Entries posted, by kind.
    pub entries: HashMap<&'static str, u64>,
    /// Entries that went to a later period than their own.
    pub late: u64,
    /// Announcements made.
    pub announced: u64,
}

impl Settled {
    fn count(&mut self, lines: &[Line]) {
        for line in lines {
            self.lines += 1;
            if let Some(matched) = &line.matched {
                *self.matches.entry(matched.method.as_str()).or_default() += 1;
            }
            for entry in &line.entries {
                *self.entries.entry(entry.slot.kind.as_str()).or_default() += 1;
                self.late += u64::from(entry.late);
            }
        }
    }

    /// Matches made by this method.
    pub fn matched_by(&self, method: Method) -> u64 {
        self.matches.get(method.as_str()).copied().unwrap_or_default()
    }

    /// Entries posted of this kind.
    pub fn posted(&self, kind: Kind) -> u64 {
        self.entries.get(kind.as_str()).copied().unwrap_or_default()
    }
}

/// When a line is matched.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    /// When what it is matched by has changed.
    IfChanged,
    /// In any case.
    Always,
}

/// Positions that were asked for already.
type Known = HashMap<(Network, Box<str>), Arc<[Subject]>>;

/// What a line is matched by, summed up: while it stays the same the match stands.
pub fn inputs(line: &OrderLine) -> [u8; 32] {
    let told = &line.promotion;
    let times = [line.created_at.micros(), line.clicked_at.map_or(i64::MIN, Timestamp::micros)];
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    times.iter().for_each(|time| context.update(&time.to_le_bytes()));
    for text in [&told.pid, &told.position, &told.relation, &told.sub_id, &line.marketplace] {
        // Lengths first: two texts must not read as one.
        context.update(&(text.len() as u64).to_le_bytes());
        context.update(text.as_bytes());
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

impl Settler {
    /// Settles everything there is, at `now`.
    ///
    /// # Errors
    /// [`StoreError`]; what was settled before stays so, and the next run goes on from there.
    pub async fn settle(&self, now: Timestamp) -> Result<Settled, StoreError> {
        self.settle_telling(now, |_| {}).await
    }

    /// [`Settler::settle`], telling of progress after each batch.
    ///
    /// # Errors
    /// As there.
    pub async fn settle_telling(
        &self,
        now: Timestamp,
        mut progress: impl FnMut(&Settled),
    ) -> Result<Settled, StoreError> {
        let mut settled = Settled::default();
        let mut known = Known::new();
        loop {
            let marks = self.ledger.marks().await?;
            // Read before any line is matched: clicks that come while lines are being matched are looked at again.
            let first = if marks.touches.is_none() { Some(self.touches.changed().await?) } else { None };
            let events = self.orders.after(marks.events, BATCH).await?;
            if let Some(last) = events.last() {
                let mut seen = HashSet::new();
                let keys = events.iter().map(|event| &event.line.key).filter(|key| seen.insert(*key)).cloned();
                let keys: Vec<LineKey> = keys.collect();
                let lines = self.work(&keys, &marks, Again::IfChanged, &mut known).await?;
                let batch = Batch {
                    revision: marks.revision,
                    trigger: Trigger::Order,
                    events: Some(last.seq),
                    touches: first,
                    lines: lines.clone(),
                };
                if self.ledger.keep(batch, now).await? {
                    settled.events += events.len() as u64;
                    settled.count(&lines);
                    progress(&settled);
                }
            } else if self.look_again(&marks, first, now, &mut settled, &mut known, &mut progress).await? {
                // Clicks that came meanwhile are the next settling's: under traffic this one would never end.
                return Ok(settled);
            }
        }
    }

    /// Matches lines again that clicks which came late may concern; whether that is done. It is not when another process
    /// kept something in between.
    async fn look_again(
        &self,
        marks: &Progress,
        first: Option<i64>,
        now: Timestamp,
        settled: &mut Settled,
        known: &mut Known,
        progress: &mut impl FnMut(&Settled),
    ) -> Result<bool, StoreError> {
        let Some(since) = marks.touches else {
            let batch = Batch {
                revision: marks.revision,
                trigger: Trigger::Click,
                events: None,
                touches: first,
                lines: Vec::new(),
            };
            self.ledger.keep(batch, now).await?;
            return Ok(false);
        };
        // Clicks that were counted anew have other numbers: all of them are looked at.
        let since = if self.touches.changed().await? < since { 0 } else { since };
        let Some((earliest, _, change)) = self.touches.added_since(since).await? else { return Ok(true) };
        // A click can only be credited with what was ordered after it.
        let keys = self.orders.created_between(earliest, Timestamp::MAX).await?;
        let mut marks = *marks;
        for (place, some) in keys.chunks(BATCH).enumerate() {
            let last = (place + 1) * BATCH >= keys.len();
            let lines = self.work(some, &marks, Again::Always, known).await?;
            if lines.is_empty() && !last {
                continue;
            }
            let batch = Batch {
                revision: marks.revision,
                trigger: Trigger::Click,
                events: None,
                touches: last.then_some(change),
                lines: lines.clone(),
            };
            if !self.ledger.keep(batch, now).await? {
                return Ok(false);
            }
            settled.count(&lines);
            progress(settled);
            if !last {
                marks = self.ledger.marks().await?;
            }
        }
        if keys.is_empty() {
            let (revision, touches) = (marks.revision, Some(change));
            let batch = Batch { revision, trigger: Trigger::Click, events: None, touches, lines: Vec::new() };
            return self.ledger.keep(batch, now).await;
        }
        Ok(true)
    }

    /// What is new of these lines. Lines of which nothing is are left out, unless a report brought them here.
    async fn work(
        &self,
        keys: &[LineKey],
        marks: &Progress,
        again: Again,
        known: &mut Known,
    ) -> Result<Vec<Line>, StoreError> {
        let held = self.ledger.held(keys).await?;
        let mut lines = Vec::with_capacity(keys.len());
        for (key, held) in keys.iter().zip(held) {
            // Not settled yet: its reports are still before the mark, and will bring it here.
            if held.is_none() && again == Again::Always {
                continue;
            }
            let events = self.orders.of_line(key).await?;
            let Some(youngest) = youngest(&events) else { continue };
            let inputs = inputs(&youngest.line);
            let matched = match &held {
                Some(held) if again == Again::IfChanged && held.inputs == inputs => held.matched.clone(),
                _ => self.find(&youngest.line, held.as_ref(), known).await?,
            };
            let line = difference_of(&events, youngest, inputs, matched, held, marks.closed);
            if again == Again::IfChanged || line.matched.is_some() || !line.entries.is_empty() {
                lines.push(line);
            }
        }
        Ok(lines)
    }

    /// Whom a line is credited to now.
    async fn find(&self, line: &OrderLine, held: Option<&Held>, known: &mut Known) -> Result<Match, StoreError> {
        let rules = Rules { version: RULES, validity: self.counting.version.clone() };
        let matched = decide(line, &self.evidence(line, known).await?, &rules);
        // Clicks are kept for a while only: one that was credited stays so when it is forgotten.
        if let Some(held) = held
            && let Some(before) = held.matched.click.as_ref().filter(|_| held.matched.method != Method::None)
            && matched.click.as_ref().is_none_or(|click| click.click != before.click && click.at <= before.at)
            && self.touches.of_click(before.click).await?.is_none()
        {
            return Ok(held.matched.clone());
        }
        Ok(matched)
    }

    async fn evidence(&self, line: &OrderLine, known: &mut Known) -> Result<Evidence, StoreError> {
        let mut evidence = Evidence::default();
        if let Ok(click) = self.key.parse(&line.promotion.sub_id)
            && let Some(touch) = self.touches.of_click(click).await?
        {
            evidence.named = Some(self.candidate(touch).await?);
        }
        let marketplaces: Vec<Box<str>> = marketplaces(line).into_iter().map(Into::into).collect();
        for (method, text) in positions(line) {
            let subjects = self.subjects(line.key.network, text, known).await?;
            if subjects.is_empty() {
                continue;
            }
            evidence.found_by = Some(method);
            let mut limit = FIRST_LOOK;
            loop {
                let (since, before) = (earliest(line), upper(line));
                let touches = self.touches.latest(&subjects, &marketplaces, since, before, limit).await?;
                let all = touches.len() < limit;
                let seen = evidence.candidates.len();
                for touch in touches.into_iter().skip(seen) {
                    evidence.candidates.push(self.candidate(touch).await?);
                }
                if all || enough(line, &evidence.candidates) {
                    break;
                }
                limit = limit.saturating_mul(WIDER);
            }
            break;
        }
        Ok(evidence)
    }

    async fn candidate(&self, touch: Touch) -> Result<Candidate, StoreError> {
        let terms = self.terms.of(&touch).await?;
        let counts = (self.counting.counts)(&touch);
        Ok(Candidate { touch, terms, counts })
    }

    async fn subjects(
        &self,
        network: Network,
        position: &str,
        known: &mut Known,
    ) -> Result<Arc<[Subject]>, StoreError> {
        let key = (network, Box::<str>::from(position));
        if let Some(subjects) = known.get(&key) {
            return Ok(Arc::clone(subjects));
        }
        let subjects: Arc<[Subject]> = self.orders.subjects(network, position).await?.into();
        known.insert(key, Arc::clone(&subjects));
        Ok(subjects)
    }

    /// Tells of every state that a line credited to a creator has reached, once each; how many were told. What was told and
    /// not yet noted so is told again.
    ///
    /// # Errors
    /// [`StoreError`]; what was not told is told the next time.
    pub async fn announce(&self, announcer: &dyn Announcer) -> Result<u64, StoreError> {
        let mut told = 0;
        loop {
            let untold = self.ledger.untold(BATCH).await?;
            if untold.is_empty() {
                return Ok(told);
            }
            let keys: Vec<LineKey> = untold.iter().map(|one| one.key.clone()).collect();
            let mut matched = Vec::with_capacity(untold.len());
            for (one, held) in untold.iter().zip(self.ledger.held(&keys).await?) {
                let Some(held) = held.filter(|held| held.matched.creator().is_some()) else { continue };
                let Some(click) = held.matched.click.as_ref() else { continue };
                // A click that is forgotten by now is too old to be told of.
                let Some(touch) = self.touches.of_click(click.click).await? else { continue };
                let events = self.orders.of_line(&one.key).await?;
                let event = in_order(&events).into_iter().rfind(|event| event.line.state == one.state);
                let method = held.matched.method.as_str().into();
                matched.extend(event.map(|event| Matched { line: event.line.clone(), touch, method }));
            }
            announcer.announce(&matched).await?;
            let numbers: Vec<i64> = untold.iter().map(|one| one.number).collect();
            self.ledger.told(&numbers).await?;
            told += numbers.len() as u64;
        }
    }

    /// Matches every line again by the rules of this settler, and posts the differences; with `dry`, only says what they
    /// would be. `each` is told of every line that changes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn recompute(
        &self,
        now: Timestamp,
        dry: bool,
        mut each: impl FnMut(&Line, Option<&Match>),
    ) -> Result<Settled, StoreError> {
        let (mut after, mut settled, mut known) = (0, Settled::default(), Known::new());
        loop {
            let some = self.ledger.lines(after, BATCH).await?;
            let Some(last) = some.last().map(|(number, _)| *number) else { return Ok(settled) };
            let keys: Vec<LineKey> = some.into_iter().map(|(_, key)| key).collect();
            loop {
                let marks = self.ledger.marks().await?;
                let lines = self.work(&keys, &marks, Again::Always, &mut known).await?;
                let changed: Vec<LineKey> = lines.iter().map(|line| line.line.key.clone()).collect();
                let before = self.ledger.held(&changed).await?;
                let batch = Batch {
                    revision: marks.revision,
                    trigger: Trigger::Recompute,
                    events: None,
                    touches: None,
                    lines: lines.clone(),
                };
                if dry || lines.is_empty() || self.ledger.keep(batch, now).await? {
                    settled.count(&lines);
                    for (line, before) in lines.iter().zip(&before) {
                        each(line, before.as_ref().map(|held| &held.matched));
                    }
                    break;
                }
            }
            after = last;
        }
    }
}

/// What is to be kept of a line, so that it says what its reports and its match say.
fn difference_of(
    events: &[OrderEvent],
    youngest: &OrderEvent,
    inputs: [u8; 32],
    matched: Match,
    held: Option<Held>,
    closed: Option<Month>,
) -> Line {
    let booked = held.as_ref().map_or(1, |held| match held.matched.same_credit(&matched) {
        true => held.booked,
        false => held.version + 1,
    });
    let (before, posted) = held.map(|held| (Some(held.matched), held.posted)).unwrap_or_default();
    let changed: HashMap<[u8; 32], Timestamp> =
        events.iter().map(|event| (event.hash, event.line.modified_at)).collect();
    let entry = |(slot, amount): (Slot, Fen)| {
        let changed_at = changed.get(&slot.cause).copied().unwrap_or(youngest.line.modified_at);
        let (period, late) = period_of(changed_at, closed);
        NewEntry { slot, amount, changed_at, period, late }
    };
    let entries = difference(&desired(events, &matched, booked), &posted).into_iter().map(entry).collect();
    let mut reached = Vec::new();
    if matched.creator().is_some() {
        for event in in_order(events) {
            let state = event.line.state;
            if state != OrderState::Pending && !reached.contains(&state) {
                reached.push(state);
            }
        }
    }
    let matched = Some(matched).filter(|matched| before.is_none_or(|before| !before.same_outcome(matched)));
    Line { line: youngest.line.clone(), inputs, matched, booked, entries, reached }
}

#[cfg(test)]
#[path = "settle_tests.rs"]
mod tests;
