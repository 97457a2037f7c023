//! hopgate: the redirect and deep-link gateway for social commerce.
//!
//! A viewer taps a short link inside a content app; hopgate checks the click against the cooperation
//! policy in force at that instant, records the hop, and redirects. ARCHITECTURE.md is the map.
//!
//! Rooms, each depending only on those below it (`tests/rooms.rs` enforces the direction):
//!
//! ```text
//! main, cli
//! app
//! edge, control
//! notify, resolve, alliance
//! click, audit, report
//! attribution
//! archive
//! catalog, policies, journal
//! telemetry, config, clock, sqlite, outbound, wording
//! domain
//! ```

pub mod alliance;
pub mod app;
pub mod archive;
pub mod attribution;
pub mod audit;
pub mod catalog;
pub mod cli;
pub mod click;
pub mod clock;
pub mod config;
pub mod control;
pub mod domain;
pub mod edge;
pub mod journal;
pub mod notify;
pub mod outbound;
pub mod policies;
pub mod report;
pub mod resolve;
pub mod sqlite;
pub mod telemetry;
pub mod wording;
