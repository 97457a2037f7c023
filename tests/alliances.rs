//! Pulling order reports from networks that play their APIs strictly, while orders change, answers fail and the puller dies:
//! in the end everything the network has is kept, as it has it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod alliance_support;
mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alliance_support::{APP_KEY, Mishap, Network, Plays, SECRET, version};
use async_trait::async_trait;
use hopgate::alliance::account::{Account, accounts};
use hopgate::alliance::puller::{Done, Kept, Pulled, Puller, RowSink, Step, Tools};
use hopgate::alliance::request::{By, Query, Window};
use hopgate::alliance::sqlite::SqlitePullStore;
use hopgate::alliance::tally::{Outcome, Tally};
use hopgate::alliance::trouble::Trouble;
use hopgate::attribution::StoreError;
use hopgate::clock::Clock;
use hopgate::config::settings::Settings;
use hopgate::domain::attribution::Network as Name;
use hopgate::domain::time::Timestamp;
use support::{Dice, Place, at, eventually};

/// Keeps the youngest report of each order, and fails when it is told to.
#[derive(Default)]
struct Sink {
    rows: Mutex<BTreeMap<u64, (String, u64)>>,
    told: AtomicUsize,
    fail_at: AtomicUsize,
}

#[async_trait]
impl RowSink for Sink {
    async fn keep(&self, pulled: Pulled) -> Result<Kept, StoreError> {
        let told = self.told.fetch_add(1, Ordering::SeqCst) + 1;
        if told == self.fail_at.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("the disk is full".to_owned()));
        }
        let mut kept = Kept::default();
        let mut rows = self.rows.lock().unwrap();
        for row in &pulled.rows {
            let id = row.get("trade_id").or(row.get("id")).unwrap().as_str().unwrap().parse().unwrap();
            let modified = row.get("modified_time").or(row.get("modifyTime")).unwrap().as_str().unwrap();
            let new = (modified.to_owned(), version(row));
            let known = rows.entry(id).or_default();
            if *known < new {
                *known = new;
                kept.new += 1;
            } else {
                kept.known += 1;
            }
        }
        Ok(kept)
    }
}

impl Sink {
    fn truth(&self) -> BTreeMap<u64, u64> {
        self.rows.lock().unwrap().iter().map(|(id, (_, version))| (*id, *version)).collect()
    }
}

struct Setting {
    folder: tempfile::TempDir,
    clock: Clock,
    network: Network,
    sink: Arc<Sink>,
    tally: Arc<Tally>,
    account: Arc<Account>,
    query: Query,
}

impl Setting {
    fn new(plays: Plays, now: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(at(now));
        let network = Network::start(plays, clock.clone());
        let account = account(folder.path(), plays, &network, SECRET, more);
        let scene = u8::from(plays == Plays::Taobao);
        let query = Query { by: By::Changed, scene };
        Setting { folder, clock, network, sink: Arc::default(), tally: Arc::default(), account, query }
    }

    fn tools(&self) -> Tools {
        let store = SqlitePullStore::open(&self.folder.path().join("orders.sqlite")).unwrap();
        Tools {
            store: Arc::new(store),
            sink: Arc::<Sink>::clone(&self.sink),
            clock: self.clock.clone(),
            tally: Arc::clone(&self.tally),
        }
    }

    fn puller(&self) -> Puller {
        Puller::new(Arc::clone(&self.account), self.query, self.tools())
    }

    fn second(&self) -> i64 {
        self.clock.now().millis() / 1_000
    }

    fn pass(&self, seconds: i64) {
        self.clock.set(self.clock.now().plus_micros(seconds * 1_000_000));
    }

    fn count(&self, outcome: Outcome) -> u64 {
        let requests = self.tally.requests();
        requests.iter().find(|((_, found), _)| *found == outcome).map_or(0, |(_, count)| *count)
    }
}

