//! The pure core: what a placement, a link, a landing, an agreement and a hop are, and how a click is decided.
//!
//! Nothing here reads a clock, draws randomness, takes a lock, opens a socket or awaits: time, ids and facts come in as
//! arguments. The same functions therefore serve a live click, `explain`, a what-if run and an audit.

pub mod alternates;
pub mod attribution;
pub mod click_id;
pub mod code;
pub mod device;
pub mod hop;
pub mod landing;
pub mod link;
pub mod macros;
pub mod marketplace;
pub mod networks;
pub mod percent;
pub mod policy;
pub mod sign;
pub mod span;
pub mod time;
pub mod tried;
pub mod vocabulary;
