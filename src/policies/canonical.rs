//! The canonical form of a policy, whose SHA-256 is its version: JSON with sorted keys, agreements by id. Two files that
//! mean the same have the same version, however they are laid out. Never read back on the click path.

use serde_json::{Map, Value, json};

use super::yaml::Written;
use crate::config::tree::{Fault, Faults};
use crate::domain::policy::{Agreement, Effect, PairDefault, PolicySet, Version};
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::Vocabulary;

/// The canonical JSON of a policy.
pub fn canonical(agreements: &[Agreement], defaults: &[PairDefault], words: &Vocabulary) -> String {
    let mut agreements: Vec<&Agreement> = agreements.iter().collect();
    agreements.sort_by(|a, b| a.id.cmp(&b.id));
    let agreements: Vec<Value> = agreements.into_iter().map(|agreement| describe(agreement, words)).collect();
    let mut defaults: Vec<Value> = defaults
        .iter()
        .map(|default| {
            json!({
                "platform": words.platform_name(default.platform),
                "marketplace": words.marketplace_name(default.marketplace),
                "outcome": default.outcome,
            })
        })
        .collect();
    defaults.sort_by_key(Value::to_string);
    // serde_json's map is a BTreeMap here: keys come out sorted.
    json!({ "agreements": agreements, "defaults": defaults }).to_string()
}

/// One agreement as JSON, in the words of the files; absent conditions are left out.
pub fn describe(agreement: &Agreement, words: &Vocabulary) -> Value {
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| {
        let empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty) || value == json!("");
        if !empty {
            out.insert(key.to_owned(), value);
        }
    };
    put("id", json!(agreement.id));
    put("title", json!(agreement.title));
    put("platform", json!(words.platform_name(agreement.platform)));
    let mut marketplaces: Vec<&str> = agreement.marketplaces.iter().map(|id| words.marketplace_name(*id)).collect();
    marketplaces.sort_unstable();
    put("marketplace", json!(marketplaces));
    put("effect", json!(agreement.effect));
    put("from", json!(agreement.from));
    put("until", if agreement.until == Timestamp::MAX { Value::Null } else { json!(agreement.until) });
    let mut when = json!(agreement.when);
    if let Some(conditions) = when.as_object_mut() {
        conditions.retain(|_, value| {
            if let Some(values) = value.as_array_mut() {
                values.sort_by_key(Value::to_string);
            }
            value.as_array().is_some_and(|values| !values.is_empty())
        });
        if conditions.is_empty() {
            when = Value::Null;
        }
    }
    put("when", when);
    put(
        "rollout",
        agreement.rollout.as_ref().map_or(Value::Null, |rollout| {
            let steps: Vec<Value> = rollout
                .steps
                .iter()
                .map(|step| json!({ "at": step.at, "percent": f64::from(step.basis_points) / 100.0 }))
                .collect();
            json!({ "by": rollout.by, "salt": rollout.salt, "steps": steps })
        }),
    );
    let lands = agreement.effect != Effect::DataReturn;
    put("landing", if lands { json!(agreement.landing) } else { Value::Null });
    put("attribution", json!(agreement.attribution));
    put("priority", json!(agreement.priority));
    put("evidence", json!(agreement.evidence));
    Value::Object(out)
}

/// The version of a canonical form.
pub fn version(canonical: &str) -> Version {
    let digest = ring::digest::digest(&ring::digest::SHA256, canonical.as_bytes());
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.as_ref());
    Version(hash)
}

/// Compiles a kept version from its canonical form.
///
/// # Errors
/// The faults of a form that this build cannot read, or one that says its bytes are not those of `expected` (the 16 hex
/// digits a hop records): a kept version that was altered must not pass for what decided.
pub fn read(expected: &str, canonical: &str, words: &Vocabulary) -> Result<PolicySet, Vec<Fault>> {
    let name = format!("policy version {expected}");
    let faults = Faults::default();
    let found = version(canonical);
    if found.to_string() != expected {
        faults.add(&name, 1, "", format!("has the hash {found}: the kept text was altered; restore it from a backup"));
        return Err(faults.into_sorted());
    }
    // JSON is YAML.
    let mut written = Written::default();
    written.read(&name, canonical, words, &faults);
    if faults.count() > 0 {
        return Err(faults.into_sorted());
    }
    Ok(PolicySet::compile(found, written.agreements, &written.defaults))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::policies::folder;

    #[test]
    fn a_kept_version_reads_back_as_itself_and_an_altered_one_does_not() {
        let words = Vocabulary::default();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/policies");
        let loaded = folder::load(&shipped, &words).unwrap();
        let name = loaded.policy.version().to_string();
        let again = read(&name, &loaded.canonical, &words).unwrap();
        assert_eq!(canonical(again.agreements(), &[], &words), loaded.canonical);
        assert_eq!(again.version(), loaded.policy.version());
        let altered = loaded.canonical.replacen("2022", "2023", 1);
        assert!(read(&name, &altered, &words).unwrap_err()[0].problem.contains("altered"));
    }
}
