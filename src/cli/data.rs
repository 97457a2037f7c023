//! `hopgate link`, `key` and `hops`: work on a data folder, beside a running gateway or without one. A running gateway
//! notices new links within a second, and keys at once.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::args::hops::{ExportFormat, Hops};
use super::args::links::{ImportFormat, Link, LinkCreate, LinkImport};
use super::args::{Key, Place};
use super::short_links::ShortLinks;
use super::{CliError, policy, settings_of, verify};
use crate::app::DataDir;
use crate::app::resolve::resolver;
use crate::archive::export::{Form, Wanted, export};
use crate::catalog::sqlite::SqliteLinkStore;
use crate::catalog::{Created, NewLink, issue};
use crate::clock::Clock;
use crate::config::settings::Settings;
use crate::control::alternates::AlternateDraft;
use crate::control::answer::identifiable;
use crate::control::codes::Codes;
use crate::control::decision::{Case, LandingView, explain};
use crate::control::draft::LinkDraft;
use crate::control::fields::FieldFault;
use crate::control::identify::identify;
use crate::control::keys::sqlite::SqliteKeyStore;
use crate::control::keys::{KeyStore, NewKey, Role};
use crate::control::warnings::standing;
use crate::domain::time::Timestamp;
use crate::journal::export::Format;
use crate::resolve::Resolver;

/// Links stored in one transaction.
const BATCH: usize = 20_000;
/// Faults of a file that are shown; the rest is counted.
const SHOWN_FAULTS: usize = 100;

/// A runtime for one command.
pub fn runtime() -> Result<Runtime, CliError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::failed)
}

/// Faults of fields, one a line.
pub fn told(faults: &[FieldFault]) -> String {
    let lines: Vec<String> =
        faults.iter().map(|fault| format!("--{}: {}", argument(&fault.field), fault.problem)).collect();
    lines.join("\n")
}

/// The argument of a field; `alternates[0].url` is told as `alternate no. 1, url`.
fn argument(field: &str) -> String {
    let place = field.strip_prefix("alternates[").and_then(|rest| rest.split_once(']'));
    match place.and_then(|(place, rest)| Some((place.parse::<usize>().ok()?, rest))) {
        Some((place, rest)) => format!("alternate no. {}{}", place + 1, rest.replace('.', ", ")),
        None => field.replace("alternates", "alternate").replace('_', "-"),
    }
}

fn open_links(place: &Place) -> Result<(Settings, SqliteLinkStore), CliError> {
    let settings = settings_of(place)?;
    let data = DataDir::new(&settings.data_dir);
    data.create()?;
    let store = SqliteLinkStore::open(&data.database(), Arc::new(settings.words.clone())).map_err(CliError::failed)?;
    Ok((settings, store))
}

/// Runs `hopgate link`.
pub fn link(link: Link) -> Result<(), CliError> {
    match link {
        Link::Create(create) => create_link(*create),
        Link::Import(import) => import_links(&import),
    }
}

