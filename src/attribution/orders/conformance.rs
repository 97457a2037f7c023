//! What every store of order reports must do, whatever database is behind it.

use serde_json::{Value, json};

use super::import::fault::{Reason, RowFault};
use super::import::{Source, Taken, Taker};
use super::intake::{
    Kept, LineQuery, OrderIntake, Outcome, Position, PositionKind, QuarantineQuery, Reading, Registered, release_all,
};
use crate::attribution::touches::Subject;
use crate::domain::attribution::Network;
use crate::domain::attribution::order::{LineKey, OrderState};
use crate::domain::click_id::{ClickId, ClickKey};
use crate::domain::time::Timestamp;

/// The secret of click ids in these tests.
pub fn key() -> ClickKey {
    ClickKey::new(&[7; 16])
}

fn now() -> Timestamp {
    "2022-12-01".parse().unwrap()
}

/// A row of JD with the state `code`, changed at `hour` of the first day of November.
pub fn row(id: &str, code: i64, hour: u32, fee: &str) -> Value {
    json!({"id": id, "orderId": "9", "validCode": code, "orderTime": "2022-11-01 00:00:00",
        "modifyTime": format!("2022-11-01 {hour:02}:00:00"), "skuNum": 1, "estimateFee": fee, "actualFee": fee})
}

fn at_place(mut row: Value, position: &str) -> Value {
    row["positionId"] = json!(position);
    row
}

async fn take(store: &dyn OrderIntake, rows: &[Value]) -> (Taken, Vec<(Reading, Kept)>) {
    let name = "test.json".to_owned();
    let source = Source { network: Network::Jd, account: "default".into(), scene: None, name, dry: false };
    let mut taker = Taker::begin(store, source, now()).await.unwrap();
    taker.remember();
    for row in rows {
        taker.push(row);
    }
    taker.finish(Some([9; 32])).await.unwrap()
}

fn line(id: &str) -> LineKey {
    LineKey { network: Network::Jd, account: "default".into(), line: id.into() }
}

async fn open(store: &dyn OrderIntake) -> Vec<(Reason, String)> {
    let found = store.quarantined(&QuarantineQuery::default(), 100).await.unwrap();
    found.into_iter().map(|row| (row.reason, row.line.into())).collect()
}

fn place(position: &str, subject: Subject, link: Option<&str>) -> Position {
    let (kind, link) = (PositionKind::Position, link.map(Into::into));
    Position { network: Network::Jd, position: position.into(), kind, subject, link }
}

/// Runs the suite on stores made by `make`, which opens the last one again when it is told `true`.
pub async fn every_order_store<S: OrderIntake>(make: impl Fn(bool) -> S) {
    reports_are_added_once(&make).await;
    contradictions_are_settled_by_content_alone(&make).await;
    bad_rows_are_kept_until_they_are_mended(&make).await;
    rows_wait_for_their_position(&make(false)).await;
    positions_follow_links(&make(false)).await;
    a_row_with_a_fault_of_its_bringer_stays_out(&make(false)).await;
    a_row_that_was_set_aside_has_its_place(&make(false)).await;
    a_dry_run_keeps_nothing(&make(false)).await;
}

