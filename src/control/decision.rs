//! The decision of a link or of a pasted address, with its trace: one function for `/v1/decide`, for the answer to a new
//! link and for the command line's `explain`. Asks the policy; never has an opinion of its own, and never counts a click.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::alternates::{self, AlternateDraft};
use super::checks::Checks;
use super::fields::{FieldFault, Fields};
use super::landings::{LandingDecided, landings};
use super::sent::{self, SentView};
use crate::domain::alternates::{Alternate, AlternateView};
use crate::domain::device::Device;
use crate::domain::hop::Outcome;
use crate::domain::link::{Fact, Link, LinkState, Placement, facts_text};
use crate::domain::marketplace::{Destination, Landing};
use crate::domain::policy::explain::Looked;
use crate::domain::policy::{self, Decision, Facts, PolicySet, Reason, choice_until, choose};
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::{LandingMode, LinkKind, MarketplaceId, PlatformId, ShopType, Surface, Vocabulary};
use crate::policies::canonical::describe_kill;

/// Where a click would land.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LandingView {
    /// The marketplace.
    pub marketplace: String,
    /// Who runs the shop.
    pub shop_type: ShopType,
    /// What it leads to.
    pub link_kind: LinkKind,
    /// The goods' id on the marketplace.
    pub item_id: Option<String>,
    /// The address; none where the question named no more than a marketplace.
    pub url: Option<String>,
}

impl LandingView {
    /// The landing of a link, with the shop type and link kind that count for it.
    pub fn new(aim: &Aim, shop_type: ShopType, link_kind: LinkKind, words: &Vocabulary) -> Self {
        LandingView {
            marketplace: words.marketplace_name(aim.marketplace).to_owned(),
            shop_type,
            link_kind,
            item_id: aim.item.as_deref().map(str::to_owned),
            url: aim.destination.as_ref().map(|destination| destination.as_str().to_owned()),
        }
    }
}

/// Where a case leads. Without an address it can be decided, but never landed on: that is for marketplaces whose
/// addresses are not recognised yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Aim {
    /// The marketplace.
    pub marketplace: MarketplaceId,
    /// The goods' id there, if known.
    pub item: Option<Box<str>>,
    /// The shop, `shop:ID` or `seller:ID`, if known.
    pub shop: Option<Box<str>>,
    /// The address.
    pub destination: Option<Destination>,
}

impl From<Landing> for Aim {
    fn from(landing: Landing) -> Self {
        let Landing { marketplace, item, shop, destination, .. } = landing;
        Aim { marketplace, item, shop, destination: Some(destination) }
    }
}

/// The object of `explain --json` and of `POST /v1/decide`; the order of its fields is part of the contract.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Explained {
    /// Allow or deny.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// The agreement that decided, or came nearest to allowing; a kill's id where one stopped it.
    pub agreement: Option<String>,
    /// The policy version asked: the first 16 hex digits of its content hash.
    pub policy_version: String,
    /// The instant asked about.
    pub at: Timestamp,
    /// Until when the outcome and its terms hold for the same facts; none for good.
    pub valid_until: Option<Timestamp>,
    /// Where it would land; the link's own landing when every one is refused.
    pub landing: LandingView,
    /// The kill that stopped it: what it names, who, why and until when. Left out where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kill: Option<Value>,
    /// Every agreement between the two, in winning order; empty when the link itself is off.
    pub trace: Vec<Looked>,
    /// Which landing all this speaks of: 0 the link's own, n its n-th alternate.
    pub alternate: u8,
    /// Every landing of a link that has alternates, the link's own first; empty for one that has none.
    pub alternates: Vec<LandingDecided>,
    /// What the agreement asks for; none for a refusal.
    #[serde(skip)]
    pub mode: Option<LandingMode>,
    /// What people copy instead of following the link's own landing, where it has that.
    #[serde(skip)]
    pub share_code: Option<Box<str>>,
    /// How the visitor the question names would be sent on; left out where it names none, and for a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<SentView>,
}

/// The short form that comes with a link.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Brief {
    /// Allow or deny.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// Until when it holds; none for good.
    pub valid_until: Option<Timestamp>,
    /// Which landing is taken: 0 the link's own, n its n-th alternate; 0 when all are refused.
    pub alternate: u8,
}

impl Explained {
    /// The short form.
    pub fn brief(&self) -> Brief {
        Brief { outcome: self.outcome, reason: self.reason, valid_until: self.valid_until, alternate: self.alternate }
    }
}

