//! Noticing that a creator is at work, so that its clicks on links of its own can be told from its readers'. Hands on what the
//! request itself shows and keeps nothing.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request};
use axum::http::header;

use super::guard::Caller;
use super::keys::Role;

/// What is done with a sighting: the creator, its address, its User-Agent.
type Noted = dyn Fn(&str, IpAddr, &[u8]) + Send + Sync;

/// Where sightings of creators go.
#[derive(Clone)]
pub struct Sightings(Arc<Noted>);

impl Sightings {
    /// Hands each to `noted`, which must not wait for anything.
    pub fn new(noted: impl Fn(&str, IpAddr, &[u8]) + Send + Sync + 'static) -> Self {
        Sightings(Arc::new(noted))
    }

    /// Nobody is told.
    pub fn untold() -> Self {
        Self::new(|_, _, _| {})
    }

    /// Notes who made a request, if that is a creator.
    pub(super) fn note(&self, caller: &Caller, request: &Request) {
        let (Role::Creator, Some(creator)) = (caller.role, &caller.scope) else { return };
        let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>() else { return };
        let agent = request.headers().get(header::USER_AGENT).map_or(&b""[..], |agent| agent.as_bytes());
        // Without one, every script of an agency would be its creator.
        if !agent.is_empty() {
            (self.0)(creator, peer.ip(), agent);
        }
    }
}
