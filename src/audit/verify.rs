//! Proof that the record is true: every hop is decided again under the version it names, and every record, chunk and
//! segment is checked on the way. Goes on behind differences and damage, and counts all of them. Never mends anything.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde::Serialize;

use super::Period;
use super::redecide::{Difference, is_ended, prove};
use super::sweep::{Progress, Spread, sweep};
use crate::archive::Recorded;
use crate::archive::spans::{Plan, Span};
use crate::domain::click_id::ClickKey;
use crate::domain::hop::Hop;
use crate::domain::policy::Reason;
use crate::domain::time::Timestamp;
use crate::journal::read::ReadError;
use crate::journal::spans::Found;
use crate::policies::versions::{NoVersion, Versions};

/// Damaged spots that are listed; the rest is counted.
const MOST_DAMAGE: usize = 100;

/// The first hop that is not what its version decides.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct FirstDifference {
    /// The click.
    pub click_id: String,
    /// Its number in the log.
    pub seq: u64,
    /// The segment's file.
    pub segment: String,
    /// When it was decided.
    pub time: Timestamp,
    /// The version it names.
    pub policy_version: String,
    /// What differs.
    #[serde(flatten)]
    pub difference: Difference,
}

/// A version met in the log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct VersionSeen {
    /// The version.
    pub version: String,
    /// Hops that name it.
    pub hops: u64,
    /// Why they could not be decided again.
    pub fault: Option<String>,
}

/// What a verification found.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Verified {
    /// Every hop is equal, and nothing is damaged or unknown.
    pub equal: bool,
    /// Hops read.
    pub hops: u64,
    /// Hops decided again.
    pub judged: u64,
    /// Hops of links that were switched off: no policy was asked.
    pub link_disabled: u64,
    /// Hops of links whose time was over: no policy was asked.
    pub link_expired: u64,
    /// Hops of versions that cannot be had.
    pub without_version: u64,
    /// Hops that differ.
    pub differences: u64,
    /// The first of them.
    pub first: Option<FirstDifference>,
    /// Every version met, by name.
    pub versions: Vec<VersionSeen>,
    /// Whole chunks read.
    pub chunks: u64,
    /// Damaged spots.
    pub damaged: u64,
    /// Hops behind damage that were not read, as far as that can be told.
    pub unread: u64,
    /// The damaged spots, the first hundred of them.
    pub damage: Vec<String>,
}

/// What one stretch of the log gave.
#[derive(Default)]
struct Part {
    found: Verified,
    versions: BTreeMap<u64, (u64, Option<NoVersion>)>,
}

impl Part {
    fn damage(&mut self, error: &ReadError, unread: u64) {
        self.found.damaged += 1;
        self.found.unread += unread;
        if self.found.damage.len() < MOST_DAMAGE {
            let more = match unread {
                0 => String::new(),
                count => format!(" ({count} hop(s) of this chunk were not read)"),
            };
            self.found.damage.push(format!("{error}{more}"));
        }
    }

    fn add(&mut self, later: Part) {
        let (sum, found) = (&mut self.found, later.found);
        sum.hops += found.hops;
        sum.judged += found.judged;
        sum.link_disabled += found.link_disabled;
        sum.link_expired += found.link_expired;
        sum.without_version += found.without_version;
        sum.differences += found.differences;
        sum.chunks += found.chunks;
        sum.damaged += found.damaged;
        sum.unread += found.unread;
        let room = MOST_DAMAGE.saturating_sub(sum.damage.len());
        sum.damage.extend(found.damage.into_iter().take(room));
        // Stretches are merged in log order: an earlier first stays first.
        sum.first = sum.first.take().or(found.first);
        for (number, (hops, fault)) in later.versions {
            let seen = self.versions.entry(number).or_default();
            seen.0 += hops;
            seen.1 = seen.1.take().or(fault);
        }
    }
}

/// Verifies recorded hops, archived ones too. `None` when it was cancelled.
///
/// # Errors
/// [`ReadError::Unreadable`] when the folder cannot be looked into at all.
pub fn verify(
    hops: &Recorded,
    period: Period,
    versions: &Versions<'_>,
    key: &ClickKey,
    spread: Spread,
    progress: &Progress,
) -> Result<Option<Verified>, ReadError> {
    let plan = Plan::of(hops, period.from, period.to)?;
    progress.begin(plan.bytes);
    let mut all = Part::default();
    plan.damage.iter().for_each(|error| all.damage(error, 0));
    let work = |span: &Span, unsaid: &mut u64| read(span, period, versions, key, progress, unsaid);
    sweep(&plan.spans, spread, progress, work, |part| {
        all.add(part);
        ControlFlow::Continue(())
    });
    if progress.is_cancelled() {
        return Ok(None);
    }
    let mut found = all.found;
    found.versions = all
        .versions
        .into_iter()
        .map(|(number, (hops, fault))| VersionSeen {
            version: format!("{number:016x}"),
            hops,
            fault: fault.map(|fault| fault.to_string()),
        })
        .collect();
    found.equal = found.differences == 0 && found.damaged == 0 && found.without_version == 0;
    Ok(Some(found))
}

fn read(
    span: &Span,
    period: Period,
    versions: &Versions<'_>,
    key: &ClickKey,
    progress: &Progress,
    unsaid: &mut u64,
) -> Part {
    let mut part = Part::default();
    let mut reader = match span.open() {
        Ok(reader) => reader,
        Err(error) => {
            part.damage(&error, 0);
            return part;
        }
    };
    // Hops of one version stand together nearly always.
    let mut version = None;
    while let Some(found) = reader.next() {
        let (seq, hop) = match found {
            Found::Hop(seq, hop) => (seq, hop),
            Found::ChunkEnd => {
                part.found.chunks += 1;
                continue;
            }
            Found::Damage(error, unread) => {
                part.damage(&error, unread);
                continue;
            }
        };
        if !progress.tick(unsaid) {
            break;
        }
        if !period.has(hop.at) {
            continue;
        }
        let number = hop.policy_version;
        let kept = match &version {
            Some((known, kept)) if *known == number => kept,
            _ => &version.insert((number, versions.get(number))).1,
        };
        let seen = part.versions.entry(number).or_default();
        seen.0 += 1;
        let sum = &mut part.found;
        sum.hops += 1;
        match hop.reason {
            reason if !is_ended(reason) => {}
            Reason::LinkDisabled => sum.link_disabled += 1,
            _ => sum.link_expired += 1,
        }
        let proof = match kept {
            Ok(kept) => prove(&hop, &kept.policy, &kept.words),
            Err(fault) => {
                seen.1.get_or_insert_with(|| fault.clone());
                sum.without_version += u64::from(!is_ended(hop.reason));
                continue;
            }
        };
        sum.judged += u64::from(!is_ended(hop.reason));
        if let Err(difference) = proof {
            sum.differences += 1;
            sum.first.get_or_insert_with(|| first(span, seq, &hop, key, difference));
        }
    }
    part
}

fn first(span: &Span, seq: u64, hop: &Hop<'_>, key: &ClickKey, difference: Difference) -> FirstDifference {
    FirstDifference {
        click_id: String::from_utf8_lossy(&key.text(hop.id)).into_owned(),
        seq,
        segment: span.segment().to_owned(),
        time: hop.at,
        policy_version: format!("{:016x}", hop.policy_version),
        difference,
    }
}
