use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::attribution::ledger::check::check;
use crate::attribution::ledger::close::{NotClosed, close};
use crate::attribution::ledger::memory::{MemoryOrders, MemoryTerms, MemoryTouches, hour, line, touch};
use crate::attribution::ledger::sqlite::SqliteLedger;
use crate::domain::attribution::entries::{Postings, Side};
use crate::domain::attribution::matching::{Reason, Terms};
use crate::domain::attribution::touch::Marks as ClickMarks;

struct World {
    settler: Settler,
    orders: Arc<MemoryOrders>,
    touches: Arc<MemoryTouches>,
}

fn counting() -> Counting {
    Counting { version: "usual".into(), counts: Arc::new(|touch| touch.marks == ClickMarks::default()) }
}

fn world(folder: &Path) -> World {
    let creator = |id: &str| Subject::Creator(id.into());
    let orders = Arc::new(MemoryOrders::new(&[("1", creator("c1")), ("2", creator("c2"))]));
    let touches = Arc::new(MemoryTouches::default());
    let mut terms = MemoryTerms::default();
    terms.0.insert("half".into(), Terms { sampling: 500_000, agreement: "half".into(), ..Terms::default() });
    terms.0.insert("pause".into(), Terms { paused: true, agreement: "pause".into(), ..Terms::default() });
    let settler = Settler {
        ledger: Arc::new(SqliteLedger::open(&folder.join("orders.sqlite")).unwrap()),
        orders: Arc::<MemoryOrders>::clone(&orders),
        touches: Arc::<MemoryTouches>::clone(&touches),
        terms: Arc::new(terms),
        counting: counting(),
        key: ClickKey::new(&[7; 16]),
    };
    World { settler, orders, touches }
}

/// Balances of creators and of nobody, over all periods: account without its kinds, what they are owed.
async fn balances(ledger: &dyn Ledger) -> BTreeMap<String, i64> {
    let mut sums = BTreeMap::new();
    for balance in ledger.balances(None).await.unwrap() {
        *sums.entry(balance.account.to_string()).or_default() -= balance.amount_fen.0;
    }
    sums.retain(|name, sum| *sum != 0 && !name.starts_with("network:"));
    sums
}

async fn held(world: &World, name: &str) -> Held {
    let key = line(name, "", hour(0), 0).key;
    world.settler.ledger.held(&[key]).await.unwrap().pop().flatten().unwrap()
}

fn owed(pairs: &[(&str, i64)]) -> BTreeMap<String, i64> {
    pairs.iter().map(|(name, sum)| ((*name).to_owned(), *sum)).collect()
}

