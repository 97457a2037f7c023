//! A running control API for its tests: real SQLite, a real journal, the shipped policies, a clock that stands still,
//! and an HTTP client of a few lines over a socket.
#![allow(dead_code, missing_docs, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops where it fails")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use hopgate::app::reports::Desk;
use hopgate::attribution::events::sqlite::SqliteEventStore;
use hopgate::attribution::ledger::settle::Counting;
use hopgate::attribution::ledger::sqlite::SqliteLedger;
use hopgate::attribution::orders::sqlite::SqliteOrderStore;
use hopgate::attribution::stats::Stats;
use hopgate::catalog::sqlite::SqliteLinkStore;
use hopgate::catalog::{Catalog, LoadOptions};
use hopgate::click::landings::Landings;
use hopgate::clock::Clock;
use hopgate::config::settings::PolicySource;
use hopgate::control::keys::sqlite::SqliteKeyStore;
use hopgate::control::keys::{KeyStore, NewKey, Role, ensure_admin_key};
use hopgate::control::sightings::Sightings;
use hopgate::control::{ControlState, OpsState, ops_router, router};
use hopgate::domain::attribution::validity::Rules as Validity;
use hopgate::domain::click_id::ClickKey;
use hopgate::domain::policy::lint::HeavyTraffic;
use hopgate::domain::time::Timestamp;
use hopgate::domain::vocabulary::Vocabulary;
use hopgate::edge::plain;
use hopgate::journal::{Journal, JournalConfig, Mode};
use hopgate::notify::sqlite::SqliteOutbox;
use hopgate::policies::publish::{Publisher, Rules};
use hopgate::policies::sqlite::SqlitePolicyStore;
use hopgate::telemetry::metrics::{Metrics, gauge_family};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub struct Running {
    pub api: SocketAddr,
    pub ops: SocketAddr,
    pub admin: String,
    pub clock: Clock,
    pub catalog: Catalog,
    pub keys: Arc<SqliteKeyStore>,
    pub click_key: ClickKey,
    pub journal: Option<Journal>,
    pub journal_dir: PathBuf,
    pub draining: Arc<AtomicBool>,
    drain: watch::Sender<bool>,
    _folder: tempfile::TempDir,
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {}\n{}", self.head, self.text))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// The fields of a refusal with the names of their problems.
    pub fn faults(&self) -> Vec<(String, String)> {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let body = self.json();
        let errors = body["errors"].as_array().unwrap_or_else(|| panic!("no errors in {body}"));
        assert!(errors.iter().all(|error| error["value"].as_str().unwrap().chars().count() <= 80));
        errors.iter().map(|error| (text(&error["field"]), text(&error["code"]))).collect()
    }
}

/// One millisecond before the end of Kuaishou's Double 11 of 2022.
pub const LAST: &str = "2022-11-30T23:59:59.999+08:00";

impl Running {
    pub async fn start() -> Running {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let words = Arc::new(Vocabulary::default());
        let clock = Clock::manual(LAST.parse::<Timestamp>().unwrap());
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/policies");
        let versions = Arc::new(SqlitePolicyStore::open(&at("links.sqlite")).unwrap());
        let rules = Rules {
            source: PolicySource::Store,
            folder: shipped,
            require_backtest: false,
            traffic: HeavyTraffic::default(),
            rehearsal: false,
        };
        let publisher = Publisher::start(versions, Arc::clone(&words), rules, clock.now()).await;
        let publisher = Arc::new(publisher.expect("sound policies"));
        let policies = Arc::clone(publisher.policies());
        let store = Arc::new(SqliteLinkStore::open(&at("links.sqlite"), Arc::clone(&words)).unwrap());
        let catalog = Catalog::open(store, LoadOptions::default());
        catalog.wait_loaded().await;
        let keys = Arc::new(SqliteKeyStore::open(&at("links.sqlite")).unwrap());
        assert!(ensure_admin_key(&*keys, &at("admin.key"), clock.now()).await.unwrap());
        let admin = std::fs::read_to_string(at("admin.key")).unwrap().trim().to_owned();
        let click_key = ClickKey::new(&[7; 16]);
        let journal = Journal::open(JournalConfig::new(at("journal"), "n1")).unwrap();
        let draining = Arc::new(AtomicBool::new(false));
        let metrics = Metrics::default();
        metrics.on_scrape(|| vec![gauge_family("hopgate_links", "Links.", 3.0)]);
        let policy_store = Arc::new(SqlitePolicyStore::open(&at("links.sqlite")).unwrap());
        let current = Arc::clone(&policies);
        let stats = Stats::open(&at("stats.sqlite"), &Validity::default()).unwrap();
        let settler = hopgate::app::ledger::settler(
            Arc::new(SqliteLedger::open(&at("orders.sqlite")).unwrap()),
            Arc::new(SqliteOrderStore::open(&at("orders.sqlite"), click_key.clone()).unwrap()),
            Arc::new(stats.clone()),
            Arc::new(SqlitePolicyStore::open(&at("links.sqlite")).unwrap()),
            (*words).clone(),
            Counting::of(&Validity::default()),
            click_key.clone(),
        );
        let desk = Desk {
            events: Arc::new(SqliteEventStore::open(&at("orders.sqlite")).unwrap()),
            policies: policy_store,
            in_force: Box::new(move || current.current()),
            words: Arc::clone(&words),
            stats: stats.clone(),
            data_dir: at(""),
            settler: settler.clone(),
        };
        let state = ControlState {
            catalog: catalog.clone(),
            policies: Arc::clone(&policies),
            publisher,
            policy_store: Arc::new(SqlitePolicyStore::open(&at("links.sqlite")).unwrap()),
            landings: Arc::new(Landings::shipped(&words).unwrap()),
            proxy: Arc::default(),
            shadow: Arc::default(),
            keys: Arc::clone(&keys) as Arc<dyn KeyStore>,
            outbox: Arc::new(SqliteOutbox::open(&at("links.sqlite")).unwrap()),
            postbacks: Arc::new(SqliteOutbox::open_postbacks(&at("links.sqlite")).unwrap()),
            orders: Arc::new(SqliteOrderStore::open(&at("orders.sqlite"), click_key.clone()).unwrap()),
            settler,
            stats,
            sightings: Sightings::untold(),
            events: Arc::new(SqliteEventStore::open(&at("orders.sqlite")).unwrap()),
            event_tally: Arc::default(),
            reporter: Arc::new(desk),
            resolver: None,
            clock: clock.clone(),
            words,
            click_key: click_key.clone(),
            hops: hopgate::archive::Recorded::of(folder.path()),
            public_url: "http://127.0.0.1:8080".into(),
            node: "n1".into(),
        };
        let ops_state = OpsState {
            catalog: catalog.clone(),
            journal: journal.stats(),
            mode: Mode::Written,
            metrics,
            draining: Arc::clone(&draining),
            policies,
            clock: clock.clone(),
            started_at: clock.now(),
            node: "n1".into(),
        };
        let drain = watch::Sender::new(false);
        let mut addresses = Vec::new();
        for routes in [router(state), ops_router(ops_state)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(listener.local_addr().unwrap());
            tokio::spawn(plain::serve(listener, routes, Arc::from([]), drain.subscribe()));
        }
        Running {
            api: addresses[0],
            ops: addresses[1],
            admin,
            clock,
            catalog,
            keys,
            click_key,
            journal: Some(journal),
            journal_dir: at("journal"),
            draining,
            drain,
            _folder: folder,
        }
    }

