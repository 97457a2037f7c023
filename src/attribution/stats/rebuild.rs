//! Makes the file anew from every hop that is kept. Days whose hops lack visitors by now keep the figures they have: counted
//! anew, every double would be a click that counts.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};

use super::apply::{fact, keep_owns, note_fact};
use super::follow::FollowError;
use super::schema::SCHEMA;
use super::{Own, Stats, unavailable};
use crate::domain::attribution::touch::Marks;
use crate::domain::attribution::validity::Rules;
use crate::domain::time::Timestamp;

/// Every table that follows from hops. What creators were seen on is taken over.
const TABLES: [&str; 12] = [
    "stats_texts",
    "stats_marks",
    "stats_spots",
    "stats_hours",
    "stats_days",
    "stats_views",
    "stats_uniques",
    "stats_visitors",
    "stats_aims",
    "stats_touches",
    "stats_strays",
    "stats_kept",
];

/// What was made anew.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rebuilt {
    /// Hops that were counted.
    pub hops: u64,
    /// Beijing days whose visitors are erased from their hops, or from some: their figures stay as they were counted.
    pub kept: Vec<i64>,
    /// Days of the same sort whose old figures are not of the same hops: they were counted without visitors.
    pub bare: Vec<i64>,
    /// Clicks whose visitor is not known, in figures that were counted anew.
    pub without_visitor: u64,
}

/// How often the end of the log is read once more because one has counted further than the other.
const ATTEMPTS: usize = 10;

impl Stats {
    /// Counts every hop of a data folder anew, by these rules, beside the file, and then puts the figures in its place in one
    /// transaction: whoever asks sees the old figures or the new ones, and a gateway that runs goes on with the new ones. What
    /// cannot be found out from hops is taken over: when creators were seen, which clicks were found to be their own, and all
    /// figures and marks of days from whose hops visitors were erased.
    ///
    /// # Errors
    /// [`FollowError`]; nothing was changed then.
    pub fn rebuild(&self, data_dir: &Path, rules: &Rules, told: impl FnMut(u64)) -> Result<Rebuilt, FollowError> {
        let held = self.hold_rebuilds().map_err(unavailable)?;
        let Some(_held) = held else { return Err(FollowError::Busy(self.path().display().to_string())) };
        self.clear_leftovers().map_err(unavailable)?;
        let beside = beside(self.path());
        let new = Stats::open(&beside, rules).map_err(unavailable)?;
        {
            let reader = self.reader();
            let mut writer = new.writer();
            if rules.self_clicks {
                writer.carried = own_marks(&reader).map_err(unavailable)?;
            }
            let owns = owns(&reader).map_err(unavailable)?;
            keep_owns(&writer.connection, &owns).map_err(unavailable)?;
            // Nobody else sees this file, and the next to open the figures throws it away after a crash.
            writer.connection.pragma_update(None, "synchronous", "OFF").map_err(unavailable)?;
        }
        let mut hops = new.catch_up(data_dir, None, told)?;
        let mut rebuilt = None;
        for attempt in 1..=ATTEMPTS {
            {
                let writer = new.writer();
                writer.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(unavailable)?;
            }
            rebuilt = self.take_over(&beside, rules, attempt == ATTEMPTS).map_err(unavailable)?;
            if rebuilt.is_some() {
                break;
            }
            // Old and new figures of a day are of the same hops where both have counted all of them. A file that cannot go on
            // is no reason not to make it anew: whatever is wrong with the hops is met again by the new one.
            let _ = self.catch_up(data_dir, None, |_| {});
            hops += new.catch_up(data_dir, None, |_| {})?;
        }
        drop(new);
        self.clear_leftovers().map_err(unavailable)?;
        Ok(Rebuilt { hops, ..rebuilt.unwrap_or_default() })
    }

    /// Puts the new figures in the place of the old; `None` where the old ones know other hops of a day that must be kept,
    /// unless it must be `now`.
    fn take_over(&self, beside: &Path, rules: &Rules, now: bool) -> rusqlite::Result<Option<Rebuilt>> {
        let mut writer = self.writer();
        let name = beside.to_string_lossy().into_owned();
        writer.connection.execute("ATTACH DATABASE ?1 AS beside", [name])?;
        let taken = swap(&mut writer.connection, rules, now);
        writer.connection.execute_batch("DETACH DATABASE beside")?;
        let Some((generation, rebuilt)) = taken? else { return Ok(None) };
        writer.words = Default::default();
        writer.generation = generation;
        self.now_by(rules.clone());
        Ok(Some(rebuilt))
    }
}

