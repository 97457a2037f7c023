//! A recorded click as attribution sees it.

use crate::domain::click_id::ClickId;
use crate::domain::hop::HopFlags;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::{LinkKind, ShopType};

/// What is wrong with a click that is counted in no view by default, a bit set beside the hop's own flags. The click itself is
/// kept as it was.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Marks(pub u16);

impl Marks {
    /// The same visitor clicked the same link shortly before.
    pub const DUPLICATE: Marks = Marks(1);
    /// The visitor is the link's own creator, as far as that was noticed.
    pub const SELF_CLICK: Marks = Marks(1 << 1);
    /// The visitor clicks more than people do.
    pub const EXCESSIVE: Marks = Marks(1 << 2);

    /// The names of the bits, lowest first.
    pub const NAMES: [&'static str; 3] = ["duplicate", "self_click", "excessive"];

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Marks) -> Marks {
        Marks(self.0 | other.0)
    }

    /// Whether all of `other` is set.
    pub const fn has(self, other: Marks) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names of the bits that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().enumerate().filter(move |(bit, _)| self.0 & (1 << bit) != 0).map(|(_, name)| name)
    }
}

/// A click that was redirected, whoever made it: which of them count is for the rules of a view to say. An empty text means
/// "not known" or "none".
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Touch {
    /// The click.
    pub click: ClickId,
    /// When it was decided.
    pub at: Timestamp,
    /// The node that recorded it, and its number there.
    pub node: Box<str>,
    /// Its sequence number in that node's journal.
    pub seq: u64,
    /// The link's code.
    pub code: Box<str>,
    /// The link's creator.
    pub creator: Box<str>,
    /// Where it happened.
    pub platform: Box<str>,
    /// The spot there, by its name.
    pub surface: Box<str>,
    /// Where it led.
    pub marketplace: Box<str>,
    /// Who runs the shop.
    pub shop_type: ShopType,
    /// What the link leads to.
    pub link_kind: LinkKind,
    /// The goods' category.
    pub category: Box<str>,
    /// The facts the link carried, as a hop has them.
    pub facts: Box<str>,
    /// The goods there.
    pub item: Box<str>,
    /// The shop there.
    pub shop: Box<str>,
    /// The agreement that let it through.
    pub agreement: Box<str>,
    /// The policy version that decided: the first 16 hex digits of its content hash.
    pub policy_version: u64,
    /// The hop's own flags.
    pub flags: HopFlags,
    /// What was noticed since.
    pub marks: Marks,
    /// The note it came from, where the click's own parameters said.
    pub note: Box<str>,
}
