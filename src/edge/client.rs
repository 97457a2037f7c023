//! Who is at the other end: the peer's address, or the visitor's as told by a proxy we trust. Nobody else's word counts.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;
use ppp::{HeaderResult, PartialResult};

/// The most bytes of a PROXY protocol header.
const PROXY_HEADER_MOST: usize = 4_096;

/// Whether `address` is one of ours to trust.
pub fn is_trusted(trusted: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|network| network.contains(&address))
}

/// The visitor behind a trusted proxy: the rightmost address of `X-Forwarded-For` that is not itself a trusted proxy.
/// Whatever stands left of it was written by strangers. Falls back to `peer`.
pub fn forwarded(headers: &HeaderMap, trusted: &[IpNet], peer: IpAddr) -> IpAddr {
    let values = headers.get_all("x-forwarded-for").iter().rev();
    forwarded_in(values.map(|value| value.to_str().unwrap_or_default()), trusted, peer)
}

/// The same from the values of the field, the last one first.
pub fn forwarded_in<'v>(values: impl Iterator<Item = &'v str>, trusted: &[IpNet], peer: IpAddr) -> IpAddr {
    let mut nearest = peer;
    for value in values {
        for part in value.rsplit(',') {
            let part = part.trim().trim_matches(|c| c == '[' || c == ']');
            let address = part.parse::<IpAddr>().or_else(|_| part.parse::<SocketAddr>().map(|address| address.ip()));
            let Ok(address) = address else { return nearest };
            nearest = address;
            if !is_trusted(trusted, address) {
                return address;
            }
        }
    }
    nearest
}

/// What the first bytes of a connection from a trusted proxy say.
#[derive(Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// More bytes are needed.
    Partial,
    /// The header takes up so many bytes; the visitor's address, if it names one (`LOCAL`, `UNKNOWN` do not).
    Whole(usize, Option<IpAddr>),
    /// Not a PROXY protocol header.
    Wrong,
}

/// Reads a PROXY protocol header, version 1 or 2, off the front of `bytes`.
pub fn proxy_header(bytes: &[u8]) -> ProxyHeader {
    let result = HeaderResult::parse(bytes);
    if result.is_incomplete() {
        return if bytes.len() < PROXY_HEADER_MOST { ProxyHeader::Partial } else { ProxyHeader::Wrong };
    }
    match result {
        HeaderResult::V1(Ok(header)) => {
            let source = match header.addresses {
                ppp::v1::Addresses::Tcp4(addresses) => Some(IpAddr::V4(addresses.source_address)),
                ppp::v1::Addresses::Tcp6(addresses) => Some(IpAddr::V6(addresses.source_address)),
                ppp::v1::Addresses::Unknown => None,
            };
            ProxyHeader::Whole(header.header.len(), source)
        }
        HeaderResult::V2(Ok(header)) => {
            let source = match header.addresses {
                ppp::v2::Addresses::IPv4(addresses) => Some(IpAddr::V4(addresses.source_address)),
                ppp::v2::Addresses::IPv6(addresses) => Some(IpAddr::V6(addresses.source_address)),
                _ => None,
            };
            ProxyHeader::Whole(header.len(), source)
        }
        _ => ProxyHeader::Wrong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_word_of_trusted_proxies_counts() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let peer: IpAddr = "10.0.0.1".parse().unwrap();
        let told = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", value.parse().unwrap());
            forwarded(&headers, &trusted, peer).to_string()
        };
        assert_eq!(told("6.6.6.6, 203.0.113.7"), "203.0.113.7", "what stands left is a stranger's");
        assert_eq!(told("203.0.113.7, 10.2.3.4"), "203.0.113.7");
        assert_eq!(told("[2001:db8::1]:443"), "10.0.0.1", "not an address we can read");
        assert_eq!(told("2001:db8::1"), "2001:db8::1");
        assert_eq!(told("nonsense, 203.0.113.9"), "203.0.113.9");
        assert_eq!(told("10.9.9.9"), "10.9.9.9");
        assert!(is_trusted(&trusted, "::ffff:10.1.1.1".parse().unwrap()));
    }

    #[test]
    fn proxy_headers_of_both_versions() {
        let v1 = b"PROXY TCP4 203.0.113.7 10.0.0.1 5000 443\r\nGET / HTTP/1.1\r\n";
        assert_eq!(proxy_header(v1), ProxyHeader::Whole(42, Some("203.0.113.7".parse().unwrap())));
        assert_eq!(proxy_header(&v1[..20]), ProxyHeader::Partial);
        assert_eq!(proxy_header(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), ProxyHeader::Wrong);
        let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
        v2.extend_from_slice(&[203, 0, 113, 8, 10, 0, 0, 1, 0x13, 0x88, 0x01, 0xbb]);
        assert_eq!(proxy_header(&v2), ProxyHeader::Whole(28, Some("203.0.113.8".parse().unwrap())));
    }
}
