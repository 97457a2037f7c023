//! One finished segment of the journal into one file: written under another name, made durable, read back and compared hop
//! by hop, and only then given its name. Never touches the segment.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::files::{self, Archived, UNFINISHED};
use super::rows::Rows;
use super::schema::VERSION;
use super::write::Writer;
use crate::domain::click_id::ClickKey;
use crate::domain::hop::Hop;
use crate::journal::address;
use crate::journal::read::{Entry, ReadError};
use crate::journal::sealed::Sealed;

/// Why a segment could not be archived, or a file not be written anew. Nothing was removed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Something cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file cannot be written.
    #[error("cannot write {}: {source}; nothing was removed, and it is tried again", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// It was asked to end.
    #[error("ended before it was done; the next turn does it again")]
    Ended,
    /// What was written is not what was to be written.
    #[error("{} does not hold what {} does: {found}; nothing was removed", path.display(), wanted.display())]
    Differs {
        /// The file.
        path: PathBuf,
        /// What it was made from.
        wanted: PathBuf,
        /// The first difference.
        found: String,
    },
}

/// Asks long work to end. It can always be done again.
#[derive(Debug, Default)]
pub struct End(AtomicBool);

impl End {
    /// Asks.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn check(&self) -> Result<(), SealError> {
        if self.0.load(Ordering::Relaxed) { Err(SealError::Ended) } else { Ok(()) }
    }
}

/// A file that is being written under another name. Dropped before it is kept, it is gone.
pub(super) struct Unfinished {
    path: PathBuf,
    part: PathBuf,
    kept: bool,
}

impl Unfinished {
    pub(super) fn new(path: PathBuf) -> Self {
        let mut part = path.clone().into_os_string();
        part.push(UNFINISHED);
        Unfinished { path, part: part.into(), kept: false }
    }

    pub(super) fn part(&self) -> &Path {
        &self.part
    }

    pub(super) fn fail(&self, error: impl Into<io::Error>) -> SealError {
        SealError::Write { path: self.path.clone(), source: error.into() }
    }

    pub(super) fn create(&self) -> Result<BufWriter<File>, SealError> {
        use std::os::unix::fs::OpenOptionsExt;
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.part);
        Ok(BufWriter::with_capacity(1 << 20, file.map_err(|error| self.fail(error))?))
    }

    /// Makes what was written durable. It still has no name.
    pub(super) fn sync(&self, out: BufWriter<File>) -> Result<(), SealError> {
        let file = out.into_inner().map_err(|error| self.fail(error.into_error()))?;
        file.sync_all().map_err(|error| self.fail(error))
    }

    /// Gives it its name, in place of the file that has it, if one does.
    pub(super) fn keep(mut self) -> Result<(), SealError> {
        fs::rename(&self.part, &self.path).map_err(|error| self.fail(error))?;
        self.kept = true;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        files::sync(folder).map_err(|error| self.fail(error))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.kept {
            drop(fs::remove_file(&self.part));
        }
    }
}

/// What goes into a file beside its rows.
pub(super) fn told(node: &str, first_seq: u64, last_seq: u64) -> Vec<(&'static str, String)> {
    vec![
        ("schema", VERSION.to_string()),
        ("node", node.to_owned()),
        ("first_seq", first_seq.to_string()),
        ("last_seq", last_seq.to_string()),
    ]
}

/// Archives a segment; the bytes of its file. The same segment always gives the same bytes.
///
/// # Errors
/// [`SealError`]; then there is no file.
pub fn seal(segment: &Sealed, archive: &Path, key: &ClickKey, end: &End) -> Result<u64, SealError> {
    let path = archive.join(Archived::name(&segment.node, segment.first_seq, segment.last_seq));
    let unfinished = Unfinished::new(path.clone());
    let bad = |error: parquet::errors::ParquetError| unfinished.fail(io::Error::other(error));
    let out = unfinished.create()?;
    let mut writer = Writer::new(out, told(&segment.node, segment.first_seq, segment.last_seq)).map_err(bad)?;
    let mut reader = segment.open()?;
    while let Some(entry) = reader.next()? {
        if let Entry::Hop(seq, hop) = entry {
            writer.put(seq, &hop, key).map_err(bad)?;
            end.check()?;
        }
    }
    let (out, _) = writer.finish().map_err(bad)?;
    unfinished.sync(out)?;
    compare(segment, unfinished.part(), end)?;
    let bytes = fs::metadata(unfinished.part()).map_err(|error| unfinished.fail(error))?.len();
    unfinished.keep()?;
    Ok(bytes)
}

/// Reads a segment and its file side by side: every hop must be there and be the same, but for an address and a visitor
/// that were purged. How many there are.
///
/// # Errors
/// [`SealError::Differs`] with the first difference.
pub fn compare(segment: &Sealed, file: &Path, end: &End) -> Result<u64, SealError> {
    let differs =
        |found: String| Err(SealError::Differs { path: file.to_owned(), wanted: segment.path.clone(), found });
    let rows = Rows::open(file)?;
    let mut groups = rows.groups()?.into_iter();
    let mut group = None;
    let mut count = 0;
    let mut reader = segment.open()?;
    while let Some(entry) = reader.next()? {
        let Entry::Hop(seq, hop) = entry else { continue };
        let (found, same) = loop {
            if group.is_none() {
                let Some(next) = groups.next() else { return differs(format!("record {seq} is not there")) };
                group = Some(rows.read(next.place)?);
            }
            let Some(open) = &mut group else { continue };
            match open.step()? {
                Some((found, ..)) => break (found, found == seq && is_same(&hop, &open.hop()?)),
                None => group = None,
            }
        };
        if !same {
            return differs(format!("record {seq} of the segment is record {found} of the file, or another hop"));
        }
        count += 1;
        end.check()?;
    }
    if rows.count() != count {
        return differs(format!("{} rows where there are {count} hops", rows.count()));
    }
    Ok(count)
}

/// Whether an archived hop is the one that was recorded, whatever was purged of it.
fn is_same(recorded: &Hop<'_>, archived: &Hop<'_>) -> bool {
    let purged = archived.visitor == 0 && archived.address == [0; 8];
    let address = address::text(recorded.address).as_deref().and_then(address::read).unwrap_or_default();
    match purged {
        true => Hop { visitor: 0, address: [0; 8], ..*recorded } == *archived,
        false => Hop { address, ..*recorded } == *archived,
    }
}
