//! The ledger in an embedded SQLite file, which it shares with order reports. The SQL is plain enough for any database.
//! Matches and entries are only ever inserted; lines, balances and marks say what they add up to.

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};

use super::record::{Clicks, Credit, Standing};
use super::{
    Balance, Batch, Book, Closed, Closing, Entry, EntryQuery, Held, Ledger, Line, Marks, Matched, Sum, Trigger, Untold,
};
use crate::attribution::{StoreError, run};
use crate::domain::attribution::Network;
use crate::domain::attribution::entries::{Account, Kind, Postings, Slot};
use crate::domain::attribution::matching::{Match, Method, Reason, Rules};
use crate::domain::attribution::money::Fen;
use crate::domain::attribution::order::{LineKey, OrderState, shop_id};
use crate::domain::attribution::period::Month;
use crate::domain::click_id::ClickId;
use crate::domain::time::{BEIJING_AHEAD, DAY, Timestamp};
use crate::sqlite::{self, Schema, Shared, SqliteError};

const SCHEMA: Schema = Schema {
    name: "ledger",
    steps: &[
        "
        CREATE TABLE ledger_lines (
            id BIGINT PRIMARY KEY NOT NULL,
            network TEXT NOT NULL,
            account TEXT NOT NULL,
            line TEXT NOT NULL,
            order_no TEXT NOT NULL,
            state TEXT NOT NULL,
            created_at BIGINT NOT NULL,
            modified_at BIGINT NOT NULL,
            marketplace TEXT NOT NULL,
            shop TEXT NOT NULL,
            item TEXT NOT NULL,
            paid BIGINT NOT NULL,
            inputs BLOB NOT NULL,
            version BIGINT NOT NULL,
            UNIQUE (network, line, account)
        );
        CREATE TABLE ledger_matches (
            line BIGINT NOT NULL REFERENCES ledger_lines (id),
            version BIGINT NOT NULL,
            made_at BIGINT NOT NULL,
            made_by TEXT NOT NULL,
            method TEXT NOT NULL,
            reason TEXT,
            click BLOB,
            code TEXT NOT NULL,
            platform TEXT NOT NULL,
            note TEXT NOT NULL,
            agreement TEXT NOT NULL,
            sampling BIGINT NOT NULL,
            clicks TEXT NOT NULL,
            rules BIGINT NOT NULL,
            validity TEXT NOT NULL,
            PRIMARY KEY (line, version)
        );
        CREATE INDEX ledger_matches_click ON ledger_matches (click);
        CREATE TABLE ledger_entries (
            number BIGINT PRIMARY KEY NOT NULL,
            txn BIGINT NOT NULL,
            line BIGINT NOT NULL REFERENCES ledger_lines (id),
            cause BLOB NOT NULL,
            kind TEXT NOT NULL,
            account TEXT NOT NULL,
            amount BIGINT NOT NULL,
            changed_at BIGINT NOT NULL,
            effective_at BIGINT NOT NULL,
            period BIGINT NOT NULL,
            late BIGINT NOT NULL,
            made_by TEXT NOT NULL,
            match_version BIGINT NOT NULL,
            posted_at BIGINT NOT NULL
        );
        CREATE INDEX ledger_entries_line ON ledger_entries (line);
        CREATE INDEX ledger_entries_period ON ledger_entries (period, number);
        CREATE TABLE ledger_balances (
            period BIGINT NOT NULL,
            account TEXT NOT NULL,
            kind TEXT NOT NULL,
            amount BIGINT NOT NULL,
            PRIMARY KEY (period, account, kind)
        );
        CREATE TABLE ledger_periods (
            period BIGINT PRIMARY KEY NOT NULL,
            closed_at BIGINT NOT NULL,
            closed_by TEXT NOT NULL
        );
        CREATE TABLE ledger_closing_balances (
            period BIGINT NOT NULL,
            account TEXT NOT NULL,
            kind TEXT NOT NULL,
            amount BIGINT NOT NULL,
            PRIMARY KEY (period, account, kind)
        );
        CREATE TABLE ledger_announcements (
            number BIGINT PRIMARY KEY NOT NULL,
            line BIGINT NOT NULL REFERENCES ledger_lines (id),
            state TEXT NOT NULL,
            told BIGINT NOT NULL,
            UNIQUE (line, state)
        );
        CREATE INDEX ledger_announcements_told ON ledger_announcements (told, number);
        CREATE TABLE ledger_marks (
            name TEXT PRIMARY KEY NOT NULL,
            value BIGINT NOT NULL
        );
    ",
        "
        -- Zero: under itself, as before there was anything else.
        ALTER TABLE ledger_matches ADD COLUMN booked BIGINT NOT NULL DEFAULT 0;
    ",
    ],
};

