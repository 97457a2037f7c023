//! What opening a journal finds on disk, and what it may mend by itself.
//!
//! It mends what a crash leaves: a torn tail of the last segment is cut off, a torn header of the last segment (a crash
//! at rotation) is written anew. Damage anywhere else is refused with one clear error, for a log that skips silently
//! over damage proves nothing. Never deletes a file and never overwrites a valid record.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::chunk::OpenChunk;
use super::files::Files;
use super::scan::{Scan, Step};
use super::segment::{self, BadFrame, BadHeader, Cut, FORMAT, HEADER, Header, Kind};
use super::wire;

/// The mend of damage: no sequence number may be given out twice, for sinks tell chunks apart by them.
const MEND: &str = "restore the file from a copy, or move the whole folder aside and start under a new node name; \
                    nothing was changed";

/// Why a journal cannot be opened. Every message names the path and the mend.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the journal {} is in use by another process: stop that one, or give this one a folder of its own", .0.display())]
    Locked(PathBuf),
    /// The folder or a file in it cannot be used.
    #[error("cannot use {}: {source}; check that it exists, is a folder on a healthy disk, and belongs to this user", path.display())]
    Unusable {
        /// The folder or file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Damage that no crash explains.
    #[error("{} is damaged at byte {offset}: {found}; {MEND}", path.display())]
    Corrupt {
        /// The segment.
        path: PathBuf,
        /// Where the damage begins, in bytes.
        offset: u64,
        /// What stands there.
        found: String,
    },
    /// The folder belongs to another gateway.
    #[error("{} was written by node `{found}`, this is node `{wanted}`: set the node name to `{found}`, or use another folder", path.display())]
    WrongNode {
        /// The segment.
        path: PathBuf,
        /// The node in its header.
        found: String,
        /// The node of the configuration.
        wanted: String,
    },
    /// The node name cannot be stored.
    #[error("`{0}` cannot be a node name: use 1 to 64 bytes")]
    BadNode(String),
    /// Written by a newer build.
    #[error("{} has format {version}, this build reads up to {FORMAT}: use a newer hopgate, or another folder", path.display())]
    NewerFormat {
        /// The segment.
        path: PathBuf,
        /// Its version.
        version: u16,
    },
}

/// Where writing goes on.
#[derive(Debug)]
pub(super) struct Tail {
    /// First sequence number of the last segment.
    pub segment: u64,
    /// Its length in bytes; everything before is valid.
    pub len: u64,
    /// The next sequence number.
    pub next_seq: u64,
    /// The chunk at its end.
    pub chunk: OpenChunk,
    /// Bytes cut off.
    pub truncated: u64,
}

/// Checks the folder, mends what a crash leaves, and says where writing goes on; `None` for a new journal.
pub(super) fn recover(dir: &Path, node: &str, files: &dyn Files, now: i64) -> Result<Option<Tail>, OpenError> {
    let segments = segment::list(dir).map_err(|source| unusable(dir, source))?;
    for pair in segments.windows(2) {
        check_sealed(&pair[0].1, pair[0].0, pair[1].0, node)?;
    }
    let Some((first_seq, path)) = segments.last() else { return Ok(None) };
    let (mut scan, header) = Scan::open(path).map_err(|source| unusable(path, source))?;
    match header {
        Ok(header) => check_header(path, &header, *first_seq, node)?,
        Err(BadHeader::Newer(version)) => return Err(OpenError::NewerFormat { path: path.clone(), version }),
        Err(BadHeader::Torn) => return mend_header(path, *first_seq, node, &scan, files, now).map(Some),
    }
    let tail = read_tail(path, *first_seq, &mut scan)?;
    if tail.truncated > 0 {
        tracing::warn!(
            segment = %path.display(), offset = tail.len, bytes = tail.truncated,
            "the journal ended in a torn write, as after a crash; the torn bytes were cut off"
        );
    }
    let file = files.open(path).map_err(|source| unusable(path, source))?;
    if tail.truncated > 0 {
        file.truncate(tail.len).map_err(|source| unusable(path, source))?;
    }
    // What a killed process left in the page cache is made durable before anything is built on it.
    file.sync_data().map_err(|source| unusable(path, source))?;
    files.sync_dir(dir).map_err(|source| unusable(dir, source))?;
    Ok(Some(tail))
}

