//! Taobao: personal shops, its travel sites, its short links, and the alliance's links for Taobao and Tmall alike.
//!
//! Data only. `m.tb.cn` and `e.tb.cn` app shares have no shape on purpose: what they lead to is not known until they
//! are resolved, and their `tk` names the share, never a product. `<name>.taobao.com` has none either: too many of
//! those hosts are services.

use super::table::{Id, Marketplace, Shape, Tag};
use crate::domain::vocabulary::{LinkKind, MarketplaceId, ShopType};

/// Marks of the alliance on an item page.
pub(super) const ITEM_TAGS: &[Tag] =
    &[Tag::Present("ali_trackid"), Tag::Present("union_lens"), Tag::Numbered("utm_campaign", "t_")];

/// A page of one item, by its number.
pub(super) const fn item(
    hosts: &'static [&'static str],
    paths: &'static [&'static str],
    query: &'static [&'static str],
) -> Shape {
    Shape { hosts, paths, query, id: Id::ItemNumber, kind: LinkKind::Item, tags: ITEM_TAGS }
}

/// A shop's page.
pub(super) const fn shop(
    hosts: &'static [&'static str],
    paths: &'static [&'static str],
    query: &'static [&'static str],
    id: Id,
) -> Shape {
    Shape { hosts, paths, query, id, kind: LinkKind::Shop, tags: &[] }
}

/// A link of the alliance itself.
const fn alliance(paths: &'static [&'static str], query: &'static [&'static str], id: Id) -> Shape {
    Shape { hosts: &["s.click.taobao.com"], paths, query, id, kind: LinkKind::Alliance, tags: &[] }
}

/// A coupon page: the alliance's when it carries the encrypted form or a promoter's pid.
const fn coupon(query: &'static [&'static str], id: Id) -> Shape {
    Shape {
        hosts: &["uland.taobao.com"],
        paths: &["/*"],
        query,
        id,
        kind: LinkKind::Campaign,
        tags: &[Tag::Present("e"), Tag::Numbered("pid", "mm_")],
    }
}

pub(super) const MARKETPLACE: Marketplace = Marketplace {
    id: MarketplaceId::TAOBAO,
    family: "taobao",
    domains: &["taobao.com", "tb.cn", "fliggy.com", "alitrip.com"],
    shop_hint: ShopType::Unknown,
    services: &[],
    shapes: &[
        item(&["item.taobao.com", "baoxian.taobao.com"], &["/item.htm"], &["id"]),
        item(&["items.alitrip.com", "traveldetail.taobao.com", "traveldetail.fliggy.com"], &["/*"], &["id"]),
        item(&["world.taobao.com"], &["/item/{id}.htm"], &[]),
        item(&["m.intl.taobao.com"], &["/detail/detail.html"], &["id"]),
        item(&["h5.m.taobao.com"], &["/awp/core/detail.htm"], &["id", "itemId", "detailItemId"]),
        item(&["a.m.taobao.com"], &["/i{id}.htm"], &[]),
        item(&["market.m.taobao.com"], &["/*detail*"], &["id"]),
        item(&["ju.taobao.com"], &["/*"], &["item_id"]),
        coupon(&["itemId", "item_id", "auctionId"], Id::AllianceItem),
        coupon(&[], Id::Nothing),
        alliance(&["/t"], &["e"], Id::Opaque),
        alliance(&["/{id}"], &[], Id::Code),
        // Search advertising, paid per click: no commission, so not the alliance's.
        Shape {
            hosts: &["click.simba.taobao.com"],
            paths: &["*"],
            query: &[],
            id: Id::Nothing,
            kind: LinkKind::Campaign,
            tags: &[],
        },
        shop(&["shop{id}.taobao.com", "shop{id}.m.taobao.com"], &["*"], &[], Id::ShopNumber),
        shop(&["shop.m.taobao.com"], SHOP_PAGES, &["shop_id", "shopId"], Id::ShopNumber),
        shop(&["shop.m.taobao.com"], SHOP_PAGES, &["user_id"], Id::SellerNumber),
    ],
    variant: &["skuId"],
    noise: &[NOISE],
};

const SHOP_PAGES: &[&str] = &["/shop/shop_index.htm", "/shop/shopIndex.htm", "/shopIndex.htm"];

/// Query names that never tell two products apart. `*` stands for any ending.
#[rustfmt::skip]
pub(super) const NOISE: &[&str] = &[
    "price", "sourceType", "suid", "ut_sk", "un", "share_crt_v", "sp_tk", "tk", "sm", "cpp", "shareurl", "short_name",
    "app", "scm", "scm.*", "spm", "pvid", "algo_expid", "algo_pvid", "ns", "abbucket", "ali_refid", "ali_trackid",
    "acm", "utparam", "pos", "abtest", "trackInfo", "utkn", "scene", "mytmenu", "turing_bucket", "lygClk", "impid",
    "bftTag", "bftRwd", "initiative_id", "sourceId", "ssid", "commend", "shareUniqueId", "bxsign", "app_pvid", "ptl",
    "union_lens", "wxsign", "un_site", "tbSocialPopKey",
];
