//! Reading a journal's folder in order, while a writer may be running.
//!
//! A reader sees at least what was written before it began. It ends quietly at the torn end of the last segment, where a
//! write may be under way, and stops with an error at damage anywhere else. A time filter leaves out whole segments and
//! chunks by what their cuts say, which is exact whatever the clocks did. A reader of a folder that came to the end can be
//! asked again: it goes on with what was written since. Never writes and never takes the lock.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use super::scan::{Scan, Step};
use super::segment::{self, BadFrame, BadHeader, Cut, HEADER, Header, Kind};
use super::wire::{self, WireError};
use crate::domain::click_id::ClickId;
use crate::domain::hop::Hop;
use crate::domain::time::Timestamp;

/// How far a hop's time may lie from the instant it is looked for at, in microseconds: 5 s.
const NEAR: i64 = 5_000_000;

/// Why reading stopped.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The operating system refused.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The folder or file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// Damage: records are missing or altered from here on.
    #[error("{} is damaged at byte {offset}: {found}; restore the file from a copy", path.display())]
    Corrupt {
        /// The segment.
        path: PathBuf,
        /// Where, in bytes.
        offset: u64,
        /// What stands there.
        found: String,
    },
    /// Written by a newer build.
    #[error("{} has format {version}: use a newer hopgate", path.display())]
    NewerFormat {
        /// The segment.
        path: PathBuf,
        /// Its version.
        version: u16,
    },
    /// A whole record this build cannot read.
    #[error("record {seq} in {}: {source}", path.display())]
    Record {
        /// The segment.
        path: PathBuf,
        /// The record.
        seq: u64,
        /// Why.
        source: WireError,
    },
    /// An archived file that is damaged, or not what its name says.
    #[error("{} is damaged: {found}; restore the file from a copy", path.display())]
    Archived {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        found: String,
    },
    /// Records that are kept nowhere any more.
    #[error("records {first} to {last} of node {node} are neither in the archive nor in the journal: restore the archived file that holds them to {}", folder.display())]
    Missing {
        /// The node.
        node: String,
        /// The first of them.
        first: u64,
        /// The last of them.
        last: u64,
        /// Where the file belongs.
        folder: PathBuf,
    },
    /// The export could not be written out.
    #[error("cannot write the export: {0}")]
    Output(#[source] io::Error),
}

/// One thing in the log.
#[expect(clippy::large_enum_variant, reason = "one lives at a time, and nearly every one is a hop")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry<'a> {
    /// A hop with its sequence number.
    Hop(u64, Hop<'a>),
    /// The end of a chunk.
    Cut(Cut),
}

/// A hop that owns its bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnedRecord {
    /// Its sequence number.
    pub seq: u64,
    schema: u8,
    body: Box<[u8]>,
}

impl OwnedRecord {
    /// The hop.
    ///
    /// # Errors
    /// [`WireError`] if this build cannot read it.
    pub fn hop(&self) -> Result<Hop<'_>, WireError> {
        wire::decode(self.schema, &self.body)
    }
}

/// A whole frame the reader stands behind; its body is the scan's.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) seq: u64,
    pub(super) schema: u8,
    pub(crate) cut: Option<Cut>,
}

/// A part of a segment that is to be read: where it begins and ends in the file, its first record and the first behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Part {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) first_seq: u64,
    pub(super) next_seq: u64,
}

/// Reads the entries of a folder in order.
pub struct Reader {
    /// The folder; none for a reader over parts.
    dir: Option<PathBuf>,
    segments: VecDeque<(u64, PathBuf)>,
    /// First number of the segment being read.
    current: u64,
    /// Only records behind this one, and none behind that one.
    after: u64,
    limit: u64,
    /// It came to the end; what is written since is looked for when it is asked again.
    ended: bool,
    from: Timestamp,
    to: Timestamp,
    path: PathBuf,
    scan: Option<Scan>,
    header: Option<Header>,
    parts: VecDeque<Part>,
    /// Where the part being read ends, and the number of the first record behind it.
    part_end: u64,
    part_next: u64,
    expected: u64,
    is_last: bool,
}

