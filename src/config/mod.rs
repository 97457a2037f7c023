//! Configuration: what operators write, checked whole before anything starts. Never read on the click path.

pub mod alliances;
pub mod apps;
pub mod archive;
pub mod attribution;
pub mod devices;
pub mod landing;
pub mod looks;
pub mod marketplaces;
pub mod postbacks;
pub mod proxy;
pub mod resolve;
pub mod settings;
pub mod signing;
pub mod tree;
pub mod webhooks;
