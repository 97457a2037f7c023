//! What platforms sign: outbound clicks without a stored link (`/go`), and tokens that say where a stored link was tapped
//! (`?hg=`). HMAC-SHA-256 with a key of the platform's; checked in constant time. Never reads a clock or a key file.
//!
//! # `/go`
//!
//! The parameters of the query but `sig`, each name and value percent-decoded once (`+` is a space), sorted by name in byte
//! order, written again as `name=value` with every byte but `A-Z a-z 0-9 - . _ ~` as `%` and two capital hex digits, and
//! joined by `&`. Before that stands `hopgate-go-v1` and a line feed. `sig` is the HMAC of these bytes in base64url without
//! padding, 43 characters. Every parameter is signed, known or not; none may be there twice. A query that is written that
//! way from the start is what is signed, as it is.
//!
//! | parameter | |
//! |---|---|
//! | `to` | the landing: an address the allow-list takes |
//! | `platform`, `surface` | where the click happens; the platform must be the key's |
//! | `key` | the key's id |
//! | `exp` | Unix seconds; from then on the address is refused. Must be there, and at most 366 days ahead, unless the key's `without_exp` is set |
//! | `creator`, `note`, `shop_type`, `category`, `facts` | optional; facts separated by spaces, `!name` for one known to be absent |
//!
//! # `hg`
//!
//! Ten parts between dots: `hg1`, the key's id, the platform, the surface, issued at and expires at (Unix seconds), a nonce
//! of 8 to 32 characters `A-Z a-z 0-9 - _`, creator and note (each base64url of its UTF-8 without padding, empty for none),
//! and the HMAC in base64url without padding. Signed are the first nine parts with their dots, a line feed, and the code of
//! the link it is for: a token says nothing of another link. It lives as long as the gateway's setting allows at most.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

use super::link::Placement;
use super::percent::{encode, nibble};
use super::time::Timestamp;
use super::vocabulary::{PlatformId, Surface, Vocabulary, closed_list};

/// What the canonical text of `/go` begins with.
pub const GO_PREFIX: &str = "hopgate-go-v1\n";
/// What a token begins with.
const TOKEN_PREFIX: &str = "hg1";
/// Most parameters of a signed address.
const MOST_PARAMETERS: usize = 32;
/// Longest token.
const LONGEST_TOKEN: usize = 512;
/// How far a platform's clock may be ahead of ours.
const SKEW_MICROS: i64 = 60 * 1_000_000;
/// How far ahead `exp` may be of a key that may not sign for ever: a leap year.
pub const MOST_GO_DAYS: i64 = 366;
/// Fewest bytes of a secret.
pub const FEWEST_SECRET: usize = 32;

closed_list! {
    /// Why a signed thing is refused. To the visitor all are `bad_signature`; operators see which.
    SignFault {
        /// Not in the form that is signed.
        Malformed = "malformed",
        /// A parameter stands there twice.
        Duplicate = "duplicate",
        /// No such key, or one that is not valid yet or any more.
        UnknownKey = "unknown_key",
        /// The signature is not of these bytes under this key.
        Mismatch = "mismatch",
        /// Its time is over.
        Expired = "expired",
        /// It was issued in the future.
        Early = "early",
        /// It says no end, or one further off than is allowed.
        Lifetime = "lifetime",
        /// The key is another platform's, or not for this surface.
        Scope = "scope",
        /// It says otherwise than the link it came with.
        Contradiction = "contradiction",
        /// Another visitor came with it before.
        Replayed = "replayed",
    }
}

closed_list! {
    /// What was signed.
    Signed {
        /// A placement token.
        Token = "token",
        /// An outbound click.
        Go = "go",
    }
}

/// A key of a platform.
#[derive(Clone, Debug)]
pub struct SigningKey {
    /// Named in what it signs.
    pub id: Box<str>,
    /// The only platform it speaks for.
    pub platform: PlatformId,
    /// The surfaces it speaks for; empty for all.
    pub surfaces: Vec<Surface>,
    /// Valid from …
    pub from: Timestamp,
    /// … until just before.
    pub until: Timestamp,
    /// Whether it may sign outbound clicks that never end.
    pub without_exp: bool,
    secret: hmac::Key,
}

