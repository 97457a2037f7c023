//! Which clicks count: documented rules, applied to what was recorded. Pure, so that a dispute can be settled by applying
//! other rules to the same facts.
//!
//! In the words of the Media Rating Council: *general* invalid traffic is told by the click itself (a declared bot, a
//! prefetch, a fetcher of previews, a data centre), and the edge has set a flag for each; *sophisticated* invalid traffic is told
//! only by looking at several clicks, which is done here, off the path of a click: doubles, too many clicks, creators who tap
//! their own links. No rule ever removes a click or changes what its visitor sees.
//!
//! Everything is judged within one Beijing day, because a visitor's hash lives no longer, and in the order of the log: the
//! same log gives the same marks, however it is read in pieces.

use std::collections::BTreeMap;

use super::touch::Marks;
use crate::domain::hop::HopFlags;
use crate::domain::time::Timestamp;

/// Microseconds of an hour.
const HOUR: i64 = 3_600_000_000;

/// What makes a click count or not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    /// A click with any of these flags is a machine's.
    pub exclude: HopFlags,
    /// A click of the same visitor on the same link, with the same outcome, so shortly after another is a duplicate; in
    /// microseconds, 0: none is.
    pub duplicate_within: i64,
    /// What a visitor clicks on one link beyond this many times in an hour is excessive; 0: nothing is.
    pub clicks_an_hour: u32,
    /// What a visitor clicks on further links beyond this many in a day is excessive. It also bounds what must be
    /// remembered of one visitor.
    pub links_a_day: u32,
    /// Whether a creator's clicks on links of its own are left out, as far as they were noticed.
    pub self_clicks: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            exclude: HopFlags::HEAD.with(HopFlags::BOT).with(HopFlags::PREFETCH).with(HopFlags::PREVIEW),
            duplicate_within: 30_000_000,
            clicks_an_hour: 60,
            links_a_day: 2_000,
            self_clicks: true,
        }
    }
}

/// What became of a click under rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Made while a gateway rehearsed another time: counted apart, as nothing else.
    Rehearsal,
    /// A machine's.
    Machine,
    /// A person's; it counts if nothing is marked.
    Person(Marks),
}

impl Verdict {
    /// Whether it is one click of a person.
    pub fn counts(self) -> bool {
        self == Verdict::Person(Marks::default())
    }

    /// The marks of it.
    pub fn marks(self) -> Marks {
        match self {
            Verdict::Person(marks) => marks,
            _ => Marks::default(),
        }
    }
}

/// A click, as the rules see it. Links are named by any number that is theirs alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Click {
    /// The link.
    pub link: i64,
    /// When.
    pub at: Timestamp,
    /// Whether it was let through.
    pub allowed: bool,
    /// What the edge saw.
    pub flags: HopFlags,
    /// Whether its visitor was seen before, that day, using a key of the link's creator.
    pub own: bool,
}

/// What must be remembered of one visitor and link for a day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tap {
    /// The latest click that was let through, in microseconds; `i64::MIN`: none.
    pub allowed_at: i64,
    /// The latest that was refused.
    pub refused_at: i64,
    /// The hour that is counted, from 1970.
    pub hour: i64,
    /// Clicks in it.
    pub clicks: u32,
}

/// What must be remembered of one visitor for a day: what was tapped, and where it was counted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct VisitorDay {
    /// By link.
    pub taps: BTreeMap<i64, Tap>,
    /// Views in which it was counted as a visitor, by number, in rising order.
    pub counted: Vec<i64>,
}

impl VisitorDay {
    /// Notes that the visitor was counted in a view; whether that is new.
    pub fn count_in(&mut self, view: i64) -> bool {
        match self.counted.binary_search(&view) {
            Ok(_) => false,
            Err(place) => {
                self.counted.insert(place, view);
                true
            }
        }
    }
}

impl Rules {
    /// Whether a click with these flags and marks counts as one of a person.
    pub fn count(&self, flags: HopFlags, marks: Marks) -> bool {
        !self.is_machine(flags) && !flags.has(HopFlags::REHEARSAL) && marks == Marks::default()
    }

