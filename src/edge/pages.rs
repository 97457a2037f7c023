//! Pages and words for visitors: zh-CN first, en second. Small, no script, no third-party request. Never says more of the
//! policy than the reason and the date.

use crate::click::Refused;
use crate::domain::policy::Reason;
use crate::domain::time::Timestamp;

/// A language a page can be in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Language {
    /// Simplified Chinese, the default.
    Zh,
    /// English.
    En,
}

impl Language {
    /// The better of the two for an `Accept-Language` header; Chinese when it names neither.
    pub fn choose(accept: &str) -> Self {
        let mut best = (Language::Zh, -1.0);
        for part in accept.split(',').take(16) {
            let mut pieces = part.split(';').map(str::trim);
            let tag = pieces.next().unwrap_or_default().to_ascii_lowercase();
            let weight = pieces.find_map(|piece| piece.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
            let language = match tag.split('-').next() {
                Some("zh") => Language::Zh,
                Some("en") => Language::En,
                _ => continue,
            };
            if weight > best.1 && weight > 0.0 {
                best = (language, weight);
            }
        }
        best.0
    }

    fn pick(self, zh: &'static str, en: &'static str) -> &'static str {
        match self {
            Language::Zh => zh,
            Language::En => en,
        }
    }

    /// The value of `Content-Language`.
    pub fn tag(self) -> &'static str {
        self.pick("zh-CN", "en")
    }
}

/// A headline, a sentence of why, and what still works.
pub struct Words {
    /// The headline.
    pub title: String,
    /// Why.
    pub why: String,
    /// Which other landings were tried, and why they fell.
    pub also: Option<String>,
    /// What the visitor can do.
    pub next: String,
}

fn marketplace(id: &str, language: Language) -> String {
    let known = match id {
        "taobao" => ("淘宝", "Taobao"),
        "tmall" => ("天猫", "Tmall"),
        "jd" => ("京东", "JD"),
        "pinduoduo" => ("拼多多", "Pinduoduo"),
        "vipshop" => ("唯品会", "Vipshop"),
        "suning" => ("苏宁", "Suning"),
        "youzan" => ("有赞", "Youzan"),
        "weimob" => ("微盟", "Weimob"),
        "mokuai" => ("魔筷", "Mokuai"),
        "meituan" => ("美团", "Meituan"),
        "xiaohongshu" => ("小红书", "Xiaohongshu"),
        "kuaishou" => ("快手小店", "Kuaishou shops"),
        _ => return id.to_owned(),
    };
    language.pick(known.0, known.1).to_owned()
}

fn platform(id: &str, language: Language) -> String {
    let known = match id {
        "kuaishou" => ("快手", "Kuaishou"),
        "xiaohongshu" => ("小红书", "Xiaohongshu"),
        "douyin" => ("抖音", "Douyin"),
        "taobao" => ("淘宝", "Taobao"),
        "wechat" => ("微信", "WeChat"),
        "weibo" => ("微博", "Weibo"),
        "bilibili" => ("哔哩哔哩", "Bilibili"),
        "" => ("这里", "here"),
        _ => return id.to_owned(),
    };
    language.pick(known.0, known.1).to_owned()
}

/// A date as a person reads it, Beijing time: `2022-10-28 00:00`.
fn date(at: Timestamp) -> String {
    let text = at.to_string();
    let minutes: String = text.chars().take(16).collect();
    minutes.replace('T', " ")
}

