//! JD: its own stock and third-party shops, worldwide, pharmacy and Jingxi goods, and the links of its union.
//!
//! Data only. `3.cn` and `3.jd.hk` app shares have no shape on purpose: what they lead to is not known until they are
//! resolved. Who runs the shop is never guessed from a number's length or start; the alliance's fields tell.

use super::table::{Id, Marketplace, Shape, Tag};
use crate::domain::vocabulary::{LinkKind, MarketplaceId, ShopType};

/// The union's own carrier, `utm_campaign=t_<unionId>_<subUnionId>`, among its fellows.
const TAGS: &[Tag] = &[Tag::Numbered("utm_campaign", "t_"), Tag::Present("union_lens"), Tag::Present("ali_trackid")];

/// A page of one item, by its number.
const fn item(hosts: &'static [&'static str], paths: &'static [&'static str], query: &'static [&'static str]) -> Shape {
    Shape { hosts, paths, query, id: Id::Sku, kind: LinkKind::Item, tags: TAGS }
}

/// A shop's page.
const fn shop(hosts: &'static [&'static str], paths: &'static [&'static str], query: &'static [&'static str]) -> Shape {
    Shape { hosts, paths, query, id: Id::ShopNumber, kind: LinkKind::Shop, tags: &[] }
}

/// A link of the union itself.
const fn alliance(
    hosts: &'static [&'static str],
    paths: &'static [&'static str],
    query: &'static [&'static str],
    id: Id,
) -> Shape {
    Shape { hosts, paths, query, id, kind: LinkKind::Alliance, tags: &[] }
}

/// A campaign or coupon page.
const fn campaign(hosts: &'static [&'static str], paths: &'static [&'static str], id: Id) -> Shape {
    Shape { hosts, paths, query: &[], id, kind: LinkKind::Campaign, tags: &[] }
}

pub(super) const MARKETPLACE: Marketplace = Marketplace {
    id: MarketplaceId::JD,
    family: "jd",
    domains: &["jd.com", "jd.hk", "3.cn", "jingxi.com", "yiyaojd.com", "jkcsjd.com"],
    shop_hint: ShopType::Unknown,
    services: &[],
    shapes: &[
        item(&["item.jd.com", "i-item.jd.com", "item.yiyaojd.com", "item.jkcsjd.com"], &["/{id}.html"], &[]),
        item(&["item.jd.hk", "npcitem.jd.hk"], &["/{id}.html"], &[]),
        item(&["item.m.jd.com"], &["/product/{id}.html", "/ware/{id}.html"], &[]),
        item(&["in.m.jd.com", "mitem.jd.hk", "mitem.jkcsjd.com"], &["/product/{id}.html"], &[]),
        item(&["item.m.jd.com", "mitem.jd.hk"], &["/ware/view.action"], &["wareId"]),
        item(&["kpl.m.jd.com"], &["/product"], &["wareId"]),
        item(&["m.jingxi.com"], &["/item/view", "/item/jxview"], &["sku"]),
        item(&["wq.jd.com", "wqitem.jd.com"], &["/item/view"], &["sku"]),
        item(&["wqs.jd.com"], &["/pingou/item.shtml"], &["sku"]),
        alliance(&["jingfen.jd.com"], &["/detail/{id}.html"], &[], Id::AllianceItem),
        alliance(&["u.jd.com"], &["/{id}"], &[], Id::Code),
        alliance(&["union-click.jd.com"], &["/jdc", "/jda"], &["e", "d", "p"], Id::Opaque),
        campaign(
            &["pro.m.jd.com", "prodev.m.jd.com"],
            &["/mall/active/{id}/index.html", "/mall/active/{id}/", "/mall/active/{id}"],
            Id::Code,
        ),
        campaign(&["coupon.m.jd.com"], &["/coupons/show.action"], Id::Nothing),
        shop(&["mall.jd.com"], &["/index-{id}.html"], &[]),
        shop(&["shop.m.jd.com"], &["", "/", "/shop/home"], &["shopId"]),
    ],
    variant: &[],
    noise: &[NOISE],
};

#[rustfmt::skip]
const NOISE: &[&str] = &[
    "utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_user", "ad_od", "ShareTm", "gx", "gxd", "wxa_abtest",
    "un_area", "sid", "_ts", "jkl",
];
