//! The marketplaces of a process: their tables, and the look-up of a host among their domains. Immutable once built.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::check::{TableFault, check};
use super::table::Marketplace;
use crate::domain::vocabulary::MarketplaceId;

/// Every marketplace whose table is known to this process.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Marketplaces {
    /// By id; `None` for one that is a name alone.
    known: Vec<Option<Marketplace>>,
    /// Whose a domain is. No domain lies below another, so the first that is found is the only one.
    domains: HashMap<Box<str>, MarketplaceId, FixedState>,
    /// The most labels of a domain.
    labels: usize,
}

impl Marketplaces {
    /// Builds the tables' look-up; `id_of` tells the id of a name in the vocabulary.
    pub(in crate::domain) fn compile(
        tables: Vec<Marketplace>,
        id_of: impl Fn(&str) -> Option<MarketplaceId>,
    ) -> Result<Self, Vec<TableFault>> {
        let faults = check(&tables);
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut compiled = Marketplaces::default();
        for table in tables {
            let Some(id) = id_of(&table.id) else { continue };
            for domain in &table.domains {
                compiled.labels = compiled.labels.max(domain.split('.').count());
                compiled.domains.insert(domain.clone(), id);
            }
            let place = usize::from(id.0);
            if compiled.known.len() <= place {
                compiled.known.resize(place + 1, None);
            }
            compiled.known[place] = Some(table);
        }
        Ok(compiled)
    }

    /// A marketplace's table; `None` for one that is a name alone.
    pub fn of(&self, id: MarketplaceId) -> Option<&Marketplace> {
        self.known.get(usize::from(id.0))?.as_ref()
    }

    /// Every table with its id, in id order.
    pub fn all(&self) -> impl Iterator<Item = (MarketplaceId, &Marketplace)> {
        (0..=u8::MAX).map(MarketplaceId).zip(&self.known).filter_map(|(id, table)| Some((id, table.as_ref()?)))
    }

    /// Whose domain a host in its normal form is or lies below, and the labels in front of that domain.
    ///
    /// Labels are taken from the right, two first: one hash of a few bytes for most hosts, however many domains there are.
    pub(super) fn owner<'h>(&self, host: &'h str) -> Option<(MarketplaceId, &'h str)> {
        let (mut end, mut labels) = (host.len(), 0);
        loop {
            let dot = host.as_bytes()[..end].iter().rposition(|byte| *byte == b'.');
            labels += 1;
            if labels > 1
                && let domain = &host[dot.map_or(0, |dot| dot + 1)..]
                && let Some(id) = self.domains.get(domain)
            {
                return Some((*id, &host[..dot.unwrap_or(0)]));
            }
            end = dot.filter(|_| labels < self.labels)?;
        }
    }
}
