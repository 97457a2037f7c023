//! What an ad platform writes into the parameters of a click, in one vocabulary. Each platform names the same things its
//! own way; a table says how. What was not replaced, is empty or stands for nothing counts as absent, and device ids,
//! addresses and User-Agents are passed over: they never reach a hop.

use std::borrow::Cow;

use super::hop::MOST_MACROS;
use super::percent::{encode_byte, nibble, unreserved};
use super::vocabulary::{PlatformId, closed_list};

closed_list! {
    /// What a parameter says. Declared in the order of their names, in which a hop has them.
    MacroField {
        /// The advertiser's account.
        Account = "account",
        /// What a postback must bring along.
        Callback = "callback",
        /// The campaign, plan or project.
        Campaign = "campaign",
        /// The platform's id of the click.
        ClickId = "click_id",
        /// The creative.
        Creative = "creative",
        /// The note or video the click came from.
        Note = "note",
        /// The operating system as the platform saw it: `android`, `ios` or `other`.
        Os = "os",
        /// The ad placement.
        Placement = "placement",
        /// The platform's id of the request the ad answered.
        RequestId = "request_id",
        /// When the platform saw the click, Unix milliseconds.
        Ts = "ts",
        /// The unit, group or promotion.
        Unit = "unit",
    }
}

/// In this order fields are given room, so that what identifies a click is not crowded out by what describes it.
const BY_WEIGHT: [MacroField; 11] = [
    MacroField::ClickId,
    MacroField::RequestId,
    MacroField::Note,
    MacroField::Account,
    MacroField::Campaign,
    MacroField::Unit,
    MacroField::Creative,
    MacroField::Ts,
    MacroField::Os,
    MacroField::Placement,
    MacroField::Callback,
];

closed_list! {
    /// What a platform counts its times in.
    TimeUnit {
        /// Milliseconds.
        Millis = "ms",
        /// Seconds.
        Seconds = "s",
    }
}

/// How one platform names things.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MacroRule {
    /// The platform; `None` for names that mean the same everywhere.
    pub platform: Option<PlatformId>,
    /// Parameter names in lower case, and what they say.
    pub names: Vec<(String, MacroField)>,
    /// What the platform writes for operating systems, and what that is: `android`, `ios` or `other`.
    pub systems: Vec<(String, &'static str)>,
    /// The unit of its times.
    pub unit: TimeUnit,
}

/// How every platform names things.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct MacroTable {
    rules: Vec<MacroRule>,
    /// Names of device ids, addresses and their like, sorted: never recorded, whatever a rule says.
    personal: Vec<String>,
}

/// The most of a value that is recorded, in bytes as recorded. A callback is recorded whole or not at all: cut, it would say
/// nothing to the platform it is brought back to.
const MOST_VALUE: usize = 200;

/// The most of a field's value that is recorded.
fn most(field: MacroField) -> usize {
    if field == MacroField::Callback { MOST_MACROS } else { MOST_VALUE }
}

/// Times between 2015 and 2100 are believed.
const BELIEVED: std::ops::Range<u64> = 1_420_041_600_000..4_102_416_000_000;

impl MacroTable {
    /// A table of rules; `personal` names are never recorded.
    pub fn new(rules: Vec<MacroRule>, mut personal: Vec<String>) -> Self {
        personal.sort();
        personal.dedup();
        MacroTable { rules, personal }
    }

    /// Whether a parameter of this name holds a device id, an address or a User-Agent.
    pub fn is_personal(&self, name: &str) -> bool {
        let lower = || name.bytes().map(|byte| byte.to_ascii_lowercase());
        self.personal.binary_search_by(|known| known.bytes().cmp(lower())).is_ok()
    }

    /// What a query says under these names, values decoded; what stands for nothing is left out.
    pub fn personal(&self, query: &str) -> Vec<(String, String)> {
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .filter(|(name, value)| self.is_personal(name) && !is_absent(&decoded(value)))
            .map(|(name, value)| (name.to_ascii_lowercase(), String::from_utf8_lossy(&decoded(value)).into_owned()))
            .collect()
    }

