//! Sends one event to one receiver. Bounded in time and in what it reads, follows no redirect, and connects to the very
//! addresses that were checked.
//!
//! Written on hyper's bare connection, which is in the tree anyway: what matters here is that nothing between the check and
//! the connection resolves a name again, keeps a connection, obeys a proxy variable or follows a redirect, all of which a
//! larger client would have to be talked out of. Roots are the system's (`rustls-native-certs`), so that an operator's
//! own authority counts as it does for everything else on the machine.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::target::{Target, TargetError, resolve};
use crate::config::tree::Fault;
use crate::config::webhooks::WebhookSettings;
use crate::domain::time::Timestamp;

/// From the first look-up to the end of the answer.
/// The longest the body of an answer is waited for.
const BODY: Duration = Duration::from_secs(2);
const WHOLE: Duration = Duration::from_secs(15);
/// For one address to accept.
const CONNECT: Duration = Duration::from_secs(5);
/// Addresses that are tried.
const MOST_ADDRESSES: usize = 3;
/// Of an answer's body so much is read, so that the receiver can end in order; the rest is dropped.
const MOST_ANSWER: usize = 64 << 10;

/// Why an event did not get an answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The receiver cannot be sent to.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// It does not accept.
    #[error("{address} does not accept: {error}")]
    Connect {
        /// The last address tried.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
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

/// Why the certificates a receiver is checked against cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// A `ca_file` that cannot be used.
    #[error("ca_file {path}: {problem}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// TLS cannot be set up.
    #[error("TLS for webhooks: {0}")]
    Rustls(#[from] rustls::Error),
}

/// Sends to one receiver.
pub struct Client {
    target: Target,
    tls: TlsConnector,
}

impl Client {
    /// A client for one receiver.
    ///
    /// # Errors
    /// [`RootsError`].
    pub fn new(target: Target) -> Result<Self, RootsError> {
        let mut roots = RootCertStore::empty();
        match &target.settings.ca_file {
            Some(path) => {
                let fault = |problem: String| RootsError::File { path: path.display().to_string(), problem };
                let certificates = CertificateDer::pem_file_iter(path)
                    .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                    .map_err(|error| fault(format!("cannot be read as PEM certificates: {error}")))?;
                for certificate in certificates {
                    roots.add(certificate).map_err(|error| fault(error.to_string()))?;
                }
                if roots.is_empty() {
                    return Err(fault("holds no certificate".to_owned()));
                }
            }
            // A receiver whose certificate none of them vouches for is named at the first attempt.
            None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Client { target, tls: TlsConnector::from(Arc::new(config)) })
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
        let stream = connect(resolve(settings).await?).await?;
        let request = self.request(id, body, now)?;
        if settings.url.scheme() == "http" {
            return exchange(stream, request).await;
        }
        let host = settings.url.host_str().unwrap_or_default();
        let name = ServerName::try_from(host.trim_start_matches('[').trim_end_matches(']').to_owned())
            .map_err(|error| SendError::Tls(error.to_string()))?;
        let stream = self.tls.connect(name, stream).await.map_err(|error| SendError::Tls(error.to_string()))?;
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

async fn connect(addresses: Vec<SocketAddr>) -> Result<TcpStream, SendError> {
    let mut last = None;
    for address in addresses.into_iter().take(MOST_ADDRESSES) {
        let error = match tokio::time::timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => error,
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
        last = Some(SendError::Connect { address, error });
    }
    Err(last.unwrap_or(SendError::TimedOut))
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
