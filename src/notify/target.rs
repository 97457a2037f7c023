//! Whom an event may be sent to: a host all of whose addresses are public, unless its settings say otherwise. What was
//! checked is what is connected to. Never sends anything.

use std::net::SocketAddr;

use url::{Position, Url, form_urlencoded};

use super::sign::{SecretError, Secrets};
use crate::config::webhooks::{WebhookSettings, not_public};
use crate::outbound::{LookUpError, look_up};

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

/// An address as it may be shown: of its query the names alone, because values are often secrets.
pub fn shown(url: &Url) -> String {
    let mut shown = url[..Position::AfterPath].to_owned();
    let names: Vec<String> = url
        .query_pairs()
        .map(|(name, _)| form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>() + "=…")
        .collect();
    if !names.is_empty() {
        shown.push('?');
        shown += &names.join("&");
    }
    shown
}

/// The addresses of a receiver as they are now, every one of them checked.
///
/// # Errors
/// [`TargetError`].
pub async fn resolve(settings: &WebhookSettings) -> Result<Vec<SocketAddr>, TargetError> {
    resolve_url(&settings.url, settings.allow_private).await
}

/// The addresses of a fixed address as they are now, every one of them checked.
///
/// # Errors
/// [`TargetError`].
pub async fn resolve_url(url: &Url, allow_private: bool) -> Result<Vec<SocketAddr>, TargetError> {
    let host = url.host_str().unwrap_or_default().to_owned();
    let port = url.port_or_known_default().unwrap_or(443);
    // An IPv6 address stands in brackets in a URL and without them everywhere else.
    let name = host.trim_start_matches('[').trim_end_matches(']');
    look_up(name, port, allow_private).await.map_err(|error| match error {
        LookUpError::Unresolved { problem, .. } => TargetError::Unresolved { host, problem },
        LookUpError::NotPublic { address, .. } => TargetError::Refused { host, problem: not_public(address) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_query_the_names_alone_are_shown() {
        for (url, wanted) in [
            ("https://a.example:8443/pb?token=SECRET&v=1", "https://a.example:8443/pb?token=…&v=…"),
            ("https://a.example/pb?a%26b=SECRET&%E4%B8%AD", "https://a.example/pb?a%26b=…&%E4%B8%AD=…"),
            ("https://a.example/hooks/1", "https://a.example/hooks/1"),
            ("https://a.example/pb?", "https://a.example/pb"),
        ] {
            assert_eq!(shown(&Url::parse(url).unwrap()), wanted);
        }
    }
}
