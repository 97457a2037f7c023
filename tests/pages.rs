//! What people see before and after a click, over real sockets: previews, cards, association files, QR codes, and the page
//! of creators.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use hopgate::config::apps::AndroidApp;
use hopgate::control::keys::sqlite::SqliteKeyStore;
use hopgate::control::keys::{KeyStore as _, NewKey, Role};
use hopgate::domain::alternates::Alternate;
use hopgate::domain::vocabulary::ShopType;
use support::{Client, Gateway, JD, KUAISHOU_AGENT, at, eventually};

const TELEGRAM: &str = "TelegramBot (like TwitterBot)";
const DURING: &str = "2022-11-15 12:00:00";
const TMALL: &str = "https://detail.tmall.com/item.htm?id=610947572360";

fn recognise(gateway: &Gateway, url: &str) -> hopgate::domain::marketplace::Landing {
    gateway.app().gateway().words.markets().recognise(url).unwrap()
}

fn ask(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> support::Answer {
    Client::connect(gateway.click_address()).ask("GET", path, headers)
}

/// Neither a script nor anything fetched from elsewhere, in a page or in what its policy lets in.
fn is_quiet(answer: &support::Answer) {
    let policy = answer.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("script"), "{policy}");
    let page = answer.body.to_lowercase();
    for tag in ["<script", "<img", "<iframe", "<link", "src=", "@import", "url(", " onclick", "javascript:"] {
        assert!(!page.contains(tag), "{tag} in {}", answer.body);
    }
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
}

#[test]
fn a_preview_says_where_a_link_leads_and_until_when_without_a_click() {
    let gateway = Gateway::start(DURING);
    let code = gateway.link(JD, "kuaishou/live_cart", "self_operated");
    let page = ask(&gateway, &format!("/{code}+"), &[("User-Agent", KUAISHOU_AGENT)]);
    assert_eq!((page.status, page.header("location")), (200, ""), "{page:?}");
    is_quiet(&page);
    assert_eq!(page.header("x-robots-tag"), "noindex, nofollow");
    for part in [
        "lang=\"zh-CN\"",
        "<dd>京东</dd>",
        "<dd>100012043978</dd>",
        "<b>item.jd.com</b>",
        &format!("<a href=\"{JD}\" rel=\"noopener noreferrer nofollow\">{JD}</a>"),
        "快手 · 直播小黄车",
        "可用，前往京东，至 2022-12-01 00:00（北京时间）",
    ] {
        assert!(page.body.contains(part), "{part} not in {}", page.body);
    }
    let english = ask(&gateway, &format!("/{code}%2B"), &[("Accept-Language", "en")]);
    assert!(english.body.contains("Works, opens JD, until 2022-12-01 00:00 (Beijing time)"), "{}", english.body);
    let head = Client::connect(gateway.click_address()).ask("HEAD", &format!("/{code}+"), &[]);
    assert_eq!((head.status, head.header("content-type")), (200, "text/html; charset=utf-8"));
    let told = ask(&gateway, &format!("/{code}+"), &[("Accept", "application/json")]);
    let told: serde_json::Value = serde_json::from_str(&told.body).unwrap();
    assert_eq!(told["landings"][0]["url"], JD);
    assert_eq!(told["here"]["outlook"]["outcome"], "allow");
    assert_eq!(told["here"]["outlook"]["works_until"], "2022-12-01T00:00:00+08:00");
    assert_eq!(told["placements"][0]["surfaces"], serde_json::json!(["live_cart"]));

    gateway.clock.set(at("2022-12-01"));
    let page = gateway.get(&format!("/{code}+"));
    assert!(!page.body.contains(&format!("href=\"{JD}\"")), "a text, and no link, once it is refused");
    assert!(page.body.contains(JD) && page.body.contains("合作已结束（2022-12-01 00:00"), "{}", page.body);
    assert_eq!(gateway.get(&format!("/{code}")).status, 403, "a click says the same");
    eventually("the click is recorded", || !gateway.hops().is_empty());
    assert_eq!(gateway.hops().len(), 1, "looks leave no hop");
    eventually("the click is counted", || gateway.metric("hopgate_clicks_total") == 1.0);
}