async fn reports_are_added_once<S: OrderIntake>(make: &impl Fn(bool) -> S) {
    let store = make(false);
    let rows = [row("1", 17, 3, "5.00"), row("1", 16, 2, "4.00"), row("2", 16, 1, "1.00"), row("2", 16, 1, "1.00")];
    let (taken, each) = take(&store, &rows).await;
    assert_eq!((taken.rows, taken.added, taken.unchanged, taken.set_aside()), (4, 3, 1, 0));
    assert_eq!(each.iter().map(|(row, kept)| (row.number, kept.outcome())).next_back(), Some((4, Outcome::Unchanged)));
    drop(store);
    let store = make(true);
    let (taken, _) = take(&store, &rows).await;
    assert_eq!((taken.added, taken.unchanged), (0, 4), "the same again");

    let events = store.after(0, 10).await.unwrap();
    assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(store.after(1, 1).await.unwrap(), events[1..2]);
    let of_line = store.of_line(&line("1")).await.unwrap();
    assert_eq!(
        of_line.iter().map(|event| event.line.state).collect::<Vec<_>>(),
        [OrderState::Paid, OrderState::Completed]
    );
    assert_eq!(store.of_line(&line("3")).await.unwrap(), []);

    let listed = store.lines(&LineQuery::default(), 10).await.unwrap();
    assert_eq!(
        listed.iter().map(|(_, line)| (&*line.key.line, line.state)).collect::<Vec<_>>(),
        [("2", OrderState::Paid), ("1", OrderState::Completed)]
    );
    let only = LineQuery { state: Some(OrderState::Paid), before: Some(listed[0].0 + 1), ..LineQuery::default() };
    assert_eq!(store.lines(&only, 10).await.unwrap().len(), 1);
    assert_eq!(store.lines(&LineQuery { before: Some(listed[1].0), ..LineQuery::default() }, 10).await.unwrap(), []);

    let created: Timestamp = "2022-11-01".parse().unwrap();
    let between = store.created_between(created, created.plus_micros(1)).await.unwrap();
    assert_eq!(between, [line("1"), line("2")]);
    assert_eq!(store.created_between(created.plus_micros(1), now()).await.unwrap(), []);

    let batches = store.batches(10).await.unwrap();
    assert_eq!(batches.iter().map(|batch| (batch.added, batch.unchanged)).collect::<Vec<_>>(), [(0, 4), (3, 1)]);
    assert!(
        batches
            .iter()
            .all(|batch| batch.ended_at == Some(now()) && batch.file_hash.as_deref() == Some(&"09".repeat(32)))
    );
    let counts = store.counts().await.unwrap();
    assert_eq!(counts.imported, [(Network::Jd, Outcome::Added, 3), (Network::Jd, Outcome::Unchanged, 5)]);
    assert_eq!(counts.quarantined, []);
}

/// Two reports of one change that say different things: the order in which they come must not matter.
async fn contradictions_are_settled_by_content_alone<S: OrderIntake>(make: &impl Fn(bool) -> S) {
    let rows = [row("1", 16, 1, "1.00"), row("1", 16, 1, "2.00"), row("1", 16, 1, "3.00")];
    let mut results = Vec::new();
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let store = make(false);
        let mut told = 0;
        for place in order {
            told += take(&store, &rows[place..=place]).await.0.set_aside();
        }
        assert_eq!(told, 2, "whichever comes second and third is told of");
        let mut aside: Vec<String> =
            store.quarantined(&QuarantineQuery::default(), 9).await.unwrap().into_iter().map(|row| row.raw).collect();
        aside.sort();
        let events = store.of_line(&line("1")).await.unwrap();
        results.push((aside, events.into_iter().map(|event| (event.hash, event.line)).collect::<Vec<_>>()));
        assert_eq!(
            open(&store).await,
            [(Reason::DuplicateKey, "1".to_owned()), (Reason::DuplicateKey, "1".to_owned())]
        );
        // The same again is told of again, and a later report settles it.
        assert_eq!(take(&store, &rows).await.0.set_aside(), 2);
        assert_eq!(take(&store, &[row("1", 16, 2, "2.00")]).await.0.added, 1);
        assert_eq!(open(&store).await, []);
    }
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{results:?}");
}

