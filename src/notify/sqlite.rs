//! The outbox in an embedded SQLite file, which may be shared with other stores. The SQL is plain enough for any database.

use std::path::Path;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, TransactionBehavior, params, params_from_iter};

use super::outbox::{
    Attempt, Count, Delivery, DeliveryQuery, DeliveryState, Due, Mark, Outbox, OutboxError, Posting, Warned,
};
use crate::config::webhooks::EventKind;
use crate::domain::time::Timestamp;
use crate::sqlite::{self, Schema, Shared, SqliteError};

/// The tables of an outbox, all with one prefix: each outbox of a file has its own.
macro_rules! tables {
    ($prefix:literal) => {
        concat!(
            "
        CREATE TABLE ",
            $prefix,
            "_events (
            id TEXT PRIMARY KEY NOT NULL,
            kind TEXT NOT NULL,
            body TEXT NOT NULL,
            keep_until BIGINT NOT NULL
        );
        CREATE TABLE ",
            $prefix,
            "_deliveries (
            number BIGINT PRIMARY KEY NOT NULL,
            event TEXT NOT NULL REFERENCES ",
            $prefix,
            "_events (id),
            webhook TEXT NOT NULL,
            state TEXT NOT NULL,
            attempts BIGINT NOT NULL,
            created_at BIGINT NOT NULL,
            since BIGINT NOT NULL,
            next_at BIGINT NOT NULL,
            last_at BIGINT,
            last_status BIGINT,
            last_error TEXT,
            UNIQUE (event, webhook)
        );
        CREATE INDEX ",
            $prefix,
            "_deliveries_due ON ",
            $prefix,
            "_deliveries (webhook, state, next_at);
        CREATE TABLE ",
            $prefix,
            "_marks (
            name TEXT PRIMARY KEY NOT NULL,
            value BIGINT NOT NULL
        );
        CREATE TABLE ",
            $prefix,
            "_warned (
            code TEXT NOT NULL,
            until BIGINT NOT NULL,
            PRIMARY KEY (code, until)
        );
        CREATE INDEX ",
            $prefix,
            "_warned_until ON ",
            $prefix,
            "_warned (until);
"
        )
    };
}

const WEBHOOKS: Schema = Schema { name: "webhooks", steps: &[tables!("webhook")] };
const POSTBACKS: Schema = Schema { name: "postbacks", steps: &[tables!("postback")] };

/// The prefix of one outbox's tables.
#[derive(Clone, Copy)]
struct Names(&'static str);

impl Names {
    /// A statement with the prefix where `@` stands.
    fn of(self, statement: &str) -> String {
        statement.replace('@', self.0)
    }
}

/// The page cache, in KiB.
const CACHE: u32 = 1_024;

/// The embedded outbox.
pub struct SqliteOutbox {
    connection: Shared,
    names: Names,
}

impl SqliteOutbox {
    /// Opens the outbox of webhooks in a file, creating it when missing.
    ///
    /// # Errors
    /// [`SqliteError`] naming the file.
    pub fn open(path: &Path) -> Result<Self, SqliteError> {
        Self::of(path, &WEBHOOKS, "webhook")
    }

    /// Opens the outbox of postbacks in a file, creating it when missing.
    ///
    /// # Errors
    /// [`SqliteError`] naming the file.
    pub fn open_postbacks(path: &Path) -> Result<Self, SqliteError> {
        Self::of(path, &POSTBACKS, "postback")
    }

    fn of(path: &Path, schema: &Schema, prefix: &'static str) -> Result<Self, SqliteError> {
        Ok(SqliteOutbox { connection: Shared::open(path, schema, CACHE)?, names: Names(prefix) })
    }

    async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection, Names) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, OutboxError> {
        let names = self.names;
        let done = self.connection.run(move |connection| work(connection, names)).await;
        done.map_err(unavailable)?.map_err(unavailable)
    }
}

fn unavailable(error: impl std::fmt::Display) -> OutboxError {
    OutboxError::Unavailable(error.to_string())
}

fn unknown(column: usize, name: &str) -> rusqlite::Error {
    sqlite::unknown(column, &format!("`{name}`"))
}

fn state(row: &Row<'_>, column: usize) -> rusqlite::Result<DeliveryState> {
    let name: String = row.get(column)?;
    DeliveryState::parse(&name).ok_or_else(|| unknown(column, &name))
}

fn delivery(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    let state = state(row, 4)?;
    let next_at = Timestamp::from_micros(row.get(7)?);
    Ok(Delivery {
        number: row.get(0)?,
        event: row.get(1)?,
        kind: row.get(2)?,
        webhook: row.get(3)?,
        state,
        attempts: row.get(5)?,
        created_at: Timestamp::from_micros(row.get(6)?),
        next_at: (state == DeliveryState::Pending).then_some(next_at),
        last_at: row.get::<_, Option<i64>>(8)?.map(Timestamp::from_micros),
        last_status: row.get(9)?,
        last_error: row.get(10)?,
        body: row.get(11)?,
    })
}

