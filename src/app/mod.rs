//! The composition root: builds the parts of a gateway, owns the order in which they start and stop.
//!
//! Start: policies, certificates, journal, secrets, catalog, listeners, workers. Nothing listens before everything a click
//! needs is there; a fault on the way starts nothing. Stop: not ready, listeners close and connections drain, lanes flush,
//! the journal syncs, the control plane ends last.

pub mod alliance;
pub mod archive;
mod data;
pub mod ledger;
mod notify;
mod observe;
mod orders;
pub mod postbacks;
pub mod reports;
pub mod resolve;
pub mod signals;
mod stats;
mod upkeep;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

pub use data::DataDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch as signal;

use crate::alliance::account::accounts;
use crate::alliance::puller::Tools;
use crate::alliance::sink::OrderSink;
use crate::alliance::sqlite::SqlitePullStore;
use crate::archive::keeper::Follower;
use crate::attribution::events::sqlite::SqliteEventStore;
use crate::attribution::events::{EventStore, Tally as EventTally};
use crate::attribution::ledger::settle::Counting;
use crate::attribution::ledger::sqlite::SqliteLedger;
use crate::attribution::orders::intake::OrderIntake;
use crate::attribution::orders::sqlite::SqliteOrderStore;
use crate::attribution::stats::Stats;
use crate::catalog::sqlite::SqliteLinkStore;
use crate::catalog::{Catalog, LoadOptions};
use crate::click::Gateway;
use crate::click::landings::Landings;
use crate::click::replay::Replay;
use crate::click::shadow::ShadowSlot;
use crate::click::signals::SignalSlot;
use crate::click::visitor::DayKeys;
use crate::clock::Clock;
use crate::config::settings::{PolicySource, Settings};
use crate::config::tree::Fault;
use crate::control::keys::sqlite::SqliteKeyStore;
use crate::control::keys::{KeyStore, ensure_admin_key};
use crate::control::sightings::Sightings;
use crate::control::{ControlState, OpsState};
use crate::domain::policy::Reason;
use crate::domain::policy::lint::depend::depends;
use crate::edge::listen::{BindError, bind};
use crate::edge::plain;
use crate::edge::proxy::upstream;
use crate::edge::service::Site;
use crate::edge::tls::{Certificates, TlsError};
use crate::edge::well_known::WellKnown;
use crate::edge::worker::{self, WorkerSetup};
use crate::journal::{Journal, JournalConfig, JournalStats, OpenError};
use crate::notify::client::clients;
use crate::notify::courier::Tally;
use crate::notify::outbox::Outbox;
use crate::notify::postback::receiver::receivers;
use crate::notify::postback::teller::Teller;
use crate::notify::sqlite::SqliteOutbox;
use crate::policies::folder;
use crate::policies::publish::{Publisher, Rules, StartFault};
use crate::policies::sqlite::SqlitePolicyStore;
use crate::policies::store::PolicyStore;
use crate::report::asked::Reporter;
use crate::sqlite::SqliteError;
use crate::telemetry::metrics::{Labels, Metrics, WorkerCounters};
use postbacks::Postbacks;
use reports::Desk;

/// Time the journal gets to reach the disk at the end.
const JOURNAL_CLOSE: Duration = Duration::from_secs(10);

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Configuration or policies have faults.
    #[error("{} fault(s) in configuration and policies", .0.len())]
    Config(Vec<Fault>),
    /// Certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The data folder cannot be used.
    #[error("data folder {}: {error}; check that it exists and belongs to this user", path.display())]
    Data {
        /// The folder or file.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// The policy that should be in force cannot be had.
    #[error("{0}")]
    Policies(StartFault),
    /// A store cannot be opened.
    #[error(transparent)]
    Store(#[from] SqliteError),
    /// The first key cannot be made.
    #[error("the first ops key cannot be made: {0}")]
    AdminKey(String),
    /// A listener cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Threads or sockets cannot be set up.
    #[error("the operating system refuses: {0}")]
    System(#[from] io::Error),
}

impl From<StartFault> for StartError {
    fn from(fault: StartFault) -> Self {
        match fault {
            StartFault::Faults(faults) => StartError::Config(faults),
            other => StartError::Policies(other),
        }
    }
}

/// Where a running gateway listens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Addresses {
    /// Clicks over HTTP.
    pub click: SocketAddr,
    /// Clicks over HTTPS.
    pub tls: Option<SocketAddr>,
    /// API.
    pub control: SocketAddr,
    /// Metrics and health.
    pub ops: SocketAddr,
}

impl std::fmt::Display for Addresses {
    /// The line that says a gateway is ready.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ready click=http://{}", self.click)?;
        if let Some(tls) = self.tls {
            write!(f, " tls=https://{tls}")?;
        }
        write!(f, " control=http://{} ops=http://{}", self.control, self.ops)
    }
}

