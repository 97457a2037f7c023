//! The links that were there when the gateway began: packed end to end in a few large pieces of memory, found over one table
//! of 8-byte entries. A look-up takes no lock and fetches two places of memory, the entry and the link, where a map of
//! pointers fetches four; a link costs neither an allocation nor a pointer.
//!
//! What is in here never changes. A link that is changed is taken out ([`Settled::forget`]) and lives in [`super::map`]
//! from then on; its bytes stay until the process ends, so that a catalog of which every link was changed since takes some two
//! and a half times its memory. Never decides which
//! of two revisions counts: whoever adds or forgets a code holds that code's guard in the map.

use std::hash::BuildHasher;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use foldhash::quality::RandomState;

use super::packed::Record;

/// Entries side by side, which come out of memory at once.
#[repr(align(64))]
#[derive(Default)]
struct Bucket([AtomicU64; SLOTS]);

const SLOTS: usize = 8;
/// Links per bucket, on the average: with five, one bucket in ten is full and sends others on to the next.
const PER_BUCKET: usize = 5;
/// So many buckets are looked through at most; a link that finds no room in them lives in the map.
const FAR: usize = 32;
/// An entry nothing was ever put into: a search ends here.
const FREE: u64 = 0;
/// An entry whose link was taken out: a search goes on. No link has it, as pieces count from 1.
const GONE: u64 = 1;
// An entry: 16 bits of the hash, the piece, counted from 1, and the place in it.
const TAG_SHIFT: u32 = 48;
const PIECE_SHIFT: u32 = 32;
/// More pieces are not taken.
const PIECES: usize = 4_096;
/// Bytes of the length in front of each link.
const LENGTH: usize = size_of::<u16>();
const _: () = assert!(PIECES < 1 << (TAG_SHIFT - PIECE_SHIFT));

/// Packed links on their way into a [`Settled`].
#[derive(Default)]
pub(super) struct Piece {
    bytes: Vec<u8>,
    starts: Vec<u32>,
}

impl Piece {
    /// Adds a link that `pack` packs behind the bytes it is given; `false`, with nothing done, for one that is too large.
    pub(super) fn add(&mut self, pack: impl FnOnce(&mut Vec<u8>)) -> bool {
        let before = self.bytes.len();
        let Ok(start) = u32::try_from(before) else { return false };
        self.bytes.extend([0; LENGTH]);
        pack(&mut self.bytes);
        let Ok(length) = u16::try_from(self.bytes.len() - before - LENGTH) else {
            self.bytes.truncate(before);
            return false;
        };
        self.bytes[before..before + LENGTH].copy_from_slice(&length.to_le_bytes());
        self.starts.push(start);
        true
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }
}

fn record(piece: &[u8], start: usize) -> Record<'_> {
    let (length, rest) = piece.get(start..).and_then(<[u8]>::split_first_chunk).unwrap_or((&[0; LENGTH], &[]));
    Record(rest.get(..usize::from(u16::from_le_bytes(*length))).unwrap_or_default())
}

/// See the module.
pub(super) struct Settled {
    hasher: RandomState,
    /// Made when it is known how many links there will be.
    buckets: OnceLock<Box<[Bucket]>>,
    pieces: Box<[OnceLock<Box<[u8]>>]>,
    taken: AtomicUsize,
    count: AtomicUsize,
    bytes: AtomicUsize,
}

impl Settled {
    pub(super) fn new() -> Self {
        Settled {
            hasher: RandomState::default(),
            buckets: OnceLock::new(),
            pieces: (0..PIECES).map(|_| OnceLock::new()).collect(),
            taken: AtomicUsize::new(0),
            count: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
        }
    }

    /// Makes room for so many links; only the first time.
    pub(super) fn expect(&self, links: usize) {
        self.buckets.get_or_init(|| (0..links.div_ceil(PER_BUCKET)).map(|_| Bucket::default()).collect());
    }

