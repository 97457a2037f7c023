//! Clicks by creator, of whom there may be millions: bounded, and what is left out is summed. Stretches of the log are
//! added in log order, so that the same log always leaves the same ones in.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use serde::Serialize;

use super::matrix::{Cell, Matrix, Row};

/// The most creators kept apart; over this the half with the least change is summed.
const MOST: usize = 200_000;
/// Creators that are shown.
const SHOWN: usize = 20;

/// Clicks by creator.
#[derive(Debug)]
pub struct Creators {
    rows: HashMap<Box<str>, Matrix, FixedState>,
    /// Clicks of creators that were summed.
    others: Matrix,
    /// Some were summed and may have come back: rows then have at least what they say.
    summed: bool,
}

impl Default for Creators {
    fn default() -> Self {
        Creators { rows: HashMap::with_hasher(FixedState::default()), others: Matrix::default(), summed: false }
    }
}

impl Creators {
    /// Counts a click; an empty name is not known.
    pub fn count(&mut self, creator: &str, cell: Cell) {
        match self.rows.get_mut(creator) {
            Some(matrix) => matrix.count(cell),
            None => self.rows.entry(creator.into()).or_default().count(cell),
        }
    }

    /// Adds those of the next stretch.
    pub fn add(&mut self, later: Creators) {
        if self.rows.is_empty() && !self.summed {
            *self = later;
        } else {
            for (creator, matrix) in later.rows {
                self.rows.entry(creator).or_default().add(&matrix);
            }
            self.others.add(&later.others);
            self.summed |= later.summed;
        }
        if self.rows.len() > MOST {
            self.halve();
        }
    }

    fn halve(&mut self) {
        let mut rows: Vec<(Box<str>, Matrix)> = self.rows.drain().collect();
        rows.sort_by(|(a, of_a), (b, of_b)| {
            (of_b.changed(), of_b.all()).cmp(&(of_a.changed(), of_a.all())).then_with(|| a.cmp(b))
        });
        rows.drain(MOST / 2..).for_each(|(_, matrix)| self.others.add(&matrix));
        self.rows.extend(rows);
        self.summed = true;
    }

    /// Those with the most change, and the sum of the rest.
    pub fn report(self) -> CreatorsReport {
        let creators = self.rows.len() as u64;
        let mut rows: Vec<Row> = self
            .rows
            .into_iter()
            .map(|(name, matrix)| Row {
                name: if name.is_empty() { "unknown".to_owned() } else { name.into() },
                matrix,
            })
            .collect();
        rows.sort_by(|a, b| b.weight().cmp(&a.weight()).then_with(|| a.name.cmp(&b.name)));
        let changed = rows.iter().filter(|row| row.matrix.changed() > 0).count() as u64;
        let mut others = self.others;
        rows.drain(SHOWN.min(rows.len())..).for_each(|row| others.add(&row.matrix));
        CreatorsReport { creators, changed, exact: !self.summed, top: rows, others }
    }
}

/// What is told of creators.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CreatorsReport {
    /// Creators counted apart.
    pub creators: u64,
    /// Those with a click whose outcome changes.
    pub changed: u64,
    /// Whether every creator was counted apart. If not, the least changed were summed on the way.
    pub exact: bool,
    /// Those with the most change.
    pub top: Vec<Row>,
    /// All the others together.
    pub others: Matrix,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_the_bound_the_least_changed_are_summed_and_none_is_lost() {
        let mut all = Creators::default();
        for stretch in 0..5 {
            let mut part = Creators::default();
            for number in 0..60_000 {
                let name = format!("c{}", stretch * 60_000 + number);
                part.count(&name, if number == 7 { Cell::AllowDeny } else { Cell::AllowAllow });
                part.count("hit", Cell::AllowDeny);
            }
            all.add(part);
        }
        let report = all.report();
        assert!(!report.exact && report.creators <= MOST as u64);
        assert_eq!((report.top.len(), report.top[0].name.as_str()), (SHOWN, "hit"));
        assert_eq!((report.top[0].matrix.allow_deny, report.changed), (300_000, 6));
        let shown: u64 = report.top.iter().map(|row| row.matrix.all()).sum();
        assert_eq!(shown + report.others.all(), 600_000);
    }
}
