//! How a permitted visitor is sent on. Never decides whether a click is allowed: a way is picked only after a permit.
//!
//! - [`matrix`]: which way a visitor is sent, by what the agreement asks, host app, system and marketplace;
//! - [`address`]: the addresses of the ways that lead elsewhere than to the landing itself.

pub mod address;
pub mod matrix;

use super::vocabulary::closed_list;

closed_list! {
    /// How a permitted visitor was sent on. The agreement's landing mode says what is wanted; this is what was done.
    Way {
        /// A plain redirect to the landing.
        Redirect = "redirect",
        /// A page whose button is the app's universal link.
        UniversalLink = "universal_link",
        /// A page that opens the app by its own scheme and falls back to the landing.
        Scheme = "scheme",
        /// A page that opens the app by an Android intent, which falls back by itself.
        Intent = "intent",
        /// A page that asks to open the link in the system's browser, or to copy it.
        BrowserPrompt = "browser_prompt",
        /// A page with a text to copy into the app.
        CopyCode = "copy_code",
        /// The marketplace's mini program.
        MiniProgram = "mini_program",
        /// A redirect to a page made for being shown inside another app.
        InApp = "in_app",
        /// A redirect to embedded content.
        Content = "content",
        /// The page itself, streamed through the gateway.
        Proxy = "proxy",
        /// The page could not be had from the gateway's upstream.
        UpstreamFailed = "upstream_failed",
        /// A card of words for a link-preview fetcher.
        Card = "card",
    }
}