/// Why, as a part of a sentence.
fn because(reason: Reason, language: Language) -> &'static str {
    let (zh, en) = match reason {
        Reason::NotYetOpen => ("合作尚未开始", "the cooperation has not begun"),
        Reason::WindowEnded => ("合作已结束", "the cooperation has ended"),
        Reason::SurfaceNotCovered => ("这个位置暂不支持跳转", "this spot does not support it"),
        Reason::ShopTypeNotCovered => ("这类店铺的商品暂不支持跳转", "this sort of shop is not covered"),
        Reason::LinkKindNotCovered => ("这类链接暂不支持跳转", "this sort of link is not covered"),
        Reason::CategoryNotCovered => ("这个类目的商品暂不支持跳转", "this category of goods is not covered"),
        Reason::CreatorNotCovered => ("这条链接不在本次合作范围内", "this link is not part of the cooperation"),
        Reason::RequirementMissing => ("这条链接缺少合作所需的凭证", "the link lacks a proof the cooperation asks for"),
        Reason::NotInRollout => {
            ("跳转正在分批开放，还没轮到这条链接", "it is opening in stages and has not reached this link")
        }
        Reason::DeniedByAgreement => {
            ("平台规则不允许从这里跳转", "the platform's rules do not allow it from this spot")
        }
        Reason::KillSwitch => ("跳转已临时关闭", "it is switched off for the moment"),
        _ => ("两个平台之间目前没有跳转合作", "there is no cooperation between the two at present"),
    };
    language.pick(zh, en)
}

/// What to tell a visitor whose click the policy refused.
pub fn refusal(refused: &Refused, language: Language) -> Words {
    let shop = marketplace(&refused.marketplace, language);
    let here = platform(&refused.platform, language);
    let zh = language == Language::Zh;
    let why = match (refused.reason, refused.opens_at, refused.ended_at) {
        (Reason::NotYetOpen, Some(opens), _) if zh => {
            format!("{here}到{shop}的链接将于 {}（北京时间）开放。", date(opens))
        }
        (Reason::NotYetOpen, Some(opens), _) => {
            format!("Links from {here} to {shop} open on {} (Beijing time).", date(opens))
        }
        (Reason::WindowEnded, _, Some(ended)) if zh => {
            format!("{here}到{shop}的链接合作已于 {}（北京时间）结束。", date(ended))
        }
        (Reason::WindowEnded, _, Some(ended)) => {
            format!("The cooperation for links from {here} to {shop} ended on {} (Beijing time).", date(ended))
        }
        (reason, _, _) if zh => format!("从{here}打开{shop}：{}。", because(reason, language)),
        (reason, _, _) => format!("Opening {shop} from {here}: {}.", because(reason, language)),
    };
    let also = refused.also_tried.iter().map(|tried| {
        let (shop, because) = (marketplace(&tried.marketplace, language), because(tried.reason, language));
        if zh { format!("{shop}（{because}）") } else { format!("{shop} ({because})") }
    });
    let also = also.collect::<Vec<_>>().join(language.pick("、", ", "));
    let also = match (also.is_empty(), zh) {
        (true, _) => None,
        (false, true) => Some(format!("也试过：{also}。")),
        (false, false) => Some(format!("Also tried: {also}.")),
    };
    Words {
        title: language.pick("链接暂时无法打开", "This link cannot be opened now").to_owned(),
        why,
        also,
        next: match language {
            Language::Zh => format!("商品没有下架：您仍可以打开{shop} App 搜索商品名称，或稍后再试。"),
            Language::En => {
                format!("The goods are still there: open the {shop} app and search for them, or try later.")
            }
        },
    }
}

/// What to tell a visitor for whom there is nothing behind the code.
pub fn missing(reason: Reason, language: Language) -> Words {
    let (title, why) = match reason {
        Reason::LinkExpired => (
            ("链接已过期", "This link has expired"),
            ("发布者设定的有效期已过。", "Its time, set by its publisher, is over."),
        ),
        Reason::LinkDisabled => (
            ("链接已停用", "This link was switched off"),
            ("发布者或平台停用了这条链接。", "Its publisher or the platform switched it off."),
        ),
        _ => (("链接不存在", "No such link"), ("请检查链接是否完整。", "Check that you have the whole link.")),
    };
    Words {
        title: language.pick(title.0, title.1).to_owned(),
        why: language.pick(why.0, why.1).to_owned(),
        also: None,
        next: language.pick("可以向分享者索要新的链接。", "Ask whoever shared it for a new one.").to_owned(),
    }
}

/// What to tell a visitor when the gateway cannot answer for the moment.
pub fn busy(language: Language) -> Words {
    Words {
        title: language.pick("请稍后再试", "Please try again").to_owned(),
        why: language.pick("服务暂时繁忙。", "The service is busy for a moment.").to_owned(),
        also: None,
        next: language.pick("几秒后刷新即可。", "Reload in a few seconds.").to_owned(),
    }
}

