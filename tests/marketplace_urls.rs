//! What must hold for any text pasted as a URL, over random changes to good URLs and to open-redirect payloads.

#![allow(clippy::unwrap_used)] // A failed unwrap is the test's verdict.

mod marketplace_payloads;

use hopgate::config::marketplaces::{SHIPPED, shipped};
use hopgate::domain::marketplace::{Destination, UrlFault};
use marketplace_payloads::{HARMLESS, REFUSED, sound};
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Each with its key, and whether Tmall's own noise may be added.
const GOOD: &[(&str, &str)] = &[
    ("https://item.taobao.com/item.htm?id=610947572360", "taobao/item/610947572360"),
    ("https://detail.tmall.com/item.htm?abbucket=3&id=610947572360&skuId=1", "taobao/item/610947572360"),
    ("https://detail.tmall.hk/hk/item.htm?id=610947572360", "taobao/item/610947572360"),
    ("https://a.m.taobao.com/i1059057030771.htm", "taobao/item/1059057030771"),
    ("https://shop.m.taobao.com/shop/shop_index.htm?user_id=88", "taobao/shop/seller:88"),
    ("https://uniqlo.tmall.com/", "taobao/shop/shop:uniqlo"),
    ("https://e.tb.cn/h.SQ6rjlgiow5ob5s?tk=MJN9f2bd29s", "taobao/page/e.tb.cn/h.SQ6rjlgiow5ob5s"),
    ("https://s.click.taobao.com/t?e=m%3D2%26s%3Dabc", "taobao/page/s.click.taobao.com/t?e=m%3D2%26s%3Dabc"),
    ("https://uland.taobao.com/coupon/edetail?e=a%2B&pid=mm_1_2_3&itemId=610947572360", "taobao/item/610947572360"),
    ("https://item.jd.com/100012043978.html", "jd/item/100012043978"),
    ("https://item.m.jd.com/product/100012043978.html?utm_campaign=t_335139774&ShareTm=x", "jd/item/100012043978"),
    ("https://wqs.jd.com/pingou/item.shtml?sku=5475198", "jd/item/5475198"),
    ("https://jingfen.jd.com/detail/Jz3aYn_8bQ2mKxV-pL0rT5uWcE7.html", "jd/item/Jz3aYn_8bQ2mKxV-pL0rT5uWcE7"),
    ("https://mall.jd.com/index-1000004123.html", "jd/shop/shop:1000004123"),
    ("https://pro.m.jd.com/mall/active/3W8Q7mFJ/index.html", "jd/page/pro.m.jd.com/mall/active/3W8Q7mFJ/index.html"),
    ("https://union-click.jd.com/jdc?e=0&p=AyIGZRprFQ", "jd/page/union-click.jd.com/jdc?e=0&p=AyIGZRprFQ"),
    ("https://u.jd.com/AbCdEf", "jd/page/u.jd.com/AbCdEf"),
    ("https://3.cn/36c-Q2K5?jkl=@NElVK5AACn@", "jd/page/3.cn/36c-Q2K5"),
];

/// Every URL in the files that come with the product: examples, counter-examples, beginnings of addresses.
fn in_files() -> Vec<&'static str> {
    let texts = SHIPPED.iter().flat_map(|(_, text)| text.split(['"', '\'']));
    let urls: Vec<&str> = texts.filter(|text| text.starts_with("https://")).collect();
    assert!(urls.len() >= 100, "{}", urls.len());
    urls
}

/// Bits that make parsers disagree.
const SHARDS: &[&str] = &[
    "@",
    ":",
    "/",
    "//",
    "\\",
    "?",
    "#",
    ".",
    "..",
    "%",
    "%2f",
    "%5c",
    "%2e",
    "%40",
    "%00",
    "%0d%0a",
    "%0a",
    "\t",
    "\n",
    "\r",
    " ",
    "\u{0}",
    "\u{3002}",
    "\u{ff0e}",
    "\u{ff61}",
    "\u{ff0f}",
    "\u{ff20}",
    "\u{200b}",
    "\u{ad}",
    "\u{430}",
    "[",
    "]",
    ";",
    "&",
    "=",
    "evil.test",
    ".evil.test",
    "@evil.test",
    "evil.test/",
    "https://evil.test/",
    "//evil.test",
    ":444",
    ":443",
    ":80",
    "xn--",
    "login.",
    "javascript:",
    "https:",
    "http://",
    "'",
    "\"",
    "<",
    "`",
    "{",
    "|",
    "^",
    "\u{4e2d}",
];

