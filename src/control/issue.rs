//! Issuing one link for whoever asks, from the API or from the page of creators alike. Every rule of it stands in the draft.

use super::ControlState;
use super::codes::Codes;
use super::draft::LinkDraft;
use super::guard::Caller;
use super::identify::identify;
use super::problem::ApiError;
use super::warnings::Warning;
use crate::catalog::Created;
use crate::domain::link::Link;
use crate::domain::time::Timestamp;

/// Checks `draft`, resolves its short link where that is on, and stores the link it asks for; what came up meanwhile.
///
/// # Errors
/// Every fault of the draft; a creator that is not the caller's; a slug that is taken; the store.
pub(super) async fn issue(
    state: &ControlState,
    caller: &Caller,
    mut draft: LinkDraft,
    now: Timestamp,
) -> Result<(Link, Vec<Warning>), ApiError> {
    draft.creator = caller.creator_of_new(draft.creator.take())?;
    let mut new = draft.check(&state.words, now)?;
    let found = identify(state.resolver.as_ref(), &state.words, &mut new).await?;
    let mut codes = Codes::open()?;
    match state.catalog.create(vec![new], move || codes.draw()).await?.pop() {
        Some(Created::Stored(link)) => Ok((*link, found)),
        Some(Created::CodeTaken(code)) => Err(ApiError::SlugTaken(code)),
        Some(Created::Failed(error)) => Err(error.into()),
        Some(Created::NoFreeCode) => Err(ApiError::NoFreeCode),
        None => Err(ApiError::Internal("the catalog gave no answer for a new link".to_owned())),
    }
}
