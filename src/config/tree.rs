//! Reading what people write: YAML, TOML and JSON as one tree that knows its lines (JSON's are 0), and a reader that collects **every** fault
//! of a run instead of stopping at the first. Never gives a value a meaning; its callers do.

use std::cell::RefCell;
use std::fmt;

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use toml::de::{DeTable, DeValue};

/// One thing wrong in a file, with where and the mend.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize)]
pub struct Fault {
    /// The file, as the caller names it.
    pub file: String,
    /// The line, from 1; 0 where there are no lines to speak of.
    pub line: usize,
    /// The field, as `agreements[2].when.surfaces[0]`; empty for the file as a whole.
    pub field: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: ", self.file)?,
            line => write!(f, "{}:{line}: ", self.file)?,
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.problem)
    }
}

/// The faults of a run, in the order found.
#[derive(Default, Debug)]
pub struct Faults(RefCell<Vec<Fault>>);

impl Faults {
    /// Adds one.
    pub fn add(&self, file: &str, line: usize, field: &str, problem: impl Into<String>) {
        let fault = Fault { file: file.to_owned(), line, field: field.to_owned(), problem: problem.into() };
        self.0.borrow_mut().push(fault);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.borrow().len()
    }

    /// All of them, in the order found.
    pub fn into_found(self) -> Vec<Fault> {
        self.0.into_inner()
    }

    /// All of them, by file and line.
    pub fn into_sorted(self) -> Vec<Fault> {
        let mut faults = self.0.into_inner();
        faults.sort();
        faults.dedup();
        faults
    }
}

/// A value with its line.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    /// The line it starts on, from 1.
    pub line: usize,
    /// What it is.
    pub value: Value,
}

/// What a file can say.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// Nothing.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A text; dates too.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Keys with their line, and values.
    Map(Vec<(String, usize, Node)>),
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Int(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a table",
        }
    }
}

/// Reads YAML; an empty file is an empty table. `None` after adding a fault when it is not YAML.
pub fn from_yaml(file: &str, text: &str, faults: &Faults) -> Option<Node> {
    let documents = match MarkedYaml::load_from_str(text) {
        Ok(documents) => documents,
        Err(error) => {
            faults.add(file, error.marker().line().max(1), "", format!("not valid YAML: {}", error.info()));
            return None;
        }
    };
    match documents.as_slice() {
        [] => Some(Node { line: 1, value: Value::Map(Vec::new()) }),
        [document] => Some(yaml_node(document)),
        [_, second, ..] => {
            faults.add(file, second.span.start.line(), "", "a second YAML document: keep one document a file");
            None
        }
    }
}

fn yaml_node(node: &MarkedYaml<'_>) -> Node {
    let value = match &node.data {
        YamlData::Value(Scalar::Null) => Value::Null,
        YamlData::Value(Scalar::Boolean(value)) => Value::Bool(*value),
        YamlData::Value(Scalar::Integer(value)) => Value::Int(*value),
        YamlData::Value(Scalar::FloatingPoint(value)) => Value::Float(value.into_inner()),
        YamlData::Value(Scalar::String(value)) => Value::Text(value.to_string()),
        YamlData::Representation(text, ..) => Value::Text(text.to_string()),
        YamlData::Sequence(items) => Value::List(items.iter().map(yaml_node).collect()),
        YamlData::Mapping(entries) => {
            Value::Map(entries.iter().map(|(key, value)| (yaml_key(key), line(key), yaml_node(value))).collect())
        }
        YamlData::Tagged(_, inner) => yaml_node(inner).value,
        YamlData::Alias(_) | YamlData::BadValue => Value::Null,
    };
    Node { line: line(node), value }
}

fn line(node: &MarkedYaml<'_>) -> usize {
    node.span.start.line().max(1)
}

