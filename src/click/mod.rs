//! The life of one click: look up, decide, record, land. A link with alternates lands on the first of its landings that
//! the policy allows.
//!
//! Knows nothing of HTTP: the edge hands in an [`Ask`] and turns the [`Clicked`] into an answer. Touches memory and the
//! local journal only; never a database, a broker or a name server. No redirect is ever built without a [`Permit`].

pub mod deferred;
pub mod go;
pub mod landings;
pub mod placement;
pub mod preview;
pub mod replay;
pub mod shadow;
pub mod signals;
pub mod visitor;

use std::cell::RefCell;
use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::archive::raw::{RawClick, RawLog};
use crate::catalog::{Catalog, Lookup};
use crate::clock::Clock;
use crate::config::proxy::ProxySettings;
use crate::domain::click_id::{ClickId, ClickKey, ClickMint};
use crate::domain::device::Device;
use crate::domain::hop::{Hop, HopFlags, MOST_MACROS, Outcome};
use crate::domain::landing::Way;
use crate::domain::landing::address::Target;
use crate::domain::landing::matrix::Host;
use crate::domain::link::{LinkState, LinkView, Placement};
use crate::domain::macros::MacroTable;
use crate::domain::marketplace::table::Names;
use crate::domain::policy::{Choice, Decision, Facts, Permit, PolicySet, Reason, choose};
use crate::domain::sign::{SignFault, Signed, token_in};
use crate::domain::time::Timestamp;
use crate::domain::tried::{Fallen, Gathering, MAIN, Tried};
use crate::domain::vocabulary::{MarketplaceId, PlatformId, Vocabulary};
use crate::journal::{Commit, Lane};
use crate::policies::{Policies, Reader};
use crate::telemetry::metrics::{WorkerCounters, bump};
use deferred::Deferred;
use landings::{Landings, Launch, MatrixReader, Permitted, Sent, send};
use replay::Replay;
use shadow::ShadowSlot;
use signals::{SignalReader, SignalSlot, Signals};
use visitor::{Agents, DayKeys, Memory, Traits, Visitor};

/// What every worker shares.
pub struct Gateway {
    /// Links.
    pub catalog: Catalog,
    /// The policy in force.
    pub policies: Arc<Policies>,
    /// How permitted clicks are sent on.
    pub landings: Arc<Landings>,
    /// What short links begin with.
    pub public_url: String,
    /// A candidate evaluated beside it, if one is set.
    pub shadow: Arc<ShadowSlot>,
    /// Time.
    pub clock: Clock,
    /// The secret of click ids.
    pub click_key: ClickKey,
    /// Names.
    pub words: Arc<Vocabulary>,
    /// Keys of visitors' hashes.
    pub visitors: DayKeys,
    /// What is known of headers, parameters, networks and keys.
    pub signals: SignalSlot,
    /// Tokens that were used.
    pub replay: Replay,
    /// This gateway's name.
    pub node: String,
    /// Which landings can be proxied.
    pub proxy: ProxySettings,
    /// What hops never hold, for a short while, where the operator wants it.
    pub raw: RawLog,
}

/// One tap on a link, as the edge understood it.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The code in the path.
    pub code: &'a str,
    /// The query: a signed token, unsigned hints, an ad platform's parameters.
    pub query: Option<&'a str>,
    /// The visitor's address, proxies taken into account.
    pub address: IpAddr,
    /// The User-Agent; empty when there is none.
    pub agent: &'a [u8],
    /// What `X-Requested-With` says; empty when there is none.
    pub package: &'a [u8],
    /// Flags the edge can tell: HEAD, prefetch.
    pub flags: HopFlags,
    /// What its connection remembers.
    pub memory: Option<&'a Memory>,
}

