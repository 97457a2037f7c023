//! A platform's signed outbound click, for platforms that store no links: proven, then decided, recorded and landed as a
//! click on a stored link would be. Never lands anywhere the allow-list does not take.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};

use super::{Ask, Clicked, Said, Worker};
use crate::domain::alternates::Alternates;
use crate::domain::link::{Fact, LinkState, LinkView, Placement, facts_text};
use crate::domain::marketplace::{Landing, Marketplaces, UrlFault};
use crate::domain::sign::{Signed, SignedQuery};
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::ShopType;

/// Why a well-signed click cannot be served as it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GoFault {
    /// There is no `to`.
    #[error("`to` is missing: name the landing page")]
    NoTarget,
    /// `to` may not become a landing.
    #[error("`to`: {0}")]
    Target(UrlFault),
    /// A parameter that does not say what it should.
    #[error("`{0}` is not understood: leave it out or write what the README lists")]
    Parameter(&'static str),
}

impl GoFault {
    /// The stable name used in JSON.
    pub fn code(&self) -> &'static str {
        match self {
            GoFault::NoTarget => "missing_target",
            GoFault::Target(fault) => fault.code(),
            GoFault::Parameter(_) => "bad_parameter",
        }
    }
}

/// What became of an outbound click.
pub enum Gone {
    /// Decided, or not believed.
    Clicked(Clicked),
    /// Well signed, but there is nothing to decide.
    Unfit(GoFault),
}

/// What stands for the code of an outbound click: the same for every click to the same goods, and no code of a link, as
/// those hold no `~`. A rollout by link sticks to it.
pub fn code_of(landing: &Landing, markets: &Marketplaces) -> String {
    let hash = digest(&SHA256, landing.key(markets).as_bytes());
    format!("go~{}", URL_SAFE_NO_PAD.encode(&hash.as_ref()[..9]))
}

/// What a signed query says of a landing.
struct Asked {
    landing: Landing,
    shop_type: ShopType,
    facts: String,
}

fn read(query: &SignedQuery, markets: &Marketplaces) -> Result<Asked, GoFault> {
    let landing = markets.recognise(query.get("to").ok_or(GoFault::NoTarget)?).map_err(GoFault::Target)?;
    let shop_type = match query.get("shop_type") {
        Some(name) => ShopType::parse(name).ok_or(GoFault::Parameter("shop_type"))?,
        None => ShopType::Unknown,
    };
    for name in ["creator", "note", "category", "facts"] {
        if query.get(name).is_some_and(|text| text.len() > 128) {
            return Err(GoFault::Parameter(name));
        }
    }
    let facts: Vec<Fact> = query
        .get("facts")
        .unwrap_or_default()
        .split_whitespace()
        .map(|name| Fact { name: name.trim_start_matches('!').to_owned(), carried: !name.starts_with('!') })
        .collect();
    Ok(Asked { landing, shop_type, facts: facts_text(&facts) })
}

impl Worker {
    /// Proves, decides, records. `ask.query` is what was signed; its code is not looked at.
    pub fn go(&self, ask: &Ask<'_>) -> Gone {
        let gateway = &*self.gateway;
        let now = gateway.clock.now();
        let signals = std::sync::Arc::clone(self.state.borrow_mut().signals.load());
        let proven = match signals.keys.check_go(ask.query.unwrap_or_default(), now, &gateway.words) {
            Ok(proven) => proven,
            Err(fault) => return Gone::Clicked(self.disbelieve(ask, Signed::Go, fault, None)),
        };
        let asked = match read(&proven.query, gateway.words.markets()) {
            Ok(asked) => asked,
            Err(fault) => {
                self.counters.unfit_go();
                return Gone::Unfit(fault);
            }
        };
        let text = |name: &str| proven.query.get(name).unwrap_or_default();
        let landing = &asked.landing;
        let link = LinkView {
            placement: Placement::default(),
            marketplace: landing.marketplace,
            shop_type: asked.shop_type,
            link_kind: landing.link_kind,
            category: text("category"),
            creator: "",
            item: landing.item.as_deref().unwrap_or_default(),
            shop: landing.shop.as_deref().unwrap_or_default(),
            facts: &asked.facts,
            url: landing.destination.as_str(),
            share_code: "",
            alternates: Alternates::NONE,
            expires_at: Timestamp::MAX,
            state: LinkState::Active,
        };
        let said =
            Said { placement: Some(proven.placement), creator: text("creator").into(), note: text("note").into() };
        let code = code_of(landing, gateway.words.markets());
        Gone::Clicked(self.run(&Ask { code: &code, ..*ask }, &link, &said))
    }
}
