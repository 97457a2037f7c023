//! Rows that were set aside: kept as they came, with what is wrong with them, until a good report takes their place.

use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params, params_from_iter};

use super::super::import::fault::{BadRow, Reason};
use super::super::intake::{Kept, QuarantineQuery, Quarantined, Reading};
use super::admit::{number, sha};
use super::{at, at_or_none, boxed, counted, json, kept_line, most, named, next};
use crate::domain::attribution::Network;
use crate::domain::attribution::order::OrderLine;
use crate::domain::time::Timestamp;

/// Rows released in one transaction.
const RELEASED: i64 = 500;

/// The columns [`read`] reads.
pub(super) const COLUMNS: &str =
    "id, network, account, reason, faults, line, batch, row_number, first_at, last_at, seen, mended_at, raw";

pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Quarantined> {
    Ok(Quarantined {
        id: row.get(0)?,
        network: named(row, 1, "network", Network::parse)?,
        account: boxed(row, 2)?,
        reason: named(row, 3, "reason", Reason::parse)?,
        faults: json(row, 4, "the faults of a quarantined row")?,
        line: boxed(row, 5)?,
        batch: row.get(6)?,
        row: Some(counted(row, 7)?).filter(|row| *row > 0),
        first_at: at(row, 8)?,
        last_at: at(row, 9)?,
        seen: counted(row, 10)?,
        mended_at: at_or_none(row, 11)?,
        raw: row.get(12)?,
    })
}

pub(super) fn list(
    connection: &Connection,
    query: &QuarantineQuery,
    limit: usize,
) -> rusqlite::Result<Vec<Quarantined>> {
    let mut sql = format!("SELECT {COLUMNS} FROM order_quarantine WHERE id < ?1");
    let mut values: Vec<Box<dyn ToSql>> = vec![Box::new(query.before.unwrap_or(i64::MAX))];
    if let Some(network) = query.network {
        values.push(Box::new(network.as_str()));
        sql.push_str(&format!(" AND network = ?{}", values.len()));
    }
    if let Some(reason) = query.reason {
        values.push(Box::new(reason.as_str()));
        sql.push_str(&format!(" AND reason = ?{}", values.len()));
    }
    if !query.mended {
        sql.push_str(" AND mended_at IS NULL");
    }
    values.push(Box::new(most(limit)));
    sql.push_str(&format!(" ORDER BY id DESC LIMIT ?{}", values.len()));
    connection.prepare_cached(&sql)?.query_map(params_from_iter(values), read)?.collect()
}

/// Whether any row is set aside and not mended.
pub(super) fn any_open(connection: &Connection) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM order_quarantine WHERE mended_at IS NULL LIMIT 1")?.exists([])
}

/// Keeps a row; its number. One that is there is counted once more, and mended no longer if it was.
pub(super) fn keep(
    connection: &Connection,
    row: &Reading,
    bad: &BadRow,
    batch: i64,
    now: Timestamp,
) -> rusqlite::Result<i64> {
    let faults =
        serde_json::to_string(&bad.faults).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let (network, hash) = (row.network.as_str(), sha(&row.raw));
    let mended = over_already(connection, row, bad)?.then(|| now.micros());
    let id = next(connection, "SELECT COALESCE(MAX(id), 0) FROM order_quarantine")?;
    connection
        .prepare_cached(
            "INSERT INTO order_quarantine (id, network, account, scene, raw_hash, raw, reason, faults, line, raw_state, \
             modified_at, batch, row_number, first_at, last_at, seen, mended_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?14, 1, ?15) \
             ON CONFLICT (network, account, raw_hash) DO UPDATE SET scene = excluded.scene, reason = excluded.reason, \
             faults = excluded.faults, line = excluded.line, raw_state = excluded.raw_state, \
             modified_at = excluded.modified_at, last_at = excluded.last_at, seen = order_quarantine.seen + 1, \
             mended_at = excluded.mended_at",
        )?
        .execute(params![
            id,
            network,
            row.account,
            row.scene,
            hash,
            row.raw,
            bad.reason().as_str(),
            faults,
            bad.line,
            bad.raw_state,
            bad.modified_at.map(Timestamp::micros),
            batch,
            number(row),
            now.micros(),
            mended
        ])?;
    connection
        .prepare_cached("SELECT id FROM order_quarantine WHERE network = ?1 AND account = ?2 AND raw_hash = ?3")?
        .query_row(params![network, row.account, hash], |row| row.get(0))
}

/// Whether a good report at `modified_at` in `raw_state` takes the place of a bad one: it is younger, or is of the same
/// change as far as can be told.
fn takes_place(good: (Timestamp, &str), bad: (Option<Timestamp>, &str, Reason), fresh: bool) -> bool {
    let (modified, raw_state, reason) = bad;
    let alike = raw_state.is_empty() || raw_state == good.1;
    match modified {
        Some(modified) => good.0 > modified || (good.0 == modified && alike && reason != Reason::DuplicateKey),
        // Nobody knows which change it was about: only a new report that came afterwards can be meant.
        None => fresh && alike,
    }
}

