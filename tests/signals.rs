//! Placement tokens, signed outbound clicks, flags of traffic and ad platforms' parameters over real sockets.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use hopgate::domain::sign::{NewToken, SigningKey, go_query, token};
use hopgate::domain::time::Timestamp;
use hopgate::domain::vocabulary::{PlatformId, Surface};
use support::{Answer, Client, Gateway, JD, KUAISHOU_AGENT, Place, at};

const NOW: &str = "2022-11-15 12:00:00";
const SECRET: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
/// Redirected whatever the agreement wants.
const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0.0.0 Safari/537.36";

fn secret() -> Vec<u8> {
    (0..SECRET.len()).step_by(2).map(|at| u8::from_str_radix(&SECRET[at..at + 2], 16).unwrap()).collect()
}

/// Keys of Kuaishou (0) and Douyin (2), as the settings below have them.
fn key(id: &str) -> SigningKey {
    SigningKey::new(id, PlatformId(if id.starts_with("ks") { 0 } else { 2 }), &secret()).unwrap()
}

/// A gateway that knows the keys, from a settings file.
fn gateway() -> Gateway {
    Gateway::start_with(NOW, |settings| {
        let folder = settings.data_dir.parent().unwrap().to_path_buf();
        fs::write(folder.join("secret"), SECRET).unwrap();
        fs::set_permissions(folder.join("secret"), fs::Permissions::from_mode(0o600)).unwrap();
        let keys: String = ["ks1", "ks2", "dy1"]
            .iter()
            .map(|id| {
                let platform = if id.starts_with("ks") { "kuaishou" } else { "douyin" };
                let more = if *id == "ks2" { "not_after = \"2022-11-15 12:00:10\"\n" } else { "" };
                format!("[[signing.keys]]\nid = \"{id}\"\nplatform = \"{platform}\"\nsecret_file = \"secret\"\n{more}")
            })
            .collect();
        let file = folder.join("hopgate.toml");
        fs::write(&file, keys).unwrap();
        let read = hopgate::config::settings::Settings::load(&file).unwrap();
        settings.signing = read.signing;
        settings.source = read.source;
    })
}

fn ask(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut all = Vec::new();
    if !headers.iter().any(|(name, _)| *name == "User-Agent") {
        all.push(("User-Agent", BROWSER));
    }
    all.extend_from_slice(headers);
    Client::connect(gateway.click_address()).ask("GET", path, &all)
}

fn new_token(nonce: &str) -> NewToken<'_> {
    NewToken {
        platform: "kuaishou",
        surface: Surface::LiveCart,
        issued: at(NOW),
        expires: at("2022-11-15 12:10:00"),
        nonce,
        creator: "anchor-7",
        note: "live-99",
    }
}

fn go(parameters: &[(&str, &str)], id: &str) -> String {
    format!("/go?{}", go_query(&key(id), parameters).unwrap())
}

fn exp(seconds: i64) -> String {
    (at(NOW).millis() / 1_000 + seconds).to_string()
}

fn plain(to: &str) -> String {
    let exp = exp(60);
    go(
        &[
            ("to", to),
            ("platform", "kuaishou"),
            ("surface", "live_cart"),
            ("exp", &exp),
            ("shop_type", "self_operated"),
        ],
        "ks1",
    )
}

#[test]
fn a_token_places_a_click_on_an_unbound_link_once() {
    let gateway = gateway();
    let code = gateway.link_with(JD, "", "self_operated", |link| link.creator = None);
    let bare = ask(&gateway, &format!("/{code}"), &[]);
    assert_eq!(bare.status, 403, "no placement, no agreement");
    let signed = token(&key("ks1"), &new_token("nonce-000001"), &code);
    let answer = ask(&gateway, &format!("/{code}?hg={signed}&platform=douyin"), &[]);
    assert_eq!((answer.status, answer.header("location")), (302, JD), "{answer:?}");
    let hop = gateway.hops().pop().unwrap();
    for (field, value) in [
        ("platform", "kuaishou"),
        ("surface", "live_cart"),
        ("placement_source", "token"),
        ("creator", "anchor-7"),
        ("macros", "note=live-99"),
        ("agreement", "kuaishou-jd-double11-2022"),
    ] {
        assert_eq!(hop[field], value, "{field} of {hop}");
    }
    let again = ask(&gateway, &format!("/{code}?hg={signed}"), &[]);
    assert_eq!(again.status, 302, "the same visitor taps twice");
    let stranger = ask(&gateway, &format!("/{code}?hg={signed}"), &[("User-Agent", KUAISHOU_AGENT)]);
    assert_eq!(stranger.status, 403, "another visitor with the same token");
    assert_eq!(stranger.header("hop-id"), "");
    assert!(stranger.body.contains("校验未通过"), "{}", stranger.body);
    let fetched = ask(&gateway, &format!("/{code}?hg={signed}"), &[("User-Agent", "facebookexternalhit/1.1")]);
    assert_eq!(fetched.status, 200, "a machine neither uses it up nor is counted, and is given a card");
    assert_eq!(gateway.metric("hopgate_bad_signatures_total{what=\"token\",why=\"replayed\"}"), 1.0);
}

