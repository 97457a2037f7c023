//! Outcomes as HTTP answers: the one place that maps what happened to a status. Never a permanent redirect.

use std::sync::LazyLock;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION,
    REFERRER_POLICY, RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::json;

use super::pages::{self, Language, Words, frame, launch};
use crate::click::Refused;
use crate::click::go::GoFault;
use crate::click::landings::Launch;
use crate::click::preview::{Preview, Shown};
use crate::domain::policy::Reason;
use crate::domain::vocabulary::Vocabulary;

/// An answer of the click listeners.
pub type Answered = Response<Full<Bytes>>;

/// The header that carries the click's id.
pub const HOP_ID: HeaderName = HeaderName::from_static("hop-id");

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");

/// What the asker would rather read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wish {
    /// JSON instead of a page.
    pub json: bool,
    /// The language.
    pub language: Language,
}

/// Whether bytes are visible ASCII, which may stand in a head as they are.
pub(super) fn is_field(bytes: &[u8]) -> bool {
    // Without a way out in between, so that many are looked at at once.
    bytes.iter().fold(true, |all, byte| all & byte.is_ascii_graphic())
}

/// `302` to a landing that has passed the allow-list and the policy.
pub fn redirect(location: Bytes, hop_id: Option<&[u8]>) -> Answered {
    // The allow-list lets visible ASCII only into the catalog, which is what a header value may hold.
    let Ok(location) = HeaderValue::from_maybe_shared(location) else {
        return status(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::FOUND;
    let headers = answer.headers_mut();
    headers.insert(LOCATION, location);
    headers.insert(CACHE_CONTROL, NO_STORE);
    put_hop_id(headers, hop_id);
    answer
}

/// `200`: a page that sends a permitted visitor on, or the same as JSON for a host app that does it by itself.
pub fn launched(launched: &Launch, hop_id: Option<&[u8]>, wish: Wish) -> Answered {
    let id = hop_id.and_then(|id| std::str::from_utf8(id).ok());
    let body = if wish.json {
        Body::Json(json!({
            "status": StatusCode::OK.as_u16(),
            "way": launched.way,
            "marketplace": launched.marketplace,
            "url": launched.url,
            "app_url": launched.app_url,
            "universal_link": launched.universal_link,
            "mini_program": launched.mini_program,
            "copy": launched.copy,
            "hop_id": id,
        }))
    } else {
        let policy = match launch::script(launched.way) {
            Some(launch::OPEN_SCRIPT) => &OPENS,
            Some(_) => &COPIES,
            None => &STILL,
        };
        Body::Page(launch::html(launched, id, wish.language), policy)
    };
    let mut answer = page(StatusCode::OK, body, hop_id, wish);
    // What is sent depends on the visitor's app; that nobody may store it is said too, this is for those who do.
    answer
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("Accept, Accept-Language, User-Agent, X-Requested-With"));
    answer
}

/// `403` by policy.
pub fn refused(refused: &Refused, hop_id: Option<&[u8]>, wish: Wish) -> Answered {
    let words = pages::refusal(refused, wish.language);
    let also_tried: Vec<_> = refused
        .also_tried
        .iter()
        .map(|tried| json!({"alternate": tried.alternate, "marketplace": tried.marketplace, "reason": tried.reason}))
        .collect();
    let more = json!({
        "platform": refused.platform,
        "marketplace": refused.marketplace,
        "agreement": refused.agreement,
        "opens_at": refused.opens_at,
        "ended_at": refused.ended_at,
        "also_tried": also_tried,
    });
    told(StatusCode::FORBIDDEN, refused.reason, &words, more, hop_id, wish)
}

/// `404` or `410`.
pub fn missing(reason: Reason, hop_id: Option<&[u8]>, wish: Wish) -> Answered {
    let code = match reason {
        Reason::LinkExpired | Reason::LinkDisabled => StatusCode::GONE,
        _ => StatusCode::NOT_FOUND,
    };
    told(code, reason, &pages::missing(reason, wish.language), json!({}), hop_id, wish)
}

/// `403`: what came signed is not to be believed. Says nothing of why: only operators see that.
pub fn forged(wish: Wish) -> Answered {
    told(StatusCode::FORBIDDEN, Reason::BadSignature, &pages::forged(wish.language), json!({}), None, wish)
}

/// `422`: well signed, but there is nowhere to go. The reason is the fault's.
pub fn unfit(fault: &GoFault, wish: Wish) -> Answered {
    let words = pages::unfit(&fault.to_string(), wish.language);
    told(StatusCode::UNPROCESSABLE_ENTITY, Reason::NoAgreement, &words, json!({"reason": fault.code()}), None, wish)
}

/// `503`: nothing is wrong with the request.
pub fn busy(wish: Wish) -> Answered {
    let words = pages::busy(wish.language);
    let mut answer = told(StatusCode::SERVICE_UNAVAILABLE, Reason::RateLimited, &words, json!({}), None, wish);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("2"));
    answer
}