fn account(folder: &Path, plays: Plays, network: &Network, secret: &str, more: &str) -> Arc<Account> {
    let (section, path) = match plays {
        Plays::Taobao => ("taobao", "/router/rest"),
        Plays::Jd => ("jd", "/routerjson"),
    };
    std::fs::write(folder.join("app.secret"), secret).unwrap();
    let settings = format!(
        "[alliances.{section}]\napp_key = \"{APP_KEY}\"\nsecret_file = \"app.secret\"\nurl = \"{}\"\n\
         requests_per_second = 1000\ntimeout = \"300ms\"\n{more}\n",
        network.url(path)
    );
    let file = folder.join("hopgate.toml");
    std::fs::write(&file, settings).unwrap();
    let settings = Settings::load(&file).unwrap();
    Arc::new(accounts(&settings.alliances).unwrap_or_else(|faults| panic!("{faults:?}")).remove(0))
}

/// Reads until there is nothing due, over every trouble; the stretches, and the troubles met.
async fn catch_up(puller: &mut Puller) -> (Vec<Done>, Vec<Trouble>) {
    let (mut done, mut troubles) = (Vec::new(), Vec::new());
    loop {
        match puller.step().await {
            Ok(Step::Read(one)) => done.push(one),
            Ok(Step::Rest(_)) => return (done, troubles),
            Err(trouble) => troubles.push(trouble),
        }
        assert!(troubles.len() < 100, "{troubles:?}");
    }
}

/// Hours of orders that change, come late into the index, and answers that fail: what is kept is what the network has.
async fn hours(plays: Plays, more: &str, mishaps: &[Mishap]) {
    let setting = Setting::new(plays, "2026-11-11 00:00:00", more);
    let mut dice = Dice(11);
    let mut puller = setting.puller();
    let mut met = Vec::new();
    for minute in 0..240 {
        for _ in 0..dice.roll(8) {
            // A minute of changes; some are told of only minutes later.
            let second = setting.second() + i64::try_from(dice.roll(60)).unwrap();
            let late = if dice.roll(4) == 0 { i64::try_from(dice.roll(540)).unwrap() } else { 0 };
            setting.network.change(1 + dice.roll(600), second, late);
        }
        setting.pass(60);
        if dice.roll(4) == 0 {
            let mishap = mishaps[usize::try_from(dice.roll(mishaps.len() as u64)).unwrap()];
            setting.network.world.lock().unwrap().mishaps.push_back(mishap);
        }
        // At times nobody pulls for a while, or the puller is another.
        match dice.roll(12) {
            0..4 => {}
            4 => {
                puller = setting.puller();
                met.extend(catch_up(&mut puller).await.1);
            }
            _ => met.extend(catch_up(&mut puller).await.1),
        }
        if minute == 120 {
            setting.pass(3_600 * 5);
        }
    }
    setting.network.world.lock().unwrap().mishaps.clear();
    setting.pass(1_200);
    catch_up(&mut puller).await;
    assert!(setting.network.truth().len() > 300);
    assert_eq!(setting.sink.truth(), setting.network.truth());
    let world = setting.network.world.lock().unwrap();
    assert_eq!(world.refused, Vec::<String>::new(), "every request was as it must be");
    assert!(world.pages.iter().any(|page| page.2 > 1), "more than one page");
    assert!(met.len() > 10, "{} troubles", met.len());
    let told = setting.sink.told.load(Ordering::SeqCst);
    assert!(told > 100, "{told}");
}

#[tokio::test]
async fn taobao_ends_as_the_network_has_it_whatever_goes_wrong() {
    let more = "page_size = 7\nwindow = \"20m\"";
    hours(Plays::Taobao, more, &[Mishap::Status, Mishap::Torn, Mishap::Busy, Mishap::Silence]).await;
}

#[tokio::test]
async fn jd_ends_as_the_network_has_it_whatever_goes_wrong() {
    hours(Plays::Jd, "page_size = 7", &[Mishap::Status, Mishap::Torn, Mishap::Busy]).await;
}

