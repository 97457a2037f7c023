//! The canonical form of a policy, whose SHA-256 is its version: JSON with sorted keys, agreements by id. Two files that
//! mean the same have the same version, however they are laid out. Never read back on the click path.

use serde_json::{Map, Value, json};

use super::folder::Loaded;
use super::yaml::Written;
use crate::config::tree::{Fault, Faults, from_json};
use crate::domain::policy::{Agreement, Effect, Kill, PairDefault, PolicySet, Version};
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::Vocabulary;

/// The canonical JSON of a policy without kills.
pub fn canonical(agreements: &[Agreement], defaults: &[PairDefault], words: &Vocabulary) -> String {
    value(agreements, defaults, &[], words).to_string()
}

/// The canonical JSON of a compiled policy.
pub fn of(policy: &PolicySet, words: &Vocabulary) -> String {
    value(policy.agreements(), policy.defaults(), policy.kills(), words).to_string()
}

/// The canonical form as a value. A policy without kills says nothing of them, so that its version does not depend on
/// whether there ever were any.
pub fn value(agreements: &[Agreement], defaults: &[PairDefault], kills: &[Kill], words: &Vocabulary) -> Value {
    let mut agreements: Vec<&Agreement> = agreements.iter().collect();
    agreements.sort_by(|a, b| a.id.cmp(&b.id));
    let agreements: Vec<Value> = agreements.into_iter().map(|agreement| describe(agreement, words)).collect();
    let mut defaults: Vec<Value> = defaults.iter().map(|default| describe_default(default, words)).collect();
    defaults.sort_by_key(Value::to_string);
    // serde_json's map is a BTreeMap here: keys come out sorted.
    let mut value = json!({ "agreements": agreements, "defaults": defaults });
    if !kills.is_empty() {
        let mut kills: Vec<&Kill> = kills.iter().collect();
        kills.sort_by(|a, b| a.id.cmp(&b.id));
        value["kills"] = kills.into_iter().map(|kill| describe_kill(kill, words)).collect();
    }
    value
}

/// The default of a pair as JSON, in the words of the files.
pub fn describe_default(default: &PairDefault, words: &Vocabulary) -> Value {
    json!({
        "platform": words.platform_name(default.platform),
        "marketplace": words.marketplace_name(default.marketplace),
        "outcome": default.outcome,
    })
}

/// A kill as JSON, in the words of the files; subjects that are not named are left out.
pub fn describe_kill(kill: &Kill, words: &Vocabulary) -> Value {
    let mut out = json!({ "id": kill.id, "from": kill.from, "until": kill.until, "by": kill.by, "why": kill.why });
    if let Some(platform) = kill.platform {
        out["platform"] = json!(words.platform_name(platform));
    }
    if let Some(marketplace) = kill.marketplace {
        out["marketplace"] = json!(words.marketplace_name(marketplace));
    }
    if let Some(creator) = &kill.creator {
        out["creator"] = json!(creator);
    }
    if let Some(shop) = &kill.shop {
        out["shop"] = json!(shop);
    }
    out
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

/// Compiles a policy and gives it its version.
pub fn compile(agreements: Vec<Agreement>, defaults: &[PairDefault], kills: Vec<Kill>, words: &Vocabulary) -> Loaded {
    let canonical = value(&agreements, defaults, &kills, words).to_string();
    let policy = PolicySet::compile(version(&canonical), agreements, defaults).with_kills(kills);
    Loaded { policy, canonical }
}

/// Compiles a kept version from its canonical form.
///
/// # Errors
/// The faults of a form that this build cannot read, or one that says its bytes are not those of `expected` (the 16 hex
/// digits a hop records, or all 64): a kept version that was altered must not pass for what decided.
pub fn read(expected: &str, canonical: &str, words: &Vocabulary) -> Result<PolicySet, Vec<Fault>> {
    let name = format!("policy version {expected}");
    let faults = Faults::default();
    let found = version(canonical);
    if expected.len() < 16 || !found.full().starts_with(expected) {
        faults.add(&name, 0, "", format!("has the hash {found}: the kept text was altered; restore it from a backup"));
        return Err(faults.into_found());
    }
    let mut written = Written::default();
    match serde_json::from_str::<Value>(canonical) {
        Ok(value) => written.read_node(&name, &from_json(&value), words, &faults),
        Err(error) => faults.add(&name, 0, "", format!("is not JSON: {error}")),
    }
    if faults.count() > 0 {
        return Err(faults.into_found());
    }
    let Written { agreements, defaults, kills, .. } = written;
    Ok(PolicySet::compile(found, agreements, &defaults).with_kills(kills.unwrap_or_default()))
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
        assert_eq!(of(&again, &words), loaded.canonical);
        assert_eq!(canonical(again.agreements(), &[], &words), loaded.canonical, "no kills, no word of them");
        assert_eq!(
            read(&loaded.policy.version().full(), &loaded.canonical, &words).unwrap().version(),
            again.version()
        );
        assert_eq!(again.version(), loaded.policy.version());
        let altered = loaded.canonical.replacen("2022", "2023", 1);
        assert!(read(&name, &altered, &words).unwrap_err()[0].problem.contains("altered"));
    }
}