/// How a click ended.
#[derive(Debug)]
pub enum Answer {
    /// Land here.
    Redirect(Bytes),
    /// Land by a page that leads on, or by what it says as JSON.
    Launch(Box<Launch>),
    /// Answer with the page itself, from an upstream; then [`Worker::settle`] the click, which is not recorded yet.
    Proxy(Box<Proxied>),
    /// The policy refuses.
    Refused(Box<Refused>),
    /// The link was switched off or its time is over.
    Gone(Reason),
    /// What came signed is not to be believed.
    BadSignature,
    /// No such link.
    Unknown,
    /// The catalog is still loading and does not have the code yet: ask its store, then [`Worker::click_on`].
    NotLoaded,
}

impl Answer {
    /// Whether it lets the visitor through.
    pub fn lands(&self) -> bool {
        matches!(self, Answer::Redirect(_) | Answer::Launch(_))
    }
}

/// A permitted click that is answered through an upstream.
#[derive(Debug)]
pub struct Proxied {
    /// The upstream's number.
    pub upstream: usize,
    /// The landing whose page is asked for: where a plain redirect would have led.
    pub landing: Bytes,
    /// The click's record, to be settled whatever happens.
    pub deferred: Deferred,
}

/// What the refusal page needs to say why, and what still works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub reason: Reason,
    /// Where the click happened; empty when not known.
    pub platform: String,
    /// Where it would have led.
    pub marketplace: String,
    /// What people call that.
    pub marketplace_names: Names,
    /// The agreement that denied or came nearest, by title.
    pub agreement: Option<String>,
    /// When that agreement opens, if it has not yet.
    pub opens_at: Option<Timestamp>,
    /// When it ended, if it has.
    pub ended_at: Option<Timestamp>,
    /// The alternates that fell too, in the order of trying.
    pub also_tried: Vec<AlsoTried>,
}

/// An alternate that fell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlsoTried {
    /// Which: n for the n-th.
    pub alternate: u8,
    /// Where it would have led.
    pub marketplace: String,
    /// What people call that.
    pub marketplace_names: Names,
    /// Why it fell.
    pub reason: Reason,
}

/// A click that has been decided and handed to the journal.
#[must_use]
pub struct Clicked {
    /// How it ended.
    pub answer: Answer,
    /// Its id in external form; none for a code nobody knows.
    pub hop_id: Option<[u8; ClickId::TEXT_LEN]>,
    /// Whether a fetcher of link previews asked.
    pub preview: bool,
    /// Which landing it took, or would have: 0 the link's own, n its n-th alternate.
    pub alternate: u8,
    /// Resolves when the record is kept as the journal's mode promises; the answer must not leave before. None for a code
    /// nobody knows, and for a click that is settled later.
    pub commit: Option<Commit>,
}

impl Agents {
    /// The visitor who asks: as the connection remembers it, or read anew.
    fn of(&mut self, ask: &Ask<'_>, gateway: &Gateway, signals: &Signals, now: Timestamp) -> Visitor {
        let traits = Traits { address: ask.address, agent: ask.agent, package: ask.package };
        let mut read = || self.visitor(&gateway.visitors, signals, now, traits);
        match ask.memory {
            Some(memory) => memory.visitor(traits, now.beijing_day(), signals.epoch(), read),
            None => read(),
        }
    }
}

/// One worker's part in clicks. Single-threaded.
pub struct Worker {
    gateway: Arc<Gateway>,
    lane: Lane,
    counters: Arc<WorkerCounters>,
    state: RefCell<State>,
}

struct State {
    policy: Reader,
    matrix: MatrixReader,
    signals: SignalReader,
    macros: String,
    mint: ClickMint,
    agents: Agents,
    fallen: Gathering,
}

impl Worker {
    /// A worker writing to `lane` and counting in `counters`.
    ///
    /// # Errors
    /// When the operating system has no randomness.
    pub fn new(gateway: Arc<Gateway>, lane: Lane, counters: Arc<WorkerCounters>) -> io::Result<Self> {
        let mut seed = [0; 40];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        let (mint, agents) = seed.split_at(24);
        let mint = ClickMint::new(mint.try_into().map_err(io::Error::other)?);
        let agents = Agents::new(agents.try_into().map_err(io::Error::other)?);
        let state = RefCell::new(State {
            policy: gateway.policies.reader(),
            matrix: gateway.landings.reader(),
            signals: gateway.signals.reader(),
            macros: String::with_capacity(MOST_MACROS),
            mint,
            agents,
            fallen: Gathering::default(),
        });
        Ok(Worker { gateway, lane, counters, state })
    }