#[test]
fn a_preview_of_what_is_not_there_says_so() {
    let gateway = Gateway::start(DURING);
    let short = gateway.link_with(JD, "kuaishou/live_cart", "self_operated", |link| {
        link.expires_at = Some(at("2022-11-16"));
    });
    assert_eq!(ask(&gateway, "/nobody00+", &[]).status, 404);
    let json = ask(&gateway, "/nobody00+", &[("Accept", "application/json")]);
    assert!(json.status == 404 && json.body.contains("\"unknown_link\""), "{json:?}");
    assert!(gateway.get(&format!("/{short}+")).body.contains("有效至（北京时间） 2022-11-16 00:00"));
    gateway.clock.set(at("2022-11-16"));
    assert_eq!(gateway.get(&format!("/{short}+")).status, 410);
    let post = Client::connect(gateway.click_address()).ask("POST", &format!("/{short}+"), &[]);
    assert_eq!(post.status, 405);
    assert!(gateway.hops().is_empty());
}

#[test]
fn a_preview_of_a_free_link_tells_each_placement_and_what_alternates_do() {
    let gateway = Gateway::start(DURING);
    let tmall = recognise(&gateway, TMALL);
    let code = gateway.link_with(JD, "", "self_operated", |link| {
        link.alternates.push(Alternate { landing: tmall, shop_type: ShopType::Flagship, category: None });
    });
    let page = gateway.get(&format!("/{code}+"));
    for part in ["备选 1", "<dd>天猫</dd>", "快手 · ", "小红书 · ", "浏览器或其他 App", "两个平台之间目前没有跳转合作"]
    {
        assert!(page.body.contains(part), "{part} not in {}", page.body);
    }
    let json = ask(&gateway, &format!("/{code}+"), &[("Accept", "application/json"), ("User-Agent", KUAISHOU_AGENT)]);
    let told: serde_json::Value = serde_json::from_str(&json.body).unwrap();
    assert_eq!((&told["here"]["platform"], &told["here"]["known_by"]), (&"kuaishou".into(), &"detected".into()));
    // Each answer is the one a click there gets.
    for placement in told["placements"].as_array().unwrap() {
        let (Some(platform), Some(surface)) = (placement["platform"].as_str(), placement["surfaces"][0].as_str())
        else {
            continue;
        };
        let click = ask(&gateway, &format!("/{code}?platform={platform}&surface={surface}"), &[]);
        let expected = if placement["outlook"]["outcome"] == "allow" { 302 } else { 403 };
        assert_eq!(click.status, expected, "{placement}");
    }
}

#[test]
fn a_fetcher_of_previews_gets_a_card_and_no_redirect() {
    let gateway = Gateway::start_with(DURING, |settings| settings.public_url = Some("https://go.example".into()));
    let code = gateway.link_with(JD, "kuaishou/live_cart", "self_operated", |link| {
        link.creator = Some("<script>alert(1)</script>".into());
        link.tags = vec!["\"><script>".into()];
    });
    for agent in [
        TELEGRAM,
        "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
        "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
        "WhatsApp/2.23.20.0",
        "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
    ] {
        let card = ask(&gateway, &format!("/{code}"), &[("User-Agent", agent)]);
        assert_eq!((card.status, card.header("location")), (200, ""), "{agent}");
        is_quiet(&card);
        assert_eq!(card.header("hop-id").len(), 32);
        for tag in [
            "<meta property=\"og:title\" content=\"京东 · 商品\">",
            "<meta property=\"og:site_name\" content=\"go.example\">",
            &format!("<meta property=\"og:url\" content=\"https://go.example/{code}\">"),
            "<meta name=\"twitter:card\" content=\"summary\">",
        ] {
            assert!(card.body.contains(tag), "{tag} not in {}", card.body);
        }
        assert!(!card.body.contains("alert(1)") && !card.body.contains("item.jd.com"));
    }
    let hops = gateway.hops();
    assert_eq!(hops.len(), 5);
    assert!(hops.iter().all(|hop| hop["flags"].to_string().contains("bot")), "{}", hops[0]);
    assert_eq!(gateway.metric("hopgate_clicks_total"), 0.0, "never counted as people");
    assert_eq!(gateway.get(&format!("/{code}")).status, 302, "a person is redirected");

    gateway.clock.set(at("2022-12-01"));
    let neutral = ask(&gateway, &format!("/{code}"), &[("User-Agent", TELEGRAM), ("Accept-Language", "en")]);
    assert_eq!(neutral.status, 200);
    assert!(neutral.body.contains("og:title\" content=\"Shared link\"") && !neutral.body.contains("JD"));
    assert_eq!(ask(&gateway, "/nobody00", &[("User-Agent", TELEGRAM)]).status, 404);
}

