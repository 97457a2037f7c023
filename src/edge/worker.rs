//! One click worker: a thread with a current-thread runtime, its own listeners, its own journal lane. Workers share
//! nothing they write to but the journal's hand-over.
//!
//! Drain order: stop accepting (what the kernel had queued is still served), let each connection finish what it does and
//! close in order, cut off what is left at the deadline, flush the lane.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch as signal;
use tokio::task::spawn_local;
use tokio_rustls::TlsAcceptor;

use super::client::{ProxyHeader, is_trusted, proxy_header};
use super::hold::Outbox;
use super::listen::refuse_newcomers;
use super::proxy::Proxy;
use super::proxy::upstream::Upstreams;
use super::quick::{self, Left, Quick};
use super::service::{Clicks, Looks, Shared, Site};
use super::tls::Certificates;
use super::watch::{Ahead, Phase, TICK, Tracked, Watch, Watched, Watches};
use crate::click::visitor::Memory;
use crate::click::{Gateway, Worker};
use crate::config::settings::{Limits, OnDeadline};
use crate::journal::Lanes;
use crate::telemetry::metrics::{Shed, WorkerCounters, bump};

/// The preface of an HTTP/2 connection begins so; no HTTP/1 method does.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long handshakes that were under way when draining began may take.
const LAST_CALL: Duration = Duration::from_millis(50);
/// How long a peer may take to notice that its connection has ended …
const LINGER: Duration = Duration::from_millis(500);
/// … and how many bytes it may still send meanwhile.
const LINGER_BYTES: usize = 256 << 10;

/// What a worker is built from.
pub struct WorkerSetup {
    /// Shared by all workers.
    pub gateway: Arc<Gateway>,
    /// Where hops go.
    pub lanes: Lanes,
    /// What is served beside clicks.
    pub site: Arc<Site>,
    /// This worker's counters.
    pub counters: Arc<WorkerCounters>,
    /// Its share of the HTTP listener.
    pub http: StdListener,
    /// Its share of the TLS listener.
    pub tls: Option<(StdListener, Arc<Certificates>)>,
    /// Bounds.
    pub limits: Limits,
    /// Open connections of all workers.
    pub open: Arc<AtomicUsize>,
    /// Trusted proxies.
    pub trusted: Vec<ipnet::IpNet>,
    /// Whether they speak the PROXY protocol.
    pub proxy_protocol: bool,
    /// What to do with a click whose hop cannot be recorded in time.
    pub on_deadline: OnDeadline,
    /// Upstreams of proxied landings.
    pub upstreams: Upstreams,
    /// Turns true when draining begins.
    pub drain: signal::Receiver<bool>,
}

/// Everything the tasks of one worker share.
struct Room {
    shared: Rc<Shared>,
    watches: Rc<Watches>,
    limits: Limits,
    open: Arc<AtomicUsize>,
    proxy_protocol: bool,
    http1: http1::Builder,
    http2: http2::Builder<Local>,
}

/// Runs a worker until it has drained. Blocks the thread.
///
/// # Errors
/// When the runtime or a listener cannot be set up.
pub fn run(setup: WorkerSetup) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())?;
    runtime.block_on(serve(setup))
}

async fn serve(setup: WorkerSetup) -> io::Result<()> {
    let WorkerSetup { gateway, lanes, site, counters, http, tls, limits, open, .. } = setup;
    let WorkerSetup { trusted, proxy_protocol, on_deadline, upstreams, drain, .. } = setup;
    let lane = lanes.lane();
    let pump = spawn_local(lane.pump());
    let worker = Worker::new(gateway, lane, counters)?;
    let proxy = (!upstreams.is_empty()).then(|| Proxy::new(&upstreams));
    let headers = limits.headers;
    let shared = Rc::new(Shared {
        worker,
        site,
        looks: Looks::default(),
        quick: Quick::default(),
        on_deadline,
        headers,
        trusted,
        proxy,
    });
    let watches = Watches::new(&limits);
    let room = Rc::new(Room {
        http1: http1_builder(&limits),
        http2: http2_builder(&limits),
        shared,
        watches: Rc::clone(&watches),
        open,
        proxy_protocol,
        limits,
    });

    let sweeper = spawn_local({
        let (watches, shared) = (Rc::clone(&watches), Rc::clone(&room.shared));
        async move {
            let mut ticks = tokio::time::interval(TICK);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                watches.sweep();
                shared.quick.tick();
            }
        }
    });
    let mut accepting = vec![spawn_local(accept(Rc::clone(&room), TcpListener::from_std(http)?, None, drain.clone()))];
    if let Some((listener, certificates)) = tls {
        let listener = TcpListener::from_std(listener)?;
        accepting.push(spawn_local(accept(Rc::clone(&room), listener, Some(certificates), drain.clone())));
    }
    for listener in accepting {
        // The task ends by itself when draining begins; it cannot panic on purpose.
        drop(listener.await);
    }

    watches.drain();
    let deadline = tokio::time::Instant::now() + room.limits.drain_deadline;
    let mut cut = false;
    while watches.count() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        if !cut && tokio::time::Instant::now() >= deadline {
            tracing::warn!(connections = watches.count(), "drain deadline passed: cutting off what is left");
            watches.cut();
            cut = true;
        }
    }
    sweeper.abort();
    room.shared.worker.flushed().await;
    pump.abort();
    Ok(())
}

