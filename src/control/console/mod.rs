//! The page of creators at `/` of the control listener: log in with an API key, paste anything, get a short link with its
//! QR code, and see for each placement whether it works now, why not, and until when. Rendered here, without a script.
//!
//! Knows no rule of its own: drafts, callers and decisions are those of the API. A session speaks for its key, no more; a
//! request that changes something comes from a page of this origin and carries its form's token.
//!
//! - `session`: who is logged in; `form`: what a form sends;
//! - `page`, `show`: markup; `words`: faults in the reader's language.

mod form;
mod page;
mod session;
mod show;
mod words;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use self::form::Form;
use self::page::{Around, Making};
pub(super) use self::session::Sessions;
use self::session::{LASTS_SECONDS, Session, digest};
use self::show::Show;
use super::ControlState;
use super::answer::short_url;
use super::api::body;
use super::fields::FieldFault;
use super::guard::Caller;
use super::issue::issue;
use super::keys::{KeyText, Role};
use super::problem::ApiError;
use super::qr::{Drawing, Drawn};
use crate::catalog::store::LinkQuery;
use crate::clock::Clock;
use crate::domain::code::Code;
use crate::domain::link::Link;
use crate::wording::{Language, date};

/// The cookie of a session.
pub(super) const SESSION: &str = "hopgate_session";
const LANGUAGE: &str = "hopgate_lang";
/// Links in the list.
const LATEST: usize = 20;
const YEAR_SECONDS: i64 = 365 * 86_400;
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

struct Console {
    state: ControlState,
    sessions: Arc<Sessions>,
    /// The one style, nothing else, and forms to here only.
    policy: HeaderValue,
}

