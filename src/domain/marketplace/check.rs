//! What a marketplace's table may say: every fault of all tables at once, each with its field and mend. Never reads a
//! file; whoever did knows the lines.

use url::{Host, Url};

use super::app::{App, Carrier};
use super::host::{is_forwarding, is_label};
use super::pasted::is_visible;
use super::table::{Form, Id, Marketplace, Named, Shape, Tag};

/// One thing wrong in a table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TableFault {
    /// Which table: its place among those that were given.
    pub table: usize,
    /// The field, as `shapes[2].hosts[0]`.
    pub field: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

/// Every fault of these tables. Where two claim the same, the later one is at fault.
pub(super) fn check(tables: &[Marketplace]) -> Vec<TableFault> {
    let mut found = Vec::new();
    for (place, table) in tables.iter().enumerate() {
        let mut faults = Faults { table: place, found: &mut found };
        let before = &tables[..place];
        if !table.id.is_empty() && before.iter().any(|known| known.id == table.id) {
            faults.add("id", format!("`{}` is the id of another file too: keep one of the two", table.id));
        }
        if RESERVED.contains(&&*table.id) {
            faults
                .add("id", format!("`{}` means something else where marketplaces are named: choose another", table.id));
        }
        // Left out, it is the id, which whoever hands out ids has looked at.
        if table.family != table.id && !table.family.is_empty() && !is_name(&table.family) {
            faults.add("family", format!("`{}` is not a name: use 2 to 32 of a-z, 0-9 and _", table.family));
        } else if !table.family.is_empty()
            && !table.id.is_empty()
            && !tables.iter().any(|known| known.id == table.family)
        {
            let problem = "is the id of no marketplace: leave it out, or name the one whose item numbers these are";
            faults.add("family", format!("`{}` {problem}", table.family));
        }
        for (field, name) in [("names.zh", &table.names.zh), ("names.en", &table.names.en)] {
            if name.chars().count() > 32 || name.chars().any(char::is_control) {
                faults.add(field, "is not a name for people: use at most 32 characters, in one line");
            }
        }
        domains(table, before, &mut faults);
        for (n, service) in table.services.iter().enumerate().filter(|(_, service)| !service.is_empty()) {
            if !is_label(service) {
                faults.add(format!("services[{n}]"), format!("`{service}` is not one label of a host, as in `www`"));
            }
        }
        for (field, names, may_end_open) in [("variant", &table.variant, false), ("noise", &table.noise, true)] {
            for (n, name) in names.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
                let plain = if may_end_open { name.strip_suffix('*').unwrap_or(name) } else { name };
                if !is_query_name(plain) {
                    let problem =
                        "is not a query name: leave out & = # ? and *, which may only stand at the end of noise";
                    faults.add(format!("{field}[{n}]"), format!("`{name}` {problem}"));
                }
            }
        }
        for (n, shape) in table.shapes.iter().enumerate() {
            self::shape(n, shape, &table.domains, &mut faults);
        }
        if let Some(home) = &table.home {
            web_prefix("home", home, &table.domains, &mut faults);
        }
        short_links(table, &mut faults);
        forwards(table, &mut faults);
        app(&table.app, &table.domains, &mut faults);
    }
    found
}

/// Names that policies and reports use for all marketplaces or for none.
const RESERVED: &[&str] = &["all", "any", "unknown"];

struct Faults<'f> {
    table: usize,
    found: &'f mut Vec<TableFault>,
}

impl Faults<'_> {
    fn add(&mut self, field: impl Into<String>, problem: impl Into<String>) {
        self.found.push(TableFault { table: self.table, field: field.into(), problem: problem.into() });
    }
}

fn is_name(text: &str) -> bool {
    (2..=32).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn is_query_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| is_visible(b) && !b"&=#?*%".contains(&b))
}

fn domains(table: &Marketplace, before: &[Marketplace], faults: &mut Faults<'_>) {
    if table.domains.is_empty() && !table.shapes.is_empty() {
        faults.add("domains", "is empty, so no shape can ever fit: name the domains, or leave the shapes out");
    }
    for (n, domain) in table.domains.iter().enumerate().filter(|(_, domain)| !domain.is_empty()) {
        let field = format!("domains[{n}]");
        if let Err(problem) = whole_domain(domain) {
            faults.add(field, format!("`{domain}` {problem}"));
            continue;
        }
        // One that is no domain has been named, and makes no second fault.
        let clash = |other: &str| whole_domain(other).is_ok() && (is_below(domain, other) || is_below(other, domain));
        if let Some(other) = table.domains[..n].iter().find(|other| clash(other)) {
            faults.add(
                field,
                format!("`{domain}` and `{other}` overlap: a domain includes every host below it, so keep one"),
            );
            continue;
        }
        let other = before.iter().find_map(|known| Some((known, known.domains.iter().find(|other| clash(other))?)));
        if let Some((known, other)) = other.filter(|(known, _)| known.id != table.id) {
            faults.add(
                field,
                format!("`{domain}` overlaps `{other}` of marketplace `{}`: a host has one owner", known.id),
            );
        }
    }
}

