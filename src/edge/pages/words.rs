//! The words pages share; they live in [`crate::wording`], where the pages of creators find them too.

pub use crate::wording::{because, date, is_silent, link_kind, marketplace, platform, sentence, shop_type, where_at};
