//! How permitted clicks are sent on, over real sockets: a table of host app × system × marketplace from a run, what pages and
//! JSON say, what hops and metrics keep, and a matrix that is changed while clicks come in.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use hopgate::config::landing::MatrixFile;
use serde_json::Value;
use support::{Answer, Client, Gateway, JD};

const AGENTS: &str = include_str!("data/user_agents.tsv");
const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                      Version/17.1.2 Mobile/15E148 Safari/604.1";
const CHROME: &str = "Mozilla/5.0 (Linux; Android 13; Pixel 7) AppleWebKit/537.36 (KHTML, like Gecko) \
                      Chrome/120.0.0.0 Mobile Safari/537.36";
const WECHAT: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                      Mobile/15E148 MicroMessenger/8.0.44(0x18002c2d) NetType/WIFI Language/zh_CN";
const TAOBAO: &str = "https://s.click.taobao.com/t?e=m%3D2%26s%3Dabc&pid=mm_1_2_3";

/// Every landing mode at a spot of its own.
const POLICY: &str = "
agreements:
  - {id: app, title: app, platform: kuaishou, marketplace: [ALL], effect: allow, from: 2020-01-01, landing: app,
     when: {surfaces: [live_cart]}}
  - {id: in-app, title: in_app, platform: kuaishou, marketplace: [ALL], effect: allow, from: 2020-01-01, landing: in_app,
     when: {surfaces: [short_video_cart]}}
  - {id: program, title: mini_program, platform: kuaishou, marketplace: [ALL], effect: allow, from: 2020-01-01,
     landing: mini_program, when: {surfaces: [detail_page]}}
  - {id: web, title: web, platform: kuaishou, marketplace: [ALL], effect: allow, from: 2020-01-01, landing: web,
     when: {surfaces: [profile]}}
  - {id: here, title: here, platform: wechat, marketplace: [ALL], effect: allow, from: 2020-01-01, landing: app}
";

fn gateway() -> Gateway {
    let names: Vec<&str> = hopgate::config::marketplaces::shipped().marketplaces().collect();
    let policy = POLICY.replace("ALL", &names.join(", "));
    Gateway::start_with("2024-05-01 12:00:00", |settings| {
        settings.policy_source = hopgate::config::settings::PolicySource::Folder;
        settings.policies = settings.data_dir.with_file_name("policies");
        settings.public_url = Some("https://go.example.com".into());
        // The journal is read right after the answers, however busy the machine is.
        settings.journal.deadline = std::time::Duration::from_secs(20);
        std::fs::create_dir_all(&settings.policies).unwrap();
        std::fs::write(settings.policies.join("all.yaml"), &policy).unwrap();
    })
}

fn ask(gateway: &Gateway, code: &str, agent: &str, accept: &str) -> Answer {
    let headers = [("User-Agent", agent), ("Accept", accept), ("Accept-Language", "en")];
    Client::connect(gateway.click_address()).ask("GET", &format!("/{code}"), &headers)
}

/// The `href` of the link, or the value of the field, with this id on a page.
fn on_page(page: &str, id: &str) -> Option<String> {
    let tag = page.split('<').find(|tag| tag.contains(&format!(" id=\"{id}\"")))?;
    let (_, rest) = tag.split_once(" href=\"").or_else(|| tag.split_once(" value=\""))?;
    let (text, _) = rest.split_once('"')?;
    Some(text.replace("&amp;", "&").replace("&#39;", "'"))
}

/// One landing of each marketplace: the first example of its file.
fn examples() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/marketplaces");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut found = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let Some((_, after)) = text.split_once("\nexamples") else { continue };
        let url = after.split('"').nth(1).unwrap();
        found.push((file.file_stem().unwrap().to_str().unwrap().to_owned(), url.to_owned()));
    }
    found.push(("taobao alliance".into(), TAOBAO.into()));
    found.push(("jd alliance".into(), "https://u.jd.com/AbCd12".into()));
    found
}

/// One User-Agent of each sort of visitor, in the order of the corpus.
fn visitors() -> Vec<(String, &'static str)> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for line in AGENTS.lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [agent, app, os, flags] = columns[..4] else { panic!("{line}") };
        let app = if flags.contains('c') { "chromium" } else { app };
        if !flags.contains(['b', 'p', 'm']) && seen.insert((app, os)) {
            found.push((format!("{app}/{os}"), agent));
        }
    }
    found.sort();
    found
}

