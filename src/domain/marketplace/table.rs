//! The form of a marketplace's data: its names, its domains, its URL shapes, its affiliate tags and its noise.
//!
//! Plain structs, as files say them; whoever reads the files is elsewhere. Never holds a rule: what may be said is in
//! `check`, who is trusted in `host`, what a URL identifies in `shape`.

use std::sync::Arc;

use super::app::App;
use crate::domain::span::Span;
use crate::domain::vocabulary::{LinkKind, ShopType, closed_list};

/// One marketplace.
///
/// An empty text in it is one that could not be read: its reader has complained already, so `check` does not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Marketplace {
    /// Its name in the vocabulary.
    pub id: Box<str>,
    /// Its names for people.
    pub names: Names,
    /// Who shares its number space: the first part of a product key.
    pub family: Box<str>,
    /// Its domains; every host below one is trusted. Without any, no link of it is taken.
    pub domains: Vec<Box<str>>,
    /// What its hosts suggest of the shop. A hint only.
    pub shop_hint: ShopType,
    /// Host labels which look like a shop's name and are not.
    pub services: Vec<Box<str>>,
    /// Whether the same item number of two shops is two offers, so that a key needs both.
    pub items_per_shop: bool,
    /// Its URL shapes; the first that fits decides.
    pub shapes: Vec<Shape>,
    /// Query names that name a variant of an item.
    pub variant: Vec<Box<str>>,
    /// Query names that never tell two products apart, where a `*` at the end stands for any ending. They are dropped
    /// from keys, never from a destination.
    pub noise: Vec<Box<str>>,
    /// Its front page, where a link leads that names no more than the marketplace.
    pub home: Option<Box<str>>,
    /// Pages that only lead on to others.
    pub short_links: Vec<ShortLinks>,
    /// Pages that lead wherever a parameter says: a host, or a host and how the path begins. No click may land there.
    pub forwards: Vec<Box<str>>,
    /// How it is opened otherwise than by a plain redirect.
    pub app: App,
}

/// A family of short links: pages that only lead on, and may be asked where to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShortLinks {
    /// The host.
    pub host: Box<str>,
    /// How the path begins; of several that fit, the longest counts.
    pub path: Box<str>,
    /// How long one lives from its issue, where it dies by itself.
    pub lives: Option<Span>,
}

/// What people call a marketplace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Names {
    /// In Chinese.
    pub zh: Arc<str>,
    /// In English.
    pub en: Arc<str>,
}

/// One family of URLs that mean the same sort of thing.
///
/// In `hosts` and `paths`, `{id}` stands for a run of `[A-Za-z0-9_-]`, `{shop}` for a run of digits that names the shop,
/// `{digits}` for one that names nothing, and `*` for anything.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shape {
    /// What such a URL leads to.
    pub kind: LinkKind,
    /// Patterns of the host.
    pub hosts: Vec<Box<str>>,
    /// Patterns of the path.
    pub paths: Vec<Box<str>>,
    /// Query names that hold the id; empty when it stands at `{id}`.
    pub query: Vec<Box<str>>,
    /// What the id is. A URL whose id does not have that form does not fit.
    pub id: Id,
    /// Any of these makes it an alliance link.
    pub tags: Vec<Tag>,
}

/// The id in a URL: what it names, and its form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Id {
    /// What it names.
    pub names: Named,
    /// Its form.
    pub form: Form,
    /// Its fewest characters.
    pub min: u8,
    /// Its most characters.
    pub max: u8,
}

impl Id {
    /// One that could not be read: its reader has complained already.
    pub const UNREAD: Id = Id { names: Named::Nothing, form: Form::Opaque, min: 0, max: 0 };
    /// No id at all.
    pub const NONE: Id = Id { names: Named::Nothing, form: Form::None, min: 0, max: 0 };
}

closed_list! {
    /// What an id names, hence where it is kept.
    Named {
        /// Nothing that is kept: a short link's code, an encrypted parameter.
        Nothing = "nothing",
        /// An item.
        Item = "item",
        /// A shop.
        Shop = "shop",
        /// A seller, whose number is another than its shop's.
        Seller = "seller",
    }
}

closed_list! {
    /// The form of an id.
    Form {
        /// There is none.
        None = "none",
        /// Digits, the first not 0.
        Number = "number",
        /// Of `[A-Za-z0-9_-]`.
        Code = "code",
        /// A code that is none of the marketplace's services: a shop's host label.
        Label = "label",
        /// Anything but nothing, read by nobody here: an encrypted parameter. Kept nowhere.
        Opaque = "opaque",
    }
}

/// A mark that commission travels in a URL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Tag {
    /// `name`: the parameter is there and not empty.
    Present(Box<str>),
    /// `name=start`: the parameter's value starts with this text and then a digit.
    Numbered(Box<str>, Box<str>),
}

impl Tag {
    /// A tag as files write it: `name`, or `name=start`.
    pub fn read(text: &str) -> Tag {
        match text.split_once('=') {
            None => Tag::Present(text.into()),
            Some((name, start)) => Tag::Numbered(name.into(), start.into()),
        }
    }

    /// The parameter it looks at.
    pub fn name(&self) -> &str {
        match self {
            Tag::Present(name) | Tag::Numbered(name, _) => name,
        }
    }
}
