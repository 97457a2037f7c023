//! A marketplace is a file: a new one is taken, linked to and landed on without a compiler; a wrong one is told whole.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use hopgate::config::marketplaces;
use hopgate::domain::vocabulary::LinkKind;
use support::{Place, eventually};

/// A marketplace nobody has heard of.
const NEW: &str = r#"
id = "dewu"
names = { zh = "得物", en = "Dewu" }
domains = ["dewu.example"]

[[shapes]]
kind = "item"
hosts = ["m.dewu.example"]
paths = ["/router/product/{digits}-{id}.html"]
id = { names = "item", form = "number", min = 3, max = 15 }
examples = ["https://m.dewu.example/router/product/7-1234567.html"]
counter_examples = ["https://m.dewu.example/router/product/1234567.html"]

[app]
schemes = ["dewuapp"]
open = { prefix = "dewuapp://open?url=", value = "{url}" }
"#;

const URL: &str = "https://m.dewu.example/router/product/7-1234567.html?from=share&x=%41";

const POLICY: &str = "agreements:\n  - id: dewu-open\n    title: t\n    platform: kuaishou\n    marketplace: dewu\n    \
                      effect: allow\n    from: 2020-01-01\n    when: {link_kinds: [item]}\n";

fn write(place: &Place, name: &str, text: &str) {
    let path = place.path(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[test]
fn a_new_marketplace_is_a_file_and_nothing_else() {
    let place = Place::new("");
    write(&place, "policies/dewu.yaml", POLICY);
    let issue =
        ["link", "create", "--url", URL, "--platform", "kuaishou", "--surface", "live_cart", "--slug", "dewu-one"];
    let unknown = place.run(&["check"]);
    assert_eq!(unknown.code, 78, "without its file the name is not known: {unknown:?}");

    write(&place, "marketplaces/dewu.toml", NEW);
    write(&place, "marketplaces/README.md", "not a marketplace");
    let known = place.run(&["check"]);
    assert_eq!(known.code, 0, "{known:?}");
    assert!(known.out.starts_with("ok: 2 agreements, 14 marketplaces"), "{}", known.out);

    let server = place.serve(&[]);
    let made = place.run(&issue);
    assert_eq!(made.code, 0, "{made:?}");
    eventually("the link is there", || server.get("/dewu-one").status != 404);
    let answer = server.get("/dewu-one");
    assert_eq!((answer.status, answer.header("location")), (302, URL), "byte for byte");
    drop(server);
    let again = place.serve(&[]);
    eventually("it is loaded from the store", || again.get("/dewu-one").status == 302);
    drop(again);

    // Where the folder is said, it counts instead of the one beside the settings.
    place.settings("[marketplaces]\ndir = \"elsewhere\"");
    let gone = place.run(&["check"]);
    assert_eq!(gone.code, 78);
    assert!(gone.err.contains("elsewhere: cannot be read"), "{}", gone.err);
    std::fs::rename(place.path("marketplaces"), place.path("elsewhere")).unwrap();
    assert_eq!(place.run(&["check"]).code, 0);
}

#[test]
fn a_file_with_a_known_id_replaces_what_is_built_in() {
    let place = Place::new("");
    let mall = "https://mall.jd.com/index-1000004123.html";
    let explain =
        |url: &str| place.run(&["explain", "--platform", "kuaishou", "--surface", "live_cart", "--url", url, "--json"]);
    assert!(explain(mall).out.contains("\"marketplace\":\"jd\""));
    let small = "id = \"jd\"\nnames = { zh = \"京东\", en = \"JD\" }\ndomains = [\"item.jd.com\"]\n";
    write(&place, "marketplaces/jd.toml", small);
    let refused = explain(mall);
    assert!(refused.code != 0 && refused.err.contains("not a marketplace host"), "{refused:?}");
    assert!(explain(support::JD).out.contains("\"link_kind\":\"unknown\""), "its shapes went with the old file");
}

const WRONG: &str = r#"id = "Bad Id"
names = { zh = "甲" }
domains = ["com", "com.cn", "jd.com", "https://x.com", "1.2.3.4", "shop.example.com", "example.com"]
colour = "red"
noise = ["a*b"]
[[shapes]]
kind = "thing"
hosts = ["item.other.com", "*.*.shop.example.com"]
paths = ["item", "/*a*b*", "/{sku}", "/{id}{digits}", "/*{id}"]
id = { names = "item", form = "digits", min = 1, max = 90 }
[app]
android_package = "x"
ios_store_id = "abc"
schemes = ["javascript", "HTTP"]
open = { prefix = "other://x?u=", value = "nothing" }
universal_link = { prefix = "https://evil.test/t?", value = "{open}" }
in_app = { prefix = "https://shop.example.com", value = "{shop}" }
mini_program = { app_id = "x", path = "pages/x" }
"#;

/// `forwards` is data like any: hosts of the marketplace's own, and how a path begins.
#[test]
fn pages_that_lead_on_are_data_and_checked() {
    let place = Place::new("");
    let file = |forwards: &str| {
        let names = "names = { zh = \"甲\", en = \"A\" }";
        format!("id = \"shop_a\"\n{names}\ndomains = [\"shop.example.com\"]\nforwards = [{forwards}]\n")
    };
    write(
        &place,
        "marketplaces/a.toml",
        &file(
            "\"item.other.com\", \"https://go.shop.example.com\", \"go.shop.example.com/t?u=\", \"x.shop.example.com\", \"x.shop.example.com\", \"Go.shop.example.com\"",
        ),
    );
    let ran = place.run(&["check"]);
    let told: Vec<&str> = ran.err.lines().filter(|line| line.starts_with("marketplaces/")).collect();
    for (line, part) in told.iter().zip([
        "4: forwards[0]: `item.other.com` is not a host below",
        "4: forwards[1]: `https://go.shop.example.com` is not a host below",
        "4: forwards[2]: `go.shop.example.com/t?u=` does not say how a path begins",
        "4: forwards[4]: `x.shop.example.com` is there twice",
        "4: forwards[5]: `Go.shop.example.com` is not a host below",
    ]) {
        assert!(line.contains(part), "{part} not in {line}");
    }
    assert_eq!((ran.code, told.len()), (78, 5), "{ran:?}");

    write(&place, "marketplaces/a.toml", &file("\"go.shop.example.com\", \"www.shop.example.com/t_\""));
    let landing = |url: &str| place.run(&["landing", "--url", url]);
    for url in ["https://go.shop.example.com/x", "https://www.shop.example.com/T%5Fx?u=https://evil.test"] {
        let ran = landing(url);
        assert!(ran.code == 2 && ran.err.contains("is a login or forwarding page"), "{ran:?}");
    }
    assert_eq!(landing("https://www.shop.example.com/item/1").code, 0);
}

#[test]
fn every_fault_of_every_file_is_told_at_once() {
    let place = Place::new("");
    write(&place, "marketplaces/a.toml", WRONG);
    write(&place, "marketplaces/b.toml", "id = = 1\n");
    let twin = "id = \"twin\"\nnames = { zh = \"乙\", en = \"B\" }\n";
    write(&place, "marketplaces/c.toml", twin);
    write(&place, "marketplaces/d.toml", twin);
    let expected = [
        "marketplaces/a.toml:1: id: `Bad Id` is not a name",
        "marketplaces/a.toml:2: names.en: is missing",
        "marketplaces/a.toml:3: domains[0]: `com` is a top-level name",
        "marketplaces/a.toml:3: domains[1]: `com.cn` is a public suffix",
        "marketplaces/a.toml:3: domains[2]: `jd.com` overlaps `jd.com` of marketplace `jd`",
        "marketplaces/a.toml:3: domains[3]: `https://x.com` is not a domain",
        "marketplaces/a.toml:3: domains[4]: `1.2.3.4` is an address",
        "marketplaces/a.toml:3: domains[6]: `example.com` and `shop.example.com` overlap",
        "marketplaces/a.toml:4: colour: unknown key",
        "marketplaces/a.toml:5: noise[0]: `a*b` is not a query name",
        "marketplaces/a.toml:7: shapes[0].kind: `thing` is not known",
        "marketplaces/a.toml:8: shapes[0].hosts[0]: `item.other.com` is not below one of the marketplace's own `domains`",
        "marketplaces/a.toml:8: shapes[0].hosts[1]: `*.*.shop.example.com` has more than one * inside",
        "marketplaces/a.toml:9: shapes[0].paths[0]: `item` is not a path",
        "marketplaces/a.toml:9: shapes[0].paths[1]: `/*a*b*` has more than one * inside",
        "marketplaces/a.toml:9: shapes[0].paths[2]: `/{sku}` has a placeholder that is not known",
        "marketplaces/a.toml:9: shapes[0].paths[3]: `/{id}{digits}` has two placeholders in a row",
        "marketplaces/a.toml:9: shapes[0].paths[4]: `/*{id}` has a placeholder behind a *",
        "marketplaces/a.toml:10: shapes[0].id.form: `digits` is not known",
        "marketplaces/a.toml:10: shapes[0].id.max: is 90: use 1 to 64",
        "marketplaces/a.toml:12: app.android_package: `x` is not one",
        "marketplaces/a.toml:13: app.ios_store_id: `abc` is not one",
        "marketplaces/a.toml:14: app.schemes[0]: `javascript` is not an app's own scheme",
        "marketplaces/a.toml:14: app.schemes[1]: `HTTP` is not a scheme",
        "marketplaces/a.toml:15: app.open.prefix: does not begin with one of `schemes`",
        "marketplaces/a.toml:15: app.open.value: carries nothing",
        "marketplaces/a.toml:16: app.universal_link.prefix: does not begin with https://",
        "marketplaces/a.toml:17: app.in_app.prefix: does not begin with https:// and a whole host",
        "marketplaces/a.toml:17: app.in_app.value: carries nothing",
        "marketplaces/a.toml:17: app.in_app.value: holds {shop}, which is not known",
        "marketplaces/a.toml:18: app.mini_program.app_id: `x` is not one",
        "marketplaces/a.toml:18: app.mini_program.path: is not a page",
        "marketplaces/b.toml:1: not valid TOML",
        "marketplaces/d.toml:1: id: `twin` is the id of another file too",
    ];
    let ran = place.run(&["check"]);
    assert_eq!((ran.code, ran.out.as_str()), (78, ""), "{ran:?}");
    let told: Vec<&str> = ran.err.lines().filter(|line| line.starts_with("marketplaces/")).collect();
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "expected {expected}\n    told {told}");
    }
    assert_eq!(told.len(), expected.len(), "{}", ran.err);
    let refused = place.run(&["serve"]);
    let faults = |err: &str| -> Vec<String> {
        err.lines().filter(|line| line.starts_with("marketplaces/")).map(str::to_owned).collect()
    };
    assert_eq!((refused.code, faults(&refused.err)), (78, faults(&ran.err)), "serve says the same");
    assert!(!place.path("data").exists());
}

