//! What happens around a click: front events (a note is read, liked, commented on) and back events (a shop is entered,
//! searched, a cart filled, an order made), and what a back event is worth under the terms it was returned on.
//!
//! The terms are those in force at the instant of *reading*: a platform returns what readers of a note do later, by a sample,
//! within a window, and not while the return is paused. An event outside of that does not count and is told apart; one of a
//! sample counts for an estimate only. Pure: the policy comes in as an argument.

use super::matching::USUAL_WINDOW_DAYS;
use super::same_marketplace;
use super::terms::Agreed;
use super::touch::Touch;
use crate::domain::click_id::ClickId;
use crate::domain::policy::terms::{Terms, around, terms};
use crate::domain::policy::{Facts, PolicySet};
use crate::domain::time::{DAY, Timestamp};
use crate::domain::vocabulary::{LinkKind, ShopType, Surface, Vocabulary, closed_list};

closed_list! {
    /// What happened.
    EventKind {
        /// A note was read. Front, like the two after it: told by the content platform of itself, whole.
        Read = "read",
        /// It was liked.
        Like = "like",
        /// It was commented on.
        Comment = "comment",
        /// The shop was entered. Back, like all after it: returned by the marketplace under an agreement.
        StoreEntry = "store_entry",
        /// It was searched for.
        Search = "search",
        /// Goods were put in a cart.
        AddToCart = "add_to_cart",
        /// An order was made.
        Order = "order",
    }
}

impl EventKind {
    /// Whether it happens at the marketplace.
    pub const fn is_back(self) -> bool {
        !matches!(self, EventKind::Read | EventKind::Like | EventKind::Comment)
    }
}

/// An event as it was told. An empty text means "not known". Holds nothing of the person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Who told it.
    pub source: Box<str>,
    /// Its id there: of one source and id there is one event.
    pub id: Box<str>,
    /// What happened.
    pub kind: EventKind,
    /// When.
    pub at: Timestamp,
    /// The content platform.
    pub platform: Box<str>,
    /// The spot there.
    pub surface: Option<Surface>,
    /// The marketplace; known of every back event.
    pub marketplace: Box<str>,
    /// Who runs the shop.
    pub shop_type: ShopType,
    /// The goods' category.
    pub category: Box<str>,
    /// The note or video.
    pub note: Box<str>,
    /// Its creator.
    pub creator: Box<str>,
    /// The shop, `shop:ID` or `seller:ID`.
    pub shop: Box<str>,
    /// The goods' id.
    pub item: Box<str>,
    /// The agreement under which it was returned, where that was told.
    pub agreement: Box<str>,
    /// The click it came from, if from one of ours.
    pub click: Option<ClickId>,
    /// When the note was read.
    pub read_at: Option<Timestamp>,
    /// How many such events this row stands for.
    pub count: u32,
    /// Whether it comes from a sample, where that was told; otherwise the terms say.
    pub sampled: Option<bool>,
}

/// What an event is worth.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Worth<'p> {
    /// It counts as it is.
    Whole {
        /// The agreement whose terms it was returned on; none of a front event.
        agreement: Option<&'p str>,
    },
    /// It came through a sample of this share: it counts for an estimate only.
    Sampled {
        /// Above 0 and below 1.
        share: f64,
        /// The agreement whose terms it was returned on.
        agreement: &'p str,
    },
    /// It was read while the return was paused.
    Paused,
    /// It happened outside the window after the reading.
    OutsideWindow,
    /// No terms for such an event were in force at the reading, or the share of its sample is not known.
    NoTerms,
    /// It says something else than the click it is said to come from.
    Contradicts,
}

impl Event {
    /// When it was read: as told, else when the click was made that it came from.
    pub fn reading(&self) -> Option<Timestamp> {
        self.read_at.or_else(|| self.click.map(ClickId::minted_at))
    }

