//! The names the product speaks in: platforms, surfaces, marketplaces, shop types, link kinds.
//!
//! Platforms and marketplaces grow by data, so they are small ids handed out by a [`Vocabulary`], which also owns what is
//! known of each marketplace; the other lists are closed and are enums. Never holds a rule about any of them.

use std::sync::Arc;

use super::marketplace::table::{Marketplace, Names};
use super::marketplace::{Marketplaces, TableFault};

/// Declares a closed list of names with its text form both ways.
macro_rules! closed_list {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every value, in declaration order; `value as usize` is its place here.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The name used in files, API, metrics and CLI.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }

            /// The value of a name, if it is one.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some($name::$variant),)+ _ => None }
            }

            /// Every name, for error messages.
            pub fn names() -> Vec<&'static str> {
                vec![$($text),+]
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}
pub(crate) use closed_list;

closed_list! {
    /// The spot inside a platform where the click happens.
    Surface {
        /// Kuaishou's 小黄车 in a live room and its like.
        LiveCart = "live_cart",
        /// The cart under a short video.
        ShortVideoCart = "short_video_cart",
        /// 商业详情页, a product details page inside the content app.
        DetailPage = "detail_page",
        /// A creator's home page.
        Profile = "profile",
        /// A shop page inside the content app.
        ShopPage = "shop_page",
        /// An ordinary note.
        Note = "note",
        /// A paid note.
        AdNote = "ad_note",
        /// A comment.
        Comment = "comment",
        /// A live room outside its cart.
        LiveRoom = "live_room",
        /// A marketplace's own product page (content embeds).
        ProductPage = "product_page",
        /// A private message.
        Chat = "chat",
        /// Any surface without a name of its own.
        Other = "other",
    }
}

closed_list! {
    /// Who runs the shop. Told by the alliance's fields or the product table, never guessed from an id.
    ShopType {
        /// A Tmall shop.
        Flagship = "flagship",
        /// A personal Taobao shop.
        CStore = "c_store",
        /// JD's own stock.
        SelfOperated = "self_operated",
        /// A third-party merchant on JD.
        Pop = "pop",
        /// Not known. Never satisfies a condition of an allow.
        Unknown = "unknown",
    }
}

closed_list! {
    /// What a link leads to.
    LinkKind {
        /// One product.
        Item = "item",
        /// A shop's front page.
        Shop = "shop",
        /// A campaign or coupon page.
        Campaign = "campaign",
        /// Carries an affiliate tag.
        Alliance = "alliance",
        /// Embedded content.
        Content = "content",
        /// A mini program.
        MiniProgram = "mini_program",
        /// Not known until resolved (app share short links). Never satisfies a condition of an allow.
        Unknown = "unknown",
    }
}

closed_list! {
    /// How an allowed click is landed.
    LandingMode {
        /// In the marketplace's app.
        App = "app",
        /// On the web page.
        Web = "web",
        /// On an H5 page inside the host app.
        InApp = "in_app",
        /// In a mini program.
        MiniProgram = "mini_program",
        /// Through the gateway itself.
        Proxy = "proxy",
        /// As embedded content.
        Content = "content",
    }
}

/// A content platform: the place of the click. Ids are handed out by a [`Vocabulary`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PlatformId(pub u8);

/// A marketplace: the place of the landing. Ids are handed out by a [`Vocabulary`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MarketplaceId(pub u8);

impl MarketplaceId {
    /// Taobao, personal shops and whatever is not known to be Tmall.
    pub const TAOBAO: MarketplaceId = MarketplaceId(0);
    /// Tmall.
    pub const TMALL: MarketplaceId = MarketplaceId(1);
    /// JD.
    pub const JD: MarketplaceId = MarketplaceId(2);
    /// Xiaohongshu: its own shops, and the content it embeds elsewhere.
    pub const XIAOHONGSHU: MarketplaceId = MarketplaceId(10);
    /// Kuaishou's own shops.
    pub const KUAISHOU: MarketplaceId = MarketplaceId(11);
}

const PLATFORMS: [&str; 7] = ["kuaishou", "xiaohongshu", "douyin", "taobao", "wechat", "weibo", "bilibili"];
const MARKETPLACES: [&str; 13] = [
    "taobao",
    "tmall",
    "jd",
    "pinduoduo",
    "vipshop",
    "suning",
    "youzan",
    "weimob",
    "mokuai",
    "meituan",
    "xiaohongshu",
    "kuaishou",
    "douyin",
];

/// The platforms and marketplaces known to this process. Immutable once built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    platforms: Vec<Box<str>>,
    marketplaces: Vec<Box<str>>,
    markets: Arc<Marketplaces>,
}

/// Why a name cannot be added to a [`Vocabulary`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadName {
    /// Not 2 to 32 characters of `[a-z0-9_]` starting with a letter.
    #[error("`{0}` is not a name: use 2 to 32 of a-z, 0-9 and _, starting with a letter")]
    Shape(String),
    /// More than 64 names of a sort; label sets of metrics stay bounded.
    #[error("`{0}` is one too many: at most 64 names of a sort")]
    TooMany(String),
}

impl Vocabulary {
    /// The most names of one sort.
    pub const MOST: usize = 64;

