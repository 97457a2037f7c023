//! What a visitor's headers say of them: host app, operating system, and whether a machine asked. Guesses about unsigned
//! text, made by a [`Detector`] out of tables of tokens: never a ground for more than a placement hint and a flag.

mod detector;

pub use detector::{
    AppRule, BadTable, Contradiction, Detector, DeviceTable, MOST_TOKEN_LISTS, SystemRule, Tokens, check_token,
};

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
        /// Toutiao.
        Toutiao = "toutiao",
        /// Zhihu.
        Zhihu = "zhihu",
        /// Feishu, abroad Lark.
        Lark = "lark",
        /// Pinduoduo.
        Pinduoduo = "pinduoduo",
        /// Meituan.
        Meituan = "meituan",
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
    /// The headers contradict each other: no such visitor is known.
    pub implausible: bool,
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
        implausible: false,
    };
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
        | HostApp::Baidu
        | HostApp::Toutiao
        | HostApp::Zhihu
        | HostApp::Lark
        | HostApp::Pinduoduo
        | HostApp::Meituan => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::marketplaces::shipped;

    #[test]
    fn platforms_are_in_the_vocabulary() {
        let words = shipped();
        let named: Vec<_> = HostApp::ALL.iter().filter_map(|app| platform_of(*app)).collect();
        assert!(named.iter().all(|name| words.platform(name).is_some()), "{named:?}");
        assert_eq!(platform_of(HostApp::Tmall), Some("taobao"));
        assert_eq!(platform_of(HostApp::Jd), None);
    }
}
