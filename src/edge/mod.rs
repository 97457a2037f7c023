//! The edge: listeners, TLS, limits, requests to facts, outcomes to answers. hyper and rustls live here. Decides nothing.

pub mod answer;
pub mod body;
pub mod client;
pub mod hold;
pub mod listen;
pub mod pages;
pub mod plain;
pub mod proxy;
pub mod quick;
pub mod route;
pub mod service;
pub mod tls;
pub mod watch;
pub mod well_known;
pub mod worker;
