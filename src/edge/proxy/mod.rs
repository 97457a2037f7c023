//! The page itself instead of a redirect, for deals that keep visitors inside the app: a click that the policy allows and
//! the agreement lands by `proxy` is answered with what a configured upstream answers, as it comes. What such a page asks
//! for afterwards is passed through too, at a host of its own or below `/_p/{name}/`; that is no click.
//!
//! Never asks an upstream that is not configured, never sends a request twice that may not be, never passes a redirect on
//! that leads anywhere else than to the upstream or a host a click may land on. Every click that got here is recorded,
//! whatever happens: how its visitor was sent on is known when the upstream's answer begins or has failed.

pub mod client;
pub mod headers;
pub mod health;
pub mod page;
pub mod rewrite;
pub mod stream;
pub mod upstream;

use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use http::header::{CACHE_CONTROL, LOCATION};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};
use hyper::body::Incoming;

use self::client::{Failure, Lease, Pool, Question};
use self::headers::Visitor;
use self::rewrite::Place;
use self::stream::{Line, Outgoing, Progress, Streamed};
use self::upstream::Upstreams;
use super::answer::HOP_ID;
use super::body::Body;
use super::service::Shared;
use crate::click::Proxied;
use crate::click::deferred::Deferred;
use crate::config::settings::OnDeadline;
use crate::domain::landing::Way;
use crate::journal::Durability;
use crate::telemetry::metrics::{Shed, bump};
use crate::telemetry::proxy::{ProxyFigures, ProxyResult};

/// What begins the paths of upstreams without a mount.
const PREFIX: &str = "/_p/";

/// One worker's upstreams.
pub struct Proxy {
    pools: Vec<Rc<Pool>>,
}

/// A request that is an upstream's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Passing {
    /// The upstream's number.
    upstream: usize,
    /// Where in the path its own path begins.
    from: usize,
    /// Whether it came to a host of the upstream's own, where single names may be links too.
    pub mount: bool,
}

/// A request whose visitor may leave before it is answered.
struct Waiting<'f>(Option<&'f ProxyFigures>);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(figures) = self.0 {
            figures.ended(ProxyResult::VisitorLeft);
        }
    }
}

/// Who asks, and over which connection.
pub struct Visit {
    /// Shared by the worker's connections.
    pub shared: Rc<Shared>,
    /// The request's head.
    pub parts: Parts,
    /// The visitor's address.
    pub address: IpAddr,
    /// Whether over TLS.
    pub secure: bool,
    /// The connection, where it carries one request at a time.
    pub line: Option<Line>,
}

impl Proxy {
    /// Without a connection yet.
    pub fn new(upstreams: &Upstreams) -> Self {
        Proxy { pools: upstreams.iter().map(|upstream| Pool::new(upstream.clone())).collect() }
    }

    /// Whether a request is an upstream's, by its host and path.
    pub fn passing(&self, host: &str, path: &str) -> Option<Passing> {
        for (number, pool) in self.pools.iter().enumerate() {
            let settings = &pool.upstream().settings;
            if settings.is_mount(host) {
                return Some(Passing { upstream: number, from: 0, mount: true });
            }
            let below = path.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix(settings.name.as_str()));
            if settings.mount.is_none() && below.is_some_and(|rest| rest.starts_with('/')) {
                return Some(Passing { upstream: number, from: PREFIX.len() + settings.name.len(), mount: false });
            }
        }
        None
    }
}

/// The host a request asks, as HTTP/2 and HTTP/1 say it.
pub fn host_of<'r>(uri: &'r Uri, headers: &'r HeaderMap) -> &'r str {
    match uri.authority() {
        Some(authority) => authority.as_str(),
        None => headers.get(http::header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default(),
    }
}

impl Visit {
    fn visitor(&self) -> Visitor<'_> {
        Visitor { address: self.address, host: host_of(&self.parts.uri, &self.parts.headers), secure: self.secure }
    }

    fn pool(&self, number: usize) -> Option<Rc<Pool>> {
        self.shared.proxy.as_ref()?.pools.get(number).cloned()
    }

    /// Resolves when the visitor has left, where that can be seen.
    async fn left(line: Option<&Line>) {
        std::future::poll_fn(|cx| match line {
            Some(line) => line.outbox.poll_left(cx),
            None => Poll::Pending,
        })
        .await;
    }
}

