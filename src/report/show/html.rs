//! A sheet as a page: charts, then everything in them once more as a table. One file, no script, nothing fetched; readable on
//! a phone, where only the table scrolls sideways, in the dark and on paper. Chinese first. Whatever a sheet says is escaped.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::words::{is_number, said, shown};
use super::{charts, spoken};
use crate::report::sheet::{Cell, Column, Sheet};
use crate::wording::escape;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1f2937;--soft:#6b7280;--line:#d1d5db;--faint:#f3f4f6;--paper:#fff;--do:#1d4ed8;\
--a:#2563eb;--b:#b45309;--c:#047857;--d:#7c3aed}\
@media(prefers-color-scheme:dark){:root{--ink:#e5e7eb;--soft:#9ca3af;--line:#374151;--faint:#1f2937;--paper:#111827;\
--do:#60a5fa;--a:#60a5fa;--b:#fbbf24;--c:#34d399;--d:#c4b5fd}}\
*{box-sizing:border-box}body{margin:0 auto;max-width:1100px;padding:16px;font:16px/1.6 system-ui,-apple-system,'PingFang SC',\
'Noto Sans SC','Noto Sans CJK SC','Microsoft YaHei',sans-serif;color:var(--ink);background:var(--paper);\
overflow-wrap:anywhere}h1{font-size:22px;margin:0}h2{font-size:17px;margin:24px 0 8px}p{margin:4px 0}small,.s,dt{color:var(--soft);\
font-size:14px}a{color:var(--do)}nav a{display:inline-flex;align-items:center;min-height:44px;min-width:44px;margin-right:16px}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 12px;margin:8px 0}dd{margin:0;min-width:0}\
figure{margin:16px 0;max-width:480px}figcaption{font-weight:600}svg{display:block;width:100%;height:auto}\
svg text{fill:var(--ink);font-size:14px}svg .s{fill:var(--soft)}svg .g{stroke:var(--line)}svg .k{fill:var(--faint)}\
svg .a{fill:var(--a)}svg .b{fill:var(--b)}svg .c{fill:var(--c)}svg .d{fill:var(--d)}svg .l{fill:none;stroke-width:2}\
svg .la{stroke:var(--a)}svg .lb{stroke:var(--b)}svg .lc{stroke:var(--c)}svg .ld{stroke:var(--d)}svg .w{stroke:var(--ink)}\
.t{overflow-x:auto;border:1px solid var(--line);border-radius:8px}table{border-collapse:collapse;width:100%;\
font-size:14px;font-variant-numeric:tabular-nums}th,td{padding:8px 12px;text-align:left;border-bottom:1px solid var(--line);\
white-space:nowrap;vertical-align:top}thead th{vertical-align:bottom}thead th small{display:block;font-weight:400}\
tbody th{font-weight:400}.n{text-align:right}th>span{display:block;width:max-content;max-width:216px;white-space:normal;\
overflow-wrap:break-word}.n>span{margin-left:auto}@media(min-width:700px){th>span{max-width:336px}}\
tbody tr:last-child>*{border-bottom:0}tfoot>tr>*{border-top:2px solid var(--line);border-bottom:0;font-weight:600}\
td a,th a{display:inline-flex;align-items:center;min-height:44px;min-width:44px;margin:-11px 0}ul{padding-left:20px}\
:focus-visible{outline:3px solid var(--do);outline-offset:2px}\
@media print{body{max-width:none;padding:0;font-size:11pt}nav{display:none}.t{overflow:visible;border:0}table{font-size:9pt}\
th,td{padding:3px 6px;white-space:normal}figure,tr{break-inside:avoid}thead{display:table-header-group}}";

/// Another form of the same report, or where the reader came from: what it is called, and its address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Way {
    /// As shown.
    pub text: String,
    /// Where it leads.
    pub to: String,
}

/// The policy that goes with a page: its own style, and nothing else.
pub fn policy() -> String {
    let hash = STANDARD.encode(ring::digest::digest(&ring::digest::SHA256, STYLE.as_bytes()));
    format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'")
}

/// Renders it, alone.
pub fn render(sheet: &Sheet) -> String {
    page(sheet, &[])
}

/// Renders it, with ways from here on top.
pub fn page(sheet: &Sheet, ways: &[Way]) -> String {
    let mut out = String::new();
    // Writing to a text does not fail.
    let _ = write(sheet, ways, &mut out);
    out
}

fn write(sheet: &Sheet, ways: &[Way], out: &mut String) -> std::fmt::Result {
    let (zh, en) = (escape(&sheet.title.0), escape(&sheet.title.1));
    writeln!(
        out,
        "<!doctype html>\n<html lang=\"zh-CN\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<meta name=\"robots\" content=\"noindex\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n<title>{zh} / {en} · hopgate</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>",
        escape(&policy())
    )?;
    if !ways.is_empty() {
        write!(out, "<nav>")?;
        for way in ways {
            write!(out, "<a href=\"{}\">{}</a>", escape(&way.to), escape(&way.text))?;
        }
        writeln!(out, "</nav>")?;
    }
    writeln!(out, "<main>\n<h1>{zh} <small lang=\"en\">{en}</small></h1>\n<dl>")?;
    for (name, value) in &sheet.head {
        writeln!(out, "<dt>{}</dt><dd>{}</dd>", escape(head_name(name)), escape(&said(value)))?;
    }
    writeln!(out, "</dl>")?;
    for (place, chart) in sheet.charts.iter().enumerate() {
        charts::draw(sheet, chart, place, out)?;
    }
    table(sheet, out)?;
    if !sheet.notes.is_empty() {
        writeln!(out, "<h2>说明 <small lang=\"en\">Notes</small></h2>\n<ul>")?;
        for (zh, en) in &sheet.notes {
            writeln!(out, "<li>{}<br><small lang=\"en\">{}</small></li>", escape(zh), escape(en))?;
        }
        writeln!(out, "</ul>")?;
    }
    writeln!(out, "</main>\n</body>\n</html>")
}

