//! The columns of an archived hop. This is what other programs read: names and types change only with [`VERSION`].
//!
//! One row is one hop. The names are those of `hops export`; what is not known is null. Texts are UTF-8.
//!
//! | column | type | |
//! |---|---|---|
//! | `click_id` | text | the click, as visitors and order reports have it, 32 characters |
//! | `time` | timestamp, µs, UTC | when it was decided |
//! | `code`, `creator` | text | the link |
//! | `platform`, `surface`, `placement_source` | text | where it was tapped, and how that was known |
//! | `marketplace`, `shop_type`, `link_kind`, `category`, `item`, `shop`, `facts` | text | where it leads |
//! | `outcome`, `reason`, `agreement`, `policy_version` | text | what was decided, and by what |
//! | `bucket` | int32 | the rollout bucket, 0 to 9,999 |
//! | `landing`, `way` | text | how it was to land, and how it did |
//! | `app`, `os` | text | the visitor's app and system |
//! | `flags` | text | names joined by `\|`; empty for none |
//! | `address` | text | the visitor's network, /24 or /48; null once it was purged |
//! | `visitor` | text | the visitor for one day, 32 hex digits; null once it was purged |
//! | `node`, `seq` | text, int64 | the gateway and the hop's number there: rising, with gaps where chunks end |
//! | `alternate` | int32 | which landing was taken: 0 the link's own |
//! | `tried` | text | the landings that fell before it, a JSON list; null for none |
//! | `macros` | text | what the click's own parameters said |
//! | `flag_bits` | int32 | `flags` as bits |
//!
//! A file is named `hops-{node}-{first_seq}-{last_seq}-v{VERSION}.parquet`, numbers in 20 digits: the records of one segment of
//! the journal, from its first to its last. The end of a chunk has a number too, so a file has fewer rows than numbers. The
//! same segment always gives the same bytes. Rows stand in groups of at most [`GROUP_ROWS`], zstd, with the earliest and
//! latest `time` and `seq` of each group.

use std::sync::{Arc, LazyLock};

use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, TypePtr};

/// The version of the columns, in every file's name.
pub const VERSION: u32 = 1;
/// Most rows of a row group.
pub const GROUP_ROWS: usize = 100_000;

/// What a column holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A text that is always there.
    Text,
    /// A text that may be unknown.
    MaybeText,
    /// A number that is always there.
    Int,
    /// A number that may be unknown.
    MaybeInt,
    /// A long number that is always there.
    Long,
    /// An instant.
    Time,
}

/// The columns in order, `FIELDS` of an export first.
pub(super) const COLUMNS: [(&str, Kind); 32] = [
    ("click_id", Kind::Text),
    ("time", Kind::Time),
    ("code", Kind::MaybeText),
    ("creator", Kind::MaybeText),
    ("platform", Kind::MaybeText),
    ("surface", Kind::MaybeText),
    ("placement_source", Kind::MaybeText),
    ("marketplace", Kind::MaybeText),
    ("shop_type", Kind::MaybeText),
    ("link_kind", Kind::MaybeText),
    ("category", Kind::MaybeText),
    ("item", Kind::MaybeText),
    ("shop", Kind::MaybeText),
    ("facts", Kind::MaybeText),
    ("outcome", Kind::Text),
    ("reason", Kind::Text),
    ("agreement", Kind::MaybeText),
    ("policy_version", Kind::Text),
    ("bucket", Kind::MaybeInt),
    ("landing", Kind::MaybeText),
    ("app", Kind::MaybeText),
    ("os", Kind::MaybeText),
    ("flags", Kind::Text),
    ("address", Kind::MaybeText),
    ("visitor", Kind::MaybeText),
    ("node", Kind::MaybeText),
    ("seq", Kind::Long),
    ("alternate", Kind::Int),
    ("tried", Kind::MaybeText),
    ("way", Kind::MaybeText),
    ("macros", Kind::MaybeText),
    ("flag_bits", Kind::Int),
];

/// The places of the columns that are looked at by themselves.
pub(super) const TIME: usize = 1;
pub(super) const SEQ: usize = 26;

/// The schema as Parquet has it.
pub(super) fn parquet() -> Result<TypePtr, parquet::errors::ParquetError> {
    let columns: String = COLUMNS
        .iter()
        .map(|(name, kind)| {
            let form = match kind {
                Kind::Text => format!("REQUIRED BYTE_ARRAY {name} (UTF8)"),
                Kind::MaybeText => format!("OPTIONAL BYTE_ARRAY {name} (UTF8)"),
                Kind::Int => format!("REQUIRED INT32 {name}"),
                Kind::MaybeInt => format!("OPTIONAL INT32 {name}"),
                Kind::Long => format!("REQUIRED INT64 {name}"),
                Kind::Time => format!("REQUIRED INT64 {name} (TIMESTAMP(MICROS,true))"),
            };
            form + ";\n"
        })
        .collect();
    parse_message_type(&format!("message hop {{\n{columns}}}")).map(Arc::new)
}

/// How files are written. Nothing in here depends on the time, the machine or the build, so that the same rows give the same
/// bytes.
pub(super) fn properties(told: Vec<(&str, String)>) -> WriterProperties {
    static LEVEL: LazyLock<ZstdLevel> = LazyLock::new(|| ZstdLevel::try_new(3).unwrap_or_default());
    let path = |name: &str| ColumnPath::from(name);
    let told = told.into_iter().map(|(key, value)| KeyValue::new(format!("hopgate.{key}"), value)).collect();
    let mut properties = WriterProperties::builder()
        .set_created_by("hopgate".to_owned())
        .set_compression(Compression::ZSTD(*LEVEL))
        .set_key_value_metadata(Some(told))
        .set_sorting_columns(Some(vec![SortingColumn {
            column_idx: SEQ as i32,
            descending: false,
            nulls_first: false,
        }]))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::None);
    for name in ["time", "seq"] {
        properties = properties
            .set_column_statistics_enabled(path(name), EnabledStatistics::Chunk)
            .set_column_dictionary_enabled(path(name), false)
            .set_column_encoding(path(name), Encoding::DELTA_BINARY_PACKED);
    }
    // How many are absent: so a purge sees what there is left to do without reading.
    for name in ["address", "visitor"] {
        properties = properties.set_column_statistics_enabled(path(name), EnabledStatistics::Chunk);
    }
    // No two are alike: a dictionary would only be in the way.
    properties.set_column_dictionary_enabled(path("click_id"), false).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_are_those_of_an_export() {
        let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
        assert_eq!(names[..31], crate::journal::export::FIELDS);
        assert_eq!((COLUMNS[TIME].0, COLUMNS[SEQ].0), ("time", "seq"));
        assert_eq!(parquet().unwrap().get_fields().len(), COLUMNS.len());
    }
}
