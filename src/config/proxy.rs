//! Settings of proxied landings: which upstreams may be asked for which landing hosts, and within what bounds. Reads and
//! checks what is written; never resolves a name, reads a certificate or connects.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::{Host, Url};

use super::settings::duration;
use super::tree::{Field, Table};
use crate::domain::marketplace::Marketplaces;

/// The most upstreams, and the most origins of one; label sets of metrics stay bounded.
const MOST_UPSTREAMS: usize = 16;
const MOST_ORIGINS: usize = 8;
/// The most landing hosts, and the most patterns of paths, of one upstream.
const MOST_ENTRIES: usize = 64;

/// One machine of an upstream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    /// As people write it: `https://10.0.0.5:8443`.
    pub shown: String,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// A name or an address.
    pub host: Host<String>,
    /// Its port.
    pub port: u16,
}

/// One upstream: a marketplace's pages at machines of the deal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UpstreamSettings {
    /// Names it in metrics, logs and paths.
    pub name: String,
    /// The landing hosts it serves, lower case.
    pub landing_hosts: Vec<String>,
    /// Where it is asked, and nowhere else.
    pub origins: Vec<Origin>,
    /// The name it is asked for, in TLS and `Host`; an origin's own host when absent.
    pub server_name: Option<String>,
    /// Authorities its certificates may come from, instead of the system's.
    pub ca: Option<PathBuf>,
    /// A `Host` of the click listeners that is passed through whole, lower case, with a port only where one is meant.
    pub mount: Option<String>,
    /// What may be asked, `*` at the end for any rest; all when empty.
    pub paths: Vec<String>,
    /// For a connection with its TLS handshake.
    pub connect_timeout: Duration,
    /// From the click to the head of the answer, all attempts together.
    pub head_timeout: Duration,
    /// Without a byte of the answer's body.
    pub idle_timeout: Duration,
    /// Requests under way at once, all workers together.
    pub max_connections: usize,
    /// Of the body of a request.
    pub max_request_bytes: u64,
    /// Of the body of an answer.
    pub max_response_bytes: u64,
    /// Further attempts of GET and HEAD while nothing was answered.
    pub retries: u32,
    /// An origin that failed so many times in a row rests …
    pub max_failures: u32,
    /// … so long at first, and twice as long each time it fails again, up to a minute.
    pub rest: Duration,
}

impl UpstreamSettings {
    /// Whether a path may be asked of it. Paths two programs could read in two ways never may.
    pub fn may_ask(&self, path: &str) -> bool {
        is_plain_path(path)
            && (self.paths.is_empty()
                || self.paths.iter().any(|pattern| match pattern.strip_suffix('*') {
                    Some(start) => path.starts_with(start),
                    None => path == pattern,
                }))
    }

    /// Whether a request's `Host` is the mount.
    pub fn is_mount(&self, host: &str) -> bool {
        self.mount.as_deref().is_some_and(|mount| {
            let host = if mount.contains(':') { host } else { without_port(host) };
            host.eq_ignore_ascii_case(mount)
        })
    }
}

/// Every upstream.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ProxySettings {
    /// In the order written; their numbers are their places.
    pub upstreams: Vec<UpstreamSettings>,
}

impl ProxySettings {
    /// The upstream that serves a landing in its stored form, `https://host/path`; `None` when none may.
    pub fn serving(&self, landing: &str) -> Option<usize> {
        let (host, path) = host_and_path(landing)?;
        self.upstreams
            .iter()
            .position(|upstream| upstream.landing_hosts.iter().any(|served| served == host) && upstream.may_ask(path))
    }
}

