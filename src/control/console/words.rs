//! Faults and refusals in the two languages of the page. English is what the API says; Chinese keys on the stable codes.

use super::super::fields::FieldFault;
use super::super::problem::ApiError;
use crate::control::warnings::Warning;
use crate::wording::{Language, date};

/// What is wrong with a field, and the mend.
pub(super) fn fault(fault: &FieldFault, language: Language) -> String {
    let chinese = match (language, fault.code) {
        (Language::En, _) => None,
        (_, "missing") => Some("没有粘贴链接：请粘贴以 https:// 开头的商品链接，或整段分享文案。"),
        (_, "empty") => Some("内容为空：请填写，或整项留空。"),
        (_, "too_long") => Some("内容过长：请只粘贴链接，或只保留含链接的那一段文案。"),
        (_, "control_character") => Some("含有控制字符、换行或看不见的字符：请重新复制完整链接。"),
        (_, "backslash") => Some("链接里有反斜杠：请改成 / 或 %5C。"),
        (_, "scheme") => Some("不是网页链接：请粘贴以 https:// 开头的链接。"),
        (_, "not_a_url") => Some("不是完整的链接：请粘贴形如 https://域名/路径 的链接。"),
        (_, "userinfo") => Some("域名前带有用户名：请删去 @ 及其前面的内容。"),
        (_, "port") => Some("链接写了端口：请删去端口。"),
        (_, "mixed_script_host") => {
            Some("域名含有非英文字符，可能是仿冒：请使用商城自己的域名，并在链接与文字之间加空格。")
        }
        (_, "encoded_host") => Some("域名被编码：请使用普通字母书写的域名。"),
        (_, "ip_host") => Some("链接是 IP 地址：请使用商城自己的域名。"),
        (_, "host_dots") => Some("域名里有多余的点：请删去。"),
        (_, "host_not_allowed") => Some("不是已支持的商城链接：请粘贴淘宝、天猫、京东等商城或平台自家店铺的链接。"),
        (_, "host_forwards") => Some("这是登录页或中转页：请粘贴商品页面本身的链接。"),
        (_, "encoded_line_break") => Some("链接里有编码的换行或空字符：请删去 %0D、%0A、%00。"),
        (_, "parsers_disagree") => Some("这个链接的指向有歧义：请用商城自己的分享链接。"),
        (_, "several_urls") => Some("文案里有不止一个链接：请只留要用的那一个。"),
        (_, "several_codes") => Some("文案里有不止一个口令：请只留要用的那一个。"),
        (_, "no_url") => Some("文案里没有链接：请粘贴含有一个 https:// 链接的文案。"),
        (_, "unidentifiable_code") => Some("这是口令，看不出属于哪个商城：请注明商城，或改贴链接或整段分享文案。"),
        (_, "no_codes") => Some("这个商城不支持口令：请选淘宝、天猫或京东，或改贴链接。"),
        (_, "contradiction") => Some("链接不属于所选商城：请改选商城，或留空。"),
        (_, "resolved_off_list") => Some("这条短链指向了不支持的网站：请粘贴商品链接本身。"),
        (_, "resolved_elsewhere") => Some("这条短链打开的是另一家商城的页面：请核对短链来源，或粘贴商品链接本身。"),
        (_, "unknown_name") => Some("没有这个选项：请从列表中选择。"),
        (_, "slug_length") => Some("短码长度须为 3 到 64 个字符。"),
        (_, "slug_character") => Some("短码只能用英文字母、数字、_ 和 -。"),
        (_, "slug_reserved") => Some("这个短码是系统保留的：请换一个。"),
        (_, "slug_taken") => Some("这个短码已被占用：请换一个，或留空自动生成。"),
        (_, "white_space") => Some("不能含有空格或控制字符：请连写。"),
        (_, "leading_mark") => Some("不能以 ! 开头：请删去。"),
        (_, "too_many") => Some("数量过多：备选最多 8 条。"),
        (_, "duplicate") => Some("与另一条指向同一个商品：请删去一条。"),
        (_, "unknown_field" | "given_twice") => {
            Some("备选后面只能跟 shop_type= 或 category=，各一次；链接里的逗号请写成 %2C。")
        }
        _ => None,
    };
    match (chinese, language) {
        (Some(text), _) => text.to_owned(),
        (None, Language::Zh) => format!("无法使用：{}", fault.problem),
        (None, Language::En) => sentence(&fault.problem),
    }
}

/// Something to know of a link.
pub(super) fn warning(warning: &Warning, language: Language) -> String {
    let at = warning.at.map(date).unwrap_or_default();
    match (language, &*warning.code) {
        (Language::Zh, "unidentifiable_code") => {
            "只有口令、没有链接：网关看不出是什么商品，访客打开后看到口令并复制。".to_owned()
        }
        (Language::Zh, "short_link_dies") if !at.is_empty() => {
            format!("这是 60 天短链，最迟 {at}（北京时间）失效：请改用联盟长链接。")
        }
        (Language::Zh, "short_link_dies") => {
            format!("{}：这是 60 天短链，请改用联盟长链接。", warning.field)
        }
        (Language::Zh, "short_link_expired") => format!("这条 60 天短链已于 {at}（北京时间）失效：请重新生成。"),
        _ => sentence(&warning.detail),
    }
}

