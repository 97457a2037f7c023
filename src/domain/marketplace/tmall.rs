//! Tmall: brand shops, cross-border and pharmacy goods. Shares Taobao's item numbers, affiliate tags and alliance.
//!
//! Data only. A Tmall host is a hint of a flagship shop, never a proof.

use super::table::{Id, Marketplace};
use super::taobao::{self, item, shop};
use crate::domain::vocabulary::{MarketplaceId, ShopType};

pub(super) const MARKETPLACE: Marketplace = Marketplace {
    id: MarketplaceId::TMALL,
    family: "taobao",
    domains: &["tmall.com", "tmall.hk", "liangxinyao.com", "95095.com"],
    shop_hint: ShopType::Flagship,
    services: SERVICES,
    shapes: &[
        item(&["detail.tmall.com", "detail.m.tmall.com", "chaoshi.detail.tmall.com"], &["/item.htm"], &["id"]),
        item(&["detail.tmall.hk"], &["/item.htm", "/hk/item.htm"], &["id"]),
        item(&["detail.liangxinyao.com", "detail.yao.95095.com"], &["/item.htm"], &["id"]),
        item(&["world.tmall.com"], &["/item/{id}.htm"], &[]),
        item(&["h5.m.tmall.com"], &["/awp/core/detail.htm"], &["id", "itemId", "detailItemId"]),
        shop(&["shop{id}.tmall.com", "shop{id}.m.tmall.com"], SHOP_PAGES, &[], Id::ShopNumber),
        shop(&["{id}.tmall.com", "{id}.m.tmall.com"], SHOP_PAGES, &[], Id::ShopName),
    ],
    variant: &["skuId"],
    noise: &[NOISE, taobao::NOISE],
};

/// Only these pages of `<name>.tmall.com`: a service host missing from [`SERVICES`] then seldom passes for a shop.
const SHOP_PAGES: &[&str] =
    &["", "/", "/index.htm", "/shop/*", "/view_shop.htm", "/category.htm", "/category-*", "/search.htm", "/p/*"];

#[rustfmt::skip]
const SERVICES: &[&str] = &[
    "1111", "3c", "618", "a", "act", "apply", "baby", "beauty", "brand", "buy", "buyertrade", "cart", "chaoshi", "click",
    "content", "coupon", "detail", "fashion", "favorite", "food", "g", "guang", "h5", "help", "home", "huodong", "i",
    "img", "import", "item", "ju", "life", "list", "m", "mall", "market", "member", "miao", "mdetail", "mobile", "my",
    "nvzhuang", "open", "order", "pages", "pay", "pin", "point", "ppm", "promo", "promotion", "rate", "rule", "rules",
    "s", "sale", "search", "sec", "service", "shop", "shopping", "sjhz", "static", "store", "tmc", "trade", "vip", "wap",
    "world", "www", "xue", "yao", "zhaoshang",
];

/// Noise on Tmall only: elsewhere a `user_id` may be the one thing that names a seller.
const NOISE: &[&str] = &["user_number_id", "activity_id", "from", "areaId", "user_id", "cat_id", "is_b", "rn"];
