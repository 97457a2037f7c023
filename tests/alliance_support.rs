//! A network that plays Taobao Alliance's and JD Union's order APIs over real sockets, as strictly as they are written down:
//! signature, clock, length of a stretch, page rules. Its orders change over time, and it can be told to misbehave.
#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use hopgate::clock::Clock;
use hopgate::domain::time::Timestamp;
use md5::{Digest, Md5};
use serde_json::{Value, json};

pub const APP_KEY: &str = "12345678";
pub const SECRET: &str = "5ecret0fTheApp";

/// Wraps an answer the way one gateway does; each request gets another spelling.
const SPELLINGS: usize = 3;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plays {
    Taobao,
    Jd,
}

/// What goes wrong with one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mishap {
    /// HTTP 502 with a page of HTML.
    Status,
    /// Reads the request and never answers.
    Silence,
    /// The network's own "too many calls".
    Limited,
    /// An answer that ends in the middle.
    Torn,
    /// The network's own "service unavailable".
    Busy,
    /// The request's time is called wrong.
    Clock,
}

/// An order as the network has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order {
    /// Second of its last change.
    pub modified: i64,
    /// Second of its payment.
    pub paid: i64,
    /// From this second on the API tells of that change.
    pub told_from: i64,
    /// How often it changed.
    pub version: u64,
}

pub struct World {
    pub orders: BTreeMap<u64, Order>,
    pub mishaps: VecDeque<Mishap>,
    /// What it refused, with why.
    pub refused: Vec<String>,
    /// Pages it gave: stretch, number, rows.
    pub pages: Vec<(i64, i64, u32, usize)>,
    pub requests: usize,
    /// The longest stretch it allows, in seconds.
    pub longest: i64,
    /// Called before each answer, with the number of the page that is asked for.
    pub meanwhile: Option<Meanwhile>,
}

type Meanwhile = Box<dyn FnMut(&mut BTreeMap<u64, Order>, u32) + Send>;

pub struct Network {
    pub address: SocketAddr,
    pub world: Arc<Mutex<World>>,
}

impl Network {
    pub fn start(plays: Plays, clock: Clock) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let longest = if plays == Plays::Taobao { 20 * 60 } else { 3_600 };
        let world = Arc::new(Mutex::new(World {
            orders: BTreeMap::new(),
            mishaps: VecDeque::new(),
            refused: Vec::new(),
            pages: Vec::new(),
            requests: 0,
            longest,
            meanwhile: None,
        }));
        let played = Arc::clone(&world);
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                let Some(form) = read_form(&stream) else { continue };
                let mut world = played.lock().unwrap();
                world.requests += 1;
                let number = world.requests;
                let mishap = world.mishaps.pop_front();
                let body = match mishap {
                    Some(Mishap::Silence) => {
                        silent.push(stream);
                        continue;
                    }
                    Some(Mishap::Status) => {
                        answer(&stream, "502 Bad Gateway", "<html>busy</html>");
                        continue;
                    }
                    Some(Mishap::Limited) => refusal(plays, Code::Limited, "This ban will last for 1 more seconds"),
                    Some(Mishap::Busy) => refusal(plays, Code::Busy, "service unavailable"),
                    Some(Mishap::Clock) => refusal(plays, Code::Clock, "Invalid timestamp"),
                    Some(Mishap::Torn) | None => match asked(plays, &form, &clock, &mut world) {
                        Ok(page) => page,
                        Err((code, why)) => {
                            world.refused.push(why.clone());
                            refusal(plays, code, &why)
                        }
                    },
                };
                let mut text = wrapped(plays, body, number).to_string();
                if mishap == Some(Mishap::Torn) {
                    text.truncate(text.len() / 2);
                }
                answer(&stream, "200 OK", &text);
            }
        });
        Network { address, world }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// An order changes at this second, and the API tells of it `late` seconds later.
    pub fn change(&self, id: u64, second: i64, late: i64) {
        let mut world = self.world.lock().unwrap();
        change(&mut world.orders, id, second, late);
    }

    pub fn truth(&self) -> BTreeMap<u64, u64> {
        self.world.lock().unwrap().orders.iter().map(|(id, order)| (*id, order.version)).collect()
    }
}

pub fn change(orders: &mut BTreeMap<u64, Order>, id: u64, second: i64, late: i64) {
    let order = orders.entry(id).or_insert(Order { modified: 0, paid: second, told_from: 0, version: 0 });
    order.modified = second;
    order.told_from = second + late;
    order.version += 1;
}

#[derive(Clone, Copy)]
enum Code {
    Limited,
    Busy,
    Clock,
    Signature,
    TooLong,
    Page,
}

