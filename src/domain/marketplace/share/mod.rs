//! Finds the one link in a pasted share text: words, emoji, brackets, codes and line breaks around it make no difference.
//! Never takes a code for a link or an id, never resolves one, and trusts nothing by itself: whatever is found goes
//! through [`Marketplaces::recognise`] like a link pasted alone.
//!
//! A link runs from `http://` or `https://` to the first character that is not visible ASCII, without the punctuation
//! and the code that writers glue behind it. Where the words could be read as more of the link, in the host above all,
//! the text is refused rather than cut.

mod code;
mod fault;

pub use code::CodeKind;
pub use fault::ShareFault;

use super::fault::UrlFault;
use super::markets::Marketplaces;
use super::{LONGEST, Landing};

/// The longest text with words around its link, in bytes.
pub const LONGEST_TEXT: usize = 4_096;

impl Marketplaces {
    /// What a pasted text leads to, be it a link alone or a whole share text that holds one.
    ///
    /// Links of other hosts beside it are passed over; the same link twice is one.
    ///
    /// # Errors
    /// [`ShareFault`]: no link, two different ones, a code without a link, or what is wrong with the link.
    ///
    /// ```
    /// use hopgate::domain::vocabulary::Vocabulary;
    ///
    /// let words = Vocabulary::default();
    /// let text = "【淘宝】https://e.tb.cn/h.SQ6rjlgiow5ob5s?tk=MJN9f2bd29s CZ0001 「外套」点击链接直接打开";
    /// let landing = words.markets().recognise_text(text).unwrap();
    /// assert_eq!(landing.destination.as_str(), "https://e.tb.cn/h.SQ6rjlgiow5ob5s?tk=MJN9f2bd29s");
    /// assert_eq!(words.markets().recognise_text("￥AbCdEf12345￥").unwrap_err().code(), "unidentifiable_code");
    /// ```
    pub fn recognise_text(&self, text: &str) -> Result<Landing, ShareFault> {
        // By length alone, so that megabytes cost nothing.
        if text.len() > LONGEST {
            return Err(UrlFault::TooLong.into());
        }
        let text = text.trim();
        if text.is_empty() {
            return Err(UrlFault::Empty.into());
        }
        if is_alone(text) {
            return Ok(self.recognise(text)?);
        }
        if text.len() > LONGEST_TEXT {
            return Err(ShareFault::TooLong);
        }
        let (mut found, mut foreign, mut code, mut scheme) = (None::<Landing>, None, None, false);
        let pieces = Pieces { text, from: 0 };
        for piece in pieces {
            let address = match piece {
                Piece::OtherScheme => {
                    scheme = true;
                    continue;
                }
                Piece::Address(address) => address?,
            };
            // What stands in place of a host in JD's `http://<code>#<code>`.
            let host = address.split_once("://").map_or("", |(_, rest)| up_to(rest, &['/', '?', '#']));
            if code::is_strict_token(host) {
                code = Some(CodeKind::Jd);
                continue;
            }
            match self.recognise(&address) {
                Ok(landing) => match &found {
                    None => found = Some(landing),
                    Some(known) if known.destination == landing.destination => {}
                    Some(known) => {
                        return Err(ShareFault::several(known.destination.as_str(), landing.destination.as_str()));
                    }
                },
                Err(fault @ UrlFault::HostNotAllowed(_)) => foreign = foreign.or(Some(fault)),
                Err(fault) => return Err(fault.into()),
            }
        }
        if let Some(landing) = found {
            return Ok(landing);
        }
        if let Some(fault) = foreign {
            return Err(fault.into());
        }
        if let Some(codes) = code::two_codes(text) {
            return Err(ShareFault::several_codes(codes));
        }
        if let Some(kind) = code.or_else(|| code::code_in(text)) {
            return Err(ShareFault::UnidentifiableCode(kind));
        }
        if scheme {
            return Err(UrlFault::Scheme.into());
        }
        if text.chars().all(|c| c.is_ascii_graphic()) {
            // One word: what it lacks as an address is the better answer.
            return self.recognise(text).map_err(ShareFault::from);
        }
        Err(ShareFault::NoUrl)
    }
}

