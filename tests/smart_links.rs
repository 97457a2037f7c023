//! Smart links over real sockets: one link whose landing follows the cooperation history, two placements, links for which
//! nothing is left, and what the journal, the API and the page say of it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use hopgate::config::marketplaces::shipped;
use hopgate::domain::alternates::Alternate;
use hopgate::domain::vocabulary::ShopType;
use serde_json::{Value, json};
use support::{Answer, Client, Gateway, JD, at};

/// A Tmall shop's goods, the same at a personal Taobao shop, and JD's shop page for the platform.
const TMALL: &str = "https://detail.tmall.com/item.htm?id=610947572360";
const TAOBAO: &str = "https://item.taobao.com/item.htm?id=41879347901";
const SHOP: &str = "https://mall.jd.com/index-1000004123.html";

/// The turns of 2022 as the history has them, without its stages but for one; and a shop page that works from March on.
const POLICY: &str = "
agreements:
  - {id: ks-taobao-2018, title: t, platform: kuaishou, marketplace: [taobao, tmall], effect: allow, from: 2018-06-01,
     until: 2022-03-01, landing: app, when: {surfaces: [live_cart, short_video_cart], link_kinds: [item, alliance]}}
  - {id: ks-tmall-2022, title: t, platform: kuaishou, marketplace: [taobao, tmall], effect: allow, from: 2022-10-28,
     until: 2023-01-01, landing: app, when: {surfaces: [live_cart, short_video_cart], shop_types: [flagship]},
     rollout: {by: creator, steps: [{at: 2022-10-28, percent: 0}, {at: 2022-10-29, percent: 100}]}}
  - {id: ks-jd-2019, title: t, platform: kuaishou, marketplace: jd, effect: allow, from: 2019-06-01, until: 2022-03-01,
     landing: app}
  - {id: ks-jd-alliance-2022, title: t, platform: kuaishou, marketplace: jd, effect: allow, from: 2022-03-01,
     landing: app, when: {surfaces: [short_video_cart, detail_page], link_kinds: [item, alliance]}}
  - {id: ks-jd-2022, title: t, platform: kuaishou, marketplace: jd, effect: allow, from: 2022-10-28, until: 2022-12-01,
     landing: app, when: {shop_types: [self_operated], link_kinds: [item, alliance]}}
  - {id: ks-shop-page, title: t, platform: kuaishou, marketplace: jd, effect: allow, from: 2022-03-01, landing: web,
     when: {link_kinds: [shop], shop_types: [flagship, self_operated]}}
  - {id: xhs-jd-2025, title: t, platform: xiaohongshu, marketplace: jd, effect: allow, from: 2025-06-05, landing: app,
     when: {surfaces: [ad_note]}}
";

fn gateway(now: &str) -> Gateway {
    Gateway::start_with(now, |settings| {
        settings.policy_source = hopgate::config::settings::PolicySource::Folder;
        settings.policies = settings.data_dir.with_file_name("policies");
        std::fs::create_dir_all(&settings.policies).unwrap();
        std::fs::write(settings.policies.join("all.yaml"), POLICY).unwrap();
    })
}

fn alternate(url: &str, shop_type: &str) -> Alternate {
    Alternate {
        landing: shipped().markets().recognise(url).unwrap(),
        shop_type: ShopType::parse(shop_type).unwrap(),
        category: None,
    }
}

/// What one tap brought: where it landed, or the reason.
fn tap(gateway: &Gateway, path: &str) -> Result<String, (String, Value)> {
    let headers = [("User-Agent", support::KUAISHOU_AGENT), ("Accept", "application/json")];
    let answer = Client::connect(gateway.click_address()).ask("GET", path, &headers);
    if answer.status == 302 {
        return Ok(answer.header("location").to_owned());
    }
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    Err((body["reason"].as_str().unwrap().to_owned(), body))
}

fn control(gateway: &Gateway, method: &str, path: &str, body: &Value) -> Answer {
    let key = std::fs::read_to_string(gateway.folder.path().join("data/admin.key")).unwrap();
    let mut client = Client::connect(gateway.app().addresses().control);
    let body = body.to_string();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: control\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        key.trim(),
        body.len()
    );
    client.send(head.as_bytes()).unwrap();
    client.read(false).unwrap()
}

/// Stops the gateway and reads its journal.
fn hops(mut gateway: Gateway) -> Vec<Value> {
    gateway.app.take().unwrap().stop().unwrap();
    gateway.hops()
}

