use std::sync::Arc;

use super::*;
use crate::attribution::ledger::memory::{MemoryOrders, MemoryTerms, MemoryTouches, hour, line, touch};
use crate::attribution::ledger::settle::{Counting, Settler};
use crate::attribution::ledger::sqlite::SqliteLedger;
use crate::attribution::touches::Subject;
use crate::domain::attribution::matching::Terms;
use crate::domain::attribution::order::OrderState;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::Vocabulary;
use crate::report::asked::{Kind as Report, Question};

async fn season(folder: &std::path::Path) -> Settler {
    let subject = |id: &str| Subject::Creator(id.into());
    let orders = MemoryOrders::new(&[("1", subject("c1")), ("2", subject("c2")), ("3", subject("c3"))]);
    let touches = MemoryTouches::default();
    let mut sampled = touch(3, "c3", hour(80));
    sampled.agreement = "half".into();
    touches.add(&[touch(1, "c1", hour(90)), touch(2, "c2", hour(90)), sampled]);
    let mut settled = line("b", "1", hour(101), 300);
    (settled.state, settled.modified_at, settled.confirmed) = (OrderState::Settled, hour(800), Some(Fen(280)));
    let mut closed = line("c", "2", hour(102), 50);
    (closed.state, closed.modified_at) = (OrderState::Invalid, hour(110));
    orders.add(&[
        line("a", "1", hour(100), 500),
        line("b", "1", hour(101), 300),
        settled,
        line("c", "2", hour(102), 50),
        closed,
        line("nobody", "", hour(103), 7),
        line("s1", "3", hour(104), 100),
        line("s2", "3", hour(105), 200),
    ]);
    let mut terms = MemoryTerms::default();
    terms.0.insert("half".into(), Terms { sampling: 500_000, agreement: "half".into(), ..Terms::default() });
    let settler = Settler {
        ledger: Arc::new(SqliteLedger::open(&folder.join("orders.sqlite")).unwrap()),
        orders: Arc::new(orders),
        touches: Arc::new(touches),
        terms: Arc::new(terms),
        counting: Counting { version: "usual".into(), counts: Arc::new(|_| true) },
        key: ClickKey::new(&[7; 16]),
    };
    settler.settle(hour(1_000)).await.unwrap();
    settler
}

fn asked(from: &str, to: &str, by: &str, change: impl FnOnce(&mut Question)) -> Asked {
    let mut question =
        Question { from: Some(from.into()), to: Some(to.into()), by: Some(by.into()), ..Question::default() };
    change(&mut question);
    question.check(Report::Settlement, &Vocabulary::default(), hour(1_000)).unwrap()
}

fn cell<'s>(sheet: &'s Sheet, row: &'s [Cell], name: &str) -> &'s Cell {
    &row[sheet.columns.iter().position(|column| column.name == name).unwrap_or_else(|| panic!("no column {name}"))]
}

/// The name of a row and these figures of it.
fn figures(sheet: &Sheet, names: &[&str]) -> Vec<(Cell, Vec<i64>)> {
    let number = |cell: &Cell| match cell {
        Cell::Count(count) => *count as i64,
        Cell::Money(fen) => fen.0,
        Cell::None => -1,
        other => panic!("{other:?}"),
    };
    let rows = sheet.rows.iter().chain(&sheet.total);
    rows.map(|row| (row[0].clone(), names.iter().map(|name| number(cell(sheet, row, name))).collect())).collect()
}

#[tokio::test]
async fn creators_see_what_is_expected_and_what_is_earned() {
    let folder = tempfile::tempdir().unwrap();
    let settler = season(folder.path()).await;
    let sheet =
        sheet(&*settler.ledger, &settler.key, &asked("2026-10-01", "2026-12-01", "creator", |_| {})).await.unwrap();
    assert_eq!(sheet.faults(), Vec::<String>::new());
    let names = [
        "orders",
        "paid_fen",
        "estimated_fen",
        "confirmed_fen",
        "reversed_fen",
        "expected_fen",
        "earned_fen",
        "unmatched_fen",
    ];
    let named = |name: &str| Cell::Text(name.to_owned());
    assert_eq!(
        figures(&sheet, &names),
        [
            (named("c1"), vec![2, 16_000, 500, 280, 0, 500, 280, 0]),
            (named("c2"), vec![1, 1_000, 50, 0, -50, 0, 0, 0]),
            (named("c3"), vec![-1; 8]),
            (Cell::None, vec![1, 140, 0, 0, 0, 0, 0, 7]),
            (Cell::None, vec![4, 17_140, 550, 280, -50, 500, 280, 7]),
        ]
    );
    // Two of some four: an estimate with its interval, in no total.
    let Cell::Estimate { value, low, high } = cell(&sheet, &sheet.rows[2], "expected_yuan_est") else {
        panic!("no estimate")
    };
    let spread = 1.96 * (5.0f64 * 0.5 / 0.25).sqrt();
    assert!(
        (value - 6.0).abs() < 1e-9 && (high - 6.0 - spread).abs() < 1e-9 && (low - 3.0).abs() < 1e-9,
        "{value} {low} {high}"
    );
    assert_eq!(cell(&sheet, sheet.total.as_ref().unwrap(), "expected_yuan_est"), &Cell::None);
    assert!(sheet.notes[1].1.contains("2 lines, 3.00 yuan expected"), "{:?}", sheet.notes);
}

