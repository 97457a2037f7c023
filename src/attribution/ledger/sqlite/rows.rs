//! How rows of the ledger's tables are read. Never writes.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::attribution::ledger::record::{Clicks, Standing};
use crate::attribution::ledger::{Balance, Closed, Entry, Held, Marks, Matched, Trigger};
use crate::domain::attribution::Network;
use crate::domain::attribution::entries::{Account, Kind, Postings, Slot};
use crate::domain::attribution::matching::{Match, Method, Reason, Rules};
use crate::domain::attribution::money::Fen;
use crate::domain::attribution::order::{LineKey, OrderState, shop_id};
use crate::domain::attribution::period::Month;
use crate::domain::time::Timestamp;
use crate::sqlite;

/// A value in a row that this process cannot read: written by a newer one.
fn unknown(column: usize, what: &str) -> rusqlite::Error {
    sqlite::unknown(column, &format!("the ledger's `{what}`"))
}

pub(super) fn named<T>(row: &Row<'_>, column: usize, parse: impl Fn(&str) -> Option<T>) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    parse(&text).ok_or_else(|| unknown(column, &text))
}

fn instant(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_micros)
}

fn month(row: &Row<'_>, column: usize) -> rusqlite::Result<Month> {
    let number: i64 = row.get(column)?;
    Month::from_number(number).ok_or_else(|| unknown(column, &number.to_string()))
}

pub(super) fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<Box<str>> {
    row.get::<_, String>(column).map(Into::into)
}

pub(super) fn key(row: &Row<'_>, first: usize) -> rusqlite::Result<LineKey> {
    Ok(LineKey {
        network: named(row, first, Network::parse)?,
        account: text(row, first + 1)?,
        line: text(row, first + 2)?,
    })
}

pub(super) fn standing(row: &Row<'_>, first: usize) -> rusqlite::Result<Standing> {
    let key = key(row, first)?;
    Ok(Standing {
        // As orders have it, in rows that were kept before shops had ids, too.
        shop: shop_id(key.network, &text(row, first + 8)?),
        key,
        order: text(row, first + 3)?,
        state: named(row, first + 4, OrderState::parse)?,
        created_at: instant(row, first + 5)?,
        modified_at: instant(row, first + 6)?,
        marketplace: text(row, first + 7)?,
        item: text(row, first + 9)?,
        paid_fen: Fen(row.get(first + 10)?),
    })
}

pub(super) const STANDING: &str = "l.network, l.account, l.line, l.order_no, l.state, l.created_at, l.modified_at, l.marketplace, \
                        l.shop, l.item, l.paid";

fn slot(row: &Row<'_>, first: usize) -> rusqlite::Result<Slot> {
    let cause: Vec<u8> = row.get(first)?;
    Ok(Slot {
        cause: cause.try_into().map_err(|_| unknown(first, "cause"))?,
        kind: named(row, first + 1, Kind::parse)?,
        account: named(row, first + 2, Account::parse)?,
        booked: row.get(first + 3)?,
    })
}

pub(super) const MATCH: &str = "m.version, m.made_at, m.made_by, m.method, m.reason, m.clicks, m.rules, m.validity, \
                     CASE m.booked WHEN 0 THEN m.version ELSE m.booked END";

pub(super) fn matched(row: &Row<'_>, first: usize) -> rusqlite::Result<Matched> {
    let clicks: String = row.get(first + 5)?;
    let clicks = serde_json::from_str::<Clicks>(&clicks).ok().and_then(Clicks::read);
    let (click, runner_up) = clicks.ok_or_else(|| unknown(first + 5, "clicks"))?;
    let reason: Option<String> = row.get(first + 4)?;
    let reason = reason.map(|name| Reason::parse(&name).ok_or_else(|| unknown(first + 4, &name))).transpose()?;
    Ok(Matched {
        version: row.get(first)?,
        made_at: instant(row, first + 1)?,
        trigger: named(row, first + 2, Trigger::parse)?,
        matched: Match {
            method: named(row, first + 3, Method::parse)?,
            click,
            runner_up,
            reason,
            rules: Rules { version: row.get(first + 6)?, validity: text(row, first + 7)? },
        },
        booked: row.get(first + 8)?,
    })
}

