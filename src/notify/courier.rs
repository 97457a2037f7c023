//! Delivers what is due of webhooks and postbacks, one receiver at a time in a task of its own, so that a slow one holds up nobody else. At least
//! once: an attempt is noted after its answer, and whoever is killed in between sends the same event again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, watch};

use super::client::{Answer, SendError};
use super::outbox::{Attempt, DeliveryState, Due, Outbox, OutboxError};
use crate::clock::Clock;
use crate::config::webhooks::EventKind;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::closed_list;

/// How often the clock is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Looks after which the outbox is asked anyway: another process may have put something in.
const LOOKS_A_QUESTION: u32 = 20;
/// Deliveries taken at a time.
const BATCH: usize = 16;
/// The first wait after a failure, doubled with each, and the longest, in microseconds.
const FIRST_WAIT: i64 = 5_000_000;
const LONGEST_WAIT: i64 = 3_600_000_000;

closed_list! {
    /// How an attempt counts.
    Sent {
        /// Answered with 2xx.
        Delivered = "delivered",
        /// Not delivered; to be sent again.
        Failed = "failed",
        /// Not delivered, and given up.
        Dead = "dead",
    }
}

/// What couriers have done, for metrics.
#[derive(Debug, Default)]
pub struct Tally {
    sent: Mutex<BTreeMap<(String, EventKind, Sent), u64>>,
    pending: Mutex<BTreeMap<String, u64>>,
    store_failures: AtomicU64,
}

impl Tally {
    /// Begins every count of a webhook at zero: an increase from nothing is none to Prometheus.
    pub fn begin(&self, webhook: &str, kinds: &[EventKind]) {
        let mut counts = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        for (kind, sent) in kinds.iter().flat_map(|kind| Sent::ALL.iter().map(|sent| (*kind, *sent))) {
            counts.entry((webhook.to_owned(), kind, sent)).or_default();
        }
    }

    fn count(&self, webhook: &str, kind: EventKind, sent: Sent) {
        let mut counts = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((webhook.to_owned(), kind, sent)).or_default() += 1;
    }

    /// Attempts by webhook, kind and how they ended.
    pub fn sent(&self) -> Vec<((String, EventKind, Sent), u64)> {
        let counts = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(key, count)| (key.clone(), *count)).collect()
    }

    /// Deliveries that wait, by webhook, as of the last look.
    pub fn pending(&self) -> Vec<(String, u64)> {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.iter().map(|(webhook, count)| (webhook.clone(), *count)).collect()
    }

    /// Notes a failure of a store events come from or go to.
    pub fn note_store_failure(&self) {
        self.store_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// How often a store failed.
    pub fn store_failures(&self) -> u64 {
        self.store_failures.load(Ordering::Relaxed)
    }

    async fn look(&self, outbox: &dyn Outbox, webhook: &str) -> Result<(), OutboxError> {
        let counts = outbox.counts().await?;
        let waiting = counts.iter().find(|count| count.webhook == webhook && count.state == DeliveryState::Pending);
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.insert(webhook.to_owned(), waiting.map_or(0, |count| count.deliveries));
        Ok(())
    }
}

/// Whom events are delivered to.
#[async_trait]
pub trait Receiver: Send + Sync {
    /// Its name in lists, metrics and the outbox.
    fn name(&self) -> &str;

    /// What it is called in the log and on the command line: `webhook`, `postback`.
    fn sort(&self) -> &'static str;

    /// The last instant an event that failed is tried again at.
    fn last(&self, due: &Due) -> Timestamp;

    /// Sends an event, as of `now`.
    ///
    /// # Errors
    /// [`SendError`]; the receiver may have taken the event all the same.
    async fn send(&self, due: &Due, now: Timestamp) -> Result<Answer, SendError>;
}

/// Delivers to one receiver.
pub struct Courier {
    /// How it is sent to.
    pub receiver: Box<dyn Receiver>,
    /// Where events wait.
    pub outbox: Arc<dyn Outbox>,
    /// Time.
    pub clock: Clock,
    /// Told when events were put in.
    pub posted: Arc<Notify>,
    /// What was done.
    pub tally: Arc<Tally>,
}

impl Courier {
    /// Delivers until `drained` says that it is over; what is being sent then is sent again after the next start.
    pub async fn run(self, mut drained: watch::Receiver<bool>) {
        tokio::select! {
            () = self.deliver() => {}
            () = async { drop(drained.wait_for(|draining| *draining).await) } => {}
        }
    }

    async fn deliver(&self) {
        let (name, sort) = (self.receiver.name(), self.receiver.sort());
        let mut broken = false;
        loop {
            let posted = self.posted.notified();
            let next = match self.pass().await {
                Ok(next) => {
                    broken = false;
                    next
                }
                Err(error) => {
                    self.tally.note_store_failure();
                    if !broken {
                        tracing::error!(%error, receiver = %name, "{sort}: nothing can be delivered");
                    }
                    broken = true;
                    None
                }
            };
            let wait = async {
                for _ in 0..LOOKS_A_QUESTION {
                    tokio::time::sleep(LOOK).await;
                    if next.is_some_and(|next| self.clock.now() >= next) {
                        return;
                    }
                }
            };
            tokio::select! {
                () = posted => {}
                () = wait => {}
            }
        }
    }

