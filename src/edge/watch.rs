//! Time-outs without timers: each connection notes what it is doing and since which tick; one sweep per worker and tick
//! looks for those that have been at it too long. A request costs two stores, where a timer of its own would cost a
//! system call whenever it became the earliest of the event loop.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use slab::Slab;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;

use super::hold::Outbox;
use crate::config::settings::Limits;
use crate::telemetry::metrics::Shed;

/// Time between two sweeps: the resolution of every time-out.
pub const TICK: Duration = Duration::from_millis(100);

/// What a connection is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// TLS or PROXY protocol.
    Handshake,
    /// The head of a request is coming in.
    Head,
    /// Between requests.
    Idle,
    /// Being decided.
    Serving,
    /// The peer does not take its answer.
    Writing,
    /// HTTP/2: many things at once; judged by whether any byte moves.
    Multiplexed,
}

/// What the sweep knows of one connection.
pub struct Watch {
    phase: Cell<Phase>,
    since: Cell<u32>,
    now: Rc<Cell<u32>>,
    ended: Cell<Option<Shed>>,
    draining: Cell<bool>,
    /// The answer comes from an upstream, whose silence is timed by its body.
    streaming: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Watch {
    /// Notes what the connection does from now on.
    pub fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(self.now.get());
    }

    /// What the connection does.
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub(super) fn moved(&self, reading: bool) {
        match (self.phase.get(), reading) {
            (Phase::Idle, true) => self.enter(Phase::Head),
            (Phase::Serving | Phase::Writing, false) if self.streaming.get() => self.enter(Phase::Serving),
            (Phase::Serving | Phase::Writing, false) => self.enter(Phase::Idle),
            (Phase::Multiplexed, _) => self.since.set(self.now.get()),
            _ => {}
        }
    }

    /// Notes that an answer is being streamed, or has been: between its pieces the connection is not idle.
    pub(super) fn streaming(&self, streaming: bool) {
        self.streaming.set(streaming);
        if !streaming && self.phase.get() == Phase::Serving {
            self.enter(Phase::Idle);
        }
    }

    pub(super) fn stuck_writing(&self) {
        if matches!(self.phase.get(), Phase::Serving | Phase::Idle) {
            self.enter(Phase::Writing);
        }
    }

