//! Which headers pass, which are dropped and which are made anew, in both directions. A connection's own headers end at
//! that connection; who the visitor is we say ourselves; what rules a whole host is not the upstream's to say at ours.

use std::net::IpAddr;

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_LOCATION, COOKIE, EXPECT, FORWARDED, HOST, IF_MATCH,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, RANGE,
    REFRESH, SET_COOKIE, STRICT_TRANSPORT_SECURITY, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::rewrite::{Place, set_cookie};
use crate::edge::answer::HOP_ID;

/// Who passed a request on, against loops (RFC 8586).
const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");

/// What belongs to one connection, whatever `Connection` says.
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// What a visitor sends and an upstream does not get.
const NOT_UPSTREAM: [HeaderName; 23] = [
    AUTHORIZATION,
    PROXY_AUTHORIZATION,
    EXPECT,
    FORWARDED,
    HOST,
    // Told by the body.
    CONTENT_LENGTH,
    // Gathered and filtered.
    COOKIE,
    VIA,
    HOP_ID,
    // Some programs take an address, a path or a method from these before they look at the real one.
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-client-ip"),
    HeaderName::from_static("client-ip"),
    HeaderName::from_static("true-client-ip"),
    HeaderName::from_static("cf-connecting-ip"),
    HeaderName::from_static("fastly-client-ip"),
    HeaderName::from_static("x-cluster-client-ip"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-method-override"),
    // Read as a proxy's address by some programs.
    HeaderName::from_static("proxy"),
    HeaderName::from_static("http2-settings"),
];

/// What asks for a part of a page, or for news of it only: a click is answered with the whole page.
const PARTIAL: [HeaderName; 6] = [IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE];

/// What an upstream sends and a visitor does not get: rules for a whole host, which is ours; redirects by other means than
/// `Location`; our own.
const NOT_TO_VISITORS: [HeaderName; 13] = [
    HeaderName::from_static("service-worker-allowed"),
    HeaderName::from_static("clear-site-data"),
    HeaderName::from_static("alt-svc"),
    STRICT_TRANSPORT_SECURITY,
    HeaderName::from_static("public-key-pins"),
    HeaderName::from_static("public-key-pins-report-only"),
    HeaderName::from_static("nel"),
    HeaderName::from_static("report-to"),
    // A password typed at our host is not the upstream's to ask for: `Authorization` never reaches it.
    WWW_AUTHENTICATE,
    REFRESH,
    CONTENT_LOCATION,
    HOP_ID,
    VIA,
];

/// Names of cookies that are ours: never sent upstream, never set from there.
const OURS: [&str; 3] = ["hopgate", "__Host-hopgate", "__Secure-hopgate"];

/// What begins the names of cookies whose `Path` must be `/`. A `__Secure-` one may have any.
const HOST_ONLY: &[u8] = b"__Host-";

/// What we say about the visitor.
pub struct Visitor<'a> {
    /// The visitor's address.
    pub address: IpAddr,
    /// The host that was asked.
    pub host: &'a str,
    /// Whether over TLS.
    pub secure: bool,
}

/// Whether a header is dropped with its connection.
fn is_hop_by_hop(name: &HeaderName, named: &[HeaderName]) -> bool {
    HOP_BY_HOP.contains(name) || named.contains(name)
}

/// What `Connection` names.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok()).collect()
}

/// Whether a WebSocket, or anything else than HTTP, is asked for.
pub fn asks_for_websocket(headers: &HeaderMap) -> bool {
    headers
        .get_all(UPGRADE)
        .iter()
        .any(|value| value.to_str().is_ok_and(|text| text.to_ascii_lowercase().contains("websocket")))
}

/// Whether a request has come through a gateway like this one already.
pub fn came_round(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CDN_LOOP).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|id| id.split(';').next().unwrap_or_default().trim() == "hopgate")
}