impl SigningKey {
    /// A key with its secret, valid for ever and for every surface; `None` when the secret is shorter than
    /// [`FEWEST_SECRET`] bytes.
    pub fn new(id: &str, platform: PlatformId, secret: &[u8]) -> Option<Self> {
        (secret.len() >= FEWEST_SECRET).then(|| SigningKey {
            id: id.into(),
            platform,
            surfaces: Vec::new(),
            from: Timestamp::MIN,
            until: Timestamp::MAX,
            without_exp: false,
            secret: hmac::Key::new(hmac::HMAC_SHA256, secret),
        })
    }

    fn mac(&self, text: &str) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.secret, text.as_bytes()))
    }

    fn verifies(&self, text: &[u8], mac: &str) -> bool {
        // 43 characters of base64 hold 32 bytes; anything else is no signature.
        let mut bytes = [0; 33];
        matches!(URL_SAFE_NO_PAD.decode_slice(mac, &mut bytes), Ok(32))
            && hmac::verify(&self.secret, text, &bytes[..32]).is_ok()
    }

    /// Whether it speaks for a surface of its platform.
    pub fn speaks_for(&self, surface: Surface) -> bool {
        self.surfaces.is_empty() || self.surfaces.contains(&surface)
    }

    fn covers(&self, platform: Option<PlatformId>, surface: Surface) -> bool {
        platform == Some(self.platform) && self.speaks_for(surface)
    }
}

/// Every platform's keys. Several may be valid at once, so that they can be changed without a gap.
#[derive(Clone, Debug, Default)]
pub struct SigningKeys {
    keys: Vec<SigningKey>,
    /// The longest a token may live, in seconds.
    token_life: i64,
}