#[tokio::test]
async fn totals_are_the_ledgers_balances_month_by_month() {
    let folder = tempfile::tempdir().unwrap();
    let settler = season(folder.path()).await;
    for (month, from, to) in [("2026-10", "2026-10-01", "2026-11-01"), ("2026-11", "2026-11-01", "2026-12-01")] {
        let sheet = sheet(&*settler.ledger, &settler.key, &asked(from, to, "creator", |_| {})).await.unwrap();
        let balances = settler.ledger.balances(Some(month.parse().unwrap())).await.unwrap();
        let of = |part: &dyn Fn(&str) -> bool| {
            let of = balances.iter().filter(|balance| part(&balance.account.to_string()));
            -of.map(|balance| balance.amount_fen.0).sum::<i64>()
        };
        // The one creator under a sample is in no total.
        let whole = |name: &str| name.starts_with("creator:") && !name.contains(":c3:");
        let total = figures(&sheet, &["expected_fen", "earned_fen", "unmatched_fen"]).pop().unwrap().1;
        let expected = of(&|name| whole(name) && name.ends_with(":estimated"));
        let earned = of(&|name| whole(name) && name.ends_with(":confirmed"));
        assert_eq!(total, [expected, earned, of(&|name| name.starts_with("unmatched:"))], "{month}");
    }
    let by_period =
        sheet(&*settler.ledger, &settler.key, &asked("2026-10-01", "2026-12-01", "period", |_| {})).await.unwrap();
    let told: Vec<_> = figures(&by_period, &["estimated_fen", "confirmed_fen"]);
    assert_eq!(told[0].1, [850, 0]);
    assert_eq!(told[1], (Cell::Text("2026-11".into()), vec![-300, 280]));
}

#[tokio::test]
async fn a_row_opens_to_its_orders_and_each_order_to_its_hop() {
    let folder = tempfile::tempdir().unwrap();
    let settler = season(folder.path()).await;
    let only = |question: &mut Question| question.creator = Some("c1".into());
    let sheet = sheet(&*settler.ledger, &settler.key, &asked("2026-10-01", "2026-11-01", "order", only)).await.unwrap();
    assert_eq!(sheet.faults(), Vec::<String>::new());
    assert_eq!(sheet.rows.len(), 2);
    let row = &sheet.rows[1];
    assert_eq!(cell(&sheet, row, "order"), &Cell::Text("order-b".into()));
    assert_eq!(cell(&sheet, row, "state"), &Cell::Text("settled".into()));
    let click = click_text(&settler.key, touch(1, "c1", Timestamp::default()).click);
    let link = Cell::Link { to: format!("/v1/hops/{click}"), text: click };
    assert_eq!(cell(&sheet, row, "click"), &link);
    let line = Cell::Link { text: "b".into(), to: "/v1/orders/taobao/b".into() };
    assert_eq!(cell(&sheet, row, "line"), &line);
    let one = |question: &mut Question| question.order = Some("nobody".into());
    let nobody =
        super::sheet(&*settler.ledger, &settler.key, &asked("2026-10-01", "2026-11-01", "order", one)).await.unwrap();
    assert_eq!(cell(&nobody, &nobody.rows[0], "reason"), &Cell::Text("no_position".into()));
    let none = |question: &mut Question| question.creator = Some("nobody".into());
    let empty = super::sheet(&*settler.ledger, &settler.key, &asked("2026-10-01", "2026-11-01", "creator", none))
        .await
        .unwrap();
    assert_eq!((empty.rows.len(), empty.faults()), (0, Vec::new()));
}
