//! What visitors are told when an upstream gives no page: that it does not, and that the shop itself may still be reached.

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::json;

use super::client::Failure;
use crate::edge::answer::{self, HOP_ID, Wish};
use crate::edge::body::Body;
use crate::edge::pages::upstream::{self, Trouble};
use crate::edge::service::wish;

/// The upstream gave no page. `landing` is where a plain redirect would have led: the policy allowed it.
pub fn failed(
    headers: &HeaderMap,
    status: StatusCode,
    failure: Failure,
    landing: Option<&str>,
    hop_id: Option<&[u8]>,
) -> Response<Body> {
    let Wish { json, language } = wish(headers);
    let trouble = trouble(failure);
    let (title, why) = upstream::words(trouble, language);
    let id = hop_id.and_then(|id| std::str::from_utf8(id).ok());
    let (kind, body) = if json {
        let object = json!({
            "status": status.as_u16(),
            "title": title,
            "detail": why,
            "reason": "upstream_failed",
            "cause": failure.result().as_str(),
            "landing": landing,
            "hop_id": id,
        });
        ("application/json", object.to_string())
    } else {
        ("text/html; charset=utf-8", upstream::html(trouble, landing, id, language))
    };
    let mut answer = Response::new(Body::Full(Full::new(Bytes::from(body))));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    let fixed = HeaderValue::from_static;
    headers.insert(CONTENT_TYPE, fixed(kind));
    headers.insert(CONTENT_LANGUAGE, fixed(language.tag()));
    headers.insert(VARY, fixed("Accept, Accept-Language"));
    headers.insert(CACHE_CONTROL, fixed("no-store"));
    headers.insert(REFERRER_POLICY, fixed("no-referrer"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, fixed("nosniff"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        fixed("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"),
    );
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, fixed("2"));
    }
    if let Some(Ok(id)) = hop_id.map(HeaderValue::from_bytes) {
        headers.insert(HOP_ID, id);
    }
    answer
}

/// The hop could not be kept in time, and the settings say to refuse then.
pub fn busy(headers: &HeaderMap) -> Response<Body> {
    answer::busy(wish(headers)).map(Body::Full)
}

/// A few words for programs.
pub fn plain(status: StatusCode, words: &'static str) -> Response<Body> {
    let mut answer = Response::new(Body::Full(Full::new(Bytes::from_static(words.as_bytes()))));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// A method that is not passed through.
pub fn wrong_method(posts: bool) -> Response<Body> {
    let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "This method is not passed through.\n");
    let allowed = if posts { "GET, HEAD, POST" } else { "GET, HEAD" };
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

fn trouble(failure: Failure) -> Trouble {
    match failure {
        Failure::Timeout => Trouble::Slow,
        Failure::Busy => Trouble::Crowded,
        Failure::TooLarge => Trouble::TooLarge,
        Failure::BadUpload => Trouble::Incomplete,
        Failure::Connect | Failure::NoAnswer | Failure::BadAnswer | Failure::ServerError => Trouble::Unreachable,
    }
}
