//! `hopgate sign`: what a platform would write, made here to try a key out. Never prints a secret.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::args::{Place, Sign, SignKey};
use super::{CliError, settings_of};
use crate::clock::Clock;
use crate::config::signing;
use crate::domain::sign::{NewToken, SigningKeys, go_query, token};
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::{Surface, Vocabulary};

/// Runs the command.
pub fn run(sign: Sign) -> Result<(), CliError> {
    match sign {
        Sign::Go { key, to, shop_type, category, facts, without_exp, base } => {
            let ready = Ready::of(&key)?;
            let exp = (ready.until.millis() / 1_000).to_string();
            let facts = facts.join(" ");
            let mut parameters =
                vec![("to", to.as_str()), ("platform", &ready.platform), ("surface", ready.surface.as_str())];
            if !without_exp {
                parameters.push(("exp", &exp));
            }
            let optional = [
                ("creator", key.creator.as_deref()),
                ("note", key.note.as_deref()),
                ("shop_type", shop_type.as_deref()),
                ("category", category.as_deref()),
                ("facts", Some(facts.as_str()).filter(|facts| !facts.is_empty())),
            ];
            parameters.extend(optional.iter().filter_map(|(name, value)| value.map(|value| (*name, value))));
            let signer = ready.keys.named(&key.key).ok_or_else(|| unknown(&key.key))?;
            let query =
                go_query(signer, &parameters).map_err(|fault| CliError::failed(format!("not signed: {fault}")))?;
            say!("{}/go?{query}", base.unwrap_or_default().trim_end_matches('/'));
        }
        Sign::Token { key, code } => {
            let ready = Ready::of(&key)?;
            let mut random = [0; 12];
            getrandom::fill(&mut random).map_err(CliError::failed)?;
            let new = NewToken {
                platform: &ready.platform,
                surface: ready.surface,
                issued: ready.at,
                expires: ready.until,
                nonce: &URL_SAFE_NO_PAD.encode(random),
                creator: key.creator.as_deref().unwrap_or_default(),
                note: key.note.as_deref().unwrap_or_default(),
            };
            let signer = ready.keys.named(&key.key).ok_or_else(|| unknown(&key.key))?;
            say!("{}", token(signer, &new, &code));
        }
    }
    Ok(())
}

struct Ready {
    keys: SigningKeys,
    platform: String,
    surface: Surface,
    at: Timestamp,
    until: Timestamp,
}

impl Ready {
    fn of(asked: &SignKey) -> Result<Ready, CliError> {
        let settings = settings_of(&Place { config: asked.config.clone(), data_dir: None })?;
        let (keys, _) = signing::load(&settings.signing).map_err(CliError::Config)?;
        let words: &Vocabulary = &settings.words;
        let platform = keys.named(&asked.key).map(|key| words.platform_name(key.platform).to_owned());
        let platform = platform.ok_or_else(|| unknown(&asked.key))?;
        let surface = Surface::parse(&asked.surface).ok_or_else(|| {
            let known = Surface::names().join(", ");
            CliError::Usage(format!("--surface: `{}` is not known: use one of {known}", asked.surface))
        })?;
        let at = asked.at.unwrap_or_else(|| Clock::System.now());
        Ok(Ready { keys, platform, surface, at, until: asked.valid_for.after(at) })
    }
}

fn unknown(id: &str) -> CliError {
    CliError::Usage(format!("--key: no [[signing.keys]] has the id `{id}`"))
}