/// A domain that a marketplace can own: two labels at least, and not one that everybody registers names under.
fn whole_domain(domain: &str) -> Result<(), &'static str> {
    if domain.split('.').any(|label| label.starts_with("xn--")) {
        return Err(
            "holds the `xn--` form of letters other than ASCII, which can imitate another name and is never trusted: \
                    name the marketplace's domain in plain letters",
        );
    }
    if !domain.split('.').all(is_label) || domain.len() > 253 {
        return Err("is not a domain: write it in lower case without scheme, port, path or *, as in `example.com`");
    }
    if !domain.contains('.') {
        return Err("is a top-level name: name the marketplace's own domain below it");
    }
    if !matches!(Host::parse(domain), Ok(Host::Domain(_))) {
        return Err("is an address: use the marketplace's own domain");
    }
    if domain.rsplit('.').next().is_some_and(|top| LOCAL.contains(&top)) {
        return Err("lies in a private network, where it can be anybody: name the marketplace's public domain");
    }
    if is_public_suffix(domain) {
        return Err("is a public suffix, under which anybody gets a name: name the marketplace's own domain below it");
    }
    if domain.split('.').any(is_forwarding) {
        return Err("is a login or forwarding host, where no click may land: name another");
    }
    Ok(())
}

/// Second-level names under which a country's registry gives out names.
#[rustfmt::skip]
const SECOND_LEVEL: &[&str] = &[
    "ac", "co", "com", "edu", "gob", "gov", "idv", "mil", "ne", "net", "nom", "or", "org", "name", "info", "biz", "firm",
];

/// Second-level names of `.cn`'s provinces.
#[rustfmt::skip]
const PROVINCES: &[&str] = &[
    "ah", "bj", "cq", "fj", "gd", "gs", "gx", "gz", "ha", "hb", "he", "hi", "hk", "hl", "hn", "jl", "js", "jx", "ln",
    "mo", "nm", "nx", "qh", "sc", "sd", "sh", "sn", "sx", "tj", "tw", "xj", "xz", "yn", "zj",
];

/// Where anybody can put pages up: no whole list, those a marketplace's file is likeliest to name by mistake.
#[rustfmt::skip]
const SHARED: &[&str] = &[
    "aliyuncs.com", "amazonaws.com", "appspot.com", "azurewebsites.net", "bcebos.com", "blogspot.com", "cloudfront.net",
    "eu.org", "firebaseapp.com", "fly.dev", "github.io", "gitee.io", "gitlab.io", "herokuapp.com", "in.th",
    "myqcloud.com", "myshopify.com", "netlify.app", "ngrok.io", "onrender.com", "pages.dev", "qiniucdn.com", "r2.dev",
    "tcloudbaseapp.com", "trycloudflare.com", "uk.com", "vercel.app", "web.app", "workers.dev",
];

/// Of these, the name right below is a region or a service, under which everybody has names again.
const BY_REGION: &[&str] = &["aliyuncs.com", "amazonaws.com"];

/// Top-level names that mean something else in every network.
const LOCAL: &[&str] = &["localhost", "internal"];

fn is_public_suffix(domain: &str) -> bool {
    let two_levels = |second: &str, top: &str| {
        (top.len() == 2 && SECOND_LEVEL.contains(&second)) || (top == "cn" && PROVINCES.contains(&second))
    };
    match domain.split_once('.') {
        Some((_, rest)) if BY_REGION.contains(&rest) => true,
        Some((second, top)) if !top.contains('.') && two_levels(second, top) => true,
        _ => SHARED.contains(&domain),
    }
}

/// Whether a host is a domain or lies below it.
fn is_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|front| front.is_empty() || front.ends_with('.'))
}

fn in_domains(host: &str, domains: &[Box<str>]) -> bool {
    // One that is no domain owns no host.
    domains.iter().any(|domain| whole_domain(domain).is_ok() && is_below(host, domain))
}

