//! The log cut into stretches that several threads can read side by side, and a reader of one that goes on behind damage.
//!
//! For an audit, which must name every damaged spot instead of stopping at the first, and for runs over many millions of
//! hops. Stretches are found by walking the cuts of each segment from its end; where they do not join up, the segment is
//! one stretch and read from its beginning. Never writes and never takes the lock.

use std::path::{Path, PathBuf};

use super::read::{Part, Place, ReadError, Reader, corrupt, unreadable};
use super::scan::Scan;
use super::segment::{self, BadHeader, Cut, HEADER};
use super::wire;
use crate::domain::hop::Hop;
use crate::domain::time::Timestamp;

/// A stretch is ended at the first chunk that brings it to this many bytes.
const SPAN_BYTES: u64 = 4 << 20;

/// A stretch of one segment.
#[derive(Debug)]
pub struct Span {
    path: PathBuf,
    parts: Vec<Part>,
    is_last: bool,
    bytes: u64,
    /// What is wrong with the segment's cuts, said unless reading the stretch meets the cause itself.
    unjoined: Option<(u64, &'static str)>,
}

impl Span {
    /// How much there is to read.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The segment's file name.
    pub fn segment(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// Begins to read it.
    ///
    /// # Errors
    /// [`ReadError::Unreadable`].
    pub fn open(&self) -> Result<SpanReader, ReadError> {
        let reader = Reader::of_parts(&self.path, &self.parts, self.is_last)?;
        let unjoined = self.unjoined.map(|(offset, what)| corrupt(&self.path, offset, what.to_owned()));
        Ok(SpanReader { reader, path: self.path.clone(), unjoined, chunk: Chunk::EMPTY })
    }
}

/// Everything that may hold a hop of a period.
#[derive(Debug, Default)]
pub struct Plan {
    /// Stretches in log order.
    pub spans: Vec<Span>,
    /// Damage that is seen before any record is read: missing segments, unreadable heads, time ranges that do not fit.
    pub damage: Vec<ReadError>,
    /// Bytes of all stretches.
    pub bytes: u64,
}

impl Plan {
    /// The stretches of a folder that may hold hops decided at or after `from` and before `to`; [`Timestamp::MAX`] leaves
    /// the end open. Readers give every hop of them: who asks for a period looks at each one's instant.
    ///
    /// # Errors
    /// [`ReadError::Unreadable`].
    pub fn of(dir: &Path, from: Timestamp, to: Timestamp) -> Result<Plan, ReadError> {
        let segments = segment::list(dir).map_err(|source| unreadable(dir, source))?;
        let mut plan = Plan::default();
        let asked = |min: i64, max: i64| max >= from.micros() && (min < to.micros() || to == Timestamp::MAX);
        let mut expected = None;
        for (place, (first_seq, path)) in segments.iter().enumerate() {
            let is_last = place + 1 == segments.len();
            if expected.is_some_and(|expected| expected != *first_seq) {
                let found = format!("it begins with record {first_seq} where {} should be", expected.unwrap_or(0));
                plan.damage.push(corrupt(path, HEADER as u64, found));
            }
            expected = plan.add(*first_seq, path, is_last, &asked).map_err(|source| unreadable(path, source))?;
        }
        plan.bytes = plan.spans.iter().map(Span::bytes).sum();
        Ok(plan)
    }

    /// Takes in one segment; the number its successor begins with, where that can be told.
    fn add(
        &mut self,
        first_seq: u64,
        path: &Path,
        is_last: bool,
        asked: &impl Fn(i64, i64) -> bool,
    ) -> std::io::Result<Option<u64>> {
        let (scan, header) = Scan::open(path)?;
        match header {
            Ok(header) if header.first_seq == first_seq => {}
            Ok(header) => {
                self.damage.push(corrupt(path, 16, format!("its header begins with record {}", header.first_seq)));
                return Ok(None);
            }
            Err(BadHeader::Newer(version)) => {
                self.damage.push(ReadError::NewerFormat { path: path.to_owned(), version });
                return Ok(None);
            }
            Err(BadHeader::Torn) => {
                if let Some(found) = scan.torn_header(first_seq, is_last)? {
                    self.damage.push(corrupt(path, 0, found));
                }
                return Ok(None);
            }
        }
        let len = scan.len()?;
        let whole = |to: u64, unjoined| Span {
            path: path.to_owned(),
            parts: vec![Part { from: HEADER as u64, to, first_seq, next_seq: 0 }],
            is_last,
            bytes: len.saturating_sub(HEADER as u64),
            unjoined,
        };
        let Some((last_seq, last)) = scan.cut_before(len)? else {
            let unjoined = (!is_last).then_some((len, "it has a successor but does not end in a cut"));
            self.spans.push(whole(if is_last { u64::MAX } else { len }, unjoined));
            return Ok(None);
        };
        if !is_last && !asked(last.segment_min, last.segment_max) {
            return Ok(Some(last_seq + 1));
        }
        match chunks(&scan, len, first_seq)? {
            Ok(chunks) => {
                self.ranges(path, &chunks);
                let mut parts: Vec<Part> =
                    chunks.iter().filter(|(_, cut)| asked(cut.min_time, cut.max_time)).map(|(part, _)| *part).collect();
                if is_last {
                    // What was written since: the writer may be at it.
                    parts.push(Part { from: len, to: u64::MAX, first_seq: last_seq + 1, next_seq: 0 });
                }
                self.group(path, is_last, &parts);
            }
            Err(offset) => {
                let unjoined = Some((offset, "a cut that does not lead to the one before it"));
                self.spans.push(whole(if is_last { u64::MAX } else { len }, unjoined));
            }
        }
        Ok(Some(last_seq + 1))
    }

