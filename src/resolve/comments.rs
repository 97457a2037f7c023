//! Takes HTML's comments out of a page: what stands there is seen by nobody. Goes by a browser's rules as far as they tell where
//! one begins and ends, in time linear in the page's length; never reads what a page means.

use std::borrow::Cow;

use memchr::memmem;

/// Elements in which `<!--` is text: a script obeys what stands behind it.
const RAW: [&str; 9] = ["script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes", "noscript"];

/// The page without its comments.
pub(super) fn without_comments(page: &str) -> Cow<'_, str> {
    if memmem::find(page.as_bytes(), b"<!--").is_none() {
        return Cow::Borrowed(page);
    }
    let mut out = String::with_capacity(page.len());
    let mut rest = page;
    while let Some(at) = memchr::memchr(b'<', rest.as_bytes()) {
        let (before, tag) = rest.split_at(at);
        out.push_str(before);
        if let Some(inside) = tag.strip_prefix("<!--") {
            // Nothing may join over it.
            out.push(' ');
            rest = behind_comment(inside);
            continue;
        }
        let length = 1 + match tag[1..].bytes().next() {
            Some(first) if first.is_ascii_alphabetic() => tag_end(&tag[1..]),
            _ => 0,
        };
        let raw = RAW.iter().find(|name| is_name(&tag[1..], name));
        let length = length + raw.map_or(0, |name| raw_end(&tag[length..], name));
        out.push_str(&tag[..length]);
        rest = &tag[length..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// What follows a comment whose inside begins here. `>` and `->` end it at once; one without an end goes to the page's.
fn behind_comment(inside: &str) -> &str {
    if let Some(rest) = inside.strip_prefix('>').or_else(|| inside.strip_prefix("->")) {
        return rest;
    }
    let end = memchr::memchr_iter(b'>', inside.as_bytes())
        .find(|at| inside[..*at].ends_with("--") || inside[..*at].ends_with("--!"));
    end.map_or("", |at| &inside[at + 1..])
}

/// The bytes of a tag from its name to its end; a `>` in quotes ends none.
fn tag_end(tag: &str) -> usize {
    let mut quote = None;
    for (at, byte) in tag.bytes().enumerate() {
        match quote {
            Some(open) if byte == open => quote = None,
            Some(_) => {}
            None if byte == b'>' => return at + 1,
            // A quote begins a value only behind its `=`.
            None if matches!(byte, b'"' | b'\'') && tag[..at].trim_end().ends_with('=') => quote = Some(byte),
            None => {}
        }
    }
    tag.len()
}

/// The bytes up to the end tag of an element in which nothing else is one.
fn raw_end(inside: &str, name: &str) -> usize {
    memmem::find_iter(inside.as_bytes(), "</").find(|at| is_name(&inside[at + 2..], name)).unwrap_or(inside.len())
}

fn is_name(text: &str, name: &str) -> bool {
    text.get(..name.len()).is_some_and(|front| front.eq_ignore_ascii_case(name))
        && text[name.len()..].starts_with([' ', '\t', '\r', '\n', '\x0c', '/', '>'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::is_quick;

    #[test]
    fn comments_go_and_what_only_looks_like_one_stays() {
        for (page, left) in [
            ("a<!-- b -->c", "a c"),
            ("a<!-- b", "a "),
            ("a<!-->b-->c", "a b-->c"),
            ("a<!--->b", "a b"),
            ("a<!-- b --!>c", "a c"),
            ("a<!-- b --->c", "a c"),
            ("a<!-- b - -> -- > --->c<!---->d", "a c d"),
            ("<!-- <script> -->x", " x"),
        ] {
            assert_eq!(without_comments(page), left, "{page}");
        }
        for page in [
            "",
            "no comment",
            "<script><!--\nvar url='x';\n//--></script>",
            "<SCRIPT >a='<!--'</SCRIPT>b",
            "<title><!--</title>b",
            "<p title='<!--'>b",
            "<p title = \"> <!--\">b",
            "< <! <1 <!- - <",
        ] {
            assert_eq!(without_comments(page), page);
        }
        assert_eq!(without_comments("<scripts><!--b-->c"), "<scripts> c");
    }

    #[test]
    fn hostile_pages_take_linear_time() {
        for piece in ["<!--", "<a ", "<a b='", "<script>", "</", "--", "<!---->", "<a =", "= '", "<textarea>-"] {
            for front in ["", "<!--", "<a b=\"", "<script>", "<a "] {
                let page = format!("{front}<!---->{}", piece.repeat(150_000 / piece.len()));
                assert!(is_quick(|| drop(without_comments(&page))), "{piece}");
            }
        }
    }
}
