//! The body of a hop frame: a fixed little-endian part, then ten texts, each with its length in one byte. That is schema
//! 1, and what is written for every click whose first landing decided it. Schema 2 adds which landing was taken and, to
//! the end of the body, those that fell before it (`domain::tried`). Schema 3 has two more between those: how the visitor
//! was sent on, where that was not by a plain redirect, and the click's own parameters.
//!
//! A body is self-contained: it can be read without the node's configuration or any table of names. Values of closed
//! lists are stored by declaration order, so those lists may only grow at their ends. Never checks sums, never numbers
//! records: that is the frame's work (`segment.rs`).

use crate::domain::click_id::ClickId;
use crate::domain::device::{HostApp, Os};
use crate::domain::hop::{Hop, HopFlags, MOST_MACROS, Outcome, PlacementSource};
use crate::domain::landing::Way;
use crate::domain::policy::Reason;
use crate::domain::time::Timestamp;
use crate::domain::tried::{BadTried, MAIN, MOST_BYTES, Tried, short};
use crate::domain::vocabulary::{LandingMode, LinkKind, ShopType, Surface};

/// The newest schema this build reads.
pub const SCHEMA: u8 = 3;
/// The schema without a tail.
const PLAIN: u8 = 1;
/// The schema that knows of alternates only.
const ALTERNATES: u8 = 2;

/// Bytes before the texts.
const FIXED: usize = 69;
/// Texts of a hop.
const TEXTS: usize = 10;
/// The longest a body without a tail can be.
const MAX_PLAIN: usize = FIXED + TEXTS * 256;
/// The longest a body can be, in bytes.
pub const MAX_BODY: usize = MAX_PLAIN + TAIL + MOST_MACROS + MOST_BYTES;
/// Landing taken, way, length of the parameters.
const TAIL: usize = 4;
/// "None" where a byte holds an optional value of a closed list.
const NO_BYTE: u8 = u8::MAX;
/// "None" for the rollout bucket.
const NO_BUCKET: u16 = u16::MAX;
/// Rollout buckets run from 0 to one less.
const BUCKETS: u16 = 10_000;

