//! What a report is asked for: a period, filters, what its rows are grouped by, other rules. Read from arguments and from
//! queries alike, every fault at once. Never makes a report.
//!
//! What every report promises, so that all of them are shown by the same code:
//!
//! - it is a function `sheet(stores, &Asked) -> Result<Sheet, ReportError>`, whose [`Sheet`] has passed [`Sheet::faults`];
//! - it brings every row; [`super::show`] cuts them to `limit` and says so;
//! - a column of money is named `…_fen` and holds [`super::sheet::Cell::Money`]; a column of figures from samples is named
//!   `…_est` and holds [`super::sheet::Cell::Estimate`]; neither is ever mixed with another sort in one column;
//! - `from` is included and `to` is not; where its figures are kept by the hour and these are no whole hours, it says in a
//!   note to which hours it kept.
//!
//! [`Sheet`]: super::sheet::Sheet
//! [`Sheet::faults`]: super::sheet::Sheet::faults

use async_trait::async_trait;

use super::sheet::Sheet;
use crate::attribution::StoreError;
use crate::domain::time::{DAY, Timestamp};
use crate::domain::vocabulary::{Vocabulary, closed_list};

closed_list! {
    /// The reports that are asked for this way.
    Kind {
        /// Clicks by link, creator, placement, marketplace, outcome, time.
        Links = "links",
        /// From the note to the order.
        Funnel = "funnel",
        /// Orders and what they are worth to whom.
        Settlement = "settlement",
    }
}

closed_list! {
    /// What rows are grouped by. Each report knows some of them: [`Kind::knows`].
    By {
        /// The link's code.
        Code = "code",
        /// The creator.
        Creator = "creator",
        /// The platform.
        Platform = "platform",
        /// Platform and surface.
        Placement = "placement",
        /// The marketplace.
        Marketplace = "marketplace",
        /// Whether a click was let through.
        Outcome = "outcome",
        /// The merchant's shop.
        Shop = "shop",
        /// The agreement.
        Agreement = "agreement",
        /// The note or video.
        Note = "note",
        /// The hour, Beijing time.
        Hour = "hour",
        /// The Beijing day.
        Day = "day",
        /// The accounting period, `YYYY-MM`.
        Period = "period",
        /// The network whose report an order comes from.
        Network = "network",
        /// One order line a row.
        Order = "order",
    }
}

impl Kind {
    /// What its rows may be grouped by; the first is what they are grouped by when nobody says otherwise.
    pub const fn knows(self) -> &'static [By] {
        match self {
            Kind::Links => {
                &[By::Code, By::Creator, By::Platform, By::Placement, By::Marketplace, By::Outcome, By::Hour, By::Day]
            }
            Kind::Funnel => &[By::Note, By::Creator, By::Shop, By::Agreement, By::Platform, By::Marketplace, By::Day],
            Kind::Settlement => &[
                By::Creator,
                By::Order,
                By::Network,
                By::Period,
                By::Marketplace,
                By::Shop,
                By::Agreement,
                By::Code,
                By::Day,
            ],
        }
    }
}

/// Other rules than the usual ones, as somebody wrote them: each report reads them itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OtherRules {
    /// Where they come from, for the report's head and for faults.
    pub name: String,
    /// Their text.
    pub text: String,
}

/// A checked question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    /// From this instant on.
    pub from: Timestamp,
    /// Before this instant.
    pub to: Timestamp,
    /// Of this creator only.
    pub creator: Option<Box<str>>,
    /// Of this link only.
    pub code: Option<Box<str>>,
    /// On this platform only.
    pub platform: Option<Box<str>>,
    /// To this marketplace only.
    pub marketplace: Option<Box<str>>,
    /// To this shop only.
    pub shop: Option<Box<str>>,
    /// Under this agreement only.
    pub agreement: Option<Box<str>>,
    /// Of this note only.
    pub note: Option<Box<str>>,
    /// Of this order only: its own number, or that of one of its lines.
    pub order: Option<Box<str>>,
    /// What rows are grouped by, one or more, without repetition.
    pub by: Vec<By>,
    /// Rows that are shown; none: all of them. Totals count all of them in any case.
    pub limit: Option<usize>,
    /// Other rules than the usual ones.
    pub rules: Option<OtherRules>,
}

/// One thing wrong with a question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AskedFault {
    /// The parameter, without dashes.
    pub field: &'static str,
    /// What it held.
    pub value: String,
    /// The stable name of the problem.
    pub code: &'static str,
    /// What is wrong, and the mend.
    pub problem: String,
}

