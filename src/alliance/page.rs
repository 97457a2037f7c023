//! What an answer of a network says: a page of rows, or why there is none. Wrappers come spelled in more than one way, and
//! JSON at times inside a text; both are read. Never asks for anything.

use serde_json::Value;

use super::refusal::Refusal;
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

fn unreadable(problem: impl Into<String>) -> BadAnswer {
    BadAnswer::Unreadable(problem.into())
}

/// Reads an answer.
///
/// # Errors
/// [`BadAnswer`].
pub fn read(network: Network, body: &[u8]) -> Result<Page, BadAnswer> {
    let text = std::str::from_utf8(body).map_err(|_| unreadable("it is not UTF-8"))?;
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let begin: String = text.trim_start().chars().take(60).collect();
        unreadable(format!("not JSON ({error}): `{begin}`"))
    })?;
    let value = plain(value)?;
    for name in ["error_response", "errorResponse"] {
        if let Some(error) = value.get(name) {
            return Err(BadAnswer::Refused(Refusal::read(network, error)));
        }
    }
    match network {
        Network::Jd => jd(value),
        _ => taobao(value),
    }
}

/// A value that came as a text holding JSON, opened.
fn plain(value: Value) -> Result<Value, BadAnswer> {
    match value {
        Value::String(text) if text.trim_start().starts_with(['{', '[']) => {
            serde_json::from_str(&text).map_err(|error| unreadable(format!("a text that should hold JSON: {error}")))
        }
        other => Ok(other),
    }
}

/// What stands under one of these names, opened; the value itself where it has none of them.
fn under(value: Value, fits: impl Fn(&str) -> bool) -> Result<(Value, bool), BadAnswer> {
    let Value::Object(mut map) = value else { return Ok((value, false)) };
    let name = map.keys().find(|name| fits(name)).cloned();
    match name.and_then(|name| map.remove(&name)) {
        Some(inner) => Ok((plain(inner)?, true)),
        None => Ok((Value::Object(map), false)),
    }
}

fn is_wrapper(name: &str) -> bool {
    name.ends_with("_response") || name.ends_with("_responce")
}

fn truth(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Bool(truth)) => *truth,
        Some(Value::String(text)) => text.eq_ignore_ascii_case("true"),
        _ => false,
    }
}

fn rows(value: Option<Value>) -> Result<Vec<Value>, BadAnswer> {
    let rows = match value.map(plain).transpose()? {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(rows)) => rows,
        // One row alone is not wrapped by every gateway.
        Some(Value::Object(row)) if row.is_empty() => Vec::new(),
        Some(row @ Value::Object(_)) => vec![row],
        Some(_) => return Err(unreadable("its rows are no list")),
    };
    match rows.iter().position(|row| !row.is_object()) {
        Some(place) => Err(unreadable(format!("row {} of the page is no object", place + 1))),
        None => Ok(rows),
    }
}

fn taobao(value: Value) -> Result<Page, BadAnswer> {
    let (value, _) = under(value, is_wrapper)?;
    let (mut data, found) = under(value, |name| name == "data")?;
    let Some(map) = data.as_object_mut() else { return Err(unreadable("`data` is no object")) };
    if !found && !map.contains_key("has_next") {
        return Err(unreadable("neither `data` nor `error_response` is in it"));
    }
    let results = map.remove("results").map(plain).transpose()?;
    let results = match results {
        Some(Value::Object(mut results)) => results.remove("publisher_order_dto"),
        other => other,
    };
    let position = map.get("position_index").and_then(|position| match position {
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    });
    Ok(Page { rows: rows(results)?, more: truth(map.get("has_next")), position })
}