#[tokio::test]
async fn rows_that_change_while_jd_pages_are_read_push_no_other_off() {
    let setting = Setting::new(Plays::Jd, "2026-11-11 12:00:00", "page_size = 5\nstart = \"2026-11-11 11:30\"");
    let begin = setting.second() - 1_200;
    for id in 1..=23u64 {
        setting.network.change(id, begin + i64::try_from(id).unwrap(), 0);
    }
    let now = setting.second();
    let mut changes = vec![22u64, 21, 3, 2, 1];
    // Before each later page an early row is changed: it leaves the stretch, and all behind it move up.
    setting.network.world.lock().unwrap().meanwhile = Some(Box::new(move |orders, page| {
        if page > 1
            && let Some(id) = changes.pop()
        {
            alliance_support::change(orders, id, now + 5, 0);
        }
    }));
    let mut puller = setting.puller();
    let (done, troubles) = catch_up(&mut puller).await;
    assert!(troubles.is_empty() && done.len() == 1 && done[0].pages > 5, "{done:?} {troubles:?}");
    let kept = setting.sink.truth();
    let missing: Vec<u64> = (1..=23).filter(|id| !kept.contains_key(id)).collect();
    assert!(missing.iter().all(|id| [21, 22].contains(id)), "only what left the stretch may be missing: {missing:?}");
    setting.pass(120);
    catch_up(&mut puller).await;
    assert_eq!(setting.sink.truth(), setting.network.truth());
}

#[tokio::test]
async fn a_second_page_without_its_position_is_refused_by_this_network() {
    // That the network here is strict is what the others stand on.
    let setting = Setting::new(Plays::Taobao, "2026-11-11 12:00:00", "page_size = 2");
    let window = Window { from: at("2026-11-11 11:50:00"), to: at("2026-11-11 12:00:00") };
    let ask = |place: hopgate::alliance::request::Place, window, now| {
        let form = setting.account.signer.form(setting.query, window, &place, now);
        let account = Arc::clone(&setting.account);
        async move { String::from_utf8(account.endpoint.post(form).await.unwrap().body).unwrap() }
    };
    let page = |number, position: Option<&str>| hopgate::alliance::request::Place {
        number,
        position: position.map(str::to_owned),
    };
    let now = setting.clock.now();
    assert!(ask(page(1, None), window, now).await.contains("has_next"));
    assert!(ask(page(2, None), window, now).await.contains("position_index is needed"));
    assert!(ask(page(2, Some("1|1")), window, now).await.contains("has_next"));
    let long = Window { from: at("2026-11-11 11:00:00"), ..window };
    assert!(ask(page(1, None), long, now).await.contains("时间跨度"));
    let late = now.plus_micros(601_000_000);
    assert!(ask(page(1, None), window, late).await.contains("\"code\":31"));
    let forged = account(setting.folder.path(), Plays::Taobao, &setting.network, "another", "");
    let form = forged.signer.form(setting.query, window, &page(1, None), now);
    let reply = forged.endpoint.post(form).await.unwrap();
    assert!(String::from_utf8(reply.body).unwrap().contains("Invalid signature"));
}

#[tokio::test]
async fn what_was_not_kept_is_read_again_after_a_crash_between_pages() {
    let setting = Setting::new(Plays::Taobao, "2026-11-11 12:00:00", "page_size = 4\nstart = \"2026-11-11 11:50\"");
    let begin = setting.second() - 300;
    for id in 1..=19u64 {
        setting.network.change(id, begin + i64::try_from(id).unwrap(), 0);
    }
    setting.sink.fail_at.store(3, Ordering::SeqCst);
    let mut puller = setting.puller();
    let trouble = puller.step().await.unwrap_err();
    assert!(trouble.to_string().contains("the disk is full"), "{trouble}");
    assert_eq!(setting.count(Outcome::NotKept), 1);
    let stream = puller.stream().clone();
    let store = setting.tools().store;
    assert_eq!(store.cursor(&stream).await.unwrap(), None, "nothing counts as read");
    // Another process goes on: from the beginning of the stretch.
    drop(puller);
    let mut puller = setting.puller();
    let (done, troubles) = catch_up(&mut puller).await;
    assert!(troubles.is_empty() && done.iter().map(|one| one.rows).sum::<u64>() == 19, "{done:?}");
    assert_eq!(setting.sink.truth(), setting.network.truth());
    let cursor = store.cursor(&stream).await.unwrap().unwrap();
    assert_eq!(cursor.read_until, at("2026-11-11 12:00:00"));
    assert_eq!(cursor.settled, at("2026-11-11 11:50:00"), "its last ten minutes are read again");
    // And once more: the overlap is read again, nothing in it is new.
    setting.pass(60);
    let (done, _) = catch_up(&mut puller).await;
    assert_eq!(done.iter().map(|one| (one.kept.new, one.kept.known)).collect::<Vec<_>>(), [(0, 19)]);
}

