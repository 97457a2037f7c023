//! Shows a sheet: in a terminal, as CSV, as JSON, as a page with charts. Never computes a figure, and never drops one
//! without saying so.
//!
//! Money is shown to people in yuan, and told to programs as whole fen under a name that ends in `_fen`. A figure from a
//! sample is told with both ends of its interval: in JSON as `{value, low, high}`, in CSV in three fields.
//!
//! - `words`: cells and numbers as people read them;
//! - [`text`], [`csv`], [`json`], [`html`]: the forms; `charts`: what a page draws.

use std::io::{self, Write};

use super::sheet::{Cell, Sheet};
use crate::domain::vocabulary::closed_list;

mod charts;
pub mod csv;
pub mod html;
pub mod json;
pub mod text;
mod words;

closed_list! {
    /// The forms of a report.
    Form {
        /// For people, in a terminal.
        Text = "text",
        /// RFC 4180 with a head line: the rows alone.
        Csv = "csv",
        /// One object.
        Json = "json",
        /// A page that needs nothing outside itself.
        Html = "html",
    }
}

impl Form {
    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Form::Text => "text/plain; charset=utf-8",
            Form::Csv => "text/csv; charset=utf-8; header=present",
            Form::Json => "application/json",
            Form::Html => "text/html; charset=utf-8",
        }
    }
}

/// Writes a sheet.
///
/// # Errors
/// Those of `out`.
pub fn write(sheet: &Sheet, form: Form, out: &mut dyn Write) -> io::Result<()> {
    match form {
        Form::Text => text::write(sheet, out),
        Form::Csv => csv::write(sheet, out),
        Form::Json => json::write(sheet, out),
        Form::Html => out.write_all(html::render(sheet).as_bytes()),
    }
}

/// Leaves the first `limit` rows and says how many there were; totals and charts of totals are those of all.
pub fn cut(sheet: &mut Sheet, limit: Option<usize>) {
    let Some(limit) = limit.filter(|limit| sheet.rows.len() > *limit) else { return };
    let all = sheet.rows.len();
    sheet.rows.truncate(limit);
    sheet.notes.push((
        format!("共 {all} 行，此处为前 {limit} 行；合计包含全部。"),
        format!("The first {limit} of {all} rows are shown; totals are of all of them."),
    ));
}

/// Which columns say anything: one that is empty in every row and in the total is left out where people read.
fn spoken(sheet: &Sheet) -> Vec<usize> {
    let lines = || sheet.rows.iter().chain(&sheet.total);
    let says = |place: &usize| lines().any(|row| row.get(*place).is_some_and(|cell| *cell != Cell::None));
    let kept: Vec<usize> = (0..sheet.columns.len()).filter(says).collect();
    if kept.is_empty() { (0..sheet.columns.len()).collect() } else { kept }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::attribution::money::Fen;
    use crate::report::sheet::{Chart, Column};

    /// A sheet with every sort of cell and chart, and with texts that must be escaped everywhere.
    pub fn sample() -> Sheet {
        let column = |name, zh, en| Column { name, zh, en };
        let at = |text: &str| Cell::Time(text.parse().unwrap());
        let rows = vec![
            vec![
                Cell::Text("<b>\"小美\" & 'x'</b>".to_owned()),
                Cell::Link { text: "=1+1".to_owned(), to: "/v1/hops/a?b&c".to_owned() },
                at("2025-11-11T00:00:00+08:00"),
                Cell::Count(1_234_567),
                Cell::Money(Fen(-1_205)),
                Cell::Rate(0.123_456),
                Cell::Estimate { value: 200.0, low: 180.5, high: 219.25 },
                Cell::None,
            ],
            vec![
                Cell::Text("行二\u{1b}[31m".to_owned()),
                Cell::None,
                at("2025-11-12T00:00:00+08:00"),
                Cell::Count(0),
                Cell::Money(Fen(0)),
                Cell::None,
                Cell::None,
                Cell::None,
            ],
        ];
        Sheet {
            name: "funnel",
            title: ("漏斗".to_owned(), "Funnel".to_owned()),
            head: vec![("from", "2025-11-11T00:00:00+08:00".to_owned()), ("note", "<n>".to_owned())],
            columns: vec![
                column("creator", "创作者", "creator"),
                column("order", "订单", "order"),
                column("day", "日期", "day"),
                column("clicks", "点击", "clicks"),
                column("paid_fen", "实付", "paid"),
                column("click_rate", "点击率", "click rate"),
                column("orders_est", "订单（估计）", "orders, estimated"),
                column("silent", "无", "nothing"),
            ],
            rows,
            total: Some(vec![
                Cell::None,
                Cell::None,
                Cell::None,
                Cell::Count(1_234_567),
                Cell::Money(Fen(-1_205)),
                Cell::None,
                Cell::Estimate { value: 200.0, low: 180.5, high: 219.25 },
                Cell::None,
            ]),
            notes: vec![("抽样 <50%>".to_owned(), "Sampled <50%>".to_owned())],
            charts: vec![
                Chart::Bars("creator", "clicks"),
                Chart::Lines("day", vec!["clicks", "orders_est"]),
                Chart::Funnel(vec!["clicks", "orders_est"]),
            ],
        }
    }

    fn shown(sheet: &Sheet, form: Form) -> String {
        let mut out = Vec::new();
        write(sheet, form, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_sample_is_sound_and_an_unsound_one_is_told() {
        assert_eq!(sample().faults(), Vec::<String>::new());
        let mut wrong = sample();
        wrong.rows[0][3] = Cell::Money(Fen(1));
        wrong.rows[1].pop();
        wrong.charts.push(Chart::Bars("creator", "colour"));
        wrong.columns[7].name = "day";
        assert_eq!(wrong.faults().len(), 4, "{:?}", wrong.faults());
    }

    #[test]
    fn a_cut_is_said_and_nothing_else_changes() {
        let mut sheet = sample();
        cut(&mut sheet, Some(2));
        assert_eq!(sheet, sample());
        cut(&mut sheet, Some(1));
        assert_eq!((sheet.rows.len(), &sheet.total), (1, &sample().total));
        assert!(sheet.notes[1].1.contains("first 1 of 2"), "{:?}", sheet.notes);
    }

    #[test]
    fn an_empty_sheet_is_shown_in_every_form() {
        let sheet = Sheet { rows: Vec::new(), total: None, ..sample() };
        for form in Form::ALL {
            let text = shown(&sheet, *form);
            assert!(text.contains("clicks"), "{form}: {text}");
        }
        assert_eq!(shown(&sheet, Form::Csv).lines().count(), 1);
    }
}
