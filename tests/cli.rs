//! The command line by its contract: output, exit codes, faults that name their place, and what a running gateway sees of
//! commands beside it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use serde_json::Value;
use support::{Client, JD, Place, Ran, bytes_of, eventually, window};

fn shipped(place: &Place) {
    let dir = support::shipped();
    std::fs::write(place.path("hopgate.toml"), format!("[policies]\ndir = {:?}\n", dir.to_str().unwrap())).unwrap();
}

/// One line on standard error that holds all of `parts`, and nothing else there.
fn one_line(ran: &Ran, code: i32, parts: &[&str]) {
    assert_eq!(ran.code, code, "{ran:?}");
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    for part in parts {
        assert!(ran.err.contains(part), "`{part}` not in {}", ran.err);
    }
}

/// Runs `serve` where it cannot start; its ready line would be the fault.
fn serve_refused(place: &Place, more: &[&str]) -> Ran {
    let mut ran = place.run(&[&["serve"], more].concat());
    assert_eq!(ran.out, "", "it must not say that it is ready");
    // Log lines are no faults.
    ran.err = ran.err.lines().filter(|line| line.starts_with("hopgate: ")).map(|line| format!("{line}\n")).collect();
    ran
}

#[test]
fn explain_answers_by_the_contract_to_the_millisecond() {
    let place = Place::new("");
    shipped(&place);
    let explain = |at: &str| {
        let ran = place.run(&[
            "explain",
            "--platform",
            "kuaishou",
            "--surface",
            "live_cart",
            "--url",
            JD,
            "--shop-type",
            "self_operated",
            "--at",
            at,
            "--json",
        ]);
        assert_eq!((ran.code, ran.err.as_str(), ran.out.lines().count()), (0, "", 1), "{ran:?}");
        ran.out
    };
    let text = explain("2022-11-30T23:59:59.999+08:00");
    let open: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((open["outcome"].as_str(), open["reason"].as_str()), (Some("allow"), Some("allowed")));
    assert_eq!(open["agreement"], "kuaishou-jd-double11-2022");
    assert_eq!(open["at"], "2022-11-30T23:59:59.999+08:00");
    assert_eq!(open["valid_until"], "2022-12-01T00:00:00+08:00");
    assert_eq!(open["policy_version"].as_str().unwrap().len(), 16);
    let over: Value = serde_json::from_str(&explain("2022-12-01T00:00:00.000+08:00")).unwrap();
    assert_eq!((over["outcome"].as_str(), over["reason"].as_str()), (Some("deny"), Some("window_ended")));
    assert_eq!(over["policy_version"], open["policy_version"]);
    assert_eq!(explain("2022-11-30 23:59:59.999"), text, "without a zone it is Beijing time");

    let names = |value: &Value| value.as_object().unwrap().len();
    assert_eq!((names(&open), names(&open["landing"])), (10, 5), "{open}");
    let wanted = [
        "{\"outcome\":",
        ",\"reason\":",
        ",\"agreement\":",
        ",\"policy_version\":",
        ",\"at\":",
        ",\"valid_until\":",
        ",\"landing\":{\"marketplace\":",
        ",\"shop_type\":",
        ",\"link_kind\":",
        ",\"item_id\":",
        ",\"url\":",
        "},\"trace\":[",
        "],\"alternate\":0,\"alternates\":[]}",
    ];
    let mut rest = text.as_str();
    for (number, name) in wanted.into_iter().enumerate() {
        let found = rest.find(name).unwrap_or_else(|| panic!("{name} is not where the contract has it: {text}"));
        assert!(number > 0 || found == 0);
        rest = &rest[found + name.len()..];
    }
}

