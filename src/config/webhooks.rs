//! Settings of webhooks: who is told of what, and how. Reads and checks what is written; never resolves a name, reads a
//! secret or connects.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use url::{Host, Url};

use super::tree::{Field, Table};
use crate::domain::span::Span;
use crate::domain::vocabulary::closed_list;

closed_list! {
    /// What receivers can be told.
    EventKind {
        /// Links of one creator stop working at one instant.
        LinkExpiring = "link.expiring",
        /// Another policy version came into force.
        PolicyPublished = "policy.published",
        /// An agreement's window began.
        WindowOpened = "policy.window_opened",
        /// An agreement's window ended.
        WindowClosed = "policy.window_closed",
        /// Somebody tries a webhook out; every webhook takes it.
        Test = "webhook.test",
        /// A click led to an order. This and what follows is told to postbacks, not to webhooks.
        OrderSubmitted = "order.submitted",
        /// It was paid.
        OrderPaid = "order.paid",
        /// It was received or settled.
        OrderCompleted = "order.completed",
        /// It was closed or given back after all that.
        OrderReversed = "order.reversed",
    }
}

impl EventKind {
    /// What a webhook can ask for.
    pub const ASKED: [EventKind; 4] =
        [EventKind::LinkExpiring, EventKind::PolicyPublished, EventKind::WindowOpened, EventKind::WindowClosed];

    /// What a postback can ask for.
    pub const OF_ORDERS: [EventKind; 4] =
        [EventKind::OrderSubmitted, EventKind::OrderPaid, EventKind::OrderCompleted, EventKind::OrderReversed];

    fn asked(text: &str) -> Option<Self> {
        Self::ASKED.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Where a secret is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SecretSource {
    /// In a file.
    File(PathBuf),
    /// In a variable of the environment.
    Variable(String),
}

/// One receiver.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WebhookSettings {
    /// Names it in lists, metrics and commands.
    pub name: String,
    /// Where it listens.
    pub url: Url,
    /// Secrets that sign, the newest first; receivers take any of them.
    pub secrets: Vec<SecretSource>,
    /// What it is told.
    pub events: Vec<EventKind>,
    /// Whether it may be on an address that is not public.
    pub allow_private: bool,
    /// Whether it may speak plain HTTP.
    pub allow_http: bool,
    /// Certificates it may have been issued by, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// An event that could not be delivered for so long is given up.
    pub give_up_after: Span,
}

/// The most webhooks; label sets of metrics stay bounded.
const MOST: usize = 32;

/// Reads `[[webhooks]]`.
pub(super) fn read(field: &Field<'_>, base: &Path) -> Vec<WebhookSettings> {
    let entries = field.list().unwrap_or_default();
    if entries.len() > MOST {
        field.fault(format!("has {} webhooks: at most {MOST} are possible", entries.len()));
    }
    let mut read: Vec<WebhookSettings> = Vec::new();
    for entry in entries {
        let Some(table) = entry.table() else { continue };
        if let Some(webhook) = one(&table, base) {
            if read.iter().any(|known| known.name == webhook.name) {
                table.fault("name", format!("`{}` is the name of another webhook: choose another", webhook.name));
            }
            read.push(webhook);
        }
        table.finish();
    }
    read
}

fn one(table: &Table<'_>, base: &Path) -> Option<WebhookSettings> {
    let flag = |key: &'static str| table.get(key).and_then(|field| field.boolean()).unwrap_or(false);
    let (allow_private, allow_http) = (flag("allow_private"), flag("allow_http"));
    let name = table.require("name").and_then(|field| field.parse(name));
    let url = table.require("url").and_then(|field| field.parse(|text| target(text, allow_private, allow_http)));
    let texts = |key: &'static str| -> Vec<String> {
        let fields = table.get(key).and_then(|field| field.one_or_many()).unwrap_or_default();
        fields.iter().filter_map(|field| field.text().map(str::to_owned)).collect()
    };
    let files = texts("secret_file").into_iter().map(|file| SecretSource::File(base.join(file)));
    let secrets: Vec<SecretSource> = files.chain(texts("secret_env").into_iter().map(SecretSource::Variable)).collect();
    if secrets.is_empty() {
        table.fault("", "needs `secret_file` or `secret_env`: receivers believe signed events only");
    }
    let known = EventKind::ASKED.map(EventKind::as_str);
    let events: Vec<EventKind> = match table.require("events").and_then(|field| field.list()) {
        Some(fields) => fields.iter().filter_map(|field| field.one_of(EventKind::asked, &known)).collect(),
        None => Vec::new(),
    };
    let ca_file = table.get("ca_file").and_then(|field| field.text()).map(|file| base.join(file));
    let give_up_after = table.get("give_up_after").and_then(|field| field.parse(|text| text.parse::<Span>()));
    Some(WebhookSettings {
        name: name?,
        url: url?,
        secrets,
        events,
        allow_private,
        allow_http,
        ca_file,
        give_up_after: give_up_after.unwrap_or(Span::days(1)),
    })
}

