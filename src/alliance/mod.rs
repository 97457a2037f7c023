//! Pulling order reports from the networks that keep them: Taobao Alliance and JD Union. Stretch by stretch of time, page by
//! page, again and again; a stretch counts as read only when all its rows are kept, and none is ever passed over. Never
//! says what a row means, and never on the path of a click.
//!
//! - [`sign`], [`request`], [`http`]: what is asked, and asking it;
//! - [`page`], [`refusal`]: what is answered;
//! - [`store`], [`sqlite`]: how far each network was read;
//! - [`account`], [`pace`]: whose requests these are, and how many at most;
//! - [`plan`], [`puller`]: what is asked for next, and reading it; [`sink`]: where rows go;
//! - [`trouble`], [`tally`]: what can go wrong, and what came of it.

#[cfg(test)]
mod conformance;

pub mod account;
pub mod http;
pub mod pace;
pub mod page;
pub mod plan;
pub mod puller;
pub mod refusal;
pub mod request;
pub mod sign;
pub mod sink;
pub mod sqlite;
pub mod store;
pub mod tally;
pub mod trouble;
