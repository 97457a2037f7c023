//! A link as somebody asks for it, before anything is checked: the body of `POST /v1/links` and a row of the command
//! line's `link import`. One check says everything that is wrong with it. Never stores it, and knows nothing of HTTP.

use std::collections::BTreeMap;

use serde_json::Value;

use super::alternates::{self, AlternateDraft};
use super::checks::{Checks, Pasted};
use super::fields::{FieldFault, Fields};
use crate::catalog::NewLink;
use crate::domain::code::{BadCode, Code};
use crate::domain::link::Placement;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::{ShopType, Vocabulary};

/// The fields of a draft.
pub const FIELDS: [&str; 12] = [
    "url",
    "marketplace",
    "platform",
    "surface",
    "creator",
    "slug",
    "expires_at",
    "tags",
    "alternates",
    "shop_type",
    "category",
    "facts",
];

/// A link to be issued, in the words of whoever asks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LinkDraft {
    /// The marketplace's link, alone or in a whole share text; or a share code (口令) alone.
    pub url: Option<String>,
    /// Whose code it is, for a code alone that does not tell.
    pub marketplace: Option<String>,
    /// The platform it is bound to.
    pub platform: Option<String>,
    /// The surface it is bound to.
    pub surface: Option<String>,
    /// Who issues it.
    pub creator: Option<String>,
    /// The code it is to have.
    pub slug: Option<String>,
    /// From this instant on it answers 410.
    pub expires_at: Option<String>,
    /// Free labels.
    pub tags: Vec<String>,
    /// Where a click goes when the policy refuses that, in the order of trying.
    pub alternates: Vec<AlternateDraft>,
    /// Who runs the shop.
    pub shop_type: Option<String>,
    /// The goods' category.
    pub category: Option<String>,
    /// Facts the link carries (`true`) or is known not to (`false`).
    pub facts: BTreeMap<String, bool>,
    /// What could not even be read: wrong types and unknown fields. [`LinkDraft::check`] reports them with the rest.
    pub misread: Vec<FieldFault>,
}

impl LinkDraft {
    /// Reads a JSON object. Never fails: what cannot be read is kept for [`LinkDraft::check`] to report.
    pub fn read(value: &Value) -> Self {
        let mut fields = Fields::new(value, &FIELDS);
        let mut draft = LinkDraft {
            url: fields.text("url"),
            marketplace: fields.text("marketplace"),
            platform: fields.text("platform"),
            surface: fields.text("surface"),
            creator: fields.text("creator"),
            slug: fields.text("slug"),
            expires_at: fields.text("expires_at"),
            tags: fields.texts("tags").unwrap_or_default(),
            alternates: alternates::read(&mut fields).unwrap_or_default(),
            shop_type: fields.text("shop_type"),
            category: fields.text("category"),
            facts: fields.facts("facts").unwrap_or_default(),
            misread: Vec::new(),
        };
        draft.misread = fields.faults;
        draft
    }

