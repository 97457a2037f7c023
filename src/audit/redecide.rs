//! A recorded hop as the facts it was decided on, decided again. Pure: the record, the policy and the instant come in as
//! arguments. Never says whether a difference matters.

use crate::domain::hop::{Hop, Outcome};
use crate::domain::policy::{Decision, Facts, PolicySet, Reason, decide};
use crate::domain::time::Timestamp;
use crate::domain::tried::{FALLBACK, Fallen, MAIN};
use crate::domain::vocabulary::{LandingMode, LinkKind, MarketplaceId, ShopType, Vocabulary};

/// One landing of a click, as recorded.
#[derive(Clone, Copy)]
struct Landing<'a> {
    alternate: u8,
    marketplace: &'a str,
    shop_type: ShopType,
    link_kind: LinkKind,
    category: &'a str,
    item: &'a str,
    shop: &'a str,
}

impl<'a> Landing<'a> {
    /// The one the hop's own fields speak of.
    fn own(hop: &Hop<'a>) -> Self {
        Landing {
            alternate: hop.alternate,
            marketplace: hop.marketplace,
            shop_type: hop.shop_type,
            link_kind: hop.link_kind,
            category: hop.category,
            item: hop.item,
            shop: hop.shop,
        }
    }

    fn fallen(fallen: &Fallen<'a>) -> Self {
        Landing {
            alternate: fallen.alternate,
            marketplace: fallen.marketplace,
            shop_type: fallen.shop_type,
            link_kind: fallen.link_kind,
            category: fallen.category,
            item: fallen.item,
            shop: fallen.shop,
        }
    }

    /// Decides it again at `at`.
    fn decide<'p>(&self, hop: &Hop<'_>, policy: &'p PolicySet, words: &Vocabulary, at: Timestamp) -> Decision<'p> {
        // A name no version knows is in no agreement: without a platform there is none either, and the answer the same.
        let marketplace = words.marketplace(self.marketplace);
        let facts = Facts {
            platform: marketplace.and_then(|_| words.platform(hop.platform)),
            surface: hop.surface,
            marketplace: marketplace.unwrap_or(MarketplaceId(0)),
            shop_type: self.shop_type,
            link_kind: self.link_kind,
            category: self.category,
            creator: hop.creator,
            shop: self.shop,
            item: self.item,
            carried: hop.facts,
            link: hop.code,
            visitor: hop.visitor,
        };
        decide(policy, &facts, at)
    }
}

/// Whether a hop ended before any policy was asked: its link was off or over. Such a hop has nothing to decide again.
pub fn is_ended(reason: Reason) -> bool {
    matches!(reason, Reason::LinkDisabled | Reason::LinkExpired)
}

/// What a policy makes of a recorded click.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fresh<'p> {
    /// The decision on the landing it would take; on the link's own when every recorded one is refused.
    pub decision: Decision<'p>,
    /// The landing it would take: 0 the link's own, n its n-th alternate.
    pub alternate: Option<u8>,
    /// Every recorded landing is refused, but the click landed: alternates behind that landing, if the link has any,
    /// were not tried and are not in the record.
    pub unknown_beyond: bool,
}

/// Decides a recorded click under `policy` at `at`: its landings in the order of the link, the first allowed is taken.
pub fn redecide<'p>(hop: &Hop<'_>, policy: &'p PolicySet, words: &Vocabulary, at: Timestamp) -> Fresh<'p> {
    let own = Landing::own(hop);
    let ask = |landing: &Landing<'_>| (landing.alternate, landing.decide(hop, policy, words, at));
    let tried = hop.tried.iter().map(|fallen| Landing::fallen(&fallen));
    let landed = hop.outcome == Outcome::Allow;
    // The link's own landing comes first; a refused click has it in its own fields, one that fell through in `tried`.
    // The pair's fallback is the policy's word and not decided.
    let (first, last) = if landed && hop.alternate != MAIN {
        (None, Some(own).filter(|own| own.alternate != FALLBACK))
    } else {
        (Some(own), None)
    };
    let mut main = None;
    for (alternate, decision) in first.into_iter().chain(tried).chain(last).map(|landing| ask(&landing)) {
        if decision.is_allow() {
            return Fresh { decision, alternate: Some(alternate), unknown_beyond: false };
        }
        main = main.or(Some(decision));
    }
    let decision = main.unwrap_or_else(|| ask(&own).1);
    Fresh { decision, alternate: None, unknown_beyond: landed && hop.alternate != FALLBACK }
}

