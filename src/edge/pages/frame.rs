//! What every page shares: head, style, and the one way anything gets into a page.

use std::fmt::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;
use ring::digest::{SHA256, digest};

use super::Language;
pub use crate::wording::escape;

/// What a page holds besides its title. `body` and `head` are markup: whoever writes them escapes what is not theirs.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The language.
    pub language: Language,
    /// The title, as a text.
    pub title: &'a str,
    /// More for the head, as markup: a script or a style of this sort of page.
    pub head: &'a str,
    /// What stands in `main`, as markup.
    pub body: &'a str,
}

impl Frame<'_> {
    /// The whole page.
    pub fn html(&self) -> String {
        format!(
            "<!doctype html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"robots\" content=\"noindex\">\n\
             <title>{}</title>\n<style>{STYLE}</style>\n{}</head>\n<body>\n<main>\n{}</main>\n</body>\n</html>\n",
            self.language.tag(),
            escape(self.title),
            self.head,
            self.body,
        )
    }
}

/// The line with the click's id; empty without one.
pub fn reference(hop_id: Option<&str>, language: Language) -> String {
    let id = hop_id.map(|id| {
        let label = language.pick("编号", "Reference");
        format!("<p class=\"id\">{label} {}</p>", escape(id))
    });
    id.unwrap_or_default()
}

const STYLE: &str = "body{font:17px/1.6 system-ui,-apple-system,\"PingFang SC\",\"Noto Sans SC\",sans-serif;margin:0;\
background:Canvas;color:CanvasText}main{max-width:34rem;margin:12vh auto;padding:0 1.25rem}\
h1{font-size:1.35rem;margin:0 0 .75rem}.id{font:14px ui-monospace,monospace;opacity:.6;word-break:break-all;\
margin-top:2rem}\
.go,.or{display:block;box-sizing:border-box;width:100%;margin:1rem 0;padding:.75rem 1rem;border:1px solid;\
border-radius:.75rem;font:inherit;text-align:center;text-decoration:none;color:inherit;background:none}\
.go{background:#0b57d0;border-color:#0b57d0;color:#fff;font-weight:600;cursor:pointer}.go[hidden]{display:none}\
.text{display:block;box-sizing:border-box;width:100%;margin:1rem 0;padding:.75rem;border:1px solid;border-radius:.75rem;\
font:16px ui-monospace,monospace;color:inherit;background:none}\
.menu{margin:-8vh 0 6vh;text-align:right;font-weight:600}";

/// What a page may do: nothing but look as every page does or as `style` says, and run `script`. All are named by their hash, so that nothing
/// that gets into a page becomes either.
pub fn policy(style: Option<&str>, script: Option<&str>) -> HeaderValue {
    let hash = |text: &str| BASE64_STANDARD.encode(digest(&SHA256, text.as_bytes()));
    // Writing to a text does not fail.
    let mut policy = format!("default-src 'none'; style-src 'sha256-{}'", hash(STYLE));
    if let Some(style) = style {
        let _ = write!(policy, " 'sha256-{}'", hash(style));
    }
    if let Some(script) = script {
        let _ = write!(policy, "; script-src 'sha256-{}'", hash(script));
    }
    policy.push_str("; frame-ancestors 'none'; base-uri 'none'; form-action 'none'");
    // It is ASCII throughout.
    HeaderValue::from_str(&policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
}
