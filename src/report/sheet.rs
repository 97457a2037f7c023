//! A report as a table: what every report is made into before it is shown in a terminal, as CSV, JSON or a page. Never
//! computes a figure.

use serde::Serialize;

use crate::domain::attribution::money::Fen;
use crate::domain::time::Timestamp;

/// A column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Column {
    /// Its stable name, in JSON and CSV.
    pub name: &'static str,
    /// As people read it, zh-CN.
    pub zh: &'static str,
    /// As people read it, en.
    pub en: &'static str,
}

/// A value.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(untagged)]
pub enum Cell {
    /// Not known, or does not apply.
    None,
    /// A text; a page escapes it.
    Text(String),
    /// A text that opens something else of ours.
    Link {
        /// As shown.
        text: String,
        /// Where it leads: a path of the control listener.
        to: String,
    },
    /// A count.
    Count(u64),
    /// Money.
    Money(Fen),
    /// A share of 1.
    Rate(f64),
    /// An instant.
    Time(Timestamp),
    /// A figure that was reckoned from a sample: never a total.
    Estimate {
        /// The best guess.
        value: f64,
        /// The lower end of its interval.
        low: f64,
        /// The upper end.
        high: f64,
    },
}

/// What is drawn above the table of a page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Chart {
    /// Bars, one a row: the column that names them, and the one that measures them.
    Bars(&'static str, &'static str),
    /// Lines over time: the column of instants, and those that are drawn.
    Lines(&'static str, Vec<&'static str>),
    /// A funnel over these columns of the total row, widest first.
    Funnel(Vec<&'static str>),
}

/// A report.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Sheet {
    /// Its name: `links`, `funnel`, `settlement`.
    pub name: &'static str,
    /// Its title, zh-CN and en.
    pub title: (String, String),
    /// What it was asked for, as name and value: period, filters, rules.
    pub head: Vec<(&'static str, String)>,
    /// Columns.
    pub columns: Vec<Column>,
    /// Rows, each with a cell a column.
    pub rows: Vec<Vec<Cell>>,
    /// The sum of all rows, where sums make sense.
    pub total: Option<Vec<Cell>>,
    /// What the reader must know, zh-CN and en: samples, pauses, quarantined rows, figures that do not add up by nature.
    pub notes: Vec<(String, String)>,
    /// What is drawn.
    pub charts: Vec<Chart>,
}

impl Sheet {
    /// What is wrong with how it is put together; nothing in a sound one. For tests of whatever makes sheets: names are
    /// what spreadsheets and programs rely on.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let has = |name: &str| self.columns.iter().any(|column| column.name == name);
        for (place, column) in self.columns.iter().enumerate() {
            if self.columns[..place].iter().any(|other| other.name == column.name) {
                faults.push(format!("two columns `{}`", column.name));
            }
        }
        let lines = self.rows.iter().chain(&self.total);
        for (number, row) in lines.enumerate() {
            if row.len() != self.columns.len() {
                faults.push(format!("row {number}: {} cells, {} columns", row.len(), self.columns.len()));
            }
            for (column, cell) in self.columns.iter().zip(row) {
                let money = matches!(cell, Cell::Money(_)) == column.name.ends_with("_fen");
                let estimate = matches!(cell, Cell::Estimate { .. }) == column.is_estimate();
                if !(matches!(cell, Cell::None) || money && estimate) {
                    faults.push(format!("row {number}: {cell:?} in the column `{}`", column.name));
                }
            }
        }
        for chart in &self.charts {
            let names = match chart {
                Chart::Bars(name, value) => vec![*name, *value],
                Chart::Lines(time, values) => std::iter::once(*time).chain(values.iter().copied()).collect(),
                Chart::Funnel(values) => values.clone(),
            };
            faults.extend(names.iter().filter(|name| !has(name)).map(|name| format!("a chart of no column `{name}`")));
        }
        faults
    }
}

impl Column {
    /// Whether it holds figures from samples.
    pub fn is_estimate(&self) -> bool {
        self.name.ends_with("_est")
    }
}
