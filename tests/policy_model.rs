//! The compiled policy against an independent slow evaluator written straight from the rules: the same outcome, reason
//! and agreement for every click. `HOPGATE_MODEL_CASES` sets the number of random sets (each is asked 40 times).
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use hopgate::domain::policy::{
    Agreement, Conditions, Decision, Effect, Facts, PairDefault, PolicySet, Reason, Rollout, Step, StickTo, Version,
    decide, rollout, valid_until,
};
use hopgate::domain::time::Timestamp;
use hopgate::domain::vocabulary::{LandingMode, LinkKind, MarketplaceId, PlatformId, ShopType, Surface};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

const SURFACES: [Surface; 3] = [Surface::LiveCart, Surface::Note, Surface::Comment];
const SHOPS: [ShopType; 3] = [ShopType::Flagship, ShopType::CStore, ShopType::Pop];
const KINDS: [LinkKind; 3] = [LinkKind::Item, LinkKind::Alliance, LinkKind::Shop];
const WORDS: [&str; 3] = ["red", "blue", "green"];

fn texts() -> impl Strategy<Value = Vec<Box<str>>> {
    prop_oneof![3 => Just(vec![]), 1 => subsequence(WORDS.map(Box::<str>::from).to_vec(), 1..=2)]
}

fn some_of<T: Clone + std::fmt::Debug + 'static>(all: [T; 3]) -> impl Strategy<Value = Vec<T>> {
    prop_oneof![1 => Just(vec![]), 1 => subsequence(all.to_vec(), 1..=2)]
}

fn conditions() -> impl Strategy<Value = Conditions> {
    (some_of(SURFACES), some_of(SHOPS), some_of(KINDS), texts(), texts(), texts(), texts(), texts()).prop_map(
        |(surfaces, shop_types, link_kinds, categories, creators, shops, items, requires)| Conditions {
            surfaces,
            shop_types,
            link_kinds,
            categories,
            creators,
            shops,
            items,
            requires,
        },
    )
}

/// Instants are small numbers, so that clicks fall on boundaries often.
fn at(tick: i64) -> Timestamp {
    Timestamp::from_micros(tick)
}

prop_compose! {
    fn agreement()(
        platform in 0u8..2,
        marketplaces in subsequence(vec![0u8, 1], 1..=2),
        deny in prop::bool::weighted(0.2),
        from in 0i64..20,
        length in prop::option::of(1i64..15),
        when in conditions(),
        rollout in prop::option::weighted(0.3, (0usize..4, prop_oneof![0u16..10_000, Just(10_000)], 0i64..5)),
        priority in 0i32..2,
    ) -> Agreement {
        let until = length.map_or(Timestamp::MAX, |length| at(from + length));
        Agreement {
            id: "".into(),
            title: "".into(),
            platform: PlatformId(platform),
            marketplaces: marketplaces.into_iter().map(MarketplaceId).collect(),
            effect: if deny { Effect::Deny } else { Effect::Allow },
            from: at(from),
            until,
            when,
            rollout: rollout.map(|(by, share, later)| Rollout {
                by: [StickTo::Creator, StickTo::Shop, StickTo::Link, StickTo::Visitor][by],
                salt: "".into(),
                steps: vec![
                    Step { at: at(from), basis_points: share / 2 },
                    Step { at: at(from + later + 1), basis_points: share },
                ],
            }),
            landing: LandingMode::App,
            attribution: None,
            priority,
            evidence: "".into(),
        }
    }
}

