//! Rows into events: JSON objects, NDJSON and CSV by the same fields. Every fault of a row is told at once, and a row with
//! faults holds up no other. Never keeps anything.

use serde_json::{Map, Value};

use super::{Row, RowFault};
use crate::domain::attribution::event::{Event, EventKind};
use crate::domain::click_id::ClickKey;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::{ShopType, Surface, Vocabulary};

/// The fields of a row.
pub const FIELDS: [&str; 18] = [
    "source",
    "id",
    "kind",
    "at",
    "platform",
    "surface",
    "marketplace",
    "shop_type",
    "category",
    "note",
    "creator",
    "shop",
    "item",
    "agreement",
    "click_id",
    "read_at",
    "count",
    "sampled",
];

/// The longest text of a field, in bytes.
const LONGEST: usize = 255;
/// The most events of one row.
const MOST: u64 = 100_000_000;
/// How far ahead of ours a teller's clock may be.
const AHEAD: i64 = 300_000_000;
/// The longest row that is kept as it came; a longer one is cut, and cannot be used.
const LONGEST_ROW: usize = 16 << 10;

/// What rows are read with.
pub struct Reader<'r> {
    /// Names.
    pub words: &'r Vocabulary,
    /// The secret of click ids.
    pub key: &'r ClickKey,
    /// Now.
    pub now: Timestamp,
    /// Who tells rows that do not say so themselves.
    pub source: &'r str,
    /// Whether a row may say so itself.
    pub may_name_source: bool,
    /// The platform all rows must be of; a row that names none is of it.
    pub platform: Option<&'r str>,
    /// The shop all rows must be of; a row that names none is of it.
    pub shop: Option<&'r str>,
}

/// The fields of one row, and what is wrong with them.
struct Fields<'v> {
    map: &'v Map<String, Value>,
    faults: Vec<RowFault>,
}

impl Fields<'_> {
    fn fault(&mut self, field: &str, code: &'static str, problem: impl Into<String>) {
        let field = field.chars().take(80).collect();
        self.faults.push(RowFault { field, code, problem: problem.into() });
    }

    /// A text of one line; empty where there is none.
    fn text(&mut self, field: &str) -> Box<str> {
        let text = match self.map.get(field) {
            None | Some(Value::Null) => return Box::default(),
            Some(Value::String(text)) => text.trim().to_owned(),
            // Ids are often written as numbers.
            Some(Value::Number(number)) if number.is_u64() || number.is_i64() => number.to_string(),
            Some(_) => {
                self.fault(field, "wrong_type", "must be a text");
                return Box::default();
            }
        };
        if text.len() > LONGEST {
            self.fault(field, "too_long", format!("has {} bytes: use at most {LONGEST}", text.len()));
        } else if text.chars().any(char::is_control) {
            self.fault(field, "control_character", "may hold no control character");
        } else {
            return text.into();
        }
        Box::default()
    }

    fn instant(&mut self, field: &str) -> Option<Timestamp> {
        let text = self.text(field);
        if text.is_empty() {
            return None;
        }
        text.parse()
            .map_err(|error: crate::domain::time::BadTime| self.fault(field, "not_a_time", error.to_string()))
            .ok()
    }

    fn name<T>(&mut self, field: &str, known: &[&str], find: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.text(field);
        if text.is_empty() {
            return None;
        }
        let found = find(&text);
        if found.is_none() {
            let shown: String = text.chars().take(80).collect();
            self.fault(field, "unknown_name", format!("`{shown}` is not known: use one of {}", known.join(", ")));
        }
        found
    }

    fn count(&mut self) -> u32 {
        let number = match self.map.get("count") {
            None | Some(Value::Null) => return 1,
            Some(Value::String(text)) if text.trim().is_empty() => return 1,
            Some(Value::String(text)) => text.trim().parse().ok(),
            Some(value) => value.as_u64(),
        };
        match number.filter(|number| (1..=MOST).contains(number)).and_then(|number| u32::try_from(number).ok()) {
            Some(number) => number,
            None => {
                self.fault("count", "out_of_range", format!("must be a whole number from 1 to {MOST}"));
                1
            }
        }
    }

    fn sampled(&mut self) -> Option<bool> {
        match self.map.get("sampled") {
            None | Some(Value::Null) => None,
            Some(Value::Bool(flag)) => Some(*flag),
            Some(Value::String(text)) => match text.trim() {
                "" => None,
                "true" => Some(true),
                "false" => Some(false),
                _ => {
                    self.fault("sampled", "not_a_flag", "must be true or false");
                    None
                }
            },
            Some(_) => {
                self.fault("sampled", "not_a_flag", "must be true or false");
                None
            }
        }
    }
}

