//! Requests to facts, outcomes to answers: the HTTP side of one click. Decides nothing.

use std::cell::Cell;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::header::{ACCEPT, ACCEPT_LANGUAGE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::service::Service;
use ipnet::IpNet;

use super::answer::{self, Answered, Wish};
use super::body::Body;
use super::client::forwarded;
use super::hold::Outbox;
use super::pages::Language;
use super::proxy::stream::Line;
use super::proxy::{self, Passing, Proxy, Visit, host_of};
use super::quick::Quick;
use super::route::{Route, route};
use super::watch::{Phase, Watch};
use super::well_known::WellKnown;
use crate::catalog::{FetchError, Lookup};
use crate::click::go::Gone;
use crate::click::preview::Looked;
use crate::click::visitor::Memory;
use crate::click::{Answer, Ask, Clicked, Worker};
use crate::config::settings::OnDeadline;
use crate::domain::hop::HopFlags;
use crate::domain::policy::Reason;
use crate::journal::{Commit, Durability};
use crate::telemetry::metrics::{Shed, bump};

/// Sent by browsers that fetch ahead: `prefetch`, `prefetch;prerender`, and `preview` of old.
const SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");
const PURPOSE: HeaderName = HeaderName::from_static("purpose");
/// Android web views name their app's package here; newer ones leave it out.
const REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");

/// Looks at links without a click, of one worker: so many at once …
const LOOKS: u32 = 40;
/// … and one more after each of these. A look asks the policy about every spot there is, hundreds of times a click's work.
const NEXT_LOOK: Duration = Duration::from_millis(50);

/// What every worker serves beside clicks.
pub struct Site {
    /// What short links begin with, without a slash at the end.
    pub public_url: String,
    /// What phones read.
    pub well_known: WellKnown,
}

impl Site {
    fn short_url(&self, code: &str) -> String {
        format!("{}/{code}", self.public_url)
    }
}

/// How many more looks a worker has time for.
pub struct Looks {
    left: Cell<u32>,
    since: Cell<Instant>,
}

impl Default for Looks {
    fn default() -> Self {
        Looks { left: Cell::new(LOOKS), since: Cell::new(Instant::now()) }
    }
}

impl Looks {
    fn take(&self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.since.get());
        let more = u32::try_from(passed.as_millis() / NEXT_LOOK.as_millis()).unwrap_or(LOOKS);
        if more > 0 {
            self.left.set(self.left.get().saturating_add(more).min(LOOKS));
            self.since.set(now);
        }
        let Some(left) = self.left.get().checked_sub(1) else { return false };
        self.left.set(left);
        true
    }
}

/// What all connections of a worker share.
pub struct Shared {
    /// Clicks.
    pub worker: Worker,
    /// What is served beside them.
    pub site: Arc<Site>,
    /// Looks without a click.
    pub looks: Looks,
    /// The short way of plain clicks.
    pub quick: Quick,
    /// What to do when a hop cannot be recorded in time.
    pub on_deadline: OnDeadline,
    /// Most header fields of a request.
    pub headers: usize,
    /// Proxies whose word on addresses is taken.
    pub trusted: Vec<IpNet>,
    /// Upstreams of proxied landings, where there are any.
    pub proxy: Option<Proxy>,
}

/// One connection's requests.
pub struct Clicks {
    /// Shared with the worker's other connections.
    pub shared: Rc<Shared>,
    /// The sweep's view of this connection.
    pub watch: Rc<Watch>,
    /// The peer, or the visitor the PROXY protocol named.
    pub peer: IpAddr,
    /// Whether the TCP peer is a trusted proxy.
    pub trusted_peer: bool,
    /// Where answers wait for their hops.
    pub outbox: Rc<Outbox>,
    /// HTTP/2 on this connection.
    pub multiplexed: bool,
    /// TLS on this connection.
    pub secure: bool,
    /// What is remembered of its visitor.
    pub memory: Memory,
}