#[test]
fn association_files_are_there_with_and_without_apps() {
    let fingerprint = ["AB"; 32].join(":");
    let known = fingerprint.clone();
    let gateway = Gateway::start_with(DURING, |settings| {
        settings.apps.ios = vec!["A1B2C3D4E5.com.example.app".into()];
        settings.apps.android = vec![AndroidApp { package: "com.example.app".into(), fingerprints: vec![known] }];
        settings.apps.harmony = vec!["5765880207853134833".into()];
    });
    let files = ["apple-app-site-association", "assetlinks.json", "applinking.json"];
    for (name, part) in
        files.iter().zip(["\"appIDs\":[\"A1B2C3D4E5.com.example.app\"]", &fingerprint, "5765880207853134833"])
    {
        let file = gateway.get(&format!("/.well-known/{name}"));
        assert_eq!((file.status, file.header("content-type")), (200, "application/json"), "{file:?}");
        assert_eq!(file.header("location"), "");
        assert!(file.body.contains(part), "{}", file.body);
        serde_json::from_str::<serde_json::Value>(&file.body).unwrap();
        let mut client = Client::connect(gateway.click_address());
        assert_eq!(client.ask("HEAD", &format!("/.well-known/{name}"), &[]).header("content-type"), "application/json");
        assert_eq!(client.ask("POST", &format!("/.well-known/{name}"), &[]).status, 405);
    }
    assert_eq!(gateway.get("/.well-known/security.txt").status, 404);
    let bare = Gateway::start(DURING);
    let bodies = files.map(|name| bare.get(&format!("/.well-known/{name}")).body);
    assert_eq!(bodies, ["{\"applinks\":{\"details\":[]}}", "[]", "{\"applinking\":{\"apps\":[]}}"]);
}

/// One request to the control listener, with its answer's bytes.
fn send(to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (support::Answer, Vec<u8>) {
    let mut stream = TcpStream::connect(to).unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    let end = all.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head") + 4;
    let head = String::from_utf8_lossy(&all[..end]).into_owned();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    let body = all[end..].to_vec();
    (support::Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned() }, body)
}

/// A gateway with its control listener, and keys for it.
struct Place(Gateway);

impl Place {
    fn start() -> Self {
        Place(Gateway::start_with(DURING, |settings| settings.public_url = Some("https://go.example".into())))
    }

    fn control(&self) -> SocketAddr {
        self.0.app().addresses().control
    }

    fn key(&self, role: Role, scope: Option<&str>) -> (String, String) {
        let (text, key) = NewKey::draw(role, scope, "test", self.0.clock.now()).unwrap();
        let id = key.record.id.clone();
        self.0.app().block_on(self.keys().create(key)).unwrap();
        (text.reveal().to_owned(), id)
    }

    fn keys(&self) -> SqliteKeyStore {
        SqliteKeyStore::open(&self.0.folder.path().join("data/hopgate.sqlite")).unwrap()
    }

    fn get(&self, path: &str, headers: &[(&str, &str)]) -> support::Answer {
        send(self.control(), "GET", path, headers, b"").0
    }

    fn post(&self, path: &str, cookie: &str, headers: &[(&str, &str)], fields: &[(&str, &str)]) -> support::Answer {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        fields.iter().for_each(|(name, value)| {
            form.append_pair(name, value);
        });
        let mut all = vec![("Content-Type", "application/x-www-form-urlencoded"), ("Cookie", cookie)];
        all.extend(headers);
        send(self.control(), "POST", path, &all, form.finish().as_bytes()).0
    }

