use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::*;

fn read(text: &str) -> Result<Settings, Vec<String>> {
    let faults = Faults::default();
    let settings = Settings::read("hopgate.toml", text, Path::new("base"), &faults);
    let faults: Vec<String> = faults.into_sorted().iter().map(Fault::to_string).collect();
    if faults.is_empty() { Ok(settings.unwrap()) } else { Err(faults) }
}

#[test]
fn an_empty_file_is_the_defaults() {
    assert_eq!(read(""), Ok(Settings::defaults(Path::new("base"))));
}

#[test]
fn every_fault_is_named_at_once() {
    let faults = read(
        "[server]\nclick = \"nowhere\"\nworkers = 9999\npublic_url = \"go.example.com/x\"\n[limits]\n\
         header_timeout = \"soon\"\nheader_bytes = 10\n[journal]\nmode = \"maybe\"\n[policies]\nfolder = \"x\"\n\
         [proxies]\nprotocol = true\ntrusted = [\"300.1.1.1\"]\n",
    )
    .unwrap_err();
    let all = faults.join("\n");
    assert_eq!(faults.len(), 9, "{all}");
    for part in [
        "hopgate.toml:2: server.click: `nowhere`",
        "limits.header_timeout: `soon`",
        "journal.mode: `maybe`",
        "11: policies.folder: unknown key",
        "needs `trusted`",
    ] {
        assert!(all.contains(part), "{part} not in\n{all}");
    }
}

#[test]
fn webhooks_are_read_whole_with_every_fault() {
    let settings = read(
        "[reports]\nwarn_ahead = \"3d\"\n[[webhooks]]\nname = \"shop\"\nurl = \"https://hooks.example.com/h\"\n\
         secret_file = [\"new.key\", \"old.key\"]\nsecret_env = \"HOOK\"\nevents = [\"link.expiring\"]\n\
         give_up_after = \"2h\"\nca_file = \"ca.pem\"\n",
    )
    .unwrap();
    let [webhook] = settings.webhooks.as_slice() else { panic!("one") };
    assert_eq!((webhook.secrets.len(), webhook.events.len()), (3, 1));
    assert_eq!((webhook.give_up_after.to_string(), settings.warn_ahead.to_string()), ("2h".into(), "3d".into()));
    assert_eq!(webhook.ca_file.as_deref(), Some(Path::new("base/ca.pem")));
    let good = "name = \"a\"\nurl = \"https://a.example/\"\nsecret_env = \"A\"\nevents = []\n";
    let faults = read(&format!(
        "[[webhooks]]\nname = \"A b\"\nurl = \"http://127.0.0.1/\"\nevents = [\"link.gone\", \"webhook.test\"]\n\
         [[webhooks]]\nurl = \"https://10.0.0.8/\"\nsecret_env = \"A\"\nevents = []\nallow_privat = true\n\
         [[webhooks]]\n{good}[[webhooks]]\n{good}[reports]\nwarn_ahead = \"soon\"\n"
    ))
    .unwrap_err();
    let all = faults.join("\n");
    assert_eq!(faults.len(), 10, "{all}");
    for part in [
        "2: webhooks[0].name: `A b`",
        "allow_http = true",
        "needs `secret_file`",
        "events[0]: `link.gone`",
        "events[1]: `webhook.test`",
        "webhooks[1].name: is missing",
        "10.0.0.8, which is not a public address",
        "did you mean `allow_private`?",
        "webhooks[3].name: `a` is the name of another",
        "reports.warn_ahead: `soon`",
    ] {
        assert!(all.contains(part), "{part} not in\n{all}");
    }
}

#[test]
fn resolving_is_read_whole_with_every_fault() {
    let settings = read(
        "[resolve]\nenabled = true\nhosts = [\"M.tb.cn\"]\nhop_timeout = \"500ms\"\ntimeout = \"2s\"\nca = \"ca.pem\"\n\
         via = { \"m.tb.cn\" = \"127.0.0.1:8443\" }\n",
    )
    .unwrap()
    .resolve;
    assert_eq!((settings.enabled, settings.hosts), (Some(true), Some(vec!["m.tb.cn".to_owned()])));
    assert_eq!((settings.hop_timeout, settings.timeout), (Duration::from_millis(500), Duration::from_secs(2)));
    assert_eq!(settings.via["m.tb.cn"], SocketAddr::from(([127, 0, 0, 1], 8443)));
    assert_eq!(settings.ca.as_deref(), Some(Path::new("base/ca.pem")));
    let faults = read(
        "[resolve]\nenable = true\nhosts = [\"evil.test\", \"passport.jd.com\"]\ntimeout = \"2m\"\n\
         via = { \"m.tb.cn\" = \"here\", \"evil.test\" = \"127.0.0.1:1\" }\n",
    )
    .unwrap_err();
    let all = faults.join("\n");
    assert_eq!(faults.len(), 6, "{all}");
    for part in [
        "did you mean `enabled`?",
        "hosts[1]: `passport.jd.com`",
        "over 60s",
        "`here` is not an address",
        "`evil.test`",
    ] {
        assert!(all.contains(part), "{part} not in\n{all}");
    }
}

