//! `report settlement`: what orders brought to whom, out of the ledger's entries. A row's figures are sums of entries that take
//! effect in the period asked for; by order, each row is one order line and leads to its hop.
//!
//! What came under an agreement that returns a sample is reckoned up to all of it and shown apart, as an estimate with its
//! interval, and is in no total: of a share `p` of orders with amounts `x`, the sum of all is estimated by `Σx / p`, with a
//! variance of `Σx²(1 - p) / p²` (each order is told or not by itself); the interval is 1.96 deviations to either side, and
//! never below what was seen.

use std::collections::{BTreeMap, BTreeSet};

use super::asked::{Asked, By, ReportError};
use super::sheet::{Cell, Chart, Column, Sheet};
use crate::attribution::ledger::chain::click_text;
use crate::attribution::ledger::{Ledger, Sum};
use crate::attribution::orders::import::USUAL_ACCOUNT;
use crate::domain::attribution::Network;
use crate::domain::attribution::entries::{Kind, Party, Side};
use crate::domain::attribution::matching::ALL;
use crate::domain::attribution::money::Fen;
use crate::domain::attribution::period::Month;
use crate::domain::click_id::ClickKey;
use crate::domain::time::Timestamp;

/// Lines read at a time.
const SPAN: i64 = 5_000;

/// Figures of one row, of orders that are all told.
#[derive(Default)]
struct Whole {
    /// By network, account and number: each counts from one.
    orders: BTreeSet<(Network, Box<str>, Box<str>)>,
    lines: BTreeSet<i64>,
    paid: Fen,
    estimated: Fen,
    confirmed: Fen,
    reversed: Fen,
    expected: Fen,
    earned: Fen,
    unmatched: Fen,
}

/// A sum over a sample, with what its variance needs.
#[derive(Default, Clone, Copy)]
struct Sample {
    seen: f64,
    value: f64,
    variance: f64,
}

impl Sample {
    fn add(&mut self, amount: f64, share: f64) {
        self.seen += amount;
        self.value += amount / share;
        self.variance += amount * amount * (1.0 - share) / (share * share);
    }

    /// The estimate, in units of `scale`.
    fn cell(self, scale: f64) -> Cell {
        let spread = 1.96 * self.variance.sqrt();
        // What was seen is there, whatever was not.
        let (low, high) = match self.seen >= 0.0 {
            true => ((self.value - spread).max(self.seen), self.value + spread),
            false => (self.value - spread, (self.value + spread).min(self.seen)),
        };
        Cell::Estimate { value: self.value / scale, low: low / scale, high: high / scale }
    }
}

/// Figures of one row, of orders of which a sample is told.
#[derive(Default)]
struct Sampled {
    /// By the line, and the match it is booked under.
    lines: BTreeMap<(i64, u32), Line>,
}

/// What a sample has of one line.
#[derive(Default)]
struct Line {
    share: f64,
    paid: Fen,
    expected: Fen,
    earned: Fen,
}

#[derive(Default)]
struct Figures {
    whole: Whole,
    sampled: Sampled,
}

impl Figures {
    fn add(&mut self, sum: &Sum) {
        // A credit is below zero in the books, and what a creator gets above it in a report.
        let amount = -sum.amount;
        if matches!(sum.account.party, Party::Creator(_)) && sum.matched.sampling < ALL {
            let line = self.sampled.lines.entry((sum.number, sum.booked)).or_default();
            (line.share, line.paid) = (f64::from(sum.matched.sampling) / f64::from(ALL), sum.line.paid_fen);
            *(if sum.account.side == Side::Estimated { &mut line.expected } else { &mut line.earned }) += amount;
            return;
        }
        let whole = &mut self.whole;
        let key = &sum.line.key;
        whole.orders.insert((key.network, key.account.clone(), sum.line.order.clone()));
        if whole.lines.insert(sum.number) {
            whole.paid += sum.line.paid_fen;
        }
        if let Party::Unmatched(_) = sum.account.party {
            whole.unmatched += amount;
            return;
        }
        *(match sum.kind {
            Kind::Estimated => &mut whole.estimated,
            Kind::Confirmed => &mut whole.confirmed,
            Kind::Reversed => &mut whole.reversed,
        }) += amount;
        *(if sum.account.side == Side::Estimated { &mut whole.expected } else { &mut whole.earned }) += amount;
    }