    /// What every worker shares.
    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// This worker's counters.
    pub fn counters(&self) -> &Arc<WorkerCounters> {
        &self.counters
    }

    /// Waits until everything this worker appended is recorded, or will never be.
    pub async fn flushed(&self) {
        let _ = self.lane.flush().await;
    }

    /// Looks a code up, decides, records.
    pub fn click(&self, ask: &Ask<'_>) -> Clicked {
        let unrecorded = |answer| Clicked { answer, hop_id: None, preview: false, alternate: MAIN, commit: None };
        match self.gateway.catalog.with(ask.code, |link| self.click_on(ask, &link)) {
            Lookup::Found(clicked) => clicked,
            Lookup::Unknown => {
                // Not recorded: a scanner must not be able to fill the disk.
                let machine = !self.flags(ask, &self.device(ask), false).is_person();
                if machine {
                    bump(&self.counters.machines, 1);
                } else {
                    self.counters.click(None, None, Reason::UnknownLink as usize);
                }
                unrecorded(Answer::Unknown)
            }
            Lookup::NotLoaded => unrecorded(Answer::NotLoaded),
        }
    }

    /// Decides and records a click on a known link. No await, no lock of ours but that of used tokens, where there is one:
    /// it runs under the catalog's read guard.
    pub fn click_on(&self, ask: &Ask<'_>, link: &LinkView<'_>) -> Clicked {
        match ask.query.and_then(token_in) {
            None => self.run(ask, link, &Said::default()),
            Some(token) => match self.believe(ask, link, token) {
                Ok(said) => self.run(ask, link, &said),
                Err(fault) => self.disbelieve(ask, Signed::Token, fault, Some(link.marketplace)),
            },
        }
    }

    /// What a token says, if it is to be believed.
    fn believe(&self, ask: &Ask<'_>, link: &LinkView<'_>, token: &str) -> Result<Said, SignFault> {
        let gateway = &*self.gateway;
        let now = gateway.clock.now();
        let signals = Arc::clone(self.state.borrow_mut().signals.load());
        let token = signals.keys.check_token(token, ask.code, now, &gateway.words)?;
        let other_creator = !link.creator.is_empty() && !token.creator.is_empty() && *link.creator != *token.creator;
        if other_creator || placement::contradicts(link.placement, token.placement) {
            return Err(SignFault::Contradiction);
        }
        let visitor = self.state.borrow_mut().agents.of(ask, gateway, &signals, now);
        // Machines fetch ahead what a person will open with the same token: they neither use it up nor are counted.
        let person = self.flags(ask, &visitor.device, false).is_person();
        if person && !gateway.replay.admits(token.key, token.nonce, visitor.hash, now, token.expires) {
            return Err(SignFault::Replayed);
        }
        Ok(Said { placement: Some(token.placement), creator: token.creator, note: token.note })
    }

    /// Counts something signed that is not to be believed. Not recorded: whoever can write signatures badly must not be
    /// able to fill the disk.
    fn disbelieve(&self, ask: &Ask<'_>, what: Signed, fault: SignFault, marketplace: Option<MarketplaceId>) -> Clicked {
        self.counters.bad_signature(what, fault);
        if self.flags(ask, &self.device(ask), false).is_person() {
            self.counters.click(None, marketplace.map(|id| id.0), Reason::BadSignature as usize);
        } else {
            bump(&self.counters.machines, 1);
        }
        Clicked { answer: Answer::BadSignature, hop_id: None, preview: false, alternate: MAIN, commit: None }
    }

