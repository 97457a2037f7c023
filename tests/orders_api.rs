//! Order reports over the API: what each role may do, what every answer looks like, and what a body may be.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops where it fails")]

mod control_support;

use control_support::{Answer, Running, fits};
use hopgate::attribution::orders::intake::OrderIntake as _;
use hopgate::attribution::orders::sqlite::SqliteOrderStore;
use hopgate::control::keys::Role;
use serde_json::{Value, json};

async fn description(running: &Running) -> Value {
    running.with("", "GET", "/openapi.json", &[], "").await.json()
}

fn fits_answer(description: &Value, method: &str, path: &str, answer: &Answer) -> Value {
    let operation = &description["paths"][path][method]["responses"][answer.status.to_string()];
    assert!(operation.is_object(), "{method} {path} {} is not described: {}", answer.status, answer.text);
    fits(description, &operation["content"]["application/json"]["schema"], &answer.json(), path);
    answer.json()
}

fn row(line: &str, more: Value) -> Value {
    let mut row = json!({"line": line, "state": "paid", "created_at": "2022-11-01 10:00:00", "estimated": "5.00"});
    row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    row
}

#[tokio::test]
async fn rows_are_taken_in_every_form_and_every_answer_is_as_described() {
    let running = Running::start().await;
    let described = description(&running).await;
    let post = |path: &'static str, body: String| {
        let running = &running;
        async move { running.with(&running.admin, "POST", path, &[], &body).await }
    };
    let one = post("/v1/orders", row("o1", json!({})).to_string()).await;
    let told = fits_answer(&described, "post", "/v1/orders", &one);
    assert_eq!(
        (&told["added"], &told["results"][0]["line"], &told["results"][0]["row"]),
        (&json!(1), &json!("o1"), &json!(1))
    );
    let list = json!([
        row("o1", json!({})),
        row("o2", json!({"state": "paidd", "paid": "1,5", "who": 1})),
        row("o3", json!({"pid": "p"}))
    ]);
    let told = fits_answer(&described, "post", "/v1/orders", &post("/v1/orders", list.to_string()).await);
    assert_eq!((&told["added"], &told["unchanged"], &told["quarantined"]), (&json!(0), &json!(1), &json!(2)));
    let named: Vec<_> = told["results"][1]["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (&error["field"], &error["code"]))
        .collect();
    let wanted = [
        (json!("who"), json!("unknown_field")),
        (json!("state"), json!("unknown_status")),
        (json!("paid"), json!("malformed_amount")),
    ];
    assert_eq!(named, wanted.iter().map(|(field, code)| (field, code)).collect::<Vec<_>>());
    // Rows of a network in its own names, named by the request or by the row; an answer as it came.
    let jd = json!({"id": "1", "validCode": 17, "orderTime": "2022-11-01 00:00:00", "estimateFee": 2.5, "actualFee": "2.40"});
    let told = post("/v1/orders?network=jd&account=a2", jd.to_string()).await.json();
    assert_eq!((&told["added"], &told["results"][0]["account"]), (&json!(1), &json!("a2")));
    let mut named = jd.clone();
    named["network"] = json!("jd");
    let lines = format!("{named}\n{}\nnonsense\n", json!({"network": "ebay"}));
    let told = fits_answer(&described, "post", "/v1/orders", &post("/v1/orders", lines).await);
    let reasons: Vec<_> = told["results"].as_array().unwrap().iter().map(|result| result["reason"].as_str()).collect();
    assert_eq!(reasons, [None, Some("unknown_network"), Some("not_a_row")]);
    let wrapped = json!({"jd_union_open_order_row_query_responce": {"code": "0", "queryResult": json!({"code": 200, "data": [jd]}).to_string()}});
    assert_eq!(post("/v1/orders?network=jd", wrapped.to_string()).await.json()["unchanged"], json!(1));

    let page = running.admin("GET", "/v1/orders?limit=2", &Value::Null).await;
    let told = fits_answer(&described, "get", "/v1/orders", &page);
    assert_eq!(told["orders"].as_array().unwrap().len(), 2);
    let next = format!("/v1/orders?limit=2&cursor={}", told["next_cursor"].as_str().unwrap());
    let rest = running.admin("GET", &next, &Value::Null).await.json();
    assert_eq!((rest["orders"].as_array().unwrap().len(), &rest["next_cursor"]), (1, &Value::Null));
    let path = "/v1/orders/{network}/{line}";
    let line = fits_answer(&described, "get", path, &running.admin("GET", "/v1/orders/jd/1", &Value::Null).await);
    assert_eq!(
        (&line["estimated_fen"], &line["confirmed_fen"], &line["events"][0]["state"]),
        (&json!(250), &json!(240), &json!("completed"))
    );
    assert_eq!(
        running.admin("GET", "/v1/orders/jd/2", &Value::Null).await.json()["type"],
        "urn:hopgate:problem:unknown_order"
    );

    let aside = running.admin("GET", "/v1/orders/quarantine", &Value::Null).await;
    let told = fits_answer(&described, "get", "/v1/orders/quarantine", &aside);
    assert_eq!(told["open"], json!({"unknown_field": 1, "unknown_position": 1, "unknown_network": 1, "not_a_row": 1}));
    assert_eq!(told["rows"][3]["raw"]["line"], "o2");
    let position = json!({"network": "direct", "position": "p", "creator": "c1"});
    let registered = running.admin("POST", "/v1/orders/positions", &json!([position])).await;
    assert_eq!(
        fits_answer(&described, "post", "/v1/orders/positions", &registered),
        json!({"registered": 1, "read_again": 1})
    );
    assert_eq!(running.admin("GET", "/v1/orders/direct/o3", &Value::Null).await.status, 200);
    let listed = running.admin("GET", "/v1/orders/positions?network=direct", &Value::Null).await;
    let listed = fits_answer(&described, "get", "/v1/orders/positions", &listed);
    assert_eq!(listed["positions"].as_array().unwrap().len(), 1);
    let bad = running.admin("POST", "/v1/orders/positions", &json!([position, {"network": "x", "position": ""}])).await;
    let fields: Vec<String> = bad.faults().into_iter().map(|(field, _)| field).collect();
    assert_eq!(
        (bad.status, fields),
        (422, vec!["[1].network".to_owned(), "[1].position".to_owned(), "[1].creator".to_owned()])
    );
    let gone = "/v1/orders/positions/direct/p";
    assert_eq!(running.admin("DELETE", gone, &Value::Null).await.status, 204);
    assert_eq!(running.admin("DELETE", gone, &Value::Null).await.status, 404);

    for (path, body, status) in [
        ("/v1/orders", "nonsense", 400),
        ("/v1/orders", "", 400),
        ("/v1/orders", "[{\"line\":", 400),
        ("/v1/orders?network=ebay", "{}", 422),
        ("/v1/orders?account=a%20b&colour=red", "{}", 422),
        ("/v1/orders?network=jd", "{\"error_response\":{\"code\":\"8\"}}", 422),
    ] {
        let answer = post(path, body.to_owned()).await;
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.text);
    }
    let listed = running.admin("GET", "/v1/orders", &Value::Null).await.json();
    assert_eq!(listed["orders"].as_array().unwrap().len(), 4, "a refused body leaves nothing behind");
    for path in
        ["/v1/orders?state=x", "/v1/orders?from=x", "/v1/orders/quarantine?reason=x", "/v1/orders/quarantine?mended=x"]
    {
        assert_eq!(running.admin("GET", path, &Value::Null).await.status, 422, "{path}");
    }
}

