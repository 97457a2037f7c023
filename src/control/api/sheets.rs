//! `GET /v1/reports/{links,funnel,settlement}`: reports of attribution as data, CSV or a page, each key seeing its own.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::Api;
use super::query::{Walked, walk};
use crate::control::fields::FieldFault;
use crate::control::guard::Caller;
use crate::control::problem::ApiError;
use crate::report::asked::{Kind, PARAMETERS, Question};
use crate::report::show::html::{self, Way};
use crate::report::show::{self, Form};

/// Rows of an object or a page unless the caller says otherwise. CSV has all of them.
const USUAL: usize = 1_000;
/// The longest text of a parameter, in bytes.
const LONGEST: usize = 1_024;

/// The forms there are over HTTP.
const FORMS: [Form; 3] = [Form::Json, Form::Csv, Form::Html];

pub(super) async fn links(
    state: State<Arc<Api>>,
    caller: Extension<Caller>,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    report(Kind::Links, state, caller, query, headers).await
}

pub(super) async fn funnel(
    state: State<Arc<Api>>,
    caller: Extension<Caller>,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    report(Kind::Funnel, state, caller, query, headers).await
}

pub(super) async fn settlement(
    state: State<Arc<Api>>,
    caller: Extension<Caller>,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    report(Kind::Settlement, state, caller, query, headers).await
}

async fn report(
    kind: Kind,
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let state = &api.state;
    let raw = raw.unwrap_or_default();
    let (mut question, form, mut faults) = read(&raw);
    caller.narrow_report(&mut question)?;
    let checked = question.check(kind, &state.words, state.clock.now()).map_err(|more| {
        faults.extend(
            more.into_iter().map(|fault| FieldFault::new(fault.field, &fault.value, fault.code, fault.problem)),
        );
    });
    let Some(asked) = checked.ok().filter(|_| faults.is_empty()) else { return Err(faults.into()) };
    let form = form.unwrap_or_else(|| preferred(&headers));
    let _one_of_few = Arc::clone(&api.lookups).try_acquire_owned().map_err(|_| ApiError::Busy)?;
    let mut sheet = state.reporter.report(kind, &asked).await?;
    show::cut(&mut sheet, asked.limit.or((form != Form::Csv).then_some(USUAL)));
    let mut bytes = Vec::new();
    match form {
        Form::Html => bytes = html::page(&sheet, &ways(&raw)).into_bytes(),
        other => show::write(&sheet, other, &mut bytes).map_err(|error| ApiError::Internal(error.to_string()))?,
    }
    let mut response = bytes.into_response();
    let answer = response.headers_mut();
    answer.insert(header::CONTENT_TYPE, HeaderValue::from_static(form.media_type()));
    answer.insert(header::VARY, HeaderValue::from_static("Accept, Authorization, Cookie"));
    if form == Form::Html {
        // Base64 in quotes: always a header value.
        let policy = HeaderValue::try_from(format!("{}; frame-ancestors 'none'", html::policy()));
        answer
            .insert(header::CONTENT_SECURITY_POLICY, policy.unwrap_or(HeaderValue::from_static("default-src 'none'")));
        answer.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    }
    if form == Form::Csv
        && let Ok(name) = HeaderValue::try_from(format!("attachment; filename=\"{kind}.csv\""))
    {
        answer.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

fn read(raw: &str) -> (Question, Option<Form>, Vec<FieldFault>) {
    let (mut question, mut form) = (Question::default(), None);
    let Walked { faults, .. } = walk(raw, LONGEST, |name, value, fault| match name {
        "format" => match Form::parse(value).filter(|form| FORMS.contains(form)) {
            Some(known) => form = Some(known),
            None => fault("unknown_name", "this name is not known: use one of json, csv, html".to_owned()),
        },
        name => match question.parameter(name) {
            Some(place) => *place = Some(value.to_owned()),
            None => fault("unknown_field", format!("not known: use {}, format", PARAMETERS.join(", "))),
        },
    });
    (question, form, faults)
}

/// The first form the caller names that there is; data for whoever names none.
fn preferred(headers: &HeaderMap) -> Form {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types = accepted.flat_map(|value| value.split(',')).map(|one| one.split(';').next().unwrap_or(one).trim());
    types
        .find_map(|one| match one {
            "application/json" => Some(Form::Json),
            "text/csv" => Some(Form::Csv),
            "text/html" => Some(Form::Html),
            _ => None,
        })
        .unwrap_or(Form::Json)
}

/// From a page back to the page of creators, and to the same report in other forms.
fn ways(raw: &str) -> Vec<Way> {
    let other = |form: Form| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in url::form_urlencoded::parse(raw.as_bytes()).filter(|(name, _)| name != "format") {
            query.append_pair(&name, &value);
        }
        format!("?{}", query.append_pair("format", form.as_str()).finish())
    };
    vec![
        Way { text: "首页 / Home".to_owned(), to: "/".to_owned() },
        Way { text: "CSV".to_owned(), to: other(Form::Csv) },
        Way { text: "JSON".to_owned(), to: other(Form::Json) },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_whole_or_refused_whole() {
        let (question, form, _) = read("from=2025-11-01&by=note,day&creator=c1&format=csv");
        assert_eq!(
            (question.by.as_deref(), question.creator.as_deref(), form),
            (Some("note,day"), Some("c1"), Some(Form::Csv))
        );
        let (_, _, faults) = read("format=text&colour=red&by=day&by=note");
        let named: Vec<_> = faults.iter().map(|fault| (&*fault.field, fault.code)).collect();
        assert_eq!(named, [("format", "unknown_name"), ("colour", "unknown_field"), ("by", "repeated")]);
    }

    #[test]
    fn a_page_leads_to_the_same_report_in_other_forms() {
        let ways = ways("by=note&format=html&creator=%E5%B0%8F%E7%BE%8E");
        assert_eq!(ways[1].to, "?by=note&creator=%E5%B0%8F%E7%BE%8E&format=csv");
        let mut headers = HeaderMap::new();
        assert_eq!(preferred(&headers), Form::Json);
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"));
        assert_eq!(preferred(&headers), Form::Html);
    }
}
