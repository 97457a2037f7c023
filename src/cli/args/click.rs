//! What can be typed to ask about one click, and to sign one. Only names and meanings.

use clap::{Args, Subcommand};

use super::{Config, Place};
use crate::domain::span::Span;
use crate::domain::time::Timestamp;

/// `hopgate explain`.
#[derive(Args, Debug)]
pub struct Explain {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// Where the click happens, e.g. kuaishou.
    #[arg(long)]
    pub platform: Option<String>,
    /// The spot there, e.g. live_cart.
    #[arg(long)]
    pub surface: Option<String>,
    /// Where it leads: an address, or a whole share text with one.
    #[arg(long, required_unless_present_any = ["code", "marketplace"])]
    pub url: Option<String>,
    /// A stored link instead of --url.
    #[arg(long, conflicts_with = "url")]
    pub code: Option<String>,
    /// A marketplace instead of --url, e.g. meituan, where there is no address to give.
    #[arg(long, conflicts_with_all = ["url", "code"])]
    pub marketplace: Option<String>,
    /// The goods' id, with --marketplace.
    #[arg(long, requires = "marketplace")]
    pub item: Option<String>,
    /// When [default: now].
    #[arg(long, value_name = "TIME")]
    pub at: Option<Timestamp>,
    /// Who runs the shop, e.g. self_operated.
    #[arg(long)]
    pub shop_type: Option<String>,
    /// What the link leads to; told from the URL unless given.
    #[arg(long)]
    pub link_kind: Option<String>,
    /// The goods' category.
    #[arg(long)]
    pub category: Option<String>,
    /// The creator.
    #[arg(long)]
    pub creator: Option<String>,
    /// Facts the link carries; repeatable.
    #[arg(long = "fact", value_name = "NAME")]
    pub facts: Vec<String>,
    /// Where else it leads, tried in order when the policy refuses --url: URL[,shop_type=…][,category=…]; repeatable. With
    /// --code: instead of the link's own alternates.
    #[arg(long = "alternate", value_name = "URL")]
    pub alternates: Vec<String>,
    /// The visitor's host app, e.g. wechat or browser: says how they would be sent on.
    #[arg(long)]
    pub app: Option<String>,
    /// The visitor's system: ios, android, harmony, desktop.
    #[arg(long)]
    pub os: Option<String>,
    /// One JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `hopgate landing`. What is left out is every value of it.
#[derive(Args, Debug)]
pub struct Landing {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub config: Config,
    /// The host app, e.g. wechat; `browser` is a plain browser, `chromium` one on Android that follows `intent:`.
    #[arg(long)]
    pub app: Option<String>,
    /// The system: ios, android, harmony, desktop, unknown.
    #[arg(long)]
    pub os: Option<String>,
    /// The marketplace; told from --url.
    #[arg(long, conflicts_with = "url")]
    pub marketplace: Option<String>,
    /// What the agreement asks for.
    #[arg(long, default_value = "app")]
    pub mode: String,
    /// A landing: says the addresses too.
    #[arg(long)]
    pub url: Option<String>,
    /// A JSON array.
    #[arg(long)]
    pub json: bool,
}

/// `hopgate sign`.
#[derive(Subcommand, Debug)]
pub enum Sign {
    /// The address of an outbound click: /go?…&sig=…
    Go {
        #[command(flatten)]
        key: SignKey,
        /// Where it leads: an address of a marketplace.
        #[arg(long)]
        to: String,
        /// The shop, e.g. self_operated.
        #[arg(long)]
        shop_type: Option<String>,
        /// The goods' category.
        #[arg(long)]
        category: Option<String>,
        /// Facts the link carries, e.g. xingtu_order; repeatable.
        #[arg(long = "fact", value_name = "NAME")]
        facts: Vec<String>,
        /// No end; only for keys with `without_exp`.
        #[arg(long)]
        without_exp: bool,
        /// What stands before the path, e.g. https://go.example.com; the path alone without it.
        #[arg(long, value_name = "URL")]
        base: Option<String>,
    },
    /// A placement token, for `?hg=` behind a short link.
    Token {
        #[command(flatten)]
        key: SignKey,
        /// The link it is for.
        #[arg(long)]
        code: String,
    },
}

/// What both sorts of signing need.
#[derive(Args, Debug)]
pub struct SignKey {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub config: Config,
    /// A key of [[signing.keys]]; its platform signs.
    #[arg(long, value_name = "ID")]
    pub key: String,
    /// The spot, e.g. live_cart.
    #[arg(long)]
    pub surface: String,
    /// The creator.
    #[arg(long)]
    pub creator: Option<String>,
    /// The note or video.
    #[arg(long)]
    pub note: Option<String>,
    /// For how long it is good.
    #[arg(long, value_name = "SPAN", default_value = "10m")]
    pub valid_for: Span,
    /// From this time on [default: now].
    #[arg(long, value_name = "TIME")]
    pub at: Option<Timestamp>,
}