/// What is to be decided: a stored link, or a landing that is not stored, with what is known of the click.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Case {
    /// Where it leads.
    pub landing: Aim,
    /// Where else it leads, in the order of trying.
    pub alternates: Vec<Alternate>,
    /// Who runs the shop.
    pub shop_type: ShopType,
    /// What it leads to.
    pub link_kind: LinkKind,
    /// The goods' category, if known.
    pub category: Option<Box<str>>,
    /// The creator, if known.
    pub creator: Option<Box<str>>,
    /// Where the click happens.
    pub placement: Placement,
    /// Facts it carries.
    pub facts: Vec<Fact>,
    /// The link's code; empty when there is no link.
    pub code: String,
    /// Whether the link is switched off.
    pub state: LinkState,
    /// From this instant on the link answers 410.
    pub expires_at: Option<Timestamp>,
    /// When the link was stored; none where there is no link.
    pub made_at: Option<Timestamp>,
    /// What people copy instead of following the own landing, where it has that.
    pub share_code: Option<Box<str>>,
}

impl Case {
    /// A stored link as it is.
    pub fn of_link(link: &Link) -> Self {
        Case {
            landing: link.landing.clone().into(),
            alternates: link.alternates.clone(),
            shop_type: link.shop_type,
            link_kind: link.landing.link_kind,
            category: link.category.clone(),
            creator: link.creator.clone(),
            placement: link.placement,
            facts: link.facts.clone(),
            code: link.code.as_str().to_owned(),
            state: link.state,
            expires_at: link.expires_at,
            made_at: Some(link.created_at).filter(|_| link.share_code.is_none()),
            share_code: link.share_code.clone(),
        }
    }

    /// A landing nobody has stored: nothing else is known.
    pub fn of_landing(landing: Landing) -> Self {
        let link_kind = landing.link_kind;
        Case { link_kind, ..Case::of_aim(landing.into()) }
    }

    /// A marketplace without an address: not even the sort of link is known.
    pub fn of_aim(landing: Aim) -> Self {
        Case {
            shop_type: ShopType::Unknown,
            link_kind: LinkKind::Unknown,
            landing,
            alternates: Vec::new(),
            category: None,
            creator: None,
            placement: Placement::default(),
            facts: Vec::new(),
            code: String::new(),
            state: LinkState::Active,
            expires_at: None,
            made_at: None,
            share_code: None,
        }
    }

    fn ended(&self, at: Timestamp) -> Option<Reason> {
        match self.state {
            LinkState::Disabled => Some(Reason::LinkDisabled),
            LinkState::Active if self.expires_at.is_some_and(|end| at >= end) => Some(Reason::LinkExpired),
            LinkState::Active => None,
        }
    }

    /// Until when a decision holds for a link that may itself end: an allow ends with the link; a refusal ends only if
    /// the policy opens before that.
    pub(super) fn bounded(&self, until: Option<Timestamp>, allowed: bool) -> Option<Timestamp> {
        match (until, self.expires_at) {
            (until, None) => until,
            (until, Some(end)) if allowed => Some(until.map_or(end, |until| until.min(end))),
            (until, Some(end)) => until.filter(|until| *until < end),
        }
    }
}

/// Decides `case` at `at` with the functions of a live click, and tells the trace of the landing that is taken. The visitor
/// is not known here, so an opening in stages by visitor counts only once it is open to all.
pub fn explain(policy: &PolicySet, words: &Vocabulary, case: &Case, at: Timestamp) -> Explained {
    let own = LandingView::new(&case.landing, case.shop_type, case.link_kind, words);
    let mut explained = Explained {
        outcome: Outcome::Deny,
        reason: Reason::NoAgreement,
        agreement: None,
        policy_version: policy.version().to_string(),
        at,
        valid_until: None,
        landing: own,
        kill: None,
        trace: Vec::new(),
        alternate: 0,
        alternates: Vec::new(),
        mode: None,
        share_code: case.share_code.clone(),
        sent: None,
    };
    if let Some(reason) = case.ended(at) {
        explained.reason = reason;
        return explained;
    }
    let carried = facts_text(&case.facts);
    let own = Facts {
        platform: case.placement.platform,
        surface: case.placement.surface,
        marketplace: case.landing.marketplace,
        shop_type: case.shop_type,
        link_kind: case.link_kind,
        category: case.category.as_deref().unwrap_or_default(),
        creator: case.creator.as_deref().unwrap_or_default(),
        shop: case.landing.shop.as_deref().unwrap_or_default(),
        item: case.landing.item.as_deref().unwrap_or_default(),
        carried: &carried,
        link: &case.code,
        visitor: 0,
    };
    let others: Vec<AlternateView<'_>> = case.alternates.iter().map(Alternate::view).collect();
    let choice = choose(policy, &own, others.iter().copied(), at, |_| {});
    let allowed = choice.decision.is_allow();
    if !others.is_empty() {
        explained.alternates = landings(policy, words, case, &own, at);
        let last = if allowed { usize::from(choice.alternate) } else { others.len() };
        explained.alternates[..=last].iter_mut().for_each(|landing| landing.tried = true);
    }
    if let Some(taken) = explained.alternates.get(usize::from(choice.alternate)) {
        explained.landing = taken.landing.clone();
    }
    explained.alternate = choice.alternate;
    explained.outcome = if allowed { Outcome::Allow } else { Outcome::Deny };
    explained.reason = choice.decision.reason();
    explained.mode = mode(&choice.decision);
    explained.agreement = choice.decision.rule_id().map(str::to_owned);
    explained.kill = choice.decision.kill().map(|kill| describe_kill(kill, words));
    explained.trace = policy::explain(policy, &choice.facts, at).trace;
    explained.valid_until = case.bounded(choice_until(policy, &own, &others, at), allowed);
    // A short link that dies by itself ends what is allowed of it, though no policy says so.
    let life = case.landing.destination.as_ref().and_then(|landing| words.markets().short_life(landing));
    let dies = life.zip(case.made_at).map(|(life, made)| life.after(made)).filter(|dies| *dies > at);
    if let Some(dies) = dies.filter(|_| allowed && explained.alternate == 0) {
        explained.valid_until = Some(explained.valid_until.map_or(dies, |until| until.min(dies)));
    }
    explained
}

