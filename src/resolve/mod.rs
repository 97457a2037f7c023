//! What a promotion short link leads to, asked when a link is made and never when one is clicked.
//!
//! Only pages on a list of short links are asked, over https at its own port, at addresses that were found public and are
//! the ones connected to. Every target is read by the same strict rules as a pasted link before anything else is done with
//! it; login pages are never asked, only the address they would go back to. Scripts are read, never run. Never
//! decides whether a link may be made, and never changes where it leads.

mod ask;
mod comments;
mod page;
pub mod tally;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use url::Url;

use crate::config::resolve::ResolveSettings;
use crate::domain::marketplace::{Destination, Landing, Marketplaces, UrlFault};
use crate::domain::vocabulary::Vocabulary;
use crate::outbound::{RootsError, Tls};
use page::{Said, opens_an_app};
use tally::{Outcome, Tally};

/// Pages asked for one short link.
const MOST_HOPS: u8 = 5;
/// Short links resolved at the same time; others wait their turn.
const AT_ONCE: usize = 16;
/// For how long an answer is remembered, and how many are.
const REMEMBERED: Duration = Duration::from_secs(300);
const MOST_REMEMBERED: usize = 1_024;

/// Why a short link was not resolved. The link can be made all the same, without an identity, but for those that have a
/// [`Trouble::refusal`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// It leads where no link may lead.
    #[error("hop {hop} leads off the list of marketplaces: {fault}")]
    OffList {
        /// Which page led there, from 1.
        hop: u8,
        /// What is wrong with the target.
        fault: UrlFault,
    },
    /// It leads to a marketplace whose goods are no goods of its own: a click would land on the one, and be judged as the
    /// other.
    #[error("hop {hop} leads to {target}, but this is a short link of {short}")]
    Elsewhere {
        /// Which page led there, from 1.
        hop: u8,
        /// The name of the short link's marketplace.
        short: Arc<str>,
        /// The name of the target's.
        target: Arc<str>,
    },
    /// A page names several targets, and one of them may not be landed on.
    #[error("a page names several targets, one of them off the list of marketplaces")]
    Ambiguous,
    /// A page sends everybody to log in and does not say where they go on.
    #[error("a page asks to log in and does not say where it goes on")]
    Login,
    /// A page opens an app and leads nowhere on the web.
    #[error("a page only opens an app")]
    OpensApp,
    /// A page cannot be reached.
    #[error("{0}")]
    Unreachable(String),
    /// A host has an address that is not public.
    #[error("{0}")]
    NotPublic(String),
    /// It took too long.
    #[error("the pages did not answer in time")]
    TimedOut,
    /// As many as may be are under way.
    #[error("as many short links as may be are being resolved")]
    Busy,
    /// A page answers with an error.
    #[error("{0}")]
    Status(String),
    /// A page is compressed although that was not asked for.
    #[error("a page came compressed, which was not asked for")]
    Encoded,
    /// A page does not say where it leads.
    #[error("a page does not say where it leads")]
    NoTarget,
    /// It leads back to where it was.
    #[error("the pages lead round in a circle")]
    Loop,
    /// More pages than are asked.
    #[error("it leads on after {MOST_HOPS} pages")]
    TooManyHops,
}

impl Trouble {
    /// What is counted, and the name in warnings.
    pub fn outcome(&self) -> Outcome {
        match self {
            Trouble::OffList { .. } => Outcome::OffList,
            Trouble::Elsewhere { .. } => Outcome::Elsewhere,
            Trouble::Ambiguous => Outcome::Ambiguous,
            Trouble::Login => Outcome::Login,
            Trouble::OpensApp => Outcome::OpensApp,
            Trouble::Unreachable(_) => Outcome::Unreachable,
            Trouble::NotPublic(_) => Outcome::NotPublic,
            Trouble::TimedOut => Outcome::TimedOut,
            Trouble::Busy => Outcome::Busy,
            Trouble::Status(_) => Outcome::Status,
            Trouble::Encoded => Outcome::Encoded,
            Trouble::NoTarget => Outcome::NoTarget,
            Trouble::Loop => Outcome::Loop,
            Trouble::TooManyHops => Outcome::TooManyHops,
        }
    }

    /// The stable name of the fault, where no link may be made of it.
    pub fn refusal(&self) -> Option<&'static str> {
        match self {
            Trouble::OffList { .. } => Some("resolved_off_list"),
            Trouble::Elsewhere { .. } => Some("resolved_elsewhere"),
            _ => None,
        }
    }
}

/// Resolves short links. Cloning it is cheap.
#[derive(Clone)]
pub struct Resolver(Arc<Inner>);

struct Inner {
    settings: ResolveSettings,
    words: Arc<Vocabulary>,
    tls: Tls,
    turns: Semaphore,
    remembered: Mutex<HashMap<Box<str>, (Instant, Landing)>>,
    tally: Arc<Tally>,
}

