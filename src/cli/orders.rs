//! `hopgate orders`: order reports and whose positions are, beside a running gateway or without one.

use std::fs::File;
use std::io::{BufReader, IsTerminal, Read};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::args::Place;
use super::args::orders::{Batches, Import, List, Orders, Show};
use super::data::runtime;
use super::progress::grouped;
use super::pull;
use super::{CliError, order_positions, order_quarantine, settings_of};
use crate::app::DataDir;
use crate::attribution::StoreError;
use crate::attribution::orders::OrderStore as _;
use crate::attribution::orders::derived::{Pace, follow};
use crate::attribution::orders::import::file::{FileFault, Hashing, Item, rows};
use crate::attribution::orders::import::{Source, Taken, Taker, is_account};
use crate::attribution::orders::intake::{LineQuery, OrderIntake as _};
use crate::attribution::orders::sqlite::SqliteOrderStore;
use crate::catalog::sqlite::SqliteLinkStore;
use crate::clock::Clock;
use crate::control::orders as view;
use crate::domain::attribution::Network;
use crate::domain::attribution::order::{LineKey, OrderState};

/// Rows between two drawings of the progress.
const DRAWN: u64 = 1_000;

/// Runs `hopgate orders`.
pub fn run(asked: Orders) -> Result<(), CliError> {
    match asked {
        Orders::Import(asked) => import(&asked),
        Orders::Pull(asked) => pull::run(&asked),
        Orders::List(asked) => list(asked),
        Orders::Show(asked) => show(&asked),
        Orders::Batches(asked) => batches(&asked),
        Orders::Position(asked) => order_positions::run(asked),
        Orders::Quarantine(asked) => order_quarantine::run(asked),
    }
}

/// The store of a place, and a runtime to ask it with. Positions told by links are looked up first, unless nothing may change.
pub(super) fn open(place: &Place, looked: bool) -> Result<(Runtime, SqliteOrderStore), CliError> {
    let settings = settings_of(place)?;
    let data = DataDir::new(&settings.data_dir);
    data.create()?;
    let store = SqliteOrderStore::open(&data.orders(), data.click_key()?).map_err(CliError::failed)?;
    let runtime = runtime()?;
    if looked && data.database().exists() {
        let words = Arc::new(settings.words.clone());
        let links = SqliteLinkStore::open(&data.database(), words).map_err(CliError::failed)?;
        runtime.block_on(follow(&store, &links, Clock::System.now(), Pace::Swift)).map_err(CliError::failed)?;
    }
    Ok((runtime, store))
}

/// The same for a look, which makes no database where there is none.
pub(super) fn look(place: &Place) -> Result<(Runtime, SqliteOrderStore), CliError> {
    let path = DataDir::new(&settings_of(place)?.data_dir).orders();
    if path.exists() {
        return open(place, false);
    }
    let problem = format!("{}: no order reports yet; name the data folder with --data-dir", path.display());
    Err(CliError::Failed(problem))
}

pub(super) fn network(name: &str) -> Result<Network, CliError> {
    Network::parse(name).ok_or_else(|| {
        CliError::Usage(format!("--network: `{name}` is not known: use one of {}", Network::names().join(", ")))
    })
}

pub(super) fn network_or_any(name: Option<&str>) -> Result<Option<Network>, CliError> {
    name.map(network).transpose()
}

/// What ends an import before its end.
enum Stopped {
    File(FileFault),
    Store(StoreError),
}

impl From<FileFault> for Stopped {
    fn from(fault: FileFault) -> Self {
        Stopped::File(fault)
    }
}

