//! The query of `GET /v1/links`, read strictly: unknown, repeated and unusable parameters are all reported at once.

use crate::catalog::store::LinkQuery;
use crate::control::change::state_of;
use crate::control::fields::FieldFault;
use crate::domain::vocabulary::Vocabulary;

/// Links of a page unless the caller says otherwise, and at most.
const USUAL: usize = 100;
const MOST: usize = 500;
/// The longest text of a parameter, in bytes.
const LONGEST: usize = 255;

const KNOWN: [&str; 7] = ["creator", "platform", "marketplace", "state", "tag", "cursor", "limit"];

/// A checked query.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) query: LinkQuery,
    pub(super) after: Option<String>,
    pub(super) limit: usize,
}

/// Reads a raw query.
pub(super) fn read(raw: &str, words: &Vocabulary) -> Result<Listing, Vec<FieldFault>> {
    let mut faults = Vec::new();
    let mut fault = |field: &str, value: &str, code, problem: String| {
        let field: String = field.chars().take(80).collect();
        faults.push(FieldFault::new(field, value, code, problem));
    };
    let mut listing = Listing { query: LinkQuery::default(), after: None, limit: USUAL };
    let mut given: Vec<String> = Vec::new();
    for (name, value) in url::form_urlencoded::parse(raw.as_bytes()) {
        if given.iter().any(|seen| **seen == *name) {
            fault(&name, &value, "repeated", "is given twice: give it once".to_owned());
            continue;
        }
        given.push(name.clone().into_owned());
        if value.len() > LONGEST {
            fault(&name, &value, "too_long", format!("use at most {LONGEST} bytes"));
            continue;
        }
        let unknown = |known: Vec<&str>| format!("this name is not known: use one of {}", known.join(", "));
        let text = value.clone().into_owned();
        match &*name {
            "creator" => listing.query.creator = Some(text),
            "tag" => listing.query.tag = Some(text),
            "cursor" => listing.after = Some(text),
            "platform" => match words.platform(&value) {
                Some(id) => listing.query.platform = Some(id),
                None => fault("platform", &value, "unknown_name", unknown(words.platforms().collect())),
            },
            "marketplace" => match words.marketplace(&value) {
                Some(id) => listing.query.marketplace = Some(id),
                None => fault("marketplace", &value, "unknown_name", unknown(words.marketplaces().collect())),
            },
            "state" => match state_of(&value) {
                Some(state) => listing.query.state = Some(state),
                None => fault("state", &value, "unknown_name", unknown(vec!["active", "disabled"])),
            },
            "limit" => match value.parse::<usize>() {
                Ok(limit) if (1..=MOST).contains(&limit) => listing.limit = limit,
                _ => fault("limit", &value, "out_of_range", format!("must be a whole number from 1 to {MOST}")),
            },
            _ => fault(&name, &value, "unknown_field", format!("not known: use {}", KNOWN.join(", "))),
        }
    }
    if faults.is_empty() { Ok(listing) } else { Err(faults) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_whole_or_refused_whole() {
        let words = Vocabulary::default();
        let listing = read("creator=c1&marketplace=jd&state=disabled&tag=%E5%8F%8C11&limit=500", &words).unwrap();
        assert_eq!((listing.limit, listing.query.tag.as_deref()), (500, Some("双11")));
        assert_eq!(read("", &words).unwrap().limit, 100);
        let faults = read("limit=0&limit=1&platform=x&colour=red&state=", &words).unwrap_err();
        let named: Vec<_> = faults.iter().map(|fault| (&*fault.field, fault.code)).collect();
        let expected = [
            ("limit", "out_of_range"),
            ("limit", "repeated"),
            ("platform", "unknown_name"),
            ("colour", "unknown_field"),
            ("state", "unknown_name"),
        ];
        assert_eq!(named, expected);
    }
}