impl Reader<'_> {
    /// A row of JSON.
    pub fn value(&self, value: &Value) -> Row {
        let raw = value.to_string();
        match value.as_object() {
            Some(map) if raw.len() <= LONGEST_ROW => self.row(raw, map),
            Some(_) => self.unfit(raw, "too_long", format!("the row has over {LONGEST_ROW} bytes: split it")),
            None => self.unfit(raw, "not_an_object", "a row is one JSON object: {…}".to_owned()),
        }
    }

    /// A line of NDJSON.
    pub fn line(&self, line: &str) -> Row {
        match serde_json::from_str(line) {
            Ok(value) => self.value(&value),
            Err(error) => self.unfit(line.to_owned(), "not_json", format!("not JSON: {error}")),
        }
    }

    /// A record of CSV under its head line; empty fields say nothing.
    pub fn record(&self, names: &csv::StringRecord, record: &csv::StringRecord) -> Row {
        let mut map = Map::new();
        for (name, field) in names.iter().zip(record).filter(|(_, field)| !field.trim().is_empty()) {
            map.insert(name.trim().to_owned(), Value::String(field.to_owned()));
        }
        let raw = Value::Object(map);
        if record.len() != names.len() {
            let problem = format!("has {} fields, the head line {}", record.len(), names.len());
            return self.unfit(raw.to_string(), "wrong_length", problem);
        }
        self.value(&raw)
    }

    /// A row that cannot even be read.
    pub fn unfit(&self, raw: String, code: &'static str, problem: String) -> Row {
        let raw = match raw.char_indices().find(|(place, _)| *place >= LONGEST_ROW) {
            Some((place, _)) => raw[..place].to_owned(),
            None => raw,
        };
        let faults = vec![RowFault { field: String::new(), code, problem }];
        Row { raw, source: self.source.into(), id: Box::default(), read: Err(faults) }
    }

    fn row(&self, raw: String, map: &Map<String, Value>) -> Row {
        let mut fields = Fields { map, faults: Vec::new() };
        for name in map.keys().filter(|name| !FIELDS.contains(&name.as_str())) {
            fields.fault(name, "unknown_field", format!("this field is not known: use {}", FIELDS.join(", ")));
        }
        let told = fields.text("source");
        let source: Box<str> = if told.is_empty() { self.source.into() } else { told };
        if !self.may_name_source && *source != *self.source {
            fields.fault("source", "not_yours", format!("this key tells as `{}` only: leave this out", self.source));
        }
        let id = fields.text("id");
        if id.is_empty() && !fields.faults.iter().any(|fault| fault.field == "id") {
            fields.fault("id", "missing", "say which event it is: of one source and id there is one");
        }
        let event = self.event(&mut fields, source.clone(), id.clone());
        // Whose id it is counts, whatever the row says of itself.
        let source = if self.may_name_source { source } else { self.source.into() };
        let read = match event {
            Some(event) if fields.faults.is_empty() => Ok(event),
            _ => Err(fields.faults),
        };
        Row { raw, source, id, read }
    }

    fn event(&self, fields: &mut Fields<'_>, source: Box<str>, id: Box<str>) -> Option<Event> {
        let missing = |fields: &mut Fields<'_>, field: &str, problem: &str| {
            // One that is there and wrong is told already.
            if fields.map.get(field).is_none_or(Value::is_null) {
                fields.fault(field, "missing", problem);
            }
        };
        let kind = fields.name("kind", &EventKind::names(), EventKind::parse);
        if kind.is_none() {
            missing(fields, "kind", "say what happened");
        }
        let at = fields.instant("at");
        if at.is_none() {
            missing(fields, "at", "say when it happened");
        }
        let read_at = fields.instant("read_at");
        for (field, instant) in [("at", at), ("read_at", read_at)] {
            if instant.is_some_and(|instant| instant.micros() > self.now.micros().saturating_add(AHEAD)) {
                fields.fault(field, "future_time", "is yet to come: check the clock and the time zone");
            }
        }
        if let (Some(at), Some(read)) = (at, read_at)
            && read > at
        {
            fields.fault("read_at", "read_after", "the note cannot have been read after what its reader did");
        }
        let platform = self.own(fields, "platform", self.platform);
        if platform.is_empty() {
            missing(fields, "platform", "say which content platform");
        } else if self.words.platform(&platform).is_none() {
            let known = self.words.platforms().collect::<Vec<_>>().join(", ");
            fields.fault("platform", "unknown_name", format!("`{platform}` is not known: use one of {known}"));
        }
        let shop = self.own(fields, "shop", self.shop);
        let surface = fields.name("surface", &Surface::names(), Surface::parse);
        let shop_type = fields.name("shop_type", &ShopType::names(), ShopType::parse).unwrap_or(ShopType::Unknown);
        let marketplace = fields.text("marketplace");
        if !marketplace.is_empty() && self.words.marketplace(&marketplace).is_none() {
            let known = self.words.marketplaces().collect::<Vec<_>>().join(", ");
            fields.fault("marketplace", "unknown_name", format!("`{marketplace}` is not known: use one of {known}"));
        }
        let click = match &*fields.text("click_id") {
            "" => None,
            text => match self.key.parse(text) {
                Ok(click) => Some(click),
                Err(_) => {
                    fields.fault("click_id", "foreign_click_id", "was not issued here, or was altered: check it");
                    None
                }
            },
        };
        if kind.is_some_and(EventKind::is_back) {
            if marketplace.is_empty() {
                missing(fields, "marketplace", "say at which marketplace: the terms of the return depend on it");
            }
            if read_at.is_none() && click.is_none() {
                missing(
                    fields,
                    "read_at",
                    "say when the note was read, or which click it came from: the terms are those of then",
                );
            }
        }
        // All of them before any is missed, so that every fault is told.
        let (category, note, creator) = (fields.text("category"), fields.text("note"), fields.text("creator"));
        let (item, agreement) = (fields.text("item"), fields.text("agreement"));
        let (count, sampled) = (fields.count(), fields.sampled());
        Some(Event {
            source,
            id,
            kind: kind?,
            at: at?,
            platform,
            surface,
            marketplace,
            shop_type,
            category,
            note,
            creator,
            shop,
            item,
            agreement,
            click,
            read_at,
            count,
            sampled,
        })
    }

    /// A field that a key may be bound to.
    fn own(&self, fields: &mut Fields<'_>, field: &'static str, own: Option<&str>) -> Box<str> {
        let told = fields.text(field);
        match own {
            None => told,
            Some(own) if told.is_empty() || *told == *own => own.into(),
            Some(own) => {
                fields.fault(field, "not_yours", format!("this key speaks for `{own}` only"));
                told
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::click_id::ClickMint;

    fn now() -> Timestamp {
        "2025-11-11T20:00:00+08:00".parse().unwrap()
    }

    fn reading<R>(work: impl FnOnce(Reader<'_>) -> R) -> R {
        let (words, key) = (Vocabulary::default(), ClickKey::new(&[7; 16]));
        work(Reader {
            words: &words,
            key: &key,
            now: now(),
            source: "ops",
            may_name_source: true,
            platform: None,
            shop: None,
        })
    }

    #[test]
    fn a_row_is_read_whole() {
        let key = ClickKey::new(&[7; 16]);
        let click = ClickMint::new([1; 24]).mint("2025-11-11T10:00:00+08:00".parse().unwrap());
        let text = String::from_utf8(key.text(click).to_vec()).unwrap();
        let value = json!({
            "id": 17, "kind": "store_entry", "at": "2025-11-11T12:00:00+08:00", "platform": "xiaohongshu",
            "surface": "note", "marketplace": "tmall", "note": "n1", "click_id": text, "count": 3, "sampled": null
        });
        let row = reading(|reader| reader.value(&value));
        let event = row.read.unwrap();
        assert_eq!((&*event.source, &*event.id, event.count), ("ops", "17", 3));
        assert_eq!(event.reading(), Some(click.minted_at()));
        // The same as CSV: a number and a flag are texts there, and empty fields say nothing.
        let names = csv::StringRecord::from(vec![
            "id",
            "kind",
            "at",
            "platform",
            "marketplace",
            "read_at",
            "count",
            "sampled",
            "note",
        ]);
        let record =
            csv::StringRecord::from(vec!["9", "order", "2025-11-11", "douyin", "jd", "2025-11-10", "2", "true", ""]);
        let event = reading(|reader| reader.record(&names, &record)).read.unwrap();
        assert_eq!((event.count, event.sampled, &*event.note), (2, Some(true), ""));
    }

    #[test]
    fn every_fault_of_a_row_is_told_and_a_row_that_is_none_as_well() {
        let value = json!({
            "kind": "teleport", "at": "2025-11-12", "platform": "moon", "marketplace": "mars", "surface": 1, "colour": "red",
            "click_id": "AAAA", "count": 0, "sampled": "perhaps", "read_at": "soon"
        });
        let faults = reading(|reader| reader.value(&value)).read.unwrap_err();
        let mut told: Vec<_> = faults.iter().map(|fault| (fault.field.as_str(), fault.code)).collect();
        told.sort_unstable();
        let expected = [
            ("at", "future_time"),
            ("click_id", "foreign_click_id"),
            ("colour", "unknown_field"),
            ("count", "out_of_range"),
            ("id", "missing"),
            ("kind", "unknown_name"),
            ("marketplace", "unknown_name"),
            ("platform", "unknown_name"),
            ("read_at", "not_a_time"),
            ("sampled", "not_a_flag"),
            ("surface", "unknown_name"),
        ];
        assert_eq!(told, expected);
        for (line, code) in [("{", "not_json"), ("[]", "not_an_object"), ("7", "not_an_object")] {
            assert_eq!(reading(|reader| reader.line(line)).read.unwrap_err()[0].code, code, "{line}");
        }
        let long = json!({"id": "x".repeat(LONGEST_ROW)});
        let row = reading(|reader| reader.value(&long));
        assert_eq!((row.read.unwrap_err()[0].code, row.raw.len()), ("too_long", LONGEST_ROW));
    }

    #[test]
    fn a_back_event_says_where_and_when_it_was_read() {
        let value = json!({"id": "1", "kind": "order", "at": "2025-11-11", "platform": "xiaohongshu"});
        let faults = reading(|reader| reader.value(&value)).read.unwrap_err();
        let told: Vec<_> = faults.iter().map(|fault| (fault.field.as_str(), fault.code)).collect();
        assert_eq!(told, [("marketplace", "missing"), ("read_at", "missing")]);
        let front = json!({"id": "1", "kind": "read", "at": "2025-11-11", "platform": "xiaohongshu"});
        assert!(reading(|reader| reader.value(&front)).read.is_ok());
    }

    #[test]
    fn a_key_speaks_for_its_own_only() {
        let told = |value: Value| {
            reading(|reader| {
                let bound = Reader {
                    source: "platform:xiaohongshu",
                    may_name_source: false,
                    platform: Some("xiaohongshu"),
                    ..reader
                };
                bound.value(&value)
            })
        };
        let row = told(json!({"id": "1", "kind": "read", "at": "2025-11-11"}));
        let event = row.read.unwrap();
        assert_eq!((&*event.platform, &*event.source), ("xiaohongshu", "platform:xiaohongshu"));
        let row = told(json!({"id": "1", "kind": "read", "at": "2025-11-11", "platform": "douyin", "source": "ops"}));
        assert_eq!(&*row.source, "platform:xiaohongshu");
        assert!(row.read.unwrap_err().iter().all(|fault| fault.code == "not_yours"));
    }
}
