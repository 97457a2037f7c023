//! A candidate policy beside the live one, on a share of live clicks: what it would have decided is counted, and the last
//! clicks it decides otherwise are kept for looking at. Never changes an answer, and is gone with the process.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;

use crate::domain::click_id::ClickId;
use crate::domain::hop::Hop;
use crate::domain::link::LinkView;
use crate::domain::policy::choose::{Choice, choose};
use crate::domain::policy::{Facts, PolicySet, Reason};
use crate::domain::time::Timestamp;
use crate::journal::wire;
use crate::telemetry::shadow::ShadowCounters;

/// Differing clicks that are kept.
pub const KEPT: usize = 20;
/// One over the largest number a click is drawn by.
const WHOLE: u64 = 1 << 32;

/// The place of the candidate: empty, or one.
#[derive(Debug, Default)]
pub struct ShadowSlot {
    /// What a click looks at when there is none.
    on: AtomicBool,
    set: ArcSwapOption<Shadow>,
}

/// A candidate that is being watched.
#[derive(Debug)]
pub struct Shadow {
    policy: PolicySet,
    below: u64,
    since: Timestamp,
    until: Timestamp,
    /// Live outcome × candidate's.
    counts: [AtomicU64; 4],
    moved: AtomicU64,
    kept: Mutex<Ring>,
}

/// The last differing clicks, in buffers that are used again.
#[derive(Debug, Default)]
struct Ring {
    next: usize,
    kept: Vec<Kept>,
}

/// A click the candidate decides otherwise.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    schema: u8,
    body: Vec<u8>,
    /// What the candidate decides; none for a landing allowed by it.
    reason: Option<Reason>,
    agreement: String,
    alternate: u8,
}

impl Kept {
    /// The click as the live policy decided it.
    ///
    /// # Errors
    /// Only if it was not encoded by this process.
    pub fn hop(&self) -> Result<Hop<'_>, wire::WireError> {
        wire::decode(self.schema, &self.body)
    }

    /// What the candidate decides: reason, agreement, and which landing it would take.
    pub fn candidate(&self) -> (Reason, &str, u8) {
        (self.reason.unwrap_or(Reason::NoAgreement), &self.agreement, self.alternate)
    }
}

/// What is known of a shadow so far.
#[derive(Clone, Debug)]
pub struct ShadowFigures {
    /// Live and candidate allow.
    pub allow_allow: u64,
    /// Only the live one allows.
    pub allow_deny: u64,
    /// Only the candidate allows.
    pub deny_allow: u64,
    /// Both refuse.
    pub deny_deny: u64,
    /// Both allow, at different landings of the link.
    pub moved: u64,
    /// The last differing clicks, the latest first.
    pub last: Vec<Kept>,
}

impl Shadow {
    /// A candidate for `share` of the clicks, 0 to 1, from `since` until just before `until`.
    pub fn new(policy: PolicySet, share: f64, since: Timestamp, until: Option<Timestamp>) -> Self {
        Shadow {
            policy,
            below: (share.clamp(0.0, 1.0) * WHOLE as f64) as u64,
            since,
            until: until.unwrap_or(Timestamp::MAX),
            counts: Default::default(),
            moved: AtomicU64::new(0),
            kept: Mutex::default(),
        }
    }

    /// The candidate.
    pub fn policy(&self) -> &PolicySet {
        &self.policy
    }

    /// The share of clicks it is asked about.
    pub fn share(&self) -> f64 {
        self.below as f64 / WHOLE as f64
    }

    /// Since when.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// Until when; [`Timestamp::MAX`] until it is taken away.
    pub fn until(&self) -> Timestamp {
        self.until
    }

    /// What came of it so far.
    pub fn figures(&self) -> ShadowFigures {
        let count = |place: usize| self.counts[place].load(Ordering::Relaxed);
        let ring = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (new, old) = ring.kept.split_at(ring.next.min(ring.kept.len()));
        ShadowFigures {
            allow_allow: count(0),
            allow_deny: count(1),
            deny_allow: count(2),
            deny_deny: count(3),
            moved: self.moved.load(Ordering::Relaxed),
            last: new.iter().rev().chain(old.iter().rev()).cloned().collect(),
        }
    }

