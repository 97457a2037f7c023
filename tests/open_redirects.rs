//! Every public style of open-redirect payload, and random changes of them, at every input of a running gateway: nothing
//! leads off the allow-list, no header comes out that was not put in by us, and two unlike parsers read each address alike.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod marketplace_payloads;
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use hopgate::domain::marketplace::Marketplaces;
use hopgate::domain::sign::{SigningKey, go_query};
use hopgate::domain::vocabulary::PlatformId;
use marketplace_payloads::{HARMLESS, REFUSED};
use support::{Answer, Client, Dice, Gateway, JD, KUAISHOU_AGENT, at};

const NOW: &str = "2022-11-15 12:00:00";
const SECRET: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
/// What short links begin with here, so that our own addresses on a page can be told from others.
const OURS: &str = "go.example";

/// Targets and how they are dressed up for a parameter that redirects: each of one with each of the other.
const TARGETS: [&str; 6] = [
    "evil.test",
    "evil.test/item.jd.com",
    "item.jd.com@evil.test",
    "item.jd.com.evil.test",
    "evil.test#item.jd.com",
    "evil.test%23.item.jd.com",
];
const DRESSES: [&str; 22] = [
    "//{}",
    "///{}",
    "////{}",
    "/\\{}",
    "\\\\{}",
    "/%2f{}",
    "/%5c{}",
    "%2f%2f{}",
    "https:{}",
    "https:/{}",
    "https:\\\\{}",
    "https:///{}",
    "http://{}",
    "ftp://{}",
    "//{}%00.jd.com",
    "https://{}%0d%0aLocation:%20https://evil.test",
    "https://item.jd.com/\r\nLocation: https://{}",
    "https://item.jd.com%0d%0aSet-Cookie:%20a={}",
    "javascript://item.jd.com/%0aalert('{}')",
    "data:text/html,<script src=//{}></script>",
    "https://item.jd.com\u{3002}{}",
    "https://item.jd.com\u{ff0f}{}",
];

fn payloads() -> Vec<String> {
    let dressed = DRESSES.iter().flat_map(|dress| TARGETS.map(|target| dress.replace("{}", target)));
    REFUSED.iter().map(|text| (*text).to_owned()).chain(dressed).collect()
}

/// A gateway at which no policy stops anything, so that addresses alone are what is asked about.
fn gateway() -> Gateway {
    Gateway::start_with(NOW, |settings| {
        let folder = settings.data_dir.parent().unwrap().to_path_buf();
        let policies = folder.join("policies");
        fs::create_dir(&policies).unwrap();
        let all = settings
            .words
            .marketplaces()
            .map(|name| format!("  - {{platform: kuaishou, marketplace: {name}, outcome: allow}}\n"));
        fs::write(policies.join("open.yaml"), format!("defaults:\n{}", all.collect::<String>())).unwrap();
        fs::write(folder.join("secret"), SECRET).unwrap();
        fs::set_permissions(folder.join("secret"), fs::Permissions::from_mode(0o600)).unwrap();
        let file = folder.join("hopgate.toml");
        let key = "[[signing.keys]]\nid = \"ks1\"\nplatform = \"kuaishou\"\nsecret_file = \"secret\"\n";
        fs::write(&file, format!("[server]\npublic_url = \"https://{OURS}\"\n{key}")).unwrap();
        let read = hopgate::config::settings::Settings::load(&file).unwrap();
        (settings.signing, settings.source, settings.public_url) = (read.signing, read.source, read.public_url);
        settings.policies = policies;
    })
}

fn key() -> SigningKey {
    let secret: Vec<u8> =
        (0..SECRET.len()).step_by(2).map(|at| u8::from_str_radix(&SECRET[at..at + 2], 16).unwrap()).collect();
    SigningKey::new("ks1", PlatformId(0), &secret).unwrap()
}

/// Every byte that means something in a path or a query, encoded; what is left may stand in either.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

/// Every header an answer of ours may have.
const HEADERS: [&str; 17] = [
    "location",
    "cache-control",
    "hop-id",
    "date",
    "content-length",
    "content-type",
    "content-language",
    "content-security-policy",
    "vary",
    "referrer-policy",
    "x-content-type-options",
    "x-robots-tag",
    "retry-after",
    "allow",
    "connection",
    "transfer-encoding",
    "etag",
];

struct Judge<'a> {
    markets: &'a Marketplaces,
    landed: usize,
}

