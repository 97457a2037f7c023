//! `hopgate explain`: what would become of a click, and why. The same function as a live click.

use std::sync::Arc;

use super::args::click::Explain;
use super::data::{runtime, told};
use super::{CliError, policy, settings_of};
use crate::app::DataDir;
use crate::catalog::sqlite::SqliteLinkStore;
use crate::catalog::store::LinkStore;
use crate::clock::Clock;
use crate::config::landing;
use crate::control::alternates::AlternateDraft;
use crate::control::decision::{Case, DecideRequest, Explained, Subject, explain};
use crate::control::sent::Roads;
use crate::domain::hop::Outcome;

/// Runs the command.
pub fn run(asked: Explain) -> Result<(), CliError> {
    let settings = settings_of(&asked.place)?;
    let policy = policy::in_force(&settings)?;
    let request = DecideRequest {
        platform: asked.platform,
        surface: asked.surface,
        url: asked.url,
        code: asked.code,
        marketplace: asked.marketplace,
        item: asked.item,
        at: asked.at.map(|at| at.to_string()),
        shop_type: asked.shop_type,
        link_kind: asked.link_kind,
        category: asked.category,
        creator: asked.creator,
        facts: (!asked.facts.is_empty()).then(|| asked.facts.into_iter().map(|name| (name, true)).collect()),
        alternates: (!asked.alternates.is_empty())
            .then(|| asked.alternates.iter().map(|text| AlternateDraft::parse(text)).collect()),
        app: asked.app,
        os: asked.os,
        misread: Vec::new(),
    };
    let question =
        request.check(&settings.words, Clock::System.now()).map_err(|faults| CliError::Usage(told(&faults)))?;
    let case = match &question.subject {
        Subject::Landing(landing) => Case::of_landing((**landing).clone()),
        Subject::Marketplace(aim) => Case::of_aim(aim.clone()),
        Subject::Code(code) => {
            let path = DataDir::new(&settings.data_dir).database();
            if !path.exists() {
                return Err(CliError::Failed(format!(
                    "{}: no such database; name the data folder with --data-dir",
                    path.display()
                )));
            }
            let store = SqliteLinkStore::open(&path, Arc::new(settings.words.clone())).map_err(CliError::failed)?;
            match runtime()?.block_on(store.get(code)).map_err(CliError::failed)? {
                Some(link) => Case::of_link(&link),
                None => return Err(CliError::Failed(format!("no link has the code `{code}`"))),
            }
        }
    };
    let mut explained = explain(&policy, &settings.words, &question.over(case), question.at);
    if let Some(device) = question.device {
        let matrix = landing::load(&settings.landing, &settings.words).map_err(CliError::Config)?;
        explained.send_on(device, Roads { matrix: &matrix, proxy: &settings.proxy, words: &settings.words });
    }
    if asked.json {
        say!("{}", serde_json::to_string(&explained).map_err(CliError::failed)?);
    } else {
        show(&explained);
    }
    Ok(())
}

fn show(explained: &Explained) {
    let verdict = if explained.outcome == Outcome::Allow { "允许 / allow" } else { "拒绝 / deny" };
    say!("{verdict}  {}", explained.reason);
    say!("  协议 agreement      {}", explained.agreement.as_deref().unwrap_or("-"));
    if let Some(kill) = &explained.kill {
        let text = |key: &str| kill[key].as_str().unwrap_or("-").to_owned();
        say!("  紧急关闭 kill        {} by {} until {}: {}", text("id"), text("by"), text("until"), text("why"));
    }
    say!("  时间 at             {}", explained.at);
    match explained.valid_until {
        Some(until) => say!("  有效至 valid until   {until}"),
        None => say!("  有效至 valid until   -"),
    }
    say!("  政策版本 policy      {}", explained.policy_version);
    let landing = &explained.landing;
    say!(
        "  落地 landing        {} {} {}",
        landing.marketplace,
        landing.link_kind,
        landing.url.as_deref().unwrap_or("-")
    );
    if let Some(sent) = &explained.sent {
        say!("  送达 sent           {} {} {}", sent.status, sent.way, sent.address);
    }
    if !explained.alternates.is_empty() {
        say!("  依次尝试 landings");
    }
    for landing in &explained.alternates {
        let name = if landing.alternate == 0 {
            "主 own".to_owned()
        } else {
            format!("备选 alternate {}", landing.alternate)
        };
        let mark = match (landing.outcome, landing.tried) {
            (_, false) => "·",
            (Outcome::Allow, true) => "✓",
            (Outcome::Deny, true) => "✗",
        };
        let untried = if landing.tried { "" } else { "（未用到 not tried）" };
        let until = landing.valid_until.map_or(String::new(), |until| format!(" 至 until {until}"));
        let agreement = landing.agreement.as_deref().unwrap_or("-");
        say!("    {mark} {name}: {} {agreement}{until}{untried}", landing.reason);
        say!(
            "        {} {} {}",
            landing.landing.marketplace,
            landing.landing.shop_type,
            landing.landing.url.as_deref().unwrap_or("-")
        );
    }
    if !explained.trace.is_empty() {
        say!("  逐条 trace");
    }
    for looked in &explained.trace {
        say!("    {} {} {}", if looked.matched { "✓" } else { "✗" }, looked.effect, looked.agreement);
        for failed in &looked.failed {
            say!("        {:?}: 需要 wanted {}; 实际 found {}", failed.condition, failed.wanted, failed.found);
        }
    }
}
