//! Sends one form to an end point and takes its answer. Bounded in time and size, follows no redirect, and connects to the
//! very addresses that were checked.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::{ACCEPT, CONNECTION, CONTENT_TYPE, DATE, HOST, RETRY_AFTER, USER_AGENT};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use url::{Position, Url};

use crate::domain::time::Timestamp;
use crate::outbound::{ConnectError, LookUpError, Tls, connect, look_up};

/// The largest answer that is read: 500 rows are about 1 MB.
const MOST_ANSWER: usize = 64 << 20;

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The host has no address that may be connected to.
    #[error(transparent)]
    LookUp(#[from] LookUpError),
    /// It does not accept.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// TLS failed.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// It does not speak HTTP, or broke off.
    #[error("no HTTP answer: {0}")]
    Broken(String),
    /// Its answer is too large to be one.
    #[error("the answer is over {} MiB: set a smaller `page_size`", MOST_ANSWER >> 20)]
    TooLarge,
    /// Too slow.
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
}

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// When the end point wants to be asked again, in seconds, if it says so.
    pub retry_after: Option<u32>,
    /// What the end point's clock shows, if it says so.
    pub date: Option<Timestamp>,
    /// The body.
    pub body: Vec<u8>,
}

/// One end point.
pub struct Endpoint {
    url: Url,
    tls: Tls,
    timeout: Duration,
}

impl Endpoint {
    /// An end point and what its certificate is checked against.
    pub fn new(url: Url, tls: Tls, timeout: Duration) -> Self {
        Endpoint { url, tls, timeout }
    }

    /// Its host, for messages.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Posts a form, `application/x-www-form-urlencoded`.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn post(&self, form: String) -> Result<Reply, HttpError> {
        match tokio::time::timeout(self.timeout, self.attempt(form)).await {
            Ok(reply) => reply,
            Err(_) => Err(HttpError::TimedOut(self.timeout)),
        }
    }

    async fn attempt(&self, form: String) -> Result<Reply, HttpError> {
        let host = self.host();
        let name = host.trim_start_matches('[').trim_end_matches(']');
        // Settings let this machine through only where it is written out as an address.
        let here = name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        let port = self.url.port_or_known_default().unwrap_or(443);
        let stream = connect(&look_up(name, port, here).await?).await?;
        let shown = self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let request = Request::post(&self.url[Position::BeforePath..Position::AfterPath])
            .header(HOST, shown)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded;charset=utf-8")
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("hopgate/", env!("CARGO_PKG_VERSION")))
            .header(CONNECTION, "close")
            .body(Full::new(Bytes::from(form)))
            .map_err(|error| HttpError::Broken(error.to_string()))?;
        if self.url.scheme() == "http" {
            return exchange(stream, request).await;
        }
        exchange(self.tls.handshake(name, stream).await.map_err(HttpError::Tls)?, request).await
    }
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Reply, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |error: hyper::Error| HttpError::Broken(error.to_string());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let driver = Driver(tokio::spawn(connection));
    let answer = sender.send_request(request).await.map_err(failed)?;
    let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
    let retry_after = header(RETRY_AFTER).and_then(|text| text.parse().ok());
    let date = header(DATE).and_then(|text| jiff::fmt::rfc2822::parse(text).ok());
    let date = date.map(|date| Timestamp::from_micros(date.timestamp().as_microsecond()));
    let status = answer.status().as_u16();
    let (mut body, mut read) = (answer.into_body(), Vec::new());
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame.map_err(failed)?.data_ref() {
            read.extend_from_slice(data);
        }
        if read.len() > MOST_ANSWER {
            return Err(HttpError::TooLarge);
        }
    }
    drop(driver);
    Ok(Reply { status, retry_after, date, body: read })
}

/// Ends the connection's task however its request ends.
struct Driver(tokio::task::JoinHandle<Result<(), hyper::Error>>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}
