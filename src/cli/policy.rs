//! `hopgate policy list`, `log`, `show`, `diff` and `publish`: the versions of a data folder, beside a running gateway or
//! without one. A running gateway follows a publish within milliseconds.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::args::Place;
use super::args::policy::{Diff as DiffArgs, List, Log, Publish, Show};
use super::data::runtime;
use super::{CliError, settings_of};
use crate::app::{DataDir, StartError, policy_rules};
use crate::clock::Clock;
use crate::config::settings::{PolicySource, Settings};
use crate::control::policy::note_fault;
use crate::domain::policy::PolicySet;
use crate::domain::policy::lint::Severity;
use crate::domain::time::Timestamp;
use crate::policies::diff::Diff;
use crate::policies::publish::{Prepared, Proposal, PublishError, Publisher, Request};
use crate::policies::sqlite::SqlitePolicyStore;
use crate::policies::store::{PolicyStore, StoreError, StoredPolicy};
use crate::policies::{canonical, emit, folder};

impl From<PublishError> for CliError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Unreadable { faults, .. } => CliError::Config(faults),
            PublishError::Findings(_) => {
                CliError::Failed(format!("{error}").replace("allow_lint_errors", "--allow-lint-errors"))
            }
            PublishError::Store(StoreError::NotAVersion(_)) => CliError::Usage(error.to_string()),
            other => CliError::failed(other),
        }
    }
}

/// The store of a data folder that must be there.
fn open(settings: &Settings) -> Result<Arc<SqlitePolicyStore>, CliError> {
    let path = DataDir::new(&settings.data_dir).database();
    if !path.exists() {
        let path = path.display();
        return Err(CliError::Failed(format!("{path}: no such database; name the data folder with --data-dir")));
    }
    Ok(Arc::new(SqlitePolicyStore::open(&path).map_err(CliError::failed)?))
}

/// The one who publishes on a data folder; where nothing is in force yet, one for the first publish.
pub fn publisher(settings: &Settings, store: Arc<SqlitePolicyStore>) -> Result<Publisher, CliError> {
    let words = Arc::new(settings.words.clone());
    let (rules, now) = (policy_rules(settings, &Clock::System), Clock::System.now());
    let attached = Publisher::attach(Arc::clone(&store) as _, Arc::clone(&words), rules.clone(), now);
    let attached = runtime()?.block_on(attached).map_err(StartError::from)?;
    Ok(attached.unwrap_or_else(|| Publisher::empty(store, words, rules, now)))
}

/// The one who publishes on a data folder that must be there.
pub fn publisher_of(place: &Place) -> Result<(Settings, Publisher), CliError> {
    let settings = settings_of(place)?;
    let publisher = publisher(&settings, open(&settings)?)?;
    Ok((settings, publisher))
}

/// The policy a gateway on this data folder decides by: what was published, or the folder where that decides or nothing
/// was published yet. Kills count either way.
pub fn in_force(settings: &Settings) -> Result<Arc<PolicySet>, CliError> {
    let there = DataDir::new(&settings.data_dir).database().exists();
    let publisher = if there { Some(publisher(settings, open(settings)?)?) } else { None };
    let published = publisher.filter(|publisher| publisher.in_force().is_some());
    if let Some(publisher) = &published
        && settings.policy_source == PolicySource::Store
    {
        return Ok(publisher.policies().current());
    }
    let mut written = folder::read(&settings.policies, &settings.words).map_err(CliError::Config)?;
    let kills = written.kills.take();
    let kills = kills.or_else(|| published.map(|publisher| publisher.policies().current().kills().to_vec()));
    let kills = kills.unwrap_or_default();
    let loaded = canonical::compile(written.agreements, &written.defaults, kills, &settings.words);
    Ok(Arc::new(loaded.policy))
}

/// Who does it, unless told otherwise: the user's name, or the number where there is no name, as in a container.
pub fn person(said: Option<String>, option: &str) -> Result<String, CliError> {
    use std::os::unix::fs::MetadataExt as _;
    let user = || std::env::var("USER").ok().filter(|name| !name.trim().is_empty());
    let number = || std::fs::metadata("/proc/self").ok().map(|this| format!("uid {}", this.uid()));
    let name = said.or_else(user).or_else(number).unwrap_or_default().trim().to_owned();
    if name.is_empty() {
        return Err(CliError::Usage(format!("{option}: say who does this")));
    }
    match note_fault(&name) {
        Some(problem) => Err(CliError::Usage(format!("{option}: {problem}"))),
        None => Ok(name),
    }
}

