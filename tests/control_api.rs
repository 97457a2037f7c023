//! The control API over a real socket: links, decisions, hops, keys and refusals.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops where it fails")]

mod control_support;

use std::sync::atomic::Ordering;

use control_support::{Answer, LAST, Running, fits, send};
use hopgate::control::keys::{KeyStore as _, Role};
use hopgate::domain::click_id::ClickMint;
use hopgate::domain::device::{HostApp, Os};
use hopgate::domain::hop::{Hop, HopFlags, Outcome, PlacementSource};
use hopgate::domain::landing::Way;
use hopgate::domain::policy::Reason;
use hopgate::domain::time::Timestamp;
use hopgate::domain::tried::Tried;
use hopgate::domain::vocabulary::{LandingMode, LinkKind, ShopType, Surface};
use serde_json::{Value, json};

const URL: &str = "https://item.jd.com/100012043978.html";

fn draft(creator: &str) -> Value {
    json!({
        "url": URL, "platform": "kuaishou", "surface": "live_cart", "creator": creator,
        "shop_type": "self_operated", "tags": ["双十一"], "facts": {"xingtu_order": "XT-1"},
    })
}

async fn description(running: &Running) -> Value {
    let answer = running.with("", "GET", "/openapi.json", &[], "").await;
    assert_eq!(answer.status, 200);
    answer.json()
}

fn fits_answer(description: &Value, method: &str, path: &str, answer: &Answer) {
    let operation = &description["paths"][path][method]["responses"][answer.status.to_string()];
    assert!(operation.is_object(), "{method} {path} {} is not described", answer.status);
    fits(description, &operation["content"]["application/json"]["schema"], &answer.json(), path);
}

#[tokio::test]
async fn a_link_is_issued_read_listed_changed_and_switched_off() {
    let running = Running::start().await;
    let described = description(&running).await;

    let mut body = draft("c1");
    body["slug"] = json!("double-11");
    let issued = running.admin("POST", "/v1/links", &body).await;
    assert_eq!(issued.status, 201, "{}", issued.text);
    fits_answer(&described, "post", "/v1/links", &issued);
    assert_eq!(issued.header("location"), Some("/v1/links/double-11"));
    let expected = json!({
        "code": "double-11", "short_url": "http://127.0.0.1:8080/double-11",
        "landing": {"marketplace": "jd", "shop_type": "self_operated", "link_kind": "item",
            "item_id": "100012043978", "url": URL},
        "decision": {"outcome": "allow", "reason": "allowed", "valid_until": "2022-12-01T00:00:00+08:00", "alternate": 0},
    });
    assert_eq!(issued.json(), expected);
    let taken = running.admin("POST", "/v1/links", &body).await;
    assert_eq!((taken.status, &taken.json()["type"]), (409, &json!("urn:hopgate:problem:slug_taken")));

    let drawn = running.admin("POST", "/v1/links", &json!({"url": URL})).await.json();
    assert_eq!(drawn["code"].as_str().unwrap().len(), 8);
    assert_eq!(drawn["decision"]["reason"], "no_agreement", "an unknown platform has no agreement");

    let path = "/v1/links/double-11";
    let read = running.admin("GET", path, &Value::Null).await;
    fits_answer(&described, "get", "/v1/links/{code}", &read);
    let (link, tag) = (read.json(), read.header("etag").unwrap().to_owned());
    assert_eq!((&link["tags"], &link["facts"]), (&json!(["双十一"]), &json!({"xingtu_order": true})));
    assert_eq!(tag, format!("\"{}\"", link["revision"]));

    let page = running.admin("GET", "/v1/links?limit=1", &Value::Null).await;
    fits_answer(&described, "get", "/v1/links", &page);
    let cursor = page.json()["next_cursor"].as_str().unwrap().to_owned();
    let rest = running.admin("GET", &format!("/v1/links?cursor={cursor}"), &Value::Null).await.json();
    assert_eq!((rest["links"].as_array().unwrap().len(), &rest["next_cursor"]), (1, &Value::Null));
    let tagged = running.admin("GET", "/v1/links?tag=%E5%8F%8C%E5%8D%81%E4%B8%80&state=active", &Value::Null).await;
    assert_eq!(tagged.json()["links"][0]["code"], "double-11");

    let change = json!({"tags": ["618"], "expires_at": "2022-11-30T23:59:59.9995+08:00", "category": "phones"});
    let admin = running.admin.clone();
    let changed = running.with(&admin, "PATCH", path, &[("If-Match", &tag)], &change.to_string()).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    fits_answer(&described, "patch", "/v1/links/{code}", &changed);
    let changed = changed.json();
    assert_eq!((&changed["tags"], &changed["category"]), (&json!(["618"]), &json!("phones")));
    assert_eq!(changed["decision"]["valid_until"], "2022-11-30T23:59:59.9995+08:00", "the expiry comes first");
    let stale = running.with(&admin, "PATCH", path, &[("If-Match", &tag)], &change.to_string()).await;
    assert_eq!((stale.status, &stale.json()["current"]), (412, &changed["revision"]));
    let vague = running.with(&admin, "PATCH", path, &[("If-Match", "42")], &change.to_string()).await;
    assert_eq!((vague.status, vague.faults()), (422, vec![("If-Match".into(), "not_a_revision".into())]));

    assert_eq!(running.admin("DELETE", path, &Value::Null).await.status, 204);
    let off = running.admin("GET", path, &Value::Null).await.json();
    assert_eq!((&off["state"], &off["decision"]["reason"]), (&json!("disabled"), &json!("link_disabled")));
    assert_eq!(off["decision"]["outcome"], "deny");
    let on = json!({"state": "active", "expires_at": null});
    assert_eq!(running.admin("PATCH", path, &on).await.json()["decision"]["outcome"], "allow");
    assert_eq!(running.admin("GET", "/v1/links/nothing1", &Value::Null).await.status, 404);
}

