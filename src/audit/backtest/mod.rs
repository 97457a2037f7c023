//! What a candidate policy would have made of recorded clicks: every hop of a period is decided again under it, and what
//! was decided then is set against what would be.
//!
//! Streams from the journal; memory is bounded whatever the period. The same period, candidate and seed give the same
//! result on any number of threads. Never a live click's business.
//!
//! - [`matrix`]: the four cells, in total and by what; [`sample`]: clicks as examples; [`creators`]: who is hit.

pub mod creators;
pub mod matrix;
pub mod sample;

use std::ops::ControlFlow;

use serde::Serialize;

use super::Period;
use super::redecide::{is_ended, redecide};
use super::shift::{Shift, Shifter};
use super::sweep::{Progress, Spread, sweep};
use crate::archive::Recorded;
use crate::archive::spans::{Plan, Span};
use crate::domain::click_id::ClickKey;
use crate::domain::hop::{Hop, HopFlags, Outcome};
use crate::domain::policy::{PolicySet, Reason};
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::Vocabulary;
use crate::journal::read::ReadError;
use crate::journal::spans::Found;
use creators::{Creators, CreatorsReport};
use matrix::{Cell, Groups, GroupsReport, Matrix};
use sample::{Sample, Samples, SamplesReport};

/// Samples of a cell unless the caller says otherwise, and at most.
pub const USUAL_SAMPLES: usize = 5;
/// The most samples of a cell.
pub const MOST_SAMPLES: usize = 1_000;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question<'p> {
    /// The candidate.
    pub policy: &'p PolicySet,
    /// The names it speaks in.
    pub words: &'p Vocabulary,
    /// Which hops.
    pub period: Period,
    /// Decide as if each click came so much later.
    pub shift: Option<Shift>,
    /// Only hops of this platform.
    pub platform: Option<&'p str>,
    /// Bots, prefetch and HEAD count in the breakdowns too.
    pub include_machines: bool,
    /// Samples of each cell.
    pub samples: usize,
    /// Picks the samples.
    pub seed: u64,
}

/// The result.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The candidate's version.
    pub candidate: String,
    /// The period asked for; none where open.
    pub from: Option<Timestamp>,
    /// Its end, exclusive.
    pub to: Option<Timestamp>,
    /// How much later each click was taken to be.
    pub shift: Option<Shift>,
    /// The only platform looked at.
    pub platform: Option<String>,
    /// Hops of the period.
    pub hops: u64,
    /// The first one's instant.
    pub first: Option<Timestamp>,
    /// The last one's instant.
    pub last: Option<Timestamp>,
    /// Hops decided again.
    pub judged: u64,
    /// Hops of links that were switched off: no policy was asked.
    pub link_disabled: u64,
    /// Hops of links whose time was over: no policy was asked.
    pub link_expired: u64,
    /// Hops decided in a rehearsal, judged like any other.
    pub rehearsal: u64,
    /// Clicks of people.
    pub people: Matrix,
    /// Clicks of bots, prefetch and HEAD.
    pub machines: Matrix,
    /// Whether the breakdowns below have the machines in them.
    pub machines_included: bool,
    /// Allowed then and by the candidate, but at another landing of the link.
    pub moved: u64,
    /// Clicks that landed and that the candidate refuses at every recorded landing. What lies behind the landing taken
    /// was not tried and is not in the record: if their links have more alternates, they may land there.
    pub unknown_beyond: u64,
    /// Why the candidate refuses what was allowed.
    pub newly_refused: std::collections::BTreeMap<Reason, u64>,
    /// What the matrix consists of.
    pub by: By,
    /// Picks the samples.
    pub seed: u64,
    /// Clicks of each cell.
    pub samples: SamplesReport,
    /// The money at stake: hopgate has no orders yet.
    pub orders: Option<Orders>,
}

/// The matrix taken apart.
#[derive(Clone, Debug, Serialize)]
pub struct By {
    /// `platform/surface`.
    pub placement: GroupsReport,
    /// By marketplace.
    pub marketplace: GroupsReport,
    /// By shop type.
    pub shop_type: GroupsReport,
    /// By creator: those with the most change.
    pub creator: CreatorsReport,
}

/// Orders behind the clicks of each cell.
#[derive(Clone, Debug, Serialize)]
pub struct Orders {
    /// Of clicks the candidate newly refuses, in fen.
    pub newly_refused_fen: i64,
}

/// Sums of one stretch, or of all.
struct Sums {
    hops: u64,
    first: Timestamp,
    last: Timestamp,
    judged: u64,
    link_disabled: u64,
    link_expired: u64,
    rehearsal: u64,
    people: Matrix,
    machines: Matrix,
    moved: u64,
    unknown_beyond: u64,
    newly_refused: [u64; Reason::ALL.len()],
    placement: Groups,
    marketplace: Groups,
    shop_type: Groups,
    creators: Creators,
    samples: Samples,
}

impl Sums {
    fn new(question: &Question<'_>) -> Self {
        Sums {
            hops: 0,
            first: Timestamp::MAX,
            last: Timestamp::MIN,
            judged: 0,
            link_disabled: 0,
            link_expired: 0,
            rehearsal: 0,
            people: Matrix::default(),
            machines: Matrix::default(),
            moved: 0,
            unknown_beyond: 0,
            newly_refused: [0; Reason::ALL.len()],
            placement: Groups::default(),
            marketplace: Groups::default(),
            shop_type: Groups::default(),
            creators: Creators::default(),
            samples: Samples::new(question.samples, question.seed),
        }
    }

