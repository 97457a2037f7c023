//! `hopgate demo`: the main job on the embedded default. Links are issued through the API, tapped over real HTTP, and every
//! hop is read back from the journal. What was not as the shipped policies say is a failure.

use std::collections::HashSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use serde_json::{Value, json};

use super::CliError;
use super::http::Client;
use super::serve::until_told;
use crate::app::{App, DataDir};
use crate::clock::Clock;
use crate::config::settings::Settings;
use crate::domain::time::Timestamp;
use crate::journal::export::{Format, export};
use crate::policies::shipped::HISTORY;
use crate::telemetry::start_logging;

const JD: &str = "https://item.jd.com/100012043978.html";
const JD_UNION: &str = "https://union-click.jd.com/jdc?e=618%7Cpc%7C&p=JF8BAMIJK1olXg8EUVVVCkkQA18IGlsWWAUDV1xcCU8nFw";
const TMALL: &str = "https://detail.tmall.com/item.htm?id=610947572360&skuId=4344210834141";
const TAOBAO: &str = "https://item.taobao.com/item.htm?id=41879347901&ali_trackid=2:mm_1_2_3:1700";

const KUAISHOU: &str =
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Kwai/12.3.10";
const XIAOHONGSHU: &str =
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Mobile Safari/537.36 xhsdiscover XiaoHongShu/8.30";
const WECHAT: &str = "Mozilla/5.0 (Linux; Android 13; M2102) AppleWebKit/537.36 Mobile MicroMessenger/8.0.47";

/// Taps on each link.
const TAPS: usize = 5;

/// A link, where it is tapped, and what must come of it under the shipped policies.
struct Scene {
    placement: &'static str,
    url: &'static str,
    shop_type: &'static str,
    category: &'static str,
    agent: &'static str,
    reason: &'static str,
}

const fn scene(
    placement: &'static str,
    url: &'static str,
    shop_type: &'static str,
    category: &'static str,
    agent: &'static str,
    reason: &'static str,
) -> Scene {
    Scene { placement, url, shop_type, category, agent, reason }
}

/// Under the agreements in force today.
const TODAY: [Scene; 11] = [
    scene("kuaishou/short_video_cart", JD, "self_operated", "", KUAISHOU, "allowed"),
    scene("kuaishou/detail_page", JD_UNION, "pop", "", KUAISHOU, "allowed"),
    scene("kuaishou/live_cart", JD, "self_operated", "", KUAISHOU, "window_ended"),
    scene("kuaishou/live_cart", TMALL, "flagship", "", KUAISHOU, "window_ended"),
    scene("xiaohongshu/ad_note", TMALL, "flagship", "health", XIAOHONGSHU, "allowed"),
    scene("xiaohongshu/ad_note", TMALL, "flagship", "appliances", XIAOHONGSHU, "category_not_covered"),
    scene("xiaohongshu/ad_note", TAOBAO, "c_store", "health", XIAOHONGSHU, "shop_type_not_covered"),
    scene("xiaohongshu/ad_note", JD, "pop", "", XIAOHONGSHU, "allowed"),
    scene("xiaohongshu/note", JD, "pop", "", XIAOHONGSHU, "surface_not_covered"),
    scene("xiaohongshu/comment", JD, "pop", "", XIAOHONGSHU, "denied_by_agreement"),
    scene("wechat/chat", JD, "self_operated", "", WECHAT, "no_agreement"),
];

/// Where the smart link is pasted, in which app, and what must come of it.
const SMART: [(&str, &str, &str, &str); 3] = [
    ("xiaohongshu/ad_note", XIAOHONGSHU, "allowed", TMALL),
    ("kuaishou/short_video_cart", KUAISHOU, "allowed", JD),
    ("kuaishou/live_cart", KUAISHOU, "window_ended", ""),
];

#[derive(Default)]
struct Tally {
    clicks: usize,
    redirected: usize,
    refused: usize,
    recorded: usize,
    ids: HashSet<String>,
    wrong: Vec<String>,
}

