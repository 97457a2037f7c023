//! What can be typed. Only names and meanings; the work is elsewhere.

pub mod ask;
pub mod click;
pub mod deliveries;
pub mod events;
pub mod hops;
pub mod ledger;
pub mod links;
pub mod orders;
pub mod policy;
pub mod report;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use self::click::{Explain, Landing, Sign};
use self::deliveries::{Postback, Webhook};
use self::events::Events;
use self::hops::{Archive, Hops, Purge};
use self::links::Link;
use self::policy::Policy;
use self::report::Report;
use crate::domain::time::Timestamp;

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
    Orders(orders::Orders),
    /// Figures that are kept up from recorded hops.
    #[command(subcommand)]
    Stats(Stats),
    /// Front and back events: what happens around clicks.
    #[command(subcommand)]
    Events(Events),
    /// Whom orders are credited to, and what everyone is owed.
    #[command(subcommand)]
    Ledger(ledger::Ledger),
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
