//! The hop: the record of one decided click, refused ones included. It proves which rule of which policy version
//! decided, and is what attribution works from. Never holds a full address or a raw device id.

use super::click_id::ClickId;
use super::device::{HostApp, Os};
use super::landing::Way;
use super::policy::Reason;
use super::time::Timestamp;
use super::tried::Tried;
use super::vocabulary::{LandingMode, LinkKind, ShopType, Surface, closed_list};

closed_list! {
    /// What became of a click.
    Outcome {
        /// Redirected.
        Allow = "allow",
        /// Refused.
        Deny = "deny",
    }
}

closed_list! {
    /// How the placement of a click was known.
    PlacementSource {
        /// It was not.
        Unknown = "unknown",
        /// Bound to the link when it was issued.
        Link = "link",
        /// From a token the platform signed.
        Token = "token",
        /// Detected from the visitor's app.
        Detected = "detected",
        /// From an unsigned hint.
        Hint = "hint",
    }
}

/// Flags of a hop, a bit set.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct HopFlags(pub u16);

impl HopFlags {
    /// Asked with HEAD.
    pub const HEAD: HopFlags = HopFlags(1);
    /// A crawler by its own words.
    pub const BOT: HopFlags = HopFlags(1 << 1);
    /// A browser's prefetch or prerender.
    pub const PREFETCH: HopFlags = HopFlags(1 << 2);
    /// No User-Agent at all.
    pub const NO_AGENT: HopFlags = HopFlags(1 << 3);
    /// The clock was started at another time (`--rehearse-at`).
    pub const REHEARSAL: HopFlags = HopFlags(1 << 4);

    /// The address belongs to a data centre.
    pub const DATACENTER: HopFlags = HopFlags(1 << 5);
    /// The headers contradict each other.
    pub const IMPLAUSIBLE: HopFlags = HopFlags(1 << 6);
    /// A link-preview fetcher of a chat or social app; a bot too.
    pub const PREVIEW: HopFlags = HopFlags(1 << 7);

    /// The names of the bits, lowest first.
    pub const NAMES: [&'static str; 8] =
        ["head", "bot", "prefetch", "no_agent", "rehearsal", "datacenter", "implausible", "preview"];

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: HopFlags) -> HopFlags {
        HopFlags(self.0 | other.0)
    }

    /// Whether all of `other` is set.
    pub const fn has(self, other: HopFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether this click counts as one of a person.
    pub const fn is_person(self) -> bool {
        self.0 & (Self::HEAD.0 | Self::BOT.0 | Self::PREFETCH.0) == 0
    }

    /// The flag of a name.
    pub fn named(name: &str) -> Option<HopFlags> {
        Self::NAMES.iter().position(|known| *known == name).map(|bit| HopFlags(1 << bit))
    }

    /// The names of the bits that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().enumerate().filter(move |(bit, _)| self.0 & (1 << bit) != 0).map(|(_, name)| name)
    }
}

/// The longest [`Hop::macros`], in bytes.
pub const MOST_MACROS: usize = 512;

/// One decided click. Borrowed texts, so that a live click is written, and a stored one read, without copying.
/// An empty text means "not known" or "none".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hop<'a> {
    /// The click.
    pub id: ClickId,
    /// When it was decided.
    pub at: Timestamp,
    /// The link's code.
    pub code: &'a str,
    /// The creator of the link.
    pub creator: &'a str,
    /// Where it happened.
    pub platform: &'a str,
    /// The spot there.
    pub surface: Option<Surface>,
    /// How the two were known.
    pub placement_source: PlacementSource,
    /// Where it leads: the landing taken, or the link's own when every one was refused.
    pub marketplace: &'a str,
    /// Who runs the shop.
    pub shop_type: ShopType,
    /// What the link leads to.
    pub link_kind: LinkKind,
    /// The goods' category.
    pub category: &'a str,
    /// The goods' id on the marketplace.
    pub item: &'a str,
    /// The shop's id on the marketplace.
    pub shop: &'a str,
    /// The facts the link carried, `name` or `!name` for one known to be absent, separated by spaces.
    pub facts: &'a str,
    /// What became of it.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// The agreement that decided, or came nearest to allowing.
    pub agreement: &'a str,
    /// The policy version that decided: the first 16 hex digits of its content hash.
    pub policy_version: u64,
    /// The rollout bucket, 0 to 9,999, where a rollout was asked.
    pub bucket: Option<u16>,
    /// How it was landed; `None` for a refusal.
    pub landing: Option<LandingMode>,
    /// The host app.
    pub app: HostApp,
    /// The operating system.
    pub os: Os,
    /// Bot and validity flags.
    pub flags: HopFlags,
    /// The visitor's address, truncated to /24 (IPv4, mapped) or /48: the first 8 bytes of the 16.
    pub address: [u8; 8],
    /// The visitor, hashed with a key that lives one day.
    pub visitor: u128,
    /// The gateway that decided.
    pub node: &'a str,
    /// Which landing the fields above speak of: 0 the link's own, n its n-th alternate, 255 the pair's fallback. 0 for
    /// a refusal.
    pub alternate: u8,
    /// The landings refused before the one taken, in order; for a refusal all but the link's own, which stands above.
    pub tried: Tried<'a>,
    /// How the visitor was sent on; `None` for a refusal.
    pub way: Option<Way>,
    /// What the click's own parameters said, normalised: `name=value` joined by `&`, sorted, without any device id. At
    /// most [`MOST_MACROS`] bytes.
    pub macros: &'a str,
}