/// What the agreement that permits asks for.
pub(super) fn mode(decision: &Decision<'_>) -> Option<LandingMode> {
    match decision {
        Decision::Allow(permit) => Some(permit.landing()),
        Decision::Refuse(_) => None,
    }
}

/// The fields of a question.
pub const FIELDS: [&str; 15] = [
    "platform",
    "surface",
    "url",
    "code",
    "marketplace",
    "item",
    "at",
    "shop_type",
    "link_kind",
    "category",
    "creator",
    "facts",
    "alternates",
    "app",
    "os",
];

/// A question as somebody asks it: the body of `POST /v1/decide`, or the arguments of `explain`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DecideRequest {
    /// Where the click happens.
    pub platform: Option<String>,
    /// The spot there.
    pub surface: Option<String>,
    /// A marketplace's link; this, `code` or `marketplace`.
    pub url: Option<String>,
    /// The code of a stored link.
    pub code: Option<String>,
    /// A marketplace's name, where there is no address to give.
    pub marketplace: Option<String>,
    /// The goods' id there; with `marketplace` only.
    pub item: Option<String>,
    /// The instant asked about; now when left out.
    pub at: Option<String>,
    /// Who runs the shop.
    pub shop_type: Option<String>,
    /// What the link leads to.
    pub link_kind: Option<String>,
    /// The goods' category.
    pub category: Option<String>,
    /// The creator.
    pub creator: Option<String>,
    /// Facts the link carries.
    pub facts: Option<BTreeMap<String, bool>>,
    /// Where else it leads, in the order of trying; instead of a stored link's own.
    pub alternates: Option<Vec<AlternateDraft>>,
    /// The visitor's host app, `chromium` for a browser that follows `intent:`; with `os` it asks how they are sent on.
    pub app: Option<String>,
    /// The visitor's system.
    pub os: Option<String>,
    /// What could not even be read; [`DecideRequest::check`] reports it with the rest.
    pub misread: Vec<FieldFault>,
}

/// What a question is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Subject {
    /// A link that is to be found by its code.
    Code(String),
    /// A landing.
    Landing(Box<Landing>),
    /// A marketplace without an address.
    Marketplace(Aim),
}

/// A checked question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    /// What it is about.
    pub subject: Subject,
    /// The instant asked about.
    pub at: Timestamp,
    /// The visitor's device, where the question names one.
    pub device: Option<Device>,
    platform: Option<PlatformId>,
    surface: Option<Surface>,
    shop_type: Option<ShopType>,
    link_kind: Option<LinkKind>,
    category: Option<Box<str>>,
    creator: Option<Box<str>>,
    facts: Option<Vec<Fact>>,
    alternates: Option<Vec<Alternate>>,
}

impl Question {
    /// `case` with whatever this question states put over it.
    #[must_use]
    pub fn over(&self, mut case: Case) -> Case {
        case.placement.platform = self.platform.or(case.placement.platform);
        case.placement.surface = self.surface.or(case.placement.surface);
        case.shop_type = self.shop_type.unwrap_or(case.shop_type);
        case.link_kind = self.link_kind.unwrap_or(case.link_kind);
        case.category = self.category.clone().or(case.category);
        case.creator = self.creator.clone().or(case.creator);
        case.facts = self.facts.clone().unwrap_or(case.facts);
        case.alternates = self.alternates.clone().unwrap_or(case.alternates);
        case
    }
}

