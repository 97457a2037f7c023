//! Which hosts are trusted as landing targets, and which pages on them lead wherever a parameter says. Never resolves a
//! name.
//!
//! A host belongs to a domain when it is that domain or ends in a dot and that domain: labels are compared from the
//! right, so `item.taobao.com.evil.test` and `eviltaobao.com` belong to nobody. Being trusted does not make a host
//! identifiable; [`super::shape`] does that.

use super::markets::Marketplaces;
use crate::domain::percent::nibble;
use crate::domain::vocabulary::MarketplaceId;

/// Labels that mark a login page or a forwarder inside a trusted domain (`login.m.taobao.com`, `passport.jd.com`). Such
/// a host sends the visitor wherever a parameter says, so a click may not land there. Any label counts, not just the
/// first. The same for every marketplace, so that no file can forget one.
#[rustfmt::skip]
const FORWARDING: &[&str] = &[
    "login", "plogin", "wlogin", "mlogin", "slogin", "logout", "passport", "pass", "sso", "oauth", "auth", "reg",
    "register", "redirect", "jump",
];

/// What a host is to us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// A click may land there.
    Allowed(MarketplaceId),
    /// In a marketplace's domain, but a login page or forwarder.
    Forwards,
    /// None of ours.
    Foreign,
}

impl Marketplaces {
    /// The standing of a host in its normal form: lower case, no dot at the end.
    pub(super) fn standing(&self, host: &str) -> Standing {
        let Some((id, front)) = self.owner(host) else { return Standing::Foreign };
        if front.is_empty() && !host.starts_with('.') {
            return Standing::Allowed(id);
        }
        for label in front.split('.') {
            if !is_label(label) {
                return Standing::Foreign;
            }
            if is_forwarding(label) {
                return Standing::Forwards;
            }
        }
        Standing::Allowed(id)
    }

    /// The marketplace a click to this host lands on, or `None` when no click may land there (login pages and forwarders
    /// inside a trusted domain included). Capital letters and one dot at the end make no difference.
    pub fn host_is_allowed(&self, host: &str) -> Option<MarketplaceId> {
        if host.len() > 254 {
            return None;
        }
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        match self.standing(&host) {
            Standing::Allowed(id) => Some(id),
            Standing::Forwards | Standing::Foreign => None,
        }
    }
}

impl Marketplaces {
    /// Whether a page of a marketplace is one of those its file lists as forwarders: by its host, or by its path as a
    /// server may read it.
    pub(super) fn forwards(&self, marketplace: MarketplaceId, host: &str, rest: &str) -> bool {
        self.of(marketplace).is_some_and(|table| {
            table.forwards.iter().any(|entry| match entry.strip_prefix(host) {
                Some("") => true,
                Some(start) if start.starts_with('/') => begins(rest, start),
                _ => false,
            })
        })
    }
}

/// Whether a path, read as loosely as any server may, begins as a plain one does: escapes decoded, `.`, `..`, empty parts
/// and what stands behind a `;` left out, capital letters no matter.
fn begins(rest: &str, start: &str) -> bool {
    let path = &rest[..rest.find(['?', '#']).unwrap_or(rest.len())];
    let mut plain = Vec::with_capacity(path.len());
    let mut left = path.as_bytes();
    while let [first, after @ ..] = left {
        let escape = match after {
            [high, low, behind @ ..] if *first == b'%' => nibble(*high).zip(nibble(*low)).map(|two| (two, behind)),
            _ => None,
        };
        let byte = match escape {
            Some(((high, low), behind)) => {
                left = behind;
                high << 4 | low
            }
            None => {
                left = after;
                *first
            }
        };
        plain.push(byte);
    }
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in plain.split(|byte| matches!(byte, b'/' | b'\\')) {
        match part.split(|byte| *byte == b';').next().unwrap_or_default() {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let read = parts.iter().fold(Vec::new(), |mut read, part| {
        read.push(b'/');
        read.extend_from_slice(part);
        read
    });
    read.get(..start.len()).is_some_and(|front| front.eq_ignore_ascii_case(start.as_bytes()))
}

pub(super) fn is_forwarding(label: &str) -> bool {
    FORWARDING.contains(&label)
}

/// A label of 1 to 63 of `[a-z0-9-]`, no hyphen at either end, and not the `xn--` form of other scripts.
pub(super) fn is_label(label: &str) -> bool {
    let bytes = label.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
        && bytes.first() != Some(&b'-')
        && bytes.last() != Some(&b'-')
        && !label.starts_with("xn--")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::marketplaces::shipped;

    fn host_is_allowed(host: &str) -> Option<MarketplaceId> {
        shipped().markets().host_is_allowed(host)
    }

    #[test]
    fn every_domain_and_its_hosts_are_allowed() {
        let markets = shipped().markets();
        for (id, marketplace) in markets.all() {
            for domain in &marketplace.domains {
                assert_eq!(host_is_allowed(domain), Some(id), "{domain}");
                let host = format!("A.b-1.{domain}.").to_ascii_uppercase();
                assert_eq!(host_is_allowed(&host), Some(id), "{host}");
            }
        }
    }

    #[test]
    fn look_alikes_are_foreign() {
        for host in [
            "item.taobao.com.evil.test",
            "eviltaobao.com",
            "taobao.com.cn",
            "com",
            "",
            ".",
            ".taobao.com",
            "a..taobao.com",
            "taobao.com..",
            "evil/.jd.com",
            "evil@a.jd.com",
            "a_b.jd.com",
            "xn--abc.jd.com",
            "-a.jd.com",
            "jd.com:443",
            "jd.cn",
            "k.pl",
            "33.cn",
        ] {
            assert_eq!(host_is_allowed(host), None, "{host}");
        }
    }

    #[test]
    fn logins_and_forwarders_are_not_landing_targets() {
        for host in ["login.taobao.com", "login.m.taobao.com", "pass.tmall.com", "passport.jd.com", "plogin.m.jd.com"] {
            assert!(matches!(shipped().markets().standing(host), Standing::Forwards), "{host}");
            assert_eq!(host_is_allowed(host), None, "{host}");
        }
    }

    #[test]
    fn forwarders_are_known_however_their_path_is_written() {
        let markets = shipped().markets();
        let forwards = |host: &str, rest: &str| markets.forwards(host_is_allowed(host).unwrap(), host, rest);
        for rest in ["", "/", "/t?smburl=x", "/other"] {
            assert!(forwards("ace.tb.cn", rest), "a whole host: {rest}");
        }
        for rest in [
            "/t_js?tu=x",
            "/t_js",
            "/t_js#x",
            "/T_JS",
            "/t%5fjs",
            "/t%5Fj%73?tu=x",
            "//t_js",
            "/./t_js",
            "/a/../t_js",
            "/%2e/t_js",
            "/a/%2E%2e/t_js",
            "/;x/t_js",
            "/%2Ft_js",
            "/%5ct_js",
            "/t_js;x=1",
            "/t_js/x",
            "/t_js2",
        ] {
            assert!(forwards("s.click.taobao.com", rest), "{rest}");
        }
        for rest in ["", "/", "/t?e=m", "/t", "/aBcDeF1", "/x/t_js", "/t?x=/t_js", "/t#/t_js", "/t_", "/%", "/t%5"] {
            assert!(!forwards("s.click.taobao.com", rest), "{rest}");
        }
        assert!(!forwards("m.tb.cn", "/t_js") && !forwards("item.taobao.com", "/"));
        assert!(!forwards("www.ace.tb.cn", "/"), "another host");
    }
}
