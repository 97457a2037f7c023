//! Pages for visitors: zh-CN first, en second. Small, readable on a narrow screen, in light and dark, no request to anybody
//! else. Never says more of the policy than the reason and the date.
//!
//! [`frame`] is what every page shares: head, style, the escaping of everything that is not ours; [`words`] names things;
//! one file each sort of page.

pub mod card;
pub mod frame;
pub mod launch;
pub mod preview;
pub mod refusal;
pub mod signed;
pub mod upstream;
pub mod words;

pub use crate::wording::Language;
pub use refusal::{Words, busy, html, missing, refusal};
pub use signed::{forged, unfit};
