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
