//! Clicks as attribution looks them up.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params};

use super::{Stats, StoreError};
use crate::attribution::touches::{Subject, TouchStore};
use crate::domain::attribution::touch::{Marks, Touch};
use crate::domain::click_id::ClickId;
use crate::domain::hop::HopFlags;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::{LinkKind, ShopType};

const COLUMNS: &str = "SELECT t.click, t.at, n.text, t.seq, c.text, COALESCE(w.text, ''), p.text, f.text, m.text, i.text, \
     s.text, g.text, a.policy_version, t.flags, t.marks, COALESCE(o.text, ''), y.text, k.text, x.text, h.text \
     FROM stats_touches t JOIN stats_aims a ON a.id = t.aim JOIN stats_texts n ON n.id = t.node \
     JOIN stats_texts c ON c.id = t.link LEFT JOIN stats_texts w ON w.id = t.creator \
     JOIN stats_texts p ON p.id = a.platform JOIN stats_texts f ON f.id = a.surface \
     JOIN stats_texts m ON m.id = a.marketplace JOIN stats_texts i ON i.id = a.item JOIN stats_texts s ON s.id = a.shop \
     JOIN stats_texts g ON g.id = a.agreement JOIN stats_texts y ON y.id = a.shop_type \
     JOIN stats_texts k ON k.id = a.link_kind JOIN stats_texts x ON x.id = a.category \
     JOIN stats_texts h ON h.id = a.facts LEFT JOIN stats_texts o ON o.id = t.note ";

fn touch(row: &Row<'_>) -> rusqlite::Result<Touch> {
    let (seq, version): (i64, i64) = (row.get(3)?, row.get(12)?);
    let (shop_type, link_kind): (String, String) = (row.get(16)?, row.get(17)?);
    Ok(Touch {
        click: ClickId(row.get(0)?),
        at: Timestamp::from_micros(row.get(1)?),
        node: row.get(2)?,
        seq: seq as u64,
        code: row.get(4)?,
        creator: row.get(5)?,
        platform: row.get(6)?,
        surface: row.get(7)?,
        marketplace: row.get(8)?,
        shop_type: ShopType::parse(&shop_type).unwrap_or(ShopType::Unknown),
        link_kind: LinkKind::parse(&link_kind).unwrap_or(LinkKind::Unknown),
        category: row.get(18)?,
        facts: row.get(19)?,
        item: row.get(9)?,
        shop: row.get(10)?,
        agreement: row.get(11)?,
        policy_version: version as u64,
        flags: HopFlags(row.get(13)?),
        marks: Marks(row.get(14)?),
        note: row.get(15)?,
    })
}

/// The touch of a click, of which `at` says within which instants it lies.
fn between(connection: &Connection, click: ClickId, since: i64, before: i64) -> rusqlite::Result<Option<Touch>> {
    let sql = format!("{COLUMNS} WHERE t.at >= ?1 AND t.at < ?2 AND t.click = ?3");
    connection.prepare_cached(&sql)?.query_row(params![since, before, click.0], touch).optional()
}

fn of_click(connection: &Connection, click: ClickId) -> rusqlite::Result<Option<Touch>> {
    let minted = click.minted_at().millis().saturating_mul(1_000);
    if let Some(found) = between(connection, click, minted, minted.saturating_add(1_000))? {
        return Ok(Some(found));
    }
    let mut stray = connection.prepare_cached("SELECT at FROM stats_strays WHERE click = ?1")?;
    let at: Option<i64> = stray.query_row([click.0], |row| row.get(0)).optional()?;
    at.map_or(Ok(None), |at| between(connection, click, at, at.saturating_add(1)))
}

fn latest(
    connection: &Connection,
    subjects: &[Subject],
    marketplaces: &[Box<str>],
    since: i64,
    before: i64,
    limit: usize,
) -> rusqlite::Result<Vec<Touch>> {
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut all = Vec::new();
    for subject in subjects {
        let (column, text) = match subject {
            Subject::Creator(creator) => ("creator", creator),
            Subject::Link(code) => ("link", code),
        };
        // An empty name is nobody's.
        if text.is_empty() {
            continue;
        }
        let places = (0..marketplaces.len()).map(|place| format!("?{}", place + 5)).collect::<Vec<_>>().join(", ");
        let led = if places.is_empty() { String::new() } else { format!("AND m.text IN ({places}) ") };
        let sql = format!(
            "{COLUMNS} WHERE t.{column} = (SELECT id FROM stats_texts WHERE text = ?1) AND t.at >= ?2 AND t.at < ?3 \
             {led}ORDER BY t.at DESC, n.text DESC, t.seq DESC LIMIT ?4"
        );
        let mut found = connection.prepare_cached(&sql)?;
        let mut values: Vec<&dyn ToSql> = vec![text, &since, &before, &most];
        values.extend(marketplaces.iter().map(|name| name as &dyn ToSql));
        for touch in found.query_map(&*values, touch)? {
            all.push(touch?);
        }
    }
    all.sort_by(|a, b| (b.at, &b.node, b.seq).cmp(&(a.at, &a.node, a.seq)));
    all.dedup_by(|a, b| (a.at, &a.node, a.seq) == (b.at, &b.node, b.seq));
    all.truncate(limit);
    Ok(all)
}

#[async_trait]
impl TouchStore for Stats {
    async fn of_click(&self, click: ClickId) -> Result<Option<Touch>, StoreError> {
        self.ask(move |connection| of_click(connection, click)).await
    }

    async fn latest(
        &self,
        subjects: &[Subject],
        marketplaces: &[Box<str>],
        since: Timestamp,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<Touch>, StoreError> {
        let (subjects, marketplaces) = (subjects.to_vec(), marketplaces.to_vec());
        let (since, before) = (since.micros(), before.micros());
        self.ask(move |connection| latest(connection, &subjects, &marketplaces, since, before, limit)).await
    }

    async fn changed(&self) -> Result<i64, StoreError> {
        let sql = "SELECT COALESCE(MAX(change), 0) FROM stats_changes";
        self.ask(move |connection| connection.prepare_cached(sql)?.query_row([], |row| row.get(0))).await
    }

    async fn added_since(&self, change: i64) -> Result<Option<(Timestamp, Timestamp, i64)>, StoreError> {
        let sql = "SELECT MIN(earliest), MAX(latest), MAX(change) FROM stats_changes WHERE change > ?1";
        self.ask(move |connection| {
            let mut found = connection.prepare_cached(sql)?;
            let read = |row: &Row<'_>| {
                let (earliest, latest): (Option<i64>, Option<i64>) = (row.get(0)?, row.get(1)?);
                let (Some(earliest), Some(latest)) = (earliest, latest) else { return Ok(None) };
                Ok(Some((Timestamp::from_micros(earliest), Timestamp::from_micros(latest), row.get(2)?)))
            };
            found.query_row([change], read)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use crate::attribution::touches_conformance::{every_touch_store, hops};
    use crate::domain::attribution::validity::Rules;

    use super::super::model::write_journal;
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn sqlite_keeps_touches_as_every_store_must() {
        let folder = tempfile::tempdir().unwrap();
        let stats = Stats::open(&folder.path().join("stats.sqlite"), &Rules::default()).unwrap();
        every_touch_store(&stats, |part| {
            write_journal(folder.path(), hops(part));
            stats.catch_up(folder.path(), None, |_| {}).unwrap();
        })
        .await;
    }
}