    /// Delivers what is due, up to the first failure; when something is due next.
    async fn pass(&self) -> Result<Option<Timestamp>, OutboxError> {
        let name = self.receiver.name();
        self.tally.look(&*self.outbox, name).await?;
        loop {
            let due = self.outbox.due(name, self.clock.now(), BATCH).await?;
            if due.is_empty() {
                break;
            }
            for delivery in due {
                if self.attempt(&delivery).await? != Sent::Delivered {
                    // A receiver that fails is not asked for the rest of the heap at once.
                    self.tally.look(&*self.outbox, name).await?;
                    let pause = self.clock.now().plus_micros(FIRST_WAIT / 5);
                    let next = self.outbox.next_due(name).await?;
                    return Ok(next.map(|next| next.max(pause)));
                }
            }
            self.tally.look(&*self.outbox, name).await?;
        }
        self.outbox.next_due(name).await
    }

    async fn attempt(&self, due: &Due) -> Result<Sent, OutboxError> {
        let (name, sort) = (self.receiver.name(), self.receiver.sort());
        let answer = self.receiver.send(due, self.clock.now()).await;
        let now = self.clock.now();
        let mut random = [0; 4];
        // Without randomness the waits are all alike, which does no harm.
        let _ = getrandom::fill(&mut random);
        let mut attempt = judge(&answer, due.attempts, now, u32::from_le_bytes(random));
        let last = self.receiver.last(due);
        if attempt.state == DeliveryState::Pending && attempt.next_at > last {
            attempt.state = DeliveryState::Dead;
        }
        let sent = match attempt.state {
            DeliveryState::Delivered => Sent::Delivered,
            DeliveryState::Pending => Sent::Failed,
            DeliveryState::Dead => Sent::Dead,
        };
        self.tally.count(name, due.kind, sent);
        match sent {
            Sent::Delivered => tracing::debug!(receiver = %name, event = %due.event, "{sort}: delivered"),
            Sent::Failed => {
                let (error, again) = (&attempt.error, attempt.next_at);
                tracing::warn!(receiver = %name, event = %due.event, %error, %again, "{sort}: not delivered");
            }
            Sent::Dead => {
                let error = &attempt.error;
                tracing::error!(receiver = %name, event = %due.event, %error, "{sort}: given up; see `hopgate {sort} list`");
            }
        }
        self.outbox.note(&due.event, name, attempt).await?;
        Ok(sent)
    }
}

/// What an answer means after `attempts` failures before it.
fn judge(answer: &Result<Answer, SendError>, attempts: u32, now: Timestamp, random: u32) -> Attempt {
    let status = answer.as_ref().ok().map(|answer| answer.status.as_u16());
    let wait = wait(attempts, random);
    let (state, error, wait) = match answer {
        Ok(answer) if answer.status.is_success() => (DeliveryState::Delivered, String::new(), 0),
        // The receiver says that it is gone for good.
        Ok(Answer { status: http::StatusCode::GONE, .. }) => {
            (DeliveryState::Dead, "answered 410: the receiver is gone".to_owned(), 0)
        }
        Ok(answer) if answer.status.is_redirection() => {
            let error = format!("answered {}: redirects are not followed, name the final address", answer.status);
            (DeliveryState::Pending, error, wait)
        }
        Ok(answer) => {
            let asked = answer.retry_after.map_or(0, |seconds| i64::from(seconds) * 1_000_000);
            (DeliveryState::Pending, format!("answered {}", answer.status), wait.max(asked.min(LONGEST_WAIT)))
        }
        Err(error @ SendError::Useless(_)) => (DeliveryState::Dead, error.to_string(), 0),
        Err(error) => (DeliveryState::Pending, error.to_string(), wait),
    };
    Attempt { at: now, status, error, state, next_at: now.plus_micros(wait) }
}

/// The wait after so many failures and one more: doubling from the first to the longest, 20 % more or less by chance, so
/// that what failed together does not come back together.
fn wait(attempts: u32, random: u32) -> i64 {
    let wait = FIRST_WAIT.saturating_mul(1 << attempts.min(20)).min(LONGEST_WAIT);
    wait / 5 * 4 + wait / 5 * 2 * i64::from(random % 1_001) / 1_000
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn waits_double_to_a_bound_with_some_chance() {
        let bounds = |attempts| (wait(attempts, 0), wait(attempts, 1_000));
        assert_eq!(bounds(0), (4_000_000, 6_000_000));
        assert_eq!(bounds(3), (32_000_000, 48_000_000));
        assert_eq!(bounds(30), (2_880_000_000, 4_320_000_000));
        assert_ne!(wait(5, 17), wait(5, 500));
    }

    #[test]
    fn an_answer_is_judged_by_its_status() {
        let now = Timestamp::from_millis(0);
        let judged = |status, retry_after| judge(&Ok(Answer { status, retry_after }), 0, now, 0);
        assert_eq!(judged(StatusCode::NO_CONTENT, None).state, DeliveryState::Delivered);
        assert_eq!(judged(StatusCode::GONE, None).state, DeliveryState::Dead);
        let moved = judged(StatusCode::FOUND, None);
        assert!(moved.state == DeliveryState::Pending && moved.error.contains("not followed"), "{moved:?}");
        let busy = judged(StatusCode::TOO_MANY_REQUESTS, Some(60));
        assert_eq!((busy.state, busy.next_at), (DeliveryState::Pending, Timestamp::from_millis(60_000)));
        assert_eq!(judged(StatusCode::SERVICE_UNAVAILABLE, Some(u32::MAX)).next_at.micros(), LONGEST_WAIT);
        let silent = judge(&Err(SendError::TimedOut), 0, now, 0);
        assert_eq!((silent.state, silent.status), (DeliveryState::Pending, None));
    }
}
