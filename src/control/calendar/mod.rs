//! The calendar of cooperation: which windows are open when, pair by pair, and which end soon. As data, as text for a
//! terminal, as a picture and as a page. Reads the policy; never decides anything.
//!
//! - [`text`]: 100 columns of it;
//! - [`svg`]: the picture, with nothing outside itself;
//! - [`html`]: the page around the picture, with everything once more in words.

pub mod html;
pub mod svg;
pub mod text;

use serde::Serialize;

use super::checks::Checks;
use super::fields::FieldFault;
use crate::domain::policy::{Agreement, Effect, PolicySet};
use crate::domain::time::{DAY, Timestamp};
use crate::domain::vocabulary::{MarketplaceId, PlatformId, Vocabulary};

/// Half a year to each side of now, unless somebody says otherwise.
const USUAL_DAYS: i64 = 183;
/// What ends within so many days is listed first.
const SOON_DAYS: i64 = 30;

/// What somebody wants to see.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CalendarRequest {
    /// From this instant …
    pub from: Option<String>,
    /// … until just before this one.
    pub to: Option<String>,
    /// One platform only.
    pub platform: Option<String>,
    /// One marketplace only.
    pub marketplace: Option<String>,
}

/// A checked request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    from: Timestamp,
    to: Timestamp,
    platform: Option<PlatformId>,
    marketplace: Option<MarketplaceId>,
}

/// A step of a staged opening.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct StepView {
    /// From this instant on …
    pub at: Timestamp,
    /// … this share is in.
    pub percent: f64,
}

/// One agreement's window.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Window {
    /// Whose.
    pub agreement: String,
    /// For people.
    pub title: String,
    /// Allow, deny or data return.
    pub effect: Effect,
    /// In force from here …
    pub from: Timestamp,
    /// … until just before this; none when open-ended.
    pub until: Option<Timestamp>,
    /// Surfaces it covers; empty: all.
    pub surfaces: Vec<&'static str>,
    /// Stages of its opening.
    pub steps: Vec<StepView>,
}

/// The windows between a platform and marketplaces that have the same ones.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Row {
    /// Where the click happens.
    pub platform: String,
    /// Where it lands.
    pub marketplaces: Vec<String>,
    /// By beginning, then by id.
    pub windows: Vec<Window>,
}

/// A window that ends soon.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Ending {
    /// Whose.
    pub agreement: String,
    /// For people.
    pub title: String,
    /// Where the click happens.
    pub platform: String,
    /// Where it lands.
    pub marketplaces: Vec<String>,
    /// When.
    pub until: Timestamp,
    /// Whole days from now.
    pub days: i64,
}

/// The calendar of a policy.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Calendar {
    /// The policy version.
    pub policy_version: String,
    /// From here …
    pub from: Timestamp,
    /// … until here.
    pub to: Timestamp,
    /// Now.
    pub at: Timestamp,
    /// What ends within 30 days of now, the first first; be it within the span or not.
    pub ending: Vec<Ending>,
    /// Windows of the span.
    pub pairs: Vec<Row>,
}

impl CalendarRequest {
    /// Reads a raw query strictly.
    ///
    /// # Errors
    /// Every parameter that is not known or is given twice.
    pub fn query(raw: &str) -> Result<Self, Vec<FieldFault>> {
        let (mut request, mut faults) = (CalendarRequest::default(), Vec::new());
        for (name, value) in url::form_urlencoded::parse(raw.as_bytes()) {
            let field = match &*name {
                "from" => &mut request.from,
                "to" => &mut request.to,
                "platform" => &mut request.platform,
                "marketplace" => &mut request.marketplace,
                _ => {
                    let shown: String = name.chars().take(80).collect();
                    let problem = "not known: use from, to, platform, marketplace";
                    faults.push(FieldFault::new(shown, &value, "unknown_field", problem));
                    continue;
                }
            };
            if field.replace(value.clone().into_owned()).is_some() {
                faults.push(FieldFault::new(&*name, &value, "repeated", "is given twice: give it once"));
            }
        }
        if faults.is_empty() { Ok(request) } else { Err(faults) }
    }

