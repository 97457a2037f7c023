//! Words for people: the two languages of every page, names of platforms, marketplaces and spots, and reasons as a
//! sentence says them. zh-CN first, en second. Knows no page, no request and no policy; whoever shows a word escapes it
//! with [`escape`].

mod names;
mod outlooks;
mod reasons;

pub use names::{link_kind, marketplace, platform, shop_type, surface};
pub use outlooks::{is_silent, sentence, where_at};
pub use reasons::because;

use crate::domain::time::Timestamp;

/// A language a page can be in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Language {
    /// Simplified Chinese, the default.
    Zh,
    /// English.
    En,
}

impl Language {
    /// The better of the two for an `Accept-Language` header; Chinese when it names neither.
    pub fn choose(accept: &str) -> Self {
        let mut best = (Language::Zh, -1.0);
        for part in accept.split(',').take(16) {
            let mut pieces = part.split(';').map(str::trim);
            let tag = pieces.next().unwrap_or_default().to_ascii_lowercase();
            let weight = pieces.find_map(|piece| piece.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
            let language = match tag.split('-').next() {
                Some("zh") => Language::Zh,
                Some("en") => Language::En,
                _ => continue,
            };
            if weight > best.1 && weight > 0.0 {
                best = (language, weight);
            }
        }
        best.0
    }

    /// The text of this language.
    pub const fn pick(self, zh: &'static str, en: &'static str) -> &'static str {
        match self {
            Language::Zh => zh,
            Language::En => en,
        }
    }

    /// The value of `Content-Language`.
    pub const fn tag(self) -> &'static str {
        self.pick("zh-CN", "en")
    }
}

/// A date as a person reads it, Beijing time: `2022-10-28 00:00`; with seconds where it has some.
pub fn date(at: Timestamp) -> String {
    let text = at.to_string();
    let seconds = text.get(17..19).is_some_and(|seconds| seconds != "00");
    let shown: String = text.chars().take(if seconds { 19 } else { 16 }).collect();
    shown.replace('T', " ")
}

/// A text as it may stand in HTML, between tags and in attributes in double quotes.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn language_follows_the_visitor_and_defaults_to_chinese() {
        assert_eq!(Language::choose(""), Language::Zh);
        assert_eq!(Language::choose("en-US,en;q=0.9,zh;q=0.8"), Language::En);
        assert_eq!(Language::choose("fr, zh-TW;q=0.9, en;q=0.5"), Language::Zh);
        assert_eq!(Language::choose("en;q=0, zh;q=0.1"), Language::Zh);
    }

    #[test]
    fn dates_are_read_in_beijing() {
        assert_eq!(date("2022-11-30T16:00:00Z".parse().unwrap()), "2022-12-01 00:00");
        assert_eq!(date("2022-11-30 23:59:59.999".parse().unwrap()), "2022-11-30 23:59:59");
    }

    #[test]
    fn no_mark_of_html_survives() {
        assert_eq!(escape("<a href=\"x\" b='y'>&"), "&lt;a href=&quot;x&quot; b=&#39;y&#39;&gt;&amp;");
    }
}