    /// Logs in; the cookie, and the token of the forms.
    fn log_in(&self, key: &str) -> (String, String) {
        let answer = self.post("/login", "", &[], &[("key", key)]);
        assert_eq!((answer.status, answer.header("location")), (303, "/"), "{}", answer.body);
        let set = answer.header("set-cookie");
        assert!(set.contains("; HttpOnly; SameSite=Strict; Max-Age=43200") && !set.contains("Secure"), "{set}");
        let cookie = set.split(';').next().unwrap().to_owned();
        let page = self.get("/", &[("Cookie", &cookie)]);
        let token = page.body.split("name=\"token\" value=\"").nth(1).expect("a form").split('"').next().unwrap();
        (cookie, token.to_owned())
    }
}

#[test]
fn qr_codes_are_read_back_by_another_decoder() {
    let place = Place::start();
    let code = place.0.link(JD, "kuaishou/live_cart", "self_operated");
    let (key, _) = place.key(Role::Creator, Some("creator-1"));
    let bearer = format!("Bearer {key}");
    let path = format!("/v1/links/{code}/qr.png?size=300&level=Q");
    let (answer, bytes) = send(place.control(), "GET", &path, &[("Authorization", &bearer)], b"");
    assert_eq!((answer.status, answer.header("content-type")), (200, "image/png"));
    assert_eq!(answer.header("cache-control"), "private, max-age=3600");
    let mut decoder = png::Decoder::new(std::io::Cursor::new(&bytes));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    assert_eq!(reader.next_frame(&mut pixels).unwrap().width, 300);
    let mut image = rqrr::PreparedImage::prepare_from_greyscale(300, 300, |x, y| pixels[y * 300 + x]);
    assert_eq!(image.detect_grids()[0].decode().unwrap().1, format!("https://go.example/{code}"));

    let tag = answer.header("etag").to_owned();
    let again = place.get(&path, &[("Authorization", &bearer), ("If-None-Match", &tag)]);
    assert_eq!((again.status, again.header("etag"), again.body.as_str()), (304, tag.as_str(), ""));
    let svg = place.get(&format!("/v1/links/{code}/qr.svg"), &[("Authorization", &bearer)]);
    assert_eq!((svg.status, svg.header("content-type")), (200, "image/svg+xml"));
    assert!(svg.body.starts_with("<svg ") && svg.header("content-security-policy") == "default-src 'none'");

    assert_eq!(place.get(&path, &[]).status, 401);
    let (other, _) = place.key(Role::Creator, Some("creator-2"));
    assert_eq!(place.get(&path, &[("Authorization", &format!("Bearer {other}"))]).status, 403);
    assert_eq!(place.get("/v1/links/nobody00/qr.png", &[("Authorization", &bearer)]).status, 404);
    let wrong = format!("/v1/links/{code}/qr.svg?size=1&margin=99&level=Z");
    let wrong = place.get(&wrong, &[("Authorization", &bearer)]);
    assert_eq!(wrong.status, 422);
    assert!(
        ["size", "margin", "level"].iter().all(|field| wrong.body.contains(&format!("\"{field}\""))),
        "{}",
        wrong.body
    );
    assert_eq!(wrong.header("cache-control"), "no-store");
}