fn refusal(plays: Plays, code: Code, why: &str) -> Value {
    match plays {
        Plays::Taobao => {
            let (code, sub) = match code {
                Code::Limited => (7, "accesscontrol.limited-by-api-access-count"),
                Code::Busy => (15, "isp.top-remote-service-unavailable"),
                Code::Clock => (31, ""),
                Code::Signature => (25, ""),
                Code::TooLong | Code::Page => (15, "isv.invalid-parameter"),
            };
            json!({"error_response": {"code": code, "msg": "failed", "sub_code": sub, "sub_msg": why}})
        }
        Plays::Jd => match code {
            Code::Busy => json!({"code": 500, "message": why}),
            Code::TooLong | Code::Page => json!({"code": 400, "message": why}),
            Code::Limited => json!({"error_response": {"code": "2", "zh_desc": why}}),
            Code::Clock => json!({"error_response": {"code": "8", "zh_desc": why}}),
            Code::Signature => json!({"error_response": {"code": "12", "zh_desc": why}}),
        },
    }
}

fn wrapped(plays: Plays, body: Value, number: usize) -> Value {
    if body.get("error_response").is_some() {
        return body;
    }
    match (plays, number % SPELLINGS) {
        (Plays::Taobao, 0) => {
            json!({"tbk_order_details_get_response": {"data": body, "request_id": number.to_string()}})
        }
        (Plays::Taobao, 1) => json!({"tbk_order_details_get_responce": {"data": body}}),
        (Plays::Taobao, _) => json!({"tbk_order_details_get_response": {"data": body.to_string()}}),
        (Plays::Jd, 0) => {
            json!({"jd_union_open_order_row_query_responce": {"code": "0", "queryResult": body.to_string()}})
        }
        (Plays::Jd, 1) => json!({"jd_union_open_order_row_query_response": {"code": "0", "result": body}}),
        (Plays::Jd, _) => json!({"jd_union_open_order_row_query_responce": {"queryResult": body}}),
    }
}

fn asked(
    plays: Plays,
    form: &BTreeMap<String, String>,
    clock: &Clock,
    world: &mut World,
) -> Result<Value, (Code, String)> {
    let get = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let page_fault = |why: &str| (Code::Page, why.to_owned());
    if get("app_key") != APP_KEY || get("sign") != signature(form, get("sign_method")) {
        return Err((Code::Signature, "Invalid signature".to_owned()));
    }
    let now = clock.now();
    let sent: Timestamp = get("timestamp").parse().map_err(|_| (Code::Clock, "no timestamp".to_owned()))?;
    let minutes = if plays == Plays::Taobao { 10 } else { 6 };
    if (now.micros() - sent.micros()).abs() > minutes * 60_000_000 {
        return Err((Code::Clock, format!("the clock shows {now}, not {sent}")));
    }
    let second = |text: &str| text.parse::<Timestamp>().map(|at| at.millis() / 1_000).map_err(|_| page_fault("a time"));
    let told = now.millis() / 1_000;
    match plays {
        Plays::Taobao => {
            if get("method") != "taobao.tbk.order.details.get" || get("v") != "2.0" || get("format") != "json" {
                return Err(page_fault("method"));
            }
            let (from, to) = (second(get("start_time"))?, second(get("end_time"))?);
            let size: usize = get("page_size").parse().map_err(|_| page_fault("page_size"))?;
            let number: u32 = get("page_no").parse().map_err(|_| page_fault("page_no"))?;
            if to <= from || to - from > world.longest {
                return Err((Code::TooLong, format!("查询时间跨度不能超过{}秒", world.longest)));
            }
            if size > 100 || !matches!(get("order_scene"), "1" | "2" | "3") {
                return Err(page_fault("page_size or order_scene"));
            }
            meanwhile(world, number);
            let by_payment = match get("query_type") {
                "4" => false,
                "2" => true,
                other => return Err(page_fault(other)),
            };
            let position = get("position_index");
            let behind: (i64, u64) = match (number, position.split_once('|')) {
                (1, None) => (i64::MIN, 0),
                (2.., Some((second, id))) => (second.parse().unwrap_or(0), id.parse().unwrap_or(0)),
                _ => return Err(page_fault("position_index is needed for page 2 and later, and for no other")),
            };
            if get("order_scene") != "1" {
                return Ok(json!({"has_next": false, "results": {}}));
            }
            let when = |order: &Order| if by_payment { order.paid } else { order.modified };
            let mut found: Vec<(i64, u64, Order)> = world
                .orders
                .iter()
                .filter(|(_, order)| (from..to).contains(&when(order)) && order.told_from <= told)
                .map(|(id, order)| (when(order), *id, order.clone()))
                .filter(|(second, id, _)| (*second, *id) > behind)
                .collect();
            found.sort_by_key(|(second, id, _)| (*second, *id));
            let more = found.len() > size;
            found.truncate(size);
            world.pages.push((from, to, number, found.len()));
            let position = found.last().map(|(second, id, _)| format!("{second}|{id}")).unwrap_or_default();
            let rows: Vec<Value> = found.iter().map(|(_, id, order)| taobao_row(*id, order)).collect();
            Ok(json!({"has_next": more, "has_pre": number > 1, "position_index": position, "page_no": number,
                "page_size": size, "results": {"publisher_order_dto": rows}}))
        }
        Plays::Jd => {
            if get("method") != "jd.union.open.order.row.query" || get("v") != "1.0" {
                return Err(page_fault("method"));
            }
            let asked: Value = serde_json::from_str(get("360buy_param_json")).map_err(|_| page_fault("json"))?;
            let asked = &asked["orderReq"];
            let text = |name: &str| asked[name].as_str().unwrap_or_default();
            let (from, to) = (second(text("startTime"))?, second(text("endTime"))?);
            let size = usize::try_from(asked["pageSize"].as_u64().unwrap_or(0)).unwrap();
            let number = u32::try_from(asked["pageIndex"].as_u64().unwrap_or(0)).unwrap();
            if to <= from || to - from > world.longest || told - from > 90 * 86_400 {
                return Err((Code::TooLong, format!("时间间隔不能超过{}秒", world.longest)));
            }
            if !(1..=500).contains(&size) || number == 0 || asked["type"] != 3 {
                return Err(page_fault("pageSize, pageIndex or type"));
            }
            meanwhile(world, number);
            let mut found: Vec<(&u64, &Order)> = world
                .orders
                .iter()
                .filter(|(_, order)| (from..to).contains(&order.modified) && order.told_from <= told)
                .collect();
            found.sort_by_key(|(id, order)| (order.modified, **id));
            let begin = (number as usize - 1) * size;
            let more = found.len() > begin + size;
            let rows: Vec<Value> =
                found.into_iter().skip(begin).take(size).map(|(id, order)| jd_row(*id, order)).collect();
            world.pages.push((from, to, number, rows.len()));
            Ok(json!({"code": 200, "message": "success", "data": rows, "hasMore": more}))
        }
    }
}

