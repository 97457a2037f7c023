//! What a visitor's headers say of them: host app, operating system, and whether a machine asked. Data-driven guesses
//! about unsigned text: never a ground for more than a placement hint and a flag.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::vocabulary::closed_list;

closed_list! {
    /// The operating system a User-Agent claims.
    Os {
        /// Nothing recognisable.
        Unknown = "unknown",
        /// Android.
        Android = "android",
        /// iPhone and iPad.
        Ios = "ios",
        /// HarmonyOS.
        Harmony = "harmony",
        /// A desktop system.
        Desktop = "desktop",
    }
}

closed_list! {
    /// The app whose in-app browser made the request.
    HostApp {
        /// Nothing recognisable.
        Unknown = "unknown",
        /// A system or vendor browser.
        Browser = "browser",
        /// WeCom, tested before WeChat, whose token it carries too.
        WeCom = "wecom",
        /// WeChat.
        WeChat = "wechat",
        /// The QQ app.
        Qq = "qq",
        /// Weibo.
        Weibo = "weibo",
        /// Douyin.
        Douyin = "douyin",
        /// Kuaishou and its lite edition.
        Kuaishou = "kuaishou",
        /// Xiaohongshu.
        Xiaohongshu = "xiaohongshu",
        /// Taobao.
        Taobao = "taobao",
        /// Tmall.
        Tmall = "tmall",
        /// Alipay.
        Alipay = "alipay",
        /// DingTalk.
        DingTalk = "dingtalk",
        /// JD.
        Jd = "jd",
        /// Jingxi.
        Jingxi = "jingxi",
        /// Baidu.
        Baidu = "baidu",
        /// Bilibili.
        Bilibili = "bilibili",
    }
}

/// What a User-Agent says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Device {
    /// The app.
    pub app: HostApp,
    /// The operating system.
    pub os: Os,
    /// It names itself as a crawler or a link-preview fetcher.
    pub bot: bool,
    /// It is the link-preview fetcher of a chat or social app; a bot too.
    pub preview: bool,
    /// A browser of Chrome's family on Android that follows `intent:` addresses: Chrome, Edge, Samsung Internet. Not a web
    /// view, and not the vendors' browsers, which are not known to.
    pub chromium: bool,
    /// The page is shown inside a mini program.
    pub mini_program: bool,
}

impl Device {
    /// What is known when nothing is.
    pub const UNKNOWN: Device = Device {
        app: HostApp::Unknown,
        os: Os::Unknown,
        bot: false,
        preview: false,
        chromium: false,
        mini_program: false,
    };
}

/// The most of a User-Agent that is read. Real ones stay far below; a longer one says nothing more.
const LONGEST: usize = 1_024;

/// What one token says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum Sign {
    Mozilla,
    WeCom,
    WeChat,
    Qq,
    Weibo,
    Aweme,
    /// A web view of Douyin's maker, used by its other apps too.
    BytedanceView,
    /// One of those other apps, or Douyin.
    BytedanceApp,
    Kuaishou,
    Xiaohongshu,
    Taobao,
    Tmall,
    Alipay,
    DingTalk,
    Jd,
    Jingxi,
    Baidu,
    Bilibili,
    Android,
    Ios,
    Harmony,
    Desktop,
    Bot,
    Preview,
    /// Names Chrome's engine.
    Chrome,
    /// A web view, or a browser that is not known to follow `intent:`.
    NoIntent,
    MiniProgram,
}

