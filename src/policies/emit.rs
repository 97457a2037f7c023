//! A canonical form written out as an agreements file, which loads back to the same version. Never leaves anything out.

use std::fmt::Write as _;

use serde_json::Value;

/// The order in which people read an agreement; what is not named here follows by name.
const ORDER: [&str; 24] = [
    "agreements",
    "defaults",
    "kills",
    "id",
    "title",
    "platform",
    "marketplace",
    "creator",
    "shop",
    "effect",
    "outcome",
    "from",
    "until",
    "by",
    "why",
    "salt",
    "steps",
    "at",
    "percent",
    "when",
    "rollout",
    "landing",
    "attribution",
    "priority",
];

/// The YAML of a canonical form.
pub fn yaml(canonical: &Value) -> String {
    let mut out = String::new();
    table(canonical, 0, false, &mut out);
    out
}

/// The entries of a table, each on its line; the first goes on where the writer is when `inline`.
fn table(value: &Value, indent: usize, inline: bool, out: &mut String) {
    let Some(map) = value.as_object() else { return };
    let place = |key: &str| ORDER.iter().position(|known| *known == key).unwrap_or(ORDER.len());
    let mut entries: Vec<(&String, &Value)> = map.iter().collect();
    entries.sort_by_key(|(key, _)| (place(key), *key));
    for (number, (key, value)) in entries.into_iter().enumerate() {
        let lead = if inline && number == 0 { 0 } else { indent };
        let _ = write!(out, "{:lead$}{}:", "", text(key));
        match value {
            Value::Array(items) if items.iter().any(Value::is_object) => {
                out.push('\n');
                for item in items {
                    let _ = write!(out, "{:width$}- ", "", width = indent + 2);
                    table(item, indent + 4, true, out);
                }
            }
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(scalar).collect();
                let _ = writeln!(out, " [{}]", items.join(", "));
            }
            Value::Object(inner) if inner.is_empty() => out.push_str(" {}\n"),
            Value::Object(_) => {
                out.push('\n');
                table(value, indent + 2, false, out);
            }
            other => {
                let _ = writeln!(out, " {}", scalar(other));
            }
        }
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(words) => text(words),
        other => other.to_string(),
    }
}

