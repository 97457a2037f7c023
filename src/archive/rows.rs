//! Hops out of Parquet: every one as the journal had it, but for what was purged. Never reads a file it did not make sense
//! of; never writes.

use std::borrow::Cow;
use std::fs::File;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::statistics::Statistics;
use serde::Deserialize;

use super::schema::{COLUMNS, SEQ, TIME};
use crate::domain::click_id::ClickId;
use crate::domain::device::{HostApp, Os};
use crate::domain::hop::{Hop, HopFlags, Outcome, PlacementSource};
use crate::domain::landing::Way;
use crate::domain::policy::Reason;
use crate::domain::time::Timestamp;
use crate::domain::tried::{Fallen, Tried};
use crate::domain::vocabulary::{LandingMode, LinkKind, ShopType, Surface};
use crate::journal::address;
use crate::journal::read::ReadError;

/// The place of a column, found when this is compiled.
macro_rules! at {
    ($name:literal) => {
        const { place($name) }
    };
}

const fn place(name: &str) -> usize {
    let mut column = 0;
    while column < COLUMNS.len() {
        let (known, name) = (COLUMNS[column].0.as_bytes(), name.as_bytes());
        let mut same = if known.len() == name.len() { name.len() } else { 0 };
        while same > 0 && known[same - 1] == name[same - 1] {
            same -= 1;
        }
        if known.len() == name.len() && same == 0 {
            return column;
        }
        column += 1;
    }
    panic!("no such column")
}

/// What a purge looks at.
const PERSONAL: [usize; 5] = [TIME, at!("code"), at!("creator"), at!("address"), at!("visitor")];

/// Rows read at once.
const BATCH: usize = 8_192;

/// A file of hops, open for reading.
pub struct Rows {
    path: PathBuf,
    file: SerializedFileReader<File>,
}

/// What is known of a row group without reading it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Group {
    /// Its place in the file.
    pub place: usize,
    /// Its rows.
    pub rows: u64,
    /// Its bytes in the file.
    pub bytes: u64,
    /// The earliest instant in it.
    pub earliest: Timestamp,
    /// The latest instant in it.
    pub latest: Timestamp,
    /// Its first hop.
    pub first_seq: u64,
    /// Its last hop.
    pub last_seq: u64,
}