/// Tokens and what they say. A `^` in front means: at the very start only. Case makes no difference.
#[rustfmt::skip]
const TOKENS: &[(&str, Sign)] = &[
    ("^mozilla/", Sign::Mozilla), ("^opera/", Sign::Mozilla),
    ("wxwork/", Sign::WeCom),
    ("micromessenger/", Sign::WeChat), ("windowswechat", Sign::WeChat), ("macwechat", Sign::WeChat),
    (" qq/", Sign::Qq), ("v1_and_sq_", Sign::Qq), ("v1_iph_sq_", Sign::Qq),
    ("weibo (", Sign::Weibo), ("__weibo__", Sign::Weibo),
    ("aweme_", Sign::Aweme), ("appname/aweme", Sign::Aweme),
    ("bytedancewebview/", Sign::BytedanceView),
    ("appname/", Sign::BytedanceApp), ("newsarticle/", Sign::BytedanceApp),
    ("kwai/", Sign::Kuaishou), ("kwai_lite", Sign::Kuaishou), ("kwai_pro", Sign::Kuaishou),
    ("ksnebula/", Sign::Kuaishou), ("ksthanos", Sign::Kuaishou), ("yoda/", Sign::Kuaishou),
    ("kswebview/", Sign::Kuaishou),
    ("^discover/", Sign::Xiaohongshu), ("xhsdiscover", Sign::Xiaohongshu), ("xiaohongshu", Sign::Xiaohongshu),
    ("xhs/", Sign::Xiaohongshu),
    ("aliapp(tb/", Sign::Taobao), ("aliapp(tm/", Sign::Tmall),
    ("alipayclient", Sign::Alipay), ("alipaydefined", Sign::Alipay), ("aliapp(ap/", Sign::Alipay),
    ("aliapp(dingtalk/", Sign::DingTalk),
    ("jdapp;", Sign::Jd), ("jdpingou;", Sign::Jingxi),
    ("baiduboxapp", Sign::Baidu),
    ("biliapp", Sign::Bilibili), ("bilibili", Sign::Bilibili),

    ("android", Sign::Android),
    ("iphone", Sign::Ios), ("ipad", Sign::Ios), ("ipod", Sign::Ios),
    ("openharmony", Sign::Harmony), ("harmonyos", Sign::Harmony), ("arkweb", Sign::Harmony),
    ("windows nt", Sign::Desktop), ("macintosh", Sign::Desktop), ("(x11", Sign::Desktop),
    ("windowswechat", Sign::Desktop), ("macwechat", Sign::Desktop),

    // Crawlers and link previews: the general forms first, then those that none of them covers.
    ("bot/", Sign::Bot), ("bot;", Sign::Bot), ("bot)", Sign::Bot), ("spider", Sign::Bot), ("crawler", Sign::Bot),
    ("+http", Sign::Bot),
    ("googlebot", Sign::Bot), ("adsbot-google", Sign::Bot), ("mediapartners-google", Sign::Bot),
    ("google-inspectiontool", Sign::Bot), ("googleother", Sign::Bot), ("bingbot", Sign::Bot),
    ("bingpreview", Sign::Bot), ("applebot", Sign::Bot), ("petalbot", Sign::Bot), ("yandexbot", Sign::Bot),
    ("facebookexternalhit", Sign::Preview), ("facebookcatalog", Sign::Bot), ("meta-externalagent", Sign::Bot),
    ("twitterbot", Sign::Preview), ("slackbot", Sign::Preview), ("slack-imgproxy", Sign::Preview), ("telegrambot", Sign::Preview),
    ("whatsapp/", Sign::Preview), ("discordbot", Sign::Preview), ("linkedinbot", Sign::Preview), ("skypeuripreview", Sign::Preview),
    ("embedly", Sign::Preview), ("iframely", Sign::Preview), ("vkshare", Sign::Preview),
    ("headlesschrome", Sign::Bot), ("phantomjs", Sign::Bot), ("chrome-lighthouse", Sign::Bot),
    ("^curl/", Sign::Bot), ("^wget/", Sign::Bot), ("python-requests", Sign::Bot), ("python-urllib", Sign::Bot),
    ("aiohttp/", Sign::Bot), ("^python-httpx/", Sign::Bot), ("go-http-client", Sign::Bot), ("^java/", Sign::Bot),
    ("apache-httpclient", Sign::Bot), ("^okhttp/", Sign::Bot), ("^axios/", Sign::Bot), ("^node-fetch", Sign::Bot),
    ("^node", Sign::Bot),
    ("chrome/", Sign::Chrome),
    ("; wv)", Sign::NoIntent), ("version/4.0", Sign::NoIntent), ("mqqbrowser", Sign::NoIntent),
    ("ucbrowser", Sign::NoIntent), ("quark/", Sign::NoIntent), ("miuibrowser", Sign::NoIntent),
    ("huaweibrowser", Sign::NoIntent), ("heytapbrowser", Sign::NoIntent), ("oppobrowser", Sign::NoIntent),
    ("vivobrowser", Sign::NoIntent), ("honorbrowser", Sign::NoIntent), ("metasr", Sign::NoIntent),
    ("miniprogram/", Sign::MiniProgram), ("miniprogramenv", Sign::MiniProgram), ("^libwww-perl", Sign::Bot), ("^scrapy/", Sign::Bot), ("^postmanruntime/", Sign::Bot),
];