/// An answer that may be passed on.
struct Passable {
    response: Response<Incoming>,
    lease: Lease,
    location: Option<HeaderValue>,
}

/// Why there is none.
enum Unasked {
    Failed(Failure),
    VisitorLeft,
}

async fn ask(
    pool: &Rc<Pool>,
    question: Question,
    body: Outgoing,
    progress: Option<Rc<Progress>>,
    place: Place<'_>,
    visit: &Visit,
) -> Result<Passable, Unasked> {
    let line = visit.line.as_ref();
    let markets = visit.shared.worker.gateway().words.markets();
    let target = question.target.clone();
    let method = question.method.clone();
    let mut waiting = Waiting(Some(&pool.upstream().figures));
    let answered = {
        // An upload is read while the answer is waited for: what is readable then is the upload.
        let watched = if progress.is_none() { line } else { None };
        let mut asking = pin!(pool.ask(question, body, progress));
        let mut left = pin!(Visit::left(watched));
        std::future::poll_fn(|cx| match asking.as_mut().poll(cx) {
            Poll::Ready(answered) => Poll::Ready(Some(answered)),
            Poll::Pending => left.as_mut().poll(cx).map(|()| None),
        })
        .await
    };
    if answered.is_some() {
        waiting.0 = None;
    }
    let (response, lease) = match answered {
        None => return Err(Unasked::VisitorLeft),
        Some(Err(failure)) => return Err(Unasked::Failed(failure)),
        Some(Ok(answered)) => answered,
    };
    let upstream = pool.upstream();
    let settings = &upstream.settings;
    let bad = |problem: &str| {
        let shown: String = target.to_string().chars().take(200).collect();
        tracing::warn!(upstream = settings.name, asked = shown, problem, "an answer may not be passed on");
        Err(Unasked::Failed(Failure::BadAnswer))
    };
    if response.status().is_informational() {
        return bad("it changes the protocol, which was not asked for");
    }
    let length = http_body::Body::size_hint(response.body()).exact();
    if method != Method::HEAD && length.is_some_and(|length| length > settings.max_response_bytes) {
        return bad("it is larger than max_response_bytes");
    }
    match rewrite::location(response.headers(), &target, upstream, place, markets) {
        Ok(location) => Ok(Passable { response, lease, location }),
        Err(rewrite::OutOfBounds) => bad("its Location leads to neither the upstream nor a host a click may land on"),
    }
}

/// The answer as visitors get it.
fn passed_on(passable: Passable, place: Place<'_>, line: Option<Line>) -> Response<Body> {
    let Passable { response, lease, location } = passable;
    let settings = &lease.upstream().settings;
    let (most, silence) = (settings.max_response_bytes, settings.idle_timeout);
    let (parts, body) = response.into_parts();
    let mut headers = headers::to_visitor(&parts.headers, place);
    if let Some(location) = location {
        headers.insert(LOCATION, location);
    }
    let mut answer = Response::new(Body::Streamed(Box::new(Streamed::new(body, lease, line, most, silence))));
    *answer.status_mut() = parts.status;
    *answer.headers_mut() = headers;
    answer
}

/// A click's record until it is settled. A visitor who leaves meanwhile has clicked all the same.
struct Unsettled {
    shared: Rc<Shared>,
    deferred: Option<Deferred>,
}

impl Unsettled {
    /// The click is to be decided again elsewhere, and is recorded there.
    fn forget(mut self) {
        self.deferred = None;
    }

