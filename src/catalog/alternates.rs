//! The alternates of a link as one column: a JSON list, by name and by text like the other columns. Never opens a database.

use serde::{Deserialize, Serialize};

use crate::domain::alternates::Alternate;
use crate::domain::link::MOST_ALTERNATES;
use crate::domain::marketplace::{Destination, Landing};
use crate::domain::vocabulary::{LinkKind, ShopType, Vocabulary};

#[derive(Serialize, Deserialize)]
struct Stored {
    url: String,
    marketplace: String,
    link_kind: String,
    shop_hint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    item: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    variant: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shop: Option<Box<str>>,
    shop_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    category: Option<Box<str>>,
}

/// The column's text; none for a link without alternates.
pub(super) fn text(alternates: &[Alternate], words: &Vocabulary) -> Option<String> {
    let stored: Vec<Stored> = alternates
        .iter()
        .map(|Alternate { landing, shop_type, category }| Stored {
            url: landing.destination.as_str().to_owned(),
            marketplace: words.marketplace_name(landing.marketplace).to_owned(),
            link_kind: landing.link_kind.as_str().to_owned(),
            shop_hint: landing.shop_hint.as_str().to_owned(),
            item: landing.item.clone(),
            variant: landing.variant.clone(),
            shop: landing.shop.clone(),
            shop_type: shop_type.as_str().to_owned(),
            category: category.clone(),
        })
        .collect();
    // Texts only: told in JSON without fail.
    if stored.is_empty() { None } else { serde_json::to_string(&stored).ok() }
}

/// The alternates of a column's text.
///
/// # Errors
/// What is wrong with it, for the row's fault.
pub(super) fn read(text: Option<&str>, words: &Vocabulary) -> Result<Vec<Alternate>, String> {
    let Some(text) = text else { return Ok(Vec::new()) };
    let stored: Vec<Stored> =
        serde_json::from_str(text).map_err(|fault| format!("its alternates are no list of landings: {fault}"))?;
    if stored.len() > MOST_ALTERNATES {
        return Err(format!("it has {} alternates, over {MOST_ALTERNATES}", stored.len()));
    }
    stored.into_iter().enumerate().map(|(place, stored)| alternate(place, stored, words)).collect()
}

fn alternate(place: usize, stored: Stored, words: &Vocabulary) -> Result<Alternate, String> {
    fn known<T>(place: usize, what: &str, name: &str, value: Option<T>) -> Result<T, String> {
        value.ok_or_else(|| format!("alternate {place}: {what} `{name}` is not known to this process"))
    }
    let (marketplace, link_kind) = (&*stored.marketplace, &*stored.link_kind);
    let (shop_hint, shop_type) = (&*stored.shop_hint, &*stored.shop_type);
    // The allow-list is asked again, as for the link's own landing.
    let (destination, _) = Destination::from_stored(&stored.url, words.markets())
        .map_err(|fault| format!("alternate {place}: {fault}"))?;
    Ok(Alternate {
        landing: Landing {
            marketplace: known(place, "marketplace", marketplace, words.marketplace(marketplace))?,
            link_kind: known(place, "link kind", link_kind, LinkKind::parse(link_kind))?,
            shop_hint: known(place, "shop type", shop_hint, ShopType::parse(shop_hint))?,
            item: stored.item,
            variant: stored.variant,
            shop: stored.shop,
            destination,
        },
        shop_type: known(place, "shop type", shop_type, ShopType::parse(shop_type))?,
        category: stored.category,
    })
}