#[test]
fn alternates_are_typed_imported_and_explained() {
    const TAOBAO: &str = "https://item.taobao.com/item.htm?id=41879347901";
    const TMALL: &str = "https://detail.tmall.com/item.htm?id=610947572360";
    let place = Place::new("");
    shipped(&place);
    let pasted = ["--platform", "kuaishou", "--surface", "live_cart", "--shop-type", "c_store", "--url", TAOBAO];
    let own_stock = format!("{JD},shop_type=self_operated");
    let flagship = format!("{TMALL},shop_type=flagship,category=health");
    let others = ["--alternate", &own_stock, "--alternate", &flagship];
    let explain = |at: &str, more: &[&str]| place.run(&[&["explain", "--at", at], more].concat());

    let ran = explain("2022-11-15", &[&pasted[..], &others, &["--json"]].concat());
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((told["outcome"].as_str(), told["alternate"].as_u64()), (Some("allow"), Some(1)), "{ran:?}");
    assert_eq!(told["landing"]["url"], JD);
    assert_eq!(told["valid_until"], "2022-12-01T00:00:00+08:00", "then another landing is taken");
    let tried: Vec<_> =
        told["alternates"].as_array().unwrap().iter().map(|one| one["tried"].as_bool().unwrap()).collect();
    assert_eq!(tried, [true, true, false]);
    let ran = explain("2022-12-01", &[&pasted[..], &others].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    for part in ["允许 / allow", "✗ 主 own", "✗ 备选 alternate 1: window_ended", "✓ 备选 alternate 2: allowed", TMALL]
    {
        assert!(ran.out.contains(part), "`{part}` not in {}", ran.out);
    }

    let ran = place.run(&[&["link", "create", "--slug", "smart", "--json"], &pasted[..], &others].concat());
    let made: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (made["landing"]["url"].as_str(), made["decision"]["alternate"].as_u64()),
        (Some(TAOBAO), Some(0)),
        "{ran:?}"
    );
    let line = format!(
        "{{\"url\":\"{TAOBAO}\",\"code\":\"brought\",\"platform\":\"kuaishou\",\"surface\":\"live_cart\",\
        \"alternates\":[{{\"url\":\"{JD}\",\"shop_type\":\"self_operated\"}}]}}\n"
    );
    std::fs::write(place.path("links.ndjson"), &line).unwrap();
    assert_eq!(place.run(&["link", "import", "links.ndjson"]).out, "imported 1 links\n");
    for code in ["smart", "brought"] {
        let ran = explain("2022-11-15", &["--code", code, "--json"]);
        let told: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(told["alternate"], 1, "{ran:?}");
    }
    let instead = explain("2022-11-15", &["--code", "smart", "--json", "--alternate", &flagship]);
    assert!(instead.out.contains("\"landing\":{\"marketplace\":\"tmall\""), "{instead:?}");

    let bad = ["--alternate", "https://evil.test/,shop_type=mall", "--alternate", TAOBAO];
    let ran = place.run(&[&["link", "create"], &pasted[..], &bad].concat());
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran:?}");
    for part in
        ["--alternate no. 1, url: ", "--alternate no. 1, shop_type: ", "--alternate no. 2, url: leads to the same"]
    {
        assert!(ran.err.contains(part), "`{part}` not in {}", ran.err);
    }
    std::fs::write(place.path("links.ndjson"), line.replace(JD, "https://evil.test/")).unwrap();
    let ran = place.run(&["link", "import", "links.ndjson"]);
    assert!(ran.code == 1 && ran.err.contains("line 1: alternates[0].url: "), "{ran:?}");
}

#[test]
fn a_share_text_is_pasted_as_it_is_and_the_link_in_it_is_told() {
    let place = Place::new("");
    shipped(&place);
    let text = format!("【京东】{JD}，快来看 MF3390\n「手机」");
    let at = ["--platform", "kuaishou", "--surface", "live_cart", "--shop-type", "self_operated"];
    let asked = ["--url", &text, "--at", "2022-11-15", "--json"];
    let ran = place.run(&[&["explain"], &at[..], &asked].concat());
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((told["outcome"].as_str(), told["landing"]["url"].as_str()), (Some("allow"), Some(JD)), "{ran:?}");
    let ran = place.run(&["link", "create", "--slug", "from-text", "--url", &text]);
    assert!(ran.code == 0 && ran.out.contains(&format!("\n  找到的链接 / link found  {JD}\n")), "{ran:?}");
    let ran = place.run(&["link", "create", "--url", JD]);
    assert!(ran.code == 0 && !ran.out.contains("link found"), "a link alone needs no word on it: {ran:?}");

    let line = |text: &str, code: &str| format!("{}\n", serde_json::json!({"url": text, "code": code}));
    std::fs::write(place.path("links.ndjson"), line(&text, "imported")).unwrap();
    assert_eq!(place.run(&["link", "import", "links.ndjson"]).out, "imported 1 links\n");
    for code in ["from-text", "imported"] {
        let ran = place.run(&[&["explain", "--code", code], &at[..], &["--json"]].concat());
        let told: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(told["landing"]["url"], JD, "{ran:?}");
    }

    let ran = place.run(&["link", "create", "--url", "￥AbCdEf12345￥"]);
    assert!(ran.code == 0 && ran.out.contains("口令无法识别") && ran.err.contains("code without a link"), "{ran:?}");
    one_line(&place.run(&[&["explain", "--url", "7:/ABC123 CZ0001"], &at[..]].concat()), 2, &["--url: ", "淘口令"]);
    let two = format!("{JD} https://u.jd.com/AbCdEf");
    one_line(&place.run(&["link", "create", "--url", &two]), 2, &["--url: ", JD, "https://u.jd.com/AbCdEf"]);
    std::fs::write(place.path("links.ndjson"), line(&text, "good") + &line("￥AbCdEf123456￥", "bad")).unwrap();
    let ran = place.run(&["link", "import", "links.ndjson"]);
    assert!(ran.code == 1 && ran.err.contains("line 2: marketplace: "), "{ran:?}");
}

