//! What agreements of one pair do to each other: dead rules, contradictions, overlaps, gaps. Every claim that there is no
//! such click is proven; what is too entangled to prove is said to be. Never looks across pairs.
//!
//! Between two boundaries nothing changes, so an agreement is looked into at its own beginning and at every boundary of a
//! rival within its window, and nowhere else.

use std::collections::BTreeMap;

use super::region::{Names, Shape};
use super::search::{At, Found, Search};
use super::{ExampleClick, Kind, Lint, LintContext, Severity, ids};
use crate::domain::policy::PolicySet;
use crate::domain::policy::agreement::{Agreement, Effect};
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::{MarketplaceId, PlatformId};

/// Agreements all searches of a policy may look at: some seconds of work at the very most.
const PATIENCE: u64 = 40_000_000;
/// Agreements the searches about one agreement may look at.
const PATIENCE_EACH: u64 = 400_000;
/// Rivals of the same weight an overlap is looked for with.
const TRIED: usize = 8;

/// What becomes of an agreement between one platform and one marketplace.
enum Fate {
    Decides(Box<ExampleClick>),
    /// Denies leave nothing of it.
    Denied(Option<ExampleClick>, Vec<Box<str>>),
    /// Others always come first.
    Covered(Option<ExampleClick>, Vec<Box<str>>),
    Unsettled,
}

/// What came of looking.
pub(super) struct Looked {
    /// The findings.
    pub(super) found: Vec<Lint>,
    /// A click that each living agreement decides.
    pub(super) deciding: Vec<(Box<str>, Box<ExampleClick>)>,
}

/// Looks at every pair.
pub(super) fn look(policy: &PolicySet, context: &LintContext<'_>) -> Looked {
    let mut names = Names::default();
    let shapes: Vec<Shape<'_>> =
        policy.agreements().iter().map(|agreement| Shape::new(agreement, &mut names)).collect();
    let mut pairs: BTreeMap<(PlatformId, MarketplaceId), Vec<usize>> = BTreeMap::new();
    for (place, shape) in shapes.iter().enumerate() {
        for marketplace in &shape.agreement.marketplaces {
            let pair = pairs.entry((shape.agreement.platform, *marketplace)).or_default();
            // A marketplace may be named twice.
            if pair.last() != Some(&place) {
                pair.push(place);
            }
        }
    }
    let mut fates: Vec<Vec<Fate>> = shapes.iter().map(|_| Vec::new()).collect();
    let mut found = Vec::new();
    let mut left = PATIENCE;
    for ((platform, marketplace), places) in pairs {
        let search = Search { platform, marketplace, names: &names, left };
        let rules: Vec<&Shape<'_>> = places.iter().map(|place| &shapes[*place]).collect();
        let denies = rules.iter().filter(|rule| rule.effect == Effect::Deny).copied().collect();
        let mut pair = Pair { policy, context, rules, denies, search };
        for (rule, place) in places.iter().enumerate() {
            if shapes[*place].agreement.until <= context.now {
                continue;
            }
            if let Some(fate) = pair.fate(rule) {
                fates[*place].push(fate);
            }
            found.extend(pair.narrowed_by_deny(rule));
            found.extend(pair.tied(rule));
            found.extend(pair.gap(rule));
        }
        left = pair.search.left;
    }
    // An agreement of several marketplaces is told of once.
    found.sort_by(|a, b| (a.kind, &a.agreements).cmp(&(b.kind, &b.agreements)));
    found.dedup_by(|a, b| a.kind == b.kind && a.agreements.first() == b.agreements.first());
    let (mut unsettled, mut deciding) = (Vec::new(), Vec::new());
    for (shape, fates) in shapes.iter().zip(fates) {
        let fates = fates.into_iter().filter_map(|fate| match fate {
            Fate::Decides(click) => {
                deciding.push((shape.agreement.id.clone(), click));
                None
            }
            other => Some(other),
        });
        let fates: Vec<Fate> = fates.collect();
        // It decides if it does so anywhere.
        if deciding.last().is_none_or(|(id, _)| *id != shape.agreement.id) {
            judge(shape.agreement, fates, &mut found, &mut unsettled);
        }
    }
    if !unsettled.is_empty() {
        let message = format!(
            "whether {} ever {} a click could not be settled in reasonable time: split what overlaps so much",
            ids(&unsettled),
            if unsettled.len() == 1 { "decides" } else { "decide" }
        );
        let (severity, kind) = (Severity::Warning, Kind::Unsettled);
        found.push(Lint { severity, kind, agreements: unsettled, message, example: None });
    }
    Looked { found, deciding }
}

