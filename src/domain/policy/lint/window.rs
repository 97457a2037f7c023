//! Findings about one agreement's own times: ends and stages in heavy traffic, openings that never open to all, ends so far
//! off that none is meant. Never looks at another agreement.

use super::{Kind, Lint, LintContext, Severity};
use crate::domain::policy::PolicySet;
use crate::domain::policy::agreement::{Agreement, Effect};
use crate::domain::policy::rollout::BUCKETS;
use crate::domain::time::Timestamp;

/// An end further off than this is none: fifty years.
const FAR_MICROS: i64 = 50 * 366 * 86_400_000_000;

/// Adds what is found of every agreement that is not over.
pub(super) fn look(policy: &PolicySet, context: &LintContext<'_>, found: &mut Vec<Lint>) {
    for agreement in policy.agreements().iter().filter(|agreement| agreement.until > context.now) {
        let mut warn = |kind, message| {
            let agreements = vec![agreement.id.clone()];
            found.push(Lint { severity: Severity::Warning, kind, agreements, message, example: None });
        };
        if agreement.effect != Effect::DataReturn
            && let Some(message) = heavy(agreement, context)
        {
            warn(Kind::HeavyMinute, message);
        }
        let last = agreement.rollout.as_ref().and_then(|rollout| rollout.steps.last());
        if let Some(step) = last
            && u32::from(step.basis_points) < BUCKETS
        {
            let percent = f64::from(step.basis_points) / 100.0;
            let message = format!(
                "`{}` opens to {percent} % at most and never to all: add a step of 100 %, or say in its title that it is \
                 meant so",
                agreement.id
            );
            warn(Kind::RolloutIncomplete, message);
        }
        if agreement.until != Timestamp::MAX && agreement.until > context.now.plus_micros(FAR_MICROS) {
            let message = format!(
                "`{}` ends at {}, over fifty years from now: leave `until` out if it is open-ended",
                agreement.id, agreement.until
            );
            warn(Kind::FarEnd, message);
        }
    }
}

/// The first of its instants to come at which traffic is heavy.
fn heavy(agreement: &Agreement, context: &LintContext<'_>) -> Option<String> {
    let steps =
        agreement.rollout.iter().flat_map(|rollout| rollout.steps.iter().skip(1)).map(|step| (step.at, "widens"));
    let end = (agreement.until != Timestamp::MAX).then_some((agreement.until, "ends"));
    steps.chain(end).filter(|(at, _)| *at > context.now).find_map(|(at, what)| {
        let why = context.traffic.why(at)?;
        Some(format!("`{}` {what} at {at}, {why}: move it to a quiet hour, or have somebody watch", agreement.id))
    })
}
