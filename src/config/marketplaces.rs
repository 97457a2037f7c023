//! Marketplaces as files: one TOML file each, those that come with the product built in, an operator's folder beside
//! them. Reads files and places faults at their lines; what a table may say is checked in the domain, which also knows
//! what to do with it. Never read on the click path.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use super::tree::{Faults, Field, Node, Table, Value, from_toml};
use crate::domain::marketplace::TableFault;
use crate::domain::marketplace::app::{App, Carrier, InApp, MiniProgram};
use crate::domain::marketplace::table::{Form, Id, Marketplace, Named, Names, Shape, ShortLinks, Tag};
use crate::domain::span::Span;
use crate::domain::vocabulary::{LinkKind, ShopType, Vocabulary};

/// A file that is built in, by its name.
macro_rules! built_in {
    ($name:literal) => {
        ($name, include_str!(concat!("../../config/marketplaces/", $name)))
    };
}

/// Every file of `config/marketplaces`: its name and its text.
pub const SHIPPED: [(&str, &str); 13] = [
    built_in!("douyin.toml"),
    built_in!("jd.toml"),
    built_in!("kuaishou.toml"),
    built_in!("meituan.toml"),
    built_in!("mokuai.toml"),
    built_in!("pinduoduo.toml"),
    built_in!("suning.toml"),
    built_in!("taobao.toml"),
    built_in!("tmall.toml"),
    built_in!("vipshop.toml"),
    built_in!("weimob.toml"),
    built_in!("xiaohongshu.toml"),
    built_in!("youzan.toml"),
];

/// A file that is larger is none of ours.
const MOST_BYTES: u64 = 1 << 20;

/// The names and marketplaces that come with the product.
pub fn shipped() -> &'static Vocabulary {
    static WORDS: LazyLock<Vocabulary> = LazyLock::new(|| {
        let faults = Faults::default();
        let mut words = Vocabulary::names_alone();
        furnish(&mut words, built_in_files(&faults), &faults);
        let found = faults.into_sorted();
        // They are part of the program; a test reads them, so this is never met by a program that passed it.
        assert!(found.is_empty(), "marketplaces that are built in have faults: {found:?}");
        words
    });
    &WORDS
}

impl Default for Vocabulary {
    /// The names and marketplaces that come with the product.
    fn default() -> Self {
        shipped().clone()
    }
}

/// Adds the marketplaces of a folder to those built in; a file with the id of one that is built in replaces it. With a
/// fault, which is added, everything stays as it was, but for the names.
pub fn extend(words: &mut Vocabulary, folder: &Path, faults: &Faults) {
    let added = read_folder(folder, faults);
    let mut files = built_in_files(faults);
    files.retain(|file| !added.iter().any(|own| own.table.id == file.table.id));
    // The operator's come last: where two claim the same, theirs is the line to change.
    files.extend(added);
    furnish(words, files, faults);
}

/// One file, read.
struct File {
    name: String,
    node: Node,
    table: Marketplace,
    /// For each shape, URLs that fit it, and URLs that do not.
    examples: Vec<(Vec<String>, Vec<String>)>,
}

impl File {
    /// Adds a fault of a field of this file, at its line.
    fn fault(&self, field: &str, problem: &str, faults: &Faults) {
        faults.add(&self.name, line_of(&self.node, field), field, problem);
    }
}

fn built_in_files(faults: &Faults) -> Vec<File> {
    SHIPPED.iter().filter_map(|(name, text)| read(name, text, faults)).collect()
}

fn read_folder(folder: &Path, faults: &Faults) -> Vec<File> {
    let shown = folder.display().to_string();
    let mut paths: Vec<PathBuf> = match fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
        Ok(entries) => entries.into_iter().map(|entry| entry.path()).collect(),
        Err(error) => {
            faults.add(&shown, 0, "", format!("cannot be read: {error}"));
            return Vec::new();
        }
    };
    let is_ours = |path: &PathBuf| {
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        !hidden && path.extension().is_some_and(|extension| extension == "toml")
    };
    paths.retain(is_ours);
    paths.sort();
    paths.iter().filter_map(|path| read_file(path, faults)).collect()
}

