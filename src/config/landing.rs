//! The landing matrix as people write it: TOML to rules, every fault of a run at once. Never decides a way.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::tree::{Fault, Faults, Field, Table, from_toml};
use crate::domain::device::Os;
use crate::domain::landing::Way;
use crate::domain::landing::matrix::{Host, Matrix, Rule, WAYS};
use crate::domain::vocabulary::{LandingMode, MarketplaceId, Vocabulary};

/// The matrix that comes with the product.
pub const SHIPPED: &str = include_str!("../../config/landing.toml");

/// Where the matrix stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MatrixFile {
    /// The file.
    pub path: PathBuf,
    /// Whether the settings name it: then it must be there. Otherwise the shipped one counts where there is none.
    pub named: bool,
}

/// Reads the matrix from its file, or the shipped one.
///
/// # Errors
/// Every fault of it.
pub fn load(file: &MatrixFile, words: &Vocabulary) -> Result<Matrix, Vec<Fault>> {
    let name = file.path.display().to_string();
    match fs::read_to_string(&file.path) {
        Ok(text) => read(&name, &text, words),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !file.named => shipped(words),
        Err(error) => {
            let faults = Faults::default();
            faults.add(&name, 1, "", format!("cannot be read: {error}"));
            Err(faults.into_sorted())
        }
    }
}

/// The shipped matrix.
///
/// # Errors
/// Every fault of it: a vocabulary may lack a marketplace it names.
pub fn shipped(words: &Vocabulary) -> Result<Matrix, Vec<Fault>> {
    read("landing.toml (built in)", SHIPPED, words)
}

/// Reads a matrix.
///
/// # Errors
/// Every fault of it.
pub fn read(file: &str, text: &str, words: &Vocabulary) -> Result<Matrix, Vec<Fault>> {
    let faults = Faults::default();
    let mut rules = Vec::new();
    let mut places = Vec::new();
    if let Some(node) = from_toml(file, text, &faults)
        && let Some(root) = Table::root(file, &node, &faults)
    {
        for entry in root.get("rules").and_then(|field| field.list()).unwrap_or_default() {
            let Some(table) = entry.table() else { continue };
            if let Some(rule) = rule(&table, words) {
                rules.push(rule);
                places.push((table.line(), entry));
            }
            table.finish();
        }
        root.finish();
        // What could not be read would only look like more faults.
        if faults.count() == 0 {
            let app = |id: MarketplaceId| words.markets().of(id).map(|market| &market.app);
            match Matrix::compile(&rules, words.marketplaces().len(), app) {
                Ok(matrix) => return Ok(matrix),
                Err(wrong) => {
                    for (number, fault) in wrong {
                        if let Some((_, entry)) = places.get(number) {
                            entry.fault(fault.to_string());
                        }
                    }
                }
            }
        }
    }
    Err(faults.into_sorted())
}

fn rule(table: &Table<'_>, words: &Vocabulary) -> Option<Rule> {
    let marketplaces: Vec<&str> = words.marketplaces().collect();
    let names: Vec<&str> = WAYS.iter().map(|way| way.as_str()).collect();
    let way = |text: &str| Way::parse(text).filter(|way| WAYS.contains(way));
    let way = table.require("way").and_then(|field| field.one_of(way, &names));
    let modes = list(table, "modes", LandingMode::parse, &LandingMode::names());
    let hosts = list(table, "apps", Host::parse, &Host::names());
    let systems = list(table, "os", Os::parse, &Os::names());
    let marketplaces = list(table, "marketplaces", |name| words.marketplace(name), &marketplaces);
    Some(Rule { modes: modes?, hosts: hosts?, systems: systems?, marketplaces: marketplaces?, way: way? })
}