fn tried(hop: &Value) -> Vec<(u64, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let tried = hop["tried"].as_array().unwrap().iter();
    tried.map(|t| (t["alternate"].as_u64().unwrap(), text(&t["marketplace"]), text(&t["reason"]))).collect()
}

/// Two links with the same landings, one first at Tmall and one first at Taobao, tapped on both sides of every turn.
#[test]
fn a_link_follows_the_history_and_comes_back() {
    let gateway = gateway("2022-02-28 23:59:59.999");
    let others = || vec![alternate(JD, "self_operated"), alternate(SHOP, "self_operated")];
    let tmall_first = gateway.link_with(TMALL, "kuaishou/live_cart", "flagship", |link| link.alternates = others());
    let taobao_first = gateway.link_with(TAOBAO, "kuaishou/live_cart", "c_store", |link| link.alternates = others());
    let story = [
        ("2022-02-28 23:59:59.999", [(0, TMALL), (0, TAOBAO)]),
        ("2022-03-01", [(2, SHOP), (2, SHOP)]),
        ("2022-10-27 23:59:59.999", [(2, SHOP), (2, SHOP)]),
        ("2022-10-28", [(1, JD), (1, JD)]),
        ("2022-10-28 23:59:59.999", [(1, JD), (1, JD)]),
        ("2022-10-29", [(0, TMALL), (1, JD)]),
        ("2022-11-30 23:59:59.999", [(0, TMALL), (1, JD)]),
        ("2022-12-01", [(0, TMALL), (2, SHOP)]),
        ("2022-12-31 23:59:59.999", [(0, TMALL), (2, SHOP)]),
        ("2023-01-01", [(2, SHOP), (2, SHOP)]),
    ];
    for (instant, landings) in story {
        gateway.clock.set(at(instant));
        for (code, (_, place)) in [&tmall_first, &taobao_first].into_iter().zip(landings) {
            assert_eq!(tap(&gateway, &format!("/{code}")), Ok(place.to_owned()), "{instant}");
        }
    }
    assert_eq!(gateway.metric("hopgate_alternate_landings_total"), 14.0);
    assert_eq!(gateway.metric("hopgate_clicks_total"), 20.0);
    let hops = hops(gateway);
    assert_eq!(hops.len(), 20);
    let told = story.iter().flat_map(|(instant, landings)| landings.iter().map(move |landing| (instant, landing)));
    for (hop, (instant, (alternate, _))) in hops.iter().zip(told) {
        assert_eq!(hop["alternate"], *alternate, "{instant}");
        assert_eq!(hop["tried"].as_array().unwrap().len(), *alternate, "{instant}: those before it fell");
    }
    // The first landing is open, but not yet to this creator.
    let staged = &hops[6];
    assert_eq!(tried(staged), [(0, "tmall".to_owned(), "not_in_rollout".to_owned())]);
    let fallen = &staged["tried"][0];
    assert_eq!((&fallen["item"], &fallen["shop_type"]), (&json!("610947572360"), &json!("flagship")));
    assert_eq!(fallen["agreement"], "ks-tmall-2022");
    assert!(fallen["bucket"].is_u64(), "{fallen}");
    // The fields of a hop are those of the landing taken.
    assert_eq!((&staged["marketplace"], &staged["item"]), (&json!("jd"), &json!("100012043978")));
    assert_eq!((&staged["reason"], &staged["agreement"]), (&json!("allowed"), &json!("ks-jd-2022")));
    let shop = &hops[2];
    assert_eq!((&shop["link_kind"], &shop["landing"]), (&json!("shop"), &json!("web")));
    assert!(shop["shop"].as_str().unwrap().contains("1000004123"), "{shop}");
    assert_eq!(tried(shop)[0], (0, "tmall".to_owned(), "window_ended".to_owned()));
    assert_eq!((tried(shop)[1].0, &*tried(shop)[1].1), (1, "jd"));
}