fn swap(connection: &mut Connection, rules: &Rules, now: bool) -> rusqlite::Result<Option<(String, Rebuilt)>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let Some(days) = Days::compared(&transaction, now)? else { return Ok(None) };
    keep(&transaction, &days.kept)?;
    for table in TABLES {
        transaction.execute(&format!("DELETE FROM main.{table}"), [])?;
        transaction.execute(&format!("INSERT INTO main.{table} SELECT * FROM beside.{table}"), [])?;
    }
    // Numbers of changes only grow, and whoever matched orders before looks at all of them again.
    transaction.execute_batch(
        "INSERT INTO main.stats_changes (change, earliest, latest) \
         SELECT (SELECT COALESCE(MAX(change), 0) + 1 FROM main.stats_changes), earliest, latest FROM \
         (SELECT MIN(earliest) AS earliest, MAX(latest) AS latest FROM \
          (SELECT earliest, latest FROM main.stats_changes UNION ALL SELECT earliest, latest FROM beside.stats_changes)) \
         WHERE earliest IS NOT NULL;",
    )?;
    let generation: u64 = fact(&transaction, "generation")?.and_then(|text| text.parse().ok()).unwrap_or(0);
    let generation = (generation + 1).to_string();
    note_fact(&transaction, "generation", &generation)?;
    note_fact(&transaction, "rules", &rules.canonical())?;
    transaction.execute("DELETE FROM main.stats_facts WHERE name = 'visitors_forgotten_before'", [])?;
    transaction.commit()?;
    let Days { kept, bare, without_visitor } = days;
    Ok(Some((generation, Rebuilt { hops: 0, kept, bare, without_visitor })))
}

/// Days whose hops lack visitors that were there when they were counted first.
#[derive(Default)]
struct Days {
    kept: Vec<i64>,
    bare: Vec<i64>,
    without_visitor: u64,
}

impl Days {
    /// `None` where the old figures of such a day are of more hops than the new ones, or fewer, unless it must be `now`.
    fn compared(connection: &Connection, now: bool) -> rusqlite::Result<Option<Days>> {
        let (old, new) = (counted(connection, "main")?, counted(connection, "beside")?);
        let mut days = Days::default();
        for (day, (clicks, without)) in new {
            let (old_clicks, old_without) = old.get(&day).copied().unwrap_or((0, 0));
            match without > old_without && old_clicks > 0 {
                true if old_clicks == clicks => {
                    days.kept.push(day);
                    continue;
                }
                true if !now => return Ok(None),
                true => days.bare.push(day),
                false => {}
            }
            days.without_visitor += without.unsigned_abs();
        }
        Ok(Some(days))
    }
}

/// Clicks of each day, and those whose visitor is not known.
fn counted(connection: &Connection, file: &str) -> rusqlite::Result<BTreeMap<i64, (i64, i64)>> {
    let sql = format!(
        "SELECT d.time, SUM(d.people + d.machines + d.duplicates + d.self_clicks + d.excessive + d.rehearsal), \
         SUM(d.without_visitor) FROM {file}.stats_days d JOIN {file}.stats_spots s ON s.id = d.spot \
         WHERE s.level = 2 GROUP BY d.time"
    );
    let mut found = connection.prepare(&sql)?;
    found.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?.collect()
}

