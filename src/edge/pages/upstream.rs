//! The page in place of a partner's page that cannot be had: says so, and offers the shop's own page, which the policy
//! allowed as well.

use super::Language;
use super::frame::{Frame, escape, reference};

/// What is wrong, as far as a visitor cares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// It cannot be reached, or says nothing that can be shown.
    Unreachable,
    /// It is too slow.
    Slow,
    /// Too many are there.
    Crowded,
    /// What the visitor sent is too large.
    TooLarge,
    /// What the visitor sent did not arrive whole.
    Incomplete,
}

/// Headline and sentence.
pub fn words(trouble: Trouble, language: Language) -> (&'static str, &'static str) {
    let why = match trouble {
        Trouble::Unreachable => ("合作方的页面暂时无法访问。", "The partner's page cannot be reached just now."),
        Trouble::Slow => ("合作方的页面没有及时响应。", "The partner's page did not answer in time."),
        Trouble::Crowded => ("合作方的页面现在访问人数过多。", "Too many visitors are at the partner's page just now."),
        Trouble::TooLarge => ("提交的内容过大。", "What was sent is too large."),
        Trouble::Incomplete => ("提交的内容没有完整到达。", "What was sent did not arrive whole."),
    };
    (language.pick("页面暂时打不开", "This page cannot be shown now"), language.pick(why.0, why.1))
}

/// The page. `landing` is where a plain redirect would have led.
pub fn html(trouble: Trouble, landing: Option<&str>, hop_id: Option<&str>, language: Language) -> String {
    let (title, why) = words(trouble, language);
    let next = match landing {
        Some(landing) => format!(
            "<p>{}</p>\n<a class=\"go\" rel=\"noreferrer\" href=\"{}\">{}</a>\n",
            language.pick(
                "链接本身没有问题：可以稍后刷新，或者：",
                "Nothing is wrong with the link: reload in a while, or:"
            ),
            escape(landing),
            language.pick("直接打开商品页面", "Open the shop's own page"),
        ),
        None => format!("<p>{}</p>\n", language.pick("请稍后重试。", "Try again in a while.")),
    };
    let body = format!("<h1>{title}</h1>\n<p>{why}</p>\n{next}{}\n", reference(hop_id, language));
    Frame { language, title, head: "", body: &body }.html()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_says_what_is_wrong_and_leads_out() {
        let landing = "https://item.m.jd.com/product/1.html?a=1&b='";
        let page = html(Trouble::Slow, Some(landing), Some("id-1"), Language::Zh);
        assert!(page.contains("没有及时响应") && page.contains("编号 id-1"), "{page}");
        assert!(page.contains("href=\"https://item.m.jd.com/product/1.html?a=1&amp;b=&#39;\""), "{page}");
        assert_eq!(page.matches("http").count(), 1, "nothing else is linked or loaded");
        let page = html(Trouble::Unreachable, None, None, Language::En);
        assert!(page.contains("lang=\"en\"") && page.contains("cannot be reached") && !page.contains("href"), "{page}");
    }
}
