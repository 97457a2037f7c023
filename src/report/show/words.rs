//! Cells and numbers as people read them.

use crate::domain::time::Timestamp;
use crate::report::sheet::{Cell, Column};
use crate::wording::date;

/// A cell as people read it; nothing for a cell that says nothing.
pub(super) fn shown(column: &Column, cell: &Cell) -> String {
    match cell {
        Cell::None => String::new(),
        Cell::Text(text) | Cell::Link { text, .. } => text.clone(),
        Cell::Count(count) => thousands(*count),
        Cell::Money(fen) => {
            let text = fen.to_string();
            let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
            let (whole, cents) = digits.split_once('.').unwrap_or((digits, "00"));
            format!("{sign}{}.{cents}", grouped(whole))
        }
        Cell::Rate(rate) => percent(*rate),
        Cell::Time(at) => date(*at),
        Cell::Estimate { value, low, high } => {
            let one = |figure: f64| if column.name.ends_with("_rate_est") { percent(figure) } else { about(figure) };
            format!("≈{} [{}, {}]", one(*value), one(*low), one(*high))
        }
    }
}

/// What a report was asked for as people read it: instants as dates, everything else as it is.
pub(super) fn said(value: &str) -> String {
    let instant = value.len() > 10 && value.contains('T');
    match value.parse::<Timestamp>() {
        Ok(at) if instant => date(at),
        _ => value.to_owned(),
    }
}

/// Whether a column is lined up to the right: it holds a number somewhere.
pub(super) fn is_number(cell: &Cell) -> bool {
    matches!(cell, Cell::Count(_) | Cell::Money(_) | Cell::Rate(_) | Cell::Estimate { .. })
}

/// What a cell measures, for a chart, with the ends of its interval where it has one.
pub(super) fn measure(cell: &Cell) -> Option<(f64, Option<(f64, f64)>)> {
    match cell {
        Cell::Count(count) => Some((*count as f64, None)),
        Cell::Money(fen) => Some((fen.0 as f64 / 100.0, None)),
        Cell::Rate(rate) => Some((*rate, None)),
        Cell::Estimate { value, low, high } => Some((*value, Some((*low, *high)))),
        Cell::None | Cell::Text(_) | Cell::Link { .. } | Cell::Time(_) => None,
    }
}

/// A number with a comma every three digits.
pub(super) fn thousands(number: u64) -> String {
    grouped(&number.to_string())
}

fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share of 1 in percent; more decimals where it is small.
fn percent(rate: f64) -> String {
    let value = rate * 100.0;
    match value.abs() {
        size if size >= 99.95 => format!("{value:.0} %"),
        size if size >= 0.995 || size == 0.0 => format!("{value:.1} %"),
        _ => format!("{value:.3} %"),
    }
}

/// An estimate's figure: one decimal where it is small.
fn about(figure: f64) -> String {
    if figure.abs() < 99.95 {
        let text = format!("{figure:.1}");
        return text.strip_suffix(".0").map_or(text.clone(), str::to_owned);
    }
    let text = format!("{figure:.0}");
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
    format!("{sign}{}", grouped(digits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::attribution::money::Fen;

    #[test]
    fn numbers_are_for_people() {
        let column = Column { name: "x_est", zh: "", en: "" };
        let rates = Column { name: "x_rate_est", zh: "", en: "" };
        for (cell, text) in [
            (Cell::Count(1_234_567), "1,234,567"),
            (Cell::Money(Fen(123_456_789)), "1,234,567.89"),
            (Cell::Money(Fen(-5)), "-0.05"),
            (Cell::Rate(0.0), "0.0 %"),
            (Cell::Rate(0.123_456), "12.3 %"),
            (Cell::Rate(0.001_234), "0.123 %"),
            (Cell::Rate(2.5), "250 %"),
            (Cell::Estimate { value: 1_234.4, low: 12.0, high: 99.96 }, "≈1,234 [12, 100]"),
            (Cell::None, ""),
        ] {
            assert_eq!(shown(&column, &cell), text);
        }
        assert_eq!(shown(&rates, &Cell::Estimate { value: 0.5, low: 0.25, high: 1.0 }), "≈50.0 % [25.0 %, 100 %]");
    }
}
