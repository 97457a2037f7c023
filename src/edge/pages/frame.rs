//! What every page shares: head, style, and the one way anything gets into a page.

use super::Language;

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
h1{font-size:1.35rem;margin:0 0 .75rem}.id{font:12px ui-monospace,monospace;opacity:.6;word-break:break-all;\
margin-top:2rem}";

/// A text as it can stand in an element or between quotes of either sort. Everything that is not ours goes through this.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}