/// Runs `hopgate policy list`.
pub fn list(asked: &List) -> Result<(), CliError> {
    let limit = at_least_one(asked.limit)?;
    let store = open(&settings_of(&asked.place)?)?;
    let runtime = runtime()?;
    let versions = runtime.block_on(store.list(None, limit)).map_err(CliError::failed)?;
    let last = runtime.block_on(store.in_force()).map_err(CliError::failed)?;
    let in_force = |version: &str| last.as_ref().is_some_and(|last| last.version == version);
    if asked.json {
        let rows: Vec<Value> = versions
            .iter()
            .map(|info| {
                json!({
                    "version": info.version, "hash": info.hash, "author": info.author, "note": info.note,
                    "created_at": info.created_at, "agreement_count": info.agreements, "since": info.since,
                    "backtested_at": info.backtested_at, "in_force": in_force(&info.version),
                })
            })
            .collect();
        say!("{}", json!(rows));
        return Ok(());
    }
    if versions.is_empty() {
        eprintln!(
            "no version is kept yet: `hopgate serve` imports the policy folder, `hopgate policy publish` publishes it"
        );
        return Ok(());
    }
    say!("  {:<17} {:<32} {:>10}  {:<16} note", "version", "kept", "agreements", "author");
    for info in versions {
        let mark = match info.since {
            _ if in_force(&info.version) => "*",
            None => "·",
            Some(_) => " ",
        };
        let kept = info.created_at.to_string();
        say!("{mark} {:<17} {kept:<32} {:>10}  {:<16} {}", info.version, info.agreements, info.author, info.note);
    }
    let now = last.map(|last| format!("* in force since {} by {}; ", last.at, last.by)).unwrap_or_default();
    say!("{now}· never in force; without a mark: was in force before");
    Ok(())
}

/// How many are to be listed; none at all would look as if there were none.
fn at_least_one(limit: usize) -> Result<usize, CliError> {
    if limit == 0 { Err(CliError::Usage("--limit: is 0, must be at least 1".to_owned())) } else { Ok(limit) }
}

/// Runs `hopgate policy log`.
pub fn log(asked: &Log) -> Result<(), CliError> {
    let limit = at_least_one(asked.limit)?;
    let store = open(&settings_of(&asked.place)?)?;
    let runtime = runtime()?;
    let last = runtime.block_on(store.in_force()).map_err(CliError::failed)?.map_or(0, |last| last.number);
    // None is left out in their numbers.
    let since = last.saturating_sub(i64::try_from(limit).unwrap_or(i64::MAX)).max(0);
    let mut switches = runtime.block_on(store.switches_since(since, limit)).map_err(CliError::failed)?;
    switches.reverse();
    if asked.json {
        say!("{}", json!(switches));
        return Ok(());
    }
    if switches.is_empty() {
        eprintln!(
            "no version was ever in force: `hopgate serve` imports the policy folder, `hopgate policy publish` publishes it"
        );
        return Ok(());
    }
    say!("{:>6}  {:<32} {:<17} {:<16} note", "number", "in force from", "version", "by");
    for switch in switches {
        let at = switch.at.to_string();
        say!("{:>6}  {at:<32} {:<17} {:<16} {}", switch.number, switch.version, switch.by, switch.note);
    }
    Ok(())
}

fn stored(store: &SqlitePolicyStore, version: Option<&str>) -> Result<StoredPolicy, CliError> {
    let runtime = runtime()?;
    let name = match version {
        Some(version) => version.to_owned(),
        None => {
            let last = runtime.block_on(store.in_force()).map_err(CliError::failed)?;
            last.ok_or(PublishError::NothingInForce)?.version
        }
    };
    let found = runtime.block_on(store.get(&name)).map_err(PublishError::from)?;
    Ok(found.ok_or_else(|| PublishError::from(StoreError::Unknown(name)))?)
}