    /// The span this asks for.
    ///
    /// # Errors
    /// Every fault of it.
    pub fn check(&self, words: &Vocabulary, now: Timestamp) -> Result<Span, Vec<FieldFault>> {
        let mut checks = Checks::new(words, Vec::new());
        let platform = self.platform.as_deref().and_then(|text| checks.platform("platform", text));
        let marketplace = self.marketplace.as_deref().and_then(|text| checks.marketplace("marketplace", text));
        let from = self.from.as_deref().and_then(|text| checks.instant("from", text));
        let to = self.to.as_deref().and_then(|text| checks.instant("to", text));
        let midnight = |at: Timestamp| Timestamp::of_beijing_day(at.beijing_day());
        let (from, to) = match (from, to) {
            (Some(from), Some(to)) => (from, to),
            (Some(from), None) => (from, from.max(midnight(now)).plus_micros(USUAL_DAYS * DAY)),
            (None, Some(to)) => (to.min(midnight(now)).plus_micros(-USUAL_DAYS * DAY), to),
            (None, None) => (midnight(now).plus_micros(-USUAL_DAYS * DAY), midnight(now).plus_micros(USUAL_DAYS * DAY)),
        };
        if to <= from {
            let problem = format!("{to} is not after `from` {from}: give a later time");
            checks.fault("to", self.to.as_deref().unwrap_or_default(), "not_after_from", problem);
        }
        if checks.faults.is_empty() { Ok(Span { from, to, platform, marketplace }) } else { Err(checks.faults) }
    }
}

impl Calendar {
    /// The calendar of `policy` at `now`, of the agreements that `may_see` lets through.
    pub fn new(
        policy: &PolicySet,
        words: &Vocabulary,
        span: Span,
        now: Timestamp,
        may_see: impl Fn(&Agreement) -> bool,
    ) -> Self {
        let wanted = |agreement: &&Agreement| {
            may_see(agreement)
                && span.platform.is_none_or(|platform| agreement.platform == platform)
                && span.marketplace.is_none_or(|marketplace| agreement.marketplaces.contains(&marketplace))
        };
        let mut agreements: Vec<&Agreement> = policy.agreements().iter().filter(wanted).collect();
        agreements.sort_by(|a, b| (a.from, &a.id).cmp(&(b.from, &b.id)));
        let names = |ids: &[MarketplaceId]| -> Vec<String> {
            ids.iter().map(|id| words.marketplace_name(*id).to_owned()).collect()
        };
        let soon = now.plus_micros(SOON_DAYS * DAY);
        let ends = agreements.iter().filter(|agreement| now < agreement.until && agreement.until <= soon);
        let mut ending: Vec<Ending> = ends
            .map(|agreement| Ending {
                agreement: agreement.id.to_string(),
                title: agreement.title.to_string(),
                platform: words.platform_name(agreement.platform).to_owned(),
                marketplaces: names(&agreement.marketplaces),
                until: agreement.until,
                days: (agreement.until.micros() - now.micros()) / DAY,
            })
            .collect();
        ending.sort_by_key(|ending| ending.until);
        agreements.retain(|agreement| agreement.from < span.to && span.from < agreement.until);
        Calendar {
            policy_version: policy.version().to_string(),
            from: span.from,
            to: span.to,
            at: now,
            ending,
            pairs: rows(&agreements, words, span),
        }
    }

    /// Where an instant lies in the span, 0 to 1.
    fn place(&self, at: Timestamp) -> f64 {
        let all = (self.to.micros() - self.from.micros()) as f64;
        ((at.micros().saturating_sub(self.from.micros())) as f64 / all).clamp(0.0, 1.0)
    }

    /// The beginnings of years, months or days to mark, as many as fit, with their names.
    fn marks(&self, most: usize) -> Vec<(Timestamp, String)> {
        const STEPS: [(i64, bool); 9] =
            [(1, false), (2, false), (7, false), (1, true), (2, true), (3, true), (6, true), (12, true), (24, true)];
        STEPS
            .iter()
            .map(|(step, months)| self.marks_every(*step, *months))
            .find(|marks| marks.len() <= most)
            .unwrap_or_else(|| {
                let all = self.marks_every(12, true);
                let every = all.len().div_ceil(most.max(1)).max(1);
                all.into_iter().step_by(every).collect()
            })
    }