/// A question as somebody asks it: every parameter a text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct Question {
    pub from: Option<String>,
    pub to: Option<String>,
    pub creator: Option<String>,
    pub code: Option<String>,
    pub platform: Option<String>,
    pub marketplace: Option<String>,
    pub shop: Option<String>,
    pub agreement: Option<String>,
    pub note: Option<String>,
    pub order: Option<String>,
    /// Names with commas between them.
    pub by: Option<String>,
    pub limit: Option<String>,
}

/// Parameters of a question, in the order in which they are told.
pub const PARAMETERS: [&str; 12] =
    ["from", "to", "creator", "code", "platform", "marketplace", "shop", "agreement", "note", "order", "by", "limit"];

/// Days of a report when nobody says otherwise: whole Beijing days, today the last.
const USUAL_DAYS: i64 = 30;
/// The longest text of a filter, in bytes.
const LONGEST: usize = 255;
/// The most rows that can be asked for.
const MOST_ROWS: usize = 1_000_000;

impl Question {
    /// The place of a parameter; `None`: there is no such one.
    pub fn parameter(&mut self, name: &str) -> Option<&mut Option<String>> {
        Some(match name {
            "from" => &mut self.from,
            "to" => &mut self.to,
            "creator" => &mut self.creator,
            "code" => &mut self.code,
            "platform" => &mut self.platform,
            "marketplace" => &mut self.marketplace,
            "shop" => &mut self.shop,
            "agreement" => &mut self.agreement,
            "note" => &mut self.note,
            "order" => &mut self.order,
            "by" => &mut self.by,
            "limit" => &mut self.limit,
            _ => return None,
        })
    }

    /// Checks it, at `now`.
    ///
    /// # Errors
    /// Every fault.
    pub fn check(self, kind: Kind, words: &Vocabulary, now: Timestamp) -> Result<Asked, Vec<AskedFault>> {
        let mut faults = Vec::new();
        let mut fault = |field, value: &str, code, problem| {
            let value = value.chars().take(80).collect();
            faults.push(AskedFault { field, value, code, problem });
        };
        let mut instant = |field, text: &Option<String>| {
            let text = text.as_deref()?;
            match text.parse::<Timestamp>() {
                Ok(at) => Some(at),
                Err(error) => {
                    fault(field, text, "not_a_time", error.to_string());
                    None
                }
            }
        };
        let (from, to) = (instant("from", &self.from), instant("to", &self.to));
        let tomorrow = Timestamp::of_beijing_day(now.beijing_day() + 1);
        let until = to.unwrap_or(tomorrow);
        let since = from.unwrap_or_else(|| until.plus_micros(-USUAL_DAYS * DAY));
        if since >= until && (from.is_some() == self.from.is_some()) && (to.is_some() == self.to.is_some()) {
            fault("to", self.to.as_deref().unwrap_or_default(), "not_a_span", "must be later than `from`".to_owned());
        }
        let mut label = |field, text: Option<String>| {
            let text = text?;
            let problem = match text.len() {
                0 => "may not be empty: leave it out".to_owned(),
                1..=LONGEST if !text.chars().any(char::is_control) => return Some(text.into_boxed_str()),
                1..=LONGEST => "may hold no control character".to_owned(),
                _ => format!("use at most {LONGEST} bytes"),
            };
            fault(field, &text, "not_a_label", problem);
            None
        };
        let creator = label("creator", self.creator);
        let code = label("code", self.code);
        let platform = label("platform", self.platform);
        let marketplace = label("marketplace", self.marketplace);
        let shop = label("shop", self.shop);
        let agreement = label("agreement", self.agreement);
        let note = label("note", self.note);
        let order = label("order", self.order);
        let unknown = |known: Vec<&str>| format!("this name is not known: use one of {}", known.join(", "));
        if let Some(name) = platform.as_deref().filter(|name| words.platform(name).is_none()) {
            fault("platform", name, "unknown_name", unknown(words.platforms().collect()));
        }
        if let Some(name) = marketplace.as_deref().filter(|name| words.marketplace(name).is_none()) {
            fault("marketplace", name, "unknown_name", unknown(words.marketplaces().collect()));
        }
        let mut by = Vec::new();
        for name in self.by.as_deref().unwrap_or_else(|| kind.knows()[0].as_str()).split(',').map(str::trim) {
            match By::parse(name).filter(|by| kind.knows().contains(by)) {
                Some(one) if by.contains(&one) => fault("by", name, "repeated", "is named twice".to_owned()),
                Some(one) => by.push(one),
                None => {
                    let known = kind.knows().iter().map(|by| by.as_str()).collect::<Vec<_>>().join(", ");
                    fault("by", name, "unknown_name", format!("`report {kind}` can be by {known}"));
                }
            }
        }
        let mut limit = None;
        if let Some(text) = &self.limit {
            limit = text.parse().ok().filter(|number| (1..=MOST_ROWS).contains(number));
            if limit.is_none() {
                fault("limit", text, "out_of_range", format!("must be a whole number from 1 to {MOST_ROWS}"));
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let (from, to) = (since, until);
        Ok(Asked {
            from,
            to,
            creator,
            code,
            platform,
            marketplace,
            shop,
            agreement,
            note,
            order,
            by,
            limit,
            rules: None,
        })
    }
}

impl Asked {
    /// What was asked for, for the head of a sheet: the period, what rows are grouped by, and every filter that is set.
    pub fn head(&self) -> Vec<(&'static str, String)> {
        let by = self.by.iter().map(|by| by.as_str()).collect::<Vec<_>>().join(",");
        let mut head = vec![("from", self.from.to_string()), ("to", self.to.to_string()), ("by", by)];
        for (name, value) in [
            ("creator", &self.creator),
            ("code", &self.code),
            ("platform", &self.platform),
            ("marketplace", &self.marketplace),
            ("shop", &self.shop),
            ("agreement", &self.agreement),
            ("note", &self.note),
            ("order", &self.order),
        ] {
            head.extend(value.as_ref().map(|value| (name, value.to_string())));
        }
        head.extend(self.rules.as_ref().map(|rules| ("rules", rules.name.clone())));
        head
    }
}

/// Why there is no report.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum ReportError {
    /// The other rules cannot be used: every fault, one a line.
    #[error("{0}")]
    Rules(String),
    /// A store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The policies whose terms it needs.
    #[error("policies: {0}")]
    Policies(String),
}

/// Makes reports out of whatever stores there are. The composition root has the one there is; the API and the command line
/// ask it.
#[async_trait]
pub trait Reporter: Send + Sync {
    /// A report, with every row.
    ///
    /// # Errors
    /// [`ReportError`].
    async fn report(&self, kind: Kind, asked: &Asked) -> Result<Sheet, ReportError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2025-11-11T20:00:00+08:00".parse().unwrap()
    }

