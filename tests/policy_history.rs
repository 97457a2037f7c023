//! The shipped cooperation history, answered as it happened: one millisecond before and at every boundary.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use hopgate::domain::policy::{Facts, PolicySet, Reason, decide, explain};
use hopgate::domain::time::Timestamp;
use hopgate::domain::vocabulary::{LandingMode, LinkKind, ShopType, Surface, Vocabulary};
use hopgate::policies::folder;

fn shipped() -> PolicySet {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/policies");
    folder::load(&folder, &Vocabulary::default()).expect("the shipped policies are sound").policy
}

fn facts<'a>(placement: &str, goods: &str, category: &'a str, creator: &'a str) -> Facts<'a> {
    let words = Vocabulary::default();
    let (platform, surface) = placement.split_once('/').expect("platform/surface");
    let (marketplace, shop_type) = goods.split_once('/').expect("marketplace/shop_type");
    Facts {
        platform: words.platform(platform),
        surface: Surface::parse(surface),
        marketplace: words.marketplace(marketplace).expect("a marketplace"),
        shop_type: ShopType::parse(shop_type).expect("a shop type"),
        link_kind: LinkKind::Item,
        category,
        creator,
        shop: "",
        item: "100012043978",
        carried: "",
        link: "AbCd1234",
        visitor: 0,
    }
}

/// at | placement | goods | category | reason | agreement
const TABLE: &str = "
2019-05-31T23:59:59.999 | kuaishou/live_cart        | jd/pop            |  | not_yet_open          | kuaishou-jd-2019
2019-06-01T00:00:00     | kuaishou/live_cart        | jd/pop            |  | allowed               | kuaishou-jd-2019
2020-06-15T23:59:59.999 | kuaishou/live_cart        | jd/self_operated  |  | allowed               | kuaishou-jd-2019
2020-06-16T00:00:00     | kuaishou/live_cart        | jd/self_operated  |  | allowed               | kuaishou-jd-self-operated-2020
2020-06-16T00:00:00     | kuaishou/live_cart        | jd/pop            |  | allowed               | kuaishou-jd-2019
2022-02-28T23:59:59.999 | kuaishou/live_cart        | jd/pop            |  | allowed               | kuaishou-jd-2019
2022-03-01T00:00:00     | kuaishou/live_cart        | jd/pop            |  | window_ended          | kuaishou-jd-2019
2022-03-01T00:00:00     | kuaishou/short_video_cart | jd/pop            |  | allowed               | kuaishou-jd-alliance-2022
2022-03-01T00:00:00     | kuaishou/detail_page      | jd/self_operated  |  | allowed               | kuaishou-jd-alliance-2022
2022-02-28T23:59:59.999 | kuaishou/short_video_cart | taobao/c_store    |  | allowed               | kuaishou-taobao-alliance-2018
2022-03-01T00:00:00     | kuaishou/short_video_cart | taobao/c_store    |  | window_ended          | kuaishou-taobao-alliance-2018
2022-03-01T00:00:00     | kuaishou/live_cart        | tmall/flagship    |  | window_ended          | kuaishou-taobao-alliance-2018
2022-03-01T00:00:00     | kuaishou/detail_page      | tmall/flagship    |  | window_ended          | kuaishou-taobao-alliance-2018
2022-10-27T23:59:59.999 | kuaishou/live_cart        | tmall/flagship    |  | not_yet_open          | kuaishou-tmall-double11-2022
2022-10-31T00:00:00     | kuaishou/live_cart        | tmall/flagship    |  | allowed               | kuaishou-tmall-double11-2022
2022-11-15T12:00:00     | kuaishou/live_cart        | taobao/c_store    |  | shop_type_not_covered | kuaishou-tmall-double11-2022
2022-11-15T12:00:00     | kuaishou/live_cart        | tmall/unknown     |  | shop_type_not_covered | kuaishou-tmall-double11-2022
2022-12-31T23:59:59.999 | kuaishou/short_video_cart | tmall/flagship    |  | allowed               | kuaishou-tmall-double11-2022
2023-01-01T00:00:00     | kuaishou/short_video_cart | tmall/flagship    |  | window_ended          | kuaishou-tmall-double11-2022
2022-10-27T23:59:59.999 | kuaishou/live_cart        | jd/self_operated  |  | not_yet_open          | kuaishou-jd-double11-2022
2022-10-29T00:00:00     | kuaishou/live_cart        | jd/self_operated  |  | allowed               | kuaishou-jd-double11-2022
2022-11-15T12:00:00     | kuaishou/live_cart        | jd/pop            |  | shop_type_not_covered | kuaishou-jd-double11-2022
2022-11-30T23:59:59.999 | kuaishou/live_cart        | jd/self_operated  |  | allowed               | kuaishou-jd-double11-2022
2022-12-01T00:00:00     | kuaishou/live_cart        | jd/self_operated  |  | window_ended          | kuaishou-jd-double11-2022
2022-12-01T00:00:00     | kuaishou/short_video_cart | jd/self_operated  |  | allowed               | kuaishou-jd-alliance-2022
2021-10-31T23:59:59.999 | kuaishou/live_cart        | youzan/unknown    |  | allowed               | kuaishou-youzan-mokuai-live-cart
2021-11-01T00:00:00     | kuaishou/live_cart        | youzan/unknown    |  | window_ended          | kuaishou-youzan-mokuai-live-cart
2021-11-01T00:00:00     | kuaishou/shop_page        | mokuai/unknown    |  | allowed               | kuaishou-youzan-mokuai
2022-04-30T23:59:59.999 | xiaohongshu/comment       | tmall/flagship    |  | surface_not_covered   | xiaohongshu-tmall-redcat-2025
2022-05-01T00:00:00     | xiaohongshu/comment       | tmall/flagship    |  | denied_by_agreement   | xiaohongshu-no-guiding-off-site-2022
2022-05-01T00:00:00     | xiaohongshu/chat          | suning/unknown    |  | denied_by_agreement   | xiaohongshu-no-guiding-off-site-2022
2025-05-06T23:59:59.999 | xiaohongshu/ad_note       | tmall/flagship    | health     | not_yet_open           | xiaohongshu-tmall-redcat-2025
2025-05-07T00:00:00     | xiaohongshu/ad_note       | tmall/flagship    | health     | allowed                | xiaohongshu-tmall-redcat-2025
2025-05-08T00:00:00     | xiaohongshu/note          | tmall/flagship    | health     | surface_not_covered    | xiaohongshu-tmall-redcat-2025
2025-05-08T00:00:00     | xiaohongshu/ad_note       | tmall/flagship    | appliances | category_not_covered   | xiaohongshu-tmall-redcat-2025
2025-05-08T00:00:00     | xiaohongshu/ad_note       | tmall/flagship    |            | category_not_covered   | xiaohongshu-tmall-redcat-2025
2025-05-08T00:00:00     | xiaohongshu/ad_note       | taobao/c_store    | health     | shop_type_not_covered  | xiaohongshu-tmall-redcat-2025
2025-06-04T23:59:59.999 | xiaohongshu/ad_note       | jd/pop            |            | creator_not_covered    | xiaohongshu-jd-pilot-2025
2025-06-05T00:00:00     | xiaohongshu/ad_note       | jd/pop            |            | allowed                | xiaohongshu-jd-2025
2025-06-05T00:00:00     | xiaohongshu/profile       | jd/pop            |            | denied_by_agreement    | xiaohongshu-no-guiding-off-site-2022
2025-06-05T00:00:00     | wechat/chat               | jd/pop            |            | no_agreement           | -
";

