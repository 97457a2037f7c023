//! The settings of a running gateway: read from TOML, checked whole, never serialised. Relative paths are relative to the
//! file they stand in. What is left out has the default written here.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use super::alliances::{self, Alliances};
use super::apps::{self, Apps};
use super::archive::{self, ArchiveSettings, PrivacySettings};
use super::attribution::{self, AttributionSettings};
use super::devices::{self, DeviceSettings};
use super::landing::MatrixFile;
use super::marketplaces;
use super::postbacks::{self, PostbackSettings};
use super::proxy::{self, ProxySettings};
use super::resolve::{self, ResolveSettings};
use super::signing::{self, SigningSettings};
use super::tree::{Fault, Faults, Field, Table, from_toml};
use super::webhooks::{self, WebhookSettings};
use crate::domain::policy::lint::HeavyTraffic;
use crate::domain::span::Span;
use crate::domain::vocabulary::{Vocabulary, closed_list};
use crate::telemetry::LogFormat;

closed_list! {
    /// When a redirect may leave, with respect to its hop's record.
    JournalMode {
        /// At once: a killed process loses what is in memory, a batch or so.
        Queued = "queued",
        /// When the operating system has the record: a killed process loses nothing. A sync runs about every second, so
        /// that a power cut loses about the last second.
        Written = "written",
        /// When the record is on disk: a power cut loses nothing.
        Synced = "synced",
    }
}

closed_list! {
    /// Who is right when the folder of agreement files and the store of versions differ.
    PolicySource {
        /// The store: what was published is in force. A store that never had a policy imports the folder.
        Store = "store",
        /// The folder: it is published whenever it changes, and nobody else publishes.
        Folder = "folder",
    }
}

/// What to do with a click whose hop could not be recorded in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnDeadline {
    /// Redirect, and count it in `hopgate_journal_unsafe_redirects_total`.
    #[default]
    Redirect,
    /// Answer 503.
    Refuse,
}

/// Where the listeners listen. Port 0 takes any free port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listen {
    /// Clicks over HTTP.
    pub click: SocketAddr,
    /// Clicks over HTTPS, if wanted.
    pub tls: Option<SocketAddr>,
    /// API and console.
    pub control: SocketAddr,
    /// Metrics and health.
    pub ops: SocketAddr,
}

/// Bounds of what a peer may take.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Open connections of the click listeners, all workers together.
    pub connections: usize,
    /// Bytes of a request's head, 8 KiB to 1 MiB.
    pub header_bytes: usize,
    /// Header fields of a request.
    pub headers: usize,
    /// Concurrent HTTP/2 streams of a connection.
    pub streams: u32,
    /// From a head's first byte to its last; TLS handshake too.
    pub header_timeout: Duration,
    /// Between requests.
    pub idle_timeout: Duration,
    /// Without progress while answering.
    pub write_timeout: Duration,
    /// From SIGTERM until what is left is cut off.
    pub drain_deadline: Duration,
}

/// The journal's settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JournalSettings {
    /// When a redirect may leave.
    pub mode: JournalMode,
    /// How long a redirect waits for its record.
    pub deadline: Duration,
    /// What happens then.
    pub on_deadline: OnDeadline,
    /// A segment is sealed at this size …
    pub segment_bytes: u64,
    /// … or this age.
    pub segment_age: Duration,
}

