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
    if let Some(found) = scan.torn_header(first_seq, true).map_err(|source| unusable(path, source))? {
        return Err(corrupt(path, 0, found));
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::faults::{cuts, fill, stored};
    use super::super::read::{Entry, Reader, verify};
    use super::super::wire::tests::sample;
    use super::super::{ChunkLimits, Journal, JournalConfig};
    use super::*;

    const LIMITS: ChunkLimits = ChunkLimits { hops: 4, bytes: 256 * 1024, age: Duration::from_secs(3600) };

    fn config(dir: &Path) -> JournalConfig {
        let mut config = JournalConfig::new(dir, "gw-1");
        config.chunk = LIMITS;
        config.deadline = Duration::from_secs(20);
        config
    }

    /// A journal of `hops` hops in a closed folder.
    fn written(hops: u64) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(config(dir.path())).unwrap();
        fill(&journal, 0..hops);
        journal.close(Duration::from_secs(20)).unwrap();
        dir
    }

    fn reopen(dir: &Path) -> Result<u64, OpenError> {
        let journal = Journal::open(config(dir))?;
        let truncated = journal.stats().truncated_at_open();
        journal.close(Duration::from_secs(20)).unwrap();
        Ok(truncated)
    }

    #[test]
    fn a_second_process_another_node_and_a_newer_format_are_refused_by_name() {
        let dir = written(3);
        let path = segment::path(dir.path(), 1);
        let held = Journal::open(config(dir.path())).unwrap();
        let refused = |error: OpenError, wanted: &[&str]| {
            let text = error.to_string();
            for word in wanted {
                assert!(text.contains(word), "{text}");
            }
        };
        refused(Journal::open(config(dir.path())).err().unwrap(), &["in use by another process"]);
        held.close(Duration::from_secs(20)).unwrap();

        let mut other = config(dir.path());
        other.node = "gw-2".to_owned();
        refused(Journal::open(other).err().unwrap(), &["gw-1", "gw-2", ".hop"]);
        let mut nameless = config(dir.path());
        nameless.node.clear();
        refused(Journal::open(nameless).err().unwrap(), &["1 to 64"]);

        let good = fs::read(&path).unwrap();
        let mut newer = good.clone();
        newer[8] = 2;
        fs::write(&path, &newer).unwrap();
        refused(reopen(dir.path()).unwrap_err(), &["format 2", ".hop", "newer hopgate"]);

        let a_file = dir.path().join("file");
        fs::write(&a_file, b"").unwrap();
        refused(reopen(&a_file).unwrap_err(), &["cannot use", "file"]);
        assert_eq!(fs::read(&path).unwrap(), newer);
    }

    #[test]
    fn a_torn_header_is_mended_and_records_behind_one_are_not_lost() {
        for left in [0, 3, 50, HEADER - 1] {
            let dir = written(3);
            let next = reopen(dir.path()).map(|_| stored(dir.path()).len()).unwrap();
            assert_eq!(next, 3);
            // As a crash at rotation leaves it: the old segment ends in a cut, the new one has begun.
            let header = Header { node: "gw-1".into(), first_seq: 5, created_at: 0 }.encode();
            fs::write(segment::path(dir.path(), 5), &header[..left]).unwrap();
            assert_eq!(stored(dir.path()), [0, 1, 2]);
            assert_eq!(reopen(dir.path()).unwrap(), left as u64);
            let journal = Journal::open(config(dir.path())).unwrap();
            fill(&journal, 3..6);
            drop(journal);
            assert_eq!(stored(dir.path()), [0, 1, 2, 3, 4, 5]);
        }
        let dir = written(3);
        let path = segment::path(dir.path(), 1);
        let mut bytes = fs::read(&path).unwrap();
        bytes[20] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let text = reopen(dir.path()).unwrap_err().to_string();
        assert!(text.contains("no whole header") && text.contains("byte 100"), "{text}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn a_missing_or_shortened_segment_in_the_middle_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let small = JournalConfig { segment_bytes: 2_000, ..config(dir.path()) };
        let journal = Journal::open(small).unwrap();
        for n in 0..60 {
            fill(&journal, n..n + 1);
        }
        journal.close(Duration::from_secs(20)).unwrap();
        let segments = segment::list(dir.path()).unwrap();
        assert!(segments.len() > 3);
        let middle = &segments[1].1;
        let bytes = fs::read(middle).unwrap();
        fs::remove_file(middle).unwrap();
        assert!(matches!(reopen(dir.path()), Err(OpenError::Corrupt { .. })));
        assert!(verify(dir.path()).is_err());
        fs::write(middle, &bytes[..bytes.len() - 5]).unwrap();
        assert!(matches!(reopen(dir.path()), Err(OpenError::Corrupt { .. })));
        assert!(verify(dir.path()).is_err());
        // A flip inside is left to `verify`: opening reads only the ends of finished segments.
        let mut flipped = bytes.clone();
        flipped[HEADER + 40] ^= 1;
        fs::write(middle, &flipped).unwrap();
        assert!(verify(dir.path()).is_err());
        fs::write(middle, &bytes).unwrap();
        assert_eq!(reopen(dir.path()).unwrap(), 0);
        // The oldest may go: that is retention.
        fs::remove_file(&segments[0].1).unwrap();
        assert_eq!(reopen(dir.path()).unwrap(), 0);
        verify(dir.path()).unwrap();
    }

    /// What can be read of a folder before the first error.
    fn readable(dir: &Path) -> (Vec<u64>, bool) {
        let mut reader = Reader::open(dir).unwrap();
        let mut found = Vec::new();
        loop {
            match reader.next() {
                Ok(Some(Entry::Hop(_, hop))) => {
                    let number = u64::from_be_bytes(hop.id.0[8..].try_into().unwrap());
                    // Every field, not just the id, is what was written.
                    assert_eq!(hop, sample(number));
                    found.push(number);
                }
                Ok(Some(Entry::Cut(_))) => {}
                Ok(None) => return (found, true),
                Err(_) => return (found, false),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn a_cut_end_loses_only_what_was_cut(hops in 1u64..12, left in 0usize..2_500, junk in proptest::collection::vec(any::<u8>(), 0..300)) {
            let dir = written(hops);
            let path = segment::path(dir.path(), 1);
            let chunks = cuts(dir.path());
            let bytes = fs::read(&path).unwrap();
            let left = left.min(bytes.len());
            // A torn header is cut short, not garbled: garbage there may read as a newer format, which is refused.
            let junk = if left < HEADER { Vec::new() } else { junk };
            // How many hops are whole in what is left.
            let mut torn = bytes[..left].to_vec();
            let mut whole = 0;
            let mut at = HEADER;
            while let Some(Ok(frame)) = torn.get(at..).map(segment::frame) {
                whole += u64::from(frame.kind == Kind::Hop);
                at += frame.len;
            }
            torn.extend_from_slice(&junk);
            fs::write(&path, &torn).unwrap();
            prop_assert_eq!(readable(dir.path()), ((0..whole).collect(), true));
            reopen(dir.path()).unwrap();
            prop_assert_eq!(stored(dir.path()), (0..whole).collect::<Vec<_>>());
            // Chunks that were cut keep their ids; the open one went on and was cut at closing.
            let again = cuts(dir.path());
            let kept = again.iter().zip(&chunks).take_while(|(a, b)| a == b).count();
            prop_assert!(kept + 1 >= again.len());
            prop_assert!(kept as u64 >= whole / 4);
            let journal = Journal::open(config(dir.path())).unwrap();
            fill(&journal, whole..whole + 3);
            drop(journal);
            prop_assert_eq!(stored(dir.path()), (0..whole + 3).collect::<Vec<_>>());
            verify(dir.path()).unwrap();
        }

        #[test]
        fn a_flipped_byte_is_refused_or_was_the_end(hops in 1u64..12, at in any::<proptest::sample::Index>(), flip in 1u8..) {
            let dir = written(hops);
            let path = segment::path(dir.path(), 1);
            let mut bytes = fs::read(&path).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            fs::write(&path, &bytes).unwrap();
            let (found, _) = readable(dir.path());
            prop_assert_eq!(&found, &(0..found.len() as u64).collect::<Vec<_>>());
            match reopen(dir.path()) {
                // Only the very last frame, the cut, can be taken for a torn write.
                Ok(truncated) => {
                    prop_assert!(truncated > 0 && at >= bytes.len() - segment::CUT_FRAME);
                    prop_assert_eq!(stored(dir.path()), (0..hops).collect::<Vec<_>>());
                }
                Err(error) => {
                    let text = error.to_string();
                    prop_assert!(text.contains(".hop"), "{}", text);
                    prop_assert_eq!(fs::read(&path).unwrap(), bytes);
                }
            }
        }
    }
}
