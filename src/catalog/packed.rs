//! A link as few bytes, as the map of the click path holds it. Never parses a URL, never checks one.
//!
//! Layout: a head of 16 bytes (the code as [`Code::pack`] makes it, or 0; the low 48 bits of the revision; the platform; the
//! marketplace with its flags), then the tail: two bytes of small fields, the lengths as varints, an optional expiry, the
//! texts one after the other (a share code last), and the alternates, where there are any, in their own packed form. The
//! item is usually a part of the URL and then costs two bytes. What the click path does not ask for (tags, creation time,
//! variant) stays in the store.

use crate::domain::alternates::Alternates;
use crate::domain::code::Code;
use crate::domain::link::{Link, LinkState, LinkView, Placement, facts_text};
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::{LinkKind, MarketplaceId, PlatformId, ShopType, Surface, Vocabulary};

/// Bytes of the head.
const HEAD: usize = 16;
/// Bytes of a revision: a thousand changes a second fill them in 8,900 years.
const REVISION: usize = 6;
/// For none; ids end at 63.
const NO_PLATFORM: u8 = u8::MAX;
const NO_SURFACE: u8 = 15;
/// Over the marketplace: there are alternates behind the texts.
const ALTERNATES: u8 = 1 << 7;
/// Over the marketplace: there is a share code behind the other texts.
const SHARE_CODE: u8 = 1 << 6;
const _: () = assert!(Vocabulary::MOST <= SHARE_CODE as usize, "a marketplace takes six bits");
const _: () = assert!(Surface::ALL.len() <= NO_SURFACE as usize, "a surface takes four bits, 15 is none");
const _: () = assert!(ShopType::ALL.len() <= 8, "a shop type takes three bits");
const _: () = assert!(LinkKind::ALL.len() <= 8, "a link kind takes three bits");
const _: () = assert!(size_of::<u64>() + REVISION + 2 == HEAD, "the budget per link counts on it");

// Bits of the first byte of the tail above the surface, and of the second above the link kind.
const SHOP_TYPE_SHIFT: u8 = 4;
const DISABLED: u8 = 1 << 7;
const EXPIRES: u8 = 1 << 3;
const CATEGORY: u8 = 1 << 4;
const SHOP: u8 = 1 << 5;
const FACTS: u8 = 1 << 6;
/// The item is no part of the URL and has a text of its own.
const OWN_ITEM: u8 = 1 << 7;

/// Packs a link behind what `out` holds.
pub(super) fn pack(link: &Link, out: &mut Vec<u8>) {
    let url = link.landing.destination.as_str();
    let creator = link.creator.as_deref().unwrap_or_default();
    let item = link.landing.item.as_deref().unwrap_or_default();
    let item_at = memchr::memmem::find(url.as_bytes(), item.as_bytes());
    let category = link.category.as_deref().unwrap_or_default();
    let shop = link.landing.shop.as_deref().unwrap_or_default();
    let facts = facts_text(&link.facts);
    let share_code = link.share_code.as_deref().unwrap_or_default();

    let surface = link.placement.surface.map_or(NO_SURFACE, |surface| surface as u8);
    let disabled = if link.state == LinkState::Disabled { DISABLED } else { 0 };
    let mut flags = link.landing.link_kind as u8;
    let mut flag = |on: bool, bit: u8| flags |= if on { bit } else { 0 };
    flag(link.expires_at.is_some(), EXPIRES);
    flag(!category.is_empty(), CATEGORY);
    flag(!shop.is_empty(), SHOP);
    flag(!facts.is_empty(), FACTS);
    flag(item_at.is_none(), OWN_ITEM);

    let marketplace = link.landing.marketplace.0
        | if link.alternates.is_empty() { 0 } else { ALTERNATES }
        | if share_code.is_empty() { 0 } else { SHARE_CODE };

    out.extend(Code::pack(link.code.as_str().as_bytes()).unwrap_or(0).to_le_bytes());
    out.extend(&link.revision.to_le_bytes()[..REVISION]);
    out.extend([link.placement.platform.map_or(NO_PLATFORM, |id| id.0), marketplace]);
    out.extend([surface | (link.shop_type as u8) << SHOP_TYPE_SHIFT | disabled, flags]);
    put_number(out, url.len());
    put_number(out, creator.len());
    put_number(out, item.len());
    if let (Some(at), false) = (item_at, item.is_empty()) {
        put_number(out, at);
    }
    if let Some(at) = link.expires_at {
        out.extend(at.micros().to_le_bytes());
    }
    for text in [category, shop, &facts, share_code] {
        if !text.is_empty() {
            put_number(out, text.len());
        }
    }
    let own_item = if item_at.is_none() { item } else { "" };
    for text in [url, creator, own_item, category, shop, &facts, share_code] {
        out.extend(text.as_bytes());
    }
    link.alternates.iter().for_each(|alternate| alternate.view().pack(out));
}

