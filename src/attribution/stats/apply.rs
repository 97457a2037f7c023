//! Counts hops: everything that follows from a batch of them, in one transaction with the mark of how far was read.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, OptionalExtension as _, Transaction, params, params_from_iter};

use super::batch::Row;
use super::seen;
use super::words::{Spot, View, Word, Words};
use crate::domain::attribution::touch::Marks;
use crate::domain::attribution::validity::{Click, Rules, Verdict, VisitorDay};
use crate::domain::time::Timestamp;

/// Microseconds of an hour.
pub(super) const HOUR: i64 = 3_600_000_000;

/// What became of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Applied {
    /// Hops that were counted; the others had been before.
    pub(super) hops: u64,
    /// Touches that were kept.
    pub(super) touches: u64,
}

/// A creator seen using its own key: its name, the visitor's hash, when.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Own {
    pub(super) creator: Box<str>,
    pub(super) visitor: u128,
    pub(super) at: Timestamp,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    people: i64,
    machines: i64,
    duplicates: i64,
    self_clicks: i64,
    excessive: i64,
    rehearsal: i64,
    without_visitor: i64,
}

impl Counts {
    fn add(&mut self, verdict: Verdict, known: bool) {
        self.without_visitor += i64::from(!known && verdict != Verdict::Rehearsal);
        let target = match verdict {
            Verdict::Rehearsal => &mut self.rehearsal,
            Verdict::Machine => &mut self.machines,
            // One place for each click, so that they add up to all of them.
            Verdict::Person(marks) if marks.has(Marks::SELF_CLICK) => &mut self.self_clicks,
            Verdict::Person(marks) if marks.has(Marks::EXCESSIVE) => &mut self.excessive,
            Verdict::Person(marks) if marks.has(Marks::DUPLICATE) => &mut self.duplicates,
            Verdict::Person(_) => &mut self.people,
        };
        *target += 1;
    }
}

struct Kept {
    row: Row,
    link: i64,
    marks: Marks,
}

/// The state of one batch.
struct Counting<'a> {
    connection: &'a Connection,
    words: &'a mut Words,
    rules: &'a Rules,
    /// Visitors of days before this one were forgotten: nothing can be said of theirs any more.
    forgotten: i64,
    visitors: BTreeMap<(i64, u128), VisitorDay>,
    owns: HashMap<i64, HashMap<(Box<str>, u128), i64>>,
    /// Marks of clicks that can no longer be found out.
    carried: &'a HashMap<(Box<str>, u64), Marks>,
    hours: HashMap<(i64, i64), Counts>,
    days: HashMap<(i64, i64), Counts>,
    uniques: HashMap<(i64, i64), i64>,
    touches: Vec<Kept>,
}

/// Counts those of `rows` that were not counted before, and notes that all up to `passed` were read.
pub(super) fn apply(
    transaction: &Transaction<'_>,
    words: &mut Words,
    rules: &Rules,
    rows: &[Row],
    passed: u64,
    carried: &HashMap<(Box<str>, u64), Marks>,
) -> rusqlite::Result<Applied> {
    let mut marks: HashMap<Word, i64> = HashMap::new();
    let mut new = Vec::with_capacity(rows.len());
    for row in rows {
        let mark = match marks.get(&row.node) {
            Some(mark) => *mark,
            None => {
                let mark = mark(transaction, words.text(row.node))?;
                marks.insert(row.node, mark);
                mark
            }
        };
        if row.seq as i64 > mark {
            new.push(*row);
        }
    }
    let Some(last) = new.last().copied() else { return Ok(Applied::default()) };
    let forgotten = fact(transaction, "visitors_forgotten_before")?.and_then(|text| text.parse().ok());
    let mut counting = Counting {
        connection: transaction,
        words,
        rules,
        forgotten: forgotten.unwrap_or(i64::MIN),
        visitors: BTreeMap::new(),
        owns: HashMap::new(),
        carried,
        hours: HashMap::new(),
        days: HashMap::new(),
        uniques: HashMap::new(),
        touches: Vec::new(),
    };
    counting.remember(&new)?;
    for row in &new {
        counting.count(row)?;
    }
    let touches = counting.touches.len() as u64;
    counting.keep()?;
    let mut latest: BTreeMap<Word, (u64, i64)> = BTreeMap::new();
    for row in &new {
        let entry = latest.entry(row.node).or_insert((0, i64::MIN));
        *entry = (entry.0.max(row.seq), entry.1.max(row.at.micros()));
    }
    if let Some(entry) = latest.get_mut(&last.node) {
        entry.0 = entry.0.max(passed);
    }
    for (node, (seq, at)) in latest {
        let sql = "INSERT INTO stats_marks (node, seq, at) VALUES (?1, ?2, ?3) \
                   ON CONFLICT (node) DO UPDATE SET seq = excluded.seq, \
                   at = CASE WHEN excluded.at > at THEN excluded.at ELSE at END";
        transaction.prepare_cached(sql)?.execute(params![words.text(node), seq as i64, at])?;
    }
    Ok(Applied { hops: new.len() as u64, touches })
}

