//! The short way of a plain click over HTTP/1.1: one `GET` that came in one piece and asks for nothing but a redirect. It is
//! read by hyper's own parser and answered without hyper, which costs as much as everything else a click does.
//!
//! Never the only way: a head that is not wholly here, not wholly plain, or followed by anything goes to hyper as it came,
//! with its connection, before anything is decided about it. So hyper alone says what is malformed, too large or has a
//! body, and ends connections; whatever could be read in two ways is read by hyper.

use std::cell::{Cell, RefCell};
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_LANGUAGE};
use http::{HeaderMap, HeaderValue};
use http_body::Body as _;
use httparse::Status;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::answer::{Answered, is_field};
use super::client::forwarded_in;
use super::route::{Route, route};
use super::service::{Clicks, redirects, said};
use super::watch::{Ahead, Phase};
use crate::click::{Answer, Ask};
use crate::clock::Clock;
use crate::config::settings::OnDeadline;
use crate::domain::hop::HopFlags;

/// Room for the head of a plain click; a longer one goes to hyper.
const ROOM: usize = 4_096;
/// Most fields of a plain click.
const FIELDS: usize = 32;
/// Bytes of a date in a head.
const DATE: usize = 29;

/// What the short ways of one worker share: they take turns.
pub struct Quick {
    input: RefCell<Box<[u8]>>,
    answer: RefCell<Vec<u8>>,
    date: Cell<[u8; DATE]>,
}

impl Default for Quick {
    fn default() -> Self {
        let quick = Quick {
            input: RefCell::new(vec![0; ROOM].into()),
            answer: RefCell::default(),
            date: Cell::new([b' '; DATE]),
        };
        quick.tick();
        quick
    }
}

impl Quick {
    /// Moves the date of answers on; to be called many times a second.
    pub fn tick(&self) {
        let micros = u64::try_from(Clock::System.now().micros()).unwrap_or_default();
        let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_micros(micros));
        // Of another length in the year 10000 only.
        if let Ok(date) = date.as_bytes().try_into() {
            self.date.set(date);
        }
    }
}

/// How a connection came to the end of the short way.
pub enum Left {
    /// It is to be closed.
    Over,
    /// The rest of it is hyper's; what was read and not answered can be read again.
    Rest {
        /// Whether anything was answered.
        answered: bool,
    },
}

/// Answers plain clicks until something else comes.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut Ahead<S>, clicks: &Clicks) -> Left {
    // Another answer may be needed than the first one, or the page comes from elsewhere.
    let plain =
        clicks.shared.on_deadline == OnDeadline::Redirect && !clicks.multiplexed && clicks.shared.proxy.is_none();
    if !plain {
        return Left::Rest { answered: false };
    }
    let mut turns = Turns { stream, clicks, unsent: Vec::new(), answered: false };
    std::future::poll_fn(|cx| turns.poll(cx).map(|left| left.unwrap_or(Left::Over))).await
}

struct Turns<'s, S> {
    stream: &'s mut Ahead<S>,
    clicks: &'s Clicks,
    /// What of an answer the connection has not taken yet.
    unsent: Vec<u8>,
    answered: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Turns<'_, S> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Left>> {
        let quick = &self.clicks.shared.quick;
        loop {
            while !self.unsent.is_empty() {
                let sent = ready!(Pin::new(&mut *self.stream).poll_write(cx, &self.unsent))?;
                if sent == 0 {
                    return Poll::Ready(Ok(Left::Over));
                }
                self.unsent.drain(..sent);
            }
            // Who does not take their answers is not read from.
            ready!(Pin::new(&mut *self.stream).poll_flush(cx))?;
            if self.clicks.watch.draining() {
                return Poll::Ready(Ok(Left::Rest { answered: self.answered }));
            }
            let mut input = quick.input.borrow_mut();
            let mut input = ReadBuf::new(&mut input);
            ready!(Pin::new(&mut *self.stream).poll_read(cx, &mut input))?;
            if input.filled().is_empty() {
                return Poll::Ready(Ok(Left::Over));
            }
            let mut answer = quick.answer.borrow_mut();
            answer.clear();
            if !self.clicks.answer_plain(input.filled(), &mut answer) {
                self.stream.put_back(Bytes::copy_from_slice(input.filled()));
                return Poll::Ready(Ok(Left::Rest { answered: self.answered }));
            }
            self.answered = true;
            match Pin::new(&mut *self.stream).poll_write(cx, &answer) {
                Poll::Ready(Ok(sent @ 1..)) => self.unsent.extend_from_slice(&answer[sent..]),
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(Left::Over)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => self.unsent.extend_from_slice(&answer),
            }
        }
    }
}