#[test]
fn a_bad_token_is_403_counted_and_leaves_no_record() {
    let gateway = gateway();
    let code = gateway.link(JD, "kuaishou/live_cart", "self_operated");
    let other = gateway.link(JD, "kuaishou/detail_page", "self_operated");
    let good = token(&key("ks1"), &NewToken { creator: "", ..new_token("nonce-000002") }, &code);
    let foreign = NewToken { platform: "douyin", surface: Surface::Note, creator: "", ..new_token("nonce-000003") };
    let elsewhere = NewToken { creator: "", ..new_token("nonce-000004") };
    let old =
        NewToken { expires: at("2022-11-15 11:59:00"), issued: at("2022-11-15 11:50:00"), ..new_token("nonce-000005") };
    let stranger = NewToken { creator: "somebody-else", ..new_token("nonce-000006") };
    let long = NewToken { expires: at("2022-11-15 13:00:01"), ..new_token("nonce-000007") };
    let cases = [
        ("", "malformed"),
        ("hg1.x", "malformed"),
        (&*good.replace("ks1", "nobody"), "unknown_key"),
        (&*good.replace("live_cart", "note"), "mismatch"),
        (&*token(&key("ks1"), &elsewhere, "another1"), "mismatch"),
        (&*token(&key("ks1"), &foreign, &code), "scope"),
        (&*token(&key("dy1"), &foreign, &code), "contradiction"),
        (&*token(&key("ks1"), &old, &code), "expired"),
        (&*token(&key("ks1"), &long, &code), "lifetime"),
        (&*token(&key("ks1"), &stranger, &code), "contradiction"),
    ];
    for (token, why) in cases {
        let metric = format!("hopgate_bad_signatures_total{{what=\"token\",why=\"{why}\"}}");
        let before = gateway.metric(&metric);
        let answer = ask(&gateway, &format!("/{code}?hg={token}"), &[("Accept", "application/json")]);
        assert_eq!(answer.status, 403, "{why}: {answer:?}");
        assert!(answer.body.contains("\"bad_signature\"") && !answer.body.contains(why), "{}", answer.body);
        assert_eq!(answer.header("location"), "");
        assert_eq!(gateway.metric(&metric), before + 1.0, "{why} {token}");
    }
    let wrong_spot = token(&key("ks1"), &elsewhere, &other);
    assert_eq!(ask(&gateway, &format!("/{other}?hg={wrong_spot}"), &[]).status, 403, "contradicts the link");
    assert!(gateway.hops().is_empty(), "nothing was recorded");
    let answer = ask(&gateway, &format!("/{code}?hg={good}"), &[]);
    assert_eq!(answer.status, 302, "a token that agrees with the link");
    assert_eq!(gateway.hops()[0]["placement_source"], "link", "the link is the better evidence");
}