    /// The names that come with the product, and no marketplace's table yet. The whole of what comes with it is
    /// `Vocabulary::default()`, which lives where files are read.
    pub fn names_alone() -> Self {
        Vocabulary {
            platforms: PLATFORMS.map(Box::from).to_vec(),
            marketplaces: MARKETPLACES.map(Box::from).to_vec(),
            markets: Arc::default(),
        }
    }

    /// Takes the marketplaces' tables, in place of those it had. Names that are new are added, whatever else is wrong, so
    /// that a fault of one file makes no others where the name is used.
    ///
    /// # Errors
    /// Every fault of the tables; the tables of before stay then.
    pub fn furnish(&mut self, tables: Vec<Marketplace>) -> Result<(), Vec<TableFault>> {
        let mut faults = Vec::new();
        for (table, marketplace) in tables.iter().enumerate().filter(|(_, marketplace)| !marketplace.id.is_empty()) {
            if let Err(error) = self.add_marketplace(&marketplace.id) {
                faults.push(TableFault { table, field: "id".to_owned(), problem: error.to_string() });
            }
        }
        match Marketplaces::compile(tables, |name| self.marketplace(name)) {
            Ok(markets) if faults.is_empty() => {
                self.markets = Arc::new(markets);
                Ok(())
            }
            Ok(_) => Err(faults),
            Err(more) => {
                faults.extend(more);
                Err(faults)
            }
        }
    }

    /// What is known of the marketplaces: hosts, URL shapes, apps.
    pub fn markets(&self) -> &Marketplaces {
        &self.markets
    }

    /// What people call a marketplace; its name twice where no table says more.
    pub fn marketplace_names(&self, id: MarketplaceId) -> Names {
        self.people_call(self.marketplace_name(id))
    }

    /// What people call a marketplace of this name.
    pub fn people_call(&self, name: &str) -> Names {
        let table = self.marketplace(name).and_then(|id| self.markets.of(id));
        table.map_or_else(|| Names { zh: name.into(), en: name.into() }, |table| table.names.clone())
    }

    /// Adds a platform; a name already there is left as it is.
    ///
    /// # Errors
    /// [`BadName`] when the name is not one, or there are too many.
    pub fn add_platform(&mut self, name: &str) -> Result<(), BadName> {
        Self::add(&mut self.platforms, name)
    }

    /// Adds a marketplace; a name already there is left as it is.
    ///
    /// # Errors
    /// [`BadName`] when the name is not one, or there are too many.
    pub fn add_marketplace(&mut self, name: &str) -> Result<(), BadName> {
        Self::add(&mut self.marketplaces, name)
    }

    fn add(names: &mut Vec<Box<str>>, name: &str) -> Result<(), BadName> {
        let shape = (2..=32).contains(&name.len())
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !shape {
            return Err(BadName::Shape(name.chars().take(64).collect()));
        }
        if names.iter().any(|known| &**known == name) {
            return Ok(());
        }
        if names.len() >= Self::MOST {
            return Err(BadName::TooMany(name.to_owned()));
        }
        names.push(name.into());
        Ok(())
    }

    /// The platform of that name.
    pub fn platform(&self, name: &str) -> Option<PlatformId> {
        self.platforms.iter().position(|known| &**known == name).map(|place| PlatformId(place as u8))
    }

    /// The marketplace of that name.
    pub fn marketplace(&self, name: &str) -> Option<MarketplaceId> {
        self.marketplaces.iter().position(|known| &**known == name).map(|place| MarketplaceId(place as u8))
    }

    /// A platform's name; `unknown` for an id this vocabulary never handed out.
    pub fn platform_name(&self, id: PlatformId) -> &str {
        self.platforms.get(usize::from(id.0)).map_or("unknown", |name| name)
    }

    /// A marketplace's name; `unknown` for an id this vocabulary never handed out.
    pub fn marketplace_name(&self, id: MarketplaceId) -> &str {
        self.marketplaces.get(usize::from(id.0)).map_or("unknown", |name| name)
    }

    /// Every platform name, in id order.
    pub fn platforms(&self) -> impl ExactSizeIterator<Item = &str> {
        self.platforms.iter().map(|name| &**name)
    }

    /// Every marketplace name, in id order.
    pub fn marketplaces(&self) -> impl ExactSizeIterator<Item = &str> {
        self.marketplaces.iter().map(|name| &**name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_stable_and_names_grow_by_data() {
        let mut words = Vocabulary::default();
        assert_eq!(words.marketplace("taobao"), Some(MarketplaceId::TAOBAO));
        assert_eq!(words.marketplace("tmall"), Some(MarketplaceId::TMALL));
        assert_eq!(words.marketplace("jd"), Some(MarketplaceId::JD));
        assert_eq!(words.marketplace("xiaohongshu"), Some(MarketplaceId::XIAOHONGSHU));
        assert_eq!(words.marketplace("kuaishou"), Some(MarketplaceId::KUAISHOU));
        words.add_platform("zhihu").unwrap();
        words.add_platform("zhihu").unwrap();
        assert_eq!(words.platform_name(words.platform("zhihu").unwrap()), "zhihu");
        assert!(words.add_platform("Zhi hu").is_err());
    }

    #[test]
    fn closed_lists_round_trip() {
        for surface in Surface::ALL {
            assert_eq!(Surface::parse(surface.as_str()), Some(*surface));
        }
        for (place, kind) in LinkKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, place);
        }
        assert_eq!(ShopType::parse("Flagship"), None);
    }
}
