//! `hopgate orders pull`: order reports from the networks themselves, as a running gateway pulls them in the background.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::args::Place;
use super::data::runtime;
use super::{CliError, settings_of};
use crate::alliance::account::{Account, accounts};
use crate::alliance::puller::{Done, Puller, Step, Tools};
use crate::alliance::request::{Window, queries};
use crate::alliance::sink::OrderSink;
use crate::alliance::sqlite::SqlitePullStore;
use crate::alliance::tally::Tally;
use crate::app::DataDir;
use crate::attribution::orders::sqlite::SqliteOrderStore;
use crate::clock::Clock;
use crate::domain::attribution::Network;
use crate::domain::time::Timestamp;

/// Failures in a row after which the command gives up.
const MOST_FAILURES: u32 = 8;

/// `hopgate orders pull`.
#[derive(Args, Debug)]
pub struct Pull {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// From which network: taobao or jd, one of [alliances].
    #[arg(long)]
    pub network: String,
    /// From this account only.
    #[arg(long)]
    pub account: Option<String>,
    /// Read again from this time on; the cursor stays where it is. Needs --to, or reads to now.
    #[arg(long, value_name = "TIME")]
    pub from: Option<Timestamp>,
    /// Until just before this time, with --from.
    #[arg(long, value_name = "TIME", requires = "from")]
    pub to: Option<Timestamp>,
    /// End when everything up to now is read; without it the command goes on until it is interrupted.
    #[arg(long)]
    pub once: bool,
    /// One JSON object a stretch that was read.
    #[arg(long)]
    pub json: bool,
}

/// Runs `hopgate orders pull`.
pub fn run(asked: &Pull) -> Result<(), CliError> {
    let settings = settings_of(&asked.place)?;
    let network = Network::parse(&asked.network).filter(|network| settings.alliances.of(*network).is_some());
    let Some(network) = network else {
        let known: Vec<&str> = settings.alliances.networks.iter().map(|one| one.network.as_str()).collect();
        let known = if known.is_empty() { "none is".to_owned() } else { format!("there are {}", known.join(", ")) };
        return Err(CliError::Usage(format!("--network: `{}`: {known} under [alliances]", asked.network)));
    };
    let all = accounts(&settings.alliances).map_err(CliError::Config)?.into_iter();
    let all: Vec<Account> = all.filter(|account| account.settings.network == network).collect();
    let known: Vec<String> = all.iter().map(|account| account.name.to_string()).collect();
    let wanted = |account: &Account| asked.account.as_deref().is_none_or(|name| *account.name == *name);
    let chosen: Vec<Arc<Account>> = all.into_iter().filter(wanted).map(Arc::new).collect();
    if chosen.is_empty() {
        let name = asked.account.as_deref().unwrap_or_default();
        return Err(CliError::Usage(format!("--account: `{name}`: there are {}", known.join(", "))));
    }
    let data = DataDir::new(&settings.data_dir);
    data.create()?;
    let orders = SqliteOrderStore::open(&data.orders(), data.click_key()?).map_err(CliError::failed)?;
    let store = SqlitePullStore::open(&data.orders()).map_err(CliError::failed)?;
    let clock = Clock::System;
    let now = clock.now();
    let tools = Tools {
        store: Arc::new(store),
        sink: Arc::new(OrderSink(Arc::new(orders))),
        clock: clock.clone(),
        tally: Arc::new(Tally::default()),
    };
    let mut pullers: Vec<Puller> = Vec::new();
    for account in &chosen {
        for query in queries(network, &account.settings.order_scenes) {
            let (account, tools) = (Arc::clone(account), tools.clone());
            pullers.push(match asked.from {
                Some(from) => {
                    let window = Window { from, to: asked.to.unwrap_or(now).min(now) };
                    Puller::between(account, query, tools, window)
                }
                None => Puller::new(account, query, tools),
            });
        }
    }
    let once = asked.once || asked.from.is_some();
    runtime()?.block_on(async {
        loop {
            let mut next = Timestamp::MAX;
            for puller in &mut pullers {
                next = next.min(catch_up(puller, asked.json).await?);
            }
            if once {
                return Ok(());
            }
            let wait = Duration::from_micros(next.micros().saturating_sub(clock.now().micros()).max(0).unsigned_abs());
            tokio::time::sleep(wait.max(Duration::from_millis(100))).await;
        }
    })
}

/// Reads a stream until nothing is due; when it is due again.
async fn catch_up(puller: &mut Puller, json: bool) -> Result<Timestamp, CliError> {
    loop {
        match puller.step().await {
            Ok(Step::Read(done)) => show(puller, &done, json),
            Ok(Step::Rest(until)) => return Ok(until),
            Err(trouble) => {
                let stream = puller.stream();
                let place = format!("{} {} {}", stream.network, stream.account, stream.query);
                if trouble.lasts() || puller.failures() >= MOST_FAILURES {
                    return Err(CliError::Failed(format!("{place}: {trouble}")));
                }
                let wait = puller.wait(&trouble);
                eprintln!("{place}: {trouble}; again in {} ms", wait.as_millis());
                tokio::time::sleep(wait).await;
            }
        }
    }
}

fn show(puller: &Puller, done: &Done, json: bool) {
    let stream = puller.stream();
    if json {
        let mut line = json!(stream);
        if let (Some(line), serde_json::Value::Object(done)) = (line.as_object_mut(), json!(done)) {
            line.extend(done);
        }
        say!("{line}");
        return;
    }
    let Done { window, rows, kept, .. } = done;
    let (from, to) = (window.from, window.to);
    let place = format!("{} {} {}", stream.network, stream.account, stream.query);
    let aside = if kept.quarantined > 0 { format!(", {} set aside", kept.quarantined) } else { String::new() };
    say!("{place}  {from} – {to}  {rows} rows: {} new, {} known{aside}", kept.new, kept.known);
}