#[tokio::test]
async fn late_clicks_and_late_reports_post_differences() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    let ledger = Arc::clone(&world.settler.ledger);
    let now = hour(2_000);
    world.orders.add(&[line("a", "1", hour(100), 500)]);
    let settled = world.settler.settle(now).await.unwrap();
    assert_eq!((settled.events, settled.matched_by(Method::None), settled.posted(Kind::Estimated)), (1, 1, 2));
    assert_eq!(balances(&*ledger).await, owed(&[("unmatched:taobao:estimated", 500)]));
    assert_eq!(held(&world, "a").await.matched.reason, Some(Reason::NoTouch));
    assert_eq!(world.settler.settle(now).await.unwrap(), Settled::default(), "nothing new");

    // A click that was recorded before the order arrives after it.
    world.touches.add(&[touch(1, "c1", hour(90)), touch(2, "c2", hour(99))]);
    let settled = world.settler.settle(now).await.unwrap();
    assert_eq!((settled.events, settled.matched_by(Method::Position)), (0, 1));
    assert_eq!(balances(&*ledger).await, owed(&[("creator:c1:estimated", 500)]));
    let now_held = held(&world, "a").await;
    assert_eq!((now_held.version, now_held.matched.click.unwrap().seq), (2, 1));

    // Settled in another month, then returned after that month was closed.
    let mut confirmed = line("a", "1", hour(100), 500);
    (confirmed.state, confirmed.confirmed, confirmed.modified_at) = (OrderState::Settled, Some(Fen(480)), hour(800));
    world.orders.add(&[confirmed.clone(), confirmed.clone()]);
    world.settler.settle(now).await.unwrap();
    assert_eq!(balances(&*ledger).await, owed(&[("creator:c1:confirmed", 480)]));
    let month = |text: &str| text.parse::<Month>().unwrap();
    assert!(matches!(close(&world.settler, month("2026-11"), "me", hour(800)).await, Err(NotClosed::NotOver { .. })));
    let early = close(&world.settler, month("2026-11"), "me", now).await.unwrap_err();
    assert_eq!(early, NotClosed::Earlier(month("2026-10")));
    close(&world.settler, month("2026-10"), "me", now).await.unwrap();
    let november = close(&world.settler, month("2026-11"), "me", now).await.unwrap();
    let totals: Vec<_> = november.balances.iter().map(|one| (one.account.to_string(), one.amount_fen.0)).collect();
    assert!(totals.contains(&("creator:c1:confirmed".to_owned(), -480)), "{totals:?}");
    let again = close(&world.settler, month("2026-11"), "me", now).await.unwrap_err().to_string();
    assert!(again.contains("closed before") && again.contains("by me"), "{again}");

    let mut returned = confirmed;
    (returned.refunded, returned.modified_at) = (true, hour(1_000));
    world.orders.add(&[returned]);
    let settled = world.settler.settle(now).await.unwrap();
    assert_eq!((settled.posted(Kind::Reversed), settled.late), (2, 2));
    assert_eq!(balances(&*ledger).await, owed(&[]));
    let december = ledger.balances(Some(month("2026-12"))).await.unwrap();
    assert_eq!(december.iter().map(|one| one.amount_fen.0).collect::<Vec<_>>().iter().sum::<i64>(), 0);
    assert_eq!(december.len(), 2);
    assert_eq!(ledger.closed().await.unwrap().pop().unwrap(), november, "a closed month stays as it was");
    let checked = check(&world.settler, |_| {}).await.unwrap();
    assert_eq!((checked.lines, checked.waiting, checked.faults), (1, 0, Vec::<String>::new()));
}

#[tokio::test]
async fn a_click_id_is_believed_and_a_pause_is_not_credited() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    let mut paused = touch(3, "c2", hour(95));
    paused.agreement = "pause".into();
    let mut double = touch(4, "c1", hour(96));
    double.marks = ClickMarks::DUPLICATE;
    world.touches.add(&[touch(1, "c1", hour(90)), touch(2, "c2", hour(80)), paused, double]);
    let mut by_id = line("id", "1", hour(100), 100);
    let id = String::from_utf8(world.settler.key.text(touch(2, "c2", hour(80)).click).to_vec()).unwrap();
    by_id.promotion.sub_id = id.clone().into();
    let mut forged = line("forged", "1", hour(100), 10);
    forged.promotion.sub_id = format!("{}AAAA", &id[..28]).into();
    let unknown = line("unknown", "9", hour(100), 1);
    world.orders.add(&[by_id, forged, line("pause", "2", hour(100), 1_000), unknown]);
    world.settler.settle(hour(200)).await.unwrap();
    let told = |held: Held| (held.matched.method, held.matched.creator().map(str::to_owned), held.matched.reason);
    let creator = |id: &str| Some(id.to_owned());
    assert_eq!(told(held(&world, "id").await), (Method::ClickId, creator("c2"), None));
    assert_eq!(told(held(&world, "forged").await), (Method::Position, creator("c1"), None));
    assert_eq!(held(&world, "forged").await.matched.click.unwrap().seq, 1, "a duplicate does not count");
    assert_eq!(told(held(&world, "pause").await), (Method::None, None, Some(Reason::Paused)));
    assert_eq!(told(held(&world, "unknown").await), (Method::None, None, Some(Reason::UnknownPosition)));
    let sums =
        owed(&[("creator:c1:estimated", 10), ("creator:c2:estimated", 100), ("unmatched:taobao:estimated", 1_001)]);
    assert_eq!(balances(&*world.settler.ledger).await, sums);
    let runner_up = held(&world, "id").await.matched.runner_up.unwrap();
    assert_eq!((runner_up.seq, &*runner_up.creator), (1, "c1"));
}

