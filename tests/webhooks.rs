//! Webhooks over real sockets: what is told, to whom, once and signed; receivers that fail, lie elsewhere or are gone; a
//! gateway that slept or was killed.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;
mod webhook_support;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hopgate::app::{App, DataDir};
use hopgate::clock::Clock;
use hopgate::config::settings::Settings;
use hopgate::config::webhooks::{EventKind, SecretSource, WebhookSettings};
use hopgate::domain::span::Span;
use hopgate::edge::tls::write_dev;
use hopgate::notify::outbox::{DeliveryQuery, DeliveryState, Outbox};
use hopgate::notify::sqlite::SqliteOutbox;
use serde_json::{Value, json};
use support::{Client, Gateway, JD, Place, at, eventually, window};
use webhook_support::{Receiver, SECRET};

fn webhook(folder: &Path, name: &str, address: SocketAddr, events: &[EventKind]) -> WebhookSettings {
    let secret = folder.join(format!("{name}.secret"));
    std::fs::write(&secret, SECRET).unwrap();
    WebhookSettings {
        name: name.to_owned(),
        url: format!("http://{address}/hooks").parse().unwrap(),
        secrets: vec![SecretSource::File(secret)],
        events: events.to_vec(),
        allow_private: true,
        allow_http: true,
        ca_file: None,
        give_up_after: Span::days(1),
    }
}

const WINDOWS: [EventKind; 2] = [EventKind::WindowOpened, EventKind::WindowClosed];

/// A gateway whose one webhook is `receiver`.
fn gateway(now: &str, receiver: &Receiver, events: &[EventKind]) -> Gateway {
    let folder = tempfile::tempdir().unwrap();
    let hook = webhook(folder.path(), "shop", receiver.address, events);
    let gateway = Gateway::start_with(now, |settings| settings.webhooks = vec![hook]);
    // The secret was read; only then may its folder go.
    drop(folder);
    gateway
}

fn outbox(folder: &Path) -> SqliteOutbox {
    SqliteOutbox::open(&DataDir::new(&folder.join("data")).database()).unwrap()
}

fn deliveries(gateway: &Gateway) -> Vec<hopgate::notify::outbox::Delivery> {
    let outbox = outbox(gateway.folder.path());
    gateway.app().block_on(outbox.list(&DeliveryQuery::default(), 100)).unwrap()
}

/// Waits until the herald has looked once: from then on boundaries are told of.
fn settled(folder: &Path, app: &App) {
    let outbox = outbox(folder);
    let marked = |mark| app.block_on(outbox.mark(mark)).unwrap().is_some();
    use hopgate::notify::outbox::Mark;
    eventually("the herald has begun", || marked(Mark::Windows) && marked(Mark::Switches));
}

