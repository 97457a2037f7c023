//! Asks an upstream: connects to its configured origins and nowhere else, keeps connections for the next request, tries
//! again where that is safe.
//!
//! Written on hyper's bare connection, as webhooks are. What decides whether a request may be sent again is whether its
//! connection was fresh and how far it came; a larger client keeps both to itself. A worker has its own connections, so
//! nothing here takes a lock; what one upstream may have under way is counted over all workers.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout, timeout_at};

use super::stream::{Cut, Outgoing, Progress};
use super::upstream::Upstream;
use crate::telemetry::proxy::{ProxyFigures, ProxyResult};

/// Connections of one worker to one origin that are kept …
const MOST_IDLE: usize = 32;
/// … and for how long. Servers commonly close theirs after a minute or more.
const IDLE: Duration = Duration::from_secs(45);
/// For a connection that has just been used to say that it is ready again.
const READY: Duration = Duration::from_millis(50);
/// Addresses of one name that are tried.
const MOST_ADDRESSES: usize = 3;
/// Bytes read ahead of an answer, and the longest its head may be.
const READ_AHEAD: usize = 64 << 10;
/// Header fields of an answer.
const MOST_HEADERS: usize = 100;

/// Why an upstream gave no answer that can be passed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// No origin could be connected to.
    Connect,
    /// No answer in time.
    Timeout,
    /// The connection ended before an answer, or what came is not HTTP.
    NoAnswer,
    /// An answer that may not be passed on.
    BadAnswer,
    /// A server error.
    ServerError,
    /// Too many requests under way.
    Busy,
    /// The visitor's upload is too large.
    TooLarge,
    /// The visitor's upload stalled or broke off.
    BadUpload,
}

impl Failure {
    /// How it is counted.
    pub fn result(self) -> ProxyResult {
        match self {
            Failure::Connect => ProxyResult::Connect,
            Failure::Timeout => ProxyResult::Timeout,
            Failure::NoAnswer => ProxyResult::NoAnswer,
            Failure::BadAnswer => ProxyResult::BadAnswer,
            Failure::ServerError => ProxyResult::ServerError,
            Failure::Busy => ProxyResult::Busy,
            Failure::TooLarge | Failure::BadUpload => ProxyResult::BadUpload,
        }
    }
}

struct Idle {
    sender: SendRequest<Outgoing>,
    since: Instant,
}

/// One worker's connections to one upstream.
pub struct Pool {
    upstream: Arc<Upstream>,
    /// By origin, the one used last at the end.
    idle: RefCell<Vec<Vec<Idle>>>,
}

/// A request as every attempt sends it.
pub struct Question {
    /// GET, HEAD or POST.
    pub method: Method,
    /// Path and query.
    pub target: http::Uri,
    /// Headers, without `Host`.
    pub headers: HeaderMap,
}

/// A connection whose answer is on its way.
pub struct Lease {
    pool: Rc<Pool>,
    origin: usize,
    sender: SendRequest<Outgoing>,
    _under_way: UnderWay,
}

/// A request under way.
struct UnderWay {
    figures: Arc<ProxyFigures>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.figures.begun(-1);
    }
}

/// An open connection.
struct Open(Arc<ProxyFigures>);

impl Open {
    fn new(figures: &Arc<ProxyFigures>) -> Self {
        figures.opened(1);
        Open(Arc::clone(figures))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.opened(-1);
    }
}

impl Lease {
    /// The upstream's figures.
    pub fn figures(&self) -> &ProxyFigures {
        &self.pool.upstream.figures
    }

    /// The upstream.
    pub fn upstream(&self) -> &Upstream {
        &self.pool.upstream
    }

    /// Keeps the connection for the next request: all of the answer has come.
    pub fn give_back(self) {
        let Lease { pool, origin, sender, .. } = self;
        if sender.is_closed() {
            return;
        }
        let mut idle = pool.idle.borrow_mut();
        let Some(kept) = idle.get_mut(origin) else { return };
        let now = Instant::now();
        kept.retain(|other| now - other.since < IDLE && !other.sender.is_closed());
        if kept.len() < MOST_IDLE {
            kept.push(Idle { sender, since: now });
        }
    }

