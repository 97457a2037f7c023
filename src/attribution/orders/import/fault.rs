//! What can be wrong with a row of an order report, in words that say where and how to mend it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::time::Timestamp;
use crate::domain::vocabulary::closed_list;

/// Characters of a refused value that are shown back.
const SHOWN: usize = 80;

closed_list! {
    /// Why a row is set aside. The label of `hopgate_orders_quarantined`.
    Reason {
        /// It cannot be read as JSON, or as a record of a CSV file.
        NotARow = "not_a_row",
        /// It is no object of names and values.
        NotAnObject = "not_an_object",
        /// It names a network that is not known.
        UnknownNetwork = "unknown_network",
        /// The field that tells the line from every other is not there.
        MissingKey = "missing_key",
        /// Another field that it cannot do without is not there.
        MissingField = "missing_field",
        /// A field that our own format does not know.
        UnknownField = "unknown_field",
        /// A text that cannot be one, or is too long.
        MalformedText = "malformed_text",
        /// Not an amount of money.
        MalformedAmount = "malformed_amount",
        /// Not a number.
        MalformedNumber = "malformed_number",
        /// Not a time.
        MalformedTime = "malformed_time",
        /// A state that the network is not known to have.
        UnknownStatus = "unknown_status",
        /// A time that has not come.
        FutureTime = "future_time",
        /// A change from before the order was made.
        BeforeOrder = "before_order",
        /// A field that stands there twice: nobody knows which of the two is meant.
        RepeatedField = "repeated_field",
        /// An amount that whoever reports may not tell: a merchant's commission below nothing, or above what was paid.
        AmountOutOfRange = "amount_out_of_range",
        /// A click that led to another marketplace, or to another shop than the merchant's.
        ForeignClick = "foreign_click",
        /// A pid, position or relation that was given to nobody, and no click id.
        UnknownPosition = "unknown_position",
        /// Another report of the same line, change time and state says something else.
        DuplicateKey = "duplicate_key",
    }
}

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Reason::parse(&name).ok_or_else(|| serde::de::Error::custom(format!("`{name}` is no reason of a quarantine")))
    }
}

/// One thing that is wrong with a row.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RowFault {
    /// The field by its name in the report; empty for the row as a whole.
    pub field: Box<str>,
    /// What it held, cut short.
    pub value: Box<str>,
    /// The sort of fault.
    pub reason: Reason,
    /// What is wrong, and the mend.
    pub problem: Box<str>,
}

impl RowFault {
    /// A fault; the value is cut short here.
    pub fn new(field: &str, value: &str, reason: Reason, problem: impl Into<Box<str>>) -> Self {
        let value: String = value.chars().take(SHOWN).collect();
        RowFault { field: field.into(), value: value.into(), reason, problem: problem.into() }
    }
}

impl std::fmt::Display for RowFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.field.is_empty() {
            return write!(f, "{}: {}", self.reason, self.problem);
        }
        write!(f, "{}: {} `{}`: {}", self.reason, self.field, self.value, self.problem)
    }
}

/// A row that cannot be taken, with what could be read of it all the same: so that a good report of the same line later
/// is known to mend it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct BadRow {
    /// Every fault; never empty. The first is what the row is counted under.
    pub faults: Vec<RowFault>,
    /// The line's key, where it could be read; else empty.
    pub line: Box<str>,
    /// The network's own state, where it could be read; else empty.
    pub raw_state: Box<str>,
    /// When it was last changed, where that could be read.
    pub modified_at: Option<Timestamp>,
}

impl BadRow {
    /// A row with one fault and nothing else known of it.
    pub fn one(fault: RowFault) -> Self {
        BadRow { faults: vec![fault], ..BadRow::default() }
    }

    /// What it is counted under.
    pub fn reason(&self) -> Reason {
        self.faults.first().map_or(Reason::NotARow, |fault| fault.reason)
    }
}

/// A value as it is shown back.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.chars().take(SHOWN).collect(),
        // Cut before it is written out: a list may be as long as a file.
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(map) => format!("an object of {}", map.len()),
        other => other.to_string(),
    }
}
