//! What is known of visitors' headers, ad parameters and networks, as files that operators can replace or add to. What
//! comes with the product is built in. Reads and checks; what a token means is for the domain.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::tree::{Fault, Faults, Field, Table, from_toml};
use crate::domain::device::{
    AppRule, Contradiction, Detector, DeviceTable, HostApp, Os, SystemRule, Tokens, check_token,
};
use crate::domain::macros::{MacroField, MacroRule, MacroTable, TimeUnit};
use crate::domain::networks::Networks;
use crate::domain::vocabulary::Vocabulary;

/// A file of `config/devices` by its name.
macro_rules! shipped {
    ($name:literal) => {
        ($name, include_str!(concat!("../../config/devices/", $name)))
    };
}

/// Every file of tables that comes with the product.
pub const SHIPPED: [(&str, &str); 5] = [
    shipped!("apps.toml"),
    shipped!("systems.toml"),
    shipped!("traffic.toml"),
    shipped!("contradictions.toml"),
    shipped!("macros.toml"),
];

/// The name of the list of networks.
const NETWORKS: &str = "datacenters.txt";
const SHIPPED_NETWORKS: &str = include_str!("../../config/devices/datacenters.txt");

/// Where the operator's own files are.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct DeviceSettings {
    /// Files of a shipped name replace that file, others are added behind it.
    pub dir: Option<PathBuf>,
    /// Networks of data centres, one a line, instead of the shipped list.
    pub datacenters: Option<PathBuf>,
}

/// Everything the files say.
#[derive(Debug)]
pub struct Devices {
    /// What User-Agents and packages say.
    pub detector: Detector,
    /// What ad platforms' parameters say.
    pub macros: MacroTable,
    /// Networks of data centres.
    pub datacenters: Networks,
}

/// Reads `[devices]`.
pub(super) fn settings(table: &Table<'_>, base: &Path) -> DeviceSettings {
    let path = |key: &'static str| table.get(key).and_then(|field| field.text()).map(|text| base.join(text));
    DeviceSettings { dir: path("dir"), datacenters: path("datacenters") }
}

/// Reads every file.
///
/// # Errors
/// Every fault of every file.
pub fn load(settings: &DeviceSettings, words: &Vocabulary) -> Result<Devices, Vec<Fault>> {
    let faults = Faults::default();
    let mut files: Vec<(String, String)> =
        SHIPPED.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let mut networks = (NETWORKS.to_owned(), SHIPPED_NETWORKS.to_owned());
    if let Some(dir) = &settings.dir {
        for path in listed(dir, &faults) {
            let shown = path.display().to_string();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let Some(text) = read(&path, &faults) else { continue };
            if name == NETWORKS {
                networks = (shown, text);
            } else if let Some(shipped) = files.iter_mut().find(|(known, _)| *known == name) {
                *shipped = (shown, text);
            } else {
                files.push((shown, text));
            }
        }
    }
    if let Some(path) = &settings.datacenters
        && let Some(text) = read(path, &faults)
    {
        networks = (path.display().to_string(), text);
    }

    let mut all = Read::default();
    for (name, text) in &files {
        if let Some(node) = from_toml(name, text, &faults)
            && let Some(root) = Table::root(name, &node, &faults)
        {
            all.file(&root, words);
            root.finish();
        }
    }
    let datacenters = networks_of(&networks.0, &networks.1, &faults);
    let detector = match Detector::new(&all.table) {
        Ok(detector) => Some(detector),
        Err(error) => {
            let place = settings.dir.as_ref().map_or_else(|| "devices".to_owned(), |dir| dir.display().to_string());
            faults.add(&place, 0, "", error.to_string());
            None
        }
    };
    let faults = faults.into_sorted();
    match detector {
        Some(detector) if faults.is_empty() => {
            Ok(Devices { detector, macros: MacroTable::new(all.macros, all.personal), datacenters })
        }
        _ => Err(faults),
    }
}

/// The files of a folder that are read, by name.
fn listed(dir: &Path, faults: &Faults) -> Vec<PathBuf> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => {
            faults.add(&dir.display().to_string(), 0, "", format!("cannot be read: {error}"));
            return Vec::new();
        }
    };
    let wanted = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "toml")
            || path.file_name().is_some_and(|name| name == NETWORKS)
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(wanted).collect();
    paths.sort();
    paths
}

fn read(path: &Path, faults: &Faults) -> Option<String> {
    match fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) => {
            faults.add(&path.display().to_string(), 1, "", format!("cannot be read: {error}"));
            None
        }
    }
}

