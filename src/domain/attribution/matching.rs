//! Which click an order line is credited to. Pure: the line, the clicks it may have come from and what was agreed for each of
//! them come in as arguments, so that every outcome can be reckoned again.
//!
//! Rules version 2 (version 1 did not ask where a click led):
//! 1. A click id of ours that the order carries names its click (`click_id`), if that click led to a marketplace of the order's
//!    network and was within its window before the order was made.
//! 2. Else the first of pid, position and relation that is registered names a creator or link (`pid`, `position`,
//!    `relation`), whose last click that led there, counts and lies in its window is credited; the next such click is the
//!    runner-up.
//! 3. Else nobody is: `none`, with the reason.
//!
//! A click's window is what its agreement said in the policy version that decided it, else [`USUAL_WINDOW_DAYS`]. A click in
//! a pause of data return has no terms: an order that comes from it is credited to nobody.

use super::order::OrderLine;
use super::touch::Touch;
use super::{ALIBABA, Network};
use crate::domain::click_id::ClickId;
use crate::domain::time::{DAY, Timestamp};
use crate::domain::vocabulary::closed_list;

/// The version of the rules in this file.
pub const RULES: u32 = 2;

/// The window of a click without one of its own, in days.
pub const USUAL_WINDOW_DAYS: u16 = 15;

/// The longest window an agreement may have, in days.
pub const LONGEST_WINDOW_DAYS: u16 = 180;

/// A sampling of everything, in millionths.
pub const ALL: u32 = 1_000_000;

/// How far a network's clock may be behind ours when it tells of a click.
const CLOCK_SLACK: i64 = 60_000_000;

closed_list! {
    /// By what an order line found its click.
    Method {
        /// A click id of ours came back with the order.
        ClickId = "click_id",
        /// The whole placement id.
        Pid = "pid",
        /// The position within it.
        Position = "position",
        /// The promoter below us.
        Relation = "relation",
        /// It found none.
        None = "none",
    }
}

closed_list! {
    /// Why an order line is credited to nobody.
    Reason {
        /// It names neither a click nor a position.
        NoPosition = "no_position",
        /// It names positions, and none of them is registered.
        UnknownPosition = "unknown_position",
        /// The click it names led to another marketplace, and it names no position.
        OtherMarketplace = "other_marketplace",
        /// Its position's creator had no click to a marketplace of its network in the window.
        NoTouch = "no_touch",
        /// There were clicks in the window, and none that counts: machines, duplicates, the creator's own.
        NotCounted = "not_counted",
        /// The click it came from lies in a pause of data return.
        Paused = "paused",
    }
}

/// What was agreed for a click: from the policy version that decided it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Terms {
    /// Days after the click within which an order counts.
    pub window_days: u16,
    /// The share of orders that is returned, in millionths; [`ALL`] unless a sample is.
    pub sampling: u32,
    /// The agreement that says so; empty when none does.
    pub agreement: Box<str>,
    /// Whether data return was paused at the click.
    pub paused: bool,
}

impl Default for Terms {
    fn default() -> Self {
        Terms { window_days: USUAL_WINDOW_DAYS, sampling: ALL, agreement: "".into(), paused: false }
    }
}

/// A click an order may have come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// The click.
    pub touch: Touch,
    /// What was agreed for it.
    pub terms: Terms,
    /// Whether the rules of validity count it.
    pub counts: bool,
}

/// What an order line can be asked against.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Evidence {
    /// The click whose id came back with the order, if it is one of ours and was redirected.
    pub named: Option<Candidate>,
    /// By what the candidates were found: the first of pid, position, relation that is registered.
    pub found_by: Option<Method>,
    /// Clicks of whoever that is, the latest first.
    pub candidates: Vec<Candidate>,
}

/// The rules a match was made by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    /// [`RULES`].
    pub version: u32,
    /// What says which clicks count, by its own version.
    pub validity: Box<str>,
}

/// A click that was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credited {
    /// The click.
    pub click: ClickId,
    /// When it was decided.
    pub at: Timestamp,
    /// The node that recorded it.
    pub node: Box<str>,
    /// Its number there.
    pub seq: u64,
    /// The link's code.
    pub code: Box<str>,
    /// The link's creator; empty when it has none.
    pub creator: Box<str>,
    /// Where it happened.
    pub platform: Box<str>,
    /// The note it came from.
    pub note: Box<str>,
    /// The policy version that decided it.
    pub policy_version: u64,
    /// What was agreed for it.
    pub terms: Terms,
}

/// Whom an order line is credited to, and how that was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Match {
    /// By what.
    pub method: Method,
    /// The click it is credited to; under [`Reason::Paused`] the one it would have been.
    pub click: Option<Credited>,
    /// The click that would have been credited without that one.
    pub runner_up: Option<Credited>,
    /// Why nobody is credited.
    pub reason: Option<Reason>,
    /// The rules.
    pub rules: Rules,
}

impl Match {
    /// The creator who is credited, if anyone is.
    pub fn creator(&self) -> Option<&str> {
        let credited = self.click.as_ref().filter(|_| self.method != Method::None)?;
        Some(&*credited.creator).filter(|creator| !creator.is_empty())
    }

    /// The share of orders like this one that is told at all, in millionths.
    pub fn sampling(&self) -> u32 {
        self.click.as_ref().filter(|_| self.method != Method::None).map_or(ALL, |click| click.terms.sampling)
    }