    fn field(&self, platform: Option<PlatformId>, name: &str) -> Option<(MacroField, &MacroRule)> {
        let of = |wanted: Option<PlatformId>| {
            self.rules.iter().filter(move |rule| rule.platform == wanted).find_map(|rule| {
                let found = rule.names.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
                found.map(|(_, field)| (*field, rule))
            })
        };
        platform.and_then(|platform| of(Some(platform))).or_else(|| of(None))
    }

    /// Writes what the query of a click at `platform` says to `out`, in the form of [`Hop::macros`](super::hop::Hop):
    /// `name=value` joined by `&`, sorted by name, percent-encoded, at most [`MOST_MACROS`] bytes. A value that is cut
    /// ends in `*`, which stands for itself nowhere else. `note` is what a signed token said, over the query's word.
    pub fn normalise(&self, platform: Option<PlatformId>, query: &str, note: &str, out: &mut String) {
        out.clear();
        let mut found: [Option<(&str, Option<&MacroRule>)>; MacroField::ALL.len()] = Default::default();
        for pair in query.split('&') {
            let Some((name, value)) = pair.split_once('=') else { continue };
            if value.is_empty() {
                continue;
            }
            if let Some((field, rule)) = self.field(platform, name)
                && let Some(place) = found.get_mut(field as usize)
                && place.is_none()
                && !is_absent(&decoded(value))
                && !self.is_personal(name)
            {
                *place = Some((value, Some(rule)));
            }
        }
        if !note.is_empty() {
            found[MacroField::Note as usize] = Some((note, None));
        }
        let mut kept: [Option<Cow<'_, [u8]>>; MacroField::ALL.len()] = Default::default();
        let mut room = MOST_MACROS;
        for field in BY_WEIGHT {
            let Some((value, rule)) = found[field as usize] else { continue };
            let Some(value) = meaning(field, value, rule) else { continue };
            // Two for the `=` and the `&` between.
            let (whole, long) = shown(&value, most(field));
            let length = field.as_str().len() + 2 + long;
            let useless = field == MacroField::Callback && whole < value.len();
            if length <= room && !useless {
                room -= length;
                kept[field as usize] = Some(value);
            }
        }
        for (field, value) in MacroField::ALL.iter().zip(&kept) {
            let Some(value) = value else { continue };
            if !out.is_empty() {
                out.push('&');
            }
            out.push_str(field.as_str());
            out.push('=');
            let (whole, _) = shown(value, most(*field));
            value.iter().take(whole).for_each(|byte| encode_byte(*byte, out));
            if whole < value.len() {
                out.push('*');
            }
        }
    }
}

/// The value a field is recorded with; `None` where it says nothing.
fn meaning<'v>(field: MacroField, value: &'v str, rule: Option<&MacroRule>) -> Option<Cow<'v, [u8]>> {
    let value = decoded(value);
    let Some(rule) = rule else { return Some(value) };
    match field {
        MacroField::Os => {
            let (_, name) = rule.systems.iter().find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(&value))?;
            Some(Cow::Borrowed(name.as_bytes()))
        }
        MacroField::Ts => {
            let digits =
                std::str::from_utf8(&value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
            let number: u64 = digits.parse().ok()?;
            let millis = match rule.unit {
                TimeUnit::Millis => number,
                TimeUnit::Seconds => number.checked_mul(1_000)?,
            };
            let plain = rule.unit == TimeUnit::Millis;
            BELIEVED.contains(&millis).then(|| if plain { value } else { Cow::Owned(millis.to_string().into_bytes()) })
        }
        _ => Some(value),
    }
}

/// How many bytes of a value are recorded, and how long that is as recorded, the mark of a cut included.
fn shown(value: &[u8], most: usize) -> (usize, usize) {
    let width = |byte: &u8| if unreserved(*byte) { 1 } else { 3 };
    let whole: usize = value.iter().map(width).sum();
    if whole <= most {
        return (value.len(), whole);
    }
    let mut long = 0;
    let fits = value.iter().take_while(|byte| {
        let fits = long + width(byte) < most;
        long += if fits { width(byte) } else { 0 };
        fits
    });
    (fits.count(), long + 1)
}

