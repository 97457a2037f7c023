//! `hopgate orders position`: whose a pid, position or relation is.

use std::path::Path;

use serde_json::{Value, json};

use super::CliError;
use super::args::Place;
use super::args::orders::Position;
use super::orders::{look, network, network_or_any, open};
use super::progress::grouped;
use crate::attribution::orders::intake::{self, OrderIntake as _, Registered, release_all};
use crate::attribution::touches::Subject;
use crate::clock::Clock;
use crate::control::orders as view;

/// Faults of a file that are shown; the rest is counted.
const SHOWN_FAULTS: usize = 100;

/// Runs `hopgate orders position`.
pub fn run(asked: Position) -> Result<(), CliError> {
    match asked {
        Position::Add { place, network, kind, creator, code, shared, position } => {
            let told =
                json!({ "network": network, "position": position, "kind": kind, "creator": creator, "code": code });
            let one = view::read_position(&told).map_err(|faults| CliError::Usage(super::data::told(&faults)))?;
            register(&place, vec![one], shared)
        }
        Position::Import { place, shared, file } => import_positions(&place, &file, shared),
        Position::Remove { place, network: named, position } => {
            let network = network(&named)?;
            let (runtime, store) = look(&place)?;
            match runtime.block_on(store.unregister(network, &position)).map_err(CliError::failed)? {
                0 => Err(CliError::Failed(format!(
                    "`{position}` of {network} is not registered: see `hopgate orders position list`; what a link tells \
                     ends with its creator or address"
                ))),
                gone => {
                    say!("removed {gone}");
                    Ok(())
                }
            }
        }
        Position::List { place, network, limit, json } => {
            let network = network_or_any(network.as_deref())?;
            let (runtime, store) = open(&place, true)?;
            let found = runtime.block_on(store.positions(network, limit)).map_err(CliError::failed)?;
            if json {
                say!("{}", Value::Array(found.iter().map(view::position).collect()));
                return Ok(());
            }
            say!("{:<10} {:<32} {:<9} {:<28} from", "network", "position", "kind", "whose");
            for one in found {
                let whose = view::whose(&one.subject);
                let from = one.link.map_or("registered".to_owned(), |code| format!("link {code}"));
                say!("{:<10} {:<32} {:<9} {whose:<28} {from}", one.network.as_str(), one.position, one.kind.as_str());
            }
            Ok(())
        }
    }
}

fn register(place: &Place, positions: Vec<intake::Position>, shared: bool) -> Result<(), CliError> {
    let (runtime, store) = open(place, true)?;
    let named = |(place, other): &(usize, Subject)| {
        let intake::Position { network, position, .. } = &positions[*place];
        (network, position, view::whose(other))
    };
    let registered = runtime.block_on(store.register(positions.clone(), shared)).map_err(CliError::failed)?;
    let (new, others) = match &registered {
        Registered::New { new, others } => (new, others),
        Registered::Taken(taken) => {
            let told = taken.iter().take(SHOWN_FAULTS).map(|one| {
                let (network, position, other) = named(one);
                format!(
                    "`{position}` of {network}: {other} has it already: `hopgate orders position remove --network {network} \
                     {position}` takes it back"
                )
            });
            let told = told.collect::<Vec<_>>().join("\n");
            return Err(CliError::Failed(format!(
                "{told}\nnothing was registered; with --shared both have it, and the last click of either counts"
            )));
        }
    };
    let released = runtime.block_on(release_all(&store, Clock::System.now())).map_err(CliError::failed)?;
    say!("registered {new}");
    for one in others.iter().take(SHOWN_FAULTS) {
        let (network, position, other) = named(one);
        say!("共用 / shared: `{position}` of {network} is {other}'s too");
    }
    if released > 0 {
        say!("隔离区中等待的行已重新读取 / rows that waited were read again: {}", grouped(released));
    }
    Ok(())
}

fn import_positions(place: &Place, path: &Path, shared: bool) -> Result<(), CliError> {
    let failed = |error: &dyn std::fmt::Display| CliError::Failed(format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let mut found: Vec<(usize, Result<Value, String>)> = Vec::new();
    if text.starts_with('{') {
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            found.push((number + 1, serde_json::from_str(line).map_err(|error| format!("not JSON: {error}"))));
        }
    } else {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        for (number, record) in reader.deserialize::<std::collections::BTreeMap<String, String>>().enumerate() {
            found.push((number + 2, record.map(|record| json!(record)).map_err(|error| error.to_string())));
        }
    }
    let (mut positions, mut faults) = (Vec::new(), Vec::new());
    for (number, value) in found {
        match value.map(|value| view::read_position(&value)) {
            Ok(Ok(position)) => positions.push(position),
            Ok(Err(more)) => faults.extend(more.iter().map(|fault| format!("line {number}: {fault}"))),
            Err(problem) => faults.push(format!("line {number}: {problem}")),
        }
    }
    if !faults.is_empty() {
        let shown: Vec<&str> = faults.iter().take(SHOWN_FAULTS).map(String::as_str).collect();
        let problem = format!("{}\n{} faults; nothing was registered", shown.join("\n"), faults.len());
        return Err(CliError::Failed(problem));
    }
    register(place, positions, shared)
}