static FINDER: LazyLock<AhoCorasick> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "a constant list of short tokens: the tests build it, and it never changes")]
    AhoCorasick::builder()
        .kind(Some(AhoCorasickKind::DFA))
        .match_kind(MatchKind::Standard)
        .ascii_case_insensitive(true)
        .prefilter(false)
        .build(TOKENS.iter().map(|(token, _)| token.trim_start_matches('^')))
        .expect("the token list builds")
});

/// The signs seen, one bit each.
#[derive(Clone, Copy)]
struct Seen(u32);

impl Seen {
    fn of(user_agent: &[u8]) -> Seen {
        let mut seen = 0;
        for found in FINDER.find_overlapping_iter(user_agent) {
            let (token, sign) = TOKENS[found.pattern().as_usize()];
            if found.start() == 0 || !token.starts_with('^') {
                seen |= 1 << sign as u32;
            }
        }
        Seen(seen)
    }

    fn has(self, sign: Sign) -> bool {
        self.0 & (1 << sign as u32) != 0
    }
}

/// What a User-Agent says, in one pass and without allocating. WeCom is tested before WeChat, whose token it carries,
/// and both before QQ, whose browser engine WeChat used to name; then the rest; then the system browser.
///
/// iPadOS Safari calls itself a Macintosh and is taken at its word.
pub fn detect(user_agent: &str) -> Device {
    let bytes = user_agent.as_bytes();
    let seen = Seen::of(&bytes[..bytes.len().min(LONGEST)]);
    let preview = seen.has(Sign::Preview);
    let bot = preview || seen.has(Sign::Bot);
    let (app, os) = (app(seen, bot), os(seen));
    let chromium = app == HostApp::Browser && os == Os::Android && seen.has(Sign::Chrome) && !seen.has(Sign::NoIntent);
    Device { app, os, bot, preview, chromium, mini_program: seen.has(Sign::MiniProgram) }
}

fn app(seen: Seen, bot: bool) -> HostApp {
    const IN_ORDER: &[(Sign, HostApp)] = &[
        (Sign::WeCom, HostApp::WeCom),
        (Sign::WeChat, HostApp::WeChat),
        (Sign::Qq, HostApp::Qq),
        (Sign::Weibo, HostApp::Weibo),
        (Sign::Aweme, HostApp::Douyin),
        (Sign::Kuaishou, HostApp::Kuaishou),
        (Sign::Xiaohongshu, HostApp::Xiaohongshu),
        (Sign::DingTalk, HostApp::DingTalk),
        (Sign::Alipay, HostApp::Alipay),
        (Sign::Taobao, HostApp::Taobao),
        (Sign::Tmall, HostApp::Tmall),
        (Sign::Jd, HostApp::Jd),
        (Sign::Jingxi, HostApp::Jingxi),
        (Sign::Baidu, HostApp::Baidu),
        (Sign::Bilibili, HostApp::Bilibili),
    ];
    if let Some((_, app)) = IN_ORDER.iter().find(|(sign, _)| seen.has(*sign)) {
        return *app;
    }
    // The shared web view stands for Douyin unless another app of the maker names itself.
    if seen.has(Sign::BytedanceView) && !seen.has(Sign::BytedanceApp) {
        return HostApp::Douyin;
    }
    if seen.has(Sign::Mozilla) && !bot { HostApp::Browser } else { HostApp::Unknown }
}