/// The routes of the page.
pub(super) fn router(state: ControlState, sessions: Arc<Sessions>) -> Router {
    let hash = STANDARD.encode(digest(page::STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    );
    // Base64 in quotes: always a header value.
    let policy = HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    Router::new()
        .route("/", get(home))
        .route("/login", post(log_in))
        .route("/logout", post(log_out))
        .route("/links", post(make))
        .route("/qr", get(qr))
        .with_state(Arc::new(Console { state, sessions, policy }))
}

/// Whoever sent a request.
struct Visitor {
    language: Language,
    /// The page would be sent over https.
    secure: bool,
    session: Option<(String, Session, Caller)>,
}

impl Console {
    /// Who is asking. A session whose key was revoked is none.
    async fn visitor(&self, headers: &HeaderMap) -> Result<Visitor, ApiError> {
        let language = match cookie(headers, LANGUAGE) {
            Some("en") => Language::En,
            Some("zh") => Language::Zh,
            _ => Language::choose(text(headers, &header::ACCEPT_LANGUAGE)),
        };
        let secure =
            text(headers, &FORWARDED_PROTO) == "https" || text(headers, &header::ORIGIN).starts_with("https://");
        let mut visitor = Visitor { language, secure, session: None };
        if let Some(id) = cookie(headers, SESSION)
            && let Some(session) = self.sessions.find(id, self.state.clock.now())
        {
            match Caller::of_key(&*self.state.keys, session.key).await {
                Ok(caller) => visitor.session = Some((id.to_owned(), session, caller)),
                Err(ApiError::BadKey) => self.sessions.end(id),
                Err(error) => return Err(error),
            }
        }
        Ok(visitor)
    }

    /// Notes that a creator is at work.
    fn noticed(&self, visitor: &Visitor, request: &Request) {
        if let Some((_, _, caller)) = &visitor.session {
            self.state.sightings.note(caller, request);
        }
    }

    fn around<'a>(&self, visitor: &'a Visitor, here: String) -> Around<'a> {
        let rehearsed = matches!(self.state.clock, Clock::Shifted(_)).then(|| {
            let now = date(self.state.clock.now());
            match visitor.language {
                Language::Zh => format!("彩排中：网关时间为 {now}（北京时间）。"),
                Language::En => format!("Rehearsal: the gateway's time is {now} (Beijing time)."),
            }
        });
        let session = visitor.session.as_ref().map(|(_, session, caller)| {
            let who = caller.scope.clone().unwrap_or_else(|| caller.role.to_string());
            (session.token.as_str(), who)
        });
        Around { language: visitor.language, session, here, notice: rehearsed }
    }

    fn page(&self, visitor: &Visitor, status: StatusCode, title: &str, body: &str, here: String) -> Response {
        let html = self.around(visitor, here).page(title, body);
        let mut response = (status, html).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(visitor.language.tag()));
        self.guard(response)
    }

    /// What every answer here carries. Not `no-referrer`: browsers would then send forms with the origin `null`.
    fn guard(&self, mut response: Response) -> Response {
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
        headers.insert(header::VARY, HeaderValue::from_static("Cookie, Accept-Language"));
        headers.insert(header::CONTENT_SECURITY_POLICY, self.policy.clone());
        response
    }

    fn go(&self, to: &str, cookies: &[String]) -> Response {
        let mut response = StatusCode::SEE_OTHER.into_response();
        let headers = response.headers_mut();
        // Both are made of our own words, hex digits and codes.
        if let Ok(to) = HeaderValue::try_from(to) {
            headers.insert(header::LOCATION, to);
        }
        for cookie in cookies.iter().filter_map(|cookie| HeaderValue::try_from(cookie).ok()) {
            headers.append(header::SET_COOKIE, cookie);
        }
        self.guard(response)
    }

    /// A page that says why not.
    fn refused(&self, visitor: &Visitor, error: &ApiError) -> Response {
        let (status, text) = words::refusal(error, visitor.language);
        let language = visitor.language;
        let title = language.pick("没有成功", "That did not work");
        let body = page::message(title, &text, language.pick("返回", "Back"));
        self.page(visitor, status, title, &body, String::new())
    }

    /// When it is not even known who asks.
    fn unknown(&self, headers: &HeaderMap, error: &ApiError) -> Response {
        let language = Language::choose(text(headers, &header::ACCEPT_LANGUAGE));
        self.refused(&Visitor { language, secure: false, session: None }, error)
    }

    fn log_in_page(&self, visitor: &Visitor, status: StatusCode, wrong: Option<&str>) -> Response {
        let title = visitor.language.pick("登录", "Log in");
        self.page(visitor, status, title, &page::login(visitor.language, wrong), String::new())
    }

    /// The form, with a link above it and the latest ones below.
    async fn main_page(
        &self,
        visitor: &Visitor,
        status: StatusCode,
        link: Option<&Link>,
        form: &Form,
        faults: &[FieldFault],
        noted: &[&str],
    ) -> Response {
        let Some((_, session, caller)) = &visitor.session else {
            return self.log_in_page(visitor, StatusCode::OK, None);
        };
        let (state, language) = (&self.state, visitor.language);
        let mut query = LinkQuery::default();
        let latest = match caller.narrow(&mut query, &state.words) {
            Ok(()) => state.catalog.store().latest(&query, LATEST).await.map_err(ApiError::from),
            Err(error) => Err(error),
        };
        let latest = match latest {
            Ok(page) => page.links,
            Err(error) => return self.refused(visitor, &error),
        };
        let policy = state.policies.current();
        let show = Show { state, policy: &policy, at: state.clock.now(), language };
        let mut body = String::new();
        for text in noted.iter().filter_map(|code| words::note(code, language)).filter(|_| link.is_some()) {
            body.push_str(&page::note(&text));
        }
        body.push_str(&link.map(|link| show.link(link)).unwrap_or_default());
        if issues(caller) {
            let names_creators = !(caller.role == Role::Creator && caller.scope.is_some());
            let making = Making { language, words: &state.words, token: &session.token, form, faults, names_creators };
            body.push_str(&making.html());
        }
        body.push_str(&page::reports(language));
        body.push_str(&show.latest(&latest));
        let title = language.pick("创作者页面", "Page of creators");
        let here = link.map(|link| format!("&{}", of(&link.code, noted))).unwrap_or_default();
        self.page(visitor, status, title, &body, here)
    }

    async fn find(&self, caller: &Caller, code: &str) -> Result<Link, ApiError> {
        // What cannot be a code is not asked for.
        Code::parse(code).map_err(|_| ApiError::UnknownLink)?;
        let link = self.state.catalog.store().get(code).await?.ok_or(ApiError::UnknownLink)?;
        caller.may_see(&link, &self.state.words)?;
        Ok(link)
    }
}

/// The query that shows a link, and what came up when it was made.
fn of(code: &Code, noted: &[&str]) -> String {
    if noted.is_empty() { format!("code={code}") } else { format!("code={code}&noted={}", noted.join(",")) }
}

