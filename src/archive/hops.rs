//! Every recorded hop in the order of its number, wherever it is kept: first what is in the archive alone, then the journal.
//! May run beside the gateway that writes and the thread that archives. Never takes a lock, never leaves a hop out silently.

use std::collections::VecDeque;
use std::io;

use super::Recorded;
use super::files::{self, Archived};
use super::rows::{GroupReader, Rows};
use crate::domain::click_id::ClickId;
use crate::domain::hop::Hop;
use crate::domain::time::Timestamp;
use crate::journal::read::{self, ReadError};
use crate::journal::{sealed, wire};

/// How far a hop's time may lie from the instant it is looked for at, in microseconds: 5 s.
const NEAR: i64 = 5_000_000;

/// Reads hops in the order of their numbers. At the end it can be asked again: it goes on with what was written since.
pub struct Reader {
    hops: Recorded,
    from: Timestamp,
    to: Timestamp,
    after: u64,
    limit: u64,
    /// Files that are still to be read, and the one that is.
    files: VecDeque<Archived>,
    open: Option<OpenFile>,
    /// None where there is no journal.
    journal: Option<read::Reader>,
    /// The first record that can be had; none where there is nothing.
    begins: Option<u64>,
    /// The last record passed while reading the archive, at first the mark.
    passed: u64,
    /// The same, 0 at first.
    reached: u64,
    /// Where a segment was found gone or not joining up, once: it may have been archived meanwhile.
    tried_again: Option<u64>,
}

struct OpenFile {
    rows: Rows,
    groups: VecDeque<usize>,
    group: Option<GroupReader>,
    last_seq: u64,
}

/// Where the present hop stands.
enum At {
    Archive(u64),
    Journal(read::Place),
}

impl Reader {
    /// The hops of this gateway behind record `seq`; 0 for all.
    ///
    /// # Errors
    /// [`ReadError`]; also when records behind `seq` are gone.
    pub fn after(hops: &Recorded, seq: u64) -> Result<Reader, ReadError> {
        Self::new(hops, seq, Timestamp::MIN, Timestamp::MAX, false)
    }

