//! User-Agents against a golden file, and the cost of reading one.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::time::Instant;

use hopgate::domain::device::{HostApp, Os, detect};

const GOLDEN: &str = include_str!("data/user_agents.tsv");

fn rows() -> impl Iterator<Item = [&'static str; 4]> {
    GOLDEN.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let columns: Vec<_> = line.split('\t').collect();
        columns.try_into().expect("four columns")
    })
}

#[test]
fn every_golden_row() {
    let mut wrong = Vec::new();
    for [user_agent, app, os, bot] in rows() {
        assert!(HostApp::parse(app).is_some() && Os::parse(os).is_some(), "{user_agent}");
        let seen = detect(user_agent);
        let found = [seen.app.as_str(), seen.os.as_str(), if seen.bot { "yes" } else { "no" }];
        if found != [app, os, bot] {
            wrong.push(format!("{user_agent}\n  expected {app} {os} {bot}, found {}", found.join(" ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_golden_file_covers_every_app_and_system() {
    assert!(rows().count() >= 60);
    for app in HostApp::ALL {
        assert!(rows().any(|[_, named, _, _]| named == app.as_str()), "no row for {app}");
    }
    for os in Os::ALL {
        assert!(rows().any(|[_, _, named, _]| named == os.as_str()), "no row for {os}");
    }
}

#[test]
fn reading_one_allocates_nothing() {
    detect("built once");
    let all: Vec<_> = rows().map(|[user_agent, ..]| user_agent).collect();
    let counted = allocation_counter::measure(|| {
        for user_agent in &all {
            std::hint::black_box(detect(user_agent));
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