#[tokio::test]
async fn other_rules_are_tried_before_they_are_posted() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    let mut double = touch(2, "c1", hour(95));
    double.marks = ClickMarks::DUPLICATE;
    world.touches.add(&[touch(1, "c1", hour(90)), double]);
    world.orders.add(&[line("a", "1", hour(100), 500), line("b", "2", hour(100), 70)]);
    let now = hour(200);
    world.settler.settle(now).await.unwrap();
    let before = balances(&*world.settler.ledger).await;
    let strict = Counting { version: "strict".into(), counts: Arc::new(|_| false) };
    let other = Settler { counting: strict, ..world.settler.clone() };
    for dry in [true, false] {
        let mut seen = Vec::new();
        let settled = other
            .recompute(now, dry, |line, before| {
                let from = before.map(|before| before.method);
                seen.push((line.line.key.line.clone(), from, line.matched.as_ref().map(|now| now.reason)));
            })
            .await
            .unwrap();
        assert_eq!(seen, [("a".into(), Some(Method::Position), Some(Some(Reason::NotCounted)))]);
        // What was booked under the one match is taken back, both sides of it, and booked under the other.
        assert_eq!((settled.lines, settled.posted(Kind::Estimated)), (1, 4));
        let after = balances(&*world.settler.ledger).await;
        assert_eq!(after == before, dry, "{after:?}");
    }
    let moved = owed(&[("unmatched:taobao:estimated", 570)]);
    assert_eq!(balances(&*world.settler.ledger).await, moved);
    assert_eq!(check(&world.settler, |_| {}).await.unwrap().faults, Vec::<String>::new());
    // And back again: the third version of its match.
    world.settler.recompute(now, false, |_, _| {}).await.unwrap();
    assert_eq!((held(&world, "a").await.version, balances(&*world.settler.ledger).await), (3, before));
}

#[tokio::test]
async fn a_closed_month_says_of_its_clicks_what_it_said() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    let ledger = Arc::clone(&world.settler.ledger);
    let now = hour(2_000);
    let mut half = touch(1, "c1", hour(90));
    (half.agreement, half.code) = ("half".into(), "sampled".into());
    world.touches.add(&[half]);
    world.orders.add(&[line("a", "1", hour(100), 500)]);
    world.settler.settle(now).await.unwrap();
    let october: Month = "2026-10".parse().unwrap();
    // Creator, link, share and sum of what takes effect in a month.
    let said = |month: Month| {
        let ledger = Arc::clone(&ledger);
        async move {
            let (sums, _) = ledger.sums(month.begins(), month.next().begins(), 0, 100).await.unwrap();
            let told = |sum: crate::attribution::ledger::Sum| {
                (sum.account.to_string(), String::from(sum.matched.code), sum.matched.sampling, -sum.amount.0)
            };
            sums.into_iter().map(told).filter(|told| told.3 != 0).collect::<Vec<_>>()
        }
    };
    let account = |creator: &str| format!("creator:{creator}:estimated");
    let before = [(account("c1"), "sampled".to_owned(), 500_000, 500)];
    assert_eq!(said(october).await, before);
    close(&world.settler, october, "me", hour(800)).await.unwrap();

    // A click of the same creator that all of is told came late: the month that is closed stays, the next one corrects.
    world.touches.add(&[touch(2, "c1", hour(95))]);
    world.settler.settle(now).await.unwrap();
    let moved =
        [(account("c1"), "sampled".to_owned(), 500_000, -500), (account("c1"), "link-c1".to_owned(), 1_000_000, 500)];
    assert_eq!((said(october).await, said(october.next()).await), (before.to_vec(), moved.to_vec()));
    assert_eq!(balances(&*ledger).await, owed(&[("creator:c1:estimated", 500)]));

    // Another runner-up alone moves nothing, and what comes after is booked where the rest is.
    let entries = |key: LineKey| {
        let ledger = Arc::clone(&ledger);
        async move { ledger.book(&key).await.unwrap().unwrap().entries }
    };
    let key = line("a", "1", hour(100), 500).key;
    let count = entries(key.clone()).await.len();
    world.touches.add(&[touch(3, "c1", hour(93))]);
    world.settler.settle(now).await.unwrap();
    let held = held(&world, "a").await;
    assert_eq!((held.version, held.booked, entries(key.clone()).await.len()), (3, 2, count));
    let mut lower = line("a", "1", hour(100), 400);
    lower.modified_at = hour(900);
    world.orders.add(&[lower]);
    world.settler.settle(now).await.unwrap();
    let last = entries(key).await.pop().unwrap();
    assert_eq!((last.slot.booked, last.slot.kind), (2, Kind::Reversed));
    assert_eq!(check(&world.settler, |_| {}).await.unwrap().faults, Vec::<String>::new());
}