/// A packed link.
#[derive(Clone, Copy)]
pub(super) struct Record<'a>(pub &'a [u8]);

impl<'a> Record<'a> {
    /// The packed code; 0 for one that is not eight characters long.
    pub(super) fn code(self) -> u64 {
        self.0.first_chunk().map_or(0, |code| u64::from_le_bytes(*code))
    }

    /// The revision of the link packed here.
    pub(super) fn revision(self) -> i64 {
        let mut whole = [0; 8];
        let held = self.0.get(size_of::<u64>()..size_of::<u64>() + REVISION).unwrap_or_default();
        whole[..held.len()].copy_from_slice(held);
        i64::from_le_bytes(whole)
    }

    /// The link as the click path sees it.
    pub(super) fn view(self) -> LinkView<'a> {
        let (head, tail) = self.0.split_at_checked(HEAD).unwrap_or((&[NO_PLATFORM; HEAD], &[]));
        let (platform, marketplace) = (head[HEAD - 2], head[HEAD - 1]);
        let mut tail = Tail(tail);
        let (small, flags) = (tail.byte(), tail.byte());
        let (url, creator, item) = (tail.number(), tail.number(), tail.number());
        let own_item = flags & OWN_ITEM != 0;
        let item_at = if own_item || item == 0 { 0 } else { tail.number() };
        let expires_at = if flags & EXPIRES != 0 { tail.instant() } else { Timestamp::MAX };
        let mut length = |bit| if flags & bit != 0 { tail.number() } else { 0 };
        let (category, shop, facts) = (length(CATEGORY), length(SHOP), length(FACTS));
        let share_code = if marketplace & SHARE_CODE != 0 { tail.number() } else { 0 };

        let (texts, alternates) = if marketplace & ALTERNATES != 0 {
            let texts = url + creator + if own_item { item } else { 0 } + category + shop + facts + share_code;
            tail.0.split_at_checked(texts).unwrap_or_default()
        } else {
            (tail.0, &[][..])
        };

        // One check for all texts; it costs some nanoseconds and saves `unsafe`. Packed from `str`, so it never fails.
        let mut texts = Texts(std::str::from_utf8(texts).unwrap_or_default());
        let (url, creator) = (texts.take(url), texts.take(creator));
        let item = if own_item { texts.take(item) } else { url.get(item_at..item_at + item).unwrap_or_default() };
        LinkView {
            placement: Placement {
                platform: (platform != NO_PLATFORM).then_some(PlatformId(platform)),
                surface: Surface::ALL.get(usize::from(small & 15)).copied(),
            },
            marketplace: MarketplaceId(marketplace & !(ALTERNATES | SHARE_CODE)),
            shop_type: *ShopType::ALL.get(usize::from(small >> SHOP_TYPE_SHIFT & 7)).unwrap_or(&ShopType::Unknown),
            link_kind: *LinkKind::ALL.get(usize::from(flags & 7)).unwrap_or(&LinkKind::Unknown),
            category: texts.take(category),
            creator,
            item,
            shop: texts.take(shop),
            facts: texts.take(facts),
            share_code: texts.take(share_code),
            url,
            expires_at,
            state: if small & DISABLED != 0 { LinkState::Disabled } else { LinkState::Active },
            alternates: Alternates::packed(alternates),
        }
    }
}

