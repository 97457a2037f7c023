//! The pages that send a permitted visitor on: into the app, out of a host app that opens none, into a mini program, or with
//! a text to copy. Each leads somewhere without any script; a script only saves a tap. No address is ever in a script: a
//! script reads the links of its page, so that its hash is one for all.

use super::Language;
use super::frame::{Frame, escape, reference};
use super::words::marketplace;
use crate::click::landings::Launch;
use crate::domain::device::{HostApp, Os};
use crate::domain::landing::Way;

/// Opens the app once where that needs no tap, and falls back to the page when nothing came of it in two seconds. What
/// shows that an app opened, or that the browser asks whether to, ends the waiting; a page that comes back from the
/// browser's memory does not try again. `beforeunload` shows nothing: it comes although the page stays.
pub const OPEN_SCRIPT: &str = "(()=>{'use strict';\
const open=document.getElementById('open'),other=document.getElementById('other');\
let timer=0,tried=false;\
const stop=()=>{clearTimeout(timer);timer=0};\
const start=()=>{stop();const began=performance.now();timer=setTimeout(()=>{timer=0;\
if(document.hidden||performance.now()-began>3500)return;location.replace(other.href)},2000)};\
addEventListener('pagehide',stop);addEventListener('blur',stop);\
document.addEventListener('visibilitychange',()=>{if(document.hidden)stop()});\
if(open.dataset.wait)open.addEventListener('click',start);\
const nav=performance.getEntriesByType('navigation')[0];\
if(open.dataset.first)addEventListener('pageshow',e=>{\
if(e.persisted||tried||(nav&&nav.type!=='navigate'))return;tried=true;if(document.hidden)return;\
start();location.href=open.href});\
})()";

/// Copies the page's text: by the clipboard's own call, else by selecting it, else it stays selected for the visitor's own
/// hand.
pub const COPY_SCRIPT: &str = "(()=>{'use strict';\
const text=document.getElementById('text'),copy=document.getElementById('copy'),done=document.getElementById('done');\
const told=ok=>{done.textContent=ok?done.dataset.ok:done.dataset.no};\
const pick=()=>{text.focus();text.select();text.setSelectionRange(0,text.value.length);\
let ok=false;try{ok=document.execCommand('copy')}catch(e){}told(ok)};\
copy.hidden=false;\
copy.addEventListener('click',()=>{\
if(navigator.clipboard&&isSecureContext)navigator.clipboard.writeText(text.value).then(()=>told(true),pick);else pick()});\
})()";

/// The script of a way's page, if it has one.
pub fn script(way: Way) -> Option<&'static str> {
    match way {
        Way::UniversalLink | Way::Scheme | Way::Intent => Some(OPEN_SCRIPT),
        Way::BrowserPrompt | Way::CopyCode => Some(COPY_SCRIPT),
        _ => None,
    }
}

/// The page.
pub fn html(launch: &Launch, hop_id: Option<&str>, language: Language) -> String {
    let shop = marketplace(&launch.names, language).to_owned();
    let (title, mut body) = match launch.way {
        Way::BrowserPrompt => prompt(launch, &shop, language),
        Way::CopyCode => code(launch, &shop, language),
        Way::MiniProgram => program(launch, &shop, language),
        _ => open(launch, &shop, language),
    };
    body.push_str(&reference(hop_id, language));
    body.push('\n');
    if let Some(script) = script(launch.way) {
        body.push_str(&format!("<script>{script}</script>\n"));
    }
    Frame { language, title: &title, head: "", body: &body }.html()
}

/// A link that looks like a button: the one to take first, or the other.
fn link(id: &str, first: bool, address: &str, more: &str, text: &str) -> String {
    let class = if first { "go" } else { "or" };
    let (address, text) = (escape(address), escape(text));
    format!("<a id=\"{id}\" class=\"{class}\" rel=\"noreferrer\" href=\"{address}\"{more}>{text}</a>\n")
}

fn head(title: &str, why: &str) -> String {
    format!("<h1>{}</h1>\n<p>{}</p>\n", escape(title), escape(why))
}

/// Into the app.
fn open(launch: &Launch, shop: &str, language: Language) -> (String, String) {
    let (title, why, app, page) = match language {
        Language::Zh => (
            format!("前往{shop}"),
            format!("在{shop} App 中打开；没有安装的话，可以在网页中打开。"),
            format!("打开{shop} App"),
            "在网页中打开",
        ),
        Language::En => (
            format!("On to {shop}"),
            format!("Open it in the {shop} app, or as a web page if you do not have the app."),
            format!("Open the {shop} app"),
            "Open the web page",
        ),
    };
    // A universal link leads to a page of its own where the app is missing: waiting would only tear that away. Safari
    // answers an unknown scheme with an alert, and Chrome wants a tap for an intent: neither is tried without one.
    let more = match launch.way {
        Way::UniversalLink => "",
        Way::Scheme if launch.os != Os::Ios => " data-wait=\"1\" data-first=\"1\"",
        _ => " data-wait=\"1\"",
    };
    let mut body = head(&title, &why);
    body.push_str(&link("open", true, launch.button(), more, &app));
    body.push_str(&link("other", false, &launch.url, "", page));
    (title, body)
}

