//! The slow evaluator: the rules of deciding written out plainly, one agreement and one condition after the other. It
//! shares nothing with the compiled policy but the agreements themselves; even the rollout's hash is its own.

use hopgate::domain::policy::{Agreement, Effect, PairDefault, Reason, StickTo};
use hopgate::domain::vocabulary::{LinkKind, MarketplaceId, PlatformId, ShopType};

use crate::draw::Click;

/// What the rules say: why, and by which agreement.
pub type Answer = (Reason, Option<Box<str>>);

/// Each condition of an agreement in the order of asking: the reason if it fails, and whether it holds.
pub fn ask(agreement: &Agreement, click: &Click) -> [(Reason, bool); 10] {
    let deny = agreement.effect == Effect::Deny;
    // What is not known never satisfies a condition of an allow, and always one of a deny.
    let known = |is_known: bool, is_listed: bool, any: bool| any || (is_known && is_listed) || (!is_known && deny);
    let when = &agreement.when;
    let text = |wanted: &[Box<str>], found: &str| {
        known(!found.is_empty(), wanted.iter().any(|one| &**one == found), wanted.is_empty())
    };
    let window = if click.at < agreement.from { Reason::NotYetOpen } else { Reason::WindowEnded };
    let in_window = agreement.from <= click.at && click.at < agreement.until;
    let surface = (click.surface.is_some(), click.surface.is_some_and(|found| when.surfaces.contains(&found)));
    let kind = (click.link_kind != LinkKind::Unknown, when.link_kinds.contains(&click.link_kind));
    let shop = (click.shop_type != ShopType::Unknown, when.shop_types.contains(&click.shop_type));
    [
        (Reason::SurfaceNotCovered, known(surface.0, surface.1, when.surfaces.is_empty())),
        (window, in_window),
        (Reason::LinkKindNotCovered, known(kind.0, kind.1, when.link_kinds.is_empty())),
        (Reason::ShopTypeNotCovered, known(shop.0, shop.1, when.shop_types.is_empty())),
        (Reason::CategoryNotCovered, text(&when.categories, click.category)),
        (Reason::CreatorNotCovered, text(&when.creators, &click.creator)),
        (Reason::CreatorNotCovered, text(&when.shops, click.shop)),
        (Reason::CreatorNotCovered, text(&when.items, click.item)),
        (Reason::RequirementMissing, when.requires.iter().all(|name| carries(click, name).unwrap_or(deny))),
        // Outside its window there is no stage to be in.
        (Reason::NotInRollout, !in_window || in_rollout(agreement, click)),
    ]
}

/// Whether the link carries a fact; `None` when it does not say.
fn carries(click: &Click, name: &str) -> Option<bool> {
    let mut words = click.carried.split(' ');
    words.find(|word| word.trim_start_matches('!') == name).map(|word| !word.starts_with('!'))
}

fn in_rollout(agreement: &Agreement, click: &Click) -> bool {
    let Some(rollout) = &agreement.rollout else { return true };
    let id = match rollout.by {
        StickTo::Creator => click.creator.to_string(),
        StickTo::Shop => click.shop.to_string(),
        StickTo::Link => click.link.to_string(),
        StickTo::Visitor if click.visitor == 0 => String::new(),
        StickTo::Visitor => format!("{:032x}", click.visitor),
    };
    let reached = rollout.steps.iter().filter(|step| step.at <= click.at).map(|step| step.basis_points);
    let share = reached.max().unwrap_or(0);
    match (id.is_empty(), agreement.effect) {
        (false, _) => murmur3(format!("{}:{id}", rollout.salt).as_bytes()) % 10_000 < u32::from(share),
        (true, Effect::Deny) => share > 0,
        (true, _) => share == 10_000,
    }
}

/// MurmurHash3 x86 32-bit with seed 0, by whole blocks and a tail, as its author wrote it down.
fn murmur3(bytes: &[u8]) -> u32 {
    let scramble = |block: u32| block.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let (blocks, tail) = bytes.as_chunks::<4>();
    let mut hash = blocks.iter().fold(0u32, |hash, block| {
        (hash ^ scramble(u32::from_le_bytes(*block))).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
    });
    let mut last = [0; 4];
    last[..tail.len()].copy_from_slice(tail);
    hash ^= scramble(u32::from_le_bytes(last)) ^ bytes.len() as u32;
    for (shift, factor) in [(16, 0x85eb_ca6b), (13, 0xc2b2_ae35)] {
        hash = (hash ^ (hash >> shift)).wrapping_mul(factor);
    }
    hash ^ (hash >> 16)
}

/// Decides a click.
pub fn decide(agreements: &[Agreement], defaults: &[PairDefault], click: &Click) -> Answer {
    let Some(platform) = click.platform.map(PlatformId) else { return (Reason::NoAgreement, None) };
    let marketplace = MarketplaceId(click.marketplace);
    let of_pair = agreements.iter().filter(|one| one.platform == platform && one.marketplaces.contains(&marketplace));
    let of_pair: Vec<_> = of_pair.map(|agreement| (agreement, ask(agreement, click))).collect();
    let rank =
        |agreement: &Agreement| (agreement.priority, agreement.when.count(), agreement.from, agreement.id.clone());
    let winner = |effect: Effect| {
        let fitting =
            of_pair.iter().filter(|(one, asked)| one.effect == effect && asked.iter().all(|(_, holds)| *holds));
        fitting.map(|(agreement, _)| *agreement).max_by_key(|agreement| rank(agreement))
    };
    if let Some(deny) = winner(Effect::Deny) {
        return (Reason::DeniedByAgreement, Some(deny.id.clone()));
    }
    if let Some(allow) = winner(Effect::Allow) {
        return (Reason::Allowed, Some(allow.id.clone()));
    }
    let default = defaults.iter().find(|one| one.platform == platform && one.marketplace == marketplace);
    if default.is_some_and(|default| default.outcome == Effect::Allow) {
        return (Reason::AllowedByDefault, None);
    }
    // The nearest: fewest failed, then failed last, then the nearest window; of several, the one that would win.
    let nearest = of_pair.iter().filter(|(one, _)| one.effect == Effect::Allow).min_by_key(|(agreement, asked)| {
        let failed = asked.iter().filter(|(_, holds)| !holds).count();
        let first = asked.iter().position(|(_, holds)| !holds);
        let (at, from, until) = (click.at.micros(), agreement.from.micros(), agreement.until.micros());
        let away = match first {
            Some(1) if at < from => i128::from(from) - i128::from(at),
            Some(1) => i128::from(at) - i128::from(until),
            _ => 0,
        };
        (failed, std::cmp::Reverse(first), away, std::cmp::Reverse(rank(agreement)))
    });
    nearest.map_or((Reason::NoAgreement, None), |(agreement, asked)| {
        let reason = asked.iter().find(|(_, holds)| !holds).map(|(reason, _)| *reason);
        (reason.expect("it did not match"), Some(agreement.id.clone()))
    })
}