/// LEB128: seven bits a byte, the top bit set on all but the last.
fn put_number(bytes: &mut Vec<u8>, mut number: usize) {
    while number > 0x7F {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// What is left of a tail. Reading past the end gives zeros; the writer above never lets it come to that.
struct Tail<'a>(&'a [u8]);

impl Tail<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn number(&mut self) -> usize {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.byte();
            number |= usize::from(byte & 0x7F) << shift;
            shift += 7;
            if byte & 0x80 == 0 || shift > 56 {
                return number;
            }
        }
    }

    fn instant(&mut self) -> Timestamp {
        let Some((first, rest)) = self.0.split_first_chunk() else { return Timestamp::MIN };
        self.0 = rest;
        Timestamp::from_micros(i64::from_le_bytes(*first))
    }
}

struct Texts<'a>(&'a str);

impl<'a> Texts<'a> {
    fn take(&mut self, length: usize) -> &'a str {
        let Some((text, rest)) = self.0.split_at_checked(length) else { return "" };
        self.0 = rest;
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::marketplaces::shipped;
    use crate::domain::alternates::Alternate;
    use crate::domain::link::Fact;
    use crate::domain::marketplace::{Destination, Landing};

    fn text() -> impl Strategy<Value = Option<Box<str>>> {
        // `None` and "" look alike to the click path, by the contract of `LinkView`.
        proptest::option::of("\\PC{1,200}").prop_map(|text| text.map(String::into_boxed_str))
    }

    fn item() -> impl Strategy<Value = Option<Box<str>>> {
        prop_oneof![Just(None), "[0-9]{6,14}".prop_map(|id| Some(id.into())), text()]
    }

    prop_compose! {
        fn links()(
            code in "[A-Za-z0-9_-]{3,64}|[A-Za-z0-9]{8}",
            rest in "[A-Za-z0-9/?=&%_.'-]{0,300}",
            (item, in_url) in (item(), any::<bool>()),
            (shop, category, creator, share_code) in (text(), text(), text(), text()),
            (surface, shop_type, kind) in (0..=Surface::ALL.len(), 0..ShopType::ALL.len(), 0..LinkKind::ALL.len()),
            (platform, marketplace) in (proptest::option::of(0u8..64), 0u8..64),
            facts in proptest::collection::btree_map("[a-z_双]{1,20}", any::<bool>(), 0..5),
            expires_at in proptest::option::of(any::<i64>()),
            (disabled, revision) in (any::<bool>(), 0i64..1 << 48),
            alternates in proptest::collection::vec(("[0-9]{1,12}", text(), 0..ShopType::ALL.len()), 0..4),
        ) -> Link {
            let ascii = item.as_deref().filter(|item| in_url && item.bytes().all(|b| b.is_ascii_alphanumeric()));
            let url = format!("https://item.jd.com/{}{rest}", ascii.unwrap_or_default());
            Link {
                code: Code::parse(&code).unwrap_or_else(|_| Code::parse("fallback").unwrap()),
                landing: Landing {
                    marketplace: MarketplaceId(marketplace),
                    link_kind: LinkKind::ALL[kind],
                    shop_hint: ShopType::Unknown,
                    item,
                    variant: None,
                    shop,
                    destination: Destination::from_stored(&url, shipped().markets()).unwrap().0,
                },
                alternates: alternates
                    .into_iter()
                    .map(|(item, category, shop_type)| Alternate {
                        landing: shipped().markets().recognise(&format!("https://item.jd.com/{item}.html")).unwrap(),
                        shop_type: ShopType::ALL[shop_type],
                        category,
                    })
                    .collect(),
                shop_type: ShopType::ALL[shop_type],
                category,
                creator,
                placement: Placement {
                    platform: platform.map(PlatformId),
                    surface: Surface::ALL.get(surface).copied(),
                },
                facts: facts.into_iter().map(|(name, carried)| Fact { name, carried }).collect(),
                tags: vec!["a".into()],
                expires_at: expires_at.map(Timestamp::from_micros),
                share_code,
                state: if disabled { LinkState::Disabled } else { LinkState::Active },
                created_at: Timestamp::MIN,
                revision,
            }
        }
    }

