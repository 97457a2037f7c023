//! What is erased: what is remembered of visitors after days, touches after months, and either by a purge. Figures stay.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use rusqlite::{Connection, TransactionBehavior, params};

use super::apply::{fact, note_fact};
use super::seen::{self, NEVER};
use super::{Stats, StoreError, unavailable};
use crate::archive::purge::What;
use crate::domain::attribution::validity::VisitorDay;
use crate::domain::time::Timestamp;

/// Rows erased in one transaction, so that nobody waits long.
const SLICE: i64 = 50_000;
/// Changes that are told apart; older ones become one.
const CHANGES: i64 = 10_000;

/// What was erased.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Forgotten {
    /// What was remembered of visitors, each for one day.
    pub visitors: u64,
    /// Sightings of creators.
    pub selves: u64,
    /// Touches.
    pub touches: u64,
}

impl Stats {
    /// Erases what is remembered of visitors of Beijing days that ended at `before` or earlier, and which creators were seen
    /// then. Counts stay; a hop of such a day that comes later still is counted as a click, but can no longer be marked or
    /// told from another visitor's.
    ///
    /// # Errors
    /// [`StoreError`]; what was erased before stays erased.
    pub fn forget_visitors_before(&self, before: Timestamp) -> Result<Forgotten, StoreError> {
        let day = before.beijing_day();
        let mut writer = self.writer();
        let mut forgotten = Forgotten::default();
        let mut slice = || -> rusqlite::Result<u64> {
            let transaction = writer.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let last: Option<i64> =
                transaction.query_row("SELECT MAX(day) FROM stats_visitors WHERE day < ?1", [day], |row| row.get(0))?;
            // Only what was there can be missed later: old hops that are counted for the first time are counted exactly.
            if let Some(last) = last {
                let before: i64 = fact(&transaction, FORGOTTEN)?.and_then(|text| text.parse().ok()).unwrap_or(i64::MIN);
                note_fact(&transaction, FORGOTTEN, &before.max(last + 1).to_string())?;
            }
            let sql = "DELETE FROM stats_visitors WHERE (day, visitor) IN \
                       (SELECT day, visitor FROM stats_visitors WHERE day < ?1 LIMIT ?2)";
            let erased = transaction.prepare_cached(sql)?.execute(params![day, SLICE])?;
            transaction.commit()?;
            Ok(erased as u64)
        };
        loop {
            let erased = slice().map_err(unavailable)?;
            forgotten.visitors += erased;
            if erased < SLICE as u64 {
                break;
            }
        }
        let selves =
            writer.connection.execute("DELETE FROM stats_selves WHERE day < ?1", [day]).map_err(unavailable)?;
        forgotten.selves = selves as u64;
        Ok(forgotten)
    }

    /// Erases touches of instants before `before`.
    ///
    /// # Errors
    /// [`StoreError`]; what was erased before stays erased.
    pub fn forget_touches_before(&self, before: Timestamp) -> Result<Forgotten, StoreError> {
        let mut forgotten = Forgotten::default();
        loop {
            let mut writer = self.writer();
            let erased = erase_touches(&mut writer.connection, before.micros()).map_err(unavailable)?;
            forgotten.touches += erased;
            if erased < SLICE as u64 {
                return Ok(forgotten);
            }
        }
    }

    /// Erases what follows from these hops and tells a visitor: everything of days that were over then, and of the day that
    /// holds the instant what was tapped before it on the links that are meant. A visitor who comes back that day is counted
    /// as another. Touches go too where `touches` says so.
    ///
    /// # Errors
    /// [`StoreError`]; what was erased before stays erased.
    pub fn erase(&self, what: &What, touches: bool) -> Result<Forgotten, StoreError> {
        let mut erased = self.forget_visitors_before(what.before)?;
        let (mut last, mut done) = (Vec::new(), false);
        while !done {
            let mut writer = self.writer();
            let slice = erase_within(&mut writer.connection, what, &mut last).map_err(unavailable)?;
            erased.visitors += slice.erased;
            done = slice.is_last;
        }
        erased.selves += erase_selves(&self.writer().connection, what).map_err(unavailable)?;
        if touches {
            erased.touches = self.forget_touches_before(what.before)?.touches;
        }
        Ok(erased)
    }

