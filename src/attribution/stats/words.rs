//! Names as numbers: those of this process, given while hops are read, and those of the file, looked up once for each.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, params};

/// A name of this process.
pub(super) type Word = u32;

/// Names beyond this many are forgotten between two batches and looked up again.
const MOST: usize = 500_000;

/// Where a click is counted: what `stats_spots` tells apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) struct Spot {
    pub(super) level: u8,
    pub(super) code: Word,
    pub(super) creator: Word,
    pub(super) platform: Word,
    pub(super) surface: Word,
    pub(super) marketplace: Word,
    pub(super) outcome: Word,
    pub(super) reason: Word,
}

/// What a click led to, and where it happened.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Aim {
    pub(super) platform: Word,
    pub(super) surface: Word,
    pub(super) marketplace: Word,
    pub(super) shop_type: Word,
    pub(super) link_kind: Word,
    pub(super) category: Word,
    pub(super) facts: Word,
    pub(super) item: Word,
    pub(super) shop: Word,
    pub(super) agreement: Word,
    pub(super) policy_version: u64,
}

/// What visitors are counted in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct View(pub(super) u8, pub(super) Word, pub(super) Word);

/// Every name met so far. What the file calls them is right as long as nothing was rolled back since.
#[derive(Default)]
pub(super) struct Words {
    words: HashMap<Box<str>, Word, foldhash::fast::RandomState>,
    texts: Vec<Box<str>>,
    kept: Vec<Option<i64>>,
    spots: HashMap<Spot, i64, foldhash::fast::RandomState>,
    aims: HashMap<Aim, i64, foldhash::fast::RandomState>,
    views: HashMap<View, i64, foldhash::fast::RandomState>,
}

impl Words {
    /// The number of a text.
    pub(super) fn word(&mut self, text: &str) -> Word {
        if let Some(word) = self.words.get(text) {
            return *word;
        }
        let word = self.texts.len() as Word;
        self.words.insert(text.into(), word);
        self.texts.push(text.into());
        self.kept.push(None);
        word
    }

    /// The text of a number.
    pub(super) fn text(&self, word: Word) -> &str {
        self.texts.get(word as usize).map_or("", |text| text)
    }

    /// Whether it is time to begin anew.
    pub(super) fn is_full(&self) -> bool {
        self.texts.len() > MOST || self.spots.len() > MOST || self.aims.len() > MOST || self.views.len() > MOST
    }

    /// Forgets what the file calls things, after a transaction that was not kept.
    pub(super) fn unkeep(&mut self) {
        self.kept.fill(None);
        self.spots.clear();
        self.aims.clear();
        self.views.clear();
    }

    /// What the file calls a text.
    pub(super) fn id(&mut self, connection: &Connection, word: Word) -> rusqlite::Result<i64> {
        if let Some(Some(id)) = self.kept.get(word as usize) {
            return Ok(*id);
        }
        let text = self.text(word);
        let mut found = connection.prepare_cached("SELECT id FROM stats_texts WHERE text = ?1")?;
        let id = match found.query_row([text], |row| row.get(0)).optional()? {
            Some(id) => id,
            None => connection.prepare_cached("INSERT INTO stats_texts (text) VALUES (?1)")?.insert([text])?,
        };
        if let Some(kept) = self.kept.get_mut(word as usize) {
            *kept = Some(id);
        }
        Ok(id)
    }

    pub(super) fn spot(&mut self, connection: &Connection, spot: Spot) -> rusqlite::Result<i64> {
        if let Some(id) = self.spots.get(&spot) {
            return Ok(*id);
        }
        let Spot { level, code, creator, platform, surface, marketplace, outcome, reason } = spot;
        let mut ids = [i64::from(level), 0, 0, 0, 0, 0, 0, 0];
        for (id, word) in ids[1..].iter_mut().zip([code, creator, platform, surface, marketplace, outcome, reason]) {
            *id = self.id(connection, word)?;
        }
        let sql = "SELECT id FROM stats_spots WHERE level = ?1 AND code = ?2 AND creator = ?3 AND platform = ?4 \
                   AND surface = ?5 AND marketplace = ?6 AND outcome = ?7 AND reason = ?8";
        let id = match connection.prepare_cached(sql)?.query_row(ids, |row| row.get(0)).optional()? {
            Some(id) => id,
            None => connection
                .prepare_cached(
                    "INSERT INTO stats_spots (level, code, creator, platform, surface, marketplace, outcome, reason) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                )?
                .insert(ids)?,
        };
        self.spots.insert(spot, id);
        Ok(id)
    }

    pub(super) fn aim(&mut self, connection: &Connection, aim: Aim) -> rusqlite::Result<i64> {
        if let Some(id) = self.aims.get(&aim) {
            return Ok(*id);
        }
        let Aim { platform, surface, marketplace, item, shop, agreement, .. } = aim;
        let Aim { shop_type, link_kind, category, facts, policy_version, .. } = aim;
        let mut ids = [policy_version as i64; 11];
        let words = [platform, surface, marketplace, item, shop, agreement, shop_type, link_kind, category, facts];
        for (id, word) in ids.iter_mut().zip(words) {
            *id = self.id(connection, word)?;
        }
        let sql = "SELECT id FROM stats_aims WHERE platform = ?1 AND surface = ?2 AND marketplace = ?3 AND item = ?4 \
                   AND shop = ?5 AND agreement = ?6 AND shop_type = ?7 AND link_kind = ?8 AND category = ?9 \
                   AND facts = ?10 AND policy_version = ?11";
        let id = match connection.prepare_cached(sql)?.query_row(ids, |row| row.get(0)).optional()? {
            Some(id) => id,
            None => connection
                .prepare_cached(
                    "INSERT INTO stats_aims (platform, surface, marketplace, item, shop, agreement, shop_type, \
                     link_kind, category, facts, policy_version) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                )?
                .insert(ids)?,
        };
        self.aims.insert(aim, id);
        Ok(id)
    }

    pub(super) fn view(&mut self, connection: &Connection, view: View) -> rusqlite::Result<i64> {
        if let Some(id) = self.views.get(&view) {
            return Ok(*id);
        }
        let View(kind, one, other) = view;
        let ids = params![kind, self.id(connection, one)?, self.id(connection, other)?];
        let sql = "SELECT id FROM stats_views WHERE kind = ?1 AND one = ?2 AND other = ?3";
        let id = match connection.prepare_cached(sql)?.query_row(ids, |row| row.get(0)).optional()? {
            Some(id) => id,
            None => connection
                .prepare_cached("INSERT INTO stats_views (kind, one, other) VALUES (?1, ?2, ?3)")?
                .insert(ids)?,
        };
        self.views.insert(view, id);
        Ok(id)
    }
}
