//! What can be typed. Only names and meanings; the work is elsewhere.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::{ledger_args, orders_args, policy_args};
use crate::audit::backtest::USUAL_SAMPLES;
use crate::audit::shift::Shift;
use crate::domain::span::Span;
use crate::domain::time::Timestamp;
use crate::report::show::Form;

/// The redirect and deep-link gateway for social commerce.
#[derive(Parser, Debug)]
#[command(name = "hopgate", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Sample data on the embedded default: real clicks, and a table of what happened.
    Demo {
        /// Exit after the table; non-zero when anything was not as expected.
        #[arg(long)]
        once: bool,
    },
    /// Run a gateway.
    Serve(Serve),
    /// Name every fault of configuration and policies; exit 78 when there is any.
    Check {
        #[command(flatten)]
        config: Config,
    },
    /// Say what would become of a click, and why.
    Explain(Explain),
    /// Say how a permitted click is sent on, by host app, system and marketplace.
    Landing(Landing),
    /// Policies.
    #[command(subcommand)]
    Policy(Policy),
    /// Links.
    #[command(subcommand)]
    Link(Link),
    /// API keys.
    #[command(subcommand)]
    Key(Key),
    /// Recorded hops.
    #[command(subcommand)]
    Hops(Hops),
    /// Order reports of the networks, and whose positions are.
    #[command(subcommand)]
    Orders(orders_args::Orders),
    /// Figures that are kept up from recorded hops.
    #[command(subcommand)]
    Stats(Stats),
    /// Front and back events: what happens around clicks.
    #[command(subcommand)]
    Events(Events),
    /// Whom orders are credited to, and what everyone is owed.
    #[command(subcommand)]
    Ledger(ledger_args::Ledger),
    /// Parquet files of hops.
    #[command(subcommand)]
    Archive(Archive),
    /// Erase what is personal in hops, and prove it: visitors' networks and hashes, and the raw log.
    Purge(Purge),
    /// Reports.
    #[command(subcommand)]
    Report(Report),
    /// Sign as a platform would: an outbound click or a placement token.
    #[command(subcommand)]
    Sign(Sign),
    /// Webhooks.
    #[command(subcommand)]
    Webhook(Webhook),
    /// Postbacks to ad platforms.
    #[command(subcommand)]
    Postback(Postback),
    /// Certificates.
    #[command(subcommand)]
    Certs(Certs),
}

