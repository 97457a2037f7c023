//! Issuing one link for whoever asks, from the API or from the page of creators alike. Every rule of it stands in the draft.

use super::ControlState;
use super::codes::Codes;
use super::draft::LinkDraft;
use super::guard::Caller;
use super::problem::ApiError;
use crate::catalog::Created;
use crate::domain::link::Link;
use crate::domain::time::Timestamp;

/// Checks `draft`, and stores the link it asks for.
///
/// # Errors
/// Every fault of the draft; a creator that is not the caller's; a slug that is taken; the store.
pub(super) async fn issue(
    state: &ControlState,
    caller: &Caller,
    mut draft: LinkDraft,
    now: Timestamp,
) -> Result<Link, ApiError> {
    draft.creator = caller.creator_of_new(draft.creator.take())?;
    let new = draft.check(&state.words, now)?;
    let mut codes = Codes::open()?;
    match state.catalog.create(vec![new], move || codes.draw()).await?.pop() {
        Some(Created::Stored(link)) => Ok(*link),
        Some(Created::CodeTaken(code)) => Err(ApiError::SlugTaken(code)),
        Some(Created::Failed(error)) => Err(error.into()),
        Some(Created::NoFreeCode) => Err(ApiError::NoFreeCode),
        None => Err(ApiError::Internal("the catalog gave no answer for a new link".to_owned())),
    }
}
