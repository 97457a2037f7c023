//! Why a pasted URL is refused: one small variant per reason, each naming the mend.
//!
//! The English text here is for logs and the command line; pages in other languages key on [`UrlFault::code`]. Never
//! repeats more of the refused text than its host, cut short.

/// Why a URL may not become a landing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlFault {
    /// Nothing but white space.
    #[error("no URL was given: paste one link that starts with https://")]
    Empty,
    /// Over [`super::LONGEST`] bytes, as pasted or as it would be sent.
    #[error("the URL is longer than 8,192 bytes: paste the marketplace's own share link")]
    TooLong,
    /// A control character, tab and line breaks included.
    #[error("the URL holds a control character, tab or line break: copy it again in one piece")]
    ControlCharacter,
    /// `\`, which browsers read as `/` and other software does not.
    #[error("the URL holds a backslash: write / or %5C")]
    Backslash,
    /// Another scheme than http or https, or none (`//host`).
    #[error("the URL has another scheme than https: paste the web link, starting with https://")]
    Scheme,
    /// No URL by the WHATWG rules, or not written out in full.
    #[error("this is not a complete URL: paste one link of the form https://host/path")]
    NotAUrl,
    /// `user@` or `user:password@` before the host.
    #[error("the URL holds a user name before its host: remove everything up to the @")]
    Userinfo,
    /// Another port than the scheme's own.
    #[error("the URL names a port: remove it")]
    Port,
    /// A host with non-ASCII letters or dots, or their `xn--` form.
    #[error("the host is not written in plain ASCII letters and may imitate another: type the marketplace's own host")]
    MixedScriptHost,
    /// A percent sign in the host.
    #[error("the host is percent-encoded: write it in plain letters")]
    EncodedHost,
    /// An address in place of a name.
    #[error("the host is an IP address: use the marketplace's own host name")]
    IpHost,
    /// Two dots in a row, a dot in front, or more than one behind.
    #[error("the host has an empty part between its dots: remove the extra dots")]
    HostDots,
    /// A host of no known marketplace.
    #[error("`{0}` is not a marketplace host: paste a link of Taobao, Tmall, JD or another marketplace known here")]
    HostNotAllowed(Box<str>),
    /// A host of a marketplace, but a login page or redirector, which can lead anywhere.
    #[error("`{0}` is a login or forwarding page, not a landing page: paste the link of the page behind it")]
    HostForwards(Box<str>),
    /// `%00`, `%0D%0A`, or either half of it in the path.
    #[error("the URL holds an encoded line break or NUL: remove %0D, %0A and %00")]
    EncodedLineBreak,
    /// Two URL parsers read different hosts out of the same text.
    #[error("URL parsers disagree on where this leads: paste the marketplace's own share link")]
    ParsersDisagree,
    /// A stored address not in the form this module writes.
    #[error("the stored address is not in the form this gateway writes: create the link again from its original URL")]
    NotNormalised,
}

impl UrlFault {
    /// A fault that names a host, cut short.
    pub(super) fn naming(variant: fn(Box<str>) -> UrlFault, host: &str) -> UrlFault {
        variant(host.chars().take(64).collect::<String>().into())
    }

    /// The stable name used in JSON and in translations.
    pub fn code(&self) -> &'static str {
        match self {
            UrlFault::Empty => "empty",
            UrlFault::TooLong => "too_long",
            UrlFault::ControlCharacter => "control_character",
            UrlFault::Backslash => "backslash",
            UrlFault::Scheme => "scheme",
            UrlFault::NotAUrl => "not_a_url",
            UrlFault::Userinfo => "userinfo",
            UrlFault::Port => "port",
            UrlFault::MixedScriptHost => "mixed_script_host",
            UrlFault::EncodedHost => "encoded_host",
            UrlFault::IpHost => "ip_host",
            UrlFault::HostDots => "host_dots",
            UrlFault::HostNotAllowed(_) => "host_not_allowed",
            UrlFault::HostForwards(_) => "host_forwards",
            UrlFault::EncodedLineBreak => "encoded_line_break",
            UrlFault::ParsersDisagree => "parsers_disagree",
            UrlFault::NotNormalised => "not_normalised",
        }
    }
}
