//! `hopgate landing`: how a permitted click is sent on, for every host app, system and marketplace, or those asked for. The
//! same functions as a live click's.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::args::click::Landing;
use super::{CliError, settings};
use crate::config::landing;
use crate::control::decision::{Aim, LandingView};
use crate::control::sent::{Roads, device, sent};
use crate::domain::device::Os;
use crate::domain::landing::matrix::{Host, Matrix};
use crate::domain::vocabulary::{LandingMode, ShopType, Vocabulary};

/// Runs the command.
pub fn run(asked: Landing) -> Result<(), CliError> {
    let settings = settings(&asked.config)?;
    let words = &settings.words;
    let matrix = landing::load(&settings.landing, words).map_err(CliError::Config)?;
    let mode = named("--mode", &asked.mode, LandingMode::parse, &LandingMode::names())?;
    let hosts: Vec<Host> = match asked.app.as_deref() {
        Some(name) => vec![named("--app", name, Host::parse, &Host::names())?],
        None => Host::all().collect(),
    };
    let systems = match asked.os.as_deref() {
        Some(name) => vec![named("--os", name, Os::parse, &Os::names())?],
        None => Os::ALL.to_vec(),
    };
    let asked_of = Asked { mode, hosts, systems };
    match &asked.url {
        Some(url) => of_url(url, &asked_of, Roads { matrix: &matrix, proxy: &settings.proxy, words }, asked.json),
        None => {
            let all: Vec<&str> = words.marketplaces().collect();
            let marketplaces = match asked.marketplace.as_deref() {
                Some(name) => {
                    vec![named("--marketplace", name, |text| all.iter().copied().find(|known| *known == text), &all)?]
                }
                None => all,
            };
            table(&marketplaces, &asked_of, &matrix, words, asked.json)
        }
    }
}

struct Asked {
    mode: LandingMode,
    hosts: Vec<Host>,
    systems: Vec<Os>,
}

impl Asked {
    fn visitors(&self) -> impl Iterator<Item = (Host, Os)> + '_ {
        // There is no other system such a browser runs on.
        let is = |host: &Host, os: Os| *host != Host::CHROMIUM || os == Os::Android;
        self.hosts.iter().flat_map(move |host| {
            self.systems.iter().copied().filter(move |os| is(host, *os)).map(move |os| (*host, os))
        })
    }
}

fn named<T>(flag: &str, text: &str, parse: impl Fn(&str) -> Option<T>, known: &[&str]) -> Result<T, CliError> {
    parse(text).ok_or_else(|| CliError::Usage(format!("{flag}: `{text}` is none; use one of {}", known.join(", "))))
}

/// The ways to one landing, with their addresses. Visitors who get the same share a line.
fn of_url(url: &str, asked: &Asked, roads: Roads<'_>, as_json: bool) -> Result<(), CliError> {
    let words = roads.words;
    let landing = words.markets().recognise_text(url).map_err(|fault| CliError::Usage(format!("--url: {fault}")))?;
    let kind = landing.link_kind;
    let landing = LandingView::new(&Aim::from(landing), ShopType::Unknown, kind, words);
    let mut rows = Vec::new();
    let mut lines: BTreeMap<(u16, String, String), Vec<String>> = BTreeMap::new();
    for (host, os) in asked.visitors() {
        let Some(device) = device(Some(host), Some(os)) else { continue };
        let Some(found) = sent(asked.mode, &landing, "", device, roads) else { continue };
        if as_json {
            rows.push(json!({"app": host, "os": os, "marketplace": landing.marketplace, "sent": found}));
        } else {
            let same = lines.entry((found.status, found.way.to_string(), found.address)).or_default();
            same.push(format!("{host}/{os}", host = host.as_str()));
        }
    }
    if as_json {
        say!("{}", Value::from(rows));
        return Ok(());
    }
    say!("{} {} {}", landing.marketplace, kind, landing.url.as_deref().unwrap_or_default());
    for ((status, way, address), visitors) in lines {
        say!("\n{status} {way}  {address}");
        say!("    {}", visitors.join(" "));
    }
    Ok(())
}

/// The ways by marketplace, a line for each sort of visitor.
fn table(
    marketplaces: &[&str],
    asked: &Asked,
    matrix: &Matrix,
    words: &Vocabulary,
    as_json: bool,
) -> Result<(), CliError> {
    let mut rows = Vec::new();
    if !as_json {
        let heads: String = marketplaces.iter().map(|name| format!(" {name:<15}")).collect();
        say!("{}", format!("{:<12} {:<8}{heads}", "app", "os").trim_end());
    }
    for (host, os) in asked.visitors() {
        let ways = marketplaces.iter().filter_map(|name| Some((name, words.marketplace(name)?)));
        let ways = ways.map(|(name, id)| (name, matrix.way(asked.mode, host, os, id)));
        if as_json {
            rows.extend(ways.map(|(name, way)| json!({"app": host, "os": os, "marketplace": name, "way": way})));
        } else {
            let cells: String = ways.map(|(_, way)| format!(" {:<15}", way.as_str())).collect();
            say!("{}", format!("{:<12} {:<8}{cells}", host.as_str(), os.as_str()).trim_end());
        }
    }
    if as_json {
        say!("{}", Value::from(rows));
    }
    Ok(())
}
