//! Where a page leads on, read from its text: a script that sets an address, a `meta` refresh, or the header of that name.
//! Parsed by searching for a few forms, in time linear in the page's length; nothing of it is ever executed.
//!
//! Within a sort the first one counts, as it would in a browser; among sorts the more telling one: JD's and Taobao's own
//! variables, then an assignment to `location`, then `meta`, then the header. The others are told too: which of them a
//! browser would follow is not known here.

use memchr::memmem;

use super::comments::without_comments;

/// The longest address that is read, in bytes.
const LONGEST: usize = 8_192;
/// Variables the marketplaces' pages keep the address in.
const VARIABLES: [&str; 3] = ["hrl", "real_jump_address", "url"];

/// The addresses a page leads on to, as written there, escapes undone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Said {
    /// The one that counts; one that opens an app only where there is nothing else.
    pub first: String,
    /// All others on the web.
    pub others: Vec<String>,
}

impl Said {
    /// One address alone.
    pub fn one(first: String) -> Self {
        Said { first, others: Vec::new() }
    }
}

/// Where a page leads on, with its `Refresh` header; `None` when it leads nowhere.
pub fn said(page: &str, refresh: Option<&str>) -> Option<Said> {
    let page = &*without_comments(page);
    let mut found = Found::default();
    for sort in VARIABLES.iter().map(|name| Sort::Variable(name)).chain([Sort::Location]) {
        script(page, sort, &mut found);
    }
    meta_refresh(page, &mut found);
    if let Some(address) = refresh.and_then(refreshed) {
        found.take(address);
    }
    let mut web = found.web.into_iter();
    match web.next() {
        Some(first) => {
            let mut others: Vec<String> = web.filter(|other| *other != first).collect();
            others.sort_unstable();
            others.dedup();
            Some(Said { first, others })
        }
        None => found.app.map(Said::one),
    }
}

#[derive(Default)]
struct Found {
    web: Vec<String>,
    /// The first one that opens an app.
    app: Option<String>,
}

impl Found {
    fn take(&mut self, address: &str) {
        let address = address.trim();
        if address.is_empty() {
        } else if opens_an_app(address) {
            self.app.get_or_insert_with(|| address.to_owned());
        } else {
            self.web.push(address.to_owned());
        }
    }
}

#[derive(Clone, Copy)]
enum Sort {
    /// `var name = '…'`
    Variable(&'static str),
    /// `location.href = '…'`, `location = '…'`, `location.replace('…')`, `location.assign('…')`
    Location,
}

/// The addresses of a sort.
fn script(page: &str, sort: Sort, found: &mut Found) {
    let name = match sort {
        Sort::Variable(name) => name,
        Sort::Location => "location",
    };
    for at in memmem::find_iter(page.as_bytes(), name) {
        let (before, after) = (&page[..at], &page[at + name.len()..]);
        let literal = match sort {
            Sort::Variable(_) if declared(before) => assigned(after),
            Sort::Variable(_) => None,
            Sort::Location => located(after),
        };
        let Some(literal) = literal else { continue };
        // Not closed within reason: the same search from every later place could take for ever.
        let Some(text) = closed(literal) else { return };
        found.take(&without_entities(&unescaped(text)));
    }
}

/// Whether an address is one of an app, such as `taobao://`. What a browser would itself obey (`javascript:`, `data:`) is none:
/// whoever checks the target refuses it by its name.
pub fn opens_an_app(address: &str) -> bool {
    let own = ["https", "http", "javascript", "data", "vbscript", "blob", "file", "filesystem", "ftp", "about"];
    let front = address.split(['/', '?', '#']).next().unwrap_or_default();
    front.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
            && !own.iter().any(|known| scheme.eq_ignore_ascii_case(known))
    })
}

/// Whether a declaration ends right before a name.
fn declared(before: &str) -> bool {
    let trimmed = before.trim_end_matches([' ', '\t', '\r', '\n']);
    trimmed.len() < before.len()
        && ["var", "let", "const"].iter().any(|word| {
            trimmed
                .strip_suffix(word)
                .is_some_and(|rest| !rest.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$'))
        })
}

fn skip(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', '\r', '\n'])
}

/// What stands behind ` = ` when it is the beginning of a text in quotes.
fn assigned(after: &str) -> Option<&str> {
    skip(after).strip_prefix('=').map(skip).filter(|rest| rest.starts_with(['\'', '"', '`']))
}

fn located(after: &str) -> Option<&str> {
    if let Some(rest) = after.strip_prefix(".replace").or_else(|| after.strip_prefix(".assign")) {
        return skip(rest).strip_prefix('(').map(skip).filter(|rest| rest.starts_with(['\'', '"', '`']));
    }
    assigned(after.strip_prefix(".href").unwrap_or(after))
}

/// The inside of a text in quotes.
fn closed(literal: &str) -> Option<&str> {
    let mut bytes = literal.bytes().enumerate();
    let (_, quote) = bytes.next()?;
    let mut escaped = false;
    for (at, byte) in bytes {
        if at > LONGEST || byte == b'\n' {
            return None;
        }
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            _ if byte == quote => return literal.get(1..at),
            _ => {}
        }
    }
    None
}

