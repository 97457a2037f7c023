//! Keeps what is to be told of matched lines, and to whom. Never sends anything.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::Notify;

use super::super::event::Event;
use super::super::outbox::{Outbox, OutboxError, Posting};
use super::macros::ClickMacros;
use super::request::parameter;
use super::told::{Told, reached};
use crate::attribution::StoreError;
use crate::attribution::announce::{Announcer, Matched};
use crate::clock::Clock;
use crate::config::postbacks::PostbackSettings;
use crate::config::webhooks::EventKind;
use crate::domain::click_id::ClickKey;
use crate::domain::vocabulary::closed_list;

closed_list! {
    /// Why a matched line is not told of.
    PassedOver {
        /// The hop is not on this node any more.
        NoHop = "no_hop",
        /// The click came without what the platform would know it by.
        NoParameter = "no_parameter",
        /// The event lies too far back.
        TooOld = "too_old",
    }
}

/// How often lines were not told of, by cause.
#[derive(Debug, Default)]
pub struct Passed(Mutex<BTreeMap<PassedOver, u64>>);

impl Passed {
    fn count(&self, cause: PassedOver) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(cause).or_default() += 1;
    }

    /// How often, by cause; every cause is there.
    pub fn counts(&self) -> Vec<(PassedOver, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        PassedOver::ALL.iter().map(|cause| (*cause, counts.get(cause).copied().unwrap_or(0))).collect()
    }
}

/// Keeps what postbacks are told.
pub struct Teller {
    /// Who is told.
    pub postbacks: Vec<PostbackSettings>,
    /// Where events wait.
    pub outbox: Arc<dyn Outbox>,
    /// What clicks brought along.
    pub macros: Arc<dyn ClickMacros>,
    /// Writes click ids.
    pub click_key: ClickKey,
    /// Time.
    pub clock: Clock,
    /// Tells couriers.
    pub posted: Arc<Notify>,
    /// What was not told.
    pub passed: Arc<Passed>,
}

/// The id of an event of a line: one for good, whatever is reported of the line later.
fn event(kind: EventKind, at: crate::domain::time::Timestamp, told: &Told) -> Event {
    Event::new(kind, &[&told.network, &told.account, &told.line], at, at, &json!(told))
}

impl Teller {
    /// The postbacks that are told of clicks on a platform.
    fn told_of<'a>(&'a self, platform: &'a str) -> impl Iterator<Item = &'a PostbackSettings> {
        self.postbacks.iter().filter(move |one| one.platform.clicks_of().is_none_or(|own| own == platform))
    }

    async fn posting(&self, matched: &[Matched]) -> Result<Posting, OutboxError> {
        let mut posting = Posting::default();
        let now = self.clock.now();
        for one in matched {
            let events = reached(&one.line);
            let asked = |postback: &PostbackSettings, kind| postback.receiver.events.contains(&kind);
            let wanted = |kind| self.told_of(&one.touch.platform).any(|postback| asked(postback, kind));
            let events: Vec<_> = events.into_iter().filter(|(kind, _)| wanted(*kind)).collect();
            if events.is_empty() {
                continue;
            }
            let Some(macros) = self.macros.of(&one.touch).await else {
                self.passed.count(PassedOver::NoHop);
                continue;
            };
            let click = self.click_key.text(one.touch.click);
            let told = Told::new(one, String::from_utf8_lossy(&click).into_owned(), &macros);
            for (kind, at) in events {
                // What was never told of is not taken back.
                let known = match kind {
                    EventKind::OrderReversed => self.told_before(&told).await?,
                    _ => true,
                };
                if !known {
                    continue;
                }
                let mut names = Vec::new();
                for postback in self.told_of(&one.touch.platform).filter(|postback| asked(postback, kind)) {
                    if parameter(postback.platform, &told).is_none() {
                        self.passed.count(PassedOver::NoParameter);
                    } else if postback.receiver.give_up_after.after(at) < now {
                        self.passed.count(PassedOver::TooOld);
                    } else {
                        names.push(postback.receiver.name.clone());
                    }
                }
                if !names.is_empty() {
                    posting.events.push((event(kind, at, &told), names));
                }
            }
        }
        Ok(posting)
    }

    async fn told_before(&self, told: &Told) -> Result<bool, OutboxError> {
        for kind in [EventKind::OrderSubmitted, EventKind::OrderPaid, EventKind::OrderCompleted] {
            if self.outbox.knows(&event(kind, crate::domain::time::Timestamp::MIN, told).id).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[async_trait]
impl Announcer for Teller {
    async fn announce(&self, matched: &[Matched]) -> Result<(), StoreError> {
        if self.postbacks.is_empty() {
            return Ok(());
        }
        let unavailable = |error: OutboxError| StoreError::Unavailable(error.to_string());
        let posting = self.posting(matched).await.map_err(unavailable)?;
        if posting.events.is_empty() {
            return Ok(());
        }
        self.outbox.post(posting, self.clock.now()).await.map_err(unavailable)?;
        self.posted.notify_waiters();
        Ok(())
    }
}