/// One certificate with its key, PEM files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateFiles {
    /// The chain, leaf first.
    pub chain: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Everything `hopgate serve` is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The node's name, recorded in every hop.
    pub node: String,
    /// Data folder: catalog, journal, keys.
    pub data_dir: PathBuf,
    /// Listeners.
    pub listen: Listen,
    /// Click workers; one current-thread runtime each.
    pub workers: usize,
    /// What short links begin with, `https://go.example.com`; the click listener's own address when absent.
    pub public_url: Option<String>,
    /// Bounds.
    pub limits: Limits,
    /// Proxies whose word on the visitor's address is taken.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether trusted proxies speak the PROXY protocol.
    pub proxy_protocol: bool,
    /// Journal.
    pub journal: JournalSettings,
    /// What becomes of its finished segments.
    pub archive: ArchiveSettings,
    /// How long what is personal is kept.
    pub privacy: PrivacySettings,
    /// The folder of agreement files.
    pub policies: PathBuf,
    /// Whether the folder or the store of versions decides.
    pub policy_source: PolicySource,
    /// Whether the folder is watched for change, where it decides.
    pub watch_policies: bool,
    /// Whether a version must have been run over recorded hops before it is published.
    pub require_backtest: bool,
    /// When traffic is heavy: no window should end then.
    pub traffic: HeavyTraffic,
    /// How permitted clicks are sent on.
    pub landing: MatrixFile,
    /// Certificates of the TLS listener; the first answers names none of them has.
    pub certificates: Vec<CertificateFiles>,
    /// How long before a link stops working its creator's webhooks are told.
    pub warn_ahead: Span,
    /// Which clicks count, and how long attribution remembers them.
    pub attribution: AttributionSettings,
    /// Who is told of what.
    pub webhooks: Vec<WebhookSettings>,
    /// Platforms that are told of orders their clicks led to.
    pub postbacks: Vec<PostbackSettings>,
    /// Networks whose order reports are pulled.
    pub alliances: Alliances,
    /// Asking short links what they lead to, when a link is made.
    pub resolve: ResolveSettings,
    /// Our own apps that may open links of this gateway.
    pub apps: Apps,
    /// Platforms and marketplaces.
    pub words: Vocabulary,
    /// What is known of visitors' headers and networks.
    pub devices: DeviceSettings,
    /// Keys that platforms sign with.
    pub signing: SigningSettings,
    /// The file this was read from, if it was one.
    pub source: Option<PathBuf>,
    /// Upstreams of proxied landings.
    pub proxy: ProxySettings,
    /// Log lines.
    pub log_format: LogFormat,
    /// Log filter, `info` or a `RUST_LOG` expression.
    pub log_level: String,
}

impl Settings {
    /// The defaults, with relative paths under `base`.
    pub fn defaults(base: &Path) -> Self {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Settings {
            node: "node-1".to_owned(),
            data_dir: PathBuf::from("data"),
            listen: Listen { click: local(8080), tls: None, control: local(8081), ops: local(9090) },
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            public_url: None,
            limits: Limits {
                connections: 20_000,
                header_bytes: 16 << 10,
                headers: 64,
                streams: 64,
                header_timeout: Duration::from_secs(5),
                idle_timeout: Duration::from_secs(60),
                write_timeout: Duration::from_secs(10),
                drain_deadline: Duration::from_secs(20),
            },
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            journal: JournalSettings {
                mode: JournalMode::Written,
                deadline: Duration::from_millis(20),
                on_deadline: OnDeadline::default(),
                segment_bytes: 128 << 20,
                segment_age: Duration::from_secs(3_600),
            },
            archive: ArchiveSettings::default(),
            privacy: PrivacySettings::default(),
            policies: base.join("policies"),
            policy_source: PolicySource::Store,
            watch_policies: true,
            require_backtest: false,
            traffic: HeavyTraffic::default(),
            landing: MatrixFile { path: base.join("landing.toml"), named: false },
            certificates: Vec::new(),
            warn_ahead: Span::days(7),
            attribution: AttributionSettings::default(),
            webhooks: Vec::new(),
            postbacks: Vec::new(),
            alliances: Alliances::default(),
            resolve: ResolveSettings::default(),
            apps: Apps::default(),
            devices: DeviceSettings::default(),
            signing: SigningSettings::default(),
            source: None,
            words: marketplaces::shipped().clone(),
            proxy: ProxySettings::default(),
            log_format: LogFormat::default(),
            log_level: "info".to_owned(),
        }
    }

    /// Reads settings from a TOML file.
    ///
    /// # Errors
    /// Every fault of the file, with line and mend.
    pub fn load(path: &Path) -> Result<Self, Vec<Fault>> {
        match Self::inspect(path) {
            (Some(settings), faults) if faults.is_empty() => Ok(settings),
            (_, faults) => Err(faults),
        }
    }

