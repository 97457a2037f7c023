//! `GET /v1/hops`: recorded hops, oldest first, in the form of an export. A page reads so many records at most, found or not,
//! so that no request holds the disk for long.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Json;
use serde_json::{Value, json};

use super::Api;
use super::query::{Walked, limit, walk};
use crate::archive::Recorded;
use crate::archive::hops::Reader;
use crate::control::fields::FieldFault;
use crate::control::problem::ApiError;
use crate::domain::click_id::ClickKey;
use crate::domain::hop::{Hop, Outcome};
use crate::domain::time::Timestamp;
use crate::journal::export;

/// Hops of a page unless the caller says otherwise, and at most.
const USUAL: usize = 100;
const MOST: usize = 500;
/// Records of the period a page looks at.
const MOST_LOOKED_AT: usize = 100_000;
/// The longest text of a parameter, in bytes.
const LONGEST: usize = 255;

const KNOWN: [&str; 7] = ["from", "to", "code", "creator", "outcome", "cursor", "limit"];

/// A checked query.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Listing {
    from: Timestamp,
    to: Timestamp,
    code: Option<String>,
    creator: Option<String>,
    outcome: Option<Outcome>,
    after: u64,
    limit: usize,
}

fn read(raw: &str) -> Result<Listing, Vec<FieldFault>> {
    let (from, to) = (Timestamp::MIN, Timestamp::MAX);
    let mut asked = Listing { from, to, code: None, creator: None, outcome: None, after: 0, limit: USUAL };
    let Walked { mut faults, .. } = walk(raw, LONGEST, |name, value, fault| match name {
        "from" | "to" => match value.parse() {
            Ok(at) => *(if name == "from" { &mut asked.from } else { &mut asked.to }) = at,
            Err(error) => fault("not_a_time", format!("{error}")),
        },
        "code" => asked.code = Some(value.to_owned()),
        "creator" => asked.creator = Some(value.to_owned()),
        "outcome" => match Outcome::parse(value) {
            Some(outcome) => asked.outcome = Some(outcome),
            None => fault("unknown_name", format!("use one of {}", Outcome::names().join(", "))),
        },
        "cursor" => match value.parse() {
            Ok(after) => asked.after = after,
            Err(_) => fault("not_a_cursor", "must be the `next_cursor` of a page before".to_owned()),
        },
        "limit" => match limit(value, MOST) {
            Ok(number) => asked.limit = number,
            Err(problem) => fault("out_of_range", problem),
        },
        _ => fault("unknown_field", format!("not known: use {}", KNOWN.join(", "))),
    });
    if faults.is_empty() && asked.from >= asked.to {
        faults.push(FieldFault::new("to", &asked.to.to_string(), "not_a_span", "must be later than `from`"));
    }
    if faults.is_empty() { Ok(asked) } else { Err(faults) }
}

pub(super) async fn list(State(api): State<Arc<Api>>, RawQuery(raw): RawQuery) -> Result<Json<Value>, ApiError> {
    let asked = read(raw.as_deref().unwrap_or_default())?;
    let permit = Arc::clone(&api.lookups).try_acquire_owned().map_err(|_| ApiError::Busy)?;
    let (hops, key) = (api.state.hops.clone(), api.state.click_key.clone());
    let looking = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        page(&hops, &key, &asked)
    });
    looking.await.map_err(|error| ApiError::Internal(error.to_string()))?.map(Json)
}

fn page(recorded: &Recorded, key: &ClickKey, asked: &Listing) -> Result<Value, ApiError> {
    let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
    let wanted = |hop: &Hop<'_>| {
        (asked.from <= hop.at && hop.at < asked.to)
            && is(&asked.code, hop.code)
            && is(&asked.creator, hop.creator)
            && asked.outcome.is_none_or(|it| it == hop.outcome)
    };
    let mut reader = Reader::within(recorded, asked.after, asked.from, asked.to)?;
    let (mut hops, mut looked_at, mut last) = (Vec::new(), 0, asked.after);
    let mut more = false;
    while let Some((seq, hop)) = reader.next()? {
        if hops.len() >= asked.limit || looked_at >= MOST_LOOKED_AT {
            more = true;
            break;
        }
        (looked_at, last) = (looked_at + 1, seq);
        if wanted(&hop) {
            let id = key.text(hop.id);
            let text = std::str::from_utf8(&id).unwrap_or_default();
            hops.push(export::row_json(seq, &hop, text).map_err(|error| ApiError::Internal(error.to_string()))?);
        }
    }
    Ok(json!({"hops": hops, "next_cursor": more.then(|| last.to_string())}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_whole_or_refused_whole() {
        let asked = read("from=2025-11-11&code=k3&creator=c1&outcome=deny&cursor=17&limit=500").unwrap();
        assert_eq!((asked.after, asked.limit, asked.outcome), (17, 500, Some(Outcome::Deny)));
        assert_eq!(asked.to, Timestamp::MAX);
        let faults = read("from=x&to=y&outcome=maybe&cursor=-1&limit=501&a=b").unwrap_err();
        let told: Vec<_> = faults.iter().map(|fault| (&*fault.field, fault.code)).collect();
        let expected = [
            ("from", "not_a_time"),
            ("to", "not_a_time"),
            ("outcome", "unknown_name"),
            ("cursor", "not_a_cursor"),
            ("limit", "out_of_range"),
            ("a", "unknown_field"),
        ];
        assert_eq!(told, expected);
        assert_eq!(read("from=2025-11-12&to=2025-11-11").unwrap_err()[0].code, "not_a_span");
    }
}
