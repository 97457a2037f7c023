//! Names as people write them. A name that came by data and has no words here is shown as its id.

use super::Language;
use crate::domain::marketplace::table::Names;
use crate::domain::vocabulary::{LinkKind, ShopType, Surface};

/// A marketplace, by the names its data give it.
pub fn marketplace(names: &Names, language: Language) -> &str {
    match language {
        Language::Zh => &names.zh,
        Language::En => &names.en,
    }
}

/// A content platform; an empty id is wherever the reader is.
pub fn platform(id: &str, language: Language) -> String {
    let known = match id {
        "kuaishou" => ("快手", "Kuaishou"),
        "xiaohongshu" => ("小红书", "Xiaohongshu"),
        "douyin" => ("抖音", "Douyin"),
        "taobao" => ("淘宝", "Taobao"),
        "wechat" => ("微信", "WeChat"),
        "weibo" => ("微博", "Weibo"),
        "bilibili" => ("哔哩哔哩", "Bilibili"),
        "" => ("这里", "here"),
        _ => return id.to_owned(),
    };
    language.pick(known.0, known.1).to_owned()
}

/// A spot inside a platform.
pub const fn surface(surface: Surface, language: Language) -> &'static str {
    let (zh, en) = match surface {
        Surface::LiveCart => ("直播小黄车", "live room cart"),
        Surface::ShortVideoCart => ("短视频购物车", "short video cart"),
        Surface::DetailPage => ("商业详情页", "details page"),
        Surface::Profile => ("个人主页", "profile"),
        Surface::ShopPage => ("店铺页", "shop page"),
        Surface::Note => ("笔记", "note"),
        Surface::AdNote => ("广告笔记", "paid note"),
        Surface::Comment => ("评论", "comment"),
        Surface::LiveRoom => ("直播间", "live room"),
        Surface::ProductPage => ("商品页", "product page"),
        Surface::Chat => ("私信", "private message"),
        Surface::Other => ("其他位置", "other spots"),
    };
    language.pick(zh, en)
}

/// Who runs a shop.
pub const fn shop_type(shop_type: ShopType, language: Language) -> &'static str {
    let (zh, en) = match shop_type {
        ShopType::Flagship => ("天猫店铺", "Tmall shop"),
        ShopType::CStore => ("淘宝个人店", "personal Taobao shop"),
        ShopType::SelfOperated => ("京东自营", "JD's own stock"),
        ShopType::Pop => ("京东第三方店铺", "third-party shop on JD"),
        ShopType::Unknown => ("未知", "not known"),
    };
    language.pick(zh, en)
}

/// What a link leads to.
pub const fn link_kind(kind: LinkKind, language: Language) -> &'static str {
    let (zh, en) = match kind {
        LinkKind::Item => ("商品", "goods"),
        LinkKind::Shop => ("店铺", "shop"),
        LinkKind::Campaign => ("活动或优惠券", "campaign or coupon"),
        LinkKind::Alliance => ("联盟推广链接", "affiliate link"),
        LinkKind::Content => ("内容", "content"),
        LinkKind::MiniProgram => ("小程序", "mini program"),
        LinkKind::Unknown => ("未识别", "not identified"),
    };
    language.pick(zh, en)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::vocabulary::Vocabulary;

    #[test]
    fn every_name_that_comes_with_the_product_has_words() {
        let words = Vocabulary::default();
        for id in words.platforms() {
            assert!(platform(id, Language::Zh) != id && platform(id, Language::En) != id, "{id}");
        }
        assert_eq!(platform("zhihu", Language::Zh), "zhihu");
    }
}
