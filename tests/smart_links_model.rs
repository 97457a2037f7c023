//! Smart links against a naive loop: random links with up to eight alternates, tapped over real sockets on both sides of
//! every turn of the shipped history. Then an audit: every landing a hop speaks of is decided again from the hop alone.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use hopgate::app::DataDir;
use hopgate::config::landing::MatrixFile;
use hopgate::config::marketplaces::shipped;
use hopgate::domain::alternates::{Alternate, AlternateView};
use hopgate::domain::hop::Hop;
use hopgate::domain::policy::{Decision, Facts, PolicySet, choice_until, decide};
use hopgate::domain::time::Timestamp;
use hopgate::domain::vocabulary::{ShopType, Vocabulary};
use hopgate::journal::read::{Entry, Reader};
use support::{Client, Dice, Gateway, at};

const LINKS: usize = 120;
const PLACES: [&str; 5] = [
    "kuaishou/live_cart",
    "kuaishou/short_video_cart",
    "kuaishou/shop_page",
    "xiaohongshu/ad_note",
    "xiaohongshu/note",
];
const LANDINGS: [&str; 9] = [
    "https://item.jd.com/100012043978.html",
    "https://union-click.jd.com/jdc?e=618%7Cpc%7C&p=JF8BAMIJK1olXg8EUVVVCkkQA18IGlsWWAUDV1xcCU8nFw",
    "https://mall.jd.com/index-1000004123.html",
    "https://detail.tmall.com/item.htm?id=610947572360",
    "https://detail.tmall.com/item.htm?id=610947572361&skuId=4344210834141",
    "https://item.taobao.com/item.htm?id=41879347901",
    "https://item.taobao.com/item.htm?id=41879347901&ali_trackid=2:mm_1_2_3:1700",
    "https://3.cn/2-abcdef",
    "https://item.jd.com/100012043979.html",
];

/// What the test knows of one landing.
struct Known {
    url: &'static str,
    shop_type: ShopType,
    category: Option<Box<str>>,
}

fn draw(dice: &mut Dice) -> Vec<Known> {
    let mut left: Vec<&str> = LANDINGS.to_vec();
    let count = 1 + dice.roll(left.len() as u64) as usize;
    (0..count)
        .map(|_| Known {
            url: left.swap_remove(dice.roll(left.len() as u64) as usize),
            shop_type: ShopType::ALL[dice.roll(ShopType::ALL.len() as u64) as usize],
            category: [None, Some("health".into()), Some("appliances".into())][dice.roll(3) as usize].clone(),
        })
        .collect()
}

/// The facts of one landing at a click, put together without any code of the click path.
fn facts<'a>(
    words: &Vocabulary,
    place: &str,
    known: &'a Known,
    creator: &'a str,
    code: &'a str,
    ids: &'a Ids,
) -> Facts<'a> {
    let (platform, surface) = place.split_once('/').unwrap();
    let landing = shipped().markets().recognise(known.url).unwrap();
    Facts {
        platform: words.platform(platform),
        surface: hopgate::domain::vocabulary::Surface::parse(surface),
        marketplace: landing.marketplace,
        shop_type: known.shop_type,
        link_kind: landing.link_kind,
        category: known.category.as_deref().unwrap_or_default(),
        creator,
        shop: &ids.shop,
        item: &ids.item,
        carried: "",
        link: code,
        visitor: 0,
    }
}

struct Ids {
    item: String,
    shop: String,
}

fn ids(known: &Known) -> Ids {
    let landing = shipped().markets().recognise(known.url).unwrap();
    let text = |text: Option<Box<str>>| text.map(String::from).unwrap_or_default();
    Ids { item: text(landing.item), shop: text(landing.shop) }
}

/// Every landing a hop speaks of: which, its facts, and the reason, agreement and bucket recorded for it.
type Spoken<'a> = (u8, Facts<'a>, (&'a str, &'a str, Option<u16>));

fn spoken<'a>(hop: &Hop<'a>, words: &Vocabulary) -> Vec<Spoken<'a>> {
    let own = Facts {
        platform: words.platform(hop.platform),
        surface: hop.surface,
        marketplace: words.marketplace(hop.marketplace).unwrap(),
        shop_type: hop.shop_type,
        link_kind: hop.link_kind,
        category: hop.category,
        creator: hop.creator,
        shop: hop.shop,
        item: hop.item,
        carried: hop.facts,
        link: hop.code,
        visitor: hop.visitor,
    };
    let taken = (hop.alternate, own, (hop.reason.as_str(), hop.agreement, hop.bucket));
    let fallen = hop.tried.iter().map(|fallen| {
        let facts = Facts {
            marketplace: words.marketplace(fallen.marketplace).unwrap(),
            shop_type: fallen.shop_type,
            link_kind: fallen.link_kind,
            category: fallen.category,
            shop: fallen.shop,
            item: fallen.item,
            ..own
        };
        (fallen.alternate, facts, (fallen.reason.as_str(), fallen.agreement, fallen.bucket))
    });
    std::iter::once(taken).chain(fallen).collect()
}

fn recorded<'p>(decision: &Decision<'p>) -> (&'static str, &'p str, Option<u16>) {
    (decision.reason().as_str(), decision.agreement().map_or("", |agreement| &agreement.id), decision.bucket())
}

fn view<'a>(facts: &Facts<'a>) -> AlternateView<'a> {
    AlternateView {
        marketplace: facts.marketplace,
        shop_type: facts.shop_type,
        link_kind: facts.link_kind,
        category: facts.category,
        item: facts.item,
        shop: facts.shop,
        url: "",
    }
}