impl Clicks {
    /// Decides and records a plain click and puts its answer into `out`; `false`, with nothing done, for anything else.
    fn answer_plain(&self, bytes: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(plain) = Plain::read(bytes, self.shared.headers) else { return false };
        self.watch.enter(Phase::Serving);
        let Plain { code, query, agent, package, flags, .. } = plain;
        let told = plain.forwarded.filter(|_| self.trusted_peer).into_iter();
        let address = forwarded_in(told, &self.shared.trusted, self.peer);
        let ask = Ask { code, query, address, agent, package, flags, memory: Some(&self.memory) };
        let mut clicked = self.shared.worker.click(&ask);
        if matches!(clicked.answer, Answer::NotLoaded) {
            self.watch.enter(Phase::Head);
            return false;
        }
        let redirects = redirects(&clicked);
        if let Some(commit) = clicked.commit.take() {
            self.outbox.hold(commit, redirects);
        }
        let date = self.shared.quick.date.get();
        match (&clicked.answer, &clicked.hop_id) {
            (Answer::Redirect(location), Some(id)) if !clicked.preview && is_field(location) => {
                let parts: [&[u8]; 7] = [
                    b"HTTP/1.1 302 Found\r\nlocation: ",
                    location,
                    b"\r\ncache-control: no-store\r\nhop-id: ",
                    id,
                    b"\r\ncontent-length: 0\r\ndate: ",
                    &date,
                    b"\r\n\r\n",
                ];
                parts.iter().for_each(|part| out.extend_from_slice(part));
            }
            _ => put(said(&self.shared, clicked, code, &plain.wishes()), &date, out),
        }
        true
    }
}

/// Puts an answer that is all there.
#[cold]
fn put(mut answer: Answered, date: &[u8; DATE], out: &mut Vec<u8>) {
    let status = answer.status();
    let body = match Pin::new(answer.body_mut()).poll_frame(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        _ => Bytes::new(),
    };
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.extend_from_slice(b" ");
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    for (name, value) in answer.headers() {
        for part in [b"\r\n", name.as_str().as_bytes(), b": ", value.as_bytes()] {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(format!("\r\ncontent-length: {}\r\ndate: ", body.len()).as_bytes());
    out.extend_from_slice(date);
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(&body);
}

/// The head of a plain click.
#[derive(PartialEq, Eq, Debug)]
struct Plain<'a> {
    code: &'a str,
    query: Option<&'a str>,
    agent: &'a [u8],
    package: &'a [u8],
    accept: Option<&'a [u8]>,
    language: Option<&'a [u8]>,
    forwarded: Option<&'a str>,
    flags: HopFlags,
}

impl<'a> Plain<'a> {
    /// Reads bytes that are one plain click, whole, with nothing behind it and at most `most` fields.
    fn read(bytes: &'a [u8], most: usize) -> Option<Self> {
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(bytes, &mut fields) {
            Ok(Status::Complete(length)) if length == bytes.len() => {}
            _ => return None,
        }
        if request.method != Some("GET") || request.version != Some(1) || request.headers.len() > most {
            return None;
        }
        let target = request.path?;
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let Route::Code(code) = route(path) else { return None };
        if !code.bytes().all(in_code) || !query.unwrap_or_default().bytes().all(in_query) {
            return None;
        }
        let (agent, package, flags) = (&[][..], &[][..], HopFlags::default());
        let mut plain = Plain { code, query, agent, package, accept: None, language: None, forwarded: None, flags };
        let mut hosts = 0;
        for field in &*request.headers {
            let (name, value) = (field.name, field.value);
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            // By length first: most fields are none of these.
            match name.len() {
                4 if is("host") => hosts += 1,
                6 if is("accept") => plain.accept = plain.accept.or(Some(value)),
                7 if is("purpose") => plain.fetched_ahead(value),
                10 if is("user-agent") => plain.agent = value,
                10 if is("connection") && !value.eq_ignore_ascii_case(b"keep-alive") => return None,
                11 if is("sec-purpose") => plain.fetched_ahead(value),
                15 if is("accept-language") => plain.language = plain.language.or(Some(value)),
                15 if is("x-forwarded-for") => plain.forward(value)?,
                16 if is("x-requested-with") => plain.package = value,
                // Bodies, other protocols, and what is said about the next hop.
                2 if is("te") => return None,
                6 if is("expect") => return None,
                7 if is("upgrade") || is("trailer") => return None,
                14 if is("content-length") || is("http2-settings") => return None,
                17 if is("transfer-encoding") => return None,
                _ => {}
            }
        }
        (hosts == 1).then_some(plain)
    }

    fn fetched_ahead(&mut self, value: &[u8]) {
        if value.starts_with(b"pre") {
            self.flags = self.flags.with(HopFlags::PREFETCH);
        }
    }

    /// Takes in one `X-Forwarded-For`; several are not plain, nor is one that is no text.
    #[cold]
    fn forward(&mut self, value: &'a [u8]) -> Option<()> {
        let text =
            std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| matches!(byte, b' '..=b'~')))?;
        self.forwarded.replace(text).is_none().then_some(())
    }

    /// What the asker would rather read, as an answer other than a redirect asks for it.
    #[cold]
    fn wishes(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [(ACCEPT, self.accept), (ACCEPT_LANGUAGE, self.language)] {
            if let Some(Ok(value)) = value.map(HeaderValue::from_bytes) {
                headers.insert(name, value);
            }
        }
        headers
    }
}

