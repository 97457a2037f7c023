//! What a URL of a trusted host identifies: one small matcher that walks the tables. Never decides where a click may
//! land, and never changes the URL.
//!
//! An identity is read only from plain, unambiguous text. An id that is percent-encoded, malformed, or named twice with
//! different values is no id, and a path with dot segments has no shape: the marketplace might read another product
//! than we do, and a policy must not be passed that way. Such a URL is still a landing, of kind `unknown`.

use super::table::{Form, Id, Marketplace, Named, Shape, Tag};
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
    let Some((place, caught)) = first_fit(marketplace, host, rest) else {
        return Found { kind: LinkKind::Unknown, item: None, variant: None, shop: None };
    };
    let (_, query) = path_and_query(rest);
    let shape = &marketplace.shapes[place];
    let tagged = shape.tags.iter().any(|tag| carries(query, tag));
    let id = caught.id.unwrap_or_default();
    let beside = caught.shop.map(|shop| format!("shop:{shop}").into());
    let (item, shop) = match shape.id.names {
        Named::Nothing => (None, beside),
        Named::Item => (Some(id.into()), beside),
        Named::Shop => (None, Some(format!("shop:{id}").into())),
        Named::Seller => (None, Some(format!("seller:{id}").into())),
    };
    let variant = item.as_ref().and_then(|_| agreed(query, &marketplace.variant)).filter(|id| is_digits(id, 1, 20));
    Found { kind: if tagged { LinkKind::Alliance } else { shape.kind }, item, variant: variant.map(Box::from), shop }
}

/// The place of the first shape that a URL fits, and what was caught in it.
pub(super) fn first_fit<'u>(marketplace: &Marketplace, host: &'u str, rest: &'u str) -> Option<(usize, Caught<'u>)> {
    let (path, query) = path_and_query(rest);
    if has_dot_segment(path) {
        return None;
    }
    let mut shapes = marketplace.shapes.iter().enumerate();
    shapes.find_map(|(place, shape)| Some((place, fit(marketplace, shape, host, path, query)?)))
}

/// What stands at the placeholders of a pattern.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Caught<'u> {
    pub id: Option<&'u str>,
    pub shop: Option<&'u str>,
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

/// What is caught in a URL that fits a shape.
fn fit<'u>(
    marketplace: &Marketplace,
    shape: &Shape,
    host: &'u str,
    path: &'u str,
    query: &'u str,
) -> Option<Caught<'u>> {
    let in_host = shape.hosts.iter().find_map(|pattern| matches(pattern, host))?;
    let in_path = shape.paths.iter().find_map(|pattern| matches(pattern, path))?;
    let id = if shape.query.is_empty() {
        in_path.id.or(in_host.id)
    } else if shape.id.form == Form::Opaque {
        parameters(query).find(|(name, value)| is_any(name, &shape.query) && !value.is_empty()).map(|(_, value)| value)
    } else {
        agreed(query, &shape.query)
    };
    let shop = in_path.shop.or(in_host.shop);
    has_form(marketplace, shape.id, id.unwrap_or_default()).then_some(Caught { id, shop })
}

/// Whether a text has the form of an id.
fn has_form(marketplace: &Marketplace, id: Id, text: &str) -> bool {
    let (least, most) = (usize::from(id.min), usize::from(id.max));
    let code = || (least..=most).contains(&text.len()) && text.bytes().all(is_code_byte);
    match id.form {
        Form::None => true,
        Form::Opaque => !text.is_empty(),
        Form::Number => is_digits(text, least, most) && !text.starts_with('0'),
        Form::Code => code(),
        Form::Label => code() && !marketplace.services.iter().any(|service| **service == *text),
    }
}

/// The one value which all these names carry; `None` when there is none or they differ. Empty ones do not count.
fn agreed<'q>(query: &'q str, names: &[Box<str>]) -> Option<&'q str> {
    let mut values =
        parameters(query).filter(|(name, value)| !value.is_empty() && is_any(name, names)).map(|(_, value)| value);
    let first = values.next()?;
    values.all(|other| other == first).then_some(first)
}