#[test]
fn a_window_that_ends_is_told_of_once() {
    let receiver = Receiver::start();
    let gateway = gateway("2022-10-27 23:59:59.999", &receiver, &WINDOWS);
    settled(gateway.folder.path(), gateway.app());
    assert_eq!(receiver.count(), 0, "what passed before the first start is history");
    gateway.clock.set(at("2022-10-28"));
    eventually("it is told", || receiver.count() == 2);
    let [jd, tmall] = receiver.received().try_into().unwrap();
    assert_eq!(
        (&jd.body["type"], &tmall.body["type"]),
        (&json!("policy.window_opened"), &json!("policy.window_opened"))
    );
    assert_eq!(jd.body["at"], "2022-10-28T00:00:00+08:00");
    assert_eq!(jd.body["data"]["agreement"], "kuaishou-jd-double11-2022");
    assert_eq!((&jd.body["data"]["platform"], &jd.body["data"]["marketplaces"]), (&json!("kuaishou"), &json!(["jd"])));
    assert_eq!(tmall.body["data"]["agreement"], "kuaishou-tmall-double11-2022");
    let seconds: i64 = jd.headers["webhook-timestamp"].parse().unwrap();
    assert_eq!(seconds, at("2022-10-28").millis() / 1_000, "the attempt's instant");
    assert_eq!(jd.headers["content-type"], "application/json");
    eventually("both are noted", || {
        gateway.metric("hopgate_webhook_pending") == 0.0
            && gateway.metric("hopgate_webhook_deliveries_total") == 2.0
            && deliveries(&gateway).iter().all(|delivery| delivery.state == DeliveryState::Delivered)
    });

    // Ops sees it over the API, nobody else.
    let admin = std::fs::read_to_string(gateway.folder.path().join("data/admin.key")).unwrap();
    let bearer = format!("Bearer {}", admin.trim());
    let mut api = Client::connect(gateway.app().addresses().control);
    let listed = api.ask("GET", "/v1/webhooks/deliveries?limit=1", &[("Authorization", &bearer)]);
    let page: Value = serde_json::from_str(&listed.body).unwrap();
    assert_eq!(
        (&page["deliveries"][0]["state"], &page["deliveries"][0]["webhook"]),
        (&json!("delivered"), &json!("shop"))
    );
    let cursor = page["next_cursor"].as_str().unwrap();
    let path = format!("/v1/webhooks/deliveries?state=delivered&cursor={cursor}");
    let rest: Value = serde_json::from_str(&api.ask("GET", &path, &[("Authorization", &bearer)]).body).unwrap();
    assert_eq!(rest["deliveries"][0]["event"], *jd.id, "{rest} after {page}");
    assert_eq!(api.ask("GET", "/v1/webhooks/deliveries?state=lost", &[("Authorization", &bearer)]).status, 422);
    assert_eq!(api.ask("GET", "/v1/webhooks/deliveries", &[]).status, 401);

    gateway.clock.set(at("2022-12-01"));
    eventually("its end is told too", || receiver.count() == 3);
    let last = receiver.received()[2].clone();
    assert_eq!(
        (&last.body["type"], &last.body["data"]["agreement"]),
        (&json!("policy.window_closed"), &jd.body["data"]["agreement"])
    );
}

#[test]
fn what_was_slept_through_is_told_at_the_next_start_and_never_again() {
    let receiver = Receiver::start();
    let folder = tempfile::tempdir().unwrap();
    let settings = || -> Settings {
        let mut settings = support::settings(folder.path());
        settings.webhooks = vec![webhook(folder.path(), "shop", receiver.address, &WINDOWS)];
        settings
    };
    let app = App::start(settings(), Clock::manual(at("2022-11-15"))).unwrap();
    settled(folder.path(), &app);
    app.stop().unwrap();
    let clock = Clock::manual(at("2023-01-02"));
    let app = App::start(settings(), clock).unwrap();
    eventually("both ends are told", || receiver.count() == 2);
    let mut told: Vec<(String, String)> = receiver
        .received()
        .iter()
        .map(|one| {
            (one.body["at"].as_str().unwrap().to_owned(), one.body["data"]["agreement"].as_str().unwrap().to_owned())
        })
        .collect();
    told.sort();
    assert_eq!(told[0], ("2022-12-01T00:00:00+08:00".to_owned(), "kuaishou-jd-double11-2022".to_owned()));
    assert_eq!(told[1], ("2023-01-01T00:00:00+08:00".to_owned(), "kuaishou-tmall-double11-2022".to_owned()));
    app.stop().unwrap();
    let clock = Clock::manual(at("2023-01-03"));
    let app = App::start(settings(), clock.clone()).unwrap();
    // Something that is told proves that what went before was not told again.
    clock.set(at("2025-05-07"));
    let opens = |one: &webhook_support::Received| {
        one.body["type"] == "policy.window_opened" && one.body["data"]["agreement"] == "xiaohongshu-tmall-redcat-2025"
    };
    eventually("the next opening is told", || receiver.received().iter().any(opens));
    let ids: Vec<String> = receiver.received().into_iter().map(|one| one.id).collect();
    assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), ids.len(), "{ids:?}");
    drop(app);
}

