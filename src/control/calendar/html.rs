//! The calendar as a page: the picture, and everything in it once more in words. One file, no script, nothing fetched;
//! readable on a phone, where only the picture scrolls sideways, and in the dark. Chinese first.

use std::fmt::Write as _;

use super::svg::{self, escape};
use super::{Calendar, Window, effect_name, short};

const STYLE: &str = "\
:root{color-scheme:light dark}*{box-sizing:border-box}\
body{margin:0 auto;max-width:1000px;padding:16px;font:15px/1.6 system-ui,'PingFang SC','Noto Sans CJK SC','Microsoft YaHei',\
sans-serif;color:#1f2937;background:#fff;overflow-wrap:anywhere}\
h1{font-size:22px;margin:0}h2{font-size:17px;margin:28px 0 8px}h3{font-size:15px;margin:18px 0 4px}p{margin:4px 0}\
small,.s{color:#6b7280;font-size:13px}ul{margin:0;padding:0;list-style:none}\
li{padding:8px 0 8px 10px;border-left:4px solid #9ca3af;margin:8px 0}\
li.allow{border-color:#2563eb}li.deny{border-color:#dc2626}li.soon{border-color:#f59e0b}\
.chart{overflow-x:auto;border:1px solid #e5e7eb;border-radius:8px}.chart svg{display:block}\
code{font:13px ui-monospace,monospace}\
@media(prefers-color-scheme:dark){body{color:#e5e7eb;background:#111827}small,.s{color:#9ca3af}.chart{border-color:#374151}\
li.allow{border-color:#60a5fa}li.deny{border-color:#f87171}}";

/// Renders it.
pub fn render(calendar: &Calendar) -> String {
    let mut out = String::new();
    // Writing to a text does not fail.
    let _ = write(calendar, &mut out);
    out
}

fn write(calendar: &Calendar, out: &mut String) -> std::fmt::Result {
    let (from, to) = (short(calendar.from), short(calendar.to));
    writeln!(
        out,
        "<!doctype html>\n<html lang=\"zh-CN\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>合作时间表 / Cooperation calendar</title><style>{STYLE}</style></head><body>"
    )?;
    writeln!(out, "<h1>合作时间表 <small lang=\"en\">Cooperation calendar</small></h1>")?;
    writeln!(out, "<p>{from} … {to} <span class=\"s\">北京时间 / Beijing time</span></p>")?;
    writeln!(
        out,
        "<p class=\"s\">生成于 / made at {} · 政策版本 / policy <code>{}</code></p>",
        short(calendar.at),
        escape(&calendar.policy_version)
    )?;
    writeln!(out, "<h2>30 天内结束 <small lang=\"en\">Ending within 30 days</small></h2>")?;
    if calendar.ending.is_empty() {
        writeln!(out, "<p>无 <small lang=\"en\">none</small></p>")?;
    } else {
        writeln!(out, "<ul>")?;
        for ending in &calendar.ending {
            let days = match ending.days {
                0 => "今天 / today".to_owned(),
                days => format!("{days} 天后 / in {days} days"),
            };
            writeln!(
                out,
                "<li class=\"soon\"><b>{}</b> {days}<br>{}<br><small>{} → {} · <code>{}</code></small></li>",
                short(ending.until),
                escape(&ending.title),
                escape(&ending.platform),
                escape(&ending.marketplaces.join(", ")),
                escape(&ending.agreement)
            )?;
        }
        writeln!(out, "</ul>")?;
    }
    writeln!(out, "<h2>时间线 <small lang=\"en\">Timeline</small></h2>\n<div class=\"chart\" tabindex=\"0\">")?;
    out.push_str(&svg::render(calendar));
    writeln!(out, "</div>\n<h2>逐条 <small lang=\"en\">In words</small></h2>")?;
    for row in &calendar.pairs {
        writeln!(out, "<h3>{} → {}</h3>\n<ul>", escape(&row.platform), escape(&row.marketplaces.join(", ")))?;
        for window in &row.windows {
            item(window, out)?;
        }
        writeln!(out, "</ul>")?;
    }
    if calendar.pairs.is_empty() {
        writeln!(out, "<p>这段时间没有协议 <small lang=\"en\">No agreement in this span</small></p>")?;
    }
    writeln!(out, "</body></html>")
}

fn item(window: &Window, out: &mut String) -> std::fmt::Result {
    let (chinese, english) = window.titles();
    let until = match window.until {
        Some(until) => format!("{} 前 / until before", short(until)),
        None => "无截止 / open-ended".to_owned(),
    };
    writeln!(
        out,
        "<li class=\"{}\">{}<br><small lang=\"en\">{}</small><br><span class=\"s\">{} · {} … {until}</span>",
        window.effect,
        escape(chinese),
        escape(english),
        effect_name(window.effect),
        short(window.from)
    )?;
    if !window.surfaces.is_empty() {
        write!(out, "<br><span class=\"s\">位置 / surfaces: {}</span>", escape(&window.surfaces.join(", ")))?;
    }
    if !window.steps.is_empty() {
        let steps: Vec<String> =
            window.steps.iter().map(|step| format!("{} {} %", short(step.at), step.percent)).collect();
        write!(out, "<br><span class=\"s\">灰度 / in stages: {}</span>", steps.join(", "))?;
    }
    writeln!(out, "<br><code>{}</code></li>", escape(&window.agreement))
}
