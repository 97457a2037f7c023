//! Tables of tokens, and the one pass that looks for all of them at once. Never knows a token itself.

use std::collections::BTreeMap;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::{Device, HostApp, Os};

/// The most of a User-Agent that is read. Real ones stay far below; a longer one says nothing more.
const LONGEST: usize = 1_024;

/// How many lists of tokens there may be, all rules together.
pub const MOST_TOKEN_LISTS: usize = 128;

/// Something that is said by any of these texts, unless one of the others is there too. A `^` in front of a text means: at
/// the very start only. Case makes no difference.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Tokens {
    /// Any of these says it …
    pub any: Vec<String>,
    /// … unless one of these is there.
    pub unless: Vec<String>,
}

/// An app, by its tokens and by the Android packages it is shipped as.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AppRule {
    /// The app.
    pub app: HostApp,
    /// What its User-Agents hold.
    pub tokens: Tokens,
    /// What its web views say in `X-Requested-With`.
    pub packages: Vec<String>,
}

/// An operating system, by its tokens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SystemRule {
    /// The system.
    pub os: Os,
    /// What says so.
    pub tokens: Tokens,
}

/// What cannot be true together. Everything that is stated must hold; what is left empty is not asked.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Contradiction {
    /// A name for people.
    pub name: String,
    /// One of these tokens is there, and none of those.
    pub tokens: Tokens,
    /// One of these is there as well.
    pub with: Vec<String>,
    /// The system found is one of these.
    pub systems: Vec<Os>,
    /// The app found is one of these.
    pub apps: Vec<HostApp>,
    /// There is an `X-Requested-With` that names an Android package.
    pub package: bool,
}

/// Everything that is known of User-Agents.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct DeviceTable {
    /// Apps; the first that says so counts.
    pub apps: Vec<AppRule>,
    /// Systems; the first that says so counts.
    pub systems: Vec<SystemRule>,
    /// What a browser holds.
    pub browsers: Tokens,
    /// Browsers that follow `intent:` addresses on Android.
    pub intents: Tokens,
    /// Mini programs.
    pub mini_programs: Tokens,
    /// Crawlers and tools.
    pub bots: Tokens,
    /// Link-preview fetchers of chat and social apps.
    pub previews: Tokens,
    /// What cannot be true together.
    pub contradictions: Vec<Contradiction>,
    /// Apps none of which carries another's tokens.
    pub exclusive: Vec<HostApp>,
}

/// Why a table cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadTable {
    /// More lists than there are bits.
    #[error("has {0} lists of tokens: at most {MOST_TOKEN_LISTS} are possible")]
    TooMany(usize),
    /// The automaton cannot be built.
    #[error("the tokens cannot be searched: {0}")]
    Search(String),
}

/// Whether a text may be a token: 3 to 64 visible characters or spaces, in lower case, `^` in front at most.
///
/// # Errors
/// What is wrong and what would be right.
pub fn check_token(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix('^').unwrap_or(text);
    if !(3..=64).contains(&bare.len()) {
        return Err(format!("`{text}` has {} characters: use 3 to 64", bare.len()));
    }
    if !bare.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Err(format!("`{text}` holds a character no User-Agent has: use visible ASCII"));
    }
    if bare.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(format!("`{text}` holds capitals: write it in lower case, case makes no difference"));
    }
    Ok(text.to_owned())
}

/// The lists one rule asks: a bit for each, 0 for a list that is empty.
#[derive(Clone, Copy, Default, Debug)]
struct Asked {
    any: u128,
    unless: u128,
}

impl Asked {
    fn holds(self, seen: u128) -> bool {
        self.any & seen != 0 && self.unless & seen == 0
    }

    /// As [`Asked::holds`], where asking for nothing is fulfilled.
    fn holds_if_asked(self, seen: u128) -> bool {
        (self.any == 0 || self.any & seen != 0) && self.unless & seen == 0
    }
}

#[derive(Debug)]
struct Impossible {
    tokens: Asked,
    with: Asked,
    systems: u32,
    apps: u32,
    package: bool,
}

/// A table, compiled. One pass over a User-Agent finds every token; what they mean is a few masks.
#[derive(Debug)]
pub struct Detector {
    finder: AhoCorasick,
    /// What each pattern of the finder sets, and whether it counts at the start only.
    means: Vec<(u128, bool)>,
    apps: Vec<(Asked, HostApp)>,
    systems: Vec<(Asked, Os)>,
    browsers: Asked,
    intents: Asked,
    mini_programs: Asked,
    bots: Asked,
    previews: Asked,
    impossible: Vec<Impossible>,
    exclusive: u32,
    /// Sorted by name.
    packages: Vec<(Box<str>, HostApp)>,
}

#[derive(Default)]
struct Bits {
    tokens: BTreeMap<String, u128>,
    used: usize,
}

impl Bits {
    fn list(&mut self, tokens: &[String]) -> u128 {
        if tokens.is_empty() {
            return 0;
        }
        let bit = 1u128.checked_shl(self.used as u32).unwrap_or(0);
        self.used += 1;
        for token in tokens {
            *self.tokens.entry(token.to_ascii_lowercase()).or_default() |= bit;
        }
        bit
    }

    fn asked(&mut self, tokens: &Tokens) -> Asked {
        Asked { any: self.list(&tokens.any), unless: self.list(&tokens.unless) }
    }
}

