//! TLS: certificates by server name, reloaded whole or not at all, session tickets that survive a reload. One crypto
//! provider, ring. Never serves a certificate it could not pair with its key.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::config::settings::CertificateFiles;

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds something else.
    #[error("{path}: {what}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and the mend.
        what: String,
    },
    /// Rustls refuses the set-up.
    #[error("TLS cannot be set up: {0}")]
    Rustls(#[from] rustls::Error),
    /// None are configured.
    #[error("no certificate is configured: add [[tls.certificates]], or run `hopgate certs dev`")]
    None,
}

/// A certificate in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InUse {
    /// The first name it is for.
    pub name: String,
    /// Unix seconds after which no client takes it.
    pub not_after: i64,
}

/// The certificates in use, and how to read them again.
pub struct Certificates {
    files: Vec<CertificateFiles>,
    tickets: Arc<dyn ProducesTickets>,
    current: ArcSwap<(Arc<ServerConfig>, Vec<InUse>)>,
    failures: AtomicU64,
}

impl Certificates {
    /// Reads every certificate and key.
    ///
    /// # Errors
    /// [`TlsError`] naming the file.
    pub fn load(files: &[CertificateFiles]) -> Result<Self, TlsError> {
        let tickets = ring::Ticketer::new()?;
        let loaded = read(files, &tickets)?;
        Ok(Certificates {
            files: files.to_vec(),
            tickets,
            current: ArcSwap::from_pointee(loaded),
            failures: AtomicU64::new(0),
        })
    }

    /// What new connections use.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.load().0)
    }

    /// The certificates in use.
    pub fn in_use(&self) -> Vec<InUse> {
        self.current.load().1.clone()
    }

    /// How many reloads failed and kept the last good set.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Reads the files again; on any fault the last good set stays in use.
    ///
    /// # Errors
    /// [`TlsError`] naming the file.
    pub fn reload(&self) -> Result<(), TlsError> {
        match read(&self.files, &self.tickets) {
            Ok(loaded) => {
                self.current.store(Arc::new(loaded));
                Ok(())
            }
            Err(error) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                Err(error)
            }
        }
    }

    /// The files that are read, for watching.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().flat_map(|pair| [pair.chain.as_path(), pair.key.as_path()])
    }
}

fn read(
    files: &[CertificateFiles],
    tickets: &Arc<dyn ProducesTickets>,
) -> Result<(Arc<ServerConfig>, Vec<InUse>), TlsError> {
    let provider = Arc::new(ring::default_provider());
    let mut by_name = ByName::default();
    let mut in_use = Vec::new();
    for pair in files {
        let (key, names, not_after) = certified(pair, &provider)?;
        let key = Arc::new(key);
        in_use.push(InUse { name: names.first().cloned().unwrap_or_default(), not_after });
        for name in names {
            by_name.names.entry(name).or_insert_with(|| Arc::clone(&key));
        }
        by_name.default.get_or_insert(key);
    }
    if by_name.default.is_none() {
        return Err(TlsError::None);
    }
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(by_name));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = Arc::clone(tickets);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 2;
    Ok((Arc::new(config), in_use))
}

fn certified(
    pair: &CertificateFiles,
    provider: &Arc<CryptoProvider>,
) -> Result<(CertifiedKey, Vec<String>, i64), TlsError> {
    let fault = |path: &Path, what: String| TlsError::File { path: path.to_path_buf(), what };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&pair.chain)
        .and_then(Iterator::collect)
        .map_err(|error| fault(&pair.chain, format!("cannot be read as PEM certificates: {error}")))?;
    let Some(leaf) = chain.first() else {
        return Err(fault(&pair.chain, "holds no certificate: put the chain there, leaf first".to_owned()));
    };
    let (_, parsed) = X509Certificate::from_der(leaf)
        .map_err(|error| fault(&pair.chain, format!("its first certificate cannot be read: {error}")))?;
    let not_after = parsed.validity().not_after.timestamp();
    let names: Vec<String> = parsed
        .subject_alternative_name()
        .ok()
        .flatten()
        .map(|names| {
            let dns = names.value.general_names.iter();
            dns.filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
                _ => None,
            })
            .collect()
        })
        .unwrap_or_default();
    let key = PrivateKeyDer::from_pem_file(&pair.key)
        .map_err(|error| fault(&pair.key, format!("cannot be read as a PEM private key: {error}")))?;
    let key = CertifiedKey::from_der(chain, key, provider)
        .map_err(|error| fault(&pair.key, format!("does not go with {}: {error}", pair.chain.display())))?;
    Ok((key, names, not_after))
}

