//! The landings of a click that fell before one was taken, in the form a hop records them: complete enough to decide every
//! one of them again from the hop alone. Packed bytes, so that writing them is one copy and reading them allocates
//! nothing. Never decides anything.
//!
//! Layout of one: which landing, shop type, link kind, reason (a byte each), the rollout bucket (two bytes, all ones for
//! none), then marketplace, category, item, shop and agreement, each with its length in one byte. They follow each other
//! to the end; values of closed lists are stored by declaration order.

use super::policy::Reason;
use super::vocabulary::{LinkKind, ShopType};

/// The number of a landing that is the link's own.
pub const MAIN: u8 = 0;
/// The number of a landing that came from the policy: the pair's fallback.
pub const FALLBACK: u8 = u8::MAX;
/// Most landings that can fall at one click: the link's own and its alternates.
pub const MOST: usize = 1 + super::link::MOST_ALTERNATES;

/// Bytes of one before its texts.
const FIXED: usize = 6;
const TEXTS: usize = 5;
/// The longest text kept, in bytes.
pub const LONGEST_TEXT: usize = u8::MAX as usize;
/// The most bytes all of them take.
pub const MOST_BYTES: usize = MOST * (FIXED + TEXTS * (1 + LONGEST_TEXT));
/// "None" for the rollout bucket, and one over the last bucket.
const NO_BUCKET: u16 = u16::MAX;
const BUCKETS: u16 = 10_000;

/// One landing the policy refused. What it shares with the hop (code, creator, placement, facts, visitor, policy version,
/// instant) stands there. An empty text means "not known" or "none".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fallen<'a> {
    /// Which it was: 0 for the link's own landing, n for its n-th alternate.
    pub alternate: u8,
    /// Where it leads.
    pub marketplace: &'a str,
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
    /// Why it fell.
    pub reason: Reason,
    /// The agreement that denied, or came nearest to allowing.
    pub agreement: &'a str,
    /// The rollout bucket, 0 to 9,999, where a rollout was asked.
    pub bucket: Option<u16>,
}

/// Why bytes are not landings that fell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadTried {
    /// They end inside this field.
    Short(&'static str),
    /// This text is not UTF-8.
    NotText(&'static str),
    /// A field has a value without a name.
    OutOfRange(&'static str, u16),
}

/// The landings that fell, in the order they were tried; empty where the first was taken, and where there was no other.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Tried<'a>(&'a [u8]);

impl<'a> Tried<'a> {
    /// None fell.
    pub const NONE: Tried<'static> = Tried(&[]);

    /// Those that [`Fallen::put`] has put into `bytes`.
    ///
    /// # Errors
    /// [`BadTried`] when other hands wrote the bytes.
    pub fn read(bytes: &'a [u8]) -> Result<Self, BadTried> {
        let (mut rest, mut count) = (bytes, 0u16);
        while !rest.is_empty() {
            count += 1;
            if usize::from(count) > MOST {
                return Err(BadTried::OutOfRange("tried", count));
            }
            take(&mut rest)?;
        }
        Ok(Tried(bytes))
    }

    /// Those that fell, in order.
    pub fn iter(self) -> impl Iterator<Item = Fallen<'a>> {
        let mut rest = self.0;
        // The bytes were looked through before: no fault is left to meet.
        std::iter::from_fn(move || if rest.is_empty() { None } else { take(&mut rest).ok() })
    }

    /// Whether none fell.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// How many fell.
    pub fn len(self) -> usize {
        self.iter().count()
    }

    /// As they are stored.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

impl std::fmt::Debug for Tried<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Fallen<'_> {
    /// Puts this one behind those already in `bytes`. Texts are cut as [`short`] cuts them.
    pub fn put(&self, bytes: &mut Vec<u8>) {
        let bucket = self.bucket.filter(|bucket| *bucket < BUCKETS).unwrap_or(NO_BUCKET);
        bytes.extend([self.alternate, self.shop_type as u8, self.link_kind as u8, self.reason as u8]);
        bytes.extend(bucket.to_le_bytes());
        for text in [self.marketplace, self.category, self.item, self.shop, self.agreement] {
            let text = short(text);
            bytes.push(text.len() as u8);
            bytes.extend(text.as_bytes());
        }
    }
}

/// Landings gathered as they fall. Keeps its room from click to click.
#[derive(Debug, Default)]
pub struct Gathering {
    bytes: Vec<u8>,
    own_end: usize,
}

impl Gathering {
    /// Forgets those of the click before.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.own_end = 0;
    }

    /// Adds one.
    pub fn add(&mut self, fallen: &Fallen<'_>) {
        fallen.put(&mut self.bytes);
        if fallen.alternate == MAIN {
            self.own_end = self.bytes.len();
        }
    }

    /// All of them: for a click that was let through.
    pub fn all(&self) -> Tried<'_> {
        Tried(&self.bytes)
    }

    /// All but the link's own landing, which stands in the hop itself: for a refusal.
    pub fn but_own(&self) -> Tried<'_> {
        Tried(&self.bytes[self.own_end..])
    }
}