    /// Whether a click is in the share: told by its id, so no generator is asked, and every gateway would draw the same.
    fn draws(&self, id: ClickId) -> bool {
        let mut low = [0; 8];
        low.copy_from_slice(&id.0[8..]);
        // Ids of one millisecond follow each other; the multiplication spreads them.
        (u64::from_be_bytes(low).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) < self.below
    }

    fn keep(&self, hop: &Hop<'_>, choice: &Choice<'_, '_>) {
        // Whoever reads the samples or keeps one just now goes first: a click does not wait.
        let Ok(mut ring) = self.kept.try_lock() else { return };
        if ring.kept.len() < KEPT {
            ring.kept.push(Kept::default());
        }
        let place = ring.next % KEPT;
        ring.next = (place + 1) % KEPT;
        let Some(kept) = ring.kept.get_mut(place) else { return };
        kept.schema = wire::schema_of(hop);
        kept.body.clear();
        wire::encode(hop, &mut kept.body);
        kept.reason = Some(choice.decision.reason());
        kept.agreement.clear();
        kept.agreement.push_str(choice.decision.rule_id().unwrap_or_default());
        kept.alternate = choice.alternate;
    }
}

impl ShadowSlot {
    /// Whether there is a candidate. All that a click without one costs.
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Puts a candidate beside the live policy, in place of any other.
    pub fn set(&self, shadow: Shadow) -> Arc<Shadow> {
        let shadow = Arc::new(shadow);
        self.set.store(Some(Arc::clone(&shadow)));
        self.on.store(true, Ordering::Relaxed);
        shadow
    }

    /// Takes the candidate away; the one there was.
    pub fn clear(&self) -> Option<Arc<Shadow>> {
        self.on.store(false, Ordering::Relaxed);
        self.set.swap(None)
    }

    /// The candidate, if there is one.
    pub fn current(&self) -> Option<Arc<Shadow>> {
        self.set.load_full()
    }

    /// Asks the candidate about a click the live policy has decided: `own` is what is known of the link's own landing,
    /// `live` what was chosen, `hop` the record.
    pub(super) fn look(
        &self,
        own: &Facts<'_>,
        link: &LinkView<'_>,
        live: &Choice<'_, '_>,
        hop: &Hop<'_>,
        counters: &ShadowCounters,
    ) {
        let shadow = self.set.load();
        let Some(shadow) = shadow.as_deref() else { return };
        if hop.at >= shadow.until || !hop.flags.is_person() || !shadow.draws(hop.id) {
            return;
        }
        let choice = choose(&shadow.policy, own, link.alternates.iter(), hop.at, |_| {});
        let (before, after) = (live.decision.is_allow(), choice.decision.is_allow());
        counters.click(before, after);
        shadow.counts[usize::from(!before) * 2 + usize::from(!after)].fetch_add(1, Ordering::Relaxed);
        let moved = before && after && live.alternate != choice.alternate;
        if before == after && !moved {
            return;
        }
        if moved {
            shadow.moved.fetch_add(1, Ordering::Relaxed);
        }
        let reason = choice.decision.reason() as usize;
        counters.difference(own.platform.map(|id| id.0), live.facts.marketplace.0, before, reason);
        shadow.keep(hop, &choice);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::click_id::ClickMint;

    #[test]
    fn a_share_is_drawn_evenly_from_ids() {
        for share in [0.0, 0.01, 0.25, 1.0] {
            let shadow = Shadow::new(PolicySet::empty(), share, Timestamp::default(), None);
            let mut mint = ClickMint::new([9; 24]);
            let drawn = (0..100_000i64)
                .filter(|number| shadow.draws(mint.mint(Timestamp::from_millis(1_700_000_000_000 + number / 40))))
                .count() as f64;
            assert!(
                (drawn - share * 100_000.0).abs() <= 100_000.0 * 0.01 * share.min(1.0 - share).max(0.0).sqrt() * 2.0,
                "{share}: {drawn}"
            );
            assert!((shadow.share() - share).abs() < 1e-9);
        }
    }
}