/// A list of networks or addresses, one a line; what stands after `#` is a remark.
fn networks_of(file: &str, text: &str, faults: &Faults) -> Networks {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let network = line.parse::<IpNet>().or_else(|_| line.parse::<IpAddr>().map(IpNet::from));
        match network {
            Ok(IpNet::V4(network)) => v4.push((network.network().to_bits(), network.broadcast().to_bits())),
            Ok(IpNet::V6(network)) => v6.push((network.network().to_bits(), network.broadcast().to_bits())),
            Err(_) => {
                let shown: String = line.chars().take(60).collect();
                let problem = format!("`{shown}` is not a network: write one a line, 10.0.0.0/8 or 2001:db8::/32");
                faults.add(file, number + 1, "", problem);
            }
        }
    }
    Networks::new(v4, v6)
}

#[derive(Default)]
struct Read {
    table: DeviceTable,
    macros: Vec<MacroRule>,
    personal: Vec<String>,
}

impl Read {
    fn file(&mut self, root: &Table<'_>, words: &Vocabulary) {
        for table in tables(root, "apps") {
            let app = table.require("app").and_then(|field| field.one_of(HostApp::parse, &HostApp::names()));
            let tokens = tokens(&table);
            let packages = texts(&table, "packages", package);
            if let Some(app) = app {
                self.table.apps.push(AppRule { app, tokens, packages });
            }
            finish(table);
        }
        for table in tables(root, "systems") {
            let os = table.require("os").and_then(|field| field.one_of(Os::parse, &Os::names()));
            let tokens = tokens(&table);
            if let Some(os) = os {
                self.table.systems.push(SystemRule { os, tokens });
            }
            finish(table);
        }
        let device = &mut self.table;
        for (key, list) in [
            ("browsers", &mut device.browsers),
            ("intents", &mut device.intents),
            ("mini_programs", &mut device.mini_programs),
            ("bots", &mut device.bots),
            ("previews", &mut device.previews),
        ] {
            let Some(table) = root.get(key).and_then(|field| field.table()) else { continue };
            let more = tokens(&table);
            list.any.extend(more.any);
            list.unless.extend(more.unless);
            finish(table);
        }
        for table in tables(root, "contradictions") {
            let name = table.require("name").and_then(|field| field.text());
            let rule = Contradiction {
                name: name.unwrap_or_default().to_owned(),
                tokens: tokens(&table),
                with: texts(&table, "with", check_token),
                systems: names(&table, "systems", Os::parse, &Os::names()),
                apps: names(&table, "apps", HostApp::parse, &HostApp::names()),
                package: table.get("package").and_then(|field| field.boolean()).unwrap_or(false),
            };
            let asks = [rule.tokens.any.len(), rule.with.len(), rule.systems.len(), rule.apps.len()];
            if asks.iter().filter(|count| **count > 0).count() + usize::from(rule.package) < 2 {
                table.fault("", "says one thing only, which cannot contradict itself: state two of tokens, with, systems, apps, package");
            } else {
                self.table.contradictions.push(rule);
            }
            finish(table);
        }
        if let Some(table) = root.get("exclusive").and_then(|field| field.table()) {
            self.table.exclusive.extend(names(&table, "apps", HostApp::parse, &HostApp::names()));
            finish(table);
        }
        for table in tables(root, "macros") {
            self.macros(&table, words);
            finish(table);
        }
        if let Some(table) = root.get("personal").and_then(|field| field.table()) {
            self.personal.extend(texts(&table, "names", parameter));
            finish(table);
        }
    }

    fn macros(&mut self, table: &Table<'_>, words: &Vocabulary) {
        let known: Vec<&str> = words.platforms().chain(["any"]).collect();
        let of = |name: &str| if name == "any" { Some(None) } else { words.platform(name).map(Some) };
        let platform = table.require("platform").and_then(|field| field.one_of(of, &known));
        let unit = table.get("ts").and_then(|field| field.one_of(TimeUnit::parse, &TimeUnit::names()));
        let mut systems = Vec::new();
        if let Some(os) = table.get("os").and_then(|field| field.table()) {
            for name in ["android", "ios", "other"] {
                systems.extend(texts(&os, name, plain).into_iter().map(|value| (value, name)));
            }
            os.finish();
        }
        let mut all: Vec<(String, MacroField)> = Vec::new();
        if let Some(fields) = table.require("fields").and_then(|field| field.table()) {
            for field in MacroField::ALL {
                for name in texts(&fields, field.as_str(), parameter) {
                    if all.iter().any(|(known, _)| *known == name) {
                        fields
                            .fault(field.as_str(), format!("`{name}` stands for something else already: keep it once"));
                    }
                    all.push((name, *field));
                }
            }
            fields.finish();
        }
        if let Some(platform) = platform {
            self.macros.push(MacroRule { platform, names: all, systems, unit: unit.unwrap_or(TimeUnit::Millis) });
        }
    }
}

/// Where a fact was found is for people.
fn finish(table: Table<'_>) {
    table.get("source");
    table.finish();
}

