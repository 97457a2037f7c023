//! What the tests over real sockets share: a gateway on free ports with a manual clock, links put straight into its
//! catalog, and a plain HTTP client.
#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hopgate::app::App;
use hopgate::catalog::{Created, NewLink};
use hopgate::clock::Clock;
use hopgate::config::settings::Settings;
use hopgate::domain::code::Code;
use hopgate::domain::link::Placement;
use hopgate::domain::marketplace::recognise;
use hopgate::domain::time::Timestamp;
use hopgate::domain::vocabulary::{ShopType, Surface};
use tempfile::TempDir;

pub const JD: &str = "https://item.jd.com/100012043978.html";
pub const KUAISHOU_AGENT: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) Mobile/15E148 Kwai/12.3.10";

/// The shipped policies.
pub fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/policies")
}

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// One agreement file that allows Kuaishou to JD between two instants.
pub fn window(id: &str, from: &str, until: &str) -> String {
    format!(
        "agreements:\n  - id: {id}\n    title: {id}\n    platform: kuaishou\n    marketplace: jd\n    effect: allow\n    \
         from: {from}\n    until: {until}\n    landing: app\n"
    )
}

pub struct Gateway {
    pub app: Option<App>,
    pub clock: Clock,
    pub folder: TempDir,
}

/// Settings on free ports, with data in `folder`.
pub fn settings(folder: &Path) -> Settings {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut settings = Settings::defaults(folder);
    settings.data_dir = folder.join("data");
    settings.policies = shipped();
    settings.listen.click = any;
    settings.listen.control = any;
    settings.listen.ops = any;
    settings.workers = 2;
    settings
}

impl Gateway {
    /// A gateway whose clock stands at `now`.
    pub fn start(now: &str) -> Self {
        Self::start_with(now, |_| {})
    }

    pub fn start_with(now: &str, change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = settings(folder.path());
        change(&mut settings);
        let clock = Clock::manual(at(now));
        let app = App::start(settings, clock.clone()).expect("the gateway starts");
        app.block_on(app.gateway().catalog.wait_loaded());
        Gateway { app: Some(app), clock, folder }
    }

    pub fn app(&self) -> &App {
        self.app.as_ref().unwrap()
    }

    pub fn click_address(&self) -> SocketAddr {
        self.app().addresses().click
    }

    /// Puts a link into the catalog; its code.
    pub fn link(&self, url: &str, placement: &str, shop_type: &str) -> String {
        self.link_with(url, placement, shop_type, |_| {})
    }

    pub fn link_with(&self, url: &str, placement: &str, shop_type: &str, change: impl FnOnce(&mut NewLink)) -> String {
        let gateway = self.app().gateway();
        let (platform, surface) = placement.split_once('/').unwrap_or(("", ""));
        let mut link = NewLink {
            slug: None,
            landing: recognise(url).unwrap(),
            shop_type: ShopType::parse(shop_type).unwrap(),
            category: None,
            creator: Some("creator-1".into()),
            placement: Placement { platform: gateway.words.platform(platform), surface: Surface::parse(surface) },
            facts: Vec::new(),
            tags: Vec::new(),
            expires_at: None,
            created_at: self.clock.now(),
        };
        change(&mut link);
        let draw = || {
            let mut random = [0; 24];
            getrandom::fill(&mut random).unwrap();
            Code::generate(&random).unwrap()
        };
        let created = self.app().block_on(gateway.catalog.create(vec![link], draw)).unwrap();
        match created.into_iter().next().unwrap() {
            Created::Stored(link) => link.code.to_string(),
            other => panic!("{other:?}"),
        }
    }

    pub fn get(&self, path: &str) -> Answer {
        Client::connect(self.click_address()).get(path)
    }

    /// The figures of `/metrics`, by name with labels.
    pub fn metric(&self, name: &str) -> f64 {
        let text = Client::connect(self.app().addresses().ops).get("/metrics").body;
        text.lines()
            .filter(|line| line.starts_with(name) && line[name.len()..].starts_with([' ', '{']))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Every hop in the journal, as NDJSON lines.
    pub fn hops(&self) -> Vec<serde_json::Value> {
        hops(&self.folder.path().join("data"))
    }
}

/// Every hop of a data folder.
pub fn hops(data: &Path) -> Vec<serde_json::Value> {
    let data = hopgate::app::DataDir::new(data);
    let mut text = Vec::new();
    let key = data.click_key().unwrap();
    hopgate::journal::export::export(
        &data.journal(),
        hopgate::journal::export::Format::Ndjson,
        None,
        None,
        &key,
        &mut text,
    )
    .expect("the journal is whole");
    String::from_utf8(text).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value)
    }
}

/// One kept-alive connection.
pub struct Client(BufReader<TcpStream>);

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the listener listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.set_nodelay(true).unwrap();
        Client(BufReader::new(stream))
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.ask("GET", path, &[("User-Agent", KUAISHOU_AGENT)])
    }

    pub fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.try_ask(method, path, headers).expect("an answer")
    }

    pub fn try_ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> std::io::Result<Answer> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: go.example\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.send(head.as_bytes())?;
        self.read(method == "HEAD")
    }

    pub fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    /// Reads one answer.
    pub fn read(&mut self, head_only: bool) -> std::io::Result<Answer> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| std::io::Error::other(format!("not a status line: {line:?}")))?;
        let mut headers = HashMap::new();
        loop {
            line.clear();
            self.0.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut body = vec![0; if head_only { 0 } else { length }];
        self.0.read_exact(&mut body)?;
        Ok(Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
    }

    /// Whether the peer has closed the connection; waits for it up to `limit`.
    pub fn closed_within(&mut self, limit: Duration) -> bool {
        self.0.get_mut().set_read_timeout(Some(limit)).unwrap();
        let mut rest = Vec::new();
        let begun = Instant::now();
        loop {
            let mut buffer = [0; 4_096];
            match self.0.read(&mut buffer) {
                Ok(0) => return true,
                Ok(read) => rest.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return true,
                Err(_) => return false,
            }
            if begun.elapsed() > limit {
                return false;
            }
        }
    }
}

/// Waits until `done` holds, asking again and again.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(30), "not within 30 s: {what}");
        std::thread::yield_now();
    }
}
