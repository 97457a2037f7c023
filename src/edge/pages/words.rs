//! The words pages share; they live in [`crate::wording`], where the pages of creators find them too.

pub use crate::wording::{because, date, link_kind, marketplace, platform, shop_type, surface};
