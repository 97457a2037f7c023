//! What whoever makes or keeps a link should know of it, although nothing is wrong with the request. Never refuses anything.

use serde::Serialize;

use crate::domain::link::Link;
use crate::domain::marketplace::{Landing, Marketplaces};
use crate::domain::time::Timestamp;

/// Something to know of a link.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Warning {
    /// Its stable name.
    pub code: String,
    /// What it is about: `url`, or `alternates[n].url`.
    pub field: String,
    /// What it means, and the mend.
    pub detail: String,
    /// When it happens, where that is known.
    pub at: Option<Timestamp>,
}

/// What is to be known of a stored link as it is, at `now`.
pub fn standing(link: &Link, markets: &Marketplaces, now: Timestamp) -> Vec<Warning> {
    let url = || "url".to_owned();
    let mut warnings = Vec::new();
    if link.share_code.is_some() {
        warnings.push(Warning {
            code: "unidentifiable_code".to_owned(),
            field: url(),
            detail: "a code without a link: the app alone knows which goods it stands for, so no agreement that asks for goods \
                     or shop allows it, and visitors are shown it to copy. Paste the link or the whole text that holds it \
                     instead"
                .to_owned(),
            at: None,
        });
    }
    if let Some(dies) = link.short_link_dies(markets) {
        let (code, when) = match dies > now {
            true => ("short_link_dies", "dies"),
            false => ("short_link_expired", "has died"),
        };
        warnings.push(Warning {
            code: code.to_owned(),
            field: url(),
            detail: format!(
                "{} is a short link that {when} 60 days after its issue, at {dies} at the latest: make a new link with the \
                 union's long form (union-click.jd.com/jdc?…)",
                link.landing.destination.as_str()
            ),
            at: Some(dies),
        });
    }
    let dying = |landing: &Landing| markets.short_life(&landing.destination).is_some();
    for (place, _) in link.alternates.iter().enumerate().filter(|(_, alternate)| dying(&alternate.landing)) {
        warnings.push(Warning {
            code: "short_link_dies".to_owned(),
            field: format!("alternates[{place}].url"),
            detail: "is a short link that dies 60 days after its issue: use the union's long form (union-click.jd.com/jdc?…)"
                .to_owned(),
            at: None,
        });
    }
    warnings
}