#[test]
fn a_signed_outbound_click_is_decided_recorded_and_landed() {
    let gateway = gateway();
    let to = "https://union-click.jd.com/jdc?e=618%7Cpc%7C&p=JF8BAMIJK1olXg8EUVVVCkkQA18IGlsWWAUDV1xcCU8nFw";
    let exp = exp(60);
    let path = go(
        &[
            ("to", to),
            ("platform", "kuaishou"),
            ("surface", "live_cart"),
            ("exp", &exp),
            ("shop_type", "self_operated"),
            ("creator", "主播 7"),
            ("note", "n1"),
            ("category", "食品"),
            ("facts", "xingtu_order !gift"),
            ("aid", "77"),
            ("oaid", "1fe9a970-efbb-29e0-0bdd-f5dbbf751ab5"),
        ],
        "ks1",
    );
    let answer = ask(&gateway, &path, &[]);
    assert_eq!((answer.status, answer.header("location")), (302, to), "{answer:?}");
    assert_eq!(answer.header("hop-id").len(), 32);
    let hop = gateway.hops().pop().unwrap();
    for (field, value) in [
        ("platform", "kuaishou"),
        ("surface", "live_cart"),
        ("placement_source", "token"),
        ("creator", "主播 7"),
        ("category", "食品"),
        ("marketplace", "jd"),
        ("shop_type", "self_operated"),
        ("link_kind", "alliance"),
        ("reason", "allowed"),
        ("macros", "note=n1&unit=77"),
    ] {
        assert_eq!(hop[field], value, "{field} of {hop}");
    }
    assert!(hop["code"].as_str().unwrap().starts_with("go~"), "{hop}");
    // The same click into a shop that no agreement covers, and after the window.
    let refused = path_with(&exp, "pop");
    let answer = ask(&gateway, &refused, &[("Accept", "application/json")]);
    assert_eq!(answer.status, 403);
    assert!(answer.body.contains("shop_type_not_covered"), "{}", answer.body);
    assert_eq!(gateway.hops().len(), 2, "a refusal is recorded too");
    assert_ne!(gateway.hops()[0]["code"], gateway.hops()[1]["code"], "other goods");
}

fn path_with(exp: &str, shop_type: &str) -> String {
    let parameters =
        [("to", JD), ("platform", "kuaishou"), ("surface", "live_cart"), ("exp", exp), ("shop_type", shop_type)];
    go(&parameters, "ks1")
}

#[test]
fn an_unproven_outbound_click_leads_nowhere() {
    let gateway = gateway();
    let good = plain(JD);
    let (soon, past) = (exp(60), exp(0));
    let without: [(&str, &str); 3] = [("to", JD), ("platform", "kuaishou"), ("surface", "live_cart")];
    let of = |exp: &str, platform: &str, id: &str| {
        go(&[("to", JD), ("platform", platform), ("surface", "live_cart"), ("exp", exp)], id)
    };
    let cases = [
        ("/go".to_owned(), "malformed"),
        ("/go?".to_owned(), "malformed"),
        (format!("/go?to={JD}"), "malformed"),
        (good.replace("100012043978", "100012043979"), "mismatch"),
        (good.replace("sig=", "sig=A"), "mismatch"),
        (format!("{good}&to=https://evil.test/"), "duplicate"),
        (format!("{good}&x=1"), "mismatch"),
        (of(&past, "kuaishou", "ks1"), "expired"),
        (go(&without, "ks1"), "lifetime"),
        (of(&soon, "douyin", "ks1"), "scope"),
        (of(&soon, "kuaishou", "ks9"), "unknown_key"),
    ];
    for (path, why) in cases {
        let metric = format!("hopgate_bad_signatures_total{{what=\"go\",why=\"{why}\"}}");
        let before = gateway.metric(&metric);
        let answer = ask(&gateway, &path, &[("Accept", "application/json")]);
        assert_eq!((answer.status, answer.header("location")), (403, ""), "{path}: {answer:?}");
        assert!(answer.body.contains("\"bad_signature\""), "{}", answer.body);
        assert_eq!(gateway.metric(&metric), before + 1.0, "{why}: {path}");
    }
    assert!(gateway.hops().is_empty());
    // A key that is being replaced works until its last second.
    let late = exp(1_000);
    let replaced = of(&late, "kuaishou", "ks2");
    assert_eq!(ask(&gateway, &replaced, &[]).status, 403, "pop is not covered, but it was decided");
    assert_eq!(gateway.hops().len(), 1);
    gateway.clock.set(at("2022-11-15 12:00:10"));
    assert_eq!(ask(&gateway, &replaced, &[]).status, 403);
    assert_eq!(gateway.hops().len(), 1, "the key's time is over");
}

