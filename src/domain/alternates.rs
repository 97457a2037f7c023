//! The other landings of a link, in the order in which a click tries them: the same goods on another marketplace, or the
//! platform's own shop page. Each is a landing of its own and must be allowed by the policy like any. Never decides.
//!
//! The packed form is what the click path reads, one landing at a time and only after those before it fell: shop type and
//! link kind in a byte, the marketplace, five lengths of two bytes each, then the address and what is no part of it.

use super::marketplace::Landing;
use super::vocabulary::{LinkKind, MarketplaceId, ShopType};

/// Another landing of a link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Alternate {
    /// Where it leads; its destination has passed the allow-list.
    pub landing: Landing,
    /// Who runs the shop, as stated by the issuer.
    pub shop_type: ShopType,
    /// The goods' category there, if known. That of the link's own landing does not count for it.
    pub category: Option<Box<str>>,
}

/// Another landing as the click path sees it. An empty text means "not known" or "none".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AlternateView<'a> {
    /// Where it leads.
    pub marketplace: MarketplaceId,
    /// Who runs the shop.
    pub shop_type: ShopType,
    /// What it leads to.
    pub link_kind: LinkKind,
    /// The goods' category.
    pub category: &'a str,
    /// The goods' id on the marketplace.
    pub item: &'a str,
    /// The shop's id on the marketplace.
    pub shop: &'a str,
    /// The landing address, checked against the allow-list when it entered the catalog.
    pub url: &'a str,
}

/// Bytes of one before its texts.
const FIXED: usize = 12;
const KIND_SHIFT: u8 = 3;
/// In place of where the item stands in the address: it is no part of it and has a text of its own.
const OWN_ITEM: u16 = u16::MAX;
const _: () = assert!(ShopType::ALL.len() <= 8 && LinkKind::ALL.len() <= 8, "three bits each");
const _: () = assert!(super::marketplace::LONGEST < OWN_ITEM as usize, "an address has a length of two bytes");

impl Alternate {
    /// As the click path sees it.
    pub fn view(&self) -> AlternateView<'_> {
        AlternateView {
            marketplace: self.landing.marketplace,
            shop_type: self.shop_type,
            link_kind: self.landing.link_kind,
            category: self.category.as_deref().unwrap_or_default(),
            item: self.landing.item.as_deref().unwrap_or_default(),
            shop: self.landing.shop.as_deref().unwrap_or_default(),
            url: self.landing.destination.as_str(),
        }
    }
}

impl AlternateView<'_> {
    /// Puts this one, packed, behind those already in `bytes`.
    pub fn pack(&self, bytes: &mut Vec<u8>) {
        let at = self.url.find(self.item).and_then(|at| u16::try_from(at).ok()).unwrap_or(OWN_ITEM);
        let own_item = if at == OWN_ITEM { self.item } else { "" };
        bytes.extend([self.shop_type as u8 | (self.link_kind as u8) << KIND_SHIFT, self.marketplace.0]);
        let length = |text: &str| u16::try_from(text.len()).unwrap_or_default();
        for number in [length(self.url), length(self.item), at, length(self.category), length(self.shop)] {
            bytes.extend(number.to_le_bytes());
        }
        // A text too long for its length is left out: no name and no id is, and what is not known opens nothing.
        for text in [self.url, own_item, self.category, self.shop] {
            bytes.extend(&text.as_bytes()[..usize::from(length(text))]);
        }
    }
}

/// The alternates of a link in their packed form.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Alternates<'a>(&'a [u8]);

impl<'a> Alternates<'a> {
    /// None.
    pub const NONE: Alternates<'static> = Alternates(&[]);

    /// Those that [`AlternateView::pack`] has put into `bytes`.
    pub fn packed(bytes: &'a [u8]) -> Self {
        Alternates(bytes)
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Each in turn.
    pub fn iter(self) -> impl Iterator<Item = AlternateView<'a>> {
        let mut rest = self.0;
        std::iter::from_fn(move || take(&mut rest))
    }
}

impl std::fmt::Debug for Alternates<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Takes one from the front; `None` at the end, and where other hands wrote the bytes.
fn take<'a>(rest: &mut &'a [u8]) -> Option<AlternateView<'a>> {
    let (fixed, mut texts) = rest.split_first_chunk::<FIXED>()?;
    let number = |place: usize| u16::from_le_bytes([fixed[2 + 2 * place], fixed[3 + 2 * place]]);
    let mut text = |length: u16| -> Option<&'a str> {
        let (text, after) = texts.split_at_checked(usize::from(length))?;
        texts = after;
        std::str::from_utf8(text).ok()
    };
    let (item_length, item_at) = (number(1), number(2));
    let url = text(number(0))?;
    let item = if item_at == OWN_ITEM {
        text(item_length)?
    } else {
        let at = usize::from(item_at);
        url.get(at..at + usize::from(item_length))?
    };
    let (category, shop) = (text(number(3))?, text(number(4))?);
    *rest = texts;
    Some(AlternateView {
        marketplace: MarketplaceId(fixed[1]),
        shop_type: *ShopType::ALL.get(usize::from(fixed[0] & 7))?,
        link_kind: *LinkKind::ALL.get(usize::from(fixed[0] >> KIND_SHIFT & 7))?,
        category,
        item,
        shop,
        url,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_field_round_trips(all in proptest::collection::vec(
            ("[a-z0-9/?=&]{0,300}", "[0-9]{0,14}|\\PC{0,20}", any::<bool>(), "\\PC{0,80}", "\\PC{0,30}",
             (0..ShopType::ALL.len(), 0..LinkKind::ALL.len(), 0u8..64)), 0..=8,
        )) {
            let all: Vec<_> = all
                .into_iter()
                .map(|(rest, item, inside, category, shop, lists)| {
                    let url = format!("https://item.jd.com/{}{rest}", if inside { &item } else { "" });
                    (url, item, category, shop, lists)
                })
                .collect();
            let views: Vec<_> = all
                .iter()
                .map(|(url, item, category, shop, (shop_type, kind, marketplace))| AlternateView {
                    marketplace: MarketplaceId(*marketplace), shop_type: ShopType::ALL[*shop_type],
                    link_kind: LinkKind::ALL[*kind], category, item, shop, url,
                })
                .collect();
            let mut bytes = Vec::new();
            views.iter().for_each(|view| view.pack(&mut bytes));
            prop_assert_eq!(Alternates::packed(&bytes).iter().collect::<Vec<_>>(), views);
        }

        #[test]
        fn any_bytes_are_read_to_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Alternates::packed(&bytes).iter().count() <= bytes.len() / FIXED);
        }
    }
}