    /// The hops decided at or after `from` and before `to`; [`Timestamp::MAX`] leaves the end open. Hops of nodes this
    /// archive was filled by before come first.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn between(hops: &Recorded, from: Timestamp, to: Timestamp) -> Result<Reader, ReadError> {
        Self::new(hops, 0, from, to, true)
    }

    /// Both: this gateway's hops behind record `seq` of a period.
    ///
    /// # Errors
    /// [`ReadError`]; also when records behind `seq` are gone.
    pub fn within(hops: &Recorded, seq: u64, from: Timestamp, to: Timestamp) -> Result<Reader, ReadError> {
        Self::new(hops, seq, from, to, false)
    }

    fn new(hops: &Recorded, after: u64, from: Timestamp, to: Timestamp, others: bool) -> Result<Reader, ReadError> {
        let mut reader = Reader {
            hops: hops.clone(),
            from,
            to,
            after,
            limit: u64::MAX,
            files: VecDeque::new(),
            open: None,
            journal: None,
            begins: None,
            passed: after,
            reached: 0,
            tried_again: None,
        };
        reader.plan(others)?;
        Ok(reader)
    }

    /// Finds what is to be read behind the last record passed.
    fn plan(&mut self, others: bool) -> Result<(), ReadError> {
        let (dir, node) = (self.hops.journal(), sealed::node(self.hops.journal())?);
        let first = sealed::begins(dir)?;
        let all = files::list(self.hops.archive())?;
        let ours = |file: &Archived| node.as_ref().is_none_or(|node| *node == file.node);
        let before = |file: &Archived| first.is_none_or(|first| file.first_seq < first);
        let own = all.iter().filter(|file| ours(file) && before(file));
        let own: Vec<Archived> = own.cloned().collect();
        let mut expected = (self.passed > 0).then(|| self.passed.saturating_add(1));
        let mut entered = false;
        let stretches = own.iter().map(|file| (file.first_seq, file.last_seq));
        for (first_seq, last_seq) in stretches.chain(first.map(|first| (first, u64::MAX))) {
            self.begins.get_or_insert(first_seq);
            if last_seq <= self.passed {
                continue;
            }
            match expected {
                Some(expected) if first_seq > expected => {
                    return Err(self.missing(node.as_deref(), expected, first_seq - 1));
                }
                Some(expected) if first_seq < expected && entered => {
                    let found = format!("it ends behind record {first_seq}, with which the journal begins");
                    let path = own.last().map_or(self.hops.archive().to_owned(), |file| file.path.clone());
                    return Err(ReadError::Archived { path, found });
                }
                _ => {}
            }
            (expected, entered) = (Some(last_seq.saturating_add(1)), true);
        }
        let others = all.iter().filter(|file| others && !ours(file)).cloned();
        self.files = others.chain(own.into_iter().filter(|file| file.last_seq > self.passed)).collect();
        // Where nothing is archived, a folder that is not there is a fault and an empty one may grow.
        self.journal = match first.or(self.files.is_empty().then_some(1)) {
            Some(_) => Some(read::Reader::within(dir, self.passed, self.from, self.to)?),
            None => None,
        };
        self.journal.iter_mut().for_each(|journal| journal.stop_behind(self.limit));
        Ok(())
    }

    fn missing(&self, node: Option<&str>, first: u64, last: u64) -> ReadError {
        let node = node.unwrap_or("?").to_owned();
        ReadError::Missing { node, first, last, folder: self.hops.archive().to_owned() }
    }

    /// Reads no record behind number `seq` until told otherwise. Whoever keeps a mark of how far it read stops at
    /// `JournalStats::durable_seq`: a power cut may take back what lies behind. What is archived is on disk in any case.
    pub fn stop_behind(&mut self, seq: u64) {
        self.limit = seq;
        self.journal.iter_mut().for_each(|journal| journal.stop_behind(seq));
    }

    /// The number of the last record that was passed: the mark to go on from. Ends of chunks have numbers too, so this may
    /// be more than the last hop's. Only for readers without a period.
    pub fn passed(&self) -> u64 {
        self.journal.as_ref().map_or(0, read::Reader::passed).max(self.passed)
    }

    /// Where reading really stands: the same, but below the mark where the records end before it, as those of another
    /// journal or of an older copy do.
    pub fn reached(&self) -> u64 {
        self.journal.as_ref().map_or(0, read::Reader::reached).max(self.reached)
    }

    /// The first record that is kept at all; over 1 where older ones were taken away, none where there is nothing.
    pub fn begins(&self) -> Option<u64> {
        self.begins
    }

    /// The next hop with its number, or `None` at the end.
    ///
    /// # Errors
    /// [`ReadError`]; reading does not go on after one.
    #[allow(clippy::should_implement_trait)] // Lends its window: an Iterator cannot.
    pub fn next(&mut self) -> Result<Option<(u64, Hop<'_>)>, ReadError> {
        match self.step(None)? {
            None => Ok(None),
            Some(at) => self.hop(&at).map(Some),
        }
    }

    fn hop(&self, at: &At) -> Result<(u64, Hop<'_>), ReadError> {
        match (at, &self.open, &self.journal) {
            (At::Archive(seq), Some(OpenFile { group: Some(group), .. }), _) => Ok((*seq, group.hop()?)),
            (At::Journal(place), _, Some(journal)) => Ok((place.seq, journal.hop_at(*place)?)),
            // A step is only told while what it stepped in is open.
            _ => {
                Err(ReadError::Archived { path: self.hops.archive().to_owned(), found: "read out of turn".to_owned() })
            }
        }
    }

    /// Goes to the next hop, or to the next that is `only`.
    fn step(&mut self, only: Option<ClickId>) -> Result<Option<At>, ReadError> {
        loop {
            let (from, to) = (self.from, self.to);
            if let Some(open) = &mut self.open {
                if let Some(group) = &mut open.group {
                    match group.step()? {
                        None => open.group = None,
                        Some((seq, at, id)) => {
                            let asked = at >= from && (at < to || to == Timestamp::MAX);
                            if seq > self.after && asked && only.is_none_or(|only| only == id) {
                                (self.passed, self.reached) = (seq, seq);
                                return Ok(Some(At::Archive(seq)));
                            }
                        }
                    }
                } else if let Some(place) = open.groups.pop_front() {
                    open.group = Some(open.rows.read(place)?);
                } else {
                    (self.passed, self.reached) = (open.last_seq, open.last_seq);
                    self.open = None;
                }
                continue;
            }
            if let Some(file) = self.files.pop_front() {
                self.open = self.open(&file)?;
                if self.open.is_none() {
                    (self.passed, self.reached) = (file.last_seq, file.last_seq);
                }
                continue;
            }
            let Some(journal) = &mut self.journal else { return Ok(None) };
            match journal.advance() {
                Ok(None) => return Ok(None),
                Ok(Some(place)) if place.cut.is_some() => {}
                Ok(Some(place)) => {
                    let is = |only| wire::id_and_time(journal.body()).is_some_and(|(id, _)| id == only);
                    if only.is_none_or(is) {
                        return Ok(Some(At::Journal(place)));
                    }
                }
                Err(error) => self.plan_again(error)?,
            }
        }
    }

    /// A segment that is gone, or was followed by another than it should be, was archived and removed meanwhile: then its
    /// hops are found in the archive. Where they are not, the error stands.
    fn plan_again(&mut self, error: ReadError) -> Result<(), ReadError> {
        let gone = match &error {
            ReadError::Unreadable { source, .. } => source.kind() == io::ErrorKind::NotFound,
            ReadError::Corrupt { .. } => true,
            _ => false,
        };
        let passed = self.passed();
        if !gone || self.tried_again == Some(passed) {
            return Err(error);
        }
        self.tried_again = Some(passed);
        self.passed = passed;
        self.after = self.after.max(passed);
        self.plan(false)
    }

    /// Opens a file at its first row group with something asked for; `None` when there is none.
    fn open(&self, file: &Archived) -> Result<Option<OpenFile>, ReadError> {
        let asked = |(earliest, latest): (Timestamp, Timestamp)| {
            latest >= self.from && (earliest < self.to || self.to == Timestamp::MAX)
        };
        if self.hops.known_times(file).is_some_and(|times| !asked(times)) {
            return Ok(None);
        }
        let rows = Rows::open(&file.path)?;
        let groups = rows.groups()?;
        let times = |(earliest, latest): (Timestamp, Timestamp), group: &super::rows::Group| {
            (earliest.min(group.earliest), latest.max(group.latest))
        };
        self.hops.note_times(file, groups.iter().fold((Timestamp::MAX, Timestamp::MIN), times));
        let wanted = groups.iter().filter(|group| group.last_seq > self.after && asked((group.earliest, group.latest)));
        let groups = wanted.map(|group| group.place).collect();
        Ok(Some(OpenFile { rows, groups, group: None, last_seq: file.last_seq }))
    }
}