/// How far a node's log was read; 0: not at all.
fn mark(connection: &Connection, node: &str) -> rusqlite::Result<i64> {
    let mut found = connection.prepare_cached("SELECT seq FROM stats_marks WHERE node = ?1")?;
    Ok(found.query_row([node], |row| row.get(0)).optional()?.unwrap_or(0))
}

/// What is noted under a name.
pub(super) fn fact(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    let mut found = connection.prepare_cached("SELECT value FROM stats_facts WHERE name = ?1")?;
    found.query_row([name], |row| row.get(0)).optional()
}

/// Notes something under a name.
pub(super) fn note_fact(connection: &Connection, name: &str, value: &str) -> rusqlite::Result<()> {
    let sql = "INSERT INTO stats_facts (name, value) VALUES (?1, ?2) \
               ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    connection.prepare_cached(sql)?.execute([name, value]).map(drop)
}

/// Keeps that creators were seen; the first time of a day counts.
pub(super) fn keep_owns(connection: &Connection, owns: &[Own]) -> rusqlite::Result<()> {
    let sql = "INSERT INTO stats_selves (day, creator, visitor, at) VALUES (?1, ?2, ?3, ?4) \
               ON CONFLICT (day, creator, visitor) DO UPDATE SET \
               at = CASE WHEN excluded.at < at THEN excluded.at ELSE at END";
    let mut insert = connection.prepare_cached(sql)?;
    for own in owns {
        insert.execute(params![own.at.beijing_day(), own.creator, own.visitor.to_be_bytes(), own.at.micros()])?;
    }
    Ok(())
}

