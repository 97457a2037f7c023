//! `hopgate ledger`: settling, periods, balances and the proof that the books are whole. Works on a data folder, beside a
//! running gateway or without one: whoever settles first has settled.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use tokio::runtime::Runtime;

use super::args::Place;
use super::args::ledger::{Balance as AskedBalance, Entries, Ledger as Asked, LedgerFormat};
use super::data::runtime;
use super::{CliError, settings_of};
use crate::app::DataDir;
use crate::app::ledger::settler;
use crate::attribution::ledger::chain::{EntryView, chain_of_line};
use crate::attribution::ledger::check::{check, name};
use crate::attribution::ledger::close::{NotClosed, close};
use crate::attribution::ledger::settle::{Counting, Settled, Settler};
use crate::attribution::ledger::sqlite::SqliteLedger;
use crate::attribution::ledger::{Balance, EntryQuery};
use crate::attribution::orders::sqlite::SqliteOrderStore;
use crate::attribution::stats::Stats;
use crate::clock::Clock;
use crate::config::attribution::read_rules;
use crate::config::settings::Settings;
use crate::domain::attribution::Network;
use crate::domain::attribution::entries::{Account, Kind, Party, Side};
use crate::domain::attribution::money::Fen;
use crate::domain::attribution::order::LineKey;
use crate::domain::attribution::period::Month;
use crate::domain::time::Timestamp;
use crate::policies::sqlite::SqlitePolicyStore;

/// Lines told of a recompute in a terminal; the rest is counted.
const TOLD: u64 = 50;

/// Runs `hopgate ledger`.
pub fn run(asked: Asked) -> Result<(), CliError> {
    match asked {
        Asked::Settle { place, json } => settle(&place, json),
        Asked::Close { place, month, by, json } => close_month(&place, month, &by, json),
        Asked::Show { place, json } => show(&place, json),
        Asked::Entries(asked) => entries(&asked),
        Asked::Balance(asked) => balance(&asked),
        Asked::Line { place, network, line, account } => line_of(&place, &network, &line, &account),
        Asked::Verify { place, json } => verify(&place, json),
        Asked::Recompute { place, rules, dry_run, json } => recompute(&place, rules.as_deref(), dry_run, json),
    }
}

/// The books of a data folder, open.
pub struct Books {
    /// Settles, and knows every store.
    pub settler: Settler,
    /// Figures and clicks.
    pub stats: Stats,
    /// For everything that waits.
    pub runtime: Runtime,
    data_dir: std::path::PathBuf,
}

impl Books {
    /// Opens the books of a data folder that is there.
    pub fn open(place: &Place) -> Result<Books, CliError> {
        Self::of(&settings_of(place)?)
    }

    /// The same, of settings.
    pub fn of(settings: &Settings) -> Result<Books, CliError> {
        let data = DataDir::new(&settings.data_dir);
        if !data.database().exists() && !data.orders().exists() {
            let problem =
                format!("{}: no data is there; name the data folder with --data-dir", settings.data_dir.display());
            return Err(CliError::Failed(problem));
        }
        let key = data.click_key()?;
        let stats = Stats::open(&data.stats(), &settings.attribution.validity).map_err(CliError::failed)?;
        let orders = SqliteOrderStore::open(&data.orders(), key.clone()).map_err(CliError::failed)?;
        let ledger = SqliteLedger::open(&data.orders()).map_err(CliError::failed)?;
        let policies = SqlitePolicyStore::open(&data.database()).map_err(CliError::failed)?;
        let settler = settler(
            Arc::new(ledger),
            Arc::new(orders),
            Arc::new(stats.clone()),
            Arc::new(policies),
            settings.words.clone(),
            Counting::of(&stats.rules()),
            key,
        );
        Ok(Books { settler, stats, runtime: runtime()?, data_dir: settings.data_dir.clone() })
    }