/// A script's text with its escapes undone: `\/`, `\x26`, `\u0026`, `\u{26}`.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let mut letters = after.chars();
        let letter = letters.next();
        let behind = letters.as_str();
        let number = |digits: Option<&str>| {
            digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).and_then(char::from_u32)
        };
        let (character, behind) = match letter {
            Some('x') => (number(behind.get(..2)), behind.get(2..)),
            Some('u') if behind.starts_with('{') => match behind[1..].split_once('}') {
                Some((digits, behind)) if digits.len() <= 6 => (number(Some(digits)), Some(behind)),
                _ => (None, None),
            },
            Some('u') => (number(behind.get(..4)), behind.get(4..)),
            Some('n' | 'r' | 't' | 'b' | 'f' | 'v' | '0') => (Some(' '), Some(behind)),
            other => (other, Some(behind)),
        };
        out.extend(character);
        rest = behind.unwrap_or_default();
    }
    out + rest
}

/// A text with the entities undone that addresses are written with.
fn without_entities(text: &str) -> String {
    const NAMED: [(&str, char); 6] =
        [("amp", '&'), ("quot", '"'), ("apos", '\''), ("lt", '<'), ("gt", '>'), ("sol", '/')];
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let end = after.bytes().take(9).position(|byte| byte == b';');
        let entity = end.and_then(|end| Some((after.get(..end)?, after.get(end + 1..)?)));
        let found = entity.and_then(|(name, behind)| {
            let character = match name.strip_prefix('#') {
                Some(number) => {
                    let hex = number.strip_prefix(['x', 'X']).map(|digits| u32::from_str_radix(digits, 16));
                    char::from_u32(hex.unwrap_or_else(|| number.parse()).ok()?)?
                }
                None => NAMED.iter().find(|(known, _)| *known == name)?.1,
            };
            Some((character, behind))
        });
        match found {
            Some((character, behind)) => {
                out.push(character);
                rest = behind;
            }
            None => {
                out.push('&');
                rest = after;
            }
        }
    }
    out + rest
}

/// The addresses of `<meta http-equiv="refresh" content="0; url=…">`.
fn meta_refresh(page: &str, found: &mut Found) {
    let mut rest = page;
    while let Some(at) = memchr::memchr(b'<', rest.as_bytes()) {
        rest = &rest[at + 1..];
        let is_meta = rest.get(..4).is_some_and(|name| name.eq_ignore_ascii_case("meta"))
            && rest[4..].starts_with([' ', '\t', '\r', '\n', '/']);
        if !is_meta {
            continue;
        }
        let Some((attributes, behind)) = attributes(&rest[4..]) else { return };
        rest = behind;
        let of =
            |name: &str| attributes.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
        if !of("http-equiv").is_some_and(|value| value.trim().eq_ignore_ascii_case("refresh")) {
            continue;
        }
        let content = without_entities(of("content").unwrap_or_default());
        if let Some(address) = refreshed(&content) {
            found.take(address);
        }
    }
}

/// The address in `0; url=…`.
fn refreshed(content: &str) -> Option<&str> {
    let (_, url) = content.split_once([';', ','])?;
    let url = url.trim();
    let url = match url.get(..3) {
        Some(name) if name.eq_ignore_ascii_case("url") => url[3..].trim_start().strip_prefix('=').unwrap_or(url),
        _ => url,
    };
    let url = url.trim().trim_matches(['\'', '"']).trim();
    (!url.is_empty() && url.len() <= LONGEST).then_some(url)
}

