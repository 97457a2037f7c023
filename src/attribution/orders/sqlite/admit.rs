//! What becomes of a row, under the write lock: added, known, or set aside.

use std::collections::HashMap;

use ring::digest::{SHA256, digest};
use rusqlite::{Connection, params};
use serde_json::Value;

use super::super::import::fault::{BadRow, Reason, RowFault};
use super::super::import::{Given, read as read_row};
use super::super::intake::{Kept, Outcome, Reading};
use super::{count, counted, next, positions, quarantine};
use crate::domain::attribution::Network;
use crate::domain::attribution::order::OrderLine;
use crate::domain::click_id::ClickKey;
use crate::domain::time::Timestamp;

/// What one transaction of taking rows in knows.
struct Intake<'c> {
    connection: &'c Connection,
    key: &'c ClickKey,
    batch: i64,
    now: Timestamp,
    next_seq: i64,
    next_line: i64,
    /// Whether anything is set aside at all: most of the time nothing is, and nothing is looked for.
    open: bool,
    known: HashMap<(Network, Box<str>), bool>,
    /// Lines that began to be known, whose rows that waited for a position need wait no longer.
    begun: Vec<(Network, Box<str>, Box<str>)>,
}

/// SHA-256.
pub(super) fn sha(text: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    hash
}

