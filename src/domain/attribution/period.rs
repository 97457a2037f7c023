//! Periods of the ledger: months as a Beijing calendar shows them.

use std::fmt;
use std::str::FromStr;

use crate::domain::time::Timestamp;

/// A Beijing month: the number of months since the year 0. The first is January of the year 1970, the last December 9999.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Month(i32);

/// Why a text is not a month.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a month: write YYYY-MM, like 2026-11, from 1970-01 to 9999-12")]
pub struct BadMonth(pub String);

/// January 1970.
const FIRST: i32 = 1970 * 12;
/// December 9999.
const LAST: i32 = 9999 * 12 + 11;

impl Month {
    /// The month an instant falls in.
    pub fn of(at: Timestamp) -> Month {
        let number = at.beijing().map(|civil| i32::from(civil.year()) * 12 + i32::from(civil.month()) - 1);
        let beyond = if at.micros() < 0 { FIRST } else { LAST };
        Month(number.unwrap_or(beyond).clamp(FIRST, LAST))
    }

    /// The one after it.
    #[must_use]
    pub fn next(self) -> Month {
        Month((self.0 + 1).min(LAST))
    }

    /// The one with this number, as [`Month::number`] gave it.
    pub fn from_number(number: i64) -> Option<Month> {
        i32::try_from(number).ok().filter(|number| (FIRST..=LAST).contains(number)).map(Month)
    }

    /// Its number: months since the year 0.
    pub fn number(self) -> i64 {
        i64::from(self.0)
    }

    /// Its first instant.
    pub fn begins(self) -> Timestamp {
        // What `Display` writes is read again: every month from 1970 to 9999 has a first day.
        format!("{self}-01").parse().unwrap_or(Timestamp::MAX)
    }

    /// The instant at which it is over.
    pub fn ends(self) -> Timestamp {
        if self.0 == LAST { Timestamp::MAX } else { self.next().begins() }
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0 / 12, self.0 % 12 + 1)
    }
}

impl FromStr for Month {
    type Err = BadMonth;

    fn from_str(text: &str) -> Result<Month, BadMonth> {
        let bad = || BadMonth(text.chars().take(32).collect());
        let (year, month) = text.trim().split_once('-').ok_or_else(bad)?;
        let digits = |part: &str, length| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(year, 4) || !digits(month, 2) {
            return Err(bad());
        }
        let (year, month): (i32, i32) = (year.parse().map_err(|_| bad())?, month.parse().map_err(|_| bad())?);
        let number = year * 12 + month - 1;
        if !(1..=12).contains(&month) || !(FIRST..=LAST).contains(&number) {
            return Err(bad());
        }
        Ok(Month(number))
    }
}

impl serde::Serialize for Month {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_what_a_beijing_calendar_says() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(Month::of(at("2026-11-30 23:59:59.999999")).to_string(), "2026-11");
        assert_eq!(Month::of(at("2026-12-01")).to_string(), "2026-12");
        assert_eq!(Month::of(at("2026-12-31T16:00:00Z")).to_string(), "2027-01");
        let december: Month = "2026-12".parse().unwrap();
        assert_eq!((december.begins(), december.ends()), (at("2026-12-01"), at("2027-01-01")));
        assert_eq!(Month::from_number(december.number()), Some(december));
        assert_eq!(
            (Month::of(Timestamp::MIN).to_string(), Month::of(Timestamp::MAX).ends()),
            ("1970-01".into(), Timestamp::MAX)
        );
        for bad in ["", "2026", "2026-13", "2026-00", "26-01", "2026-1", "1969-12", "2026-11-01", "２026-11"] {
            assert!(bad.parse::<Month>().unwrap_err().to_string().contains("YYYY-MM"), "{bad}");
        }
    }
}
