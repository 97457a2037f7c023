//! A disk that fills up, fails or stalls on request, and what the journal makes of it. Tests only.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::files::{Files, OsFiles, SegmentFile};
use super::read::{Entry, Reader, verify};
use super::shared::lock;
pub(crate) use super::wire::tests::sample;
use super::*;

/// What the disk is to do from now on.
#[derive(Default)]
struct Disk {
    /// Bytes there is still room for; `u64::MAX` is no limit.
    room: AtomicU64,
    write_fails: AtomicBool,
    sync_fails: AtomicBool,
    create_fails: AtomicBool,
    stalled: Mutex<bool>,
    bell: Condvar,
    syncs: AtomicU64,
}

impl Disk {
    fn new() -> Arc<Disk> {
        Arc::new(Disk { room: AtomicU64::new(u64::MAX), ..Disk::default() })
    }

    fn stall(&self, stalled: bool) {
        *lock(&self.stalled) = stalled;
        self.bell.notify_all();
    }
}

struct Faulty(Arc<Disk>);

struct FaultyFile(Arc<Disk>, Arc<dyn SegmentFile>);

impl Files for Faulty {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        if self.0.create_fails.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(Arc::new(FaultyFile(Arc::clone(&self.0), OsFiles.create(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        Ok(Arc::new(FaultyFile(Arc::clone(&self.0), OsFiles.open(path)?)))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        OsFiles.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        OsFiles.sync_dir(dir)
    }
}

impl SegmentFile for FaultyFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut stalled = lock(&self.0.stalled);
        while *stalled {
            stalled = self.0.bell.wait(stalled).unwrap();
        }
        drop(stalled);
        if self.0.write_fails.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(5));
        }
        let room = self.0.room.load(Ordering::SeqCst);
        if room == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let fits = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        if room != u64::MAX {
            self.0.room.store(room - fits as u64, Ordering::SeqCst);
        }
        self.1.write_at(&bytes[..fits], offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.syncs.fetch_add(1, Ordering::SeqCst);
        if self.0.sync_fails.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(5));
        }
        self.1.sync_data()
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.1.truncate(len)
    }
}

struct Bench {
    dir: tempfile::TempDir,
    disk: Arc<Disk>,
    journal: Journal,
}

impl Bench {
    fn new(change: impl FnOnce(&mut JournalConfig)) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let mut config = JournalConfig::new(dir.path(), "gw-1");
        config.retry_every = Duration::from_millis(2);
        // Patient by default, so that a slow test machine does not release waiters; the deadline has a test of its own.
        config.deadline = Duration::from_secs(20);
        change(&mut config);
        let disk = Disk::new();
        let journal = Journal::open_with(config, Arc::new(Faulty(Arc::clone(&disk)))).unwrap();
        Bench { dir, disk, journal }
    }

    fn stored(&self) -> Vec<u64> {
        stored(self.dir.path())
    }
}

/// The numbers in the ids of the stored hops, in log order.
pub(super) fn stored(dir: &Path) -> Vec<u64> {
    let mut reader = Reader::open(dir).unwrap();
    let mut found = Vec::new();
    while let Some(entry) = reader.next().unwrap() {
        if let Entry::Hop(_, hop) = entry {
            found.push(u64::from_be_bytes(hop.id.0[8..].try_into().unwrap()));
        }
    }
    found
}

/// Runs a worker with a lane and its pump, as the edge does.
fn worker<T>(lanes: &Lanes, work: impl AsyncFnOnce(&Lane) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let lane = lanes.lane();
        local.spawn_local(lane.pump());
        let result = work(&lane).await;
        lane.flush().await;
        result
    })
}

