//! What every outbox must do, whatever database is behind it. A backend calls [`every_outbox`] with a way to open itself
//! anew over the same data, which must be empty.

use serde_json::json;

use super::event::Event;
use super::outbox::{Attempt, DeliveryQuery, DeliveryState, Mark, Outbox, Posting};
use crate::config::webhooks::EventKind;
use crate::domain::time::Timestamp;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn event(name: &str) -> Event {
    Event::new(EventKind::WindowOpened, &[name], at(1), at(1), &json!({"name": name}))
}

fn attempt(state: DeliveryState, next_at: i64) -> Attempt {
    let error = if state == DeliveryState::Delivered { String::new() } else { "no".to_owned() };
    Attempt { at: at(50), status: Some(500), error, state, next_at: at(next_at) }
}

/// Runs every demand.
pub async fn every_outbox<O: Outbox>(open: impl Fn() -> O) {
    let (first, other) = (open(), open());
    let both = |name: &str| (event(name), vec!["a".to_owned(), "b".to_owned()]);
    assert_eq!(first.mark(Mark::Windows).await.unwrap(), None);
    let posting = Posting {
        events: vec![both("one"), both("two")],
        marks: vec![(Mark::Windows, 7)],
        warned: vec![("code1".into(), at(9))],
    };
    assert_eq!(first.post(posting.clone(), at(10)).await.unwrap(), 4);
    // The same again, by another handle and with a third: what is kept stays as it is.
    let mut again = posting;
    again.events.push((event("three"), vec!["a".to_owned()]));
    again.marks = vec![(Mark::Windows, 8), (Mark::Switches, 1)];
    assert_eq!(other.post(again, at(20)).await.unwrap(), 1);
    assert_eq!(
        (first.mark(Mark::Windows).await.unwrap(), first.mark(Mark::Switches).await.unwrap()),
        (Some(8), Some(1))
    );

    assert!(first.knows(&event("one").id).await.unwrap() && !other.knows("evt_nothing").await.unwrap());

    let asked = vec![("code1".into(), at(9)), ("code1".into(), at(10)), ("code2".into(), at(9))];
    assert_eq!(first.not_warned(asked.clone()).await.unwrap(), asked[1..]);

    let names = |due: Vec<super::outbox::Due>| due.into_iter().map(|due| due.event).collect::<Vec<_>>();
    let (one, two, three) = (event("one").id, event("two").id, event("three").id);
    assert!(first.due("a", at(9), 10).await.unwrap().is_empty(), "not yet");
    assert_eq!(names(first.due("a", at(30), 10).await.unwrap()), [&*one, &*two, &*three]);
    assert_eq!(names(first.due("a", at(30), 2).await.unwrap()), [&*one, &*two]);
    assert!(first.due("nobody", at(30), 10).await.unwrap().is_empty());
    let due = other.due("b", at(30), 1).await.unwrap().remove(0);
    assert_eq!((due.attempts, due.since, due.kind, due.body), (0, at(10), EventKind::WindowOpened, event("one").body));

    first.note(&one, "a", attempt(DeliveryState::Delivered, 50)).await.unwrap();
    first.note(&two, "a", attempt(DeliveryState::Pending, 90)).await.unwrap();
    first.note(&three, "a", attempt(DeliveryState::Dead, 50)).await.unwrap();
    assert!(open().due("a", at(60), 10).await.unwrap().is_empty(), "delivered, waiting, dead");
    assert_eq!(first.next_due("a").await.unwrap(), Some(at(90)));
    assert_eq!(names(first.due("a", at(90), 10).await.unwrap()), [&*two]);
    assert_eq!(first.due("a", at(90), 10).await.unwrap()[0].attempts, 1);
    assert_eq!(names(first.due("b", at(60), 10).await.unwrap()), [&*one, &*two], "one webhook is not another");

    let listed = first.list(&DeliveryQuery::default(), 10).await.unwrap();
    let newest: Vec<i64> = listed.iter().map(|delivery| delivery.number).collect();
    assert!(newest.len() == 5 && newest.is_sorted_by(|a, b| a > b), "{newest:?}");
    let page = DeliveryQuery { before: Some(newest[1]), ..DeliveryQuery::default() };
    assert_eq!(first.list(&page, 2).await.unwrap(), listed[2..4]);
    assert_eq!(listed[0].body, event("three").body);
    let dead = DeliveryQuery { state: Some(DeliveryState::Dead), webhook: Some("a".into()), before: None };
    let dead = first.list(&dead, 10).await.unwrap();
    assert_eq!((dead.len(), &*dead[0].event, dead[0].last_status), (1, &*three, Some(500)));
    assert_eq!((dead[0].last_error.as_deref(), dead[0].next_at, dead[0].last_at), (Some("no"), None, Some(at(50))));
    let counts: Vec<(String, &str, u64)> =
        first.counts().await.unwrap().into_iter().map(|c| (c.webhook, c.state.as_str(), c.deliveries)).collect();
    let count = |webhook: &str, state, number| (webhook.to_owned(), state, number);
    assert_eq!(
        counts,
        [count("a", "dead", 1), count("a", "delivered", 1), count("a", "pending", 1), count("b", "pending", 2)]
    );

    assert_eq!(first.retry("evt_nothing", None, at(100)).await.unwrap(), None);
    assert_eq!(first.retry(&one, Some("a"), at(100)).await.unwrap(), Some(0), "delivered stays delivered");
    assert_eq!(first.retry(&three, None, at(100)).await.unwrap(), Some(1));
    let due = first.due("a", at(100), 10).await.unwrap();
    assert_eq!((&*due[1].event, due[1].attempts, due[1].since), (&*three, 0, at(100)));

    // Nothing that waits is forgotten, nor what must be remembered.
    assert_eq!(first.forget(at(60)).await.unwrap(), 0);
    for (event, webhook) in [(&one, "b"), (&two, "a"), (&three, "a")] {
        first.note(event, webhook, attempt(DeliveryState::Delivered, 50)).await.unwrap();
    }
    let late = at(40 * 86_400_000);
    assert_eq!(first.forget(late).await.unwrap(), 2, "one and three; two still waits for b");
    assert_eq!(open().list(&DeliveryQuery::default(), 10).await.unwrap().len(), 2);
    assert_eq!(first.not_warned(vec![("code1".into(), at(9))]).await.unwrap().len(), 1, "it stopped long ago");
}
