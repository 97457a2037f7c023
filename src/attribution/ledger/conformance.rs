//! What every ledger must do, whatever database is behind it. A backend calls [`every_ledger`] with a way to open itself
//! anew over the same data, which must be empty.

use super::*;
use crate::domain::attribution::Network;
use crate::domain::attribution::entries::{Party, Side};
use crate::domain::attribution::matching::{Credited, Method, Reason, Rules, Terms};
use crate::domain::attribution::order::Promotion;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn key(line: &str) -> LineKey {
    LineKey { network: Network::Taobao, account: "default".into(), line: line.into() }
}

fn line(name: &str) -> OrderLine {
    OrderLine {
        key: key(name),
        order: "order-1".into(),
        parent: "".into(),
        state: OrderState::Paid,
        raw_state: "12".into(),
        refunded: false,
        created_at: at("2026-10-31 12:00:00"),
        paid_at: None,
        completed_at: None,
        settled_at: None,
        modified_at: at("2026-10-31 23:00:00"),
        clicked_at: None,
        marketplace: "taobao".into(),
        item: "1".into(),
        title: "".into(),
        shop: "shop:1".into(),
        shop_name: "".into(),
        quantity: 1,
        returned: 0,
        paid: Some(Fen(10_000)),
        estimated: Fen(500),
        confirmed: None,
        promotion: Promotion::default(),
    }
}

fn rules() -> Rules {
    Rules { version: 1, validity: "v".into() }
}

fn nobody() -> Match {
    Match { method: Method::None, click: None, runner_up: None, reason: Some(Reason::NoTouch), rules: rules() }
}

fn credited(click: u8) -> Match {
    let click = Credited {
        click: ClickId([click; 16]),
        at: at("2026-10-30"),
        node: "n1".into(),
        seq: 7,
        code: "abc".into(),
        creator: "c:1".into(),
        platform: "kuaishou".into(),
        note: "".into(),
        policy_version: u64::MAX,
        terms: Terms::default(),
    };
    Match { method: Method::Pid, runner_up: Some(click.clone()), click: Some(click), reason: None, rules: rules() }
}

fn entries(party: &Party, booked: u32, amount: i64, month: &str, late: bool) -> Vec<NewEntry> {
    let account = |party| Account { party, side: Side::Estimated };
    let entry = |party: Party, amount| NewEntry {
        slot: Slot { cause: [1; 32], kind: Kind::Estimated, account: account(party), booked },
        amount: Fen(amount),
        changed_at: at("2026-10-31 23:00:00"),
        period: month.parse().unwrap(),
        late,
    };
    vec![entry(Party::Network(Network::Taobao), amount), entry(party.clone(), -amount)]
}

fn batch(revision: i64, lines: Vec<Line>) -> Batch {
    Batch { revision, trigger: Trigger::Order, events: None, touches: None, lines }
}

