//! `report links`: clicks by link, creator, placement, marketplace, outcome, time. Never reads a hop, unless other rules are
//! asked for: then it reads all of the period.

use std::path::Path;

use super::asked::{Asked, By, ReportError};
use super::sheet::{Cell, Chart, Column, Sheet};
use crate::attribution::StoreError;
use crate::attribution::stats::Stats;
use crate::attribution::stats::figures::{Answer, Dimension, Figures, Key, Question};
use crate::attribution::stats::follow::FollowError;
use crate::config::attribution::read_rules;
use crate::domain::attribution::validity::Rules;

/// Columns of figures, behind those that name a row.
const FIGURES: [Column; 11] = [
    Column { name: "clicks", zh: "点击", en: "Clicks" },
    Column { name: "people", zh: "有效点击", en: "Of people" },
    Column { name: "visitors", zh: "独立访客", en: "Visitors" },
    Column { name: "allowed", zh: "放行", en: "Let through" },
    Column { name: "refused", zh: "拒绝", en: "Refused" },
    Column { name: "allowed_rate", zh: "放行率", en: "Let through, rate" },
    Column { name: "machines", zh: "机器", en: "Of machines" },
    Column { name: "duplicates", zh: "重复", en: "Duplicates" },
    Column { name: "self_clicks", zh: "自点", en: "Creators' own" },
    Column { name: "excessive", zh: "异常频繁", en: "Excessive" },
    Column { name: "without_visitor", zh: "无访客标识", en: "No visitor known" },
];

