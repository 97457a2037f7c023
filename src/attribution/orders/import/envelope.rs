//! The answers of the networks' own APIs, unwrapped: whichever spelling of the wrapper, however often JSON stands in a
//! text. Used for live answers and for files that hold them. Never reads a row.

use serde_json::{Map, Value};

use crate::domain::attribution::Network;

/// Texts within texts that are unwrapped: a gateway in front of a gateway adds one.
const MOST_LAYERS: usize = 8;

/// What an answer held.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Page {
    /// The rows, as they were.
    pub rows: Vec<Value>,
    /// Whether the network says that there is another page; `None` where it says nothing of it.
    pub has_more: Option<bool>,
    /// What the next page is asked with: Taobao `position_index`.
    pub cursor: Option<String>,
    /// The number of this page, where it is told.
    pub page_no: Option<u64>,
    /// How many rows there are in all pages: Pinduoduo `total_count`.
    pub total: Option<u64>,
    /// The network's own id of the answer, for asking its support.
    pub request_id: Option<String>,
}

/// Why an answer holds no page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEnvelope {
    /// The network refused, in its own words.
    #[error("{network} refused: code {code}{}{sub_code}: {message}", if sub_code.is_empty() { "" } else { ", " })]
    Refused {
        /// Whose answer.
        network: Network,
        /// Its code.
        code: String,
        /// The finer code, where there is one.
        sub_code: String,
        /// What it says.
        message: String,
    },
    /// It is not an answer of that network.
    #[error("this is no answer of {network}: {what}")]
    Unlike {
        /// Whose answer was expected.
        network: Network,
        /// What was found.
        what: String,
    },
}

/// Whether a value is an answer of an API, not a row.
pub fn is_envelope(value: &Value) -> bool {
    let Some(map) = value.as_object() else { return false };
    map.keys().any(|key| is_wrapper(key))
        || ["publisher_order_dto", "order_list"].iter().any(|key| map.contains_key(*key))
}

fn is_wrapper(key: &str) -> bool {
    key.ends_with("_response") || key.ends_with("_responce")
}

/// Unwraps an answer of `network` to its rows and what it says of further pages.
///
/// # Errors
/// [`BadEnvelope`].
pub fn envelope(network: Network, answer: &Value) -> Result<Page, BadEnvelope> {
    let unlike = |what: String| BadEnvelope::Unlike { network, what };
    let mut page = Page::default();
    let mut at = answer.clone();
    for layer in 0..MOST_LAYERS {
        let map = match at {
            Value::String(text) => {
                at = super::text::read(&text).map_err(|error| unlike(format!("a text that is not JSON: {error}")))?;
                continue;
            }
            Value::Array(rows) => {
                page.rows = rows;
                return Ok(page);
            }
            Value::Object(map) => map,
            other => return Err(unlike(format!("{} where an object was expected", sort(&other)))),
        };
        refused(network, &map)?;
        note(&mut page, &map);
        at = match inner(map, layer > 0) {
            Inner::Deeper(value) => value,
            Inner::Rows(rows) => {
                page.rows = rows;
                return Ok(page);
            }
            Inner::Empty => return Ok(page),
            Inner::Nothing(keys) => return Err(unlike(format!("an object with {keys}"))),
        };
    }
    Err(unlike(format!("more than {MOST_LAYERS} layers of wrapping")))
}

enum Inner {
    Deeper(Value),
    Rows(Vec<Value>),
    Empty,
    Nothing(String),
}

