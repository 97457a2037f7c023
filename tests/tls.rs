//! TLS as clients see it: versions, names, protocols, resumption, and certificates that change under open connections.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hopgate::config::settings::CertificateFiles;
use hopgate::edge::tls::write_dev;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, RootCertStore, SignatureScheme, StreamOwned,
    SupportedProtocolVersion, version,
};
use support::{Client, Gateway, JD, eventually};

const NOW: &str = "2022-11-15 12:00:00";

fn certificate(folder: &Path, name: &str) -> CertificateFiles {
    write_dev(&folder.join(name), &[name.to_owned()]).unwrap()
}

fn der(files: &CertificateFiles) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(&files.chain).unwrap()
}

struct Tls {
    gateway: Gateway,
    folder: tempfile::TempDir,
    files: Vec<CertificateFiles>,
    path: String,
}

impl Tls {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = vec![certificate(folder.path(), "one.example"), certificate(folder.path(), "two.example")];
        let used = files.clone();
        let gateway = Gateway::start_with(NOW, |settings| {
            settings.listen.tls = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
            settings.certificates = used;
        });
        let path = format!("/{}", gateway.link(JD, "kuaishou/live_cart", "self_operated"));
        Tls { gateway, folder, files, path }
    }

    fn address(&self) -> SocketAddr {
        self.gateway.app().addresses().tls.unwrap()
    }

    /// A client that believes only the two certificates.
    fn strict(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        self.files.iter().for_each(|files| roots.add(der(files)).unwrap());
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        builder.with_protocol_versions(versions).unwrap().with_root_certificates(roots).with_no_client_auth()
    }

    /// A client that believes any certificate, to look at it.
    fn credulous(&self) -> ClientConfig {
        let provider = Arc::new(ring::default_provider());
        ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Credulous(provider)))
            .with_no_client_auth()
    }

    /// The certificate a new connection is shown.
    fn shown(&self, name: &str) -> CertificateDer<'static> {
        let stream = connect(self.address(), self.credulous().into(), name).unwrap();
        stream.conn.peer_certificates().unwrap()[0].clone().into_owned()
    }
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

fn connect(address: SocketAddr, config: Arc<ClientConfig>, name: &str) -> std::io::Result<Stream> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = ClientConnection::new(config, name).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut socket)?;
    }
    Ok(StreamOwned::new(connection, socket))
}

/// One click; the answer's head.
fn click(stream: &mut Stream, path: &str) -> String {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: one.example\r\n\r\n").unwrap();
    let (mut head, mut buffer) = (String::new(), [0; 2_048]);
    while !head.contains("\r\n\r\n") {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "closed after {head:?}");
        head.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    head
}

fn redirects(head: &str) {
    assert!(head.starts_with("HTTP/1.1 302 "), "{head}");
    assert!(head.to_ascii_lowercase().contains(&format!("location: {}", JD.to_ascii_lowercase())), "{head}");
}

#[derive(Debug)]
struct Credulous(Arc<CryptoProvider>);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[test]
fn both_versions_and_both_names_redirect_and_resume() {
    let tls = Tls::start();
    for wanted in [&version::TLS12, &version::TLS13] {
        for (number, name) in ["one.example", "two.example"].into_iter().enumerate() {
            let config = Arc::new(tls.strict(&[wanted]));
            let mut first = connect(tls.address(), Arc::clone(&config), name).expect("a certificate for the name");
            assert_eq!(first.conn.protocol_version(), Some(wanted.version));
            assert_eq!(first.conn.peer_certificates().unwrap()[0], der(&tls.files[number]), "{name}");
            assert_eq!(first.conn.handshake_kind(), Some(HandshakeKind::Full));
            redirects(&click(&mut first, &tls.path));
            // The click has brought the tickets too.
            let mut second = connect(tls.address(), Arc::clone(&config), name).unwrap();
            assert_eq!(second.conn.handshake_kind(), Some(HandshakeKind::Resumed), "{name} {wanted:?}");
            redirects(&click(&mut second, &tls.path));
            redirects(&click(&mut first, &tls.path));
        }
    }
    assert_eq!(tls.gateway.hops().len(), 12);
    // Tickets outlive a reload: their key stays.
    let config = Arc::new(tls.strict(&[&version::TLS13]));
    click(&mut connect(tls.address(), Arc::clone(&config), "one.example").unwrap(), &tls.path);
    tls.gateway.app().block_on(tls.gateway.app().reload());
    let again = connect(tls.address(), config, "one.example").unwrap();
    assert_eq!(again.conn.handshake_kind(), Some(HandshakeKind::Resumed));
}

#[test]
fn unknown_names_get_the_first_certificate() {
    let tls = Tls::start();
    assert_eq!(tls.shown("two.example"), der(&tls.files[1]));
    assert_eq!(tls.shown("TWO.example"), der(&tls.files[1]));
    assert_eq!(tls.shown("unknown.example"), der(&tls.files[0]));
    assert_eq!(tls.shown("127.0.0.1"), der(&tls.files[0]), "an address sends no name");
    let refused = connect(tls.address(), tls.strict(&[&version::TLS13]).into(), "unknown.example");
    assert!(refused.is_err(), "a strict client does not believe it");
}