/// A text bare where it can be nothing but a text, else in double quotes, in which JSON's escapes are YAML's.
fn text(words: &str) -> String {
    let bare = words.starts_with(|c: char| c.is_ascii_alphabetic())
        && words.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
        && !matches!(
            words.to_ascii_lowercase().as_str(),
            "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n"
        );
    // A date, as the shipped files write it.
    let date = words.len() >= 20
        && words.starts_with(|c: char| c.is_ascii_digit())
        && words.bytes().all(|byte| byte.is_ascii_digit() || b"-T:.+Z".contains(&byte))
        && words.contains('T');
    if bare || date {
        return words.to_owned();
    }
    let mut out = String::from("\"");
    for c in words.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::config::tree::Faults;
    use crate::domain::policy::{
        Agreement, Attribution, Conditions, Effect, Kill, PairDefault, Rollout, Step, StickTo,
    };
    use crate::domain::time::Timestamp;
    use crate::domain::vocabulary::{LandingMode, LinkKind, MarketplaceId, PlatformId, ShopType, Surface, Vocabulary};
    use crate::policies::yaml::Written;
    use crate::policies::{canonical, folder};

    /// The version of a file's text.
    fn version_of(text: &str, words: &Vocabulary) -> String {
        let faults = Faults::default();
        let mut written = Written::default();
        written.read("x.yaml", text, words, &faults);
        assert_eq!(faults.count(), 0, "{:?}\n{text}", faults.into_sorted());
        let kills = written.kills.unwrap_or_default();
        canonical::compile(written.agreements, &written.defaults, kills, words).policy.version().full()
    }

    fn words() -> impl Strategy<Value = Box<str>> {
        // Whatever a title can hold, and what YAML could take for something else.
        prop_oneof![
            "\\PC{1,12}",
            "[\\x00-\\x7f]{1,12}",
            Just("no".to_owned()),
            Just("1e3".to_owned()),
            Just("- a: #b".to_owned()),
            Just("\u{feff}\u{85}\u{2028}中\u{10ffff}\"\\".to_owned()),
            Just("2022-01-01T00:00:00Z".to_owned()),
        ]
        .prop_filter("not blank", |text| !text.trim().is_empty())
        .prop_map(Box::from)
    }

    fn ids() -> impl Strategy<Value = Vec<Box<str>>> {
        proptest::collection::vec("[a-z0-9:~,#'\"{}]{1,6}".prop_map(Box::from), 0..3)
    }

    prop_compose! {
        fn agreement()(
            id in "[a-z0-9-]{3,12}",
            title in words(),
            marketplaces in proptest::sample::subsequence(vec![0u8, 1, 2, 5], 1..=3),
            deny: bool,
            from in 0i64..2_000_000_000_000_000,
            length in prop::option::of(1i64..1_000_000_000_000),
            surfaces in proptest::sample::subsequence(Surface::ALL.to_vec(), 0..3),
            texts in (ids(), ids(), ids()),
            requires in ids(),
            share in prop::option::of((0u16..=10_000, words())),
            sampling in prop::option::of((1u32..=1_000, words())),
            priority in -1_000i32..=1_000,
            evidence in prop::option::of(words()),
        ) -> Agreement {
            let (categories, creators, items) = texts;
            let from = Timestamp::from_micros(from);
            Agreement {
                id: id.into(),
                title,
                platform: PlatformId(1),
                marketplaces: marketplaces.into_iter().map(MarketplaceId).collect(),
                effect: if deny { Effect::Deny } else { Effect::Allow },
                from,
                until: length.map_or(Timestamp::MAX, |length| from.plus_micros(length)),
                when: Conditions {
                    surfaces,
                    shop_types: vec![ShopType::Pop],
                    link_kinds: vec![LinkKind::Item],
                    categories,
                    creators,
                    items,
                    requires,
                    shops: vec!["shop:1".into()],
                },
                rollout: share.map(|(share, salt)| Rollout {
                    by: StickTo::Creator,
                    salt,
                    steps: vec![Step { at: from, basis_points: share }],
                }),
                landing: LandingMode::InApp,
                attribution: sampling.map(|(sampling, event)| Attribution {
                    window_days: 15,
                    sampling: f64::from(sampling) / 1_000.0,
                    events: vec![event],
                }),
                priority,
                evidence: evidence.unwrap_or_default(),
            }
        }
    }

    proptest! {
        #[test]
        fn a_written_out_policy_loads_back_to_the_same_version(
            mut agreements in proptest::collection::vec(agreement(), 0..5),
            default in prop::option::of(0u8..3),
            why in prop::option::of(words()),
        ) {
            let vocabulary = Vocabulary::default();
            agreements.sort_by(|a, b| a.id.cmp(&b.id));
            agreements.dedup_by(|a, b| a.id == b.id);
            let defaults: Vec<PairDefault> = default
                .map(|id| PairDefault { platform: PlatformId(id), marketplace: MarketplaceId(id), outcome: Effect::Allow })
                .into_iter()
                .collect();
            let kills: Vec<Kill> = why
                .map(|why| Kill {
                    id: "kill-00".into(),
                    platform: Some(PlatformId(0)),
                    marketplace: None,
                    creator: Some(why.clone()),
                    shop: None,
                    from: Timestamp::from_micros(1),
                    until: Timestamp::from_micros(2),
                    by: why.clone(),
                    why,
                })
                .into_iter()
                .collect();
            let loaded = canonical::compile(agreements, &defaults, kills, &vocabulary);
            let written = yaml(&serde_json::from_str(&loaded.canonical).unwrap());
            prop_assert_eq!(version_of(&written, &vocabulary), loaded.policy.version().full(), "{}", written);
            let name = loaded.policy.version().to_string();
            let again = canonical::read(&name, &loaded.canonical, &vocabulary).unwrap();
            prop_assert_eq!(canonical::of(&again, &vocabulary), loaded.canonical);
        }
    }

    #[test]
    fn the_shipped_history_survives_being_written_out() {
        let words = Vocabulary::default();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/policies");
        let loaded = folder::load(&shipped, &words).unwrap();
        let written = yaml(&serde_json::from_str(&loaded.canonical).unwrap());
        assert_eq!(version_of(&written, &words), loaded.policy.version().full());
        assert!(written.contains("    from: 2022-10-28T00:00:00+08:00\n"), "{written}");
        assert!(written.starts_with("agreements:\n  - id: "), "{written}");
    }
}
