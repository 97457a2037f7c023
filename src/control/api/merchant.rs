//! What a merchant's key may report: orders of its own shop, in our own field names, under an account of its own, and no click
//! that is known to have led elsewhere. What it may say of amounts is the importer's matter. Never keeps anything.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde_json::{Map, Value, json};

use crate::attribution::orders::import::MERCHANT;
use crate::attribution::orders::import::fault::{Reason, RowFault};
use crate::attribution::orders::import::file::Item;
use crate::control::ControlState;
use crate::control::guard::Caller;
use crate::control::keys::Role;
use crate::control::problem::ApiError;
use crate::domain::attribution::touch::Touch;
use crate::domain::attribution::{Network, same_marketplace};

/// The merchant's own account; none for ops.
pub(super) fn own_account(caller: &Caller) -> Result<Option<Box<str>>, ApiError> {
    match (caller.role, &caller.scope) {
        (Role::Merchant, Some(shop)) => Ok(Some(format!("{MERCHANT}{shop}").into())),
        (Role::Merchant, None) => Err(ApiError::Forbidden(
            "this key speaks for no shop: use one that was made with `--scope`, or an ops key".to_owned(),
        )),
        _ => Ok(None),
    }
}

/// A merchant reports in our own fields, for its own shop.
pub(super) fn only_own(shop: &str, network: Network, items: &mut [Item]) -> Result<(), ApiError> {
    let refused = |what: &str| {
        Err(ApiError::Forbidden(format!(
            "this key speaks for the shop `{shop}` only: leave out `{what}`, or use an ops key"
        )))
    };
    if network != Network::Direct {
        return refused("network");
    }
    for item in items {
        let Item::Row(Value::Object(row)) = item else { continue };
        for name in ["network", "account"] {
            if row.contains_key(name) {
                return refused(name);
            }
        }
        match row.get("shop") {
            Some(Value::String(named)) if named == shop => {}
            None => drop(row.insert("shop".to_owned(), json!(shop))),
            Some(_) => return refused("shop"),
        }
    }
    Ok(())
}

/// The fault of each row that names a click which led to another marketplace, or to another shop, by its place. A click that
/// is not known (any more, or in the second before it is counted) has none.
pub(super) async fn foreign_clicks(
    state: &ControlState,
    shop: &str,
    items: &[Item],
) -> Result<HashMap<usize, RowFault>, ApiError> {
    let (mut touches, mut faults) = (HashMap::new(), HashMap::new());
    for (place, item) in items.iter().enumerate() {
        let Item::Row(Value::Object(row)) = item else { continue };
        // As the importer reads them: the one that is given first names the click.
        let Some((field, text)) = ["click_id", "sub_id"].into_iter().find_map(|field| Some((field, text(row, field)?)))
        else {
            continue;
        };
        let Ok(click) = state.settler.key.parse(text) else { continue };
        let touch = match touches.entry(click) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(state.settler.touches.of_click(click).await?),
        };
        let Some(touch) = touch else { continue };
        if let Some(problem) = led_elsewhere(touch, shop, text_or_none(row, "marketplace")) {
            faults.insert(place, RowFault::new(field, text, Reason::ForeignClick, problem));
        }
    }
    Ok(faults)
}

fn text<'r>(row: &'r Map<String, Value>, field: &str) -> Option<&'r str> {
    row.get(field)?.as_str().map(str::trim).filter(|text| !text.is_empty())
}

fn text_or_none<'r>(row: &'r Map<String, Value>, field: &str) -> &'r str {
    text(row, field).unwrap_or_default()
}

/// Where a click led, as far as that was no place of the merchant's.
fn led_elsewhere(touch: &Touch, shop: &str, marketplace: &str) -> Option<String> {
    if !marketplace.is_empty() && !touch.marketplace.is_empty() && !same_marketplace(&touch.marketplace, marketplace) {
        return Some(format!(
            "this click led to another marketplace than `{marketplace}`: leave it out, or correct it"
        ));
    }
    // A shop's number and its seller's tell nothing of each other.
    let sort = |id: &str| id.split_once(':').map(|(sort, _)| sort.to_owned());
    let own = if shop.contains(':') { shop.to_owned() } else { format!("shop:{shop}") };
    if sort(&touch.shop) == sort(&own) && *touch.shop != *own {
        return Some(format!("this click led to another shop than `{shop}`: leave it out, or correct it"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::attribution::touch::Marks;
    use crate::domain::click_id::ClickId;
    use crate::domain::hop::HopFlags;
    use crate::domain::time::Timestamp;
    use crate::domain::vocabulary::{LinkKind, ShopType};

    #[test]
    fn a_click_leads_elsewhere_only_where_that_is_known() {
        let led = |marketplace: &str, to: &str, shop: &str, named: &str| {
            let touch = Touch {
                click: ClickId([1; 16]),
                at: Timestamp::default(),
                node: "".into(),
                seq: 1,
                code: "".into(),
                creator: "".into(),
                platform: "".into(),
                surface: "".into(),
                marketplace: marketplace.into(),
                shop_type: ShopType::Unknown,
                link_kind: LinkKind::Shop,
                category: "".into(),
                facts: "".into(),
                item: "".into(),
                shop: to.into(),
                agreement: "".into(),
                policy_version: 1,
                flags: HopFlags::default(),
                marks: Marks::default(),
                note: "".into(),
            };
            led_elsewhere(&touch, shop, named).map(|problem| problem.contains("shop:7"))
        };
        for (marketplace, to, shop, named) in [
            ("jd", "shop:7", "shop:7", "jd"),
            ("jd", "shop:7", "7", ""),
            ("jd", "", "shop:7", "jd"),
            ("taobao", "", "shop:7", "tmall"),
            ("taobao", "seller:9", "shop:7", "taobao"),
        ] {
            assert_eq!(led(marketplace, to, shop, named), None, "{marketplace} {to} {shop} {named}");
        }
        assert_eq!(led("jd", "", "shop:7", "taobao"), Some(false));
        assert_eq!(led("jd", "shop:8", "shop:7", ""), Some(true));
        assert_eq!(led("taobao", "seller:8", "seller:7", "tmall"), Some(false));
    }
}
