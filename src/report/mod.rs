//! Reports over what is stored: questions whose answers are lists. Never on the path of a click, and never a second opinion:
//! every verdict is asked of the policy functions a live click uses.
//!
//! - [`fates`]: what becomes of a stored link, remembered by the facts that decide it;
//! - [`expiring`]: which links stop working when, and why;
//! - [`asked`]: what a report of attribution is asked for; [`links`]: clicks;
//! - [`funnel`]: from the note to the order; [`settlement`]: what orders brought to whom;
//! - [`sheet`]: a report as a table, before it is shown; [`show`]: in a terminal, as CSV, JSON or a page.

pub mod asked;
pub mod expiring;
pub mod fates;
pub mod funnel;
pub mod links;
pub mod settlement;
pub mod sheet;
pub mod show;
