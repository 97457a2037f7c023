//! Pages for visitors: zh-CN first, en second. Small, readable on a narrow screen, in light and dark, no request to anybody
//! else. Never says more of the policy than the reason and the date.
//!
//! [`frame`] is what every page shares: head, style, the escaping of everything that is not ours; [`words`] names things;
//! one file each sort of page.

pub mod frame;
pub mod refusal;
pub mod words;

pub use refusal::{Words, busy, html, missing, refusal};

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

    /// The text in this language.
    pub fn pick(self, zh: &'static str, en: &'static str) -> &'static str {
        match self {
            Language::Zh => zh,
            Language::En => en,
        }
    }

    /// The value of `Content-Language`.
    pub fn tag(self) -> &'static str {
        self.pick("zh-CN", "en")
    }
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
}
