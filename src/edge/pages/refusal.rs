//! The pages of clicks that lead nowhere: refused by the policy, no such link, too busy.

use super::Language;
use super::frame::{Frame, escape, reference};
use super::words::{because, date, marketplace, platform};
use crate::click::Refused;
use crate::domain::policy::Reason;

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

/// What to tell a visitor whose click the policy refused.
pub fn refusal(refused: &Refused, language: Language) -> Words {
    let shop = marketplace(&refused.marketplace_names, language);
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
        let (shop, because) = (marketplace(&tried.marketplace_names, language), because(tried.reason, language));
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
    let body = format!(
        "<h1>{}</h1>\n<p>{}</p>\n{}<p>{}</p>\n{}\n",
        escape(&words.title),
        escape(&words.why),
        words.also.as_deref().map(|also| format!("<p>{}</p>\n", escape(also))).unwrap_or_default(),
        escape(&words.next),
        reference(hop_id, language),
    );
    Frame { language, title: &words.title, head: "", body: &body }.html()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::click::AlsoTried;
    use crate::config::marketplaces::shipped;

    #[test]
    fn a_refusal_says_why_and_what_still_works() {
        let refused = Refused {
            reason: Reason::WindowEnded,
            platform: "kuaishou".into(),
            marketplace: "jd".into(),
            marketplace_names: shipped().people_call("jd"),
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

        let other = |marketplace: &str, reason| AlsoTried {
            alternate: 1,
            marketplace: marketplace.into(),
            marketplace_names: shipped().people_call(marketplace),
            reason,
        };
        let also_tried = vec![other("tmall", Reason::ShopTypeNotCovered), other("youzan", Reason::NoAgreement)];
        let refused = Refused { also_tried, ..refused };
        let page = html(&refusal(&refused, Language::Zh), None, Language::Zh);
        let also = "<p>也试过：天猫（这类店铺的商品暂不支持跳转）、有赞（两个平台之间目前没有跳转合作）。</p>";
        assert!(page.contains(also), "{page}");
        let also = refusal(&refused, Language::En).also.unwrap();
        assert!(also.starts_with("Also tried: Tmall (this sort of shop is not covered), Youzan ("), "{also}");
    }
}