pub(super) fn name(text: &str) -> Result<String, String> {
    let fits = (1..=32).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_'));
    if fits { Ok(text.to_owned()) } else { Err(format!("`{text}` is not a name: use 1 to 32 of a-z 0-9 - _")) }
}

/// An address events may be sent to, as far as its text tells.
pub(super) fn target(text: &str, allow_private: bool, allow_http: bool) -> Result<Url, String> {
    // What follows `?` may be a secret, and faults are logged.
    let told = text.split_once('?').map_or(text.to_owned(), |(before, _)| format!("{before}?…"));
    let url = Url::parse(text).map_err(|error| format!("`{told}` is not a URL: {error}"))?;
    match url.scheme() {
        "https" => {}
        "http" if allow_http => {}
        "http" => return Err("is plain http: use https, or set `allow_http = true` where nobody listens in".to_owned()),
        other => return Err(format!("has the scheme `{other}`: use https")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a user name or password: events are signed instead; leave it out".to_owned());
    }
    if url.fragment().is_some() {
        return Err("holds a fragment, which is never sent: leave out what follows `#`".to_owned());
    }
    let literal = match url.host() {
        Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
        Some(Host::Domain(_)) => None,
        None => return Err("names no host".to_owned()),
    };
    match literal {
        Some(address) if !allow_private && !is_public(address) => Err(not_public(address)),
        _ => Ok(url),
    }
}

/// Why an address is refused, and the mend.
pub fn not_public(address: IpAddr) -> String {
    format!("leads to {address}, which is not a public address: use a public one, or set `allow_private = true`")
}

/// Whether an address is one of the public internet: not loopback, private, shared, link-local, multicast, reserved, for
/// documentation, nor an IPv4 address of these kinds dressed up as IPv6.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => public_v4(address),
        IpAddr::V6(address) => public_v6(address),
    }
}

fn public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = a == 0
        || a == 10
        || a == 127
        || a >= 224
        || (a == 100 && (64..128).contains(&b))
        || (a == 169 && b == 254)
        || (a == 172 && (16..32).contains(&b))
        || (a == 192 && b == 168)
        || (a == 192 && b == 0 && (c == 0 || c == 2))
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19))
        || (a == 198 && b == 51 && c == 100)
        || (a == 203 && b == 0 && c == 113);
    !special
}

fn public_v6(address: Ipv6Addr) -> bool {
    // Mapped, compatible, translated (NAT64, also its local prefix) and tunnelled (6to4, Teredo) forms reach whatever the
    // IPv4 address inside names; the public ones are refused too, as no receiver is rightly named by them.
    let segments = address.segments();
    // Global unicast is 2000::/3; everything else is special or not assigned.
    segments[0] & 0xe000 == 0x2000
        && segments[0] != 0x2002
        && !(segments[0] == 0x2001 && segments[1] < 0x0200)
        && !(segments[0] == 0x2001 && segments[1] == 0x0db8)
        && !(segments[0] == 0x3fff && segments[1] < 0x1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_public_internet_pass() {
        let public =
            ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "223.5.5.5", "2400:3200::1", "2606:4700::1111"];
        for text in public {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "127.0.0.1",
            "127.255.0.9",
            "100.64.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "192.0.0.8",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
            "fec0::1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn targets_are_refused_with_the_mend() {
        for (text, part) in [
            ("http://hooks.example.com/", "allow_http"),
            ("ftp://hooks.example.com/", "https"),
            ("https://user@hooks.example.com/", "user name"),
            ("https://hooks.example.com/#a", "#"),
            ("https://127.1/", "127.0.0.1"),
            ("https://0x7f000001/", "allow_private"),
            ("https://[::ffff:10.0.0.1]/", "allow_private"),
            ("hooks", "not a URL"),
        ] {
            let error = target(text, false, false).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(target("https://hooks.example.com/a?b=c", false, false).is_ok());
        assert!(target("http://127.0.0.1:9/", true, true).is_ok());
    }
}