/// `hopgate stats`.
#[derive(Subcommand, Debug)]
pub enum Stats {
    /// Count the hops that were not counted yet; a gateway that runs does so by itself.
    Follow {
        #[command(flatten)]
        place: Place,
    },
    /// Count every recorded hop anew, by the rules of the settings; beside a running gateway, if need be.
    Rebuild {
        #[command(flatten)]
        place: Place,
    },
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

/// Which configuration.
#[derive(Args, Debug, Default, Clone)]
pub struct Config {
    /// Settings file [default: config/hopgate.toml where it exists].
    #[arg(long, value_name = "FILE", env = "HOPGATE_CONFIG")]
    pub config: Option<PathBuf>,
}

/// Which configuration and data.
#[derive(Args, Debug, Default, Clone)]
pub struct Place {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub config: Config,
    /// Data folder; over the settings file.
    #[arg(long, value_name = "DIR", env = "HOPGATE_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
}

/// `hopgate serve`.
#[derive(Args, Debug)]
pub struct Serve {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// Click listener; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub click: Option<SocketAddr>,
    /// Control listener.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub control: Option<SocketAddr>,
    /// Ops listener.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub ops: Option<SocketAddr>,
    /// TLS click listener; needs [[tls.certificates]].
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub tls: Option<SocketAddr>,
    /// Start the clock at this time (Beijing time unless it says otherwise): rehearse the midnight of a sale.
    #[arg(long, value_name = "TIME")]
    pub rehearse_at: Option<Timestamp>,
}

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

/// `hopgate policy backtest`.
#[derive(Args, Debug)]
pub struct Backtest {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// The candidate: a kept version, by its first digits.
    #[arg(long, value_name = "VERSION")]
    pub version: Option<String>,
    /// The candidate: agreement files in a folder, or one file [default: the policies of the settings].
    #[arg(long, value_name = "PATH", conflicts_with = "version")]
    pub policies: Option<PathBuf>,
    /// Clicks from this time …
    #[arg(long, value_name = "TIME")]
    pub from: Option<Timestamp>,
    /// … until just before this one.
    #[arg(long, value_name = "TIME")]
    pub to: Option<Timestamp>,
    /// Decide as if each click came so much later, e.g. 1y, 364d, 12h: last year's traffic under this year's windows.
    #[arg(long, value_name = "SPAN", allow_hyphen_values = true)]
    pub shift: Option<Shift>,
    /// Count bots, prefetch and HEAD in the breakdowns too.
    #[arg(long)]
    pub include_machines: bool,
    /// Sample clicks of each cell, at most 1000.
    #[arg(long, value_name = "COUNT", default_value_t = USUAL_SAMPLES)]
    pub samples: usize,
    /// Picks the samples: the same number picks the same clicks.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// One JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `hopgate policy calendar`.
#[derive(Args, Debug)]
pub struct Calendar {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// From this time [default: half a year ago] …
    #[arg(long, value_name = "TIME")]
    pub from: Option<Timestamp>,
    /// … until just before this one [default: half a year from now].
    #[arg(long, value_name = "TIME")]
    pub to: Option<Timestamp>,
    /// As if it were this time [default: now].
    #[arg(long, value_name = "TIME")]
    pub at: Option<Timestamp>,
    /// One platform only.
    #[arg(long)]
    pub platform: Option<String>,
    /// One marketplace only.
    #[arg(long)]
    pub marketplace: Option<String>,
    /// The form.
    #[arg(long, value_enum, default_value_t = CalendarFormat::Text)]
    pub format: CalendarFormat,
    /// A file instead of standard output; it must not exist yet.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Forms of the calendar.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalendarFormat {
    /// For a terminal, 100 columns.
    Text,
    /// A picture.
    Svg,
    /// A page.
    Html,
    /// One JSON object.
    Json,
}

/// `hopgate policy terms`. What is left out is not known, and a condition on it is not met.
#[derive(Args, Debug)]
pub struct Terms {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// Where the note is, e.g. xiaohongshu.
    #[arg(long)]
    pub platform: String,
    /// Where its readers buy, e.g. taobao.
    #[arg(long)]
    pub marketplace: String,
    /// The instant of reading [default: now].
    #[arg(long, value_name = "TIME")]
    pub at: Option<Timestamp>,
    /// The spot on the platform, e.g. ad_note.
    #[arg(long)]
    pub surface: Option<String>,
    /// Who runs the shop.
    #[arg(long)]
    pub shop_type: Option<String>,
    /// What a link leads to.
    #[arg(long)]
    pub link_kind: Option<String>,
    /// The goods' category.
    #[arg(long)]
    pub category: Option<String>,
    /// The creator.
    #[arg(long)]
    pub creator: Option<String>,
    /// One JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `hopgate link`.
#[derive(Subcommand, Debug)]
pub enum Link {
    /// Issue one link.
    Create(Box<LinkCreate>),
    /// Issue many: all of them, or none when any has a fault.
    Import(LinkImport),
}

/// `hopgate link create`.
#[derive(Args, Debug)]
pub struct LinkCreate {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// The address: Taobao, Tmall, JD, or a shop on Kuaishou or Xiaohongshu; or a whole share text with one; or a share code
    /// (口令) alone.
    #[arg(long)]
    pub url: String,
    /// Whose code it is, for a code alone that does not tell.
    #[arg(long)]
    pub marketplace: Option<String>,
    /// Bind it to a platform.
    #[arg(long)]
    pub platform: Option<String>,
    /// Bind it to a spot there.
    #[arg(long)]
    pub surface: Option<String>,
    /// The creator who issues it.
    #[arg(long)]
    pub creator: Option<String>,
    /// A code of your own, 3 to 64 characters.
    #[arg(long)]
    pub slug: Option<String>,
    /// When it ends.
    #[arg(long, value_name = "TIME")]
    pub expires_at: Option<String>,
    /// Who runs the shop.
    #[arg(long)]
    pub shop_type: Option<String>,
    /// The goods' category.
    #[arg(long)]
    pub category: Option<String>,
    /// A label; repeatable.
    #[arg(long = "tag")]
    pub tags: Vec<String>,
    /// A fact it carries; repeatable.
    #[arg(long = "fact", value_name = "NAME")]
    pub facts: Vec<String>,
    /// Where a click goes when the policy refuses --url, tried in order: URL[,shop_type=…][,category=…]; repeatable, at
    /// most 8.
    #[arg(long = "alternate", value_name = "URL")]
    pub alternates: Vec<String>,
    /// One JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `hopgate link import`.
#[derive(Args, Debug)]
pub struct LinkImport {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// The file's format.
    #[arg(long, value_enum, default_value_t = ImportFormat::Ndjson)]
    pub format: ImportFormat,
    /// Ask short links what they lead to, as `link create` does.
    #[arg(long)]
    pub resolve: bool,
    /// One link a line: the fields of `POST /v1/links`, with `code` as another name of `slug`.
    pub file: PathBuf,
}

/// Formats of link files.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportFormat {
    /// One JSON object a line.
    Ndjson,
}

/// `hopgate key`.
#[derive(Subcommand, Debug)]
pub enum Key {
    /// Make a key; it is shown this once.
    Create {
        #[command(flatten)]
        #[allow(missing_docs)]
        place: Place,
        /// creator, platform, merchant or ops.
        #[arg(long)]
        role: String,
        /// The creator, platform or shop (shop:ID or seller:ID) it speaks for.
        #[arg(long)]
        scope: Option<String>,
        /// A name to know it by.
        #[arg(long, default_value = "")]
        name: String,
    },
    /// List keys; never their text.
    List {
        #[command(flatten)]
        #[allow(missing_docs)]
        place: Place,
        /// One JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key, at once.
    Revoke {
        #[command(flatten)]
        #[allow(missing_docs)]
        place: Place,
        /// The key's id, as `key list` shows it.
        id: String,
    },
}

/// `hopgate policy`.
#[derive(Subcommand, Debug)]
pub enum Policy {
    /// List versions, the last kept first.
    List(policy_args::List),
    /// Show a version.
    Show(policy_args::Show),
    /// List which version came into force when, by whom and why: the last first.
    Log(policy_args::Log),
    /// Say what differs between two versions, folders or files.
    Diff(policy_args::Diff),
    /// Publish: check, show what differs, switch. With --version: roll back.
    Publish(Box<policy_args::Publish>),
    /// Switch a pair, a platform, a marketplace, a creator or a shop off, at once.
    Kill(Box<policy_args::Kill>),
    /// Lift a kill before its end.
    Unkill(policy_args::Unkill),
    /// List what is switched off.
    Kills(policy_args::Kills),
    /// Say what a candidate policy would have made of recorded clicks.
    Backtest(Box<Backtest>),
    /// Show which windows are open when, by pair, and which end soon.
    Calendar(Calendar),
    /// Say on which terms data of a note is returned, at the instant it is read.
    Terms(Terms),
}

/// `hopgate hops`.
#[derive(Subcommand, Debug)]
pub enum Hops {
    /// Write recorded hops to a file; `-` for standard output.
    Export {
        #[command(flatten)]
        #[allow(missing_docs)]
        place: Place,
        /// From this time …
        #[arg(long, value_name = "TIME")]
        from: Option<Timestamp>,
        /// … until just before this one.
        #[arg(long, value_name = "TIME")]
        to: Option<Timestamp>,
        /// Only of this link.
        #[arg(long)]
        code: Option<String>,
        /// Only of this creator.
        #[arg(long)]
        creator: Option<String>,
        /// The file's format.
        #[arg(long, value_enum, default_value_t = ExportFormat::Ndjson)]
        format: ExportFormat,
        /// The file; it must not exist yet.
        out: PathBuf,
    },
    /// Decide every recorded hop again under the version it names; exit 1 unless all are equal.
    Verify {
        #[command(flatten)]
        #[allow(missing_docs)]
        place: Place,
        /// From this time …
        #[arg(long, value_name = "TIME")]
        from: Option<Timestamp>,
        /// … until just before this one.
        #[arg(long, value_name = "TIME")]
        to: Option<Timestamp>,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// Formats of hop files.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// One JSON object a line.
    Ndjson,
    /// Comma-separated values with a head line.
    Csv,
    /// Columns with types, as the archive has them.
    Parquet,
}

/// `hopgate archive`.
#[derive(Subcommand, Debug)]
pub enum Archive {
    /// Archive finished segments now, and remove those that may go. A gateway that serves does so by itself.
    Run {
        #[command(flatten)]
        #[allow(missing_docs)]
        place: Place,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// What is in the archive, and what of it is in the journal too.
    List {
        #[command(flatten)]
        #[allow(missing_docs)]
        place: Place,
        /// A JSON list.
        #[arg(long)]
        json: bool,
    },
}

/// `hopgate purge`.
#[derive(Args, Debug)]
pub struct Purge {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// Hops decided before this instant; `[privacy] keep_visitors` ago without this and --older-than.
    #[arg(long, value_name = "TIME", conflicts_with = "older_than")]
    pub before: Option<Timestamp>,
    /// Hops decided longer ago than this: 30d, 12h.
    #[arg(long, value_name = "SPAN")]
    pub older_than: Option<Span>,
    /// Only on links of this creator.
    #[arg(long)]
    pub creator: Option<String>,
    /// Only on this link.
    #[arg(long)]
    pub code: Option<String>,
    /// Also the clicks that orders are matched with: no visitor can be told from them, but orders that are reported or
    /// change later stay without a match.
    #[arg(long, conflicts_with_all = ["creator", "code"])]
    pub clicks: bool,
    /// Change nothing, say what would be erased.
    #[arg(long)]
    pub dry_run: bool,
    /// The record as one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `hopgate report`.
#[derive(Subcommand, Debug)]
pub enum Report {
    /// Which links, of which creators, stop working when, and why.
    Expiring(ReportExpiring),
    /// Clicks by link, creator, placement, marketplace, outcome and time.
    Links(Box<ReportSheet>),
    /// From the note to the order, with rates; what came through samples as estimates.
    Funnel(Box<ReportSheet>),
    /// What orders brought to whom.
    Settlement(Box<ReportSheet>),
}

/// `hopgate report links`, `funnel` and `settlement`.
#[derive(Args, Debug)]
pub struct ReportSheet {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// From this time on [default: 30 days before --to].
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Before this time [default: the end of today, Beijing time].
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Of this creator only.
    #[arg(long)]
    pub creator: Option<String>,
    /// Of this link only.
    #[arg(long)]
    pub code: Option<String>,
    /// On this platform only.
    #[arg(long)]
    pub platform: Option<String>,
    /// To this marketplace only.
    #[arg(long)]
    pub marketplace: Option<String>,
    /// To this shop only: shop:ID or seller:ID.
    #[arg(long)]
    pub shop: Option<String>,
    /// Under this agreement only.
    #[arg(long)]
    pub agreement: Option<String>,
    /// Of this note only.
    #[arg(long)]
    pub note: Option<String>,
    /// Of this order only.
    #[arg(long)]
    pub order: Option<String>,
    /// What rows are grouped by, with commas between: a wrong one tells which there are.
    #[arg(long, value_name = "NAMES")]
    pub by: Option<String>,
    /// At most so many rows; totals are of all.
    #[arg(long, value_name = "N")]
    pub limit: Option<String>,
    /// Other rules than the usual ones, to settle a dispute.
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// How to show it.
    #[arg(long, value_enum, default_value_t = SheetFormat::Text)]
    pub format: SheetFormat,
    /// Into this new file.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Forms of a report of attribution.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum SheetFormat {
    /// For people.
    Text,
    /// Comma-separated values with a head line; money in fen.
    Csv,
    /// One JSON object; money in fen.
    Json,
    /// A page with charts.
    Html,
}

impl SheetFormat {
    /// The form.
    pub const fn form(self) -> Form {
        match self {
            SheetFormat::Text => Form::Text,
            SheetFormat::Csv => Form::Csv,
            SheetFormat::Json => Form::Json,
            SheetFormat::Html => Form::Html,
        }
    }
}

/// `hopgate events`.
#[derive(Subcommand, Debug)]
pub enum Events {
    /// Keep the events of a file. Telling one twice changes nothing; a bad row is kept apart and holds up no other.
    Import(EventsImport),
    /// What is kept, or what waits to be mended.
    List(EventsList),
}

/// `hopgate events import`.
#[derive(Args, Debug)]
pub struct EventsImport {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// NDJSON or CSV with the fields of POST /v1/events.
    pub file: PathBuf,
    /// What it is [default: by the end of its name, NDJSON but for .csv].
    #[arg(long, value_enum)]
    pub format: Option<EventFormat>,
    /// Who tells rows that do not say so: of one source and id there is one event.
    #[arg(long, default_value = "file")]
    pub source: String,
    /// Read everything and keep nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// One JSON object of counts.
    #[arg(long)]
    pub json: bool,
}

/// Forms of an event file.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventFormat {
    /// One object a line.
    Ndjson,
    /// Comma-separated values with a head line.
    Csv,
}

/// `hopgate events list`.
#[derive(Args, Debug)]
pub struct EventsList {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// From this time on.
    #[arg(long, value_name = "TIME")]
    pub from: Option<Timestamp>,
    /// Before this time.
    #[arg(long, value_name = "TIME")]
    pub to: Option<Timestamp>,
    /// Rows that cannot be used instead.
    #[arg(long, conflicts_with_all = ["from", "to"])]
    pub quarantined: bool,
    /// Those that were mended since, too.
    #[arg(long, requires = "quarantined")]
    pub all: bool,
    /// At most so many.
    #[arg(long, default_value_t = 100)]
    pub limit: usize,
    /// One JSON array.
    #[arg(long)]
    pub json: bool,
}

/// `hopgate report expiring`.
#[derive(Args, Debug)]
pub struct ReportExpiring {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// How far to look ahead: 45m, 12h, 30d, 2w.
    #[arg(long, value_name = "SPAN", default_value = "30d")]
    pub within: Span,
    /// From when [default: now].
    #[arg(long, value_name = "TIME")]
    pub at: Option<Timestamp>,
    /// Links of this creator only.
    #[arg(long)]
    pub creator: Option<String>,
    /// Clicks on this platform only; links bound to none count.
    #[arg(long)]
    pub platform: Option<String>,
    /// Links that work nowhere, too, in a list of their own.
    #[arg(long)]
    pub include_dead: bool,
    /// Counts by instant and agreement only.
    #[arg(long)]
    pub summary: bool,
    /// How to print it; CSV has the rows, not the counts.
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub format: ReportFormat,
}

/// Formats of reports.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportFormat {
    /// For people.
    Text,
    /// Comma-separated values with a head line.
    Csv,
    /// One JSON object.
    Json,
}

/// `hopgate webhook`.
#[derive(Subcommand, Debug)]
pub enum Webhook {
    /// List webhooks, and deliveries that wait or were given up.
    List {
        #[command(flatten)]
        #[allow(missing_docs)]
        place: Place,
        /// To this webhook only.
        #[arg(long, value_name = "NAME")]
        webhook: Option<String>,
        /// In this state only: pending, delivered or dead.
        #[arg(long)]
        state: Option<String>,
        /// Those that were delivered, too.
        #[arg(long, conflicts_with = "state")]
        all: bool,
        /// At most so many of a state.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// One JSON array of the deliveries.
        #[arg(long)]
        json: bool,
    },
    /// Send an event again that was not delivered.
    Retry {
        #[command(flatten)]
        #[allow(missing_docs)]
        place: Place,
        /// The event's id, as `webhook list` shows it.
        id: String,
        /// To this webhook only.
        #[arg(long, value_name = "NAME")]
        webhook: Option<String>,
    },
    /// Send a webhook.test event now, and say what the receiver answers.
    Test {
        #[command(flatten)]
        #[allow(missing_docs)]
        place: Place,
        /// The webhook.
        name: String,
    },
}

/// `hopgate postback`.
#[derive(Subcommand, Debug)]
pub enum Postback {
    /// List postbacks, and events that wait or were given up.
    List {
        #[command(flatten)]
        #[allow(missing_docs)]
        place: Place,
        /// To this postback only.
        #[arg(long, value_name = "NAME")]
        postback: Option<String>,
        /// In this state only: pending, delivered or dead.
        #[arg(long)]
        state: Option<String>,
        /// Those that were delivered, too.
        #[arg(long, conflicts_with = "state")]
        all: bool,
        /// At most so many of a state.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// One JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Tell again of an event that was not delivered.
    Retry {
        #[command(flatten)]
        #[allow(missing_docs)]
        place: Place,
        /// The event's id, as `postback list` shows it.
        id: String,
        /// To this postback only.
        #[arg(long, value_name = "NAME")]
        postback: Option<String>,
    },
}

/// `hopgate certs`.
#[derive(Subcommand, Debug)]
pub enum Certs {
    /// Make a self-signed certificate for development.
    Dev {
        /// The folder it goes to.
        #[arg(long, default_value = "certs")]
        out: PathBuf,
        /// A name it is for; repeatable.
        #[arg(long = "name", default_values_t = ["localhost".to_owned(), "127.0.0.1".to_owned()])]
        names: Vec<String>,
    },
}
