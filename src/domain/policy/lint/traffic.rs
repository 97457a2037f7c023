//! When traffic is heavy: hours of the day and days of the year, Beijing time. Given by settings; the usual ones are here.
//! Never measured.

use std::str::FromStr;

use jiff::civil::DateTime;

use crate::domain::time::Timestamp;

/// Minutes of the day, `from..until`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hours {
    from: u16,
    until: u16,
}

/// Days of every year, both of them included. May run over the new year.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Days {
    from: (i8, i8),
    until: (i8, i8),
}

/// Heavy hours and sales.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeavyTraffic {
    /// Hours of every day.
    pub hours: Vec<Hours>,
    /// Whole days of sales.
    pub sales: Vec<Days>,
}

impl Default for HeavyTraffic {
    /// The evening before midnight; 618 and Double 11.
    fn default() -> Self {
        HeavyTraffic {
            hours: vec![Hours { from: 19 * 60, until: 24 * 60 }],
            sales: vec![Days { from: (6, 1), until: (6, 20) }, Days { from: (11, 1), until: (11, 12) }],
        }
    }
}

impl HeavyTraffic {
    /// Why traffic is heavy at `at`, in words; `None` when it is not.
    pub fn why(&self, at: Timestamp) -> Option<String> {
        let civil = at.beijing()?;
        if let Some(days) = self.sales.iter().find(|days| days.hold(&civil)) {
            return Some(format!("during the sale of {days}"));
        }
        let minute = i16::from(civil.hour()) * 60 + i16::from(civil.minute());
        let hours = self.hours.iter().find(|hours| (hours.from as i16..hours.until as i16).contains(&minute))?;
        Some(format!("within the heavy hours {hours}"))
    }
}

impl Days {
    fn hold(&self, civil: &DateTime) -> bool {
        let day = (civil.month(), civil.day());
        if self.from <= self.until {
            self.from <= day && day <= self.until
        } else {
            self.from <= day || day <= self.until
        }
    }
}

impl std::fmt::Display for Days {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (from, until) = (self.from, self.until);
        write!(f, "{:02}-{:02}..{:02}-{:02}", from.0, from.1, until.0, until.1)
    }
}

impl std::fmt::Display for Hours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (from, until) = (self.from, self.until);
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, until / 60, until % 60)
    }
}

/// Why a text is no span.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadSpan {
    /// No hours of a day.
    #[error("`{0}` is no span of hours: write it as 19:00-24:00, within one day")]
    Hours(String),
    /// No days of a year.
    #[error("`{0}` is no span of days: write month and day as 11-01..11-12, both included")]
    Days(String),
}

impl FromStr for Hours {
    type Err = BadSpan;

    fn from_str(text: &str) -> Result<Self, BadSpan> {
        let minute = |text: &str| {
            let (hour, minute) = text.trim().split_once(':')?;
            let (hour, minute) = (hour.parse::<u16>().ok()?, minute.parse::<u16>().ok()?);
            (minute < 60 && hour * 60 + minute <= 24 * 60).then_some(hour * 60 + minute)
        };
        let span = text.split_once('-').and_then(|(from, until)| Some((minute(from)?, minute(until)?)));
        match span {
            Some((from, until)) if from < until => Ok(Hours { from, until }),
            _ => Err(BadSpan::Hours(text.chars().take(64).collect())),
        }
    }
}

impl FromStr for Days {
    type Err = BadSpan;

    fn from_str(text: &str) -> Result<Self, BadSpan> {
        let day = |text: &str| {
            let (month, day) = text.trim().split_once('-')?;
            let (month, day) = (month.parse::<i8>().ok()?, day.parse::<i8>().ok()?);
            // A leap year has every day there is.
            jiff::civil::Date::new(2024, month, day).ok().map(|_| (month, day))
        };
        let span = text.split_once("..").and_then(|(from, until)| Some((day(from)?, day(until)?)));
        span.map(|(from, until)| Days { from, until }).ok_or_else(|| BadSpan::Days(text.chars().take(64).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn midnight_is_heavy_in_a_sale_only() {
        let traffic = HeavyTraffic::default();
        let heavy = |text: &str| traffic.why(text.parse().unwrap());
        assert_eq!(heavy("2026-03-01T18:59:59.999"), None);
        assert_eq!(heavy("2026-03-01T19:00:00").as_deref(), Some("within the heavy hours 19:00-24:00"));
        assert!(heavy("2026-03-01T23:59:59.999").is_some());
        assert_eq!(heavy("2026-03-02"), None);
        assert_eq!(heavy("2026-11-01").as_deref(), Some("during the sale of 11-01..11-12"));
        assert!(heavy("2026-11-12T23:59:59").is_some() && heavy("2026-06-10T04:00:00").is_some());
        assert_eq!(heavy("2026-11-13"), None);
        assert_eq!(traffic.why(Timestamp::MAX), None);
    }

    #[test]
    fn spans_are_read_back_and_nonsense_is_refused() {
        for text in ["19:00-24:00", "00:00-00:30"] {
            assert_eq!(text.parse::<Hours>().unwrap().to_string(), text);
        }
        for text in ["11-01..11-12", "12-30..01-02", "02-29..02-29"] {
            assert_eq!(text.parse::<Days>().unwrap().to_string(), text);
        }
        let winter = HeavyTraffic { hours: vec![], sales: vec!["12-30..01-02".parse().unwrap()] };
        assert!(winter.why("2026-01-01".parse().unwrap()).is_some());
        assert!(winter.why("2026-01-03".parse().unwrap()).is_none());
        for text in ["", "19:00", "20:00-19:00", "19:60-20:00", "19:00-24:01", "99:00-99:01"] {
            assert!(text.parse::<Hours>().unwrap_err().to_string().contains("19:00-24:00"), "{text}");
        }
        for text in ["", "11-01", "02-30..03-01", "13-01..13-02"] {
            assert!(text.parse::<Days>().unwrap_err().to_string().contains("11-01..11-12"), "{text}");
        }
    }
}