/// The page cache, in KiB.
const CACHE: u32 = 16_384;

/// The embedded ledger.
pub struct SqliteLedger(Shared);

impl SqliteLedger {
    /// Opens the file, creating it when missing.
    ///
    /// # Errors
    /// [`SqliteError`] naming the file.
    pub fn open(path: &Path) -> Result<Self, SqliteError> {
        Shared::open(path, &SCHEMA, CACHE).map(SqliteLedger)
    }

    async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, StoreError> {
        run(&self.0, work).await
    }
}

/// A value in a row that this process cannot read: written by a newer one.
fn unknown(column: usize, what: &str) -> rusqlite::Error {
    sqlite::unknown(column, &format!("the ledger's `{what}`"))
}

fn named<T>(row: &Row<'_>, column: usize, parse: impl Fn(&str) -> Option<T>) -> rusqlite::Result<T> {
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

fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<Box<str>> {
    row.get::<_, String>(column).map(Into::into)
}

fn key(row: &Row<'_>, first: usize) -> rusqlite::Result<LineKey> {
    Ok(LineKey {
        network: named(row, first, Network::parse)?,
        account: text(row, first + 1)?,
        line: text(row, first + 2)?,
    })
}

fn standing(row: &Row<'_>, first: usize) -> rusqlite::Result<Standing> {
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

const STANDING: &str = "l.network, l.account, l.line, l.order_no, l.state, l.created_at, l.modified_at, l.marketplace, \
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

const MATCH: &str = "m.version, m.made_at, m.made_by, m.method, m.reason, m.clicks, m.rules, m.validity, \
                     CASE m.booked WHEN 0 THEN m.version ELSE m.booked END";

fn matched(row: &Row<'_>, first: usize) -> rusqlite::Result<Matched> {
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

const ENTRY: &str = "e.number, e.txn, l.network, l.account, l.line, e.cause, e.kind, e.account, e.match_version, e.amount, \
                     e.changed_at, e.period, e.late, e.made_by, e.posted_at";

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
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

fn marks(connection: &Connection) -> rusqlite::Result<Marks> {
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

fn set_mark(transaction: &Transaction<'_>, name: &str, value: i64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO ledger_marks (name, value) VALUES (?1, ?2) \
               ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    transaction.prepare_cached(sql)?.execute(params![name, value]).map(drop)
}

/// The number of a line, if it is kept.
fn number_of(connection: &Connection, key: &LineKey) -> rusqlite::Result<Option<(i64, i64)>> {
    let sql = "SELECT id, version FROM ledger_lines WHERE network = ?1 AND line = ?2 AND account = ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let given = params![key.network.as_str(), &*key.line, &*key.account];
    statement.query_row(given, |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

fn greatest(connection: &Connection, table: &str, column: &str) -> rusqlite::Result<i64> {
    connection.query_row(&format!("SELECT COALESCE(MAX({column}), 0) FROM {table}"), [], |row| row.get(0))
}

/// Numbers that are given out within one transaction.
struct Numbers {
    line: i64,
    entry: i64,
    transaction: i64,
    announcement: i64,
}

impl Numbers {
    fn read(connection: &Connection) -> rusqlite::Result<Self> {
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

fn keep_line(
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

fn held(connection: &Connection, key: &LineKey) -> rusqlite::Result<Option<Held>> {
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

fn list_balances(connection: &Connection, sql: &str, given: &[i64]) -> rusqlite::Result<Vec<Balance>> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(rusqlite::params_from_iter(given), balance)?;
    let mut balances: Vec<Balance> = rows.collect::<rusqlite::Result<_>>()?;
    balances.sort();
    Ok(balances)
}

fn closed(connection: &Connection, period: Option<Month>) -> rusqlite::Result<Vec<Closed>> {
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

#[async_trait]
impl Ledger for SqliteLedger {
    async fn marks(&self) -> Result<Marks, StoreError> {
        self.run(|connection| marks(connection)).await
    }

    async fn held(&self, keys: &[LineKey]) -> Result<Vec<Option<Held>>, StoreError> {
        let keys = keys.to_vec();
        self.run(move |connection| {
            // One snapshot for all of them.
            let transaction = connection.transaction()?;
            keys.iter().map(|key| held(&transaction, key)).collect()
        })
        .await
    }

    async fn keep(&self, batch: Batch, now: Timestamp) -> Result<bool, StoreError> {
        self.run(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let before = marks(&transaction)?;
            if before.revision != batch.revision {
                return Ok(false);
            }
            let mut numbers = Numbers::read(&transaction)?;
            let mut sums = BTreeMap::new();
            for line in &batch.lines {
                keep_line(&transaction, &mut numbers, &mut sums, line, batch.trigger, now)?;
            }
            for ((period, account, kind), amount) in sums {
                let sql = "INSERT INTO ledger_balances (period, account, kind, amount) VALUES (?1, ?2, ?3, ?4) \
                           ON CONFLICT (period, account, kind) DO UPDATE SET \
                           amount = ledger_balances.amount + excluded.amount";
                transaction.prepare_cached(sql)?.execute(params![period, account, kind, amount])?;
            }
            for (name, value) in [("events", batch.events), ("touches", batch.touches)] {
                if let Some(value) = value {
                    set_mark(&transaction, name, value)?;
                }
            }
            set_mark(&transaction, "revision", before.revision + 1)?;
            transaction.commit()?;
            Ok(true)
        })
        .await
    }

    async fn lines(&self, after: i64, limit: usize) -> Result<Vec<(i64, LineKey)>, StoreError> {
        self.run(move |connection| {
            let sql = "SELECT id, network, account, line FROM ledger_lines WHERE id > ?1 ORDER BY id LIMIT ?2";
            let mut statement = connection.prepare_cached(sql)?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            statement.query_map([after, limit], |row| Ok((row.get(0)?, key(row, 1)?)))?.collect()
        })
        .await
    }

    async fn book(&self, key: &LineKey) -> Result<Option<Book>, StoreError> {
        let key = key.clone();
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            let Some((id, _)) = number_of(&transaction, &key)? else { return Ok(None) };
            let sql = format!("SELECT {STANDING} FROM ledger_lines l WHERE l.id = ?1");
            let line = transaction.query_row(&sql, [id], |row| standing(row, 0))?;
            let sql = format!("SELECT {MATCH} FROM ledger_matches m WHERE m.line = ?1 ORDER BY m.version");
            let matches =
                transaction.prepare(&sql)?.query_map([id], |row| matched(row, 0))?.collect::<Result<_, _>>()?;
            let sql = format!(
                "SELECT {ENTRY} FROM ledger_entries e JOIN ledger_lines l ON l.id = e.line \
                 WHERE e.line = ?1 ORDER BY e.number"
            );
            let entries = transaction.prepare(&sql)?.query_map([id], entry)?.collect::<Result<_, _>>()?;
            Ok(Some(Book { line, matches, entries }))
        })
        .await
    }

    async fn of_click(&self, click: ClickId) -> Result<Vec<LineKey>, StoreError> {
        self.run(move |connection| {
            let sql = "SELECT l.network, l.account, l.line FROM ledger_matches m \
                       JOIN ledger_lines l ON l.id = m.line AND l.version = m.version \
                       WHERE m.click = ?1 AND m.method <> 'none' ORDER BY l.id";
            let mut statement = connection.prepare_cached(sql)?;
            statement.query_map([click.0.to_vec()], |row| key(row, 0))?.collect()
        })
        .await
    }

    async fn entries(&self, query: &EntryQuery, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let query = query.clone();
        self.run(move |connection| {
            let sql = format!(
                "SELECT {ENTRY} FROM ledger_entries e JOIN ledger_lines l ON l.id = e.line WHERE e.number > ?1 \
                 AND (?2 IS NULL OR e.period = ?2) AND (?3 IS NULL OR e.account IN (?3, ?4)) \
                 ORDER BY e.number LIMIT ?5"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let account = |side| query.creator.as_ref().map(|creator| format!("creator:{creator}:{side}"));
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let period = query.period.map(Month::number);
            let given = params![query.after, period, account("estimated"), account("confirmed"), limit];
            statement.query_map(given, entry)?.collect()
        })
        .await
    }

    async fn balances(&self, period: Option<Month>) -> Result<Vec<Balance>, StoreError> {
        self.run(move |connection| match period {
            Some(period) => {
                let sql = "SELECT period, account, kind, amount FROM ledger_balances WHERE period = ?1 AND amount <> 0";
                list_balances(connection, sql, &[period.number()])
            }
            None => {
                let sql = "SELECT period, account, kind, amount FROM ledger_balances WHERE amount <> 0";
                list_balances(connection, sql, &[])
            }
        })
        .await
    }

    async fn rebuilt(&self) -> Result<Vec<Balance>, StoreError> {
        self.run(move |connection| {
            let sql = "SELECT period, account, kind, SUM(amount) FROM ledger_entries \
                       GROUP BY period, account, kind HAVING SUM(amount) <> 0";
            list_balances(connection, sql, &[])
        })
        .await
    }

    async fn uneven(&self) -> Result<Vec<(i64, Fen)>, StoreError> {
        self.run(move |connection| {
            let sql = "SELECT txn, SUM(amount) FROM ledger_entries GROUP BY txn HAVING SUM(amount) <> 0 ORDER BY txn";
            let mut statement = connection.prepare_cached(sql)?;
            statement.query_map([], |row| Ok((row.get(0)?, Fen(row.get(1)?))))?.collect()
        })
        .await
    }

    async fn sums(&self, from: Timestamp, to: Timestamp, after: i64, span: i64) -> Result<(Vec<Sum>, i64), StoreError> {
        self.run(move |connection| {
            let sql = format!(
                "SELECT l.id, e.account, e.kind, SUM(e.amount), m.method, m.reason, m.click, m.code, m.platform, \
                 m.agreement, m.sampling, m.note, (e.effective_at + {BEIJING_AHEAD}) / {DAY} AS day, m.version, {STANDING} \
                 FROM ledger_lines l \
                 JOIN ledger_entries e ON e.line = l.id \
                 JOIN ledger_matches m ON m.line = l.id AND m.version = e.match_version \
                 WHERE l.id > ?1 AND l.id <= ?2 AND e.effective_at >= ?3 AND e.effective_at < ?4 \
                 AND e.account NOT LIKE 'network:%' GROUP BY l.id, m.version, day, e.account, e.kind \
                 ORDER BY l.id, m.version, day, e.account, e.kind"
            );
            let transaction = connection.transaction()?;
            let last = greatest(&transaction, "ledger_lines", "id")?;
            let mut statement = transaction.prepare_cached(&sql)?;
            let given = params![after, after.saturating_add(span), from.micros(), to.micros()];
            let read = |row: &Row<'_>| {
                let reason: Option<String> = row.get(5)?;
                let click: Option<Vec<u8>> = row.get(6)?;
                Ok(Sum {
                    number: row.get(0)?,
                    account: named(row, 1, Account::parse)?,
                    kind: named(row, 2, Kind::parse)?,
                    amount: Fen(row.get(3)?),
                    matched: Credit {
                        method: named(row, 4, Method::parse)?,
                        reason: reason.and_then(|name| Reason::parse(&name)),
                        click: click.and_then(|bytes| bytes.try_into().ok()).map(ClickId),
                        code: text(row, 7)?,
                        platform: text(row, 8)?,
                        agreement: text(row, 9)?,
                        sampling: row.get(10)?,
                        note: text(row, 11)?,
                    },
                    day: row.get(12)?,
                    booked: row.get(13)?,
                    line: standing(row, 14)?,
                })
            };
            let found = statement.query_map(given, read)?.collect::<rusqlite::Result<Vec<_>>>()?;
            Ok((found, last))
        })
        .await
    }

    async fn closed(&self) -> Result<Vec<Closed>, StoreError> {
        self.run(|connection| closed(&*connection.transaction()?, None)).await
    }

    async fn close(&self, period: Month, by: &str, revision: i64, now: Timestamp) -> Result<Closing, StoreError> {
        let by = by.to_owned();
        self.run(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if let Some(known) = closed(&transaction, Some(period))?.pop() {
                return Ok(Closing::Already(known));
            }
            let marks = marks(&transaction)?;
            if marks.revision != revision {
                return Ok(Closing::Stale);
            }
            if let Some(last) = marks.closed.filter(|last| *last >= period) {
                // It had no entries when a later one was closed, and can have got none since.
                return Ok(Closing::Already(Closed {
                    period,
                    closed_at: closed(&transaction, Some(last))?.pop().map_or(now, |last| last.closed_at),
                    closed_by: String::new(),
                    balances: Vec::new(),
                }));
            }
            let sql = "SELECT MIN(period) FROM ledger_entries WHERE period < ?1 AND period > ?2";
            let after = marks.closed.map_or(0, Month::number);
            let earlier: Option<i64> = transaction.query_row(sql, [period.number(), after], |row| row.get(0))?;
            if let Some(earlier) = earlier.and_then(Month::from_number) {
                return Ok(Closing::Earlier(earlier));
            }
            transaction.execute(
                "INSERT INTO ledger_periods (period, closed_at, closed_by) VALUES (?1, ?2, ?3)",
                params![period.number(), now.micros(), by],
            )?;
            transaction.execute(
                "INSERT INTO ledger_closing_balances (period, account, kind, amount) \
                 SELECT period, account, kind, amount FROM ledger_balances WHERE period = ?1 AND amount <> 0",
                [period.number()],
            )?;
            set_mark(&transaction, "closed", period.number())?;
            set_mark(&transaction, "revision", marks.revision + 1)?;
            let made = closed(&transaction, Some(period))?.pop();
            transaction.commit()?;
            Ok(made.map_or(Closing::Stale, Closing::Closed))
        })
        .await
    }

    async fn untold(&self, limit: usize) -> Result<Vec<Untold>, StoreError> {
        self.run(move |connection| {
            let sql = "SELECT a.number, a.state, l.network, l.account, l.line FROM ledger_announcements a \
                       JOIN ledger_lines l ON l.id = a.line WHERE a.told = 0 ORDER BY a.number LIMIT ?1";
            let mut statement = connection.prepare_cached(sql)?;
            let read = |row: &Row<'_>| {
                Ok(Untold { number: row.get(0)?, state: named(row, 1, OrderState::parse)?, key: key(row, 2)? })
            };
            statement.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], read)?.collect()
        })
        .await
    }

    async fn told(&self, numbers: &[i64]) -> Result<(), StoreError> {
        let numbers = numbers.to_vec();
        self.run(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for number in numbers {
                transaction
                    .prepare_cached("UPDATE ledger_announcements SET told = 1 WHERE number = ?1")?
                    .execute([number])?;
            }
            transaction.commit()
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribution::ledger::conformance;

    #[tokio::test]
    async fn the_embedded_ledger_conforms() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orders.sqlite");
        conformance::every_ledger(|| SqliteLedger::open(&path).unwrap()).await;
    }
}