fn shape(n: usize, shape: &Shape, domains: &[Box<str>], faults: &mut Faults<'_>) {
    for (m, pattern) in shape.hosts.iter().enumerate().filter(|(_, pattern)| !pattern.is_empty()) {
        if let Err(problem) = host_pattern(pattern, domains) {
            faults.add(format!("shapes[{n}].hosts[{m}]"), format!("`{pattern}` {problem}"));
        }
    }
    for (m, pattern) in shape.paths.iter().enumerate() {
        if let Err(problem) = path_pattern(pattern) {
            faults.add(format!("shapes[{n}].paths[{m}]"), format!("`{pattern}` {problem}"));
        }
    }
    for (m, name) in shape.query.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
        if !is_query_name(name) {
            faults
                .add(format!("shapes[{n}].query[{m}]"), format!("`{name}` is not a query name: leave out & = # ? * %"));
        }
    }
    for (m, tag) in shape.tags.iter().enumerate().filter(|(_, tag)| !tag.name().is_empty()) {
        let start = match tag {
            Tag::Present(_) => "",
            Tag::Numbered(_, start) => start,
        };
        if !is_query_name(tag.name()) || !start.bytes().all(|b| is_visible(b) && b != b'&' && b != b'#') {
            let problem =
                "is not a tag: write `name`, or `name=start` for a value that starts so and goes on with a digit";
            faults.add(format!("shapes[{n}].tags[{m}]"), problem);
        }
    }
    id(n, shape, faults);
}

fn id(n: usize, shape: &Shape, faults: &mut Faults<'_>) {
    if shape.id == Id::UNREAD {
        return;
    }
    let field = format!("shapes[{n}].id");
    let all_have =
        |patterns: &[Box<str>]| !patterns.is_empty() && patterns.iter().all(|pattern| pattern.contains("{id}"));
    let in_pattern = shape.hosts.iter().chain(&shape.paths).any(|pattern| pattern.contains("{id}"));
    let shop_beside = shape.hosts.iter().chain(&shape.paths).any(|pattern| pattern.contains("{shop}"));
    let has_id = shape.id.form != Form::None;
    if !has_id && shape.id.names != Named::Nothing {
        faults.add(&field, "names something but has no form: add form = \"number\", \"code\" or \"label\"");
    } else if !has_id && (in_pattern || !shape.query.is_empty()) {
        faults.add(&field, "is missing although an id is looked for: say what it names and its form");
    } else if has_id && in_pattern && !shape.query.is_empty() {
        faults.add(&field, "is looked for at {id} and in the query: keep one of the two");
    } else if has_id && shape.query.is_empty() && !all_have(&shape.paths) && !all_have(&shape.hosts) {
        faults.add(&field, "stands nowhere: put {id} into every path or every host, or name its `query` parameters");
    }
    if shape.id.form == Form::Opaque && shape.id.names != Named::Nothing {
        faults.add(&field, "is opaque, so it can name nothing: leave `names` out, or give another form");
    }
    if shape.id.min > shape.id.max {
        faults.add(&field, format!("has min = {} over max = {}: swap them", shape.id.min, shape.id.max));
    }
    if shop_beside && matches!(shape.id.names, Named::Shop | Named::Seller) {
        faults.add(&field, "names the shop, and so does {shop}: keep one of the two");
    }
}

fn short_links(table: &Marketplace, faults: &mut Faults<'_>) {
    for (n, short) in table.short_links.iter().enumerate() {
        let (host, path) = (&short.host, &short.path);
        let own =
            in_domains(host, &table.domains) && host.split('.').all(|label| is_label(label) && !is_forwarding(label));
        if !host.is_empty() && !own {
            let problem = "is not a host below one of the marketplace's own `domains`, or a login page";
            faults.add(format!("short_links[{n}].host"), format!("`{host}` {problem}"));
        }
        let fits = path.starts_with('/') && is_plain(path) && !path.contains(['?', '#']);
        if !path.is_empty() && !fits {
            let problem = "is not how a path begins: write / and what follows, without a query";
            faults.add(format!("short_links[{n}].path"), format!("`{path}` {problem}"));
        }
        if table.short_links[..n].iter().any(|known| known.host == *host && known.path == *path && !path.is_empty()) {
            faults.add(format!("short_links[{n}]"), "is there twice: keep one");
        }
    }
}

fn forwards(table: &Marketplace, faults: &mut Faults<'_>) {
    for (n, entry) in table.forwards.iter().enumerate().filter(|(_, entry)| !entry.is_empty()) {
        let field = format!("forwards[{n}]");
        let (host, path) = entry.split_at(entry.find('/').unwrap_or(entry.len()));
        if !in_domains(host, &table.domains) || !host.split('.').all(is_label) {
            let problem = "is not a host below one of the marketplace's own `domains`, or one and how its path begins";
            faults.add(field, format!("`{entry}` {problem}: write it as in `go.example.com/t`, in lower case"));
        } else if !path.is_empty() && (path == "/" || !is_plain(path) || path.contains(['?', '#', '%', ';'])) {
            let problem =
                "does not say how a path begins: leave out query, % and ;, or name the host alone for all of it";
            faults.add(field, format!("`{entry}` {problem}"));
        } else if table.forwards[..n].contains(entry) {
            faults.add(field, format!("`{entry}` is there twice: keep one"));
        }
    }
}