/// One random change of a text.
#[derive(Debug, Clone)]
enum Change {
    Insert(Index, &'static str),
    Any(Index, char),
    Remove(Index),
    Double(Index, Index),
    Upper(Index),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        4 => (at(), select(SHARDS)).prop_map(|(place, shard)| Change::Insert(place, shard)),
        1 => (at(), any::<char>()).prop_map(|(place, c)| Change::Any(place, c)),
        2 => at().prop_map(Change::Remove),
        1 => (at(), at()).prop_map(|(a, b)| Change::Double(a, b)),
        1 => at().prop_map(Change::Upper),
    ]
}

fn apply(text: &str, change: &Change) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    let place = |index: &Index| index.index(letters.len() + 1);
    match change {
        Change::Insert(at, shard) => {
            let at = place(at);
            letters.splice(at..at, shard.chars());
        }
        Change::Any(at, c) => {
            let at = place(at);
            letters.insert(at, *c);
        }
        Change::Remove(at) => {
            let at = place(at);
            if at < letters.len() {
                letters.remove(at);
            }
        }
        Change::Double(a, b) => {
            let (a, b) = (place(a), place(b));
            let piece: Vec<char> = letters[a.min(b)..a.max(b)].to_vec();
            letters.splice(a..a, piece);
        }
        Change::Upper(at) => {
            let at = place(at);
            if let Some(letter) = letters.get_mut(at) {
                *letter = letter.to_ascii_uppercase();
            }
        }
    }
    letters.into_iter().collect()
}

#[test]
fn payloads() {
    assert!(REFUSED.len() >= 100);
    for text in REFUSED {
        assert!(
            shipped().markets().recognise(text).is_err(),
            "{text:?} was taken as {:?}",
            shipped().markets().recognise(text)
        );
    }
    for text in HARMLESS {
        sound(&shipped().markets().recognise(text).unwrap_or_else(|fault| panic!("{text:?}: {fault}")));
    }
}

#[test]
fn good_urls_have_their_keys() {
    for (url, key) in GOOD {
        let landing = shipped().markets().recognise(url).unwrap();
        assert_eq!(landing.destination.as_str(), *url);
        assert_eq!(landing.key(shipped().markets()), *key);
        sound(&landing);
    }
}

#[test]
fn a_text_too_long_is_not_even_looked_at() {
    let long = "\u{ff0e}".repeat(1_000_000);
    let begin = std::time::Instant::now();
    for _ in 0..1_000 {
        assert_eq!(shipped().markets().recognise(&long), Err(UrlFault::TooLong));
    }
    assert!(begin.elapsed() < std::time::Duration::from_secs(1), "three megabytes must not be read");
}

#[test]
fn taking_back_a_stored_address_allocates_its_box_only() {
    // The tables are made once, before.
    let markets = shipped().markets();
    let counted = allocation_counter::measure(|| {
        std::hint::black_box(Destination::from_stored(GOOD[0].0, markets).unwrap());
    });
    assert_eq!(counted.count_total, 1);
}

/// `cargo test --release --test marketplace_urls -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, meaningful in release only"]
fn time_per_stored_address() {
    let rounds = 100_000;
    let begin = std::time::Instant::now();
    for _ in 0..rounds {
        for (url, _) in GOOD {
            std::hint::black_box(Destination::from_stored(std::hint::black_box(url), shipped().markets()).unwrap());
        }
    }
    println!("{:.0} ns each", begin.elapsed().as_secs_f64() * 1e9 / f64::from(rounds) / GOOD.len() as f64);
}

/// Noise that any URL of the key's family may carry.
fn noise(key: &str) -> &'static [&'static str] {
    if key.starts_with("jd/") {
        &[
            "utm_source=iosapp",
            "utm_medium=appshare",
            "utm_term=CopyURL",
            "utm_user=plusmember",
            "ad_od=share",
            "ShareTm=abc",
            "gx=RnE",
            "gxd=RnA",
            "wxa_abtest=o",
            "un_area=1_2_3",
            "sid=abc",
            "_ts=1700000000000",
            "jkl=@NElVK5AACn@",
            "utm_campaign=t_335139774_abc",
            "utm_campaign=",
        ]
    } else {
        &[
            "price=1",
            "sourceType=item",
            "suid=x",
            "ut_sk=1.x",
            "un=x",
            "share_crt_v=1",
            "sp_tk=x",
            "tk=MJN9f2bd29s",
            "sm=1",
            "cpp=1",
            "shareurl=true",
            "short_name=h.x",
            "app=chrome",
            "scm=1007.1",
            "scm.1=2",
            "spm=a21n57.1",
            "pvid=x",
            "algo_expid=x",
            "algo_pvid=x",
            "ns=1",
            "abbucket=3",
            "ali_refid=x",
            "ali_trackid=2:mm_1_2_3",
            "acm=x",
            "utparam=%7B%7D",
            "pos=1",
            "abtest=1",
            "trackInfo=x",
            "utkn=x",
            "scene=1",
            "mytmenu=x",
            "turing_bucket=1",
            "lygClk=1",
            "impid=x",
            "bftTag=x",
            "bftRwd=x",
            "initiative_id=x",
            "sourceId=x",
            "ssid=x",
            "commend=all",
            "shareUniqueId=1",
            "bxsign=x",
            "app_pvid=x",
            "ptl=x",
            "union_lens=x",
            "wxsign=x",
            "un_site=x",
            "tbSocialPopKey=x",
        ]
    }
}

