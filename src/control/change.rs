//! A change to a link as somebody asks for it: the body of `PATCH /v1/links/{code}`. What is left out stays as it is,
//! `null` clears what can be cleared. Never changes a link's landing, code or creator.

use serde_json::Value;

use super::alternates;
use super::checks::Checks;
use super::fields::{FieldFault, Fields, Said};
use crate::catalog::store::LinkChange;
use crate::domain::link::LinkState;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::Vocabulary;

/// The fields that can be changed.
pub const FIELDS: [&str; 9] =
    ["state", "expires_at", "tags", "category", "shop_type", "facts", "platform", "surface", "alternates"];

/// The change a JSON object asks for.
///
/// # Errors
/// Every fault of it; asking for nothing is one.
pub fn read(value: &Value, words: &Vocabulary, now: Timestamp) -> Result<LinkChange, Vec<FieldFault>> {
    let mut fields = Fields::new(value, &FIELDS);
    let state = fields.text("state");
    let expires_at = fields.said_text("expires_at");
    let tags = fields.texts("tags");
    let category = fields.said_text("category");
    let shop_type = fields.text("shop_type");
    let facts = fields.facts("facts");
    let platform = fields.said_text("platform");
    let surface = fields.said_text("surface");
    let alternates = alternates::read(&mut fields);
    let mut checks = Checks::new(words, fields.faults);
    if let Some(map) = value.as_object() {
        for (key, mend) in [
            ("state", "may not be null: use active or disabled"),
            ("tags", "may not be null: send [] to remove all tags"),
            ("shop_type", "may not be null: use unknown"),
            ("facts", "may not be null: send {} to remove all facts"),
            ("alternates", "may not be null: send [] to remove all alternates"),
        ] {
            if map.get(key).is_some_and(Value::is_null) {
                checks.fault(key, "null", "wrong_type", mend);
            }
        }
        if map.is_empty() {
            checks.fault("", "{}", "missing", format!("says nothing to change: give one of {}", FIELDS.join(", ")));
        }
    }
    let change = LinkChange {
        state: state.and_then(|text| {
            let state = state_of(&text);
            if state.is_none() {
                checks.fault("state", &text, "unknown_name", "this state is not known: use active or disabled");
            }
            state
        }),
        expires_at: nullable(expires_at, |text| checks.expiry(text, now)),
        tags: tags.map(|tags| checks.tags(&tags)),
        category: nullable(category, |text| checks.label("category", text)),
        shop_type: shop_type.and_then(|text| checks.shop_type(&text)),
        facts: facts.map(|facts| checks.facts(&facts)),
        platform: nullable(platform, |text| checks.platform("platform", text)),
        surface: nullable(surface, |text| checks.surface(text)),
        creator: None,
        alternates: alternates.map(|drafts| checks.alternates(&drafts, None)),
    };
    if checks.faults.is_empty() { Ok(change) } else { Err(checks.faults) }
}

/// The state of a name.
pub(super) fn state_of(text: &str) -> Option<LinkState> {
    match text {
        "active" => Some(LinkState::Active),
        "disabled" => Some(LinkState::Disabled),
        _ => None,
    }
}

fn nullable<T>(said: Said<String>, check: impl FnOnce(&str) -> Option<T>) -> Option<Option<T>> {
    match said {
        Said::Nothing => None,
        Said::Null => Some(None),
        Said::Value(text) => check(&text).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn null_clears_and_absence_keeps() {
        let words = Vocabulary::default();
        let now = Timestamp::from_millis(0);
        let change = read(&json!({"expires_at": null, "platform": "kuaishou", "tags": []}), &words, now).unwrap();
        let expected = LinkChange {
            expires_at: Some(None),
            platform: Some(words.platform("kuaishou")),
            tags: Some(Vec::new()),
            ..LinkChange::default()
        };
        assert_eq!(change, expected);
        let bad = json!({"state": "gone", "tags": null, "url": "x", "surface": 1, "expires_at": "1969-01-01"});
        let faults = read(&bad, &words, now).unwrap_err();
        let mut named: Vec<_> = faults.iter().map(|fault| &*fault.field).collect();
        named.sort_unstable();
        assert_eq!(named, ["expires_at", "state", "surface", "tags", "url"]);
        assert_eq!(read(&json!({}), &words, now).unwrap_err()[0].code, "missing");
    }
}