pub(super) const ENTRY: &str = "e.number, e.txn, l.network, l.account, l.line, e.cause, e.kind, e.account, e.match_version, e.amount, \
                     e.changed_at, e.period, e.late, e.made_by, e.posted_at";

pub(super) fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        number: row.get(0)?,
        transaction: row.get(1)?,
        key: key(row, 2)?,
        slot: slot(row, 5)?,
        amount: Fen(row.get(9)?),
        changed_at: instant(row, 10)?,
        period: month(row, 11)?,
        late: row.get::<_, i64>(12)? != 0,
        trigger: named(row, 13, Trigger::parse)?,
        posted_at: instant(row, 14)?,
    })
}

fn balance(row: &Row<'_>) -> rusqlite::Result<Balance> {
    Ok(Balance {
        period: month(row, 0)?,
        account: named(row, 1, Account::parse)?,
        kind: named(row, 2, Kind::parse)?,
        amount_fen: Fen(row.get(3)?),
    })
}

pub(super) fn marks(connection: &Connection) -> rusqlite::Result<Marks> {
    let mut found = Marks::default();
    let mut statement = connection.prepare_cached("SELECT name, value FROM ledger_marks")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (name, value): (String, i64) = (row.get(0)?, row.get(1)?);
        match name.as_str() {
            "events" => found.events = value,
            "touches" => found.touches = Some(value),
            "revision" => found.revision = value,
            "closed" => found.closed = Some(Month::from_number(value).ok_or_else(|| unknown(1, "closed"))?),
            other => return Err(unknown(0, other)),
        }
    }
    Ok(found)
}

pub(super) fn held(connection: &Connection, key: &LineKey) -> rusqlite::Result<Option<Held>> {
    let sql = format!(
        "SELECT {MATCH}, l.inputs, l.id FROM ledger_lines l JOIN ledger_matches m ON m.line = l.id AND m.version = l.version \
         WHERE l.network = ?1 AND l.line = ?2 AND l.account = ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let given = params![key.network.as_str(), &*key.line, &*key.account];
    let found =
        statement.query_row(given, |row| Ok((matched(row, 0)?, row.get::<_, Vec<u8>>(9)?, row.get::<_, i64>(10)?)));
    let Some((current, inputs, id)) = found.optional()? else { return Ok(None) };
    let mut posted = Postings::new();
    let sql = "SELECT cause, kind, account, match_version, amount FROM ledger_entries WHERE line = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([id])?;
    while let Some(row) = rows.next()? {
        crate::domain::attribution::entries::add(&mut posted, slot(row, 0)?, Fen(row.get(4)?));
    }
    let inputs = inputs.try_into().map_err(|_| unknown(9, "inputs"))?;
    let Matched { version, matched, booked, .. } = current;
    Ok(Some(Held { version, matched, booked, inputs, posted }))
}

pub(super) fn list_balances(connection: &Connection, sql: &str, given: &[i64]) -> rusqlite::Result<Vec<Balance>> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(rusqlite::params_from_iter(given), balance)?;
    let mut balances: Vec<Balance> = rows.collect::<rusqlite::Result<_>>()?;
    balances.sort();
    Ok(balances)
}

pub(super) fn closed(connection: &Connection, period: Option<Month>) -> rusqlite::Result<Vec<Closed>> {
    let sql = "SELECT period, closed_at, closed_by FROM ledger_periods WHERE ?1 IS NULL OR period = ?1 ORDER BY period";
    let mut statement = connection.prepare_cached(sql)?;
    let read = |row: &Row<'_>| Ok((month(row, 0)?, instant(row, 1)?, row.get::<_, String>(2)?));
    let found = statement.query_map([period.map(Month::number)], read)?.collect::<rusqlite::Result<Vec<_>>>()?;
    let sql = "SELECT period, account, kind, amount FROM ledger_closing_balances WHERE period = ?1";
    found
        .into_iter()
        .map(|(period, closed_at, closed_by)| {
            let balances = list_balances(connection, sql, &[period.number()])?;
            Ok(Closed { period, closed_at, closed_by, balances })
        })
        .collect()
}
