//! Rows as the networks write them, and what is made of them, to the last field.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::fault::Reason;
use super::{Given, envelope, read};
use crate::domain::attribution::Network;
use crate::domain::attribution::money::Fen;
use crate::domain::attribution::order::{OrderLine, OrderState};
use crate::domain::time::Timestamp;

fn given() -> Given {
    Given { account: "default".into(), scene: None, now: at("2022-12-01") }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn golden(network: Network, text: &str) -> Vec<OrderLine> {
    let page = envelope::envelope(network, &serde_json::from_str(text).unwrap()).unwrap();
    page.rows.iter().map(|row| read(network, row, &given()).unwrap()).collect()
}

#[test]
fn taobao_rows_are_read_to_the_last_field() {
    let lines = golden(Network::Taobao, include_str!("../../../../tests/data/orders/taobao.json"));
    let paid = &lines[0];
    assert_eq!(&*paid.key.line, "2938471650013345678:2:1");
    assert_eq!(
        (&*paid.order, &*paid.parent, paid.state, &*paid.raw_state),
        ("2938471650012345678", "", OrderState::Paid, "12")
    );
    assert_eq!((paid.created_at, paid.paid_at), (at("2022-11-10 23:58:12"), Some(at("2022-11-10 23:59:01"))));
    assert_eq!((paid.modified_at, paid.clicked_at), (at("2022-11-10 23:59:03"), Some(at("2022-11-10 23:55:40"))));
    assert_eq!((&*paid.marketplace, &*paid.item, &*paid.shop_name), ("tmall", "k7Y2mDUVtN9Pq0-8aRvBZt5", "某某旗舰店"));
    assert_eq!((paid.quantity, paid.returned, paid.refunded), (2, 0, false));
    assert_eq!((paid.paid, paid.estimated, paid.confirmed), (Some(Fen(25_800)), Fen(2_322), None));
    let promotion = &paid.promotion;
    assert_eq!(
        (&*promotion.pid, &*promotion.site, &*promotion.position),
        ("mm_123456_45678_901234", "45678", "901234")
    );
    assert_eq!((&*promotion.relation, &*promotion.sub_id), ("", ""));

    let settled = &lines[1];
    assert_eq!(&*settled.key.line, "2938471650013345679:2:2");
    assert_eq!((settled.state, settled.refunded, &*settled.marketplace), (OrderState::Settled, true, "taobao"));
    assert_eq!((settled.paid, settled.estimated, settled.confirmed), (Some(Fen(3_990)), Fen(399), Some(Fen(359))));
    assert_eq!((settled.settled_at, &*settled.promotion.relation), (Some(at("2022-11-01 12:30:00")), "2790011"));
    assert_eq!((&*settled.shop, &*settled.shop_name), ("", "皂坊"), "a title is no id");
}

#[test]
fn jd_rows_are_read_to_the_last_field() {
    let lines = golden(Network::Jd, include_str!("../../../../tests/data/orders/jd.json"));
    let paid = &lines[0];
    assert_eq!((&*paid.key.line, &*paid.order, &*paid.parent), ("2311170001", "259123456789", ""));
    assert_eq!((paid.state, &*paid.raw_state, &*paid.marketplace), (OrderState::Paid, "16", "jd"));
    assert_eq!((paid.created_at, paid.completed_at, paid.settled_at), (at("2022-11-10 20:00:05"), None, None));
    assert_eq!((paid.paid, paid.estimated, paid.confirmed), (Some(Fen(149_850)), Fen(8_092), None));
    assert_eq!((&*paid.promotion.pid, &*paid.promotion.sub_id), ("1000123456_4000111_3100222", "creator-one"));
    assert_eq!((&*paid.item, &*paid.shop, paid.quantity), ("100012043978", "", 3));

    let settled = &lines[1];
    assert_eq!((settled.state, settled.settled_at), (OrderState::Settled, Some(at("2022-11-20"))));
    assert_eq!((settled.quantity, settled.returned, settled.refunded), (4, 1, true));
    assert_eq!((settled.estimated, settled.confirmed, &*settled.parent), (Fen(1_120), Some(Fen(840)), "259123456700"));
    let promotion = &settled.promotion;
    assert_eq!(
        (&*promotion.pid, &*promotion.position, &*promotion.relation),
        ("1000123456_4000111_3100223", "", "9001")
    );
    assert_eq!((&*promotion.sub_id, &*settled.shop), ("AZq3kFv0cTi5nq7Yx2mB1gAbCdEfGh12", "shop:10223344"));

    let split = &lines[2];
    assert_eq!((split.state, &*split.raw_state, split.confirmed), (OrderState::Invalid, "2", None));
    assert_eq!((split.created_at, split.modified_at), (at("2022-11-01 09:00:00"), at("2022-11-01 09:01:00")));
}

#[test]
fn pinduoduo_rows_are_in_fen_and_unix_seconds() {
    let lines = golden(Network::Pinduoduo, include_str!("../../../../tests/data/orders/pinduoduo.json"));
    let line = &lines[0];
    assert_eq!((&*line.key.line, line.state), ("221110-400112233440055", OrderState::Completed));
    assert_eq!((line.created_at, line.modified_at), (at("2022-11-10 00:00:00"), at("2022-11-12 00:00:01")));
    assert_eq!((line.paid, line.estimated, line.confirmed), (Some(Fen(3_980)), Fen(199), Some(Fen(199))));
    assert_eq!(
        (&*line.promotion.pid, &*line.promotion.sub_id),
        ("9724806_314941670", "AZq3kFv0cTi5nq7Yx2mB1gAbCdEfGh12")
    );
    assert_eq!((&*line.item, &*line.shop, line.settled_at), ("400112233", "shop:77", None));
}

#[test]
fn every_listed_state_is_known_and_no_other() {
    let state = |network, field: &str, code: Value, more: Value| {
        let mut row = json!({"trade_id": "1", "id": "1", "order_sn": "1", "line": "1",
            "tk_create_time": "2022-11-01 00:00:00", "orderTime": "2022-11-01 00:00:00", "order_create_time": 1667232000,
            "created_at": "2022-11-01", "pub_share_pre_fee": "1", "pub_share_fee": "1",
            "estimateFee": 1, "actualFee": 1, "promotion_amount": 1});
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        row[field] = code;
        read(network, &row, &given()).map(|line| line.state).map_err(|bad| bad.reason())
    };
    use OrderState::{Completed, Invalid, Paid, Pending, Settled};
    for (code, wanted) in [(12, Paid), (14, Completed), (3, Settled), (13, Invalid)] {
        assert_eq!(state(Network::Taobao, "tk_status", json!(code), json!({})), Ok(wanted));
        assert_eq!(state(Network::Taobao, "tk_status", json!(code.to_string()), json!({})), Ok(wanted));
    }
    let bad = [-1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 14, 19, 20, 21, 22, 23, 25, 26, 27, 28];
    for (code, wanted) in
        [(15, Pending), (24, Pending), (16, Paid), (17, Completed)].into_iter().chain(bad.map(|code| (code, Invalid)))
    {
        assert_eq!(state(Network::Jd, "validCode", json!(code), json!({})), Ok(wanted), "{code}");
    }
    assert_eq!(state(Network::Jd, "validCode", json!(17), json!({"payMonth": "20221120"})), Ok(Settled));
    assert_eq!(state(Network::Jd, "validCode", json!(17), json!({"payMonth": "0"})), Ok(Completed));
    for (code, wanted) in [
        (-1, Pending),
        (0, Paid),
        (1, Paid),
        (2, Completed),
        (3, Completed),
        (5, Settled),
        (4, Invalid),
        (8, Invalid),
        (10, Invalid),
    ] {
        assert_eq!(state(Network::Pinduoduo, "order_status", json!(code), json!({})), Ok(wanted), "{code}");
    }
    for (network, field) in
        [(Network::Taobao, "tk_status"), (Network::Jd, "validCode"), (Network::Pinduoduo, "order_status")]
    {
        for code in [json!(99), json!("paid"), json!(1.5), json!(-7)] {
            let found = state(network, field, code.clone(), json!({})).unwrap_err();
            assert!(matches!(found, Reason::UnknownStatus | Reason::MalformedText), "{network} {code}: {found}");
        }
        assert_eq!(state(network, field, json!(""), json!({})), Err(Reason::MissingField));
        assert_eq!(state(network, field, Value::Null, json!({})), Err(Reason::MissingField));
    }
}

/// Faults of a good row of Taobao with one field changed: field and reason of each.
fn spoilt(field: &str, value: Value) -> Vec<(String, Reason)> {
    let text = include_str!("../../../../tests/data/orders/taobao.json");
    let page = envelope::envelope(Network::Taobao, &serde_json::from_str(text).unwrap()).unwrap();
    let mut row = page.rows[0].clone();
    row[field] = value;
    match read(Network::Taobao, &row, &given()) {
        Ok(_) => Vec::new(),
        Err(bad) => {
            assert!(bad.faults.iter().all(|fault| !fault.problem.is_empty() && fault.value.chars().count() <= 80));
            bad.faults.into_iter().map(|fault| (fault.field.into(), fault.reason)).collect()
        }
    }
}

#[test]
fn every_sort_of_bad_value_is_named() {
    use Reason::*;
    for (field, value, reason) in [
        ("trade_id", json!(""), MissingKey),
        ("trade_id", json!("a b"), MalformedText),
        ("trade_id", json!("9".repeat(201)), MalformedText),
        ("trade_id", json!(1e30), MalformedText),
        ("trade_id", json!({"a": 1}), MalformedText),
        ("tk_status", json!("98"), UnknownStatus),
        ("pub_share_pre_fee", json!("12,30"), MalformedAmount),
        ("pub_share_pre_fee", json!("12.305"), MalformedAmount),
        ("pub_share_pre_fee", json!("12.3元"), MalformedAmount),
        ("pub_share_pre_fee", json!(1e20), MalformedAmount),
        ("pub_share_pre_fee", json!([1]), MalformedAmount),
        ("pub_share_pre_fee", json!(""), MissingField),
        ("alipay_total_price", json!("NaN"), MalformedAmount),
        ("pay_price", json!(0.005), MalformedAmount),
        ("tk_create_time", json!("2022-13-01 00:00:00"), MalformedTime),
        ("tk_create_time", json!("yesterday"), MalformedTime),
        ("tk_create_time", json!(1668009600), MalformedTime),
        ("modified_time", json!("2022-12-01 00:10:01"), FutureTime),
        ("click_time", json!("2031-01-01 00:00:00"), FutureTime),
        ("modified_time", json!("2001-01-02"), BeforeOrder),
        ("modified_time", json!("2022-11-10 23:48:11"), BeforeOrder),
        ("refund_tag", json!("maybe"), MalformedNumber),
        ("item_num", json!(-1), MalformedNumber),
        ("item_num", json!("two"), MalformedNumber),
        ("tk_order_role", json!("x"), MalformedNumber),
    ] {
        assert_eq!(spoilt(field, value.clone()), [(field.to_owned(), reason)], "{field} {value}");
    }
    for (field, value) in [
        ("modified_time", json!("2022-12-01 00:10:00")),
        ("modified_time", json!("2022-11-10 23:48:12")),
        ("tk_earning_time", json!("0000-00-00 00:00:00")),
        ("tk_earning_time", json!("1970-01-01 08:00:00")),
        ("tk_earning_time", json!("")),
        ("pub_share_pre_fee", json!(23.22)),
        ("pub_share_pre_fee", json!("-5.00")),
        ("item_title", json!("好".repeat(900))),
        ("a_new_field", json!({"of": "theirs"})),
    ] {
        assert_eq!(spoilt(field, value.clone()), [], "{field} {value}");
    }
    let bad = read(Network::Taobao, &json!("text"), &given()).unwrap_err();
    assert_eq!(bad.reason(), NotAnObject);
    // All faults in one run, and what could be read all the same.
    let row = json!({"trade_id": 7, "tk_status": 12, "tk_create_time": "x", "modified_time": "2022-11-11", "pub_share_fee": "y"});
    let bad = read(Network::Taobao, &row, &given()).unwrap_err();
    let named: Vec<_> = bad.faults.iter().map(|fault| (&*fault.field, fault.reason)).collect();
    assert_eq!(
        named,
        [("tk_create_time", MalformedTime), ("pub_share_fee", MalformedAmount), ("pub_share_pre_fee", MissingField)]
    );
    assert_eq!((&*bad.line, &*bad.raw_state, bad.modified_at), ("7:2:1", "12", Some(at("2022-11-11"))));
}

#[test]
fn our_own_fields_are_read_strictly() {
    let good = json!({"line": "o-1", "state": "completed", "created_at": "2022-11-01 10:00:00", "completed_at": "2022-11-05",
        "paid": "99.90", "estimated": 5, "confirmed_fen": 480, "click_id": "AZq3kFv0cTi5nq7Yx2mB1gAbCdEfGh12", "shop": "s1"});
    let line = read(Network::Direct, &good, &given()).unwrap();
    assert_eq!((line.paid, line.estimated, line.confirmed), (Some(Fen(9_990)), Fen(500), Some(Fen(480))));
    assert_eq!((line.modified_at, &*line.raw_state, &*line.order), (at("2022-11-05"), "completed", "o-1"));
    let mut bad = good.clone();
    bad["confirmd"] = json!("4.80");
    bad["paid_fen"] = json!(1);
    bad["state"] = json!("done");
    let bad = read(Network::Direct, &bad, &given()).unwrap_err();
    let named: Vec<_> = bad.faults.iter().map(|fault| (&*fault.field, fault.reason)).collect();
    let wanted =
        [("confirmd", Reason::UnknownField), ("state", Reason::UnknownStatus), ("paid_fen", Reason::MalformedAmount)];
    assert_eq!(named, wanted);
}

/// Field and reason of every fault of a row.
fn faults(network: Network, row: &Value, given: &Given) -> Vec<(String, Reason)> {
    let bad = read(network, row, given).err().unwrap_or_default();
    assert!(bad.faults.iter().all(|fault| !fault.problem.is_empty()));
    bad.faults.into_iter().map(|fault| (fault.field.into(), fault.reason)).collect()
}

/// In a state in which a commission is due a row says how much; an estimate does not stand for what was earned.
#[test]
fn a_commission_that_is_due_is_told() {
    let taobao = |status: u32, pre: &str, fee: &str, refund: u32| {
        json!({"trade_id": "1", "tk_status": status, "tk_create_time": "2022-11-01 00:00:00", "pub_share_pre_fee": pre,
            "pub_share_fee": fee, "refund_tag": refund})
    };
    let jd = |code: u32, month: &str, estimate: &str, actual: &str, returned: u32| {
        json!({"id": "1", "validCode": code, "payMonth": month, "orderTime": "2022-11-01 00:00:00", "skuNum": 2,
            "skuReturnNum": returned, "estimateFee": estimate, "actualFee": actual})
    };
    let pdd = |status: i32, amount: Value| json!({"order_sn": "1", "order_status": status, "order_create_time": 1667232000, "promotion_amount": amount});
    let direct = |state: &str, more: Value| {
        let mut row = json!({"line": "1", "state": state, "created_at": "2022-11-01 00:00:00"});
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        row
    };
    let (none, some) = (json!({}), json!({"estimated": "5"}));
    for (network, row, field) in [
        (Network::Taobao, taobao(12, "", "", 0), "pub_share_pre_fee"),
        (Network::Taobao, taobao(14, "", "0.00", 0), "pub_share_pre_fee"),
        (Network::Taobao, taobao(3, "", "", 0), "pub_share_fee"),
        (Network::Taobao, taobao(3, "6.00", "", 0), "pub_share_fee"),
        (Network::Jd, jd(16, "", "", "", 0), "estimateFee"),
        (Network::Jd, jd(17, "", "5.00", "", 0), "actualFee"),
        (Network::Jd, jd(17, "20221120", "5.00", "", 1), "actualFee"),
        (Network::Pinduoduo, pdd(0, json!("")), "promotion_amount"),
        (Network::Pinduoduo, pdd(2, Value::Null), "promotion_amount"),
        (Network::Pinduoduo, pdd(5, json!("")), "promotion_amount"),
        (Network::Direct, direct("paid", none.clone()), "estimated"),
        (Network::Direct, direct("completed", none.clone()), "confirmed"),
        (Network::Direct, direct("settled", none.clone()), "confirmed"),
        (Network::Direct, direct("settled", some.clone()), "confirmed"),
        (Network::Direct, direct("settled", json!({"refunded": true, "returned": 1, "quantity": 2})), "confirmed"),
    ] {
        assert_eq!(faults(network, &row, &given()), [(field.to_owned(), Reason::MissingField)], "{network} {row}");
    }
    for (network, row, confirmed) in [
        (Network::Taobao, taobao(14, "6.00", "0.00", 0), None),
        (Network::Taobao, taobao(14, "6.00", "", 0), None),
        (Network::Taobao, taobao(14, "", "5.00", 0), Some(500)),
        (Network::Taobao, taobao(3, "", "0.00", 0), Some(0)),
        (Network::Taobao, taobao(3, "6.00", "", 1), None),
        (Network::Taobao, taobao(13, "", "", 0), None),
        (Network::Jd, jd(15, "", "", "", 0), None),
        (Network::Jd, jd(17, "", "", "0", 0), Some(0)),
        (Network::Jd, jd(17, "", "", "", 2), None),
        (Network::Pinduoduo, pdd(4, json!("")), None),
        (Network::Direct, direct("completed", some), None),
        (Network::Direct, direct("completed", json!({"confirmed_fen": 3})), Some(3)),
        (Network::Direct, direct("settled", json!({"refunded": true})), None),
        (Network::Direct, direct("pending", none.clone()), None),
        (Network::Direct, direct("invalid", none), None),
    ] {
        assert_eq!(read(network, &row, &given()).map(|line| line.confirmed), Ok(confirmed.map(Fen)), "{network} {row}");
    }
    let both = faults(Network::Direct, &direct("completed", json!({"confirmed": "x"})), &given());
    assert_eq!(both, [("confirmed".to_owned(), Reason::MalformedAmount)], "and nothing is missing");
}

#[test]
fn a_change_before_its_order_is_no_change() {
    for (network, row, field) in [
        (
            Network::Jd,
            json!({"id": "1", "validCode": 3, "orderTime": "2022-11-01", "modifyTime": "2001-01-02"}),
            "modifyTime",
        ),
        (
            Network::Pinduoduo,
            json!({"order_sn": "1", "order_status": 4, "order_create_time": 1667232000, "order_modify_at": 1000000000}),
            "order_modify_at",
        ),
        (
            Network::Direct,
            json!({"line": "1", "state": "invalid", "created_at": "2022-11-01", "modified_at": "2022-10-31 23:49:59"}),
            "modified_at",
        ),
    ] {
        assert_eq!(faults(network, &row, &given()), [(field.to_owned(), Reason::BeforeOrder)], "{network}");
        assert_eq!(read(network, &row, &given()).unwrap_err().modified_at, None, "nothing is known of its age");
    }
}

#[test]
fn a_merchant_owes_between_nothing_and_what_was_paid() {
    let merchant = Given { account: "merchant:shop:7".into(), ..given() };
    let row = |more: Value| {
        let mut row = json!({"line": "1", "state": "completed", "created_at": "2022-11-01 00:00:00"});
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        row
    };
    use Reason::{AmountOutOfRange, MissingField};
    for (more, field, reason) in [
        (json!({"confirmed": "-5", "paid": 10}), "confirmed", AmountOutOfRange),
        (json!({"confirmed": 1, "estimated_fen": -1, "paid": 10}), "estimated_fen", AmountOutOfRange),
        (json!({"confirmed": "123456789012.34", "paid": "99.90"}), "confirmed", AmountOutOfRange),
        (json!({"confirmed_fen": 101, "paid_fen": 100}), "confirmed_fen", AmountOutOfRange),
        (json!({"confirmed": "123456789012.34"}), "paid", MissingField),
        (json!({"confirmed": 0, "paid_fen": -1}), "paid_fen", AmountOutOfRange),
    ] {
        assert_eq!(faults(Network::Direct, &row(more.clone()), &merchant), [(field.to_owned(), reason)], "{more}");
        let bad = faults(Network::Direct, &row(more.clone()), &given());
        assert_eq!(bad, [], "whoever runs the gateway may book what it likes: {more}");
    }
    for more in [json!({"confirmed": 10, "paid": 10}), json!({"confirmed": 0}), json!({"state": "invalid"})] {
        assert_eq!(faults(Network::Direct, &row(more.clone()), &merchant), [], "{more}");
    }
}

#[test]
fn the_scene_comes_from_the_row_or_from_whoever_asked() {
    let row = |scene: Value| json!({"trade_id": "1", "tk_status": 13, "tk_create_time": "2022-11-01 00:00:00", "order_scene": scene});
    let key = |row: Value, scene| read(Network::Taobao, &row, &Given { scene, ..given() }).unwrap().key.line;
    assert_eq!(&*key(row(json!("3")), Some(2)), "1:2:3");
    assert_eq!(&*key(row(Value::Null), Some(2)), "1:2:2");
    assert_eq!(&*key(row(Value::Null), None), "1:2:1");
}

proptest! {
    #[test]
    fn no_row_is_too_strange(fields in proptest::collection::btree_map("[a-zA-Z_]{1,20}", any::<String>(), 0..8), text in any::<String>()) {
        let mut row = json!(fields);
        for field in ["trade_id", "tk_status", "id", "validCode", "orderTime", "payMonth", "order_sn", "line", "paid", "created_at"] {
            if text.len() % 3 != field.len() % 3 {
                row[field] = json!(text);
            }
        }
        for network in Network::ALL {
            if let Err(bad) = read(*network, &row, &given()) {
                prop_assert!(!bad.faults.is_empty());
            }
        }
    }
}
