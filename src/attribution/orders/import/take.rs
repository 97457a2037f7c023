//! Hands rows to the store, a thousand in a transaction, and adds up what became of them. A killed import has kept whole
//! transactions: importing the file again completes it, and doubles nothing.

use std::collections::{BTreeMap, HashSet};

use ring::digest::{SHA256, digest};
use serde_json::Value;

use super::super::intake::{Kept, NewBatch, OrderIntake, Reading, release_all};
use super::fault::{BadRow, Reason, RowFault};
use super::{Given, read};
use crate::attribution::StoreError;
use crate::domain::attribution::Network;
use crate::domain::time::Timestamp;

/// Rows in one transaction.
const CHUNK: usize = 1_000;
/// Rows that were set aside for one reason and are told one by one; the rest is counted.
pub const SHOWN: u64 = 3;
/// The longest row that is kept when it cannot be read, in bytes; what is beyond is cut.
const LONGEST_BROKEN: usize = 64 << 10;

/// Where rows come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// Whose report. Rows of [`Network::Direct`] may name another in `network`, and have its fields then.
    pub network: Network,
    /// Our account there.
    pub account: Box<str>,
    /// The order scene that was asked for, where rows do not say it.
    pub scene: Option<u32>,
    /// A file's name, `api`, `pull`: kept with the batch.
    pub name: String,
    /// Keep nothing, only say what would become of the rows.
    pub dry: bool,
}

/// What became of rows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Taken {
    /// The batch; none in a dry run.
    pub batch: Option<i64>,
    /// How many came.
    pub rows: u64,
    /// How many said something new.
    pub added: u64,
    /// How many were known.
    pub unchanged: u64,
    /// How many were set aside, by reason.
    pub quarantined: BTreeMap<Reason, u64>,
    /// The first of those, of each reason: place, number in the quarantine, faults.
    pub shown: Vec<(u64, i64, Vec<RowFault>)>,
}

impl Taken {
    /// How many were set aside.
    pub fn set_aside(&self) -> u64 {
        self.quarantined.values().sum()
    }
}

/// Takes the rows of one batch.
pub struct Taker<'s> {
    store: &'s dyn OrderIntake,
    source: Source,
    now: Timestamp,
    waiting: Vec<Reading>,
    taken: Taken,
    each: Option<Vec<(Reading, Kept)>>,
    seen: HashSet<[u8; 32]>,
}

