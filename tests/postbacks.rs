//! Telling ad platforms of orders over real sockets: as each wants it, once for each line and event, again until it is taken,
//! and never to an address that a click brought along.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use hopgate::app::DataDir;
use hopgate::app::postbacks::Postbacks;
use hopgate::attribution::announce::{Announcer as _, Matched};
use hopgate::clock::Clock;
use hopgate::config::settings::Settings;
use hopgate::domain::attribution::Network;
use hopgate::domain::attribution::money::Fen;
use hopgate::domain::attribution::order::{LineKey, OrderLine, OrderState, Promotion};
use hopgate::domain::attribution::touch::{Marks, Touch};
use hopgate::domain::hop::HopFlags;
use hopgate::domain::time::Timestamp;
use hopgate::domain::vocabulary::{LinkKind, ShopType};
use hopgate::notify::outbox::{Delivery, DeliveryQuery, DeliveryState};
use serde_json::{Value, json};
use support::{Gateway, JD, Place, at, eventually};

const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

#[derive(Clone, Debug)]
struct Received {
    line: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Received {
    fn query(&self) -> Vec<(String, String)> {
        let path = self.line.split(' ').nth(1).unwrap();
        let query = path.split_once('?').map_or("", |(_, query)| query);
        url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
    }
}

/// A platform that answers what it is told to; `None` never answers.
struct Platform {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Platform {
    fn answering(answers: impl Fn(usize) -> Option<(&'static str, &'static str)> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let kept = Arc::clone(&received);
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    continue;
                }
                let (mut headers, mut length) = (Vec::new(), 0);
                loop {
                    let mut head = String::new();
                    reader.read_line(&mut head).unwrap();
                    let Some((name, value)) = head.trim_end().split_once(':') else { break };
                    let (name, value) = (name.to_ascii_lowercase(), value.trim().to_owned());
                    if name == "content-length" {
                        length = value.parse().unwrap();
                    }
                    headers.push((name, value));
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let body = String::from_utf8(body).unwrap();
                let mut kept = kept.lock().unwrap();
                kept.push(Received { line: line.trim_end().to_owned(), headers, body });
                let number = kept.len() - 1;
                drop(kept);
                match answers(number) {
                    Some((status, body)) => {
                        let length = body.len();
                        let text =
                            format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
                        drop(stream.write_all(text.as_bytes()));
                    }
                    None => silent.push(stream),
                }
            }
        });
        Platform { address, received }
    }

    fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    fn count(&self) -> usize {
        self.received.lock().unwrap().len()
    }

    /// Settings that tell this platform.
    fn settings(&self, name: &str, platform: &str, more: &str) -> String {
        format!(
            "[[postbacks]]\nname = \"{name}\"\nplatform = \"{platform}\"\ntarget = \"http://{}/track?app=1\"\n\
             allow_private = true\nallow_http = true\n{more}\n",
            self.address
        )
    }
}

/// The settings of postbacks, as a file has them.
fn read(folder: &Path, text: &str) -> Settings {
    std::fs::write(folder.join("own.secret"), SECRET).unwrap();
    let file = folder.join("postbacks.toml");
    std::fs::write(&file, text).unwrap();
    Settings::load(&file).unwrap_or_else(|faults| panic!("{faults:?}"))
}

/// A line in this state whose order was made just before `now`.
fn line(number: &str, state: OrderState, now: Timestamp) -> OrderLine {
    OrderLine {
        key: LineKey { network: Network::Jd, account: "default".into(), line: number.into() },
        order: format!("8{number}").into(),
        parent: "".into(),
        state,
        raw_state: "16".into(),
        refunded: false,
        created_at: now.plus_micros(-60_000_000),
        paid_at: Some(now.plus_micros(-30_000_000)),
        completed_at: (state >= OrderState::Completed).then_some(now),
        settled_at: None,
        modified_at: now,
        clicked_at: None,
        marketplace: "jd".into(),
        item: "100012043978".into(),
        title: "".into(),
        shop: "".into(),
        shop_name: "".into(),
        quantity: 1,
        returned: 0,
        paid: Some(Fen(12_345)),
        estimated: Fen(500),
        confirmed: None,
        promotion: Promotion::default(),
    }
}