#[test]
fn a_failing_receiver_is_asked_again_under_the_same_id_until_it_takes_it() {
    let receiver = Receiver::answering(|number| {
        Some(["500 No", "429 Slow\r\nRetry-After: 600", "204 No Content"][number.min(2)].to_owned())
    });
    let gateway = gateway("2022-11-30 23:59:59", &receiver, &WINDOWS);
    settled(gateway.folder.path(), gateway.app());
    let failures = || gateway.metric("hopgate_webhook_deliveries_total");
    gateway.clock.set(at("2022-12-01"));
    eventually("the first attempt fails", || failures() == 1.0 && deliveries(&gateway)[0].attempts == 1);
    let waiting = deliveries(&gateway).remove(0);
    assert_eq!((waiting.state, waiting.last_status), (DeliveryState::Pending, Some(500)));
    let wait = waiting.next_at.unwrap().micros() - at("2022-12-01").micros();
    assert!((4_000_000..=6_000_000).contains(&wait), "{wait}");
    assert_eq!(gateway.metric("hopgate_webhook_pending"), 1.0);

    gateway.clock.set(at("2022-12-01 00:00:07"));
    eventually("the second attempt fails", || deliveries(&gateway)[0].attempts == 2);
    let waiting = deliveries(&gateway).remove(0);
    assert_eq!(waiting.next_at, Some(at("2022-12-01 00:10:07")), "the receiver said when");
    gateway.clock.set(at("2022-12-01 00:10:07"));
    eventually("the third is taken", || deliveries(&gateway)[0].state == DeliveryState::Delivered);
    let received = receiver.received();
    assert!(received.len() == 3 && received.iter().all(|one| one.id == received[0].id), "{received:?}");
    let sent = |one: &webhook_support::Received| one.headers["webhook-timestamp"].clone();
    assert_ne!(sent(&received[0]), sent(&received[2]), "each attempt is signed for its own instant");
}

#[test]
fn what_cannot_be_delivered_is_given_up_and_can_be_sent_again() {
    // First a redirect to a place that would take it, and never anything else.
    let elsewhere = Receiver::start();
    let location = format!("302 Found\r\nLocation: http://{}/hooks", elsewhere.address);
    let mended = Arc::new(AtomicBool::new(false));
    let well = Arc::clone(&mended);
    let receiver = Receiver::answering(move |number| {
        Some(match (number, well.load(Ordering::SeqCst)) {
            (0, _) => location.clone(),
            (_, false) => "503 No".to_owned(),
            (_, true) => "200 OK".to_owned(),
        })
    });
    let gateway = gateway("2022-11-30 23:59:59", &receiver, &WINDOWS);
    settled(gateway.folder.path(), gateway.app());
    gateway.clock.set(at("2022-12-01"));
    eventually("the redirect is not followed", || deliveries(&gateway).first().is_some_and(|one| one.attempts == 1));
    assert!(deliveries(&gateway)[0].last_error.as_deref().unwrap().contains("not followed"));
    let mut now = at("2022-12-01");
    while deliveries(&gateway)[0].state == DeliveryState::Pending {
        let (before, due) = (receiver.count(), deliveries(&gateway)[0].next_at.unwrap());
        now = due.max(now.plus_micros(1_000_000));
        gateway.clock.set(now);
        eventually("another attempt", || {
            receiver.count() > before && deliveries(&gateway)[0].attempts as usize == receiver.count()
        });
    }
    let (attempts, hours) = (receiver.count(), (now.micros() - at("2022-12-01").micros()) / 3_600_000_000);
    assert!((20..=40).contains(&attempts) && (21..=24).contains(&hours), "{attempts} attempts in {hours} h");
    assert_eq!(deliveries(&gateway)[0].state, DeliveryState::Dead);
    assert_eq!(elsewhere.count(), 0);
    assert_eq!(gateway.metric("hopgate_webhook_pending"), 0.0);

    mended.store(true, Ordering::SeqCst);
    let id = deliveries(&gateway)[0].event.clone();
    let outbox = outbox(gateway.folder.path());
    assert_eq!(gateway.app().block_on(outbox.retry(&id, Some("shop"), now)).unwrap(), Some(1));
    eventually("it is sent again and taken", || deliveries(&gateway)[0].state == DeliveryState::Delivered);
    let received = receiver.received();
    assert!(received.len() == attempts + 1 && received.iter().all(|one| one.id == id), "{received:?}");
}

