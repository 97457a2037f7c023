//! Each room depends only on those below it, and each library lives in its room: the map in ARCHITECTURE.md, enforced.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// From the bottom up; rooms of one row may not know each other.
const ROWS: [&[&str]; 14] = [
    &["domain"],
    &["clock", "wording"],
    &["telemetry"],
    &["config"],
    &["sqlite", "outbound"],
    &["catalog", "policies", "journal"],
    &["archive"],
    &["attribution"],
    &["click", "audit", "report"],
    &["notify", "resolve", "alliance"],
    &["edge", "control"],
    &["app"],
    &["cli"],
    &["main"],
];

/// A library, and the only places that may name it.
const LIBRARIES: [(&str, &[&str]); 9] = [
    ("parquet::", &["archive"]),
    ("hyper::", &["edge", "cli/http.rs", "notify/client.rs", "resolve/ask.rs", "alliance"]),
    ("rustls::", &["edge", "outbound"]),
    ("tokio_rustls::", &["edge", "outbound"]),
    ("axum::", &["control", "edge/plain.rs"]),
    (
        "rusqlite::",
        &["sqlite.rs", "catalog", "policies/sqlite.rs", "control/keys", "notify", "attribution", "alliance"],
    ),
    ("dashmap::", &["catalog"]),
    ("clap::", &["cli"]),
    ("prometheus::", &["telemetry", "app"]),
];

/// What the pure core must not touch.
const IMPURE: [&str; 9] =
    ["SystemTime", "Instant::now", "getrandom", "std::fs", "std::net", "tokio", "Mutex", "RwLock", "async "];

fn sources() -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![src.clone()];
    let mut found: Vec<PathBuf> = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&src).unwrap().to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).unwrap();
            // Tests beside the code may reach anywhere.
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
            (name, code)
        })
        .filter(|(name, _)| name != "lib.rs" && !name.ends_with("tests.rs"))
        .collect()
}

fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")).map(|(n, line)| (n + 1, line))
}

fn room(name: &str) -> &str {
    name.split('/').next().unwrap_or(name).trim_end_matches(".rs")
}

fn height(room: &str) -> usize {
    ROWS.iter().position(|row| row.contains(&room)).unwrap_or_else(|| panic!("room `{room}` is not on the map"))
}

#[test]
fn rooms_depend_only_on_those_below() {
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        let here = room(&name);
        for (number, line) in code_lines(&text) {
            for part in line.split("crate::").skip(1) {
                let other: String = part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if other.is_empty() || other == here || !ROWS.iter().any(|row| row.contains(&other.as_str())) {
                    continue;
                }
                if height(&other) >= height(here) {
                    wrong.push(format!("src/{name}:{number}: {here} must not know {other}: {}", line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn libraries_stay_in_their_rooms() {
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        for (number, line) in code_lines(&text) {
            for (library, places) in LIBRARIES {
                let names_it = line
                    .match_indices(library)
                    .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'));
                if names_it && !places.iter().any(|place| name.starts_with(place)) {
                    wrong.push(format!("src/{name}:{number}: `{library}` belongs to {places:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_core_is_pure() {
    let mut wrong = Vec::new();
    for (name, text) in sources().into_iter().filter(|(name, _)| room(name) == "domain") {
        for (number, line) in code_lines(&text) {
            for word in IMPURE {
                if line.contains(word) {
                    wrong.push(format!("src/{name}:{number}: `{word}` in the pure core: {}", line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_module_says_what_it_is_for() {
    for (name, text) in sources() {
        assert!(text.starts_with("//! "), "src/{name} does not open with what it is for");
    }
}
