//! Files of rows: a JSON array, JSON one row a line, answers of an API as they came, or CSV with the same field names. Told
//! from the first character. A row that cannot be read does not end a file; a file that cannot be read on does.

use std::io::{self, BufRead, Read};

use ring::digest::{Context, SHA256};
use serde::Deserializer as _;
use serde::de::{SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::envelope::{BadEnvelope, envelope, is_envelope};
use super::text::Written;
use crate::domain::attribution::Network;

/// What a file holds, one after the other.
#[derive(Clone, PartialEq, Debug)]
pub enum Item {
    /// A row.
    Row(Value),
    /// Something that cannot be read as one, and why.
    Broken {
        /// As it stood there.
        raw: String,
        /// What is wrong, and the mend.
        problem: String,
    },
}

/// Why a file cannot be read, or not on.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    /// The disk, or a pipe.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// There is nothing in it.
    #[error("it is empty: nothing was imported")]
    Empty,
    /// It is no JSON.
    #[error("line {line}, column {column}: {what}")]
    Json {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What the parser says.
        what: String,
    },
    /// It begins with neither `[` nor `{`, where only JSON is taken.
    #[error("it is no JSON: begin with [ for a list or {{ for a row")]
    NotJson,
    /// An answer of an API that holds no rows.
    #[error("{0}")]
    Envelope(#[from] BadEnvelope),
    /// A head line that cannot be one.
    #[error("head line: {0}")]
    Head(String),
}

/// Passes bytes on and keeps their SHA-256.
pub struct Hashing<R> {
    inner: R,
    context: Context,
}

impl<R: Read> Hashing<R> {
    /// Around a reader.
    pub fn new(inner: R) -> Self {
        Hashing { inner, context: Context::new(&SHA256) }
    }

    /// The SHA-256 of what was read.
    pub fn finish(self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(self.context.finish().as_ref());
        hash
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.context.update(&buffer[..count]);
        Ok(count)
    }
}

/// Hands on everything a file holds. With `csv` it may be CSV as well.
///
/// # Errors
/// [`FileFault`], or what `each` says; everything before it was handed on.
pub fn rows<E: From<FileFault>>(
    network: Network,
    mut file: impl BufRead,
    csv: bool,
    mut each: impl FnMut(Item) -> Result<(), E>,
) -> Result<(), E> {
    // A byte order mark, which Excel writes.
    let mut begin = [0; 3];
    let mut filled = 0;
    while filled < 3 {
        match file.read(&mut begin[filled..]).map_err(FileFault::from)? {
            0 => break,
            count => filled += count,
        }
    }
    let begin = begin[..filled].strip_prefix(b"\xef\xbb\xbf").unwrap_or(&begin[..filled]).to_vec();
    let mut file = io::Cursor::new(begin).chain(file);
    let first = loop {
        let (first, blank) = match file.fill_buf().map_err(FileFault::from)? {
            [] => return Err(FileFault::Empty.into()),
            [first, ..] => (*first, first.is_ascii_whitespace()),
        };
        if !blank {
            break first;
        }
        file.consume(1);
    };
    let mut each = |value: Item| match value {
        Item::Row(value) if is_envelope(&value) => {
            let page = envelope(network, &value).map_err(FileFault::from)?;
            page.rows.into_iter().try_for_each(|row| each(Item::Row(row)))
        }
        item => each(item),
    };
    match first {
        b'[' => array(file, &mut each),
        b'{' => lines(file, &mut each),
        _ if csv => records(network, file, &mut each),
        _ => Err(FileFault::NotJson.into()),
    }
}

fn bad_json(error: &serde_json::Error) -> FileFault {
    // The parser's text ends in the place once more.
    let what = error.to_string().split(" at line ").next().unwrap_or_default().to_owned();
    FileFault::Json { line: error.line(), column: error.column(), what }
}

/// Hands on the elements of a list while it is read: a file need not fit into memory.
struct Elements<'f, E> {
    each: &'f mut dyn FnMut(Item) -> Result<(), E>,
    stopped: &'f mut Option<E>,
}

