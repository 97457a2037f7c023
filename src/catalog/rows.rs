//! Between a [`Link`] and the columns of a row, by name and by text, so that ids may change from one start to the next.
//! Never opens a database.

use rusqlite::{Row, Statement, ToSql, params};

use super::alternates;
use super::store::UnreadableRow;
use crate::domain::code::Code;
use crate::domain::link::{Fact, Link, LinkState, Placement};
use crate::domain::marketplace::{Destination, Landing};
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::{LinkKind, ShopType, Surface, Vocabulary};
use crate::sqlite::Schema;

/// The tables. Rows lie in revision order, so new links and changed ones go to the end of the file and the start-up load
/// reads it from front to back. `links_by_creator` serves a creator's own list, `link_tags` a label's.
pub(super) const SCHEMA: Schema = Schema {
    name: "catalog",
    steps: &[
        "
        CREATE TABLE links (
            revision INTEGER PRIMARY KEY,
            code TEXT NOT NULL UNIQUE,
            state TEXT NOT NULL,
            marketplace TEXT NOT NULL,
            link_kind TEXT NOT NULL,
            shop_hint TEXT NOT NULL,
            item TEXT,
            variant TEXT,
            shop TEXT,
            url TEXT NOT NULL,
            shop_type TEXT NOT NULL,
            category TEXT,
            creator TEXT,
            platform TEXT,
            surface TEXT,
            facts TEXT,
            tags TEXT,
            expires_at BIGINT,
            created_at BIGINT NOT NULL
        );
        CREATE INDEX links_by_creator ON links (creator, code) WHERE creator IS NOT NULL;
        CREATE TABLE link_tags (
            tag TEXT NOT NULL,
            code TEXT NOT NULL REFERENCES links (code),
            PRIMARY KEY (tag, code)
        ) WITHOUT ROWID;
        CREATE TABLE catalog_state (
            only_row BIGINT PRIMARY KEY CHECK (only_row = 1),
            revision BIGINT NOT NULL,
            links BIGINT NOT NULL
        );
        INSERT INTO catalog_state (only_row, revision, links) VALUES (1, 0, 0);
    ",
        "
        ALTER TABLE links ADD COLUMN alternates TEXT;
    ",
        "
        ALTER TABLE links ADD COLUMN share_code TEXT;
    ",
    ],
};

/// The columns [`read`] reads, in its order, of a table called `l`.
pub(super) const COLUMNS: &str = "l.revision, l.code, l.state, l.marketplace, l.link_kind, l.shop_hint, l.item, \
     l.variant, l.shop, l.url, l.shop_type, l.category, l.creator, l.platform, l.surface, l.facts, l.tags, \
     l.expires_at, l.created_at, l.alternates, l.share_code";

/// Stores a link under the revision `?2`; no row when the code is taken.
pub(super) const INSERT: &str = "INSERT INTO links (code, revision, state, marketplace, link_kind, shop_hint, item, \
     variant, shop, url, shop_type, category, creator, platform, surface, facts, tags, expires_at, created_at, \
     alternates, share_code) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21) \
     ON CONFLICT (code) DO NOTHING";

/// Writes the fields of a link that can change.
pub(super) const UPDATE: &str = "UPDATE links SET revision = ?2, state = ?3, shop_type = ?4, category = ?5, \
     creator = ?6, platform = ?7, surface = ?8, facts = ?9, tags = ?10, expires_at = ?11, alternates = ?12 \
     WHERE code = ?1";

/// The stored name of a state.
pub(super) const fn state_text(state: LinkState) -> &'static str {
    match state {
        LinkState::Active => "active",
        LinkState::Disabled => "disabled",
    }
}

fn facts_json(facts: &[Fact]) -> Option<String> {
    let map = facts.iter().map(|fact| (fact.name.clone(), fact.carried.into())).collect::<serde_json::Map<_, _>>();
    (!map.is_empty()).then(|| serde_json::Value::Object(map).to_string())
}