    /// Reads what can be read of a file, with every fault of it: so that a check can go on to what the settings name.
    pub fn inspect(path: &Path) -> (Option<Self>, Vec<Fault>) {
        let faults = Faults::default();
        let name = path.display().to_string();
        let base = path.parent().unwrap_or(Path::new(""));
        let settings = match fs::read_to_string(path) {
            Ok(text) => Self::read(&name, &text, base, &faults)
                .map(|settings| Settings { source: Some(path.to_path_buf()), ..settings }),
            Err(error) => {
                faults.add(&name, 1, "", format!("cannot be read: {error}"));
                None
            }
        };
        (settings, faults.into_sorted())
    }

    fn read(name: &str, text: &str, base: &Path, faults: &Faults) -> Option<Self> {
        let node = from_toml(name, text, faults)?;
        let root = Table::root(name, &node, faults)?;
        let mut settings = Settings::defaults(base);
        let section = |key: &'static str| root.get(key).and_then(|field| field.table());

        if let Some(table) = section("server") {
            server(&mut settings, &table, base);
            table.finish();
        }
        if let Some(table) = section("limits") {
            limits(&mut settings.limits, &table);
            table.finish();
        }
        if let Some(table) = section("proxies") {
            if let Some(trusted) = table.get("trusted").and_then(|field| field.list()) {
                settings.trusted_proxies = trusted.iter().filter_map(|field| field.parse(network)).collect();
            }
            set(&mut settings.proxy_protocol, table.get("protocol").and_then(|field| field.boolean()));
            if settings.proxy_protocol && settings.trusted_proxies.is_empty() {
                table.fault("protocol", "needs `trusted`: name the proxies that speak it");
            }
            table.finish();
        }
        if let Some(table) = section("journal") {
            journal(&mut settings.journal, &table);
            table.finish();
        }
        if let Some(table) = section("archive") {
            settings.archive = archive::archive(&table);
            table.finish();
        }
        if let Some(table) = section("privacy") {
            settings.privacy = archive::privacy(&table);
            table.finish();
        }
        if let Some(table) = section("policies") {
            if let Some(dir) = table.get("dir").and_then(|field| field.text()) {
                settings.policies = base.join(dir);
            }
            set(&mut settings.watch_policies, table.get("watch").and_then(|field| field.boolean()));
            let source = table.get("source");
            let source = source.and_then(|field| field.one_of(PolicySource::parse, &PolicySource::names()));
            set(&mut settings.policy_source, source);
            set(&mut settings.require_backtest, table.get("require_backtest").and_then(|field| field.boolean()));
            if settings.require_backtest && settings.policy_source == PolicySource::Folder {
                table.fault("require_backtest", "needs source = \"store\": a folder's changes are taken as they come");
            }
            if let Some(items) = table.get("heavy_hours").and_then(|field| field.list()) {
                settings.traffic.hours = items.iter().filter_map(|field| field.parse(str::parse)).collect();
            }
            if let Some(items) = table.get("sales").and_then(|field| field.list()) {
                settings.traffic.sales = items.iter().filter_map(|field| field.parse(str::parse)).collect();
            }
            table.finish();
        }
        if let Some(table) = section("landing") {
            if let Some(file) = table.get("matrix").and_then(|field| field.text()) {
                settings.landing = MatrixFile { path: base.join(file), named: true };
            }
            table.finish();
        }
        if let Some(table) = section("tls") {
            for entry in table.get("certificates").and_then(|field| field.list()).unwrap_or_default() {
                let Some(pair) = entry.table() else { continue };
                let chain = pair.require("chain").and_then(|field| field.text());
                let key = pair.require("key").and_then(|field| field.text());
                if let (Some(chain), Some(key)) = (chain, key) {
                    settings.certificates.push(CertificateFiles { chain: base.join(chain), key: base.join(key) });
                }
                pair.finish();
            }
            table.finish();
        }
        if let Some(table) = section("reports") {
            let ahead = table.get("warn_ahead").and_then(|field| field.parse(|text| text.parse::<Span>()));
            set(&mut settings.warn_ahead, ahead);
            table.finish();
        }
        if let Some(table) = section("attribution") {
            settings.attribution = attribution::read(&table);
            table.finish();
        }
        if let Some(field) = root.get("webhooks") {
            settings.webhooks = webhooks::read(&field, base);
        }
        if let Some(field) = root.get("postbacks") {
            settings.postbacks = postbacks::read(&field, base);
        }
        if let Some(table) = section("alliances") {
            settings.alliances = alliances::read(&table, base);
            table.finish();
        }
        if let Some(table) = section("apps") {
            settings.apps = apps::read(&table);
            table.finish();
        }
        marketplaces(&mut settings.words, section("marketplaces"), base, faults);
        // The hosts it names are the marketplaces'.
        if let Some(table) = section("resolve") {
            settings.resolve = resolve::read(&table, base, settings.words.markets(), duration);
            table.finish();
        }
        if let Some(table) = section("vocabulary") {
            let words = &mut settings.words;
            for field in table.get("platforms").and_then(|field| field.list()).unwrap_or_default() {
                if let Some(Err(error)) = field.text().map(|name| words.add_platform(name)) {
                    field.fault(error.to_string());
                }
            }
            for field in table.get("marketplaces").and_then(|field| field.list()).unwrap_or_default() {
                if let Some(Err(error)) = field.text().map(|name| words.add_marketplace(name)) {
                    field.fault(error.to_string());
                }
            }
            table.finish();
        }
        if let Some(table) = section("devices") {
            settings.devices = devices::settings(&table, base);
            table.finish();
        }
        // After the vocabulary: keys belong to platforms.
        if let Some(table) = section("signing") {
            settings.signing = signing::settings(&table, base, &settings.words);
            table.finish();
        }
        if let Some(table) = section("proxy") {
            settings.proxy = proxy::read(&table, base, settings.words.markets());
            table.finish();
        }
        if let Some(table) = section("log") {
            let formats = |text: &str| match text {
                "text" => Some(LogFormat::Text),
                "json" => Some(LogFormat::Json),
                _ => None,
            };
            let format = table.get("format").and_then(|field| field.one_of(formats, &["text", "json"]));
            set(&mut settings.log_format, format);
            set(&mut settings.log_level, table.get("level").and_then(|field| field.text()).map(str::to_owned));
            table.finish();
        }
        if settings.listen.tls.is_some() && settings.certificates.is_empty() {
            root.fault(
                "tls",
                "server.tls is set but there is no [[tls.certificates]]: add one, or run `hopgate certs dev`",
            );
        }
        root.finish();
        Some(settings)
    }
}