impl Rows {
    /// Opens a file and looks whether its columns are those this build reads.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn open(path: &Path) -> Result<Rows, ReadError> {
        let file = File::open(path).map_err(|source| ReadError::Unreadable { path: path.to_owned(), source })?;
        let file = SerializedFileReader::new(file).map_err(|error| broken(path, &error))?;
        let columns = file.metadata().file_metadata().schema_descr().columns();
        let same = columns.len() == COLUMNS.len()
            && columns.iter().zip(COLUMNS).all(|(column, (name, _))| column.name() == name);
        if !same {
            return Err(ReadError::Archived {
                path: path.to_owned(),
                found: "its columns are not those of hops".into(),
            });
        }
        Ok(Rows { path: path.to_owned(), file })
    }

    /// The rows of the file, as its footer tells.
    pub fn count(&self) -> u64 {
        u64::try_from(self.file.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    /// Its row groups.
    ///
    /// # Errors
    /// [`ReadError::Archived`] when one does not tell its bounds.
    pub fn groups(&self) -> Result<Vec<Group>, ReadError> {
        self.file.metadata().row_groups().iter().enumerate().map(|(place, group)| self.group(place, group)).collect()
    }

    fn group(&self, place: usize, group: &RowGroupMetaData) -> Result<Group, ReadError> {
        let bounds = |column: usize| match group.columns().get(column).and_then(|column| column.statistics()) {
            Some(Statistics::Int64(bounds)) => Some((*bounds.min_opt()?, *bounds.max_opt()?)),
            _ => None,
        };
        let (Some(times), Some(seqs)) = (bounds(TIME), bounds(SEQ)) else {
            return Err(ReadError::Archived { path: self.path.clone(), found: "a row group without bounds".into() });
        };
        Ok(Group {
            place,
            rows: u64::try_from(group.num_rows()).unwrap_or(0),
            bytes: u64::try_from(group.compressed_size()).unwrap_or(0),
            earliest: Timestamp::from_micros(times.0),
            latest: Timestamp::from_micros(times.1),
            first_seq: u64::try_from(seqs.0).unwrap_or(0),
            last_seq: u64::try_from(seqs.1).unwrap_or(0),
        })
    }

    /// Reads one row group.
    ///
    /// # Errors
    /// [`ReadError::Archived`].
    pub fn read(&self, place: usize) -> Result<GroupReader, ReadError> {
        self.read_columns(place, |_| true)
    }

    /// Reads of one row group only what a purge looks at.
    ///
    /// # Errors
    /// [`ReadError::Archived`].
    pub fn read_personal(&self, place: usize) -> Result<GroupReader, ReadError> {
        self.read_columns(place, |column| PERSONAL.contains(&column))
    }

    /// Whether a row group has any address or visitor, as its bounds tell; `true` where they do not.
    pub fn may_be_personal(&self, place: usize) -> bool {
        let group = self.file.metadata().row_group(place);
        let rows = u64::try_from(group.num_rows()).unwrap_or(0);
        let absent = |column: usize| {
            let column = group.columns().get(column).and_then(|column| column.statistics());
            column.and_then(Statistics::null_count_opt) == Some(rows)
        };
        !absent(at!("address")) || !absent(at!("visitor"))
    }

    fn read_columns(&self, place: usize, wanted: impl Fn(usize) -> bool) -> Result<GroupReader, ReadError> {
        let fail = |error: ParquetError| broken(&self.path, &error);
        let group = self.file.get_row_group(place).map_err(fail)?;
        let mut columns = Vec::with_capacity(COLUMNS.len());
        for number in 0..COLUMNS.len() {
            if !wanted(number) {
                columns.push(Column::Skipped);
                continue;
            }
            let column = match group.get_column_reader(number).map_err(fail)? {
                ColumnReader::ByteArrayColumnReader(reader) => Column::Texts(Values::new(reader)),
                ColumnReader::Int32ColumnReader(reader) => Column::Ints(Values::new(reader)),
                ColumnReader::Int64ColumnReader(reader) => Column::Longs(Values::new(reader)),
                _ => return Err(self.wrong(number)),
            };
            columns.push(column);
        }
        let left = u64::try_from(group.metadata().num_rows()).unwrap_or(0);
        Ok(GroupReader { path: self.path.clone(), columns, left, tried: Vec::new() })
    }

    fn wrong(&self, column: usize) -> ReadError {
        let found = format!("its column `{}` has another type", COLUMNS[column].0);
        ReadError::Archived { path: self.path.clone(), found }
    }
}

fn broken(path: &Path, error: &ParquetError) -> ReadError {
    ReadError::Archived { path: path.to_owned(), found: error.to_string() }
}

/// Values of a column that were read ahead, and which is the present row's.
struct Values<T: parquet::data_type::DataType> {
    reader: ColumnReaderImpl<T>,
    values: Vec<T::T>,
    levels: Vec<i16>,
    rows: usize,
    row: usize,
    next: usize,
    current: Option<usize>,
}

impl<T: parquet::data_type::DataType> Values<T> {
    fn new(reader: ColumnReaderImpl<T>) -> Self {
        Values { reader, values: Vec::new(), levels: Vec::new(), rows: 0, row: 0, next: 0, current: None }
    }

    /// Goes to the next row; `false` when there is none.
    fn step(&mut self) -> Result<bool, ParquetError> {
        if self.row == self.rows {
            self.values.clear();
            self.levels.clear();
            (self.row, self.next) = (0, 0);
            let (rows, _, _) = self.reader.read_records(BATCH, Some(&mut self.levels), None, &mut self.values)?;
            self.rows = rows;
            if rows == 0 {
                return Ok(false);
            }
        }
        // A column that is always there has no levels.
        let there = self.levels.get(self.row).is_none_or(|level| *level > 0);
        self.current = there.then_some(self.next);
        self.next += usize::from(there);
        self.row += 1;
        Ok(true)
    }

    fn value(&self) -> Option<&T::T> {
        self.values.get(self.current?)
    }
}

enum Column {
    Skipped,
    Texts(Values<ByteArrayType>),
    Ints(Values<Int32Type>),
    Longs(Values<Int64Type>),
}

/// A row as a purge sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Personal<'a> {
    /// When it was decided.
    pub at: Timestamp,
    /// The link.
    pub code: &'a str,
    /// Its creator.
    pub creator: &'a str,
    /// Whether the visitor's network is there.
    pub address: bool,
    /// Whether the visitor is.
    pub visitor: bool,
}

/// Reads the hops of one row group.
pub struct GroupReader {
    path: PathBuf,
    columns: Vec<Column>,
    left: u64,
    tried: Vec<u8>,
}

impl GroupReader {
    /// Reads no further: how many rows are left out by that, the one that could not be read among them.
    pub fn give_up(&mut self) -> u64 {
        std::mem::take(&mut self.left)
    }