async fn home(State(console): State<Arc<Console>>, request: Request) -> Response {
    let headers = request.headers();
    let visitor = match console.visitor(headers).await {
        Ok(visitor) => visitor,
        Err(error) => return console.unknown(headers, &error),
    };
    console.noticed(&visitor, &request);
    let query = Form::read(request.uri().query().unwrap_or_default().as_bytes());
    let code = query.text("code");
    let noted = words::noted(query.text("noted").split(','));
    if let language @ ("zh" | "en") = query.text("lang") {
        let to = Code::parse(code).map_or_else(|_| "/".to_owned(), |code| format!("/?{}", of(&code, &noted)));
        return console.go(&to, &[set_cookie(LANGUAGE, language, YEAR_SECONDS, visitor.secure)]);
    }
    let Some((_, _, caller)) = &visitor.session else { return console.log_in_page(&visitor, StatusCode::OK, None) };
    let link = match code {
        "" => None,
        code => match console.find(caller, code).await {
            Ok(link) => Some(link),
            Err(error) => return console.refused(&visitor, &error),
        },
    };
    console.main_page(&visitor, StatusCode::OK, link.as_ref(), &Form::default(), &[], &noted).await
}

async fn log_in(State(console): State<Arc<Console>>, request: Request) -> Response {
    let headers = request.headers().clone();
    let visitor = match console.visitor(&headers).await {
        Ok(visitor) => visitor,
        Err(error) => return console.unknown(&headers, &error),
    };
    let (language, now) = (visitor.language, console.state.clock.now());
    if !same_origin(&headers) {
        return console.refused(&visitor, &foreign());
    }
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
    if let Err(seconds) = console.sessions.may_try(peer, now) {
        let text = match language {
            Language::Zh => format!("登录失败次数过多：请 {} 分钟后再试。", seconds.div_ceil(60)),
            Language::En => format!("Too many log-ins in vain: try again in {} minutes.", seconds.div_ceil(60)),
        };
        let mut response = console.log_in_page(&visitor, StatusCode::TOO_MANY_REQUESTS, Some(&text));
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        return response;
    }
    let form = match body::bytes(request).await {
        Ok(bytes) => Form::read(&bytes),
        Err(error) => return console.refused(&visitor, &error),
    };
    let key = KeyText::parse(form.text("key").trim());
    let caller = match &key {
        Some(key) => Caller::of_key(&*console.state.keys, key.hash()).await,
        None => Err(ApiError::BadKey),
    };
    match (caller, key) {
        (Ok(caller), Some(key)) if caller.role != Role::Merchant => match console.sessions.begin(key.hash(), now) {
            Ok(id) => {
                tracing::info!(by = %caller.by, "console: logged in");
                console.go("/", &[set_cookie(SESSION, &id, LASTS_SECONDS, visitor.secure)])
            }
            Err(error) => console.refused(&visitor, &error.into()),
        },
        (Ok(_), _) => {
            let text = language.pick(
                "这是商家密钥：此页面供创作者、平台和运维使用。",
                "This is a merchant's key: the page is for creators, platforms and ops.",
            );
            console.log_in_page(&visitor, StatusCode::FORBIDDEN, Some(text))
        }
        (Err(ApiError::BadKey), _) => {
            console.sessions.failed(peer, now);
            tracing::warn!("console: a log-in in vain");
            let text = language.pick(
                "密钥无效或已吊销：请检查是否完整复制。",
                "This key is not known or was revoked: check that you copied all of it.",
            );
            console.log_in_page(&visitor, StatusCode::FORBIDDEN, Some(text))
        }
        (Err(error), _) => console.refused(&visitor, &error),
    }
}

async fn log_out(State(console): State<Arc<Console>>, request: Request) -> Response {
    match sent(&console, request).await {
        Ok((visitor, _)) => {
            if let Some((id, _, _)) = &visitor.session {
                console.sessions.end(id);
            }
            console.go("/", &[set_cookie(SESSION, "", 0, visitor.secure)])
        }
        Err(response) => *response,
    }
}

async fn make(State(console): State<Arc<Console>>, request: Request) -> Response {
    let (visitor, form) = match sent(&console, request).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    let Some((_, _, caller)) = &visitor.session else { return console.log_in_page(&visitor, StatusCode::OK, None) };
    if !issues(caller) {
        let error = ApiError::Forbidden(format!("a {} key may not do this: use a key of creator, ops", caller.role));
        return console.refused(&visitor, &error);
    }
    let faults = match issue(&console.state, caller, form.draft(), console.state.clock.now()).await {
        Ok((link, warnings)) => {
            let noted = words::noted(warnings.iter().map(|warning| &*warning.code));
            return console.go(&format!("/?{}", of(&link.code, &noted)), &[]);
        }
        Err(ApiError::Invalid(faults)) => faults,
        Err(ApiError::SlugTaken(code)) => {
            let problem = "belongs to another link: choose another slug, or leave it out to have one drawn";
            vec![FieldFault::new("slug", code.as_str(), "slug_taken", problem)]
        }
        Err(error) => return console.refused(&visitor, &error),
    };
    console.main_page(&visitor, StatusCode::UNPROCESSABLE_ENTITY, None, &form, &faults, &[]).await
}

