//! Clicks counted straight from recorded hops: for a data folder whose figures are not kept up. Knows the flags of a hop and
//! nothing that is noticed later, so that doubles and self-clicks count.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::{ClickCounts, Dim, Filter};
use crate::attribution::StoreError;
use crate::domain::hop::{Hop, HopFlags, Outcome};
use crate::domain::time::Timestamp;
use crate::journal::read::{Entry, Reader};

/// What no person's click has.
const MACHINES: HopFlags =
    HopFlags(HopFlags::HEAD.0 | HopFlags::BOT.0 | HopFlags::PREFETCH.0 | HopFlags::PREVIEW.0 | HopFlags::REHEARSAL.0);

/// The hops of a journal.
#[derive(Clone, Debug)]
pub struct HopClicks(PathBuf);

impl HopClicks {
    /// Those in this folder.
    pub fn new(journal: &Path) -> Self {
        HopClicks(journal.to_path_buf())
    }
}

/// The note a hop came from, out of its parameters.
fn note(hop: &Hop<'_>) -> Box<str> {
    let mut pairs = url::form_urlencoded::parse(hop.macros.as_bytes());
    pairs.find(|(name, _)| name == "note").map(|(_, note)| note.into()).unwrap_or_default()
}

fn passes(filter: &Filter, hop: &Hop<'_>) -> bool {
    let fits = |wanted: &Option<Box<str>>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
    hop.outcome == Outcome::Allow
        && hop.flags.0 & MACHINES.0 == 0
        && fits(&filter.creator, hop.creator)
        && fits(&filter.code, hop.code)
        && fits(&filter.shop, hop.shop)
        && fits(&filter.agreement, hop.agreement)
        && fits(&filter.platform, hop.platform)
        && fits(&filter.marketplace, hop.marketplace)
        && filter.note.as_deref().is_none_or(|wanted| *wanted == *note(hop))
}

fn part(dim: Dim, hop: &Hop<'_>) -> Box<str> {
    match dim {
        Dim::Note => note(hop),
        Dim::Creator => hop.creator.into(),
        Dim::Shop => hop.shop.into(),
        Dim::Agreement => hop.agreement.into(),
        Dim::Platform => hop.platform.into(),
        Dim::Marketplace => hop.marketplace.into(),
        Dim::Day => hop.at.beijing_day().to_string().into(),
    }
}

#[async_trait]
impl ClickCounts for HopClicks {
    async fn clicks(
        &self,
        from: Timestamp,
        to: Timestamp,
        filter: &Filter,
        by: &[Dim],
    ) -> Result<Vec<(Vec<Box<str>>, u64)>, StoreError> {
        let (folder, filter, by) = (self.0.clone(), filter.clone(), by.to_vec());
        let failed = |error: &dyn std::fmt::Display| StoreError::Unavailable(error.to_string());
        let work = move || -> Result<Vec<(Vec<Box<str>>, u64)>, StoreError> {
            // Nothing was ever clicked.
            if !folder.exists() {
                return Ok(Vec::new());
            }
            let mut counts: HashMap<Vec<Box<str>>, u64> = HashMap::new();
            let mut reader = Reader::between(&folder, from, to).map_err(|error| failed(&error))?;
            while let Some(entry) = reader.next().map_err(|error| failed(&error))? {
                let Entry::Hop(_, hop) = entry else { continue };
                if passes(&filter, &hop) {
                    *counts.entry(by.iter().map(|dim| part(*dim, &hop)).collect()).or_default() += 1;
                }
            }
            Ok(counts.into_iter().collect())
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| failed(&error))?
    }
}