#[test]
fn a_file_s_own_examples_are_tried() {
    let place = Place::new("");
    let wrong =
        NEW.replace("7-1234567.html\"]", "7-x.html\"]").replace("product/1234567.html", "product/8-7654321.html");
    write(&place, "marketplaces/dewu.toml", &wrong);
    let ran = place.run(&["check"]);
    assert_eq!(ran.code, 78, "{ran:?}");
    for part in
        ["shapes[0].examples[0]: `https://m.dewu.example/router/product/7-x.html` does not fit", "counter_examples[0]"]
    {
        assert!(ran.err.contains(part), "{part} not in {}", ran.err);
    }
}

/// The reference's own fixtures: what is pasted, and its key, kind and variant, or the fault.
#[test]
fn fixtures() {
    let table: &[(&str, &str)] = &[
        (
            "https://detail.tmall.com/item.htm?abbucket=3&id=610947572360&ns=1&skuId=1&spm=a21n57.1",
            "tmall item taobao/item/610947572360 variant 1",
        ),
        ("https://a.m.taobao.com/i1059057030771.htm", "taobao item taobao/item/1059057030771"),
        (
            "https://item.m.jd.com/product/100012043978.html?utm_campaign=t_335139774&ShareTm=x",
            "jd alliance jd/item/100012043978",
        ),
        ("https://npcitem.jd.hk/10023923194464.html", "jd item jd/item/10023923194464"),
        ("https://wqs.jd.com/pingou/item.shtml?sku=5475198", "jd item jd/item/5475198"),
        (
            "【淘宝】假一赔四 https://e.tb.cn/h.SQ6rjlgiow5ob5s?tk=MJN9f2bd29s CZ225 「…」点击链接直接打开",
            "taobao unknown taobao/page/e.tb.cn/h.SQ6rjlgiow5ob5s",
        ),
        ("【京东】https://3.cn/36c-Q2K5?jkl=@NElVK5AACn@ MF3390 「…」", "jd unknown jd/page/3.cn/36c-Q2K5"),
        ("￥3DIFi3EsIAhRkW￥", "!unidentifiable_code"),
        ("￥AbCdEf12345￥", "!unidentifiable_code"),
        ("https://item.taobao.com.evil.test/item.htm?id=1", "!host_not_allowed"),
        ("https://item.jd.com@evil.test/1.html", "!userinfo"),
        ("https://item.jd.com:444/1.html", "!port"),
        ("https://u.jd.com/AbCdEf", "jd alliance jd/page/u.jd.com/AbCdEf"),
        // One of each of the other marketplaces.
        (
            "https://mobile.yangkeduo.com/goods2.html?goods_id=123456789012&_wv=1",
            "pinduoduo item pinduoduo/item/123456789012",
        ),
        (
            "https://mobile.yangkeduo.com/goods.html?goods_id=123456789012&pid=9724806_314941670",
            "pinduoduo alliance pinduoduo/item/123456789012",
        ),
        ("https://p.pinduoduo.com/AbCdEf", "pinduoduo unknown pinduoduo/page/p.pinduoduo.com/AbCdEf"),
        (
            "https://detail.vip.com/detail-1710626677-6918163204848509525.html",
            "vipshop item vipshop/item/6918163204848509525",
        ),
        ("https://product.suning.com/0070142956/713063356.html", "suning item suning/item/713063356/shop:0070142956"),
        ("https://m.suning.com/product/0000000000/713063356.html", "suning item suning/item/713063356/shop:0000000000"),
        ("https://shop44743559.m.youzan.com/wscgoods/detail/2oj1gtfwkshy7", "youzan item youzan/item/2oj1gtfwkshy7"),
        ("https://h5.youzan.com/v2/goods/2oj1gtfwkshy7", "youzan item youzan/item/2oj1gtfwkshy7"),
        (
            "https://100000633349.retail.n.weimob.com/saas/retail/100000633349/0/goods/detail/vwif?id=1453840460149",
            "weimob item weimob/item/1453840460149",
        ),
        ("https://dpurl.cn/AbCdEf", "meituan unknown meituan/page/dpurl.cn/AbCdEf"),
        (
            "https://www.xiaohongshu.com/explore/683e945d5c987e001553055b?xsec_token=x",
            "xiaohongshu content xiaohongshu/page/www.xiaohongshu.com/explore/683e945d5c987e001553055b",
        ),
        (
            "https://app.kwaixiaodian.com/merchant/shop/detail?id=3822098374573",
            "kuaishou item kuaishou/item/3822098374573",
        ),
        (
            "https://haohuo.jinritemai.com/views/product/item2?id=3000000000000000001",
            "douyin item douyin/item/3000000000000000001",
        ),
    ];
    let words = marketplaces::shipped();
    for (text, expected) in table {
        let found = match words.markets().recognise_text(text) {
            Err(fault) => format!("!{}", fault.code()),
            Ok(landing) => {
                let variant =
                    landing.variant.as_deref().map(|variant| format!(" variant {variant}")).unwrap_or_default();
                assert!(landing.link_kind != LinkKind::Item || landing.item.is_some(), "{text}");
                let marketplace = words.marketplace_name(landing.marketplace);
                format!("{marketplace} {} {}{variant}", landing.link_kind, landing.key(words.markets()))
            }
        };
        assert_eq!(found, *expected, "{text}");
    }
}