fn inner(mut map: Map<String, Value>, deep: bool) -> Inner {
    if let Some(key) = map.keys().find(|key| is_wrapper(key)).cloned() {
        return Inner::Deeper(map.remove(&key).unwrap_or_default());
    }
    // Where there is none the network leaves the list out, or sends an empty text for it.
    let empty = |value: &Value| value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty());
    for key in ["publisher_order_dto", "order_list"] {
        match map.remove(key) {
            // One row comes without its list from some gateways.
            Some(row @ Value::Object(_)) => return Inner::Rows(vec![row]),
            Some(Value::Array(rows)) => return Inner::Rows(rows),
            Some(value) if empty(&value) => return Inner::Empty,
            Some(value) => return Inner::Deeper(value),
            None => {}
        }
    }
    for key in ["getResult", "queryResult", "result", "data", "results"] {
        match map.remove(key) {
            Some(value) if empty(&value) => return Inner::Empty,
            Some(value) => return Inner::Deeper(value),
            None => {}
        }
    }
    // A page without rows. Anything else must not pass for one: whoever pulls would go on past rows it has not seen.
    let told = ["has_next", "hasMore", "total_count"].iter().any(|key| map.contains_key(*key));
    if told || (deep && map.is_empty()) || map.get("code").map(plain).as_deref() == Some("200") {
        return Inner::Empty;
    }
    let keys = map.keys().take(8).map(|key| format!("`{}`", key.chars().take(40).collect::<String>()));
    Inner::Nothing(keys.collect::<Vec<_>>().join(", "))
}

fn note(page: &mut Page, map: &Map<String, Value>) {
    let told = |keys: [&str; 2]| keys.into_iter().find_map(|key| map.get(key).filter(|value| !value.is_null()));
    if let Some(more) = told(["has_next", "hasMore"]).and_then(truth) {
        page.has_more = Some(more);
    }
    if let Some(cursor) = map.get("position_index").map(plain).filter(|text| !text.is_empty()) {
        page.cursor = Some(cursor);
    }
    if let Some(number) = told(["page_no", "pageIndex"]).and_then(|value| plain(value).parse().ok()) {
        page.page_no = Some(number);
    }
    if let Some(total) = told(["total_count", "totalCount"]).and_then(|value| plain(value).parse().ok()) {
        page.total = Some(total);
    }
    if let Some(id) = told(["request_id", "requestId"]).map(plain).filter(|text| !text.is_empty()) {
        page.request_id = Some(id);
    }
}

/// Taobao and Pinduoduo refuse in an `error_response`; JD there too, or in the `code` of any layer.
fn refused(network: Network, map: &Map<String, Value>) -> Result<(), BadEnvelope> {
    let text = |from: &Map<String, Value>, keys: &[&str]| {
        keys.iter().find_map(|key| from.get(*key).map(plain).filter(|text| !text.is_empty())).unwrap_or_default()
    };
    let told = |from: &Map<String, Value>| BadEnvelope::Refused {
        network,
        code: text(from, &["code", "error_code", "errorCode"]),
        sub_code: text(from, &["sub_code", "subCode"]),
        message: text(from, &["sub_msg", "msg", "error_msg", "zh_desc", "en_desc", "message", "errorMessage"]),
    };
    match map.get("error_response").or_else(|| map.get("errorResponse")) {
        Some(Value::Object(error)) => return Err(told(error)),
        Some(other) => {
            let (code, sub_code) = (String::new(), String::new());
            return Err(BadEnvelope::Refused { network, code, sub_code, message: plain(other) });
        }
        None => {}
    }
    let good = match map.get("code").map(plain) {
        None => true,
        Some(code) => matches!(code.as_str(), "0" | "200" | ""),
    };
    if good { Ok(()) } else { Err(told(map)) }
}

fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) if text == "true" || text == "1" => Some(true),
        Value::String(text) if text == "false" || text == "0" => Some(false),
        Value::Number(number) => number.as_u64().map(|number| number != 0),
        _ => None,
    }
}

