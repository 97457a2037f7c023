//! Reads a JSON object field by field and gathers every fault on the way, so that a caller mends all of them at once.
//!
//! Serde stops at the first wrong type; this does not. Never decides what a value means, only whether it has the type a
//! field asks for; that is [`super::checks`].

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

/// Characters of a refused value that are shown back.
const SHOWN: usize = 80;

/// One thing wrong with one field of a request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct FieldFault {
    /// The field, e.g. `url` or `tags[3]`; empty for the body as a whole.
    pub field: String,
    /// What it held, cut to 80 characters.
    pub value: String,
    /// What is wrong, and the mend.
    pub problem: String,
    /// The stable name of the problem.
    pub code: &'static str,
}

impl FieldFault {
    /// A fault; the value is cut short here.
    pub fn new(field: impl Into<String>, value: &str, code: &'static str, problem: impl Into<String>) -> Self {
        FieldFault { field: field.into(), value: shown(value), problem: problem.into(), code }
    }
}

impl std::fmt::Display for FieldFault {
    /// For the command line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.problem)
    }
}

/// A text cut to what may be shown back.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

fn rendered(value: &Value) -> String {
    match value {
        Value::String(text) => shown(text),
        // Cut before it is written out: a list may be as long as a body.
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(map) => format!("an object of {}", map.len()),
        other => other.to_string(),
    }
}

/// What a field of a change says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Said<T> {
    /// It is not there, or could not be read.
    #[default]
    Nothing,
    /// `null`.
    Null,
    /// A value.
    Value(T),
}

/// The fields of a JSON object.
pub(super) struct Fields<'v> {
    map: Option<&'v Map<String, Value>>,
    pub(super) faults: Vec<FieldFault>,
}

impl<'v> Fields<'v> {
    /// The fields of `value`, which must be an object with none but the `known` keys.
    pub(super) fn new(value: &'v Value, known: &[&str]) -> Self {
        let mut faults = Vec::new();
        let map = value.as_object();
        match map {
            None => faults.push(FieldFault::new("", &rendered(value), "not_an_object", "send one JSON object: {…}")),
            Some(map) => {
                for key in map.keys().filter(|key| !known.contains(&key.as_str())) {
                    let problem = format!("this field is not known: use {}", known.join(", "));
                    faults.push(FieldFault::new(shown(key), &rendered(&map[key]), "unknown_field", problem));
                }
            }
        }
        Fields { map, faults }
    }

    fn get(&self, key: &str) -> Said<&'v Value> {
        match self.map.and_then(|map| map.get(key)) {
            None => Said::Nothing,
            Some(Value::Null) => Said::Null,
            Some(value) => Said::Value(value),
        }
    }

    fn wrong(&mut self, field: impl Into<String>, value: &Value, problem: &str) {
        self.faults.push(FieldFault::new(field, &rendered(value), "wrong_type", problem));
    }

    /// A text, `null`, or nothing.
    pub(super) fn said_text(&mut self, key: &str) -> Said<String> {
        match self.get(key) {
            Said::Nothing => Said::Nothing,
            Said::Null => Said::Null,
            Said::Value(Value::String(text)) => Said::Value(text.clone()),
            Said::Value(other) => {
                self.wrong(key, other, "must be a text: put it in double quotes");
                Said::Nothing
            }
        }
    }

    /// A text; `null` is the same as leaving it out.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        match self.said_text(key) {
            Said::Value(text) => Some(text),
            Said::Null | Said::Nothing => None,
        }
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, key: &str) -> Option<Vec<String>> {
        match self.get(key) {
            Said::Nothing | Said::Null => None,
            Said::Value(Value::Array(items)) => {
                let mut texts = Vec::with_capacity(items.len());
                for (place, item) in items.iter().enumerate() {
                    match item {
                        Value::String(text) => texts.push(text.clone()),
                        other => self.wrong(format!("{key}[{place}]"), other, "must be a text in double quotes"),
                    }
                }
                Some(texts)
            }
            Said::Value(other) => {
                self.wrong(key, other, "must be a list of texts: [\"…\"]");
                None
            }
        }
    }

    /// The entries of a list, whatever they are.
    pub(super) fn list(&mut self, key: &str) -> Option<&'v [Value]> {
        match self.get(key) {
            Said::Value(Value::Array(items)) => Some(items),
            Said::Value(other) => {
                self.wrong(key, other, "must be a list: […]");
                None
            }
            Said::Nothing | Said::Null => None,
        }
    }

    /// Facts: names with `true`, `false`, or a text that proves the fact (its number, say), which counts as `true`.
    pub(super) fn facts(&mut self, key: &str) -> Option<BTreeMap<String, bool>> {
        let map = match self.get(key) {
            Said::Nothing | Said::Null => return None,
            Said::Value(Value::Object(map)) => map,
            Said::Value(other) => {
                self.wrong(key, other, "must be an object of facts: {\"xingtu_order\": true}");
                return None;
            }
        };
        let mut facts = BTreeMap::new();
        for (name, value) in map {
            let carried = match value {
                Value::Bool(carried) => *carried,
                // A text that reads like a yes, a no or nothing is doubt, and doubt opens nothing.
                Value::String(text) if !matches!(text.trim(), "" | "true" | "false" | "yes" | "no" | "0" | "1") => true,
                other => {
                    let field = format!("{key}.{}", shown(name));
                    self.wrong(field, other, "must be true, false, or a text that proves the fact, such as its number");
                    continue;
                }
            };
            facts.insert(name.clone(), carried);
        }
        Some(facts)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_wrong_type_is_named_at_once() {
        let value = json!({"a": 1, "b": ["x", 2], "c": {"f": 3, "g": "no", "h": "order-7", "i": false}, "zzz": null});
        let mut fields = Fields::new(&value, &["a", "b", "c"]);
        assert_eq!(fields.text("a"), None);
        assert_eq!(fields.texts("b"), Some(vec!["x".to_owned()]));
        assert_eq!(fields.facts("c"), Some(BTreeMap::from([("h".to_owned(), true), ("i".to_owned(), false)])));
        let named: Vec<_> = fields.faults.iter().map(|fault| (&*fault.field, fault.code)).collect();
        let expected = ["a", "b[1]", "c.f", "c.g"].map(|field| (field, "wrong_type"));
        assert_eq!(named, [&[("zzz", "unknown_field")], &expected[..]].concat());
    }

    #[test]
    fn a_value_is_shown_shortened() {
        let long = "很".repeat(5_000);
        assert_eq!(FieldFault::new("url", &long, "x", "y").value.chars().count(), SHOWN);
        assert_eq!(Fields::new(&json!([1]), &[]).faults[0].code, "not_an_object");
    }
}