    /// Decides and records a click of which `said` has been proven.
    pub(super) fn run(&self, ask: &Ask<'_>, link: &LinkView<'_>, said: &Said) -> Clicked {
        let gateway = &*self.gateway;
        let State { policy, matrix, signals, macros, mint, agents, fallen } = &mut *self.state.borrow_mut();
        let policy: &PolicySet = policy.load();
        let signals = signals.load();
        let now = gateway.clock.now();
        let visitor = agents.of(ask, gateway, signals, now);
        let known = placement::find(link.placement, said.placement, visitor.device.app, ask.query, &gateway.words);
        let creator = if link.creator.is_empty() { &*said.creator } else { link.creator };
        macros.clear();
        if let Some(query) = ask.query {
            signals.devices.macros.normalise(known.placement.platform, query, &said.note, macros);
        }
        let facts = Facts {
            platform: known.placement.platform,
            surface: known.placement.surface,
            marketplace: link.marketplace,
            shop_type: link.shop_type,
            link_kind: link.link_kind,
            category: link.category,
            creator,
            shop: link.shop,
            item: link.item,
            carried: link.facts,
            link: ask.code,
            visitor: visitor.hash,
        };
        let ended = match link.state {
            LinkState::Disabled => Some(Reason::LinkDisabled),
            LinkState::Active if now >= link.expires_at => Some(Reason::LinkExpired),
            LinkState::Active => None,
        };
        fallen.clear();
        let choice = if ended.is_none() {
            Some(choose(policy, &facts, link.alternates.iter(), now, |choice| fallen.add(&fell(gateway, choice))))
        } else {
            None
        };
        let decision = choice.as_ref().map(|choice| &choice.decision);
        let reason = ended.or(decision.map(Decision::reason)).unwrap_or(Reason::NoAgreement);
        let permit = match decision {
            Some(Decision::Allow(permit)) => Some(permit),
            _ => None,
        };
        // Where the click goes, or would have gone.
        let own = &facts;
        let facts = choice.as_ref().map_or(own, |choice| &choice.facts);

        // What the matrix wants; what this click can have of it is what was sent.
        let device = &visitor.device;
        // Who fetches a preview is given a card.
        let preview = device.preview;
        // A share code leads nowhere by itself: whoever may have it is shown it, wherever they are.
        let coded = !link.share_code.is_empty() && choice.as_ref().is_some_and(|choice| choice.alternate == MAIN);
        let wanted = match permit {
            Some(_) if preview => Way::Redirect,
            Some(_) if coded => Way::CopyCode,
            Some(permit) => matrix.load().way(permit.landing(), Host::of(device), device.os, facts.marketplace),
            None => Way::Redirect,
        };
        let upstream = match (&choice, wanted) {
            (Some(choice), Way::Proxy) => self.upstream(choice, link),
            _ => None,
        };
        let sent = match (&choice, wanted) {
            (None, _) | (_, Way::Redirect | Way::Proxy) => None,
            (Some(choice), wanted) => Some(self.send(wanted, choice, ask, link, *device)),
        };
        let usual = if preview { Way::Card } else { Way::Redirect };
        let way = permit.map(|_| sent.as_ref().map_or(usual, Sent::way));
        let id = mint.mint(now);
        let flags = self.flags(ask, &visitor.device, visitor.datacenter);
        let hop = Hop {
            id,
            at: now,
            code: ask.code,
            creator,
            platform: known.placement.platform.map_or("", |id| gateway.words.platform_name(id)),
            surface: known.placement.surface,
            placement_source: known.source,
            marketplace: gateway.words.marketplace_name(facts.marketplace),
            shop_type: facts.shop_type,
            link_kind: facts.link_kind,
            category: facts.category,
            item: facts.item,
            shop: facts.shop,
            facts: link.facts,
            outcome: if permit.is_some() { Outcome::Allow } else { Outcome::Deny },
            reason,
            agreement: decision.and_then(Decision::rule_id).unwrap_or_default(),
            policy_version: policy.version().short(),
            bucket: decision.and_then(Decision::bucket),
            landing: permit.map(Permit::landing),
            app: visitor.device.app,
            os: visitor.device.os,
            flags,
            address: visitor.address,
            visitor: visitor.hash,
            node: &gateway.node,
            alternate: choice.as_ref().map_or(MAIN, |choice| choice.alternate),
            tried: if permit.is_some() { fallen.all() } else { fallen.but_own() },
            way,
            macros: macros.as_str(),
        };
        if gateway.shadow.is_on()
            && let Some(live) = &choice
        {
            gateway.shadow.look(own, link, live, &hop, &self.counters.shadow);
        }
        let hop_id = Some(gateway.click_key.text(id));
        if gateway.raw.is_on() {
            self.keep_raw(ask, &hop, &signals.devices.macros);
        }
        if let (Some(upstream), Some(choice)) = (upstream, &choice) {
            let landing = Bytes::copy_from_slice(choice.url.unwrap_or(link.url).as_bytes());
            let deferred = Deferred::new(&hop, known.placement.platform, facts.marketplace);
            let answer = Answer::Proxy(Box::new(Proxied { upstream, landing, deferred }));
            return Clicked { answer, hop_id, preview, alternate: hop.alternate, commit: None };
        }
        let commit = Some(self.lane.append(&hop));
        self.count(known.placement.platform, facts.marketplace, reason, flags);
        if let Some(way) = way {
            self.counters.landing(way, facts.marketplace.0);
        }
        if hop.alternate != MAIN {
            bump(&self.counters.alternates, 1);
        }
        let answer = match (permit, &choice) {
            (Some(permit), Some(choice)) => land(permit, choice, link, sent),
            (None, Some(choice)) => Answer::Refused(Box::new(refused(gateway, choice, hop.tried, now))),
            (_, None) => Answer::Gone(reason),
        };
        Clicked { answer, hop_id, preview, alternate: hop.alternate, commit }
    }

