//! Reads a row field by field and gathers every fault on the way. A value may be a JSON text or number, or a text of a CSV
//! file: all are the same to a reader. Empty is absent.

use serde_json::{Map, Value};

use super::fault::{BadRow, Reason, RowFault, shown};
use super::text::doubled;
use crate::domain::attribution::money::Fen;
use crate::domain::time::{DAY, Timestamp};

/// The longest key, position or sub-id, in bytes.
const LONGEST_KEY: usize = 200;
/// The longest title or name, in bytes: longer ones are cut, as nothing hangs on them.
const LONGEST_TEXT: usize = 500;
/// Clocks of two companies differ; a time beyond this is none that has come, and a change that lies further before its
/// order is none of it.
const AHEAD: i64 = 10 * 60 * 1_000_000;
/// 2000-01-01: before it there was no order report. What some networks write for "not yet" is earlier.
const EARLIEST: i64 = 946_656_000_000_000;

/// What a number stands for where a time is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unit {
    Seconds,
    Millis,
    /// Numbers are no times here.
    None,
}

/// The fields of a row.
pub(super) struct Row<'v> {
    map: &'v Map<String, Value>,
    now: Timestamp,
    pub(super) bad: BadRow,
}

impl<'v> Row<'v> {
    /// The fields of `value`, which must be an object.
    pub(super) fn new(value: &'v Value, now: Timestamp) -> Result<Self, BadRow> {
        match value.as_object() {
            Some(map) => Ok(Row { map, now, bad: BadRow::default() }),
            None if !doubled(value).is_empty() => {
                let problem = "stands there more than once, and nobody knows which is meant: name it once";
                let fault = |name: &str| RowFault::new(name, "", Reason::RepeatedField, problem);
                Err(BadRow { faults: doubled(value).into_iter().map(fault).collect(), ..BadRow::default() })
            }
            None => {
                let problem = "a row is an object of names and values: {\"…\": …}";
                Err(BadRow::one(RowFault::new("", &shown(value), Reason::NotAnObject, problem)))
            }
        }
    }

    pub(super) fn fault(&mut self, field: &str, reason: Reason, problem: impl Into<Box<str>>) {
        let value = self.map.get(field).map(shown).unwrap_or_default();
        self.bad.faults.push(RowFault::new(field, &value, reason, problem));
    }

    /// The names that are given.
    pub(super) fn names(&self) -> impl Iterator<Item = &'v str> + use<'v> {
        self.map.keys().map(String::as_str)
    }

    /// A text or number as text, trimmed; `None` when it is absent or empty, or has a fault.
    fn plain(&mut self, field: &str, reason: Reason) -> Option<String> {
        match self.map.get(field)? {
            Value::Null => None,
            Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(truth) => Some(truth.to_string()),
            Value::Array(_) | Value::Object(_) => {
                self.fault(field, reason, "a text or a number belongs here");
                None
            }
        }
    }

    /// A name or title; what is too long is cut.
    pub(super) fn text(&mut self, field: &str) -> Box<str> {
        let mut text = self.plain(field, Reason::MalformedText).unwrap_or_default();
        text.truncate(text.floor_char_boundary(LONGEST_TEXT));
        text.into()
    }

