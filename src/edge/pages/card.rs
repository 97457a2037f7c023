//! What the link-preview fetcher of a chat or social app gets in place of a redirect: where the link leads, in the tags such
//! cards are made of (Open Graph, Twitter). Holds nothing anybody wrote but the short link itself: no creator, no tag.

use super::Language;
use super::frame::{Frame, escape};
use super::words::{link_kind, marketplace};
use crate::click::preview::Shown;

/// The card of a short link; neutral where `landing` is none, as for a refused click.
pub fn card(short_url: &str, landing: Option<&Shown>, language: Language) -> String {
    let zh = language == Language::Zh;
    let (title, description) = match landing {
        Some(landing) => {
            let (shop, kind) = (marketplace(&landing.names, language), link_kind(landing.link_kind, language));
            if zh {
                (format!("{shop} · {kind}"), format!("点击后前往{shop}查看。"))
            } else {
                (format!("{shop} · {kind}"), format!("Opens on {shop}."))
            }
        }
        None => (
            language.pick("分享链接", "Shared link").to_owned(),
            language.pick("打开链接查看详情。", "Open the link for details.").to_owned(),
        ),
    };
    let site = short_url.split("://").nth(1).unwrap_or(short_url).split('/').next().unwrap_or_default();
    let tags = [
        ("property", "og:type", "website"),
        ("property", "og:site_name", site),
        ("property", "og:locale", language.pick("zh_CN", "en_US")),
        ("property", "og:url", short_url),
        ("property", "og:title", &title),
        ("property", "og:description", &description),
        ("name", "description", &description),
        ("name", "twitter:card", "summary"),
        ("name", "twitter:title", &title),
        ("name", "twitter:description", &description),
    ];
    let head = tags.map(|(kind, name, content)| format!("<meta {kind}=\"{name}\" content=\"{}\">\n", escape(content)));
    let body = format!(
        "<h1>{}</h1>\n<p>{}</p>\n<p><a href=\"{url}\" rel=\"nofollow\">{url}</a></p>\n",
        escape(&title),
        escape(&description),
        url = escape(short_url)
    );
    Frame { language, title: &title, head: &head.concat(), body: &body }.html()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::marketplace::table::Names;
    use crate::domain::vocabulary::{LinkKind, ShopType};

    #[test]
    fn a_card_says_where_and_nothing_else() {
        let landing = Shown {
            marketplace: "jd".into(),
            names: Names { zh: "京东".into(), en: "JD".into() },
            shop_type: ShopType::SelfOperated,
            link_kind: LinkKind::Item,
            item: "<1>".into(),
            shop: String::new(),
            url: "https://item.jd.com/1.html".into(),
            share_code: String::new(),
        };
        let page = card("https://go.example/k3Xw9QaZ", Some(&landing), Language::Zh);
        for tag in [
            "<meta property=\"og:title\" content=\"京东 · 商品\">",
            "<meta property=\"og:url\" content=\"https://go.example/k3Xw9QaZ\">",
            "<meta property=\"og:site_name\" content=\"go.example\">",
            "<meta name=\"twitter:card\" content=\"summary\">",
        ] {
            assert!(page.contains(tag), "{tag} not in {page}");
        }
        assert!(!page.contains("item.jd.com") && !page.contains("<1>"));
        let neutral = card("https://go.example/k3Xw9QaZ", None, Language::En);
        assert!(neutral.contains("og:title\" content=\"Shared link\"") && !neutral.contains("JD"));
    }
}
