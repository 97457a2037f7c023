//! Findings about a policy in the words of the files, for the command line and the API. Never decides what is one; that is
//! [`mod@crate::domain::policy::lint`].

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::config::tree::Fault;
use crate::domain::policy::PolicySet;
use crate::domain::policy::lint::{HeavyTraffic, Lint, LintContext, MOST, Severity, lint};
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::Vocabulary;

/// One finding.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is.
    pub kind: String,
    /// The agreements it is about, the one to mend first.
    pub agreements: Vec<String>,
    /// One sentence with the mend.
    pub message: String,
    /// A click that shows it, by name and value; what is not known is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub example: Option<BTreeMap<&'static str, String>>,
}

impl Finding {
    /// A finding in the words of `words`.
    pub fn new(lint: &Lint, words: &Vocabulary) -> Self {
        Finding {
            severity: lint.severity,
            kind: lint.kind.to_string(),
            agreements: lint.agreements.iter().map(|id| id.to_string()).collect(),
            message: lint.message.clone(),
            example: lint.example.as_ref().map(|click| click.named(words).into_iter().collect()),
        }
    }

    /// Whether it keeps the policy from coming into force.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.severity, self.kind, self.message)?;
        let Some(example) = &self.example else { return Ok(()) };
        f.write_str("\n    e.g.")?;
        example.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

/// Findings of a folder: those that keep it from coming into force as its faults, and the others.
pub fn weighed(folder: &Path, found: Vec<Finding>) -> (Vec<Fault>, Vec<Finding>) {
    let (grave, slight): (Vec<Finding>, Vec<Finding>) = found.into_iter().partition(Finding::is_error);
    let fault = |finding: &Finding| Fault {
        file: folder.display().to_string(),
        line: 1,
        field: String::new(),
        problem: finding.to_string(),
    };
    (grave.iter().map(fault).collect(), slight)
}

/// Looks at a policy as it is at `now`. `links_depending` counts the links of an agreement, where somebody can.
pub fn look(
    policy: &PolicySet,
    words: &Vocabulary,
    traffic: &HeavyTraffic,
    now: Timestamp,
    links_depending: &dyn Fn(&str) -> Option<u64>,
) -> Vec<Finding> {
    let context = LintContext { now, links_depending, traffic, most: MOST };
    lint(policy, &context).iter().map(|lint| Finding::new(lint, words)).collect()
}
