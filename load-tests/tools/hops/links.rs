//! The links of a generated day: who made them, where they are pasted and where they lead, in likely proportions.

use hopgate::domain::policy::Reason;
use hopgate::domain::vocabulary::{LinkKind, ShopType, Surface};

use super::Dice;

/// One landing of a link.
pub struct Landing {
    pub marketplace: &'static str,
    pub shop_type: ShopType,
    pub link_kind: LinkKind,
    pub category: String,
    pub item: String,
    pub shop: String,
}

/// A link: its own landing first, then its alternates.
pub struct Link {
    pub code: String,
    pub creator: String,
    pub platform: &'static str,
    pub surface: Option<Surface>,
    pub facts: &'static str,
    pub landings: Vec<Landing>,
    /// Set for the few that were switched off, or whose time is over.
    pub ended: Option<Reason>,
}

/// All links of a day; some are asked far more often than others.
pub struct Links(Vec<Link>);

const CATEGORIES: [&str; 8] = ["beauty", "phones", "food", "fashion", "home", "toys", "books", ""];

impl Links {
    /// `works` tells whether a link works as the day begins: creators mostly paste such.
    pub fn new(dice: &mut Dice, count: usize, works: impl Fn(&Link) -> bool) -> Self {
        let creators = (count / 4).max(20);
        let mut draw = |number| {
            let mut drawn = link(dice, number, creators);
            let mut tries = if dice.below(4) == 0 { 0 } else { 20 };
            while tries > 0 && !works(&drawn) {
                drawn = link(dice, number, creators);
                tries -= 1;
            }
            drawn
        };
        Links((0..count).map(&mut draw).collect())
    }

    pub fn any(&self, dice: &mut Dice) -> &Link {
        &self.0[dice.zipf(self.0.len())]
    }
}

fn link(dice: &mut Dice, number: usize, creators: usize) -> Link {
    let platform = dice.pick(&[(55, "kuaishou"), (28, "xiaohongshu"), (10, "douyin"), (4, "weibo"), (3, "wechat")]);
    let surface = match platform {
        "kuaishou" => dice.pick(&[
            (50, Some(Surface::LiveCart)),
            (25, Some(Surface::ShortVideoCart)),
            (10, Some(Surface::DetailPage)),
            (8, Some(Surface::Profile)),
            (7, None),
        ]),
        "xiaohongshu" => dice.pick(&[
            (45, Some(Surface::Note)),
            (30, Some(Surface::AdNote)),
            (10, Some(Surface::Comment)),
            (10, Some(Surface::Profile)),
            (5, None),
        ]),
        _ => dice.pick(&[(6, Some(Surface::Other)), (3, Some(Surface::Chat)), (1, None)]),
    };
    let alternates = dice.pick(&[(85, 0), (10, 1), (4, 2), (1, 3)]);
    Link {
        code: format!("{:08x}", (number as u32).wrapping_mul(0x9E37_79B1)),
        creator: if dice.below(50) == 0 { String::new() } else { format!("creator-{}", dice.zipf(creators)) },
        platform,
        surface,
        facts: dice.pick(&[(70, ""), (15, "xingtu_order"), (10, "!gift"), (5, "gift")]),
        landings: (0..=alternates).map(|_| landing(dice)).collect(),
        ended: dice.pick(&[(985, None), (8, Some(Reason::LinkDisabled)), (7, Some(Reason::LinkExpired))]),
    }
}

fn landing(dice: &mut Dice) -> Landing {
    let marketplace =
        dice.pick(&[(35, "taobao"), (25, "tmall"), (28, "jd"), (5, "vipshop"), (4, "youzan"), (3, "pinduoduo")]);
    let shop_type = match marketplace {
        "taobao" => dice.pick(&[(7, ShopType::CStore), (3, ShopType::Unknown)]),
        "tmall" => dice.pick(&[(9, ShopType::Flagship), (1, ShopType::Unknown)]),
        "jd" => dice.pick(&[(6, ShopType::SelfOperated), (3, ShopType::Pop), (1, ShopType::Unknown)]),
        _ => ShopType::Unknown,
    };
    let link_kind =
        dice.pick(&[(60, LinkKind::Item), (25, LinkKind::Alliance), (8, LinkKind::Campaign), (7, LinkKind::Shop)]);
    let number = 100_000_000_000 + dice.next() % 900_000_000_000;
    let is_shop = link_kind == LinkKind::Shop;
    Landing {
        marketplace,
        shop_type,
        link_kind,
        category: CATEGORIES[dice.below(CATEGORIES.len())].to_owned(),
        item: if is_shop { String::new() } else { number.to_string() },
        shop: if is_shop { format!("shop:{}", number % 10_000_000) } else { String::new() },
    }
}