#[tokio::test]
async fn every_bad_input_is_named_and_stores_nothing() {
    let running = Running::start().await;
    for (url, code) in [
        ("https://shop.example/item.html", "host_not_allowed"),
        ("https://item.jd.com@evil.test/1.html", "userinfo"),
        ("https://item.jd.com:8443/1.html", "port"),
        ("https://item.jd.com\\@evil.test/1.html", "backslash"),
        ("https://item.jd.com/\u{1}1.html", "control_character"),
        ("https://item.jd.com/1\t.html", "control_character"),
        ("https://item.jd.com/\r\nSet-Cookie: a=b", "control_character"),
        ("https://item.jԁ.com/1.html", "mixed_script_host"),
        ("javascript:alert(1)", "scheme"),
        ("javascript:alert('https://item.jd.com/1.html')", "scheme"),
        ("https://item.jd.com/1.html 或 https://item.jd.com/2.html", "several_urls"),
        ("双十一快来看", "no_url"),
        ("https://127.0.0.1/1.html", "ip_host"),
        ("", "empty"),
        (&format!("https://item.jd.com/{}", "a".repeat(20_000)), "too_long"),
    ] {
        let answer = running.admin("POST", "/v1/links", &json!({"url": url})).await;
        assert_eq!(answer.status, 422, "{url}: {}", answer.text);
        assert_eq!(answer.faults(), [("url".to_owned(), code.to_owned())], "{url}");
        assert!(answer.json()["title"].as_str().unwrap().starts_with("链接地址不可用 / "), "{}", answer.text);
    }
    let long = json!({"url": format!("https://item.jd.com/{}", "a".repeat(3 << 20))});
    let answer = running.admin("POST", "/v1/links", &long).await;
    assert_eq!(answer.status, 422, "3 MB of text: {}", answer.text);
    assert_eq!(answer.faults(), [("url".to_owned(), "too_long".to_owned())]);
    let huge = json!({"url": format!("https://item.jd.com/{}", "a".repeat(5 << 20))});
    let answer = running.admin("POST", "/v1/links", &huge).await;
    assert_eq!((answer.status, &answer.json()["status"]), (413, &json!(413)));
    let asks_first = [("Expect", "100-continue")];
    let answer = running.with(&running.admin, "POST", "/v1/links", &asks_first, &huge.to_string()).await;
    assert_eq!((answer.status, &answer.json()["status"]), (413, &json!(413)));
    let answer = running.call("", "POST", "/v1/links", &long).await;
    assert_eq!(answer.status, 401);

    let all = json!({
        "url": "ftp://x", "platform": "kuaishuo", "surface": "live_card", "creator": "!a", "slug": "a/b",
        "expires_at": LAST, "tags": ["x".repeat(65)], "alternates": ["https://item.jd.com/2.html", 2],
        "shop_type": "mall", "category": "a b", "facts": {"x": 1}, "color": 1,
    });
    let faults = running.admin("POST", "/v1/links", &all).await.faults();
    assert_eq!(faults.len(), 12, "{faults:?}");

    let broken = running.with(&running.admin, "POST", "/v1/links", &[], "{\n  \"url\": nope}").await;
    let problem = broken.json();
    assert_eq!((broken.status, &problem["line"], &problem["column"]), (400, &json!(2), &json!(11)), "{problem}");
    assert_eq!(running.admin("POST", "/v1/links", &json!([])).await.status, 422);
    let query = running.admin("GET", "/v1/links?limit=501&platform=x", &Value::Null).await;
    assert_eq!((query.status, query.faults().len()), (422, 2));
    assert_eq!(running.catalog.store().count().await.unwrap(), 0, "nothing was stored");
}

