//! How far a long run is, on a terminal: one line on standard error, drawn over and wiped at the end. Elsewhere nothing.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::audit::sweep::Progress;

/// Between two drawings.
const EVERY: Duration = Duration::from_millis(200);
/// Characters of the bar.
const WIDTH: usize = 30;

/// Does `work` while its progress is shown, and says how long it took.
pub fn shown<R: Send>(what: &str, progress: &Progress, work: impl FnOnce() -> R + Send) -> (R, Duration) {
    let begun = Instant::now();
    if !std::io::stderr().is_terminal() {
        return (work(), begun.elapsed());
    }
    let done = AtomicBool::new(false);
    let result = std::thread::scope(|scope| {
        let drawing = scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                draw(&line(what, progress, begun.elapsed()));
                std::thread::park_timeout(EVERY);
            }
            draw("\x1b[K");
        });
        let result = work();
        done.store(true, Ordering::Release);
        drawing.thread().unpark();
        result
    });
    (result, begun.elapsed())
}

fn draw(line: &str) {
    // A terminal that has gone is no reason to stop working.
    let mut out = std::io::stderr().lock();
    drop(write!(out, "\r{line}\x1b[K\r").and_then(|()| out.flush()));
}

fn line(what: &str, progress: &Progress, elapsed: Duration) -> String {
    let full = (progress.share() * WIDTH as f64) as usize;
    let bar = format!("{}{}", "#".repeat(full), "·".repeat(WIDTH - full));
    let hops = progress.hops();
    format!("{what} [{bar}] {:3.0} %  {} hops  {}", progress.share() * 100.0, grouped(hops), rate(hops, elapsed))
}

/// Hops a second, for people.
pub fn rate(hops: u64, elapsed: Duration) -> String {
    format!("{} hops/s", grouped(per_second(hops, elapsed)))
}

/// Hops a second.
pub fn per_second(hops: u64, elapsed: Duration) -> u64 {
    (hops as f64 / elapsed.as_secs_f64().max(1e-6)) as u64
}

/// A number with its thousands apart.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is() {
        let progress = Progress::default();
        progress.begin(100);
        let line = line("verify", &progress, Duration::from_secs(1));
        assert!(line.starts_with("verify [·····") && line.contains("0 %"), "{line}");
        assert_eq!([0, 999, 1_000, 12_345_678].map(grouped), ["0", "999", "1,000", "12,345,678"]);
        assert_eq!(rate(3_000_000, Duration::from_secs(2)), "1,500,000 hops/s");
    }
}
