//! Hops written out for other programs: NDJSON, CSV or Parquet, by time, code and creator, from archive and journal alike.
//! Never writes a full address (there is none).

use std::io::{self, Write};

use super::Recorded;
use super::hops::Reader;
use super::schema::VERSION;
use super::write::Writer;
use crate::domain::click_id::ClickKey;
use crate::domain::hop::Hop;
use crate::domain::time::Timestamp;
use crate::journal::export::{ExportSummary, Format, Sink};
use crate::journal::read::ReadError;

/// The form of an export.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// A line a hop.
    Lines(Format),
    /// The columns of [`super::schema`].
    Parquet,
}

/// Which hops.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// Decided at or after this instant …
    pub from: Timestamp,
    /// … and before this one; [`Timestamp::MAX`] leaves the end open.
    pub to: Timestamp,
    /// Only of this link.
    pub code: Option<String>,
    /// Only of this creator.
    pub creator: Option<String>,
}

impl Wanted {
    fn has(&self, hop: &Hop<'_>) -> bool {
        self.code.as_ref().is_none_or(|code| code == hop.code)
            && self.creator.as_ref().is_none_or(|creator| creator == hop.creator)
    }
}

/// What was exported.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Exported {
    /// The hops.
    pub summary: ExportSummary,
    /// The first record there is; over 1 where older files were taken away.
    pub begins: Option<u64>,
}

enum Out<'a> {
    Lines(Sink<'a>),
    Parquet(Box<Writer<&'a mut (dyn Write + Send)>>),
}

/// Writes the hops that are wanted to `out`, in the order of their numbers.
///
/// # Errors
/// [`ReadError`]; lines that were read before it have been written out then.
pub fn export(
    hops: &Recorded,
    form: Form,
    wanted: &Wanted,
    key: &ClickKey,
    out: &mut (dyn Write + Send),
) -> Result<Exported, ReadError> {
    let output = |error: parquet::errors::ParquetError| ReadError::Output(io::Error::other(error));
    let mut reader = Reader::between(hops, wanted.from, wanted.to)?;
    let mut sink = match form {
        Form::Lines(format) => Out::Lines(Sink::new(format, out).map_err(ReadError::Output)?),
        Form::Parquet => {
            Out::Parquet(Box::new(Writer::new(out, vec![("schema", VERSION.to_string())]).map_err(output)?))
        }
    };
    let mut summary = ExportSummary::default();
    let mut write = || {
        while let Some((seq, hop)) = reader.next()? {
            if !wanted.has(&hop) {
                continue;
            }
            match &mut sink {
                Out::Lines(sink) => {
                    let click_id = key.text(hop.id);
                    // The external form is ASCII; a lossy reading of it cannot lose anything.
                    sink.put(seq, &hop, &String::from_utf8_lossy(&click_id)).map_err(ReadError::Output)?;
                }
                Out::Parquet(writer) => writer.put(seq, &hop, key).map_err(output)?,
            }
            summary.add(seq);
        }
        Ok(())
    };
    let written = write();
    let ended = match sink {
        // Flushed in any case: what was read before damage belongs to whoever asked.
        Out::Lines(sink) => sink.end().map_err(ReadError::Output),
        Out::Parquet(writer) => {
            writer.finish().map_err(output).and_then(|(out, _)| out.flush().map_err(ReadError::Output))
        }
    };
    written.and(ended).map(|()| Exported { summary, begins: reader.begins() })
}