async fn bad_rows_are_kept_until_they_are_mended<S: OrderIntake>(make: &impl Fn(bool) -> S) {
    let store = make(false);
    let (bad, good) = (row("1", 16, 2, "1,00"), row("1", 16, 2, "1.00"));
    let (taken, _) = take(&store, &[bad.clone(), json!([1]), row("1", 16, 1, "1.00"), bad.clone()]).await;
    assert_eq!((taken.rows, taken.added, taken.set_aside()), (4, 1, 3), "the batch goes on");
    assert_eq!(
        taken.quarantined.into_iter().collect::<Vec<_>>(),
        [(Reason::NotAnObject, 1), (Reason::MalformedAmount, 2)]
    );
    let found = store.quarantined(&QuarantineQuery::default(), 9).await.unwrap();
    assert_eq!(found.len(), 2, "one that comes twice is there once");
    let row_one = &found[1];
    assert_eq!((row_one.seen, &*row_one.line, row_one.row), (2, "1", Some(1)));
    assert_eq!(serde_json::from_str::<Value>(&row_one.raw).unwrap(), bad, "as it came");
    assert_eq!(row_one.faults.len(), 2, "estimateFee and actualFee");
    assert_eq!(&*row_one.faults[0].field, "estimateFee");
    assert_eq!(store.retry(found.iter().map(|row| row.id).collect(), now()).await.unwrap(), 0, "nothing has changed");
    // An older report of the line does not mend it; the same change does.
    assert_eq!(take(&store, &[row("1", 16, 1, "1.00")]).await.0.unchanged, 1);
    assert_eq!(open(&store).await.len(), 2);
    assert_eq!(take(&store, &[good]).await.0.added, 1);
    assert_eq!(open(&store).await, [(Reason::NotAnObject, String::new())]);
    let all = QuarantineQuery { mended: true, ..QuarantineQuery::default() };
    assert_eq!(store.quarantined(&all, 9).await.unwrap()[1].mended_at, Some(now()));
    // A late file brings the bad row once more: its place is taken.
    assert_eq!(take(&store, &[bad]).await.0.set_aside(), 1);
    assert_eq!(open(&store).await.len(), 1);
    let one = QuarantineQuery { reason: Some(Reason::MalformedAmount), mended: true, ..QuarantineQuery::default() };
    assert_eq!(store.quarantined(&one, 9).await.unwrap().len(), 1);
    // A time that has not come, then has.
    let ahead = json!({"id": "7", "validCode": 16, "orderTime": "2022-12-01 01:00:00", "estimateFee": 1});
    assert_eq!(take(&store, &[ahead]).await.0.quarantined.into_keys().collect::<Vec<_>>(), [Reason::FutureTime]);
    let id = store.quarantined(&QuarantineQuery::default(), 1).await.unwrap()[0].id;
    assert_eq!(store.retry(vec![id], now()).await.unwrap(), 0);
    assert_eq!(store.retry(vec![id], now().plus_micros(3_600_000_000)).await.unwrap(), 1);
    assert_eq!(store.of_line(&line("7")).await.unwrap().len(), 1);
    assert!(store.quarantined_row(id).await.unwrap().unwrap().mended_at.is_some());
    assert_eq!(store.quarantined_row(id + 1).await.unwrap(), None);
}