#[tokio::test]
async fn an_order_comes_from_a_click_that_led_to_its_network() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    let led = |number, at, marketplace: &str| {
        let mut touch = touch(number, "c1", hour(at));
        touch.marketplace = marketplace.into();
        touch
    };
    world.touches.add(&[led(1, 90, "tmall"), led(2, 92, "taobao"), led(3, 95, "jd"), led(4, 96, "jd")]);
    let mut of_jd = line("jd", "1", hour(100), 70);
    (of_jd.key.network, of_jd.marketplace) = (Network::Jd, "jd".into());
    let mut of_pdd = line("pdd", "1", hour(100), 7);
    (of_pdd.key.network, of_pdd.marketplace) = (Network::Pinduoduo, "pinduoduo".into());
    let mut foreign = line("foreign", "", hour(100), 1);
    foreign.promotion.sub_id =
        String::from_utf8(world.settler.key.text(led(4, 96, "jd").click).to_vec()).unwrap().into();
    world.orders.add(&[line("tb", "1", hour(100), 500), of_jd.clone(), of_pdd.clone(), foreign]);
    world.settler.settle(hour(200)).await.unwrap();
    let told = |held: Held| {
        let seq =
            |click: &Option<crate::domain::attribution::matching::Credited>| click.as_ref().map(|click| click.seq);
        (held.matched.method, seq(&held.matched.click), seq(&held.matched.runner_up), held.matched.reason)
    };
    let of = |key: LineKey| {
        let ledger = Arc::clone(&world.settler.ledger);
        async move { ledger.held(&[key]).await.unwrap().pop().flatten().unwrap() }
    };
    assert_eq!(told(held(&world, "tb").await), (Method::Position, Some(2), Some(1), None), "taobao and tmall are one");
    assert_eq!(told(of(of_jd.key).await), (Method::Position, Some(4), Some(3), None));
    assert_eq!(told(of(of_pdd.key).await), (Method::None, None, None, Some(Reason::NoTouch)));
    assert_eq!(told(held(&world, "foreign").await), (Method::None, None, None, Some(Reason::OtherMarketplace)));
}

#[tokio::test]
async fn a_match_outlives_its_click() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    world.touches.add(&[touch(1, "c1", hour(90))]);
    world.orders.add(&[line("a", "1", hour(100), 500)]);
    world.settler.settle(hour(200)).await.unwrap();
    world.touches.forget();
    world.settler.recompute(hour(300), false, |_, _| {}).await.unwrap();
    assert_eq!(balances(&*world.settler.ledger).await, owed(&[("creator:c1:estimated", 500)]));
    // A later click that only now arrives is the last one all the same.
    world.touches.add(&[touch(2, "c1", hour(95))]);
    world.settler.settle(hour(300)).await.unwrap();
    assert_eq!(held(&world, "a").await.matched.click.unwrap().seq, 2);
}

