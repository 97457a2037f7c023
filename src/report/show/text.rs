//! A sheet in a terminal: a table lined up by how wide its characters are, Chinese ones two. No colours, and no control
//! character of a cell reaches the terminal.

use std::io::{self, Write};

use super::spoken;
use super::words::{is_number, said, shown};
use crate::report::sheet::{Cell, Sheet};

/// Between columns.
const GAP: &str = "  ";

/// Writes it. Columns that say nothing are left out.
///
/// # Errors
/// Those of `out`.
pub fn write(sheet: &Sheet, out: &mut dyn Write) -> io::Result<()> {
    let mut out = io::BufWriter::new(out);
    writeln!(out, "{} / {}", clean(&sheet.title.0), clean(&sheet.title.1))?;
    let head: Vec<String> = sheet.head.iter().map(|(name, value)| format!("{name} {}", clean(&said(value)))).collect();
    if !head.is_empty() {
        writeln!(out, "{}", head.join("; "))?;
    }
    writeln!(out)?;
    let kept = spoken(sheet);
    let line = |row: &[Cell]| -> Vec<String> {
        kept.iter()
            .map(|place| match (sheet.columns.get(*place), row.get(*place)) {
                (Some(_), Some(Cell::None)) => "-".to_owned(),
                (Some(column), Some(cell)) => clean(&shown(column, cell)),
                _ => String::new(),
            })
            .collect()
    };
    let right: Vec<bool> = kept
        .iter()
        .map(|place| sheet.rows.iter().chain(&sheet.total).any(|row| row.get(*place).is_some_and(is_number)))
        .collect();
    let heads = [
        kept.iter().map(|place| sheet.columns[*place].zh.to_owned()).collect::<Vec<_>>(),
        kept.iter().map(|place| sheet.columns[*place].en.to_owned()).collect(),
    ];
    let rows: Vec<Vec<String>> = sheet.rows.iter().map(|row| line(row)).collect();
    let total = sheet.total.as_ref().map(|total| {
        let mut cells = line(total);
        // Where the total has nothing of its own to say, its name stands.
        if let (Some(first), Some(Cell::None)) = (cells.first_mut(), kept.first().and_then(|place| total.get(*place))) {
            "合计 total".clone_into(first);
        }
        cells
    });
    let mut widths = vec![0; kept.len()];
    for cells in heads.iter().chain(&rows).chain(&total) {
        for (most, cell) in widths.iter_mut().zip(cells) {
            *most = (*most).max(width(cell));
        }
    }
    let lined_up = |cells: &Vec<String>| {
        let mut text = String::new();
        for (place, cell) in cells.iter().enumerate() {
            let space = " ".repeat(widths[place] - width(cell));
            text += if place == 0 { "" } else { GAP };
            text += &if right[place] { format!("{space}{cell}") } else { format!("{cell}{space}") };
        }
        text.truncate(text.trim_end().len());
        text
    };
    let rule = "─".repeat(widths.iter().sum::<usize>() + GAP.len() * widths.len().saturating_sub(1));
    for cells in &heads {
        writeln!(out, "{}", lined_up(cells))?;
    }
    writeln!(out, "{rule}")?;
    for cells in &rows {
        writeln!(out, "{}", lined_up(cells))?;
    }
    if let Some(total) = &total {
        writeln!(out, "{rule}\n{}", lined_up(total))?;
    }
    if sheet.rows.is_empty() {
        writeln!(out, "此期间没有数据 / nothing in this time")?;
    }
    for (zh, en) in &sheet.notes {
        writeln!(out, "\n* {}\n  {}", clean(zh), clean(en))?;
    }
    out.flush()
}

/// A text without what would move a cursor or change a colour.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

/// How many places a text takes in a terminal.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(places).sum()
}

/// Two for what East Asian Width calls wide, none for what is put on top of another character.
fn places(c: char) -> usize {
    match u32::from(c) {
        0x0300..=0x036F | 0x200B..=0x200F | 0x2060 | 0x20D0..=0x20FF | 0xFE00..=0xFE0F | 0xFEFF => 0,
        0x1100..=0x115F
        | 0x2E80..=0x303E
        | 0x3041..=0xA4CF
        | 0xA960..=0xA97C
        | 0xAC00..=0xD7A3
        | 0xF900..=0xFAFF
        | 0xFE30..=0xFE6F
        | 0xFF01..=0xFF60
        | 0xFFE0..=0xFFE6
        | 0x1F300..=0x1F64F
        | 0x1F680..=0x1F6FF
        | 0x1F900..=0x1FAFF
        | 0x20000..=0x3FFFD => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn a_table_is_lined_up_by_what_is_seen() {
        let mut out = Vec::new();
        write(&sample(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "漏斗 / Funnel");
        assert_eq!(lines[1], "from 2025-11-11 00:00; note <n>");
        assert!(!text.contains('\u{1b}') && text.contains("行二\u{FFFD}[31m"), "{text}");
        // The column that says nothing is left out; every number of a column ends at one place.
        assert!(!text.contains("nothing") && lines[3].ends_with("订单（估计）"), "{text}");
        let ends = |line: &str, part: &str| width(&line[..line.find(part).unwrap()]) + width(part);
        let clicks = ends(lines[3], "点击");
        assert_eq!(clicks, ends(lines[4], "clicks"));
        assert_eq!(clicks, ends(lines[6], "1,234,567"));
        assert_eq!(clicks, ends(lines[9], "1,234,567"));
        assert!(lines[9].starts_with("合计 total"), "{text}");
        assert!(
            lines[6].contains("-12.05") && lines[6].contains("12.3 %") && lines[6].contains("≈200 [180, 219]"),
            "{text}"
        );
        assert!(text.ends_with("\n* 抽样 <50%>\n  Sampled <50%>\n"), "{text}");
    }

    #[test]
    fn widths_are_those_of_a_terminal() {
        for (text, places) in [("", 0), ("abc", 3), ("漏斗", 4), ("，（）", 6), ("≈1", 2), ("e\u{301}", 1), ("😀", 2)]
        {
            assert_eq!(width(text), places, "{text}");
        }
    }
}