fn tags_json(tags: &[String]) -> Option<String> {
    (!tags.is_empty()).then(|| serde_json::Value::from(tags).to_string())
}

/// Runs [`INSERT`]; whether a row was stored.
pub(super) fn insert(
    statement: &mut Statement<'_>,
    link: &Link,
    revision: i64,
    words: &Vocabulary,
) -> rusqlite::Result<bool> {
    let landing = &link.landing;
    let values: [&dyn ToSql; 21] = [
        &link.code.as_str(),
        &revision,
        &state_text(link.state),
        &words.marketplace_name(landing.marketplace),
        &landing.link_kind.as_str(),
        &landing.shop_hint.as_str(),
        &landing.item,
        &landing.variant,
        &landing.shop,
        &landing.destination.as_str(),
        &link.shop_type.as_str(),
        &link.category,
        &link.creator,
        &link.placement.platform.map(|id| words.platform_name(id)),
        &link.placement.surface.map(Surface::as_str),
        &facts_json(&link.facts),
        &tags_json(&link.tags),
        &link.expires_at.map(Timestamp::micros),
        &link.created_at.micros(),
        &alternates::text(&link.alternates, words),
        &link.share_code,
    ];
    Ok(statement.execute(&values[..])? == 1)
}

/// Runs [`UPDATE`].
pub(super) fn update(statement: &mut Statement<'_>, link: &Link, words: &Vocabulary) -> rusqlite::Result<()> {
    statement.execute(params![
        link.code.as_str(),
        link.revision,
        state_text(link.state),
        link.shop_type.as_str(),
        link.category,
        link.creator,
        link.placement.platform.map(|id| words.platform_name(id)),
        link.placement.surface.map(Surface::as_str),
        facts_json(&link.facts),
        tags_json(&link.tags),
        link.expires_at.map(Timestamp::micros),
        alternates::text(&link.alternates, words),
    ])?;
    Ok(())
}

/// A row read: its revision, and the link or why it cannot be used.
pub(super) struct ReadRow {
    pub revision: i64,
    pub link: Result<Link, UnreadableRow>,
}

/// Reads the [`COLUMNS`] of a row. A fault of the row is in [`ReadRow::link`]; the error is one of the database.
pub(super) fn read(row: &Row<'_>, words: &Vocabulary) -> rusqlite::Result<ReadRow> {
    let revision = row.get(0)?;
    let link = match link(row, revision, words) {
        Ok(link) => Ok(link),
        Err(Fault::Row(what)) => {
            Err(UnreadableRow { code: String::from_utf8_lossy(row.get_ref(1)?.as_bytes()?).into_owned(), what })
        }
        Err(Fault::Database(error)) => return Err(error),
    };
    Ok(ReadRow { revision, link })
}

enum Fault {
    Row(String),
    Database(rusqlite::Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Fault::Database(error)
    }
}

impl From<rusqlite::types::FromSqlError> for Fault {
    fn from(error: rusqlite::types::FromSqlError) -> Self {
        Fault::Row(error.to_string())
    }
}

