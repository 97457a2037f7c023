//! Cooperation policy: dated agreements between a platform and a marketplace, and how they decide a click.
//!
//! Pure: the instant and the facts come in as arguments. Never reads a file, never knows where an agreement came from.
//!
//! - [`agreement`]: what an agreement says;
//! - [`compile`]: a set of agreements as per-pair bit sets;
//! - [`mod@decide`]: the one function that decides a click;
//! - [`nearest`]: why a refused click was refused, dimension by dimension;
//! - [`mod@choose`]: which of a link's landings a click takes;
//! - [`mod@explain`]: the same decision with its trace, and until when it holds;
//! - [`ending`]: until when a link goes on working, and why it stops;
//! - [`kill`]: what is switched off for the moment, before any agreement;
//! - [`mod@lint`]: what is suspicious about a policy;
//! - [`mod@outlook`]: what a link does at each spot, for whoever looks before a click;
//! - [`rollout`]: who is in a staged opening;
//! - [`mod@terms`]: on which terms data of a note or click is returned.

pub mod agreement;
pub mod choose;
pub mod compile;
pub mod decide;
pub mod ending;
pub mod explain;
pub mod kill;
pub mod lint;
pub mod nearest;
pub mod outlook;
pub mod rollout;
pub mod terms;

pub use agreement::{Agreement, Attribution, Conditions, Default as PairDefault, Effect, Rollout, Step, StickTo};
pub use choose::{Choice, choice_until, choose};
pub use compile::{PolicySet, Version};
pub use decide::{Decision, Facts, Permit, Refusal, decide};
pub use explain::{Explanation, explain, valid_until};
pub use kill::Kill;

use super::vocabulary::closed_list;

closed_list! {
    /// Why a click was allowed or refused.
    Reason {
        /// An agreement in force allows it.
        Allowed = "allowed",
        /// No agreement speaks of the pair, and its default is to allow.
        AllowedByDefault = "allowed_by_default",
        /// No agreement between the two was ever made.
        NoAgreement = "no_agreement",
        /// The agreement has not begun.
        NotYetOpen = "not_yet_open",
        /// The agreement is over.
        WindowEnded = "window_ended",
        /// Not on this surface.
        SurfaceNotCovered = "surface_not_covered",
        /// Not for this sort of shop.
        ShopTypeNotCovered = "shop_type_not_covered",
        /// Not for this sort of link.
        LinkKindNotCovered = "link_kind_not_covered",
        /// Not for this category.
        CategoryNotCovered = "category_not_covered",
        /// Not for this creator, shop or item.
        CreatorNotCovered = "creator_not_covered",
        /// A fact the agreement asks for is missing.
        RequirementMissing = "requirement_missing",
        /// Open, but not yet for this one.
        NotInRollout = "not_in_rollout",
        /// An agreement denies it.
        DeniedByAgreement = "denied_by_agreement",
        /// Switched off at once by ops.
        KillSwitch = "kill_switch",
        /// The link was switched off.
        LinkDisabled = "link_disabled",
        /// The link's time is over.
        LinkExpired = "link_expired",
        /// No such link.
        UnknownLink = "unknown_link",
        /// A signature that does not hold.
        BadSignature = "bad_signature",
        /// Too many, too fast.
        RateLimited = "rate_limited",
    }
}
