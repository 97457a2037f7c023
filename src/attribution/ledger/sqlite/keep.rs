//! How a line, its match and its entries are kept, within a transaction of the caller's. Never changes or removes a match or
//! an entry.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use crate::attribution::ledger::record::Clicks;
use crate::attribution::ledger::{Line, Trigger};
use crate::domain::attribution::matching::{Match, Method, Reason};
use crate::domain::attribution::order::LineKey;
use crate::domain::time::Timestamp;

pub(super) fn set_mark(transaction: &Transaction<'_>, name: &str, value: i64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO ledger_marks (name, value) VALUES (?1, ?2) \
               ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    transaction.prepare_cached(sql)?.execute(params![name, value]).map(drop)
}

/// The number of a line, if it is kept.
pub(super) fn number_of(connection: &Connection, key: &LineKey) -> rusqlite::Result<Option<(i64, i64)>> {
    let sql = "SELECT id, version FROM ledger_lines WHERE network = ?1 AND line = ?2 AND account = ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let given = params![key.network.as_str(), &*key.line, &*key.account];
    statement.query_row(given, |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

pub(super) fn greatest(connection: &Connection, table: &str, column: &str) -> rusqlite::Result<i64> {
    connection.query_row(&format!("SELECT COALESCE(MAX({column}), 0) FROM {table}"), [], |row| row.get(0))
}

/// Numbers that are given out within one transaction.
pub(super) struct Numbers {
    line: i64,
    entry: i64,
    transaction: i64,
    announcement: i64,
}

impl Numbers {
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let entry = greatest(connection, "ledger_entries", "number")?;
        // A transaction's number is that of its first entry, less one.
        Ok(Numbers {
            line: greatest(connection, "ledger_lines", "id")?,
            entry,
            transaction: 0,
            announcement: greatest(connection, "ledger_announcements", "number")?,
        })
    }
}

pub(super) fn keep_line(
    transaction: &Transaction<'_>,
    numbers: &mut Numbers,
    sums: &mut BTreeMap<(i64, String, &'static str), i64>,
    line: &Line,
    trigger: Trigger,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let known = number_of(transaction, &line.line.key)?;
    let (id, before) = known.unwrap_or_else(|| {
        numbers.line += 1;
        (numbers.line, 0)
    });
    let version = before + i64::from(line.matched.is_some());
    let told = &line.line;
    transaction
        .prepare_cached(
            "INSERT INTO ledger_lines (id, network, account, line, order_no, state, created_at, modified_at, \
             marketplace, shop, item, paid, inputs, version) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) ON CONFLICT (id) DO UPDATE SET \
             order_no = excluded.order_no, state = excluded.state, created_at = excluded.created_at, \
             modified_at = excluded.modified_at, marketplace = excluded.marketplace, shop = excluded.shop, \
             item = excluded.item, paid = excluded.paid, inputs = excluded.inputs, version = excluded.version",
        )?
        .execute(params![
            id,
            told.key.network.as_str(),
            &*told.key.account,
            &*told.key.line,
            &*told.order,
            told.state.as_str(),
            told.created_at.micros(),
            told.modified_at.micros(),
            &*told.marketplace,
            &*told.shop,
            &*told.item,
            told.paid.unwrap_or_default().0,
            &line.inputs[..],
            version,
        ])?;
    if let Some(matched) = &line.matched {
        keep_match(transaction, (id, version, line.booked), matched, trigger, now)?;
    }
    let mut cause = None;
    for entry in &line.entries {
        if cause != Some(entry.slot.cause) {
            cause = Some(entry.slot.cause);
            numbers.transaction = numbers.entry + 1;
        }
        numbers.entry += 1;
        let account = entry.slot.account.to_string();
        let effective = if entry.late { entry.period.begins() } else { entry.changed_at };
        transaction
            .prepare_cached(
                "INSERT INTO ledger_entries (number, txn, line, cause, kind, account, amount, changed_at, effective_at, \
                 period, late, made_by, match_version, posted_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            )?
            .execute(params![
                numbers.entry,
                numbers.transaction,
                id,
                &entry.slot.cause[..],
                entry.slot.kind.as_str(),
                account,
                entry.amount.0,
                entry.changed_at.micros(),
                effective.micros(),
                entry.period.number(),
                i64::from(entry.late),
                trigger.as_str(),
                entry.slot.booked,
                now.micros(),
            ])?;
        *sums.entry((entry.period.number(), account, entry.slot.kind.as_str())).or_default() += entry.amount.0;
    }
    for state in &line.reached {
        let sql = "INSERT INTO ledger_announcements (number, line, state, told) VALUES (?1, ?2, ?3, 0) \
                   ON CONFLICT (line, state) DO NOTHING";
        let new = transaction.prepare_cached(sql)?.execute(params![numbers.announcement + 1, id, state.as_str()])?;
        numbers.announcement += i64::from(new == 1);
    }
    Ok(())
}

fn keep_match(
    transaction: &Transaction<'_>,
    (line, version, booked): (i64, i64, u32),
    matched: &Match,
    trigger: Trigger,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let click = matched.click.as_ref();
    let credited = click.filter(|_| matched.method != Method::None);
    let clicks = serde_json::to_string(&Clicks::of(matched));
    let clicks = clicks.map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let sql = "INSERT INTO ledger_matches (line, version, made_at, made_by, method, reason, click, code, platform, \
               note, agreement, sampling, clicks, rules, validity, booked) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
    transaction
        .prepare_cached(sql)?
        .execute(params![
            line,
            version,
            now.micros(),
            trigger.as_str(),
            matched.method.as_str(),
            matched.reason.map(Reason::as_str),
            click.map(|click| click.click.0.to_vec()),
            credited.map_or("", |click| &*click.code),
            credited.map_or("", |click| &*click.platform),
            credited.map_or("", |click| &*click.note),
            credited.map_or("", |click| &*click.terms.agreement),
            matched.sampling(),
            clicks,
            matched.rules.version,
            &*matched.rules.validity,
            booked,
        ])
        .map(drop)
}