/// A page of words. Every word is escaped.
pub fn html(words: &Words, hop_id: Option<&str>, language: Language) -> String {
    html_with_link(words, None, hop_id, language)
}

/// A page of words that ends with a link, as address and text. Every word is escaped, and so is the address.
pub fn html_with_link(words: &Words, link: Option<(&str, &str)>, hop_id: Option<&str>, language: Language) -> String {
    let link =
        link.map(|(url, text)| format!("<p><a rel=\"noreferrer\" href=\"{}\">{}</a></p>\n", escape(url), escape(text)));
    let id = hop_id.map(|id| {
        let label = language.pick("编号", "Reference");
        format!("<p class=\"id\">{label} {}</p>", escape(id))
    });
    format!(
        "<!doctype html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"robots\" content=\"noindex\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n\
         <p>{}</p>\n{}<p>{}</p>\n{}{}\n</main>\n</body>\n</html>\n",
        language.tag(),
        escape(&words.why),
        words.also.as_deref().map(|also| format!("<p>{}</p>\n", escape(also))).unwrap_or_default(),
        escape(&words.next),
        link.unwrap_or_default(),
        id.unwrap_or_default(),
        title = escape(&words.title),
    )
}

const STYLE: &str = "body{font:17px/1.6 system-ui,-apple-system,\"PingFang SC\",\"Noto Sans SC\",sans-serif;margin:0;\
background:Canvas;color:CanvasText}main{max-width:34rem;margin:12vh auto;padding:0 1.25rem}\
h1{font-size:1.35rem;margin:0 0 .75rem}.id{font:12px ui-monospace,monospace;opacity:.6;word-break:break-all;\
margin-top:2rem}";

fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::click::AlsoTried;

    #[test]
    fn language_follows_the_visitor_and_defaults_to_chinese() {
        assert_eq!(Language::choose(""), Language::Zh);
        assert_eq!(Language::choose("en-US,en;q=0.9,zh;q=0.8"), Language::En);
        assert_eq!(Language::choose("fr, zh-TW;q=0.9, en;q=0.5"), Language::Zh);
        assert_eq!(Language::choose("en;q=0, zh;q=0.1"), Language::Zh);
    }

    #[test]
    fn a_refusal_says_why_and_what_still_works() {
        let refused = Refused {
            reason: Reason::WindowEnded,
            platform: "kuaishou".into(),
            marketplace: "jd".into(),
            agreement: None,
            opens_at: None,
            ended_at: Some("2022-12-01".parse().unwrap()),
            also_tried: Vec::new(),
        };
        let words = refusal(&refused, Language::Zh);
        assert!(words.why.contains("快手到京东的链接合作已于 2022-12-01 00:00"), "{}", words.why);
        assert!(words.next.contains("京东 App"));
        let page = html(&words, Some("<id>"), Language::Zh);
        assert!(page.contains("lang=\"zh-CN\"") && page.contains("&lt;id&gt;") && !page.contains("http"));
        assert!(refusal(&refused, Language::En).why.contains("ended on 2022-12-01 00:00 (Beijing time)"));
        assert!(!page.contains("也试过"));

        let other = |marketplace: &str, reason| AlsoTried { alternate: 1, marketplace: marketplace.into(), reason };
        let also_tried = vec![other("tmall", Reason::ShopTypeNotCovered), other("youzan", Reason::NoAgreement)];
        let refused = Refused { also_tried, ..refused };
        let page = html(&refusal(&refused, Language::Zh), None, Language::Zh);
        let also = "<p>也试过：天猫（这类店铺的商品暂不支持跳转）、有赞（两个平台之间目前没有跳转合作）。</p>";
        assert!(page.contains(also), "{page}");
        let also = refusal(&refused, Language::En).also.unwrap();
        assert!(also.starts_with("Also tried: Tmall (this sort of shop is not covered), Youzan ("), "{also}");
    }
}