fn meanwhile(world: &mut World, page: u32) {
    if let Some(mut change) = world.meanwhile.take() {
        change(&mut world.orders, page);
        world.meanwhile = Some(change);
    }
}

fn time(second: i64) -> String {
    let at = Timestamp::from_millis(second * 1_000).beijing().unwrap();
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn taobao_row(id: u64, order: &Order) -> Value {
    json!({"trade_id": id.to_string(), "trade_parent_id": format!("9{id}"), "tk_status": 12, "tk_order_role": 2,
        "tk_create_time": time(order.paid), "tb_paid_time": time(order.paid), "tk_paid_time": time(order.paid),
        "modified_time": time(order.modified), "item_id": "610947572360", "item_title": "样品", "item_num": 1,
        "order_type": "天猫", "adzone_id": 3, "site_id": 2, "pub_id": 1,
        "alipay_total_price": format!("{}.00", order.version), "pub_share_pre_fee": "1.00"})
}

fn jd_row(id: u64, order: &Order) -> Value {
    json!({"id": id.to_string(), "orderId": 800_000 + id, "parentId": 0, "validCode": 16, "orderTime": time(order.paid),
        "modifyTime": time(order.modified), "skuId": 100_012_043_978_u64, "skuName": "样品", "skuNum": 1,
        "skuReturnNum": 0, "estimateCosPrice": order.version, "estimateFee": 1, "actualCosPrice": 0, "actualFee": 0,
        "unionId": 1, "siteId": 2, "positionId": 3, "pid": "", "subUnionId": ""})
}

/// The version a row tells: what is paid, in whole yuan.
pub fn version(row: &Value) -> u64 {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let paid = row.get("alipay_total_price").or(row.get("estimateCosPrice")).map(text).unwrap();
    paid.split('.').next().unwrap().parse().unwrap()
}

/// As the documentation says it, written anew.
fn signature(form: &BTreeMap<String, String>, method: &str) -> String {
    let text: String =
        form.iter().filter(|(name, _)| *name != "sign").map(|(name, value)| format!("{name}{value}")).collect();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>();
    match method {
        "md5" => hex(&Md5::digest(format!("{SECRET}{text}{SECRET}"))),
        "hmac-sha256" => {
            let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
            hex(ring::hmac::sign(&key, text.as_bytes()).as_ref())
        }
        _ => String::new(),
    }
}

fn read_form(stream: &TcpStream) -> Option<BTreeMap<String, String>> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    assert!(line.starts_with("POST "), "{line}");
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(url::form_urlencoded::parse(&body).into_owned().collect())
}

fn answer(mut stream: &TcpStream, status: &str, body: &str) {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    // Who hung up does not want it.
    drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())));
}