    /// Goes to the next row and says its number, instant and click; `None` at the end. [`GroupReader::hop`] has the rest.
    ///
    /// # Errors
    /// [`ReadError::Archived`].
    pub fn step(&mut self) -> Result<Option<(u64, Timestamp, ClickId)>, ReadError> {
        if !self.advance()? {
            return Ok(None);
        }
        let at = Timestamp::from_micros(self.long(TIME)?);
        let seq = u64::try_from(self.long(SEQ)?).map_err(|_| self.bad("a negative `seq`"))?;
        self.tried.clear();
        let mut tried = std::mem::take(&mut self.tried);
        let read = self.text(at!("tried")).and_then(|text| match text {
            "" => Ok(()),
            text => read_tried(text, &mut tried).map_err(|error| self.bad(&format!("`tried`: {error}"))),
        });
        self.tried = tried;
        read?;
        let id = self.click()?;
        self.left -= 1;
        Ok(Some((seq, at, id)))
    }

    /// Goes to the next row.
    fn advance(&mut self) -> Result<bool, ReadError> {
        if self.left == 0 {
            return Ok(false);
        }
        for column in &mut self.columns {
            let more = match column {
                Column::Skipped => Ok(true),
                Column::Texts(values) => values.step(),
                Column::Ints(values) => values.step(),
                Column::Longs(values) => values.step(),
            };
            if !more.map_err(|error| broken(&self.path, &error))? {
                return Err(self.bad("a column that ends before the others"));
            }
        }
        Ok(true)
    }

    /// The next row as a purge sees it.
    ///
    /// # Errors
    /// [`ReadError::Archived`].
    pub fn next_personal(&mut self) -> Result<Option<Personal<'_>>, ReadError> {
        if !self.advance()? {
            return Ok(None);
        }
        self.left -= 1;
        Ok(Some(Personal {
            at: Timestamp::from_micros(self.long(TIME)?),
            code: self.text(at!("code"))?,
            creator: self.text(at!("creator"))?,
            address: !self.text(at!("address"))?.is_empty(),
            visitor: !self.text(at!("visitor"))?.is_empty(),
        }))
    }

    fn click(&self) -> Result<ClickId, ReadError> {
        let mut raw = [0; 24];
        let text = self.text(at!("click_id"))?;
        match URL_SAFE_NO_PAD.decode_slice(text, &mut raw) {
            Ok(24) => {
                let mut id = [0; 16];
                id.copy_from_slice(&raw[..16]);
                Ok(ClickId(id))
            }
            _ => Err(self.bad("a `click_id` that is none")),
        }
    }

    /// The hop of the row that was stepped to.
    ///
    /// # Errors
    /// [`ReadError::Archived`] when a value makes no sense.
    pub fn hop(&self) -> Result<Hop<'_>, ReadError> {
        let version = self.text(at!("policy_version"))?;
        let visitor = self.text(at!("visitor"))?;
        let flags = u16::try_from(self.int(at!("flag_bits"))?.unwrap_or(0)).map_err(|_| self.bad("`flag_bits`"))?;
        let address = match self.text(at!("address"))? {
            "" => [0; 8],
            text => address::read(text).ok_or_else(|| self.bad("an `address` that is none"))?,
        };
        let bucket = self.int(at!("bucket"))?.map(u16::try_from).transpose().map_err(|_| self.bad("`bucket`"))?;
        Ok(Hop {
            id: self.click()?,
            at: Timestamp::from_micros(self.long(TIME)?),
            code: self.text(at!("code"))?,
            creator: self.text(at!("creator"))?,
            platform: self.text(at!("platform"))?,
            surface: self.named(at!("surface"), Surface::parse)?,
            placement_source: self
                .named(at!("placement_source"), PlacementSource::parse)?
                .unwrap_or(PlacementSource::Unknown),
            marketplace: self.text(at!("marketplace"))?,
            shop_type: self.named(at!("shop_type"), ShopType::parse)?.unwrap_or(ShopType::Unknown),
            link_kind: self.named(at!("link_kind"), LinkKind::parse)?.unwrap_or(LinkKind::Unknown),
            category: self.text(at!("category"))?,
            item: self.text(at!("item"))?,
            shop: self.text(at!("shop"))?,
            facts: self.text(at!("facts"))?,
            outcome: self.named(at!("outcome"), Outcome::parse)?.ok_or_else(|| self.bad("no `outcome`"))?,
            reason: self.named(at!("reason"), Reason::parse)?.ok_or_else(|| self.bad("no `reason`"))?,
            agreement: self.text(at!("agreement"))?,
            policy_version: u64::from_str_radix(version, 16).map_err(|_| self.bad("`policy_version`"))?,
            bucket,
            landing: self.named(at!("landing"), LandingMode::parse)?,
            app: self.named(at!("app"), HostApp::parse)?.unwrap_or(HostApp::Unknown),
            os: self.named(at!("os"), Os::parse)?.unwrap_or(Os::Unknown),
            flags: HopFlags(flags),
            address,
            visitor: match visitor {
                "" => 0,
                text => u128::from_str_radix(text, 16).map_err(|_| self.bad("`visitor`"))?,
            },
            node: self.text(at!("node"))?,
            alternate: self
                .int(at!("alternate"))?
                .and_then(|value| u8::try_from(value).ok())
                .ok_or_else(|| self.bad("`alternate`"))?,
            tried: Tried::read(&self.tried).map_err(|bad| self.bad(&format!("`tried`: {bad:?}")))?,
            way: self.named(at!("way"), Way::parse)?,
            macros: self.text(at!("macros"))?,
        })
    }

    fn named<T>(&self, column: usize, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, ReadError> {
        match self.text(column)? {
            "" => Ok(None),
            text => parse(text)
                .map(Some)
                .ok_or_else(|| self.bad(&format!("`{}` has the unknown value `{text}`", COLUMNS[column].0))),
        }
    }

    /// A text; empty where it is not known.
    fn text(&self, column: usize) -> Result<&str, ReadError> {
        match self.columns.get(column) {
            Some(Column::Texts(values)) => std::str::from_utf8(values.value().map_or(&[], ByteArray::data))
                .map_err(|_| self.bad(&format!("`{}` is not UTF-8", COLUMNS[column].0))),
            _ => Err(self.bad(&format!("`{}` is no text", COLUMNS[column].0))),
        }
    }

    fn int(&self, column: usize) -> Result<Option<i32>, ReadError> {
        match self.columns.get(column) {
            Some(Column::Ints(values)) => Ok(values.value().copied()),
            _ => Err(self.bad(&format!("`{}` is no number", COLUMNS[column].0))),
        }
    }

    fn long(&self, column: usize) -> Result<i64, ReadError> {
        match self.columns.get(column) {
            Some(Column::Longs(values)) => values.value().copied().ok_or_else(|| self.bad("a number that is missing")),
            _ => Err(self.bad("a number that is none")),
        }
    }

    fn bad(&self, found: &str) -> ReadError {
        ReadError::Archived { path: self.path.clone(), found: found.to_owned() }
    }
}

