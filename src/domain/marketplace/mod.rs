//! Marketplaces: which URLs are theirs, what they identify, and where a click may land. Never resolves a short link,
//! asks the network, or decides whether a click is allowed.
//!
//! One pasted URL goes through [`Marketplaces::recognise`]: strict reading (`pasted`), the allow-list of hosts (`host`),
//! identity by tables (`shape`), and at last the proof that two unlike parsers read the emitted text alike. A whole share
//! text goes through [`Marketplaces::recognise_text`], which finds its one URL (`share`) and hands it there.
//!
//! The tables are data ([`table`]), one file a marketplace, read elsewhere and checked here (`check`): a new marketplace
//! is one more file. A [`Vocabulary`](super::vocabulary::Vocabulary) owns those of a process.

pub mod app;
mod check;
mod fault;
mod host;
mod markets;
mod pasted;
mod shape;
mod share;
mod short;
pub mod table;

#[cfg(test)]
mod tests;

pub use check::TableFault;
pub use fault::UrlFault;
pub use markets::Marketplaces;
pub use share::{CodeKind, LONGEST_TEXT, ShareFault};

use self::host::Standing;
use self::pasted::{HTTPS, is_visible};
use super::vocabulary::{LinkKind, MarketplaceId, ShopType};

/// The longest URL taken in or sent out, in bytes.
pub const LONGEST: usize = 8_192;

/// A landing address that has passed the allow-list. Only this module builds one.
///
/// It holds visible ASCII only, and none of `" < > \ ^ { | }` or the backtick; `'` and `&` may be there, so a page that
/// shows it must still escape it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Destination(Box<str>);

impl Destination {
    /// The absolute https URL, visible ASCII only.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host, in lower case.
    pub fn host(&self) -> &str {
        split_host(&self.0).map_or("", |(host, _)| host)
    }

    /// Takes back an address that this module once wrote, for loading links by the million: one pass over the bytes and
    /// one look at the host, no parser, and the box as the only allocation. As strict as the form it was written in, so
    /// an address whose host has since left the allow-list is refused.
    ///
    /// # Errors
    /// [`UrlFault`] when the text is not in that form or its host is not allowed.
    pub fn from_stored(text: &str, markets: &Marketplaces) -> Result<(Destination, MarketplaceId), UrlFault> {
        let marketplace = check_stored(text, markets)?;
        Ok((Destination(text.into()), marketplace))
    }

    /// Builds a destination from a text this module put together, once every parser at hand agrees on it.
    fn prove(text: String, host: &str, markets: &Marketplaces) -> Result<Destination, UrlFault> {
        let seen_by_all = check_form(&text, markets).is_ok() && browser_sees(&text, host) && rfc_3986_sees(&text, host);
        if seen_by_all { Ok(Destination(text.into())) } else { Err(UrlFault::ParsersDisagree) }
    }
}

/// Host, and all from the path on, of a text that starts with `https://`.
fn split_host(text: &str) -> Option<(&str, &str)> {
    let after = text.strip_prefix(HTTPS)?;
    let end = after.bytes().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(after.len());
    Some(after.split_at(end))
}

fn check_stored(text: &str, markets: &Marketplaces) -> Result<MarketplaceId, UrlFault> {
    let marketplace = check_form(text, markets)?;
    let (host, rest) = split_host(text).ok_or(UrlFault::NotNormalised)?;
    leads_nowhere_else(marketplace, host, rest, markets)?;
    Ok(marketplace)
}

/// No click may land on a page that leads wherever a parameter says.
fn leads_nowhere_else(id: MarketplaceId, host: &str, rest: &str, markets: &Marketplaces) -> Result<(), UrlFault> {
    if markets.forwards(id, host, rest) { Err(UrlFault::naming(UrlFault::HostForwards, host)) } else { Ok(()) }
}

/// Form and host of a stored address.
fn check_form(text: &str, markets: &Marketplaces) -> Result<MarketplaceId, UrlFault> {
    if text.len() > LONGEST {
        return Err(UrlFault::TooLong);
    }
    let (host, rest) = split_host(text).ok_or(UrlFault::NotNormalised)?;
    // One accumulated flag and no early exit: the loop has no branch to mispredict.
    if rest.bytes().fold(false, |bad, byte| bad | NOT_VISIBLE[usize::from(byte)]) {
        return Err(UrlFault::NotNormalised);
    }
    match markets.standing(host) {
        Standing::Allowed(marketplace) => Ok(marketplace),
        Standing::Forwards => Err(UrlFault::naming(UrlFault::HostForwards, host)),
        Standing::Foreign => Err(UrlFault::naming(UrlFault::HostNotAllowed, host)),
    }
}

static NOT_VISIBLE: [bool; 256] = {
    let mut table = [true; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = !is_visible(byte as u8);
        byte += 1;
    }
    table
};

/// What a browser makes of it (the WHATWG rules).
fn browser_sees(text: &str, host: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| {
        url.scheme() == "https"
            && url.host_str() == Some(host)
            && url.port().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    })
}

/// What servers and older clients make of it (RFC 3986, by code that shares nothing with the other).
fn rfc_3986_sees(text: &str, host: &str) -> bool {
    text.parse::<http::Uri>().is_ok_and(|uri| {
        uri.scheme_str() == Some("https")
            && uri.host() == Some(host)
            && uri.port().is_none()
            && uri.authority().is_some_and(|authority| authority.as_str() == host)
    })
}

