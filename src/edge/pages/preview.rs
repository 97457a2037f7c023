//! `/{code}+`: where a link leads, whether it works now, and until when. The address is shown as a text, and can be followed
//! only where the policy lets a click from here go there.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Language;
use super::frame::{Frame, escape};
use super::words::{because, date, is_silent, link_kind, marketplace, platform, sentence, shop_type, where_at};
use crate::click::preview::{Preview, Shown};
use crate::domain::hop::Outcome;
use crate::domain::marketplace::Marketplaces;
use crate::domain::policy::Reason;
use crate::domain::policy::outlook::Spots;
use crate::domain::vocabulary::{ShopType, Vocabulary};

/// More style, of previews alone.
pub const STYLE: &str = "main{margin:6vh auto}h2{font-size:1.05rem;margin:1.75rem 0 .5rem}\
dl{margin:0;display:grid;grid-template-columns:max-content 1fr;gap:.15rem .9rem}dt{opacity:.65}dd{margin:0;\
overflow-wrap:anywhere}ul{list-style:none;margin:0;padding:0}li{padding:.45rem 0 .45rem .75rem;margin:.4rem 0;\
border-left:4px solid #9ca3af}li.yes{border-color:#16a34a}li.no{border-color:#dc2626}small{opacity:.7}\
code{font:.85em ui-monospace,monospace;overflow-wrap:anywhere}";

/// The page.
pub fn html(preview: &Preview, words: &Vocabulary, short_url: &str, language: Language) -> String {
    let mut body = String::new();
    // Writing to a text does not fail.
    let _ = write(&mut body, preview, words, short_url, language);
    let title = language.pick("这条链接通向哪里", "Where this link leads");
    Frame { language, title, head: &format!("<style>{STYLE}</style>\n"), body: &body }.html()
}

fn write(
    out: &mut String,
    preview: &Preview,
    words: &Vocabulary,
    short_url: &str,
    language: Language,
) -> std::fmt::Result {
    let pick = |zh, en| language.pick(zh, en);
    let title = pick("这条链接通向哪里", "Where this link leads");
    writeln!(out, "<h1>{title}</h1>\n<p><code>{}</code></p>", escape(short_url))?;
    let here = &preview.here;
    for (place, landing) in preview.landings.iter().enumerate() {
        if place == 0 {
            writeln!(out, "<h2>{}</h2>", pick("目的地", "Destination"))?;
        } else {
            writeln!(out, "<h2>{} {place}</h2>", pick("备选", "Alternate"))?;
        }
        let follow = here.outcome == Outcome::Allow && usize::from(here.alternate) == place;
        destination(out, landing, words.markets(), follow, language)?;
        // Of a link bound to a spot the one answer stands below; of each alternate it is worth telling here.
        if preview.landings.len() > 1
            && let Some(asked) = here.landings.get(place)
        {
            let text = match asked.outcome {
                Outcome::Allow => pick("从这里可以打开", "can be opened from here"),
                Outcome::Deny => because(asked.reason, language),
            };
            writeln!(out, "<p><small>{text}</small></p>")?;
        }
    }
    writeln!(out, "<h2>{}</h2>", pick("现在能打开吗", "Does it work now"))?;
    writeln!(out, "<ul>")?;
    let bound = preview.spots.len() == 1;
    let shops: Vec<&str> = preview.landings.iter().map(|landing| marketplace(&landing.names, language)).collect();
    let (silent, told): (Vec<&Spots>, Vec<&Spots>) =
        preview.spots.iter().partition(|spots| !bound && is_silent(spots) && spots.platform.is_some());
    for spots in told {
        let (class, sentence) = sentence(&spots.outlook, &shops, language);
        writeln!(
            out,
            "<li class=\"{class}\"><b>{}</b><br>{}</li>",
            escape(&where_at(spots, words, language)),
            escape(&sentence)
        )?;
    }
    if !silent.is_empty() {
        let names =
            silent.iter().filter_map(|spots| spots.platform).map(|id| platform(words.platform_name(id), language));
        let names = names.collect::<Vec<_>>().join(pick("、", ", "));
        writeln!(out, "<li class=\"no\"><b>{}</b><br>{}</li>", escape(&names), because(Reason::NoAgreement, language))?;
    }
    writeln!(out, "</ul>")?;
    if let Some(end) = preview.expires_at {
        writeln!(
            out,
            "<p>{} {}</p>",
            pick("链接有效至（北京时间）", "The link itself ends on (Beijing time)"),
            date(end)
        )?;
    }
    writeln!(
        out,
        "<p class=\"id\">{} {} · {} {}</p>",
        pick("查询于（北京时间）", "Looked up (Beijing time)"),
        date(preview.at),
        pick("政策版本", "policy"),
        escape(&preview.policy_version)
    )
}

