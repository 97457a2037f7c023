//! Short links asked what they lead to, over real sockets and TLS against a server that plays the marketplaces' pages; then
//! the same through the API, the click that follows, and the command line.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod resolve_support;
mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use hopgate::config::resolve::ResolveSettings;
use std::sync::Arc;

use hopgate::domain::marketplace::Landing;
use hopgate::domain::vocabulary::{LinkKind, MarketplaceId, Vocabulary};
use hopgate::resolve::tally::Outcome;
use hopgate::resolve::{Resolver, Trouble};
use resolve_support::{Page, Sites, html, to};
use serde_json::{Value, json};
use support::{Client, Gateway};

const TAOBAO_ITEM: &str = "https://item.taobao.com/item.htm?id=610947572360&ut_sk=1.x";
const JD_ITEM: &str = "https://item.jd.com/100012043978.html";

fn recognise(url: &str) -> Landing {
    Vocabulary::default().markets().recognise(url).unwrap()
}

async fn with(sites: &Sites, short: &str, change: impl FnOnce(&mut ResolveSettings)) -> Result<Landing, Trouble> {
    let mut settings = sites.settings();
    change(&mut settings);
    let resolver = Resolver::new(settings, Arc::default()).unwrap();
    let short = recognise(short);
    assert!(resolver.asks(&short), "{short:?}");
    resolver.resolve(&short).await
}

async fn resolve(sites: &Sites, short: &str) -> Result<Landing, Trouble> {
    with(sites, short, |_| {}).await
}