    /// Writes the file anew, so that nothing of what was erased before is in it, nor in its log. Needs room for it once more.
    ///
    /// # Errors
    /// [`StoreError`]: it could not, or somebody reads all the time.
    pub fn overwrite(&self) -> Result<(), StoreError> {
        let folder = self.path().parent().unwrap_or(Path::new(".")).to_string_lossy().into_owned();
        let writer = self.writer();
        let connection = &writer.connection;
        // Beside the file and not in memory: it may be large, and there is room where the file is.
        connection.pragma_update(None, "temp_store_directory", folder).map_err(unavailable)?;
        connection.pragma_update(None, "temp_store", "FILE").map_err(unavailable)?;
        let done = connection.execute_batch("VACUUM");
        connection.pragma_update(None, "temp_store", "MEMORY").map_err(unavailable)?;
        done.map_err(unavailable)?;
        let busy = |row: &rusqlite::Row<'_>| row.get::<_, bool>(0);
        match connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], busy).map_err(unavailable)? {
            false => Ok(()),
            true => Err(unavailable("its log cannot be emptied, for somebody reads it all the time")),
        }
    }

    /// What [`Stats::erase`] would erase.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn held(&self, what: &What, touches: bool) -> Result<Forgotten, StoreError> {
        let reader = self.reader();
        let day = what.before.beijing_day();
        let count = |sql: &str, bound: i64| -> Result<u64, StoreError> {
            let found: i64 = reader.query_row(sql, [bound], |row| row.get(0)).map_err(unavailable)?;
            Ok(u64::try_from(found).unwrap_or(0))
        };
        let (visitors, selves) = held_within(&reader, what).map_err(unavailable)?;
        Ok(Forgotten {
            visitors: visitors + count("SELECT COUNT(*) FROM stats_visitors WHERE day < ?1", day)?,
            selves: selves + count("SELECT COUNT(*) FROM stats_selves WHERE day < ?1", day)?,
            touches: match touches {
                true => count("SELECT COUNT(*) FROM stats_touches WHERE at < ?1", what.before.micros())?,
                false => 0,
            },
        })
    }

    /// Makes old changes of touches one: whoever was not here since looks at everything.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn tidy(&self) -> Result<(), StoreError> {
        let mut writer = self.writer();
        tidy(&mut writer.connection).map_err(unavailable)
    }
}

/// Under which name is noted of which days nothing is remembered any more.
const FORGOTTEN: &str = "visitors_forgotten_before";

/// Which taps of the day that holds the instant are meant, and where their visitors are counted.
struct Meant {
    before: i64,
    /// Links, by number; all of them where nothing narrows it.
    links: Option<HashSet<i64>>,
    /// The views of a link and of its creator.
    views: HashMap<i64, Vec<i64>>,
}

/// What is left of a visitor's day.
#[derive(PartialEq, Eq)]
enum Left {
    All,
    Some,
    Nothing,
}

impl Meant {
    fn of(connection: &Connection, what: &What) -> rusqlite::Result<Meant> {
        let mut links = None;
        if what.creator.is_some() || what.code.is_some() {
            let sql = "SELECT DISTINCT s.code FROM stats_spots s JOIN stats_texts c ON c.id = s.code \
                       JOIN stats_texts w ON w.id = s.creator WHERE s.level = 0 AND (?1 IS NULL OR w.text = ?1) \
                       AND (?2 IS NULL OR c.text = ?2)";
            let mut found = connection.prepare_cached(sql)?;
            let read = found.query_map(params![what.creator, what.code], |row| row.get(0))?;
            links = Some(read.collect::<rusqlite::Result<_>>()?);
        }
        let sql = "SELECT s.code, v.id FROM stats_spots s JOIN stats_views v ON v.kind = 0 AND v.one = s.code \
                   WHERE s.level = 0 UNION \
                   SELECT s.code, v.id FROM stats_spots s JOIN stats_views v ON v.kind = 1 AND v.one = s.creator \
                   WHERE s.level = 0";
        let mut views: HashMap<i64, Vec<i64>> = HashMap::new();
        let mut found = connection.prepare_cached(sql)?;
        let mut rows = found.query([])?;
        while let Some(row) = rows.next()? {
            views.entry(row.get(0)?).or_default().push(row.get(1)?);
        }
        Ok(Meant { before: what.before.micros(), links, views })
    }

    /// Takes what is meant out of a visitor's day.
    fn take(&self, seen: &mut VisitorDay) -> Left {
        let (mut changed, mut gone) = (false, Vec::new());
        seen.taps.retain(|link, tap| {
            if self.links.as_ref().is_some_and(|links| !links.contains(link)) {
                return true;
            }
            for at in [&mut tap.allowed_at, &mut tap.refused_at] {
                if *at != NEVER && *at < self.before {
                    (*at, changed) = (NEVER, true);
                }
            }
            let stays = tap.allowed_at != NEVER || tap.refused_at != NEVER;
            if !stays {
                gone.push(*link);
            }
            stays
        });
        if seen.taps.is_empty() {
            return Left::Nothing;
        }
        if !gone.is_empty() {
            let of = |links: &mut dyn Iterator<Item = &i64>| -> HashSet<i64> {
                links.filter_map(|link| self.views.get(link)).flatten().copied().collect()
            };
            let (erased, stay) = (of(&mut gone.iter()), of(&mut seen.taps.keys()));
            seen.counted.retain(|view| stay.contains(view) || !erased.contains(view));
        }
        if changed { Left::Some } else { Left::All }
    }
}