fn http1_builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    // No hyper timer: the sweep sees to time-outs (see `watch`).
    builder.header_read_timeout(None).max_buf_size(limits.header_bytes).max_headers(limits.headers);
    // Answers are a few hundred bytes: one flat write costs less than gathering two buffers.
    // Half-close: while a hop is being recorded there is nothing to read for.
    builder.half_close(true).keep_alive(true).writev(false);
    builder
}

fn http2_builder(limits: &Limits) -> http2::Builder<Local> {
    let mut builder = http2::Builder::new(Local);
    builder
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(65_535)
        .initial_connection_window_size(1 << 20)
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(64)
        .max_send_buf_size(16 << 10);
    builder
}

/// Runs HTTP/2 streams on the worker's own thread.
#[derive(Clone, Copy)]
struct Local;

impl<F: Future + 'static> Executor<F> for Local {
    fn execute(&self, future: F) {
        drop(spawn_local(async move {
            future.await;
        }));
    }
}

async fn accept(
    room: Rc<Room>,
    listener: TcpListener,
    tls: Option<Arc<Certificates>>,
    mut drain: signal::Receiver<bool>,
) {
    loop {
        tokio::select! {
            biased;
            // A closed channel means the owner is gone: drain as well.
            _ = drain.wait_for(|draining| *draining) => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => take(&room, stream, peer, tls.as_ref()),
                // Out of descriptors, or the peer gave up: neither ends the listener.
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            },
        }
    }
    // Whoever is in the kernel's queue was told they are connected: serve them. Asked of the kernel itself, as the event
    // loop may not have heard of them yet; and for a while, as some are still shaking hands.
    let Ok(listener) = listener.into_std() else { return };
    refuse_newcomers(&listener);
    let end = tokio::time::Instant::now() + LAST_CALL;
    loop {
        while let Ok((stream, peer)) = listener.accept() {
            if stream.set_nonblocking(true).is_ok()
                && let Ok(stream) = TcpStream::from_std(stream)
            {
                take(&room, stream, peer, tls.as_ref());
            }
        }
        if tokio::time::Instant::now() >= end {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn take(room: &Rc<Room>, stream: TcpStream, peer: SocketAddr, tls: Option<&Arc<Certificates>>) {
    let counters = room.shared.worker.counters();
    bump(&counters.accepted, 1);
    if room.open.fetch_add(1, Ordering::Relaxed) >= room.limits.connections {
        room.open.fetch_sub(1, Ordering::Relaxed);
        counters.shed(Shed::Connections);
        return;
    }
    bump(&counters.connections, 1);
    let room = Rc::clone(room);
    let tls = tls.cloned();
    drop(spawn_local(async move {
        connection(&room, stream, peer.ip(), tls).await;
        let counters = room.shared.worker.counters();
        bump(&counters.connections, u64::MAX);
        room.open.fetch_sub(1, Ordering::Relaxed);
    }));
}

/// Serves one connection until it ends by itself, takes too long, or has drained.
async fn connection(room: &Rc<Room>, stream: TcpStream, peer: IpAddr, tls: Option<Arc<Certificates>>) {
    // Small answers must not wait for a full segment; a peer that is gone already is found out at the first read.
    drop(stream.set_nodelay(true));
    let watched = room.watches.add();
    let served = Guarded { watch: Rc::clone(&watched.watch), serving: pin!(served(room, stream, peer, tls, &watched)) };
    if let Some(class) = served.await {
        room.shared.worker.counters().shed(class);
    }
}

/// Polls a connection until it ends or the sweep says it must; answers why it was cut off, if it was.
struct Guarded<'f, F> {
    watch: Rc<Watch>,
    serving: Pin<&'f mut F>,
}

impl<F: Future<Output = Option<Shed>>> Future for Guarded<'_, F> {
    type Output = Option<Shed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        if let Some(class) = self.watch.ended() {
            return Poll::Ready(Some(class));
        }
        self.watch.attend(cx);
        self.serving.as_mut().poll(cx)
    }
}

