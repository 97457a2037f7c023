//! Terms of data return for what somebody knows of a note: the question of `hopgate policy terms`, checked, and its
//! answer. Asks the policy; never has an opinion of its own.

use serde::Serialize;

use super::checks::Checks;
use super::fields::FieldFault;
use crate::domain::policy::terms::{around, terms};
use crate::domain::policy::{Facts, PolicySet};
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::{LinkKind, ShopType, Vocabulary};

/// A question as somebody asks it. What is left out is not known.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TermsRequest {
    /// Where the note is.
    pub platform: String,
    /// Where its readers buy.
    pub marketplace: String,
    /// The spot on the platform.
    pub surface: Option<String>,
    /// Who runs the shop.
    pub shop_type: Option<String>,
    /// What a link leads to.
    pub link_kind: Option<String>,
    /// The goods' category.
    pub category: Option<String>,
    /// The creator.
    pub creator: Option<String>,
}

/// The object of `policy terms --json`.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct TermsView {
    /// The instant of reading.
    pub at: Timestamp,
    /// The policy version asked.
    pub policy_version: String,
    /// The agreement that gives the terms; none when none are in force, and then all below it are none.
    pub agreement: Option<String>,
    /// Days after the reading within which an event counts.
    pub window_days: Option<u16>,
    /// Share of the data that is returned.
    pub sampling: Option<f64>,
    /// Names of the returned events.
    pub events: Option<Vec<String>>,
    /// Without terms: the agreement whose terms ended last.
    pub ended: Option<Edge>,
    /// Without terms: the agreement whose terms begin next.
    pub begins: Option<Edge>,
}

/// One end of a window.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Edge {
    /// Whose.
    pub agreement: String,
    /// When.
    pub at: Timestamp,
}

impl TermsRequest {
    /// The terms at `at` under `policy`.
    ///
    /// # Errors
    /// Every fault of the question.
    pub fn answer(&self, policy: &PolicySet, words: &Vocabulary, at: Timestamp) -> Result<TermsView, Vec<FieldFault>> {
        let mut checks = Checks::new(words, Vec::new());
        let platform = checks.platform("platform", &self.platform);
        let marketplace = checks.marketplace("marketplace", &self.marketplace);
        let surface = self.surface.as_deref().and_then(|text| checks.surface(text));
        let shop_type = self.shop_type.as_deref().and_then(|text| checks.shop_type(text));
        let link_kind = self.link_kind.as_deref().and_then(|text| checks.link_kind(text));
        for (field, text) in [("category", &self.category), ("creator", &self.creator)] {
            if let Some(text) = text {
                checks.label(field, text);
            }
        }
        let Some(marketplace) = marketplace.filter(|_| checks.faults.is_empty()) else { return Err(checks.faults) };
        let facts = Facts {
            platform,
            surface,
            marketplace,
            shop_type: shop_type.unwrap_or(ShopType::Unknown),
            link_kind: link_kind.unwrap_or(LinkKind::Unknown),
            category: self.category.as_deref().unwrap_or_default(),
            creator: self.creator.as_deref().unwrap_or_default(),
            shop: "",
            item: "",
            carried: "",
            link: "",
            visitor: 0,
        };
        let found = terms(policy, &facts, at);
        let around = if found.is_none() { around(policy, &facts, at) } else { Default::default() };
        Ok(TermsView {
            at,
            policy_version: policy.version().to_string(),
            agreement: found.map(|terms| terms.agreement.to_owned()),
            window_days: found.map(|terms| terms.window_days),
            sampling: found.map(|terms| terms.sampling),
            events: found.map(|terms| terms.events.iter().map(|event| event.to_string()).collect()),
            ended: around.ended.map(|agreement| Edge { agreement: agreement.id.to_string(), at: agreement.until }),
            begins: around.begins.map(|agreement| Edge { agreement: agreement.id.to_string(), at: agreement.from }),
        })
    }
}
