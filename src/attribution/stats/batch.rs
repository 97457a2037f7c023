//! Hops as they wait to be counted: what is needed of each, with every text as a number.

use std::borrow::Cow;

use super::words::{Aim, Word, Words};
use crate::domain::click_id::ClickId;
use crate::domain::hop::{Hop, HopFlags, Outcome};
use crate::domain::macros::MacroField;
use crate::domain::percent::nibble;
use crate::domain::time::Timestamp;

/// One hop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) node: Word,
    pub(super) seq: u64,
    pub(super) at: Timestamp,
    pub(super) id: ClickId,
    pub(super) code: Word,
    pub(super) creator: Word,
    pub(super) platform: Word,
    pub(super) surface: Word,
    pub(super) marketplace: Word,
    pub(super) shop_type: Word,
    pub(super) link_kind: Word,
    pub(super) category: Word,
    pub(super) facts: Word,
    pub(super) item: Word,
    pub(super) shop: Word,
    pub(super) agreement: Word,
    pub(super) note: Word,
    pub(super) policy_version: u64,
    pub(super) allowed: bool,
    pub(super) outcome: Word,
    pub(super) reason: Word,
    pub(super) flags: HopFlags,
    pub(super) visitor: u128,
}

impl Row {
    /// What it led to, and where it happened.
    pub(super) fn aim(&self) -> Aim {
        let Row { platform, surface, marketplace, shop_type, link_kind, category, facts, .. } = *self;
        let Row { item, shop, agreement, policy_version, .. } = *self;
        Aim {
            platform,
            surface,
            marketplace,
            shop_type,
            link_kind,
            category,
            facts,
            item,
            shop,
            agreement,
            policy_version,
        }
    }

    /// What is needed of a hop.
    pub(super) fn of(words: &mut Words, seq: u64, hop: &Hop<'_>) -> Row {
        Row {
            node: words.word(hop.node),
            seq,
            at: hop.at,
            id: hop.id,
            code: words.word(hop.code),
            creator: words.word(hop.creator),
            platform: words.word(hop.platform),
            surface: words.word(hop.surface.map_or("", |surface| surface.as_str())),
            marketplace: words.word(hop.marketplace),
            shop_type: words.word(hop.shop_type.as_str()),
            link_kind: words.word(hop.link_kind.as_str()),
            category: words.word(hop.category),
            facts: words.word(hop.facts),
            item: words.word(hop.item),
            shop: words.word(hop.shop),
            agreement: words.word(hop.agreement),
            note: words.word(&note(hop.macros)),
            policy_version: hop.policy_version,
            allowed: hop.outcome == Outcome::Allow,
            outcome: words.word(hop.outcome.as_str()),
            reason: words.word(hop.reason.as_str()),
            flags: hop.flags,
            visitor: hop.visitor,
        }
    }
}

/// The note a click came from, out of [`Hop::macros`]; empty where nobody said.
pub(super) fn note(macros: &str) -> Cow<'_, str> {
    let found = macros.split('&').find_map(|pair| pair.strip_prefix(MacroField::Note.as_str())?.strip_prefix('='));
    let Some(value) = found else { return Cow::Borrowed("") };
    if !value.contains('%') {
        return Cow::Borrowed(value);
    }
    let (mut plain, mut rest) = (Vec::with_capacity(value.len()), value.as_bytes());
    while let [first, after @ ..] = rest {
        rest = match (first, after) {
            (b'%', [high, low, behind @ ..]) => {
                plain.push(nibble(*high).unwrap_or(0) << 4 | nibble(*low).unwrap_or(0));
                behind
            }
            _ => {
                plain.push(*first);
                after
            }
        };
    }
    Cow::Owned(String::from_utf8_lossy(&plain).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_is_read_out_of_the_parameters() {
        assert_eq!(note(""), "");
        assert_eq!(note("account=1&note=n-7&ts=1668441600123"), "n-7");
        assert_eq!(note("note=%E7%AC%94%E8%AE%B0%261"), "笔记&1");
        assert_eq!(note("notes=1"), "");
    }
}
