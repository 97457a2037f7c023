//! Walks the frames of one segment file through a sliding window, and looks for valid frames behind a bad spot.
//!
//! Used by recovery, which decides what a bad spot means before writing begins, and by readers, which run while the
//! writer appends. Never writes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::segment::{self, BadFrame, BadHeader, CUT_FRAME, Cut, Frame, HEAD, HEADER, Header, MAX_FRAME};

/// Bytes read at once.
const WINDOW: usize = 256 * 1024;

/// How far back a cut is looked for.
const BACK: u64 = 1 << 20;

/// A segment file open for reading.
pub(super) struct Scan {
    file: File,
    window: Vec<u8>,
    /// Where in the window the next frame begins.
    at: usize,
    /// Where in the file that is.
    offset: u64,
    /// Where in the window the body of the last frame lies.
    body: std::ops::Range<usize>,
}

/// What stands at the current place.
pub(super) enum Step<'a> {
    /// A whole frame; the scan is now behind it.
    Frame(Frame<'a>),
    /// The end of the file.
    End,
    /// No frame; the scan stays.
    Bad(BadFrame),
}

impl Scan {
    /// Opens a file and reads its header; the scan then stands at its first frame.
    pub(super) fn open(path: &Path) -> io::Result<(Scan, Result<Header, BadHeader>)> {
        let file = File::open(path)?;
        let mut scan = Scan { file, window: Vec::new(), at: 0, offset: 0, body: 0..0 };
        scan.fill()?;
        let header = Header::decode(&scan.window);
        scan.seek(HEADER as u64);
        Ok((scan, header))
    }

    /// Where in the file the next frame begins.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The length of the file now.
    pub(super) fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Goes to a place in the file; what is there is read anew.
    pub(super) fn seek(&mut self, offset: u64) {
        self.window.clear();
        self.at = 0;
        self.offset = offset;
    }

    /// Reads on unless the window holds the frame here: near the end of a file not for every frame.
    fn fill(&mut self) -> io::Result<()> {
        let here = &self.window[self.at..];
        if here.len() >= MAX_FRAME || segment::is_all_there(here) {
            return Ok(());
        }
        self.window.drain(..self.at);
        self.at = 0;
        let mut have = self.window.len();
        self.window.resize(WINDOW, 0);
        while have < WINDOW {
            match self.file.read_at(&mut self.window[have..], self.offset + have as u64) {
                Ok(0) => break,
                Ok(read) => have += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.window.truncate(have);
        Ok(())
    }

    /// The frame here.
    pub(super) fn step(&mut self) -> io::Result<Step<'_>> {
        self.fill()?;
        let bytes = &self.window[self.at..];
        if bytes.is_empty() {
            return Ok(Step::End);
        }
        match segment::frame(bytes) {
            Ok(frame) => {
                self.body = self.at + HEAD..self.at + frame.len;
                self.at += frame.len;
                self.offset += frame.len as u64;
                Ok(Step::Frame(frame))
            }
            Err(bad) => Ok(Step::Bad(bad)),
        }
    }

    /// The body of the last frame; empty after a seek.
    pub(super) fn body(&self) -> &[u8] {
        self.window.get(self.body.clone()).unwrap_or_default()
    }

    /// Where a valid frame begins at or behind `from`, if any does: one with a whole sum and a number that can follow
    /// `expected` in a file of this length.
    pub(super) fn valid_behind(&self, from: u64, expected: u64) -> io::Result<Option<u64>> {
        let most = expected.saturating_add(self.len()? / HEAD as u64);
        let mut window = vec![0; WINDOW];
        let mut from = from;
        loop {
            let have = read_full(&self.file, &mut window, from)?;
            let last_turn = have < WINDOW;
            // Frames that begin in the last part are looked at in the next turn, when they are whole.
            let places = if last_turn { have.saturating_sub(HEAD - 1) } else { WINDOW - MAX_FRAME };
            for place in 0..places {
                let bytes = &window[place..have];
                let mut seq = [0; 8];
                seq.copy_from_slice(&bytes[8..16]);
                // The number is looked at first: it rules out nearly every place without a sum.
                if (expected..=most).contains(&u64::from_le_bytes(seq)) && segment::frame(bytes).is_ok() {
                    return Ok(Some(from + place as u64));
                }
            }
            if last_turn {
                return Ok(None);
            }
            from += places as u64;
        }
    }

    /// What is wrong with a file that has no whole header; nothing when it is the last one and holds no record: then a
    /// rotation is under way, or was cut short.
    pub(super) fn torn_header(&self, first_seq: u64, is_last: bool) -> io::Result<Option<String>> {
        if !is_last {
            return Ok(Some("no whole header".to_owned()));
        }
        let behind = self.valid_behind(0, first_seq)?;
        Ok(behind.map(|place| format!("no whole header, with a valid record behind it at byte {place}")))
    }

    /// Where the last cut before `end` ends, looked for about as far back as a chunk is long.
    pub(super) fn last_cut(&self, end: u64) -> io::Result<Option<u64>> {
        let from = end.saturating_sub(BACK).max(HEADER as u64);
        let mut window = vec![0; usize::try_from(end.saturating_sub(from)).unwrap_or(0)];
        let have = read_full(&self.file, &mut window, from)?;
        for place in (0..(have + 1).saturating_sub(CUT_FRAME)).rev() {
            let bytes = &window[place..have];
            if segment::may_be_cut(bytes) && segment::frame(bytes).is_ok_and(|frame| Cut::decode(&frame).is_some()) {
                return Ok(Some(from + (place + CUT_FRAME) as u64));
            }
        }
        Ok(None)
    }

    /// The cut that ends at `end`, if one does, with its number.
    pub(super) fn cut_before(&self, end: u64) -> io::Result<Option<(u64, Cut)>> {
        let Some(from) = end.checked_sub(CUT_FRAME as u64).filter(|from| *from >= HEADER as u64) else {
            return Ok(None);
        };
        let mut bytes = [0; CUT_FRAME];
        if read_full(&self.file, &mut bytes, from)? < CUT_FRAME {
            return Ok(None);
        }
        Ok(segment::frame(&bytes).ok().and_then(|frame| Some((frame.seq, Cut::decode(&frame)?))))
    }
}

/// Reads until the buffer is full or the file ends.
fn read_full(file: &File, buffer: &mut [u8], from: u64) -> io::Result<usize> {
    let mut have = 0;
    while have < buffer.len() {
        match file.read_at(&mut buffer[have..], from + have as u64) {
            Ok(0) => break,
            Ok(read) => have += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(have)
}
