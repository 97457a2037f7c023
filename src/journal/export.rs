//! Exports hops as NDJSON or CSV with stable field names; what is not known is `null`, or an empty field. Parquet, with the
//! same fields, is the archive's.
//!
//! Never writes a full address (the log holds none). A CSV field that a spreadsheet would take for a formula is
//! prefixed with an apostrophe.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::Serialize;

use super::address;
use super::read::{Entry, ReadError, Reader};
use crate::domain::click_id::ClickKey;
use crate::domain::device::{HostApp, Os};
use crate::domain::hop::{Hop, HopFlags, Outcome, PlacementSource};
use crate::domain::landing::Way;
use crate::domain::policy::Reason;
use crate::domain::time::Timestamp;
use crate::domain::tried::Fallen;
use crate::domain::vocabulary::{LandingMode, LinkKind, ShopType, Surface, closed_list};

closed_list! {
    /// The form of an export.
    Format {
        /// One JSON object a line.
        Ndjson = "ndjson",
        /// RFC 4180 with a header line.
        Csv = "csv",
    }
}

/// The fields, in order.
pub const FIELDS: [&str; 31] = [
    "click_id",
    "time",
    "code",
    "creator",
    "platform",
    "surface",
    "placement_source",
    "marketplace",
    "shop_type",
    "link_kind",
    "category",
    "item",
    "shop",
    "facts",
    "outcome",
    "reason",
    "agreement",
    "policy_version",
    "bucket",
    "landing",
    "app",
    "os",
    "flags",
    "address",
    "visitor",
    "node",
    "seq",
    "alternate",
    "tried",
    "way",
    "macros",
];

/// What was exported.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ExportSummary {
    /// Hops written out.
    pub hops: u64,
    /// Sequence number of the first; 0 when there is none.
    pub first_seq: u64,
    /// Sequence number of the last; 0 when there is none.
    pub last_seq: u64,
}

impl ExportSummary {
    /// Counts one.
    pub fn add(&mut self, seq: u64) {
        self.hops += 1;
        if self.first_seq == 0 {
            self.first_seq = seq;
        }
        self.last_seq = seq;
    }
}

#[derive(Serialize)]
struct Row<'a> {
    click_id: &'a str,
    time: Timestamp,
    code: Option<&'a str>,
    creator: Option<&'a str>,
    platform: Option<&'a str>,
    surface: Option<Surface>,
    placement_source: Option<PlacementSource>,
    marketplace: Option<&'a str>,
    shop_type: Option<ShopType>,
    link_kind: Option<LinkKind>,
    category: Option<&'a str>,
    item: Option<&'a str>,
    shop: Option<&'a str>,
    facts: Option<&'a str>,
    outcome: Outcome,
    reason: Reason,
    agreement: Option<&'a str>,
    policy_version: String,
    bucket: Option<u16>,
    landing: Option<LandingMode>,
    app: Option<HostApp>,
    os: Option<Os>,
    flags: Vec<&'static str>,
    address: Option<String>,
    visitor: Option<String>,
    node: Option<&'a str>,
    seq: u64,
    alternate: u8,
    tried: Vec<FallenRow<'a>>,
    way: Option<Way>,
    macros: Option<&'a str>,
}

/// A landing that fell; in CSV and Parquet the whole list is one field of JSON.
#[derive(Serialize)]
struct FallenRow<'a> {
    alternate: u8,
    marketplace: Option<&'a str>,
    shop_type: Option<ShopType>,
    link_kind: Option<LinkKind>,
    category: Option<&'a str>,
    item: Option<&'a str>,
    shop: Option<&'a str>,
    reason: Reason,
    agreement: Option<&'a str>,
    bucket: Option<u16>,
}

