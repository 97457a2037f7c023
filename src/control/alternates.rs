//! The alternates of a link as somebody asks for them: a list of addresses, or of objects that say more of each. Checked
//! like the link's own landing, every fault named by its place. Never stores them.

use serde_json::Value;

use super::checks::Checks;
use super::fields::{FieldFault, Fields};
use crate::domain::alternates::Alternate;
use crate::domain::link::MOST_ALTERNATES;
use crate::domain::marketplace::{Landing, Marketplaces};
use crate::domain::vocabulary::{ShopType, Vocabulary};

/// The field they come in.
pub const FIELD: &str = "alternates";
/// The fields of one.
pub const FIELDS: [&str; 3] = ["url", "shop_type", "category"];

/// One alternate, in the words of whoever asks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AlternateDraft {
    /// The marketplace's link, alone or in a share text.
    pub url: Option<String>,
    /// Who runs the shop.
    pub shop_type: Option<String>,
    /// The goods' category there.
    pub category: Option<String>,
    misread: Vec<FieldFault>,
}

impl AlternateDraft {
    /// An address, or an object with the [`FIELDS`].
    fn read(value: &Value) -> Self {
        if let Some(url) = value.as_str() {
            return AlternateDraft { url: Some(url.to_owned()), ..AlternateDraft::default() };
        }
        let mut fields = Fields::new(value, &FIELDS);
        let (url, shop_type) = (fields.text("url"), fields.text("shop_type"));
        let category = fields.text("category");
        for fault in fields.faults.iter_mut().filter(|fault| fault.code == "not_an_object") {
            fault.problem = "must be an address in double quotes, or an object: {\"url\": \"https://…\"}".to_owned();
        }
        AlternateDraft { url, shop_type, category, misread: fields.faults }
    }

    /// The form of the command line: an address, then what is known of it: `URL,shop_type=flagship,category=health`.
    pub fn parse(text: &str) -> Self {
        let mut draft = AlternateDraft::default();
        let mut rest = text;
        while let Some((before, last)) = rest.rsplit_once(',') {
            let mut again = |field: &str, value: &str| {
                let problem = "is given twice: keep one";
                draft.misread.push(FieldFault::new(field, value, "given_twice", problem));
            };
            match last.trim().split_once('=') {
                Some((field @ "shop_type", value)) if draft.shop_type.is_some() => again(field, value),
                Some((field @ "category", value)) if draft.category.is_some() => again(field, value),
                Some(("shop_type", value)) => draft.shop_type = Some(value.to_owned()),
                Some(("category", value)) => draft.category = Some(value.to_owned()),
                // Meant for one of those: as a part of the address it would change where the link leads.
                Some((name, value)) if is_name(name) => {
                    let problem = "is not known behind an address: use shop_type= or category=, and %2C for a comma of the \
                                   address itself";
                    draft.misread.push(FieldFault::new(name, value, "unknown_field", problem));
                }
                // A comma of the address itself.
                _ => break,
            }
            rest = before;
        }
        draft.url = Some(rest.trim().to_owned());
        draft
    }

    fn check(&self, words: &Vocabulary) -> Result<Alternate, Vec<FieldFault>> {
        let mut checks = Checks::new(words, self.misread.clone());
        let landing = match &self.url {
            Some(url) => checks.url(url),
            None => {
                if checks.faults.is_empty() {
                    checks.fault("url", "", "missing", "is missing: give a marketplace's link, starting with https://");
                }
                None
            }
        };
        let shop_type = self.shop_type.as_deref().and_then(|text| checks.shop_type(text));
        let category = self.category.as_deref().and_then(|text| checks.label("category", text));
        match landing {
            Some(landing) if checks.faults.is_empty() => {
                Ok(Alternate { landing, shop_type: shop_type.unwrap_or(ShopType::Unknown), category })
            }
            _ => Err(checks.faults),
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'-'))
}

/// The alternates in a JSON object; none when it does not speak of them.
pub(super) fn read(fields: &mut Fields<'_>) -> Option<Vec<AlternateDraft>> {
    let items = fields.list(FIELD)?;
    // One over the limit is enough to be refused.
    Some(items.iter().take(MOST_ALTERNATES + 1).map(AlternateDraft::read).collect())
}

impl Checks<'_> {
    /// Alternates beside a link's own landing, where that is known.
    pub(super) fn alternates(&mut self, drafts: &[AlternateDraft], own: Option<&Landing>) -> Vec<Alternate> {
        if drafts.len() > MOST_ALTERNATES {
            let problem = format!("use at most {MOST_ALTERNATES} alternates");
            self.fault(FIELD, &format!("over {MOST_ALTERNATES}"), "too_many", problem);
            return Vec::new();
        }
        let mut places = Vec::with_capacity(drafts.len());
        let mut kept: Vec<Alternate> = Vec::with_capacity(drafts.len());
        for (place, draft) in drafts.iter().enumerate() {
            let alternate = match draft.check(self.words()) {
                Ok(alternate) => alternate,
                Err(faults) => {
                    self.faults.extend(faults.into_iter().map(|fault| {
                        let dot = if fault.field.is_empty() { "" } else { "." };
                        FieldFault { field: format!("{FIELD}[{place}]{dot}{}", fault.field), ..fault }
                    }));
                    continue;
                }
            };
            let twin = kept.iter().position(|known| same(&known.landing, &alternate.landing, self.words().markets()));
            if let Some(twin) = twin {
                let what = format!("leads to the same as {FIELD}[{}]: leave one of them out", places[twin]);
                self.fault(&format!("{FIELD}[{place}].url"), alternate.landing.destination.as_str(), "duplicate", what);
            }
            places.push(place);
            kept.push(alternate);
        }
        if let Some(own) = own {
            let markets = self.words().markets();
            self.faults.extend(same_as_own(&kept, &places, own, markets));
        }
        kept
    }
}

