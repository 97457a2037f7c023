//! `GET /v1/reports/…`: reports over stored links, each key seeing its own. A page looks at so many links at most, so that
//! no request holds the store for long; a summary looks at all of them, one request at a time.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::response::Json;
use serde_json::{Value, json};

use super::Api;
use super::query::{Walked, limit, walk};
use crate::catalog::store::LinkQuery;
use crate::control::fields::FieldFault;
use crate::control::guard::Caller;
use crate::control::keys::Role;
use crate::control::problem::ApiError;
use crate::domain::span::Span;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::{PlatformId, Vocabulary};
use crate::report::expiring::{Asked, Detail, Walk};

/// How far is looked ahead unless the caller says otherwise.
const USUAL_WITHIN: Span = Span::days(30);
/// Rows of a page unless the caller says otherwise, and at most.
const USUAL: usize = 100;
const MOST: usize = 500;
/// Links a page looks at, at most, and how many it reads at a time.
const MOST_LOOKED_AT: usize = 20_000;
const PAGE: usize = 500;
/// The longest text of a parameter, in bytes.
const LONGEST: usize = 255;

const KNOWN: [&str; 8] = ["within", "at", "creator", "platform", "include_dead", "summary", "cursor", "limit"];

/// A checked query.
#[derive(Debug, PartialEq, Eq)]
struct Expiring {
    within: Span,
    at: Timestamp,
    creator: Option<String>,
    platform: Option<PlatformId>,
    include_dead: bool,
    summary: bool,
    after: Option<String>,
    limit: usize,
}

fn read(raw: &str, words: &Vocabulary, now: Timestamp) -> Result<Expiring, Vec<FieldFault>> {
    let mut asked = Expiring {
        within: USUAL_WITHIN,
        at: now,
        creator: None,
        platform: None,
        include_dead: false,
        summary: false,
        after: None,
        limit: USUAL,
    };
    let Walked { given, mut faults } = walk(raw, LONGEST, |name, value, fault| {
        let mut flag = |target: &mut bool| match value {
            "true" => *target = true,
            "false" => *target = false,
            _ => fault("not_a_flag", "must be true or false".to_owned()),
        };
        match name {
            "include_dead" => flag(&mut asked.include_dead),
            "summary" => flag(&mut asked.summary),
            "creator" => asked.creator = Some(value.to_owned()),
            "cursor" => asked.after = Some(value.to_owned()),
            "within" => match value.parse() {
                Ok(within) => asked.within = within,
                Err(error) => fault("not_a_span", error.to_string()),
            },
            "at" => match value.parse() {
                Ok(at) => asked.at = at,
                Err(error) => fault("not_a_time", error.to_string()),
            },
            "platform" => match words.platform(value) {
                Some(id) => asked.platform = Some(id),
                None => {
                    let known = words.platforms().collect::<Vec<_>>().join(", ");
                    fault("unknown_name", format!("this name is not known: use one of {known}"));
                }
            },
            "limit" => match limit(value, MOST) {
                Ok(number) => asked.limit = number,
                Err(problem) => fault("out_of_range", problem),
            },
            _ => fault("unknown_field", format!("not known: use {}", KNOWN.join(", "))),
        }
    });
    if asked.summary {
        for name in ["cursor", "limit"] {
            if given.iter().any(|given| given == name) {
                let problem = "a summary is of all links and has no pages: leave this out";
                faults.push(FieldFault::new(name, "", "not_with_summary", problem));
            }
        }
    }
    if faults.is_empty() { Ok(asked) } else { Err(faults) }
}

pub(super) async fn expiring(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    RawQuery(raw): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let state = &api.state;
    let asked = read(raw.as_deref().unwrap_or_default(), &state.words, state.clock.now())?;
    // A platform sees the links bound to it; anyone else sees links bound to none as well.
    let mut links = LinkQuery { creator: asked.creator, ..LinkQuery::default() };
    if caller.role == Role::Platform {
        links.platform = asked.platform;
    }
    caller.narrow(&mut links, &state.words)?;
    let policy = state.policies.current();
    let (at, until) = (asked.at, asked.within.after(asked.at));
    let mut answer = json!({
        "at": at,
        "until": until,
        "policy_version": policy.version().to_string(),
    });
    let walked = Asked { at, until, platform: asked.platform.or(links.platform), links };
    let store = state.catalog.store();
    let mut walk = Walk::new(&**store, policy, Arc::clone(&state.words), walked, asked.after);

    if asked.summary {
        let _one_at_a_time = Arc::clone(&api.summaries).try_acquire_owned().map_err(|_| ApiError::Busy)?;
        let report = walk.gather(Detail::default(), |_| {}).await?;
        note_unreadable(&report.unreadable);
        answer["looked_at"] = json!(report.looked_at);
        answer["summary"] = json!(report.groups);
        answer["dead_links"] = json!(report.dead_links);
        return Ok(Json(answer));
    }
    let (mut rows, mut dead, mut looked_at) = (Vec::new(), Vec::new(), 0);
    while rows.len() + dead.len() < asked.limit && looked_at < MOST_LOOKED_AT {
        // One link may bring several rows; reading no more links than rows are wanted keeps a page near its limit.
        let most = PAGE.min(asked.limit - rows.len() - dead.len());
        let Some((found, unreadable)) = walk.next(most).await? else { break };
        looked_at += most;
        note_unreadable(&unreadable);
        for one in found {
            rows.extend(one.rows);
            dead.extend(one.dead.filter(|_| asked.include_dead));
        }
    }
    answer["rows"] = json!(rows);
    if asked.include_dead {
        answer["dead"] = json!(dead);
    }
    answer["next_cursor"] = json!(walk.cursor());
    Ok(Json(answer))
}

fn note_unreadable(codes: &[String]) {
    if !codes.is_empty() {
        tracing::warn!(links = codes.len(), first = %codes[0], "stored links that cannot be read are not in this report");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_whole_or_refused_whole() {
        let (words, now) = (Vocabulary::default(), Timestamp::from_millis(5));
        let asked = read("within=7d&creator=c1&platform=kuaishou&include_dead=true&limit=500", &words, now).unwrap();
        assert_eq!((asked.within, asked.limit, asked.at), (Span::days(7), 500, now));
        assert!(asked.include_dead && !asked.summary && asked.platform.is_some());
        let faults = read("within=soon&at=x&at=y&platform=moon&include_dead=1&summary=true&limit=0&a=b", &words, now);
        let named: Vec<_> = faults.unwrap_err().into_iter().map(|fault| (fault.field, fault.code)).collect();
        let expected = [
            ("within", "not_a_span"),
            ("at", "not_a_time"),
            ("at", "repeated"),
            ("platform", "unknown_name"),
            ("include_dead", "not_a_flag"),
            ("limit", "out_of_range"),
            ("a", "unknown_field"),
            ("limit", "not_with_summary"),
        ];
        assert_eq!(named, expected.map(|(field, code)| (field.to_owned(), code)));
    }
}
