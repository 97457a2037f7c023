//! The marketplaces of a process: their tables, and the look-up of a host among their domains. Immutable once built; never
//! says whether a host is trusted, which needs a look at its labels too.

use super::check::{TableFault, check};
use super::table::Marketplace;
use crate::domain::vocabulary::MarketplaceId;

/// Every marketplace whose table is known to this process.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Marketplaces {
    /// By id; `None` for one that is a name alone.
    known: Vec<Option<Marketplace>>,
    /// Their domains, in id order. None lies below another, so the first that fits is the only one.
    domains: Vec<Domain>,
}

/// A domain, and its end as a number to look for it by.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Domain {
    /// Its last eight bytes.
    end: u64,
    /// Which of eight bytes it has.
    mask: u64,
    text: Box<str>,
    id: MarketplaceId,
}

impl Domain {
    fn new(text: &str, id: MarketplaceId) -> Self {
        let mask = if text.len() < 8 { (1 << (8 * text.len())) - 1 } else { u64::MAX };
        Domain { end: end_of(text), mask, text: text.into(), id }
    }
}

/// The last eight bytes of a text as a number; nought stands for those it does not have.
fn end_of(text: &str) -> u64 {
    match text.as_bytes().last_chunk() {
        Some(last) => u64::from_be_bytes(*last),
        None => text.bytes().fold(0, |end, byte| end << 8 | u64::from(byte)),
    }
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
            compiled.domains.extend(table.domains.iter().map(|domain| Domain::new(domain, id)));
            let place = usize::from(id.0);
            if compiled.known.len() <= place {
                compiled.known.resize(place + 1, None);
            }
            compiled.known[place] = Some(table);
        }
        compiled.domains.sort_by_key(|domain| domain.id);
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

    /// Whose domain a host in its normal form is or lies below, and what stands in front of that domain.
    ///
    /// Asked for every link that is loaded, by the million: one comparison of two numbers for each domain, and of texts
    /// for the right one only. A hash of the host's last labels took three times as long with 25 domains.
    pub(super) fn owner<'h>(&self, host: &'h str) -> Option<(MarketplaceId, &'h str)> {
        let end = end_of(host);
        self.domains.iter().filter(|domain| end & domain.mask == domain.end).find_map(|domain| {
            let front = host.strip_suffix(&*domain.text)?;
            Some((domain.id, if front.is_empty() { front } else { front.strip_suffix('.')? }))
        })
    }
}