fn read_file(path: &Path, faults: &Faults) -> Option<File> {
    let name = path.display().to_string();
    let problem = match fs::metadata(path) {
        // Before anything is read: a pipe would be waited for without end, and a device may have no end.
        Ok(about) if !about.is_file() => "is no regular file: put a file here, or a link to one".to_owned(),
        Ok(about) if about.len() > MOST_BYTES => format!("has {} bytes: at most {MOST_BYTES}", about.len()),
        // What cannot even be looked at cannot be read either.
        _ => match fs::read_to_string(path) {
            Ok(text) => return read(&name, &text, faults),
            Err(error) => format!("cannot be read: {error}"),
        },
    };
    faults.add(&name, 1, "", problem);
    None
}

/// Gives the tables to a vocabulary, then tries the files' own examples. Any fault leaves the tables of before.
fn furnish(words: &mut Vocabulary, files: Vec<File>, faults: &Faults) {
    let before = faults.count();
    let mut tried = words.clone();
    match tried.furnish(files.iter().map(|file| file.table.clone()).collect()) {
        Ok(()) => {
            files.iter().for_each(|file| examples(file, &tried, faults));
            if faults.count() == before {
                *words = tried;
                return;
            }
        }
        Err(found) => {
            for TableFault { table, field, problem } in found {
                files[table].fault(&field, &problem, faults);
            }
        }
    }
    for file in &files {
        // A name that is none has been named above.
        words.add_marketplace(&file.table.id).ok();
    }
}

/// Every example must fit its own shape, and no counter-example may.
fn examples(file: &File, words: &Vocabulary, faults: &Faults) {
    let own = words.marketplace(&file.table.id);
    for (n, (fits, misfits)) in file.examples.iter().enumerate() {
        for (m, url) in fits.iter().enumerate().filter(|(_, url)| !url.is_empty()) {
            let problem = match words.markets().shape_of(url) {
                Err(fault) => format!("`{url}` is refused: {fault}"),
                Ok((id, _)) if Some(id) != own => {
                    format!("`{url}` is on a host of `{}`", words.marketplace_name(id))
                }
                Ok((_, Some(place))) if place == n => continue,
                Ok((_, Some(place))) => format!("`{url}` fits shapes[{place}] first: put this shape before it"),
                Ok((_, None)) => format!("`{url}` does not fit this shape: change one of the two"),
            };
            file.fault(&format!("shapes[{n}].examples[{m}]"), &problem, faults);
        }
        for (m, url) in misfits.iter().enumerate() {
            if words.markets().shape_of(url).is_ok_and(|(id, place)| Some(id) == own && place == Some(n)) {
                let problem = format!("`{url}` fits this shape and must not: change one of the two");
                file.fault(&format!("shapes[{n}].counter_examples[{m}]"), &problem, faults);
            }
        }
    }
}

