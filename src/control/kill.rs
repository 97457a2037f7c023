//! A kill as somebody asks for it: the body of `POST /v1/policies/kills`, or the arguments of `policy kill`. One check
//! says everything that is wrong with it; nothing else stands between ops and the switch. Never switches anything off.

use serde_json::Value;

use super::checks::Checks;
use super::fields::{FieldFault, Fields};
use crate::domain::policy::Kill;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::Vocabulary;
use crate::policies::canonical;
use crate::policies::yaml::LONGEST_WHY;

/// How long a kill holds unless it says otherwise: a day, so that a forgotten one ends.
pub const USUAL_HOURS: i64 = 24;
/// How long a kill can hold at most: whatever is closed for longer is an agreement of its own.
pub const MOST_DAYS: i64 = 30;

const HOUR: i64 = 3_600_000_000;

/// The fields of a kill.
pub const FIELDS: [&str; 7] = ["platform", "marketplace", "creator", "shop", "why", "for", "until"];

/// A kill in the words of whoever asks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KillDraft {
    /// Clicks on this platform.
    pub platform: Option<String>,
    /// Clicks that lead to this marketplace.
    pub marketplace: Option<String>,
    /// Links of this creator.
    pub creator: Option<String>,
    /// Links to this shop.
    pub shop: Option<String>,
    /// Why.
    pub why: Option<String>,
    /// For how long: `30m`, `2h`, `7d`.
    pub span: Option<String>,
    /// Until when.
    pub until: Option<String>,
    /// What could not even be read; [`KillDraft::check`] reports it with the rest.
    pub misread: Vec<FieldFault>,
}

impl KillDraft {
    /// Reads a JSON object. Never fails: what cannot be read is kept for [`KillDraft::check`] to report.
    pub fn read(value: &Value) -> Self {
        let mut fields = Fields::new(value, &FIELDS);
        let mut draft = KillDraft {
            platform: fields.text("platform"),
            marketplace: fields.text("marketplace"),
            creator: fields.text("creator"),
            shop: fields.text("shop"),
            why: fields.text("why"),
            span: fields.text("for"),
            until: fields.text("until"),
            misread: Vec::new(),
        };
        draft.misread = fields.faults;
        draft
    }

    /// The kill this asks for, from `now` on.
    ///
    /// # Errors
    /// Every fault of it.
    pub fn check(&self, by: &str, words: &Vocabulary, now: Timestamp) -> Result<Kill, Vec<FieldFault>> {
        let mut checks = Checks::new(words, self.misread.clone());
        let platform = self.platform.as_deref().and_then(|text| checks.platform("platform", text));
        let marketplace = self.marketplace.as_deref().and_then(|text| checks.marketplace("marketplace", text));
        let creator = self.creator.as_deref().and_then(|text| checks.label("creator", text));
        let shop = self.shop.as_deref().and_then(|text| {
            if !(text.starts_with("shop:") || text.starts_with("seller:")) {
                let problem = "write shop:ID or seller:ID, as the two are different numbers";
                checks.fault("shop", text, "shop_sort", problem);
                return None;
            }
            checks.label("shop", text)
        });
        let names_none =
            [&self.platform, &self.marketplace, &self.creator, &self.shop].into_iter().all(Option::is_none);
        if names_none && !self.misread.iter().any(|fault| FIELDS[..4].contains(&&*fault.field)) {
            let problem = "names nothing to switch off: give a platform, marketplace, creator or shop";
            checks.fault("platform", "", "missing", problem);
        }
        let why = self.why.as_deref().unwrap_or_default().trim();
        if why.is_empty() && !self.misread.iter().any(|fault| fault.field == "why") {
            checks.fault("why", "", "missing", "is missing: say why, for whoever finds it off");
        } else if why.chars().count() > LONGEST_WHY || why.chars().any(char::is_control) {
            let problem = format!("use at most {LONGEST_WHY} characters, and no control character");
            checks.fault("why", why, "too_long", problem);
        }
        let until = self.end(&mut checks, now);
        match until {
            Some(until) if checks.faults.is_empty() => {
                let (by, why) = (by.into(), why.into());
                let mut kill = Kill { id: "".into(), platform, marketplace, creator, shop, from: now, until, by, why };
                let said = canonical::describe_kill(&kill, words).to_string();
                kill.id = format!("kill-{}", &canonical::version(&said).full()[..8]).into();
                Ok(kill)
            }
            _ => Err(checks.faults),
        }
    }

