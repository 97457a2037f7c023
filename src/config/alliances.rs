//! Settings of the networks whose order reports are pulled: Taobao Alliance and JD Union. Reads and checks what is written;
//! never reads a secret or connects.

use std::path::{Path, PathBuf};
use std::time::Duration;

use url::{Host, Url};

use super::tree::{Field, Table};
use super::webhooks::{SecretSource, is_public, not_public};
use crate::domain::attribution::Network;
use crate::domain::span::Span;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::closed_list;

closed_list! {
    /// How requests are signed.
    SignMethod {
        /// MD5 over secret, parameters, secret.
        Md5 = "md5",
        /// HMAC-MD5.
        Hmac = "hmac",
        /// HMAC-SHA256.
        HmacSha256 = "hmac-sha256",
    }
}

/// `[alliances]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Alliances {
    /// The networks that are pulled from.
    pub networks: Vec<NetworkSettings>,
    /// How long responses are kept as they came.
    pub keep_responses: Span,
}

impl Default for Alliances {
    fn default() -> Self {
        Alliances { networks: Vec::new(), keep_responses: Span::days(30) }
    }
}

impl Alliances {
    /// The settings of one network, if it is pulled from.
    pub fn of(&self, network: Network) -> Option<&NetworkSettings> {
        self.networks.iter().find(|settings| settings.network == network)
    }
}

/// `[alliances.taobao]` or `[alliances.jd]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NetworkSettings {
    /// Which.
    pub network: Network,
    /// Its end point.
    pub url: Url,
    /// Certificates it may have been issued by, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// How requests are signed.
    pub sign_method: SignMethod,
    /// The longest stretch of time asked for at once.
    pub window: Duration,
    /// Rows of a page.
    pub page_size: u32,
    /// How often changes are asked for.
    pub every: Duration,
    /// How long after its end a stretch is read again: what the network noticed late.
    pub overlap: Duration,
    /// The most requests a second, of one account.
    pub requests_per_second: u32,
    /// How long an answer is waited for.
    pub timeout: Duration,
    /// Taobao's `order_scene`: 1 ordinary, 2 channel, 3 member. Empty for others.
    pub order_scenes: Vec<u8>,
    /// Our accounts there.
    pub accounts: Vec<AccountSettings>,
}

/// One account of ours at a network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccountSettings {
    /// Names it in lists, metrics and order lines.
    pub name: String,
    /// The application's key.
    pub app_key: String,
    /// Where its secret is.
    pub secret: SecretSource,
    /// Where the session (Taobao) or access token (JD) is, if one is needed.
    pub token: Option<SecretSource>,
    /// From when on orders are pulled the first time; a day back when absent.
    pub start: Option<Timestamp>,
    /// The line it stands in.
    pub line: usize,
}

/// What a network allows.
struct Bounds {
    network: Network,
    url: &'static str,
    methods: &'static [SignMethod],
    usual: SignMethod,
    window: Duration,
    longest: Duration,
    page_size: u32,
    token: (&'static str, &'static str),
}

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

/// Facts of `taobao.tbk.order.details.get`: 3 h at most, 20 minutes in sale seasons, 100 rows.
const TAOBAO: Bounds = Bounds {
    network: Network::Taobao,
    url: "https://eco.taobao.com/router/rest",
    methods: SignMethod::ALL,
    usual: SignMethod::HmacSha256,
    window: minutes(20),
    longest: minutes(180),
    page_size: 100,
    token: ("session_file", "session_env"),
};

/// Facts of `jd.union.open.order.row.query`: an hour at most, 500 rows.
const JD: Bounds = Bounds {
    network: Network::Jd,
    url: "https://api.jd.com/routerjson",
    methods: &[SignMethod::Md5],
    usual: SignMethod::Md5,
    window: minutes(60),
    longest: minutes(60),
    page_size: 500,
    token: ("access_token_file", "access_token_env"),
};

/// The most accounts of a network; label sets of metrics stay bounded.
const MOST: usize = 16;

/// Reads `[alliances]`.
pub(super) fn read(table: &Table<'_>, base: &Path) -> Alliances {
    let mut alliances = Alliances::default();
    if let Some(span) = table.get("keep_responses").and_then(|field| field.parse(|text| text.parse::<Span>())) {
        alliances.keep_responses = span;
    }
    for (key, bounds) in [("taobao", &TAOBAO), ("jd", &JD)] {
        let Some(table) = table.get(key).and_then(|field| field.table()) else { continue };
        alliances.networks.push(network(&table, bounds, base));
        table.finish();
    }
    alliances
}