struct Slice {
    erased: u64,
    is_last: bool,
}

/// Erases what is meant of the day that holds the instant, from the visitor after `last` on.
fn erase_within(connection: &mut Connection, what: &What, last: &mut Vec<u8>) -> rusqlite::Result<Slice> {
    let day = what.before.beijing_day();
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let meant = Meant::of(&transaction, what)?;
    let sql = "SELECT visitor, seen FROM stats_visitors WHERE day = ?1 AND visitor > ?2 ORDER BY visitor LIMIT ?3";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let rows: Vec<(Vec<u8>, Vec<u8>)> = {
        let mut found = transaction.prepare_cached(sql)?;
        found.query_map(params![day, &*last, SLICE], read)?.collect::<rusqlite::Result<_>>()?
    };
    let mut slice = Slice { erased: 0, is_last: (rows.len() as i64) < SLICE };
    {
        let mut delete = transaction.prepare_cached("DELETE FROM stats_visitors WHERE day = ?1 AND visitor = ?2")?;
        let mut update =
            transaction.prepare_cached("UPDATE stats_visitors SET seen = ?3 WHERE day = ?1 AND visitor = ?2")?;
        for (visitor, seen) in rows {
            let mut seen = seen::decode(&seen).ok();
            // What cannot be read is somebody's all the same.
            match seen.as_mut().map_or(Left::Nothing, |seen| meant.take(seen)) {
                Left::All => {}
                Left::Nothing => slice.erased += delete.execute(params![day, visitor])? as u64,
                Left::Some => {
                    let seen = seen.unwrap_or_default();
                    slice.erased += update.execute(params![day, visitor, seen::encode(&seen)])? as u64;
                }
            }
            *last = visitor;
        }
    }
    transaction.commit()?;
    Ok(slice)
}

/// Sightings of the day that holds the instant. A link has none: a creator is seen with its key.
const SELVES: &str = "FROM stats_selves WHERE day = ?1 AND at < ?2 AND ?4 IS NULL AND (?3 IS NULL OR creator = ?3)";

fn erase_selves(connection: &Connection, what: &What) -> rusqlite::Result<u64> {
    let values = params![what.before.beijing_day(), what.before.micros(), what.creator, what.code];
    connection.execute(&format!("DELETE {SELVES}"), values).map(|erased| erased as u64)
}

/// How many visitors of that day have something that is meant, and how many sightings are.
fn held_within(connection: &Connection, what: &What) -> rusqlite::Result<(u64, u64)> {
    let day = what.before.beijing_day();
    let meant = Meant::of(connection, what)?;
    let mut found = connection.prepare_cached("SELECT seen FROM stats_visitors WHERE day = ?1")?;
    let mut rows = found.query([day])?;
    let mut visitors = 0;
    while let Some(row) = rows.next()? {
        let seen: Vec<u8> = row.get(0)?;
        visitors += u64::from(!seen::decode(&seen).is_ok_and(|mut seen| meant.take(&mut seen) == Left::All));
    }
    let values = params![day, what.before.micros(), what.creator, what.code];
    let selves: i64 = connection.query_row(&format!("SELECT COUNT(*) {SELVES}"), values, |row| row.get(0))?;
    Ok((visitors, selves.unsigned_abs()))
}

fn erase_touches(connection: &mut Connection, before: i64) -> rusqlite::Result<u64> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute("DELETE FROM stats_strays WHERE at < ?1", [before])?;
    let sql = "DELETE FROM stats_touches WHERE (at, node, seq) IN \
               (SELECT at, node, seq FROM stats_touches WHERE at < ?1 ORDER BY at LIMIT ?2)";
    let erased = transaction.prepare_cached(sql)?.execute(params![before, SLICE])?;
    transaction.commit()?;
    Ok(erased as u64)
}

fn tidy(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (count, last): (i64, Option<i64>) =
        transaction
            .query_row("SELECT COUNT(*), MAX(change) FROM stats_changes", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if let Some(last) = last.filter(|_| count > 2 * CHANGES) {
        let upto = last - CHANGES;
        transaction.execute(
            "UPDATE stats_changes SET earliest = (SELECT MIN(earliest) FROM stats_changes WHERE change <= ?1), \
             latest = (SELECT MAX(latest) FROM stats_changes WHERE change <= ?1) WHERE change = ?1",
            [upto],
        )?;
        transaction.execute("DELETE FROM stats_changes WHERE change < ?1", [upto])?;
    }
    transaction.commit()
}