fn import(asked: &Import) -> Result<(), CliError> {
    let network = network(&asked.network)?;
    if !is_account(&asked.account) {
        let problem = format!("--account: `{}`: 1 to 64 letters, digits and _ - . : belong here", asked.account);
        return Err(CliError::Usage(problem));
    }
    let named = asked.file.display().to_string();
    let failed = |error: &dyn std::fmt::Display| CliError::Failed(format!("{named}: {error}"));
    let input: Box<dyn Read> = match asked.file == Path::new("-") {
        true => Box::new(std::io::stdin()),
        false => Box::new(File::open(&asked.file).map_err(|error| failed(&error))?),
    };
    let (runtime, store) = open(&asked.place, !asked.dry_run)?;
    let source = Source {
        network,
        account: asked.account.as_str().into(),
        scene: asked.scene,
        name: asked.file.file_name().map_or(named.clone(), |name| name.to_string_lossy().into_owned()),
        dry: asked.dry_run,
    };
    let begun = Taker::begin(&store, source, Clock::System.now());
    let mut taker = runtime.block_on(begun).map_err(CliError::failed)?;
    let mut file = BufReader::with_capacity(1 << 20, Hashing::new(input));
    let drawn = std::io::stderr().is_terminal();
    let read = rows(network, &mut file, true, |item| {
        let full = match item {
            Item::Row(row) => taker.push(&row),
            Item::Broken { raw, problem } => taker.push_broken(raw, problem),
        };
        if full {
            runtime.block_on(taker.flush()).map_err(Stopped::Store)?;
        }
        if drawn && taker.rows().is_multiple_of(DRAWN) {
            eprint!("\r{} rows", grouped(taker.rows()));
        }
        Ok::<(), Stopped>(())
    });
    if drawn {
        eprint!("\r\x1b[K");
    }
    let fault = match read {
        Ok(()) => None,
        Err(Stopped::File(fault)) => Some(fault),
        Err(Stopped::Store(error)) => return Err(CliError::failed(error)),
    };
    let hash = file.into_inner().finish();
    // One that was not read to its end is not ended: it is to be imported again.
    let ended = match fault {
        None => runtime.block_on(taker.finish(Some(hash))).map(|(taken, _)| taken),
        Some(_) => runtime.block_on(taker.break_off()),
    };
    let taken = ended.map_err(CliError::failed)?;
    if asked.json {
        say!("{}", as_json(&taken, asked.dry_run));
    } else if taken.rows > 0 || fault.is_none() {
        tell(&taken, asked);
    }
    match fault {
        None => Ok(()),
        Some(fault) if taken.rows == 0 => Err(failed(&fault)),
        Some(fault) => Err(CliError::Failed(format!(
            "{named}: {fault}; what came before is kept: mend the file and import it again, nothing is doubled"
        ))),
    }
}

fn as_json(taken: &Taken, dry: bool) -> Value {
    let shown = taken.shown.iter().map(|(row, id, faults)| {
        let errors: Vec<Value> = faults.iter().map(view::fault).collect();
        json!({ "row": row, "id": id, "errors": errors })
    });
    json!({
        "batch": taken.batch,
        "dry_run": dry,
        "rows": taken.rows,
        "added": taken.added,
        "unchanged": taken.unchanged,
        "quarantined": taken.set_aside(),
        "reasons": taken.quarantined.iter().map(|(reason, count)| (reason.to_string(), json!(count))).collect::<serde_json::Map<_, _>>(),
        "shown": shown.collect::<Vec<_>>(),
    })
}

fn tell(taken: &Taken, asked: &Import) {
    let batch = taken
        .batch
        .map_or("试运行，未保存 / dry run, nothing kept".to_owned(), |batch| format!("batch {batch}"));
    say!("{} {} {}  {batch}", asked.network, asked.account, asked.file.display());
    say!("  行     rows         {:>10}", grouped(taken.rows));
    say!("  新增   added        {:>10}", grouped(taken.added));
    say!("  未变   unchanged    {:>10}", grouped(taken.unchanged));
    say!("  隔离   quarantined  {:>10}", grouped(taken.set_aside()));
    for (reason, count) in &taken.quarantined {
        say!("           {reason:<20} {:>10}", grouped(*count));
    }
    for (row, id, faults) in &taken.shown {
        for fault in faults {
            say!("  row {row}{}  {fault}", if *id > 0 { format!(" #{id}") } else { String::new() });
        }
    }
    if taken.set_aside() > taken.shown.len() as u64 {
        say!("  …  hopgate orders quarantine list");
    }
}

