//! The addresses of the ways that lead elsewhere than to the landing itself: an app's own scheme, a universal link, an
//! Android intent, a mini program, a page made for being shown inside another app.
//!
//! The landing travels inside them byte for byte, so that the affiliate tag survives: values are percent-encoded whole,
//! all but `A-Z a-z 0-9 - . _ ~`. What is built holds visible ASCII only, and no quote, bracket, brace or blank. Which way
//! is taken is decided elsewhere.

use super::Way;
use crate::domain::marketplace::app::{App, Carrier};
use crate::domain::percent::encode;
use crate::domain::vocabulary::LinkKind;

/// The longest address that is built. A landing that would need more is sent on in a plainer way.
pub const LONGEST: usize = 16 << 10;

/// What is carried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target<'a> {
    /// The landing address.
    pub url: &'a str,
    /// The goods' id on the marketplace; empty when not known.
    pub item: &'a str,
    /// What it leads to.
    pub kind: LinkKind,
}

/// A mini program and its page, as a host app's own call takes them.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Program {
    /// Its id.
    pub app_id: String,
    /// The page with its query.
    pub path: String,
}

impl Program {
    /// The address by which a browser outside WeChat opens it there.
    pub fn scheme(&self) -> String {
        let (path, query) = self.path.split_once('?').unwrap_or((&self.path, ""));
        let mut address = format!("weixin://dl/business/?appid={}&path=", encoded(&self.app_id));
        encode(path, &mut address);
        if !query.is_empty() {
            address.push_str("&query=");
            encode(query, &mut address);
        }
        address
    }
}

/// Whether what is known of an app is enough for a way, whatever the landing.
pub fn carries(app: &App, way: Way) -> bool {
    match way {
        Way::Scheme => app.open.as_ref().is_some_and(|open| is_own(app, open)),
        Way::Intent => carries(app, Way::Scheme) && app.android_package.as_deref().is_some_and(is_package),
        Way::UniversalLink => {
            app.universal_link.as_ref().is_some_and(|link| !link.value.contains("{open}") || carries(app, Way::Scheme))
        }
        Way::MiniProgram => app.mini_program.is_some(),
        Way::InApp => app.in_app.is_some(),
        _ => true,
    }
}

/// Whether a carrier begins with one of the app's schemes, and an intent can be made of it.
fn is_own(app: &App, open: &Carrier) -> bool {
    let scheme = open.prefix.split_once("://").map_or("", |(scheme, _)| scheme);
    app.schemes.iter().any(|known| **known == *scheme) && !open.prefix.contains('#')
}

fn is_package(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_'))
}

/// The address that opens the landing in the app by the app's own scheme.
pub fn scheme(app: &App, target: &Target<'_>) -> Option<String> {
    let open = app.open.as_ref().filter(|open| is_own(app, open))?;
    sound(carried(open, target, "")?)
}

/// The address that the system opens in the app, and any browser as a page.
pub fn universal_link(app: &App, target: &Target<'_>) -> Option<String> {
    let link = app.universal_link.as_ref().filter(|link| link.prefix.starts_with("https://"))?;
    let open = if link.value.contains("{open}") { scheme(app, target)? } else { String::new() };
    sound(carried(link, target, &open)?)
}

/// The same as [`scheme`], as an address that browsers of Chrome's family on Android follow; where the app is missing they
/// go to the landing by themselves.
pub fn intent(app: &App, target: &Target<'_>) -> Option<String> {
    let package = app.android_package.as_deref().filter(|name| is_package(name))?;
    let open = scheme(app, target)?;
    let (scheme, rest) = open.split_once("://")?;
    let mut address = format!("intent://{rest}#Intent;scheme={scheme};package={package};S.browser_fallback_url=");
    encode(target.url, &mut address);
    address.push_str(";end");
    sound(address)
}

/// The marketplace's mini program with the landing in its page's query.
pub fn mini_program(app: &App, target: &Target<'_>) -> Option<Program> {
    let program = app.mini_program.as_ref()?;
    let path = filled(&program.path, target, "", encode)?;
    Some(Program { app_id: program.app_id.to_string(), path: sound(path)? })
}

/// The page made for being shown inside another app. A landing that is such a page already is that page; one with an
/// affiliate tag is never exchanged for a page of its bare item, which would lose the tag.
pub fn in_app(app: &App, target: &Target<'_>) -> Option<String> {
    let page = app.in_app.as_ref()?;
    let host = target.url.strip_prefix("https://")?;
    let host = host.split(['/', '?', '#']).next().unwrap_or_default();
    if page.hosts.iter().any(|known| **known == *host) {
        return Some(target.url.to_owned());
    }
    let carrier = page.carrier.as_ref()?;
    if target.kind == LinkKind::Alliance && !carrier.value.contains("{url}") {
        return None;
    }
    sound(carried(carrier, target, "")?).filter(|address| address.starts_with("https://"))
}