impl Resolver {
    /// A resolver with these settings, whatever they say of being enabled.
    ///
    /// # Errors
    /// [`RootsError`].
    pub fn new(settings: ResolveSettings, words: Arc<Vocabulary>) -> Result<Self, RootsError> {
        let tls = Tls::new(settings.ca.as_deref())?;
        Ok(Resolver(Arc::new(Inner {
            settings,
            words,
            tls,
            turns: Semaphore::new(AT_ONCE),
            remembered: Mutex::default(),
            tally: Arc::default(),
        })))
    }

    /// What was done.
    pub fn tally(&self) -> &Arc<Tally> {
        &self.0.tally
    }

    /// Whether a landing is a short link that can be asked what it leads to.
    pub fn asks(&self, landing: &Landing) -> bool {
        self.0.asks(landing)
    }

    /// What a short link leads to.
    ///
    /// # Errors
    /// [`Trouble`].
    pub async fn resolve(&self, short: &Landing) -> Result<Landing, Trouble> {
        let inner = &*self.0;
        if let Some(known) = inner.remembered(&short.destination) {
            inner.tally.count(Outcome::Cached);
            return Ok(known);
        }
        let began = Instant::now();
        let walk = async {
            let _turn = inner.turns.acquire().await.map_err(|_| Trouble::Busy)?;
            inner.walk(short).await
        };
        let found = match tokio::time::timeout(inner.settings.timeout, walk).await {
            Ok(found) => found,
            // Time that went by in waiting is no fault of the pages.
            Err(_) if inner.turns.available_permits() == 0 => Err(Trouble::Busy),
            Err(_) => Err(Trouble::TimedOut),
        };
        inner.tally.took(began.elapsed());
        inner.tally.count(found.as_ref().map_or_else(Trouble::outcome, |_| Outcome::Resolved));
        match &found {
            Ok(target) => inner.remember(&short.destination, target),
            Err(trouble) => {
                // Its path names a share or a promotion, which is nobody's business.
                tracing::info!(host = short.destination.host(), result = trouble.outcome().as_str(), %trouble, "a short link was not resolved");
            }
        }
        found
    }
}

impl Inner {
    fn asks(&self, landing: &Landing) -> bool {
        self.words.markets().is_short(landing, self.settings.hosts.as_deref())
    }

    async fn walk(&self, short: &Landing) -> Result<Landing, Trouble> {
        let mut here = short.clone();
        let mut seen = Vec::with_capacity(usize::from(MOST_HOPS));
        for hop in 1..=MOST_HOPS {
            seen.push(here.destination.clone());
            let via = self.settings.via.get(here.destination.host()).copied();
            let said = ask::ask(&self.tls, via, &here.destination, self.settings.hop_timeout).await?;
            let next = self.one_of(&said, &here, hop)?;
            if !self.asks(&next) {
                return Ok(next);
            }
            if seen.contains(&next.destination) {
                return Err(Trouble::Loop);
            }
            here = next;
        }
        Err(Trouble::TooManyHops)
    }

    /// Where a page leads on from a short link: what it says first, if nothing else it says leads off the list.
    fn one_of(&self, said: &Said, here: &Landing, hop: u8) -> Result<Landing, Trouble> {
        let markets = self.words.markets();
        let read = |said: &str| target(said, &here.destination, markets);
        let next = read(&said.first).map_err(|fault| match fault {
            UrlFault::HostForwards(host) if logs_in(&host) => Trouble::Login,
            UrlFault::Scheme if opens_an_app(&said.first) => Trouble::OpensApp,
            fault => Trouble::OffList { hop, fault },
        })?;
        let family = |landing: &Landing| markets.of(landing.marketplace).map(|table| &table.family);
        if family(&next) != family(here) {
            let name = |landing: &Landing| self.words.marketplace_names(landing.marketplace).en;
            return Err(Trouble::Elsewhere { hop, short: name(here), target: name(&next) });
        }
        let astray = |said: &String| match read(said) {
            Ok(other) => family(&other) != family(here),
            Err(UrlFault::HostForwards(host)) => !logs_in(&host),
            Err(_) => true,
        };
        if said.others.iter().any(astray) { Err(Trouble::Ambiguous) } else { Ok(next) }
    }

    fn remembered(&self, short: &Destination) -> Option<Landing> {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, landing) = remembered.get(short.as_str())?;
        (at.elapsed() < REMEMBERED).then(|| landing.clone())
    }

    fn remember(&self, short: &Destination, target: &Landing) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= MOST_REMEMBERED {
            remembered.retain(|_, (at, _)| at.elapsed() < REMEMBERED);
        }
        if remembered.len() >= MOST_REMEMBERED {
            remembered.clear();
        }
        remembered.insert(short.as_str().into(), (Instant::now(), target.clone()));
    }
}

/// Parameters in which login pages keep the address they go back to.
const GOES_BACK: [&str; 6] = ["returnurl", "return_url", "redirecturl", "tpl_redirect_url", "redirect_url", "redirect"];