    /// A new key of a role, and its id.
    pub async fn key(&self, role: Role, scope: Option<&str>) -> (String, String) {
        let (text, key) = NewKey::draw(role, scope, "test", self.clock.now()).unwrap();
        let id = key.record.id.clone();
        self.keys.create(key).await.unwrap();
        (text.reveal().to_owned(), id)
    }

    pub async fn call(&self, key: &str, method: &str, path: &str, body: &Value) -> Answer {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        self.with(key, method, path, &[], &text).await
    }

    pub async fn admin(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.call(&self.admin, method, path, body).await
    }

    pub async fn with(&self, key: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let bearer = format!("Bearer {key}");
        let mut all = headers.to_vec();
        if !key.is_empty() {
            all.push(("Authorization", &bearer));
        }
        send(self.api, method, path, &all, body).await
    }
}

/// One request on a connection of its own; everything is sent before anything is read.
pub async fn send(to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    // Whoever asks first sends the body only when told to go on, and these requests are all refused.
    if !headers.iter().any(|(name, _)| *name == "Expect") {
        request.push_str(body);
    }
    stream.write_all(request.as_bytes()).await.expect("the whole request is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("a whole answer");
    let (head, text) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), text: text.to_owned() }
}

/// Checks an answer against a schema of the description: only declared properties, all required ones, types and enums.
pub fn fits(description: &Value, schema: &Value, value: &Value, place: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        let pointer = name.strip_prefix('#').unwrap();
        return fits(description, description.pointer(pointer).unwrap(), value, &format!("{place} ({name})"));
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let kept = any.iter().filter(|one| (one["type"] == "null") == value.is_null());
        return kept.for_each(|one| fits(description, one, value, place));
    }
    if let Some(parts) = schema["allOf"].as_array() {
        // Parts of one object: every property of any is declared, and what any requires is required.
        let mut whole = serde_json::json!({"type": "object", "properties": {}, "required": []});
        for part in parts {
            let pointer = part["$ref"].as_str().and_then(|name| name.strip_prefix('#'));
            let part = pointer.map_or(part, |pointer| description.pointer(pointer).unwrap());
            for (name, declared) in part["properties"].as_object().unwrap() {
                whole["properties"][name] = declared.clone();
            }
            whole["required"].as_array_mut().unwrap().extend(part["required"].as_array().cloned().unwrap_or_default());
        }
        return fits(description, &whole, value, place);
    }
    if let Some(known) = schema["enum"].as_array() {
        assert!(known.contains(value), "{place}: {value} is none of {known:?}");
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let declared = match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => panic!("{place}: the schema declares no type"),
    };
    let is_number = kind == "integer" && declared.contains(&"number");
    assert!(declared.contains(&kind) || is_number, "{place}: {value} is not {declared:?}");
    if let Some(items) = value.as_array() {
        items
            .iter()
            .enumerate()
            .for_each(|(i, item)| fits(description, &schema["items"], item, &format!("{place}[{i}]")));
    }
    let Some(map) = value.as_object() else { return };
    for name in schema["required"].as_array().into_iter().flatten() {
        assert!(map.contains_key(name.as_str().unwrap()), "{place}: {name} is missing in {value}");
    }
    for (name, inner) in map {
        let declared = schema["properties"].get(name).or_else(|| schema.get("additionalProperties"));
        let declared = declared.filter(|declared| declared.is_object());
        let declared = declared.unwrap_or_else(|| panic!("{place}: {name} is not declared"));
        fits(description, declared, inner, &format!("{place}.{name}"));
    }
}
