//! Settings of attribution: which clicks count, and how long what it needs is kept. Reads and checks what is written; never
//! judges a click.

use super::tree::{Fault, Faults, Field, Table, from_toml};
use crate::domain::attribution::validity::Rules;
use crate::domain::hop::HopFlags;
use crate::domain::span::Span;
use crate::domain::time::DAY;

/// How clicks are looked up and counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AttributionSettings {
    /// Whether the gateway itself counts what it records; else `hopgate stats follow` has to.
    pub follow: bool,
    /// How long clicks are kept for orders to find them.
    pub keep_touches: Span,
    /// How long what each visitor of a day tapped is remembered, for visitors and doubles to be told.
    pub keep_visitors: Span,
    /// Which clicks count.
    pub validity: Rules,
}

impl Default for AttributionSettings {
    fn default() -> Self {
        AttributionSettings {
            follow: true,
            keep_touches: Span::days(100),
            keep_visitors: Span::days(3),
            validity: Rules::default(),
        }
    }
}

/// Reads `[attribution]`.
pub(super) fn read(table: &Table<'_>) -> AttributionSettings {
    let mut settings = AttributionSettings::default();
    if let Some(follow) = table.get("follow").and_then(|field| field.boolean()) {
        settings.follow = follow;
    }
    for (key, least, target) in
        [("keep_touches", 1, &mut settings.keep_touches), ("keep_visitors", 2, &mut settings.keep_visitors)]
    {
        if let Some(field) = table.get(key)
            && let Some(span) = field.parse(|text| text.parse::<Span>())
        {
            if span < Span::days(least) {
                field.fault(format!("is under {least}d: days are kept whole, the present one among them"));
            }
            *target = span;
        }
    }
    if let Some(table) = table.get("validity").and_then(|field| field.table()) {
        settings.validity = rules(&table);
        table.finish();
    }
    settings
}

/// Reads a file of other rules, to see the same clicks under them: the keys of `[attribution.validity]`, what is left out
/// being as usual.
///
/// # Errors
/// Every fault, with its line.
pub fn read_rules(name: &str, text: &str) -> Result<Rules, Vec<Fault>> {
    let faults = Faults::default();
    let read = from_toml(name, text, &faults).and_then(|node| {
        let table = Table::root(name, &node, &faults)?;
        let rules = rules(&table);
        table.finish();
        Some(rules)
    });
    let faults = faults.into_sorted();
    read.filter(|_| faults.is_empty()).ok_or(faults)
}

fn rules(table: &Table<'_>) -> Rules {
    let mut rules = Rules::default();
    if let Some(fields) = table.get("exclude").and_then(|field| field.list()) {
        let known: Vec<&str> = HopFlags::NAMES.into_iter().filter(|name| *name != "rehearsal").collect();
        rules.exclude = HopFlags::default();
        for field in fields {
            let flag = |name: &str| HopFlags::named(name).filter(|_| known.contains(&name));
            if let Some(flag) = field.one_of(flag, &known) {
                rules.exclude = rules.exclude.with(flag);
            }
        }
    }
    if let Some(field) = table.get("duplicate_within")
        && let Some(micros) = within(&field)
    {
        rules.duplicate_within = micros;
    }
    for (key, least, target) in
        [("clicks_an_hour", 0, &mut rules.clicks_an_hour), ("links_a_day", 1, &mut rules.links_a_day)]
    {
        if let Some(number) = table.get(key).and_then(|field| field.integer(least..=100_000)) {
            *target = number as u32;
        }
    }
    if let Some(counted) = table.get("self_clicks").and_then(|field| field.boolean()) {
        rules.self_clicks = counted;
    }
    rules
}

/// Up to a day, in microseconds; `0s` for never.
fn within(field: &Field<'_>) -> Option<i64> {
    let text = field.text()?;
    if text.trim() == "0s" {
        return Some(0);
    }
    let span = field.parse(|text| text.parse::<Span>())?;
    let micros = span.seconds() * 1_000_000;
    if micros > DAY {
        field.fault("is over a day: a visitor is known for one day only");
        return None;
    }
    Some(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_whole_with_every_fault() {
        assert_eq!(read_rules("r.toml", ""), Ok(Rules::default()));
        let rules = read_rules(
            "r.toml",
            "exclude = [\"bot\", \"datacenter\"]\nduplicate_within = \"10s\"\nclicks_an_hour = 0\nlinks_a_day = 9\n\
             self_clicks = false\n",
        );
        let expected = Rules {
            exclude: HopFlags::BOT.with(HopFlags::DATACENTER),
            duplicate_within: 10_000_000,
            clicks_an_hour: 0,
            links_a_day: 9,
            self_clicks: false,
        };
        assert_eq!(rules, Ok(expected));
        assert_eq!(read_rules("r.toml", "duplicate_within = \"0s\"").map(|rules| rules.duplicate_within), Ok(0));
        let faults = read_rules(
            "r.toml",
            "exclude = [\"robots\", \"rehearsal\"]\nduplicate_within = \"2d\"\nclicks_an_hour = -1\nlinks_a_day = 0\n\
             self_click = true\n",
        )
        .unwrap_err();
        let told: Vec<_> = faults.iter().map(|fault| (fault.line, fault.field.as_str())).collect();
        let expected = [
            (1, "exclude[0]"),
            (1, "exclude[1]"),
            (2, "duplicate_within"),
            (3, "clicks_an_hour"),
            (4, "links_a_day"),
            (5, "self_click"),
        ];
        assert_eq!(told, expected);
        assert!(faults[5].problem.contains("did you mean `self_clicks`?"), "{}", faults[5]);
    }
}