    /// Whether it can be believed that it comes from this click: it happened where the click led, on the platform of the click,
    /// and to the click's creator.
    pub fn agrees_with(&self, click: &Touch) -> bool {
        let silent_or = |told: &str, known: &str| told.is_empty() || known.is_empty() || told == known;
        silent_or(&self.platform, &click.platform)
            && silent_or(&self.creator, &click.creator)
            && (self.marketplace.is_empty() || same_marketplace(&click.marketplace, &self.marketplace))
    }

    /// What it is worth under `policy`, the one that was in force when it was read, in the words of that policy, where it comes
    /// from `click`, if from a known one. The window is `read <= at < read + days`.
    ///
    /// An event that came back with a click of ours is of the agreement that let the click through. Where that agreement has no
    /// terms, it counts whole within the usual window, as an order with that click does.
    pub fn worth<'p>(&self, policy: &'p PolicySet, words: &Vocabulary, click: Option<&'p Touch>) -> Worth<'p> {
        if click.is_some_and(|click| !self.agrees_with(click)) {
            return Worth::Contradicts;
        }
        if !self.kind.is_back() {
            return Worth::Whole { agreement: None };
        }
        if let (Some(click), "") = (click, &*self.agreement) {
            let read = self.read_at.unwrap_or(click.at);
            return match Agreed::of(policy, words, click, read) {
                Agreed::Terms(found) => self.under(&found, read),
                Agreed::Paused => Worth::Paused,
                Agreed::Nothing => {
                    let (agreement, window_days) = (&*click.agreement, USUAL_WINDOW_DAYS);
                    self.under(&Terms { agreement, window_days, sampling: 1.0, events: &[] }, read)
                }
            };
        }
        let (Some(read), Some(marketplace)) = (self.reading(), words.marketplace(&self.marketplace)) else {
            return Worth::NoTerms;
        };
        let facts = Facts {
            platform: words.platform(&self.platform),
            surface: self.surface,
            marketplace,
            shop_type: self.shop_type,
            link_kind: LinkKind::Unknown,
            category: &self.category,
            creator: &self.creator,
            shop: &self.shop,
            item: &self.item,
            carried: "",
            link: "",
            visitor: 0,
        };
        let found = match &*self.agreement {
            "" => terms(policy, &facts, read),
            named => named_terms(policy, named, &facts, read),
        };
        let Some(found) = found else {
            return if around(policy, &facts, read).is_pause() { Worth::Paused } else { Worth::NoTerms };
        };
        self.under(&found, read)
    }

    fn under<'p>(&self, found: &Terms<'p>, read: Timestamp) -> Worth<'p> {
        if !found.events.is_empty() && !found.events.iter().any(|name| **name == *self.kind.as_str()) {
            return Worth::NoTerms;
        }
        if self.at < read || self.at >= read.plus_micros(i64::from(found.window_days).saturating_mul(DAY)) {
            return Worth::OutsideWindow;
        }
        match (self.sampled, found.sampling < 1.0) {
            (Some(false), _) | (None, false) => Worth::Whole { agreement: Some(found.agreement) },
            (Some(true) | None, true) => Worth::Sampled { share: found.sampling, agreement: found.agreement },
            // Said to be sampled where the whole was agreed on: of which share, nobody knows.
            (Some(true), false) => Worth::NoTerms,
        }
    }
}

/// The terms of the agreement the source names, if it speaks for this platform and marketplace and is in force.
fn named_terms<'p>(policy: &'p PolicySet, named: &str, facts: &Facts<'_>, at: Timestamp) -> Option<Terms<'p>> {
    let agreement = policy.agreements().iter().find(|agreement| &*agreement.id == named)?;
    let speaks = Some(agreement.platform) == facts.platform
        && agreement.marketplaces.contains(&facts.marketplace)
        && agreement.in_force(at);
    let said = agreement.attribution.as_ref().filter(|_| speaks)?;
    Some(Terms {
        agreement: &agreement.id,
        window_days: said.window_days,
        sampling: said.sampling,
        events: &said.events,
    })
}