fn create_link(asked: LinkCreate) -> Result<(), CliError> {
    let (settings, store) = open_links(&asked.place)?;
    let pasted = asked.url.clone();
    let draft = LinkDraft {
        url: Some(asked.url),
        marketplace: asked.marketplace,
        platform: asked.platform,
        surface: asked.surface,
        creator: asked.creator,
        slug: asked.slug,
        expires_at: asked.expires_at,
        tags: asked.tags,
        shop_type: asked.shop_type,
        category: asked.category,
        facts: asked.facts.into_iter().map(|name| (name, true)).collect(),
        alternates: asked.alternates.iter().map(|text| AlternateDraft::parse(text)).collect(),
        ..LinkDraft::default()
    };
    let now = Clock::System.now();
    let mut new = draft.check(&settings.words, now).map_err(|faults| CliError::Usage(told(&faults)))?;
    let policy = policy::in_force(&settings)?;
    let resolver = resolver(&settings, true).map_err(|fault| CliError::Config(vec![fault]))?;
    let runtime = runtime()?;
    let identified = runtime.block_on(identify(resolver.as_ref(), &settings.words, &mut new));
    let mut warnings = identified.map_err(|faults| CliError::Usage(told(&faults)))?;
    let mut codes = Codes::open().map_err(CliError::failed)?;
    let created = runtime.block_on(issue(&store, vec![new], move || codes.draw())).map_err(CliError::failed)?;
    let link = match created.into_iter().next() {
        Some(Created::Stored(link)) => link,
        Some(Created::CodeTaken(code)) => {
            return Err(CliError::Failed(format!("the slug `{code}` is taken: choose another")));
        }
        Some(Created::Failed(error)) => return Err(CliError::failed(error)),
        Some(Created::NoFreeCode) | None => {
            return Err(CliError::Failed("no free code could be drawn: the random source is broken".to_owned()));
        }
    };
    let explained = explain(&policy, &settings.words, &Case::of_link(&link), now);
    warnings.extend(standing(&link, settings.words.markets(), now));
    let short_url = settings.public_url.as_deref().map(|base| format!("{base}/{}", link.code));
    if asked.json {
        let shown = json!({
            "code": link.code.as_str(),
            "short_url": short_url,
            "landing": LandingView::new(&link.landing.clone().into(), link.shop_type, link.landing.link_kind, &settings.words),
            "decision": explained.brief(),
            "identifiable": identifiable(&link.landing, settings.words.markets()),
            "share_code": link.share_code,
            "warnings": warnings,
        });
        say!("{shown}");
    } else {
        say!("{}", short_url.unwrap_or_else(|| link.code.to_string()));
        let alternate = match explained.alternate {
            0 => String::new(),
            place => format!("  备选 / alternate {place}  {}", explained.landing.url.as_deref().unwrap_or("-")),
        };
        say!("  {} {}{alternate}", explained.outcome, explained.reason);
        let found = link.landing.destination.as_str();
        match &link.share_code {
            Some(_) => say!("  口令无法识别，点击后展示给访客复制 / a code: visitors are shown it to copy"),
            None if found != pasted.trim() => say!("  找到的链接 / link found  {found}"),
            None => {}
        }
        if let Some(item) = &link.landing.item {
            say!("  商品 / item  {} {item}", settings.words.marketplace_name(link.landing.marketplace));
        }
        warnings.iter().for_each(|warning| eprintln!("warning: {}: {}", argument(&warning.field), warning.detail));
    }
    Ok(())
}

/// One line of a link file: its link, or its faults.
fn read_line(number: usize, line: &str, settings: &Settings) -> Result<NewLink, Vec<String>> {
    let now = Clock::System.now();
    let mut value: Value = match serde_json::from_str(line) {
        Ok(value) => value,
        Err(error) => return Err(vec![format!("line {number}: not JSON: {error}")]),
    };
    // Exports call it `code`; the API calls the code one chooses `slug`.
    if let Some(object) = value.as_object_mut()
        && let Some(code) = object.remove("code")
    {
        object.entry("slug").or_insert(code);
    }
    LinkDraft::read(&value)
        .check(&settings.words, now)
        .map_err(|faults| faults.iter().map(|fault| format!("line {number}: {fault}")).collect())
}

fn for_each_line(path: &Path, mut each: impl FnMut(usize, &str) -> Result<(), CliError>) -> Result<(), CliError> {
    let fail = |error: std::io::Error| CliError::Failed(format!("{}: {error}", path.display()));
    let mut file = BufReader::with_capacity(1 << 20, File::open(path).map_err(fail)?);
    let mut line = String::new();
    let mut number = 0;
    loop {
        line.clear();
        if file.read_line(&mut line).map_err(fail)? == 0 {
            return Ok(());
        }
        number += 1;
        if !line.trim().is_empty() {
            each(number, line.trim())?;
        }
    }
}