/// The click of a hop as it was exported.
fn touch(hop: &Value, key: &hopgate::domain::click_id::ClickKey) -> Touch {
    let text = |name: &str| -> Box<str> { hop[name].as_str().unwrap_or_default().into() };
    Touch {
        click: key.parse(hop["click_id"].as_str().unwrap()).unwrap(),
        at: hop["time"].as_str().unwrap().parse().unwrap(),
        node: text("node"),
        seq: 1,
        code: text("code"),
        creator: text("creator"),
        platform: text("platform"),
        surface: text("surface"),
        marketplace: text("marketplace"),
        shop_type: ShopType::Unknown,
        link_kind: LinkKind::Item,
        category: "".into(),
        facts: "".into(),
        item: text("item"),
        shop: text("shop"),
        agreement: text("agreement"),
        policy_version: 0,
        flags: HopFlags::default(),
        marks: Marks::default(),
        note: "".into(),
    }
}

/// A gateway that tells these postbacks, and what the ledger announces through.
struct Setting {
    gateway: Gateway,
    postbacks: Postbacks,
}

impl Setting {
    fn new(now: &str, text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let told = read(folder.path(), text).postbacks;
        let mut all = None;
        let gateway = Gateway::start_with(now, |settings| {
            settings.postbacks = told;
            all = Some(settings.clone());
        });
        let settings = all.unwrap();
        let key = DataDir::new(&settings.data_dir).click_key().unwrap_or_else(|error| panic!("{error}"));
        let postbacks = Postbacks::open(&settings, key, gateway.clock.clone()).unwrap();
        Setting { gateway, postbacks }
    }

    /// A click with this query on a link in Kuaishou, as attribution sees it.
    fn click(&self, placement: &str, query: &str) -> Touch {
        let code = self.gateway.link(JD, placement, "self_operated");
        let before = self.gateway.hops().len();
        assert_eq!(self.gateway.get(&format!("/{code}?{query}")).status, 302);
        eventually("the hop is there", || self.gateway.hops().len() > before);
        let hop = self.gateway.hops().into_iter().find(|hop| hop["code"] == code).unwrap();
        touch(&hop, &self.gateway.app().gateway().click_key)
    }

    fn announce(&self, line: OrderLine, touch: &Touch) {
        let matched = Matched { line, touch: touch.clone(), method: "click_id".into() };
        self.gateway.app().block_on(self.postbacks.teller.announce(&[matched])).unwrap();
    }

    fn deliveries(&self) -> Vec<Delivery> {
        self.gateway.app().block_on(self.postbacks.outbox.list(&DeliveryQuery::default(), 100)).unwrap()
    }
}

const NOW: &str = "2022-11-15 12:00:00";
const HOSTILE: &str = "http%3A%2F%2F127.0.0.1%3A1%2F%3Fx%3D1%26event_type%3D3%23%0D%0AX-Evil%3A%201%20%22%5C";

#[test]
fn kuaishou_is_told_once_an_event_and_a_callback_is_only_a_parameter() {
    let platform = Platform::answering(|_| Some(("200 OK", "{\"result\":1}")));
    let more = "events = [\"order_submitted\", \"order_paid\"]";
    let setting = Setting::new(NOW, &platform.settings("ks", "kuaishou", more));
    let touch = setting.click("kuaishou/live_cart", &format!("callback={HOSTILE}&account_id=7"));
    let now = setting.gateway.clock.now();
    setting.announce(line("1", OrderState::Paid, now), &touch);
    // Told again, and later in its life: nothing new to tell.
    setting.announce(line("1", OrderState::Paid, now), &touch);
    setting.announce(line("1", OrderState::Completed, now), &touch);
    eventually("both are told", || {
        setting.deliveries().iter().filter(|one| one.state == DeliveryState::Delivered).count() == 2
    });
    assert_eq!((setting.deliveries().len(), platform.count()), (2, 2));
    let mut told: Vec<Vec<(String, String)>> = platform.received().iter().map(Received::query).collect();
    told.sort_by_key(|query| query[2].1.clone());
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let callback = "http://127.0.0.1:1/?x=1&event_type=3#\r\nX-Evil: 1 \"\\";
    let paid = (now.millis() - 30_000).to_string();
    assert_eq!(
        told[1],
        [
            pair("app", "1"),
            pair("callback", callback),
            pair("event_type", "15"),
            pair("event_time", &paid),
            pair("purchase_amount", "123.45")
        ]
    );
    assert_eq!(told[0][2], pair("event_type", "14"));
    for one in platform.received() {
        assert!(one.line.starts_with("GET /track?app=1&callback=http%3A%2F%2F"), "{}", one.line);
        assert!(one.headers.iter().all(|(name, _)| name != "x-evil"), "{one:?}");
        let host = one.headers.iter().find(|(name, _)| name == "host").unwrap();
        assert_eq!(host.1, platform.address.to_string(), "the address of the settings, and no other");
    }
    assert_eq!(setting.gateway.metric("hopgate_postback_deliveries_total"), 2.0);
}

