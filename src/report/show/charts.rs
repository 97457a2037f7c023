//! What a page draws: bars, lines over time, a funnel. SVG inside the page, in its colours, readable at the width of a phone.
//! Everything drawn is in the table as well; a picture says in words what it shows. Never leaves out a row without saying so.

use std::fmt::Write as _;

use super::text::width as places;
use super::words::{measure, shown};
use crate::report::sheet::{Cell, Chart, Column, Sheet};
use crate::wording::{date, escape};

/// Units of a picture's width: a phone's pixels, so that its words have their size there and are larger elsewhere.
const WIDTH: f64 = 340.0;
/// Bars of a picture; the rest is in the table.
const MOST_BARS: usize = 20;
/// Characters of a bar's name, in places of a terminal.
const LONGEST_NAME: usize = 28;
const LINE: f64 = 30.0;
/// The height of a funnel's step.
const STEP: f64 = 42.0;
/// The colours of lines, by class, and how they are broken: not by colour alone.
const PENS: [(&str, &str); 4] = [("a", "none"), ("b", "6 3"), ("c", "2 3"), ("d", "8 3 2 3")];

/// Draws one chart.
pub(super) fn draw(sheet: &Sheet, chart: &Chart, number: usize, out: &mut String) -> std::fmt::Result {
    match chart {
        Chart::Bars(name, value) => match (column(sheet, name), column(sheet, value)) {
            (Some(name), Some(value)) => bars(sheet, name, value, number, out),
            _ => Ok(()),
        },
        Chart::Lines(time, values) => {
            let values: Vec<usize> = values.iter().filter_map(|name| column(sheet, name)).take(PENS.len()).collect();
            match column(sheet, time) {
                Some(time) => lines(sheet, time, &values, number, out),
                None => Ok(()),
            }
        }
        Chart::Funnel(values) => {
            let values: Vec<usize> = values.iter().filter_map(|name| column(sheet, name)).collect();
            funnel(sheet, &values, number, out)
        }
    }
}

fn column(sheet: &Sheet, name: &str) -> Option<usize> {
    sheet.columns.iter().position(|column| column.name == name)
}

fn measured(row: &[Cell], place: usize) -> Option<(f64, Option<(f64, f64)>)> {
    row.get(place).and_then(measure)
}

/// The frame of a picture: what it is called and what it shows, for whoever does not see it.
fn begin(
    out: &mut String,
    number: usize,
    (zh, en): (&str, &str),
    told: &str,
    (width, height): (f64, f64),
) -> std::fmt::Result {
    writeln!(
        out,
        "<figure><figcaption>{} <small lang=\"en\">{}</small></figcaption>\n\
         <svg viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-labelledby=\"t{number} d{number}\">\
         <title id=\"t{number}\">{} / {}</title><desc id=\"d{number}\">{}</desc>",
        escape(zh),
        escape(en),
        escape(zh),
        escape(en),
        escape(told)
    )
}

fn end(out: &mut String) -> std::fmt::Result {
    writeln!(out, "</svg></figure>")
}

