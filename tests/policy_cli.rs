//! `hopgate policy` as one types it, and what a gateway that runs beside it makes of that.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Place, Ran, Served, eventually, window};

fn json(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{ran:?}");
    serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

fn publish(place: &Place, more: &[&str]) -> Ran {
    place.run(&[&["policy", "publish", "--note", "test", "--author", "amy", "--yes"], more].concat())
}

fn change(place: &Place, id: &str, until: &str) {
    std::fs::write(place.path("policies/wide.yaml"), window(id, "2020-01-01", until)).unwrap();
}

/// How long the gateway takes to answer with `status`, from now on.
fn seen(server: &Served, status: u16) -> Duration {
    let begun = Instant::now();
    eventually("the gateway follows", || server.get("/load0000").status == status);
    begun.elapsed()
}

#[test]
fn a_running_gateway_follows_and_a_restart_serves_the_pointer_not_the_folder() {
    let place = Place::new("");
    place.import(1);
    let none = place.run(&["policy", "list"]);
    assert_eq!((none.code, none.out.as_str()), (0, ""), "{none:?}");
    assert!(none.err.contains("no version is kept yet"), "{none:?}");
    let server = place.serve(&[]);
    assert_eq!(server.get("/load0000").status, 302);
    let first = json(&place.run(&["policy", "show", "--json"]));
    assert_eq!((&first["author"], &first["agreements"][0]["id"]), (&"import".into(), &"wide".into()));
    let same = place.run(&["policy", "diff"]);
    assert!(same.out.contains("no difference"), "{same:?}");

    // The folder changes: nothing happens until it is published.
    change(&place, "over", "2021-01-01");
    server.signal("HUP");
    let diff = place.run(&["policy", "diff"]);
    assert_eq!(diff.code, 0, "{diff:?}");
    assert!(diff.out.contains("- agreement wide: allow kuaishou → jd [2020-01-01T00:00:00+08:00, "), "{}", diff.out);
    assert!(
        diff.out.contains("+ agreement over: ") && diff.out.contains("1 added, 1 removed, 0 changed"),
        "{}",
        diff.out
    );
    assert_eq!(server.get("/load0000").status, 302);
    let looked = place.run(&["policy", "publish", "--note", "x", "--author", "amy", "--dry-run"]);
    assert!(looked.code == 0 && looked.out.contains("+ agreement over"), "{looked:?}");
    let unasked = place.run(&["policy", "publish", "--note", "x", "--author", "amy"]);
    assert_eq!(unasked.code, 2, "{unasked:?}");
    assert!(unasked.err.contains("--yes"), "nobody sits at a terminal: {unasked:?}");
    let wrong = publish(&place, &["--if-match", "00000000"]);
    let version = first["version"].as_str().unwrap();
    assert!(wrong.code == 1 && wrong.err.contains(version), "{wrong:?}");
    assert_eq!(server.get("/load0000").status, 302);

    let published = publish(&place, &["--if-match", &version[..8]]);
    assert!(published.code == 0 && published.out.contains("published "), "{published:?}");
    println!("followed a publish of the command line {:?} after it had ended", seen(&server, 403));
    assert!(publish(&place, &[]).out.contains("is in force already"), "publishing it again changes nothing");

    // Roll back, by the first digits.
    let back = json(&publish(&place, &["--version", &version[..8], "--json"]));
    assert_eq!((&back["version"], &back["switched"]), (&first["version"], &true.into()));
    seen(&server, 302);
    let listed = json(&place.run(&["policy", "list", "--json"]));
    let marks: Vec<_> = listed.as_array().unwrap().iter().map(|row| (&row["author"], &row["in_force"])).collect();
    assert_eq!(marks, [(&"amy".into(), &false.into()), (&"import".into(), &true.into())]);
    let text = place.run(&["policy", "list"]).out;
    assert!(text.lines().any(|line| line.starts_with(&format!("* {version}"))), "{text}");

    // What is in force is the pointer's, also after a restart; that the folder differs is said.
    assert_eq!(server.stop(), Some(0));
    let server = place.serve(&[]);
    assert_eq!(server.get("/load0000").status, 302);
    eventually("the difference is said", || server.log().contains("says something else than the version in force"));
    assert!(server.log().contains("hopgate policy diff"), "{}", server.log());
    // Not even a broken folder matters to it.
    std::fs::write(place.path("policies/wide.yaml"), "agreements: maybe\n").unwrap();
    server.signal("HUP");
    assert_eq!(server.get("/load0000").status, 302);
    drop(server);
    let server = place.serve(&[]);
    assert_eq!(server.get("/load0000").status, 302);
    let explained = place.run(&["explain", "--code", "load0000", "--json"]);
    assert_eq!(json(&explained)["policy_version"], first["version"], "explain asks what the gateway serves");
}

#[test]
fn who_switched_and_why_is_listed() {
    let place = Place::new("");
    place.import(1);
    drop(place.serve(&[]));
    let first = json(&place.run(&["policy", "show", "--json"]))["version"].as_str().unwrap().to_owned();
    change(&place, "over", "2021-01-01");
    assert_eq!(publish(&place, &[]).code, 0);
    let back = ["policy", "publish", "--version", &first[..8], "--note", "too early", "--author", "bob", "--yes"];
    assert_eq!(place.run(&back).code, 0);

    let log = json(&place.run(&["policy", "log", "--json"]));
    let rows: Vec<_> = log.as_array().unwrap().iter().map(|row| (&row["number"], &row["by"], &row["note"])).collect();
    let expected = [(3, "bob", "too early"), (2, "amy", "test"), (1, "import", "imported from policies")];
    let expected = expected.map(|(number, by, note)| (Value::from(number), Value::from(by), Value::from(note)));
    assert_eq!(rows, expected.iter().map(|(number, by, note)| (number, by, note)).collect::<Vec<_>>());
    assert_eq!((&log[0]["version"], &log[2]["version"]), (&Value::from(&*first), &Value::from(&*first)));
    let text = place.run(&["policy", "log", "--limit", "2"]).out;
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() == 3 && lines[1].contains(&first) && lines[1].ends_with("too early"), "{text}");
    assert!(lines[2].trim_start().starts_with("2 ") && lines[2].contains(" amy "), "{text}");
    let none = place.run(&["policy", "log", "--limit", "0"]);
    assert!(none.code == 2 && none.err.contains("--limit: is 0, must be at least 1"), "{none:?}");
}

