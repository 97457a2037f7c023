//! Bodies on their way: an upload from the visitor, an answer from the upstream. Each holds one piece at a time, so that
//! whoever is slow slows the other; each is bounded in bytes and in silence.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::client::Lease;
use crate::edge::hold::Outbox;
use crate::edge::watch::Watch;
use crate::telemetry::proxy::ProxyResult;

/// Why an answer ends before its end: the visitor's connection is cut, so that nobody takes a part for the whole.
#[derive(Debug, thiserror::Error)]
pub enum Cut {
    /// The upstream broke off.
    #[error("the upstream broke off: {0}")]
    Broken(#[from] hyper::Error),
    /// It fell silent.
    #[error("the upstream fell silent")]
    Silent,
    /// It sent too much.
    #[error("the answer outgrew its bound")]
    TooLarge,
    /// Nobody reads any more.
    #[error("the visitor left")]
    VisitorLeft,
}

/// The visitor's own connection, where it carries one request at a time: HTTP/2 notices by itself who leaves, and has
/// its own time-out.
#[derive(Clone)]
pub struct Line {
    /// Its sending side.
    pub outbox: Rc<Outbox>,
    /// Its time-outs.
    pub watch: Rc<Watch>,
}

/// An upstream's answer on its way to the visitor.
pub struct Streamed {
    inner: Incoming,
    /// Given back when all has come; dropped, which closes the connection, when not.
    lease: Option<Lease>,
    line: Option<Line>,
    left: u64,
    silence: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
    result: Option<ProxyResult>,
}

impl Streamed {
    /// An answer of at most `most` bytes, and at most `silence` between two of them.
    pub fn new(inner: Incoming, lease: Lease, line: Option<Line>, most: u64, silence: Duration) -> Self {
        if let Some(line) = &line {
            line.watch.streaming(true);
        }
        Streamed { inner, lease: Some(lease), line, left: most, silence, timer: None, waiting: false, result: None }
    }

    /// Whether the upstream has been silent too long, or nobody reads any more.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<Cut> {
        let deadline = Instant::now() + self.silence;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        // Only the upstream's silence counts: while the visitor does not read, nobody polls here.
        if !std::mem::replace(&mut self.waiting, true) {
            timer.as_mut().reset(deadline);
        }
        if timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Cut::Silent);
        }
        match &self.line {
            Some(line) => line.outbox.poll_left(cx).map(|()| Cut::VisitorLeft),
            None => Poll::Pending,
        }
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Result<Option<Frame<Bytes>>, Cut> {
        // Trailers were announced by headers that are not passed on.
        let Ok(data) = frame.into_data() else { return Ok(None) };
        let length = data.len() as u64;
        self.left = self.left.checked_sub(length).ok_or(Cut::TooLarge)?;
        if let Some(lease) = &self.lease {
            lease.figures().passed(data.len());
        }
        Ok(Some(Frame::data(data)))
    }
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        loop {
            let cut = match Pin::new(&mut this.inner).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    this.waiting = false;
                    match this.take(frame) {
                        Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                        Ok(None) => continue,
                        Err(cut) => cut,
                    }
                }
                Poll::Ready(None) => {
                    this.result = Some(ProxyResult::Passed);
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Err(error))) => Cut::Broken(error),
                Poll::Pending => match this.poll_patience(cx) {
                    Poll::Ready(cut) => cut,
                    Poll::Pending => return Poll::Pending,
                },
            };
            this.result = Some(match &cut {
                Cut::VisitorLeft => ProxyResult::VisitorLeft,
                Cut::Broken(_) | Cut::Silent | Cut::TooLarge => ProxyResult::Broken,
            });
            if let Some(lease) = this.lease.take() {
                lease.cut(&cut);
                lease.figures().ended(this.result.unwrap_or(ProxyResult::Broken));
            }
            return Poll::Ready(Some(Err(cut)));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        if let Some(line) = &self.line {
            line.watch.streaming(false);
        }
        let Some(lease) = self.lease.take() else { return };
        // Whoever knows the length does not ask for the end.
        if self.result == Some(ProxyResult::Passed) || self.inner.is_end_stream() {
            lease.figures().ended(ProxyResult::Passed);
            lease.give_back();
        } else {
            lease.figures().ended(ProxyResult::VisitorLeft);
        }
    }
}

/// How an upload goes. Seen by the one who waits for the answer.
#[derive(Debug)]
pub struct Progress {
    /// When a piece last moved.
    pub moved: Cell<Instant>,
    /// Whether all of it has been taken.
    pub done: Cell<bool>,
    /// Whether it outgrew its bound.
    pub too_large: Cell<bool>,
    /// Whether the visitor broke off.
    pub broken: Cell<bool>,
}

/// Why an upload ends before its end.
#[derive(Debug, thiserror::Error)]
pub enum Upset {
    /// The visitor broke off.
    #[error("the visitor broke off: {0}")]
    Broken(#[from] hyper::Error),
    /// It is larger than its bound.
    #[error("the body outgrew its bound")]
    TooLarge,
}

/// The body of a request to an upstream.
pub enum Outgoing {
    /// None.
    Empty,
    /// What the visitor sends.
    Upload {
        /// The visitor's.
        inner: Incoming,
        /// Bytes it may still have.
        left: u64,
        /// How it goes.
        progress: Rc<Progress>,
    },
}

impl Outgoing {
    /// An upload of at most `most` bytes.
    pub fn upload(inner: Incoming, most: u64) -> (Self, Rc<Progress>) {
        let progress = Rc::new(Progress {
            moved: Cell::new(Instant::now()),
            done: Cell::new(false),
            too_large: Cell::new(false),
            broken: Cell::new(false),
        });
        (Outgoing::Upload { inner, left: most, progress: Rc::clone(&progress) }, progress)
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Upset;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Upset>>> {
        let Outgoing::Upload { inner, left, progress } = self.get_mut() else { return Poll::Ready(None) };
        loop {
            let Poll::Ready(frame) = Pin::new(&mut *inner).poll_frame(cx) else { return Poll::Pending };
            progress.moved.set(Instant::now());
            let frame = match frame {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    progress.broken.set(true);
                    return Poll::Ready(Some(Err(error.into())));
                }
                None => {
                    progress.done.set(true);
                    return Poll::Ready(None);
                }
            };
            let Ok(data) = frame.into_data() else { continue };
            match left.checked_sub(data.len() as u64) {
                Some(rest) => *left = rest,
                None => {
                    progress.too_large.set(true);
                    return Poll::Ready(Some(Err(Upset::TooLarge)));
                }
            }
            progress.done.set(inner.is_end_stream());
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Outgoing::Empty => true,
            Outgoing::Upload { inner, .. } => inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Outgoing::Empty => SizeHint::with_exact(0),
            Outgoing::Upload { inner, .. } => inner.size_hint(),
        }
    }
}