    #[test]
    fn alternates_and_share_codes_cost_those_links_alone_that_have_them() {
        let mut link = Link {
            code: Code::parse("AbCd1234").unwrap(),
            landing: shipped().markets().recognise("https://item.jd.com/100012043978.html").unwrap(),
            alternates: Vec::new(),
            shop_type: ShopType::SelfOperated,
            category: None,
            creator: Some("creator-12".into()),
            placement: Placement { platform: Some(PlatformId(0)), surface: Some(Surface::LiveCart) },
            facts: Vec::new(),
            tags: Vec::new(),
            expires_at: None,
            share_code: None,
            state: LinkState::Active,
            created_at: Timestamp::MIN,
            revision: 1,
        };
        let packed = |link: &Link| {
            let mut out = Vec::new();
            pack(link, &mut out);
            out
        };
        let plain = packed(&link);
        // The head, two small fields, the lengths of URL, creator and item and the item's place, and the two texts: no byte more.
        assert_eq!(plain.len(), HEAD + 2 + 4 + 37 + 10);
        let landing = shipped().markets().recognise("https://detail.tmall.com/item.htm?id=610947572360").unwrap();
        link.alternates = vec![Alternate { landing, shop_type: ShopType::Flagship, category: None }];
        let rich = packed(&link);
        assert_eq!(rich.len(), plain.len() + 12 + 49);
        link.alternates.clear();
        link.share_code = Some("￥AbCdEf12345￥".into());
        let coded = packed(&link);
        assert_eq!(coded.len(), plain.len() + 1 + "￥AbCdEf12345￥".len());
    }

    proptest! {
        #[test]
        fn every_field_round_trips(link in links()) {
            let mut out = vec![1, 2, 3];
            pack(&link, &mut out);
            let packed = Record(&out[3..]);
            let facts = link
                .facts
                .iter()
                .map(|fact| format!("{}{}", if fact.carried { "" } else { "!" }, fact.name))
                .collect::<Vec<_>>()
                .join(" ");
            prop_assert_eq!(packed.view(), LinkView {
                placement: link.placement,
                marketplace: link.landing.marketplace,
                shop_type: link.shop_type,
                link_kind: link.landing.link_kind,
                category: link.category.as_deref().unwrap_or_default(),
                creator: link.creator.as_deref().unwrap_or_default(),
                item: link.landing.item.as_deref().unwrap_or_default(),
                shop: link.landing.shop.as_deref().unwrap_or_default(),
                facts: &facts,
                share_code: link.share_code.as_deref().unwrap_or_default(),
                url: link.landing.destination.as_str(),
                expires_at: link.expires_at.unwrap_or(Timestamp::MAX),
                state: link.state,
                alternates: packed.view().alternates,
            });
            let alternates: Vec<_> = link.alternates.iter().map(Alternate::view).collect();
            prop_assert_eq!(packed.view().alternates.iter().collect::<Vec<_>>(), alternates);
            prop_assert_eq!(packed.revision(), link.revision);
            prop_assert_eq!(packed.code(), Code::pack(link.code.as_str().as_bytes()).unwrap_or(0));
        }

        #[test]
        fn a_fact_name_cannot_pass_for_another_fact(link in links(), carried: bool) {
            let mut link = link;
            link.facts = ["x xingtu_order", "!xingtu_order", "", "a\u{3000}b"]
                .map(|name| Fact { name: name.into(), carried })
                .to_vec();
            let mut out = Vec::new();
            pack(&link, &mut out);
            prop_assert_eq!(Record(&out).view().facts, "");
        }
    }
}
