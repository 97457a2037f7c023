//! Money in integer fen. Never a floating-point number: totals must be equal to the fen whoever adds them up.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};
use std::str::FromStr;

/// An amount of money in fen (0.01 yuan). Negative for what is taken back. Sums saturate at some 92 trillion yuan.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Fen(pub i64);

/// Why a text is not an amount.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadAmount {
    /// Not a decimal number of yuan.
    #[error("`{0}` is not an amount: write yuan as digits with at most two decimals, like 12.30")]
    Shape(String),
    /// It has a part of a fen.
    #[error("`{0}` has a part of a fen: at most two decimals that are not zero can be kept")]
    TooFine(String),
    /// Beyond a trillion yuan.
    #[error("`{0}` is over a trillion yuan")]
    TooLarge(String),
}

/// The largest amount that is read: a trillion yuan.
const MOST: i64 = 100_000_000_000_000;

impl Fen {
    /// Nothing.
    pub const ZERO: Fen = Fen(0);

    /// Whether it is nothing.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Reads yuan as order reports write them: `12`, `12.3`, `12.30`, `-0.05`, `12.3000`.
    ///
    /// # Errors
    /// [`BadAmount`]; nothing is ever rounded.
    pub fn from_yuan(text: &str) -> Result<Fen, BadAmount> {
        let shown = || text.chars().take(64).collect::<String>();
        let trimmed = text.trim();
        let (negative, digits) = match trimmed.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, trimmed),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !plain(whole) || !plain(fraction) || digits.ends_with('.') {
            return Err(BadAmount::Shape(shown()));
        }
        let (kept, beyond) = fraction.split_at(fraction.len().min(2));
        if beyond.bytes().any(|byte| byte != b'0') {
            return Err(BadAmount::TooFine(shown()));
        }
        let cents = format!("{kept:0<2}");
        let value = format!("{whole}{cents}").parse::<i64>().ok().filter(|value| *value <= MOST);
        let value = value.ok_or_else(|| BadAmount::TooLarge(shown()))?;
        Ok(Fen(if negative { -value } else { value }))
    }
}

impl FromStr for Fen {
    type Err = BadAmount;

    fn from_str(text: &str) -> Result<Fen, BadAmount> {
        Fen::from_yuan(text)
    }
}

impl fmt::Display for Fen {
    /// Yuan with two decimals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let value = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:02}", value / 100, value % 100)
    }
}

impl Add for Fen {
    type Output = Fen;
    fn add(self, other: Fen) -> Fen {
        Fen(self.0.saturating_add(other.0))
    }
}

impl Sub for Fen {
    type Output = Fen;
    fn sub(self, other: Fen) -> Fen {
        Fen(self.0.saturating_sub(other.0))
    }
}

impl Neg for Fen {
    type Output = Fen;
    fn neg(self) -> Fen {
        Fen(self.0.saturating_neg())
    }
}

impl AddAssign for Fen {
    fn add_assign(&mut self, other: Fen) {
        *self = *self + other;
    }
}

impl SubAssign for Fen {
    fn sub_assign(&mut self, other: Fen) {
        *self = *self - other;
    }
}

impl Sum for Fen {
    fn sum<I: Iterator<Item = Fen>>(amounts: I) -> Fen {
        amounts.fold(Fen::ZERO, Add::add)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn yuan_become_fen_exactly_or_not_at_all() {
        for (text, fen) in
            [("12", 1_200), ("12.3", 1_230), ("12.30", 1_230), ("-0.05", -5), ("0", 0), (" 7.0000 ", 700), ("007", 700)]
        {
            assert_eq!(Fen::from_yuan(text), Ok(Fen(fen)), "{text}");
        }
        for text in ["", "-", ".5", "5.", "1,000", "1e3", "+1", "12.3元", "--1", "1.2.3", "１２", "NaN", "0x10", "- 1"]
        {
            assert!(matches!(Fen::from_yuan(text), Err(BadAmount::Shape(_))), "{text}");
        }
        assert!(matches!(Fen::from_yuan("0.005"), Err(BadAmount::TooFine(_))));
        assert!(matches!(Fen::from_yuan("1000000000001"), Err(BadAmount::TooLarge(_))));
        assert!(matches!(Fen::from_yuan("99999999999999999999999999"), Err(BadAmount::TooLarge(_))));
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(value in -MOST..=MOST) {
            prop_assert_eq!(Fen::from_yuan(&Fen(value).to_string()), Ok(Fen(value)));
        }
    }
}