fn list(asked: List) -> Result<(), CliError> {
    let state = match asked.state.as_deref() {
        Some(name) => Some(OrderState::parse(name).ok_or_else(|| {
            let known = OrderState::names().join(", ");
            CliError::Usage(format!("--state: `{name}` is not known: use one of {known}"))
        })?),
        None => None,
    };
    let query = LineQuery {
        network: network_or_any(asked.network.as_deref())?,
        account: asked.account.map(Into::into),
        state,
        order: asked.order.map(Into::into),
        from: asked.from,
        to: asked.to,
        before: None,
    };
    let (runtime, store) = look(&asked.place)?;
    let found = runtime.block_on(store.lines(&query, asked.limit)).map_err(CliError::failed)?;
    if asked.json {
        say!("{}", Value::Array(found.iter().map(|(_, line)| view::line(line)).collect()));
        return Ok(());
    }
    say!(
        "{:<10} {:<28} {:<9} {:<25} {:>12} {:>10} {:>10}  promotion",
        "network",
        "line",
        "state",
        "created",
        "paid",
        "estimated",
        "confirmed"
    );
    for (_, line) in &found {
        let promotion = &line.promotion;
        let whose = [&promotion.pid, &promotion.position, &promotion.relation, &promotion.sub_id];
        say!(
            "{:<10} {:<28} {:<9} {:<25} {:>12} {:>10} {:>10}  {}{}",
            line.key.network.as_str(),
            line.key.line,
            line.state.as_str(),
            line.created_at.to_string(),
            line.paid.map_or("-".to_owned(), |fen| fen.to_string()),
            line.estimated.to_string(),
            line.confirmed.map_or("-".to_owned(), |fen| fen.to_string()),
            whose.into_iter().find(|text| !text.is_empty()).map_or("-", |text| text),
            if line.refunded { "  退 refunded" } else { "" },
        );
    }
    if found.len() == asked.limit {
        say!("…  --limit {} shows more", asked.limit * 10);
    }
    Ok(())
}

fn show(asked: &Show) -> Result<(), CliError> {
    let networks = match network_or_any(asked.network.as_deref())? {
        Some(network) => vec![network],
        None => Network::ALL.to_vec(),
    };
    let (runtime, store) = look(&asked.place)?;
    let mut found = Vec::new();
    for network in networks {
        let key = LineKey { network, account: asked.account.as_str().into(), line: asked.line.as_str().into() };
        found.extend(runtime.block_on(store.of_line(&key)).map_err(CliError::failed)?);
    }
    if asked.json {
        say!("{}", Value::Array(found.iter().map(view::event).collect()));
    }
    if found.is_empty() {
        let account = &asked.account;
        return Err(CliError::Failed(format!(
            "no line `{}` of account `{account}`: see `hopgate orders list`, name the account with --account",
            asked.line
        )));
    }
    if asked.json {
        return Ok(());
    }
    for event in &found {
        let line = &event.line;
        say!("{} {} {}  #{}", line.key.network, line.key.account, line.key.line, event.seq);
        for (name, value) in view::line(line).as_object().into_iter().flatten() {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            if !value.is_null() && !text.is_empty() && !["network", "account", "line"].contains(&name.as_str()) {
                say!("  {name:<15} {text}");
            }
        }
    }
    Ok(())
}

fn batches(asked: &Batches) -> Result<(), CliError> {
    let (runtime, store) = look(&asked.place)?;
    let found = runtime.block_on(store.batches(asked.limit)).map_err(CliError::failed)?;
    if asked.json {
        say!("{}", serde_json::to_string(&found).map_err(CliError::failed)?);
        return Ok(());
    }
    say!(
        "{:>6} {:<10} {:<12} {:>10} {:>10} {:>11}  {:<33} source",
        "batch",
        "network",
        "account",
        "added",
        "unchanged",
        "quarantined",
        "begun"
    );
    for batch in found {
        let unended =
            if batch.ended_at.is_none() { "  未完成，请重新导入 / not ended: import it again" } else { "" };
        say!(
            "{:>6} {:<10} {:<12} {:>10} {:>10} {:>11}  {:<33} {}{unended}",
            batch.id,
            batch.network.as_str(),
            batch.account,
            batch.added,
            batch.unchanged,
            batch.quarantined,
            batch.begun_at.to_string(),
            batch.source
        );
    }
    Ok(())
}