fn destination(
    out: &mut String,
    landing: &Shown,
    markets: &Marketplaces,
    follow: bool,
    language: Language,
) -> std::fmt::Result {
    let pick = |zh, en| language.pick(zh, en);
    writeln!(out, "<dl>")?;
    let mut row = |name: &str, value: &str| writeln!(out, "<dt>{name}</dt><dd>{value}</dd>");
    let host = landing.url.split("://").nth(1).unwrap_or_default();
    let host = host.split(['/', '?', '#']).next().unwrap_or_default();
    let text = escape(&landing.url);
    row(pick("商城", "Marketplace"), &escape(marketplace(&landing.names, language)))?;
    row(pick("类型", "Kind"), link_kind(landing.link_kind, language))?;
    if landing.shop_type != ShopType::Unknown {
        row(pick("店铺类型", "Shop type"), shop_type(landing.shop_type, language))?;
    }
    if !landing.item.is_empty() {
        row(pick("商品编号", "Goods id"), &escape(&landing.item))?;
    }
    if !landing.shop.is_empty() {
        row(pick("店铺编号", "Shop id"), &escape(&landing.shop))?;
    }
    // What the code stands for only its own app knows; the address is but a front page.
    if !landing.share_code.is_empty() {
        row(pick("口令", "Code"), &format!("<code>{}</code>", escape(&landing.share_code)))?;
        return writeln!(out, "</dl>");
    }
    row(pick("网站", "Host"), &format!("<b>{}</b>", escape(host)))?;
    let address = if follow {
        format!("<a href=\"{text}\" rel=\"noopener noreferrer nofollow\">{text}</a>")
    } else {
        format!("<code>{text}</code>")
    };
    row(pick("完整地址", "Full address"), &address)?;
    writeln!(out, "</dl>")?;
    if markets.recognise(&landing.url).is_ok_and(|known| markets.short_life(&known.destination).is_some()) {
        let text = pick(
            "这是联盟短链，生成 60 天后自行失效。",
            "A short link of the union: it dies by itself 60 days after its issue.",
        );
        writeln!(out, "<p><small>{text}</small></p>")?;
    }
    Ok(())
}

/// The same for machines.
pub fn json(preview: &Preview, words: &Vocabulary, short_url: &str) -> Value {
    let platform = |id: Option<_>| id.map(|id| words.platform_name(id).to_owned());
    let known = |text: &str| if text.is_empty() { None } else { Some(text.to_owned()) };
    let landings: Vec<Value> = preview
        .landings
        .iter()
        .map(|landing| {
            json!({
                "marketplace": landing.marketplace,
                "shop_type": landing.shop_type,
                "link_kind": landing.link_kind,
                "item_id": known(&landing.item),
                "shop_id": known(&landing.shop),
                "url": landing.url,
                "share_code": known(&landing.share_code),
            })
        })
        .collect();
    let placements: Vec<Value> = preview
        .spots
        .iter()
        .map(|spots| {
            json!({
                "platform": platform(spots.platform),
                "surfaces": spots.surfaces,
                "other_surfaces": spots.others,
                "surface_not_told": spots.untold,
                "outlook": spots.outlook,
            })
        })
        .collect();
    json!({
        "code": preview.code,
        "short_url": short_url,
        "at": preview.at,
        "policy_version": preview.policy_version,
        "expires_at": preview.expires_at,
        "landings": landings,
        "here": {
            "platform": platform(preview.known.placement.platform),
            "surface": preview.known.placement.surface,
            "known_by": preview.known.source,
            "outlook": preview.here,
        },
        "placements": placements,
    })
}
