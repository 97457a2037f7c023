//! The tables of `stats.sqlite`.
//!
//! Texts are kept once and named by number, so that a click takes some 120 bytes and an hour of a link some 15. A *spot* is
//! one combination of what figures are told apart by; each click adds to three: one of its link, one of its creator, one of
//! all links, so that each question reads rows of its own sort only.

use crate::sqlite::Schema;

pub(super) const SCHEMA: Schema = Schema {
    name: "stats",
    steps: &["
        CREATE TABLE stats_texts (
            id INTEGER PRIMARY KEY,
            text TEXT NOT NULL UNIQUE
        );
        -- How far each node's log was read. Changed in the transaction that keeps what was read.
        CREATE TABLE stats_marks (
            node TEXT PRIMARY KEY NOT NULL,
            seq BIGINT NOT NULL,
            at BIGINT NOT NULL
        );
        CREATE TABLE stats_facts (
            name TEXT PRIMARY KEY NOT NULL,
            value TEXT NOT NULL
        );
        -- level 0: of a link; 1: of a creator; 2: of all. What a level does not tell apart is the empty text.
        CREATE TABLE stats_spots (
            id INTEGER PRIMARY KEY,
            level BIGINT NOT NULL,
            code BIGINT NOT NULL,
            creator BIGINT NOT NULL,
            platform BIGINT NOT NULL,
            surface BIGINT NOT NULL,
            marketplace BIGINT NOT NULL,
            outcome BIGINT NOT NULL,
            reason BIGINT NOT NULL,
            UNIQUE (level, code, creator, platform, surface, marketplace, outcome, reason)
        );
        CREATE INDEX stats_spots_creator ON stats_spots (creator, level);
        CREATE TABLE stats_hours (
            spot BIGINT NOT NULL,
            time BIGINT NOT NULL,
            people BIGINT NOT NULL,
            machines BIGINT NOT NULL,
            duplicates BIGINT NOT NULL,
            self_clicks BIGINT NOT NULL,
            excessive BIGINT NOT NULL,
            rehearsal BIGINT NOT NULL,
            PRIMARY KEY (spot, time)
        ) WITHOUT ROWID;
        CREATE TABLE stats_days (
            spot BIGINT NOT NULL,
            time BIGINT NOT NULL,
            people BIGINT NOT NULL,
            machines BIGINT NOT NULL,
            duplicates BIGINT NOT NULL,
            self_clicks BIGINT NOT NULL,
            excessive BIGINT NOT NULL,
            rehearsal BIGINT NOT NULL,
            PRIMARY KEY (spot, time)
        ) WITHOUT ROWID;
        -- Views that visitors are counted in. kind 0: a link; 1: a creator; 2: platform and surface; 3: a marketplace; 4: all.
        CREATE TABLE stats_views (
            id INTEGER PRIMARY KEY,
            kind BIGINT NOT NULL,
            one BIGINT NOT NULL,
            other BIGINT NOT NULL,
            UNIQUE (kind, one, other)
        );
        CREATE TABLE stats_uniques (
            view BIGINT NOT NULL,
            day BIGINT NOT NULL,
            visitors BIGINT NOT NULL,
            PRIMARY KEY (view, day)
        ) WITHOUT ROWID;
        -- Personal data, erased after a few days: what each visitor of a day tapped and where it was counted.
        CREATE TABLE stats_visitors (
            day BIGINT NOT NULL,
            visitor BLOB NOT NULL,
            seen BLOB NOT NULL,
            PRIMARY KEY (day, visitor)
        ) WITHOUT ROWID;
        CREATE TABLE stats_selves (
            day BIGINT NOT NULL,
            creator TEXT NOT NULL,
            visitor BLOB NOT NULL,
            at BIGINT NOT NULL,
            PRIMARY KEY (day, creator, visitor)
        ) WITHOUT ROWID;
        -- What a click led to, and where it happened.
        CREATE TABLE stats_aims (
            id INTEGER PRIMARY KEY,
            platform BIGINT NOT NULL,
            surface BIGINT NOT NULL,
            marketplace BIGINT NOT NULL,
            item BIGINT NOT NULL,
            shop BIGINT NOT NULL,
            agreement BIGINT NOT NULL,
            policy_version BIGINT NOT NULL,
            UNIQUE (item, shop, platform, surface, marketplace, agreement, policy_version)
        );
        CREATE TABLE stats_touches (
            at BIGINT NOT NULL,
            node BIGINT NOT NULL,
            seq BIGINT NOT NULL,
            click BLOB NOT NULL,
            link BIGINT NOT NULL,
            creator BIGINT,
            aim BIGINT NOT NULL,
            flags BIGINT NOT NULL,
            marks BIGINT NOT NULL,
            note BIGINT,
            PRIMARY KEY (at, node, seq)
        ) WITHOUT ROWID;
        CREATE INDEX stats_touches_link ON stats_touches (link, at);
        CREATE INDEX stats_touches_creator ON stats_touches (creator, at) WHERE creator IS NOT NULL;
        -- Touches whose id was not minted in the millisecond of their instant: every other is found by that instant.
        CREATE TABLE stats_strays (
            click BLOB PRIMARY KEY NOT NULL,
            at BIGINT NOT NULL
        ) WITHOUT ROWID;
        CREATE TABLE stats_changes (
            change INTEGER PRIMARY KEY,
            earliest BIGINT NOT NULL,
            latest BIGINT NOT NULL
        );
    ", "
        -- What terms may ask of a click. It was not kept before: nothing is known of it then.
        INSERT INTO stats_texts (text) VALUES ('') ON CONFLICT (text) DO NOTHING;
        INSERT INTO stats_texts (text) VALUES ('unknown') ON CONFLICT (text) DO NOTHING;
        CREATE TABLE stats_aims_new (
            id INTEGER PRIMARY KEY,
            platform BIGINT NOT NULL,
            surface BIGINT NOT NULL,
            marketplace BIGINT NOT NULL,
            item BIGINT NOT NULL,
            shop BIGINT NOT NULL,
            agreement BIGINT NOT NULL,
            shop_type BIGINT NOT NULL,
            link_kind BIGINT NOT NULL,
            category BIGINT NOT NULL,
            facts BIGINT NOT NULL,
            policy_version BIGINT NOT NULL,
            UNIQUE (item, shop, platform, surface, marketplace, agreement, policy_version, shop_type, link_kind, category, facts)
        );
        INSERT INTO stats_aims_new SELECT a.id, a.platform, a.surface, a.marketplace, a.item, a.shop, a.agreement, u.id, u.id,
            n.id, n.id, a.policy_version FROM stats_aims a JOIN stats_texts u ON u.text = 'unknown'
            JOIN stats_texts n ON n.text = '';
        DROP TABLE stats_aims;
        ALTER TABLE stats_aims_new RENAME TO stats_aims;
    ", "
        -- Clicks whose visitor is not known, by whatever rules: doubles among them cannot be told.
        ALTER TABLE stats_hours ADD COLUMN without_visitor BIGINT NOT NULL DEFAULT 0;
        ALTER TABLE stats_days ADD COLUMN without_visitor BIGINT NOT NULL DEFAULT 0;
        -- Days that could not be counted anew, and the rules their figures were counted by.
        CREATE TABLE stats_kept (
            day BIGINT PRIMARY KEY NOT NULL,
            rules TEXT NOT NULL
        );
    "],
};
