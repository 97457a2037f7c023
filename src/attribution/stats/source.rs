//! Where hops are read from: the one place that knows.

use std::path::Path;

use crate::archive::Recorded;
use crate::archive::hops::Reader;
use crate::domain::hop::Hop;
use crate::journal::read::ReadError;

/// Recorded hops, in the order of their numbers, from the archive where their segments are gone.
pub(super) struct Source(Reader);

impl Source {
    /// The hops of a data folder behind record `seq`; 0 for all. None behind `limit`: a power cut may take back what is not
    /// on disk yet.
    pub(super) fn after(data_dir: &Path, seq: u64, limit: u64) -> Result<Source, ReadError> {
        let mut reader = Reader::after(&Recorded::of(data_dir), seq)?;
        reader.stop_behind(limit);
        Ok(Source(reader))
    }

    /// The number of the last record that was passed, ends of chunks included.
    pub(super) fn passed(&self) -> u64 {
        self.0.reached()
    }

    /// Hands on at most `most` hops with their numbers; how many there were. Fewer than asked for: the end.
    pub(super) fn read(&mut self, most: usize, mut take: impl FnMut(u64, &Hop<'_>)) -> Result<usize, ReadError> {
        let mut read = 0;
        while read < most {
            let Some((seq, hop)) = self.0.next()? else { break };
            take(seq, &hop);
            read += 1;
        }
        Ok(read)
    }
}
