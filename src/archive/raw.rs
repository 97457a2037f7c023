//! The raw log: full addresses, User-Agents and device ids of clicks, for as long as an investigation needs them. Off unless
//! the operator turns it on; beside the hops, never in them; never exported; a file an hour, each for its owner alone,
//! deleted by age. Never waited for: what does not fit the queue is dropped and counted.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::purge::What;
use crate::clock::Clock;
use crate::domain::span::Span;
use crate::domain::time::Timestamp;

/// Clicks that may wait to be written.
const QUEUE: usize = 4_096;
/// How long a line may wait in memory.
const FLUSH: Duration = Duration::from_millis(500);
/// How often old files are looked for.
const EXPIRE: Duration = Duration::from_secs(60);
/// Microseconds of an hour.
const HOUR: i64 = 3_600_000_000;

/// What is kept of a click.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RawClick {
    /// The click, as visitors have it.
    pub click_id: String,
    /// When it was decided.
    pub at: Timestamp,
    /// The link.
    pub code: String,
    /// Its creator; empty when not known.
    pub creator: String,
    /// The full address.
    pub address: IpAddr,
    /// The User-Agent.
    pub agent: String,
    /// Device ids and their like among the click's parameters, by name.
    pub devices: Vec<(String, String)>,
}

/// What of a line a purge looks at.
#[derive(Deserialize)]
struct Line {
    at: Timestamp,
    code: String,
    creator: String,
}

/// Takes clicks from the workers.
pub struct RawLog {
    queue: Option<SyncSender<RawClick>>,
    dropped: Arc<AtomicU64>,
    failures: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl RawLog {
    /// One that takes nothing.
    pub fn off() -> Self {
        RawLog { queue: None, dropped: Arc::default(), failures: Arc::default(), thread: None }
    }

    /// One that writes to a folder and deletes what is older than `keep`.
    ///
    /// # Errors
    /// When the folder or the thread cannot be made.
    pub fn start(dir: PathBuf, keep: Span, clock: Clock) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let (queue, clicks) = sync_channel(QUEUE);
        let failures = Arc::new(AtomicU64::new(0));
        let mut keeper = Keeper { dir, keep, clock, file: None, failures: Arc::clone(&failures) };
        let thread = std::thread::Builder::new().name("raw-log".to_owned()).spawn(move || keeper.run(&clicks))?;
        Ok(RawLog { queue: Some(queue), dropped: Arc::default(), failures, thread: Some(thread) })
    }

    /// Whether anything is taken: one branch where it is not.
    pub fn is_on(&self) -> bool {
        self.queue.is_some()
    }

    /// Takes a click, or drops it where too many wait.
    pub fn take(&self, click: RawClick) {
        if let Some(queue) = &self.queue
            && queue.try_send(click).is_err()
        {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Clicks that were dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Lines that could not be written, and files that could not be deleted.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

impl Drop for RawLog {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // It ends when it has written what waited.
            drop(thread.join());
        }
    }
}

struct Keeper {
    dir: PathBuf,
    keep: Span,
    clock: Clock,
    /// The hour that is written, and its file.
    file: Option<(i64, io::BufWriter<File>)>,
    failures: Arc<AtomicU64>,
}

impl Keeper {
    fn run(&mut self, clicks: &Receiver<RawClick>) {
        let mut expired = None::<std::time::Instant>;
        loop {
            if expired.is_none_or(|at| at.elapsed() >= EXPIRE) {
                expired = Some(std::time::Instant::now());
                let before = self.clock.now().plus_micros(-self.keep.seconds().saturating_mul(1_000_000));
                self.count("old raw logs cannot be deleted", expire(&self.dir, before));
            }
            let ended = match clicks.recv_timeout(FLUSH) {
                Ok(click) => {
                    let written = self.write(&click);
                    self.count("the raw log cannot be written", written);
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            let flushed = self.file.as_mut().map_or(Ok(()), |(_, file)| file.flush());
            self.count("the raw log cannot be written", flushed);
            // A purge may have put another file in its place.
            self.file = None;
            if ended {
                return;
            }
        }
    }

    fn write(&mut self, click: &RawClick) -> io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt;
        let hour = click.at.micros().div_euclid(HOUR);
        if self.file.as_ref().is_none_or(|(open, _)| *open != hour) {
            let path = self.dir.join(name(hour));
            let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
            self.file = Some((hour, io::BufWriter::new(file)));
        }
        let Some((_, file)) = &mut self.file else { return Ok(()) };
        let mut line = serde_json::to_vec(click)?;
        line.push(b'\n');
        file.write_all(&line)
    }

    fn count(&self, what: &str, result: io::Result<()>) {
        if let Err(error) = result {
            // The first is told; all are counted.
            if self.failures.fetch_add(1, Ordering::Relaxed) == 0 {
                tracing::error!(dir = %self.dir.display(), %error, "{what}");
            }
        }
    }
}

/// The name of an hour's file, by UTC.
fn name(hour: i64) -> String {
    let begins = jiff::Timestamp::from_second(hour.saturating_mul(3_600)).unwrap_or_default();
    format!("raw-{}.ndjson", begins.strftime("%Y%m%dT%HZ"))
}

/// The files of a folder with the instants they begin at; a folder that is not there has none.
fn list(dir: &Path) -> io::Result<Vec<(Timestamp, PathBuf)>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let hour = path.file_name().and_then(|name| name.to_str()).and_then(|name| {
            let text = name.strip_prefix("raw-")?.strip_suffix("Z.ndjson")?;
            let (day, hour) = text.split_once('T')?;
            let (year, month, day) = (day.get(..4)?, day.get(4..6)?, day.get(6..)?);
            format!("{year}-{month}-{day}T{hour}:00:00Z").parse::<Timestamp>().ok()
        });
        found.extend(hour.map(|hour| (hour, path)));
    }
    found.sort();
    Ok(found)
}

/// Deletes files that hold nothing younger than `before`.
///
/// # Errors
/// Whatever the operating system says.
pub fn expire(dir: &Path, before: Timestamp) -> io::Result<()> {
    for (begins, path) in list(dir)? {
        if begins.plus_micros(HOUR) <= before {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Removes the lines of these hops, or only counts them. A file is written anew and then takes the old one's name.
///
/// # Errors
/// Whatever the operating system says.
pub fn forget(dir: &Path, what: &What, dry_run: bool) -> io::Result<u64> {
    let mut removed = 0;
    for (begins, path) in list(dir)? {
        if begins >= what.before {
            continue;
        }
        let mut kept = Vec::new();
        let mut meant = 0;
        for line in BufReader::new(File::open(&path)?).split(b'\n') {
            let line = line?;
            // A line nobody can read, as a kill leaves one, is older than its file's end and tells nobody's click: it goes.
            let keep = serde_json::from_slice::<Line>(&line)
                .is_ok_and(|line_of| !what.has(line_of.at, &line_of.creator, &line_of.code));
            if keep {
                kept.extend_from_slice(&line);
                kept.push(b'\n');
            } else {
                meant += 1;
            }
        }
        removed += meant;
        if dry_run || meant == 0 {
            continue;
        }
        if kept.is_empty() {
            fs::remove_file(&path)?;
        } else {
            use std::os::unix::fs::OpenOptionsExt;
            let part = path.with_extension("part");
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
            file.write_all(&kept)?;
            file.sync_all()?;
            fs::rename(&part, &path)?;
        }
    }
    Ok(removed)
}