fn tables<'n>(root: &Table<'n>, key: &'static str) -> Vec<Table<'n>> {
    let entries = root.get(key).and_then(|field| field.list()).unwrap_or_default();
    entries.iter().filter_map(Field::table).collect()
}

fn tokens(table: &Table<'_>) -> Tokens {
    Tokens { any: texts(table, "tokens", check_token), unless: texts(table, "unless", check_token) }
}

fn texts(table: &Table<'_>, key: &'static str, check: fn(&str) -> Result<String, String>) -> Vec<String> {
    let fields = table.get(key).and_then(|field| field.list()).unwrap_or_default();
    fields.iter().filter_map(|field| field.parse(check)).collect()
}

fn names<T>(table: &Table<'_>, key: &'static str, parse: fn(&str) -> Option<T>, known: &[&str]) -> Vec<T> {
    let fields = table.get(key).and_then(|field| field.list()).unwrap_or_default();
    fields.iter().filter_map(|field| field.one_of(parse, known)).collect()
}

fn package(text: &str) -> Result<String, String> {
    let fits = text.len() <= 128
        && text.contains('.')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_'));
    if fits { Ok(text.to_owned()) } else { Err(format!("`{text}` is not an Android package: write com.example.app")) }
}

fn parameter(text: &str) -> Result<String, String> {
    let fits = text.len() <= 64
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-'));
    if fits { Ok(text.to_owned()) } else { Err(format!("`{text}` is not a parameter's name: use a-z 0-9 _ -")) }
}

fn plain(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::marketplaces::shipped;

    #[test]
    fn what_is_shipped_is_whole() {
        let devices = load(&DeviceSettings::default(), shipped()).unwrap();
        assert!(devices.datacenters.len() > 50, "{}", devices.datacenters.len());
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/devices");
        let mut found: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        found.sort();
        let mut shipped: Vec<&str> = SHIPPED.map(|(name, _)| name).into_iter().chain([NETWORKS]).collect();
        shipped.sort_unstable();
        assert_eq!(found, shipped);
    }

    #[test]
    fn an_operators_files_replace_and_add() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(
            path("mine.toml"),
            "[[apps]]\napp = \"zhihu\"\ntokens = [\"houseapp/\"]\npackages = [\"org.house\"]\n",
        )
        .unwrap();
        fs::write(path("traffic.toml"), "[bots]\ntokens = [\"housebot\"]\n[browsers]\ntokens = [\"^mozilla/\"]\n")
            .unwrap();
        fs::write(path("datacenters.txt"), "# mine\n198.51.100.0/24 # lab\n2001:db8::/32\n203.0.113.9\n").unwrap();
        fs::write(path("README.md"), "not read").unwrap();
        let settings = DeviceSettings { dir: Some(folder.path().to_owned()), datacenters: None };
        let devices = load(&settings, shipped()).unwrap();
        assert_eq!(devices.detector.detect(b"Mozilla/5.0 HouseApp/2").app, HostApp::Zhihu);
        assert!(devices.detector.detect(b"HouseBot").bot && !devices.detector.detect(b"curl/8.4.0").bot);
        assert_eq!(devices.detector.detect(b"Mozilla/5.0 MicroMessenger/8").app, HostApp::WeChat, "apps.toml is left");
        assert_eq!(devices.datacenters.len(), 3);
        assert!(devices.datacenters.contains_v4(0xC633_64FF) && !devices.datacenters.contains_v4(0xC633_6500));
    }

    #[test]
    fn every_fault_of_every_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(
            path("a.toml"),
            "[[apps]]\napp = \"wechta\"\ntokens = [\"MicroMessenger\", \"x\"]\n[[contradictions]]\nname = \"n\"\n\
             systems = [\"desktop\"]\n[[macros]]\nplatform = \"nowhere\"\n[macros.fields]\nacount = [\"a\"]\n",
        )
        .unwrap();
        fs::write(path("datacenters.txt"), "10.0.0.0/8\n10.0.0.0/99\n").unwrap();
        let settings = DeviceSettings { dir: Some(folder.path().to_owned()), datacenters: None };
        let faults = load(&settings, shipped()).unwrap_err();
        let all = faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n");
        for part in [
            "a.toml:2: apps[0].app: `wechta` is not known: did you mean `wechat`?",
            "a.toml:3: apps[0].tokens[0]: `MicroMessenger` holds capitals",
            "tokens[1]: `x` has 1 characters",
            "says one thing only",
            "`nowhere` is not known",
            "acount: unknown key; did you mean `account`?",
            "datacenters.txt:2: `10.0.0.0/99` is not a network",
        ] {
            assert!(all.contains(part), "{part} not in\n{all}");
        }
        assert_eq!(faults.len(), 7, "{all}");
        let gone = DeviceSettings { dir: Some(path("gone")), datacenters: Some(path("none.txt")) };
        assert_eq!(load(&gone, shipped()).unwrap_err().len(), 2);
    }
}