fn set<T>(target: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *target = value;
    }
}

fn server(settings: &mut Settings, table: &Table<'_>, base: &Path) {
    let address = |key: &'static str| table.get(key).and_then(|field| field.parse(address));
    set(&mut settings.listen.click, address("click"));
    set(&mut settings.listen.control, address("control"));
    set(&mut settings.listen.ops, address("ops"));
    if let Some(tls) = address("tls") {
        settings.listen.tls = Some(tls);
    }
    // 0 stands for one per core, which is the default.
    let workers = table.get("workers").and_then(|field| field.integer(0..=256)).filter(|workers| *workers > 0);
    set(&mut settings.workers, workers.map(|workers| workers as usize));
    set(&mut settings.node, table.get("node").and_then(|field| field.parse(node_name)));
    if let Some(dir) = table.get("data_dir").and_then(|field| field.text()) {
        settings.data_dir = base.join(dir);
    }
    if let Some(url) = table.get("public_url").and_then(|field| field.parse(public_url)) {
        settings.public_url = Some(url);
    }
}

/// The folder that is named, else the one beside the settings where there is one.
fn marketplaces(words: &mut Vocabulary, table: Option<Table<'_>>, base: &Path, faults: &Faults) {
    let usual = base.join("marketplaces");
    let named = table.as_ref().and_then(|table| table.get("dir")).and_then(|field| field.text());
    match named {
        Some(dir) => marketplaces::extend(words, &base.join(dir), faults),
        None if usual.is_dir() => marketplaces::extend(words, &usual, faults),
        None => {}
    }
    if let Some(table) = table {
        table.finish();
    }
}