/// Reads the last segment to its end.
fn read_tail(path: &Path, first_seq: u64, scan: &mut Scan) -> Result<Tail, OpenError> {
    let mut chunk = OpenChunk::EMPTY;
    let mut next_seq = first_seq;
    loop {
        let offset = scan.offset();
        let bad = match scan.step().map_err(|source| unusable(path, source))? {
            Step::End => return Ok(Tail { segment: first_seq, len: offset, next_seq, chunk, truncated: 0 }),
            Step::Bad(bad) => bad,
            Step::Frame(frame) => {
                if frame.seq != next_seq {
                    let found = format!("record {} where {next_seq} should be", frame.seq);
                    return Err(corrupt(path, offset, found));
                }
                match frame.kind {
                    Kind::Hop => {
                        let (_, time) = wire::id_and_time(frame.body)
                            .ok_or_else(|| corrupt(path, offset, "a hop too short to be one".to_owned()))?;
                        chunk.add(frame.seq, frame.len, time, offset);
                    }
                    Kind::Cut => {
                        if Cut::decode(&frame) != chunk.cut() {
                            return Err(corrupt(path, offset, "a cut that does not fit its chunk".to_owned()));
                        }
                        chunk.close();
                    }
                }
                next_seq += 1;
                continue;
            }
        };
        if let BadFrame::Kind(_) = bad {
            return Err(corrupt(path, offset, format!("{bad}, as a newer hopgate may write")));
        }
        if let Some(valid) = scan.valid_behind(offset + 1, next_seq).map_err(|source| unusable(path, source))? {
            return Err(corrupt(path, offset, format!("{bad}, with a valid record behind it at byte {valid}")));
        }
        let len = scan.len().map_err(|source| unusable(path, source))?;
        return Ok(Tail { segment: first_seq, len: offset, next_seq, chunk, truncated: len - offset });
    }
}

/// A segment that has a successor: its header, and that its last record is the one before the successor's first.
fn check_sealed(path: &Path, first_seq: u64, next: u64, node: &str) -> Result<(), OpenError> {
    let (scan, header) = Scan::open(path).map_err(|source| unusable(path, source))?;
    match header {
        Ok(header) => check_header(path, &header, first_seq, node)?,
        Err(BadHeader::Newer(version)) => return Err(OpenError::NewerFormat { path: path.to_owned(), version }),
        Err(BadHeader::Torn) => return Err(corrupt(path, 0, "no whole header".to_owned())),
    }
    let len = scan.len().map_err(|source| unusable(path, source))?;
    match scan.cut_before(len).map_err(|source| unusable(path, source))? {
        Some((seq, _)) if seq.checked_add(1) == Some(next) => Ok(()),
        Some((seq, _)) => {
            Err(corrupt(path, len, format!("it ends with record {seq}, the next file begins with {next}")))
        }
        None => Err(corrupt(path, len, "it has a successor but does not end in a cut".to_owned())),
    }
}

fn check_header(path: &Path, header: &Header, first_seq: u64, node: &str) -> Result<(), OpenError> {
    if header.first_seq != first_seq {
        return Err(corrupt(
            path,
            16,
            format!("its header begins with record {}, its name says otherwise", header.first_seq),
        ));
    }
    if header.node != node {
        let (found, wanted) = (header.node.clone(), node.to_owned());
        return Err(OpenError::WrongNode { path: path.to_owned(), found, wanted });
    }
    Ok(())
}

/// The last segment has no whole header: a crash at rotation, unless records follow.
fn mend_header(
    path: &Path,
    first_seq: u64,
    node: &str,
    scan: &Scan,
    files: &dyn Files,
    now: i64,
) -> Result<Tail, OpenError> {
    if let Some(valid) = scan.valid_behind(0, first_seq).map_err(|source| unusable(path, source))? {
        return Err(corrupt(path, 0, format!("no whole header, with a valid record behind it at byte {valid}")));
    }
    let truncated = scan.len().map_err(|source| unusable(path, source))?;
    tracing::warn!(
        segment = %path.display(), bytes = truncated,
        "the last segment has a torn header and no record, as after a crash at rotation; its header was written anew"
    );
    let file = files.open(path).map_err(|source| unusable(path, source))?;
    file.truncate(0).map_err(|source| unusable(path, source))?;
    let header = Header { node: node.to_owned(), first_seq, created_at: now }.encode();
    match file.write_at(&header, 0) {
        Ok(HEADER) => {}
        Ok(_) => return Err(unusable(path, io::ErrorKind::StorageFull.into())),
        Err(source) => return Err(unusable(path, source)),
    }
    file.sync_data().map_err(|source| unusable(path, source))?;
    Ok(Tail { segment: first_seq, len: HEADER as u64, next_seq: first_seq, chunk: OpenChunk::EMPTY, truncated })
}

/// Takes the folder's lock; it is held as long as the file is open, and dies with the process.
pub(super) fn lock(dir: &Path) -> Result<fs::File, OpenError> {
    fs::create_dir_all(dir).map_err(|source| unusable(dir, source))?;
    let path = dir.join("journal.lock");
    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|source| unusable(&path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(OpenError::Locked(dir.to_owned())),
        Err(fs::TryLockError::Error(source)) => Err(unusable(&path, source)),
    }
}

pub(super) fn unusable(path: &Path, source: io::Error) -> OpenError {
    OpenError::Unusable { path: path.to_owned(), source }
}

fn corrupt(path: &Path, offset: u64, found: String) -> OpenError {
    OpenError::Corrupt { path: path.to_owned(), offset, found }
}