#[derive(Clone, Debug)]
struct Click {
    platform: Option<u8>,
    marketplace: u8,
    surface: Option<Surface>,
    shop_type: ShopType,
    link_kind: LinkKind,
    texts: [&'static str; 5],
    visitor: u128,
    carried: &'static str,
    at: i64,
}

prop_compose! {
    fn click()(
        platform in prop_oneof![9 => (0u8..3).prop_map(Some), 1 => Just(None)],
        marketplace in 0u8..3,
        surface in prop_oneof![5 => select(SURFACES.to_vec()).prop_map(Some), 1 => Just(None)],
        shop_type in select(vec![ShopType::Flagship, ShopType::CStore, ShopType::Pop, ShopType::Unknown]),
        link_kind in select(vec![LinkKind::Item, LinkKind::Alliance, LinkKind::Shop, LinkKind::Unknown]),
        texts in prop::array::uniform5(select(vec!["red", "blue", "green", "black", ""])),
        visitor in 0u128..4,
        carried in select(vec!["", "red", "!red", "blue red", "!blue green", "black"]),
        at in -1i64..40,
    ) -> Click {
        Click { platform, marketplace, surface, shop_type, link_kind, texts, visitor, carried, at }
    }
}

impl Click {
    fn facts(&self) -> Facts<'_> {
        Facts {
            platform: self.platform.map(PlatformId),
            surface: self.surface,
            marketplace: MarketplaceId(self.marketplace),
            shop_type: self.shop_type,
            link_kind: self.link_kind,
            category: self.texts[0],
            creator: self.texts[1],
            shop: self.texts[2],
            item: self.texts[3],
            carried: self.carried,
            link: self.texts[4],
            visitor: self.visitor,
        }
    }
}

/// The slow evaluator: each condition of an agreement, in the order of asking, as (reason if it fails, holds).
fn ask(agreement: &Agreement, click: &Click) -> Vec<(Reason, bool)> {
    let deny = agreement.effect == Effect::Deny;
    let known = |is_known: bool, is_listed: bool, any: bool| any || (is_known && is_listed) || (!is_known && deny);
    let when = &agreement.when;
    let text = |wanted: &Vec<Box<str>>, found: &str| {
        known(!found.is_empty(), wanted.iter().any(|w| &**w == found), wanted.is_empty())
    };
    let instant = at(click.at);
    let window = if instant < agreement.from { Reason::NotYetOpen } else { Reason::WindowEnded };
    let requirement = when.requires.iter().all(|name| {
        let words: Vec<&str> = click.carried.split(' ').collect();
        if words.contains(&&**name) {
            true
        } else if words.contains(&&*format!("!{name}")) {
            false
        } else {
            deny
        }
    });
    let in_window = agreement.from <= instant && instant < agreement.until;
    let rollout = match &agreement.rollout {
        None => true,
        Some(_) if !in_window => true,
        Some(rollout) => {
            let visitor = if click.visitor == 0 { String::new() } else { format!("{:032x}", click.visitor) };
            let id = match rollout.by {
                StickTo::Creator => click.texts[1],
                StickTo::Shop => click.texts[2],
                StickTo::Link => click.texts[4],
                StickTo::Visitor => &visitor,
            };
            let mut share = 0;
            for step in &rollout.steps {
                if step.at <= instant {
                    share = step.basis_points;
                }
            }
            if !id.is_empty() {
                rollout::bucket(&rollout.salt, id) < share
            } else if deny {
                share > 0
            } else {
                share == 10_000
            }
        }
    };
    vec![
        (
            Reason::SurfaceNotCovered,
            known(
                click.surface.is_some(),
                click.surface.is_some_and(|s| when.surfaces.contains(&s)),
                when.surfaces.is_empty(),
            ),
        ),
        (window, in_window),
        (
            Reason::LinkKindNotCovered,
            known(
                click.link_kind != LinkKind::Unknown,
                when.link_kinds.contains(&click.link_kind),
                when.link_kinds.is_empty(),
            ),
        ),
        (
            Reason::ShopTypeNotCovered,
            known(
                click.shop_type != ShopType::Unknown,
                when.shop_types.contains(&click.shop_type),
                when.shop_types.is_empty(),
            ),
        ),
        (Reason::CategoryNotCovered, text(&when.categories, click.texts[0])),
        (Reason::CreatorNotCovered, text(&when.creators, click.texts[1])),
        (Reason::CreatorNotCovered, text(&when.shops, click.texts[2])),
        (Reason::CreatorNotCovered, text(&when.items, click.texts[3])),
        (Reason::RequirementMissing, requirement),
        (Reason::NotInRollout, rollout),
    ]
}

