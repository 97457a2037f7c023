//! What a segment file looks like: its name, its header, its frames, and the cut that ends a chunk.
//!
//! ```text
//! file    {first_seq:020}.hop = header, frame, frame, …
//! header  magic 8 | version u16 | node length u8 | 5 zero | first_seq u64 | created-at i64 µs | node 64 | crc32c u32
//! frame   covered u32 | crc32c u32 | seq u64 | kind u8 | schema u8 | body      (the sum covers what follows it)
//! ```
//!
//! All numbers are little-endian. Sequence numbers are consecutive over all frames of a node, cuts included; a gap is
//! corruption. A segment that has a successor ends in a cut, and is on disk in full before its successor exists.
//! Never touches a file.

use std::path::{Path, PathBuf};

use super::wire::MAX_BODY;

/// Version of the layout above.
pub const FORMAT: u16 = 1;
/// First bytes of every segment.
const MAGIC: [u8; 8] = *b"hopjrnl\n";
/// Longest node name, in bytes.
pub const MAX_NODE: usize = 64;
/// Bytes of a header.
pub(super) const HEADER: usize = 100;
/// Bytes of a frame before its body.
pub(super) const HEAD: usize = 18;
/// Bytes of a frame that its length does not count: the length and the sum.
const UNCOVERED: usize = 8;
/// The longest frame.
pub(super) const MAX_FRAME: usize = HEAD + MAX_BODY;
/// Bytes of a cut's body, and of the whole frame.
const CUT_BODY: usize = 60;
pub(super) const CUT_FRAME: usize = HEAD + CUT_BODY;
/// Schema of a cut's body.
const CUT_SCHEMA: u8 = 1;

/// What a frame holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Kind {
    /// One hop.
    Hop = 0,
    /// The end of a chunk.
    Cut = 1,
}

/// The head of a segment file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// The gateway that wrote it.
    pub node: String,
    /// The sequence number of its first frame.
    pub first_seq: u64,
    /// When it was created by the node's wall clock, in microseconds. For people: nothing is decided by it.
    pub created_at: i64,
}

/// Why bytes are not a header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BadHeader {
    /// Cut short, or its sum does not fit.
    Torn,
    /// Ours, by a newer build.
    Newer(u16),
}

impl Header {
    /// The bytes on disk; a node name over 64 bytes is refused before it gets here.
    pub(super) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let node = &self.node.as_bytes()[..self.node.len().min(MAX_NODE)];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[10] = node.len() as u8;
        bytes[16..24].copy_from_slice(&self.first_seq.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.created_at.to_le_bytes());
        bytes[32..32 + node.len()].copy_from_slice(node);
        let sum = crc32c::crc32c(&bytes[..96]);
        bytes[96..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Header, BadHeader> {
        if bytes.len() < 10 || bytes[..8] != MAGIC {
            return Err(BadHeader::Torn);
        }
        let version = u16::from_le_bytes([bytes[8], bytes[9]]);
        let sum_fits = bytes.len() >= HEADER && crc32c::crc32c(&bytes[..96]) == u32_at(bytes, 96);
        if version > FORMAT {
            return Err(BadHeader::Newer(version));
        }
        let node_len = usize::from(*bytes.get(10).unwrap_or(&0));
        if !sum_fits || version == 0 || node_len > MAX_NODE {
            return Err(BadHeader::Torn);
        }
        let node = std::str::from_utf8(&bytes[32..32 + node_len]).map_err(|_| BadHeader::Torn)?;
        Ok(Header { node: node.to_owned(), first_seq: u64_at(bytes, 16), created_at: u64_at(bytes, 24) as i64 })
    }
}

/// A whole, checked frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub seq: u64,
    pub kind: Kind,
    pub schema: u8,
    pub body: &'a [u8],
    /// Bytes of the whole frame.
    pub len: usize,
}

/// Why bytes do not begin with a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BadFrame {
    /// They end inside it.
    Short,
    /// A length no frame has.
    Length(u32),
    /// The sum does not fit.
    Sum,
    /// Whole, but of a kind this build does not know.
    Kind(u8),
}