impl Detector {
    /// Compiles a table.
    ///
    /// # Errors
    /// [`BadTable`].
    pub fn new(table: &DeviceTable) -> Result<Self, BadTable> {
        let mut bits = Bits::default();
        let apps: Vec<_> = table.apps.iter().map(|rule| (bits.asked(&rule.tokens), rule.app)).collect();
        let systems = table.systems.iter().map(|rule| (bits.asked(&rule.tokens), rule.os)).collect();
        let browsers = bits.asked(&table.browsers);
        let intents = bits.asked(&table.intents);
        let mini_programs = bits.asked(&table.mini_programs);
        let bots = bits.asked(&table.bots);
        let previews = bits.asked(&table.previews);
        let impossible = table
            .contradictions
            .iter()
            .map(|rule| Impossible {
                tokens: bits.asked(&rule.tokens),
                with: Asked { any: bits.list(&rule.with), unless: 0 },
                systems: rule.systems.iter().fold(0, |mask, os| mask | 1 << *os as u32),
                apps: rule.apps.iter().fold(0, |mask, app| mask | 1 << *app as u32),
                package: rule.package,
            })
            .collect();
        if bits.used > MOST_TOKEN_LISTS {
            return Err(BadTable::TooMany(bits.used));
        }
        let finder = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::DFA))
            .match_kind(MatchKind::Standard)
            .ascii_case_insensitive(true)
            .prefilter(false)
            .build(bits.tokens.keys().map(|token| token.trim_start_matches('^')))
            .map_err(|error| BadTable::Search(error.to_string()))?;
        let means = bits.tokens.iter().map(|(token, mask)| (*mask, token.starts_with('^'))).collect();
        let mut packages: Vec<(Box<str>, HostApp)> = table
            .apps
            .iter()
            .flat_map(|rule| rule.packages.iter().map(|package| (package.as_str().into(), rule.app)))
            .collect();
        // Stable: of two that claim a package, the first keeps it.
        packages.sort_by(|one, two| one.0.cmp(&two.0));
        packages.dedup_by(|later, first| later.0 == first.0);
        let exclusive = table.exclusive.iter().fold(0, |mask, app| mask | 1 << *app as u32);
        Ok(Detector {
            finder,
            means,
            apps,
            systems,
            browsers,
            intents,
            mini_programs,
            bots,
            previews,
            impossible,
            exclusive,
            packages,
        })
    }

    fn seen(&self, user_agent: &[u8]) -> u128 {
        let mut seen = 0;
        for found in self.finder.find_overlapping_iter(user_agent) {
            if let Some((mask, at_start)) = self.means.get(found.pattern().as_usize())
                && (found.start() == 0 || !at_start)
            {
                seen |= mask;
            }
        }
        seen
    }

    /// What a User-Agent says, in one pass and without allocating.
    pub fn detect(&self, user_agent: &[u8]) -> Device {
        let seen = self.seen(&user_agent[..user_agent.len().min(LONGEST)]);
        let preview = self.previews.holds(seen);
        let bot = preview || self.bots.holds(seen);
        let named = self.apps.iter().find(|(asked, _)| asked.holds(seen)).map(|(_, app)| *app);
        let browser = if self.browsers.holds(seen) && !bot { HostApp::Browser } else { HostApp::Unknown };
        let app = named.unwrap_or(browser);
        let os = self.systems.iter().find(|(asked, _)| asked.holds(seen)).map_or(Os::Unknown, |(_, os)| *os);
        let chromium = app == HostApp::Browser && os == Os::Android && self.intents.holds(seen);
        let mini_program = self.mini_programs.holds(seen);
        let mut device = Device { app, os, bot, preview, chromium, mini_program, implausible: false };
        device.implausible = self.contradicts(seen, &device, false) || self.excludes(seen);
        device
    }

    /// What the User-Agent and the package in `X-Requested-With` say together. The package tells the app where the
    /// User-Agent names none; where they name two, something is wrong.
    pub fn with_package(&self, device: Device, user_agent: &[u8], package: &[u8]) -> Device {
        // Scripts say `XMLHttpRequest` there; a package has a dot.
        if !package.contains(&b'.') {
            return device;
        }
        let mut device = Device { chromium: false, ..device };
        let place = self.packages.binary_search_by(|(name, _)| name.as_bytes().cmp(package));
        let owner = place.ok().and_then(|place| self.packages.get(place)).map(|(_, app)| *app);
        match (device.app, owner) {
            (HostApp::Browser | HostApp::Unknown, Some(owner)) => device.app = owner,
            (named, Some(owner)) if named != owner => device.implausible = true,
            _ => {}
        }
        if !device.implausible && self.impossible.iter().any(|rule| rule.package) {
            let seen = self.seen(&user_agent[..user_agent.len().min(LONGEST)]);
            device.implausible = self.contradicts(seen, &device, true);
        }
        device
    }

    fn contradicts(&self, seen: u128, device: &Device, package: bool) -> bool {
        self.impossible.iter().filter(|rule| rule.package == package).any(|rule| {
            rule.tokens.holds_if_asked(seen)
                && rule.with.holds_if_asked(seen)
                && (rule.systems == 0 || rule.systems & (1 << device.os as u32) != 0)
                && (rule.apps == 0 || rule.apps & (1 << device.app as u32) != 0)
        })
    }

    fn excludes(&self, seen: u128) -> bool {
        let named = self.apps.iter().filter(|(asked, _)| asked.holds(seen));
        let mask = named.fold(0u32, |mask, (_, app)| mask | 1 << *app as u32);
        (mask & self.exclusive).count_ones() > 1
    }
}
