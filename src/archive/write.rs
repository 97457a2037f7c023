//! Hops into Parquet: gathered by column, written in row groups. Never decides which hops, never names a file.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedFileWriter;

use super::schema::{self, COLUMNS, GROUP_ROWS, Kind};
use crate::domain::click_id::ClickKey;
use crate::domain::hop::Hop;
use crate::journal::export::{Value, row_values};

/// The values of one column, until their row group is written.
#[derive(Default)]
struct Column {
    /// Texts one behind the other, and where each ends.
    text: Vec<u8>,
    ends: Vec<usize>,
    ints: Vec<i32>,
    longs: Vec<i64>,
    /// 1 where there is a value, 0 where it is unknown.
    levels: Vec<i16>,
}

impl Column {
    fn put_text(&mut self, text: Option<&str>) {
        self.levels.push(i16::from(text.is_some()));
        if let Some(text) = text {
            self.text.extend_from_slice(text.as_bytes());
            self.ends.push(self.text.len());
        }
    }

    fn put_int(&mut self, value: Option<i32>) {
        self.levels.push(i16::from(value.is_some()));
        self.ints.extend(value);
    }

    /// The texts, sharing one piece of memory.
    fn take_texts(&mut self) -> Vec<ByteArray> {
        let all = Bytes::from(std::mem::take(&mut self.text));
        let mut from = 0;
        let texts = self.ends.drain(..).map(|end| ByteArray::from(all.slice(std::mem::replace(&mut from, end)..end)));
        texts.collect()
    }
}

/// Writes one file of hops.
pub struct Writer<W: Write + Send> {
    file: SerializedFileWriter<W>,
    columns: Vec<Column>,
    gathered: usize,
    rows: u64,
}

impl<W: Write + Send> Writer<W> {
    /// Begins a file; `told` goes into it as key and value.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn new(out: W, told: Vec<(&str, String)>) -> Result<Self, ParquetError> {
        let file = SerializedFileWriter::new(out, schema::parquet()?, Arc::new(schema::properties(told)))?;
        let columns = COLUMNS.iter().map(|_| Column::default()).collect();
        Ok(Writer { file, columns, gathered: 0, rows: 0 })
    }

    /// Adds a hop.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn put(&mut self, seq: u64, hop: &Hop<'_>, key: &ClickKey) -> Result<(), ParquetError> {
        let click_id = key.text(hop.id);
        // The external form is ASCII; a lossy reading of it cannot lose anything.
        let click_id = String::from_utf8_lossy(&click_id);
        row_values(seq, hop, &click_id, |place, value| {
            let Some(column) = self.columns.get_mut(place) else { return };
            match (COLUMNS[place].1, value) {
                (Kind::Text, Value::Text(text)) => column.put_text(Some(text.unwrap_or_default())),
                (_, Value::Text(text)) => column.put_text(text),
                (_, Value::Int(value)) => column.put_int(value),
                (_, Value::Long(value)) => column.longs.push(value),
            }
        });
        if let Some(column) = self.columns.last_mut() {
            column.put_int(Some(i32::from(hop.flags.0)));
        }
        self.gathered += 1;
        self.rows += 1;
        if self.gathered == GROUP_ROWS { self.end_group() } else { Ok(()) }
    }

    fn end_group(&mut self) -> Result<(), ParquetError> {
        if self.gathered == 0 {
            return Ok(());
        }
        let mut group = self.file.next_row_group()?;
        for ((_, kind), column) in COLUMNS.iter().zip(&mut self.columns) {
            let Some(mut writer) = group.next_column()? else { break };
            let levels = match kind {
                Kind::MaybeText | Kind::MaybeInt => Some(column.levels.as_slice()),
                _ => None,
            };
            match kind {
                Kind::Text | Kind::MaybeText => {
                    let levels = levels.map(<[i16]>::to_vec);
                    let texts = column.take_texts();
                    writer.typed::<ByteArrayType>().write_batch(&texts, levels.as_deref(), None)?;
                }
                Kind::Int | Kind::MaybeInt => {
                    writer.typed::<Int32Type>().write_batch(&column.ints, levels, None)?;
                }
                Kind::Long | Kind::Time => {
                    writer.typed::<Int64Type>().write_batch(&column.longs, None, None)?;
                }
            }
            writer.close()?;
            column.levels.clear();
            column.ints.clear();
            column.longs.clear();
        }
        group.close()?;
        self.gathered = 0;
        Ok(())
    }

    /// Ends the file; what was written to, and how many rows it has.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn finish(mut self) -> Result<(W, u64), ParquetError> {
        self.end_group()?;
        Ok((self.file.into_inner()?, self.rows))
    }
}
