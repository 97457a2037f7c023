//! What all workers share of one upstream: its settings, how its origins fare, its figures, and how many requests are
//! under way. Names of origins are resolved here, in the background; a click never waits for a name server.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;
use url::Host;

use super::health::Health;
use crate::config::proxy::{Origin, ProxySettings, UpstreamSettings};
use crate::config::tree::Fault;
use crate::telemetry::proxy::{ProxyFigures, ProxyShown};

/// Between two look-ups of an origin's name …
const RESOLVE_EACH: Duration = Duration::from_secs(60);
/// … and while one of them has never been found.
const RESOLVE_SOON: Duration = Duration::from_secs(5);
/// For one look-up.
const RESOLVE_WITHIN: Duration = Duration::from_secs(5);

/// One upstream, shared by all workers.
pub struct Upstream {
    /// What is written.
    pub settings: UpstreamSettings,
    /// Its origins.
    pub health: Health,
    /// Its figures.
    pub figures: Arc<ProxyFigures>,
    /// Requests that may be under way.
    pub under_way: Arc<Semaphore>,
    /// Speaks TLS with its origins.
    pub tls: TlsConnector,
    /// The name each origin must prove; none for one that speaks plain HTTP.
    pub names: Vec<Option<ServerName<'static>>>,
    /// The `Host` each origin is asked for.
    pub hosts: Vec<HeaderValue>,
}

/// Every upstream, by number.
pub type Upstreams = Arc<Vec<Arc<Upstream>>>;

impl Upstream {
    fn build(settings: &UpstreamSettings) -> Result<Self, String> {
        let mut names = Vec::new();
        let mut hosts = Vec::new();
        for origin in &settings.origins {
            names.push(if origin.tls { Some(server_name(settings, origin)?) } else { None });
            let host = settings.server_name.clone().unwrap_or_else(|| authority(origin));
            hosts.push(HeaderValue::try_from(host).map_err(|error| error.to_string())?);
        }
        Ok(Upstream {
            health: Health::new(settings),
            figures: Arc::default(),
            under_way: Arc::new(Semaphore::new(settings.max_connections)),
            tls: tls(settings)?,
            names,
            hosts,
            settings: settings.clone(),
        })
    }

    /// What `/metrics` shows.
    pub fn shown(&self) -> ProxyShown<'_> {
        let origins = self.health.origins().iter().enumerate();
        ProxyShown {
            name: &self.settings.name,
            figures: &self.figures,
            origins: origins.map(|(number, state)| (state.origin.shown.as_str(), self.health.is_up(number))).collect(),
        }
    }
}

fn server_name(settings: &UpstreamSettings, origin: &Origin) -> Result<ServerName<'static>, String> {
    let name = match (&settings.server_name, &origin.host) {
        (Some(name), _) | (None, Host::Domain(name)) => name.clone(),
        (None, Host::Ipv4(address)) => address.to_string(),
        (None, Host::Ipv6(address)) => address.to_string(),
    };
    ServerName::try_from(name.clone()).map_err(|error| format!("`{name}` cannot be a server's name: {error}"))
}

/// Host, and port where it is not the scheme's own.
fn authority(origin: &Origin) -> String {
    let usual = if origin.tls { 443 } else { 80 };
    if origin.port == usual { origin.host.to_string() } else { format!("{}:{}", origin.host, origin.port) }
}

fn tls(settings: &UpstreamSettings) -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    match &settings.ca {
        Some(path) => {
            let fault = |problem: String| format!("ca {}: {problem}", path.display());
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
        None if settings.origins.iter().any(|origin| origin.tls) => {
            // An origin whose certificate none of them vouches for is named when it is first asked.
            let _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        None => {}
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Builds every upstream.
///
/// # Errors
/// Every certificate or name that cannot be used.
pub fn build(settings: &ProxySettings) -> Result<Upstreams, Vec<Fault>> {
    let (mut built, mut faults) = (Vec::new(), Vec::new());
    for settings in &settings.upstreams {
        match Upstream::build(settings) {
            Ok(upstream) => built.push(Arc::new(upstream)),
            Err(problem) => {
                faults.push(Fault { file: "proxy".to_owned(), line: 0, field: settings.name.clone(), problem });
            }
        }
    }
    if faults.is_empty() { Ok(Arc::new(built)) } else { Err(faults) }
}

/// Looks the origins' names up now and then, as long as it is polled; at once for the first time. Ends by itself where no
/// origin has a name.
pub async fn resolve(upstreams: Upstreams) {
    loop {
        let (mut named, mut missing) = (false, false);
        for upstream in upstreams.iter() {
            for (number, state) in upstream.health.origins().iter().enumerate() {
                let Some(name) = state.name() else { continue };
                named = true;
                match tokio::time::timeout(RESOLVE_WITHIN, tokio::net::lookup_host(name)).await {
                    Ok(Ok(addresses)) => state.resolved(addresses.collect()),
                    Ok(Err(error)) => {
                        tracing::warn!(origin = state.origin.shown, %error, "the origin's name cannot be resolved");
                    }
                    Err(_) => tracing::warn!(origin = state.origin.shown, "the name server does not answer"),
                }
                missing |= state.addresses().is_empty() && !upstream.health.is_up(number);
            }
        }
        if !named {
            return;
        }
        tokio::time::sleep(if missing { RESOLVE_SOON } else { RESOLVE_EACH }).await;
    }
}