#[test]
fn reserved_ids_strange_families_and_names_anybody_can_have_are_refused() {
    let place = Place::new("");
    for (id, more) in
        [("any", ""), ("all", ""), ("unknown", ""), ("kin", "family = \"nobody\"\n"), ("own", "family = \"jd\"\n")]
    {
        let text = format!("id = \"{id}\"\nnames = {{ zh = \"乙\", en = \"B\" }}\n{more}");
        write(&place, &format!("marketplaces/{id}.toml"), &text);
    }
    let hosts = [
        "aliyuncs.com",
        "oss-cn-hangzhou.aliyuncs.com",
        "s3.amazonaws.com",
        "r2.dev",
        "trycloudflare.com",
        "uk.com",
        "in.th",
        "shop.localhost",
        "shop.internal",
        "xn--fiq228c.com",
        "shop.r2.dev",
    ];
    let domains: Vec<String> = hosts.iter().map(|host| format!("\"{host}\"")).collect();
    let text = format!("id = \"hosts\"\nnames = {{ zh = \"乙\", en = \"B\" }}\ndomains = [{}]\n", domains.join(", "));
    write(&place, "marketplaces/hosts.toml", &text);
    let ran = place.run(&["check"]);
    assert_eq!(ran.code, 78, "{ran:?}");
    let told = ran.err;
    for part in [
        "any.toml:1: id: `any` means something else",
        "all.toml:1: id: `all` means something else",
        "unknown.toml:1: id: `unknown` means something else",
        "kin.toml:3: family: `nobody` is the id of no marketplace",
        "domains[0]: `aliyuncs.com` is a public suffix",
        "domains[1]: `oss-cn-hangzhou.aliyuncs.com` is a public suffix",
        "domains[2]: `s3.amazonaws.com` is a public suffix",
        "domains[3]: `r2.dev` is a public suffix",
        "domains[4]: `trycloudflare.com` is a public suffix",
        "domains[5]: `uk.com` is a public suffix",
        "domains[6]: `in.th` is a public suffix",
        "domains[7]: `shop.localhost` lies in a private network",
        "domains[8]: `shop.internal` lies in a private network",
        "domains[9]: `xn--fiq228c.com` holds the `xn--` form",
    ] {
        assert!(told.contains(part), "{part} not in\n{told}");
    }
    assert!(!told.contains("marketplaces/own.toml") && !told.contains("shop.r2.dev"), "{told}");
}