/// What codes are made of.
fn in_code(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// What every reader of addresses leaves as it is in a query.
fn in_query(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'&' | b'=' | b'%' | b'+' | b'-' | b'.' | b'_' | b'~' | b':' | b'/' | b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "GET /k3Xw9QaZ HTTP/1.1\r\n";

    fn read(head: &str) -> Option<Plain<'_>> {
        Plain::read(head.as_bytes(), 100)
    }

    #[test]
    fn what_browsers_send_is_plain() {
        let head = "GET /k3Xw9QaZ?sub=a%20b&t=1.5 HTTP/1.1\r\nhost: go.example\r\nConnection: Keep-Alive\r\n\
            User-Agent: Kwai/1\r\nX-REQUESTED-WITH: com.example\r\nAccept: */*\r\nAccept: text/html\r\n\
            Accept-Language: zh\r\nX-Forwarded-For: 198.51.100.9, 203.0.113.77\r\nSec-Purpose: prefetch;prerender\r\nCookie: a=b\r\n\r\n";
        let flags = HopFlags::default().with(HopFlags::PREFETCH);
        let expected = Plain {
            code: "k3Xw9QaZ",
            query: Some("sub=a%20b&t=1.5"),
            agent: b"Kwai/1",
            package: b"com.example",
            accept: Some(b"*/*"),
            language: Some(b"zh"),
            forwarded: Some("198.51.100.9, 203.0.113.77"),
            flags,
        };
        assert_eq!(read(head), Some(expected));
        assert_eq!(Plain::read(head.as_bytes(), 9), None, "more fields than a request may have");
        for end in 0..head.len() {
            assert_eq!(read(&head[..end]), None, "not all there");
        }
        assert_eq!(read(&format!("{head}G")), None, "something behind it");
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_hypers() {
        assert!(read(&format!("{LINE}Host: a\r\n\r\n")).is_some());
        for fields in [
            "",
            "Host: a\r\nHost: a\r\n",
            "Host: a\r\nContent-Length: 0\r\n",
            "Host: a\r\nCONTENT-LENGTH: 5\r\n",
            "Host: a\r\nTransfer-Encoding: chunked\r\n",
            "Host: a\r\ntransfer-encoding: identity\r\n",
            "Host: a\r\nConnection: close\r\n",
            "Host: a\r\nConnection: keep-alive, upgrade\r\n",
            "Host: a\r\nUpgrade: websocket\r\n",
            "Host: a\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
            "Host: a\r\nExpect: 100-continue\r\n",
            "Host: a\r\nTE: trailers\r\n",
            "Host: a\r\nTrailer: x\r\n",
            "Host: a\r\nX-Forwarded-For: 203.0.113.7\r\nX-Forwarded-For: 203.0.113.8\r\n",
            "Host: a\r\nX-Forwarded-For: 双\r\n",
            "Host : a\r\n",
            "Host: a\r\nX: a\r\n b\r\n",
            "Host: a\r\nX: a\0b\r\n",
            "Host: a\r\nX: a\rb\r\n",
        ] {
            assert_eq!(read(&format!("{LINE}{fields}\r\n")), None, "{fields:?}");
        }
        for line in [
            "HEAD /k3Xw9QaZ HTTP/1.1",
            "POST /k3Xw9QaZ HTTP/1.1",
            "GET /k3Xw9QaZ HTTP/1.0",
            "GET /k3Xw9QaZ",
            "GET k3Xw9QaZ HTTP/1.1",
            "GET http://a/k3Xw9QaZ HTTP/1.1",
            "GET //k3Xw9QaZ HTTP/1.1",
            "GET /k3Xw9QaZ/ HTTP/1.1",
            "GET /k3Xw9QaZ+ HTTP/1.1",
            "GET /k3Xw%39QaZ HTTP/1.1",
            "GET /k3Xw9QaZ# HTTP/1.1",
            "GET /k3Xw9QaZ?a#b HTTP/1.1",
            "GET /k3Xw9QaZ?a?b HTTP/1.1",
            "GET /k3Xw9QaZ?双 HTTP/1.1",
            "GET /k3Xw9QaZ  HTTP/1.1",
            "GET /go?sig=x HTTP/1.1",
            "GET / HTTP/1.1",
            "GET /favicon.ico HTTP/1.1",
            "PRI * HTTP/2.0",
        ] {
            assert_eq!(read(&format!("{line}\r\nHost: a\r\n\r\n")), None, "{line:?}");
        }
    }
}
