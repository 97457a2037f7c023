//! The segments that are finished: those with a successor. What archives them, and removes them, learns here what there is.
//! Never writes by itself, and never removes one.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::read::{Part, ReadError, Reader, corrupt, unreadable};
use super::scan::Scan;
use super::segment::{self, BadHeader, HEADER};
use super::{Journal, JournalConfig, OpenError};
use crate::domain::time::Timestamp;

/// A finished segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sealed {
    /// Its file.
    pub path: PathBuf,
    /// The gateway that wrote it.
    pub node: String,
    /// Its first record.
    pub first_seq: u64,
    /// Its last record, the end of its last chunk.
    pub last_seq: u64,
    /// The earliest instant of its hops.
    pub earliest: Timestamp,
    /// The latest instant of its hops.
    pub latest: Timestamp,
    /// Its bytes.
    pub bytes: u64,
    /// When it was last written, by the machine's clock.
    pub written: Timestamp,
}

/// The finished segments of a folder, in order, and the first record of the one that is being written.
///
/// # Errors
/// [`ReadError`] when one is not what it should be.
pub fn sealed(dir: &Path) -> Result<(Vec<Sealed>, Option<u64>), ReadError> {
    let segments = segment::list(dir).map_err(|source| unreadable(dir, source))?;
    let mut found = Vec::new();
    for pair in segments.windows(2) {
        let ((first_seq, path), next) = (&pair[0], pair[1].0);
        match look(path, *first_seq, next) {
            Ok(segment) => found.push(segment),
            // Removed since it was listed: then so were all before it.
            Err(ReadError::Unreadable { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => found.clear(),
            Err(error) => return Err(error),
        }
    }
    Ok((found, segments.last().map(|(first_seq, _)| *first_seq)))
}

fn look(path: &Path, first_seq: u64, next: u64) -> Result<Sealed, ReadError> {
    let fail = |source| unreadable(path, source);
    let (scan, header) = Scan::open(path).map_err(fail)?;
    let header = match header {
        Ok(header) if header.first_seq == first_seq => header,
        Ok(header) => return Err(corrupt(path, 16, format!("its header begins with record {}", header.first_seq))),
        Err(BadHeader::Newer(version)) => return Err(ReadError::NewerFormat { path: path.to_owned(), version }),
        Err(BadHeader::Torn) => return Err(corrupt(path, 0, "no whole header".to_owned())),
    };
    let metadata = std::fs::metadata(path).map_err(fail)?;
    let bytes = metadata.len();
    let Some((last_seq, cut)) = scan.cut_before(bytes).map_err(fail)?.filter(|(seq, _)| seq + 1 == next) else {
        let found = format!("it does not end in the cut before record {next}, with which its successor begins");
        return Err(corrupt(path, bytes, found));
    };
    let written = metadata.modified().map_err(fail)?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Ok(Sealed {
        path: path.to_owned(),
        node: header.node,
        first_seq,
        last_seq,
        earliest: Timestamp::from_micros(cut.segment_min),
        latest: Timestamp::from_micros(cut.segment_max),
        bytes,
        written: Timestamp::from_micros(i64::try_from(written.as_micros()).unwrap_or(i64::MAX)),
    })
}

/// Ends the segment that is being written, where no gateway does: it gets a successor, and is finished.
///
/// # Errors
/// [`OpenError`]; also when another process has the journal.
pub fn end_segment(config: JournalConfig) -> Result<(), OpenError> {
    let journal = Journal::open(JournalConfig { segment_age: Duration::from_millis(1), ..config })?;
    let (stats, begun) = (journal.stats(), Instant::now());
    let first = stats.segment();
    // A segment without hops is never ended: there is nothing to wait for.
    while stats.segment() == first && stats.last_seq() >= first && begun.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(2));
    }
    drop(journal);
    Ok(())
}

impl Sealed {
    /// Its records, from the first to the last.
    ///
    /// # Errors
    /// [`ReadError::Unreadable`].
    pub fn open(&self) -> Result<Reader, ReadError> {
        let part = Part { from: HEADER as u64, to: self.bytes, first_seq: self.first_seq, next_seq: self.last_seq + 1 };
        Reader::of_parts(&self.path, &[part], false)
    }
}

/// The node whose journal a folder holds; none where there is no segment yet.
///
/// # Errors
/// [`ReadError::Unreadable`].
pub fn node(dir: &Path) -> Result<Option<String>, ReadError> {
    let segments = match segment::list(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        segments => segments.map_err(|source| unreadable(dir, source))?,
    };
    for (_, path) in segments {
        match Scan::open(&path) {
            Ok((_, Ok(header))) => return Ok(Some(header.node)),
            // Removed since, or torn by a crash: the next one tells.
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(unreadable(&path, source)),
        }
    }
    Ok(None)
}

/// The first record there is a segment for.
///
/// # Errors
/// [`ReadError::Unreadable`].
pub fn begins(dir: &Path) -> Result<Option<u64>, ReadError> {
    match segment::list(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        segments => Ok(segments.map_err(|source| unreadable(dir, source))?.first().map(|(first_seq, _)| *first_seq)),
    }
}
