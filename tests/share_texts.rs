//! Whole share texts: a golden table in every style, and what must hold for any text around a link.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed unwrap is the test's verdict")]

mod marketplace_payloads;

use hopgate::config::marketplaces::shipped;
use hopgate::domain::marketplace::{CodeKind, LONGEST_TEXT, ShareFault};
use marketplace_payloads::{HARMLESS, REFUSED, sound};
use proptest::prelude::*;
use proptest::sample::select;

const GOLDEN: &str = include_str!("data/share_texts.tsv");

/// Turns the escapes of the table into what they stand for.
fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let (letter, behind) = after.split_at(1);
        rest = behind;
        match letter {
            "n" => out.push('\n'),
            "r" => out.push('\r'),
            "t" => out.push('\t'),
            "u" => {
                let (number, behind) = behind.strip_prefix('{').unwrap().split_once('}').unwrap();
                out.push(char::from_u32(u32::from_str_radix(number, 16).unwrap()).unwrap());
                rest = behind;
            }
            other => out.push_str(other),
        }
    }
    out + rest
}

fn rows() -> impl Iterator<Item = (&'static str, String, &'static str)> {
    GOLDEN.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let columns: Vec<_> = line.split('\t').collect();
        let [style, text, expected] = columns[..] else { panic!("three columns: {line}") };
        (style, unescaped(text), expected)
    })
}

/// The URL found, or `!` and the fault.
fn found(text: &str) -> String {
    match shipped().markets().recognise_text(text) {
        Ok(landing) => {
            sound(&landing);
            landing.destination.as_str().to_owned()
        }
        Err(fault) => format!("!{}", fault.code()),
    }
}

