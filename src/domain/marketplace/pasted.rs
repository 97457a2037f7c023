//! Reads one pasted URL: strict checks of our own first, then the WHATWG parser, which must agree. Never repairs a text
//! that two programs could read in two ways, and never decodes anything.
//!
//! What is changed, and all that is changed: white space around the text is dropped, scheme and host become `https` and
//! lower case, a default port and one dot after the host go, and bytes that may not stand in a header or an attribute
//! are percent-encoded. From the path on every other byte is kept, because commission travels in those bytes. That is
//! why the emitted text is not `Url::as_str()`: it would encode `'` in a query, fold `..`, and add a `/`.
//!
//! Encoded line breaks: only visible ASCII is emitted, so `%0D%0A` cannot split *our* header. It is refused all the same
//! because the marketplace's own forwarders may decode it. A lone `%0A` or `%0D` in a query passes: share titles and
//! wrapped base64 hold one. In a path neither has any use.

use super::LONGEST;
use super::fault::UrlFault;
use super::host::Standing;
use super::markets::Marketplaces;
use crate::domain::vocabulary::MarketplaceId;
use url::{Host, Url};

/// A pasted URL, checked and in its normal form.
pub(super) struct Address {
    /// Whose it is.
    pub marketplace: MarketplaceId,
    /// `https://`, host, and the rest.
    pub text: String,
    /// Where the host ends in `text`.
    pub host_end: usize,
}

pub(super) const HTTPS: &str = "https://";

impl Address {
    pub fn host(&self) -> &str {
        &self.text[HTTPS.len()..self.host_end]
    }

    /// From the path on.
    pub fn rest(&self) -> &str {
        &self.text[self.host_end..]
    }
}

/// Reads one pasted URL.
pub(super) fn read(text: &str, markets: &Marketplaces) -> Result<Address, UrlFault> {
    // By length alone, so that megabytes cost nothing.
    if text.len() > LONGEST {
        return Err(UrlFault::TooLong);
    }
    let text = text.trim();
    if text.is_empty() {
        return Err(UrlFault::Empty);
    }
    if text.chars().any(char::is_control) {
        return Err(UrlFault::ControlCharacter);
    }
    if text.contains('\\') {
        return Err(UrlFault::Backslash);
    }
    let (default_port, after) = scheme(text)?;
    let end = after.find(['/', '?', '#']).unwrap_or(after.len());
    let (authority, rest) = after.split_at(end);
    let host = host_of(authority, default_port)?;
    let marketplace = match markets.standing(&host) {
        Standing::Allowed(marketplace) => marketplace,
        Standing::Forwards => return Err(UrlFault::naming(UrlFault::HostForwards, &host)),
        Standing::Foreign => return Err(UrlFault::naming(UrlFault::HostNotAllowed, &host)),
    };
    browser_agrees(text, &host)?;
    no_encoded_line_breaks(rest)?;

    let mut emitted = String::with_capacity(HTTPS.len() + host.len() + rest.len() + 16);
    emitted.push_str(HTTPS);
    emitted.push_str(&host);
    push_visible(&mut emitted, rest);
    if emitted.len() > LONGEST {
        return Err(UrlFault::TooLong);
    }
    Ok(Address { marketplace, host_end: HTTPS.len() + host.len(), text: emitted })
}

/// The scheme's own port, and what comes after `://`.
fn scheme(text: &str) -> Result<(&'static str, &str), UrlFault> {
    let after = |prefix: &str| {
        text.get(..prefix.len()).filter(|front| front.eq_ignore_ascii_case(prefix)).map(|_| &text[prefix.len()..])
    };
    if let Some(rest) = after(HTTPS) {
        return Ok(("443", rest));
    }
    if let Some(rest) = after("http://") {
        return Ok(("80", rest));
    }
    if after("https:").is_some() || after("http:").is_some() {
        return Err(UrlFault::NotAUrl);
    }
    // Another scheme, or none at all: `javascript:…`, `//host/…`.
    let named = text.find(':').is_some_and(|colon| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text[..colon].bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    });
    if named || text.starts_with("//") { Err(UrlFault::Scheme) } else { Err(UrlFault::NotAUrl) }
}

/// The host of an authority in its normal form, if the authority is nothing but a host and the default port.
fn host_of(authority: &str, default_port: &str) -> Result<String, UrlFault> {
    if authority.contains('@') {
        return Err(UrlFault::Userinfo);
    }
    if !authority.is_ascii() {
        return Err(UrlFault::MixedScriptHost);
    }
    if authority.contains('%') {
        return Err(UrlFault::EncodedHost);
    }
    if authority.starts_with('[') {
        return Err(UrlFault::IpHost);
    }
    let host = match authority.split_once(':') {
        None => authority,
        Some((host, port)) if port == default_port => host,
        Some(_) => return Err(UrlFault::Port),
    };
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if host.is_empty() || host.len() > 253 {
        return Err(UrlFault::NotAUrl);
    }
    if host.split('.').any(str::is_empty) {
        return Err(UrlFault::HostDots);
    }
    if host.split('.').any(|label| label.starts_with("xn--")) {
        return Err(UrlFault::MixedScriptHost);
    }
    if host.bytes().any(|b| !(b.is_ascii_alphanumeric() || b == b'.' || b == b'-')) {
        return Err(UrlFault::NotAUrl);
    }
    if matches!(Host::parse(&host), Ok(Host::Ipv4(_) | Host::Ipv6(_))) {
        return Err(UrlFault::IpHost);
    }
    Ok(host)
}

/// The WHATWG parser, that is a browser, must read the same host out of the pasted text.
fn browser_agrees(text: &str, host: &str) -> Result<(), UrlFault> {
    let url = Url::parse(text).map_err(|_| UrlFault::NotAUrl)?;
    let seen = url.host_str().map(|seen| seen.strip_suffix('.').unwrap_or(seen));
    let plain = url.port().is_none() && url.username().is_empty() && url.password().is_none();
    if seen == Some(host) && plain { Ok(()) } else { Err(UrlFault::ParsersDisagree) }
}

fn no_encoded_line_breaks(rest: &str) -> Result<(), UrlFault> {
    let path = rest.find(['?', '#']).unwrap_or(rest.len());
    let bytes = rest.as_bytes();
    let is = |at: usize, code: &[u8; 3]| bytes.get(at..at + 3).is_some_and(|found| found.eq_ignore_ascii_case(code));
    for (at, _) in rest.match_indices('%') {
        let line_break = is(at, b"%0d") || is(at, b"%0a");
        let pair = is(at, b"%0d") && is(at + 3, b"%0a");
        if is(at, b"%00") || pair || (line_break && at < path) {
            return Err(UrlFault::EncodedLineBreak);
        }
    }
    Ok(())
}

/// Appends a text byte for byte, percent-encoding what may not stand in the emitted URL.
fn push_visible(emitted: &mut String, rest: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in rest.bytes() {
        if is_visible(byte) {
            emitted.push(char::from(byte));
        } else {
            emitted.push('%');
            emitted.push(char::from(HEX[usize::from(byte >> 4)]));
            emitted.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// Whether a byte may stand in an emitted URL: visible ASCII, without those that end or open something elsewhere.
pub(super) const fn is_visible(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e) && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
}