    /// The upstream that answers a permitted click; the landing is redirected to without.
    #[cold]
    fn upstream(&self, choice: &Choice<'_, '_>, link: &LinkView<'_>) -> Option<usize> {
        let upstream = self.gateway.proxy.serving(choice.url.unwrap_or(link.url));
        if upstream.is_none() {
            bump(&self.counters.unproxied, 1);
        }
        upstream
    }

    /// What a permitted click needs that is not just redirected to its landing.
    #[cold]
    fn send(&self, way: Way, choice: &Choice<'_, '_>, ask: &Ask<'_>, link: &LinkView<'_>, device: Device) -> Sent {
        let share_code = if choice.alternate == MAIN { link.share_code } else { "" };
        // Where the placement is read off the visitor's app, the short link leads nowhere in another one.
        let bound = link.placement.platform.is_some() && link.placement.surface.is_some();
        let short = (bound && !ask.code.is_empty()).then(|| format!("{}/{}", self.gateway.public_url, ask.code));
        let facts = &choice.facts;
        let click = Permitted {
            marketplace: facts.marketplace,
            target: Target { url: choice.url.unwrap_or(link.url), item: facts.item, kind: facts.link_kind },
            device,
            short: short.as_deref(),
            share_code,
        };
        send(way, &click, &self.gateway.words)
    }

    /// Hands what a hop never holds to the raw log, which is on.
    #[cold]
    fn keep_raw(&self, ask: &Ask<'_>, hop: &Hop<'_>, macros: &MacroTable) {
        self.gateway.raw.take(RawClick {
            click_id: String::from_utf8_lossy(&self.gateway.click_key.text(hop.id)).into_owned(),
            at: hop.at,
            code: hop.code.to_owned(),
            creator: hop.creator.to_owned(),
            address: ask.address,
            agent: String::from_utf8_lossy(ask.agent).into_owned(),
            devices: macros.personal(ask.query.unwrap_or_default()),
        });
    }

    fn device(&self, ask: &Ask<'_>) -> Device {
        let State { agents, signals, .. } = &mut *self.state.borrow_mut();
        agents.of(ask, &self.gateway, signals.load(), self.gateway.clock.now()).device
    }

