//! Queries, read strictly: unknown, repeated and unusable parameters are all reported at once. That of `GET /v1/links` is
//! here whole.

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

/// What a raw query held.
pub(super) struct Walked {
    /// The parameters' names.
    pub(super) given: Vec<String>,
    /// What is wrong with them.
    pub(super) faults: Vec<FieldFault>,
}

/// Hands every parameter to `take`, with the way to say what is wrong with it. One given twice, or with more than
/// `longest` bytes, is a fault and not handed on.
pub(super) fn walk(
    raw: &str,
    longest: usize,
    mut take: impl FnMut(&str, &str, &mut dyn FnMut(&'static str, String)),
) -> Walked {
    let (mut faults, mut given) = (Vec::new(), Vec::<String>::new());
    for (name, value) in url::form_urlencoded::parse(raw.as_bytes()) {
        let mut fault = |code, problem: String| {
            let field: String = name.chars().take(80).collect();
            faults.push(FieldFault::new(field, &value, code, problem));
        };
        if given.iter().any(|seen| **seen == *name) {
            fault("repeated", "is given twice: give it once".to_owned());
            continue;
        }
        given.push(name.clone().into_owned());
        if value.len() > longest {
            fault("too_long", format!("use at most {longest} bytes"));
            continue;
        }
        take(&name, &value, &mut fault);
    }
    Walked { given, faults }
}

/// A page's length, from 1 to `most`.
///
/// # Errors
/// The problem, under the code `out_of_range`.
pub(super) fn limit(value: &str, most: usize) -> Result<usize, String> {
    let number = value.parse::<usize>().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| format!("must be a whole number from 1 to {most}"))
}

/// Reads a raw query.
pub(super) fn read(raw: &str, words: &Vocabulary) -> Result<Listing, Vec<FieldFault>> {
    let mut listing = Listing { query: LinkQuery::default(), after: None, limit: USUAL };
    let unknown = |known: Vec<&str>| format!("this name is not known: use one of {}", known.join(", "));
    let Walked { faults, .. } = walk(raw, LONGEST, |name, value, fault| match name {
        "creator" => listing.query.creator = Some(value.to_owned()),
        "tag" => listing.query.tag = Some(value.to_owned()),
        "cursor" => listing.after = Some(value.to_owned()),
        "platform" => match words.platform(value) {
            Some(id) => listing.query.platform = Some(id),
            None => fault("unknown_name", unknown(words.platforms().collect())),
        },
        "marketplace" => match words.marketplace(value) {
            Some(id) => listing.query.marketplace = Some(id),
            None => fault("unknown_name", unknown(words.marketplaces().collect())),
        },
        "state" => match state_of(value) {
            Some(state) => listing.query.state = Some(state),
            None => fault("unknown_name", unknown(vec!["active", "disabled"])),
        },
        "limit" => match limit(value, MOST) {
            Ok(number) => listing.limit = number,
            Err(problem) => fault("out_of_range", problem),
        },
        _ => fault("unknown_field", format!("not known: use {}", KNOWN.join(", "))),
    });
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