#[test]
fn a_well_signed_click_to_a_foreign_page_is_422_without_location() {
    let gateway = gateway();
    for (to, code) in [
        ("https://evil.test/", "host_not_allowed"),
        ("https://item.jd.com@evil.test/1.html", "userinfo"),
        ("https://item.taobao.com.evil.test/item.htm?id=1", "host_not_allowed"),
        ("https://item.jd.com:444/1.html", "port"),
        ("https:\\\\evil.test/", "backslash"),
        ("//evil.test/", "scheme"),
        ("javascript:alert(1)", "scheme"),
        ("https://item。jd。com/1.html", "mixed_script_host"),
        ("https://item.jd.com/%0d%0aSet-Cookie:a=b", "encoded_line_break"),
        ("https://[::1]/", "ip_host"),
    ] {
        let answer = ask(&gateway, &plain(to), &[("Accept", "application/json")]);
        assert_eq!((answer.status, answer.header("location")), (422, ""), "{to}: {answer:?}");
        assert!(answer.body.contains(&format!("\"{code}\"")), "{to}: {}", answer.body);
        assert_eq!(answer.header("set-cookie"), "");
        let page = ask(&gateway, &plain(to), &[]);
        assert!(page.status == 422 && page.body.contains("<html lang=\"zh-CN\">"), "{page:?}");
    }
    let exp = exp(60);
    let odd = [("to", JD), ("platform", "kuaishou"), ("surface", "live_cart"), ("exp", &*exp), ("shop_type", "mega")];
    let answer = ask(&gateway, &go(&odd, "ks1"), &[("Accept", "application/json")]);
    assert!(answer.status == 422 && answer.body.contains("bad_parameter"), "{answer:?}");
    assert_eq!(gateway.metric("hopgate_unfit_go_total"), 21.0);
    assert!(gateway.hops().is_empty());
}

/// Headers, and the flags and app a hop then has.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);

#[test]
fn machines_and_impossible_visitors_are_flagged() {
    let gateway = Gateway::start_with(NOW, |settings| {
        settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    });
    let code = gateway.link(JD, "kuaishou/live_cart", "self_operated");
    let path = format!("/{code}");
    let impossible = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/120.0 QQ/8.8 V1_IPH_SQ_8.8.0";
    let view =
        "Mozilla/5.0 (Linux; Android 14; V2417A; wv) AppleWebKit/537.36 Version/4.0 Chrome/120.0 Mobile Safari/537.36";
    let cases: [Case<'_>; 8] = [
        (&[("X-Forwarded-For", "114.224.10.1")], "", "browser"),
        (&[("X-Forwarded-For", "47.100.1.2")], "datacenter", "browser"),
        (&[("User-Agent", impossible)], "implausible", "qq"),
        (&[("User-Agent", "WhatsApp/2.23.20.0 A")], "bot preview", "unknown"),
        (&[("User-Agent", "curl/8.4.0"), ("X-Forwarded-For", "54.169.1.1")], "bot datacenter", "unknown"),
        (&[("Sec-Purpose", "prefetch;prerender")], "prefetch", "browser"),
        (&[("User-Agent", view), ("X-Requested-With", "com.xingin.xhs")], "", "xiaohongshu"),
        (&[("User-Agent", KUAISHOU_AGENT), ("X-Requested-With", "com.smile.gifmaker")], "implausible", "kuaishou"),
    ];
    for (headers, flags, app) in cases {
        ask(&gateway, &path, headers);
        let hop = gateway.hops().pop().unwrap();
        let found: Vec<&str> = hop["flags"].as_array().unwrap().iter().filter_map(|flag| flag.as_str()).collect();
        assert_eq!(
            (found.join(" ").as_str(), hop["app"].as_str().unwrap_or("unknown")),
            (flags, app),
            "{headers:?}: {hop}"
        );
    }
    let flagged = |flag: &str| gateway.metric(&format!("hopgate_flagged_clicks_total{{flag=\"{flag}\"}}"));
    assert_eq!(
        ["bot", "preview", "datacenter", "implausible", "prefetch", "head"].map(flagged),
        [2.0, 1.0, 2.0, 2.0, 1.0, 0.0]
    );
    // Data centres and contradictions are flagged, and still count as people.
    assert_eq!(gateway.metric("hopgate_clicks_total"), 5.0);
    assert_eq!(gateway.metric("hopgate_machine_clicks_total"), 3.0);
}

