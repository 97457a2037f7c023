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
use crate::edge::pages::{self, Language, Words};
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
    let words = words(failure, landing.is_some(), language);
    let id = hop_id.and_then(|id| std::str::from_utf8(id).ok());
    let (kind, body) = if json {
        let object = json!({
            "status": status.as_u16(),
            "title": words.title,
            "detail": words.why,
            "reason": "upstream_failed",
            "cause": failure.result().as_str(),
            "landing": landing,
            "hop_id": id,
        });
        ("application/json", object.to_string())
    } else {
        let page = pages::html_with_link(&words, landing.map(|url| (url, way_out(language))), id, language);
        ("text/html; charset=utf-8", page)
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

fn way_out(language: Language) -> &'static str {
    match language {
        Language::Zh => "直接打开商品页面",
        Language::En => "Open the shop's own page",
    }
}

fn words(failure: Failure, linked: bool, language: Language) -> Words {
    let zh = language == Language::Zh;
    let why = match (failure, zh) {
        (Failure::Timeout, true) => "合作方的页面没有及时响应。",
        (Failure::Timeout, false) => "The partner's page did not answer in time.",
        (Failure::Busy, true) => "合作方的页面现在访问人数过多。",
        (Failure::Busy, false) => "Too many visitors are at the partner's page just now.",
        (Failure::TooLarge, true) => "提交的内容过大。",
        (Failure::TooLarge, false) => "What was sent is too large.",
        (Failure::BadUpload, true) => "提交的内容没有完整到达。",
        (Failure::BadUpload, false) => "What was sent did not arrive whole.",
        (_, true) => "合作方的页面暂时无法访问。",
        (_, false) => "The partner's page cannot be reached just now.",
    };
    let next = match (linked, zh) {
        (true, true) => "链接本身没有问题：可以稍后刷新，或者：",
        (true, false) => "Nothing is wrong with the link: reload in a while, or:",
        (false, true) => "请稍后重试。",
        (false, false) => "Try again in a while.",
    };
    Words {
        title: if zh { "页面暂时打不开" } else { "This page cannot be shown now" }.to_owned(),
        why: why.to_owned(),
        also: None,
        next: next.to_owned(),
    }
}
