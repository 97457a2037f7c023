//! What the parameters of a click said, looked up among recorded hops by the click's id. Never writes.

use async_trait::async_trait;

use crate::archive::Recorded;
use crate::archive::hops::find;
use crate::domain::attribution::touch::Touch;

/// Where the parameters of recorded clicks are found.
#[async_trait]
pub trait ClickMacros: Send + Sync {
    /// The parameters of a click, as its hop has them; `None` when the hop is not here.
    async fn of(&self, touch: &Touch) -> Option<String>;
}

/// Those of clicks that are recorded here, archived ones too.
pub struct RecordedMacros(Recorded);

impl RecordedMacros {
    /// The hops that are kept here.
    pub fn new(hops: Recorded) -> Self {
        RecordedMacros(hops)
    }
}

#[async_trait]
impl ClickMacros for RecordedMacros {
    async fn of(&self, touch: &Touch) -> Option<String> {
        let (hops, click, at) = (self.0.clone(), touch.click, touch.at);
        let found = tokio::task::spawn_blocking(move || find(&hops, click, at, |_, hop| hop.macros.to_owned()));
        match found.await {
            Ok(Ok(macros)) => macros,
            Ok(Err(error)) => {
                tracing::error!(%click, %error, "postback: the hop of a click cannot be read");
                None
            }
            Err(_) => None,
        }
    }
}
