//! The same figures under other rules: every hop of the period is read and judged again, from the facts as they were
//! recorded. For disputes; takes as long as there are hops.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use super::apply::HOUR;
use super::batch::Row;
use super::figures::{Answer, Dimension, Figures, Key, Line, Names, Question, first_hour, hour_begins, hours};
use super::follow::FollowError;
use super::rebuild::{own_marks, owns};
use super::source::Source;
use super::words::{Word, Words};
use super::{Stats, unavailable};
use crate::domain::attribution::touch::Marks;
use crate::domain::attribution::validity::{Click, Rules, Verdict, VisitorDay};

/// Hops read between two reports of how far it is.
const STEP: usize = 100_000;

/// The visitors of a line, by day.
type Seen = HashMap<Vec<Key>, HashSet<(i64, u128)>>;

impl Stats {
    /// Answers a question under other rules, by reading the hops of a data folder. `told` hears how many were read.
    ///
    /// # Errors
    /// [`FollowError`].
    pub fn figures_under(
        &self,
        rules: &Rules,
        data_dir: &Path,
        question: &Question,
        mut told: impl FnMut(u64),
    ) -> Result<Answer, FollowError> {
        let (carried, owns) = {
            let reader = self.reader();
            let carried = if rules.self_clicks { own_marks(&reader).map_err(unavailable)? } else { HashMap::new() };
            (carried, owns(&reader).map_err(unavailable)?)
        };
        let owns: HashMap<(i64, Box<str>, u128), i64> =
            owns.into_iter().map(|own| ((own.at.beijing_day(), own.creator, own.visitor), own.at.micros())).collect();
        let (first, last) = hours(question);
        // What a visitor did earlier that day decides of doubles.
        let (day, days_end) = ((first + 8).div_euclid(24), (last + 8 + 23).div_euclid(24));
        let mut walk = Walk { carried, owns, ..Walk::new(rules, question) };
        let mut source = Source::after(data_dir, 0, u64::MAX)?;
        let mut read = 0;
        loop {
            let count = source.read(STEP, |seq, hop| {
                if (day..days_end).contains(&hop.at.beijing_day()) {
                    let row = Row::of(&mut walk.words, seq, hop);
                    walk.take(&row, (first, last));
                }
            })?;
            read += count as u64;
            told(read);
            if count < STEP {
                break;
            }
        }
        Ok(walk.answer((first, last)))
    }
}

struct Walk<'a> {
    rules: &'a Rules,
    question: &'a Question,
    carried: HashMap<(Box<str>, u64), Marks>,
    owns: HashMap<(i64, Box<str>, u128), i64>,
    words: Words,
    visitors: HashMap<(i64, u128), VisitorDay>,
    lines: BTreeMap<Vec<Key>, Figures>,
    seen: Seen,
    all: HashSet<(i64, u128)>,
}

impl<'a> Walk<'a> {
    fn new(rules: &'a Rules, question: &'a Question) -> Self {
        Walk {
            rules,
            question,
            carried: HashMap::new(),
            owns: HashMap::new(),
            words: Words::default(),
            visitors: HashMap::new(),
            lines: BTreeMap::new(),
            seen: HashMap::new(),
            all: HashSet::new(),
        }
    }

    fn is_asked(&self, row: &Row) -> bool {
        let Question { code, creator, platform, marketplace, .. } = self.question;
        let is =
            |asked: &Option<Box<str>>, word: Word| asked.as_deref().is_none_or(|asked| asked == self.words.text(word));
        is(code, row.code) && is(creator, row.creator) && is(platform, row.platform) && is(marketplace, row.marketplace)
    }

    fn take(&mut self, row: &Row, (first, last): (i64, i64)) {
        let day = row.at.beijing_day();
        let own = || {
            let creator = self.words.text(row.creator);
            !creator.is_empty()
                && self.owns.get(&(day, creator.into(), row.visitor)).is_some_and(|at| *at <= row.at.micros())
        };
        let own = !self.owns.is_empty() && own();
        let click = Click { link: i64::from(row.code), at: row.at, allowed: row.allowed, flags: row.flags, own };
        let known = (row.visitor != 0).then(|| self.visitors.entry((day, row.visitor)).or_default());
        let mut verdict = self.rules.judge(known, &click);
        if !self.carried.is_empty()
            && let Verdict::Person(marks) = verdict
            && let Some(more) = self.carried.get(&(self.words.text(row.node).into(), row.seq))
        {
            verdict = Verdict::Person(marks.with(*more));
        }
        let hour = row.at.micros().div_euclid(HOUR);
        if !(first..last).contains(&hour) || !self.is_asked(row) {
            return;
        }
        let text = |word: Word| self.words.text(word).to_owned();
        let names = Names {
            code: text(row.code),
            creator: text(row.creator),
            platform: text(row.platform),
            surface: text(row.surface),
            marketplace: text(row.marketplace),
            outcome: text(row.outcome),
            reason: text(row.reason),
        };
        let key = names.key(&self.question.by, hour);
        if verdict.counts() && row.visitor != 0 {
            self.all.insert((day, row.visitor));
            if !self.question.by.contains(&Dimension::Hour) {
                self.seen.entry(key.clone()).or_default().insert((day, row.visitor));
            }
        }
        self.lines.entry(key).or_default().count(verdict, row.allowed, row.visitor != 0);
    }

    fn answer(self, (first, last): (i64, i64)) -> Answer {
        let mut total = Figures::default();
        self.lines.values().for_each(|figures| total.add(figures));
        // As in the rollups: a day's visitors are counted for whole days.
        let whole = |hour: i64| hour == first_hour((hour + 8).div_euclid(24));
        let whole = whole(first) && whole(last);
        let hourly = self.question.by.contains(&Dimension::Hour);
        let seen = self.seen;
        let lines = self.lines.into_iter().map(|(key, figures)| {
            let visitors = (whole && !hourly).then(|| seen.get(&key).map_or(0, |seen| seen.len() as u64));
            let visitors = visitors.and_then(|visitors| figures.visitors(Some(visitors)));
            Line { key, figures, visitors }
        });
        Answer {
            lines: lines.collect(),
            from: hour_begins(first),
            to: hour_begins(last),
            total,
            visitors: whole.then_some(self.all.len() as u64).and_then(|all| total.visitors(Some(all))),
            kept_days: 0,
        }
    }
}
