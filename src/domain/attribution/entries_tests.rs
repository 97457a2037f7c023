use proptest::prelude::*;

use super::*;
use crate::domain::attribution::matching::{Credited, Method, Rules, Terms};
use crate::domain::attribution::order::{LineKey, Promotion};
use crate::domain::click_id::ClickId;

fn event(minute: i64, state: OrderState, estimated: i64, confirmed: Option<i64>) -> OrderEvent {
    let at = Timestamp::from_millis(1_790_000_000_000 + minute * 60_000);
    let line = OrderLine {
        key: LineKey { network: Network::Jd, account: "default".into(), line: "1".into() },
        order: "1".into(),
        parent: "".into(),
        state,
        raw_state: "".into(),
        refunded: false,
        created_at: at,
        paid_at: None,
        completed_at: None,
        settled_at: None,
        modified_at: at,
        clicked_at: None,
        marketplace: "jd".into(),
        item: "".into(),
        title: "".into(),
        shop: "".into(),
        shop_name: "".into(),
        quantity: 2,
        returned: 0,
        paid: Some(Fen(10_000)),
        estimated: Fen(estimated),
        confirmed: confirmed.map(Fen),
        promotion: Promotion::default(),
    };
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&minute.to_be_bytes());
    hash[8] = state as u8;
    hash[9..17].copy_from_slice(&estimated.to_be_bytes());
    hash[17..25].copy_from_slice(&confirmed.unwrap_or(-1).to_be_bytes());
    OrderEvent { seq: 1, hash, line }
}

fn credited(creator: &str) -> Match {
    let click = Credited {
        click: ClickId([1; 16]),
        at: Timestamp::default(),
        node: "".into(),
        seq: 1,
        code: "abc".into(),
        creator: creator.into(),
        platform: "".into(),
        note: "".into(),
        policy_version: 1,
        terms: Terms::default(),
    };
    let rules = Rules { version: 1, validity: "".into() };
    Match { method: Method::Pid, click: Some(click), runner_up: None, reason: None, rules }
}

/// What a creator's account is credited with, by side and kind.
fn owed(postings: &Postings, side: Side, kind: Kind) -> i64 {
    let of =
        |slot: &Slot| matches!(slot.account.party, Party::Creator(_)) && slot.account.side == side && slot.kind == kind;
    -postings.iter().filter(|(slot, _)| of(slot)).map(|(_, amount)| amount.0).sum::<i64>()
}

#[test]
fn a_life_of_a_line_from_paid_to_returned() {
    let match_ = credited("c1");
    let mut life = vec![event(0, OrderState::Pending, 500, None), event(1, OrderState::Paid, 500, None)];
    let told = |life: &[OrderEvent]| {
        let postings = desired(life, &match_, 1);
        [Side::Estimated, Side::Confirmed]
            .map(|side| Kind::ALL.iter().map(|kind| owed(&postings, side, *kind)).collect())
    };
    let expect = |told: [Vec<i64>; 2], estimated: [i64; 3], confirmed: [i64; 3]| {
        assert_eq!(told, [estimated.to_vec(), confirmed.to_vec()], "estimated, confirmed, reversed");
    };
    expect(told(&life), [500, 0, 0], [0, 0, 0]);
    life.push(event(2, OrderState::Paid, 450, None));
    expect(told(&life), [500, 0, -50], [0, 0, 0]);
    // Received, and nobody says yet what it earned: an estimate is not confirmed by being received.
    life.push(event(2, OrderState::Completed, 450, None));
    expect(told(&life), [500, 0, -50], [0, 0, 0]);
    life.push(event(3, OrderState::Completed, 450, Some(450)));
    expect(told(&life), [50, 0, -50], [0, 450, 0]);
    life.push(event(4, OrderState::Settled, 450, Some(440)));
    expect(told(&life), [50, 0, -50], [0, 450, -10]);
    // One of two pieces came back: the amount is as told. Then the other.
    let mut partly = event(5, OrderState::Settled, 450, Some(220));
    (partly.line.refunded, partly.line.returned) = (true, 1);
    life.push(partly.clone());
    expect(told(&life), [50, 0, -50], [0, 450, -230]);
    let mut wholly = event(6, OrderState::Settled, 450, Some(220));
    (wholly.line.refunded, wholly.line.returned) = (true, 2);
    life.push(wholly);
    expect(told(&life), [50, 0, -50], [0, 450, -450]);
    life.push(event(7, OrderState::Invalid, 450, Some(220)));
    expect(told(&life), [50, 0, -50], [0, 450, -450]);
    let closed = [event(1, OrderState::Paid, 500, None), event(2, OrderState::Invalid, 500, None)];
    expect(told(&closed), [500, 0, -500], [0, 0, 0]);
    // A claim against nobody knows how much of it.
    let mut claim = event(2, OrderState::Paid, 500, None);
    claim.line.refunded = true;
    expect(told(&[event(1, OrderState::Paid, 500, None), claim]), [500, 0, -500], [0, 0, 0]);
}