fn network(table: &Table<'_>, bounds: &Bounds, base: &Path) -> NetworkSettings {
    let usual = || Url::parse(bounds.url).unwrap_or_else(|_| unreachable!("the usual end points are URLs"));
    let url = table.get("url").and_then(|field| field.parse(end_point)).unwrap_or_else(usual);
    let known: Vec<&str> = bounds.methods.iter().map(|method| method.as_str()).collect();
    let parse = |text: &str| SignMethod::parse(text).filter(|method| bounds.methods.contains(method));
    let method = table.get("sign_method").and_then(|field| field.one_of(parse, &known));
    let time = |key: &'static str, range: std::ops::RangeInclusive<Duration>, usual: Duration| {
        table.get(key).and_then(|field| between(&field, &range)).unwrap_or(usual)
    };
    let window = time("window", minutes(1)..=bounds.longest, bounds.window);
    let overlap = time("overlap", Duration::from_secs(1)..=minutes(24 * 60), minutes(10));
    let every = time("every", Duration::from_secs(1)..=minutes(24 * 60), minutes(1));
    let timeout = time("timeout", Duration::from_millis(100)..=minutes(5), Duration::from_secs(30));
    let number = |key: &'static str, range, usual: u32| {
        let value = table.get(key).and_then(|field| field.integer(range));
        value.and_then(|value| u32::try_from(value).ok()).unwrap_or(usual)
    };
    let page_size = number("page_size", 1..=i64::from(bounds.page_size), bounds.page_size);
    let requests_per_second = number("requests_per_second", 1..=1_000, 5);
    let order_scenes = if bounds.network == Network::Taobao {
        let scenes = table.get("order_scenes").and_then(|field| field.list()).map(|fields| scenes(&fields));
        if scenes.as_ref().is_some_and(Vec::is_empty) {
            table.fault("order_scenes", "names none: use some of 1 (ordinary), 2 (channel), 3 (member)");
        }
        scenes.unwrap_or_else(|| vec![1])
    } else {
        Vec::new()
    };
    let ca_file = table.get("ca_file").and_then(|field| field.text()).map(|file| base.join(file));
    let accounts = accounts(table, bounds, base);
    NetworkSettings {
        network: bounds.network,
        url,
        ca_file,
        sign_method: method.unwrap_or(bounds.usual),
        window,
        page_size,
        every,
        overlap,
        requests_per_second,
        timeout,
        order_scenes,
        accounts,
    }
}

/// The account that the network's table describes itself, by the name `default`, and those under `accounts`.
fn accounts(table: &Table<'_>, bounds: &Bounds, base: &Path) -> Vec<AccountSettings> {
    let mut accounts: Vec<AccountSettings> = Vec::new();
    let start = table.get("start").and_then(|field| field.parse(|text| text.parse::<Timestamp>()));
    let entries = table.get("accounts").and_then(|field| field.list()).unwrap_or_default();
    if table.get("app_key").is_some() || entries.is_empty() {
        accounts.extend(account(table, "default".to_owned(), bounds, base, start));
    }
    if entries.len() >= MOST {
        table.fault("accounts", format!("has {} accounts: fewer than {MOST} are possible", entries.len()));
    }
    for entry in entries {
        let Some(entry) = entry.table() else { continue };
        let name = entry.require("name").and_then(|field| field.parse(name));
        let start = entry.get("start").and_then(|field| field.parse(|text| text.parse::<Timestamp>())).or(start);
        if let Some(account) = account(&entry, name.unwrap_or_default(), bounds, base, start) {
            if accounts.iter().any(|known| known.name == account.name) {
                entry.fault("name", format!("`{}` is the name of another account: choose another", account.name));
            }
            accounts.push(account);
        }
        entry.finish();
    }
    accounts
}

fn account(
    table: &Table<'_>,
    name: String,
    bounds: &Bounds,
    base: &Path,
    start: Option<Timestamp>,
) -> Option<AccountSettings> {
    let app_key = table.require("app_key").and_then(|field| field.text()).map(str::to_owned);
    let secret = source(table, "secret_file", "secret_env", base);
    if secret.is_none() {
        table.fault("", "needs `secret_file` or `secret_env`: the application's secret, kept out of this file");
    }
    let token = source(table, bounds.token.0, bounds.token.1, base);
    Some(AccountSettings { name, app_key: app_key?, secret: secret?, token, start, line: table.line() })
}

fn source(table: &Table<'_>, file: &'static str, variable: &'static str, base: &Path) -> Option<SecretSource> {
    let named = table.get(file).and_then(|field| field.text()).map(|file| SecretSource::File(base.join(file)));
    let set = table.get(variable).and_then(|field| field.text());
    if named.is_some() && set.is_some() {
        table.fault(variable, format!("stands beside `{file}`: keep one"));
    }
    named.or(set.map(|name| SecretSource::Variable(name.to_owned())))
}

