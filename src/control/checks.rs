//! What the values of a request must be: names that are known, bounded texts, instants to come, addresses that have
//! passed the allow-list. Every check adds its fault and goes on. Never stores or decides anything.

use std::collections::BTreeMap;

use super::fields::FieldFault;
use crate::domain::device::Os;
use crate::domain::landing::matrix::Host;
use crate::domain::link::{Fact, LONGEST_SHARE_CODE};
use crate::domain::marketplace::{CodeKind, Landing, ShareFault};
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::{LinkKind, MarketplaceId, PlatformId, ShopType, Surface, Vocabulary};

/// The longest creator, category or fact name, in bytes: what a hop records in full.
pub const LONGEST_LABEL: usize = 255;
/// The most tags of a link.
pub const MOST_TAGS: usize = 20;
/// The longest tag, in characters.
pub const LONGEST_TAG: usize = 64;

/// What was pasted for a link.
pub(super) struct Pasted {
    /// Where it leads; for a code alone the marketplace's front page.
    pub(super) landing: Landing,
    /// A code alone, with the words around it.
    pub(super) share_code: Option<Box<str>>,
}

/// Gathers the faults of one request.
pub(super) struct Checks<'w> {
    words: &'w Vocabulary,
    pub(super) faults: Vec<FieldFault>,
}

impl<'w> Checks<'w> {
    pub(super) fn new(words: &'w Vocabulary, faults: Vec<FieldFault>) -> Self {
        Checks { words, faults }
    }

    pub(super) fn words(&self) -> &'w Vocabulary {
        self.words
    }

    pub(super) fn fault(&mut self, field: &str, value: &str, code: &'static str, problem: impl Into<String>) {
        self.faults.push(FieldFault::new(field, value, code, problem));
    }

    fn one_of<T>(&mut self, field: &str, text: &str, value: Option<T>, known: &[&str]) -> Option<T> {
        if value.is_none() {
            self.fault(field, text, "unknown_name", format!("this name is not known: use one of {}", known.join(", ")));
        }
        value
    }

    pub(super) fn platform(&mut self, field: &str, text: &str) -> Option<PlatformId> {
        let words = self.words;
        self.one_of(field, text, words.platform(text), &words.platforms().collect::<Vec<_>>())
    }

    pub(super) fn marketplace(&mut self, field: &str, text: &str) -> Option<MarketplaceId> {
        let words = self.words;
        self.one_of(field, text, words.marketplace(text), &words.marketplaces().collect::<Vec<_>>())
    }

    pub(super) fn surface(&mut self, text: &str) -> Option<Surface> {
        self.one_of("surface", text, Surface::parse(text), &Surface::names())
    }

    pub(super) fn shop_type(&mut self, text: &str) -> Option<ShopType> {
        self.one_of("shop_type", text, ShopType::parse(text), &ShopType::names())
    }

    pub(super) fn link_kind(&mut self, text: &str) -> Option<LinkKind> {
        self.one_of("link_kind", text, LinkKind::parse(text), &LinkKind::names())
    }

    pub(super) fn host(&mut self, text: &str) -> Option<Host> {
        self.one_of("app", text, Host::parse(text), &Host::names())
    }

    pub(super) fn os(&mut self, text: &str) -> Option<Os> {
        self.one_of("os", text, Os::parse(text), &Os::names())
    }

    /// A creator, category or fact name.
    pub(super) fn label(&mut self, field: &str, text: &str) -> Option<Box<str>> {
        match label_fault(text) {
            None => Some(text.into()),
            Some((code, problem)) => {
                self.fault(field, text, code, problem);
                None
            }
        }
    }

    pub(super) fn tags(&mut self, tags: &[String]) -> Vec<String> {
        if tags.len() > MOST_TAGS {
            let shown = format!("a list of {}", tags.len());
            self.fault("tags", &shown, "too_many", format!("use at most {MOST_TAGS} tags"));
            return Vec::new();
        }
        let mut kept: Vec<String> = Vec::with_capacity(tags.len());
        for (place, tag) in tags.iter().enumerate() {
            let trimmed = tag.trim();
            let fault = if trimmed.is_empty() {
                Some(("empty", "a tag may not be empty: leave it out".to_owned()))
            } else if trimmed.chars().any(char::is_control) {
                Some(("control_character", "a tag may hold no control character, tab or line break".to_owned()))
            } else if trimmed.chars().count() > LONGEST_TAG {
                Some(("too_long", format!("use at most {LONGEST_TAG} characters for a tag")))
            } else {
                None
            };
            match fault {
                Some((code, problem)) => self.fault(&format!("tags[{place}]"), tag, code, problem),
                None if kept.iter().any(|known| known == trimmed) => {}
                None => kept.push(trimmed.to_owned()),
            }
        }
        kept
    }

    pub(super) fn facts(&mut self, facts: &BTreeMap<String, bool>) -> Vec<Fact> {
        let mut kept = Vec::with_capacity(facts.len());
        for (name, carried) in facts {
            let field = format!("facts.{}", name.chars().take(80).collect::<String>());
            if let Some(name) = self.label(&field, name) {
                kept.push(Fact { name: name.into(), carried: *carried });
            }
        }
        // A hop records the facts as one text; one that is cut could not be decided again in an audit.
        let written: usize = kept.iter().map(|fact| fact.name.len() + 1 + usize::from(!fact.carried)).sum();
        if written > LONGEST_LABEL + 1 {
            let problem = format!("the names of all facts together have over {LONGEST_LABEL} bytes: state fewer facts");
            self.fault("facts", &format!("{} facts", kept.len()), "too_long", problem);
        }
        kept
    }

    pub(super) fn instant(&mut self, field: &str, text: &str) -> Option<Timestamp> {
        match text.parse::<Timestamp>() {
            Ok(at) => Some(at),
            Err(fault) => {
                self.fault(field, text, "not_a_time", fault.to_string());
                None
            }
        }
    }

    pub(super) fn expiry(&mut self, text: &str, now: Timestamp) -> Option<Timestamp> {
        let at = self.instant("expires_at", text)?;
        if at <= now {
            let problem = format!("lies in the past, it is {now} now: give a later instant, or disable the link");
            self.fault("expires_at", text, "in_the_past", problem);
            return None;
        }
        Some(at)
    }

    /// One address, alone or in a whole share text.
    pub(super) fn url(&mut self, text: &str) -> Option<Landing> {
        match self.words.markets().recognise_text(text) {
            Ok(landing) => Some(landing),
            Err(fault) => {
                self.fault("url", text, fault.code(), fault.to_string());
                None
            }
        }
    }
}