/// A text cut at the last whole character before its 256th byte. Ids, codes and facts never get that long, and a cut
/// text is better than a lost click.
pub fn short(text: &str) -> &str {
    let mut end = text.len().min(LONGEST_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Takes one from the front of `rest`.
fn take<'a>(rest: &mut &'a [u8]) -> Result<Fallen<'a>, BadTried> {
    let (fixed, after) = rest.split_first_chunk::<FIXED>().ok_or(BadTried::Short("tried"))?;
    *rest = after;
    let [alternate, shop_type, link_kind, reason, low, high] = *fixed;
    let bucket = match u16::from_le_bytes([low, high]) {
        NO_BUCKET => None,
        bucket if bucket < BUCKETS => Some(bucket),
        value => return Err(BadTried::OutOfRange("tried.bucket", value)),
    };
    let mut text = |field| -> Result<&'a str, BadTried> {
        let (length, after) = rest.split_first().ok_or(BadTried::Short(field))?;
        let (text, after) = after.split_at_checked(usize::from(*length)).ok_or(BadTried::Short(field))?;
        *rest = after;
        std::str::from_utf8(text).map_err(|_| BadTried::NotText(field))
    };
    // Struct fields are evaluated in the order written here: the texts must stand in their stored order.
    Ok(Fallen {
        alternate,
        shop_type: one_of(ShopType::ALL, shop_type, "tried.shop_type")?,
        link_kind: one_of(LinkKind::ALL, link_kind, "tried.link_kind")?,
        reason: one_of(Reason::ALL, reason, "tried.reason")?,
        bucket,
        marketplace: text("tried.marketplace")?,
        category: text("tried.category")?,
        item: text("tried.item")?,
        shop: text("tried.shop")?,
        agreement: text("tried.agreement")?,
    })
}

fn one_of<T: Copy>(all: &[T], value: u8, field: &'static str) -> Result<T, BadTried> {
    all.get(usize::from(value)).copied().ok_or(BadTried::OutOfRange(field, value.into()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_of<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
        proptest::sample::select(all)
    }

    prop_compose! {
        fn fallen()(
            alternate in any::<u8>(),
            lists in (any_of(ShopType::ALL), any_of(LinkKind::ALL), any_of(Reason::ALL)),
            bucket in proptest::option::of(0..BUCKETS),
            texts in proptest::collection::vec("\\PC{0,40}", TEXTS),
        ) -> (u8, (ShopType, LinkKind, Reason), Option<u16>, Vec<String>) {
            (alternate, lists, bucket, texts)
        }
    }

    proptest! {
        #[test]
        fn what_fell_is_read_back(all in proptest::collection::vec(fallen(), 0..=MOST)) {
            let all: Vec<Fallen<'_>> = all
                .iter()
                .map(|(alternate, (shop_type, link_kind, reason), bucket, texts)| Fallen {
                    alternate: *alternate, shop_type: *shop_type, link_kind: *link_kind, reason: *reason,
                    bucket: *bucket, marketplace: &texts[0], category: &texts[1], item: &texts[2], shop: &texts[3],
                    agreement: &texts[4],
                })
                .collect();
            let mut bytes = Vec::new();
            all.iter().for_each(|fallen| fallen.put(&mut bytes));
            let tried = Tried::read(&bytes).unwrap();
            prop_assert_eq!(tried.iter().collect::<Vec<_>>(), all);
            prop_assert!(bytes.len() <= MOST_BYTES);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(tried) = Tried::read(&bytes) {
                let mut again = Vec::new();
                tried.iter().for_each(|fallen| fallen.put(&mut again));
                prop_assert_eq!(again, bytes);
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let one = Fallen {
            alternate: 1,
            marketplace: "jd",
            shop_type: ShopType::Pop,
            link_kind: LinkKind::Item,
            category: "",
            item: "1",
            shop: "",
            reason: Reason::WindowEnded,
            agreement: &"很".repeat(100),
            bucket: Some(20_000),
        };
        let mut bytes = Vec::new();
        one.put(&mut bytes);
        let read = Tried::read(&bytes).unwrap().iter().next().unwrap();
        assert_eq!((read.agreement.len(), read.bucket), (255, None), "cut, and no such bucket");
        assert_eq!(Tried::read(&bytes[..3]), Err(BadTried::Short("tried")));
        assert_eq!(Tried::read(&bytes[..bytes.len() - 1]), Err(BadTried::Short("tried.agreement")));
        for (place, field) in [(1, "tried.shop_type"), (2, "tried.link_kind"), (3, "tried.reason")] {
            let mut altered = bytes.clone();
            altered[place] = 200;
            assert_eq!(Tried::read(&altered), Err(BadTried::OutOfRange(field, 200)));
        }
        bytes[7] = 0xff;
        assert_eq!(Tried::read(&bytes), Err(BadTried::NotText("tried.marketplace")));
        let mut many = Vec::new();
        (0..=MOST).for_each(|_| one.put(&mut many));
        assert_eq!(Tried::read(&many), Err(BadTried::OutOfRange("tried", MOST as u16 + 1)));
    }
}