    fn end(&self, checks: &mut Checks<'_>, now: Timestamp) -> Option<Timestamp> {
        let most = now.plus_micros(MOST_DAYS * 24 * HOUR);
        let (field, until) = match (&self.span, &self.until) {
            (None, None) => return Some(now.plus_micros(USUAL_HOURS * HOUR)),
            (Some(_), Some(until)) => {
                checks.fault("until", until, "for_and_until", "give either `for` or `until`, not both");
                return None;
            }
            (Some(text), None) => match span(text) {
                Some(micros) => ("for", now.plus_micros(micros)),
                None => {
                    let problem = "is not a time span: write 30m, 2h or 7d";
                    checks.fault("for", text, "not_a_span", problem);
                    return None;
                }
            },
            (None, Some(text)) => ("until", checks.instant("until", text)?),
        };
        let text = self.span.as_deref().or(self.until.as_deref()).unwrap_or_default();
        if until <= now {
            checks.fault(field, text, "in_the_past", format!("lies in the past, it is {now} now: give a later end"));
            return None;
        }
        if until > most {
            let problem = format!("is more than {MOST_DAYS} days: for longer, publish an agreement that denies");
            checks.fault(field, text, "too_long", problem);
            return None;
        }
        Some(until)
    }
}

fn span(text: &str) -> Option<i64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let number: i64 = text[..split].parse().ok()?;
    let unit = match &text[split..] {
        "s" => HOUR / 3_600,
        "m" => HOUR / 60,
        "h" => HOUR,
        "d" => 24 * HOUR,
        _ => return None,
    };
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_kill_has_a_subject_a_reason_and_an_end() {
        let words = Vocabulary::default();
        let now: Timestamp = "2022-11-11 00:00:00".parse().unwrap();
        let check = |value: Value| KillDraft::read(&value).check("ops", &words, now);
        let usual = check(json!({"platform": "kuaishou", "marketplace": "jd", "why": "wrong prices"})).unwrap();
        assert_eq!((usual.from, usual.until), (now, "2022-11-12".parse().unwrap()));
        assert_eq!((usual.id.len(), &usual.id[..5], &*usual.by), (13, "kill-", "ops"));
        let other = check(json!({"platform": "kuaishou", "marketplace": "tmall", "why": "wrong prices"})).unwrap();
        assert_ne!(usual.id, other.id);
        let short = check(json!({"creator": "c1", "why": "fraud", "for": "90m"})).unwrap();
        assert_eq!(short.until, "2022-11-11 01:30:00".parse().unwrap());
        let named = check(json!({"shop": "shop:7", "why": "recall", "until": "2022-12-11"})).unwrap();
        assert_eq!(named.until, "2022-12-11".parse().unwrap());

        let faults = |value: Value| {
            let found = check(value).unwrap_err();
            found.into_iter().map(|fault| format!("{} {}", fault.field, fault.code)).collect::<Vec<_>>()
        };
        assert_eq!(faults(json!({})), ["platform missing", "why missing"]);
        assert_eq!(
            faults(
                json!({"platform": "kuaishuo", "marketplace": "x", "shop": "7", "creator": "a b", "why": 3, "for": "soon"})
            ),
            [
                "why wrong_type",
                "platform unknown_name",
                "marketplace unknown_name",
                "creator white_space",
                "shop shop_sort",
                "for not_a_span"
            ]
        );
        for (value, fault) in [
            (json!({"until": "2022-11-11"}), "until in_the_past"),
            (json!({"until": "2022-12-12"}), "until too_long"),
            (json!({"for": "0h"}), "for in_the_past"),
            (json!({"for": "31d"}), "for too_long"),
            (json!({"for": "99999999999999999d"}), "for not_a_span"),
            (json!({"for": "1h", "until": "2022-11-12"}), "until for_and_until"),
        ] {
            let mut whole = json!({"platform": "douyin", "why": "x"});
            whole.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
            assert_eq!(faults(whole), [fault]);
        }
    }
}