/// An agreement that decides nowhere.
fn judge(agreement: &Agreement, fates: Vec<Fate>, found: &mut Vec<Lint>, unsettled: &mut Vec<Box<str>>) {
    let id = &agreement.id;
    if fates.iter().any(|fate| matches!(fate, Fate::Unsettled)) {
        unsettled.push(id.clone());
        return;
    }
    let all_denied = fates.iter().all(|fate| matches!(fate, Fate::Denied(..)));
    let Some(Fate::Denied(example, by) | Fate::Covered(example, by)) = fates.into_iter().next() else { return };
    // That it is narrowed or tied is nothing new of what never decides.
    found.retain(|lint| {
        !matches!(lint.kind, Kind::Contradiction | Kind::Overlap) || lint.agreements.first() != Some(&agreement.id)
    });
    let (told, one) = (ids(&by), by.len() == 1);
    let mut agreements = vec![id.clone()];
    agreements.extend(by);
    let (severity, kind, message) = if all_denied {
        let (deny, which) = if one { ("denies", "the deny") } else { ("deny", "the denies") };
        let message = format!("`{id}` never allows a click: {told} {deny} all of it; narrow {which}, or remove `{id}`");
        (Severity::Error, Kind::Contradiction, message)
    } else if agreements.len() == 1 {
        let message = format!("`{id}` never decides a click: no step of its rollout lets anyone in; widen one");
        (Severity::Warning, Kind::DeadRule, message)
    } else {
        let come = if one { "comes" } else { "come" };
        let message = format!(
            "`{id}` never decides a click: {told} always {come} first; remove it, or give it a higher priority or one \
             more condition"
        );
        (Severity::Warning, Kind::DeadRule, message)
    };
    found.push(Lint { severity, kind, agreements, message, example });
}

/// The agreements of one pair, in winning order.
struct Pair<'s, 'p, 'c> {
    policy: &'p PolicySet,
    context: &'c LintContext<'c>,
    rules: Vec<&'s Shape<'p>>,
    denies: Vec<&'s Shape<'p>>,
    search: Search<'s, 'p>,
}

