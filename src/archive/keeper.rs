//! Sealing and removing, again and again: every finished segment becomes a file, and goes when the file is whole, everyone
//! who reads it is past it, and the reserve has passed. One keeper at a time works on an archive; every step can be killed
//! and done again. Never touches the segment that is being written.

use std::fs::{self, File};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Recorded;
use super::files::{self, Archived};
use super::purge::{Forgotten, How, What};
use super::seal::{End, SealError, compare, seal};
use crate::domain::click_id::ClickKey;
use crate::domain::span::Span;
use crate::domain::time::Timestamp;
use crate::journal::read::ReadError;
use crate::journal::sealed::{Sealed, sealed};

/// Someone who reads hops in order and keeps what follows from them. A segment stays until each is past it.
pub trait Follower: Send + Sync {
    /// What it is called in messages.
    fn name(&self) -> &'static str;

    /// Whether it has taken in every record of a node up to this one. May go on reading first.
    ///
    /// # Errors
    /// Why it cannot say: then the segment stays.
    fn passed(&self, node: &str, seq: u64) -> Result<bool, String>;

    /// Held as long as a purge lasts, so that nothing is made anew from hops that are being erased.
    ///
    /// # Errors
    /// Who is at it: the purge is not done then.
    fn hold(&self) -> Result<Option<File>, String> {
        Ok(None)
    }

    /// Erases what it keeps of visitors of these hops, and of single clicks as well where [`How::clicks`] says so. A thorough
    /// purge leaves nothing of them in any of its files, whatever erased it.
    ///
    /// # Errors
    /// Why it could not: the purge has failed then.
    fn forget(&self, what: &What, how: How) -> Result<(), String>;

    /// What it keeps that [`Follower::forget`] would erase: what there was before, and the proof afterwards.
    ///
    /// # Errors
    /// Why it cannot say: the purge has failed then.
    fn found(&self, what: &What, how: How) -> Result<Vec<Forgotten>, String>;
}

/// Figures of a keeper, for metrics.
#[derive(Debug, Default)]
pub struct Tally {
    /// Segments archived.
    pub segments: AtomicU64,
    /// Bytes of the files they became.
    pub bytes: AtomicU64,
    /// Segments removed.
    pub removed: AtomicU64,
    /// Attempts that failed.
    pub failures: AtomicU64,
    /// Seconds the oldest finished segment has waited to be archived.
    pub lag: AtomicU64,
    /// Purges done.
    pub purges: AtomicU64,
    /// Purges that failed or left something.
    pub purge_failures: AtomicU64,
    /// Hops whose address and visitor were erased.
    pub erased: AtomicU64,
}

impl Tally {
    pub(super) fn add(counter: &AtomicU64, more: u64) {
        counter.fetch_add(more, Ordering::Relaxed);
    }
}

/// What one turn did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Turn {
    /// Names of the files that were made.
    pub sealed: Vec<String>,
    /// Names of the segments that were removed.
    pub removed: Vec<String>,
    /// Somebody else is at it: nothing was done.
    pub busy: bool,
}

/// Keeps one archive.
pub struct Keeper {
    pub(super) hops: Recorded,
    pub(super) key: ClickKey,
    reserve: Span,
    pub(super) followers: Vec<Arc<dyn Follower>>,
    tally: Arc<Tally>,
    pub(super) end: Arc<End>,
}

impl Keeper {
    /// A keeper that leaves finished segments for `reserve` after their last record.
    pub fn new(hops: Recorded, key: ClickKey, reserve: Span, followers: Vec<Arc<dyn Follower>>) -> Self {
        Keeper { hops, key, reserve, followers, tally: Arc::default(), end: Arc::default() }
    }

    /// Its figures.
    pub fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// Asks whatever it is at to end.
    pub fn end(&self) -> &Arc<End> {
        &self.end
    }

    /// The hops it keeps.
    pub fn hops(&self) -> &Recorded {
        &self.hops
    }

    /// Archives every finished segment that is not, and removes those that may go. `now` is the machine's time.
    ///
    /// # Errors
    /// The first [`SealError`]; whatever did not depend on it was done all the same.
    pub fn turn(&self, now: Timestamp) -> Result<Turn, SealError> {
        let result = self.lock().and_then(|lock| match lock {
            None => Ok(Turn { busy: true, ..Turn::default() }),
            Some(_held) => self.work(now),
        });
        if result.as_ref().is_err_and(|error| !matches!(error, SealError::Ended)) {
            Tally::add(&self.tally.failures, 1);
        }
        result
    }