async fn rows_wait_for_their_position(store: &dyn OrderIntake) {
    let sold = |id: &str, hour| at_place(row(id, 16, hour, "1.00"), "55");
    let (taken, _) = take(store, &[sold("1", 1), sold("2", 1)]).await;
    assert_eq!(taken.quarantined.into_iter().collect::<Vec<_>>(), [(Reason::UnknownPosition, 2)]);
    // A click id of ours says more than any position; one of others does not.
    let clicked = |id: &str, sub: &str| {
        let mut row = at_place(row(id, 16, 1, "1.00"), "66");
        row["subUnionId"] = json!(sub);
        row
    };
    let own = String::from_utf8(key().text(ClickId([3; 16])).to_vec()).unwrap();
    let (taken, _) = take(store, &[clicked("3", &own), clicked("4", &"x".repeat(32))]).await;
    assert_eq!((taken.added, taken.set_aside()), (1, 1));
    assert_eq!(release_all(store, now()).await.unwrap(), 0);

    // Given to somebody: both rows come in, with nobody doing anything more.
    let given = place("55", Subject::Creator("c1".into()), None);
    let new = |new, others| Registered::New { new, others };
    assert_eq!(store.register(vec![given.clone()], false).await.unwrap(), new(1, vec![]));
    assert_eq!(store.register(vec![given.clone()], false).await.unwrap(), new(0, vec![]));
    // Somebody else's: not unless both are to have it, and nothing of what came with it either.
    let (other, free) = (Subject::Creator("c2".into()), place("56", Subject::Link("z".into()), None));
    let both = vec![free.clone(), place("55", other.clone(), None)];
    let taken = Registered::Taken(vec![(1, Subject::Creator("c1".into()))]);
    assert_eq!(store.register(both.clone(), false).await.unwrap(), taken);
    assert_eq!(store.positions(None, 9).await.unwrap(), std::slice::from_ref(&given));
    let twice = vec![free.clone(), place("56", other.clone(), None)];
    assert_eq!(store.register(twice, false).await.unwrap(), Registered::Taken(vec![(1, free.subject.clone())]));
    assert_eq!(store.register(both, true).await.unwrap(), new(2, vec![(1, Subject::Creator("c1".into()))]));
    assert_eq!(store.subjects(Network::Jd, "55").await.unwrap(), [Subject::Creator("c1".into()), other]);
    assert_eq!(store.unregister(Network::Jd, "56").await.unwrap(), 1);
    assert_eq!(store.unregister(Network::Jd, "55").await.unwrap(), 2);
    assert_eq!(store.register(vec![given.clone()], false).await.unwrap(), new(1, vec![]));
    assert_eq!(release_all(store, now()).await.unwrap(), 2);
    assert_eq!(store.of_line(&line("1")).await.unwrap().len(), 1);
    assert_eq!(open(store).await, [(Reason::UnknownPosition, "4".to_owned())]);
    assert_eq!(store.positions(Some(Network::Jd), 9).await.unwrap(), [given]);
    assert_eq!(store.positions(Some(Network::Taobao), 9).await.unwrap(), []);

    // Taken back: what is begun goes on, what is new waits. A line that begins takes what waited of it along.
    assert_eq!(store.unregister(Network::Jd, "55").await.unwrap(), 1);
    assert_eq!(store.unregister(Network::Jd, "55").await.unwrap(), 0);
    assert_eq!(take(store, &[sold("1", 2)]).await.0.added, 1);
    assert_eq!(take(store, &[sold("5", 2)]).await.0.set_aside(), 1);
    assert_eq!(take(store, &[row("5", 16, 1, "1.00")]).await.0.added, 1, "no position at all");
    assert_eq!(store.of_line(&line("5")).await.unwrap().len(), 2);
    assert_eq!(open(store).await, [(Reason::UnknownPosition, "4".to_owned())]);
}

/// What is wrong with a row and is not seen in it: reading it again does not let it in.
async fn a_row_with_a_fault_of_its_bringer_stays_out(store: &dyn OrderIntake) {
    let name = "t".to_owned();
    let source = Source { network: Network::Jd, account: "default".into(), scene: None, name, dry: false };
    let mut taker = Taker::begin(store, source, now()).await.unwrap();
    let fault = || RowFault::new("click_id", "x", Reason::ForeignClick, "led elsewhere");
    taker.push_faulty(&row("1", 16, 1, "1.00"), fault());
    taker.push_faulty(&row("2", 16, 1, "1,00"), fault());
    let (taken, _) = taker.finish(None).await.unwrap();
    assert_eq!(taken.quarantined.into_iter().collect::<Vec<_>>(), [(Reason::ForeignClick, 2)]);
    let found = store.quarantined(&QuarantineQuery::default(), 9).await.unwrap();
    assert_eq!(found.iter().map(|row| row.faults.len()).collect::<Vec<_>>(), [3, 1], "all that is wrong is told");
    assert_eq!(store.retry(found.iter().map(|row| row.id).collect(), now()).await.unwrap(), 0);
    assert_eq!(store.of_line(&line("1")).await.unwrap(), []);
    // A good report of the same change takes its place.
    assert_eq!(take(store, &[row("1", 16, 1, "1.00"), row("2", 16, 1, "1.00")]).await.0.added, 2);
    assert_eq!(open(store).await, []);
}

