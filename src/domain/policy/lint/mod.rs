//! What is suspicious about a policy that is otherwise sound: contradictions, overlaps, dead rules, gaps, ends at a bad
//! moment. Each finding that speaks of clicks shows one, and it was asked of the policy's own conditions. Pure: what time
//! it is, how many links depend on an agreement and when traffic is heavy come in as arguments. Never changes a policy.
//!
//! - `region`: sets of clicks, and how an agreement cuts them;
//! - `search`: a click that some agreements match and others do not, or the proof that there is none;
//! - `cover`: dead rules, contradictions, overlaps and gaps, pair by pair;
//! - `window`: ends and stages, agreement by agreement;
//! - [`depend`]: which links depend on an agreement;
//! - [`traffic`]: when traffic is heavy.

mod cover;
pub mod depend;
mod region;
mod search;
#[cfg(test)]
mod tests;
pub mod traffic;
mod window;

pub use traffic::HeavyTraffic;

use super::{Facts, PolicySet, decide};
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::{LinkKind, MarketplaceId, PlatformId, ShopType, Surface, Vocabulary, closed_list};

closed_list! {
    /// How bad it is.
    Severity {
        /// The policy cannot mean this: it may not come into force.
        Error = "error",
        /// Worth a look.
        Warning = "warning",
    }
}

closed_list! {
    /// What was found.
    Kind {
        /// A deny takes part or all of what an allow opens.
        Contradiction = "contradiction",
        /// Two allows of the same weight and different terms cover the same clicks.
        Overlap = "overlap",
        /// An agreement that decides no click, ever.
        DeadRule = "dead_rule",
        /// A window that ends without a successor.
        Gap = "gap",
        /// A window that ends or widens while traffic is heavy.
        HeavyMinute = "heavy_minute",
        /// A staged opening that never reaches everybody.
        RolloutIncomplete = "rollout_incomplete",
        /// A window with an end so far off that none is meant.
        FarEnd = "far_end",
        /// Too entangled to be looked into to the end.
        Unsettled = "unsettled",
    }
}

/// A click that shows a finding.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in Facts")]
pub struct ExampleClick {
    pub platform: PlatformId,
    pub surface: Option<Surface>,
    pub marketplace: MarketplaceId,
    pub shop_type: ShopType,
    pub link_kind: LinkKind,
    pub category: String,
    pub creator: String,
    pub shop: String,
    pub item: String,
    pub carried: String,
    pub link: String,
    pub visitor: u128,
    /// The instant.
    pub at: Timestamp,
}

impl ExampleClick {
    /// The click as it is decided.
    pub fn facts(&self) -> Facts<'_> {
        Facts {
            platform: Some(self.platform),
            surface: self.surface,
            marketplace: self.marketplace,
            shop_type: self.shop_type,
            link_kind: self.link_kind,
            category: &self.category,
            creator: &self.creator,
            shop: &self.shop,
            item: &self.item,
            carried: &self.carried,
            link: &self.link,
            visitor: self.visitor,
        }
    }

    /// Its names and values, in the words of the files; what is not known is left out.
    pub fn named(&self, words: &Vocabulary) -> Vec<(&'static str, String)> {
        let surface = self.surface.map_or("unknown", Surface::as_str);
        let mut named = vec![
            ("platform", words.platform_name(self.platform).to_owned()),
            ("surface", surface.to_owned()),
            ("marketplace", words.marketplace_name(self.marketplace).to_owned()),
            ("shop_type", self.shop_type.to_string()),
            ("link_kind", self.link_kind.to_string()),
            ("category", self.category.clone()),
            ("creator", self.creator.clone()),
            ("shop", self.shop.clone()),
            ("item", self.item.clone()),
            ("facts", self.carried.clone()),
            ("link", self.link.clone()),
            ("visitor", if self.visitor == 0 { String::new() } else { format!("{:032x}", self.visitor) }),
            ("at", self.at.to_string()),
        ];
        named.retain(|(_, value)| !value.is_empty());
        named
    }
}

/// One finding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lint {
    /// How bad it is.
    pub severity: Severity,
    /// What it is.
    pub kind: Kind,
    /// The agreements it is about, the one to mend first.
    pub agreements: Vec<Box<str>>,
    /// One sentence with the mend.
    pub message: String,
    /// A click that shows it.
    pub example: Option<ExampleClick>,
}

/// What a policy is looked at with.
pub struct LintContext<'c> {
    /// What time it is: what is over is not complained of.
    pub now: Timestamp,
    /// How many links depend on an agreement; `None` when nobody counted.
    pub links_depending: &'c dyn Fn(&str) -> Option<u64>,
    /// When traffic is heavy.
    pub traffic: &'c HeavyTraffic,
    /// The most findings of a kind that are listed; the rest is counted.
    pub most: usize,
}

/// Findings of a kind that are listed unless somebody says otherwise.
pub const MOST: usize = 20;

/// Looks at a policy. Errors first, then by kind and agreement.
pub fn lint(policy: &PolicySet, context: &LintContext<'_>) -> Vec<Lint> {
    let cover::Looked { mut found, deciding } = cover::look(policy, context);
    debug_assert!(deciding.iter().all(|(id, click)| {
        decide(policy, &click.facts(), click.at).agreement().is_some_and(|agreement| agreement.id == *id)
    }));
    window::look(policy, context, &mut found);
    found.sort_by(|a, b| (a.severity, a.kind, &a.agreements).cmp(&(b.severity, b.kind, &b.agreements)));
    let mut listed: Vec<Lint> = Vec::new();
    for alike in found.chunk_by(|a, b| (a.severity, a.kind) == (b.severity, b.kind)) {
        listed.extend(alike.iter().take(context.most).cloned());
        let more = alike.len().saturating_sub(context.most);
        if let (Some(first), true) = (alike.first(), more > 0) {
            let are = if more == 1 { "is" } else { "are" };
            let message = format!("{more} more of {} {are} not listed: mend those above and look again", first.kind);
            listed.push(Lint {
                severity: first.severity,
                kind: first.kind,
                agreements: Vec::new(),
                message,
                example: None,
            });
        }
    }
    listed
}

/// Ids for a message: the first three, and how many more.
fn ids(agreements: &[Box<str>]) -> String {
    let mut shown: Vec<String> = agreements.iter().take(3).map(|id| format!("`{id}`")).collect();
    if agreements.len() > 3 {
        shown.push(format!("{} more", agreements.len() - 3));
    }
    shown.join(", ")
}
