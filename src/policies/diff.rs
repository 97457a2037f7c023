//! What differs between two policies, agreement by agreement and field by field, told from their canonical forms. Never
//! judges a difference.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// What differs in one sort of entry.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Changes {
    /// Whole entries that are new.
    pub added: Vec<Value>,
    /// Whole entries that are gone.
    pub removed: Vec<Value>,
    /// Entries that say something else now.
    pub changed: Vec<Changed>,
}

impl Changes {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

/// An entry that says something else now.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Changed {
    /// Which one: an agreement's or kill's id, a default's pair.
    pub id: String,
    /// Every field that differs.
    pub fields: Vec<FieldChange>,
}

/// One field that differs. Null stands for a field that is not there.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct FieldChange {
    /// The field, as `when.surfaces`.
    pub field: String,
    /// What it said.
    pub from: Value,
    /// What it says.
    pub to: Value,
}

/// What differs between two policies.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Diff {
    /// The version on the left; none where there was no policy.
    pub from: Option<String>,
    /// The version on the right.
    pub to: Option<String>,
    /// Agreements.
    pub agreements: Changes,
    /// What happens where no agreement speaks.
    pub defaults: Changes,
    /// What is switched off.
    pub kills: Changes,
}

impl Diff {
    /// What differs between two canonical forms; `Null` is a policy that says nothing.
    pub fn between(from: &Value, to: &Value) -> Self {
        let of = |key: &str, id: fn(&Value) -> String| changes(&from[key], &to[key], id);
        let id = |entry: &Value| entry["id"].as_str().unwrap_or_default().to_owned();
        let pair = |entry: &Value| {
            let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
            format!("{} → {}", text("platform"), text("marketplace"))
        };
        Diff {
            from: None,
            to: None,
            agreements: of("agreements", id),
            defaults: of("defaults", pair),
            kills: of("kills", id),
        }
    }

    /// The same with the names of the two versions.
    #[must_use]
    pub fn named(mut self, from: Option<String>, to: Option<String>) -> Self {
        self.from = from;
        self.to = to;
        self
    }

    /// Whether the two say the same.
    pub fn is_empty(&self) -> bool {
        self.agreements.is_empty() && self.defaults.is_empty() && self.kills.is_empty()
    }
}

fn changes(from: &Value, to: &Value, id: fn(&Value) -> String) -> Changes {
    let by_id = |side: &Value| -> BTreeMap<String, Value> {
        side.as_array().into_iter().flatten().map(|entry| (id(entry), entry.clone())).collect()
    };
    let (mut before, after) = (by_id(from), by_id(to));
    let mut changes = Changes::default();
    for (id, entry) in after {
        match before.remove(&id) {
            None => changes.added.push(entry),
            Some(old) if old == entry => {}
            Some(old) => {
                let mut fields = Vec::new();
                compare("", &old, &entry, &mut fields);
                changes.changed.push(Changed { id, fields });
            }
        }
    }
    changes.removed = before.into_values().collect();
    changes
}

/// Goes down into tables, so that a change is told where it is; lists are told whole.
fn compare(path: &str, from: &Value, to: &Value, fields: &mut Vec<FieldChange>) {
    match (from.as_object(), to.as_object()) {
        (Some(old), Some(new)) => {
            let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for key in keys {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                compare(&path, &from[key.as_str()], &to[key.as_str()], fields);
            }
        }
        _ if from == to => {}
        _ => fields.push(FieldChange { field: path.to_owned(), from: from.clone(), to: to.clone() }),
    }
}

impl fmt::Display for Diff {
    /// For people: `+` is new, `-` is gone, `~` says something else now.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |side: &Option<String>| side.clone().unwrap_or_else(|| "nothing".to_owned());
        writeln!(f, "{} → {}", name(&self.from), name(&self.to))?;
        if self.is_empty() {
            return write!(f, "  no difference");
        }
        let mut lines = Vec::new();
        for (sort, changes) in [("agreement", &self.agreements), ("default", &self.defaults), ("kill", &self.kills)] {
            lines.extend(changes.removed.iter().map(|entry| format!("- {sort} {}", in_a_line(entry))));
            lines.extend(changes.added.iter().map(|entry| format!("+ {sort} {}", in_a_line(entry))));
            for changed in &changes.changed {
                lines.push(format!("~ {sort} {}", changed.id));
                lines.extend(changed.fields.iter().map(|field| format!("    {field}")));
            }
        }
        let count = |changes: &Changes| (changes.added.len(), changes.removed.len(), changes.changed.len());
        let (added, removed, changed) = count(&self.agreements);
        lines.push(format!("agreements: {added} added, {removed} removed, {changed} changed"));
        write!(f, "{}", lines.join("\n"))
    }
}