    /// The link this asks for.
    ///
    /// # Errors
    /// Every fault of the draft.
    pub fn check(&self, words: &Vocabulary, now: Timestamp) -> Result<NewLink, Vec<FieldFault>> {
        let mut checks = Checks::new(words, self.misread.clone());
        let pasted = match &self.url {
            Some(url) => checks.pasted(url, self.marketplace.as_deref()),
            None => {
                if !checks.faults.iter().any(|fault| fault.field == "url") {
                    checks.fault(
                        "url",
                        "",
                        "missing",
                        "is missing: give the marketplace's link, starting with https://",
                    );
                }
                None
            }
        };
        let alternates = checks.alternates(&self.alternates, pasted.as_ref().map(|pasted| &pasted.landing));
        let placement = Placement {
            platform: self.platform.as_deref().and_then(|text| checks.platform("platform", text)),
            surface: self.surface.as_deref().and_then(|text| checks.surface(text)),
        };
        let slug = self.slug.as_deref().and_then(|text| match Code::parse(text) {
            Ok(code) => Some(code),
            Err(fault) => {
                let code = match fault {
                    BadCode::Length(..) => "slug_length",
                    BadCode::Character(..) => "slug_character",
                    BadCode::Reserved(_) => "slug_reserved",
                };
                checks.fault("slug", text, code, fault.to_string());
                None
            }
        });
        let shop_type = self.shop_type.as_deref().and_then(|text| checks.shop_type(text));
        let category = self.category.as_deref().and_then(|text| checks.label("category", text));
        let creator = self.creator.as_deref().and_then(|text| checks.label("creator", text));
        let facts = checks.facts(&self.facts);
        let tags = checks.tags(&self.tags);
        let expires_at = self.expires_at.as_deref().and_then(|text| checks.expiry(text, now));
        match pasted {
            Some(Pasted { landing, share_code }) if checks.faults.is_empty() => Ok(NewLink {
                slug,
                landing,
                alternates,
                shop_type: shop_type.unwrap_or(ShopType::Unknown),
                category,
                creator,
                placement,
                facts,
                tags,
                expires_at,
                share_code,
                created_at: now,
            }),
            _ => Err(checks.faults),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    use crate::domain::vocabulary::{LinkKind, MarketplaceId};

    const NOW: Timestamp = Timestamp::from_millis(1_669_823_999_999);

    fn check(value: &Value) -> Result<NewLink, Vec<FieldFault>> {
        LinkDraft::read(value).check(&Vocabulary::default(), NOW)
    }

    #[test]
    fn a_whole_draft_becomes_a_link() {
        let new = check(&json!({
            "url": " https://item.jd.com/100012043978.html ", "platform": "kuaishou", "surface": "live_cart",
            "creator": "c1", "slug": "double-11", "expires_at": "2022-12-31", "tags": ["双十一"],
            "alternates": ["https://detail.tmall.com/item.htm?id=610947572360"],
            "shop_type": "self_operated", "category": "phones", "facts": {"xingtu_order": "XT-77", "gift": false},
        }))
        .unwrap();
        assert_eq!(new.landing.item.as_deref(), Some("100012043978"));
        assert_eq!(new.alternates[0].landing.item.as_deref(), Some("610947572360"));
        assert_eq!(new.slug.unwrap().as_str(), "double-11");
        assert_eq!(new.facts.iter().map(|fact| fact.carried).collect::<Vec<_>>(), [false, true]);
        let text = json!({"url": "【京东】https://item.jd.com/100012043978.html MF3390\n「手机」"});
        assert_eq!(check(&text).unwrap().landing, new.landing, "words around it make no difference");
        let bare = check(&json!({"url": "https://item.jd.com/1.html"})).unwrap();
        assert_eq!((bare.shop_type, bare.creator, bare.placement), (ShopType::Unknown, None, Placement::default()));
    }

    #[test]
    fn a_code_alone_is_a_text_to_copy() {
        let code = |text: &str, marketplace: Option<&str>| check(&json!({"url": text, "marketplace": marketplace}));
        let new = code(" 復製这段话￥AbCdEf12345￥打开手机淘宝 ", None).unwrap();
        assert_eq!(
            new.share_code.as_deref(),
            Some("復製这段话￥AbCdEf12345￥打开手机淘宝"),
            "the whole text, as the app reads it"
        );
        assert_eq!((new.landing.marketplace, new.landing.link_kind), (MarketplaceId::TAOBAO, LinkKind::Unknown));
        assert_eq!(new.landing.destination.as_str(), "https://www.taobao.com/");
        assert_eq!(code("￥AbCdEf12345678%", None).unwrap().landing.marketplace, MarketplaceId::JD);
        assert_eq!(code("￥AbCdEf12345￥", Some("tmall")).unwrap().landing.marketplace, MarketplaceId::TMALL);
        let refused = |text: &str, marketplace: Option<&str>| {
            let faults = code(text, marketplace).unwrap_err();
            let named: Vec<_> = faults.iter().map(|fault| (fault.field.clone(), fault.code)).collect();
            let [(field, code)] = &named[..] else { panic!("{named:?}") };
            (field.clone(), *code)
        };
        assert_eq!(refused("￥AbCdEf123456￥", None), ("marketplace".into(), "unidentifiable_code"), "whose it is");
        assert_eq!(refused("￥AbCdEf123456￥", Some("kuaishou")), ("marketplace".into(), "no_codes"));
        assert_eq!(refused("￥AbCdEf12345￥\u{7}", None), ("url".into(), "control_character"));
        assert_eq!(refused(&format!("￥AbCdEf12345￥{}", "很".repeat(400)), None), ("url".into(), "too_long"));
        let link = "https://item.jd.com/100012043978.html";
        assert_eq!(refused(link, Some("taobao")), ("marketplace".into(), "contradiction"));
        assert_eq!(code(link, Some("jd")).unwrap().share_code, None);
    }

    #[test]
    fn every_fault_is_reported_at_once() {
        let faults = check(&json!({
            "url": "https://item.jd.com@evil.test/", "platform": "kuaishuo", "surface": 7, "creator": "a b",
            "slug": "x", "expires_at": "2020-01-01", "tags": [""], "alternates": ["https://item.jd.com/2.html", 3],
            "shop_type": "mall", "category": "!x", "facts": {"a b": true}, "colour": "red",
        }))
        .unwrap_err();
        let mut named: Vec<_> = faults.iter().map(|fault| (&*fault.field, fault.code)).collect();
        named.sort_unstable();
        let mut expected = vec![
            ("alternates[1]", "not_an_object"),
            ("category", "leading_mark"),
            ("colour", "unknown_field"),
            ("creator", "white_space"),
            ("expires_at", "in_the_past"),
            ("facts.a b", "white_space"),
            ("platform", "unknown_name"),
            ("shop_type", "unknown_name"),
            ("slug", "slug_length"),
            ("surface", "wrong_type"),
            ("tags[0]", "empty"),
            ("url", "userinfo"),
        ];
        expected.sort_unstable();
        assert_eq!(named, expected);
        assert_eq!(check(&json!({"url": 5})).unwrap_err().len(), 1, "a wrong type is not also missing");
        assert_eq!(check(&json!({})).unwrap_err()[0].code, "missing");
    }
}