fn import_links(asked: &LinkImport) -> Result<(), CliError> {
    let ImportFormat::Ndjson = asked.format;
    let (settings, store) = open_links(&asked.place)?;
    // The whole file is checked before anything is stored.
    let (mut lines, mut faults, mut faulty) = (0, Vec::new(), 0);
    let mut short = match asked.resolve {
        true => Some(
            Resolver::new(settings.resolve.clone(), Arc::new(settings.words.clone()))
                .map(ShortLinks::new)
                .map_err(CliError::failed)?,
        ),
        false => None,
    };
    for_each_line(&asked.file, |number, line| {
        lines += 1;
        match read_line(number, line, &settings) {
            Ok(new) => short.iter_mut().for_each(|short| short.note(number, &new)),
            Err(more) => {
                faulty += 1;
                faults.extend(more.into_iter().take(SHOWN_FAULTS.saturating_sub(faults.len())));
            }
        }
        progress("checked", lines);
        Ok(())
    })?;
    if faulty > 0 {
        let shown = faults.join("\n");
        let problem = format!("{shown}\n{faulty} of {lines} lines have faults; nothing was imported");
        return Err(CliError::Failed(problem));
    }
    let runtime = runtime()?;
    if let Some(short) = &mut short {
        let told = runtime.block_on(short.ask(|count| progress("resolved", count)))?;
        told.warnings.iter().take(SHOWN_FAULTS).for_each(|warning| eprintln!("warning: {warning}"));
        if !told.faults.is_empty() {
            let shown: Vec<&str> = told.faults.iter().take(SHOWN_FAULTS).map(String::as_str).collect();
            return Err(CliError::Failed(format!("{}\nnothing was imported", shown.join("\n"))));
        }
    }
    let mut codes = Codes::open().map_err(CliError::failed)?;
    let (mut batch, mut stored, mut taken) = (Vec::with_capacity(BATCH), 0, Vec::new());
    let mut store_batch = |batch: Vec<NewLink>| -> Result<(), CliError> {
        for created in runtime.block_on(issue(&store, batch, || codes.draw())).map_err(CliError::failed)? {
            match created {
                Created::Stored(_) => stored += 1,
                Created::CodeTaken(code) => taken.push(code),
                Created::NoFreeCode => return Err(CliError::Failed("no free code could be drawn".to_owned())),
                Created::Failed(error) => return Err(CliError::failed(error)),
            }
        }
        progress("imported", stored);
        Ok(())
    };
    for_each_line(&asked.file, |number, line| {
        let mut link = read_line(number, line, &settings).map_err(|faults| CliError::Failed(faults.join("\n")))?;
        short.iter().for_each(|short| short.identify(&mut link));
        batch.push(link);
        if batch.len() == BATCH {
            store_batch(std::mem::take(&mut batch))?;
        }
        Ok(())
    })?;
    store_batch(batch)?;
    eprint!("{}", if std::io::stderr().is_terminal() { "\r" } else { "" });
    say!("imported {stored} links");
    if taken.is_empty() {
        return Ok(());
    }
    let shown: Vec<&str> = taken.iter().take(SHOWN_FAULTS).map(|code| code.as_str()).collect();
    Err(CliError::Failed(format!(
        "{} codes were taken already and left as they are: {}",
        taken.len(),
        shown.join(", ")
    )))
}

/// Shows how far a long work is, on a terminal.
pub(super) fn progress(what: &str, count: usize) {
    if count.is_multiple_of(BATCH) && std::io::stderr().is_terminal() {
        eprint!("\r{what} {count}");
    }
}

/// Runs `hopgate key`.
pub fn key(key: Key) -> Result<(), CliError> {
    let open = |place: &Place| -> Result<SqliteKeyStore, CliError> {
        let data = DataDir::new(&settings_of(place)?.data_dir);
        data.create()?;
        SqliteKeyStore::open(&data.database()).map_err(CliError::failed)
    };
    let now = Clock::System.now();
    match key {
        Key::Create { place, role, scope, name } => {
            let known = Role::names().join(", ");
            let role = Role::parse(&role)
                .ok_or_else(|| CliError::Usage(format!("--role: `{role}` is not known: use one of {known}")))?;
            let name = if name.is_empty() { role.as_str() } else { &name };
            let (text, new) = NewKey::draw(role, scope.as_deref(), name, now).map_err(|error| match error {
                crate::control::keys::KeyError::BadName(_) => CliError::Usage(error.to_string()),
                other => CliError::failed(other),
            })?;
            let id = new.record.id.clone();
            if scope.is_none() && matches!(role, Role::Creator | Role::Platform) {
                eprintln!("without --scope this key speaks for every {}", role.as_str());
            }
            runtime()?.block_on(open(&place)?.create(new)).map_err(CliError::failed)?;
            eprintln!("id {id}; the key is shown this once / 密钥只显示这一次:");
            say!("{}", text.reveal());
        }
        Key::List { place, json } => {
            let keys = runtime()?.block_on(open(&place)?.list()).map_err(CliError::failed)?;
            if json {
                say!("{}", serde_json::to_string(&keys).map_err(CliError::failed)?);
                return Ok(());
            }
            say!("{:<17} {:<9} {:<16} {:<27} {:<27} name", "id", "role", "scope", "created", "revoked");
            for key in keys {
                let revoked = key.revoked_at.map_or("-".to_owned(), |at| at.to_string());
                let scope = key.scope.as_deref().unwrap_or("-");
                let created = key.created_at.to_string();
                say!("{:<17} {:<9} {scope:<16} {created:<27} {revoked:<27} {}", key.id, key.role.as_str(), key.name);
            }
        }
        Key::Revoke { place, id } => {
            if !runtime()?.block_on(open(&place)?.revoke(&id, now)).map_err(CliError::failed)? {
                return Err(CliError::Failed(format!("no key has the id `{id}`: see `hopgate key list`")));
            }
            say!("revoked {id}");
        }
    }
    Ok(())
}

