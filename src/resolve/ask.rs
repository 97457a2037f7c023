//! Asks one page where it leads. Bounded in time and in what it reads; sends nothing that tells who asks for whom.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, HOST, HeaderName, LOCATION, REFRESH, USER_AGENT,
};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::Trouble;
use super::page::{self, Said};
use crate::domain::marketplace::Destination;
use crate::outbound::{LookUpError, Tls, connect, look_up};

/// Of a page so much is read; what it says behind that is not looked for.
const MOST_PAGE: usize = 150_000;

/// Where a page leads, as it says so itself: nothing of it is checked yet.
pub(super) async fn ask(
    tls: &Tls,
    via: Option<SocketAddr>,
    page: &Destination,
    most: Duration,
) -> Result<Said, Trouble> {
    match tokio::time::timeout(most, asked(tls, via, page)).await {
        Ok(answer) => answer,
        Err(_) => Err(Trouble::TimedOut),
    }
}

async fn asked(tls: &Tls, via: Option<SocketAddr>, page: &Destination) -> Result<Said, Trouble> {
    let host = page.host();
    let addresses = match via {
        Some(address) => vec![address],
        None => look_up(host, 443, false).await.map_err(|error| match error {
            LookUpError::NotPublic { .. } => Trouble::NotPublic(error.to_string()),
            LookUpError::Unresolved { .. } => Trouble::Unreachable(error.to_string()),
        })?,
    };
    let unreachable = |what: &dyn std::fmt::Display| Trouble::Unreachable(format!("`{host}`: {what}"));
    let stream = connect(&addresses).await.map_err(|error| unreachable(&error))?;
    let stream = tls.handshake(host, stream).await.map_err(|error| unreachable(&format!("TLS failed: {error}")))?;
    let request = Request::get(path_of(page))
        .header(HOST, host)
        .header(USER_AGENT, concat!("Mozilla/5.0 (compatible; hopgate/", env!("CARGO_PKG_VERSION"), ")"))
        .header(ACCEPT, "text/html,application/xhtml+xml")
        .header(ACCEPT_ENCODING, "identity")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| unreachable(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| unreachable(&error))?;
    let driver = tokio::spawn(connection);
    let target = async {
        let answer = sender.send_request(request).await.map_err(|error| unreachable(&error))?;
        target_of(answer, host).await
    }
    .await;
    driver.abort();
    target
}

/// From the path on, without what is never sent.
fn path_of(page: &Destination) -> String {
    let after = page.as_str().get("https://".len() + page.host().len()..).unwrap_or_default();
    let after = after.split_once('#').map_or(after, |(front, _)| front);
    if after.starts_with('/') { after.to_owned() } else { format!("/{after}") }
}

async fn target_of(answer: Response<Incoming>, host: &str) -> Result<Said, Trouble> {
    let status = answer.status();
    // Browsers read UTF-8 there too, whatever the standard says.
    let header = |name: HeaderName| {
        answer.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    if status.is_redirection() {
        return header(LOCATION).map(Said::one).ok_or(Trouble::NoTarget);
    }
    if !status.is_success() {
        return Err(Trouble::Status(format!("`{host}` answers {}", status.as_u16())));
    }
    let encoding = answer.headers().get(CONTENT_ENCODING);
    if encoding.is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Trouble::Encoded);
    }
    let refresh = header(REFRESH);
    let mut body = answer.into_body();
    let mut read = Vec::new();
    while read.len() < MOST_PAGE {
        match body.frame().await {
            Some(Ok(frame)) => {
                let data = frame.data_ref().map_or(&[][..], |data| data);
                read.extend(&data[..data.len().min(MOST_PAGE - read.len())]);
            }
            Some(Err(error)) => return Err(Trouble::Unreachable(format!("`{host}`: {error}"))),
            None => break,
        }
    }
    page::said(&String::from_utf8_lossy(&read), refresh.as_deref()).ok_or(Trouble::NoTarget)
}