/// Runs every demand.
pub async fn every_ledger<L: Ledger>(open: impl Fn() -> L) {
    let (first, other) = (open(), open());
    let now = at("2026-12-01");
    assert_eq!(first.marks().await.unwrap(), Marks::default());
    assert_eq!(first.held(&[key("a")]).await.unwrap(), [None]);

    let unmatched = Party::Unmatched(Network::Taobao);
    let new = |name, matched, booked, entries| Line {
        line: line(name),
        inputs: [3; 32],
        matched,
        booked,
        entries,
        reached: Vec::new(),
    };
    let lines = vec![
        new("a", Some(nobody()), 1, entries(&unmatched, 1, 500, "2026-10", false)),
        new("b", Some(nobody()), 1, Vec::new()),
    ];
    let whole = Batch { events: Some(9), touches: Some(4), ..batch(0, lines) };
    assert!(first.keep(whole.clone(), now).await.unwrap());
    assert!(!other.keep(whole, now).await.unwrap(), "something was kept since");
    let marks = other.marks().await.unwrap();
    assert_eq!(marks, Marks { events: 9, touches: Some(4), revision: 1, closed: None });
    let keys: Vec<_> = other.lines(0, 10).await.unwrap();
    assert_eq!(keys, [(1, key("a")), (2, key("b"))]);
    assert_eq!(other.lines(1, 10).await.unwrap(), keys[1..]);

    // Credited to somebody after all: another version, and what it takes back and gives.
    let creator = Party::Creator("c:1".into());
    let mut more = entries(&unmatched, 1, -500, "2026-10", false);
    more.extend(entries(&creator, 2, 500, "2026-10", false));
    let mut changed = new("a", Some(credited(7)), 2, more);
    changed.reached = vec![OrderState::Paid];
    assert!(other.keep(batch(1, vec![changed.clone()]), now).await.unwrap());
    changed.matched = None;
    changed.entries = Vec::new();
    assert!(first.keep(batch(2, vec![changed]), now).await.unwrap());
    let held = first.held(&[key("b"), key("a")]).await.unwrap();
    let [Some(b), Some(a)] = &held[..] else { panic!("{held:?}") };
    assert_eq!((b.version, &b.matched, b.posted.len()), (1, &nobody(), 0));
    assert_eq!((a.version, &a.matched, a.inputs, a.booked, b.booked), (2, &credited(7), [3; 32], 2, 1));
    let amounts: Vec<_> = a.posted.iter().map(|(slot, amount)| (slot.account.to_string(), amount.0)).collect();
    assert_eq!(amounts, [("network:taobao:estimated".to_owned(), 500), ("creator:c:1:estimated".to_owned(), -500)]);
    assert_eq!(first.of_click(ClickId([7; 16])).await.unwrap(), [key("a")]);
    assert_eq!(first.of_click(ClickId([8; 16])).await.unwrap(), []);
    let book = other.book(&key("a")).await.unwrap().unwrap();
    assert_eq!(book.matches.iter().map(|kept| kept.version).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((book.entries.len(), book.line), (6, record::Standing::of(&line("a"))));
    assert_eq!(other.book(&key("c")).await.unwrap(), None);
    assert_eq!(other.uneven().await.unwrap(), []);

    // Announced once for each state, until it is told.
    let untold = first.untold(10).await.unwrap();
    assert_eq!(untold.iter().map(|one| (one.state, &one.key)).collect::<Vec<_>>(), [(OrderState::Paid, &key("a"))]);
    other.told(&[untold[0].number]).await.unwrap();
    assert_eq!(first.untold(10).await.unwrap(), []);

    balances_and_periods(&first, &other).await;
}

async fn balances_and_periods(first: &dyn Ledger, other: &dyn Ledger) {
    let now = at("2026-12-01");
    let (october, november): (Month, Month) = ("2026-10".parse().unwrap(), "2026-11".parse().unwrap());
    let shown = |balances: Vec<Balance>| {
        let shown = balances.into_iter().map(|one| (one.period, one.account.to_string(), one.amount_fen.0));
        shown.collect::<Vec<_>>()
    };
    let kept = first.balances(None).await.unwrap();
    assert_eq!(kept, other.rebuilt().await.unwrap());
    let whole =
        [(october, "network:taobao:estimated".to_owned(), 500), (october, "creator:c:1:estimated".to_owned(), -500)];
    assert_eq!(shown(kept), whole);
    assert_eq!(shown(first.balances(Some(november)).await.unwrap()), []);

    // A month closes after all before it, once, and only as it was read.
    assert_eq!(first.close(november, "me", 3, now).await.unwrap(), Closing::Earlier(october));
    assert_eq!(first.close(october, "me", 2, now).await.unwrap(), Closing::Stale);
    let Closing::Closed(closed) = first.close(october, "me", 3, now).await.unwrap() else { panic!("not closed") };
    assert_eq!((closed.period, closed.closed_by.as_str(), closed.closed_at), (october, "me", now));
    assert_eq!(shown(closed.balances.clone()), whole);
    let revision = other.marks().await.unwrap().revision;
    assert_eq!(other.marks().await.unwrap().closed, Some(october));
    assert_eq!(other.close(october, "you", revision, now).await.unwrap(), Closing::Already(closed.clone()));
    assert_eq!(other.closed().await.unwrap(), [closed]);
    let september = other.close("2026-09".parse().unwrap(), "you", revision, now).await.unwrap();
    assert!(matches!(september, Closing::Already(_)), "{september:?}");

    // Late, it takes effect when its period begins.
    let late = entries(&Party::Creator("c:1".into()), 2, -100, "2026-11", true);
    let late = Line { line: line("a"), inputs: [3; 32], matched: None, booked: 2, entries: late, reached: Vec::new() };
    assert!(first.keep(batch(revision, vec![late]), now).await.unwrap());
    let sums = |from: &str, to: &str| {
        let (from, to) = (at(from), at(to));
        async move {
            let (sums, last) = other.sums(from, to, 0, 100).await.unwrap();
            assert_eq!(last, 2);
            sums.into_iter().map(|sum| (sum.account.to_string(), sum.amount.0, sum.matched.code)).collect::<Vec<_>>()
        }
    };
    let creator = "creator:c:1:estimated".to_owned();
    assert_eq!(sums("2026-11-01", "2026-12-01").await, [(creator.clone(), 100, "abc".into())]);
    let in_october = sums("2026-10-01", "2026-11-01").await;
    assert_eq!(in_october[1], (creator.clone(), -500, "abc".into()));
    // What came to nothing is there as well: a report leaves it out.
    assert_eq!((in_october[0].1, in_october.len()), (0, 2));
    assert_eq!(other.sums(Timestamp::MIN, Timestamp::MAX, 1, 100).await.unwrap().0, []);

    let query = EntryQuery { period: Some(november), creator: Some("c:1".into()), after: 0 };
    let listed = first.entries(&query, 10).await.unwrap();
    assert_eq!(listed.iter().map(|entry| (entry.amount, entry.late)).collect::<Vec<_>>(), [(Fen(100), true)]);
    let all = first.entries(&EntryQuery::default(), 10).await.unwrap();
    assert_eq!(all.len(), 8);
    let rest = EntryQuery { after: all[2].number, ..EntryQuery::default() };
    assert_eq!(first.entries(&rest, 2).await.unwrap(), all[3..5]);
}
