//! What a URL of a trusted host identifies: one small matcher that walks the tables. Never decides where a click may
//! land, and never changes the URL.
//!
//! An identity is read only from plain, unambiguous text. An id that is percent-encoded, malformed, or named twice with
//! different values is no id, and a path with dot segments has no shape: the marketplace might read another product
//! than we do, and a policy must not be passed that way. Such a URL is still a landing, of kind `unknown`.

use super::table::{Id, Marketplace, Shape, Tag};
use crate::domain::vocabulary::LinkKind;

/// What was found in a URL.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub kind: LinkKind,
    pub item: Option<Box<str>>,
    pub variant: Option<Box<str>>,
    pub shop: Option<Box<str>>,
}

/// Reads the identity out of a normal host and the rest of the URL, from its path on. A URL of no known shape is of
/// kind [`LinkKind::Unknown`] and names nothing.
pub(super) fn identify(marketplace: &Marketplace, host: &str, rest: &str) -> Found {
    let (path, query) = path_and_query(rest);
    let known = if has_dot_segment(path) {
        None
    } else {
        marketplace.shapes.iter().find_map(|shape| Some((shape, fit(marketplace, shape, host, path, query)?)))
    };
    let Some((shape, id)) = known else {
        return Found { kind: LinkKind::Unknown, item: None, variant: None, shop: None };
    };
    let tagged = shape.tags.iter().any(|tag| carries(query, tag));
    let (item, shop) = match shape.id {
        Id::Nothing | Id::Opaque | Id::Code => (None, None),
        Id::ItemNumber | Id::Sku | Id::AllianceItem => (Some(id.into()), None),
        Id::ShopNumber | Id::ShopName => (None, Some(format!("shop:{id}").into())),
        Id::SellerNumber => (None, Some(format!("seller:{id}").into())),
    };
    let variant = item.as_ref().and_then(|_| agreed(query, marketplace.variant)).filter(|id| is_digits(id, 1, 20));
    Found { kind: if tagged { LinkKind::Alliance } else { shape.kind }, item, variant: variant.map(Box::from), shop }
}

/// A URL from its path on, taken apart: path and query, neither with its mark, the fragment dropped.
pub(super) fn path_and_query(rest: &str) -> (&str, &str) {
    let rest = rest.split_once('#').map_or(rest, |(front, _)| front);
    rest.split_once('?').unwrap_or((rest, ""))
}

/// A query's names and values, as written.
pub(super) fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|part| !part.is_empty()).map(|part| part.split_once('=').unwrap_or((part, "")))
}

/// The id of a URL that fits a shape; an empty text for a shape without one.
fn fit<'u>(marketplace: &Marketplace, shape: &Shape, host: &'u str, path: &'u str, query: &'u str) -> Option<&'u str> {
    let in_host = shape.hosts.iter().find_map(|pattern| matches(pattern, host))?;
    let in_path = shape.paths.iter().find_map(|pattern| matches(pattern, path))?;
    let id = if shape.query.is_empty() {
        in_path.or(in_host).unwrap_or("")
    } else if shape.id == Id::Opaque {
        parameters(query).find(|(name, value)| is_any(name, shape.query) && !value.is_empty())?.1
    } else {
        agreed(query, shape.query)?
    };
    has_form(marketplace, shape.id, id).then_some(id)
}

/// Whether a text has the form of an id.
fn has_form(marketplace: &Marketplace, id: Id, text: &str) -> bool {
    let number = |least, most| is_digits(text, least, most) && !text.starts_with('0');
    let code = |least, most| (least..=most).contains(&text.len()) && text.bytes().all(is_code_byte);
    match id {
        Id::Nothing => true,
        Id::Opaque => !text.is_empty(),
        Id::Code | Id::AllianceItem => code(5, 64),
        Id::ItemNumber => number(6, 15),
        Id::Sku => number(5, 15),
        Id::ShopNumber | Id::SellerNumber => number(1, 15),
        Id::ShopName => code(2, 63) && !marketplace.services.contains(&text),
    }
}

/// The one value which all these names carry; `None` when there is none or they differ. Empty ones do not count.
fn agreed<'q>(query: &'q str, names: &[&str]) -> Option<&'q str> {
    let mut values =
        parameters(query).filter(|(name, value)| !value.is_empty() && is_any(name, names)).map(|(_, value)| value);
    let first = values.next()?;
    values.all(|other| other == first).then_some(first)
}