/// Maps of serde_json are sorted: one line has one text.
fn text_of(line: &OrderLine) -> rusqlite::Result<String> {
    let text = serde_json::to_value(line).map(|value| value.to_string());
    text.map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// The place of a row, as it is kept.
pub(super) fn number(row: &Reading) -> i64 {
    i64::try_from(row.number).unwrap_or(i64::MAX)
}

impl<'c> Intake<'c> {
    fn new(connection: &'c Connection, key: &'c ClickKey, batch: i64, now: Timestamp) -> rusqlite::Result<Self> {
        Ok(Intake {
            connection,
            key,
            batch,
            now,
            next_seq: next(connection, "SELECT COALESCE(MAX(seq), 0) FROM order_events")?,
            next_line: next(connection, "SELECT COALESCE(MAX(number), 0) FROM order_lines")?,
            open: quarantine::any_open(connection)?,
            known: HashMap::new(),
            begun: Vec::new(),
        })
    }

    fn take(&mut self, row: &Reading) -> rusqlite::Result<Kept> {
        match &row.read {
            Ok(line) => self.take_line(row, line),
            Err(bad) => self.set_aside(row, bad, &[]),
        }
    }

    fn take_line(&mut self, row: &Reading, line: &OrderLine) -> rusqlite::Result<Kept> {
        let begun = self.begun(line)?;
        if !begun && !self.position_known(line)? {
            let promotion = &line.promotion;
            let bad = self.about(line, unknown_position(line));
            let waits = [&promotion.pid, &promotion.position, &promotion.relation];
            let waits: Vec<&str> = waits.into_iter().map(|text| &**text).filter(|text| !text.is_empty()).collect();
            return self.set_aside(row, &bad, &waits);
        }
        let body = text_of(line)?;
        let hash = sha(&body);
        let key = &line.key;
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO order_events (seq, network, account, line, hash, modified_at, state, body, raw, batch, row_number) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (network, account, line, hash) DO NOTHING",
        )?;
        let (network, state) = (key.network.as_str(), line.state.as_str());
        let known = begun && self.known_otherwise(line, &body)?;
        let added = !known
            && insert.execute(params![
                self.next_seq,
                network,
                key.account,
                key.line,
                hash,
                line.modified_at.micros(),
                state,
                body,
                row.raw,
                self.batch,
                number(row)
            ])? == 1;
        let mut kept = if added { Kept::Added } else { Kept::Unchanged };
        if added {
            self.stand(line, &hash, !begun)?;
            self.next_seq += 1;
            if let Some(conflict) = self.conflict(row, line)? {
                kept = conflict;
            }
        } else if self.open
            && let Some(known) = quarantine::known_duplicate(self.connection, row)?
        {
            kept = known;
        }
        if self.open {
            quarantine::mend(self.connection, line, added, self.batch, self.now)?;
        }
        Ok(kept)
    }

    /// Whether the same report was kept before shops had ids and an unknown price was told from none.
    fn known_otherwise(&self, line: &OrderLine, body: &str) -> rusqlite::Result<bool> {
        let mut before = line.clone();
        let (shop, name) = (std::mem::take(&mut before.shop), std::mem::take(&mut before.shop_name));
        before.shop = match line.key.network {
            Network::Taobao => name,
            Network::Jd | Network::Pinduoduo => shop.strip_prefix("shop:").unwrap_or(&shop).into(),
            Network::Direct => shop,
        };
        before.paid = Some(line.paid.unwrap_or_default());
        let key = &line.key;
        let text = text_of(&before)?;
        let sql = "SELECT 1 FROM order_events WHERE network = ?1 AND account = ?2 AND line = ?3 AND hash = ?4";
        let asked = params![key.network.as_str(), key.account, key.line, sha(&text)];
        Ok(text != body && self.connection.prepare_cached(sql)?.exists(asked)?)
    }

    /// Whether there is a report of the line already: what it says later is taken whoever has its position by then.
    fn begun(&self, line: &OrderLine) -> rusqlite::Result<bool> {
        let sql = "SELECT 1 FROM order_lines WHERE network = ?1 AND account = ?2 AND line = ?3";
        let key = &line.key;
        self.connection.prepare_cached(sql)?.exists(params![key.network.as_str(), key.account, key.line])
    }

    fn position_known(&mut self, line: &OrderLine) -> rusqlite::Result<bool> {
        let promotion = &line.promotion;
        let places = [&promotion.pid, &promotion.position, &promotion.relation];
        if places.iter().all(|place| place.is_empty()) || self.key.parse(&promotion.sub_id).is_ok() {
            return Ok(true);
        }
        for place in places.into_iter().filter(|place| !place.is_empty()) {
            let key = (line.key.network, place.clone());
            let known = match self.known.get(&key) {
                Some(known) => *known,
                None => {
                    let known = positions::any(self.connection, line.key.network, place)?;
                    self.known.insert(key, known);
                    known
                }
            };
            if known {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Keeps how the line stands now: by the youngest of its reports, whichever came last.
    fn stand(&mut self, line: &OrderLine, hash: &[u8; 32], new: bool) -> rusqlite::Result<()> {
        let mut upsert = self.connection.prepare_cached(
            "INSERT INTO order_lines (number, network, account, line, order_number, created_at, modified_at, state, \
             state_rank, raw_state, hash, event) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) \
             ON CONFLICT (network, account, line) DO UPDATE SET order_number = excluded.order_number, \
             created_at = excluded.created_at, modified_at = excluded.modified_at, state = excluded.state, \
             state_rank = excluded.state_rank, raw_state = excluded.raw_state, hash = excluded.hash, \
             event = excluded.event WHERE (excluded.modified_at, excluded.state_rank, excluded.hash) > \
             (order_lines.modified_at, order_lines.state_rank, order_lines.hash)",
        )?;
        let key = &line.key;
        upsert.execute(params![
            self.next_line,
            key.network.as_str(),
            key.account,
            key.line,
            line.order,
            line.created_at.micros(),
            line.modified_at.micros(),
            line.state.as_str(),
            line.state as i64,
            line.raw_state,
            hash,
            self.next_seq
        ])?;
        if new {
            self.next_line += 1;
            if self.open {
                self.begun.push((key.network, key.account.clone(), key.line.clone()));
            }
        }
        Ok(())
    }

    /// Sets aside what contradicts another report of the same change of the line. Both are kept as reports, and the one with
    /// the greater hash counts, so that the order of importing does not matter; the other is listed for somebody to look at.
    fn conflict(&mut self, row: &Reading, line: &OrderLine) -> rusqlite::Result<Option<Kept>> {
        let key = &line.key;
        let mut statement = self.connection.prepare_cached(
            "SELECT body, raw, batch, row_number FROM order_events WHERE network = ?1 AND account = ?2 AND line = ?3 \
             AND modified_at = ?4 AND state = ?5 ORDER BY hash DESC",
        )?;
        let (network, modified, state) = (key.network.as_str(), line.modified_at.micros(), line.state.as_str());
        let found: Vec<(String, String, i64, u64)> = statement
            .query_map(params![network, key.account, key.line, modified, state], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, counted(row, 3)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        let Some(((counts, counting, ..), others)) = found.split_first() else { return Ok(None) };
        let mut kept = None;
        for (body, raw, batch, number) in others {
            let fault = RowFault::new("", "", Reason::DuplicateKey, differs(counts, body));
            let bad = self.about(line, fault);
            // Each with its own place, whichever of them came last.
            let set_aside = Reading { raw: raw.clone(), number: *number, ..row.clone() };
            let id = quarantine::keep(self.connection, &set_aside, &bad, *batch, self.now)?;
            self.open = true;
            // The new row is told of, whether it is the one that counts or not.
            if *raw == row.raw || *counting == row.raw {
                kept = Some(Kept::Quarantined { id, faults: bad.faults });
            }
        }
        Ok(kept)
    }

    fn about(&self, line: &OrderLine, fault: RowFault) -> BadRow {
        let (key, raw_state) = (line.key.line.clone(), line.raw_state.clone());
        BadRow { faults: vec![fault], line: key, raw_state, modified_at: Some(line.modified_at) }
    }

    fn set_aside(&mut self, row: &Reading, bad: &BadRow, waits: &[&str]) -> rusqlite::Result<Kept> {
        let id = quarantine::keep(self.connection, row, bad, self.batch, self.now)?;
        quarantine::wait(self.connection, id, row.network, waits)?;
        self.open = true;
        Ok(Kept::Quarantined { id, faults: bad.faults.clone() })
    }

    /// Takes in what waited for a position although its line is known by now.
    fn settle(&mut self) -> rusqlite::Result<()> {
        while let Some((network, account, line)) = self.begun.pop() {
            for id in quarantine::waiting_of(self.connection, network, &account, &line)? {
                self.again(id)?;
            }
        }
        Ok(())
    }

    /// Reads a row that was set aside once more; whether it is good now.
    fn again(&mut self, id: i64) -> rusqlite::Result<bool> {
        let Some((row, batch)) = quarantine::to_read_again(self.connection, id)? else { return Ok(false) };
        let given = Given { account: row.account.clone(), scene: row.scene, now: self.now };
        let read = match serde_json::from_str::<Value>(&row.raw) {
            Ok(value) => read_row(row.network, &value, &given),
            Err(_) => return Ok(false),
        };
        let before = std::mem::replace(&mut self.batch, batch);
        let kept = self.take(&Reading { read, ..row });
        self.batch = before;
        let good = !matches!(kept?, Kept::Quarantined { .. });
        if good {
            quarantine::mended(self.connection, id, self.now)?;
        }
        Ok(good)
    }
}

/// Takes rows in; what became of each.
pub(super) fn batch(
    connection: &Connection,
    key: &ClickKey,
    batch: i64,
    rows: Vec<Reading>,
    now: Timestamp,
) -> rusqlite::Result<Vec<Kept>> {
    let mut intake = Intake::new(connection, key, batch, now)?;
    let mut kept = Vec::with_capacity(rows.len());
    let mut totals = HashMap::<(Network, Outcome), i64>::new();
    for row in &rows {
        let became = intake.take(row)?;
        *totals.entry((row.network, became.outcome())).or_default() += 1;
        kept.push(became);
    }
    intake.settle()?;
    for ((network, outcome), more) in &totals {
        count(connection, *network, *outcome, *more)?;
    }
    let total = |asked| totals.iter().filter(|((_, outcome), _)| *outcome == asked).map(|(_, more)| more).sum::<i64>();
    connection
        .prepare_cached(
            "UPDATE order_batches SET added = added + ?2, unchanged = unchanged + ?3, quarantined = quarantined + ?4 \
             WHERE id = ?1",
        )?
        .execute(params![batch, total(Outcome::Added), total(Outcome::Unchanged), total(Outcome::Quarantined)])?;
    Ok(kept)
}

/// Reads rows that were set aside once more; how many of them are good now.
pub(super) fn again(connection: &Connection, key: &ClickKey, ids: &[i64], now: Timestamp) -> rusqlite::Result<u64> {
    let mut intake = Intake::new(connection, key, 0, now)?;
    let mut good = 0;
    for id in ids {
        good += u64::from(intake.again(*id)?);
    }
    intake.settle()?;
    Ok(good)
}

fn unknown_position(line: &OrderLine) -> RowFault {
    let promotion = &line.promotion;
    let network = line.key.network;
    let (field, value) =
        match [("pid", &promotion.pid), ("position", &promotion.position), ("relation", &promotion.relation)]
            .into_iter()
            .find(|(_, text)| !text.is_empty())
        {
            Some((field, text)) => (field, &**text),
            None => ("", ""),
        };
    let problem = format!(
        "nobody was given this: `hopgate orders position add --network {network} {value} --creator …` takes the row in"
    );
    RowFault::new(field, value, Reason::UnknownPosition, problem)
}

/// Where two reports of the same change differ.
fn differs(counts: &str, other: &str) -> String {
    let parse = |text: &str| serde_json::from_str::<serde_json::Map<String, Value>>(text).unwrap_or_default();
    let (counts, other) = (parse(counts), parse(other));
    let names = counts.iter().filter(|(name, value)| other.get(*name) != Some(value));
    let told: Vec<String> = names
        .map(|(name, value)| format!("{name} {value}, here {}", other.get(name).unwrap_or(&Value::Null)))
        .collect();
    format!(
        "two reports of this line have the same change time and state: the one that counts says {}; a later report of \
         the line settles it",
        told.join("; ")
    )
}
