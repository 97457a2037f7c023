//! The words pages share: names of marketplaces and platforms, reasons as parts of a sentence, dates as people read them.

use super::Language;
use crate::domain::marketplace::table::Names;
use crate::domain::policy::Reason;
use crate::domain::time::Timestamp;

/// A marketplace's name for people; its file says it.
pub fn marketplace(names: &Names, language: Language) -> &str {
    match language {
        Language::Zh => &names.zh,
        Language::En => &names.en,
    }
}

/// A platform's name for people; `here` for one that is not known.
pub fn platform(id: &str, language: Language) -> String {
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
pub fn date(at: Timestamp) -> String {
    let text = at.to_string();
    let minutes: String = text.chars().take(16).collect();
    minutes.replace('T', " ")
}

/// Why, as a part of a sentence.
pub fn because(reason: Reason, language: Language) -> &'static str {
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
