//! User-Agents against a golden file, packages and contradictions, and the cost of reading one.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::sync::LazyLock;
use std::time::Instant;

use hopgate::config::devices::{DeviceSettings, Devices, load};
use hopgate::config::marketplaces::shipped;
use hopgate::domain::device::{Device, HostApp, Os};

const GOLDEN: &str = include_str!("data/user_agents.tsv");

static DEVICES: LazyLock<Devices> = LazyLock::new(|| load(&DeviceSettings::default(), shipped()).unwrap());

fn detect(user_agent: &str) -> Device {
    DEVICES.detector.detect(user_agent.as_bytes())
}

fn rows() -> impl Iterator<Item = [&'static str; 5]> {
    GOLDEN.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let columns: Vec<_> = line.split('\t').collect();
        columns.try_into().unwrap_or_else(|_| panic!("five columns: {line}"))
    })
}

fn flags(device: &Device) -> String {
    let all = [(device.bot, 'b'), (device.preview, 'p'), (device.chromium, 'c'), (device.mini_program, 'm')];
    let set: String = all.iter().filter(|(set, _)| *set).map(|(_, letter)| letter).collect();
    if set.is_empty() { "-".to_owned() } else { set }
}

#[test]
fn every_golden_row() {
    let mut wrong = Vec::new();
    for [user_agent, app, os, expected, _] in rows() {
        assert!(HostApp::parse(app).is_some() && Os::parse(os).is_some(), "{user_agent}");
        let seen = detect(user_agent);
        let found = flags(&seen);
        if (seen.app.as_str(), seen.os.as_str(), found.as_str()) != (app, os, expected) {
            wrong.push(format!(
                "{user_agent}\n  expected {app} {os} {expected}, found {} {} {found}",
                seen.app, seen.os
            ));
        }
        if seen.implausible {
            wrong.push(format!("{user_agent}\n  is taken for implausible"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_golden_file_covers_every_app_and_system() {
    assert!(rows().count() >= 300);
    let quoted = rows().filter(|[.., from]| *from != "composed").count();
    assert!(quoted >= 200, "{quoted} are quoted from public files");
    for app in HostApp::ALL {
        assert!(rows().any(|[_, named, ..]| named == app.as_str()), "no row for {app}");
    }
    for os in Os::ALL {
        assert!(rows().any(|[_, _, named, ..]| named == os.as_str()), "no row for {os}");
    }
    let mut all: Vec<_> = rows().map(|[user_agent, ..]| user_agent).collect();
    all.sort_unstable();
    assert!(all.windows(2).all(|two| two[0] != two[1]), "one stands twice");
}

#[test]
fn anchored_tokens_count_at_the_start_only() {
    assert!(detect("okhttp/4.9.3").bot);
    assert!(!detect("com.example.app/1.0 okhttp/4.9.3").bot);
    assert_eq!(detect("discover/8.77 (iPhone; iOS 17.0)").app, HostApp::Xiaohongshu);
    assert_eq!(detect("Mozilla/5.0 discover/8.77").app, HostApp::Browser);
}

#[test]
fn the_shared_web_view_is_not_always_douyin() {
    let shared = "Mozilla/5.0 (Linux; Android 12) AppleWebKit/537.36 BytedanceWebview/d8a21c6";
    assert_eq!(detect(shared).app, HostApp::Douyin);
    assert_eq!(detect(&format!("{shared} AppName/news_article")).app, HostApp::Toutiao);
    assert_eq!(detect(&format!("{shared} AppName/novel")).app, HostApp::Browser);
    assert_eq!(detect(&format!("{shared} AppName/aweme_lite")).app, HostApp::Douyin);
}

#[test]
fn only_the_front_of_a_long_text_is_read() {
    let long = format!("{}MicroMessenger/8.0", "x".repeat(1_024));
    assert_eq!(detect(&long).app, HostApp::Unknown);
    assert_eq!(detect(&"中".repeat(5_000)).os, Os::Unknown);
    assert_eq!(detect(""), Device::UNKNOWN);
    assert_eq!(DEVICES.detector.detect(b"\xff\xfe MicroMessenger/8").app, HostApp::WeChat, "not every byte is UTF-8");
}

#[test]
fn what_no_visitor_says_is_implausible() {
    for user_agent in [
        // An iPhone app's token on a desktop.
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/120.0 QQ/8.8.0 V1_IPH_SQ_8.8.0_1_APP_A",
        "jdapp;iPhone;12.0.1;Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/120.0.0.0",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0.0.0 Safari/537.36 Kwai/12.3.10",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0) AppleWebKit/605.1.15 Weibo (Xiaomi__weibo__13__android__android13)",
        // Browsers and systems that exclude each other.
        "Mozilla/5.0 (Linux; Android 13; Pixel 7) AppleWebKit/537.36 CriOS/114.0 Mobile Safari/604.1",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/537.36 Chrome/120.0.0.0 Mobile Safari/537.36",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0) (Linux; Android 13) AppleWebKit/537.36",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0) MicroMessenger/8.0 WindowsWechat(0x63090a13)",
        // Two host apps.
        "Mozilla/5.0 (Linux; Android 13) AppleWebKit/537.36 MicroMessenger/8.0.40 Kwai/12.3",
        "Mozilla/5.0 (Linux; Android 13) AppleWebKit/537.36 aweme_280200 AliApp(TB/10.0)",
    ] {
        assert!(detect(user_agent).implausible, "{user_agent}");
    }
    // An iPad's web view calls itself a Macintosh.
    assert!(!detect("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_6) AppleWebKit/605.1.15 Kwai/12.3.10").implausible);
}

#[test]
fn an_android_package_is_the_second_signal() {
    let with = |user_agent: &str, package: &str| {
        let first = detect(user_agent);
        DEVICES.detector.with_package(first, user_agent.as_bytes(), package.as_bytes())
    };
    let view = "Mozilla/5.0 (Linux; Android 14; PGT-AN10; wv) AppleWebKit/537.36 Version/4.0 Chrome/120.0 Mobile Safari/537.36";
    assert_eq!(with(view, "com.xingin.xhs").app, HostApp::Xiaohongshu);
    assert_eq!(with(view, "com.kuaishou.nebula").app, HostApp::Kuaishou);
    assert_eq!(with(view, "com.eg.android.AlipayGphone").app, HostApp::Alipay);
    assert_eq!(with(view, "com.example.reader").app, HostApp::Browser);
    assert_eq!(with(view, "XMLHttpRequest"), detect(view), "a script's word says nothing");
    let kwai = format!("{view} Kwai/12.3.10");
    assert!(!with(&kwai, "com.smile.gifmaker").implausible);
    assert!(with(&kwai, "com.tencent.mm").implausible, "another app's package");
    assert_eq!(with(&kwai, "com.tencent.mm").app, HostApp::Kuaishou, "the User-Agent stays the first signal");
    let iphone = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148";
    assert!(with(iphone, "com.xingin.xhs").implausible);
    assert!(with("Mozilla/5.0 (Windows NT 10.0; Win64; x64)", "com.example.reader").implausible);
    let chrome = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 Chrome/120.0.0.0 Mobile Safari/537.36";
    assert!(detect(chrome).chromium && !with(chrome, "com.example.reader").chromium, "a web view in disguise");
}

#[test]
fn addresses_of_data_centres_are_known() {
    let address = |text: &str| text.parse::<std::net::Ipv4Addr>().unwrap().to_bits();
    for inside in ["47.100.1.2", "43.140.0.9", "54.169.1.1", "34.80.5.5", "20.205.1.1", "159.89.3.4", "88.198.1.1"] {
        assert!(DEVICES.datacenters.contains_v4(address(inside)), "{inside}");
    }
    // Homes and phones: China Telecom, China Mobile, China Unicom, and what is nobody's.
    for outside in ["114.224.10.1", "223.104.3.4", "123.118.9.9", "127.0.0.1", "192.168.1.1", "203.0.113.7"] {
        assert!(!DEVICES.datacenters.contains_v4(address(outside)), "{outside}");
    }
}

#[test]
fn reading_one_allocates_nothing() {
    detect("built once");
    let all: Vec<_> = rows().map(|[user_agent, ..]| user_agent).collect();
    let counted = allocation_counter::measure(|| {
        for user_agent in &all {
            let device = std::hint::black_box(detect(user_agent));
            std::hint::black_box(DEVICES.detector.with_package(device, user_agent.as_bytes(), b"com.tencent.mm"));
            std::hint::black_box(DEVICES.datacenters.contains_v4(user_agent.len() as u32));
        }
    });
    assert_eq!(counted.count_total, 0);
}

/// `cargo test --release --test device_user_agents -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, meaningful in release only"]
fn time_per_user_agent() {
    let all: Vec<_> = rows().map(|[user_agent, ..]| user_agent).collect();
    let bytes: usize = all.iter().map(|user_agent| user_agent.len()).sum();
    detect("built once");
    let rounds = 2_000;
    let begin = Instant::now();
    for _ in 0..rounds {
        for user_agent in &all {
            std::hint::black_box(detect(std::hint::black_box(user_agent)));
        }
    }
    let each = begin.elapsed().as_secs_f64() * 1e9 / f64::from(rounds) / all.len() as f64;
    let average = bytes / all.len();
    println!("{each:.0} ns for {average} bytes on average, {:.0} ns for 200 bytes", each * 200.0 / average as f64);
}