    fn judge(&mut self, question: &Question<'_>, seq: u64, hop: &Hop<'_>, shifter: &mut Shifter) {
        self.hops += 1;
        self.first = self.first.min(hop.at);
        self.last = self.last.max(hop.at);
        if is_ended(hop.reason) {
            let count =
                if hop.reason == Reason::LinkDisabled { &mut self.link_disabled } else { &mut self.link_expired };
            *count += 1;
            return;
        }
        self.judged += 1;
        self.rehearsal += u64::from(hop.flags.has(HopFlags::REHEARSAL));
        let at = shifter.apply(hop.at);
        let fresh = redecide(hop, question.policy, question.words, at);
        let allowed = hop.outcome == Outcome::Allow;
        let cell = Cell::of(allowed, fresh.decision.is_allow());
        let person = hop.flags.is_person();
        if person { &mut self.people } else { &mut self.machines }.count(cell);
        if !person && !question.include_machines {
            return;
        }
        self.placement.count(hop.platform, hop.surface.map_or("unknown", |surface| surface.as_str()), cell);
        self.marketplace.count(hop.marketplace, "", cell);
        self.shop_type.count(hop.shop_type.as_str(), "", cell);
        self.creators.count(hop.creator, cell);
        match cell {
            Cell::AllowAllow => self.moved += u64::from(fresh.alternate != Some(hop.alternate)),
            Cell::AllowDeny => {
                self.newly_refused[fresh.decision.reason() as usize] += 1;
                self.unknown_beyond += u64::from(fresh.unknown_beyond);
            }
            Cell::DenyAllow | Cell::DenyDeny => {}
        }
        self.samples.offer(cell, hop.id, || Sample::new(seq, hop, &fresh, at));
    }

    fn add(&mut self, later: Sums) {
        self.hops += later.hops;
        self.first = self.first.min(later.first);
        self.last = self.last.max(later.last);
        self.judged += later.judged;
        self.link_disabled += later.link_disabled;
        self.link_expired += later.link_expired;
        self.rehearsal += later.rehearsal;
        self.people.add(&later.people);
        self.machines.add(&later.machines);
        self.moved += later.moved;
        self.unknown_beyond += later.unknown_beyond;
        for (sum, more) in self.newly_refused.iter_mut().zip(later.newly_refused) {
            *sum += more;
        }
        self.placement.add(later.placement);
        self.marketplace.add(later.marketplace);
        self.shop_type.add(later.shop_type);
        self.creators.add(later.creators);
        self.samples.add(later.samples);
    }

    fn report(self, question: &Question<'_>, key: &ClickKey) -> Report {
        let bound = |at: Timestamp| (at != Timestamp::MIN && at != Timestamp::MAX).then_some(at);
        let reasons = Reason::ALL.iter().copied().zip(self.newly_refused);
        Report {
            candidate: question.policy.version().to_string(),
            from: bound(question.period.from),
            to: bound(question.period.to),
            shift: question.shift,
            platform: question.platform.map(str::to_owned),
            hops: self.hops,
            first: bound(self.first),
            last: bound(self.last),
            judged: self.judged,
            link_disabled: self.link_disabled,
            link_expired: self.link_expired,
            rehearsal: self.rehearsal,
            people: self.people,
            machines: self.machines,
            machines_included: question.include_machines,
            moved: self.moved,
            unknown_beyond: self.unknown_beyond,
            newly_refused: reasons.filter(|(_, count)| *count > 0).collect(),
            by: By {
                placement: self.placement.report(),
                marketplace: self.marketplace.report(),
                shop_type: self.shop_type.report(),
                creator: self.creators.report(),
            },
            seed: question.seed,
            samples: self.samples.report(key),
            orders: None,
        }
    }
}

/// Runs a backtest over recorded hops, archived ones too. `None` when it was cancelled.
///
/// # Errors
/// [`ReadError`] at the first damage in log order: a forecast from half a record would pass for a whole one.
pub fn backtest(
    hops: &Recorded,
    question: &Question<'_>,
    key: &ClickKey,
    spread: Spread,
    progress: &Progress,
) -> Result<Option<Report>, ReadError> {
    let mut plan = Plan::of(hops, question.period.from, question.period.to)?;
    if !plan.damage.is_empty() {
        return Err(plan.damage.swap_remove(0));
    }
    progress.begin(plan.bytes);
    let mut all = Ok(Sums::new(question));
    let work = |span: &Span, unsaid: &mut u64| read(span, question, progress, unsaid);
    sweep(&plan.spans, spread, progress, work, |part| match (&mut all, part) {
        (Ok(all), Ok(part)) => {
            all.add(part);
            ControlFlow::Continue(())
        }
        (_, Err(error)) => {
            all = Err(error);
            ControlFlow::Break(())
        }
        (Err(_), Ok(_)) => ControlFlow::Break(()),
    });
    if progress.is_cancelled() {
        return Ok(None);
    }
    all.map(|sums| Some(sums.report(question, key)))
}

fn read(span: &Span, question: &Question<'_>, progress: &Progress, unsaid: &mut u64) -> Result<Sums, ReadError> {
    let mut sums = Sums::new(question);
    let mut shifter = Shifter::new(question.shift);
    let mut reader = span.open()?;
    while let Some(found) = reader.next() {
        match found {
            Found::Hop(seq, hop) => {
                if !progress.tick(unsaid) {
                    break;
                }
                if question.period.has(hop.at) && question.platform.is_none_or(|only| hop.platform == only) {
                    sums.judge(question, seq, &hop, &mut shifter);
                }
            }
            Found::ChunkEnd => {}
            Found::Damage(error, _) => return Err(error),
        }
    }
    Ok(sums)
}
