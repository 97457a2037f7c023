//! A receiver of webhooks over real sockets, plain or with TLS: keeps what it was sent, checks its signature, and answers as
//! a test tells it to.
#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hopgate::config::settings::CertificateFiles;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

/// 32 bytes.
pub const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

#[derive(Clone, Debug)]
pub struct Received {
    pub id: String,
    pub headers: HashMap<String, String>,
    pub body: Value,
}

/// What to answer: a status line and more headers; `None` never answers.
type Answers = Box<dyn Fn(usize) -> Option<String> + Send + Sync>;

pub struct Receiver {
    pub address: SocketAddr,
    pub connections: Arc<AtomicUsize>,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    /// One that answers 204.
    pub fn start() -> Self {
        Self::answering(|_| Some("204 No Content".to_owned()))
    }

    /// One that answers what `answers` makes of the number of the request, from 0.
    pub fn answering(answers: impl Fn(usize) -> Option<String> + Send + Sync + 'static) -> Self {
        Self::listening(Box::new(answers), None)
    }

    /// One that speaks TLS.
    pub fn with_tls(files: &CertificateFiles) -> Self {
        let chain = CertificateDer::pem_file_iter(&files.chain).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        Self::listening(Box::new(|_| Some("200 OK".to_owned())), Some(Arc::new(config)))
    }

    fn listening(answers: Answers, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (received, connections) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (kept, counted) = (Arc::clone(&received), Arc::clone(&connections));
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                counted.fetch_add(1, Ordering::SeqCst);
                let number = kept.lock().unwrap().len();
                match &tls {
                    Some(config) => {
                        let session = ServerConnection::new(Arc::clone(config)).unwrap();
                        let mut stream = StreamOwned::new(session, stream);
                        // A client that does not trust us hangs up: nothing was received.
                        if let Some(one) = read(&mut BufReader::new(&mut stream)) {
                            kept.lock().unwrap().push(one);
                            drop(answer(&mut stream, &answers(number).unwrap()));
                            stream.conn.send_close_notify();
                            drop(stream.flush());
                        }
                    }
                    None => {
                        let Some(one) = read(&mut BufReader::new(&stream)) else { continue };
                        kept.lock().unwrap().push(one);
                        match answers(number) {
                            Some(text) => drop(answer(&mut &stream, &text)),
                            None => silent.push(stream),
                        }
                    }
                }
            }
        });
        Receiver { address, connections, received }
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.received.lock().unwrap().len()
    }

    /// Types of what was received, with the id it came under.
    pub fn types(&self) -> Vec<String> {
        self.received().iter().map(|one| one.body["type"].as_str().unwrap().to_owned()).collect()
    }
}

fn read(stream: &mut impl BufRead) -> Option<Received> {
    let mut line = String::new();
    stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
    assert!(line.starts_with("POST /"), "{line}");
    let mut headers = HashMap::new();
    loop {
        line.clear();
        stream.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    stream.read_exact(&mut body).ok()?;
    let body = String::from_utf8(body).unwrap();
    // As any receiver would: by the published scheme, from the headers and the body as they came.
    let signed = format!("{}.{}.{body}", headers["webhook-id"], headers["webhook-timestamp"]);
    let secret = STANDARD.decode(SECRET.strip_prefix("whsec_").unwrap()).unwrap();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret);
    let expected = format!("v1,{}", STANDARD.encode(ring::hmac::sign(&key, signed.as_bytes())));
    assert!(headers["webhook-signature"].split(' ').any(|one| one == expected), "{headers:?}");
    let value: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(value["id"], *headers["webhook-id"], "one id in the head and in the body");
    Some(Received { id: headers["webhook-id"].clone(), headers, body: value })
}

fn answer(stream: &mut impl Write, text: &str) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {text}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
    stream.flush()
}