#[test]
fn accounts_read_back_and_entries_go_to_the_first_open_month() {
    for party in
        [Party::Network(Network::Jd), Party::Creator("a:b:confirmed".into()), Party::Unmatched(Network::Taobao)]
    {
        for side in Side::ALL {
            let account = Account { party: party.clone(), side: *side };
            assert_eq!(Account::parse(&account.to_string()), Some(account));
        }
    }
    assert_eq!(Account::parse("network:nowhere:estimated"), None);
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let month = |text: &str| text.parse::<Month>().unwrap();
    assert_eq!(period_of(at("2026-10-31 23:59:59"), None), (month("2026-10"), false));
    assert_eq!(period_of(at("2026-10-31 23:59:59"), Some(month("2026-09"))), (month("2026-10"), false));
    assert_eq!(period_of(at("2026-10-31 23:59:59"), Some(month("2026-10"))), (month("2026-11"), true));
    assert_eq!(period_of(at("2026-01-31"), Some(month("2026-10"))), (month("2026-11"), true));
}

fn events() -> impl Strategy<Value = Vec<OrderEvent>> {
    let one = (0..6i64, 0..OrderState::ALL.len(), 0..400i64, proptest::option::of(0..400i64), any::<bool>(), 0..3u32);
    let one = one.prop_map(|(minute, state, estimated, confirmed, refunded, returned)| {
        let mut event = event(minute, OrderState::ALL[state], estimated, confirmed);
        (event.line.refunded, event.line.returned) = (refunded, returned);
        event.hash[30] = u8::from(refunded);
        event.hash[31] = returned as u8;
        event
    });
    proptest::collection::vec(one, 0..8)
}

proptest! {
    #[test]
    fn every_cause_is_even_and_the_balance_is_the_worth_of_the_youngest(events in events()) {
        let postings = desired(&events, &credited("c1"), 1);
        let mut causes = BTreeMap::new();
        for (slot, amount) in &postings {
            prop_assert!(!amount.is_zero());
            *causes.entry(slot.cause).or_insert(Fen::ZERO) += *amount;
        }
        prop_assert!(causes.values().all(|sum| sum.is_zero()));
        let worth = youngest(&events).map(|event| worth(&event.line)).unwrap_or_default();
        for (side, worth) in [(Side::Estimated, worth.estimated), (Side::Confirmed, worth.confirmed)] {
            let sum: i64 = Kind::ALL.iter().map(|kind| owed(&postings, side, *kind)).sum();
            prop_assert_eq!(sum, worth.0);
        }
        // What is reversed is never above zero, and what is confirmed never below.
        for (slot, amount) in &postings {
            if matches!(slot.account.party, Party::Creator(_)) {
                match slot.kind {
                    Kind::Reversed => prop_assert!(*amount > Fen::ZERO),
                    Kind::Confirmed => prop_assert!(*amount < Fen::ZERO),
                    Kind::Estimated => {}
                }
            }
        }
    }

    #[test]
    fn whatever_came_before_the_differences_lead_to_the_same(
        events in events(),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
        parties in proptest::collection::vec(0..3usize, 12),
    ) {
        // Reports become known in any order, some twice, while the match changes.
        let (mut known, mut posted) = (Vec::new(), Postings::new());
        let apply = |posted: &mut Postings, known: &[OrderEvent], party: usize| {
            let booked = party as u32 + 1;
            let desired = desired(known, &credited(["", "c1", "c2"][party]), booked);
            for (slot, amount) in difference(&desired, posted) {
                add(posted, slot, amount);
            }
            assert_eq!(*posted, desired);
        };
        for (index, party) in order.iter().zip(&parties) {
            if !events.is_empty() {
                known.push(events[index.index(events.len())].clone());
            }
            apply(&mut posted, &known, *party);
        }
        apply(&mut posted, &events, 1);
        let mut backwards = events.clone();
        backwards.reverse();
        prop_assert_eq!(posted, desired(&backwards, &credited("c1"), 2));
    }
}
