//! `hopgate report`: lists over what is stored, for people, for spreadsheets and for programs.

use std::io::{BufWriter, IsTerminal, Write};
use std::sync::Arc;

use serde_json::json;

use super::args::report::{Report as Asked, ReportExpiring, ReportFormat};
use super::data::runtime;
use super::{CliError, settings_of};
use crate::app::DataDir;
use crate::catalog::sqlite::SqliteLinkStore;
use crate::catalog::store::LinkQuery;
use crate::clock::Clock;
use crate::domain::hop::Outcome;
use crate::domain::policy::ending::Cause;
use crate::domain::time::Timestamp;
use crate::report::asked::Kind;
use crate::report::expiring::{self, Detail, Report, Row, Walk};

/// How often a terminal is told how far the work is, in links.
const TOLD_EVERY: u64 = 20_000;

/// Runs `hopgate report`.
pub fn run(asked: Asked) -> Result<(), CliError> {
    match asked {
        Asked::Expiring(asked) => expiring(&asked),
        Asked::Links(asked) => super::sheets::run(Kind::Links, *asked),
        Asked::Funnel(asked) => super::sheets::run(Kind::Funnel, *asked),
        Asked::Settlement(asked) => super::sheets::run(Kind::Settlement, *asked),
    }
}

/// What the report is about, for its head.
struct Head {
    at: Timestamp,
    until: Timestamp,
    policy_version: String,
}

fn expiring(asked: &ReportExpiring) -> Result<(), CliError> {
    if asked.summary && asked.format == ReportFormat::Csv {
        let problem = "--summary: CSV has rows only: use --format text or json";
        return Err(CliError::Usage(problem.to_owned()));
    }
    let settings = settings_of(&asked.place)?;
    let words = Arc::new(settings.words.clone());
    let platform = match &asked.platform {
        Some(name) => Some(words.platform(name).ok_or_else(|| {
            let known = words.platforms().collect::<Vec<_>>().join(", ");
            CliError::Usage(format!("--platform: `{name}` is not known: use one of {known}"))
        })?),
        None => None,
    };
    let policy = super::policy::in_force(&settings)?;
    let path = DataDir::new(&settings.data_dir).database();
    if !path.exists() {
        let problem = format!("{}: no such database; name the data folder with --data-dir", path.display());
        return Err(CliError::Failed(problem));
    }
    let store = SqliteLinkStore::open(&path, Arc::clone(&words)).map_err(CliError::failed)?;
    // Nobody reads fractions of the second in which a command was typed.
    let at = asked.at.unwrap_or_else(|| Timestamp::from_millis(Clock::System.now().millis() / 1_000 * 1_000));
    let until = asked.within.after(at);
    let head = Head { at, until, policy_version: policy.version().to_string() };
    let links = LinkQuery { creator: asked.creator.clone(), ..LinkQuery::default() };
    let walk = Walk::new(&store, policy, words, expiring::Asked { at, until, links, platform }, None);
    let detail = Detail { rows: !asked.summary, dead: asked.include_dead && !asked.summary };
    let terminal = std::io::stderr().is_terminal();
    let mut told = 0;
    let progress = |looked_at: u64| {
        if terminal && looked_at >= told + TOLD_EVERY {
            told = looked_at;
            eprint!("\r{looked_at} links looked at");
        }
    };
    let report = runtime()?.block_on(walk.gather(detail, progress)).map_err(CliError::failed)?;
    if terminal && report.looked_at >= TOLD_EVERY {
        eprint!("\r\x1b[K");
    }
    let mut out = BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
    let printed = match asked.format {
        ReportFormat::Text => text(&mut out, &head, &report, asked),
        ReportFormat::Csv => csv(&mut out, &report),
        ReportFormat::Json => json_object(&mut out, &head, &report, asked),
    };
    match printed.and_then(|()| out.flush()) {
        Ok(()) => {}
        // A reader that has gone (`| head`) has what it wanted.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        Err(error) => return Err(CliError::Failed(format!("cannot write to standard output: {error}"))),
    }
    if !report.unreadable.is_empty() {
        let (count, first) = (report.unreadable.len(), &report.unreadable[0]);
        eprintln!("hopgate: {count} stored links cannot be read and are not in this report, `{first}` first");
    }
    Ok(())
}

