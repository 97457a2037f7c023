//! Answers held at their socket until their hops are kept as the journal's mode promises.
//!
//! Hyper encodes an answer at once and takes it for written; here it waits, and the journal's pump sends it. So a request
//! costs its connection one turn, not two. Never lets a byte out before the last hop it may speak of is released, and
//! never takes more answers in while an earlier one waits for another hop: what is held is bounded.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncWrite, ReadBuf};
use tokio::net::tcp::OwnedWriteHalf;

use super::watch::Watch;
use crate::journal::{Commit, Committed, Durability, Held};
use crate::telemetry::metrics::{WorkerCounters, bump};

/// So many bytes are held at most while a hop is waited for, and whatever the protocol hands over at once.
const MOST_HELD: usize = 256 << 10;

/// The sending side of one connection.
pub struct Outbox {
    socket: RefCell<OwnedWriteHalf>,
    /// Written by the protocol, not yet by us; the first `sent` bytes have left.
    bytes: RefCell<Vec<u8>>,
    sent: Cell<usize>,
    /// Hops waited for since the connection began, and how many of them are released. Releases come in order.
    held: Cell<u64>,
    released: Cell<u64>,
    /// The bytes may leave when this many are released.
    due: Cell<u64>,
    /// The connection waits for the bytes to leave.
    awaited: Cell<bool>,
    failed: Cell<Option<io::ErrorKind>>,
    watch: Rc<Watch>,
    counters: Arc<WorkerCounters>,
}

impl Outbox {
    /// The sending side of a connection that `watch` watches.
    pub fn new(socket: OwnedWriteHalf, watch: Rc<Watch>, counters: Arc<WorkerCounters>) -> Rc<Self> {
        Rc::new(Outbox {
            socket: RefCell::new(socket),
            bytes: RefCell::default(),
            sent: Cell::new(0),
            held: Cell::new(0),
            released: Cell::new(0),
            due: Cell::new(0),
            awaited: Cell::new(false),
            failed: Cell::new(None),
            watch,
            counters,
        })
    }

    /// Holds what is written from now on until `commit` is known.
    pub fn hold(self: &Rc<Self>, commit: Commit, redirects: bool) {
        match commit.hold(Rc::clone(self) as Rc<dyn Held>, redirects) {
            Some(committed) => self.count(committed, redirects),
            None => self.held.set(self.held.get() + 1),
        }
    }

    fn count(&self, committed: Committed, redirects: bool) {
        self.counters.took(committed.took);
        if redirects && committed.durability == Durability::Unsafe {
            bump(&self.counters.unsafe_redirects, 1);
        }
    }

    /// Sends what may leave; `true` when nothing is left that may.
    fn send(&self) -> bool {
        let mut bytes = self.bytes.borrow_mut();
        if self.released.get() < self.due.get() {
            return true;
        }
        while self.sent.get() < bytes.len() {
            match self.socket.borrow().try_write(&bytes[self.sent.get()..]) {
                Ok(sent @ 1..) => self.sent.set(self.sent.get() + sent),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.watch.stuck_writing();
                    return false;
                }
                // The peer is gone: nobody is left to answer.
                Ok(_) | Err(_) => {
                    self.failed.set(Some(io::ErrorKind::BrokenPipe));
                    break;
                }
            }
        }
        if !bytes.is_empty() {
            bytes.clear();
            self.sent.set(0);
            self.watch.moved(false);
        }
        true
    }

    /// Whether everything that was taken in has left.
    fn is_empty(&self) -> bool {
        self.bytes.borrow().is_empty()
    }

    /// Ready when no released byte is left; looks after the socket otherwise.
    fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.send() {
            let socket = self.socket.borrow();
            ready!(socket.as_ref().poll_write_ready(cx))?;
        }
        match self.failed.get() {
            Some(kind) => Poll::Ready(Err(kind.into())),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Writes, or takes in what has to wait.
    pub(super) fn poll_write(&self, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if !self.is_empty() {
            ready!(self.poll_sent(cx))?;
        }
        if self.released.get() == self.held.get() && self.is_empty() {
            loop {
                let socket = self.socket.borrow();
                let written = match parts {
                    [part] => socket.try_write(part),
                    parts => socket.try_write_vectored(parts),
                };
                match written {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.watch.stuck_writing();
                        ready!(socket.as_ref().poll_write_ready(cx))?;
                    }
                    written => {
                        self.watch.moved(false);
                        return Poll::Ready(written);
                    }
                }
            }
        }
        let full = self.bytes.borrow().len() >= MOST_HELD;
        if full || !self.is_empty() && self.due.get() != self.held.get() {
            self.awaited.set(true);
            return Poll::Pending;
        }
        let mut bytes = self.bytes.borrow_mut();
        parts.iter().for_each(|part| bytes.extend_from_slice(part));
        self.due.set(self.held.get());
        Poll::Ready(Ok(parts.iter().map(|part| part.len()).sum()))
    }

    /// Ready when the peer has closed, as far as can be told without taking what it sent meanwhile.
    pub(super) fn poll_left(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut byte = [0];
        let socket = self.socket.borrow();
        match socket.as_ref().poll_peek(cx, &mut ReadBuf::new(&mut byte)) {
            Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(()),
            // More requests, or the end of TLS: it is still there for all we know, and nothing more can be learned.
            Poll::Ready(Ok(_)) | Poll::Pending => Poll::Pending,
        }
    }

    /// Goes on sending what a full socket left; what is held back is not waited for.
    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.poll_sent(cx)
    }

    /// Closes the sending side once everything has left.
    pub(super) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_sent(cx))?;
        if !self.is_empty() {
            self.awaited.set(true);
            return Poll::Pending;
        }
        Pin::new(&mut *self.socket.borrow_mut()).poll_shutdown(cx)
    }
}

impl Held for Outbox {
    fn release(&self, committed: Committed, redirects: bool) {
        self.count(committed, redirects);
        self.released.set(self.released.get() + 1);
        if self.is_empty() {
            return;
        }
        let sent = self.send();
        if !sent || self.is_empty() && self.awaited.replace(false) {
            self.watch.wake();
        }
    }
}