fn known(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

impl<'a> FallenRow<'a> {
    fn new(fallen: Fallen<'a>) -> Self {
        FallenRow {
            alternate: fallen.alternate,
            marketplace: known(fallen.marketplace),
            shop_type: Some(fallen.shop_type).filter(|shop_type| *shop_type != ShopType::Unknown),
            link_kind: Some(fallen.link_kind).filter(|kind| *kind != LinkKind::Unknown),
            category: known(fallen.category),
            item: known(fallen.item),
            shop: known(fallen.shop),
            reason: fallen.reason,
            agreement: known(fallen.agreement),
            bucket: fallen.bucket,
        }
    }
}

impl<'a> Row<'a> {
    fn new(seq: u64, hop: &Hop<'a>, click_id: &'a str) -> Row<'a> {
        Row {
            click_id,
            time: hop.at,
            code: known(hop.code),
            creator: known(hop.creator),
            platform: known(hop.platform),
            surface: hop.surface,
            placement_source: Some(hop.placement_source).filter(|source| *source != PlacementSource::Unknown),
            marketplace: known(hop.marketplace),
            shop_type: Some(hop.shop_type).filter(|shop_type| *shop_type != ShopType::Unknown),
            link_kind: Some(hop.link_kind).filter(|kind| *kind != LinkKind::Unknown),
            category: known(hop.category),
            item: known(hop.item),
            shop: known(hop.shop),
            facts: known(hop.facts),
            outcome: hop.outcome,
            reason: hop.reason,
            agreement: known(hop.agreement),
            policy_version: format!("{:016x}", hop.policy_version),
            bucket: hop.bucket,
            landing: hop.landing,
            app: Some(hop.app).filter(|app| *app != HostApp::Unknown),
            os: Some(hop.os).filter(|os| *os != Os::Unknown),
            flags: HopFlags::names(hop.flags).collect(),
            address: address::text(hop.address),
            visitor: (hop.visitor != 0).then(|| format!("{:032x}", hop.visitor)),
            node: known(hop.node),
            seq,
            alternate: hop.alternate,
            tried: hop.tried.iter().map(FallenRow::new).collect(),
            way: hop.way,
            macros: known(hop.macros),
        }
    }

    /// The landings that fell, as JSON; `None` for none.
    fn tried(&self) -> Option<String> {
        // Texts and numbers only: told in JSON without fail.
        (!self.tried.is_empty()).then(|| serde_json::to_string(&self.tried).unwrap_or_default())
    }

    /// The fields as CSV texts, in the order of [`FIELDS`].
    fn texts(&self) -> [String; FIELDS.len()] {
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        [
            self.click_id.to_owned(),
            self.time.to_string(),
            text(self.code),
            text(self.creator),
            text(self.platform),
            text(self.surface.map(Surface::as_str)),
            text(self.placement_source.map(PlacementSource::as_str)),
            text(self.marketplace),
            text(self.shop_type.map(ShopType::as_str)),
            text(self.link_kind.map(LinkKind::as_str)),
            text(self.category),
            text(self.item),
            text(self.shop),
            text(self.facts),
            self.outcome.to_string(),
            self.reason.to_string(),
            text(self.agreement),
            self.policy_version.clone(),
            self.bucket.map(|bucket| bucket.to_string()).unwrap_or_default(),
            text(self.landing.map(LandingMode::as_str)),
            text(self.app.map(HostApp::as_str)),
            text(self.os.map(Os::as_str)),
            self.flags.join("|"),
            text(self.address.as_deref()),
            text(self.visitor.as_deref()),
            text(self.node),
            self.seq.to_string(),
            self.alternate.to_string(),
            self.tried().unwrap_or_default(),
            text(self.way.map(Way::as_str)),
            text(self.macros),
        ]
    }
}

/// Puts an apostrophe before what a spreadsheet would run as a formula.
pub fn harmless(mut field: String) -> String {
    if field.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        field.insert(0, '\'');
    }
    field
}

/// One field of a hop, for a form with types.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value<'a> {
    /// A text; `None` where it is not known.
    Text(Option<&'a str>),
    /// A number.
    Int(Option<i32>),
    /// A long number, or an instant in microseconds.
    Long(i64),
}

/// Gives every field of a hop with its place in [`FIELDS`], as an export writes it. Flags are joined by `|`, what fell is
/// JSON.
pub fn row_values(seq: u64, hop: &Hop<'_>, click_id: &str, mut give: impl FnMut(usize, Value<'_>)) {
    let row = Row::new(seq, hop, click_id);
    let tried = row.tried();
    let flags = row.flags.join("|");
    let values = [
        Value::Text(Some(click_id)),
        Value::Long(hop.at.micros()),
        Value::Text(row.code),
        Value::Text(row.creator),
        Value::Text(row.platform),
        Value::Text(row.surface.map(Surface::as_str)),
        Value::Text(row.placement_source.map(PlacementSource::as_str)),
        Value::Text(row.marketplace),
        Value::Text(row.shop_type.map(ShopType::as_str)),
        Value::Text(row.link_kind.map(LinkKind::as_str)),
        Value::Text(row.category),
        Value::Text(row.item),
        Value::Text(row.shop),
        Value::Text(row.facts),
        Value::Text(Some(row.outcome.as_str())),
        Value::Text(Some(row.reason.as_str())),
        Value::Text(row.agreement),
        Value::Text(Some(&row.policy_version)),
        Value::Int(row.bucket.map(i32::from)),
        Value::Text(row.landing.map(LandingMode::as_str)),
        Value::Text(row.app.map(HostApp::as_str)),
        Value::Text(row.os.map(Os::as_str)),
        Value::Text(Some(&flags)),
        Value::Text(row.address.as_deref()),
        Value::Text(row.visitor.as_deref()),
        Value::Text(row.node),
        Value::Long(i64::try_from(seq).unwrap_or(i64::MAX)),
        Value::Int(Some(i32::from(row.alternate))),
        Value::Text(tried.as_deref()),
        Value::Text(row.way.map(Way::as_str)),
        Value::Text(row.macros),
    ];
    debug_assert_eq!(values.len(), FIELDS.len());
    for (place, value) in values.into_iter().enumerate() {
        give(place, value);
    }
}

