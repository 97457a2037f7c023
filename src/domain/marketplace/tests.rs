//! Every documented URL shape, and every way of refusing.

use super::*;
use crate::config::marketplaces::shipped;

fn recognise(url: &str) -> Result<Landing, UrlFault> {
    shipped().markets().recognise(url)
}

fn host_is_allowed(host: &str) -> Option<MarketplaceId> {
    shipped().markets().host_is_allowed(host)
}

fn key(url: &str) -> String {
    land(url).key(shipped().markets())
}

fn land(url: &str) -> Landing {
    recognise(url).unwrap_or_else(|fault| panic!("{url}: {fault}"))
}

fn code(url: &str) -> &'static str {
    match recognise(url) {
        Ok(landing) => panic!("{url} was taken as {landing:?}"),
        Err(fault) => fault.code(),
    }
}

/// URL, marketplace, kind, item (or empty), shop (or empty).
const SHAPES: &[(&str, MarketplaceId, LinkKind, &str, &str)] = {
    const T: MarketplaceId = MarketplaceId::TAOBAO;
    const M: MarketplaceId = MarketplaceId::TMALL;
    const J: MarketplaceId = MarketplaceId::JD;
    use LinkKind::{Alliance, Campaign, Item, Shop, Unknown};
    &[
        // Taobao and Tmall items
        ("https://item.taobao.com/item.htm?id=610947572360", T, Item, "610947572360", ""),
        ("https://detail.tmall.com/item.htm?id=610947572360", M, Item, "610947572360", ""),
        ("https://detail.m.tmall.com/item.htm?spm=1&id=610947572360", M, Item, "610947572360", ""),
        ("https://chaoshi.detail.tmall.com/item.htm?areaId=1&user_id=2&id=61094757236", M, Item, "61094757236", ""),
        ("https://detail.tmall.hk/item.htm?id=610947572360", M, Item, "610947572360", ""),
        ("https://detail.tmall.hk/hk/item.htm?id=610947572360", M, Item, "610947572360", ""),
        ("https://detail.liangxinyao.com/item.htm?id=610947572360", M, Item, "610947572360", ""),
        ("https://detail.yao.95095.com/item.htm?id=610947572360", M, Item, "610947572360", ""),
        ("https://items.alitrip.com/item.htm?id=610947572360", T, Item, "610947572360", ""),
        ("https://traveldetail.taobao.com/trip/x.htm?id=610947572360", T, Item, "610947572360", ""),
        ("https://traveldetail.fliggy.com/item.htm?id=610947572360", T, Item, "610947572360", ""),
        ("https://world.taobao.com/item/610947572360.htm", T, Item, "610947572360", ""),
        ("https://world.tmall.com/item/610947572360.htm?x=1", M, Item, "610947572360", ""),
        ("https://m.intl.taobao.com/detail/detail.html?id=610947572360", T, Item, "610947572360", ""),
        ("https://h5.m.taobao.com/awp/core/detail.htm?id=610947572360", T, Item, "610947572360", ""),
        ("https://h5.m.taobao.com/awp/core/detail.htm?itemId=610947572360", T, Item, "610947572360", ""),
        ("https://h5.m.tmall.com/awp/core/detail.htm?detailItemId=610947572360", M, Item, "610947572360", ""),
        ("https://a.m.taobao.com/i1059057030771.htm", T, Item, "1059057030771", ""),
        ("https://market.m.taobao.com/app/x/detail.html?id=610947572360", T, Item, "610947572360", ""),
        ("https://market.m.taobao.com/app/x/home.html?id=610947572360", T, Unknown, "", ""),
        ("https://ju.taobao.com/tg/home.htm?item_id=610947572360", T, Item, "610947572360", ""),
        ("https://baoxian.taobao.com/item.htm?id=610947572360", T, Item, "610947572360", ""),
        // Ids that are none
        ("https://item.taobao.com/item.htm", T, Unknown, "", ""),
        ("https://item.taobao.com/item.htm?id=12345", T, Unknown, "", ""),
        ("https://item.taobao.com/item.htm?id=0123456789", T, Unknown, "", ""),
        ("https://item.taobao.com/item.htm?id=1234567890123456", T, Unknown, "", ""),
        ("https://item.taobao.com/item.htm?id=%36109475723", T, Unknown, "", ""),
        ("https://item.taobao.com/item.htm?id=610947572360&id=610947572361", T, Unknown, "", ""),
        ("https://item.taobao.com/item.htm?id=610947572360&%69d=610947572361", T, Unknown, "", ""),
        ("https://item.taobao.com/item.htm?id=610947572360&id=610947572360", T, Item, "610947572360", ""),
        ("https://item.taobao.com/x/../item.htm?id=610947572360", T, Unknown, "", ""),
        ("https://item.taobao.com/item.htm#?id=610947572360", T, Unknown, "", ""),
        ("https://market.m.taobao.com/app/detail/../home.html?id=610947572360", T, Unknown, "", ""),
        ("https://uniqlo.tmall.com/shop/%2E%2e/x.htm", M, Unknown, "", ""),
        // Taobao and Tmall shops
        ("https://shop123456.taobao.com", T, Shop, "", "shop:123456"),
        ("https://shop123456.taobao.com/category.htm?x=1", T, Shop, "", "shop:123456"),
        ("https://shop123456.m.taobao.com/", T, Shop, "", "shop:123456"),
        ("https://shop.m.taobao.com/shop/shop_index.htm?shop_id=77", T, Shop, "", "shop:77"),
        ("https://shop.m.taobao.com/shop/shop_index.htm?shopId=77", T, Shop, "", "shop:77"),
        ("https://shop.m.taobao.com/shop/shop_index.htm?user_id=88", T, Shop, "", "seller:88"),
        ("https://shop.m.taobao.com/shop/shopIndex.htm?shop_id=77", T, Shop, "", "shop:77"),
        ("https://uniqlo.tmall.com/", M, Shop, "", "shop:uniqlo"),
        ("https://uniqlo.m.tmall.com", M, Shop, "", "shop:uniqlo"),
        ("https://Uniqlo.Tmall.com/shop/view_shop.htm?spm=1", M, Shop, "", "shop:uniqlo"),
        ("https://shop98765.tmall.com/", M, Shop, "", "shop:98765"),
        ("https://detail.tmall.com/", M, Unknown, "", ""),
        ("https://www.tmall.com/", M, Unknown, "", ""),
        ("https://list.tmall.com/search.htm?q=1", M, Unknown, "", ""),
        ("https://s.m.tmall.com/", M, Unknown, "", ""),
        ("https://somebody.taobao.com/", T, Unknown, "", ""),
        // Taobao short and alliance links
        ("https://m.tb.cn/h.5AbCdEf?tk=MJN9f2bd29s", T, Unknown, "", ""),
        ("https://m.tb.cn/h.5AbCdEf?sm=abc123", T, Unknown, "", ""),
        ("https://e.tb.cn/h.SQ6rjlgiow5ob5s?tk=MJN9f2bd29s", T, Unknown, "", ""),
        ("https://tb.cn/x", T, Unknown, "", ""),
        ("https://s.click.taobao.com/t?e=m%3D2%26s%3Dabc", T, Alliance, "", ""),
        ("https://s.click.taobao.com/aBcDeF1", T, Alliance, "", ""),
        ("https://s.click.taobao.com/aBcDeF1?af=3", T, Alliance, "", ""),
        ("https://uland.taobao.com/coupon/edetail?e=abc%2B&pid=mm_1_2_3&af=1", T, Alliance, "", ""),
        (
            "https://uland.taobao.com/coupon/edetail?activityId=a&itemId=610947572360&pid=mm_1_2_3&dx=1&src=x",
            T,
            Alliance,
            "610947572360",
            "",
        ),
        ("https://uland.taobao.com/coupon/edetail?e=a&itemId=KgVb2-Yb_iQVOG", T, Alliance, "KgVb2-Yb_iQVOG", ""),
        (
            "https://uland.taobao.com/coupon/edetail?activityId=a&auctionId=610947572360",
            T,
            Campaign,
            "610947572360",
            "",
        ),
        ("https://uland.taobao.com/sem/tbsearch?keyword=x", T, Campaign, "", ""),
        ("https://item.taobao.com/item.htm?id=610947572360&ali_trackid=2:mm_1_2_3", T, Alliance, "610947572360", ""),
        ("https://detail.tmall.com/item.htm?id=610947572360&union_lens=lensId%3A1", M, Alliance, "610947572360", ""),
        ("https://detail.tmall.com/item.htm?id=610947572360&union_lens=", M, Item, "610947572360", ""),
        ("https://uniqlo.tmall.com/?ali_trackid=2:mm_1_2_3", M, Shop, "", "shop:uniqlo"),
        ("https://click.simba.taobao.com/cc_im?p=x&e=y", T, Campaign, "", ""),
        // JD items
        ("https://item.jd.com/100012043978.html", J, Item, "100012043978", ""),
        ("https://item.m.jd.com/product/100012043978.html", J, Item, "100012043978", ""),
        ("https://item.m.jd.com/ware/view.action?wareId=100012043978", J, Item, "100012043978", ""),
        ("https://item.m.jd.com/ware/100012043978.html", J, Item, "100012043978", ""),
        ("https://in.m.jd.com/product/100012043978.html", J, Item, "100012043978", ""),
        ("https://item.jd.hk/10023923194464.html", J, Item, "10023923194464", ""),
        ("https://npcitem.jd.hk/10023923194464.html", J, Item, "10023923194464", ""),
        ("https://mitem.jd.hk/product/10023923194464.html", J, Item, "10023923194464", ""),
        ("https://mitem.jd.hk/ware/view.action?wareId=10023923194464", J, Item, "10023923194464", ""),
        ("https://i-item.jd.com/5475198.html", J, Item, "5475198", ""),
        ("https://item.yiyaojd.com/5475198.html", J, Item, "5475198", ""),
        ("https://item.jkcsjd.com/5475198.html", J, Item, "5475198", ""),
        ("https://mitem.jkcsjd.com/product/5475198.html", J, Item, "5475198", ""),
        ("https://kpl.m.jd.com/product?wareId=5475198", J, Item, "5475198", ""),
        ("https://m.jingxi.com/item/view?sku=5475198", J, Item, "5475198", ""),
        ("https://m.jingxi.com/item/jxview?sku=5475198", J, Item, "5475198", ""),
        ("https://wq.jd.com/item/view?sku=5475198", J, Item, "5475198", ""),
        ("https://wqitem.jd.com/item/view?sku=5475198", J, Item, "5475198", ""),
        ("https://wqs.jd.com/pingou/item.shtml?sku=5475198", J, Item, "5475198", ""),
        (
            "https://item.m.jd.com/product/100012043978.html?utm_campaign=t_335139774&ShareTm=x",
            J,
            Alliance,
            "100012043978",
            "",
        ),
        (
            "https://item.m.jd.com/product/100012043978.html?utm_campaign=&utm_source=iosapp",
            J,
            Item,
            "100012043978",
            "",
        ),
        ("https://item.jd.com/1234.html", J, Unknown, "", ""),
        ("https://item.jd.com/1234567890123456.html", J, Unknown, "", ""),
        ("https://item.jd.com/", J, Unknown, "", ""),
        // JD campaigns and shops
        ("https://pro.m.jd.com/mall/active/3W8Q7mFJ/index.html", J, Campaign, "", ""),
        ("https://prodev.m.jd.com/mall/active/3W8Q7mFJ/index.html?babelChannel=1", J, Campaign, "", ""),
        ("https://pro.m.jd.com/mall/active/3W8Q7mFJ/../../x", J, Unknown, "", ""),
        ("https://coupon.m.jd.com/coupons/show.action?key=1", J, Campaign, "", ""),
        ("https://mall.jd.com/index-1000004123.html", J, Shop, "", "shop:1000004123"),
        ("https://shop.m.jd.com/?shopId=1000004123", J, Shop, "", "shop:1000004123"),
        ("https://shop.m.jd.com?shopId=1000004123", J, Shop, "", "shop:1000004123"),
        // JD short and alliance links
        (
            "https://jingfen.jd.com/detail/Jz3aYn_8bQ2mKxV-pL0rT5uWcE7sHf9gD1iOy4k6.html",
            J,
            Alliance,
            "Jz3aYn_8bQ2mKxV-pL0rT5uWcE7sHf9gD1iOy4k6",
            "",
        ),
        ("https://u.jd.com/AbCdEf", J, Alliance, "", ""),
        ("https://union-click.jd.com/jdc?e=0&p=AyIGZRprFQ", J, Alliance, "", ""),
        ("https://union-click.jd.com/jdc?d=abc123", J, Alliance, "", ""),
        ("https://union-click.jd.com/jda?e=0&p=A", J, Alliance, "", ""),
        ("https://union-click.jd.com/", J, Unknown, "", ""),
        ("https://3.cn/36c-Q2K5?jkl=@NElVK5AACn@", J, Unknown, "", ""),
        ("https://3.jd.hk/-102POe0", J, Unknown, "", ""),
        ("https://www.jd.com/", J, Unknown, "", ""),
    ]
};

