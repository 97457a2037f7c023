//! Rows of Pinduoduo's `pdd.ddk.order.list.increment.get`, in its own field names: money in fen, times in Unix seconds.

use serde_json::Value;

use super::fault::{BadRow, Reason};
use super::row::{Row, Unit, latest, like_click_id};
use super::{Given, made};
use crate::domain::attribution::Network;
use crate::domain::attribution::money::Fen;
use crate::domain::attribution::order::{LineKey, OrderLine, OrderState, Promotion, shop_id};

/// Reads a row. Its key is `order_sn`.
///
/// # Errors
/// Every fault of the row.
pub fn read(row: &Value, given: &Given) -> Result<OrderLine, BadRow> {
    let mut row = Row::new(row, given.now)?;
    row.bad.line = row.key("order_sn");
    let raw_state = row.id("order_status");
    row.bad.raw_state.clone_from(&raw_state);
    let state = match &*raw_state {
        "-1" => Some(OrderState::Pending),
        // Paid, and its group is complete.
        "0" | "1" => Some(OrderState::Paid),
        // Received, and looked through.
        "2" | "3" => Some(OrderState::Completed),
        "5" => Some(OrderState::Settled),
        // Refused when looked through, without commission, punished.
        "4" | "8" | "10" => Some(OrderState::Invalid),
        "" => row.needed("order_status", None),
        _ => {
            let problem =
                "Pinduoduo has -1 unpaid, 0 and 1 paid, 2 and 3 received, 5 settled, 4 8 10 without commission";
            row.fault("order_status", Reason::UnknownStatus, problem);
            None
        }
    };
    let mut time = |field| row.time(field, Unit::Seconds);
    let (created, paid_at, received) = (time("order_create_time"), time("order_pay_time"), time("order_receive_time"));
    let (settled_at, modified) = (time("order_settle_time"), time("order_modify_at"));
    let created_at = row.needed("order_create_time", created);
    let known = [created_at, paid_at, received, settled_at];
    let modified_at = modified.or(if row.faulty("order_modify_at") { None } else { latest(&known) });
    let modified_at = row.changed("order_modify_at", modified_at, created_at);

    let paid = row.fen("order_amount");
    let commission = row.fen("promotion_amount");
    let confirmed = commission.filter(|_| matches!(state, Some(OrderState::Completed | OrderState::Settled)));
    // 1: a claim is under way, 2: goods went back.
    let claim = row.count("return_status").unwrap_or(0);
    if claim == 0 && matches!(state, Some(OrderState::Paid | OrderState::Completed | OrderState::Settled)) {
        let problem = "must be there from status 0 on: the commission. Ask for the report again";
        row.due("promotion_amount", commission.is_some(), problem);
    }
    if claim > 2 {
        row.fault("return_status", Reason::UnknownStatus, "Pinduoduo has 0 none, 1 claimed, 2 returned");
    }
    let pid = row.id("p_id");
    let pid = if pid.is_empty() { row.id("pid") } else { pid };
    let (item, sign) = (row.id("goods_id"), row.id("goods_sign"));
    let line = OrderLine {
        key: LineKey { network: Network::Pinduoduo, account: given.account.clone(), line: row.bad.line.clone() },
        order: row.bad.line.clone(),
        parent: "".into(),
        state: state.unwrap_or(OrderState::Pending),
        raw_state,
        refunded: claim > 0,
        created_at: created_at.unwrap_or_default(),
        paid_at,
        completed_at: received,
        settled_at,
        modified_at: modified_at.unwrap_or_default(),
        clicked_at: None,
        marketplace: "pinduoduo".into(),
        item: if item.is_empty() { sign } else { item },
        title: row.text("goods_name"),
        shop: shop_id(Network::Pinduoduo, &row.id_or_zero("mall_id")),
        shop_name: "".into(),
        quantity: row.count("goods_quantity").unwrap_or(1),
        returned: 0,
        paid,
        estimated: commission.unwrap_or(Fen::ZERO),
        confirmed,
        promotion: Promotion { pid, sub_id: sub_id(&row.text("custom_parameters")), ..Promotion::default() },
    };
    made(row, line)
}

/// `custom_parameters` is a text of the promoter's, often an object in JSON: then its value that looks like a click id.
fn sub_id(text: &str) -> Box<str> {
    let Ok(Value::Object(map)) = serde_json::from_str(text) else { return text.into() };
    let found = map.values().filter_map(Value::as_str).find(|value| like_click_id(value));
    found.unwrap_or(text).into()
}