    /// Notes that an answer was cut off; dropping the lease then closes the connection.
    pub fn cut(&self, why: &Cut) {
        let upstream = &self.pool.upstream;
        match why {
            Cut::Broken(_) | Cut::Silent => {
                tracing::debug!(upstream = upstream.settings.name, %why, "an answer was cut off");
                upstream.health.failed(self.origin, why);
            }
            Cut::TooLarge => {
                tracing::warn!(
                    upstream = upstream.settings.name,
                    most = upstream.settings.max_response_bytes,
                    "an answer outgrew max_response_bytes and was cut off"
                );
            }
            Cut::VisitorLeft => {}
        }
    }
}

/// What one attempt came to.
enum Attempt {
    Answered(Response<Incoming>, SendRequest<Outgoing>),
    /// Nothing was sent: the body is whole, and the reason.
    NotConnected(Outgoing, io::Error),
    /// Sent perhaps, and nothing came back.
    NoAnswer {
        /// The connection had served before.
        reused: bool,
        /// The reason.
        error: hyper::Error,
    },
}

impl Pool {
    /// No connection yet.
    pub fn new(upstream: Arc<Upstream>) -> Rc<Self> {
        let idle = upstream.health.origins().iter().map(|_| Vec::new()).collect();
        Rc::new(Pool { upstream, idle: RefCell::new(idle) })
    }