/// What came up when a link was made: its stable code, and why it is not known what the link leads to.
const NOTED: [(&str, &str, &str); 13] = [
    ("resolve_off", "没有开启短链解析", "resolving short links is switched off"),
    (
        "resolve_ambiguous",
        "页面给出多个去向，其中有不支持的网站",
        "its page names several targets, one of them off the list",
    ),
    ("resolve_login", "页面要求登录", "its page asks to log in"),
    ("resolve_opens_app", "页面只会打开 App", "its page only opens an app"),
    ("resolve_unreachable", "页面无法访问", "its page cannot be reached"),
    ("resolve_not_public", "页面不在公网上", "its page is not on the public network"),
    ("resolve_timed_out", "页面超时未响应", "its page did not answer in time"),
    ("resolve_busy", "解析繁忙", "too many short links were being resolved"),
    ("resolve_status", "页面返回错误", "its page answered with an error"),
    ("resolve_encoded", "页面内容无法读取", "its page came compressed"),
    ("resolve_no_target", "页面没有写明去向", "its page does not say where it leads"),
    ("resolve_loop", "页面循环跳转", "its pages lead round in a circle"),
    ("resolve_too_many_hops", "跳转次数过多", "it leads on after too many pages"),
];

/// Those of these codes that are known, each once, in the order of the list.
pub(super) fn noted<'c>(codes: impl Iterator<Item = &'c str>) -> Vec<&'static str> {
    let codes: Vec<&str> = codes.collect();
    NOTED.iter().map(|(code, ..)| *code).filter(|code| codes.contains(code)).collect()
}

/// What a code of [`noted`] means for the link.
pub(super) fn note(code: &str, language: Language) -> Option<String> {
    let (_, zh, en) = NOTED.iter().find(|(known, ..)| *known == code)?;
    Some(match language {
        Language::Zh => format!(
            "短链没有解析出商品（{zh}）：链接已生成，但只放行指定商品或店铺的政策不会放行它；请改贴商品链接本身。"
        ),
        Language::En => format!(
            "It is not known what a short link leads to: {en}. The link was made all the same, but no agreement that asks \
             for goods or shop allows it; paste the goods' own link for that."
        ),
    })
}

/// A problem of the API as a sentence of its own.
fn sentence(problem: &str) -> String {
    let mut letters = problem.chars();
    let first = letters.next().map(|first| first.to_uppercase().collect::<String>()).unwrap_or_default();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}

/// A refusal that is about no field, with its status.
pub(super) fn refusal(error: &ApiError, language: Language) -> (axum::http::StatusCode, String) {
    let (status, title, detail) = error.told();
    let (zh, en) = title.split_once(" / ").unwrap_or((title, title));
    let text = match language {
        Language::Zh => zh.to_owned(),
        Language::En => format!("{en}: {detail}"),
    };
    (status, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::marketplaces::shipped;
    use crate::control::draft::LinkDraft;
    use crate::resolve::tally::Outcome;

    #[test]
    fn every_way_a_short_link_stays_unknown_has_words_in_both_languages() {
        let refused = [Outcome::Resolved, Outcome::Cached, Outcome::OffList, Outcome::Elsewhere];
        let warned = Outcome::ALL.iter().filter(|outcome| !refused.contains(outcome));
        let codes: Vec<String> = warned.map(|outcome| format!("resolve_{}", outcome.as_str())).collect();
        assert_eq!(codes.len() + 1, NOTED.len(), "and resolve_off");
        for code in &codes {
            assert!(note(code, Language::Zh).is_some() && note(code, Language::En).is_some(), "{code}");
        }
        let sent = ["<b>", "resolve_status", "resolve_off", "resolve_status", "off"];
        assert_eq!(noted(sent.into_iter()), ["resolve_off", "resolve_status"]);
    }

    #[test]
    fn every_fault_of_a_paste_has_words_in_both_languages() {
        let now = "2026-01-01".parse().unwrap();
        for paste in [
            "https://item.jd.com@evil.test/",
            "https://evil.test/",
            "https://item.jd.com:8443/1.html",
            "https://127.0.0.1/",
            "javascript:alert(1)",
            "https://item.jd.com\\@evil.test",
            "https://xn--jd-1ka.com/",
            "https://item..jd.com/1.html",
            "https://plogin.m.jd.com/login/login?returnurl=x",
            "https://item.jd.com/1.html%0d%0aSet-Cookie:x",
            "￥AbCdEf123456￥",
            "￥AbCdEf12345￥ ￥3DIFi3EsIAhRkW￥",
            "就是这个",
            "https://item.jd.com/1.html https://item.taobao.com/item.htm?id=2",
        ] {
            let draft = LinkDraft { url: Some(paste.to_owned()), ..LinkDraft::default() };
            let faults = draft.check(shipped(), now).unwrap_err();
            let zh = fault(&faults[0], Language::Zh);
            assert!(!zh.is_empty() && !zh.starts_with("无法使用"), "{paste}: {zh} ({})", faults[0].code);
            let en = fault(&faults[0], Language::En);
            assert!(en.ends_with('.') && !en.starts_with(char::is_lowercase), "{paste}: {en}");
        }
    }
}
