//! A click that is decided and not yet recorded: how its visitor was sent on is known only when the upstream has
//! answered. Holds the whole record meanwhile; what was decided cannot change any more.

use super::{Commit, Worker};
use crate::domain::hop::Hop;
use crate::domain::landing::Way;
use crate::journal::wire;

/// A decided click's record.
#[must_use = "a decided click is recorded: settle it"]
#[derive(Debug)]
pub struct Deferred {
    schema: u8,
    body: Vec<u8>,
}

impl Deferred {
    pub(super) fn new(hop: &Hop<'_>) -> Self {
        let mut body = Vec::with_capacity(256);
        wire::encode(hop, &mut body);
        Deferred { schema: wire::schema_of(hop), body }
    }
}

impl Worker {
    /// Records a click that was decided before, and how its visitor was sent on.
    pub fn settle(&self, deferred: &Deferred, way: Way) -> Commit {
        match wire::decode(deferred.schema, &deferred.body) {
            Ok(hop) => self.lane.append(&Hop { way: Some(way), ..hop }),
            // What this build wrote a moment ago it can read.
            Err(error) => unreachable!("a record of this process cannot be read: {error}"),
        }
    }
}