#[test]
fn every_shape() {
    for (url, marketplace, kind, item, shop) in SHAPES {
        let landing = land(url);
        assert_eq!(landing.marketplace, *marketplace, "{url}");
        assert_eq!(landing.link_kind, *kind, "{url}");
        assert_eq!(landing.item.as_deref().unwrap_or(""), *item, "{url}");
        assert_eq!(landing.shop.as_deref().unwrap_or(""), *shop, "{url}");
        let hint = if *marketplace == MarketplaceId::TMALL { ShopType::Flagship } else { ShopType::Unknown };
        assert_eq!(landing.shop_hint, hint, "{url}");
        let (again, found) = Destination::from_stored(landing.destination.as_str(), shipped().markets()).unwrap();
        assert_eq!((again, found), (landing.destination, *marketplace), "{url}");
    }
}

#[test]
fn fixtures() {
    let tmall = land("https://detail.tmall.com/item.htm?abbucket=3&id=610947572360&ns=1&skuId=1&spm=a21n57.1");
    assert_eq!(tmall.variant.as_deref(), Some("1"));
    assert_eq!(tmall.key(shipped().markets()), "taobao/item/610947572360");
    assert_eq!(tmall.key(shipped().markets()), key("https://item.taobao.com/item.htm?id=610947572360"));
    assert_eq!(key("https://npcitem.jd.hk/10023923194464.html"), "jd/item/10023923194464");
    assert_eq!(code("https://item.taobao.com.evil.test/item.htm?id=1"), "host_not_allowed");
    assert_eq!(code("https://item.jd.com@evil.test/1.html"), "userinfo");
    assert_eq!(code("https://item.jd.com:444/1.html"), "port");
    let share = land("https://3.cn/36c-Q2K5?jkl=@NElVK5AACn@");
    assert_eq!(share.destination.as_str(), "https://3.cn/36c-Q2K5?jkl=@NElVK5AACn@");
    assert_eq!(share.key(shipped().markets()), "jd/page/3.cn/36c-Q2K5");
    assert_eq!(key("https://e.tb.cn/h.SQ6?tk=MJN9f2bd29s"), key("https://e.tb.cn/h.SQ6?tk=other"));
}