#[tokio::test]
async fn a_share_text_becomes_its_link_and_a_code_alone_is_told_from_one() {
    let running = Running::start().await;
    let described = description(&running).await;
    let text =
        "【淘宝】退货包运费 https://e.tb.cn/h.SQ6rjlgiow5ob5s?tk=MJN9f2bd29s CZ0001 「大码外套」\n点击链接直接打开";
    let made = running.admin("POST", "/v1/links", &json!({"url": text})).await;
    assert_eq!(made.status, 201, "{}", made.text);
    fits_answer(&described, "post", "/v1/links", &made);
    let made = made.json();
    assert_eq!(made["landing"]["url"], "https://e.tb.cn/h.SQ6rjlgiow5ob5s?tk=MJN9f2bd29s");
    assert_eq!((&made["landing"]["item_id"], &made["landing"]["marketplace"]), (&Value::Null, &json!("taobao")));
    let path = format!("/v1/links/{}", made["code"].as_str().unwrap());
    let kept = running.admin("GET", &path, &Value::Null).await.json();
    assert_eq!(kept["landing"]["url"], made["landing"]["url"], "what is stored is the link alone");

    let text = format!("￥AbCdEf12345678% 我在京东发现了好物{URL}，快来看 https://mp.weixin.qq.com/s/x");
    let ask = json!({
        "url": text, "platform": "kuaishou", "surface": "live_cart", "shop_type": "self_operated",
        "alternates": ["【天猫】https://detail.tmall.com/item.htm?id=610947572360「外套」"],
    });
    let told = running.admin("POST", "/v1/decide", &ask).await.json();
    assert_eq!((&told["landing"]["url"], &told["landing"]["item_id"]), (&json!(URL), &json!("100012043978")));
    assert_eq!(told["outcome"], "allow");
    let alternate = &told["alternates"][1]["landing"]["url"];
    assert_eq!(alternate, "https://detail.tmall.com/item.htm?id=610947572360", "{told}");

    for (code, named) in [("￥AbCdEf12345￥ 打开手机淘宝", "淘口令"), ("￥AbCdEf12345678%", "京口令")] {
        for (path, body) in [
            ("/v1/links", json!({"url": URL, "alternates": [code]})),
            ("/v1/decide", json!({"url": code, "platform": "kuaishou", "surface": "live_cart"})),
        ] {
            let field = if path == "/v1/links" { "alternates[0].url" } else { "url" };
            let answer = running.admin("POST", path, &body).await;
            assert_eq!(answer.status, 422, "{}", answer.text);
            assert_eq!(answer.faults(), [(field.to_owned(), "unidentifiable_code".to_owned())]);
            let problem = answer.json();
            assert_eq!(problem["type"], "urn:hopgate:problem:unidentifiable_code");
            assert_eq!(problem["title"], "口令无法识别商品 / Code not identifiable");
            assert!(problem["detail"].as_str().unwrap().contains(named), "{problem}");
        }
    }
    assert_eq!(running.catalog.store().count().await.unwrap(), 1, "refused texts store nothing");
}