fn json_object(out: &mut impl Write, head: &Head, report: &Report, asked: &ReportExpiring) -> std::io::Result<()> {
    // Written piece by piece: with a million rows one JSON value of all would take several times the memory.
    write!(
        out,
        "{{\"at\":{},\"until\":{},\"policy_version\":{},\"looked_at\":{},\"dead_links\":{},\"summary\":",
        json!(head.at),
        json!(head.until),
        json!(head.policy_version),
        report.looked_at,
        report.dead_links
    )?;
    serde_json::to_writer(&mut *out, &report.groups)?;
    if !asked.summary {
        write!(out, ",\"rows\":")?;
        serde_json::to_writer(&mut *out, &report.rows)?;
        if asked.include_dead {
            write!(out, ",\"dead\":")?;
            serde_json::to_writer(&mut *out, &report.dead)?;
        }
    }
    writeln!(out, "}}")
}

const COLUMNS: [&str; 14] = [
    "state",
    "until",
    "cause",
    "agreement",
    "creator",
    "code",
    "platform",
    "surfaces",
    "marketplace",
    "then_outcome",
    "then_reason",
    "then_agreement",
    "then_marketplace",
    "works_again_at",
];

fn csv(out: &mut impl Write, report: &Report) -> std::io::Result<()> {
    let optional = |at: Option<Timestamp>| at.map_or(String::new(), |at| at.to_string());
    let mut writer = ::csv::Writer::from_writer(out);
    writer.write_record(COLUMNS)?;
    for row in &report.rows {
        let stop = &row.stop;
        writer.write_record([
            "ending",
            &stop.until.to_string(),
            stop.cause.as_str(),
            stop.agreement.as_deref().unwrap_or_default(),
            row.creator.as_deref().unwrap_or_default(),
            &row.code,
            stop.platform.as_deref().unwrap_or_default(),
            &stop.surfaces.join("|"),
            &stop.marketplace,
            stop.then.outcome.as_str(),
            stop.then.reason.as_str(),
            stop.then.agreement.as_deref().unwrap_or_default(),
            stop.then.marketplace.as_deref().unwrap_or_default(),
            &optional(stop.then.works_again_at),
        ])?;
    }
    for row in &report.dead {
        let dead = &row.dead;
        writer.write_record([
            "dead",
            "",
            dead.reason.as_str(),
            dead.agreement.as_deref().unwrap_or_default(),
            row.creator.as_deref().unwrap_or_default(),
            &row.code,
            dead.platform.as_deref().unwrap_or_default(),
            "",
            "",
            "deny",
            dead.reason.as_str(),
            dead.agreement.as_deref().unwrap_or_default(),
            "",
            &optional(dead.works_again_at),
        ])?;
    }
    writer.flush()
}

/// An instant for people: to the minute where it is a whole minute; Beijing time, as the head says.
fn minute(at: Timestamp) -> String {
    let text = at.to_string();
    match text.split_once('T') {
        Some((day, time)) if time.get(5..) == Some(":00+08:00") => format!("{day} {}", &time[..5]),
        Some((day, time)) => format!("{day} {}", time.trim_end_matches("+08:00")),
        None => text,
    }
}

fn why(cause: Cause, agreement: Option<&str>) -> String {
    let agreement = agreement.unwrap_or("-");
    match cause {
        Cause::WindowEnds => format!("协议 {agreement} 到期 / agreement {agreement} ends"),
        Cause::Denied => format!("协议 {agreement} 开始禁止 / agreement {agreement} begins to deny"),
        Cause::KillSwitch => format!("紧急停用 {agreement} / switched off, {agreement}"),
        Cause::LinkExpires => "链接自身到期 / links expire".to_owned(),
        Cause::ShortLinkDies => {
            "平台短链 60 天失效，请换长链 / short links die 60 days after issue: use the long form".to_owned()
        }
    }
}

