use super::*;

fn key(id: &str, platform: u8) -> SigningKey {
    SigningKey::new(id, PlatformId(platform), b"0123456789abcdef0123456789abcdef").unwrap()
}

fn words() -> &'static Vocabulary {
    crate::config::marketplaces::shipped()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

const CODE: &str = "k3Xw9QaZ";

fn new_token() -> NewToken<'static> {
    NewToken {
        platform: "kuaishou",
        surface: Surface::LiveCart,
        issued: at(1_668_441_600),
        expires: at(1_668_442_200),
        nonce: "q7T0xZ9-_aB1",
        creator: "",
        note: "",
    }
}

/// Parameters, what is signed after the prefix, and the signature under the key above. Made with Python's hmac and
/// urllib.parse, which share nothing with this module.
#[rustfmt::skip]
const VECTORS: [(&str, &str, &str); 6] = [
    (
        "key=ks1&exp=1668442200&surface=live_cart&platform=kuaishou&to=https://item.jd.com/100012043978.html",
        "exp=1668442200&key=ks1&platform=kuaishou&surface=live_cart&to=https%3A%2F%2Fitem.jd.com%2F100012043978.html",
        "Mf7gVjmyrRwKMJgVFz_yy-2uluo244NMlCZ8rt7O-MI",
    ),
    (
        "creator=%E4%B8%BB%E6%92%AD+42&key=ks1&exp=1668442200&surface=note&platform=kuaishou&to=https%3A%2F%2Fitem.taobao.com%2Fitem.htm%3Fid%3D610947572360%26skuId%3D1",
        "creator=%E4%B8%BB%E6%92%AD%2042&exp=1668442200&key=ks1&platform=kuaishou&surface=note&to=https%3A%2F%2Fitem.taobao.com%2Fitem.htm%3Fid%3D610947572360%26skuId%3D1",
        "zETLbk1io6pwu1F5yoWYOyk_AFdKwqnD4wNeZFQhPGE",
    ),
    (
        "exp=1&key=ks1&surface=detail_page&platform=kuaishou&to=https://s.click.taobao.com/t%3Fe%3Dm%253D2%2526s%253Dx%252B%252F",
        "exp=1&key=ks1&platform=kuaishou&surface=detail_page&to=https%3A%2F%2Fs.click.taobao.com%2Ft%3Fe%3Dm%253D2%2526s%253Dx%252B%252F",
        "Srn4WogDMna1keRDWCjji8yeZ7t8kMhWz3HjixW-W5Y",
    ),
    (
        "category=%E9%A3%9F%E5%93%81&facts=xingtu_order+%21gift&creator=&exp=1668442200&key=ks1&surface=short_video_cart&platform=kuaishou&to=https%3A%2F%2Fu.jd.com%2FAbCdEf",
        "category=%E9%A3%9F%E5%93%81&creator=&exp=1668442200&facts=xingtu_order%20%21gift&key=ks1&platform=kuaishou&surface=short_video_cart&to=https%3A%2F%2Fu.jd.com%2FAbCdEf",
        "88nIc2b-sFwU9zgp_0wTXzQbIGGS5Je_fEjLnEdevGg",
    ),
    (
        "callback=x%3Dy%26z&exp=1668442200&key=ks1&surface=other&platform=kuaishou&to=~a-b.c_d%2Ae%27%28f%29%21",
        "callback=x%3Dy%26z&exp=1668442200&key=ks1&platform=kuaishou&surface=other&to=~a-b.c_d%2Ae%27%28f%29%21",
        "HM9C5NooJwQJmjLnSL1R1VTbbx8aX_eijes7YOjpkI4",
    ),
    (
        "z=4&A=3&a=2&Z=1&key=ks1&to=x",
        "A=3&Z=1&a=2&key=ks1&to=x&z=4",
        "6GyfK9igINIxnvqPZ3IrsRqNjeYpgBMMfZi4jgkq2S0",
    ),
];

#[test]
fn canonical_texts_and_signatures_of_the_vectors() {
    for (query, canonical, sig) in VECTORS {
        let read = SignedQuery::read(&format!("sig={sig}&{query}")).unwrap();
        assert_eq!(read.canonical(), format!("{GO_PREFIX}{canonical}"), "{query}");
        assert!(key("ks1", 0).verifies(read.canonical().as_bytes(), sig), "{query}");
        let own = SignedQuery::read(&format!("{canonical}&sig={sig}")).unwrap();
        assert_eq!(own, read, "a query in canonical form is what is signed");
    }
}