/// Host and path, without query and fragment, of a landing in its stored form.
fn host_and_path(landing: &str) -> Option<(&str, &str)> {
    let rest = landing.strip_prefix("https://")?;
    let (host, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let path = &rest[..rest.find(['?', '#']).unwrap_or(rest.len())];
    Some((host, if path.is_empty() { "/" } else { path }))
}

/// A `Host` without its port.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// A path that means one thing to everybody: no dot segment, no encoded slash, backslash, dot or NUL, no parameter that
/// hides a dot segment.
fn is_plain_path(path: &str) -> bool {
    if !path.starts_with('/') || path.contains(['\\', '#', '?']) {
        return false;
    }
    let lower = path.to_ascii_lowercase();
    let encoded = ["%2f", "%5c", "%2e", "%00", "%0d", "%0a"];
    !encoded.iter().any(|part| lower.contains(part))
        && !path.split('/').any(|segment| matches!(segment.split(';').next(), Some("." | "..")))
}

/// Reads `[proxy]`.
pub(super) fn read(table: &Table<'_>, base: &Path, markets: &Marketplaces) -> ProxySettings {
    let mut read = ProxySettings::default();
    let Some(field) = table.get("upstreams") else { return read };
    let entries = field.list().unwrap_or_default();
    if entries.len() > MOST_UPSTREAMS {
        field.fault(format!("has {} upstreams: at most {MOST_UPSTREAMS} are possible", entries.len()));
    }
    for entry in entries {
        let Some(table) = entry.table() else { continue };
        if let Some(upstream) = one(&table, base, markets) {
            told_apart(&table, &upstream, &read);
            read.upstreams.push(upstream);
        }
        table.finish();
    }
    read
}

/// Names, mounts and landing hosts must tell upstreams apart.
fn told_apart(table: &Table<'_>, new: &UpstreamSettings, known: &ProxySettings) {
    for other in &known.upstreams {
        if other.name == new.name {
            table.fault("name", format!("`{}` is the name of another upstream: choose another", new.name));
        }
        if let Some(mount) = new.mount.as_deref()
            && other.mount.as_deref().is_some_and(|other| without_port(other) == without_port(mount))
        {
            table.fault("mount", format!("`{mount}` is the mount of `{}` too: each needs its own", other.name));
        }
        if let Some(host) = new.landing_hosts.iter().find(|host| other.landing_hosts.contains(host)) {
            table.fault("landing_hosts", format!("`{host}` is served by `{}` already: leave it out here", other.name));
        }
    }
}

fn one(table: &Table<'_>, base: &Path, markets: &Marketplaces) -> Option<UpstreamSettings> {
    let text = |key: &'static str| table.get(key).and_then(|field| field.text());
    let time = |key: &'static str, usual: Duration| table.get(key).and_then(|field| duration(&field)).unwrap_or(usual);
    let integer =
        |key: &'static str, range, usual: i64| table.get(key).and_then(|field| field.integer(range)).unwrap_or(usual);
    let plain = table.get("plain").and_then(|field| field.boolean()).unwrap_or(false);
    let name = table.require("name").and_then(|field| field.parse(name));
    let landing_hosts = list(table, "landing_hosts", true, |text| landing_host(text, markets));
    let origins = match (table.get("origin"), table.get("origins")) {
        (Some(_), Some(field)) => {
            field.fault("stands beside `origin`: write all of them here, or one there");
            Vec::new()
        }
        (None, None) => {
            table.fault("", "needs `origin` (or `origins`, a list): upstreams are asked nowhere else");
            Vec::new()
        }
        (Some(_), None) => list(table, "origin", true, |text| origin(text, plain)),
        (None, Some(field)) => {
            let origins = list(table, "origins", true, |text| origin(text, plain));
            if origins.len() > MOST_ORIGINS {
                field.fault(format!("has {} origins: at most {MOST_ORIGINS} are possible", origins.len()));
            }
            origins
        }
    };
    let server_name = table.get("server_name").and_then(|field| field.parse(host_name));
    let mount = table.get("mount").and_then(|field| field.parse(|text| mount(text, markets)));
    let paths = list(table, "paths", false, pattern);
    let connect_timeout = time("connect_timeout", Duration::from_secs(1));
    let head_timeout = time("head_timeout", Duration::from_secs(5));
    if connect_timeout > head_timeout {
        table.fault("connect_timeout", "is longer than head_timeout, which bounds both: shorten it");
    }
    let upstream = UpstreamSettings {
        name: name.unwrap_or_default(),
        landing_hosts,
        origins,
        server_name,
        ca: text("ca").map(|file| base.join(file)),
        mount,
        paths,
        connect_timeout,
        head_timeout,
        idle_timeout: time("idle_timeout", Duration::from_secs(30)),
        max_connections: integer("max_connections", 1..=100_000, 256) as usize,
        max_request_bytes: integer("max_request_bytes", 0..=1 << 30, 64 << 10) as u64,
        max_response_bytes: integer("max_response_bytes", 1..=1 << 40, 32 << 20) as u64,
        retries: integer("retries", 0..=2, 1) as u32,
        max_failures: integer("max_failures", 1..=1_000, 3) as u32,
        rest: time("rest", Duration::from_secs(2)),
    };
    (!upstream.name.is_empty() && !upstream.origins.is_empty()).then_some(upstream)
}

/// A list of texts, one alone standing for a list of one, each through `parse`.
fn list<T>(table: &Table<'_>, key: &'static str, needed: bool, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
    let field: Option<Field<'_>> = if needed { table.require(key) } else { table.get(key) };
    let Some(field) = field else { return Vec::new() };
    let fields = field.one_or_many().unwrap_or_default();
    if fields.is_empty() && needed {
        field.fault("is empty: name at least one");
    }
    if fields.len() > MOST_ENTRIES {
        field.fault(format!("has {} entries: at most {MOST_ENTRIES} are possible", fields.len()));
    }
    fields.iter().filter_map(|field| field.parse(&parse)).collect()
}

fn name(text: &str) -> Result<String, String> {
    let fits = (1..=32).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_'));
    if fits { Ok(text.to_owned()) } else { Err(format!("`{text}` is not a name: use 1 to 32 of a-z 0-9 - _")) }
}

fn host_name(text: &str) -> Result<String, String> {
    let wrong = || format!("`{text}` is not a host name: write it like m.example.com, without scheme, port or path");
    let labels = text.len() <= 253
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        });
    if labels && text.bytes().any(|byte| byte.is_ascii_alphabetic()) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(wrong())
    }
}