/// Alternates that lead where the link itself leads; what a change can only be asked once the link is known.
pub fn repeat_own(alternates: &[Alternate], own: &Landing, markets: &Marketplaces) -> Vec<FieldFault> {
    same_as_own(alternates, &(0..alternates.len()).collect::<Vec<_>>(), own, markets)
}

fn same_as_own(alternates: &[Alternate], places: &[usize], own: &Landing, markets: &Marketplaces) -> Vec<FieldFault> {
    let twins = alternates.iter().zip(places).filter(|(alternate, _)| same(&alternate.landing, own, markets));
    let fault = |(alternate, place): (&Alternate, &usize)| {
        let problem = "leads to the same as the link's own `url`: leave it out, or give another landing";
        FieldFault::new(format!("{FIELD}[{place}].url"), alternate.landing.destination.as_str(), "duplicate", problem)
    };
    twins.map(fault).collect()
}

/// Whether two addresses are ways of writing the same landing. The same goods as a plain and as an alliance link are two:
/// agreements tell them apart.
fn same(a: &Landing, b: &Landing, markets: &Marketplaces) -> bool {
    (a.marketplace, a.link_kind) == (b.marketplace, b.link_kind) && a.key(markets) == b.key(markets)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::vocabulary::MarketplaceId;

    const JD: &str = "https://item.jd.com/100012043978.html";
    const TMALL: &str = "https://detail.tmall.com/item.htm?id=610947572360";

    fn check(list: &Value, own: Option<&str>) -> Result<Vec<Alternate>, Vec<(String, &'static str)>> {
        let words = Vocabulary::default();
        let body = json!({ "alternates": list });
        let mut fields = Fields::new(&body, &[FIELD]);
        let drafts = read(&mut fields).unwrap_or_default();
        let mut checks = Checks::new(&words, fields.faults);
        let own = own.map(|url| words.markets().recognise(url).unwrap());
        let kept = checks.alternates(&drafts, own.as_ref());
        let mut named: Vec<_> = checks.faults.into_iter().map(|fault| (fault.field, fault.code)).collect();
        named.sort_unstable();
        if named.is_empty() { Ok(kept) } else { Err(named) }
    }

    #[test]
    fn addresses_and_objects_become_landings_in_order() {
        let kept = check(&json!([JD, {"url": TMALL, "shop_type": "flagship", "category": "health"}]), None).unwrap();
        assert_eq!(kept[0].landing.marketplace, MarketplaceId::JD);
        assert_eq!((kept[0].shop_type, kept[1].shop_type), (ShopType::Unknown, ShopType::Flagship));
        assert_eq!(kept[1].category.as_deref(), Some("health"));
        assert_eq!(check(&json!([]), None), Ok(Vec::new()));
    }

    #[test]
    fn every_fault_is_named_by_its_place() {
        let list = json!([
            {"url": "https://evil.test/", "shop_type": "mall", "category": "a b", "colour": "red"},
            7,
            {"shop_type": "flagship"},
            JD,
            "看这个 ￥AbCdEf12345￥",
            format!("{JD}?utm_source=x"),
            {"url": 5},
        ]);
        let expected = [
            ("alternates[0].category", "white_space"),
            ("alternates[0].colour", "unknown_field"),
            ("alternates[0].shop_type", "unknown_name"),
            ("alternates[0].url", "host_not_allowed"),
            ("alternates[1]", "not_an_object"),
            ("alternates[2].url", "missing"),
            ("alternates[3].url", "duplicate"),
            ("alternates[4].url", "unidentifiable_code"),
            ("alternates[5].url", "duplicate"),
            ("alternates[5].url", "duplicate"),
            ("alternates[6].url", "wrong_type"),
        ];
        let expected = expected.map(|(field, code)| (field.to_owned(), code)).to_vec();
        assert_eq!(check(&list, Some(JD)), Err(expected));
        assert_eq!(check(&json!(vec![JD; 900]), None), Err(vec![("alternates".to_owned(), "too_many")]));
        assert_eq!(check(&json!("x"), None), Err(vec![("alternates".to_owned(), "wrong_type")]));
    }

    #[test]
    fn the_same_goods_as_an_alliance_link_are_another_landing() {
        let plain = "https://item.taobao.com/item.htm?id=41879347901";
        let alliance = format!("{plain}&ali_trackid=2:mm_1_2_3:1700");
        assert_eq!(check(&json!([alliance]), Some(plain)).unwrap().len(), 1);
    }

    #[test]
    fn the_command_line_form_leaves_commas_of_an_address_alone() {
        let draft = AlternateDraft::parse("https://item.jd.com/1.html?a=1,2,shop_type=pop, category=phones");
        assert_eq!(draft.url.as_deref(), Some("https://item.jd.com/1.html?a=1,2"));
        assert_eq!((draft.shop_type.as_deref(), draft.category.as_deref()), (Some("pop"), Some("phones")));
        let codes = |text: &str| AlternateDraft::parse(text).misread.iter().map(|fault| fault.code).collect::<Vec<_>>();
        assert_eq!(codes(&format!("{JD},shop-type=pop")), ["unknown_field"], "no part of the address");
        assert_eq!(codes(&format!("{JD},shop_type=pop,shop_type=pop")), ["given_twice"]);
        assert_eq!(AlternateDraft::parse(JD), AlternateDraft { url: Some(JD.into()), ..AlternateDraft::default() });
    }
}