    fn cells(&self, with_samples: bool) -> Vec<Cell> {
        let whole = &self.whole;
        let mut cells = match whole.lines.is_empty() {
            true => vec![Cell::None; MEASURES.len()],
            false => vec![
                Cell::Count(whole.orders.len() as u64),
                Cell::Count(whole.lines.len() as u64),
                Cell::Money(whole.paid),
                Cell::Money(whole.estimated),
                Cell::Money(whole.confirmed),
                Cell::Money(whole.reversed),
                Cell::Money(whole.expected),
                Cell::Money(whole.earned),
                Cell::Money(whole.unmatched),
            ],
        };
        if with_samples {
            let mut samples = [Sample::default(); ESTIMATES.len()];
            for line in self.sampled.lines.values() {
                for (sample, amount) in samples.iter_mut().zip([1, line.paid.0, line.expected.0, line.earned.0]) {
                    sample.add(amount as f64, line.share);
                }
            }
            let any = !self.sampled.lines.is_empty();
            let scales = [1.0, 100.0, 100.0, 100.0];
            cells.extend(samples.into_iter().zip(scales).map(|(sample, scale)| match any {
                true => sample.cell(scale),
                false => Cell::None,
            }));
        }
        cells
    }
}

const fn column(name: &'static str, zh: &'static str, en: &'static str) -> Column {
    Column { name, zh, en }
}

const MEASURES: [Column; 9] = [
    column("orders", "订单", "orders"),
    column("lines", "子订单", "lines"),
    column("paid_fen", "实付金额", "paid"),
    column("estimated_fen", "预估入账", "estimated"),
    column("confirmed_fen", "确认入账", "confirmed"),
    column("reversed_fen", "冲正", "reversed"),
    column("expected_fen", "待确认佣金", "expected"),
    column("earned_fen", "已确认佣金", "earned"),
    column("unmatched_fen", "未归因佣金", "unmatched"),
];

const ESTIMATES: [Column; 4] = [
    column("lines_est", "子订单（抽样估计）", "lines (from a sample)"),
    column("paid_yuan_est", "实付，元（抽样估计）", "paid, yuan (from a sample)"),
    column("expected_yuan_est", "待确认佣金，元（抽样估计）", "expected, yuan (from a sample)"),
    column("earned_yuan_est", "已确认佣金，元（抽样估计）", "earned, yuan (from a sample)"),
];

/// Columns that stand for one group.
fn group_columns(by: By) -> Vec<Column> {
    match by {
        By::Creator => vec![column("creator", "创作者", "creator")],
        By::Network => vec![column("network", "联盟", "network")],
        By::Period => vec![column("period", "账期", "period")],
        By::Marketplace => vec![column("marketplace", "电商平台", "marketplace")],
        By::Shop => vec![column("shop", "店铺", "shop")],
        By::Agreement => vec![column("agreement", "协议", "agreement")],
        By::Code => vec![column("code", "短码", "code")],
        By::Day => vec![column("day", "日期", "day")],
        By::Platform => vec![column("platform", "内容平台", "platform")],
        By::Note => vec![column("note", "笔记", "note")],
        By::Order => vec![
            column("order", "订单号", "order"),
            column("line", "子订单号", "line"),
            column("account", "联盟账号", "account"),
            column("network_of_line", "联盟", "network"),
            column("state", "状态", "state"),
            column("ordered_at", "下单时间", "ordered at"),
            column("credited_to", "归属创作者", "credited to"),
            column("method", "归因方式", "method"),
            column("reason", "未归因原因", "reason"),
            column("link", "短码", "link"),
            column("under", "协议", "agreement"),
            column("click", "点击", "click"),
        ],
        // Groups of clicks, which no order line has.
        By::Placement | By::Outcome | By::Hour => Vec::new(),
    }
}