#[test]
fn ad_parameters_are_normalised_by_the_clicks_platform() {
    let gateway = Gateway::start(NOW);
    let kuaishou = gateway.link(JD, "kuaishou/live_cart", "self_operated");
    let douyin = gateway.link(JD, "douyin/short_video_cart", "self_operated");
    let free = gateway.link(JD, "", "self_operated");
    let oaid = "1fe9a970-efbb-29e0-0bdd-f5dbbf751ab5";
    let cases = [
        (
            &kuaishou,
            "accountid=9&did=11&aid=22&cid=33&callback=cb_1&ts=1668441600123&os=1".to_owned(),
            "account=9&callback=cb_1&campaign=11&creative=33&os=ios&ts=1668441600123&unit=22",
        ),
        (
            &douyin,
            "advertiser_id=9&promotion_id=22&cid=33&request_id=r1&os=0&ts=1668441600123".to_owned(),
            "account=9&creative=33&os=android&request_id=r1&ts=1668441600123&unit=22",
        ),
        (&kuaishou, format!("oaid={oaid}&imei2=ab&idfa2=cd&ip=1.2.3.4&ua=x&aid=22"), "unit=22"),
        (&kuaishou, "oaid=__OAID__&aid=__AID__&cid=&callback=null&did=0000".to_owned(), ""),
        (&kuaishou, "oaid=".to_owned(), ""),
        (&kuaishou, "oaid=00000000-0000-0000-0000-000000000000".to_owned(), ""),
        (&free, "gdt_vid=wx0abc&aid=5".to_owned(), "click_id=wx0abc"),
        (&free, "platform=xiaohongshu&click_id=atest1&content=7".to_owned(), "click_id=atest1&creative=7"),
    ];
    for (code, query, expected) in cases {
        ask(&gateway, &format!("/{code}?{query}"), &[]);
        let hop = gateway.hops().pop().unwrap();
        assert_eq!(hop["macros"].as_str().unwrap_or_default(), expected, "{query}: {hop}");
    }
    let all = fs::read_dir(gateway.folder.path().join("data/journal")).unwrap();
    for entry in all {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(oaid.len()).any(|window| window == oaid.as_bytes()), "a device id was written");
    }
}

#[test]
fn keys_and_tables_are_read_again_and_a_fault_keeps_the_last_good_ones() {
    let gateway = gateway();
    let folder = gateway.folder.path();
    let app = gateway.app();
    let exp = exp(60);
    let fresh = go(&[("to", JD), ("platform", "kuaishou"), ("surface", "note"), ("exp", &exp)], "ks3");
    assert_eq!(ask(&gateway, &fresh, &[]).status, 403);
    assert!(gateway.hops().is_empty(), "no such key yet");
    fs::create_dir(folder.join("devices")).unwrap();
    let extra = "[[apps]]\napp = \"kuaishou\"\ntokens = [\"housekwai/\"]\n";
    fs::write(folder.join("devices/extra.toml"), extra).unwrap();
    let settings = "[devices]\ndir = \"devices\"\n[[signing.keys]]\nid = \"ks3\"\nplatform = \"kuaishou\"\nsecret_file = \"secret\"\n";
    fs::write(folder.join("hopgate.toml"), settings).unwrap();
    app.block_on(app.reload());
    ask(&gateway, &fresh, &[("User-Agent", "Mozilla/5.0 (iPhone) HouseKwai/1")]);
    assert_eq!(gateway.hops().pop().unwrap()["app"], "kuaishou");
    assert_eq!(gateway.metric("hopgate_signing_keys"), 1.0);
    assert_eq!(ask(&gateway, &plain(JD), &[]).status, 403, "ks1 is gone");

    fs::write(folder.join("devices/extra.toml"), "[[apps]]\napp = \"nobody\"\n").unwrap();
    app.block_on(app.reload());
    assert_eq!(gateway.metric("hopgate_signals_reload_failures_total"), 1.0);
    ask(&gateway, &fresh, &[("User-Agent", "Mozilla/5.0 (iPhone) HouseKwai/1")]);
    assert_eq!(gateway.hops().len(), 2, "the last good ones stay");
}