impl Reader {
    /// Everything in the folder.
    ///
    /// # Errors
    /// [`ReadError::Unreadable`].
    pub fn open(dir: &Path) -> Result<Reader, ReadError> {
        Self::between(dir, Timestamp::MIN, Timestamp::MAX)
    }

    /// The hops decided at or after `from` and before `to`, and the cuts of the chunks that may hold such.
    /// [`Timestamp::MAX`] leaves the end open.
    ///
    /// # Errors
    /// [`ReadError::Unreadable`].
    pub fn between(dir: &Path, from: Timestamp, to: Timestamp) -> Result<Reader, ReadError> {
        Self::within(dir, 0, from, to)
    }

    /// Both: the hops behind record `seq` of a period.
    ///
    /// # Errors
    /// [`ReadError::Unreadable`].
    pub fn within(dir: &Path, seq: u64, from: Timestamp, to: Timestamp) -> Result<Reader, ReadError> {
        let mut reader = Self::all_between(dir, from, to)?;
        while reader.segments.get(1).is_some_and(|(first_seq, _)| *first_seq <= seq.saturating_add(1)) {
            reader.segments.pop_front();
        }
        reader.after = seq;
        Ok(reader)
    }

    fn all_between(dir: &Path, from: Timestamp, to: Timestamp) -> Result<Reader, ReadError> {
        let segments = segment::list(dir).map_err(|source| unreadable(dir, source))?;
        Ok(Reader { dir: Some(dir.to_owned()), segments: segments.into(), from, to, ..Self::nothing(dir) })
    }

    /// The records behind number `seq`; 0 for all. Chunks that end before are not read.
    ///
    /// # Errors
    /// [`ReadError::Unreadable`].
    pub fn after(dir: &Path, seq: u64) -> Result<Reader, ReadError> {
        Self::within(dir, seq, Timestamp::MIN, Timestamp::MAX)
    }

    fn nothing(path: &Path) -> Reader {
        Reader {
            dir: None,
            segments: VecDeque::new(),
            current: 0,
            after: 0,
            limit: u64::MAX,
            ended: false,
            from: Timestamp::MIN,
            to: Timestamp::MAX,
            path: path.to_owned(),
            scan: None,
            header: None,
            parts: VecDeque::new(),
            part_end: 0,
            part_next: 0,
            expected: 0,
            is_last: false,
        }
    }

    /// Reads no record behind number `seq` until told otherwise: those may not be on disk yet.
    pub fn stop_behind(&mut self, seq: u64) {
        self.limit = seq;
    }

    /// The number of the last record that was passed, cuts included; 0 before the first.
    pub fn passed(&self) -> u64 {
        self.reached().max(self.after)
    }

    /// The same, but below the mark it began behind where the records end before that.
    pub fn reached(&self) -> u64 {
        self.expected.saturating_sub(1)
    }

    /// Some parts of one segment, every record of them. In the last segment the last part may end torn.
    pub(super) fn of_parts(path: &Path, parts: &[Part], is_last: bool) -> Result<Reader, ReadError> {
        let (scan, _) = Scan::open(path).map_err(|source| unreadable(path, source))?;
        Ok(Reader { scan: Some(scan), parts: parts.iter().copied().collect(), is_last, ..Self::nothing(path) })
    }

    /// Leaves the part that is being read, after damage in it; how many hops of it were not read, 0 when nobody can tell.
    /// Only for readers over parts.
    pub(super) fn skip_part(&mut self) -> u64 {
        self.part_end = 0;
        // The last record of a part is its cut.
        self.part_next.saturating_sub(self.expected + 1)
    }

    /// The body of the last frame.
    pub(crate) fn body(&self) -> &[u8] {
        self.scan.as_ref().map_or(&[], Scan::body)
    }

