//! `report funnel`: from the note to the order. Reads of notes, clicks of people, then what a marketplace returned: store
//! entries, searches, carts, orders, each worth what the terms in force at its reading say.
//!
//! Events count where they happened: in the period of their own instant. What was returned whole is counted; what came through a
//! sample is reckoned ([`crate::domain::attribution::estimate`]) and stands in columns of its own, never in a total of counts.
//! What was read in a pause, or happened outside the window, is told apart. Never changes an event.
//!
//! - `tally`: what a row has counted; `timeline`: which policy was in force when.

mod tally;
mod timeline;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::tally::Tally;
use self::timeline::Timeline;
use super::asked::{Asked, By, ReportError};
use super::sheet::{Cell, Chart, Column, Sheet};
use crate::attribution::events::{ClickCounts, Dim, EventStore, Filter};
use crate::attribution::touches::TouchStore;
use crate::domain::attribution::event::{Event, Worth};
use crate::domain::attribution::touch::Touch;
use crate::domain::policy::PolicySet;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::Vocabulary;
use crate::policies::store::PolicyStore;

/// Events read at a time.
const PAGE: usize = 5_000;

/// What a funnel is made of.
#[derive(Clone, Copy)]
pub struct Sources<'s> {
    /// Front and back events.
    pub events: &'s dyn EventStore,
    /// Clicks that count.
    pub clicks: &'s dyn ClickCounts,
    /// Clicks by their id: they know what an event that came from them leaves out.
    pub touches: &'s dyn TouchStore,
    /// Policies with the terms of returns.
    pub policies: &'s dyn PolicyStore,
    /// The policy that speaks where none was ever put in force.
    pub in_force: &'s Arc<PolicySet>,
    /// Names.
    pub words: &'s Vocabulary,
}

/// Makes the report.
///
/// # Errors
/// [`ReportError`].
pub async fn sheet(sources: Sources<'_>, asked: &Asked) -> Result<Sheet, ReportError> {
    if let Some(rules) = &asked.rules {
        let problem =
            "the funnel counts clicks by the rules they were counted with: leave other rules to `report links`";
        return Err(ReportError::Rules(format!("{}: {problem}", rules.name)));
    }
    let timeline = Timeline::load(sources.policies, sources.in_force, sources.words).await?;
    let dims: Vec<Dim> = asked.by.iter().filter_map(|by| dim(*by)).collect();
    let mut rows: BTreeMap<Vec<Box<str>>, Tally> = BTreeMap::new();
    let filter = filter(asked);
    for (key, clicks) in sources.clicks.clicks(asked.from, asked.to, &filter, &dims).await? {
        rows.entry(key).or_default().clicks += clicks;
    }
    let mut after = 0;
    loop {
        let page = sources.events.between(asked.from, asked.to, after, PAGE).await?;
        let Some((last, _)) = page.last() else { break };
        after = *last;
        for (_, mut event) in page {
            let touch = match event.click {
                Some(click) => sources.touches.of_click(click).await?,
                None => None,
            };
            // One that does not agree with its click is told of, and put to nobody's account by it.
            let touch = touch.as_ref();
            let worth = timeline.worth(&event, touch);
            let touch = touch.filter(|_| worth != Worth::Contradicts);
            if let Some(touch) = touch {
                fill(&mut event, touch);
            }
            let agreement = match worth {
                Worth::Whole { agreement: Some(agreement) } | Worth::Sampled { agreement, .. } => agreement.into(),
                _ => event.agreement.clone(),
            };
            if passes(&filter, &event, &agreement, touch) {
                let key = dims.iter().map(|dim| part(*dim, &event, &agreement)).collect();
                rows.entry(key).or_default().add(&event, worth);
            }
        }
    }
    let waiting = sources.events.waiting().await?;
    Ok(made(asked, &dims, rows, waiting, timeline.latest()))
}

