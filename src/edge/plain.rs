//! The listeners of operators: an axum router behind the same bounds as every other listener, without the click path's
//! economies.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use ipnet::IpNet;
use tokio::net::TcpListener;
use tokio::sync::watch as signal;
use tokio::task::JoinSet;

use super::client::{forwarded, is_trusted};

/// Open connections of one such listener.
const MOST_CONNECTIONS: usize = 512;
/// The most bytes of a request's head.
const MOST_HEADER_BYTES: usize = 64 << 10;
/// From a head's first byte to its last, and between requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// For the requests under way when draining begins.
const DRAIN_DEADLINE: Duration = Duration::from_secs(5);

/// Serves `router` on `listener` until `drain` turns true and what was under way is answered. The `ConnectInfo` of a request is
/// the peer, or the visitor whom a `trusted` peer names.
pub async fn serve(listener: TcpListener, router: Router, trusted: Arc<[IpNet]>, mut drain: signal::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = begun(&mut drain) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => {
                let Ok((stream, peer)) = accepted else {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                };
                drop(stream.set_nodelay(true));
                let trusted = is_trusted(&trusted, peer.ip()).then(|| Arc::clone(&trusted));
                let router = TowerToHyperService::new(router.clone());
                let service = service_fn(move |mut request: Request<Incoming>| {
                    let visitor = match &trusted {
                        // Its port is not known.
                        Some(trusted) => SocketAddr::new(forwarded(request.headers(), trusted, peer.ip()), 0),
                        None => peer,
                    };
                    request.extensions_mut().insert(ConnectInfo(visitor));
                    router.call(request)
                });
                let mut draining = drain.clone();
                connections.spawn(async move {
                    let mut builder = http1::Builder::new();
                    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(MOST_HEADER_BYTES);
                    let connection = builder.serve_connection(TokioIo::new(stream), service);
                    let mut connection = std::pin::pin!(connection);
                    tokio::select! {
                        _ = connection.as_mut() => {}
                        () = begun(&mut draining) => {
                            connection.as_mut().graceful_shutdown();
                            drop(tokio::time::timeout(DRAIN_DEADLINE, connection).await);
                        }
                    }
                });
            }
        }
    }
    while connections.join_next().await.is_some() {}
}

/// Resolves when draining begins, or its owner is gone.
async fn begun(drain: &mut signal::Receiver<bool>) {
    drop(drain.wait_for(|draining| *draining).await);
}