/// A running gateway.
pub struct App {
    addresses: Addresses,
    gateway: Arc<Gateway>,
    settings: Arc<Settings>,
    journal: Option<Journal>,
    stats: Arc<JournalStats>,
    certificates: Option<Arc<Certificates>>,
    publisher: Arc<Publisher>,
    policy_watch: Option<JoinHandle<()>>,
    archiving: Option<archive::Archiving>,
    stats_follower: Option<JoinHandle<()>>,
    draining: Arc<AtomicBool>,
    drain_workers: signal::Sender<bool>,
    drain_control: signal::Sender<bool>,
    workers: Vec<JoinHandle<io::Result<()>>>,
    runtime: Option<Runtime>,
}

impl App {
    /// Starts a gateway. Returns when it listens.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running then.
    pub fn start(settings: Settings, clock: Clock) -> Result<App, StartError> {
        let settings = Arc::new(settings);
        let words = Arc::new(settings.words.clone());
        let certificates = match settings.listen.tls {
            Some(_) => Some(Arc::new(Certificates::load(&settings.certificates)?)),
            None => None,
        };

        let landings = Arc::new(Landings::open(settings.landing.clone(), &words).map_err(StartError::Config)?);
        let clients = clients(&settings.webhooks).map_err(StartError::Config)?;
        let accounts = accounts(&settings.alliances).map_err(StartError::Config)?;
        let told = receivers(&settings.postbacks).map_err(StartError::Config)?;
        let resolver = resolve::resolver(&settings, false).map_err(|fault| StartError::Config(vec![fault]))?;
        let signals = signals::read_logged(&settings).map_err(StartError::Config)?;
        let upstreams = upstream::build(&settings.proxy).map_err(StartError::Config)?;

        let data = DataDir::new(&settings.data_dir);
        // Where the folder is what will be in force, its faults are named before anything is made.
        if settings.policy_source == PolicySource::Folder || !data.database().exists() {
            folder::read(&settings.policies, &words).map_err(StartError::Config)?;
        }
        data.create()?;
        let journal = Journal::open(journal_config(&settings, &data))?;
        let stats = journal.stats();
        let click_key = data.click_key()?;
        let visitors = DayKeys::open(&data.visitor_keys(), clock.now())
            .map_err(|error| StartError::Data { path: data.visitor_keys(), error })?;

        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("control")
            .enable_all()
            .build()?;
        let versions = Arc::new(SqlitePolicyStore::open(&data.database())?);
        let policy_store: Arc<dyn PolicyStore> = Arc::<SqlitePolicyStore>::clone(&versions);
        let publisher = Publisher::start(versions, Arc::clone(&words), policy_rules(&settings, &clock), clock.now());
        let publisher = Arc::new(runtime.block_on(publisher)?);
        let policies = Arc::clone(publisher.policies());
        let outbox: Arc<dyn Outbox> = Arc::new(SqliteOutbox::open(&data.database())?);
        let tally = Arc::new(Tally::default());
        let figures = Stats::open(&data.stats(), &settings.attribution.validity)?;
        if figures.rules() != settings.attribution.validity {
            tracing::warn!(
                counted_by = %figures.rules_version(),
                settings = %settings.attribution.validity.version(),
                "the rules of [attribution.validity] have changed: figures go on under the old ones until `hopgate stats rebuild`"
            );
        }
        let following = Arc::new(stats::Tally::default());
        let orders: Arc<dyn OrderIntake> = Arc::new(SqliteOrderStore::open(&data.orders(), click_key.clone())?);
        let order_tally = Arc::new(orders::Tally::default());
        let settler = ledger::settler(
            Arc::new(SqliteLedger::open(&data.orders())?),
            Arc::new(SqliteOrderStore::open(&data.orders(), click_key.clone())?),
            Arc::new(figures.clone()),
            Arc::clone(&policy_store),
            settings.words.clone(),
            Counting::of(&figures.rules()),
            click_key.clone(),
        );
        let books = Arc::new(ledger::Tally::default());
        let events: Arc<dyn EventStore> = Arc::new(SqliteEventStore::open(&data.orders())?);
        let event_tally = Arc::new(EventTally::default());
        let postbacks = Postbacks::open(&settings, click_key.clone(), clock.clone())?;
        let pulls = Tools {
            store: Arc::new(SqlitePullStore::open(&data.orders())?),
            sink: Arc::new(OrderSink(Arc::clone(&orders))),
            clock: clock.clone(),
            tally: Arc::default(),
        };
        let keys: Arc<dyn KeyStore> = Arc::new(SqliteKeyStore::open(&data.database())?);
        runtime
            .block_on(ensure_admin_key(&*keys, &data.admin_key(), clock.now()))
            .map_err(|error| StartError::AdminKey(error.to_string()))?;
        let store = Arc::new(SqliteLinkStore::open(&data.database(), Arc::clone(&words))?);
        let catalog = {
            let _inside = runtime.enter();
            Catalog::open(store, LoadOptions::default())
        };

        let counted = catalog.clone();
        publisher.count_with(Arc::new(move |agreement| counted.count(|link| depends(link, agreement))));

        let workers = settings.workers.max(1);
        let http = bind("click", settings.listen.click, workers)?;
        let tls = settings.listen.tls.map(|address| bind("tls", address, workers)).transpose()?;
        let control = bind("control", settings.listen.control, 1)?;
        let ops = bind("ops", settings.listen.ops, 1)?;
        let address_of = |listeners: &[std::net::TcpListener]| listeners[0].local_addr();
        let addresses = Addresses {
            click: address_of(&http)?,
            tls: tls.as_deref().map(address_of).transpose()?,
            control: address_of(&control)?,
            ops: address_of(&ops)?,
        };

        let shadow = Arc::new(ShadowSlot::default());
        let public_url = settings.public_url.clone().unwrap_or_else(|| format!("http://{}", addresses.click));
        let gateway = Arc::new(Gateway {
            catalog: catalog.clone(),
            policies: Arc::clone(&policies),
            landings: Arc::clone(&landings),
            public_url: public_url.clone(),
            shadow: Arc::clone(&shadow),
            clock: clock.clone(),
            click_key: click_key.clone(),
            words: Arc::clone(&words),
            visitors,
            signals: SignalSlot::new(signals),
            replay: Replay::default(),
            node: settings.node.clone(),
            proxy: settings.proxy.clone(),
            raw: archive::raw_log(&settings, &data, &clock)
                .map_err(|error| StartError::Data { path: data.raw(), error })?,
        });
        let keeper = settings.archive.enabled.then(|| {
            let followers: Vec<Arc<dyn Follower>> = vec![Arc::new(archive::Figures::new(figures.clone()))];
            archive::keeper(&settings, &data, gateway.click_key.clone(), followers)
        });
        let labels = labels(&gateway);
        let counters: Vec<Arc<WorkerCounters>> =
            (0..workers).map(|_| Arc::new(WorkerCounters::new(labels.shape()))).collect();
        let draining = Arc::new(AtomicBool::new(false));
        let metrics = Metrics::default();
        observe::register(
            &metrics,
            observe::Observed {
                gateway: Arc::clone(&gateway),
                journal: Arc::clone(&stats),
                certificates: certificates.clone(),
                counters: counters.clone(),
                labels,
                mode: settings.journal.mode,
                webhooks: Arc::clone(&tally),
                postbacks: postbacks.clone(),
                pulls: Arc::clone(&pulls.tally),
                orders: Arc::clone(&order_tally),
                books: Arc::clone(&books),
                events: Arc::clone(&event_tally),
                resolve: resolver.as_ref().map(|resolver| Arc::clone(resolver.tally())),
                upstreams: Arc::clone(&upstreams),
                archive: keeper.as_ref().map(|keeper| Arc::clone(keeper.tally())),
                following: Arc::clone(&following),
            },
        );
        runtime.spawn(upstream::resolve(Arc::clone(&upstreams)));

        let (drain_workers, drained) = signal::channel(false);
        let (drain_control, control_drained) = signal::channel(false);
        let public_url = settings.public_url.clone().unwrap_or_else(|| format!("http://{}", addresses.click));
        let in_force = Arc::clone(&policies);
        let reporter: Arc<dyn Reporter> = Arc::new(Desk {
            events: Arc::clone(&events),
            policies: Arc::clone(&policy_store),
            in_force: Box::new(move || in_force.current()),
            words: Arc::clone(&words),
            stats: figures.clone(),
            data_dir: settings.data_dir.clone(),
            settler: settler.clone(),
        });
        let state = ControlState {
            catalog: catalog.clone(),
            policies: Arc::clone(&policies),
            publisher: Arc::clone(&publisher),
            policy_store: Arc::clone(&policy_store),
            landings,
            proxy: Arc::new(settings.proxy.clone()),
            shadow,
            keys,
            outbox: Arc::clone(&outbox),
            postbacks: Arc::clone(&postbacks.outbox),
            orders: Arc::clone(&orders),
            settler: settler.clone(),
            stats: figures.clone(),
            sightings: sightings(&gateway, &figures),
            events,
            event_tally,
            reporter,
            resolver,
            clock: clock.clone(),
            words,
            click_key,
            hops: data.hops(),
            public_url: public_url.clone(),
            node: settings.node.clone(),
        };
        let ops_state = OpsState {
            catalog,
            policies,
            journal: Arc::clone(&stats),
            metrics,
            draining: Arc::clone(&draining),
            started_at: clock.now(),
            clock,
            node: settings.node.clone(),
            mode: settings.journal.mode,
        };
        {
            let _inside = runtime.enter();
            for (listener, router) in control
                .into_iter()
                .chain(ops)
                .zip([crate::control::router(state), crate::control::ops_router(ops_state)])
            {
                let listener = TcpListener::from_std(listener)?;
                let trusted = settings.trusted_proxies.as_slice().into();
                runtime.spawn(plain::serve(listener, router, trusted, control_drained.clone()));
            }
        }

        let site = Arc::new(Site { public_url, well_known: WellKnown::new(&settings.apps) });
        let open = Arc::new(AtomicUsize::new(0));
        let mut tls = tls.map(Vec::into_iter);
        let mut threads = Vec::new();
        for (number, (http, counters)) in http.into_iter().zip(counters).enumerate() {
            let setup = WorkerSetup {
                gateway: Arc::clone(&gateway),
                lanes: journal.lanes(),
                site: Arc::clone(&site),
                counters,
                http,
                tls: tls.as_mut().and_then(Iterator::next).zip(certificates.clone()),
                limits: settings.limits.clone(),
                open: Arc::clone(&open),
                trusted: settings.trusted_proxies.clone(),
                proxy_protocol: settings.proxy_protocol,
                on_deadline: settings.journal.on_deadline,
                upstreams: Arc::clone(&upstreams),
                drain: drained.clone(),
            };
            threads
                .push(std::thread::Builder::new().name(format!("click-{number}")).spawn(move || worker::run(setup))?);
        }

        let (links, clock) = (gateway.catalog.clone(), gateway.clock.clone());
        orders::start(&runtime, orders, links, clock.clone(), order_tally, control_drained.clone());
        let announcer = Arc::<Teller>::clone(&postbacks.teller);
        ledger::start(&runtime, settler, announcer, clock, books, control_drained.clone());
        let parts = notify::Parts {
            clients,
            gateway: Arc::clone(&gateway),
            settings: Arc::clone(&settings),
            policy_store,
            outbox,
            tally,
        };
        notify::start(&runtime, parts, &control_drained);
        postbacks.start(&runtime, told, &control_drained);
        alliance::start(&runtime, accounts, &pulls, settings.alliances.keep_responses, &control_drained);
        let follower = stats::Parts {
            stats: figures,
            data_dir: settings.data_dir.clone(),
            journal: Arc::clone(&stats),
            settings: settings.attribution.clone(),
            clock: gateway.clock.clone(),
            tally: following,
        };
        let stats_follower = match settings.attribution.follow {
            true => Some(stats::start(follower, control_drained.clone())?),
            false => {
                tracing::info!("clicks are not counted here: run `hopgate stats follow` beside this gateway");
                None
            }
        };
        let mut app = App {
            addresses,
            gateway,
            settings,
            journal: Some(journal),
            stats,
            certificates,
            publisher,
            policy_watch: None,
            archiving: None,
            stats_follower,
            draining,
            drain_workers,
            drain_control,
            workers: threads,
            runtime: Some(runtime),
        };
        app.start_upkeep(control_drained)?;
        if let Some(keeper) = keeper {
            app.archiving = Some(archive::Archiving::start(keeper, &app.settings, &data, app.gateway.clock.clone())?);
        }
        Ok(app)
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// What the workers share: catalog, policies, clock.
    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// The one who puts policy versions in force.
    pub fn publisher(&self) -> &Arc<Publisher> {
        &self.publisher
    }

    /// The journal's figures.
    pub fn journal(&self) -> &Arc<JournalStats> {
        &self.stats
    }

    /// Runs a future on the control plane's runtime and waits for it.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        match &self.runtime {
            Some(runtime) => runtime.block_on(future),
            // Only `stop` takes the runtime, and it takes the app with it.
            None => unreachable!("a running app has a runtime"),
        }
    }

    /// Drains and ends. What was accepted is answered, what was answered is recorded.
    ///
    /// # Errors
    /// When a worker or the journal did not end in order; what was recorded stays recorded.
    pub fn stop(mut self) -> Result<(), String> {
        self.halt()
    }

    fn halt(&mut self) -> Result<(), String> {
        self.draining.store(true, Ordering::SeqCst);
        let mut faults = Vec::new();
        // Nobody listening any more is what we want: a closed channel is no fault.
        let _ = self.drain_workers.send(true);
        for worker in self.workers.drain(..) {
            match worker.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => faults.push(format!("a click worker: {error}")),
                Err(_) => faults.push("a click worker panicked".to_owned()),
            }
        }
        if let Some(journal) = self.journal.take()
            && let Err(error) = journal.close(JOURNAL_CLOSE)
        {
            faults.push(error.to_string());
        }
        let _ = self.drain_control.send(true);
        // Whatever it is at can be done again.
        if self.archiving.take().is_some_and(|archiving| archiving.end().is_err()) {
            faults.push("the archive's thread panicked".to_owned());
        }
        if let Some(watch) = self.policy_watch.take()
            && watch.join().is_err()
        {
            faults.push("the watch on policy switches panicked".to_owned());
        }
        if let Some(follower) = self.stats_follower.take()
            && follower.join().is_err()
        {
            faults.push("the thread that counts hops panicked".to_owned());
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(6));
        }
        // Last of all, when nobody reads or writes any more.
        DataDir::new(&self.settings.data_dir).fold_logs();
        if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if self.runtime.is_some()
            && let Err(fault) = self.halt()
        {
            tracing::error!(%fault, "the gateway did not end in order");
        }
    }
}

