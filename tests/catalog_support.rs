//! Links for the catalog's tests.
#![allow(dead_code, missing_docs, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::sync::Arc;

use hopgate::catalog::NewLink;
use hopgate::config::marketplaces::shipped;
use hopgate::domain::code::Code;
use hopgate::domain::link::{Link, LinkState, Placement};
use hopgate::domain::marketplace::{Destination, Landing};
use hopgate::domain::time::Timestamp;
use hopgate::domain::vocabulary::{LinkKind, MarketplaceId, PlatformId, ShopType, Surface, Vocabulary};

/// Spreads a counter (splitmix64).
pub fn splitmix(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// The `i`-th of an endless row of generated codes.
pub fn code(i: u64) -> Code {
    let mut random = [0; 24];
    for (place, part) in random.chunks_exact_mut(8).enumerate() {
        part.copy_from_slice(&splitmix(i.wrapping_mul(3) + place as u64).to_le_bytes());
    }
    Code::generate(&random).unwrap_or_else(|| code(i ^ 1 << 50))
}

/// A link as most are: a URL of 40 bytes with the item in it, a creator of 10.
pub fn link(i: u64) -> Link {
    let item = format!("{:015}", 100_000_000_000_000 + i);
    Link {
        code: code(i),
        landing: Landing {
            marketplace: MarketplaceId::JD,
            link_kind: LinkKind::Item,
            shop_hint: ShopType::Unknown,
            destination: Destination::from_stored(&format!("https://item.jd.com/{item}.html"), shipped().markets())
                .unwrap()
                .0,
            item: Some(item.into()),
            variant: None,
            shop: None,
        },
        alternates: Vec::new(),
        shop_type: ShopType::SelfOperated,
        category: None,
        creator: Some(format!("u{:09}", splitmix(i) % 100_000).into()),
        placement: Placement { platform: Some(PlatformId(0)), surface: Some(Surface::LiveCart) },
        facts: Vec::new(),
        tags: Vec::new(),
        expires_at: None,
        share_code: None,
        state: LinkState::Active,
        created_at: Timestamp::from_millis(1_669_823_999_999),
        revision: 0,
    }
}

/// The same under a code of one's own.
pub fn named(text: &str) -> Link {
    Link { code: Code::parse(text).unwrap(), ..link(0) }
}

/// The same, to be issued.
pub fn new_link(slug: Option<&str>) -> NewLink {
    let link = link(0);
    NewLink {
        slug: slug.map(|slug| Code::parse(slug).unwrap()),
        landing: link.landing,
        alternates: link.alternates,
        shop_type: link.shop_type,
        category: link.category,
        creator: link.creator,
        placement: link.placement,
        facts: link.facts,
        tags: link.tags,
        expires_at: link.expires_at,
        share_code: link.share_code,
        created_at: link.created_at,
    }
}

pub fn words() -> Arc<Vocabulary> {
    Arc::new(Vocabulary::default())
}