/// HarmonyOS first: its earlier versions name Android as well.
fn os(seen: Seen) -> Os {
    const IN_ORDER: &[(Sign, Os)] = &[
        (Sign::Harmony, Os::Harmony),
        (Sign::Android, Os::Android),
        (Sign::Ios, Os::Ios),
        (Sign::Desktop, Os::Desktop),
    ];
    IN_ORDER.iter().find(|(sign, _)| seen.has(*sign)).map_or(Os::Unknown, |(_, os)| *os)
}

/// The name of the content platform whose app this is, if it is one. A hint: User-Agents are not signed.
pub const fn platform_of(app: HostApp) -> Option<&'static str> {
    match app {
        HostApp::Kuaishou => Some("kuaishou"),
        HostApp::Xiaohongshu => Some("xiaohongshu"),
        HostApp::Douyin => Some("douyin"),
        HostApp::Taobao | HostApp::Tmall => Some("taobao"),
        HostApp::WeChat => Some("wechat"),
        HostApp::Weibo => Some("weibo"),
        HostApp::Bilibili => Some("bilibili"),
        HostApp::Unknown
        | HostApp::Browser
        | HostApp::WeCom
        | HostApp::Qq
        | HostApp::Alipay
        | HostApp::DingTalk
        | HostApp::Jd
        | HostApp::Jingxi
        | HostApp::Baidu => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::vocabulary::Vocabulary;

    #[test]
    fn tokens_are_lower_case_and_told_apart() {
        for (place, (token, sign)) in TOKENS.iter().enumerate() {
            assert_eq!(*token, token.to_ascii_lowercase());
            assert!(token.trim_start_matches('^').len() >= 4, "{token} is too short to mean anything");
            assert!((*sign as u32) < 32);
            assert!(!TOKENS[..place].contains(&(token, *sign)), "{token} stands twice");
        }
    }

    #[test]
    fn anchored_tokens_count_at_the_start_only() {
        assert!(detect("okhttp/4.9.3").bot);
        assert!(!detect("com.example.app/1.0 okhttp/4.9.3").bot);
        assert_eq!(detect("discover/8.77 (iPhone; iOS 17.0)").app, HostApp::Xiaohongshu);
        assert_eq!(detect("Mozilla/5.0 discover/8.77").app, HostApp::Browser);
    }

    #[test]
    fn the_shared_web_view_is_not_always_douyin() {
        let shared = "Mozilla/5.0 (Linux; Android 12) AppleWebKit/537.36 BytedanceWebview/d8a21c6";
        assert_eq!(detect(shared).app, HostApp::Douyin);
        assert_eq!(detect(&format!("{shared} AppName/news_article")).app, HostApp::Browser);
        assert_eq!(detect(&format!("{shared} AppName/aweme_lite")).app, HostApp::Douyin);
    }

    #[test]
    fn only_the_front_of_a_long_text_is_read() {
        let long = format!("{}MicroMessenger/8.0", "x".repeat(LONGEST));
        assert_eq!(detect(&long).app, HostApp::Unknown);
        assert_eq!(detect(&"中".repeat(5_000)).os, Os::Unknown);
        assert_eq!(detect(""), Device::UNKNOWN);
    }

    #[test]
    fn platforms_are_in_the_vocabulary() {
        let words = Vocabulary::default();
        let named: Vec<_> = HostApp::ALL.iter().filter_map(|app| platform_of(*app)).collect();
        assert!(named.iter().all(|name| words.platform(name).is_some()), "{named:?}");
        assert_eq!(platform_of(HostApp::Tmall), Some("taobao"));
        assert_eq!(platform_of(HostApp::Jd), None);
    }
}