#[derive(Deserialize)]
struct FallenRow<'a> {
    alternate: u8,
    #[serde(borrow)]
    marketplace: Option<Cow<'a, str>>,
    shop_type: Option<Cow<'a, str>>,
    link_kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    category: Option<Cow<'a, str>>,
    #[serde(borrow)]
    item: Option<Cow<'a, str>>,
    #[serde(borrow)]
    shop: Option<Cow<'a, str>>,
    reason: Cow<'a, str>,
    #[serde(borrow)]
    agreement: Option<Cow<'a, str>>,
    bucket: Option<u16>,
}

/// Reads what a row tells of the landings that fell, and puts them into `bytes` as a hop has them.
fn read_tried(text: &str, bytes: &mut Vec<u8>) -> Result<(), String> {
    let rows: Vec<FallenRow<'_>> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    for row in rows {
        let unknown = |text: &str| format!("the unknown value `{text}`");
        let shop_type = match row.shop_type.as_deref() {
            None => ShopType::Unknown,
            Some(text) => ShopType::parse(text).ok_or_else(|| unknown(text))?,
        };
        let link_kind = match row.link_kind.as_deref() {
            None => LinkKind::Unknown,
            Some(text) => LinkKind::parse(text).ok_or_else(|| unknown(text))?,
        };
        Fallen {
            alternate: row.alternate,
            marketplace: row.marketplace.as_deref().unwrap_or_default(),
            shop_type,
            link_kind,
            category: row.category.as_deref().unwrap_or_default(),
            item: row.item.as_deref().unwrap_or_default(),
            shop: row.shop.as_deref().unwrap_or_default(),
            reason: Reason::parse(&row.reason).ok_or_else(|| unknown(&row.reason))?,
            agreement: row.agreement.as_deref().unwrap_or_default(),
            bucket: row.bucket,
        }
        .put(bytes);
    }
    Ok(())
}