#[tokio::test]
async fn a_merchant_reports_and_reads_for_its_own_shop_only() {
    let running = Running::start().await;
    let (own, _) = running.key(Role::Merchant, Some("shop-1")).await;
    let (other, _) = running.key(Role::Merchant, Some("shop-2")).await;
    let (nobody, _) = running.key(Role::Merchant, None).await;
    let (creator, _) = running.key(Role::Creator, Some("c1")).await;
    let told = running.call(&own, "POST", "/v1/orders", &row("o1", json!({"paid": 50}))).await;
    assert_eq!((told.status, &told.json()["results"][0]["account"]), (200, &json!("merchant:shop-1")), "{}", told.text);
    let refused = [json!({"shop": "shop-2"}), json!({"network": "taobao"}), json!({"account": "default"})];
    for more in refused {
        let answer = running.call(&own, "POST", "/v1/orders", &row("o2", more.clone())).await;
        assert_eq!(answer.status, 403, "{more}: {}", answer.text);
    }
    assert_eq!(running.call(&own, "POST", "/v1/orders?network=jd", &json!({})).await.status, 403);
    assert_eq!(
        running.call(&own, "POST", "/v1/orders?account=default", &row("o3", json!({"paid_fen": 500}))).await.json()["results"]
            [0]["account"],
        "merchant:shop-1"
    );
    for key in [&nobody, &creator] {
        assert_eq!(running.call(key, "POST", "/v1/orders", &row("o4", json!({}))).await.status, 403);
        assert_eq!(running.call(key, "GET", "/v1/orders", &Value::Null).await.status, 403);
    }
    // Two merchants' keys of one name are two lines.
    assert_eq!(
        running.call(&other, "POST", "/v1/orders", &row("o1", json!({"estimated": 9, "paid": "9.00"}))).await.json()["added"],
        1
    );
    let mine = running.call(&own, "GET", "/v1/orders?account=merchant:shop-2", &Value::Null).await.json();
    let shops: Vec<&str> =
        mine["orders"].as_array().unwrap().iter().map(|line| line["shop"].as_str().unwrap()).collect();
    assert_eq!(shops, ["shop-1", "shop-1"]);
    let shown = running.call(&own, "GET", "/v1/orders/direct/o1?account=merchant:shop-2", &Value::Null).await.json();
    assert_eq!(shown["estimated_fen"], 500);
    assert_eq!(running.call(&own, "GET", "/v1/orders/jd/o1", &Value::Null).await.status, 404);
    for path in ["/v1/orders/quarantine", "/v1/orders/positions"] {
        assert_eq!(running.call(&own, "GET", path, &Value::Null).await.status, 403);
    }
    let all = running.admin("GET", "/v1/orders", &Value::Null).await.json();
    assert_eq!(all["orders"].as_array().unwrap().len(), 3);

    // A merchant owes: not less than nothing, and not more than it was paid. Reading the rows again, whoever asks, too.
    let owed = |line: &str, confirmed: &str, paid: Value| {
        row(line, json!({"state": "completed", "confirmed": confirmed, "paid": paid}))
    };
    let list = json!([
        owed("neg", "-5", json!("10")),
        owed("huge", "123456789012.34", Value::Null),
        owed("more", "10.01", json!("10")),
        owed("all", "10.00", json!("10")),
    ]);
    let told = running.call(&own, "POST", "/v1/orders", &list).await.json();
    let results = told["results"].as_array().unwrap();
    let reasons: Vec<_> = results.iter().map(|result| result["reason"].as_str()).collect();
    assert_eq!(
        reasons,
        [Some("amount_out_of_range"), Some("missing_field"), Some("amount_out_of_range"), None],
        "{told}"
    );
    assert_eq!(
        (&results[1]["errors"][0]["field"], results[1]["errors"].as_array().unwrap().len()),
        (&json!("paid"), 1)
    );
    let store = SqliteOrderStore::open(&running.journal_dir.with_file_name("orders.sqlite"), running.click_key.clone())
        .unwrap();
    let ids = results.iter().filter_map(|result| result["quarantine"].as_i64()).collect();
    assert_eq!(store.retry(ids, running.clock.now()).await.unwrap(), 0);
}