#[test]
fn keys_of_pages_keep_what_tells_them_apart() {
    assert_eq!(key("https://s.click.taobao.com/t?e=A&spm=1"), "taobao/page/s.click.taobao.com/t?e=A");
    assert_eq!(key("https://www.jd.com#x"), "jd/page/www.jd.com/");
    assert_eq!(key("https://www.taobao.com/?scm.7=1&q=2"), "taobao/page/www.taobao.com/?q=2");
    assert_eq!(key("https://shop1.taobao.com/"), "taobao/shop/shop:1");
    assert_ne!(
        key("https://shop.m.taobao.com/shop/shop_index.htm?shop_id=7"),
        key("https://shop.m.taobao.com/shop/shop_index.htm?user_id=7")
    );
}

#[test]
fn refusals() {
    for (url, expected) in [
        ("", "empty"),
        (" \r\n\t", "empty"),
        ("https://item.jd.com/1\r\nSet-Cookie:a", "control_character"),
        ("https://item.jd.com/\t1.html", "control_character"),
        ("ht\ttps://item.jd.com/1.html", "control_character"),
        ("https://item.jd.com/\u{85}1.html", "control_character"),
        ("https://evil.test\\@item.jd.com/1.html", "backslash"),
        ("https:\\\\item.jd.com", "backslash"),
        ("https://item.jd.com/?a=\\", "backslash"),
        ("javascript:alert(1)", "scheme"),
        ("data:text/html,x", "scheme"),
        ("ftp://item.jd.com/1.html", "scheme"),
        ("taobao://item.taobao.com/item.htm?id=610947572360", "scheme"),
        ("//item.jd.com/1.html", "scheme"),
        ("///evil.test", "scheme"),
        ("item.jd.com/1.html", "not_a_url"),
        ("hello", "not_a_url"),
        ("https:item.jd.com/1.html", "not_a_url"),
        ("https:/item.jd.com/1.html", "not_a_url"),
        ("https:///item.jd.com/1.html", "not_a_url"),
        ("https://", "not_a_url"),
        ("https://.", "not_a_url"),
        ("https://item jd.com/", "not_a_url"),
        ("https://user:pass@item.jd.com/1.html", "userinfo"),
        ("https://@item.jd.com/1.html", "userinfo"),
        ("https://item.jd.com:80/1.html", "port"),
        ("http://item.jd.com:443/1.html", "port"),
        ("https://item.jd.com:0443/1.html", "port"),
        ("https://item.jd.com:/1.html", "port"),
        ("https://item.jd。com/1.html", "mixed_script_host"),
        ("https://item．jd.com/1.html", "mixed_script_host"),
        ("https://item.jd.com｡evil.test/", "mixed_script_host"),
        ("https://item.jd.com／evil.test/", "mixed_script_host"),
        ("https://itеm.jd.com/1.html", "mixed_script_host"),
        ("https://item.jd.com商品", "mixed_script_host"),
        ("https://xn--itm-qdd.jd.com/1.html", "mixed_script_host"),
        ("https://item%2ejd.com/", "encoded_host"),
        ("https://item.jd.com%0d%0a.evil.test/", "encoded_host"),
        ("https://item.jd.com%00.evil.test/", "encoded_host"),
        ("https://127.0.0.1/", "ip_host"),
        ("https://2130706433/", "ip_host"),
        ("https://0x7f.1/", "ip_host"),
        ("https://[::1]/", "ip_host"),
        ("https://item.jd.com../1.html", "host_dots"),
        ("https://.item.jd.com/1.html", "host_dots"),
        ("https://item..jd.com/1.html", "host_dots"),
        ("https://evil.test/?u=https://item.jd.com/1.html", "host_not_allowed"),
        ("https://jd.cn/x", "host_not_allowed"),
        ("https://-item.jd.com/x", "host_not_allowed"),
        ("https://login.taobao.com/member/login.jhtml?redirectURL=https://evil.test", "host_forwards"),
        ("https://passport.jd.com/new/login.aspx?ReturnUrl=https://evil.test", "host_forwards"),
        ("https://plogin.m.jd.com/login/login?returnurl=https://evil.test", "host_forwards"),
        ("https://item.jd.com/%0d%0aSet-Cookie:a", "encoded_line_break"),
        ("https://item.jd.com/%0A", "encoded_line_break"),
        ("https://item.jd.com/?a=%0D%0aSet-Cookie:a", "encoded_line_break"),
        ("https://item.jd.com/?a=%00", "encoded_line_break"),
    ] {
        assert_eq!(code(url), expected, "{url:?}");
    }
    assert_eq!(code(&"x".repeat(3_000_000)), "too_long");
    assert_eq!(code(&" ".repeat(LONGEST + 1)), "too_long");
    assert_eq!(code(&format!("https://item.jd.com/{}", "中".repeat(1_000))), "too_long");
}

