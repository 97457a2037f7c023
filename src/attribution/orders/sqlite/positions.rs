//! Whose a position is.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::super::intake::{Position, PositionKind, Registered};
use super::{boxed, most, named, unknown};
use crate::attribution::touches::Subject;
use crate::domain::attribution::Network;

/// Up to which revision links were looked at.
const MARK: &str = "links";

fn parts(subject: &Subject) -> (&'static str, &str) {
    match subject {
        Subject::Creator(creator) => ("creator", creator),
        Subject::Link(code) => ("link", code),
    }
}

fn subject(row: &Row<'_>, column: usize) -> rusqlite::Result<Subject> {
    let name = boxed(row, column + 1)?;
    match row.get_ref(column)?.as_str()? {
        "creator" => Ok(Subject::Creator(name)),
        "link" => Ok(Subject::Link(name)),
        other => Err(unknown(column, "subject", other)),
    }
}

/// Whether anybody has it.
pub(super) fn any(connection: &Connection, network: Network, position: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM order_positions WHERE network = ?1 AND position = ?2";
    connection.prepare_cached(sql)?.exists(params![network.as_str(), position])
}

pub(super) fn subjects(connection: &Connection, network: Network, position: &str) -> rusqlite::Result<Vec<Subject>> {
    // Registered rows have no link, and come first.
    let mut statement = connection.prepare_cached(
        "SELECT DISTINCT link = '', subject_kind, subject FROM order_positions WHERE network = ?1 AND position = ?2 \
         ORDER BY link = '' DESC, subject_kind, subject",
    )?;
    let found = statement
        .query_map(params![network.as_str(), position], |row| Ok((row.get::<_, bool>(0)?, subject(row, 1)?)))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let registered = found.first().is_some_and(|(registered, _)| *registered);
    Ok(found.into_iter().filter(|(own, _)| *own == registered).map(|(_, subject)| subject).collect())
}

pub(super) fn list(connection: &Connection, network: Option<Network>, limit: usize) -> rusqlite::Result<Vec<Position>> {
    let mut statement = connection.prepare_cached(
        "SELECT network, position, kind, subject_kind, subject, link FROM order_positions \
         WHERE network = COALESCE(?1, network) ORDER BY network, position, link, subject_kind, subject LIMIT ?2",
    )?;
    let read = |row: &Row<'_>| {
        Ok(Position {
            network: named(row, 0, "network", Network::parse)?,
            position: boxed(row, 1)?,
            kind: named(row, 2, "kind of position", PositionKind::parse)?,
            subject: subject(row, 3)?,
            link: Some(boxed(row, 5)?).filter(|link| !link.is_empty()),
        })
    };
    statement.query_map(params![network.map(Network::as_str), most(limit)], read)?.collect()
}

/// Registers all of them, or none where one is somebody else's and they are not to be shared.
pub(super) fn register(connection: &Connection, positions: &[Position], shared: bool) -> rusqlite::Result<Registered> {
    let mut statement = connection.prepare_cached(
        "SELECT subject_kind, subject FROM order_positions WHERE network = ?1 AND position = ?2 AND link = '' \
         ORDER BY subject_kind, subject",
    )?;
    let mut named: HashMap<(&str, &str), Vec<&Subject>> = HashMap::new();
    let mut others = Vec::new();
    for (place, one) in positions.iter().enumerate() {
        let key = (one.network.as_str(), &*one.position);
        let kept =
            statement.query_map(params![key.0, key.1], |row| subject(row, 0))?.collect::<rusqlite::Result<Vec<_>>>()?;
        let here = named.entry(key).or_default();
        let all = kept.iter().chain(here.iter().copied());
        others.extend(all.filter(|other| **other != one.subject).map(|other| (place, other.clone())));
        here.push(&one.subject);
    }
    if !shared && !others.is_empty() {
        return Ok(Registered::Taken(others));
    }
    Ok(Registered::New { new: insert(connection, positions)?, others })
}

pub(super) fn insert(connection: &Connection, positions: &[Position]) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO order_positions (network, position, kind, subject_kind, subject, link) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
    )?;
    let mut new = 0;
    for position in positions {
        let (kind, name) = parts(&position.subject);
        let link = position.link.as_deref().unwrap_or_default();
        let (network, sort) = (position.network.as_str(), position.kind.as_str());
        new += statement.execute(params![network, position.position, sort, kind, name, link])? as u64;
    }
    Ok(new)
}

pub(super) fn mark(connection: &Connection) -> rusqlite::Result<i64> {
    let sql = "SELECT value FROM order_marks WHERE name = ?1";
    Ok(connection.query_row(sql, [MARK], |row| row.get(0)).optional()?.unwrap_or(0))
}

pub(super) fn derive(
    connection: &Connection,
    links: &[(Box<str>, Vec<Position>)],
    through: i64,
) -> rusqlite::Result<()> {
    // Another process has looked further meanwhile: what it found is younger.
    if mark(connection)? >= through {
        return Ok(());
    }
    // Most links tell nothing, and millions are looked at the first time: there is nothing to take back then.
    let any = connection.prepare_cached("SELECT 1 FROM order_positions WHERE link > '' LIMIT 1")?.exists([])?;
    let mut gone = connection.prepare_cached("DELETE FROM order_positions WHERE link = ?1")?;
    for (code, positions) in links {
        if any {
            gone.execute([code])?;
        }
        insert(connection, positions)?;
    }
    connection.execute(
        "INSERT INTO order_marks (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        params![MARK, through],
    )?;
    Ok(())
}
