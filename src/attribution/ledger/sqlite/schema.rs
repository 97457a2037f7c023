//! The tables of the ledger, step by step as they came. A step that was shipped never changes.

use crate::sqlite::Schema;

pub(super) const SCHEMA: Schema = Schema {
    name: "ledger",
    steps: &[
        "
        CREATE TABLE ledger_lines (
            id BIGINT PRIMARY KEY NOT NULL,
            network TEXT NOT NULL,
            account TEXT NOT NULL,
            line TEXT NOT NULL,
            order_no TEXT NOT NULL,
            state TEXT NOT NULL,
            created_at BIGINT NOT NULL,
            modified_at BIGINT NOT NULL,
            marketplace TEXT NOT NULL,
            shop TEXT NOT NULL,
            item TEXT NOT NULL,
            paid BIGINT NOT NULL,
            inputs BLOB NOT NULL,
            version BIGINT NOT NULL,
            UNIQUE (network, line, account)
        );
        CREATE TABLE ledger_matches (
            line BIGINT NOT NULL REFERENCES ledger_lines (id),
            version BIGINT NOT NULL,
            made_at BIGINT NOT NULL,
            made_by TEXT NOT NULL,
            method TEXT NOT NULL,
            reason TEXT,
            click BLOB,
            code TEXT NOT NULL,
            platform TEXT NOT NULL,
            note TEXT NOT NULL,
            agreement TEXT NOT NULL,
            sampling BIGINT NOT NULL,
            clicks TEXT NOT NULL,
            rules BIGINT NOT NULL,
            validity TEXT NOT NULL,
            PRIMARY KEY (line, version)
        );
        CREATE INDEX ledger_matches_click ON ledger_matches (click);
        CREATE TABLE ledger_entries (
            number BIGINT PRIMARY KEY NOT NULL,
            txn BIGINT NOT NULL,
            line BIGINT NOT NULL REFERENCES ledger_lines (id),
            cause BLOB NOT NULL,
            kind TEXT NOT NULL,
            account TEXT NOT NULL,
            amount BIGINT NOT NULL,
            changed_at BIGINT NOT NULL,
            effective_at BIGINT NOT NULL,
            period BIGINT NOT NULL,
            late BIGINT NOT NULL,
            made_by TEXT NOT NULL,
            match_version BIGINT NOT NULL,
            posted_at BIGINT NOT NULL
        );
        CREATE INDEX ledger_entries_line ON ledger_entries (line);
        CREATE INDEX ledger_entries_period ON ledger_entries (period, number);
        CREATE TABLE ledger_balances (
            period BIGINT NOT NULL,
            account TEXT NOT NULL,
            kind TEXT NOT NULL,
            amount BIGINT NOT NULL,
            PRIMARY KEY (period, account, kind)
        );
        CREATE TABLE ledger_periods (
            period BIGINT PRIMARY KEY NOT NULL,
            closed_at BIGINT NOT NULL,
            closed_by TEXT NOT NULL
        );
        CREATE TABLE ledger_closing_balances (
            period BIGINT NOT NULL,
            account TEXT NOT NULL,
            kind TEXT NOT NULL,
            amount BIGINT NOT NULL,
            PRIMARY KEY (period, account, kind)
        );
        CREATE TABLE ledger_announcements (
            number BIGINT PRIMARY KEY NOT NULL,
            line BIGINT NOT NULL REFERENCES ledger_lines (id),
            state TEXT NOT NULL,
            told BIGINT NOT NULL,
            UNIQUE (line, state)
        );
        CREATE INDEX ledger_announcements_told ON ledger_announcements (told, number);
        CREATE TABLE ledger_marks (
            name TEXT PRIMARY KEY NOT NULL,
            value BIGINT NOT NULL
        );
    ",
        "
        -- Zero: under itself, as before there was anything else.
        ALTER TABLE ledger_matches ADD COLUMN booked BIGINT NOT NULL DEFAULT 0;
    ",
    ],
};
