//! Reports over what is stored: questions whose answers are lists. Never on the path of a click, and never a second opinion:
//! every verdict is asked of the policy functions a live click uses.
//!
//! - [`fates`]: what becomes of a stored link, remembered by the facts that decide it;
//! - [`expiring`]: which links stop working when, and why;
//! - [`sheet`]: a report as a table, before it is shown.

pub mod expiring;
pub mod fates;
pub mod sheet;