    /// An id: no blank or control character, not longer than [`LONGEST_KEY`], no number that lost digits. Empty when absent.
    pub(super) fn id(&mut self, field: &str) -> Box<str> {
        if self.map.get(field).is_some_and(|value| value.is_f64()) {
            self.fault(field, Reason::MalformedText, "a number that JSON cannot carry whole: put it in double quotes");
            return "".into();
        }
        let Some(text) = self.plain(field, Reason::MalformedText) else { return "".into() };
        if text.len() > LONGEST_KEY || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            let problem = format!("an id has at most {LONGEST_KEY} bytes, and no blank or control character");
            self.fault(field, Reason::MalformedText, problem);
            return "".into();
        }
        text.into()
    }

    /// An id where `0` stands for none, as in numbers of sites and positions.
    pub(super) fn id_or_zero(&mut self, field: &str) -> Box<str> {
        let id = self.id(field);
        if &*id == "0" { "".into() } else { id }
    }

    /// An id that the line's key needs.
    pub(super) fn key(&mut self, field: &str) -> Box<str> {
        let before = self.bad.faults.len();
        let id = self.id(field);
        if id.is_empty() && self.bad.faults.len() == before {
            self.fault(field, Reason::MissingKey, "must be there: it tells this line from every other");
        }
        id
    }

    /// Yuan, as text or number. A JSON number is read by its digits: up to 15 of them are exact.
    pub(super) fn yuan(&mut self, field: &str) -> Option<Fen> {
        let text = self.plain(field, Reason::MalformedAmount)?;
        match Fen::from_yuan(&text) {
            Ok(fen) => Some(fen),
            Err(error) => {
                self.fault(field, Reason::MalformedAmount, error.to_string());
                None
            }
        }
    }

    /// Integer fen, as text or number.
    pub(super) fn fen(&mut self, field: &str) -> Option<Fen> {
        let text = self.plain(field, Reason::MalformedAmount)?;
        match text.parse::<i64>().ok().filter(|fen| fen.unsigned_abs() <= 100_000_000_000_000) {
            Some(fen) => Some(Fen(fen)),
            None => {
                self.fault(
                    field,
                    Reason::MalformedAmount,
                    "an amount in fen is a whole number of at most a trillion yuan",
                );
                None
            }
        }
    }

    /// A whole number.
    pub(super) fn count(&mut self, field: &str) -> Option<u32> {
        let text = self.plain(field, Reason::MalformedNumber)?;
        let number = text.parse().ok();
        if number.is_none() {
            self.fault(field, Reason::MalformedNumber, "a whole number from 0 to 4294967295 belongs here");
        }
        number
    }

    /// `0`, `1`, `true` or `false`.
    pub(super) fn truth(&mut self, field: &str) -> Option<bool> {
        match self.plain(field, Reason::MalformedNumber)?.as_str() {
            "1" | "true" => Some(true),
            "0" | "false" => Some(false),
            _ => {
                self.fault(field, Reason::MalformedNumber, "0, 1, true or false belongs here");
                None
            }
        }
    }

    /// An instant that has come: `YYYY-MM-DD HH:MM:SS` in Beijing time, RFC 3339, or a number. What networks write for
    /// "not yet" (empty, `0`, `0000-00-00 00:00:00`, the epoch) is absent.
    pub(super) fn time(&mut self, field: &str, unit: Unit) -> Option<Timestamp> {
        let at = self.any_time(field, unit)?;
        if at > self.now.plus_micros(AHEAD) {
            let problem =
                format!("this is later than now, {}: mend the clock it comes from, or import it again then", self.now);
            self.fault(field, Reason::FutureTime, problem);
        }
        Some(at)
    }

    /// The same, but it may lie ahead.
    pub(super) fn any_time(&mut self, field: &str, unit: Unit) -> Option<Timestamp> {
        let text = self.plain(field, Reason::MalformedTime)?;
        if matches!(text.as_str(), "0" | "-1") || text.starts_with("0000-00-00") {
            return None;
        }
        let number = match unit {
            Unit::None => None,
            _ => text.parse::<i64>().ok(),
        };
        let read = match (number, unit) {
            (Some(number), Unit::Seconds) => number.checked_mul(1_000_000).map(Timestamp::from_micros),
            (Some(number), _) => number.checked_mul(1_000).map(Timestamp::from_micros),
            (None, _) => text.parse().ok(),
        };
        match read {
            Some(at) if at.micros() < EARLIEST && at.micros().abs() <= DAY => None,
            // Far beyond what a calendar writes: a unit was mistaken.
            Some(at) if at.micros() >= EARLIEST && at.beijing().is_some_and(|at| at.year() < 2200) => Some(at),
            Some(_) => {
                self.fault(field, Reason::MalformedTime, "this is no time of an order: look at its unit and its year");
                None
            }
            None => {
                let form = match unit {
                    Unit::None => "write 2022-11-11 00:00:00, Beijing time",
                    Unit::Seconds => "write Unix seconds, or 2022-11-11 00:00:00, Beijing time",
                    Unit::Millis => "write 2022-11-11 00:00:00, Beijing time, or Unix milliseconds",
                };
                self.fault(field, Reason::MalformedTime, form);
                None
            }
        }
    }

    /// When the row was changed, which is never before the order was made. One that is says nothing of its age.
    pub(super) fn changed(
        &mut self,
        field: &str,
        at: Option<Timestamp>,
        created: Option<Timestamp>,
    ) -> Option<Timestamp> {
        let early = |at: Timestamp| created.is_some_and(|created| at.plus_micros(AHEAD) < created);
        if let (true, Some(created)) = (at.is_some_and(early), created) {
            let problem = format!("this is before the order was made, {created}: mend the one or the other");
            self.fault(field, Reason::BeforeOrder, problem);
            return None;
        }
        self.bad.modified_at = at;
        at
    }

    /// A commission that a row in its state must tell: what nobody says is not nothing.
    pub(super) fn due(&mut self, field: &str, told: bool, problem: &str) {
        if !told && !self.faulty(field) {
            self.fault(field, Reason::MissingField, problem);
        }
    }

    /// Which of two names a value was given under; the first where under none.
    pub(super) fn named<'n>(&self, one: &'n str, other: &'n str) -> &'n str {
        let given = |name: &str| self.map.get(name).is_some_and(|value| !value.is_null());
        if given(other) && !given(one) { other } else { one }
    }

    /// Whether a field has a fault already.
    pub(super) fn faulty(&self, field: &str) -> bool {
        self.bad.faults.iter().any(|fault| &*fault.field == field)
    }

    /// A value that must be there; nothing is added where reading it found a fault.
    pub(super) fn needed<T>(&mut self, field: &str, value: Option<T>) -> Option<T> {
        if value.is_none() && !self.faulty(field) {
            self.fault(field, Reason::MissingField, "must be there");
        }
        value
    }
}

/// The latest of the times that are known.
pub(super) fn latest(times: &[Option<Timestamp>]) -> Option<Timestamp> {
    times.iter().flatten().max().copied()
}

/// Whether a text has the shape of a click id of ours. Whether it is one says its MAC.
pub(super) fn like_click_id(text: &str) -> bool {
    use crate::domain::click_id::ClickId;
    text.len() == ClickId::TEXT_LEN
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}
