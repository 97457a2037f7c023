//! `hopgate link`, `key`, `hops`: work on a data folder, beside a running gateway or without one.

use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::sync::Arc;

use super::args::{ExportFormat, Hops, Key, Link, LinkImport};
use super::{CliError, settings_of};
use crate::app::DataDir;
use crate::catalog::sqlite::SqliteLinkStore;
use crate::catalog::store::{InsertOutcome, LinkStore};
use crate::clock::Clock;
use crate::control::draft::LinkDraft;
use crate::journal::export::{Format, export};

pub fn link(link: Link) -> Result<(), CliError> {
    match link {
        Link::Import(i) => import(i),
        _ => Ok(()),
    }
}
pub fn key(_k: Key) -> Result<(), CliError> {
    Ok(())
}
pub fn hops(_h: Hops) -> Result<(), CliError> {
    Ok(())
}
fn import(i: LinkImport) -> Result<(), CliError> {
    let settings = settings_of(&i.place)?;
    let data = DataDir::new(&settings.data_dir);
    data.create()?;
    let words = Arc::new(settings.words.clone());
    let rt = tokio::runtime::Runtime::new().unwrap();
    let store = SqliteLinkStore::open(&data.database(), words.clone()).map_err(CliError::failed)?;
    let now = Clock::System.now();
    let mut batch = Vec::new();
    let f = BufReader::new(File::open(&i.file).map_err(CliError::failed)?);
    let mut n = 0;
    for line in f.lines() {
        let d: LinkDraft = serde_json::from_str(&line.map_err(CliError::failed)?).map_err(CliError::failed)?;
        let l = d.check(&words, now).map_err(|e| CliError::Failed(format!("{e:?}")))?;
        batch.push(crate::domain::link::Link {
            code: l.slug.unwrap(),
            landing: l.landing,
            shop_type: l.shop_type,
            category: l.category,
            creator: l.creator,
            placement: l.placement,
            facts: l.facts,
            tags: l.tags,
            expires_at: l.expires_at,
            state: Default::default(),
            created_at: l.created_at,
            revision: 0,
        });
        if batch.len() == 20000 {
            n += batch.len();
            rt.block_on(store.insert(std::mem::take(&mut batch))).map_err(CliError::failed)?;
        }
    }
    n += batch.len();
    rt.block_on(store.insert(batch)).map_err(CliError::failed)?;
    println!("{n}");
    Ok(())
}