impl Counting<'_> {
    /// Reads what is remembered of the visitors of these hops, in the order in which it lies in the file.
    fn remember(&mut self, rows: &[Row]) -> rusqlite::Result<()> {
        let mut keys: Vec<(i64, u128)> = rows
            .iter()
            .filter(|row| row.visitor != 0)
            .map(|row| (row.at.beijing_day(), row.visitor))
            .filter(|(day, _)| *day >= self.forgotten)
            .collect();
        keys.sort_unstable();
        keys.dedup();
        let mut found =
            self.connection.prepare_cached("SELECT seen FROM stats_visitors WHERE day = ?1 AND visitor = ?2")?;
        for (day, visitor) in keys {
            let seen: Option<Vec<u8>> =
                found.query_row(params![day, visitor.to_be_bytes()], |row| row.get(0)).optional()?;
            let seen = match seen {
                None => VisitorDay::default(),
                Some(bytes) => seen::decode(&bytes).map_err(|_| {
                    let problem = "a visitor's row cannot be read: `hopgate stats rebuild` makes the file anew";
                    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, problem.into())
                })?,
            };
            self.visitors.insert((day, visitor), seen);
            if !self.owns.contains_key(&day) {
                let mut own =
                    self.connection.prepare_cached("SELECT creator, visitor, at FROM stats_selves WHERE day = ?1")?;
                let read = |row: &rusqlite::Row<'_>| {
                    let creator: Box<str> = row.get(0)?;
                    Ok(((creator, u128::from_be_bytes(row.get(1)?)), row.get(2)?))
                };
                let owns = own.query_map([day], read)?.collect::<rusqlite::Result<_>>()?;
                self.owns.insert(day, owns);
            }
        }
        Ok(())
    }

    fn is_own(&self, row: &Row, day: i64) -> bool {
        let creator = self.words.text(row.creator);
        let owns = self.owns.get(&day).filter(|owns| !owns.is_empty() && !creator.is_empty());
        owns.and_then(|owns| owns.get(&(creator.into(), row.visitor))).is_some_and(|at| *at <= row.at.micros())
    }

    fn count(&mut self, row: &Row) -> rusqlite::Result<()> {
        let day = row.at.beijing_day();
        let link = self.words.id(self.connection, row.code)?;
        let own = self.is_own(row, day);
        let click = Click { link, at: row.at, allowed: row.allowed, flags: row.flags, own };
        let mut visitor = self.visitors.get_mut(&(day, row.visitor));
        let mut verdict = self.rules.judge(visitor.as_deref_mut(), &click);
        if !self.carried.is_empty()
            && let Verdict::Person(marks) = verdict
            && let Some(more) = self.carried.get(&(self.words.text(row.node).into(), row.seq))
        {
            verdict = Verdict::Person(marks.with(*more));
        }
        let (none, known) = (self.words.word(""), visitor.is_some());
        for (level, code, creator) in [(0, row.code, row.creator), (1, none, row.creator), (2, none, none)] {
            let Row { platform, surface, marketplace, outcome, reason, .. } = *row;
            let spot = Spot { level, code, creator, platform, surface, marketplace, outcome, reason };
            let spot = self.words.spot(self.connection, spot)?;
            self.hours.entry((spot, row.at.micros().div_euclid(HOUR))).or_default().add(verdict, known);
            self.days.entry((spot, day)).or_default().add(verdict, known);
        }
        if let Some(visitor) = visitor.filter(|_| verdict.counts()) {
            let views = [
                View(0, row.code, none),
                View(1, row.creator, none),
                View(2, row.platform, row.surface),
                View(3, row.marketplace, none),
                View(4, none, none),
            ];
            for view in views {
                let view = self.words.view(self.connection, view)?;
                if visitor.count_in(view) {
                    *self.uniques.entry((view, day)).or_default() += 1;
                }
            }
        }
        if row.allowed && verdict != Verdict::Rehearsal {
            self.touches.push(Kept { row: *row, link, marks: verdict.marks() });
        }
        Ok(())
    }

    /// Writes everything, each table in the order in which it lies in the file.
    fn keep(mut self) -> rusqlite::Result<()> {
        let sql = "INSERT INTO stats_visitors (day, visitor, seen) VALUES (?1, ?2, ?3) \
                   ON CONFLICT (day, visitor) DO UPDATE SET seen = excluded.seen";
        let mut insert = self.connection.prepare_cached(sql)?;
        for ((day, visitor), seen) in &self.visitors {
            if !seen.taps.is_empty() {
                insert.execute(params![day, visitor.to_be_bytes(), seen::encode(seen)])?;
            }
        }
        keep_counts(self.connection, "stats_hours", &self.hours)?;
        keep_counts(self.connection, "stats_days", &self.days)?;
        let sql = "INSERT INTO stats_uniques (view, day, visitors) VALUES (?1, ?2, ?3) \
                   ON CONFLICT (view, day) DO UPDATE SET visitors = visitors + excluded.visitors";
        let mut insert = self.connection.prepare_cached(sql)?;
        for ((view, day), visitors) in &self.uniques {
            insert.execute(params![view, day, visitors])?;
        }
        drop(insert);
        let touches = std::mem::take(&mut self.touches);
        self.keep_touches(&touches)
    }

    fn keep_touches(&mut self, touches: &[Kept]) -> rusqlite::Result<()> {
        let connection = self.connection;
        let insert = "INSERT INTO stats_touches (at, node, seq, click, link, creator, aim, flags, marks, note) \
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (at, node, seq) DO NOTHING";
        let mut insert = connection.prepare_cached(insert)?;
        let mut stray = connection
            .prepare_cached("INSERT INTO stats_strays (click, at) VALUES (?1, ?2) ON CONFLICT (click) DO NOTHING")?;
        let none = self.words.word("");
        let (mut earliest, mut latest) = (i64::MAX, i64::MIN);
        for Kept { row, link, marks } in touches {
            let at = row.at.micros();
            (earliest, latest) = (earliest.min(at), latest.max(at));
            let aim = self.words.aim(connection, row.aim())?;
            let node = self.words.id(connection, row.node)?;
            let mut named = |word: Word| match word {
                word if word == none => Ok(None),
                word => self.words.id(connection, word).map(Some),
            };
            let (creator, note) = (named(row.creator)?, named(row.note)?);
            let seq = row.seq as i64;
            insert.execute(params![at, node, seq, row.id.0, link, creator, aim, row.flags.0, marks.0, note])?;
            if row.id.minted_at().millis() != row.at.millis() {
                stray.execute(params![row.id.0, at])?;
            }
        }
        if !touches.is_empty() {
            let sql = "INSERT INTO stats_changes (change, earliest, latest) \
                       SELECT COALESCE(MAX(change), 0) + 1, ?1, ?2 FROM stats_changes";
            connection.prepare_cached(sql)?.execute([earliest, latest])?;
        }
        Ok(())
    }
}

fn keep_counts(connection: &Connection, table: &str, counts: &HashMap<(i64, i64), Counts>) -> rusqlite::Result<()> {
    let sql = format!(
        "INSERT INTO {table} (spot, time, people, machines, duplicates, self_clicks, excessive, rehearsal, \
         without_visitor) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (spot, time) DO UPDATE SET \
         people = people + excluded.people, machines = machines + excluded.machines, \
         duplicates = duplicates + excluded.duplicates, self_clicks = self_clicks + excluded.self_clicks, \
         excessive = excessive + excluded.excessive, rehearsal = rehearsal + excluded.rehearsal, \
         without_visitor = without_visitor + excluded.without_visitor"
    );
    let mut insert = connection.prepare_cached(&sql)?;
    let mut sorted: Vec<_> = counts.iter().collect();
    sorted.sort_unstable_by_key(|(key, _)| **key);
    for ((spot, time), each) in sorted {
        let Counts { people, machines, duplicates, self_clicks, excessive, rehearsal, without_visitor } = *each;
        let key = [*spot, *time];
        let counts = [people, machines, duplicates, self_clicks, excessive, rehearsal, without_visitor];
        insert.execute(params_from_iter(key.iter().chain(&counts)))?;
    }
    Ok(())
}
