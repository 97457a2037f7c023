//! Pages for visitors who came with something signed that cannot be served. Never says which check failed: that is for
//! operators, who see it counted.

use super::{Language, Words};

/// What to tell a visitor who came with something signed that is not to be believed.
pub fn forged(language: Language) -> Words {
    Words {
        title: language.pick("链接校验未通过", "This link could not be verified").to_owned(),
        why: language
            .pick(
                "链接已过期、被改动，或已被他人使用过。",
                "It has expired, was changed on the way, or was already used by somebody else.",
            )
            .to_owned(),
        also: None,
        next: language
            .pick("请回到原来的应用里重新点击。", "Go back to the app it came from and tap again.")
            .to_owned(),
    }
}

/// What to tell a visitor whose signed link leads nowhere this gateway may send them. `detail` is for its maker.
pub fn unfit(detail: &str, language: Language) -> Words {
    Words {
        title: language.pick("链接无法打开", "This link cannot be opened").to_owned(),
        why: language
            .pick("链接指向的页面不被允许，或链接不完整。", "It leads to a page that is not allowed, or is not whole.")
            .to_owned(),
        also: Some(detail.to_owned()),
        next: language.pick("请联系链接的发布者。", "Tell whoever published it.").to_owned(),
    }
}
