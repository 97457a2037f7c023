//! The calendar for a terminal: 100 columns, a bar a window. Never colours: it is read in logs and mails too.

use std::fmt::Write as _;

use super::{Calendar, Window, short};
use crate::domain::policy::Effect;
use crate::domain::time::Timestamp;

/// Columns of a line.
const WIDTH: usize = 100;

/// Renders it.
pub fn render(calendar: &Calendar) -> String {
    let mut out = String::new();
    // Writing to a text does not fail.
    let _ = write(calendar, &mut out);
    out
}

fn write(calendar: &Calendar, out: &mut String) -> std::fmt::Result {
    writeln!(out, "合作时间表 / Cooperation calendar")?;
    writeln!(
        out,
        "{} … {}  北京时间 / Beijing time  政策版本 / policy {}",
        short(calendar.from),
        short(calendar.to),
        calendar.policy_version
    )?;
    writeln!(
        out,
        "█ 允许 / allow  ░▒▓ 灰度 / in stages  × 禁止 / deny  = 仅数据回流 / data return  ◆ 放量 / widens  ▼│ 现在 / now"
    )?;
    writeln!(out, "\n30 天内结束 / Ending within 30 days")?;
    if calendar.ending.is_empty() {
        writeln!(out, "  无 / none")?;
    }
    for ending in &calendar.ending {
        let days = match ending.days {
            0 => "今天 / today".to_owned(),
            days => format!("{days} 天后 / in {days} days"),
        };
        let lands = ending.marketplaces.join(", ");
        writeln!(out, "  {}  {}  {} → {lands}  {days}", short(ending.until), ending.agreement, ending.platform)?;
    }
    if calendar.pairs.is_empty() {
        return writeln!(out, "\n这段时间没有协议 / No agreement in this span");
    }
    let windows = calendar.pairs.iter().flat_map(|row| &row.windows);
    let label = windows.map(|window| window.agreement.len()).max().unwrap_or(0) + 3;
    let columns = WIDTH.saturating_sub(label).max(30);
    writeln!(out)?;
    if calendar.from <= calendar.at && calendar.at < calendar.to {
        let now = (calendar.place(calendar.at) * columns as f64) as usize;
        writeln!(out, "{:width$}▼", "", width = label + now)?;
    }
    writeln!(out, "{:label$}{}", "", axis(calendar, columns))?;
    for row in &calendar.pairs {
        writeln!(out, "{} → {}", row.platform, row.marketplaces.join(", "))?;
        for window in &row.windows {
            let bar = bar(calendar, window, columns);
            writeln!(out, "  {:width$} {}", window.agreement, bar.trim_end(), width = label - 3)?;
            let within = window.steps.iter().filter(|step| calendar.from <= step.at && step.at < calendar.to);
            let steps: Vec<String> = within.map(|step| format!("{} {} %", short(step.at), step.percent)).collect();
            if !steps.is_empty() {
                writeln!(out, "  {:width$} ◆ {}", "", steps.join(", "), width = label - 3)?;
            }
        }
    }
    Ok(())
}

/// The instant at which a column begins.
fn begins(calendar: &Calendar, column: usize, columns: usize) -> Timestamp {
    let all = i128::from(calendar.to.micros()) - i128::from(calendar.from.micros());
    let offset = all * column as i128 / columns as i128;
    calendar.from.plus_micros(i64::try_from(offset).unwrap_or(i64::MAX))
}

fn axis(calendar: &Calendar, columns: usize) -> String {
    let mut line = vec![' '; columns];
    for (at, name) in calendar.marks(columns / 9) {
        let place = (calendar.place(at) * columns as f64) as usize;
        let text: Vec<char> = std::iter::once('╷').chain(name.chars()).collect();
        if place + text.len() <= columns {
            line[place..place + text.len()].copy_from_slice(&text);
        }
    }
    line.into_iter().collect::<String>().trim_end().to_owned()
}

fn bar(calendar: &Calendar, window: &Window, columns: usize) -> String {
    let parts = window.parts();
    let cell = |column: usize| {
        let (from, to) = (begins(calendar, column, columns), begins(calendar, column + 1, columns));
        // A step that only begins the window is no widening, and one outside of the span is not seen.
        let widens = window.steps.iter().skip(1).any(|step| from <= step.at && step.at < to);
        // What fills most of the column is shown.
        let fills = |part: &&(Timestamp, Timestamp, f64)| part.1.min(to).micros() - part.0.max(from).micros();
        let part = parts.iter().filter(|part| part.0 < to && from < part.1).max_by_key(fills);
        let now = from <= calendar.at && calendar.at < to;
        match (part, window.effect) {
            (None, _) if now => '│',
            (None, _) => ' ',
            (Some(_), _) if widens => '◆',
            (Some(_), Effect::Deny) => '×',
            (Some(_), Effect::DataReturn) => '=',
            (Some((_, _, percent)), Effect::Allow) => match *percent {
                ..=33.0 => '░',
                ..=66.0 => '▒',
                ..100.0 => '▓',
                _ => '█',
            },
        }
    };
    (0..columns).map(cell).collect()
}