/// Where a page leads, by what it says: read by the strict rules of pasted links. A login page stands for the address it
/// goes back to.
fn target(said: &str, here: &Destination, markets: &Marketplaces) -> Result<Landing, UrlFault> {
    let mut said = said.trim().to_owned();
    let mut logins = 0;
    loop {
        let absolute = absolute(&said, here)?;
        match markets.recognise_step(&absolute) {
            // A login page may go back to another.
            Err(fault @ UrlFault::HostForwards(_)) if logins < 3 => {
                logins += 1;
                said = goes_back(&absolute).ok_or(fault)?;
            }
            other => return other,
        }
    }
}

/// An address in full: as it was said, or relative to the page.
fn absolute(said: &str, here: &Destination) -> Result<String, UrlFault> {
    if said.starts_with("//") {
        return Ok(format!("https:{said}"));
    }
    let front = said.split(['/', '?', '#']).next().unwrap_or_default();
    if front.contains(':') || said.starts_with('\\') || said.chars().any(char::is_control) {
        // Another scheme, or what browsers read as one: refused by its own name.
        return Ok(said.to_owned());
    }
    let page = Url::parse(here.as_str()).map_err(|_| UrlFault::NotAUrl)?;
    Ok(page.join(said).map_err(|_| UrlFault::NotAUrl)?.into())
}

/// Whether a host that is no landing target asks to log in; the others lead on to wherever they are told.
fn logs_in(host: &str) -> bool {
    !host.split('.').any(|label| matches!(label, "redirect" | "jump"))
}

/// The address a login page goes back to.
fn goes_back(login: &str) -> Option<String> {
    let login = Url::parse(login).ok()?;
    let back = login
        .query_pairs()
        .find(|(name, value)| !value.is_empty() && GOES_BACK.iter().any(|known| name.eq_ignore_ascii_case(known)));
    let (_, back) = back?;
    let back = back.trim();
    // Relative to the login page, it leads nowhere else.
    (back.starts_with("//") || back.get(..4).is_some_and(|front| front.eq_ignore_ascii_case("http")))
        .then(|| back.to_owned())
}

/// Whether work on a hostile page of 150,000 bytes takes less than two seconds, as only linear work does. Another program may take
/// the processor away: the quickest of a few tries counts.
#[cfg(test)]
fn is_quick(work: impl Fn()) -> bool {
    (0..5).any(|_| {
        let began = std::time::Instant::now();
        work();
        began.elapsed() < std::time::Duration::from_secs(2)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(said: &str) -> Result<String, &'static str> {
        let markets = crate::config::marketplaces::shipped().markets();
        let here = markets.recognise("https://u.jd.com/AbCdEf?x=1").unwrap().destination;
        target(said, &here, markets)
            .map(|landing| landing.destination.as_str().to_owned())
            .map_err(|fault| fault.code())
    }

    #[test]
    fn targets_are_read_as_strictly_as_pasted_links() {
        let item = "https://item.jd.com/100012043978.html";
        for said in [
            item,
            " https://item.jd.com/100012043978.html ",
            "//item.jd.com/100012043978.html",
            // Asked over https at most, and never asked when it is no short link.
            "http://item.jd.com/100012043978.html",
            "https://passport.jd.com/new/login.aspx?ReturnUrl=https%3A%2F%2Fitem.jd.com%2F100012043978.html",
            "https://plogin.m.jd.com/login/login?appid=1&returnurl=https%3A%2F%2Fpassport.jd.com%2Flogin%3Freturnurl%3Dhttps%253A%252F%252Fitem.jd.com%252F100012043978.html",
        ] {
            assert_eq!(read(said).as_deref(), Ok(item), "{said}");
        }
        assert_eq!(read("/jda?e=1&p=2").as_deref(), Ok("https://u.jd.com/jda?e=1&p=2"));
        assert_eq!(read("?y=2").as_deref(), Ok("https://u.jd.com/AbCdEf?y=2"));
        for (said, code) in [
            ("https://evil.test/", "host_not_allowed"),
            ("//evil.test/item.jd.com", "host_not_allowed"),
            ("https://item.jd.com.evil.test/1.html", "host_not_allowed"),
            ("https://item.jd.com:444/1.html", "port"),
            ("https://item.jd.com@evil.test/1.html", "userinfo"),
            ("javascript:alert(1)", "scheme"),
            ("data:text/html,x", "scheme"),
            ("taobao://item.taobao.com/x", "scheme"),
            ("\\\\evil.test/", "backslash"),
            ("https:\\\\evil.test", "backslash"),
            ("https://127.0.0.1/", "ip_host"),
            ("https://[::1]/", "ip_host"),
            ("https://0x7f.1/", "ip_host"),
            ("https://passport.jd.com/new/login.aspx", "host_forwards"),
            ("https://passport.jd.com/login?returnurl=/relative", "host_forwards"),
            ("https://passport.jd.com/login?returnurl=https%3A%2F%2Fevil.test%2F", "host_not_allowed"),
            ("https://item.jd.com/\r\nSet-Cookie: a=b", "control_character"),
        ] {
            assert_eq!(read(said), Err(code), "{said}");
        }
    }

    #[test]
    fn an_address_in_the_query_of_an_allowed_host_is_not_followed() {
        let said = "https://item.jd.com/100012043978.html?to=https://evil.test/";
        assert_eq!(read(said).as_deref(), Ok(said));
    }
}