/// Appends samples through a lane of its own and waits for them.
pub(crate) fn fill(journal: &Journal, numbers: std::ops::Range<u64>) {
    worker(&journal.lanes(), async |lane| {
        let commits: Vec<_> = numbers.map(|n| lane.append(&sample(n))).collect();
        for commit in commits {
            assert_eq!(commit.await.durability, Durability::Kept);
        }
    });
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what} never came");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn every_mode_records_every_hop_of_every_lane_once_and_in_order() {
    for mode in Mode::ALL {
        let bench = Bench::new(|config| config.mode = *mode);
        std::thread::scope(|scope| {
            for part in 0..3u64 {
                let lanes = bench.journal.lanes();
                scope.spawn(move || {
                    worker(&lanes, async |lane| {
                        for round in 0..20u64 {
                            let commits: Vec<_> =
                                (0..60).map(|n| lane.append(&sample(part * 10_000 + round * 60 + n))).collect();
                            for commit in commits {
                                assert_eq!(commit.await.durability, Durability::Kept);
                            }
                        }
                    });
                });
            }
        });
        let (stats, dir) = (bench.journal.stats(), bench.dir);
        bench.journal.close(Duration::from_secs(20)).unwrap();
        let found = stored(dir.path());
        assert_eq!((found.len(), stats.appended_total()), (3_600, 3_600));
        for part in 0..3u64 {
            let own: Vec<u64> = found.iter().copied().filter(|n| n / 10_000 == part).collect();
            assert_eq!(own, (0..1_200).map(|n| part * 10_000 + n).collect::<Vec<_>>());
        }
        assert_eq!((stats.state(), stats.unsafe_total(), stats.lost_total()), (State::Closed, 0, 0));
        assert_eq!(stats.durable_lag_seconds(), 0.0);
        let verified = verify(dir.path()).unwrap();
        assert_eq!(verified.last_seq, stats.last_seq());
        assert_eq!(verified.last_seq, verified.hops + verified.chunks);
    }
}

#[test]
fn synced_syncs_before_it_answers() {
    let bench = Bench::new(|config| {
        config.mode = Mode::Synced;
        config.sync_every = Duration::from_secs(3600);
    });
    let disk = Arc::clone(&bench.disk);
    worker(&bench.journal.lanes(), async |lane| {
        for n in 0..5 {
            let before = disk.syncs.load(Ordering::SeqCst);
            lane.append(&sample(n)).await;
            assert!(disk.syncs.load(Ordering::SeqCst) > before);
        }
    });
}

#[test]
fn a_full_disk_keeps_the_batch_and_writes_it_once_there_is_room() {
    for room in [0, 1, 150, 1_000] {
        let bench = Bench::new(|_| {});
        let (stats, disk) = (bench.journal.stats(), Arc::clone(&bench.disk));
        worker(&bench.journal.lanes(), async |lane| {
            lane.append(&sample(0)).await;
            disk.room.store(room, Ordering::SeqCst);
            let commits: Vec<_> = (1..20).map(|n| lane.append(&sample(n))).collect();
            until("a full disk", || stats.state() == State::Full).await;
            // Another batch collects meanwhile.
            let more = lane.append(&sample(20));
            disk.room.store(u64::MAX, Ordering::SeqCst);
            for commit in commits {
                assert_eq!(commit.await.durability, Durability::Kept);
            }
            assert_eq!(more.await.durability, Durability::Kept);
        });
        assert_eq!((stats.state(), stats.lost_total()), (State::Ready, 0));
        assert_eq!(bench.stored(), (0..=20).collect::<Vec<_>>());
        verify(bench.dir.path()).unwrap();
    }
}

#[test]
fn a_disk_that_stays_full_ends_closing_at_its_deadline_and_leaves_whole_records() {
    let bench = Bench::new(|_| {});
    let (stats, disk, lanes) = (bench.journal.stats(), Arc::clone(&bench.disk), bench.journal.lanes());
    let journal = bench.journal;
    let waiting = worker(&lanes, async |lane| {
        lane.append(&sample(0)).await;
        disk.room.store(100, Ordering::SeqCst);
        let commit = lane.append(&sample(1));
        until("a full disk", || stats.state() == State::Full).await;
        let closing = std::thread::spawn(move || journal.close(Duration::from_millis(30)));
        assert_eq!(commit.await.durability, Durability::Unsafe);
        closing.join().unwrap()
    });
    assert_eq!(waiting, Err(CloseError::Late(Duration::from_millis(30))));
    assert_eq!((stats.lost_total(), stats.state()), (1, State::Closed));
    disk.room.store(u64::MAX, Ordering::SeqCst);
    let again = Journal::open(JournalConfig::new(bench.dir.path(), "gw-1")).unwrap();
    worker(&again.lanes(), async |lane| lane.append(&sample(2)).await);
    again.close(Duration::from_secs(20)).unwrap();
    assert_eq!(stored(bench.dir.path()), [0, 2]);
    verify(bench.dir.path()).unwrap();
}