    /// Counts hops and settles orders, as far as there are any; tells of progress in a terminal.
    pub fn bring_up(&self, now: Timestamp) -> Result<Settled, CliError> {
        let terminal = std::io::stderr().is_terminal();
        if DataDir::new(&self.data_dir).journal().exists() {
            let told = |hops: u64| {
                if terminal {
                    eprint!("\r{hops} hops counted");
                }
            };
            self.stats.catch_up(&self.data_dir, None, told).map_err(CliError::failed)?;
        }
        let told = |settled: &Settled| {
            if terminal {
                eprint!("\r{} order reports, {} lines settled", settled.events, settled.lines);
            }
        };
        let settled = self.runtime.block_on(self.settler.settle_telling(now, told)).map_err(CliError::failed)?;
        if terminal {
            eprint!("\r\x1b[K");
        }
        Ok(settled)
    }
}

fn now() -> Timestamp {
    Clock::System.now()
}

/// `paid 12, confirmed 3`; `none` when there is nothing.
fn counts<'n>(counts: impl IntoIterator<Item = (&'n &'static str, &'n u64)>) -> String {
    let counts: BTreeMap<_, _> = counts.into_iter().collect();
    let shown: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    if shown.is_empty() { "无 / none".to_owned() } else { shown.join(", ") }
}

fn tell_settled(settled: &Settled) {
    say!("订单报告 / order reports  {}", settled.events);
    say!("子订单 / lines            {}", settled.lines);
    say!("归因 / matches            {}", counts(&settled.matches));
    say!("分录 / entries            {}", counts(&settled.entries));
    if settled.late > 0 {
        say!("迟到分录 / late entries   {}", settled.late);
    }
}

fn settle(place: &Place, json: bool) -> Result<(), CliError> {
    let settled = Books::open(place)?.bring_up(now())?;
    if json {
        say!("{}", json!(settled));
    } else {
        tell_settled(&settled);
    }
    Ok(())
}

fn close_month(place: &Place, month: Month, by: &str, json: bool) -> Result<(), CliError> {
    let now = now();
    if now < month.ends() {
        return Err(CliError::failed(NotClosed::NotOver { month }));
    }
    let books = Books::open(place)?;
    books.bring_up(now)?;
    let closed = books.runtime.block_on(close(&books.settler, month, by, now)).map_err(CliError::failed)?;
    if json {
        say!("{}", json!(closed));
    } else {
        say!("已关账 / closed  {month}");
        tell_balances(&sum_up(&closed.balances, None));
    }
    Ok(())
}

/// What a party is owed, by side.
#[derive(Default, Clone, Copy)]
struct Owed {
    expected: Fen,
    earned: Fen,
    reversed: Fen,
}

/// What each party is owed; of networks, what they owe.
fn sum_up(balances: &[Balance], creator: Option<&str>) -> BTreeMap<Party, Owed> {
    let mut owed: BTreeMap<Party, Owed> = BTreeMap::new();
    for balance in balances {
        let Account { party, side } = &balance.account;
        let wanted = creator.is_none_or(|creator| matches!(party, Party::Creator(id) if **id == *creator));
        if !wanted {
            continue;
        }
        let amount = match party {
            Party::Network(_) => balance.amount_fen,
            _ => -balance.amount_fen,
        };
        let of = owed.entry(party.clone()).or_default();
        *(if *side == Side::Estimated { &mut of.expected } else { &mut of.earned }) += amount;
        if balance.kind == Kind::Reversed {
            of.reversed += amount;
        }
    }
    owed
}

fn party_name(party: &Party) -> String {
    match party {
        Party::Network(network) => format!("network:{network}"),
        Party::Creator(id) => format!("creator:{id}"),
        Party::Unmatched(network) => format!("unmatched:{network}"),
    }
}