    /// Remembers whom to wake when the sweep has something to say.
    pub fn attend(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    /// Why the connection must end now, if it must.
    pub fn ended(&self) -> Option<Shed> {
        self.ended.get()
    }

    /// Whether the connection should finish what it does and close.
    pub fn draining(&self) -> bool {
        self.draining.get()
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// All connections of one worker.
pub struct Watches {
    now: Rc<Cell<u32>>,
    all: RefCell<Slab<Rc<Watch>>>,
    draining: Cell<bool>,
    head: u32,
    idle: u32,
    write: u32,
}

impl Watches {
    /// An empty set with the time-outs of `limits`.
    pub fn new(limits: &Limits) -> Rc<Self> {
        let ticks =
            |time: Duration| (time.as_millis().div_ceil(TICK.as_millis())).clamp(1, u128::from(u32::MAX)) as u32;
        Rc::new(Watches {
            now: Rc::new(Cell::new(0)),
            all: RefCell::default(),
            draining: Cell::new(false),
            head: ticks(limits.header_timeout),
            idle: ticks(limits.idle_timeout),
            write: ticks(limits.write_timeout),
        })
    }

    /// Watches one more connection until the returned guard is dropped.
    pub fn add(self: &Rc<Self>) -> Watched {
        let watch = Rc::new(Watch {
            phase: Cell::new(Phase::Head),
            since: Cell::new(self.now.get()),
            now: Rc::clone(&self.now),
            ended: Cell::new(None),
            draining: Cell::new(self.draining.get()),
            streaming: Cell::new(false),
            waker: RefCell::new(None),
        });
        let key = self.all.borrow_mut().insert(Rc::clone(&watch));
        Watched { watches: Rc::clone(self), key, watch }
    }

    /// How many connections are watched.
    pub fn count(&self) -> usize {
        self.all.borrow().len()
    }

    /// Moves time on by one tick and ends what took too long.
    pub fn sweep(&self) {
        self.now.set(self.now.get().wrapping_add(1));
        for (_, watch) in self.all.borrow().iter() {
            let age = self.now.get().wrapping_sub(watch.since.get());
            let (limit, class) = match watch.phase.get() {
                Phase::Handshake => (self.head, Shed::Handshake),
                Phase::Head => (self.head, Shed::SlowHead),
                Phase::Idle | Phase::Multiplexed => (self.idle, Shed::Idle),
                Phase::Writing => (self.write, Shed::SlowRead),
                Phase::Serving => continue,
            };
            if age > limit {
                watch.ended.set(Some(class));
                watch.wake();
            }
        }
    }

    /// Asks every connection, present and to come, to finish what it does and close.
    pub fn drain(&self) {
        self.draining.set(true);
        for (_, watch) in self.all.borrow().iter() {
            watch.draining.set(true);
            watch.wake();
        }
    }

    /// Cuts off every connection that is left.
    pub fn cut(&self) {
        for (_, watch) in self.all.borrow().iter() {
            watch.ended.set(Some(Shed::Drain));
            watch.wake();
        }
    }
}

/// Keeps a connection watched.
pub struct Watched {
    watches: Rc<Watches>,
    key: usize,
    /// What the sweep sees.
    pub watch: Rc<Watch>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watches.all.borrow_mut().try_remove(self.key);
    }
}

/// A connection that tells its watch what moves, and writes through its outbox.
pub struct Tracked {
    socket: OwnedReadHalf,
    watch: Rc<Watch>,
    outbox: Rc<Outbox>,
}

impl Tracked {
    /// Wraps the two sides of a connection.
    pub fn new(socket: OwnedReadHalf, watch: Rc<Watch>, outbox: Rc<Outbox>) -> Self {
        Tracked { socket, watch, outbox }
    }
}

impl AsyncRead for Tracked {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.socket).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.watch.moved(true);
        }
        polled
    }
}

impl AsyncWrite for Tracked {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.outbox.poll_write(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.outbox.poll_write(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outbox.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outbox.poll_shutdown(cx)
    }
}

/// A stream that gives out first what was read ahead of it.
pub struct Ahead<S> {
    ahead: Bytes,
    stream: S,
}

impl<S> Ahead<S> {
    /// `ahead` was already read from `stream`.
    pub fn new(ahead: Bytes, stream: S) -> Self {
        Ahead { ahead, stream }
    }

    /// Takes back what was read, to be read again.
    pub fn put_back(&mut self, read: Bytes) {
        self.ahead = if self.ahead.is_empty() { read } else { [read, self.ahead.split_off(0)].concat().into() };
    }

    /// The stream itself.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Ahead<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let length = self.ahead.len().min(buf.remaining());
        buf.put_slice(&self.ahead.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Ahead<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        let mut limits = crate::config::settings::Settings::defaults(std::path::Path::new("")).limits;
        limits.header_timeout = TICK * 3;
        limits.idle_timeout = TICK * 5;
        limits
    }

    #[test]
    fn each_phase_has_its_own_limit() {
        let watches = Watches::new(&limits());
        let (slow, idle, busy) = (watches.add(), watches.add(), watches.add());
        idle.watch.enter(Phase::Idle);
        busy.watch.enter(Phase::Serving);
        for _ in 0..4 {
            watches.sweep();
        }
        assert_eq!((slow.watch.ended(), idle.watch.ended()), (Some(Shed::SlowHead), None));
        for _ in 0..2 {
            watches.sweep();
        }
        assert_eq!((idle.watch.ended(), busy.watch.ended()), (Some(Shed::Idle), None));
        drop(slow);
        assert_eq!(watches.count(), 2);
    }

    #[test]
    fn dripping_bytes_does_not_stretch_the_head() {
        let watches = Watches::new(&limits());
        let dripping = watches.add();
        dripping.watch.enter(Phase::Idle);
        for _ in 0..4 {
            dripping.watch.moved(true);
            watches.sweep();
        }
        assert_eq!(dripping.watch.ended(), Some(Shed::SlowHead));
    }
}