    /// Records the click; whether its answer may leave.
    async fn settle(mut self, way: Way) -> bool {
        let Some(deferred) = self.deferred.take() else { return true };
        let committed = self.shared.worker.settle(&deferred, way).await;
        let counters = self.shared.worker.counters();
        counters.took(committed.took);
        if committed.durability == Durability::Unsafe {
            if self.shared.on_deadline == OnDeadline::Refuse {
                counters.shed(Shed::Journal);
                return false;
            }
            bump(&counters.unsafe_redirects, 1);
        }
        true
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        if let Some(deferred) = self.deferred.take() {
            // Nobody is left to wait for it.
            drop(self.shared.worker.settle(&deferred, Way::Proxy));
        }
    }
}

/// How a request is refused that no upstream is asked, whether it is a click or not.
fn never_asked(headers: &HeaderMap) -> Option<(StatusCode, ProxyResult, &'static str)> {
    if headers::asks_for_websocket(headers) {
        let words =
            "WebSocket is not passed through this gateway: use plain requests, or connect to the shop directly.\n";
        return Some((StatusCode::NOT_IMPLEMENTED, ProxyResult::WebSocket, words));
    }
    let words = "This request has come through here before.\n";
    headers::came_round(headers).then_some((StatusCode::LOOP_DETECTED, ProxyResult::NotAllowed, words))
}

/// Why an answer is none to a click, whose visitor is to see a page: a server error, a page nobody here has kept, and a
/// question for a password that would not be passed on.
fn no_page(status: StatusCode) -> Option<Failure> {
    match status {
        StatusCode::NOT_MODIFIED | StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            Some(Failure::BadAnswer)
        }
        status => status.is_server_error().then_some(Failure::ServerError),
    }
}

/// Answers a click with the page itself.
pub async fn page(visit: Visit, proxied: Proxied, hop_id: Option<Vec<u8>>) -> Response<Body> {
    let Proxied { upstream: number, landing, deferred } = proxied;
    let unsettled = Unsettled { shared: Rc::clone(&visit.shared), deferred: Some(deferred) };
    let landing = String::from_utf8_lossy(&landing).into_owned();
    let id = hop_id.as_deref();
    let told = |status, failure| page::failed(&visit.parts.headers, status, failure, Some(&landing), id);
    let (Some(pool), Some(target)) = (visit.pool(number), target_of(&landing)) else {
        // Both were there when the click was decided.
        unsettled.settle(Way::UpstreamFailed).await;
        return told(StatusCode::BAD_GATEWAY, Failure::Connect);
    };
    let upstream = Arc::clone(pool.upstream());
    let (settings, figures) = (&upstream.settings, &upstream.figures);
    let place = match settings.mount.as_deref() {
        Some(mount) if settings.is_mount(visit.visitor().host) => Place::Mount(mount),
        // What the page asks for is there only. The click is decided, recorded and counted where it is answered.
        Some(mount) => {
            unsettled.forget();
            return moved(mount, &visit.parts.uri);
        }
        None => Place::Prefix(&settings.name),
    };
    if let Some((status, result, words)) = never_asked(&visit.parts.headers) {
        figures.ended(result);
        unsettled.settle(Way::UpstreamFailed).await;
        return page::plain(status, words);
    }
    let question = Question {
        method: visit.parts.method.clone(),
        target,
        headers: headers::to_upstream(&visit.parts.headers, &visit.visitor(), place, id),
    };
    let asked = ask(&pool, question, Outgoing::Empty, None, place, &visit).await;
    let failure = match asked {
        Ok(passable) => match no_page(passable.response.status()) {
            Some(failure) => failure,
            None => {
                let mut answer = passed_on(passable, place, visit.line.clone());
                let headers = answer.headers_mut();
                headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
                if let Some(Ok(id)) = id.map(HeaderValue::from_bytes) {
                    headers.insert(HOP_ID, id);
                }
                return if unsettled.settle(Way::Proxy).await { answer } else { page::busy(&visit.parts.headers) };
            }
        },
        Err(Unasked::Failed(failure)) => failure,
        // Nobody reads it.
        Err(Unasked::VisitorLeft) => return told(StatusCode::BAD_GATEWAY, Failure::NoAnswer),
    };
    figures.ended(failure.result());
    if unsettled.settle(Way::UpstreamFailed).await {
        told(status_of(failure), failure)
    } else {
        page::busy(&visit.parts.headers)
    }
}