impl fmt::Display for FieldChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.field)?;
        match (self.from.as_array(), self.to.as_array()) {
            (Some(old), Some(new)) if old.iter().chain(new).all(|value| !value.is_object()) => {
                let gone = old.iter().filter(|value| !new.contains(value)).map(|value| format!("-{}", shown(value)));
                let come = new.iter().filter(|value| !old.contains(value)).map(|value| format!("+{}", shown(value)));
                write!(f, "{}", gone.chain(come).collect::<Vec<_>>().join(" "))
            }
            _ => write!(f, "{} → {}", shown(&self.from), shown(&self.to)),
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "(none)".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        Value::Object(map) => {
            let parts: Vec<String> = map.iter().map(|(key, value)| format!("{key} {}", shown(value))).collect();
            format!("({})", parts.join(", "))
        }
        other => other.to_string(),
    }
}

/// An entry so that one sees what it is about.
fn in_a_line(entry: &Value) -> String {
    let text = |key: &str| shown(&entry[key]);
    let until = entry["until"].as_str().unwrap_or("…");
    let subject = |key: &str| entry[key].as_str().map(|value| format!("{key} {value} "));
    if entry["why"].is_string() {
        let subjects: String = ["platform", "marketplace", "creator", "shop"].into_iter().filter_map(subject).collect();
        return format!("{}: {subjects}[{}, {until}) by {}: {}", text("id"), text("from"), text("by"), text("why"));
    }
    if entry["outcome"].is_string() {
        return format!("{} → {}: {}", text("platform"), text("marketplace"), text("outcome"));
    }
    let (pair, window) =
        (format!("{} → {}", text("platform"), text("marketplace")), format!("[{}, {until})", text("from")));
    format!("{}: {} {pair} {window}", text("id"), text("effect"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_difference_is_told_where_it_is() {
        let from = json!({
            "agreements": [
                {"id": "a", "effect": "allow", "platform": "kuaishou", "marketplace": ["jd"], "from": "2022-01-01"},
                {"id": "b", "until": "2022-12-01", "when": {"surfaces": ["live_cart", "note"]}, "landing": "app"},
                {"id": "c"},
            ],
            "defaults": [{"platform": "kuaishou", "marketplace": "jd", "outcome": "deny"}],
        });
        let to = json!({
            "agreements": [
                {"id": "b", "until": "2023-01-01", "when": {"surfaces": ["chat", "live_cart"], "shops": ["shop:1"]},
                    "landing": "app"},
                {"id": "c"},
                {"id": "d", "effect": "deny", "platform": "douyin", "marketplace": ["jd", "tmall"], "from": "2022-02-02",
                    "until": "2022-03-03"},
            ],
            "defaults": [{"platform": "kuaishou", "marketplace": "jd", "outcome": "allow"}],
            "kills": [{"id": "kill-1", "platform": "douyin", "from": "2022-01-01", "until": "2022-01-02", "by": "ops",
                "why": "fraud"}],
        });
        let diff = Diff::between(&from, &to).named(Some("aaaa".into()), Some("bbbb".into()));
        assert!(!diff.is_empty());
        let expected = "aaaa → bbbb\n\
            - agreement a: allow kuaishou → jd [2022-01-01, …)\n\
            + agreement d: deny douyin → jd, tmall [2022-02-02, 2022-03-03)\n\
            ~ agreement b\n    until: 2022-12-01 → 2023-01-01\n    when.shops: (none) → shop:1\n    \
            when.surfaces: -note +chat\n\
            ~ default kuaishou → jd\n    outcome: deny → allow\n\
            + kill kill-1: platform douyin [2022-01-01, 2022-01-02) by ops: fraud\n\
            agreements: 1 added, 1 removed, 1 changed";
        assert_eq!(diff.to_string(), expected);
        let fields = &diff.agreements.changed[0].fields;
        assert_eq!((&fields[0].from, &fields[0].to), (&json!("2022-12-01"), &json!("2023-01-01")));
        let same = Diff::between(&to, &to);
        assert!(same.is_empty() && same.to_string().contains("no difference"));
        assert_eq!(Diff::between(&Value::Null, &to).agreements.added.len(), 3);
    }
}