#[tokio::test]
async fn a_code_alone_is_kept_as_a_text_to_copy() {
    let running = Running::start().await;
    let described = description(&running).await;
    let code = "￥AbCdEf12345￥ 打开手机淘宝";
    let ask = json!({"url": code, "platform": "kuaishou", "surface": "live_cart", "slug": "code-1"});
    let made = running.admin("POST", "/v1/links", &ask).await;
    assert_eq!(made.status, 201, "{}", made.text);
    fits_answer(&described, "post", "/v1/links", &made);
    let made = made.json();
    assert_eq!((&made["identifiable"], &made["share_code"]), (&json!(false), &json!(code)));
    assert_eq!(made["warnings"][0]["code"], "unidentifiable_code");
    assert_eq!((&made["landing"]["link_kind"], &made["landing"]["item_id"]), (&json!("unknown"), &Value::Null));
    assert_eq!(made["landing"]["url"], "https://www.taobao.com/");
    let kept = running.admin("GET", "/v1/links/code-1", &Value::Null).await;
    fits_answer(&described, "get", "/v1/links/{code}", &kept);
    assert_eq!((&kept.json()["share_code"], &kept.json()["identifiable"]), (&json!(code), &json!(false)));
    let in_memory = running.catalog.with("code-1", |link| link.share_code.to_owned());
    assert_eq!(in_memory, hopgate::catalog::Lookup::Found(code.to_owned()));

    let unclear = running.admin("POST", "/v1/links", &json!({"url": "￥AbCdEf123456￥"})).await;
    assert_eq!(unclear.faults(), [("marketplace".to_owned(), "unidentifiable_code".to_owned())]);
    assert_eq!(unclear.json()["title"], "口令无法识别商品 / Code not identifiable");
    let stated = running.admin("POST", "/v1/links", &json!({"url": "￥AbCdEf123456￥", "marketplace": "jd"})).await;
    assert_eq!((stated.status, &stated.json()["landing"]["marketplace"]), (201, &json!("jd")));
}

#[tokio::test]
async fn a_union_short_link_is_warned_of_before_and_after_it_dies() {
    let running = Running::start().await;
    let described = description(&running).await;
    let ask = json!({"url": "https://u.jd.com/AbCdEf", "slug": "union-1", "alternates": ["https://u.jd.com/GhIjKl"]});
    let made = running.admin("POST", "/v1/links", &ask).await;
    fits_answer(&described, "post", "/v1/links", &made);
    let codes = |answer: &Value| -> Vec<String> {
        answer["warnings"].as_array().unwrap().iter().map(|one| format!("{} {}", one["field"], one["code"])).collect()
    };
    let url = |code: &str| format!("\"url\" \"{code}\"");
    let other = "\"alternates[0].url\" \"short_link_dies\"".to_owned();
    let off = "\"alternates[0].url\" \"resolve_off\"".to_owned();
    assert_eq!(codes(&made.json()), [url("resolve_off"), off, url("short_link_dies"), other.clone()]);
    let dies = "2023-01-29T23:59:59.999+08:00";
    assert_eq!(made.json()["warnings"][2]["at"], dies);
    let read = async || running.admin("GET", "/v1/links/union-1", &Value::Null).await.json();
    assert_eq!(read().await["short_link_dies_at"], dies);
    running.clock.set(LAST.parse::<Timestamp>().unwrap().plus_micros(61 * 86_400_000_000));
    assert_eq!(codes(&read().await), [url("short_link_expired"), other], "stored 61 days ago");
    let sooner = json!({"expires_at": "2023-03-01"});
    assert_eq!(running.admin("PATCH", "/v1/links/union-1", &sooner).await.json()["short_link_dies_at"], dies);
    let own = json!({"url": "https://u.jd.com/AbCdEf", "slug": "union-2", "expires_at": "2023-03-01"});
    assert_eq!(
        codes(&running.admin("POST", "/v1/links", &own).await.json()),
        [url("resolve_off")],
        "it ends before that"
    );
    // Where the policy sees no end, the short link's own is the end of what is allowed.
    running.clock.set("2026-01-01".parse().unwrap());
    let open = json!({"url": "https://u.jd.com/AbCdEf", "platform": "xiaohongshu", "surface": "ad_note", "shop_type": "self_operated"});
    let made = running.admin("POST", "/v1/links", &open).await.json();
    assert_eq!(
        (&made["decision"]["outcome"], &made["decision"]["valid_until"]),
        (&json!("allow"), &json!("2026-03-02T00:00:00+08:00"))
    );
}