impl Judge<'_> {
    /// Whether both readers see one https address of a host on the allow-list.
    fn leads_home(&self, address: &str) -> bool {
        let Ok(url) = url::Url::parse(address) else { return false };
        // A text that can only be a share code has a page of its own, whose button opens the marketplace's own app.
        if self.markets.all().any(|(_, market)| market.app.schemes.iter().any(|scheme| **scheme == *url.scheme())) {
            return !address.contains("evil");
        }
        let Ok(uri) = address.parse::<http::Uri>() else { return false };
        let host = url.host_str().unwrap_or_default();
        uri.host() == Some(host)
            && (url.scheme(), uri.scheme_str()) == ("https", Some("https"))
            && uri.authority().is_some_and(|authority| authority.as_str() == host)
            && (host == OURS || self.markets.host_is_allowed(host).is_some())
    }

    /// What holds for every answer, whatever was asked.
    fn judge(&mut self, answer: &Answer, asked: &str) {
        assert!((200..=503).contains(&answer.status) && answer.status != 500, "{asked:?}: {answer:?}");
        for (name, value) in &answer.headers {
            assert!(HEADERS.contains(&name.as_str()), "{asked:?} brought the header {name}: {value}");
            assert!(name == "location" || !value.contains("evil"), "{asked:?}: {name}: {value}");
        }
        assert_eq!(
            (300..400).contains(&answer.status),
            answer.headers.contains_key("location"),
            "{asked:?}: {answer:?}"
        );
        if let Some(location) = answer.headers.get("location") {
            assert!(self.leads_home(location), "{asked:?} leads to {location}");
            assert_eq!((answer.status, answer.header("cache-control")), (302, "no-store"), "{asked:?}");
            self.landed += 1;
        }
        if answer.header("content-type").starts_with("text/html") {
            for tag in answer.body.split('<').filter(|tag| tag.starts_with(|c: char| c.is_ascii_alphabetic())) {
                let tag = tag.split_once('>').map_or(tag, |(tag, _)| tag);
                for mark in [" href=\"", " src=\"", " action=\"", " content=\"http"] {
                    let Some((_, rest)) = tag.split_once(mark) else { continue };
                    let address = rest.split_once('"').unwrap().0.replace("&amp;", "&").replace("&#39;", "'");
                    let address = if mark.ends_with("http") { format!("http{address}") } else { address };
                    assert!(self.leads_home(&address), "{asked:?} shows {tag}");
                }
            }
            assert!(!answer.body.contains("<script src"), "{asked:?}: {}", answer.body);
        }
    }
}

/// What asks, at one input after another.
struct Visitor<'a> {
    gateway: &'a Gateway,
    click: Client,
    control: Client,
    admin: String,
    key: SigningKey,
    code: String,
    exp: String,
}

impl<'a> Visitor<'a> {
    fn new(gateway: &'a Gateway) -> Self {
        let admin = fs::read_to_string(gateway.folder.path().join("data/admin.key")).unwrap().trim().to_owned();
        Visitor {
            gateway,
            click: Client::connect(gateway.click_address()),
            control: Client::connect(gateway.app().addresses().control),
            admin,
            key: key(),
            code: gateway.link(JD, "kuaishou/live_cart", "unknown"),
            exp: (at(NOW).millis() / 1_000 + 60).to_string(),
        }
    }

    /// One request; a connection that was ended, as after garbage, is made anew.
    fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Option<Answer> {
        let mut all = vec![("User-Agent", KUAISHOU_AGENT)];
        all.extend_from_slice(headers);
        let answer = self.click.try_ask("GET", path, &all).ok();
        if answer.as_ref().is_none_or(|answer| answer.header("connection") == "close") {
            self.click = Client::connect(self.gateway.click_address());
        }
        answer
    }

    fn go(&mut self, to: &str) -> Answer {
        let exp = self.exp.clone();
        let parameters = [("to", to), ("platform", "kuaishou"), ("surface", "live_cart"), ("exp", &*exp)];
        let query = go_query(&self.key, &parameters).unwrap();
        self.get(&format!("/go?{query}"), &[]).unwrap_or_else(|| panic!("{to:?} was not answered"))
    }

    /// Issues a link through the API; the answer to a click on it, if it was issued.
    fn issue(&mut self, body: &serde_json::Value) -> Option<Answer> {
        let body = body.to_string();
        let head = format!(
            "POST /v1/links HTTP/1.1\r\nHost: {OURS}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.admin,
            body.len()
        );
        self.control.send(head.as_bytes()).unwrap();
        let answer = self.control.read(false).unwrap();
        assert!(matches!(answer.status, 201 | 422), "{body}: {answer:?}");
        assert!(!answer.body.contains("\r\n"), "{answer:?}");
        if answer.status == 422 {
            return None;
        }
        let told: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        let code = told["code"].as_str().unwrap().to_owned();
        self.get(&format!("/{code}?platform=kuaishou&surface=live_cart"), &[])
    }
}

