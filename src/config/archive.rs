//! Settings of the archive of hops, and of how long what is personal in them is kept. Reads and checks what is written; never
//! archives or erases anything.

use super::tree::{Field, Table};
use crate::domain::span::Span;

/// What becomes of finished segments of the journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ArchiveSettings {
    /// Whether a gateway that serves archives at all.
    pub enabled: bool,
    /// How long a finished segment stays beside its file.
    pub reserve: Span,
}

impl Default for ArchiveSettings {
    fn default() -> Self {
        ArchiveSettings { enabled: true, reserve: Span::days(3) }
    }
}

/// How long what is personal is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PrivacySettings {
    /// Addresses and visitors of hops; none: forever.
    pub keep_visitors: Option<Span>,
    /// Whether the raw log is written.
    pub raw: bool,
    /// How long it is kept.
    pub keep_raw: Span,
}

impl Default for PrivacySettings {
    fn default() -> Self {
        PrivacySettings { keep_visitors: Some(Span::days(30)), raw: false, keep_raw: Span::days(3) }
    }
}

/// Reads `[archive]`.
pub(super) fn archive(table: &Table<'_>) -> ArchiveSettings {
    let usual = ArchiveSettings::default();
    ArchiveSettings {
        enabled: table.get("enabled").and_then(|field| field.boolean()).unwrap_or(usual.enabled),
        reserve: table.get("reserve").and_then(|field| span(&field)).unwrap_or(usual.reserve),
    }
}

/// Reads `[privacy]`.
pub(super) fn privacy(table: &Table<'_>) -> PrivacySettings {
    let usual = PrivacySettings::default();
    let mut settings = PrivacySettings {
        keep_visitors: match table.get("keep_visitors") {
            None => usual.keep_visitors,
            Some(field) if field.text() == Some("forever") => None,
            Some(field) => span(&field).or(usual.keep_visitors),
        },
        ..usual
    };
    if let Some(raw) = table.get("raw").and_then(|field| field.table()) {
        settings.raw = raw.get("enabled").and_then(|field| field.boolean()).unwrap_or(false);
        if let Some(field) = raw.get("keep")
            && let Some(keep) = span(&field)
        {
            if keep > Span::days(30) {
                field.fault("is over 30d: the raw log holds full addresses and device ids, keep it short");
            }
            settings.keep_raw = keep;
        }
        raw.finish();
    }
    settings
}

fn span(field: &Field<'_>) -> Option<Span> {
    field.parse(|text| text.parse::<Span>())
}