fn tell_balances(owed: &BTreeMap<Party, Owed>) {
    if owed.is_empty() {
        say!("没有余额 / no balances");
        return;
    }
    say!("{:<32} {:>16} {:>16} {:>16}  元 / yuan", "", "expected", "earned", "reversed");
    for (party, owed) in owed {
        let (expected, earned, reversed) =
            (owed.expected.to_string(), owed.earned.to_string(), owed.reversed.to_string());
        say!("{:<32} {expected:>16} {earned:>16} {reversed:>16}", party_name(party));
    }
}

fn show(place: &Place, json: bool) -> Result<(), CliError> {
    let books = Books::open(place)?;
    let ledger = &books.settler.ledger;
    let (marks, closed, balances) = books
        .runtime
        .block_on(async {
            Ok::<_, crate::attribution::StoreError>((
                ledger.marks().await?,
                ledger.closed().await?,
                ledger.balances(None).await?,
            ))
        })
        .map_err(CliError::failed)?;
    let mut months: Vec<Month> = balances.iter().map(|balance| balance.period).collect();
    months.extend(closed.iter().map(|closed| closed.period));
    months.sort_unstable();
    months.dedup();
    if json {
        let periods: Vec<_> = months
            .iter()
            .map(|month| {
                let done = closed.iter().find(|closed| closed.period == *month);
                let of: Vec<_> = balances.iter().filter(|balance| balance.period == *month).collect();
                json!({
                    "period": month,
                    "closed_at": done.map(|done| done.closed_at),
                    "closed_by": done.map(|done| &done.closed_by),
                    "balances": of,
                })
            })
            .collect();
        say!("{}", json!({ "settled_reports": marks.events, "periods": periods }));
        return Ok(());
    }
    say!("已入账订单报告 / order reports settled  {}", marks.events);
    for month in months {
        let of: Vec<Balance> = balances.iter().filter(|balance| balance.period == month).cloned().collect();
        let owed = sum_up(&of, None);
        let total = |creators: bool| {
            owed.iter().filter(move |(party, _)| {
                matches!(party, Party::Creator(_)) == creators && !matches!(party, Party::Network(_))
            })
        };
        let sum = |creators, pick: fn(&Owed) -> Fen| total(creators).map(|(_, owed)| pick(owed)).sum::<Fen>();
        let state = match closed.iter().find(|closed| closed.period == month) {
            Some(closed) => format!("已关账 / closed {} {}", closed.closed_at, closed.closed_by),
            None => "未关账 / open".to_owned(),
        };
        say!("\n{month}  {state}");
        say!("  创作者 / creators    expected {}  earned {}", sum(true, |o| o.expected), sum(true, |o| o.earned));
        say!("  未归因 / unmatched   expected {}  earned {}", sum(false, |o| o.expected), sum(false, |o| o.earned));
    }
    Ok(())
}