#[tokio::test]
async fn troubles_are_counted_told_and_waited_for() {
    let setting =
        Setting::new(Plays::Taobao, "2026-11-11 12:00:00", "start = \"2026-11-11 11:40\"\nsign_method = \"md5\"");
    setting.network.change(1, setting.second() - 60, 0);
    let mishaps = [Mishap::Limited, Mishap::Status, Mishap::Silence, Mishap::Torn, Mishap::Clock];
    setting.network.world.lock().unwrap().mishaps.extend(mishaps);
    let mut puller = setting.puller();
    let (done, troubles) = catch_up(&mut puller).await;
    let told: Vec<String> = troubles.iter().map(ToString::to_string).collect();
    for (part, told) in
        ["code 7", "HTTP 502", "no answer within 300 ms", "not JSON", "clock right (NTP)"].iter().zip(&told)
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!((told.len(), setting.sink.truth().len()), (5, 1));
    assert_eq!(done.iter().map(|one| one.rows).sum::<u64>(), 1);
    for outcome in [Outcome::Limited, Outcome::Busy, Outcome::TimedOut, Outcome::Unreadable, Outcome::Refused] {
        assert_eq!(setting.count(outcome), 1, "{outcome}");
    }
    assert!(troubles[4].lasts() && !troubles[1].lasts());
    assert!(done.len() > 1, "after a time-out shorter stretches are asked for: {done:?}");

    let forged = account(setting.folder.path(), Plays::Taobao, &setting.network, "another", "");
    let mut puller = Puller::new(forged, setting.query, setting.tools());
    setting.pass(60);
    let trouble = puller.step().await.unwrap_err();
    assert!(trouble.lasts() && trouble.to_string().contains("check app_key, secret"), "{trouble}");
    assert!(!trouble.to_string().contains("another"), "a secret is never shown");
}

#[tokio::test]
async fn stretches_that_are_too_long_are_halved() {
    let more = "window = \"3h\"\nstart = \"2026-11-11 06:00\"";
    let setting = Setting::new(Plays::Taobao, "2026-11-11 12:00:00", more);
    for id in 1..=50u64 {
        setting.network.change(id, setting.second() - 400 * i64::try_from(id).unwrap(), 0);
    }
    let mut puller = setting.puller();
    let (done, troubles) = catch_up(&mut puller).await;
    assert!(troubles.len() >= 4 && troubles.iter().all(|trouble| trouble.outcome() == Outcome::WindowTooLong));
    assert!(done[0].window.to.micros() - done[0].window.from.micros() <= 20 * 60_000_000);
    assert_eq!(setting.sink.truth(), setting.network.truth());
}

#[tokio::test]
async fn a_span_can_be_read_again_without_moving_the_cursor() {
    let setting = Setting::new(Plays::Jd, "2026-11-11 12:00:00", "");
    setting.network.change(1, setting.second() - 5 * 3_600, 0);
    let window = Window { from: at("2026-11-11 06:00:00"), to: at("2026-11-11 08:30:00") };
    let mut puller = Puller::between(Arc::clone(&setting.account), setting.query, setting.tools(), window);
    let (done, _) = catch_up(&mut puller).await;
    assert_eq!((done.len(), setting.sink.truth().len()), (3, 1), "{done:?}");
    assert_eq!(setting.tools().store.cursor(puller.stream()).await.unwrap(), None);
}