/// Whether a text is an address and nothing else, to be read as strictly as one. A line break in it is a fault then, not
/// the end: browsers read on behind it.
fn is_alone(text: &str) -> bool {
    let named = text.find(':').is_some_and(|colon| {
        text.starts_with(|c: char| c.is_ascii_alphabetic()) && text[..colon].bytes().all(is_scheme_byte)
    });
    let in_one_piece = text.find(|c: char| c.is_ascii_whitespace()).is_none_or(|at| {
        let rest = text[at..].to_ascii_lowercase();
        !rest.starts_with(' ') && !rest.contains("http://") && !rest.contains("https://")
    });
    text.is_ascii()
        && named
        && in_one_piece
        && !text.contains("&amp;")
        && without_code(text) == text
        && glued(text).is_none()
}

/// One thing with `://` in it.
enum Piece {
    /// An address as it is to be read, or why it cannot be cut out.
    Address(Result<String, ShareFault>),
    /// `taobao://…`: whatever its parameters hold is not looked for.
    OtherScheme,
}

/// The addresses of a text, from its start. None is looked for inside another.
struct Pieces<'t> {
    text: &'t str,
    from: usize,
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let colon = self.from + self.text[self.from..].find("://")?;
        let name = &self.text[self.from..colon];
        let name = &name[name.bytes().rposition(|b| !is_scheme_byte(b)).map_or(0, |at| at + 1)..];
        let scheme = web_scheme(name);
        let start = colon - scheme.unwrap_or(0);
        let run = &self.text[start..];
        let run = &run[..end_of(run)];
        let run = &run[..glued(run).unwrap_or(run.len())];
        // At least over this `://`, which a quote may follow.
        self.from = (start + run.len()).max(colon + 3);
        Some(match scheme {
            None => Piece::OtherScheme,
            Some(_) => Piece::Address(cut(run, &self.text[start + run.len()..])),
        })
    }
}

/// The bytes of `http` or `https` at the end of a scheme's name; words may be glued in front of it.
fn web_scheme(name: &str) -> Option<usize> {
    let ends = |scheme: &&str| {
        let at = name.len().checked_sub(scheme.len());
        at.and_then(|at| name.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(scheme))
    };
    ["https", "http"].iter().find(|scheme| ends(scheme)).map(|scheme| scheme.len())
}

const fn is_scheme_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

/// Where the address at the start of a text ends at the latest.
fn end_of(text: &str) -> usize {
    let ends = |(at, c): (usize, char)| {
        let goes_on = if c.is_ascii() {
            c.is_ascii_graphic() && !matches!(c, '"' | '<' | '>' | '`')
        } else {
            c.is_alphanumeric() && in_value(&text[..at], &text[at..])
        };
        (!goes_on).then_some(at)
    };
    text.char_indices().find_map(ends).unwrap_or(text.len())
}

/// Whether a letter other than ASCII belongs to a query's value: it begins the value (`q=外套`), or another parameter comes
/// behind it (`title=A外套&id=1`). Any other ends the address.
fn in_value(before: &str, after: &str) -> bool {
    let Some((_, query)) = before.split_once('?') else { return false };
    let parameter = query.rsplit('&').next().unwrap_or_default();
    let Some((name, value)) = parameter.split_once('=') else { return false };
    if !name.is_empty() && value.chars().next().is_none_or(|first| !first.is_ascii()) {
        return true;
    }
    let mut rest = after.chars().take(64).skip_while(|c| c.is_alphanumeric());
    rest.next() == Some('&') && {
        let mut name = rest.skip_while(|c| c.is_ascii_alphanumeric() || *c == '_').peekable();
        name.peek() == Some(&'=')
    }
}

/// Where a second address begins inside a run without any break: `…1.htmlhttps://…`. One in a path or a query, behind
/// `/` or `=`, is part of the first.
fn glued(run: &str) -> Option<usize> {
    let first = run.find("://")? + 3;
    run[first..].match_indices("://").find_map(|(at, _)| {
        let before = &run[..first + at];
        let start = before.len() - web_scheme(before)?;
        run[..start].ends_with(|c: char| c.is_ascii_alphanumeric()).then_some(start)
    })
}

