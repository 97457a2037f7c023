//! Issuing links: a code for each, the store first, memory before the caller is answered. Draws no randomness itself.

use super::Catalog;
use super::store::{InsertOutcome, LinkStore, StoreError, tidy_facts};
use crate::domain::alternates::Alternate;
use crate::domain::code::Code;
use crate::domain::link::{Fact, Link, LinkState, Placement};
use crate::domain::marketplace::Landing;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::ShopType;

/// Codes drawn for a link before giving up. With 10⁹ links even one collision is rarer than 1 in 200,000.
const DRAWS: usize = 8;

/// A link to be issued: a [`Link`] without revision, and without a code unless somebody chose one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewLink {
    /// The code somebody chose; `None` to have one drawn.
    pub slug: Option<Code>,
    /// Where it leads.
    pub landing: Landing,
    /// Where a click goes when the policy refuses that, in the order of trying.
    pub alternates: Vec<Alternate>,
    /// Who runs the shop.
    pub shop_type: ShopType,
    /// The goods' category, if known.
    pub category: Option<Box<str>>,
    /// The creator who issues it.
    pub creator: Option<Box<str>>,
    /// The placement it is bound to.
    pub placement: Placement,
    /// Facts it carries, in any order.
    pub facts: Vec<Fact>,
    /// Free labels.
    pub tags: Vec<String>,
    /// From this instant on it answers 410.
    pub expires_at: Option<Timestamp>,
    /// The text a visitor copies, for a share code alone.
    pub share_code: Option<Box<str>>,
    /// Now.
    pub created_at: Timestamp,
}

/// What became of a link to be issued.
#[derive(Debug, Clone)]
pub enum Created {
    /// Stored, durably, and clickable.
    Stored(Box<Link>),
    /// The chosen code belongs to another link.
    CodeTaken(Code),
    /// Eight drawn codes were all taken: the random source is broken.
    NoFreeCode,
    /// The store failed after others of the same call had been stored.
    Failed(StoreError),
}

impl NewLink {
    fn with_code(self, code: Code) -> Link {
        let mut facts = self.facts;
        tidy_facts(&mut facts);
        Link {
            code,
            landing: self.landing,
            alternates: self.alternates,
            shop_type: self.shop_type,
            category: self.category,
            creator: self.creator,
            placement: self.placement,
            facts,
            tags: self.tags,
            expires_at: self.expires_at,
            share_code: self.share_code,
            state: LinkState::Active,
            created_at: self.created_at,
            revision: 0,
        }
    }
}

/// Issues links in a store; one answer per link, in order. `draw` gives codes from a CSPRNG. For a store without a
/// catalog before it (the command line); a catalog's own [`Catalog::create`] keeps memory in step.
///
/// # Errors
/// [`StoreError`] when the store failed before any link was stored.
pub async fn issue(
    store: &dyn LinkStore,
    links: Vec<NewLink>,
    mut draw: impl FnMut() -> Code + Send,
) -> Result<Vec<Created>, StoreError> {
    let mut answers = vec![Created::NoFreeCode; links.len()];
    let mut chosen = Vec::with_capacity(links.len());
    let mut waiting = Vec::with_capacity(links.len());
    for (place, mut new) in links.into_iter().enumerate() {
        let slug = new.slug.take();
        chosen.push(slug.is_some());
        let code = slug.unwrap_or_else(&mut draw);
        waiting.push((place, new.with_code(code)));
    }
    for round in 0..DRAWS {
        if waiting.is_empty() {
            break;
        }
        let outcomes = match store.insert(waiting.iter().map(|(_, link)| link.clone()).collect()).await {
            Ok(outcomes) => outcomes,
            Err(error) if round == 0 => return Err(error),
            Err(error) => {
                waiting.iter().for_each(|(place, _)| answers[*place] = Created::Failed(error.clone()));
                break;
            }
        };
        let mut again = Vec::new();
        for ((place, mut link), outcome) in waiting.into_iter().zip(outcomes) {
            match outcome {
                InsertOutcome::Stored { revision } => {
                    link.revision = revision;
                    answers[place] = Created::Stored(Box::new(link));
                }
                InsertOutcome::CodeTaken if chosen[place] => answers[place] = Created::CodeTaken(link.code),
                InsertOutcome::CodeTaken => {
                    link.code = draw();
                    again.push((place, link));
                }
            }
        }
        waiting = again;
    }
    Ok(answers)
}

impl Catalog {
    /// Issues links; one answer per link, in order. `draw` gives codes from a CSPRNG.
    ///
    /// # Errors
    /// [`StoreError`] when the store failed before any link was stored.
    pub async fn create(
        &self,
        links: Vec<NewLink>,
        draw: impl FnMut() -> Code + Send,
    ) -> Result<Vec<Created>, StoreError> {
        let answers = issue(&*self.0.store, links, draw).await?;
        let mut scratch = Vec::with_capacity(256);
        // One insert is one transaction without a gap in its revisions: a run of them is one stretch.
        let mut run: Option<(i64, i64)> = None;
        for answer in &answers {
            let Created::Stored(link) = answer else { continue };
            self.0.map.put(link, &mut scratch);
            run = match run {
                Some((first, last)) if last + 1 == link.revision => Some((first, link.revision)),
                ended => {
                    ended.into_iter().for_each(|(first, last)| self.seen().note(first, last));
                    Some((link.revision, link.revision))
                }
            };
        }
        run.into_iter().for_each(|(first, last)| self.seen().note(first, last));
        Ok(answers)
    }
}