#[async_trait]
impl Outbox for SqliteOutbox {
    async fn post(&self, posting: Posting, now: Timestamp) -> Result<u64, OutboxError> {
        self.run(move |connection, names| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut number: i64 =
                transaction
                    .query_row(&names.of("SELECT COALESCE(MAX(number), 0) FROM @_deliveries"), [], |row| row.get(0))?;
            let mut new = 0;
            {
                let mut event_row = transaction.prepare_cached(
                    &names.of("INSERT INTO @_events (id, kind, body, keep_until) VALUES (?1, ?2, ?3, ?4) \
                     ON CONFLICT (id) DO NOTHING"),
                )?;
                let mut delivery_row = transaction.prepare_cached(&names.of("INSERT INTO @_deliveries \
                     (number, event, webhook, state, attempts, created_at, since, next_at) \
                     VALUES (?1, ?2, ?3, 'pending', 0, ?4, ?4, ?4) ON CONFLICT (event, webhook) DO NOTHING"))?;
                for (event, webhooks) in &posting.events {
                    event_row.execute(params![event.id, event.kind.as_str(), event.body, event.keep_until.micros()])?;
                    for webhook in webhooks {
                        if delivery_row.execute(params![number + 1, event.id, webhook, now.micros()])? == 1 {
                            number += 1;
                            new += 1;
                        }
                    }
                }
                let mut mark_row = transaction
                    .prepare_cached(&names.of("INSERT INTO @_marks (name, value) VALUES (?1, ?2) \
                     ON CONFLICT (name) DO UPDATE SET value = excluded.value"))?;
                for (mark, value) in &posting.marks {
                    mark_row.execute(params![mark.as_str(), value])?;
                }
                let mut warned_row = transaction
                    .prepare_cached(&names.of(
                        "INSERT INTO @_warned (code, until) VALUES (?1, ?2) ON CONFLICT (code, until) DO NOTHING",
                    ))?;
                for (code, until) in &posting.warned {
                    warned_row.execute(params![&**code, until.micros()])?;
                }
            }
            transaction.commit()?;
            Ok(new)
        })
        .await
    }

    async fn mark(&self, mark: Mark) -> Result<Option<i64>, OutboxError> {
        self.run(move |connection, names| {
            let sql = &names.of("SELECT value FROM @_marks WHERE name = ?1");
            connection.query_row(sql, [mark.as_str()], |row| row.get(0)).optional()
        })
        .await
    }

    async fn knows(&self, event: &str) -> Result<bool, OutboxError> {
        let event = event.to_owned();
        self.run(move |connection, names| {
            connection.prepare_cached(&names.of("SELECT 1 FROM @_events WHERE id = ?1"))?.exists([event])
        })
        .await
    }

    async fn not_warned(&self, links: Vec<Warned>) -> Result<Vec<Warned>, OutboxError> {
        self.run(move |connection, names| {
            let mut known =
                connection.prepare_cached(&names.of("SELECT 1 FROM @_warned WHERE code = ?1 AND until = ?2"))?;
            let mut new = Vec::with_capacity(links.len());
            for link in links {
                if !known.exists(params![&*link.0, link.1.micros()])? {
                    new.push(link);
                }
            }
            Ok(new)
        })
        .await
    }

    async fn due(&self, webhook: &str, now: Timestamp, limit: usize) -> Result<Vec<Due>, OutboxError> {
        let webhook = webhook.to_owned();
        self.run(move |connection, names| {
            let mut statement = connection.prepare_cached(
                &names.of("SELECT d.event, e.kind, e.body, d.attempts, d.since FROM @_deliveries d \
                 JOIN @_events e ON e.id = d.event \
                 WHERE d.webhook = ?1 AND d.state = 'pending' AND d.next_at <= ?2 ORDER BY d.next_at, d.number LIMIT ?3"),
            )?;
            let read = |row: &Row<'_>| {
                let kind: String = row.get(1)?;
                Ok(Due {
                    event: row.get(0)?,
                    kind: EventKind::parse(&kind).ok_or_else(|| unknown(1, &kind))?,
                    body: row.get(2)?,
                    attempts: row.get(3)?,
                    since: Timestamp::from_micros(row.get(4)?),
                })
            };
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            statement.query_map(params![webhook, now.micros(), limit], read)?.collect()
        })
        .await
    }

    async fn next_due(&self, webhook: &str) -> Result<Option<Timestamp>, OutboxError> {
        let webhook = webhook.to_owned();
        self.run(move |connection, names| {
            let sql = &names.of("SELECT MIN(next_at) FROM @_deliveries WHERE webhook = ?1 AND state = 'pending'");
            let mut statement = connection.prepare_cached(sql)?;
            let next: Option<i64> = statement.query_row([webhook], |row| row.get(0))?;
            Ok(next.map(Timestamp::from_micros))
        })
        .await
    }

    async fn note(&self, event: &str, webhook: &str, attempt: Attempt) -> Result<(), OutboxError> {
        let (event, webhook) = (event.to_owned(), webhook.to_owned());
        self.run(move |connection, names| {
            let mut statement = connection.prepare_cached(
                &names.of("UPDATE @_deliveries SET state = ?3, attempts = attempts + 1, next_at = ?4, last_at = ?5, \
                 last_status = ?6, last_error = ?7 WHERE event = ?1 AND webhook = ?2"),
            )?;
            let error = Some(attempt.error).filter(|error| !error.is_empty());
            let (next_at, at) = (attempt.next_at.micros(), attempt.at.micros());
            let state = attempt.state.as_str();
            statement.execute(params![event, webhook, state, next_at, at, attempt.status, error]).map(drop)
        })
        .await
    }

    async fn list(&self, query: &DeliveryQuery, limit: usize) -> Result<Vec<Delivery>, OutboxError> {
        let query = query.clone();
        self.run(move |connection, names| {
            let mut sql =
                names.of("SELECT d.number, d.event, e.kind, d.webhook, d.state, d.attempts, d.created_at, d.next_at, \
                           d.last_at, d.last_status, d.last_error, e.body FROM @_deliveries d \
                           JOIN @_events e ON e.id = d.event WHERE d.number < ?1");
            let mut values: Vec<Box<dyn ToSql>> = vec![Box::new(query.before.unwrap_or(i64::MAX))];
            if let Some(webhook) = query.webhook {
                values.push(Box::new(webhook));
                sql.push_str(&format!(" AND d.webhook = ?{}", values.len()));
            }
            if let Some(state) = query.state {
                values.push(Box::new(state.as_str()));
                sql.push_str(&format!(" AND d.state = ?{}", values.len()));
            }
            values.push(Box::new(i64::try_from(limit).unwrap_or(i64::MAX)));
            sql.push_str(&format!(" ORDER BY d.number DESC LIMIT ?{}", values.len()));
            let mut statement = connection.prepare_cached(&sql)?;
            statement.query_map(params_from_iter(values), delivery)?.collect()
        })
        .await
    }

    async fn retry(&self, event: &str, webhook: Option<&str>, now: Timestamp) -> Result<Option<u64>, OutboxError> {
        let (event, webhook) = (event.to_owned(), webhook.map(str::to_owned));
        self.run(move |connection, names| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let known: i64 = transaction.query_row(
                &names.of("SELECT COUNT(*) FROM @_deliveries WHERE event = ?1 AND webhook = COALESCE(?2, webhook)"),
                params![event, webhook],
                |row| row.get(0),
            )?;
            let changed = transaction.execute(
                &names.of("UPDATE @_deliveries SET state = 'pending', attempts = 0, since = ?3, next_at = ?3 \
                 WHERE event = ?1 AND webhook = COALESCE(?2, webhook) AND state <> 'delivered'"),
                params![event, webhook, now.micros()],
            )?;
            transaction.commit()?;
            Ok((known > 0).then_some(changed as u64))
        })
        .await
    }

    async fn counts(&self) -> Result<Vec<Count>, OutboxError> {
        self.run(|connection, names| {
            let mut statement = connection.prepare_cached(&names.of(
                "SELECT webhook, state, COUNT(*) FROM @_deliveries GROUP BY webhook, state ORDER BY webhook, state",
            ))?;
            let read = |row: &Row<'_>| {
                Ok(Count {
                    webhook: row.get(0)?,
                    state: state(row, 1)?,
                    deliveries: row.get::<_, i64>(2)?.unsigned_abs(),
                })
            };
            statement.query_map([], read)?.collect()
        })
        .await
    }

    async fn forget(&self, now: Timestamp) -> Result<u64, OutboxError> {
        self.run(move |connection, names| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let over = &names.of("SELECT id FROM @_events WHERE keep_until < ?1 AND id NOT IN \
                        (SELECT event FROM @_deliveries WHERE state = 'pending')");
            // Deliveries first: they refer to their event.
            transaction.execute(
                &format!("{} ({over})", names.of("DELETE FROM @_deliveries WHERE event IN")),
                [now.micros()],
            )?;
            let forgotten = transaction.execute(
                &names.of("DELETE FROM @_events WHERE keep_until < ?1 AND id NOT IN (SELECT event FROM @_deliveries)"),
                [now.micros()],
            )?;
            transaction.execute(&names.of("DELETE FROM @_warned WHERE until < ?1"), [now.micros()])?;
            transaction.commit()?;
            Ok(forgotten as u64)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::super::conformance::every_outbox;
    use super::*;

    #[tokio::test]
    async fn sqlite_keeps_events_as_every_outbox_must() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outbox.sqlite");
        every_outbox(|| SqliteOutbox::open(&path).unwrap()).await;
        // Another one in the same file, which knows nothing of the first.
        every_outbox(|| SqliteOutbox::open_postbacks(&path).unwrap()).await;
    }
}
