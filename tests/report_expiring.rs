//! Which links stop working when: over the shipped history and the real binary, over the API by role, and against a naive
//! look at every instant for random policies and links.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod control_support;
mod support;

use std::collections::BTreeSet;
use std::sync::Arc;

use hopgate::config::marketplaces;
use hopgate::control::keys::Role;
use hopgate::domain::alternates::Alternate;
use hopgate::domain::code::Code;
use hopgate::domain::link::{Fact, Link, LinkState, Placement, facts_text};
use hopgate::domain::policy::{
    Agreement, Conditions, Effect, Facts, PolicySet, Rollout, Step, StickTo, Version, decide,
};
use hopgate::domain::time::Timestamp;
use hopgate::domain::vocabulary::{LandingMode, LinkKind, MarketplaceId, PlatformId, ShopType, Surface, Vocabulary};
use hopgate::report::fates::{Judge, Verdict};
use serde_json::{Value, json};
use support::{Dice, JD, Place, shipped};

const TMALL: &str = "https://detail.tmall.com/item.htm?id=600000000001";

/// Seven links: three that end with JD's Double 11, one with Tmall's, two that do not work, one that expires.
fn place() -> Place {
    let place = Place::new("");
    let settings = format!("[server]\ndata_dir = \"data\"\n[policies]\ndir = {:?}\n", shipped().to_str().unwrap());
    std::fs::write(place.path("hopgate.toml"), settings).unwrap();
    let jd = |code: &str, creator: &str, more: Value| {
        let mut link = json!({"url": JD, "shop_type": "self_operated", "code": code, "creator": creator});
        link.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        link
    };
    let links = [
        jd(
            "jd-live",
            "c1",
            json!({"platform": "kuaishou", "surface": "live_cart",
            "alternates": [{"url": TMALL, "shop_type": "flagship"}]}),
        ),
        jd("jd-any", "c2", json!({})),
        jd("jd-ks", "c3", json!({"platform": "kuaishou"})),
        json!({"url": TMALL, "platform": "kuaishou", "surface": "live_cart", "shop_type": "flagship",
               "creator": "c2", "code": "tm-live"}),
        json!({"url": TMALL, "platform": "kuaishou", "surface": "live_cart", "shop_type": "c_store",
               "creator": "c2", "code": "tb-dead"}),
        jd("jd-note", "c9", json!({"platform": "xiaohongshu", "surface": "ad_note", "expires_at": "2090-01-01"})),
    ];
    std::fs::write(place.path("links.ndjson"), links.map(|link| link.to_string()).join("\n")).unwrap();
    let ran = place.run(&["link", "import", "links.ndjson"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    place
}

#[test]
fn a_report_for_people_for_sheets_and_for_programs() {
    let place = place();
    let report = |more: &[&str]| {
        let ran = place.run(&[&["report", "expiring", "--at", "2022-11-15", "--within", "60d"], more].concat());
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
        ran.out
    };
    let text = report(&[]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[1].contains("6 links looked at"), "{text}");
    let groups = [
        (
            "2022-12-01 00:00: ",
            "3 links of 3 creators",
            "agreement kuaishou-jd-double11-2022 ends；1 条转到备选 / 1 go on to an alternate",
        ),
        ("2023-01-01 00:00: ", "1 link of 1 creator", "agreement kuaishou-tmall-double11-2022 ends"),
    ];
    for (line, (when, who, why)) in lines[3..].iter().zip(groups) {
        assert!(line.starts_with(when) && line.contains(who) && line.ends_with(why), "{line}");
    }
    assert!(text.contains("2 links not working as it is (--include-dead)"), "{text}");
    assert!(!report(&["--summary"]).contains("jd-live"));

    let object: Value = serde_json::from_str(&report(&["--format", "json", "--include-dead"])).unwrap();
    let rows = object["rows"].as_array().unwrap();
    let codes: Vec<&str> = rows.iter().map(|row| row["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["jd-live", "jd-any", "jd-ks", "tm-live"], "by instant, then creator");
    let other = &rows[0]["then"];
    assert_eq!(
        (&other["outcome"], &other["alternate"], &other["marketplace"]),
        (&json!("allow"), &json!(1), &json!("tmall"))
    );
    assert!(text.contains("kuaishou live_cart → jd  改去 then tmall kuaishou-tmall-double11-2022"), "{text}");
    let any = &rows[1];
    assert_eq!((&any["until"], &any["cause"]), (&json!("2022-12-01T00:00:00+08:00"), &json!("window_ends")));
    assert_eq!((&any["surfaces"], &any["platform"]), (&json!(["live_cart"]), &json!("kuaishou")), "videos go on");
    assert_eq!((&any["then"]["outcome"], &any["then"]["reason"]), (&json!("deny"), &json!("window_ended")));
    assert_eq!((&object["looked_at"], &object["dead_links"]), (&json!(6), &json!(2)));
    let dead: Vec<(&str, &str)> = object["dead"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["code"].as_str().unwrap(), row["reason"].as_str().unwrap()))
        .collect();
    assert_eq!(dead, [("jd-note", "not_yet_open"), ("tb-dead", "shop_type_not_covered")]);
    assert_eq!(object["dead"][0]["works_again_at"], "2025-06-05T00:00:00+08:00");

    // A millisecond before the end it is still coming, at the end it is over.
    let ending = |at: &str| {
        let ran = place.run(&["report", "expiring", "--at", at, "--within", "1d", "--format", "csv"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.out.lines().count() - 1
    };
    assert_eq!((ending("2022-11-30 23:59:59.999"), ending("2022-12-01")), (3, 0));
    let csv = report(&["--format", "csv", "--creator", "c2", "--include-dead"]);
    let found: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert!(found.iter().all(|line| line.len() == 14), "{csv}");
    assert_eq!(
        found[1][..6],
        ["ending", "2022-12-01T00:00:00+08:00", "window_ends", "kuaishou-jd-double11-2022", "c2", "jd-any"]
    );
    assert_eq!((found[3][0], found[3][5], found.len()), ("dead", "tb-dead", 4));
    assert_eq!(report(&["--format", "csv", "--platform", "xiaohongshu"]).lines().count(), 1, "none ends there");

    // A link's own end comes before its agreement's.
    let ran = place.run(&["report", "expiring", "--at", "2089-12-31", "--format", "json"]);
    let own: Value = serde_json::from_str(&ran.out).unwrap();
    let row = own["rows"].as_array().unwrap().iter().find(|row| row["code"] == "jd-note").unwrap();
    assert_eq!((&row["cause"], &row["then"]["reason"]), (&json!("link_expires"), &json!("link_expired")));

    for (arguments, part) in [
        (&["--within", "soon"][..], "30d"),
        (&["--platform", "moon"], "kuaishou"),
        (&["--summary", "--format", "csv"], "rows only"),
    ] {
        let ran = place.run(&[&["report", "expiring"], arguments].concat());
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran:?}");
        assert!(ran.err.contains(part), "{}", ran.err);
    }
    let ran = place.run(&["report", "expiring", "--data-dir", "elsewhere"]);
    assert!(ran.code == 1 && ran.err.contains("--data-dir"), "{ran:?}");
}

#[tokio::test]
async fn the_api_pages_and_shows_everyone_their_own() {
    // The clock stands one millisecond before the end of JD's Double 11.
    let running = control_support::Running::start().await;
    let described: Value =
        serde_json::from_str(&running.admin("GET", "/openapi.json", &Value::Null).await.text).unwrap();
    for (code, creator, more) in [
        ("jd-one", "c1", json!({"platform": "kuaishou", "surface": "live_cart"})),
        ("jd-two", "c2", json!({"platform": "kuaishou", "surface": "live_cart"})),
        ("jd-any", "c2", json!({})),
        ("jd-off", "c2", json!({"platform": "douyin", "surface": "live_cart"})),
    ] {
        let mut body = json!({"url": JD, "shop_type": "self_operated", "slug": code, "creator": creator});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(running.admin("POST", "/v1/links", &body).await.status, 201);
    }
    let get = async |key: &str, query: &str| {
        let answer = running.call(key, "GET", &format!("/v1/reports/expiring{query}"), &Value::Null).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let schema = json!({"$ref": "#/components/schemas/ExpiringReport"});
        control_support::fits(&described, &schema, &answer.json(), query);
        answer.json()
    };
    let codes = |page: &Value| {
        page["rows"].as_array().unwrap().iter().map(|row| row["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let admin = running.admin.clone();
    let all = get(&admin, "?include_dead=true").await;
    assert_eq!(codes(&all), ["jd-any", "jd-one", "jd-two"]);
    assert_eq!((&all["dead"][0]["code"], &all["next_cursor"]), (&json!("jd-off"), &Value::Null));
    assert_eq!(all["rows"][0]["until"], "2022-12-01T00:00:00+08:00");

    let (mut paged, mut query) = (Vec::new(), "?limit=1".to_owned());
    loop {
        let page = get(&admin, &query).await;
        assert!(page["rows"].as_array().unwrap().len() <= 1);
        paged.extend(codes(&page));
        match page["next_cursor"].as_str() {
            Some(cursor) => query = format!("?limit=1&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(paged, codes(&all));

    let summary = get(&admin, "?summary=true&within=12h").await;
    let expected = json!([{"until": "2022-12-01T00:00:00+08:00", "cause": "window_ends",
        "agreement": "kuaishou-jd-double11-2022", "links": 3, "land_elsewhere": 0, "creators": 2}]);
    assert_eq!((&summary["summary"], &summary["dead_links"]), (&expected, &json!(1)));

    let (creator, _) = running.key(Role::Creator, Some("c2")).await;
    assert_eq!(codes(&get(&creator, "").await), ["jd-any", "jd-two"]);
    let other = running.call(&creator, "GET", "/v1/reports/expiring?creator=c1", &Value::Null).await;
    assert_eq!(other.status, 403, "{}", other.text);
    let (platform, _) = running.key(Role::Platform, Some("kuaishou")).await;
    assert_eq!(codes(&get(&platform, "").await), ["jd-one", "jd-two"], "those bound to it");
    let (merchant, _) = running.key(Role::Merchant, None).await;
    assert_eq!(running.call(&merchant, "GET", "/v1/reports/expiring", &Value::Null).await.status, 403);
    let bad = running.call(&admin, "GET", "/v1/reports/expiring?within=x&limit=0", &Value::Null).await;
    assert_eq!((bad.status, bad.faults().len()), (422, 2));
}

fn hour(number: u64) -> Timestamp {
    Timestamp::from_millis(number as i64 * 3_600_000)
}

fn some(dice: &mut Dice, names: &[&str]) -> Vec<Box<str>> {
    if dice.roll(4) > 0 { Vec::new() } else { vec![names[dice.roll(names.len() as u64) as usize].into()] }
}

const CREATORS: [&str; 3] = ["c1", "c2", "c3"];
const CATEGORIES: [&str; 2] = ["phones", "books"];
const MARKETPLACES: [MarketplaceId; 2] = [MarketplaceId::JD, MarketplaceId::TMALL];

fn agreement(dice: &mut Dice, number: usize) -> Agreement {
    let from = dice.roll(40);
    let by = [StickTo::Creator, StickTo::Shop, StickTo::Link, StickTo::Visitor][dice.roll(4) as usize];
    let rollout = (dice.roll(3) == 0).then(|| Rollout {
        by,
        salt: format!("salt-{number}").into(),
        steps: vec![
            Step { at: hour(from), basis_points: 3_000 },
            Step { at: hour(from + 3), basis_points: 6_000 },
            Step { at: hour(from + 5), basis_points: 10_000 },
        ],
    });
    Agreement {
        id: format!("a-{number}").into(),
        title: "t".into(),
        platform: PlatformId(dice.roll(2) as u8),
        marketplaces: vec![MARKETPLACES[dice.roll(2) as usize]],
        effect: if dice.roll(6) == 0 { Effect::Deny } else { Effect::Allow },
        from: hour(from),
        until: if dice.roll(5) == 0 { Timestamp::MAX } else { hour(from + 1 + dice.roll(30)) },
        when: Conditions {
            surfaces: if dice.roll(2) == 0 { vec![Surface::Note, Surface::LiveCart] } else { Vec::new() },
            categories: some(dice, &CATEGORIES),
            creators: some(dice, &CREATORS),
            items: some(dice, &["100012043978", "600000000001"]),
            requires: some(dice, &["xingtu_order"]),
            ..Conditions::default()
        },
        rollout,
        landing: LandingMode::App,
        attribution: None,
        priority: 0,
        evidence: "".into(),
    }
}

fn alternate(dice: &mut Dice) -> Alternate {
    let landing = marketplaces::shipped().markets().recognise([JD, TMALL][dice.roll(2) as usize]).unwrap();
    let category = CATEGORIES.get(dice.roll(3) as usize).map(|name| (*name).into());
    Alternate { landing, shop_type: ShopType::Unknown, category }
}

fn link(dice: &mut Dice, number: usize) -> Link {
    let pick =
        |dice: &mut Dice, names: &[&str]| names.get(dice.roll(names.len() as u64 + 1) as usize).map(|n| (*n).into());
    Link {
        code: Code::parse(&format!("link{number:05}")).unwrap(),
        landing: marketplaces::shipped().markets().recognise([JD, TMALL][dice.roll(2) as usize]).unwrap(),
        alternates: (0..dice.roll(3)).map(|_| alternate(dice)).collect(),
        shop_type: ShopType::Unknown,
        category: pick(dice, &CATEGORIES),
        creator: pick(dice, &CREATORS),
        placement: Placement {
            platform: [None, Some(PlatformId(0)), Some(PlatformId(1))][dice.roll(3) as usize],
            surface: [None, Some(Surface::Note), Some(Surface::Chat)][dice.roll(3) as usize],
        },
        facts: if dice.roll(2) == 0 { vec![Fact { name: "xingtu_order".into(), carried: true }] } else { Vec::new() },
        tags: Vec::new(),
        expires_at: (dice.roll(4) == 0).then(|| hour(5 + dice.roll(50))),
        share_code: None,
        state: if dice.roll(10) == 0 { LinkState::Disabled } else { LinkState::Active },
        created_at: hour(0),
        revision: 1,
    }
}

/// What a naive look finds: every hour decided, every spot by itself.
fn naive(policy: &PolicySet, words: &Vocabulary, link: &Link, at: u64, until: u64) -> Option<BTreeSet<String>> {
    let carried = facts_text(&link.facts);
    let platforms = 0..words.platforms().len() as u8;
    let surfaces = Surface::ALL.iter().copied().map(Some).chain([None]);
    let (mut works, mut stops) = (false, BTreeSet::new());
    for platform in platforms.filter(|id| link.placement.platform.is_none_or(|bound| bound.0 == *id)) {
        for surface in surfaces.clone().filter(|one| link.placement.surface.is_none_or(|bound| Some(bound) == *one)) {
            let allowed = |landing: usize, number: u64| {
                let (target, category) = match landing.checked_sub(1) {
                    None => (&link.landing, &link.category),
                    Some(place) => (&link.alternates[place].landing, &link.alternates[place].category),
                };
                let facts = Facts {
                    platform: Some(PlatformId(platform)),
                    surface,
                    marketplace: target.marketplace,
                    shop_type: ShopType::Unknown,
                    link_kind: LinkKind::Item,
                    category: category.as_deref().unwrap_or_default(),
                    creator: link.creator.as_deref().unwrap_or_default(),
                    shop: target.shop.as_deref().unwrap_or_default(),
                    item: target.item.as_deref().unwrap_or_default(),
                    carried: &carried,
                    link: link.code.as_str(),
                    visitor: 0,
                };
                link.state == LinkState::Active
                    && link.expires_at.is_none_or(|end| hour(number) < end)
                    && decide(policy, &facts, hour(number)).is_allow()
            };
            let taken = |number: u64| (0..=link.alternates.len()).find(|landing| allowed(*landing, number));
            if taken(at).is_none() {
                continue;
            }
            works = true;
            // The first hour at which the landing taken the hour before is refused.
            let lost = |number: &u64| taken(*number - 1).is_some_and(|landing| !allowed(landing, *number));
            if let Some(end) = (at + 1..=until).find(lost) {
                let then = taken(end);
                let again = if then.is_none() { (end..120).find(|number| taken(*number).is_some()) } else { None };
                let name = surface.map_or("unknown", Surface::as_str);
                let platform = words.platform_name(PlatformId(platform));
                stops.insert(format!("{platform}/{name} {} then {then:?} again {:?}", hour(end), again.map(hour)));
            }
        }
    }
    works.then_some(stops)
}

#[test]
fn remembered_verdicts_agree_with_a_look_at_every_hour() {
    let words = Arc::new(Vocabulary::default());
    let (mut dice, mut stopping, mut dead) = (Dice(11), 0, 0);
    for round in 0..25u64 {
        let agreements = (0..24).map(|number| agreement(&mut dice, number)).collect();
        let policy = Arc::new(PolicySet::compile(Version([1; 32]), agreements, &[]));
        let (at, until) = (round % 30, round % 30 + 20);
        let mut judge = Judge::new(Arc::clone(&policy), Arc::clone(&words), hour(at), hour(until), None);
        for number in 0..60 {
            let link = link(&mut dice, number);
            let found = match judge.verdict(&link).unwrap() {
                Verdict::Dead(_) => None,
                Verdict::Works(stops) => Some(
                    stops
                        .iter()
                        .flat_map(|stop| {
                            let platform = stop.platform.clone().unwrap();
                            let (then, again) = (stop.then.alternate, stop.then.works_again_at);
                            let each = stop.surfaces.iter();
                            each.map(move |name| {
                                format!("{platform}/{name} {} then {then:?} again {again:?}", stop.until)
                            })
                        })
                        .collect::<BTreeSet<_>>(),
                ),
            };
            stopping += usize::from(found.as_ref().is_some_and(|stops| !stops.is_empty()));
            dead += usize::from(found.is_none());
            assert_eq!(found, naive(&policy, &words, &link, at, until), "round {round}: {link:#?}");
        }
    }
    assert!(stopping > 200 && dead > 100, "{stopping} stopping and {dead} dead links are too few to mean anything");
}

#[test]
fn a_short_link_that_dies_is_an_ending_of_its_own() {
    let words = Arc::new(Vocabulary::default());
    let mut dice = Dice(3);
    let allow = |marketplace: MarketplaceId, until: Timestamp| Agreement {
        id: format!("allow-{}", marketplace.0).into(),
        platform: PlatformId(0),
        marketplaces: vec![marketplace],
        effect: Effect::Allow,
        from: hour(0),
        until,
        when: Conditions::default(),
        rollout: None,
        ..agreement(&mut Dice(1), 0)
    };
    let mut union = link(&mut dice, 1);
    union.landing = marketplaces::shipped().markets().recognise("https://u.jd.com/AbCdEf").unwrap();
    (union.alternates, union.expires_at, union.state) = (Vec::new(), None, LinkState::Active);
    union.placement = Placement { platform: Some(PlatformId(0)), surface: Some(Surface::Note) };
    let day = |number: u64| hour(24 * number);
    // What a look from one day to another finds to stop, and why.
    let stops = |link: &Link, agreements: Vec<Agreement>, from: u64, until: u64| {
        let policy = Arc::new(PolicySet::compile(Version([1; 32]), agreements, &[]));
        match Judge::new(policy, Arc::clone(&words), day(from), day(until), None).verdict(link).unwrap() {
            Verdict::Works(stops) => stops.iter().map(|stop| (stop.until, stop.cause.as_str())).collect::<Vec<_>>(),
            Verdict::Dead(dead) => panic!("{dead:?}"),
        }
    };
    let jd = || vec![allow(MarketplaceId::JD, Timestamp::MAX)];
    let dies = vec![(day(60), "short_link_dies")];
    assert_eq!(stops(&union, jd(), 1, 59), []);
    assert_eq!(stops(&union, jd(), 1, 60), dies);
    assert_eq!(stops(&union, jd(), 61, 70), dies, "stored 61 days ago: it has died");
    assert_eq!(
        stops(&union, vec![allow(MarketplaceId::JD, day(30))], 1, 90),
        [(day(30), "window_ends")],
        "that is sooner"
    );
    union.expires_at = Some(day(50));
    assert_eq!(stops(&union, jd(), 1, 90), [(day(50), "link_expires")]);
    union.expires_at = Some(day(80));
    assert_eq!(stops(&union, jd(), 1, 90), dies);
    union.expires_at = None;
    // Where an alternate is taken, the short link's death changes nothing.
    let landing = marketplaces::shipped().markets().recognise(TMALL).unwrap();
    union.alternates = vec![Alternate { landing, shop_type: ShopType::Unknown, category: None }];
    assert_eq!(stops(&union, vec![allow(MarketplaceId::TMALL, Timestamp::MAX)], 1, 90), []);
}