#[test]
fn links_about_to_stop_are_told_of_once_a_creator_and_instant() {
    let receiver = Receiver::start();
    let gateway = gateway("2022-11-20", &receiver, &[EventKind::LinkExpiring]);
    let link = |creator: &str, placement: &str| {
        gateway.link_with(JD, placement, "self_operated", |link| link.creator = Some(creator.into()))
    };
    let mut first = vec![link("c1", "kuaishou/live_cart"), link("c1", "kuaishou/live_cart")];
    link("c1", "kuaishou/short_video_cart");
    let second = link("c2", "/");
    // Ten days before: nothing. Within seven days: one event for each of the two.
    gateway.clock.set(at("2022-11-23"));
    gateway.clock.set(at("2022-11-25"));
    eventually("both creators are told", || receiver.count() == 2);
    let by_creator =
        |name: &str| receiver.received().into_iter().find(|one| one.body["data"]["creator"] == name).unwrap();
    let told = by_creator("c1").body;
    assert_eq!(told["type"], "link.expiring");
    assert_eq!((&told["data"]["until"], &told["data"]["links"]), (&json!("2022-12-01T00:00:00+08:00"), &json!(2)));
    let stop = &told["data"]["stops"][0];
    first.sort();
    assert_eq!((&stop["codes"], &stop["agreement"]), (&json!(first), &json!("kuaishou-jd-double11-2022")));
    assert_eq!((&stop["then"]["outcome"], &stop["cause"]), (&json!("deny"), &json!("window_ends")));
    assert_eq!(by_creator("c2").body["data"]["stops"][0]["codes"], json!([second]));

    // A link that comes later is told of alone.
    let late = link("c1", "kuaishou/live_cart");
    gateway.clock.set(at("2022-11-25 02:00"));
    eventually("the late one is told", || receiver.count() == 3);
    assert_eq!(receiver.received()[2].body["data"]["stops"][0]["codes"], json!([late]));
    let ids: std::collections::BTreeSet<String> = receiver.received().into_iter().map(|one| one.id).collect();
    assert_eq!(ids.len(), 3);
}

#[test]
fn a_short_link_about_to_die_is_told_of_before_it_does_and_not_after() {
    let receiver = Receiver::start();
    let gateway = gateway("2025-07-01", &receiver, &[EventKind::LinkExpiring]);
    let link = |creator: &str| {
        gateway.link_with("https://u.jd.com/AbCdEf", "kuaishou/detail_page", "pop", |link| {
            link.creator = Some(creator.into())
        })
    };
    let first = link("c1");
    gateway.clock.set(at("2025-08-25"));
    eventually("its creator is told", || receiver.count() == 1);
    let told = receiver.received().remove(0).body;
    assert_eq!(told["data"]["until"], "2025-08-30T00:00:00+08:00", "{told}");
    let stop = &told["data"]["stops"][0];
    assert_eq!((&stop["cause"], &stop["codes"]), (&json!("short_link_dies"), &json!([first])));
    // Half a year on the outbox has forgotten whom it told; a link that has died is told of no more.
    gateway.clock.set(at("2026-01-01"));
    link("c2");
    gateway.clock.set(at("2026-02-25"));
    eventually("the second creator is told", || receiver.count() >= 2);
    let creators: Vec<_> = receiver.received().into_iter().map(|one| one.body["data"]["creator"].clone()).collect();
    assert_eq!(creators, ["c1", "c2"]);
}

#[test]
fn an_address_that_is_not_public_is_never_connected_to() {
    let receiver = Receiver::start();
    let folder = tempfile::tempdir().unwrap();
    let mut hook = webhook(folder.path(), "inside", receiver.address, &WINDOWS);
    hook.allow_private = false;
    hook.url = format!("http://localhost:{}/", receiver.address.port()).parse().unwrap();
    let gateway = Gateway::start_with("2022-11-30 23:59:59", |settings| settings.webhooks = vec![hook]);
    settled(gateway.folder.path(), gateway.app());
    gateway.clock.set(at("2022-12-01"));
    eventually("it is refused", || deliveries(&gateway).first().is_some_and(|one| one.attempts == 1));
    let error = deliveries(&gateway)[0].last_error.clone().unwrap();
    assert!(error.contains("not a public address") && error.contains("allow_private"), "{error}");
    assert_eq!(receiver.connections.load(Ordering::SeqCst), 0);
}

/// Settings of a webhook for the real binary.
fn hook_settings(place: &Place, url: &str, more: &str) -> String {
    std::fs::write(place.path("hook.secret"), SECRET).unwrap();
    format!(
        "[[webhooks]]\nname = \"shop\"\nurl = \"{url}\"\nsecret_file = \"hook.secret\"\n\
         events = [\"policy.published\"]\n{more}\n"
    )
}

