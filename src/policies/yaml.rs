//! What people write of a policy, YAML or JSON, to agreements, defaults and kills: every fault of a run at once. Unknown
//! keys are refused. Never decides.

use std::collections::HashMap;

use crate::config::tree::{Faults, Field, Node, Table, from_yaml};
use crate::domain::hop::Outcome;
use crate::domain::policy::{Agreement, Attribution, Conditions, Effect, Kill, PairDefault, Rollout, Step, StickTo};
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::{LandingMode, LinkKind, MarketplaceId, PlatformId, ShopType, Surface, Vocabulary};

/// The agreements of a set of files, as written.
#[derive(Default, Debug)]
pub struct Written {
    /// Agreements, in file order.
    pub agreements: Vec<Agreement>,
    /// Defaults of pairs.
    pub defaults: Vec<PairDefault>,
    /// What is switched off; `None` where no file speaks of kills, so that those in force stay.
    pub kills: Option<Vec<Kill>>,
    /// Some file lists its agreements or defaults, be the list empty.
    pub says_so: bool,
    /// Where each id was first seen.
    places: HashMap<Box<str>, String>,
}

/// Attribution unless an agreement says otherwise (DESIGN: 15 days).
const DEFAULT_WINDOW_DAYS: u16 = 15;

impl Written {
    /// Reads one file into the set.
    pub fn read(&mut self, file: &str, text: &str, words: &Vocabulary, faults: &Faults) {
        if let Some(node) = from_yaml(file, text, faults) {
            self.read_node(file, &node, words, faults);
        }
    }

    /// Reads one tree into the set.
    pub fn read_node(&mut self, file: &str, node: &Node, words: &Vocabulary, faults: &Faults) {
        let Some(root) = Table::root(file, node, faults) else { return };
        let (agreements, defaults, kills) = (root.get("agreements"), root.get("defaults"), root.get("kills"));
        if agreements.is_none() && defaults.is_none() && kills.is_none() {
            root.fault("", "is empty: a file that is still being written? `agreements: []` says that none is meant");
        }
        self.says_so |= agreements.is_some() || defaults.is_some();
        for entry in agreements.and_then(|field| field.list()).unwrap_or_default() {
            let Some(table) = entry.table() else { continue };
            if let Some(agreement) = self.agreement(table, words) {
                self.agreements.push(agreement);
            }
        }
        for entry in defaults.and_then(|field| field.list()).unwrap_or_default() {
            let Some(table) = entry.table() else { continue };
            let platform = table.require("platform").and_then(|field| platform(&field, words));
            let marketplace = table.require("marketplace").and_then(|field| marketplace(&field, words));
            let outcome = table.require("outcome").and_then(|field| field.one_of(Outcome::parse, &Outcome::names()));
            let outcome = outcome.map(|outcome| match outcome {
                Outcome::Allow => Effect::Allow,
                Outcome::Deny => Effect::Deny,
            });
            if let (Some(platform), Some(marketplace), Some(outcome)) = (platform, marketplace, outcome) {
                if self.defaults.iter().any(|known| known.platform == platform && known.marketplace == marketplace) {
                    table.fault("", "this pair already has a default: keep one");
                }
                self.defaults.push(PairDefault { platform, marketplace, outcome });
            }
            table.finish();
        }
        for entry in kills.as_ref().and_then(|field| field.list()).unwrap_or_default() {
            let Some(table) = entry.table() else { continue };
            if let Some(kill) = kill(table, words) {
                if self.kills.iter().flatten().any(|known| known.id == kill.id) {
                    entry.fault(format!("`{}` is already used: keep one kill of this id", kill.id));
                }
                self.kills.get_or_insert_default().push(kill);
            }
        }
        if kills.is_some() {
            self.kills.get_or_insert_default();
        }
        root.finish();
    }