fn jd(value: Value) -> Result<Page, BadAnswer> {
    let (value, _) = under(value, is_wrapper)?;
    // The gateway's own word, `"code":"0"` when it is well.
    if let Some(code) = value.get("code").map(text)
        && !matches!(code.as_str(), "0" | "200")
        && value.get("queryResult").or_else(|| value.get("result")).is_none()
        && value.get("data").is_none()
    {
        return Err(BadAnswer::Refused(Refusal::read(Network::Jd, &value)));
    }
    let (value, found) = under(value, |name| matches!(name, "queryResult" | "getResult" | "result"))?;
    let Value::Object(mut map) = value else { return Err(unreadable("`queryResult` is no object")) };
    match map.get("code").map(text).as_deref() {
        Some("200" | "0") => {}
        Some(_) => return Err(BadAnswer::Refused(Refusal::read_inner(&Value::Object(map)))),
        None if found || map.contains_key("data") => {}
        None => return Err(unreadable("neither `queryResult` nor `error_response` is in it")),
    }
    let more = truth(map.get("hasMore"));
    Ok(Page { rows: rows(map.remove("data"))?, more, position: None })
}

/// A scalar as text.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::refusal::Cause;
    use super::*;

    fn page(network: Network, value: &Value) -> Result<Page, BadAnswer> {
        read(network, value.to_string().as_bytes())
    }

    #[test]
    fn taobao_pages_are_read_in_every_spelling() {
        let data =
            json!({"has_next": true, "position_index": "a|b", "results": {"publisher_order_dto": [{"trade_id": "1"}]}});
        let expected = Page { rows: vec![json!({"trade_id": "1"})], more: true, position: Some("a|b".into()) };
        for value in [
            json!({"tbk_order_details_get_response": {"data": data, "request_id": "x"}}),
            json!({"tbk_order_details_get_responce": {"data": data.to_string()}}),
            json!({"tbk_sc_order_details_get_response": {"data": data}}),
            json!({"data": data}),
            json!({"data": {"has_next": "true", "position_index": "a|b", "results": [{"trade_id": "1"}]}}),
            json!({"data": {"has_next": true, "position_index": "a|b", "results": {"publisher_order_dto": {"trade_id": "1"}}}}),
        ] {
            assert_eq!(page(Network::Taobao, &value), Ok(expected.clone()), "{value}");
        }
        let empty = json!({"tbk_order_details_get_response": {"data": {"has_next": false, "results": {}}}});
        assert_eq!(page(Network::Taobao, &empty), Ok(Page::default()));
        for (text, part) in [
            ("<html>busy</html>", "<html>busy"),
            ("{\"tbk_order_details_get_response\":{\"data\":{\"has_", "not JSON"),
            ("{}", "neither"),
            ("[]", "no object"),
            ("{\"data\":{\"results\":[1]}}", "row 1"),
            ("{\"data\":{\"results\":\"no\"}}", "no list"),
            ("\"\\u007bx\"", "should hold JSON"),
        ] {
            let error = read(Network::Taobao, text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(read(Network::Taobao, &[0xff, 0xfe]).is_err());
    }

    #[test]
    fn jd_pages_are_read_in_every_spelling() {
        let result = json!({"code": 200, "data": [{"id": "7"}], "hasMore": true, "message": "success"});
        let expected = Page { rows: vec![json!({"id": "7"})], more: true, position: None };
        for value in [
            json!({"jd_union_open_order_row_query_responce": {"code": "0", "queryResult": result.to_string()}}),
            json!({"jd_union_open_order_row_query_response": {"code": "0", "result": result}}),
            json!({"queryResult": result.to_string()}),
            json!({"result": result}),
            result.clone(),
        ] {
            assert_eq!(page(Network::Jd, &value), Ok(expected.clone()), "{value}");
        }
        let none =
            json!({"jd_union_open_order_row_query_responce": {"queryResult": "{\"code\":200,\"hasMore\":false}"}});
        assert_eq!(page(Network::Jd, &none), Ok(Page::default()));
        let inner = json!({"jd_union_open_order_row_query_responce": {"code": "0", "queryResult": "{\"code\":403,\"message\":\"no\"}"}});
        let Err(BadAnswer::Refused(refusal)) = page(Network::Jd, &inner) else { panic!("refused") };
        assert_eq!((refusal.cause(), refusal.code.as_str()), (Cause::Permission, "403"));
        let outer = json!({"errorResponse": {"code": "8", "zh_desc": "非法的时间戳"}});
        let Err(BadAnswer::Refused(refusal)) = page(Network::Jd, &outer) else { panic!("refused") };
        assert_eq!(refusal.cause(), Cause::Clock);
        assert!(page(Network::Jd, &json!({"x": 1})).is_err());
    }
}