/// The headers of a request to an upstream, but for `Host`. `page` is the click's id where a click asks for a page.
pub fn to_upstream(from: &HeaderMap, visitor: &Visitor<'_>, place: Place<'_>, page: Option<&[u8]>) -> HeaderMap {
    let named = named_by_connection(from);
    let mut to = HeaderMap::with_capacity(from.len() + 6);
    for (name, value) in from {
        let dropped = is_hop_by_hop(name, &named)
            || NOT_UPSTREAM.contains(name)
            || name.as_str().starts_with("x-forwarded-")
            || name.as_str().starts_with("x-original-forwarded-")
            // CGI and its heirs read `X_Real_IP` as `X-Real-IP`.
            || name.as_str().contains('_')
            || (page.is_some() && PARTIAL.contains(name));
        if !dropped {
            to.append(name.clone(), value.clone());
        }
    }
    // A click at our own host carries no cookie of the upstream's: those live below its prefix.
    if (page.is_none() || place.is_mount())
        && let Some(cookies) = cookies(from)
    {
        to.insert(COOKIE, cookies);
    }
    // Not `Via`: common servers stop compressing when they see one.
    to.append(CDN_LOOP, HeaderValue::from_static("hopgate"));
    let proto = if visitor.secure { "https" } else { "http" };
    let address = visitor.address.to_canonical();
    let host: String = visitor.host.chars().filter(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\\')).collect();
    let forwarded = match address {
        IpAddr::V4(address) => format!("for={address};host=\"{host}\";proto={proto}"),
        IpAddr::V6(address) => format!("for=\"[{address}]\";host=\"{host}\";proto={proto}"),
    };
    let mut put = |name: HeaderName, text: String| {
        if let Ok(value) = HeaderValue::try_from(text) {
            to.insert(name, value);
        }
    };
    put(FORWARDED, forwarded);
    put(HeaderName::from_static("x-forwarded-for"), address.to_string());
    put(HeaderName::from_static("x-forwarded-proto"), proto.to_owned());
    put(HeaderName::from_static("x-forwarded-host"), host);
    if let Place::Prefix(name) = place {
        put(HeaderName::from_static("x-forwarded-prefix"), format!("/_p/{name}"));
    }
    if let Some(Ok(id)) = page.map(HeaderValue::from_bytes) {
        to.insert(HOP_ID, id);
    }
    to
}

/// Whether a cookie's name is ours. Browsers do not tell capitals apart in the prefixes.
fn is_ours(name: &str) -> bool {
    OURS.iter().any(|ours| name.get(..ours.len()).is_some_and(|start| start.eq_ignore_ascii_case(ours)))
}

/// Why a cookie, `name=value`, is passed on in neither direction. One without a name is sent back as its value alone, which
/// may read like one of ours; what stands in quotes is read in two ways.
fn unfit(pair: &[u8]) -> Option<&'static str> {
    let Some(end) = pair.iter().position(|byte| *byte == b'=') else { return Some("it has no name") };
    let name = pair[..end].trim_ascii();
    if name.is_empty() {
        return Some("it has no name");
    }
    if name.contains(&b'"') {
        return Some("its name is quoted");
    }
    is_ours(&String::from_utf8_lossy(name)).then_some("its name is the gateway's")
}

/// The visitor's cookies but ours, in one header: HTTP/2 splits them.
fn cookies(from: &HeaderMap) -> Option<HeaderValue> {
    let mut kept = Vec::new();
    for value in from.get_all(COOKIE) {
        for pair in value.as_bytes().split(|byte| *byte == b';').map(<[u8]>::trim_ascii) {
            if unfit(pair).is_some() {
                continue;
            }
            if !kept.is_empty() {
                kept.extend_from_slice(b"; ");
            }
            kept.extend_from_slice(pair);
        }
    }
    if kept.is_empty() { None } else { HeaderValue::from_bytes(&kept).ok() }
}

