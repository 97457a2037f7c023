//! A link as its creator sees it: short link, QR code, the landing as understood, and for each placement whether it works
//! now, why not, and until when. Asks [`spots`]; decides nothing.

use std::fmt::Write as _;

use super::super::ControlState;
use super::super::answer::{self, LinkView};
use super::super::qr::{Drawing, Drawn, Level};
use super::super::warnings::standing;
use super::words;
use crate::domain::alternates::Alternate;
use crate::domain::hop::Outcome;
use crate::domain::link::{Link, LinkState, Placement, facts_text};
use crate::domain::marketplace::Landing;
use crate::domain::marketplace::table::Names;
use crate::domain::policy::outlook::{Spots, spots};
use crate::domain::policy::{Facts, PolicySet, Reason};
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::{PlatformId, ShopType};
use crate::wording::{
    Language, because, date, escape, is_silent, link_kind, marketplace, platform, sentence, shop_type, surface,
    where_at,
};

/// What is asked, and of what.
pub(super) struct Show<'a> {
    pub(super) state: &'a ControlState,
    pub(super) policy: &'a PolicySet,
    pub(super) at: Timestamp,
    pub(super) language: Language,
}

impl Show<'_> {
    fn pick(&self, zh: &'static str, en: &'static str) -> &'static str {
        self.language.pick(zh, en)
    }

    /// The whole card of a link.
    pub(super) fn link(&self, link: &Link) -> String {
        let mut out = String::new();
        // Writing to a text does not fail.
        let _ = self.write(&mut out, link);
        out
    }

    fn write(&self, out: &mut String, link: &Link) -> std::fmt::Result {
        let short = answer::short_url(self.state, link);
        let drawing = Drawing { size: 256, margin: 4, level: Level::Medium };
        let qr = Drawn::new(&short, drawing).map(|drawn| drawn.svg()).unwrap_or_default();
        let code = escape(link.code.as_str());
        writeln!(
            out,
            "<section class=\"card\"><div class=\"link\">{qr}<div><p class=\"s\">{}</p>\n<p class=\"short\"><a \
             href=\"{url}\">{url}</a></p>\n<p><a class=\"tap\" href=\"/qr?code={code}\" download=\"{code}.png\">{}</a> · <a \
             class=\"tap\" href=\"{url}+\">{}</a></p>",
            self.pick("短链", "Short link"),
            self.pick("下载二维码", "Download the QR code"),
            self.pick("预览页", "Preview"),
            url = escape(&short),
        )?;
        self.state_of(out, link)?;
        writeln!(out, "</div></div>\n<h2>{}</h2>", self.pick("落地页", "Landing"))?;
        self.landing(out, &link.landing, link.shop_type, link.category.as_deref())?;
        for warning in standing(link, self.state.words.markets(), self.at) {
            writeln!(out, "<p class=\"s\">{}</p>", escape(&words::warning(&warning, self.language)))?;
        }
        if let Some(code) = &link.share_code {
            writeln!(out, "<p>{} <code>{}</code></p>", self.pick("口令", "Code"), escape(code))?;
        }
        for (place, alternate) in link.alternates.iter().enumerate() {
            writeln!(out, "<h3>{} {}</h3>", self.pick("备选", "Alternate"), place + 1)?;
            self.landing(out, &alternate.landing, alternate.shop_type, alternate.category.as_deref())?;
        }
        if self.ended(link).is_none() {
            self.placements(out, link)?;
        }
        writeln!(
            out,
            "<p><small>{} {} · {} {}</small></p></section>",
            self.pick("判断于（北京时间）", "Decided (Beijing time)"),
            date(self.at),
            self.pick("政策版本", "policy"),
            self.policy.version()
        )
    }

    fn ended(&self, link: &Link) -> Option<Reason> {
        match link.state {
            LinkState::Disabled => Some(Reason::LinkDisabled),
            LinkState::Active if link.expires_at.is_some_and(|end| self.at >= end) => Some(Reason::LinkExpired),
            LinkState::Active => None,
        }
    }

    fn state_of(&self, out: &mut String, link: &Link) -> std::fmt::Result {
        match (self.ended(link), link.expires_at) {
            (Some(reason), _) => {
                writeln!(out, "<p class=\"no\"><b>{}</b></p>", because(reason, self.language))
            }
            (None, Some(end)) => {
                let ends = self.pick("有效至（北京时间）", "Ends on (Beijing time)");
                writeln!(out, "<p class=\"s\">{ends} {}</p>", date(end))
            }
            (None, None) => Ok(()),
        }
    }

    fn landing(&self, out: &mut String, landing: &Landing, sort: ShopType, category: Option<&str>) -> std::fmt::Result {
        let names = self.state.words.marketplace_names(landing.marketplace);
        let language = self.language;
        let shop = format!("{} · {}", marketplace(&names, language), link_kind(landing.link_kind, language));
        let mut all: Vec<(&str, String)> = vec![(self.pick("商城", "Marketplace"), escape(&shop))];
        if sort != ShopType::Unknown {
            all.push((self.pick("店铺类型", "Shop type"), shop_type(sort, language).to_owned()));
        }
        if let Some(item) = &landing.item {
            all.push((self.pick("商品编号", "Goods id"), format!("<code>{}</code>", escape(item))));
        }
        if let Some(shop) = &landing.shop {
            all.push((self.pick("店铺编号", "Shop id"), format!("<code>{}</code>", escape(shop))));
        }
        if let Some(category) = category {
            all.push((self.pick("类目", "Category"), escape(category)));
        }
        let address = format!("<code>{}</code>", escape(landing.destination.as_str()));
        all.push((self.pick("完整地址", "Full address"), address));
        writeln!(out, "<dl>")?;
        for (name, value) in all {
            writeln!(out, "<dt>{name}</dt><dd>{value}</dd>")?;
        }
        writeln!(out, "</dl>")
    }

    /// What a link does at each placement: its own first, then all the others as if it were bound to none.
    fn placements(&self, out: &mut String, link: &Link) -> std::fmt::Result {
        let carried = facts_text(&link.facts);
        let facts = facts(link, &carried);
        let words = &self.state.words;
        // A platform is one byte, and so is the number of platforms.
        let platforms = || (0..words.platforms().len()).filter_map(|id| u8::try_from(id).ok()).map(PlatformId);
        // A short link that dies by itself ends like one with a time of its own; where it has died, that is told above.
        let dies = link.short_link_dies(words.markets()).filter(|dies| *dies > self.at);
        let ask = |bound| spots(self.policy, platforms(), &facts, bound, self.at, dies.or(link.expires_at));
        let is_free = link.placement == Placement::default();
        if !is_free {
            writeln!(out, "<h2>{}</h2>\n<ul>", self.pick("现在能用吗", "Does it work now"))?;
            for spots in ask(link.placement) {
                self.spot(out, &spots, link, &where_at(&spots, words, self.language))?;
            }
            writeln!(out, "</ul>")?;
        }
        let title = if is_free {
            self.pick("在各平台现在能用吗", "Where it works now")
        } else {
            self.pick("发布到别处会怎样", "What it would do elsewhere")
        };
        writeln!(out, "<h2>{title}</h2>")?;
        if !is_free {
            let how = self.pick(
                "这条短链只按上面的位置判断；要发到下面的位置，请另生成一条。",
                "This link is decided by its own spot above; for one of these, make another link.",
            );
            writeln!(out, "<p class=\"s\">{how}</p>")?;
        }
        let all = ask(Placement::default());
        let (silent, told): (Vec<&Spots>, Vec<&Spots>) =
            all.iter().partition(|spots| is_silent(spots) && spots.platform.is_some());
        let mut last = None;
        for spots in told {
            if last != Some(spots.platform) {
                if last.is_some() {
                    writeln!(out, "</ul>")?;
                }
                let name = match spots.platform {
                    Some(id) => platform(words.platform_name(id), self.language),
                    None => self.pick("浏览器或其他 App", "Browsers and other apps").to_owned(),
                };
                writeln!(out, "<h3>{}</h3>\n<ul>", escape(&name))?;
                last = Some(spots.platform);
            }
            let place = where_at(spots, words, self.language);
            let place = place.split_once(" · ").map_or("", |(_, place)| place);
            self.spot(out, spots, link, place)?;
        }
        if last.is_some() {
            writeln!(out, "</ul>")?;
        }
        if !silent.is_empty() {
            let names = silent.iter().filter_map(|spots| spots.platform);
            let names: Vec<String> = names.map(|id| platform(words.platform_name(id), self.language)).collect();
            writeln!(
                out,
                "<h3>{}</h3>\n<ul><li class=\"no\">{}</li></ul>",
                escape(&names.join(self.pick("、", ", "))),
                because(Reason::NoAgreement, self.language)
            )?;
        }
        Ok(())
    }

    fn spot(&self, out: &mut String, spots: &Spots, link: &Link, place: &str) -> std::fmt::Result {
        let words = &self.state.words;
        let landings = std::iter::once(&link.landing).chain(link.alternates.iter().map(|other| &other.landing));
        let names: Vec<Names> = landings.map(|landing| words.marketplace_names(landing.marketplace)).collect();
        let shops: Vec<&str> = names.iter().map(|names| marketplace(names, self.language)).collect();
        let (class, text) = sentence(&spots.outlook, &shops, self.language);
        let place = if place.is_empty() { String::new() } else { format!("<b>{}</b><br>", escape(place)) };
        writeln!(out, "<li class=\"{class}\">{place}{}", escape(&text))?;
        if link.alternates.len() + 1 == spots.outlook.landings.len() && !link.alternates.is_empty() {
            let each = spots.outlook.landings.iter().zip(&shops).enumerate().map(|(number, (asked, shop))| {
                let name = if number == 0 {
                    self.pick("主链接", "Main").to_owned()
                } else {
                    format!("{} {number}", self.pick("备选", "Alternate"))
                };
                let text = match asked.outcome {
                    Outcome::Allow => self.pick("可用", "works"),
                    Outcome::Deny => because(asked.reason, self.language),
                };
                match self.language {
                    Language::Zh => format!("{name}（{shop}）：{text}"),
                    Language::En => format!("{name} ({shop}): {text}"),
                }
            });
            let each: Vec<String> = each.collect();
            write!(out, "<br><small>{}</small>", escape(&each.join(self.pick("；", "; "))))?;
        }
        writeln!(out, "</li>")
    }

    /// The latest links, one line each.
    pub(super) fn latest(&self, links: &[Link]) -> String {
        let mut out = format!("<h2>{}</h2>\n", self.pick("最近的短链", "Latest links"));
        if links.is_empty() {
            out += &format!("<p class=\"s\">{}</p>\n", self.pick("还没有短链。", "None yet."));
            return out;
        }
        out.push_str("<ul>\n");
        for link in links {
            let view: LinkView = answer::link(self.state, self.policy, link, self.at);
            let (class, mark) = match view.issued.decision.outcome {
                Outcome::Allow => ("yes", self.pick("可用", "works").to_owned()),
                Outcome::Deny => ("no", because(view.issued.decision.reason, self.language).to_owned()),
            };
            // A link bound to no platform is decided where it is clicked.
            let (class, mark) = match (self.ended(link), link.placement.platform) {
                (None, None) => ("", self.pick("点击时判断", "decided at the click").to_owned()),
                _ => (class, mark),
            };
            let mut place = view.platform.as_deref().map(|id| platform(id, self.language)).unwrap_or_default();
            if let Some(spot) = view.surface {
                if !place.is_empty() {
                    place.push_str(" · ");
                }
                place.push_str(surface(spot, self.language));
            }
            if place.is_empty() {
                place = self.pick("不限位置", "any spot").to_owned();
            }
            let _ = writeln!(
                out,
                "<li class=\"{class}\"><a href=\"/?code={code}\">{code}</a> <b>{}</b><br><small>{} → {} · {}{}</small></li>",
                escape(&mark),
                escape(&place),
                escape(marketplace(&self.state.words.marketplace_names(link.landing.marketplace), self.language)),
                date(link.created_at),
                link.creator.as_deref().map(|creator| format!(" · {}", escape(creator))).unwrap_or_default(),
                code = escape(link.code.as_str()),
            );
        }
        out.push_str("</ul>\n");
        out
    }
}

/// The facts of each landing of a link, placed nowhere.
fn facts<'l>(link: &'l Link, carried: &'l str) -> Vec<Facts<'l>> {
    let own = Facts {
        platform: None,
        surface: None,
        marketplace: link.landing.marketplace,
        shop_type: link.shop_type,
        link_kind: link.landing.link_kind,
        category: link.category.as_deref().unwrap_or_default(),
        creator: link.creator.as_deref().unwrap_or_default(),
        shop: link.landing.shop.as_deref().unwrap_or_default(),
        item: link.landing.item.as_deref().unwrap_or_default(),
        carried,
        link: link.code.as_str(),
        visitor: 0,
    };
    let others = link.alternates.iter().map(Alternate::view);
    std::iter::once(own).chain(others.map(|other| own.at_landing(&other))).collect()
}
