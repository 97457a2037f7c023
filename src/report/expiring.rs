//! Which links, of which creators, stop working when, and why. Walks the store page by page, so that a million links need
//! no more memory than those of them that stop. Never changes anything.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::FixedState;
use serde::Serialize;
use serde::ser::Serializer;

use super::fates::{Dead, Judge, Stop, Verdict};
use crate::catalog::store::{LinkQuery, LinkStore, StoreError};
use crate::domain::hop::Outcome;
use crate::domain::policy::PolicySet;
use crate::domain::policy::ending::Cause;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::{PlatformId, Vocabulary};

/// Links read at a time.
const PAGE: usize = 1_000;

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    /// The instant from which is looked ahead.
    pub at: Timestamp,
    /// Endings after this instant are left out.
    pub until: Timestamp,
    /// Which links.
    pub links: LinkQuery,
    /// Clicks on this platform only; links bound to none count, as they may be clicked there.
    pub platform: Option<PlatformId>,
}

/// A link that stops at one platform.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Row {
    /// What stops.
    pub stop: Arc<Stop>,
    /// Who issued the link.
    pub creator: Option<Arc<str>>,
    /// Its code.
    pub code: Box<str>,
}

/// A link that does not work as it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DeadRow {
    /// Why.
    pub dead: Arc<Dead>,
    /// Who issued the link.
    pub creator: Option<Arc<str>>,
    /// Its code.
    pub code: Box<str>,
}

/// A row as it is shown.
#[derive(Serialize)]
struct Shown<'r, W> {
    code: &'r str,
    creator: Option<&'r str>,
    #[serde(flatten)]
    what: &'r W,
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Shown { code: &self.code, creator: self.creator.as_deref(), what: &*self.stop }.serialize(serializer)
    }
}

impl Serialize for DeadRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Shown { code: &self.code, creator: self.creator.as_deref(), what: &*self.dead }.serialize(serializer)
    }
}

/// Everything that stops at one instant for one reason.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Group {
    /// When.
    pub until: Timestamp,
    /// Why.
    pub cause: Cause,
    /// The agreement that ends or denies.
    pub agreement: Option<Box<str>>,
    /// Links that stop then, at one platform or more.
    pub links: u64,
    /// Those of them that land elsewhere from then on, at one platform or more: an alternate takes over.
    pub land_elsewhere: u64,
    /// Creators of these links; links without one are not counted here.
    pub creators: u64,
}

/// A whole report.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Links looked at.
    pub looked_at: u64,
    /// Rows of the store that could not be read.
    pub unreadable: Vec<String>,
    /// Endings, grouped, by instant.
    pub groups: Vec<Group>,
    /// Endings, one a link and platform, by instant; empty when only groups were asked for.
    pub rows: Vec<Row>,
    /// Links that work nowhere.
    pub dead_links: u64,
    /// Those, where they were asked for.
    pub dead: Vec<DeadRow>,
}

/// How much a report is to hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Detail {
    /// A row for each ending.
    pub rows: bool,
    /// A row for each link that works nowhere.
    pub dead: bool,
}

/// What one link adds.
#[derive(Debug, Default)]
pub struct Found {
    /// Its endings.
    pub rows: Vec<Row>,
    /// That it works nowhere.
    pub dead: Option<DeadRow>,
}

/// Looks at links page by page, in code order.
pub struct Walk<'s> {
    store: &'s dyn LinkStore,
    asked: Asked,
    judge: Judge,
    after: Option<String>,
    ended: bool,
    creators: HashSet<Arc<str>>,
}

impl<'s> Walk<'s> {
    /// A walk under `policy` that begins after the code `after`.
    pub fn new(
        store: &'s dyn LinkStore,
        policy: Arc<PolicySet>,
        words: Arc<Vocabulary>,
        asked: Asked,
        after: Option<String>,
    ) -> Self {
        let judge = Judge::new(policy, words, asked.at, asked.until, asked.platform);
        Walk { store, asked, judge, after, ended: false, creators: HashSet::new() }
    }

