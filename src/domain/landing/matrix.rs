//! The matrix: agreement's landing mode × host app × system × marketplace → way. Rules are compiled to a dense table, so
//! that a click pays one look into it. Pure data: it knows what a marketplace's app can do, never a link.
//!
//! The first rule that fits decides; where none fits it is a plain redirect. Two things are no rule's to say: an agreement
//! that asks for the web page is always a plain redirect, and the gateway stands in for a shop only where the agreement
//! asks for that.

use super::Way;
use super::address::carries;
use crate::domain::device::{Device, HostApp, Os};
use crate::domain::marketplace::app::App;
use crate::domain::vocabulary::{LandingMode, MarketplaceId};

/// The host of a click as the matrix tells hosts apart: an app, or a browser that follows `intent:` addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Host(u8);

impl Host {
    /// How many there are.
    pub const COUNT: usize = HostApp::ALL.len() + 1;

    /// A browser of Chrome's family on Android. Rules for `browser` count for it too.
    pub const CHROMIUM: Host = Host(HostApp::ALL.len() as u8);

    /// The host a device says it is.
    pub const fn of(device: &Device) -> Host {
        if device.chromium { Host::CHROMIUM } else { Host(device.app as u8) }
    }

    /// Every host.
    pub fn all() -> impl Iterator<Item = Host> {
        (0..Host::COUNT as u8).map(Host)
    }

    /// The name in files and on the command line.
    pub fn as_str(self) -> &'static str {
        HostApp::ALL.get(usize::from(self.0)).map_or("chromium", |app| app.as_str())
    }

    /// The host of a name, if it is one.
    pub fn parse(text: &str) -> Option<Host> {
        Host::all().find(|host| host.as_str() == text)
    }

    /// Every name, for error messages.
    pub fn names() -> Vec<&'static str> {
        Host::all().map(Host::as_str).collect()
    }

    /// The host app it belongs to.
    pub fn app(self) -> HostApp {
        HostApp::ALL.get(usize::from(self.0)).copied().unwrap_or(HostApp::Browser)
    }

    /// Whether a rule for `named` counts for this host.
    fn is(self, named: Host) -> bool {
        self == named || self == Host::CHROMIUM && named.0 == HostApp::Browser as u8
    }
}

impl serde::Serialize for Host {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One rule. An empty list is any.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// What the agreement asks for.
    pub modes: Vec<LandingMode>,
    /// Host apps.
    pub hosts: Vec<Host>,
    /// Systems.
    pub systems: Vec<Os>,
    /// Marketplaces.
    pub marketplaces: Vec<MarketplaceId>,
    /// The way.
    pub way: Way,
}

/// What a rule can say; the other ways are what became of one.
pub const WAYS: [Way; 10] = [
    Way::Redirect,
    Way::UniversalLink,
    Way::Scheme,
    Way::Intent,
    Way::BrowserPrompt,
    Way::CopyCode,
    Way::MiniProgram,
    Way::InApp,
    Way::Content,
    Way::Proxy,
];

/// Why a rule cannot stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RuleFault {
    /// Everything it speaks of was decided by rules before it.
    #[error("never decides: the rules before it take every case; move it up, or drop it")]
    Hidden,
    /// It names `web`.
    #[error("names the mode `web`, which is always a redirect to the page: leave it out")]
    Web,
    /// It would stand in for a shop without an agreement that asks for it.
    #[error("gives `proxy` where the agreement does not ask for it: write modes = [\"proxy\"]")]
    Proxy,
    /// It would give other systems than Android what only Android knows.
    #[error("gives `intent`, which only Android follows: write os = [\"android\"], or apps = [\"chromium\"]")]
    Intent,
    /// It names a browser that is on Android only, and another system.
    #[error("names `chromium`, which is a browser on Android, with another system: write os = [\"android\"]")]
    Chromium,
    /// Its way is no rule's to give.
    #[error("gives `{0}`, which no rule can: it is what became of another way")]
    Way(Way),
}

/// The modes a rule without modes speaks of.
fn spoken(rule: &Rule) -> impl Iterator<Item = LandingMode> + '_ {
    let any = rule.modes.is_empty();
    LandingMode::ALL.iter().copied().filter(move |mode| *mode != LandingMode::Web && (any || rule.modes.contains(mode)))
}

/// Whether a rule speaks of browsers of Chrome's family alone.
fn is_chromium(rule: &Rule) -> bool {
    !rule.hosts.is_empty() && rule.hosts.iter().all(|host| *host == Host::CHROMIUM)
}

fn is_for_android(rule: &Rule) -> bool {
    !rule.systems.is_empty() && rule.systems.iter().all(|os| *os == Os::Android)
}

/// The compiled rules.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Matrix {
    ways: Box<[Way]>,
    marketplaces: usize,
}