/// Makes the report. Blocks: figures are read, and under other rules every hop of the period. `told` hears how many hops were
/// read.
///
/// # Errors
/// [`ReportError`].
pub fn sheet(stats: &Stats, data_dir: &Path, asked: &Asked, told: impl FnMut(u64)) -> Result<Sheet, ReportError> {
    let question = question(asked)?;
    let (answer, rules) = match &asked.rules {
        None => (stats.figures_now(&question)?, stats.rules()),
        Some(other) => {
            let rules = read_rules(&other.name, &other.text).map_err(|faults| {
                ReportError::Rules(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
            })?;
            let answer = stats.figures_under(&rules, data_dir, &question, told).map_err(|error| match error {
                FollowError::Store(error) => error,
                other => StoreError::Unavailable(other.to_string()),
            })?;
            (answer, rules)
        }
    };
    Ok(shown(asked, &rules, &answer))
}

/// What is asked of the figures.
fn question(asked: &Asked) -> Result<Question, ReportError> {
    let strange: Vec<String> =
        [("shop", &asked.shop), ("agreement", &asked.agreement), ("note", &asked.note), ("order", &asked.order)]
            .into_iter()
            .filter(|(_, value)| value.is_some())
            .map(|(name, _)| format!("{name}: `report links` does not tell clicks apart by this: leave it out"))
            .collect();
    if !strange.is_empty() {
        return Err(ReportError::Rules(strange.join("\n")));
    }
    let by = asked.by.iter().filter_map(|by| dimension(*by)).collect();
    let Asked { from, to, code, creator, platform, marketplace, .. } = asked.clone();
    Ok(Question { from, to, code, creator, platform, marketplace, by })
}

fn dimension(by: By) -> Option<Dimension> {
    Some(match by {
        By::Code => Dimension::Code,
        By::Creator => Dimension::Creator,
        By::Platform => Dimension::Platform,
        By::Placement => Dimension::Placement,
        By::Marketplace => Dimension::Marketplace,
        By::Outcome => Dimension::Outcome,
        By::Hour => Dimension::Hour,
        By::Day => Dimension::Day,
        // Nobody can ask a report of clicks for these: `Kind::knows`.
        By::Shop | By::Agreement | By::Note | By::Period | By::Network | By::Order => return None,
    })
}

fn column(by: By) -> Column {
    let (zh, en) = match by {
        By::Code => ("短链", "Link"),
        By::Creator => ("创作者", "Creator"),
        By::Platform => ("平台", "Platform"),
        By::Placement => ("位置", "Placement"),
        By::Marketplace => ("商城", "Marketplace"),
        By::Outcome => ("结果", "Outcome"),
        By::Hour => ("小时", "Hour"),
        By::Day => ("日期", "Day"),
        _ => ("", ""),
    };
    Column { name: by.as_str(), zh, en }
}

fn shown(asked: &Asked, rules: &Rules, answer: &Answer) -> Sheet {
    let known: Vec<By> = asked.by.iter().copied().filter(|by| dimension(*by).is_some()).collect();
    let mut head = asked.head();
    head.push(("rules_version", rules.version()));
    let name = |key: &Key| match key {
        Key::Time(at) => Cell::Time(*at),
        Key::Text(text) if text.is_empty() => Cell::None,
        Key::Text(text) => Cell::Text(text.clone()),
    };
    let mut rows: Vec<Vec<Cell>> = Vec::with_capacity(answer.lines.len());
    let mut lines: Vec<_> = answer.lines.iter().collect();
    // Time runs down the page; anything else has the most clicks first.
    let timely = known.iter().any(|by| matches!(by, By::Hour | By::Day));
    if !timely {
        lines.sort_by_key(|line| std::cmp::Reverse(line.figures.people));
    }
    for line in lines {
        let mut row: Vec<Cell> = line.key.iter().map(name).collect();
        row.extend(figures(&line.figures, line.visitors));
        rows.push(row);
    }
    let mut total = vec![Cell::None; known.len()];
    total.extend(figures(&answer.total, answer.visitors));
    let mut sheet = Sheet {
        name: "links",
        title: ("点击报表".to_owned(), "Clicks".to_owned()),
        head,
        columns: known.iter().map(|by| column(*by)).chain(FIGURES).collect(),
        rows,
        total: Some(total),
        notes: notes(asked, answer),
        charts: Vec::new(),
    };
    match known.as_slice() {
        [by @ (By::Hour | By::Day)] => {
            sheet.charts.push(Chart::Lines(by.as_str(), vec!["people", "visitors", "refused"]))
        }
        [by] => sheet.charts.push(Chart::Bars(by.as_str(), "people")),
        _ => {}
    }
    // A line needs a figure at every place.
    if let Some(Chart::Lines(_, drawn)) = sheet.charts.first_mut()
        && answer.lines.iter().any(|line| line.visitors.is_none())
    {
        drawn.retain(|name| *name != "visitors");
    }
    sheet
}

fn figures(figures: &Figures, visitors: Option<u64>) -> [Cell; 11] {
    let rate =
        if figures.people == 0 { Cell::None } else { Cell::Rate(figures.allowed as f64 / figures.people as f64) };
    [
        Cell::Count(figures.clicks()),
        Cell::Count(figures.people),
        visitors.map_or(Cell::None, Cell::Count),
        Cell::Count(figures.allowed),
        Cell::Count(figures.refused),
        rate,
        Cell::Count(figures.machines),
        Cell::Count(figures.duplicates),
        Cell::Count(figures.self_clicks),
        Cell::Count(figures.excessive),
        // The usual case takes no room on a page.
        if figures.without_visitor > 0 { Cell::Count(figures.without_visitor) } else { Cell::None },
    ]
}

fn notes(asked: &Asked, answer: &Answer) -> Vec<(String, String)> {
    let mut notes = Vec::new();
    if (answer.from, answer.to) != (asked.from, asked.to) {
        let (from, to) = (answer.from, answer.to);
        notes.push((
            format!("按整小时统计：{from} 至 {to}"),
            format!("figures are kept by the hour: this is from {from} to {to}"),
        ));
    }
    if answer.visitors.is_some() || answer.lines.iter().any(|line| line.visitors.is_some()) {
        notes.push((
            "独立访客按北京时间的自然日去重，多日相加；各行之和可以大于合计".to_owned(),
            "visitors are told apart within one Beijing day and days are added up; rows may add up to more than the total"
                .to_owned(),
        ));
    }
    if answer.total.without_visitor > 0 {
        let count = answer.total.without_visitor;
        notes.push((
            format!("其中 {count} 次点击没有访客标识（已抹去，或未能记录）：其中的重复无法识别，有效点击可能偏多，独立访客不予统计"),
            format!(
                "{count} of these clicks have no visitor, erased or never known: duplicates among them cannot be told and count \
                 as clicks, and their visitors are not counted"
            ),
        ));
    }
    if answer.kept_days > 0 {
        let days = answer.kept_days;
        notes.push((
            format!("有 {days} 天的访客标识已抹去，无法重算，沿用当时的规则统计的数字"),
            format!("{days} days keep figures by earlier rules: visitors are erased from their hops"),
        ));
    }
    if answer.total.rehearsal > 0 {
        let count = answer.total.rehearsal;
        notes.push((
            format!("另有彩排点击 {count} 次，不计入任何数字"),
            format!("{count} clicks of rehearsals are in no figure"),
        ));
    }
    notes
}
