//! The calendar as a picture: one SVG that needs nothing outside itself, light or dark as the reader has it. Everything a
//! policy says is escaped.

use std::fmt::Write as _;

use super::{Calendar, Row, Window, effect_name, short};
use crate::domain::policy::Effect;
use crate::domain::time::Timestamp;

const WIDTH: f64 = 960.0;
const MARGIN: f64 = 12.0;
const HEAD: f64 = 64.0;
const TITLE: f64 = 30.0;
const LINE: f64 = 38.0;
const BAR: f64 = 12.0;

const STYLE: &str = "\
text{font:12px system-ui,'PingFang SC','Noto Sans CJK SC','Microsoft YaHei',sans-serif;fill:#1f2937}\
.h{font-weight:700;font-size:14px}.s{fill:#6b7280;font-size:11px}.g{stroke:#e5e7eb}.bg{fill:#fff}.band{fill:#f3f4f6}\
.allow{fill:#2563eb}.deny{fill:#dc2626}.data_return{fill:#9ca3af}.step{fill:#f59e0b}.now{stroke:#f59e0b;stroke-width:2}\
@media(prefers-color-scheme:dark){text{fill:#e5e7eb}.s{fill:#9ca3af}.g{stroke:#374151}.bg{fill:#111827}.band{fill:#1f2937}\
.allow{fill:#60a5fa}.deny{fill:#f87171}.data_return{fill:#6b7280}}";

/// Renders it.
pub fn render(calendar: &Calendar) -> String {
    let mut out = String::new();
    // Writing to a text does not fail.
    let _ = write(calendar, &mut out);
    out
}

fn x(calendar: &Calendar, at: Timestamp) -> f64 {
    MARGIN + calendar.place(at) * (WIDTH - 2.0 * MARGIN)
}

fn write(calendar: &Calendar, out: &mut String) -> std::fmt::Result {
    let lines: usize = calendar.pairs.iter().map(|row| row.windows.len()).sum();
    let height = HEAD + calendar.pairs.len() as f64 * TITLE + lines.max(1) as f64 * LINE + MARGIN;
    let name = format!("合作时间表 / Cooperation calendar {} … {}", short(calendar.from), short(calendar.to));
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\"><title>{name}</title><style>{STYLE}</style><rect class=\"bg\" width=\"{WIDTH}\" height=\"{height}\"/>"
    )?;
    legend(out)?;
    for (at, mark) in calendar.marks(14) {
        let x = x(calendar, at);
        writeln!(out, "<line class=\"g\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"46\" y2=\"{height}\"/>")?;
        // A name that would be cut off at the edge is left out.
        if x < WIDTH - 52.0 {
            writeln!(out, "<text class=\"s\" x=\"{:.1}\" y=\"56\">{mark}</text>", x + 3.0)?;
        }
    }
    // Behind everything else: names must stay readable.
    if calendar.from <= calendar.at && calendar.at < calendar.to {
        let x = x(calendar, calendar.at);
        writeln!(
            out,
            "<line class=\"now\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"46\" y2=\"{height}\"><title>现在 / now {}</title></line>",
            calendar.at
        )?;
    }
    if calendar.pairs.is_empty() {
        let y = HEAD + 20.0;
        writeln!(out, "<text x=\"{MARGIN}\" y=\"{y}\">这段时间没有协议 / No agreement in this span</text>")?;
    }
    let mut y = HEAD;
    for row in &calendar.pairs {
        heading(row, y, out)?;
        y += TITLE;
        for window in &row.windows {
            bar(calendar, window, y, out)?;
            y += LINE;
        }
    }
    writeln!(out, "</svg>")
}

fn legend(out: &mut String) -> std::fmt::Result {
    let mut x = MARGIN;
    for (class, name, wide) in [
        ("allow", "允许 allow（浅色为灰度 / paler: in stages）", 290.0),
        ("deny", "禁止 deny", 90.0),
        ("data_return", "仅数据回流 data return only", 190.0),
        ("step", "放量 widens", 100.0),
        ("step", "竖线为现在 / line: now", 0.0),
    ] {
        writeln!(out, "<rect class=\"{class}\" x=\"{x}\" y=\"14\" width=\"12\" height=\"12\" rx=\"2\"/>")?;
        writeln!(out, "<text x=\"{}\" y=\"24\">{name}</text>", x + 18.0)?;
        x += wide + 24.0;
    }
    Ok(())
}

fn heading(row: &Row, y: f64, out: &mut String) -> std::fmt::Result {
    let text = format!("{} → {}", row.platform, row.marketplaces.join(", "));
    writeln!(out, "<rect class=\"band\" x=\"0\" y=\"{}\" width=\"{WIDTH}\" height=\"22\"/>", y + 4.0)?;
    writeln!(out, "<text class=\"h\" x=\"{MARGIN}\" y=\"{}\">{}</text>", y + 20.0, escape(&text))
}

fn bar(calendar: &Calendar, window: &Window, y: f64, out: &mut String) -> std::fmt::Result {
    let (title, _) = window.titles();
    let until = window.until.map_or("…".to_owned(), short);
    writeln!(
        out,
        "<g><title>{}\n{} … {until}\n{} · {}</title>",
        escape(&window.title),
        short(window.from),
        escape(&window.agreement),
        effect_name(window.effect)
    )?;
    let begins = x(calendar, window.from.max(calendar.from));
    let ends = x(calendar, window.until.unwrap_or(Timestamp::MAX).min(calendar.to));
    // A name stands over its bar: from where that begins, or up to where it ends if it would run out of the picture.
    let fits = begins + width(title, 12.0) + width(&window.agreement, 11.0) + 8.0 < WIDTH - MARGIN;
    let (label, anchor) = if fits { (begins, "start") } else { (ends, "end") };
    writeln!(
        out,
        "<text x=\"{label:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{} <tspan class=\"s\">{}</tspan></text>",
        y + 14.0,
        escape(title),
        escape(&window.agreement)
    )?;
    for (from, until, percent) in window.parts() {
        let (left, right) = (x(calendar, from), x(calendar, until));
        if until <= calendar.from || calendar.to <= from {
            continue;
        }
        let opacity = if window.effect == Effect::Allow { 0.25 + 0.75 * percent / 100.0 } else { 1.0 };
        writeln!(
            out,
            "<rect class=\"{}\" x=\"{left:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{BAR}\" rx=\"2\" opacity=\"{opacity:.2}\"/>",
            window.effect,
            y + 19.0,
            (right - left).max(1.5)
        )?;
    }
    let seen = window.steps.iter().filter(|step| calendar.from <= step.at && step.at < calendar.to);
    for step in seen {
        let x = x(calendar, step.at);
        writeln!(
            out,
            "<path class=\"step\" d=\"M{x:.1} {:.1}l-4 6h8z\"><title>{} {} %</title></path>",
            y + 32.0,
            short(step.at),
            step.percent
        )?;
    }
    writeln!(out, "</g>")
}

/// About how wide a text comes out.
fn width(text: &str, size: f64) -> f64 {
    text.chars().map(|c| if c.is_ascii() { 0.6 * size } else { size }).sum()
}

/// A text that may stand in markup and in an attribute of it.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // XML has no such characters.
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{FFFD}'),
            c => out.push(c),
        }
    }
    out
}