#[tokio::test]
async fn what_is_wrong_with_the_books_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    world.touches.add(&[touch(1, "c1", hour(90))]);
    world.orders.add(&[line("a", "1", hour(100), 500)]);
    let now = hour(2_000);
    close(&world.settler, "2026-10".parse().unwrap(), "me", now).await.unwrap();
    let file = rusqlite::Connection::open(folder.path().join("orders.sqlite")).unwrap();
    let spoil = "UPDATE ledger_entries SET amount = amount + 1 WHERE account LIKE 'creator:%'";
    assert_eq!(file.execute(spoil, []).unwrap(), 1);
    let checked = check(&world.settler, |_| {}).await.unwrap();
    let all = checked.faults.join("\n");
    for part in ["transaction 1 is not even", "balances say -500", "the closing say -500", "-1 fen short"] {
        assert!(all.contains(part), "{part}: {all}");
    }
    assert_eq!(checked.fault_count, 4, "{all}");
}

struct Listener(std::sync::Mutex<Vec<(String, OrderState)>>);

#[async_trait::async_trait]
impl Announcer for Listener {
    async fn announce(&self, matched: &[Matched]) -> Result<(), StoreError> {
        let told = matched.iter().map(|one| (one.line.key.line.to_string(), one.line.state));
        self.0.lock().unwrap().extend(told);
        Ok(())
    }
}

#[tokio::test]
async fn each_state_of_a_credited_line_is_announced_once() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    let mut done = line("a", "1", hour(100), 500);
    (done.state, done.modified_at) = (OrderState::Completed, hour(110));
    world.orders.add(&[line("a", "1", hour(100), 500), line("b", "2", hour(100), 1)]);
    let listener = Listener(Default::default());
    for (touches, told) in [(vec![], vec![]), (vec![touch(1, "c1", hour(90))], vec![OrderState::Paid])] {
        world.touches.add(&touches);
        for _ in 0..2 {
            world.settler.settle(hour(200)).await.unwrap();
            world.settler.announce(&listener).await.unwrap();
        }
        let heard: Vec<_> = listener.0.lock().unwrap().iter().map(|(_, state)| *state).collect();
        assert_eq!(heard, told);
    }
    world.orders.add(&[done]);
    world.settler.settle(hour(200)).await.unwrap();
    assert_eq!(world.settler.announce(&listener).await.unwrap(), 1);
    let heard = listener.0.lock().unwrap().clone();
    assert_eq!(heard, [("a".to_owned(), OrderState::Paid), ("a".to_owned(), OrderState::Completed)]);
}

/// A step of a season.
#[derive(Clone, Debug)]
enum Step {
    Orders(Vec<prop::sample::Index>),
    Clicks(Vec<prop::sample::Index>),
    Settle,
    Close,
}

fn reports() -> impl Strategy<Value = Vec<OrderLine>> {
    let one =
        (0..5usize, 0..4usize, 0..60i64, 0..OrderState::ALL.len(), 1..300i64, proptest::option::of(0..300i64), 0..4u8);
    let one = one.prop_map(|(name, position, days, state, estimated, confirmed, returned)| {
        let ordered = hour(name as i64 * 200);
        let mut made = line(["a", "b", "c", "d", "e"][name], ["1", "2", "", "9"][position], ordered, estimated);
        made.state = OrderState::ALL[state];
        made.modified_at = ordered.plus_micros(days * 86_400_000_000);
        made.confirmed = confirmed.map(Fen);
        (made.refunded, made.returned) = (returned == 3, u32::from(returned & 1));
        made
    });
    proptest::collection::vec(one, 1..20)
}

fn clicks() -> impl Strategy<Value = Vec<Touch>> {
    let one = (0..3usize, 0..1_000i64, proptest::bool::weighted(0.2), 0..4usize);
    proptest::collection::vec(one, 0..20).prop_map(|clicks| {
        let make = |(number, (creator, at, double, agreement)): (usize, (usize, i64, bool, usize))| {
            let mut made = touch(number as u32, ["c1", "c2", ""][creator], hour(at));
            made.agreement = ["", "half", "pause", ""][agreement].into();
            made.marks = if double { ClickMarks::DUPLICATE } else { ClickMarks::default() };
            made
        };
        clicks.into_iter().enumerate().map(make).collect()
    })
}