#[test]
fn a_version_that_never_was_in_force_is_marked() {
    let place = Place::new("");
    place.import(1);
    drop(place.serve(&[]));
    change(&place, "over", "2021-01-01");
    assert_eq!(publish(&place, &[]).code, 0);
    let text = std::fs::read_to_string(place.path("hopgate.toml")).unwrap();
    std::fs::write(place.path("hopgate.toml"), format!("{text}require_backtest = true\n")).unwrap();
    change(&place, "waits", "2021-01-01");
    let kept = publish(&place, &[]);
    assert!(kept.code == 1 && kept.err.contains("is kept"), "{kept:?}");

    let text = place.run(&["policy", "list"]).out;
    let lines: Vec<&str> = text.lines().collect();
    let marks: String = lines[1..4].iter().filter_map(|line| line.chars().next()).collect();
    assert_eq!(marks, "·* ", "{text}");
    let legend = lines[4];
    assert!(legend.starts_with("* in force since ") && legend.contains(" by amy; · never in force"), "{text}");
    let none = place.run(&["policy", "list", "--limit", "0"]);
    assert!(none.code == 2 && none.err.contains("--limit: is 0, must be at least 1"), "{none:?}");
}

#[test]
fn findings_that_stop_a_publish_are_shown() {
    let place = Place::new("");
    place.import(1);
    drop(place.serve(&[]));
    std::fs::write(place.path("policies/wide.yaml"), "agreements: []\n").unwrap();
    let text = publish(&place, &[]);
    assert!(text.code == 1 && text.out.contains("error: closes_everything: "), "{text:?}");
    assert!(
        text.err.contains("1 finding(s) stop this publish") && text.err.contains("--allow-lint-errors"),
        "{text:?}"
    );
    let refused = publish(&place, &["--json"]);
    assert!(refused.code == 1 && refused.err.contains("stop this publish"), "{refused:?}");
    let told: Value = serde_json::from_str(&refused.out).unwrap_or_else(|error| panic!("{error}: {refused:?}"));
    assert_eq!((&told["findings"][0]["kind"], &told["switched"]), (&"closes_everything".into(), &false.into()));
    assert_eq!(told["diff"]["agreements"]["removed"][0]["id"], "wide");
    let meant = json(&publish(&place, &["--json", "--allow-lint-errors"]));
    assert_eq!(meant["switched"], true);
}