#[tokio::test]
async fn roles_and_scopes_hold_and_a_revoked_key_is_out_at_once() {
    let running = Running::start().await;
    let null = &Value::Null;
    let none = running.with("", "GET", "/v1/links", &[], "").await;
    assert_eq!((none.status, none.header("www-authenticate")), (401, Some("Bearer")));
    assert_eq!(running.call("hk_ops_00000000000000000000000000000000", "GET", "/v1/links", null).await.status, 401);
    let admin = running.admin.clone();

    let (c1, id) = running.key(Role::Creator, Some("c1")).await;
    let (c2, _) = running.key(Role::Creator, Some("c2")).await;
    let mut own = draft("c1");
    own.as_object_mut().unwrap().remove("creator");
    own["slug"] = json!("mine");
    assert_eq!(running.call(&c1, "POST", "/v1/links", &own).await.status, 201);
    assert_eq!(running.admin("GET", "/v1/links/mine", null).await.json()["creator"], "c1", "filled in");
    assert_eq!(running.call(&c1, "POST", "/v1/links", &draft("c2")).await.status, 403);
    for (method, body) in [("GET", json!(null)), ("PATCH", json!({"state": "disabled"})), ("DELETE", json!(null))] {
        assert_eq!(running.call(&c2, method, "/v1/links/mine", &body).await.status, 403, "{method}");
    }
    assert_eq!(running.call(&c2, "GET", "/v1/links?creator=c1", null).await.status, 403);
    assert_eq!(running.call(&c2, "GET", "/v1/links", null).await.json()["links"], json!([]));
    assert_eq!(running.call(&c2, "POST", "/v1/decide", &json!({"code": "mine"})).await.status, 403);
    assert_eq!(running.call(&c1, "PATCH", "/v1/links/mine", &json!({"tags": ["a"]})).await.status, 200);
    assert_eq!(running.call(&c1, "GET", "/v1/policies", null).await.status, 403);

    let (kuaishou, _) = running.key(Role::Platform, Some("kuaishou")).await;
    let (douyin, _) = running.key(Role::Platform, Some("douyin")).await;
    assert_eq!(running.call(&kuaishou, "GET", "/v1/links/mine", null).await.status, 200);
    assert_eq!(running.call(&douyin, "GET", "/v1/links/mine", null).await.status, 403);
    assert_eq!(running.call(&kuaishou, "DELETE", "/v1/links/mine", null).await.status, 403);
    assert_eq!(running.call(&kuaishou, "POST", "/v1/links", &draft("c1")).await.status, 403);
    let agreements = running.call(&kuaishou, "GET", "/v1/policies", null).await.json();
    assert!(agreements["agreements"].as_array().unwrap().iter().all(|one| one["platform"] == "kuaishou"));

    let (merchant, _) = running.key(Role::Merchant, Some("shop:1")).await;
    let question = json!({"url": URL, "platform": "kuaishou", "surface": "live_cart"});
    assert_eq!(running.call(&merchant, "POST", "/v1/decide", &question).await.status, 200);
    assert_eq!(running.call(&douyin, "POST", "/v1/decide", &question).await.status, 403);
    assert_eq!(running.call(&merchant, "GET", "/v1/links", null).await.status, 403);
    assert_eq!(running.call(&merchant, "POST", "/v1/links", &draft("c1")).await.status, 403);

    assert_eq!(running.call(&c1, "GET", "/v1/links/mine", null).await.status, 200);
    running.keys.revoke(&id, running.clock.now()).await.unwrap();
    assert_eq!(running.call(&c1, "GET", "/v1/links/mine", null).await.status, 401, "at once");

    let lost = running.with(&admin, "GET", "/v2/links", &[], "").await;
    assert_eq!((lost.status, lost.header("content-type")), (404, Some("application/problem+json")));
    let wrong = running.with(&admin, "PUT", "/v1/links", &[], "").await;
    assert_eq!((wrong.status, wrong.json()["type"].as_str()), (405, Some("urn:hopgate:problem:wrong_method")));
    let allowed = wrong.header("allow").unwrap();
    assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
}