    /// The code to go on after; `None` once every link was looked at.
    pub fn cursor(&self) -> Option<&str> {
        if self.ended { None } else { self.after.as_deref() }
    }

    /// The next links' findings, at most `most` links, one entry a link, and the codes of rows that cannot be read;
    /// `None` after the last.
    ///
    /// # Errors
    /// [`StoreError`]; the walk can go on where it was.
    pub async fn next(&mut self, most: usize) -> Result<Option<(Vec<Found>, Vec<String>)>, StoreError> {
        if self.ended {
            return Ok(None);
        }
        let page = self.store.list(&self.asked.links, self.after.as_deref(), most).await?;
        self.ended = page.next.is_none();
        self.after = page.next;
        let mut found = Vec::with_capacity(page.links.len());
        for link in &page.links {
            let Some(verdict) = self.judge.verdict(link) else { continue };
            let mut one = Found::default();
            let creator = match &verdict {
                Verdict::Works(stops) if stops.is_empty() => None,
                _ => link.creator.as_deref().map(|name| self.creator(name)),
            };
            let code = || Box::from(link.code.as_str());
            match verdict {
                Verdict::Works(stops) => {
                    one.rows.extend(stops.into_iter().map(|stop| Row { stop, creator: creator.clone(), code: code() }))
                }
                Verdict::Dead(dead) => one.dead = Some(DeadRow { dead, creator, code: code() }),
            }
            found.push(one);
        }
        Ok(Some((found, page.unreadable.into_iter().map(|row| row.code).collect())))
    }

    /// One copy of a creator's name for all rows.
    fn creator(&mut self, name: &str) -> Arc<str> {
        match self.creators.get(name) {
            Some(known) => Arc::clone(known),
            None => {
                let name: Arc<str> = name.into();
                self.creators.insert(Arc::clone(&name));
                name
            }
        }
    }

    /// Walks to the end and gathers everything; `progress` is told how many links were looked at.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn gather(mut self, detail: Detail, mut progress: impl FnMut(u64)) -> Result<Report, StoreError> {
        let (mut report, mut tallies) = (Report::default(), HashMap::<GroupKey, Tally>::new());
        while let Some((found, unreadable)) = self.next(PAGE).await? {
            report.unreadable.extend(unreadable);
            for one in found {
                report.looked_at += 1;
                for row in &one.rows {
                    let key = (row.stop.until, row.stop.cause, row.stop.agreement.clone());
                    tallies.entry(key).or_default().add(report.looked_at, row);
                }
                report.dead_links += u64::from(one.dead.is_some());
                if detail.rows {
                    report.rows.extend(one.rows);
                }
                if detail.dead {
                    report.dead.extend(one.dead);
                }
            }
            progress(report.looked_at);
        }
        report.groups = tallies
            .into_iter()
            .map(|((until, cause, agreement), tally)| Group {
                until,
                cause,
                agreement,
                links: tally.links,
                land_elsewhere: tally.elsewhere,
                creators: tally.creators.len() as u64,
            })
            .collect();
        report.groups.sort_unstable();
        report.rows.sort_unstable();
        report.dead.sort_unstable();
        Ok(report)
    }
}

type GroupKey = (Timestamp, Cause, Option<Box<str>>);

/// What a group has counted.
#[derive(Default)]
struct Tally {
    links: u64,
    /// The number of the link counted last: its rows come one after another.
    last: u64,
    elsewhere: u64,
    last_elsewhere: u64,
    /// Hashes of creators' names: of a million, two alike are less likely than a broken disk.
    creators: HashSet<u64>,
}

impl Tally {
    fn add(&mut self, link: u64, row: &Row) {
        if self.last != link {
            self.links += 1;
            self.last = link;
        }
        let elsewhere = row.stop.then.outcome == Outcome::Allow && row.stop.cause != Cause::ShortLinkDies;
        if elsewhere && self.last_elsewhere != link {
            self.elsewhere += 1;
            self.last_elsewhere = link;
        }
        if let Some(creator) = &row.creator {
            self.creators.insert(FixedState::default().hash_one(&**creator));
        }
    }
}
