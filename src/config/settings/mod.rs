//! The settings of a running gateway: read from TOML, checked whole, never serialised. Relative paths are relative to the
//! file they stand in. What is left out has the default written here.
//!
//! Files: this one what settings there are, and their defaults; `read` the sections of the file, one function each.

mod read;
#[cfg(test)]
mod tests;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

pub(super) use read::duration;

use super::alliances::Alliances;
use super::apps::Apps;
use super::archive::{ArchiveSettings, PrivacySettings};
use super::attribution::AttributionSettings;
use super::devices::DeviceSettings;
use super::landing::MatrixFile;
use super::marketplaces;
use super::postbacks::PostbackSettings;
use super::proxy::ProxySettings;
use super::resolve::ResolveSettings;
use super::signing::SigningSettings;
use super::tree::{Fault, Faults};
use super::webhooks::WebhookSettings;
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
}
