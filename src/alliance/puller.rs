//! Reads one stream of an account: what changed since it was last read, stretch by stretch. A stretch counts as read when
//! every row of every page of it is kept; a failure begins it again. Never says what a row means.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ring::digest::{SHA256, digest};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

use super::account::Account;
use super::page::{self, BadAnswer, Page};
use super::plan::{Pass, Size, after, before, whole_second};
use super::request::{By, Place, Query, Window};
use super::store::{Cursor, PullStore, Response, Stream};
use super::tally::{Outcome, Tally};
use super::trouble::Trouble;
use crate::attribution::StoreError;
use crate::clock::Clock;
use crate::domain::attribution::Network;
use crate::domain::time::Timestamp;

/// How often the clock is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Where the first pull begins unless the settings say otherwise.
const FIRST: Duration = Duration::from_secs(86_400);
/// The net under the changes follows a day later, once a day.
const DAY: Duration = Duration::from_secs(86_400);
const SETTLED: Duration = Duration::from_secs(3_600);
/// JD tells the last 90 days only; an hour less leaves time for asking.
const JD_KEEPS: Duration = Duration::from_secs(90 * 86_400 - 3_600);
/// Pages of one stretch; more do not come of an API that is well.
const MOST_PAGES: u32 = 5_000;

/// Rows as a network told them.
#[derive(Clone, PartialEq, Debug)]
pub struct Pulled {
    /// Whose.
    pub network: Network,
    /// Our account there.
    pub account: Box<str>,
    /// In its own field names, as they came.
    pub rows: Vec<Value>,
    /// The `order_scene` they were asked for under; 0 where there is none.
    pub scene: u8,
    /// SHA-256 of the response, as it is kept.
    pub response: [u8; 32],
    /// When they came.
    pub at: Timestamp,
}

/// What became of rows.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Kept {
    /// Told something new.
    pub new: u64,
    /// Were kept before.
    pub known: u64,
    /// Could not be understood, and wait in quarantine.
    pub quarantined: u64,
}

/// Where rows go.
#[async_trait]
pub trait RowSink: Send + Sync {
    /// Keeps rows: when it answers, they are durable. A row that cannot be understood is quarantined, not refused.
    async fn keep(&self, pulled: Pulled) -> Result<Kept, StoreError>;
}

/// A stretch that was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Done {
    /// The stretch.
    #[serde(flatten)]
    pub window: Window,
    /// Pages asked for.
    pub pages: u32,
    /// Rows met.
    pub rows: u64,
    /// What became of them.
    #[serde(flatten)]
    pub kept: Kept,
}

/// What came of one step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// A stretch was read.
    Read(Done),
    /// Nothing is to be read before this instant.
    Rest(Timestamp),
}

/// What pulling needs beside an account.
#[derive(Clone)]
pub struct Tools {
    /// Cursors and responses.
    pub store: Arc<dyn PullStore>,
    /// Where rows go.
    pub sink: Arc<dyn RowSink>,
    /// Time.
    pub clock: Clock,
    /// What was done.
    pub tally: Arc<Tally>,
}

/// Reads one stream.
pub struct Puller {
    account: Arc<Account>,
    query: Query,
    stream: Stream,
    tools: Tools,
    size: Size,
    pass: Option<Pass>,
    /// Where a reading that moves no cursor ends.
    until: Option<Timestamp>,
    failures: u32,
}

impl Puller {
    /// Follows a stream from its cursor.
    pub fn new(account: Arc<Account>, query: Query, tools: Tools) -> Self {
        let network = account.settings.network;
        let stream = Stream { network, account: account.name.clone(), query: query.to_string().into() };
        let size = Size::new(account.settings.window);
        Puller { account, query, stream, tools, size, pass: None, until: None, failures: 0 }
    }

    /// Reads from one instant to another once, and leaves the cursor as it is.
    pub fn between(account: Arc<Account>, query: Query, tools: Tools, window: Window) -> Self {
        let mut puller = Self::new(account, query, tools);
        puller.pass = Some(Pass::new(whole_second(window.from)));
        puller.until = Some(window.to);
        puller
    }

    /// What it reads.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// How far behind the present it reads, and how often.
    fn rhythm(&self) -> (Duration, Duration) {
        match self.query.by {
            By::Changed => (Duration::ZERO, self.account.settings.every),
            By::Paid => (SETTLED, DAY),
        }
    }