fn bars(sheet: &Sheet, name: usize, value: usize, number: usize, out: &mut String) -> std::fmt::Result {
    let (named, measures) = (&sheet.columns[name], &sheet.columns[value]);
    let drawn: Vec<_> = sheet
        .rows
        .iter()
        .filter_map(|row| Some((row, measured(row, value)?)))
        .filter(|(_, (figure, _))| *figure > 0.0)
        .take(MOST_BARS)
        .collect();
    let most = drawn.iter().map(|(_, (figure, ends))| ends.map_or(*figure, |(_, high)| high)).fold(0.0, f64::max);
    if most <= 0.0 {
        return Ok(());
    }
    let rest = sheet.rows.len() - drawn.len();
    let told =
        drawn.iter().take(3).map(|(row, _)| format!("{} {}", label(named, row, name), shown(measures, &row[value])));
    let told = told.collect::<Vec<_>>().join("; ");
    let foot = if rest > 0 { 16.0 } else { 0.0 };
    let height = LINE * drawn.len() as f64 + foot;
    let titles = (measures.zh, measures.en);
    begin(out, number, titles, &told, (WIDTH, height))?;
    let scale = WIDTH / most;
    for (place, (row, (figure, ends))) in drawn.iter().enumerate() {
        let (y, text) = (LINE * place as f64, label(named, row, name));
        let worth = shown(measures, &row[value]);
        let room = LONGEST_NAME.saturating_sub(places(&worth) / 2).max(8);
        writeln!(
            out,
            "<g><title>{}: {}</title><text x=\"0\" y=\"{:.1}\">{}</text>\
             <text x=\"{WIDTH}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <rect class=\"a\" x=\"0\" y=\"{:.1}\" width=\"{:.1}\" height=\"8\" rx=\"2\"/>",
            escape(&text),
            escape(&worth),
            y + 12.0,
            escape(&short(&text, room)),
            y + 12.0,
            escape(&worth),
            y + 17.0,
            (figure * scale).max(1.0)
        )?;
        if let Some((low, high)) = ends {
            interval(out, (low * scale, high * scale), y + 21.0)?;
        }
        writeln!(out, "</g>")?;
    }
    if rest > 0 {
        writeln!(
            out,
            "<text class=\"s\" x=\"0\" y=\"{:.1}\">另有 {rest} 行见表 / {rest} more in the table</text>",
            height - 3.0
        )?;
    }
    end(out)
}

/// From the low end to the high one, as a line with two ticks.
fn interval(out: &mut String, (low, high): (f64, f64), y: f64) -> std::fmt::Result {
    write!(
        out,
        "<path class=\"w\" d=\"M{low:.1} {y:.1}H{high:.1}M{low:.1} {:.1}v6M{high:.1} {:.1}v6\"/>",
        y - 3.0,
        y - 3.0
    )
}