fn limits(limits: &mut Limits, table: &Table<'_>) {
    let integer = |key: &'static str, range| table.get(key).and_then(|field| field.integer(range));
    let time = |key: &'static str| table.get(key).and_then(|field| duration(&field));
    set(&mut limits.connections, integer("connections", 1..=10_000_000).map(|value| value as usize));
    set(&mut limits.header_bytes, integer("header_bytes", 8 << 10..=1 << 20).map(|value| value as usize));
    set(&mut limits.headers, integer("headers", 8..=1_000).map(|value| value as usize));
    set(&mut limits.streams, integer("streams", 1..=10_000).map(|value| value as u32));
    set(&mut limits.header_timeout, time("header_timeout"));
    set(&mut limits.idle_timeout, time("idle_timeout"));
    set(&mut limits.write_timeout, time("write_timeout"));
    set(&mut limits.drain_deadline, time("drain_deadline"));
}

fn journal(journal: &mut JournalSettings, table: &Table<'_>) {
    let modes = table.get("mode").and_then(|field| field.one_of(JournalMode::parse, &JournalMode::names()));
    set(&mut journal.mode, modes);
    set(&mut journal.deadline, table.get("deadline").and_then(|field| duration(&field)));
    let choices = |text: &str| match text {
        "redirect" => Some(OnDeadline::Redirect),
        "refuse" => Some(OnDeadline::Refuse),
        _ => None,
    };
    let choice = table.get("on_deadline").and_then(|field| field.one_of(choices, &["redirect", "refuse"]));
    set(&mut journal.on_deadline, choice);
    let bytes = table.get("segment_bytes").and_then(|field| field.integer(1 << 16..=1 << 32));
    set(&mut journal.segment_bytes, bytes.map(|bytes| bytes as u64));
    set(&mut journal.segment_age, table.get("segment_age").and_then(|field| duration(&field)));
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is not an address: write 127.0.0.1:8080, or [::]:8080"))
}

fn network(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<std::net::IpAddr>().map(IpNet::from);
    text.parse().or(address).map_err(|_| format!("`{text}` is not a network: write 10.0.0.0/8 or 10.1.2.3"))
}

fn node_name(text: &str) -> Result<String, String> {
    let fits = (1..=32).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if fits {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is not a node name: use 1 to 32 of A-Z a-z 0-9 - _ ."))
    }
}

fn public_url(text: &str) -> Result<String, String> {
    let wrong = || format!("`{text}` is not a public URL: write https://go.example.com, without a path");
    let url = url::Url::parse(text).map_err(|_| wrong())?;
    let plain = matches!(url.scheme(), "https" | "http")
        && url.host_str().is_some()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty();
    if plain { Ok(url.as_str().trim_end_matches('/').to_owned()) } else { Err(wrong()) }
}