    /// Pulls until `drained` says that it is over.
    pub async fn run(mut self, mut drained: watch::Receiver<bool>) {
        tokio::select! {
            () = self.follow() => {}
            () = async { drop(drained.wait_for(|draining| *draining).await) } => {}
        }
    }

    async fn follow(&mut self) {
        loop {
            let until = match self.step().await {
                Ok(Step::Read(done)) => {
                    let Stream { network, account, query } = &self.stream;
                    tracing::debug!(%network, account, query, rows = done.rows, to = %done.window.to, "orders pulled");
                    continue;
                }
                Ok(Step::Rest(until)) => until,
                Err(trouble) => {
                    let wait = self.wait(&trouble);
                    let Stream { network, account, query } = &self.stream;
                    if trouble.lasts() {
                        tracing::error!(%network, account, query, error = %trouble, "orders are not pulled");
                    } else {
                        tracing::warn!(%network, account, query, error = %trouble, ?wait, "orders are pulled again later");
                    }
                    after(self.tools.clock.now(), wait)
                }
            };
            while self.tools.clock.now() < until {
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    /// How long to wait after the trouble of the last step.
    pub fn wait(&self, trouble: &Trouble) -> Duration {
        let mut random = [0; 4];
        // Without randomness the waits are all alike, which does no harm.
        let _ = getrandom::fill(&mut random);
        trouble.wait(self.failures, u32::from_le_bytes(random))
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Reads the next stretch, if one is due.
    ///
    /// # Errors
    /// [`Trouble`]; the next step begins the same stretch again, or a shorter one where that may help.
    pub async fn step(&mut self) -> Result<Step, Trouble> {
        let result = self.next().await;
        match &result {
            Ok(Step::Read(_)) => {
                self.failures = 0;
                self.size.went_well();
            }
            Ok(Step::Rest(_)) => self.failures = 0,
            Err(trouble) => {
                self.failures += 1;
                self.tools.tally.count(self.stream.network, trouble.outcome());
                if trouble.wants_less() {
                    self.size.halve();
                }
                if let Some(pause) = trouble.pause() {
                    self.account.pace.pause(pause).await;
                }
            }
        }
        result
    }

    async fn next(&mut self) -> Result<Step, Trouble> {
        let (behind, every) = self.rhythm();
        let now = self.tools.clock.now();
        let latest = self.until.unwrap_or_else(|| whole_second(before(now, behind)));
        let mut pass = match self.pass {
            Some(pass) => pass,
            None => {
                let cursor = self.tools.store.cursor(&self.stream).await?;
                self.note(cursor.map_or_else(|| self.beginning(now), |cursor| cursor.read_until));
                match cursor {
                    Some(cursor) if latest < after(cursor.read_until, every) => {
                        return Ok(Step::Rest(after(after(cursor.read_until, every), behind)));
                    }
                    Some(cursor) => Pass::new(cursor.settled),
                    None => Pass::new(self.beginning(now)),
                }
            }
        };
        self.keep_in_reach(&mut pass, now).await?;
        let Some(window) = pass.window(self.size.get(), latest) else {
            self.pass = None;
            let rest = if self.until.is_some() { Timestamp::MAX } else { after(after(latest, every), behind) };
            return Ok(Step::Rest(rest));
        };
        self.pass = Some(pass);
        let done = self.read(window).await?;
        let settled = pass.went(window, now, self.account.settings.overlap + behind);
        if self.until.is_none() {
            let to = Cursor { settled, read_until: window.to };
            self.tools.store.advance(&self.stream, window.from, to).await?;
            self.note(window.to);
        }
        self.pass = Some(pass);
        Ok(Step::Read(done))
    }

    fn beginning(&self, now: Timestamp) -> Timestamp {
        whole_second(self.account.own.start.unwrap_or_else(|| before(now, FIRST)))
    }

    fn note(&self, until: Timestamp) {
        if self.query.by == By::Changed {
            self.tools.tally.note(&self.stream, until);
        }
    }

    /// What JD has forgotten cannot be asked for: that is said aloud and counted.
    async fn keep_in_reach(&self, pass: &mut Pass, now: Timestamp) -> Result<(), Trouble> {
        let oldest = whole_second(before(now, JD_KEEPS));
        if self.stream.network == Network::Jd && pass.next < oldest {
            let Stream { network, account, .. } = &self.stream;
            let from = pass.next;
            tracing::error!(%network, account, %from, to = %oldest,
                "orders changed then cannot be pulled any more: the network tells the last 90 days; import them from a file");
            self.tools.tally.count(self.stream.network, Outcome::TooOld);
            *pass = Pass::new(oldest);
            if self.until.is_none() {
                let to = Cursor { settled: oldest, read_until: oldest };
                self.tools.store.advance(&self.stream, from, to).await?;
            }
        }
        Ok(())
    }

    /// Reads every page of a stretch.
    async fn read(&self, window: Window) -> Result<Done, Trouble> {
        let mut done = Done { window, pages: 0, rows: 0, kept: Kept::default() };
        let mut place = Place { number: 1, position: None };
        while let Some(next) = self.page(window, &place, &mut done).await? {
            if place.number >= MOST_PAGES {
                return Err(self.unreadable(format!("there is no end to the pages after {MOST_PAGES}")));
            }
            place = next;
        }
        // JD counts pages by rows: one that changes meanwhile leaves the stretch, and those behind it move up a place, to a
        // page that was read. Read once more from the last page to the first, every row that stayed is met: it can only
        // move towards pages that are still to be read.
        if self.stream.network == Network::Jd {
            for number in (1..place.number).rev() {
                self.page(window, &Place { number, position: None }, &mut done).await?;
            }
        }
        Ok(done)
    }

    /// Reads a page and keeps its rows; where the next one is, if there is one.
    async fn page(&self, window: Window, place: &Place, done: &mut Done) -> Result<Option<Place>, Trouble> {
        let (Page { rows, more, position }, response) = self.ask(window, place).await?;
        done.pages += 1;
        done.rows += rows.len() as u64;
        if more && self.stream.network == Network::Taobao && position.is_none() {
            return Err(self.unreadable("it has a next page, but no position_index to ask for it".to_owned()));
        }
        if !rows.is_empty() {
            let Stream { network, account, .. } = self.stream.clone();
            let (scene, at) = (self.query.scene, self.tools.clock.now());
            let kept = self.tools.sink.keep(Pulled { network, account, rows, scene, response, at }).await?;
            done.kept.new += kept.new;
            done.kept.known += kept.known;
            done.kept.quarantined += kept.quarantined;
        }
        self.tools.tally.count(self.stream.network, Outcome::Ok);
        Ok(more.then(|| Place { number: place.number + 1, position }))
    }

    async fn ask(&self, window: Window, place: &Place) -> Result<(Page, [u8; 32]), Trouble> {
        self.account.pace.turn().await;
        let host = self.account.endpoint.host();
        let now = self.tools.clock.now();
        let form = self.account.signer.form(self.query, window, place, now);
        let http = |error| Trouble::Http { host: host.to_owned(), error };
        let reply = self.account.endpoint.post(form).await.map_err(http)?;
        let answer = page::read(self.stream.network, self.account.settings.page_size, &reply.body);
        let worth = match &answer {
            Ok(page) => !page.rows.is_empty(),
            Err(BadAnswer::Unreadable(_)) => reply.status == 200,
            Err(BadAnswer::Refused(_)) => false,
        };
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, &reply.body).as_ref());
        if worth {
            let kept = Response {
                stream: self.stream.clone(),
                window,
                page: place.number,
                at: self.tools.clock.now(),
                hash,
                body: reply.body,
            };
            self.tools.store.keep(kept).await?;
        }
        match answer {
            Ok(page) if reply.status == 200 => Ok((page, hash)),
            Err(bad @ BadAnswer::Refused(_)) => Err(Trouble::of(bad, host, reply.date, now)),
            Err(bad) if reply.status == 200 => Err(Trouble::of(bad, host, reply.date, now)),
            _ => {
                let (status, retry_after) = (reply.status, reply.retry_after);
                Err(Trouble::Status { host: host.to_owned(), status, retry_after })
            }
        }
    }

    fn unreadable(&self, problem: String) -> Trouble {
        Trouble::Unreadable { host: self.account.endpoint.host().to_owned(), problem }
    }
}