#[test]
fn our_apps_are_read_whole_with_every_fault() {
    let fingerprint = ["AB"; 32].join(":");
    let settings = read(&format!(
        "[apps]\nios = [\"A1B2C3D4E5.com.example.app\"]\nharmony = [\"5765880207853134833\"]\npaths = [\"/x/*\"]\n\
         [[apps.android]]\npackage = \"com.example.app\"\nsha256 = [\"{fingerprint}\"]\n"
    ))
    .unwrap();
    assert_eq!((settings.apps.ios.len(), settings.apps.harmony.len()), (1, 1));
    assert_eq!((settings.apps.paths, settings.apps.exclude), (vec!["/x/*".to_owned()], vec!["/*+".to_owned()]));
    assert_eq!(settings.apps.android[0].fingerprints, [fingerprint]);
    let faults = read(&format!(
        "[apps]\nios = [\"com.example.app\", \"a1b2c3d4e5.x\"]\nharmony = [\"a b\"]\npaths = [\"x\"]\ncolour = 1\n\
         [[apps.android]]\npackage = \"example\"\nsha256 = [\"{}\", \"AB\"]\n[[apps.android]]\n",
        "ab".repeat(32),
    ))
    .unwrap_err();
    let all = faults.join("\n");
    assert_eq!(faults.len(), 10, "{all}");
    for part in [
        "2: apps.ios[0]: `com.example.app`",
        "apps.ios[1]",
        "apps.harmony[0]: `a b`",
        "apps.paths[0]: `x` is not a path",
        "apps.colour",
        "7: apps.android[0].package: `example`",
        "write AB:AB:AB",
        "sha256[1]: `AB` is not a SHA-256",
        "apps.android[1].package: is missing",
        "apps.android[1].sha256: is missing",
    ] {
        assert!(all.contains(part), "{part} not in\n{all}");
    }
}

#[test]
fn archive_and_privacy_are_read_whole_with_every_fault() {
    let settings = read(
        "[archive]\nenabled = false\nreserve = \"12h\"\n[privacy]\nkeep_visitors = \"forever\"\n\
         [privacy.raw]\nenabled = true\nkeep = \"24h\"\n",
    )
    .unwrap();
    assert_eq!((settings.archive.enabled, settings.archive.reserve.to_string()), (false, "12h".to_owned()));
    let privacy = settings.privacy;
    assert_eq!((privacy.keep_visitors, privacy.raw, privacy.keep_raw.to_string()), (None, true, "1d".to_owned()));
    let usual = read("").unwrap();
    assert_eq!(usual.privacy.keep_visitors, Some(Span::days(30)));
    assert!(usual.archive.enabled && !usual.privacy.raw);
    let faults = read(
        "[archive]\nreserve = \"0d\"\nenable = true\n[privacy]\nkeep_visitors = 30\n[privacy.raw]\n\
         keep = \"31d\"\nenabled = \"yes\"\n",
    )
    .unwrap_err();
    let all = faults.join("\n");
    assert_eq!(faults.len(), 5, "{all}");
    for part in
        ["archive.reserve: `0d`", "did you mean `enabled`?", "privacy.keep_visitors", "is over 30d", "raw.enabled"]
    {
        assert!(all.contains(part), "{part} not in\n{all}");
    }
}

#[test]
fn what_is_written_is_taken() {
    let settings = read(
        "[server]\nworkers = 1\nnode = \"bj-1\"\ndata_dir = \"../var\"\n[journal]\nmode = \"synced\"\ndeadline = \"5ms\"\n\
         on_deadline = \"refuse\"\n[vocabulary]\nplatforms = [\"zhihu\"]\n[proxies]\ntrusted = [\"10.0.0.0/8\", \"::1\"]\n",
    )
    .unwrap();
    assert_eq!((settings.workers, settings.node.as_str()), (1, "bj-1"));
    assert_eq!(settings.data_dir, Path::new("base/../var"));
    assert_eq!(settings.journal.mode, JournalMode::Synced);
    assert_eq!(settings.journal.deadline, Duration::from_millis(5));
    assert!(settings.words.platform("zhihu").is_some());
    assert_eq!(settings.trusted_proxies.len(), 2);
}