impl Checks<'_> {
    /// What a link is made of: an address, alone or in a share text, or a code alone, for which `marketplace` says whose it
    /// is where the text does not tell.
    pub(super) fn pasted(&mut self, text: &str, marketplace: Option<&str>) -> Option<Pasted> {
        let stated = match marketplace {
            Some(name) => Some(self.marketplace("marketplace", name)?),
            None => None,
        };
        let kind = match self.words.markets().recognise_text(text) {
            Err(ShareFault::UnidentifiableCode(kind)) => kind,
            Err(fault) => {
                self.fault("url", text, fault.code(), fault.to_string());
                return None;
            }
            Ok(landing) if stated.is_none_or(|stated| stated == landing.marketplace) => {
                return Some(Pasted { landing, share_code: None });
            }
            Ok(landing) => {
                let own = self.words().marketplace_name(landing.marketplace);
                let problem =
                    format!("the link is one of {own}: leave `marketplace` out, it is for a code without a link");
                self.fault("marketplace", marketplace.unwrap_or_default(), "contradiction", problem);
                return None;
            }
        };
        let code = text.trim();
        if code.len() > LONGEST_SHARE_CODE {
            let problem =
                format!("a code and the words around it have at most {LONGEST_SHARE_CODE} bytes: paste the code alone");
            self.fault("url", text, "too_long", problem);
            return None;
        }
        if code.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            self.fault(
                "url",
                text,
                "control_character",
                "the code holds a control character: copy it again in one piece",
            );
            return None;
        }
        let told = match kind {
            CodeKind::Taobao => Some(MarketplaceId::TAOBAO),
            CodeKind::Jd => Some(MarketplaceId::JD),
            CodeKind::Either => None,
        };
        let Some(whose) = stated.or(told) else {
            let problem =
                format!("is missing: this is {}, and it does not tell whose: give taobao, tmall or jd", kind.name());
            self.fault("marketplace", "", "unidentifiable_code", problem);
            return None;
        };
        match self.words.markets().home(whose) {
            Some(landing) => Some(Pasted { landing, share_code: Some(code.into()) }),
            None => {
                let words = self.words;
                let all = words.markets().all().filter(|(_, table)| table.home.is_some());
                let known: Vec<&str> = all.map(|(_, table)| &*table.id).collect();
                let problem =
                    format!("has no front page to send a code's visitors to: use one of {}", known.join(", "));
                self.fault("marketplace", marketplace.unwrap_or_default(), "no_codes", problem);
                None
            }
        }
    }
}

fn label_fault(text: &str) -> Option<(&'static str, String)> {
    if text.is_empty() {
        return Some(("empty", "may not be empty: leave it out when it is not known".to_owned()));
    }
    if text.len() > LONGEST_LABEL {
        return Some(("too_long", format!("has {} bytes: use at most {LONGEST_LABEL}", text.len())));
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Some((
            "white_space",
            "may hold no white space and no control character: write it in one word".to_owned(),
        ));
    }
    if text.starts_with('!') {
        return Some(("leading_mark", "may not begin with `!`: remove it".to_owned()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_tags_and_facts_are_bounded() {
        let words = Vocabulary::default();
        let mut checks = Checks::new(&words, Vec::new());
        for bad in ["", "a b", "a\u{3000}b", "!a", "a\nb", &"很".repeat(86)] {
            assert_eq!(checks.label("creator", bad), None, "{bad}");
        }
        assert!(checks.label("creator", &"x".repeat(255)).is_some());
        assert_eq!(checks.faults.len(), 6);

        let mut checks = Checks::new(&words, Vec::new());
        let tags = ["双十一", "双十一 ", "", &"很".repeat(65), "a\tb"].map(str::to_owned);
        assert_eq!(checks.tags(&tags), ["双十一"]);
        assert!(checks.tags(&vec!["t".to_owned(); 21]).is_empty());
        let named: Vec<_> = checks.faults.iter().map(|fault| (&*fault.field, fault.code)).collect();
        let expected =
            [("tags[2]", "empty"), ("tags[3]", "too_long"), ("tags[4]", "control_character"), ("tags", "too_many")];
        assert_eq!(named, expected);

        let mut checks = Checks::new(&words, Vec::new());
        let many = (0..40).map(|i| (format!("fact_{i:03}"), true)).collect();
        checks.facts(&many);
        assert_eq!(checks.faults[0].code, "too_long");
    }
}
