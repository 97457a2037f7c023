//! The writer thread: numbers what the lanes handed over, sums it, writes it in one write, and tells the lanes.
//!
//! The only place that writes a segment after opening. Never answers a lane before its mode's promise holds, and never
//! writes on after an error it does not understand.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::chunk::OpenChunk;
use super::files::{Files, SegmentFile};
use super::recover::Tail;
use super::segment::{self, HEAD, HEADER, Header};
use super::shared::{Batch, LaneShared, Shared, Wake};
use super::stats::{self, State};
use super::{Mode, wire};

/// How long the writer rests after it has written several hops, but in mode `synced`, where the disk makes it wait. A write
/// costs two switches of threads however little it writes, so a busy lane's hops had better come more at a time (figures in
/// ARCHITECTURE.md). One that comes to an idle journal waits for nothing, one within a rest for the rest of it.
const REST: Duration = Duration::from_micros(200);
/// How long a failed rotation waits for its next try.
const ROTATE_AGAIN: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    shared: Arc<Shared>,
    files: Arc<dyn Files>,
    file: Arc<dyn SegmentFile>,
    /// Bytes of the segment that are valid; the next write goes here.
    len: u64,
    next_seq: u64,
    chunk: OpenChunk,
    chunk_since: Instant,
    segment_since: Instant,
    /// No rotation before this.
    rotate_after: Instant,
    /// The sync asked for before a rotation, so that the rotation itself has little left to sync.
    asked_sync: Option<u64>,
    /// A write was given up at closing time: numbers were given that are not on disk, so nothing more may follow.
    gave_up: bool,
    out: Vec<u8>,
    /// What is to be recorded now.
    batches: Vec<(Arc<LaneShared>, Batch)>,
    /// Empty batches for the next time; at most as many as there are lanes.
    spares: Vec<Batch>,
    /// Held while the thread lives.
    _lock: std::fs::File,
}

/// Microseconds since the Unix epoch, for segment headers.
pub(super) fn wall_clock_micros() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}