/// Where a record and the decision it proves part.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Difference {
    /// The field of the record, as an export names it.
    pub field: String,
    /// What it says.
    pub recorded: String,
    /// What deciding again says.
    pub redecided: String,
}

/// A field of the record: of the hop itself, or of a landing that fell.
#[derive(Clone, Copy)]
struct Place(Option<usize>);

impl Place {
    fn same<T: PartialEq>(
        self,
        field: &str,
        recorded: T,
        redecided: T,
        text: impl Fn(T) -> String,
    ) -> Result<(), Difference> {
        if recorded == redecided {
            return Ok(());
        }
        let field = match self.0 {
            Some(place) => format!("tried[{place}].{field}"),
            None => field.to_owned(),
        };
        Err(Difference { field, recorded: text(recorded), redecided: text(redecided) })
    }

    fn same_reason(self, recorded: (Reason, &str, Option<u16>), decision: &Decision<'_>) -> Result<(), Difference> {
        self.same("reason", recorded.0, decision.reason(), |reason| reason.to_string())?;
        let agreement = decision.rule_id().unwrap_or_default();
        self.same("agreement", recorded.1, agreement, agreement_text)?;
        self.same("bucket", recorded.2, decision.bucket(), bucket_text)
    }
}

fn bucket_text(bucket: Option<u16>) -> String {
    bucket.map_or("none".to_owned(), |bucket| bucket.to_string())
}

fn agreement_text(agreement: &str) -> String {
    if agreement.is_empty() { "none".to_owned() } else { agreement.to_owned() }
}

/// Decides a hop again under the version that decided it.
///
/// # Errors
/// The first field in which the record differs: of the landings that fell in order, then of the hop itself.
pub fn prove(hop: &Hop<'_>, policy: &PolicySet, words: &Vocabulary) -> Result<(), Difference> {
    if is_ended(hop.reason) {
        return ended(hop);
    }
    let landed = hop.outcome == Outcome::Allow;
    let mut main = None;
    for (place, fallen) in hop.tried.iter().enumerate() {
        let (number, place) = (place + usize::from(!landed), Place(Some(place)));
        place.same("alternate", usize::from(fallen.alternate), number, |number| number.to_string())?;
        let decision = Landing::fallen(&fallen).decide(hop, policy, words, hop.at);
        place.same("outcome", Outcome::Deny, outcome_of(&decision), |outcome| outcome.to_string())?;
        place.same_reason((fallen.reason, fallen.agreement, fallen.bucket), &decision)?;
        main = main.or(Some(decision));
    }
    let own = Place(None);
    let why = (hop.reason, hop.agreement, hop.bucket);
    if landed && hop.alternate == FALLBACK {
        // The policy's own word: what the record says of why is said of the link's own landing.
        return main.map_or(Ok(()), |main| own.same_reason(why, &main));
    }
    let number = if landed { hop.tried.len() } else { 0 };
    own.same("alternate", usize::from(hop.alternate), number, |number| number.to_string())?;
    let decision = Landing::own(hop).decide(hop, policy, words, hop.at);
    own.same("outcome", hop.outcome, outcome_of(&decision), |outcome| outcome.to_string())?;
    own.same_reason(why, &decision)?;
    let landing = match &decision {
        Decision::Allow(permit) => Some(permit.landing()),
        Decision::Refuse(_) => None,
    };
    own.same("landing", hop.landing, landing, landing_text)
}

fn outcome_of(decision: &Decision<'_>) -> Outcome {
    if decision.is_allow() { Outcome::Allow } else { Outcome::Deny }
}

fn landing_text(landing: Option<LandingMode>) -> String {
    landing.map_or("none", LandingMode::as_str).to_owned()
}

/// A link that is off or over is refused without asking the policy: its record names nothing of one.
fn ended(hop: &Hop<'_>) -> Result<(), Difference> {
    let own = Place(None);
    own.same("outcome", hop.outcome, Outcome::Deny, |outcome| outcome.to_string())?;
    own.same("agreement", hop.agreement, "", agreement_text)?;
    own.same("bucket", hop.bucket, None, bucket_text)?;
    own.same("landing", hop.landing, None, landing_text)?;
    own.same("tried", hop.tried.len(), 0, |count| format!("{count} landings"))
}