/// The headers of an upstream's answer as the visitor gets them, but for `Location`, which is looked at apart.
pub fn to_visitor(from: &HeaderMap, place: Place<'_>) -> HeaderMap {
    let named = named_by_connection(from);
    let mut to = HeaderMap::with_capacity(from.len() + 4);
    for (name, value) in from {
        let dropped = is_hop_by_hop(name, &named)
            || NOT_TO_VISITORS.contains(name)
            || name == http::header::LOCATION
            // Orders to a proxy in front of us.
            || name.as_str().starts_with("x-accel-")
            || name == "x-sendfile";
        if dropped {
            continue;
        }
        if name != SET_COOKIE {
            to.append(name.clone(), value.clone());
        } else if let Some(cookie) = cookie_to_visitor(value, place) {
            to.append(SET_COOKIE, cookie);
        }
    }
    // With both, the length is not the one that counts.
    if from.contains_key(TRANSFER_ENCODING) {
        to.remove(CONTENT_LENGTH);
    }
    to
}

fn cookie_to_visitor(value: &HeaderValue, place: Place<'_>) -> Option<HeaderValue> {
    let pair = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    let host_only = || {
        let name = pair.trim_ascii_start().get(..HOST_ONLY.len());
        name.is_some_and(|start| start.eq_ignore_ascii_case(HOST_ONLY)).then_some(
            "browsers take a `__Host-` cookie for a whole host only, and it may be only the upstream's below its prefix: \
             give the upstream a `mount`",
        )
    };
    let dropped = unfit(pair).or_else(|| if place.is_mount() { None } else { host_only() });
    if let Some(reason) = dropped {
        let end = pair.iter().position(|byte| *byte == b'=').unwrap_or(0);
        let name: String = String::from_utf8_lossy(&pair[..end]).chars().take(64).collect();
        tracing::debug!(cookie = name, reason, "an upstream's cookie is not passed on");
        return None;
    }
    HeaderValue::from_bytes(&set_cookie(value.as_bytes(), place)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        headers
    }

    fn shown(headers: &HeaderMap) -> Vec<String> {
        let mut lines: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        lines
    }

    const EVERYTHING: &[(&str, &str)] = &[
        ("Connection", "close, X-Private, keep-alive"),
        ("X-Private", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "close"),
        ("Proxy-Authorization", "Basic x"),
        ("Proxy-Authenticate", "Basic"),
        ("TE", "trailers"),
        ("Trailer", "X-Sum"),
        ("Transfer-Encoding", "chunked"),
        ("Upgrade", "h2c"),
        ("Expect", "100-continue"),
        ("Authorization", "Bearer secret"),
        ("Forwarded", "for=6.6.6.6"),
        ("X-Forwarded-For", "6.6.6.6"),
        ("X-Forwarded-Host", "evil.test"),
        ("X-Forwarded-Port", "1"),
        ("X-Real-IP", "6.6.6.6"),
        ("X-Client-IP", "6.6.6.6"),
        ("Client-IP", "6.6.6.6"),
        ("True-Client-IP", "6.6.6.6"),
        ("CF-Connecting-IP", "6.6.6.6"),
        ("Fastly-Client-IP", "6.6.6.6"),
        ("X-Cluster-Client-IP", "6.6.6.6"),
        ("X-Original-Forwarded-For", "6.6.6.6"),
        ("X-Original-URL", "/admin"),
        ("X-Rewrite-URL", "/admin"),
        ("X-HTTP-Method", "DELETE"),
        ("X-HTTP-Method-Override", "DELETE"),
        ("X-Method-Override", "DELETE"),
        ("X_Real_IP", "6.6.6.6"),
        ("X_Anything", "1"),
        ("Via", "1.1 cdn"),
        ("Proxy", "http://evil.test"),
        ("Hop-Id", "forged"),
        ("Host", "go.example"),
        ("Content-Length", "7"),
        ("User-Agent", "Kwai"),
        ("Accept-Encoding", "br"),
        ("If-None-Match", "\"a\""),
        ("Range", "bytes=0-1"),
        ("Cookie", "a=1; hopgate_session=2"),
        ("Cookie", " b=3;;__host-HOPGATE=4 "),
        ("Cookie", "=hopgate_session=5; hopgate; = ; \"hopgate_x\"=6; \"q\"=7"),
    ];

    #[test]
    fn what_goes_upstream() {
        let visitor = Visitor { address: "203.0.113.7".parse().unwrap(), host: "in.example", secure: true };
        let to = to_upstream(&map(EVERYTHING), &visitor, Place::Mount("in.example"), None);
        assert_eq!(
            shown(&to),
            [
                "accept-encoding: br",
                "cdn-loop: hopgate",
                "cookie: a=1; b=3",
                "forwarded: for=203.0.113.7;host=\"in.example\";proto=https",
                "if-none-match: \"a\"",
                "range: bytes=0-1",
                "user-agent: Kwai",
                "x-forwarded-for: 203.0.113.7",
                "x-forwarded-host: in.example",
                "x-forwarded-proto: https",
            ]
        );
        let visitor = Visitor { address: "2001:db8::1".parse().unwrap(), host: "go\".example", secure: false };
        let to = to_upstream(&map(EVERYTHING), &visitor, Place::Prefix("jd"), Some(b"id-1"));
        assert_eq!(
            shown(&to),
            [
                "accept-encoding: br",
                "cdn-loop: hopgate",
                "forwarded: for=\"[2001:db8::1]\";host=\"go.example\";proto=http",
                "hop-id: id-1",
                "user-agent: Kwai",
                "x-forwarded-for: 2001:db8::1",
                "x-forwarded-host: go.example",
                "x-forwarded-prefix: /_p/jd",
                "x-forwarded-proto: http",
            ]
        );
    }

    #[test]
    fn what_goes_to_visitors() {
        let from = map(&[
            ("Connection", "X-Private"),
            ("X-Private", "1"),
            ("Keep-Alive", "timeout=5"),
            ("Transfer-Encoding", "chunked"),
            ("Trailer", "X-Sum"),
            ("Content-Length", "3"),
            ("Service-Worker-Allowed", "/"),
            ("Clear-Site-Data", "*"),
            ("Alt-Svc", "h3=\":443\""),
            ("Strict-Transport-Security", "max-age=1"),
            ("Public-Key-Pins", "x"),
            ("Refresh", "0;url=https://evil.test"),
            ("Content-Location", "https://10.0.0.5/x"),
            ("Location", "https://evil.test"),
            ("X-Accel-Redirect", "/internal"),
            ("Hop-Id", "forged"),
            ("Upgrade", "websocket"),
            ("Content-Type", "text/html"),
            ("ETag", "\"a\""),
            ("Set-Cookie", "a=1; Domain=jd.com; Secure"),
            ("Set-Cookie", "hopgate=1"),
            ("Set-Cookie", "=hopgate_session=1"),
            ("Set-Cookie", "hopgate_session; Path=/"),
            ("Set-Cookie", "\"hopgate_session\"=1"),
            ("WWW-Authenticate", "Basic realm=\"go.example\""),
            ("Proxy-Authenticate", "Basic"),
        ]);
        assert_eq!(
            shown(&to_visitor(&from, Place::Mount("in.example"))),
            ["content-type: text/html", "etag: \"a\"", "set-cookie: a=1; Secure"]
        );
    }

    #[test]
    fn cookies_for_a_whole_host_are_not_passed_below_a_prefix() {
        let from = map(&[
            ("Set-Cookie", "__Host-sid=1; Path=/; Secure"),
            ("Set-Cookie", "__host-b=2; Path=/; Secure"),
            ("Set-Cookie", "__Secure-c=3; Path=/; Secure"),
        ]);
        assert_eq!(
            shown(&to_visitor(&from, Place::Mount("in.example"))),
            [
                "set-cookie: __Host-sid=1; Path=/; Secure",
                "set-cookie: __Secure-c=3; Path=/; Secure",
                "set-cookie: __host-b=2; Path=/; Secure",
            ]
        );
        assert_eq!(
            shown(&to_visitor(&from, Place::Prefix("jd"))),
            ["set-cookie: __Secure-c=3; Secure; Path=/_p/jd/"],
            "with another path browsers would not take them"
        );
    }
}