#[tokio::test]
async fn decisions_turn_at_the_end_of_the_window() {
    let running = Running::start().await;
    let described = description(&running).await;
    let mut question = json!({
        "url": URL, "platform": "kuaishou", "surface": "live_cart", "shop_type": "self_operated", "at": LAST,
    });
    let before = running.admin("POST", "/v1/decide", &question).await;
    assert_eq!(before.status, 200, "{}", before.text);
    fits_answer(&described, "post", "/v1/decide", &before);
    let order: Vec<usize> =
        ["outcome", "reason", "agreement", "policy_version", "at", "valid_until", "landing", "trace"]
            .iter()
            .map(|key| before.text.find(&format!("\"{key}\":")).unwrap())
            .collect();
    assert!(order.is_sorted(), "{}", before.text);
    let before = before.json();
    assert_eq!((&before["outcome"], &before["reason"]), (&json!("allow"), &json!("allowed")));
    assert_eq!(before["agreement"], "kuaishou-jd-double11-2022");
    assert_eq!((&before["at"], &before["valid_until"]), (&json!(LAST), &json!("2022-12-01T00:00:00+08:00")));
    question["at"] = json!("2022-12-01T00:00:00+08:00");
    let after = running.admin("POST", "/v1/decide", &question).await.json();
    assert_eq!((&after["outcome"], &after["reason"]), (&json!("deny"), &json!("window_ended")));
    assert_eq!(after["agreement"], "kuaishou-jd-double11-2022");

    let mut body = draft("c1");
    body["slug"] = json!("stored");
    assert_eq!(running.admin("POST", "/v1/links", &body).await.status, 201);
    let stored = |more: Value| {
        let mut question = json!({"code": "stored"});
        question.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        question
    };
    let reason = |answer: Answer| answer.json()["reason"].as_str().unwrap_or_default().to_owned();
    let ask = async |more: Value| reason(running.admin("POST", "/v1/decide", &stored(more)).await);
    assert_eq!(ask(json!({})).await, "allowed", "its own values, now");
    assert_eq!(ask(json!({"shop_type": "pop"})).await, "shop_type_not_covered");
    running.clock.set(LAST.parse::<Timestamp>().unwrap().plus_micros(1_000));
    assert_eq!(ask(json!({})).await, "window_ended");
    assert_eq!(ask(json!({"at": LAST})).await, "allowed");
    running.admin("PATCH", "/v1/links/stored", &json!({"expires_at": "2022-12-05"})).await;
    assert_eq!(ask(json!({"at": "2022-12-05"})).await, "link_expired");
    running.admin("DELETE", "/v1/links/stored", &Value::Null).await;
    assert_eq!(ask(json!({"at": LAST})).await, "link_disabled");

    let bad = json!({"url": "x", "code": "y", "at": "soon", "link_kind": "z", "surface": "zz"});
    let faults = running.admin("POST", "/v1/decide", &bad).await.faults();
    assert_eq!(faults.len(), 4, "{faults:?}");
    let faults = running.admin("POST", "/v1/decide", &json!({"url": URL})).await.faults();
    assert_eq!(faults, ["platform", "surface"].map(|field| (field.to_owned(), "missing".to_owned())));
    assert_eq!(running.admin("POST", "/v1/decide", &json!({"code": "nothing1"})).await.status, 404);

    let policy = running.admin("GET", "/v1/policies", &Value::Null).await;
    fits_answer(&described, "get", "/v1/policies", &policy);
    assert_eq!(policy.json()["version"], before["policy_version"]);
}

