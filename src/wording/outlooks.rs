//! What a link does at a spot, in words: for previews and for the page of creators alike.

use std::fmt::Write as _;

use super::{Language, because, date, platform, surface};
use crate::domain::hop::Outcome;
use crate::domain::policy::Reason;
use crate::domain::policy::outlook::{Next, Outlook, Spots};
use crate::domain::vocabulary::Vocabulary;

/// Whether a platform has nothing to say of this link.
pub fn is_silent(spots: &Spots) -> bool {
    spots.surfaces.is_empty()
        && spots.outlook.reason == Reason::NoAgreement
        && spots.outlook.works_from.is_none()
        && spots.outlook.landings.iter().all(|asked| asked.reason == Reason::NoAgreement)
}

/// The spots as a line says them: `快手 · 直播小黄车、短视频购物车`.
pub fn where_at(spots: &Spots, words: &Vocabulary, language: Language) -> String {
    let pick = |zh, en| language.pick(zh, en);
    let Some(id) = spots.platform else {
        return pick("浏览器或其他 App", "Browsers and other apps").to_owned();
    };
    if spots.whole {
        return platform(words.platform_name(id), language);
    }
    let mut names: Vec<&str> = spots.surfaces.iter().map(|spot| surface(*spot, language)).collect();
    if spots.others {
        names.push(pick("其余位置", "all other spots"));
    }
    if spots.untold && !names.is_empty() {
        names.push(pick("未标明位置", "spot not stated"));
    } else if spots.untold {
        // Alone it is the whole platform, or what is left of it.
        names.push(pick("未标明位置时", "where the spot is not stated"));
    }
    format!("{} · {}", platform(words.platform_name(id), language), names.join(pick("、", ", ")))
}

/// What an outlook is in one or two sentences, and whether it is a `yes` or a `no`. `shops` are the marketplaces of
/// the link's landings, by name.
pub fn sentence(outlook: &Outlook, shops: &[&str], language: Language) -> (&'static str, String) {
    let zh = language == Language::Zh;
    let shop = |place: u8| shops.get(usize::from(place)).copied().unwrap_or_default();
    if outlook.outcome == Outcome::Deny {
        let why = because(outlook.reason, language);
        let text = match (outlook.ended_at, outlook.works_from, zh) {
            (_, Some(from), true) => format!("暂不可用：{why}。{} 起可用（北京时间）。", date(from)),
            (_, Some(from), false) => format!("Not now: {why}. Works from {} (Beijing time).", date(from)),
            (Some(ended), None, true) => format!("不可用：{why}（{}，北京时间）。", date(ended)),
            (Some(ended), None, false) => format!("Does not work: {why} ({}, Beijing time).", date(ended)),
            (None, None, true) => format!("不可用：{why}。"),
            (None, None, false) => format!("Does not work: {why}."),
        };
        return ("no", text);
    }
    let shop_now = shop(outlook.alternate);
    let mut text = match (zh, outlook.alternate) {
        (true, 0) => format!("可用，前往{shop_now}"),
        (true, place) => format!("可用，前往备选 {place}（{shop_now}）"),
        (false, 0) => format!("Works, opens {shop_now}"),
        (false, place) => format!("Works, opens alternate {place} ({shop_now})"),
    };
    let Some(until) = outlook.works_until else {
        text.push_str(if zh { "，无截止日期。" } else { ", with no end in sight." });
        return ("yes", text);
    };
    let until = date(until);
    let then = match (outlook.then, zh) {
        (Some(Next { alternate: Some(next), .. }), true) => format!("之后改为前往{}。", shop(next)),
        (Some(Next { alternate: Some(next), .. }), false) => format!("Then opens {}.", shop(next)),
        (Some(Next { works_from: Some(again), .. }), true) => format!("之后暂停，{} 恢复。", date(again)),
        (Some(Next { works_from: Some(again), .. }), false) => format!("Then not until {}.", date(again)),
        (_, true) => "之后不可用。".to_owned(),
        (_, false) => "Not any more after that.".to_owned(),
    };
    let _ = if zh {
        write!(text, "，至 {until}（北京时间）。{then}")
    } else {
        write!(text, ", until {until} (Beijing time). {then}")
    };
    ("yes", text)
}
