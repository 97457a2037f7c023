//! Kuaishou's own shops (快手小店): goods and shop pages inside the platform, the usual last alternate of a link pasted there.
//!
//! Data only. One host is trusted, not the domain: the others are back offices and logins.

use super::table::{Id, Marketplace, Shape};
use crate::domain::vocabulary::{LinkKind, MarketplaceId, ShopType};

const HOSTS: &[&str] = &["app.kwaixiaodian.com"];

pub(super) const MARKETPLACE: Marketplace = Marketplace {
    id: MarketplaceId::KUAISHOU,
    family: "kuaishou",
    domains: HOSTS,
    shop_hint: ShopType::Unknown,
    services: &[],
    shapes: &[
        Shape {
            hosts: HOSTS,
            paths: &[
                "/merchant/shop/detail",
                "/page/kwaishop-buyer-goods-detail-outside",
                "/web/kwaishop-goods-detail-page-app",
            ],
            query: &["id"],
            id: Id::ItemNumber,
            kind: LinkKind::Item,
            tags: &[],
        },
        // Which parameter names the shop is not known for sure, so none is read.
        Shape {
            hosts: HOSTS,
            paths: &["/merchant/shop/home"],
            query: &[],
            id: Id::Nothing,
            kind: LinkKind::Shop,
            tags: &[],
        },
    ],
    variant: &[],
    noise: &[&["source", "hyId", "layoutType", "extType", "isCopy"]],
};