/// Whether a good report has taken the place of a bad row before it came: late and shuffled files.
fn over_already(connection: &Connection, row: &Reading, bad: &BadRow) -> rusqlite::Result<bool> {
    let Some(modified) = bad.modified_at.filter(|_| !bad.line.is_empty()) else { return Ok(false) };
    let mut statement = connection.prepare_cached(
        "SELECT body FROM order_events WHERE network = ?1 AND account = ?2 AND line = ?3 AND modified_at >= ?4",
    )?;
    let mut events = statement.query(params![row.network.as_str(), row.account, bad.line, modified.micros()])?;
    while let Some(event) = events.next()? {
        let good = kept_line(event, 0)?;
        let good = (good.modified_at, &*good.raw_state);
        if takes_place(good, (bad.modified_at, &bad.raw_state, bad.reason()), false) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Marks what a good report takes the place of.
pub(super) fn mend(
    connection: &Connection,
    line: &OrderLine,
    added: bool,
    batch: i64,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let key = &line.key;
    let mut statement = connection.prepare_cached(
        "SELECT id, modified_at, raw_state, reason, batch FROM order_quarantine \
         WHERE network = ?1 AND account = ?2 AND line = ?3 AND mended_at IS NULL",
    )?;
    let mut rows = statement.query(params![key.network.as_str(), key.account, key.line])?;
    let mut over = Vec::new();
    while let Some(row) = rows.next()? {
        let reason = named(row, 3, "reason", Reason::parse)?;
        let (modified, raw_state) = (at_or_none(row, 1)?, row.get_ref(2)?.as_str()?);
        let fresh = added && row.get::<_, i64>(4)? < batch;
        let good = (line.modified_at, &*line.raw_state);
        // What waits for a position is taken in, not left out.
        if reason != Reason::UnknownPosition && takes_place(good, (modified, raw_state, reason), fresh) {
            over.push(row.get::<_, i64>(0)?);
        }
    }
    over.into_iter().try_for_each(|id| mended(connection, id, now))
}

/// Marks a row as mended; it waits for nothing any more.
pub(super) fn mended(connection: &Connection, id: i64, now: Timestamp) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE order_quarantine SET mended_at = ?2 WHERE id = ?1 AND mended_at IS NULL")?
        .execute(params![id, now.micros()])?;
    connection.prepare_cached("DELETE FROM order_waiting WHERE id = ?1")?.execute([id]).map(drop)
}

/// A row whose contradiction is known: it comes again.
pub(super) fn known_duplicate(connection: &Connection, row: &Reading) -> rusqlite::Result<Option<Kept>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, faults FROM order_quarantine WHERE network = ?1 AND account = ?2 AND raw_hash = ?3 \
         AND reason = 'duplicate_key' AND mended_at IS NULL",
    )?;
    statement
        .query_row(params![row.network.as_str(), row.account, sha(&row.raw)], |row| {
            Ok(Kept::Quarantined { id: row.get(0)?, faults: json(row, 1, "the faults of a quarantined row")? })
        })
        .optional()
}

/// Notes for which positions a row waits, instead of what it waited for before.
pub(super) fn wait(connection: &Connection, id: i64, network: Network, places: &[&str]) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM order_waiting WHERE id = ?1")?.execute([id])?;
    let sql = "INSERT INTO order_waiting (id, network, position) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    let mut insert = connection.prepare_cached(sql)?;
    for place in places {
        insert.execute(params![id, network.as_str(), place])?;
    }
    Ok(())
}

/// Some rows that wait for a position which is known by now.
pub(super) fn waiting(connection: &Connection) -> rusqlite::Result<Vec<i64>> {
    let mut statement = connection.prepare_cached(
        "SELECT DISTINCT w.id FROM order_waiting w JOIN order_positions p \
         ON p.network = w.network AND p.position = w.position ORDER BY w.id LIMIT ?1",
    )?;
    statement.query_map([RELEASED], |row| row.get(0))?.collect()
}

/// Rows of a line that wait for a position.
pub(super) fn waiting_of(
    connection: &Connection,
    network: Network,
    account: &str,
    line: &str,
) -> rusqlite::Result<Vec<i64>> {
    let mut statement = connection.prepare_cached(
        "SELECT id FROM order_quarantine WHERE network = ?1 AND account = ?2 AND line = ?3 \
         AND mended_at IS NULL AND reason = 'unknown_position' ORDER BY id",
    )?;
    statement.query_map(params![network.as_str(), account, line], |row| row.get(0))?.collect()
}

/// A row that is set aside, as it came, with its batch; its faults are to be found again. None of one that names a click of
/// somebody else's: that is not seen in the row, and stays so.
pub(super) fn to_read_again(connection: &Connection, id: i64) -> rusqlite::Result<Option<(Reading, i64)>> {
    let mut statement = connection.prepare_cached(
        "SELECT network, account, scene, row_number, raw, batch FROM order_quarantine \
         WHERE id = ?1 AND mended_at IS NULL AND reason <> 'foreign_click'",
    )?;
    statement
        .query_row([id], |row| {
            let reading = Reading {
                network: named(row, 0, "network", Network::parse)?,
                account: boxed(row, 1)?,
                scene: row.get(2)?,
                number: counted(row, 3)?,
                raw: row.get(4)?,
                read: Err(BadRow::default()),
            };
            Ok((reading, row.get(5)?))
        })
        .optional()
}