fn yaml_key(node: &MarkedYaml<'_>) -> String {
    match yaml_node(node).value {
        Value::Text(text) => text,
        Value::Int(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        other => format!("<{}>", other.kind()),
    }
}

/// A JSON value as a tree without lines: faults are placed by their field.
pub fn from_json(value: &serde_json::Value) -> Node {
    use serde_json::Value as Json;
    let value = match value {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Value::Int(number),
            (None, Some(number)) => Value::Float(number),
            (None, None) => Value::Null,
        },
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(items) => Value::List(items.iter().map(from_json).collect()),
        Json::Object(map) => Value::Map(map.iter().map(|(key, value)| (key.clone(), 0, from_json(value))).collect()),
    };
    Node { line: 0, value }
}

/// Reads TOML. `None` after adding a fault when it is not TOML.
pub fn from_toml(file: &str, text: &str, faults: &Faults) -> Option<Node> {
    let line_of = |offset: usize| 1 + text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count();
    match DeTable::parse(text) {
        Ok(table) => Some(Node { line: 1, value: toml_table(table.get_ref(), &line_of) }),
        Err(error) => {
            let line = line_of(error.span().map_or(0, |span| span.start));
            faults.add(file, line, "", format!("not valid TOML: {}", error.message()));
            None
        }
    }
}

fn toml_table(table: &DeTable<'_>, line_of: &dyn Fn(usize) -> usize) -> Value {
    Value::Map(
        table
            .iter()
            .map(|(key, value)| {
                let line = line_of(key.span().start);
                (key.get_ref().to_string(), line, Node { line, value: toml_value(value.get_ref(), line_of) })
            })
            .collect(),
    )
}

fn toml_value(value: &DeValue<'_>, line_of: &dyn Fn(usize) -> usize) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(Value::Null, Value::Int)
        }
        DeValue::Float(number) => number.as_str().parse().map_or(Value::Null, Value::Float),
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(at) => Value::Text(at.to_string()),
        DeValue::Array(items) => Value::List(
            items
                .iter()
                .map(|item| Node { line: line_of(item.span().start), value: toml_value(item.get_ref(), line_of) })
                .collect(),
        ),
        DeValue::Table(table) => toml_table(table, line_of),
    }
}

/// A table being read: remembers which keys were asked for, so that [`Table::finish`] can name the others.
pub struct Table<'n> {
    file: &'n str,
    faults: &'n Faults,
    path: String,
    line: usize,
    entries: &'n [(String, usize, Node)],
    asked: RefCell<Vec<&'static str>>,
}

/// One value being read.
#[derive(Clone)]
pub struct Field<'n> {
    file: &'n str,
    faults: &'n Faults,
    path: String,
    node: &'n Node,
}

impl<'n> Table<'n> {
    /// The root of a file. `None` after adding a fault when it is not a table.
    pub fn root(file: &'n str, node: &'n Node, faults: &'n Faults) -> Option<Self> {
        Field { file, faults, path: String::new(), node }.table()
    }

    /// The line the table starts on.
    pub fn line(&self) -> usize {
        self.line
    }

    /// Where the table stands, for people: `file:line`, or its path where there are no lines.
    pub fn place(&self) -> String {
        if self.line == 0 { self.path.clone() } else { format!("{}:{}", self.file, self.line) }
    }

    /// Adds a fault of the table as a whole, or of one of its keys.
    pub fn fault(&self, key: &str, problem: impl Into<String>) {
        let line = self.entries.iter().find(|(name, ..)| name == key).map_or(self.line, |(_, line, _)| *line);
        self.faults.add(self.file, line, &self.path_of(key), problem);
    }

    fn path_of(&self, key: &str) -> String {
        match (self.path.is_empty(), key.is_empty()) {
            (true, _) => key.to_owned(),
            (_, true) => self.path.clone(),
            _ => format!("{}.{key}", self.path),
        }
    }