/// Free of any placement: the visitor's app and the hint in the address say where it was pasted.
#[test]
fn a_link_pasted_in_two_placements_lands_where_each_allows() {
    let gateway = gateway("2022-03-01 12:00:00");
    let code = gateway.link_with(TAOBAO, "", "c_store", |link| link.alternates = vec![alternate(JD, "pop")]);
    // JD alliance goods left the live cart and stayed in the short-video cart; Taobao left both.
    assert_eq!(tap(&gateway, &format!("/{code}?surface=short_video_cart")), Ok(JD.to_owned()));
    let (reason, body) = tap(&gateway, &format!("/{code}?surface=live_cart")).unwrap_err();
    assert_eq!(reason, "window_ended");
    let too = &body["also_tried"][0];
    assert_eq!((&too["alternate"], &too["marketplace"]), (&json!(1), &json!("jd")), "{body}");
    // The same link in Xiaohongshu, three years on.
    gateway.clock.set(at("2025-06-05"));
    let agent = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Mobile xhsdiscover XiaoHongShu/8.30";
    let path = format!("/{code}?surface=ad_note");
    let answer = Client::connect(gateway.click_address()).ask("GET", &path, &[("User-Agent", agent)]);
    assert_eq!((answer.status, answer.header("location")), (302, JD));
    let hops = hops(gateway);
    let seen: Vec<_> = hops.iter().map(|hop| (hop["surface"].as_str().unwrap(), &hop["alternate"])).collect();
    assert_eq!(seen, [("short_video_cart", &json!(1)), ("live_cart", &json!(0)), ("ad_note", &json!(1))]);
    assert_eq!(tried(&hops[2]), [(0, "taobao".to_owned(), "no_agreement".to_owned())]);
    assert_eq!(tried(&hops[1]).len(), 1, "a refusal's own landing stands in the hop itself");
}

/// The platform's own shop needs no agreement, only a default that says so.
#[test]
fn the_platforms_own_shop_page_is_the_last_resort() {
    const OWN: &str = "https://app.kwaixiaodian.com/merchant/shop/detail?id=3822098374573";
    let gateway = gateway("2022-11-30 23:59:59.999");
    let code = gateway.link_with(TAOBAO, "kuaishou/live_cart", "c_store", |link| {
        link.alternates = vec![alternate(JD, "self_operated"), alternate(OWN, "unknown")];
    });
    let path = format!("/{code}");
    assert_eq!(tap(&gateway, &path), Ok(JD.to_owned()));
    gateway.clock.set(at("2022-12-01"));
    let (_, body) = tap(&gateway, &path).unwrap_err();
    assert_eq!(body["also_tried"][1], json!({"alternate": 2, "marketplace": "kuaishou", "reason": "no_agreement"}));
    let default = "defaults: [{platform: kuaishou, marketplace: kuaishou, outcome: allow}]\n";
    std::fs::write(gateway.folder.path().join("policies/own-shops.yaml"), default).unwrap();
    support::eventually("the changed folder is taken", || tap(&gateway, &path) == Ok(OWN.to_owned()));
    let hops = hops(gateway);
    let last = hops.last().unwrap();
    assert_eq!((&last["reason"], &last["agreement"]), (&json!("allowed_by_default"), &Value::Null));
    assert_eq!((&last["marketplace"], &last["item"]), (&json!("kuaishou"), &json!("3822098374573")));
    assert_eq!(tried(last).len(), 2);
}

#[test]
fn when_nothing_is_left_the_page_says_what_was_tried() {
    let gateway = gateway("2022-04-01");
    let code = gateway.link_with(TAOBAO, "kuaishou/live_cart", "c_store", |link| {
        link.alternates = vec![alternate(SHOP, "pop"), alternate(TMALL, "flagship")];
    });
    let answer = gateway.get(&format!("/{code}"));
    assert_eq!(answer.status, 403);
    let also = "<p>也试过：京东（这类店铺的商品暂不支持跳转）、天猫（合作已结束）。</p>";
    assert!(answer.body.contains(also), "{}", answer.body);
    let english =
        Client::connect(gateway.click_address()).ask("GET", &format!("/{code}"), &[("Accept-Language", "en")]);
    let also = "Also tried: JD (this sort of shop is not covered), Tmall (the cooperation has ended).";
    assert!(english.body.contains(also), "{}", english.body);
}

#[test]
fn a_link_that_is_off_tries_nothing() {
    let gateway = gateway("2022-11-15");
    let code = gateway.link_with(TAOBAO, "kuaishou/live_cart", "c_store", |link| {
        link.alternates = vec![alternate(JD, "self_operated")];
        link.expires_at = Some(at("2022-11-16"));
    });
    let path = format!("/{code}");
    assert_eq!(tap(&gateway, &path), Ok(JD.to_owned()));
    gateway.clock.set(at("2022-11-16"));
    assert_eq!(gateway.get(&path).status, 410);
    let hops = hops(gateway);
    let last = hops.last().unwrap();
    let expected = [
        ("reason", json!("link_expired")),
        ("alternate", json!(0)),
        ("tried", json!([])),
        ("marketplace", json!("taobao")),
    ];
    for (field, value) in expected {
        assert_eq!(last[field], value);
    }
}