impl<'s, 'p> Pair<'s, 'p, '_> {
    /// The rules that come before `rule`: every deny for an allow, and whatever of its own effect wins over it.
    fn rivals(&self, rule: usize) -> impl Iterator<Item = &'s Shape<'p>> + '_ {
        let mine = self.rules[rule];
        let denies = if mine.effect == Effect::Allow { &self.denies[..] } else { &[] };
        let before = self.rules[..rule].iter().filter(|other| other.effect == mine.effect);
        let meets = |other: &&'s Shape<'p>| mine.meets_in_time(other, Timestamp::MIN) && mine.meets(other);
        denies.iter().chain(before).copied().filter(meets)
    }

    /// Whether it decides any click, ever; `None` for data returns, which decide none.
    fn fate(&mut self, rule: usize) -> Option<Fate> {
        let mine = self.rules[rule];
        if mine.effect == Effect::DataReturn {
            return None;
        }
        let mut rivals = Vec::new();
        let mut whole = None;
        for rival in self.rivals(rule) {
            rivals.push(rival);
            if rival.covers(mine) {
                whole = Some(vec![rival]);
                break;
            }
        }
        let settled = match whole {
            Some(by) => Some(by),
            None => match self.decides(mine, &rivals) {
                Found::Click(click) => return Some(Fate::Decides(click)),
                Found::Unsettled => None,
                Found::None => Some(rivals.clone()),
            },
        };
        let Some(by) = settled else { return Some(Fate::Unsettled) };
        let denies: Vec<&Shape<'p>> = rivals.into_iter().filter(|rival| rival.effect == Effect::Deny).collect();
        // A click all the same: what it would have decided.
        let example = match self.decides(mine, &[]) {
            Found::Click(click) => Some(*click),
            // What never lets anyone in is nobody else's doing.
            Found::None => return Some(Fate::Covered(None, Vec::new())),
            Found::Unsettled => return Some(Fate::Unsettled),
        };
        if mine.effect == Effect::Allow && !denies.is_empty() {
            let one = denies.iter().find(|deny| deny.covers(mine)).map(|deny| vec![deny.agreement.id.clone()]);
            let all = || denies.iter().map(|deny| deny.agreement.id.clone()).collect();
            if one.is_some() || matches!(self.decides(mine, &denies), Found::None) {
                return Some(Fate::Denied(example, one.unwrap_or_else(all)));
            }
        }
        Some(Fate::Covered(example, by.iter().map(|rival| rival.agreement.id.clone()).collect()))
    }

    /// A click that `mine` matches and none of `rivals` does, at any instant of its window.
    fn decides(&mut self, mine: &Shape<'p>, rivals: &[&'s Shape<'p>]) -> Found {
        let before = self.search.left;
        let mut unsettled = false;
        // Most decide something as soon as they begin: that spares gathering all the rest.
        let first = mine.agreement.from;
        let rest = std::iter::once_with(|| instants(mine, rivals)).flatten().filter(|at| *at != first);
        for at in std::iter::once(first).chain(rest) {
            if before - self.search.left > PATIENCE_EACH || self.search.left == 0 {
                return Found::Unsettled;
            }
            self.search.left = self.search.left.saturating_sub(1 + rivals.len() as u64);
            match self.search.find(&[(mine, at)], &active(rivals, at), at) {
                Found::None => {}
                Found::Unsettled => unsettled = true,
                found => return found,
            }
        }
        if unsettled { Found::Unsettled } else { Found::None }
    }

    /// A deny that takes part of an allow, from now on.
    fn narrowed_by_deny(&mut self, rule: usize) -> Option<Lint> {
        let mine = self.rules[rule];
        if mine.effect != Effect::Allow {
            return None;
        }
        let now = self.context.now;
        let takes = |other: &&&'s Shape<'p>| mine.meets_in_time(other, now) && mine.meets(other);
        let denies: Vec<&'s Shape<'p>> = self.denies.iter().filter(takes).copied().collect();
        let (deny, click) = denies.iter().find_map(|deny| {
            let at = together(mine, deny, now).into_iter().find_map(|at| {
                match self.search.find(&[(mine, at), (deny, at)], &[], at) {
                    Found::Click(click) => Some(click),
                    _ => None,
                }
            })?;
            Some((deny, at))
        })?;
        let mut agreements = vec![mine.agreement.id.clone(), deny.agreement.id.clone()];
        agreements.extend(denies.iter().map(|deny| deny.agreement.id.clone()).filter(|id| *id != deny.agreement.id));
        let message = format!(
            "`{}` is narrowed by {}: what both cover is refused; leave it so if that is meant, else narrow the deny",
            mine.agreement.id,
            ids(&agreements[1..])
        );
        let (severity, kind) = (Severity::Warning, Kind::Contradiction);
        Some(Lint { severity, kind, agreements, message, example: Some(*click) })
    }

    /// Another agreement of the same weight and with other terms that wins only by its date or its id.
    fn tied(&mut self, rule: usize) -> Option<Lint> {
        let mine = self.rules[rule];
        let weight = |agreement: &Agreement| (agreement.priority, agreement.when.count());
        let effect = mine.effect;
        if effect == Effect::Deny {
            return None;
        }
        let now = self.context.now;
        let before = self.rules[..rule].iter().rev().copied();
        let ties = |other: &&'s Shape<'p>| {
            let (a, b) = (mine.agreement, other.agreement);
            other.effect == effect
                && (a.landing != b.landing || a.attribution != b.attribution)
                && mine.meets_in_time(other, now)
                && mine.meets(other)
        };
        let alike = before.take_while(|other| weight(other.agreement) == weight(mine.agreement));
        let tied: Vec<&'s Shape<'p>> = alike.filter(ties).take(TRIED).collect();
        for winner in tied {
            let place = self.rules.iter().position(|rule| std::ptr::eq(*rule, winner)).unwrap_or_default();
            let mut rivals: Vec<&'s Shape<'p>> = self.rivals(place).collect();
            if effect == Effect::DataReturn {
                // An allow with attribution gives the terms of the clicks it lets through.
                rivals.extend(self.rules.iter().filter(|rule| rule.effect == Effect::Allow));
            }
            for at in together(mine, winner, now) {
                let Found::Click(click) = self.search.find(&[(mine, at), (winner, at)], &active(&rivals, at), at)
                else {
                    continue;
                };
                let (a, b) = (&winner.agreement.id, &mine.agreement.id);
                let by = if winner.agreement.from == mine.agreement.from { "greater id" } else { "later beginning" };
                let message = format!(
                    "`{a}` and `{b}` have the same weight and other terms, and `{a}` wins only by its {by}: give one of \
                     them a higher priority"
                );
                let (severity, kind) = (Severity::Warning, Kind::Overlap);
                let agreements = vec![b.clone(), a.clone()];
                return Some(Lint { severity, kind, agreements, message, example: Some(*click) });
            }
        }
        None
    }

    /// A window to come that ends while nothing goes on for the same clicks.
    fn gap(&mut self, rule: usize) -> Option<Lint> {
        let mine = self.rules[rule];
        let end = mine.agreement.until;
        if mine.effect != Effect::Allow || end == Timestamp::MAX {
            return None;
        }
        let pair = self.policy.pair(self.search.platform, self.search.marketplace);
        if pair.is_some_and(|pair| pair.allow_by_default) {
            return None;
        }
        let links = (self.context.links_depending)(&mine.agreement.id);
        if links == Some(0) {
            return None;
        }
        let last = end.plus_micros(-1);
        let rivals: Vec<&'s Shape<'p>> = self.rivals(rule).collect();
        let now_on = |effect: Effect| {
            let meets = |other: &&&'s Shape<'p>| other.effect == effect && other.share(end) > 0 && mine.meets(other);
            self.rules.iter().filter(meets).map(|other| (*other, end)).collect::<Vec<At<'s, 'p>>>()
        };
        let (allows, denies) = (now_on(Effect::Allow), now_on(Effect::Deny));
        let before = active(&rivals, last);
        let uncovered = [before.clone(), allows].concat();
        let mut found = self.search.find(&[(mine, last)], &uncovered, end);
        for deny in denies {
            if matches!(found, Found::Click(_)) {
                break;
            }
            found = self.search.find(&[(mine, last), deny], &before, end);
        }
        let Found::Click(click) = found else { return None };
        let id = &mine.agreement.id;
        let depend = match links {
            Some(1) => "1 link depends on it".to_owned(),
            Some(links) => format!("{links} links depend on it"),
            None => "links may depend on it".to_owned(),
        };
        let message = format!(
            "`{id}` ends at {end} and nothing goes on for all it covers, while {depend}: add a successor, or alternates to \
             the links"
        );
        let (severity, kind) = (Severity::Warning, Kind::Gap);
        Some(Lint { severity, kind, agreements: vec![id.clone()], message, example: Some(*click) })
    }
}