/// Takes over the old figures of days, and the marks of their clicks. Numbers of names are others in the new file; the names
/// themselves are there, because the hops are the same.
fn keep(connection: &Connection, days: &[i64]) -> rusqlite::Result<()> {
    if days.is_empty() {
        return Ok(());
    }
    connection.execute_batch(
        "CREATE TEMP TABLE kept_days (day INTEGER PRIMARY KEY);
         CREATE TEMP TABLE kept_texts (old INTEGER PRIMARY KEY, new BIGINT NOT NULL);
         CREATE TEMP TABLE kept_spots (old INTEGER PRIMARY KEY, new BIGINT NOT NULL);
         CREATE TEMP TABLE kept_views (old INTEGER PRIMARY KEY, new BIGINT NOT NULL);",
    )?;
    let mut day = connection.prepare("INSERT INTO kept_days VALUES (?1)")?;
    for each in days {
        day.execute([each])?;
    }
    drop(day);
    connection.execute_batch(
        "INSERT INTO kept_texts SELECT o.id, n.id FROM main.stats_texts o JOIN beside.stats_texts n ON n.text = o.text;
         INSERT INTO kept_spots SELECT o.id, n.id FROM main.stats_spots o
             JOIN kept_texts c ON c.old = o.code JOIN kept_texts w ON w.old = o.creator
             JOIN kept_texts p ON p.old = o.platform JOIN kept_texts f ON f.old = o.surface
             JOIN kept_texts m ON m.old = o.marketplace JOIN kept_texts r ON r.old = o.outcome
             JOIN kept_texts e ON e.old = o.reason
             JOIN beside.stats_spots n ON n.level = o.level AND n.code = c.new AND n.creator = w.new
             AND n.platform = p.new AND n.surface = f.new AND n.marketplace = m.new AND n.outcome = r.new
             AND n.reason = e.new;
         INSERT INTO beside.stats_views (kind, one, other)
             SELECT o.kind, a.new, b.new FROM main.stats_views o
             JOIN kept_texts a ON a.old = o.one JOIN kept_texts b ON b.old = o.other
             WHERE NOT EXISTS (SELECT 1 FROM beside.stats_views n
                 WHERE n.kind = o.kind AND n.one = a.new AND n.other = b.new);
         INSERT INTO kept_views SELECT o.id, n.id FROM main.stats_views o
             JOIN kept_texts a ON a.old = o.one JOIN kept_texts b ON b.old = o.other
             JOIN beside.stats_views n ON n.kind = o.kind AND n.one = a.new AND n.other = b.new;
         DELETE FROM beside.stats_hours WHERE (time + 8) / 24 IN (SELECT day FROM kept_days);
         DELETE FROM beside.stats_days WHERE time IN (SELECT day FROM kept_days);
         DELETE FROM beside.stats_uniques WHERE day IN (SELECT day FROM kept_days);
         INSERT INTO beside.stats_hours (spot, time, people, machines, duplicates, self_clicks, excessive, rehearsal,
             without_visitor)
             SELECT k.new, o.time, o.people, o.machines, o.duplicates, o.self_clicks, o.excessive, o.rehearsal,
             o.without_visitor FROM main.stats_hours o JOIN kept_spots k ON k.old = o.spot
             WHERE (o.time + 8) / 24 IN (SELECT day FROM kept_days);
         INSERT INTO beside.stats_days (spot, time, people, machines, duplicates, self_clicks, excessive, rehearsal,
             without_visitor)
             SELECT k.new, o.time, o.people, o.machines, o.duplicates, o.self_clicks, o.excessive, o.rehearsal,
             o.without_visitor FROM main.stats_days o JOIN kept_spots k ON k.old = o.spot
             WHERE o.time IN (SELECT day FROM kept_days);
         INSERT INTO beside.stats_uniques (view, day, visitors)
             SELECT k.new, o.day, o.visitors FROM main.stats_uniques o JOIN kept_views k ON k.old = o.view
             WHERE o.day IN (SELECT day FROM kept_days);
         UPDATE beside.stats_touches AS t SET marks =
             (SELECT o.marks FROM main.stats_touches o JOIN kept_texts k ON k.old = o.node
              WHERE o.at = t.at AND o.seq = t.seq AND k.new = t.node)
             WHERE (t.at + 28800000000) / 86400000000 IN (SELECT day FROM kept_days)
             AND EXISTS (SELECT 1 FROM main.stats_touches o JOIN kept_texts k ON k.old = o.node
              WHERE o.at = t.at AND o.seq = t.seq AND k.new = t.node);
         INSERT INTO beside.stats_kept (day, rules)
             SELECT d.day, COALESCE((SELECT o.rules FROM main.stats_kept o WHERE o.day = d.day),
             (SELECT value FROM main.stats_facts WHERE name = 'rules'), '') FROM kept_days d;
         DROP TABLE kept_days; DROP TABLE kept_texts; DROP TABLE kept_spots; DROP TABLE kept_views;",
    )
}

/// Which clicks were found to be their creators' own.
pub(super) fn own_marks(connection: &Connection) -> rusqlite::Result<HashMap<(Box<str>, u64), Marks>> {
    let mut found = connection.prepare(
        "SELECT n.text, t.seq FROM stats_touches t JOIN stats_texts n ON n.id = t.node WHERE t.marks & ?1 <> 0",
    )?;
    let read = |row: &rusqlite::Row<'_>| {
        let seq: i64 = row.get(1)?;
        Ok(((row.get(0)?, seq as u64), Marks::SELF_CLICK))
    };
    found.query_map([Marks::SELF_CLICK.0], read)?.collect()
}

/// When creators were seen.
pub(super) fn owns(connection: &Connection) -> rusqlite::Result<Vec<Own>> {
    let mut found = connection.prepare("SELECT creator, visitor, at FROM stats_selves")?;
    let read = |row: &rusqlite::Row<'_>| {
        let visitor = u128::from_be_bytes(row.get(1)?);
        Ok(Own { creator: row.get(0)?, visitor, at: Timestamp::from_micros(row.get(2)?) })
    };
    found.query_map([], read)?.collect()
}

impl Stats {
    /// What keeps everybody else from making the file anew while it is held, and dies with the process; `None`: somebody is
    /// at it.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn hold_rebuilds(&self) -> io::Result<Option<File>> {
        hold(self.path())
    }

    /// The files of an attempt to make the figures anew: one that is under way, or that was killed.
    pub fn leftovers(&self) -> Vec<PathBuf> {
        leftovers(self.path())
    }

    /// Removes them. To be called by whoever holds rebuilds.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn clear_leftovers(&self) -> io::Result<()> {
        remove(self.path())
    }
}

/// Removes what an attempt that was killed left: it has visitors in it. Nothing where one is under way.
pub(super) fn clear(path: &Path) -> io::Result<()> {
    if leftovers(path).is_empty() {
        return Ok(());
    }
    hold(path)?.map_or(Ok(()), |_held| remove(path))
}

fn hold(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(named(path, ".rebuild.lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn named(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn beside(path: &Path) -> PathBuf {
    named(path, &format!(".{}.new", SCHEMA.name))
}

/// What is there of the file beside, with SQLite's own.
fn leftovers(path: &Path) -> Vec<PathBuf> {
    let beside = beside(path);
    ["", "-wal", "-shm", "-journal"]
        .map(|ending| named(&beside, ending))
        .into_iter()
        .filter(|path| path.exists())
        .collect()
}

fn remove(path: &Path) -> io::Result<()> {
    for file in leftovers(path) {
        match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
