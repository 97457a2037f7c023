//! `GET /v1/links/{code}/stats`: a link's clicks, from the rollups. One that was clicked ten million times costs no more than
//! any other.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::response::Json;
use serde_json::{Map, Value, json};

use super::Api;
use super::body::Named;
use super::query::{Walked, walk};
use crate::attribution::stats::figures::{Answer, Dimension, Figures, Key, Question};
use crate::control::fields::FieldFault;
use crate::control::guard::Caller;
use crate::control::problem::ApiError;
use crate::domain::time::{DAY, Timestamp};

/// Days that are shown unless the caller says otherwise, today the last.
const USUAL_DAYS: i64 = 30;
/// Days that can be shown by the hour.
const MOST_HOURLY_DAYS: i64 = 100;
/// The longest text of a parameter, in bytes.
const LONGEST: usize = 64;

const KNOWN: [&str; 3] = ["from", "to", "by"];

/// What one link can be told apart by.
const BY: [Dimension; 8] = [
    Dimension::Day,
    Dimension::Hour,
    Dimension::Platform,
    Dimension::Surface,
    Dimension::Placement,
    Dimension::Marketplace,
    Dimension::Outcome,
    Dimension::Reason,
];

fn read(raw: &str, code: &str, now: Timestamp) -> Result<Question, Vec<FieldFault>> {
    let (mut from, mut to, mut by) = (None, None, Dimension::Day);
    let time = |value: &str, fault: &mut dyn FnMut(&'static str, String)| match value.parse::<Timestamp>() {
        Ok(at) => Some(at),
        Err(error) => {
            fault("not_a_time", error.to_string());
            None
        }
    };
    let Walked { mut faults, .. } = walk(raw, LONGEST, |name, value, fault| match name {
        "from" => from = time(value, fault),
        "to" => to = time(value, fault),
        "by" => match Dimension::parse(value).filter(|dimension| BY.contains(dimension)) {
            Some(dimension) => by = dimension,
            None => {
                let known = BY.map(Dimension::as_str).join(", ");
                fault("unknown_name", format!("this name is not known: use one of {known}"));
            }
        },
        _ => fault("unknown_field", format!("not known: use {}", KNOWN.join(", "))),
    });
    let tomorrow = Timestamp::of_beijing_day(now.beijing_day() + 1);
    let to = to.unwrap_or(tomorrow);
    let from = from.unwrap_or_else(|| to.plus_micros(-USUAL_DAYS * DAY));
    if faults.is_empty() && from >= to {
        faults.push(FieldFault::new("to", &to.to_string(), "not_a_span", "must be later than `from`"));
    }
    if faults.is_empty() && by == Dimension::Hour && to > from.plus_micros(MOST_HOURLY_DAYS * DAY) {
        let problem = format!("by the hour at most {MOST_HOURLY_DAYS} days are shown: use by=day, or a shorter time");
        faults.push(FieldFault::new("by", "hour", "too_many_rows", problem));
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(Question { from, to, code: Some(code.into()), creator: None, platform: None, marketplace: None, by: vec![by] })
}

pub(super) async fn of_link(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Named(code): Named,
    RawQuery(raw): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let state = &api.state;
    let link = api.link(&code).await?;
    caller.may_see(&link, &state.words)?;
    let question = read(raw.as_deref().unwrap_or_default(), &code, state.clock.now())?;
    let by = question.by.first().copied().unwrap_or(Dimension::Day);
    let answer = state.stats.figures(question).await?;
    let mut body = answered(&answer, by);
    body["code"] = json!(code);
    body["rules_version"] = json!(state.stats.rules_version());
    Ok(Json(body))
}

fn answered(answer: &Answer, by: Dimension) -> Value {
    let rows = answer.lines.iter().map(|line| {
        let key = match line.key.first() {
            Some(Key::Time(at)) => json!(at),
            Some(Key::Text(text)) if !text.is_empty() => json!(text),
            _ => Value::Null,
        };
        let mut row = Map::from_iter([(by.as_str().to_owned(), key)]);
        put(&mut row, &line.figures, line.visitors);
        Value::Object(row)
    });
    let rows: Value = rows.collect();
    let mut total = Map::new();
    put(&mut total, &answer.total, answer.visitors);
    json!({"from": answer.from, "to": answer.to, "by": by.as_str(), "total": total, "rows": rows})
}

fn put(row: &mut Map<String, Value>, figures: &Figures, visitors: Option<u64>) {
    row.insert("clicks".to_owned(), json!(figures.clicks()));
    row.insert("visitors".to_owned(), json!(visitors));
    if let Value::Object(more) = json!(figures) {
        row.extend(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_whole_or_refused_whole() {
        let now: Timestamp = "2025-11-11T20:00:00+08:00".parse().unwrap();
        let usual = read("", "k3", now).unwrap();
        assert_eq!(usual.from.to_string(), "2025-10-13T00:00:00+08:00");
        assert_eq!(usual.to.to_string(), "2025-11-12T00:00:00+08:00");
        assert_eq!(usual.by, [Dimension::Day]);
        let hourly = read("from=2025-11-11&to=2025-11-11T06:00:00Z&by=hour", "k3", now).unwrap();
        assert_eq!(
            (hourly.by.as_slice(), hourly.to.to_string()),
            (&[Dimension::Hour][..], "2025-11-11T14:00:00+08:00".into())
        );
        let told = |raw: &str| {
            let faults = read(raw, "k3", now).unwrap_err();
            faults.into_iter().map(|fault| (fault.field, fault.code)).collect::<Vec<_>>()
        };
        let expected = [("from", "not_a_time"), ("by", "unknown_name"), ("colour", "unknown_field")];
        assert_eq!(told("from=soon&by=code&colour=red"), expected.map(|(field, code)| (field.to_owned(), code)));
        assert_eq!(told("from=2025-11-12&to=2025-11-12"), [("to".to_owned(), "not_a_span")]);
        assert_eq!(told("from=2025-01-01&by=hour"), [("by".to_owned(), "too_many_rows")]);
    }
}
