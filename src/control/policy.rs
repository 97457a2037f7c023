//! A policy as somebody proposes it over the API: agreements in JSON, or a kept version. Every fault at once, each with its
//! JSON pointer. Never publishes.

use serde_json::{Value, json};

use super::fields::{FieldFault, Fields, rendered};
use crate::config::tree::{Faults, from_json};
use crate::domain::vocabulary::Vocabulary;
use crate::policies::publish::Proposal;
use crate::policies::store::prefix;
use crate::policies::yaml::Written;

/// The longest note and author, in characters.
pub const LONGEST_NOTE: usize = 500;

/// The fields of a proposal.
pub const FIELDS: [&str; 7] = ["agreements", "defaults", "kills", "version", "exact", "note", "allow_lint_errors"];

/// A checked proposal.
#[derive(Debug)]
pub struct PolicyDraft {
    /// What is proposed.
    pub proposal: Proposal,
    /// What for.
    pub note: String,
    /// Whether findings that weigh as errors are let through.
    pub allow_findings: bool,
}

impl PolicyDraft {
    /// Reads a JSON object.
    ///
    /// # Errors
    /// Every fault of it.
    pub fn read(value: &Value, words: &Vocabulary) -> Result<Self, Vec<FieldFault>> {
        let mut fields = Fields::new(value, &FIELDS);
        let version = fields.text("version");
        let note = fields.text("note").unwrap_or_default();
        let exact = fields.flag("exact").unwrap_or(false);
        let allow_findings = fields.flag("allow_lint_errors").unwrap_or(false);
        let mut faults = fields.faults;
        if let Some(problem) = note_fault(&note) {
            faults.push(FieldFault::new("note", &note, "bad_note", problem));
        }
        let parts = ["agreements", "defaults", "kills"];
        let given = |key: &str| value.get(key).is_some_and(|part| !part.is_null());
        let written = parts.into_iter().any(given);
        let proposal = match version {
            Some(version) => {
                if let Some(part) = parts.into_iter().find(|key| given(key)) {
                    let problem = "give either `version`, a kept one, or what the policy says, not both";
                    faults.push(FieldFault::new(part, &rendered(&value[part]), "version_and_text", problem));
                }
                if let Err(error) = prefix(&version) {
                    faults.push(FieldFault::new("version", &version, "not_a_version", error.to_string()));
                }
                Proposal::Kept { version, exact }
            }
            None => {
                if exact {
                    let problem = "goes with `version`: say `kills: []` to publish without those in force";
                    faults.push(FieldFault::new("exact", "true", "without_version", problem));
                }
                if value.is_object() && !given("agreements") {
                    let problem =
                        "is missing: give the agreements, or `version` for a kept one; [] says that none is meant";
                    faults.push(FieldFault::new("agreements", "", "missing", problem));
                }
                let mut read = Written::default();
                if written {
                    let found = Faults::default();
                    let body = json!({
                        "agreements": value["agreements"], "defaults": value["defaults"], "kills": value["kills"],
                    });
                    read.read_node("body", &from_json(&body), words, &found);
                    faults.extend(found.into_found().into_iter().map(|fault| {
                        let shown = value.pointer(&pointer(&fault.field)).map(rendered).unwrap_or_default();
                        FieldFault::new(fault.field, &shown, "bad_policy", fault.problem)
                    }));
                }
                Proposal::Written(read)
            }
        };
        if faults.is_empty() { Ok(PolicyDraft { proposal, note, allow_findings }) } else { Err(faults) }
    }
}

/// What is wrong with a note or an author's name, if anything is.
pub fn note_fault(text: &str) -> Option<String> {
    let bad = text.chars().count() > LONGEST_NOTE || text.chars().any(char::is_control);
    bad.then(|| format!("use at most {LONGEST_NOTE} characters, and no control character"))
}

/// The JSON pointer of a field: `agreements[2].when.surfaces[0]` is `/agreements/2/when/surfaces/0`.
pub fn pointer(field: &str) -> String {
    let mut out = String::with_capacity(field.len() + 1);
    if !field.is_empty() {
        out.push('/');
    }
    for c in field.chars() {
        match c {
            '.' | '[' => out.push('/'),
            ']' => {}
            '~' => out.push_str("~0"),
            '/' => out.push_str("~1"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_a_policy_has_its_pointer() {
        let words = Vocabulary::default();
        let agreement = |id: usize| {
            json!({"id": format!("a-{id}"), "title": "t", "platform": "kuaishuo", "marketplace": "jd",
            "effect": "allow", "from": "2022-01-01"})
        };
        let body = json!({"agreements": (0..50).map(agreement).collect::<Vec<_>>(), "note": "x"});
        let faults = PolicyDraft::read(&body, &words).unwrap_err();
        assert_eq!(faults.len(), 50, "a policy with 50 faults lists 50");
        assert_eq!(pointer(&faults[49].field), "/agreements/49/platform");
        assert_eq!(faults[49].value, "kuaishuo");
        let twins = json!({"agreements": [{"id": "twin"}, {"id": "twin"}]});
        let faults = PolicyDraft::read(&twins, &words).unwrap_err();
        assert!(faults.iter().any(|fault| fault.problem.contains("already used at agreements[0]")), "{faults:?}");

        let named = |value: Value| {
            let faults = PolicyDraft::read(&value, &words).unwrap_err();
            faults.into_iter().map(|fault| format!("{} {}", fault.field, fault.code)).collect::<Vec<_>>()
        };
        assert_eq!(named(json!({})), ["agreements missing"]);
        assert_eq!(named(json!([])), [" not_an_object"]);
        assert_eq!(named(json!({"agreements": 5})), ["agreements bad_policy"]);
        assert_eq!(
            named(json!({"version": "zz", "agreements": []})),
            ["agreements version_and_text", "version not_a_version"]
        );
        assert_eq!(named(json!({"agreements": [], "exact": true})), ["exact without_version"]);
        assert_eq!(
            named(json!({"agreements": [], "note": "a\nb", "colour": 1})),
            ["colour unknown_field", "note bad_note"]
        );
        assert!(PolicyDraft::read(&json!({"agreements": []}), &words).is_ok(), "that none is meant");
    }
}