    fn agreement(&mut self, table: Table<'_>, words: &Vocabulary) -> Option<Agreement> {
        let id = table.require("id").and_then(|field| field.parse(agreement_id));
        if let Some(id) = &id {
            let place = table.place();
            if let Some(first) = self.places.get(&**id) {
                table.fault("id", format!("`{id}` is already used at {first}: give each agreement its own id"));
            } else {
                self.places.insert(id.as_str().into(), place);
            }
        }
        let title = table.require("title").and_then(|field| field.text());
        let platform = table.require("platform").and_then(|field| platform(&field, words));
        let marketplaces: Vec<MarketplaceId> = table
            .require("marketplace")
            .and_then(|field| field.one_or_many())
            .unwrap_or_default()
            .iter()
            .filter_map(|field| marketplace(field, words))
            .collect();
        let effect = table.require("effect").and_then(|field| field.one_of(Effect::parse, &Effect::names()));
        let from = table.require("from").and_then(|field| field.parse(str::parse::<Timestamp>));
        let until = match table.get("until") {
            Some(field) => field.parse(str::parse::<Timestamp>),
            None => Some(Timestamp::MAX),
        };
        if let (Some(from), Some(until)) = (from, until)
            && until <= from
        {
            table.fault("until", format!("{until} is not after `from` {from}: the window would never be open"));
        }
        let when = match table.get("when") {
            Some(field) => field.table().map(conditions)?,
            None => Conditions::default(),
        };
        let rollout = table
            .get("rollout")
            .and_then(|field| field.table())
            .map(|table| rollout(table, id.as_deref().unwrap_or_default(), from, until));
        let landing = match table.get("landing") {
            Some(field) => field.one_of(LandingMode::parse, &LandingMode::names()),
            None => Some(LandingMode::Web),
        };
        let attribution = table.get("attribution").and_then(|field| field.table()).map(attribution);
        let priority = match table.get("priority") {
            Some(field) => field.integer(-1_000..=1_000),
            None => Some(0),
        };
        if effect == Some(Effect::DataReturn) {
            for key in ["landing", "rollout"] {
                if table.get(key).is_some() {
                    table.fault(key, "has no meaning in a data_return, which lets no click through: leave it out");
                }
            }
            if table.get("attribution").is_none() {
                table.fault("", "a data_return needs `attribution`: window_days, sampling and events are all it says");
            }
        }
        let evidence = table.get("evidence").and_then(|field| field.text()).unwrap_or_default();
        table.finish();
        Some(Agreement {
            id: id?.into(),
            title: title?.into(),
            platform: platform?,
            marketplaces: (!marketplaces.is_empty()).then_some(marketplaces)?,
            effect: effect?,
            from: from?,
            until: until?,
            when,
            rollout: match rollout {
                Some(rollout) => Some(rollout?),
                None => None,
            },
            landing: landing?,
            attribution: match attribution {
                Some(attribution) => Some(attribution?),
                None => None,
            },
            priority: priority? as i32,
            evidence: evidence.into(),
        })
    }
}

fn platform(field: &Field<'_>, words: &Vocabulary) -> Option<PlatformId> {
    field.one_of(|text| words.platform(text), &words.platforms().collect::<Vec<_>>())
}

fn marketplace(field: &Field<'_>, words: &Vocabulary) -> Option<MarketplaceId> {
    field.one_of(|text| words.marketplace(text), &words.marketplaces().collect::<Vec<_>>())
}

