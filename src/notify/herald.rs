//! Notices what is to be told of the policy: versions that came into force, windows that opened and closed. Up to where it
//! has told is kept with the events themselves, so that a boundary that passed while the gateway slept is told of at its
//! next start, and none is told of twice. Never puts anything in force.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

use super::courier::Tally;
use super::event::Event;
use super::outbox::{Mark, Outbox, OutboxError, Posting};
use crate::clock::Clock;
use crate::config::webhooks::EventKind;
use crate::domain::policy::{Agreement, PolicySet, Version};
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::Vocabulary;
use crate::policies::Policies;
use crate::policies::store::{PolicyStore, StoreError, Switch};

/// How often the clock and the store are looked at.
const LOOK: Duration = Duration::from_millis(250);
/// Looks after which the store of versions is asked.
const LOOKS_A_QUESTION: u32 = 4;

/// Switches that are read at once.
const SWITCHES_AT_ONCE: usize = 500;

/// Who asked to be told of what.
#[derive(Clone, Debug, Default)]
pub struct Subscriptions(Vec<(String, Vec<EventKind>)>);

impl Subscriptions {
    /// Webhooks by name, each with what it asked for.
    pub fn new(webhooks: Vec<(String, Vec<EventKind>)>) -> Self {
        Subscriptions(webhooks)
    }

    /// Who is told of `kind`.
    pub fn of(&self, kind: EventKind) -> Vec<String> {
        self.0.iter().filter(|(_, kinds)| kinds.contains(&kind)).map(|(name, _)| name.clone()).collect()
    }
}

