//! Draws codes for new links from the operating system's randomness. Never checks whether one is taken; the store does.

use crate::domain::code::Code;

/// Tries before a draw gives up; one fails about once in 10⁷.
const TRIES: usize = 16;

/// The operating system gave no random bytes.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("no link code could be drawn: the operating system gave no random bytes ({0})")]
pub struct NoRandomness(String);

impl NoRandomness {
    /// What the operating system said.
    pub(super) fn new(error: &getrandom::Error) -> Self {
        NoRandomness(error.to_string())
    }
}

/// Draws codes for one call of [`crate::catalog::Catalog::create`].
#[derive(Debug)]
pub struct Codes {
    /// Drawn beforehand. Should the operating system fail later it is given out, as random as any other; given out
    /// twice it is taken, and the link is refused.
    spare: Code,
}

impl Codes {
    /// Codes, once the operating system has shown that it gives random bytes.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn open() -> Result<Self, NoRandomness> {
        Ok(Codes { spare: draw()? })
    }

    /// The next code.
    pub fn draw(&mut self) -> Code {
        draw().unwrap_or_else(|_| self.spare.clone())
    }
}

fn draw() -> Result<Code, NoRandomness> {
    for _ in 0..TRIES {
        let mut random = [0; 24];
        getrandom::fill(&mut random).map_err(|error| NoRandomness::new(&error))?;
        if let Some(code) = Code::generate(&random) {
            return Ok(code);
        }
    }
    Err(NoRandomness("its bytes are not random".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_codes_are_alike() {
        let mut codes = Codes::open().unwrap();
        let mut drawn: Vec<Code> = vec![codes.spare.clone()];
        drawn.extend((0..500).map(|_| codes.draw()));
        drawn.sort();
        drawn.dedup();
        assert_eq!(drawn.len(), 501);
    }
}