/// `20ms`, `5s`, `10m`, `1h`; at least 1 ms and at most 24 h.
pub(super) fn duration(field: &Field<'_>) -> Option<Duration> {
    field.parse(|text| {
        let wrong = || format!("`{text}` is not a time span: write 20ms, 5s, 10m or 1h, at least 1ms and at most 24h");
        let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = text[..split].parse().map_err(|_| wrong())?;
        let unit = match &text[split..] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(wrong()),
        };
        match number.checked_mul(unit) {
            Some(millis) if (1..=86_400_000).contains(&millis) => Ok(Duration::from_millis(millis)),
            _ => Err(wrong()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, Vec<String>> {
        let faults = Faults::default();
        let settings = Settings::read("hopgate.toml", text, Path::new("base"), &faults);
        let faults: Vec<String> = faults.into_sorted().iter().map(Fault::to_string).collect();
        if faults.is_empty() { Ok(settings.unwrap()) } else { Err(faults) }
    }

    #[test]
    fn an_empty_file_is_the_defaults() {
        assert_eq!(read(""), Ok(Settings::defaults(Path::new("base"))));
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let faults = read(
            "[server]\nclick = \"nowhere\"\nworkers = 9999\npublic_url = \"go.example.com/x\"\n[limits]\n\
             header_timeout = \"soon\"\nheader_bytes = 10\n[journal]\nmode = \"maybe\"\n[policies]\nfolder = \"x\"\n\
             [proxies]\nprotocol = true\ntrusted = [\"300.1.1.1\"]\n",
        )
        .unwrap_err();
        let all = faults.join("\n");
        assert_eq!(faults.len(), 9, "{all}");
        for part in [
            "hopgate.toml:2: server.click: `nowhere`",
            "limits.header_timeout: `soon`",
            "journal.mode: `maybe`",
            "11: policies.folder: unknown key",
            "needs `trusted`",
        ] {
            assert!(all.contains(part), "{part} not in\n{all}");
        }
    }

    #[test]
    fn webhooks_are_read_whole_with_every_fault() {
        let settings = read(
            "[reports]\nwarn_ahead = \"3d\"\n[[webhooks]]\nname = \"shop\"\nurl = \"https://hooks.example.com/h\"\n\
             secret_file = [\"new.key\", \"old.key\"]\nsecret_env = \"HOOK\"\nevents = [\"link.expiring\"]\n\
             give_up_after = \"2h\"\nca_file = \"ca.pem\"\n",
        )
        .unwrap();
        let [webhook] = settings.webhooks.as_slice() else { panic!("one") };
        assert_eq!((webhook.secrets.len(), webhook.events.len()), (3, 1));
        assert_eq!((webhook.give_up_after.to_string(), settings.warn_ahead.to_string()), ("2h".into(), "3d".into()));
        assert_eq!(webhook.ca_file.as_deref(), Some(Path::new("base/ca.pem")));
        let good = "name = \"a\"\nurl = \"https://a.example/\"\nsecret_env = \"A\"\nevents = []\n";
        let faults = read(&format!(
            "[[webhooks]]\nname = \"A b\"\nurl = \"http://127.0.0.1/\"\nevents = [\"link.gone\", \"webhook.test\"]\n\
             [[webhooks]]\nurl = \"https://10.0.0.8/\"\nsecret_env = \"A\"\nevents = []\nallow_privat = true\n\
             [[webhooks]]\n{good}[[webhooks]]\n{good}[reports]\nwarn_ahead = \"soon\"\n"
        ))
        .unwrap_err();
        let all = faults.join("\n");
        assert_eq!(faults.len(), 10, "{all}");
        for part in [
            "2: webhooks[0].name: `A b`",
            "allow_http = true",
            "needs `secret_file`",
            "events[0]: `link.gone`",
            "events[1]: `webhook.test`",
            "webhooks[1].name: is missing",
            "10.0.0.8, which is not a public address",
            "did you mean `allow_private`?",
            "webhooks[3].name: `a` is the name of another",
            "reports.warn_ahead: `soon`",
        ] {
            assert!(all.contains(part), "{part} not in\n{all}");
        }
    }

    #[test]
    fn resolving_is_read_whole_with_every_fault() {
        let settings = read(
            "[resolve]\nenabled = true\nhosts = [\"M.tb.cn\"]\nhop_timeout = \"500ms\"\ntimeout = \"2s\"\nca = \"ca.pem\"\n\
             via = { \"m.tb.cn\" = \"127.0.0.1:8443\" }\n",
        )
        .unwrap()
        .resolve;
        assert_eq!((settings.enabled, settings.hosts), (Some(true), Some(vec!["m.tb.cn".to_owned()])));
        assert_eq!((settings.hop_timeout, settings.timeout), (Duration::from_millis(500), Duration::from_secs(2)));
        assert_eq!(settings.via["m.tb.cn"], SocketAddr::from(([127, 0, 0, 1], 8443)));
        assert_eq!(settings.ca.as_deref(), Some(Path::new("base/ca.pem")));
        let faults = read(
            "[resolve]\nenable = true\nhosts = [\"evil.test\", \"passport.jd.com\"]\ntimeout = \"2m\"\n\
             via = { \"m.tb.cn\" = \"here\", \"evil.test\" = \"127.0.0.1:1\" }\n",
        )
        .unwrap_err();
        let all = faults.join("\n");
        assert_eq!(faults.len(), 6, "{all}");
        for part in [
            "did you mean `enabled`?",
            "hosts[1]: `passport.jd.com`",
            "over 60s",
            "`here` is not an address",
            "`evil.test`",
        ] {
            assert!(all.contains(part), "{part} not in\n{all}");
        }
    }

    #[test]
    fn our_apps_are_read_whole_with_every_fault() {
        let fingerprint = ["AB"; 32].join(":");
        let settings = read(&format!(
            "[apps]\nios = [\"A1B2C3D4E5.com.example.app\"]\nharmony = [\"5765880207853134833\"]\npaths = [\"/x/*\"]\n\
             [[apps.android]]\npackage = \"com.example.app\"\nsha256 = [\"{fingerprint}\"]\n"
        ))
        .unwrap();
        assert_eq!((settings.apps.ios.len(), settings.apps.harmony.len()), (1, 1));
        assert_eq!((settings.apps.paths, settings.apps.exclude), (vec!["/x/*".to_owned()], vec!["/*+".to_owned()]));
        assert_eq!(settings.apps.android[0].fingerprints, [fingerprint]);
        let faults = read(&format!(
            "[apps]\nios = [\"com.example.app\", \"a1b2c3d4e5.x\"]\nharmony = [\"a b\"]\npaths = [\"x\"]\ncolour = 1\n\
             [[apps.android]]\npackage = \"example\"\nsha256 = [\"{}\", \"AB\"]\n[[apps.android]]\n",
            "ab".repeat(32),
        ))
        .unwrap_err();
        let all = faults.join("\n");
        assert_eq!(faults.len(), 10, "{all}");
        for part in [
            "2: apps.ios[0]: `com.example.app`",
            "apps.ios[1]",
            "apps.harmony[0]: `a b`",
            "apps.paths[0]: `x` is not a path",
            "apps.colour",
            "7: apps.android[0].package: `example`",
            "write AB:AB:AB",
            "sha256[1]: `AB` is not a SHA-256",
            "apps.android[1].package: is missing",
            "apps.android[1].sha256: is missing",
        ] {
            assert!(all.contains(part), "{part} not in\n{all}");
        }
    }

    #[test]
    fn archive_and_privacy_are_read_whole_with_every_fault() {
        let settings = read(
            "[archive]\nenabled = false\nreserve = \"12h\"\n[privacy]\nkeep_visitors = \"forever\"\n\
             [privacy.raw]\nenabled = true\nkeep = \"24h\"\n",
        )
        .unwrap();
        assert_eq!((settings.archive.enabled, settings.archive.reserve.to_string()), (false, "12h".to_owned()));
        let privacy = settings.privacy;
        assert_eq!((privacy.keep_visitors, privacy.raw, privacy.keep_raw.to_string()), (None, true, "1d".to_owned()));
        let usual = read("").unwrap();
        assert_eq!(usual.privacy.keep_visitors, Some(Span::days(30)));
        assert!(usual.archive.enabled && !usual.privacy.raw);
        let faults = read(
            "[archive]\nreserve = \"0d\"\nenable = true\n[privacy]\nkeep_visitors = 30\n[privacy.raw]\n\
             keep = \"31d\"\nenabled = \"yes\"\n",
        )
        .unwrap_err();
        let all = faults.join("\n");
        assert_eq!(faults.len(), 5, "{all}");
        for part in
            ["archive.reserve: `0d`", "did you mean `enabled`?", "privacy.keep_visitors", "is over 30d", "raw.enabled"]
        {
            assert!(all.contains(part), "{part} not in\n{all}");
        }
    }

    #[test]
    fn what_is_written_is_taken() {
        let settings = read(
            "[server]\nworkers = 1\nnode = \"bj-1\"\ndata_dir = \"../var\"\n[journal]\nmode = \"synced\"\ndeadline = \"5ms\"\n\
             on_deadline = \"refuse\"\n[vocabulary]\nplatforms = [\"zhihu\"]\n[proxies]\ntrusted = [\"10.0.0.0/8\", \"::1\"]\n",
        )
        .unwrap();
        assert_eq!((settings.workers, settings.node.as_str()), (1, "bj-1"));
        assert_eq!(settings.data_dir, Path::new("base/../var"));
        assert_eq!(settings.journal.mode, JournalMode::Synced);
        assert_eq!(settings.journal.deadline, Duration::from_millis(5));
        assert!(settings.words.platform("zhihu").is_some());
        assert_eq!(settings.trusted_proxies.len(), 2);
    }
}