#[test]
fn closing_ends_at_its_deadline_however_much_is_handed_over() {
    for full in [false, true] {
        let bench = Bench::new(|_| {});
        let (stats, disk, lanes) = (bench.journal.stats(), Arc::clone(&bench.disk), bench.journal.lanes());
        let journal = bench.journal;
        let (ended, appended) = worker(&lanes, async |lane| {
            lane.append(&sample(0)).await;
            if full {
                disk.room.store(100, Ordering::SeqCst);
            }
            let closing = std::thread::spawn(move || journal.close(Duration::from_millis(30)));
            let mut next = 1;
            while !closing.is_finished() {
                for _ in 0..3 {
                    drop(lane.append(&sample(next)));
                    next += 1;
                }
                tokio::task::yield_now().await;
            }
            (closing.join().unwrap(), next)
        });
        // A disk that is well may have had everything for a moment before the deadline.
        assert!(
            ended == Err(CloseError::Late(Duration::from_millis(30))) || !full && ended.is_ok(),
            "{full} {ended:?}"
        );
        assert_eq!((stats.state(), stats.appended_total() + stats.lost_total()), (State::Closed, appended));
        disk.room.store(u64::MAX, Ordering::SeqCst);
        // The folder is free, and holds what was said to be recorded.
        let again = Journal::open(JournalConfig::new(bench.dir.path(), "gw-1")).unwrap();
        again.close(Duration::from_secs(20)).unwrap();
        assert_eq!(stored(bench.dir.path()), (0..stats.appended_total()).collect::<Vec<_>>());
        verify(bench.dir.path()).unwrap();
    }
}

#[test]
fn a_failed_write_or_sync_is_final() {
    for (mode, sync) in [(Mode::Written, false), (Mode::Written, true), (Mode::Synced, true), (Mode::Queued, false)] {
        let bench = Bench::new(|config| {
            config.mode = mode;
            config.sync_every = Duration::from_millis(1);
        });
        let (stats, disk) = (bench.journal.stats(), Arc::clone(&bench.disk));
        worker(&bench.journal.lanes(), async |lane| {
            lane.append(&sample(0)).await;
            lane.flush().await;
            let fault = if sync { &disk.sync_fails } else { &disk.write_fails };
            fault.store(true, Ordering::SeqCst);
            let committed = lane.append(&sample(1)).await;
            until("failure", || stats.state() == State::Failed).await;
            if mode == Mode::Synced {
                assert_eq!(committed.durability, Durability::Unsafe);
            }
            // The disk is well again; the journal does not believe it.
            fault.store(false, Ordering::SeqCst);
            for n in 2..10 {
                assert_eq!(lane.append(&sample(n)).await.durability, Durability::Unsafe);
            }
        });
        assert!(stats.lost_total() >= 8 && stats.unsafe_total() >= 8);
        assert_eq!(bench.journal.close(Duration::from_secs(20)), Err(CloseError::Failed));
        assert_eq!(stats.state(), State::Failed);
        assert_eq!(stored(bench.dir.path()).first(), Some(&0));
    }
}

#[test]
fn a_stalled_disk_releases_waiters_as_unsafe_and_still_gets_the_records() {
    let bench = Bench::new(|config| config.deadline = Duration::from_millis(20));
    let (stats, disk) = (bench.journal.stats(), Arc::clone(&bench.disk));
    worker(&bench.journal.lanes(), async |lane| {
        disk.stall(true);
        let first = lane.append(&sample(0));
        tokio::task::yield_now().await;
        let begun = Instant::now();
        // Of the batch that is out, and of the one that collects behind it.
        let second = lane.append(&sample(1));
        assert_eq!(first.await.durability, Durability::Unsafe);
        assert_eq!(second.await.durability, Durability::Unsafe);
        assert!(begun.elapsed() >= Duration::from_millis(19), "released after {:?}", begun.elapsed());
        assert_eq!((stats.unsafe_total(), stats.lost_total()), (2, 0));
        disk.stall(false);
    });
    let dir = bench.dir;
    bench.journal.close(Duration::from_secs(20)).unwrap();
    assert_eq!(stored(dir.path()), [0, 1]);
    assert_eq!((stats.unsafe_total(), stats.appended_total()), (2, 2));
}

#[test]
fn a_full_backlog_loses_and_counts() {
    let bench = Bench::new(|config| config.backlog_bytes = 20_000);
    let (stats, disk) = (bench.journal.stats(), Arc::clone(&bench.disk));
    let kept = worker(&bench.journal.lanes(), async |lane| {
        disk.stall(true);
        let commits: Vec<_> = (0..1_000).map(|n| lane.append(&sample(n))).collect();
        disk.stall(false);
        let mut kept = 0;
        for commit in commits {
            kept += u64::from(commit.await.durability == Durability::Kept);
        }
        kept
    });
    assert!(kept > 50 && kept < 200, "{kept}");
    assert_eq!((stats.lost_total(), stats.unsafe_total()), (1_000 - kept, 1_000 - kept));
    assert_eq!(bench.stored(), (0..kept).collect::<Vec<_>>());
}