/// A list of names; empty when left out. An empty list that is written is a fault: it would mean any, and look like none.
fn list<T>(table: &Table<'_>, key: &'static str, parse: impl Fn(&str) -> Option<T>, known: &[&str]) -> Option<Vec<T>> {
    let Some(field) = table.get(key) else { return Some(Vec::new()) };
    let items = field.list()?;
    if items.is_empty() {
        field.fault("is empty: leave it out for any, or drop the rule");
        return None;
    }
    let all = items.len();
    let read: Vec<T> = items.iter().filter_map(|item: &Field<'_>| item.one_of(&parse, known)).collect();
    (read.len() == all).then_some(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        let faults = read("landing.toml", text, &Vocabulary::default()).unwrap_err();
        faults.iter().map(Fault::to_string).collect()
    }

    #[test]
    fn the_shipped_matrix_is_what_the_contract_says() {
        let words = Vocabulary::default();
        let matrix = shipped(&words).unwrap();
        let way =
            |mode, app, os, name| matrix.way(mode, Host::parse(app).unwrap(), os, words.marketplace(name).unwrap());
        use LandingMode::{App, Content, InApp, MiniProgram, Proxy, Web};
        for (mode, app, os, marketplace, expected) in [
            (App, "browser", Os::Ios, "taobao", Way::UniversalLink),
            (App, "browser", Os::Ios, "jd", Way::Scheme),
            (App, "chromium", Os::Android, "tmall", Way::Intent),
            (App, "chromium", Os::Android, "jd", Way::Intent),
            (App, "browser", Os::Android, "taobao", Way::Scheme),
            (App, "browser", Os::Harmony, "jd", Way::Scheme),
            (App, "wechat", Os::Ios, "taobao", Way::BrowserPrompt),
            (App, "wechat", Os::Ios, "jd", Way::Redirect),
            (App, "qq", Os::Android, "tmall", Way::BrowserPrompt),
            (App, "weibo", Os::Android, "taobao", Way::Redirect),
            (App, "kuaishou", Os::Ios, "jd", Way::Redirect),
            (App, "browser", Os::Desktop, "jd", Way::Redirect),
            (App, "wechat", Os::Desktop, "taobao", Way::Redirect),
            (App, "unknown", Os::Unknown, "jd", Way::Redirect),
            (Web, "browser", Os::Ios, "taobao", Way::Redirect),
            (InApp, "kuaishou", Os::Ios, "jd", Way::InApp),
            (MiniProgram, "kuaishou", Os::Ios, "jd", Way::MiniProgram),
            (MiniProgram, "kuaishou", Os::Ios, "taobao", Way::Redirect),
            (MiniProgram, "browser", Os::Desktop, "jd", Way::Redirect),
            (Content, "taobao", Os::Ios, "xiaohongshu", Way::Content),
            (Proxy, "kuaishou", Os::Ios, "jd", Way::Proxy),
        ] {
            assert_eq!(way(mode, app, os, marketplace), expected, "{mode} {app} {os} {marketplace}");
        }
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let faults = told(
            "[[rules]]\nmodes = [\"ap\"]\napps = [\"safari\"]\nway = \"scheme\"\n\
             [[rules]]\nos = []\nway = \"card\"\nmarketplace = [\"jd\"]\n[[rules]]\nmarketplaces = [\"jdd\"]\n[rule]\n",
        );
        let all = faults.join("\n");
        assert_eq!(faults.len(), 8, "{all}");
        for part in [
            "landing.toml:2: rules[0].modes[0]: `ap`",
            "3: rules[0].apps[0]: `safari`",
            "6: rules[1].os: is empty",
            "7: rules[1].way: `card`",
            "did you mean `marketplaces`?",
            "rules[2].way: is missing",
            "10: rules[2].marketplaces[0]: `jdd`",
            "did you mean `rules`?",
        ] {
            assert!(all.contains(part), "{part} not in\n{all}");
        }
        let faults = told(
            "[[rules]]\nway = \"scheme\"\n[[rules]]\nmodes = [\"app\"]\nway = \"in_app\"\n[[rules]]\nmodes = [\"web\"]\n\
             way = \"redirect\"\n[[rules]]\nway = \"proxy\"\n",
        );
        let all = faults.join("\n");
        assert_eq!(faults.len(), 3, "{all}");
        for part in ["3: rules[1]: never decides", "6: rules[2]: names the mode `web`", "9: rules[3]: gives `proxy`"] {
            assert!(all.contains(part), "{part} not in\n{all}");
        }
        assert!(read("landing.toml", "", &Vocabulary::default()).is_ok(), "nothing but redirects");
    }
}