/// One hop as an export writes it, under its external click id.
///
/// # Errors
/// Only if a field could not be told in JSON, which none is.
pub fn row_json(seq: u64, hop: &Hop<'_>, click_id: &str) -> serde_json::Result<serde_json::Value> {
    serde_json::to_value(Row::new(seq, hop, click_id))
}

/// Writes the hops decided at or after `from` and before `to` (`None`: without a bound) to `out`, in log order.
///
/// # Errors
/// [`ReadError`]; what was read before the damage has been written out then.
pub fn export(
    dir: &Path,
    format: Format,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    key: &ClickKey,
    out: &mut dyn Write,
) -> Result<ExportSummary, ReadError> {
    let mut reader = Reader::between(dir, from.unwrap_or(Timestamp::MIN), to.unwrap_or(Timestamp::MAX))?;
    let mut sink = Sink::new(format, out).map_err(ReadError::Output)?;
    let mut summary = ExportSummary::default();
    let mut write = || {
        while let Some(entry) = reader.next()? {
            let Entry::Hop(seq, hop) = entry else { continue };
            let click_id = key.text(hop.id);
            // The external form is ASCII; a lossy reading of it cannot lose anything.
            sink.put(seq, &hop, &String::from_utf8_lossy(&click_id)).map_err(ReadError::Output)?;
            summary.add(seq);
        }
        Ok(())
    };
    let written = write();
    // Flushed in any case: what was read before damage belongs to whoever asked.
    let flushed = sink.end().map_err(ReadError::Output);
    written.and(flushed).map(|()| summary)
}

/// Writes rows in one of the forms.
pub struct Sink<'a>(Form<'a>);

enum Form<'a> {
    Ndjson(BufWriter<&'a mut dyn Write>),
    Csv(Box<csv::Writer<&'a mut dyn Write>>),
}

impl<'a> Sink<'a> {
    /// Begins to write to `out`.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn new(format: Format, out: &'a mut dyn Write) -> io::Result<Self> {
        let mut form = match format {
            Format::Ndjson => Form::Ndjson(BufWriter::new(out)),
            Format::Csv => {
                Form::Csv(Box::new(csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(out)))
            }
        };
        form.begin()?;
        Ok(Sink(form))
    }

    /// Writes one hop.
    ///
    /// # Errors
    /// When the output fails.
    pub fn put(&mut self, seq: u64, hop: &Hop<'_>, click_id: &str) -> io::Result<()> {
        self.0.row(&Row::new(seq, hop, click_id))
    }

    /// Ends: everything is handed over.
    ///
    /// # Errors
    /// When the output fails.
    pub fn end(mut self) -> io::Result<()> {
        self.0.end()
    }
}