fn carried(carrier: &Carrier, target: &Target<'_>, open: &str) -> Option<String> {
    let put = if carrier.value.starts_with("{\"") { json } else { plain };
    let value = filled(&carrier.value, target, open, put)?;
    let mut address = String::with_capacity(carrier.prefix.len() + 3 * value.len());
    address.push_str(&carrier.prefix);
    encode(&value, &mut address);
    Some(address)
}

/// A template with its places filled, each by `put`, in one walk: what is filled in is never looked at again. `None` where
/// it asks for what is not known.
fn filled(template: &str, target: &Target<'_>, open: &str, put: fn(&str, &mut String)) -> Option<String> {
    let places = [("{url}", target.url), ("{item}", target.item), ("{open}", open)];
    let mut text = String::with_capacity(template.len() + target.url.len());
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        text.push_str(before);
        match places.iter().find(|(name, _)| from.starts_with(name)) {
            Some((_, "")) => return None,
            Some((name, value)) => {
                put(value, &mut text);
                rest = &from[name.len()..];
            }
            None => {
                text.push('{');
                rest = &from[1..];
            }
        }
    }
    text.push_str(rest);
    Some(text)
}

fn plain(value: &str, text: &mut String) {
    text.push_str(value);
}

/// A value as the inside of a JSON string. Landings hold nothing that needs it; this does not rely on that.
fn json(value: &str, text: &mut String) {
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            c if c.is_control() => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
}

fn encoded(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    encode(value, &mut text);
    text
}

