//! Short links, whose page alone says what they lead to, and what is made of the answer. Also where a share code's visitor
//! is sent: the marketplace's own front page. Data and what follows from it; never asks a page.
//!
//! A link that was resolved is identified by its target, so that policy and reports know the goods, and still leads to what
//! was pasted, byte for byte: an alliance's short link carries the commission, an app's share opens the app.

use super::{Landing, path_and_query_of, recognise};
use crate::domain::span::Span;
use crate::domain::vocabulary::{LinkKind, MarketplaceId};

/// A host whose pages lead on.
struct Short {
    host: &'static str,
    /// How the path begins.
    path: &'static str,
    /// How long a link lives from its issue, where that is known.
    lives: Option<Span>,
}

const fn short(host: &'static str, path: &'static str) -> Short {
    Short { host, path, lives: None }
}

/// What is known to lead on. `uland.taobao.com` is a page by itself, and `jd.cn` is not known well enough.
const SHORT: [Short; 9] = [
    short("m.tb.cn", "/h."),
    short("e.tb.cn", "/h."),
    short("tb.cn", "/"),
    short("s.click.taobao.com", "/"),
    // The union's documentation of its promotion links: 60 days from issue.
    Short { host: "u.jd.com", path: "/", lives: Some(Span::days(60)) },
    short("union-click.jd.com", "/jdc"),
    short("union-click.jd.com", "/jda"),
    short("3.cn", "/"),
    short("3.jd.hk", "/"),
];

/// Front pages, by the marketplace's name.
const HOMES: [(MarketplaceId, &str); 3] = [
    (MarketplaceId::TAOBAO, "https://www.taobao.com/"),
    (MarketplaceId::TMALL, "https://www.tmall.com/"),
    (MarketplaceId::JD, "https://www.jd.com/"),
];

/// Hosts that are known to hold short links.
pub fn short_hosts() -> Vec<&'static str> {
    let mut hosts: Vec<&str> = SHORT.iter().map(|short| short.host).collect();
    hosts.dedup();
    hosts
}

/// The front page of a marketplace, for a link that names no more than that; `None` where it is not known.
pub fn home(marketplace: MarketplaceId) -> Option<Landing> {
    let (_, url) = HOMES.iter().find(|(id, _)| *id == marketplace)?;
    let landing = recognise(url).ok()?;
    Some(Landing { marketplace, link_kind: LinkKind::Unknown, item: None, variant: None, shop: None, ..landing })
}

/// Marketplaces whose front page is known.
pub fn homes() -> impl Iterator<Item = MarketplaceId> {
    HOMES.iter().map(|(id, _)| *id)
}

impl Landing {
    /// Whether its page may be asked what it leads to: a host among `hosts`, and a path as short links of that host have,
    /// where that is known.
    pub fn is_short(&self, hosts: &[impl AsRef<str>]) -> bool {
        let host = self.destination.host();
        if !hosts.iter().any(|known| known.as_ref() == host) {
            return false;
        }
        let (path, _) = path_and_query_of(&self.destination);
        let mut known = SHORT.iter().filter(|short| short.host == host).peekable();
        let other = known.peek().is_none();
        path.len() > 1 && (other || known.any(|short| path.starts_with(short.path)))
    }

    /// How long this link lives from its issue by the marketplace, where it is a short link that dies by itself.
    pub fn short_life(&self) -> Option<Span> {
        let (path, _) = path_and_query_of(&self.destination);
        let known = SHORT.iter().find(|short| short.host == self.destination.host())?;
        // `/jda?e=…` is what such a link leads to: another page of the same host, with its parameters written out.
        if path.len() > 1 && path != "/jda" { known.lives } else { None }
    }

    /// This landing, identified by what it was found to lead to. Its address stays as it was pasted, and an alliance's link
    /// stays one.
    pub fn identified_by(self, target: &Landing) -> Landing {
        let link_kind = if self.link_kind == LinkKind::Alliance { LinkKind::Alliance } else { target.link_kind };
        Landing { link_kind, destination: self.destination, ..target.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_links_are_told_by_host_and_path() {
        let is_short = |url: &str| recognise(url).unwrap().is_short(&short_hosts());
        for url in [
            "https://m.tb.cn/h.3XyZabC",
            "https://e.tb.cn/h.SQ6rjlgiow5ob5s?tk=MJN9f2bd29s",
            "https://s.click.taobao.com/t?e=m%3D2",
            "https://s.click.taobao.com/AbCdEfG",
            "https://u.jd.com/AbCdEf",
            "https://union-click.jd.com/jdc?e=x&p=y",
            "https://3.cn/36c-Q2K5?jkl=@NElVK5AACn@",
        ] {
            assert!(is_short(url), "{url}");
        }
        for url in
            ["https://m.tb.cn/", "https://m.tb.cn/other", "https://item.jd.com/100012043978.html", "https://u.jd.com"]
        {
            assert!(!is_short(url), "{url}");
        }
        assert!(!recognise("https://u.jd.com/AbCdEf").unwrap().is_short(&["m.tb.cn"]), "only hosts that are asked for");
        assert!(
            recognise("https://dx.jd.com/AbCdEf").unwrap().is_short(&["dx.jd.com"]),
            "another host by configuration"
        );
    }

    #[test]
    fn a_union_short_link_lives_sixty_days() {
        let life = |url: &str| recognise(url).unwrap().short_life();
        assert_eq!(life("https://u.jd.com/AbCdEf"), Some(Span::days(60)));
        assert_eq!(life("https://u.jd.com/jda?e=a&p=b"), None);
        assert_eq!(life("https://union-click.jd.com/jdc?e=x&p=y"), None);
    }

    #[test]
    fn identity_comes_from_the_target_and_the_address_from_the_paste() {
        let target = recognise("https://detail.tmall.com/item.htm?id=610947572360&skuId=77").unwrap();
        let alliance = recognise("https://s.click.taobao.com/t?e=m%3D2").unwrap().identified_by(&target);
        assert_eq!(alliance.destination.as_str(), "https://s.click.taobao.com/t?e=m%3D2");
        assert_eq!((alliance.marketplace, alliance.link_kind), (MarketplaceId::TMALL, LinkKind::Alliance));
        assert_eq!((alliance.item.as_deref(), alliance.variant.as_deref()), (Some("610947572360"), Some("77")));
        let share = recognise("https://m.tb.cn/h.3XyZabC").unwrap().identified_by(&target);
        assert_eq!((share.link_kind, share.shop_hint), (LinkKind::Item, target.shop_hint));
        assert_eq!(share.destination.as_str(), "https://m.tb.cn/h.3XyZabC");
    }

    #[test]
    fn front_pages_name_nothing() {
        for marketplace in homes() {
            let home = home(marketplace).unwrap();
            assert_eq!((home.marketplace, home.link_kind), (marketplace, LinkKind::Unknown));
            assert_eq!((home.item, home.shop), (None, None));
        }
        assert!(home(MarketplaceId::KUAISHOU).is_none());
    }
}