#[test]
fn the_protocol_is_agreed_on() {
    let tls = Tls::start();
    let with = |protocols: &[&[u8]]| {
        let mut config = tls.strict(&[&version::TLS13]);
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    };
    let mut plain = connect(tls.address(), with(&[b"http/1.1"]), "one.example").unwrap();
    assert_eq!(plain.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    redirects(&click(&mut plain, &tls.path));
    assert!(connect(tls.address(), with(&[b"spdy/1"]), "one.example").is_err(), "nothing in common");

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let socket = tokio::net::TcpStream::connect(tls.address()).await.unwrap();
        let name = ServerName::try_from("two.example").unwrap();
        let connector = tokio_rustls::TlsConnector::from(with(&[b"h2", b"http/1.1"]));
        let stream = connector.connect(name, socket).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (send, connection) = h2::client::handshake(stream).await.unwrap();
        let driver = tokio::spawn(connection);
        let mut send = send.ready().await.unwrap();
        for _ in 0..3 {
            let uri = format!("https://two.example{}", tls.path);
            let request = http::Request::get(uri).body(()).unwrap();
            let answer = send.send_request(request, true).unwrap().0.await.unwrap();
            assert_eq!((answer.status().as_u16(), answer.headers()["location"].to_str().unwrap()), (302, JD));
            assert_eq!(answer.headers()["hop-id"].len(), 32);
        }
        driver.abort();
    });
    assert_eq!(tls.gateway.hops().len(), 4);
}

#[test]
fn certificates_change_under_open_connections() {
    let tls = Tls::start();
    let failures = || tls.gateway.metric("hopgate_certificate_reload_failures_total");
    let mut open = connect(tls.address(), tls.credulous().into(), "one.example").unwrap();
    redirects(&click(&mut open, &tls.path));
    let old = der(&tls.files[0]);
    assert_eq!((tls.shown("one.example"), failures()), (old.clone(), 0.0));

    // A broken file: counted, and the last good one stays.
    std::fs::write(&tls.files[0].chain, "-----BEGIN CERTIFICATE-----\nnonsense\n").unwrap();
    eventually("the broken file is noticed", || failures() >= 1.0);
    assert_eq!(tls.shown("one.example"), old);
    redirects(&click(&mut open, &tls.path));
    // A file that is gone, too.
    std::fs::remove_file(&tls.files[0].chain).unwrap();
    eventually("the missing file is noticed", || failures() >= 2.0);
    assert_eq!(tls.shown("one.example"), old);

    let new = write_dev(&tls.folder.path().join("new"), &["one.example".to_owned()]).unwrap();
    std::fs::copy(&new.key, &tls.files[0].key).unwrap();
    std::fs::copy(&new.chain, &tls.files[0].chain).unwrap();
    eventually("the new one is taken", || tls.shown("one.example") == der(&new));
    assert_eq!(tls.shown("two.example"), der(&tls.files[1]), "the other stays");
    redirects(&click(&mut open, &tls.path));
    assert_eq!(open.conn.peer_certificates().unwrap()[0], old, "it is the same connection");
}

#[test]
fn plain_requests_and_broken_handshakes_are_closed() {
    let tls = Tls::start();
    let mut plain = Client::connect(tls.address());
    plain.send(format!("GET {} HTTP/1.1\r\nHost: one.example\r\n\r\n", tls.path).as_bytes()).unwrap();
    let mut said = Vec::new();
    plain.socket().set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    match plain.socket().read_to_end(&mut said) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
    assert!(!said.starts_with(b"HTTP"), "{said:?}");
    let ops = tls.gateway.app().addresses().ops;
    eventually("counted", || support::shed(ops, "handshake") == 1.0);
    assert_eq!(tls.gateway.hops().len(), 0);
    // The other way round: a TLS client on the plain port.
    assert!(connect(tls.gateway.click_address(), tls.credulous().into(), "one.example").is_err());
    redirects(&click(&mut connect(tls.address(), tls.credulous().into(), "one.example").unwrap(), &tls.path));
}

#[test]
fn a_drain_over_tls_ends_in_order() {
    let mut tls = Tls::start();
    let config: Arc<ClientConfig> = tls.credulous().into();
    let mut idle = connect(tls.address(), Arc::clone(&config), "one.example").unwrap();
    redirects(&click(&mut idle, &tls.path));
    let mut fresh = connect(tls.address(), config, "one.example").unwrap();
    eventually("both are in", || tls.gateway.metric("hopgate_connections") >= 2.0);
    let app = tls.gateway.app.take().unwrap();
    let stopping = std::thread::spawn(move || app.stop());
    // Says goodbye in the way of TLS: nobody can pass a cut for an end.
    assert_eq!(idle.read(&mut [0; 64]).expect("a close_notify"), 0);
    drop(idle);
    redirects(&click(&mut fresh, &tls.path));
    assert_eq!(fresh.read(&mut [0; 64]).expect("a close_notify"), 0);
    drop(fresh);
    stopping.join().unwrap().unwrap();
}