fn host_pattern(pattern: &str, domains: &[Box<str>]) -> Result<(), &'static str> {
    pattern_of(pattern, |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')?;
    // All behind the last placeholder stands fast.
    let fast = pattern.rfind(['}', '*']).map_or(pattern, |at| &pattern[at + 1..]);
    let (whole, below) = (fast.len() == pattern.len(), |domain: &str| fast.strip_suffix(domain));
    let own = if whole {
        in_domains(pattern, domains) && pattern.split('.').all(is_label)
    } else {
        domains.iter().any(|domain| !domain.is_empty() && below(domain).is_some_and(|front| front.ends_with('.')))
    };
    if own { Ok(()) } else { Err("is not below one of the marketplace's own `domains`: no such host is ever trusted") }
}

fn path_pattern(pattern: &str) -> Result<(), &'static str> {
    if !pattern.is_empty() && !pattern.starts_with(['/', '*']) {
        return Err("is not a path: begin it with / or *, or leave it empty for a URL without a path");
    }
    pattern_of(pattern, |b| is_visible(b) && b != b'?' && b != b'#')
}

/// What the matcher can do in linear time.
fn pattern_of(pattern: &str, plain: impl Fn(u8) -> bool) -> Result<(), &'static str> {
    let (mut rest, mut starred, mut behind_run) = (pattern, false, false);
    let mut seen: Vec<&str> = Vec::new();
    while let Some(first) = rest.bytes().next() {
        if first == b'*' {
            rest = &rest[1..];
            // One at the very end costs nothing.
            if !rest.is_empty() {
                if starred {
                    return Err("has more than one * inside: one inside and one at the end are possible");
                }
                starred = true;
            }
            behind_run = false;
        } else if first == b'{' {
            let Some((name, after)) = rest[1..].split_once('}') else { return Err("has a { without its }") };
            if !["id", "shop", "digits"].contains(&name) {
                return Err("has a placeholder that is not known: use {id}, {shop} or {digits}");
            }
            if starred {
                return Err("has a placeholder behind a *: put it before, or leave the * out");
            }
            if behind_run {
                return Err("has two placeholders in a row: put a plain character between them");
            }
            if name != "digits" && seen.contains(&name) {
                return Err("has the same placeholder twice: use {digits} for a number that names nothing");
            }
            seen.push(name);
            (rest, behind_run) = (after, true);
        } else if plain(first) {
            (rest, behind_run) = (&rest[1..], false);
        } else {
            return Err("has a character that cannot stand there: use plain ASCII, lower case in a host");
        }
    }
    Ok(())
}

/// Schemes that browsers, systems or this gateway read themselves.
#[rustfmt::skip]
const FORBIDDEN: &[&str] = &[
    "about", "android-app", "blob", "chrome", "content", "data", "file", "filesystem", "ftp", "http", "https", "intent",
    "javascript", "mailto", "market", "resource", "sms", "tel", "vbscript", "view-source", "ws", "wss",
];