#[test]
fn what_is_made_here_is_taken_here_and_nothing_else() {
    let keys = SigningKeys::new(vec![key("ks1", 0), key("dy1", 2)], 3_600);
    let parameters = [
        ("to", "https://item.jd.com/100012043978.html?a=1&b=中 文+%2F"),
        ("platform", "kuaishou"),
        ("surface", "live_cart"),
        ("exp", "1668442200"),
    ];
    let query = go_query(&keys.keys[0], &parameters).unwrap();
    let now = at(1_668_442_199);
    let good = keys.check_go(&query, now, words()).unwrap();
    assert_eq!(good.query.get("to"), Some(parameters[0].1));
    assert_eq!(good.placement, Placement { platform: Some(PlatformId(0)), surface: Some(Surface::LiveCart) });
    assert_eq!(keys.check_go(&query, at(1_668_442_200), words()), Err(SignFault::Expired), "half-open");

    // Every byte counts, wherever it stands.
    let mut differing = 0;
    for place in 0..query.len() {
        let mut bytes = query.clone().into_bytes();
        bytes[place] = if bytes[place] == b'x' { b'y' } else { b'x' };
        let changed = String::from_utf8(bytes).unwrap();
        // `%xF` is no escape, and the last digit of 43 has two bits that must be 0: all refused all the same.
        assert!(keys.check_go(&changed, now, words()).is_err(), "{changed}");
        differing += 1;
    }
    assert_eq!(differing, query.len());

    let signed = |parameters: &[(&str, &str)], key: usize| go_query(&keys.keys[key], parameters).unwrap();
    let check = |query: &str| keys.check_go(query, now, words()).map(|_| ());
    assert_eq!(check(&signed(&parameters[..3], 0)), Err(SignFault::Lifetime), "no end");
    assert_eq!(check(&signed(&parameters, 1)), Err(SignFault::Scope), "another platform's key");
    assert_eq!(check(&format!("{query}&to=https://evil.test/")), Err(SignFault::Duplicate));
    assert_eq!(check(&format!("{query}&sig=x")), Err(SignFault::Duplicate));
    assert_eq!(check(&format!("{query}&utm=1")), Err(SignFault::Mismatch), "nothing may be added");
    assert_eq!(check(&query.replace("key=ks1", "key=dy1")), Err(SignFault::Mismatch));
    assert_eq!(check(&query.replace("key=ks1", "key=ks2")), Err(SignFault::UnknownKey));
    assert_eq!(check(&query.replace("&sig=", "&sig")), Err(SignFault::Malformed));
    for bad in ["", "to", "=", "a=1", "a=%zz&sig=x", "a=%0d%0a&sig=x", "a=%ff&sig=x", "a=%0&sig=x", "sig=x", "&&&"] {
        assert!(matches!(check(bad), Err(SignFault::Malformed | SignFault::Duplicate)), "{bad}: {:?}", check(bad));
    }
    let mut lasting = key("ks1", 0);
    lasting.without_exp = true;
    lasting.surfaces = vec![Surface::Note];
    let keys = SigningKeys::new(vec![lasting], 3_600);
    assert_eq!(keys.check_go(&query, now, words()), Err(SignFault::Scope), "not for this surface");
}

#[test]
fn keys_have_their_time_and_overlap() {
    let mut old = key("2025", 0);
    old.until = at(2_000);
    let mut new = SigningKey::new("2026", PlatformId(0), &[7; 32]).unwrap();
    new.from = at(1_000);
    let keys = SigningKeys::new(vec![old, new], 3_600);
    let parameters = [("to", "x"), ("platform", "kuaishou"), ("surface", "note"), ("exp", "9999")];
    let works = |key: usize, now: i64| {
        keys.check_go(&go_query(&keys.keys[key], &parameters).unwrap(), at(now), words()).map(|_| ())
    };
    assert_eq!((works(0, 999), works(1, 999)), (Ok(()), Err(SignFault::UnknownKey)));
    assert_eq!((works(0, 1_500), works(1, 1_500)), (Ok(()), Ok(())));
    assert_eq!((works(0, 2_000), works(1, 2_000)), (Err(SignFault::UnknownKey), Ok(())));
    assert!(SigningKey::new("short", PlatformId(0), &[0; 31]).is_none());
    assert!(!format!("{keys:?}").contains("7, 7"), "no secret in a debug text");
}