impl Form<'_> {
    fn begin(&mut self) -> io::Result<()> {
        match self {
            Form::Ndjson(_) => Ok(()),
            Form::Csv(csv) => csv.write_record(FIELDS).map_err(io::Error::other),
        }
    }

    fn row(&mut self, row: &Row<'_>) -> io::Result<()> {
        match self {
            Form::Ndjson(out) => {
                serde_json::to_writer(&mut *out, row)?;
                out.write_all(b"\n")
            }
            Form::Csv(csv) => csv.write_record(row.texts().map(harmless)).map_err(io::Error::other),
        }
    }

    fn end(&mut self) -> io::Result<()> {
        match self {
            Form::Ndjson(out) => out.flush(),
            Form::Csv(csv) => csv.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::faults::fill;
    use super::super::read::find;
    use super::super::wire::tests::sample;
    use super::super::{ChunkLimits, Journal, JournalConfig};
    use super::*;
    use crate::domain::tried::Tried;

    fn exported(dir: &Path, format: Format, from: Option<Timestamp>, to: Option<Timestamp>) -> (String, ExportSummary) {
        let mut out = Vec::new();
        let summary = export(dir, format, from, to, &ClickKey::new(&[7; 16]), &mut out).unwrap();
        (String::from_utf8(out).unwrap(), summary)
    }

    #[test]
    fn rows_have_stable_names_and_nothing_runs_in_a_spreadsheet() {
        let hop = Hop {
            creator: "=1+1",
            facts: "a,\"b\"",
            category: "",
            os: Os::Unknown,
            visitor: 0,
            address: [0; 8],
            bucket: None,
            ..sample(0)
        };
        let row = Row::new(9, &hop, "AAAA");
        let json = serde_json::to_string(&row).unwrap();
        let names: Vec<_> = FIELDS.iter().map(|name| json.find(&format!("\"{name}\":")).unwrap()).collect();
        assert!(names.is_sorted());
        assert_eq!(serde_json::to_value(&row).unwrap().as_object().unwrap().len(), FIELDS.len());
        assert_eq!(
            json,
            concat!(
                r#"{"click_id":"AAAA","time":"2022-11-30T23:59:59+08:00","code":"k3Xw9Qa","creator":"=1+1","#,
                r#""platform":"kuaishou","surface":"live_cart","placement_source":"token","marketplace":"taobao","#,
                r#""shop_type":"c_store","link_kind":"alliance","category":null,"item":"681234567890","shop":null,"#,
                r#""facts":"a,\"b\"","outcome":"allow","reason":"allowed","agreement":"ks-tb-2022","#,
                r#""policy_version":"0123456789abcdef","bucket":null,"landing":"app","app":"kuaishou","os":null,"#,
                r#""flags":["head","bot"],"address":null,"visitor":null,"node":"gw-1","seq":9,"#,
                r#""alternate":0,"tried":[],"way":"redirect","macros":null}"#
            )
        );
        let mut out: Vec<u8> = Vec::new();
        let mut writer = csv::WriterBuilder::new().from_writer(&mut out);
        writer.write_record(row.texts().map(harmless)).unwrap();
        drop(writer);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "AAAA,2022-11-30T23:59:59+08:00,k3Xw9Qa,'=1+1,kuaishou,live_cart,token,taobao,c_store,alliance,,681234567890,,\
             \"a,\"\"b\"\"\",allow,allowed,ks-tb-2022,0123456789abcdef,,app,kuaishou,,head|bot,,,gw-1,9,0,,redirect,\n"
        );
    }

    #[test]
    fn what_fell_before_is_told_in_both_forms() {
        let fallen = Fallen {
            alternate: 0,
            marketplace: "taobao",
            shop_type: ShopType::Unknown,
            link_kind: LinkKind::Item,
            category: "",
            item: "41879347901",
            shop: "",
            reason: Reason::WindowEnded,
            agreement: "ks-tb",
            bucket: None,
        };
        let mut bytes = Vec::new();
        fallen.put(&mut bytes);
        let hop = Hop { alternate: 1, tried: Tried::read(&bytes).unwrap(), ..sample(0) };
        let row = Row::new(9, &hop, "AAAA");
        let told = concat!(
            r#"[{"alternate":0,"marketplace":"taobao","shop_type":null,"link_kind":"item","category":null,"#,
            r#""item":"41879347901","shop":null,"reason":"window_ended","agreement":"ks-tb","bucket":null}]"#
        );
        let json = serde_json::to_string(&row).unwrap();
        assert!(json.contains(&format!(r#""alternate":1,"tried":{told},"#)), "{json}");
        assert_eq!(row.texts()[FIELDS.len() - 4..FIELDS.len() - 2], ["1".to_owned(), told.to_owned()]);
    }

    #[test]
    fn a_time_filter_gives_exactly_the_hops_of_its_span_and_find_finds_each() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = JournalConfig::new(dir.path(), "gw-1");
        config.segment_bytes = 6_000;
        config.chunk = ChunkLimits { hops: 7, ..ChunkLimits::default() };
        config.deadline = Duration::from_secs(20);
        let journal = Journal::open(config).unwrap();
        for start in (0..300).step_by(10) {
            fill(&journal, start..start + 10);
        }
        assert!(journal.stats().segment() > 100);
        let base = sample(0).at;
        for (from, to) in [(0, 300), (0, 1), (17, 18), (100, 250), (299, 400), (400, 500)] {
            // While the journal is open: its last chunk is not cut yet.
            let (text, summary) =
                exported(dir.path(), Format::Ndjson, Some(base.plus_micros(from)), Some(base.plus_micros(to)));
            let expected = (to.min(300) - from).max(0) as u64;
            assert_eq!((text.lines().count() as u64, summary.hops), (expected, expected), "{from}..{to}");
        }
        let (csv, summary) = exported(dir.path(), Format::Csv, None, None);
        assert_eq!((csv.lines().count(), summary.hops, summary.first_seq), (301, 300, 1));
        assert_eq!(csv.lines().next().unwrap(), FIELDS.join(","));
        for n in [0, 5, 150, 299] {
            let hop = sample(n);
            let record = find(dir.path(), hop.id, hop.at).unwrap().unwrap();
            assert_eq!(record.hop(), Ok(hop));
            assert_eq!(find(dir.path(), hop.id, hop.at.plus_micros(60_000_000)).unwrap(), None);
        }
        assert_eq!(find(dir.path(), sample(300).id, sample(300).at).unwrap(), None);
    }
}