#[test]
fn host_app_by_system_by_marketplace() {
    let gateway = gateway();
    let examples = examples();
    let mut text = String::new();
    let mut leads: BTreeMap<(String, String), String> = BTreeMap::new();
    for (mode, placement) in [
        ("app", "kuaishou/live_cart"),
        ("in_app", "kuaishou/short_video_cart"),
        ("mini_program", "kuaishou/detail_page"),
        ("web", "kuaishou/profile"),
    ] {
        let codes: Vec<String> = examples.iter().map(|(_, url)| gateway.link(url, placement, "unknown")).collect();
        text.push_str(&format!("# landing: {mode}\n\n{:<20}", "host app/system"));
        examples.iter().for_each(|(name, _)| text.push_str(&format!(" {name:<18}")));
        text = text.trim_end().to_owned() + "\n";
        for (visitor, agent) in visitors() {
            text.push_str(&format!("{visitor:<20}"));
            for ((name, url), code) in examples.iter().zip(&codes) {
                let answer = ask(&gateway, code, agent, "text/html");
                let told = ask(&gateway, code, agent, "application/json");
                assert_eq!(answer.status, told.status);
                assert!(!answer.header("hop-id").is_empty() && answer.header("cache-control") == "no-store");
                let way = match answer.status {
                    302 if answer.header("location") == url => "redirect".to_owned(),
                    302 => "in_app".to_owned(),
                    200 => {
                        let told: Value = serde_json::from_str(&told.body).unwrap();
                        assert_eq!(told["url"], *url);
                        assert_eq!(on_page(&answer.body, "other").as_deref(), Some(url.as_str()), "{}", answer.body);
                        told["way"].as_str().unwrap().to_owned()
                    }
                    other => panic!("{visitor} {name}: {other} {}", answer.body),
                };
                let lead = match answer.status {
                    302 => answer.header("location").to_owned(),
                    _ => on_page(&answer.body, "open")
                        .or_else(|| {
                            on_page(&answer.body, "text").map(|text| format!("copy {}", text.replace(code, "{code}")))
                        })
                        .unwrap_or_else(|| "no button but the page's own".to_owned()),
                };
                let key = (name.clone(), format!("{} {way}", answer.status));
                let known = leads.entry(key).or_insert_with(|| lead.clone());
                if *known != lead {
                    known.push_str(&format!("\n    or {lead}"));
                    leads.insert((name.clone(), format!("{} {way}", answer.status)), lead.clone());
                }
                text.push_str(&format!(" {:<18}", format!("{} {way}", answer.status)));
            }
            text = text.trim_end().to_owned() + "\n";
        }
        text.push('\n');
    }
    text.push_str("# where each leads\n\n");
    for ((name, way), lead) in &leads {
        text.push_str(&format!("{name}: {way}: {lead}\n"));
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/landing_matrix.txt");
    if std::env::var_os("HOPGATE_WRITE_GOLDEN").is_some() {
        std::fs::write(&golden, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(&golden).unwrap_or_default(), "HOPGATE_WRITE_GOLDEN=1 writes it anew");
}

#[test]
fn a_page_that_opens_the_app_and_what_is_kept_of_it() {
    let gateway = gateway();
    let code = gateway.link("https://u.jd.com/AbCd12", "kuaishou/live_cart", "unknown");
    let page = ask(&gateway, &code, CHROME, "text/html,*/*");
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(page.header("content-language"), "en");
    assert!(page.header("vary").contains("User-Agent"));
    assert_eq!(page.header("location"), "");
    let policy = page.header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'")
            && policy.contains("script-src 'sha256-")
            && !policy.contains("unsafe")
    );
    let open = on_page(&page.body, "open").unwrap();
    assert!(open.starts_with("intent://virtual?params=%7B%22category%22") && open.ends_with(";end"), "{open}");
    assert!(open.contains(";package=com.jingdong.app.mall;"));
    assert!(page.body.len() < 5_000, "{}", page.body.len());

    let told: Value = serde_json::from_str(&ask(&gateway, &code, CHROME, "application/json").body).unwrap();
    assert_eq!((told["way"].as_str(), told["url"].as_str()), (Some("intent"), Some("https://u.jd.com/AbCd12")));
    assert!(told["app_url"].as_str().unwrap().starts_with("openapp.jdmobile://virtual?params="));
    assert_eq!(told["mini_program"]["app_id"], "wx91d27dbf599dff74");
    assert_eq!(told["mini_program"]["path"], "pages/union/proxy/proxy?spreadUrl=https%3A%2F%2Fu.jd.com%2FAbCd12");
    assert_eq!(told["copy"], format!("https://go.example.com/{code}"));

    let headers = [("User-Agent", CHROME)];
    let head = Client::connect(gateway.click_address()).ask("HEAD", &format!("/{code}"), &headers);
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert!(head.header("content-length").parse::<usize>().unwrap() > 1_000);

    let plain = ask(&gateway, &code, support::KUAISHOU_AGENT, "application/json");
    assert_eq!((plain.status, plain.header("location")), (302, "https://u.jd.com/AbCd12"));
    let hops = gateway.hops();
    let ways: Vec<_> =
        hops.iter().map(|hop| (hop["way"].as_str().unwrap(), hop["landing"].as_str().unwrap())).collect();
    assert_eq!(ways, [("intent", "app"), ("intent", "app"), ("intent", "app"), ("redirect", "app")]);
    assert_eq!(hops[0]["click_id"], page.header("hop-id"));
    assert_eq!(gateway.metric("hopgate_landings_total"), 4.0);
}

#[test]
fn out_of_an_app_that_opens_none() {
    let gateway = gateway();
    let code = gateway.link(TAOBAO, "kuaishou/live_cart", "unknown");
    let page = ask(&gateway, &code, WECHAT, "text/html");
    assert_eq!(on_page(&page.body, "text").unwrap(), format!("https://go.example.com/{code}"));
    assert!(page.body.contains("Open in browser") && !page.body.to_lowercase().contains("share"));
    // A link whose placement is read off the app leads nowhere in a browser: there its landing is what is copied.
    let free = gateway.link(TAOBAO, "/", "unknown");
    let page = ask(&gateway, &free, WECHAT, "text/html");
    assert_eq!((page.status, on_page(&page.body, "text").as_deref()), (200, Some(TAOBAO)));
    assert!(!page.body.contains("class=\"menu\""));
    assert_eq!(ask(&gateway, &free, IPHONE, "text/html").status, 403);
}

#[test]
fn a_page_inside_the_app_is_on_the_allow_list_and_keeps_the_tag() {
    let gateway = gateway();
    let location = |url: &str| {
        let code = gateway.link(url, "kuaishou/short_video_cart", "unknown");
        ask(&gateway, &code, support::KUAISHOU_AGENT, "").header("location").to_owned()
    };
    assert_eq!(location(JD), "https://kpl.m.jd.com/product?wareId=100012043978");
    assert_eq!(location("https://u.jd.com/AbCd12"), "https://u.jd.com/AbCd12");
    let ways: Vec<Value> = gateway.hops().iter().map(|hop| hop["way"].clone()).collect();
    assert_eq!(ways, ["in_app", "redirect"]);
}

#[test]
fn another_matrix_counts_at_once_and_a_bad_one_never() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("landing.toml");
    std::fs::write(&file, "").unwrap();
    let names = hopgate::config::marketplaces::shipped().marketplaces().collect::<Vec<_>>().join(", ");
    let gateway = Gateway::start_with("2024-05-01 12:00:00", |settings| {
        settings.policy_source = hopgate::config::settings::PolicySource::Folder;
        settings.policies = settings.data_dir.with_file_name("policies");
        std::fs::create_dir_all(&settings.policies).unwrap();
        std::fs::write(settings.policies.join("all.yaml"), POLICY.replace("ALL", &names)).unwrap();
        settings.landing = MatrixFile { path: file.clone(), named: true };
    });
    let code = gateway.link(JD, "kuaishou/live_cart", "unknown");
    let status = || ask(&gateway, &code, IPHONE, "text/html").status;
    assert_eq!(status(), 302, "no rule");
    std::fs::write(&file, "[[rules]]\napps = [\"browser\"]\nway = \"scheme\"\n").unwrap();
    assert_eq!(status(), 302, "not before it is told");
    gateway.app().block_on(gateway.app().reload());
    assert_eq!(status(), 200);
    std::fs::write(&file, "[[rules]]\napps = [\"brauser\"]\nway = \"redirect\"\n").unwrap();
    gateway.app().block_on(gateway.app().reload());
    assert_eq!(status(), 200, "the last good one");
    assert_eq!(gateway.metric("hopgate_landing_reload_failures_total"), 1.0);
}