/// Puts in what the click knows and the event leaves out.
fn fill(event: &mut Event, touch: &Touch) {
    for (empty, known) in [
        (&mut event.note, &touch.note),
        (&mut event.creator, &touch.creator),
        (&mut event.shop, &touch.shop),
        (&mut event.item, &touch.item),
        (&mut event.marketplace, &touch.marketplace),
        (&mut event.platform, &touch.platform),
    ] {
        if empty.is_empty() {
            empty.clone_from(known);
        }
    }
    event.surface = event.surface.or_else(|| crate::domain::vocabulary::Surface::parse(&touch.surface));
}

fn dim(by: By) -> Option<Dim> {
    Some(match by {
        By::Note => Dim::Note,
        By::Creator => Dim::Creator,
        By::Shop => Dim::Shop,
        By::Agreement => Dim::Agreement,
        By::Platform => Dim::Platform,
        By::Marketplace => Dim::Marketplace,
        By::Day => Dim::Day,
        // No question for a funnel has these: see `Kind::knows`.
        By::Code | By::Placement | By::Outcome | By::Hour | By::Period | By::Network | By::Order => return None,
    })
}

fn filter(asked: &Asked) -> Filter {
    Filter {
        note: asked.note.clone(),
        creator: asked.creator.clone(),
        code: asked.code.clone(),
        shop: asked.shop.clone(),
        agreement: asked.agreement.clone(),
        platform: asked.platform.clone(),
        marketplace: asked.marketplace.clone(),
    }
}

fn passes(filter: &Filter, event: &Event, agreement: &str, touch: Option<&Touch>) -> bool {
    let fits = |wanted: &Option<Box<str>>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
    fits(&filter.note, &event.note)
        && fits(&filter.creator, &event.creator)
        && fits(&filter.shop, &event.shop)
        && fits(&filter.agreement, agreement)
        && fits(&filter.platform, &event.platform)
        && fits(&filter.marketplace, &event.marketplace)
        && fits(&filter.code, touch.map_or("", |touch| &touch.code))
}

fn part(dim: Dim, event: &Event, agreement: &str) -> Box<str> {
    match dim {
        Dim::Note => event.note.clone(),
        Dim::Creator => event.creator.clone(),
        Dim::Shop => event.shop.clone(),
        Dim::Agreement => agreement.into(),
        Dim::Platform => event.platform.clone(),
        Dim::Marketplace => event.marketplace.clone(),
        Dim::Day => event.at.beijing_day().to_string().into(),
    }
}

fn named(dim: Dim) -> Column {
    let (name, zh, en) = match dim {
        Dim::Note => ("note", "笔记", "note"),
        Dim::Creator => ("creator", "创作者", "creator"),
        Dim::Shop => ("shop", "店铺", "shop"),
        Dim::Agreement => ("agreement", "协议", "agreement"),
        Dim::Platform => ("platform", "平台", "platform"),
        Dim::Marketplace => ("marketplace", "商城", "marketplace"),
        Dim::Day => ("day", "日期", "day"),
    };
    Column { name, zh, en }
}

fn cell(dim: Dim, text: &str) -> Cell {
    match dim {
        Dim::Day => text.parse().map_or(Cell::None, |day| Cell::Time(Timestamp::of_beijing_day(day))),
        _ if text.is_empty() => Cell::None,
        _ => Cell::Text(text.to_owned()),
    }
}