/// Runs the command.
pub fn run(once: bool) -> Result<(), CliError> {
    start_logging(crate::telemetry::LogFormat::Text, "warn");
    let folder = TemporaryFolder::new()?;
    let policies = folder.0.join("policies");
    fs::create_dir_all(&policies).map_err(CliError::failed)?;
    for (name, text) in HISTORY {
        fs::write(policies.join(name), text).map_err(CliError::failed)?;
    }
    let mut tally = Tally::default();

    say!("今天的协议 / Agreements in force today\n");
    let began = Instant::now();
    let app = start(&folder.0.join("today"), &policies, Clock::System)?;
    app.block_on(today(app.addresses(), &folder.0.join("today"), &mut tally)).map_err(CliError::Failed)?;
    check_hops(&folder.0.join("today"), &mut tally)?;

    say!("\n预演 2022 年双 11 收官：京东自营在快手直播间的窗口于 12 月 1 日零点结束");
    say!("Rehearsal: JD self-operated goods in Kuaishou's live cart, window ending at midnight\n");
    let end: Timestamp = "2022-12-01".parse().map_err(CliError::failed)?;
    // As long before midnight as a gateway and its first taps may take to get there, on this machine as busy as it is.
    let lead = (began.elapsed() * 2).clamp(Duration::from_secs(1), Duration::from_secs(15));
    let at = end.plus_micros(-(lead.as_micros() as i64));
    let rehearsal = start(&folder.0.join("midnight"), &policies, Clock::starting_at(at))?;
    rehearsal.block_on(midnight(&rehearsal, end, &folder.0.join("midnight"), &mut tally)).map_err(CliError::Failed)?;
    rehearsal.stop().map_err(CliError::Failed)?;
    check_hops(&folder.0.join("midnight"), &mut tally)?;

    let lost = tally.ids.len() - tally.recorded.min(tally.ids.len());
    say!("");
    for problem in &tally.wrong {
        say!("not as expected: {problem}");
    }
    let summary = format!(
        "demo: {} clicks, {} redirected, {} refused, {} hops recorded, {lost} lost",
        tally.clicks, tally.redirected, tally.refused, tally.recorded
    );
    let good = tally.wrong.is_empty() && lost == 0 && tally.recorded == tally.clicks;
    if once || !good {
        app.stop().map_err(CliError::Failed)?;
        say!("{summary}");
        return if good { Ok(()) } else { Err(CliError::Failed("the demo did not go as expected".to_owned())) };
    }
    say!("{summary}\n");
    say!("{}", app.addresses());
    say!("API key: {}", read_key(&folder.0.join("today"))?);
    say!("Ctrl-C ends / 按 Ctrl-C 结束");
    until_told(app, false)
}

fn start(data: &Path, policies: &Path, clock: Clock) -> Result<App, CliError> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut settings = Settings::defaults(data);
    settings.node = "demo".to_owned();
    settings.data_dir = data.to_path_buf();
    settings.policies = policies.to_path_buf();
    settings.listen.click = any;
    settings.listen.control = any;
    settings.listen.ops = any;
    Ok(App::start(settings, clock)?)
}

fn read_key(data: &Path) -> Result<String, CliError> {
    let text = fs::read_to_string(DataDir::new(data).admin_key()).map_err(CliError::failed)?;
    Ok(text.trim().to_owned())
}

/// Issues the link of a scene; its code.
async fn issue(control: &mut Client, key: &str, scene: &Scene, number: usize) -> Result<String, String> {
    let (platform, surface) = scene.placement.split_once('/').unwrap_or((scene.placement, "other"));
    let mut draft = json!({
        "url": scene.url,
        "platform": platform,
        "surface": surface,
        "shop_type": scene.shop_type,
        "creator": format!("creator-{number}"),
    });
    if !scene.category.is_empty() {
        draft["category"] = json!(scene.category);
    }
    issue_draft(control, key, &draft).await
}