impl SigningKeys {
    /// These keys; tokens live `token_life` seconds at most.
    pub fn new(keys: Vec<SigningKey>, token_life: i64) -> Self {
        SigningKeys { keys, token_life }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The longest a token may live, in seconds.
    pub fn token_life(&self) -> i64 {
        self.token_life
    }

    /// The key of an id, whether it is valid now or not.
    pub fn named(&self, id: &str) -> Option<&SigningKey> {
        self.keys.iter().find(|key| &*key.id == id)
    }

    fn valid(&self, id: &str, now: Timestamp) -> Result<&SigningKey, SignFault> {
        self.named(id).filter(|key| key.from <= now && now < key.until).ok_or(SignFault::UnknownKey)
    }

    /// Checks an outbound click.
    ///
    /// # Errors
    /// [`SignFault`]; where several are wrong, the first that can be told without trusting the rest.
    pub fn check_go(&self, query: &str, now: Timestamp, words: &Vocabulary) -> Result<GoClick, SignFault> {
        let signed = SignedQuery::read(query)?;
        let key = self.valid(signed.get("key").ok_or(SignFault::Malformed)?, now)?;
        if !key.verifies(signed.canonical().as_bytes(), &signed.sig) {
            return Err(SignFault::Mismatch);
        }
        match signed.get("exp") {
            Some(exp) => {
                let exp = seconds(exp).ok_or(SignFault::Malformed)?;
                if now >= exp {
                    return Err(SignFault::Expired);
                }
                if !key.without_exp && is_too_far(now, exp) {
                    return Err(SignFault::Lifetime);
                }
            }
            None if key.without_exp => {}
            None => return Err(SignFault::Lifetime),
        }
        let platform = words.platform(signed.get("platform").ok_or(SignFault::Malformed)?);
        let surface = signed.get("surface").and_then(Surface::parse).ok_or(SignFault::Malformed)?;
        if !key.covers(platform, surface) {
            return Err(SignFault::Scope);
        }
        Ok(GoClick { placement: Placement { platform, surface: Some(surface) }, query: signed })
    }

    /// Checks a token that came with a click on the link of this code.
    ///
    /// # Errors
    /// [`SignFault`]. Whether it was used before is for the caller to tell.
    pub fn check_token<'t>(
        &self,
        token: &'t str,
        code: &str,
        now: Timestamp,
        words: &Vocabulary,
    ) -> Result<Token<'t>, SignFault> {
        if token.len() > LONGEST_TOKEN {
            return Err(SignFault::Malformed);
        }
        let mut parts = token.split('.');
        let mut next = || parts.next().ok_or(SignFault::Malformed);
        let (prefix, id, platform, surface) = (next()?, next()?, next()?, next()?);
        let (issued, expires, nonce) = (next()?, next()?, next()?);
        let (creator, note, mac) = (next()?, next()?, next()?);
        if prefix != TOKEN_PREFIX || parts.next().is_some() {
            return Err(SignFault::Malformed);
        }
        let key = self.valid(id, now)?;
        let signed = &token[..token.len() - mac.len() - 1];
        let mut text = String::with_capacity(signed.len() + 1 + code.len());
        text.push_str(signed);
        text.push('\n');
        text.push_str(code);
        if !key.verifies(text.as_bytes(), mac) {
            return Err(SignFault::Mismatch);
        }
        let issued = seconds(issued).ok_or(SignFault::Malformed)?;
        let expires = seconds(expires).ok_or(SignFault::Malformed)?;
        if !is_nonce(nonce) {
            return Err(SignFault::Malformed);
        }
        if expires.micros() - issued.micros() > self.token_life.saturating_mul(1_000_000) || expires <= issued {
            return Err(SignFault::Lifetime);
        }
        if now >= expires {
            return Err(SignFault::Expired);
        }
        if issued.micros() > now.micros() + SKEW_MICROS {
            return Err(SignFault::Early);
        }
        let surface = Surface::parse(surface).ok_or(SignFault::Malformed)?;
        let platform = words.platform(platform);
        if !key.covers(platform, surface) {
            return Err(SignFault::Scope);
        }
        Ok(Token {
            placement: Placement { platform, surface: Some(surface) },
            key: &token[prefix.len() + 1..prefix.len() + 1 + id.len()],
            nonce,
            expires,
            creator: plain(creator).ok_or(SignFault::Malformed)?,
            note: plain(note).ok_or(SignFault::Malformed)?,
        })
    }
}

/// Whether an outbound click's end is so far off that it is as good as none.
fn is_too_far(now: Timestamp, exp: Timestamp) -> bool {
    exp.micros().saturating_sub(now.micros()) > MOST_GO_DAYS * 86_400 * 1_000_000
}

/// A time in whole Unix seconds, as it stands in signed things: 1 to 11 digits.
fn seconds(text: &str) -> Option<Timestamp> {
    let fits = (1..=11).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| text.parse::<i64>().ok()).flatten().map(|seconds| Timestamp::from_millis(seconds * 1_000))
}

fn is_nonce(text: &str) -> bool {
    (8..=32).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// A text of a token: not longer than 128 bytes, without control characters.
fn plain(text: &str) -> Option<Box<str>> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    (text.len() <= 128 && !text.contains(char::is_control)).then(|| text.into())
}

/// What a good token says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token<'t> {
    /// Where the tap happened.
    pub placement: Placement,
    /// The key that says so.
    pub key: &'t str,
    /// Makes it one of its kind.
    pub nonce: &'t str,
    /// When it ends.
    pub expires: Timestamp,
    /// The creator; empty for none.
    pub creator: Box<str>,
    /// The note or video; empty for none.
    pub note: Box<str>,
}

/// What a token is made from.
#[derive(Clone, Copy, Debug)]
pub struct NewToken<'a> {
    /// The platform's name.
    pub platform: &'a str,
    /// The spot.
    pub surface: Surface,
    /// When it is issued.
    pub issued: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// 8 to 32 of `A-Z a-z 0-9 - _`, never the same twice.
    pub nonce: &'a str,
    /// The creator, or empty.
    pub creator: &'a str,
    /// The note or video, or empty.
    pub note: &'a str,
}