/// The hop of a click decided within 5 s of `near` (its id tells: [`ClickId::minted_at`]), if it is recorded, handed to
/// `tell` with its number. What is of other times is not read, except for the segment being written.
///
/// # Errors
/// [`ReadError`].
pub fn find<T>(
    hops: &Recorded,
    id: ClickId,
    near: Timestamp,
    tell: impl FnOnce(u64, &Hop<'_>) -> T,
) -> Result<Option<T>, ReadError> {
    let mut reader = Reader::between(hops, near.plus_micros(-NEAR), near.plus_micros(NEAR + 1))?;
    let Some(at) = reader.step(Some(id))? else { return Ok(None) };
    let (seq, hop) = reader.hop(&at)?;
    Ok(Some(tell(seq, &hop)))
}
#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::journal::faults::{fill, sample};
    use crate::journal::{ChunkLimits, Journal, JournalConfig};

    fn config(dir: &std::path::Path) -> JournalConfig {
        let mut config = JournalConfig::new(dir, "gw-1");
        config.segment_bytes = 4_000;
        config.chunk = ChunkLimits { hops: 7, ..ChunkLimits::default() };
        config.deadline = Duration::from_secs(20);
        config
    }

    #[test]
    fn a_reader_goes_on_where_it_ended_and_from_any_mark() {
        let folder = tempfile::tempdir().unwrap();
        let hops = Recorded::of(folder.path());
        let journal = Journal::open(config(hops.journal())).unwrap();
        let mut reader = Reader::after(&hops, 0).unwrap();
        let mut read = Vec::new();
        let mut take = |reader: &mut Reader| {
            while let Some((seq, hop)) = reader.next().unwrap() {
                read.push((seq, hop.id));
            }
            read.clone()
        };
        assert!(take(&mut reader).is_empty());
        for start in (0..200).step_by(4) {
            fill(&journal, start..start + 4);
            // Another that begins there finds the same.
            let mark = reader.passed();
            let mut other = Reader::after(&hops, mark).unwrap();
            let fresh: Vec<u64> = std::iter::from_fn(|| other.next().unwrap().map(|(seq, _)| seq)).collect();
            let read = take(&mut reader);
            assert_eq!((read.len() as u64, fresh.len()), (start + 4, 4));
            assert_eq!(read[start as usize..].iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), fresh);
        }
        let all = take(&mut reader);
        assert!(all.iter().enumerate().all(|(n, (_, id))| *id == sample(n as u64).id));
        journal.close(Duration::from_secs(20)).unwrap();
        assert!(all.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let last = all.last().unwrap().0;
        for mark in 0..=last + 2 {
            let mut reader = Reader::after(&hops, mark).unwrap();
            let first = reader.next().unwrap().map(|(seq, _)| seq);
            assert_eq!(first, all.iter().map(|(seq, _)| *seq).find(|seq| *seq > mark), "behind {mark}");
        }
        let mut bounded = Reader::after(&hops, 10).unwrap();
        bounded.stop_behind(50);
        let mut count = 0;
        while bounded.next().unwrap().is_some() {
            count += 1;
        }
        assert_eq!((bounded.passed(), count), (50, all.iter().filter(|(seq, _)| (11..=50).contains(seq)).count()));
        bounded.stop_behind(u64::MAX);
        assert_eq!(bounded.next().unwrap().map(|(seq, _)| seq), all.iter().map(|(seq, _)| *seq).find(|seq| *seq > 50));
    }
}