impl<'de, E> Visitor<'de> for Elements<'_, E> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(value) = list.next_element::<Written>()?.map(|written| written.0) {
            if let Err(error) = (self.each)(Item::Row(value)) {
                *self.stopped = Some(error);
                return Err(serde::de::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

fn array<E: From<FileFault>>(file: impl Read, each: &mut dyn FnMut(Item) -> Result<(), E>) -> Result<(), E> {
    let mut stopped = None;
    let mut json = serde_json::Deserializer::from_reader(file);
    let read = json.deserialize_seq(Elements { each, stopped: &mut stopped }).and_then(|()| json.end());
    match (stopped, read) {
        (Some(error), _) => Err(error),
        (None, Err(error)) => Err(bad_json(&error).into()),
        (None, Ok(())) => Ok(()),
    }
}

fn lines<E: From<FileFault>>(mut file: impl BufRead, each: &mut dyn FnMut(Item) -> Result<(), E>) -> Result<(), E> {
    let mut line = Vec::new();
    let mut first = true;
    loop {
        line.clear();
        if file.read_until(b'\n', &mut line).map_err(FileFault::from)? == 0 {
            return Ok(());
        }
        let text = line.trim_ascii();
        if text.is_empty() {
            continue;
        }
        match serde_json::from_slice(text) {
            Ok(Written(value)) => each(Item::Row(value))?,
            // One value over many lines, as an answer that was saved for reading.
            Err(error) if first && error.is_eof() => {
                file.read_to_end(&mut line).map_err(FileFault::from)?;
                for value in serde_json::Deserializer::from_slice(&line).into_iter::<Written>() {
                    each(Item::Row(value.map_err(|error| bad_json(&error))?.0))?;
                }
                return Ok(());
            }
            Err(error) => {
                let problem = format!("is no JSON: {error}");
                each(Item::Broken { raw: String::from_utf8_lossy(text).into_owned(), problem })?;
            }
        }
        first = false;
    }
}

/// The column that no file of a network is without.
const fn key_column(network: Network) -> &'static str {
    match network {
        Network::Taobao => "trade_id",
        Network::Jd => "id",
        Network::Pinduoduo => "order_sn",
        Network::Direct => "line",
    }
}

fn records<E: From<FileFault>>(
    network: Network,
    file: impl Read,
    each: &mut dyn FnMut(Item) -> Result<(), E>,
) -> Result<(), E> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(file);
    let head = reader.byte_headers().map_err(|error| FileFault::Head(error.to_string()))?;
    let mut names: Vec<String> = Vec::new();
    for name in head {
        let name = std::str::from_utf8(name).map_err(|_| {
            FileFault::Head("it is not UTF-8: save the file as `CSV UTF-8`; GBK is not read".to_owned())
        })?;
        let name = name.trim().to_owned();
        if names.contains(&name) {
            return Err(FileFault::Head(format!("`{name}` stands there twice")).into());
        }
        names.push(name);
    }
    let key = key_column(network);
    if !names.iter().any(|name| name == key) {
        let problem = format!(
            "there is no column `{key}`: name columns as the fields of {network} are named, and read exports with other \
             headings after renaming them"
        );
        return Err(FileFault::Head(problem).into());
    }
    let mut record = csv::ByteRecord::new();
    loop {
        match reader.read_byte_record(&mut record) {
            Ok(false) => return Ok(()),
            Ok(true) => {}
            Err(error) if error.is_io_error() => return Err(FileFault::Io(io::Error::other(error.to_string())).into()),
            Err(error) => return Err(FileFault::Head(error.to_string()).into()),
        }
        let raw = || record.iter().map(String::from_utf8_lossy).collect::<Vec<_>>().join(",");
        if record.len() != names.len() {
            let problem = format!("has {} columns, the head line has {}", record.len(), names.len());
            each(Item::Broken { raw: raw(), problem })?;
            continue;
        }
        let values: Result<Vec<&str>, _> = record.iter().map(std::str::from_utf8).collect();
        match values {
            Ok(values) => {
                let fields = names.iter().zip(values).map(|(name, value)| (name.clone(), Value::from(value)));
                each(Item::Row(Value::Object(fields.collect::<Map<_, _>>())))?;
            }
            Err(_) => {
                let problem = "is not UTF-8: save the file as `CSV UTF-8`; GBK is not read".to_owned();
                each(Item::Broken { raw: raw(), problem })?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(network: Network, text: &[u8]) -> Result<Vec<Item>, FileFault> {
        let mut items = Vec::new();
        rows(network, text, true, |item| {
            items.push(item);
            Ok::<(), FileFault>(())
        })?;
        Ok(items)
    }

    fn ids(items: &[Item]) -> Vec<&str> {
        let id = |item: &Item| match item {
            Item::Row(row) => row["id"].as_str().unwrap_or("?").to_owned(),
            Item::Broken { .. } => "broken".to_owned(),
        };
        items.iter().map(|item| &*id(item).leak()).collect()
    }

    #[test]
    fn every_form_of_a_file_is_read() {
        let envelope = r#"{"jd_union_open_order_row_query_responce":{"code":"0","queryResult":"{\"code\":200,\"data\":[{\"id\":\"1\"},{\"id\":\"2\"}]}"}}"#;
        let pretty = serde_json::to_string_pretty(&serde_json::from_str::<Value>(envelope).unwrap()).unwrap();
        for text in [
            r#"[{"id":"1"}, {"id":"2"}]"#,
            "\u{feff} \n[{\"id\":\"1\"},\n{\"id\":\"2\"}]\n",
            "{\"id\":\"1\"}\n\n{\"id\":\"2\"}\n",
            "{\"id\":\"1\"}\r\n{\"id\":\"2\"}",
            envelope,
            &pretty,
            &format!("[{envelope}]"),
            "\u{feff}id,skuName\r\n1,\"a, b\"\r\n2,\"c \"\"d\"\"\"\r\n",
        ] {
            assert_eq!(ids(&read(Network::Jd, text.as_bytes()).unwrap()), ["1", "2"], "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_does_not_end_a_file() {
        assert_eq!(
            ids(&read(Network::Jd, b"{\"id\":\"1\"}\n{\"id\":\n\xff\n{\"id\":\"2\"}\n").unwrap()),
            ["1", "broken", "broken", "2"]
        );
        assert_eq!(
            ids(&read(Network::Jd, b"id,price\n1,2\n7\n\xd6\xd0,1\n2,1\n").unwrap()),
            ["1", "broken", "broken", "2"]
        );
    }

    #[test]
    fn a_file_that_is_none_is_told_apart() {
        let fault = |network, text: &[u8]| read(network, text).unwrap_err().to_string();
        assert!(fault(Network::Jd, b" \n").contains("empty"));
        assert!(fault(Network::Jd, b"[{\"id\":\"1\"},").contains("line 1"));
        assert!(fault(Network::Taobao, "订单编号,付款金额\n1,2\n".as_bytes()).contains("no column `trade_id`"));
        assert!(fault(Network::Taobao, b"\xb6\xa9\xb5\xa5,1\n").contains("UTF-8"));
        assert!(fault(Network::Jd, b"id,id\n").contains("twice"));
        let refused = br#"{"error_response":{"code":8,"msg":"bad clock"}}"#;
        assert!(fault(Network::Taobao, refused).contains("taobao refused: code 8"));
        let csv = rows(Network::Jd, &b"id\n1\n"[..], false, |_| Ok::<(), FileFault>(()));
        assert!(matches!(csv, Err(FileFault::NotJson)));
    }
}
