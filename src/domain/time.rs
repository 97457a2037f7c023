//! Instants. Everything in the core is an instant in microseconds; people enter and read Beijing time.

use std::fmt;
use std::str::FromStr;

use jiff::tz::{Offset, TimeZone};

/// Beijing time is UTC+8 all the year round: China keeps no daylight saving time.
const BEIJING: Offset = Offset::constant(8);

/// How far it is ahead of UTC, in microseconds.
pub const BEIJING_AHEAD: i64 = 8 * 3_600_000_000;

/// A day, in microseconds.
pub const DAY: i64 = 86_400_000_000;

/// An instant: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest instant; stands for "always open on this side".
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// The latest instant; stands for "open-ended".
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    /// An instant from microseconds since the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Timestamp(micros)
    }

    /// An instant from milliseconds since the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Timestamp(millis * 1_000)
    }

    /// Microseconds since the Unix epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the Unix epoch, rounded down.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// The number of the Beijing calendar day this instant falls in, counted from 1970-01-01.
    pub const fn beijing_day(self) -> i64 {
        (self.0 + BEIJING_AHEAD).div_euclid(DAY)
    }

    /// The first instant of a Beijing calendar day, numbered as [`Timestamp::beijing_day`] does.
    pub const fn of_beijing_day(day: i64) -> Self {
        Timestamp(day * DAY - BEIJING_AHEAD)
    }

    /// What a Beijing wall clock and calendar show; `None` for the ends of time.
    pub fn beijing(self) -> Option<jiff::civil::DateTime> {
        let instant = jiff::Timestamp::from_microsecond(self.0).ok()?;
        Some(BEIJING.to_datetime(instant))
    }

    /// This instant moved by `micros`, saturating at the ends.
    pub const fn plus_micros(self, micros: i64) -> Self {
        Timestamp(self.0.saturating_add(micros))
    }
}

/// Why a text is not an instant.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a time; write 2022-10-28T00:00:00+08:00, or 2022-10-28 00:00:00 for Beijing time")]
pub struct BadTime(pub String);

impl FromStr for Timestamp {
    type Err = BadTime;

    /// Reads RFC 3339 with an offset; without one the text is Beijing time, and a bare date is its first instant.
    fn from_str(text: &str) -> Result<Self, BadTime> {
        let text = text.trim();
        let bad = || BadTime(text.chars().take(64).collect());
        if let Ok(instant) = text.parse::<jiff::Timestamp>() {
            return Ok(Timestamp(instant.as_microsecond()));
        }
        let civil = match text.parse::<jiff::civil::DateTime>() {
            Ok(at) => at,
            Err(_) => text.parse::<jiff::civil::Date>().map_err(|_| bad())?.at(0, 0, 0, 0),
        };
        let zoned = civil.to_zoned(TimeZone::fixed(BEIJING)).map_err(|_| bad())?;
        Ok(Timestamp(zoned.timestamp().as_microsecond()))
    }
}

impl fmt::Display for Timestamp {
    /// Beijing time in RFC 3339, with as many fraction digits as the instant needs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(instant) => write!(f, "{}", instant.display_with_offset(BEIJING)),
            Err(_) if self.0 < 0 => f.write_str("-infinity"),
            Err(_) => f.write_str("infinity"),
        }
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beijing_time_is_the_default_and_round_trips() {
        let with_offset: Timestamp = "2022-11-30T23:59:59.999+08:00".parse().unwrap();
        assert_eq!("2022-11-30 23:59:59.999".parse(), Ok(with_offset));
        assert_eq!("2022-11-30T15:59:59.999Z".parse(), Ok(with_offset));
        assert_eq!(with_offset.to_string(), "2022-11-30T23:59:59.999+08:00");
        assert_eq!(with_offset.to_string().parse(), Ok(with_offset));
        assert_eq!("2022-12-01".parse(), Ok(with_offset.plus_micros(1_000)));
        assert_eq!(with_offset.beijing_day() + 1, with_offset.plus_micros(1_000).beijing_day());
        assert_eq!(Timestamp::of_beijing_day(with_offset.beijing_day() + 1), with_offset.plus_micros(1_000));
    }

    #[test]
    fn nonsense_is_refused_with_the_mend() {
        let error = "last Tuesday".parse::<Timestamp>().unwrap_err().to_string();
        assert!(error.contains("last Tuesday") && error.contains("+08:00"), "{error}");
    }
}