#[test]
fn a_kill_on_the_command_line_counts_at_once() {
    let place = Place::new("");
    place.import(1);
    let server = place.serve(&[]);
    let bad = place.run(&["policy", "kill", "--platform", "kuaishuo", "--why", "x", "--for", "99d", "--by", "amy"]);
    assert_eq!(bad.code, 2, "{bad:?}");
    assert!(bad.err.contains("--platform: ") && bad.err.contains("--for: is more than 30 days"), "{bad:?}");
    let nothing = place.run(&["policy", "kill", "--why", "x", "--by", "amy"]);
    assert!(nothing.code == 2 && nothing.err.contains("names nothing to switch off"), "{nothing:?}");
    assert_eq!(server.get("/load0000").status, 302);

    let kill =
        ["policy", "kill", "--platform", "kuaishou", "--marketplace", "jd", "--why", "wrong prices", "--by", "amy"];
    let killed = json(&place.run(&[&kill[..], &["--json"]].concat()));
    println!("followed a kill of the command line {:?} after it had ended", seen(&server, 403));
    let id = killed["kill"]["id"].as_str().unwrap();
    assert_eq!(server.metric("hopgate_policy_kills"), 1.0);
    let table = place.run(&["policy", "kills"]).out;
    assert!(table.contains(id) && table.contains("amy") && table.contains("wrong prices"), "{table}");
    let explained = place.run(&["explain", "--code", "load0000"]).out;
    assert!(explained.contains("kill_switch") && explained.contains("by amy until"), "{explained}");
    let file = place.run(&["policy", "show", "--yaml"]).out;
    assert!(file.contains(&format!("kills:\n  - id: {id}\n")), "{file}");

    // Files that do not speak of kills leave them; so does a gateway that starts anew.
    change(&place, "wider", "2091-01-01");
    assert!(!place.run(&["policy", "diff"]).out.contains("kill"), "a diff shows what publishing would do");
    assert_eq!(publish(&place, &[]).code, 0);
    assert_eq!(server.stop(), Some(0));
    let server = place.serve(&[]);
    assert_eq!(server.get("/load0000").status, 403);
    let lifted = place.run(&["policy", "unkill", id, "--by", "amy"]);
    assert_eq!(lifted.code, 0, "{lifted:?}");
    seen(&server, 302);
    let again = place.run(&["policy", "unkill", id, "--by", "amy"]);
    assert!(again.code == 1 && again.err.contains("no kill has the id"), "{again:?}");
    assert!(place.run(&["policy", "kills"]).err.contains("nothing is switched off"));
}

