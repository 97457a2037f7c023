//! Where hops are read from: the one place that knows.

use std::path::Path;

use crate::domain::hop::Hop;
use crate::journal::read::{Entry, ReadError, Reader};

/// Recorded hops, in the order of their numbers.
pub(super) struct Source {
    reader: Reader,
    after: u64,
    passed: u64,
    limit: u64,
}

impl Source {
    /// The hops of a data folder behind record `seq`; 0 for all. None behind `limit`: a power cut may take back what is not
    /// on disk yet.
    pub(super) fn after(data_dir: &Path, seq: u64, limit: u64) -> Result<Source, ReadError> {
        let reader = Reader::open(&data_dir.join("journal"))?;
        Ok(Source { reader, after: seq, passed: 0, limit })
    }

    /// The number of the last record that was passed, ends of chunks included; 0 before the first.
    pub(super) fn passed(&self) -> u64 {
        self.passed
    }

    /// Hands on at most `most` hops with their numbers; how many there were. Fewer than asked for: the end.
    pub(super) fn read(&mut self, most: usize, mut take: impl FnMut(u64, &Hop<'_>)) -> Result<usize, ReadError> {
        let mut read = 0;
        while read < most && self.passed < self.limit {
            match self.reader.next()? {
                None => break,
                Some(Entry::Cut(cut)) => self.passed = cut.last_seq + 1,
                Some(Entry::Hop(seq, hop)) => {
                    if seq > self.limit {
                        break;
                    }
                    self.passed = seq;
                    if seq > self.after {
                        take(seq, &hop);
                        read += 1;
                    }
                }
            }
        }
        Ok(read)
    }
}