    #[test]
    fn without_a_word_it_is_the_last_thirty_days_by_the_first_sort() {
        for kind in Kind::ALL {
            let asked = Question::default().check(*kind, &Vocabulary::default(), now()).unwrap();
            assert_eq!(asked.from.to_string(), "2025-10-13T00:00:00+08:00");
            assert_eq!(asked.to.to_string(), "2025-11-12T00:00:00+08:00");
            assert_eq!(asked.by, [kind.knows()[0]]);
            assert_eq!(asked.head().len(), 3);
        }
    }

    #[test]
    fn every_fault_is_told_in_one_run() {
        let mut question = Question::default();
        for (name, value) in [
            ("from", "tomorrow"),
            ("to", "2025-11-11"),
            ("creator", ""),
            ("platform", "moon"),
            ("marketplace", "mars"),
            ("by", "day,day,order"),
            ("limit", "0"),
        ] {
            *question.parameter(name).unwrap() = Some(value.to_owned());
        }
        assert_eq!(question.parameter("colour"), None);
        let faults = question.check(Kind::Funnel, &Vocabulary::default(), now()).unwrap_err();
        let told: Vec<_> = faults.iter().map(|fault| (fault.field, fault.code)).collect();
        let expected = [
            ("from", "not_a_time"),
            ("creator", "not_a_label"),
            ("platform", "unknown_name"),
            ("marketplace", "unknown_name"),
            ("by", "repeated"),
            ("by", "unknown_name"),
            ("limit", "out_of_range"),
        ];
        assert_eq!(told, expected);
        let reversed =
            Question { from: Some("2025-11-12".into()), to: Some("2025-11-12".into()), ..Question::default() };
        let faults = reversed.check(Kind::Links, &Vocabulary::default(), now()).unwrap_err();
        assert_eq!(faults[0].code, "not_a_span");
    }

    #[test]
    fn every_parameter_has_its_place_and_the_head_names_what_was_asked() {
        let mut question = Question::default();
        for name in PARAMETERS {
            let value = match name {
                "from" => "2025-11-01",
                "to" => "2025-11-12",
                "platform" => "kuaishou",
                "marketplace" => "jd",
                "by" => "order, day",
                "limit" => "10",
                other => other,
            };
            *question.parameter(name).unwrap() = Some(value.to_owned());
        }
        let asked = question.check(Kind::Settlement, &Vocabulary::default(), now()).unwrap();
        assert_eq!((asked.by.as_slice(), asked.limit), (&[By::Order, By::Day][..], Some(10)));
        let names: Vec<_> = asked.head().into_iter().map(|(name, _)| name).collect();
        let told =
            ["from", "to", "by", "creator", "code", "platform", "marketplace", "shop", "agreement", "note", "order"];
        assert_eq!(names, told);
    }
}