fn text(text: &str) -> Cell {
    if text.is_empty() { Cell::None } else { Cell::Text(text.to_owned()) }
}

/// Percent-encodes a part of a path.
fn part(text: &str) -> String {
    let mut encoded = String::new();
    crate::domain::percent::encode(text, &mut encoded);
    encoded
}

/// What names a group: compared as text, shown as cells.
fn group_cells(by: By, sum: &Sum, key: &ClickKey) -> Vec<Cell> {
    let creator = match &sum.account.party {
        Party::Creator(creator) => &**creator,
        _ => "",
    };
    match by {
        By::Creator => vec![text(creator)],
        By::Network => vec![text(sum.line.key.network.as_str())],
        By::Period => vec![text(&Month::of(Timestamp::of_beijing_day(sum.day)).to_string())],
        By::Marketplace => vec![text(&sum.line.marketplace)],
        By::Shop => vec![text(&sum.line.shop)],
        By::Agreement => vec![text(&sum.matched.agreement)],
        By::Code => vec![text(&sum.matched.code)],
        By::Day => vec![Cell::Time(Timestamp::of_beijing_day(sum.day))],
        By::Platform => vec![text(&sum.matched.platform)],
        By::Note => vec![text(&sum.matched.note)],
        By::Order => {
            let line = &sum.line;
            let mut to = format!("/v1/orders/{}/{}", line.key.network, part(&line.key.line));
            if *line.key.account != *USUAL_ACCOUNT {
                to.push_str(&format!("?account={}", part(&line.key.account)));
            }
            let click = sum.matched.click.map(|click| click_text(key, click));
            vec![
                text(&line.order),
                Cell::Link { text: line.key.line.to_string(), to },
                text(&line.key.account),
                text(line.key.network.as_str()),
                text(line.state.as_str()),
                Cell::Time(line.created_at),
                text(creator),
                text(sum.matched.method.as_str()),
                text(sum.matched.reason.map_or("", |reason| reason.as_str())),
                text(&sum.matched.code),
                text(&sum.matched.agreement),
                click.map_or(Cell::None, |click| {
                    let to = format!("/v1/hops/{click}");
                    Cell::Link { text: click, to }
                }),
            ]
        }
        By::Placement | By::Outcome | By::Hour => Vec::new(),
    }
}

/// A text that orders groups and tells them apart.
fn sort_key(cells: &[Cell]) -> Vec<String> {
    cells
        .iter()
        .map(|cell| match cell {
            // After every name: nobody comes last.
            Cell::None => "\u{10ffff}".to_owned(),
            Cell::Text(text) | Cell::Link { text, .. } => text.clone(),
            Cell::Time(at) => format!("{:020}", at.micros()),
            other => format!("{other:?}"),
        })
        .collect()
}

fn wanted(asked: &Asked, sum: &Sum) -> bool {
    let is = |filter: &Option<Box<str>>, value: &str| filter.as_deref().is_none_or(|filter| filter == value);
    let creator = match &sum.account.party {
        Party::Creator(creator) => &**creator,
        _ => "",
    };
    let order = asked.order.as_deref();
    is(&asked.creator, creator)
        && is(&asked.code, &sum.matched.code)
        && is(&asked.platform, &sum.matched.platform)
        && is(&asked.marketplace, &sum.line.marketplace)
        && is(&asked.shop, &sum.line.shop)
        && is(&asked.agreement, &sum.matched.agreement)
        && is(&asked.note, &sum.matched.note)
        && order.is_none_or(|order| *sum.line.order == *order || *sum.line.key.line == *order)
}