/// `200`: a look at a link, which is no click.
pub fn preview(preview: &Preview, words: &Vocabulary, short_url: &str, wish: Wish) -> Answered {
    let body = if wish.json {
        Body::Json(pages::preview::json(preview, words, short_url))
    } else {
        Body::Page(pages::preview::html(preview, words, short_url, wish.language), &LOOKS)
    };
    let mut answer = page(StatusCode::OK, body, None, wish);
    answer.headers_mut().insert(ROBOTS, HeaderValue::from_static("noindex, nofollow"));
    answer
}

/// `200`: what a fetcher of link previews gets in place of a redirect.
pub fn card(short_url: &str, landing: Option<&Shown>, hop_id: Option<&[u8]>, language: Language) -> Answered {
    let body = pages::card::card(short_url, landing, language);
    page(StatusCode::OK, Body::Page(body, &STILL), hop_id, Wish { json: false, language })
}

/// `200`: a file phones learn from, kept by them for an hour.
pub fn well_known(file: Bytes) -> Answered {
    let mut answer = Response::new(Full::new(file));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// `405`.
pub fn wrong_method() -> Answered {
    let mut answer = status(StatusCode::METHOD_NOT_ALLOWED);
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    answer
}

/// `400` for a request no browser sends; the connection ends, as what follows on it cannot be trusted.
pub fn malformed() -> Answered {
    let mut answer = status(StatusCode::BAD_REQUEST);
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// A bare status.
pub fn status(code: StatusCode) -> Answered {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = code;
    answer.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    answer
}

fn told(
    code: StatusCode,
    reason: Reason,
    words: &Words,
    more: serde_json::Value,
    hop_id: Option<&[u8]>,
    wish: Wish,
) -> Answered {
    let id = hop_id.and_then(|id| std::str::from_utf8(id).ok());
    let body = if wish.json {
        let mut object = json!({
            "status": code.as_u16(),
            "title": words.title,
            "detail": words.why,
            "hop_id": id,
        });
        if let (Some(object), serde_json::Value::Object(more)) = (object.as_object_mut(), more) {
            if code != StatusCode::SERVICE_UNAVAILABLE {
                object.insert("reason".to_owned(), json!(reason));
            }
            object.extend(more);
        }
        Body::Json(object)
    } else {
        Body::Page(pages::html(words, id, wish.language), &STILL)
    };
    page(code, body, hop_id, wish)
}

/// What a page may do: look like every page, look like a preview, open an app, copy.
static STILL: LazyLock<HeaderValue> = LazyLock::new(|| frame::policy(None, None));
static LOOKS: LazyLock<HeaderValue> = LazyLock::new(|| frame::policy(Some(pages::preview::STYLE), None));
static OPENS: LazyLock<HeaderValue> = LazyLock::new(|| frame::policy(None, Some(launch::OPEN_SCRIPT)));
static COPIES: LazyLock<HeaderValue> = LazyLock::new(|| frame::policy(None, Some(launch::COPY_SCRIPT)));

/// What is said, and for a page what it may do.
enum Body {
    Json(serde_json::Value),
    Page(String, &'static LazyLock<HeaderValue>),
}

/// A page or an object of ours: never stored, nothing fetched by it, nothing run but what is named.
fn page(code: StatusCode, body: Body, hop_id: Option<&[u8]>, wish: Wish) -> Answered {
    let (kind, policy, body) = match body {
        Body::Json(object) => (JSON, &*STILL, object.to_string()),
        Body::Page(html, policy) => (HTML, &**policy, html),
    };
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = code;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(wish.language.tag()));
    headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Language"));
    headers.insert(CACHE_CONTROL, NO_STORE);
    headers.insert(REFERRER_POLICY, NO_REFERRER);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_SECURITY_POLICY, policy.clone());
    put_hop_id(headers, hop_id);
    answer
}

fn put_hop_id(headers: &mut http::HeaderMap, hop_id: Option<&[u8]>) {
    // An id is 32 characters of base64: always a header value.
    if let Some(Ok(value)) = hop_id.map(HeaderValue::from_bytes) {
        headers.insert(HOP_ID, value);
    }
}