fn active<'s, 'p>(rivals: &[&'s Shape<'p>], at: Timestamp) -> Vec<At<'s, 'p>> {
    rivals.iter().filter(|rival| rival.share(at) > 0).map(|rival| (*rival, at)).collect()
}

fn boundaries<'a>(shape: &'a Shape<'_>) -> impl Iterator<Item = Timestamp> + 'a {
    let steps = shape.agreement.rollout.iter().flat_map(|rollout| rollout.steps.iter().map(|step| step.at));
    [shape.agreement.from, shape.agreement.until].into_iter().chain(steps)
}

/// Its beginning, and every boundary within its window at which something changes for it.
fn instants(mine: &Shape<'_>, rivals: &[&Shape<'_>]) -> Vec<Timestamp> {
    let (from, until) = (mine.agreement.from, mine.agreement.until);
    let all = rivals.iter().copied().flat_map(boundaries).chain(boundaries(mine));
    let mut instants: Vec<Timestamp> = all.filter(|at| from <= *at && *at < until).collect();
    instants.sort_unstable();
    instants.dedup();
    instants
}

/// The same for two that are to match together, from `since` on.
fn together(a: &Shape<'_>, b: &Shape<'_>, since: Timestamp) -> Vec<Timestamp> {
    let from = a.agreement.from.max(b.agreement.from).max(since);
    let until = a.agreement.until.min(b.agreement.until);
    let mut instants: Vec<Timestamp> =
        boundaries(a).chain(boundaries(b)).chain([from]).filter(|at| from <= *at && *at < until).collect();
    instants.sort_unstable();
    instants.dedup();
    instants
}