/// Issues a link through the API; its code.
async fn issue_draft(control: &mut Client, key: &str, draft: &Value) -> Result<String, String> {
    let request = Request::post("/v1/links")
        .header(header::HOST, "control")
        .header(header::AUTHORIZATION, format!("Bearer {key}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(draft.to_string())))
        .map_err(|error| error.to_string())?;
    let answer = control.send(request).await?;
    let body: Value = serde_json::from_slice(answer.body()).map_err(|error| error.to_string())?;
    match (answer.status(), body["code"].as_str()) {
        (StatusCode::CREATED, Some(code)) => Ok(code.to_owned()),
        (status, _) => Err(format!("the API answered {status}: {body}")),
    }
}

/// What a tap brought.
struct Tap {
    status: StatusCode,
    reason: String,
    location: String,
}

async fn tap(click: &mut Client, path: &str, agent: &str, tally: &mut Tally) -> Result<Tap, String> {
    let request = Request::get(format!("/{path}"))
        .header(header::HOST, "go.example")
        .header(header::USER_AGENT, agent)
        .header(header::ACCEPT, "application/json")
        .body(Full::default())
        .map_err(|error| error.to_string())?;
    let answer = click.send(request).await?;
    let text =
        |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    tally.clicks += 1;
    tally.ids.insert(text("hop-id"));
    let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let redirected = answer.status() == StatusCode::FOUND;
    if redirected {
        tally.redirected += 1;
    } else {
        tally.refused += 1;
    }
    Ok(Tap {
        status: answer.status(),
        reason: if redirected { "allowed".to_owned() } else { body["reason"].as_str().unwrap_or("?").to_owned() },
        location: text("location"),
    })
}

async fn today(addresses: crate::app::Addresses, data: &Path, tally: &mut Tally) -> Result<(), String> {
    let key = read_key(data).map_err(|error| format!("{error:?}"))?;
    let mut control = Client::connect(addresses.control).await?;
    let mut click = Client::connect(addresses.click).await?;
    row(["placement", "code", "outcome", "reason", "where it went"]);
    for (number, scene) in TODAY.iter().enumerate() {
        let code = issue(&mut control, &key, scene, number).await?;
        let mut last = None;
        for _ in 0..TAPS {
            let tap = tap(&mut click, &code, scene.agent, tally).await?;
            let landed = tap.status == StatusCode::FOUND && tap.location == scene.url;
            let refused = tap.status == StatusCode::FORBIDDEN && tap.location.is_empty();
            if tap.reason != scene.reason || !(landed || refused) {
                let Tap { status, reason, location } = &tap;
                tally
                    .wrong
                    .push(format!("{}: wanted {}, got {status} {reason} {location}", scene.placement, scene.reason));
            }
            last = Some(tap);
        }
        let Some(tap) = last else { continue };
        let outcome = if tap.status == StatusCode::FOUND { "302" } else { "403" };
        let place = if tap.location.is_empty() { "-" } else { &tap.location };
        row([scene.placement, &code, outcome, &tap.reason, place]);
    }
    smart(&mut control, &mut click, &key, tally).await
}

/// One link for goods that Tmall and JD both sell, bound to no placement: it lands where each place allows.
async fn smart(control: &mut Client, click: &mut Client, key: &str, tally: &mut Tally) -> Result<(), String> {
    say!("\n一条智能短链：天猫为主，京东备选，贴在三处");
    say!("One smart link, Tmall first and JD as its alternate, pasted in three places\n");
    let draft = json!({
        "url": TMALL,
        "shop_type": "flagship",
        "category": "health",
        "creator": "creator-smart",
        "alternates": [{"url": JD, "shop_type": "self_operated"}],
    });
    let code = issue_draft(control, key, &draft).await?;
    for (placement, agent, reason, place) in SMART {
        let surface = placement.split_once('/').map_or("other", |(_, surface)| surface);
        let mut shown = None;
        for _ in 0..TAPS {
            let tap = tap(click, &format!("{code}?surface={surface}"), agent, tally).await?;
            if (tap.reason.as_str(), tap.location.as_str()) != (reason, place) {
                let Tap { status, reason, location } = &tap;
                tally.wrong.push(format!("{placement}: wanted {place}, got {status} {reason} {location}"));
            }
            shown = Some(tap);
        }
        let Some(tap) = shown else { continue };
        let place = match tap.location.as_str() {
            "" => "-".to_owned(),
            JD => format!("{JD}  备选 / alternate 1"),
            place => place.to_owned(),
        };
        row([placement, &code, tap.status.as_str(), &tap.reason, &place]);
    }
    Ok(())
}

/// Taps one link across the end of its window.
async fn midnight(app: &App, end: Timestamp, data: &Path, tally: &mut Tally) -> Result<(), String> {
    const LINK: Scene = scene("kuaishou/live_cart", JD, "self_operated", "", KUAISHOU, "allowed");
    let key = read_key(data).map_err(|error| format!("{error:?}"))?;
    let mut control = Client::connect(app.addresses().control).await?;
    let mut click = Client::connect(app.addresses().click).await?;
    let code = issue(&mut control, &key, &LINK, 0).await?;
    row(["clock", "code", "outcome", "reason", "where it went"]);
    let mut shown = None;
    let (mut before, mut after) = (0, 0);
    let give_up = Instant::now() + Duration::from_secs(30);
    while after < TAPS && Instant::now() < give_up {
        let asked = app.gateway().clock.now();
        let tap = tap(&mut click, &code, LINK.agent, tally).await?;
        let answered = app.gateway().clock.now();
        let expected = match (asked >= end, answered < end) {
            (true, _) => Some("window_ended"),
            (_, true) => Some("allowed"),
            // The window ended while the click was under way.
            _ => None,
        };
        if expected.is_some_and(|expected| expected != tap.reason) {
            tally.wrong.push(format!("a tap between {asked} and {answered} was {}", tap.reason));
        }
        if shown.as_ref() != Some(&tap.reason) {
            let place = if tap.location.is_empty() { "-" } else { &tap.location };
            row([&answered.to_string(), &code, tap.status.as_str(), &tap.reason, place]);
            shown = Some(tap.reason.clone());
        }
        if tap.reason == "allowed" {
            before += 1;
        } else {
            after += 1;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    if before == 0 || after < TAPS {
        tally.wrong.push(format!("{before} taps before midnight and {after} after were seen"));
    }
    Ok(())
}

fn row(cells: [&str; 5]) {
    let [a, b, c, d, e] = cells;
    say!("{a:<29} {b:<9} {c:<7} {d:<21} {e}");
}

/// Reads the journal back: every id a client was given must be there once.
fn check_hops(data: &Path, tally: &mut Tally) -> Result<(), CliError> {
    let data = DataDir::new(data);
    let mut text = Vec::new();
    let key = data.click_key()?;
    export(&data.journal(), Format::Ndjson, None, None, &key, &mut text).map_err(CliError::failed)?;
    let mut here = HashSet::new();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let hop: Value = serde_json::from_slice(line).map_err(CliError::failed)?;
        let id = hop["click_id"].as_str().unwrap_or_default().to_owned();
        if !tally.ids.contains(&id) {
            tally.wrong.push(format!("a hop nobody was given: {id}"));
        }
        if !here.insert(id.clone()) {
            tally.wrong.push(format!("a hop recorded twice: {id}"));
        }
    }
    tally.recorded += here.len();
    Ok(())
}

/// A folder that goes when the demo ends.
struct TemporaryFolder(std::path::PathBuf);

impl TemporaryFolder {
    fn new() -> Result<Self, CliError> {
        let path = std::env::temp_dir().join(format!("hopgate-demo-{}", std::process::id()));
        fs::create_dir_all(&path).map_err(CliError::failed)?;
        Ok(TemporaryFolder(path))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}