#[test]
fn alternates_are_issued_shown_decided_and_replaced_over_the_api() {
    let gateway = gateway("2022-11-15");
    let draft = json!({
        "url": TAOBAO, "platform": "kuaishou", "surface": "live_cart", "shop_type": "c_store", "creator": "c1",
        "alternates": [{"url": JD, "shop_type": "pop"}, {"url": TMALL, "shop_type": "flagship"}],
    });
    let created = control(&gateway, "POST", "/v1/links", &draft);
    assert_eq!(created.status, 201, "{}", created.body);
    let created: Value = serde_json::from_str(&created.body).unwrap();
    assert_eq!(created["landing"]["url"], TAOBAO);
    assert_eq!((&created["decision"]["outcome"], &created["decision"]["alternate"]), (&json!("allow"), &json!(2)));
    assert_eq!(created["decision"]["valid_until"], "2023-01-01T00:00:00+08:00");
    let code = created["code"].as_str().unwrap();
    let path = format!("/v1/links/{code}");

    let shown: Value = serde_json::from_str(&control(&gateway, "GET", &path, &Value::Null).body).unwrap();
    let alternates = shown["alternates"].as_array().unwrap();
    let brief: Vec<_> = alternates
        .iter()
        .map(|one| (one["landing"]["url"].as_str().unwrap(), one["decision"]["reason"].as_str().unwrap()))
        .collect();
    assert_eq!(brief, [(JD, "shop_type_not_covered"), (TMALL, "allowed")]);

    let ask = json!({"code": code});
    let decided: Value = serde_json::from_str(&control(&gateway, "POST", "/v1/decide", &ask).body).unwrap();
    assert_eq!((&decided["alternate"], &decided["landing"]["url"]), (&json!(2), &json!(TMALL)));
    assert_eq!(decided["trace"][0]["agreement"], "ks-tmall-2022");
    let landings = decided["alternates"].as_array().unwrap();
    let reasons: Vec<_> =
        landings.iter().map(|one| (one["tried"].as_bool().unwrap(), one["reason"].as_str().unwrap())).collect();
    assert_eq!(reasons, [(true, "shop_type_not_covered"), (true, "shop_type_not_covered"), (true, "allowed")]);

    // JD's own stock in place of both: the click lands there at once, and until JD's window ends.
    let change = json!({"alternates": [{"url": JD, "shop_type": "self_operated"}]});
    let changed = control(&gateway, "PATCH", &path, &change);
    assert_eq!(changed.status, 200, "{}", changed.body);
    let changed: Value = serde_json::from_str(&changed.body).unwrap();
    assert_eq!(
        (&changed["decision"]["alternate"], &changed["decision"]["valid_until"]),
        (&json!(1), &json!("2022-12-01T00:00:00+08:00"))
    );
    assert_eq!(tap(&gateway, &format!("/{code}")), Ok(JD.to_owned()));

    let repeat =
        json!({"alternates": [JD, format!("{TAOBAO}&spm=a.b"), "https://evil.test/", format!("{JD}?utm_source=x")]});
    let refused = control(&gateway, "PATCH", &path, &json!({"alternates": [format!("{TAOBAO}&spm=a.b")]}));
    assert_eq!(refused.status, 422, "{}", refused.body);
    assert!(refused.body.contains("alternates[0].url") && refused.body.contains("duplicate"), "{}", refused.body);
    let mut draft = draft;
    draft["alternates"] = repeat["alternates"].clone();
    let refused: Value = serde_json::from_str(&control(&gateway, "POST", "/v1/links", &draft).body).unwrap();
    let mut faults: Vec<_> = refused["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| (fault["field"].as_str().unwrap(), fault["code"].as_str().unwrap()))
        .collect();
    faults.sort_unstable();
    let expected = [
        ("alternates[1].url", "duplicate"),
        ("alternates[2].url", "host_not_allowed"),
        ("alternates[3].url", "duplicate"),
    ];
    assert_eq!(faults, expected);

    assert_eq!(control(&gateway, "PATCH", &path, &json!({"alternates": []})).status, 200);
    assert_eq!(tap(&gateway, &format!("/{code}")).unwrap_err().0, "shop_type_not_covered");
}
