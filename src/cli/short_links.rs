//! Short links of a file of links, asked what they lead to before anything is stored.

use std::collections::HashMap;

use tokio::task::JoinSet;

use super::CliError;
use crate::catalog::NewLink;
use crate::domain::marketplace::Landing;
use crate::resolve::Resolver;

/// Asked at the same time.
const AT_ONCE: usize = 8;

/// The short links of a file, each with the line it stands on first, and what they were found to be.
pub struct ShortLinks {
    resolver: Resolver,
    waiting: HashMap<String, (usize, Landing)>,
    found: HashMap<String, Landing>,
}

/// What asking them brought up.
#[derive(Default)]
pub struct Told {
    /// Those that lead off the list of marketplaces.
    pub faults: Vec<String>,
    /// Those that did not answer.
    pub warnings: Vec<String>,
}

impl ShortLinks {
    /// None yet.
    pub fn new(resolver: Resolver) -> Self {
        ShortLinks { resolver, waiting: HashMap::new(), found: HashMap::new() }
    }

    /// Notes the short links of a line.
    pub fn note(&mut self, line: usize, new: &NewLink) {
        let landings = std::iter::once(&new.landing).chain(new.alternates.iter().map(|alternate| &alternate.landing));
        for landing in landings.filter(|landing| self.resolver.asks(landing)) {
            let known = self.waiting.entry(landing.destination.as_str().to_owned());
            known.or_insert_with(|| (line, landing.clone()));
        }
    }

    /// Asks all that were noted.
    ///
    /// # Errors
    /// When a task of this process failed.
    pub async fn ask(&mut self, progress: impl Fn(usize)) -> Result<Told, CliError> {
        let mut waiting: Vec<(usize, Landing)> = self.waiting.drain().map(|(_, noted)| noted).collect();
        // From the first line on.
        waiting.sort_by_key(|(line, _)| std::cmp::Reverse(*line));
        let (mut asked, mut told) = (JoinSet::new(), Told::default());
        loop {
            while asked.len() < AT_ONCE
                && let Some((line, landing)) = waiting.pop()
            {
                let resolver = self.resolver.clone();
                asked.spawn(async move {
                    let found = resolver.resolve(&landing).await;
                    (line, landing, found)
                });
            }
            let Some(answer) = asked.join_next().await else { return Ok(told) };
            let (line, landing, found) = answer.map_err(CliError::failed)?;
            let url = landing.destination.as_str();
            match found {
                Ok(target) => drop(self.found.insert(url.to_owned(), target)),
                Err(trouble) if trouble.refusal().is_some() => {
                    told.faults.push(format!("line {line}: {url}: {trouble}"));
                }
                Err(trouble) => told.warnings.push(format!("line {line}: {url}: not resolved: {trouble}")),
            }
            progress(self.found.len());
        }
    }

    /// Gives the short links of a line what they were found to be.
    pub fn identify(&self, new: &mut NewLink) {
        let others = new.alternates.iter_mut().map(|alternate| &mut alternate.landing);
        for landing in std::iter::once(&mut new.landing).chain(others) {
            if let Some(target) = self.found.get(landing.destination.as_str()) {
                *landing = landing.clone().identified_by(target);
            }
        }
    }
}