    /// The hop of a frame this reader has just stepped over.
    pub(crate) fn hop_at(&self, place: Place) -> Result<Hop<'_>, ReadError> {
        wire::decode(place.schema, self.body()).map_err(|source| ReadError::Record {
            path: self.path.clone(),
            seq: place.seq,
            source,
        })
    }

    /// The next entry, or `None` at the end.
    ///
    /// # Errors
    /// [`ReadError`]; reading does not go on after one.
    #[allow(clippy::should_implement_trait)] // Lends its window: an Iterator cannot.
    pub fn next(&mut self) -> Result<Option<Entry<'_>>, ReadError> {
        let Some(place) = self.advance()? else { return Ok(None) };
        if let Some(cut) = place.cut {
            return Ok(Some(Entry::Cut(cut)));
        }
        self.hop_at(place).map(|hop| Some(Entry::Hop(place.seq, hop)))
    }

    /// The header of the segment the last entry came from.
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    fn has(&self, time: i64) -> bool {
        time >= self.from.micros() && (time < self.to.micros() || self.to == Timestamp::MAX)
    }

    fn may_have(&self, min: i64, max: i64) -> bool {
        max >= self.from.micros() && (min < self.to.micros() || self.to == Timestamp::MAX)
    }

    /// Steps to the next frame that is asked for.
    pub(crate) fn advance(&mut self) -> Result<Option<Place>, ReadError> {
        if std::mem::take(&mut self.ended) {
            self.go_on()?;
        }
        loop {
            let Some(scan) = &mut self.scan else {
                if !self.enter()? {
                    self.ended = true;
                    return Ok(None);
                }
                continue;
            };
            if self.expected > self.limit {
                return Ok(None);
            }
            let offset = scan.offset();
            if offset >= self.part_end {
                match self.parts.pop_front() {
                    Some(part) => {
                        if part.from != offset {
                            scan.seek(part.from);
                        }
                        self.part_end = part.to;
                        self.part_next = part.next_seq;
                        self.expected = part.first_seq;
                    }
                    None => self.scan = None,
                }
                continue;
            }
            let (seq, kind, schema, cut) = match scan.step().map_err(|source| unreadable(&self.path, source))? {
                Step::Frame(frame) => (frame.seq, frame.kind, frame.schema, Cut::decode(&frame)),
                Step::End if self.is_last => {
                    self.ended = true;
                    return Ok(None);
                }
                Step::End => return Err(corrupt(&self.path, offset, "the file ends early".to_owned())),
                Step::Bad(bad) => {
                    if self.judge(offset, bad)? {
                        self.ended = true;
                        return Ok(None);
                    }
                    continue;
                }
            };
            if seq != self.expected {
                return Err(corrupt(&self.path, offset, format!("record {seq} where {} should be", self.expected)));
            }
            self.expected += 1;
            if seq <= self.after {
                continue;
            }
            match (kind, cut) {
                (Kind::Cut, Some(_)) => return Ok(Some(Place { seq, schema, cut })),
                (Kind::Cut, None) => {
                    return Err(corrupt(&self.path, offset, "a cut this build cannot read".to_owned()));
                }
                (Kind::Hop, _) => {
                    let time = self.scan.as_ref().and_then(|scan| wire::id_and_time(scan.body()));
                    // One too short to have a time is passed on, for its decoding to say so.
                    if time.is_none_or(|(_, time)| self.has(time)) {
                        return Ok(Some(Place { seq, schema, cut: None }));
                    }
                }
            }
        }
    }

    /// Looks for what was written since the end was met. A successor exists only when the segment before it is whole.
    fn go_on(&mut self) -> Result<(), ReadError> {
        let Some(dir) = &self.dir else { return Ok(()) };
        let segments = segment::list(dir).map_err(|source| unreadable(dir, source))?;
        self.segments = segments.into_iter().filter(|(first_seq, _)| *first_seq > self.current).collect();
        if let Some(scan) = &mut self.scan {
            scan.seek(scan.offset());
            self.is_last = self.segments.is_empty();
            if !self.is_last {
                self.part_end = scan.len().map_err(|source| unreadable(&self.path, source))?;
            }
        }
        Ok(())
    }

    /// No frame at `offset`: the torn end of the last segment, which is the end for now, or damage.
    fn judge(&mut self, offset: u64, bad: BadFrame) -> Result<bool, ReadError> {
        let Some(scan) = &mut self.scan else { return Ok(true) };
        if self.is_last && !matches!(bad, BadFrame::Kind(_)) {
            let behind =
                scan.valid_behind(offset + 1, self.expected).map_err(|source| unreadable(&self.path, source))?;
            if behind.is_none() {
                return Ok(true);
            }
            // A writer may have finished this very frame in between: then it is whole now, for it was written first.
            scan.seek(offset);
            if let Step::Frame(_) = scan.step().map_err(|source| unreadable(&self.path, source))? {
                scan.seek(offset);
                return Ok(false);
            }
        }
        Err(corrupt(&self.path, offset, bad.to_string()))
    }

    /// Opens the next segment that may hold something asked for; `false` when there is none.
    fn enter(&mut self) -> Result<bool, ReadError> {
        while let Some((first_seq, path)) = self.segments.pop_front() {
            let before = std::mem::replace(&mut self.path, path);
            self.is_last = self.segments.is_empty();
            let path = &self.path;
            let (mut scan, header) = Scan::open(path).map_err(|source| unreadable(path, source))?;
            let header = match header {
                Ok(header) => header,
                Err(BadHeader::Newer(version)) => return Err(ReadError::NewerFormat { path: path.clone(), version }),
                Err(BadHeader::Torn) => {
                    let found = scan.torn_header(first_seq, self.is_last).map_err(|source| unreadable(path, source))?;
                    return found.map_or(Ok(false), |found| Err(corrupt(path, 0, found)));
                }
            };
            if header.first_seq != first_seq {
                return Err(corrupt(path, 16, format!("its header begins with record {}", header.first_seq)));
            }
            if self.header.is_some() && self.expected != first_seq {
                let found = format!(
                    "it begins with record {first_seq} where {} should be, after {}",
                    self.expected,
                    before.display()
                );
                return Err(corrupt(path, HEADER as u64, found));
            }
            self.header = Some(header);
            self.current = first_seq;
            self.expected = first_seq;
            self.parts.clear();
            if self.after >= first_seq {
                return self.enter_behind(scan).map(|()| true);
            }
            let everything = self.from == Timestamp::MIN && self.to == Timestamp::MAX;
            if !self.is_last {
                let len = scan.len().map_err(|source| unreadable(path, source))?;
                let Some((seq, last)) = scan.cut_before(len).map_err(|source| unreadable(path, source))? else {
                    return Err(corrupt(path, len, "it has a successor but does not end in a cut".to_owned()));
                };
                if !everything {
                    if !self.may_have(last.segment_min, last.segment_max) {
                        self.expected = seq + 1;
                        continue;
                    }
                    if let Some(parts) = self.parts_of(&scan, len).map_err(|source| unreadable(&self.path, source))? {
                        self.parts = parts;
                        // The successor is looked at with the number behind the last cut, read or not.
                        self.parts.push_back(Part { from: len, to: len, first_seq: seq + 1, next_seq: seq + 1 });
                        self.part_end = 0;
                        scan.seek(HEADER as u64);
                        self.scan = Some(scan);
                        return Ok(true);
                    }
                }
                self.part_end = len;
            } else {
                self.part_end = u64::MAX;
            }
            self.scan = Some(scan);
            return Ok(true);
        }
        Ok(false)
    }

    /// Begins to read a segment at the chunk that holds the first record behind `after`, where its cuts lead there.
    fn enter_behind(&mut self, mut scan: Scan) -> Result<(), ReadError> {
        let from = |scan: &Scan| -> io::Result<(u64, Option<(u64, u64)>)> {
            let len = scan.len()?;
            // The chunk at the end of the segment being written has no cut yet.
            let whole = scan.cut_before(len)?.is_some();
            let (mut end, mut found) = (if whole { len } else { scan.last_cut(len)?.unwrap_or(len) }, None);
            while end > HEADER as u64 {
                let Some((seq, cut)) = scan.cut_before(end)?.filter(|(_, cut)| cut.offset < end) else { break };
                if seq <= self.after {
                    return Ok((len, Some(found.unwrap_or((end, seq + 1)))));
                }
                found = Some((cut.offset, cut.first_seq));
                end = cut.offset;
            }
            Ok((len, None))
        };
        let (len, found) = from(&scan).map_err(|source| unreadable(&self.path, source))?;
        if let Some((offset, seq)) = found {
            scan.seek(offset);
            self.expected = seq;
        }
        self.part_end = if self.is_last { u64::MAX } else { len };
        self.scan = Some(scan);
        Ok(())
    }

    /// The chunks of a finished segment that may hold something asked for, found by walking its cuts from the end.
    /// `None` when the cuts do not join up: then the segment is read in full, and says what is wrong.
    fn parts_of(&self, scan: &Scan, len: u64) -> io::Result<Option<VecDeque<Part>>> {
        let mut parts = VecDeque::new();
        let mut end = len;
        while end > HEADER as u64 {
            let Some((seq, cut)) = scan.cut_before(end)?.filter(|(_, cut)| cut.offset < end) else { return Ok(None) };
            if self.may_have(cut.min_time, cut.max_time) {
                parts.push_front(Part { from: cut.offset, to: end, first_seq: cut.first_seq, next_seq: seq + 1 });
            }
            end = cut.offset;
        }
        Ok((end == HEADER as u64).then_some(parts))
    }
}