#[test]
fn what_is_not_taken_is_told_again_and_then_listed() {
    let mended = Arc::new(AtomicBool::new(false));
    let well = Arc::clone(&mended);
    let platform = Platform::answering(move |_| {
        Some(("200 OK", if well.load(Ordering::SeqCst) { "{\"result\":1}" } else { "{\"result\":6}" }))
    });
    let more = "events = [\"order_paid\"]\ngive_up_after = \"1h\"";
    let setting = Setting::new(NOW, &platform.settings("ks", "kuaishou", more));
    let touch = setting.click("kuaishou/live_cart", "callback=abc");
    setting.announce(line("1", OrderState::Paid, setting.gateway.clock.now()), &touch);
    eventually("it is refused", || setting.deliveries().first().is_some_and(|one| one.attempts == 1));
    let waiting = setting.deliveries().remove(0);
    assert_eq!(waiting.state, DeliveryState::Pending);
    assert!(waiting.last_error.as_deref().unwrap().contains("{\"result\":6}"), "{waiting:?}");
    while setting.deliveries()[0].state == DeliveryState::Pending {
        let (before, due) = (setting.deliveries()[0].attempts, setting.deliveries()[0].next_at.unwrap());
        setting.gateway.clock.set(due.max(setting.gateway.clock.now().plus_micros(1_000_000)));
        eventually("another attempt", || setting.deliveries()[0].attempts > before);
    }
    let dead = setting.deliveries().remove(0);
    assert!(dead.state == DeliveryState::Dead && dead.attempts > 5, "{dead:?}");

    // Ops sees it over the API, with its order, and tells again.
    let admin = std::fs::read_to_string(setting.gateway.folder.path().join("data/admin.key")).unwrap();
    let bearer = format!("Bearer {}", admin.trim());
    let mut api = support::Client::connect(setting.gateway.app().addresses().control);
    let answer = api.ask("GET", "/v1/postbacks?state=dead&postback=ks", &[("Authorization", &bearer)]);
    let page: Value = serde_json::from_str(&answer.body).unwrap();
    let one = &page["postbacks"][0];
    assert_eq!((&one["order"], &one["type"], &one["line"]), (&json!("81"), &json!("order.paid"), &json!("1")));
    assert_eq!(api.ask("GET", "/v1/postbacks?webhook=x", &[("Authorization", &bearer)]).status, 422);
    mended.store(true, Ordering::SeqCst);
    let outbox = &setting.postbacks.outbox;
    let retried = setting.gateway.app().block_on(outbox.retry(&dead.event, None, setting.gateway.clock.now()));
    assert_eq!(retried.unwrap(), Some(1));
    eventually("it is taken", || setting.deliveries()[0].state == DeliveryState::Delivered);
}