impl Service<Request<Incoming>> for Clicks {
    type Response = Response<Body>;
    type Error = std::convert::Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        if !self.multiplexed {
            self.watch.enter(Phase::Serving);
        }
        let headers = request.headers();
        let seen = Seen::read(request.method(), headers);
        if let Some(proxy) = &self.shared.proxy
            && let Some(passing) = proxy.passing(host_of(request.uri(), headers), request.uri().path())
            && !self.is_click(&request, passing)
        {
            return self.pass(request, passing);
        }
        if let Some(refusal) = self.unfit(&request, &seen) {
            return Answering::Now(Some(refusal));
        }
        let nothing = || Answering::Now(Some(answer::missing(Reason::UnknownLink, None, wish(headers))));
        let asked = route(request.uri().path());
        let code = match asked {
            Route::Code(code) | Route::Preview(code) => code,
            Route::Go => "",
            Route::WellKnown(name) => match self.shared.site.well_known.file(name) {
                Some(file) => return Answering::Now(Some(answer::well_known(file))),
                None => return nothing(),
            },
            Route::None => return nothing(),
        };
        let ask = Ask {
            code,
            query: request.uri().query(),
            address: self.address(headers),
            agent: seen.agent,
            package: seen.package,
            flags: seen.flags,
            memory: Some(&self.memory),
        };
        let address = ask.address;
        let mut clicked = match asked {
            Route::Preview(_) => {
                return match look_at(&self.shared, &ask, headers) {
                    Some(answer) => Answering::Now(Some(answer)),
                    None => Answering::Later(Box::pin(cold(self.visit(request, address)))),
                };
            }
            Route::Go => match self.shared.worker.go(&ask) {
                Gone::Clicked(clicked) => clicked,
                Gone::Unfit(fault) => return Answering::Now(Some(answer::unfit(&fault, wish(headers)))),
            },
            _ => self.shared.worker.click(&ask),
        };
        match clicked.answer {
            Answer::NotLoaded => {
                return Answering::Later(Box::pin(cold(self.visit(request, address))));
            }
            Answer::Proxy(proxied) => {
                let visit = self.visit(request, address);
                let id = clicked.hop_id.map(Vec::from);
                return Answering::Later(Box::pin(proxy::page(visit, *proxied, id)));
            }
            _ => {}
        }
        match (clicked.commit.take(), self.shared.on_deadline) {
            // An answer that has left hyper can no longer become another one.
            (commit, OnDeadline::Refuse) => clicked.commit = commit,
            (Some(commit), OnDeadline::Redirect) => {
                self.outbox.hold(commit, redirects(&clicked));
            }
            (None, _) => {}
        }
        answering(&self.shared, clicked, code, headers)
    }
}

/// Whether an answer sends anybody anywhere: what fetches a preview gets a card instead.
pub(super) fn redirects(clicked: &Clicked) -> bool {
    clicked.answer.lands() && !clicked.preview
}

/// A look at a link; `None` while its code has not been loaded.
fn look_at(shared: &Shared, ask: &Ask<'_>, headers: &HeaderMap) -> Option<Answered> {
    let catalog = &shared.worker.gateway().catalog;
    if catalog.with(ask.code, |_| ()) == Lookup::Found(()) && !shared.looks.take(Instant::now()) {
        shared.worker.counters().shed(Shed::Preview);
        return Some(answer::busy(wish(headers)));
    }
    match shared.worker.preview(ask) {
        Looked::Shown(preview) => {
            let words = &shared.worker.gateway().words;
            Some(answer::preview(&preview, words, &shared.site.short_url(ask.code), wish(headers)))
        }
        Looked::Gone(reason) => Some(answer::missing(reason, None, wish(headers))),
        Looked::Unknown => Some(answer::missing(Reason::UnknownLink, None, wish(headers))),
        Looked::NotLoaded => None,
    }
}

impl Clicks {
    /// Whether a request to an upstream's own host is a click on a link all the same.
    fn is_click(&self, request: &Request<Incoming>, passing: Passing) -> bool {
        let code = match route(request.uri().path()) {
            Route::Code(code) | Route::Preview(code) => code,
            // A platform's signed click is one wherever it comes; without a signature it is a path like any other.
            Route::Go => return passing.mount && request.uri().query().is_some_and(|query| query.contains("sig=")),
            Route::WellKnown(_) | Route::None => return false,
        };
        let asks = matches!(*request.method(), Method::GET | Method::HEAD);
        // One that is not loaded yet may be a link: the store is asked before the upstream.
        passing.mount && asks && !matches!(self.shared.worker.gateway().catalog.with(code, |_| ()), Lookup::Unknown)
    }

    /// Passes a request through to an upstream.
    fn pass(&self, request: Request<Incoming>, passing: Passing) -> Answering {
        if let Some(refusal) = self.unfit_for_any(&request) {
            return Answering::Now(Some(refusal));
        }
        let address = self.address(request.headers());
        let (visit, body) = self.visit_with_body(request, address);
        Answering::Later(Box::pin(proxy::pass(visit, Some(body), passing)))
    }

    fn address(&self, headers: &HeaderMap) -> IpAddr {
        if self.trusted_peer { forwarded(headers, &self.shared.trusted, self.peer) } else { self.peer }
    }

    fn visit(&self, request: Request<Incoming>, address: IpAddr) -> Visit {
        self.visit_with_body(request, address).0
    }