fn outcome(found: Result<Landing, Trouble>) -> Outcome {
    found.as_ref().map_or_else(Trouble::outcome, |_| Outcome::Resolved)
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_every_form_lead_to_the_goods() {
    let tmall = "https://detail.tmall.com/item.htm?id=610947572360&ali_trackid=2:mm_1_2_3:1700";
    let sites = Sites::start([
        ("m.tb.cn/h.3XyZabC", html(format!("<script>var url = '{TAOBAO_ITEM}';</script>"))),
        (
            "e.tb.cn/h.SQ6rjlgiow5ob5s?tk=MJN9f2bd29s",
            html(r#"<script>location.replace("https:\/\/a.m.taobao.com\/i610947572360.htm\x3Fx=1")</script>"#),
        ),
        ("s.click.taobao.com/t?e=m%3D2", to("/t_js?tu=https%3A%2F%2Fx")),
        (
            "s.click.taobao.com/t_js?tu=https%3A%2F%2Fx",
            html(format!("<meta http-equiv=refresh content='0;url={}'>", tmall.replace('&', "&amp;"))),
        ),
        ("u.jd.com/AbCdEf", html("<script>var hrl='https://union-click.jd.com/jdc?e=1&p=2';</script>")),
        ("union-click.jd.com/jdc?e=1&p=2", html("<script>var hrl='/jda?e=1&p=2';</script>")),
        ("union-click.jd.com/jda?e=1&p=2", to(JD_ITEM)),
        (
            "3.cn/36c-Q2K5?jkl=@NElVK5AACn@",
            to("https://item.m.jd.com/product/100012043978.html?utm_campaign=t_335139774"),
        ),
        (
            "u.jd.com/Bounce",
            to("https://passport.jd.com/new/login.aspx?ReturnUrl=https%3A%2F%2Fitem.jd.com%2F100012043978.html"),
        ),
        ("u.jd.com/Nested", to(format!("{JD_ITEM}?to=https://evil.test/"))),
        ("u.jd.com/Plain", to("http://item.jd.com/100012043978.html")),
    ]);
    let found = async |short: &str| resolve(&sites, short).await.unwrap();
    let item = Some("610947572360");
    let app = found("https://m.tb.cn/h.3XyZabC").await;
    assert_eq!((app.marketplace, app.item.as_deref(), app.link_kind), (MarketplaceId::TAOBAO, item, LinkKind::Item));
    assert_eq!(found("https://e.tb.cn/h.SQ6rjlgiow5ob5s?tk=MJN9f2bd29s").await.item.as_deref(), item);
    let alliance = found("https://s.click.taobao.com/t?e=m%3D2").await;
    assert_eq!((alliance.marketplace, alliance.item.as_deref()), (MarketplaceId::TMALL, item));
    for short in [
        "https://u.jd.com/AbCdEf",
        "https://3.cn/36c-Q2K5?jkl=@NElVK5AACn@",
        "https://u.jd.com/Bounce",
        "https://u.jd.com/Nested",
        "https://u.jd.com/Plain",
    ] {
        let found = found(short).await;
        assert_eq!((found.marketplace, found.item.as_deref()), (MarketplaceId::JD, Some("100012043978")), "{short}");
    }
    let asked = sites.asked();
    assert!(!asked.iter().any(|at| at.starts_with("passport.jd.com") || at.starts_with("item.")), "{asked:?}");
    for head in sites.heads() {
        let head = head.to_ascii_lowercase();
        assert!(head.contains("accept-encoding: identity\r\n"), "{head}");
        assert!(!head.contains("cookie") && !head.contains("referer") && !head.contains("authorization"), "{head}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leads_elsewhere_is_named_with_its_hop() {
    let sites = Sites::start([("u.jd.com/Second", to("/Evil"))]);
    for (said, code) in [
        ("https://evil.test/item.jd.com", "host_not_allowed"),
        ("//evil.test/", "host_not_allowed"),
        ("/\\evil.test/", "host_not_allowed"),
        ("https://item.jd.com:444/1.html", "port"),
        ("https://item.jd.com@evil.test/", "userinfo"),
        ("javascript:location='https://item.jd.com/1.html'", "scheme"),
        ("https://127.0.0.1/", "ip_host"),
        ("https://169.254.169.254/latest/meta-data", "ip_host"),
        ("https://plogin.m.jd.com/login/login?returnurl=https%3A%2F%2Fevil.test%2F", "host_not_allowed"),
    ] {
        for page in [to(said), html(format!("<script>var hrl=\"{}\"</script>", said.replace('\\', "\\\\")))] {
            sites.put("u.jd.com/Evil", page);
            match resolve(&sites, "https://u.jd.com/Evil").await {
                Err(Trouble::OffList { hop: 1, fault }) => assert_eq!(fault.code(), code, "{said}"),
                other => panic!("{said}: {other:?}"),
            }
        }
    }
    sites.put("u.jd.com/Evil", to("https://evil.test/"));
    let told = resolve(&sites, "https://u.jd.com/Second").await.unwrap_err().to_string();
    assert!(told.contains("hop 2") && told.contains("evil.test"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_names_more_than_one_address_gives_no_identity_if_one_is_off_the_list() {
    let own = format!("<script>var hrl='{JD_ITEM}'</script>");
    let sites = Sites::start([]);
    for (page, expected) in [
        (html(format!("{own}<script>location.href='https://evil.test/'</script>")), Outcome::Ambiguous),
        (html(format!("{own}<meta http-equiv=refresh content='0;url=//evil.test'>")), Outcome::Ambiguous),
        (html(format!("{own}<script>var hrl='https://item.jd.com@evil.test/'</script>")), Outcome::Ambiguous),
        (
            html(format!("{own}<script>location='https://item.taobao.com/item.htm?id=610947572360'</script>")),
            Outcome::Ambiguous,
        ),
        (
            Page::Raw("200 OK\r\nRefresh: 0; url=https://evil.test/".into(), own.clone().into_bytes()),
            Outcome::Ambiguous,
        ),
        (Page::Raw(format!("200 OK\r\nRefresh: 0; url={JD_ITEM}"), Vec::new()), Outcome::Resolved),
        (html(format!("{own}<!-- <script>location.href='https://evil.test/'</script> -->")), Outcome::Resolved),
        (
            html(format!("{own}<script>location.href='openapp.jdmobile://x'; var url='/other'</script>")),
            Outcome::Resolved,
        ),
        (html(format!("<!-- {own} -->")), Outcome::NoTarget),
        // What only opens an app, or asks to log in, leads to nothing that is known, and to nothing bad.
        (html("<script>location.href='openapp.jdmobile://virtual?params=%7B%7D'</script>"), Outcome::OpensApp),
        (to("openapp.jdmobile://virtual?params=%7B%7D"), Outcome::OpensApp),
        (to("https://passport.jd.com/new/login.aspx"), Outcome::Login),
        (to("https://plogin.m.jd.com/login/login?returnurl=https%3A%2F%2Fevil.test%2F"), Outcome::OffList),
        (to("https://jump.jd.com/?to=x"), Outcome::OffList),
    ] {
        sites.put("u.jd.com/Page", page.clone());
        assert_eq!(outcome(resolve(&sites, "https://u.jd.com/Page").await), expected, "{page:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_location_beyond_ascii_is_read_as_strictly() {
    let sites = Sites::start([
        ("u.jd.com/Words", to(format!("{JD_ITEM}?title=外套"))),
        ("u.jd.com/Evil", to("https://恶意.test/外套")),
        ("u.jd.com/Bytes", Page::Raw("302 Found\r\nLocation: https://evil.test/é".into(), Vec::new())),
    ]);
    let found = resolve(&sites, "https://u.jd.com/Words").await.unwrap();
    assert_eq!(found.destination.as_str(), format!("{JD_ITEM}?title=%E5%A4%96%E5%A5%97"));
    for short in ["https://u.jd.com/Evil", "https://u.jd.com/Bytes"] {
        assert_eq!(outcome(resolve(&sites, short).await), Outcome::OffList, "{short}");
    }
}

#[test]
fn a_short_link_never_takes_on_the_goods_of_another_marketplace() {
    let sites = Sites::start([
        ("m.tb.cn/h.3XyZabC", to(JD_ITEM)),
        ("u.jd.com/AbCdEf", to("https://m.tb.cn/h.3XyZabC")),
        ("m.tb.cn/h.Tmall01", to("https://detail.tmall.com/item.htm?id=610947572360")),
        ("u.jd.com/Login", to("https://passport.jd.com/new/login.aspx")),
    ]);
    let gateway = gateway(&sites);
    for (short, names) in
        [("https://m.tb.cn/h.3XyZabC", ["JD", "Taobao"]), ("https://u.jd.com/AbCdEf", ["Taobao", "JD"])]
    {
        let (status, refused) = post(&gateway, &json!({"url": short, "slug": "elsewhere"}));
        assert_eq!((status, &refused["errors"][0]["code"]), (422, &json!("resolved_elsewhere")), "{refused}");
        let told = refused["errors"][0]["problem"].as_str().unwrap();
        assert!(told.contains("hop 1") && names.iter().all(|name| told.contains(name)), "{told}");
    }
    assert_eq!(gateway.get("/elsewhere").status, 404, "nothing was made");
    let (status, made) = post(&gateway, &json!({"url": "https://m.tb.cn/h.Tmall01"}));
    assert_eq!((status, &made["landing"]["item_id"]), (201, &json!("610947572360")), "one family: {made}");
    let (status, made) = post(&gateway, &json!({"url": "https://u.jd.com/Login"}));
    assert_eq!((status, &made["warnings"][0]["code"]), (201, &json!("resolve_login")), "{made}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bound_holds_and_is_named() {
    let long = |target: &str, behind: usize| {
        let script = format!("<script>var url='{target}'</script>");
        html(format!("{}{script}", " ".repeat(behind)))
    };
    let sites = Sites::start([
        ("u.jd.com/Loop1", to("/Loop2")),
        ("u.jd.com/Loop2", to("/Loop1")),
        ("u.jd.com/Hop1", to("/Hop2")),
        ("u.jd.com/Hop2", to("/Hop3")),
        ("u.jd.com/Hop3", to("/Hop4")),
        ("u.jd.com/Hop4", to("/Hop5")),
        ("u.jd.com/Hop5", to("/Hop6")),
        ("u.jd.com/Hop6", to(JD_ITEM)),
        ("u.jd.com/Stalls", Page::Stalls),
        ("u.jd.com/Early", html(format!("<script>var url='{JD_ITEM}'</script>{}", " ".repeat(200_000)))),
        ("u.jd.com/Late", long(JD_ITEM, 200_000)),
        ("u.jd.com/Nothing", html("<html>sold out</html>")),
        ("u.jd.com/Gone", Page::Raw("410 Gone".into(), Vec::new())),
        ("u.jd.com/Bomb", Page::Raw("200 OK\r\nContent-Encoding: gzip".into(), vec![0x1f; 1_000])),
        ("u.jd.com/NoHttp", Page::Raw("\r\nnonsense".into(), Vec::new())),
    ]);
    for (short, expected) in [
        ("Loop1", Outcome::Loop),
        ("Hop1", Outcome::TooManyHops),
        ("Hop2", Outcome::Resolved),
        ("Early", Outcome::Resolved),
        ("Late", Outcome::NoTarget),
        ("Nothing", Outcome::NoTarget),
        ("Gone", Outcome::Status),
        ("Bomb", Outcome::Encoded),
    ] {
        assert_eq!(outcome(resolve(&sites, &format!("https://u.jd.com/{short}")).await), expected, "{short}");
    }
    let began = Instant::now();
    let slow =
        with(&sites, "https://u.jd.com/Stalls", |settings| settings.hop_timeout = Duration::from_millis(200)).await;
    assert_eq!(slow, Err(Trouble::TimedOut));
    let slow = with(&sites, "https://u.jd.com/Stalls", |settings| settings.timeout = Duration::from_millis(200)).await;
    assert_eq!(slow, Err(Trouble::TimedOut));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());

    let other_authority = Sites::start([]);
    let untrusted = with(&sites, "https://u.jd.com/Hop2", |settings| settings.ca = Some(other_authority.ca())).await;
    assert_eq!(outcome(untrusted), Outcome::Unreachable, "a certificate nobody vouches for");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_remembered_and_counted() {
    let sites = Sites::start([("m.tb.cn/h.3XyZabC", html(format!("var url = '{TAOBAO_ITEM}'")))]);
    let resolver = Resolver::new(sites.settings(), Arc::default()).unwrap();
    let short = recognise("https://m.tb.cn/h.3XyZabC");
    let first = resolver.resolve(&short).await.unwrap();
    assert_eq!(resolver.resolve(&short).await.unwrap(), first);
    assert_eq!(sites.asked().len(), 1);
    let counted = |outcome| resolver.tally().counted(outcome);
    assert_eq!((counted(Outcome::Resolved), counted(Outcome::Cached)), (1, 1));
    assert_eq!(resolver.tally().times().0.iter().sum::<u64>(), 1);
}

/// A gateway that resolves against `sites`.
fn gateway(sites: &Sites) -> Gateway {
    Gateway::start_with("2022-11-01T12:00:00+08:00", |settings| settings.resolve = sites.settings())
}

fn post(gateway: &Gateway, body: &Value) -> (u16, Value) {
    send(gateway, "POST", "/v1/links", body)
}

fn send(gateway: &Gateway, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let key = std::fs::read_to_string(gateway.folder.path().join("data/admin.key")).unwrap();
    let mut control = Client::connect(gateway.app().addresses().control);
    let body = body.to_string();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: x");
    let (key, length) = (key.trim(), body.len());
    let request = format!("{head}\r\nAuthorization: Bearer {key}\r\nContent-Length: {length}\r\n\r\n{body}");
    control.send(request.as_bytes()).unwrap();
    let answer = control.read(false).unwrap();
    (answer.status, serde_json::from_str(&answer.body).unwrap())
}

#[test]
fn a_share_text_is_known_by_its_goods_and_lands_on_what_was_pasted() {
    let sites = Sites::start([
        ("m.tb.cn/h.3XyZabC?tk=a1", html(format!("<script>var url = '{TAOBAO_ITEM}';</script>"))),
        ("u.jd.com/AbCdEf", to(JD_ITEM)),
        ("u.jd.com/Evil", to("https://evil.test/")),
        ("u.jd.com/Gone", Page::Raw("500 Oops".into(), Vec::new())),
    ]);
    let gateway = gateway(&sites);
    let pasted = "https://m.tb.cn/h.3XyZabC?tk=a1";
    let text = format!("【淘宝】退货包运费 {pasted} CZ0001 「外套」\n点击链接直接打开");
    let ask = json!({"url": text, "slug": "from-text", "platform": "kuaishou", "surface": "live_cart", "shop_type": "flagship",
                     "alternates": ["https://u.jd.com/AbCdEf"]});
    let (status, made) = post(&gateway, &ask);
    assert_eq!(status, 201, "{made}");
    let landing = &made["landing"];
    assert_eq!((&landing["item_id"], &landing["link_kind"]), (&json!("610947572360"), &json!("item")));
    assert_eq!((&landing["url"], made.get("identifiable")), (&json!(pasted), None));
    let click = gateway.get("/from-text");
    assert_eq!((click.status, click.header("location")), (302, pasted), "as it was pasted, byte for byte");

    let (status, refused) = post(&gateway, &json!({"url": "https://u.jd.com/Evil"}));
    assert_eq!((status, &refused["errors"][0]["code"]), (422, &json!("resolved_off_list")), "{refused}");
    let told = refused["errors"][0]["problem"].as_str().unwrap();
    assert!(told.contains("hop 1") && told.contains("evil.test"), "{told}");

    let (status, made) = post(&gateway, &json!({"url": "https://u.jd.com/Gone", "slug": "unasked"}));
    assert_eq!((status, &made["landing"]["item_id"]), (201, &Value::Null), "made all the same: {made}");
    assert_eq!(
        (&made["warnings"][0]["code"], &made["identifiable"]),
        (&json!("resolve_status"), &json!(false)),
        "{made}"
    );
    let asked = sites.asked().len();
    assert_eq!(gateway.get("/unasked").status, 403);
    assert_eq!(sites.asked().len(), asked, "a click asks nobody");

    let patch = json!({"alternates": ["https://u.jd.com/Evil"]});
    let (status, refused) = send(&gateway, "PATCH", "/v1/links/from-text", &patch);
    assert_eq!((status, &refused["errors"][0]["field"]), (422, &json!("alternates[0].url")), "{refused}");
    let patch = json!({"alternates": ["https://u.jd.com/AbCdEf"]});
    let (status, changed) = send(&gateway, "PATCH", "/v1/links/unasked", &patch);
    assert_eq!((status, &changed["alternates"][0]["landing"]["item_id"]), (200, &json!("100012043978")), "{changed}");

    let metrics = Client::connect(gateway.app().addresses().ops).get("/metrics").body;
    for line in ["hopgate_resolve_total{result=\"resolved\"} 2", "hopgate_resolve_total{result=\"off_list\"} 2"] {
        assert!(metrics.contains(line), "{line} not in\n{metrics}");
    }
    assert!(metrics.contains("hopgate_resolve_seconds_count 5"), "{metrics}");
}

#[test]
fn a_code_alone_is_shown_to_copy_wherever_it_is_tapped() {
    let policies = tempfile::tempdir().unwrap();
    let open = support::window("open", "2022-01-01", "2023-01-01");
    std::fs::write(policies.path().join("open.yaml"), open).unwrap();
    let gateway = Gateway::start_with("2022-11-01", |settings| settings.policies = policies.path().into());
    let code = "￥AbCdEf12345678% <b>打开京东</b>";
    let ask = json!({"url": code, "slug": "code-1", "platform": "kuaishou", "surface": "live_cart"});
    let (status, made) = post(&gateway, &ask);
    assert_eq!((status, &made["identifiable"], &made["decision"]["outcome"]), (201, &json!(false), &json!("allow")));
    let desktop = [("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/126.0 Safari/537.36")];
    let mut client = Client::connect(gateway.click_address());
    for page in [gateway.get("/code-1"), client.ask("GET", "/code-1", &desktop)] {
        assert_eq!(page.status, 200, "{}", page.body);
        assert!(page.body.contains("￥AbCdEf12345678% &lt;b&gt;打开京东&lt;/b&gt;"), "{}", page.body);
        assert!(!page.body.contains("<b>打开"), "escaped: {}", page.body);
    }
    let ways: Vec<Value> = gateway.hops().into_iter().map(|hop| hop["way"].clone()).collect();
    assert_eq!(ways, ["copy_code", "copy_code"]);
}

#[test]
fn the_command_line_resolves_too_and_imports_only_when_told() {
    let sites = Sites::start([
        ("u.jd.com/AbCdEf", to(JD_ITEM)),
        ("u.jd.com/Evil", to("https://evil.test/")),
        ("3.cn/36c-Q2K5", Page::Raw("503 Busy".into(), Vec::new())),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("hopgate.toml");
    let via: Vec<String> =
        sites.settings().via.keys().map(|host| format!("\"{host}\" = \"{}\"", sites.address)).collect();
    let text = format!(
        "[server]\ndata_dir = \"data\"\n[policies]\ndir = \"{}\"\n[resolve]\nca = \"{}\"\nvia = {{ {} }}\n",
        support::shipped().display(),
        sites.ca().display(),
        via.join(", ")
    );
    std::fs::write(&config, text).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hopgate"));
        let output =
            command.args(["link", arguments[0], "--config"]).arg(&config).args(&arguments[1..]).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, out, told) = run(&["create", "--url", "https://u.jd.com/AbCdEf", "--json"]);
    assert_eq!(code, Some(0), "{told}");
    let made: Value = serde_json::from_str(&out).unwrap();
    let landing = &made["landing"];
    assert_eq!((&landing["item_id"], &landing["link_kind"]), (&json!("100012043978"), &json!("alliance")), "{made}");
    assert_eq!(landing["url"], "https://u.jd.com/AbCdEf");
    assert_eq!(made["warnings"][0]["code"], "short_link_dies");
    let (code, _, told) = run(&["create", "--url", "https://u.jd.com/Evil"]);
    assert!(
        code == Some(2) && told.contains("--url: hop 1 leads off the list") && told.contains("evil.test"),
        "{told}"
    );

    let links = folder.path().join("links.ndjson");
    let write = |urls: &[&str]| {
        let lines: Vec<String> = urls.iter().map(|url| json!({ "url": url }).to_string()).collect();
        std::fs::write(&links, lines.join("\n")).unwrap();
    };
    let file = links.to_str().unwrap();
    let before = sites.asked().len();
    write(&["https://u.jd.com/AbCdEf", "https://3.cn/36c-Q2K5", "https://u.jd.com/Evil"]);
    let (code, out, told) = run(&["import", file]);
    assert!(code == Some(0) && out.contains("imported 3 links"), "{out}{told}");
    assert_eq!(sites.asked().len(), before, "not unless it is told to");
    let (code, out, told) = run(&["import", "--resolve", file]);
    assert_eq!(code, Some(1), "{out}");
    assert!(told.contains("line 3: https://u.jd.com/Evil: hop 1") && told.contains("nothing was imported"), "{told}");
    write(&["https://u.jd.com/AbCdEf", "https://3.cn/36c-Q2K5"]);
    let (code, out, told) = run(&["import", "--resolve", file]);
    assert!(code == Some(0) && out.contains("imported 2 links"), "{out}{told}");
    assert!(told.contains("line 2: https://3.cn/36c-Q2K5: not resolved"), "{told}");
}
