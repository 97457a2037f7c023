//! The truncated visitor address of a hop: how eight bytes hold an IPv4 /24 or an IPv6 /48, and their text.
//!
//! IPv6 keeps its first eight bytes, the last two zero. IPv4 keeps the last eight bytes of its mapped form
//! (`::ffff:a.b.c.0`); no IPv6 visitor begins like that, for `::/8` is not routed. Never holds a full address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Truncates an address; an IPv4-mapped one counts as IPv4.
pub fn truncate(address: IpAddr) -> [u8; 8] {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            [0, 0, 0xff, 0xff, a, b, c, 0]
        }
        IpAddr::V6(v6) => {
            let [a, b, c, d, e, f, ..] = v6.octets();
            [a, b, c, d, e, f, 0, 0]
        }
    }
}

/// The text of a truncated address: `203.0.113.0/24`, `2001:db8:7::/48`; `None` when it is not known (all zero).
pub fn text(address: [u8; 8]) -> Option<String> {
    match address {
        [0, 0, 0, 0, 0, 0, 0, 0] => None,
        [0, 0, 0xff, 0xff, a, b, c, _] => Some(format!("{}/24", Ipv4Addr::new(a, b, c, 0))),
        [a, b, c, d, e, f, _, _] => {
            let word = |high, low| u16::from_be_bytes([high, low]);
            Some(format!("{}/48", Ipv6Addr::new(word(a, b), word(c, d), word(e, f), 0, 0, 0, 0, 0)))
        }
    }
}

/// Reads what [`text`] writes.
pub fn read(text: &str) -> Option<[u8; 8]> {
    let (address, length) = text.split_once('/')?;
    match (address.parse().ok()?, length) {
        (address @ IpAddr::V4(_), "24") | (address @ IpAddr::V6(_), "48") => Some(truncate(address)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_truncated_and_named() {
        let shown = |text_in: &str| text(truncate(text_in.parse().unwrap()));
        assert_eq!(shown("203.0.113.77").as_deref(), Some("203.0.113.0/24"));
        assert_eq!(shown("::ffff:203.0.113.77").as_deref(), Some("203.0.113.0/24"));
        assert_eq!(shown("2001:db8:7:1234::9").as_deref(), Some("2001:db8:7::/48"));
        assert_eq!(text([0; 8]), None);
        for known in ["203.0.113.77", "2001:db8:7:1234::9"] {
            let address = truncate(known.parse().unwrap());
            assert_eq!(text(address).as_deref().and_then(read), Some(address));
        }
        assert_eq!(read("203.0.113.0/48"), None);
    }
}
