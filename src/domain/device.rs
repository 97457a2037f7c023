//! What a visitor's headers say of them: host app, operating system, and whether a machine asked. Data-driven guesses
//! about unsigned text: never a ground for more than a placement hint and a flag.

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
}
