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
    // A busy machine must not let an answer go before its hop is kept; the deadline has tests of its own.
    settings.journal.deadline = Duration::from_secs(20);
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
            landing: gateway.words.markets().recognise(url).unwrap(),
            alternates: Vec::new(),
            shop_type: ShopType::parse(shop_type).unwrap(),
            category: None,
            creator: Some("creator-1".into()),
            placement: Placement { platform: gateway.words.platform(platform), surface: Surface::parse(surface) },
            facts: Vec::new(),
            tags: Vec::new(),
            expires_at: None,
            share_code: None,
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

/// What became of one request.
#[derive(Debug)]
pub enum Exchange {
    /// A whole answer.
    Whole(Answer),
    /// The peer closed in order before any byte of an answer.
    Closed,
    /// The connection was reset before any byte of an answer.
    Reset,
    /// An answer began and did not end.
    Broken(String),
}

impl Client {
    /// Connects, or says why not.
    pub fn try_connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.set_nodelay(true)?;
        Ok(Client(BufReader::new(stream)))
    }

    /// The bare socket.
    pub fn socket(&mut self) -> &mut TcpStream {
        self.0.get_mut()
    }

    /// Asks for `path` and tells a whole answer from a broken one.
    pub fn exchange(&mut self, path: &str) -> Exchange {
        let head = format!("GET {path} HTTP/1.1\r\nHost: go.example\r\nUser-Agent: {KUAISHOU_AGENT}\r\n\r\n");
        if self.send(head.as_bytes()).is_err() {
            // What the peer said before it went may still be there.
            return self.outcome();
        }
        self.outcome()
    }

    /// What comes back for a request that was sent.
    pub fn outcome(&mut self) -> Exchange {
        let mut seen = Vec::new();
        loop {
            if let Some(end) = seen.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&seen[..end]).into_owned();
                let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
                let headers: HashMap<String, String> = head
                    .lines()
                    .skip(1)
                    .filter_map(|line| line.split_once(':'))
                    .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
                    .collect();
                let length: usize = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
                if seen.len() >= end + 4 + length {
                    let body = String::from_utf8_lossy(&seen[end + 4..end + 4 + length]).into_owned();
                    return Exchange::Whole(Answer { status, headers, body });
                }
            }
            let mut buffer = [0; 4_096];
            let fault = match self.0.read(&mut buffer) {
                Ok(0) => None,
                Ok(read) => {
                    seen.extend_from_slice(&buffer[..read]);
                    continue;
                }
                Err(error) => Some(error),
            };
            if !seen.is_empty() {
                return Exchange::Broken(format!("{fault:?} after {:?}", String::from_utf8_lossy(&seen)));
            }
            return match fault {
                None => Exchange::Closed,
                Some(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Exchange::Reset,
                Some(error) => Exchange::Broken(error.to_string()),
            };
        }
    }
}

/// A small generator: a test needs no good randomness, only repeatable one.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }
}

/// A folder for the real binary: a settings file with ports of 0, one wide agreement, room for data.
pub struct Place(pub TempDir);

/// What a command left behind.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Place {
    /// A place whose settings file holds `more` after the usual lines.
    pub fn new(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("policies")).unwrap();
        std::fs::write(folder.path().join("policies/wide.yaml"), window("wide", "2020-01-01", "2090-01-01")).unwrap();
        let place = Place(folder);
        place.settings(more);
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn settings(&self, more: &str) {
        let usual = "[server]\nclick = \"127.0.0.1:0\"\ncontrol = \"127.0.0.1:0\"\nops = \"127.0.0.1:0\"\nworkers = 2\n\
                     data_dir = \"data\"\n\n[policies]\ndir = \"policies\"\n";
        std::fs::write(self.path("hopgate.toml"), format!("{usual}\n{more}\n")).unwrap();
    }

    pub fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hopgate"));
        command.args(arguments).current_dir(self.0.path()).env_remove("HOPGATE_DATA_DIR").env_remove("RUST_LOG");
        command.env("HOPGATE_CONFIG", "hopgate.toml");
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        let output = self.command(arguments).stdin(std::process::Stdio::null()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ran { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Imports `count` links to JD with the codes `load0000`, `load0001` and so on.
    pub fn import(&self, count: usize) {
        let lines: String = (0..count)
            .map(|number| {
                format!(
                    "{{\"url\":\"{JD}\",\"platform\":\"kuaishou\",\"surface\":\"live_cart\",\
                     \"shop_type\":\"self_operated\",\"code\":\"load{number:04}\"}}\n"
                )
            })
            .collect();
        std::fs::write(self.path("links.ndjson"), lines).unwrap();
        let ran = self.run(&["link", "import", "links.ndjson"]);
        assert_eq!((ran.code, ran.out.as_str()), (0, format!("imported {count} links\n").as_str()), "{ran:?}");
    }

    /// Starts `hopgate serve` and waits for its ready line.
    pub fn serve(&self, more: &[&str]) -> Served {
        let mut child = self
            .command(&[&["serve"], more].concat())
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let log = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
        let errors = BufReader::new(child.stderr.take().unwrap());
        let kept = std::sync::Arc::clone(&log);
        std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                let mut kept = kept.lock().unwrap();
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let address = |name: &str| {
            let text = ready.split_whitespace().find_map(|word| word.strip_prefix(name));
            text.map(|text| text.parse::<SocketAddr>().unwrap())
        };
        let Some(click) = address("click=http://") else {
            drop(child.kill());
            drop(child.wait());
            panic!("not ready: {ready:?}\n{}", log.lock().unwrap());
        };
        Served { click, control: address("control=http://").unwrap(), ops: address("ops=http://").unwrap(), child, log }
    }
}

/// A running `hopgate serve`; killed when dropped.
pub struct Served {
    pub click: SocketAddr,
    pub control: SocketAddr,
    pub ops: SocketAddr,
    child: std::process::Child,
    log: std::sync::Arc<std::sync::Mutex<String>>,
}

impl Served {
    pub fn get(&self, path: &str) -> Answer {
        Client::connect(self.click).get(path)
    }

    /// The figures of `/metrics` whose line begins with `name`, summed.
    pub fn metric(&self, name: &str) -> f64 {
        metric(self.ops, name)
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let line = format!("kill -{name} {}", self.child.id());
        assert!(std::process::Command::new("sh").args(["-c", &line]).status().unwrap().success());
    }

    /// SIGKILL, at once.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; its exit code.
    pub fn stop(mut self) -> Option<i32> {
        self.signal("TERM");
        self.child.wait().unwrap().code()
    }

    /// Bytes of memory it holds.
    pub fn resident(&self) -> u64 {
        let pages = std::fs::read_to_string(format!("/proc/{}/statm", self.child.id())).unwrap();
        pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The figures of an ops listener's `/metrics` whose line begins with `name`, summed.
pub fn metric(ops: SocketAddr, name: &str) -> f64 {
    let text = Client::connect(ops).get("/metrics").body;
    text.lines()
        .filter(|line| line.starts_with(name) && line[name.len()..].starts_with([' ', '{']))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// The figure of `hopgate_shed_total` of one class.
pub fn shed(ops: SocketAddr, class: &str) -> f64 {
    metric(ops, &format!("hopgate_shed_total{{class=\"{class}\"}}"))
}

/// All bytes of a folder's files, by name.
pub fn bytes_of(folder: &Path) -> std::collections::BTreeMap<PathBuf, Vec<u8>> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.is_file()).map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}