#[test]
fn the_rest_is_kept_byte_for_byte() {
    for (pasted, emitted) in [
        ("  HTTP://ITEM.JD.COM.:80/100012043978.html\n", "https://item.jd.com/100012043978.html"),
        ("https://item.jd.com:443/100012043978.html", "https://item.jd.com/100012043978.html"),
        ("https://item.jd.com", "https://item.jd.com"),
        ("https://item.jd.com?a=1", "https://item.jd.com?a=1"),
        (
            "https://item.jd.com/a/../b//c/./%2E?x='(1)'&y=%3d%zz#f'/?#g",
            "https://item.jd.com/a/../b//c/./%2E?x='(1)'&y=%3d%zz#f'/?#g",
        ),
        ("https://s.click.taobao.com/t?e=m%3D2%26s%3D%0A+/=", "https://s.click.taobao.com/t?e=m%3D2%26s%3D%0A+/="),
        ("https://www.jd.com/中?q=a b\"<>^`{|}", "https://www.jd.com/%E4%B8%AD?q=a%20b%22%3C%3E%5E%60%7B%7C%7D"),
    ] {
        assert_eq!(land(pasted).destination.as_str(), emitted);
    }
}

#[test]
fn stored_addresses_are_checked_again() {
    for (text, expected) in [
        ("http://item.jd.com/1.html", "not_normalised"),
        ("HTTPS://item.jd.com/1.html", "not_normalised"),
        ("https://item.jd.com/中", "not_normalised"),
        ("https://item.jd.com/a b", "not_normalised"),
        ("https://item.jd.com/\r\n", "not_normalised"),
        ("https://item.jd.com/\\", "not_normalised"),
        ("https://Item.jd.com/", "host_not_allowed"),
        ("https://a@item.jd.com/", "host_not_allowed"),
        ("https://item.jd.com:443/", "host_not_allowed"),
        ("https://item.jd.com./", "host_not_allowed"),
        ("https://evil.test\\@item.jd.com/", "host_not_allowed"),
        ("https://evil.test/", "host_not_allowed"),
        ("https://", "host_not_allowed"),
        ("https://passport.jd.com/", "host_forwards"),
        ("https://linkst.m.jd.com/ul/ul.action?x=1", "host_forwards"),
        ("https://ace.tb.cn/t?smburl=https%3A%2F%2Fevil.test", "host_forwards"),
        ("https://s.click.taobao.com/t%5Fjs?tu=https%3A%2F%2Fevil.test", "host_forwards"),
    ] {
        assert_eq!(Destination::from_stored(text, shipped().markets()).unwrap_err().code(), expected, "{text:?}");
    }
    let long = format!("https://item.jd.com/{}", "a".repeat(LONGEST));
    assert_eq!(Destination::from_stored(&long, shipped().markets()).unwrap_err().code(), "too_long");
    assert_eq!(land("https://item.jd.com?a").destination.host(), "item.jd.com");
}