/// Runs `hopgate policy show`.
pub fn show(asked: &Show) -> Result<(), CliError> {
    let settings = settings_of(&asked.place)?;
    let stored = stored(&*open(&settings)?, asked.version.as_deref())?;
    // What was altered must not be shown as if it were that version.
    canonical::read(&stored.version, &stored.canonical, &settings.words).map_err(CliError::Config)?;
    let value: Value = serde_json::from_str(&stored.canonical).map_err(CliError::failed)?;
    let info = &stored.info;
    if asked.yaml {
        let file = emit::yaml(&value);
        say!("# hopgate policy {}\n{}", stored.version, file.trim_end());
        return Ok(());
    }
    if asked.json {
        let mut shown = json!({
            "version": info.version, "hash": info.hash, "author": info.author, "note": info.note,
            "created_at": info.created_at, "since": info.since, "backtested_at": info.backtested_at,
        });
        for key in ["agreements", "defaults", "kills"] {
            shown[key] = value.get(key).cloned().unwrap_or_else(|| json!([]));
        }
        say!("{shown}");
        return Ok(());
    }
    let at = |at: Option<Timestamp>| at.map_or("-".to_owned(), |at| at.to_string());
    say!(
        "version     {}\nhash        {}\nauthor      {}\nnote        {}",
        info.version,
        info.hash,
        info.author,
        info.note
    );
    say!("kept        {}\nin force    {}\nbacktested  {}", info.created_at, at(info.since), at(info.backtested_at));
    let nothing = json!({});
    say!("{}", Diff::between(&nothing, &value).named(None, Some(info.version.clone())));
    Ok(())
}

/// Whether a side of a comparison is a file or folder, not a version.
fn is_path(name: &str) -> bool {
    Path::new(name).exists() || name.contains('/')
}

/// One side of a comparison: a path where there is one, else a version. A file that does not speak of kills is compared
/// as it would be published: with those in force.
fn side(name: &str, settings: &Settings, store: Option<&SqlitePolicyStore>) -> Result<(String, Value), CliError> {
    let path = Path::new(name);
    if is_path(name) {
        let written = folder::read(path, &settings.words).map_err(CliError::Config)?;
        let now = Clock::System.now();
        let kills = match written.kills {
            Some(kills) => kills,
            None => {
                let mut kills = in_force(settings).map(|set| set.kills().to_vec()).unwrap_or_default();
                kills.retain(|kill| kill.until > now);
                kills
            }
        };
        let value = canonical::value(&written.agreements, &written.defaults, &kills, &settings.words);
        return Ok((name.to_owned(), value));
    }
    let Some(store) = store else { return Err(CliError::from(PublishError::NothingInForce)) };
    let stored = stored(store, Some(name))?;
    let value = serde_json::from_str(&stored.canonical).map_err(CliError::failed)?;
    Ok((stored.version, value))
}

/// Takes the kills out of a policy that have ended.
fn without_ended(policy: &mut Value, now: Timestamp) {
    if let Some(kills) = policy.get_mut("kills").and_then(Value::as_array_mut) {
        let end = |kill: &Value| kill["until"].as_str().and_then(|until| until.parse::<Timestamp>().ok());
        kills.retain(|kill| end(kill).is_none_or(|end| end > now));
    }
}

/// Runs `hopgate policy diff`.
pub fn diff(asked: &DiffArgs) -> Result<(), CliError> {
    let settings = settings_of(&asked.place)?;
    let there = DataDir::new(&settings.data_dir).database().exists();
    let store = if there || asked.from.is_none() { Some(open(&settings)?) } else { None };
    let store = store.as_deref();
    let mut from = match (&asked.from, store) {
        (Some(name), _) => side(name, &settings, store)?,
        (None, Some(store)) => {
            let name = stored(store, None)?.version;
            side(&name, &settings, Some(store))?
        }
        (None, None) => return Err(CliError::from(PublishError::NothingInForce)),
    };
    let folder = settings.policies.display().to_string();
    let mut to = match &asked.to {
        Some(name) => side(name, &settings, store)?,
        None if settings.policies.exists() => side(&folder, &settings, store)?,
        None => return Err(CliError::Failed(format!("{folder}: no such policy folder; name what to compare with"))),
    };
    // Publishing a file takes no kill away that has ended by itself; what two versions said is told as it was.
    if [&asked.from, &asked.to].into_iter().any(|name| name.as_deref().is_some_and(is_path)) || asked.to.is_none() {
        let now = Clock::System.now();
        [&mut from.1, &mut to.1].into_iter().for_each(|side| without_ended(side, now));
    }
    let diff = Diff::between(&from.1, &to.1).named(Some(from.0), Some(to.0));
    if asked.json {
        say!("{}", serde_json::to_string(&diff).map_err(CliError::failed)?);
    } else {
        say!("{diff}");
    }
    Ok(())
}