#[test]
fn a_killed_gateway_loses_no_event_and_sends_it_under_the_same_id() {
    let receiver = Receiver::answering(|number| (number > 0).then(|| "200 OK".to_owned()));
    let place = Place::new("");
    let url = format!("http://{}/", receiver.address);
    place.settings(&hook_settings(&place, &url, "allow_private = true\nallow_http = true"));
    let mut served = place.serve(&[]);
    let outbox = outbox(place.0.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    use hopgate::notify::outbox::Mark;
    eventually("the herald has begun", || runtime.block_on(outbox.mark(Mark::Switches)).unwrap().is_some());
    std::fs::write(place.path("policies/more.yaml"), window("more", "2021-01-01", "2080-01-01").replace("jd", "tmall"))
        .unwrap();
    let published = place.run(&["policy", "publish", "--note", "more", "--yes"]);
    assert_eq!(published.code, 0, "{published:?}");
    eventually("it is being told", || receiver.count() == 1);
    served.kill();
    let waiting = runtime.block_on(outbox.list(&DeliveryQuery::default(), 10)).unwrap();
    assert_eq!((waiting.len(), waiting[0].state, waiting[0].attempts), (1, DeliveryState::Pending, 0));
    let served = place.serve(&[]);
    eventually("it is told again", || receiver.count() == 2);
    let received = receiver.received();
    assert_eq!((&received[0].id, &received[0].body), (&received[1].id, &received[1].body));
    assert_eq!(received[1].body["type"], "policy.published");
    let data = &received[1].body["data"];
    assert_eq!((data["version"].as_str().unwrap().len(), &data["number"]), (16, &json!(2)));
    assert_ne!(data["version"], data["previous_version"]);
    eventually("it is noted", || {
        runtime.block_on(outbox.list(&DeliveryQuery::default(), 10)).unwrap()[0].state == DeliveryState::Delivered
    });
    let listed = place.run(&["webhook", "list", "--all"]);
    assert!(listed.out.contains("policy.published") && listed.out.contains(&received[0].id), "{listed:?}");
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn a_receiver_is_tried_out_over_tls_and_bad_ones_are_named() {
    let place = Place::new("");
    let files = write_dev(&place.path("certs"), &["localhost".to_owned()]).unwrap();
    let receiver = Receiver::with_tls(&files);
    let url = format!("https://localhost:{}/hooks?key=1", receiver.address.port());
    place.settings(&hook_settings(&place, &url, "allow_private = true\nca_file = \"certs/dev.pem\""));
    let ran = place.run(&["check"]);
    assert!(ran.code == 0 && !ran.err.contains("webhook"), "{ran:?}");
    let ran = place.run(&["webhook", "test", "shop"]);
    assert!(ran.code == 0 && ran.out.contains("answered 200"), "{ran:?}");
    assert_eq!(receiver.types(), ["webhook.test"]);
    // Without that authority it is not believed, and no byte of the event leaves.
    place.settings(&hook_settings(&place, &url, "allow_private = true"));
    let ran = place.run(&["webhook", "test", "shop"]);
    assert!(ran.code == 1 && ran.err.contains("TLS failed"), "{ran:?}");
    assert_eq!(receiver.count(), 1);
    let ran = place.run(&["webhook", "test", "shap"]);
    assert!(ran.code == 2 && ran.err.contains("there are shop"), "{ran:?}");

    place.settings(&hook_settings(&place, &url, "ca_file = \"gone.pem\""));
    let ran = place.run(&["check"]);
    assert_eq!(ran.code, 78, "{ran:?}");
    assert!(ran.err.contains("gone.pem") && ran.err.contains("not a public address"), "{}", ran.err);
    let ran = place.run(&["serve"]);
    assert!(ran.code == 78 && ran.err.contains("gone.pem"), "{ran:?}");
    for (settings, part) in [
        (hook_settings(&place, "http://hooks.example.com/", ""), "allow_http"),
        (hook_settings(&place, "https://127.0.0.1/", ""), "allow_private"),
        (hook_settings(&place, &url, "allow_private = true").replace("hook.secret", "no.secret"), "no.secret"),
    ] {
        place.settings(&settings);
        let ran = place.run(&["check"]);
        assert!(ran.code == 78 && ran.err.contains(part), "{part}: {ran:?}");
    }
    let ran = place.run(&["webhook", "retry", "evt_0"]);
    assert!(ran.code != 0, "{ran:?}");
}