async fn a_row_that_was_set_aside_has_its_place(store: &dyn OrderIntake) {
    let one = |fee| row("1", 16, 1, fee);
    take(store, &[row("2", 16, 1, "1.00"), one("1.00")]).await;
    take(store, &[row("3", 16, 1, "1.00"), row("4", 16, 1, "1.00"), one("2.00")]).await;
    let aside = store.quarantined(&QuarantineQuery::default(), 9).await.unwrap();
    // Which of the two counts is for their hashes to say.
    let wanted = if aside[0].raw.contains("1.00") { (1, Some(2)) } else { (2, Some(3)) };
    assert_eq!((aside.len(), (aside[0].batch, aside[0].row)), (1, wanted));
    let doubled = json!([["id", "7"], ["validCode", 16], ["id", "8"]]);
    let (taken, _) = take(store, std::slice::from_ref(&doubled)).await;
    assert_eq!(taken.quarantined.into_keys().collect::<Vec<_>>(), [Reason::RepeatedField]);
    let aside = store.quarantined(&QuarantineQuery::default(), 1).await.unwrap();
    assert_eq!((&*aside[0].faults[0].field, serde_json::from_str::<Value>(&aside[0].raw).unwrap()), ("id", doubled));
    assert_eq!(store.retry(vec![aside[0].id], now()).await.unwrap(), 0);
}

async fn positions_follow_links(store: &dyn OrderIntake) {
    let told = |link: &str, creator: &str| place("55", Subject::Creator(creator.into()), Some(link));
    assert_eq!(store.links_seen().await.unwrap(), 0);
    store.derive(vec![("a".into(), vec![told("a", "c1")]), ("b".into(), vec![told("b", "c2")])], 5).await.unwrap();
    let subjects = |position: &'static str| store.subjects(Network::Jd, position);
    let creators = |names: &[&str]| names.iter().map(|name| Subject::Creator((*name).into())).collect::<Vec<_>>();
    assert_eq!(subjects("55").await.unwrap(), creators(&["c1", "c2"]));
    assert_eq!(subjects("56").await.unwrap(), []);
    // A link that changed tells something else; one that looked less far changes nothing.
    store.derive(vec![("b".into(), vec![told("b", "c3")])], 7).await.unwrap();
    store.derive(vec![("b".into(), vec![told("b", "c2")])], 6).await.unwrap();
    assert_eq!((store.links_seen().await.unwrap(), subjects("55").await.unwrap()), (7, creators(&["c1", "c3"])));
    // What somebody registered comes before what links tell.
    store.register(vec![place("55", Subject::Link("z".into()), None)], false).await.unwrap();
    assert_eq!(subjects("55").await.unwrap(), [Subject::Link("z".into())]);
    store.unregister(Network::Jd, "55").await.unwrap();
    assert_eq!(subjects("55").await.unwrap(), creators(&["c1", "c3"]));
    store.derive(vec![("a".into(), vec![]), ("b".into(), vec![])], 8).await.unwrap();
    assert_eq!(subjects("55").await.unwrap(), []);
}

async fn a_dry_run_keeps_nothing(store: &dyn OrderIntake) {
    let name = "dry".to_owned();
    let source = Source { network: Network::Jd, account: "default".into(), scene: None, name, dry: true };
    let mut taker = Taker::begin(store, source, now()).await.unwrap();
    taker.push(&row("1", 16, 1, "1.00"));
    taker.flush().await.unwrap();
    taker.push(&row("1", 16, 1, "1.00"));
    taker.push(&row("2", 99, 1, "1.00"));
    let (taken, _) = taker.finish(None).await.unwrap();
    assert_eq!((taken.batch, taken.added, taken.unchanged, taken.set_aside()), (None, 1, 1, 1));
    assert_eq!(
        (store.after(0, 9).await.unwrap(), open(store).await, store.batches(9).await.unwrap()),
        (vec![], vec![], vec![])
    );
    assert_eq!(store.counts().await.unwrap().imported, []);
}