fn landing_host(text: &str, markets: &Marketplaces) -> Result<String, String> {
    let host = host_name(text)?;
    match markets.host_is_allowed(&host) {
        Some(_) => Ok(host),
        None => Err(format!("`{text}` is no host a click may land on: name a marketplace's own, as item.m.jd.com")),
    }
}

fn mount(text: &str, markets: &Marketplaces) -> Result<String, String> {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    };
    let host = host_name(name)?;
    if markets.host_is_allowed(&host).is_some() {
        return Err(format!("`{text}` is a marketplace's own host: name one that leads to this gateway"));
    }
    match port.map(str::parse::<u16>) {
        None => Ok(host),
        Some(Ok(port)) if port > 0 => Ok(format!("{host}:{port}")),
        Some(_) => Err(format!("`{text}` has no port from 1 to 65535: mend it or leave it out")),
    }
}

fn pattern(text: &str) -> Result<String, String> {
    let stars = text.bytes().filter(|byte| *byte == b'*').count();
    let start = text.strip_suffix('*').unwrap_or(text);
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if stars > usize::from(text.ends_with('*')) || !visible || !is_plain_path(start) {
        return Err(format!("`{text}` is not a path: write /product/* or /favicon.ico, `*` only at the end"));
    }
    Ok(text.to_owned())
}