fn app(app: &App, domains: &[Box<str>], faults: &mut Faults<'_>) {
    let is_package = |text: &str| {
        text.contains('.')
            && text.split('.').all(|part| {
                part.starts_with(|c: char| c.is_ascii_alphabetic())
                    && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            })
    };
    for (field, text) in [("android_package", &app.android_package), ("harmony_bundle", &app.harmony_bundle)] {
        if let Some(text) = text
            && !is_package(text)
        {
            faults.add(format!("app.{field}"), format!("`{text}` is not one: write it as in `com.example.shop`"));
        }
    }
    if let Some(text) = &app.ios_store_id
        && !((6..=12).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()))
    {
        faults.add(
            "app.ios_store_id",
            format!("`{text}` is not one: write the digits of the store's page, \"387682726\""),
        );
    }
    for (n, scheme) in app.schemes.iter().enumerate().filter(|(_, scheme)| !scheme.is_empty()) {
        let field = format!("app.schemes[{n}]");
        let formed = (2..=32).contains(&scheme.len())
            && scheme.starts_with(|c: char| c.is_ascii_lowercase())
            && scheme.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+.-".contains(&b));
        if !formed {
            faults.add(
                field,
                format!("`{scheme}` is not a scheme: use 2 to 32 of a-z 0-9 + . - in lower case, without `:`"),
            );
        } else if FORBIDDEN.contains(&&**scheme) {
            faults.add(field, format!("`{scheme}` is not an app's own scheme: leave it out"));
        }
    }
    if let Some(open) = &app.open {
        let own = app.schemes.iter().any(|scheme| {
            !scheme.is_empty() && open.prefix.strip_prefix(&**scheme).is_some_and(|rest| rest.starts_with("://"))
        });
        let sound = open.prefix.is_empty() || (own && is_plain(&open.prefix));
        if !sound {
            faults.add("app.open.prefix", "does not begin with one of `schemes` and `://`, in plain visible ASCII");
        }
        value("app.open.value", open, &["url", "item"], &["url"], faults);
    }
    if let Some(link) = &app.universal_link {
        web_prefix("app.universal_link.prefix", &link.prefix, domains, faults);
        value("app.universal_link.value", link, &["open", "url", "item"], &["open", "url"], faults);
        if link.value.contains("{open}") && app.open.is_none() {
            faults.add("app.universal_link.value", "holds {open}, but there is no `open`: add it, or use {url}");
        }
    }
    if let Some(program) = &app.mini_program {
        let is_hex = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let app_id = &program.app_id;
        if !app_id.is_empty() && !app_id.strip_prefix("wx").is_some_and(|rest| rest.len() == 16 && is_hex(rest)) {
            faults.add("app.mini_program.app_id", format!("`{app_id}` is not one: `wx` and 16 of 0-9 a-f"));
        }
        if let Some(name) = &program.user_name
            && !name.strip_prefix("gh_").is_some_and(|rest| rest.len() == 12 && is_hex(rest))
        {
            faults.add("app.mini_program.user_name", format!("`{name}` is not one: `gh_` and 12 of 0-9 a-f"));
        }
        let path = &program.path;
        let plain = path.replace("{url}", "");
        if !path.is_empty() && (!path.contains("{url}") || !is_plain(&plain) || path.contains("://")) {
            faults.add("app.mini_program.path", "is not a page with {url} in it: as in `pages/open/index?url={url}`");
        }
    }
    if let Some(in_app) = &app.in_app {
        for (n, host) in in_app.hosts.iter().enumerate().filter(|(_, host)| !host.is_empty()) {
            if !host.split('.').all(is_label) || !in_domains(host, domains) {
                let problem = "is not a host below one of the marketplace's own `domains`";
                faults.add(format!("app.in_app.hosts[{n}]"), format!("`{host}` {problem}"));
            }
        }
        if let Some(carrier) = &in_app.carrier {
            web_prefix("app.in_app.prefix", &carrier.prefix, domains, faults);
            value("app.in_app.value", carrier, &["item", "url"], &["item", "url"], faults);
        }
    }
}

/// An https beginning whose host is whole and the marketplace's own, so that no value can lead elsewhere.
fn web_prefix(field: &str, prefix: &str, domains: &[Box<str>], faults: &mut Faults<'_>) {
    if prefix.is_empty() {
        return;
    }
    let host = prefix.strip_prefix("https://").and_then(|rest| rest.split_once(['/', '?'])).map(|(host, _)| host);
    let own = host.is_some_and(|host| {
        in_domains(host, domains)
            && host.split('.').all(|label| is_label(label) && !is_forwarding(label))
            && Url::parse(prefix).is_ok_and(|url| url.host_str() == Some(host) && url.port().is_none())
    });
    if !own || !is_plain(prefix) {
        faults.add(field, "does not begin with https:// and a whole host below one of the marketplace's own `domains`");
    }
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(is_visible)
}

/// The placeholders of a value: `known` may be there, one of `needed` must.
fn value(field: &str, carrier: &Carrier, known: &[&str], needed: &[&str], faults: &mut Faults<'_>) {
    let value = &carrier.value;
    if value.is_empty() {
        return;
    }
    if !value.bytes().all(|b| matches!(b, b' '..=b'~')) {
        faults.add(field, "has a character that is not plain ASCII: write it as it is sent");
    }
    let names = value.split('{').skip(1).filter_map(|piece| Some(piece.split_once('}')?.0));
    let strange = names.filter(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase()));
    for name in strange.filter(|name| !known.contains(name)) {
        faults.add(field, format!("holds {{{name}}}, which is not known: use {{{}}}", known.join("}, {")));
    }
    if !needed.iter().any(|name| value.contains(&format!("{{{name}}}"))) {
        faults.add(field, format!("carries nothing: put {{{}}} into it", needed.join("} or {")));
    }
}