impl Matrix {
    /// Compiles rules for so many marketplaces, of which `app` tells what is known. Where that lacks what a way needs, the
    /// cell gets the way that comes next: see [`next`].
    ///
    /// # Errors
    /// Every rule that cannot stand, by its number.
    pub fn compile<'a>(
        rules: &[Rule],
        marketplaces: usize,
        app: impl Fn(MarketplaceId) -> Option<&'a App>,
    ) -> Result<Matrix, Vec<(usize, RuleFault)>> {
        let cells = LandingMode::ALL.len() * Host::COUNT * Os::ALL.len() * marketplaces;
        let mut decided: Vec<Option<Way>> = vec![None; cells];
        let mut matrix = Matrix { ways: Box::default(), marketplaces };
        let mut faults = Vec::new();
        for (number, rule) in rules.iter().enumerate() {
            let proxies = rule.way == Way::Proxy && spoken(rule).any(|mode| mode != LandingMode::Proxy);
            let fault = match () {
                () if rule.modes.contains(&LandingMode::Web) => Some(RuleFault::Web),
                () if proxies => Some(RuleFault::Proxy),
                () if !WAYS.contains(&rule.way) => Some(RuleFault::Way(rule.way)),
                () if is_chromium(rule) && rule.systems.iter().any(|os| *os != Os::Android) => {
                    Some(RuleFault::Chromium)
                }
                () if rule.way == Way::Intent && !is_chromium(rule) && !is_for_android(rule) => Some(RuleFault::Intent),
                () => None,
            };
            if let Some(fault) = fault {
                faults.push((number, fault));
                continue;
            }
            let mut decides = false;
            for mode in spoken(rule) {
                for host in
                    Host::all().filter(|host| rule.hosts.is_empty() || rule.hosts.iter().any(|one| host.is(*one)))
                {
                    for os in Os::ALL.iter().filter(|os| rule.systems.is_empty() || rule.systems.contains(os)) {
                        for id in (0..marketplaces as u8).map(MarketplaceId) {
                            if !rule.marketplaces.is_empty() && !rule.marketplaces.contains(&id) {
                                continue;
                            }
                            let cell = &mut decided[matrix.cell(mode, host, *os, id)];
                            decides |= cell.is_none();
                            cell.get_or_insert(rule.way);
                        }
                    }
                }
            }
            if !decides {
                faults.push((number, RuleFault::Hidden));
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let settled = |(cell, way): (usize, Option<Way>)| {
            let app = app(MarketplaceId((cell % marketplaces.max(1)) as u8));
            able(way.unwrap_or(Way::Redirect), |way| app.map_or(way == Way::Redirect, |app| carries(app, way)))
        };
        matrix.ways = decided.into_iter().enumerate().map(settled).collect();
        Ok(matrix)
    }

    fn cell(&self, mode: LandingMode, host: Host, os: Os, marketplace: MarketplaceId) -> usize {
        let row = (mode as usize * Host::COUNT + usize::from(host.0)) * Os::ALL.len() + os as usize;
        row * self.marketplaces + usize::from(marketplace.0)
    }

    /// The way of a click. A marketplace the matrix was not compiled for is a plain redirect.
    #[inline]
    pub fn way(&self, mode: LandingMode, host: Host, os: Os, marketplace: MarketplaceId) -> Way {
        if usize::from(marketplace.0) >= self.marketplaces {
            return Way::Redirect;
        }
        self.ways.get(self.cell(mode, host, os, marketplace)).copied().unwrap_or(Way::Redirect)
    }
}

/// The first of `way` and those that come after it for which all is there.
pub fn able(way: Way, there: impl Fn(Way) -> bool) -> Way {
    let mut way = way;
    while way != Way::Redirect && !there(way) {
        way = next(way);
    }
    way
}

/// What comes next where something lacks: a universal link and an intent become the app's scheme, a text to copy becomes the
/// request to open the browser, anything else the plain redirect.
pub const fn next(way: Way) -> Way {
    match way {
        Way::UniversalLink | Way::Intent => Way::Scheme,
        Way::CopyCode => Way::BrowserPrompt,
        _ => Way::Redirect,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::marketplace::app::Carrier;

    const JD: MarketplaceId = MarketplaceId::JD;

    fn rule(modes: &[LandingMode], hosts: &[&str], systems: &[Os], way: Way) -> Rule {
        Rule {
            modes: modes.to_vec(),
            hosts: hosts.iter().map(|name| Host::parse(name).unwrap()).collect(),
            systems: systems.to_vec(),
            marketplaces: Vec::new(),
            way,
        }
    }

    fn app() -> App {
        App {
            schemes: vec!["openapp.jdmobile".into()],
            open: Some(Carrier { prefix: "openapp.jdmobile://virtual?params=".into(), value: "{url}".into() }),
            ..App::default()
        }
    }

    fn host(name: &str) -> Host {
        Host::parse(name).unwrap()
    }

    #[test]
    fn the_first_rule_that_fits_decides_and_no_rule_is_a_redirect() {
        let app = app();
        let rules = [
            rule(&[LandingMode::App], &["chromium"], &[Os::Android], Way::BrowserPrompt),
            rule(&[LandingMode::App], &["browser"], &[], Way::Scheme),
            Rule { marketplaces: vec![JD], ..rule(&[], &["wechat"], &[], Way::BrowserPrompt) },
        ];
        let matrix = Matrix::compile(&rules, 12, |id| (id == JD).then_some(&app)).unwrap();
        let way = |mode, name, os, id| matrix.way(mode, host(name), os, id);
        assert_eq!(way(LandingMode::App, "chromium", Os::Android, JD), Way::BrowserPrompt);
        assert_eq!(way(LandingMode::App, "chromium", Os::Ios, JD), Way::Scheme, "a browser too");
        assert_eq!(way(LandingMode::App, "browser", Os::Android, JD), Way::Scheme);
        assert_eq!(way(LandingMode::App, "browser", Os::Android, MarketplaceId::TAOBAO), Way::Redirect, "no scheme");
        assert_eq!(way(LandingMode::InApp, "wechat", Os::Ios, JD), Way::BrowserPrompt, "any mode …");
        assert_eq!(way(LandingMode::Web, "wechat", Os::Ios, JD), Way::Redirect, "… but web");
        assert_eq!(way(LandingMode::App, "kuaishou", Os::Ios, JD), Way::Redirect);
        assert_eq!(way(LandingMode::App, "browser", Os::Ios, MarketplaceId(200)), Way::Redirect);
    }

    #[test]
    fn a_way_falls_back_to_what_the_marketplace_has() {
        let mut app = app();
        let of = |way, app: &App| {
            let matrix = Matrix::compile(&[rule(&[], &[], &[Os::Android], way)], 3, |_| Some(app)).unwrap();
            matrix.way(LandingMode::App, host("browser"), Os::Android, JD)
        };
        assert_eq!(of(Way::UniversalLink, &app), Way::Scheme);
        assert_eq!(of(Way::Intent, &app), Way::Scheme);
        app.android_package = Some("com.jingdong.app.mall".into());
        app.universal_link = Some(Carrier { prefix: "https://ul.jd.com/?u=".into(), value: "{open}".into() });
        assert_eq!((of(Way::Intent, &app), of(Way::UniversalLink, &app)), (Way::Intent, Way::UniversalLink));
        app.open = None;
        let ways = [Way::UniversalLink, Way::Intent, Way::Scheme, Way::MiniProgram, Way::InApp];
        assert_eq!(ways.map(|way| of(way, &app)), [Way::Redirect; 5]);
        assert_eq!(of(Way::CopyCode, &app), Way::CopyCode, "whether there is a code the link says");
    }

    #[test]
    fn rules_that_cannot_stand_are_all_named() {
        let rules = [
            rule(&[LandingMode::App], &["browser"], &[], Way::Scheme),
            rule(&[LandingMode::App], &["chromium"], &[Os::Android], Way::Intent),
            rule(&[LandingMode::Web], &[], &[], Way::Scheme),
            rule(&[], &[], &[], Way::Proxy),
            rule(&[LandingMode::App], &["qq"], &[], Way::Card),
            rule(&[], &[], &[], Way::Redirect),
            rule(&[], &["jd"], &[], Way::Scheme),
        ];
        let faults = Matrix::compile(&rules, 12, |_| None).unwrap_err();
        let expected = [
            (1, RuleFault::Hidden),
            (2, RuleFault::Web),
            (3, RuleFault::Proxy),
            (4, RuleFault::Way(Way::Card)),
            (6, RuleFault::Hidden),
        ];
        assert_eq!(faults, expected);
    }

    #[test]
    fn what_is_androids_alone_is_given_to_no_other_system() {
        let app = |hosts: &[&str], systems: &[Os], way| rule(&[LandingMode::App], hosts, systems, way);
        let rules = [
            app(&["chromium"], &[Os::Android], Way::Intent),
            app(&["browser"], &[Os::Ios], Way::Intent),
            app(&["browser"], &[Os::Android, Os::Harmony], Way::Intent),
            app(&["qq"], &[Os::Desktop], Way::Intent),
            app(&["weibo"], &[], Way::Intent),
            app(&["chromium"], &[Os::Ios], Way::Scheme),
            app(&["chromium"], &[Os::Android, Os::Desktop], Way::Scheme),
            app(&["browser"], &[Os::Android], Way::Intent),
        ];
        let faults = Matrix::compile(&rules, 12, |_| None).unwrap_err();
        let intent = [1, 2, 3, 4].map(|number| (number, RuleFault::Intent));
        let chromium = [5, 6].map(|number| (number, RuleFault::Chromium));
        assert_eq!(faults, [intent.as_slice(), &chromium].concat());
        let rules = [app(&["chromium"], &[], Way::Intent), app(&["browser"], &[Os::Android], Way::Intent)];
        assert!(Matrix::compile(&rules, 12, |_| None).is_ok());
    }

    #[test]
    fn hosts_have_names_both_ways() {
        for host in Host::all() {
            assert_eq!(Host::parse(host.as_str()), Some(host));
        }
        let chrome = Device { app: HostApp::Browser, os: Os::Android, chromium: true, ..Device::UNKNOWN };
        assert_eq!((Host::of(&chrome).as_str(), Host::of(&chrome).app()), ("chromium", HostApp::Browser));
        assert_eq!(Host::of(&Device { app: HostApp::Jd, ..Device::UNKNOWN }).as_str(), "jd");
    }
}
