//! Every recorded hop in the order of its number, wherever it is kept. May run beside the gateway that writes. Never takes a
//! lock, never leaves a hop out silently.

use super::Recorded;
use crate::domain::hop::Hop;
use crate::journal::read::{self, ReadError};

/// Reads hops in the order of their numbers. At the end it can be asked again: it goes on with what was written since.
pub struct Reader {
    journal: read::Reader,
}

impl Reader {
    /// The hops behind record `seq`; 0 for all.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn after(hops: &Recorded, seq: u64) -> Result<Reader, ReadError> {
        Ok(Reader { journal: read::Reader::after(hops.journal(), seq)? })
    }

    /// Reads no record behind number `seq` until told otherwise. Whoever keeps a mark of how far it read stops at
    /// `JournalStats::durable_seq`: a power cut may take back what lies behind.
    pub fn stop_behind(&mut self, seq: u64) {
        self.journal.stop_behind(seq);
    }

    /// The number of the last record that was passed: the mark to go on from. Ends of chunks have numbers too, so this may
    /// be more than the last hop's.
    pub fn passed(&self) -> u64 {
        self.journal.passed()
    }

    /// The next hop with its number, or `None` at the end.
    ///
    /// # Errors
    /// [`ReadError`]; reading does not go on after one.
    #[allow(clippy::should_implement_trait)] // Lends its window: an Iterator cannot.
    pub fn next(&mut self) -> Result<Option<(u64, Hop<'_>)>, ReadError> {
        loop {
            match self.journal.advance()? {
                None => return Ok(None),
                Some(place) if place.cut.is_some() => {}
                Some(place) => return self.journal.hop_at(place).map(|hop| Some((place.seq, hop))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::journal::faults::{fill, sample};
    use crate::journal::{ChunkLimits, Journal, JournalConfig};

    fn config(dir: &std::path::Path) -> JournalConfig {
        let mut config = JournalConfig::new(dir, "gw-1");
        config.segment_bytes = 4_000;
        config.chunk = ChunkLimits { hops: 7, ..ChunkLimits::default() };
        config.deadline = Duration::from_secs(20);
        config
    }

    #[test]
    fn a_reader_goes_on_where_it_ended_and_from_any_mark() {
        let folder = tempfile::tempdir().unwrap();
        let hops = Recorded::of(folder.path());
        let journal = Journal::open(config(hops.journal())).unwrap();
        let mut reader = Reader::after(&hops, 0).unwrap();
        let mut read = Vec::new();
        let mut take = |reader: &mut Reader| {
            while let Some((seq, hop)) = reader.next().unwrap() {
                read.push((seq, hop.id));
            }
            read.clone()
        };
        assert!(take(&mut reader).is_empty());
        for start in (0..200).step_by(4) {
            fill(&journal, start..start + 4);
            let read = take(&mut reader);
            assert_eq!(read.len() as u64, start + 4);
        }
        let all = take(&mut reader);
        assert!(all.iter().enumerate().all(|(n, (_, id))| *id == sample(n as u64).id));
        journal.close(Duration::from_secs(20)).unwrap();
        assert!(all.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let last = all.last().unwrap().0;
        for mark in 0..=last + 2 {
            let mut reader = Reader::after(&hops, mark).unwrap();
            let first = reader.next().unwrap().map(|(seq, _)| seq);
            assert_eq!(first, all.iter().map(|(seq, _)| *seq).find(|seq| *seq > mark), "behind {mark}");
        }
        let mut bounded = Reader::after(&hops, 10).unwrap();
        bounded.stop_behind(50);
        let mut count = 0;
        while bounded.next().unwrap().is_some() {
            count += 1;
        }
        assert_eq!((bounded.passed(), count), (50, all.iter().filter(|(seq, _)| (11..=50).contains(seq)).count()));
        bounded.stop_behind(u64::MAX);
        assert_eq!(bounded.next().unwrap().map(|(seq, _)| seq), all.iter().map(|(seq, _)| *seq).find(|seq| *seq > 50));
    }
}
