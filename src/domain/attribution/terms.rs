//! What was agreed for a click: the terms of the agreement that let it through, or of a data return in force at the instant of
//! reading. Orders and funnel events ask here, so that both say the same of one click. Pure: the policy comes in as an argument.

use super::touch::Touch;
use crate::domain::policy::terms::{Terms, around, terms};
use crate::domain::policy::{Facts, PolicySet};
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::{Surface, Vocabulary};

/// What a policy says of data about a click.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Agreed<'p> {
    /// These are its terms.
    Terms(Terms<'p>),
    /// Its data return is paused: there were terms before, and there will be.
    Paused,
    /// Nothing: the agreement has no terms, and no data return speaks of such clicks.
    Nothing,
}

impl<'p> Agreed<'p> {
    /// What `policy`, in force at `at`, says of a click, in the words of that policy.
    pub fn of(policy: &'p PolicySet, words: &Vocabulary, touch: &Touch, at: Timestamp) -> Agreed<'p> {
        let own = policy.agreements().iter().find(|agreement| agreement.id == touch.agreement);
        if let Some((own, attribution)) = own.and_then(|own| Some((own, own.attribution.as_ref()?))) {
            return Agreed::Terms(Terms::of(own, attribution));
        }
        let Some(marketplace) = words.marketplace(&touch.marketplace) else { return Agreed::Nothing };
        let facts = Facts {
            platform: words.platform(&touch.platform),
            surface: Surface::parse(&touch.surface),
            marketplace,
            shop_type: touch.shop_type,
            link_kind: touch.link_kind,
            category: &touch.category,
            creator: &touch.creator,
            shop: &touch.shop,
            item: &touch.item,
            carried: &touch.facts,
            link: &touch.code,
            // A rollout is of clicks: it was asked when this one was decided.
            visitor: 0,
        };
        if let Some(found) = terms(policy, &facts, at) {
            return Agreed::Terms(found);
        }
        if around(policy, &facts, at).is_pause() { Agreed::Paused } else { Agreed::Nothing }
    }
}
