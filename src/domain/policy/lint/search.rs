//! Finds a click that some agreements match and others do not, at given instants, or proves that there is none. Bounded:
//! where a set is too entangled it says so instead of claiming anything. Every click it returns was asked of the very
//! conditions a live click is asked.

use super::ExampleClick;
use super::region::{Buckets, NO_SURFACE, Names, Region, Shape, TEXTS};
use crate::domain::policy::nearest::{Dimension, holds};
use crate::domain::policy::{Facts, rollout};
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::{LinkKind, MarketplaceId, PlatformId, ShopType, Surface};

/// Made-up ids that are tried until one falls into the wanted buckets.
const MADE_UP: u32 = 20_000;

/// What a search came to.
pub(super) enum Found {
    /// Such a click.
    Click(Box<ExampleClick>),
    /// There is none.
    None,
    /// Not settled within its bounds.
    Unsettled,
}

/// An agreement at an instant.
pub(super) type At<'s, 'p> = (&'s Shape<'p>, Timestamp);

/// The searches of one pair of platform and marketplace.
pub(super) struct Search<'n, 'p> {
    pub(super) platform: PlatformId,
    pub(super) marketplace: MarketplaceId,
    pub(super) names: &'n Names<'p>,
    /// Agreements that may still be looked at, by all searches together.
    pub(super) left: u64,
}

/// Agreements one search may look at.
const PATIENCE: u64 = 200_000;

impl Search<'_, '_> {
    /// A click at `at` that matches all of `wanted` and none of `unwanted`, each at its own instant.
    pub(super) fn find(&mut self, wanted: &[At<'_, '_>], unwanted: &[At<'_, '_>], at: Timestamp) -> Found {
        let mut region = Region::whole();
        for (shape, at) in wanted {
            region.carry(shape);
            match region.narrowed(shape, *at) {
                Some(narrowed) => region = narrowed,
                None => return Found::None,
            }
        }
        let mut patience = PATIENCE.min(self.left);
        let full = patience;
        let mut unsettled = false;
        let mut parts = Vec::new();
        // A region, and the first of the unwanted it was not yet cut by.
        let mut open = vec![(region, 0)];
        let found = loop {
            let Some((region, mut next)) = open.pop() else { break None };
            let cut = loop {
                if next == unwanted.len() || patience == 0 {
                    break false;
                }
                let (shape, at) = unwanted[next];
                (next, patience) = (next + 1, patience - 1);
                if region.escape(shape, at, &mut parts) {
                    break true;
                }
            };
            if patience == 0 {
                unsettled = true;
                break None;
            }
            if cut {
                open.extend(parts.drain(..).map(|part| (part, next)));
                continue;
            }
            match self.pick(&region, wanted, unwanted, at) {
                Found::Click(click) => break Some(click),
                Found::None => {}
                Found::Unsettled => unsettled = true,
            }
        };
        self.left -= full - patience;
        match found {
            Some(click) => Found::Click(click),
            None if unsettled || wanted.iter().any(|(shape, _)| shape.has_blind_spot()) => Found::Unsettled,
            None => Found::None,
        }
    }

    /// A click of the region, asked of the agreements themselves before it is shown.
    fn pick(&self, region: &Region, wanted: &[At<'_, '_>], unwanted: &[At<'_, '_>], at: Timestamp) -> Found {
        let mut texts = [const { String::new() }; TEXTS + 2];
        for (place, text) in texts.iter_mut().enumerate() {
            let asked: Vec<&Buckets> = region.buckets.iter().filter(|buckets| buckets.stick == place).collect();
            let listed = region.texts.get(place).and_then(Option::as_ref);
            *text = match listed {
                Some(ids) => match ids.iter().map(|id| self.names.text(*id)).find(|text| self.fits(text, &asked)) {
                    Some(text) => text.to_owned(),
                    None => return Found::None,
                },
                None if asked.is_empty() => String::new(),
                None => match (1..MADE_UP).map(|n| made_up(place, n)).find(|text| self.fits_new(text, &asked)) {
                    Some(text) => text,
                    None => return Found::Unsettled,
                },
            };
        }
        let known = |bits: usize, unknown: usize| match bits & !unknown {
            0 => bits.trailing_zeros() as usize,
            known => known.trailing_zeros() as usize,
        };
        let surface = known(usize::from(region.surfaces), usize::from(NO_SURFACE));
        let shop_type = known(usize::from(region.shop_types), 1 << ShopType::Unknown as usize);
        let link_kind = known(usize::from(region.link_kinds), 1 << LinkKind::Unknown as usize);
        let carried: Vec<&str> = region.carried.iter().map(|name| self.names.text(*name)).collect();
        let [category, creator, shop, item, link, visitor] = texts;
        let mut click = ExampleClick {
            platform: self.platform,
            surface: Surface::ALL.get(surface).copied(),
            marketplace: self.marketplace,
            shop_type: ShopType::ALL.get(shop_type).copied().unwrap_or(ShopType::Unknown),
            link_kind: LinkKind::ALL.get(link_kind).copied().unwrap_or(LinkKind::Unknown),
            category,
            creator,
            shop,
            item,
            carried: carried.join(" "),
            link,
            visitor: u128::from_str_radix(&visitor, 16).unwrap_or(0),
            at,
        };
        // The less is stated the better it reads; but what is not stated meets every deny.
        if is_so(&click.facts(), wanted, unwanted) {
            return Found::Click(Box::new(click));
        }
        for (place, text) in
            [&mut click.category, &mut click.creator, &mut click.shop, &mut click.item].into_iter().enumerate()
        {
            if text.is_empty() {
                *text = (1..).map(|n| made_up(place, n)).find(|text| !self.names.knows(text)).unwrap_or_default();
            }
        }
        for name in unwanted.iter().flat_map(|(shape, _)| &shape.agreement.when.requires) {
            let absent = format!("!{name}");
            if !click.carried.split(' ').any(|word| word == &**name || word == absent) {
                let space = if click.carried.is_empty() { "" } else { " " };
                click.carried = format!("{}{space}{absent}", click.carried);
            }
        }
        if is_so(&click.facts(), wanted, unwanted) { Found::Click(Box::new(click)) } else { Found::Unsettled }
    }

    fn fits(&self, text: &str, asked: &[&Buckets]) -> bool {
        asked.iter().all(|buckets| {
            let bucket = u32::from(rollout::bucket(self.names.text(buckets.salt), text));
            buckets.low <= bucket && bucket < buckets.high
        })
    }

    fn fits_new(&self, text: &str, asked: &[&Buckets]) -> bool {
        !self.names.knows(text) && self.fits(text, asked)
    }
}

/// An id that nobody names, as its place in a click would have it.
fn made_up(place: usize, n: u32) -> String {
    match place {
        0 => format!("category-{n}"),
        1 => format!("creator-{n}"),
        2 => format!("shop:{n}"),
        3 => format!("{n}"),
        4 => format!("link{n:04}"),
        _ => format!("{n:032x}"),
    }
}

fn is_so(facts: &Facts<'_>, wanted: &[At<'_, '_>], unwanted: &[At<'_, '_>]) -> bool {
    let matches = |(shape, at): &At<'_, '_>| {
        Dimension::ALL.into_iter().all(|dimension| holds(dimension, shape.agreement, facts, *at))
    };
    wanted.iter().all(matches) && !unwanted.iter().any(matches)
}
