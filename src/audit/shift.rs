//! The same click, so much later: last year's traffic under this year's windows. A year is a calendar year in Beijing, so
//! that the eleventh of November stays one. Never reads a clock.

use std::str::FromStr;

use jiff::Span;
use jiff::tz::TimeZone;

use crate::domain::time::Timestamp;

/// How far clicks are moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shift {
    years: i32,
    micros: i64,
}

/// Why a text is not a shift.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a shift; write 1y, 364d, 12h, 30m or 15s, with a leading - to go back")]
pub struct BadShift(pub String);

impl FromStr for Shift {
    type Err = BadShift;

    fn from_str(text: &str) -> Result<Self, BadShift> {
        let bad = || BadShift(text.chars().take(64).collect());
        let unit = text.chars().next_back().ok_or_else(bad)?;
        let number: i64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| bad())?;
        let seconds = match unit {
            'y' if (-100..=100).contains(&number) => return Ok(Shift { years: number as i32, micros: 0 }),
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => return Err(bad()),
        };
        let micros =
            number.checked_mul(seconds).filter(|seconds| seconds.abs() <= 100 * 366 * 86_400).ok_or_else(bad)?;
        Ok(Shift { years: 0, micros: micros * 1_000_000 })
    }
}

impl std::fmt::Display for Shift {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.micros / 1_000_000;
        match seconds {
            0 => write!(f, "{}y", self.years),
            _ if seconds % 86_400 == 0 => write!(f, "{}d", seconds / 86_400),
            _ if seconds % 3_600 == 0 => write!(f, "{}h", seconds / 3_600),
            _ => write!(f, "{seconds}s"),
        }
    }
}

impl serde::Serialize for Shift {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Moves instants; remembers the last Beijing day, within which every one moves equally far.
#[derive(Clone, Copy, Debug)]
pub struct Shifter {
    shift: Option<Shift>,
    day: i64,
    by: i64,
}

impl Shifter {
    /// Moves by `shift`, or not at all.
    pub fn new(shift: Option<Shift>) -> Self {
        Shifter { shift, day: i64::MIN, by: 0 }
    }

    /// The instant so much later. The 29th of February becomes the 28th in a year without one.
    pub fn apply(&mut self, at: Timestamp) -> Timestamp {
        let Some(shift) = self.shift else { return at };
        if shift.years == 0 {
            return at.plus_micros(shift.micros);
        }
        let day = at.beijing_day();
        if day != self.day {
            (self.day, self.by) = (day, years_on(at, shift.years).unwrap_or(0));
        }
        at.plus_micros(self.by)
    }
}

/// How far `years` on lie from an instant, in microseconds; `None` outside the calendar.
fn years_on(at: Timestamp, years: i32) -> Option<i64> {
    let beijing = TimeZone::fixed(jiff::tz::offset(8));
    let civil = beijing.to_datetime(jiff::Timestamp::from_microsecond(at.micros()).ok()?);
    let later = civil.checked_add(Span::new().years(years)).ok()?.to_zoned(beijing).ok()?;
    Some(later.timestamp().as_microsecond() - at.micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_is_a_calendar_year_and_a_day_is_a_day() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        for (shift, from, to) in [
            ("1y", "2023-11-11 00:00:00.000001", "2024-11-11 00:00:00.000001"),
            ("1y", "2024-02-29 23:59:59", "2025-02-28 23:59:59"),
            ("-1y", "2024-11-11", "2023-11-11"),
            ("365d", "2023-11-11", "2024-11-10"),
            ("12h", "2022-11-30 12:00:00", "2022-12-01"),
            ("-30m", "2022-12-01", "2022-11-30 23:30:00"),
        ] {
            let mut shifter = Shifter::new(Some(shift.parse().unwrap()));
            assert_eq!(shifter.apply(at(from)), at(to), "{shift}");
            assert_eq!(shifter.apply(at(from).plus_micros(-1)).micros(), shifter.apply(at(from)).micros() - 1);
        }
        assert_eq!(Shifter::new(None).apply(at("2022-12-01")), at("2022-12-01"));
        for (text, shown) in [("24h", "1d"), ("90m", "5400s"), ("2y", "2y"), ("-48h", "-2d")] {
            assert_eq!(text.parse::<Shift>().unwrap().to_string(), shown);
        }
        for text in ["", "y", "1", "1w", "1.5d", "999y", "99999999999d", "一年"] {
            let error = text.parse::<Shift>().unwrap_err().to_string();
            assert!(error.contains("364d"), "{error}");
        }
    }
}