fn agreement_id(text: &str) -> Result<String, String> {
    let fits = (3..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    match fits {
        true => Ok(text.to_owned()),
        false => {
            let shown: String = text.chars().take(70).collect();
            Err(format!("`{shown}` is not an id: use 3 to 64 of a-z, 0-9 and -"))
        }
    }
}

/// The longest reason of a kill, in characters.
pub const LONGEST_WHY: usize = 500;

fn kill(table: Table<'_>, words: &Vocabulary) -> Option<Kill> {
    let id = table.require("id").and_then(|field| field.parse(agreement_id));
    let platform = table.get("platform").map(|field| platform(&field, words));
    let marketplace = table.get("marketplace").map(|field| marketplace(&field, words));
    let creator = table.get("creator").map(|field| field.text());
    let shop = table.get("shop").map(|field| field.text());
    if platform.is_none() && marketplace.is_none() && creator.is_none() && shop.is_none() {
        table.fault("", "names nothing to switch off: add platform, marketplace, creator or shop");
    }
    let from = table.require("from").and_then(|field| field.parse(str::parse::<Timestamp>));
    let until = table.require("until").and_then(|field| field.parse(str::parse::<Timestamp>));
    if let (Some(from), Some(until)) = (from, until)
        && until <= from
    {
        table.fault("until", format!("{until} is not after `from` {from}: nothing would be switched off"));
    }
    let by = table.require("by").and_then(|field| field.text());
    let why = table.require("why").and_then(|field| field.text());
    if let Some(why) = why
        && why.chars().count() > LONGEST_WHY
    {
        table.fault("why", format!("use at most {LONGEST_WHY} characters"));
    }
    table.finish();
    // A subject that could not be read must not widen the kill to everything else it names.
    fn read<T>(field: Option<Option<T>>) -> Option<Option<T>> {
        match field {
            None => Some(None),
            Some(None) => None,
            Some(found) => Some(found),
        }
    }
    Some(Kill {
        id: id?.into(),
        platform: read(platform)?,
        marketplace: read(marketplace)?,
        creator: read(creator)?.map(Box::from),
        shop: read(shop)?.map(Box::from),
        from: from?,
        until: until?,
        by: by?.into(),
        why: why?.into(),
    })
}

fn conditions(table: Table<'_>) -> Conditions {
    fn values<T>(table: &Table<'_>, key: &'static str, read: impl Fn(&Field<'_>) -> Option<T>) -> Vec<T> {
        let items = table.get(key).and_then(|field| field.list()).unwrap_or_default();
        items.iter().filter_map(read).collect()
    }
    fn words(table: &Table<'_>, key: &'static str) -> Vec<Box<str>> {
        values(table, key, |field| {
            let text = field.text()?;
            if text.contains(char::is_whitespace) || text.starts_with('!') || text.len() > 255 {
                field.fault(format!("`{text}`: use an id without spaces or a leading !, at most 255 bytes"));
                return None;
            }
            Some(text.into())
        })
    }
    let known = |names: Vec<&'static str>| names.into_iter().filter(|name| *name != "unknown").collect::<Vec<_>>();
    let when = Conditions {
        surfaces: values(&table, "surfaces", |field| field.one_of(Surface::parse, &Surface::names())),
        shop_types: values(&table, "shop_types", |field| {
            field.one_of(|text| ShopType::parse(text).filter(|v| *v != ShopType::Unknown), &known(ShopType::names()))
        }),
        link_kinds: values(&table, "link_kinds", |field| {
            field.one_of(|text| LinkKind::parse(text).filter(|v| *v != LinkKind::Unknown), &known(LinkKind::names()))
        }),
        categories: words(&table, "categories"),
        creators: words(&table, "creators"),
        shops: values(&table, "shops", |field| {
            let text = field.text()?;
            if !(text.starts_with("shop:") || text.starts_with("seller:")) {
                field.fault(format!("`{text}`: write shop:ID or seller:ID, as the two are different numbers"));
                return None;
            }
            Some(text.into())
        }),
        items: words(&table, "items"),
        requires: words(&table, "requires"),
    };
    table.finish();
    when
}

fn rollout(table: Table<'_>, id: &str, from: Option<Timestamp>, until: Option<Timestamp>) -> Option<Rollout> {
    let by = table.require("by").and_then(|field| field.one_of(StickTo::parse, &StickTo::names()));
    let salt = table.get("salt").map_or(Some(id), |field| field.text());
    let mut steps: Vec<Step> = Vec::new();
    let mut sound = true;
    let entries = table.require("steps").and_then(|field| field.list()).unwrap_or_default();
    for entry in &entries {
        let Some(step) = entry.table() else {
            sound = false;
            continue;
        };
        let at = step.require("at").and_then(|field| field.parse(str::parse::<Timestamp>));
        let percent = step.require("percent").and_then(|field| field.number(0.0..=100.0));
        if let (Some(at), Some(percent)) = (at, percent) {
            let basis_points = (percent * 100.0).round() as u16;
            if let Some(last) = steps.last() {
                if at <= last.at {
                    step.fault("at", format!("{at} is not after the step before it: put steps in order of time"));
                }
                if basis_points < last.basis_points {
                    step.fault("percent", format!("{percent} is less than the step before it: a rollout only widens"));
                }
            }
            if from.is_some_and(|from| at < from) || until.is_some_and(|until| at >= until) {
                step.fault("at", format!("{at} lies outside the agreement's window"));
            }
            steps.push(Step { at, basis_points });
        } else {
            sound = false;
        }
        step.finish();
    }
    if entries.is_empty() {
        table.fault("steps", "has no step: nobody would ever be in");
        sound = false;
    }
    table.finish();
    Some(Rollout { by: by?, salt: salt?.into(), steps: sound.then_some(steps)? })
}

fn attribution(table: Table<'_>) -> Option<Attribution> {
    let window_days = match table.get("window_days") {
        Some(field) => field.integer(1..=180).map(|days| days as u16),
        None => Some(DEFAULT_WINDOW_DAYS),
    };
    let sampling = match table.get("sampling") {
        Some(field) => field.number(0.000_1..=1.0),
        None => Some(1.0),
    };
    let events = table.get("events").and_then(|field| field.list()).unwrap_or_default();
    let events = events.iter().filter_map(|field| field.text().map(Box::from)).collect();
    table.finish();
    Some(Attribution { window_days: window_days?, sampling: sampling?, events })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Agreement>, Vec<String>> {
        let (mut written, faults) = (Written::default(), Faults::default());
        written.read("x.yaml", text, &Vocabulary::default(), &faults);
        match faults.count() {
            0 => Ok(written.agreements),
            _ => Err(faults.into_sorted().iter().map(ToString::to_string).collect()),
        }
    }

    const RETURN: &str = "agreements:\n  - id: a-b\n    title: t\n    platform: xiaohongshu\n    marketplace: jd\n    \
                          effect: data_return\n    from: 2024-07-01\n";

    #[test]
    fn a_data_return_says_its_terms_and_nothing_of_a_jump() {
        let good = read(&format!("{RETURN}    attribution: {{window_days: 30, sampling: 0.5}}\n")).unwrap();
        assert_eq!(good[0].effect, Effect::DataReturn);
        let steps = "    landing: app\n    rollout: {by: creator, steps: [{at: 2024-07-01, percent: 100}]}\n";
        let faults = read(&format!("{RETURN}{steps}")).unwrap_err().join("\n");
        for part in [
            "x.yaml:8: agreements[0].landing: has no meaning in a data_return",
            "x.yaml:9: agreements[0].rollout: has no meaning in a data_return",
            "x.yaml:2: agreements[0]: a data_return needs `attribution`",
        ] {
            assert!(faults.contains(part), "{part:?} is missing in\n{faults}");
        }
    }

    #[test]
    fn a_default_allows_or_denies() {
        let faults = read("defaults: [{platform: kuaishou, marketplace: jd, outcome: data_return}]").unwrap_err();
        assert!(faults[0].contains("data_return") && faults[0].contains("allow"), "{faults:?}");
    }

    #[test]
    fn fifty_faults_are_fifty_faults() {
        let one = |n: usize| {
            format!(
                "  - {{id: a-{n}, title: t, platform: kuaishuo, marketplace: jd, effect: allow, from: 2022-01-01, \
                 until: 2021-01-01}}\n"
            )
        };
        let text: String = (0..25).map(one).collect();
        assert_eq!(read(&format!("agreements:\n{text}")).unwrap_err().len(), 50);
    }
}
