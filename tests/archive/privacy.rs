//! What is personal: erased on request and by age, with proof; keys of past days destroyed; the raw log off unless wanted.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::support::{Client, Dice, Gateway, JD, KUAISHOU_AGENT, Place, at, eventually};
use super::{SMALL, archive_all, click, exported, import, names};

fn personal(hops: &[Value]) -> usize {
    hops.iter().filter(|hop| !hop["address"].is_null() || !hop["visitor"].is_null()).count()
}

#[test]
fn a_purge_erases_says_what_it_erased_and_proves_it() {
    let place = Place::new(SMALL);
    import(&place);
    let server = place.serve(&[]);
    let told = click(&server, 1_200, &mut Dice(9)).len();
    assert_eq!(server.stop(), Some(0));
    archive_all(&place);
    let hops = exported(&place, &[]);
    assert_eq!(personal(&hops), told);

    // Nothing is as old as thirty days; a wrong question is refused.
    let usual = place.run(&["purge"]);
    assert_eq!((usual.code, usual.out.contains("found after: 0")), (0, true), "{usual:?}");
    assert_eq!(personal(&exported(&place, &[])), told);
    assert_eq!(place.run(&["purge", "--before", "2999-01-01"]).code, 2);
    assert_eq!(place.run(&["purge", "--before", "2022-01-01", "--older-than", "1d"]).code, 2);

    let middle = hops[600]["time"].as_str().unwrap().to_owned();
    let dry = place.run(&["purge", "--before", &middle, "--creator", "creator-0", "--dry-run"]);
    assert!(dry.code == 0 && dry.out.contains("would erase"), "{dry:?}");
    assert_eq!(exported(&place, &[]), hops);

    let ran = place.run(&["purge", "--before", &middle, "--creator", "creator-0", "--json"]);
    let record: Value = serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    assert_eq!((ran.code, record["found_after"].as_u64()), (0, Some(0)), "{ran:?}");
    let meant = |hop: &Value| hop["creator"] == "creator-0" && hop["seq"].as_u64() < hops[600]["seq"].as_u64();
    let erased: u64 = record["files"].as_array().unwrap().iter().map(|file| file["visitors"].as_u64().unwrap()).sum();
    assert_eq!(erased, hops.iter().filter(|hop| meant(hop)).count() as u64);
    let after = exported(&place, &[]);
    for (before, after) in hops.iter().zip(&after) {
        let mut wanted = before.clone();
        if meant(before) {
            wanted["address"] = Value::Null;
            wanted["visitor"] = Value::Null;
        }
        assert_eq!(&wanted, after);
    }
    // All of it, the segment that was being written included: the gateway is stopped.
    let ran = place.run(&["purge", "--older-than", "1s"]);
    eventually("the last click is a second old", || place.run(&["purge", "--older-than", "1s"]).code == 0);
    assert!(ran.out.contains("sha256 after"), "{ran:?}");
    eventually("everything is older", || {
        assert_eq!(place.run(&["purge", "--older-than", "1s"]).code, 0);
        personal(&exported(&place, &[])) == 0
    });
    assert_eq!(exported(&place, &[]).len(), told);
    assert_eq!(place.run(&["hops", "verify"]).code, 0);
    let kept = std::fs::read_to_string(place.path("data/purges.ndjson")).unwrap();
    assert!(kept.lines().count() >= 4 && kept.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));

    // Beside a running gateway what is in the segment being written cannot be erased: that is said, and is a failure.
    let server = place.serve(&[]);
    click(&server, 5, &mut Dice(1));
    let mut failed = place.run(&["purge", "--older-than", "1s"]);
    eventually("the clicks are a second old", || {
        failed = place.run(&["purge", "--older-than", "1s"]);
        failed.code == 1
    });
    assert!(failed.out.contains("is being written"), "{failed:?}");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn keys_of_days_that_are_over_are_in_no_file_of_the_data_folder() {
    let mut gateway = Gateway::start("2022-11-11 23:59:50");
    let data = gateway.folder.path().join("data");
    let file = data.join("visitor.keys");
    let bytes = std::fs::read(&file).unwrap();
    let (today, tomorrow) = (bytes[8..24].to_vec(), bytes[32..48].to_vec());
    let held = |secret: &[u8]| {
        std::fs::read_dir(&data)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .filter(|path| std::fs::read(path).is_ok_and(|bytes| bytes.windows(16).any(|window| window == secret)))
            .count()
    };
    let code = gateway.link(JD, "kuaishou/live_cart", "self_operated");
    assert_eq!(gateway.get(&format!("/{code}")).status, 302);
    assert_eq!((held(&today), held(&tomorrow)), (1, 1));
    gateway.clock.set(at("2022-11-12 00:00:00"));
    eventually("the key of the day that is over is destroyed", || held(&today) == 0);
    assert_eq!(held(&tomorrow), 1);
    assert_eq!(gateway.get(&format!("/{code}")).status, 302);

    gateway.app.take().unwrap().stop().unwrap();
    let mut settings = super::support::settings(gateway.folder.path());
    settings.data_dir = data.clone();
    let clock = hopgate::clock::Clock::manual(at("2022-11-16 08:00:00"));
    let again = hopgate::app::App::start(settings, clock).unwrap();
    assert_eq!(held(&tomorrow), 0, "after a restart days later as well");
    again.stop().unwrap();
    let hops = super::support::hops(&data);
    assert_eq!(hops.len(), 2);
    assert_ne!(hops[0]["visitor"], hops[1]["visitor"], "a stranger the next day");
}