fn lines(sheet: &Sheet, time: usize, values: &[usize], number: usize, out: &mut String) -> std::fmt::Result {
    const LEFT: f64 = 4.0;
    const TOP: f64 = 17.0;
    const BOTTOM: f64 = 150.0;
    let mut rows: Vec<(f64, &Vec<Cell>)> = sheet
        .rows
        .iter()
        .filter_map(|row| match row.get(time) {
            Some(Cell::Time(at)) => Some((at.millis() as f64, row)),
            _ => None,
        })
        .collect();
    rows.sort_by(|one, other| one.0.total_cmp(&other.0));
    let figures = rows.iter().flat_map(|(_, row)| values.iter().filter_map(|value| measured(row, *value)));
    let most = figures.map(|(figure, _)| figure).fold(0.0, f64::max);
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(()) };
    if most <= 0.0 || values.is_empty() {
        return Ok(());
    }
    let span = (last.0 - first.0).max(1.0);
    let x = |at: f64| LEFT + (at - first.0) / span * (WIDTH - 2.0 * LEFT);
    let y = |figure: f64| BOTTOM - figure / most * (BOTTOM - TOP);
    let names = values.iter().map(|value| sheet.columns[*value].en).collect::<Vec<_>>().join(", ");
    let (since, until) = (day(&first.1[time]), day(&last.1[time]));
    let height = BOTTOM + 22.0 + 16.0 * values.len() as f64;
    begin(out, number, ("随时间", "over time"), &format!("{names}: {since} … {until}"), (WIDTH, height))?;
    let mut top = rows.iter().flat_map(|(_, row)| values.iter().map(move |value| (*value, row)));
    let top = top.rfind(|(value, row)| measured(row, *value).is_some_and(|(figure, _)| figure >= most));
    let top = top.map(|(value, row)| shown(&sheet.columns[value], &row[value])).unwrap_or_default();
    writeln!(
        out,
        "<path class=\"g\" d=\"M0 {TOP}H{WIDTH}M0 {BOTTOM}H{WIDTH}\"/><text class=\"s\" x=\"0\" y=\"12\">{}</text>\
         <text class=\"s\" x=\"0\" y=\"{y:.1}\">{}</text><text class=\"s\" x=\"{WIDTH}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>",
        escape(&top),
        escape(&since),
        escape(&until),
        y = BOTTOM + 13.0
    )?;
    for (place, (value, (pen, dash))) in values.iter().zip(PENS).enumerate() {
        let column = &sheet.columns[*value];
        let (mut path, mut broken) = (String::new(), true);
        for (at, row) in &rows {
            // A gap stays a gap: nothing is known there.
            match measured(row, *value) {
                Some((figure, _)) => {
                    let command = if broken { 'M' } else { 'L' };
                    write!(path, "{command}{:.1} {:.1}", x(*at), y(figure))?;
                    broken = false;
                }
                None => broken = true,
            }
        }
        writeln!(out, "<path class=\"l l{pen}\" stroke-dasharray=\"{dash}\" d=\"{path}\"/>")?;
        for (at, row) in &rows {
            if let Some((figure, _)) = measured(row, *value) {
                let told = format!("{} {}", day(&row[time]), shown(column, &row[*value]));
                let (x, y) = (x(*at), y(figure));
                let told = escape(&told);
                writeln!(
                    out,
                    "<circle class=\"{pen}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2\"><title>{told}</title></circle>"
                )?;
            }
        }
        let y = BOTTOM + 32.0 + 16.0 * place as f64;
        writeln!(
            out,
            "<path class=\"l l{pen}\" stroke-dasharray=\"{dash}\" d=\"M0 {:.1}h24\"/><text x=\"30\" y=\"{y:.1}\">{} {}</text>",
            y - 4.0,
            escape(column.zh),
            escape(column.en)
        )?;
    }
    end(out)
}

fn funnel(sheet: &Sheet, values: &[usize], number: usize, out: &mut String) -> std::fmt::Result {
    // Over the total, or over the only row there is.
    let row = match (&sheet.total, sheet.rows.as_slice()) {
        (Some(total), _) => total,
        (None, [only]) => only,
        _ => return Ok(()),
    };
    let steps: Vec<_> = values.iter().filter_map(|value| Some((*value, measured(row, *value)?))).collect();
    let most = steps.iter().map(|(_, (figure, ends))| ends.map_or(*figure, |(_, high)| high)).fold(0.0, f64::max);
    if most <= 0.0 {
        return Ok(());
    }
    let told = steps.iter().map(|(value, _)| {
        let column = &sheet.columns[*value];
        format!("{} {}", column.en, shown(column, &row[*value]))
    });
    let told = told.collect::<Vec<_>>().join("; ");
    let reckoned = steps.iter().any(|(_, (_, ends))| ends.is_some());
    let titles =
        if reckoned { ("漏斗（抽样推算）", "Funnel, reckoned from samples") } else { ("漏斗", "Funnel") };
    begin(out, number, titles, &told, (WIDTH, STEP * steps.len() as f64))?;
    let scale = WIDTH / most;
    let mut last: Option<(f64, f64)> = None;
    for (place, (value, (figure, ends))) in steps.iter().enumerate() {
        let column = &sheet.columns[*value];
        let (y, size) = (STEP * place as f64, if *figure > 0.0 { (figure * scale).max(1.0) } else { 0.0 });
        let left = (WIDTH - size) / 2.0;
        if let Some((x, width)) = last {
            writeln!(
                out,
                "<path class=\"k\" d=\"M{x:.1} {:.1}H{:.1}L{:.1} {:.1}H{left:.1}z\"/>",
                y - 8.0,
                x + width,
                left + size,
                y + 18.0
            )?;
        }
        writeln!(
            out,
            "<rect class=\"{}\" x=\"{left:.1}\" y=\"{:.1}\" width=\"{size:.1}\" height=\"16\" rx=\"2\"/>\
             <text x=\"0\" y=\"{:.1}\">{} {}</text><text x=\"{WIDTH}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            if ends.is_some() { "b" } else { "a" },
            y + 18.0,
            y + 13.0,
            escape(column.zh),
            escape(column.en),
            y + 13.0,
            escape(&shown(column, &row[*value]))
        )?;
        if let Some((low, high)) = ends {
            // The ends of both sides would be two intervals: one, from the middle's left edge on, is enough.
            interval(out, (left + low * scale, left + high * scale), y + 26.0)?;
        }
        last = Some((left, size));
    }
    end(out)
}