fn carries(query: &str, tag: &Tag) -> bool {
    match *tag {
        Tag::Present(name) => parameters(query).any(|(n, value)| is_any(n, &[name]) && !value.is_empty()),
        Tag::Numbered(name, start) => parameters(query).any(|(n, value)| {
            is_any(n, &[name])
                && value.strip_prefix(start).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        }),
    }
}

/// Whether a query name, as a server would decode it, is one of these.
fn is_any(written: &str, names: &[&str]) -> bool {
    if written.contains('%') {
        return names.iter().any(|name| decoded(written).eq(name.bytes()));
    }
    names.contains(&written)
}

/// The bytes a text stands for, percent-encoding undone once.
fn decoded(text: &str) -> impl Iterator<Item = u8> + '_ {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        let byte = *bytes.get(at)?;
        let hex = |place: usize| bytes.get(place).and_then(|b| char::from(*b).to_digit(16));
        if byte == b'%'
            && let (Some(high), Some(low)) = (hex(at + 1), hex(at + 2))
        {
            at += 3;
            return Some((high * 16 + low) as u8);
        }
        at += 1;
        Some(byte)
    })
}

/// Whether a browser would fold the path (`.`, `..`, in plain or encoded form) and so ask for another than is written.
fn has_dot_segment(path: &str) -> bool {
    path.split('/').any(|segment| {
        !segment.is_empty()
            && segment.len() <= 6
            && decoded(segment).count() <= 2
            && decoded(segment).all(|b| b == b'.')
    })
}

/// Whether an ASCII text fits a pattern; the text at `{id}` when the pattern has one.
///
/// `{id}` takes the whole run of `[A-Za-z0-9_-]`, so it needs no trying out. `*` tries each place, which stays linear
/// for the tables' patterns: at most one `*` that is not the last character.
fn matches<'t>(pattern: &str, text: &'t str) -> Option<Option<&'t str>> {
    let special = pattern.find(['{', '*']).unwrap_or(pattern.len());
    let (literal, pattern) = pattern.split_at(special);
    let text = text.strip_prefix(literal)?;
    if pattern.is_empty() {
        return text.is_empty().then_some(None);
    }
    if let Some(after) = pattern.strip_prefix("{id}") {
        let run = text.bytes().position(|b| !is_code_byte(b)).unwrap_or(text.len());
        let (id, text) = text.split_at(run);
        return if id.is_empty() { None } else { matches(after, text).map(|_| Some(id)) };
    }
    let after = pattern.strip_prefix('*')?;
    if after.is_empty() {
        return Some(None);
    }
    (0..=text.len()).find_map(|at| matches(after, text.get(at..)?))
}

fn is_code_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

fn is_digits(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert_eq!(matches("/item.htm", "/item.htm"), Some(None));
        assert_eq!(matches("/item.htm", "/item.html"), None);
        assert_eq!(matches("/i{id}.htm", "/i12.htm"), Some(Some("12")));
        assert_eq!(matches("/i{id}.htm", "/i.htm"), None);
        assert_eq!(matches("{id}.tmall.com", "a.b.tmall.com"), None);
        assert_eq!(matches("/*detail*", "/app/x/detail/y.html"), Some(None));
        assert_eq!(matches("/*detail*", "/app/x"), None);
        assert_eq!(matches("*", ""), Some(None));
    }

    #[test]
    fn names_are_compared_as_a_server_would_read_them() {
        assert!(is_any("%69d", &["id"]));
        assert!(is_any("%69%64", &["id"]));
        assert!(!is_any("%6", &["id"]));
        assert!(!is_any("ID", &["id"]));
        assert_eq!(agreed("id=7&%69d=8", &["id"]), None);
        assert_eq!(agreed("id=&itemId=8&id=8", &["id", "itemId"]), Some("8"));
    }

    #[test]
    fn dot_segments() {
        for path in ["/a/../b", "/./b", "/a/..", "/%2e%2E/b", "/.%2e/b"] {
            assert!(has_dot_segment(path), "{path}");
        }
        for path in ["/a.b/c", "/...", "/", "", "/%2e%2e%2e", "//"] {
            assert!(!has_dot_segment(path), "{path}");
        }
    }
}
