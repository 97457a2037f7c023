//! What was decided against what would be: four cells, in total and by a handful of names. Never holds more names than a
//! policy has: the rest is summed.

use serde::Serialize;

use crate::domain::vocabulary::closed_list;

closed_list! {
    /// What was decided, and what the candidate would decide.
    Cell {
        /// Goes through as it did.
        AllowAllow = "allow_allow",
        /// Newly refused.
        AllowDeny = "allow_deny",
        /// Newly allowed.
        DenyAllow = "deny_allow",
        /// Refused as it was.
        DenyDeny = "deny_deny",
    }
}

impl Cell {
    /// The cell of two outcomes.
    pub fn of(allowed_then: bool, allowed_now: bool) -> Cell {
        match (allowed_then, allowed_now) {
            (true, true) => Cell::AllowAllow,
            (true, false) => Cell::AllowDeny,
            (false, true) => Cell::DenyAllow,
            (false, false) => Cell::DenyDeny,
        }
    }
}

/// Clicks by cell.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Matrix {
    /// Allowed then and by the candidate.
    pub allow_allow: u64,
    /// Newly refused.
    pub allow_deny: u64,
    /// Newly allowed.
    pub deny_allow: u64,
    /// Refused then and by the candidate.
    pub deny_deny: u64,
}

impl Matrix {
    /// Counts one click.
    pub fn count(&mut self, cell: Cell) {
        match cell {
            Cell::AllowAllow => self.allow_allow += 1,
            Cell::AllowDeny => self.allow_deny += 1,
            Cell::DenyAllow => self.deny_allow += 1,
            Cell::DenyDeny => self.deny_deny += 1,
        }
    }

    /// Adds another one.
    pub fn add(&mut self, other: &Matrix) {
        self.allow_allow += other.allow_allow;
        self.allow_deny += other.allow_deny;
        self.deny_allow += other.deny_allow;
        self.deny_deny += other.deny_deny;
    }

    /// Clicks whose outcome changes.
    pub fn changed(&self) -> u64 {
        self.allow_deny + self.deny_allow
    }

    /// All clicks.
    pub fn all(&self) -> u64 {
        self.allow_allow + self.deny_deny + self.changed()
    }
}

/// The most names of one breakdown: every platform on every surface is under this.
const MOST: usize = 1_024;
/// Where names beyond that are summed.
const OTHERS: &str = "(others)";

/// Clicks by a name of one or two parts.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    rows: Vec<(Box<str>, Box<str>, Matrix)>,
    /// The row of the last click: neighbours often share it.
    last: usize,
}

impl Groups {
    /// Counts a click under a name; an empty one is not known.
    pub fn count(&mut self, name: &str, part: &str, cell: Cell) {
        self.row(name, part).count(cell);
    }

    fn row(&mut self, name: &str, part: &str) -> &mut Matrix {
        let is = |row: &(Box<str>, Box<str>, Matrix)| *row.0 == *name && *row.1 == *part;
        if !self.rows.get(self.last).is_some_and(is) {
            self.last = match self.rows.iter().position(is) {
                Some(place) => place,
                None => {
                    let (name, part) = if self.rows.len() < MOST { (name, part) } else { (OTHERS, "") };
                    let is = |row: &(Box<str>, Box<str>, Matrix)| *row.0 == *name && *row.1 == *part;
                    self.rows.iter().position(is).unwrap_or_else(|| {
                        self.rows.push((name.into(), part.into(), Matrix::default()));
                        self.rows.len() - 1
                    })
                }
            };
        }
        &mut self.rows[self.last].2
    }

    /// Adds others.
    pub fn add(&mut self, others: Groups) {
        for (name, part, matrix) in others.rows {
            self.row(&name, &part).add(&matrix);
        }
    }

    /// The rows, those with the most change first.
    pub fn report(self) -> GroupsReport {
        let mut rows: Vec<Row> = self
            .rows
            .into_iter()
            .map(|(name, part, matrix)| {
                let name = if name.is_empty() { "unknown" } else { &*name };
                let name = if part.is_empty() { name.to_owned() } else { format!("{name}/{part}") };
                Row { name, matrix }
            })
            .collect();
        rows.sort_by(|a, b| b.weight().cmp(&a.weight()).then_with(|| a.name.cmp(&b.name)));
        rows
    }
}

/// The rows of a breakdown.
pub type GroupsReport = Vec<Row>;

/// One row of a breakdown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Row {
    /// What it counts.
    pub name: String,
    /// Its clicks.
    #[serde(flatten)]
    pub matrix: Matrix,
}

impl Row {
    /// What rows are put in order by: change, then size.
    pub fn weight(&self) -> (u64, u64) {
        (self.matrix.changed(), self.matrix.all())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_summed_in_any_order_and_bounded() {
        let (mut one, mut two) = (Groups::default(), Groups::default());
        one.count("kuaishou", "note", Cell::AllowDeny);
        one.count("", "note", Cell::DenyDeny);
        two.count("", "note", Cell::DenyDeny);
        two.count("kuaishou", "note", Cell::DenyAllow);
        two.count("kuaishou", "chat", Cell::AllowAllow);
        let (mut a, mut b) = (one.clone(), two.clone());
        a.add(two);
        b.add(one);
        assert_eq!(a.clone().report(), b.report());
        let rows = a.report();
        assert_eq!((rows[0].name.as_str(), rows[0].matrix.changed(), rows[0].matrix.all()), ("kuaishou/note", 2, 2));
        assert_eq!((rows[1].name.as_str(), rows[1].matrix.deny_deny), ("unknown/note", 2));
        let mut many = Groups::default();
        (0..3_000).for_each(|number| many.count(&format!("n{number}"), "", Cell::AllowAllow));
        let rows = many.report();
        assert_eq!((rows.len(), rows[0].name.as_str(), rows[0].matrix.all()), (MOST + 1, OTHERS, 3_000 - MOST as u64));
    }
}