/// What [`verify`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Verified {
    /// Hops read.
    pub hops: u64,
    /// Chunks that are cut.
    pub chunks: u64,
    /// Sequence number of the last record; 0 when there is none.
    pub last_seq: u64,
}

/// Reads every record of every segment.
///
/// # Errors
/// [`ReadError`] at the first damage.
pub fn verify(dir: &Path) -> Result<Verified, ReadError> {
    let mut reader = Reader::open(dir)?;
    let (mut verified, mut in_chunk) = (Verified::default(), 0);
    loop {
        let misfit = match reader.next()? {
            None => return Ok(verified),
            Some(Entry::Hop(seq, _)) => {
                (verified.hops, verified.last_seq, in_chunk) = (verified.hops + 1, seq, in_chunk + 1);
                None
            }
            Some(Entry::Cut(cut)) => {
                (verified.chunks, verified.last_seq) = (verified.chunks + 1, cut.last_seq + 1);
                (std::mem::take(&mut in_chunk) != cut.hops).then_some(cut)
            }
        };
        if let Some(cut) = misfit {
            let found = format!("the cut after record {} does not fit its chunk", cut.last_seq);
            return Err(corrupt(&reader.path, cut.offset, found));
        }
    }
}

/// The record of a click decided within 5 s of `near` (its id tells: [`ClickId::minted_at`]), if it is in the log.
/// Segments and chunks of other times are not read, except for the segment being written.
///
/// # Errors
/// [`ReadError`].
pub fn find(dir: &Path, id: ClickId, near: Timestamp) -> Result<Option<OwnedRecord>, ReadError> {
    let mut reader = Reader::between(dir, near.plus_micros(-NEAR), near.plus_micros(NEAR + 1))?;
    while let Some(place) = reader.advance()? {
        let body = reader.body();
        if place.cut.is_none() && wire::id_and_time(body).is_some_and(|(found, _)| found == id) {
            return Ok(Some(OwnedRecord { seq: place.seq, schema: place.schema, body: body.into() }));
        }
    }
    Ok(None)
}

pub(super) fn unreadable(path: &Path, source: io::Error) -> ReadError {
    ReadError::Unreadable { path: path.to_owned(), source }
}

pub(super) fn corrupt(path: &Path, offset: u64, found: String) -> ReadError {
    ReadError::Corrupt { path: path.to_owned(), offset, found }
}
