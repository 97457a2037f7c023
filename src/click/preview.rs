//! A look at a link without a click: where it leads, whether it works here and elsewhere, and until when. The same
//! functions decide as on a click; nothing is recorded or counted.

use super::placement::{self, Known};
use super::{Ask, State, Worker};
use crate::catalog::Lookup;
use crate::domain::link::{LinkState, LinkView, Placement};
use crate::domain::marketplace::table::Names;
use crate::domain::policy::outlook::{Outlook, Spots, outlook, spots};
use crate::domain::policy::{Facts, PolicySet, Reason};
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::{LinkKind, MarketplaceId, PlatformId, ShopType};

/// Where one landing of a link leads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    /// The marketplace's id.
    pub marketplace: String,
    /// What people call it.
    pub names: Names,
    /// Who runs the shop.
    pub shop_type: ShopType,
    /// What it leads to.
    pub link_kind: LinkKind,
    /// The goods' id; empty when not known.
    pub item: String,
    /// The shop's id; empty when not known.
    pub shop: String,
    /// The address, which has passed the allow-list.
    pub url: String,
    /// A text to copy in place of the address; empty for none.
    pub share_code: String,
}

/// A link as a look at it shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Preview {
    /// Its code.
    pub code: String,
    /// The instant of the look.
    pub at: Timestamp,
    /// The policy that was asked.
    pub policy_version: String,
    /// From this instant on it answers 410.
    pub expires_at: Option<Timestamp>,
    /// Its landings in the order of trying.
    pub landings: Vec<Shown>,
    /// Where a click of whoever looks would happen, as far as that is known.
    pub known: Known,
    /// What the link does there.
    pub here: Outlook,
    /// What it does wherever it may be clicked.
    pub spots: Vec<Spots>,
}

/// How a look ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Looked {
    /// The link.
    Shown(Box<Preview>),
    /// It was switched off or its time is over.
    Gone(Reason),
    /// No such link.
    Unknown,
    /// The catalog is still loading and does not have the code yet.
    NotLoaded,
}

/// What is taken from the catalog under its guard: deciding for every spot takes longer than a guard may be held.
struct Taken {
    placement: Placement,
    creator: String,
    facts: String,
    /// Each with its category.
    landings: Vec<(MarketplaceId, Shown, String)>,
    expires_at: Option<Timestamp>,
    state: LinkState,
}

impl Worker {
    /// Looks at the link of a code.
    pub fn preview(&self, ask: &Ask<'_>) -> Looked {
        let gateway = self.gateway();
        let taken = match gateway.catalog.with(ask.code, |link| self.take(&link)) {
            Lookup::Found(taken) => taken,
            Lookup::Unknown => return Looked::Unknown,
            Lookup::NotLoaded => return Looked::NotLoaded,
        };
        let now = gateway.clock.now();
        match taken.state {
            LinkState::Disabled => return Looked::Gone(Reason::LinkDisabled),
            LinkState::Active if taken.expires_at.is_some_and(|end| now >= end) => {
                return Looked::Gone(Reason::LinkExpired);
            }
            LinkState::Active => {}
        }
        let app = self.device(ask).app;
        let known = placement::find(taken.placement, None, app, ask.query, &gateway.words);
        let State { policy, .. } = &mut *self.state.borrow_mut();
        let policy: &PolicySet = policy.load();
        let facts: Vec<Facts<'_>> = taken.facts(ask.code, known.placement);
        // A platform is one byte, and so is the number of platforms.
        let platforms = (0..gateway.words.platforms().len()).filter_map(|id| u8::try_from(id).ok()).map(PlatformId);
        let preview = Preview {
            code: ask.code.to_owned(),
            at: now,
            policy_version: policy.version().to_string(),
            expires_at: taken.expires_at,
            known,
            here: outlook(policy, &facts, now, taken.expires_at),
            spots: spots(policy, platforms, &facts, taken.placement, now, taken.expires_at),
            landings: taken.landings.into_iter().map(|(_, shown, _)| shown).collect(),
        };
        Looked::Shown(Box::new(preview))
    }

    /// The landing a click took, for a card that says where a link leads.
    pub fn landing_taken(&self, code: &str, alternate: u8) -> Option<Shown> {
        match self.gateway().catalog.with(code, |link| self.take(&link)) {
            Lookup::Found(taken) => taken.landings.into_iter().nth(usize::from(alternate)).map(|(_, shown, _)| shown),
            Lookup::Unknown | Lookup::NotLoaded => None,
        }
    }

    fn take(&self, link: &LinkView<'_>) -> Taken {
        let name = |id| self.gateway().words.marketplace_name(id).to_owned();
        let names = |id| self.gateway().words.marketplace_names(id);
        let own = Shown {
            marketplace: name(link.marketplace),
            names: names(link.marketplace),
            shop_type: link.shop_type,
            link_kind: link.link_kind,
            item: link.item.to_owned(),
            shop: link.shop.to_owned(),
            url: link.url.to_owned(),
            share_code: link.share_code.to_owned(),
        };
        let others = link.alternates.iter().map(|other| {
            let shown = Shown {
                marketplace: name(other.marketplace),
                names: names(other.marketplace),
                shop_type: other.shop_type,
                link_kind: other.link_kind,
                item: other.item.to_owned(),
                shop: other.shop.to_owned(),
                url: other.url.to_owned(),
                share_code: String::new(),
            };
            (other.marketplace, shown, other.category.to_owned())
        });
        Taken {
            placement: link.placement,
            creator: link.creator.to_owned(),
            facts: link.facts.to_owned(),
            landings: std::iter::once((link.marketplace, own, link.category.to_owned())).chain(others).collect(),
            expires_at: Some(link.expires_at).filter(|end| *end != Timestamp::MAX),
            state: link.state,
        }
    }
}

impl Taken {
    fn facts<'t>(&'t self, code: &'t str, placement: Placement) -> Vec<Facts<'t>> {
        self.landings
            .iter()
            .map(|(marketplace, shown, category)| Facts {
                platform: placement.platform,
                surface: placement.surface,
                marketplace: *marketplace,
                shop_type: shown.shop_type,
                link_kind: shown.link_kind,
                category,
                creator: &self.creator,
                shop: &shown.shop,
                item: &shown.item,
                carried: &self.facts,
                link: code,
                visitor: 0,
            })
            .collect()
    }
}