#[test]
fn every_golden_row() {
    let wrong: Vec<String> = rows()
        .filter(|(_, text, expected)| found(text) != *expected)
        .map(|(style, text, expected)| format!("{style}: {text:?}\n  expected {expected}, found {}", found(&text)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for family in ["taobao", "tmall", "jd", "code", "two", "none", "foreign", "hostile"] {
        assert!(rows().filter(|(style, ..)| style.starts_with(family)).count() >= 3, "{family}");
    }
}

#[test]
fn a_link_found_in_a_text_is_the_landing_it_is_alone() {
    for (style, text, expected) in rows().filter(|(.., expected)| !expected.starts_with('!')) {
        assert_eq!(
            shipped().markets().recognise_text(&text).unwrap(),
            shipped().markets().recognise(expected).unwrap(),
            "{style}"
        );
    }
}

#[test]
fn whose_code_it_is_and_what_to_paste_instead_is_said() {
    for (text, kind, named) in [
        ("￥AbCdEf12345￥", CodeKind::Taobao, "淘口令"),
        ("￥AbCdEf12345￥ 打开京东", CodeKind::Jd, "京口令"),
        ("￥AbCdEf12345678%", CodeKind::Jd, "京口令"),
        ("￥AbCdEf12345￥ open JD", CodeKind::Jd, "京口令"),
        ("￥AbJDEf12345￥", CodeKind::Taobao, "淘口令"),
        ("￥AbCdEf12￥", CodeKind::Either, "淘口令 / 京口令"),
        ("￥AbCdEf12￥ 打开天猫", CodeKind::Taobao, "淘口令"),
    ] {
        let fault = shipped().markets().recognise_text(text).unwrap_err();
        assert_eq!(fault, ShareFault::UnidentifiableCode(kind), "{text}");
        let told = fault.to_string();
        assert!(told.contains(named) && told.contains("cannot be identified") && told.contains("paste"), "{told}");
    }
}

#[test]
fn two_links_are_both_named() {
    let text = "https://m.tb.cn/h.3XyZabC 和 https://u.jd.com/AbCdEf 都要";
    let told = shipped().markets().recognise_text(text).unwrap_err().to_string();
    assert!(told.contains("https://m.tb.cn/h.3XyZabC") && told.contains("https://u.jd.com/AbCdEf"), "{told}");
    let long = "a".repeat(2_000);
    let long = format!("https://s.click.taobao.com/t?e={long} https://u.jd.com/AbCdEf 看");
    assert!(shipped().markets().recognise_text(&long).unwrap_err().to_string().len() < 400);
}

#[test]
fn the_limits_are_exact_and_a_link_alone_has_its_own() {
    let link = "https://item.jd.com/100012043978.html";
    let room = LONGEST_TEXT - link.len() - 1;
    let words = |bytes: usize| format!("{}{} {link}", "很".repeat(bytes / 3), "x".repeat(bytes % 3));
    assert_eq!(words(room).len(), LONGEST_TEXT);
    assert_eq!(found(&words(room)), link);
    assert_eq!(shipped().markets().recognise_text(&words(room + 1)), Err(ShareFault::TooLong));
    assert_eq!(found(&"很".repeat(1_000_000)), "!too_long");
    let long = format!("https://s.click.taobao.com/t?e={}", "a".repeat(8_000));
    assert_eq!(found(&long), long);
}

/// The worst texts for a reader that goes back: 4 KiB take milliseconds unoptimised, and would take seconds if it did.
#[test]
fn no_text_is_slow() {
    for part in
        ["https://", "https://a?b=中", "://", "https://item.jd.com/1.htmlhttps://", "$", "(", "中&a", "http", "￥a"]
    {
        for front in ["", "看 ", "https://item.jd.com/?q="] {
            let text = format!("{front}{}", part.repeat((LONGEST_TEXT - 40) / part.len()));
            let begin = std::time::Instant::now();
            for _ in 0..10 {
                drop(std::hint::black_box(shipped().markets().recognise_text(&text)));
            }
            assert!(begin.elapsed() < std::time::Duration::from_secs(2), "{front}{part}: {:?}", begin.elapsed());
        }
    }
}

#[test]
fn payloads_amid_words_never_lead_elsewhere() {
    for payload in REFUSED.iter().chain(HARMLESS) {
        for text in [
            (*payload).to_owned(),
            format!("【京东】{payload} MF3390 「手机」"),
            format!("快来看{payload}快来看"),
            format!("￥AbCdEf12345￥{payload}￥AbCdEf12345￥"),
            format!("{payload}\nhttps://item.jd.com/100012043978.html"),
            format!("https://item.jd.com/100012043978.html，{payload}"),
        ] {
            // Asks two unlike parsers whether what is found is a marketplace's.
            found(&text);
        }
    }
}

const LINKS: &[&str] = &[
    "https://e.tb.cn/h.SQ6rjlgiow5ob5s?tk=MJN9f2bd29s",
    "https://m.tb.cn/h.3XyZabC",
    "https://item.taobao.com/item.htm?id=610947572360&spm=a1z10.1",
    "https://detail.tmall.com/item.htm?abbucket=3&id=610947572360&skuId=1",
    "https://s.click.taobao.com/t?e=m%3D2%26s%3Dabc%2B%2F==",
    "https://uland.taobao.com/coupon/edetail?e=a%2B&pid=mm_1_2_3&itemId=610947572360",
    "https://3.cn/36c-Q2K5?jkl=@NElVK5AACn@",
    "https://u.jd.com/AbCdEf",
    "https://item.jd.com/100012043978.html",
    "https://item.m.jd.com/product/100012043978.html?utm_campaign=t_335139774&ShareTm=x",
    "https://union-click.jd.com/jdc?e=0&p=AyIGZRprFQ",
    "https://3.jd.hk/-102POe0",
];

/// A code of any style, with what it stands between.
fn code() -> impl Strategy<Value = String> {
    let mark = select(&['￥', '¥', '₴', '€', '$', '£', '₳', '₤', '¢', '＄'][..]);
    prop_oneof![
        ("[A-Za-z0-9]{10}[A-Za-z]", mark.clone()).prop_map(|(token, mark)| format!("{mark}{token}{mark}")),
        ("[A-Za-z0-9]{13}[A-Za-z]", mark.clone()).prop_map(|(token, mark)| format!("{mark}{token}{mark}")),
        "[A-Za-z0-9]{13}[A-Za-z]".prop_map(|token| format!("￥{token}%")),
        "[A-Za-z0-9]{10}[A-Za-z]".prop_map(|token| format!("({token})")),
        "[A-Za-z0-9]{10}[A-Za-z]".prop_map(|token| format!("/({token})/")),
        "[A-Za-z0-9]{10}[A-Za-z]".prop_map(|token| format!("「{token}」")),
        "[A-Za-z0-9]{10}[A-Za-z]".prop_map(|token| format!("《{token}》")),
        ("[0-9]{1,2}", "[A-Z0-9]{4,8}").prop_map(|(number, token)| format!("{number}:/{token}")),
        ("[a-z]{2,5}", "[A-Za-z0-9]{11}", mark).prop_map(|(word, token, mark)| format!("{word}:/{mark}{token}{mark}")),
        // The badge, and numbers in the lengths of an item's.
        " [A-Z]{2}[0-9]{3,4} ",
        " [1-9][0-9]{11,13} ",
    ]
}

/// Words that end a link wherever they stand behind one.
fn words() -> impl Strategy<Value = &'static str> {
    select(
        &[
            "",
            " ",
            "\n",
            "\r\n",
            "，",
            "。",
            "！",
            "」",
            "】",
            "）",
            "快来看 ",
            "「外套」",
            "【淘宝】",
            "🔥",
            "\u{200b} ",
            "…",
            "~ ",
        ][..],
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn codes_around_a_link_change_nothing(
        link in select(LINKS), before in code(), after in code(), [a, b, c, d] in [words(), words(), words(), words()],
    ) {
        // Letters and digits right behind a link cannot be told from it, not even by eye.
        let c = if c.is_empty() && after.starts_with(|c: char| c.is_ascii_alphanumeric()) { " " } else { c };
        let text = format!("{a}{before}{b}{link}{c}{after}{d}");
        let landing = shipped().markets().recognise_text(&text);
        prop_assert!(landing.is_ok(), "{text:?}: {landing:?}");
        let landing = landing.unwrap();
        prop_assert_eq!(landing.destination.as_str(), link, "{:?}", text);
        prop_assert_eq!(landing, shipped().markets().recognise(link).unwrap());
    }

    #[test]
    fn codes_alone_are_never_a_landing(codes in prop::collection::vec((words(), code(), words()), 1..4)) {
        let text: String = codes.iter().map(|(a, code, b)| format!("{a}{code}{b}")).collect();
        let fault = shipped().markets().recognise_text(&text).unwrap_err();
        prop_assert!(
            matches!(fault.code(), "unidentifiable_code" | "several_codes" | "no_url" | "not_a_url" | "scheme"), "{text:?}: {fault:?}"
        );
    }

    #[test]
    fn anything_at_all_is_sound_or_refused(
        parts in prop::collection::vec(
            prop_oneof![select(LINKS).prop_map(str::to_owned), select(REFUSED).prop_map(str::to_owned), code(), "\\PC{0,12}", "[ -~]{0,12}", words().prop_map(str::to_owned)],
            0..8,
        ),
    ) {
        found(&parts.concat());
    }
}
