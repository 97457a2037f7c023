//! A candidate policy as a request names it: a kept version, or agreements of its own. For backtests and the shadow; never
//! puts anything in force and never keeps it.

use serde_json::{Value, json};

use super::fields::FieldFault;
use super::problem::ApiError;
use crate::config::tree::Faults;
use crate::domain::vocabulary::Vocabulary;
use crate::policies::canonical;
use crate::policies::store::PolicyStore;
use crate::policies::versions::{Kept, read};
use crate::policies::yaml::Written;

/// The fields of a body that name the candidate.
pub const FIELDS: [&str; 3] = ["version", "agreements", "defaults"];

/// Reads the candidate of a request.
///
/// # Errors
/// [`ApiError::Invalid`] with every fault; [`ApiError::Policies`] when the store does not answer.
pub async fn candidate(body: &Value, words: &Vocabulary, store: &dyn PolicyStore) -> Result<Kept, ApiError> {
    let given = |key: &str| body.get(key).filter(|value| !value.is_null());
    let one = |field: &str, value: &str, code, problem: &str| {
        ApiError::from(vec![FieldFault::new(field, value, code, problem)])
    };
    match (given("version"), given("agreements")) {
        (Some(Value::String(name)), None) if given("defaults").is_none() => {
            let stored = store.get(name).await.map_err(ApiError::Policies)?.ok_or_else(|| {
                one("version", name, "unknown_version", "no version of this name is kept: give its 16 hex digits")
            })?;
            read(&stored.version, &stored.canonical, words)
                .map_err(|fault| one("version", name, "unusable_version", &fault.to_string()))
        }
        (Some(Value::String(_)), _) => {
            Err(one("version", "", "contradiction", "give either `version` or `agreements` with `defaults`, not both"))
        }
        (Some(_), _) => Err(one("version", "", "wrong_type", "must be a text: put it in double quotes")),
        (None, Some(agreements)) => {
            let text =
                json!({ "agreements": agreements, "defaults": given("defaults").unwrap_or(&json!([])) }).to_string();
            let words = words.clone();
            let reading = tokio::task::spawn_blocking(move || compile(&text, words));
            reading.await.map_err(|error| ApiError::Internal(error.to_string()))?.map_err(ApiError::Invalid)
        }
        (None, None) => {
            let problem = "name the candidate: `version` for a kept one, or its `agreements`";
            Err(one("version", "", "required", problem))
        }
    }
}

fn compile(text: &str, words: Vocabulary) -> Result<Kept, Vec<FieldFault>> {
    let faults = Faults::default();
    let mut written = Written::default();
    // JSON is YAML.
    written.read("body", text, &words, &faults);
    if faults.count() > 0 {
        let told = |fault: &crate::config::tree::Fault| {
            FieldFault::new(fault.field.clone(), "", "bad_policy", fault.problem.clone())
        };
        return Err(faults.into_sorted().iter().map(told).collect());
    }
    let policy = canonical::compile(written.agreements, &written.defaults, Vec::new(), &words).policy;
    Ok(Kept { policy, words })
}
