//! The control room: the JSON API under `/v1`, the keys that open it, and the endpoints of operations.
//!
//! Routers only: listening, TLS and bounds of connections are the edge's. Every change goes to the store first. Never on
//! the path of a click, and never decides one: it asks the same policy functions a live click does.
//!
//! - [`keys`]: who may ask, and for whom; [`guard`]: what each role may do; [`sightings`]: noticing creators at work;
//! - [`draft`], [`alternates`], [`change`], [`decision`], [`landings`], [`sent`], [`policy`], [`kill`], [`terms`]: what is asked for,
//!   checked without HTTP, for the command line as well;
//! - [`identify`], [`warnings`]: what short links lead to, and what whoever makes a link should know of it;
//! - [`candidate`], [`backtests`]: policies that are tried out, and the runs over recorded hops;
//! - [`fields`], [`checks`]: reading and checking with every fault at once;
//! - [`api`]: the table of routes and their handlers; [`answer`]: what they say; [`problem`]: how they refuse;
//! - [`console`]: the page of creators at `/`;
//! - [`qr`]: short links as QR codes;
//! - [`calendar`]: which windows are open when;
//! - [`orders`]: what is said of order lines, positions and rows that were set aside;
//! - [`ops`]: metrics and readiness.

pub mod alternates;
pub mod answer;
pub mod api;
pub mod backtests;
pub mod calendar;
pub mod candidate;
pub mod change;
pub mod checks;
pub mod codes;
pub mod console;
pub mod decision;
pub mod draft;
pub mod fields;
pub mod guard;
pub mod identify;
mod issue;
pub mod keys;
pub mod kill;
pub mod landings;
pub mod ops;
pub mod orders;
pub mod policy;
pub mod problem;
pub mod qr;
pub mod sent;
pub mod sightings;
pub mod terms;
pub mod warnings;

use std::sync::Arc;

pub use ops::{OpsState, ops_router};

use crate::archive::Recorded;
use crate::attribution::events::{EventStore, Tally as EventTally};
use crate::attribution::ledger::settle::Settler;
use crate::attribution::orders::intake::OrderIntake;
use crate::attribution::stats::Stats;
use crate::catalog::Catalog;
use crate::click::landings::Landings;
use crate::click::shadow::ShadowSlot;
use crate::clock::Clock;
use crate::config::proxy::ProxySettings;
use crate::domain::click_id::ClickKey;
use crate::domain::vocabulary::Vocabulary;
use crate::notify::outbox::Outbox;
use crate::policies::Policies;
use crate::policies::publish::Publisher;
use crate::policies::store::PolicyStore;
use crate::report::asked::Reporter;
use crate::resolve::Resolver;
use keys::KeyStore;
use sightings::Sightings;

/// Everything the API needs.
#[derive(Clone)]
pub struct ControlState {
    /// Links.
    pub catalog: Catalog,
    /// The policy in force.
    pub policies: Arc<Policies>,
    /// The one who puts another in force.
    pub publisher: Arc<Publisher>,
    /// Policy versions that are kept.
    pub policy_store: Arc<dyn PolicyStore>,
    /// How permitted clicks are sent on.
    pub landings: Arc<Landings>,
    /// Which landings an upstream serves.
    pub proxy: Arc<ProxySettings>,
    /// The candidate beside the policy in force, if one is set.
    pub shadow: Arc<ShadowSlot>,
    /// Keys of callers.
    pub keys: Arc<dyn KeyStore>,
    /// What is told to webhooks.
    pub outbox: Arc<dyn Outbox>,
    /// What is told to ad platforms.
    pub postbacks: Arc<dyn Outbox>,
    /// Order reports.
    pub orders: Arc<dyn OrderIntake>,
    /// The ledger, and what it is made of.
    pub settler: Settler,
    /// Figures and touches.
    pub stats: Stats,
    /// Where sightings of creators go.
    pub sightings: Sightings,
    /// Front and back events.
    pub events: Arc<dyn EventStore>,
    /// What became of those that were told.
    pub event_tally: Arc<EventTally>,
    /// Makes reports.
    pub reporter: Arc<dyn Reporter>,
    /// Asks short links what they lead to, where that is wanted.
    pub resolver: Option<Resolver>,
    /// Time.
    pub clock: Clock,
    /// Names.
    pub words: Arc<Vocabulary>,
    /// The secret of click ids.
    pub click_key: ClickKey,
    /// Where this node's hops are, for looking them up.
    pub hops: Recorded,
    /// What short links begin with, e.g. `https://go.example`.
    pub public_url: String,
    /// This gateway's name.
    pub node: String,
}

/// Everything the control listener serves: the API and the page of creators.
pub fn router(state: ControlState) -> axum::Router {
    let sessions = Arc::new(console::Sessions::default());
    api::router(state.clone(), Arc::clone(&sessions)).merge(console::router(state, sessions))
}