/// Why a body is not a hop this build can read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WireError {
    /// Written by a newer build.
    #[error("the record has schema {0}, this build reads up to {SCHEMA}: use a newer hopgate")]
    NewerSchema(u8),
    /// It ends inside a field.
    #[error("the record ends inside `{0}`")]
    Short(&'static str),
    /// Bytes are left over.
    #[error("{0} bytes too many after the record")]
    Trailing(usize),
    /// A value this build has no name for.
    #[error("`{field}` has the unknown value {value}")]
    OutOfRange {
        /// The field.
        field: &'static str,
        /// What is stored.
        value: u16,
    },
    /// A text that is not UTF-8.
    #[error("`{0}` is not UTF-8")]
    NotText(&'static str),
}

impl From<BadTried> for WireError {
    fn from(bad: BadTried) -> Self {
        match bad {
            BadTried::Short(field) => WireError::Short(field),
            BadTried::NotText(field) => WireError::NotText(field),
            BadTried::OutOfRange(field, value) => WireError::OutOfRange { field, value },
        }
    }
}

/// Bytes of texts that are gathered before they are appended; any one text fits.
const GATHERED: usize = 512;

/// The schema a hop is written in: the oldest that can hold it.
pub fn schema_of(hop: &Hop<'_>) -> u8 {
    if hop.way != usual_way(hop.outcome) || !hop.macros.is_empty() {
        SCHEMA
    } else if hop.alternate == MAIN && hop.tried.is_empty() {
        PLAIN
    } else {
        ALTERNATES
    }
}

/// The way of a hop whose record does not name it.
fn usual_way(outcome: Outcome) -> Option<Way> {
    match outcome {
        Outcome::Allow => Some(Way::Redirect),
        Outcome::Deny => None,
    }
}

/// Bytes the body of `hop` has at most.
pub(super) fn most(hop: &Hop<'_>) -> usize {
    MAX_PLAIN + TAIL + hop.macros.len().min(MOST_MACROS) + hop.tried.as_bytes().len()
}

/// Appends the body of `hop`, in the schema [`schema_of`] says, to `out`, without any allocation but the growth of `out`.
///
/// A text over 255 bytes is cut ([`short`]), parameters over [`MOST_MACROS`] are left out. A bucket outside 0 to 9,999 is stored as none.
pub fn encode(hop: &Hop<'_>, out: &mut Vec<u8>) {
    let mut fixed = [0; FIXED];
    fixed[0..16].copy_from_slice(&hop.id.0);
    fixed[16..24].copy_from_slice(&hop.at.micros().to_le_bytes());
    fixed[24..32].copy_from_slice(&hop.policy_version.to_le_bytes());
    fixed[32..48].copy_from_slice(&hop.visitor.to_le_bytes());
    fixed[48..56].copy_from_slice(&hop.address);
    fixed[56..58].copy_from_slice(&hop.flags.0.to_le_bytes());
    let bucket = hop.bucket.filter(|bucket| *bucket < BUCKETS).unwrap_or(NO_BUCKET);
    fixed[58..60].copy_from_slice(&bucket.to_le_bytes());
    fixed[60] = hop.surface.map_or(NO_BYTE, |surface| surface as u8);
    fixed[61] = hop.placement_source as u8;
    fixed[62] = hop.shop_type as u8;
    fixed[63] = hop.link_kind as u8;
    fixed[64] = hop.outcome as u8;
    fixed[65] = hop.reason as u8;
    fixed[66] = hop.landing.map_or(NO_BYTE, |landing| landing as u8);
    fixed[67] = hop.app as u8;
    fixed[68] = hop.os as u8;
    out.extend_from_slice(&fixed);
    // Gathered first: one growth and one copy instead of twenty.
    let mut gathered = [0; GATHERED];
    let mut end = 0;
    for text in texts(hop) {
        let text = short(text);
        let len = text.len();
        if end + 1 + len > GATHERED {
            out.extend_from_slice(&gathered[..end]);
            end = 0;
        }
        gathered[end] = len as u8;
        gathered[end + 1..end + 1 + len].copy_from_slice(text.as_bytes());
        end += 1 + len;
    }
    out.extend_from_slice(&gathered[..end]);
    let schema = schema_of(hop);
    if schema == PLAIN {
        return;
    }
    out.push(hop.alternate);
    if schema > ALTERNATES {
        let macros = if hop.macros.len() <= MOST_MACROS { hop.macros } else { "" };
        out.push(hop.way.map_or(NO_BYTE, |way| way as u8));
        out.extend_from_slice(&(macros.len() as u16).to_le_bytes());
        out.extend_from_slice(macros.as_bytes());
    }
    out.extend_from_slice(hop.tried.as_bytes());
}

/// The texts in the order they are stored.
fn texts<'a>(hop: &Hop<'a>) -> [&'a str; TEXTS] {
    [
        hop.code,
        hop.creator,
        hop.platform,
        hop.marketplace,
        hop.category,
        hop.item,
        hop.shop,
        hop.facts,
        hop.agreement,
        hop.node,
    ]
}