#[test]
fn check_names_every_fault_with_its_place() {
    let place = Place::new("");
    let good = place.run(&["check"]);
    assert_eq!(good.code, 0, "{good:?}");
    assert!(
        good.err.lines().all(|line| line.starts_with("warning: ") || line.starts_with("    e.g. ")),
        "{}",
        good.err
    );
    assert!(good.out.starts_with("ok: 1 agreements"), "{}", good.out);

    std::fs::write(place.path("policies/wide.yaml"), window("twin", "2022-01-01", "2023-01-01")).unwrap();
    let back = window("twin", "2022-06-01", "2022-01-01")
        .replace("landing: app", "landing: app\n    when:\n      surfaces: [moon]");
    std::fs::write(place.path("policies/z.yaml"), back).unwrap();
    place.settings("[limits]\nheader_bytes = 5\nheader_timeout = \"soon\"\n[journal]\nmode = \"hope\"\n");
    let ran = place.run(&["check"]);
    assert_eq!((ran.code, ran.out.as_str()), (78, ""), "{ran:?}");
    let settings = std::fs::read_to_string(place.path("hopgate.toml")).unwrap();
    let line = |text: &str, part: &str| 1 + text.lines().position(|line| line.contains(part)).unwrap();
    let policy = std::fs::read_to_string(place.path("policies/z.yaml")).unwrap();
    let faults: Vec<(String, &str)> = vec![
        (format!("hopgate.toml:{}: limits.header_bytes: ", line(&settings, "header_bytes")), "8192"),
        (format!("hopgate.toml:{}: limits.header_timeout: ", line(&settings, "header_timeout")), "soon"),
        (format!("hopgate.toml:{}: journal.mode: ", line(&settings, "mode =")), "written"),
        (format!("policies/z.yaml:{}: agreements[0].id: ", line(&policy, "id:")), "policies/wide.yaml:2"),
        (format!("policies/z.yaml:{}: agreements[0].until: ", line(&policy, "until:")), "not after `from`"),
        (format!("policies/z.yaml:{}: agreements[0].when.surfaces", line(&policy, "moon")), "moon"),
    ];
    for (place, part) in &faults {
        assert!(
            ran.err.lines().any(|line| line.starts_with(place.as_str()) && line.contains(part)),
            "no `{place}… {part}` in\n{}",
            ran.err
        );
    }
    assert_eq!(ran.err.lines().count(), faults.len() + 1, "and a line with their number:\n{}", ran.err);
    assert!(ran.err.ends_with("hopgate: 6 fault(s) in configuration and policies\n"), "{}", ran.err);
    // `serve` refuses the same with the same code, and makes no data folder.
    let refused = place.run(&["serve"]);
    assert_eq!(refused.code, 78, "{refused:?}");
    assert!(!place.path("data").exists());
}

#[test]
fn wrong_use_is_exit_2() {
    let place = Place::new("");
    for arguments in [
        &["serve", "--bogus"][..],
        &[],
        &["fly"],
        &["explain", "--platform", "kuaishou"],
        &["explain", "--platform", "nowhere", "--surface", "live_cart", "--url", JD],
        &["explain", "--platform", "kuaishou", "--surface", "live_cart", "--url", "https://evil.example/"],
        &["link", "create", "--url", "https://evil.example/"],
        &["hops", "export", "--from", "never", "-"],
        &["key", "create", "--role", "king"],
        &["serve", "--click", "nowhere"],
        &["serve", "--rehearse-at", "midnight"],
    ] {
        let ran = place.run(arguments);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{arguments:?}: {ran:?}");
        assert!(!ran.err.is_empty() && !ran.err.contains("panicked"), "{arguments:?}: {}", ran.err);
    }
    for arguments in [&["--help"][..], &["--version"], &["serve", "--help"]] {
        assert_eq!(place.run(arguments).code, 0, "{arguments:?}");
    }
}