/// Runs `hopgate policy publish`.
pub fn publish(asked: Publish) -> Result<(), CliError> {
    let settings = settings_of(&asked.place)?;
    if asked.note.trim().is_empty() && !asked.dry_run {
        return Err(CliError::Usage("--note: say what this is for: it is kept with the version".to_owned()));
    }
    if let Some(problem) = note_fault(&asked.note) {
        return Err(CliError::Usage(format!("--note: {problem}")));
    }
    let by = person(asked.author, "--author")?;
    let if_match = asked.if_match.as_deref().map(crate::policies::store::prefix).transpose();
    let if_match = if_match.map_err(|error| CliError::Usage(format!("--if-match: {error}")))?;
    if settings.policy_source == PolicySource::Folder {
        return Err(PublishError::FolderDecides.into());
    }
    let proposal = match asked.version {
        Some(version) => Proposal::Kept { version, exact: asked.exact },
        None => {
            let path = asked.path.as_ref().unwrap_or(&settings.policies);
            Proposal::Written(folder::read(path, &settings.words).map_err(CliError::Config)?)
        }
    };
    let data = DataDir::new(&settings.data_dir);
    if !asked.dry_run {
        data.create()?;
    } else if !data.database().exists() {
        open(&settings)?;
    }
    let store = Arc::new(SqlitePolicyStore::open(&data.database()).map_err(CliError::failed)?);
    let publisher = publisher(&settings, store)?;
    let runtime = runtime()?;
    let at = Clock::System.now();
    let prepared = runtime.block_on(publisher.prepare(proposal, at))?;
    let mut told = described(&prepared);
    if !asked.json {
        show_prepared(&prepared);
    }
    if asked.dry_run {
        if asked.json {
            say!("{told}");
        }
        return Ok(());
    }
    if !asked.yes {
        confirm(asked.json)?;
    }
    let request = Request { by, note: asked.note, if_match, allow_findings: asked.allow_lint_errors, at };
    let published = match runtime.block_on(publisher.publish(prepared, request)) {
        // Whoever reads JSON is told which findings, as whoever reads text was above.
        Err(refused @ PublishError::Findings(_)) if asked.json => {
            told["switched"] = json!(false);
            say!("{told}");
            return Err(refused.into());
        }
        done => done?,
    };
    if asked.json {
        told["switched"] = json!(published.switched);
        told["previous"] = json!(published.previous);
        told["switch"] = json!(published.switch);
        say!("{told}");
    } else if published.switched {
        let before = published.previous.as_deref().unwrap_or("nothing");
        say!("published {} (switch {}); before: {before}", published.switch.version, published.switch.number);
    } else {
        say!("{} is in force already: nothing was changed", published.switch.version);
    }
    Ok(())
}

fn described(prepared: &Prepared) -> Value {
    let version = prepared.candidate.policy.version();
    json!({
        "version": version.to_string(), "hash": version.full(), "diff": prepared.diff, "findings": prepared.findings,
    })
}

fn show_prepared(prepared: &Prepared) {
    say!("{}", prepared.diff);
    let kills = prepared.candidate.policy.kills().len();
    if kills > 0 {
        say!("{kills} kill(s) go along: `hopgate policy kills` shows them");
    }
    prepared.findings.iter().for_each(|finding| say!("{finding}"));
    let count = |severity| prepared.findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    if errors + warnings > 0 {
        say!("{errors} error(s), {warnings} warning(s)");
    }
}

/// Asks whoever sits at the terminal; where nobody does, --yes must say so.
fn confirm(json: bool) -> Result<(), CliError> {
    let stdin = std::io::stdin();
    if json || !stdin.is_terminal() {
        return Err(CliError::Usage(
            "nothing was published: --yes publishes without asking, --dry-run only looks".into(),
        ));
    }
    eprint!("publish? / 发布吗？ [y/N] ");
    drop(std::io::stderr().flush());
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).map_err(CliError::failed)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(CliError::Failed("nothing was published".to_owned())),
    }
}
