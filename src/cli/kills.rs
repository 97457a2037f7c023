//! `hopgate policy kill`, `unkill` and `kills`: switching something off at once, with who, why and an end. A running gateway
//! on the same data folder follows within milliseconds.

use serde_json::json;

use super::CliError;
use super::args::policy::{Kill as KillArgs, Kills, Unkill};
use super::data::{runtime, told};
use super::policy::{person, publisher_of};
use crate::clock::Clock;
use crate::control::kill::KillDraft;
use crate::domain::policy::Kill;
use crate::domain::vocabulary::Vocabulary;
use crate::policies::canonical::describe_kill;

/// Runs `hopgate policy kill`.
pub fn kill(asked: KillArgs) -> Result<(), CliError> {
    let by = person(asked.by, "--by")?;
    let (settings, publisher) = publisher_of(&asked.place)?;
    let draft = KillDraft {
        platform: asked.platform,
        marketplace: asked.marketplace,
        creator: asked.creator,
        shop: asked.shop,
        why: Some(asked.why),
        span: asked.span,
        until: asked.until,
        misread: Vec::new(),
    };
    let now = Clock::System.now();
    let kill = draft.check(&by, &settings.words, now).map_err(|faults| CliError::Usage(told(&faults)))?;
    let switch = runtime()?.block_on(publisher.kill(&kill, now))?;
    if asked.json {
        say!("{}", json!({ "kill": describe_kill(&kill, &settings.words), "switch": switch }));
        return Ok(());
    }
    say!("{}: {} off until {}", kill.id, subject(&kill, &settings.words), kill.until);
    say!("`hopgate policy unkill {}` lifts it; policy version {}", kill.id, switch.version);
    Ok(())
}

/// Runs `hopgate policy unkill`.
pub fn unkill(asked: Unkill) -> Result<(), CliError> {
    let by = person(asked.by, "--by")?;
    let (_, publisher) = publisher_of(&asked.place)?;
    let switch = runtime()?.block_on(publisher.lift(&asked.id, &by, Clock::System.now()))?;
    say!("lifted {}; policy version {}", asked.id, switch.version);
    Ok(())
}

/// Runs `hopgate policy kills`.
pub fn kills(asked: &Kills) -> Result<(), CliError> {
    let (settings, publisher) = publisher_of(&asked.place)?;
    let (policy, now) = (publisher.policies().current(), Clock::System.now());
    let live: Vec<&Kill> = policy.kills().iter().filter(|kill| kill.until > now).collect();
    if asked.json {
        let rows: Vec<_> = live.into_iter().map(|kill| describe_kill(kill, &settings.words)).collect();
        say!("{}", json!(rows));
        return Ok(());
    }
    if live.is_empty() {
        eprintln!("nothing is switched off");
        return Ok(());
    }
    say!("{:<14} {:<32} {:<32} {:<12} {:<30} why", "id", "since", "until", "by", "off");
    for kill in live {
        let (since, until) = (kill.from.to_string(), kill.until.to_string());
        let subject = subject(kill, &settings.words);
        say!("{:<14} {since:<32} {until:<32} {:<12} {subject:<30} {}", kill.id, kill.by, kill.why);
    }
    Ok(())
}

fn subject(kill: &Kill, words: &Vocabulary) -> String {
    let parts = [
        kill.platform.map(|id| words.platform_name(id).to_owned()),
        kill.marketplace.map(|id| format!("→ {}", words.marketplace_name(id))),
        kill.creator.as_ref().map(|id| format!("creator {id}")),
        kill.shop.as_ref().map(|id| id.to_string()),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}
