//! How many requests an account makes: evenly spread, and none while the network asks for a pause. Shared by everything that
//! asks for one account.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// The pace of one account.
#[derive(Debug)]
pub struct Pace {
    apart: Duration,
    next: Mutex<Option<Instant>>,
}

impl Pace {
    /// At most so many requests a second.
    pub fn new(requests_per_second: u32) -> Self {
        Pace { apart: Duration::from_secs(1) / requests_per_second.max(1), next: Mutex::new(None) }
    }

    /// Waits for its turn.
    pub async fn turn(&self) {
        // Held while waiting: who comes later goes later.
        let mut next = self.next.lock().await;
        if let Some(at) = *next {
            sleep_until(at).await;
        }
        *next = Some(Instant::now() + self.apart);
    }

    /// Lets nobody ask for so long.
    pub async fn pause(&self, pause: Duration) {
        let mut next = self.next.lock().await;
        let until = Instant::now() + pause;
        *next = Some(next.map_or(until, |at| at.max(until)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_are_spread_and_a_pause_holds_for_all() {
        let pace = Pace::new(100);
        let begun = Instant::now();
        for _ in 0..6 {
            pace.turn().await;
        }
        assert!(begun.elapsed() >= Duration::from_millis(50), "{:?}", begun.elapsed());
        pace.pause(Duration::from_millis(80)).await;
        let begun = Instant::now();
        pace.turn().await;
        assert!(begun.elapsed() >= Duration::from_millis(75), "{:?}", begun.elapsed());
    }
}
