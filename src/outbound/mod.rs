//! Connections to hosts elsewhere: which certificates are believed, which addresses may be connected to, and connecting to
//! the very addresses that were checked. Never speaks HTTP, and never connects to an address it has not checked.
//!
//! Roots are the system's (`rustls-native-certs`), so that an operator's own authority counts as it does for everything
//! else on the machine.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::webhooks::is_public;

/// For a name to be resolved.
const RESOLVE: Duration = Duration::from_secs(5);
/// For one address to accept.
const CONNECT: Duration = Duration::from_secs(5);
/// Addresses that are tried.
const MOST_ADDRESSES: usize = 3;

/// Why the certificates a host is checked against cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// A file of authorities that cannot be used.
    #[error("ca_file {path}: {problem}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// TLS cannot be set up.
    #[error("TLS for outgoing connections: {0}")]
    Rustls(#[from] rustls::Error),
}

/// Why a host has no address that may be connected to.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum LookUpError {
    /// The name was not resolved.
    #[error("`{host}` cannot be resolved: {problem}")]
    Unresolved {
        /// The name.
        host: String,
        /// What the resolver says.
        problem: String,
    },
    /// It leads to an address that is not public.
    #[error("`{host}` leads to {address}, which is not a public address")]
    NotPublic {
        /// The name.
        host: String,
        /// The address.
        address: std::net::IpAddr,
    },
}

/// Nobody accepts.
#[derive(Debug, thiserror::Error)]
#[error("{address} does not accept: {error}")]
pub struct ConnectError {
    /// The last address tried.
    pub address: SocketAddr,
    /// What the system says.
    pub error: io::Error,
}

/// Speaks TLS to hosts whose certificates are vouched for.
#[derive(Clone)]
pub struct Tls(TlsConnector);

impl Tls {
    /// Believes the authorities in a PEM file, or the system's where none is named. Speaks HTTP/1.1.
    ///
    /// # Errors
    /// [`RootsError`].
    pub fn new(authorities: Option<&Path>) -> Result<Self, RootsError> {
        let mut roots = RootCertStore::empty();
        match authorities {
            Some(path) => {
                let fault = |problem: String| RootsError::File { path: path.display().to_string(), problem };
                let certificates = CertificateDer::pem_file_iter(path)
                    .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                    .map_err(|error| fault(format!("cannot be read as PEM certificates: {error}")))?;
                for certificate in certificates {
                    roots.add(certificate).map_err(|error| fault(error.to_string()))?;
                }
                if roots.is_empty() {
                    return Err(fault("holds no certificate".to_owned()));
                }
            }
            // A host whose certificate none of them vouches for is named at the first attempt.
            None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Tls(TlsConnector::from(Arc::new(config))))
    }

    /// Shakes hands with `host`, whose certificate must name it.
    ///
    /// # Errors
    /// What is wrong with the host's name, its certificate, or its TLS.
    pub async fn handshake(&self, host: &str, stream: TcpStream) -> Result<TlsStream<TcpStream>, String> {
        let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
        self.0.connect(name, stream).await.map_err(|error| error.to_string())
    }
}

/// The addresses of a host as they are now, every one of them public unless `allow_private` says otherwise.
///
/// # Errors
/// [`LookUpError`].
pub async fn look_up(host: &str, port: u16, allow_private: bool) -> Result<Vec<SocketAddr>, LookUpError> {
    let unresolved = |problem: String| LookUpError::Unresolved { host: host.to_owned(), problem };
    let addresses: Vec<SocketAddr> = match tokio::time::timeout(RESOLVE, lookup_host((host, port))).await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => return Err(unresolved(error.to_string())),
        Err(_) => return Err(unresolved("the resolver did not answer in time".to_owned())),
    };
    checked(host, addresses, allow_private)
}

/// One address that is not public among several is enough to refuse a host: the next look-up may give that one alone.
fn checked(host: &str, addresses: Vec<SocketAddr>, allow_private: bool) -> Result<Vec<SocketAddr>, LookUpError> {
    let host = || host.to_owned();
    if addresses.is_empty() {
        return Err(LookUpError::Unresolved { host: host(), problem: "it has no address".to_owned() });
    }
    match addresses.iter().find(|address| !allow_private && !is_public(address.ip())) {
        Some(address) => Err(LookUpError::NotPublic { host: host(), address: address.ip() }),
        None => Ok(addresses),
    }
}

/// Connects to the first of some checked addresses that accepts.
///
/// # Errors
/// [`ConnectError`] of the last one tried.
pub async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, ConnectError> {
    let mut last = None;
    for address in addresses.iter().take(MOST_ADDRESSES) {
        let error = match tokio::time::timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => error,
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
        last = Some(ConnectError { address: *address, error });
    }
    let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
    Err(last.unwrap_or(ConnectError { address: nowhere, error: io::ErrorKind::AddrNotAvailable.into() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_private_address_among_public_ones_refuses_the_host() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let public = address("223.5.5.5:443");
        for text in [
            "127.0.0.1:443",
            "10.0.0.1:443",
            "192.168.1.1:443",
            "169.254.169.254:443",
            "100.64.0.1:443",
            "224.0.0.1:443",
            "[::1]:443",
            "[fe80::1]:443",
            "[fd00::1]:443",
            "[::ffff:10.0.0.1]:443",
            "[64:ff9b::a00:1]:443",
        ] {
            let private = address(text);
            let refused = Err(LookUpError::NotPublic { host: "m.tb.cn".into(), address: private.ip() });
            assert_eq!(checked("m.tb.cn", vec![private], false), refused, "{text}");
            assert_eq!(checked("m.tb.cn", vec![public, private], false), refused, "{text} behind a public one");
            assert!(checked("m.tb.cn", vec![private], true).is_ok());
        }
        assert_eq!(checked("m.tb.cn", vec![public], false), Ok(vec![public]));
        assert!(matches!(checked("m.tb.cn", Vec::new(), false), Err(LookUpError::Unresolved { .. })));
    }

    #[tokio::test]
    async fn a_name_of_this_machine_is_refused() {
        // `localhost` is in every hosts file: a real look-up that ends at a private address.
        let refused = look_up("localhost", 443, false).await.unwrap_err();
        assert!(matches!(refused, LookUpError::NotPublic { .. }), "{refused}");
    }
}
