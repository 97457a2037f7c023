//! What receivers are told. Pure: an event made twice from the same facts has the same id. Never knows who is told.

use serde_json::{Value, json};

use crate::config::webhooks::EventKind;
use crate::domain::span::Span;
use crate::domain::time::Timestamp;

/// For how long an event is remembered after it has lost its meaning, so that it is not made again.
const REMEMBERED: Span = Span::days(30);

/// Something that happened, or will.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Its id, made from what it is about; receivers take one id once.
    pub id: String,
    /// What it is.
    pub kind: EventKind,
    /// When it happened.
    pub at: Timestamp,
    /// The JSON that is sent.
    pub body: String,
    /// Until when it must be remembered.
    pub keep_until: Timestamp,
}

impl Event {
    /// An event about what `key` names; it means something until `until`.
    pub fn new(kind: EventKind, key: &[&str], at: Timestamp, until: Timestamp, data: &Value) -> Self {
        let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
        for part in [kind.as_str()].iter().chain(key) {
            // Lengths first: two parts must not read as one.
            digest.update(&(part.len() as u64).to_le_bytes());
            digest.update(part.as_bytes());
        }
        let digest = digest.finish();
        let hex: String = digest.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        let id = format!("evt_{hex}");
        let body = json!({"id": id, "type": kind, "at": at, "data": data}).to_string();
        Event { id, kind, at, body, keep_until: REMEMBERED.after(until) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_facts_make_the_same_id_and_others_do_not() {
        let at = Timestamp::from_millis(5);
        let make = |kind, key: &[&str]| Event::new(kind, key, at, at, &json!({})).id;
        let one = make(EventKind::WindowOpened, &["a", "5"]);
        assert_eq!(one, make(EventKind::WindowOpened, &["a", "5"]));
        assert!(one.len() == 36 && !one.contains('.'), "{one}");
        let others = [make(EventKind::WindowClosed, &["a", "5"]), make(EventKind::WindowOpened, &["a5", ""])];
        assert!(!others.contains(&one));
        let event = Event::new(EventKind::Test, &["x"], at, at, &json!({"a": 1}));
        let body: Value = serde_json::from_str(&event.body).unwrap();
        assert_eq!(body, json!({"id": event.id, "type": "webhook.test", "at": at, "data": {"a": 1}}));
    }
}