/// The attributes of a tag, from behind its name, and what stands behind the tag. `None` when the tag does not end.
fn attributes(text: &str) -> Option<(Vec<(&str, &str)>, &str)> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n', '/', '=']);
        if let Some(behind) = rest.strip_prefix('>') {
            return Some((found, behind));
        }
        let end = rest.find([' ', '\t', '\r', '\n', '/', '=', '>'])?;
        let (name, after) = rest.split_at(end);
        let Some(value) = skip(after).strip_prefix('=').map(skip) else {
            found.push((name, ""));
            rest = after;
            continue;
        };
        let (value, behind) = match value.bytes().next()? {
            quote @ (b'"' | b'\'') => value[1..].split_once(char::from(quote))?,
            _ => value.split_at(value.find([' ', '\t', '\r', '\n', '>'])?),
        };
        found.push((name, value));
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::is_quick;

    fn target(page: &str) -> Option<String> {
        said(page, None).map(|said| said.first)
    }

    #[test]
    fn all_an_address_is_said_in_are_told() {
        let page = "<script>var url='https://item.jd.com/1.html';location.href='https://a.test/'</script>\
                    <meta http-equiv=refresh content='0;url=https://b.test/'><script>location='openapp.jdmobile://x'</script>";
        let found = said(page, Some("0; url=https://c.test/")).unwrap();
        assert_eq!(found.first, "https://item.jd.com/1.html");
        assert_eq!(found.others, ["https://a.test/", "https://b.test/", "https://c.test/"]);
        assert_eq!(said("", Some("3;URL='/x'")), Some(Said::one("/x".to_owned())));
        assert_eq!(said("<!-- var url='https://a.test/' -->", None), None);
        assert_eq!(target("location='openapp.jdmobile://x'").as_deref(), Some("openapp.jdmobile://x"));
    }

    #[test]
    fn every_form_is_read() {
        let item = "https://item.taobao.com/item.htm?id=610947572360&spm=a";
        for page in [
            "<script>var url = 'https://item.taobao.com/item.htm?id=610947572360&spm=a';</script>",
            r#"<script>var hrl="https:\/\/item.taobao.com\/item.htm?id=610947572360\x26spm=a"</script>"#,
            r"let real_jump_address='https://item.taobao.com/item.htm?id=610947572360&spm=a'",
            r"window.location.href = 'https://item.taobao.com/item.htm?id=610947572360\u{26}spm=a'",
            r#"location.replace( "https://item.taobao.com/item.htm?id=610947572360&amp;spm=a" )"#,
            r"top.location='https://item.taobao.com/item.htm?id=610947572360&#38;spm=a'",
            r#"<META content="0; URL='https://item.taobao.com/item.htm?id=610947572360&#x26;spm=a'" HTTP-EQUIV=refresh >"#,
            r"<meta http-equiv='Refresh' content='1;https://item.taobao.com/item.htm?id=610947572360&amp;spm=a'/>",
            // Words that only look like it come before.
            r"var myurl='x'; var url2='x'; var  url  =  'https://item.taobao.com/item.htm?id=610947572360&spm=a'",
            r"var url = ''; location.hash='x'; var url = 'https://item.taobao.com/item.htm?id=610947572360&spm=a'",
            // An app's address is passed over where the web's stands too.
            r"location.href='taobao://item.taobao.com/x'; location.href='https://item.taobao.com/item.htm?id=610947572360&spm=a'",
        ] {
            assert_eq!(target(page).as_deref(), Some(item), "{page}");
        }
    }

    #[test]
    fn what_is_no_address_is_none() {
        for page in [
            "",
            "<html>nothing here, url = 'https://item.jd.com/1.html'</html>",
            "var url = 'not closed",
            "var url = 'over\na line'",
            "var url = other + 'x'",
            "<meta http-equiv=refresh content=5>",
            "<meta name=x content='0;url=https://item.jd.com/1.html'>",
            "<meta http-equiv=refresh content='0;url=https://item.jd.com/1.html'",
            "var url = '\\u",
            "<meta =",
        ] {
            assert_eq!(target(page), None, "{page}");
        }
        assert_eq!(
            target("location.href='javascript:alert(1)'").as_deref(),
            Some("javascript:alert(1)"),
            "named, not obeyed"
        );
        assert_eq!(target("var url='/item.htm?id=1'").as_deref(), Some("/item.htm?id=1"));
    }

    #[test]
    fn hostile_pages_take_linear_time() {
        let long = |piece: &str| piece.repeat(150_000 / piece.len());
        let pieces = [
            "var url='",
            "var url=''",
            "location",
            "location.href='a:'",
            "<meta ",
            "<meta a=",
            "<meta http-equiv=refresh content=';'>",
            "&#",
            "&amp",
            "\\u",
            "<",
            "var hrl=`",
            "location.replace(",
        ];
        for piece in pieces {
            for page in [long(piece), format!("var url='{}'", long(piece)), format!("<meta content=\"{}", long(piece))]
            {
                assert!(is_quick(|| drop(target(&page))), "{piece}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn no_page_upsets_the_reader(page in "(var |url|hrl| |=|'|\"|<meta |http-equiv|refresh|content|;|>|&|#x|\\\\u|\\\\x|\\PC){0,60}") {
            drop(target(&page));
        }
    }
}