fn journal_config(settings: &Settings, data: &DataDir) -> JournalConfig {
    JournalConfig {
        mode: settings.journal.mode,
        deadline: settings.journal.deadline,
        segment_bytes: settings.journal.segment_bytes,
        segment_age: settings.journal.segment_age,
        ..JournalConfig::new(data.journal(), settings.node.as_str())
    }
}

/// How policies are published under these settings.
pub fn policy_rules(settings: &Settings, clock: &Clock) -> Rules {
    Rules {
        source: settings.policy_source,
        folder: settings.policies.clone(),
        require_backtest: settings.require_backtest,
        traffic: settings.traffic.clone(),
        rehearsal: matches!(clock, Clock::Shifted(_)),
    }
}

/// Creators at work, as their own clicks would be hashed.
fn sightings(gateway: &Arc<Gateway>, stats: &Stats) -> Sightings {
    let (gateway, stats) = (Arc::clone(gateway), stats.clone());
    Sightings::new(move |creator, address, agent| {
        let now = gateway.clock.now();
        if let Some(visitor) = gateway.visitors.hash(now, address, agent) {
            stats.note_own(creator, visitor, now);
        }
    })
}

fn labels(gateway: &Gateway) -> Labels {
    let outcome = |reason: &Reason| match reason {
        Reason::Allowed | Reason::AllowedByDefault => "allow",
        _ => "deny",
    };
    Labels {
        platforms: gateway.words.platforms().map(str::to_owned).collect(),
        marketplaces: gateway.words.marketplaces().map(str::to_owned).collect(),
        reasons: Reason::ALL.iter().map(|reason| (outcome(reason), reason.as_str())).collect(),
    }
}