/// Creates a segment with its header. Neither is durable yet.
pub(super) fn create(shared: &Shared, files: &dyn Files, first_seq: u64) -> io::Result<Arc<dyn SegmentFile>> {
    let path = segment::path(&shared.config.dir, first_seq);
    let node = shared.config.node.clone();
    let header = Header { node, first_seq, created_at: wall_clock_micros() }.encode();
    let file = files.create(&path)?;
    match file.write_at(&header, 0) {
        Ok(HEADER) => {}
        Ok(_) => return Err(io::ErrorKind::StorageFull.into()),
        Err(error) => return Err(error),
    }
    Ok(file)
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        files: Arc<dyn Files>,
        file: Arc<dyn SegmentFile>,
        tail: &Tail,
        lock: std::fs::File,
    ) -> Self {
        let now = Instant::now();
        shared.set_current(Arc::clone(&file), true);
        shared.stats.segment.store(tail.segment, Ordering::Relaxed);
        shared.stats.last_seq.store(tail.next_seq.saturating_sub(1), Ordering::Release);
        shared.stats.durable_seq.store(tail.next_seq.saturating_sub(1), Ordering::Release);
        shared.stats.truncated_at_open.store(tail.truncated, Ordering::Relaxed);
        Writer {
            shared,
            files,
            file,
            len: tail.len,
            next_seq: tail.next_seq,
            chunk: tail.chunk,
            chunk_since: now,
            segment_since: now,
            rotate_after: now,
            asked_sync: None,
            gave_up: false,
            out: Vec::new(),
            batches: Vec::new(),
            spares: Vec::new(),
            _lock: lock,
        }
    }

    /// Runs until the journal is closed, then says whether all is written and synced.
    pub(super) fn run(mut self, closed: &SyncSender<bool>) {
        let mut lanes = Vec::new();
        loop {
            let timer = self.timer();
            match self.shared.wait(&mut lanes, timer) {
                Wake::Batches => {
                    if self.record(&mut lanes) > 1 && self.shared.config.mode != Mode::Synced {
                        self.shared.rest(REST);
                    }
                }
                Wake::Timer => {
                    let now = Instant::now();
                    self.out.clear();
                    if self.chunk.is_open() && now >= self.chunk_since + self.shared.config.chunk.age {
                        self.cut();
                        self.put();
                    }
                    self.rotate_if_due(now);
                }
                Wake::Close => break,
            }
        }
        let whole = self.finish();
        // The lock goes first: whoever is told may open the folder again.
        drop(self);
        // Nobody may be listening any more.
        let _ = closed.try_send(whole);
    }

    fn is_failed(&self) -> bool {
        self.shared.stats.state() == State::Failed
    }

    /// When something is to be done without a batch: the cut of the open chunk, or the rotation of an old segment.
    fn timer(&self) -> Option<Instant> {
        if self.is_failed() {
            return None;
        }
        let cut = self.chunk.is_open().then(|| self.chunk_since + self.shared.config.chunk.age);
        let rotation = (self.chunk.segment_hops() > 0)
            .then(|| (self.segment_since + self.shared.config.segment_age).max(self.rotate_after));
        cut.into_iter().chain(rotation).min()
    }

    /// Records what lanes have handed over; how many hops that were.
    fn record(&mut self, lanes: &mut Vec<Arc<LaneShared>>) -> u64 {
        for lane in lanes.drain(..) {
            let batch = lane.take(self.spares.pop().unwrap_or_else(Batch::new));
            self.batches.push((lane, batch));
        }
        let now = Instant::now();
        self.rotate_if_due(now);
        if self.is_failed() {
            return self.give_up(true);
        }
        self.out.clear();
        let limits = self.shared.config.chunk;
        if self.chunk.is_open() && now >= self.chunk_since + limits.age {
            self.cut();
        }
        let batches = std::mem::take(&mut self.batches);
        let mut hops = 0;
        for (_, batch) in &batches {
            hops += batch.hops;
            let mut rest = &batch.frames[..];
            while !rest.is_empty() {
                let (frame, after) = rest.split_at(segment::open_frame_len(rest));
                rest = after;
                if self.chunk.is_full_for(frame.len(), &limits) {
                    self.cut();
                }
                if !self.chunk.is_open() {
                    self.chunk_since = now;
                }
                let start = self.out.len();
                self.out.extend_from_slice(frame);
                segment::seal_frame(&mut self.out[start..], self.next_seq);
                let time = wire::id_and_time(&frame[HEAD..]).map_or(0, |(_, time)| time);
                self.chunk.add(self.next_seq, frame.len(), time, self.len + start as u64);
                self.next_seq += 1;
            }
        }
        self.batches = batches;
        if !self.put() {
            return self.give_up(true);
        }
        let stats = Arc::clone(&self.shared.stats);
        stats::add(&stats.appended_total, hops);
        stats::add(&stats.batches, 1);
        stats.written();
        if self.shared.config.mode == Mode::Synced
            && let Err(error) = self.shared.sync_now(&self.file, &*self.files)
        {
            self.shared.fail("fdatasync", &error);
            return self.give_up(false);
        }
        for (lane, mut batch) in self.batches.drain(..) {
            // The bytes first: whoever sees the ticket sees them too.
            lane.committed_bytes.fetch_add(batch.frames.len() as u64, Ordering::Relaxed);
            lane.committed.store(batch.upto, Ordering::SeqCst);
            lane.wake_if_asleep();
            batch.clear();
            self.spares.push(batch);
        }
        if self.out.capacity() > 4 * 1024 * 1024 {
            self.out = Vec::new();
        }
        hops
    }

    /// The journal has failed, or is to be closed and the disk is still full: lanes see that by its state. Answers what was
    /// recorded: nothing.
    fn give_up(&mut self, lost: bool) -> u64 {
        for (lane, batch) in self.batches.drain(..) {
            if lost {
                stats::add(&self.shared.stats.lost_total, batch.hops);
            }
            lane.wake();
        }
        0
    }

    /// Appends the cut of the open chunk, if any, to what is to be written.
    fn cut(&mut self) {
        if let Some(cut) = self.chunk.cut() {
            cut.encode(self.next_seq, &mut self.out);
            self.next_seq += 1;
            self.chunk.close();
        }
    }

    /// Writes what is to be written; on a full disk tries again until it fits. `false` when it was not written: the
    /// journal has failed, or the time for closing is over.
    fn put(&mut self) -> bool {
        if self.out.is_empty() {
            return !self.gave_up;
        }
        loop {
            if self.gave_up || self.is_failed() {
                return false;
            }
            match self.file.write_at(&self.out, self.len) {
                Ok(written) if written == self.out.len() => break,
                // A regular file takes less than asked only when there is no room for the rest.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {}
                Err(error) => {
                    self.shared.fail("write", &error);
                    return false;
                }
            }
            // Back to the last whole batch, so that a crash now leaves no half of one.
            if let Err(error) = self.file.truncate(self.len) {
                self.shared.fail("truncate", &error);
                return false;
            }
            if self.shared.stats.state() != State::Full && self.shared.stats.move_to(State::Full) {
                tracing::error!(dir = %self.shared.config.dir.display(), "the journal's disk is full: make room; records wait");
            }
            // A power cut would lose what waits.
            self.shared.stats.written();
            if !self.shared.wait_for_retry(Instant::now() + self.shared.config.retry_every) {
                self.gave_up = true;
                return false;
            }
        }
        self.len += self.out.len() as u64;
        stats::add(&self.shared.stats.appended_bytes, self.out.len() as u64);
        self.shared.stats.last_seq.store(self.next_seq - 1, Ordering::Release);
        if self.shared.stats.state() == State::Full && self.shared.stats.move_to(State::Ready) {
            tracing::warn!(dir = %self.shared.config.dir.display(), "the journal's disk has room again");
        }
        self.shared.mark_dirty();
        true
    }

    /// Begins a new segment when this one is big or old enough; one without hops never is. A big one is first synced by
    /// the sync thread, while writing goes on, so that the sync here is short.
    fn rotate_if_due(&mut self, now: Instant) {
        let config = &self.shared.config;
        let limit = config.segment_bytes;
        let (big, old) = (self.len >= limit, now >= self.segment_since + config.segment_age);
        if self.chunk.segment_hops() == 0 || !(big || old) || now < self.rotate_after || self.is_failed() {
            return;
        }
        if big && !old && config.mode != Mode::Synced && self.len < limit + limit / 8 {
            let asked = *self.asked_sync.get_or_insert_with(|| self.shared.ask_sync());
            if !self.shared.synced(asked) {
                return;
            }
        }
        self.rotate(now);
    }

    fn rotate(&mut self, now: Instant) {
        self.out.clear();
        self.cut();
        if !self.put() {
            return;
        }
        // A successor exists only when this segment is on disk in full: damage before the last segment is then never
        // the trace of a power cut.
        if let Err(error) = self.shared.sync_now(&self.file, &*self.files) {
            return self.shared.fail("fdatasync", &error);
        }
        match create(&self.shared, &*self.files, self.next_seq) {
            Ok(file) => {
                self.file = Arc::clone(&file);
                // The sync thread makes the header and the name durable; in mode `synced` the next batch does.
                self.shared.set_current(file, false);
                self.shared.stats.segment.store(self.next_seq, Ordering::Relaxed);
                self.len = HEADER as u64;
                self.chunk = OpenChunk::EMPTY;
                self.segment_since = now;
                self.asked_sync = None;
            }
            Err(error) => {
                let path: PathBuf = segment::path(&self.shared.config.dir, self.next_seq);
                tracing::warn!(segment = %path.display(), %error, "no new segment could be made; the old one goes on");
                self.rotate_after = now + ROTATE_AGAIN;
                // A file left behind would claim numbers that the old segment goes on to give.
                match self.files.remove(&path) {
                    Ok(()) => {}
                    Err(gone) if gone.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => self.shared.fail("remove", &error),
                }
            }
        }
    }

    /// The last hops, the last cut and the last sync; whether everything is on disk.
    fn finish(&mut self) -> bool {
        let mut last = self.shared.close_inbox();
        if !last.is_empty() {
            self.record(&mut last);
        }
        // Hops may be on their way still, of a lane that nobody serves.
        let idle = self.shared.lanes_are_idle();
        self.out.clear();
        self.cut();
        let mut whole = self.put();
        if whole && let Err(error) = self.shared.sync_now(&self.file, &*self.files) {
            self.shared.fail("fdatasync", &error);
            whole = false;
        }
        whole &= self.shared.stats.move_to(State::Closed) && idle;
        self.shared.end();
        whole
    }
}
