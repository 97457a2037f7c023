//! A sheet as CSV: RFC 4180, a head line of stable names, the rows alone: a total among them would be added up once more.

use std::io::{self, Write};

use crate::journal::export::harmless;
use crate::report::sheet::{Cell, Sheet};

/// Writes it. Figures from samples take three fields: `x_est`, `x_est_low`, `x_est_high`.
///
/// # Errors
/// Those of `out`.
pub fn write(sheet: &Sheet, out: &mut dyn Write) -> io::Result<()> {
    let mut writer = ::csv::WriterBuilder::new().terminator(::csv::Terminator::CRLF).from_writer(out);
    let mut names = Vec::new();
    for column in &sheet.columns {
        names.push(column.name.to_owned());
        if column.is_estimate() {
            names.extend([format!("{}_low", column.name), format!("{}_high", column.name)]);
        }
    }
    writer.write_record(&names).map_err(io::Error::other)?;
    for row in &sheet.rows {
        for (column, cell) in sheet.columns.iter().zip(row) {
            match cell {
                Cell::Estimate { value, low, high } => {
                    for figure in [value, low, high] {
                        writer.write_field(decimal(*figure)).map_err(io::Error::other)?;
                    }
                }
                other => {
                    writer.write_field(field(other)).map_err(io::Error::other)?;
                    for _ in 0..if column.is_estimate() { 2 } else { 0 } {
                        writer.write_field("").map_err(io::Error::other)?;
                    }
                }
            }
        }
        writer.write_record(None::<&[u8]>).map_err(io::Error::other)?;
    }
    writer.flush()
}

fn field(cell: &Cell) -> String {
    match cell {
        Cell::None => String::new(),
        Cell::Text(text) | Cell::Link { text, .. } => harmless(text.clone()),
        Cell::Count(count) => count.to_string(),
        Cell::Money(fen) => fen.0.to_string(),
        Cell::Rate(figure) | Cell::Estimate { value: figure, .. } => decimal(*figure),
        Cell::Time(at) => at.to_string(),
    }
}

/// At most six decimals, none that say nothing.
fn decimal(figure: f64) -> String {
    let text = format!("{figure:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn names_are_stable_and_nothing_runs_in_a_spreadsheet() {
        let mut out = Vec::new();
        write(&sample(), &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "creator,order,day,clicks,paid_fen,click_rate,orders_est,orders_est_low,orders_est_high,silent\r\n\
             \"<b>\"\"小美\"\" & 'x'</b>\",'=1+1,2025-11-11T00:00:00+08:00,1234567,-1205,0.123456,200,180.5,219.25,\r\n\
             行二\u{1b}[31m,,2025-11-12T00:00:00+08:00,0,0,,,,,\r\n"
        );
        assert_eq!([0.0, 100.0, -0.5, 1.0 / 3.0].map(decimal), ["0", "100", "-0.5", "0.333333"]);
    }
}
