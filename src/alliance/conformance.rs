//! What every store of pulls must do, whatever database is behind it. A backend calls [`every_store`] with a way to open
//! itself anew over the same data, which must be empty.

use super::request::Window;
use super::store::{Cursor, PullStore, Response, Stream};
use crate::domain::attribution::Network;
use crate::domain::time::Timestamp;

fn at(minute: i64) -> Timestamp {
    Timestamp::from_millis(minute * 60_000)
}

fn cursor(settled: i64, read_until: i64) -> Cursor {
    Cursor { settled: at(settled), read_until: at(read_until) }
}

/// Runs every demand.
pub async fn every_store<S: PullStore>(open: impl Fn() -> S) {
    let (first, other) = (open(), open());
    let stream =
        |account: &str| Stream { network: Network::Taobao, account: account.into(), query: "changed/1".into() };
    let one = stream("default");
    assert_eq!(first.cursor(&one).await.unwrap(), None);
    assert!(first.advance(&one, at(0), cursor(20, 20)).await.unwrap(), "the first may begin anywhere");
    assert!(other.advance(&one, at(20), cursor(30, 40)).await.unwrap());
    assert_eq!(first.cursor(&one).await.unwrap(), Some(cursor(30, 40)));
    assert!(!first.advance(&one, at(41), cursor(50, 50)).await.unwrap(), "a gap is never noted");
    assert!(!first.advance(&one, at(20), cursor(25, 25)).await.unwrap(), "nor a step back");
    assert!(first.advance(&one, at(10), cursor(30, 60)).await.unwrap(), "what overlaps moves on");
    assert_eq!(open().cursor(&one).await.unwrap(), Some(cursor(30, 60)));
    assert!(first.advance(&stream("another"), at(5), cursor(7, 8)).await.unwrap());
    let all = other.cursors().await.unwrap();
    assert_eq!(all, [(stream("another"), cursor(7, 8)), (one.clone(), cursor(30, 60))]);

    let response = |body: &str, minute: i64| Response {
        stream: one.clone(),
        window: Window { from: at(0), to: at(20) },
        page: 1,
        at: at(minute),
        hash: [body.len() as u8; 32],
        body: body.as_bytes().to_vec(),
    };
    first.keep(response("a", 1)).await.unwrap();
    first.keep(response("bb", 2)).await.unwrap();
    other.keep(response("a", 9)).await.unwrap();
    assert_eq!(first.forget(at(5)).await.unwrap(), 1, "the same body was met again since");
    assert_eq!(open().forget(at(100)).await.unwrap(), 1);
}
