//! A click that is decided and not yet recorded: how its visitor was sent on is known only when the upstream has
//! answered. Holds the whole record meanwhile; what was decided cannot change any more.

use super::{Commit, Worker};
use crate::domain::hop::{Hop, HopFlags};
use crate::domain::landing::Way;
use crate::domain::policy::Reason;
use crate::domain::tried::MAIN;
use crate::domain::vocabulary::{MarketplaceId, PlatformId};
use crate::journal::wire;
use crate::telemetry::metrics::bump;

/// A decided click's record, and where it counts.
#[must_use = "a decided click is recorded: settle it"]
#[derive(Debug)]
pub struct Deferred {
    schema: u8,
    body: Vec<u8>,
    platform: Option<PlatformId>,
    marketplace: MarketplaceId,
    reason: Reason,
    flags: HopFlags,
    alternate: bool,
}

impl Deferred {
    pub(super) fn new(hop: &Hop<'_>, platform: Option<PlatformId>, marketplace: MarketplaceId) -> Self {
        let mut body = Vec::with_capacity(256);
        wire::encode(hop, &mut body);
        let (reason, flags, alternate) = (hop.reason, hop.flags, hop.alternate != MAIN);
        Deferred { schema: wire::schema_of(hop), body, platform, marketplace, reason, flags, alternate }
    }
}

impl Worker {
    /// Records and counts a click that was decided before, and how its visitor was sent on.
    pub fn settle(&self, deferred: &Deferred, way: Way) -> Commit {
        self.count(deferred.platform, deferred.marketplace, deferred.reason, deferred.flags);
        self.counters.landing(way, deferred.marketplace.0);
        if deferred.alternate {
            bump(&self.counters.alternates, 1);
        }
        match wire::decode(deferred.schema, &deferred.body) {
            Ok(hop) => self.lane.append(&Hop { way: Some(way), ..hop }),
            // What this build wrote a moment ago it can read.
            Err(error) => unreachable!("a record of this process cannot be read: {error}"),
        }
    }
}
