//! The floor that `load-tests/run` measures against: hyper 1 answering one constant 302, and nothing else.
//!
//! Usage: `bare_hyper [ADDRESS:PORT] [WORKERS]`. Prints `ready click=http://…` and serves until it is killed.
//!
//! Made to be as fast as hyper honestly goes: one current-thread runtime per worker on its own `SO_REUSEPORT` socket,
//! `TCP_NODELAY`, pipelined flushes, no timers, no limits, no log, no look-up. Its result is a bar for the gateway, so
//! nothing here may be slower than it has to be.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, HeaderValue, LOCATION};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::{Builder, LocalOptions};

const TARGET: &str = "https://item.jd.com/100012043978.html";

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    let workers: usize = args.next().map_or(Ok(1), |n| n.parse()).map_err(io::Error::other)?;

    // The first socket settles which port it is when the caller asked for port 0; the others share it.
    let first = listen(address)?;
    let bound = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..workers {
        sockets.push(listen(bound)?);
    }
    println!("ready click=http://{bound}");

    let threads: Vec<_> = sockets.into_iter().map(|socket| std::thread::spawn(move || work(socket))).collect();
    for thread in threads {
        thread.join().map_err(|_| io::Error::other("a worker panicked"))??;
    }
    Ok(())
}

/// A listening socket that other workers may share.
fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    // A tokio socket needs a runtime only to become a tokio listener, so this one lives for the call.
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let _inside = runtime.enter();
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(4096)?.into_std()
}

/// One worker: one thread, one runtime, one socket.
fn work(socket: std::net::TcpListener) -> io::Result<()> {
    Builder::new_current_thread().enable_io().build_local(LocalOptions::default())?.block_on(accept(socket))
}

async fn accept(socket: std::net::TcpListener) -> io::Result<()> {
    let listener = TcpListener::from_std(socket)?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::task::spawn_local(serve(stream));
            }
            // Out of descriptors or an aborted handshake: the next accept may work.
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

async fn serve(stream: TcpStream) {
    // Neither failure can be mended here: a peer that goes away ends its connection with an error.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| std::future::ready(Ok::<_, Infallible>(redirect(&request))));
    let _ = http1::Builder::new().pipeline_flush(true).serve_connection(TokioIo::new(stream), service).await;
}

fn redirect(_: &Request<Incoming>) -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = StatusCode::FOUND;
    let headers = response.headers_mut();
    headers.insert(LOCATION, HeaderValue::from_static(TARGET));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