impl std::fmt::Display for BadFrame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BadFrame::Short => f.write_str("the frame is cut short"),
            BadFrame::Length(length) => write!(f, "a frame length of {length} bytes"),
            BadFrame::Sum => f.write_str("the checksum does not fit"),
            BadFrame::Kind(kind) => write!(f, "a frame of the unknown kind {kind}"),
        }
    }
}

/// Whether `bytes` may begin with a cut: rules out nearly every place without a sum.
pub(super) fn may_be_cut(bytes: &[u8]) -> bool {
    bytes.len() >= CUT_FRAME && u32_at(bytes, 0) as usize == CUT_FRAME - UNCOVERED && bytes[16] == Kind::Cut as u8
}

/// Whether `bytes` hold as much as the frame they begin with says it has.
pub(super) fn is_all_there(bytes: &[u8]) -> bool {
    bytes.len() >= HEAD && bytes.len() >= u32_at(bytes, 0) as usize + UNCOVERED
}

/// Reads the frame `bytes` begin with.
pub(super) fn frame(bytes: &[u8]) -> Result<Frame<'_>, BadFrame> {
    if bytes.len() < HEAD {
        return Err(BadFrame::Short);
    }
    let covered = u32_at(bytes, 0);
    let len = covered as usize + UNCOVERED;
    if !(HEAD..=MAX_FRAME).contains(&len) {
        return Err(BadFrame::Length(covered));
    }
    let whole = bytes.get(..len).ok_or(BadFrame::Short)?;
    if crc32c::crc32c(&whole[UNCOVERED..]) != u32_at(bytes, 4) {
        return Err(BadFrame::Sum);
    }
    let kind = match whole[16] {
        0 => Kind::Hop,
        1 => Kind::Cut,
        other => return Err(BadFrame::Kind(other)),
    };
    Ok(Frame { seq: u64_at(whole, 8), kind, schema: whole[17], body: &whole[HEAD..], len })
}

/// Appends a frame without number and sum, with the body `write` appends.
pub(super) fn open_frame(out: &mut Vec<u8>, kind: Kind, schema: u8, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    let mut head = [0; HEAD];
    head[16] = kind as u8;
    head[17] = schema;
    out.extend_from_slice(&head);
    write(out);
    let covered = (out.len() - start - UNCOVERED) as u32;
    out[start..start + 4].copy_from_slice(&covered.to_le_bytes());
}

/// The length of the unfinished frame `bytes` begin with; our own lane wrote it.
pub(super) fn open_frame_len(bytes: &[u8]) -> usize {
    u32_at(bytes, 0) as usize + UNCOVERED
}

/// Gives a frame its number and its sum.
pub(super) fn seal_frame(frame: &mut [u8], seq: u64) {
    frame[8..16].copy_from_slice(&seq.to_le_bytes());
    let sum = crc32c::crc32c(&frame[UNCOVERED..]);
    frame[4..8].copy_from_slice(&sum.to_le_bytes());
}

/// The end of a chunk. What lies between two cuts is one chunk, the unit of shipping; its id is
/// `(node, first_seq, last_seq)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cut {
    /// The first hop of the chunk.
    pub first_seq: u64,
    /// The last hop of the chunk; the cut itself has the number after.
    pub last_seq: u64,
    /// Hops in it.
    pub hops: u32,
    /// The earliest time in it, in microseconds.
    pub min_time: i64,
    /// The latest time in it, in microseconds.
    pub max_time: i64,
    /// Where its first frame begins in the file, in bytes: cuts can be walked from the last to the first.
    pub offset: u64,
    /// The earliest time in the segment up to here, in microseconds.
    pub segment_min: i64,
    /// The latest time in the segment up to here, in microseconds.
    pub segment_max: i64,
}

