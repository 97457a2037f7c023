//! What an answer of a network says: a page of rows, or why there is none. Unwrapping it is the importers' work, which files
//! of answers share. Never asks for anything.

use serde_json::Value;

use super::refusal::Refusal;
use crate::attribution::orders::import::envelope::{BadEnvelope, envelope};
use crate::domain::attribution::Network;

/// A page of rows in the network's own field names.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Page {
    /// The rows.
    pub rows: Vec<Value>,
    /// Whether another page follows.
    pub more: bool,
    /// What the next page is asked for with, where the network says so.
    pub position: Option<String>,
}

/// Why an answer is no page.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadAnswer {
    /// The network says why.
    #[error(transparent)]
    Refused(Refusal),
    /// It is not what it should be.
    #[error("the answer is not readable: {0}")]
    Unreadable(String),
}

/// Reads an answer that may hold up to `page_size` rows.
///
/// # Errors
/// [`BadAnswer`].
pub fn read(network: Network, page_size: u32, body: &[u8]) -> Result<Page, BadAnswer> {
    let unreadable = |problem: String| BadAnswer::Unreadable(problem);
    let text = std::str::from_utf8(body).map_err(|_| unreadable("it is not UTF-8".to_owned()))?;
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let begin: String = text.trim_start().chars().filter(|c| !c.is_control()).take(60).collect();
        unreadable(format!("not JSON ({error}): `{begin}`"))
    })?;
    let page = envelope(network, &value).map_err(|bad| match bad {
        BadEnvelope::Refused { network, code, sub_code, message } => {
            BadAnswer::Refused(Refusal::new(network, code, sub_code, &message))
        }
        other @ BadEnvelope::Unlike { .. } => unreadable(other.to_string()),
    })?;
    if let Some(place) = page.rows.iter().position(|row| !row.is_object()) {
        return Err(unreadable(format!("row {} of the page is no object", place + 1)));
    }
    // Where the network does not say whether there is more, a full page may have a successor.
    let full = page.rows.len() >= page_size as usize;
    Ok(Page { more: page.has_more.unwrap_or(full), position: page.cursor, rows: page.rows })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::refusal::Cause;
    use super::*;

    fn page(network: Network, value: &Value) -> Result<Page, BadAnswer> {
        read(network, 2, value.to_string().as_bytes())
    }

    #[test]
    fn pages_are_read_in_every_spelling() {
        let data =
            json!({"has_next": true, "position_index": "a|b", "results": {"publisher_order_dto": [{"trade_id": "1"}]}});
        let expected = Page { rows: vec![json!({"trade_id": "1"})], more: true, position: Some("a|b".into()) };
        for value in [
            json!({"tbk_order_details_get_response": {"data": data, "request_id": "x"}}),
            json!({"tbk_order_details_get_responce": {"data": data.to_string()}}),
        ] {
            assert_eq!(page(Network::Taobao, &value), Ok(expected.clone()), "{value}");
        }
        let empty = json!({"tbk_order_details_get_response": {"data": {"has_next": false, "results": {}}}});
        assert_eq!(page(Network::Taobao, &empty), Ok(Page::default()));
        let result = json!({"code": 200, "data": [{"id": "7"}], "hasMore": true, "message": "success"});
        for value in [
            json!({"jd_union_open_order_row_query_responce": {"code": "0", "queryResult": result.to_string()}}),
            json!({"jd_union_open_order_row_query_response": {"code": "0", "result": result}}),
        ] {
            let expected = Page { rows: vec![json!({"id": "7"})], more: true, position: None };
            assert_eq!(page(Network::Jd, &value), Ok(expected), "{value}");
        }
        let silent = |rows: Value| page(Network::Jd, &json!({"x_responce": {"result": {"code": 200, "data": rows}}}));
        assert!(!silent(json!([{"id": 1}])).unwrap().more);
        assert!(silent(json!([{"id": 1}, {"id": 2}])).unwrap().more, "full, and nothing said: there may be more");
    }

    #[test]
    fn what_is_no_page_says_why() {
        for (text, part) in [
            ("<html>busy</html>", "<html>busy"),
            ("{\"tbk_order_details_get_response\":{\"data\":{\"has_", "not JSON"),
            ("{}", "no answer of taobao"),
            ("{\"x_response\":{\"data\":{\"results\":{\"publisher_order_dto\":[1]}}}}", "row 1"),
        ] {
            let error = read(Network::Taobao, 100, text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(read(Network::Taobao, 100, &[0xff, 0xfe]).is_err());
        let refused = |value: Value| match page(Network::Jd, &value) {
            Err(BadAnswer::Refused(refusal)) => (refusal.cause(), refusal.code.clone()),
            other => panic!("{other:?}"),
        };
        let inner = "{\"code\":403,\"message\":\"no\"}";
        let inner = json!({"jd_union_open_order_row_query_responce": {"code": "0", "queryResult": inner}});
        assert_eq!(refused(inner), (Cause::Permission, "403".to_owned()));
        let outer = json!({"errorResponse": {"code": "8", "zh_desc": "x"}});
        assert_eq!(refused(outer), (Cause::Clock, "8".to_owned()));
    }
}