/// The QR code of a link as a picture to keep.
async fn qr(State(console): State<Arc<Console>>, RawQuery(raw): RawQuery, headers: HeaderMap) -> Response {
    let visitor = match console.visitor(&headers).await {
        Ok(visitor) => visitor,
        Err(error) => return console.unknown(&headers, &error),
    };
    let Some((_, _, caller)) = &visitor.session else {
        return console.log_in_page(&visitor, StatusCode::FORBIDDEN, None);
    };
    let query = Form::read(raw.unwrap_or_default().as_bytes());
    let drawn = match console.find(caller, query.text("code")).await {
        Ok(link) => {
            let drawing = Drawing { size: 1_024, ..Drawing::default() };
            Drawn::new(&short_url(&console.state, &link), drawing).and_then(|drawn| drawn.png()).map_err(ApiError::from)
        }
        Err(error) => Err(error),
    };
    match drawn {
        Ok(image) => {
            let mut response = image.into_response();
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("image/png"));
            console.guard(response)
        }
        Err(error) => console.refused(&visitor, &error),
    }
}

/// A form sent by somebody logged in, from a page of ours; else the answer to give.
async fn sent(console: &Console, request: Request) -> Result<(Visitor, Form), Box<Response>> {
    let headers = request.headers().clone();
    let visitor = console.visitor(&headers).await.map_err(|error| Box::new(console.unknown(&headers, &error)))?;
    console.noticed(&visitor, &request);
    if !same_origin(&headers) {
        return Err(Box::new(console.refused(&visitor, &foreign())));
    }
    let form = match body::bytes(request).await {
        Ok(bytes) => Form::read(&bytes),
        Err(error) => return Err(Box::new(console.refused(&visitor, &error))),
    };
    let Some((_, session, _)) = &visitor.session else {
        let text = visitor.language.pick("登录已过期：请重新登录。", "Your session is over: log in again.");
        return Err(Box::new(console.log_in_page(&visitor, StatusCode::FORBIDDEN, Some(text))));
    };
    // Hashes are compared: how long that takes tells nothing about the token.
    if digest(form.text("token")) != digest(&session.token) {
        return Err(Box::new(console.refused(&visitor, &foreign())));
    }
    Ok((visitor, form))
}

fn foreign() -> ApiError {
    ApiError::Forbidden("the form did not come from this page: open the page again and send it from there".to_owned())
}

fn issues(caller: &Caller) -> bool {
    matches!(caller.role, Role::Creator | Role::Ops)
}

/// Whether a form was sent by a page of this origin, as far as the browser says. One that says nothing is old: the form's
/// token speaks then.
fn same_origin(headers: &HeaderMap) -> bool {
    let site = headers.get(&SEC_FETCH_SITE).map(HeaderValue::as_bytes);
    if site.is_some_and(|site| site != b"same-origin") {
        return false;
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let host = text(headers, &header::HOST);
    let origin = origin.to_str().unwrap_or_default();
    !host.is_empty() && origin.split_once("://").is_some_and(|(_, from)| from.eq_ignore_ascii_case(host))
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// A cookie's value.
pub(super) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
}

fn set_cookie(name: &str, value: &str, seconds: i64, secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    #[test]
    fn forms_of_other_sites_are_told_apart() {
        for (pairs, same) in [
            (&[("host", "h:1"), ("origin", "http://h:1"), ("sec-fetch-site", "same-origin")][..], true),
            (&[("host", "h:1"), ("origin", "https://H:1")], true),
            (&[("host", "h:1")], true),
            (&[("host", "h:1"), ("origin", "http://h:2")], false),
            (&[("host", "h:1"), ("origin", "null")], false),
            (&[("host", "h:1"), ("origin", "http://evil.test/h:1")], false),
            (&[("host", "h:1"), ("origin", "http://h:1"), ("sec-fetch-site", "cross-site")], false),
            (&[("host", "h:1"), ("sec-fetch-site", "same-site")], false),
            (&[("origin", "http://")], false),
        ] {
            assert_eq!(same_origin(&headers(pairs)), same, "{pairs:?}");
        }
    }

    #[test]
    fn cookies_are_found_among_others() {
        let all = headers(&[("cookie", "a=1; hopgate_session=ab; hopgate_lang=en")]);
        assert_eq!((cookie(&all, SESSION), cookie(&all, LANGUAGE)), (Some("ab"), Some("en")));
        assert_eq!(cookie(&all, "hopgate"), None);
        assert!(set_cookie(SESSION, "ab", 9, true).ends_with("HttpOnly; SameSite=Strict; Max-Age=9; Secure"));
    }
}