    /// The value of a key; `None` when absent or null.
    pub fn get(&self, key: &'static str) -> Option<Field<'n>> {
        self.asked.borrow_mut().push(key);
        let (_, _, node) = self.entries.iter().find(|(name, ..)| name == key)?;
        if node.value == Value::Null {
            return None;
        }
        Some(Field { file: self.file, faults: self.faults, path: self.path_of(key), node })
    }

    /// The value of a key that must be there.
    pub fn require(&self, key: &'static str) -> Option<Field<'n>> {
        let found = self.get(key);
        if found.is_none() {
            self.fault(key, "is missing: add it");
        }
        found
    }

    /// Every entry, for tables whose keys are free.
    pub fn free_entries(&self) -> impl Iterator<Item = (&'n str, Field<'n>)> + '_ {
        self.entries.iter().map(|(key, _, node)| {
            (key.as_str(), Field { file: self.file, faults: self.faults, path: self.path_of(key), node })
        })
    }

    /// Names every key nobody asked for.
    pub fn finish(self) {
        let asked = self.asked.borrow();
        for (key, line, _) in self.entries {
            if asked.iter().any(|known| known == key) {
                continue;
            }
            let mend = match nearest(key, &asked) {
                Some(known) => format!("unknown key; did you mean `{known}`?"),
                None => format!("unknown key; known here: {}", asked.join(", ")),
            };
            self.faults.add(self.file, *line, &self.path_of(key), mend);
        }
    }
}

impl<'n> Field<'n> {
    /// Adds a fault of this value.
    pub fn fault(&self, problem: impl Into<String>) {
        self.faults.add(self.file, self.node.line, &self.path, problem);
    }

    /// The line of the value.
    pub fn line(&self) -> usize {
        self.node.line
    }

    fn wrong<T>(&self, wanted: &str) -> Option<T> {
        self.fault(format!("is {}, but must be {wanted}", self.node.value.kind()));
        None
    }

    /// The value as a text, not empty.
    pub fn text(&self) -> Option<&'n str> {
        match &self.node.value {
            Value::Text(text) if text.trim().is_empty() => {
                self.fault("is empty: write a value or leave the key out");
                None
            }
            Value::Text(text) => Some(text),
            _ => self.wrong("a text (put it in quotes)"),
        }
    }

    /// The value as a text, which may be empty.
    pub fn text_or_empty(&self) -> Option<&'n str> {
        match &self.node.value {
            Value::Text(text) => Some(text),
            _ => self.wrong("a text (put it in quotes)"),
        }
    }

    /// The value as a whole number within bounds.
    pub fn integer(&self, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        match self.node.value {
            Value::Int(number) if range.contains(&number) => Some(number),
            Value::Int(number) => {
                self.fault(format!("is {number}: use {} to {}", range.start(), range.end()));
                None
            }
            _ => self.wrong("a whole number"),
        }
    }

    /// The value where it is a whole number; anything else is no fault.
    pub fn whole_number(&self) -> Option<i64> {
        match self.node.value {
            Value::Int(number) => Some(number),
            _ => None,
        }
    }

    /// The value as a number within bounds.
    pub fn number(&self, range: std::ops::RangeInclusive<f64>) -> Option<f64> {
        let number = match self.node.value {
            Value::Int(number) => number as f64,
            Value::Float(number) => number,
            _ => return self.wrong("a number"),
        };
        if !range.contains(&number) {
            self.fault(format!("is {number}: use {} to {}", range.start(), range.end()));
            return None;
        }
        Some(number)
    }

    /// The value as yes or no.
    pub fn boolean(&self) -> Option<bool> {
        match self.node.value {
            Value::Bool(value) => Some(value),
            _ => self.wrong("true or false"),
        }
    }

    /// The value as a list.
    pub fn list(&self) -> Option<Vec<Field<'n>>> {
        match &self.node.value {
            Value::List(items) => Some(
                items
                    .iter()
                    .enumerate()
                    .map(|(place, node)| Field { path: format!("{}[{place}]", self.path), node, ..self.clone() })
                    .collect(),
            ),
            _ => self.wrong("a list, [a, b]"),
        }
    }

    /// The value as a list, where one value alone stands for a list of one.
    pub fn one_or_many(&self) -> Option<Vec<Field<'n>>> {
        match &self.node.value {
            Value::List(_) => self.list(),
            _ => Some(vec![self.clone()]),
        }
    }

    /// The value as a table.
    pub fn table(&self) -> Option<Table<'n>> {
        match &self.node.value {
            Value::Map(entries) => Some(Table {
                file: self.file,
                faults: self.faults,
                path: self.path.clone(),
                line: self.node.line,
                entries,
                asked: RefCell::default(),
            }),
            _ => self.wrong("a table of keys"),
        }
    }

    /// The value as one of a closed list of names.
    pub fn one_of<T>(&self, parse: impl Fn(&str) -> Option<T>, known: &[&str]) -> Option<T> {
        let text = self.text()?;
        let value = parse(text);
        if value.is_none() {
            let mend = match nearest(text, known) {
                Some(near) => format!("did you mean `{near}`? "),
                None => String::new(),
            };
            let shown: String = text.chars().take(60).collect();
            self.fault(format!("`{shown}` is not known: {mend}use one of {}", known.join(", ")));
        }
        value
    }

    /// The value through a parser whose error says what is wrong.
    pub fn parse<T, E: fmt::Display>(&self, parse: impl Fn(&str) -> Result<T, E>) -> Option<T> {
        match parse(self.text()?) {
            Ok(value) => Some(value),
            Err(error) => {
                self.fault(error.to_string());
                None
            }
        }
    }
}