impl<'s> Taker<'s> {
    /// Begins a batch.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn begin(store: &'s dyn OrderIntake, source: Source, now: Timestamp) -> Result<Self, StoreError> {
        // What an earlier run was killed over, and what other processes made known.
        if !source.dry {
            release_all(store, now).await?;
        }
        let begun = NewBatch { network: source.network, account: source.account.clone(), source: source.name.clone() };
        let batch = if source.dry { None } else { Some(store.begin(begun, now).await?) };
        let taken = Taken { batch, ..Taken::default() };
        Ok(Taker { store, source, now, waiting: Vec::new(), taken, each: None, seen: HashSet::new() })
    }

    /// Remembers what becomes of each row, for [`Taker::finish`] to tell.
    pub fn remember(&mut self) {
        self.each = Some(Vec::new());
    }

    /// Adds a row; whether it is time to [`Taker::flush`].
    pub fn push(&mut self, row: &Value) -> bool {
        let reading = self.read(row);
        self.put(reading)
    }

    /// Adds a row that has a fault which it does not show by itself; whether it is time to [`Taker::flush`].
    pub fn push_faulty(&mut self, row: &Value, fault: RowFault) -> bool {
        let mut reading = self.read(row);
        let mut bad = match reading.read {
            Ok(line) => BadRow {
                faults: Vec::new(),
                line: line.key.line,
                raw_state: line.raw_state,
                modified_at: Some(line.modified_at),
            },
            Err(bad) => bad,
        };
        bad.faults.insert(0, fault);
        reading.read = Err(bad);
        self.put(reading)
    }

    fn read(&self, row: &Value) -> Reading {
        let Source { network, account, scene, .. } = &self.source;
        let (mut network, mut account) = (*network, account.clone());
        let mut fault = None;
        if network == Network::Direct {
            let named = |field: &str| row.get(field).filter(|value| !value.is_null());
            if let Some(named) = named("network") {
                match named.as_str().and_then(Network::parse) {
                    Some(known) => network = known,
                    None => {
                        let problem = format!("use one of {}", Network::names().join(", "));
                        fault = Some(RowFault::new(
                            "network",
                            &super::fault::shown(named),
                            Reason::UnknownNetwork,
                            problem,
                        ));
                    }
                }
            }
            match named("account").map(Value::as_str) {
                Some(Some(text)) if is_account(text) => account = text.into(),
                Some(_) => {
                    let problem = "1 to 64 letters, digits and _ - . : belong here";
                    let value = row.get("account").map(super::fault::shown).unwrap_or_default();
                    fault = fault.or(Some(RowFault::new("account", &value, Reason::MalformedText, problem)));
                }
                None => {}
            }
        }
        let given = Given { account: account.clone(), scene: *scene, now: self.now };
        let read = match fault {
            Some(fault) => Err(BadRow::one(fault)),
            None => read(network, row, &given),
        };
        let scene = given.scene;
        Reading { network, account, scene, number: 0, raw: row.to_string(), read }
    }

    /// Adds what cannot be read as a row; whether it is time to [`Taker::flush`].
    pub fn push_broken(&mut self, mut raw: String, problem: String) -> bool {
        raw.truncate(raw.floor_char_boundary(LONGEST_BROKEN));
        let read = Err(BadRow::one(RowFault::new("", &raw, Reason::NotARow, problem)));
        let Source { network, account, scene, .. } = &self.source;
        let (network, account, scene) = (*network, account.clone(), *scene);
        self.put(Reading { network, account, scene, number: 0, raw, read })
    }

    fn put(&mut self, row: Reading) -> bool {
        self.taken.rows += 1;
        self.waiting.push(Reading { number: self.taken.rows, ..row });
        self.waiting.len() >= CHUNK
    }

    /// Rows that came so far.
    pub fn rows(&self) -> u64 {
        self.taken.rows
    }

    /// Takes what was added, durably.
    ///
    /// # Errors
    /// [`StoreError`]; what was taken before stays.
    pub async fn flush(&mut self) -> Result<(), StoreError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.waiting);
        let asked = if self.each.is_some() { rows.clone() } else { Vec::new() };
        let places: Vec<(u64, Option<[u8; 32]>)> =
            rows.iter().map(|row| (row.number, self.source.dry.then(|| sha(&row.raw)))).collect();
        let mut became = self.store.append(self.taken.batch, rows, self.now).await?;
        for ((number, hash), kept) in places.into_iter().zip(&mut became) {
            // Nothing is kept in a dry run: what came before in the same file must be remembered here.
            if hash.is_some_and(|hash| !self.seen.insert(hash)) && *kept == Kept::Added {
                *kept = Kept::Unchanged;
            }
            match kept {
                Kept::Added => self.taken.added += 1,
                Kept::Unchanged => self.taken.unchanged += 1,
                Kept::Quarantined { id, faults } => {
                    let reason = faults.first().map_or(Reason::NotARow, |fault| fault.reason);
                    let count = self.taken.quarantined.entry(reason).or_default();
                    *count += 1;
                    if *count <= SHOWN {
                        self.taken.shown.push((number, *id, faults.clone()));
                    }
                }
            }
        }
        if let Some(each) = &mut self.each {
            each.extend(asked.into_iter().zip(became));
        }
        Ok(())
    }

    /// Takes the rest of what could be read; the batch is not noted as read to its end.
    ///
    /// # Errors
    /// [`StoreError`]; what was taken before stays.
    pub async fn break_off(mut self) -> Result<Taken, StoreError> {
        self.flush().await?;
        Ok(self.taken)
    }

    /// Takes the rest, and notes that the batch was read to its end.
    ///
    /// # Errors
    /// [`StoreError`]; what was taken before stays.
    pub async fn finish(mut self, file_hash: Option<[u8; 32]>) -> Result<(Taken, Vec<(Reading, Kept)>), StoreError> {
        self.flush().await?;
        if let Some(batch) = self.taken.batch {
            self.store.finish(batch, file_hash, self.now).await?;
        }
        Ok((self.taken, self.each.unwrap_or_default()))
    }
}

/// Whether a text can name an account.
pub fn is_account(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':');
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

fn sha(text: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    hash
}
