//! Why a click is refused, for visitors and creators alike. Never says more than the reason.

use super::Language;
use crate::domain::policy::Reason;

/// Why, as a part of a sentence.
pub const fn because(reason: Reason, language: Language) -> &'static str {
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
        Reason::LinkDisabled => ("链接已停用", "the link was switched off"),
        Reason::LinkExpired => ("链接已过期", "the link has expired"),
        _ => ("两个平台之间目前没有跳转合作", "there is no cooperation between the two at present"),
    };
    language.pick(zh, en)
}