fn carries(query: &str, tag: &Tag) -> bool {
    parameters(query).filter(|(name, _)| is_one(name, tag.name())).any(|(_, value)| match tag {
        Tag::Present(_) => !value.is_empty(),
        Tag::Numbered(_, start) => {
            value.strip_prefix(&**start).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        }
    })
}

/// Whether a query name, as a server would decode it, is one of these.
fn is_any(written: &str, names: &[Box<str>]) -> bool {
    names.iter().any(|name| is_one(written, name))
}

fn is_one(written: &str, name: &str) -> bool {
    written == name || (written.contains('%') && decoded(written).eq(name.bytes()))
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

/// Whether an ASCII text fits a pattern; what stands at its placeholders when it does.
///
/// A placeholder takes its whole run, so it needs no trying out. `*` tries each place, which stays linear for patterns
/// that have passed `super::check`: at most one `*` that is not the last character, and no placeholder behind it.
fn matches<'t>(pattern: &str, text: &'t str) -> Option<Caught<'t>> {
    let special = pattern.find(['{', '*']).unwrap_or(pattern.len());
    let (literal, pattern) = pattern.split_at(special);
    let text = text.strip_prefix(literal)?;
    if pattern.is_empty() {
        return text.is_empty().then(Caught::default);
    }
    if let Some(after) = pattern.strip_prefix('*') {
        if after.is_empty() {
            return Some(Caught::default());
        }
        return (0..=text.len()).find_map(|at| matches(after, text.get(at..)?));
    }
    let (name, after) = pattern.strip_prefix('{')?.split_once('}')?;
    let of_run = |byte: u8| if name == "id" { is_code_byte(byte) } else { byte.is_ascii_digit() };
    let (run, text) = text.split_at(text.bytes().position(|byte| !of_run(byte)).unwrap_or(text.len()));
    if run.is_empty() {
        return None;
    }
    let caught = matches(after, text)?;
    Some(match name {
        "id" => Caught { id: Some(run), ..caught },
        "shop" => Caught { shop: Some(run), ..caught },
        _ => caught,
    })
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
        let id = |pattern, text| matches(pattern, text).map(|caught: Caught<'_>| caught.id);
        assert_eq!(id("/item.htm", "/item.htm"), Some(None));
        assert_eq!(id("/item.htm", "/item.html"), None);
        assert_eq!(id("/i{id}.htm", "/i12.htm"), Some(Some("12")));
        assert_eq!(id("/i{id}.htm", "/i.htm"), None);
        assert_eq!(id("{id}.tmall.com", "a.b.tmall.com"), None);
        assert_eq!(id("/*detail*", "/app/x/detail/y.html"), Some(None));
        assert_eq!(id("/*detail*", "/app/x"), None);
        assert_eq!(id("*", ""), Some(None));
        assert_eq!(id("/detail-{digits}-{id}.html", "/detail-17-6918.html"), Some(Some("6918")));
        assert_eq!(id("/detail-{digits}-{id}.html", "/detail-x-6918.html"), None);
        let both = Caught { id: Some("9"), shop: Some("0070") };
        assert_eq!(matches("/{shop}/{id}.html", "/0070/9.html"), Some(both));
        assert_eq!(matches("/{shop}/{id}.html", "/a/9.html"), None);
    }

    #[test]
    fn names_are_compared_as_a_server_would_read_them() {
        let id: &[Box<str>] = &["id".into()];
        assert!(is_any("%69d", id));
        assert!(is_any("%69%64", id));
        assert!(!is_any("%6", id));
        assert!(!is_any("ID", id));
        assert_eq!(agreed("id=7&%69d=8", id), None);
        assert_eq!(agreed("id=&itemId=8&id=8", &["id".into(), "itemId".into()]), Some("8"));
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
