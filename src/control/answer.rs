//! What the API says of a link, in the words of the files. Never a secret, never anything of a visitor.

use std::collections::BTreeMap;

use serde::Serialize;

use super::ControlState;
use super::decision::{Brief, Case, Explained, LandingView, explain};
use super::warnings::{Warning, standing};
use crate::domain::link::{Link, LinkState};
use crate::domain::marketplace::{Landing, Marketplaces};
use crate::domain::policy::PolicySet;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::{LinkKind, Surface};

/// A link that has just been issued.
#[derive(Debug, Serialize)]
pub struct Issued {
    /// Its code.
    pub code: String,
    /// What is shared.
    pub short_url: String,
    /// Where it leads.
    pub landing: LandingView,
    /// Whether it works now, and until when.
    pub decision: Brief,
    /// Whether it is known what it leads to; left out where it is.
    #[serde(skip_serializing_if = "is_true")]
    pub identifiable: bool,
    /// The text a visitor copies into the marketplace's app, for a share code alone; left out for others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share_code: Option<String>,
    /// What is to be known of it, although nothing was wrong; left out where there is nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// A whole link.
#[derive(Debug, Serialize)]
pub struct LinkView {
    /// Its code, what is shared, where it leads, whether it works now.
    #[serde(flatten)]
    pub issued: Issued,
    /// `active` or `disabled`.
    pub state: &'static str,
    /// The platform it is bound to.
    pub platform: Option<String>,
    /// The surface it is bound to.
    pub surface: Option<Surface>,
    /// Who issued it.
    pub creator: Option<String>,
    /// Where a click goes when the policy refuses that, in the order of trying.
    pub alternates: Vec<AlternateShown>,
    /// The goods' category.
    pub category: Option<String>,
    /// The shop's id on the marketplace.
    pub shop: Option<String>,
    /// Facts it carries or is known not to.
    pub facts: BTreeMap<String, bool>,
    /// Free labels.
    pub tags: Vec<String>,
    /// From this instant on it answers 410.
    pub expires_at: Option<Timestamp>,
    /// When the marketplace lets the short link it leads to die, at the latest; left out for others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub short_link_dies_at: Option<Timestamp>,
    /// When it was issued.
    pub created_at: Timestamp,
    /// Grows with every change; what `If-Match` takes.
    pub revision: i64,
}

/// An alternate of a link, with what the policy says of it alone.
#[derive(Debug, Serialize)]
pub struct AlternateShown {
    /// Where it leads.
    pub landing: LandingView,
    /// The goods' category there.
    pub category: Option<String>,
    /// The shop's id on the marketplace.
    pub shop: Option<String>,
    /// Whether it would be allowed now, and until when.
    pub decision: Brief,
}

/// A page of links.
#[derive(Debug, Serialize)]
pub struct LinkPage {
    /// The links, in code order.
    pub links: Vec<LinkView>,
    /// What to send as `cursor` for the next page; none on the last.
    pub next_cursor: Option<String>,
    /// Codes of this page whose rows cannot be read; left out when there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<String>,
}

/// Whether it is known what a landing leads to: a short link that names neither goods nor shop may lead anywhere.
pub fn identifiable(landing: &Landing, markets: &Marketplaces) -> bool {
    let names = landing.item.is_some() || landing.shop.is_some();
    names || (landing.link_kind != LinkKind::Unknown && !markets.is_short(landing, None))
}

fn is_true(value: &bool) -> bool {
    *value
}

/// What is shared of a link.
pub fn short_url(state: &ControlState, link: &Link) -> String {
    format!("{}/{}", state.public_url.trim_end_matches('/'), link.code)
}

/// The issued form of a link, decided under `policy` at `at`; `found` is what came up in making it.
pub fn issued(state: &ControlState, policy: &PolicySet, link: &Link, at: Timestamp, found: Vec<Warning>) -> Issued {
    let explained = explain(policy, &state.words, &Case::of_link(link), at);
    let mut issued = issued_as(state, link, &explained, at);
    issued.warnings.splice(0..0, found);
    issued
}

fn issued_as(state: &ControlState, link: &Link, explained: &Explained, at: Timestamp) -> Issued {
    Issued {
        code: link.code.as_str().to_owned(),
        short_url: short_url(state, link),
        landing: LandingView::new(&link.landing.clone().into(), link.shop_type, link.landing.link_kind, &state.words),
        decision: explained.brief(),
        identifiable: identifiable(&link.landing, state.words.markets()),
        share_code: link.share_code.as_deref().map(str::to_owned),
        warnings: standing(link, state.words.markets(), at),
    }
}

/// The whole form of a link, decided under `policy` at `at`.
pub fn link(state: &ControlState, policy: &PolicySet, link: &Link, at: Timestamp) -> LinkView {
    let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
    let explained = explain(policy, &state.words, &Case::of_link(link), at);
    // A link that is off has decided for all its landings.
    let decision = |place: usize| {
        let off = Brief { alternate: place as u8, ..explained.brief() };
        explained.alternates.get(place).map_or(off, |decided| Brief {
            outcome: decided.outcome,
            reason: decided.reason,
            valid_until: decided.valid_until,
            alternate: decided.alternate,
        })
    };
    let alternates = link.alternates.iter().enumerate().map(|(place, alternate)| AlternateShown {
        landing: LandingView::new(
            &alternate.landing.clone().into(),
            alternate.shop_type,
            alternate.landing.link_kind,
            &state.words,
        ),
        category: text(&alternate.category),
        shop: text(&alternate.landing.shop),
        decision: decision(place + 1),
    });
    LinkView {
        issued: issued_as(state, link, &explained, at),
        state: match link.state {
            LinkState::Active => "active",
            LinkState::Disabled => "disabled",
        },
        platform: link.placement.platform.map(|id| state.words.platform_name(id).to_owned()),
        surface: link.placement.surface,
        creator: text(&link.creator),
        alternates: alternates.collect(),
        category: text(&link.category),
        shop: text(&link.landing.shop),
        facts: link.facts.iter().map(|fact| (fact.name.clone(), fact.carried)).collect(),
        tags: link.tags.clone(),
        expires_at: link.expires_at,
        short_link_dies_at: link.short_link_dies(state.words.markets()),
        created_at: link.created_at,
        revision: link.revision,
    }
}
