//! Order reports as the networks write them, read into one vocabulary. Pure but for the store at the end: what a row says
//! never depends on other rows.

pub mod envelope;