fn label(column: &Column, row: &[Cell], place: usize) -> String {
    let text = row.get(place).map(|cell| shown(column, cell)).unwrap_or_default();
    if text.is_empty() { "–".to_owned() } else { text }
}

/// A text cut to so many places, with a sign that it was.
fn short(text: &str, room: usize) -> String {
    if places(text) <= room {
        return text.to_owned();
    }
    let (mut kept, mut used) = (String::new(), 1);
    for c in text.chars() {
        used += places(c.encode_utf8(&mut [0; 4]));
        if used > room {
            break;
        }
        kept.push(c);
    }
    kept + "…"
}

/// The day of an instant, or its hour where it is no midnight.
fn day(cell: &Cell) -> String {
    match cell {
        Cell::Time(at) => {
            let text = date(*at);
            text.strip_suffix(" 00:00").map_or(text.clone(), str::to_owned)
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    fn drawn(sheet: &Sheet, chart: &Chart) -> String {
        let mut out = String::new();
        draw(sheet, chart, 0, &mut out).unwrap();
        out
    }

    #[test]
    fn bars_are_in_proportion_and_the_rest_is_said() {
        let mut sheet = sample();
        let row = sheet.rows[0].clone();
        sheet.rows = (1..=25u64)
            .map(|count| {
                let mut row = row.clone();
                row[3] = Cell::Count(count);
                row
            })
            .collect();
        let svg = drawn(&sheet, &Chart::Bars("creator", "clicks"));
        assert_eq!(svg.matches("<rect").count(), 20);
        assert!(svg.contains("另有 5 行见表"), "{svg}");
        assert!(svg.contains("width=\"17.0\"") && svg.contains("width=\"340.0\""), "{svg}");
        assert!(svg.contains("&lt;b&gt;") && !svg.contains("<b>"), "{svg}");
    }

    #[test]
    fn estimates_are_drawn_with_their_ends_and_gaps_stay_gaps() {
        let sheet = sample();
        let svg = drawn(&sheet, &Chart::Bars("creator", "orders_est"));
        assert!(svg.contains("class=\"w\" d=\"M279.9 "), "{svg}");
        let svg = drawn(&sheet, &Chart::Lines("day", vec!["clicks", "orders_est"]));
        assert_eq!(svg.matches("<circle").count(), 3, "{svg}");
        assert!(svg.contains("stroke-dasharray=\"6 3\""), "{svg}");
        let svg = drawn(&sheet, &Chart::Funnel(vec!["clicks", "orders_est"]));
        assert_eq!(svg.matches("<rect").count(), 2, "{svg}");
        // Nothing to draw: no picture.
        let empty = Sheet { rows: Vec::new(), total: None, ..sheet };
        for chart in &empty.charts {
            assert_eq!(drawn(&empty, chart), "");
        }
    }

    #[test]
    fn names_are_cut_by_what_they_take() {
        assert_eq!(short("abcdef", 6), "abcdef");
        assert_eq!(short("abcdefg", 6), "abcde…");
        assert_eq!(short("漏斗漏斗", 6), "漏斗…");
    }
}
