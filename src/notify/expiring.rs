//! Notices links that are about to stop working and tells each creator once a link and instant, many links in one event.
//! Walks all links at a low rate in the background; never changes one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::{Notify, watch};

use super::courier::Tally;
use super::event::Event;
use super::herald::{HeraldError, Subscriptions};
use super::outbox::{Outbox, Posting, Warned};
use crate::catalog::store::{LinkQuery, LinkStore};
use crate::clock::Clock;
use crate::config::webhooks::EventKind;
use crate::domain::span::Span;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::Vocabulary;
use crate::policies::Policies;
use crate::report::expiring::{Asked, Row, Walk};
use crate::report::fates::Stop;

/// Between two walks, by the gateway's clock; another policy version begins one at once.
const EVERY: i64 = 3_600_000_000;
/// How often it is looked whether a walk is due.
const LOOK: Duration = Duration::from_millis(500);
/// Links read at a time, and the rest between: a million links take a minute, and nobody notices.
const PAGE: usize = 500;
const REST: Duration = Duration::from_millis(20);
/// Links named in one event.
const MOST_NAMED: usize = 200;
/// Rows held before they are told of: what a walk needs of memory.
const MOST_HELD: usize = 50_000;

/// Tells of links about to stop.
pub struct Warner {
    /// The links.
    pub links: Arc<dyn LinkStore>,
    /// The policy in force.
    pub policies: Arc<Policies>,
    /// Where events go.
    pub outbox: Arc<dyn Outbox>,
    /// Who is told.
    pub subscriptions: Subscriptions,
    /// Names.
    pub words: Arc<Vocabulary>,
    /// Time.
    pub clock: Clock,
    /// How long before.
    pub ahead: Span,
    /// Tells couriers.
    pub posted: Arc<Notify>,
    /// Where failures are counted.
    pub tally: Arc<Tally>,
}

/// What stops at one instant for one creator, by link.
type Held = BTreeMap<(Timestamp, Option<Arc<str>>), BTreeMap<Box<str>, Vec<Arc<Stop>>>>;

impl Warner {
    /// Walks until `drained` says that it is over.
    pub async fn run(self, mut drained: watch::Receiver<bool>) {
        tokio::select! {
            () = self.watch() => {}
            () = async { drop(drained.wait_for(|draining| *draining).await) } => {}
        }
    }

    async fn watch(&self) {
        let mut last: Option<(Timestamp, u64)> = None;
        loop {
            let (now, epoch) = (self.clock.now(), self.policies.epoch());
            let rested = |at: Timestamp| now >= at.plus_micros(EVERY) || now < at;
            if last.is_none_or(|(at, under)| rested(at) || under != epoch) {
                last = Some((now, epoch));
                if let Err(error) = self.walk(now).await {
                    self.tally.note_store_failure();
                    tracing::error!(%error, "webhooks: links about to stop are told of late");
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn walk(&self, now: Timestamp) -> Result<(), HeraldError> {
        self.outbox.forget(now).await?;
        let webhooks = self.subscriptions.of(EventKind::LinkExpiring);
        if webhooks.is_empty() {
            return Ok(());
        }
        let policy = self.policies.current();
        let asked = Asked { at: now, until: self.ahead.after(now), links: LinkQuery::default(), platform: None };
        let mut walk = Walk::new(&*self.links, policy, Arc::clone(&self.words), asked, None);
        let (mut held, mut rows) = (Held::new(), 0);
        while let Some((found, _)) = walk.next(PAGE).await? {
            // A short link that has died stays so: that was told of before it did.
            let stopping = found.into_iter().flat_map(|one| one.rows).filter(|row| row.stop.until > now).collect();
            rows += self.hold(stopping, &mut held).await?;
            if rows >= MOST_HELD {
                self.tell(std::mem::take(&mut held), &webhooks, now).await?;
                rows = 0;
            }
            tokio::time::sleep(REST).await;
        }
        self.tell(held, &webhooks, now).await
    }

    /// Keeps those rows in mind that were not told of yet; how many.
    async fn hold(&self, rows: Vec<Row>, held: &mut Held) -> Result<usize, HeraldError> {
        if rows.is_empty() {
            return Ok(0);
        }
        let mut asked: Vec<Warned> = rows.iter().map(|row| (row.code.clone(), row.stop.until)).collect();
        asked.sort_unstable();
        asked.dedup();
        let mut new = self.outbox.not_warned(asked).await?;
        new.sort_unstable();
        let mut count = 0;
        for row in rows {
            let warned = (row.code, row.stop.until);
            if new.binary_search(&warned).is_err() {
                continue;
            }
            let links = held.entry((warned.1, row.creator)).or_default();
            links.entry(warned.0).or_default().push(row.stop);
            count += 1;
        }
        Ok(count)
    }

    async fn tell(&self, held: Held, webhooks: &[String], now: Timestamp) -> Result<(), HeraldError> {
        for ((until, creator), links) in held {
            let links: Vec<(Box<str>, Vec<Arc<Stop>>)> = links.into_iter().collect();
            // One transaction a creator and instant: small enough not to hold up whoever else writes.
            let mut posting = Posting::default();
            for some in links.chunks(MOST_NAMED) {
                posting.events.push((event(now, until, creator.as_deref(), some), webhooks.to_vec()));
                posting.warned.extend(some.iter().map(|(code, _)| (code.clone(), until)));
            }
            self.outbox.post(posting, now).await?;
        }
        self.posted.notify_waiters();
        Ok(())
    }
}

/// The event of some links of one creator that stop at one instant: links alike in what stops stand together.
fn event(now: Timestamp, until: Timestamp, creator: Option<&str>, links: &[(Box<str>, Vec<Arc<Stop>>)]) -> Event {
    let mut alike: BTreeMap<&Stop, Vec<&str>> = BTreeMap::new();
    for (code, stops) in links {
        for stop in stops {
            alike.entry(stop).or_default().push(code);
        }
    }
    let stops: Vec<_> = alike
        .into_iter()
        .map(|(stop, codes)| {
            json!({
                "cause": stop.cause,
                "agreement": stop.agreement,
                "platform": stop.platform,
                "surfaces": stop.surfaces,
                "marketplace": stop.marketplace,
                "then": stop.then,
                "codes": codes,
            })
        })
        .collect();
    let data = json!({ "creator": creator, "until": until, "links": links.len(), "stops": stops });
    let at = until.micros().to_string();
    let mut key = vec![creator.unwrap_or_default(), &at];
    key.extend(links.iter().map(|(code, _)| &**code));
    Event::new(EventKind::LinkExpiring, &key, now, until, &data)
}
