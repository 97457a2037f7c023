//! Why a pasted text is refused: the faults of an address, and those that only words around it can have.
//!
//! The English text is for the API and the command line; translations key on [`ShareFault::code`].

use super::super::fault::UrlFault;
use super::code::CodeKind;

/// Why no landing comes out of a pasted text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShareFault {
    /// The address in it, or it as an address.
    #[error(transparent)]
    Url(#[from] UrlFault),
    /// Words and address together over [`super::LONGEST_TEXT`] bytes.
    #[error("the text is longer than 4,096 bytes: paste the link, or only the part of the text that holds it")]
    TooLong,
    /// A letter other than ASCII in the host or right behind it: `https://item.jd.com快看`.
    #[error(
        "a character that is not plain ASCII stands in or right after the host `{0}`: type the marketplace's own host, and \
         put a space between the link and the words"
    )]
    HostGoesOn(Box<str>),
    /// A character that nobody sees, or a line's end, and more of a link behind it.
    #[error(
        "an invisible character or a line break stands right behind `{0}`, and the link may go on there: remove it, or put a \
         space in its place if the link ends there"
    )]
    Broken(Box<str>),
    /// Two different links of marketplaces.
    #[error("the text holds two links, `{0}` and `{1}`: keep the one that is meant")]
    SeveralUrls(Box<str>, Box<str>),
    /// Two different codes.
    #[error("the text holds two codes, `{0}` and `{1}`: keep the one that is meant")]
    SeveralCodes(Box<str>, Box<str>),
    /// Words alone.
    #[error("no link was found in the text: paste a text with one link that starts with https://")]
    NoUrl,
    /// A code for an app, without a link.
    #[error(
        "this is {kind}, a code without a link: the {app} app alone knows which goods it stands for, so it cannot be \
         identified here. Open it in the app, copy the link there, and paste that link or the whole text that holds it",
        kind = .0.name(),
        app = .0.app()
    )]
    UnidentifiableCode(CodeKind),
}

impl ShareFault {
    /// The stable name used in JSON and in translations.
    pub fn code(&self) -> &'static str {
        match self {
            ShareFault::Url(fault) => fault.code(),
            ShareFault::TooLong => "too_long",
            ShareFault::HostGoesOn(_) => "mixed_script_host",
            ShareFault::Broken(_) => "control_character",
            ShareFault::SeveralUrls(..) => "several_urls",
            ShareFault::SeveralCodes(..) => "several_codes",
            ShareFault::NoUrl => "no_url",
            ShareFault::UnidentifiableCode(_) => "unidentifiable_code",
        }
    }

    /// A fault that names a host or an address, cut short.
    pub(super) fn naming(variant: fn(Box<str>) -> Self, text: &str) -> Self {
        variant(short(text))
    }

    /// Two codes; one has at most twenty letters.
    pub(super) fn several_codes((first, second): (&str, &str)) -> Self {
        ShareFault::SeveralCodes(first.into(), second.into())
    }

    /// Two links, cut short.
    pub(super) fn several(first: &str, second: &str) -> Self {
        ShareFault::SeveralUrls(short(first), short(second))
    }
}

fn short(text: &str) -> Box<str> {
    text.chars().take(120).collect::<String>().into()
}
