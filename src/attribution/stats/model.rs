//! For tests: hops written to a journal.

use std::path::Path;
use std::time::Duration;

use crate::domain::hop::Hop;
use crate::journal::{ChunkLimits, Journal, JournalConfig};

/// Adds hops to the journal of a data folder, as a gateway that starts, serves them and ends.
pub(crate) fn write_journal<'a>(data_dir: &Path, hops: impl IntoIterator<Item = Hop<'a>> + Send) {
    let mut config = JournalConfig::new(data_dir.join("journal"), "gw-1");
    config.deadline = Duration::from_secs(20);
    config.segment_bytes = 200_000;
    config.chunk = ChunkLimits { hops: 50, ..ChunkLimits::default() };
    let write = move || {
        let journal = Journal::open(config).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let local = tokio::task::LocalSet::new();
        let lane = journal.lane();
        local.spawn_local(lane.pump());
        local.block_on(&runtime, async {
            for (number, hop) in hops.into_iter().enumerate() {
                drop(lane.append(&hop));
                if number % 100 == 99 {
                    lane.flush().await;
                }
            }
            lane.flush().await;
        });
        drop((local, lane));
        journal.close(Duration::from_secs(20)).unwrap();
    };
    // A runtime of its own, whatever runs around it.
    std::thread::scope(|scope| scope.spawn(write).join().unwrap());
}