fn made(
    asked: &Asked,
    dims: &[Dim],
    rows: BTreeMap<Vec<Box<str>>, Tally>,
    waiting: u64,
    policy_version: &str,
) -> Sheet {
    let mut total = Tally::default();
    rows.values().for_each(|tally| total.join(tally));
    let mut rows: Vec<_> = rows.into_iter().collect();
    // Days in their order; everything else by how much happened.
    if dims.first() == Some(&Dim::Day) {
        let day = |key: &[Box<str>]| key[0].parse::<i64>().unwrap_or(i64::MIN);
        rows.sort_by(|(one, _), (other, _)| (day(one), one).cmp(&(day(other), other)));
    } else {
        rows.sort_by(|(one, a), (other, b)| b.weight().cmp(&a.weight()).then_with(|| one.cmp(other)));
    }
    // A sample of some notes has nothing to do with the clicks of others.
    let comparable = rows.iter().all(|(_, tally)| tally.clicks == 0 || tally.has_sampled());
    let line = |key: &[Box<str>], tally: &Tally, comparable: bool| -> Vec<Cell> {
        let key = dims.iter().enumerate().map(|(place, dim)| cell(*dim, key.get(place).map_or("", |text| text)));
        let key: Vec<Cell> = key.collect();
        key.into_iter().chain(tally.cells(comparable)).collect()
    };
    let mut head = asked.head();
    head.push(("policy_version", policy_version.to_owned()));
    let mut charts = Vec::new();
    if total.has_whole() || !total.has_sampled() {
        charts.push(Chart::Funnel(vec!["reads", "clicks", "store_entries", "searches", "orders"]));
    }
    if total.has_sampled() {
        let from = if comparable { &["reads", "clicks"][..] } else { &[] };
        charts.push(Chart::Funnel([from, &["store_entries_est", "searches_est", "orders_est"]].concat()));
    }
    match dims.first() {
        Some(Dim::Day) if dims.len() == 1 => charts.push(Chart::Lines("day", vec!["reads", "clicks", "orders"])),
        Some(Dim::Day) | None => {}
        Some(first) => {
            let measured = if total.clicks > 0 { "clicks" } else { "reads" };
            charts.push(Chart::Bars(named(*first).name, measured));
        }
    }
    Sheet {
        name: "funnel",
        title: ("从笔记到订单".to_owned(), "From the note to the order".to_owned()),
        head,
        columns: dims.iter().map(|dim| named(*dim)).chain(tally::columns()).collect(),
        rows: rows.iter().map(|(key, tally)| line(key, tally, true)).collect(),
        total: (!rows.is_empty()).then(|| line(&[], &total, comparable)),
        notes: notes(&total, waiting),
        charts,
    }
}

/// What the reader must know.
fn notes(total: &Tally, waiting: u64) -> Vec<(String, String)> {
    let mut notes = Vec::new();
    let mut note = |zh: String, en: String| notes.push((zh, en));
    if total.has_sampled() {
        note(
            "标“≈”的数字由抽样返回推算，方括号内为 95% 区间；假设每个事件独立返回，按读者抽样时区间偏窄。估计值不与整数相加。".to_owned(),
            "Figures with ≈ are reckoned from samples, with their 95 % interval; each event is taken to be returned apart from \
             the others, so that of a sample of readers the interval is too narrow. Estimates and counts are never added up."
                .to_owned(),
        );
    }
    if total.has_sampled() && total.has_whole() {
        note(
            "本期既有抽样返回也有全量返回：对点击的比率请按协议或按日查看。".to_owned(),
            "Some of this time was returned whole and some by a sample: look at rates to clicks by agreement or by day.".to_owned(),
        );
    }
    for (count, zh, en) in [
        (total.paused, "在数据返回暂停期内阅读、不计入的事件", "Events read while the return was paused, not counted"),
        (total.outside, "发生在协议窗口之外、不计入的事件", "Events outside the agreement's window, not counted"),
        (total.no_terms, "没有适用返回条款、不计入的事件", "Events without terms of return, not counted"),
        (
            total.contradicting,
            "与所报点击的平台、商城或创作者不符、不计入的事件",
            "Events that do not agree with the platform, marketplace or creator of the click they name, not counted",
        ),
        (
            waiting,
            "无法使用、等待修正的行（hopgate events list --quarantined）",
            "Rows that wait to be mended (hopgate events list --quarantined)",
        ),
    ] {
        if count > 0 {
            note(format!("{zh}：{count}"), format!("{en}: {count}"));
        }
    }
    notes
}