/// Reads one file. What cannot be read of it has been complained of, and stands as an empty text.
fn read(name: &str, text: &str, faults: &Faults) -> Option<File> {
    let node = from_toml(name, text, faults)?;
    let root = Table::root(name, &node, faults)?;
    let id: Box<str> = required(&root, "id");
    let names = root.require("names").and_then(|field| field.table());
    let names = names.map(|table| {
        let names = Names { zh: required(&table, "zh").into(), en: required(&table, "en").into() };
        table.finish();
        names
    });
    let item_tags = root.get("item_tags").map(|field| tags(&field)).unwrap_or_default();
    let mut examples = Vec::new();
    let mut shapes = Vec::new();
    for field in list(&root, "shapes") {
        let Some(table) = field.table() else { continue };
        shapes.push(shape(&table, &item_tags));
        examples.push((texts(&table, "examples"), texts(&table, "counter_examples")));
        table.finish();
    }
    let hint = root.get("shop_hint").and_then(|field| field.one_of(ShopType::parse, &ShopType::names()));
    let table = Marketplace {
        family: root.get("family").and_then(|field| field.text()).map_or_else(|| id.clone(), Box::from),
        id,
        names: names.unwrap_or_else(|| Names { zh: "".into(), en: "".into() }),
        domains: texts(&root, "domains"),
        shop_hint: hint.unwrap_or(ShopType::Unknown),
        services: texts(&root, "services"),
        items_per_shop: root.get("items_per_shop").and_then(|field| field.boolean()).unwrap_or(false),
        shapes,
        variant: texts(&root, "variant"),
        noise: texts(&root, "noise"),
        home: optional(&root, "home"),
        short_links: list(&root, "short_links").iter().filter_map(short_links).collect(),
        forwards: texts(&root, "forwards"),
        app: root.get("app").and_then(|field| field.table()).map(|table| app(table)).unwrap_or_default(),
    };
    root.finish();
    Some(File { name: name.to_owned(), node: node.clone(), table, examples })
}

fn required(table: &Table<'_>, key: &'static str) -> Box<str> {
    table.require(key).and_then(|field| field.text()).unwrap_or_default().into()
}

fn optional(table: &Table<'_>, key: &'static str) -> Option<Box<str>> {
    table.get(key).and_then(|field| field.text()).map(Box::from)
}

fn list<'n>(table: &Table<'n>, key: &'static str) -> Vec<Field<'n>> {
    table.get(key).and_then(|field| field.list()).unwrap_or_default()
}

/// A list of texts; one that is none keeps its place as an empty text.
fn texts<T: for<'t> From<&'t str>>(table: &Table<'_>, key: &'static str) -> Vec<T> {
    list(table, key).iter().map(|field| field.text().unwrap_or_default().into()).collect()
}

fn short_links(field: &Field<'_>) -> Option<ShortLinks> {
    let table = field.table()?;
    let (host, path) = (required(&table, "host"), required(&table, "path"));
    let lives = table.get("lives").and_then(|field| field.parse(|text| text.parse::<Span>()));
    table.finish();
    Some(ShortLinks { host, path, lives })
}

fn tags(field: &Field<'_>) -> Vec<Tag> {
    let fields = field.list().unwrap_or_default();
    fields.iter().map(|field| Tag::read(field.text().unwrap_or_default())).collect()
}

fn shape(table: &Table<'_>, item_tags: &[Tag]) -> Shape {
    let kind = table.require("kind").and_then(|field| field.one_of(LinkKind::parse, &LinkKind::names()));
    let kind = kind.unwrap_or(LinkKind::Unknown);
    for key in ["hosts", "paths"] {
        if table.require(key).and_then(|field| field.list()).is_some_and(|list| list.is_empty()) {
            table.fault(key, "is empty, so no URL ever fits: write at least one pattern");
        }
    }
    let tags = table.get("tags").map(|field| tags(&field));
    Shape {
        kind,
        hosts: texts(table, "hosts"),
        paths: paths(table),
        query: texts(table, "query"),
        id: table.get("id").map_or(Id::NONE, |field| field.table().map_or(Id::UNREAD, id)),
        tags: tags.unwrap_or_else(|| if kind == LinkKind::Item { item_tags.to_vec() } else { Vec::new() }),
    }
}

/// Paths may be empty: a URL without one.
fn paths(table: &Table<'_>) -> Vec<Box<str>> {
    let path = |field: &Field<'_>| field.text_or_empty().unwrap_or_default().into();
    list(table, "paths").iter().map(path).collect()
}