/// Writes rows as CSV to standard output.
fn csv(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Result<(), CliError> {
    let mut writer = ::csv::Writer::from_writer(BufWriter::new(std::io::stdout().lock()));
    let write = || {
        writer.write_record(head)?;
        for row in rows {
            writer.write_record(row)?;
        }
        writer.flush()
    };
    match write() {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(CliError::Failed(format!("cannot write to standard output: {error}"))),
        Ok(()) => Ok(()),
    }
}

fn entries(asked: &Entries) -> Result<(), CliError> {
    let books = Books::open(&asked.place)?;
    let query =
        EntryQuery { period: asked.period, creator: asked.creator.as_deref().map(Into::into), after: asked.after };
    let found = books.runtime.block_on(books.settler.ledger.entries(&query, asked.limit)).map_err(CliError::failed)?;
    match asked.format {
        LedgerFormat::Json => {
            let shown: Vec<_> = found
                .iter()
                .map(|entry| {
                    let mut shown = json!(EntryView::of(entry));
                    shown["network"] = json!(entry.key.network);
                    shown["line"] = json!(entry.key.line);
                    shown
                })
                .collect();
            say!("{}", json!(shown));
        }
        LedgerFormat::Csv => {
            let head = [
                "number",
                "transaction",
                "period",
                "late",
                "network",
                "line",
                "account",
                "kind",
                "amount_fen",
                "changed_at",
                "posted_at",
                "made_by",
                "match_version",
            ];
            csv(
                &head,
                found.iter().map(|entry| {
                    vec![
                        entry.number.to_string(),
                        entry.transaction.to_string(),
                        entry.period.to_string(),
                        entry.late.to_string(),
                        entry.key.network.to_string(),
                        harmless(&entry.key.line),
                        harmless(&entry.slot.account.to_string()),
                        entry.slot.kind.to_string(),
                        entry.amount.0.to_string(),
                        entry.changed_at.to_string(),
                        entry.posted_at.to_string(),
                        entry.trigger.to_string(),
                        entry.slot.booked.to_string(),
                    ]
                }),
            )?;
        }
        LedgerFormat::Text => {
            say!("{:>9} {:<7} {:<5} {:<32} {:<10} {:>14}  line", "number", "period", "late", "account", "kind", "yuan");
            for entry in &found {
                let (account, late) = (entry.slot.account.to_string(), if entry.late { "late" } else { "" });
                say!(
                    "{:>9} {:<7} {late:<5} {account:<32} {:<10} {:>14}  {}",
                    entry.number,
                    entry.period.to_string(),
                    entry.slot.kind.as_str(),
                    entry.amount.to_string(),
                    name(&entry.key),
                );
            }
            if found.len() == asked.limit
                && let Some(last) = found.last()
            {
                say!("还有更多 / there may be more: --after {}", last.number);
            }
        }
    }
    Ok(())
}

/// A text that no spreadsheet takes for a formula.
fn harmless(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}

fn balance(asked: &AskedBalance) -> Result<(), CliError> {
    let books = Books::open(&asked.place)?;
    let found = books.runtime.block_on(books.settler.ledger.balances(asked.period)).map_err(CliError::failed)?;
    let owed = sum_up(&found, asked.creator.as_deref());
    match asked.format {
        LedgerFormat::Text => tell_balances(&owed),
        LedgerFormat::Json => {
            let shown: Vec<_> = owed
                .iter()
                .map(|(party, owed)| {
                    json!({
                        "party": party_name(party),
                        "expected_fen": owed.expected,
                        "earned_fen": owed.earned,
                        "reversed_fen": owed.reversed,
                    })
                })
                .collect();
            say!("{}", json!(shown));
        }
        LedgerFormat::Csv => csv(
            &["party", "expected_fen", "earned_fen", "reversed_fen"],
            owed.iter().map(|(party, owed)| {
                let amounts = [owed.expected, owed.earned, owed.reversed].map(|amount| amount.0.to_string());
                std::iter::once(harmless(&party_name(party))).chain(amounts).collect()
            }),
        )?,
    }
    Ok(())
}

fn line_of(place: &Place, network: &str, line: &str, account: &str) -> Result<(), CliError> {
    let Some(network) = Network::parse(network) else {
        let known = Network::names().join(", ");
        return Err(CliError::Usage(format!("`{network}` is no network: use one of {known}")));
    };
    let books = Books::open(place)?;
    let key = LineKey { network, account: account.into(), line: line.into() };
    let Settler { ledger, orders, key: click_key, .. } = &books.settler;
    let chain =
        books.runtime.block_on(chain_of_line(&**ledger, &**orders, &key, click_key)).map_err(CliError::failed)?;
    let chain = chain.ok_or_else(|| CliError::Failed(format!("no report of `{}` was ever imported", name(&key))))?;
    let shown = serde_json::to_string_pretty(&chain).map_err(CliError::failed)?;
    say!("{shown}");
    Ok(())
}

fn verify(place: &Place, json: bool) -> Result<(), CliError> {
    let books = Books::open(place)?;
    let terminal = std::io::stderr().is_terminal();
    let told = |lines: u64| {
        if terminal {
            eprint!("\r{lines} lines checked");
        }
    };
    let checked = books.runtime.block_on(check(&books.settler, told)).map_err(CliError::failed)?;
    if terminal {
        eprint!("\r\x1b[K");
    }
    if json {
        say!("{}", json!(checked));
    } else {
        checked.faults.iter().for_each(|fault| eprintln!("{fault}"));
        say!("已核对子订单 / lines checked          {}", checked.lines);
        say!("待入账订单报告 / order reports waiting  {}", checked.waiting);
        say!("错误 / faults                         {}", checked.fault_count);
    }
    match checked.fault_count {
        0 => Ok(()),
        count => {
            Err(CliError::Failed(format!("the books are not whole: {count} faults; restore a backup of orders.sqlite")))
        }
    }
}

fn recompute(place: &Place, rules: Option<&Path>, dry: bool, json: bool) -> Result<(), CliError> {
    let books = Books::open(place)?;
    let now = now();
    books.bring_up(now)?;
    let counting = match rules {
        Some(path) => {
            let name = path.display().to_string();
            let text = fs::read_to_string(path).map_err(|error| CliError::Failed(format!("{name}: {error}")))?;
            Counting::of(&read_rules(&name, &text).map_err(CliError::Config)?)
        }
        None => books.settler.counting.clone(),
    };
    let settler = Settler { counting, ..books.settler.clone() };
    let mut told = 0;
    let mut moved: BTreeMap<String, Fen> = BTreeMap::new();
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut broken = None;
    let settled = books.runtime.block_on(settler.recompute(now, dry, |line, before| {
        for entry in &line.entries {
            *moved.entry(entry.slot.account.to_string()).or_default() += entry.amount;
        }
        told += 1;
        let (from, to) = (before, line.matched.as_ref());
        let whom = |matched: Option<&crate::domain::attribution::matching::Match>| match matched {
            Some(matched) => match (matched.creator(), matched.reason) {
                (Some(creator), _) => format!("{} {creator}", matched.method),
                (None, Some(reason)) => format!("none {reason}"),
                (None, None) => format!("{} -", matched.method),
            },
            None => "as before".to_owned(),
        };
        let written = if json {
            let entries: Vec<_> = line
                .entries
                .iter()
                .map(|entry| json!({"account": entry.slot.account, "kind": entry.slot.kind, "amount_fen": entry.amount, "period": entry.period}))
                .collect();
            let key = &line.line.key;
            let shown = json!({"network": key.network, "account": key.account, "line": key.line, "from": whom(from), "to": whom(to), "entries": entries});
            writeln!(out, "{shown}")
        } else if told <= TOLD {
            writeln!(out, "{}: {} → {}", name(&line.line.key), whom(from), whom(to))
        } else {
            Ok(())
        };
        broken = written.err().or(broken.take());
    }));
    let settled = settled.map_err(CliError::failed)?;
    if let Some(error) = broken.or(out.flush().err()).filter(|error| error.kind() != std::io::ErrorKind::BrokenPipe) {
        return Err(CliError::Failed(format!("cannot write to standard output: {error}")));
    }
    drop(out);
    moved.retain(|_, amount| !amount.is_zero());
    if json {
        say!(
            "{}",
            json!({"dry_run": dry, "rules": settler.counting.version, "lines": settled.lines, "moved_fen": moved})
        );
        return Ok(());
    }
    if told > TOLD {
        say!("… 另有 {} 条 / and {} more", told - TOLD, told - TOLD);
    }
    let done = if dry { "试算，未入账 / dry run, nothing was booked" } else { "已入账 / booked" };
    say!("{done}: {} 条子订单变动 / lines change; 规则 / rules {}", settled.lines, settler.counting.version);
    for (account, amount) in moved {
        say!("  {account:<40} {:>14}", amount.to_string());
    }
    Ok(())
}
