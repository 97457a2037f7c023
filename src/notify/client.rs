//! Sends one event to one receiver. Bounded in time and in what it reads, follows no redirect, and connects to the very
//! addresses that were checked.
//!
//! Written on hyper's bare connection, which is in the tree anyway: what matters here is that nothing between the check and
//! the connection resolves a name again, keeps a connection, obeys a proxy variable or follows a redirect, all of which a
//! larger client would have to be talked out of.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::request::Builder;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use url::{Position, Url};

use super::courier::Receiver;
use super::outbox::Due;
use super::target::{Target, TargetError, resolve_url};
use crate::config::tree::Fault;
use crate::config::webhooks::WebhookSettings;
use crate::domain::time::Timestamp;
use crate::outbound::{ConnectError, RootsError, Tls, connect};

/// The longest the body of an answer is waited for.
const BODY: Duration = Duration::from_secs(2);
/// From the first look-up to the end of the answer.
const WHOLE: Duration = Duration::from_secs(15);
/// Of an answer's body so much is read, so that the receiver can end in order; the rest is dropped.
const MOST_ANSWER: usize = 64 << 10;

/// Why an event did not get an answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The receiver cannot be sent to.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// It does not accept.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// TLS failed.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// It does not speak HTTP, or broke off.
    #[error("no HTTP answer: {0}")]
    Http(String),
    /// Too slow.
    #[error("no answer within {} s", WHOLE.as_secs())]
    TimedOut,
    /// It answered, but did not take the event.
    #[error("not taken: {0}")]
    NotTaken(String),
    /// It would not take the event however often it is sent.
    #[error("not sent: {0}")]
    Useless(String),
}

/// An answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// When the receiver wants to be asked again, in seconds, if it says so.
    pub retry_after: Option<u32>,
}

/// One fixed address that requests go to.
pub(super) struct Line {
    url: Url,
    allow_private: bool,
    tls: Tls,
}

impl Line {
    /// A line to an address, which must be one from the settings.
    pub(super) fn new(url: Url, allow_private: bool, tls: Tls) -> Self {
        Line { url, allow_private, tls }
    }

    /// A request of this method to the address, with `more` behind its query.
    pub(super) fn request(&self, method: Method, more: &str) -> Builder {
        let url = &self.url;
        let host = match url.port() {
            Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
            None => url.host_str().unwrap_or_default().to_owned(),
        };
        let mut path = url[Position::BeforePath..Position::AfterQuery].to_owned();
        if !more.is_empty() {
            path.push(if url.query().is_some() { '&' } else { '?' });
            path.push_str(more);
        }
        Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, host)
            .header(USER_AGENT, concat!("hopgate/", env!("CARGO_PKG_VERSION")))
    }

    /// Sends a request, its body as JSON where there is one; the answer with what was read of its body.
    pub(super) async fn send(&self, request: Builder, body: &str) -> Result<(Answer, Vec<u8>), SendError> {
        let request = if body.is_empty() { request } else { request.header(CONTENT_TYPE, "application/json") };
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes())));
        let request = request.map_err(|error| SendError::Http(error.to_string()))?;
        match tokio::time::timeout(WHOLE, self.attempt(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(SendError::TimedOut),
        }
    }

    async fn attempt(&self, request: Request<Full<Bytes>>) -> Result<(Answer, Vec<u8>), SendError> {
        let stream = connect(&resolve_url(&self.url, self.allow_private).await?).await?;
        if self.url.scheme() == "http" {
            return exchange(stream, request).await;
        }
        let host = self.url.host_str().unwrap_or_default();
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let stream = self.tls.handshake(name, stream).await.map_err(SendError::Tls)?;
        exchange(stream, request).await
    }
}

/// Sends to one receiver.
pub struct Client {
    target: Target,
    line: Line,
}

impl Client {
    /// A client for one receiver.
    ///
    /// # Errors
    /// [`RootsError`].
    pub fn new(target: Target) -> Result<Self, RootsError> {
        let tls = Tls::new(target.settings.ca_file.as_deref())?;
        let line = Line::new(target.settings.url.clone(), target.settings.allow_private, tls);
        Ok(Client { target, line })
    }

    /// The receiver.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Sends an event, signed for this attempt at `now`.
    ///
    /// # Errors
    /// [`SendError`]; the receiver may have taken the event all the same.
    pub async fn send(&self, id: &str, body: &str, now: Timestamp) -> Result<Answer, SendError> {
        let timestamp = now.millis() / 1_000;
        let request = self
            .line
            .request(Method::POST, "")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", self.target.secrets.header(id, timestamp, body));
        self.line.send(request, body).await.map(|(answer, _)| answer)
    }
}

#[async_trait]
impl Receiver for Client {
    fn name(&self) -> &str {
        &self.target.settings.name
    }

    fn sort(&self) -> &'static str {
        "webhook"
    }

    fn last(&self, due: &Due) -> Timestamp {
        self.target.settings.give_up_after.after(due.since)
    }

    async fn send(&self, due: &Due, now: Timestamp) -> Result<Answer, SendError> {
        Client::send(self, &due.event, &due.body, now).await
    }
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<(Answer, Vec<u8>), SendError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |error: hyper::Error| SendError::Http(error.to_string());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let driver = tokio::spawn(connection);
    let answered = async {
        let answer = sender.send_request(request).await.map_err(failed)?;
        let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let status = answer.status();
        let (mut body, mut read) = (answer.into_body(), Vec::new());
        // A body that stalls, breaks off or goes on and on is taken as far as it came.
        let rest = async {
            while read.len() < MOST_ANSWER {
                match body.frame().await {
                    Some(Ok(frame)) => read.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data)),
                    Some(Err(_)) | None => break,
                }
            }
        };
        drop(tokio::time::timeout(BODY, rest).await);
        Ok((Answer { status, retry_after }, read))
    };
    let answered = answered.await;
    driver.abort();
    answered
}

/// Clients of all receivers.
///
/// # Errors
/// Every secret and certificate that cannot be used.
pub fn clients(webhooks: &[WebhookSettings]) -> Result<Vec<Client>, Vec<Fault>> {
    let (mut clients, mut faults) = (Vec::new(), Vec::new());
    for settings in webhooks {
        let mut fault = |problem: String| {
            let field = settings.name.clone();
            faults.push(Fault { file: "webhooks".to_owned(), line: 1, field, problem });
        };
        match Target::new(settings.clone()) {
            Ok(target) => match Client::new(target) {
                Ok(client) => clients.push(client),
                Err(error) => fault(error.to_string()),
            },
            Err(errors) => errors.iter().for_each(|error| fault(error.to_string())),
        }
    }
    if faults.is_empty() { Ok(clients) } else { Err(faults) }
}