    /// Checks what the cuts say of their whole segment: a filter by time trusts it.
    fn ranges(&mut self, path: &Path, chunks: &[(Part, Cut)]) {
        let (mut min, mut max) = (i64::MAX, i64::MIN);
        for (_, cut) in chunks {
            if (cut.segment_min, cut.segment_max) != (min.min(cut.min_time), max.max(cut.max_time)) {
                let found = format!("the cut after record {} misstates the times of its segment", cut.last_seq);
                self.damage.push(corrupt(path, cut.offset, found));
            }
            // Each builds on what the one before says: a wrong one is told once.
            (min, max) = (cut.segment_min, cut.segment_max);
        }
    }

    fn group(&mut self, path: &Path, is_last: bool, parts: &[Part]) {
        let size = |part: &Part| if part.to == u64::MAX { 0 } else { part.to - part.from };
        let mut rest = parts;
        while !rest.is_empty() {
            let (mut bytes, mut count) = (0, 0);
            while bytes < SPAN_BYTES && count < rest.len() {
                bytes += size(&rest[count]);
                count += 1;
            }
            let (parts, after) = rest.split_at(count);
            rest = after;
            self.spans.push(Span { path: path.to_owned(), parts: parts.to_vec(), is_last, bytes, unjoined: None });
        }
    }
}

/// The chunks of a segment that ends in a cut, in log order, or where its cuts do not join up.
fn chunks(scan: &Scan, len: u64, first_seq: u64) -> std::io::Result<Result<Vec<(Part, Cut)>, u64>> {
    let mut found = Vec::new();
    let (mut end, mut next) = (len, None);
    while end > HEADER as u64 {
        let cut = scan.cut_before(end)?.filter(|(seq, cut)| {
            cut.offset < end && *seq == cut.last_seq + 1 && next.is_none_or(|next| next == *seq + 1)
        });
        let Some((seq, cut)) = cut else { return Ok(Err(end)) };
        found.push((Part { from: cut.offset, to: end, first_seq: cut.first_seq, next_seq: seq + 1 }, cut));
        (end, next) = (cut.offset, Some(cut.first_seq));
    }
    if end != HEADER as u64 || next.is_some_and(|next| next != first_seq) {
        return Ok(Err(end));
    }
    found.reverse();
    Ok(Ok(found))
}

/// What is known of the chunk being read.
#[derive(Clone, Copy)]
struct Chunk {
    first_seq: u64,
    hops: u32,
    min_time: i64,
    max_time: i64,
}

impl Chunk {
    const EMPTY: Chunk = Chunk { first_seq: 0, hops: 0, min_time: i64::MAX, max_time: i64::MIN };

    fn add(&mut self, seq: u64, time: i64) {
        if self.hops == 0 {
            self.first_seq = seq;
        }
        self.hops += 1;
        self.min_time = self.min_time.min(time);
        self.max_time = self.max_time.max(time);
    }

    fn fits(&self, cut: &Cut) -> bool {
        (self.first_seq, self.hops, self.min_time, self.max_time)
            == (cut.first_seq, cut.hops, cut.min_time, cut.max_time)
            && cut.last_seq + 1 == cut.first_seq + u64::from(cut.hops)
    }
}

/// What a stretch holds.
#[expect(clippy::large_enum_variant, reason = "one lives at a time, and nearly every one is a hop")]
#[derive(Debug)]
pub enum Found<'a> {
    /// A hop with its sequence number.
    Hop(u64, Hop<'a>),
    /// The end of a chunk that fits what was read.
    ChunkEnd,
    /// Damage, and how many records behind it were left out; 0 when nobody can tell. Reading goes on behind it.
    Damage(ReadError, u64),
}

/// Reads one stretch: every record is checked, and every cut against its chunk.
pub struct SpanReader {
    reader: Reader,
    path: PathBuf,
    unjoined: Option<ReadError>,
    chunk: Chunk,
}

impl SpanReader {
    /// What comes next, or `None` at the end.
    #[allow(clippy::should_implement_trait)] // Lends its window: an Iterator cannot.
    pub fn next(&mut self) -> Option<Found<'_>> {
        match self.reader.advance() {
            Ok(None) => self.unjoined.take().map(|error| Found::Damage(error, 0)),
            Ok(Some(Place { cut: Some(cut), .. })) => {
                let chunk = std::mem::replace(&mut self.chunk, Chunk::EMPTY);
                if chunk.fits(&cut) {
                    return Some(Found::ChunkEnd);
                }
                let found = format!("the cut after record {} does not fit its chunk", cut.last_seq);
                Some(Found::Damage(corrupt(&self.path, cut.offset, found), 0))
            }
            Ok(Some(place)) => {
                if let Some((_, time)) = wire::id_and_time(self.reader.body()) {
                    self.chunk.add(place.seq, time);
                }
                match self.reader.hop_at(place) {
                    Ok(hop) => Some(Found::Hop(place.seq, hop)),
                    Err(error) => Some(Found::Damage(error, 1)),
                }
            }
            Err(error) => {
                // The cause, most likely.
                self.unjoined = None;
                self.chunk = Chunk::EMPTY;
                let missed = self.reader.skip_part();
                Some(Found::Damage(error, missed))
            }
        }
    }
}
