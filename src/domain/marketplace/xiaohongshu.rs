//! Xiaohongshu's own shops: goods and shop pages inside the platform, the usual last alternate of a link pasted there.
//!
//! Data only. One host is trusted, not the domain. Notes have no shape on purpose: a note is no landing for goods.

use super::table::{Id, Marketplace, Shape};
use crate::domain::vocabulary::{LinkKind, MarketplaceId, ShopType};

const HOSTS: &[&str] = &["www.xiaohongshu.com"];

pub(super) const MARKETPLACE: Marketplace = Marketplace {
    id: MarketplaceId::XIAOHONGSHU,
    family: "xiaohongshu",
    domains: HOSTS,
    shop_hint: ShopType::Unknown,
    services: &[],
    shapes: &[
        Shape {
            hosts: HOSTS,
            paths: &["/goods-detail/{id}", "/goods/{id}"],
            query: &[],
            id: Id::AllianceItem,
            kind: LinkKind::Item,
            tags: &[],
        },
        Shape { hosts: HOSTS, paths: &["/shop/{id}"], query: &[], id: Id::ShopName, kind: LinkKind::Shop, tags: &[] },
    ],
    variant: &[],
    noise: &[&["t", "xsec_token", "xsec_source", "instation_link"]],
};
