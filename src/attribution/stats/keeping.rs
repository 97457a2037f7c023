//! What the archive asks of whoever reads hops: whether a segment was counted, and to forget visitors when it does.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use super::{Stats, unavailable};
use crate::archive::keeper::Follower;
use crate::archive::purge::{Forgotten, What};
use crate::domain::time::Timestamp;

/// The figures of a data folder, as the archive sees them.
pub struct Counting {
    stats: Stats,
    data_dir: PathBuf,
}

impl Counting {
    /// The figures of a data folder.
    pub fn new(stats: Stats, data_dir: &Path) -> Self {
        Counting { stats, data_dir: data_dir.to_owned() }
    }
}

/// What is kept of visitors is kept by day, whole: a purge of one link, or to within a day, takes all of it. Nothing else is
/// lost by that but telling doubles and visitors of these days apart from then on.
fn until(what: &What) -> Timestamp {
    let day = what.before.beijing_day();
    let begins = |day: i64| Timestamp::from_micros(day.saturating_mul(86_400_000_000).saturating_sub(28_800_000_000));
    if begins(day) == what.before { what.before } else { begins(day.saturating_add(1)) }
}

fn rows(connection: &Connection, table: &str, until: Timestamp) -> rusqlite::Result<u64> {
    let sql = format!("SELECT COUNT(*) FROM {table} WHERE day < ?1");
    connection.query_row(&sql, params![until.beijing_day()], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
}

impl Follower for Counting {
    fn name(&self) -> &'static str {
        "stats"
    }

    fn passed(&self, node: &str, seq: u64) -> Result<bool, String> {
        let passed = || -> Result<bool, String> {
            let marks = self.stats.marks().map_err(|error| error.to_string())?;
            Ok(marks.iter().any(|mark| mark.node == node && mark.seq >= seq))
        };
        if passed()? {
            return Ok(true);
        }
        self.stats.catch_up(&self.data_dir, None, |_| {}).map_err(|error| error.to_string())?;
        passed()
    }

    fn forget(&self, what: &What, dry_run: bool) -> Result<Vec<Forgotten>, String> {
        let until = until(what);
        let forgotten = |table: &str, rows| Forgotten { store: "stats".to_owned(), table: table.to_owned(), rows };
        let (visitors, selves) = if dry_run {
            let reader = self.stats.reader();
            let count = |table| rows(&reader, table, until).map_err(|error| unavailable(error).to_string());
            (count("stats_visitors")?, count("stats_selves")?)
        } else {
            let erased = self.stats.erase_visitors_before(until).map_err(|error| error.to_string())?;
            (erased.visitors, erased.selves)
        };
        Ok(vec![forgotten("stats_visitors", visitors), forgotten("stats_selves", selves)])
    }

    fn found(&self, what: &What) -> Result<u64, String> {
        let reader = self.stats.reader();
        let count = |table| rows(&reader, table, until(what)).map_err(|error| unavailable(error).to_string());
        Ok(count("stats_visitors")? + count("stats_selves")?)
    }
}