/// An address that may stand in a header or, escaped, on a page.
fn sound(address: String) -> Option<String> {
    let bad = |b: u8| {
        !b.is_ascii_graphic() || matches!(b, b'"' | b'\'' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
    };
    (address.len() <= LONGEST && !address.bytes().any(bad)).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::marketplace::app::{InApp, MiniProgram};

    fn carrier(prefix: &str, value: &str) -> Option<Carrier> {
        Some(Carrier { prefix: prefix.into(), value: value.into() })
    }

    fn taobao() -> App {
        App {
            android_package: Some("com.taobao.taobao".into()),
            schemes: vec!["tbopen".into(), "taobao".into()],
            open: carrier("tbopen://m.taobao.com/tbopen/index.html?action=ali.open.nav&module=h5&h5Url=", "{url}"),
            universal_link: carrier("https://ace.tb.cn/t?smburl=", "{open}"),
            ..App::default()
        }
    }

    fn jd() -> App {
        App {
            android_package: Some("com.jingdong.app.mall".into()),
            schemes: vec!["openapp.jdmobile".into()],
            open: carrier("openapp.jdmobile://virtual?params=", r#"{"category":"jump","des":"m","url":"{url}"}"#),
            mini_program: Some(MiniProgram {
                app_id: "wx91d27dbf599dff74".into(),
                path: "pages/union/proxy/proxy?spreadUrl={url}".into(),
                user_name: None,
            }),
            in_app: Some(InApp {
                hosts: vec!["kpl.m.jd.com".into()],
                carrier: carrier("https://kpl.m.jd.com/product?wareId=", "{item}"),
            }),
            ..App::default()
        }
    }

    fn target(url: &str) -> Target<'_> {
        Target { url, item: "100012043978", kind: LinkKind::Item }
    }

    fn decoded(text: &str) -> String {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            let mut digit = || char::from(rest.next().unwrap()).to_digit(16).unwrap() as u8;
            bytes.push(if byte == b'%' { digit() << 4 | digit() } else { byte });
        }
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_alliance_address_travels_inside() {
        let click = target("https://s.click.taobao.com/t?e=m%3D2&pid=mm_1_2_3");
        let open = scheme(&taobao(), &click).unwrap();
        assert_eq!(
            open,
            "tbopen://m.taobao.com/tbopen/index.html?action=ali.open.nav&module=h5&h5Url=\
             https%3A%2F%2Fs.click.taobao.com%2Ft%3Fe%3Dm%253D2%26pid%3Dmm_1_2_3"
        );
        assert_eq!(
            universal_link(&taobao(), &click).unwrap(),
            format!("https://ace.tb.cn/t?smburl={}", encoded(&open))
        );
        assert_eq!(
            scheme(&jd(), &target("https://u.jd.com/AbCd12")).unwrap(),
            "openapp.jdmobile://virtual?params=%7B%22category%22%3A%22jump%22%2C%22des%22%3A%22m%22%2C%22url%22%3A%22\
             https%3A%2F%2Fu.jd.com%2FAbCd12%22%7D"
        );
        assert_eq!(
            intent(&jd(), &target("https://u.jd.com/AbCd12")).unwrap(),
            "intent://virtual?params=%7B%22category%22%3A%22jump%22%2C%22des%22%3A%22m%22%2C%22url%22%3A%22\
             https%3A%2F%2Fu.jd.com%2FAbCd12%22%7D#Intent;scheme=openapp.jdmobile;package=com.jingdong.app.mall;\
             S.browser_fallback_url=https%3A%2F%2Fu.jd.com%2FAbCd12;end"
        );
        let program = mini_program(&jd(), &target("https://u.jd.com/AbCd12")).unwrap();
        assert_eq!(program.path, "pages/union/proxy/proxy?spreadUrl=https%3A%2F%2Fu.jd.com%2FAbCd12");
        assert_eq!(
            program.scheme(),
            "weixin://dl/business/?appid=wx91d27dbf599dff74&path=pages%2Funion%2Fproxy%2Fproxy&query=spreadUrl%3D\
             https%253A%252F%252Fu.jd.com%252FAbCd12"
        );
    }

    #[test]
    fn a_page_inside_another_app_keeps_the_tag() {
        let page = |url: &str, item, kind| in_app(&jd(), &Target { url, item, kind });
        let item = "https://item.jd.com/100012043978.html";
        let kepler = Some("https://kpl.m.jd.com/product?wareId=100012043978".to_owned());
        assert_eq!(page(item, "100012043978", LinkKind::Item), kepler);
        assert_eq!(page(item, "100012043978", LinkKind::Alliance), None, "the bare item would lose the tag");
        assert_eq!(page(item, "", LinkKind::Item), None);
        let own = "https://kpl.m.jd.com/product?wareId=1&x=y";
        assert_eq!(page(own, "", LinkKind::Alliance).as_deref(), Some(own));
        assert_eq!(page("https://kpl.m.jd.com.evil.test/", "", LinkKind::Item), None);
    }

    #[test]
    fn nothing_unsound_is_built() {
        let odd = target("https://item.jd.com/1.html");
        for prefix in ["javascript:alert(1)//", "openapp.jdmobile:virtual", "intent://x?", "openapp.jdmobile://a#b?"] {
            assert_eq!(scheme(&App { open: carrier(prefix, "{url}"), ..jd() }, &odd), None, "{prefix}");
        }
        for prefix in
            ["openapp.jdmobile://a b?", "openapp.jdmobile://\"?", "openapp.jdmobile://<?", "openapp.jdmobile://é?"]
        {
            assert_eq!(scheme(&App { open: carrier(prefix, "{url}"), ..jd() }, &odd), None, "{prefix}");
        }
        assert_eq!(intent(&App { android_package: Some("a;end".into()), ..jd() }, &odd), None);
        assert_eq!(scheme(&jd(), &target(&format!("https://item.jd.com/{}", "x".repeat(LONGEST)))), None);
        let hostile = target("https://item.jd.com/\"}\\\n{url}");
        assert_eq!(
            decoded(&scheme(&jd(), &hostile).unwrap()),
            r#"openapp.jdmobile://virtual?params={"category":"jump","des":"m","url":"https://item.jd.com/\"}\\\u000a{url}"}"#
        );
    }

    #[test]
    fn ten_thousand_landings_come_out_as_they_went_in() {
        // Everything a destination may hold, what breaks out of things first.
        let letters = b"';&#%?=/+:@!$()*,[]~-._;end#Intent;scheme=abcXYZ0189";
        let mut state = 7u64;
        let mut roll = |sides: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % sides
        };
        let (taobao, jd) = (taobao(), jd());
        for _ in 0..10_000 {
            let mut url = "https://item.jd.com/".to_owned();
            for _ in 0..roll(120) {
                url.push(char::from(letters[roll(letters.len())]));
            }
            let landing = target(&url);
            let after = |address: &str, mark: &str| decoded(address.split_once(mark).unwrap().1);
            let open = scheme(&taobao, &landing).unwrap();
            assert_eq!(after(&open, "&h5Url="), url);
            let link = universal_link(&taobao, &landing).unwrap();
            assert_eq!(after(&link, "smburl="), open);
            let params: serde_json::Value =
                serde_json::from_str(&after(&scheme(&jd, &landing).unwrap(), "params=")).unwrap();
            assert_eq!(params["url"], url);
            assert_eq!(params.as_object().unwrap().len(), 3);
            let sent = intent(&jd, &landing).unwrap();
            let (data, fragment) = sent.split_once('#').unwrap();
            assert_eq!(after(data, "params="), params.to_string());
            let parts: Vec<&str> = fragment.split(';').collect();
            let ["Intent", "scheme=openapp.jdmobile", "package=com.jingdong.app.mall", fallback, "end"] = parts[..]
            else {
                panic!("{fragment}")
            };
            assert_eq!(after(fallback, "S.browser_fallback_url="), url);
            let program = mini_program(&jd, &landing).unwrap();
            assert_eq!(after(&program.path, "spreadUrl="), url);
            assert_eq!(decoded(&after(&program.scheme(), "&query=spreadUrl%3D")), url);
            for address in [open, link, sent, program.scheme(), program.path] {
                assert!(address.bytes().all(|b| b.is_ascii_graphic() && !b"\"'<>`{}|\\^".contains(&b)), "{address}");
            }
        }
    }
}