impl DecideRequest {
    /// Reads a JSON object. Never fails: what cannot be read is kept for [`DecideRequest::check`] to report.
    pub fn read(value: &Value) -> Self {
        let mut fields = Fields::new(value, &FIELDS);
        let mut request = DecideRequest {
            platform: fields.text("platform"),
            surface: fields.text("surface"),
            url: fields.text("url"),
            code: fields.text("code"),
            marketplace: fields.text("marketplace"),
            item: fields.text("item"),
            at: fields.text("at"),
            shop_type: fields.text("shop_type"),
            link_kind: fields.text("link_kind"),
            category: fields.text("category"),
            creator: fields.text("creator"),
            facts: fields.facts("facts"),
            alternates: alternates::read(&mut fields),
            app: fields.text("app"),
            os: fields.text("os"),
            misread: Vec::new(),
        };
        request.misread = fields.faults;
        request
    }

    /// The question this asks. Placement may be left out only for a stored link, which has its own.
    ///
    /// # Errors
    /// Every fault of it.
    pub fn check(&self, words: &Vocabulary, now: Timestamp) -> Result<Question, Vec<FieldFault>> {
        let mut checks = Checks::new(words, self.misread.clone());
        let misread = |field: &str| self.misread.iter().any(|fault| fault.field == field);
        let item = self.item.as_deref().and_then(|text| checks.label("item", text));
        if let (Some(item), None) = (&self.item, &self.marketplace) {
            let problem = "goes with `marketplace` only: a link says itself which item it leads to; leave it out";
            checks.fault("item", item, "item_of_a_link", problem);
        }
        let subject = match (&self.url, &self.code, &self.marketplace) {
            (Some(url), None, None) => checks.url(url).map(|landing| Subject::Landing(Box::new(landing))),
            (None, Some(code), None) => Some(Subject::Code(code.clone())),
            (None, None, Some(name)) => checks
                .marketplace("marketplace", name)
                .map(|marketplace| Subject::Marketplace(Aim { marketplace, item, shop: None, destination: None })),
            (None, None, None) => {
                if !["url", "code", "marketplace"].into_iter().any(misread) {
                    let problem = "give `url`, a marketplace's link, `code`, a stored link's, or `marketplace`, a name";
                    checks.fault("url", "", "missing", problem);
                }
                None
            }
            (url, code, marketplace) => {
                let given = [("marketplace", marketplace), ("code", code), ("url", url)];
                let (field, value) =
                    given.into_iter().find_map(|(field, value)| Some((field, value.as_deref()?))).unwrap_or_default();
                let problem = "give one of `url`, `code` and `marketplace`, not more";
                checks.fault(field, value, "url_and_code", problem);
                None
            }
        };
        if self.code.is_none() && !misread("code") {
            for (field, value) in [("platform", &self.platform), ("surface", &self.surface)] {
                if value.is_none() && !misread(field) {
                    checks.fault(field, "", "missing", "is missing: say where the click happens");
                }
            }
        }
        let platform = self.platform.as_deref().and_then(|text| checks.platform("platform", text));
        let surface = self.surface.as_deref().and_then(|text| checks.surface(text));
        let shop_type = self.shop_type.as_deref().and_then(|text| checks.shop_type(text));
        let link_kind = self.link_kind.as_deref().and_then(|text| checks.link_kind(text));
        let category = self.category.as_deref().and_then(|text| checks.label("category", text));
        let creator = self.creator.as_deref().and_then(|text| checks.label("creator", text));
        let facts = self.facts.as_ref().map(|facts| checks.facts(facts));
        let own = match &subject {
            Some(Subject::Landing(landing)) => Some(&**landing),
            _ => None,
        };
        let alternates = self.alternates.as_ref().map(|drafts| checks.alternates(drafts, own));
        let host = self.app.as_deref().and_then(|text| checks.host(text));
        let os = self.os.as_deref().and_then(|text| checks.os(text));
        let at = self.at.as_deref().map_or(Some(now), |text| checks.instant("at", text));
        match (subject, at) {
            (Some(subject), Some(at)) if checks.faults.is_empty() => Ok(Question {
                subject,
                at,
                device: sent::device(host, os),
                platform,
                surface,
                shop_type,
                link_kind,
                category,
                creator,
                facts,
                alternates,
            }),
            _ => Err(checks.faults),
        }
    }
}