#[test]
fn a_kill_that_has_ended_is_no_difference_to_a_folder() {
    let place = Place::new("");
    place.import(1);
    drop(place.serve(&[]));
    let first = json(&place.run(&["policy", "show", "--json"]))["version"].as_str().unwrap().to_owned();
    let plain = std::fs::read_to_string(place.path("policies/wide.yaml")).unwrap();
    let kill = |platform: &str, span: &str| {
        let made = place.run(&["policy", "kill", "--platform", platform, "--why", "a test", "--for", span]);
        assert_eq!(made.code, 0, "{made:?}");
        let at = made.out.find("kill-").unwrap();
        made.out[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect::<String>()
    };
    let (lives, over) = (kill("weibo", "2h"), kill("douyin", "1s"));
    let version = json(&place.run(&["policy", "show", "--json"]))["version"].as_str().unwrap().to_owned();
    let version = version.as_str();
    support::eventually("it has ended", || !place.run(&["policy", "kills"]).out.contains(&over));

    std::fs::write(place.path("policies/wide.yaml"), &plain).unwrap();
    let diff = place.run(&["policy", "diff"]).out;
    assert!(diff.contains("no difference"), "{diff}");
    assert!(place.run(&["policy", "diff", version, "policies"]).out.contains("no difference"));
    std::fs::write(place.path("policies/wide.yaml"), format!("{plain}kills: []\n")).unwrap();
    let diff = place.run(&["policy", "diff"]).out;
    assert!(diff.contains(&format!("- kill {lives}")) && !diff.contains(&over), "what still lives: {diff}");
    let versions = place.run(&["policy", "diff", &first, version]).out;
    assert!(versions.contains(&format!("+ kill {over}")), "two versions are told as they were: {versions}");
}

#[test]
fn a_written_out_version_loads_back_and_fifty_faults_are_fifty() {
    let place = Place::new("");
    place.import(1);
    drop(place.serve(&[]));
    let first = json(&place.run(&["policy", "show", "--json"]));
    let file = place.run(&["policy", "show", "--yaml"]);
    assert_eq!(file.code, 0, "{file:?}");
    std::fs::write(place.path("out.yaml"), file.out).unwrap();
    let back = json(&publish(&place, &["out.yaml", "--json"]));
    assert_eq!((&back["version"], &back["switched"]), (&first["version"], &false.into()));

    let bad: String = (0..50)
        .map(|number| {
            let one = window(&format!("bad-{number}"), "2022-01-01", "2021-01-01");
            if number == 0 { one } else { one.replace("agreements:\n", "") }
        })
        .collect();
    std::fs::write(place.path("bad.yaml"), bad).unwrap();
    let ran = publish(&place, &["bad.yaml"]);
    assert_eq!((ran.code, ran.err.lines().count()), (78, 51), "50 and their number: {}", ran.err);
    assert!(ran.err.contains("bad.yaml:8: agreements[0].until: "), "{}", ran.err);
    assert_eq!(json(&place.run(&["policy", "show", "--json"]))["version"], first["version"]);
    for (arguments, code, part) in [
        (&["policy", "show", "0000000000000000"][..], 1, "no version `0000000000000000` is kept"),
        (&["policy", "show", "zz"], 2, "is not a version"),
        (&["policy", "list", "--data-dir", "nowhere"], 1, "name the data folder with --data-dir"),
        (&["policy", "kills", "--data-dir", "nowhere"], 1, "name the data folder with --data-dir"),
        (&["policy", "publish", "no/such", "--note", "x", "--author", "a", "--yes"], 78, "no/such"),
    ] {
        let ran = place.run(arguments);
        assert!(ran.code == code && ran.err.contains(part), "{arguments:?}: {ran:?}");
    }
    change(&place, "by-somebody", "2091-01-01");
    let publish = ["policy", "publish", "--note", "x", "--yes"];
    assert!(place.command(&publish).env_remove("USER").status().unwrap().success());
    let author = json(&place.run(&["policy", "show", "--json"]))["author"].as_str().unwrap().to_owned();
    assert!(author.starts_with("uid "), "where there is no name there is a number: {author}");
    let unnamed = place.run(&["policy", "publish", "--note", "x", "--author", " ", "--yes"]);
    assert!(unnamed.code == 2 && unnamed.err.contains("say who does this"), "{unnamed:?}");
}

#[test]
fn what_cannot_be_served_is_one_clear_line() {
    let place = Place::new("");
    place.import(1);
    drop(place.serve(&[]));
    let database = place.path("data/hopgate.sqlite");
    let alter = |sql: &str| rusqlite::Connection::open(&database).unwrap().execute_batch(sql).unwrap();
    alter("UPDATE policy_versions SET canonical = replace(canonical, '2090', '2091')");
    let refused = place.run(&["serve"]);
    let lines: Vec<&str> = refused.err.lines().filter(|line| line.starts_with("hopgate: ")).collect();
    assert_eq!((refused.code, refused.out.as_str(), lines.len()), (1, "", 1), "{refused:?}");
    assert!(lines[0].contains("was altered") && lines[0].contains("backup"), "{refused:?}");
    assert!(place.run(&["policy", "show"]).err.contains("altered"));
    alter("DELETE FROM policy_versions");
    let refused = place.run(&["serve"]);
    assert!(refused.code == 1 && refused.err.contains("is not in the store"), "{refused:?}");

    // A folder that decides does not ask what was in force, but for its kills.
    let text = std::fs::read_to_string(place.path("hopgate.toml")).unwrap();
    std::fs::write(place.path("hopgate.toml"), format!("{text}source = \"folder\"\n")).unwrap();
    let server = place.serve(&[]);
    assert_eq!(server.get("/load0000").status, 302);
    let refused = publish(&place, &[]);
    assert!(refused.code == 1 && refused.err.contains("source = \"folder\""), "{refused:?}");
    let killed = place.run(&["policy", "kill", "--platform", "kuaishou", "--why", "x", "--by", "amy"]);
    assert_eq!(killed.code, 0, "{killed:?}");
    seen(&server, 403);
    change(&place, "other", "2091-01-01");
    eventually("the folder is taken", || place.run(&["policy", "show"]).out.contains("agreement other"));
    assert_eq!(server.get("/load0000").status, 403);
    assert_eq!(server.stop(), Some(0));
    let server = place.serve(&[]);
    assert_eq!(server.get("/load0000").status, 403, "the kill survives a restart in folder mode");
}