/// Picks a certificate by server name: the exact name, else a wildcard of its parent, else the first configured.
#[derive(Debug, Default)]
struct ByName {
    names: HashMap<String, Arc<CertifiedKey>>,
    default: Option<Arc<CertifiedKey>>,
}

impl ByName {
    fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let exact = |name: &str| self.names.get(name);
        let wildcard = |name: &str| name.split_once('.').and_then(|(_, parent)| self.names.get(&format!("*.{parent}")));
        let name = name.map(str::to_ascii_lowercase);
        name.as_deref().and_then(|name| exact(name).or_else(|| wildcard(name))).or(self.default.as_ref()).cloned()
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name())
    }
}

/// Writes a self-signed development certificate and its key into `folder`, for `names`. Never overwrites.
///
/// # Errors
/// [`TlsError::File`].
pub fn write_dev(folder: &Path, names: &[String]) -> Result<CertificateFiles, TlsError> {
    let fault = |path: &Path, what: String| TlsError::File { path: path.to_path_buf(), what };
    let files = CertificateFiles { chain: folder.join("dev.pem"), key: folder.join("dev.key.pem") };
    for path in [&files.chain, &files.key] {
        if path.exists() {
            return Err(fault(path, "is already there: remove it first, or write to another folder".to_owned()));
        }
    }
    let made = rcgen::generate_simple_self_signed(names.to_vec())
        .map_err(|error| fault(&files.chain, format!("cannot be made: {error}")))?;
    let wrote = std::fs::create_dir_all(folder)
        .and_then(|()| crate::click::write_private(&files.key, made.signing_key.serialize_pem().as_bytes()))
        .and_then(|()| std::fs::write(&files.chain, made.cert.pem()));
    wrote.map_err(|error| fault(folder, format!("cannot be written: {error}")))?;
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(folder: &Path, names: &[&str]) -> CertificateFiles {
        write_dev(folder, &names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_bad_reload_keeps_the_last_good_set() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = make(one.path(), &["go.example.com", "*.shop.example.com"]);
        let second = make(two.path(), &["other.example.com"]);
        let certificates = Certificates::load(&[first.clone(), second.clone()]).unwrap();
        assert_eq!(certificates.in_use()[0].name, "go.example.com");

        std::fs::copy(&second.key, &first.key).unwrap();
        let error = certificates.reload().unwrap_err().to_string();
        assert!(error.contains("dev.key.pem") && error.contains("does not go with"), "{error}");
        std::fs::write(&first.chain, "not PEM").unwrap();
        assert!(certificates.reload().is_err());
        assert_eq!((certificates.in_use().len(), certificates.failures()), (2, 2));

        std::fs::copy(&second.chain, &first.chain).unwrap();
        certificates.reload().unwrap();
        assert_eq!(certificates.in_use()[0].name, "other.example.com");
        assert!(write_dev(one.path(), &["x".to_owned()]).is_err(), "an existing file is never overwritten");
    }

    #[test]
    fn names_pick_their_certificate() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let files = [make(one.path(), &["a.example"]), make(two.path(), &["*.b.example"])];
        let provider = Arc::new(ring::default_provider());
        let mut by_name = ByName::default();
        for pair in &files {
            let (key, names, _) = certified(pair, &provider).unwrap();
            let key = Arc::new(key);
            by_name.default.get_or_insert_with(|| Arc::clone(&key));
            names.into_iter().for_each(|name| drop(by_name.names.insert(name, Arc::clone(&key))));
        }
        let first = by_name.find(None).unwrap();
        let second = by_name.find(Some("X.b.example")).unwrap();
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&first, &by_name.find(Some("a.example")).unwrap()));
        assert!(Arc::ptr_eq(&first, &by_name.find(Some("y.x.b.example")).unwrap()), "a wildcard spans one label");
        assert!(Certificates::load(&[]).is_err());
    }
}
