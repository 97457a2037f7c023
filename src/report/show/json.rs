//! A sheet as one JSON object: `{report, title{zh,en}, head{}, columns[{name,zh,en}], rows[{…}], total{…}, notes[{zh,en}]}`.
//! Rows are objects by column name, in the order of the columns; what a cell opens stands beside them under `_links`.
//! Money is whole fen, a time RFC 3339, a figure from a sample `{value, low, high}`, what is not known `null`.

use std::io::{self, Write};

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::report::sheet::{Cell, Column, Sheet};

/// Writes it, with a line feed at its end.
///
/// # Errors
/// Those of `out`.
pub fn write(sheet: &Sheet, out: &mut dyn Write) -> io::Result<()> {
    // Row by row: one value of a million rows would take several times their memory.
    serde_json::to_writer(&mut *out, &Shown(sheet)).map_err(io::Error::from)?;
    out.write_all(b"\n")
}

struct Shown<'s>(&'s Sheet);
struct Pairs<'s>(&'s [(&'static str, String)]);
struct Rows<'s>(&'s Sheet);
struct Row<'s>(&'s [Column], &'s [Cell]);
struct Links<'s>(&'s [Column], &'s [Cell]);
struct Value<'s>(&'s Cell);

#[derive(serde::Serialize)]
struct Name<'s> {
    name: &'s str,
    zh: &'s str,
    en: &'s str,
}

#[derive(serde::Serialize)]
struct Told<'s> {
    zh: &'s str,
    en: &'s str,
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sheet = self.0;
        let mut map = serializer.serialize_map(Some(7))?;
        map.serialize_entry("report", sheet.name)?;
        map.serialize_entry("title", &Told { zh: &sheet.title.0, en: &sheet.title.1 })?;
        map.serialize_entry("head", &Pairs(&sheet.head))?;
        let columns = sheet.columns.iter().map(|column| Name { name: column.name, zh: column.zh, en: column.en });
        map.serialize_entry("columns", &columns.collect::<Vec<_>>())?;
        map.serialize_entry("rows", &Rows(sheet))?;
        map.serialize_entry("total", &sheet.total.as_ref().map(|total| Row(&sheet.columns, total)))?;
        let notes = sheet.notes.iter().map(|(zh, en)| Told { zh, en });
        map.serialize_entry("notes", &notes.collect::<Vec<_>>())?;
        map.end()
    }
}

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.rows.iter().map(|row| Row(&self.0.columns, row)))
    }
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (column, cell) in self.0.iter().zip(self.1) {
            map.serialize_entry(column.name, &Value(cell))?;
        }
        if self.1.iter().any(|cell| matches!(cell, Cell::Link { .. })) {
            map.serialize_entry("_links", &Links(self.0, self.1))?;
        }
        map.end()
    }
}

impl Serialize for Links<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().zip(self.1).filter_map(|(column, cell)| match cell {
            Cell::Link { to, .. } => Some((column.name, to)),
            _ => None,
        }))
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Cell::Link { text, .. } => serializer.serialize_str(text),
            // As `null`, where an untagged unit would be too, but said here.
            Cell::None => serializer.serialize_none(),
            other => other.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::sample;
    use super::*;

    #[test]
    fn the_object_is_stable() {
        let mut out = Vec::new();
        write(&sample(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.ends_with("}\n") && text.lines().count() == 1);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            value["rows"][0],
            json!({
                "creator": "<b>\"小美\" & 'x'</b>", "order": "=1+1", "day": "2025-11-11T00:00:00+08:00",
                "clicks": 1_234_567, "paid_fen": -1_205, "click_rate": 0.123_456,
                "orders_est": {"value": 200.0, "low": 180.5, "high": 219.25}, "silent": null,
                "_links": {"order": "/v1/hops/a?b&c"}
            })
        );
        assert_eq!(value["rows"][1]["order"], json!(null));
        assert_eq!(value["rows"][1].get("_links"), None);
        assert_eq!(value["total"]["clicks"], json!(1_234_567));
        assert_eq!(value["head"], json!({"from": "2025-11-11T00:00:00+08:00", "note": "<n>"}));
        assert_eq!(value["columns"][0], json!({"name": "creator", "zh": "创作者", "en": "creator"}));
        assert_eq!(value["notes"][0]["en"], json!("Sampled <50%>"));
        // In the order of the columns, for whoever reads it by eye.
        let places: Vec<_> = ["\"clicks\":", "\"paid_fen\":", "\"silent\":"].map(|name| text.find(name)).to_vec();
        assert!(places.is_sorted() && places[0].is_some());
    }
}
