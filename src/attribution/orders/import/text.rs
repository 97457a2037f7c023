//! JSON as somebody wrote it. An object that has one name twice is no object here: serde_json alone would keep the last and
//! lose what stood before it, unsaid. Pure.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// A value in which every object has each name once. One that has not is the list of its pairs, `[["line", 1], ["line", 2]]`:
/// nothing of it is lost, and nobody takes it for a row.
#[derive(Clone, PartialEq, Debug)]
pub struct Written(pub Value);

/// Reads a text.
///
/// # Errors
/// The parser's.
pub fn read(text: &str) -> serde_json::Result<Value> {
    serde_json::from_str::<Written>(text).map(|written| written.0)
}

/// The names that a list of pairs has more than once, each once; none of any other value.
pub fn doubled(value: &Value) -> Vec<&str> {
    let pairs = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let Some(names) = pairs.iter().map(name_of).collect::<Option<Vec<&str>>>() else { return Vec::new() };
    let (mut seen, mut told) = (HashSet::new(), HashSet::new());
    names.into_iter().filter(|name| !seen.insert(*name) && told.insert(*name)).collect()
}

fn name_of(pair: &Value) -> Option<&str> {
    match pair.as_array()?.as_slice() {
        [Value::String(name), _] => Some(name),
        _ => None,
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reading)
    }
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Written, E> {
        Ok(Written(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Written, E> {
        Ok(Written(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Written, E> {
        Ok(Written(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Written, E> {
        Ok(Written(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Written, E> {
        Ok(Written(Number::from_f64(value).map_or(Value::Null, Value::Number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Written, E> {
        Ok(Written(text.into()))
    }

    fn visit_string<E>(self, text: String) -> Result<Written, E> {
        Ok(Written(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Written, A::Error> {
        let mut values = Vec::new();
        while let Some(Written(value)) = list.next_element()? {
            values.push(value);
        }
        Ok(Written(Value::Array(values)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Written, A::Error> {
        let mut map = Map::new();
        while let Some((name, Written(value))) = object.next_entry::<String, Written>()? {
            if map.contains_key(&name) {
                return rest(map, (name, value), object);
            }
            map.insert(name, value);
        }
        Ok(Written(Value::Object(map)))
    }
}

/// An object that has a name twice, as the list of its pairs.
fn rest<'de, A: MapAccess<'de>>(
    map: Map<String, Value>,
    again: (String, Value),
    mut object: A,
) -> Result<Written, A::Error> {
    let pair = |(name, value): (String, Value)| Value::Array(vec![name.into(), value]);
    let mut pairs: Vec<Value> = map.into_iter().map(pair).collect();
    pairs.push(pair(again));
    while let Some((name, Written(value))) = object.next_entry::<String, Written>()? {
        pairs.push(pair((name, value)));
    }
    Ok(Written(Value::Array(pairs)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_twice_makes_a_list_of_pairs() {
        let value = read(r#"{"line":"dk","n":{"a":1,"a":1},"line":"dk2","z":1,"line":3}"#).unwrap();
        assert_eq!(value, json!([["line", "dk"], ["n", [["a", 1], ["a", 1]]], ["line", "dk2"], ["z", 1], ["line", 3]]));
        assert_eq!(doubled(&value), ["line"]);
        assert_eq!(read(&value.to_string()).unwrap(), value, "as it was kept");
        for other in
            [json!([]), json!([["a", 1], ["b", 1]]), json!([["a", 1, 2], ["a", 1]]), json!("a"), json!({"a": 1})]
        {
            assert_eq!(doubled(&other), Vec::<&str>::new(), "{other}");
        }
        assert!(read("{\"a\":1").is_err() && read(&"[".repeat(200)).is_err());
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1e9..1e9f64).prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn everything_else_reads_as_serde_json_reads_it(value in values()) {
            let text = value.to_string();
            prop_assert_eq!(read(&text).unwrap(), serde_json::from_str::<Value>(&text).unwrap());
        }
    }
}
