//! The sections of the file of settings, one function each; those with a module of their own are read there. Every fault of
//! a file is added, none ends the reading.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;

use super::{CertificateFiles, JournalMode, JournalSettings, Limits, OnDeadline, PolicySource, Settings};
use crate::config::landing::MatrixFile;
use crate::config::tree::{Faults, Field, Table, from_toml};
use crate::config::{
    alliances, apps, archive, attribution, devices, marketplaces, postbacks, proxy, resolve, signing, webhooks,
};
use crate::domain::span::Span;
use crate::domain::vocabulary::Vocabulary;
use crate::telemetry::LogFormat;

impl Settings {
    pub(super) fn read(name: &str, text: &str, base: &Path, faults: &Faults) -> Option<Self> {
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
            proxies(&mut settings, &table);
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
            policies(&mut settings, &table, base);
            table.finish();
        }
        if let Some(table) = section("landing") {
            if let Some(file) = table.get("matrix").and_then(|field| field.text()) {
                settings.landing = MatrixFile { path: base.join(file), named: true };
            }
            table.finish();
        }
        if let Some(table) = section("tls") {
            settings.certificates = certificates(&table, base);
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
            vocabulary(&mut settings.words, &table);
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
            log(&mut settings, &table);
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

fn proxies(settings: &mut Settings, table: &Table<'_>) {
    if let Some(trusted) = table.get("trusted").and_then(|field| field.list()) {
        settings.trusted_proxies = trusted.iter().filter_map(|field| field.parse(network)).collect();
    }
    set(&mut settings.proxy_protocol, table.get("protocol").and_then(|field| field.boolean()));
    if settings.proxy_protocol && settings.trusted_proxies.is_empty() {
        table.fault("protocol", "needs `trusted`: name the proxies that speak it");
    }
}

fn policies(settings: &mut Settings, table: &Table<'_>, base: &Path) {
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
}

fn certificates(table: &Table<'_>, base: &Path) -> Vec<CertificateFiles> {
    let mut found = Vec::new();
    for entry in table.get("certificates").and_then(|field| field.list()).unwrap_or_default() {
        let Some(pair) = entry.table() else { continue };
        let chain = pair.require("chain").and_then(|field| field.text());
        let key = pair.require("key").and_then(|field| field.text());
        if let (Some(chain), Some(key)) = (chain, key) {
            found.push(CertificateFiles { chain: base.join(chain), key: base.join(key) });
        }
        pair.finish();
    }
    found
}

fn vocabulary(words: &mut Vocabulary, table: &Table<'_>) {
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
}

fn log(settings: &mut Settings, table: &Table<'_>) {
    let formats = |text: &str| match text {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    };
    let format = table.get("format").and_then(|field| field.one_of(formats, &["text", "json"]));
    set(&mut settings.log_format, format);
    set(&mut settings.log_level, table.get("level").and_then(|field| field.text()).map(str::to_owned));
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
pub(in crate::config) fn duration(field: &Field<'_>) -> Option<Duration> {
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