    fn visit_with_body(&self, request: Request<Incoming>, address: IpAddr) -> (Visit, Incoming) {
        let (parts, body) = request.into_parts();
        let line = Line { outbox: Rc::clone(&self.outbox), watch: Rc::clone(&self.watch) };
        let secure = self.secure
            || self.trusted_peer && parts.headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
        let line = (!self.multiplexed).then_some(line);
        (Visit { shared: Rc::clone(&self.shared), parts, address, secure, line }, body)
    }

    /// Requests nobody may send, whatever they ask for.
    fn unfit_for_any(&self, request: &Request<Incoming>) -> Option<Answered> {
        let headers = request.headers();
        if headers.len() > self.shared.headers {
            self.shared.worker.counters().shed(Shed::BadRequest);
            return Some(answer::status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
        }
        let wrong_host = request.version() == Version::HTTP_11 && headers.get_all(HOST).iter().count() != 1;
        let body = !request.body().is_end_stream() && matches!(*request.method(), Method::GET | Method::HEAD);
        if wrong_host || body {
            self.shared.worker.counters().shed(Shed::BadRequest);
            return Some(answer::malformed());
        }
        None
    }

    /// Requests that are answered without looking at any link.
    fn unfit(&self, request: &Request<Incoming>, seen: &Seen<'_>) -> Option<Answered> {
        let headers = request.headers();
        if headers.len() > self.shared.headers {
            self.shared.worker.counters().shed(Shed::BadRequest);
            return Some(answer::status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Some(answer::wrong_method());
        }
        // A body on GET is a smuggler's tool; no browser sends one. RFC 9112 asks for exactly one Host.
        let wrong_host = request.version() == Version::HTTP_11 && seen.hosts != 1;
        if wrong_host || !request.body().is_end_stream() {
            self.shared.worker.counters().shed(Shed::BadRequest);
            return Some(answer::malformed());
        }
        None
    }
}

/// What one walk over the headers finds: cheaper than a look-up for each of them.
struct Seen<'a> {
    agent: &'a [u8],
    package: &'a [u8],
    hosts: usize,
    flags: HopFlags,
}

impl<'a> Seen<'a> {
    fn read(method: &Method, headers: &'a HeaderMap) -> Self {
        let mut seen = Seen { agent: &[], package: &[], hosts: 0, flags: HopFlags::default() };
        if *method == Method::HEAD {
            seen.flags = seen.flags.with(HopFlags::HEAD);
        }
        for (name, value) in headers {
            if *name == USER_AGENT {
                seen.agent = value.as_bytes();
            } else if *name == HOST {
                seen.hosts += 1;
            } else if *name == REQUESTED_WITH {
                seen.package = value.as_bytes();
            } else if (*name == SEC_PURPOSE || *name == PURPOSE) && value.as_bytes().starts_with(b"pre") {
                seen.flags = seen.flags.with(HopFlags::PREFETCH);
            }
        }
        seen
    }
}

/// What the asker would rather read.
pub(super) fn wish(headers: &HeaderMap) -> Wish {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Wish { json: text(ACCEPT).contains("application/json"), language: Language::choose(text(ACCEPT_LANGUAGE)) }
}

/// The answer to a click, whether or not it may leave yet.
pub(super) fn said(shared: &Shared, clicked: Clicked, code: &str, headers: &HeaderMap) -> Answered {
    let id = clicked.hop_id.as_ref().map(|id| id.as_slice());
    let card = |landing| answer::card(&shared.site.short_url(code), landing, id, wish(headers).language);
    match clicked.answer {
        Answer::Redirect(_) if clicked.preview => card(shared.worker.landing_taken(code, clicked.alternate).as_ref()),
        Answer::Refused(_) if clicked.preview => card(None),
        Answer::Redirect(location) => answer::redirect(location, id),
        Answer::Launch(launch) => answer::launched(&launch, id, wish(headers)),
        Answer::Refused(refused) => answer::refused(&refused, id, wish(headers)),
        Answer::Gone(reason) => answer::missing(reason, id, wish(headers)),
        Answer::BadSignature => answer::forged(wish(headers)),
        Answer::Unknown => answer::missing(Reason::UnknownLink, None, wish(headers)),
        // Proxied ones are answered elsewhere.
        Answer::NotLoaded | Answer::Proxy(_) => busy(shared, headers),
    }
}

/// Builds the answer and lets it go once the hop is kept as the journal's mode promises.
fn answering(shared: &Rc<Shared>, mut clicked: Clicked, code: &str, headers: &HeaderMap) -> Answering {
    let redirects = redirects(&clicked);
    let commit = clicked.commit.take();
    let answer = said(shared, clicked, code, headers);
    match commit {
        Some(commit) => {
            // Read only where it may be asked for: a plain redirect looks at no language.
            let refusing = redirects && shared.on_deadline == OnDeadline::Refuse;
            let otherwise = refusing.then(|| wish(headers));
            let shared = Rc::clone(shared);
            Answering::Committing(Committing { shared, commit, answer: Some(answer), redirects, otherwise })
        }
        None => Answering::Now(Some(answer)),
    }
}

fn busy(shared: &Shared, headers: &HeaderMap) -> Answered {
    shared.worker.counters().shed(Shed::Cold);
    answer::busy(wish(headers))
}

/// A click or a look at a code that has not been loaded yet: its store is asked, within bounds. Only until the catalog is
/// loaded.
async fn cold(visit: Visit) -> Response<Body> {
    let shared = Rc::clone(&visit.shared);
    let headers = &visit.parts.headers;
    let (code, look) = match route(visit.parts.uri.path()) {
        Route::Code(code) => (code, false),
        Route::Preview(code) => (code, true),
        Route::Go | Route::WellKnown(_) | Route::None => return busy(&shared, headers).map(Body::Full),
    };
    match shared.worker.gateway().catalog.fetch(code).await {
        Ok(Some(_)) => {}
        Ok(None) => {
            let host = host_of(&visit.parts.uri, headers);
            let passing = shared.proxy.as_ref().and_then(|proxy| proxy.passing(host, visit.parts.uri.path()));
            if let Some(passing) = passing {
                return proxy::pass(visit, None, passing).await;
            }
            return answer::missing(Reason::UnknownLink, None, wish(headers)).map(Body::Full);
        }
        Err(FetchError::Busy) => return busy(&shared, headers).map(Body::Full),
        Err(FetchError::Store(error)) => {
            tracing::error!(%error, "the catalog's store did not answer");
            return busy(&shared, headers).map(Body::Full);
        }
    }
    let Seen { agent, package, flags, .. } = Seen::read(&visit.parts.method, headers);
    let ask = Ask { code, query: visit.parts.uri.query(), address: visit.address, agent, package, flags, memory: None };
    if look {
        return look_at(&shared, &ask, headers).unwrap_or_else(|| busy(&shared, headers)).map(Body::Full);
    }
    // The link is in memory now.
    let clicked = shared.worker.click(&ask);
    if let Answer::Proxy(proxied) = clicked.answer {
        return proxy::page(visit, *proxied, clicked.hop_id.map(Vec::from)).await;
    }
    answering(&shared, clicked, code, headers).await.unwrap_or_else(|never| match never {})
}

/// The future of an answer.
pub enum Answering {
    /// Ready.
    Now(Option<Answered>),
    /// Waiting for the journal.
    Committing(Committing),
    /// Waiting for the catalog's store, at a cold start, or for an upstream.
    Later(Pin<Box<dyn Future<Output = Response<Body>>>>),
}

/// An answer that waits for its hop to be kept.
pub struct Committing {
    shared: Rc<Shared>,
    commit: Commit,
    answer: Option<Answered>,
    redirects: bool,
    /// How to say that the hop was not kept in time, where that is refused.
    otherwise: Option<Wish>,
}

impl Committing {
    fn settle(&mut self, durability: Durability, took: Duration) -> Option<Answered> {
        let counters = self.shared.worker.counters();
        counters.took(took);
        if durability == Durability::Unsafe && self.redirects {
            if let Some(wish) = self.otherwise {
                counters.shed(Shed::Journal);
                return Some(answer::busy(wish));
            }
            bump(&counters.unsafe_redirects, 1);
        }
        self.answer.take()
    }
}

impl Future for Answering {
    type Output = Result<Response<Body>, std::convert::Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = match self.get_mut() {
            Answering::Now(answer) => answer.take(),
            Answering::Committing(committing) => match Pin::new(&mut committing.commit).poll(cx) {
                Poll::Ready(committed) => committing.settle(committed.durability, committed.took),
                Poll::Pending => return Poll::Pending,
            },
            Answering::Later(future) => return future.as_mut().poll(cx).map(Ok),
        };
        // `None` only if polled again after it was ready, which no executor does.
        let answer = answer.unwrap_or_else(|| answer::status(StatusCode::INTERNAL_SERVER_ERROR));
        Poll::Ready(Ok(answer.map(Body::Full)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_have_a_bound_and_come_back_with_time() {
        let looks = Looks::default();
        let begun = looks.since.get();
        assert_eq!((0..100).filter(|_| looks.take(begun)).count(), LOOKS as usize);
        assert!(!looks.take(begun + NEXT_LOOK / 2));
        assert!(looks.take(begun + NEXT_LOOK) && !looks.take(begun + NEXT_LOOK));
        let later = begun + Duration::from_secs(86_400);
        assert_eq!((0..100).filter(|_| looks.take(later)).count(), LOOKS as usize, "never more than at first");
    }
}
