//! `hopgate policy terms`: on which terms data of a note is returned at an instant. What a funnel report asks.

use super::args::ask::Terms;
use super::data::told;
use super::{CliError, settings_of};
use crate::clock::Clock;
use crate::control::terms::{TermsRequest, TermsView};

/// Runs the command.
pub fn run(asked: Terms) -> Result<(), CliError> {
    let settings = settings_of(&asked.place)?;
    let policy = super::policy::in_force(&settings)?;
    let request = TermsRequest {
        platform: asked.platform,
        marketplace: asked.marketplace,
        surface: asked.surface,
        shop_type: asked.shop_type,
        link_kind: asked.link_kind,
        category: asked.category,
        creator: asked.creator,
    };
    let at = asked.at.unwrap_or_else(|| Clock::System.now());
    let found = request.answer(&policy, &settings.words, at).map_err(|faults| CliError::Usage(told(&faults)))?;
    if asked.json {
        say!("{}", serde_json::to_string(&found).map_err(CliError::failed)?);
    } else {
        show(&found);
    }
    Ok(())
}

fn show(found: &TermsView) {
    match (&found.agreement, found.window_days, found.sampling) {
        (Some(agreement), Some(days), Some(sampling)) => {
            say!("有条款 / terms in force");
            say!("  协议 agreement      {agreement}");
            say!("  窗口 window         {days} 天 / days after reading");
            say!("  抽样 sampling       {} %", sampling * 100.0);
            say!("  事件 events         {}", found.events.as_deref().unwrap_or_default().join(", "));
        }
        _ => say!("没有条款，不回流数据 / no terms in force, no data is returned"),
    }
    say!("  时间 at             {}", found.at);
    if let Some(edge) = &found.ended {
        say!("  上次结束 ended       {} {}", edge.at, edge.agreement);
    }
    if let Some(edge) = &found.begins {
        say!("  下次开始 begins      {} {}", edge.at, edge.agreement);
    }
    say!("  政策版本 policy      {}", found.policy_version);
}
