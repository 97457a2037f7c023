//! The open chunk, the open segment's time range, and when a cut is due.
//!
//! Rebuilt by recovery from the frames alone, so that chunk ids are the same after a crash as before it. Never reads a
//! clock and never writes.

use std::time::Duration;

use super::segment::Cut;

/// When a chunk is cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChunkLimits {
    /// At most this many hops. Default 1,000.
    pub hops: u32,
    /// At most this many bytes of frames. Default 256 KiB.
    pub bytes: u32,
    /// At most this long after its first hop reached the writer. Default 200 ms.
    pub age: Duration,
}

impl Default for ChunkLimits {
    fn default() -> Self {
        ChunkLimits { hops: 1_000, bytes: 256 * 1024, age: Duration::from_millis(200) }
    }
}

/// The chunk that is being filled, and what is known of its segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct OpenChunk {
    first_seq: u64,
    last_seq: u64,
    /// Hops in the chunk; 0 when none is open.
    hops: u32,
    bytes: u32,
    min_time: i64,
    max_time: i64,
    offset: u64,
    segment_min: i64,
    segment_max: i64,
    segment_hops: u64,
}

impl OpenChunk {
    /// The state at the start of a segment.
    pub(super) const EMPTY: OpenChunk = OpenChunk {
        first_seq: 0,
        last_seq: 0,
        hops: 0,
        bytes: 0,
        min_time: i64::MAX,
        max_time: i64::MIN,
        offset: 0,
        segment_min: i64::MAX,
        segment_max: i64::MIN,
        segment_hops: 0,
    };

    /// Whether hops wait for a cut.
    pub(super) fn is_open(&self) -> bool {
        self.hops > 0
    }

    /// Hops in the segment.
    pub(super) fn segment_hops(&self) -> u64 {
        self.segment_hops
    }

    /// Whether a frame of `len` bytes does not fit any more.
    pub(super) fn is_full_for(&self, len: usize, limits: &ChunkLimits) -> bool {
        self.hops > 0 && (self.hops >= limits.hops || self.bytes as usize + len > limits.bytes as usize)
    }

    /// Takes in a hop whose frame of `len` bytes begins at `offset` of the file.
    pub(super) fn add(&mut self, seq: u64, len: usize, time: i64, offset: u64) {
        if self.hops == 0 {
            self.first_seq = seq;
            self.offset = offset;
        }
        self.last_seq = seq;
        self.hops += 1;
        self.bytes = self.bytes.saturating_add(len as u32);
        self.min_time = self.min_time.min(time);
        self.max_time = self.max_time.max(time);
        self.segment_min = self.segment_min.min(time);
        self.segment_max = self.segment_max.max(time);
        self.segment_hops += 1;
    }

    /// The cut that ends the chunk now, or `None` when none is open.
    pub(super) fn cut(&self) -> Option<Cut> {
        (self.hops > 0).then_some(Cut {
            first_seq: self.first_seq,
            last_seq: self.last_seq,
            hops: self.hops,
            min_time: self.min_time,
            max_time: self.max_time,
            offset: self.offset,
            segment_min: self.segment_min,
            segment_max: self.segment_max,
        })
    }

    /// Closes the chunk; the segment goes on.
    pub(super) fn close(&mut self) {
        let Self { segment_min, segment_max, segment_hops, .. } = *self;
        *self = Self { segment_min, segment_max, segment_hops, ..Self::EMPTY };
    }
}
