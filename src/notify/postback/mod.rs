//! Postbacks: an ad platform is told that a click of its own led to an order. What is to be told is kept in an outbox under
//! an id made of line and event, and delivered by the courier of webhooks. Addresses are those of the settings; what came
//! with a click is only ever a parameter. Never says which order belongs to which click.
//!
//! - [`told`]: what there is to tell of a matched line;
//! - [`teller`]: keeping it; [`macros`]: what the click's own parameters said;
//! - [`request`]: as each platform wants to be told; [`receiver`]: sending it.

pub mod macros;
pub mod receiver;
pub mod request;
pub mod teller;
pub mod told;