#[tokio::test]
async fn policies_answer_as_they_are_described() {
    let running = Running::start().await;
    let described = description(&running).await;
    let null = &Value::Null;
    let admin = running.admin.clone();
    let published =
        async |body: Value| running.with(&admin, "PUT", "/v1/policies", &[("If-Match", "*")], &body.to_string()).await;
    let checked = async |method: &str, path: &str, body: &Value, place: &str| {
        let answer = running.admin(method, path, body).await;
        fits_answer(&described, &method.to_lowercase(), place, &answer);
        answer.json()
    };

    let first = checked("GET", "/v1/policies", null, "/v1/policies").await;
    // What is read can be written: the same agreements are the same version.
    let mut draft = json!({"agreements": first["agreements"], "defaults": first["defaults"], "note": "the same"});
    let same = published(draft.clone()).await;
    assert_eq!(same.status, 200, "{}", same.text);
    fits_answer(&described, "put", "/v1/policies", &same);
    assert_eq!((&same.json()["switched"], &same.json()["version"]), (&json!(false), &first["version"]));

    draft["agreements"][0]["until"] = json!("2099-01-01");
    draft["agreements"].as_array_mut().unwrap().pop();
    draft["defaults"] = json!([{"platform": "weibo", "marketplace": "jd", "outcome": "allow"}]);
    let would = checked("POST", "/v1/policies/check", &draft, "/v1/policies/check").await;
    let made = published(draft).await;
    fits_answer(&described, "put", "/v1/policies", &made);
    assert_eq!(made.json()["version"], would["version"]);
    let page = checked("GET", "/v1/policies/versions?limit=1", null, "/v1/policies/versions").await;
    assert_eq!(page["versions"][0]["version"], would["version"]);
    let path = format!("/v1/policies/versions/{}", first["hash"].as_str().unwrap());
    checked("GET", &path, null, "/v1/policies/versions/{version}").await;
    let path = format!("/v1/policies/diff?from={}", first["version"].as_str().unwrap());
    let diff = checked("GET", &path, null, "/v1/policies/diff").await;
    assert_eq!(diff["agreements"], would["diff"]["agreements"]);
    assert_eq!(diff["defaults"]["added"].as_array().unwrap().len(), 1);

    let kill = json!({"platform": "kuaishou", "marketplace": "jd", "creator": "c1", "shop": "shop:1", "why": "x"});
    let killed = checked("POST", "/v1/policies/kills", &kill, "/v1/policies/kills").await;
    checked("GET", "/v1/policies/kills", null, "/v1/policies/kills").await;
    let shown = checked("GET", "/v1/policies", null, "/v1/policies").await;
    assert_eq!(shown["kills"][0], killed["kill"]);
    let path = format!("/v1/policies/kills/{}", killed["kill"]["id"].as_str().unwrap());
    checked("DELETE", &path, null, "/v1/policies/kills/{id}").await;
    checked("POST", "/v1/policies/kills", &json!({"platform": "kuaishou", "why": "x"}), "/v1/policies/kills").await;

    // A kill is shown to ops whole, to creators without who and why.
    let question = json!({"url": URL, "platform": "kuaishou", "surface": "live_cart"});
    let whole = checked("POST", "/v1/decide", &question, "/v1/decide").await;
    assert_eq!((&whole["reason"], &whole["kill"]["why"]), (&json!("kill_switch"), &json!("x")));
    let (creator, _) = running.key(Role::Creator, Some("c1")).await;
    let part = running.call(&creator, "POST", "/v1/decide", &question).await;
    fits_answer(&described, "post", "/v1/decide", &part);
    assert!(part.json()["kill"]["why"].is_null() && part.json()["kill"]["until"].is_string(), "{}", part.text);
}

