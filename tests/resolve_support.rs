//! The marketplaces' short-link pages on a local HTTPS server with a certificate of its own: every host is the same server,
//! which answers as a table tells it to and remembers what it was asked.
#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hopgate::config::resolve::ResolveSettings;
use hopgate::edge::tls::write_dev;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

pub const HOSTS: [&str; 9] = [
    "m.tb.cn",
    "e.tb.cn",
    "tb.cn",
    "s.click.taobao.com",
    "u.jd.com",
    "union-click.jd.com",
    "3.cn",
    "3.jd.hk",
    "item.jd.com",
];

/// What a page answers.
#[derive(Clone, Debug)]
pub enum Page {
    /// 200 with this text.
    Html(String),
    /// 302 to this address.
    To(String),
    /// A status line and more headers, and a body.
    Raw(String, Vec<u8>),
    /// A head, some bytes, and then nothing more until the client has gone.
    Stalls,
}

pub fn html(text: impl Into<String>) -> Page {
    Page::Html(text.into())
}

pub fn to(address: impl Into<String>) -> Page {
    Page::To(address.into())
}

pub struct Sites {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    heads: Arc<Mutex<Vec<String>>>,
    pages: Arc<Mutex<BTreeMap<String, Page>>>,
    folder: TempDir,
}

impl Sites {
    /// Pages by `host/path`.
    pub fn start(pages: impl IntoIterator<Item = (&'static str, Page)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = write_dev(folder.path(), &HOSTS.map(str::to_owned)).unwrap();
        let chain = CertificateDer::pem_file_iter(&files.chain).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
        std::fs::copy(&files.chain, folder.path().join("ca.pem")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let sites = Sites {
            address: listener.local_addr().unwrap(),
            asked: Arc::default(),
            heads: Arc::default(),
            pages: Arc::new(Mutex::new(pages.into_iter().map(|(at, page)| (at.to_owned(), page)).collect())),
            folder,
        };
        let (asked, heads, pages) = (Arc::clone(&sites.asked), Arc::clone(&sites.heads), Arc::clone(&sites.pages));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (config, asked, heads) = (Arc::clone(&config), Arc::clone(&asked), Arc::clone(&heads));
                let pages = Arc::clone(&pages);
                std::thread::spawn(move || {
                    drop(stream.set_read_timeout(Some(Duration::from_secs(20))));
                    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
                    let Some(head) = head(&mut BufReader::new(&mut stream)) else {
                        return;
                    };
                    let host = head
                        .lines()
                        .find_map(|line| line.to_ascii_lowercase().strip_prefix("host: ").map(str::to_owned));
                    let at = format!("{}{}", host.unwrap(), head.split(' ').nth(1).unwrap());
                    asked.lock().unwrap().push(at.clone());
                    heads.lock().unwrap().push(head);
                    let page = pages.lock().unwrap().get(&at).cloned();
                    answer(&mut stream, page.unwrap_or(Page::Raw("404 Not Found".into(), Vec::new())));
                });
            }
        });
        sites
    }

    /// Settings that ask this server for every host.
    pub fn settings(&self) -> ResolveSettings {
        ResolveSettings {
            enabled: Some(true),
            via: HOSTS.into_iter().map(|host| (host.to_owned(), self.address)).collect(),
            ca: Some(self.ca()),
            ..ResolveSettings::default()
        }
    }

    pub fn ca(&self) -> std::path::PathBuf {
        Path::join(self.folder.path(), "ca.pem")
    }

    /// The pages asked so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// The heads of the requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    pub fn put(&self, at: &str, page: Page) {
        self.pages.lock().unwrap().insert(at.to_owned(), page);
    }
}

fn head(stream: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
        if line == "\r\n" {
            return Some(head);
        }
        head.push_str(&line);
    }
}

fn answer(stream: &mut StreamOwned<ServerConnection, std::net::TcpStream>, page: Page) {
    let (status, body) = match page {
        Page::Html(text) => ("200 OK\r\nContent-Type: text/html".to_owned(), text.into_bytes()),
        Page::To(address) => (format!("302 Found\r\nLocation: {address}"), Vec::new()),
        Page::Raw(status, body) => (status, body),
        Page::Stalls => {
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n<html>"));
            drop(stream.flush());
            // Until the client goes.
            drop(stream.read(&mut [0; 1]));
            return;
        }
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    drop(stream.write_all(head.as_bytes()));
    // A client that has read enough hangs up.
    drop(stream.write_all(&body));
    stream.conn.send_close_notify();
    drop(stream.flush());
}