/// Why something could not be told of yet.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeraldError {
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    #[error(transparent)]
    Policies(#[from] StoreError),
    #[error(transparent)]
    Links(#[from] crate::catalog::store::StoreError),
}

/// Notices changes of the policy.
pub struct Herald {
    /// The policy in force.
    pub policies: Arc<Policies>,
    /// Every version that was.
    pub store: Arc<dyn PolicyStore>,
    /// Where events go.
    pub outbox: Arc<dyn Outbox>,
    /// Who is told.
    pub subscriptions: Subscriptions,
    /// Names.
    pub words: Arc<Vocabulary>,
    /// Time.
    pub clock: Clock,
    /// Tells couriers.
    pub posted: Arc<Notify>,
    /// Where failures are counted.
    pub tally: Arc<Tally>,
}

/// Up to where this process has told of windows.
struct Told {
    until: Timestamp,
    /// Under which version: another one may have boundaries in what lies behind.
    version: Version,
}

impl Herald {
    /// Watches until `drained` says that it is over.
    pub async fn run(self, mut drained: watch::Receiver<bool>) {
        tokio::select! {
            () = self.watch() => {}
            () = async { drop(drained.wait_for(|draining| *draining).await) } => {}
        }
    }

    async fn watch(&self) {
        let (mut told, mut seen, mut broken) = (None, None, false);
        loop {
            let result = async {
                self.windows(&mut told).await?;
                self.switches(&mut seen).await
            };
            match result.await {
                Ok(()) => broken = false,
                Err(error) => {
                    self.tally.note_store_failure();
                    if !broken {
                        tracing::error!(%error, "webhooks: changes of the policy are told of late");
                    }
                    broken = true;
                }
            }
            for _ in 0..LOOKS_A_QUESTION {
                tokio::time::sleep(LOOK).await;
                let (policy, now) = (self.policies.current(), self.clock.now());
                let passed =
                    |told: &Told| policy.version() != told.version || edges(&policy, told.until, now).next().is_some();
                if told.as_ref().is_none_or(passed) {
                    break;
                }
            }
        }
    }

    /// Tells of windows whose begin or end has passed since the last time.
    async fn windows(&self, told: &mut Option<Told>) -> Result<(), HeraldError> {
        let (policy, now) = (self.policies.current(), self.clock.now());
        let version = policy.version();
        let since = match told {
            Some(told) => told.until,
            None => match self.outbox.mark(Mark::Windows).await? {
                Some(micros) => Timestamp::from_micros(micros),
                // The first time of all: what passed before is history.
                None => {
                    self.outbox.post(mark(Mark::Windows, now.micros()), now).await?;
                    now
                }
            },
        };
        let mut passed: Vec<_> = edges(&policy, since, now).collect();
        passed.sort_by_key(|(at, kind, agreement)| (*at, *kind, agreement.id.clone()));
        let news = told.as_ref().is_some_and(|told| told.version != version);
        if !passed.is_empty() || news {
            let mut posting = mark(Mark::Windows, now.max(since).micros());
            for (at, kind, agreement) in passed {
                let webhooks = self.subscriptions.of(kind);
                if !webhooks.is_empty() {
                    posting.events.push((self.window(kind, at, agreement, version), webhooks));
                }
            }
            self.post(posting, now).await?;
        }
        *told = Some(Told { until: now.max(since), version });
        Ok(())
    }

    fn window(&self, kind: EventKind, at: Timestamp, agreement: &Agreement, version: Version) -> Event {
        let marketplaces: Vec<&str> =
            agreement.marketplaces.iter().map(|id| self.words.marketplace_name(*id)).collect();
        let data = json!({
            "agreement": agreement.id,
            "title": agreement.title,
            "effect": agreement.effect,
            "platform": self.words.platform_name(agreement.platform),
            "marketplaces": marketplaces,
            "surfaces": agreement.when.surfaces,
            "from": agreement.from,
            "until": if agreement.until == Timestamp::MAX { Value::Null } else { json!(agreement.until) },
            "policy_version": version.to_string(),
        });
        Event::new(kind, &[&agreement.id, &at.micros().to_string()], at, at, &data)
    }

    /// Tells of versions that came into force since the last time.
    async fn switches(&self, seen: &mut Option<Switch>) -> Result<(), HeraldError> {
        let in_force = self.store.in_force().await?;
        if seen.is_some() && *seen == in_force {
            return Ok(());
        }
        let last = self.outbox.mark(Mark::Switches).await?;
        let newest = in_force.as_ref().map_or(0, |switch| switch.number);
        let Some(last) = last else {
            // The first time of all: what came into force before is history.
            self.outbox.post(mark(Mark::Switches, newest), self.clock.now()).await?;
            *seen = in_force;
            return Ok(());
        };
        let mut told = last;
        while told < newest {
            // One more than is told of: the one before, for what it put in force.
            let switches = self.store.switches_since(told - 1, SWITCHES_AT_ONCE).await?;
            let (before, after): (Vec<&Switch>, Vec<&Switch>) =
                switches.iter().partition(|switch| switch.number <= told);
            let Some(end) = after.last().map(|switch| switch.number) else { break };
            let mut posting = mark(Mark::Switches, end);
            let webhooks = self.subscriptions.of(EventKind::PolicyPublished);
            if !webhooks.is_empty() {
                let mut previous = before.last().copied();
                for switch in after {
                    posting.events.push((published(switch, previous), webhooks.clone()));
                    previous = Some(switch);
                }
            }
            self.post(posting, self.clock.now()).await?;
            told = end;
        }
        *seen = in_force;
        Ok(())
    }

    async fn post(&self, posting: Posting, now: Timestamp) -> Result<(), HeraldError> {
        self.outbox.post(posting, now).await?;
        self.posted.notify_waiters();
        Ok(())
    }
}

fn mark(mark: Mark, value: i64) -> Posting {
    Posting { marks: vec![(mark, value)], ..Posting::default() }
}

/// Begins and ends of windows after `since` and up to `now`.
fn edges(
    policy: &PolicySet,
    since: Timestamp,
    now: Timestamp,
) -> impl Iterator<Item = (Timestamp, EventKind, &Agreement)> {
    let passed = move |at: Timestamp| since < at && at <= now;
    policy.agreements().iter().flat_map(move |agreement| {
        let opened = (agreement.from, EventKind::WindowOpened);
        let closed = (agreement.until, EventKind::WindowClosed);
        [opened, closed].into_iter().filter(move |(at, _)| passed(*at)).map(move |(at, kind)| (at, kind, agreement))
    })
}

fn published(switch: &Switch, before: Option<&Switch>) -> Event {
    let data = json!({
        "number": switch.number,
        "version": switch.version,
        "previous_version": before.map(|before| &before.version),
        "by": switch.by,
        "note": switch.note,
    });
    let number = switch.number.to_string();
    Event::new(EventKind::PolicyPublished, &[&number, &switch.version], switch.at, switch.at, &data)
}
