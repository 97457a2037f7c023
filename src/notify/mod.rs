//! Webhooks: who asked for it is told, signed and at least once, of links that stop working, of policy versions, and of
//! windows that open and close. An event is kept in the outbox before it is sent, under an id that is the same however
//! often it is made or sent. Never on the path of a click, and no click waits for a receiver.
//!
//! - [`event`]: what receivers are told, and its id; [`sign`]: how they know who says so;
//! - [`outbox`], [`sqlite`]: events kept until they are delivered or given up;
//! - [`target`], [`client`]: whom an event may be sent to, and sending it;
//! - [`courier`]: delivering what is due; [`herald`], [`expiring`]: noticing what is to be told;
//! - [`postback`]: telling ad platforms of orders, by the same outbox and courier.

#[cfg(test)]
mod conformance;

pub mod client;
pub mod courier;
pub mod event;
pub mod expiring;
pub mod herald;
pub mod outbox;
pub mod postback;
pub mod sign;
pub mod sqlite;
pub mod target;