/// A text or number as text.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn sort(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn taobao_pages_are_unwrapped() {
        let answer = json!({"tbk_order_details_get_response": {"data": {
            "results": {"publisher_order_dto": [{"trade_id": "1"}, {"trade_id": "2"}]},
            "has_pre": false, "has_next": true, "position_index": "1669_a|b", "page_no": 1, "page_size": 2},
            "request_id": "r1"}});
        let page = envelope(Network::Taobao, &answer).unwrap();
        assert_eq!((page.rows.len(), page.has_more, page.page_no), (2, Some(true), Some(1)));
        assert_eq!((page.cursor.as_deref(), page.request_id.as_deref()), (Some("1669_a|b"), Some("r1")));
        assert!(is_envelope(&answer) && !is_envelope(&page.rows[0]));
        // Without the wrapper, one row without its list, and none at all.
        let one = json!({"data": {"has_next": "false", "results": {"publisher_order_dto": {"trade_id": "1"}}}});
        let page = envelope(Network::Taobao, &one).unwrap();
        assert_eq!((page.rows, page.has_more), (vec![json!({"trade_id": "1"})], Some(false)));
        for none in [
            json!({"data": {"has_next": false}}),
            json!({"data": {"results": {}, "has_next": false}}),
            json!({"data": {"results": "", "has_next": false}}),
        ] {
            let page = envelope(Network::Taobao, &json!({"tbk_order_details_get_response": none})).unwrap();
            assert_eq!((page.rows.len(), page.has_more), (0, Some(false)));
        }
    }

    #[test]
    fn jd_pages_are_unwrapped_however_they_are_spelt() {
        let inner =
            json!({"code": 200, "message": "success", "data": [{"id": "1"}], "hasMore": true, "requestId": "r2"});
        for wrapper in ["jd_union_open_order_row_query_responce", "jd_union_open_order_row_query_response"] {
            for result in ["queryResult", "getResult", "result"] {
                for told in [inner.clone(), json!(inner.to_string())] {
                    let answer = json!({wrapper: {"code": "0", result: told}});
                    for answer in [answer.clone(), json!(answer.to_string())] {
                        let page = envelope(Network::Jd, &answer).unwrap();
                        assert_eq!((page.rows.len(), page.has_more), (1, Some(true)), "{answer}");
                        assert_eq!(page.request_id.as_deref(), Some("r2"));
                    }
                }
            }
        }
        let none = json!({"jd_union_open_order_row_query_responce": {"code": "0", "queryResult": "{\"code\":200,\"hasMore\":false,\"message\":\"success\"}"}});
        assert_eq!(envelope(Network::Jd, &none).unwrap(), Page { has_more: Some(false), ..Page::default() });
    }

    #[test]
    fn pinduoduo_pages_say_how_many_there_are() {
        let answer = json!({"order_list_get_response": {"order_list": [{"order_sn": "1"}], "total_count": 41, "request_id": "r3"}});
        let page = envelope(Network::Pinduoduo, &answer).unwrap();
        assert_eq!((page.rows.len(), page.total), (1, Some(41)));
    }

    #[test]
    fn refusals_are_told_in_the_words_of_the_network() {
        let refusal = |network, answer: Value| envelope(network, &answer).unwrap_err().to_string();
        let told = refusal(
            Network::Taobao,
            json!({"error_response": {"code": 15, "msg": "Remote service error", "sub_code": "isv.invalid-parameter", "sub_msg": "参数错误"}}),
        );
        assert_eq!(told, "taobao refused: code 15, isv.invalid-parameter: 参数错误");
        let told = refusal(
            Network::Jd,
            json!({"jd_union_open_order_row_query_responce": {"code": "0", "queryResult": "{\"code\":403,\"message\":\"无访问权限\"}"}}),
        );
        assert_eq!(told, "jd refused: code 403: 无访问权限");
        let told = refusal(Network::Jd, json!({"error_response": {"code": "8", "zh_desc": "无效时间戳"}}));
        assert!(told.contains("code 8"), "{told}");
        assert!(matches!(envelope(Network::Jd, &json!("<html>")), Err(BadEnvelope::Unlike { .. })));
        assert!(matches!(envelope(Network::Jd, &json!({"html": 1})), Err(BadEnvelope::Unlike { .. })));
        let silent = json!({"jd_union_open_order_row_query_responce": {"code": "0"}});
        assert!(matches!(envelope(Network::Jd, &silent), Err(BadEnvelope::Unlike { .. })), "no page at all");
        assert!(matches!(envelope(Network::Jd, &json!({})), Err(BadEnvelope::Unlike { .. })));
        assert!(matches!(envelope(Network::Jd, &json!(7)), Err(BadEnvelope::Unlike { .. })));
        let mut deep = json!([]);
        for _ in 0..20 {
            deep = json!({"data": deep});
        }
        assert!(matches!(envelope(Network::Jd, &deep), Err(BadEnvelope::Unlike { .. })));
    }
}
