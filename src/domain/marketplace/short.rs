//! Short links, whose page alone says what they lead to, and what is made of the answer. Also where a share code's visitor
//! is sent: the marketplace's own front page. Reads the tables; never asks a page.
//!
//! A link that was resolved is identified by its target, so that policy and reports know the goods, and still leads to what
//! was pasted, byte for byte: an alliance's short link carries the commission, an app's share opens the app.

use super::table::ShortLinks;
use super::{Destination, Landing, Marketplaces, shape, split_host};
use crate::domain::span::Span;
use crate::domain::vocabulary::{LinkKind, MarketplaceId};

impl Marketplaces {
    /// Hosts that are known to hold short links.
    pub fn short_hosts(&self) -> Vec<&str> {
        let mut hosts: Vec<&str> = self.short_links().map(|short| &*short.host).collect();
        hosts.dedup();
        hosts
    }

    /// The front page of a marketplace, for a link that names no more than that; `None` where it is not known.
    pub fn home(&self, marketplace: MarketplaceId) -> Option<Landing> {
        let landing = self.recognise(self.of(marketplace)?.home.as_deref()?).ok()?;
        Some(Landing { marketplace, link_kind: LinkKind::Unknown, item: None, variant: None, shop: None, ..landing })
    }

    /// Whether a landing's page may be asked what it leads to: a short link as the tables know them. Where `hosts` are given,
    /// those alone; one that the tables do not know may be asked for any of its pages.
    pub fn is_short(&self, landing: &Landing, hosts: Option<&[String]>) -> bool {
        let (host, path) = host_and_path(&landing.destination);
        if path.len() < 2 || hosts.is_some_and(|hosts| hosts.iter().all(|known| known != host)) {
            return false;
        }
        let known = self.short_links().any(|short| *short.host == *host);
        self.family(host, path).is_some() || (hosts.is_some() && !known)
    }

    /// How long a landing lives from its issue by the marketplace, where it is a short link that dies by itself.
    pub fn short_life(&self, landing: &Destination) -> Option<Span> {
        let (host, path) = host_and_path(landing);
        self.family(host, path).filter(|_| path.len() > 1)?.lives
    }

    fn family(&self, host: &str, path: &str) -> Option<&ShortLinks> {
        let fits = |short: &&ShortLinks| *short.host == *host && path.starts_with(&*short.path);
        self.short_links().filter(fits).max_by_key(|short| short.path.len())
    }

    fn short_links(&self) -> impl Iterator<Item = &ShortLinks> {
        self.all().flat_map(|(_, table)| &table.short_links)
    }
}

fn host_and_path(landing: &Destination) -> (&str, &str) {
    let (host, rest) = split_host(landing.as_str()).unwrap_or_default();
    (host, shape::path_and_query(rest).0)
}

impl Landing {
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
    use crate::config::marketplaces::shipped;

    fn recognise(url: &str) -> Landing {
        shipped().markets().recognise(url).unwrap()
    }

    #[test]
    fn short_links_are_told_by_host_and_path() {
        let is_short = |url: &str| shipped().markets().is_short(&recognise(url), None);
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
        let among = |url: &str, host: &str| shipped().markets().is_short(&recognise(url), Some(&[host.to_owned()]));
        assert!(!among("https://u.jd.com/AbCdEf", "m.tb.cn"), "only hosts that are asked for");
        assert!(among("https://dx.jd.com/AbCdEf", "dx.jd.com"), "another host by configuration");
        assert!(!among("https://m.tb.cn/other", "m.tb.cn"));
    }

    #[test]
    fn a_union_short_link_lives_sixty_days() {
        let life = |url: &str| shipped().markets().short_life(&recognise(url).destination);
        assert_eq!(life("https://u.jd.com/AbCdEf"), Some(Span::days(60)));
        assert_eq!(life("https://u.jd.com/jda?e=a&p=b"), None);
        assert_eq!(life("https://union-click.jd.com/jdc?e=x&p=y"), None);
    }

    #[test]
    fn identity_comes_from_the_target_and_the_address_from_the_paste() {
        let target = recognise("https://detail.tmall.com/item.htm?id=610947572360&skuId=77");
        let alliance = recognise("https://s.click.taobao.com/t?e=m%3D2").identified_by(&target);
        assert_eq!(alliance.destination.as_str(), "https://s.click.taobao.com/t?e=m%3D2");
        assert_eq!((alliance.marketplace, alliance.link_kind), (MarketplaceId::TMALL, LinkKind::Alliance));
        assert_eq!((alliance.item.as_deref(), alliance.variant.as_deref()), (Some("610947572360"), Some("77")));
        let share = recognise("https://m.tb.cn/h.3XyZabC").identified_by(&target);
        assert_eq!((share.link_kind, share.shop_hint), (LinkKind::Item, target.shop_hint));
        assert_eq!(share.destination.as_str(), "https://m.tb.cn/h.3XyZabC");
    }

    #[test]
    fn front_pages_name_nothing() {
        for marketplace in [MarketplaceId::TAOBAO, MarketplaceId::TMALL, MarketplaceId::JD] {
            let home = shipped().markets().home(marketplace).unwrap();
            assert_eq!((home.marketplace, home.link_kind), (marketplace, LinkKind::Unknown));
            assert_eq!((home.item, home.shop), (None, None));
        }
        assert!(shipped().markets().home(MarketplaceId::KUAISHOU).is_none());
    }
}