    /// Whether both credit the same click in the same way, on the same terms: what is booked under the one stays under the other.
    pub fn same_credit(&self, other: &Match) -> bool {
        (self.method, &self.click, self.reason) == (other.method, &other.click, other.reason)
    }

    /// Whether both come to the same, whatever rules said so.
    pub fn same_outcome(&self, other: &Match) -> bool {
        self.same_credit(other) && self.runner_up == other.runner_up
    }
}

/// Whether a click at `at` is in the window of so many days that ends at `upper`: `upper - window <= at < upper`. The only
/// place that says so.
pub fn in_window(at: Timestamp, upper: Timestamp, window_days: u16) -> bool {
    upper.plus_micros(-(i64::from(window_days) * DAY)) <= at && at < upper
}

/// The instant before which a click must lie to be credited with a line by its position: when the order was made, or shortly
/// after the click the network tells of, whichever is earlier.
pub fn upper(line: &OrderLine) -> Timestamp {
    line.clicked_at.map_or(line.created_at, |clicked| clicked.plus_micros(CLOCK_SLACK).min(line.created_at))
}

/// The first instant at which a click can still concern a line.
pub fn earliest(line: &OrderLine) -> Timestamp {
    upper(line).plus_micros(-(i64::from(LONGEST_WINDOW_DAYS) * DAY))
}

/// The marketplaces a click can have led to that a line comes from; any, where none is named.
pub fn marketplaces(line: &OrderLine) -> Vec<&str> {
    match line.key.network {
        Network::Taobao => ALIBABA.to_vec(),
        Network::Jd => vec!["jd"],
        Network::Pinduoduo => vec!["pinduoduo"],
        Network::Direct if line.marketplace.is_empty() => Vec::new(),
        Network::Direct if ALIBABA.contains(&&*line.marketplace) => ALIBABA.to_vec(),
        Network::Direct => vec![&line.marketplace],
    }
}

/// Clicks that led where the line was ordered.
fn leading_there<'c>(
    line: &OrderLine,
    all: impl IntoIterator<Item = &'c Candidate>,
) -> impl Iterator<Item = &'c Candidate> {
    let there = marketplaces(line);
    all.into_iter().filter(move |one| there.is_empty() || there.contains(&&*one.touch.marketplace))
}

/// The texts of a line that may be registered, in the order in which they are asked, with the method each stands for.
pub fn positions(line: &OrderLine) -> impl Iterator<Item = (Method, &str)> {
    let told = &line.promotion;
    [(Method::Pid, &*told.pid), (Method::Position, &*told.position), (Method::Relation, &*told.relation)]
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
}

/// Whether enough candidates are known for [`decide`]: two that count and lie in their windows.
pub fn enough(line: &OrderLine, candidates: &[Candidate]) -> bool {
    eligible(line, candidates).nth(1).is_some()
}

fn eligible<'c>(line: &OrderLine, candidates: &'c [Candidate]) -> impl Iterator<Item = &'c Candidate> {
    let upper = upper(line);
    let counts = move |one: &&Candidate| one.counts && in_window(one.touch.at, upper, one.terms.window_days);
    leading_there(line, candidates).filter(counts)
}

/// Whom a line is credited to.
pub fn decide(line: &OrderLine, evidence: &Evidence, rules: &Rules) -> Match {
    let outcome = |method, click: Option<&Candidate>, runner_up: Option<&Candidate>, reason| Match {
        method,
        click: click.map(credited),
        runner_up: runner_up.map(credited),
        reason,
        rules: rules.clone(),
    };
    let credit = |method, click: &Candidate, runner_up| match click.terms.paused {
        true => outcome(Method::None, Some(click), runner_up, Some(Reason::Paused)),
        false => outcome(method, Some(click), runner_up, None),
    };
    let named = leading_there(line, &evidence.named).next();
    if let Some(named) = named.filter(|named| in_window(named.touch.at, line.created_at, named.terms.window_days)) {
        let runner_up = eligible(line, &evidence.candidates).find(|one| one.touch.click != named.touch.click);
        return credit(Method::ClickId, named, runner_up);
    }
    let nobody = |reason| outcome(Method::None, None, None, Some(reason));
    let Some(method) = evidence.found_by else {
        let told = positions(line).next().is_some();
        return nobody(match (told, &evidence.named) {
            (true, _) => Reason::UnknownPosition,
            (false, Some(_)) if named.is_none() => Reason::OtherMarketplace,
            (false, _) => Reason::NoPosition,
        });
    };
    let mut found = eligible(line, &evidence.candidates);
    match (found.next(), found.next()) {
        (Some(click), runner_up) => credit(method, click, runner_up),
        (None, _) => {
            let upper = upper(line);
            let any = leading_there(line, &evidence.candidates)
                .any(|one| in_window(one.touch.at, upper, one.terms.window_days));
            nobody(if any { Reason::NotCounted } else { Reason::NoTouch })
        }
    }
}

fn credited(candidate: &Candidate) -> Credited {
    let touch = &candidate.touch;
    Credited {
        click: touch.click,
        at: touch.at,
        node: touch.node.clone(),
        seq: touch.seq,
        code: touch.code.clone(),
        creator: touch.creator.clone(),
        platform: touch.platform.clone(),
        note: touch.note.clone(),
        policy_version: touch.policy_version,
        terms: candidate.terms.clone(),
    }
}

#[cfg(test)]
#[path = "matching_tests.rs"]
mod tests;
