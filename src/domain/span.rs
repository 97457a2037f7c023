//! Lengths of time as people write them: `45m`, `12h`, `30d`, `2w`. Never a point in time; that is [`super::time`].

use std::fmt;
use std::str::FromStr;

use super::time::Timestamp;

/// A length of time, above zero and at most ten years.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Span(i64);

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;
/// Ten years of 365 days.
const LONGEST: i64 = 3_650 * DAY;

impl Span {
    /// One hour.
    pub const ONE_HOUR: Span = Span(HOUR);

    /// So many days of 24 hours.
    pub const fn days(days: u16) -> Self {
        Span(if days == 0 { DAY } else { days as i64 * DAY })
    }

    /// Its length in seconds.
    pub const fn seconds(self) -> i64 {
        self.0
    }

    /// The instant this long after `at`.
    pub const fn after(self, at: Timestamp) -> Timestamp {
        at.plus_micros(self.0 * 1_000_000)
    }
}

/// Why a text is no length of time.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a time span: write 45m, 12h, 30d or 2w, more than nothing and at most 3650d")]
pub struct BadSpan(pub String);

impl FromStr for Span {
    type Err = BadSpan;

    fn from_str(text: &str) -> Result<Self, BadSpan> {
        let text = text.trim();
        let bad = || BadSpan(text.chars().take(64).collect());
        let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let number: i64 = text[..split].parse().map_err(|_| bad())?;
        let unit = match &text[split..] {
            "s" => 1,
            "m" => MINUTE,
            "h" => HOUR,
            "d" => DAY,
            "w" => WEEK,
            _ => return Err(bad()),
        };
        match number.checked_mul(unit) {
            Some(seconds) if (1..=LONGEST).contains(&seconds) => Ok(Span(seconds)),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Span {
    /// In the largest unit that divides it, weeks left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = [(DAY, "d"), (HOUR, "h"), (MINUTE, "m")]
            .into_iter()
            .find(|(unit, _)| self.0 % unit == 0)
            .unwrap_or((1, "s"));
        write!(f, "{}{name}", self.0 / unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_people_write_them() {
        for (text, seconds, shown) in
            [("30d", 30 * DAY, "30d"), ("2w", 14 * DAY, "14d"), ("90m", 5_400, "90m"), ("36h", 36 * HOUR, "36h")]
        {
            let span: Span = text.parse().unwrap();
            assert_eq!((span.seconds(), span.to_string().as_str()), (seconds, shown));
        }
        assert_eq!("1d".parse::<Span>().unwrap().after(Timestamp::from_millis(5)), Timestamp::from_millis(86_400_005));
        for bad in ["", "d", "30", "0d", "3651d", "-1d", "1.5d", "99999999999999999999d", "30 d", "天"] {
            let error = bad.parse::<Span>().unwrap_err().to_string();
            assert!(error.contains(bad) && error.contains("30d"), "{error}");
        }
    }
}
