//! The calendar of the shipped history, in every form, held against golden files: `HOPGATE_BLESS=1` writes them anew, to
//! be looked at before they are kept.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod control_support;
mod support;

use std::path::Path;

use control_support::{LAST, Running, fits};
use hopgate::control::calendar::{Calendar, CalendarRequest, html, svg, text};
use hopgate::control::keys::Role;
use hopgate::domain::policy::PolicySet;
use hopgate::domain::time::Timestamp;
use hopgate::domain::vocabulary::Vocabulary;
use hopgate::policies::folder;
use serde_json::{Value, json};
use support::Place;

fn calendar(policy: &PolicySet, from: &str, to: &str, at: &str) -> Calendar {
    let words = Vocabulary::default();
    let request = CalendarRequest { from: Some(from.into()), to: Some(to.into()), ..CalendarRequest::default() };
    let now: Timestamp = at.parse().unwrap();
    let calendar = Calendar::new(policy, &words, request.check(&words, now).unwrap(), now, |_| true);
    // Golden files are about windows, not about every word of the policy.
    Calendar { policy_version: "0123456789abcdef".into(), ..calendar }
}

fn shipped() -> PolicySet {
    folder::load(&support::shipped(), &Vocabulary::default()).expect("the shipped policies are sound").policy
}