fn link(row: &Row<'_>, revision: i64, words: &Vocabulary) -> Result<Link, Fault> {
    fn known<T>(what: &str, name: &str, value: Option<T>) -> Result<T, Fault> {
        value.ok_or_else(|| Fault::Row(format!("{what} `{name}` is not known to this process")))
    }
    let boxed =
        |column| -> Result<Option<Box<str>>, Fault> { Ok(row.get_ref(column)?.as_str_or_null()?.map(Box::from)) };
    let (state, marketplace) = (row.get_ref(2)?.as_str()?, row.get_ref(3)?.as_str()?);
    let (link_kind, shop_hint) = (row.get_ref(4)?.as_str()?, row.get_ref(5)?.as_str()?);
    let shop_type = row.get_ref(10)?.as_str()?;
    let platform = match row.get_ref(13)?.as_str_or_null()? {
        Some(name) => Some(known("platform", name, words.platform(name))?),
        None => None,
    };
    let surface = match row.get_ref(14)?.as_str_or_null()? {
        Some(name) => Some(known("surface", name, Surface::parse(name))?),
        None => None,
    };
    // The allow-list is asked again: it may have shrunk since, and the file may have been written by other hands.
    let (destination, _) = Destination::from_stored(row.get_ref(9)?.as_str()?, words.markets())
        .map_err(|fault| Fault::Row(fault.to_string()))?;
    Ok(Link {
        code: Code::parse(row.get_ref(1)?.as_str()?).map_err(|fault| Fault::Row(fault.to_string()))?,
        landing: Landing {
            marketplace: known("marketplace", marketplace, words.marketplace(marketplace))?,
            link_kind: known("link kind", link_kind, LinkKind::parse(link_kind))?,
            shop_hint: known("shop type", shop_hint, ShopType::parse(shop_hint))?,
            item: boxed(6)?,
            variant: boxed(7)?,
            shop: boxed(8)?,
            destination,
        },
        alternates: alternates::read(row.get_ref(19)?.as_str_or_null()?, words).map_err(Fault::Row)?,
        shop_type: known("shop type", shop_type, ShopType::parse(shop_type))?,
        category: boxed(11)?,
        creator: boxed(12)?,
        placement: Placement { platform, surface },
        facts: facts(row.get_ref(15)?.as_str_or_null()?)?,
        tags: tags(row.get_ref(16)?.as_str_or_null()?)?,
        expires_at: row.get_ref(17)?.as_i64_or_null()?.map(Timestamp::from_micros),
        share_code: boxed(20)?,
        state: match state {
            "active" => LinkState::Active,
            "disabled" => LinkState::Disabled,
            other => return Err(Fault::Row(format!("state `{other}` is not known to this process"))),
        },
        created_at: Timestamp::from_micros(row.get_ref(18)?.as_i64()?),
        revision,
    })
}

fn facts(json: Option<&str>) -> Result<Vec<Fact>, Fault> {
    let Some(json) = json else { return Ok(Vec::new()) };
    let map: std::collections::BTreeMap<String, bool> = serde_json::from_str(json)
        .map_err(|fault| Fault::Row(format!("its facts are no object of booleans: {fault}")))?;
    Ok(map.into_iter().map(|(name, carried)| Fact { name, carried }).collect())
}

fn tags(json: Option<&str>) -> Result<Vec<String>, Fault> {
    let Some(json) = json else { return Ok(Vec::new()) };
    serde_json::from_str(json).map_err(|fault| Fault::Row(format!("its tags are no list of texts: {fault}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::sqlite::SqliteLinkStore;
    use crate::catalog::store::LinkStore as _;
    use crate::sqlite;

    #[tokio::test]
    async fn a_file_from_before_alternates_and_share_codes_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("links.sqlite");
        let first = Schema { name: SCHEMA.name, steps: &SCHEMA.steps[..1] };
        let old = sqlite::open(&file, &first, 1_024).unwrap();
        old.execute_batch(
            "INSERT INTO links (revision, code, state, marketplace, link_kind, shop_hint, item, url, shop_type, \
             created_at) VALUES (1, 'AbCd1234', 'active', 'jd', 'item', 'unknown', '1', \
             'https://item.jd.com/1.html', 'pop', 0); UPDATE catalog_state SET revision = 1, links = 1;",
        )
        .unwrap();
        drop(old);
        let store = SqliteLinkStore::open(&file, std::sync::Arc::default()).unwrap();
        let link = store.get("AbCd1234").await.unwrap().unwrap();
        assert_eq!((link.alternates.len(), link.landing.item.as_deref()), (0, Some("1")));
        assert_eq!(link.share_code, None);
    }
}