fn model(agreements: &[Agreement], default_allow: bool, click: &Click) -> (Reason, Option<Box<str>>) {
    let of_pair: Vec<&Agreement> = agreements
        .iter()
        .filter(|a| Some(a.platform.0) == click.platform && a.marketplaces.contains(&MarketplaceId(click.marketplace)))
        .collect();
    let rank = |a: &&Agreement| (a.priority, a.when.count(), a.from, a.id.clone());
    let matching = |effect: Effect| {
        let all_hold = |a: &&&Agreement| a.effect == effect && ask(a, click).iter().all(|(_, holds)| *holds);
        of_pair.iter().copied().filter(|a| all_hold(&a)).max_by_key(rank)
    };
    if let Some(deny) = matching(Effect::Deny) {
        return (Reason::DeniedByAgreement, Some(deny.id.clone()));
    }
    if let Some(allow) = matching(Effect::Allow) {
        return (Reason::Allowed, Some(allow.id.clone()));
    }
    if default_allow && click.platform == Some(0) && click.marketplace == 0 {
        return (Reason::AllowedByDefault, None);
    }
    let mut best: Option<(usize, i64, i64, &Agreement, Reason)> = None;
    let mut ranked: Vec<&Agreement> = of_pair.iter().copied().filter(|a| a.effect == Effect::Allow).collect();
    ranked.sort_by_key(rank);
    for allow in ranked.into_iter().rev() {
        let asked = ask(allow, click);
        let failed = asked.iter().filter(|(_, holds)| !holds).count();
        let place = asked.iter().position(|(_, holds)| !holds).expect("it did not match");
        let away = match asked[place].0 {
            Reason::NotYetOpen => allow.from.micros() - click.at,
            Reason::WindowEnded => click.at - allow.until.micros(),
            _ => 0,
        };
        let key = (failed, -(place as i64), away);
        if best.as_ref().is_none_or(|b| key < (b.0, b.1, b.2)) {
            best = Some((key.0, key.1, key.2, allow, asked[place].0));
        }
    }
    best.map_or((Reason::NoAgreement, None), |(.., allow, reason)| (reason, Some(allow.id.clone())))
}

fn cases() -> u32 {
    std::env::var("HOPGATE_MODEL_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(1_500)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn the_compiled_policy_decides_as_the_rules_say(
        agreements in prop::collection::vec(agreement(), 0..90),
        default_allow in any::<bool>(),
        clicks in prop::collection::vec(click(), 40),
    ) {
        let mut agreements = agreements;
        for (place, agreement) in agreements.iter_mut().enumerate() {
            agreement.id = format!("rule-{place:02}").into();
            if let Some(rollout) = &mut agreement.rollout {
                rollout.salt = agreement.id.clone();
            }
        }
        let outcome = if default_allow { Effect::Allow } else { Effect::Deny };
        let default = PairDefault { platform: PlatformId(0), marketplace: MarketplaceId(0), outcome };
        let policy = PolicySet::compile(Version([0; 32]), agreements.clone(), &[default]);
        for click in &clicks {
            let decision = decide(&policy, &click.facts(), at(click.at));
            let found = (decision.reason(), decision.agreement().map(|a| a.id.clone()));
            prop_assert_eq!(found, model(&agreements, default_allow, click), "{:?}", click);

            // Until `valid_until` nothing changes, and there something does.
            let until = valid_until(&policy, &click.facts(), at(click.at));
            let same = |then: &Decision<'_>| then.is_allow() == decision.is_allow()
                && (!then.is_allow() || then.agreement() == decision.agreement());
            for tick in click.at..until.map_or(45, |until| until.micros()) {
                prop_assert!(same(&decide(&policy, &click.facts(), at(tick))), "changed before {until:?} at {tick}");
            }
            if let Some(until) = until {
                prop_assert!(!same(&decide(&policy, &click.facts(), until)), "nothing changes at {until}");
            }
        }
    }
}
