//! The command line: arguments in, output and exit code out. Decides nothing itself.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong use, 78 bad configuration. Results go to standard output, logs and faults to
//! standard error.

/// Prints a line of a result. A reader that has gone (`| head`) ends the command quietly; a full disk is a failure.
macro_rules! say {
    ($($told:tt)*) => { crate::cli::tell(format_args!($($told)*)) };
}

mod archive;
mod args;
mod backtest;
mod calendar;
mod data;
mod deliveries;
mod demo;
mod events;
mod explain;
mod http;
mod kills;
mod landing;
mod ledger;
mod order_positions;
mod order_quarantine;
mod orders;
mod policy;
mod postback;
mod progress;
mod pull;
mod report;
mod serve;
mod sheets;
mod short_links;
mod sign;
mod stats;
mod terms;
mod verify;
mod webhook;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use crate::app::StartError;
use crate::clock::Clock;
use crate::config::settings::Settings;
use crate::config::tree::Fault;
use crate::edge::tls::Certificates;
use crate::notify::postback::receiver::receivers;
use crate::notify::target::{TargetError, resolve};
use crate::policies::folder;
use crate::policies::lints;
use args::policy::Policy;
use args::{Certs, Cli, Command, Config, Place};

/// The settings file that is used when none is named.
const USUAL_CONFIG: &str = "config/hopgate.toml";

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub enum CliError {
    /// It went wrong: exit 1.
    Failed(String),
    /// It was asked wrongly: exit 2.
    Usage(String),
    /// Configuration or policies have faults: exit 78.
    Config(Vec<Fault>),
}

impl CliError {
    /// A failure with its story.
    fn failed(error: impl std::fmt::Display) -> Self {
        CliError::Failed(error.to_string())
    }
}

impl From<StartError> for CliError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config(faults) => CliError::Config(faults),
            StartError::Tls(error) => CliError::Config(vec![tls_fault(&error)]),
            other => CliError::failed(other),
        }
    }
}

fn tell(line: std::fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            std::process::exit(0);
        }
        eprintln!("hopgate: cannot write to standard output: {error}");
        std::process::exit(1);
    }
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no faults: clap sends them to standard output and knows their exit code.
            drop(error.print());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match execute(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(CliError::Failed(problem)) => {
            eprintln!("hopgate: {problem}");
            ExitCode::from(1)
        }
        Err(CliError::Usage(problem)) => {
            eprintln!("hopgate: {problem}");
            ExitCode::from(2)
        }
        Err(CliError::Config(faults)) => {
            for fault in &faults {
                eprintln!("{fault}");
            }
            eprintln!("hopgate: {} fault(s) in configuration and policies", faults.len());
            ExitCode::from(78)
        }
    }
}

fn execute(command: Command) -> Result<(), CliError> {
    match command {
        Command::Demo { once } => demo::run(once),
        Command::Serve(serve) => serve::run(serve),
        Command::Check { config } => check(&config),
        Command::Explain(explain) => explain::run(explain),
        Command::Landing(asked) => landing::run(asked),
        Command::Policy(Policy::Terms(asked)) => terms::run(asked),
        Command::Policy(Policy::Calendar(asked)) => calendar::run(asked),
        Command::Policy(Policy::Backtest(asked)) => backtest::run(*asked),
        Command::Link(link) => data::link(link),
        Command::Key(key) => data::key(key),
        Command::Policy(Policy::List(asked)) => policy::list(&asked),
        Command::Policy(Policy::Show(asked)) => policy::show(&asked),
        Command::Policy(Policy::Log(asked)) => policy::log(&asked),
        Command::Policy(Policy::Diff(asked)) => policy::diff(&asked),
        Command::Policy(Policy::Publish(asked)) => policy::publish(*asked),
        Command::Policy(Policy::Kill(asked)) => kills::kill(*asked),
        Command::Policy(Policy::Unkill(asked)) => kills::unkill(asked),
        Command::Policy(Policy::Kills(asked)) => kills::kills(&asked),
        Command::Hops(hops) => data::hops(hops),
        Command::Orders(asked) => orders::run(asked),
        Command::Ledger(asked) => ledger::run(asked),
        Command::Stats(asked) => stats::run(&asked),
        Command::Events(asked) => events::run(asked),
        Command::Archive(asked) => archive::run(asked),
        Command::Purge(asked) => archive::purge(asked),
        Command::Report(asked) => report::run(asked),
        Command::Sign(asked) => sign::run(asked),
        Command::Webhook(asked) => webhook::run(asked),
        Command::Postback(asked) => postback::run(asked),
        Command::Certs(Certs::Dev { out, names }) => {
            let files = crate::edge::tls::write_dev(&out, &names).map_err(CliError::failed)?;
            say!("certificate {}\nkey         {}", files.chain.display(), files.key.display());
            say!("\n[[tls.certificates]]\nchain = \"{}\"\nkey = \"{}\"", shown(&files.chain), shown(&files.key));
            Ok(())
        }
    }
}

