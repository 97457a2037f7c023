//! What the parameters of a click said, looked up in the journal by the click's id. Never writes.

use std::path::PathBuf;

use async_trait::async_trait;

use crate::domain::attribution::touch::Touch;
use crate::journal::read::find;

/// Where the parameters of recorded clicks are found.
#[async_trait]
pub trait ClickMacros: Send + Sync {
    /// The parameters of a click, as its hop has them; `None` when the hop is not here.
    async fn of(&self, touch: &Touch) -> Option<String>;
}

/// Those of clicks that this node's journal still has.
pub struct JournalMacros {
    dir: PathBuf,
}

impl JournalMacros {
    /// The journal in this folder.
    pub fn new(dir: PathBuf) -> Self {
        JournalMacros { dir }
    }
}

#[async_trait]
impl ClickMacros for JournalMacros {
    async fn of(&self, touch: &Touch) -> Option<String> {
        let (dir, click, at) = (self.dir.clone(), touch.click, touch.at);
        let found = tokio::task::spawn_blocking(move || {
            let record = find(&dir, click, at).map_err(|error| error.to_string())?;
            match record {
                Some(record) => record.hop().map(|hop| Some(hop.macros.to_owned())).map_err(|error| error.to_string()),
                None => Ok(None),
            }
        });
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