/// What a pasted URL leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Landing {
    /// The marketplace.
    pub marketplace: MarketplaceId,
    /// What the URL leads to.
    pub link_kind: LinkKind,
    /// What the host suggests of the shop; a hint, never a ground for an allow.
    pub shop_hint: ShopType,
    /// The product's id as text (JD alliance ids are opaque strings).
    pub item: Option<Box<str>>,
    /// The variant, where the URL names one.
    pub variant: Option<Box<str>>,
    /// The shop's id, with its kind where a marketplace has two: `shop:123`, `seller:456`.
    pub shop: Option<Box<str>>,
    /// The address as the alliance issued it.
    pub destination: Destination,
}

impl Landing {
    /// The key that is the same for every way of writing the same thing: `taobao/item/<id>` for Taobao and Tmall, which
    /// share their numbers, `jd/item/<sku>`, `taobao/shop/shop:<id>`; `suning/item/<id>/shop:<id>` where the same goods of
    /// two shops are two offers. What names neither item nor shop is keyed by its own address without noise:
    /// `jd/page/3.cn/<code>`. Never a thing to redirect to.
    pub fn key(&self, markets: &Marketplaces) -> String {
        let table = markets.of(self.marketplace);
        let family = table.map_or("unknown", |known| &known.family);
        let per_shop = table.is_some_and(|known| known.items_per_shop);
        match (&self.item, &self.shop) {
            (Some(item), Some(shop)) if per_shop => return format!("{family}/item/{item}/{shop}"),
            (Some(item), _) => return format!("{family}/item/{item}"),
            (None, Some(shop)) => return format!("{family}/shop/{shop}"),
            (None, None) => {}
        }
        let noise = table.map_or(&[][..], |known| &known.noise);
        let (host, rest) = split_host(self.destination.as_str()).unwrap_or_default();
        let (path, query) = shape::path_and_query(rest);
        let path = if path.is_empty() { "/" } else { path };
        let mut key = format!("{family}/page/{host}{path}");
        let mut mark = '?';
        for (name, value) in shape::parameters(query).filter(|(name, _)| !is_noise(name, noise)) {
            key.push(mark);
            key.push_str(name);
            key.push('=');
            key.push_str(value);
            mark = '&';
        }
        key
    }
}

/// Whether a query name is in a list of noise, where a `*` at the end of an entry stands for any ending.
fn is_noise(name: &str, noise: &[Box<str>]) -> bool {
    noise.iter().any(|entry| match entry.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == &**entry,
    })
}

impl Marketplaces {
    /// What one pasted URL leads to. White space around it makes no difference; a whole share text is for
    /// [`Marketplaces::recognise_text`].
    ///
    /// A trusted host with no known shape is taken as [`LinkKind::Unknown`], which never satisfies a condition of an allow.
    ///
    /// # Errors
    /// [`UrlFault`] naming the first thing that is wrong.
    ///
    /// ```
    /// use hopgate::domain::vocabulary::Vocabulary;
    ///
    /// let words = Vocabulary::default();
    /// let markets = words.markets();
    /// let landing = markets.recognise("https://detail.tmall.com/item.htm?id=610947572360&spm=a21n57.1").unwrap();
    /// assert_eq!(landing.key(markets), "taobao/item/610947572360");
    /// assert_eq!(markets.recognise("https://item.jd.com@evil.test/1.html").unwrap_err().code(), "userinfo");
    /// ```
    pub fn recognise(&self, text: &str) -> Result<Landing, UrlFault> {
        let landing = self.recognise_step(text)?;
        let (host, rest) = split_host(landing.destination.as_str()).ok_or(UrlFault::NotNormalised)?;
        leads_nowhere_else(landing.marketplace, host, rest, self)?;
        Ok(landing)
    }

    /// The same for a page that a short link leads over: a marketplace's own forwarders ([`table::Marketplace::forwards`])
    /// are taken too, as they are asked where they lead, and no click ever lands there.
    ///
    /// # Errors
    /// As for [`Marketplaces::recognise`].
    pub fn recognise_step(&self, text: &str) -> Result<Landing, UrlFault> {
        let address = pasted::read(text, self)?;
        let host = address.host().to_owned();
        let table = self.of(address.marketplace).ok_or_else(|| UrlFault::naming(UrlFault::HostNotAllowed, &host))?;
        let found = shape::identify(table, &host, address.rest());
        Ok(Landing {
            marketplace: address.marketplace,
            link_kind: found.kind,
            shop_hint: table.shop_hint,
            item: found.item,
            variant: found.variant,
            shop: found.shop,
            destination: Destination::prove(address.text, &host, self)?,
        })
    }

    /// Which marketplace's and which of its shapes a URL has: how a file's own examples are tried.
    ///
    /// # Errors
    /// [`UrlFault`], as for any pasted URL.
    pub fn shape_of(&self, text: &str) -> Result<(MarketplaceId, Option<usize>), UrlFault> {
        let address = pasted::read(text, self)?;
        leads_nowhere_else(address.marketplace, address.host(), address.rest(), self)?;
        let table = self.of(address.marketplace);
        let fit = table.and_then(|table| shape::first_fit(table, address.host(), address.rest()));
        Ok((address.marketplace, fit.map(|(place, _)| place)))
    }
}
