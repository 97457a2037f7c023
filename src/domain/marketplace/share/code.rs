//! Tells a code (口令) from plain words, and whose app reads it. Never tells what it stands for: only Taobao and JD know.

/// Whose code it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CodeKind {
    /// Taobao's and Tmall's, 淘口令.
    Taobao,
    /// JD's, 京口令.
    Jd,
    /// One of the two.
    Either,
}

impl CodeKind {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            CodeKind::Taobao => "a Taobao code (淘口令)",
            CodeKind::Jd => "a JD code (京口令)",
            CodeKind::Either => "a Taobao or JD code (淘口令 / 京口令)",
        }
    }

    /// The app that reads it.
    pub fn app(self) -> &'static str {
        match self {
            CodeKind::Taobao => "Taobao",
            CodeKind::Jd => "JD",
            CodeKind::Either => "Taobao or JD",
        }
    }
}

/// Words that say whose code it is.
const OF_TAOBAO: &[&str] = &["淘宝", "淘口令", "天猫", "手淘", "点淘"];
const OF_JD: &[&str] = &["京东", "京口令", "京喜", DISGUISED];
/// JD's codes in disguise say so to pass filters of chats.
const DISGUISED: &str = "电脑东升级";
/// Rare characters in a row that make a disguised code.
const FEWEST_RARE: usize = 8;

/// The kind of code in a text that holds no link, if there is one.
pub(super) fn code_in(text: &str) -> Option<CodeKind> {
    let shape = marked(text).or_else(|| alone(text)).or_else(|| announced(text)).or_else(|| disguised(text))?;
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    // As a word: a token may hold the two letters.
    let says_jd = text.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word.eq_ignore_ascii_case("jd"));
    Some(match (says(OF_TAOBAO), says(OF_JD) || says_jd) {
        (true, false) => CodeKind::Taobao,
        (false, true) => CodeKind::Jd,
        _ => shape,
    })
}

/// Whether a text has the length and letters of a code. Prices and years are all digits.
pub(super) fn is_token(text: &str) -> bool {
    (8..=20).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric())
        && text.bytes().any(|b| b.is_ascii_alphabetic())
}

/// A token in the exact length of a code that mixes letters and digits as one: between brackets stand titles too, and a
/// host may be one word.
pub(super) fn is_strict_token(text: &str) -> bool {
    matches!(text.len(), 11 | 14)
        && is_token(text)
        && text.bytes().any(|b| b.is_ascii_uppercase())
        && text.bytes().any(|b| b.is_ascii_lowercase())
        && text.bytes().any(|b| b.is_ascii_digit())
}

/// Any currency's sign: which one changes with the year.
pub(super) fn is_mark(c: char) -> bool {
    matches!(c, '$' | '¢' | '£' | '¥' | '฿' | '\u{20a0}'..='\u{20cf}' | '＄' | '￠' | '￡' | '￥' | '￦')
}

fn by_length(token: &str) -> CodeKind {
    match token.len() {
        11 => CodeKind::Taobao,
        14 => CodeKind::Jd,
        _ => CodeKind::Either,
    }
}

/// Between two signs of a currency, in JD's style up to `%`, or between brackets.
fn marked(text: &str) -> Option<CodeKind> {
    for (at, open) in text.char_indices() {
        let bracket = matches!(open, '(' | '（' | '《' | '「' | '【');
        if !bracket && !is_mark(open) {
            continue;
        }
        let inner = &text[at + open.len_utf8()..];
        let end = inner.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(inner.len());
        let (token, close) = (&inner[..end], inner[end..].chars().next());
        match close {
            Some(')' | '）' | '》' | '」' | '】') if bracket && is_strict_token(token) => {
                return Some(by_length(token));
            }
            Some('%') if !bracket && is_token(token) => return Some(CodeKind::Jd),
            Some(close) if !bracket && is_mark(close) && is_token(token) => return Some(by_length(token)),
            _ => {}
        }
    }
    None
}

/// Two different codes between signs of a currency, if there are: which one is meant nobody knows. Brackets hold titles too,
/// so they make none.
pub(super) fn two_codes(text: &str) -> Option<(&str, &str)> {
    let (mut first, mut rest) = (None, text);
    while let Some(at) = rest.find(is_mark) {
        let inner = rest[at..].trim_start_matches(is_mark);
        let end = inner.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(inner.len());
        let (token, after) = inner.split_at(end);
        rest = after;
        if !is_token(token) || !after.starts_with(|c: char| c == '%' || is_mark(c)) {
            continue;
        }
        // What closes one code opens no other.
        rest = after.trim_start_matches(|c: char| c == '%' || is_mark(c));
        match first {
            Some(known) if known != token => return Some((known, token)),
            _ => first = Some(token),
        }
    }
    None
}

/// The token and nothing else.
fn alone(text: &str) -> Option<CodeKind> {
    is_strict_token(text).then(|| by_length(text))
}

/// `7:/ABC123 CZ0001` or `xixi:/₴9RXMXpz7rhF₴`: a number or word, `:/`, and what the app reads. Behind a word a sign must
/// stand, for a link's scheme is a word.
fn announced(text: &str) -> Option<CodeKind> {
    text.match_indices(":/").find_map(|(at, _)| {
        let after = text[at + 2..].trim_start();
        let read = match text[..at].chars().next_back()? {
            c if c.is_ascii_digit() => {
                after.starts_with(is_mark) || after.bytes().take_while(u8::is_ascii_alphanumeric).count() >= 4
            }
            c => {
                let word = text[..at].trim_end_matches(|c: char| c.is_ascii_alphanumeric()).len();
                let word = &text[word..at];
                let web = ["http", "https"].iter().any(|scheme| word.eq_ignore_ascii_case(scheme));
                c.is_ascii_alphabetic() && !web && after.starts_with(is_mark)
            }
        };
        read.then_some(CodeKind::Taobao)
    })
}

/// A row of characters that nobody writes with, or the words that come with it.
fn disguised(text: &str) -> Option<CodeKind> {
    let mut row = 0;
    let rare = text.chars().any(|c| {
        row = if matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{20000}'..='\u{323af}') { row + 1 } else { 0 };
        row >= FEWEST_RARE
    });
    (rare || text.contains(DISGUISED)).then_some(CodeKind::Jd)
}