fn origin(text: &str, plain: bool) -> Result<Origin, String> {
    let url = Url::parse(text)
        .map_err(|error| format!("`{text}` is not an origin ({error}): write https://10.0.0.5:8443"))?;
    let tls = match url.scheme() {
        "https" => true,
        "http" => false,
        other => return Err(format!("`{text}` has the scheme `{other}`: use https")),
    };
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    if !bare || !url.username().is_empty() || url.password().is_some() {
        return Err(format!("`{text}` holds more than scheme, host and port: leave the rest out"));
    }
    let host = url.host().ok_or_else(|| format!("`{text}` names no host"))?.to_owned();
    let loopback = match &host {
        Host::Ipv4(address) => IpAddr::V4(*address).is_loopback(),
        Host::Ipv6(address) => IpAddr::V6(*address).is_loopback(),
        Host::Domain(_) => false,
    };
    if !tls && !loopback && !plain {
        return Err(format!(
            "`{text}` is plain http to another machine: use https, or set `plain = true` where nobody listens in"
        ));
    }
    let port = url.port_or_known_default().unwrap_or(443);
    Ok(Origin { shown: text.trim_end_matches('/').to_owned(), tls, host, port })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree::{Fault, Faults, from_toml};

    fn read_text(text: &str) -> Result<ProxySettings, Vec<String>> {
        let faults = Faults::default();
        let node = from_toml("p.toml", text, &faults).unwrap();
        let root = Table::root("p.toml", &node, &faults).unwrap();
        let proxy = root.get("proxy").and_then(|field| field.table()).unwrap();
        let settings = read(&proxy, Path::new("base"), crate::config::marketplaces::shipped().markets());
        proxy.finish();
        root.finish();
        let faults: Vec<String> = faults.into_sorted().iter().map(Fault::to_string).collect();
        if faults.is_empty() { Ok(settings) } else { Err(faults) }
    }

    #[test]
    fn what_is_written_is_taken() {
        let settings = read_text(
            "[[proxy.upstreams]]\nname = \"jd\"\nlanding_hosts = [\"item.m.jd.com\", \"Item.JD.com\"]\n\
             origins = [\"https://10.0.0.5:8443\", \"https://jd-in.example.com\"]\nserver_name = \"item.m.jd.com\"\n\
             ca = \"jd.pem\"\nmount = \"jd.in.example.com\"\npaths = [\"/product/*\", \"/ware.html\"]\n\
             head_timeout = \"2s\"\nretries = 2\n\
             [[proxy.upstreams]]\nname = \"local\"\nlanding_hosts = \"item.taobao.com\"\norigin = \"http://127.0.0.1:9\"\n",
        )
        .unwrap();
        let [jd, local] = settings.upstreams.as_slice() else { panic!("two") };
        assert_eq!((jd.origins.len(), jd.origins[1].port, jd.retries), (2, 443, 2));
        assert_eq!(jd.ca.as_deref(), Some(Path::new("base/jd.pem")));
        assert_eq!((local.max_request_bytes, local.max_response_bytes), (64 << 10, 32 << 20));
        assert!(jd.is_mount("JD.in.example.com:8443") && !jd.is_mount("go.example.com") && !local.is_mount(""));
        for (landing, expected) in [
            ("https://item.m.jd.com/product/1.html?a=b", Some(0)),
            ("https://item.m.jd.com/ware.html#x", Some(0)),
            ("https://item.m.jd.com/ware.html/x", None),
            ("https://item.m.jd.com/product/../admin", None),
            ("https://item.m.jd.com/product/%2e%2E/admin", None),
            ("https://item.m.jd.com/product/..;/admin", None),
            ("https://item.m.jd.com/product/a%2Fb", None),
            ("https://item.taobao.com", Some(1)),
            ("https://item.taobao.com?id=1", Some(1)),
            ("https://u.jd.com/product/1", None),
        ] {
            assert_eq!(settings.serving(landing), expected, "{landing}");
        }
    }

    #[test]
    fn every_fault_is_named_at_once_with_its_mend() {
        let faults = read_text(
            "[[proxy.upstreams]]\nname = \"J D\"\nlanding_hosts = [\"evil.test\", \"login.m.taobao.com\"]\n\
             origin = \"http://10.0.0.5\"\nmount = \"item.jd.com\"\npaths = [\"product\", \"/a*b\", \"/a/../b\"]\n\
             retries = 9\nconnect_timeout = \"9s\"\nidle_timeout = \"soon\"\nplaim = true\n\
             [[proxy.upstreams]]\nname = \"a\"\nlanding_hosts = [\"item.jd.com\"]\norigin = \"https://a.example/x\"\n\
             origins = []\n\
             [[proxy.upstreams]]\nname = \"b\"\nlanding_hosts = []\n\
             [[proxy.upstreams]]\nname = \"c\"\nlanding_hosts = [\"item.m.jd.com\"]\norigin = \"ftp://c.example\"\n\
             mount = \"c.example.com:0\"\n\
             [[proxy.upstreams]]\nname = \"d\"\nlanding_hosts = [\"item.m.jd.com\"]\norigin = \"https://d.example\"\n\
             mount = \"in.example.com\"\n\
             [[proxy.upstreams]]\nname = \"d\"\nlanding_hosts = [\"item.m.jd.com\"]\norigin = \"https://d.example\"\n\
             mount = \"in.example.com:99\"\n",
        )
        .unwrap_err();
        let all = faults.join("\n");
        for part in [
            "p.toml:2: proxy.upstreams[0].name: `J D`",
            "landing_hosts[0]: `evil.test` is no host a click may land on",
            "landing_hosts[1]: `login.m.taobao.com`",
            "plain = true",
            "4: proxy.upstreams[0].origin: `http://10.0.0.5`",
            "mount: `item.jd.com` is a marketplace's own host",
            "paths[0]: `product`",
            "paths[1]: `/a*b`",
            "paths[2]: `/a/../b`",
            "retries: is 9: use 0 to 2",
            "connect_timeout: is longer than head_timeout",
            "idle_timeout: `soon`",
            "did you mean `plain`?",
            "upstreams[1].origins: stands beside `origin`",
            "upstreams[2].landing_hosts: is empty",
            "upstreams[2]: needs `origin`",
            "has the scheme `ftp`",
            "mount: `c.example.com:0` has no port",
            "upstreams[5].name: `d` is the name of another",
            "upstreams[5].mount: `in.example.com:99` is the mount of `d` too",
            "upstreams[5].landing_hosts: `item.m.jd.com` is served by `d` already",
        ] {
            assert!(all.contains(part), "{part} not in\n{all}");
        }
        assert_eq!(faults.len(), 20, "{all}");
    }
}