/// The known name a mistyped one most likely meant: at most two edits away.
fn nearest<'k>(typed: &str, known: &[&'k str]) -> Option<&'k str> {
    if typed.len() > 64 {
        return None;
    }
    known
        .iter()
        .map(|name| (edits(typed, name), *name))
        .filter(|(edits, name)| *edits <= 2 && *edits < name.len())
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein distance by bytes.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_a_file_is_named_with_its_line() {
        let text = "name: 3\nport: 99999\nsurfase: x\nlist:\n  - 1\n  - two\n";
        let faults = Faults::default();
        let node = from_yaml("a.yaml", text, &faults).unwrap();
        let table = Table::root("a.yaml", &node, &faults).unwrap();
        assert_eq!(table.require("name").and_then(|field| field.text()), None);
        assert_eq!(table.require("port").and_then(|field| field.integer(1..=65535)), None);
        table.get("surface");
        for item in table.require("list").and_then(|field| field.list()).unwrap() {
            item.text();
        }
        table.require("gone");
        table.finish();
        let shown: Vec<String> = faults.into_sorted().iter().map(Fault::to_string).collect();
        assert_eq!(
            shown,
            [
                "a.yaml:1: gone: is missing: add it",
                "a.yaml:1: name: is a whole number, but must be a text (put it in quotes)",
                "a.yaml:2: port: is 99999: use 1 to 65535",
                "a.yaml:3: surfase: unknown key; did you mean `surface`?",
                "a.yaml:5: list[0]: is a whole number, but must be a text (put it in quotes)",
            ]
        );
    }

    #[test]
    fn toml_lines_are_right_too() {
        let faults = Faults::default();
        let node = from_toml("b.toml", "[server]\nworkers = 2\n\n[journal]\nmode = 5\n", &faults).unwrap();
        let table = Table::root("b.toml", &node, &faults).unwrap();
        let journal = table.require("journal").and_then(|field| field.table()).unwrap();
        assert_eq!(journal.require("mode").and_then(|field| field.text()), None);
        assert_eq!(
            table.get("server").and_then(|f| f.table()).unwrap().get("workers").unwrap().integer(1..=64),
            Some(2)
        );
        assert_eq!(faults.into_sorted()[0].line, 5);
        let faults = Faults::default();
        assert!(from_toml("b.toml", "a = 1\nb = = 2\n", &faults).is_none());
        assert_eq!(faults.into_sorted()[0].line, 2);
    }
}