fn text(out: &mut impl Write, head: &Head, report: &Report, asked: &ReportExpiring) -> std::io::Result<()> {
    writeln!(
        out,
        "即将停用的链接 / links that stop working, {} … {} 北京时间 / Beijing time",
        minute(head.at),
        minute(head.until)
    )?;
    writeln!(
        out,
        "已检查 {} 条 / {} looked at; 政策版本 / policy {}",
        thousands(report.looked_at),
        count(report.looked_at, "link"),
        head.policy_version
    )?;
    if report.groups.is_empty() {
        writeln!(out, "\n此期间没有链接停用 / none stops in this time")?;
    }
    for (place, group) in report.groups.iter().enumerate() {
        let gap = if place == 0 { "\n" } else { "" };
        writeln!(
            out,
            "{gap}{}: {} 条链接，{} 位创作者 / {} of {}: {}{}",
            minute(group.until),
            thousands(group.links),
            thousands(group.creators),
            count(group.links, "link"),
            count(group.creators, "creator"),
            why(group.cause, group.agreement.as_deref()),
            match group.land_elsewhere {
                0 => String::new(),
                some => format!("；{} 条转到备选 / {} go on to an alternate", thousands(some), thousands(some)),
            }
        )?;
    }
    if !asked.summary && !report.rows.is_empty() {
        rows(out, &report.rows)?;
    }
    if report.dead_links > 0 && (!asked.include_dead || asked.summary) {
        let (number, links) = (thousands(report.dead_links), count(report.dead_links, "link"));
        let hint = if asked.summary { "" } else { " (--include-dead)" };
        writeln!(out, "\n另有 {number} 条现在已不可用 / besides, {links} not working as it is{hint}")?;
    }
    if !report.dead.is_empty() {
        let links = count(report.dead_links, "link");
        writeln!(out, "\n现在已不可用 / {links} not working as it is")?;
        writeln!(
            out,
            "{:<16} {:<24} {:<12} {:<22} {:<16} 协议 agreement",
            "创作者 creator", "短码 code", "platform", "原因 reason", "恢复 again"
        )?;
        for row in &report.dead {
            let dead = &row.dead;
            writeln!(
                out,
                "{:<19} {:<26} {:<12} {:<24} {:<18} {}",
                row.creator.as_deref().unwrap_or("-"),
                row.code,
                dead.platform.as_deref().unwrap_or("-"),
                dead.reason.as_str(),
                dead.works_again_at.map_or("-".to_owned(), minute),
                dead.agreement.as_deref().unwrap_or("-"),
            )?;
        }
    }
    Ok(())
}

/// Rows under a head line for each instant and reason.
fn rows(out: &mut impl Write, rows: &[Row]) -> std::io::Result<()> {
    let mut last = None;
    for row in rows {
        let stop = &row.stop;
        let here = (stop.until, stop.cause, &stop.agreement);
        if last != Some(here) {
            writeln!(out, "\n{}  {}", minute(stop.until), why(stop.cause, stop.agreement.as_deref()))?;
            last = Some(here);
        }
        let then = &stop.then;
        let next = match (then.outcome, then.works_again_at) {
            (Outcome::Allow, _) if stop.cause == Cause::ShortLinkDies => "之后打不开 / then leads nowhere".to_owned(),
            (Outcome::Allow, _) => format!(
                "改去 then {} {}",
                then.marketplace.as_deref().unwrap_or("-"),
                then.agreement.as_deref().unwrap_or_default()
            ),
            (Outcome::Deny, Some(again)) => format!("{} 恢复 / works again", minute(again)),
            (Outcome::Deny, None) => format!("之后 then {}", then.reason),
        };
        writeln!(
            out,
            "  {:<16} {:<24} {} {} → {}  {next}",
            row.creator.as_deref().unwrap_or("-"),
            row.code,
            stop.platform.as_deref().unwrap_or("-"),
            spots(&stop.surfaces),
            stop.marketplace,
        )?;
    }
    Ok(())
}

/// The spots of a row; all of them are one word.
fn spots(surfaces: &[&str]) -> String {
    let all = crate::domain::vocabulary::Surface::ALL.len() + 1;
    if surfaces.len() == all { "*".to_owned() } else { surfaces.join(",") }
}

/// So many of something, in English.
fn count(number: u64, what: &str) -> String {
    format!("{} {what}{}", thousands(number), if number == 1 { "" } else { "s" })
}

/// A number with a comma every three digits.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_and_numbers_are_for_people() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(minute(at("2022-12-01")), "2022-12-01 00:00");
        assert_eq!(minute(at("2022-11-30 23:59:59.999")), "2022-11-30 23:59:59.999");
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