/// Made with Python's hmac and base64.
const TOKEN: &str = "hg1.ks1.kuaishou.live_cart.1668441600.1668442200.q7T0xZ9-_aB1.5Li75pKtIDQy.bi0x.RX4nJ9PmpV6BD8zqA49e2M2vHnVCRfEgSptl6Tkpies";

#[test]
fn a_token_of_a_platform_is_read() {
    let keys = SigningKeys::new(vec![key("ks1", 0)], 3_600);
    let new = NewToken { creator: "主播 42", note: "n-1", ..new_token() };
    assert_eq!(token(&keys.keys[0], &new, CODE), TOKEN);
    let read = keys.check_token(TOKEN, CODE, at(1_668_441_700), words()).unwrap();
    assert_eq!((&*read.creator, &*read.note, read.nonce, read.key), ("主播 42", "n-1", "q7T0xZ9-_aB1", "ks1"));
    assert_eq!(read.placement, Placement { platform: Some(PlatformId(0)), surface: Some(Surface::LiveCart) });
    assert_eq!(token_in(&format!("a=1&hg={TOKEN}&b=2")), Some(TOKEN));
    assert_eq!(token_in("xhg=1"), None);
}

#[test]
fn a_token_is_for_one_link_and_one_time() {
    let keys = SigningKeys::new(vec![key("ks1", 0), key("dy1", 2)], 3_600);
    let made = |new: NewToken<'_>| token(&keys.keys[0], &new, CODE);
    let check = |token: &str, code: &str, now: i64| keys.check_token(token, code, at(now), words()).map(|_| ());
    let good = made(new_token());
    let (begin, end) = (1_668_441_600, 1_668_442_200);
    assert_eq!(check(&good, CODE, begin), Ok(()));
    assert_eq!(check(&good, "k3Xw9Qaa", begin), Err(SignFault::Mismatch), "another link");
    assert_eq!(check(&good, CODE, end - 1), Ok(()));
    assert_eq!(check(&good, CODE, end), Err(SignFault::Expired));
    assert_eq!(check(&good, CODE, begin - 60), Ok(()), "a clock a minute ahead");
    assert_eq!(check(&good, CODE, begin - 61), Err(SignFault::Early));
    let long = NewToken { expires: at(begin + 3_601), ..new_token() };
    assert_eq!(check(&made(long), CODE, begin), Err(SignFault::Lifetime));
    let backwards = NewToken { expires: at(begin), ..new_token() };
    assert_eq!(check(&made(backwards), CODE, begin), Err(SignFault::Lifetime));
    let foreign = NewToken { platform: "douyin", ..new_token() };
    assert_eq!(check(&made(foreign), CODE, begin), Err(SignFault::Scope));
    for nonce in ["short", "has.dot.in.it", "has space", "0123456789012345678901234567890123"] {
        assert_eq!(check(&made(NewToken { nonce, ..new_token() }), CODE, begin), Err(SignFault::Malformed), "{nonce}");
    }
    for place in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
        assert!(check(&String::from_utf8(bytes).unwrap(), CODE, begin).is_err());
    }
    for bad in ["", "hg1", "hg1.........", "hg1..........", &"x".repeat(600), "hg2.a.b.c.d.e.f.g.h.i"] {
        assert!(check(bad, CODE, begin).is_err(), "{bad}");
    }
}

#[test]
fn an_end_as_good_as_none_is_for_keys_that_may_do_without() {
    let now = at(1_668_441_600);
    let mut forever = key("ks2", 0);
    forever.without_exp = true;
    let keys = SigningKeys::new(vec![key("ks1", 0), forever], 3_600);
    let checked = |id: &str, ahead: i64| {
        let exp = (1_668_441_600 + ahead).to_string();
        let parameters =
            [("to", "https://item.jd.com/1.html"), ("platform", "kuaishou"), ("surface", "note"), ("exp", &exp)];
        let query = go_query(keys.named(id).unwrap(), &parameters).unwrap();
        keys.check_go(&query, now, words()).map(|_| ())
    };
    let year = 366 * 86_400;
    assert_eq!(checked("ks1", year), Ok(()));
    assert_eq!(checked("ks1", year + 1), Err(SignFault::Lifetime));
    assert_eq!(checked("ks1", 98_331_558_399), Err(SignFault::Lifetime), "the furthest that can be written");
    assert_eq!(checked("ks2", year + 1), Ok(()));
}
