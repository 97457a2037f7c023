//! A candidate beside the live policy, over real sockets: it never changes an answer, and what it would have changed is
//! counted and can be looked at.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::io::Write;
use std::net::SocketAddr;

use hopgate::config::marketplaces::shipped;
use hopgate::domain::alternates::Alternate;
use hopgate::domain::vocabulary::ShopType;
use serde_json::{Value, json};
use support::{Answer, Client, Gateway, JD};

fn ask(address: SocketAddr, key: &str, method: &str, body: Option<Value>) -> Answer {
    let body = body.map_or(String::new(), |body| body.to_string());
    let mut client = Client::connect(address);
    write!(
        client.socket(),
        "{method} /v1/policies/shadow HTTP/1.1\r\nHost: c\r\nAuthorization: Bearer {key}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    client.read(false).unwrap()
}

fn shadow(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

/// A candidate that opens Kuaishou to JD's merchants and closes it to JD's own goods.
fn candidate() -> Value {
    json!([{
        "id": "only-pop", "title": "t", "platform": "kuaishou", "marketplace": "jd", "effect": "allow",
        "from": "2022-11-01", "until": "2022-12-01", "when": {"shop_types": ["pop"]}, "landing": "app",
    }])
}

#[test]
fn a_candidate_changes_no_answer_and_every_difference_is_counted() {
    let gateway = Gateway::start("2022-11-15 12:00:00");
    let control = gateway.app().addresses().control;
    let admin = std::fs::read_to_string(gateway.folder.path().join("data/admin.key")).unwrap().trim().to_owned();
    let own = gateway.link(JD, "kuaishou/live_cart", "self_operated");
    let pop = gateway.link(JD, "kuaishou/live_cart", "pop");
    let chat = gateway.link(JD, "kuaishou/chat", "c_store");
    let smart =
        gateway.link_with("https://item.jd.com/100000177760.html", "kuaishou/live_cart", "self_operated", |link| {
            let landing = shipped().markets().recognise("https://item.jd.com/100000177761.html").unwrap();
            link.alternates = vec![Alternate { landing, shop_type: ShopType::Pop, category: None }];
        });
    let clicks = || {
        for (code, status) in [(&own, 302), (&pop, 403), (&chat, 403), (&smart, 302)] {
            for _ in 0..10 {
                assert_eq!(gateway.get(&format!("/{code}")).status, status, "the answer is the live policy's");
            }
        }
        // Machines are not asked about.
        Client::connect(gateway.click_address()).ask("HEAD", &format!("/{own}"), &[("User-Agent", "x")]);
    };
    assert_eq!(ask(control, &admin, "GET", None).status, 404);
    clicks();
    let bad =
        ask(control, &admin, "POST", Some(json!({"agreements": candidate(), "share": 1.5, "until": "2022-11-01"})));
    assert_eq!(bad.status, 422);
    assert!(
        bad.body.contains("\"share\"") && bad.body.contains("\"until\"") && bad.body.contains("is over"),
        "{}",
        bad.body
    );
    assert_eq!(ask(control, &admin, "GET", None).status, 404, "a faulty one sets nothing");

    let set = ask(control, &admin, "POST", Some(json!({"agreements": candidate(), "share": 1, "until": "2022-11-16"})));
    assert_eq!(set.status, 201, "{set:?}");
    clicks();
    let seen = shadow(&ask(control, &admin, "GET", None));
    let count = |field: &str| seen[field].as_u64().unwrap();
    assert_eq!(
        ["clicks", "allow_allow", "allow_deny", "deny_allow", "deny_deny", "moved"].map(count),
        [40, 10, 10, 10, 10, 10],
        "{seen}"
    );
    let last = seen["last"].as_array().unwrap();
    assert_eq!(last.len(), 20, "the last twenty of thirty");
    assert!(
        last[..10].iter().all(|click| click["code"] == *smart && click["candidate"]["alternate"] == 1),
        "{}",
        last[0]
    );
    assert!(last[10..].iter().all(|click| click["code"] == *pop), "{}", last[10]);
    let candidate_says = &last[10]["candidate"];
    assert_eq!((&candidate_says["outcome"], &candidate_says["agreement"]), (&"allow".into(), &"only-pop".into()));
    assert_eq!((&last[10]["outcome"], &last[10]["marketplace"]), (&"deny".into(), &"jd".into()));

    let text = Client::connect(gateway.app().addresses().ops).get("/metrics").body;
    let metric = |name: &str, labels: &[&str]| -> f64 {
        let fits = |line: &&str| line.starts_with(name) && labels.iter().all(|label| line.contains(label));
        text.lines().filter(fits).map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    };
    let clicks_total = "hopgate_shadow_clicks_total";
    assert_eq!(metric(clicks_total, &["live=\"allow\"", "candidate=\"deny\""]), 10.0);
    assert_eq!(metric(clicks_total, &[]), 40.0);
    let differences = "hopgate_shadow_differences_total";
    assert_eq!(
        metric(differences, &["live=\"allow\"", "reason=\"shop_type_not_covered\"", "platform=\"kuaishou\""]),
        10.0
    );
    assert_eq!(metric(differences, &["live=\"deny\"", "candidate=\"allow\"", "marketplace=\"jd\""]), 10.0);
    assert_eq!(metric(differences, &["live=\"allow\"", "candidate=\"allow\""]), 10.0, "the landing moves");

    // From its end on it is not asked any more.
    gateway.clock.set(support::at("2022-11-16 00:00:00"));
    clicks();
    let over = shadow(&ask(control, &admin, "GET", None));
    assert_eq!((&over["over"], &over["clicks"]), (&true.into(), &40.into()));
    assert_eq!(ask(control, &admin, "DELETE", None).status, 204);
    assert_eq!(ask(control, &admin, "DELETE", None).status, 404);
    // The version in force beside itself: no difference.
    let version = gateway.app().gateway().policies.current().version().to_string();
    assert_eq!(ask(control, &admin, "POST", Some(json!({"version": version, "share": 1.0}))).status, 201);
    clicks();
    let same = shadow(&ask(control, &admin, "GET", None));
    assert_eq!(
        (&same["clicks"], &same["allow_deny"], &same["deny_allow"], &same["moved"]),
        (&40.into(), &0.into(), &0.into(), &0.into())
    );
}
