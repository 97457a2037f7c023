//! Link codes: eight random base62 characters, or a slug somebody chose. Never decides whether a code is taken.

use std::fmt;

/// Characters of a generated code.
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Names a slug may not take, because the click listener answers them itself.
const RESERVED: [&str; 7] = ["buildinfo", "favicon", "healthz", "livez", "metrics", "readyz", "robots"];

/// The code of a link: 3 to 64 characters of `[A-Za-z0-9_-]`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Code(Box<str>);

/// Why a text is not a code or slug.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadCode {
    /// Too short or too long.
    #[error("`{0}` has {1} characters: use 3 to 64")]
    Length(String, usize),
    /// A character outside the alphabet.
    #[error("`{0}` holds {1:?}: use letters A-Z a-z, digits, _ and -")]
    Character(String, char),
    /// The gateway answers this path itself.
    #[error("`{0}` is reserved: choose another slug")]
    Reserved(String),
}

impl Code {
    /// Characters of a generated code. Scanning 8 of base62 among 10⁹ live links hits with p = 4.6×10⁻⁶ a guess.
    pub const GENERATED_LEN: usize = 8;

    /// A generated code out of random bytes from a CSPRNG. `None` when the bytes hold too few unbiased digits, which
    /// happens about once in 10⁷ calls: draw again.
    pub fn generate(random: &[u8; 24]) -> Option<Self> {
        // 248 = 4 × 62: rejecting the rest keeps every character equally likely.
        let mut digits = random.iter().filter(|byte| **byte < 248).map(|byte| BASE62[usize::from(*byte) % 62]);
        let mut text = String::with_capacity(Self::GENERATED_LEN);
        for _ in 0..Self::GENERATED_LEN {
            text.push(char::from(digits.next()?));
        }
        Some(Code(text.into()))
    }

    /// A slug or code somebody gave.
    ///
    /// # Errors
    /// [`BadCode`] naming what is wrong.
    pub fn parse(text: &str) -> Result<Self, BadCode> {
        let shown = || text.chars().take(80).collect::<String>();
        let length = text.chars().count();
        if !(3..=64).contains(&length) {
            return Err(BadCode::Length(shown(), length));
        }
        if let Some(odd) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))) {
            return Err(BadCode::Character(shown(), odd));
        }
        if RESERVED.contains(&text) {
            return Err(BadCode::Reserved(shown()));
        }
        Ok(Code(text.into()))
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Eight-character codes packed into one word, the key of the large map; `None` for any other length.
    pub fn pack(code: &[u8]) -> Option<u64> {
        <[u8; 8]>::try_from(code).ok().map(u64::from_le_bytes)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_codes_are_eight_base62_characters() {
        let code = Code::generate(&core::array::from_fn(|i| (i * 7) as u8)).unwrap();
        assert_eq!(code.as_str().len(), Code::GENERATED_LEN);
        assert!(Code::parse(code.as_str()).is_ok());
        assert_eq!(Code::generate(&[255; 24]), None, "biased bytes are rejected");
    }

    #[test]
    fn slugs_name_their_fault() {
        assert!(Code::parse("double-11_2026").is_ok());
        assert_eq!(Code::parse("ab"), Err(BadCode::Length("ab".into(), 2)));
        assert!(matches!(Code::parse(&"x".repeat(65)), Err(BadCode::Length(_, 65))));
        assert!(matches!(Code::parse("双十一活动"), Err(BadCode::Character(_, '双'))));
        assert!(matches!(Code::parse("a/b.c"), Err(BadCode::Character(_, '/'))));
        assert!(matches!(Code::parse("go"), Err(BadCode::Length(..))), "/go can never be a slug");
        assert_eq!(Code::parse("metrics"), Err(BadCode::Reserved("metrics".into())));
    }
}