/// Reads a body of the given schema; texts are borrowed from it.
///
/// # Errors
/// [`WireError`]; never a hop that differs from the one encoded.
pub fn decode(schema: u8, body: &[u8]) -> Result<Hop<'_>, WireError> {
    if schema > SCHEMA {
        return Err(WireError::NewerSchema(schema));
    }
    if schema == 0 {
        return Err(WireError::OutOfRange { field: "schema", value: 0 });
    }
    let (fixed, mut rest) = body.split_first_chunk::<FIXED>().ok_or(WireError::Short("the fixed part"))?;
    let mut text = |field| -> Result<&str, WireError> {
        let (len, after) = rest.split_first().ok_or(WireError::Short(field))?;
        let (text, after) = after.split_at_checked(usize::from(*len)).ok_or(WireError::Short(field))?;
        rest = after;
        std::str::from_utf8(text).map_err(|_| WireError::NotText(field))
    };
    let bucket = match u16::from_le_bytes(at(fixed, 58)) {
        NO_BUCKET => None,
        bucket if bucket < BUCKETS => Some(bucket),
        value => return Err(WireError::OutOfRange { field: "bucket", value }),
    };
    // Struct fields are evaluated in the order written here: the texts must stand in their stored order.
    let mut hop = Hop {
        id: ClickId(at(fixed, 0)),
        at: Timestamp::from_micros(i64::from_le_bytes(at(fixed, 16))),
        policy_version: u64::from_le_bytes(at(fixed, 24)),
        visitor: u128::from_le_bytes(at(fixed, 32)),
        address: at(fixed, 48),
        flags: HopFlags(u16::from_le_bytes(at(fixed, 56))),
        bucket,
        surface: maybe(Surface::ALL, fixed[60], "surface")?,
        placement_source: one_of(PlacementSource::ALL, fixed[61], "placement_source")?,
        shop_type: one_of(ShopType::ALL, fixed[62], "shop_type")?,
        link_kind: one_of(LinkKind::ALL, fixed[63], "link_kind")?,
        outcome: one_of(Outcome::ALL, fixed[64], "outcome")?,
        reason: one_of(Reason::ALL, fixed[65], "reason")?,
        landing: maybe(LandingMode::ALL, fixed[66], "landing")?,
        app: one_of(HostApp::ALL, fixed[67], "app")?,
        os: one_of(Os::ALL, fixed[68], "os")?,
        code: text("code")?,
        creator: text("creator")?,
        platform: text("platform")?,
        marketplace: text("marketplace")?,
        category: text("category")?,
        item: text("item")?,
        shop: text("shop")?,
        facts: text("facts")?,
        agreement: text("agreement")?,
        node: text("node")?,
        alternate: MAIN,
        tried: Tried::NONE,
        way: None,
        macros: "",
    };
    hop.way = usual_way(hop.outcome);
    if schema == PLAIN {
        return if rest.is_empty() { Ok(hop) } else { Err(WireError::Trailing(rest.len())) };
    }
    let (alternate, mut rest) = rest.split_first().ok_or(WireError::Short("alternate"))?;
    hop.alternate = *alternate;
    if schema > ALTERNATES {
        let ([way, low, high], after) = rest.split_first_chunk().ok_or(WireError::Short("way"))?;
        hop.way = maybe(Way::ALL, *way, "way")?;
        let len = u16::from_le_bytes([*low, *high]);
        if usize::from(len) > MOST_MACROS {
            return Err(WireError::OutOfRange { field: "macros", value: len });
        }
        let (macros, after) = after.split_at_checked(usize::from(len)).ok_or(WireError::Short("macros"))?;
        hop.macros = std::str::from_utf8(macros).map_err(|_| WireError::NotText("macros"))?;
        rest = after;
    }
    hop.tried = Tried::read(rest)?;
    Ok(hop)
}

/// The click id and time of a body, without reading the rest; `None` if it is too short to be one.
pub(crate) fn id_and_time(body: &[u8]) -> Option<(ClickId, i64)> {
    let fixed = body.first_chunk::<FIXED>()?;
    Some((ClickId(at(fixed, 0)), i64::from_le_bytes(at(fixed, 16))))
}

/// `N` bytes of the fixed part from `from`; every caller stays inside it.
fn at<const N: usize>(fixed: &[u8; FIXED], from: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&fixed[from..from + N]);
    bytes
}

fn one_of<T: Copy>(all: &[T], value: u8, field: &'static str) -> Result<T, WireError> {
    all.get(usize::from(value)).copied().ok_or(WireError::OutOfRange { field, value: value.into() })
}