#[tokio::test]
async fn a_field_twice_is_a_fault_of_its_row() {
    let running = Running::start().await;
    let described = description(&running).await;
    let good = row("o1", json!({}));
    for body in [
        format!("[{{\"line\":\"dk\",\"state\":\"invalid\",\"line\":\"dk2\",\"created_at\":\"2022-11-01\"}},{good}]"),
        format!("{{\"line\":\"dk\",\"state\":\"invalid\",\"line\":\"dk2\",\"created_at\":\"2022-11-01\"}}\n{good}\n"),
    ] {
        let answer = running.with(&running.admin, "POST", "/v1/orders", &[], &body).await;
        let told = fits_answer(&described, "post", "/v1/orders", &answer);
        assert_eq!((&told["rows"], &told["quarantined"]), (&json!(2), &json!(1)));
        let fault = &told["results"][0]["errors"][0];
        assert_eq!((&fault["field"], &fault["code"]), (&json!("line"), &json!("repeated_field")), "{told}");
    }
    let aside = running.admin("GET", "/v1/orders/quarantine", &Value::Null).await;
    let told = fits_answer(&described, "get", "/v1/orders/quarantine", &aside);
    assert_eq!(
        told["rows"][0]["raw"],
        json!([["line", "dk"], ["state", "invalid"], ["line", "dk2"], ["created_at", "2022-11-01"]])
    );
}