/// A path as it can stand in a settings file anywhere.
fn shown(path: &Path) -> String {
    path.canonicalize().unwrap_or_else(|_| path.to_path_buf()).display().to_string()
}

/// Names every fault of settings, policies and certificates.
fn check(config: &Config) -> Result<(), CliError> {
    let (settings, mut faults) = match config_file(config) {
        Some(path) => Settings::inspect(path),
        None => (Some(Settings::defaults(&usual_base(config))), Vec::new()),
    };
    let Some(settings) = settings else { return Err(CliError::Config(faults)) };
    let (mut agreements, mut warned) = (0, 0);
    match folder::load(&settings.policies, &settings.words) {
        Ok(loaded) => {
            agreements = loaded.policy.agreements().len();
            let now = Clock::System.now();
            let found = lints::look(&loaded.policy, &settings.words, &settings.traffic, now, &|_| None);
            let (errors, warnings) = lints::weighed(&settings.policies, found);
            warnings.iter().for_each(|warning| eprintln!("{warning}"));
            faults.extend(errors);
            warned = warnings.len();
        }
        Err(more) => faults.extend(more),
    }
    faults.extend(crate::config::landing::load(&settings.landing, &settings.words).err().unwrap_or_default());
    if !settings.certificates.is_empty()
        && let Err(error) = Certificates::load(&settings.certificates)
    {
        faults.push(tls_fault(&error));
    }
    faults.extend(check_webhooks(&settings)?);
    faults.extend(crate::alliance::account::accounts(&settings.alliances).err().unwrap_or_default());
    faults.extend(crate::app::resolve::resolver(&settings, true).err());
    match crate::app::signals::read(&settings) {
        Ok((_, warnings)) => warnings.iter().for_each(|warning| eprintln!("warning: {warning}")),
        Err(more) => faults.extend(more),
    }
    faults.extend(crate::edge::proxy::upstream::build(&settings.proxy).err().unwrap_or_default());
    if faults.is_empty() {
        let warned = if warned > 0 { format!(", {warned} warnings") } else { String::new() };
        let marketplaces = settings.words.markets().all().count();
        let certificates = settings.certificates.len();
        say!("ok: {agreements} agreements, {marketplaces} marketplaces, {certificates} certificates{warned}");
        Ok(())
    } else {
        Err(CliError::Config(faults))
    }
}

/// What is wrong with webhooks and postbacks: secrets, certificates, and hosts that lead where they may not. A name that cannot be
/// resolved is no fault of the settings: it is told on standard error.
fn check_webhooks(settings: &Settings) -> Result<Vec<Fault>, CliError> {
    let mut faults = crate::notify::client::clients(&settings.webhooks).err().unwrap_or_default();
    faults.extend(receivers(&settings.postbacks).err().unwrap_or_default());
    let runtime = data::runtime()?;
    let webhooks = settings.webhooks.iter().map(|webhook| ("webhooks", webhook));
    let postbacks = settings.postbacks.iter().map(|postback| ("postbacks", &postback.receiver));
    for (section, webhook) in webhooks.chain(postbacks) {
        match runtime.block_on(resolve(webhook)) {
            Ok(_) => {}
            Err(error @ TargetError::Unresolved { .. }) => eprintln!("warning: {section}: {}: {error}", webhook.name),
            Err(error) => {
                let (file, field) = (section.to_owned(), webhook.name.clone());
                faults.push(Fault { file, line: 1, field, problem: error.to_string() });
            }
        }
    }
    Ok(faults)
}

fn tls_fault(error: &crate::edge::tls::TlsError) -> Fault {
    use crate::edge::tls::TlsError;
    let (file, problem) = match error {
        TlsError::File { path, what } => (path.display().to_string(), what.clone()),
        other => ("tls".to_owned(), other.to_string()),
    };
    Fault { file, line: 1, field: String::new(), problem }
}

/// The settings of a command: the named file, else the usual one, else the defaults.
fn settings(config: &Config) -> Result<Settings, CliError> {
    match config_file(config) {
        Some(path) => Settings::load(path).map_err(CliError::Config),
        None => Ok(Settings::defaults(&usual_base(config))),
    }
}

/// The named settings file, else the usual one where it exists.
fn config_file(config: &Config) -> Option<&Path> {
    let usual = Path::new(USUAL_CONFIG);
    config.config.as_deref().or(usual.exists().then_some(usual))
}

fn usual_base(config: &Config) -> PathBuf {
    let path = config.config.as_deref().unwrap_or(Path::new(USUAL_CONFIG));
    path.parent().unwrap_or(Path::new("")).to_path_buf()
}

/// The settings of a command that works on data.
fn settings_of(place: &Place) -> Result<Settings, CliError> {
    let mut settings = settings(&place.config)?;
    if let Some(data_dir) = &place.data_dir {
        settings.data_dir.clone_from(data_dir);
    }
    Ok(settings)
}