fn maybe<T: Copy>(all: &[T], value: u8, field: &'static str) -> Result<Option<T>, WireError> {
    if value == NO_BYTE { Ok(None) } else { one_of(all, value, field).map(Some) }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::tried::Fallen;

    /// A hop like most, with `number` in its id and time.
    pub(crate) fn sample(number: u64) -> Hop<'static> {
        let mut id = [0; 16];
        id[8..].copy_from_slice(&number.to_be_bytes());
        Hop {
            id: ClickId(id),
            at: Timestamp::from_micros(1_669_823_999_000_000 + number as i64),
            code: "k3Xw9Qa",
            creator: "c1024",
            platform: "kuaishou",
            surface: Some(Surface::LiveCart),
            placement_source: PlacementSource::Token,
            marketplace: "taobao",
            shop_type: ShopType::CStore,
            link_kind: LinkKind::Alliance,
            category: "beauty",
            item: "681234567890",
            shop: "",
            facts: "pid",
            outcome: Outcome::Allow,
            reason: Reason::Allowed,
            agreement: "ks-tb-2022",
            policy_version: 0x0123_4567_89ab_cdef,
            bucket: Some(77),
            landing: Some(LandingMode::App),
            app: HostApp::Kuaishou,
            os: Os::Android,
            flags: HopFlags::HEAD.with(HopFlags::BOT),
            address: [0, 0, 0xff, 0xff, 203, 0, 113, 0],
            visitor: 0x1122_3344_5566_7788_99aa_bbcc_ddee_ff00,
            node: "gw-1",
            alternate: MAIN,
            tried: Tried::NONE,
            way: Some(Way::Redirect),
            macros: "",
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_format_has_not_drifted() {
        let mut body = Vec::new();
        encode(&sample(5), &mut body);
        // Written by schema 1 in November 2026. If this fails, records on disk can no longer be read: add a schema.
        let golden = concat!(
            "00000000000000000000000000000005",
            "c53d4c32b2ee0500",
            "efcdab8967452301",
            "00ffeeddccbbaa998877665544332211",
            "0000ffffcb007100",
            "0300",
            "4d00",
            "000201030000000701",
            "076b335877395161",
            "056331303234",
            "086b75616973686f75",
            "0674616f62616f",
            "06626561757479",
            "0c363831323334353637383930",
            "00",
            "03706964",
            "0a6b732d74622d32303232",
            "0467772d31",
        );
        assert_eq!(hex(&body), golden);
        assert_eq!(schema_of(&sample(5)), 1);
        assert_eq!(decode(1, &body), Ok(sample(5)));
        assert!((110..=150).contains(&body.len()), "{} bytes", body.len());
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let mut body = Vec::new();
        encode(&sample(1), &mut body);
        assert_eq!(decode(4, &body), Err(WireError::NewerSchema(4)));
        assert_eq!(decode(2, &body), Err(WireError::Short("alternate")));
        assert_eq!(decode(1, &body[..FIXED + 3]), Err(WireError::Short("code")));
        assert_eq!(decode(1, &body[..10]), Err(WireError::Short("the fixed part")));
        let mut longer = body.clone();
        longer.push(0);
        assert_eq!(decode(1, &longer), Err(WireError::Trailing(1)));
        for (place, field) in [(60, "surface"), (61, "placement_source"), (62, "shop_type"), (65, "reason"), (68, "os")]
        {
            let mut altered = body.clone();
            altered[place] = 200;
            assert_eq!(decode(1, &altered), Err(WireError::OutOfRange { field, value: 200 }));
        }
        let mut altered = body.clone();
        altered[FIXED + 1] = 0xff;
        assert_eq!(decode(1, &altered), Err(WireError::NotText("code")));
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let long = format!("a{}", "小".repeat(100));
        let mut body = Vec::new();
        encode(&Hop { facts: &long, ..sample(1) }, &mut body);
        let read = decode(1, &body).unwrap();
        assert_eq!(read.facts, &long[..253]);
        assert_eq!(read.node, "gw-1");
    }

    fn fallen_bytes(count: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        for alternate in 0..count {
            let fallen = Fallen {
                alternate,
                marketplace: "jd",
                shop_type: ShopType::Pop,
                link_kind: LinkKind::Item,
                category: "",
                item: "100012043978",
                shop: "",
                reason: Reason::WindowEnded,
                agreement: "ks-jd",
                bucket: Some(3),
            };
            fallen.put(&mut bytes);
        }
        bytes
    }

    #[test]
    fn the_tail_has_not_drifted() {
        let tried = fallen_bytes(1);
        let hop = Hop { alternate: 1, tried: Tried::read(&tried).unwrap(), ..sample(5) };
        let (mut plain, mut body) = (Vec::new(), Vec::new());
        encode(&sample(5), &mut plain);
        encode(&hop, &mut body);
        // Written by schema 2 in November 2026: what schema 1 has, then the tail.
        let golden = "010003000403000".to_owned()
            + "2"
            + "6a64"
            + "00"
            + "0c"
            + "313030303132303433393738"
            + "00"
            + "05"
            + "6b732d6a64";
        assert_eq!(hex(&body), hex(&plain) + &golden);
        assert_eq!(schema_of(&hop), 2);
        assert_eq!(decode(2, &body), Ok(hop));
        assert_eq!(decode(2, &body[..body.len() - 1]), Err(WireError::Short("tried.agreement")));
    }

    #[test]
    fn the_longer_tail_has_not_drifted() {
        let tried = fallen_bytes(1);
        let hop = Hop { way: Some(Way::Intent), macros: "cid=9&ts=1", ..sample(5) };
        let fallen = Hop { alternate: 1, tried: Tried::read(&tried).unwrap(), ..hop };
        let (mut plain, mut body, mut longer) = (Vec::new(), Vec::new(), Vec::new());
        encode(&sample(5), &mut plain);
        encode(&hop, &mut body);
        encode(&fallen, &mut longer);
        // Written by schema 3 in November 2026: what schema 1 has, landing taken, way, parameters, then what fell.
        assert_eq!(hex(&body), hex(&plain) + "00" + "03" + "0a00" + "6369643d392674733d31");
        assert_eq!(longer[body.len()..], tried);
        assert_eq!((schema_of(&hop), schema_of(&fallen)), (3, 3));
        assert_eq!((decode(3, &body), decode(3, &longer)), (Ok(hop), Ok(fallen)));
        assert_eq!(decode(3, &body[..body.len() - 1]), Err(WireError::Short("macros")));
        assert_eq!(decode(3, &body[..plain.len() + 2]), Err(WireError::Short("way")));
        let refused = Hop { outcome: Outcome::Deny, way: None, ..sample(5) };
        assert_eq!(schema_of(&refused), 1);
        let long = "x".repeat(MOST_MACROS + 1);
        let mut body = Vec::new();
        encode(&Hop { macros: &long, ..hop }, &mut body);
        assert_eq!(decode(3, &body).unwrap().macros, "", "never half a parameter");
    }

    fn any_of<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
        proptest::sample::select(all)
    }

    proptest! {
        #[test]
        fn every_hop_round_trips(
            numbers in any::<(u128, i64, u64, u128, [u8; 8], u16)>(),
            bucket in proptest::option::of(0..BUCKETS),
            surface in proptest::option::of(any_of(Surface::ALL)),
            lists in (any_of(PlacementSource::ALL), any_of(ShopType::ALL), any_of(LinkKind::ALL), any_of(Outcome::ALL)),
            more in (any_of(Reason::ALL), proptest::option::of(any_of(LandingMode::ALL)), any_of(HostApp::ALL), any_of(Os::ALL)),
            texts in proptest::collection::vec("\\PC{0,60}", TEXTS),
            (alternate, fallen) in (0u8..3, 0u8..3),
            (way, macros) in (proptest::option::of(any_of(Way::ALL)), "\\PC{0,60}"),
        ) {
            let tried = fallen_bytes(fallen);
            let hop = Hop {
                id: ClickId(numbers.0.to_be_bytes()), at: Timestamp::from_micros(numbers.1), policy_version: numbers.2,
                visitor: numbers.3, address: numbers.4, flags: HopFlags(numbers.5), bucket, surface,
                placement_source: lists.0, shop_type: lists.1, link_kind: lists.2, outcome: lists.3,
                reason: more.0, landing: more.1, app: more.2, os: more.3,
                code: &texts[0], creator: &texts[1], platform: &texts[2], marketplace: &texts[3], category: &texts[4],
                item: &texts[5], shop: &texts[6], facts: &texts[7], agreement: &texts[8], node: &texts[9],
                alternate, tried: Tried::read(&tried).unwrap(), way, macros: &macros,
            };
            let mut body = Vec::new();
            encode(&hop, &mut body);
            prop_assert!(body.len() <= MAX_BODY);
            prop_assert!(body.len() <= most(&hop));
            prop_assert_eq!(decode(schema_of(&hop), &body), Ok(hop));
            prop_assert_eq!(id_and_time(&body), Some((hop.id, hop.at.micros())));
        }

        #[test]
        fn any_bytes_are_read_or_refused(schema in 0..=SCHEMA, bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(hop) = decode(schema, &bytes)
                && schema_of(&hop) == schema
            {
                let mut again = Vec::new();
                encode(&hop, &mut again);
                prop_assert_eq!(again, bytes);
            }
        }
    }
}
