//! What a form sends: fields by name, and the draft of a link in them. Reads only; the draft checks itself.

use std::collections::BTreeMap;

use super::super::alternates::AlternateDraft;
use super::super::draft::LinkDraft;
use crate::domain::link::MOST_ALTERNATES;

/// The fields of a form, each once: the first of a name counts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Form(BTreeMap<String, String>);

/// Fields of the longest form; more are not read.
const MOST_FIELDS: usize = 32;

impl Form {
    /// Reads `application/x-www-form-urlencoded`.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut fields = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(bytes).take(MOST_FIELDS) {
            fields.entry(name.into_owned()).or_insert_with(|| value.into_owned());
        }
        Form(fields)
    }

    /// A field as it was sent; empty when it was not.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// A field that says something.
    fn said(&self, name: &str) -> Option<String> {
        Some(self.text(name).trim()).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    /// The link it asks for: what `POST /v1/links` would be sent.
    pub(super) fn draft(&self) -> LinkDraft {
        let alternates = self.text("alternates").lines().map(str::trim).filter(|line| !line.is_empty());
        LinkDraft {
            url: self.said("url"),
            platform: self.said("platform"),
            surface: self.said("surface"),
            creator: self.said("creator"),
            slug: self.said("slug"),
            category: self.said("category"),
            shop_type: self.said("shop_type"),
            marketplace: self.said("marketplace"),
            // One over the limit is enough to be refused.
            alternates: alternates.take(MOST_ALTERNATES + 1).map(AlternateDraft::parse).collect(),
            ..LinkDraft::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_becomes_the_draft_the_api_would_read() {
        let form = Form::read(
            "url=+https%3A%2F%2Fitem.jd.com%2F1.html%0D%0A&platform=kuaishou&surface=&slug=double-11&url=second&\
             alternates=https%3A%2F%2Fdetail.tmall.com%2Fitem.htm%3Fid%3D2%2Cshop_type%3Dflagship%0D%0A%0D%0A"
                .as_bytes(),
        );
        let draft = form.draft();
        assert_eq!(draft.url.as_deref(), Some("https://item.jd.com/1.html"));
        assert_eq!(
            (draft.platform.as_deref(), draft.surface, draft.slug.as_deref()),
            (Some("kuaishou"), None, Some("double-11"))
        );
        assert_eq!(draft.alternates.len(), 1);
        assert_eq!(draft.alternates[0].shop_type.as_deref(), Some("flagship"));
        assert_eq!(Form::read(b"%ff=%00&&=").draft(), LinkDraft::default());
    }
}