#[test]
fn what_stands_in_the_way_is_one_clear_line() {
    let place = Place::new("");
    // A port in use, of each listener.
    for option in ["--click", "--control", "--ops"] {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        one_line(&serve_refused(&place, &[option, &address]), 1, &[&address, "another program listens there"]);
    }
    // By another gateway, too: it would share the port if it could.
    let first = place.serve(&[]);
    let other = Place::new("");
    let address = first.click.to_string();
    one_line(&serve_refused(&other, &["--click", &address]), 1, &[&address, "another program listens there"]);
    // And a data folder in use.
    one_line(&serve_refused(&place, &[]), 1, &["data/journal", "in use by another process"]);
    assert_eq!(first.stop(), Some(0));

    std::fs::write(place.path("file"), "").unwrap();
    one_line(&serve_refused(&place, &["--data-dir", "file"]), 1, &["data folder file", "not a folder"]);
    one_line(&serve_refused(&place, &["--data-dir", "file/data"]), 1, &["data folder file/data", "Not a directory"]);
    one_line(&place.run(&["hops", "export", "--data-dir", "nowhere", "-"]), 1, &["nowhere/journal", "--data-dir"]);
    std::fs::create_dir(place.path("odd")).unwrap();
    std::fs::write(place.path("odd/click.key"), "short").unwrap();
    one_line(&serve_refused(&place, &["--data-dir", "odd"]), 1, &["odd/click.key", "16 bytes"]);
}

#[test]
fn a_damaged_journal_is_refused_and_left_as_it_is() {
    let place = Place::new("");
    place.import(1);
    let server = place.serve(&[]);
    let mut client = Client::connect(server.click);
    for _ in 0..300 {
        assert_eq!(client.get("/load0000").status, 302);
    }
    drop(client);
    assert_eq!(server.stop(), Some(0));
    let journal = place.path("data/journal");
    let (path, mut bytes) = bytes_of(&journal).into_iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    let middle = bytes.len() / 3;
    bytes[middle] ^= 0x40;
    std::fs::write(&path, &bytes).unwrap();
    let before = bytes_of(&journal);
    let refused = serve_refused(&place, &[]);
    one_line(&refused, 1, &[path.file_name().unwrap().to_str().unwrap()]);
    assert!(bytes_of(&journal) == before, "something was written over a damaged journal");
    // An export says so too, and leaves no half file.
    let ran = place.run(&["hops", "export", "hops.ndjson"]);
    one_line(&ran, 1, &[path.file_name().unwrap().to_str().unwrap()]);
    assert!(!place.path("hops.ndjson").exists() && !place.path("hops.partial").exists());
    assert!(bytes_of(&journal) == before);

    bytes[middle] ^= 0x40;
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(place.serve(&[]).get("/load0000").status, 302, "mended, it is taken again");
}

#[test]
fn keys_are_made_listed_and_revoked_beside_a_running_gateway() {
    let place = Place::new("");
    let server = place.serve(&[]);
    let created = place.run(&["key", "create", "--role", "ops", "--name", "night shift"]);
    assert_eq!((created.code, created.out.lines().count()), (0, 1), "{created:?}");
    let key = created.out.trim().to_owned();
    let id = created.err.split(';').next().unwrap().strip_prefix("id ").unwrap().to_owned();
    let ask = |key: &str| {
        let bearer = format!("Bearer {key}");
        Client::connect(server.control).ask("GET", "/v1/links/nosuch01", &[("Authorization", &bearer)]).status
    };
    assert_eq!((ask(&key), ask("hk_ops_0000000000000000000000000000"), ask("")), (404, 401, 401));
    let first = std::fs::read_to_string(place.path("data/admin.key")).unwrap();
    assert_eq!(ask(first.trim()), 404, "the first start wrote a key");

    let listed = place.run(&["key", "list", "--json"]);
    let keys: Vec<Value> = serde_json::from_str(&listed.out).unwrap();
    assert_eq!(keys.len(), 2);
    let mine = keys.iter().find(|one| one["id"] == id.as_str()).unwrap();
    assert_eq!((mine["role"].as_str(), mine["name"].as_str()), (Some("ops"), Some("night shift")));
    let table = place.run(&["key", "list"]).out;
    for text in [&listed.out, &table] {
        assert!(text.contains(&id) && !text.contains(&key), "keys are listed without their text: {text}");
    }
    // Not in the database either.
    let kept = bytes_of(&place.path("data"));
    for (path, bytes) in kept.iter().filter(|(path, _)| path.to_str().unwrap().contains("sqlite")) {
        assert!(!bytes.windows(key.len()).any(|window| window == key.as_bytes()), "{path:?} holds the key itself");
    }

    let revoked = place.run(&["key", "revoke", &id]);
    assert_eq!((revoked.code, revoked.out.as_str()), (0, format!("revoked {id}\n").as_str()));
    assert_eq!(ask(&key), 401, "at once");
    assert_eq!(ask(first.trim()), 404);
    one_line(&place.run(&["key", "revoke", "nosuch"]), 1, &["nosuch"]);
}