/// The data folder, which must have a journal.
pub fn with_journal(settings: &Settings) -> Result<DataDir, CliError> {
    let data = DataDir::new(&settings.data_dir);
    let journal = data.journal();
    if journal.is_dir() {
        return Ok(data);
    }
    Err(CliError::Failed(format!("{}: no journal; name the data folder with --data-dir", journal.display())))
}

/// The data folder, which must have hops: a journal, or an archive.
pub fn with_hops(settings: &Settings) -> Result<DataDir, CliError> {
    let data = DataDir::new(&settings.data_dir);
    if data.hops().archive().is_dir() { Ok(data) } else { with_journal(settings) }
}

/// Refuses what no hop can be, every fault at once.
fn exportable(wanted: &Wanted) -> Result<(), CliError> {
    let mut faults = Vec::new();
    if wanted.from >= wanted.to {
        faults.push(format!("--to: {} must be later than --from {}", wanted.to, wanted.from));
    }
    faults.extend(empty(&[("code", &wanted.code), ("creator", &wanted.creator)]));
    if faults.is_empty() { Ok(()) } else { Err(CliError::Usage(faults.join("\n"))) }
}

/// The faults of arguments that were given and are empty.
pub(super) fn empty(given: &[(&str, &Option<String>)]) -> Vec<String> {
    let empty = given.iter().filter(|(_, text)| text.as_deref() == Some(""));
    empty.map(|(name, _)| format!("--{name}: may not be empty: leave it out, or name one")).collect()
}

/// Why an export may be empty.
fn none_of(wanted: &Wanted) -> String {
    let named = [("the code", &wanted.code), ("the creator", &wanted.creator)];
    let named: Vec<String> =
        named.iter().filter_map(|(what, name)| Some(format!("{what} `{}`", name.as_ref()?))).collect();
    let timely = wanted.from > Timestamp::MIN || wanted.to < Timestamp::MAX;
    match (named.is_empty(), timely) {
        (true, false) => "nothing was recorded yet".to_owned(),
        (true, true) => "none was recorded in this time".to_owned(),
        (false, false) => format!("none has {}: check how it is written", named.join(" and ")),
        (false, true) => {
            format!("none has {} in this time: check how it is written, and the time", named.join(" and "))
        }
    }
}

/// Runs `hopgate hops`.
pub fn hops(hops: Hops) -> Result<(), CliError> {
    let (place, wanted, format, out) = match hops {
        Hops::Verify { place, from, to, json } => return verify::run(&place, from, to, json),
        Hops::Export { place, from, to, code, creator, format, out } => {
            let (from, to) = (from.unwrap_or(Timestamp::MIN), to.unwrap_or(Timestamp::MAX));
            let wanted = Wanted { from, to, code, creator };
            exportable(&wanted)?;
            (place, wanted, format, out)
        }
    };
    let data = with_hops(&settings_of(&place)?)?;
    let key = data.click_key()?;
    let form = match format {
        ExportFormat::Ndjson => Form::Lines(Format::Ndjson),
        ExportFormat::Csv => Form::Lines(Format::Csv),
        ExportFormat::Parquet => Form::Parquet,
    };
    let write = |sink: &mut (dyn Write + Send)| {
        let exported = export(&data.hops(), form, &wanted, &key, sink).map_err(CliError::failed)?;
        if let Some(first) = exported.begins.filter(|first| *first > 1) {
            eprintln!("note: records before number {first} are not in this data folder");
        }
        if exported.summary.hops == 0 {
            eprintln!("note: 0 hops: {}", none_of(&wanted));
        }
        Ok(exported.summary)
    };
    if out == Path::new("-") {
        write(&mut std::io::stdout())?;
        return Ok(());
    }
    let fail = |error: std::io::Error| CliError::Failed(format!("{}: {error}", out.display()));
    // Under another name until it is whole: a half export must not pass for one.
    let partial = out.with_extension("partial");
    if out.exists() {
        return Err(CliError::Failed(format!("{} is already there: remove it, or name another file", out.display())));
    }
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(&partial).map_err(fail)?;
    let mut sink = BufWriter::new(file);
    let summary = write(&mut sink);
    let kept = summary.and_then(|summary| {
        let file = sink.into_inner().map_err(|error| fail(error.into_error()))?;
        file.sync_all().map_err(fail)?;
        fs::rename(&partial, &out).map_err(fail)?;
        Ok(summary)
    });
    match kept {
        Ok(summary) => {
            eprintln!("{} hops exported to {}", summary.hops, out.display());
            Ok(())
        }
        Err(error) => {
            drop(fs::remove_file(&partial));
            Err(error)
        }
    }
}