/// Out of a host app that opens no other app. Says what can be done, never asks to share anything.
fn prompt(launch: &Launch, shop: &str, language: Language) -> (String, String) {
    let zh = language == Language::Zh;
    let (title, stay) = match language {
        Language::Zh => (format!("请在浏览器中打开{shop}"), "仍在这里打开网页"),
        Language::En => (format!("Open {shop} in your browser"), "Open the page here anyway"),
    };
    let menu = language.pick("点右上角 ··· 选择“在浏览器打开”", "Tap ··· at the top right, then “Open in browser”");
    let why = match (launch.portable, zh) {
        (true, true) => {
            format!("这里无法打开{shop} App。点右上角菜单，选择“在浏览器打开”；也可以复制链接，到浏览器中粘贴。")
        }
        (true, false) => format!(
            "This app cannot open the {shop} app. Tap the menu at the top right and choose “Open in browser”, or copy the \
             link and paste it into your browser."
        ),
        (false, true) => format!("这里无法打开{shop} App。请复制链接，到浏览器中粘贴打开。"),
        (false, false) => {
            format!("This app cannot open the {shop} app. Copy the link and paste it into your browser.")
        }
    };
    let mut body = String::new();
    if launch.portable {
        body.push_str(&format!("<p class=\"menu\" aria-hidden=\"true\">{} ↗</p>\n", escape(menu)));
    }
    body.push_str(&head(&title, &why));
    body.push_str(&text(
        &launch.copy,
        language.pick("链接", "Link"),
        language.pick("复制链接", "Copy the link"),
        language,
    ));
    body.push_str(&link("other", false, &launch.url, "", stay));
    (title, body)
}

/// A share code, which only its own app can resolve.
fn code(launch: &Launch, shop: &str, language: Language) -> (String, String) {
    let (title, why, stay) = match language {
        Language::Zh => (
            format!("复制口令，打开{shop} App"),
            format!("复制下面的口令，再打开{shop} App，商品会自动出现。"),
            "在网页中打开",
        ),
        Language::En => (
            format!("Copy the code, open the {shop} app"),
            format!("Copy this code, then open the {shop} app: it finds the goods by itself."),
            "Open the web page",
        ),
    };
    let mut body = head(&title, &why);
    body.push_str(&text(
        &launch.copy,
        language.pick("口令", "Code"),
        language.pick("复制口令", "Copy the code"),
        language,
    ));
    if let Some(address) = &launch.app_url {
        let open = match language {
            Language::Zh => format!("打开{shop} App"),
            Language::En => format!("Open the {shop} app"),
        };
        body.push_str(&link("open", true, address, "", &open));
    }
    body.push_str(&link("other", false, &launch.url, "", stay));
    (title, body)
}

/// A text to copy, selectable where nothing else works.
fn text(copy: &str, label: &str, button: &str, language: Language) -> String {
    let ok = language.pick("已复制。", "Copied.");
    let no = language.pick("已选中，请长按复制。", "Selected: press and hold to copy.");
    format!(
        "<input id=\"text\" class=\"text\" readonly aria-label=\"{}\" value=\"{}\">\n\
         <button id=\"copy\" class=\"go\" type=\"button\" hidden>{}</button>\n\
         <p id=\"done\" role=\"status\" data-ok=\"{ok}\" data-no=\"{no}\"></p>\n",
        escape(label),
        escape(copy),
        escape(button),
    )
}