async fn served(
    room: &Rc<Room>,
    mut stream: TcpStream,
    peer: IpAddr,
    tls: Option<Arc<Certificates>>,
    watched: &Watched,
) -> Option<Shed> {
    let trusted_peer = !room.shared.trusted.is_empty() && is_trusted(&room.shared.trusted, peer);
    let mut peer = peer;
    let mut ahead = BytesMut::new();
    if room.proxy_protocol && trusted_peer {
        watched.watch.enter(Phase::Handshake);
        loop {
            match proxy_header(&ahead) {
                ProxyHeader::Partial => {}
                ProxyHeader::Wrong => return Some(Shed::BadRequest),
                ProxyHeader::Whole(length, source) => {
                    peer = source.unwrap_or(peer);
                    drop(ahead.split_to(length));
                    break;
                }
            }
            if stream.read_buf(&mut ahead).await.unwrap_or(0) == 0 {
                return Some(Shed::BadRequest);
            }
        }
    }
    let (reads, writes) = stream.into_split();
    let outbox = Outbox::new(writes, Rc::clone(&watched.watch), Arc::clone(room.shared.worker.counters()));
    let secure = tls.is_some();
    let clicks = |multiplexed| Clicks {
        outbox: Rc::clone(&outbox),
        shared: Rc::clone(&room.shared),
        watch: Rc::clone(&watched.watch),
        peer,
        trusted_peer: trusted_peer && !room.proxy_protocol,
        multiplexed,
        secure,
        memory: Memory::default(),
    };
    let stream = Tracked::new(reads, Rc::clone(&watched.watch), Rc::clone(&outbox));
    let mut stream = Ahead::new(ahead.freeze(), stream);
    let watch = &watched.watch;
    match tls {
        Some(certificates) => {
            watch.enter(Phase::Handshake);
            let Ok(stream) = TlsAcceptor::from(certificates.config()).accept(stream).await else {
                return Some(Shed::Handshake);
            };
            let clicks = clicks(stream.get_ref().1.alpn_protocol() == Some(b"h2"));
            watch.enter(Phase::Head);
            let mut stream = Ahead::new(Bytes::new(), stream);
            match quick::serve(&mut stream, &clicks).await {
                Left::Over => finish(stream, watch, false).await,
                // Boxed, as most connections never come to it.
                Left::Rest { .. } => Box::pin(speak(room, stream, clicks, watch)).await,
            }
        }
        None => {
            watch.enter(Phase::Head);
            match quick::serve(&mut stream, &clicks(false)).await {
                Left::Over => finish(stream, watch, false).await,
                Left::Rest { answered } => {
                    // Who has been answered speaks HTTP/1.1; who goes without a word is gone.
                    let multiplexed = !answered && preface(&mut stream).await?;
                    Box::pin(speak(room, stream, clicks(multiplexed), watch)).await
                }
            }
        }
    }
}

/// Whether the peer begins with the preface of HTTP/2; what was read can be read again. `None` if it goes before that.
async fn preface(stream: &mut Ahead<Tracked>) -> Option<bool> {
    let mut seen = BytesMut::new();
    let multiplexed = loop {
        let length = seen.len().min(HTTP2_PREFACE.len());
        if length > 0 && seen[..length] != HTTP2_PREFACE[..length] {
            break false;
        }
        if length == HTTP2_PREFACE.len() {
            break true;
        }
        seen.reserve(2_048);
        if stream.read_buf(&mut seen).await.unwrap_or(0) == 0 {
            return None;
        }
    };
    stream.put_back(seen.freeze());
    Some(multiplexed)
}

/// HTTP over a stream that is ready for it, until it ends or has drained.
async fn speak<S>(room: &Rc<Room>, stream: S, clicks: Clicks, watch: &Rc<Watch>) -> Option<Shed>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let io = TokioIo::new(stream);
    let result = if clicks.multiplexed {
        watch.enter(Phase::Multiplexed);
        let mut connection = pin!(room.http2.serve_connection(io, clicks));
        let mut told = false;
        std::future::poll_fn(|cx| {
            if watch.draining() && !told {
                told = true;
                connection.as_mut().graceful_shutdown();
            }
            connection.as_mut().poll(cx)
        })
        .await
    } else {
        let mut connection = room.http1.serve_connection(io, clicks);
        let mut told = false;
        let result = std::future::poll_fn(|cx| {
            let polled = connection.poll_without_shutdown(cx);
            // Hyper would close on a head that has begun, or on a newcomer whose request is on its way: those are served
            // first. What was polled before the telling has read what was there to read.
            if polled.is_pending() && watch.draining() && !told && watch.phase() != Phase::Head {
                told = true;
                Pin::new(&mut connection).graceful_shutdown();
                return connection.poll_without_shutdown(cx);
            }
            polled
        })
        .await;
        finish(connection.into_parts().io.into_inner(), watch, result.is_err()).await;
        result
    };
    match result {
        Err(error) if error.is_parse() || error.is_parse_too_large() => Some(Shed::BadRequest),
        _ => None,
    }
}

/// Closes a connection in order.
async fn finish<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, watch: &Watch, failed: bool) -> Option<Shed> {
    if stream.shutdown().await.is_ok() && (watch.draining() || failed) {
        // Closing on bytes not yet read resets the connection, which may destroy the answer before them.
        drop(tokio::time::timeout(LINGER, linger(&mut stream)).await);
    }
    None
}

/// Reads and forgets until the peer has closed too.
async fn linger<S: AsyncRead + Unpin>(stream: &mut S) {
    let mut bytes = [0; 4_096];
    let mut most = LINGER_BYTES;
    while let Ok(read @ 1..) = stream.read(&mut bytes).await {
        most = most.saturating_sub(read);
        if most == 0 {
            break;
        }
    }
}