fn golden(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/calendar").join(name);
    if std::env::var_os("HOPGATE_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, found).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = kept.lines().zip(found.lines()).find(|(kept, found)| kept != found);
    assert!(kept == found, "{name} differs, first at {differs:?}; HOPGATE_BLESS=1 writes it anew");
}

#[test]
fn the_history_is_shown_as_it_was() {
    let policy = shipped();
    let all = calendar(&policy, "2018-06-01", "2026-12-01", "2022-11-15");
    golden("history.txt", &text::render(&all));
    golden("history.svg", &svg::render(&all));
    golden("history.html", &html::render(&all));
    golden("history.json", &(serde_json::to_string_pretty(&all).unwrap() + "\n"));
    golden("double11.txt", &text::render(&calendar(&policy, "2022-10-20", "2022-12-10", "2022-11-15")));
}

#[test]
fn lines_fit_a_terminal_whatever_the_span() {
    let policy = shipped();
    for (from, to) in [
        ("2018-06-01", "2026-12-01"),
        ("2022-10-28", "2022-10-29"),
        ("2022-10-28T00:00:00", "2022-10-28T00:00:00.001"),
        ("2022-10-28", "2022-12-28"),
        ("1971-01-01", "2299-01-01"),
    ] {
        let all = calendar(&policy, from, to, "2022-11-15");
        let shown = text::render(&all);
        // The three head lines hold wide characters.
        for line in shown.lines().skip(3).filter(|line| !line.contains('◆')) {
            assert!(line.chars().count() <= 120, "{from} {to}: {line}");
        }
        assert!(shown.contains("→"), "{shown}");
        svg::render(&all);
    }
}

#[test]
fn what_a_policy_says_is_escaped() {
    let folder = tempfile::tempdir().unwrap();
    let text = support::window("evil-window", "2022-01-01", "2022-12-01")
        .replace("title: evil-window", "title: \"<script>alert('x')</script> / \\\"&amp;\\u0007\"");
    std::fs::write(folder.path().join("x.yaml"), text).unwrap();
    let policy = folder::load(folder.path(), &Vocabulary::default()).unwrap().policy;
    let calendar = calendar(&policy, "2022-01-01", "2022-12-31", "2022-11-15");
    for shown in [html::render(&calendar), svg::render(&calendar)] {
        assert!(!shown.contains("<script") && !shown.contains('\u{7}'), "{shown}");
        assert!(shown.contains("&lt;script&gt;alert(&#39;x&#39;)"), "{shown}");
        assert!(shown.contains("&quot;&amp;amp;"), "{shown}");
        assert!(!shown.contains("http://www.w3.org/1999") && !shown.contains("src=") && !shown.contains("href="));
    }
}

#[test]
fn the_command_writes_every_form_and_overwrites_nothing() {
    let place = Place::new("");
    let dir = support::shipped();
    std::fs::write(place.path("hopgate.toml"), format!("[policies]\ndir = {:?}\n", dir.to_str().unwrap())).unwrap();
    let span = ["policy", "calendar", "--from", "2018-06-01", "--to", "2026-12-01", "--at", "2022-11-15"];
    let text = place.run(&span);
    assert_eq!((text.code, text.err.as_str()), (0, ""), "{text:?}");
    assert!(text.out.contains("2022-12-01  kuaishou-jd-double11-2022  kuaishou → jd"), "{}", text.out);
    let out = place.path("page.html");
    let written = [&span[..], &["--format", "html", "--out", out.to_str().unwrap()]].concat();
    assert_eq!(place.run(&written).code, 0);
    assert!(std::fs::read_to_string(&out).unwrap().starts_with("<!doctype html>"));
    let again = place.run(&written);
    assert_eq!(again.code, 1);
    assert!(again.err.contains("is there already"), "{}", again.err);
    let one = place.run(&[&span[..], &["--format", "json", "--platform", "taobao"]].concat());
    let found: Value = serde_json::from_str(&one.out).unwrap();
    assert_eq!(found["pairs"].as_array().unwrap().len(), 1);
    let wrong = place.run(&["policy", "calendar", "--from", "2022-01-01", "--to", "2021-01-01", "--platform", "moon"]);
    assert_eq!(wrong.code, 2);
    assert!(
        wrong.err.contains("is not after `from`") && wrong.err.contains("--platform: this name is not known"),
        "{}",
        wrong.err
    );
}

#[tokio::test]
async fn the_api_shows_it_as_data_page_and_picture_to_those_who_may() {
    let running = Running::start().await;
    let described = running.with("", "GET", "/openapi.json", &[], "").await.json();
    let path = "/v1/policies/calendar";
    let data = running.admin("GET", &format!("{path}?from=2022-10-01&to=2023-02-01"), &Value::Null).await;
    assert_eq!(data.status, 200, "{}", data.text);
    let schema = &described["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
    fits(&described, schema, &data.json(), path);
    assert_eq!(data.json()["at"], LAST);
    assert_eq!(data.json()["ending"][0]["agreement"], "kuaishou-jd-double11-2022");
    for (accept, begins) in [("text/html,*/*;q=0.8", "<!doctype html>"), ("image/svg+xml", "<svg ")] {
        let shown = running.with(&running.admin, "GET", path, &[("Accept", accept)], "").await;
        assert!(shown.text.starts_with(begins), "{accept}: {}", &shown.text[..80]);
        assert!(accept.starts_with(shown.header("content-type").unwrap().split(';').next().unwrap()));
        assert!(shown.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    }
    let faults = running.admin("GET", &format!("{path}?from=soon&colour=red"), &Value::Null).await;
    assert_eq!((faults.status, faults.faults()[0].0.as_str()), (422, "colour"));
    let (creator, _) = running.key(Role::Creator, Some("c1")).await;
    assert_eq!(running.call(&creator, "GET", path, &Value::Null).await.status, 403);
    let (platform, _) = running.key(Role::Platform, Some("xiaohongshu")).await;
    let own = running.call(&platform, "GET", path, &Value::Null).await.json();
    let pairs = own["pairs"].as_array().unwrap();
    assert!(!pairs.is_empty() && pairs.iter().all(|pair| pair["platform"] == "xiaohongshu"), "{own}");
    assert_eq!(own["ending"], json!([]), "Kuaishou's end is not theirs to see");
}

#[tokio::test]
async fn a_marketplace_without_addresses_is_decided_by_name() {
    let running = Running::start().await;
    let described = running.with("", "GET", "/openapi.json", &[], "").await.json();
    let mut body = json!({"platform": "kuaishou", "surface": "live_cart", "marketplace": "meituan",
        "link_kind": "mini_program", "category": "hotel", "at": "2022-03-01"});
    let told = running.admin("POST", "/v1/decide", &body).await;
    assert_eq!(told.status, 200, "{}", told.text);
    fits(&described, &described["components"]["schemas"]["Explained"], &told.json(), "decide");
    assert_eq!(
        (&told.json()["agreement"], &told.json()["landing"]["url"]),
        (&json!("kuaishou-meituan-wider-2022"), &Value::Null)
    );
    body["url"] = json!("https://item.jd.com/1.html");
    assert_eq!(
        running.admin("POST", "/v1/decide", &body).await.faults(),
        [("marketplace".into(), "url_and_code".into())]
    );
    let body = json!({"platform": "kuaishou", "surface": "live_cart", "marketplace": "moon", "item": "a b"});
    let faults = running.admin("POST", "/v1/decide", &body).await.faults();
    assert_eq!(faults, [("item".into(), "white_space".into()), ("marketplace".into(), "unknown_name".into())]);
}

#[test]
fn check_warns_of_what_is_suspicious_and_refuses_what_cannot_be_meant() {
    let place = Place::new("");
    let file = place.path("policies/lint.yaml");
    let deny = |surfaces: &str| {
        format!(
            "  - id: stop-it\n    title: t\n    platform: douyin\n    marketplace: suning\n    effect: deny\n    \
             from: 2020-01-01\n{surfaces}"
        )
    };
    let allow = support::window("open-it", "2021-01-01", "2098-11-11")
        .replace("kuaishou", "douyin")
        .replace(": jd", ": suning");
    std::fs::write(&file, allow.clone() + &deny("    when: {surfaces: [comment]}\n")).unwrap();
    let warned = place.run(&["check"]);
    assert_eq!(warned.code, 0, "{warned:?}");
    for part in [
        "warning: contradiction: `open-it` is narrowed by `stop-it`",
        "surface=comment",
        "warning: heavy_minute: `open-it` ends at 2098-11-11T00:00:00+08:00, during the sale of 11-01..11-12",
        "warning: gap: `open-it` ends at",
        "warning: far_end: `open-it`",
    ] {
        assert!(warned.err.contains(part), "`{part}` not in {}", warned.err);
    }
    assert!(warned.out.contains(" warnings"), "{}", warned.out);
    std::fs::write(&file, allow + &deny("")).unwrap();
    let refused = place.run(&["check"]);
    assert_eq!(refused.code, 78, "{refused:?}");
    assert!(
        refused.err.contains("error: contradiction: `open-it` never allows a click: `stop-it` denies"),
        "{}",
        refused.err
    );

    let spans = "[policies]\nsales = [\"11-31..12-01\"]\nheavy_hours = [\"late\"]\n";
    std::fs::write(place.path("hopgate.toml"), spans).unwrap();
    let faults = place.run(&["check"]);
    assert_eq!(faults.code, 78);
    assert!(
        faults.err.contains("11-01..11-12, both included") && faults.err.contains("`late` is no span"),
        "{}",
        faults.err
    );
}