#[test]
fn a_creator_makes_a_link_and_sees_where_it_works() {
    let place = Place::start();
    let (key, id) = place.key(Role::Creator, Some("c1"));
    let welcome = place.get("/", &[]);
    assert_eq!(welcome.status, 200);
    is_quiet(&welcome);
    assert!(welcome.body.contains("API 密钥") && welcome.body.contains("lang=\"zh-CN\""));
    assert!(!welcome.header("content-security-policy").contains("unsafe-inline"));
    let (cookie, token) = place.log_in(&key);

    let text = "【京东】https://item.jd.com/100012043978.html MF3390\n「手机」点击链接直接打开";
    let fields = [
        ("token", token.as_str()),
        ("url", text),
        ("platform", "kuaishou"),
        ("surface", "live_cart"),
        ("shop_type", "self_operated"),
        ("category", ""),
        ("slug", "double-11"),
        ("alternates", "https://detail.tmall.com/item.htm?id=610947572360,shop_type=flagship\r\n"),
    ];
    let made = place.post("/links", &cookie, &[("Sec-Fetch-Site", "same-origin")], &fields);
    assert_eq!((made.status, made.header("location")), (303, "/?code=double-11"), "{}", made.body);
    let page = place.get("/?code=double-11", &[("Cookie", &cookie)]);
    assert_eq!(page.status, 200);
    is_quiet(&page);
    for part in [
        "<a href=\"https://go.example/double-11\">https://go.example/double-11</a>",
        "<svg xmlns=",
        "京东 · 商品",
        "<code>100012043978</code>",
        "<code>https://item.jd.com/100012043978.html</code>",
        "<b>快手 · 直播小黄车</b><br>可用，前往京东",
        "至 2022-12-01 00:00（北京时间）",
        "备选 1（天猫）",
        "发布到别处会怎样",
        "<h3>小红书</h3>",
        "浏览器或其他 App",
        "<a href=\"/?code=double-11\">double-11</a> <b>可用</b>",
    ] {
        assert!(page.body.contains(part), "{part} not in {}", page.body);
    }
    assert_eq!(place.0.get("/double-11").status, 302, "it is clickable");
    let english = place.get("/?code=double-11", &[("Cookie", &format!("{cookie}; hopgate_lang=en"))]);
    assert!(english.body.contains("lang=\"en\"") && english.body.contains("Works, opens JD, until 2022-12-01 00:00"));
    let switch = place.get("/?lang=en&code=double-11", &[("Cookie", &cookie)]);
    assert_eq!((switch.status, switch.header("location")), (303, "/?code=double-11"));
    assert!(switch.header("set-cookie").starts_with("hopgate_lang=en; Path=/; HttpOnly; SameSite=Strict"));
    let (picture, bytes) = send(place.control(), "GET", "/qr?code=double-11", &[("Cookie", &cookie)], b"");
    assert_eq!((picture.status, picture.header("content-type")), (200, "image/png"));
    assert_eq!(&bytes[1..4], b"PNG");

    let taken = place.post("/links", &cookie, &[], &fields);
    assert_eq!(taken.status, 422);
    assert!(
        taken.body.contains("这个短码已被占用") && taken.body.contains("「手机」点击链接直接打开"),
        "{}",
        taken.body
    );

    place.0.clock.set(at("2022-12-01"));
    // Twelve hours are over too.
    let page = place.get("/?code=double-11", &[("Cookie", &cookie)]);
    assert!(page.body.contains("API 密钥"), "log in again");
    let (cookie, token) = place.log_in(&key);
    let page = place.get("/?code=double-11", &[("Cookie", &cookie)]);
    for part in ["可用，前往备选 1（天猫）", "主链接（京东）：合作已结束；备选 1（天猫）：可用"]
    {
        assert!(page.body.contains(part), "{part} not in {}", page.body);
    }

    let out = place.post("/logout", &cookie, &[], &[("token", &token)]);
    assert_eq!((out.status, out.header("location")), (303, "/"));
    assert!(
        out.header("set-cookie").starts_with("hopgate_session=; ") && out.header("set-cookie").contains("Max-Age=0")
    );
    assert!(place.get("/", &[("Cookie", &cookie)]).body.contains("API 密钥"), "the session is over");

    let (cookie, _) = place.log_in(&key);
    place.0.app().block_on(place.keys().revoke(&id, place.0.clock.now())).unwrap();
    assert!(place.get("/", &[("Cookie", &cookie)]).body.contains("API 密钥"), "a revoked key ends its sessions");
}