    /// The upstream.
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// Asks until the head of an answer is there, within the upstream's bounds. Dropping the future takes the request back.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn ask(
        self: &Rc<Self>,
        question: Question,
        body: Outgoing,
        progress: Option<Rc<Progress>>,
    ) -> Result<(Response<Incoming>, Lease), Failure> {
        let upstream = &self.upstream;
        let permit = Arc::clone(&upstream.under_way).try_acquire_owned().map_err(|_| Failure::Busy)?;
        upstream.figures.begun(1);
        let under_way = UnderWay { figures: Arc::clone(&upstream.figures), _permit: permit };
        let begun = Instant::now();
        let head_timeout = upstream.settings.head_timeout;
        let asked = Cell::new(0);
        let mut attempts = std::pin::pin!(self.attempts(&question, body, &asked, progress.as_deref()));
        let answered = loop {
            // An upload may take its time, as long as it moves.
            let since = progress.as_ref().map_or(begun, |progress| progress.moved.get().max(begun));
            match timeout_at(since + head_timeout, attempts.as_mut()).await {
                Ok(answered) => break answered,
                Err(_) if progress.as_ref().is_some_and(|progress| progress.moved.get() > since) => {}
                Err(_) if progress.as_ref().is_some_and(|progress| !progress.done.get()) => {
                    break Err(Failure::BadUpload);
                }
                Err(_) => {
                    upstream.health.failed(asked.get(), &format_args!("time-out: no answer within {head_timeout:?}"));
                    break Err(Failure::Timeout);
                }
            }
        };
        let (response, sender) = answered?;
        upstream.figures.took(begun.elapsed());
        upstream.health.answered(asked.get());
        Ok((response, Lease { pool: Rc::clone(self), origin: asked.get(), sender, _under_way: under_way }))
    }

    /// One attempt after the other; `asked` is the origin of the last.
    async fn attempts(
        &self,
        question: &Question,
        body: Outgoing,
        asked: &Cell<usize>,
        progress: Option<&Progress>,
    ) -> Result<(Response<Incoming>, SendRequest<Outgoing>), Failure> {
        let upstream = &self.upstream;
        let safe = matches!(question.method, Method::GET | Method::HEAD);
        let mut left = upstream.settings.retries;
        let mut tried = Vec::new();
        asked.set(upstream.health.pick(&tried));
        // What may not be sent twice goes out on a connection of its own.
        let mut fresh = !safe;
        let mut body = Some(body);
        loop {
            let sent = body.take().unwrap_or(Outgoing::Empty);
            let failure = match self.attempt(asked.get(), question, sent, fresh).await {
                Attempt::Answered(response, sender) => return Ok((response, sender)),
                // It closed what it had kept open: that says nothing against it, and costs no attempt.
                Attempt::NoAnswer { reused: true, .. } if safe => {
                    upstream.figures.retried();
                    fresh = true;
                    continue;
                }
                Attempt::NoAnswer { .. } if progress.is_some_and(|progress| progress.too_large.get()) => {
                    return Err(Failure::TooLarge);
                }
                Attempt::NoAnswer { .. } if progress.is_some_and(|progress| progress.broken.get()) => {
                    return Err(Failure::BadUpload);
                }
                Attempt::NotConnected(whole, error) => {
                    upstream.health.failed(asked.get(), &error);
                    body = Some(whole);
                    Failure::Connect
                }
                Attempt::NoAnswer { error, .. } => {
                    upstream.health.failed(asked.get(), &format_args!("no answer: {error}"));
                    Failure::NoAnswer
                }
            };
            // What has not been sent at all may go to another origin, whatever it is.
            if left == 0 || !(safe || failure == Failure::Connect) {
                return Err(failure);
            }
            left -= 1;
            upstream.figures.retried();
            tried.push(asked.get());
            asked.set(upstream.health.pick(&tried));
            fresh = true;
        }
    }

    async fn attempt(&self, origin: usize, question: &Question, body: Outgoing, fresh: bool) -> Attempt {
        let mut sender = None;
        if !fresh {
            sender = self.kept(origin).await;
        }
        let reused = sender.is_some();
        let mut sender = match sender {
            Some(sender) => sender,
            None => match self.connect(origin).await {
                Ok(sender) => sender,
                Err(error) => {
                    let shown = self.upstream.health.origins().get(origin).map_or("", |state| &state.origin.shown);
                    tracing::debug!(upstream = self.upstream.settings.name, origin = shown, %error, "no connection");
                    return Attempt::NotConnected(body, error);
                }
            },
        };
        let mut request = Request::new(body);
        *request.method_mut() = question.method.clone();
        *request.uri_mut() = question.target.clone();
        *request.headers_mut() = question.headers.clone();
        if let Some(host) = self.upstream.hosts.get(origin) {
            request.headers_mut().insert(http::header::HOST, host.clone());
        }
        match sender.send_request(request).await {
            Ok(response) => Attempt::Answered(response, sender),
            Err(error) => {
                tracing::debug!(upstream = self.upstream.settings.name, %error, reused, "no answer");
                Attempt::NoAnswer { reused, error }
            }
        }
    }

    /// The connection used last, if one is still good.
    async fn kept(&self, origin: usize) -> Option<SendRequest<Outgoing>> {
        loop {
            let Idle { mut sender, since } = self.idle.borrow_mut().get_mut(origin)?.pop()?;
            if since.elapsed() >= IDLE || sender.is_closed() {
                continue;
            }
            if sender.is_ready() || matches!(timeout(READY, sender.ready()).await, Ok(Ok(()))) {
                return Some(sender);
            }
        }
    }

    async fn connect(&self, origin: usize) -> io::Result<SendRequest<Outgoing>> {
        let upstream = &self.upstream;
        let state = upstream.health.origins().get(origin).ok_or(io::ErrorKind::NotFound)?;
        let addresses = state.addresses();
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "its name leads nowhere"));
        }
        let all = async {
            let stream = tcp(&addresses).await?;
            drop(stream.set_nodelay(true));
            match upstream.names.get(origin) {
                Some(Some(name)) => {
                    let name: ServerName<'static> = name.clone();
                    let stream = upstream.tls.connect(name, stream).await.map_err(|error| {
                        let reason = format!("TLS: {error}");
                        io::Error::new(error.kind(), reason)
                    })?;
                    handshake(stream, &upstream.figures).await
                }
                _ => handshake(stream, &upstream.figures).await,
            }
        };
        let within = upstream.settings.connect_timeout;
        timeout(within, all).await.unwrap_or_else(|_| {
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("time-out: no connection within {within:?}")))
        })
    }
}

async fn tcp(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses.iter().take(MOST_ADDRESSES) {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn handshake<S>(stream: S, figures: &Arc<ProxyFigures>) -> io::Result<SendRequest<Outgoing>>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let mut builder = http1::Builder::new();
    builder.max_buf_size(READ_AHEAD).max_headers(MOST_HEADERS);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let open = Open::new(figures);
    drop(spawn_local(async move {
        // What ends it is told to the request that was under way.
        drop(connection.await);
        drop(open);
    }));
    Ok(sender)
}