    fn work(&self, now: Timestamp) -> Result<Turn, SealError> {
        let mut turn = Turn::default();
        let sealed = self.seal_all(&mut turn, now);
        let removed = self.remove(&mut turn, |segment| {
            let due = self.reserve.after(segment.written) <= now;
            due && self.followers_passed(segment).is_ok()
        });
        sealed.and(removed).map(|()| turn)
    }

    /// The archive's lock, `None` when another process or thread has it.
    pub(super) fn lock(&self) -> Result<Option<File>, SealError> {
        let dir = self.hops.archive();
        let fail = |source| SealError::Write { path: dir.to_owned(), source };
        self.hops.make_archive().map_err(fail)?;
        let file = self.hops.lock_file("archive.lock").map_err(fail)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Ok(None),
            Err(fs::TryLockError::Error(source)) => return Err(fail(source)),
        }
        files::clear(dir).map_err(fail)?;
        Ok(Some(file))
    }

    /// Archives what is finished. Goes on behind a segment that cannot be.
    pub(super) fn seal_all(&self, turn: &mut Turn, now: Timestamp) -> Result<(), SealError> {
        let (segments, _) = self.segments()?;
        let files = files::list(self.hops.archive())?;
        let mut failed = None;
        let mut waiting: Option<Timestamp> = None;
        for segment in &segments {
            let result = archived(&files, segment).and_then(|file| match file {
                Some(_) => Ok(None),
                None => seal(segment, self.hops.archive(), &self.key, &self.end).map(Some),
            });
            match result {
                Ok(None) => {}
                Ok(Some(bytes)) => {
                    Tally::add(&self.tally.segments, 1);
                    Tally::add(&self.tally.bytes, bytes);
                    turn.sealed.push(Archived::name(&segment.node, segment.first_seq, segment.last_seq));
                }
                Err(SealError::Ended) => return Err(SealError::Ended),
                Err(error) => {
                    waiting = Some(waiting.map_or(segment.written, |since| since.min(segment.written)));
                    failed.get_or_insert(error);
                }
            }
        }
        let lag = waiting.map_or(0, |since| now.micros().saturating_sub(since.micros()).max(0) / 1_000_000);
        self.tally.lag.store(u64::try_from(lag).unwrap_or(0), Ordering::Relaxed);
        failed.map_or(Ok(()), Err)
    }

    /// The finished segments; none where there is no journal.
    pub(super) fn segments(&self) -> Result<(Vec<Sealed>, Option<u64>), ReadError> {
        if self.hops.journal().is_dir() { sealed(self.hops.journal()) } else { Ok((Vec::new(), None)) }
    }

    /// Whether everyone who reads is past a segment, or who is not.
    pub(super) fn followers_passed(&self, segment: &Sealed) -> Result<(), String> {
        for follower in &self.followers {
            match follower.passed(&segment.node, segment.last_seq) {
                Ok(true) => {}
                Ok(false) => return Err(format!("{} has not read it yet", follower.name())),
                Err(error) => return Err(format!("{}: {error}", follower.name())),
            }
        }
        Ok(())
    }

    /// Removes segments from the oldest on, as long as they may go and their files hold every hop of them.
    pub(super) fn remove(&self, turn: &mut Turn, may_go: impl Fn(&Sealed) -> bool) -> Result<(), SealError> {
        let (segments, _) = self.segments()?;
        let files = files::list(self.hops.archive())?;
        for segment in &segments {
            if !may_go(segment) {
                return Ok(());
            }
            let Some(file) = archived(&files, segment)? else { return Ok(()) };
            compare(segment, &file.path, &self.end)?;
            let fail = |source: io::Error| SealError::Write { path: segment.path.clone(), source };
            // Whoever reads in stretches holds it: then the next turn removes.
            let reading = self.hops.lock_file("reading.lock").map_err(fail)?;
            if reading.try_lock().is_err() {
                return Ok(());
            }
            fs::remove_file(&segment.path).map_err(fail)?;
            files::sync(self.hops.journal()).map_err(fail)?;
            Tally::add(&self.tally.removed, 1);
            turn.removed.push(segment.path.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
        Ok(())
    }
}

/// The file of a segment among those there are.
fn archived<'f>(files: &'f [Archived], segment: &Sealed) -> Result<Option<&'f Archived>, SealError> {
    for file in files.iter().filter(|file| file.node == segment.node) {
        if (file.first_seq, file.last_seq) == (segment.first_seq, segment.last_seq) {
            return Ok(Some(file));
        }
        if file.first_seq <= segment.last_seq && segment.first_seq <= file.last_seq {
            let found = format!("it has records {} to {}", file.first_seq, file.last_seq);
            return Err(SealError::Differs { path: file.path.clone(), wanted: segment.path.clone(), found });
        }
    }
    Ok(None)
}