#[test]
fn faults_stand_at_their_fields_and_nothing_is_injected() {
    let place = Place::start();
    let (key, _) = place.key(Role::Creator, Some("c1"));
    let (cookie, token) = place.log_in(&key);
    let make = |fields: &[(&str, &str)]| {
        let mut all = vec![("token", token.as_str())];
        all.extend(fields);
        place.post("/links", &cookie, &[], &all)
    };
    let nasty = "</textarea><script>alert(1)</script>";
    let answer = make(&[
        ("url", nasty),
        ("platform", "\"><script>"),
        ("surface", "x"),
        ("shop_type", "mall"),
        ("category", "a b"),
        ("slug", "双十一"),
        ("alternates", "https://evil.test/\nhttps://item.jd.com/1.html,colour=red"),
    ]);
    assert_eq!(answer.status, 422);
    is_quiet(&answer);
    for part in [
        "不是完整的链接",
        "&lt;/textarea&gt;&lt;script&gt;alert(1)&lt;/script&gt;",
        "没有这个选项",
        "不能含有空格",
        "短码只能用",
        "第 1 条：不是已支持的商城链接",
        "第 2 条：",
        "value=\"双十一\"",
    ] {
        assert!(answer.body.contains(part), "{part} not in {}", answer.body);
    }
    let english = place.post(
        "/links",
        &format!("{cookie}; hopgate_lang=en"),
        &[],
        &[("token", &token), ("url", "https://item.jd.com@evil.test/")],
    );
    assert!(english.body.contains("The URL holds a user name before its host: remove everything up to the @."));
    let empty = make(&[]);
    assert!(empty.status == 422 && empty.body.contains("没有粘贴链接"), "{}", empty.body);

    let large = "很".repeat(1_000_000 / 3);
    let answer = make(&[("url", &large)]);
    assert_eq!(answer.status, 422);
    assert!(answer.body.contains("内容过长") && answer.body.len() < 100_000, "a part of it is kept");
    let huge = "x".repeat(5 << 20);
    assert_eq!(make(&[("url", &huge)]).status, 413);
    assert!(place.0.app().gateway().catalog.is_empty(), "nothing was made");
}

#[test]
fn nobody_acts_for_somebody_else() {
    let place = Place::start();
    let (key, _) = place.key(Role::Creator, Some("c1"));
    let (cookie, token) = place.log_in(&key);
    let fields = [("token", token.as_str()), ("url", JD)];
    for headers in [
        &[("Origin", "https://evil.test")][..],
        &[("Origin", "null")],
        &[("Sec-Fetch-Site", "cross-site")],
        &[("Sec-Fetch-Site", "same-site")],
    ] {
        let answer = place.post("/links", &cookie, headers, &fields);
        assert_eq!(answer.status, 403, "{headers:?}");
        assert_eq!(place.post("/login", "", headers, &[("key", &key)]).status, 403, "{headers:?}");
    }
    let stale = [("token", "0".repeat(64)), ("url", JD.to_owned())];
    let stale = stale.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(place.post("/links", &cookie, &[], &stale).status, 403);
    assert_eq!(place.post("/links", &cookie, &[], &[("url", JD)]).status, 403);
    assert_eq!(place.post("/links", "", &[], &fields).status, 403);
    assert_eq!(place.post("/links", "hopgate_session=made-up", &[], &fields).status, 403);
    assert!(place.0.app().gateway().catalog.is_empty());

    let other = place.0.link_with(JD, "kuaishou/live_cart", "self_operated", |link| link.creator = Some("c2".into()));
    let page = place.get(&format!("/?code={other}"), &[("Cookie", &cookie)]);
    assert_eq!(page.status, 403);
    assert!(!page.body.contains("item.jd.com"));
    assert_eq!(place.get(&format!("/qr?code={other}"), &[("Cookie", &cookie)]).status, 403);
    assert_eq!(place.get("/?code=%3Cscript%3E", &[("Cookie", &cookie)]).status, 404);
    let home = place.get("/", &[("Cookie", &cookie)]);
    assert!(!home.body.contains(&other), "not in the list either");

    // Ops sees it, may name creators, and is shown so in the list; a platform sees its own and makes none.
    let admin = std::fs::read_to_string(place.0.folder.path().join("data/admin.key")).unwrap();
    let (ops, _) = place.log_in(admin.trim());
    let home = place.get("/", &[("Cookie", &ops)]);
    assert!(home.body.contains(&other) && home.body.contains("name=\"creator\"") && home.body.contains("c2"));
    let (platform, _) = place.key(Role::Platform, Some("kuaishou"));
    let (platform, token) = place.log_in(&platform);
    let home = place.get("/", &[("Cookie", &platform)]);
    assert!(home.body.contains(&other) && !home.body.contains("action=\"/links\""));
    assert_eq!(place.post("/links", &platform, &[], &[("token", &token), ("url", JD)]).status, 403);
    let (merchant, _) = place.key(Role::Merchant, Some("shop:1"));
    let refused = place.post("/login", "", &[], &[("key", &merchant)]);
    assert!(refused.status == 403 && refused.header("set-cookie").is_empty() && refused.body.contains("商家密钥"));
}