#[test]
fn the_command_line_says_the_same() {
    let place = support::Place::new("");
    let ran = place.run(&["landing", "--marketplace", "jd", "--os", "android", "--app", "chromium"]);
    assert_eq!((ran.code, ran.out.lines().count()), (0, 2), "{ran:?}");
    assert!(ran.out.lines().last().unwrap().ends_with(" intent"), "{}", ran.out);
    let ran = place.run(&["landing", "--url", TAOBAO, "--app", "browser", "--os", "ios", "--json"]);
    let rows: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((rows[0]["app"].as_str(), rows[0]["sent"]["way"].as_str()), (Some("browser"), Some("universal_link")));
    assert!(rows[0]["sent"]["address"].as_str().unwrap().starts_with("https://ace.tb.cn/t?smburl=tbopen%3A%2F%2F"));
    let ran = place.run(&["landing", "--app", "safari"]);
    assert!(ran.code == 2 && ran.err.contains("--app: `safari` is none; use one of unknown, browser"), "{ran:?}");

    let explain = ["explain", "--platform", "kuaishou", "--surface", "live_cart", "--url", JD, "--json"];
    let asked: Value = serde_json::from_str(&place.run(&explain).out).unwrap();
    assert!(asked.get("sent").is_none(), "nobody was named");
    let told = place.run(&[&explain[..], &["--app", "browser", "--os", "android"]].concat());
    let asked: Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!((asked["sent"]["way"].as_str(), asked["sent"]["status"].as_u64()), (Some("scheme"), Some(200)));

    place.settings("[landing]\nmatrix = \"landing.toml\"");
    let ran = place.run(&["check"]);
    assert!(ran.code == 78 && ran.err.contains("landing.toml:1: cannot be read"), "{ran:?}");
    std::fs::write(place.path("landing.toml"), "[[rules]]\nway = \"scheme\"\n[[rules]]\nmodes = [\"web\"]\n").unwrap();
    let ran = place.run(&["check"]);
    assert!(ran.code == 78 && ran.err.contains("landing.toml:3: rules[1].way: is missing"), "{ran:?}");
    std::fs::write(place.path("landing.toml"), "[[rules]]\nway = \"scheme\"\n").unwrap();
    assert_eq!(place.run(&["check"]).code, 0);
}

