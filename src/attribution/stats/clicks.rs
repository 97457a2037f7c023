//! Clicks counted for the funnel: touches of people that count under the rules of this file, by whatever a note, a creator, a
//! shop or an agreement can name.

use std::collections::HashMap;

use async_trait::async_trait;
use rusqlite::{Connection, ToSql};

use super::{Stats, StoreError};
use crate::attribution::events::{ClickCounts, Dim, Filter};
use crate::domain::attribution::touch::Marks;
use crate::domain::attribution::validity::Rules;
use crate::domain::hop::HopFlags;
use crate::domain::time::Timestamp;

/// The Beijing day of a touch, as [`Timestamp::beijing_day`] counts it: no instant is before 1970 there.
const DAY: &str = "CAST((t.at + 28800000000) / 86400000000 AS TEXT)";

const fn column(dim: Dim) -> &'static str {
    match dim {
        Dim::Note => "COALESCE(o.text, '')",
        Dim::Creator => "COALESCE(w.text, '')",
        Dim::Shop => "s.text",
        Dim::Agreement => "g.text",
        Dim::Platform => "p.text",
        Dim::Marketplace => "m.text",
        Dim::Day => DAY,
    }
}

fn counted(
    connection: &Connection,
    rules: &Rules,
    (from, to): (i64, i64),
    filter: &Filter,
    by: &[Dim],
) -> rusqlite::Result<Vec<(Vec<Box<str>>, u64)>> {
    let wanted: Vec<(&str, &Box<str>)> = [
        (column(Dim::Note), &filter.note),
        (column(Dim::Creator), &filter.creator),
        ("c.text", &filter.code),
        (column(Dim::Shop), &filter.shop),
        (column(Dim::Agreement), &filter.agreement),
        (column(Dim::Platform), &filter.platform),
        (column(Dim::Marketplace), &filter.marketplace),
    ]
    .into_iter()
    .filter_map(|(column, value)| Some((column, value.as_ref()?)))
    .collect();
    let mut values: Vec<&dyn ToSql> = vec![&from, &to];
    let mut asked = String::new();
    for (column, value) in &wanted {
        values.push(value);
        asked += &format!(" AND {column} = ?{}", values.len());
    }
    let columns: String = by.iter().map(|dim| format!("{}, ", column(*dim))).collect();
    // Grouped by flags and marks as well, as rules say which of them count.
    let places: Vec<String> = (1..=by.len() + 2).map(|place| place.to_string()).collect();
    let sql = format!(
        "SELECT {columns}t.flags, t.marks, COUNT(*) FROM stats_touches t JOIN stats_aims a ON a.id = t.aim \
         JOIN stats_texts c ON c.id = t.link LEFT JOIN stats_texts w ON w.id = t.creator \
         JOIN stats_texts p ON p.id = a.platform JOIN stats_texts m ON m.id = a.marketplace \
         JOIN stats_texts s ON s.id = a.shop JOIN stats_texts g ON g.id = a.agreement \
         LEFT JOIN stats_texts o ON o.id = t.note WHERE t.at >= ?1 AND t.at < ?2{asked} GROUP BY {}",
        places.join(", ")
    );
    let mut found = connection.prepare_cached(&sql)?;
    let mut rows = found.query(&values[..])?;
    let mut counts: HashMap<Vec<Box<str>>, u64> = HashMap::new();
    while let Some(row) = rows.next()? {
        let (flags, marks) = (HopFlags(row.get(by.len())?), Marks(row.get(by.len() + 1)?));
        if rules.count(flags, marks) {
            let key = (0..by.len()).map(|place| row.get(place)).collect::<rusqlite::Result<Vec<Box<str>>>>()?;
            let count: i64 = row.get(by.len() + 2)?;
            *counts.entry(key).or_default() += u64::try_from(count).unwrap_or(0);
        }
    }
    Ok(counts.into_iter().collect())
}

#[async_trait]
impl ClickCounts for Stats {
    async fn clicks(
        &self,
        from: Timestamp,
        to: Timestamp,
        filter: &Filter,
        by: &[Dim],
    ) -> Result<Vec<(Vec<Box<str>>, u64)>, StoreError> {
        let (rules, filter, by) = (self.rules(), filter.clone(), by.to_vec());
        self.ask(move |connection| counted(connection, &rules, (from.micros(), to.micros()), &filter, &by)).await
    }
}

#[cfg(test)]
mod tests {
    use crate::attribution::touches_conformance::hops;

    use super::super::model::write_journal;
    use super::*;
    use crate::attribution::touches::{Subject, TouchStore as _};

    #[tokio::test(flavor = "multi_thread")]
    async fn clicks_are_the_touches_that_count() {
        let folder = tempfile::tempdir().unwrap();
        let stats = Stats::open(&folder.path().join("stats.sqlite"), &Rules::default()).unwrap();
        write_journal(folder.path(), hops(0));
        stats.catch_up(folder.path(), None, |_| {}).unwrap();
        let (from, to) = (Timestamp::from_micros(0), Timestamp::MAX);
        let by = [Dim::Creator, Dim::Day, Dim::Agreement];
        let counted = stats.clicks(from, to, &Filter::default(), &by).await.unwrap();
        assert!(!counted.is_empty());
        // Each number is that of the touches themselves, looked up another way.
        let all: u64 = counted.iter().map(|(_, count)| count).sum();
        let mut seen = 0;
        for creator in counted.iter().map(|(key, _)| key[0].clone()).collect::<std::collections::BTreeSet<_>>() {
            let filter = Filter { creator: Some(creator.clone()), ..Filter::default() };
            let own: u64 = stats.clicks(from, to, &filter, &by).await.unwrap().iter().map(|(_, count)| count).sum();
            if !creator.is_empty() {
                let touches = stats.latest(&[Subject::Creator(creator)], &[], from, to, 10_000).await.unwrap();
                let rules = stats.rules();
                let counting = touches.iter().filter(|touch| rules.count(touch.flags, touch.marks));
                assert_eq!(own, counting.count() as u64);
            }
            seen += own;
        }
        assert_eq!(seen, all);
        let day = counted[0].0[1].parse::<i64>().unwrap();
        let begins = crate::domain::time::Timestamp::of_beijing_day(day);
        assert_eq!(begins.beijing_day(), day);
        assert_eq!(stats.clicks(to, to, &Filter::default(), &by).await.unwrap(), []);
    }
}