    fn is_machine(&self, flags: HopFlags) -> bool {
        flags.0 & self.exclude.0 != 0
    }

    /// Judges the next click of the log. `day` is what is remembered of its visitor on its day; `None` when the visitor is
    /// not known.
    pub fn judge(&self, day: Option<&mut VisitorDay>, click: &Click) -> Verdict {
        if click.flags.has(HopFlags::REHEARSAL) {
            return Verdict::Rehearsal;
        }
        if self.is_machine(click.flags) {
            return Verdict::Machine;
        }
        let Some(day) = day else { return Verdict::Person(Marks::default()) };
        let mut marks = if self.self_clicks && click.own { Marks::SELF_CLICK } else { Marks::default() };
        let known = day.taps.len();
        let at = click.at.micros();
        let hour = at.div_euclid(HOUR);
        let tap = match day.taps.entry(click.link) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(_) if known >= self.links_a_day as usize => {
                return Verdict::Person(marks.with(Marks::EXCESSIVE));
            }
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(Tap { allowed_at: i64::MIN, refused_at: i64::MIN, hour, clicks: 0 })
            }
        };
        if hour > tap.hour {
            (tap.hour, tap.clicks) = (hour, 0);
        }
        tap.clicks = tap.clicks.saturating_add(1);
        if self.clicks_an_hour > 0 && tap.clicks > self.clicks_an_hour {
            marks = marks.with(Marks::EXCESSIVE);
        }
        // Sorts apart: a refusal does not make the redirect behind it a double, which would cost its creator the order.
        let last = if click.allowed { &mut tap.allowed_at } else { &mut tap.refused_at };
        if *last != i64::MIN && at.saturating_sub(*last).saturating_abs() < self.duplicate_within {
            marks = marks.with(Marks::DUPLICATE);
        }
        *last = at.max(*last);
        Verdict::Person(marks)
    }

    /// The rules as one line of text: two are equal exactly if these are.
    pub fn canonical(&self) -> String {
        let flags: Vec<&str> = self.exclude.names().collect();
        format!(
            "validity-1 exclude={} duplicate_within_us={} clicks_an_hour={} links_a_day={} self_clicks={}",
            flags.join(","),
            self.duplicate_within,
            self.clicks_an_hour,
            self.links_a_day,
            self.self_clicks
        )
    }

    /// Reads what [`Rules::canonical`] wrote; `None`: a newer build did, or nobody.
    pub fn of_canonical(text: &str) -> Option<Rules> {
        let mut rules = Rules::default();
        let mut parts = text.strip_prefix("validity-1 ")?.split(' ');
        let mut next = |name: &str| parts.next()?.strip_prefix(name)?.strip_prefix('=');
        rules.exclude = HopFlags::default();
        for name in next("exclude")?.split(',').filter(|name| !name.is_empty()) {
            rules.exclude = rules.exclude.with(HopFlags::named(name)?);
        }
        rules.duplicate_within = next("duplicate_within_us")?.parse().ok()?;
        rules.clicks_an_hour = next("clicks_an_hour")?.parse().ok()?;
        rules.links_a_day = next("links_a_day")?.parse().ok()?;
        rules.self_clicks = next("self_clicks")?.parse().ok()?;
        (rules.canonical() == text).then_some(rules)
    }

    /// What names these rules in reports: 16 hex digits made of their content.
    pub fn version(&self) -> String {
        let mut hash = siphasher::sip::SipHasher24::new_with_key(b"hopgate-validity");
        std::hash::Hasher::write(&mut hash, self.canonical().as_bytes());
        format!("{:016x}", std::hash::Hasher::finish(&hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn click(link: i64, seconds: i64) -> Click {
        let at = Timestamp::from_millis(1_669_824_000_000 + seconds * 1_000);
        Click { link, at, allowed: true, flags: HopFlags::default(), own: false }
    }

    #[test]
    fn doubles_are_of_one_visitor_link_and_outcome() {
        let rules = Rules::default();
        let mut day = VisitorDay::default();
        let mut judge = |click: Click| rules.judge(Some(&mut day), &click);
        assert!(judge(click(1, 0)).counts());
        assert_eq!(judge(click(1, 29)).marks(), Marks::DUPLICATE);
        assert_eq!(judge(click(1, 58)).marks(), Marks::DUPLICATE, "since the last click, counted or not");
        assert!(judge(click(1, 88)).counts(), "half-open");
        assert!(judge(click(2, 88)).counts(), "another link");
        assert!(judge(Click { allowed: false, ..click(1, 89) }).counts(), "another outcome");
        assert_eq!(judge(click(1, 87)).marks(), Marks::DUPLICATE, "the log is not quite in order of time");
        assert_eq!(judge(Click { flags: HopFlags::HEAD, ..click(3, 0) }), Verdict::Machine);
        assert!(judge(click(3, 1)).counts(), "a machine's look before is no click");
        assert!(rules.judge(None, &click(3, 1)).counts(), "nobody knows the visitor");
    }

    #[test]
    fn too_much_is_excessive_and_what_is_remembered_is_bounded() {
        let rules = Rules { clicks_an_hour: 2, links_a_day: 3, duplicate_within: 0, ..Rules::default() };
        let mut day = VisitorDay::default();
        let marks: Vec<_> = (0..4).map(|n| rules.judge(Some(&mut day), &click(1, n)).marks()).collect();
        assert_eq!(marks, [Marks::default(), Marks::default(), Marks::EXCESSIVE, Marks::EXCESSIVE]);
        assert!(rules.judge(Some(&mut day), &click(1, 3_600)).counts(), "another hour");
        for link in 2..100 {
            assert_eq!(rules.judge(Some(&mut day), &click(link, 0)).counts(), link <= 3);
        }
        assert_eq!(day.taps.len(), 3);
    }

    #[test]
    fn own_clicks_machines_and_rehearsals_are_told_apart() {
        let rules = Rules::default();
        let own = Click { own: true, ..click(1, 0) };
        assert_eq!(rules.judge(Some(&mut VisitorDay::default()), &own).marks(), Marks::SELF_CLICK);
        let lenient = Rules { self_clicks: false, ..Rules::default() };
        assert!(lenient.judge(Some(&mut VisitorDay::default()), &own).counts());
        let rehearsed = Click { flags: HopFlags::REHEARSAL.with(HopFlags::BOT), ..own };
        assert_eq!(rules.judge(None, &rehearsed), Verdict::Rehearsal);
        let vpn = Click { flags: HopFlags::DATACENTER, ..click(1, 0) };
        assert!(rules.judge(None, &vpn).counts(), "people come through VPNs");
        let strict = Rules { exclude: Rules::default().exclude.with(HopFlags::DATACENTER), ..Rules::default() };
        assert_eq!(strict.judge(None, &vpn), Verdict::Machine);
        assert!(
            strict.count(HopFlags::default(), Marks::default())
                && !strict.count(HopFlags::DATACENTER, Marks::default())
        );
        assert!(!rules.count(HopFlags::default(), Marks::DUPLICATE));
    }

    #[test]
    fn a_version_names_the_content() {
        let (one, same) = (Rules::default(), Rules::default());
        assert_eq!(one.version(), same.version());
        assert_eq!(one.version().len(), 16);
        assert_eq!(Rules::of_canonical(&one.canonical()), Some(one.clone()));
        let none = Rules { exclude: HopFlags::default(), ..one.clone() };
        assert_eq!(Rules::of_canonical(&none.canonical()), Some(none));
        assert_eq!(Rules::of_canonical(&one.canonical().replace("validity-1", "validity-2")), None);
        let mut versions: Vec<_> = [
            one.clone(),
            Rules { duplicate_within: 10, ..one.clone() },
            Rules { clicks_an_hour: 61, ..one.clone() },
            Rules { links_a_day: 61, ..one.clone() },
            Rules { self_clicks: false, ..one.clone() },
            Rules { exclude: HopFlags::BOT, ..one },
        ]
        .iter()
        .map(Rules::version)
        .collect();
        versions.sort();
        versions.dedup();
        assert_eq!(versions.len(), 6);
    }
}