/// Into the mini program. A page inside WeChat cannot start one, so there the landing itself comes first.
fn program(launch: &Launch, shop: &str, language: Language) -> (String, String) {
    let inside = matches!(launch.app, HostApp::WeChat | HostApp::WeCom);
    let program = launch.mini_program.as_ref().filter(|_| !inside).map(|program| program.scheme());
    let (title, why, start, page) = match (language, program.is_some()) {
        (Language::Zh, true) => (
            format!("前往{shop}小程序"),
            format!("在微信的{shop}小程序中打开，也可以在网页中打开。"),
            "打开微信小程序",
            "在网页中打开".to_owned(),
        ),
        (Language::Zh, false) => (format!("前往{shop}"), format!("继续前往{shop}的网页。"), "", format!("打开{shop}")),
        (Language::En, true) => (
            format!("On to the {shop} mini program"),
            format!("Open it in {shop}'s mini program in WeChat, or as a web page."),
            "Open the mini program",
            "Open the web page".to_owned(),
        ),
        (Language::En, false) => {
            (format!("On to {shop}"), format!("Go on to {shop}'s web page."), "", format!("Open {shop}"))
        }
    };
    let mut body = head(&title, &why);
    if let Some(address) = &program {
        body.push_str(&link("open", true, address, "", start));
    }
    body.push_str(&link("other", program.is_none(), &launch.url, "", &page));
    (title, body)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::marketplaces::shipped;
    use crate::domain::landing::address::Program;
    use crate::domain::marketplace::table::Names;

    fn launch(way: Way) -> Launch {
        Launch {
            way,
            marketplace: "jd".into(),
            names: shipped().people_call("jd"),
            url: "https://u.jd.com/AbCd12?a='b'&c=1".into(),
            app_url: Some("openapp.jdmobile://virtual?params=%7B%22url%22%3A%22https%3A%2F%2Fu.jd.com%22%7D".into()),
            universal_link: Some("https://ul.jd.com/?u=openapp.jdmobile%3A%2F%2Fvirtual".into()),
            intent: Some("intent://virtual?params=%7B%7D#Intent;scheme=openapp.jdmobile;package=a.b;end".into()),
            mini_program: Some(Program {
                app_id: "wx1".into(),
                path: "pages/proxy?spreadUrl=https%3A%2F%2Fu.jd.com".into(),
            }),
            copy: "https://go.example.com/k3Xw9QaZ".into(),
            portable: true,
            app: HostApp::Browser,
            os: Os::Android,
        }
    }

    /// What a page is, against its golden file; `HOPGATE_WRITE_GOLDEN=1` writes it.
    fn golden(name: &str, page: &str) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pages").join(name);
        if std::env::var_os("HOPGATE_WRITE_GOLDEN").is_some() {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, page).unwrap();
        }
        let kept = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(page, kept, "{name}: HOPGATE_WRITE_GOLDEN=1 writes it anew");
    }

    #[test]
    fn every_page_is_as_it_was() {
        let id = Some("AZq0000000000000000000000000000x");
        for way in [Way::Scheme, Way::Intent, Way::UniversalLink, Way::BrowserPrompt, Way::MiniProgram, Way::CopyCode] {
            for (language, tag) in [(Language::Zh, "zh"), (Language::En, "en")] {
                golden(&format!("{way}.{tag}.html"), &html(&launch(way), id, language));
            }
        }
        let copied =
            Launch { copy: "https://s.click.taobao.com/t?e=1".into(), portable: false, ..launch(Way::BrowserPrompt) };
        golden("browser_prompt_bare.zh.html", &html(&copied, id, Language::Zh));
        let inside = Launch { app: HostApp::WeChat, ..launch(Way::MiniProgram) };
        golden("mini_program_wechat.zh.html", &html(&inside, id, Language::Zh));
    }

    #[test]
    fn nothing_gets_out_of_its_place_in_a_page() {
        for way in [Way::Scheme, Way::BrowserPrompt, Way::CopyCode, Way::MiniProgram] {
            let nasty = "\"'><script>alert(1)</script>";
            let hostile = Launch {
                names: Names { zh: nasty.into(), en: nasty.into() },
                url: format!("https://item.jd.com/{nasty}"),
                app_url: Some(format!("openapp.jdmobile://{nasty}")),
                copy: nasty.into(),
                ..launch(way)
            };
            let page = html(&hostile, Some(nasty), Language::Zh);
            assert_eq!(page.matches("<script>").count(), usize::from(script(way).is_some()), "{page}");
            assert!(!page.contains("alert(1)</script>") && !page.contains("'>"), "{page}");
        }
    }

    #[test]
    fn the_first_try_is_made_where_no_tap_is_needed() {
        let page = |way, os| html(&Launch { os, ..launch(way) }, None, Language::Zh);
        assert!(
            page(Way::Scheme, Os::Android).contains("data-first")
                && page(Way::Scheme, Os::Harmony).contains("data-first")
        );
        let waits = page(Way::Scheme, Os::Ios);
        assert!(
            !waits.contains("data-first=") && waits.contains("data-wait="),
            "an unknown scheme is an alert in Safari"
        );
        assert!(!page(Way::Intent, Os::Android).contains("data-first="));
        assert!(!page(Way::UniversalLink, Os::Ios).contains("data-wait="));
        for way in [Way::Scheme, Way::BrowserPrompt, Way::MiniProgram] {
            assert!(page(way, Os::Ios).contains("href=\"https://u.jd.com/AbCd12?a=&#39;b&#39;&amp;c=1\""), "{way}");
        }
    }
}
