//! Archive and journal cut into stretches that several threads can read side by side: row groups of files, then what
//! [`crate::journal::spans`] makes of the journal. No segment is removed while a plan is held. Never writes.

use std::fs::File;
use std::path::PathBuf;

use super::Recorded;
use super::files::{self, Archived};
use super::rows::{GroupReader, Rows};
use crate::domain::time::Timestamp;
use crate::journal::read::ReadError;
use crate::journal::sealed;
use crate::journal::spans::{self, Found};

/// A stretch of a segment, or a row group of an archived one.
#[derive(Debug)]
pub enum Span {
    /// In the journal.
    Journal(spans::Span),
    /// In the archive.
    Archive {
        /// The file.
        path: PathBuf,
        /// Its row group.
        place: usize,
        /// How much there is to read.
        bytes: u64,
    },
}

impl Span {
    /// How much there is to read.
    pub fn bytes(&self) -> u64 {
        match self {
            Span::Journal(span) => span.bytes(),
            Span::Archive { bytes, .. } => *bytes,
        }
    }

    /// The file's name.
    pub fn segment(&self) -> &str {
        match self {
            Span::Journal(span) => span.segment(),
            Span::Archive { path, .. } => path.file_name().and_then(|name| name.to_str()).unwrap_or_default(),
        }
    }

    /// Begins to read it.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn open(&self) -> Result<SpanReader, ReadError> {
        match self {
            Span::Journal(span) => span.open().map(SpanReader::Journal),
            Span::Archive { path, place, .. } => Ok(SpanReader::Archive(Rows::open(path)?.read(*place)?)),
        }
    }
}

/// Reads one stretch.
#[expect(clippy::large_enum_variant, reason = "one lives at a time a thread")]
pub enum SpanReader {
    /// In the journal: every record and every chunk is checked.
    Journal(spans::SpanReader),
    /// In the archive.
    Archive(GroupReader),
}

impl SpanReader {
    /// What comes next, or `None` at the end. Damage in the archive ends its row group.
    #[allow(clippy::should_implement_trait)] // Lends its window: an Iterator cannot.
    pub fn next(&mut self) -> Option<Found<'_>> {
        match self {
            SpanReader::Journal(reader) => reader.next(),
            SpanReader::Archive(group) => {
                let seq = match group.step() {
                    Ok(None) => return None,
                    Ok(Some((seq, ..))) => seq,
                    Err(error) => return Some(Found::Damage(error, group.give_up())),
                };
                match group.hop() {
                    Ok(hop) => Some(Found::Hop(seq, hop)),
                    Err(error) => Some(Found::Damage(error, 1)),
                }
            }
        }
    }
}

/// Everything that may hold a hop of a period.
#[derive(Debug, Default)]
pub struct Plan {
    /// Stretches in log order.
    pub spans: Vec<Span>,
    /// Damage that is seen before any record is read.
    pub damage: Vec<ReadError>,
    /// Bytes of all stretches.
    pub bytes: u64,
    /// Held, so that no segment goes meanwhile.
    _held: Option<File>,
}

impl Plan {
    /// The stretches that may hold hops decided at or after `from` and before `to`; [`Timestamp::MAX`] leaves the end open.
    /// Readers give every hop of them: who asks for a period looks at each one's instant.
    ///
    /// # Errors
    /// [`ReadError`] when a folder cannot be looked into at all.
    pub fn of(hops: &Recorded, from: Timestamp, to: Timestamp) -> Result<Plan, ReadError> {
        let held = hops.hold_segments();
        let first = sealed::begins(hops.journal())?;
        let node = sealed::node(hops.journal())?;
        let mut plan = Plan { _held: held, ..Plan::default() };
        let asked = |earliest: Timestamp, latest: Timestamp| latest >= from && (earliest < to || to == Timestamp::MAX);
        let mut expected = None;
        for file in files::list(hops.archive())? {
            let ours = node.as_ref().is_none_or(|node| *node == file.node);
            if ours && first.is_some_and(|first| file.first_seq >= first) {
                continue;
            }
            if ours {
                plan.join(hops, &file.node, expected, file.first_seq);
                expected = Some(file.last_seq + 1);
            }
            if let Err(error) = plan.add(&file, &asked) {
                plan.damage.push(error);
            }
        }
        if let (Some(first), Some(node)) = (first, &node) {
            plan.join(hops, node, expected, first);
        }
        if first.is_some() || plan.spans.is_empty() {
            let journal = spans::Plan::of(hops.journal(), from, to)?;
            plan.spans.extend(journal.spans.into_iter().map(Span::Journal));
            plan.damage.extend(journal.damage);
        }
        plan.bytes = plan.spans.iter().map(Span::bytes).sum();
        Ok(plan)
    }

    /// Says so where records are missing between two stretches.
    fn join(&mut self, hops: &Recorded, node: &str, expected: Option<u64>, first_seq: u64) {
        if let Some(first) = expected.filter(|expected| *expected < first_seq) {
            let (node, folder) = (node.to_owned(), hops.archive().to_owned());
            self.damage.push(ReadError::Missing { node, first, last: first_seq - 1, folder });
        }
    }

    fn add(&mut self, file: &Archived, asked: &impl Fn(Timestamp, Timestamp) -> bool) -> Result<(), ReadError> {
        for group in Rows::open(&file.path)?.groups()? {
            if asked(group.earliest, group.latest) {
                self.spans.push(Span::Archive { path: file.path.clone(), place: group.place, bytes: group.bytes });
            }
        }
        Ok(())
    }
}