fn steps(closing: bool) -> impl Strategy<Value = Vec<Step>> {
    let some = || proptest::collection::vec(any::<prop::sample::Index>(), 1..6);
    let close = if closing { 1 } else { 0 };
    let one = prop_oneof![
        4 => some().prop_map(Step::Orders),
        3 => some().prop_map(Step::Clicks),
        3 => Just(Step::Settle),
        close => Just(Step::Close),
    ];
    proptest::collection::vec(one, 0..16)
}

/// What must not depend on how everything came in: what is posted for each line, and whom it is credited to. How many matches
/// there were before does.
async fn canonical(world: &World) -> BTreeMap<Box<str>, (Postings, Method, Option<u64>, Option<u64>, Option<Reason>)> {
    let lines = world.settler.ledger.lines(0, usize::MAX).await.unwrap();
    let keys: Vec<LineKey> = lines.into_iter().map(|(_, key)| key).collect();
    let held = world.settler.ledger.held(&keys).await.unwrap();
    let seq = |credited: &Option<crate::domain::attribution::matching::Credited>| credited.as_ref().map(|one| one.seq);
    keys.into_iter()
        .zip(held)
        .map(|(key, held)| {
            let held = held.unwrap();
            let matched = &held.matched;
            assert!(held.posted.keys().all(|slot| slot.booked == held.booked), "nothing is left under another match");
            let posted = held.posted.into_iter().map(|(slot, amount)| (Slot { booked: 0, ..slot }, amount)).collect();
            let told = (posted, matched.method, seq(&matched.click), seq(&matched.runner_up), matched.reason);
            (key.line, told)
        })
        .collect()
}

async fn play(world: &World, reports: &[OrderLine], clicks: &[Touch], steps: &[Step]) {
    let now = hour(5_000);
    let mut month: Month = "2026-10".parse().unwrap();
    for step in steps {
        match step {
            Step::Orders(some) => {
                let some: Vec<_> = some.iter().map(|index| reports[index.index(reports.len())].clone()).collect();
                world.orders.add(&some);
            }
            Step::Clicks(some) if !clicks.is_empty() => {
                let some: Vec<_> = some.iter().map(|index| clicks[index.index(clicks.len())].clone()).collect();
                world.touches.add(&some);
            }
            Step::Clicks(_) => {}
            Step::Settle => drop(world.settler.settle(now).await.unwrap()),
            Step::Close => {
                if close(&world.settler, month, "me", now).await.is_ok() {
                    month = month.next();
                }
            }
        }
    }
    let mut rest = clicks.to_vec();
    rest.reverse();
    world.touches.add(&rest);
    world.orders.add(reports);
    world.settler.settle(now).await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn however_it_comes_in_the_ledger_is_the_same(
        reports in reports(),
        clicks in clicks(),
        open in steps(false),
        closing in steps(true),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut told = Vec::new();
            for steps in [&[][..], &open, &closing] {
                let folder = tempfile::tempdir().unwrap();
                let world = world(folder.path());
                play(&world, &reports, &clicks, steps).await;
                assert_eq!(world.settler.settle(hour(5_000)).await.unwrap(), Settled::default());
                let checked = check(&world.settler, |_| {}).await.unwrap();
                assert_eq!(checked.faults, Vec::<String>::new());
                told.push((canonical(&world).await, balances(&*world.settler.ledger).await));
            }
            assert_eq!(told[0], told[1], "in pieces");
            assert_eq!(told[0], told[2], "while periods close");
            // What everyone is owed is what the youngest reports are worth.
            let worth: i64 = told[0].1.values().sum();
            let owed = |side: Side| told[0].1.iter().filter(|(name, _)| name.ends_with(side.as_str())).map(|(_, sum)| sum).sum::<i64>();
            assert_eq!(worth, owed(Side::Estimated) + owed(Side::Confirmed));
        });
    }
}
