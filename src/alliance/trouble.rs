//! What can go wrong when a page is pulled, how it is counted, and what is done about it.

use std::time::Duration;

use super::http::HttpError;
use super::page::BadAnswer;
use super::refusal::{Cause, Refusal};
use super::store::PullStoreError;
use super::tally::Outcome;
use crate::attribution::StoreError;
use crate::domain::time::Timestamp;

/// The first wait after a failure, doubled with each, and the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// The shortest wait where somebody must do something first.
const LASTING_WAIT: Duration = Duration::from_secs(30);

/// Why a stretch was not read.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// No answer.
    #[error("{host}: {error}")]
    Http {
        /// Whose.
        host: String,
        /// Why.
        error: HttpError,
    },
    /// An answer of HTTP itself.
    #[error("{host} answers HTTP {status}")]
    Status {
        /// Whose.
        host: String,
        /// Its status.
        status: u16,
        /// When it wants to be asked again, in seconds.
        retry_after: Option<u32>,
    },
    /// The network says why.
    #[error("{refusal}{}", skew(*.theirs, *.ours))]
    Refused {
        /// What it says.
        refusal: Refusal,
        /// What its clock shows, where its clock is the matter.
        theirs: Option<Timestamp>,
        /// What ours showed.
        ours: Timestamp,
    },
    /// The answer cannot be read.
    #[error("{host}: {problem}")]
    Unreadable {
        /// Whose.
        host: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Rows cannot be kept.
    #[error(transparent)]
    Rows(#[from] StoreError),
    /// Cursor or response cannot be kept.
    #[error(transparent)]
    Store(#[from] PullStoreError),
}

fn skew(theirs: Option<Timestamp>, ours: Timestamp) -> String {
    match theirs {
        Some(theirs) => format!(" (its clock shows {theirs}, ours {ours})"),
        None => String::new(),
    }
}

impl Trouble {
    /// An answer that is no page.
    pub(super) fn of(bad: BadAnswer, host: &str, theirs: Option<Timestamp>, ours: Timestamp) -> Self {
        match bad {
            BadAnswer::Refused(refusal) => {
                let theirs = theirs.filter(|_| refusal.cause() == Cause::Clock);
                Trouble::Refused { refusal, theirs, ours }
            }
            BadAnswer::Unreadable(problem) => Trouble::Unreadable { host: host.to_owned(), problem },
        }
    }

    /// How the request is counted.
    pub fn outcome(&self) -> Outcome {
        match self {
            Trouble::Http { error: HttpError::TimedOut(_), .. } => Outcome::TimedOut,
            Trouble::Http { .. } => Outcome::Unreachable,
            Trouble::Status { status: 429, .. } => Outcome::Limited,
            Trouble::Status { status: 500.., .. } => Outcome::Busy,
            Trouble::Status { .. } => Outcome::Refused,
            Trouble::Refused { refusal, .. } => match refusal.cause() {
                Cause::Limited => Outcome::Limited,
                Cause::Busy => Outcome::Busy,
                Cause::TooLong => Outcome::WindowTooLong,
                Cause::Clock | Cause::Credentials | Cause::Permission | Cause::Other => Outcome::Refused,
            },
            Trouble::Unreadable { .. } => Outcome::Unreadable,
            Trouble::Rows(_) | Trouble::Store(_) => Outcome::NotKept,
        }
    }

    /// Whether somebody must do something: asking again alone does not help.
    pub fn lasts(&self) -> bool {
        match self {
            Trouble::Refused { refusal, .. } => refusal.cause().lasts(),
            other => other.outcome() == Outcome::Refused,
        }
    }

    /// Whether a shorter stretch may go better: it is too long, or its answer takes too long.
    pub fn wants_less(&self) -> bool {
        matches!(self.outcome(), Outcome::WindowTooLong | Outcome::TimedOut)
    }

    /// For how long the network wants to be left alone, where it says so or is asked too often.
    pub fn pause(&self) -> Option<Duration> {
        let seconds = match self {
            Trouble::Status { retry_after, .. } => *retry_after,
            Trouble::Refused { refusal, .. } => refusal.ban_seconds(),
            _ => None,
        };
        let limited = (self.outcome() == Outcome::Limited).then_some(FIRST_WAIT);
        let told = seconds.map(|seconds| Duration::from_secs(u64::from(seconds)).min(LONGEST_WAIT));
        told.max(limited)
    }

    /// How long to wait after so many failures in a row, this one included; `random` spreads what failed together.
    pub fn wait(&self, failures: u32, random: u32) -> Duration {
        let doubled = FIRST_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(12)).min(LONGEST_WAIT);
        let spread = doubled / 5 * 4 + doubled / 5 * 2 * (random % 1_001) / 1_000;
        let least = if self.lasts() { LASTING_WAIT } else { Duration::ZERO };
        spread.max(least).max(self.pause().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::attribution::Network;

    fn refused(code: &str, said: &str) -> Trouble {
        let refusal = Refusal::new(Network::Taobao, code.to_owned(), String::new(), said);
        Trouble::Refused { refusal, theirs: None, ours: Timestamp::from_millis(0) }
    }

    #[test]
    fn waits_double_to_a_bound_and_follow_what_the_network_says() {
        let busy = Trouble::Status { host: "h".into(), status: 503, retry_after: None };
        let bounds = |failures| (busy.wait(failures, 0).as_millis(), busy.wait(failures, 1_000).as_millis());
        assert_eq!((bounds(1), bounds(4)), ((800, 1_200), (6_400, 9_600)));
        assert_eq!(bounds(60), (480_000, 720_000));
        let asked = Trouble::Status { host: "h".into(), status: 429, retry_after: Some(90) };
        assert_eq!((asked.wait(1, 0), asked.outcome()), (Duration::from_secs(90), Outcome::Limited));
        let banned = refused("7", "This ban will last for 42 more seconds");
        assert_eq!((banned.pause(), banned.lasts()), (Some(Duration::from_secs(42)), false));
        let unsigned = refused("25", "Invalid signature");
        assert_eq!((unsigned.wait(1, 0), unsigned.lasts()), (LASTING_WAIT, true));
        assert!(unsigned.to_string().contains("check app_key"), "{unsigned}");
        let long = refused("15", "时间跨度过大");
        assert!(long.wants_less() && !long.lasts());
    }
}
