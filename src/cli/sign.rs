//! `hopgate sign`: what a platform would write, made here to try a key out. Never prints a secret, nor what a gateway with
//! these settings is certain to refuse.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::args::Place;
use super::args::click::{Sign, SignKey};
use super::{CliError, settings_of};
use crate::clock::Clock;
use crate::config::signing;
use crate::domain::sign::{MOST_GO_DAYS, NewToken, SigningKey, SigningKeys, go_query, token};
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
            let mut faults = ready.faults(signer);
            if let Err(fault) = ready.words.markets().recognise(&to) {
                faults.push(format!("--to: {fault}"));
            }
            if without_exp && !signer.without_exp {
                faults.push(format!("--without-exp: the key `{}` may not: its `without_exp` is not set", key.key));
            }
            if !without_exp && !signer.without_exp && key.valid_for.seconds() > MOST_GO_DAYS * 86_400 {
                faults.push(format!(
                    "--valid-for: is longer than {MOST_GO_DAYS} days: only a key with `without_exp` may"
                ));
            }
            refuse(&faults)?;
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
            let mut faults = ready.faults(signer);
            let most = ready.keys.token_life();
            if key.valid_for.seconds() > most {
                faults.push(format!("--valid-for: is longer than signing.token_life, {most} seconds: make it shorter"));
            }
            refuse(&faults)?;
            say!("{}", token(signer, &new, &code));
        }
    }
    Ok(())
}

/// Nothing is signed that a gateway with these settings is certain to refuse: every reason, a line each.
fn refuse(faults: &[String]) -> Result<(), CliError> {
    if faults.is_empty() { Ok(()) } else { Err(CliError::Failed(format!("not signed: {}", faults.join("\n")))) }
}

struct Ready {
    keys: SigningKeys,
    words: Vocabulary,
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
        Ok(Ready { keys, words: settings.words, platform, surface, at, until: asked.valid_for.after(at) })
    }

    /// What is wrong with the key for this, whatever is signed.
    fn faults(&self, signer: &SigningKey) -> Vec<String> {
        let mut faults = Vec::new();
        if !signer.speaks_for(self.surface) {
            let known: Vec<&str> = signer.surfaces.iter().map(|surface| surface.as_str()).collect();
            let problem = format!("the key `{}` does not speak for `{}`", signer.id, self.surface);
            faults.push(format!("--surface: {problem}: use one of {}", known.join(", ")));
        }
        if self.until <= signer.from || signer.until <= self.at {
            let problem = "is not valid in that time, by its not_before and not_after: name another, or another --at";
            faults.push(format!("--key: `{}` {problem}", signer.id));
        }
        faults
    }
}

fn unknown(id: &str) -> CliError {
    CliError::Usage(format!("--key: no [[signing.keys]] has the id `{id}`"))
}
