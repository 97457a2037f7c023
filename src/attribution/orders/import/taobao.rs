//! Rows of Taobao Alliance's `taobao.tbk.order.details.get`, in its own field names.

use serde_json::Value;

use super::fault::{BadRow, Reason};
use super::row::{Row, Unit, latest};
use super::{Given, made};
use crate::domain::attribution::Network;
use crate::domain::attribution::money::Fen;
use crate::domain::attribution::order::{LineKey, OrderLine, OrderState, Promotion};

/// Reads a row. Its key is `trade_id:tk_order_role:order_scene`, as one sub-order is reported to both sides of a split, and
/// in each scene it was asked for. The role is 2 (ours) and the scene the given one, else 1, where the row does not say.
///
/// # Errors
/// Every fault of the row.
pub fn read(row: &Value, given: &Given) -> Result<OrderLine, BadRow> {
    let mut row = Row::new(row, given.now)?;
    let trade = row.key("trade_id");
    let role = row.count("tk_order_role").unwrap_or(2);
    let scene = row.count("order_scene").or(given.scene).unwrap_or(1);
    if !trade.is_empty() && !row.faulty("tk_order_role") && !row.faulty("order_scene") {
        row.bad.line = format!("{trade}:{role}:{scene}").into();
    }
    let raw_state = row.id("tk_status");
    row.bad.raw_state.clone_from(&raw_state);
    let state = match &*raw_state {
        "12" => Some(OrderState::Paid),
        "14" => Some(OrderState::Completed),
        "3" => Some(OrderState::Settled),
        "13" => Some(OrderState::Invalid),
        "" => row.needed("tk_status", None),
        _ => {
            row.fault(
                "tk_status",
                Reason::UnknownStatus,
                "Taobao Alliance has 12 paid, 14 received, 3 settled, 13 closed",
            );
            None
        }
    };
    let created = row.time("tk_create_time", Unit::None);
    let paid_at = row.time("tb_paid_time", Unit::None);
    let paid_at = paid_at.or(row.time("tk_paid_time", Unit::None));
    let settled_at = row.time("tk_earning_time", Unit::None);
    let modified = row.time("modified_time", Unit::None);
    let clicked_at = row.time("click_time", Unit::None);
    let created_at = created.or(paid_at);
    let created_at = row.needed("tk_create_time", created_at);
    // Older reports do not say when a row was changed: then it was at the latest thing they tell of.
    let modified_at =
        modified.or(if row.faulty("modified_time") { None } else { latest(&[created_at, paid_at, settled_at]) });
    let modified_at = row.changed("modified_time", modified_at, created_at);

    // What was paid on ordering; `pay_price` is what was left at receipt, 0 before.
    let ordered = row.yuan("alipay_total_price");
    let received = row.yuan("pay_price");
    let estimated = row.yuan("pub_share_pre_fee");
    let fee = row.yuan("pub_share_fee");
    let confirmed = match state {
        Some(OrderState::Settled) => fee,
        // Between receipt and settlement 0 means "not reckoned yet".
        Some(OrderState::Completed) => fee.filter(|fee| !fee.is_zero()),
        _ => None,
    };
    let refunded = row.truth("refund_tag").unwrap_or(false);
    match state.filter(|_| !refunded) {
        Some(OrderState::Paid) => {
            row.due("pub_share_pre_fee", estimated.is_some(), "must be there in status 12: the estimate")
        }
        Some(OrderState::Completed) => {
            let problem = "must be there in status 14 until `pub_share_fee` tells an amount: ask for the report again";
            row.due("pub_share_pre_fee", estimated.or(confirmed).is_some(), problem);
        }
        Some(OrderState::Settled) => {
            let problem = "must be there in status 3: what was settled; an estimate does not stand for it. Ask for the report again";
            row.due("pub_share_fee", fee.is_some(), problem);
        }
        _ => {}
    }
    let (member, site) = (row.id_or_zero("pub_id"), row.id_or_zero("site_id"));
    let position = row.id_or_zero("adzone_id");
    let pid = match [&member, &site, &position].iter().any(|part| part.is_empty()) {
        true => "".into(),
        false => format!("mm_{member}_{site}_{position}").into(),
    };
    let promotion = Promotion { pid, site, position, relation: row.id_or_zero("relation_id"), sub_id: "".into() };
    let sort = row.text("order_type");
    let (title, seller) = (row.text("seller_shop_title"), row.text("seller_nick"));
    let order = row.id("trade_parent_id");
    let line = OrderLine {
        key: LineKey { network: Network::Taobao, account: given.account.clone(), line: row.bad.line.clone() },
        order: if order.is_empty() { trade } else { order },
        parent: "".into(),
        state: state.unwrap_or(OrderState::Pending),
        raw_state,
        refunded,
        created_at: created_at.unwrap_or_default(),
        paid_at,
        completed_at: None,
        settled_at,
        modified_at: modified_at.unwrap_or_default(),
        clicked_at,
        marketplace: if sort.contains("天猫") { "tmall" } else { "taobao" }.into(),
        item: row.id("item_id"),
        title: row.text("item_title"),
        // No field of the report has the shop's id.
        shop: "".into(),
        shop_name: if title.is_empty() { seller } else { title },
        quantity: row.count("item_num").unwrap_or(1),
        returned: 0,
        paid: ordered.or(received),
        estimated: estimated.unwrap_or(Fen::ZERO),
        confirmed,
        promotion,
    };
    made(row, line)
}