impl Cut {
    /// Appends the whole frame with its number.
    pub(super) fn encode(&self, seq: u64, out: &mut Vec<u8>) {
        let start = out.len();
        open_frame(out, Kind::Cut, CUT_SCHEMA, |out| {
            out.extend_from_slice(&self.first_seq.to_le_bytes());
            out.extend_from_slice(&self.last_seq.to_le_bytes());
            out.extend_from_slice(&self.hops.to_le_bytes());
            out.extend_from_slice(&self.min_time.to_le_bytes());
            out.extend_from_slice(&self.max_time.to_le_bytes());
            out.extend_from_slice(&self.offset.to_le_bytes());
            out.extend_from_slice(&self.segment_min.to_le_bytes());
            out.extend_from_slice(&self.segment_max.to_le_bytes());
        });
        seal_frame(&mut out[start..], seq);
    }

    pub(super) fn decode(frame: &Frame<'_>) -> Option<Cut> {
        let body = frame.body;
        if frame.kind != Kind::Cut || frame.schema != CUT_SCHEMA || body.len() != CUT_BODY {
            return None;
        }
        Some(Cut {
            first_seq: u64_at(body, 0),
            last_seq: u64_at(body, 8),
            hops: u32_at(body, 16),
            min_time: u64_at(body, 20) as i64,
            max_time: u64_at(body, 28) as i64,
            offset: u64_at(body, 36),
            segment_min: u64_at(body, 44) as i64,
            segment_max: u64_at(body, 52) as i64,
        })
    }
}

/// The path of the segment that begins with `first_seq`.
pub(super) fn path(dir: &Path, first_seq: u64) -> PathBuf {
    dir.join(format!("{first_seq:020}.hop"))
}

/// The segments of a folder by their names, in order. Other files are none of ours.
pub(super) fn list(dir: &Path) -> std::io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let number = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".hop"));
        if let Some(number) = number.filter(|digits| digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit()))
            && let Ok(first_seq) = number.parse()
        {
            found.push((first_seq, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Four bytes from `from`; callers have checked that they are there.
fn u32_at(bytes: &[u8], from: usize) -> u32 {
    let mut raw = [0; 4];
    raw.copy_from_slice(&bytes[from..from + 4]);
    u32::from_le_bytes(raw)
}

/// Eight bytes from `from`; callers have checked that they are there.
fn u64_at(bytes: &[u8], from: usize) -> u64 {
    let mut raw = [0; 8];
    raw.copy_from_slice(&bytes[from..from + 8]);
    u64::from_le_bytes(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_cuts_round_trip_and_have_not_drifted() {
        let header = Header { node: "gw-1".into(), first_seq: 7, created_at: -5 };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Ok(header));
        assert_eq!(
            &bytes[..40],
            b"hopjrnl\n\x01\0\x04\0\0\0\0\0\x07\0\0\0\0\0\0\0\xfb\xff\xff\xff\xff\xff\xff\xffgw-1\0\0\0\0"
        );
        assert_eq!(Header::decode(&bytes[..50]), Err(BadHeader::Torn));
        let mut newer = bytes;
        newer[8] = 9;
        assert_eq!(Header::decode(&newer), Err(BadHeader::Newer(9)));

        let cut = Cut {
            first_seq: 3,
            last_seq: 9,
            hops: 7,
            min_time: 1,
            max_time: 2,
            offset: 100,
            segment_min: -1,
            segment_max: 8,
        };
        let mut out = Vec::new();
        cut.encode(10, &mut out);
        assert_eq!(out.len(), CUT_FRAME);
        let read = frame(&out).unwrap();
        assert_eq!((read.seq, Cut::decode(&read)), (10, Some(cut)));
        // covered 70, sum, number 10, kind 1, schema 1
        assert_eq!((&out[..4], &out[8..18]), (&[70, 0, 0, 0][..], &[10, 0, 0, 0, 0, 0, 0, 0, 1, 1][..]));
    }

    #[test]
    fn every_flipped_bit_of_a_frame_is_noticed() {
        let mut out = Vec::new();
        open_frame(&mut out, Kind::Hop, 1, |out| out.extend_from_slice(b"body"));
        seal_frame(&mut out, 42);
        assert!(frame(&out).is_ok());
        for bit in 0..out.len() * 8 {
            let mut flipped = out.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(frame(&flipped).is_err(), "bit {bit}");
        }
        for len in 0..out.len() {
            assert!(frame(&out[..len]).is_err());
        }
    }
}