/// The naive loop: the first landing that is allowed, and the reason of the first where none is.
fn naive<'p>(policy: &'p PolicySet, all: &[Facts<'_>], at: Timestamp) -> (usize, Decision<'p>) {
    for (place, facts) in all.iter().enumerate() {
        let decision = decide(policy, facts, at);
        if decision.is_allow() {
            return (place, decision);
        }
    }
    (0, decide(policy, &all[0], at))
}

#[test]
fn every_click_lands_where_the_naive_loop_says_and_can_be_decided_again() {
    let seed = std::env::var("HOPGATE_SEED").map_or(20_221_111, |text| text.parse().unwrap());
    println!("HOPGATE_SEED={seed}");
    let mut dice = Dice(seed);
    // Which landing is asked about here, not by which way: everybody is redirected to it.
    let mut gateway = Gateway::start_with("2018-01-01", |settings| {
        let path = settings.data_dir.with_file_name("landing.toml");
        std::fs::write(&path, "").unwrap();
        settings.landing = MatrixFile { path, named: true };
    });
    let words = Vocabulary::default();
    let policy = gateway.app().gateway().policies.current();

    let links: Vec<_> = (0..LINKS)
        .map(|number| {
            let (place, landings) = (PLACES[dice.roll(5) as usize], draw(&mut dice));
            let creator = format!("creator-{}", number % 17);
            let code = gateway.link_with(landings[0].url, place, landings[0].shop_type.as_str(), |link| {
                link.creator = Some(creator.as_str().into());
                link.category = landings[0].category.clone();
                let alternate = |known: &Known| Alternate {
                    landing: shipped().markets().recognise(known.url).unwrap(),
                    shop_type: known.shop_type,
                    category: known.category.clone(),
                };
                link.alternates = landings[1..].iter().map(alternate).collect();
            });
            (code, place, creator, landings)
        })
        .collect();

    let mut instants = vec![at("2018-01-01")];
    while let Some(next) = policy.next_boundary(*instants.last().unwrap()) {
        instants.extend([next.plus_micros(-1_000), next]);
    }
    let mut client = Client::connect(gateway.click_address());
    let (mut taken, mut refused, mut last) = ([0u32; 9], 0, std::collections::HashMap::new());
    for instant in &instants {
        gateway.clock.set(*instant);
        for (code, place, creator, landings) in &links {
            let ids: Vec<Ids> = landings.iter().map(ids).collect();
            let all: Vec<Facts<'_>> =
                landings.iter().zip(&ids).map(|(known, ids)| facts(&words, place, known, creator, code, ids)).collect();
            let (expected, decision) = naive(&policy, &all, *instant);
            let answer = client.get(&format!("/{code}"));
            if decision.is_allow() {
                assert_eq!(
                    (answer.status, answer.header("location")),
                    (302, landings[expected].url),
                    "{code} {instant}"
                );
                taken[expected] += 1;
            } else {
                assert_eq!(answer.status, 403, "{code} {instant}");
                refused += 1;
            }
            last.insert((code.clone(), *instant), (expected as u8, decision.is_allow(), landings.len()));
        }
    }
    println!("taken {taken:?}, refused {refused}, of {} clicks", links.len() * instants.len());
    assert!(taken[0] > 100 && taken[1] > 50 && taken[2] > 0 && refused > 100, "the links are too alike");

    // Until when an answer holds, against looking at every later turn.
    let turns: Vec<Timestamp> = instants.iter().skip(2).step_by(2).copied().collect();
    let mut ends = 0;
    for (code, place, creator, landings) in &links {
        let ids: Vec<Ids> = landings.iter().map(ids).collect();
        let all: Vec<Facts<'_>> =
            landings.iter().zip(&ids).map(|(known, ids)| facts(&words, place, known, creator, code, ids)).collect();
        let others: Vec<AlternateView<'_>> = all[1..].iter().map(view).collect();
        let taken = |at| {
            let (place, decision) = naive(&policy, &all, at);
            decision.is_allow().then(|| (place, decision.agreement().map(|agreement| agreement.id.clone())))
        };
        for instant in &instants {
            let expected = turns.iter().copied().find(|turn| turn > instant && taken(*turn) != taken(*instant));
            assert_eq!(choice_until(&policy, &all[0], &others, *instant), expected, "{code} at {instant}");
            ends += usize::from(expected.is_some());
        }
    }
    assert!(ends > 500, "{ends}");

    gateway.app.take().unwrap().stop().unwrap();
    let mut reader = Reader::open(&DataDir::new(&gateway.folder.path().join("data")).journal()).unwrap();
    let (mut hops, mut landings) = (0, 0);
    while let Some(entry) = reader.next().unwrap() {
        let Entry::Hop(_, hop) = entry else { continue };
        hops += 1;
        let (expected, allowed, of) = last[&(hop.code.to_owned(), hop.at)];
        assert_eq!(hop.alternate, expected);
        let fell: Vec<u8> = hop.tried.iter().map(|fallen| fallen.alternate).collect();
        let wanted: Vec<u8> = if allowed { (0..expected).collect() } else { (1..of as u8).collect() };
        assert_eq!(fell, wanted, "in order, and every one of them");
        for (alternate, facts, told) in spoken(&hop, &words) {
            landings += 1;
            let again = decide(&policy, &facts, hop.at);
            assert_eq!(recorded(&again), told, "landing {alternate} of {hop:?}");
            assert_eq!(again.is_allow(), allowed && alternate == hop.alternate);
        }
    }
    assert_eq!(hops, links.len() * instants.len());
    println!("{hops} hops, {landings} landings decided again");
}
