//! Reading what was kept.

use rusqlite::{Connection, Row, ToSql, params, params_from_iter};

use super::super::import::fault::Reason;
use super::super::intake::{Batch, Counts, LineQuery, Outcome};
use super::{at, at_or_none, boxed, counted, kept_line, most, named};
use crate::domain::attribution::Network;
use crate::domain::attribution::order::{LineKey, OrderEvent, OrderLine};
use crate::domain::time::Timestamp;

fn event(row: &Row<'_>) -> rusqlite::Result<OrderEvent> {
    Ok(OrderEvent { seq: row.get(0)?, hash: row.get(1)?, line: kept_line(row, 2)? })
}

pub(super) fn after(connection: &Connection, seq: i64, limit: usize) -> rusqlite::Result<Vec<OrderEvent>> {
    let sql = "SELECT seq, hash, body FROM order_events WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    connection.prepare_cached(sql)?.query_map(params![seq, most(limit)], event)?.collect()
}

pub(super) fn of_line(connection: &Connection, key: &LineKey) -> rusqlite::Result<Vec<OrderEvent>> {
    let sql = "SELECT seq, hash, body FROM order_events WHERE network = ?1 AND account = ?2 AND line = ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_map(params![key.network.as_str(), key.account, key.line], event)?;
    let mut events = found.collect::<rusqlite::Result<Vec<_>>>()?;
    events.sort_by_key(OrderEvent::age);
    Ok(events)
}

pub(super) fn created_between(
    connection: &Connection,
    from: Timestamp,
    to: Timestamp,
) -> rusqlite::Result<Vec<LineKey>> {
    let mut statement = connection.prepare_cached(
        "SELECT network, account, line FROM order_lines WHERE created_at >= ?1 AND created_at < ?2 \
         ORDER BY created_at, number",
    )?;
    let key = |row: &Row<'_>| {
        let network = named(row, 0, "network", Network::parse)?;
        Ok(LineKey { network, account: boxed(row, 1)?, line: boxed(row, 2)? })
    };
    statement.query_map(params![from.micros(), to.micros()], key)?.collect()
}

pub(super) fn lines(
    connection: &Connection,
    query: LineQuery,
    limit: usize,
) -> rusqlite::Result<Vec<(i64, OrderLine)>> {
    let mut sql =
        "SELECT l.number, e.body FROM order_lines l JOIN order_events e ON e.seq = l.event WHERE l.number < ?1"
            .to_owned();
    let mut values: Vec<Box<dyn ToSql>> = vec![Box::new(query.before.unwrap_or(i64::MAX))];
    let mut and = |condition: &str, value: Option<Box<dyn ToSql>>| {
        if let Some(value) = value {
            values.push(value);
            sql.push_str(&format!(" AND l.{condition} ?{}", values.len()));
        }
    };
    let boxed = |value: i64| Box::new(value) as Box<dyn ToSql>;
    and("network =", query.network.map(|network| Box::new(network.as_str()) as Box<dyn ToSql>));
    and("account =", query.account.map(|account| Box::new(account) as Box<dyn ToSql>));
    and("state =", query.state.map(|state| Box::new(state.as_str()) as Box<dyn ToSql>));
    and("order_number =", query.order.map(|order| Box::new(order) as Box<dyn ToSql>));
    and("created_at >=", query.from.map(|from| boxed(from.micros())));
    and("created_at <", query.to.map(|to| boxed(to.micros())));
    values.push(Box::new(most(limit)));
    sql.push_str(&format!(" ORDER BY l.number DESC LIMIT ?{}", values.len()));
    let read = |row: &Row<'_>| Ok((row.get(0)?, kept_line(row, 1)?));
    connection.prepare_cached(&sql)?.query_map(params_from_iter(values), read)?.collect()
}

pub(super) fn batches(connection: &Connection, limit: usize) -> rusqlite::Result<Vec<Batch>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, network, account, source, file_hash, begun_at, ended_at, added, unchanged, quarantined \
         FROM order_batches ORDER BY id DESC LIMIT ?1",
    )?;
    let read = |row: &Row<'_>| {
        Ok(Batch {
            id: row.get(0)?,
            network: named(row, 1, "network", Network::parse)?,
            account: boxed(row, 2)?,
            source: row.get(3)?,
            file_hash: row.get(4)?,
            begun_at: at(row, 5)?,
            ended_at: at_or_none(row, 6)?,
            added: counted(row, 7)?,
            unchanged: counted(row, 8)?,
            quarantined: counted(row, 9)?,
        })
    };
    statement.query_map([most(limit)], read)?.collect()
}

pub(super) fn counts(connection: &Connection) -> rusqlite::Result<Counts> {
    let mut open = connection.prepare_cached(
        "SELECT reason, COUNT(*) FROM order_quarantine WHERE mended_at IS NULL GROUP BY reason ORDER BY reason",
    )?;
    let mut imported =
        connection.prepare_cached("SELECT network, outcome, total FROM order_counts ORDER BY network, outcome")?;
    Ok(Counts {
        quarantined: open
            .query_map([], |row| Ok((named(row, 0, "reason", Reason::parse)?, counted(row, 1)?)))?
            .collect::<rusqlite::Result<_>>()?,
        imported: imported
            .query_map([], |row| {
                let network = named(row, 0, "network", Network::parse)?;
                Ok((network, named(row, 1, "outcome", Outcome::parse)?, counted(row, 2)?))
            })?
            .collect::<rusqlite::Result<_>>()?,
    })
}
