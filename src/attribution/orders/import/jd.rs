//! Rows of JD Union's `jd.union.open.order.row.query`, in its own field names.

use serde_json::Value;

use super::fault::{BadRow, Reason};
use super::row::{Row, Unit, latest, like_click_id};
use super::{Given, made};
use crate::domain::attribution::Network;
use crate::domain::attribution::money::Fen;
use crate::domain::attribution::order::{LineKey, OrderLine, OrderState, Promotion, shop_id};
use crate::domain::time::Timestamp;

/// Reads a row. Its key is `id`, unique per order and SKU.
///
/// # Errors
/// Every fault of the row.
pub fn read(row: &Value, given: &Given) -> Result<OrderLine, BadRow> {
    let mut row = Row::new(row, given.now)?;
    row.bad.line = row.key("id");
    let order = row.id("orderId");
    let parent = row.id_or_zero("parentId");
    let settled_at = month(&mut row);
    let raw_state = row.id("validCode");
    row.bad.raw_state.clone_from(&raw_state);
    let state = state(&mut row, &raw_state, settled_at.is_some());
    let created = row.time("orderTime", Unit::Millis);
    let created_at = row.needed("orderTime", created);
    let completed_at = row.time("finishTime", Unit::Millis);
    let modified = row.time("modifyTime", Unit::Millis);
    let modified_at = modified.or(if row.faulty("modifyTime") { None } else { latest(&[created_at, completed_at]) });
    let modified_at = row.changed("modifyTime", modified_at, created_at);

    let quantity = row.count("skuNum").unwrap_or(1);
    let returned = row.count("skuReturnNum").unwrap_or(0);
    let (base, price) = (row.yuan("estimateCosPrice"), row.yuan("price"));
    let pieces = |price: Fen| Fen(price.0.saturating_mul(i64::from(quantity)));
    let estimated = row.yuan("estimateFee");
    let actual = row.yuan("actualFee");
    let confirmed = actual.filter(|_| matches!(state, Some(OrderState::Completed | OrderState::Settled)));
    let given_back = returned > 0 && returned >= quantity;
    match state.filter(|_| !given_back) {
        Some(OrderState::Paid) => {
            row.due("estimateFee", estimated.is_some(), "must be there with code 16: the estimate")
        }
        Some(OrderState::Completed | OrderState::Settled) => {
            let problem = "must be there with code 17: what was earned; an estimate does not stand for it. Ask for the report again";
            row.due("actualFee", actual.is_some(), problem);
        }
        _ => {}
    }

    let (union, site, position) = (row.id_or_zero("unionId"), row.id_or_zero("siteId"), row.id_or_zero("positionId"));
    let told = row.id_or_zero("pid");
    let pid = match [&union, &site, &position].iter().any(|part| part.is_empty()) {
        _ if !told.is_empty() => told,
        true => "".into(),
        false => format!("{union}_{site}_{position}").into(),
    };
    let (sub, ext) = (row.id("subUnionId"), row.id("ext1"));
    // Either carries a click id, as the account was approved for one or the other.
    let sub_id = if sub.is_empty() || (!like_click_id(&sub) && like_click_id(&ext)) { ext } else { sub };
    let line = OrderLine {
        key: LineKey { network: Network::Jd, account: given.account.clone(), line: row.bad.line.clone() },
        order: if order.is_empty() { row.bad.line.clone() } else { order },
        parent,
        state: state.unwrap_or(OrderState::Pending),
        raw_state,
        refunded: returned > 0,
        created_at: created_at.unwrap_or_default(),
        paid_at: None,
        completed_at,
        settled_at,
        modified_at: modified_at.unwrap_or_default(),
        clicked_at: None,
        marketplace: "jd".into(),
        item: row.id("skuId"),
        title: row.text("skuName"),
        shop: shop_id(Network::Jd, &row.id_or_zero("popId")),
        shop_name: "".into(),
        quantity,
        returned,
        paid: base.or(price.map(pieces)),
        estimated: estimated.unwrap_or(Fen::ZERO),
        confirmed,
        promotion: Promotion { pid, site, position, relation: row.id_or_zero("channelId"), sub_id },
    };
    made(row, line)
}

/// Every code that JD tells of. 2 is an order that was split: its worth goes to zero while its children come as rows of
/// their own, with `parentId`.
fn state(row: &mut Row<'_>, code: &str, settled: bool) -> Option<OrderState> {
    match code {
        "15" | "24" => Some(OrderState::Pending),
        "16" => Some(OrderState::Paid),
        "17" if settled => Some(OrderState::Settled),
        "17" => Some(OrderState::Completed),
        "-1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "11" | "13" | "14" | "19" | "20" | "21" | "22"
        | "23" | "25" | "26" | "27" | "28" => Some(OrderState::Invalid),
        "" => row.needed("validCode", None),
        _ => {
            let problem =
                "JD Union has 15 and 24 pending, 16 paid, 17 completed, and -1 2-9 11 13 14 19-23 25-28 invalid";
            row.fault("validCode", Reason::UnknownStatus, problem);
            None
        }
    }
}

/// `payMonth`: the day of settlement as `yyyyMMdd`, which may be announced ahead. `0` or empty is none.
fn month(row: &mut Row<'_>) -> Option<Timestamp> {
    let text = row.id_or_zero("payMonth");
    if text.is_empty() {
        return None;
    }
    let day = (text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| format!("{}-{}-{}", &text[..4], &text[4..6], &text[6..]).parse::<Timestamp>().ok())
        .flatten();
    if day.is_none() {
        row.fault("payMonth", Reason::MalformedTime, "a day like 20221120 belongs here");
    }
    day
}