/// The address of a run, without what writers glue behind it; `after` is what follows the run.
fn cut(run: &str, after: &str) -> Result<String, ShareFault> {
    let host = run.split_once("://").map_or("", |(_, rest)| rest);
    let in_host = !host.contains(['/', '?', '#']);
    let mut behind = after.chars();
    if let Some(next) = behind.next() {
        if in_host && !code::is_strict_token(host) && !may_follow_host(next, behind.as_str()) {
            return Err(ShareFault::naming(ShareFault::HostGoesOn, host));
        }
        if goes_on_behind(after) {
            return Err(ShareFault::naming(ShareFault::Broken, run));
        }
    }
    Ok(without_tail(run).replace("&amp;", "&"))
}

/// Whether a host may end before this character. Letters may be read as more of the host, and so may the dots, slashes
/// and colons of other scripts.
fn may_follow_host(next: char, then: &str) -> bool {
    match next {
        '。' | '．' | '｡' => then.is_empty() || then.starts_with(char::is_whitespace),
        _ if next.is_ascii() || next.is_whitespace() || is_invisible(next) || code::is_mark(next) => true,
        _ => "，！？；、（）「」『』【】《》〈〉〔〕“”‘’—～".contains(next),
    }
}

/// Whether an address seems to go on behind a break that nobody sees or that a line's end made.
fn goes_on_behind(after: &str) -> bool {
    let rest = after.trim_start_matches(is_invisible);
    if rest.len() < after.len() {
        return rest.starts_with(|c: char| c.is_ascii_graphic());
    }
    let rest = after.trim_start_matches(['\t', '\r', '\n', '\u{2028}', '\u{2029}']);
    let mut next = rest.chars();
    rest.len() < after.len()
        && next.next().is_some_and(|c| matches!(c, '.' | '/' | '?' | '&' | '=' | '%'))
        && next.next().is_some_and(|c| c.is_ascii_alphanumeric())
}

/// Controls other than tab and line breaks, and characters that take no room.
fn is_invisible(c: char) -> bool {
    (c.is_control() && !matches!(c, '\t' | '\r' | '\n'))
        || matches!(c, '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

/// An address without punctuation, unpaired brackets and codes at its end.
fn without_tail(mut run: &str) -> &str {
    loop {
        let Some(last) = run.chars().next_back() else { return run };
        let unpaired = |open: char| run.matches(last).count() > run.matches(open).count();
        let cut = match last {
            '.' | ',' | ';' | ':' | '!' | '?' | '\'' | '~' | '|' | '(' | '[' | '{' => true,
            ')' => unpaired('('),
            ']' => unpaired('['),
            '}' => unpaired('{'),
            _ => false,
        };
        let shorter = if cut { &run[..run.len() - last.len_utf8()] } else { without_code(run) };
        if shorter.len() == run.len() {
            return run;
        }
        run = shorter;
    }
}

/// An address without a code in ASCII marks at its end: `$AbCdEf12345$`, `(AbCdEf12345)` or `/(AbCdEf12345)/`.
fn without_code(run: &str) -> &str {
    let between = |run: &'_ str, open: char, close: char| -> Option<usize> {
        let (before, token) = run.strip_suffix(close)?.rsplit_once(open)?;
        let exact = open == '$' || matches!(token.len(), 11 | 14);
        (exact && code::is_token(token)).then_some(before.len())
    };
    if let Some(end) = between(run, '$', '$').or_else(|| between(run, '(', ')')) {
        return &run[..end];
    }
    let in_slashes = run.strip_suffix('/').and_then(|run| between(run, '(', ')'));
    in_slashes.and_then(|end| run[..end].strip_suffix('/')).unwrap_or(run)
}

fn up_to<'t>(text: &'t str, ends: &[char]) -> &'t str {
    &text[..text.find(ends).unwrap_or(text.len())]
}