#[test]
fn dropped_commits_and_a_dropped_runtime_lose_nothing() {
    let bench = Bench::new(|_| {});
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let local = tokio::task::LocalSet::new();
    let lane = bench.journal.lane();
    local.spawn_local(lane.pump());
    local.block_on(&runtime, async {
        for n in 0..10 {
            let mut commit = Box::pin(lane.append(&sample(n)));
            // Polled once, so that it waits, and then given up.
            let pending =
                std::future::poll_fn(|cx| std::task::Poll::Ready(commit.as_mut().poll(cx).is_pending())).await;
            assert!(pending);
        }
    });
    drop(lane.append(&sample(10)));
    drop((local, runtime));
    drop(lane);
    let dir = bench.dir;
    bench.journal.close(Duration::from_secs(20)).unwrap();
    assert_eq!(stored(dir.path()), (0..=10).collect::<Vec<_>>());
}

#[test]
fn segments_follow_each_other_by_size_and_age_and_an_empty_one_does_not() {
    let bench = Bench::new(|config| config.segment_bytes = 8_000);
    let stats = bench.journal.stats();
    worker(&bench.journal.lanes(), async |lane| {
        for n in 0..500 {
            lane.append(&sample(n)).await;
        }
    });
    assert!(stats.segment() > 1);
    assert_eq!(bench.stored(), (0..500).collect::<Vec<_>>());
    verify(bench.dir.path()).unwrap();

    let bench = Bench::new(|config| config.segment_age = Duration::from_millis(5));
    let stats = bench.journal.stats();
    worker(&bench.journal.lanes(), async |lane| {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(stats.segment(), 1);
        lane.append(&sample(0)).await;
        until("rotation by age", || stats.segment() > 1).await;
    });
    // One hop and its cut; the new segment is empty and stays.
    assert_eq!(stats.segment(), 3);
}

#[test]
fn a_rotation_that_finds_no_room_is_put_off() {
    let bench = Bench::new(|config| config.segment_bytes = 4_000);
    bench.disk.create_fails.store(true, Ordering::SeqCst);
    worker(&bench.journal.lanes(), async |lane| {
        for n in 0..200 {
            assert_eq!(lane.append(&sample(n)).await.durability, Durability::Kept);
        }
    });
    assert_eq!(bench.journal.stats().segment(), 1);
    assert_eq!(bench.stored(), (0..200).collect::<Vec<_>>());
}

#[test]
fn chunks_are_cut_by_count_size_and_age() {
    let chunks = |limits: ChunkLimits, hops: u64| {
        let bench = Bench::new(|config| config.chunk = limits);
        worker(&bench.journal.lanes(), async |lane| {
            let commits: Vec<_> = (0..hops).map(|n| lane.append(&sample(n))).collect();
            for commit in commits {
                commit.await;
            }
        });
        let dir = bench.dir;
        bench.journal.close(Duration::from_secs(20)).unwrap();
        cuts(dir.path())
    };
    let long = Duration::from_secs(3600);
    let by_count = chunks(ChunkLimits { hops: 10, age: long, ..ChunkLimits::default() }, 25);
    assert_eq!(
        by_count.iter().map(|cut| (cut.first_seq, cut.last_seq, cut.hops)).collect::<Vec<_>>(),
        [(1, 10, 10), (12, 21, 10), (23, 27, 5)]
    );
    assert_eq!((by_count[1].min_time, by_count[1].max_time), (sample(10).at.micros(), sample(19).at.micros()));
    let by_size = chunks(ChunkLimits { bytes: 1_000, age: long, ..ChunkLimits::default() }, 25);
    assert!(by_size.len() >= 4 && by_size.iter().all(|cut| cut.hops <= 6));

    let bench = Bench::new(|config| config.chunk.age = Duration::from_millis(5));
    let stats = bench.journal.stats();
    worker(&bench.journal.lanes(), async |lane| {
        lane.append(&sample(0)).await;
        until("a cut without another hop", || stats.last_seq() == 2).await;
    });
    assert_eq!(cuts(bench.dir.path()).len(), 1);
}

pub(super) fn cuts(dir: &Path) -> Vec<Cut> {
    let mut reader = Reader::open(dir).unwrap();
    let mut found = Vec::new();
    while let Some(entry) = reader.next().unwrap() {
        if let Entry::Cut(cut) = entry {
            found.push(cut);
        }
    }
    found
}
