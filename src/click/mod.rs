//! The life of one click: look up, decide, record, land. A link with alternates lands on the first of its landings that
//! the policy allows.
//!
//! Knows nothing of HTTP: the edge hands in an [`Ask`] and turns the [`Clicked`] into an answer. Touches memory and the
//! local journal only; never a database, a broker or a name server. No redirect is ever built without a [`Permit`].

pub mod landings;
pub mod placement;
pub mod preview;
pub mod shadow;
pub mod visitor;

use std::cell::RefCell;
use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::catalog::{Catalog, Lookup};
use crate::clock::Clock;
use crate::domain::click_id::{ClickId, ClickKey, ClickMint};
use crate::domain::device::Device;
use crate::domain::hop::{Hop, HopFlags, Outcome};
use crate::domain::landing::Way;
use crate::domain::landing::address::Target;
use crate::domain::landing::matrix::{Host, Matrix};
use crate::domain::link::{LinkState, LinkView};
use crate::domain::marketplace::table::Names;
use crate::domain::policy::{Choice, Decision, Facts, Permit, PolicySet, Reason, choose};
use crate::domain::time::Timestamp;
use crate::domain::tried::{Fallen, Gathering, MAIN, Tried};
use crate::domain::vocabulary::{MarketplaceId, PlatformId, Vocabulary};
use crate::journal::{Commit, Lane};
use crate::policies::{Policies, Reader};
use crate::telemetry::metrics::{WorkerCounters, bump};
use landings::{Landings, Launch, MatrixReader, Permitted, Sent, send};
use shadow::ShadowSlot;
use visitor::{Agents, DayKeys};

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
    /// This gateway's name.
    pub node: String,
}

/// One tap on a link, as the edge understood it.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The code in the path.
    pub code: &'a str,
    /// The query, for unsigned hints.
    pub query: Option<&'a str>,
    /// The visitor's address, proxies taken into account.
    pub address: IpAddr,
    /// The User-Agent; empty when there is none.
    pub agent: &'a [u8],
    /// Flags the edge can tell: HEAD, prefetch.
    pub flags: HopFlags,
}

/// How a click ended.
#[derive(Debug)]
pub enum Answer {
    /// Land here.
    Redirect(Bytes),
    /// Land by a page that leads on, or by what it says as JSON.
    Launch(Box<Launch>),
    /// The policy refuses.
    Refused(Box<Refused>),
    /// The link was switched off or its time is over.
    Gone(Reason),
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
    /// Resolves when the record is kept as the journal's mode promises; the answer must not leave before.
    pub commit: Option<Commit>,
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
                let machine = !self.flags(ask, &self.device(ask)).is_person();
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

    /// Decides and records a click on a known link. No await, no lock of ours: it runs under the catalog's read guard.
    pub fn click_on(&self, ask: &Ask<'_>, link: &LinkView<'_>) -> Clicked {
        let gateway = &*self.gateway;
        let State { policy, matrix, mint, agents, fallen } = &mut *self.state.borrow_mut();
        let policy: &PolicySet = policy.load();
        let now = gateway.clock.now();
        let visitor = agents.visitor(&gateway.visitors, now, ask.address, ask.agent);
        let known = placement::find(link.placement, visitor.device.app, ask.query, &gateway.words);
        let facts = Facts {
            platform: known.placement.platform,
            surface: known.placement.surface,
            marketplace: link.marketplace,
            shop_type: link.shop_type,
            link_kind: link.link_kind,
            category: link.category,
            creator: link.creator,
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

        let sent = match (permit, &choice) {
            // Who fetches a preview is sent nowhere.
            (Some(permit), Some(choice)) if !visitor.device.preview => {
                self.sent(permit, choice, ask, link, visitor.device, matrix.load())
            }
            _ => None,
        };
        let usual = if visitor.device.preview { Way::Card } else { Way::Redirect };
        let way = permit.map(|_| sent.as_ref().map_or(usual, Sent::way));
        let id = mint.mint(now);
        let flags = self.flags(ask, &visitor.device);
        let hop = Hop {
            id,
            at: now,
            code: ask.code,
            creator: link.creator,
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
            macros: "",
        };
        let commit = self.lane.append(&hop);
        self.count(known.placement.platform, facts.marketplace, reason, flags);
        if let Some(way) = way {
            self.counters.landing(way, facts.marketplace.0);
        }
        if gateway.shadow.is_on()
            && let Some(live) = &choice
        {
            gateway.shadow.look(own, link, live, &hop, &self.counters.shadow);
        }
        if hop.alternate != MAIN {
            bump(&self.counters.alternates, 1);
        }
        let answer = match (permit, &choice) {
            (Some(permit), Some(choice)) => land(permit, choice, link, sent),
            (None, Some(choice)) => Answer::Refused(Box::new(refused(gateway, choice, hop.tried, now))),
            (_, None) => Answer::Gone(reason),
        };
        Clicked {
            answer,
            hop_id: Some(gateway.click_key.text(id)),
            preview: visitor.device.preview,
            alternate: hop.alternate,
            commit: Some(commit),
        }
    }

    /// What a permitted click needs beside a redirect to its landing; none for most.
    #[inline]
    fn sent(
        &self,
        permit: &Permit<'_>,
        choice: &Choice<'_, '_>,
        ask: &Ask<'_>,
        link: &LinkView<'_>,
        device: Device,
        matrix: &Matrix,
    ) -> Option<Sent> {
        let facts = &choice.facts;
        let share_code = if choice.alternate == MAIN { link.share_code } else { "" };
        let way = if share_code.is_empty() {
            matrix.way(permit.landing(), Host::of(&device), device.os, facts.marketplace)
        } else {
            Way::CopyCode
        };
        if way == Way::Redirect {
            return None;
        }
        // Where the placement is read off the visitor's app, the short link leads nowhere in another one.
        let bound = link.placement.platform.is_some() && link.placement.surface.is_some();
        let short = (bound && !ask.code.is_empty()).then(|| format!("{}/{}", self.gateway.public_url, ask.code));
        let click = Permitted {
            marketplace: facts.marketplace,
            target: Target { url: choice.url.unwrap_or(link.url), item: facts.item, kind: facts.link_kind },
            device,
            short: short.as_deref(),
            share_code,
        };
        Some(send(way, &click, &self.gateway.words))
    }

    fn device(&self, ask: &Ask<'_>) -> Device {
        let gateway = &*self.gateway;
        let State { agents, .. } = &mut *self.state.borrow_mut();
        agents.visitor(&gateway.visitors, gateway.clock.now(), ask.address, ask.agent).device
    }

    fn flags(&self, ask: &Ask<'_>, device: &Device) -> HopFlags {
        let mut flags = ask.flags;
        if device.bot {
            flags = flags.with(HopFlags::BOT);
        }
        if device.preview {
            flags = flags.with(HopFlags::PREVIEW);
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
        if flags.is_person() {
            self.counters.click(platform.map(|id| id.0), Some(marketplace.0), reason as usize);
        } else {
            bump(&self.counters.machines, 1);
        }
    }
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