    fn marks_every(&self, step: i64, months: bool) -> Vec<(Timestamp, String)> {
        let Some(first) = self.from.beijing() else { return Vec::new() };
        // A span of many years has no use for days.
        if !months && self.to.micros() - self.from.micros() > 800 * DAY {
            return vec![(self.from, String::new()); usize::from(u16::MAX)];
        }
        let mut day = if months { jiff::civil::date(first.year(), 1, 1) } else { first.date() };
        let mut marks = Vec::new();
        loop {
            let Ok(at) = day.to_string().parse::<Timestamp>() else { return marks };
            if at >= self.to {
                return marks;
            }
            if at >= self.from {
                let name = match (months, step) {
                    (true, 12..) => format!("{}", day.year()),
                    (true, _) => format!("{}-{:02}", day.year(), day.month()),
                    (false, _) => format!("{:02}-{:02}", day.month(), day.day()),
                };
                marks.push((at, name));
            }
            let further = if months { jiff::Span::new().try_months(step) } else { jiff::Span::new().try_days(step) };
            let Ok(next) = further.and_then(|span| day.checked_add(span)) else { return marks };
            day = next;
        }
    }
}

/// Windows by platform and marketplace; marketplaces with the same windows share a row.
fn rows(agreements: &[&Agreement], words: &Vocabulary, span: Span) -> Vec<Row> {
    let mut rows: Vec<(PlatformId, Vec<MarketplaceId>, Vec<&Agreement>)> = Vec::new();
    for (platform, _) in words.platforms().enumerate() {
        let platform = PlatformId(platform as u8);
        for (marketplace, _) in words.marketplaces().enumerate() {
            let marketplace = MarketplaceId(marketplace as u8);
            let of_pair = |agreement: &&&Agreement| {
                agreement.platform == platform && agreement.marketplaces.contains(&marketplace)
            };
            let here: Vec<&Agreement> = agreements.iter().filter(of_pair).copied().collect();
            if here.is_empty() || span.marketplace.is_some_and(|only| only != marketplace) {
                continue;
            }
            match rows.iter_mut().find(|(other, _, windows)| *other == platform && same(windows, &here)) {
                Some((_, marketplaces, _)) => marketplaces.push(marketplace),
                None => rows.push((platform, vec![marketplace], here)),
            }
        }
    }
    rows.into_iter()
        .map(|(platform, marketplaces, windows)| Row {
            platform: words.platform_name(platform).to_owned(),
            marketplaces: marketplaces.iter().map(|id| words.marketplace_name(*id).to_owned()).collect(),
            windows: windows.into_iter().map(window).collect(),
        })
        .collect()
}

fn same(a: &[&Agreement], b: &[&Agreement]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.id == b.id)
}

fn window(agreement: &Agreement) -> Window {
    let steps = agreement.rollout.iter().flat_map(|rollout| &rollout.steps);
    Window {
        agreement: agreement.id.to_string(),
        title: agreement.title.to_string(),
        effect: agreement.effect,
        from: agreement.from,
        until: (agreement.until != Timestamp::MAX).then_some(agreement.until),
        surfaces: agreement.when.surfaces.iter().map(|surface| surface.as_str()).collect(),
        steps: steps.map(|step| StepView { at: step.at, percent: f64::from(step.basis_points) / 100.0 }).collect(),
    }
}

impl Window {
    /// Its parts in which the share is the same: from, until, percent.
    fn parts(&self) -> Vec<(Timestamp, Timestamp, f64)> {
        let until = self.until.unwrap_or(Timestamp::MAX);
        let Some(first) = self.steps.first() else { return vec![(self.from, until, 100.0)] };
        let mut parts = vec![(self.from, first.at, 0.0)];
        for (place, step) in self.steps.iter().enumerate() {
            parts.push((step.at, self.steps.get(place + 1).map_or(until, |next| next.at), step.percent));
        }
        parts.retain(|(from, until, percent)| from < until && *percent > 0.0);
        parts
    }

    /// The part of its title before ` / `, which is Chinese, and the one after it.
    fn titles(&self) -> (&str, &str) {
        self.title.split_once(" / ").unwrap_or((&self.title, ""))
    }
}

/// An instant in Beijing time: a bare date at midnight, else to the second or finer.
fn short(at: Timestamp) -> String {
    match at.beijing() {
        Some(civil) if civil.time() == jiff::civil::Time::midnight() => civil.date().to_string(),
        Some(civil) => format!("{} {}", civil.date(), civil.time()),
        None => at.to_string(),
    }
}

/// An effect for people.
fn effect_name(effect: Effect) -> &'static str {
    match effect {
        Effect::Allow => "允许 allow",
        Effect::Deny => "禁止 deny",
        Effect::DataReturn => "仅数据回流 data return only",
    }
}