#[tokio::test]
async fn what_jd_has_forgotten_is_said_to_be_lost() {
    let setting = Setting::new(Plays::Jd, "2026-11-11 12:00:00", "start = \"2026-08-01\"\nwindow = \"1h\"");
    let mut puller = setting.puller();
    let Ok(Step::Read(first)) = puller.step().await else { panic!("a stretch is read") };
    let oldest = Timestamp::from_millis(setting.clock.now().millis() - (90 * 86_400 - 3_600) * 1_000);
    assert_eq!((first.window.from, setting.count(Outcome::TooOld)), (oldest, 1));
    assert_eq!(setting.network.world.lock().unwrap().refused, Vec::<String>::new());
    assert_eq!(setting.tally.read_until()[0].0, (Name::Jd, "default".into()));
}

/// Order lines of a place by the network's id, with what was paid in yuan.
fn listed(place: &Place) -> BTreeMap<u64, u64> {
    let ran = place.run(&["orders", "list", "--limit", "1000", "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let rows: Vec<serde_json::Value> = serde_json::from_str(&ran.out).unwrap();
    let id = |row: &serde_json::Value| row["line"].as_str().unwrap().split(':').next().unwrap().parse().unwrap();
    rows.iter().map(|row| (id(row), row["paid_fen"].as_u64().unwrap() / 100)).collect()
}

#[test]
fn a_pull_that_is_killed_is_completed_and_a_gateway_goes_on_from_there() {
    let network = Network::start(Plays::Taobao, Clock::System);
    let now = Clock::System.now().millis() / 1_000;
    for id in 1..=40u64 {
        network.change(id, now - 900 + i64::try_from(id).unwrap(), 0);
    }
    // Killed between two pages: the fifth is answered after that.
    let (reached, fifth) = channel();
    let (killed, after) = channel::<()>();
    let mut asked = 0;
    network.world.lock().unwrap().meanwhile = Some(Box::new(move |_, _| {
        asked += 1;
        if asked == 5 {
            reached.send(()).unwrap();
            after.recv().unwrap_err();
        }
    }));
    let start = Timestamp::from_millis((now - 1_000) * 1_000);
    let place = Place::new(&format!(
        "[alliances.taobao]\napp_key = \"{APP_KEY}\"\nsecret_file = \"app.secret\"\nurl = \"{}\"\npage_size = 4\n\
         requests_per_second = 1000\nevery = \"1s\"\nstart = \"{start}\"\n",
        network.url("/router/rest")
    ));
    let ran = place.run(&["check"]);
    assert!(ran.code == 78 && ran.err.contains("app.secret"), "{ran:?}");
    std::fs::write(place.path("app.secret"), SECRET).unwrap();
    assert_eq!(place.run(&["check"]).code, 0);
    // A position that nobody was given sets its rows aside.
    let ran = place.run(&["orders", "position", "add", "--network", "taobao", "--creator", "c1", "mm_1_2_3"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let pull = ["orders", "pull", "--network", "taobao", "--once"];
    let mut child = place.command(&pull).stdout(std::process::Stdio::null()).spawn().unwrap();
    fifth.recv_timeout(Duration::from_secs(60)).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    drop(killed);
    assert!(network.world.lock().unwrap().pages.len() >= 4);
    let kept = listed(&place).len();
    assert!((1..40).contains(&kept), "{kept} of 40");
    let ran = place.run(&[&pull[..], &["--json"]].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    let first: serde_json::Value = serde_json::from_str(ran.out.lines().next().unwrap()).unwrap();
    assert_eq!((&first["query"], &first["rows"]), (&"changed/1".into(), &40.into()), "{first}");
    assert_eq!(listed(&place), network.truth());
    let ran = place.run(&["orders", "pull", "--network", "jd"]);
    assert!(ran.code == 2 && ran.err.contains("there are taobao"), "{ran:?}");

    let served = place.serve(&[]);
    let later = Clock::System.now().millis() / 1_000;
    network.change(7, later, 0);
    network.change(41, later, 1);
    eventually("the gateway has them", || listed(&place) == network.truth());
    assert!(served.metric("hopgate_orders_pull_total") > 0.0);
    let lag = served.metric("hopgate_orders_pull_lag_seconds");
    assert!((0.0..30.0).contains(&lag), "{lag}");
    assert_eq!(served.stop(), Some(0));
    assert_eq!(network.world.lock().unwrap().refused, Vec::<String>::new());
}
