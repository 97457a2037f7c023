//! Sends one event to one receiver. Bounded in time and in what it reads, follows no redirect, and connects to the very
//! addresses that were checked.
//!
//! Written on hyper's bare connection, which is in the tree anyway: what matters here is that nothing between the check and
//! the connection resolves a name again, keeps a connection, obeys a proxy variable or follows a redirect, all of which a
//! larger client would have to be talked out of.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::target::{Target, TargetError, resolve};
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
}

/// An answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// When the receiver wants to be asked again, in seconds, if it says so.
    pub retry_after: Option<u32>,
}

/// Sends to one receiver.
pub struct Client {
    target: Target,
    tls: Tls,
}

impl Client {
    /// A client for one receiver.
    ///
    /// # Errors
    /// [`RootsError`].
    pub fn new(target: Target) -> Result<Self, RootsError> {
        let tls = Tls::new(target.settings.ca_file.as_deref())?;
        Ok(Client { target, tls })
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
        match tokio::time::timeout(WHOLE, self.attempt(id, body, now)).await {
            Ok(answer) => answer,
            Err(_) => Err(SendError::TimedOut),
        }
    }

    async fn attempt(&self, id: &str, body: &str, now: Timestamp) -> Result<Answer, SendError> {
        let settings = &self.target.settings;
        let stream = connect(&resolve(settings).await?).await?;
        let request = self.request(id, body, now)?;
        if settings.url.scheme() == "http" {
            return exchange(stream, request).await;
        }
        let host = settings.url.host_str().unwrap_or_default();
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let stream = self.tls.handshake(name, stream).await.map_err(SendError::Tls)?;
        exchange(stream, request).await
    }

    fn request(&self, id: &str, body: &str, now: Timestamp) -> Result<Request<Full<Bytes>>, SendError> {
        let url = &self.target.settings.url;
        let timestamp = now.millis() / 1_000;
        let host = match url.port() {
            Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
            None => url.host_str().unwrap_or_default().to_owned(),
        };
        Request::post(&url[url::Position::BeforePath..url::Position::AfterQuery])
            .header(HOST, host)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("hopgate/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", self.target.secrets.header(id, timestamp, body))
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
            .map_err(|error| SendError::Http(error.to_string()))
    }
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answer, SendError>
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
        let (mut body, mut read) = (answer.into_body(), 0);
        // The status is what counts: a body that stalls, breaks off or goes on and on changes nothing.
        let rest = async {
            while read < MOST_ANSWER {
                match body.frame().await {
                    Some(Ok(frame)) => read += frame.data_ref().map_or(0, Bytes::len),
                    Some(Err(_)) | None => break,
                }
            }
        };
        drop(tokio::time::timeout(BODY, rest).await);
        Ok(Answer { status, retry_after })
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