/// Makes a token for the link of this code.
pub fn token(key: &SigningKey, new: &NewToken<'_>, code: &str) -> String {
    let NewToken { platform, surface, issued, expires, nonce, creator, note } = *new;
    let (issued, expires) = (issued.millis() / 1_000, expires.millis() / 1_000);
    let (creator, note) = (URL_SAFE_NO_PAD.encode(creator), URL_SAFE_NO_PAD.encode(note));
    let said = format!("{TOKEN_PREFIX}.{}.{platform}.{surface}.{issued}.{expires}.{nonce}.{creator}.{note}", key.id);
    let mac = key.mac(&format!("{said}\n{code}"));
    format!("{said}.{mac}")
}

/// The token in a query, if there is one.
pub fn token_in(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix("hg="))
}

/// The parameters of a signed address, decoded and sorted, without the signature.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedQuery {
    pairs: Vec<(String, String)>,
    sig: String,
}

impl SignedQuery {
    /// Reads a query.
    ///
    /// # Errors
    /// [`SignFault::Malformed`] or [`SignFault::Duplicate`].
    pub fn read(query: &str) -> Result<Self, SignFault> {
        let mut pairs = Vec::new();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').ok_or(SignFault::Malformed)?;
            pairs.push((decode(name)?, decode(value)?));
        }
        if pairs.len() > MOST_PARAMETERS || pairs.iter().any(|(name, _)| name.is_empty()) {
            return Err(SignFault::Malformed);
        }
        pairs.sort();
        if pairs.windows(2).any(|two| two[0].0 == two[1].0) {
            return Err(SignFault::Duplicate);
        }
        let place = pairs.iter().position(|(name, _)| name == "sig").ok_or(SignFault::Malformed)?;
        let (_, sig) = pairs.remove(place);
        Ok(SignedQuery { pairs, sig })
    }

    /// A parameter; an empty one is none.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .filter(|text| !text.is_empty())
    }

    /// The bytes that are signed.
    pub fn canonical(&self) -> String {
        format!("{GO_PREFIX}{}", canonical_query(&self.pairs))
    }
}

/// Parameters, already sorted by name, as they are signed.
fn canonical_query(pairs: &[(String, String)]) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push('&');
        }
        encode(name, &mut text);
        text.push('=');
        encode(value, &mut text);
    }
    text
}

fn decode(text: &str) -> Result<String, SignFault> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'%', [high, low, behind @ ..]) => {
                let (Some(high), Some(low)) = (nibble(*high), nibble(*low)) else { return Err(SignFault::Malformed) };
                bytes.push(high << 4 | low);
                rest = behind;
            }
            (b'%', _) => return Err(SignFault::Malformed),
            (b'+', _) => bytes.push(b' '),
            _ => bytes.push(*first),
        }
    }
    let text = String::from_utf8(bytes).map_err(|_| SignFault::Malformed)?;
    if text.contains(char::is_control) { Err(SignFault::Malformed) } else { Ok(text) }
}

/// An outbound click whose signature is good. What it asks for has not been looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GoClick {
    /// Where it happened.
    pub placement: Placement,
    /// Its parameters.
    pub query: SignedQuery,
}

/// Signs the parameters of an outbound click: the whole query, ready to be sent. `key` is added.
///
/// # Errors
/// [`SignFault::Duplicate`] when a name is there twice.
pub fn go_query(key: &SigningKey, parameters: &[(&str, &str)]) -> Result<String, SignFault> {
    let mut pairs: Vec<(String, String)> =
        parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    pairs.push(("key".to_owned(), key.id.to_string()));
    pairs.sort();
    if pairs.windows(2).any(|two| two[0].0 == two[1].0) {
        return Err(SignFault::Duplicate);
    }
    let query = canonical_query(&pairs);
    let sig = key.mac(&format!("{GO_PREFIX}{query}"));
    Ok(format!("{query}&sig={sig}"))
}

#[cfg(test)]
#[path = "sign_tests.rs"]
mod tests;