#[test]
fn the_api_says_how_each_landing_is_reached() {
    let gateway = gateway();
    let key = std::fs::read_to_string(gateway.folder.path().join("data/admin.key")).unwrap();
    let decide = |body: &str| {
        let mut client = Client::connect(gateway.app().addresses().control);
        let head = format!(
            "POST /v1/decide HTTP/1.1\r\nHost: go.example\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            key.trim(),
            body.len()
        );
        client.send(head.as_bytes()).unwrap();
        let answer = client.read(false).unwrap();
        (answer.status, serde_json::from_str::<Value>(&answer.body).unwrap())
    };
    let ask = |more: &str| {
        format!(
            "{{\"platform\":\"kuaishou\",\"surface\":\"live_cart\",\"url\":\"{TAOBAO}\",\
             \"alternates\":[{{\"url\":\"{JD}\"}}]{more}}}"
        )
    };
    let (status, told) = decide(&ask(",\"app\":\"wechat\",\"os\":\"ios\""));
    assert_eq!((status, told["sent"]["way"].as_str()), (200, Some("browser_prompt")), "{told}");
    let ways: Vec<&str> =
        told["alternates"].as_array().unwrap().iter().map(|one| one["sent"]["way"].as_str().unwrap()).collect();
    assert_eq!(ways, ["browser_prompt", "redirect"]);
    assert!(decide(&ask("")).1.get("sent").is_none());
    let (status, told) = decide(&ask(",\"app\":\"safari\",\"os\":\"ipados\""));
    assert!(status == 422 && told.to_string().contains("safari") && told.to_string().contains("ipados"), "{told}");
}