#[tokio::test]
async fn a_position_of_somebody_else_is_not_given_away_unsaid() {
    let running = Running::start().await;
    let path = "/v1/orders/positions";
    let of = |creator: &str| json!({"network": "taobao", "position": "mm_1_2_3", "creator": creator});
    assert_eq!(running.admin("POST", path, &of("li")).await.status, 201);
    let refused =
        running.admin("POST", path, &json!([{"network": "jd", "position": "9", "code": "abc"}, of("wang")])).await;
    assert_eq!(refused.status, 422);
    let fault = refused.json()["errors"][0].clone();
    assert_eq!((&fault["field"], &fault["code"]), (&json!("[1].position"), &json!("taken")));
    assert!(fault["problem"].as_str().unwrap().contains("creator li"), "{fault}");
    let listed = running.admin("GET", path, &Value::Null).await.json();
    assert_eq!(listed["positions"].as_array().unwrap().len(), 1, "all of them, or none");
    assert_eq!(running.admin("POST", &format!("{path}?shared=yes"), &of("wang")).await.status, 422);
    assert_eq!(running.admin("POST", &format!("{path}?shared=true"), &of("wang")).await.status, 201);
    assert_eq!(running.admin("POST", path, &of("li")).await.status, 422, "both have it now");
}

/// What was sold in one order is between its merchant, its creator and whoever runs the gateway.
#[tokio::test]
async fn a_platform_sees_sums_and_no_single_order() {
    let running = Running::start().await;
    let (own, _) = running.key(Role::Platform, Some("kuaishou")).await;
    let (any, _) = running.key(Role::Platform, None).await;
    let (creator, _) = running.key(Role::Creator, Some("c1")).await;
    let settlement = |more: &str| format!("/v1/reports/settlement?{more}");
    for key in [&own, &any] {
        for more in ["by=order&format=csv", "by=creator,%20order", "order=o1", "by=day&order=o1", "order="] {
            let answer = running.call(key, "GET", &settlement(more), &Value::Null).await;
            assert_eq!(answer.status, 403, "{more}: {}", answer.text);
            assert!(answer.text.contains("not single orders"), "{}", answer.text);
        }
        assert_eq!(running.call(key, "GET", &settlement("by=day,creator"), &Value::Null).await.status, 200);
        assert_eq!(running.call(key, "GET", "/v1/orders/jd/o1", &Value::Null).await.status, 403);
    }
    for key in [&creator, &running.admin] {
        assert_eq!(running.call(key, "GET", &settlement("by=order&order=o1"), &Value::Null).await.status, 200);
    }
}