/// A parameter as people read it.
fn head_name(name: &str) -> &str {
    match name {
        "from" => "从 / from",
        "to" => "到（不含） / to, exclusive",
        "by" => "分组 / by",
        "creator" => "创作者 / creator",
        "code" => "短码 / code",
        "platform" => "平台 / platform",
        "marketplace" => "商城 / marketplace",
        "shop" => "店铺 / shop",
        "agreement" => "协议 / agreement",
        "note" => "笔记 / note",
        "order" => "订单 / order",
        "rules" => "规则 / rules",
        "policy_version" => "政策版本 / policy",
        other => other,
    }
}

fn table(sheet: &Sheet, out: &mut String) -> std::fmt::Result {
    let kept = spoken(sheet);
    let right: Vec<bool> = kept
        .iter()
        .map(|place| sheet.rows.iter().chain(&sheet.total).any(|row| row.get(*place).is_some_and(is_number)))
        .collect();
    let class = |number: usize| if right[number] { " class=\"n\"" } else { "" };
    writeln!(
        out,
        "<h2>明细 <small lang=\"en\">Rows</small></h2>\n<div class=\"t\" tabindex=\"0\" role=\"region\" \
         aria-label=\"明细 / Rows\"><table>\n<thead><tr>"
    )?;
    for (number, place) in kept.iter().enumerate() {
        let column = &sheet.columns[*place];
        write!(
            out,
            "<th scope=\"col\"{}>{}<small lang=\"en\">{}</small></th>",
            class(number),
            escape(column.zh),
            escape(column.en)
        )?;
    }
    writeln!(out, "</tr></thead>\n<tbody>")?;
    let line = |row: &[Cell], out: &mut String, unnamed: &str| -> std::fmt::Result {
        write!(out, "<tr>")?;
        for (number, place) in kept.iter().enumerate() {
            let (column, cell) = (&sheet.columns[*place], row.get(*place).unwrap_or(&Cell::None));
            let inside = match cell {
                Cell::None if number == 0 => unnamed.to_owned(),
                cell => inside(column, cell),
            };
            match number {
                // As wide as what names the row, up to a part of a phone's screen: there it breaks, at a hyphen if it can.
                0 => write!(out, "<th scope=\"row\"{}><span>{inside}</span></th>", class(number))?,
                _ => write!(out, "<td{}>{inside}</td>", class(number))?,
            }
        }
        writeln!(out, "</tr>")
    };
    for row in &sheet.rows {
        line(row, out, "–")?;
    }
    if sheet.rows.is_empty() {
        let columns = kept.len();
        writeln!(
            out,
            "<tr><td colspan=\"{columns}\">此期间没有数据 <small lang=\"en\">nothing in this time</small></td></tr>"
        )?;
    }
    writeln!(out, "</tbody>")?;
    if let Some(total) = &sheet.total {
        write!(out, "<tfoot>")?;
        line(total, out, "合计 <small lang=\"en\">total</small>")?;
        writeln!(out, "</tfoot>")?;
    }
    writeln!(out, "</table></div>")
}

fn inside(column: &Column, cell: &Cell) -> String {
    match cell {
        Cell::None => "–".to_owned(),
        Cell::Link { text, to } if is_ours(to) => {
            format!("<a href=\"{}\">{}</a>", escape(to), escape(text))
        }
        cell => escape(&shown(column, cell)),
    }
}

/// Whether an address is a path of this host: anything else is no link of a report.
fn is_ours(to: &str) -> bool {
    to.starts_with('/') && !to.starts_with("//") && !to.contains('\\')
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn a_page_needs_nothing_outside_itself_and_everything_is_escaped() {
        let page = page(&sample(), &[Way { text: "CSV & <x>".to_owned(), to: "?format=csv&a=\"".to_owned() }]);
        for wanted in [
            "<th scope=\"row\"><span>&lt;b&gt;&quot;小美&quot; &amp; &#39;x&#39;&lt;/b&gt;</span></th>",
            "<a href=\"/v1/hops/a?b&amp;c\">=1+1</a>",
            "<a href=\"?format=csv&amp;a=&quot;\">CSV &amp; &lt;x&gt;</a>",
            "≈200 [180, 219]",
            "-12.05",
            "抽样 &lt;50%&gt;",
            "<dd>&lt;n&gt;</dd>",
            "合计 <small lang=\"en\">total</small>",
        ] {
            assert!(page.contains(wanted), "{wanted}\n{page}");
        }
        for bad in ["<b>", "<script", "http://", "https://", " style=", " on", "url(", "@import"] {
            assert!(!page.contains(bad), "{bad}\n{page}");
        }
        // What the table has, and the chart as well: the table is the one that counts.
        assert_eq!(page.matches("<svg").count(), 3);
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
        assert_eq!(page.matches("role=\"img\"").count(), 3);
        assert!(!page.contains("<small lang=\"en\">nothing</small>"), "the column that says nothing");
        let hash = policy();
        assert!(page.contains(&escape(&hash)) && hash.contains("'sha256-") && !hash.contains("unsafe"), "{hash}");
    }

    #[test]
    fn only_paths_of_ours_are_links() {
        for (to, ours) in
            [("/v1/hops/x", true), ("//evil.example", false), ("javascript:x", false), ("/\\evil", false), ("", false)]
        {
            assert_eq!(is_ours(to), ours, "{to}");
        }
    }
}