#[test]
fn the_command_line_signs_and_the_readmes_examples_work() {
    let shop = Place::new("");
    shop.settings(&format!(
        "[[signing.keys]]\nid = \"ks1\"\nplatform = \"kuaishou\"\nsecret_file = \"{0}\"\n\
         [[signing.keys]]\nid = \"ks2\"\nplatform = \"kuaishou\"\nsecret_file = \"{0}\"\nsurfaces = [\"live_cart\"]\n",
        shop.path("secret").display()
    ));
    fs::write(shop.path("secret"), SECRET).unwrap();
    fs::set_permissions(shop.path("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    let served = shop.serve(&["--rehearse-at", NOW]);
    let shown = |at: Timestamp| (at.millis() / 1_000).to_string();
    let until = shown(at("2022-11-15 13:00:00"));

    let to = "https://item.jd.com/100012043978.html?a=1&b=%E4%B8%AD";
    let arguments =
        ["sign", "go", "--key", "ks1", "--surface", "live_cart", "--to", to, "--shop-type", "self_operated"];
    let ran = shop.run(&[&arguments[..], &["--at", NOW, "--creator", "主播 7"]].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    let answer = served.get(ran.out.trim());
    assert_eq!((answer.status, answer.header("location")), (302, to), "{answer:?}");

    for example in ["sh", "python"] {
        let path = run_example(example, to, &until);
        let answer = served.get(&path);
        assert_eq!((answer.status, answer.header("location")), (302, to), "{example}: {path} {answer:?}");
        let forged = served.get(&path.replace("100012043978", "100012043979"));
        assert_eq!(forged.status, 403);
    }
    // What is certain to be refused is not signed: every reason, a line each.
    let signs = |more: &[&str], problems: &[&str]| {
        let ran = shop.run(&[&["sign"], more].concat());
        assert_eq!((ran.code, ran.out.as_str(), ran.err.lines().count()), (1, "", problems.len()), "{ran:?}");
        for problem in problems {
            assert!(ran.err.contains(problem), "{problem} not in {}", ran.err);
        }
    };
    let go = ["go", "--key", "ks1", "--surface", "live_cart", "--to"];
    signs(&[&go[..], &["https://evil.test/"]].concat(), &["--to: `evil.test` is not a marketplace host"]);
    signs(&[&go[..], &["https://ace.tb.cn/t?smburl=x", "--without-exp"]].concat(), &["--to: ", "--without-exp: "]);
    signs(&[&go[..], &[to, "--valid-for", "367d"]].concat(), &["--valid-for: is longer than 366 days"]);
    let token = ["token", "--key", "ks1", "--code", "abc", "--surface"];
    signs(&[&token[..], &["note", "--valid-for", "2h"]].concat(), &["signing.token_life, 3600 seconds"]);
    signs(
        &["go", "--key", "ks2", "--surface", "note", "--to", to],
        &["--surface: the key `ks2` does not speak for `note`"],
    );
    // The gateway does refuse such an address, however well it is signed.
    let ran = shop.run(&[
        "sign",
        "go",
        "--key",
        "ks2",
        "--surface",
        "live_cart",
        "--to",
        to,
        "--at",
        NOW,
        "--valid-for",
        "400d",
    ]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let ran = shop.run(&["sign", "token", "--key", "nobody", "--surface", "note", "--code", "abc"]);
    assert!(ran.code == 2 && ran.err.contains("--key"), "{ran:?}");
    assert!(!served.log().contains(SECRET));
}

/// Runs the README's example of a language, as it stands there, with the test's own values.
fn run_example(language: &str, to: &str, exp: &str) -> String {
    let readme = include_str!("../README.md");
    let mark = format!("```{language}\n# sign /go");
    let from = readme.find(&mark).unwrap_or_else(|| panic!("no example in {language}")) + language.len() + 4;
    let example = &readme[from..from + readme[from..].find("\n```").unwrap()];
    let program = if language == "sh" { "sh" } else { "python3" };
    let ran = std::process::Command::new(program)
        .args(["-c", example])
        .env("SECRET_HEX", SECRET)
        .env("TO", to)
        .env("EXP", exp)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{language}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap().trim().to_owned()
}