#[test]
fn log_ins_in_vain_are_bounded() {
    let place = Place::start();
    let (key, _) = place.key(Role::Creator, Some("c1"));
    let secure = place.post("/login", "", &[("X-Forwarded-Proto", "https")], &[("key", &key)]);
    assert!(secure.header("set-cookie").ends_with("; Secure"), "{secure:?}");
    for _ in 0..10 {
        let answer = place.post("/login", "", &[], &[("key", "hk_creator_<script>")]);
        assert_eq!(answer.status, 403);
        assert!(answer.body.contains("密钥无效") && !answer.body.contains("<script>"));
    }
    let answer = place.post("/login", "", &[], &[("key", &key)]);
    assert_eq!((answer.status, answer.header("retry-after")), (429, "601"), "{}", answer.body);
    place.0.clock.set(at(DURING).plus_micros(601_000_000));
    place.log_in(&key);
}

#[test]
fn behind_a_trusted_proxy_each_visitor_has_log_ins_of_their_own() {
    let place = Place(Gateway::start_with(DURING, |settings| {
        settings.public_url = Some("https://go.example".into());
        settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    }));
    let (key, _) = place.key(Role::Creator, Some("c1"));
    let from =
        |visitor: &str, key: &str| place.post("/login", "", &[("X-Forwarded-For", visitor)], &[("key", key)]).status;
    for _ in 0..10 {
        // What stands left was written by the visitor.
        assert_eq!(from("198.51.100.1, 203.0.113.7", "hk_creator_x"), 403);
    }
    assert_eq!(from("198.51.100.2, 203.0.113.7", &key), 429);
    assert_eq!(from("203.0.113.8", &key), 303, "another visitor of the same proxy");
    let alone = Place::start();
    for n in 0..10 {
        let told = format!("203.0.113.{n}");
        assert_eq!(alone.post("/login", "", &[("X-Forwarded-For", &told)], &[("key", "hk_x")]).status, 403);
    }
    let told = [("X-Forwarded-For", "203.0.113.99")];
    assert_eq!(alone.post("/login", "", &told, &[("key", "hk_x")]).status, 429, "nobody else's word counts");
}

#[test]
fn what_came_up_in_making_a_link_is_said_to_its_creator() {
    let place = Place(Gateway::start_with(DURING, |settings| settings.resolve.enabled = Some(false)));
    let (key, _) = place.key(Role::Creator, Some("c1"));
    let (cookie, token) = place.log_in(&key);
    let fields = [("token", token.as_str()), ("url", "https://u.jd.com/AbCdEf"), ("slug", "short-1")];
    let made = place.post("/links", &cookie, &[], &fields);
    let to = "/?code=short-1&noted=resolve_off";
    assert_eq!((made.status, made.header("location")), (303, to), "{}", made.body);
    let page = place.get(to, &[("Cookie", &cookie)]);
    assert!(page.body.contains("短链没有解析出商品（没有开启短链解析）"), "{}", page.body);
    assert!(page.body.contains("/?lang=en&amp;code=short-1&amp;noted=resolve_off"), "{}", page.body);
    is_quiet(&page);
    let english =
        place.get(&format!("{to},%3Cb%3E,resolve_none"), &[("Cookie", &format!("{cookie}; hopgate_lang=en"))]);
    assert!(english.body.contains("resolving short links is switched off") && !english.body.contains("resolve_none"));
    let other = place.get("/?code=short-1&noted=%3Cb%3E&lang=zh", &[("Cookie", &cookie)]);
    assert_eq!(other.header("location"), "/?code=short-1");
    // Fingers need room for what is tapped.
    assert!(page.body.contains(".tap,li a{display:inline-flex;align-items:center;min-height:2.75rem}"));
    assert_eq!(page.body.matches("<a class=\"tap\"").count(), 5, "{}", page.body);
}