#[test]
fn every_platform_is_told_in_its_own_way_and_only_of_its_own_clicks() {
    let ocean = Platform::answering(|_| Some(("200 OK", "{\"code\":0}")));
    let red = Platform::answering(|_| Some(("200 OK", "{\"code\":0,\"success\":true}")));
    let own = Platform::answering(|_| Some(("204 No Content", "")));
    let types = "events = [\"order_paid\"]\nevent_types = { order_paid = \"in_app_order\" }";
    let text = [
        ocean.settings("ocean", "ocean_engine", types),
        red.settings("red", "xiaohongshu", &format!("{types}\nfields = {{ scene = 101 }}\nsecret_env = \"PATH\"")),
        own.settings("own", "generic", "events = [\"order_paid\", \"order_reversed\"]\nsecret_file = \"own.secret\""),
    ]
    .concat();
    let setting = Setting::new("2025-06-10 12:00:00", &text);
    let red_click = setting.click("xiaohongshu/ad_note", "click_id=atest42&__os__=1&advertiser_id=9");
    let now = setting.gateway.clock.now();
    setting.announce(line("1", OrderState::Paid, now), &red_click);
    eventually("two are told", || red.count() == 1 && own.count() == 1);
    let told = red.received().remove(0);
    let body: Value = serde_json::from_str(&told.body).unwrap();
    assert!(told.line.starts_with("POST /track?app=1 "), "{}", told.line);
    assert_eq!((&body["click_id"], &body["event_type"]), (&json!("atest42"), &json!("in_app_order")));
    assert_eq!((&body["scene"], &body["timestamp"]), (&json!(101), &json!(now.millis() - 30_000)));
    let key = ring::hmac::Key::new(
        ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        std::env::var("PATH").unwrap().trim().as_bytes(),
    );
    let expected: String =
        ring::hmac::sign(&key, told.body.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(told.headers.contains(&("x-red-signature".to_owned(), expected)), "{told:?}");
    let told = own.received().remove(0);
    let body: Value = serde_json::from_str(&told.body).unwrap();
    assert_eq!((&body["type"], &body["data"]["click_id"]), (&json!("order.paid"), &json!("atest42")));
    assert_eq!((&body["data"]["paid_fen"], &body["data"]["order"]), (&json!(12_345), &json!("81")));
    assert!(told.headers.iter().any(|(name, value)| name == "webhook-signature" && value.starts_with("v1,")));
    // Given back: told to who asked for that, as the payment was told before; a line never told of is not taken back.
    setting.announce(line("1", OrderState::Invalid, now), &red_click);
    setting.announce(line("2", OrderState::Invalid, now), &red_click);
    eventually("it is taken back", || own.count() == 2);
    let taken: Value = serde_json::from_str(&own.received()[1].body).unwrap();
    assert_eq!((&taken["type"], &taken["data"]["line"]), (&json!("order.reversed"), &json!("1")));
    assert_eq!((ocean.count(), red.count(), setting.deliveries().len()), (0, 1, 3));
    // A click that brought nothing along, and an order of last year: nothing to tell.
    let bare = setting.click("xiaohongshu/ad_note", "x=1");
    setting.announce(line("3", OrderState::Paid, now), &bare);
    setting.announce(line("4", OrderState::Paid, at("2024-01-01")), &red_click);
    assert_eq!(setting.deliveries().len(), 3);
}

#[test]
fn a_killed_gateway_loses_no_postback_and_tells_the_same_again() {
    let platform = Platform::answering(|number| (number > 0).then_some(("200 OK", "{\"result\":1}")));
    let place = Place::new("");
    place.settings(&platform.settings("ks", "kuaishou", "events = [\"order_paid\"]"));
    let ran = place.run(&["check"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    place.import(1);
    let mut served = place.serve(&[]);
    assert_eq!(served.get("/load0000?callback=abc%2Bdef").status, 302);
    let mut hops = Vec::new();
    eventually("the hop is there", || {
        hops = support::hops(&place.path("data"));
        !hops.is_empty()
    });
    let settings = Settings { data_dir: place.path("data"), ..Settings::load(&place.path("hopgate.toml")).unwrap() };
    let key = DataDir::new(&settings.data_dir).click_key().unwrap_or_else(|error| panic!("{error}"));
    let touch = touch(&hops[0], &key);
    let postbacks = Postbacks::open(&settings, key, Clock::System).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let matched = |number| Matched {
        line: line(number, OrderState::Paid, Clock::System.now()),
        touch: touch.clone(),
        method: "pid".into(),
    };
    let first = matched("1");
    runtime.block_on(postbacks.teller.announce(std::slice::from_ref(&first))).unwrap();
    eventually("it is being told", || platform.count() == 1);
    served.kill();
    // The ledger was killed as well, and says the same again.
    runtime.block_on(postbacks.teller.announce(&[first])).unwrap();
    let served = place.serve(&[]);
    eventually("it is told again", || platform.count() == 2);
    let list = || runtime.block_on(postbacks.outbox.list(&DeliveryQuery::default(), 10)).unwrap();
    eventually("it is noted", || list().len() == 1 && list()[0].state == DeliveryState::Delivered);
    let received = platform.received();
    assert_eq!(received[0].line, received[1].line);
    assert!(received[0].query().contains(&("callback".to_owned(), "abc+def".to_owned())), "{received:?}");
    let listed = place.run(&["postback", "list", "--all"]);
    assert!(listed.out.contains("order.paid") && listed.out.contains("81"), "{listed:?}");
    // The value of a query may be a secret.
    assert!(listed.out.contains("/track?app=…") && !listed.out.contains("app=1"), "{listed:?}");
    assert!(!served.log().contains("app=1"), "{}", served.log());
    let again = place.run(&["postback", "retry", &list()[0].event]);
    assert!(again.code == 1 && again.err.contains("delivered already"), "{again:?}");
    assert_eq!(served.stop(), Some(0));
}