/// Passes what a page asks for through to its upstream. No click.
pub async fn pass(visit: Visit, body: Option<Incoming>, passing: Passing) -> Response<Body> {
    let headers = &visit.parts.headers;
    let Some(pool) = visit.pool(passing.upstream) else { return page::plain(StatusCode::NOT_FOUND, "") };
    let upstream = Arc::clone(pool.upstream());
    let (settings, figures) = (&upstream.settings, &upstream.figures);
    let refuse = |status, result, words| {
        figures.ended(result);
        page::plain(status, words)
    };
    if let Some((status, result, words)) = never_asked(headers) {
        return refuse(status, result, words);
    }
    let method = visit.parts.method.clone();
    let posts = method == Method::POST;
    if !(matches!(method, Method::GET | Method::HEAD) || posts && passing.mount) {
        figures.ended(ProxyResult::NotAllowed);
        return page::wrong_method(passing.mount);
    }
    let path = visit.parts.uri.path().get(passing.from..).unwrap_or_default();
    if !settings.may_ask(path) {
        return refuse(StatusCode::NOT_FOUND, ProxyResult::NotAllowed, "This path is not passed through.\n");
    }
    let target = match visit.parts.uri.query() {
        Some(query) => format!("{path}?{query}").parse(),
        None => path.parse(),
    };
    let Ok(target) = target else {
        return refuse(StatusCode::BAD_REQUEST, ProxyResult::NotAllowed, "This path cannot be read.\n");
    };
    let most = settings.max_request_bytes;
    if posts && body.as_ref().is_some_and(|body| http_body::Body::size_hint(body).lower() > most) {
        let words = "The body is too large.\n";
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, ProxyResult::BadUpload, words);
    }
    let place = if passing.mount {
        Place::Mount(settings.mount.as_deref().unwrap_or_default())
    } else {
        Place::Prefix(&settings.name)
    };
    let question = Question { method, target, headers: headers::to_upstream(headers, &visit.visitor(), place, None) };
    let (body, progress) = match body {
        Some(body) if posts => {
            let (body, progress) = Outgoing::upload(body, most);
            (body, Some(progress))
        }
        _ => (Outgoing::Empty, None),
    };
    match ask(&pool, question, body, progress, place, &visit).await {
        Ok(passable) => passed_on(passable, place, visit.line.clone()),
        Err(Unasked::Failed(failure)) => {
            figures.ended(failure.result());
            page::failed(headers, status_of(failure), failure, None, None)
        }
        Err(Unasked::VisitorLeft) => page::plain(StatusCode::BAD_GATEWAY, ""),
    }
}

/// The same request at an upstream's own host, by whichever scheme and with whatever query it came.
fn moved(mount: &str, uri: &Uri) -> Response<Body> {
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let mut answer = page::plain(StatusCode::FOUND, "");
    match HeaderValue::try_from(format!("//{mount}{target}")) {
        Ok(location) => drop(answer.headers_mut().insert(LOCATION, location)),
        Err(_) => *answer.status_mut() = StatusCode::BAD_REQUEST,
    }
    answer
}

/// What is asked of the upstream for a landing: its path and query.
fn target_of(landing: &str) -> Option<Uri> {
    let rest = landing.strip_prefix("https://")?;
    let rest = &rest[rest.find(['/', '?', '#']).unwrap_or(rest.len())..];
    let rest = &rest[..rest.find('#').unwrap_or(rest.len())];
    if rest.starts_with('/') { rest.parse().ok() } else { format!("/{rest}").parse().ok() }
}

fn status_of(failure: Failure) -> StatusCode {
    match failure {
        Failure::Timeout => StatusCode::GATEWAY_TIMEOUT,
        Failure::Busy => StatusCode::SERVICE_UNAVAILABLE,
        Failure::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Failure::BadUpload => StatusCode::REQUEST_TIMEOUT,
        Failure::Connect | Failure::NoAnswer | Failure::BadAnswer | Failure::ServerError => StatusCode::BAD_GATEWAY,
    }
}