    /// Takes a piece in. Of each of its links in turn, `admit` says whether to add it by calling what it is given, which
    /// answers `false` when there is no room. What is not added is found as little as before.
    pub(super) fn take(&self, piece: Piece, mut admit: impl FnMut(Record<'_>, &dyn Fn() -> bool)) {
        let Piece { bytes, starts } = piece;
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        let Some(place) = self.pieces.get(number) else {
            return starts.iter().for_each(|start| admit(record(&bytes, *start as usize), &|| false));
        };
        let bytes = place.get_or_init(|| bytes.into_boxed_slice());
        self.bytes.fetch_add(bytes.len(), Ordering::Relaxed);
        for start in starts {
            let record = record(bytes, start as usize);
            let at = (number as u64 + 1) << PIECE_SHIFT | u64::from(start);
            admit(record, &|| self.add(record.code(), at));
        }
    }

    fn add(&self, code: u64, at: u64) -> bool {
        let Some((mut index, tag, buckets)) = self.search(code) else { return false };
        for _ in 0..buckets.len().min(FAR) {
            for entry in &buckets[index].0 {
                if entry.compare_exchange(FREE, tag | at, Ordering::Release, Ordering::Relaxed).is_ok() {
                    self.count.fetch_add(1, Ordering::Relaxed);
                    return true;
                }
            }
            index = next(index, buckets);
        }
        false
    }

    /// Where a code is looked for: the first bucket, the tag of its entry, and all buckets.
    #[inline]
    fn search(&self, code: u64) -> Option<(usize, u64, &[Bucket])> {
        let buckets = self.buckets.get().filter(|buckets| !buckets.is_empty())?;
        let hash = self.hasher.hash_one(code);
        // The high bits pick the bucket, the low ones are the tag.
        let index = ((u128::from(hash) * buckets.len() as u128) >> 64) as usize;
        Some((index, hash << TAG_SHIFT, buckets))
    }

    #[inline]
    fn find(&self, code: u64) -> Option<(&AtomicU64, Record<'_>)> {
        let (mut index, tag, buckets) = self.search(code)?;
        for _ in 0..buckets.len().min(FAR) {
            for entry in &buckets[index].0 {
                let held = entry.load(Ordering::Acquire);
                if held == FREE {
                    return None;
                }
                if held >> TAG_SHIFT == tag >> TAG_SHIFT && held != GONE {
                    let record = self.at(held);
                    if record.code() == code {
                        return Some((entry, record));
                    }
                }
            }
            index = next(index, buckets);
        }
        None
    }

    #[inline]
    fn at(&self, held: u64) -> Record<'_> {
        let number = usize::from((held >> PIECE_SHIFT) as u16).wrapping_sub(1);
        let piece = self.pieces.get(number).and_then(OnceLock::get);
        piece.map_or(Record(&[]), |piece| record(piece, held as u32 as usize))
    }

    /// The link of a code, if it is in here. No lock, no allocation.
    #[inline]
    pub(super) fn get(&self, code: u64) -> Option<Record<'_>> {
        self.find(code).map(|(_, record)| record)
    }

    /// Takes a link out, if it is in here, so that the map's counts.
    pub(super) fn forget(&self, code: u64) {
        if let Some((entry, _)) = self.find(code) {
            entry.store(GONE, Ordering::Release);
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Every link, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        let entries = self.buckets.get().into_iter().flat_map(|buckets| buckets.iter().flat_map(|bucket| &bucket.0));
        entries.map(|entry| entry.load(Ordering::Acquire)).filter(|held| *held > GONE).map(|held| self.at(held))
    }

    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// What it takes of memory, with what was taken out since.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed) + self.buckets.get().map_or(0, |buckets| size_of_val(&**buckets))
    }
}

fn next(index: usize, buckets: &[Bucket]) -> usize {
    if index + 1 == buckets.len() { 0 } else { index + 1 }
}