/// Makes the report.
///
/// # Errors
/// [`ReportError`].
pub async fn sheet(ledger: &dyn Ledger, key: &ClickKey, asked: &Asked) -> Result<Sheet, ReportError> {
    if let Some(rules) = &asked.rules {
        return Err(ReportError::Rules(format!(
            "{}: a settlement shows what is posted: `hopgate ledger recompute --rules {} --dry-run` says what other rules \
             would change",
            rules.name, rules.name
        )));
    }
    let mut groups: BTreeMap<Vec<String>, (Vec<Cell>, Figures)> = BTreeMap::new();
    let mut total = Figures::default();
    let mut after = 0;
    loop {
        let (sums, last) = ledger.sums(asked.from, asked.to, after, SPAN).await?;
        for sum in sums.iter().filter(|sum| !sum.amount.is_zero() && wanted(asked, sum)) {
            let cells: Vec<Cell> = asked.by.iter().flat_map(|by| group_cells(*by, sum, key)).collect();
            groups.entry(sort_key(&cells)).or_insert_with(|| (cells, Figures::default())).1.add(sum);
            total.add(sum);
        }
        after += SPAN;
        if after >= last {
            break;
        }
    }
    let with_samples = !total.sampled.lines.is_empty();
    let mut columns: Vec<Column> = asked.by.iter().flat_map(|by| group_columns(*by)).collect();
    let names = columns.len();
    columns.extend(MEASURES);
    if with_samples {
        columns.extend(ESTIMATES);
    }
    let rows: Vec<Vec<Cell>> = groups
        .into_values()
        .map(|(mut cells, figures)| {
            cells.extend(figures.cells(with_samples));
            cells
        })
        .collect();
    let mut sum = vec![Cell::None; names];
    if total.whole.lines.is_empty() {
        // A report of nothing says so in figures.
        sum.extend([Cell::Count(0), Cell::Count(0)]);
        sum.extend(vec![Cell::Money(Fen::ZERO); MEASURES.len() - 2]);
    } else {
        sum.extend(total.cells(false));
    }
    sum.resize(columns.len(), Cell::None);
    let charts = match asked.by.first() {
        Some(By::Order) | None => Vec::new(),
        Some(_) => vec![Chart::Bars(columns[0].name, "earned_fen")],
    };
    Ok(Sheet {
        name: "settlement",
        title: ("结算".to_owned(), "Settlement".to_owned()),
        head: asked.head(),
        columns,
        rows,
        total: Some(sum),
        notes: notes(&total),
        charts,
    })
}

fn notes(total: &Figures) -> Vec<(String, String)> {
    let mut notes = vec![(
        "按分录生效时间统计：已关账月份的迟到变动计入下一个未关账月份的第一天。订单数为此期间有分录的订单。\
         待确认 = 预估余额，已确认 = 确认余额；冲正为退款、失效和金额调低。"
            .to_owned(),
        "By when entries take effect: what changes late, after its month was closed, counts on the first day of the first \
         open month. Orders are those with entries in this time. Expected is the estimated balance, earned the \
         confirmed one; reversed are returns, closures and lowered amounts."
            .to_owned(),
    )];
    let samples = &total.sampled.lines;
    if !samples.is_empty() {
        let expected: Fen = samples.values().map(|line| line.expected).sum();
        let earned: Fen = samples.values().map(|line| line.earned).sum();
        let count = samples.len();
        notes.push((
            format!(
                "抽样回传协议下的订单按抽样比例估计，附 95% 区间，不计入合计；样本内实际有 {count} 笔子订单，待确认 {expected} 元，\
                 已确认 {earned} 元。"
            ),
            format!(
                "Orders under agreements that return a sample are estimated, with a 95 % interval, and are in no total; the \
                 sample itself has {count} lines, {expected} yuan expected and {earned} yuan earned."
            ),
        ));
    }
    notes
}

#[cfg(test)]
#[path = "settlement_tests.rs"]
mod tests;