/// Tmall only: elsewhere `user_id` may name a seller.
const TMALL_NOISE: &[&str] =
    &["user_number_id=1", "activity_id=1", "from=x", "areaId=1", "user_id=2", "cat_id=3", "is_b=1", "rn=x"];

fn with_parameter(url: &str, parameter: &str, in_front: bool) -> String {
    match url.split_once('?') {
        None => format!("{url}?{parameter}"),
        Some((path, query)) if in_front => format!("{path}?{parameter}&{query}"),
        Some(_) => format!("{url}&{parameter}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_good_urls(start in select(GOOD), changes in prop::collection::vec(change(), 1..4)) {
        let text = changes.iter().fold(start.0.to_owned(), |text, change| apply(&text, change));
        if let Ok(landing) = shipped().markets().recognise(&text) {
            sound(&landing);
        }
    }

    #[test]
    fn changed_examples_of_every_file(start in select(in_files()), changes in prop::collection::vec(change(), 0..4)) {
        let text = changes.iter().fold(start.to_owned(), |text, change| apply(&text, change));
        if let Ok(landing) = shipped().markets().recognise(&text) {
            sound(&landing);
        }
    }

    #[test]
    fn changed_payloads(
        start in prop_oneof![select(REFUSED), select(HARMLESS)],
        changes in prop::collection::vec(change(), 1..4),
    ) {
        let text = changes.iter().fold(start.to_owned(), |text, change| apply(&text, change));
        if let Ok(landing) = shipped().markets().recognise(&text) {
            sound(&landing);
        }
    }

    #[test]
    fn shards_alone(shards in prop::collection::vec(select(SHARDS), 0..12)) {
        for front in ["", "https://", "https://item.jd.com"] {
            if let Ok(landing) = shipped().markets().recognise(&format!("{front}{}", shards.concat())) {
                sound(&landing);
            }
        }
    }

    #[test]
    fn plain_bytes_survive(rest in "([/?#][!#-;=?-\\[\\]_a-z~]{0,200})?") {
        let text = format!("https://s.click.taobao.com{rest}");
        match shipped().markets().recognise(&text) {
            Ok(landing) => {
                prop_assert_eq!(landing.destination.as_str(), text);
                sound(&landing);
            }
            Err(fault) => prop_assert_eq!(fault, UrlFault::EncodedLineBreak),
        }
    }

    #[test]
    fn any_rest_is_encoded_and_nothing_more(rest in "/\\PC{0,60}") {
        let text = format!("https://www.jd.com{}", rest.replace('\\', "").trim_end());
        let Ok(landing) = shipped().markets().recognise(&text) else { return Ok(()) };
        sound(&landing);
        // Undo the encoding of the bytes that had to be encoded: what was pasted comes back.
                let mut emitted = landing.destination.as_str().bytes();
        for byte in text.bytes() {
            if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
                prop_assert_eq!(emitted.next(), Some(byte));
            } else {
                let code: String = emitted.by_ref().take(3).map(char::from).collect();
                prop_assert_eq!(code, format!("%{byte:02X}"));
            }
        }
        prop_assert_eq!(emitted.next(), None);
    }

    #[test]
    fn noise_never_changes_the_key(
        start in select(GOOD),
        picks in prop::collection::vec((any::<Index>(), any::<bool>()), 1..6),
    ) {
        let (url, key) = start;
        let tmall = url.contains(".tmall.");
        let list: Vec<&str> = noise(key).iter().copied().chain(if tmall { TMALL_NOISE.iter().copied() } else { [].iter().copied() }).collect();
        let noisy = picks.iter().fold(url.to_owned(), |text, (pick, in_front)| {
            with_parameter(&text, pick.get::<&str>(&list), *in_front)
        });
        prop_assert_eq!(shipped().markets().recognise(&noisy).unwrap().key(shipped().markets()), key);
    }
}