fn id(table: Table<'_>) -> Id {
    let names = table.get("names").and_then(|field| field.one_of(Named::parse, &Named::names()));
    let form = table.require("form").and_then(|field| field.one_of(Form::parse, &Form::names()));
    let bound = |key: &'static str| {
        let field = if form.is_some_and(|form| matches!(form, Form::Number | Form::Code | Form::Label)) {
            table.require(key)
        } else {
            table.get(key)
        };
        field.and_then(|field| field.integer(1..=64)).and_then(|bound| u8::try_from(bound).ok())
    };
    let (min, max) = (bound("min"), bound("max"));
    table.finish();
    let Some(form) = form else { return Id::UNREAD };
    Id { names: names.unwrap_or(Named::Nothing), form, min: min.unwrap_or(1), max: max.unwrap_or(64) }
}

fn app(table: Table<'_>) -> App {
    let section = |key: &'static str| table.get(key).and_then(|field| field.table());
    let carrier = |key: &'static str| {
        let table = section(key)?;
        let carrier = Carrier { prefix: required(&table, "prefix"), value: required(&table, "value") };
        table.finish();
        Some(carrier)
    };
    let mini_program = section("mini_program").map(|table| {
        let (app_id, path) = (required(&table, "app_id"), required(&table, "path"));
        let user_name = optional(&table, "user_name");
        table.finish();
        MiniProgram { app_id, path, user_name }
    });
    let in_app = section("in_app").map(|table| {
        let hosts = texts(&table, "hosts");
        let carrier = match (table.get("prefix"), table.get("value")) {
            (None, None) => None,
            _ => Some(Carrier { prefix: required(&table, "prefix"), value: required(&table, "value") }),
        };
        if hosts.is_empty() && carrier.is_none() {
            table.fault("", "says nothing: name `hosts`, or a `prefix` with its `value`");
        }
        table.finish();
        InApp { hosts, carrier }
    });
    let app = App {
        android_package: optional(&table, "android_package"),
        ios_store_id: optional(&table, "ios_store_id"),
        harmony_bundle: optional(&table, "harmony_bundle"),
        schemes: texts(&table, "schemes"),
        open: carrier("open"),
        universal_link: carrier("universal_link"),
        mini_program,
        in_app,
    };
    table.finish();
    app
}

/// The line of a field such as `shapes[2].hosts[0]`, or of the nearest thing around it that is there.
fn line_of(node: &Node, field: &str) -> usize {
    let mut at = node;
    for step in field.split(['.', '[']) {
        let inner = match (&at.value, step.strip_suffix(']')) {
            (Value::List(items), Some(place)) => place.parse().ok().and_then(|place: usize| items.get(place)),
            (Value::Map(entries), None) => entries.iter().find(|(key, ..)| key == step).map(|(.., node)| node),
            _ => None,
        };
        match inner {
            Some(inner) => at = inner,
            None => break,
        }
    }
    at.line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_is_left_out_and_each_is_named_after_its_marketplace() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/marketplaces");
        let mut found: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        found.sort();
        assert_eq!(found, SHIPPED.map(|(name, _)| name));
        for file in built_in_files(&Faults::default()) {
            assert_eq!(file.name, format!("{}.toml", file.table.id));
        }
    }

    #[test]
    fn every_shape_that_comes_with_the_product_has_an_example_and_a_counter_example() {
        let faults = Faults::default();
        for file in built_in_files(&faults) {
            for (n, (fits, misfits)) in file.examples.iter().enumerate() {
                assert!(!fits.is_empty() && !misfits.is_empty(), "{}: shapes[{n}]", file.name);
                // A counter-example that is foreign to the marketplace would show nothing.
                for url in misfits {
                    let id = shipped().markets().shape_of(url).map(|(id, _)| shipped().marketplace_name(id));
                    assert_eq!(id, Ok(&*file.table.id), "{}: shapes[{n}]: {url}", file.name);
                }
            }
        }
        assert_eq!(faults.into_sorted(), []);
    }

    #[test]
    fn every_name_of_the_vocabulary_has_its_file() {
        for (place, name) in shipped().marketplaces().enumerate() {
            let id = shipped().marketplace(name).unwrap();
            assert_eq!(usize::from(id.0), place);
            assert!(shipped().markets().of(id).is_some(), "{name}");
        }
    }
}
