//! Makes the file anew from every hop that is kept.

use std::collections::HashMap;
use std::fs;
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
const TABLES: [&str; 11] = [
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
];

impl Stats {
    /// Counts every hop of a data folder anew, by these rules, beside the file, and then puts the figures in its place in one
    /// transaction: whoever asks sees the old figures or the new ones, and a gateway that runs goes on with the new ones. What
    /// cannot be found out from hops is taken over: when creators were seen, and which clicks were found to be their own.
    /// How many hops there were.
    ///
    /// # Errors
    /// [`FollowError`]; nothing was changed then.
    pub fn rebuild(&self, data_dir: &Path, rules: &Rules, told: impl FnMut(u64)) -> Result<u64, FollowError> {
        let beside = beside(self.path());
        remove(&beside).map_err(unavailable)?;
        let new = Stats::open(&beside, rules).map_err(unavailable)?;
        {
            let reader = self.reader();
            let mut writer = new.writer();
            if rules.self_clicks {
                writer.carried = own_marks(&reader).map_err(unavailable)?;
            }
            let owns = owns(&reader).map_err(unavailable)?;
            keep_owns(&writer.connection, &owns).map_err(unavailable)?;
            // Nobody else sees this file, and a crash throws it away.
            writer.connection.pragma_update(None, "synchronous", "OFF").map_err(unavailable)?;
        }
        let counted = new.catch_up(data_dir, None, told)?;
        {
            let writer = new.writer();
            writer.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(unavailable)?;
        }
        drop(new);
        self.take_over(&beside, rules).map_err(unavailable)?;
        remove(&beside).map_err(unavailable)?;
        Ok(counted)
    }

    fn take_over(&self, beside: &Path, rules: &Rules) -> rusqlite::Result<()> {
        let mut writer = self.writer();
        let name = beside.to_string_lossy().into_owned();
        writer.connection.execute("ATTACH DATABASE ?1 AS beside", [name])?;
        let taken = swap(&mut writer.connection, rules);
        writer.connection.execute_batch("DETACH DATABASE beside")?;
        let generation = taken?;
        writer.words = Default::default();
        writer.generation = generation;
        self.now_by(rules.clone());
        Ok(())
    }
}

fn swap(connection: &mut Connection, rules: &Rules) -> rusqlite::Result<String> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
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
    transaction.execute("DELETE FROM stats_facts WHERE name = 'visitors_forgotten_before'", [])?;
    transaction.commit()?;
    Ok(generation)
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

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", SCHEMA.name));
    name.into()
}

/// Removes what an attempt that was killed left, with SQLite's own files.
fn remove(path: &Path) -> io::Result<()> {
    for ending in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        match fs::remove_file(PathBuf::from(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