#[test]
fn a_recorded_hop_is_found_by_its_click_id() {
    // A lane belongs to one thread, its pump to that thread's local tasks.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let running = Running::start().await;
        let described = description(&running).await;
        let lane = running.journal.as_ref().unwrap().lane();
        tokio::task::spawn_local(lane.pump());
        let mut mint = ClickMint::new([9; 24]);
        let now = running.clock.now();
        let (id, never) = (mint.mint(now), mint.mint(now));
        let hop = Hop {
            id,
            at: now,
            code: "double-11",
            creator: "c1",
            platform: "kuaishou",
            surface: Some(Surface::LiveCart),
            placement_source: PlacementSource::Link,
            marketplace: "jd",
            shop_type: ShopType::SelfOperated,
            link_kind: LinkKind::Item,
            category: "",
            item: "100012043978",
            shop: "",
            facts: "xingtu_order",
            outcome: Outcome::Allow,
            reason: Reason::Allowed,
            agreement: "kuaishou-jd-double11-2022",
            policy_version: 0xABCD,
            bucket: Some(17),
            landing: Some(LandingMode::App),
            app: HostApp::Unknown,
            os: Os::Android,
            flags: HopFlags::NO_AGENT,
            address: [0, 0, 0xff, 0xff, 203, 0, 113, 0],
            visitor: 5,
            node: "n1",
            alternate: 0,
            tried: Tried::NONE,
            way: Some(Way::Redirect),
            macros: "",
        };
        // A neighbour in the same microsecond must not be taken for it.
        let other = Hop { id: mint.mint(now), code: "another", ..hop };
        lane.append(&other).await;
        lane.append(&hop).await;
        let text = |id| String::from_utf8(running.click_key.text(id).to_vec()).unwrap();
        let found = running.admin("GET", &format!("/v1/hops/{}", text(id)), &Value::Null).await;
        assert_eq!(found.status, 200, "{}", found.text);
        fits_answer(&described, "get", "/v1/hops/{click_id}", &found);
        let found = found.json();
        assert_eq!((&found["code"], &found["click_id"]), (&json!("double-11"), &json!(text(id))));
        assert_eq!((&found["bucket"], &found["policy_version"]), (&json!(17), &json!("000000000000abcd")));

        // Its creator and its platform see it without who clicked; nobody else is told that there is one.
        assert!(!found["address"].is_null() && !found["visitor"].is_null(), "{found}");
        for (role, scope, status) in [
            (Role::Creator, "c1", 200),
            (Role::Creator, "c2", 404),
            (Role::Platform, "kuaishou", 200),
            (Role::Platform, "douyin", 404),
            (Role::Merchant, "shop:1", 403),
        ] {
            let (key, _) = running.key(role, Some(scope)).await;
            let seen = running.call(&key, "GET", &format!("/v1/hops/{}", text(id)), &Value::Null).await;
            assert_eq!(seen.status, status, "{role} {scope}: {}", seen.text);
            if status == 200 {
                let seen = seen.json();
                assert_eq!((&seen["address"], &seen["visitor"]), (&Value::Null, &Value::Null));
                assert_eq!((&seen["click_id"], &seen["orders"]), (&found["click_id"], &json!([])));
            }
        }

        let gone = running.admin("GET", &format!("/v1/hops/{}", text(never)), &Value::Null).await;
        assert_eq!((gone.status, &gone.json()["type"]), (404, &json!("urn:hopgate:problem:unknown_hop")));
        let forged = running.admin("GET", &format!("/v1/hops/{}", "A".repeat(32)), &Value::Null).await;
        assert_eq!((forged.status, &forged.json()["type"]), (404, &json!("urn:hopgate:problem:foreign_click_id")));
        let short = running.admin("GET", "/v1/hops/short", &Value::Null).await;
        assert_eq!((short.status, short.faults()), (422, vec![("click_id".into(), "not_a_click_id".into())]));
        drop(lane);
    });
}

#[tokio::test]
async fn operators_see_whether_the_node_is_ready() {
    let mut running = Running::start().await;
    let get = async |path| send(running.ops, "GET", path, &[], "").await;
    assert_eq!(get("/livez").await.status, 200);
    let metrics = get("/metrics").await;
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    assert!(metrics.text.contains("hopgate_links 3"), "{}", metrics.text);
    let info = get("/buildinfo").await.json();
    assert_eq!((&info["node"], &info["mode"], &info["started_at"]), (&json!("n1"), &json!("written"), &json!(LAST)));
    assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(info["policy_version"].as_str().unwrap().len(), 16);
    assert_eq!(get("/readyz").await.status, 200);
    running.draining.store(true, Ordering::SeqCst);
    let journal = running.journal.take().unwrap();
    tokio::task::spawn_blocking(move || journal.close(std::time::Duration::from_secs(5))).await.unwrap().unwrap();
    let draining = send(running.ops, "GET", "/readyz", &[], "").await;
    assert_eq!((draining.status, &draining.json()["not_ready"]), (503, &json!(["draining", "journal"])));
    let lost = send(running.ops, "GET", "/v1/links", &[], "").await;
    assert_eq!((lost.status, send(running.ops, "POST", "/livez", &[], "").await.status), (404, 405));
}