#[test]
fn links_made_beside_a_running_gateway_appear() {
    let place = Place::new("");
    let server = place.serve(&[]);
    assert_eq!(server.get("/spring-sale").status, 404);
    let ran = place.run(&[
        "link",
        "create",
        "--url",
        JD,
        "--platform",
        "kuaishou",
        "--surface",
        "live_cart",
        "--slug",
        "spring-sale",
        "--shop-type",
        "self_operated",
        "--json",
    ]);
    let made = std::time::Instant::now();
    assert_eq!(ran.code, 0, "{ran:?}");
    let shown: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((shown["code"].as_str(), shown["decision"]["outcome"].as_str()), (Some("spring-sale"), Some("allow")));
    eventually("the link is there", || server.get("/spring-sale").status == 302);
    assert!(made.elapsed().as_millis() < 2_000, "after {:?}", made.elapsed());
    assert_eq!(server.get("/spring-sale").header("location"), JD);
    let again = place.run(&["link", "create", "--url", JD, "--slug", "spring-sale"]);
    one_line(&again, 1, &["spring-sale", "taken"]);

    // All or nothing, and every fault by its line.
    let good = format!("{{\"url\":\"{JD}\",\"code\":\"good-one\"}}");
    let text = format!(
        "{good}\n{{\"url\":\"https://evil.example/\"}}\n\nnot json\n{{\"url\":\"{JD}\",\"surface\":\"moon\"}}\n"
    );
    std::fs::write(place.path("faulty.ndjson"), text).unwrap();
    let ran = place.run(&["link", "import", "faulty.ndjson"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
    for part in ["line 2: ", "line 4: not JSON", "line 5: ", "3 of 4 lines have faults; nothing was imported"] {
        assert!(ran.err.contains(part), "`{part}` not in {}", ran.err);
    }
    assert!(!ran.err.contains("line 1:"), "{}", ran.err);
    std::fs::write(place.path("good.ndjson"), good.replace("good-one", "good-two")).unwrap();
    assert_eq!(place.run(&["link", "import", "good.ndjson"]).code, 0);
    eventually("the import is there", || server.get("/good-two").status != 404);
    assert_eq!((server.get("/good-one").status, server.metric("hopgate_links")), (404, 2.0));
}

#[test]
fn hops_are_exported_as_csv() {
    let place = Place::new("");
    place.import(2);
    let server = place.serve(&[]);
    let ids: Vec<String> =
        ["/load0000", "/load0001"].iter().map(|path| server.get(path).header("hop-id").to_owned()).collect();
    // Beside the running gateway.
    let ran = place.run(&["hops", "export", "--format", "csv", "hops.csv"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let text = std::fs::read_to_string(place.path("hops.csv")).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next().unwrap(), hopgate::journal::export::FIELDS.join(","));
    let found: Vec<&str> = lines.map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(found, ids);
    one_line(&place.run(&["hops", "export", "--format", "csv", "hops.csv"]), 1, &["hops.csv", "already there"]);
    let none = place.run(&["hops", "export", "--to", "2020-01-01", "-"]);
    assert_eq!((none.code, none.out.as_str()), (0, ""));
    assert_eq!(server.stop(), Some(0));
    assert_eq!(place.run(&["hops", "export", "-"]).out.lines().count(), 2);
}

#[test]
fn a_development_certificate_serves() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new("");
    let ran = place.run(&["certs", "dev", "--out", "certs", "--name", "go.example"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let (_, table) = ran.out.split_once("[[tls.certificates]]").expect("lines for the settings file");
    let key = place.path("certs/dev.key.pem");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let again = place.run(&["certs", "dev", "--out", "certs"]);
    one_line(&again, 1, &["certs/dev.pem", "already there"]);
    // What it printed can stand in the settings as it is.
    place.settings(&format!("[[tls.certificates]]{table}"));
    assert!(place.run(&["check"]).out.contains("1 certificates"));
    let server = place.serve(&["--tls", "127.0.0.1:0"]);
    assert!(server.metric("hopgate_certificate_not_after_seconds") > 0.0);
    drop(server);
    std::fs::write(&key, "not a key").unwrap();
    let bad = place.run(&["check"]);
    assert_eq!(bad.code, 78, "{bad:?}");
    assert!(bad.err.contains("dev.key.pem:1: "), "{}", bad.err);
}

#[test]
fn a_rehearsal_shows_and_is_flagged() {
    let place = Place::new("");
    std::fs::write(place.path("policies/wide.yaml"), window("once", "2022-10-28", "2022-12-01")).unwrap();
    place.import(1);
    let server = place.serve(&["--rehearse-at", "2022-11-15 12:00:00"]);
    assert_eq!(server.get("/load0000").status, 302, "as it was then");
    assert!(server.metric("hopgate_rehearsal_offset_seconds") < -86_400.0);
    assert!(server.log().contains("REHEARSAL"), "{}", server.log());
    assert_eq!(server.stop(), Some(0));
    let hop: Value = serde_json::from_str(place.run(&["hops", "export", "-"]).out.trim()).unwrap();
    assert!(hop["time"].as_str().unwrap().starts_with("2022-11-15T12:00:"), "{hop}");
    assert!(hop["flags"].as_array().unwrap().iter().any(|flag| flag == "rehearsal"), "{hop}");

    let server = place.serve(&[]);
    assert_eq!((server.get("/load0000").status, server.metric("hopgate_rehearsal_offset_seconds")), (403, 0.0));
}

#[test]
fn sighup_reads_policies_again_and_keeps_the_last_good() {
    let place = Place::new("");
    place.settings("");
    let text = std::fs::read_to_string(place.path("hopgate.toml")).unwrap();
    std::fs::write(place.path("hopgate.toml"), format!("{text}source = \"folder\"\nwatch = false\n")).unwrap();
    place.import(1);
    let server = place.serve(&[]);
    let file = place.path("policies/wide.yaml");
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, window("bad", "2023-01-01", "2022-01-01").replace("effect: allow", "effect: maybe")).unwrap();
    server.signal("HUP");
    eventually("the bad set is counted", || server.metric("hopgate_policy_reload_failures_total") == 1.0);
    eventually("each fault is logged", || {
        let log = server.log();
        ["wide.yaml:6: agreements[0].effect", "wide.yaml:8: agreements[0].until", "last good version stays"]
            .iter()
            .all(|part| log.contains(part))
    });
    assert_eq!(server.get("/load0000").status, 302);
    std::fs::write(&file, window("over", "2020-01-01", "2021-01-01")).unwrap();
    server.signal("HUP");
    eventually("the good set is taken", || server.get("/load0000").status == 403);
    std::fs::write(&file, good).unwrap();
    server.signal("HUP");
    eventually("and back", || server.get("/load0000").status == 302);
    // SIGINT ends in order like SIGTERM.
    server.signal("INT");
    eventually("gone", || Client::try_connect(server.click).is_err());
}

#[test]
fn a_signal_right_after_the_ready_line_is_heard() {
    let place = Place::new("");
    for _ in 0..10 {
        assert_eq!(place.serve(&[]).stop(), Some(0), "SIGTERM drains from the first moment on");
    }
}

#[test]
fn the_demo_ends_with_its_sum() {
    let place = Place::new("");
    let ran = place.run(&["demo", "--once"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let last = ran.out.lines().last().unwrap();
    let numbers: Vec<u64> = last.split(|c: char| !c.is_ascii_digit()).filter_map(|text| text.parse().ok()).collect();
    let [clicks, redirected, refused, hops, lost] = numbers[..] else { panic!("{last}") };
    assert_eq!(
        last,
        format!("demo: {clicks} clicks, {redirected} redirected, {refused} refused, {hops} hops recorded, {lost} lost")
    );
    assert!(redirected > 0 && refused > 0, "{last}");
    assert_eq!((clicks, hops, lost), (redirected + refused, clicks, 0), "{last}");
    assert!(!place.path("data").exists(), "it leaves nothing behind");
}