#[test]
fn history_is_answered_as_it_happened() {
    let policy = shipped();
    let mut rows = 0;
    for row in TABLE.lines().filter(|line| !line.trim().is_empty()) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let at: Timestamp = cells[0].parse().unwrap();
        let decision = decide(&policy, &facts(cells[1], cells[2], cells[3], ""), at);
        let agreement = decision.agreement().map_or("-", |agreement| &agreement.id);
        assert_eq!((decision.reason().as_str(), agreement), (cells[4], cells[5]), "{row}");
        rows += 1;
    }
    assert_eq!(rows, 41);
}

#[test]
fn the_staged_opening_lets_in_half_of_the_creators_on_the_first_day() {
    let policy = shipped();
    let at: Timestamp = "2022-10-28T12:00:00".parse().unwrap();
    let mut is_in = 0;
    for number in 0..2_000 {
        let creator = format!("creator-{number}");
        let facts = facts("kuaishou/live_cart", "jd/self_operated", "", &creator);
        is_in += usize::from(decide(&policy, &facts, at).is_allow());
        assert!(decide(&policy, &facts, "2022-10-29".parse().unwrap()).is_allow(), "{creator} was put out by widening");
    }
    assert!((900..1_100).contains(&is_in), "{is_in} of 2,000");
    let unknown = facts("kuaishou/live_cart", "jd/self_operated", "", "");
    assert_eq!(decide(&policy, &unknown, at).reason(), Reason::NotInRollout);
}

#[test]
fn the_pilot_is_for_its_listed_creators() {
    let policy = shipped();
    let at: Timestamp = "2025-05-20".parse().unwrap();
    assert!(decide(&policy, &facts("xiaohongshu/ad_note", "jd/pop", "", "jd-pilot"), at).is_allow());
    let other = decide(&policy, &facts("xiaohongshu/ad_note", "jd/pop", "", "somebody"), at);
    assert_eq!(other.reason(), Reason::CreatorNotCovered);
}

#[test]
fn an_explanation_names_every_agreement_and_until_when_it_holds() {
    let policy = shipped();
    let at: Timestamp = "2022-11-30T23:59:59.999+08:00".parse().unwrap();
    let facts = facts("kuaishou/live_cart", "jd/self_operated", "", "creator-1");
    let told = explain(&policy, &facts, at);
    assert!(told.decision.is_allow());
    assert_eq!(told.valid_until, Some("2022-12-01T00:00:00+08:00".parse().unwrap()));
    assert_eq!(told.trace.len(), 4);
    assert_eq!(told.decision.agreement().unwrap().landing, LandingMode::App);
    let later = explain(&policy, &facts, at.plus_micros(1_000));
    assert_eq!(later.decision.reason(), Reason::WindowEnded);
    assert_eq!(later.valid_until, None);
    let ended = later.trace.iter().find(|looked| &*looked.agreement == "kuaishou-jd-double11-2022").unwrap();
    assert_eq!(ended.failed.len(), 1);
}