    fn flags(&self, ask: &Ask<'_>, device: &Device, datacenter: bool) -> HopFlags {
        let mut flags = ask.flags;
        if device.bot {
            flags = flags.with(HopFlags::BOT);
        }
        if device.preview {
            flags = flags.with(HopFlags::PREVIEW);
        }
        if device.implausible {
            flags = flags.with(HopFlags::IMPLAUSIBLE);
        }
        if datacenter {
            flags = flags.with(HopFlags::DATACENTER);
        }
        if ask.agent.is_empty() {
            flags = flags.with(HopFlags::NO_AGENT);
        }
        if matches!(self.gateway.clock, Clock::Shifted(_)) {
            flags = flags.with(HopFlags::REHEARSAL);
        }
        flags
    }

    fn count(&self, platform: Option<PlatformId>, marketplace: MarketplaceId, reason: Reason, flags: HopFlags) {
        self.counters.flags(flags);
        if flags.is_person() {
            self.counters.click(platform.map(|id| id.0), Some(marketplace.0), reason as usize);
        } else {
            bump(&self.counters.machines, 1);
        }
    }
}

/// What was signed of a click, beside its link.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Said {
    /// Where it happened.
    pub placement: Option<Placement>,
    /// The creator; empty for none.
    pub creator: Box<str>,
    /// The note or video; empty for none.
    pub note: Box<str>,
}

/// The landing of a permitted click: the address as the alliance issued it, which the catalog took in only after the
/// allow-list had passed it, or what leads there by another way.
fn land(_permit: &Permit<'_>, choice: &Choice<'_, '_>, link: &LinkView<'_>, sent: Option<Sent>) -> Answer {
    match sent {
        None | Some(Sent::Redirect(_, None)) => {
            Answer::Redirect(Bytes::copy_from_slice(choice.url.unwrap_or(link.url).as_bytes()))
        }
        Some(Sent::Redirect(_, Some(page))) => Answer::Redirect(Bytes::from(page)),
        Some(Sent::Page(launch)) => Answer::Launch(launch),
    }
}

/// A refused landing as the hop records it.
fn fell<'a>(gateway: &'a Gateway, choice: &Choice<'a, 'a>) -> Fallen<'a> {
    let facts = &choice.facts;
    Fallen {
        alternate: choice.alternate,
        marketplace: gateway.words.marketplace_name(facts.marketplace),
        shop_type: facts.shop_type,
        link_kind: facts.link_kind,
        category: facts.category,
        item: facts.item,
        shop: facts.shop,
        reason: choice.decision.reason(),
        agreement: choice.decision.rule_id().unwrap_or_default(),
        bucket: choice.decision.bucket(),
    }
}

fn refused(gateway: &Gateway, choice: &Choice<'_, '_>, tried: Tried<'_>, now: Timestamp) -> Refused {
    let Choice { facts, decision, .. } = choice;
    let agreement = decision.agreement();
    let reason = decision.reason();
    Refused {
        reason,
        platform: facts.platform.map_or("", |id| gateway.words.platform_name(id)).to_owned(),
        marketplace: gateway.words.marketplace_name(facts.marketplace).to_owned(),
        marketplace_names: gateway.words.marketplace_names(facts.marketplace),
        agreement: agreement.map(|agreement| agreement.title.to_string()),
        opens_at: agreement.map(|agreement| agreement.from).filter(|from| *from > now),
        ended_at: agreement
            .map(|agreement| agreement.until)
            .filter(|until| reason == Reason::WindowEnded && *until <= now),
        also_tried: tried
            .iter()
            .map(|fallen| AlsoTried {
                alternate: fallen.alternate,
                marketplace: fallen.marketplace.to_owned(),
                marketplace_names: gateway.words.people_call(fallen.marketplace),
                reason: fallen.reason,
            })
            .collect(),
    }
}

/// Writes a secret file whole or not at all, readable by its owner only.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let temporary = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}
