//! `hopgate hops verify`: the proof that every recorded hop is what its policy version decides.

use serde::Serialize;

use super::args::Place;
use super::data::with_hops;
use super::progress::{grouped, per_second, rate, shown};
use super::{CliError, settings_of};
use crate::audit::Period;
use crate::audit::sweep::{Progress, Spread};
use crate::audit::verify::{Verified, verify};
use crate::domain::time::Timestamp;
use crate::policies::sqlite::KeptTexts;
use crate::policies::versions::Versions;

#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    found: &'a Verified,
    seconds: f64,
    hops_per_second: u64,
    threads: usize,
}

/// Runs the command.
pub fn run(place: &Place, from: Option<Timestamp>, to: Option<Timestamp>, json: bool) -> Result<(), CliError> {
    let settings = settings_of(place)?;
    let period = period(from, to)?;
    let data = with_hops(&settings)?;
    let key = data.click_key()?;
    let texts = KeptTexts::open(&data.database()).map_err(CliError::failed)?;
    let versions = Versions::new(
        settings.words.clone(),
        Box::new(|name| Ok(texts.find(name)?.into_iter().next().map(|(_, canonical)| canonical))),
    );
    let (progress, spread) = (Progress::default(), Spread::all_cores());
    let (found, took) = shown("verify", &progress, || verify(&data.hops(), period, &versions, &key, spread, &progress));
    // Only the API cancels.
    let Some(found) = found.map_err(CliError::failed)? else { return Ok(()) };
    if json {
        let told = Told {
            found: &found,
            seconds: took.as_secs_f64(),
            hops_per_second: per_second(found.hops, took),
            threads: spread.threads,
        };
        say!("{}", serde_json::to_string(&told).map_err(CliError::failed)?);
    } else {
        show(&found);
        say!("  {:.1} s, {} on {} thread(s)", took.as_secs_f64(), rate(found.hops, took), spread.threads);
    }
    if !found.equal {
        return Err(CliError::Failed(format!(
            "the record is not what its policy versions decide: {} hop(s) differ, {} damaged spot(s), {} hop(s) without \
             their version",
            grouped(found.differences),
            grouped(found.damaged),
            grouped(found.without_version),
        )));
    }
    if found.hops == 0 && (from.is_some() || to.is_some()) {
        return Err(CliError::Failed(format!("no hops were recorded {}: nothing was proved", told(period))));
    }
    Ok(())
}

/// The period of `--from` and `--to`.
pub fn period(from: Option<Timestamp>, to: Option<Timestamp>) -> Result<Period, CliError> {
    let period = Period { from: from.unwrap_or(Timestamp::MIN), to: to.unwrap_or(Timestamp::MAX) };
    if period.to <= period.from {
        return Err(CliError::Usage(format!("--to: {} is not after --from {}", period.to, period.from)));
    }
    Ok(period)
}

/// A period for people.
pub fn told(period: Period) -> String {
    match (period.from == Timestamp::MIN, period.to == Timestamp::MAX) {
        (true, true) => "at any time".to_owned(),
        (true, false) => format!("before {}", period.to),
        (false, true) => format!("from {} on", period.from),
        (false, false) => format!("from {} until {}", period.from, period.to),
    }
}

fn show(found: &Verified) {
    let verdict = match (found.equal, found.hops) {
        (true, 0) => "nothing to prove",
        (true, _) => "all equal",
        (false, _) => "NOT EQUAL",
    };
    say!("{verdict}: {} hops, {} decided again", grouped(found.hops), grouped(found.judged));
    say!("  chunks       {} whole", grouped(found.chunks));
    if found.link_disabled + found.link_expired > 0 {
        let (disabled, expired) = (grouped(found.link_disabled), grouped(found.link_expired));
        say!("  not policy   {disabled} of links switched off, {expired} of links whose time was over");
    }
    for seen in &found.versions {
        let fault = seen.fault.as_ref().map_or(String::new(), |fault| format!("  MISSING: {fault}"));
        say!("  version      {}  {} hops{fault}", seen.version, grouped(seen.hops));
    }
    if let Some(first) = &found.first {
        let difference = &first.difference;
        say!("  differences  {} hop(s); the first:", grouped(found.differences));
        say!("    click      {}  number {} in {}", first.click_id, first.seq, first.segment);
        say!("    decided    {} under version {}", first.time, first.policy_version);
        say!("    {}: recorded `{}`, decided again `{}`", difference.field, difference.recorded, difference.redecided);
    }
    for spot in &found.damage {
        say!("  DAMAGED      {spot}");
    }
    let unsaid = found.damaged.saturating_sub(found.damage.len() as u64);
    if unsaid > 0 {
        say!("  DAMAGED      and {} more", grouped(unsaid));
    }
}