/// A query value decoded once; what is no escape stands for itself.
fn decoded(value: &str) -> Cow<'_, [u8]> {
    let bytes = value.as_bytes();
    if !bytes.contains(&b'%') && !bytes.contains(&b'+') {
        return Cow::Borrowed(bytes);
    }
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'%', [high, low, behind @ ..]) if nibble(*high).is_some() && nibble(*low).is_some() => {
                plain.push(nibble(*high).unwrap_or(0) << 4 | nibble(*low).unwrap_or(0));
                rest = behind;
            }
            (b'+', _) => plain.push(b' '),
            _ => plain.push(*first),
        }
    }
    Cow::Owned(plain)
}

/// What a hop's parameters say of a field: decoded, and `None` where it is not there, was cut or is no text.
pub fn said(macros: &str, field: MacroField) -> Option<String> {
    let mut pairs = macros.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, _)| *name == field.as_str())?;
    if value.ends_with('*') {
        return None;
    }
    String::from_utf8(decoded(value).into_owned()).ok().filter(|text| !text.is_empty())
}

/// Whether a value stands for nothing: empty, a macro that was not replaced (`__OAID__`, `{oaid}`, `${oaid}`), only zeros,
/// `null` and its like, or the address every Android reports where it reports none (`02:00:00:00:00:00`).
pub fn is_absent(value: &[u8]) -> bool {
    let value = value.trim_ascii();
    let between = |open: &[u8], close: &[u8]| value.len() > 2 && value.starts_with(open) && value.ends_with(close);
    let words: [&[u8]; 9] =
        [b"null", b"nil", b"none", b"undefined", b"nan", b"unknown", b"(null)", b"na", b"02:00:00:00:00:00"];
    value.is_empty()
        || between(b"__", b"__")
        || between(b"{", b"}")
        || between(b"${", b"}")
        || between(b"%%", b"%%")
        || words.iter().any(|word| value.eq_ignore_ascii_case(word))
        || value.eq_ignore_ascii_case(b"020000000000")
        || (value.len() > 1 && value.iter().all(|byte| matches!(byte, b'0' | b'-' | b':')))
        || value == b"-"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> MacroTable {
        let name = |name: &str, field| (name.to_owned(), field);
        let rule = |platform, names: Vec<(String, MacroField)>, systems: [(&str, &'static str); 2], unit| MacroRule {
            platform,
            names,
            systems: systems.map(|(value, os)| (value.to_owned(), os)).to_vec(),
            unit,
        };
        MacroTable::new(
            vec![
                rule(
                    Some(PlatformId(2)),
                    vec![
                        name("advertiser_id", MacroField::Account),
                        name("cid", MacroField::Creative),
                        name("oaid", MacroField::Unit),
                        name("callback_param", MacroField::Callback),
                        name("request_id", MacroField::RequestId),
                        name("ts", MacroField::Ts),
                        name("os", MacroField::Os),
                    ],
                    [("0", "android"), ("1", "ios")],
                    TimeUnit::Millis,
                ),
                rule(
                    Some(PlatformId(3)),
                    vec![name("ts", MacroField::Ts), name("os", MacroField::Os)],
                    [("2", "android"), ("1", "ios")],
                    TimeUnit::Seconds,
                ),
                rule(
                    None,
                    vec![name("gdt_vid", MacroField::ClickId)],
                    [("x", "other"), ("y", "other")],
                    TimeUnit::Millis,
                ),
            ],
            vec!["oaid".to_owned()],
        )
    }

    fn normal(platform: u8, query: &str) -> String {
        let mut out = "left over".to_owned();
        table().normalise(Some(PlatformId(platform)), query, "", &mut out);
        out
    }

    #[test]
    fn what_was_not_replaced_is_absent() {
        for value in [
            "__OAID__",
            "",
            "00000000-0000-0000-0000-000000000000",
            "0000000000000000",
            "null",
            "NULL",
            "undefined",
            "02:00:00:00:00:00",
            "020000000000",
            "{click}",
            "${click}",
            " ",
        ] {
            assert!(is_absent(value.as_bytes()), "{value}");
        }
        for value in ["0", "1", "__x", "1fe9a970-efbb-29e0-0bdd-f5dbbf751ab5", "000001", "atest123"] {
            assert!(!is_absent(value.as_bytes()), "{value}");
        }
        assert_eq!(normal(2, "cid=__CID__&request_id=&callback_param=null&ts=__TS__&os=%5F%5FOS%5F%5F"), "");
    }

    #[test]
    fn the_platform_gives_numbers_their_meaning() {
        assert_eq!(normal(2, "os=0&ts=1668441600123"), "os=android&ts=1668441600123");
        assert_eq!(normal(2, "os=1"), "os=ios");
        assert_eq!(normal(3, "os=1&ts=1668441600"), "os=ios&ts=1668441600000");
        assert_eq!(normal(3, "os=2"), "os=android");
        assert_eq!(normal(3, "os=0&ts=1668441600123"), "", "neither is one of this platform's");
        assert_eq!(normal(9, "gdt_vid=wx0abc&cid=7"), "click_id=wx0abc");
    }

    #[test]
    fn device_ids_are_passed_over_and_the_rest_is_sorted_and_escaped() {
        let query =
            "oaid=1fe9a970-efbb-29e0-0bdd-f5dbbf751ab5&request_id=r%201%26x&ADVERTISER_ID=42&other=1&cid=%E4%B8%AD";
        assert_eq!(normal(2, query), "account=42&creative=%E4%B8%AD&request_id=r%201%26x");
        assert_eq!(normal(2, "cid=1&cid=2"), "creative=1", "the first counts");
        let said = |field| said(&normal(2, query), field);
        assert_eq!(said(MacroField::RequestId).as_deref(), Some("r 1&x"));
        assert_eq!((said(MacroField::Creative).as_deref(), said(MacroField::Callback)), (Some("中"), None));
    }

    #[test]
    fn long_values_are_cut_and_the_whole_is_bounded() {
        let long = "a".repeat(300);
        let cut = normal(2, &format!("cid={long}"));
        assert_eq!(cut.len(), "creative=".len() + 200);
        assert!(cut.ends_with("a*"));
        assert_eq!(said(&cut, MacroField::Creative), None, "a part is no value");
        let whole = normal(2, &format!("callback_param={long}&cid=1"));
        assert_eq!(said(&whole, MacroField::Callback), Some(long.clone()), "a callback is whole");
        assert_eq!(normal(2, &format!("callback_param={}&cid=1", "a".repeat(600))), "creative=1", "or not there");
        let all = normal(
            2,
            &format!("callback_param={long}&cid={long}&request_id={long}&advertiser_id={long}&ts=1668441600123"),
        );
        assert!(all.len() <= MOST_MACROS, "{}", all.len());
        assert!(all.contains("request_id=aaa") && all.contains("account=aaa") && all.contains("ts=1668441600123"));
        assert!(!all.contains("callback="), "{all}");
        let escaped = normal(2, &format!("cid={}", "%E4".repeat(100)));
        assert!(escaped.ends_with("*") && escaped.len() <= "creative=".len() + 200, "{escaped}");
    }

    #[test]
    fn a_signed_note_is_over_the_querys_word() {
        let mut out = String::new();
        table().normalise(None, "note=x", "n1", &mut out);
        assert_eq!(out, "note=n1");
    }

    #[test]
    fn fields_are_declared_in_the_order_of_their_names() {
        assert!(MacroField::names().is_sorted());
        let mut weighed = BY_WEIGHT;
        weighed.sort();
        assert_eq!(weighed, *MacroField::ALL);
    }
}