fn scenes(fields: &[Field<'_>]) -> Vec<u8> {
    let mut scenes: Vec<u8> = fields.iter().filter_map(|field| field.integer(1..=3)?.try_into().ok()).collect();
    scenes.sort_unstable();
    scenes.dedup();
    scenes
}

fn between(field: &Field<'_>, range: &std::ops::RangeInclusive<Duration>) -> Option<Duration> {
    let value = super::settings::duration(field)?;
    if !range.contains(&value) {
        field.fault(format!("is {}: use {} to {}", told(value), told(*range.start()), told(*range.end())));
        return None;
    }
    Some(value)
}

fn told(value: Duration) -> String {
    match value.as_millis() {
        millis if millis % 60_000 == 0 => format!("{}m", millis / 60_000),
        millis if millis % 1_000 == 0 => format!("{}s", millis / 1_000),
        millis => format!("{millis}ms"),
    }
}

fn name(text: &str) -> Result<String, String> {
    let fits = (1..=32).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_'));
    if fits { Ok(text.to_owned()) } else { Err(format!("`{text}` is not a name: use 1 to 32 of a-z 0-9 - _")) }
}

/// An end point requests may be sent to: https, or plain http on this machine for trying things out.
fn end_point(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("`{text}` is not a URL: {error}"))?;
    let literal = match url.host() {
        Some(Host::Ipv4(address)) => Some(std::net::IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => Some(std::net::IpAddr::V6(address)),
        Some(Host::Domain(_)) => None,
        None => return Err("names no host".to_owned()),
    };
    let here = literal.is_some_and(|address| address.is_loopback());
    match url.scheme() {
        "https" => {}
        "http" if here => {}
        "http" => return Err("is plain http: use https (http only for 127.0.0.1)".to_owned()),
        other => return Err(format!("has the scheme `{other}`: use https")),
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err("must be scheme, host and path alone".to_owned());
    }
    match literal {
        Some(address) if !here && !is_public(address) => Err(not_public(address)),
        _ => Ok(url),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree::{Fault, Faults, from_toml};

    fn settings(text: &str) -> (Alliances, Vec<String>) {
        let faults = Faults::default();
        let node = from_toml("f.toml", text, &faults).unwrap();
        let root = Table::root("f.toml", &node, &faults).unwrap();
        let table = root.get("alliances").and_then(|field| field.table()).unwrap();
        let alliances = read(&table, Path::new("base"));
        table.finish();
        (alliances, faults.into_sorted().iter().map(Fault::to_string).collect())
    }

    #[test]
    fn accounts_are_read_with_what_the_network_usually_has() {
        let (alliances, faults) = settings(
            "[alliances]\nkeep_responses = \"7d\"\n[alliances.taobao]\napp_key = \"1\"\nsecret_file = \"t.secret\"\n\
             order_scenes = [2, 1]\n[[alliances.taobao.accounts]]\nname = \"two\"\n\
             app_key = \"2\"\nsecret_env = \"TWO\"\nsession_env = \"TWO_SESSION\"\nstart = \"2026-11-01\"\n\
             [alliances.jd]\napp_key = \"3\"\nsecret_env = \"JD\"\nurl = \"http://127.0.0.1:9/routerjson\"\n",
        );
        assert!(faults.is_empty(), "{faults:#?}");
        let taobao = alliances.of(Network::Taobao).unwrap();
        assert_eq!((taobao.window, taobao.page_size, &*taobao.order_scenes), (minutes(20), 100, &[1, 2][..]));
        let names: Vec<&str> = taobao.accounts.iter().map(|account| account.name.as_str()).collect();
        assert_eq!((names, taobao.sign_method), (vec!["default", "two"], SignMethod::HmacSha256));
        assert_eq!(taobao.accounts[0].secret, SecretSource::File("base/t.secret".into()));
        assert!(taobao.accounts[1].token.is_some() && taobao.accounts[1].start.is_some());
        let jd = alliances.of(Network::Jd).unwrap();
        assert_eq!((jd.window, jd.page_size, jd.sign_method), (minutes(60), 500, SignMethod::Md5));
        assert_eq!(alliances.keep_responses, Span::days(7));
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let (_, faults) = settings(
            "[alliances.taobao]\nwindow = \"4h\"\npage_size = 101\norder_scenes = [4]\nsecret = \"shown\"\n\
             url = \"http://eco.taobao.com/router/rest\"\n[alliances.jd]\napp_key = \"3\"\nsecret_env = \"JD\"\n\
             secret_file = \"jd\"\nsign_method = \"hmac\"\nurl = \"https://10.0.0.1/\"\norder_scenes = [1]\n",
        );
        let all = faults.join("\n");
        for part in [
            "window: is 240m: use 1m to 180m",
            "page_size: is 101: use 1 to 100",
            "order_scenes[0]: is 4",
            "order_scenes: names none",
            "taobao.app_key: is missing",
            "taobao: needs `secret_file`",
            "taobao.secret: unknown key",
            "http only for 127.0.0.1",
            "stands beside `secret_file`",
            "sign_method: `hmac` is not known",
            "10.0.0.1, which is not a public address",
            "jd.order_scenes: unknown key",
        ] {
            assert!(all.contains(part), "{part} not in\n{all}");
        }
        assert_eq!(faults.len(), 12, "{all}");
        assert!(!all.contains("shown"), "a secret is never shown");
    }
}
