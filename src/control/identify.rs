//! Short links of a link that is being made are asked what they lead to. One that leads where no link may lead is a fault; one
//! that does not answer is not: the link is made without an identity, and whoever makes it is told. Never stores anything.

use tokio::task::JoinSet;

use super::fields::FieldFault;
use super::warnings::Warning;
use crate::catalog::NewLink;
use crate::domain::alternates::Alternate;
use crate::domain::marketplace::Landing;
use crate::domain::vocabulary::Vocabulary;
use crate::resolve::Resolver;

/// Asks the short links of `new` what they lead to, all at the same time, and takes what they are found to be.
///
/// # Errors
/// Those that lead off the list of marketplaces, or to another marketplace than their own.
pub async fn identify(
    resolver: Option<&Resolver>,
    words: &Vocabulary,
    new: &mut NewLink,
) -> Result<Vec<Warning>, Vec<FieldFault>> {
    let mut landings = vec![("url".to_owned(), &mut new.landing)];
    landings.extend(others(&mut new.alternates));
    all(resolver, words, landings).await
}

/// The same for alternates that a link is given later.
///
/// # Errors
/// Those that lead off the list of marketplaces, or to another marketplace than their own.
pub async fn identify_alternates(
    resolver: Option<&Resolver>,
    words: &Vocabulary,
    alternates: &mut [Alternate],
) -> Result<Vec<Warning>, Vec<FieldFault>> {
    all(resolver, words, others(alternates).collect()).await
}

fn others(alternates: &mut [Alternate]) -> impl Iterator<Item = (String, &mut Landing)> {
    let landings = alternates.iter_mut().map(|alternate| &mut alternate.landing);
    landings.enumerate().map(|(place, landing)| (format!("alternates[{place}].url"), landing))
}

async fn all(
    resolver: Option<&Resolver>,
    words: &Vocabulary,
    mut landings: Vec<(String, &mut Landing)>,
) -> Result<Vec<Warning>, Vec<FieldFault>> {
    let (mut warnings, mut faults) = (Vec::new(), Vec::new());
    let Some(resolver) = resolver else {
        let unasked = landings.iter().filter(|(_, landing)| words.markets().is_short(landing, None));
        warnings.extend(unasked.map(|(field, _)| warning(field, "off", "resolving short links is switched off")));
        return Ok(warnings);
    };
    let mut asked = JoinSet::new();
    for (place, (_, landing)) in landings.iter().enumerate().filter(|(_, (_, landing))| resolver.asks(landing)) {
        let (resolver, landing) = (resolver.clone(), Landing::clone(landing));
        asked.spawn(async move { (place, resolver.resolve(&landing).await) });
    }
    let mut found = asked.join_all().await;
    found.sort_by_key(|(place, _)| *place);
    for (place, found) in found {
        let (field, landing) = &mut landings[place];
        match found {
            Ok(target) => **landing = landing.clone().identified_by(&target),
            Err(trouble) => match trouble.refusal() {
                Some(code) => {
                    let problem = format!("{trouble}. Nothing was made: check where the short link comes from");
                    faults.push(FieldFault::new(field.clone(), landing.destination.as_str(), code, problem));
                }
                None => warnings.push(warning(field, trouble.outcome().as_str(), &trouble.to_string())),
            },
        }
    }
    if faults.is_empty() { Ok(warnings) } else { Err(faults) }
}

fn warning(field: &str, why: &str, what: &str) -> Warning {
    Warning {
        code: format!("resolve_{why}"),
        field: field.to_owned(),
        detail: format!(
            "it is not known what this short link leads to: {what}. The link is made all the same, but no agreement that asks \
             for goods or shop allows it; paste the goods' own link for that"
        ),
        at: None,
    }
}