/// The strict reading lets none of these through; the proof must stand without it.
#[test]
fn the_proof_stands_alone() {
    assert!(Destination::prove("https://item.jd.com/1.html".to_owned(), "item.jd.com", shipped().markets()).is_ok());
    for text in [
        "https://item.jd.com@evil.test/",
        "https://evil.test/",
        "https://a@item.jd.com/",
        "https://item.jd.com:444/",
        "http://item.jd.com/",
        "https:///item.jd.com/",
        "https://evil.test\\.jd.com/",
        "https://item.jd.com",
    ] {
        let host = if text == "https://item.jd.com" { "other.jd.com" } else { "item.jd.com" };
        assert_eq!(
            Destination::prove(text.to_owned(), host, shipped().markets()),
            Err(UrlFault::ParsersDisagree),
            "{text}"
        );
        assert!(!browser_sees(text, host) || text.contains("///"), "a browser: {text}");
        assert!(!rfc_3986_sees(text, host), "the other parser: {text}");
    }
}

#[test]
fn messages_name_the_host_but_never_at_length() {
    let fault = recognise(&format!("https://{}.test/", "a".repeat(63))).unwrap_err();
    assert!(fault.to_string().len() < 200, "{fault}");
}

#[test]
fn the_platforms_own_shops_are_landings_on_one_host_each() {
    let found = |url: &str| {
        let landing = recognise(url).unwrap();
        (landing.marketplace, landing.link_kind, landing.item.or(landing.shop).map(String::from).unwrap_or_default())
    };
    let (kuaishou, xiaohongshu) = (MarketplaceId::KUAISHOU, MarketplaceId::XIAOHONGSHU);
    for (url, expected) in [
        (
            "https://app.kwaixiaodian.com/merchant/shop/detail?id=3822098374573&hyId=kwaishop&layoutType=4",
            (kuaishou, LinkKind::Item, "3822098374573"),
        ),
        (
            "https://app.kwaixiaodian.com/web/kwaishop-goods-detail-page-app?id=26065497098904&source=x",
            (kuaishou, LinkKind::Item, "26065497098904"),
        ),
        ("https://app.kwaixiaodian.com/merchant/shop/home?a=1", (kuaishou, LinkKind::Shop, "")),
        (
            "https://www.xiaohongshu.com/goods-detail/69416947bd92f50001874a6c?t=1&xsec_token=ABm_M%3D",
            (xiaohongshu, LinkKind::Item, "69416947bd92f50001874a6c"),
        ),
        (
            "https://www.xiaohongshu.com/shop/683e945d5c987e001553055b",
            (xiaohongshu, LinkKind::Shop, "shop:683e945d5c987e001553055b"),
        ),
        ("https://www.xiaohongshu.com/explore/683e945d5c987e001553055b", (xiaohongshu, LinkKind::Content, "")),
    ] {
        assert_eq!(found(url), (expected.0, expected.1, expected.2.to_owned()), "{url}");
    }
    let goods = "https://www.xiaohongshu.com/goods-detail/69416947bd92f50001874a6c";
    assert_eq!(key(&format!("{goods}?t=1")), key(goods));
    for host in
        ["s.kwaixiaodian.com", "login.kwaixiaodian.com", "kwaixiaodian.com", "xiaohongshu.com", "ad.xiaohongshu.com"]
    {
        assert_eq!(host_is_allowed(host), None, "{host}");
    }
}
