//! Configuration: what operators write, checked whole before anything starts. Never read on the click path.

pub mod looks;
pub mod marketplaces;
pub mod settings;
pub mod tree;
pub mod webhooks;