#[test]
fn the_raw_log_is_off_unless_it_is_wanted_and_short_lived_then() {
    const OAID: &str = "1fe9a970-efbb-29e0-0bdd-f5dbbf751ab5";
    let query = format!("/link0?oaid={OAID}&cid=5&imei=__IMEI__");
    let place = Place::new(SMALL);
    import(&place);
    let server = place.serve(&[]);
    assert_eq!(server.get(&query).status, 302);
    assert_eq!(server.stop(), Some(0));
    assert!(!place.path("data/raw").exists());

    place.settings(&format!("{SMALL}[privacy.raw]\nenabled = true\nkeep = \"1h\"\n"));
    std::fs::create_dir(place.path("data/raw")).unwrap();
    let old = place.path("data/raw/raw-20220101T00Z.ndjson");
    std::fs::write(&old, "{}\n").unwrap();
    let server = place.serve(&[]);
    let answer = Client::connect(server.click).ask("GET", &query, &[("User-Agent", KUAISHOU_AGENT)]);
    let id = answer.header("hop-id").to_owned();
    let folder = place.path("data/raw");
    let text = || {
        names(&folder, ".ndjson")
            .iter()
            .map(|name| std::fs::read_to_string(folder.join(name)).unwrap())
            .collect::<String>()
    };
    eventually("the click is in the raw log", || text().contains(&id));
    eventually("what is too old is deleted", || !old.exists());
    let line: Value = serde_json::from_str(text().lines().next().unwrap()).unwrap();
    assert_eq!((line["click_id"].as_str(), line["address"].as_str()), (Some(id.as_str()), Some("127.0.0.1")));
    assert_eq!(
        (line["agent"].as_str(), &line["devices"]),
        (Some(KUAISHOU_AGENT), &serde_json::json!([["oaid", OAID]]))
    );
    let file = folder.join(&names(&folder, ".ndjson")[0]);
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(server.metric("hopgate_raw_log_dropped_total"), 0.0);
    assert_eq!(server.stop(), Some(0));
    // Never in a hop, and a purge finds it.
    assert!(!exported(&place, &[]).iter().any(|hop| hop.to_string().contains(OAID)));
    eventually("the click is a second old, and its line is removed", || {
        let ran = place.run(&["purge", "--older-than", "1s"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.out.contains("raw log: removed 1 lines")
    });
    assert!(names(&folder, ".ndjson").is_empty());
}
