//! Whom an event may be sent to: a host all of whose addresses are public, unless its settings say otherwise. What was
//! checked is what is connected to. Never sends anything.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::lookup_host;

use super::sign::{SecretError, Secrets};
use crate::config::webhooks::{WebhookSettings, is_public, not_public};

/// For a name to be resolved.
const RESOLVE: Duration = Duration::from_secs(5);

/// Why a host cannot be sent to.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum TargetError {
    /// The name was not resolved.
    #[error("`{host}` cannot be resolved: {problem}")]
    Unresolved {
        /// The name.
        host: String,
        /// What the resolver says.
        problem: String,
    },
    /// It leads where it may not.
    #[error("`{host}` {problem}")]
    Refused {
        /// The name.
        host: String,
        /// Why, and the mend.
        problem: String,
    },
}

/// A receiver, ready to be sent to.
pub struct Target {
    /// Its settings.
    pub settings: WebhookSettings,
    /// What signs for it.
    pub secrets: Secrets,
}

impl Target {
    /// Reads the secrets of a receiver.
    ///
    /// # Errors
    /// Every secret that cannot be used.
    pub fn new(settings: WebhookSettings) -> Result<Self, Vec<SecretError>> {
        let secrets = Secrets::read(&settings.secrets)?;
        Ok(Target { settings, secrets })
    }
}

/// The addresses of a receiver as they are now, every one of them checked.
///
/// # Errors
/// [`TargetError`].
pub async fn resolve(settings: &WebhookSettings) -> Result<Vec<SocketAddr>, TargetError> {
    let host = settings.url.host_str().unwrap_or_default().to_owned();
    let port = settings.url.port_or_known_default().unwrap_or(443);
    let unresolved = |problem: String| TargetError::Unresolved { host: host.clone(), problem };
    // An IPv6 address stands in brackets in a URL and without them everywhere else.
    let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let looked_up = tokio::time::timeout(RESOLVE, lookup_host((name.as_str(), port))).await;
    let addresses: Vec<SocketAddr> = match looked_up {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => return Err(unresolved(error.to_string())),
        Err(_) => return Err(unresolved("the resolver did not answer in time".to_owned())),
    };
    if addresses.is_empty() {
        return Err(unresolved("it has no address".to_owned()));
    }
    // One address that is not public among several is enough: the next look-up may give that one alone.
    let refused = addresses.iter().find(|address| !settings.allow_private && !is_public(address.ip()));
    match refused {
        Some(address) => Err(TargetError::Refused { host, problem: not_public(address.ip()) }),
        None => Ok(addresses),
    }
}