const PARAMETERS: [&str; 8] = ["to", "url", "next", "redirect_uri", "platform", "surface", "hg", "callback"];
const NAMES: [&str; 7] =
    ["X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "Referer", "X-Original-URL", "X-Rewrite-URL", "Origin"];

#[test]
fn no_payload_at_any_input_leads_elsewhere() {
    let gateway = gateway();
    let words = std::sync::Arc::clone(&gateway.app().gateway().words);
    let mut judge = Judge { markets: words.markets(), landed: 0 };
    let mut visitor = Visitor::new(&gateway);
    let payloads = payloads();
    assert!(payloads.len() >= 300, "{} payloads", payloads.len());
    let mut asked = 0;
    for (number, payload) in payloads.iter().enumerate() {
        let text = encoded(payload);
        let code = visitor.code.clone();

        let answer = visitor.go(payload);
        judge.judge(&answer, payload);
        assert_ne!(answer.status, 302, "{payload:?} leads elsewhere for some reader, and was taken");
        for body in [
            serde_json::json!({"url": payload}),
            serde_json::json!({"url": format!("【京东】{payload} 「手机」")}),
            serde_json::json!({"url": JD, "alternates": [payload]}),
        ] {
            if let Some(answer) = visitor.issue(&body) {
                judge.judge(&answer, payload);
            }
        }

        let name = PARAMETERS[number % PARAMETERS.len()];
        for path in [
            format!("/{text}"),
            format!("/{}", payload.replace([' ', '\r', '\n', '\t', '\0'], "")),
            format!("/{code}/{text}"),
            format!("/{code}?{name}={text}"),
            format!("/{code}?{text}"),
            format!("/{code}+?{name}={text}"),
            format!("/.well-known/{text}"),
            format!("/go?{name}={text}&platform=kuaishou&key=ks1&sig={text}"),
        ] {
            // What is not ASCII cannot stand in a request's path; it was asked percent-encoded.
            if path.is_ascii()
                && let Some(answer) = visitor.get(&path, &[])
            {
                judge.judge(&answer, &path);
                asked += 1;
            }
        }
        if payload.bytes().all(|byte| byte.is_ascii_graphic()) {
            let header = NAMES[number % NAMES.len()];
            for path in [format!("/{code}"), format!("/{code}+"), "/nothing".to_owned()] {
                if let Some(answer) = visitor.get(&path, &[(header, payload)]) {
                    judge.judge(&answer, &format!("{header}: {payload}"));
                    asked += 1;
                }
            }
        }
    }
    assert!(asked > 8 * payloads.len() && judge.landed > payloads.len(), "{asked} asked, {} landed", judge.landed);
    for text in HARMLESS {
        judge.judge(&visitor.go(text), text);
    }
}

const SHARDS: [&str; 26] = [
    "@",
    "\\",
    "/",
    "//",
    ":",
    "#",
    "?",
    "%2f",
    "%5c",
    "%00",
    "%0d%0a",
    "%40",
    "\r\n",
    "\t",
    " ",
    ".",
    "\u{3002}",
    "\u{ff0e}",
    "\u{ff0f}",
    "evil.test",
    ".evil.test",
    "https://evil.test/",
    "item.jd.com",
    ":444",
    "&",
    "xn--",
];

/// One random change.
fn change(text: &str, dice: &mut Dice) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    let place = |dice: &mut Dice| dice.roll(letters.len() as u64 + 1) as usize;
    let (a, b) = (place(dice), place(dice));
    match dice.roll(6) {
        0..=2 => {
            let shard = SHARDS[dice.roll(SHARDS.len() as u64) as usize];
            letters.splice(a..a, shard.chars());
        }
        3 => {
            letters.drain(a.min(b)..a.max(b).min(a.min(b) + 4));
        }
        4 => {
            let piece = letters[a.min(b)..a.max(b)].to_vec();
            letters.splice(a..a, piece);
        }
        _ => {
            if let Some(letter) = letters.get_mut(a) {
                *letter = char::from_u32(dice.roll(0x3100) as u32).unwrap_or('\u{fffd}');
            }
        }
    }
    letters.into_iter().take(2_000).collect()
}

#[test]
fn ten_thousand_changed_addresses_escape_nowhere() {
    let gateway = gateway();
    let words = std::sync::Arc::clone(&gateway.app().gateway().words);
    let mut judge = Judge { markets: words.markets(), landed: 0 };
    let mut visitor = Visitor::new(&gateway);
    let payloads = payloads();
    let seed = std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).unwrap();
        u64::from_le_bytes(bytes)
    });
    println!("SEED={seed}");
    let mut dice = Dice(seed);
    for number in 0..10_000 {
        let list = dice.roll(2);
        let mut text = match list {
            0 => payloads[dice.roll(payloads.len() as u64) as usize].clone(),
            _ => HARMLESS[dice.roll(HARMLESS.len() as u64) as usize].to_owned(),
        };
        for _ in 0..=dice.roll(3) {
            text = change(&text, &mut dice);
        }
        if number % 4 == 0 {
            if let Some(answer) = visitor.issue(&serde_json::json!({"url": text})) {
                judge.judge(&answer, &text);
            }
        } else {
            judge.judge(&visitor.go(&text), &text);
        }
    }
    assert!(judge.landed > 100, "changes of good addresses still land: {}", judge.landed);
}
